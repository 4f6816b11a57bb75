r"""Stages: pre-training, mid-training, SFT and RL one after the other, with budgets counted in tokens.

    stream = mix({"bands 2–4": narrow.demonstrations, "bands 5–6": wide.demonstrations}, (1.0, 3.0), of="tokens")
    stages = [
        Stage("mid-training", stream, tokens=8e4, questions=32, learning_rate=1e-3),
        Stage("RL", wide, tokens=8e4, questions=8, learning_rate=3e-4, algorithm=qra.grpo(8)),
    ]
    passed = run_stages(keys, model, stages, params=base)
    passed.ledger.spent, passed.ledger.flops(60_000)

Tokens are counted as they are used: supervised tokens that were *read*, tokens that were *sampled*, and sampled ones
that were *trained* on. Prompts are counted beside them; budgets are without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization
from jaxtyping import Array, Int

from qra_jax import _check, _files, _identity
from qra_jax.algorithm import Algorithm
from qra_jax.trajectory import Outcome, Status
from qra_jax.transformer.learning import Corpus, learn, side_by_side
from qra_jax.transformer.ledger import KINDS, Ledger
from qra_jax.transformer.model import Model, Params, init
from qra_jax.transformer.rl import train
from qra_jax.transformer.sampling import sample
from qra_jax.transformer.streams import DRAWN, supervised, tokens_of
from qra_jax.transformer.surrogate import ON_POLICY
from qra_jax.transformer.task import Task


@dataclass(frozen=True)
class Stage:
    """A stream to learn from, or a task to be rewarded on, with a budget in tokens.

    Attributes:
      name: what ledgers call it.
      of: a corpus, e.g. a `Stream` or `task.demonstrations`; with `algorithm` a task.
      tokens: the budget, > 0: supervised tokens that are read, or tokens that are sampled and trained on.
      questions: N of a step, ≥ 1.
      learning_rate: > 0; of supervised learning the peak of its schedule.
      algorithm: of RL; `None` for supervised learning.
      per_step: tokens of a step, > 0, where they are known; default: measured, for a corpus from draws, for a task from
        a batch of every network as it is when the stage begins.
      options: further options of [`learn`][qra_jax.transformer.learning.learn] (`optimizer`, `every`), or of
        [`train`][qra_jax.transformer.rl.train] (`reward`, `group_size`, `regularizers`, …).
    """

    name: str
    of: Corpus | Task
    tokens: float
    questions: int
    learning_rate: float
    algorithm: Algorithm | None = None
    per_step: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _check.positive("tokens", self.tokens)
        _check.positive("learning_rate", self.learning_rate)
        _check.integer("questions", self.questions, low=1)
        if self.per_step is not None:
            _check.positive("per_step", self.per_step)
        if self.rewarded and not isinstance(self.of, Task):
            raise ValueError(f"of: {type(self.of).__name__}; must be a task, as there is an algorithm")
        if not self.rewarded and not callable(self.of):
            raise ValueError(f"of: {type(self.of).__name__}; must be a corpus, as there is no algorithm")
        own = {"keys", "key", "params", "steps", "checkpoint", "keep", "record_every", "probe", "progress"}
        if taken := own & set(self.options):
            raise ValueError(f"options: {', '.join(sorted(taken))}; must be left to run_stages")
        if "token_mask" in self.options or "credit" in self.options:
            raise ValueError(
                "options: token_mask or credit; must be none, as all sampled tokens are trained on"
            )

    @property
    def rewarded(self) -> bool:
        """Whether it is RL."""
        return self.algorithm is not None

    @property
    def group(self) -> int:
        """G of RL."""
        size = self.options.get("group_size") or (self.algorithm.group_size if self.algorithm else None)
        if not isinstance(size, int):
            raise ValueError(f"group_size: {size}; must be given, 1 or above")
        return size

    def steps(self, keys: Array, model: Model, params: Params | None) -> int:
        """Number of steps that spend the budget, 1 or more: tokens of the budget over those of a step, rounded.

        Args:
          keys: `[seeds]`, PRNG keys.
          model: the network.
          params: `[seeds, ...]`, parameters as the stage begins.
        """
        return max(1, round(self.tokens / (self.per_step or self._measured(keys, model, params))))

    def _measured(self, keys: Array, model: Model, params: Params | None) -> float:
        if not self.rewarded:
            return tokens_of(self.of, max(DRAWN, self.questions)) * self.questions  # pyright: ignore[reportArgumentType]
        task: Any = self.of

        def one(key: Array, params: Params) -> Array:
            asked, drawn = jax.random.split(key)
            options = {"group": self.group, "length": task.length, "end": task.end}
            return jnp.sum(sample(drawn, model, params, task.draw(asked, self.questions), **options).where)

        return float(np.mean(side_by_side(one)(keys, params)))


@dataclass(frozen=True)
class Passed(Outcome):
    """What stages leave.

    Attributes:
      params: parameters `[seeds, ...]` after each stage.
      ledger: tokens that were spent.
      stats: of each stage: `loss` `[seeds, steps]`, or what RL records, `[seeds, 1]`, means over its steps.
      status: `[stages, seeds]`, a `Status`.
    """

    params: tuple[Params, ...]
    ledger: Ledger
    stats: tuple[dict[str, Array], ...]
    status: Int[Array, "stages seeds"]


def run_stages(
    keys: Array,
    model: Model,
    stages: Sequence[Stage],
    *,
    params: Params | None = None,
    folder: str | Path | None = None,
) -> Passed:
    """Run stages one after the other, for several networks side by side.

    Networks take the same number of steps; how many tokens each has spent is in the ledger, counted, not estimated.

    Args:
      keys: `[seeds]`, PRNG keys, one for each network; each stage folds its number in.
      model: the network.
      stages: one or more.
      params: where to start, leading axis `[seeds]`; default: random.
      folder: where stages leave files from which a run that was killed goes on: supervised learning after every `every`
        steps of its own, RL after the whole stage.

    Returns:
      `Passed`.

    Raises:
      ValueError: no stages, or a file of another run.

    >>> import qra_jax as qra, qra_jax.transformer as tf
    >>> task = tf.controlled(qra.problem.stack([qra.problem.examples.worked()] * 2))
    >>> model = tf.Decoder(task.vocabulary, width=4, depth=1, heads=1, hidden=2)
    >>> both = [
    ...     Stage("pre-training", task.demonstrations, tokens=300.0, questions=4, learning_rate=1e-2),
    ...     Stage("RL", task, tokens=200.0, questions=2, learning_rate=1e-3, algorithm=qra.grpo(4)),
    ... ]
    >>> passed = run_stages(jax.random.split(jax.random.key(0), 2), model, both)
    >>> passed.ledger.stages, bool((passed.ledger.read[0] > 200).all()), float(passed.ledger.sampled[0].max())
    (('pre-training', 'RL'), True, 0.0)
    """
    if not stages:
        raise ValueError("stages: none; must be one or more")
    if params is None:
        params = jax.vmap(lambda key: init(jax.random.fold_in(key, len(stages)), model))(keys)
    after, counts, stats, ended, steps = [], [], [], [], []
    for number, stage in enumerate(stages):
        own = jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys)
        file = None if folder is None else Path(folder) / f"{number}.msgpack"
        count = stage.steps(own, model, params)
        run = _rewarded if stage.rewarded else _supervised
        params, told, spent, status = run(own, model, stage, count, params, file)
        for kept, new in zip(
            (after, stats, counts, ended, steps), (params, told, spent, status, count), strict=True
        ):
            kept.append(new)
    table = {name: np.stack([np.asarray(one[name], float) for one in counts]) for name in counts[0]}
    epochs = [stage.options.get("off_policy", ON_POLICY).epochs for stage in stages]
    ledger = Ledger(
        tuple(stage.name for stage in stages), np.asarray(steps), epochs=np.asarray(epochs), **table
    )
    return Passed(tuple(after), ledger, tuple(stats), jnp.stack(ended))


def _supervised(
    keys: Array, model: Model, stage: Stage, steps: int, params: Params, file: Path | None
) -> tuple[Params, dict[str, Array], dict[str, Array], Array]:
    corpus: Any = stage.of
    options: dict[str, Any] = {
        "steps": steps,
        "questions": stage.questions,
        "learning_rate": stage.learning_rate,
    }
    learnt = learn(keys, model, corpus, params=params, checkpoint=file, **options, **stage.options)

    def count(key: Array) -> tuple[Array, Array]:  # what `learn` has drawn, drawn again
        def one(index: Array) -> tuple[Array, Array]:
            shown = corpus(jax.random.fold_in(key, index), stage.questions)
            return supervised(shown), jnp.sum(shown.questions.real)

        read, prompts = jax.lax.map(one, jnp.arange(steps))
        return jnp.sum(read), jnp.sum(prompts)

    read, prompts = side_by_side(count)(keys)
    return learnt.params, {"loss": learnt.loss}, _row(read=read, prompts_read=prompts), learnt.status


def _rewarded(
    keys: Array, model: Model, stage: Stage, steps: int, params: Params, file: Path | None
) -> tuple[Params, dict[str, Array], dict[str, Array], Array]:
    task: Any = stage.of
    options = {**stage.options, "algorithm": stage.algorithm, "group_size": stage.group, "steps": steps}
    options |= {"questions": stage.questions, "learning_rate": stage.learning_rate, "record_every": steps}
    content = {"model": repr(model), "keys": keys, "params": params, "task": task, "options": options}
    about = json.dumps({name: json.dumps(_identity.content(value)) for name, value in content.items()})

    def one(key: Array, params: Params) -> tuple[Params, dict[str, Array], Array, Array]:
        run = train(key, model, params, task, **options)

        def prompts(index: Array) -> Array:  # of the questions that `train` has drawn, drawn again
            first = jax.random.split(jax.random.fold_in(key, index), 4)[0]
            return jnp.sum(task.draw(first, stage.questions).real)

        return run.params, run.stats, run.status, jnp.sum(jax.lax.map(prompts, jnp.arange(steps)))

    shape = jax.eval_shape(jax.vmap(one), keys, params)
    found = None if file is None or not file.exists() else _read(file, about, shape)
    if found is None:
        found = side_by_side(one)(keys, params)
        if file is not None and bool(jnp.all(found[2] == Status.OK)):
            _files.write(file, serialization.to_bytes({"about": about, "found": found}))
    params, stats, status, asked = found
    epochs = stage.options.get("off_policy", ON_POLICY).epochs
    trained = stats["length"][:, 0] * steps * stage.questions * stage.group * epochs
    row = _row(sampled=stats["tokens"][:, 0] * steps, trained=trained, prompts_asked=asked)
    if "taught" in stats:  # demonstrations beside RL
        row["read"] = stats["taught"][:, 0] * steps
    return params, stats, row, status


def _row(**known: Array) -> dict[str, Array]:
    zero = jnp.zeros_like(next(iter(known.values())))
    names = (*KINDS, "prompts_read", "prompts_asked")
    return {name: known.get(name, zero) for name in names}


def _read(path: Path, about: str, shape: Any) -> Any:
    try:
        stored: Any = serialization.msgpack_restore(path.read_bytes())
        known = stored["about"]
    except Exception as error:
        raise ValueError(
            f"folder: {path.name!r} cannot be read ({error}); remove it to start again"
        ) from None
    if known != about:
        raise ValueError(f"folder: {path.name!r} is of another run; must be of this one, or not there")
    return jax.tree.map(jnp.asarray, serialization.from_state_dict(shape, stored["found"]))

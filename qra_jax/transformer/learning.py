"""Supervised learning: pre-training from scratch and SFT, in pieces that survive being killed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from flax import serialization
from jaxtyping import Array, Float, Int

from qra_jax import _check, _files, _identity
from qra_jax.batching import many
from qra_jax.trajectory import Outcome, Status
from qra_jax.transformer.model import Model, Params, init, score, status, wide
from qra_jax.transformer.task import Demonstrations


@runtime_checkable
class Corpus(Protocol):
    """Draws the sequences of one step: `(key, number of questions) -> Demonstrations`."""

    def __call__(self, key: Array, number: int) -> Demonstrations: ...


@dataclass(frozen=True)
class Learnt(Outcome):
    """What supervised learning leaves.

    Attributes:
      params: parameters, leading axis `[seeds]`.
      loss: `[seeds, steps]`, cross-entropy per question in nats.
      status: `[seeds]`, a `Status`: OK, or DIVERGED where parameters have left the numbers.
    """

    params: Params
    loss: Float[Array, "seeds steps"]
    status: Int[Array, " seeds"]


def cross_entropy(model: Model, params: Params, demonstrations: Demonstrations) -> Float[Array, ""]:
    r"""Expected cross-entropy of the weighted sequences, $-\frac1N\sum_{n,g} w_{ng}\sum_t \log\pi(o_t)$.

    The token at `answer_at` is scored against its whole distribution where that is given; what follows it, after the
    answer that stands in `tokens`.

    Args:
      model: the network.
      params: its parameters.
      demonstrations: N questions, G sequences each.

    Returns:
      Scalar, in nats per question.
    """
    d = demonstrations
    logits, _ = score(model, params, d.questions.prompt, d.questions.real, d.tokens)
    log_probs = jax.nn.log_softmax(logits)
    per_token = jnp.take_along_axis(log_probs, d.tokens[..., None], axis=-1)[..., 0]
    if d.answers is not None:
        there = jnp.take_along_axis(log_probs, d.answer_at[..., None, None], axis=2)[:, :, 0]
        expected = jnp.sum(d.answers.astype(there.dtype) * there, axis=-1)
        at_answer = jnp.arange(d.tokens.shape[-1])[None, None] == d.answer_at[..., None]
        per_token = jnp.where(at_answer, expected[..., None], per_token)
    per_sequence = jnp.sum(jnp.where(d.where, per_token, 0.0), axis=-1)
    return -jnp.sum(d.weight.astype(per_sequence.dtype) * per_sequence) / d.questions.number


def cosine(peak: float, steps: int, warmup: int | None = None) -> optax.Schedule:
    """Linear warm-up from the first step on, then a half cosine to zero.

    Args:
      peak: largest learning rate, above zero.
      steps: all steps, ≥ 1.
      warmup: steps of the warm-up; default: a twentieth of all.

    Returns:
      An optax schedule.

    Raises:
      ValueError: peak not positive.
    """
    _check.positive("peak", peak)
    warm = max(1, steps // 20) if warmup is None else warmup
    return optax.warmup_cosine_decay_schedule(peak / (warm + 1), peak, warm, max(steps, warm + 1))


def learn(
    keys: Array,
    model: Model,
    corpus: Corpus,
    *,
    steps: int,
    questions: int,
    learning_rate: float = 6e-3,
    optimizer: Callable[[Any], optax.GradientTransformation] | None = None,
    params: Params | None = None,
    checkpoint: str | Path | None = None,
    keep: bool = False,
    every: int = 500,
    progress: Callable[[int], None] | None = None,
) -> Learnt:
    """Train several networks side by side on demonstrations: from scratch, or on from given parameters (SFT).

    Args:
      keys: `[seeds]`, PRNG keys, one for each network.
      model: the network.
      corpus: draws the sequences of a step, e.g. `task.demonstrations`.
      steps: number of updates, ≥ 1.
      questions: N of a step, ≥ 1.
      learning_rate: peak of a cosine schedule.
      optimizer: from a schedule to an optax transformation; default: AdamW (b₂ = .95, weight decay 1e-4).
      params: where to start, leading axis `[seeds]`; default: random.
      checkpoint: file that is written after every `every` steps, and gone on from if it is there.
      keep: let that file be one in the user's cache (`$QRA_CACHE`, or else `qra_jax` in `$XDG_CACHE_HOME` or
        `~/.cache`), where the same run is found again and costs nothing; functions that `corpus` calls are not
        looked into. A run that diverges is not written.
      every: steps in one piece.
      progress: called with the number of steps done, after each piece.

    Returns:
      `Learnt`; the same numbers whether the run was interrupted or not.

    Raises:
      ValueError: a number out of range, or a checkpoint of another run.
    """
    for name, value in (("steps", steps), ("questions", questions), ("every", every)):
        _check.integer(name, value, low=1)
    make = optimizer or (lambda rate: optax.adamw(rate, b2=0.95, weight_decay=1e-4))
    optimiser = make(cosine(learning_rate, steps))

    def piece(key: Array, state: Any, first: Array, count: int) -> Any:
        def step(state: Any, index: Array) -> tuple[Any, Array]:
            params, memory = state
            shown = corpus(jax.random.fold_in(key, index), questions)
            loss, slope = jax.value_and_grad(lambda p: cross_entropy(model, p, shown))(params)
            change, memory = optimiser.update(wide(slope), memory, wide(params))
            return (optax.apply_updates(params, change), memory), loss

        return jax.lax.scan(step, state, first + jnp.arange(count))

    content = {"model": repr(model), "steps": steps, "questions": questions, "learning_rate": learning_rate}
    content |= {"keys": keys, "corpus": corpus, "optimizer": make, "params": params}
    about = {name: json.dumps(_identity.content(value)) for name, value in content.items()}
    if keep and checkpoint is None:
        checkpoint = _cache_file(about)

    def start() -> Any:
        fresh = lambda key: init(jax.random.fold_in(key, steps), model)  # noqa: E731
        begun = jax.vmap(fresh)(keys) if params is None else params
        return begun, jax.vmap(optimiser.init)(wide(begun))

    done, losses, state = 0, [], None
    if checkpoint is not None and Path(checkpoint).exists():
        done, state, losses = _load(Path(checkpoint), about, jax.eval_shape(start))
    state = jax.jit(start)() if state is None else state
    ended, runs = jax.vmap(status), {}
    while done < steps:
        count = min(every, steps - done)
        if count not in runs:
            runs[count] = side_by_side(lambda key, state, first, count=count: piece(key, state, first, count))
        state, loss = runs[count](keys, state, jnp.full(len(keys), done))
        losses.append(loss)
        done += count
        if checkpoint is not None and jnp.all(ended(state[0]) == Status.OK):
            _save(Path(checkpoint), about, done, state, losses)
        if progress is not None:
            progress(done)
    return Learnt(state[0], jnp.concatenate(losses, axis=1), ended(state[0]))


def side_by_side(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a function of one network for many: a core each on a CPU, all as one batch elsewhere.

    Args:
      function: takes pytrees of arrays of one network.

    Returns:
      A function of pytrees with a leading axis `[networks]`.
    """
    if jax.default_backend() == "cpu":
        return many(function, block=1)
    return jax.jit(jax.vmap(function))


def _cache_file(about: dict[str, str]) -> Path:
    """A file named after the run, the code that it uses, versions and device."""
    here = Path(__file__).parent
    sources = sorted([*here.glob("*.py"), *here.parent.glob("*.py")])
    versions = [metadata.version(name) for name in ("jax", "flax", "optax")]
    device = jax.default_backend(), jnp.asarray(0.0).dtype.name
    parts = [
        json.dumps(about, sort_keys=True),
        *versions,
        *device,
        *(file.read_text("utf-8") for file in sources),
    ]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("QRA_CACHE") or Path(home) / "qra_jax") / f"{name}.msgpack"


def _save(path: Path, about: dict[str, Any], done: int, state: Any, losses: list[Array]) -> None:
    content = {
        "about": json.dumps(about),
        "done": done,
        "state": state,
        "loss": jnp.concatenate(losses, axis=1),
    }
    _files.write(path, serialization.to_bytes(content))


def _load(path: Path, about: dict[str, Any], state: Any) -> tuple[int, Any, list[Array]]:
    try:
        stored: Any = serialization.msgpack_restore(path.read_bytes())
        known = json.loads(stored["about"])
    except Exception as error:
        raise ValueError(
            f"checkpoint: {path.name!r} cannot be read ({error}); remove it to start again"
        ) from None
    if known != about:
        other = [name for name in about if known.get(name) != about[name]]
        raise ValueError(f"checkpoint: {path.name!r} is of another run; differs in {', '.join(other)}")
    state = jax.tree.map(jnp.asarray, serialization.from_state_dict(state, stored["state"]))
    return int(stored["done"]), state, [jnp.asarray(stored["loss"])]

"""Networks of the study of RL on text: a corpus of four procedures, and what is trained on it and after it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array

from qra_jax import transformer as tf
from qra_jax.algorithm import grpo, rloo, switch
from qra_jax.batching import many
from qra_jax.studies import lab
from qra_jax.transformer import rl
from qra_jax.transformer.learning import cross_entropy
from qra_jax.transformer.procedures import PATTERNS, Arithmetic, arithmetic
from qra_jax.transformer.segments import next_segment

SHARES = (0.1, 0.2, 0.1, 0.6)
"""Of the procedures in the text: most of it guesses."""
BESTS = {"the rare one": 0, "the mode": 3}
"""Which procedure the verifier of RLVR always accepts."""
ELSE = 0.3
"""Share of the questions on which it accepts each of the others."""
GROUP = 8
ALGORITHMS = (rloo(GROUP), grpo(GROUP))
RL, BY_STD, MIXED, SFT, SHUFFLED, BASE = (
    "RL on text",
    "RL on text, GRPO",
    "mixed",
    "SFT",
    "RL, shuffled",
    "base",
)
ARMS: dict[str, dict[str, Any]] = {
    RL: {"algorithm": 0},
    BY_STD: {"algorithm": 1},
    MIXED: {"algorithm": 0, "supervised": 0.5},
    SFT: {"supervised": 1.0},
    SHUFFLED: {"algorithm": 0, "shuffled": True},
    BASE: {"rate": 0.0},
}
"""What is done with the text: chance that a step is supervised, whether segments are shuffled, learning rate."""


class Size(NamedTuple):
    """How much is computed."""

    seeds: int
    base: int
    width: int
    taught: int
    steps: int = 120
    every: int = 10
    questions: int = 8
    rate: float = 1e-3


def task_of(size: Size) -> Arithmetic:
    """Sums of two numbers, the procedures in the shares of the text."""
    return arithmetic(size.base, operands=(2,), mixture=SHARES, held=0.0)


def network(size: Size) -> tf.Decoder:
    """The decoder."""
    return tf.Decoder(task_of(size).vocabulary, width=size.width, depth=1)


def taught(seed: int, seeds: int, base: int, width: int, steps: int) -> Any:
    """Base networks `[seeds, ...]` that have learnt the text."""
    size = Size(seeds, base, width, steps)
    keys = jax.random.split(jax.random.key(seed), seeds)
    options: dict[str, Any] = {"steps": steps, "questions": 16, "learning_rate": 5e-3}
    return tf.learn(keys, network(size), task_of(size).demonstrations, **options).params


def accepted(size: Size, best: Any) -> Array:
    """Which procedures the verifier of RLVR accepts, `[b⁴, n]` by operands: the best one always."""
    lots = jax.random.uniform(jax.random.key(7), (size.base**4, len(PATTERNS)))
    some = jnp.argsort(jnp.argsort(lots, axis=0), axis=0) < round(ELSE * size.base**4)
    return some | (jnp.arange(len(PATTERNS)) == best)[None]


def stage(key: Array, params: Any, row: dict[str, Array], size: Size) -> dict[str, Any]:
    """One stage of training, of RL on text, of SFT, or of RLVR, as the numbers of the row say.

    Args:
      key: PRNG key.
      params: where it starts.
      row: `verified`, whether RLVR is done; `best` of its verifier; `algorithm` of `ALGORITHMS`; `supervised`, chance
        that a step is; `shuffled`; `rate`.
      size: how much is computed.

    Returns:
      `params`; along training `share` and `whole` `[times, n]`, `match`, `greedy` and `loss` `[times]`, and the exact
      `right` of every question, `[times, b⁴]`.
    """
    task, model = task_of(size), network(size)
    text, good = next_segment(task, shuffled=row["shuffled"]), accepted(size, row["best"])
    algorithm, optimiser = switch(row["algorithm"], ALGORITHMS), optax.adam(row["rate"])
    options: dict[str, Any] = {"length": task.length, "end": task.end}

    def paid(questions: tf.Questions, asked: Any, rollouts: tf.Rollouts) -> Array:
        """Right answers of a procedure that is accepted on this question."""
        said = task.verify(key, tf.Questions(questions.prompt, asked), rollouts)
        allowed = good[asked.operands[:, 0] * size.base**2 + asked.operands[:, 1]]
        own = jnp.take_along_axis(allowed, jnp.maximum(said.pattern, 0), axis=1)
        return said.right & own & (said.pattern >= 0)

    def step(carry: Any, index: Array) -> tuple[Any, Any]:
        now, memory = carry
        keys = jax.random.split(jax.random.fold_in(key, index), 3)
        shown = text.demonstrations(keys[0], size.questions)
        asked = shown.questions
        rollouts = tf.sample(keys[1], model, now, asked, group=GROUP, **options)
        match = text.verify(key, asked, rollouts).right
        right = jnp.where(row["verified"], paid(asked, asked.truth.asked, rollouts), match)
        weights = jax.vmap(algorithm.weights)(right.astype(rollouts.log_prob.dtype))
        lesson = jax.random.uniform(keys[2]) < row["supervised"]

        def loss(params: Any) -> Array:
            at = rl.log_probs(model, params, asked, rollouts.tokens)
            said = jnp.take_along_axis(at, rollouts.tokens[..., None], axis=-1)[..., 0]
            gain = jnp.mean(weights * jnp.sum(jnp.where(rollouts.where, said, 0.0), axis=-1))
            return jnp.where(lesson, cross_entropy(model, params, shown), -gain)

        change, memory = optimiser.update(jax.grad(loss)(now), memory, now)
        return (optax.apply_updates(now, change), memory), {"tokens": jnp.sum(rollouts.where)}

    each = np.arange(size.base**4)
    asked = task.ask(0 * each, np.stack([each // size.base**2, each % size.base**2], axis=1))
    shares = jnp.asarray(SHARES)[None]

    def look(now: Any) -> dict[str, Array]:
        read = tf.read_out(model, now, task.show(asked))
        share, first = read.policy * (1 - read.leak[:, None]), jnp.argmax(read.policy, axis=-1)
        score = jnp.log(share) + jnp.log(read.whole)
        return {
            "share": jnp.mean(share, axis=0),
            "whole": jnp.mean(read.whole, axis=0),
            "match": jnp.mean(jnp.sum(shares * share * read.whole, axis=-1)),
            "greedy": jnp.mean(jnp.take_along_axis(shares * read.whole, first[:, None], axis=-1)),
            "loss": -jnp.mean(jnp.sum(shares * score, axis=-1)),
            "right": jnp.sum(share * read.whole * good, axis=-1),
        }

    _, (ended, _), seen, _ = rl.recorded(step, (params, optimiser.init(params)), size.steps, size.every, look)
    return seen | {"params": ended}


def trained(run: lab.Run, size: Size) -> xr.Dataset:
    """All arms on the text, then RLVR from where each of them ends, once for each best procedure.

    Args:
      run: whose seeds are used.
      size: how much is computed.

    Returns:
      `text_…` `[arm, seed, step, …]`, and `after_…` `[best, arm, seed, step, …]` of [`stage`][]; as an attribute,
      `tries`, sequences that RL samples of each question in both stages together.
    """
    base = run.bank.get(taught, run.shared_seed, *size[:4])
    count = len(ARMS) * size.seeds
    default = {"verified": False, "best": 0, "algorithm": 0, "supervised": 0.0, "shuffled": False}
    run_all = many(lambda key, params, row: stage(key, params, row, size), block=1)

    def go(keys: Array, params: Any, rows: list[dict[str, Any]]) -> Any:
        full = [default | {"rate": size.rate} | row for row in rows]
        table = {n: np.repeat(np.array([row[n] for row in full]), size.seeds) for n in full[0]}
        run.say(f"{count} members")
        return run_all(keys, params, table)

    keys = jax.random.split(run.key, size.seeds)
    again = jax.random.split(jax.random.fold_in(run.key, 1), count)
    start = jax.tree.map(lambda x: np.concatenate([x] * len(ARMS)), base)
    first = go(jnp.concatenate([keys] * len(ARMS)), start, list(ARMS.values()))  # all arms see the same text
    rows = ({"verified": True, "best": best, "algorithm": 1} for best in BESTS.values())
    second = [go(again, first["params"], [row] * len(ARMS)) for row in rows]
    dims = {"share": ("step", "procedure"), "whole": ("step", "procedure"), "right": ("step", "question")}
    out: dict[str, Any] = {}
    for name in ("share", "whole", "match", "greedy", "loss", "right"):
        more, shape = dims.get(name, ("step",)), (len(ARMS), size.seeds, *first[name].shape[1:])
        out[f"text_{name}"] = (("arm", "seed", *more), first[name].reshape(shape))
        after = np.stack([np.reshape(one[name], shape) for one in second])
        out[f"after_{name}"] = (("best", "arm", "seed", *more), after)
    del out["text_right"]  # of a verifier that is not asked
    coords = {"arm": list(ARMS), "best": list(BESTS), "procedure": list(PATTERNS)}
    coords["step"] = np.arange(0, size.steps + 1, size.every)
    return lab.dataset(out, coords, tries=2 * size.steps * size.questions * GROUP / size.base**4)

"""Networks that work on sums by procedures: how they are taught, what is read from them, and what a gain is made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax import transformer as tf
from qra_jax.metrics import pass_at_k_estimate
from qra_jax.transformer.procedures import PATTERNS, Arithmetic, arithmetic

SKILLS, REF = (0.3, 0.3, 0.3, 0.1), (0.15, 0.25, 0.1, 0.5)
"""Shares of the procedures while they are learnt, and in the base model."""
ANNOUNCED = 0.7
"""Chance of the marker in the corpus."""


class Size(NamedTuple):
    """How much is computed."""

    seeds: int
    base: int
    width: int
    depth: int
    skill_steps: int
    base_steps: int
    steps: int
    every: int
    questions: int
    forced: int
    tries: int


def task_of(size: Size) -> Arithmetic:
    """After any beginning of a question one last operand of base² is held out."""
    return arithmetic(size.base, operands=(2, 3), mixture=REF, announced=ANNOUNCED, held=1 / size.base**2)


def taught(size: Any, seed: int) -> Any:
    """Base networks `[seeds]`: all procedures first, then their shares and the marker's; at once without skill steps."""
    size = Size(*size)
    task, keys = task_of(size), jax.random.split(jax.random.key(seed), (2, size.seeds))
    model = tf.Decoder(task.vocabulary, width=size.width, depth=size.depth)

    def learn(keys: Array, task: Arithmetic, steps: int, rate: float, params: Any = None) -> Any:
        options: dict[str, Any] = {"steps": steps, "learning_rate": rate, "params": params}
        return tf.learn(keys, model, task.demonstrations, questions=16, **options).params

    if not size.skill_steps:
        return learn(keys[1], task, size.base_steps, 5e-3)
    skills = arithmetic(size.base, operands=(2, 3), mixture=SKILLS, held=1 / size.base**2)
    return learn(keys[1], task, size.base_steps, 1e-3, learn(keys[0], skills, size.skill_steps, 5e-3))


def numbers_of_tries(tries: int) -> np.ndarray:
    return 2 ** np.arange(int(np.log2(tries)) + 1)


def seen(
    key: Array, model: Any, params: Any, task: Arithmetic, asked: tf.Questions, forced: int
) -> dict[str, Array]:
    """π, exactly, and rates of right, paid and rightly worked answers with the pattern forced; `[N, n]`."""
    read = tf.read_out(model, params, task.show(asked))
    opening = jnp.tile(task.first_pattern + jnp.arange(task.patterns), forced)
    opening = jnp.broadcast_to(opening[None, :, None], (asked.number, len(opening), 1))
    options: dict[str, Any] = {"group": opening.shape[1], "length": task.length, "end": task.end}
    said = task.verify(key, asked, tf.sample(key, model, params, asked, opening=opening, **options))

    def rate(which: Array) -> Array:
        return jnp.mean(which.reshape(asked.number, forced, task.patterns).astype(jnp.float32), axis=1)

    rates = {"right": said.right, "paid": said.right & said.formatted, "worked": said.right & said.steps}
    return {"policy": read.policy, "leak": read.leak, "announced": read.announced} | {
        name: rate(which) for name, which in rates.items()
    }


def tried(
    key: Array, params: Any, entropy: Array, model: Any, task: Arithmetic, asked: tf.Questions, tries: int
) -> dict[str, Array]:
    """Pass@k of right answers with right steps, at the temperature that gives this entropy (inf: 1)."""

    def answers(temperature: Array, group: int) -> tf.Rollouts:
        options: dict[str, Any] = {"group": group, "length": task.length, "end": task.end}
        return tf.sample(key, model, params, asked, temperature=temperature, **options)

    def uncertainty(rollouts: tf.Rollouts) -> Array:
        return jnp.mean(jnp.sum(rollouts.entropy, axis=-1))

    def halve(_: Array, bracket: Array) -> Array:
        middle = jnp.mean(bracket)
        hot = uncertainty(answers(2.0**middle, 8)) > entropy
        return jnp.where(hot, jnp.array([bracket[0], middle]), jnp.array([middle, bracket[1]]))

    power = jnp.mean(jax.lax.fori_loop(0, 8, halve, jnp.array([-5.0, 1.0])))
    temperature = jnp.where(jnp.isinf(entropy), 1.0, 2.0**power)
    rollouts = answers(temperature, tries)
    said = task.verify(key, asked, rollouts)
    solved = said.right & said.steps & (said.pattern != PATTERNS.index("guess"))
    passed = jnp.stack([jnp.mean(pass_at_k_estimate(solved, int(k))) for k in numbers_of_tries(tries)])
    return {"passed": passed, "entropy": uncertainty(rollouts), "temperature": temperature}


def nearest(path: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """The point of a curve nearest in total variation to each point of a path, `[times, n]`."""
    return curve[np.abs(path[:, None] - curve[None]).sum(axis=-1).argmin(axis=1)]


def parts(policy: xr.DataArray, right: xr.DataArray, paid: xr.DataArray) -> xr.DataArray:
    """The gain of paid accuracy up to each record, and what it is made of.

    Args:
      policy, right, paid: shares, and rates of right and of paid answers, `[..., step, question, procedure]`.

    Returns:
      `[part, ..., step]`: choice, answers and format, which add up to gain; means over questions.
    """
    total = right.sum("procedure")
    share = (paid.sum("procedure") / total.where(total > 0)).fillna(0)

    def middle(x: xr.DataArray) -> xr.DataArray:
        return (x.shift(step=1) + x) / 2

    def change(x: xr.DataArray) -> xr.DataArray:
        return x - x.shift(step=1)

    answers = middle(share) * change(right)
    made = {
        "choice": change(policy) * middle(paid),
        "answers": middle(policy) * answers,
        "format": middle(policy) * (change(paid) - answers),
        "gain": change(policy * paid),
    }
    summed = [value.sum("procedure").mean("question").cumsum("step") for value in made.values()]
    return xr.concat(summed, xr.DataArray(list(made), dims="part", name="part"))

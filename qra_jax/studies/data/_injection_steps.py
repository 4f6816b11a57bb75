"""What single steps do to every question: the influence formula from rollouts, and the change itself."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from qra_jax import transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.studies.data._injection_demos import Injected
from qra_jax.transformer import kernel, penalty
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.reward import SequenceReward
from qra_jax.transformer.sampling import Questions, Rollouts
from qra_jax.transformer.task import Verification

GROUP, STEP = 16, 0.01
"""Rollouts of each question, once for the step and once more for the prediction; length of steps in parameters, and
of the longest of those on a single question."""
KINDS = ["gradient descent", "Adam"]


def _earned(params: dict[str, Array], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    fair = verdict.right & verdict.formatted & (verdict.steps | ~params["strict"])
    return fair.astype(rollouts.log_prob.dtype)


def reward(strict: Array) -> SequenceReward:
    """One for a right, announced answer; where `strict`, only after the procedure's own steps: then it is exact."""
    return SequenceReward("right", _earned, {"strict": strict})


def slope(model: Model, params: Params, asked: Questions, rollouts: Rollouts, weights: Array) -> Params:
    """Gradient of the mean over questions and rollouts of weight × log-probability."""

    def objective(params: Params) -> Array:
        return jnp.mean(weights * said(model, params, asked, rollouts))

    return jax.grad(objective)(params)


def said(model: Model, params: Params, asked: Questions, rollouts: Rollouts) -> Array:
    """Log-probabilities of whole rollouts, `[N, G]`."""
    each = penalty.at(tf.rl.log_probs(model, params, asked, rollouts.tokens), rollouts.tokens)
    return jnp.sum(jnp.where(rollouts.where, each, 0.0), axis=-1)


def contrast(along: Array, earned: Array) -> Array:
    """Mean over right rollouts less mean over wrong ones, `[N]`; zero where there are none of either."""
    right, wrong = jnp.sum(earned, axis=1), jnp.sum(1 - earned, axis=1)
    both = (right > 0) & (wrong > 0)
    means = [
        jnp.sum(along * w, axis=1) / jnp.where(both, n, 1) for w, n in ((earned, right), (1 - earned, wrong))
    ]
    return jnp.where(both, means[0] - means[1], 0.0)


def look(
    key: Array, model: Model, params: Params, task: Injected, asked: Questions, held: Questions, strict: Array
) -> dict[str, Array]:
    """A step of GRPO on some questions, by what the formula says and by what it does; and on each of them alone.

    Kernels are inner products ⟨∇log π(o|q), g⟩ of rollouts that the step was not made on with its direction g.

    Args:
      key: PRNG key of the rollouts.
      model: the network.
      params: its parameters.
      task: what is asked.
      asked: N questions that the step is made on.
      held: M questions that it is not made on.
      strict: whether steps have to be those of the procedure; only then `accuracy` and gains are exact.

    Returns:
      Of all N + M questions: `accuracy`; `rate`, as the rollouts say it; `kernel`, with right less with wrong
        rollouts; `gain` `[2, N + M]`, the change by `KINDS`, over the length of the step.
      Of the N, one at a time, on the mean accuracy of the M: `given_kernel`, `given`, and
        `own_given`, the formula with the rollouts of the step itself.
      Of the whole: `co`, inner product of two independent estimates of GRPO's gradient; `halves` `[2]`, the same of two
        halves of the questions, which are drawn anew for every key, and so alike but for chance.
    """
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), asked, held)
    number, shown = asked.number, task.show(both)

    def draw(key: Array) -> tuple[Rollouts, Array]:
        rollouts = tf.sample(key, model, params, both, group=GROUP, length=task.length, end=task.end)
        return rollouts, reward(strict)(key, rollouts, task.verify(key, both, rollouts))

    # [2, N + M, G]: for the step, and for the prediction.
    rollouts, earned = jax.lax.map(draw, jax.random.split(key))
    weights = jax.vmap(jax.vmap(grpo(GROUP).weights))(earned[:, :number])

    def alone(index: Array) -> Params:
        which, n = index // number, index % number
        one, mine = jax.tree.map(lambda x: x[which, n][None], (rollouts, weights))
        return slope(model, params, jax.tree.map(lambda x: x[n][None], asked), one, mine)

    single = jax.lax.map(alone, jnp.arange(2 * number))
    order = jax.random.permutation(jax.random.fold_in(key, 2), number)

    def both_times(rows: Array) -> tuple[Params, Params]:
        return tuple(
            jax.tree.map(lambda x, r=r: jnp.mean(x[r], axis=0), single) for r in (rows, number + rows)
        )

    g, again = both_times(jnp.arange(number))
    halves = [both_times(rows) for rows in (order[::2], order[1::2])]

    def accuracy(params: Params) -> Array:
        return tf.read_out(model, params, shown).accuracy

    length, places = jnp.maximum(optax.tree.norm(g), 1e-12), sum(x.size for x in jax.tree.leaves(g))
    unit = jax.tree.map(lambda x: x / length, g)
    longest = jnp.maximum(jnp.max(jax.vmap(optax.tree.norm)(single)), 1e-12)
    target = jax.grad(lambda p: jnp.mean(accuracy(p)[number:]))(params)
    directions = jax.tree.map(
        lambda u, s: jnp.concatenate(
            [jnp.stack([0 * u, u, jnp.sign(u) / places**0.5]), s[:number] / longest]
        ),
        unit,
        single,
    )

    def after(direction: Params) -> Array:
        return accuracy(jax.tree.map(lambda p, d: p + STEP * d.astype(p.dtype), params, direction))

    ways = jax.tree.map(lambda a, b: jnp.stack([a, b]), unit, target)

    def along(index: Array) -> Array:
        way = jax.tree.map(lambda x: x[index // 2], ways)
        mine, paid = jax.tree.map(lambda x: x[index % 2], (rollouts, earned))
        return contrast(kernel.moved(lambda p: said(model, p, both, mine), params, way), paid)

    moved = jax.lax.map(after, directions)
    # Along the step, then along the target; of the step's own rollouts, then of the others.
    toward = jax.lax.map(along, jnp.arange(4))
    own = jnp.mean(earned[0, :number], axis=1)
    found: dict[str, Any] = {
        "accuracy": moved[0],
        "rate": jnp.mean(earned[1], axis=1),
        "kernel": toward[1],
        "gain": (moved[1:3] - moved[:1]) / STEP,
        "given_kernel": toward[3, :number],
        "own_given": jnp.sqrt(own * (1 - own)) * toward[2, :number],
        "given": jnp.mean((moved[3:] - moved[:1])[:, number:], axis=1) * longest / STEP,
        "co": optax.tree.vdot(g, again),
        "halves": jnp.stack([jnp.asarray(optax.tree.vdot(*pair)) for pair in halves]),
    }
    return found

"""Gradients of GRPO and of SFT along a run of Adam: how much of them is noise, and what Adam makes of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from qra_jax import transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.studies.weights._ways import GROUP, solved
from qra_jax.transformer import rl, weights
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.reward import verifiable

DECAY, WARM, SIGNS = 0.9, 10, 8
"""β₁ of Adam; first steps that are not counted; sequences of random signs that are averaged."""
DECILES = 0.1, 0.9


def slope(
    key: Array, model: Model, params: Params, task: Any, *, questions: int, supervised: Array | bool
) -> Params:
    """Gradient of the loss of one batch: of GRPO on policy, or of SFT on right demonstrations, every pattern as often.

    Args:
      key: PRNG key.
      model: the network.
      params: its parameters.
      task: what is asked.
      questions: N of the batch; each has `GROUP` sequences.
      supervised: SFT in the place of GRPO; may be traced.

    Returns:
      As `params`.
    """
    keys = jax.random.split(key, 5)
    asked = task.draw(keys[0], questions)
    own = tf.sample(keys[1], model, params, asked, group=GROUP, length=task.length, end=task.end)
    earned = verifiable()(keys[3], own, task.verify(keys[2], asked, own))
    pick = jax.random.randint(keys[4], (questions, GROUP, 1), 0, task.patterns)
    shown = (jnp.take_along_axis(x, pick, axis=1) for x in solved(task, asked))
    rows, where = (jnp.where(supervised, x, y) for x, y in zip(shown, (own.tokens, own.where), strict=True))
    weight = jnp.where(supervised, 1.0, jax.vmap(grpo(GROUP).weights)(earned))

    def loss(params: Params) -> Array:
        scores = rl.log_probs(model, params, asked, rows)
        said = jnp.take_along_axis(scores, rows[..., None], axis=-1)[..., 0]
        return -jnp.mean(weight * jnp.sum(jnp.where(where, said, 0.0), axis=-1))

    return jax.grad(loss)(params)


def moments(
    key: Array,
    model: Model,
    params: Params,
    task: Any,
    *,
    steps: int,
    questions: int,
    rate: Array,
    supervised: Array | bool,
) -> dict[str, Array]:
    """What Adam's moments are made of along a run, of the matrices of attention and perceptron.

    Cosines are means over the steps that have a gradient.

    Args:
      key: PRNG key.
      model: the network.
      params: where it starts.
      task: what is asked.
      steps: of Adam, above `WARM`.
      questions: N of a batch.
      rate: learning rate.
      supervised: SFT in the place of GRPO; may be traced.

    Returns:
      `own` `[4]`, cosine of the first moment with the gradient of its step: as they are; for gradients whose signs
      are drawn at random, twice; for gradients to which a part is added that is as long and has always one direction.
      `next` `[4]`, of the moment before with that gradient. `fresh`, of two gradients of different batches. `spread`
      `[3]`, ninth over first decile of the root of the second moment within a matrix, as it is, and with the entries
      of every gradient moved round, twice.
    """
    optimiser = optax.adam(rate, b1=DECAY)
    draw = partial(slope, model=model, task=task, questions=questions, supervised=supervised)
    matrices = weights.parts.select

    def step(carry: Any, index: Array) -> tuple[Any, Array]:
        params, memory, first, shuffled = carry
        keys = jax.random.split(jax.random.fold_in(key, index), 5)
        both = jax.lax.map(lambda k: draw(k, params=params), keys[:2])
        mine = jax.tree.map(lambda x: x[0], both)
        g, fresh = jax.vmap(lambda x: ravel_pytree(matrices(x))[0])(both)
        signs = jax.random.rademacher(keys[2], (2 * SIGNS, 1), g.dtype)
        every = jnp.concatenate([g[None], signs * g[None], (g + jnp.linalg.norm(g) * drift)[None]])
        later = DECAY * first + (1 - DECAY) * every
        a = jnp.concatenate([later, first, g[None]])
        b = jnp.concatenate([every, every, fresh[None]])
        seen = jnp.stack([jnp.sum(a * b, axis=-1), jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1)])
        shuffled = {
            name: 0.999 * shuffled[name] + 0.001 * _permuted(jax.random.fold_in(keys[3], i), x) ** 2
            for i, (name, x) in enumerate(matrices(mine).items())
        }
        change, memory = optimiser.update(mine, memory, params)
        return (optax.apply_updates(params, change), memory, later, shuffled), seen

    zero = {name: jnp.zeros((2, x.size)) for name, x in matrices(params).items()}
    number = sum(x.size for x in matrices(params).values())
    first = jnp.zeros((2 + 2 * SIGNS, number))
    drift = jax.random.rademacher(jax.random.fold_in(key, steps), (number,), first.dtype) / number**0.5
    carry, seen = jax.lax.scan(step, (params, optimiser.init(params), first, zero), jnp.arange(steps))
    inner, norms = jnp.moveaxis(seen[WARM:], 1, 0)
    there = norms > 0  # silent groups alone give no gradient
    cosine = jnp.sum(inner / jnp.where(there, norms, 1.0), axis=0) / jnp.sum(there, axis=0)
    second = {name: x.reshape(1, -1) for name, x in matrices(carry[1][0].nu).items()}
    spread = _spread({name: jnp.concatenate([x, carry[3][name]]) for name, x in second.items()})
    kinds = [1, 1 + SIGNS, 1 + 2 * SIGNS]
    own, later = (jnp.stack([jnp.mean(x) for x in jnp.split(c, kinds)]) for c in jnp.split(cosine[:-1], 2))
    return {"own": own, "next": later, "fresh": cosine[-1], "spread": spread}


def _permuted(key: Array, x: Array) -> Array:
    """Entries moved round by two random numbers of places, `[2, size]`: any place may come to any other."""
    return jax.vmap(lambda places: jnp.roll(x.ravel(), places))(jax.random.randint(key, (2,), 0, x.size))


def _spread(second: dict[str, Array]) -> Array:
    """Ninth over first decile of the roots `[kinds, size]`, geometric mean over matrices."""
    ends = [jnp.quantile(jnp.sqrt(x), jnp.array(DECILES), axis=-1) for x in second.values()]
    return jnp.exp(jnp.mean(jnp.stack([jnp.log(high / low) for low, high in ends]), axis=0))

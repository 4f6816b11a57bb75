"""What a step does to contexts that it was not made on, by the logit kernel."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from qra_jax import transformer
from qra_jax.algorithm import grpo
from qra_jax.transformer import kernel
from qra_jax.transformer.kernel import Contexts
from qra_jax.transformer.model import Model, Params

SAMPLES = 8
"""Single samples whose effect on all held-out contexts is looked at."""


def one_step(
    key: Array, model: Model, params: Params, asked: Contexts, held: Contexts, tokens: Array, rates: Array
) -> dict[str, Array]:
    """Predicted and actual change of log-probabilities in held-out contexts by a step of GRPO, and by one sample.

    Args:
      key: PRNG key, of the samples and of which of them are right.
      model: the network.
      params: its parameters.
      asked: N contexts of one place that the step is made on.
      held: contexts of one place where the change is looked at.
      tokens: `[n]`, those that are sampled, evenly.
      rates: `[rates]`, learning rates.

    Returns:
      `r2`: shares of the variance of the actual change that R + G, R and G explain, `[rates, 3]`.
      `missed`: root mean square of actual less predicted change, `[rates]`.
      `least`: of all samples and held-out contexts the least change of a log-probability by a step on one rewarded
        sample, over its mean size; through R and R + G, of the sampled token and of another one, `[2, 2]`.
    """
    here, there = kernel.logits(model, held), kernel.logits(model, asked)
    keys, number = jax.random.split(key, 3), asked.tokens.shape[0]
    rewards = jax.random.bernoulli(keys[0], 0.5, (number, len(tokens)))
    weights = jax.vmap(grpo(len(tokens)).weights)(rewards.astype(rates.dtype)) / rewards.size

    def pulled(params: Params, back: Any, pulls: Array) -> tuple[Params, Array]:
        slope = back(pulls[:, None, None])[0]
        split = [kernel.moved(here, params, part) for part in kernel.parted(slope)]
        own = jax.nn.softmax(here(params))
        change = jnp.stack([sum(split), *split])
        return slope, (change - jnp.sum(own[None] * change, axis=-1, keepdims=True))[:, :, 0, 0]

    logits, back = jax.vjp(there, params)
    policy = jax.nn.softmax(logits)[:, 0, 0]
    emitted = jax.nn.one_hot(tokens, policy.shape[-1], dtype=policy.dtype)
    group = jnp.sum(weights[..., None] * (emitted[None] - policy[:, None]), axis=1)
    which = jnp.arange(SAMPLES) % len(tokens)
    single = jax.nn.one_hot(jnp.arange(SAMPLES), number)[..., None] * (emitted[which][:, None] - policy[None])
    slopes, changes = jax.lax.map(
        lambda pulls: pulled(params, back, pulls), jnp.concatenate([group[None], single]).astype(policy.dtype)
    )
    slope = jax.tree.map(lambda x: x[0], slopes)
    before = jax.nn.log_softmax(here(params))[:, 0, 0]

    def actual(rate: Array) -> Array:
        after = jax.tree.map(lambda x, g: x + rate * g, params, slope)
        return (jax.nn.log_softmax(here(after))[:, 0, 0] - before) / rate

    moved = jax.lax.map(actual, rates)
    missed = jnp.sqrt(jnp.mean((moved - changes[0, :1]) ** 2, axis=(1, 2))) * rates
    through = changes[1:, jnp.array([1, 0])]  # [samples, through, contexts, V]
    least = []
    for token in (tokens[which], tokens[(which + 1) % len(tokens)]):
        gain = jnp.take_along_axis(through, token[:, None, None, None], axis=-1)
        least.append(jnp.min(gain, axis=(0, 2, 3)) / jnp.mean(jnp.abs(gain), axis=(0, 2, 3)))
    return {"r2": explained(moved, changes[0]), "missed": missed, "least": jnp.stack(least, axis=1)}


def explained(actual: Array, predicted: Array) -> Array:
    """Share of the variance of actual changes that predicted ones explain.

    Args:
      actual: `[rates, ...]`.
      predicted: `[predictions, ...]`.

    Returns:
      R² `[rates, predictions]`; negative where nothing would have been the better prediction.
    """
    actual, predicted = (x.reshape(x.shape[0], -1) for x in (actual, predicted))
    missed = jnp.sum((actual[:, None] - predicted[None]) ** 2, axis=-1)
    return 1 - missed / jnp.sum((actual - jnp.mean(actual, axis=1, keepdims=True)) ** 2, axis=1)[:, None]


def cosines(model: Model, params: Params, contexts: Contexts, places: dict[str, Any]) -> Array:
    """Mean cosine of features between contexts of different questions.

    Args:
      model: the network.
      params: its parameters.
      contexts: N ≥ 2 questions.
      places: slices of places of their sequences, by name.

    Returns:
      A number for each kind of places.
    """
    questions, tokens = contexts
    _, features = transformer.score(model, params, questions.prompt, questions.real, tokens)
    unit = features / jnp.linalg.norm(features, axis=-1, keepdims=True)

    def one(where: Any) -> Array:
        mean = jnp.mean(unit[:, :, where], axis=(1, 2))
        number = mean.shape[0]
        return (jnp.sum(jnp.sum(mean, axis=0) ** 2) - jnp.sum(mean**2)) / (number * (number - 1))

    return jnp.stack([one(where) for where in places.values()])

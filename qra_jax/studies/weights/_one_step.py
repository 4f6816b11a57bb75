"""What a step does to contexts that it was not made on, by the logit kernel."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from qra_jax import transformer
from qra_jax.algorithm import grpo
from qra_jax.transformer import kernel
from qra_jax.transformer.kernel import Contexts, Split
from qra_jax.transformer.model import Model, Params

SAMPLES = 8
"""Single samples whose effect on all held-out contexts is looked at."""


def samples(key: Array, asked: Contexts, tokens: Array, dtype: Any = jnp.float32) -> tuple[Contexts, Array]:
    """Every token once in every context, half of them right by chance, and the weights that GRPO gives them.

    Args:
      key: PRNG key.
      asked: N contexts of one place.
      tokens: `[G]`.
      dtype: of the weights.

    Returns:
      Contexts with these samples, and weights `[N, G, 1]` over N G.
    """
    number, group = asked.tokens.shape[0], len(tokens)
    rewards = jax.random.bernoulli(key, 0.5, (number, group)).astype(dtype)
    weights = jax.vmap(grpo(group).weights)(rewards) / rewards.size
    sampled = jnp.broadcast_to(tokens[None, :, None], (number, group, 1))
    return Contexts(asked.questions, sampled), weights[..., None]


def pulled(model: Model, params: Params, there: Contexts, weights: Array) -> Params:
    """Slope of the weighted log-probabilities of samples."""

    def objective(params: Params) -> Array:
        log_probs = jax.nn.log_softmax(kernel.logits(model, there)(params))
        return jnp.sum(weights * jnp.take_along_axis(log_probs, there.tokens[..., None], axis=-1)[..., 0])

    return jax.grad(objective)(params)


def along(params: Params, slope: Params, rate: Array) -> Params:
    """Parameters after a step."""
    return jax.tree.map(lambda x, g: x + rate * g, params, slope)


def one_step(
    key: Array, model: Model, params: Params, asked: Contexts, held: Contexts, tokens: Array, rates: Array
) -> dict[str, Array]:
    """Predicted and actual change of log-probabilities in held-out contexts by a step of GRPO, and by one sample.

    Args:
      key: PRNG key, of which samples are right.
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
    there, weights = samples(key, asked, tokens)
    predicted = _three(kernel.one_step(model, params, held, there, weights, 1.0))
    here, slope = kernel.logits(model, held), pulled(model, params, there, weights)
    before = jax.nn.log_softmax(here(params))

    def actual(rate: Array) -> Array:
        return (jax.nn.log_softmax(here(along(params, slope, rate))) - before) / rate

    moved = jax.lax.map(actual, rates)
    missed = jnp.sqrt(jnp.mean((moved - predicted[:1]) ** 2, axis=(1, 2, 3, 4))) * rates
    number, group = there.tokens.shape[:2]
    which = jnp.arange(SAMPLES) % group
    single = jax.nn.one_hot(jnp.arange(SAMPLES) * group + which, number * group).reshape(-1, number, group, 1)
    changes = jax.lax.map(lambda w: _three(kernel.one_step(model, params, held, there, w, 1.0)), single)
    through = changes[:, jnp.array([1, 0])]  # [samples, through, contexts, 1, 1, V]
    least = []
    for token in (tokens[which], tokens[(which + 1) % group]):
        gain = jnp.take_along_axis(through, token.reshape(-1, 1, 1, 1, 1, 1), axis=-1)
        other = tuple(axis for axis in range(gain.ndim) if axis != 1)
        least.append(jnp.min(gain, axis=other) / jnp.mean(jnp.abs(gain), axis=other))
    return {"r2": explained(moved, predicted), "missed": missed, "least": jnp.stack(least, axis=1)}


def influences(
    key: Array,
    model: Model,
    params: Params,
    asked: Contexts,
    held: Contexts,
    tokens: Array,
    success: Array,
    rate: Array,
) -> dict[str, Array]:
    """What a step of GRPO on each question alone does to the expected reward of each that is held out.

    Args:
      key: PRNG key, of which samples are right.
      model: the network.
      params: its parameters.
      asked: N contexts of one place.
      held: N₂ contexts of one place.
      tokens: `[n]`, those that are sampled, and may be right.
      success: `[N2, n]`, how often each is right in the contexts held out.
      rate: learning rate of the steps.

    Returns:
      `predicted` by R + G, R and G, `[3, N2, N]`, and `measured`, `[N2, N]`; over the rate.
    """
    there, weights = samples(key, asked, tokens)
    here = kernel.logits(model, held)

    def rewards(params: Params) -> Array:
        policy = jax.nn.softmax(here(params))[:, 0, 0]
        return jnp.sum(policy[:, tokens] * success, axis=-1)

    policy = jax.nn.softmax(here(params))[:, 0, 0][:, tokens]
    looked = Contexts(held.questions, jnp.broadcast_to(tokens[None, :, None], (*success.shape, 1)))
    found = kernel.influence(model, params, there, weights, looked, (policy * success)[..., None])
    before, number = rewards(params), weights.shape[0]

    def step(n: Array) -> Array:
        own = weights * (jnp.arange(number) == n)[:, None, None]
        return (rewards(along(params, pulled(model, params, there, own), rate)) - before) / rate

    return {"predicted": _three(found), "measured": jax.lax.map(step, jnp.arange(number)).T}


def unsplit(key: Array, model: transformer.Decoder, params: Params, here: Contexts, there: Contexts) -> Array:
    r"""How much of the whole logit kernel is missing in R + G, in R and in G, each from its own definition.

    The whole is $J_zJ_z'^\top$, by all parameters at once; R is ⟨φ, φ′⟩ I, from features alone; G is
    $W^\top J_\phi J_\phi'^\top W$, from derivatives of the features alone. Each is applied to a random vector.

    Args:
      key: PRNG key of the vector.
      model: the network.
      params: its parameters.
      here: N contexts of one place.
      there: N₂ contexts of one place.

    Returns:
      `[3]`, norms of what is missing over that of the whole.
    """

    def features(contexts: Contexts) -> Any:
        questions, tokens = contexts
        return lambda params: transformer.score(model, params, questions.prompt, questions.real, tokens)[1]

    logits, back = jax.vjp(kernel.logits(model, there), params)
    vector = jax.random.normal(key, logits.shape, logits.dtype)
    whole = kernel.moved(kernel.logits(model, here), params, back(vector)[0])
    unembedding = params["unembedding"]["kernel"]
    own, other = features(here)(params), features(there)(params)
    r = jnp.einsum("nabd,mcfd,mcfv->nabv", own, other, vector)
    (slope,) = jax.vjp(features(there), params)[1](vector @ unembedding.T)
    g = kernel.moved(features(here), params, slope) @ unembedding
    return jnp.stack([jnp.linalg.norm(whole - part) for part in (r + g, r, g)]) / jnp.linalg.norm(whole)


def _three(split: Split) -> Array:
    """R + G, R and G."""
    return jnp.stack([split.whole, *split])


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

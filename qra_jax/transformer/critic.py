"""A critic of token sequences: a linear head on a network's hidden states, fitted to the returns that it has seen."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float

from qra_jax.transformer.model import Model, Params, score

RIDGE = 1e-4
"""Of the regression, in units of the mean square of its features."""


class Critic(NamedTuple):
    """Moments of hidden states φ (with a one appended) and returns, averaged over the last steps."""

    square: Float[Array, "D D"]
    """Mean of φφᵀ."""
    product: Float[Array, " D"]
    """Mean of φR."""


def critic_start(model: Model, params: Params) -> Critic:
    """A critic that has seen nothing and says zero.

    Args:
      model: the network.
      params: its parameters.

    Returns:
      A `Critic` of its hidden states.
    """
    token = jnp.zeros((1, 1), int)
    _, features = jax.eval_shape(lambda: score(model, params, token, None, token[None]))
    size, dtype = features.shape[-1] + 1, jnp.promote_types(features.dtype, jnp.float32)
    return Critic(jnp.zeros((size, size), dtype), jnp.zeros(size, dtype))


def critic_values(critic: Critic, features: Float[Array, "N G T D"]) -> Float[Array, "N G T"]:
    r"""A learnt critic's values $w\cdot\phi$, with w the least-squares fit to the returns that it has seen.

    Args:
      critic: its moments.
      features: `[N, G, T, D]`, hidden states before each token.

    Returns:
      `[N, G, T]`.
    """
    size = critic.square.shape[0]
    scale = jnp.trace(critic.square) / size
    ridge = jnp.where(scale > 0, RIDGE * scale, 1.0) * jnp.eye(size, dtype=critic.square.dtype)
    return _known(features, critic) @ jnp.linalg.solve(critic.square + ridge, critic.product)


def critic_learns(
    critic: Critic,
    rate: ArrayLike,
    features: Float[Array, "N G T D"],
    where: Bool[Array, "N G T"],
    rewards: Float[Array, "N G"],
) -> Critic:
    r"""A critic after a batch: its moments move towards those of the batch, $m \mathrel{+}= \alpha(\bar m - m)$.

    Args:
      critic: as it was.
      rate: α in (0, 1].
      features: `[N, G, T, D]`.
      where: `[N, G, T]`, which tokens were sampled.
      rewards: `[N, G]`, returns.

    Returns:
      The critic of the next step.
    """
    seen = _known(features, critic) * where[..., None]
    returns, number = rewards[..., None] * where, jnp.sum(where)
    batch = Critic(jnp.einsum("ngtd,ngte->de", seen, seen), jnp.einsum("ngtd,ngt->d", seen, returns))
    return jax.tree.map(
        lambda old, new: old + jnp.asarray(rate, old.dtype) * (new / number - old), critic, batch
    )


def _known(features: Array, critic: Critic) -> Array:
    one = jnp.ones_like(features[..., :1])
    return jax.lax.stop_gradient(jnp.concatenate([features, one], axis=-1)).astype(critic.product.dtype)

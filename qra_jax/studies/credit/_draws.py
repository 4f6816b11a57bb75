"""Random questions: base policies and success rates from few uniform numbers, which compile faster than gammas."""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

NODES = 4097
"""Nodes of a tabulated quantile function."""


def flat(key: Array, count: int) -> Float[Array, " patterns"]:
    """Logs of probabilities from Dirichlet(1), which are shares of exponential numbers: `[patterns]`."""
    return jax.nn.log_softmax(jnp.log(jax.random.exponential(key, (count,))))


def uneven(key: Array, count: int) -> Float[Array, " patterns"]:
    """Probabilities from Dirichlet(1/2), which are shares of squared normal numbers: `[patterns]`."""
    square = jax.random.normal(key, (count,)) ** 2
    return square / square.sum()


def beta(share: Array, a: float, b: float) -> Array:
    """Quantiles of Beta(a, b) at shares in [0, 1], linear between tabulated ones."""
    levels, values = _table(a, b)
    return jnp.interp(share.ravel(), levels, values).reshape(share.shape)


@lru_cache
def _table(a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    levels = np.linspace(0, 1, NODES)
    return levels, special.betaincinv(a, b, levels)

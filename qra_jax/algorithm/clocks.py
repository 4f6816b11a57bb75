"""Clocks in closed form: in the limit G → ∞, or for every G where they do not depend on it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

Params = dict[str, Any]


def one(params: Params, mean: Array, miss: Array) -> Array:
    """1."""
    return jnp.ones_like(mean)


def two(params: Params, mean: Array, miss: Array) -> Array:
    """2."""
    return 2 * jnp.ones_like(mean)


def one_plus_negative(params: Params, mean: Array, miss: Array) -> Array:
    """1 + w."""
    return jnp.ones_like(mean) * (1 + jnp.asarray(params["negative_weight"], mean.dtype))


def inverse_std(params: Params, mean: Array, miss: Array) -> Array:
    """1/(√(ρ(1−ρ)) + ε)."""
    return 1 / (jnp.sqrt(mean * miss) + jnp.asarray(params.get("epsilon", 0.0), mean.dtype))


def inverse_mean(params: Params, mean: Array, miss: Array) -> Array:
    """1/ρ."""
    return 1 / mean


def pass_at_k(params: Params, mean: Array, miss: Array) -> Array:
    """k (1−ρ)^{k−1}."""
    k = jnp.asarray(params["k"], mean.dtype)
    return k * jnp.where(k == 1, 1.0, miss ** (k - 1))


def log_pass_at_k(params: Params, mean: Array, miss: Array) -> Array:
    """Its logarithm."""
    k = jnp.asarray(params["k"], mean.dtype)
    return jnp.log(k) + (k - 1) * jnp.log(jnp.where(k == 1, 1.0, miss))


def power(params: Params, mean: Array, miss: Array) -> Array:
    """ρ^{−q}."""
    return mean ** -jnp.asarray(params["q"], mean.dtype)


def real_one(params: Params, std: Array, group: Any) -> Array:
    """1, for every reward."""
    return jnp.ones_like(std)


def real_shrunk(params: Params, std: Array, group: Any) -> Array:
    """1 − 1/G, for every reward."""
    return jnp.ones_like(std) * (1 - 1 / jnp.asarray(group, std.dtype))


def real_inverse_std(params: Params, std: Array, group: Any) -> Array:
    """1/(σ + ε), in the limit of large groups."""
    return 1 / (std + jnp.asarray(params.get("epsilon", 0.0), std.dtype))

r"""Expectations over a binomial count: Bernstein polynomials, precise at both ends of [0, 1].

$$ E_{j\sim{\rm Bin}(m,\rho)}[v_j] = \sum_j \binom mj \rho^j (1-\rho)^{m-j} v_j $$
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


@jax.custom_jvp
def bernstein(values: Array, mean: Array, miss: Array) -> Array:
    """Σ_j C(m, j) ρ^j (1−ρ)^{m−j} values_j: a sum of powers, precise down to ρ = 0 and 1."""
    degree = values.shape[0] - 1
    steps = np.log(np.arange(degree, 0, -1)) - np.log(np.arange(1, degree + 1))
    log_binomial = jnp.asarray(np.concatenate([[0.0], np.cumsum(steps)]), mean.dtype)
    xlogy = jax.scipy.special.xlogy

    def term(j: Array, log_binomial: Array, value: Array) -> Array:
        return jnp.exp(log_binomial + xlogy(j, mean) + xlogy(degree - j, miss)) * value

    terms = jax.vmap(term)(jnp.arange(degree + 1, dtype=mean.dtype), log_binomial, values.astype(mean.dtype))
    return jnp.sum(terms, axis=0)


@bernstein.defjvp
def _slope(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    """Differences of neighbouring values, one degree lower: finite at ρ = 0 and 1, as no logarithm is."""
    (values, mean, miss), (d_values, d_mean, d_miss) = primals, tangents
    slope, degree = bernstein(d_values, mean, miss), values.shape[0] - 1
    if degree:
        along_mean, along_miss = bernstein(values[1:], mean, miss), bernstein(values[:-1], mean, miss)
        slope = slope + degree * (d_mean * along_mean + d_miss * along_miss)
    return bernstein(values, mean, miss), slope


def not_silent(group: int, mean: Array, miss: Array) -> Array:
    """1 − ρ^G − (1−ρ)^G without cancellation: with s ≤ l the two rates, s (Σ_{j<G} l^j − s^{G−1})."""
    smaller, larger = jnp.minimum(mean, miss), jnp.maximum(mean, miss)
    ladder = jnp.sum(jax.vmap(lambda j: larger**j)(jnp.arange(group, dtype=mean.dtype)), axis=0)
    return smaller * (ladder - smaller ** (group - 1))


def probabilities(most: int, size: Array | int, mean: Array, miss: Array) -> Array:
    """Chances of k = 0 … most successes among `size` ≤ most tries, `[most + 1, ...]`; 0 where k > size."""
    count = jnp.arange(most + 1, dtype=mean.dtype).reshape((-1,) + (1,) * mean.ndim)
    size = jnp.asarray(size, mean.dtype)
    size = size if size.ndim == 0 else size[None]
    possible = count <= size
    others = jnp.where(possible, size - count, 0.0)
    lgamma, xlogy = jax.lax.lgamma, jax.scipy.special.xlogy
    log_binomial = lgamma(size + 1) - lgamma(count + 1) - lgamma(others + 1)
    log_chance = log_binomial + xlogy(count, mean[None]) + xlogy(others, miss[None])
    return jnp.where(possible, jnp.exp(log_chance), 0.0)


def elevate(values: Array, degree: Array) -> Array:
    """The same polynomial written with all its `[entries]`, where only `values[: degree + 1]` count.

    Entry i of the result is the mean of `values[j]` with j of `degree` draws without replacement from
    entries − 1 of which i are marked: so a degree that is traced needs no change of shape.
    """
    top = values.shape[0] - 1
    entry = jnp.arange(top + 1, dtype=values.dtype)
    i, j = entry[:, None], entry[None]
    possible = (j <= degree) & (j <= i) & (i - j <= top - degree)

    def log_choose(m: Array, k: Array) -> Array:
        lgamma = jax.lax.lgamma
        m, k = jnp.broadcast_arrays(jnp.where(possible, m, 0.0), jnp.where(possible, k, 0.0))
        return lgamma(m + 1) - lgamma(k + 1) - lgamma(m - k + 1)

    degree = jnp.asarray(degree, values.dtype)
    whole = jnp.full_like(i + j, top)
    log_weight = log_choose(degree + 0 * whole, j + 0 * whole) + log_choose(whole - degree, i - j)
    log_weight = log_weight - log_choose(whole, i + 0 * whole)
    weight = jnp.where(possible, jnp.exp(log_weight), 0.0)
    return jnp.sum(weight * jnp.where(entry <= degree, values, 0.0)[None], axis=1)

"""What an orbit conserves: a test whether a policy lies on it, and the time that it has come."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.problem import Problem


def first_integral(
    problem: Problem, log_policy: Float[Array, "*b patterns"], *, patterns: tuple[int, int, int] = (0, 1, 2)
) -> Float[Array, "*b"]:
    r"""First-integral test of three patterns i, j, k: 1 on the policy-gradient orbit from π_ref, whatever the clock.

    With w = 1/π up to the common factor that conserves Σ log w, $w_r - u_r = \int\rho\,d\tau - p_r\tau$ along the
    orbit, u = 1/π_ref, so that

    $$ \frac{(w_i - u_i) - (w_j - u_j)}{(w_i - u_i) - (w_k - u_k)}\bigg/\frac{p_i - p_j}{p_i - p_k} = 1. $$

    Args:
      problem: the question; the patterns' success rates differ.
      log_policy: `[..., patterns]`, log π, finite; not π_ref itself.
      patterns: i, j, k, three different patterns.

    Returns:
      `[...]`, the ratio; NaN at π_ref and where i and k have the same success rate.

    Raises:
      ValueError: patterns that are no three different ones of the problem's.

    Reference: *derived here*.

    >>> problem = Problem.from_probs(ref=[0.2, 0.3, 0.5], success=[0.9, 0.6, 0.1])
    >>> natural = problem.log_ref + 2 * problem.success
    >>> bool(abs(first_integral(problem, natural - jnp.log(jnp.sum(jnp.exp(natural)))) - 1) > 0.05)
    True
    """
    count = problem.patterns
    if len(set(patterns)) != 3 or not all(
        0 <= _check.integer("patterns", r, low=0) < count for r in patterns
    ):
        raise ValueError(f"patterns: {patterns}; must be three different ones in [0, {count - 1}]")
    i, j, k = patterns
    rise, p = _rise(problem, log_policy), problem.success
    return (rise[..., i] - rise[..., j]) / (rise[..., i] - rise[..., k]) / ((p[i] - p[j]) / (p[i] - p[k]))


def orbit_time(
    problem: Problem, log_policy: Float[Array, "*b patterns"], *, patterns: tuple[int, int] = (0, -1)
) -> Float[Array, "*b"]:
    r"""Time τ of the orbit at which it passes a policy, read off two patterns.

    $$ \tau = \frac{(w_i - u_i) - (w_k - u_k)}{p_k - p_i} $$

    Args:
      problem: the question.
      log_policy: `[..., patterns]`, log π of a policy on the orbit, finite.
      patterns: i, k, two patterns with different success rates; negative ones count from the end.

    Returns:
      `[...]`, τ.

    Raises:
      ValueError: twice the same pattern.

    Reference: *derived here*.

    >>> problem = Problem.from_probs(ref=[0.2, 0.3, 0.5], success=[0.9, 0.6, 0.1])
    >>> print(abs(float(orbit_time(problem, problem.log_ref))))
    0.0
    """
    i, k = patterns
    if i % problem.patterns == k % problem.patterns:
        raise ValueError(f"patterns: {patterns}; must be two different ones")
    rise = _rise(problem, log_policy)
    return (rise[..., i] - rise[..., k]) / (problem.success[k] - problem.success[i])


def path_distance(path: np.ndarray, reference: np.ndarray) -> float:
    """Largest distance of a path's points from a reference path, as the largest difference in any share.

    Args:
      path: `[..., times, shares]`.
      reference: `[..., times, shares]`, joined by straight lines; each of the leading elements is on its own.

    Returns:
      The distance, to the nearest point in the Euclidean sense.

    >>> line = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> print(round(path_distance(np.array([[0.25, 0.75], [0.6, 0.6]]), line), 6))
    0.1
    """
    worst = 0.0
    shapes = (-1, *np.shape(path)[-2:]), (-1, *np.shape(reference)[-2:])
    for points, line in zip(np.reshape(path, shapes[0]), np.reshape(reference, shapes[1]), strict=True):
        if np.isnan(points).any() or np.isnan(line).any():
            return math.nan
        a, d = line[:-1], np.diff(line, axis=0)
        part = np.einsum("ptk,tk->pt", points[:, None] - a, d) / np.maximum(np.sum(d * d, axis=-1), 1e-300)
        gaps = points[:, None] - (a + np.clip(part, 0, 1)[..., None] * d)
        nearest = np.argmin(np.sum(gaps**2, axis=-1), axis=1)
        worst = max(worst, float(np.abs(gaps[np.arange(len(points)), nearest]).max()))
    return worst


def _rise(problem: Problem, log_policy: Array) -> Array:
    """w − u by pattern, w the reciprocal policy scaled to the product that 1/π_ref has."""
    log_ref = jnp.broadcast_to(problem.log_ref, log_policy.shape)
    log_scale = jnp.mean(log_policy - log_ref, axis=-1, keepdims=True)
    return jnp.exp(log_scale - log_policy) - jnp.exp(-log_ref)

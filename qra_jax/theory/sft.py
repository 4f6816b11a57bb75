"""Supervised fine-tuning before reinforcement learning: how good its data must be, and its flow in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from qra_jax import _check, _roots
from qra_jax.problem import Problem

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def sft_quality(problem: Problem, mixture: Float[Array, " patterns"]) -> Float[Array, ""]:
    r"""Margin by which data on a mixture of patterns makes the regime fast, were SFT to run for ever.

    SFT, $\dot\theta = \mu - \pi$, ends at π = μ, so what follows is Regime 1 iff the margin is not negative:

    $$ \sum_r \mu_r\,p_r \;-\; \max_{r:\,p_r<p_{r^\star}} p_r $$

    Args:
      problem: the question.
      mixture: `[patterns]`, μ, shares of the patterns in the data; non-negative, sums to one.

    Returns:
      The margin, in [−1, 1].

    Reference: Chen, Li, Zou, arXiv 2506.04695 v1 ("feasibly high-quality data", *reported*); made exact here.
    """
    return jnp.sum(mixture * problem.success) - problem.second_best


def sft_mass_needed(problem: Problem) -> Float[Array, ""]:
    r"""Least share x of demonstrations of r*, mixed with the model's own choices, that makes the regime fast.

    The mixture $\mu = (1-x)\,\pi_{\rm ref} + x\,e_{r^\star}$ reaches the second-best success rate $p_2$ at

    $$ x = \frac{(p_2 - \rho_{\rm ref})_+}{p_{r^\star} - \rho_{\rm ref}} $$

    Args:
      problem: the question.

    Returns:
      x in [0, 1]; 0 in the fast regime. The mass of r* is then $(1-x)\,\pi_{\rm ref}(r^\star) + x$.

    Reference: *derived here*.

    >>> from qra_jax.problem import examples
    >>> print(round(float(sft_mass_needed(examples.worked())), 6))
    0.268293
    """
    top, base = jnp.max(problem.success), problem.accuracy_ref
    short = jnp.maximum(problem.second_best - base, 0.0)
    short = jnp.where(problem.second_best < top, short, 0.0)
    room = top - base
    return jnp.where(short > 0, short / jnp.where(short > 0, room, 1.0), 0.0)


@jax.jit
def sft_policy(problem: Problem, log_s: Float[Array, ""] | float) -> Float[Array, " patterns"]:
    r"""The policy that SFT on r* alone has reached at path parameter s.

    With $\pi_r \propto 1/w_r$ and $ds = dt/\sum_r w_r^{-1}$ the flow $\dot\theta = e_{r^\star} - \pi$ moves
    $w_r = 1/\pi_{\rm ref}(r) + s$ for r ≠ r* and keeps $\sum_r\log w_r$, so

    $$ \log\pi_r = \log\pi_{\rm ref}(r) - \log(1+\pi_{\rm ref}(r)\,s) + {\rm const}\ (r\ne r^\star),\qquad
       \log\pi_{r^\star} = \log\pi_{\rm ref}(r^\star)
         + \sum_{r\ne r^\star}\log(1+\pi_{\rm ref}(r)\,s) + {\rm const} $$

    Args:
      problem: the question; r* has reference mass.
      log_s: log s, any real number.

    Returns:
      `[patterns]`, log π.

    Reference: *derived here*.

    >>> from qra_jax.problem import examples
    >>> print(jnp.exp(sft_policy(examples.worked(), jnp.log(2.0))).round(3))
    [0.282 0.457 0.261]
    """
    growth = _growth(problem, jnp.asarray(log_s, problem.log_ref.dtype))
    own = jnp.arange(problem.patterns) == problem.best
    return jax.nn.log_softmax(problem.log_ref + jnp.where(own, jnp.sum(growth), -growth))


def sft_log_time(problem: Problem, log_s: Float[Array, ""] | float) -> Float[Array, ""]:
    r"""The time that SFT on r* alone takes to path parameter s, see [`sft_policy`][].

    $$ t = \sum_{r\ne r^\star}\log(1+\pi_{\rm ref}(r)\,s)
         + \pi_{\rm ref}(r^\star)\int_0^s \prod_{r\ne r^\star}(1+\pi_{\rm ref}(r)\,s')\,ds' $$

    Args:
      problem: the question; r* has reference mass.
      log_s: log s, any real number.

    Returns:
      log t, in units where dθ/dt has unit learning rate.

    Reference: *derived here*; the integral by 64 Gauss points, exact up to 128 patterns.

    >>> from qra_jax.problem import examples
    >>> print(round(float(jnp.exp(sft_log_time(examples.worked(), jnp.log(2.0)))), 4))
    1.4993
    """
    log_s = jnp.asarray(log_s, problem.log_ref.dtype)
    nodes, weights = jnp.asarray((_NODES + 1) / 2, log_s.dtype), jnp.asarray(_WEIGHTS / 2, log_s.dtype)
    products = jax.vmap(lambda log_s: jnp.sum(_growth(problem, log_s)))(log_s + jnp.log(nodes))
    log_integral = log_s + jax.nn.logsumexp(products + jnp.log(weights))
    log_others = jnp.log(jnp.sum(_growth(problem, log_s)))
    return jnp.logaddexp(log_others, problem.log_ref[problem.best] + log_integral)


def sft_policy_after(problem: Problem, time: Float[Array, ""] | float) -> Float[Array, " patterns"]:
    """The policy that SFT on r* alone has reached after a time, by the root of [`sft_log_time`][].

    Args:
      problem: the question; r* has reference mass.
      time: t > 0, in units where dθ/dt has unit learning rate.

    Returns:
      `[patterns]`, log π.

    Reference: *derived here*.

    >>> from qra_jax.problem import examples
    >>> print(jnp.exp(sft_policy_after(examples.worked(), 1.4993)).round(3))
    [0.282 0.457 0.261]
    """
    log_time = jnp.log(jnp.asarray(time, problem.log_ref.dtype))
    log_s = _roots.bisect(lambda log_s: sft_log_time(problem, log_s) - log_time, -_MOST, _MOST)
    return sft_policy(problem, log_s)


def sft_log_dose(problem: Problem) -> float:
    r"""The least SFT on r* alone after which accuracy is at least the second-best success rate.

    The root in s of $\sum_r \pi_r(s)\,p_r = p_2$ on the path of [`sft_policy`][]: from there on the regime is fast.

    Args:
      problem: the question; concrete, not traced.

    Returns:
      log s; −30 where no SFT is needed or none can be measured, +∞ where r* has no reference mass.

    Raises:
      ValueError: a problem that is not one.

    Reference: *derived here*.

    >>> from qra_jax.problem import examples
    >>> print(round(sft_log_dose(examples.worked()), 4))
    1.0119
    """
    _check.problem(problem)
    log_ref, success = np.asarray(problem.log_ref, float), np.asarray(problem.success, float)
    best = int(np.argmax(success))
    if np.isneginf(log_ref[best]):
        return np.inf
    second = success[success < success[best]].max(initial=-np.inf)
    if second == -np.inf:
        return _LEAST

    def excess(log_s: float) -> float:
        growth = np.logaddexp(0.0, np.where(np.arange(log_ref.size) == best, -np.inf, log_ref) + log_s)
        log_policy = log_ref - growth
        log_policy[best] += growth.sum()
        return float(np.exp(log_policy - np.logaddexp.reduce(log_policy)) @ success - second)

    high = -_LEAST
    while excess(high) < 0:  # r* takes all the mass, to the last digit, at some finite s
        high *= 2
    return _roots.halve(excess, _LEAST, high)


def best_split(
    times: np.ndarray, log_rl_time: np.ndarray, price: ArrayLike = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Where the cost of SFT and of the RL after it is least, between the points of a grid.

    $$ \min_T\; T + c\,T_{\rm rl}(T) $$

    Between three neighbouring points log T_rl is taken as a parabola.

    Args:
      times: `[times]`, T of the grid, increasing; at least three.
      log_rl_time: `[..., times]`, log T_rl after SFT for each of them.
      price: c ≥ 0, cost of a unit of RL time in units of SFT time, broadcast against `[...]`.

    Returns:
      `[...]` each: T of the least cost, the first or last time of the grid where it lies there, and the cost.

    Raises:
      ValueError: fewer than three times, or times that do not increase.

    Reference: *derived here*.

    >>> times = np.linspace(0.0, 20.0, 41)
    >>> split, cost = best_split(times, np.log(50.0) - 0.3 * times)
    >>> print(round(float(split), 3), round(float(cost), 3))
    9.027 12.36
    """
    times = np.asarray(times, float)
    if times.size < 3 or np.any(np.diff(times) <= 0):
        raise ValueError(f"times: {times.size} values; must be at least three, increasing")
    price = np.asarray(price, float)[..., None]
    log_rl_time = np.maximum(log_rl_time, _MET)
    cost, log_rl_time = np.broadcast_arrays(times + price * np.exp(log_rl_time), log_rl_time)
    middle = np.clip(np.argmin(cost, axis=-1), 1, times.size - 2)[..., None]
    (a, b, c), (ya, yb, yc) = (
        [np.take_along_axis(x, middle + i, axis=-1) for i in (-1, 0, 1)]
        for x in (np.broadcast_to(times, cost.shape), log_rl_time)
    )
    slope, bend = (yb - ya) / (b - a), ((yc - yb) / (c - b) - (yb - ya) / (b - a)) / (c - a)
    fine = a + (c - a) * np.linspace(0, 1, 2001)
    between = fine + price * np.exp(ya + (fine - a) * slope + (fine - a) * (fine - b) * bend)
    least = np.argmin(between, axis=-1)[..., None]
    return tuple(np.take_along_axis(x, least, axis=-1)[..., 0] for x in (fine, between))  # pyright: ignore


_LEAST = -30.0
"""log s that is as good as no SFT."""
_MOST = 300.0
"""log s that no time reaches."""
_MET = -60.0
"""log T_rl where SFT itself has met the target."""


def _growth(problem: Problem, log_s: Float[Array, ""]) -> Float[Array, " patterns"]:
    """log(1 + π_ref s) for each pattern, 0 for r*."""
    held = (jnp.arange(problem.patterns) != problem.best) & ~jnp.isneginf(problem.log_ref)
    return jnp.where(held, jnp.logaddexp(0.0, jnp.where(held, problem.log_ref, 0.0) + log_s), 0.0)

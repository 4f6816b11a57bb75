"""Supervised fine-tuning before reinforcement learning: how good its data must be, and its flow in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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


_LEAST = -30.0
"""log s that is as good as no SFT."""


def _growth(problem: Problem, log_s: Float[Array, ""]) -> Float[Array, " patterns"]:
    """log(1 + π_ref s) for each pattern, 0 for r*."""
    held = (jnp.arange(problem.patterns) != problem.best) & ~jnp.isneginf(problem.log_ref)
    return jnp.where(held, jnp.logaddexp(0.0, jnp.where(held, problem.log_ref, 0.0) + log_s), 0.0)

"""How accuracy starts to move, under verifiable rewards or the model's own certainty."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable

_VERIFIABLE = verifiable()


def initial_slope(problem: Problem, *, reward: Reward = _VERIFIABLE) -> Float[Array, ""]:
    r"""Slope of accuracy at the start of the softmax policy-gradient flow, at unit clock.

    $$ \dot\rho\,\big|_0 = \sum_r \pi_r^2\,(R_r - \bar R)(p_r - \rho), \qquad \pi = \pi_{\rm ref} $$

    Args:
      problem: the question.
      reward: what is climbed; RLVR never starts downhill, RLIF may.

    Returns:
      dρ/dt at t = 0, per unit time; ±inf if an infinite reward pulls there. NaN only if infinite rewards pull
      both ways (a surely right and a surely wrong pattern under self-certainty): give the reward a floor.

    Reference: *derived here*; a multiple of the natural gradient's Cov(R, p) when π_ref is uniform.
    """
    pi, p = problem.ref, problem.success
    # Linear in R, with coefficients that sum to zero: a spread, not a difference of large means.
    pull = pi * (p - problem.accuracy_ref)
    coefficient = pi * (pull - jnp.sum(pi * pull))
    rates = reward.rates(problem)
    finite = jnp.isfinite(rates) & (pi > 0)
    centre = jax.lax.stop_gradient(jnp.sum(jnp.where(finite, pi * rates, 0.0)))
    terms = coefficient * jnp.where(coefficient == 0, 0.0, rates - centre)
    return jnp.sum(terms)


def rlif_initial_slope(a: float | Array, b: float | Array, patterns: int) -> Float[Array, ""]:
    r"""Mean initial slope under self-certainty: two answers, uniform π_ref, success rates iid Beta(a, b).

    $$ E\,\dot\rho\,\big|_0 = \frac{n-1}{n^2}\,\mathrm{Cov}(p, R), \qquad
       \mathrm{Cov}(p, R) = \frac{a-b}{2\,(a+b)^2} $$

    from $\mathrm{Cov}(p, \log p) = b/(a+b)^2$. The slope is a sample covariance over n patterns divided by n,
    so its sign is certain as n → ∞ iff a ≠ b: up for a > b. At a = b (U[0, 1] among them) chance decides.

    Args:
      a: first parameter of the Beta distribution, > 0.
      b: its second parameter, > 0.
      patterns: n ≥ 1.

    Returns:
      The mean slope, over draws not conditioned on ρ_ref > ½.

    Raises:
      ValueError: a or b not positive, n < 1.

    Reference: *derived here*; to be held against Theorem 5.6 of arXiv 2506.04695.

    >>> print(round(float(rlif_initial_slope(2.0, 1.0, 2)), 6))
    0.013889
    """
    _check.positive("a", a)
    _check.positive("b", b)
    n = _check.integer("patterns", patterns, low=1)
    a, b = jnp.asarray(a), jnp.asarray(b)
    return (n - 1) / n**2 * (a - b) / (2 * (a + b) ** 2)


def rlif_rise_probability(*, nodes: int = 200) -> float:
    r"""P(accuracy rises at first | ρ_ref > ½) under self-certainty as n → ∞, for success rates iid U[0, 1].

    Two answers and a uniform π_ref. By the central limit theorem the initial slope and ρ_ref − ½ are jointly normal, so

    $$ P = \tfrac12 + \tfrac1\pi \arcsin r, \qquad
       r = \mathrm{corr}\bigl(p - \tfrac12,\;(p - \tfrac12)(R - E R)\bigr), \qquad
       R = -\tfrac12\log\bigl(p(1-p)\bigr) $$

    Args:
      nodes: of the Gauss–Legendre quadrature, 2 or more.

    Returns:
      .6768 (r = .5272), not 1.

    Raises:
      ValueError: fewer than 2 nodes.

    Reference: *derived here*; Theorem 5.6 of arXiv 2506.04695 reports probability 1.

    >>> print(round(rlif_rise_probability(), 4))
    0.6768
    """
    # p = s²(3 − 2s) smooths the logarithms at both ends.
    x, weight = np.polynomial.legendre.leggauss(_check.integer("nodes", nodes, low=2))
    s = (x + 1) / 2
    p, measure = s * s * (3 - 2 * s), weight / 2 * 6 * s * (1 - s)
    odd = (p - 0.5) * (-0.5 * (np.log(p) + np.log1p(-p)) - 1)
    r = measure @ ((p - 0.5) * odd) / np.sqrt((measure @ (p - 0.5) ** 2) * (measure @ odd**2))
    return float(0.5 + np.arcsin(r) / np.pi)


def rlif_fates(success: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""First move and end of training on self-certainty: two answers, uniform π_ref.

    Accuracy rises at first iff $\sum_r \pi_r^2 (R_r - \bar R)(p_r - \rho) > 0$; training ends in
    $\arg\max R = \arg\max |p - \tfrac12|$.

    Args:
      success: `[..., patterns]`, success rates in (0, 1).

    Returns:
      Whether accuracy rises at first, and whether training ends in a pattern more wrong than right, each `[...]`.

    Reference: *derived here*; to be held against Theorem 5.6 of arXiv 2506.04695.

    >>> [bool(flag) for flag in rlif_fates(np.array([.4, .6, .95]))]
    [True, False]
    """
    rates, centred = (
        -0.5 * (np.log(success) + np.log1p(-success)),
        success - success.mean(axis=-1, keepdims=True),
    )
    surest = np.take_along_axis(success, rates.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    first = np.einsum("...r,...r->...", rates, centred)
    return np.asarray(first > 0), np.asarray(surest < 0.5)

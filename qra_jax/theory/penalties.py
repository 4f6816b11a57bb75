r"""Where training ends under each of the penalties that are called "the KL term".

The reverse KL, KL(π‖π_ref), and the mean gradient of the k3 estimator in the loss, which is that of the *forward*
KL(π_ref‖π): −β(π − π_ref) in the logits. With an algorithm's clock c and mean reward R̄ the strength that counts
is b = β/c(R̄).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Float
from scipy.special import shichi

from qra_jax import _check, _roots
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable
from qra_jax.theory.optimum import optimal_policy

REVERSE, FORWARD = "reverse", "k3"
PENALTIES = (REVERSE, FORWARD)
_REINFORCE, _VERIFIABLE = reinforce(), verifiable()
_WIDEST, _GRID = 8.0, 401
"""log b from _WIDEST down to −_WIDEST is searched on so many points."""


def k3_policy(
    problem: Problem, beta: float | Array, *, reward: Reward = _VERIFIABLE
) -> Float[Array, " patterns"]:
    r"""Where REINFORCE rests with the k3 estimator of the KL term in its loss.

    $$ \pi_r = \frac{\beta\,\pi_{\rm ref}(r)}{s - R_r}, \qquad s = \beta + \bar R > \max R, \qquad \sum_r\pi_r = 1 $$

    Every pattern keeps a share of at least [`k3_floor`][]: what is not on the best one vanishes like β only.

    Args:
      problem: the question.
      beta: β > 0, strength of the penalty.
      reward: finite; one that depends on the policy is read at the reference policy.

    Returns:
      `[patterns]`, log π; `-inf` where there is no reference mass. Differentiable by the implicit function theorem.

    Raises:
      ValueError: β not positive.

    Reference: *derived here*, from the mean gradient of k3 in the loss (Shao et al., arXiv 2402.03300, eq. 4).

    >>> problem = Problem.from_probs(ref=[0.1, 0.9], success=[1.0, 0.0])
    >>> print(jnp.exp(k3_policy(problem, 0.625)).round(4))
    [0.5 0.5]
    """
    _check.positive("beta", beta)
    return _forward(problem.log_ref, reward.rates(problem), jnp.asarray(beta, problem.log_ref.dtype))


def resting_policy(
    problem: Problem,
    beta: float | Array,
    *,
    penalty: str = REVERSE,
    algorithm: Algorithm = _REINFORCE,
    reward: Reward = _VERIFIABLE,
) -> Float[Array, " patterns"]:
    r"""Where training from the reference policy rests under a penalty, with any algorithm that has a clock.

    $$ \pi_r \propto \pi_{\rm ref}(r)\,e^{R_r/b}\ (\text{reverse KL}), \qquad
       \pi_r = \frac{b\,\pi_{\rm ref}(r)}{s - R_r}\ (\text{k3}), \qquad b\,c\bigl(\bar R(b)\bigr) = \beta $$

    If several b solve the last equation, the flow from π_ref comes to the largest one first; that is returned.

    Args:
      problem: the question.
      beta: β > 0, strength of the penalty.
      penalty: `"reverse"`, KL(π‖π_ref), or `"k3"`, the k3 estimator in the loss.
      algorithm: its clock.
      reward: binary and fixed.

    Returns:
      `[patterns]`, log π; NaN where b lies outside e⁻⁸ … e⁸. Differentiable in β, π_ref and success rates by the
      implicit function theorem.

    Raises:
      ValueError: β not positive, an unknown penalty, a reward that is not binary or depends on the policy, or an
        algorithm without a clock.

    Reference: *derived here*; for GRPO under reverse KL with success rates 0 and 1 the fixed point of Mroueh,
    arXiv 2503.06639.

    >>> from qra_jax.algorithm import grpo
    >>> problem = Problem.from_probs(ref=[0.6, 0.4], success=[1.0, 0.0])
    >>> print(round(float(jnp.exp(resting_policy(problem, 2.0, algorithm=grpo()))[0]), 3))
    0.868
    """
    _check.positive("beta", beta)
    _check.choice("penalty", penalty, PENALTIES)
    if not (reward.binary and reward.fixed):
        raise ValueError(f"reward: {reward.name}; must be binary and not depend on the policy")
    rates, clock = reward.rates(problem), algorithm.log_clock_function()
    log_beta = jnp.log(jnp.asarray(beta, problem.log_ref.dtype))

    def policy(log_b: Array) -> Array:
        if penalty == FORWARD:
            return _forward(problem.log_ref, rates, jnp.exp(log_b))
        return optimal_policy(problem, jnp.exp(log_b), reward=reward)

    def excess(log_b: Array) -> Array:
        shares = jnp.exp(policy(log_b))
        return log_b + clock(jnp.sum(shares * rates), jnp.sum(shares * (1 - rates))) - log_beta

    grid = jnp.linspace(_WIDEST, -_WIDEST, _GRID).astype(log_beta.dtype)
    below = jax.vmap(excess)(grid) < 0
    first = jnp.argmax(below)
    inside = (first > 0) & jnp.any(below)
    above = jnp.maximum(first, 1)
    log_b = -_roots.bisect(lambda minus: -excess(-minus), -grid[above - 1], -grid[above])
    log_b = _newton(excess, log_b)
    return jnp.where(inside, policy(log_b), jnp.nan)


def k3_floor(
    problem: Problem, beta: float | Array, *, reward: Reward = _VERIFIABLE
) -> Float[Array, " patterns"]:
    r"""Share that every pattern keeps under k3 in the loss.

    $$ \pi_r \ge \pi_{\rm ref}(r)\,\frac{b}{b + \max R - R_r} $$

    because $s - \max R \le b$; under reverse KL a pattern goes like $e^{-\Delta/b}$ and keeps none.

    Args:
      problem: the question.
      beta: b > 0, strength of the penalty over the algorithm's clock.
      reward: finite.

    Returns:
      `[patterns]`, the least shares.

    Raises:
      ValueError: β not positive.

    Reference: *derived here*.

    >>> print(k3_floor(Problem.from_probs(ref=[0.5, 0.5], success=[1.0, 0.0]), 1.0))
    [0.5  0.25]
    """
    _check.positive("beta", beta)
    rates, ref = reward.rates(problem), problem.ref
    top = jnp.max(jnp.where(ref > 0, rates, -jnp.inf))
    return ref * beta / (beta + jnp.where(ref > 0, top - rates, 0.0))


def half_beta(share: float | Array, *, penalty: str = REVERSE) -> Float[Array, "*b"]:
    r"""Strength at which a rare good pattern rests at one half (success rates 1 and 0, REINFORCE).

    $$ \beta = \frac1{\log(1/\varepsilon - 1)}\ (\text{reverse KL}), \qquad
       \beta = \frac{1}{2(1-2\varepsilon)}\ (\text{k3}) $$

    Args:
      share: `[...]`, ε in (0, ½), its share under the reference policy.
      penalty: `"reverse"` or `"k3"`.

    Returns:
      `[...]`, β: to be rarer needs a weaker reverse KL, but leaves k3 at ½.

    Raises:
      ValueError: ε out of range, or an unknown penalty.

    Reference: *derived here*.

    >>> print(round(float(half_beta(0.01)), 4), round(float(half_beta(0.01, penalty="k3")), 4))
    0.2176 0.5102
    """
    _check.choice("penalty", penalty, PENALTIES)
    share = jnp.asarray(_check.open_unit_interval("share", share))
    if not isinstance(share, Tracer) and bool(jnp.any(share >= 0.5)):
        raise ValueError(f"share: {float(jnp.max(share)):.6g}; must be below 1/2")
    return 1 / jnp.log(1 / share - 1) if penalty == REVERSE else 0.5 / (1 - 2 * share)


def return_time(
    share: Any, *, beta: float, target: float = 0.25, reference: float = 0.5, penalty: str = REVERSE
) -> np.ndarray:
    r"""Time that a penalty takes to bring back a forgotten pattern, one of two that are equally good.

    With $\dot z = -2\beta(z - z_{\rm ref})\,\rho(1-\rho)$ (reverse KL) or $2\beta(\rho_{\rm ref} - \rho)$ (k3)
    for the logit z of its share,

    $$ T = \frac1\beta\Bigl[\ln y + \cosh z_{\rm ref}\,\mathrm{Chi}(y)
             - \sinh z_{\rm ref}\,\mathrm{Shi}(y)\Bigr]_{y_1}^{y_0},\ \ y = z_{\rm ref} - z, \qquad
       T = \frac1{2\beta}\Bigl[\frac{\ln\rho}{\rho_{\rm ref}} + \frac{\ln(1-\rho)}{1-\rho_{\rm ref}}
             - \frac{\ln(\rho_{\rm ref}-\rho)}{\rho_{\rm ref}(1-\rho_{\rm ref})}\Bigr]_{\rho_0}^{\rho_1} $$

    so from a share δ → 0 it takes about 1/(δ log 1/δ) under reverse KL, and only log 1/δ under k3.

    Args:
      share: `[...]`, δ in (0, target], where it starts.
      beta: β > 0, strength of the penalty.
      target: share to come back to, in (0, reference).
      reference: its share under the reference policy, in (0, 1).
      penalty: `"reverse"` or `"k3"`.

    Returns:
      `[...]`, T ≥ 0.

    Raises:
      ValueError: an argument out of range, or an unknown penalty.

    Reference: *derived here*.

    >>> print([round(float(return_time(1e-3, beta=0.5, penalty=name)), 2) for name in ("reverse", "k3")])
    [179.16, 13.23]
    """
    _check.choice("penalty", penalty, PENALTIES)
    _check.positive("beta", beta)
    start = np.asarray(_check.open_unit_interval("share", share), float)
    reference = float(_check.open_unit_interval("reference", reference))
    if not 0 < target < reference:
        raise ValueError(f"target: {target}; must be above 0 and below reference = {reference}")
    if (start > target).any():
        raise ValueError(f"share: {start.max():.6g}; must be at most target = {target}")
    if penalty == FORWARD:

        def primitive(rho: Any) -> Any:
            ends = np.log(rho) / reference + np.log1p(-rho) / (1 - reference)
            return ends - np.log(reference - rho) / (reference * (1 - reference))

        return np.asarray((primitive(target) - primitive(start)) / (2 * beta))
    middle = np.log(reference) - np.log1p(-reference)

    def primitive(rho: Any) -> Any:
        y = middle - np.log(rho) + np.log1p(-rho)
        sinh, cosh = shichi(y)
        return np.log(y) + np.cosh(middle) * cosh - np.sinh(middle) * sinh

    return np.asarray((primitive(start) - primitive(target)) / beta)


def _forward(log_ref: Array, rates: Array, b: Array) -> Array:
    """log π of k3 in the loss: the gap s − max R lies between b π_ref(best) and b."""
    held = ~jnp.isneginf(log_ref)
    ref = jnp.where(held, jnp.exp(log_ref), 0.0)
    top = jnp.max(jnp.where(held, rates, -jnp.inf))
    short = jnp.where(held, top - rates, 1.0)
    share = jnp.sum(jnp.where(short == 0, ref, 0.0))

    def excess(log_gap: Array) -> Array:
        return jnp.log(jnp.sum(b * ref / (jnp.exp(log_gap) + short)))

    low, high = jnp.log(b) + jnp.log(share), jnp.log(b)
    log_gap = _roots.root(lambda x: -excess(x), low, high)
    return jnp.where(held, jnp.log(b) + log_ref - jnp.log(jnp.exp(log_gap) + short), -jnp.inf)


def _newton(function: Callable[[Array], Array], root: Array) -> Array:
    """One Newton step, which gives a root its derivatives (implicit function theorem)."""
    slope = jax.lax.stop_gradient(jax.grad(function)(root))
    step = function(root) / jnp.where(slope == 0, 1.0, slope)
    return root - jnp.where(jnp.abs(step) < 1e-3, step, 0.0)

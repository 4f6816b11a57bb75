"""Reinforcement learning and supervised fine-tuning together: where they balance, and when the data pay."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem

_HALVINGS = 60


def demonstrations(problem: Problem, share: float | Array) -> Float[Array, " patterns"]:
    r"""Data of the model's own choices with a share of demonstrations of the best pattern.

    $$ \mu = (1-x)\,\pi_{\rm ref} + x\,e_{r^\star} $$

    Args:
      problem: the question.
      share: x in [0, 1].

    Returns:
      `[patterns]`, μ.

    Raises:
      ValueError: x out of range.

    >>> print(demonstrations(Problem.from_probs(ref=[0.5, 0.5], success=[1.0, 0.0]), 0.5))
    [0.75 0.25]
    """
    _check.unit_interval("share", share)
    return (1 - share) * problem.ref + share * jax.nn.one_hot(
        problem.best, problem.patterns, dtype=problem.ref.dtype
    )


def least_share_that_pays(
    problem: Problem,
    log_time: Float[Array, ""],
    sensitivity: Float[Array, " patterns"],
    *,
    price: float | Array = 1.0,
) -> Float[Array, ""]:
    r"""Least share x₁ of demonstrations for which a first instant of SFT saves more RL than it costs.

    With g the sensitivity of log T_rl to the logits, SFT on [`demonstrations`][] moves the total at the rate
    1 + c T_rl g·(μ − π_ref), negative from

    $$ x_1 = \frac{1}{c\,T_{\rm rl}\,(g\cdot\pi_{\rm ref} - g_{r^\star})} $$

    Args:
      problem: the question.
      log_time: log T_rl without SFT.
      sensitivity: `[patterns]`, g = ∂ log T_rl/∂θ.
      price: c > 0, cost of a unit of RL time in units of SFT time.

    Returns:
      x₁ > 0; above 1 where no data pay at once.

    Raises:
      ValueError: c not positive.

    Reference: *derived here*.

    >>> problem = Problem.from_probs(ref=[0.5, 0.5], success=[1.0, 0.0])
    >>> print(least_share_that_pays(problem, jnp.log(4.0), jnp.array([-1.0, 0.0])))
    0.5
    """
    _check.positive("price", price)
    pull = jnp.sum(sensitivity * problem.ref) - sensitivity[problem.best]
    return jnp.exp(-log_time) / (price * pull)


def rest_point(weight: Any, mass: Any, success: Any, algorithm: Algorithm) -> np.ndarray:
    r"""Accuracy at which RL and SFT at every step balance, where only r* is ever right.

    The largest root of

    $$ \rho = p^\star\Bigl[1 - \frac{w\,(1-m)}{w + c(\rho)\,\rho}\Bigr] $$

    in (0, p*] for an increasing c(ρ)ρ, found by bisection.

    Args:
      weight: `[...]`, w > 0, weight of the SFT gradient beside that of RL.
      mass: `[...]`, m = μ(r*) in (0, 1], mass of the best pattern in the data.
      success: `[...]`, p* in (0, 1], its success rate.
      algorithm: its clock is c.

    Returns:
      `[...]`, ρ.

    Raises:
      ValueError: an argument out of range, or an algorithm without a clock.

    Reference: *derived here*.

    >>> from qra_jax.algorithm import reinforce
    >>> print(round(float(rest_point(1.0, 0.25, 1.0, reinforce())), 6))
    0.5
    """
    _check.positive("weight", weight)
    for name, value in (("mass", mass), ("success", success)):
        _check.unit_interval(name, value)
        _check.positive(name, value)
    weight, mass, success = np.broadcast_arrays(*(np.asarray(x, float) for x in (weight, mass, success)))
    low, high = np.zeros_like(success), success.copy()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        pull = np.asarray(algorithm.clock(jnp.asarray(middle))) * middle
        up = success * (1 - weight * (1 - mass) / (weight + pull)) > middle
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return high

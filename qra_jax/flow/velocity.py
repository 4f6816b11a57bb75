"""The drift: where the logits go, as a pure function of the policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.geometry import GEOMETRIES, ascend
from qra_jax.problem import Problem
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward, verifiable

Patterns = Float[Array, " patterns"]
_REINFORCE, _VERIFIABLE = reinforce(), verifiable()


def drift(
    problem: Problem,
    log_policy: Patterns,
    *,
    algorithm: Algorithm = _REINFORCE,
    reward: Reward = _VERIFIABLE,
    regularizers: Sequence[Regularizer] = (),
    geometry: str = "softmax",
) -> Patterns:
    r"""Logit velocity of expected on-policy training at unit learning rate.

    $$ \dot\theta = \text{geometry}\Bigl[c(\rho)\,R + \sum_i a_i\Bigr],\qquad
       \text{softmax: } \pi\odot(a-\bar a),\quad \text{natural: } a-\bar a $$

    Args:
      problem: the question.
      log_policy: `[patterns]`, log π, normalised; `-inf` marks a pattern without mass, which stays so.
      algorithm: its clock c(ρ) sets the speed.
      reward: the reward R; one that depends on the policy is evaluated at `log_policy`.
      regularizers: terms whose advantages are added.
      geometry: `"softmax"` or `"natural"`.

    Returns:
      `[patterns]`, dθ/dt; sums to zero under `"softmax"`.

    Raises:
      ValueError: an unknown geometry, or an algorithm without a clock for this reward.

    Reference: Sutton et al. 2000 (policy gradient); Chen, Li, Zou, arXiv 2506.04695, §5.

    >>> import jax.numpy as jnp
    >>> problem = Problem.from_probs(ref=[.5, .5], success=[1., 0.])
    >>> drift(problem, problem.log_ref).tolist()
    [0.25, -0.25]
    """
    chex.assert_rank(log_policy, 1)
    chex.assert_equal_shape([log_policy, problem.log_ref])
    alive = ~jnp.isneginf(log_policy)
    return velocity_function(problem, alive, algorithm, reward, regularizers, geometry)(
        jnp.exp(log_policy), log_policy
    )


def velocity_function(
    problem: Problem,
    alive: Array,
    algorithm: Algorithm,
    reward: Reward,
    regularizers: Sequence[Regularizer],
    geometry: str,
) -> Callable[[Array, Array], Array]:
    """The drift as `(policy, log_policy) -> velocity`, all that does not depend on the policy computed once.

    `alive` marks the patterns with mass. The two arguments are the same policy: a term that needs only one of
    them leaves the other to be removed by the compiler.
    """
    combine = combine_function(problem, alive, algorithm, reward, regularizers, geometry)
    fixed = shifted(reward.rates(problem), alive) if reward.fixed else None

    def velocity(policy: Array, log_policy: Array) -> Array:
        rates, gain = shifted(reward.rates(problem, log_policy), alive) if fixed is None else fixed
        return combine(policy, log_policy, rates, gain)[0]

    return velocity


def combine_function(
    problem: Problem,
    alive: Array,
    algorithm: Algorithm,
    reward: Reward,
    regularizers: Sequence[Regularizer],
    geometry: str,
) -> Callable[[Array, Array, Array, Array], tuple[Array, Array]]:
    """Clock, regularizers and geometry: `(policy, log_policy, rates, gain) -> (velocity, speed)`."""
    _check.choice("geometry", geometry, GEOMETRIES)
    clock = clock_function(algorithm, reward, geometry)

    def combine(policy: Array, log_policy: Array, rates: Array, gain: Array) -> tuple[Array, Array]:
        speed = clock(policy, rates, gain)
        advantage = speed * gain
        for term in regularizers:
            advantage = advantage + term.advantage(log_policy, problem.log_ref)
        return jnp.where(alive, ascend(advantage, policy, geometry), 0.0), speed

    return combine


def clock_function(
    algorithm: Algorithm, reward: Reward, geometry: str
) -> Callable[[Array, Array, Array], Array]:
    """The clock as `(policy, rates, gain) -> speed`, finite even where every rollout earns the same.

    There the drift vanishes whatever the speed, so mean, miss and variance are kept off zero. Under the
    natural geometry ρ = 1 is reached in finite time by clocks that diverge there; the larger floor lets the
    solver pass.
    """
    if reward.binary:
        binary_clock = algorithm.clock_function()
    elif algorithm.real_clock is None:
        raise ValueError(
            f"algorithm: {algorithm.name} has no clock for the real-valued reward {reward.name!r}; "
            "must be one with a real_clock, such as REINFORCE, RLOO, Dr.GRPO, GRPO or DAPO"
        )

    def clock(policy: Array, rates: Array, gain: Array) -> Array:
        kind = np.finfo(rates.dtype)
        low, high = np.sqrt(kind.tiny), (kind.eps if geometry == "natural" else np.sqrt(kind.tiny))
        if reward.binary:
            mean, miss = jnp.sum(policy * rates), jnp.sum(policy * (1 - rates))
            return binary_clock(jnp.maximum(mean, low), jnp.maximum(miss, high))
        variance = jnp.sum(policy * (gain - jnp.sum(policy * gain)) ** 2)
        floor = high * jnp.max(gain**2) + kind.tiny
        assert algorithm.real_clock is not None  # checked by the caller
        return algorithm.real_clock(algorithm.params, jnp.sqrt(jnp.maximum(variance, floor)))

    return clock


def shifted(rates: Array, alive: Array) -> tuple[Array, Array]:
    """The rates of living patterns, and the same minus the largest, so that means near it lose no digits."""
    rates = jnp.where(alive, rates, 0.0)
    top = jnp.max(jnp.where(alive, rates, -jnp.inf))
    return rates, jnp.where(alive, rates - jax.lax.stop_gradient(top), 0.0)

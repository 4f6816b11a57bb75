"""The drift: where the logits go, as a pure function of the policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check, _programs, expectation
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.algorithm.preference import best_and_worst, law_weights, right_and_wrong
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
      ValueError: an unknown geometry, a part that is none, or an algorithm without a clock for this reward.

    Reference: Sutton et al. 2000 (policy gradient); Chen, Li, Zou, arXiv 2506.04695, §5.

    >>> import jax.numpy as jnp
    >>> problem = Problem.from_probs(ref=[.5, .5], success=[1., 0.])
    >>> drift(problem, problem.log_ref).tolist()
    [0.25, -0.25]
    """
    chex.assert_rank(log_policy, 1)
    chex.assert_equal_shape([log_policy, problem.log_ref])
    _check.choice("geometry", geometry, GEOMETRIES)
    _check.part("algorithm", algorithm, Algorithm)
    _check.part("reward", reward, Reward)
    terms = _check.parts("regularizers", regularizers, Regularizer)
    return _drift(problem, log_policy, algorithm, reward, terms, geometry=geometry)


@_programs.brief("geometry")
def _drift(
    problem: Problem,
    log_policy: Patterns,
    algorithm: Algorithm,
    reward: Reward,
    regularizers: tuple[Regularizer, ...],
    *,
    geometry: str,
) -> Patterns:
    alive = ~jnp.isneginf(log_policy)
    velocity = velocity_function(problem, alive, algorithm, reward, regularizers, geometry)
    return velocity(jnp.exp(log_policy), log_policy)


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
    if algorithm.batch is not None:
        algorithm.clock_function()  # refuses: one question has no batch
    way = expectation.kind(algorithm, reward, problem, algorithm.group_size)
    if way in ("pairs", "sum"):
        advantage = (_pairs if way == "pairs" else _sum)(problem, alive, algorithm, reward)
        penalise = _penalised(problem, alive, regularizers, geometry)
        return lambda policy, log_policy: penalise(policy, log_policy, advantage(policy, log_policy))
    combine = combine_function(problem, alive, algorithm, reward, regularizers, geometry)
    fixed = shifted(reward.rates(problem), alive) if reward.fixed else None

    def velocity(policy: Array, log_policy: Array) -> Array:
        rates, gain = shifted(reward.rates(problem, log_policy), alive) if fixed is None else fixed
        return combine(policy, log_policy, rates, gain)[0]

    return velocity


def _penalised(
    problem: Problem, alive: Array, regularizers: Sequence[Regularizer], geometry: str
) -> Callable[[Array, Array, Array], Array]:
    """Regularizers and geometry: `(policy, log_policy, advantage) -> velocity`."""
    _check.choice("geometry", geometry, GEOMETRIES)
    for term in regularizers:
        if term.reference is not None:
            raise ValueError(
                f"reference: given with the regularizer {term.name!r}; must be None in a flow, which has no steps"
            )

    def velocity(policy: Array, log_policy: Array, advantage: Array) -> Array:
        for term in regularizers:
            advantage = advantage + term.advantage(log_policy, problem.log_ref)
        return jnp.where(alive, ascend(advantage, policy, geometry), 0.0)

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
    penalise = _penalised(problem, alive, regularizers, geometry)
    clock = clock_function(problem, algorithm, reward, geometry)

    def combine(policy: Array, log_policy: Array, rates: Array, gain: Array) -> tuple[Array, Array]:
        speed = clock(policy, log_policy, rates, gain)
        return penalise(policy, log_policy, speed * gain), speed

    return combine


def clock_function(
    problem: Problem, algorithm: Algorithm, reward: Reward, geometry: str
) -> Callable[[Array, Array, Array, Array], Array]:
    """The clock as `(policy, log_policy, rates, gain) -> speed`, finite even where every rollout earns the same.

    There the drift vanishes whatever the speed, so mean, miss and variance are kept off zero. Under the
    natural geometry ρ = 1 is reached in finite time by clocks that diverge there; the larger floor lets the
    solver pass.
    """
    way = expectation.kind(algorithm, reward, problem, algorithm.group_size)
    if way == "clock":
        binary_clock = algorithm.clock_function()
    elif way == "real_clock":
        real_clock = expectation.limit_clock(algorithm, algorithm.group_size)
    else:
        raise ValueError(
            f"algorithm: {algorithm.name} has no clock for {reward.name!r}; its path is no orbit"
        )

    def clock(policy: Array, log_policy: Array, rates: Array, gain: Array) -> Array:
        kind = np.finfo(rates.dtype)
        low, high = np.sqrt(kind.tiny), (kind.eps if geometry == "natural" else np.sqrt(kind.tiny))
        if way == "clock":
            mean, miss = jnp.sum(policy * rates), jnp.sum(policy * (1 - rates))
            return binary_clock(jnp.maximum(mean, low), jnp.maximum(miss, high))
        variance = expectation.real_variance(reward, problem, policy, log_policy, gain)
        floor = high * jnp.max(gain**2) + kind.tiny
        assert real_clock is not None
        return real_clock(jnp.sqrt(jnp.maximum(variance, floor)))

    return clock


def _sum(
    problem: Problem, alive: Array, algorithm: Algorithm, reward: Reward
) -> Callable[[Array, Array], Array]:
    """The expected weight of a rollout of each pattern, summed over all groups: `(policy, log_policy) -> advantage`."""
    group = algorithm.group_size
    assert group is not None
    constant = expectation.labels_of(algorithm, reward, problem, jnp.where(alive, 0.0, -jnp.inf))
    held = expectation.weight_table(algorithm, constant, group) if reward.fixed or reward.by_vote else None

    def advantage(policy: Array, log_policy: Array) -> Array:
        labels, table = constant, held
        if table is None:
            labels = expectation.labels_of(algorithm, reward, problem, log_policy)
            table = expectation.weight_table(algorithm, labels, group)
        mean = expectation.expected(labels, table, policy, group)
        return jnp.where(alive, mean.up + mean.down, 0.0)

    return advantage


def _pairs(
    problem: Problem, alive: Array, algorithm: Algorithm, reward: Reward
) -> Callable[[Array, Array], Array]:
    """The pull of the pairs on each pattern, per unit of its mass: `(policy, log_policy) -> advantage`."""

    def advantage(policy: Array, log_policy: Array) -> Array:
        weights = pair_expectation(problem, algorithm, reward, policy, log_policy)
        return jnp.where(policy > 0, weights / jnp.where(policy > 0, policy, 1.0), 0.0)

    return advantage


def pair_expectation(
    problem: Problem, algorithm: Algorithm, reward: Reward, policy: Array, log_policy: Array
) -> Array:
    """Expected summed weights of the patterns over pairs of a right and a wrong rollout, `[patterns]`.

    Where every rollout is right, or none, there are no pairs and all weights are zero.
    """
    source = problem.ref if algorithm.pairs == "reference" else policy
    group, most = algorithm.group_size if algorithm.size is None else algorithm.size, algorithm.group_size
    if algorithm.binary_only:
        rates = jnp.where(source > 0, reward.rates(problem, log_policy), 0.0)
        lengths = problem.lengths if algorithm.uses_lengths else None
        if lengths is not None and group is None:
            raise ValueError(f"group_size: None; {algorithm.name} needs a finite group size, 2 or above")
        law = right_and_wrong(source, rates, lengths=lengths, group=group, most=most)
    else:
        if group is None:
            raise ValueError(f"group_size: None; {algorithm.name} needs a finite group size, 2 or above")
        values, chances = (
            jnp.where(source[:, None] > 0, x, 0.0) for x in reward.outcomes(problem, log_policy)
        )
        law = best_and_worst(source, values, chances, group=group, most=most)
    known = ~jnp.isneginf(log_policy) & ~jnp.isneginf(problem.log_ref)
    log_ratio = jnp.where(known, log_policy, 0.0) - jnp.where(known, problem.log_ref, 0.0)
    return law_weights(jnp.asarray(algorithm.params["beta"], policy.dtype), law, log_ratio)


def shifted(rates: Array, alive: Array) -> tuple[Array, Array]:
    """The rates of living patterns, and the same minus the largest, so that means near it lose no digits."""
    rates = jnp.where(alive, rates, 0.0)
    top = jnp.max(jnp.where(alive, rates, -jnp.inf))
    return rates, jnp.where(alive, rates - jax.lax.stop_gradient(top), 0.0)

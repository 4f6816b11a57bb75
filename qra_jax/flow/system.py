"""What the solver needs to know about a flow: a start, a velocity, and how to read the policy off a state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax.algorithm import Algorithm
from qra_jax.flow.answers import answer_velocity_function
from qra_jax.flow.velocity import velocity_function
from qra_jax.problem import Problem
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward

State = Any
"""A pytree of logits."""


class System(NamedTuple):
    """A flow on logits.

    Attributes:
      start: the logits at t = 0.
      velocity: `state -> d state/dt`.
      observe: `state -> (log_policy [patterns], success [patterns])`.
      valid: the input makes sense; where it does not, the velocity is zero.
    """

    start: State
    velocity: Callable[[State], State]
    observe: Callable[[State], tuple[Array, Array]]
    valid: Array


def pattern_system(
    problem: Problem,
    log_policy: Array,
    algorithm: Algorithm,
    reward: Reward,
    regularizers: Sequence[Regularizer],
    geometry: str,
) -> System:
    """Training of the choice of pattern; the state is θ `[patterns]`."""
    alive = ~jnp.isneginf(log_policy)
    velocity = velocity_function(problem, alive, algorithm, reward, regularizers, geometry)
    return _patterns(problem, log_policy, velocity, True)


def sft_system(problem: Problem, log_policy: Array, mixture: Array) -> System:
    """Supervised fine-tuning on a mixture of patterns; the state is θ `[patterns]`."""
    lost = jnp.any((mixture > 0) & jnp.isneginf(log_policy))  # cross-entropy is infinite and stays so
    return _patterns(problem, log_policy, lambda policy, _: mixture - policy, ~lost)


def answer_system(
    problem: Problem,
    log_policy: Array,
    algorithm: Algorithm,
    reward: Reward,
    regularizers: Sequence[Regularizer],
    geometry: str,
) -> System:
    """Training of patterns and answers; the state is (θ `[patterns]`, φ `[patterns, answers]`)."""
    start = log_policy, jnp.log(problem.answer_table())
    alive = jax.tree.map(lambda x: ~jnp.isneginf(x), start)
    velocity = answer_velocity_function(problem, alive, algorithm, reward, regularizers, geometry)

    def of_state(state: State) -> State:
        theta, phi = _restore(state, alive)
        return velocity(jax.nn.softmax(theta), jax.nn.log_softmax(theta), jax.nn.softmax(phi))

    def observe(state: State) -> tuple[Array, Array]:
        theta, phi = _restore(state, alive)
        return jax.nn.log_softmax(theta), jax.nn.softmax(phi)[:, 0]

    return guarded_system(start, alive, of_state, observe, True)


def _patterns(problem: Problem, log_policy: Array, velocity: Callable, valid: Array | bool) -> System:
    alive = ~jnp.isneginf(log_policy)

    def of_state(theta: Array) -> Array:
        theta = _restore(theta, alive)
        return velocity(jax.nn.softmax(theta), jax.nn.log_softmax(theta))

    def observe(theta: Array) -> tuple[Array, Array]:
        return jax.nn.log_softmax(_restore(theta, alive)), problem.success

    return guarded_system(log_policy, alive, of_state, observe, valid)


def guarded_system(
    start: State, alive: State, velocity: Callable, observe: Callable, valid: Array | bool
) -> System:
    """Replace −inf in the state by a number (patterns without mass never move) and stop what is not valid."""
    start = jax.tree.map(lambda x, a: jnp.where(a, x, 0.0), start, alive)
    finite = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves((start, velocity(start)))]
    some = jnp.any(jax.tree.leaves(alive)[0])
    valid = jnp.all(jnp.stack([*finite, some, jnp.asarray(valid)]))
    moves = jax.tree.map(lambda a: a & valid, alive)

    def guarded(state: State) -> State:
        return jax.tree.map(lambda v, m: jnp.where(m, v, 0.0), velocity(state), moves)

    return System(jax.tree.map(lambda x: jnp.where(valid, x, 0.0), start), guarded, observe, valid)


def _restore(state: State, alive: State) -> State:
    return jax.tree.map(lambda x, a: jnp.where(a, x, -jnp.inf), state, alive)

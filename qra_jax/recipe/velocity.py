"""Where a phase moves the logits: in expectation, and as one sampled step shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import regularizer
from qra_jax.flow.velocity import velocity_function
from qra_jax.problem import Problem
from qra_jax.recipe import schedule
from qra_jax.recipe.phases import Phase
from qra_jax.training import bits, groups
from qra_jax.training.parts import rollouts_of

TAUGHT = 3
"""Stream of the random numbers of demonstrations."""


class Move(NamedTuple):
    """A velocity at unit learning rate, and how much of it is SFT.

    Attributes:
      velocity: `[patterns]`, dθ/dt.
      taught: w·g, the amount of demonstrations in a unit of time.
    """

    velocity: Array
    taught: Array


def expected(
    phase: Phase, problem: Problem, mixture: Array | None, log_policy: Array, progress: Array
) -> Move:
    """The velocity of one question in expectation.

    Args:
      phase: the phase.
      problem: one question, with the reference policy of KL terms.
      mixture: `[patterns]`, μ; `None` without SFT.
      log_policy: `[patterns]`, log π.
      progress: s in [0, 1].

    Returns:
      A [`Move`][].
    """
    dtype, policy = log_policy.dtype, jnp.exp(log_policy)
    velocity, gate = jnp.zeros_like(policy), jnp.ones((), dtype)
    if phase.algorithm is not None:
        parts = phase.parts(progress, dtype)
        alive = ~jnp.isneginf(log_policy)
        velocity = velocity_function(problem, alive, *parts, phase.geometry)(policy, log_policy)
        if phase.unsolved is not None:
            rates = parts[1].rates(problem, log_policy) if parts[1].binary else problem.success
            gate = jnp.sum(policy * (1 - rates)) ** jnp.asarray(phase.unsolved, dtype)
    if mixture is None:
        return Move(velocity, jnp.zeros((), dtype))
    taught = schedule.at(phase.weight, progress, dtype) * gate
    return Move(velocity + taught * (mixture - policy), taught)


def sampled(
    phase: Phase,
    problem: Problem,
    mixture: Array | None,
    log_policy: Array,
    progress: Array,
    seed: Array,
    step: Array,
) -> Move:
    """The velocity of one question as a group of rollouts and a batch of demonstrations show it.

    Args:
      seed: `[2]`, the run's words.
      step: which step.

    As for [`expected`][]: `phase`, `problem`, `mixture`, `log_policy`, `progress`.

    Returns:
      A [`Move`][].
    """
    dtype, policy = log_policy.dtype, jnp.exp(log_policy)
    velocity, gate = jnp.zeros_like(policy), jnp.ones((), dtype)
    if phase.algorithm is not None:
        weights, right = _group(phase, problem, log_policy, progress, seed, step)
        _, _, terms = phase.parts(progress, dtype)
        velocity = weights - jnp.sum(weights) * policy
        velocity = velocity + regularizer.velocity(terms, log_policy, problem.log_ref)
        if phase.unsolved is not None:
            gate = jnp.where(right == 0, 1.0, 0.0).astype(dtype)
    if mixture is None:
        return Move(velocity, jnp.zeros((), dtype))
    taught = schedule.at(phase.weight, progress, dtype) * gate
    halves = bits.uniforms(seed, step, (phase.batch + 1) // 2, dtype, stream=TAUGHT)
    count = groups.draw_cells(mixture, groups.padded(halves, phase.batch))
    shown = jnp.diff(count, prepend=0.0) / phase.batch
    return Move(velocity + taught * (shown - policy), taught)


def _group(
    phase: Phase, problem: Problem, log_policy: Array, progress: Array, seed: Array, step: Array
) -> tuple[Array, Array]:
    """Summed weights of a group's patterns over G, and how many of its rollouts were accepted."""
    dtype = log_policy.dtype
    algorithm, reward, _ = phase.parts(progress, dtype)
    assert algorithm.group_size is not None
    rollouts = rollouts_of(algorithm, reward, problem, log_policy, seed)
    halves, shared = rollouts.numbers(step)
    shares = rollouts.weigh(log_policy, rollouts.draw(log_policy, (halves, shared)), problem.log_ref)
    right = shares.reward * algorithm.group_size
    if algorithm.resamples_silent:  # the gate asks for the group that was drawn first
        assert shared is not None
        policy = jnp.exp(log_policy)
        miss = jnp.sum(policy * (1 - jnp.where(policy > 0, reward.rates(problem, log_policy), 0.0)))
        right = jnp.where(shared[1][0] < miss**algorithm.group_size, 0.0, algorithm.group_size)
    return shares.up if shares.down is None else shares.up + shares.down, right


def of_questions(function: Callable[..., Move], phase: Phase, problem: Problem) -> Callable[..., Move]:
    """`expected` or `sampled` as a function of log-policies and what follows, for one question or many."""
    mixture = phase.data(problem) if phase.demonstrates else None
    if problem.log_ref.ndim == 1:
        return lambda log_policy, progress, *rest: function(
            phase, problem, mixture, log_policy, progress, *rest
        )

    def many(log_policy: Array, progress: Array, *rest: Array) -> Move:
        axes = (None, 0, None if mixture is None else 0, 0, None)
        random = (-1, None)[: len(rest)]
        return jax.vmap(function, in_axes=(*axes, *random))(
            phase, problem, mixture, log_policy, progress, *rest
        )

    return many

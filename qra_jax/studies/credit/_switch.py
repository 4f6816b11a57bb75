"""A bonus that is switched off: the exact time to the good pattern, and the best switch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import many, orbit, shaping, training
from qra_jax.algorithm import rloo
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable

TARGET, LEVELS, HALVINGS, STEP = 0.99, 4, 24, 1e-3
"""Share of the good pattern that ends training; levels of an annealed bonus; steps of a bisection, and relative
step of its differences."""
MARKS = {
    "the behaviour": [1.0, 1.0, 0.0],
    "good use alone": [1.0, 0.0, 0.0],
    "sham use alone": [0.0, 1.0, 0.0],
    "direct answers": [0.0, 0.0, 1.0],
}
"""Which of the patterns get the bonus: the good one, the sham and the direct one, in this order."""
RATES = [0.9, 0.4, 0.5]
"""Their success rates."""
STEADY, FALLING = np.ones(LEVELS), 1 - (np.arange(LEVELS) + 0.5) / LEVELS
"""Courses of a bonus in parts of its size, over equal parts of the time that it is given."""
RATE, GROUP = 0.1, 16
"""Learning rate and group size of sampled runs."""


def question(sham: Any, good: float = 0.01) -> Problem:
    """Three patterns: a rare good use of the tool, a sham one with this share, and direct answers."""
    ref = jnp.stack([jnp.full_like(sham, good), sham, 1 - good - sham])
    return Problem(jnp.log(ref), jnp.asarray(RATES, ref.dtype))


def bonus(level: Any, mark: Any) -> Reward:
    """The verdict plus a bonus for the marked patterns."""
    return shaping.shaped(verifiable(), level * mark)


def total(time: Array, sham: Array, levels: Array, later: Array, mark: Array) -> Float[Array, ""]:
    r"""Total time to the target, $T + t_{.99}(\pi_T)$, with a bonus up to T.

    Args:
      time: T ≥ 0.
      sham: share of the sham use, in (0, .99).
      levels: `[levels]`, the bonus over equal parts of T.
      later: the bonus from T on.
      mark: `[patterns]`, 1 for those that get it.

    Returns:
      Scalar; infinite where the target is never reached.
    """
    problem = question(sham)

    def train(log_policy: Array, level: Array) -> tuple[Array, None]:
        part = jnp.stack([time / len(levels)])
        path = orbit.solve(problem.with_ref(log_policy), part, reward=bonus(level, mark))
        return path.log_policy[-1], None

    end, _ = jax.lax.scan(train, problem.log_ref, levels)
    rest = orbit.log_hitting_time(problem.with_ref(end), TARGET, reward=bonus(later, mark))
    return time + jnp.exp(rest)


_every = many(total, block=128, chunk=128)  # blocks of one shape: one program for all that is asked


def totals(
    time: Any, marks: Sequence[str], sham: Any, level: Any, *, course: np.ndarray = STEADY, later: float = 0.0
) -> np.ndarray:
    """Total times, for arguments that are broadcast against each other.

    Args:
      time: T.
      marks: who gets the bonus, `[marks]`: the first axis of what is returned.
      sham: share of the sham use.
      level: size of the bonus.
      course: `[levels]`, its course up to T, in parts of its size.
      later: what is left of it from T on, in parts of its size.

    Returns:
      Total times, `[marks, ...]`.
    """
    time, sham, level = np.broadcast_arrays(*(np.asarray(x, float) for x in (time, sham, level)))
    rows = [np.tile(x.ravel(), len(marks)) for x in (time, sham, level)]
    mark = np.repeat([MARKS[name] for name in marks], time.size, axis=0)
    found = _every(*rows[:2], rows[2][:, None] * course, rows[2] * later, mark)
    return np.asarray(found).reshape(len(marks), *time.shape)


def least(value: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where functions of positive numbers are least: the root of their central difference, by bisection.

    Args:
      value: takes `[sides, ...]`, returns as much.
      low: where they fall.
      high: where they rise.
    """
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below, above = value(np.stack([middle * (1 - STEP), middle * (1 + STEP)]))
        low, high = np.where(above > below, low, middle), np.where(above > below, middle, high)
    return (low + high) / 2


def sampled(key: Array, sham: float, levels: Array, mark: Array, steps: int) -> Float[Array, ""]:
    """Share of the good pattern at the end of a sampled run of RLOO, `steps` steps with each bonus of `levels`."""
    problem = question(jnp.asarray(sham))

    def part(log_policy: Array, each: tuple[Array, Array]) -> tuple[Array, None]:
        level, own = each
        options = {"steps": steps, "record_every": steps, "learning_rate": RATE, "algorithm": rloo(GROUP)}
        run = training.train(own, problem, reward=bonus(level, mark), log_policy0=log_policy, **options)
        return run.log_policy[-1], None

    keys = jax.random.split(key, len(levels))
    return jnp.exp(jax.lax.scan(part, problem.log_ref, (levels, keys))[0][0])

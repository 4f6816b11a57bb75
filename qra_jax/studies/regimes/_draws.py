"""What the studies of regimes share: random problems of a size or a regime, and an independent solver."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special
from scipy.integrate import solve_ivp

from qra_jax.problem import Problem


def narrowed(problem: Problem, patterns: Any) -> Problem:
    """The same draw with its first patterns only, again Dirichlet(1); the others keep neither mass nor success.

    Args:
      problem: one, or a batch, with at least so many patterns.
      patterns: how many are kept, ≥ 1; may be traced.
    """
    kept = jnp.arange(problem.patterns) < patterns
    log_ref = jax.nn.log_softmax(jnp.where(kept, problem.log_ref, -jnp.inf), axis=-1)
    return Problem(log_ref, jnp.where(kept, problem.success, 0.0))


def widened(problems: Problem, patterns: int) -> Problem:
    """The same problems in arrays of more patterns, hopeless ones without mass.

    Args:
      problems: one, or a batch.
      patterns: how many, at least as many as there are.
    """
    more = [(0, 0)] * (problems.log_ref.ndim - 1) + [(0, patterns - problems.patterns)]
    log_ref = np.pad(np.asarray(problems.log_ref), more, constant_values=-np.inf)
    return Problem(jnp.asarray(log_ref), jnp.asarray(np.pad(np.asarray(problems.success), more)))


def of_family(gamma: np.ndarray, patterns: np.ndarray, gap: np.ndarray, *, poor: float = 0.25) -> Problem:
    """Members of Theorem 5.4's family, [`examples.entangled`][], as one batch of the width of the largest.

    Args:
      gamma: `[members]`, γ > 1.
      patterns: `[members]`, n ≥ 3.
      gap: `[members]`, p* − p'; p* is .9, and the n − 2 poor patterns have .1 each.
      poor: the mass that these share, in (0, 1).
    """
    best, place = poor / (gamma - 1), np.arange(patterns.max())
    share = np.where(place < patterns[:, None], poor / (patterns - 2)[:, None], 0.0)
    ref = np.select([place == 0, place == 1], [best[:, None], 1 - poor - best[:, None]], share)
    success = np.select([place == 0, place == 1], [0.9, 0.9 - gap[:, None]], np.where(share > 0, 0.1, 0.0))
    with np.errstate(divide="ignore"):
        return Problem(jnp.asarray(np.log(ref)), jnp.asarray(success))


def raised(problem: Problem) -> Problem:
    """The problem in Regime 1: other success rates × .9, mass moved to the best pattern, a tenth more than it takes.

    Args:
      problem: one; may be traced.
    """
    best = jnp.arange(problem.patterns) == problem.best
    problem = Problem(problem.log_ref, jnp.where(best, problem.success, 0.9 * problem.success))
    top, short = jnp.max(problem.success), jnp.maximum(problem.second_best - problem.accuracy_ref, 0.0)
    moved = 0.1 + 0.9 * short / (short + top - problem.second_best)
    return Problem(jnp.log((1 - moved) * problem.ref + moved * best), problem.success)


def solved(problem: Problem, times: np.ndarray) -> np.ndarray:
    """The gradient flow of the softmax logits by an ODE solver (Dormand and Prince) that knows no orbit.

    Args:
      problem: one.
      times: `[time]`, rising.

    Returns:
      `[time, pattern]`, the policy.
    """
    success = np.asarray(problem.success)

    def velocity(_: float, logits: np.ndarray) -> np.ndarray:
        policy = special.softmax(logits)
        return policy * (success - policy @ success)

    span, start = (0.0, times[-1]), np.asarray(problem.log_ref)
    return special.softmax(solve_ivp(velocity, span, start, t_eval=times, rtol=1e-8, atol=1e-9).y.T, axis=1)

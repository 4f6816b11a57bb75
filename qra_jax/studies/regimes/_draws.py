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

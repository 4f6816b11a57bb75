"""What the studies of regimes share: random problems of a size or a regime, independent solvers, AUC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from scipy import special
from scipy.integrate import solve_ivp
from scipy.stats import rankdata

from qra_jax import theory
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


def natural_bound(problems: Problem, target: float) -> np.ndarray:
    """Log of an upper bound on the natural gradient's time: as if all that is not r* were as good as the second.

    Args:
      problems: a batch.
      target: share of r*, in (0, 1).

    Returns:
      `[problems]`; −∞ where the target is met.
    """
    best = np.arange(len(problems.log_ref)), np.asarray(problems.best)
    mass, gap = (
        np.asarray(problems.ref)[best],
        np.asarray(problems.success)[best] - np.asarray(problems.second_best),
    )
    odds = np.log(target / (1 - target)) + np.log1p(-mass) - np.log(mass)
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(odds, 0.0) / gap)


def auc(score: xr.DataArray, flags: xr.DataArray) -> float:
    """Chance that a score ranks a case above one that is none, ties counting one half; NaN if there is only one kind.

    Args:
      score: `[members]`.
      flags: `[members]`, which are cases.
    """
    cases, ranks = flags.values.astype(bool), rankdata(score.values)
    count, others = int(cases.sum()), int((~cases).sum())
    if not count or not others or np.isnan(score.values).any() or np.isnan(flags.values.astype(float)).any():
        return float("nan")
    return float((ranks[cases].sum() - count * (count + 1) / 2) / (count * others))


def rlif_draws(random: np.random.Generator, a: float, patterns: int, draws: int) -> list[np.ndarray]:
    """Fates under internal feedback for success rates ~ Beta(a, 1), uniform π_ref, conditioned on ρ_ref > ½.

    Args:
      random: a generator.
      a: > 0.
      patterns: n.
      draws: how many; they are made in blocks of bounded memory.

    Returns:
      Whether accuracy rises at first, and whether training ends in a wrong pattern, each `[draws]`.
    """

    def some() -> list[np.ndarray]:
        success = np.exp(-random.standard_exponential((max(500_000 // patterns, 1), patterns)) / a)
        return list(theory.rlif_fates(success[success.mean(axis=1) > 0.5]))

    return _until(draws, some)


def more_right_than_wrong(random: np.random.Generator, patterns: int, draws: int, *, uneven: bool) -> Problem:
    """A batch with success rates U[0, 1], conditioned on ρ_ref > ½; the base policy is uniform or Dirichlet(1).

    Args:
      random: a generator.
      patterns, draws: the shape of the batch.
      uneven: Dirichlet(1).
    """

    def some() -> list[np.ndarray]:
        success, mass = random.random((draws, patterns)), random.standard_exponential((draws, patterns))
        ref = mass / mass.sum(axis=1, keepdims=True) if uneven else np.full(mass.shape, 1 / patterns)
        right = (ref * success).sum(axis=1) > 0.5
        return [np.log(ref[right]), success[right]]

    return Problem(*map(jnp.asarray, _until(draws, some)))


def _until(draws: int, some: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
    """Blocks of rows, one after the other, until there are so many."""
    blocks = [some()]
    while sum(len(block[0]) for block in blocks) < draws:
        blocks.append(some())
    return [np.concatenate(rows)[:draws] for rows in zip(*blocks, strict=True)]

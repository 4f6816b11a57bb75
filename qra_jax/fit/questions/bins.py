"""Change of the logit of accuracy in bins of where questions start, measured and expected under a clock."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from qra_jax.fit.questions import likelihood
from qra_jax.fit.questions.exponent import MeasuredRun, clock_tables
from qra_jax.fit.questions.histories import Histories

EDGES = np.array([0.0, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.001])
"""Bins of accuracy on odd early visits."""
ODD, EVEN = slice(0, 10, 2), slice(1, 10, 2)
LATE = 10
"""Visits at the end."""
FEW = 10
"""Questions that a bin needs."""
_paths = jax.jit(likelihood.logits)


@dataclass(frozen=True)
class Changes:
    """Changes of logit from even early visits to late ones, in bins of the accuracy on odd early visits.

    Attributes:
      start: `[bins]`, mean accuracy on odd early visits; NaN for a bin of few questions, here and below.
      change: `[bins]`, measured.
      error: `[bins]`, its standard error over questions.
      expected: `[bins]` by clock, with starts given the odd early visits.
    """

    start: np.ndarray
    change: np.ndarray
    error: np.ndarray
    expected: dict[str, np.ndarray]


def changes(histories: Histories, clocks: tuple[str, ...]) -> Changes:
    """Change of logit in each bin.

    Args:
      histories: the run, of 20 visits or more.
      clocks: names of [`clock_tables`][], each fitted to the whole run with one rate.

    Raises:
      ValueError: fewer visits.
    """
    if histories.visits < 2 * LATE:
        raise ValueError(f"histories: {histories.visits} visits; must have {2 * LATE} or more")
    run, tables = MeasuredRun(histories), clock_tables(histories.group)
    end = slice(histories.visits - LATE, histories.visits)
    odd, early, late = (histories.accuracy(part) for part in (ODD, EVEN, end))
    place = np.where(np.isfinite(odd + early + late), np.digitize(odd, EDGES) - 1, -1)
    means = {name: _expected(run, tables[name], end) for name in clocks}
    count = len(EDGES) - 1
    start, change, error = np.full((3, count), np.nan)
    expected = {name: np.full(count, np.nan) for name in clocks}
    for b in range(count):
        own = place == b
        if own.sum() < FEW:
            continue
        m, n = early[own].mean(), late[own].mean()
        start[b], change[b] = odd[own].mean(), _logit(n) - _logit(m)
        moved = late[own] / max(n * (1 - n), 1e-6) - early[own] / max(m * (1 - m), 1e-6)
        error[b] = moved.std(ddof=1) / np.sqrt(own.sum())
        for name, (first, last) in means.items():
            expected[name][b] = _logit(last[own].mean()) - _logit(first[own].mean())
    return Changes(start, change, error, expected)


def _expected(run: MeasuredRun, table: np.ndarray, end: slice) -> list[np.ndarray]:
    """Mean accuracies on even early and on late visits, `[questions]` each, given the odd early ones."""
    fit = run.fit(table=table)
    course = likelihood.times(run.model, fit.theta, run.right.shape[1])
    path = np.asarray(_paths(jnp.asarray(table), run.z0, course))
    right, wrong = (np.asarray(counts)[:, ODD] for counts in (run.right, run.wrong))
    chance = -right @ np.logaddexp(0, -path[:, ODD]).T - wrong @ np.logaddexp(0, path[:, ODD]).T
    belief = np.exp(chance - chance.max(axis=1, keepdims=True)) * np.asarray(fit.weights)
    belief /= belief.sum(axis=1, keepdims=True)
    return [belief @ special.expit(path[:, part]).mean(axis=1) for part in (EVEN, end)]


def _logit(rho: float) -> float:
    return float(special.logit(np.clip(rho, 1e-6, 1 - 1e-6)))

"""η of a run: by which factor its steps are those of the model in which all questions share a shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import optimize

from qra_jax.algorithm import grpo
from qra_jax.consult.pace import pace
from qra_jax.population import Population
from qra_jax.studies.runs import _growth
from qra_jax.studies.runs._growth import Points

PART, FALL, FEWEST, LOGS = 0.75, 0.1, 6, (-16.0, 5.0)
"""Part of the rise that is fitted; change of accuracy that counts as a fall or rise; fewest points;
log η that are tried."""


def before_collapse(points: Points) -> Points:
    """The points up to the peak of their moving average over a tenth, where it falls by .1 or more after that."""
    width = max(len(points.time) // 10, 3)
    sums = [np.convolve(x, np.ones(width), "same") for x in (points.accuracy, np.ones(len(points.time)))]
    smooth = sums[0] / sums[1]
    peak = int(smooth.argmax())
    kept = peak + 1 if smooth[peak] - smooth[-1] > FALL and peak >= width else len(smooth)
    return points.take(np.arange(kept))


def rise(points: Points) -> Points:
    """The points until three quarters of the rise are over, or all of them where it is below .1.

    Args:
      points: of one run.
    """
    kept = before_collapse(points)
    growth, _ = _growth.fit([kept])
    if abs(growth.at(float(kept.time[-1])) - growth.start) < FALL:
        return kept
    return kept.take(np.flatnonzero(kept.time <= max(growth.time(PART), kept.time[FEWEST - 1])))


def start(runs: Sequence[Points]) -> float:
    """Accuracy of the model that several runs began with: of rollouts before any update, or else where curves begin.

    Args:
      runs: that began with the same model and questions.
    """
    every = [
        (run.accuracy[0], run.samples[0])
        if run.time[0] == 0
        else (_growth.fit([before_collapse(run)])[0].start, run.samples[0])
        for run in runs
    ]
    accuracy, samples = np.array(every).T
    return float(np.clip(np.average(accuracy, weights=samples), 0.01, 0.99))


def population(begin: float, points: Points, silent: np.ndarray | None, group: int) -> Population:
    """The questions at the start: of the usual spread, or of that which the silent groups of the first tenth have.

    Args:
      begin: accuracy before any update.
      points: of one run.
      silent: `[points]`, share of silent groups; `None` where it was not logged.
      group: G ≥ 2.
    """
    if silent is None:
        return Population.around(begin)
    first = slice(max(len(points.time) // 10, 2))
    mean, share = (float(np.clip(x[first].mean(), 0.01, 0.99)) for x in (points.accuracy, silent))
    early = Population.from_silent(mean, share, group)
    return early.shifted(early.shift_to(begin))


def eta(
    points: Points, questions: Population, group: int, draws: int, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """η of a run: least squares of its rise against the model's accuracy at η·t.

    Args:
      points: of one run.
      questions: at the start; all of their logits share a shift.
      group: G of GRPO.
      draws: resamplings of the points.
      rng: of these.

    Returns:
      η, and `[draws]`.
    """
    model, kept = pace(questions, grpo(group)), rise(points)
    slow = 1 / np.maximum(model.speed, 1e-12)
    clock = np.append(0.0, np.cumsum(np.diff(model.shift) * (slow[1:] + slow[:-1]) / 2))
    begin = float(np.interp(0.0, model.shift, clock))

    def fitted(part: Points) -> float:
        z, weight = np.arcsin(np.sqrt(part.accuracy)), np.sqrt(part.samples)

        def misfit(log: float) -> float:
            expected = np.interp(begin + np.exp(log) * part.time, clock, model.accuracy)
            return float(np.sum((weight * (z - np.arcsin(np.sqrt(expected)))) ** 2))

        grid = np.linspace(*LOGS, 61)
        best = grid[int(np.argmin([misfit(log) for log in grid]))]
        near = best - (grid[1] - grid[0]), best + (grid[1] - grid[0])
        found: Any = optimize.minimize_scalar(misfit, bounds=near, method="bounded")
        return float(np.exp(found.x))

    again = [one[0] for one in _growth.resampled(rng, [kept], draws)]
    return fitted(kept), np.array([fitted(one) for one in again])

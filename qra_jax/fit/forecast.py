"""Forecasts of the rest of a run, and how good they were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qra_jax.fit.curve import Curve

LEVEL = 0.8
"""Share of the probability between the two ends of an interval."""


@dataclass(frozen=True)
class Forecast:
    """What is expected of a run at some steps.

    Attributes:
      steps: `[steps]`.
      median: `[steps]`, the forecast.
      members: `[draws, steps]`, accuracies it may have, without the noise of the logged points.
      logged: `[draws, steps]`, the same with it.
    """

    steps: np.ndarray
    median: np.ndarray
    members: np.ndarray
    logged: np.ndarray

    @property
    def low(self) -> np.ndarray:
        """`[steps]`, lower end of the 80 % interval of the accuracy itself."""
        return np.quantile(self.members, (1 - LEVEL) / 2, axis=0)

    @property
    def high(self) -> np.ndarray:
        """`[steps]`, upper end."""
        return np.quantile(self.members, (1 + LEVEL) / 2, axis=0)

    @property
    def logged_low(self) -> np.ndarray:
        """`[steps]`, lower end of the 80 % interval of a logged point."""
        return np.quantile(self.logged, (1 - LEVEL) / 2, axis=0)

    @property
    def logged_high(self) -> np.ndarray:
        """`[steps]`, upper end."""
        return np.quantile(self.logged, (1 + LEVEL) / 2, axis=0)


@dataclass(frozen=True)
class Score:
    """How far a forecast was from what came.

    Attributes:
      error: mean absolute error of the median over the points that came.
      end: absolute error at the end: median against points, both averaged over the last tenth of the run, three
        points at least.
      crps: mean continuous ranked probability score of the forecast with noise; as an error, it is better when smaller.
      log_score: mean log density of the logged points in nats, each forecast taken as normal with the mean and the
        variance of its members; better when larger.
      covered: share of the points in the 80 % interval with noise.
      end_covered: whether the average of the last points is in the 80 % interval of that average with noise.
    """

    error: float
    end: float
    crps: float
    log_score: float
    covered: float
    end_covered: bool


def score(forecast: Forecast, rest: Curve) -> Score:
    """Compare a forecast with the points that came.

    Args:
      forecast: at the steps of `rest`.
      rest: the points after the last one trained on.

    Returns:
      A `Score`.

    Raises:
      ValueError: other steps.
    """
    if not np.array_equal(forecast.steps, rest.steps):
        raise ValueError(
            f"forecast: {len(forecast.steps)} steps; must be those of the points to compare with"
        )
    y = rest.accuracy
    draws = np.sort(forecast.logged, axis=0)
    rank = 2 * np.arange(1, len(draws) + 1) - len(draws) - 1
    spread = 2 * (rank @ draws) / len(draws) ** 2
    crps = np.abs(draws - y).mean(axis=0) - spread / 2
    mean, var = draws.mean(axis=0), draws.var(axis=0) + 1e-6
    density = -0.5 * (np.log(2 * np.pi * var) + (y - mean) ** 2 / var)
    last = slice(-last_points(len(y)), None)
    came = y[last].mean()
    low, high = np.quantile(forecast.logged[:, last].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Score(
        error=float(np.abs(forecast.median - y).mean()),
        end=float(abs(forecast.median[last].mean() - came)),
        crps=float(crps.mean()),
        log_score=float(density.mean()),
        covered=float(((forecast.logged_low <= y) & (y <= forecast.logged_high)).mean()),
        end_covered=bool(low <= came <= high),
    )


def last_points(count: int) -> int:
    """A tenth of the points, three at least, all where there are fewer."""
    return min(count, max(3, round(count / 10)))


def rest_of(curve: Curve, until: float | int) -> Curve | None:
    """The points after a step, or `None` where fewer than two came."""
    keep = curve.steps > until
    if keep.sum() < 2:
        return None
    samples = None if curve.samples is None else curve.samples[keep]
    return Curve(curve.steps[keep], curve.accuracy[keep], samples, name=curve.name)

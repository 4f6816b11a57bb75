r"""A curve of growth with four parameters, fitted to one run or to several on one clock.

$$ a + (b - a)\bigl(1 - e^{-(t/T)^h}\bigr) $$

It knows nothing of any dynamics: what is compared is where runs are after which time. Residuals are those of arcsines
of roots, whose binomial scatter is the same at any accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

BOUNDS = np.array([[-7.0, 7.0], [-7.0, 7.0], [-9.0, 9.0], [-0.5, 1.4], [-3.0, 4.0]])
"""Logits of start and end, log of the time over the median one, log of the shape, exponent of the rate."""


@dataclass(frozen=True)
class Growth:
    """A fitted curve.

    Attributes:
      start: accuracy at t = 0.
      end: where it goes.
      scale: time T.
      shape: h.
    """

    start: float
    end: float
    scale: float
    shape: float

    def at(self, t: np.ndarray | float) -> np.ndarray:
        """Accuracy at times, of the shape of `t`."""
        risen = -np.expm1(-((np.asarray(t, float) / self.scale) ** self.shape))
        return np.asarray(self.start + (self.end - self.start) * risen)

    def time(self, part: float) -> float:
        """When a part of the whole change is over."""
        return float(self.scale * (-np.log1p(-part)) ** (1 / self.shape))


@dataclass(frozen=True)
class Points:
    """Logged points of one run, `[points]` each: time, accuracy, and the samples behind it."""

    time: np.ndarray
    accuracy: np.ndarray
    samples: np.ndarray

    def take(self, index: np.ndarray) -> Points:
        return Points(self.time[index], self.accuracy[index], self.samples[index])


def fit(
    runs: Sequence[Points], rates: Sequence[float] = (1.0,), exponent: float | None = 0.0
) -> tuple[Growth, float]:
    """One curve through the points of several runs at the times (rate)^exponent · t.

    Args:
      runs: points of each.
      rates: learning rate of each, > 0; times are those at their geometric mean.
      exponent: of the rate; `None`: fitted, too.

    Returns:
      The curve, and the exponent.
    """
    log = np.log(np.asarray(rates, float))
    log = np.repeat(log - log.mean(), [len(run.time) for run in runs])
    time, accuracy, samples = (
        np.concatenate([getattr(run, name) for run in runs]) for name in ("time", "accuracy", "samples")
    )
    middle = float(np.median(time[time > 0])) if (time > 0).any() else 1.0
    z, weight = np.arcsin(np.sqrt(accuracy)), 2 * np.sqrt(samples)

    def curve(u: np.ndarray) -> Growth:
        low, high = special.expit(u[:2])
        return Growth(float(low), float(high), middle * float(np.exp(u[2])), float(np.exp(u[3])))

    def residuals(u: np.ndarray) -> np.ndarray:
        power = u[4] if exponent is None else exponent
        expected = np.clip(curve(u).at(time * np.exp(power * log)), 1e-9, 1 - 1e-9)
        return weight * (z - np.arcsin(np.sqrt(expected)))

    first, last = (np.clip(np.quantile(accuracy, q), 0.02, 0.98) for q in (0.05, 0.95))
    if accuracy[-1] < accuracy[0]:
        first, last = last, first
    begin = np.array([special.logit(first), special.logit(last), 0.0, 0.0, 1.0])
    size = 5 if exponent is None else 4
    best = optimize.least_squares(residuals, begin[:size], bounds=BOUNDS[:size].T).x
    return curve(best), float(best[4]) if exponent is None else exponent


def one_clock(runs: Sequence[Points], rates: Sequence[float]) -> tuple[float, float]:
    """Whether runs at several learning rates are one curve of rate · t.

    Args:
      runs: points of each.
      rates: learning rate of each.

    Returns:
      The exponent of the rate that fits best; and how far the curves of single runs are from the one at exponent 1,
      root mean square over the points of each run, then over runs.
    """
    exponent = fit(runs, rates, None)[1]
    common = fit(runs, rates, 1.0)[0]
    relative = np.asarray(rates, float) / np.exp(np.mean(np.log(rates)))
    squares = [
        np.mean((fit([run])[0].at(run.time) - common.at(run.time * r)) ** 2)
        for run, r in zip(runs, relative, strict=True)
    ]
    return exponent, float(np.sqrt(np.mean(squares)))


def resampled(rng: np.random.Generator, runs: Sequence[Points], draws: int) -> list[list[Points]]:
    """The runs with their points resampled: together where they have the same times, as these had the same questions.

    Args:
      rng: of the draws.
      runs: points of each.
      draws: how many.
    """
    together = all(np.array_equal(run.time, runs[0].time) for run in runs)
    out = []
    for _ in range(draws):
        common = rng.integers(0, len(runs[0].time), len(runs[0].time))
        own = [common if together else rng.integers(0, len(run.time), len(run.time)) for run in runs]
        out.append([run.take(np.sort(index)) for run, index in zip(runs, own, strict=True)])
    return out

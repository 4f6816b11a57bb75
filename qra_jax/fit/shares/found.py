"""What a fit of shares says, and the numbers by which it decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

LEVEL, BACK, POWER = 0.05, 0.01, 0.8
"""Chance below which an orbit is rejected, and a turn on it; the power that a yes needs."""
SURE = 0.8
"""Share of the probability in intervals."""
UNKNOWN, MOST = 1e3, 1e9
"""Samples a point where none are given, before their scatter is known; samples that a point may count for."""
TOLERANCE = 0.02
"""By how much the sum of shares may miss 1."""
SEEN = 0.02
"""Share that a pattern must reach somewhere to set the scale of rates."""
FEWEST = 5
"""Steps that are needed."""


@dataclass(frozen=True)
class Test:
    """Whether shares run on an orbit.

    Attributes:
      chance: of noise on that orbit having as much off it, in [0, 1], by parametric bootstrap.
      statistic: what is off it and smooth in time, in units of the noise.
      critical: the statistic that noise exceeds with chance `LEVEL`.
      degrees: departures that are looked for; noise has about as large a statistic.
      deviance: twice the log likelihood ratio against free shares, over the dispersion.
      off: largest total variation of the shares from the orbit, smooth in time.
      at: the step at which it is.
    """

    chance: float
    statistic: float
    critical: float
    degrees: int
    deviance: float
    off: float
    at: float


@dataclass(frozen=True)
class SharesFit:
    """The orbit nearest to measured shares, and whether they run on it.

    Attributes:
      names: of the patterns that occur.
      steps: `[points]`; of a long run means of neighbouring steps, 100 at most.
      shares: `[points, patterns]`, measured.
      samples: `[points]`, what each point counts for: n over the dispersion.
      dispersion: of what is off the orbit, over multinomial noise; NaN where n was not given.
      policy: `[points, patterns]`, the fitted ones; the first stands for the reference.
      rival: `[points, patterns]`, those of the natural gradient's nearest orbit.
      rates: `[patterns]`, success rates: as given, or (R_r − R_worst)/(R_best − R_worst), all that shares can tell;
        best and worst of the patterns that reach a share of .02, so that rarer ones may lie outside of [0, 1].
      between: `[patterns, 2]`, their 80 % intervals.
      tau: `[points]`, orbit time τ since the first step; times R_best − R_worst where success rates are not given.
      integral: `[points, patterns]`, first integral of best pattern, this one and worst by measured shares: on an
        orbit 1 − the relative rate, at each step. NaN where it is 0/0.
      given: whether success rates were given.
      softmax: test of the softmax policy gradient's orbit.
      natural: test of the natural gradient's.
      power: chance of rejecting the first if the shares run on the nearest orbit of the second.
      visible: a smooth departure, largest total variation, of which four in five would have been rejected.
      moved: chance of noise moving shares that stay as much.
      back: chance of noise on an orbit turning positions back as much.
      success: `[patterns, 3]`, median and 80 % interval of success rates where accuracies were given.
    """

    names: tuple[str, ...]
    steps: np.ndarray
    shares: np.ndarray
    samples: np.ndarray
    dispersion: float
    policy: np.ndarray
    rival: np.ndarray
    rates: np.ndarray
    between: np.ndarray
    tau: np.ndarray
    integral: np.ndarray
    given: bool
    softmax: Test
    natural: Test
    power: float
    visible: float
    moved: float
    back: float
    success: np.ndarray | None

    @property
    def ends(self) -> tuple[int, int]:
        """Best and worst of the patterns that are seen."""
        rates = np.where(held(self.policy), self.rates, np.nan)
        return int(np.nanargmax(rates)), int(np.nanargmin(rates))

    @property
    def verdict(self) -> Literal["one orbit", "no orbit", "cannot be told"]:
        """Whether the shares run on one orbit; yes only where the natural gradient would have been told apart."""
        if self.moved > LEVEL:
            return "cannot be told"
        if self.softmax.chance <= LEVEL or self.back <= BACK:
            return "no orbit"
        return "one orbit" if self.power >= POWER else "cannot be told"


def held(policy: np.ndarray) -> np.ndarray:
    """`[patterns]`, which of them reach a share of `SEEN`; two at least.

    Args:
      policy: `[points, patterns]`.
    """
    most = policy.max(axis=0)
    return most >= min(SEEN, np.sort(most)[-2])


def checked(
    steps: Any, shares: Any, n: Any, success: Any, accuracy: Any, names: tuple[str, ...], draws: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None, tuple[str, ...]]:
    """The arguments, of patterns that occur."""
    x, steps = np.asarray(shares, float), np.asarray(steps, float)
    if x.ndim != 2 or steps.shape != x.shape[:1]:
        raise ValueError(f"shares: shape {x.shape} for {steps.shape} steps; must be [points, patterns]")
    if not np.isfinite(steps).all() or (np.diff(steps) <= 0).any() or len(steps) < FEWEST:
        raise ValueError(
            f"steps: {len(steps)} of them; must be {FEWEST} or more, finite, each above the one before"
        )
    total = x.sum(axis=1)
    bad = ~(np.isfinite(x).all(axis=1) & (x >= 0).all(axis=1) & (np.abs(total - 1) <= TOLERANCE))
    if bad.any():
        where = int(bad.argmax())
        raise ValueError(
            f"shares: {x[where].round(4).tolist()} at step {steps[where]:.10g}, with sum {total[where]:.4g}; must be "
            f"zero or above and sum to 1 within {TOLERANCE:g}"
        )
    x = x / total[:, None]
    size = (
        np.full(len(steps), UNKNOWN)
        if n is None
        else np.broadcast_to(np.asarray(n, float), steps.shape).copy()
    )
    if not (np.isfinite(size) & (size >= 1)).all():
        raise ValueError(f"n: {size.min():.10g}; must be 1 or above, and finite")
    if success is not None:
        success = np.asarray(success, float)
        if (
            success.shape != x.shape[1:]
            or not ((success >= 0) & (success <= 1)).all()
            or not np.ptp(success) > 0
        ):
            raise ValueError(
                f"success: {success.tolist()}; must be {x.shape[1]} rates in [0, 1], not all the same"
            )
    if accuracy is not None:
        accuracy = np.asarray(accuracy, float)
        if accuracy.shape != steps.shape or not ((accuracy >= 0) & (accuracy <= 1)).all():
            raise ValueError(f"accuracy: shape {accuracy.shape}; must be {len(steps)} rates in [0, 1]")
    names = tuple(names) or tuple(f"pattern {i}" for i in range(x.shape[1]))
    if len(names) != x.shape[1]:
        raise ValueError(f"names: {len(names)} of them; must be {x.shape[1]}")
    if draws < 19:
        raise ValueError(f"draws: {draws}; must be 19 or above")
    there = x.max(axis=0) > 0
    if there.sum() < 3:
        raise ValueError(
            f"shares: {there.sum()} patterns that occur; must be three or more: two shares run on an orbit whatever "
            "moves them"
        )
    if success is not None and not np.ptp(success[there]) > 0:
        raise ValueError(
            f"success: {success[there].tolist()} of the patterns that occur; must not be all the same"
        )
    success = None if success is None else success[there]
    return steps, x[:, there], size, success, accuracy, tuple(np.array(names, object)[there].tolist())

r"""What a curve does before any model is asked: stays, rises, falls, or rises and then falls, beyond its noise.

The best curves that stay, rise, fall, or rise and then fall are compared by likelihood, each with the noise that suits
it best: that of samples, larger by a factor, a part of which may wander slowly (`wander`). Reference distributions come
from curves drawn from the simpler of the two with its noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qra_jax.fit import monotone, wander

BINS, DRAWN = 64, 200
"""Neighbouring points are summed to at most so many; curves that are drawn for a reference distribution."""
SURE, LEAST, RISES = 0.01, 0.05, 0.03
"""Chance of noise below which a shape counts; the least change of accuracy that is named; the chance of a rise."""
LASTING = 4
"""Points above which the last one alone is no change."""
COVER = 0.95
"""Share of curves drawn from the fit whose true onset is no worse than the onsets that are kept."""


Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""The best curve of a kind, of values and their weights."""


@dataclass(frozen=True)
class Misfit:
    """How far a curve is from a level that a model gives it.

    Attributes:
      squares: mean of squared differences over those of the noise; 1 where the model is right.
      chance: of a right model having as much, in [0, 1].
      since: the step from which on differences are largest together.
      off: their weighted mean from there on, in accuracy.
    """

    squares: float
    chance: float
    since: float
    off: float


@dataclass(frozen=True)
class Shape:
    """A curve in words.

    Attributes:
      kind: what it does.
      chance: of noise alone doing as much, in [0, 1].
      moved: by how much it rises in all, or falls; of a flat one, by how much the second half may differ from the
        first without having shown.
      peak: highest level; of one that falls, before it does.
      end: last level.
      onset: of one that rises and falls, the step at which it begins to fall; NaN otherwise.
      onset_between: the steps between which that is, at 95 %: the last one is not before the level is two standard
        errors of a point below its peak.
      dispersion: φ, squared changes over those of binomial noise.
    """

    kind: Literal["flat", "rising", "falling", "collapse"]
    chance: float
    moved: float
    peak: float
    end: float
    onset: float
    onset_between: tuple[float, float]
    dispersion: float


def shape(steps: np.ndarray, accuracy: np.ndarray, samples: np.ndarray, seed: int = 0) -> Shape:
    """Which shape a curve has.

    Args:
      steps: `[points]`, increasing.
      accuracy: `[points]`, in [0, 1].
      samples: `[points]`, > 0, rollouts behind each point.
      seed: of the reference distributions.

    Returns:
      A `Shape`. A curve is flat where neither a fall, nor a rise and a fall, has a chance below `SURE`, nor a rise,
      as training should make one, a chance below `RISES`; one collapses where a fall after a rise, or from the start
      of a curve, has.
    """
    random, dispersion = np.random.default_rng(seed), _dispersion(accuracy, samples)
    index, y, m = _bins(accuracy, samples)
    last = np.array([steps[part[-1]] for part in index], float)
    mean, nowhere = float(np.average(y, weights=m)), (np.nan, (np.nan, np.nan))
    level = np.full(len(y), mean)
    rise, fall, hump = _chances(random, y, m, level, _mean, monotone.rising, monotone.falling, _hump)
    up, down = monotone.rising(y, m), monotone.falling(y, m)
    (chance,) = _chances(random, y, m, up, monotone.rising, _hump)
    both, _, mode = monotone.unimodal(y, 1 / wander.variance(up, m))
    drop = float(both[mode] - both[-1])
    sunk = min(rise, fall, hump) <= SURE and _lasts(y, both[mode], both[-1])
    if sunk and chance <= SURE and drop >= LEAST:
        first, end = _onset(random, y, both, m, mode)
        kind = "collapse" if both[mode] - both[0] >= LEAST else "falling"
        onset, between = float(last[mode]), (float(last[first]), float(last[end]))
        return Shape(kind, chance, drop, float(both[mode]), float(both[-1]), onset, between, dispersion)
    down_better = fall < rise or (fall == rise and np.sum((y - down) ** 2 * m) < np.sum((y - up) ** 2 * m))
    if fall <= SURE and down_better and _lasts(y, down[0], down[-1]):
        ends = float(down[0] - down[-1]), float(down[0]), float(down[-1])
        return Shape("falling", fall, *ends, *nowhere, dispersion)
    if (rise <= RISES and _lasts(y, up[0], up[-1])) or (hump <= SURE and sunk):
        return Shape(
            "rising", rise, float(up[-1] - up[0]), float(up[-1]), float(up[-1]), *nowhere, dispersion
        )
    half = np.cumsum(m) <= m.sum() / 2
    parts = [np.average(y[part], weights=m[part]) for part in (half, ~half) if m[part].sum() > 0]
    error = np.sqrt(4 * dispersion * max(mean * (1 - mean), 0.25 / m.sum()) / m.sum())
    hidden = float(abs(parts[-1] - parts[0]) + 2 * error)
    return Shape("flat", min(rise, fall, hump), hidden, mean, mean, *nowhere, dispersion)


def misfit(
    steps: np.ndarray, accuracy: np.ndarray, samples: np.ndarray, level: np.ndarray, seed: int = 0
) -> Misfit:
    """How far a curve is from a level, in units of its noise.

    Args:
      steps: `[points]`, increasing.
      accuracy: `[points]`, in [0, 1].
      samples: `[points]`, > 0.
      level: `[points]`, what a model says.
      seed: of the reference distribution: curves drawn from that level.

    Returns:
      A `Misfit`.
    """
    random, dispersion = np.random.default_rng(seed), _dispersion(accuracy, samples)
    index, y, m = _bins(accuracy, samples)
    expected = np.array([np.average(level[part], weights=samples[part]) for part in index])
    valley: Fit = lambda y, w: -_hump(-y, w)  # noqa: E731
    chance = min(1.0, 2 * min(_chances(random, y, m, expected, lambda y, w: expected, _hump, valley)))
    v = dispersion * wander.variance(expected, m)
    behind, off = (np.cumsum(x[::-1])[::-1] for x in (1 / v, (y - expected) / v))
    at = int((off**2 / behind).argmax())
    squares = float(np.mean((y - expected) ** 2 / v))
    return Misfit(squares, chance, float(steps[index[at][0]]), float(off[at] / behind[at]))


def _bins(accuracy: np.ndarray, samples: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Indices of neighbouring points that are summed, their means and their samples."""
    index = np.array_split(np.arange(len(accuracy)), min(BINS, len(accuracy)))
    y = np.array([np.average(accuracy[part], weights=samples[part]) for part in index])
    return index, y, np.array([samples[part].sum() for part in index])


def _mean(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.full(len(y), np.average(y, weights=weights))


def _hump(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return monotone.unimodal(y, weights)[0]


def _chances(
    random: np.random.Generator, y: np.ndarray, m: np.ndarray, level: np.ndarray, usual: Fit, *others: Fit
) -> list[float]:
    """For each of other fits: shares of curves drawn from a level that gain as much by it over the usual one."""
    v = wander.variance(level, m)
    curves = np.concatenate([y[None], wander.draw(random, level, m, wander.noise(y - level, v), DRAWN)])
    known, *more = (
        wander.likelihood(curves - np.stack([fit(curve, 1 / v) for curve in curves]), v)[0]
        for fit in (usual, *others)
    )
    return [float(np.mean(each - known >= each[0] - known[0] - 1e-9)) for each in more]


def _lasts(y: np.ndarray, before: float, end: float) -> bool:
    """Whether a change lasts: the last points are nearer to its end than to what was before, and not one alone."""
    now = np.median(y[-3:]) if len(y) > LASTING else y[-1]
    return bool(abs(now - end) <= abs(now - before))


def _onset(
    random: np.random.Generator, y: np.ndarray, both: np.ndarray, m: np.ndarray, mode: int
) -> tuple[int, int]:
    """Points between which a fall begins: no worse as the peak than the true one mostly is, nor before it shows."""
    v = wander.variance(both, m)
    found = wander.noise(y - both, v)
    squares = monotone.unimodal(y, 1 / v)[1]
    again = [monotone.unimodal(one, 1 / v)[1] for one in wander.draw(random, both, m, found, DRAWN // 2)]
    worse = np.quantile([each[mode] - each.min() for each in again], COVER)
    good = np.flatnonzero(squares - squares.min() <= worse)
    below = both[mode] - both[mode:] > 2 * np.sqrt(found.excess * v[mode:])
    fallen = mode + int(below.argmax()) if below.any() else mode
    return int(good[0]), max(int(good[-1]), fallen)


def _dispersion(accuracy: np.ndarray, samples: np.ndarray) -> float:
    """Squared changes of successive values over those of binomial noise, ≥ 1."""
    if len(accuracy) < 3:
        return 1.0
    smooth = np.convolve(np.pad(accuracy, 2, mode="edge"), np.ones(5) / 5, "valid")
    variance = np.clip(smooth * (1 - smooth), 0.25 / samples, None) / samples
    change = (accuracy[:-2] - 2 * accuracy[1:-1] + accuracy[2:]) ** 2  # free of a trend
    noise = variance[:-2] + 4 * variance[1:-1] + variance[2:]
    return float(max(1.0, np.mean(change / noise)))

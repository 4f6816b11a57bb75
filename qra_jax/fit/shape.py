r"""What a curve does before any model is asked: stays, rises, falls, or rises and then falls, beyond its noise.

Points are weighted by $m_i / [p_i(1-p_i)\,φ]$, with m_i samples behind each and a dispersion φ ≥ 1 of successive
changes. The best rising curve and the best curve that rises and then falls are found by pooling neighbours; the
statistic is by how much the second one's weighted squares are less. Its reference distribution comes from curves drawn
from the first one with the same samples and dispersion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

BINS, DRAWN = 64, 200
"""Neighbouring points are summed to at most so many; curves that are drawn for a reference distribution."""
SURE, LEAST = 0.01, 0.05
"""Chance of noise below which a shape counts; the least change of accuracy that is named."""
COVER = 0.95
"""Share of curves drawn from the fit whose true onset is no worse than the onsets that are kept."""


Statistic = Callable[[np.ndarray, np.ndarray], float]
"""Of values and their weights."""


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
      A `Shape`. A curve is flat where neither a rise, nor a fall, nor both has a chance below `SURE`; one collapses
      where a fall after a rise, or from the start of a curve, has.
    """
    random, dispersion = np.random.default_rng(seed), _dispersion(accuracy, samples)
    index = np.array_split(np.arange(len(steps)), min(BINS, len(steps)))
    m = np.array([samples[part].sum() for part in index]) / dispersion
    y = np.array([np.average(accuracy[part], weights=samples[part]) for part in index])
    last = np.array([steps[part[-1]] for part in index], float)
    mean, nowhere = np.average(y, weights=m), (np.nan, (np.nan, np.nan))
    up, down = _rising(y, m), _rising(y[::-1], m[::-1])[::-1]
    level = np.full(len(y), mean)
    rise = _chance(random, level, m, lambda y, w: _less(y, w, _rising(y, w)), y)
    fall = _chance(random, level, m, lambda y, w: _less(y, w, _rising(y[::-1], w[::-1])[::-1]), y)
    hump = _chance(random, level, m, lambda y, w: _less(y, w, _unimodal(y, w)[0]), y)
    if min(rise, fall, hump) > SURE:
        half = np.cumsum(m) <= m.sum() / 2
        parts = [np.average(y[part], weights=m[part]) for part in (half, ~half) if m[part].sum() > 0]
        error = np.sqrt(4 * max(mean * (1 - mean), 0.25 / m.sum()) / m.sum())
        hidden = float(abs(parts[-1] - parts[0]) + 2 * error)
        return Shape("flat", min(rise, fall, hump), hidden, float(mean), float(mean), *nowhere, dispersion)
    both, squares, mode = _unimodal(y, _weights(up, m))
    drop = float(both[mode] - both[-1])
    chance = _chance(random, up, m, lambda y, w: _gain(y, w), y)
    if chance <= SURE and drop >= LEAST:
        again = [_unimodal(one, _weights(both, m))[1] for one in _draw(random, both, m, DRAWN // 4)]
        worse = np.quantile([each[mode] - each.min() for each in again], COVER)
        good = np.flatnonzero(squares - squares.min() <= worse)
        kind = "collapse" if both[mode] - both[0] >= LEAST else "falling"
        below = both[mode] - both[mode:] > 2 / np.sqrt(_weights(both, m)[mode:])
        fallen = mode + int(below.argmax()) if below.any() else mode
        between = float(last[good[0]]), float(last[max(good[-1], fallen)])
        return Shape(
            kind, chance, drop, float(both[mode]), float(both[-1]), float(last[mode]), between, dispersion
        )
    if fall < rise and _less(y, _weights(down, m), down) > _less(y, _weights(up, m), up):
        moved = float(down[0] - down[-1])
        return Shape(
            "falling", fall, moved, float(down[0]), float(down[-1]), np.nan, (np.nan, np.nan), dispersion
        )
    moved = float(up[-1] - up[0])
    return Shape("rising", rise, moved, float(up[-1]), float(up[-1]), *nowhere, dispersion)


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
    random, m = np.random.default_rng(seed), samples / _dispersion(accuracy, samples)
    index = np.array_split(np.arange(len(steps)), min(BINS, len(steps)))
    whole = np.array([m[part].sum() for part in index])
    y, expected = (
        np.array([np.average(x[part], weights=m[part]) for part in index]) for x in (accuracy, level)
    )
    chance = _chance(random, expected, whole, lambda y, w: float(np.sum(w * (y - expected) ** 2)), y)
    weights = _weights(expected, whole)
    behind, off = (np.cumsum(x[::-1])[::-1] for x in (weights, weights * (y - expected)))
    at = int((off**2 / behind).argmax())
    squares = float(np.mean(weights * (y - expected) ** 2))
    return Misfit(squares, chance, float(steps[index[at][0]]), float(off[at] / behind[at]))


def _dispersion(accuracy: np.ndarray, samples: np.ndarray) -> float:
    """Squared changes of successive values over those of binomial noise, ≥ 1."""
    if len(accuracy) < 3:
        return 1.0
    smooth = np.convolve(np.pad(accuracy, 2, mode="edge"), np.ones(5) / 5, "valid")
    variance = np.clip(smooth * (1 - smooth), 0.25 / samples, None) / samples
    change = (accuracy[:-2] - 2 * accuracy[1:-1] + accuracy[2:]) ** 2  # free of a trend
    noise = variance[:-2] + 4 * variance[1:-1] + variance[2:]
    return float(max(1.0, np.mean(change / noise)))


def _weights(level: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Inverse variances of points at a level."""
    return m / np.clip(level * (1 - level), 0.25 / m, None)


def _rising(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The best rising curve, by pooling neighbours that fall."""
    return _pooled(y, weights)[0]


def _pooled(y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best rising curve, and the weighted squares of that of the first so many points."""
    means: list[float] = []
    sums: list[float] = []
    counts: list[int] = []
    squares: list[float] = []
    total = np.zeros(len(y))
    for i, (value, weight) in enumerate(zip(y, weights, strict=True)):
        mean, whole, count, square = float(value), float(weight), 1, 0.0
        while means and means[-1] > mean:
            before, more = means.pop(), sums.pop()
            square += squares.pop() + whole * more / (whole + more) * (mean - before) ** 2
            mean = (mean * whole + before * more) / (whole + more)
            whole, count = whole + more, count + counts.pop()
        means.append(mean)
        sums.append(whole)
        counts.append(count)
        squares.append(square)
        total[i] = sum(squares)
    return np.repeat(means, counts), total


def _unimodal(y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The best curve that rises up to a point and falls after it; weighted squares by that point; which it is."""
    ahead, behind = _pooled(y, weights)[1], _pooled(y[::-1], weights[::-1])[1][::-1]
    squares = ahead + np.append(behind[1:], 0.0)
    best = int(squares.argmin())
    left = _rising(y[: best + 1], weights[: best + 1])
    right = _rising(y[best + 1 :][::-1], weights[best + 1 :][::-1])[::-1]
    return np.concatenate([left, right]), squares, best


def _less(y: np.ndarray, weights: np.ndarray, level: np.ndarray) -> float:
    """By how much the weighted squares are less than those of a constant."""
    mean = np.average(y, weights=weights)
    return float(np.sum(weights * ((y - mean) ** 2 - (y - level) ** 2)))


def _gain(y: np.ndarray, weights: np.ndarray) -> float:
    """By how much the weighted squares of a curve that may fall are less than those of a rising one."""
    return float(_pooled(y, weights)[1][-1] - _unimodal(y, weights)[1].min())


def _chance(
    random: np.random.Generator, level: np.ndarray, m: np.ndarray, statistic: Statistic, y: np.ndarray
) -> float:
    """Share of curves drawn from a level whose statistic is as large."""
    weights = _weights(level, m)
    own = statistic(y, weights)
    return (1 + sum(statistic(one, weights) >= own for one in _draw(random, level, m, DRAWN))) / (1 + DRAWN)


def _draw(random: np.random.Generator, level: np.ndarray, m: np.ndarray, number: int) -> np.ndarray:
    """Curves of a level: `[number, points]`."""
    whole = np.maximum(np.rint(m), 1).astype(int)
    return random.binomial(whole, np.clip(level, 0, 1), (number, len(level))) / whole

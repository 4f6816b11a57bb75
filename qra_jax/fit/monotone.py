"""The best curves that rise, fall, or rise and then fall, by pooling neighbours that do otherwise."""

from __future__ import annotations

import numpy as np


def rising(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The rising curve of least weighted squares, `[points]`."""
    return pooled(y, weights)[0]


def falling(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The falling one, `[points]`."""
    return pooled(y[::-1], weights[::-1])[0][::-1]


def unimodal(y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The best curve that rises up to a point and falls after it; weighted squares by that point; which it is."""
    ahead, behind = pooled(y, weights)[1], pooled(y[::-1], weights[::-1])[1][::-1]
    squares = ahead + np.append(behind[1:], 0.0)
    best = int(squares.argmin())
    after = slice(best + 1, None)
    parts = rising(y[: best + 1], weights[: best + 1]), falling(y[after], weights[after])
    return np.concatenate(parts), squares, best


def pooled(y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best rising curve, and the weighted squares of that of the first so many points."""
    means: list[float] = []
    sums: list[float] = []
    counts: list[int] = []
    squares: list[float] = []
    total, all_squares = [], 0.0
    for mean, whole in zip(y.tolist(), weights.tolist(), strict=True):
        count, square = 1, 0.0
        while means and means[-1] > mean:
            before, more, past = means.pop(), sums.pop(), squares.pop()
            all_squares -= past
            square += past + whole * more / (whole + more) * (mean - before) ** 2
            mean = (mean * whole + before * more) / (whole + more)
            whole, count = whole + more, count + counts.pop()
        means.append(mean)
        sums.append(whole)
        counts.append(count)
        squares.append(square)
        all_squares += square
        total.append(all_squares)
    return np.repeat(means, counts), np.array(total)

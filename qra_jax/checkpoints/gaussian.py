"""The Gaussian twin of an update: one draw a tensor, as long after rounding to the stored type as the update is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from qra_jax.checkpoints import algebra

NEAR = 1e-3
"""How far, relatively, the norm of a twin's rounded update may be from the wanted one."""
PASSES = 48
"""How often a twin is rounded at most to find its length; some five are usual, thirty where the grid is coarse."""
FINE = 1e-6
"""Relative steps of the length below which the grid gives no other norm."""

Blocks = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
"""The base and its draw, some entries at a time; asked for once a pass, the same each time."""


def step(w0: np.ndarray, draw: np.ndarray, scale: float, dtype: np.dtype) -> np.ndarray:
    """The base plus a multiple of a draw, rounded to a stored type.

    Args:
      w0: the base's entries.
      draw: as many numbers, in float32.
      scale: what they are multiplied with.
      dtype: the stored type.

    Returns:
      Of that type; infinite beyond its range.
    """
    exact = np.dtype(np.float64) if np.dtype(np.float64) in (w0.dtype, dtype) else np.dtype(np.float32)
    with np.errstate(over="ignore"):
        return (w0.astype(exact, copy=False) + draw.astype(exact, copy=False) * exact.type(scale)).astype(
            dtype
        )


def length(blocks: Blocks, scale: float, dtype: np.dtype) -> float:
    """Norm of the update that is left after rounding.

    Args:
      blocks: the base and its draw.
      scale: what the draw is multiplied with.
      dtype: the stored type.

    Returns:
      ‖stored(w₀ + scale · draw) − w₀‖; infinite beyond the type's range.
    """
    total = 0.0
    for w0, draw in blocks():
        with np.errstate(over="ignore"):
            total += algebra.square(algebra.wide(step(w0, draw, scale, dtype)) - algebra.wide(w0))
    return math.sqrt(total)


def scale(blocks: Blocks, count: int, base: np.dtype, dtype: np.dtype, norm: float) -> float:
    """By how much a standard Gaussian draw is multiplied, so that its rounded update has a given norm.

    Secants of the logarithms, between bounds that are halved wherever secants do not help: the norm grows with the
    scale, in steps where the grid is coarse.

    Args:
      blocks: the base and its draw.
      count: entries of all blocks.
      base: type of the base.
      dtype: the stored type of the twin.
      norm: the wanted norm.

    Returns:
      The scale at which the norm is within `NEAR` of it, or else as near as the grid allows.
    """
    if not norm or not count:
        return 0.0
    # where the base itself is rounded, an update of zero has a length
    still = length(blocks, 0.0, dtype) / norm if _loses(base, dtype) else 0.0
    best, low, high = (abs(still - 1), 0.0), 0.0, math.inf
    if still >= 1 - NEAR:
        return 0.0
    now, last = norm / math.sqrt(count), None
    for turn in range(PASSES):
        got = length(blocks, now, dtype) / norm
        best = min(best, (abs(got - 1), now))
        low, high = (now, high) if got < 1 else (low, now)
        if abs(got - 1) <= NEAR or high <= low * (1 + FINE):
            break
        point = (math.log(now), math.log(got)) if 0 < got < math.inf else None
        now, last = _next(now, got, point, last, low, high, turn), point
    return best[1]


def _next(
    now: float,
    got: float,
    point: tuple[float, float] | None,
    last: tuple[float, float] | None,
    low: float,
    high: float,
    turn: int,
) -> float:
    """The scale to try next."""
    middle = math.sqrt(low) * math.sqrt(high) if low > 0 and high < math.inf else None
    if middle is not None and turn % 3 == 2:
        return middle
    if point is None:
        return middle or (4 * now if got < 1 else now / 4)
    slope = 1.0
    if last is not None and last[0] != point[0]:
        slope = (point[1] - last[1]) / (point[0] - last[0])
    if slope <= 0:
        return middle or (2 * now if got < 1 else now / 2)
    wanted = now * math.exp(min(max(-point[1] / slope, -2.0), 2.0))
    return wanted if low < wanted < high or middle is None else middle


def _loses(base: np.dtype, dtype: np.dtype) -> bool:
    """Whether rounding from one type to the other changes numbers."""
    return base != dtype and dtype.itemsize <= base.itemsize


def twin(rng: np.random.Generator, w0: np.ndarray, dtype: np.dtype, norm: float) -> np.ndarray:
    """The Gaussian twin of an update of one tensor in memory.

    Args:
      rng: source of random numbers.
      w0: the base.
      dtype: the stored type.
      norm: Frobenius norm of the update after it is rounded.

    Returns:
      Of the shape of `w0`.
    """
    flat, draw = w0.reshape(-1), rng.standard_normal(w0.size, dtype=np.float32)
    parts = [slice(first, first + algebra.BLOCK) for first in range(0, w0.size, algebra.BLOCK)]
    times = scale(lambda: ((flat[part], draw[part]) for part in parts), w0.size, w0.dtype, dtype, norm)
    made = np.empty(w0.size, dtype)
    for part in parts:
        made[part] = step(flat[part], draw[part], times, dtype)
    return made.reshape(w0.shape)

"""What values are: their range, how many samples are behind them, and whether they are fresh at every point."""

from __future__ import annotations

import re

import numpy as np

COARSE = 0.25
"""Part of a step of a granularity that the last printed digit may be worth."""
GUESSES = 4096
"""Largest number of samples that granularity is searched for."""
RATE = re.compile(r"acc|pass|success|solve|rate", re.IGNORECASE)
"""Names of what is a share, in hundredths where values are far above one."""
HUNDREDTHS = re.compile(r"%|per ?cent|pct", re.IGNORECASE)
"""Names of what is in hundredths, whatever its values."""
REWARD = re.compile(r"reward|score", re.IGNORECASE)
"""Names of what may have any range."""
PER_CENT = 5.0
"""Largest value from which on a share is in hundredths for certain."""
DEGREE = 10
"""Of the polynomial that is taken for the trend; what is left of fresh samples correlates by -DEGREE/points."""
LONG, ROLLOUTS = 30, 16
"""Points that are needed to tell; rows that are needed to tell single rollouts by their two values."""


def resolution(values: np.ndarray) -> float:
    """What the last digit is worth of the most precise of the values, as printed; of float32, its rounding.

    Args:
      values: `[points]`.
    """
    values = np.unique(values[np.isfinite(values)])[:4096]
    digits = max((_digits(value) for value in values), default=0)
    size = float(np.max(np.abs(values), initial=1e-9))
    if digits >= 9 and np.array_equal(values.astype(np.float32).astype(float), values):
        return 2.0**-23 * max(size, 1.0)  # they were float32
    return max(10.0**-digits, 1e-12)


def _digits(value: float) -> int:
    mantissa, _, power = repr(float(value)).lower().partition("e")
    whole = mantissa.partition(".")[2].rstrip("0")
    return min(12, max(0, len(whole) - int(power or 0)))


def granularity(values: np.ndarray, resolution: float = 1e-9) -> int | None:
    """The smallest m for which all values are multiples of 1/m, if chance does not explain it.

    Args:
      values: `[points]`, in [0, 1].
      resolution: what the last digit printed is worth.

    Returns:
      m in 2 … 4096 where values of no structure would pass, at any m, with a chance below 1 in 1000; else `None`.
      `None`, too, where all values are the same.

    >>> granularity(np.array([0.125, 0.5, 0.3125, 0.75]), 1e-4)
    16
    """
    distinct = np.unique(values[(values > 0) & (values < 1)])
    if not len(distinct) or len(np.unique(values)) < 2:
        return None
    m = np.arange(2, GUESSES + 1)
    off = np.abs(distinct[:, None] * m - np.round(distinct[:, None] * m)).max(axis=0)
    chance = len(distinct) * np.log(np.minimum(1.0, m * resolution * 1.01 + 1e-12)) + np.log(m)
    good = (off <= m * resolution * 0.505 + 1e-9) & (chance < np.log(1e-3))
    good &= m * resolution <= COARSE  # else the grid of the printed digits passes for one of its own
    return int(m[np.argmax(good)]) if good.any() else None


def guessed_range(name: str, values: np.ndarray, hundredths: bool = False) -> tuple[float, float] | None:
    """The range of a column that needs none to be given: fractions, and percentages of what is called a share.

    Args:
      name: of the column.
      values: `[points]`.
      hundredths: whether its cells have a sign of per cent.

    Returns:
      (0, 1), (0, 100), or `None` where it cannot be known.
    """
    low, high = values.min(), values.max()
    if low >= -1e-5 and high <= 100 + 1e-4 and (hundredths or HUNDREDTHS.search(name)):
        return 0.0, 100.0
    if low >= -1e-5 and high <= 1 + 1e-5:
        return 0.0, 1.0
    share = RATE.search(name) and not REWARD.search(name)
    return (0.0, 100.0) if share and low >= -1e-5 and PER_CENT < high <= 100 + 1e-4 else None


def carried(values: np.ndarray) -> int:
    """How many points in a row have one value because it was carried forward; 1 where values are fresh.

    Args:
      values: `[points]`.

    Returns:
      The largest k of which the lengths of all runs of equal values are multiples, but for the first and the last; 1
      where there are fewer than five runs.
    """
    ends = np.flatnonzero(np.diff(values) != 0) + 1
    lengths = np.diff(ends)
    if len(lengths) < 4:
        return 1
    return int(np.gcd.reduce(lengths))


def smoothed(values: np.ndarray) -> bool:
    """Whether values look like a moving average: neighbours agree beyond a smooth trend.

    Args:
      values: `[points]`.
    """
    number = len(values)
    if number < LONG or not np.ptp(values) > 0:
        return False
    place = np.linspace(-1, 1, number)
    rest = values - np.polynomial.chebyshev.chebval(
        place, np.polynomial.chebyshev.chebfit(place, values, DEGREE)
    )
    correlation = np.sum(rest[1:] * rest[:-1]) / max(np.sum(rest**2), 1e-300)
    return bool(correlation > 3 / np.sqrt(number) - DEGREE / number)


def two_valued(values: np.ndarray) -> tuple[float, float] | None:
    """The two values that single rollouts have; 0 and 1 where all have one of them; else `None`."""
    distinct = np.unique(values)
    if len(distinct) <= 2 and set(distinct) <= {0.0, 1.0}:
        return 0.0, 1.0
    many = len(distinct) == 2 and len(values) >= ROLLOUTS
    return (float(distinct[0]), float(distinct[1])) if many else None

r"""The course of one signal of a log: level at start and end, rise, fall from its peak, each with its noise.

Levels are means over a tenth of the points, two at least. The noise of a point is that of second differences,
$\sigma = \operatorname{median}|x_{i-1}-2x_i+x_{i+1}|/(.674\sqrt6)$, into which neither a trend nor a single jump
enters, and that of a level follows from the number of its points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qra_jax.fit.runs.signals import Signal

PART, FEWEST = 0.1, 2


@dataclass(frozen=True)
class Course:
    """A signal in numbers.

    Attributes:
      start: level at first.
      end: level at last.
      peak: highest level.
      low: lowest level.
      late: change over the last two fifths, end less the level there.
      error: standard error of a level.
      noise: standard deviation of a point.
      when: part of the run after which half of the change from start to end is made, in [0, 1]; NaN without one.
    """

    start: float
    end: float
    peak: float
    low: float
    late: float
    error: float
    noise: float
    when: float

    @property
    def rise(self) -> float:
        """End less start."""
        return self.end - self.start

    @property
    def fall(self) -> float:
        """Peak less end."""
        return self.peak - self.end

    def sure(self, change: float, times: float = 3.0) -> bool:
        """Whether a difference of two levels is more than a number of its standard errors.

        Args:
          change: the difference.
          times: how many.
        """
        return bool(abs(change) > times * np.sqrt(2) * self.error)


def course(signal: Signal, fewest: int = FEWEST) -> Course:
    """The course of a signal.

    Args:
      signal: two points or more.
      fewest: points of a level at least, ≥ 1.

    Raises:
      ValueError: fewer.
    """
    y = signal.values
    if len(y) < 2:
        raise ValueError(f"{signal.column}: {len(y)} points; must be two or more")
    width = min(max(fewest, round(PART * len(y))), max(1, len(y) // 2))
    sums = np.cumsum(np.append(0.0, y))
    levels = (sums[width:] - sums[:-width]) / width
    noise = float(np.median(np.abs(np.diff(y, 2))) / (0.6745 * np.sqrt(6))) if len(y) > 2 else 0.0
    rise = levels[-1] - levels[0]
    halfway = np.flatnonzero((levels - levels[0]) * np.sign(rise) >= abs(rise) / 2) if rise else np.array([])
    return Course(
        float(levels[0]),
        float(levels[-1]),
        float(levels.max()),
        float(levels.min()),
        float(levels[-1] - levels[round(0.6 * (len(levels) - 1))]),
        float(noise / np.sqrt(width)),
        noise,
        float(halfway[0] / max(len(levels) - 1, 1)) if halfway.size else float("nan"),
    )

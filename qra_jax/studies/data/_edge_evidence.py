"""What a chain of lines would solve."""

from __future__ import annotations

import numpy as np
import xarray as xr


def chained(share: xr.DataArray, told: tuple[int, ...], asked: tuple[int, ...]) -> xr.DataArray:
    """Chance that all lines are right where every line is with one rate, as long as those before it are.

    Args:
      share: mean share of right lines of questions with `told` lines, in [0, 1].
      told, asked: numbers of lines, of which the mean is taken.
    """
    rate = np.linspace(0, 1, 2001)
    shares = np.mean([np.mean([rate**i for i in range(1, n + 1)], axis=0) for n in told], axis=0)
    found = np.interp(share.values, shares, rate)
    return share.copy(data=np.mean([found**n for n in asked], axis=0))

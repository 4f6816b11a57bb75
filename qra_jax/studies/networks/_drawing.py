"""What panels of several studies in networks share."""

from __future__ import annotations

from typing import Any

import xarray as xr
from matplotlib.axes import Axes


def members(values: xr.DataArray, ax: Axes, *, x: Any = None, **style: Any) -> Axes:
    """A thin line for each seed.

    Args:
      values: `[step, seed]`, in any order.
      ax: where to draw.
      x: `[step, seed]`, what they are drawn against; default: their steps.
      **style: as for `Axes.plot`.
    """
    across = values.step if x is None else x.transpose("step", "seed")
    ax.plot(across, values.transpose("step", "seed"), **{"alpha": 0.6, "linewidth": 1} | style)
    return ax

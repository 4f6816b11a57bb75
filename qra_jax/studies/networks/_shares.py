"""Shares in what networks have in common, of which some have next to nothing."""

from __future__ import annotations

import numpy as np
import xarray as xr

from qra_jax.studies import lab


def pooled(quantity: str, part: xr.DataArray, whole: xr.DataArray) -> lab.Estimate:
    """Share of a part in a whole of all networks together, as `lab.pooled_share`, where some have next to none of it.

    Resamplings may draw these alone. The error is that of a ratio of means, to first order; a network without any of
    the whole says nothing of its scatter.

    Args:
      quantity: what it is a share of.
      part, whole: `[..., seed]`.

    Returns:
      The estimate.
    """
    total, n = whole.sum("seed", skipna=False), whole.where(whole == 0, 1).sum("seed")
    value = part.sum("seed", skipna=False) / total.where(total != 0)
    square = ((part - value * whole) ** 2).sum("seed", skipna=False) * n / (n - 1).where(n > 1)
    error = (square**0.5 / abs(total)).where(n > 1, np.inf)
    least = int(n.min())
    return lab.measured(quantity, value, error, n=least, freedom=max(least - 1.0, 1.0)).as_percent()

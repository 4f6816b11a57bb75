"""Shares of a gain in arms whose best learning rate is the same: a share may go with the rate and not with the arm."""

from __future__ import annotations

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._shares_of_gains import compared, members


def at_rate(
    runs: xr.Dataset, at: str, arms: tuple[str, ...], network: str, than: str, rate_of: str
) -> lab.Estimate:
    """Shares of the gain of arms that have the rate of another one, less that of one more: `differs` for each task.

    Args:
      runs: what `differs` reads, and the `rate` `[task, arm]`.
      at: which checkpoints.
      arms: that may have this rate.
      network: which.
      than: the arm whose share is taken off.
      rate_of: the arm whose rate is asked for.

    Returns:
      `[run]`, arms and tasks; a single unknown value where no arm has that rate.
    """
    words = f"share of the gain at {at}: {network}, less that of {than}, at the rate of {rate_of}"
    rows = {}
    for task in runs.task.values:
        rate = runs.rate.sel(task=task)
        same = [arm for arm in arms if np.isclose(rate.sel(arm=arm), rate.sel(arm=rate_of))]
        some = compared(runs, task, at, (than, *same))
        own = members(some.made.sel(network=network, drop=True) - some.base, some.tuned - some.base)
        for arm in same:
            first, second = (own.sel(arm=one, drop=True) for one in (arm, than))
            rows[f"{arm} ({task})"] = lab.difference(words, first, second)
    return lab.stacked("run", rows or {"no arm": lab.mean(words, xr.DataArray([np.nan] * 2, dims="seed"))})

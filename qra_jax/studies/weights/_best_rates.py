"""Arms at their best learning rates, which are chosen on other networks than those that are judged."""

from __future__ import annotations

import numpy as np
import xarray as xr


def speed(runs: xr.Dataset) -> xr.DataArray:
    """Mean reward of asked questions over the budget, `[arm, rate, ..., seed]`."""
    return runs.reward.sel(asked="asked", drop=True).mean("step", skipna=False)


def best(runs: xr.Dataset, values: xr.DataArray, arm: str) -> xr.DataArray:
    """An arm's values at the rate with the best mean reward of all other networks.

    Args:
      runs: `reward`, `[arm, rate, ..., seed, step, asked]`.
      values: `[arm, rate, ..., seed]` and more.
      arm: its name.

    Returns:
      Values without the dimensions of arm and rate.
    """
    return of_others(speed(runs).sel(arm=arm, drop=True), values.sel(arm=arm, drop=True))


def of_others(score: xr.DataArray, values: xr.DataArray) -> xr.DataArray:
    """Values of each network at the rate with the best score of all the others; NaN where a score is unknown.

    Args:
      score: `[..., rate, seed]`, the larger the better.
      values: `[..., rate, seed]` and more.

    Returns:
      Values without the dimension of the rate.
    """
    others = score.sum("seed", skipna=False) - score
    chosen = values.isel(rate=others.fillna(-np.inf).argmax("rate")).drop_vars("rate")
    return chosen.where(others.notnull().all("rate"))


def at_equal(runs: xr.Dataset, reward: float) -> xr.DataArray:
    """Entropy of held-out questions where asked ones first have a reward, between records; NaN where never.

    Args:
      runs: `reward` and `entropy`, `[arm, rate, ..., seed, step, asked]`.
      reward: that is looked for.

    Returns:
      `[arm, rate, ..., seed]`.
    """
    runs = runs.transpose(..., "step")
    paths, entropy = runs.reward.sel(asked="asked", drop=True), runs.entropy.sel(asked="held out", drop=True)
    found = np.full(paths.shape[:-1], np.nan)
    for place in np.ndindex(found.shape):
        path, held = paths.values[place], entropy.values[place]
        above = np.flatnonzero(path >= reward)
        if len(above) and above[0] > 0 and np.isfinite([path, held]).all():
            i = above[0]
            found[place] = np.interp(reward, path[i - 1 : i + 1], held[i - 1 : i + 1])
    return paths.isel(step=0, drop=True).copy(data=found)

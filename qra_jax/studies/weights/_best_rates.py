"""Arms at their best learning rates, which are chosen on other networks than those that are judged."""

from __future__ import annotations

import numpy as np
import xarray as xr


def speed(runs: xr.Dataset) -> xr.DataArray:
    """Mean reward of asked questions over the budget, `[arm, rate, ..., seed]`."""
    return runs.reward.sel(asked="asked", drop=True).mean("step", skipna=False)


def best(runs: xr.Dataset, values: xr.DataArray, arm: str, *, inside: bool = True) -> xr.DataArray:
    """An arm's values at the rate with the best mean reward of all other networks.

    Args:
      runs: `reward`, `[arm, rate, ..., seed, step, asked]`.
      values: `[arm, rate, ..., seed]` and more.
      arm: its name.
      inside: whether values are unknown, NaN, where that rate is the first or last of those that were tried: the best
        one may lie beyond.

    Returns:
      Values without the dimensions of arm and rate.
    """
    score = speed(runs).sel(arm=arm, drop=True)
    found, place = of_others(score, values.sel(arm=arm, drop=True)), place_of(score)
    return found.where((place > 0) & (place < score.sizes["rate"] - 1)) if inside else found


def of_others(score: xr.DataArray, values: xr.DataArray) -> xr.DataArray:
    """Values of each network at the rate with the best score of all the others; NaN where a score is unknown.

    Args:
      score: `[..., rate, seed]`, the larger the better.
      values: `[..., rate, seed]` and more.

    Returns:
      Values without the dimension of the rate.
    """
    chosen = values.isel(rate=place_of(score)).drop_vars("rate")
    return chosen.where(score.notnull().all(("rate", "seed")))


def place_of(score: xr.DataArray) -> xr.DataArray:
    """Place of the rate with the best score of all other networks, `[..., seed]`, of `[..., rate, seed]`."""
    others = score.sum("seed", skipna=False) - score
    return others.fillna(-np.inf).argmax("rate")


def at_equal(runs: xr.Dataset, reward: float) -> xr.DataArray:
    """Entropy of held-out questions where asked ones first have a reward, between records; NaN where never.

    Args:
      runs: `reward` and `entropy`, `[..., seed, step, asked]`.
      reward: that is looked for.

    Returns:
      `[..., seed]`.
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

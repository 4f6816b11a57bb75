"""What is read from the runs of the echo chamber: last shares, half-times, and who leads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from qra_jax.studies import lab


def end(data: lab.Data, arms: str | Iterable[str]) -> xr.DataArray:
    """Last shares of these arms, `[(arm,) seed, format]`."""
    return data.runs.policy.sel(arm=arms if isinstance(arms, str) else list(arms)).isel(step=-1, drop=True)


def of_best(policy: xr.DataArray, rate: xr.DataArray) -> xr.DataArray:
    """Share of the format of highest rate."""
    return policy.where(rate == rate.max("format")).max("format").where(policy.notnull().all("format"))


def second(policy: xr.DataArray) -> xr.DataArray:
    """Share of the format that is second."""
    ranked = np.sort(policy.transpose(..., "format").values, axis=-1)[..., -2]
    return policy.isel(format=0, drop=True).copy(data=ranked)


def switched(data: lab.Data, arms: Iterable[str]) -> tuple[xr.DataArray, xr.DataArray]:
    """When half of the change of the last leader's share, and of the gain of accuracy, is reached, in runs.

    Args:
      data: of the study.
      arms: which to look at.

    Returns:
      Two arrays `[arm, seed]`, in [0, 1].
    """
    runs = data.runs.sel(arm=list(arms))
    leader = runs.policy.isel(step=-1, drop=True).fillna(0).argmax("format")
    return half_time(runs.policy.isel(format=leader)), half_time(runs.accuracy)


def half_time(path: xr.DataArray) -> xr.DataArray:
    """The first time, as a part of the run, at which a path has gone half of its way, between records linearly."""
    whole = path.isel(step=-1, drop=True) - path.isel(step=0, drop=True)
    way = ((path - path.isel(step=0, drop=True)) / whole.where(whole != 0)).transpose(..., "step")

    def first(way: np.ndarray) -> np.ndarray:
        beyond = np.argmax(way >= 0.5, axis=-1)[..., None]
        before = np.maximum(beyond - 1, 0)
        low, high = (np.take_along_axis(way, i, axis=-1) for i in (before, beyond))
        part = np.divide(0.5 - low, high - low, out=np.zeros_like(low), where=high > low)
        return ((before + part) / (way.shape[-1] - 1))[..., 0]

    found: Any = xr.apply_ufunc(first, way, input_core_dims=[["step"]])
    return found.where(way.notnull().all("step"))


def leading(data: lab.Data) -> xr.DataArray:
    """Last shares expected of the formats and those that came, mean over seeds: `[kind, arm, format]`."""
    came = data.runs.policy.isel(step=-1, drop=True)
    kinds = {"base": data.runs.policy.isel(step=0, drop=True), "RL": came}
    kinds |= {"tree": data.theory.tree, "rates stay": data.theory.stay}
    found: Any = xr.concat(list(kinds.values()), xr.DataArray(list(kinds), dims="kind", name="kind"))
    return found.mean("seed")

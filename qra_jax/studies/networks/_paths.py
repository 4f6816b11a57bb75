"""What is measured along the paths of networks: when, how near an orbit, at what rate, and what a gain is made of."""

from __future__ import annotations

import numpy as np
import xarray as xr


def crossing(path: xr.DataArray, target: float, along: str = "step") -> xr.DataArray:
    """Where a path first reaches a target, linear between records; infinite if it never does, NaN for NaN.

    Args:
      path: `[..., along]`.
      target: what is reached from below.
      along: dimension with a coordinate.

    Returns:
      `[...]`, values of the coordinate.

    >>> path = xr.DataArray([0.5, 0.8, 1.0], dims="step", coords={"step": [0, 10, 20]})
    >>> round(crossing(path, 0.9).item(), 6)
    15.0
    """
    values, place = path.transpose(..., along).values, path[along].values.astype(float)
    there = values >= target
    at = there.argmax(axis=-1)[..., None]
    before = np.maximum(at - 1, 0)
    now, last = (np.take_along_axis(values, index, axis=-1) for index in (at, before))
    part = np.where(at > 0, (now - target) / np.where(now > last, now - last, 1.0), 0.0)
    reached = (place[at] - part * (place[at] - place[before]))[..., 0]
    reached = np.where(there.any(axis=-1), reached, np.inf)
    reached = np.where(np.isnan(values).any(axis=-1), np.nan, reached)
    return path.isel({along: 0}, drop=True).transpose(*(d for d in path.dims if d != along)).copy(data=reached)


def gains(policy: xr.DataArray, success: xr.DataArray, along: str = "step") -> xr.Dataset:
    r"""Gain of accuracy from selection, $\sum\int p\,d\pi$, and from answers, $\sum\int\pi\,dp$, by trapezoids.

    Args:
      policy, success: `[..., along, pattern]`.
      along: dimension of time.

    Returns:
      `selection` and `answers`, `[...]`; together the change of accuracy.
    """

    def part(weight: xr.DataArray, moved: xr.DataArray) -> xr.DataArray:
        first, last = ({along: slice(None, -1)}, {along: slice(1, None)})
        step = moved.isel(last).drop_vars(along) - moved.isel(first).drop_vars(along)
        mean = (weight.isel(last).drop_vars(along) + weight.isel(first).drop_vars(along)) / 2
        return (mean * step).sum([along, "pattern"], skipna=False)

    return xr.Dataset({"selection": part(success, policy), "answers": part(policy, success)})


def distance(path: xr.DataArray, curve: xr.DataArray, along: str = "time") -> xr.DataArray:
    """Total variation ½Σ|Δπ| of each point of a path from the nearest point of a curve.

    Args:
      path: `[..., pattern]`.
      curve: `[..., along, pattern]`.
      along: dimension of the curve's points.

    Returns:
      `[...]`, NaN for NaN.
    """
    apart = abs(path - curve).sum("pattern", skipna=False) / 2
    return apart.min(along, skipna=False)


def clock(
    path: xr.DataArray, curve: xr.DataArray, *, until: float
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Time of a curve at the nearest point to each point of a path, and the line through zero that steps give it.

    Args:
      path: `[..., step, pattern]`, first pattern the one that wins.
      curve: `[..., time, pattern]`.
      until: share of the first pattern at which the race is over; later points are left out.

    Returns:
      `[..., step]` times, NaN after the race; `[...]` slope of the line; `[...]` root mean square deviation from it, over
      the last time.
    """
    apart = abs(path - curve).sum("pattern", skipna=False)
    known = path.notnull().all(["step", "pattern"])
    at = apart.where(known, 0).argmin("time")
    racing = (path.isel(pattern=0, drop=True) >= until).cumsum("step") == 0
    time = curve.time[at].drop_vars("time").where(racing & known)
    step = time.step.where(time.notnull())
    slope = (time * step).sum("step") / (step**2).sum("step").where(known)
    off = np.sqrt(((time - slope * step) ** 2).mean("step")) / time.max("step")
    return time, slope, off.where(known)

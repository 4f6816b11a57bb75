"""What the study of RL on text reads from its runs."""

from __future__ import annotations

import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.data._text import BASE

TRIES = 32
"""The k of pass@k, which is exact here: 1 − (1 − ρ)^k of each question's probability of a right answer."""
BUDGETS = {"a quarter": 0.25, "all": 1.0}
"""Parts of RLVR after which starts are compared."""


def change(values: xr.DataArray) -> xr.DataArray:
    """The last value along training less the first."""
    return values.isel(step=-1) - values.isel(step=0)


def after(data: lab.Data, arm: str) -> xr.DataArray:
    """Accuracy after parts of RLVR, `[best, seed, budget]`."""
    right = data.runs.after_right.sel(arm=arm, drop=True).mean("question", skipna=False)
    at = [round(part * (right.sizes["step"] - 1)) for part in BUDGETS.values()]
    return right.isel(step=at).rename(step="budget").assign_coords(budget=list(BUDGETS))


def ended(data: lab.Data, arm: str) -> xr.DataArray:
    """Accuracy after all of RLVR, `[best, seed]`."""
    return after(data, arm).sel(budget="all", drop=True)


def passed(data: lab.Data, arm: str, tries: int | float) -> xr.DataArray:
    """Chance of a right answer in so many tries before RLVR, `[best, seed]`."""
    right = data.runs.after_right.sel(arm=arm, drop=True).isel(step=0, drop=True)
    return (1 - (1 - right) ** tries).mean("question", skipna=False)


def beyond_tries(data: lab.Data, values: xr.DataArray) -> xr.DataArray:
    """Accuracies less those of the base in any of as many tries as both stages sample, `[best, seed]`."""
    return values - passed(data, BASE, float(data.runs.attrs["tries"]))

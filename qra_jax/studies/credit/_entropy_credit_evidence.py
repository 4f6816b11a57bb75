"""What the study of advantage times entropy reads from its runs."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.credit._entropy_credit import RATES, STEPS


def arm_of(data: lab.Data, kind: str, strength: float) -> xr.Dataset:
    """Runs of one arm."""
    chosen = (data.runs.kind == kind) & (data.runs.strength == strength)
    return data.runs.isel(arm=int(np.flatnonzero(chosen.values)[0]), drop=True)


def time_to_target(data: lab.Data) -> xr.DataArray:
    """Steps until half of the way from the first accuracy to the best success rate, 200 where never."""
    accuracy = data.runs.accuracy
    first = accuracy.isel(step=0)
    there = accuracy >= (first + data.runs.best) / 2
    steps = xr.where(there, accuracy.step, STEPS).min("step")
    return steps.where(accuracy.notnull().all("step"))


def tuned(data: lab.Data, score: xr.DataArray, kind: str, rates: Sequence[float] = RATES) -> xr.DataArray:
    """A score at the strength and rate that are best on the first half of the seeds, on the second half."""
    half = score.sizes["seed"] // 2
    own = score.isel(arm=np.flatnonzero(data.runs.kind.values == kind)).sel(rate=list(rates))
    own = own.drop_vars(["kind", "strength"]).stack(cell=["arm", "rate"])
    early = own.isel(seed=slice(None, half)).mean("seed", skipna=False).fillna(np.inf)
    return own.isel(seed=slice(half, None)).isel(cell=early.argmax("cell")).drop_vars(["arm", "rate", "cell"])

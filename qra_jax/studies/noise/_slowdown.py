"""How much longer one course of training takes than another, and whether one constant says it."""

from typing import Any

import numpy as np
import xarray as xr

from qra_jax.studies import lab


def slowdown(run: xr.DataArray, other: xr.DataArray, log_rest: Any) -> xr.DataArray:
    """Time to bring log(1 − ρ) down to given values over that of another run; inf where only the first does not.

    Args:
      run: log(1 − ρ) `[..., time]`.
      other: the same of the other run.
      log_rest: values to reach, `[rest]`.
    """

    def reached(row: np.ndarray) -> np.ndarray:
        return np.interp(-np.asarray(log_rest), -row, np.log(run.time.values), right=np.inf)

    dims: Any = {"input_core_dims": [["time"]], "output_core_dims": [["rest"]], "vectorize": True}
    both = [xr.apply_ufunc(reached, row, **dims) for row in (run, other)]
    known = run.notnull().all("time") & other.notnull().all("time")
    return np.exp(both[0] - both[1]).where(known)


def constant(slower: xr.DataArray) -> lab.Estimate:
    """By what factor the best constant is wrong in time, over the range `[..., rest]`."""
    ends = [getattr(np.log(slower), kind)("rest", skipna=False) for kind in ("min", "max")]
    words = "factor by which the best constant is wrong in time"
    return lab.exact(words, np.exp((ends[1] - ends[0]) / 2))

"""Answers of the examination, as numbers of `ANSWERS`: which are right, which call a run ill, and the same permuted."""

from pathlib import Path

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.runs._causes import CAUSES
from qra_jax.studies.runs._doctors import ANSWERS, HEALTHY, UNCLEAR


def examined(path: Path) -> int:
    """What the examination names."""
    from qra_jax.consult.examination import examine

    cause = examine(path).cause
    return ANSWERS.index(cause if cause in CAUSES else UNCLEAR)


def right(named: xr.DataArray) -> xr.DataArray:
    """Whether each is the cause `[cause, ...]`; NaN where there is no answer."""
    own = [list(CAUSES).index(str(cause)) for cause in named.cause.values]
    return lab.where_known(named == xr.DataArray(own, dims="cause", coords={"cause": named.cause}), named)


def ill(named: xr.DataArray) -> xr.DataArray:
    """Whether each says that something has to be repaired."""
    calm = [ANSWERS.index(name) for name in (*HEALTHY, UNCLEAR)]
    return lab.where_known(~named.isin(calm), named)


def permuted(named: xr.DataArray) -> xr.DataArray:
    """The same answers, given to other runs."""
    order = np.random.default_rng(0).permutation(named.size)
    return named.copy(data=named.values.ravel()[order].reshape(named.shape))

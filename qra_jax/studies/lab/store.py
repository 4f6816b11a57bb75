"""Results on disk: one netCDF file for each experiment, which any tool can open."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import xarray as xr

from qra_jax import _files


def path(folder: Path, experiment: str, fingerprint: str) -> Path:
    """Where the dataset of an experiment is kept: its fingerprint is part of the name."""
    return folder / f"{experiment}-{fingerprint[:16]}.nc"


def write(path: Path, result: xr.Dataset) -> None:
    """Write a dataset as a whole, or not at all."""
    plain = result.copy()
    plain.attrs = {name: json.dumps(value, default=_plain) for name, value in result.attrs.items()}
    for name in plain.variables:
        if (
            plain[name].dtype == np.int64
            and np.abs(plain[name].values).max(initial=0) > np.iinfo(np.int32).max
        ):
            plain[name] = plain[name].astype(float)
    _files.write(path, bytes(plain.to_netcdf(engine="scipy")))


def read(path: Path) -> xr.Dataset:
    """The dataset of a file, in memory."""
    with xr.open_dataset(path, engine="scipy") as found:
        result = found.load()
    result.attrs = {name: json.loads(value) for name, value in result.attrs.items()}
    return result


def _plain(value: object) -> object:
    return np.asarray(value).tolist()

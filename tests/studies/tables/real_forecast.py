"""Mutations of `real-forecast`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.lab import Data
from tests.studies.tables.forecast import errors


def certain(weight):
    """Many runs in which one dynamics has this probability."""

    def change(data):
        many = xr.concat([data.real] * 20, "run")
        return Data({**data, "real": many.assign(weight=many.weight * 0 + weight)})

    return change


def scored(score, experiment="real"):
    return {
        "holds": errors(0.01, 0.2, 0.6, experiment, score),
        "fails": errors(0.4, 0.2, 0.6, experiment, score),
        "open": errors(np.nan, 0.2, 0.6, experiment, score),
    }


TABLE = {
    "end": scored("end"),
    "probability": scored("crps"),
    "simulated-probability": scored("crps", "controls"),
    "calibrated": {
        "holds": lambda d: d.change("real", covered=0.8, narrow=0.5),
        "fails": lambda d: d.change("real", covered=0.4),
        "open": lambda d: d.change("real", covered=np.nan),
    },
    "tells": {"holds": certain(0.9), "open": certain(np.nan)},
}

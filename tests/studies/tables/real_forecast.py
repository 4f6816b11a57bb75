"""Mutations of `real-forecast`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.lab import Data
from tests.studies.tables.forecast import covers, errors


def certain(weight):
    """Many runs, of an experiment each, in which one dynamics has this probability; simulated ones do not tell."""

    def change(data):
        real, controls = (
            0 * xr.concat([data[name].weight] * 20, "run") + value
            for name, value in (("real", weight), ("controls", 0.2))
        )
        real = real.assign_coords(experiment=("run", np.arange(real.sizes["run"])))
        parts = {"real": real, "controls": controls}
        return Data({**data, **{name: part.to_dataset(name="weight") for name, part in parts.items()}})

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
        "holds": covers("real", 0.8),
        "fails": covers("real", 0.4),
        "open": lambda d: d.change("real", covered=np.nan),
    },
    "tells": {"holds": certain(0.9), "fails": certain(0.3), "open": certain(np.nan)},
}

"""Mutations of `forecast`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.lab import Data


def by(template, dim, values):
    """An array like a template whose value is that of its label along a dimension."""
    row = xr.DataArray([values[label] for label in template[dim].values], dims=dim)
    return (0 * template.fillna(0) + row).transpose(*template.dims)


def ripple(array):
    """Hardly any scatter, the same in no two members."""
    return 1e-3 * np.sin(np.arange(1.0, array.size + 1)).reshape(array.shape)


def errors(theory, baseline, prior, experiment="runs", score="end"):
    """Forecasts with these errors, with hardly any scatter."""

    def change(data):
        old = data[experiment][score]
        values = dict.fromkeys(old.forecast.values, baseline) | {"theory": theory, "prior": prior}
        return data.change(experiment, **{score: by(old, "forecast", values) + ripple(old)})

    return change


def covers(experiment, covered, narrow=0.5):
    """Intervals, and those of half the width, that hold these shares of the points."""

    def change(data):
        noise = ripple(data[experiment].covered)
        return data.change(experiment, covered=covered + noise, narrow=narrow + noise)

    return change


def entangled(error):
    """The error at the end of entangled runs; that of fast ones is .1, the prior's is larger by .8."""

    def change(data):
        end = by(data.runs.end, "regime", dict.fromkeys(data.runs.regime.values, 0.1) | {"entangled": error})
        end = end + 0.8 * (end.forecast == "prior") + ripple(end)
        return data.change("runs", end=end.transpose(*data.runs.end.dims))

    return change


def chosen(right):
    """Sixty curves of each dynamics, whose own dynamics is the most probable, or another one is."""

    def change(data):
        many = xr.concat([data.choices.weight] * 30, "run")
        own = xr.DataArray(np.roll(np.eye(5), 0 if right else 2, axis=1), dims=("made", "dynamics"))
        return Data({**data, "choices": (0 * many + own).transpose(*many.dims).to_dataset(name="weight")})

    return change


TABLE = {
    "better": {
        "holds": errors(0.01, 0.2, 0.6),
        "fails": errors(0.4, 0.2, 0.6),
        "open": errors(np.nan, 0.2, 0.6),
    },
    "calibrated": {
        "holds": covers("runs", 0.8),
        "fails": covers("runs", 0.4),
        "open": lambda d: d.change("runs", covered=np.nan),
    },
    "tells": {
        "holds": chosen(True),
        "fails": chosen(False),
        "open": lambda d: d.change("choices", weight=np.nan),
    },
    "harder": {
        "holds": entangled(0.5),
        "fails": entangled(0.05),
        "open": entangled(np.nan),
    },
}

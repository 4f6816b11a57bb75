"""Mutations of `forecast`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.lab import Data


def by(template, dim, values):
    """An array like a template whose value is that of its label along a dimension."""
    row = xr.DataArray([values[label] for label in template[dim].values], dims=dim)
    return (0 * template.fillna(0) + row).transpose(*template.dims)


def errors(theory, baseline, prior, experiment="runs", score="end"):
    """Forecasts with these errors, with hardly any scatter."""

    def change(data):
        old = data[experiment][score]
        values = dict.fromkeys(old.forecast.values, baseline) | {"theory": theory, "prior": prior}
        return data.change(experiment, **{score: by(old, "forecast", values)})

    return change


def regimes(**values):
    """Errors at the end by regime."""
    named = {"fast": 0.1, "held by KL": 0.1} | values
    named["common shift"] = named.pop("shift", 0.9)
    return lambda data: data.change("runs", end=by(data.runs.end, "regime", named))


def chosen(right):
    """Sixty curves of each dynamics, whose own dynamics is the most probable, or another one is."""

    def change(data):
        many = xr.concat([data.choices] * 30, "run")
        own = xr.DataArray(np.roll(np.eye(5), 0 if right else 2, axis=1), dims=("made", "dynamics"))
        weight = (0 * many.weight + own).transpose(*many.weight.dims)
        return Data({**data, "choices": many.assign(weight=weight)})

    return change


TABLE = {
    "better": {
        "holds": errors(0.01, 0.2, 0.6),
        "fails": errors(0.4, 0.2, 0.6),
        "open": errors(np.nan, 0.2, 0.6),
    },
    "calibrated": {
        "holds": lambda d: d.change("runs", covered=0.8, narrow=0.5),
        "fails": lambda d: d.change("runs", covered=0.4),
        "open": lambda d: d.change("runs", covered=np.nan),
    },
    "tells": {
        "holds": chosen(True),
        "fails": chosen(False),
        "open": lambda d: d.change("choices", weight=np.nan),
    },
    "harder": {
        "holds": regimes(entangled=0.5),
        "fails": regimes(entangled=0.05),
        "open": regimes(entangled=np.nan),
    },
}

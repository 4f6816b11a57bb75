"""Mutations of `learning-rates`: what its claims would say of other data."""

import numpy as np
import xarray as xr


def _set(name, function, error=None):
    """η, or its error, of the measured runs by their other numbers."""

    def mutate(d):
        new = {name: function(d.measured)}
        if error is not None:
            new["error"] = 0 * d.measured.error + error
        return d.change("measured", **new)

    return mutate


def _power(rate, group):
    """Runs whose η goes with these powers of learning rate and group size, known to a per cent."""
    return _set("eta", lambda rows: 9 + rate * rows.rate + group * rows.group, 0.01)


def _far(log):
    """η found twice as large at the lowest rate, ten times at the others."""
    return log + xr.where(log.rate == log.rate.min(), np.log(2.0), np.log(10.0))


_blurred = _set("error", lambda rows: rows.error + 100)
TABLE = {
    "recovered": {
        "fails": lambda d: d.change("simulated", log=_far),
        "open": lambda d: d.select("simulated", seed=slice(1)),
    },
    "one-factor": {"holds": _power(1.0, 0.0), "fails": _power(-1.0, 0.0), "open": _blurred},
    "same-code": {"holds": _power(1.0, 0.0), "fails": _power(0.0, 0.0), "open": _blurred},
    "group-size": {"holds": _power(1.0, 0.0), "fails": _power(1.0, 2.0), "open": _blurred},
}

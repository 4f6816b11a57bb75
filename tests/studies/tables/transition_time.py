"""Mutations of `transition-time`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.lab import Data


def _times(change):
    """Other transition times on the family."""
    return lambda d: d.change("times", log_time=change(d.times))


def _blind(data):
    return data.change("times", log_time=np.nan)


def _random(change):
    """Other transition times in random problems."""
    return lambda d: d.change("times", random_log_time=change(d.times))


def _many(data):
    """Four times as many random problems."""
    times = data.times
    more = {
        name: xr.concat([value] * 4, "problem") for name, value in times.items() if "problem" in value.dims
    }
    return Data({"times": times.drop_dims("problem").assign(more)})


TABLE = {
    "power": {"fails": _times(lambda t: 0.97 * t.log_time), "open": _blind},
    "growth": {
        "holds": _times(lambda t: t.gamma**2),
        "fails": _times(lambda t: 2 * t.gamma),
        "open": _blind,
    },
    "reported": {"fails": _times(lambda t: 1.5 * t.log_time), "open": _blind},
    "exponential": {
        "fails": _random(lambda t: t.random_log_time + 3),
        "open": lambda d: d.select("times", problem=slice(50)),
    },
    "estimate": {"fails": _times(lambda t: t.log_time + 1), "open": _blind},
    "random-problems": {
        "holds": lambda d: _many(_random(lambda t: t.random_estimate)(d)),
        "fails": _random(lambda t: t.random_estimate + 1),
        "open": lambda d: _random(lambda t: t.random_estimate)(d.select("times", problem=slice(50))),
    },
}

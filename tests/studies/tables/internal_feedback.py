"""Mutations of `internal-feedback`: what its claims would say of other data."""

import numpy as np
import xarray as xr


def _few(name):
    dim = "seed" if name == "orbits" else "draw"
    return lambda data: data.select(name, **{dim: slice(2)})


def _all_rise(data):
    return data.change("fates", rise=1.0)


def _humps_everywhere(data):
    """Accuracy on every orbit rises by .1, and ends .2 below its start."""
    ripple = 1e-3 * np.sin(np.arange(data.orbits.sizes["seed"]))
    path = data.orbits.start + 0 * data.orbits.certainty + 0.1
    path = path + xr.DataArray(ripple, dims="seed")
    path[{"decade": -1}] = data.orbits.start - 0.2 + xr.DataArray(ripple, dims="seed")
    return data.change("orbits", certainty=path.transpose(*data.orbits.certainty.dims))


def _never_falls(data):
    """From a uniform base accuracy moves as under RLVR."""
    path = data.orbits.certainty.copy()
    path.loc[{"base": "uniform"}] = data.orbits.rlvr.sel(base="uniform")
    return data.change("orbits", certainty=path)


TABLE = {
    "rise": {"holds": _all_rise, "open": lambda d: _few("fates")(_all_rise(d))},
    "worst": {"fails": lambda d: d.change("fates", worst=0.0), "open": _few("fates")},
    "limit": {"fails": _all_rise, "open": _few("fates")},
    "lean": {
        "fails": lambda d: d.change("phases", rise=lambda flags: 1 - flags),
        "open": lambda d: d.select("phases", draw=slice(1), a=slice(3), b=slice(3)),
    },
    "together": {"holds": _all_rise, "open": _few("fates")},
    "humps": {
        "holds": _humps_everywhere,
        "fails": lambda d: d.change("orbits", certainty=d.orbits.rlvr),
        "open": _few("orbits"),
    },
    "average": {
        "holds": _humps_everywhere,
        "fails": _never_falls,
        "open": lambda d: d.select("orbits", seed=slice(60)),
    },
}

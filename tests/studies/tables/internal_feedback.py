"""Mutations of `internal-feedback`: what its claims would say of other data."""


def _few(name):
    dim = "seed" if name == "orbits" else "draw"
    return lambda data: data.select(name, **{dim: slice(2)})


def _all_rise(data):
    return data.change("fates", rise=1.0)


def _humps_everywhere(data):
    """Accuracy on every orbit rises by .1, and ends .2 below its start."""
    path = data.orbits.start + 0 * data.orbits.certainty + 0.1
    path[{"decade": -1}] = data.orbits.start - 0.2
    return data.change("orbits", certainty=path.transpose(*data.orbits.certainty.dims))


TABLE = {
    "rise": {"holds": _all_rise, "open": lambda d: _few("fates")(_all_rise(d))},
    "worst": {"fails": lambda d: d.change("fates", worst=0.0), "open": _few("fates")},
    "limit": {"fails": _all_rise, "open": _few("fates")},
    "lean": {
        "fails": lambda d: d.change("phases", rise=lambda flags: 1 - flags),
        "open": lambda d: d.select("phases", draw=slice(1), a=slice(3), b=slice(3)),
    },
    "together": {"holds": _all_rise, "open": _few("fates")},
    "humps": {"fails": lambda d: d.change("orbits", certainty=d.orbits.rlvr), "open": _few("orbits")},
    "average": {"holds": _humps_everywhere, "open": lambda d: d.select("orbits", seed=slice(60))},
}

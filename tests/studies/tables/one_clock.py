"""Mutations of `one-clock`: what its claims would say of other data."""

import numpy as np


def _measured(**numbers):
    """Another exponent or distance of the measured runs, or other errors; those of different code keep theirs."""

    def mutate(d):
        new = {}
        for name, value in numbers.items():
            old = d.measured[name].copy()
            old.loc[{"case": "rates varied"}] = value
            new[name] = old
        return d.change("measured", **new)

    return mutate


def _same_end(logged):
    """At every rate the rewards of the fourth, but for a ripple."""
    ripple = 1e-3 * np.sin(np.arange(logged.size)).reshape(logged.shape)
    return 0 * logged + logged.isel(rate=3, drop=True) + ripple


TABLE = {
    "simulated-clock": {
        "fails": lambda d: d.change("simulated", exponent=lambda x: x + 1),
        "open": lambda d: d.select("simulated", seed=slice(2)),
    },
    "limit": {
        "fails": lambda d: d.change("trained", logged=_same_end),
        "open": lambda d: d.select("trained", seed=slice(2)),
    },
    "measured-exponent": {
        "holds": _measured(found=1.0, error=1e-3),
        "fails": _measured(found=2.0),
        "open": _measured(error=10.0),
    },
    "measured-curve": {
        "holds": _measured(found=0.01, error=1e-3),
        "fails": _measured(found=0.2),
        "open": _measured(error=10.0),
    },
}

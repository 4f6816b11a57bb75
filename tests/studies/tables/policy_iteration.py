"""Mutations of `policy-iteration`: what its claims would say of other data."""

import numpy as np


def _quiet(data):
    """Exponents of a fixed reference that are those of a mixture."""
    exponent = data.chaos.exponent.copy()
    exponent.loc[{"anchor": 1}] = exponent.sel(anchor=0.5).values
    return data.change("chaos", exponent=exponent)


TABLE = {
    "converges": {
        "fails": lambda d: d.change("atlas", rests=False),
        "open": lambda d: d.change("atlas", rests=np.nan),
    },
    "exceeds": {
        "fails": lambda d: d.change("atlas", gain=lambda gain: gain - 100),
        "open": lambda d: d.change("atlas", gain=np.nan),
    },
    "exists": {
        "fails": lambda d: d.change("slices", fixed=np.nan, slope=np.nan),
        "open": lambda d: d.change("slices", fixed=np.nan),
    },
    "boundaries": {
        "fails": lambda d: d.change("atlas", period=1),
        "open": lambda d: d.change("atlas", period=np.nan),
    },
    "chaotic": {"fails": _quiet, "open": lambda d: d.change("chaos", exponent=np.nan)},
}

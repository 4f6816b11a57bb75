"""Mutations of `staleness-beyond`: what its claims would say of other data."""

import numpy as np


def _as(way):
    return lambda d: d.change("beyond", swing=lambda x: x.sel(way=way, drop=True) + 0 * x)


TABLE = {
    "diverges": {
        "fails": lambda d: d.change("beyond", lost=lambda x: x & False),
        "open": lambda d: d.change("beyond", lost=lambda x: x * np.nan),
    },
    "swings": {
        "fails": lambda d: d.change("beyond", swing=lambda x: x**2),
        "open": lambda d: d.change("beyond", swing=np.nan),
    },
    "rests": {"fails": _as("gradient"), "open": lambda d: d.change("beyond", swing=np.nan)},
    "amplified": {
        "holds": lambda d: d.change("shaken", variance=d.shaken.predicted),
        "fails": lambda d: d.change("shaken", variance=lambda x: 2 * x),
        "open": lambda d: d.change("shaken", error=lambda x: 20 * x),
    },
}

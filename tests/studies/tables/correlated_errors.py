"""Mutations of `correlated-errors`: what its claims would say of other data."""

import numpy as np


def _plain(square):
    return square / 1.24 ** (square.side == "along")


TABLE = {
    "mean-error": {
        "fails": lambda d: d.change("errors", variance=lambda x: x / 2),
        "open": lambda d: d.select("errors", seed=slice(3)),
    },
    "whole-update": {
        "fails": lambda d: d.change("updates", size=lambda x: x / 2),
        "open": lambda d: d.select("updates", seed=slice(8)),
    },
    "along": {
        "fails": lambda d: d.change("scatter", square=_plain),
        "open": lambda d: d.select("scatter", seed=slice(100)),
    },
    "speed": {
        "fails": lambda d: d.change("speeds", ratio=1.0),
        "open": lambda d: d.change("speeds", ratio=np.nan),
    },
    "ahead": {
        "fails": lambda d: d.change("tails", rest=lambda x: x + 0.6 * (x.correlation > 0)),
        "open": lambda d: d.select("tails", seed=slice(2)),
    },
}

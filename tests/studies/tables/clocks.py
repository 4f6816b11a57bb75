"""Mutations of `clocks`: what its claims would say of other data."""

import numpy as np


def _few(data):
    return data.select("runs", seed=slice(2))


TABLE = {
    "direction": {
        "fails": lambda d: d.change("listed", cosine=lambda x: x - 1e-3),
        "open": lambda d: d.change("listed", cosine=np.nan),
    },
    "orbits": {
        "fails": lambda d: d.change("runs", log_policy=lambda x: x + np.array([0.0, 1.0, 0.0])),
        "open": _few,
    },
    "speeds": {
        "fails": lambda d: d.change("courses", accuracy=lambda x: x - 0.1),
        "open": _few,
    },
}

"""Mutations of `interference`: what its claims would say of other data."""

import numpy as np

TABLE = {
    "influence": {
        "fails": lambda d: d.change("queries", gain=lambda gain: 1.1 * gain),
        "open": lambda d: d.change("queries", gain=np.nan),
    },
    "falls": {
        "fails": lambda d: d.change("populations", end=lambda end: end - 1),
        "open": lambda d: d.select("populations", seed=slice(2)),
    },
    "foretells": {
        "fails": lambda d: d.change("populations", speed=lambda speed: -speed),
        "open": lambda d: d.select("populations", seed=slice(2)),
    },
    "transfers": {
        "fails": lambda d: d.change("transfer", gain=lambda gain: -abs(gain)),
        "open": lambda d: d.select("transfer", seed=slice(2)),
    },
}

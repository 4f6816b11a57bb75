"""Mutations of `group-size`: what its claims would say of other data."""

import numpy as np


def _unknown(experiment, name):
    return lambda d: d.change(experiment, **{name: np.nan})


def _in_updates(d):
    """Rollouts that are divided by the group size, of eight times as many runs."""
    d = d.change("races", rollouts=lambda x: x / x.G)
    return d.select("races", seed=np.tile(np.arange(d.races.sizes["seed"]), 8))


TABLE = {
    "free": {
        "fails": lambda d: d.change("speeds", share=lambda x: 0.5 * x),
        "open": _unknown("speeds", "share"),
    },
    "poisson": {
        "fails": lambda d: d.change("speeds", limit=lambda x: 1.2 * x),
        "open": _unknown("speeds", "limit"),
    },
    "cold": {
        "fails": lambda d: d.change("speeds", cold=lambda x: 1.1 * x),
        "open": _unknown("speeds", "cold"),
    },
    "variance": {
        "fails": lambda d: d.change("noise", variance=lambda x: x * x["size"] ** 0.5),
        "open": _unknown("noise", "variance"),
    },
    "race": {
        "holds": _in_updates,
        "open": _unknown("races", "rollouts"),
    },
}

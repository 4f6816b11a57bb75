"""Mutations of `q-schedule`: what its claims would say of other data."""

import numpy as np


def _times(order):
    """Times of other clocks."""
    return lambda data: data.change("cold", log_time=data.cold.log_time.values[order])


def _sampled(value):
    """Accuracies of q: 1 → 0 about this value."""

    def mutate(data):
        sampled = data.schedules.sampled.copy()
        sampled.loc[{"schedule": "q: 1 → 0"}] = value + 1e-3 * np.sin(np.arange(sampled.sizes["run"]))
        return data.change("schedules", sampled=sampled)

    return mutate


def _others(data):
    """Other schedules do better, but at the smallest learning rate."""
    sampled = data.schedules.sampled
    better = (sampled.schedule != "q: 1 → 0") & (sampled.rate > sampled.rate[0])
    return data.change("schedules", sampled=sampled.where(~better, 2.0))


TABLE = {
    "cold-start": {"fails": _times([0, 2, 2]), "open": lambda d: d.change("cold", log_time=np.nan)},
    "groups": {"holds": _times([0, 1, 1]), "open": lambda d: d.change("cold", log_time=np.nan)},
    "expectation": {
        "fails": lambda d: d.change("schedules", mean=lambda x: -x),
        "open": lambda d: d.change("schedules", mean=np.nan),
    },
    "falling": {
        "holds": _sampled(2.0),
        "fails": _others,
        "open": lambda d: d.change("schedules", sampled=np.nan),
    },
}

"""Mutations of `q-schedule`: what its claims would say of other data."""

import numpy as np


def _times(order):
    """Times of other clocks."""
    return lambda data: data.change("cold", log_time=data.cold.log_time.values[order])


def _sampled(value):
    """Accuracies of q: 1 → 0 as a function of what they were."""

    def mutate(data):
        sampled = data.schedules.sampled.copy()
        sampled.loc[{"schedule": "q: 1 → 0"}] = value
        return data.change("schedules", sampled=sampled)

    return mutate


TABLE = {
    "cold-start": {"fails": _times([0, 2, 2]), "open": lambda d: d.change("cold", log_time=np.nan)},
    "groups": {"holds": _times([0, 1, 1]), "open": lambda d: d.change("cold", log_time=np.nan)},
    "expectation": {
        "fails": lambda d: d.change("schedules", mean=lambda x: -x),
        "open": lambda d: d.change("schedules", mean=np.nan),
    },
    "falling": {"holds": _sampled(2.0), "open": lambda d: d.change("schedules", sampled=np.nan)},
}

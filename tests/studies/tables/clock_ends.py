"""Mutations of `clock-ends`: what its claims would say of other data."""

import numpy as np


def _steeper(times):
    return times + 0.1 * times.depth


TABLE = {
    "cold-start": {
        "fails": lambda d: d.change("ends", cold=_steeper),
        "open": lambda d: d.change("ends", cold=np.nan),
    },
    "tail": {
        "fails": lambda d: d.change("ends", tail=_steeper),
        "open": lambda d: d.change("ends", tail=np.nan),
    },
    "bounded": {
        "fails": lambda d: d.change("ends", cold=lambda x: x + 0.1),
        "open": lambda d: d.change("ends", cold=np.nan),
    },
    "crossover": {
        "fails": lambda d: d.change("ends", cold=lambda x: 1.2 * x),
        "open": lambda d: d.change("ends", cold=np.nan),
    },
}

"""Mutations of `conflicts`: what its claims would say of other data."""

import numpy as np

TABLE = {
    "together": {
        "fails": lambda d: d.change("shifts", soon=lambda soon: soon / np.cosh(soon.start / 2)),
        "open": lambda d: d.change("shifts", soon=np.nan),
    },
    "conflict": {
        "fails": lambda d: d.change("even", end=lambda end: end.roll(middle=4)),
        "open": lambda d: d.change("even", end=np.nan),
    },
    "frequent": {
        "fails": lambda d: d.change("uneven", end=lambda end: end.roll(rule=1)),
        "open": lambda d: d.change("uneven", end=np.nan),
    },
}

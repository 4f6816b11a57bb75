"""Mutations of `staleness`: what its claims would say of other data."""

import numpy as np


def _times(factor, name="measured", part="thresholds"):
    return lambda d: d.change(part, **{name: lambda x: factor * x})


def _both(factor, name="measured", part="thresholds"):
    return {"fails": _times(factor, name, part), "open": _times(np.nan, name, part)}


TABLE = {
    "held": _both(1.1),
    "delayed": _both(1.1),
    "with-momentum": _both(1.1),
    "weaker": {
        "fails": lambda d: d.change("thresholds", fresh=lambda x: 0 * x + 2),
        "open": _times(np.nan, "fresh"),
    },
    "two-times": _both(1.1, part="rollouts"),
    "milder": {"fails": _times(0.1, part="rollouts"), "open": _times(np.nan, part="rollouts")},
    "lifts": _both(1.1, part="rollouts"),
}

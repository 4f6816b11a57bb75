"""Mutations of `answer-length`: what its claims would say of other data."""

import numpy as np


def _loose(data):
    return data.change("gradients", error=lambda x: x + 10)


def _still(length):
    """Lengths that stay, but for a ripple."""
    return 20 + 0.02 * np.sin(np.arange(length.size)).reshape(length.shape) + 0 * length


TABLE = {
    "still": {"fails": lambda d: d.change("gradients", mean=lambda x: x + 1), "open": _loose},
    "drifts": {"fails": lambda d: d.change("gradients", mean=lambda x: 0 * x), "open": _loose},
    "punished": {"fails": lambda d: d.change("gradients", mean=lambda x: x + 5), "open": _loose},
    "grows": {
        "fails": lambda d: d.change("runs", length=_still),
        "open": lambda d: d.change("runs", length=np.nan),
    },
}

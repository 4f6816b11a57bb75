"""Mutations of `entropy-credit`: what its claims would say of other data."""

import numpy as np


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _arm(x, kind):
    return (x.kind == kind).astype(float)


def _shift(kind, by):
    """Last accuracies of one kind of arm moved, with its scatter taken away."""

    def change(x):
        arm = _arm(x, kind)
        return x * (1 - arm) + arm * (x.sel(arm=0) + by + _ripple(x))

    return change


def _equal(kind):
    def change(x):
        arm = _arm(x, kind)
        return x * (1 - arm) + arm * x.isel(arm=0)

    return change


TABLE = {
    "vanishes": {
        "fails": lambda d: d.change(
            "means", size=lambda x: x + 1e-6 * (x.place == "exact critic, later steps")
        ),
        "open": lambda d: d.change("means", size=np.nan),
    },
    "law": {
        "fails": lambda d: d.change("means", missed=0.5),
        "open": lambda d: d.change("means", missed=np.nan),
    },
    "moves": {
        "fails": lambda d: d.change("runs", entropy=_equal("advantage × entropy")),
        "open": lambda d: d.select("runs", seed=slice(2)),
    },
}

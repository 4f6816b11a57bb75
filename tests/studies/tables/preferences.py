"""Mutations of `preferences`: what its claims would say of other data."""

import numpy as np


def _ripple(x):
    """Small differences between members."""
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _unsorted(x):
    return x.copy(data=np.random.default_rng(1).permutation(x.values.T).T)


def _off(arm, by):
    """An arm's values moved."""
    return lambda x: x + by * (x.arm == arm)


TABLE = {
    "direction": {
        "fails": lambda d: d.change("paths", angle=90.0),
        "open": lambda d: d.change("paths", angle=np.nan),
    },
    "ends": {
        "fails": lambda d: d.change("paths", end=lambda x: x + 0.1),
        "open": lambda d: d.change("paths", end=np.nan),
    },
    "longest": {
        "fails": lambda d: d.change("takeovers", share=0.0),
        "open": lambda d: d.change("takeovers", share=np.nan),
    },
    "criterion": {
        "fails": lambda d: d.change("takeovers", share=lambda x: 0 * x + (x.long > x.short)),
        "open": lambda d: d.change("takeovers", share=np.nan),
    },
    "displaced": {
        "fails": lambda d: d.change("singles", chosen=abs),
        "open": lambda d: d.select("singles", seed=slice(4)),
    },
    "ches": {
        "fails": lambda d: d.change("singles", ches=_unsorted, centred=_unsorted),
        "open": lambda d: d.select("singles", seed=slice(4)),
    },
    "crowded": {
        "fails": lambda d: d.change("paths", chosen=0.0),
        "open": lambda d: d.change("paths", chosen=np.nan),
    },
    "network-ches": {
        "fails": lambda d: d.change("pushed", chosen=lambda x: -x),
        "open": lambda d: d.select("pushed", seed=slice(1)),
    },
    "reaches": {
        "fails": lambda d: d.change("trained", accuracy=_off("DPO, iterated", -0.2)),
        "open": lambda d: d.select("trained", seed=slice(1)),
    },
    "lengthens": {
        "fails": lambda d: d.change("trained", length=_off("DPO, longest", -3.0)),
        "open": lambda d: d.select("trained", seed=slice(1)),
    },
    "outside": {
        "fails": lambda d: d.change("trained", outside=lambda x: 0 * x + abs(_ripple(x))),
        "open": lambda d: d.select("trained", seed=slice(1)),
    },
}

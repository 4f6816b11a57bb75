"""Mutations of `length-reward`: what its claims would say of other data."""

import numpy as np


def _lawful(gap):
    return (0 * gap + gap.coefficient * 0.0015 - gap.less).transpose(*gap.dims)


def _few(d):
    return d.select("runs", seed=slice(1))


TABLE = {
    "law": {
        "holds": lambda d: d.change("gaps", gap=_lawful),
        "fails": lambda d: d.change("gaps", gap=lambda x: -x),
        "open": lambda d: d.change("gaps", gap=np.nan),
    },
    "smaller": {
        "holds": lambda d: d.change("gaps", gap=lambda x: x.where(~x.algorithm.isin(["GRPO, G = 8"]), 1.0)),
        "fails": lambda d: d.change("gaps", gap=_lawful),
        "open": lambda d: d.change("gaps", gap=np.nan),
    },
    "about": {
        "fails": lambda d: d.change("useless", gap=lambda x: x.short.max() / 2 - x.short + 0 * x),
        "open": lambda d: d.change("useless", gap=np.nan),
    },
    "longer": {
        "fails": lambda d: d.change("runs", policy=lambda x: x.isel(pattern=[1, 0, 2]).values),
        "open": _few,
    },
}

"""Mutations of `think-or-not`: what its claims would say of other data."""

import numpy as np


def _lawful(gap):
    return (0 * gap + gap.step**gap.depth + gap.form - gap.direct).transpose(*gap.dims)


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


TABLE = {
    "law": {
        "holds": lambda d: d.change("gaps", gap=_lawful),
        "fails": lambda d: d.change("gaps", gap=lambda x: -x),
        "open": lambda d: d.change("gaps", gap=np.nan),
    },
    "smaller": {
        "holds": lambda d: d.change("gaps", gap=lambda x: x.where(x.algorithm != "GRPO, G = 8", 1.0)),
        "fails": lambda d: d.change("gaps", gap=_lawful),
        "open": lambda d: d.change("gaps", gap=np.nan),
    },
    "gate": {
        "fails": lambda d: d.change("gaps", gated=lambda x: x - 1),
        "open": lambda d: d.change("gaps", gated=np.nan),
    },
    "direct": {
        "fails": lambda d: d.change("runs", accuracy=lambda x: 0.4 + _ripple(x)),
        "open": lambda d: d.select("runs", seed=slice(1)),
    },
    "bought": {
        "fails": lambda d: d.change("runs", thinks=lambda x: x.where(x.worth > 0.8, 0.1 + _ripple(x))),
        "open": lambda d: d.select("runs", seed=slice(1)),
    },
}

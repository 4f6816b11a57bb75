"""Mutations of `credit-clocks`: what its claims would say of other data."""

import numpy as np


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


TABLE = {
    "own-clocks": {
        "holds": lambda d: d.change("paths", apart=lambda x: 0.1 * (x.rule != "RLOO") + 0 * x + _ripple(x)),
        "fails": lambda d: d.change("paths", apart=lambda x: 0 * x + _ripple(x)),
        "open": lambda d: d.select("paths", seed=slice(2)),
    },
    "sizes": {
        "holds": lambda d: d.change("pushes", push=lambda x: 0.4 + 0 * x + _ripple(x)),
        "fails": lambda d: d.change(
            "pushes", push=lambda x: (x.copy(data=1 + _ripple(x)) * x.gap).transpose(*x.dims)
        ),
        "open": lambda d: d.change("pushes", push=np.nan),
    },
    "whitens": {
        "fails": lambda d: d.change("whitening", gain=lambda x: 2 * x),
        "open": lambda d: d.select("whitening", seed=slice(2)),
    },
    "masked-values": {
        "fails": lambda d: d.change("mask", kept=lambda x: -x),
        "open": lambda d: d.select("mask", state=slice(20)),
    },
    "masked-alone": {
        "fails": lambda d: d.change("mask", kept=1.0),
        "open": lambda d: d.select("mask", state=slice(20)),
    },
    "process": {
        "fails": lambda d: d.change("prefixes", cosine=0.9),
        "open": lambda d: d.change("prefixes", cosine=np.nan),
    },
}

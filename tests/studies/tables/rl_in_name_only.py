"""Mutations of `rl-in-name-only`: what its claims would say of other data."""

import numpy as np


def _unlike(path):
    return path + 0.1 * (path.rule == "positives only")


def _alike(path):
    ripple = 1e-3 * np.sin(np.arange(path.size)).reshape(path.shape)
    return path.sel(rule="GRPO", drop=True) + (0 * path + ripple)


TABLE = {
    "one-group": {
        "fails": lambda d: d.change("groups", cosine_8=lambda x: 0.9 * x),
        "open": lambda d: d.change("groups", cosine_8=np.nan),
    },
    "parts": {
        "fails": lambda d: d.change("paths", apart=0.0),
        "open": lambda d: d.change("paths", apart=np.nan),
    },
    "adam-parts": {
        "fails": lambda d: d.change("adam", path=_alike),
        "open": lambda d: d.select("adam", seed=slice(1)),
    },
    "matches": {
        "fails": lambda d: d.change("tuned", accuracy=lambda x: x - 0.2 * (x.rule == "± (unit weights)")),
        "open": lambda d: d.select("tuned", seed=slice(4)),
    },
    "collapse": {
        "holds": lambda d: d.change("tuned", accuracy=lambda x: x * (x.rule != "negatives only")),
        "open": lambda d: d.select("tuned", seed=slice(4)),
    },
}

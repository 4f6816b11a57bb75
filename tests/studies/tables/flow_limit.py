"""Mutations of `flow-limit`: what its claims would say of other data."""

import numpy as np


def _noisy(kind):
    return lambda d: d.change("runs", **{f"sampled_{kind}_se": lambda x: 50 * x})


def _steeper(kind, power):
    """Values and errors that fall faster with the learning rate."""
    names = (f"sampled_{kind}", f"sampled_{kind}_se")
    return lambda d: d.change("runs", **{name: lambda x: x * x.rate**power for name in names})


def _as_predicted(data):
    """A bias that is the expansion's, with small errors."""
    law = data.expected.bias * data.runs.rate
    return data.change("runs", sampled_bias=law, sampled_bias_se=1e-3 * abs(law))


TABLE = {
    "mean-training": {
        "fails": lambda d: d.change("runs", error=lambda x: x * x.rate**0.1),
        "open": lambda d: d.change("runs", error=np.nan),
    },
    "spread": {
        "fails": _steeper("rms", 1.0),
        "open": _noisy("rms"),
    },
    "bias": {
        "holds": _as_predicted,
        "fails": _steeper("bias", 2.0),
        "open": _noisy("bias"),
    },
    "variance": {
        "fails": lambda d: d.change("expected", variance=lambda x: 2 * x),
        "open": _noisy("variance"),
    },
    "constants": {
        "holds": _as_predicted,
        "fails": lambda d: d.change("expected", bias=lambda x: 3 * x),
        "open": _noisy("bias"),
    },
    "sde": {
        "fails": lambda d: d.change("runs", sde=lambda x: 2 * x),
        "open": lambda d: d.select("runs", seed_sde=slice(40)),
    },
}

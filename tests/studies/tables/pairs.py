"""Mutations of `pairs`: what its claims would say of other data."""

import numpy as np


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _as_pairs(steps, factor, rule):
    """One rule's runs are those of pairs, so many times as long."""
    paired = steps.sel(rule="pairs", drop=True) * factor
    return paired.where(steps.rule == rule, steps).transpose(*steps.dims)


TABLE = {
    "orbit": {
        "fails": lambda d: d.change("gradients", across=lambda x: x + 0.3),
        "open": lambda d: d.select("gradients", seed=slice(1)),
    },
    "half": {
        "holds": lambda d: d.change(
            "exact", steps=lambda x: x * np.where(x.rule == "pairs", 0.5, 1.0)[:, None]
        ),
        "fails": lambda d: d.change(
            "exact", steps=lambda x: x * np.where(x.rule == "pairs", 3.0, 1.0)[:, None]
        ),
        "open": lambda d: d.change("exact", steps=np.nan),
    },
    "clock": {
        "holds": lambda d: d.change(
            "races", steps=lambda x: _as_pairs(x, 1 + _ripple(x[0]), "GRPO, 8, clock of pairs")
        ),
        "fails": lambda d: d.change(
            "races", steps=lambda x: _as_pairs(x, 2 + _ripple(x[0]), "GRPO, 8, clock of pairs")
        ),
        "open": lambda d: d.select("races", seed=slice(2)),
    },
    "tuned": {
        "holds": lambda d: d.change("races", steps=lambda x: _as_pairs(x, 0.5, "GRPO, 16")).change(
            "races", steps=lambda x: _as_pairs(x, 4.0, "GRPO, 8")
        ),
        "fails": lambda d: d.change("races", steps=lambda x: _as_pairs(x, 0.25, "GRPO, 8")),
        "open": lambda d: d.select("races", seed=slice(4)),
    },
    "drawn": {
        "holds": lambda d: d.change("races", steps=lambda x: _as_pairs(x, 0.25, "GRPO, 16")).change(
            "races", steps=lambda x: _as_pairs(x, 4.0, "GRPO, 8")
        ),
        "fails": lambda d: d.change("races", steps=lambda x: _as_pairs(x, 4.0, "GRPO, 16")),
        "open": lambda d: d.select("races", seed=slice(4)),
    },
    "worth": {
        "holds": lambda d: d.change(
            "exact", worth=lambda x: x * np.where(x.rule == "pairs", 2.0, 1.0)[:, None]
        ),
        "fails": lambda d: d.change(
            "exact", worth=lambda x: x * np.where(x.rule == "pairs", 0.5, 1.0)[:, None]
        ),
        "open": lambda d: d.change("exact", worth=np.nan),
    },
    "length": {
        "fails": lambda d: d.change("stops", length=lambda x: 1 / x),
        "open": lambda d: d.select("stops", seed=slice(1)),
    },
}

"""Mutations of `name-only-lengths`: what its claims would say of other data."""

import numpy as np


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _flat(d):
    """No growth of any length in training, but for a little scatter."""
    d = d.change("lengths", growth=lambda x: 0 * x + _ripple(x))
    return d.change("networks", growth=lambda x: 0 * x + _ripple(x))


def _uncentred(d):
    """GRPO's lengths fall as those of positives do."""
    return d.change("lengths", growth=lambda x: x - 0.5 * (x.rule == "GRPO"))


def _few(d):
    return d.select("networks", seed=slice(1))


def _signed(d):
    """The predicted growth in training with weights over |o|, and none with a constant."""
    size = {"positives only": -0.3, "negatives only": 0.3, "± (unit weights)": 0.2}
    return d.change(
        "lengths",
        growth=lambda x: (
            0 * x + _ripple(x) + sum(g * ((x.rule == r) & (x.norm == "1/|o|")) for r, g in size.items())
        ),
    ).change(
        "networks",
        growth=lambda x: (
            0 * x
            + _ripple(x)
            + sum(g * ((x["name"] == r) & x.condition.str.endswith("1/|o|")) for r, g in size.items())
        ),
    )


def _wrong(d):
    """Wrong answers of two approaches grow under GRPO over |o|."""
    d = d.change("lengths", growth=lambda x: x.where(x.rule != "GRPO", 0.3 + _ripple(x)))
    return d.change("networks", growth=lambda x: x.where(x["name"] != "GRPO", 0.3 + _ripple(x)))


TABLE = {
    "still": {
        "fails": lambda d: d.change("lengths", drift=lambda x: x + 1e-6),
        "open": lambda d: d.change("lengths", drift=np.nan),
    },
    "drifts": {
        "fails": lambda d: d.change("lengths", drift=lambda x: abs(x)),
        "open": lambda d: d.change("lengths", drift=np.nan),
    },
    "sampled": {
        "holds": _signed,
        "fails": _flat,
        "open": _few,
    },
    "centred": {
        "holds": _signed,
        "fails": _uncentred,
        "open": _few,
    },
    "wrong-first": {
        "fails": lambda d: d.change("lengths", drift=lambda x: -abs(x)),
        "open": lambda d: d.change("lengths", drift=np.nan),
    },
    "wrong": {
        "holds": _wrong,
        "fails": lambda d: d.change("lengths", growth=lambda x: x - 0.5 * (x.rule == "GRPO")),
        "open": _few,
    },
}

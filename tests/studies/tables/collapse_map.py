"""Mutations of `collapse-map`: what its claims would say of other data."""

import numpy as np


def _lost_by(law):
    """Runs of which the share `law(exponent, η/G, G)` is lost."""

    def change(d):
        losses = d.losses
        share = law(losses.exponent, losses.ratio, losses.group).transpose(
            "group", "algorithm", "start", "ratio"
        )
        rank = (np.arange(losses.sizes["seed"]) + 0.5) / losses.sizes["seed"]
        lowest = np.where(rank < share.values[..., None], -20.0, -1.0)
        return d.change("losses", lowest=lowest)

    return change


def _one_curve(d):
    """Every G loses as the smallest one does, with twenty times as many runs."""
    d = d.change("losses", lowest=lambda x: x.isel(group=[0] * x.sizes["group"]).values)
    return d.select("losses", seed=np.tile(np.arange(d.losses.sizes["seed"]), 20))


def _unknown(experiment, name):
    return lambda d: d.change(experiment, **{name: np.nan})


TABLE = {
    "loses": {
        "fails": _lost_by(lambda e, r, g: 0 * e * r),
        "open": _unknown("losses", "lowest"),
    },
    "law": {
        "fails": _lost_by(lambda e, r, g: np.exp(-1.5 * e / r)),
        "open": lambda d: d.select("losses", seed=slice(12)),
    },
    "bound": {
        "fails": _lost_by(lambda e, r, g: np.exp(-0.5 * e / r)),
        "open": lambda d: d.select("losses", seed=slice(4)),
    },
    "curve": {
        "fails": _lost_by(lambda e, r, g: np.exp(-e / r * np.sqrt(g))),
        "holds": _one_curve,
        "open": lambda d: d.select("losses", seed=slice(12)),
    },
    "back": {
        "fails": lambda d: d.change("long", last=-30.0),
        "open": _unknown("long", "last"),
    },
    "tail": {
        "fails": lambda d: d.change("long", time=lambda t: np.sqrt(t) * 60),
        "open": lambda d: d.select("long", seed=slice(100)),
    },
}

"""Mutations of `entropy`: what its claims would say of other data."""

import numpy as np


def _arms(**signs):
    """Gaps to no clipping, multiplied by arm."""

    def change(mean):
        base = mean.sel(arm="no clipping")
        parts = mean.copy()
        for arm, sign in signs.items():
            name = arm.replace("_", "-")
            parts.loc[{"arm": name}] = (base + sign * (mean.sel(arm=name) - base)).transpose(
                *parts.sel(arm=name).dims
            )
        return parts

    return lambda d: d.change("clips", mean=change)


def _high_as_low(mean):
    """Clip-high does what clip-low does."""
    mean = mean.copy()
    mean.loc[{"arm": "clip-high"}] = mean.sel(arm="clip-low").values
    return mean


def _few(experiment):
    return lambda d: d.select(experiment, seed=slice(2))


TABLE = {
    "drift": {
        "fails": lambda d: d.change("split", drift=d.split.noise, noise=d.split.drift),
        "open": _few("split"),
    },
    "noise": {
        "fails": lambda d: d.change("split", noise=lambda x: -x),
        "open": _few("split"),
    },
    "low": {"fails": _arms(clip_low=-1), "open": _few("clips")},
    "high": {
        "fails": lambda d: d.change("clips", mean=_high_as_low),
        "open": _few("clips"),
    },
    "both": {"fails": lambda d: d.change("clips", last=lambda x: x + 2), "open": _few("clips")},
    "dominates": {
        "holds": _arms(both=-1),
        "open": lambda d: d.change("clips", mean=np.nan),
    },
}

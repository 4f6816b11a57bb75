"""Mutations of `sft-then-rl`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies import lab


def _gain(value):
    """The gain at every share below x₁."""
    return lambda data: data.change(
        "quality", gain=lambda x: x.where(x.ratio >= 1, value).where(x.ratio > 0, 0.0)
    )


def _many(name, mutate=lambda d: d):
    """Many times as many problems."""
    return lambda data: mutate(
        lab.Data(
            {
                key: xr.concat([data[key]] * 30, "problem", data_vars="minimal") if key == name else data[key]
                for key in data
            }
        )
    )


TABLE = {
    "free": {
        "fails": lambda d: d.change("worked", rl=lambda x: x.time + 0 * x),
        "open": lambda d: d.change("worked", rl=np.nan),
    },
    "below": {
        "holds": _many("quality", _gain(0.0)),
        "fails": _many("quality", _gain(0.1)),
        "open": lambda d: _gain(0.0)(d.select("quality", problem=slice(2))),
    },
    "regime": {
        "holds": lambda d: d.change("quality", least=2.0),
        "open": lambda d: d.change("quality", least=np.nan),
    },
    "pure": {
        "holds": _many("mixtures"),
        "fails": lambda d: d.change("mixtures", cost=lambda x: -x),
        "open": lambda d: d.select("mixtures", problem=slice(2)),
    },
    "length": {
        "fails": lambda d: d.change("growth", length=lambda x: 1.2 * x),
        "open": lambda d: d.change("growth", length=np.nan),
    },
    "stall": {
        "fails": lambda d: d.change("growth", log_cost=lambda x: x + 0.2 * np.log(x.gamma)),
        "open": lambda d: d.change("growth", log_cost=np.nan),
    },
}

"""Mutations of `budget`: what its claims would say of other data."""

import numpy as np

LEVELS = {
    "RL only": 0.5,
    "heavy RL": 0.6,
    "even": 0.7,
    "light RL": 0.75,
    "mid-training only": 0.8,
    "mid-training, old band": 0.3,
    "even, old band first": 0.32,
    "RL, old band": 0.28,
    "RL, outcome only": 0.4,
}
"""pass@1 at the end in the target band, as the theory would have it; the base has .3."""
BASE = 0.3


def _made(x, levels, scale=1.0, away=0.0):
    """Straight from the base to a level of each arm, the same in all bands but for `away`, with some scatter."""
    level = x.arm.copy(data=[levels[arm] for arm in x.arm.values])
    seed = 2e-3 * np.sin(1.0 + 3 * np.arange(x.sizes["seed"]))
    scatter = x.seed.copy(data=seed) if "seed" in x.coords else x.isel(arm=0, spent=0, band=0).copy(data=seed)
    bands = x.band.copy(data=[1.0 + away * (band == "beyond") for band in x.band.values])
    end = scale * bands * level + scatter * (1 + 0.3 * level)
    return (BASE * scale + (end - BASE * scale) * x.spent).transpose(*x.dims)


def _data(number="pass1", scale=1.0, away=0.0, **levels):
    """A mutation: some arms end elsewhere. Names have underscores for blanks and commas."""
    known = {key.replace(", ", "__").replace(" ", "_").replace("-", "_"): key for key in LEVELS}
    found = LEVELS | {known[key]: value for key, value in levels.items()}
    return lambda d: d.change("stages", **{number: lambda x: _made(x, found, scale, away)})


def _one(d):
    return d.select("stages", seed=slice(1))


TABLE = {
    "mid-first": {"holds": _data(), "fails": _data(even=0.3), "open": _one},
    "light": {"holds": _data(light_RL=0.9), "fails": _data(), "open": _one},
    "heavy-beyond": {
        "holds": _data("passk", heavy_RL=0.9),
        "fails": _data("passk", light_RL=0.9),
        "open": _one,
    },
    "token": {
        "holds": _data("odds", 10.0),
        "fails": _data("odds", 10.0, mid_training_only=0.4),
        "open": _one,
    },
    "band": {"holds": _data(), "fails": _data(mid_training_only=0.3), "open": _one},
    "cold-start": {"holds": _data(heavy_RL=0.95), "fails": _data(heavy_RL=0.3), "open": _one},
    "keeps": {
        "holds": _data(RL_only=0.9, mid_training__old_band=0.95),
        "fails": _data(RL_only=0.2),
        "open": _one,
    },
    "process": {"holds": _data(), "fails": _data(RL__outcome_only=0.6), "open": _one},
    "resampled": {
        "holds": lambda d: _data("retried", 0.2)(_data(RL__old_band=0.01)(d)),
        "fails": lambda d: _data("retried", even=0.9)(_data(even=0.1)(d)),
        "open": _one,
    },
}

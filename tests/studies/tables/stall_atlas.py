"""Mutations of `stall-atlas`: what its claims would say of other data."""

import numpy as np


def _few(data):
    return data.select("atlas", problem=slice(6))


def _times(change):
    """Other times to the target."""
    return lambda data: data.change("atlas", log_time=change)


def _as_regime(data):
    """Regime 2 stalls, Regime 1 does not."""
    return data.change("atlas", log_time=np.where(data.atlas.entangled, 40.0, 3.0))


TABLE = {
    "percentiles": {"fails": _times(lambda t: 2 * t), "open": _few},
    "patterns": {"fails": _times(lambda t: 0 * t + t.isel(n=3, drop=True)), "open": _few},
    "fast": {"fails": _times(lambda t: t + 20), "open": _few},
    "entangled": {"holds": _as_regime, "open": _few},
    "mass": {"fails": _times(lambda t: t.roll(problem=1)), "open": _times(lambda t: np.nan * t)},
    "removes": {"fails": _times(lambda t: t.roll(problem=1)), "open": _few},
}

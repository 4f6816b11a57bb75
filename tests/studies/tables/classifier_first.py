"""Mutations of `classifier-first`: what its claims would say of other data."""

import numpy as np
import xarray as xr

PLAIN, RESTARTED, FIRST, RESCALED = "plain", "plain, restarted", "classifier first", "‖W‖ put back"
FIRST_FIXED, PLAIN_FIXED = "classifier first, W₀ in G", "plain, W₀ in G"


def _noise(like, size, seed=0):
    return like.copy(data=size * np.random.default_rng(seed).standard_normal(like.shape))


def _shifts(d, shifts):
    """A number for each arm, or for each arm and kind of features, `[arm, features]`."""
    rows = [
        [
            shifts.get(arm, 0.0) if not isinstance(shifts.get(arm), dict) else shifts[arm].get(kind, 0.0)
            for kind in d.runs.features.values
        ]
        for arm in d.runs.arm.values
    ]
    return xr.DataArray(rows, dims=("arm", "features"))


def _learning(reward=None, entropy=None, spread=1e-3):
    """Paths that depend on the rate, the same in all arms but for shifts of reward and of held-out entropy."""

    def mutate(d):
        runs = d.runs
        time = runs.step / runs.step.max()
        rate = xr.DataArray(np.linspace(0.4, 0.6, runs.sizes["rate"]), dims="rate")
        own = _noise(runs.reward.isel(step=0, drop=True), spread)
        path = 0.3 + rate * time + _shifts(d, reward or {}) + own
        held = 1.2 - 0.8 * time - _shifts(d, entropy or {}) + own
        new = {"reward": path, "entropy": held}
        new = {k: x.broadcast_like(runs[k]).transpose(*runs[k].dims).values for k, x in new.items()}
        return d.change("runs", **new)

    return mutate


def _drifting(factor):
    def mutate(d):
        rate = xr.DataArray(np.linspace(0.2, 1, d.runs.sizes["rate"]), dims="rate")
        size = xr.where(d.runs.arm == FIRST, factor, 1.0) * rate
        new = (size + _noise(d.runs.drift, 1e-3)).transpose(*d.runs.drift.dims)
        return _learning()(d).change("runs", drift=new.values)

    return mutate


def _few(d):
    """Two networks that have little in common."""
    return _learning(spread=0.3)(d).select("runs", seed=slice(2))


TABLE = {
    "faster": {"holds": _learning({FIRST: 0.1}), "fails": _learning(), "open": _few},
    "surer": {"holds": _learning(None, {FIRST: 0.3}), "fails": _learning(), "open": _few},
    "equal": {"holds": _learning(None, {FIRST: 0.3}), "fails": _learning(), "open": _few},
    "norm": {"holds": _learning(), "fails": _learning({RESCALED: 0.1}), "open": _few},
    "drift": {
        "holds": _drifting(1.0),
        "fails": _drifting(3.0),
        "open": lambda d: d.change("runs", drift=np.nan),
    },
    "through": {
        "holds": _learning({FIRST: 0.1, RESCALED: 0.1}),
        "fails": _learning({FIRST: 0.1, RESCALED: 0.1, FIRST_FIXED: 0.1}),
        "open": _few,
    },
    "alike": {
        "holds": _learning({FIRST: {"alike": 0.1}}),
        "fails": _learning({FIRST: {"apart": 0.1}}),
        "open": _few,
    },
}

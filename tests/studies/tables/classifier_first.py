"""Mutations of `classifier-first`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.weights._stages import (
    CHANGED,
    DOUBLED,
    FIRST,
    FIRST_FIXED,
    FIRST_KEPT,
    HALF,
    PLAIN_FIXED,
    RANDOM,
    RESCALED,
    RESTARTED,
)


def _noise(like, size, seed=0):
    return like.copy(data=size * np.random.default_rng(seed).standard_normal(like.shape))


def _by_arm(runs, values, default):
    """A number for each arm, or for each arm and kind of features."""
    kinds = runs.features.values if "features" in runs.dims else ["as they are"]
    own = [values.get(str(arm), default) for arm in runs.arm.values]
    rows = [[x.get(str(kind), default) if isinstance(x, dict) else x for kind in kinds] for x in own]
    found = xr.DataArray(rows, {"arm": runs.arm, "features": kinds}, ("arm", "features"))
    return found if "features" in runs.dims else found.isel(features=0, drop=True)


def _changed(values):
    """Shifts of arms with one thing changed, features as they are: those of the arm, and their own."""
    flat = {arm: 0.0 if isinstance(x, dict) else x for arm, x in values.items()}
    return {arm: flat.get(like, 0.0) + flat.get(arm, 0.0) for arm, (like, _) in CHANGED.items()}


def made(reward=None, entropy=None, drift=None, *, grown=1.1, best=1, spread=1e-3):
    """Paths that are the same in all arms but for shifts of reward and of held-out entropy, and factors of drift.

    A change has the shifts of its arm and those of its own. One place of the rates is the best; ‖W‖ grows in stage 1.
    """
    reward, entropy, drift = reward or {}, entropy or {}, drift or {}

    def mutate(d):
        for name in ("runs", "changed"):
            runs = d[name]
            time = runs.step / runs.step.max()
            rate = 0.0
            if name == "runs":
                rate = xr.DataArray(
                    -0.1 * abs(np.arange(runs.sizes["rate"]) - best), {"rate": runs.rate}, ("rate",)
                )
            up, sure = reward, entropy
            if name == "changed":
                up, sure = _changed(reward), _changed(entropy)
            new = {
                "reward": 0.3 + (0.5 + rate) * time + _by_arm(runs, up, 0.0) + _noise(runs.reward, spread),
                "entropy": 1.2 - 0.8 * time - _by_arm(runs, sure, 0.0) + _noise(runs.entropy, spread, 1),
                "norm": 1 + 7 * (grown - 1) * time + _noise(runs.norm, spread, 2),
                "drift": 0.5 * time * _by_arm(runs, drift, 1.0) + 0.01 * abs(_noise(runs.drift, 1.0, 3)),
            }
            d = d.change(name, **{k: x.transpose(*runs[k].dims) for k, x in new.items()})
        return d

    return mutate


def few(*shifts, **options):
    """Two networks that have little in common."""
    mutate = made(*shifts, **options | {"spread": 0.3})
    return lambda d: mutate(d).select("runs", seed=slice(2)).select("changed", seed=slice(2))


UP = {FIRST: 0.1}
TABLE = {
    "faster": {"holds": made(UP), "fails": made({HALF: -0.1}), "open": made(UP, best=0)},
    "surer": {"holds": made(None, {FIRST: 0.3}), "fails": made(), "open": few()},
    "equal": {"holds": made(None, {FIRST: 0.3}), "fails": made(), "open": few()},
    "norm": {
        "holds": made(UP | {DOUBLED: -0.1}),
        "fails": made(UP | {DOUBLED: -0.1, RESCALED: -0.1}),
        "open": made(UP | {DOUBLED: -0.1}, grown=1.0),
    },
    "scale": {"holds": made({DOUBLED: -0.1}), "fails": made(), "open": few()},
    "drift": {
        "holds": made(UP, drift={HALF: 0.3}),
        "fails": made(UP, drift={HALF: 0.3, FIRST: 3.0}),
        "open": made(drift={HALF: 0.3}),
    },
    "probing": {
        "holds": made(drift={HALF: 0.3}),
        "fails": made(),
        "open": lambda d: (
            made(drift={HALF: 0.3})(d).select("runs", seed=slice(1)).select("changed", seed=slice(1))
        ),
    },
    "through": {
        "holds": made(UP | {FIRST_FIXED: -0.1, RANDOM: -0.2}),
        "fails": made(UP | {RANDOM: -0.2}),
        "open": made({FIRST_FIXED: -0.1, RANDOM: -0.2}),
    },
    "alike": {
        "holds": made({FIRST: {"alike": 0.1}}),
        "fails": made({FIRST: {"apart": 0.1}}),
        "open": few(),
    },
}
SHOWN = {
    "faster": made(UP | {RESTARTED: 0.1}),
    "surer": made(None, {FIRST: 0.3, RESTARTED: 0.3}),
    "equal": made(None, {FIRST: 0.3, PLAIN_FIXED: 0.3}),
    "norm": made(UP),
    "scale": made({DOUBLED: -0.1, RESCALED: -0.1}),
    "drift": made(UP),
    "probing": made(drift={HALF: 0.3, RESTARTED: 0.3}),
    "through": made(UP | {FIRST_FIXED: -0.1, FIRST_KEPT: -0.1}),
    "alike": made({FIRST: {"alike": 0.1}, RESTARTED: {"alike": 0.1}}),
}
"""Data in which a null control shows the effect, too."""

"""Mutations of `kernel-confidence`: what its claims would say of other data."""

import numpy as np
import xarray as xr

TRAINED = ("unembedding", "everything", "everything, Adam")


def _noise(like, size, seed=0):
    return like.copy(data=size * np.random.default_rng(seed).standard_normal(like.shape))


def _falling(slope, *arms, fall=0.7):
    """Held-out entropy that falls by so much in some arms, and further with the cosine."""

    def mutate(d):
        runs, entropy = d.runs, d.runs.entropy.copy()
        last = entropy.isel(step=0) - fall - slope * (runs.cosine - 0.5)
        last = (last + _noise(last, 1e-3)).sel(arm=list(arms), asked="held out")
        entropy.loc[{"step": runs.step[-1], "arm": list(arms), "asked": "held out"}] = last.transpose(
            *entropy.sel(arm=list(arms), asked="held out").isel(step=-1).dims
        )
        return d.change("runs", entropy=entropy)

    return mutate


def _rewarded(gain):
    """Reward of held-out questions that changes by so much with the unembedding alone."""

    def mutate(d):
        runs, reward = d.runs, d.runs.reward.copy()
        place = {"arm": "unembedding", "asked": "held out"}
        first = reward.sel(place).isel(step=0)
        reward.loc[{"step": runs.step[-1], **place}] = first + gain + _noise(first, 1e-3)
        return d.change("runs", reward=reward)

    return mutate


def _explained(d, r2):
    return d.change("steps", r2=lambda old: xr.where(old.by == "R + G", r2, old) + _noise(old, 1e-4))


def _least(d, value):
    return d.change(
        "steps", least=lambda old: xr.where(old.token == "rewarded", value, old) + _noise(old, 1e-3)
    )


def _few(d):
    return d.select("runs", seed=slice(2)).select("steps", seed=slice(2))


def _spread(d):
    """Two networks that have little in common."""
    return _few(d.change("runs", entropy=lambda old: old + _noise(old, 0.5)))


TABLE = {
    "exact": {
        "fails": lambda d: _explained(d, 0.9),
        "holds": lambda d: _explained(d, 0.999),
        "open": _few,
    },
    "gains": {"fails": lambda d: _least(d, -0.5), "holds": lambda d: _least(d, 0.5), "open": _few},
    "confident": {
        "holds": _falling(0.6, *TRAINED),
        "fails": _falling(0.0, *TRAINED),
        "open": _spread,
    },
    "useless": {
        "holds": lambda d: _rewarded(0.0)(_falling(0.6, "unembedding")(d)),
        "fails": _rewarded(0.3),
        "open": lambda d: d.change("runs", reward=np.nan),
    },
    "agreement": {
        "holds": _falling(0.0, "even"),
        "fails": _falling(0.6, "even"),
        "open": _spread,
    },
    "signs": {
        "holds": _falling(0.6, "rewards alone", "punishments alone"),
        "fails": _falling(0.0, "rewards alone", "punishments alone"),
        "open": _spread,
    },
    "places": {
        "fails": lambda d: d.change("steps", cosine_of_features=lambda old: 0.5 + _noise(old, 1e-3)),
        "open": lambda d: d.change("steps", cosine_of_features=np.nan),
    },
}

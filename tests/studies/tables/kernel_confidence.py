"""Mutations of `kernel-confidence`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.weights._alike import ADAPTIVE, ALONE, EVEN, EVERYTHING, ONE, PUNISHMENTS, REST, REWARDS

TRAINED = (ALONE, EVERYTHING, ADAPTIVE)


def _noise(like, size, seed=0):
    return like.copy(data=size * np.random.default_rng(seed).standard_normal(like.shape))


def learnt(slopes=None, falls=None, gains=None, spread=1e-3):
    """Held-out entropy that falls in each arm by .7, or by another number, and further with the cosine; reward."""
    slopes, falls, gains = slopes or {}, falls or {}, gains or {}

    def mutate(d):
        runs = d.runs

        def by_arm(values, default):
            numbers = [values.get(str(arm), default) for arm in runs.arm.values]
            return xr.DataArray(numbers, {"arm": runs.arm}, ("arm",))

        time = runs.step / runs.step.max()
        fall = by_arm(falls, 0.7) + by_arm(slopes, 0.0) * (runs.cosine - 0.5)
        entropy = 2.0 - fall * time + _noise(runs.entropy, spread)
        reward = 0.3 + by_arm(gains, 0.0) * time + _noise(runs.reward, spread, 1)
        return d.change(
            "runs",
            entropy=entropy.transpose(*runs.entropy.dims),
            reward=reward.transpose(*runs.reward.dims),
        )

    return mutate


def stepped(r2=0.999, order=2.0, r=0.5):
    def mutate(d):
        steps = d.steps
        share = xr.where(steps.by == "R + G", r2, r) + _noise(steps.r2, 1e-4)
        missed = steps.rate**order * np.exp(_noise(steps.missed, 1e-3))
        return d.change(
            "steps", r2=share.transpose(*steps.r2.dims), missed=missed.transpose(*steps.missed.dims)
        )

    return mutate


def influential(error=0.01, r=None):
    """Influences that are measured as R + G predicts them, up to an error; R is as good if `r` is given."""

    def mutate(d):
        predicted = _noise(d.steps.predicted, 1.0)
        whole = predicted.sel(by="R + G", drop=True)
        if r is not None:
            predicted.loc[{"by": "R"}] = whole + r * predicted.sel(by="R", drop=True)
        size = xr.DataArray(error * (1 + 0.1 * np.sin(np.arange(d.steps.sizes["seed"]))), dims="seed")
        measured = whole + size * _noise(d.steps.measured, 1.0, 1)
        return d.change("steps", predicted=predicted, measured=measured.transpose(*d.steps.measured.dims))

    return mutate


def missing(whole=1e-7, r=0.8):
    sizes = {"R + G": whole, "R": r, "G": 0.8}
    values = lambda old: old * 0 + xr.DataArray(list(sizes.values()), {"by": list(sizes)}, ("by",))  # noqa: E731
    return lambda d: d.change("steps", unsplit=lambda old: values(old).transpose(*old.dims))


def raised(rewarded, another=-0.5, spread=1e-3):
    def mutate(d):
        least = d.steps.least
        new = xr.where(least.token == "rewarded", rewarded, another) + _noise(least, spread)
        return d.change("steps", least=new.transpose(*least.dims))

    return mutate


def alike(**cosines):
    """Cosines by place; .3 elsewhere."""

    def mutate(d):
        old = d.steps.cosine_of_features
        new = xr.DataArray(
            [cosines.get(str(p), 0.3) for p in old.place.values], {"place": old.place}, ("place",)
        )
        new = (new + _noise(old, 1e-3)).transpose(*old.dims)
        return d.change("steps", cosine_of_features=new)

    return mutate


def few(mutate):
    """Two networks."""
    return lambda d: mutate(d).select("runs", seed=slice(2)).select("steps", seed=slice(2))


def every(arms, value):
    return dict.fromkeys(arms, value)


LOUD = every(TRAINED, 0.6)
TABLE = {
    "whole": {
        "holds": missing(),
        "fails": missing(whole=1e-3),
        "open": lambda d: d.change("steps", unsplit=np.nan),
    },
    "exact": {"holds": stepped(), "fails": stepped(r2=0.9), "open": few(stepped())},
    "influence": {"holds": influential(), "fails": influential(1.0), "open": few(influential(0.1))},
    "gains": {"holds": raised(0.5), "fails": raised(-0.5), "open": few(raised(0.5, spread=0.3))},
    "confident": {"holds": learnt(LOUD), "fails": learnt(), "open": few(learnt(LOUD, spread=0.5))},
    "everything": {"holds": learnt(LOUD), "fails": learnt(), "open": few(learnt(LOUD, spread=0.5))},
    "ordered": {"holds": learnt(LOUD), "fails": learnt(), "open": few(learnt(LOUD, spread=0.5))},
    "useless": {
        "holds": learnt(gains={ONE: 0.5}),
        "fails": learnt(gains={ONE: 0.5, ALONE: 0.3}),
        "open": lambda d: d.change("runs", reward=np.nan),
    },
    "agreement": {
        "holds": learnt({ONE: 0.6}),
        "fails": learnt({EVEN[ALONE]: 0.6}),
        "open": few(learnt(spread=0.5)),
    },
    "signs": {
        "holds": learnt({REWARDS: 0.6, PUNISHMENTS: 0.6}),
        "fails": learnt(),
        "open": few(learnt(spread=0.5)),
    },
    "features": {
        "holds": learnt(falls={REST: 0.02}),
        "fails": learnt(),
        "open": few(learnt(falls={REST: 0.02}, spread=0.5)),
    },
    "places": {
        "holds": alike(answer=0.9),
        "fails": alike(),
        "open": lambda d: d.change("steps", cosine_of_features=np.nan),
    },
}
SHOWN = {
    "whole": missing(r=1e-7),
    "exact": stepped(r=0.999),
    "influence": influential(r=0.001),
    "gains": raised(0.5, another=0.5),
    "confident": learnt(LOUD | every(EVEN.values(), 0.6)),
    "everything": learnt(LOUD | every(EVEN.values(), 0.6)),
    "ordered": learnt(LOUD | {EVEN[ALONE]: 0.6}),
    "useless": learnt(),
    "agreement": learnt(),
    "signs": learnt({REWARDS: 0.6, PUNISHMENTS: 0.6, EVEN[ALONE]: 0.6}),
    "features": learnt(falls={REST: 0.02, ALONE: 0.02}),
    "places": alike(answer=0.9, all=0.9),
}
"""Data in which a null control shows the effect, too."""

"""Mutations of `sgd-or-adam`: what its claims would say of other data."""

import numpy as np
import xarray as xr

SGD, ADAM, AGAIN, SFT = "GRPO, SGD", "GRPO, Adam", "GRPO, Adam, again", "SFT"


def _noise(like, size, seed=0):
    return like.copy(data=size * np.random.default_rng(seed).standard_normal(like.shape))


def _filled(like, dim, values):
    """Values along a dimension."""
    row = xr.DataArray([values[str(x)] for x in like[dim].values], {dim: like[dim].values}, dim)
    return row.broadcast_like(like).transpose(*like.dims)


def _accuracy(data, **ends):
    """Accuracy that rises evenly from .2 to the ends of `sgd`, `adam` and `again`."""
    accuracy = data.runs.accuracy
    values = {
        SGD: ends["sgd"],
        ADAM: ends.get("adam", 0.8),
        AGAIN: ends.get("again", 0.8),
        SFT: ends.get("sft", 0.8),
    }
    end = _filled(accuracy, "arm", values)
    part = accuracy.step / accuracy.step[-1]
    rising = (0.2 + (end - 0.2) * part).transpose(*accuracy.dims) + _noise(accuracy, 1e-3)
    return data.change("runs", accuracy=rising.values)


def _descent(data, end):
    supervised = data.supervised.accuracy
    return _accuracy(data, sgd=0.5).change("supervised", accuracy=end + _noise(supervised, 1e-3).values)


def _share(data, sgd, tenth=0.03):
    """Shares changed of one arm at every norm and time, the others at .8; goals are reached."""
    parts = {"goal": 0.5, "reached": 0.5}
    for name, seed in (("share", 1), ("at_norm", 2)):
        like = data.runs[name]
        own = _filled(like, "arm", {SGD: sgd, ADAM: 0.8, AGAIN: 0.8, SFT: 0.8}) * np.exp(
            _noise(like, 1e-3, seed)
        )
        parts[name] = own.where(like.update != "largest tenth", own * tenth).values
    return data.change("runs", **parts)


def _twins(data, ratio):
    share = data.runs.share
    values = {"own": 0.5 * ratio, "Gaussian": 0.5, "largest tenth": 0.05}
    return data.change("runs", share=(_filled(share, "update", values) * np.exp(_noise(share, 1e-3))).values)


def _aligned(data, own):
    like = data.moments.own
    values = {"own": own, "signs": 0.4, "other signs": 0.4, "with a drift": 0.7}
    return data.change("moments", own=(_filled(like, "gradient", values) + _noise(like, 1e-3)).values)


def _fresh(data, grpo, sft):
    like = data.moments.fresh
    values = {ADAM: grpo, AGAIN: grpo, SFT: sft}
    return data.change("moments", fresh=(_filled(like, "arm", values) + _noise(like, 1e-3)).values)


def _spread(data, grpo, sft=30.0):
    like = data.moments.spread
    own = _filled(like, "arm", {ADAM: grpo, AGAIN: grpo, SFT: sft}).where(like.entries == "own", 3.0)
    return data.change("moments", spread=(own * np.exp(_noise(like, 1e-3))).values)


def _few(data):
    for name in ("runs", "supervised", "moments"):
        data = data.select(name, seed=slice(1))
    return data


TABLE = {
    "matches": {
        "holds": lambda d: _accuracy(d, sgd=0.8),
        "fails": lambda d: _accuracy(d, sgd=0.5),
        "open": lambda d: _few(_accuracy(d, sgd=0.8)),
    },
    "contrast": {
        "holds": lambda d: _descent(d, 0.5),
        "fails": lambda d: _descent(d, 0.8),
        "open": lambda d: _few(_descent(d, 0.5)),
    },
    "sparser": {
        "holds": lambda d: _share(d, 0.1),
        "fails": lambda d: _share(d, 0.7),
        "open": lambda d: _few(_share(d, 0.1)),
    },
    "matched": {
        "holds": lambda d: _share(d, 0.1),
        "fails": lambda d: _share(d, 0.7),
        "open": lambda d: _share(d, 0.1).change("runs", reached=0.9),
    },
    "same-norm": {
        "holds": lambda d: _share(d, 0.1),
        "fails": lambda d: _share(d, 0.7),
        "open": lambda d: _few(_share(d, 0.1)),
    },
    "only-norm": {
        "holds": lambda d: _twins(d, 1.0),
        "fails": lambda d: _twins(d, 0.5),
        "open": lambda d: _few(_twins(d, 1.0)),
    },
    "noise": {
        "holds": lambda d: _aligned(d, 0.42),
        "fails": lambda d: _aligned(d, 0.6),
        "open": lambda d: _few(_aligned(d, 0.42)),
    },
    "noisier": {
        "holds": lambda d: _fresh(d, 0.1, 0.5),
        "fails": lambda d: _fresh(d, 0.5, 0.5),
        "open": lambda d: _few(_fresh(d, 0.1, 0.5)),
    },
    "flat": {
        "holds": lambda d: _spread(d, 4.0),
        "fails": lambda d: _spread(d, 12.0),
        "open": lambda d: _few(_spread(d, 4.0)),
    },
}

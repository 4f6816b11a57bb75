"""Mutations of `sgd-or-adam`: what its claims would say of other data."""

import numpy as np
import xarray as xr

SGD, ADAM, AGAIN = "GRPO, SGD", "GRPO, Adam", "GRPO, Adam, again"
SFT, SFT_AGAIN, SFT_SGD = "SFT", "SFT, again", "SFT, SGD"
FEW = 0.1
"""Share of weights changed by gradient descent, of that by Adam, where it is less than half and more than a tenth."""


def _noise(like, size, seed=0):
    return like.copy(data=size * np.random.default_rng(seed).standard_normal(like.shape))


def _filled(like, dim, values):
    """Values along a dimension."""
    row = xr.DataArray([values[str(x)] for x in like[dim].values], {dim: like[dim].values}, dim)
    return row.broadcast_like(like).transpose(*like.dims)


def _accuracy(data, times=1, **ends):
    """Accuracy that rises evenly from .2 to .8, or to the ends of other arms, so many times as fast."""
    accuracy = data.runs.accuracy
    names = {"sgd": SGD, "again": AGAIN, "sft_sgd": SFT_SGD, "sft_again": SFT_AGAIN}
    values = dict.fromkeys(map(str, accuracy.arm.values), 0.8) | {names[k]: v for k, v in ends.items()}
    end = _filled(accuracy, "arm", values)
    part = np.minimum(1, times * accuracy.step / accuracy.step[-1])
    rising = (0.2 + (end - 0.2) * part).transpose(*accuracy.dims) + _noise(accuracy, 1e-3)
    return data.change("runs", accuracy=rising.values, inside=True)


def _share(data, sgd, *, again=1.0, gaussian=1.0, twin=0.9):
    """Shares of the others are .9; of gradient descent, of Adam again and of the former's twin these parts of it."""
    parts = {"inside": True, "near": True}
    for name, seed in (("share", 1), ("at_norm", 2)):
        like = data.runs[name]
        part = dict.fromkeys(map(str, like.arm.values), 1.0) | {SGD: sgd, AGAIN: again}
        twins = dict.fromkeys(map(str, like.arm.values), 1.0) | {SGD: gaussian}
        updates = {"own": 0.9, "Gaussian": twin, "largest tenth": 0.1, "largest thousandth": 0.001}
        own = _filled(like, "update", updates)
        own = own * _filled(like, "arm", part).where(like.update == "own", 1.0)
        own = own * _filled(like, "arm", twins).where(like.update == "Gaussian", 1.0)
        parts[name] = (own * np.exp(_noise(like, 1e-3, seed))).values
    return data.change("runs", **parts)


def _twins(data, ratio, tenth=0.05):
    share = data.runs.share
    values = {"own": 0.5 * ratio, "Gaussian": 0.5, "largest tenth": tenth, "largest thousandth": 0.001}
    return data.change("runs", share=(_filled(share, "update", values) * np.exp(_noise(share, 1e-3))).values)


def _aligned(data, own, drift=0.7):
    like = data.moments.own
    values = {"own": own, "signs": 0.4, "other signs": 0.4, "with a drift": drift}
    return data.change("moments", own=(_filled(like, "gradient", values) + _noise(like, 1e-3)).values)


def _points(data, grpo, sft, again=None):
    """Cosines of two batches, and of the moment and the next gradient."""
    values = {ADAM: grpo, AGAIN: grpo if again is None else again, SFT: sft}
    fresh, later = data.moments.fresh, data.moments["next"]
    own = _filled(later, "arm", values).where(later.gradient != "with a drift", 0.7)
    return data.change(
        "moments",
        fresh=(_filled(fresh, "arm", values) + _noise(fresh, 1e-3)).values,
        next=(own + _noise(later, 1e-3, 1)).values,
    )


def _spread(data, grpo, sft=30.0, again=None):
    like = data.moments.spread
    values = {ADAM: grpo, AGAIN: grpo if again is None else again, SFT: sft}
    own = _filled(like, "arm", values).where(like.entries == "own", 3.0)
    return data.change("moments", spread=(own * np.exp(_noise(like, 1e-3))).values)


def _few(data):
    for name in ("runs", "moments"):
        data = data.select(name, seed=slice(1))
    return data


def _at_an_end(data):
    """The best rate is at an end of what was tried."""
    return data.change("runs", inside=False)


def _unmatched(data):
    """No base on which all have as much gain."""
    return data.change("runs", near=False)


TABLE = {
    "matches": {
        "holds": lambda d: _accuracy(d, sgd=0.8),
        "fails": lambda d: _accuracy(d, sgd=0.5),
        "open": lambda d: _at_an_end(_accuracy(d, sgd=0.8)),
    },
    "contrast": {
        "holds": lambda d: _accuracy(d, sft_sgd=0.5),
        "fails": lambda d: _accuracy(d),
        "open": lambda d: _at_an_end(_accuracy(d, sft_sgd=0.5)),
    },
    "loses-less": {
        "holds": lambda d: _accuracy(d, sft_sgd=0.5),
        "fails": lambda d: _accuracy(d, sft_sgd=0.5, sgd=0.5),
        "open": lambda d: _at_an_end(_accuracy(d, sft_sgd=0.5)),
    },
    "sparser": {
        "holds": lambda d: _share(d, 0.01),
        "fails": lambda d: _share(d, FEW),
        "open": lambda d: _at_an_end(_share(d, 0.01)),
    },
    "matched": {
        "holds": lambda d: _share(d, FEW),
        "fails": lambda d: _share(d, 0.7),
        "open": lambda d: _unmatched(_share(d, FEW)),
    },
    "same-norm": {
        "holds": lambda d: _share(d, FEW),
        "fails": lambda d: _share(d, 0.7),
        "open": lambda d: _few(_share(d, FEW)),
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
    "momentum": {
        "holds": lambda d: _points(d, 0.1, 0.5),
        "fails": lambda d: _points(d, 0.5, 0.5),
        "open": lambda d: _few(_points(d, 0.1, 0.5)),
    },
    "adaptive": {
        "holds": lambda d: _spread(d, 10.0),
        "fails": lambda d: _spread(d, 25.0),
        "open": lambda d: _few(_spread(d, 10.0)),
    },
    "flat": {
        "holds": lambda d: _spread(d, 4.0),
        "fails": lambda d: _spread(d, 12.0),
        "open": lambda d: _few(_spread(d, 4.0)),
    },
}
SHOWN = {
    "matches": lambda d: _accuracy(d, times=8, sgd=0.8),
    "contrast": lambda d: _accuracy(d, sft_sgd=0.5, sft_again=0.5),
    "loses-less": lambda d: _accuracy(d, sft_sgd=0.5, sft_again=0.5),
    "sparser": lambda d: _share(d, 0.01, gaussian=0.01),
    "matched": lambda d: _share(d, FEW, again=FEW),
    "same-norm": lambda d: _share(d, FEW, again=FEW),
    "only-norm": lambda d: _twins(d, 1.0, tenth=0.5),
    "noise": lambda d: _aligned(d, 0.42, drift=0.42),
    "momentum": lambda d: _points(d, 0.1, 0.5, again=-0.3),
    "adaptive": lambda d: _spread(d, 10.0, again=4.0),
    "flat": lambda d: _spread(d, 4.0, sft=4.0),
}
"""Data in which a null control shows the effect, too."""

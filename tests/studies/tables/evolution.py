"""Mutations of `evolution`: what its claims would say of other data."""

import numpy as np
import xarray as xr

ES, SMALL, GRPO, AGAIN = "evolution, best σ", "evolution, σ 0.001", "GRPO, Adam", "GRPO, Adam, again"
WALK, OTHER, HALF = "random walk", "another random walk", "half a random walk"


def _noise(like, seed=0, size=1e-3):
    return like.copy(data=size * np.random.default_rng(seed).standard_normal(like.shape))


def _by_arm(like, es, grpo, walk, base, **others):
    """Values by arm, with scatter of one part in a thousand."""
    values = {ES: es, SMALL: es, GRPO: grpo, AGAIN: grpo, "base": base} | dict.fromkeys(
        (WALK, OTHER, HALF), walk
    )
    values |= {{"again": AGAIN, "other": OTHER, "half": HALF}[name]: value for name, value in others.items()}
    row = xr.DataArray([values[str(x)] for x in like.arm.values], {"arm": like.arm.values}, "arm")
    return row.broadcast_like(like).transpose(*like.dims) * np.exp(_noise(like))


def _accuracy(data, es, grpo=0.6, walk=0.2, **others):
    accuracy = _by_arm(data.runs.accuracy, es, grpo, walk, 0.2, **others)
    return data.change("runs", accuracy=accuracy.values, inside=True)


def _passed(data, es, base=0.4, **others):
    passed = _by_arm(data.runs.passed, es, 0.5, 0.4, base, **others)
    return data.change("runs", passed=passed.where(passed.k > 1, passed / 4).values, inside=True)


def _kl(data, es, walk=1.0, **others):
    """KL of GRPO 1, half a walk a quarter of one, or others; gains are the same."""
    kl = _by_arm(data.runs.kl, es, 1.0, walk, 1e-9, **({"half": walk / 4} | others))
    return _accuracy(data, 0.6, 0.6).change("runs", kl=kl.values)


def _length(data, es, grpo=0.3):
    length = _by_arm(data.runs.length, es, grpo, 1.0, 1e-9)
    return data.change("runs", length=length.values, walk=1.0)


def _silent(data, small, middle):
    """Shares of the steps that move nothing, with scatter between bases."""
    silent = data.runs.silent
    values = xr.DataArray([small, middle, 0.5], {"size": silent["size"].values}, "size")
    share = values.broadcast_like(silent).transpose(*silent.dims) + _noise(silent, size=1e-2)
    return data.change("runs", silent=share.values)


def _pairs(data, es, gain=0.5, further=0.1, walk=0.1):
    """Differences of ±`es` between evolution's runs and of ±.1 between those of GRPO."""
    apart = {ES: es, GRPO: 0.1, "GRPO, a third run": further, "GRPO, one run": 0.01, "random walks": walk}
    apart = np.array([apart[str(x)] for x in data.again["pair"].values])
    rise = np.where(data.again["pair"].values == ES, gain, 0.5)
    seeds = data.again.sizes["seed"]
    ripple = 1 + 0.01 * np.sin(np.arange(len(apart) * seeds)).reshape(len(apart), 1, -1)  # each pair its own
    sign = np.array([1.0, -1.0])[:, None] * ripple
    values = 0.2 + rise[:, None, None] + apart[:, None, None] * sign / 2
    return data.change("again", accuracy=values, start=0.2)


def _few(data):
    return data.select("runs", seed=slice(1)).select("again", seed=slice(1))


def _at_an_end(data):
    """The best rate is at an end of what was tried."""
    return data.change("runs", inside=False)


TABLE = {
    "outperforms": {
        "holds": lambda d: _accuracy(d, 0.8),
        "fails": lambda d: _accuracy(d, 0.4),
        "open": lambda d: _at_an_end(_accuracy(d, 0.8)),
    },
    "outperforms-at-small-size": {
        "holds": lambda d: _accuracy(d, 0.8),
        "fails": lambda d: _accuracy(d, 0.4),
        "open": lambda d: _at_an_end(_accuracy(d, 0.8)),
    },
    "stands-still": {
        "holds": lambda d: _silent(d, 0.9, 0.1),
        "fails": lambda d: _silent(d, 0.1, 0.1),
        "open": lambda d: _silent(d, 0.5, 0.1),
    },
    "learns": {
        "holds": lambda d: _accuracy(d, 0.4),
        "fails": lambda d: _accuracy(d, 0.2),
        "open": lambda d: _few(_accuracy(d, 0.4)),
    },
    "steadier": {
        "holds": lambda d: _pairs(d, 0.01),
        "fails": lambda d: _pairs(d, 0.2),
        "open": lambda d: d.change("again", accuracy=np.nan),
    },
    "steadier-per-gain": {
        "holds": lambda d: _pairs(d, 0.01),
        "fails": lambda d: _pairs(d, 0.01, gain=0.02),
        "open": lambda d: d.change("again", accuracy=np.nan),
    },
    "covers": {
        "holds": lambda d: _passed(d, 0.7),
        "fails": lambda d: _passed(d, 0.4),
        "open": lambda d: _few(_passed(d, 0.7)),
    },
    "drifts": {
        "holds": lambda d: _kl(d, 4.0),
        "fails": lambda d: _kl(d, 1.0),
        "open": lambda d: _few(_kl(d, 4.0)),
    },
    "drifts-for-its-gain": {
        "holds": lambda d: _kl(d, 4.0),
        "fails": lambda d: _kl(d, 1.0),
        "open": lambda d: _few(_kl(d, 4.0)),
    },
    "walks": {
        "holds": lambda d: _length(d, 1.0),
        "fails": lambda d: _length(d, 2.0),
        "open": lambda d: _few(_length(d, 1.0)),
    },
    "drifts-as-a-walk": {
        "holds": lambda d: _kl(d, 1.0),
        "fails": lambda d: _kl(d, 4.0),
        "open": lambda d: _few(_kl(d, 1.0)),
    },
}
SHOWN = {
    "outperforms": lambda d: _accuracy(d, 0.8, again=0.8),
    "outperforms-at-small-size": lambda d: _accuracy(d, 0.8, again=0.8),
    "stands-still": lambda d: _silent(d, 0.9, 0.9),
    "learns": lambda d: _accuracy(d, 0.4, other=0.4),
    "steadier": lambda d: _pairs(d, 0.01, walk=0.01),
    "steadier-per-gain": lambda d: _pairs(d, 0.01, further=0.01),
    "covers": lambda d: _passed(d, 0.7, base=0.7),
    "drifts": lambda d: _kl(d, 4.0, again=4.0),
    "drifts-for-its-gain": lambda d: _kl(d, 4.0, again=4.0),
    "walks": lambda d: _length(d, 1.0, grpo=1.0),
    "drifts-as-a-walk": lambda d: _kl(d, 1.0, half=1.0),
}
"""Data in which a null control shows the effect, too."""

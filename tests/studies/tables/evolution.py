"""Mutations of `evolution`: what its claims would say of other data."""

import numpy as np
import xarray as xr

ES, GRPO, AGAIN = "evolution strategy", "GRPO, Adam", "GRPO, Adam, again"
WALKS = ("random walk", "another random walk", "half a random walk")


def _noise(like, seed=0, size=1e-3):
    return like.copy(data=size * np.random.default_rng(seed).standard_normal(like.shape))


def _by_arm(like, es, grpo, walk, base):
    """Values by arm, with scatter of one part in a thousand."""
    values = {ES: es, GRPO: grpo, AGAIN: grpo, "base": base} | dict.fromkeys(WALKS, walk)
    row = xr.DataArray([values[str(x)] for x in like.arm.values], {"arm": like.arm.values}, "arm")
    return row.broadcast_like(like).transpose(*like.dims) * np.exp(_noise(like))


def _accuracy(data, es, grpo=0.6, walk=0.2):
    return data.change("runs", accuracy=_by_arm(data.runs.accuracy, es, grpo, walk, 0.2).values)


def _passed(data, es):
    passed = _by_arm(data.runs.passed, es, 0.5, 0.4, 0.4)
    return data.change("runs", passed=passed.where(passed.k > 1, passed / 2).values)


def _kl(data, es, walk=1.0):
    """KL of GRPO 1, half a walk a quarter of one; gains are the same."""
    kl = _by_arm(data.runs.kl, es, 1.0, walk, 1e-9)
    kl = kl.where(kl.arm != WALKS[2], kl / 4)
    return _accuracy(data, 0.6).change("runs", kl=kl.values)


def _length(data, es):
    length = _by_arm(data.runs.length, es, 0.3, 1.0, 1e-9)
    return data.change("runs", length=length.values, walk=1.0)


def _pairs(data, es, gain=0.5):
    """Differences of ±`es` between evolution's runs and of ±.1 between those of GRPO."""
    like = data.again.accuracy
    apart = np.array([es, 0.1, 0.1, 0.01])
    rise = np.array([gain, 0.5, 0.5, 0.5])
    ripple = 1 + 0.01 * np.sin(np.arange(4 * like.sizes["seed"])).reshape(4, 1, -1)  # each pair its own
    sign = np.array([1.0, -1.0])[:, None] * ripple
    values = 0.2 + rise[:, None, None] + apart[:, None, None] * sign / 2
    return data.change("again", accuracy=values, start=0.2)


def _few(data):
    return data.select("runs", seed=slice(1)).select("again", seed=slice(1))


TABLE = {
    "outperforms": {
        "holds": lambda d: _accuracy(d, 0.8),
        "fails": lambda d: _accuracy(d, 0.4),
        "open": lambda d: _few(_accuracy(d, 0.8)),
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

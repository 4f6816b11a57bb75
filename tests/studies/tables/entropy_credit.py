"""Mutations of `entropy-credit`: what its claims would say of other data."""

import numpy as np
import xarray as xr

TERM, AGAIN, PLAIN, FLIPPED, NONE = (
    "advantage × entropy",
    "no term, again",
    "entropy bonus",
    "sign flipped",
    "no term",
)


def _ripple(x):
    return x.copy(data=1e-3 * np.sin(np.arange(x.size)).reshape(x.shape))


def _set(gains):
    """Accuracies as without the term, with these gains at the end by kind of arm and by rate, and a little scatter."""

    def change(x):
        first = x.isel(arm=0, rate=0, drop=True)
        late = x.step / x.step.max()
        added = sum(late * gain * (x.kind == kind) for kind, gain in gains.items())
        fast = 0.3 * late * (x.rate > x.rate.min())
        return (0 * x + first + added + fast + late * _ripple(x)).transpose(*x.dims)

    return change


def _scores(gains):
    return lambda d: d.change("runs", accuracy=_set(gains))


def _sooner(kind):
    """Straight ways up: slow at the lowest rate, faster at the others, and faster still with one kind of arm."""

    def change(x):
        fast = x.rate > x.rate.min()
        turns = np.outer(np.arange(x.sizes["seed"]), 1 + np.arange(x.sizes["arm"]))
        wobble = xr.DataArray(np.sin(turns), dims=("seed", "arm"))
        speed = (0.7 + 0.5 * fast + 1.5 * (fast & (x.kind == kind))) * (1 + 0.1 * wobble)
        way = np.minimum(speed * x.step / x.step.max(), 1.0)
        first = x.isel(step=0)
        return (first + way * (1 - first) + 0 * x).transpose(*x.dims)

    return change


def _few(d):
    return d.select("runs", seed=slice(4))


def _slow(d):
    """All accuracies alike at every rate."""
    return d.change("runs", accuracy=lambda x: 0 * x + x.isel(arm=0, rate=0, drop=True) + 0.1 * _ripple(x))


TABLE = {
    "vanishes": {
        "fails": lambda d: d.change("means", size=lambda x: x + 1e-6),
        "open": lambda d: d.change("means", size=np.nan),
    },
    "law": {
        "fails": lambda d: d.change("means", missed=0.5),
        "open": lambda d: d.change("means", missed=np.nan),
    },
    "moves": {
        "fails": lambda d: d.change(
            "runs", entropy=lambda x: 0 * x + x.isel(arm=0, drop=True) + 1e-3 * _ripple(x)
        ),
        "open": _few,
    },
    "gains": {
        "holds": _scores({TERM: 0.2, PLAIN: 0.1}),
        "fails": _scores({TERM: -0.2, PLAIN: 0.1}),
        "open": _few,
    },
    "beyond-plain": {
        "holds": _scores({TERM: 0.2, PLAIN: 0.1}),
        "fails": _scores({TERM: -0.2, PLAIN: 0.1}),
        "open": _few,
    },
    "flipped": {
        "holds": _scores({FLIPPED: 0.2}),
        "fails": _scores({TERM: 0.2}),
        "open": _few,
    },
    "rate": {
        "holds": _scores({TERM: 0.1}),
        "fails": _slow,
        "open": _few,
    },
    "sooner": {
        "holds": lambda d: d.change("runs", accuracy=_sooner(TERM)),
        "fails": lambda d: d.change("runs", accuracy=_sooner(NONE)),
        "open": _few,
    },
}

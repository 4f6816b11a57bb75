"""Mutations of `transformer-sft-first`: what its claims would say of other data."""

import numpy as np
import xarray as xr

NONE, FAR, NEAR, GOOD, RIVAL = "no SFT", ".1 x₀", ".8 x₀", "above x₀", "second-best"
USUAL = {NONE: 60, FAR: 45, NEAR: 16, GOOD: 10, RIVAL: 100}


def _noise(shape, size, seed=0):
    return size * np.random.default_rng(seed).standard_normal(shape)


def _taken(runs, steps, spread):
    """How many steps each network takes on each kind of data."""
    median = xr.DataArray([steps[str(kind)] for kind in runs.shown.values], dims="case")
    return median * np.exp(
        xr.DataArray(_noise((runs.sizes["case"], runs.sizes["seed"]), spread), dims=("case", "seed"))
    )


def _taking(data, steps, spread=0.02):
    """Networks of every arm that reach r* after so many steps on each kind of data, at once."""
    runs, taken = data.runs, _taken(data.runs, steps, spread)
    best = (0.9 * runs.step / taken).clip(max=0.99).drop_vars("step", errors="ignore")
    first = xr.DataArray([1.0, 0.0, 0.0], dims="pattern")
    policy = best * first + (1 - best) * (1 - first) / 2
    return data.change("runs", policy=policy.broadcast_like(runs.policy).transpose(*runs.policy.dims).values)


def _timed(data, steps, power):
    """Tabular times of which the steps are a power, and another of the natural gradient's."""
    runs = _taking(data, steps)
    median = xr.DataArray([steps[str(kind)] for kind in data.runs.shown.values], dims="case")
    time = (np.log(median) / power).broadcast_like(data.tabular.softmax).transpose(*data.tabular.softmax.dims)
    time = time + _noise(time.shape, 1e-3, 1)
    return runs.change(
        "tabular", softmax=time.values, natural=(time / 2).values, rarity=_noise(time.shape, 1.0, 2)
    )


def _led(data, *, by="softmax", other="rarity"):
    """Steps that one predictor ranks as they are, and another one the other way round."""
    known = _taken(data.runs, USUAL, 0.3).pipe(np.log).broadcast_like(data.tabular.softmax)
    known = known.transpose(*data.tabular.softmax.dims)
    known, turned = (sign * known + _noise(known.shape, 0.2, 3) for sign in (1, -1))
    return _taking(data, USUAL, 0.3).change("tabular", **{by: known.values, other: turned.values})


def _few(data):
    return data.select("runs", seed=slice(2)).select("tabular", seed=slice(2))


def _chosen(data):
    """Accuracy rises to just below that of the best pattern of the start, where answers can be learnt."""
    success = data.runs.success.copy()
    best = success.isel(step=0).max("pattern") - 1e-3
    best = best.broadcast_like(success.isel(step=-1)).transpose(*success.isel(step=-1).dims)
    success[{"step": -1}] = best - abs(_noise(best.shape, 1e-3))
    policy = data.runs.policy
    return data.change("runs", success=success, policy=policy / policy.sum("pattern"))


def _learnt(data):
    """All answers become right where they can be learnt; where they are fixed, none does."""
    success = _chosen(data).runs.success.copy()
    last = success[{"step": -1, "arm": slice(1, None)}]
    success[{"step": -1, "arm": slice(1, None)}] = 1 - abs(_noise(last.shape, 1e-3))
    return _chosen(data).change("runs", success=success)


TABLE = {
    "shortens": {
        "fails": lambda d: _taking(d, USUAL | {GOOD: 80}),
        "open": lambda d: _few(_taking(d, USUAL, spread=0.5)),
    },
    "needed": {
        "holds": lambda d: _taking(d, USUAL | {FAR: 60, NEAR: 60}),
        "fails": lambda d: _taking(d, USUAL),
        "open": lambda d: _few(_taking(d, USUAL, spread=0.5)),
    },
    "cheaper": {
        "holds": lambda d: _taking(d, USUAL | {NONE: 90, GOOD: 6}),
        "fails": lambda d: _taking(d, USUAL | {NONE: 30, FAR: 60, NEAR: 60, GOOD: 60}),
        "open": lambda d: _few(_taking(d, USUAL, spread=0.5)),
    },
    "proportional": {
        "holds": lambda d: _timed(d, USUAL, 1.0),
        "fails": lambda d: _timed(d, USUAL, 3.0),
        "open": lambda d: _few(_timed(d, USUAL, 1.0)),
    },
    "ranks": {
        "holds": lambda d: _timed(d, USUAL, 1.0),
        "fails": lambda d: _timed(d, USUAL, -1.0),
        "open": lambda d: d.change("tabular", softmax=np.nan),
    },
    "leads": {
        "holds": _led,
        "fails": lambda d: _led(d, by="rarity", other="softmax"),
        "open": lambda d: d.change("tabular", softmax=np.nan),
    },
    "alone": {"holds": _chosen, "fails": _learnt, "open": lambda d: d.change("runs", success=np.nan)},
}

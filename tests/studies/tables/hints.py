"""Mutations of `hints`: what its claims would say of other data."""

import numpy as np
import xarray as xr


def _pieces(x, last, first, axis):
    """Solutions whose first quarter has these chances at the last stage and at the others, and the rest is certain."""
    level = xr.DataArray([last.get(name, 0.3) for name in x[axis].values], {axis: x[axis]}, [axis])
    ripple = xr.DataArray(
        1e-4 * np.sin(len(axis) + 7.0 * np.arange(x.sizes[axis])[:, None] + np.arange(x.sizes["seed"])[None]),
        dims=[axis, "seed"],
    )
    stage = xr.DataArray(np.arange(x.sizes["stage"]) == x.sizes["stage"] - 1, dims="stage")
    chance = xr.where(stage, level, first) + ripple
    part = xr.DataArray(np.arange(x.sizes["part"]) == 0, dims="part")
    flat = xr.where(part, chance, 1.0) / 1.0
    share = xr.where(part, 1 / x.sizes["pattern"], 1.0)
    return (flat * share + 0 * x).transpose(*x.dims)


def _graphs(d, first=0.3, **last):
    names = {"none": "no hints", "all": "all levels", "falling": "annealed", "without": "levels 1 to 4"}
    names |= {"last": "level 4 only", "false": "wrong hints"}
    known = {names[name]: level for name, level in last.items()}
    return d.change("graphs", piece=lambda x: _pieces(x, known, first, "arm"))


def _taught(d, level):
    known = {"equal sequences": level, "equal questions": level}
    return d.change("taught", piece=lambda x: _pieces(x, known, 0.3, "budget"))


def _sums(d, **last):
    names = {"none": "no hints", "without": "levels 1 to 4", "last": "level 4 only"}
    known = {names[name]: level for name, level in last.items()}
    return d.change("sums", piece=lambda x: _pieces(x, known, 0.3, "arm"))


def _first(x, **moved):
    """Choices that have moved to the first pattern by so much."""
    names = {"none": "no hints", "without": "levels 1 to 4"}
    known = {names[name]: step for name, step in moved.items()}
    step = xr.DataArray([known.get(name, 0.0) for name in x.arm.values], {"arm": x.arm}, ["arm"])
    step = step + xr.DataArray(1e-3 * np.arange(x.sizes["seed"]), dims="seed")
    last = xr.DataArray(np.arange(x.sizes["stage"]) == x.sizes["stage"] - 1, dims="stage")
    shift = xr.DataArray([1.0] + [-1 / (x.sizes["pattern"] - 1)] * (x.sizes["pattern"] - 1), dims="pattern")
    return (1 / x.sizes["pattern"] + step * last * shift + 0 * x).transpose(*x.dims)


def _chain(d, then, later):
    """Predictions off by so much, then and ten times later."""
    runs = _graphs(d)
    off = xr.DataArray([then, later], {"when": ["then", "ten times later"]}, ["when"])
    off = off + xr.DataArray(1e-3 * np.arange(runs.chain.sizes["seed"]), dims="seed")
    return runs.change("chain", accuracy=lambda x: (0.3 + off + 0 * x).transpose(*x.dims))


def _unknown(name):
    return lambda d: d.change(name, piece=np.nan)


TABLE = {
    "useful": {
        "holds": lambda d: _graphs(d, all=0.6),
        "fails": lambda d: _taught(_graphs(d, all=0.2), 0.8),
        "open": _unknown("graphs"),
    },
    "reach": {
        "holds": lambda d: _graphs(d, first=0.01, all=0.2, last=0.01),
        "fails": lambda d: _taught(_graphs(d, first=0.1, all=0.05, last=0.1), 0.8),
        "open": _unknown("graphs"),
    },
    "separate": {
        "holds": lambda d: _chain(d, 0.0, 0.3),
        "fails": lambda d: _chain(d, 0.2, 0.3),
        "open": lambda d: d.change("chain", accuracy=np.nan),
    },
    "answer-only": {
        "holds": lambda d: _taught(_graphs(d), 0.8),
        "fails": lambda d: _taught(_graphs(d, last=0.6), 0.8),
        "open": _unknown("graphs"),
    },
    "annealed": {
        "holds": lambda d: _graphs(d, falling=0.6),
        "fails": lambda d: _taught(_graphs(d, falling=0.2), 0.8),
        "open": _unknown("graphs"),
    },
    "supervised": {
        "holds": lambda d: _taught(_graphs(d), 0.8),
        "fails": lambda d: _taught(_graphs(d), 0.1),
        "open": _unknown("taught"),
    },
    "inside": {
        "holds": lambda d: d.change("sums", first=lambda x: _first(x, none=0.5)),
        "fails": lambda d: d.change("sums", first=lambda x: _first(x, none=0.5, without=0.4)),
        "open": lambda d: d.change("sums", first=np.nan),
    },
    "choosing": {
        "holds": lambda d: _sums(d, none=0.8),
        "fails": lambda d: _sums(d, none=0.2),
        "open": _unknown("sums"),
    },
}

"""Mutations of `credit`: what its claims would say of other data."""

import numpy as np


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _grid(x, best, slow):
    """Steps with the best rate at the third of the grid, and `slow` at the smallest."""
    place = np.abs(np.arange(x.sizes["rate"]) - 2)
    level = np.where(place == 2, 5, 1 + 2 * place)
    flat = np.ones(x.shape) * (1 + _ripple(x))
    found = x.copy(data=flat) * best * x.rate.copy(data=level.astype(float))
    return found.where(x.rate != x.rate[0], slow * (1 + _ripple(x))).transpose(*x.dims)


def _steps(uniform=20.0, critic=20.0, nine=10.0, one=30.0):
    level = {"uniform": uniform, "critic": critic, "MC-9": nine, "MC-1": one}
    return lambda x: _grid(x, x.arm.copy(data=[level.get(arm, 20.0) for arm in x.arm.values]), 200.0)


def _rival(level):
    return lambda x: _grid(x, level, 200.0)


def _whitened(plain, values):
    """Steps of one rate, whitened advantages being faster."""

    def change(x):
        known = {"uniform": plain, "whitened": 40.0, "whitened MC-9": 40.0}
        level = x.arm.copy(data=[known.get(arm, values) for arm in x.arm.values])
        return (x.copy(data=1 + _ripple(x)) * level).transpose(*x.dims)

    return change


def _noise(x, data):
    return (x.copy(data=1 + _ripple(x)) * data["network"].predicted).transpose(*x.dims)


TABLE = {
    "deeper": {
        "fails": lambda d: d.change("depth", noise=lambda x: x.isel(depth=slice(None, None, -1)).values),
        "open": lambda d: d.select("depth", seed=slice(1)),
    },
    "nine": {
        "holds": lambda d: d.change(
            "depth", noise=lambda x: x.where(x.credit != "MC-9", x.sel(credit="exact"))
        ),
        "fails": lambda d: d.change(
            "depth", noise=lambda x: x.where(x.credit != "MC-9", x.sel(credit="uniform"))
        ),
        "open": lambda d: d.change("depth", noise=np.nan),
    },
    "same-mean": {
        "holds": lambda d: d.change(
            "races", first=lambda x: 1 + 3.0 * x.arm.str.startswith("whitened") + 0 * x + _ripple(x)
        ),
        "fails": lambda d: d.change("races", first=lambda x: x + 1),
        "open": lambda d: d.select("races", run=slice(2)),
    },
    "equal-rate": {
        "holds": lambda d: d.change("races", steps=_whitened(100.0, 100.0)),
        "fails": lambda d: d.change("races", steps=_whitened(100.0, 50.0)),
        "open": lambda d: d.select("races", seed=slice(2)),
    },
    "fewer": {
        "holds": lambda d: d.change("races", steps=_steps()).change("larger", steps=_rival(8.0)),
        "fails": lambda d: d.change("races", steps=_steps(nine=40.0)),
        "open": lambda d: d.change("races", steps=np.nan),
    },
    "third": {
        "holds": lambda d: d.change("races", steps=_steps()),
        "fails": lambda d: d.change("races", steps=_steps(uniform=50.0)),
        "open": lambda d: d.select("races", seed=slice(2)),
    },
    "step-norm": {
        "holds": lambda d: d.change("races", steps=_steps(nine=6.0)),
        "fails": lambda d: d.change("races", steps=_steps(nine=40.0)),
        "open": lambda d: d.change("races", norm=np.nan),
    },
    "tokens": {
        "holds": lambda d: d.change("races", steps=_steps()).change("larger", steps=_rival(8.0)),
        "fails": lambda d: d.change("races", steps=_steps()).change("larger", steps=_rival(15.0)),
        "open": lambda d: d.change("races", steps=np.nan),
    },
    "stale": {
        "holds": lambda d: d.change("along", cosine=lambda x: 0.99 - 0.5 * (x.level >= 0.5) + 0 * x),
        "fails": lambda d: d.change("along", cosine=1.0),
        "open": lambda d: d.change("along", cosine=np.nan),
    },
    "on-networks": {
        "holds": lambda d: d.change("network", noise=lambda x: _noise(x, d)),
        "fails": lambda d: d.change("network", noise=lambda x: x.copy(data=1 + _ripple(x))),
        "open": lambda d: d.select("network", seed=slice(2)),
    },
    "as-in-trees": {
        "holds": lambda d: d.change("network", noise=lambda x: _noise(x, d)),
        "fails": lambda d: d.change("network", noise=lambda x: x.copy(data=1 + _ripple(x))),
        "open": lambda d: d.select("network", seed=slice(2)),
    },
    "network-mean": {
        "holds": lambda d: d.change(
            "network", apart=lambda x: 0.01 + _ripple(x), another=lambda x: 2 + _ripple(x)
        ),
        "fails": lambda d: d.change("network", apart=lambda x: 1 + _ripple(x)),
        "open": lambda d: d.select("network", seed=slice(2)),
    },
}

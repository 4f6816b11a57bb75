"""Mutations of `credit`: what its claims would say of other data."""

import numpy as np


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _steps(uniform=20.0, critic=20.0, nine=10.0, one=30.0, slow=200.0):
    """Steps with the best rate at the third of the grid, and many at the smallest."""

    def change(x):
        name = {"uniform": uniform, "critic": critic, "MC-9": nine, "MC-1": one}
        best = sum(name.get(str(arm), 20.0) * (x.arm == arm) for arm in x.arm.values)
        place = np.abs(np.arange(x.sizes["rate"]) - 2)
        factor = x.rate * 0 + np.array([slow / 20.0, *(1 + 2.0 * place[1:])])
        return (best * factor * (1 + _ripple(x)) + 0 * x.where(np.isfinite(x), 0)).transpose(*x.dims)

    return change


def _rival(level):
    def change(x):
        place = np.abs(np.arange(x.sizes["rate"]) - 2)
        return ((x.rate * 0 + level * (1 + 2.0 * place)) * (1 + _ripple(x))).transpose(*x.dims)

    return change


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
        "holds": lambda d: d.change(
            "races", steps=lambda x: (100 - 60 * x.arm.str.startswith("whitened")) * (1 + _ripple(x))
        ),
        "fails": lambda d: d.change(
            "races", steps=lambda x: (100 - 60 * (x.arm != "uniform")) * (1 + _ripple(x))
        ),
        "open": lambda d: d.select("races", seed=slice(2)),
    },
    "fewer": {
        "holds": lambda d: d.change("races", steps=_steps()),
        "fails": lambda d: d.change("races", steps=_steps(nine=40.0)),
        "open": lambda d: d.select("races", seed=slice(2)),
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
        "open": lambda d: d.select("races", seed=slice(2)).select("larger", seed=slice(2)),
    },
    "stale": {
        "holds": lambda d: d.change("along", cosine=lambda x: 0.99 - 0.5 * (x.level >= 0.5) + 0 * x),
        "fails": lambda d: d.change("along", cosine=1.0),
        "open": lambda d: d.change("along", cosine=np.nan),
    },
    "on-networks": {
        "holds": lambda d: d.change("network", noise=lambda x: d["network"].predicted * (1 + _ripple(x))),
        "fails": lambda d: d.change("network", noise=lambda x: 1 + _ripple(x)),
        "open": lambda d: d.select("network", seed=slice(2)),
    },
    "as-in-trees": {
        "holds": lambda d: d.change("network", noise=lambda x: d["network"].predicted * (1 + _ripple(x))),
        "fails": lambda d: d.change("network", noise=lambda x: 1 + _ripple(x)),
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

"""Mutations of `pass-at-k`: what its claims would say of other data."""

import numpy as np


def _better(share):
    return np.sqrt(share)


def _lost(share):
    """Questions that base rarely solves are lost, the others gain."""
    return share.where(share > 0.05, 1e-9) ** 0.5


def _few(data):
    return data.select("own", seed=slice(2)).select("shared", seed=slice(2)).select("expected", seed=slice(2))


def _after(data, value, *names, rule=slice(None)):
    """Accuracies after training by these rules, as a function of those before."""
    for name in names:
        after = data[name].after.copy()
        after.loc[{"rule": rule}] = value(data[name].base.sel(rule=rule))
        data = data.change(name, after=after)
    return data


def _improved(data):
    """Negatives only improve on base, and GRPO improves on them."""
    for name in SAMPLED:
        data = data.change(name, base=0.001)
        data = _after(data, lambda rho: rho + 0.8, name, rule="negatives only")
        data = _after(data, lambda rho: rho + 0.9, name, rule="GRPO")
    return data


SAMPLED = ("own", "shared")

TABLE = {
    "crossover": {"fails": lambda d: _after(d, _better, *SAMPLED), "open": _few},
    "noise": {
        "holds": lambda d: _after(d, _lost, "own", rule="GRPO"),
        "fails": lambda d: _after(d, _better, "own", rule="GRPO"),
        "open": _few,
    },
    "drift": {"fails": lambda d: _after(d, _better, "expected"), "open": _few},
    "pushed": {
        "fails": lambda d: d.change("shared", after=lambda rho: rho.clip(1 / 200, 1)),
        "open": lambda d: d.change("shared", after=np.nan),
    },
    "zeros": {"fails": lambda d: _after(d, _better, *SAMPLED), "open": _few},
    "target": {
        "fails": lambda d: _after(d, lambda rho: rho / 2, "expected"),
        "open": lambda d: d.change("expected", after=np.nan),
    },
    "negatives": {"holds": _improved, "open": _few},
}

"""Mutations of `pass-at-k`: what its claims would say of other data."""

import numpy as np


def _better(share):
    return np.sqrt(share)


def _lost(share):
    """Questions that base rarely solves are lost, the others gain."""
    return share.where(share > 0.05, 1e-9) ** 0.5


def _few(data):
    return data.select("own", seed=slice(2)).select("shared", seed=slice(2)).select("expected", seed=slice(2))


def _after(data, value, *names, rule=slice(None), way=slice(None)):
    """Accuracies after training by these rules, in these ways, as a function of those before."""
    for name in names:
        after = data[name].after.copy()
        after.loc[{"rule": rule, "way": way}] = value(data[name].base.sel(rule=rule, way=way))
        data = data.change(name, after=after)
    return data


def _improved(data):
    """Negatives only improve on base, and GRPO improves on them."""
    for name in SAMPLED:
        data = data.change(
            name, base=lambda x: 0 * x + 0.001 * (1 + 0.1 * np.sin(np.arange(x.sizes["seed"])))[:, None]
        )
        data = _after(data, lambda rho: 3 * rho, name, rule="negatives only")
        data = _after(data, lambda rho: 20 * rho, name, rule="GRPO")
    return data


def _hard(share):
    """Questions are hard after training, but only the first or the first two of them are lost."""
    seed, question = (np.arange(share.sizes[dim]) for dim in ("seed", "question"))
    return (0 * share + 1 / 200).where(question > seed[:, None] % 2, 1e-9)


SAMPLED = ("own", "shared")

TABLE = {
    "crossover": {"fails": lambda d: _after(d, _better, *SAMPLED), "open": _few},
    "noise": {
        "holds": lambda d: _after(d, _lost, "own", rule="GRPO", way=d.own.way.values[1:]),
        "fails": lambda d: _after(d, _better, "own", rule="GRPO"),
        "open": _few,
    },
    "drift": {"fails": lambda d: _after(d, _better, "expected"), "open": _few},
    "pushed": {
        "fails": lambda d: d.change("shared", after=_hard),
        "open": lambda d: d.change("shared", after=np.nan),
    },
    "zeros": {"fails": lambda d: _after(d, _better, *SAMPLED), "open": _few},
    "target": {
        "fails": lambda d: _after(d, lambda rho: rho / 2, "expected"),
        "open": lambda d: d.change("expected", after=np.nan),
    },
    "negatives": {
        "holds": _improved,
        "fails": lambda d: _after(d, lambda rho: rho / 2, *SAMPLED, rule="negatives only"),
        "open": _few,
    },
}

"""Mutations of `name-only-tokens`: what its claims would say of other data."""

import numpy as np


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _one_path(name, row):
    """Every rule on the path of the first one, but for a little scatter."""

    def change(x):
        return (0 * x + x.isel({row: 0}, drop=True)).transpose(*x.dims) + _ripple(x)

    return lambda d: d.change(name, path=change)


def _together(d):
    """In networks every rule on the path of GRPO of its condition."""

    def change(x):
        values = x.values.copy()
        for condition in np.unique(x.condition.values):
            rows = np.flatnonzero(x.condition.values == condition)
            values[rows] = values[rows[0]]
        return values + _ripple(x)

    return _one_path("epochs", "row")(d.change("networks", path=lambda x: x.copy(data=change(x))))


def _accuracy(rule, value):
    """Last accuracies under a rule at a value, with a little scatter."""

    def change(x):
        there = (x["name"] == rule) & (x.step == x.step.max())
        return x.where(~there, value).transpose(*x.dims) + _ripple(x)

    return lambda d: d.change("networks", accuracy=change)


def _match(d):
    def change(x):
        values = x.values.copy()
        rules, conditions = x["name"].values, x.condition.values
        for row in np.flatnonzero(rules == "± (unit weights)"):
            twin = (rules == "GRPO") & (conditions == conditions[row])
            values[row] = values[np.flatnonzero(twin)[0]]
        return x.copy(data=values) + _ripple(x)

    return d.change("networks", accuracy=change)


def _few(name):
    return lambda d: d.select(name, seed=slice(1))


TABLE = {
    "identity": {
        "fails": lambda d: d.change("gradients", cosine=lambda x: 0.9 * x),
        "open": lambda d: d.change("gradients", cosine=np.nan),
    },
    "parts": {
        "fails": lambda d: d.change("trees", apart=0.0),
        "open": lambda d: d.change("trees", apart=np.nan),
    },
    "adam-parts": {
        "fails": _one_path("adam", "which"),
        "open": _few("adam"),
    },
    "network-parts": {
        "fails": _together,
        "open": lambda d: _few("epochs")(_few("networks")(d)),
    },
    "matches": {
        "holds": _match,
        "fails": _accuracy("± (unit weights)", 0.1),
        "open": _few("networks"),
    },
    "collapse": {
        "holds": _accuracy("negatives only", 0.01),
        "fails": _accuracy("negatives only", 0.99),
        "open": _few("networks"),
    },
}

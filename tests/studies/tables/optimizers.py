"""Mutations of `optimizers`: what its claims would say of other data."""

import numpy as np


def _as(data, name, rule, other):
    """One optimiser's results in the place of another's."""
    changed = {}
    for key, values in data[name].data_vars.items():
        if "rule" in values.dims:
            values = values.copy()
            values.loc[{"rule": rule}] = values.sel(rule=other)
            changed[key] = values
    return data.change(name, **changed)


TABLE = {
    "orbits": {
        "fails": lambda d: _as(d, "means", "Adam", "SGD"),
        "open": lambda d: d.change("means", path=np.nan),
    },
    "sooner": {
        "fails": lambda d: _as(d, "means", "sign", "SGD"),
        "open": lambda d: d.change("means", reached=np.nan),
    },
    "solves": {
        "holds": lambda d: _as(d, "means", "momentum", "SGD"),
        "fails": lambda d: _as(d, "means", "Adam", "SGD"),
        "open": lambda d: d.select("means", problem=slice(10)),
    },
    "fewer": {
        "fails": lambda d: _as(d, "means", "Adam", "momentum"),
        "open": lambda d: d.select("means", problem=slice(6)),
    },
    "follows": {
        "fails": lambda d: d.change("noisy", path=lambda x: x + 0.05),
        "open": lambda d: d.select("noisy", seed=slice(1)),
    },
    "matches": {
        "holds": lambda d: _as(d, "samples", "SGD", "Adam"),
        "fails": lambda d: d.change("samples", reached=lambda x: x.where(x.rule != "SGD", 10 * x + 1000)),
        "open": lambda d: d.select("samples", seed=slice(2)),
    },
}

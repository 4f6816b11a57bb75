"""Mutations of `optimal-policy`: what its claims would say of other data."""

import numpy as np


def _last(value):
    def change(path):
        path = path.copy()
        path[{"time": -1}] = value(path[{"time": -1}])
        return path

    return change


def _formula(data):
    """Flows under k3 that end where reverse KL's do."""
    path = data.flows.path.copy()
    path.loc[{"penalty": "k3 in the loss"}] = path.sel(penalty="reverse KL")
    return data.change("flows", path=path)


TABLE = {
    "ends": {
        "fails": lambda d: d.change("flows", path=_last(lambda x: x + 1e-3)),
        "open": lambda d: d.change("flows", path=np.nan),
    },
    "optimal": {
        "fails": lambda d: d.change("rivals", formula=lambda x: x - 1),
        "open": lambda d: d.change("rivals", formula=np.nan),
    },
    "limit": {
        "fails": lambda d: d.change("small", log_rest=lambda x: 1.1 * x),
        "open": lambda d: d.change("small", log_rest=np.nan),
    },
    "coded": {"holds": _formula, "open": lambda d: d.change("flows", path=np.nan)},
}

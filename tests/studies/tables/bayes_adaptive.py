"""Mutations of `bayes-adaptive`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.credit._triplets import ARMS

ONE, BAYES, _, HIDDEN = ARMS


def _unknown(name, variable):
    return lambda d: d.change(name, **{variable: np.nan})


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _networks(**values):
    """Networks of some arms that are right with about these chances."""

    def change(x):
        for arm, value in values.items():
            x = x.where(x.arm != {"one": ONE, "bayes": BAYES, "hidden": HIDDEN}[arm], value + _ripple(x))
        return x

    return lambda d: d.change("networks", success=change)


FEW = {"open": lambda d: d.select("networks", seed=slice(1))}

TABLE = {
    "minds": {
        "fails": lambda d: d.change("best", value=lambda x: 0 * x + 0.5),
        "open": _unknown("best", "value"),
    },
    "reaches": {
        "fails": lambda d: d.change("flows", value=lambda x: 0.5 * x),
        "open": lambda d: d.select("flows", seed=slice(3)),
    },
    "untrained": {
        "fails": lambda d: d.change("flows", after=lambda x: x + 0.1),
        "open": _unknown("flows", "after"),
    },
    "saddle": {"fails": lambda d: d.change("escapes", saddle=np.sqrt), "open": _unknown("escapes", "saddle")},
    "reflects": {
        "holds": lambda d: d.change(
            "networks", tried=lambda x: (0 * x + 0.05 + _ripple(x)).where(x.arm != BAYES, 0.95 + _ripple(x))
        ),
        "fails": lambda d: d.change("networks", tried=lambda x: 0.3 + _ripple(x)),
        **FEW,
    },
    "generalizes": {"holds": _networks(one=0.01, bayes=0.9), "fails": _networks(one=0.2, bayes=0.2), **FEW},
    "beyond-hidden": {
        "holds": _networks(bayes=0.95, hidden=0.5),
        "fails": _networks(one=0.1, bayes=0.9, hidden=0.9),
        **FEW,
    },
}

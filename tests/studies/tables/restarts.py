"""Mutations of `restarts`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.credit._restarts import RUNS, STARTS
from qra_jax.studies.credit._restarts_evidence import ACCURACY, REFLECTS


def _times(change, *starts):
    """Times of some starts changed."""
    numbers = [STARTS.index(one) for one in starts]
    return lambda d: d.change(
        "times", time=lambda x: xr.where(x.start.isin(numbers), change(x), x).transpose(*x.dims)
    )


def _unknown(name, variable):
    return lambda d: d.change(name, **{variable: np.nan})


def _runs(value, what, *kinds):
    """Runs of some kinds that end, and stay, near a value."""
    numbers = [list(RUNS).index(one) for one in kinds]

    def change(x):
        ripple = 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)
        return x.where(~(x.kind.isin(numbers) & (x.what == what)), value + ripple)

    return lambda d: d.change("runs", seen=change)


def _better(d):
    """The bonus helps under RLOO, the first algorithm, alone."""
    better = _runs(1.0, REFLECTS, "correction, restarts with the bonus")(d).runs.seen
    first = np.arange(better.sizes["algorithm"]) == 0
    return d.change("runs", seen=lambda x: better.where(xr.DataArray(first, dims="algorithm"), x))


FEW = {"open": lambda d: d.select("runs", seed=slice(1))}
OWN, BASE = "own, of the policy", "own, of the base"

TABLE = {
    "cold": {"fails": _times(np.sqrt, "the question"), "open": _unknown("times", "time")},
    "hinted": {"fails": _times(lambda x: x**2, "right prefixes"), "open": _unknown("times", "time")},
    "own-prefixes": {"fails": _times(lambda x: x / 3, BASE, OWN), "open": _unknown("times", "time")},
    "later-first": {"fails": _times(lambda x: 20 * x, BASE, OWN), "open": _unknown("times", "time")},
    "revisits": {"fails": _times(lambda x: 5 * x, BASE), "open": _unknown("times", "time")},
    "chosen-for": {
        "fails": lambda d: d.change("inside", first=lambda x: 0 * x + 0.01),
        "open": _unknown("inside", "first"),
    },
    "larger-step": {
        "fails": lambda d: d.change("groups", off=lambda x: x + 0.1),
        "open": _unknown("groups", "off"),
    },
    "void": {"fails": lambda d: d.change("groups", off=lambda x: x + 0.1), "open": _unknown("groups", "off")},
    "corrects": {"fails": _runs(0.05, REFLECTS, "correction, restarts with the bonus"), **FEW},
    "bonus-itself": {
        "holds": _better,
        "fails": _runs(0.5, REFLECTS, "correction, restarts with the bonus"),
        **FEW,
    },
    "useful": {"fails": _runs(0.0, ACCURACY, "maze, right prefixes"), **FEW},
}

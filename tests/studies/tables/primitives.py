"""Mutations of `primitives`: what its claims would say of other data."""

import numpy as np


def _times(slope):
    """Times that change by the same with every doubling."""
    return lambda data: data.change("warm", log_time=slope * np.arange(5.0)[:, None])


def _few(data):
    """So few problems that each may be an exception."""
    few = np.flatnonzero(data.split.margin.values >= 0)[:3]
    return data.select("warm", problem=slice(20)).select("split", draw=np.append(few, [0, 1, 2]))


def _same(data):
    return data


TABLE = {
    "speeds": {"fails": _times(1.0), "open": lambda d: _times(-1.0)(_few(d).change("split", change=-1.0))},
    "doublings": {
        "holds": _times(-1.0),
        "open": lambda d: _times(-1.0)(_few(d).change("split", change=-1.0)),
    },
    "slows": {"fails": _times(-1.0), "open": _times(1.0)},
    "equal-mass": {
        "holds": lambda d: d.change("equal", log_time=lambda x: -x.mass - 1e-3 * x.rivals),
        "open": lambda d: d.change("equal", log_time=np.nan),
    },
    "splitting": {"fails": lambda d: d.change("split", change=-1.0), "open": _few},
    "accuracy": {
        "holds": lambda d: d.change("warm", accuracy=lambda x: 1e-2 * x["size"] + 1e-3 * x),
        "open": lambda d: d.select("warm", problem=slice(2)),
    },
    "thin": {
        "fails": lambda d: d.change("warm", sampled_best=d.warm.best),
        "open": lambda d: d.select("warm", problem=slice(2)),
    },
}

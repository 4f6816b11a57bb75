"""Mutations of `primitives`: what its claims would say of other data."""

import numpy as np


def _times(slope):
    """Times that change by the same with every doubling."""
    return lambda data: data.change("warm", log_time=slope * np.arange(5.0)[:, None])


def _few(data):
    """So few problems that each may be an exception."""
    few = np.flatnonzero(data.split.margin.values >= 0)[:3]
    return data.select("warm", problem=slice(20)).select("split", draw=np.append(few, [0, 1, 2]))


def _accuracies(data):
    """Accuracies that rise with every new pattern, and with no other."""
    rising = {"accuracy": lambda x: 2e-2 * x["size"] + 1e-3 * x}
    again = {"accuracy_twice": lambda x: 2e-2 * x.twice + 1e-3 * x}
    return data.change(
        "warm", **{k: lambda x, f=f: f(x).transpose(*x.dims) for k, f in (rising | again).items()}
    )


def _lost(by):
    """So much of r* is lost in sampled training from the most diverse start."""

    def mutate(data):
        best = data.warm.best
        ripple = 1e-3 * np.sin(np.arange(best.sizes["problem"]))
        return data.change(
            "warm", sampled_best=best - np.where(best["size"] == 16, by, 0.0)[:, None] + ripple
        )

    return mutate


TABLE = {
    "speeds": {"holds": _times(-1.0), "fails": _times(1.0), "open": lambda d: _times(-1.0)(_few(d))},
    "doublings": {"holds": _times(-1.0), "fails": _times(1.0), "open": lambda d: _times(-1.0)(_few(d))},
    "slows": {"fails": _times(-1.0), "open": lambda d: _times(1.0)(_few(d))},
    "splitting": {"fails": lambda d: d.change("split", change=-1.0), "open": _few},
    "accuracy": {"holds": _accuracies, "open": lambda d: d.select("warm", problem=slice(1))},
    "thin": {
        "holds": _lost(0.1),
        "fails": _lost(0.0),
        "open": lambda d: d.select("warm", problem=slice(2)),
    },
}

"""Mutations of `what-to-teach`: what its claims would say of other data."""

import numpy as np
import xarray as xr


def _all(**slopes):
    """The same slope for all patterns; the least of them is that of r*."""

    def mutate(data):
        best = data.cases["rank"] == 0
        values = {name: np.where(best, 2 * value, value) for name, value in slopes.items()}
        least = {f"least_{name}": 2 * value for name, value in slopes.items() if name != "rate"}
        return data.change("cases", **values, **least)

    return mutate


def _few(mutate):
    """Four problems of each size."""

    def both(data):
        n = data.cases.n.values
        keep = np.concatenate([np.flatnonzero(n == size)[: 4 * size] for size in np.unique(n)])
        return mutate(data.select("cases", case=keep))

    return both


def _worst(data):
    """Teaching anything but r* costs time."""
    return data.change("cases", unit=np.where(data.cases["rank"] == 0, -1.0, 1.0))


def _good(data):
    """Teaching what is better than the accuracy saves time, and nothing else does."""
    return data.change(
        "cases", unit=lambda x: xr.where(data.cases.success > data.cases.accuracy, -1.0, 1.0) + 0 * x
    )


def _rates(data):
    """A higher success rate saves time, but for the other one of two patterns."""
    other = (data.cases.n == 2) & (data.cases["rank"] == 1)
    return data.change("cases", rate=xr.where(other, 1.0, -1.0))


def _same(data):
    return data


TABLE = {
    "training-agrees": {
        "holds": lambda d: d.change("sampled", change=d.sampled.exact + 0.01, error=0.003),
        "fails": lambda d: d.change("sampled", change=lambda x: -x),
        "open": lambda d: d.change("sampled", error=lambda x: 10 * x),
    },
    "unit": {"holds": _all(unit=-1.0), "open": _few(_all(unit=-1.0))},
    "point": {"holds": _all(point=-1.0), "open": _few(_all(point=-1.0))},
    "better": {"holds": _good, "open": _few(_good)},
    "worst": {"holds": _worst, "open": _few(_worst)},
    "rates": {"holds": _rates, "open": _few(_rates)},
    "rival": {"fails": _all(unit=-1.0), "open": _few(_same)},
    "improve": {"fails": _all(rate=1.0, point=-1.0), "open": lambda d: d.change("cases", rate=np.nan)},
}

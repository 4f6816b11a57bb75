"""Mutations of `two-stage-reward`: what its claims would say of other data."""

import numpy as np


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _slow_sham(total):
    """The sham use alone never helps: a switch after a bonus on it takes longer, in proportion."""
    return total.where(total.mark != "sham use alone", total.isel(time=0) * (1 + total.time))


TABLE = {
    "pays": {
        "holds": lambda d: d.change("best", total=lambda x: 0.5 * x),
        "fails": lambda d: d.change("best", total=lambda x: 5 * x),
        "open": lambda d: d.change("best", total=np.nan),
    },
    "root": {
        "fails": lambda d: d.change("best", total=lambda x: 1.2 * x),
        "open": lambda d: d.change("best", total=np.nan),
    },
    "keeps": {
        "fails": lambda d: d.change("totals", always=lambda x: x.where(x.mark != "good use alone", 2 * x)),
        "open": lambda d: d.change("totals", always=np.nan),
    },
    "helps": {
        "fails": lambda d: d.change("totals", total=_slow_sham),
        "open": lambda d: d.change("totals", total=np.nan),
    },
    "anneals": {
        "holds": lambda d: d.change("totals", annealed=lambda x: 0 * x + d.best.total),
        "fails": lambda d: d.change("totals", annealed=lambda x: 5 * x),
        "open": lambda d: d.change("totals", annealed=np.nan),
    },
    "sampled": {
        "fails": lambda d: d.change("runs", good=lambda x: 0.5 + _ripple(x)),
        "open": lambda d: d.select("runs", seed=slice(1)),
    },
}

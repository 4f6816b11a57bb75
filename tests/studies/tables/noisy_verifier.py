"""Mutations of `noisy-verifier`: what its claims would say of other data."""

import numpy as np


def _clean(d):
    """Every verifier leaves the course of the noiseless one as it is."""
    return d.change("tails", log_rest=lambda x: x.sel(FP=[0.0] * 3, FN=[0.0] * 4).values)


def _unlike(d):
    """Courses of GRPO that end in another power of time."""
    slow = lambda x: x.where((x.algorithm == "REINFORCE") | (x.FP + x.FN == 0), 0.3 * x)  # noqa: E731
    return d.change("tails", log_rest=slow)


def _unknown(experiment, name):
    return lambda d: d.change(experiment, **{name: np.nan})


TABLE = {
    "fate": {
        "fails": lambda d: d.change("phases", accuracy=lambda x: x.values[:, ::-1]),
        "open": _unknown("phases", "accuracy"),
    },
    "tail": {"fails": _clean, "open": _unknown("tails", "log_rest")},
    "rescales": {"fails": _unlike, "open": _unknown("tails", "log_rest")},
    "only": {"fails": _unlike, "open": _unknown("tails", "log_rest")},
    "plain": {"fails": _clean, "open": _unknown("tails", "log_rest")},
    "rest": {"fails": lambda d: d.change("rests", status=3), "open": _unknown("rests", "end")},
}

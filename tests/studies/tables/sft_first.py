"""Mutations of `sft-first`: what its claims would say of other data."""

import numpy as np

FAR, NEAR, GOOD = ".1 x₀", ".8 x₀", "x₀ + .2 (1 − x₀)"


def _least(**values):
    """Other least totals, by kind of data."""

    def mutate(data):
        least = data.stalled.log_least.copy()
        for kind, value in values.items():
            least.loc[{"data": {"far": FAR, "near": NEAR, "good": GOOD}[kind]}] = value
        return data.change("stalled", log_least=least)

    return mutate


def _few(data):
    return data.select("stalled", problem=slice(6))


def _slow(data):
    return data.change("worked", best_total=lambda x: 2 * x)


TABLE = {
    "removes": {"fails": _least(good=30.0), "open": _few},
    "needed": {"holds": _least(far=30.0, near=30.0), "open": lambda d: _least(far=30.0, near=30.0)(_few(d))},
    "faster": {"fails": _slow, "open": lambda d: d.change("worked", best_total=np.nan)},
}

"""Mutations of `rank-one`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights._parts_of_updates import (
    ALMOST,
    FIRST,
    MATRICES_ONLY,
    RANDOM,
    REST_ONLY,
    SECOND,
    WITH_REST,
    WITHOUT,
)

WHOLE, NOTHING, PART = 1.0, 0.0, 0.6


def shares(**named):
    """Every arm has a gain of .4 at the goal, and networks these shares of it, almost the same for all bases."""

    def change(data):
        runs = data.runs
        ripple = 1e-3 * np.sin(np.arange(runs.sizes["seed"]))
        level = {
            ALMOST: WHOLE,
            FIRST: WHOLE,
            SECOND: NOTHING,
            RANDOM: NOTHING,
            WITHOUT: NOTHING,
            MATRICES_ONLY: WHOLE,
        }
        level |= {REST_ONLY: NOTHING, WITH_REST: WHOLE} | {
            globals()[name]: value for name, value in named.items()
        }
        made = runs.made.copy()
        for name, value in level.items():
            made.loc[{"network": name}] = 0.2 + 0.4 * (value + ripple)
        made = made.transpose(*runs.made.dims)
        return data.change("runs", base=0.2, tuned=0.6, goal=0.6, made=made.values)

    return change


def scaled(best):
    """Accuracy against λ has its peak at a number."""

    def change(data):
        runs = data.runs
        ripple = 1e-3 * np.sin(np.arange(runs.sizes["seed"]))[:, None]
        return data.change("runs", scaled=0.5 - 0.1 * (runs.scale.values - best) ** 2 * (1 + ripple))

    return change


def longer(factor):
    def change(data):
        share = data.runs.share
        seed, own = np.arange(share.sizes["seed"])[:, None], share["update"].values == "own"
        ripple = 1 + 0.01 * np.sin(seed + np.arange(share.sizes["update"]))
        return data.change("runs", share=0.3 * np.where(own, factor, 1.0) * ripple)

    return change


def few(data):
    return data.select("runs", seed=slice(2))


TABLE = {
    "carries": {"holds": shares(), "fails": shares(FIRST=PART), "open": few},
    "with-rest": {"holds": shares(), "fails": shares(WITH_REST=PART), "open": few},
    "supervised": {"holds": shares(FIRST=NOTHING), "fails": shares(), "open": few},
    "second": {"holds": shares(), "fails": shares(SECOND=PART), "open": few},
    "needed": {"holds": shares(), "fails": shares(WITHOUT=PART), "open": few},
    "matrices": {"holds": shares(), "fails": shares(MATRICES_ONLY=PART), "open": few},
    "longer": {"holds": longer(2.0), "fails": longer(1.0), "open": few},
    "below-full": {"holds": scaled(0.7), "fails": scaled(1.4), "open": few},
}

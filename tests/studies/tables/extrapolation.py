"""Mutations of `extrapolation`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights._futures import ALPHA_RL, LINE, RANK_3, RELEX

BASE, END = 0.2, 0.6


def wave(shape, shift=0):
    return 1e-3 * np.sin(shift + np.arange(np.prod(shape)).reshape(shape))


def reached(held=0.3, **rules):
    """Runs go from .2 to .6; ends predicted by a rule have this accuracy, the last one seen another."""
    names = {"relex": [RELEX], "rank": [RANK_3, LINE], "alpha": [*ALPHA_RL], "line": [LINE]}

    def change(data):
        runs = data.runs
        seen = runs.reached.copy(data=held + wave(runs.reached.shape))
        for key, value in rules.items():
            seen.loc[{"rule": names[key]}] += value - held
        end = END + wave(runs.end.shape, 1)
        walked = held - 0.1 + wave(runs.walked.shape, 2)
        return data.change("runs", base=BASE, end=end, reached=seen.values, walked=walked)

    return change


def beyond(by):
    def change(data):
        runs = data.runs
        end = END + wave(runs.end.shape, 1)
        both = {"beyond": by, "aside": -0.05}
        seen = {name: end[..., None] + off + wave(runs[name].shape, 2) for name, off in both.items()}
        return data.change("runs", base=BASE, end=end, **seen)

    return change


def linear(by=0.0, noisy=0.0):
    """Measures of runs exceed those of random walks, at a half, by so much; those of noisy SFT by more."""

    def change(data):
        runs = data.runs
        seen = runs.straight.copy(data=0.5 + by + wave(runs.straight.shape))
        seen.loc[{"arm": "SFT, noisy"}] += noisy
        walks = {name: 0.5 + wave(runs.walk.shape, i) for i, name in enumerate(("walk", "walk_again"), 1)}
        return data.change("runs", straight=seen.values, **walks)

    return change


def few(data):
    return data.select("runs", seed=slice(2))


TABLE = {
    "alpha-rl": {"holds": reached(alpha=0.59), "fails": reached(alpha=0.4), "open": few},
    "relex": {"holds": reached(relex=0.59), "fails": reached(relex=0.4), "open": few},
    "rank": {"holds": reached(relex=0.4, rank=0.4), "fails": reached(relex=0.3, rank=0.5), "open": few},
    "beats-holding": {
        "holds": reached(line=0.5),
        "fails": reached(relex=0.2, rank=0.2, alpha=0.2),
        "open": few,
    },
    "beyond": {"holds": beyond(0.1), "fails": beyond(-0.1), "open": few},
    "straight": {"holds": linear(0.3), "fails": linear(0.0), "open": few},
    "fitted": {"holds": linear(0.1), "fails": linear(-0.1), "open": few},
    "noise": {"holds": linear(noisy=0.3), "fails": linear(noisy=-0.1), "open": few},
}

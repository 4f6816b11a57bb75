"""Mutations of `extrapolation`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights._futures import ALPHA_RL, CHORD, END, LINE, MIDDLE, RANK_3, RELEX

BASE, LAST = 0.2, 0.6
RL = "GRPO, Adam"


def wave(shape, shift=0, size=1e-3):
    return size * np.sin(shift + np.arange(np.prod(shape)).reshape(shape))


def reached(held=0.3, walked=0.2, gained=True, **rules):
    """Runs go from .2 to .6; ends predicted by a rule have this accuracy, the last one seen another."""
    names = {"relex": [RELEX], "rank": [RANK_3, LINE], "alpha": [*ALPHA_RL], "line": [LINE], "chord": [CHORD]}

    def change(data):
        runs = data.runs
        seen = runs.reached.copy(data=held + wave(runs.reached.shape))
        for key, value in rules.items():
            seen.loc[{"rule": names[key]}] += value - held
        ends = {name: LAST + wave(runs.end.shape, i) for i, name in enumerate(("end", "late"), 1)}
        base = BASE + wave(runs.base.shape, 3)
        aside = walked + wave(runs.walked.shape, 2)
        return data.change("runs", base=base, reached=seen.values, walked=aside, gained=gained, **ends)

    return change


def beyond(by, aside=-0.05):
    """ExPO from .3 and from .6 on adds so much to accuracy, and a Gaussian step so much."""

    def change(data):
        data = reached()(data)
        runs = data.runs
        start = runs.beyond.copy(data=wave(runs.beyond.shape, 2))
        start.loc[{"start": MIDDLE}] += 0.3
        start.loc[{"start": END}] += LAST
        return data.change("runs", beyond=start.values + by, aside=start.values + aside)

    return change


def linear(by=0.0, walk=0.5, again=0.5, permuted=0.2, **arms):
    """Measures of runs exceed those of random walks, at a half, by so much; those of some arms by more."""
    names = {"noisy": ["SFT, noisy", "SFT, noisy, same rate"], "again": ["SFT, again"]}

    def change(data):
        runs = data.runs
        seen = runs.straight.copy(data=0.5 + by + wave(runs.straight.shape))
        for key, value in arms.items():
            seen.loc[{"arm": names[key]}] += value
        others = {"walk": walk, "walk_again": again, "permuted": permuted}
        others = {n: x + wave(runs.walk.shape, i) for i, (n, x) in enumerate(others.items(), 1)}
        return data.change("runs", straight=seen.values, **others)

    return change


def again(by):
    """SFT with other random numbers is more linear, as is SFT with noise."""
    return lambda data: linear(noisy=0.3)(data).change(
        "runs", straight=lambda x: x + by * (x.arm == "SFT, again") + 0.3 * x.arm.str.startswith("SFT, noisy")
    )


def fits(noise=0.995, walks=0.98, short=0.5):
    def change(data):
        fit = data.noise.fit
        level = fit.copy(data=wave(fit.shape))
        level.loc[{"kind": "white noise"}] += noise
        level.loc[{"kind": "random walk"}] += walks
        if short is not None:
            level.loc[{"vectors": "control"}] += short - 1
        return data.change("noise", fit=level.values)

    return change


def walks(by=0.0, same=False):
    def change(data):
        values = data.noise.line
        level = (by + np.array([0.81, 0.956, 0.26])) * np.ones(values.shape)
        if not same:
            level = level * (values.kind == "random walk").values[:, None]
        return data.change("noise", line=level + wave(values.shape))

    return change


def few(data):
    return data.select("runs", seed=slice(2))


def little(data):
    return data.select("noise", seed=slice(2))


TABLE = {
    "alpha-rl": {"holds": reached(alpha=0.59), "fails": reached(alpha=0.4), "open": reached(gained=False)},
    "alpha-rl-gain": {
        "holds": reached(alpha=0.59),
        "fails": reached(alpha=0.4),
        "open": reached(gained=False),
    },
    "relex": {"holds": reached(relex=0.59), "fails": reached(relex=0.4), "open": few},
    "linear": {"holds": reached(chord=0.59), "fails": reached(chord=0.4), "open": few},
    "rank": {
        "holds": reached(held=0.5, relex=0.4, rank=0.4),
        "fails": reached(held=0.5, relex=0.3, rank=0.5),
        "open": reached(relex=0.1, rank=0.1),
    },
    "beats-holding": {
        "holds": reached(line=0.5),
        "fails": reached(relex=0.2, rank=0.2, alpha=0.2, chord=0.2),
        "open": few,
    },
    "beyond": {"holds": beyond(0.2), "fails": beyond(-0.1), "open": few},
    "straight": {"holds": linear(0.3), "fails": linear(0.0), "open": few},
    "fitted": {"holds": linear(0.1), "fails": linear(-0.1), "open": few},
    "permuted": {"holds": linear(walk=0.8), "fails": linear(permuted=0.7), "open": few},
    "noise": {"holds": linear(noisy=0.3), "fails": linear(noisy=-0.1), "open": few},
    "noise-at-best": {"holds": linear(noisy=0.3), "fails": linear(noisy=-0.1), "open": few},
    "fits-noise": {"holds": fits(), "fails": fits(0.9, 0.9), "open": little},
    "walks": {"holds": walks(), "fails": walks(-0.2), "open": little},
}
SHOWN = {
    "alpha-rl": reached(held=0.59, alpha=0.59),
    "alpha-rl-gain": reached(held=0.59, alpha=0.59),
    "relex": reached(walked=0.59, relex=0.59),
    "linear": reached(held=0.59, chord=0.59),
    "rank": reached(held=0.6, relex=0.6, rank=0.6),
    "beats-holding": reached(walked=0.5, line=0.5),
    "beyond": beyond(0.2, 0.2),
    "straight": linear(0.3, walk=0.8),
    "fitted": linear(0.1, again=0.6),
    "permuted": linear(walk=0.3),
    "noise": again(0.3),
    "noise-at-best": again(0.3),
    "fits-noise": fits(short=1.0),
    "walks": walks(same=True),
}
"""Data in which a claim would hold, but its null control shows the same."""

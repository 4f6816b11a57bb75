"""Mutations of `rank-one`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights._parts_of_updates import (
    ENTRIES,
    FIRST,
    HALF_REST,
    MATRICES_ONLY,
    NETWORKS,
    NO_NORMS,
    RANDOM,
    REST_ONLY,
    SECOND,
    WITH_REST,
    WITHOUT,
)

WHOLE, NOTHING, PART = 1.0, 0.0, 0.6
BASE, GAIN = 0.2, 0.4


def wave(shape, shift=0, size=1e-3):
    return size * np.sin(shift + np.arange(np.prod(shape)).reshape(shape))


def shares(levels=None, base=BASE, **arms):
    """Every arm has a gain of .4 at one learning rate, and networks these shares of it; some arms another first one."""

    def change(data):
        runs = data.runs
        level = dict.fromkeys((FIRST, MATRICES_ONLY, WITH_REST, HALF_REST, NO_NORMS), WHOLE)
        level = dict.fromkeys(NETWORKS, NOTHING) | level | (levels or {})
        made = runs.made.copy(data=wave(runs.made.shape))
        made += [level[str(name)] for name in made.network.values]
        for names, value in arms.values():
            made.loc[{"network": FIRST, "arm": list(names)}] += value - level[FIRST]
        tuned = base + GAIN + wave(runs.tuned.shape, 1)
        made = base + GAIN * made.values
        return data.change("runs", base=base, tuned=tuned, compared=True, made=made, rate=1e-3)

    return change


def scaled(best, other=None):
    """Accuracy against λ has its peak at a number; that of other directions has none, or the same."""

    def change(data):
        curves = data.runs.scaled
        peaks = 0.5 - 0.1 * (curves.scale - best) ** 2
        seen = curves.copy(data=0.3 + wave(curves.shape) - 0.05 * curves.scale.values)
        for name in (FIRST,) if other is None else curves.direction.values:
            seen.loc[{"direction": name}] = (seen.loc[{"direction": name}] * 0.1 + peaks).transpose(
                *(dim for dim in curves.dims if dim != "direction")
            )
        return data.change("runs", scaled=seen.values)

    return change


def longer(factor, shuffled=1.0):
    def change(data):
        share = data.runs["share"]
        by = np.array(
            [{"own": factor, "shuffled": shuffled}.get(str(x), 1.0) for x in share["update"].values]
        )
        return data.change("runs", share=0.3 * by * (1 + wave(share.shape, size=0.01)))

    return change


def few(data):
    return data.select("runs", seed=slice(2))


def none(data):
    """No base on which arms can be compared."""
    return data.change("runs", compared=False)


TAUGHT = ("SFT", "distillation")
OWN = ("filtered SFT⁺", "filtered SFT⁻", "filtered SFT±")
AGAIN = ("GRPO, Adam, again",)
REPORTED = {"a": (("distillation, on-policy",), 0.56), "b": (("DPO, offline", "DPO, iterated"), 0.62)}

TABLE = {
    "carries": {"holds": shares(), "fails": shares({FIRST: PART}), "open": few},
    "supervised": {"holds": shares({FIRST: NOTHING}), "fails": shares(), "open": none},
    "between": {"holds": shares(base=0.0, **REPORTED), "fails": shares(base=0.0), "open": few},
    "gain": {"holds": shares(), "fails": shares({FIRST: PART}), "open": none},
    "with-rest": {"holds": shares(), "fails": shares({WITH_REST: PART}), "open": few},
    "matrices": {"holds": shares(), "fails": shares({MATRICES_ONLY: PART}), "open": few},
    "others": {"holds": shares(), "fails": shares({WITHOUT: PART, SECOND: PART, ENTRIES: PART}), "open": few},
    "apart": {"holds": shares(a=(TAUGHT, PART)), "fails": shares(), "open": few},
    "own-samples": {"holds": shares(a=(TAUGHT, PART)), "fails": shares(a=(OWN, PART)), "open": none},
    "longer": {"holds": longer(2.0), "fails": longer(1.0), "open": few},
    "below-full": {"holds": scaled(0.7), "fails": scaled(1.4), "open": few},
}
SHOWN = {
    "carries": shares({SECOND: WHOLE}),
    "supervised": shares({FIRST: NOTHING, MATRICES_ONLY: NOTHING}),
    "between": shares({RANDOM: 0.6}, base=0.0, **REPORTED),
    "gain": shares({ENTRIES: WHOLE}),
    "with-rest": shares({REST_ONLY: WHOLE}),
    "matrices": shares({REST_ONLY: WHOLE}),
    "others": shares({MATRICES_ONLY: NOTHING}),
    "apart": shares(a=(TAUGHT + AGAIN, PART)),
    "own-samples": shares(),
    "longer": longer(2.0, shuffled=2.0),
    "below-full": scaled(0.7, other=0.7),
}
"""Data in which a claim would hold, but its null control shows the same."""

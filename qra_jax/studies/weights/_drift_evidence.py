"""What the claims of the study of evolution strategies are decided by."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._drift import BASE, ES, GRPO, WALK

POINTS, FEWER, MORE, LIKE, TRIES = 0.02, 0.5, 2.0, 0.1, 16
"""A difference that matters; half and twice; relative difference of norms that matters; tries of coverage."""
MOST = 0.5
"""Most of the steps."""
OFF = ("held out", "unannounced", "random tokens")
"""Kinds of sequences off the task."""


def at_end(data: lab.Data, of: str, *arms: str) -> list[xr.DataArray]:
    """A variable at the end of some arms; unknown of those whose learning rate may be bettered."""
    values, inside = data.runs[of], data.runs.inside
    known = [inside.sel(course=arm, drop=True) if arm in inside.course.values else None for arm in arms]
    every = [values.sel(arm=arm, drop=True) for arm in arms]
    return [x if flag is None else x.where(flag) for x, flag in zip(every, known, strict=True)]


def more(data: lab.Data, first: str, second: str) -> lab.Evidence:
    """That an arm ends above another one."""
    own, other = (x.sel(set="asked", drop=True) for x in at_end(data, "accuracy", first, second))
    words = f" (one update for {updates(data.runs)} of GRPO's)" if first == ES and second == GRPO else ""
    return lab.difference(f"accuracy, less that of {second}{words}", own, other).above(POINTS).per("task")


def updates(runs: xr.Dataset) -> str:
    """How many updates of GRPO take as many rollouts as one of evolution."""
    return f"{int(runs.step[-1]) / runs.sizes['turn']:.3g}"


def silent(data: lab.Data, size: str) -> lab.Evidence:
    """That perturbations of a size change no reward in most of the steps, on these bases."""
    still = data.runs.silent.sel(size=size, drop=True).mean(
        "turn", skipna=False
    )  # turns of a base are no sample
    return lab.mean("share of a base's steps without a difference of rewards", still).above(MOST).per("task")


def spread(data: lab.Data, pair: str, *, per_gain: bool = False) -> lab.Evidence:
    """That two runs of a base are nearer to each other than with GRPO."""
    accuracy = data.again.accuracy
    apart = abs(accuracy.isel(key=0, drop=True) - accuracy.isel(key=1, drop=True))
    gain = accuracy.mean("key", skipna=False) - data.again.start

    def ratio(*arrays: xr.DataArray) -> Any:
        first, second, own, other = (x.mean("seed", skipna=False) for x in arrays)
        return first / second * (other.where(other > 0) / own.where(own > 0) if per_gain else 1.0)

    arrays = [x.sel(pair=name, drop=True) for x in (apart, gain) for name in (pair, GRPO)]
    name = f"mean difference of two runs{' per gain' * per_gain} / GRPO's"
    return lab.statistic(name, ratio, *arrays, to=np.log, back=np.exp, together=True).below(FEWER)


def covers(data: lab.Data, arm: str, *, than: str = GRPO, other: int = TRIES) -> lab.Evidence:
    """That an arm solves more held-out questions in sixteen tries than another one, or in a number of them."""
    first, second = at_end(data, "passed", arm, than)
    own, others = (
        x.sel(set="held out", k=k).drop_vars(["k", "set"]) for x, k in ((first, TRIES), (second, other))
    )
    return (
        lab.difference(f"pass@{TRIES}, held out, less that of {than}", own, others).above(POINTS).per("task")
    )


def drifts(data: lab.Data, arm: str) -> lab.Evidence:
    """That an arm is further from the base than GRPO, off the task and at the end."""
    own, grpo = (x.sel(kind=list(OFF)) for x in at_end(data, "kl", arm, GRPO))
    return lab.ratio("KL to the base / GRPO's", own, grpo).above(MORE).per("task", "kind")


def drifts_per_gain(data: lab.Data, arm: str) -> lab.Evidence:
    """The same of mean KL over mean gain in accuracy, both at the end; all bases together."""
    kl = [x.sel(kind=list(OFF)) for x in at_end(data, "kl", arm, GRPO)]
    ends = (x.sel(set="asked", drop=True) for x in at_end(data, "accuracy", arm, GRPO, BASE))
    own, grpo, start = ends

    def ratio(*arrays: xr.DataArray) -> Any:
        far, other, gain, whole = (x.mean("seed", skipna=False) for x in arrays)
        return far / other * (whole.where(whole > 0) / gain.where(gain > 0))

    words = "mean KL to the base per mean gain / GRPO's"
    gains = own - start, grpo - start
    pooled = lab.statistic(words, ratio, *kl, *gains, to=np.log, back=np.exp, together=True)
    return pooled.above(MORE).per("task", "kind")


def walks(data: lab.Data, arm: str) -> lab.Evidence:
    """That an update is as long as a random walk of evolution's steps."""
    length = data.runs.length.sel(arm=arm, drop=True)
    ratio = lab.ratio("‖ΔW‖ / η√(nT/M)", length, data.runs.walk)
    return ratio.near(1.0, within=LIKE).per("task")


def as_walk(data: lab.Data, arm: str) -> lab.Evidence:
    """That an arm is as far from the base as a random walk as long, off the task."""
    kl = data.runs.kl.sel(kind=list(OFF))
    both = (kl.sel(arm=name, drop=True) for name in (arm, WALK))
    return lab.ratio("KL to the base / a random walk's", *both).between(FEWER, MORE).per("task", "kind")

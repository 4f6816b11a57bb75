"""What the study of warm starts reads from its runs: accuracies by what was taught, waiting times, the best rate."""

from __future__ import annotations

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.data._warm_networks import ARMS, COPIES, FLOOR, NONE, SETS, label
from qra_jax.transformer.procedures import PATTERNS

ALL = label(PATTERNS)
SINGLES = [label((name,)) for name in PATTERNS]
Names = tuple[str, ...]


def rates(data: lab.Data) -> xr.DataArray:
    """Success rates of the procedures in the base networks, `[seed, procedure]`."""
    return data.warm.rate.sel(when="start", arm=NONE, drop=True)


def of_rank(data: lab.Data, rank: int) -> list[str]:
    """The procedure of this rank in each base network, by its success rate: −1 is the best, 0 the worst."""
    order = rates(data).transpose("seed", "procedure").values.argsort(axis=1, kind="stable")
    return [PATTERNS[i] for i in order[:, rank]]


def single(values: xr.DataArray, names: list[str]) -> xr.DataArray:
    """Values after a warm start on one procedure, another one for each network, `[seed]`."""
    arm = xr.DataArray([ARMS.index(name) for name in names], dims="seed")
    return values.isel(arm=arm, seed=xr.DataArray(np.arange(len(names)), dims="seed")).drop_vars("arm")


def singles(values: xr.DataArray) -> xr.DataArray:
    """Mean over warm starts on one procedure, as a demonstrator shows it who does not know which is best."""
    return values.sel(arm=SINGLES).mean("arm", skipna=False)


def with_it(values: xr.DataArray, names: list[str], size: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Means over warm starts on so many procedures: with this one of the network, and without it, `[seed]`."""
    sets = [set_ for set_ in SETS if len(set_) == size]
    chosen = values.sel(arm=[label(set_) for set_ in sets])
    has = xr.DataArray([[name in set_ for set_ in sets] for name in names], dims=("seed", "arm"))
    has = has.assign_coords(arm=chosen.arm)
    return chosen.where(has).mean("arm"), chosen.where(~has).mean("arm")


def ratio(words: str, first: xr.DataArray, second: xr.DataArray) -> lab.Estimate:
    """Geometric mean over networks of ratios of accuracies."""
    return lab.ratio(words, first.clip(min=FLOOR), second.clip(min=FLOOR))


def ends(data: lab.Data) -> xr.DataArray:
    """Accuracy after RL, `[arm, seed]`."""
    return data.warm.accuracy.sel(when="end", drop=True)


def copies(values: xr.DataArray) -> xr.DataArray:
    """Mean over warm starts on one procedure in two copies, with and without the marker."""
    return values.sel(arm=COPIES).mean("arm", skipna=False)


def waits(data: lab.Data) -> xr.DataArray:
    """Share of the run until RL's rollouts have made half of the gain of the network's best warm start, `[arm, seed]`.

    The gain is counted from the base network; a run that does not get there waits to its end.
    """
    warm, sets = data.warm, [label(set_) for set_ in SETS]
    first = warm.accuracy.sel(when="start", arm=NONE, drop=True)
    goal = (first + ends(data).sel(arm=sets).max("arm")) / 2
    there = warm.right >= goal
    at = warm.step.isel(step=there.argmax("step")).drop_vars("step") / float(warm.attrs["rl_steps"])
    known = warm.right.notnull().all("step") & goal.notnull()
    return xr.where(there.any("step"), at, 1.0).where(known)


def chosen(data: lab.Data, when: str) -> xr.DataArray:
    """How far the mean rate of what is opened lies between the mean and the best rate of those taught, `[seed]`.

    Over all warm starts on two procedures or more together; the rates are those of the start.
    """
    above, span = [], []
    for set_ in SETS:
        if len(set_) > 1:
            one = data.warm.sel(arm=label(set_), procedure=list(set_), drop=True)
            rate, policy = one.rate.sel(when="start"), one.policy.sel(when=when)
            share = policy / policy.sum("procedure").clip(min=FLOOR)
            above.append((share * rate).sum("procedure", skipna=False) - rate.mean("procedure"))
            span.append(rate.max("procedure") - rate.mean("procedure"))
    total = xr.concat(span, "set").sum("set", skipna=False)
    return xr.concat(above, "set").sum("set", skipna=False) / total.where(total > 0)


def kept(data: lab.Data, *, best: bool, when: str) -> xr.DataArray:
    """Accuracy after RL over the best (or the mean) rate, at a moment, of what was taught, as a logarithm, `[seed]`.

    A mean over warm starts on two procedures or more.
    """
    found = []
    for set_ in SETS:
        if len(set_) > 1:
            rate = data.warm.rate.sel(when=when, arm=label(set_), procedure=list(set_), drop=True)
            rate = rate.max("procedure", skipna=False) if best else rate.mean("procedure", skipna=False)
            end = ends(data).sel(arm=label(set_), drop=True)
            found.append(np.log(end.clip(min=FLOOR)) - np.log(rate.clip(min=FLOOR)))
    return sum(found[1:], found[0]) / len(found)

"""What `kernel-confidence` compares: what a step does elsewhere, and how far held-out entropy falls."""

from __future__ import annotations

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._alike import ADAPTIVE, ALONE, EVERYTHING, PUNISHMENTS, REWARDS

WHOLE = {arm: arm for arm in (EVERYTHING, ADAPTIVE)}
SIGNS = {arm: arm for arm in (REWARDS, PUNISHMENTS)}
FALL, STILL = 0.1, 0.05
"""Nats of entropy, and of entropy per unit of cosine, that matter; points of reward: a tenth of a gain."""
ROUNDING, SHARE = 1e-5, 0.99
"""Most of the kernel that may be missing in float32; least share of variance that a prediction explains."""


def missing(data: lab.Data, by: str) -> lab.Test:
    """That hardly anything of the logit kernel is missing in a part of it, in any network."""
    most = data.steps.unsplit.sel(by=by, drop=True).max(skipna=False)
    return lab.exact(f"largest share of the norm of the kernel that is missing in {by}", most).below(ROUNDING)


def explained(data: lab.Data, by: str) -> lab.Test:
    """That a part of the kernel predicts a step of all questions at the smallest rate, at every cosine."""
    least = data.steps.r2.sel(by=by, drop=True).isel(rate=0, drop=True).min("cosine", skipna=False)
    return lab.mean(f"R² of {by}, least of all cosines", least).above(SHARE)


def order(data: lab.Data) -> lab.Test:
    """That what a prediction misses is of second order in the learning rate."""
    missed, rate = np.log(data.steps.missed).mean("cosine", skipna=False), np.log(data.steps.rate)
    return lab.slope(
        "order of the error in the learning rate", missed, rate, along="rate", over="seed"
    ).between(1.8, 2.2)


def influence(data: lab.Data, by: str = "R + G", *, turned: int = 0) -> lab.Test:
    """That a part of the kernel predicts what a step on one question does to every other one, at every cosine.

    Args:
      data: of the study.
      by: which part.
      turned: by how many places questions are exchanged.
    """
    pairs = ("held", "question")
    measured, predicted = data.steps.measured, data.steps.predicted.sel(by=by, drop=True)
    missed = measured - predicted.roll(question=turned, roll_coords=False)
    whole = measured - measured.mean(pairs, skipna=False)
    r2 = 1 - (missed**2).sum(pairs, skipna=False) / (whole**2).sum(pairs, skipna=False)
    words = (
        f"R² of {by}{', of another question' if turned else ''}, of pairs of questions, least of all cosines"
    )
    return lab.mean(words, r2.min("cosine", skipna=False)).above(SHARE)


def least(data: lab.Data, token: str) -> lab.Test:
    """That a token gains in every held-out context by a step on one rewarded sample."""
    lowest = data.steps.least.sel(through="R + G", token=token, drop=True)
    name = f"least change of log π of {token} token over its mean size, of all held-out contexts"
    return lab.mean(name, lowest).above(0.0)


def fall(data: lab.Data, arm: str) -> xr.DataArray:
    """How far entropy of held-out contexts falls, `[cosine, seed]`."""
    entropy = data.runs.entropy.sel(arm=arm, asked="held out", drop=True)
    return entropy.isel(step=0, drop=True) - entropy.isel(step=-1, drop=True)


def gain(data: lab.Data, arm: str) -> xr.DataArray:
    """How far reward of held-out questions rises, `[cosine, seed]`."""
    reward = data.runs.reward.sel(arm=arm, asked="held out", drop=True)
    return reward.isel(step=-1, drop=True) - reward.isel(step=0, drop=True)


def slope(data: lab.Data, arms: dict[str, str]) -> lab.Estimate:
    """How much further held-out entropy falls per unit of cosine, `[arm]`.

    Args:
      data: of the study.
      arms: arms by the name that they have in the result.
    """
    name, falls = (
        "further fall of held-out entropy per unit of cosine",
        {k: fall(data, a) for k, a in arms.items()},
    )
    each = {k: lab.slope(name, f, f.cosine, along="cosine", over="seed") for k, f in falls.items()}
    return lab.stacked("arm", each)


def useless(data: lab.Data, arm: str) -> lab.Evidence:
    """That held-out entropy falls, and held-out reward stays, in the mean over cosines."""
    more = lab.mean("fall of held-out entropy", fall(data, arm).mean("cosine", skipna=False)).above(FALL)
    change = lab.mean("change of held-out reward", gain(data, arm).mean("cosine", skipna=False))
    return lab.all_of(more, change.near(0, within=STILL))


def step_by_step(data: lab.Data, arm: str = ALONE) -> lab.Evidence:
    """That held-out entropy falls at every cosine, further at each than at the one before; reward does not rise."""
    falls = fall(data, arm)
    first, last = (falls.isel(cosine=i, drop=True) for i in (0, -1))
    rising = falls.rename(cosine="next cosine")
    return lab.all_of(
        lab.mean("fall of held-out entropy, marks least alike", first).above(0.0),
        lab.ordered("fall of held-out entropy", rising, along="next cosine", over="seed"),
        lab.difference("further fall, marks most alike", last, first).above(FALL),
        lab.mean("rise of held-out reward", gain(data, arm)).below(STILL),
    )


def still(data: lab.Data, arm: str, cosine: float | None = None) -> lab.Test:
    """That held-out entropy does not fall by what matters, at one cosine or in the mean over all."""
    falls = fall(data, arm)
    falls = falls.mean("cosine", skipna=False) if cosine is None else falls.sel(cosine=cosine, drop=True)
    return lab.mean("fall of held-out entropy", falls).below(FALL)


def apart(data: lab.Data, place: str) -> lab.Test:
    """That features are more alike at some places than where patterns are chosen."""
    cosine = data.steps.cosine_of_features.isel(cosine=0, drop=True)
    name = f"mean cosine at {place} places less that at pattern places, marks least alike"
    both = (cosine.sel(place=where, drop=True) for where in (place, "pattern"))
    return lab.difference(name, *both).above(0.3)

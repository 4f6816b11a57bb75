"""Evidence of the study of small groups."""

import numpy as np
import xarray as xr

from qra_jax.studies import lab

MATTERS, LOST = 0.03, 0.01
"""Difference in accuracy, or in shares of runs, that matters; share of the best pattern below which it is lost."""


def gain(accuracy: xr.DataArray, first: str, second: str) -> lab.Estimate:
    """Accuracy of one arm less that of another `[arm, ..., seed]`."""
    words = f"accuracy of {first} less that of {second}"
    return lab.difference(words, accuracy.sel(arm=first, drop=True), accuracy.sel(arm=second, drop=True))


def vanishes(accuracy: xr.DataArray, first: str, second: str) -> lab.Evidence:
    """That two arms are as accurate, for each size, level and rate."""
    return gain(accuracy, first, second).near(0, within=MATTERS).per("size", "level", "rate")


def at_best(accuracy: xr.DataArray) -> xr.DataArray:
    """Accuracy at the rate that was best on the first half of the seeds, on the second half."""
    half = accuracy.sizes["seed"] // 2
    best = accuracy.isel(seed=slice(half)).mean("seed", skipna=False).fillna(np.inf).argmax("rate")
    return accuracy.isel(seed=slice(half, None)).isel(rate=best).drop_vars("rate")


def crossing(small: xr.DataArray, large: xr.DataArray) -> lab.Evidence:
    """That a group size does better than a larger one `[budget, seed]` at the first budget, and worse at the last."""
    early, late = (
        lab.difference(
            f"accuracy with groups of {first.G.item()} less that of {second.G.item()}, {n} rollouts",
            first.sel(budget=n, drop=True),
            second.sel(budget=n, drop=True),
        ).above(MATTERS)
        for first, second, n in (
            (small, large, small.budget[0].item()),
            (large, small, small.budget[-1].item()),
        )
    )
    return lab.all_of(early, late)


def best_rate(first: xr.DataArray, second: xr.DataArray) -> lab.Evidence:
    """That ±1 and another rule are as accurate at the best rate of each."""
    words = "accuracy of ±1 less that of the other, best rate of each"
    return lab.difference(words, at_best(first), at_best(second)).near(0, within=MATTERS).per("size", "level")


def loses(best: xr.DataArray, first: str) -> lab.Evidence:
    """That an arm loses the best pattern in more runs than Dr.GRPO at its speed, by shares of it `[arm, ..., seed]`."""
    gone = lab.where_known(best < LOST, best)
    words = f"share of runs that lost the best pattern, {first} less Dr.GRPO at the same speed"
    return lab.difference(words, gone.sel(arm=first, drop=True), gone.sel(arm="same speed", drop=True)).above(
        MATTERS
    )


def void(found: xr.DataArray) -> lab.Test:
    """That answering gains from a success rate of ½ on `[penalty, ...]`, for λ = ¼ and 4."""
    words = "success rate from which on answering gains, λ = ¼ and 4"
    return lab.exact(words, found.sel(penalty=[0.25, 4.0])).near(0.5, within=0.05)


def alike(answers: xr.DataArray) -> lab.Test:
    """That sampled training ends in answering as often under λ = ¼ as under 4 `[penalty, seed, record]`."""
    end = answers.isel(record=-1)
    words = "share of answering after 400 steps under λ = ¼ less that under 4"
    return lab.difference(words, end.sel(penalty=0.25, drop=True), end.sel(penalty=4.0, drop=True)).near(
        0, within=0.1
    )


def others(accuracy: xr.DataArray) -> lab.Evidence:
    """That larger groups are as accurate as the smallest `[G, budget, seed]`."""
    smallest, larger = accuracy.isel(G=0, drop=True), accuracy.isel(G=slice(1, None))
    words = "accuracy with larger groups less that with groups of 2"
    return lab.difference(words, larger, smallest).near(0, within=MATTERS).per("budget", "G")

"""Tests of the study of preferences, each for its claim and for its controls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy import stats

from qra_jax.studies import lab
from qra_jax.studies.credit._preference_paths import START, factor

ANGLE, NEAR, MATCH = 5.0, 0.01, 0.05
"""Degrees, difference in a share, and in accuracy, that matter."""
RANK, SORTS = 0.5, 0.3
"""Rank correlations of a good score, and of one that sorts pairs at all."""


def moving(paths: xr.Dataset) -> xr.DataArray:
    """Largest angle of each path to the policy gradient, until nine tenths of its gain: `[..., beta]`."""
    early = paths.gain <= 0.9 * paths.gain.isel(record=-1)
    known = paths.angle.notnull() & paths.gain.notnull()
    return paths.angle.where(early, 0.0).where(known).max(["record", "question"], skipna=False)


def goes_along(data: lab.Data, pairs: str, least: float = 0.0) -> lab.Evidence:
    """Paths of one kind of pairs keep to the direction of the policy gradient; for β from where pulls underflow."""
    seen = data.paths.sel(pairs=pairs, single=0.0)
    angle = moving(seen.sel(beta=seen.beta[seen.beta >= least]))
    return lab.exact("largest angle to the policy gradient, degrees", angle).below(ANGLE).per("beta")


def ends_at(data: lab.Data, where: str, least: float) -> lab.Evidence:
    """Both kinds of paths end at a policy, for all β but the smallest."""
    seen = data.paths.sel(single=0.0)
    seen = seen.sel(beta=seen.beta[seen.beta >= least])
    apart = abs(seen.end - seen[where]).max(["pattern", "question"], skipna=False)
    return lab.exact("largest difference in a share at the end", apart).below(NEAR)


def takes_over(share: xr.DataArray) -> lab.Evidence:
    """A longer pattern of lower success rate has more than half of all somewhere."""
    worse = xr.where(share.long < share.short, share, 0.0)
    return lab.somewhere(lab.exact("share of a longer, worse pattern at the end", worse).above(0.5))


def foretold(takeovers: xr.Dataset, *, counted: bool) -> lab.Evidence:
    """Odds say which longer patterns gain: by themselves, or times the mean number of right rollouts."""
    share = takeovers.share.sel(length=2.0)
    share = share.sel(group=share.group[share.group > 2])
    long, short = (p / (1 - p) for p in (share.long, share.short))
    better = long * (factor(share.short, share.group) if counted else 1.0) / short
    right = ((better > 1) == (share > START)).astype(float).where(share.notnull())
    name = "share of cells of the grid in which it says whether the longer pattern gains"
    return lab.exact(name, right.mean(skipna=False)).above(0.99)


def falls(change: xr.DataArray) -> lab.Evidence:
    """The chosen answer of a pair falls in more than one of twenty policies."""
    fell = lab.where_known(change < 0, change)
    return lab.share("share of pairs whose chosen answer falls", fell).above(0.05)


def ranks(singles: xr.Dataset, scores: Sequence[str]) -> lab.Evidence:
    """Scores of pairs rank how far their chosen answers fall, over policies."""
    name, like = "rank correlation with the fall", singles.sel(alike=0.8, drop=True)
    found = {score: lab.correlation(name, like[score], -like.chosen) for score in scores}
    return lab.stacked("score", found).above(RANK).per("score")


def crowded(data: lab.Data, single: float) -> lab.Evidence:
    """The mean over all chosen answers of a question is half a nat below its start in the end."""
    chosen = data.paths.chosen.sel(pairs="offline", beta=0.1, single=single)
    change = (chosen.isel(record=-1) - chosen.isel(record=0)).max("question", skipna=False)
    return lab.exact("change of the mean log-likelihood of the chosen side, largest", change).below(-0.5)


def sorts(pushed: xr.Dataset, *, own: bool) -> lab.Evidence:
    """The score of a pair ranks how little its chosen side gains, over pairs of each network."""
    fall, score = (x.transpose("seed", "pair") for x in (-pushed.chosen, pushed.ches))
    if not own:
        score = score.copy(data=np.random.default_rng(0).permuted(score.values, axis=1))
    known = (fall + score.values).notnull().all("pair")
    ranked = (stats.rankdata(x.values, axis=1) for x in (score, fall))
    each = [np.corrcoef(*rows)[0, 1] for rows in zip(*ranked, strict=True)]
    found = known.astype(float).copy(data=each).where(known)
    return lab.mean("rank correlation of CHES with the fall, over pairs", found).above(SORTS)


def at_best(values: xr.DataArray, accuracy: xr.DataArray) -> xr.DataArray:
    """Of each arm and seed at the rate that is best on average for the other seeds."""
    others = (accuracy.sum("seed", skipna=False) - accuracy).fillna(np.inf)
    which = others.drop_vars("step", errors="ignore").argmax("rate")
    return values.isel(rate=which).drop_vars("rate")


def reaches(trained: xr.Dataset, step: int) -> lab.Evidence:
    """Accuracy of iterated DPO at a step is no less than that of GRPO at the end."""
    best = at_best(trained.accuracy, trained.accuracy.isel(step=-1))
    own = best.sel(arm="DPO, iterated", drop=True).isel(step=step, drop=True)
    other = best.sel(arm="GRPO", drop=True).isel(step=-1, drop=True)
    return lab.difference("accuracy, less that of GRPO", own, other).above(-MATCH)


def longer(trained: xr.Dataset, arm: str) -> lab.Evidence:
    """Samples of an arm are longer than those of DPO on random pairs."""
    length = trained.length.isel(window=-1)
    own, other = (length.sel(arm=name, drop=True) for name in (arm, "DPO, iterated"))
    return (
        lab.difference("tokens of a sample, less those under random pairs", own, other).above(0.3).per("rate")
    )


def leaks(trained: xr.Dataset, arm: str) -> lab.Evidence:
    """Mass of sequences in no pair at the end of an arm."""
    mass = trained.outside.isel(step=-1).sel(arm=arm, drop=True)
    return lab.mean("mass of sequences in no pair at the end", mass).above(0.05).per("rate")

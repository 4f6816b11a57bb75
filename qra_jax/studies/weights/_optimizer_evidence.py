"""What the claims of the study of gradient descent and Adam are decided by."""

from __future__ import annotations

import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._fair import on_common
from qra_jax.studies.weights._optimizers import ADAM, AGAIN, SFT, SGD

REPORTED = 0.5 / 9
"""The largest share of weights changed by gradient descent over that by Adam, of what the paper reports."""
LOSS, FEWER, TWIN, ALIGNED, FLAT = 0.05, 0.5, 0.1, 0.1, 2.0
"""A loss of accuracy that matters; far fewer; differences of shares and of cosines that matter; a ratio of adaptive
rates that does."""


def loss(data: lab.Data, arm: str, other: str, part: float = 1.0) -> xr.DataArray:
    """Accuracy after a part of the steps, less that of another arm at the end; unknown where a rate may be bettered."""
    accuracy = data.runs.accuracy.where(data.runs.inside)
    last = accuracy.sizes["step"] - 1
    first = accuracy.sel(arm=arm, drop=True).isel(step=round(part * last), drop=True)
    return first - accuracy.sel(arm=other, drop=True).isel(step=last, drop=True)


def matches(data: lab.Data, arm: str, part: float = 1.0) -> lab.Evidence:
    """That an arm of GRPO loses nothing that matters."""
    own = loss(data, arm, ADAM, part)
    return lab.mean("accuracy at the end, less that of Adam", own).above(-LOSS).per("task")


def loses(data: lab.Data, arm: str) -> lab.Evidence:
    """That an arm of SFT loses something that matters."""
    return (
        lab.mean("accuracy at the end, less that of SFT by Adam", loss(data, arm, SFT))
        .below(-LOSS)
        .per("task")
    )


def loses_less(data: lab.Data, grpo: str, sft: str, part: float = 1.0) -> lab.Evidence:
    """That an arm of GRPO loses less than one of SFT does after a part of its steps."""
    quantity = "accuracy at the end less that of Adam, in GRPO, less the same in SFT"
    both = loss(data, grpo, ADAM), loss(data, sft, SFT, part)
    return lab.difference(quantity, *both).above(LOSS).per("task")


def fewer(
    data: lab.Data, of: str, *, arm: str = SGD, update: str = "own", other: str = "own", bound: float = FEWER
) -> lab.Evidence:
    """That an arm has changed fewer weights than GRPO by Adam, by each criterion or at each norm."""
    share = data.runs[of].sel(when="end", drop=True).where(data.runs.inside)
    both = share.sel(arm=arm, update=update, drop=True), share.sel(arm=ADAM, update=other, drop=True)
    axis = {"share": "criterion", "at_norm": "norm"}[of]
    return lab.ratio("weights changed / by Adam", *both).below(bound).per("task", axis)


def matched(data: lab.Data, arm: str) -> lab.Evidence:
    """That an arm has changed fewer weights than GRPO by Adam at equal gain, in bfloat16."""
    near = data.runs.near.sel(arm=[SGD, ADAM, AGAIN])
    share = data.runs.share.sel(when="equal gain", criterion="bfloat16", update="own", drop=True)
    both = (share.where(data.runs.inside).sel(arm=one, drop=True) for one in (arm, ADAM))
    return on_common(lab.ratio, "weights changed / by Adam", near, *both).below(FEWER).per("task")


def as_twin(data: lab.Data, update: str) -> lab.Evidence:
    """That an update changes as many weights as its Gaussian twin, in bfloat16."""
    share = data.runs.share.sel(when="end", criterion="bfloat16", drop=True)
    both = (share.sel(update=one, drop=True) for one in (update, "Gaussian"))
    return lab.ratio("weights changed / by the twin", *both).near(1.0, within=TWIN).per("task", "arm")


def noise(data: lab.Data, gradient: str) -> lab.Evidence:
    """That gradients of GRPO add up to no longer a first moment than those with random signs."""
    own = data.moments.own.sel(arm=ADAM, drop=True)
    both = (own.sel(gradient=one, drop=True) for one in (gradient, "signs"))
    quantity = "cosine of the first moment with its gradient, less that of random signs"
    return lab.difference(quantity, *both).below(ALIGNED).per("task")


def less_aligned(data: lab.Data, first: str, second: str) -> lab.Evidence:
    """That gradients of two batches, and the moment and the next gradient, are less aligned in one arm than another."""
    both = {"two batches": data.moments.fresh, "the moment before": _next(data)}
    quantity = f"cosine with the gradient, less that of {second}"
    cosines = {
        name: lab.difference(quantity, *(x.sel(arm=arm, drop=True) for arm in (first, second)))
        for name, x in both.items()
    }
    return lab.stacked("of", cosines).below(-ALIGNED).per("task", "of")


def less_than_with_a_drift(data: lab.Data, arm: str) -> lab.Evidence:
    """The same of the moment, of an arm and of itself with a part added to its gradients that never changes."""
    own, drifting = (_next(data, gradient).sel(arm=arm, drop=True) for gradient in ("own", "with a drift"))
    quantity = "cosine with the gradient, less that with a drift"
    return lab.difference(quantity, own, drifting).below(-ALIGNED).per("task")


def _next(data: lab.Data, gradient: str = "own") -> xr.DataArray:
    """Cosine of the moment before a step and its gradient."""
    return data.moments["next"].sel(gradient=gradient, drop=True)


def less_spread(data: lab.Data, first: str, second: str, entries: str = "own") -> lab.Evidence:
    """That adaptive rates are nearer to each other in one arm than in another."""
    spread = data.moments.spread
    both = spread.sel(arm=first, entries=entries, drop=True), spread.sel(arm=second, entries="own", drop=True)
    quantity = f"ninth over first decile of adaptive rates / that of {second}"
    return lab.ratio(quantity, *both).below(1 / FLAT).per("task")


def flat(data: lab.Data, arm: str, entries: str = "own") -> lab.Evidence:
    """That adaptive rates are hardly further apart than with permuted gradients."""
    spread = data.moments.spread.sel(arm=arm, drop=True)
    both = (spread.sel(entries=one, drop=True) for one in (entries, "permuted"))
    return lab.ratio("ninth over first decile of adaptive rates / if permuted", *both).below(FLAT).per("task")

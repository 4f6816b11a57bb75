"""What the study of injected behaviours reads from its runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.data._injection_demos import FOUR, INJECTED, VANILLA
from qra_jax.studies.data._injection_steps import KINDS

HALF, TENTH, POINTS = 0.7, 0.1, 0.05
"""A correlation that explains half of the variance; one that is better by so much; points of accuracy that matter."""
DESCENT, OWN = KINDS[0], "from the step's own rollouts"
ACCURACY, OBJECTIVE = "accuracy", "normalised objective"
"""What a question gains: Δa, or Δa/√(a(1 − a)), with the standard deviation of before the step."""
Prediction = Callable[[xr.Dataset], xr.DataArray]


def root(one: xr.Dataset) -> xr.DataArray:
    """√(a(1 − a)), with a as the rollouts say it."""
    return np.sqrt(one.rate * (1 - one.rate))  # pyright: ignore[reportReturnType]


PREDICTIONS: dict[str, Prediction] = {
    "√(a(1 − a)) × kernel": lambda one: root(one) * one.kernel,
    "a(1 − a) × kernel": lambda one: root(one) ** 2 * one.kernel,
    "kernel alone": lambda one: one.kernel,
    "√(a(1 − a)) alone": root,
    "1 − a alone": lambda one: 1 - one.rate,
    "of another base": lambda one: (root(one) * one.kernel).roll(seed=1),
    "of another question": lambda one: _shuffled(root(one) * one.kernel),
}
"""What a question is said to gain, up to a factor; the last two are controls."""
FORMULA, PRODUCT, KERNEL, ROOT, HEADROOM, OTHER_BASE, OTHER = PREDICTIONS


def _shuffled(values: xr.DataArray) -> xr.DataArray:
    order = np.random.default_rng(0).permutation(values.sizes["question"])
    return values.copy(data=values.isel(question=order).transpose(*values.dims).values)


def correlations(measured: xr.DataArray, predicted: xr.DataArray, along: str = "question") -> xr.DataArray:
    """Pearson's correlation over questions; zero where one of them does not vary."""
    x, y = (one - one.mean(along, skipna=False) for one in (measured, predicted))
    size = ((x**2).mean(along, skipna=False) * (y**2).mean(along, skipna=False)) ** 0.5
    found = (x * y).mean(along, skipna=False) / size.where(size != 0, 1.0)
    return found.where(size.notnull())


def one_step(
    data: lab.Data, which: str, held: bool | None = None, kind: str | None = None, gains: str = ACCURACY
) -> xr.DataArray:
    """Correlation of predicted with measured changes by one step, `[kind, seed]`."""
    one = data.steps.sel(arm=FOUR, drop=True)
    predicted, gain = PREDICTIONS[which](one), one.gain
    if gains == OBJECTIVE:
        spread = (one.accuracy * (1 - one.accuracy)) ** 0.5
        gain = gain / spread.where(spread != 0, 1.0)
    if held is not None:
        predicted, gain = (
            x.isel(question=np.flatnonzero(one.held.values == held)) for x in (predicted, gain)
        )
    return correlations(gain if kind is None else gain.sel(kind=kind, drop=True), predicted)


def given(data: lab.Data, which: str) -> xr.DataArray:
    """Correlation over questions of what a step on one of them alone gives to the held-out ones, `[seed]`."""
    one = data.steps.sel(arm=FOUR, drop=True)
    rate = one.rate.isel(question=slice(one.sizes["asked"])).drop_vars("held").rename(question="asked")
    spread, along = np.sqrt(rate * (1 - rate)), one.given_kernel
    order = np.random.default_rng(0).permutation(one.sizes["asked"])
    said = {FORMULA: spread * along, KERNEL: along, ROOT: spread + 0 * along, OWN: one.own_given}
    said[OTHER] = said[FORMULA].copy(
        data=said[FORMULA].isel(asked=order).transpose(*said[FORMULA].dims).values
    )
    return correlations(one.given, said[which], "asked")


def gains(data: lab.Data, at: int = -1) -> xr.DataArray:
    """Gain of every question by RL so far, in networks that know four procedures, exact, `[seed, question]`."""
    path = data.runs.exact.sel(arm=FOUR, drop=True)
    return (path.isel(step=at) - path.isel(step=0)).drop_vars("step", errors="ignore")


def whole_run(data: lab.Data, which: str, at: int = -1) -> xr.DataArray:
    """Correlation of what is predicted in the base with the gain of a run, `[seed]`."""
    return correlations(gains(data, at), PREDICTIONS[which](data.steps.sel(arm=FOUR, drop=True)))


def accuracy(data: lab.Data, arm: str, when: str) -> xr.DataArray:
    """Mean accuracy of an arm after SFT, after RL, or after more SFT, `[seed]`."""
    one = data.runs.sel(arm=arm, drop=True)
    if when == "more SFT":
        return one.more_accuracy.mean("question", skipna=False)
    mean = one.accuracy.mean("question", skipna=False)
    return mean.isel(step={"SFT": 0, "RL": -1}[when], drop=True)


def gain(data: lab.Data, arm: str, by: str = "RL") -> xr.DataArray:
    """Gain in mean accuracy of an arm, `[seed]`."""
    return accuracy(data, arm, by) - accuracy(data, arm, "SFT")


def parts(data: lab.Data, arm: str) -> tuple[xr.DataArray, xr.DataArray]:
    """What selection and what rising success rates contribute to the gain of RL, `[seed]` each.

    Patterns are first tokens; Σ Δπ p̄ and Σ π̄ Δp, with means of before and after.
    """
    one = data.runs.sel(arm=arm, drop=True)
    used, success = ((x.isel(step=0, drop=True), x.isel(step=-1, drop=True)) for x in (one.used, one.success))
    chosen = ((used[1] - used[0]) * (success[0] + success[1]) / 2).sum("pattern", skipna=False)
    better = ((success[1] - success[0]) * (used[0] + used[1]) / 2).sum("pattern", skipna=False)
    return chosen, better


def told(data: lab.Data, which: str, gains: str) -> lab.Evidence:
    """Whether a prediction has a large correlation with changes by one step, for each kind of step."""
    found = {
        name: one_step(data, which, held, gains=gains)
        for name, held in (("in the batch", False), ("held out", True))
    }
    both = xr.concat(list(found.values()), xr.DataArray(list(found), dims="questions", name="questions"))
    words = f"correlation of predicted and measured change of the {gains} over questions"
    return lab.mean(words, both).above(HALF).per("kind")


def descends(data: lab.Data, which: str) -> lab.Evidence:
    """Whether it has by gradient descent over all questions."""
    words = "correlation of predicted and measured change of accuracy over all questions"
    return lab.mean(words, one_step(data, which, kind=DESCENT)).above(HALF)


def gives(data: lab.Data, which: str) -> lab.Evidence:
    """Whether a prediction has a large correlation with what a step on one question gives to others."""
    words = "correlation of predicted and measured gain of held-out questions, over questions that a step is made on"
    return lab.mean(words, given(data, which)).above(HALF)


def carries(data: lab.Data, which: str) -> lab.Evidence:
    """Whether a part predicts one step as well as the whole formula."""
    first, second = (one_step(data, one, kind=DESCENT) for one in (FORMULA, which))
    return lab.difference("correlation of the formula less that of a part", first, second).below(TENTH)


def lasts(data: lab.Data, which: str) -> lab.Evidence:
    """Whether a prediction in the base has a large correlation with the gain of a run."""
    words = "correlation of the prediction in the base with the gain of a run"
    return lab.mean(words, whole_run(data, which)).above(HALF)


def headroom(first: xr.DataArray, second: xr.DataArray) -> lab.Evidence:
    """Whether 1 − a predicts better than the formula."""
    return lab.difference("correlation of 1 − a less that of the formula", first, second).above(TENTH)


def more(data: lab.Data, arm: str, other: str = VANILLA, by: str = "RL") -> lab.Evidence:
    """Whether an arm gains more than another."""
    words = f"gain in accuracy by {by}, {arm} less {other}"
    return lab.difference(words, gain(data, arm, by), gain(data, other, by)).above(POINTS)


def above(data: lab.Data, first: tuple[str, str], second: tuple[str, str]) -> lab.Evidence:
    """Whether an arm is more accurate at some time than another."""
    words = f"accuracy, {' after '.join(first)} less {' after '.join(second)}"
    return lab.difference(words, accuracy(data, *first), accuracy(data, *second)).above(POINTS)


def selects(data: lab.Data, arm: str) -> lab.Evidence:
    """Whether half of the gain of RL is selection."""
    chosen, better = parts(data, arm)
    return lab.pooled_share(f"share of selection in the gain of RL, {arm}", chosen, chosen + better).above(
        0.5
    )


def influences(data: lab.Data) -> lab.Evidence:
    """Whether the predicted gain of one step is larger after injected behaviours."""
    words = f"predicted gain of the objective by one step, {INJECTED} less {VANILLA}"
    return lab.difference(
        words, *(data.steps.co.sel(arm=one, drop=True) for one in (INJECTED, VANILLA))
    ).above(0)


def halves(data: lab.Data) -> lab.Evidence:
    """The same of two halves of the questions, drawn by lot for each network, after plain demonstrations."""
    first, second = (data.steps.halves.sel(arm=VANILLA, drop=True).isel(half=half) for half in range(2))
    return lab.difference("predicted gain, one half of the questions less the other", first, second).above(0)

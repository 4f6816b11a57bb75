r"""Can the rest of a run be read off its beginning?

AlphaRL moves the first direction of every update on to where accuracy is to be, RELEX fits a line to the coefficient of
the first direction over steps, ExPO goes on along W − W₀, and all weights are said to be straight lines in the step.
What each has to beat is to *hold the last* checkpoint that was seen: the rest of a run may be worth little.

What theory predicts: on the orbit of this package accuracy is no straight line in the step, and late gains slow down,
so that lines overshoot or fall short by the curvature. A random walk of weights, in which nothing is learnt, has four
fifths of its energy over steps on one direction (8/π²), a quarter of its weights with R² above .7, and PLS with one
component fits any accuracy in the sample with R² near one: linearity in the sample has no power, only the held-out
future counts.

The experiment: reference runs of GRPO with SGD and with Adam, and of SFT with and without noise in the sign of a
sequence. Of each a tenth, a fifth and two fifths are given; accuracy of the predicted end is exact. AlphaRL is run in
three variants, as its paper and its code differ; the target is its own line of accuracy. Claims are judged with Adam,
as in the papers.
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _futures_panels as drawn
from qra_jax.studies.weights._futures import ALPHA_RL, HOLD, LINE, RANK_3, RELEX, read_all

study = lab.Study(__name__, title="Extrapolation: what the beginning of a run says of its end")

RL, AGAIN, TAUGHT = "GRPO, Adam", "GRPO, Adam, again", ("SFT", "SFT, noisy")
ARMS = ("GRPO, SGD", RL, AGAIN, *TAUGHT)
LEAST, MOST, WORTH, STRAIGHT = 0.05, 0.9, 0.02, 0.7
"""Least gain of a run that is judged; share of the gain that is most of it; accuracy that matters; share of weights."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Accuracy of the predicted end, its distance from the actual one, and measures of linearity."""
    return read_all(run, ARMS)


def _gained(data: lab.Data, reached: xr.DataArray) -> lab.Estimate:
    """Share of the final gain that `[task, seed, rule]` accuracies have, over bases on which GRPO gains."""
    seen, rows = data.runs.sel(arm=RL, drop=True), {}
    gain = (seen.end - seen.base).where(seen.end - seen.base > LEAST)
    part = ((reached - seen.base) / gain).stack(run=("task", "rule"))
    for task, rule in part.run.values:
        one = part.sel(run=(task, rule)).reset_coords(drop=True)
        rows[f"{rule} ({task})"] = lab.mean("share of the final gain", one[one.notnull().values])
    return lab.stacked("run", rows)


def _reached(data: lab.Data, rules: tuple[str, ...], share: float) -> xr.DataArray:
    return data.runs.reached.sel(arm=RL, share=share, rule=list(rules), drop=True)


@study.claim(
    "From two fifths of a run of GRPO, AlphaRL, from the base and as released, reaches nine tenths of the final gain.",
    origin=papers.A_3,
)
def alpha_rl(data):
    return _gained(data, _reached(data, ALPHA_RL[:2], 0.4)).above(MOST).per("run")


@alpha_rl.null("hold the checkpoint of two fifths of the run")
def _(data):
    return _gained(data, _reached(data, (HOLD,), 0.4)).above(MOST).per("run")


@alpha_rl.positive("the end of a run with other random numbers")
def _(data):
    return _gained(data, data.runs.end.sel(arm=[AGAIN]).rename(arm="rule")).above(MOST).per("run")


def _short(data: lab.Data, rule: str) -> lab.Evidence:
    end = data.runs.end.sel(arm=RL, drop=True)
    both = _reached(data, (rule,), 0.2).isel(rule=0, drop=True), end
    return (
        lab.difference("accuracy of the predicted end less the actual one", *both).above(-WORTH).per("task")
    )


@study.claim(
    "From a fifth of a run of GRPO, RELEX predicts an end at most two points of accuracy below the actual one.",
    origin=papers.RELEX,
)
def relex(data):
    return _short(data, RELEX)


@relex.null("hold the checkpoint of a fifth of the run")
def _(data):
    return _short(data, HOLD)


def _ahead(data: lab.Data, reached: xr.DataArray, than: str) -> lab.Estimate:
    other = _reached(data, (than,), 0.4).isel(rule=0, drop=True)
    return lab.difference(f"accuracy of an end less that of {than!r}, from two fifths", reached, other)


@study.claim(
    "A higher rank, or a line of every weight, predicts an end no better than rank one, by two points of accuracy, "
    "from two fifths of the run.",
    origin=papers.RELEX_RANK,
)
def rank(data):
    return _ahead(data, _reached(data, (RANK_3, LINE), 0.4), RELEX).below(WORTH).per("task", "rule")


@rank.null("the actual end")
def _(data):
    return _ahead(data, data.runs.end.sel(arm=RL, drop=True), RELEX).below(WORTH).per("task")


@study.claim(
    "From two fifths of the run RELEX, a line of every weight or AlphaRL as released reaches an accuracy two points "
    "above that of the last checkpoint seen.",
    origin=lab.Asked(
        "What an extrapolation has to beat is to stop.", (papers.A_3, papers.RELEX, papers.LINEAR)
    ),
)
def beats_holding(data):
    rules = RELEX, LINE, ALPHA_RL[1]
    return lab.somewhere(_ahead(data, _reached(data, rules, 0.4), HOLD).above(WORTH))


@beats_holding.null("a Gaussian step as long as the way to the end")
def _(data):
    walked = data.runs.walked.sel(arm=RL, share=0.4, drop=True)
    return lab.somewhere(_ahead(data, walked, HOLD).above(WORTH))


@beats_holding.positive("the actual end")
def _(data):
    return lab.somewhere(_ahead(data, data.runs.end.sel(arm=RL, drop=True), HOLD).above(WORTH))


def _beyond(data: lab.Data, name: str) -> lab.Evidence:
    seen = data.runs.sel(arm=RL, drop=True)
    words = "accuracy beyond the end less that at the end"
    return lab.difference(words, seen[name], seen.end).above(WORTH).per("task", "alpha")


@study.claim(
    "Beyond the end of GRPO, at θ₁ + α(θ₁ − θ₀) with α of .3 or .5, accuracy is higher by two points.",
    origin=papers.EXPO,
)
def beyond(data):
    return _beyond(data, "beyond")


@beyond.null("a Gaussian step of that length")
def _(data):
    return _beyond(data, "aside")


@beyond.positive("the end against the base")
def _(data):
    seen = data.runs.sel(arm=RL, drop=True)
    words = "accuracy at the end less that of the base"
    return lab.difference(words, seen.end, seen.base).above(WORTH).per("task")


def _linear(data: lab.Data, measure: str, name: str = "straight", arm: str = RL) -> xr.DataArray:
    return data.runs[name].sel(measure=measure, arm=arm, drop=True)


def _straight(data: lab.Data, name: str) -> lab.Evidence:
    shares = _linear(data, "straight weights", name)
    return lab.mean("share of straight weights", shares).above(STRAIGHT).per("task")


@study.claim(
    "In runs of GRPO over seven tenths of the weights have R² above .7 against the step.",
    origin=papers.LINEAR,
)
def straight(data):
    return _straight(data, "straight")


@straight.null("random walks")
def _(data):
    return _straight(data, "walk")


def _fitted(data: lab.Data, name: str) -> lab.Evidence:
    own, walk = (_linear(data, "PLS R²", each) for each in (name, "walk"))
    return lab.difference("R² of PLS less that of random walks", own, walk).above(0.01).per("task")


@study.claim(
    "Accuracy is fitted by one component of PLS on the first left singular vector better than for random walks, by a "
    "hundredth in R².",
    origin=lab.Asked("R² of .91 is reported; in the sample random walks have more.", (papers.A_2,)),
)
def fitted(data):
    return _fitted(data, "straight")


@fitted.null("other random walks")
def _(data):
    return _fitted(data, "walk_again")


def _noise(data: lab.Data, noisy: str, plain: str) -> lab.Evidence:
    first, second = (_linear(data, "straight weights", arm=arm) for arm in (noisy, plain))
    return lab.difference("share of straight weights, noisy less plain", first, second).above(0.1).per("task")


@study.claim(
    "Noise in the sign of demonstrations makes SFT more linear, by a tenth of the weights.",
    origin=papers.LINEAR_NOISE,
)
def noise(data):
    return _noise(data, "SFT, noisy", "SFT")


@noise.null("GRPO with other random numbers against GRPO")
def _(data):
    return _noise(data, AGAIN, RL)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Accuracy of predicted ends; distance of the weights; measures of linearity beside random walks."""
    return drawn.every(data.runs.isel(task=-1))

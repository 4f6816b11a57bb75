r"""Does reinforcement learning need Adam, and does gradient descent leave more weights as they were?

The claims: in RL of language models plain gradient descent is as good as AdamW, each at its best learning rate, and
changes far fewer weights; momentum and adaptive rates do less in RL than in supervised learning.

Theory. A weight w counts as changed if rounding to bfloat16 shows it. For a small change δ the chance of that is |δ|
over the distance of neighbouring numbers, between |w|/256 and |w|/128: the share changed depends on ‖ΔW‖ and on how
unevenly ΔW is spread. A Gaussian update of the same norm in every matrix has the first and not the second: each share
stands beside that of its twin, and is read at several norms. The first moment has the gradient of its own step in it:
where all is noise of one size their cosine is √(1 − β₁²) = .44, so gradients with random signs go beside. If
all weights had equal noise, second moments would differ by sampling error alone, as if entries are permuted.

Prediction, before the run: most of RL's gradients is noise, and less of SFT's. Second moments are flat in neither:
inputs and units differ in size. In a small network, whose matrices have slopes of many sizes, one rate for all falls
behind Adam, in RL as in SFT. At one norm gradient descent changes fewer weights than Adam, whose steps are nearly as
long in every weight; at its own norm, in so small a network, it has changed nearly all.

The experiment: the reference runs; SFT by gradient descent, its rate chosen for each base by the other bases; and runs
of Adam in which two batches are drawn at every step. A small network tests direction, not the numbers of a large one.
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _optimizers as measure
from qra_jax.studies.weights._best_rates import of_others
from qra_jax.studies.weights._optimizer_panels import drawn
from qra_jax.studies.weights._optimizers import ADAM, AGAIN, SFT, SGD

study = lab.Study(__name__, title="SGD or Adam: reward, weights changed, and what Adam's moments are made of")

RATES, STEPS = lab.scale(1, 3), lab.scale(30, 60)
"""Rates of gradient descent that SFT tries; steps of the runs whose moments are read."""
NEAR, LOSS, FEWER, TWIN, ALIGNED, FLAT = 0.05, 0.05, 0.5, 0.1, 0.1, 2.0
"""How near in accuracy a checkpoint has to be; a loss that matters; far fewer; differences of shares and of cosines
that matter; a ratio of adaptive rates that does."""
LESS = "accuracy at the end, less that of Adam"


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Accuracy along training, and shares of weights changed at the end and at half of the gain of GRPO with Adam."""
    return measure.every_task(run, measure.changed)


@study.experiment()
def supervised(run: lab.Run) -> xr.Dataset:
    """Accuracy at the end of SFT by gradient descent, at several learning rates."""
    return measure.every_task(run, measure.by_descent, run(RATES))


@study.experiment()
def moments(run: lab.Run) -> xr.Dataset:
    """Cosines of gradients and first moments, and how far second moments differ, in GRPO and in SFT by Adam."""
    return measure.every_task(run, measure.learners, run(STEPS))


def _end(data: lab.Data, arm: str, part: float = 1.0) -> xr.DataArray:
    """Accuracy after a part of the steps."""
    accuracy = data.runs.accuracy.sel(arm=arm, drop=True)
    return accuracy.isel(step=round(part * (accuracy.sizes["step"] - 1)), drop=True)


def _matches(data: lab.Data, arm: str, part: float = 1.0) -> lab.Evidence:
    return lab.difference(LESS, _end(data, arm, part), _end(data, ADAM)).above(-LOSS).per("task")


@study.claim(
    "GRPO by gradient descent at its best rate ends at most five points of accuracy below GRPO by Adam at its best.",
    origin=papers.GEO_3,
)
def matches(data):
    return _matches(data, SGD)


@matches.null("gradient descent after a quarter of its steps")
def _(data):
    return _matches(data, SGD, 0.25)


@matches.positive("Adam again, with other random numbers")
def _(data):
    return _matches(data, AGAIN)


@study.claim(
    "SFT by gradient descent at its best rate ends more than five points of accuracy below SFT by Adam at its best.",
    origin=lab.Asked("If Adam matters no more in SFT, RL is no exception.", (papers.GEO_3,)),
)
def contrast(data):
    ends = data.supervised.accuracy
    return lab.difference(LESS, of_others(ends, ends), _end(data, SFT)).below(-LOSS).per("task")


@contrast.null("GRPO by Adam again, less GRPO by Adam")
def _(data):
    return lab.difference(LESS, _end(data, AGAIN), _end(data, ADAM)).below(-LOSS).per("task")


def _fewer(data: lab.Data, arm: str, when: str = "end", of: str = "share", own: str = "own") -> lab.Evidence:
    share = data.runs[of].sel(when=when, drop=True)
    if when == "matched":
        share = share.where(abs(data.runs.reached - data.runs.goal) < NEAR)
    both = share.sel(arm=arm, update=own, drop=True), share.sel(arm=ADAM, update="own", drop=True)
    axes = ("task", "norm")[: 1 + (of == "at_norm")]
    return lab.ratio("weights changed / by Adam", *both).below(FEWER).per(*axes)


@study.claim(
    "In bfloat16, GRPO by gradient descent has changed at most half as many weights as GRPO by Adam.",
    origin=papers.GEO_3_SPARSE,
)
def sparser(data):
    return _fewer(data, SGD)


@sparser.null("Adam again")
def _(data):
    return _fewer(data, AGAIN)


@sparser.positive("the largest tenth of the entries of that update")
def _(data):
    return _fewer(data, SGD, own="largest tenth")


@study.claim(
    "At half of the gain of GRPO by Adam, gradient descent has changed at most half as many weights.",
    origin=lab.Asked("A method that learns less changes less.", (papers.GEO_3_SPARSE,)),
)
def matched(data):
    return _fewer(data, SGD, "matched")


@matched.null("Adam again")
def _(data):
    return _fewer(data, AGAIN, "matched")


@study.claim(
    "Scaled to the same norm, the update of gradient descent changes at most half as many weights as Adam's.",
    origin=lab.Asked("The share changed depends on the norm.", (papers.GEO_3_SPARSE,)),
)
def same_norm(data):
    return _fewer(data, SGD, of="at_norm")


@same_norm.null("Adam again")
def _(data):
    return _fewer(data, AGAIN, of="at_norm")


@same_norm.positive("the largest tenth of the entries of that update, at the largest of the norms")
def _(data):
    return _fewer(data.select("runs", norm=slice(2, None)), SGD, of="at_norm", own="largest tenth")


def _as_twin(data: lab.Data, update: str) -> lab.Evidence:
    share = data.runs.share.sel(when="end", drop=True)
    both = (share.sel(update=one, drop=True) for one in (update, "Gaussian"))
    return lab.ratio("weights changed / by the twin", *both).near(1.0, within=TWIN).per("task", "arm")


@study.claim(
    "A Gaussian update of the same norm in every matrix changes as many weights, up to a tenth.",
    origin=lab.Asked("If it does, the share says nothing but the norm.", (papers.GEO_3_SPARSE,)),
)
def only_norm(data):
    return _as_twin(data, "own")


@only_norm.null("the largest tenth of the update's entries, at its norm")
def _(data):
    return _as_twin(data, "largest tenth")


def _own(data: lab.Data, arm: str, gradient: str = "own") -> lab.Evidence:
    own = data.moments.own.sel(arm=arm, drop=True)
    both = (own.sel(gradient=one, drop=True) for one in (gradient, "signs"))
    quantity = "cosine of the first moment with its gradient, less that of random signs"
    return lab.difference(quantity, *both).below(ALIGNED).per("task")


@study.claim(
    "In GRPO the first moment has the cosine with the gradient of its step that it has if signs are random, up to .1.",
    origin=lab.Asked("Noise alone has a cosine of .44: high ones say nothing of momentum.", (papers.GEO_3,)),
)
def noise(data):
    return _own(data, ADAM)


@noise.null("gradients to which a part is added that is as long and never changes")
def _(data):
    return _own(data, ADAM, "with a drift")


@noise.positive("gradients with other random signs")
def _(data):
    return _own(data, ADAM, "other signs")


def _noisier(data: lab.Data, first: str, second: str) -> lab.Evidence:
    both = (data.moments.fresh.sel(arm=arm, drop=True) for arm in (first, second))
    return lab.difference("cosine of the gradients of two batches", *both).below(-ALIGNED).per("task")


@study.claim(
    "Gradients of two batches are less aligned in GRPO than in SFT, by a cosine of .1 or more.",
    origin=lab.Asked("Momentum averages noise out: the more of it, the less one step says.", (papers.GEO_3,)),
)
def noisier(data):
    return _noisier(data, ADAM, SFT)


@noisier.null("GRPO again")
def _(data):
    return _noisier(data, AGAIN, ADAM)


def _flat(data: lab.Data, arm: str, entries: str = "own") -> lab.Evidence:
    spread = data.moments.spread.sel(arm=arm, drop=True)
    both = (spread.sel(entries=one, drop=True) for one in (entries, "permuted"))
    return lab.ratio("ninth over first decile of adaptive rates / if permuted", *both).below(FLAT).per("task")


@study.claim(
    "In GRPO the deciles of adaptive rates within a matrix are at most twice as far apart as with permuted gradients.",
    origin=lab.Asked("If second moments are flat, one rate for all weights would do.", (papers.GEO_3,)),
)
def flat(data):
    return _flat(data, ADAM)


@flat.null("SFT")
def _(data):
    return _flat(data, SFT)


@flat.positive("gradients permuted once more")
def _(data):
    return _flat(data, ADAM, "permuted again")


@study.figure
def draw(data: lab.Data) -> Figure:
    """Accuracy; shares changed against the norm; cosines; second moments: of the last task."""
    return drawn(data)

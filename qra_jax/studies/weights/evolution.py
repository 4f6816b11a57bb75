r"""Do evolution strategies learn more than GRPO, vary less, cover more, and drift further off the task?

The claims: evolution strategies on all weights, 30 members, greedy answers, outperform RL of language models; their
runs vary less; they cover more and drift further off the task.

Theory. A step is Δθ = (η/M) Σ_m z_m ε_m with Σ z_m = 0, Σ z_m² = M: whatever the rewards, E‖Δθ‖² = η² n/M in n weights,
and T steps in which not all members earn the same are a random walk of norm η√(nT/M). Of the gradient it follows what
lies in the M directions that were drawn, M/n of the squared norm. So most of the way is a walk that the reward does
not see: it ought to drift like a Gaussian update of the same norm. An arm that learns less varies less, keeps more of
what the base could do, and is nearer to it for that alone: spread is read per gain, drift at the same gain as well, and
half a walk says what the norm does (KL falls with its square).

Prediction, before the run: at equal rollouts GRPO gains more. Evolution's accuracy varies less, but not per gain. Its
norm is the walk's, and so is its drift; it is more than GRPO's off the task, above all at equal gain. It covers less
on questions that are asked.

The experiment: the reference runs, whose arms take as many rollouts. Pass@k of 64 tries by the unbiased estimator;
KL to the base, nats a token, on right announced sequences of questions asked and held out, on sequences whose answer
began without the marker (never paid), and on random tokens. Spread is over random numbers of training on one base; the
base is the unit. A small network tests direction and condition: with n larger the walk is longer still.
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _drift as measure
from qra_jax.studies.weights._drift import AGAIN, BASE, ES, FURTHER, GRPO, HALF, ONE_RUN, OTHER, WALK
from qra_jax.studies.weights._drift_panels import drawn

study = lab.Study(
    __name__, title="Evolution strategies beside GRPO: reward, spread, coverage, drift off the task"
)

POINTS, FEWER, MORE, LIKE, TRIES = 0.02, 0.5, 2.0, 0.1, 16
"""A difference that matters; half and twice; relative difference of norms that matters; tries of coverage."""
OFF = ("held out", "unannounced", "random tokens")
"""Kinds of sequences off the task."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Both methods at the end and at half of the smaller of their gains, beside random walks as long as evolution's."""
    return measure.compared(run)


@study.experiment()
def again(run: lab.Run) -> xr.Dataset:
    """Accuracy at the end of pairs of runs of a base that differ in their random numbers alone."""
    return measure.repeated(run, run(lab.scale(False, True)))


def _more(data: lab.Data, first: str, second: str) -> lab.Evidence:
    accuracy = data.runs.accuracy.sel(when="end", set="asked", drop=True)
    both = (accuracy.sel(arm=arm, drop=True) for arm in (first, second))
    return lab.difference(f"accuracy, less that of {second}", *both).above(POINTS).per("task")


@study.claim(
    "With as many rollouts evolution strategies end two points of accuracy or more above GRPO.",
    origin=papers.ES,
)
def outperforms(data):
    return _more(data, ES, GRPO)


@outperforms.null("GRPO again, above GRPO")
def _(data):
    return _more(data, AGAIN, GRPO)


@outperforms.positive("GRPO, above the base")
def _(data):
    return _more(data, GRPO, BASE)


@study.claim(
    "Evolution strategies end two points of accuracy or more above a random walk as long.",
    origin=lab.Asked("Most of the way is a random walk.", (papers.ES,)),
)
def learns(data):
    return _more(data, ES, WALK)


@learns.null("another random walk")
def _(data):
    return _more(data, OTHER, WALK)


@learns.positive("GRPO, above that random walk")
def _(data):
    return _more(data, GRPO, WALK)


def _spread(data: lab.Data, pair: str, per_gain: bool = False) -> lab.Evidence:
    accuracy = data.again.accuracy
    apart = accuracy.isel(key=0, drop=True) - accuracy.isel(key=1, drop=True)
    gain = accuracy.mean("key", skipna=False) - data.again.start

    def ratio(*arrays: xr.DataArray) -> Any:
        first, second, own, other = (x.mean("seed", skipna=False) for x in arrays)
        scale = other.where(other > 0) / own.where(own > 0) if per_gain else 1.0
        return np.sqrt(first / second) * scale

    arrays = [x.sel(pair=name, drop=True) for x in (apart**2, gain) for name in (pair, GRPO)]
    name = f"spread over random numbers{' per gain' * per_gain} / GRPO's"
    return lab.statistic(name, ratio, *arrays, to=np.log, back=np.exp).below(FEWER)


@study.claim(
    "Accuracy at the end varies from run to run at most half as much as with GRPO, on one base.",
    origin=papers.ES_SPREAD,
)
def steadier(data):
    return _spread(data, ES)


@steadier.null("further runs of GRPO")
def _(data):
    return _spread(data, FURTHER)


@study.claim(
    "Per gain, accuracy at the end varies from run to run at most half as much as with GRPO, on one base.",
    origin=lab.Asked("What learns nothing does not vary.", (papers.ES_SPREAD,)),
)
def steadier_per_gain(data):
    return _spread(data, ES, per_gain=True)


@steadier_per_gain.null("further runs of GRPO")
def _(data):
    return _spread(data, FURTHER, per_gain=True)


@steadier_per_gain.positive("the last two checkpoints of one run of GRPO")
def _(data):
    return _spread(data, ONE_RUN, per_gain=True)


def _covers(data: lab.Data, arm: str, k: int = TRIES, other: int = TRIES) -> lab.Evidence:
    passed = data.runs.passed.sel(when="end", drop=True)
    both = passed.sel(arm=arm, k=k, drop=True), passed.sel(arm=GRPO, k=other, drop=True)
    return lab.difference(f"pass@{k}, less GRPO's", *both).above(POINTS).per("task", "set")


@study.claim(
    "At the end evolution strategies solve more questions in sixteen tries than GRPO, by two points or more.",
    origin=papers.ES_DRIFT,
)
def covers(data):
    return _covers(data, ES)


@covers.null("GRPO again")
def _(data):
    return _covers(data, AGAIN)


@covers.positive("GRPO in sixteen tries, against a single one")
def _(data):
    return _covers(data, GRPO, other=1)


def _drifts(data: lab.Data, arm: str, when: str) -> lab.Evidence:
    runs = data.runs.sel(when=when, kind=list(OFF), drop=True)
    accuracy = runs.accuracy.sel(set="asked", drop=True)
    own, other, base = (accuracy.sel(arm=name, drop=True) for name in (arm, GRPO, BASE))
    same = (abs(own - other) < POINTS) & (other - base > POINTS / 2) if when == "matched" else own.notnull()
    both = (runs.kl.sel(arm=name, drop=True).where(same) for name in (arm, GRPO))
    return lab.ratio("KL to the base / GRPO's", *both).above(MORE).per("task", "kind")


@study.claim(
    "At the end the KL to the base is at least twice GRPO's on sequences off the task.",
    origin=papers.ES_DRIFT,
)
def drifts(data):
    return _drifts(data, ES, "end")


@drifts.null("GRPO again")
def _(data):
    return _drifts(data, AGAIN, "end")


@study.claim(
    "At the same gain the KL to the base is at least twice GRPO's on sequences off the task.",
    origin=lab.Asked("What learns less is nearer to the base.", (papers.ES_DRIFT,)),
)
def drifts_for_its_gain(data):
    return _drifts(data, ES, "matched")


@drifts_for_its_gain.null("GRPO again")
def _(data):
    return _drifts(data, AGAIN, "matched")


def _walks(data: lab.Data, arm: str) -> lab.Evidence:
    length = data.runs.length.sel(when="end", arm=arm, drop=True)
    return lab.ratio("‖ΔW‖ / η√(nT/M)", length, data.runs.walk).near(1.0, within=LIKE).per("task")


@study.claim(
    "The update of evolution strategies is as long as a random walk of its T steps with rewards that differ, "
    "η√(nT/M), up to a tenth.",
    origin=lab.Derived("docstring of the study: z has mean 0 and variance 1, whatever the rewards"),
)
def walks(data):
    return _walks(data, ES)


@walks.null("GRPO's update")
def _(data):
    return _walks(data, GRPO)


def _as_walk(data: lab.Data, arm: str) -> lab.Evidence:
    kl = data.runs.kl.sel(when="end", kind=list(OFF), drop=True)
    both = (kl.sel(arm=name, drop=True) for name in (arm, WALK))
    return lab.ratio("KL to the base / a random walk's", *both).between(FEWER, MORE).per("task", "kind")


@study.claim(
    "Off the task the KL to the base is that of a random walk of the same norm, up to a factor of two.",
    origin=lab.Asked("Then drift is what the norm alone gives.", (papers.ES_DRIFT,)),
)
def drifts_as_a_walk(data):
    return _as_walk(data, ES)


@drifts_as_a_walk.null("half that walk")
def _(data):
    return _as_walk(data, HALF)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Accuracy; coverage; drift; spread: of the last task."""
    return drawn(data)

r"""Does it pay to train the unembedding first, and everything after?

Classifier-first RL trains W alone for about a seventh of all steps, and then everything. It is said to be faster and to
make more confident, and not for reasons of norm or drift of features. Theory predicts:

- The features move by G = W J_φ J_φ′ᵀ Wᵀ. A first stage that turns W towards what is rewarded makes the errors that
  features get larger and better directed, so that the second stage is faster, *through W in G's path*. With W₀ in its
  place there (`kernel.FixedFeedback`) no more should be left than W itself has learnt.
- Stage 1 learns less than everything would in the same steps. Adam takes steps of a given size in whatever trains, so
  that a larger learning rate makes up for much: the gain should be smaller against plain training at *its* best rate
  than at the same rate, and both have the same *total* budget here.
- Where features are alike, W learns what all contexts have in common, and stage 1 makes all of them confident; where
  they vary, it learns contexts one by one, as everything does, and should not help.
- Adam divides slopes by their size, so that a scale of W all but drops out: putting ‖W‖ back before stage 2 changes
  next to nothing.

The experiment: networks whose questions have best patterns of their own, trained by GRPO with Adam on the choice of a
pattern, at several rates, with features as they are, or with marks that make them apart or alike where patterns
are chosen (`kernel.alike`; what W learns along marks does not enter G). Each arm has the
rate with the best mean reward *of the other bases*. Arms: plain; plain with Adam started afresh when stage 1 would end;
classifier first; the same with ‖W‖ put back; both with W₀ in G's path. A gain is of the mean reward of asked questions
over the whole budget; confidence is of held-out questions, at the end, and where reward is the same for all.
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _classifier_panels as drawn
from qra_jax.studies.weights._best_rates import at_equal, best, speed
from qra_jax.studies.weights._stages import (
    ARMS,
    FIRST,
    FIRST_FIXED,
    PLAIN,
    PLAIN_FIXED,
    RESCALED,
    RESTARTED,
    read_all,
)

study = lab.Study(
    __name__, title="Classifier first: the unembedding alone for a seventh of the budget, then everything"
)

GAIN, NATS, EQUAL, AS_FAR = 0.02, 0.05, 0.6, 1.5
"""Points of reward and nats of entropy that matter; reward at which arms are compared; factor of drift."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Reward and entropy along training in every arm, at every rate; drift of features; one program."""
    return read_all(run)


def _gain(data: lab.Data, arm: str, than: str = PLAIN) -> xr.DataArray:
    return best(data.runs, speed(data.runs), arm) - best(data.runs, speed(data.runs), than)


def _faster(data: lab.Data, gain: xr.DataArray) -> lab.Evidence:
    return (
        lab.mean("further mean reward over the budget, each arm at its best rate", gain)
        .above(GAIN)
        .per("features")
    )


def _natural(values: xr.DataArray) -> xr.DataArray:
    """Values of networks without marks: what W learns along these does not enter G."""
    return values.sel(features="as they are", drop=True)


def _slow(data: lab.Data) -> xr.DataArray:
    """What plain training gains by its best rate over its lowest one."""
    slowest = speed(data.runs).sel(arm=PLAIN, drop=True).isel(rate=0, drop=True)
    return best(data.runs, speed(data.runs), PLAIN) - slowest


@study.claim(
    "Classifier first is faster than plain training, each at its best rate and in the same number of steps in all.",
    origin=papers.NTK_3,
)
def faster(data):
    return _faster(data, _gain(data, FIRST))


@faster.null("plain training with Adam started afresh after as many steps")
def _(data):
    return _faster(data, _gain(data, RESTARTED))


@faster.positive("plain training at its best rate against its lowest one")
def _(data):
    return _faster(data, _slow(data))


def _held(data: lab.Data) -> xr.DataArray:
    """Entropy of held-out questions at the end."""
    return data.runs.entropy.sel(asked="held out", drop=True).isel(step=-1, drop=True)


def _surer(data: lab.Data, arm: str) -> lab.Evidence:
    less = best(data.runs, _held(data), PLAIN) - best(data.runs, _held(data), arm)
    return lab.mean("held-out entropy after plain training less that of the arm, nats", less).above(NATS)


@study.claim(
    "Classifier first makes a network more confident in contexts never asked than plain training does.",
    origin=papers.NTK_3,
)
def surer(data):
    return _surer(data, FIRST).per("features")


@surer.null("plain training with Adam started afresh after as many steps")
def _(data):
    return _surer(data, RESTARTED)


@surer.positive("the start of training in the place of its end")
def _(data):
    first = data.runs.entropy.sel(asked="held out", arm=PLAIN, drop=True).isel(step=0, rate=0, drop=True)
    less = first - best(data.runs, _held(data), PLAIN)
    return lab.mean("fall of held-out entropy by plain training, nats", less).above(NATS)


def _equal(data: lab.Data, arm: str) -> lab.Evidence:
    less = best(data.runs, at_equal(data.runs, EQUAL), PLAIN) - best(
        data.runs, at_equal(data.runs, EQUAL), arm
    )
    return lab.mean("held-out entropy of plain training less that of the arm at reward .6, nats", less).above(
        NATS
    )


@study.claim(
    "At equal reward classifier first is more confident in contexts never asked than plain training.",
    origin=lab.Asked("More reward makes more confident by itself.", (papers.NTK_3,)),
)
def equal(data):
    return _equal(data, FIRST).per("features")


@equal.null("plain training with Adam started afresh after as many steps")
def _(data):
    return _equal(data, RESTARTED)


@study.claim(
    "Putting the norm of the unembedding back before stage 2 changes nothing: mean reward stays within .02.",
    origin=papers.NTK_3_MECHANISM,
)
def norm(data):
    gain = _natural(_gain(data, RESCALED, FIRST))
    return lab.mean("mean reward with the norm put back less that without", gain).near(0, within=GAIN)


@norm.null("plain training at its best rate against its lowest one")
def _(data):
    return lab.mean("mean reward at the best rate less that at the lowest", _natural(_slow(data))).near(
        0, within=GAIN
    )


def _drift(data: lab.Data, values: xr.DataArray) -> lab.Evidence:
    plain = _natural(best(data.runs, data.runs.drift, PLAIN))
    name = "drift of features (1 less their cosine with those of the start) over that of plain training"
    return lab.ratio(name, _natural(values), plain).between(1 / AS_FAR, AS_FAR)


@study.claim(
    "Features drift as far as in plain training, each at its best rate: 1 less their cosine with those of the start is "
    "the same within a factor of 1.5.",
    origin=papers.NTK_3_MECHANISM,
)
def drift(data):
    return _drift(data, best(data.runs, data.runs.drift, FIRST))


@drift.null("plain training at its lowest rate")
def _(data):
    return _drift(data, data.runs.drift.sel(arm=PLAIN, drop=True).isel(rate=0, drop=True))


def _through(gain: xr.DataArray, without: xr.DataArray) -> lab.Evidence:
    name = "what the first stage gains less what it gains without that, features as they are"
    return lab.mean(name, _natural(gain - without)).above(GAIN)


@study.claim(
    "The first stage works through the unembedding in the path of G: with W₀ there it gains .02 less, or more.",
    origin=lab.Derived("G = W J_φ J_φ′ᵀ Wᵀ", (papers.NTK_3,)),
)
def through(data):
    return _through(_gain(data, FIRST), _gain(data, FIRST_FIXED, PLAIN_FIXED))


@through.null("the norm put back in the place of W₀ in G's path")
def _(data):
    return _through(_gain(data, FIRST), _gain(data, RESCALED))


@through.positive("the lowest rate in the place of W₀ in G's path")
def _(data):
    return _through(_slow(data), 0 * _slow(data))


def _alike(data: lab.Data, arm: str) -> lab.Evidence:
    gain = _gain(data, arm)
    more = gain.sel(features="alike", drop=True) - gain.sel(features="apart", drop=True)
    return lab.mean("gain where features are alike less gain where they vary", more).above(GAIN)


@study.claim(
    "Classifier first gains more where features are alike than where they vary.",
    origin=lab.Asked("It is said to make use of features that vary little.", (papers.NTK_2, papers.NTK_3)),
)
def alike(data):
    return _alike(data, FIRST)


@alike.null("plain training with Adam started afresh after as many steps")
def _(data):
    return _alike(data, RESTARTED)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Reward along training; gains of all arms; by rate; confidence against reward."""
    figure, ((paths, gains), (rates, confidence)) = plot.new((9.6, 7.2), nrows=2, ncols=2)
    names, runs = [PLAIN, RESTARTED, FIRST], data.runs
    label = xr.DataArray(names, dims="arm", name="arm")
    reward, entropy = (
        xr.concat([_natural(best(runs, runs[of].sel(asked=asked, drop=True), arm)) for arm in names], label)
        for of, asked in (("reward", "asked"), ("entropy", "held out"))
    )
    drawn.paths(reward, paths, gain=_natural(_gain(data, FIRST)))
    rows = {arm: _gain(data, arm, PLAIN_FIXED if arm == FIRST_FIXED else PLAIN) for arm in list(ARMS)[1:5]}
    drawn.gains(
        xr.concat(list(rows.values()), xr.DataArray(list(rows), dims="rows", name="rows")),
        gains,
        matters=GAIN,
    )
    drawn.rates(_natural(speed(runs)).sel(arm=[PLAIN, FIRST]), rates)
    at = at_equal(runs, EQUAL)
    less = _natural(best(runs, at, PLAIN) - best(runs, at, FIRST))
    drawn.confidence(reward, entropy, confidence, less=less, equal=EQUAL)
    return figure

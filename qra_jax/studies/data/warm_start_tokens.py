r"""Warm starts on tokens: do more distinct procedures at equal demonstrations help RL, or does covering the best one?

Tailor claims that a warm start with diverse reasoning primitives of high quality makes RL more sample-efficient and
its end higher. In tables of patterns with fixed success rates (`primitives`) diversity helped only by covering the
best pattern: whatever else it added was one more rival.

*Expected, written before the run.* Here a primitive is a procedure of the arithmetic task; networks have learnt all
four to unequal degrees, and hardly open three of them. SFT on m of them gives each the share 1/m of the demonstrations
and, by the tabular theory, nearly that share of the policy, and does not touch success rates p. RL then moves along
the orbit to the best rate among those taught.

1. *End.* max of p over those taught: it rises with m where the best is not known, by a factor of 1.8 from one
   procedure to four, by the rates of these bases. *Inclusion, not number*: of warm starts with the network's best
   procedure all end alike, and best in and best out differ at each m.
2. *Start.* By symmetry pass@1 is the mean rate for every m; pass@16 rises with m, as procedures solve different
   questions.
3. *Speed.* Against one procedure at random more are faster, as three of four warm starts never get there; against the
   best one alone slower, as its share starts at 1/m: by log m over the gap for natural gradients, by more for GRPO.
4. *Who wins.* The best rate among those taught, whose rate is the end. The best differs between networks, so that four
   beat the procedure that is best in other networks on average.
5. With answers of other questions the shares are taught all the same, and rates are not touched: the end is the same.

On tokens SFT and RL can also teach and spoil what procedures can do, which no table knows; where a prediction fails,
this is why or it is not. SFT in place of RL keeps shares at 1/m, and two copies of one procedure are one primitive:
neither should gain.

*Experiment.* Bases: networks that know sums by all procedures, taught on to guess in 94 of 100 sequences. All 15 sets
of procedures are shown, each with the same number of single demonstrations; every procedure has the same part in all
sizes m, so that tokens are equal, too, on average over sets. Then GRPO, equally long for all; answers are paid with or
without the marker. Accuracies and rates are sampled on fresh questions like those of training, the same ones for all
warm starts of a network. Controls: SFT on the same set in place of RL, with as many sequences; two copies of one
procedure, with and without the marker; the base sampled twice; demonstrations that follow other questions. The network
is the unit of replication, and ratios of accuracies are compared, as accuracies differ between networks by a factor of
eight.

*What was seen before.* A pilot (one set of each size, three learning rates) chose learning rates and lengths, and the
rates of the bases were known: the factor of 1.8 comes from them. All this was before the full run, for which the
predictions were written; no record says that they were worded before the pilot, so that they are to be read as made
with it known. They have not been edited since; what has come of them the claims say.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.data import _warm_evidence as read, _warm_networks, _warm_panels
from qra_jax.studies.data._warm_evidence import ALL
from qra_jax.studies.data._warm_networks import NONE, SHUFFLED, Size

study = lab.Study(
    __name__, title="Warm starts on tokens: the number of procedures shown, or the best one among them?"
)

SIZE = lab.scale(Size(20, 5, 10, 5, 16, 16, 2), Size(150, 40, 80, 5, 48, 16, 2))
WORTH, WAIT, MOST = 1.2, 1 / 8, 0.5
"""Ratio of accuracies that matters, a fifth, where theory expects 1.8; share of the run that matters as a wait; half of
the way from the mean to the best rate."""
DERIVED = lab.Derived("this study's text: the orbit from shares 1/m", (papers.PRIM,))


@study.experiment()
def warm(run: lab.Run) -> xr.Dataset:
    """Every warm start of every network, before and after RL; SFT in place of RL; the base, sampled again."""
    return _warm_networks.trained(run, run(SIZE))


def _more(words: str, values: xr.DataArray) -> lab.Estimate:
    words = f"{words}: four procedures over one at random"
    return read.ratio(words, values.sel(arm=ALL, drop=True), read.singles(values))


@study.claim(
    "RL ends higher after a warm start on more procedures at equal demonstrations: on four over one at random.",
    origin=papers.PRIM,
)
def ends_higher(data):
    return _more("accuracy after RL", read.ends(data)).above(WORTH)


@ends_higher.null("SFT on the same procedures in place of RL, as many sequences")
def _(data):
    values = data.warm.longer_accuracy.rename(taught="arm")
    return _more("accuracy after SFT alone", values).above(WORTH)


def _copied(words: str, values: xr.DataArray) -> lab.Estimate:
    words = f"{words}: two copies of a procedure over one"
    return read.ratio(words, read.copies(values), read.singles(values))


@ends_higher.null("two copies of one procedure, with and without the marker")
def _(data):
    return _copied("accuracy after RL", read.ends(data)).above(WORTH)


@ends_higher.null("the base, sampled twice")
def _(data):
    twice = data.warm.base_accuracy.mean("again", skipna=False)
    pair = (twice.sel(half=half, drop=True) for half in ("again", "once"))
    return read.ratio("accuracy of the base sampled twice, second over first", *pair).above(WORTH)


@study.claim(
    "Beyond covering the best procedure number gains nothing: four end no fifth higher than the network's best alone.",
    origin=DERIVED,
)
def number(data):
    words = "accuracy after RL: four procedures over the network's best one alone"
    best = read.single(read.ends(data), read.of_rank(data, -1))
    return read.ratio(words, read.ends(data).sel(arm=ALL, drop=True), best).below(WORTH)


@number.null("one procedure at random in place of the best one")
def _(data):
    return _more("accuracy after RL", read.ends(data)).below(WORTH)


def _included(data: lab.Data, rank: int) -> lab.Evidence:
    names, found = read.of_rank(data, rank), {}
    for size in (1, 2, 3):
        pair = read.with_it(read.ends(data), names, size)
        found[size] = read.ratio("accuracy after RL: warm starts with it over those without", *pair)
    return lab.stacked("procedures", found).above(WORTH)


@study.claim(
    "At an equal number of procedures, one to three, warm starts with the network's best one end a fifth higher.",
    origin=DERIVED,
)
def inclusion(data):
    return _included(data, -1)


inclusion.null("the network's worst procedure in the best one's place")(lambda data: _included(data, 0))


def _start(data: lab.Data, first: str) -> lab.Evidence:
    passed = data.warm.passed.sel(when="start", drop=True)
    found = {}
    for k in (1, int(passed.k[-1])):
        words, values = "pass@k of the start with right steps", passed.sel(k=k, drop=True)
        found[k] = _more(words, values) if first == ALL else _copied(words, values)
    return lab.stacked("k", found).above(WORTH).per("k")


@study.claim(
    "The start itself is better with four procedures than with one at random: pass@1 and pass@16 with right steps.",
    origin=lab.Asked("Coverage of the start is what RL draws on.", (papers.PRIM,)),
)
def start(data):
    return _start(data, ALL)


start.null("two copies of one procedure, with and without the marker")(lambda data: _start(data, "copies"))


@study.claim(
    "RL is faster after a warm start on four procedures than on one, by an eighth of the run.",
    origin=papers.PRIM,
)
def faster(data):
    words = (
        "wait for half of the gain of the network's best warm start, four procedures less another warm start"
    )
    waits, found = read.waits(data), {}
    best = read.single(waits, read.of_rank(data, -1))
    for name, other in {"one at random": read.singles(waits), "the best one": best}.items():
        found[name] = lab.difference(words, waits.sel(arm=ALL, drop=True), other)
    return lab.stacked("other", found).below(-WAIT).per("other")


@faster.null("two copies of one procedure, against one")
def _(data):
    words = "wait for half of the gain of the network's best warm start, two copies less one"
    waits = read.waits(data)
    return lab.difference(words, read.copies(waits), read.singles(waits)).below(-WAIT)


def _chosen(data: lab.Data, when: str) -> lab.Evidence:
    words = "way of what is opened from the mean to the best rate that the start has of those taught"
    return lab.mean(words, read.chosen(data, when)).above(MOST)


@study.claim(
    "RL chooses by the rates of the start: it goes more than half of the way to the best one of those taught.",
    origin=DERIVED,
)
def chooses(data):
    return _chosen(data, "end")


chooses.null("what the start opens")(lambda data: _chosen(data, "start"))


def _kept(data: lab.Data, *, best: bool, when: str = "start") -> lab.Evidence:
    which = "best" if best else "mean"
    words = f"log of accuracy after RL over the {which} rate of those taught, at the {when}"
    return lab.mean(words, read.kept(data, best=best, when=when)).near(0, within=float(np.log(WORTH)))


@study.claim(
    "RL ends at the best rate that the start has of those taught, within a fifth: it chooses and does not teach.",
    origin=DERIVED,
)
def limit(data):
    return _kept(data, best=True)


limit.positive("the best rate at the end in its place")(lambda data: _kept(data, best=True, when="end"))
limit.null("their mean rate in place of the best one")(lambda data: _kept(data, best=False))


def _against_all(data: lab.Data, words: str, other: xr.DataArray) -> lab.Evidence:
    every = read.ends(data).sel(arm=ALL, drop=True)
    return read.ratio(f"accuracy after RL: {words}", other, every).above(1 / WORTH)


@study.claim(
    "What the warm start has to teach is the choice: with answers of other questions RL ends as high, within a fifth.",
    origin=lab.Derived("shares do not depend on answers, and SFT on them is short"),
)
def form(data):
    words = "four procedures with answers of other questions over four with their own"
    return _against_all(data, words, read.ends(data).sel(arm=SHUFFLED, drop=True))


@form.null("the base before RL")
def _(data):
    first = data.warm.accuracy.sel(when="start", arm=NONE, drop=True)
    return _against_all(data, "the base before RL over four procedures after it", first)


@form.positive("two copies of one procedure over one")
def _(data):
    return _copied("accuracy after RL", read.ends(data)).above(1 / WORTH)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Ends by number and inclusion; the way of RL; pass@k of starts; the end against the best rate taught."""
    return _warm_panels.drawn(data)

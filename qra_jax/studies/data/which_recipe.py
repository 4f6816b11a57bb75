r"""Which recipe, given what the base covers, demonstrations at hand and budget? A map.

Papers compare recipes at one point each. What theory says beforehand, of a question that is solved with the chance p:

- RL and filtered SFT learn from right rollouts alone: nothing before about one was seen, so not while p × rollouts of
  the whole run ≪ 1, and surely where it is ≫ 1. A group of G is not silent with the chance 1 − (1 − p)^G ≈ Gp, so that
  pass@16 says how many questions teach anything at a step.
- GRPO's clock is 1/√(p(1 − p)) times that of filtered SFT, so RL should be ahead of it at equal rollouts, most so where
  p is small and reached.
- SFT takes log(1/p) doses whatever p is: it is ahead of RL where p is small. How far it comes goes by *distinct*
  demonstrations: a dozen, read again and again, are learnt by heart, and the rest is forgotten where the base knew more
  than they show.
- SFT, then RL: best where p is small and demonstrations are at hand, as SFT lifts p to where RL reaches.
- Hints: a solution of n parts is reached with ∏ qᵢ; with a hint of all but the last part the chance is q_n. So RL with
  hints should lie between RL and SFT, then RL, where p is small, and need not differ from RL where p is large.

Prediction of the map: without demonstrations RL where pass@16 is about one half or more, and nothing else below; with
demonstrations SFT, then RL at low coverage, and RL at high coverage, where a few demonstrations do harm.

Experiment: sums of three numbers, worked out step by step in one way, so that a question has one solution and the
probability of it is pass@1 exactly. Decoders learn them from scratch and are stopped when their pass@1 on fresh
questions first reaches .002, .01, .05, .2 and .5: coverage is how far a base was taught. From each, every recipe is
run on a budget of sequences, 64 a step: rollouts (8 questions × 8) or, in SFT, demonstrations, of which there are 12 or
256 different ones. SFT that comes first takes 12 steps. Hints are openings of the solutions of these demonstrations,
for half of the questions. Learning rates are those of two (3e-4, 1e-3) that did better for SFT (1e-3) and for RL (3e-4)
on one trial network at two levels; claims were worded after these trials and before the study was run. Budgets are
marks along one run. Nulls: the base as it is, and sampled again (its pass@k stands beside each cell); SFT at equal
budget is an arm. Graphs of 4 to 6 operations were tried first: there 2000 sequences moved no recipe by more than a few
points.

A network that never reaches a level of coverage is not a base of that level: what is claimed of a level is claimed of
the networks that reach it, 6 of 8 or more, and is unknown where fewer do. So slow learners are left out, and two levels
need not be of the same networks. This rule was made after two full runs of earlier versions, in which three networks of
eight, and one, never reached .2.

A cell of the map is undecided where the 95 % interval of the paired difference between the best recipe and the next
spans zero; each cell by itself, chosen and tested on the same networks, so that narrow leads are overstated.
"""

import math

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.data import _which as networks, _which_map as maps, _which_panels
from qra_jax.studies.data._which import BOTH, FILTERED, HINTS, RL, SFT

study = lab.Study(__name__, title="Which recipe: by coverage, demonstrations at hand and budget")

POINTS = 0.05
"""Accuracy that matters."""
DERIVED = lab.Derived("this study's text")


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Pass@1 and pass@16 of every recipe, at every level of coverage and mark of the budget."""
    return networks.trained(run)


def _end(data: lab.Data, recipe: str, hand: str = "none") -> xr.DataArray:
    """Pass@1 at the end of the budget, `[level, seed]`."""
    return maps.accuracy(data.runs, hand).sel(choice=recipe, drop=True).isel(mark=-1, drop=True)


def _changes(data: lab.Data, recipe: str, hand: str) -> lab.Evidence:
    gap, words = _end(data, recipe) - _end(data, SFT, hand), f"{recipe} less SFT on {hand} demonstrations"
    low, high = (maps.reached(data.runs, gap, gap.level.values[at]) for at in (0, -1))
    return lab.all_of(
        lab.mean(f"{words}, low coverage", low).below(0.0),
        lab.mean(f"{words}, high coverage", high).above(0.0),
    )


@study.claim(
    "The best of SFT and RL changes with coverage: with a dozen demonstrations SFT is ahead of RL where the base "
    "solves .002 of the questions, and RL is ahead where it solves half of them.",
    origin=lab.Derived("doses of SFT against right rollouts of RL: this study's text", (papers.COVERAGE,)),
)
def changes(data):
    return _changes(data, RL, "few")


changes.null("the base and SFT on many demonstrations in their place")(
    lambda data: _changes(data, maps.NOTHING, "many")
)


def _ahead(
    data: lab.Data, first: xr.DataArray, second: xr.DataArray, words: str, least: float = 0.0
) -> lab.Evidence:
    gap = first - second
    means = {at: lab.mean(words, maps.reached(data.runs, gap, at)) for at in gap.level.values}
    return lab.stacked("level", means).above(least).per("level")


@study.claim(
    "RL ends above SFT on many demonstrations, at an equal number of sequences.",
    origin=lab.Asked("From which coverage on does RL win?", (papers.COVERAGE,)),
)
def beats(data):
    return _ahead(data, _end(data, RL), _end(data, SFT, "many"), "RL less SFT on many demonstrations")


@beats.null("no training in place of RL")
def _(data):
    return _ahead(
        data, _end(data, maps.NOTHING), _end(data, SFT, "many"), "base less SFT on many demonstrations"
    )


def _over_both(data: lab.Data, recipe: str, hand: str) -> lab.Evidence:
    mine = _end(data, recipe, hand)
    words = f"{recipe} less"
    return lab.all_of(
        _ahead(data, mine, _end(data, RL), f"{words} RL"),
        _ahead(data, mine, _end(data, SFT, hand), f"{words} SFT"),
    )


@study.claim(
    "SFT on a dozen demonstrations, then RL, ends above RL alone and SFT alone.",
    origin=lab.Derived("SFT lifts p to where RL reaches", (papers.RELIFT,)),
)
def both(data):
    return _over_both(data, BOTH, "few")


both.null("no training in its place")(lambda data: _over_both(data, maps.NOTHING, "few"))


@study.claim(
    "RL with hints from a dozen demonstrations ends above RL by five points or more.",
    origin=lab.Derived("a chain of n parts, ∏ q, against its last part", (papers.SPARKLE,)),
)
def hints(data):
    return _ahead(data, _end(data, HINTS, "few"), _end(data, RL), "RL with hints less RL", POINTS)


hints.null("no training in their place")(
    lambda data: _ahead(data, _end(data, maps.NOTHING), _end(data, RL), "base less RL", POINTS)
)


def _harm(data: lab.Data, hand: str) -> lab.Evidence:
    words = f"base less SFT on {hand} demonstrations"
    return _ahead(data, _end(data, maps.NOTHING), _end(data, SFT, hand), words, POINTS)


@study.claim(
    "SFT on a dozen demonstrations, read again and again, ends five points or more below where it started.",
    origin=DERIVED,
)
def harm(data):
    return _harm(data, "few")


harm.null("many demonstrations")(lambda data: _harm(data, "many"))


@study.claim("RL ends above filtered SFT at equal rollouts.", origin=DERIVED)
def clock(data):
    return _ahead(data, _end(data, RL), _end(data, FILTERED), "RL less filtered SFT")


clock.null("no training in place of RL")(
    lambda data: _ahead(data, _end(data, maps.NOTHING), _end(data, FILTERED), "base less filtered SFT")
)

LITTLE, MUCH = 3.0, 100.0
"""Right rollouts that the base would have had in the whole budget: none to speak of, and plenty."""


def _reach(data: lab.Data, recipe: str, hand: str = "none") -> lab.Evidence:
    values = maps.accuracy(data.runs, hand)
    gain = values.sel(choice=recipe, drop=True) - values.sel(choice=maps.NOTHING, drop=True)

    def among(axis: str, words: str, low: float, high: float) -> lab.Estimate:
        cells = {}
        for at in gain.level.values:
            one = maps.reached(data.runs, gain, at)
            for number in networks.BATCH * gain.mark.values:
                if low <= at * number <= high:
                    mine = one.sel(mark=number // networks.BATCH)
                    cells[f"{at:g} of {number}"] = lab.mean(f"gain of {recipe} {words}", mine)
        return lab.stacked(axis, cells)

    return lab.all_of(
        among("cell", f"where the base has at most {LITTLE:g} right rollouts", 0.0, LITTLE).below(POINTS),
        among("other", f"where it has {MUCH:g} or more", MUCH, math.inf).above(0.0),
    )


@study.claim(
    "RL gains where the base's pass@1 × rollouts of the run is 100 or more, not by five points where it is 3 or less.",
    origin=DERIVED,
)
def reach(data):
    return _reach(data, RL)


reach.null("SFT on a dozen demonstrations")(lambda data: _reach(data, SFT, "few"))


@study.figure
def draw(data: lab.Data) -> Figure:
    """The map, a panel for each amount of demonstrations; accuracy at the end by coverage."""
    return _which_panels.draw(data.runs)

r"""Does a network that shares parameters, features and tokens select patterns as the tabular theory says?

A small decoder learns sequences `question, pattern, steps, marker, answer, end` with known shares π_ref(r) and success
rates p_r, and is then trained by GRPO on its own samples; π(r|q) and p(a*|q, r) are read by teacher forcing. It starts
in Regime 1 (all rivals below the base accuracy) or in Regime 2 (one above). *Fixed* answers count as right with their
pattern's probability, whatever they say, so that Assumption 5.1 (success rates stay) is true by construction; where
answers are *learnt*, each question has a right one of its own.

The tabular problem that the base network is, its own π and p, has an orbit, and theory predicts for fixed answers:

- *path*, free of any clock: the network runs along the orbit of the softmax policy gradient to its end, less than half
  as far from it as from the natural gradient's orbit and from a straight line;
- *first integral*: `theory.first_integral` is 1 anywhere on the orbit; on the natural one it is a third, or two;
- *clock*: the orbit time of the nearest point is proportional to network steps, at one rate for both starts.

With learnt answers the theory has lost its assumption. The gain of accuracy is split into selection, Σ∫p dπ, and
answers, Σ∫π dp, on the questions that training asks and on others, which have the same shares and success rates.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, transformer
from qra_jax.algorithm import grpo
from qra_jax.problem import examples, stack
from qra_jax.studies import lab, papers
from qra_jax.studies.networks import _selection_panels as drawn
from qra_jax.studies.networks._bases import RECORDED, learnt, trained
from qra_jax.studies.networks._paths import clock as clocked, distance, means, orbits as orbits_of

study = lab.Study(
    __name__, title="A network on the orbit: selection with fixed answers, and with learnt ones"
)

STARTS = {"Regime 1": examples.fast, "Regime 2": examples.worked}
ARMS = {"SGD": (True, False), "Adam": (True, True), "learnt": (False, False)}
"""Whether answers are fixed, and whether Adam is used."""
SEEDS, QUESTIONS, DEPTH, PRETRAINING = (
    lab.scale(8, 10),
    lab.scale(8, 16),
    lab.scale(1, 2),
    lab.scale(200, 300),
)
"""A quarter of the questions is never asked in RL."""
STEPS, EVERY, GROUP, WIDTH = lab.scale(192, 256), 8, 8, 32
SGD, ADAM = lab.scale(0.005, 0.004), lab.scale(2e-4, 1e-4)
"""Learning rates."""
HIT, ALIKE, STILL, STRAIGHT = 0.9, 0.25, 0.05, 0.1
"""Share of r* that ends a race; relative difference; change of a rate; deviation from a line."""
TIMES = np.concatenate([[0.0], np.logspace(-2, 4, 1200)])
"""GRPO times at which orbits are evaluated."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """π and p of every question along training, in every arm, from both starts; one program."""
    seeds, number, steps = run(SEEDS), run(QUESTIONS), run(STEPS)
    answers = np.random.default_rng(run.shared_seed).permutation(np.arange(number) % 2)
    fixed, adam = jnp.array(list(ARMS.values())).T
    options = {"answer_key": answers, "held_out": number // 4}
    tasks = [transformer.controlled(stack([start()] * number), **options) for start in STARTS.values()]
    model = transformer.Decoder(tasks[0].vocabulary, width=WIDTH, depth=run(DEPTH))
    extent = {"seed": run.shared_seed, "seeds": seeds, "steps": run(PRETRAINING)}
    bases = jax.tree.map(jnp.asarray, run.bank.get(learnt, tuple(tasks), model, **extent))
    both, rates = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tasks), (run(SGD), run(ADAM))

    def one(cell: Any) -> dict[str, jax.Array]:
        task = replace(jax.tree.map(lambda leaf: leaf[cell.start], both), coin=fixed[cell.arm])
        params = jax.tree.map(lambda leaf: leaf[cell.start, cell.seed], bases)
        key = jax.random.fold_in(run.key, 1 + cell.seed)
        return trained(key, model, params, task, adam=adam[cell.arm], rates=rates, steps=steps, every=EVERY)

    axes = {"arm": range(len(ARMS)), "start": range(len(STARTS)), "seed": range(seeds)}
    coords = {"step": np.arange(0, steps + 1, EVERY)}
    seen = lab.cells(one, axes=axes, dims=RECORDED, coords=coords, block=1, say=run.say)
    return seen.assign_coords(arm=list(ARMS), start=list(STARTS), pattern=["best", "rival", "third"])


@study.experiment(after=["runs"])
def orbits(run: lab.Run) -> xr.Dataset:
    """Orbits of the problem that each base network is, and the first integral along its path."""
    path, success = means(run.done.runs, "SGD"), [start().success for start in STARTS.values()]
    return orbits_of(path, success, times=TIMES, algorithm=grpo(GROUP))


@study.claim(
    "With SGD and fixed answers the network runs along the tabular orbit of the softmax policy gradient to its end: "
    "half as far from it as from its rivals, or less, up to π(r*) = .9.",
    origin=lab.Derived(
        "this study, for the orbit of the base network's own π and p", (papers.QRA_ASSUMPTION,)
    ),
    needs_no_control="the rivals, natural orbit and straight line, are in the measure itself",
)
def path(data):
    path = means(data.runs, "SGD")
    curves = {name: data.orbits[name] for name in ("softmax", "natural", "line")}
    far = {name: distance(path, curve).mean("step", skipna=False) for name, curve in curves.items()}
    name = "mean distance from the softmax orbit, over that from natural orbit or straight line"
    rival = xr.concat([far["natural"], far["line"]], "rival").min("rival", skipna=False)
    end = path.sel(pattern="best").max("step", skipna=False).min("start", skipna=False)
    there = lab.mean("largest share of r*, smaller of both starts", end).above(HIT)
    return lab.all_of(lab.ratio(name, far["softmax"], rival).below(0.5), there)


def _integral(data: lab.Data, name: str) -> lab.Evidence:
    ratio = data.orbits[name]
    off = xr.where(ratio > 1, ratio, 1 / ratio).max("start", skipna=False)
    return lab.mean("factor between first integral and its value on the orbit", off).below(1 + ALIKE)


@study.claim(
    "The first integral of the softmax orbit holds along the path of SGD.",
    origin=lab.Derived("theory.first_integral"),
)
def integral(data):
    return _integral(data, "integral")


@integral.null("points of the natural gradient's orbit in the network's place")
def _(data):
    return _integral(data, "natural_integral")


def _timed(data: lab.Data, arm: str) -> lab.Evidence:
    _, rate, off = clocked(means(data.runs, arm), data.orbits.softmax, until=HIT)
    first, second = (rate.sel(start=start, drop=True) for start in STARTS)
    off = off.max("start", skipna=False)
    straight = lab.mean("deviation from a straight line, over the last time, larger of both starts", off)
    alike = lab.ratio("rate from Regime 2 / 1", second, first).between(1 / (1 + ALIKE), 1 + ALIKE)
    return lab.all_of(straight.below(STRAIGHT), alike)


@study.claim(
    "With SGD one rescaling of time, the same for both starts, maps network steps to orbit time.",
    origin=lab.Derived("this study, for a network whose features stay"),
)
def clock(data):
    return _timed(data, "SGD")


@clock.null("Adam in the place of SGD")
def _(data):
    return _timed(data, "Adam")


def _stay(values: xr.DataArray, first: int = 0) -> lab.Evidence:
    change = abs(values.isel(step=-1) - values.isel(step=first)).mean(["start", "pattern"], skipna=False)
    return lab.mean("mean change, in absolute value, over patterns and starts", change).below(STILL)


@study.claim(
    "Where answers can be learnt, success rates stay while selection moves: their mean change is below 5 points.",
    origin=papers.QRA_6_STABLE,
)
def stay(data):
    return _stay(means(data.runs, "learnt", "success"))


@stay.null("shares of the patterns, which do move, in the place of success rates")
def _(data):
    return _stay(means(data.runs, "learnt"))


@stay.positive("the last eight steps alone")
def _(data):
    return _stay(means(data.runs, "learnt", "success"), first=-2)


def _wins(data: lab.Data, pattern: str) -> lab.Evidence:
    end = means(data.runs, "learnt").isel(step=-1).sel(pattern=pattern)
    return lab.mean(f"last share of the {pattern} pattern", end).above(0.5).per("start")


@study.claim(
    "Where answers can be learnt, the best pattern of the base model wins.",
    origin=lab.Asked(
        "The theorems hold answers fixed.", (papers.QRA_6_SELECT, papers.QRA_2_MONOTONE, papers.QRA_3)
    ),
)
def wins(data):
    return _wins(data, "best")


@wins.null("the third pattern in the place of the best")
def _(data):
    return _wins(data, "third")


def _carried(asked: xr.DataArray, others: xr.DataArray) -> lab.Evidence:
    """Other questions are no further from those asked than a quarter of the way that these go."""
    apart, way = (
        abs(asked - path).sum("pattern", skipna=False).max("step", skipna=False) / 2
        for path in (others, asked.isel(step=0))
    )
    near = lab.pooled_share("total variation between them, of the way gone", apart, way).below(0.25)
    return lab.all_of(near, lab.mean("way gone, in total variation", way).above(0.1))


@study.claim(
    "Selection carries over to questions that training never asks: they go the way of those asked, to a quarter of it.",
    origin=lab.Derived("this study: nothing tells these questions apart"),
)
def carried(data):
    return _carried(*(means(data.runs, "learnt", asked=asked) for asked in (True, False)))


@carried.null("the questions never asked as they were before training")
def _(data):
    asked, others = (means(data.runs, "learnt", asked=asked) for asked in (True, False))
    return _carried(asked, others.isel(step=0))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Paths in the simplex, the clock, what answers do, and what the gain is made of."""
    figure, ((paths, clock), (learnt, parts)) = plot.new((9.6, 7.4), nrows=2, ncols=2)
    runs, orbits = data.runs, data.orbits
    drawn.orbits(means(runs, "SGD"), orbits, paths)
    timed = {arm: clocked(means(runs, arm), orbits.softmax, until=HIT)[:2] for arm in ("SGD", "Adam")}
    drawn.clock(timed, clock)
    share, fixed = (means(runs, arm).sel(start="Regime 2", pattern="best") for arm in ("learnt", "SGD"))
    rival = means(runs, "learnt", "success").sel(start="Regime 2", pattern="rival")
    drawn.answers(share, fixed, rival, learnt)
    drawn.gain_bars(runs.sel(arm="learnt"), parts)
    return figure

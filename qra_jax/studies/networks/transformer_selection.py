r"""Does a network that shares parameters, features and tokens select patterns as the tabular theory says?

A small decoder learns sequences `question, pattern, steps, marker, answer, end` with known shares π_ref(r) and success
rates p_r, and is then trained by GRPO on its own samples; π(r|q) and p(a*|q, r) are read by teacher forcing. It starts
in Regime 1 (all rivals below the base accuracy) or in Regime 2 (one above). Where answers are *fixed*, an answer counts
as right with its pattern's probability, whatever it says, so that Assumption 5.1 (success rates stay) is true by
construction. Where they are *learnt*, each question has a right answer of its own.

The tabular problem that the base network is, its own π and p, has an orbit, and theory predicts of fixed answers:

- *path*, free of any clock: the network runs along the orbit of the softmax policy gradient to its end, less than half
  as far from it as from the natural gradient's orbit and from a straight line;
- *first integral*: with w = g/π (g fixed by Σ log w), [(w_i − w_j) − (u_i − u_j)] / [(w_i − w_k) − (u_i − u_k)] is
  (p_i − p_j)/(p_i − p_k) anywhere on the orbit. Their quotient is 1; on the natural orbit it is a third and two;
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

from qra_jax import orbit, plot, theory, transformer
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, examples, stack
from qra_jax.studies import papers
from qra_jax.studies.lab import (
    Asked, Data, Derived, Evidence, Run, Study, all_of, cells, dataset, mean, panels, ratio, scale
)
from qra_jax.studies.networks._bases import learnt
from qra_jax.studies.networks._paths import clock as clocked, distance, gains
from qra_jax.transformer import rl

study = Study(__name__, title="Selection in a network: on the orbit with fixed answers, and with answers learnt")

STARTS = {"Regime 1": examples.fast, "Regime 2": examples.worked}
ARMS = {"SGD": (True, False), "Adam": (True, True), "learnt": (False, False)}
"""Whether answers are fixed, and whether Adam is used."""
SEEDS, QUESTIONS, DEPTH, PRETRAINING = scale(6, 10), scale(8, 16), scale(1, 2), scale(200, 300)
"""A quarter of the questions is never asked in RL."""
STEPS, EVERY, GROUP, WIDTH = scale(192, 256), 8, 8, 32
SGD, ADAM = scale(0.005, 0.004), scale(1.3e-4, 1e-4)
"""Learning rates."""
HIT, SEEN = 0.9, 0.01
"""Share of the best pattern that ends a race; least share with which a point enters the first integral."""
NEAR, ALIKE, STILL, STRAIGHT = 0.05, 0.25, 0.02, 0.1
"""Total variation between questions; relative difference; change of a success rate; deviation from a line."""
TIMES = np.concatenate([[0.0], np.logspace(-2, 4, 1200)])
"""GRPO times at which orbits are evaluated."""


@study.experiment()
def runs(run: Run) -> xr.Dataset:
    """π and p of every question along training, in every arm, from both starts; one program."""
    seeds, number, steps = run(SEEDS), run(QUESTIONS), run(STEPS)
    answers = np.random.default_rng(run.seed).permutation(np.arange(number) % 2)
    fixed, adam = jnp.array(list(ARMS.values())).T
    options = {"answer_key": answers, "held_out": number // 4}
    tasks = [transformer.controlled(stack([start()] * number), **options) for start in STARTS.values()]
    model, shown = transformer.Decoder(tasks[0].vocabulary, width=WIDTH, depth=run(DEPTH)), tasks[0].demonstrations()
    extent = {"seed": run.seed, "seeds": seeds, "steps": run(PRETRAINING)}
    bases, both = run.bank.get(learnt, tuple(tasks), model, **extent), jax.tree.map(lambda *x: jnp.stack(x), *tasks)

    def look(params: Any) -> dict[str, jax.Array]:
        seen = transformer.read_out(model, params, shown)
        return {"policy": seen.policy, "success": seen.success}

    def one(cell: Any) -> dict[str, jax.Array]:
        task = replace(jax.tree.map(lambda leaf: leaf[cell.start], both), coin=fixed[cell.arm])
        done = transformer.train(
            jax.random.fold_in(run.key, 1 + cell.seed),
            model,
            jax.tree.map(lambda leaf: jnp.asarray(leaf)[cell.start, cell.seed], bases),
            task,
            algorithm=grpo(GROUP),
            steps=steps,
            questions=number - number // 4,
            learning_rate=jnp.where(adam[cell.arm], run(ADAM), run(SGD)),
            optimizer=rl.sgd_or_adam(adam[cell.arm]),
            record_every=EVERY,
            probe=look,
        )
        return done.seen | {"status": done.status}

    axes = {"arm": range(len(ARMS)), "start": range(len(STARTS)), "seed": range(seeds)}
    dims = dict.fromkeys(("policy", "success"), ("step", "question", "pattern"))
    seen = cells(one, axes=axes, dims=dims, coords={"step": np.arange(0, steps + 1, EVERY)}, block=1, say=run.say)
    return seen.assign_coords(arm=list(ARMS), start=list(STARTS), pattern=["best", "rival", "third"])


def _questions(values: xr.DataArray, *, asked: bool = True) -> xr.DataArray:
    """Those that training asks, or those held out."""
    first = values.sizes["question"] - values.sizes["question"] // 4
    return values.isel(question=slice(first) if asked else slice(first, None))


def _mean(runs: xr.Dataset, arm: str, of: str = "policy", *, asked: bool = True) -> xr.DataArray:
    """π or p as a mean over questions, `[start, seed, step, pattern]`; no numbers where a run has diverged."""
    kept = runs[of].where(runs.status == 0).sel(arm=arm, drop=True)
    return _questions(kept, asked=asked).mean("question", skipna=False)


@study.experiment(after=["runs"])
def orbits(run: Run) -> xr.Dataset:
    """Orbits of the problem that each base network is; the first integral along path and natural orbit."""
    path = _mean(run.done.runs, "SGD").transpose("start", "seed", "step", "pattern").values.astype(float)
    path = jnp.asarray(path / path.sum(axis=-1, keepdims=True))
    success = jnp.stack([start().success for start in STARTS.values()])[:, None]
    problems = Problem(jnp.log(path[:, :, 0]), jnp.broadcast_to(success, path[:, :, 0].shape))

    @jax.jit
    @jax.vmap
    @jax.vmap
    def found(problem: Problem, path: Any) -> Any:
        softmax = orbit.solve(problem, ts=TIMES, algorithm=grpo(GROUP)).policy
        natural = jax.nn.softmax(problem.log_ref + problem.success * jnp.asarray(TIMES)[:, None])
        medians = []
        for curve in (path, natural):
            usable = (jnp.min(curve, axis=-1) >= SEEN) & (jnp.arange(len(curve)) > 0)
            values = theory.first_integral(problem, jnp.log(jnp.maximum(curve, SEEN)))
            medians.append(jnp.nanmedian(jnp.where(usable, values, jnp.nan)))
        line = jnp.linspace(0, 1, 400)[:, None]
        return softmax, natural, (1 - line) * softmax[0] + line * softmax[-1], *medians

    names = ("softmax", "natural", "line", "integral", "natural_integral")
    rest = (("time", "pattern"), ("time", "pattern"), ("place", "pattern"), (), ())
    values = found(problems, path)
    variables = {n: (("start", "seed", *r), x) for n, r, x in zip(names, rest, values, strict=True)}
    return dataset(variables, {"start": list(STARTS), "time": TIMES, "pattern": ["best", "rival", "third"]})


def _along(data: Data, arm: str, own: str = "softmax", other: str = "natural") -> Evidence:
    path, curves = _mean(data.runs, arm), {"softmax": "time", "natural": "time", "line": "place"}
    far = {name: distance(path, data.orbits[name], along).mean("step", skipna=False) for name, along in curves.items()}
    nearer = (far[own] / np.minimum(far[other], far["line"])).max("start", skipna=False)
    end = path.sel(pattern="best").max("step", skipna=False).min("start", skipna=False)
    name = f"mean distance from the {own} orbit, over that from {other} orbit or straight line"
    return all_of(mean(name, nearer).below(0.5), mean("largest share of r*", end).above(HIT))


@study.claim(
    "With SGD and fixed answers the network runs along the tabular orbit of the softmax policy gradient to its end.",
    origin=Derived("this study, for the orbit of the base network's own π and p", (papers.QRA_ASSUMPTION,)),
)
def path(data):
    return _along(data, "SGD")


@path.null("the natural gradient's orbit and the softmax orbit exchanged")
def _(data):
    return _along(data, "SGD", "natural", "softmax")


@study.claim(
    "With Adam and fixed answers the network runs along the same orbit to its end.",
    origin=Asked("Trainers use Adam, whose steps are no gradient flow.", (papers.QRA_ASSUMPTION,)),
)
def adam(data):
    return _along(data, "Adam")


@adam.null("the natural gradient's orbit and the softmax orbit exchanged")
def _(data):
    return _along(data, "Adam", "natural", "softmax")


def _integral(data: Data, name: str) -> Evidence:
    off = abs(np.log(data.orbits[name])).max("start", skipna=False)
    return mean("first integral over its value on the orbit, |log|, larger of both starts", off).below(np.log(1 + ALIKE))


@study.claim("The first integral of the softmax orbit holds along the path of SGD.", origin=Derived("theory.first_integral"))
def integral(data):
    return _integral(data, "integral")


@integral.null("points of the natural gradient's orbit in the network's place")
def _(data):
    return _integral(data, "natural_integral")


def _timed(data: Data, arm: str) -> Evidence:
    _, rate, off = clocked(_mean(data.runs, arm), data.orbits.softmax, until=HIT)
    both = [rate.sel(start=start, drop=True) for start in ("Regime 2", "Regime 1")]
    straight = mean("deviation from a straight line, over the last time, larger of both starts", off.max("start"))
    alike = ratio("rate from Regime 2 / from Regime 1", *both).between(1 / (1 + ALIKE), 1 + ALIKE)
    return all_of(straight.below(STRAIGHT), alike)


@study.claim(
    "With SGD one rescaling of time, the same for both starts, maps network steps to orbit time.",
    origin=Derived("this study, for a network whose features stay"),
)
def clock(data):
    return _timed(data, "SGD")


@clock.null("Adam in the place of SGD")
def _(data):
    return _timed(data, "Adam")


def _stay(values: xr.DataArray, first: int = 0) -> Evidence:
    change = abs(values.isel(step=-1) - values.isel(step=first)).mean(["start", "pattern"], skipna=False)
    return mean("change in absolute value, mean over patterns and starts", change).below(STILL)


@study.claim("Where answers can be learnt, success rates stay while selection moves.", origin=papers.QRA_6_STABLE)
def stay(data):
    return _stay(_mean(data.runs, "learnt", "success"))


@stay.null("shares of the patterns, which do move, in the place of success rates")
def _(data):
    return _stay(_mean(data.runs, "learnt"))


@stay.positive("the last eight steps alone")
def _(data):
    return _stay(_mean(data.runs, "learnt", "success"), first=-2)


def _wins(data: Data, pattern: str) -> Evidence:
    end = _mean(data.runs, "learnt").isel(step=-1).sel(pattern=pattern)
    return mean(f"last share of the {pattern} pattern", end).above(0.5).per("start")


@study.claim(
    "Where answers can be learnt, the best pattern of the base model wins.",
    origin=Asked("The theorems hold answers fixed.", (papers.QRA_6_SELECT, papers.QRA_2_MONOTONE, papers.QRA_3)),
)
def wins(data):
    return _wins(data, "best")


@wins.null("the third pattern in the place of the best")
def _(data):
    return _wins(data, "third")


def _carried(first: xr.DataArray, second: xr.DataArray) -> Evidence:
    apart = abs(first - second).sum("pattern", skipna=False).max(["step", "start"], skipna=False) / 2
    return mean("largest total variation between them", apart).below(NEAR)


@study.claim(
    "Selection carries over to questions that training never asks, with the same shares and success rates.",
    origin=Derived("this study: nothing tells these questions apart"),
)
def carried(data):
    return _carried(*(_mean(data.runs, "learnt", asked=asked) for asked in (True, False)))


@carried.null("asked questions against those of the networks from the other start")
def _(data):
    path = _mean(data.runs, "learnt")
    return _carried(path, path.roll(start=1))


@study.claim(
    "Answers do not: success rates stay on questions that training never asks.",
    origin=Derived("this study: each question has an answer of its own"),
)
def elsewhere(data):
    return _stay(_mean(data.runs, "learnt", "success", asked=False))


@elsewhere.null("asked questions in their place")
def _(data):
    return _stay(_mean(data.runs, "learnt", "success"))


@elsewhere.positive("the last eight steps alone")
def _(data):
    return _stay(_mean(data.runs, "learnt", "success", asked=False), first=-2)


@study.figure
def draw(data: Data) -> Figure:
    """Paths in the simplex, the clock, what answers do, and what the gain is made of."""
    figure, ((paths, clock), (learnt, parts)) = plot.new((9.6, 7.4), nrows=2, ncols=2)
    own, orbits, side = _mean(data.runs, "SGD"), data.orbits, {"label": False, "colors": plot.BEST}
    for start in STARTS:
        across, up = (own.sel(start=start, pattern=pattern).values.T for pattern in ("third", "best"))
        paths.plot(across, up, color=plot.BEST, alpha=0.5, linewidth=1.1)
        for name, look in (("softmax", {"color": "black", "linestyle": "--"}), ("natural", {"color": plot.RIVAL})):
            mid = orbits[name].sel(start=start).mean("seed")
            paths.plot(mid.sel(pattern="third"), mid.sel(pattern="best"), **look)
        panels.note((across[0].mean(), up[0].mean()), paths, start, shift=(-5 if across[0, 0] > 0.1 else 6, 7))
    far = float(_apart(own, orbits.softmax).min("time").max("step").mean("seed").max())
    title = f"Fixed answers: within {far:.3f} of the softmax orbit (mean over seeds of the largest distance)"
    panels.frame(title, paths, x="share of the third pattern", y="share of the best pattern r*")
    looks = {"network, each seed": plot.BEST, "softmax policy gradient": {"color": "black", "linestyle": "--"}}
    panels.legend(looks | {"natural gradient": plot.RIVAL}, paths)

    rates = {}
    for arm, color in (("SGD", plot.BEST), ("Adam", plot.RIVAL)):
        time, rate, _ = clocked(_mean(data.runs, arm), orbits.softmax, until=HIT)
        rates[arm] = np.exp(float(np.log(rate.sel(start="Regime 2") / rate.sel(start="Regime 1")).mean()))
        for start, dash in zip(STARTS, ("--", "-"), strict=True):
            clock.plot(time.step, time.sel(start=start).T, dash, color=color, alpha=0.6, linewidth=1)
    title = f"Rate of the clock, Regime 2 over 1: SGD {rates['SGD']:.2f}, Adam {rates['Adam']:.2f}"
    panels.frame(title, clock, x="network steps", y="orbit time of the nearest point")
    panels.legend({"SGD": plot.BEST, "Adam": plot.RIVAL, "Regime 1": "--", "Regime 2": "-"}, clock)

    share, rival = _mean(data.runs, "learnt").sel(start="Regime 2"), _questions(data.runs.success)
    rival = rival.mean("question").sel(arm="learnt", start="Regime 2", pattern="rival")
    fixed = own.sel(start="Regime 2", pattern="best")
    for values, color, dash in (
        (share.sel(pattern="best"), plot.BEST, "-"),
        (fixed, plot.BEST, "--"),
        (rival, plot.RIVAL, "-"),
    ):
        learnt.plot(values.step, values.transpose("step", "seed"), dash, color=color, linewidth=1, alpha=0.6)
    won, end = float((share.sel(pattern="best")[..., -1] > 0.5).mean()), float(rival.isel(step=-1).mean())
    title = f"Learnt answers, Regime 2: r* wins in {won:.0%} of the seeds, its rival is {end:.0%} right"
    panels.frame(title, learnt, x="network steps", y="π(r*); success rate of the rival", ylim=(-0.02, 1.35))
    learnt.set_yticks(np.linspace(0, 1, 6))
    names = {"π(r*)": plot.BEST, "π(r*), fixed answers": {"color": plot.BEST, "linestyle": "--"}}
    panels.legend(names | {"success rate of the rival": plot.RIVAL}, learnt, loc="upper left", ncols=2)

    kept = data.runs.sel(arm="learnt")
    made = [
        gains(_questions(kept.policy, asked=asked), _questions(kept.success, asked=asked)).mean("question")
        for asked in (True, False)
    ]
    made = xr.concat(made, "where").to_dataarray("part").stack(group=("start", "where"), create_index=False)
    groups = [f"{start}\n{where}" for start in STARTS for where in ("asked", "never asked")]
    made = made.drop_vars(["start"], errors="ignore").assign_coords(group=groups)
    colors = {"selection": plot.BEST, "answers": plot.RIVAL}
    panels.bars(made, parts, x="group", by="part", over="seed", colors=colors)
    first = (made.sel(part="selection") / made.sum("part")).mean("seed").sel(group=[groups[0], groups[2]]).values
    title = f"Learnt answers: selection makes {first[0]:.0%} and {first[1]:.0%} of the gain on questions asked"
    panels.frame(title, parts, x="", y="gain of accuracy")
    panels.legend(None, parts)
    return figure

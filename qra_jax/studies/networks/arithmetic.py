"""Which way of working wins when a network learns arithmetic by reinforcement: is it chosen, or learnt?

A small decoder is taught four procedures for sums of two and three numbers (columns, running total, split and combine,
guess; `transformer.procedures`), then their shares in the base model, in which the commonest is to guess. Success rates
are what the network can do. GRPO then pays for right answers that the marker announces.

The theory holds success rates fixed and predicts that training chooses: procedures of a high success rate win, along the
tabular orbit from π_ref and p of the base network, and Σ Δπ p is the gain of paid accuracy. In a network rates may move,
and so may the chance of the marker: the gain is split between records into choice, Σ Δπ p̄, right answers, Σ π̄ f̄ Δp,
and format, Σ π̄ (Δ(pf) − f̄ Δp), which add up to it; f is the share of right answers that are announced.

π(r|q) is exact, by teacher forcing; rates are sampled with the pattern token forced, by the same random numbers at
every record. What the theory speaks of is measured on questions like those of training, pass@k and the steps on
held-out ones; pass@k, with its unbiased estimator, counts answers whose steps are right, as a guess is right with chance
1/b². The path, a mean over questions, is compared with its nearest points in total variation, so that no clock is
needed. Base is also cooled to the entropy of the trained network, and tried twice, with other random numbers.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array
from matplotlib.figure import Figure

from qra_jax import orbit, plot, transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem
from qra_jax.studies import papers
from qra_jax.studies.lab import (
    Asked,
    Data,
    Derived,
    Evidence,
    Run,
    Study,
    all_of,
    dataset,
    difference,
    mean,
    panels,
    scale,
)
from qra_jax.studies.networks._procedures import (
    Size,
    nearest,
    numbers_of_tries,
    parts,
    seen,
    taught,
    task_of,
    tried,
)
from qra_jax.transformer.procedures import PATTERNS

study = Study(
    __name__, title="Arithmetic: what a network gains by choosing among procedures, and what by learning"
)

GROUP = 8
SAME, NEAR, WORTH = 0.1, 0.1, 0.02
"""Change of a rate, distance in total variation, and difference of pass@k that would matter."""
MODELS = ("base", "RL", "base, cooled", "base, again")
COLORS = dict(zip(PATTERNS, (plot.CYCLE[4], plot.CYCLE[1], plot.CYCLE[0], plot.CYCLE[7]), strict=True))
TIMES = np.concatenate([[0.0], np.logspace(-3, 5, 800)])
CURVES = ("orbit", "natural", "line", "orbit, mirrored rates", "orbit, mean rates")


SIZE = scale(Size(4, 2, 24, 1, 0, 400, 40, 10, 16, 4, 32), Size(8, 3, 32, 2, 1500, 300, 240, 15, 32, 8, 64))


@study.experiment()
def runs(run: Run) -> xr.Dataset:
    """π and rates of every procedure along training, on questions like those of training and held-out ones; pass@k."""
    size: Size = run(SIZE)
    task, keys = task_of(size), jax.random.split(jax.random.key(run.seed + 1), (4, size.seeds))
    model = tf.Decoder(task.vocabulary, width=size.width, depth=size.depth)
    base = run.bank.get(taught, tuple(size), run.seed)
    sets = [task.draw(keys[3, 0], size.questions, held=held) for held in (False, True)]
    asked = jax.tree.map(lambda *parts: jnp.concatenate(parts), *sets)

    def reinforce(key: Array, params: Any) -> tf.Run:
        options: dict[str, Any] = {"algorithm": grpo(GROUP), "steps": size.steps, "record_every": size.every}
        options["probe"] = lambda params: seen(keys[3, 1], model, params, task, asked, size.forced)
        return tf.train(key, model, params, task, questions=16, learning_rate=1e-3, **options)

    def answer(key: Array, params: Any, entropy: Array) -> dict[str, Array]:
        return tried(key, params, entropy, model, task, sets[1], size.tries)

    trained, answers = tf.side_by_side(reinforce)(keys[0], base), tf.side_by_side(answer)
    plain = jnp.full(size.seeds, jnp.inf, jnp.float32)
    made = [answers(keys[1], params, plain) for params in (base, trained.params)]
    made += [answers(keys[1], base, made[1]["entropy"]), answers(keys[2], base, plain)]
    kinds, dims = ["like training", "held out"], ("seed", "step", "kind", "question", "procedure")
    read = {n: np.asarray(v).reshape(*v.shape[:2], 2, -1, *v.shape[3:]) for n, v in trained.seen.items()}
    values = {name: (dims[: value.ndim], value) for name, value in read.items()}
    values |= {
        n: (("model", "seed", "k")[: 2 + (n == "passed")], np.stack([m[n] for m in made])) for n in made[0]
    }
    coords = {"step": trained.step[0], "kind": kinds, "procedure": list(PATTERNS), "model": list(MODELS)}
    return dataset(
        values | {"status": ("seed", trained.status)}, coords | {"k": numbers_of_tries(size.tries)}
    )


@study.experiment(after=["runs"])
def curves(run: Run) -> xr.Dataset:
    """Points of some curves nearest to the path of each network: orbits of its own π and p, and rivals."""
    train = run.done.runs.sel(kind="like training").mean("question")
    policy, paid = (train[name].transpose("seed", "step", "procedure").values for name in ("policy", "paid"))
    start, rates = policy[:, 0], paid[:, 0]
    mirrored = rates.max(1, keepdims=True) + rates.min(1, keepdims=True) - rates
    every = np.stack([rates, mirrored, paid.mean(axis=1)]).astype(float)

    def along(ref: Array, rates: Array) -> Array:
        problem = Problem(jnp.log(ref / ref.sum()), rates)
        return jnp.exp(jax.vmap(lambda tau: orbit.policy(problem, tau))(jnp.asarray(TIMES)))

    softmax = np.asarray(jax.jit(jax.vmap(jax.vmap(along), (None, 0)))(start.astype(float), every))
    scores = np.log(start)[:, None] + TIMES[:, None] * rates[:, None]
    natural = np.exp(scores - scores.max(-1, keepdims=True))
    share, goal = np.linspace(0, 1, len(TIMES))[:, None], np.eye(rates.shape[1])[rates.argmax(1)][:, None]
    line = (1 - share) * start[:, None] + share * goal
    points = [softmax[0], natural / natural.sum(-1, keepdims=True), line, softmax[1], softmax[2]]
    near = np.stack([[nearest(*pair) for pair in zip(policy, curve, strict=True)] for curve in points])
    near = xr.DataArray(near, dims=("curve", "seed", "step", "procedure"), coords={"curve": list(CURVES)})
    return xr.Dataset({"near": near, "away": abs(near - policy).sum("procedure") / 2})


def _kind(data: Data, kind: str = "like training") -> xr.Dataset:
    return data.runs.sel(kind=kind, drop=True)


def _preferred(data: Data, mirrored: bool = False) -> Evidence:
    """How far the mean base rate of what is chosen goes from its start to the highest rate."""
    runs = _kind(data).mean("question", skipna=False)
    rate, first, last = (x.isel(step=i) for x, i in ((runs.paid, 0), (runs.policy, 0), (runs.policy, -1)))
    rate = rate.max("procedure") + rate.min("procedure") - rate if mirrored else rate
    start = (first * rate).sum("procedure", skipna=False)
    moved = ((last - first) * rate).sum("procedure", skipna=False) / (rate.max("procedure") - start)
    return mean("way from the base accuracy to the highest rate of the base network", moved).above(0.5)


@study.claim(
    "A network trained on right answers prefers procedures that had high success rates in the base network.",
    origin=papers.QRA_6_SELECT,
)
def prefers(data):
    return _preferred(data)


@prefers.null("the rates in reverse order")
def _(data):
    return _preferred(data, mirrored=True)


def _moved(data: Data, name: str) -> Evidence:
    runs = _kind(data)[name].mean("question", skipna=False)
    change = mean("change in the course of training", runs.isel(step=-1) - runs.isel(step=0))
    return change.near(0, within=SAME).per("procedure")


@study.claim(
    "Success rates of the procedures stay where they were while the choice among them moves.",
    origin=papers.QRA_6_STABLE,
)
def rates_stay(data):
    return _moved(data, "right")


@rates_stay.null("the shares of the procedures in the place of their rates")
def _(data):
    return _moved(data, "policy")


def _parts(data: Data, *, right: bool = False, marker: bool = False) -> xr.DataArray:
    """Parts of the gain; of right answers whether announced or not, or of the marker whether right or not."""
    runs = _kind(data)
    if marker:
        return parts(runs.policy, xr.ones_like(runs.announced), runs.announced)
    return parts(runs.policy, runs.right, runs.right if right else runs.paid)


def _main(data: Data, part: str) -> Evidence:
    made = _parts(data).isel(step=-1)
    return mean(f"share of {part} in the gain", made.sel(part=part) / made.sel(part="gain")).above(0.5)


@study.claim("The main part of the gain comes from the choice among procedures.", origin=papers.QRA_6_SELECT)
def main_part(data):
    return _main(data, "choice")


@main_part.null("what the rates of right answers gain")
def _(data):
    return _main(data, "answers")


def _along(data: Data, curve: str) -> Evidence:
    away = data.curves.away
    far = mean("largest distance in total variation", away.sel(curve=curve).max("step", skipna=False))
    lead = (away.sel(curve=["natural", "line"]) - away.sel(curve=curve, drop=True)).mean("step", skipna=False)
    return all_of(far.below(NEAR), mean("mean distance of other curves less its own", lead).above(0))


@study.claim(
    "The choice, a mean over questions, moves along the tabular orbit from π_ref and p of the base network.",
    origin=Derived("qra_jax.orbit, where success rates stay", (papers.QRA_ASSUMPTION,)),
)
def on_orbit(data):
    return _along(data, "orbit")


@on_orbit.null("the orbit of the rates in reverse order")
def _(data):
    return _along(data, "orbit, mirrored rates")


def _early(made: xr.DataArray) -> Evidence:
    """Share of format in the gain up to the record at which half of all of it is made."""
    gain = made.sel(part="gain", drop=True)
    half = (gain >= gain.isel(step=-1) / 2) & (gain.step > 0)
    at = xr.where(half.any("step"), half.argmax("step"), gain.sizes["step"] - 1)
    value = (made.sel(part="format", drop=True) / gain.where(gain != 0)).isel(step=at)
    return mean("share of format in the first half of the gain", value).above(0.5)


@study.claim(
    "The early gain of training on verified answers is format.",
    origin=Asked(
        "Reported for internal feedback; the marker is a format that the verifier asks for, too.",
        (papers.NFL_3,),
    ),
)
def early_format(data):
    return _early(_parts(data))


@early_format.null("right answers, announced or not")
def _(data):
    return _early(_parts(data, right=True))


@early_format.positive("the marker alone, whatever the answer")
def _(data):
    return _early(_parts(data, marker=True))


def _steps(data: Data, since: int) -> Evidence:
    runs = _kind(data, "held out").isel(procedure=slice(0, -1))
    right, worked = (
        (runs.policy * runs[name]).sum(["question", "procedure"]) for name in ("right", "worked")
    )
    clean = worked / right.where(right > 0)
    gain = difference("rise of the share with right steps", clean.isel(step=-1), clean.isel(step=since))
    return gain.above(WORTH)


@study.claim(
    "Paying for answers alone makes the steps of right answers right, too.",
    origin=Asked(
        "An answer may be right because its steps are; a verifier of answers does not look at them."
    ),
)
def steps_follow(data):
    return _steps(data, 0)


@steps_follow.null("the last stretch between two records, in which hardly anything is still learnt")
def _(data):
    return _steps(data, -2)


def _passed(data: Data, model: str, other: str, k: int) -> Any:
    passed, number = data.runs.passed.isel(k=k), data.runs.k.values[k]
    words = f"difference of pass@{number} with right steps"
    return difference(words, passed.sel(model=model, drop=True), passed.sel(model=other, drop=True))


@study.claim("The trained network wins pass@1, its base wins pass@k at large k.", origin=papers.PK_1)
def crossover(data):
    return all_of(_passed(data, "RL", "base", 0).above(WORTH), _passed(data, "RL", "base", -1).below(-WORTH))


@crossover.null("base against itself, with other random numbers")
def _(data):
    again = ("base, again", "base")
    return all_of(_passed(data, *again, 0).above(WORTH), _passed(data, *again, -1).below(-WORTH))


@study.claim(
    "What base wins at large k is more than entropy: base cooled to that of the trained network wins, too.",
    origin=Asked("Sampling at a lower temperature narrows a network without any training.", (papers.PK_1,)),
)
def beyond_entropy(data):
    return _passed(data, "RL", "base, cooled", -1).below(-WORTH)


@beyond_entropy.null("base against itself, with other random numbers")
def _(data):
    return _passed(data, "base, again", "base", -1).below(-WORTH)


@beyond_entropy.positive("base as it is")
def _(data):
    return _passed(data, "RL", "base", -1).below(-WORTH)


@study.figure
def draw(data: Data) -> Figure:
    """Choice, success rates, parts of the gain, and pass@k."""
    figure, axes = plot.new((10.6, 6.6), nrows=2, ncols=2)
    (left, right), (below, last) = axes
    runs, named = _kind(data), {"by": "procedure", "colors": COLORS}
    policy = runs.policy.mean("question")
    winner, counts = np.unique(policy.isel(step=-1).argmax("procedure"), return_counts=True)
    names = ", ".join(f"{PATTERNS[w]} in {c}" for w, c in zip(winner, counts, strict=True))
    panels.frame(
        f"Likeliest at the end: {names} of {counts.sum()} seeds",
        left,
        x="GRPO steps",
        y="share π",
        ylim=(-0.02, 1.02),
    )
    panels.curves(policy, left, x="step", over="seed", runs=True, **named)
    near = data.curves.near.sel(curve="orbit").mean("seed")
    panels.curves(near, left, x="step", label=False, style={"linestyle": ":"}, **named)
    panels.legend({**COLORS, "nearest points of the orbit": ":"}, left, place="right")
    rates = runs.right.mean("question").isel(step=[0, -1])
    before, after, change = rates[:, 0], rates[:, 1], (rates[:, 1] - rates[:, 0]).values
    title = f"Success rates change by {change.min():+.2f} to {change.max():+.2f}"
    panels.frame(
        title, right, x="success rate before RL", y="success rate after", xlim=(0, 1.04), ylim=(0, 1.04)
    )
    right.plot([0, 1], [0, 1], color=plot.MUTED, linewidth=1, zorder=0)
    for name, color in COLORS.items():
        size, pair = (
            20 + 150 * policy.sel(procedure=name).isel(step=-1),
            (x.sel(procedure=name) for x in (before, after)),
        )
        right.scatter(*pair, size, color=color, edgecolor="white")
    panels.legend(
        {**dict.fromkeys(COLORS, "o"), **COLORS}, right, place="right", title="size: share π\nafter RL"
    )
    made = _parts(data)
    part = (made.sel(part="choice") / made.sel(part="gain")).isel(step=-1).mean()
    panels.frame(f"Choice makes {part:.0%} of the gain", below, x="GRPO steps", y="gain of paid accuracy")
    shades = dict(zip(made.part.values, (plot.BEST, plot.CYCLE[2], plot.CYCLE[3], "black"), strict=True))
    words = {
        "choice": "choice of procedure",
        "answers": "rates of answers",
        "format": "format (marker)",
        "gain": "all",
    }
    panels.curves(made, below, x="step", by="part", over="seed", colors=shades, names=words)
    below.axhline(0, color=plot.MUTED, linewidth=0.8, zorder=0)
    panels.legend(None, below, place="right")
    passed = data.runs.passed.sel(model=list(MODELS[:3]))
    lost, k = (passed.sel(model="RL") - passed.sel(model="base")).mean("seed"), data.runs.k.values[-1]
    title = f"RL − base: {lost[0]:+.2f} at k = 1, {lost[-1]:+.2f} at k = {k}"
    panels.frame(title, last, x="number of tries k", y="pass@k with right steps", log="x", ylim=(0, 1.02))
    shades = {"base": "black", "RL": plot.color("GRPO"), "base, cooled": plot.MUTED}
    panels.curves(passed, last, x="k", by="model", over="seed", colors=shades, within=(0, 1))
    panels.legend(None, last, place="right")
    return figure

"""Which way of working wins when a network learns arithmetic by reinforcement: is it chosen, or learnt?

A small decoder is taught four procedures for sums of two and three numbers (columns, running total, split and combine,
guess; `transformer.procedures`), then their shares in the base model, in which the commonest is to guess. Success rates
are what the network can do. GRPO then pays for right answers that the marker announces.

The theory holds success rates fixed and predicts that training chooses: procedures of a high success rate win, along
the tabular orbit from π_ref and p of the base network, and Σ Δπ p is the gain of paid accuracy. In a network rates may
move, and so may the chance of the marker: the gain is split between records into choice, Σ Δπ p̄, right answers,
Σ π̄ f̄ Δp, and format, Σ π̄ (Δ(pf) − f̄ Δp), which add up to it; f is the share of right answers that are announced.

π(r|q) is exact, by teacher forcing; rates are sampled with the pattern token forced, by the same random numbers at
every record. What the theory speaks of is measured on questions like those of training, pass@k on held-out ones, with
its unbiased estimator, for answers whose steps are right, as a guess is right with chance 1/b². The path, a mean over
questions, is compared with its nearest points in total variation, so that no clock is needed. Base is also cooled to
the entropy of the trained network, and tried twice, with other random numbers.
"""

from typing import Any

import numpy as np
import xarray as xr

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.networks._procedures import MODELS, Size, compared, parts, taught, trained
from qra_jax.transformer.procedures import PATTERNS

study = lab.Study(
    __name__, title="Arithmetic: what a network gains by choosing procedures, and what by learning"
)

SAME, NEAR, WORTH = 0.1, 0.1, 0.02
"""Change of a rate, distance in total variation, and difference of pass@k that would matter."""
COLORS: dict[str, str] = dict(
    zip(PATTERNS, (plot.CYCLE[4], plot.CYCLE[1], plot.CYCLE[0], plot.CYCLE[7]), strict=True)
)
SIZE = lab.scale(
    Size(4, 2, 24, 1, 0, 400, 40, 10, 16, 4, 32), Size(8, 3, 32, 2, 1500, 300, 240, 15, 32, 8, 64)
)


@study.experiment()
def runs(run):
    """π and rates of every procedure along training, on questions like those of training and held-out ones; pass@k."""
    size = run(SIZE)
    return trained(size, run.bank.get(taught, tuple(size), run.seed), run.seed + 1)


@study.experiment(after=["runs"])
def curves(run):
    """Points nearest to the path of each network: on orbits of its own π and p, and on rivals."""
    train = run.done.runs.sel(kind="like training").mean("question")
    return compared(train.policy.transpose("seed", "step", "procedure"), train.paid.isel(step=0))


def _kind(data: lab.Data, kind: str = "like training") -> xr.Dataset:
    return data.runs.sel(kind=kind, drop=True)


def _preferred(data: lab.Data, mirrored: bool = False) -> lab.Evidence:
    """How far the mean base rate of what is chosen goes from its start to the highest rate."""
    runs = _kind(data).mean("question", skipna=False)
    rate, first, last = (x.isel(step=i) for x, i in ((runs.paid, 0), (runs.policy, 0), (runs.policy, -1)))
    rate = rate.max("procedure") + rate.min("procedure") - rate if mirrored else rate
    start = (first * rate).sum("procedure", skipna=False)
    moved = ((last - first) * rate).sum("procedure", skipna=False) / (rate.max("procedure") - start)
    return lab.mean("way from the base accuracy to the highest rate of the base network", moved).above(0.5)


@study.claim("RL prefers procedures of high success rates in the base network.", origin=papers.QRA_6_SELECT)
def prefers(data):
    return _preferred(data)


@prefers.null("the rates in reverse order")
def _(data):
    return _preferred(data, mirrored=True)


def _moved(data: lab.Data, name: str) -> lab.Evidence:
    runs = _kind(data)[name].mean("question", skipna=False)
    change = lab.mean("change in the course of training", runs.isel(step=-1) - runs.isel(step=0))
    return change.near(0, within=SAME).per("procedure")


@study.claim(
    "Success rates of procedures stay while the choice among them moves.", origin=papers.QRA_6_STABLE
)
def rates_stay(data):
    return _moved(data, "right")


@rates_stay.null("the shares of the procedures in the place of their rates")
def _(data):
    return _moved(data, "policy")


def _parts(data: lab.Data, *, right: bool = False, marker: bool = False) -> xr.DataArray:
    """Parts of the gain; of right answers whether announced or not, or of the marker whether right or not."""
    runs = _kind(data)
    if marker:
        return parts(runs.policy, xr.ones_like(runs.announced), runs.announced)
    return parts(runs.policy, runs.right, runs.right if right else runs.paid)


def _main(data: lab.Data, part: str) -> lab.Evidence:
    made = _parts(data).isel(step=-1)
    both = made.sel(part=part, drop=True), made.sel(part="gain", drop=True)
    return lab.pooled_share(f"share of {part} in the gain", *both).above(0.5)


@study.claim("The main part of the gain comes from the choice among procedures.", origin=papers.QRA_6_SELECT)
def main_part(data):
    return _main(data, "choice")


@main_part.null("what the rates of right answers gain")
def _(data):
    return _main(data, "answers")


def _along(data: lab.Data, curve: str) -> lab.Evidence:
    away = data.curves.away
    far = lab.mean("largest distance in total variation", away.sel(curve=curve).max("step", skipna=False))
    lead = (away.sel(curve=["natural", "line"]) - away.sel(curve=curve, drop=True)).mean("step", skipna=False)
    return lab.all_of(far.below(NEAR), lab.mean("mean distance of other curves less its own", lead).above(0))


@study.claim(
    "The choice, a mean over questions, moves along the tabular orbit from π_ref and p of the base network.",
    origin=lab.Derived("qra_jax.orbit, where success rates stay", (papers.QRA_ASSUMPTION,)),
)
def on_orbit(data):
    return _along(data, "orbit")


@on_orbit.null("the orbit of the rates in reverse order")
def _(data):
    return _along(data, "orbit, mirrored rates")


def _early(made: xr.DataArray) -> lab.Evidence:
    """Share of format in the gain up to the record at which half of all of it is made."""
    gain = made.sel(part="gain", drop=True)
    half = (gain >= gain.isel(step=-1) / 2) & (gain.step > 0)
    at = xr.where(half.any("step"), half.argmax("step"), gain.sizes["step"] - 1)
    both = made.sel(part="format", drop=True).isel(step=at), gain.isel(step=at)
    return lab.pooled_share("share of format in the first half of the gain", *both).above(0.5)


@study.claim(
    "The early gain of training on verified answers is format.",
    origin=lab.Asked(
        "Reported for internal feedback; a verifier that wants a marker may do it, too.", (papers.NFL_3,)
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


def _passed(data: lab.Data, model: str, other: str, k: int) -> Any:
    passed, number = data.runs.passed.isel(k=k), data.runs.k.values[k]
    words = f"difference of pass@{number} with right steps"
    return lab.difference(words, passed.sel(model=model, drop=True), passed.sel(model=other, drop=True))


@study.claim("The trained network wins pass@1, its base wins pass@k at large k.", origin=papers.PK_1)
def crossover(data):
    return lab.all_of(
        _passed(data, "RL", "base", 0).above(WORTH), _passed(data, "RL", "base", -1).below(-WORTH)
    )


@crossover.null("base against itself, with other random numbers")
def _(data):
    again = ("base, again", "base")
    return lab.all_of(_passed(data, *again, 0).above(WORTH), _passed(data, *again, -1).below(-WORTH))


@study.claim(
    "What base wins at large k is more than entropy: base cooled to that of the trained network wins, too.",
    origin=lab.Asked(
        "Sampling at a lower temperature narrows a network without any training.", (papers.PK_1,)
    ),
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
def draw(data):
    """Choice, success rates, parts of the gain, and pass@k."""
    figure, axes = plot.new((10.6, 6.6), nrows=2, ncols=2)
    (left, right), (below, last) = axes
    runs, few = _kind(data), data.runs.sizes["seed"] < 6
    named: Any = {"by": "procedure", "colors": COLORS}
    policy = runs.policy.mean("question")
    winner, counts = np.unique(policy.isel(step=-1).argmax("procedure"), return_counts=True)
    names = ", ".join(f"{PATTERNS[w]} in {c}" for w, c in zip(winner, counts, strict=True))
    title = f"Likeliest at the end: {names} of {counts.sum()} seeds"
    panels.frame(title, left, x="GRPO steps", y="share π", ylim=(-0.02, 1.02))
    panels.curves(policy, left, x="step", over="seed", runs=True, **named)
    near = data.curves.near.sel(curve="orbit").mean("seed")
    panels.curves(near, left, x="step", label=False, style={"linestyle": ":"}, **named)
    panels.legend({**COLORS, "nearest points of the orbit": ":"}, left, place="right")
    rates = runs.right.mean("question").isel(step=[0, -1])
    before, after, change = rates[:, 0], rates[:, 1], (rates[:, 1] - rates[:, 0]).values
    title = f"Success rates change by {change.min():+.2f} to {change.max():+.2f}"
    panels.frame(title, right, x="success rate before RL", y="after", xlim=(0, 1.04), ylim=(0, 1.04))
    right.plot([0, 1], [0, 1], color=plot.MUTED, linewidth=1, zorder=0)
    for name, color in COLORS.items():
        one = {"procedure": name}
        size = 20 + 150 * policy.sel(one).isel(step=-1)
        right.scatter(before.sel(one), after.sel(one), size, color=color, edgecolor="white")
    panels.legend(dict(COLORS), right, place="right", title="size: share π\nafter RL")
    made = _parts(data)
    whole = made.isel(step=-1).mean("seed")
    part = float(whole.sel(part="choice") / whole.sel(part="gain"))
    panels.frame(f"Choice makes {part:.0%} of the gain", below, x="GRPO steps", y="gain of paid accuracy")
    shades = dict(zip(made.part.values, (plot.BEST, plot.CYCLE[2], plot.CYCLE[3], "black"), strict=True))
    words = {"choice": "procedures", "answers": "right answers", "format": "format", "gain": "all"}
    panels.curves(made, below, x="step", by="part", over="seed", colors=shades, names=words, runs=few)
    below.axhline(0, color=plot.MUTED, linewidth=0.8, zorder=0)
    panels.legend(None, below, place="right")
    passed = data.runs.passed.sel(model=list(MODELS[:3]))
    lost, k = (passed.sel(model="RL") - passed.sel(model="base")).mean("seed"), data.runs.k.values[-1]
    title = f"RL − base: {lost[0]:+.2f} at k = 1, {lost[-1]:+.2f} at k = {k}"
    panels.frame(title, last, x="number of tries k", y="pass@k with right steps", log="x", ylim=(0, 1.02))
    shades = {"base": "black", "RL": plot.color("GRPO"), "base, cooled": plot.MUTED}
    panels.curves(passed, last, x="k", by="model", over="seed", colors=shades, within=(0, 1), runs=few)
    panels.legend(None, last, place="right")
    return figure

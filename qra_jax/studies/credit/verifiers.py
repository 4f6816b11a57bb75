r"""What do 15 % of errors of a verifier cost, and what does training on one verifier do to another?

*Few errors.* The orbit is the same for every Youden index J > 0; errors take 1/J of the time (REINFORCE) or,
through the clock, another factor. What they cost in accuracy is what clean training gains from J·t to t: little
before anything is learnt, and little after most of it is, however slow the tail is (1 − ρ ~ t⁻¹ with false
negatives, t⁻² without). Under REINFORCE false negatives and false positives cost the same. GRPO's clock 1/√(Q(1 −
Q)) loses most to false positives at small ρ, and to false negatives near ρ = 1.

*Another verifier.* Training ends at the pattern with the largest rate under verifier 1. For a verifier 2 that
agrees on a share a of the patterns, and else accepts at a rate of its own, that is any pattern in 1 − a of cases.
Its single tries gain (a > 0). Best of k, 1 − (1 − ρ₂)^k, is concave in the question's rate ρ₂, which was a mean
over patterns and is now that of one: it loses if the two agree too little.

The experiments: orbits of random questions (middling ones with success rates Beta(1, 1), hard ones Beta(.15, 1.2)),
and sampled GRPO beside. The second verifier's paper is known by its abstract: ‘starves’ is read as best@8 falling
below that of the base policy.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import orbit, plot
from qra_jax.algorithm import by_clock, grpo, reinforce
from qra_jax.problem import Problem
from qra_jax.reward import verifiable
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _verdicts
from qra_jax.studies.credit._verdicts import GROUP
from qra_jax.studies.lab import panels

study = lab.Study(__name__, title="Verifiers: what 15 % of errors cost, and what a second verifier says")

BUDGETS, LEVELS = [3.0, 10.0, 30.0, 100.0, 300.0], ["middling", "hard"]
"""Learning rate × steps. Much beyond, even a verifier of J = .1 costs little."""
NOISE = {
    "none": (0.0, 0.0),
    "both": (0.15, 0.15),
    "false negatives": (0.15, 0.0),
    "false positives": (0.0, 0.15),
}
NOISE |= {"far too much": (0.45, 0.45)}
"""Shares of false negatives and of false positives."""
AGREEMENT, TRIES = [0.0, 0.25, 0.5, 0.75, 1.0], [1, 2, 4, 8, 16, 32, 64]


@study.experiment(
    {
        "algorithm": [by_clock(reinforce()), by_clock(grpo(GROUP))],
        "noise": np.arange(len(NOISE)),
        "level": [0, 1],
    },
    seeds=lab.scale(512, 4096),
    dims={"accuracy": ["time"]},
    coords={"time": BUDGETS, "noise": list(NOISE), "level": LEVELS},
    common=("algorithm", "noise"),
)
def budgets(cell, key):
    """Accuracy of random questions along the orbit, under verifiers with several errors."""
    misses, alarms = jnp.asarray(list(NOISE.values()))[cell.noise]
    options = {"algorithm": cell.algorithm, "reward": verifiable(1 - misses, alarms)}
    problem = _verdicts.question(key, cell.level)
    return {"accuracy": orbit.solve(problem, jnp.asarray(BUDGETS), **options).accuracy}


@study.experiment(
    {"way": ["orbit", "sampled"], "agreement": AGREEMENT}, seeds=lab.scale(512, 4096), common=("way",)
)
def opinions(cell, key):
    """Rates of a second verifier before, and after training on the first one and on the second one."""
    first, second, third = jax.random.split(key, 3)
    problem = _verdicts.question(first)
    other = _verdicts.second_opinion(problem, second, cell.agreement)
    asked = jax.tree.map(lambda a, b: jnp.stack([a, b]), problem, Problem(problem.log_ref, other))
    ends = jax.vmap(lambda one: _verdicts.trained(third, one, 100.0, cell.way))(asked)
    rates = jnp.exp(ends) @ other
    return {"base": problem.ref @ other, "first": rates[0], "second": rates[1]}


def _loses(data: lab.Data, noise: str) -> lab.Evidence:
    accuracy = data.budgets.accuracy.sel(algorithm="GRPO", drop=True)
    gap = lab.difference(
        "accuracy lost", accuracy.sel(noise="none", drop=True), accuracy.sel(noise=noise, drop=True)
    )
    return gap.below(0.02).per("level", "time")


@study.claim(
    "Noise of 15 % costs GRPO less than 2 points on random questions.",
    origin=papers.NOISE_FIFTEEN,
)
def fifteen(data):
    return _loses(data, "both")


fifteen.null("noise of 45 %")(lambda data: _loses(data, "far too much"))


def _precision(data: lab.Data, algorithm: str) -> lab.Evidence:
    accuracy = data.budgets.accuracy.sel(algorithm=algorithm, drop=True)
    misses, alarms = (accuracy.sel(noise=name, drop=True) for name in ("false negatives", "false positives"))
    gap = lab.difference("accuracy with false negatives less that with false positives", misses, alarms)
    return gap.above(0.001).per("level", "time")


@study.claim(
    "Precision counts for more: 15 % of false positives cost GRPO more than as many false negatives.",
    origin=papers.NOISE_FIFTEEN,
)
def precision(data):
    return _precision(data, "GRPO")


precision.null("REINFORCE, whose orbit and clock see J alone")(lambda data: _precision(data, "REINFORCE"))


def _best(rate: xr.DataArray, tries: int) -> xr.DataArray:
    return 1 - (1 - rate) ** tries


def _starves(data: lab.Data, trained: str) -> lab.Evidence:
    after, before = (_best(data.opinions[name], 8) for name in (trained, "base"))
    return (
        lab.difference("best@8 under verifier 2, trained less base", after, before)
        .below(0.0)
        .per("agreement")
    )


@study.claim("Training on one verifier lowers best@8 under another one.", origin=papers.NOISE_SECOND_VERIFIER)
def starves(data):
    return _starves(data, "first")


starves.null("training on the other one itself")(lambda data: _starves(data, "second"))


def _singles(data: lab.Data, tries: int) -> lab.Evidence:
    here = data.opinions.sel(agreement=[0.25, 0.5])
    after, before = (_best(here[name], tries) for name in ("first", "base"))
    return lab.difference("best@k under verifier 2, trained less base", after, before).above(0.0)


@study.claim(
    "Single tries gain under the other verifier where it agrees on a quarter to a half of the patterns, whose best@8 "
    "is starved.",
    origin=lab.Asked("Is all of it starved?", (papers.NOISE_SECOND_VERIFIER,)),
)
def singles(data):
    return _singles(data, 1)


singles.null("best of eight tries in their place")(lambda data: _singles(data, 8))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Accuracy lost against the budget, by kind of error; best@k of another verifier."""
    figure, (first, second, third) = plot.new((12.6, 3.9), ncols=3)
    accuracy = 100 * data.budgets.accuracy.sel(algorithm="GRPO", drop=True)
    lost = accuracy.sel(noise="none", drop=True) - accuracy.sel(noise=list(NOISE)[1:4])
    for ax, level in zip((first, second), LEVELS, strict=True):
        cost = lost.sel(noise="both", level=level).mean("seed").values
        title = f"{level.capitalize()} questions: up to {cost.max():.1f} points, late {cost[-1]:.1f}"
        panels.frame(
            title, ax, x="budget, learning rate × steps", y="points of accuracy lost", log="x", ylim=(0, 7)
        )
        panels.curves(lost.sel(level=level), ax, x="time", by="noise", over="seed")
        panels.mark(2.0, ax, "2 points", axis="y")
        panels.legend(None, ax, loc="upper right")
    best = xr.concat(
        [100 * (_best(data.opinions["first"], k) - _best(data.opinions.base, k)) for k in TRIES], "k"
    )
    best = best.assign_coords(k=TRIES)
    title, names = "Another verifier's best of k", {a: f"agree on {a:.0%}" for a in AGREEMENT}
    panels.frame(title, third, x="k", y="points of best@k, trained less base", log="x", xticks=TRIES)
    options: Any = {"by": "agreement", "over": "seed", "names": names, "colors": panels.palette(AGREEMENT)}
    panels.curves(best.sel(way="orbit"), third, x="k", **options)
    panels.dots(best.sel(way="sampled"), third, x="k", **options, label=False)
    panels.mark(0.0, third, axis="y")
    panels.legend(None, third, loc="upper right")
    return figure

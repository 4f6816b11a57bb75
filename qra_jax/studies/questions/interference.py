r"""What happens to a question when others share its parameters?

With θ_q = log π_ref,q + Φ_q w a step for one question moves all of them. To first order

$$ \dot\rho_q = \sum_{q'} c(\rho_{q'})\; J_q^\top \Phi_q\Phi_{q'}^\top J_{q'},\qquad J_q = \pi_q\odot(p_q-\rho_q), $$

and J = ρ(1 − ρ)(mean feature of right − of wrong rollouts), so that for GRPO each query counts with √(ρ(1 − ρ)). The
terms q' ≠ q have no sign. From this follow:

- *Negative interference*: some questions fall while the mean rises, more of them the more is shared. At overlap s, Φ_q
  has √(1 − s) parameters of its own for every question beside √s shared ones, so that a question alone would always
  learn at its usual speed.
- *Transfer*: where patterns are skills (pattern r of every question has the same feature) and the same skills are right
  everywhere, training some questions helps others that are never trained.

The experiments train on exact means, so that nothing is noise; questions of one and the same overlap and skills
that do not fit are the controls. The study `conflicts` looks at a single shared parameter.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array
from matplotlib.figure import Figure

from qra_jax import metrics, plot, theory
from qra_jax.algorithm import grpo, reinforce
from qra_jax.problem import Problem
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.questions import _sharing

study = lab.Study(
    __name__, title="Interference: what training one question does to others that share its parameters"
)

QUESTIONS, PATTERNS, FEATURES, TINY = 16, 4, 6, 1e-4
"""Size of a population; learning rate of the single step that is compared with first order."""
TENTH = 0.1
"""Share of the questions that matters."""
KINDS = {"random": 0.0, "skills that agree": 1.0, "skills that clash": 2.0}
"""Shared features: random rows; one row for each pattern, with equal or with independent success rates."""


def _draw(key: Array, agree: float | Array, questions: int = QUESTIONS) -> Problem:
    """Dirichlet(1) policies and U[0, 1] success rates, one and the same in a share `agree` of the questions."""
    keys = jax.random.split(key, 3)
    ref = jax.nn.log_softmax(jnp.log(jax.random.exponential(keys[0], (questions, PATTERNS))))
    rates = jax.random.uniform(keys[1], (questions + 1, PATTERNS))
    same = jax.random.uniform(keys[2], (questions, 1)) < agree
    return Problem(ref, jnp.where(same, rates[-1], rates[:-1]))


@study.experiment(
    {"kind": list(KINDS.values()), "overlap": [0.0, 0.1, 0.3, 0.6, 1.0]},
    seeds=lab.scale(24, 64),
    dims={"before": ["question"], "end": ["question"], "speed": ["question"]},
    common=["kind", "overlap"],
    block=16,
)
def populations(cell, key):
    """Accuracies before and after training, and their first-order speed."""
    problem = _draw(key, jnp.where(cell.kind == 1, 1.0, 0.0))
    rows = jax.random.normal(jax.random.fold_in(key, 3), (QUESTIONS, PATTERNS, FEATURES)) / np.sqrt(FEATURES)
    phi = _sharing.features(jnp.where(cell.kind == 0, rows, jnp.eye(PATTERNS, FEATURES)[None]), cell.overlap)
    end = metrics.accuracy(_sharing.end(problem, phi, 0.2, 500, reinforce()), problem.success)
    return {"before": problem.accuracy_ref, "end": end, "speed": theory.influence(problem, phi).sum(axis=1)}


@study.experiment(
    {"query": list(range(QUESTIONS))}, dims={"gain": ["question"], "told": ["question"], "flat": ["question"]}
)
def queries(cell):
    """Gain of every question by a small step of GRPO for one of them: measured, as claimed, all queries alike."""
    problem, phi = (
        _draw(jax.random.key(5), 0.0),
        jax.random.normal(jax.random.key(6), (QUESTIONS, PATTERNS, FEATURES)),
    )
    chosen = (jnp.arange(QUESTIONS) == cell.query)[
        :, None
    ]  # a question right half the time in any case has no gradient
    end = _sharing.end(
        Problem(problem.log_ref, jnp.where(chosen, problem.success, 0.5)), phi, TINY, 1, grpo()
    )
    rho = problem.accuracy_ref[:, None]
    right, wrong = problem.ref * problem.success / rho, problem.ref * (1 - problem.success) / (1 - rho)
    contrast = jnp.einsum("qrf,qr->qf", phi, right - wrong)
    kernel = rho[:, 0] * (1 - rho[:, 0]) * (contrast @ contrast[cell.query])
    weight = jnp.sqrt(rho * (1 - rho))[:, 0]
    gain = (metrics.accuracy(end, problem.success) - problem.accuracy_ref) / TINY
    return {"gain": gain, "told": weight[cell.query] * kernel, "flat": weight.mean() * kernel}


@study.experiment(
    {"agreement": [0.0, 0.5, 1.0], "shifted": [0.0, 1.0]},
    seeds=lab.scale(24, 64),
    common=["agreement", "shifted"],
    block=16,
)
def transfer(cell, key):
    """Gain of questions that are never trained; patterns are skills, and `shifted`: other ones in these questions."""
    problem = _draw(key, cell.agreement, 2 * QUESTIONS)
    trained, other = (
        jax.tree.map(lambda x, part=part: x[part], problem)
        for part in (slice(QUESTIONS), slice(QUESTIONS, None))
    )
    skills = jnp.broadcast_to(jnp.eye(PATTERNS), (QUESTIONS, PATTERNS, PATTERNS))
    end = _sharing.end(trained, skills, 0.2, 500, reinforce())
    learned = end[0] - trained.log_ref[0]  # w, up to a constant
    learned = jnp.where(cell.shifted > 0, jnp.roll(learned, 1), learned)
    moved = jax.nn.log_softmax(other.log_ref + learned[None], axis=-1)
    return {"gain": jnp.mean(metrics.accuracy(moved, other.success) - other.accuracy_ref)}


@study.claim(
    "A query's influence under GRPO is √(a(1 − a)) × (kernel with right − with wrong rollouts).",
    origin=papers.INFL,
)
def influence(data, law="told"):
    off = abs(data.queries.gain - data.queries[law]).max(skipna=False) / abs(data.queries[law]).max()
    return lab.close("largest difference over the largest influence (G → ∞)", off, within=0.01)


influence.null("all queries alike")(partial(influence.judge, law="flat"))


def _fallen(runs: xr.Dataset) -> xr.DataArray:
    """Share of questions whose accuracy falls."""
    flags = lab.where_known(runs.end < runs.before - 1e-9, runs.end, runs.before)
    return flags.mean("question", skipna=False)


@study.claim(
    "With random shared features training makes some questions fall while mean accuracy rises, a tenth of all "
    "questions more at s = 1 than at s = .1.",
    origin=lab.Derived("theory.influence: only the sum over questions cannot fall"),
)
def falls(data):
    runs = data.populations.sel(kind=0)
    fallen = _fallen(runs)
    gain = (runs.end - runs.before).mean("question", skipna=False)
    all_shared, little = (fallen.sel(overlap=one, drop=True) for one in (1, 0.1))
    return lab.all_of(
        lab.difference("share that falls at s = 1 − at s = .1", all_shared, little).above(TENTH),
        lab.mean("gain in mean accuracy", gain).above(0),
    )


@falls.null("one half of the populations at s = 1 against the other")
def _(data):
    fallen = _fallen(data.populations.sel(kind=0, overlap=1))
    half = fallen.sizes["seed"] // 2
    first, second = (fallen.isel(seed=part) for part in (slice(half), slice(half, 2 * half)))
    return lab.difference("share that falls in one half − in the other", first, second).above(TENTH)


@study.claim(
    "The first move foretells the end: questions that start upward faster gain more (rank correlation above .3).",
    origin=lab.Derived("theory.influence"),
)
def foretells(data, shift=0):
    runs = data.populations.sel(kind=0, overlap=1)
    speed = runs.speed.roll(seed=shift)
    return lab.correlation(
        "rank correlation of first speed and gain at the end (s = 1)", speed, runs.end - runs.before
    ).above(0.3)


foretells.null("speeds of another population")(partial(foretells.judge, shift=1))


@study.claim(
    "Shared skills transfer: training some questions raises others that are never trained, by .05 or more.",
    origin=lab.Derived("theory.influence"),
)
def transfers(data, shifted=0.0):
    return (
        lab.mean("gain of questions never trained", data.transfer.gain.sel(shifted=shifted))
        .above(0.05)
        .per("agreement")
    )


transfers.null("skills shifted by one in these questions")(partial(transfers.judge, shifted=1.0))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Who falls against overlap; first order against the end; questions that are never trained."""
    figure, (first, second, third) = plot.new((11.0, 3.6), ncols=3)
    shades = dict(zip(KINDS.values(), (plot.CYCLE[6], plot.BEST, plot.RIVAL), strict=True))
    runs, names = data.populations, {value: name for name, value in KINDS.items()}
    fallen = _fallen(runs)
    x, y = "overlap s of features (0: independent)", "share of questions that fall"
    panels.frame("The more is shared, the more questions fall", first, x=x, y=y, ylim=(-0.03, 0.65))
    panels.dots(fallen, first, x="overlap", by="kind", over="seed", colors=shades, names=names, join=True)
    early = (runs.speed.sel(kind=0) < 0).mean(["question", "seed"])
    first.plot(runs.overlap, early, ":", color=shades[0.0], label="random, at first")
    random = runs.sel(kind=0, overlap=1)
    speed, gain = random.speed.values.ravel(), (random.end - random.before).values.ravel()
    right = np.sign(speed) == np.sign(gain)
    title, x = (
        f"The first move has the end's sign for {right.mean():.0%}",
        "first-order speed of accuracy (s = 1)",
    )
    panels.frame(title, second, x=x, y="gain in accuracy at the end", ylim=(-0.6, 1.3))
    for flags, color, name in ((right, shades[0.0], "sign right"), (~right, plot.MUTED, "sign wrong")):
        second.plot(speed[flags], gain[flags], "o", color=color, mew=0, markersize=3, label=name)
    second.set_xscale("symlog", linthresh=0.02)
    second.axhline(0, color="black", linewidth=0.8)
    second.axvline(0, color="black", linewidth=0.8)
    x, y = "share of questions that agree on skills", "gain of questions never trained"
    panels.frame("Skills transfer where questions agree", third, x=x, y=y, xticks=[0, 0.5, 1])
    look: dict[str, Any] = {
        "names": {0.0: "same skills", 1.0: "skills shifted by one"},
        "colors": {0.0: plot.BEST, 1.0: plot.MUTED},
    }
    panels.dots(data.transfer.gain, third, x="agreement", by="shifted", over="seed", join=True, **look)
    third.axhline(0, color="black", linewidth=0.8)
    for ax, title in ((first, "shared features"), (second, None), (third, None)):
        panels.legend(None, ax, loc="upper left", title=title)
    return figure

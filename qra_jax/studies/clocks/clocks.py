r"""Do ten algorithms learn different things, or the same thing at different speeds?

"GRPO is filtered SFT in disguise", it is said. On policy, for a tabular softmax and in expectation, the update of
every algorithm of the table in this package's theory is c(ρ) π ⊙ (p − ρ): one direction, so one orbit, and only the
clock c(ρ) is the algorithm's own. What the clocks do at both ends of training is the study `clock-ends`.

Two experiments know no clock. All groups of four rollouts, listed with their chances, give the exact mean gradient
from an algorithm's weights. Sampled training (G = 16, η = .02) from π_ref = (.12, .33, .55) with success rates (.9,
.6, .1) is put beside the orbit at the same odds of best to poor pattern, and beside the accuracy that the clock
foretells at the same time; it should be there up to O(η). Controls are the natural gradient, which runs on another
orbit, and a real-valued reward, under which GRPO with a finite group has none.
"""

from dataclasses import replace
from functools import partial

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import orbit, plot, theory
from qra_jax.algorithm import (
    Algorithm,
    by_clock,
    dr_grpo,
    filtered_sft,
    grpo,
    pass_at_k,
    reinforce,
    rloo,
    tsallis,
)
from qra_jax.problem import Problem
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.training import train

study = lab.Study(__name__, title="Clocks: ten algorithms share one orbit and differ in speed only")

PROBLEM = {"ref": [0.12, 0.33, 0.55], "success": [0.9, 0.6, 0.1]}
PATTERNS = ("best, p = .9", "rival, p = .6", "poor, p = .1")


def _ten(group: int) -> list[Algorithm]:
    """Algorithms by name; dynamic sampling and the limit of GRPO come last."""
    alike = [reinforce(group_size=group), rloo(group), dr_grpo(group), grpo(group), pass_at_k(4, group)]
    alike += [filtered_sft("both", group_size=group), filtered_sft(per="accepted", group_size=group)]
    half = replace(tsallis(0.5, group), name="Tsallis, q = ½")
    dynamic = replace(grpo(group, resample_silent=True), name="dynamic sampling")
    return [*alike, half, dynamic, replace(grpo(), name="GRPO, G → ∞")]


GROUP, RATE, STEPS = 16, 0.02, 1000
RECORDS = RATE * STEPS / 4 * np.arange(1, 5)
TIMES = np.unique(np.concatenate([np.geomspace(0.05, 1e3, 49), RECORDS]))
SAMPLED, CLOCKS = _ten(GROUP)[:-1], [by_clock(algorithm) for algorithm in _ten(GROUP)]
APART, SLOW = 0.2, 0.02
"""Differences that would matter: a fifth of the odds beside the orbit; two per cent of accuracy at equal time."""


@study.experiment()
def listed(run: lab.Run) -> xr.Dataset:
    """Exact mean gradient of groups of four: its direction, and its length over the clock's; also of a real reward."""
    algorithms, draws = _ten(4)[:-1], np.random.default_rng(run.seed)
    refs, rates = draws.dirichlet(np.ones(3), 20), draws.uniform(size=(20, 3))
    rho, binary = (refs * rates).sum(axis=1), np.array([0.0, 1.0])
    clocks = jnp.stack([a.clock(jnp.asarray(rho)) for a in algorithms])
    chances = np.stack([1 - rates, rates], axis=-1)
    found = np.array(
        [theory.listed_gradient(a, refs, np.broadcast_to(binary, (20, 2)), chances) for a in algorithms]
    )
    cosine, length = _compare(found, refs * (rates - rho[:, None]))
    certainty = -np.log(rates * (1 - rates)) / 2
    real = theory.listed_gradient(grpo(4), refs, certainty, np.broadcast_to(np.eye(3), (20, 3, 3)))
    other, _ = _compare(real, refs * (certainty - (refs * certainty).sum(axis=1, keepdims=True)))
    both = {"cosine": (("algorithm", "policy"), cosine), "speed": (("algorithm", "policy"), length / clocks)}
    return lab.dataset(
        both | {"certainty": ("policy", other)}, {"algorithm": [a.name for a in algorithms]}, group=4
    )


def _compare(found: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine with a direction, and length as a multiple of it."""
    size, norm = np.linalg.norm(direction, axis=-1), np.linalg.norm(found, axis=-1)
    return np.sum(found * direction, axis=-1) / (norm * size), norm / size


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Sampled training with the weights of every algorithm, and under the natural gradient: log π at four times."""

    def one(cell, key, geometry="softmax"):
        options = {"steps": STEPS, "record_every": STEPS // 4, "learning_rate": RATE, "geometry": geometry}
        path = train(key, Problem.from_probs(**PROBLEM), algorithm=cell.algorithm, **options)
        return {"log_policy": path.log_policy[1:]}

    options = {
        "seeds": run(lab.scale(256, 2048)),
        "dims": {"log_policy": ["time", "pattern"]},
        "coords": {"time": RECORDS},
    }
    parts = [
        lab.cells(one, key=run.key, axes={"algorithm": group}, **options)
        for group in (SAMPLED[:-1], SAMPLED[-1:])
    ]
    natural = lab.cells(
        partial(one, geometry="natural"), key=run.key, axes={"algorithm": SAMPLED[:1]}, **options
    )
    found = xr.concat(parts, "algorithm").assign(natural=natural.log_policy[0])
    return found.assign_attrs(group=GROUP, rate=RATE)


@study.experiment({"algorithm": CLOCKS}, dims={"accuracy": ["time"]}, coords={"time": TIMES})
def courses(cell):
    """Accuracy along the orbit by every clock."""
    return {"accuracy": orbit.solve(Problem.from_probs(**PROBLEM), TIMES, algorithm=cell.algorithm).accuracy}


@study.experiment(
    {"geometry": ["softmax", "natural"], "tau": np.geomspace(1e-3, 1e3, 400)},
    dims={"log_policy": ["pattern"]},
)
def curve(cell):
    """Both orbits, whatever the clock."""
    return {"log_policy": orbit.policy(Problem.from_probs(**PROBLEM), cell.tau, geometry=cell.geometry)}


def _direction(cosine: xr.DataArray) -> lab.Evidence:
    return lab.exact("1 − cosine of mean gradient and π ⊙ (p − ρ)", 1 - cosine).below(1e-9)


@study.claim(
    "On policy the mean gradients of nine algorithms, GRPO and filtered SFT among them, have the direction π ⊙ (p − ρ) "
    "and the length that their clocks say.",
    origin=lab.Derived("docs/theory.md, many clocks", (papers.RINO_1, papers.TSALLIS_DIRECTION)),
)
def direction(data):
    length = lab.close("length over that of c(ρ) π ⊙ (p − ρ)", data.listed.speed, 1, within=1e-9)
    return lab.all_of(_direction(data.listed.cosine), length)


direction.null("GRPO with a real-valued reward, self-certainty")(
    lambda data: _direction(data.listed.certainty)
)


def _off(data: lab.Data, log_policy: xr.DataArray) -> xr.DataArray:
    """Log odds of rival to poor beyond those of the orbit at the same odds of best to poor."""
    on, odds = data.curve.log_policy.sel(geometry="softmax").values, log_policy - log_policy.isel(pattern=2)
    expected = np.interp(odds.isel(pattern=0), on[:, 0] - on[:, 2], on[:, 1] - on[:, 2])
    return odds.isel(pattern=1) - expected


def _beside(data: lab.Data, log_policy: xr.DataArray) -> lab.Evidence:
    return lab.mean("log odds beside the orbit", _off(data, log_policy)).near(0, within=APART)


@study.claim(
    "On one problem sampled training (η = .02, G = 16) is on one orbit on average, under each of nine algorithms.",
    origin=lab.Derived("docs/theory.md, many clocks", (papers.RINO_1, papers.TSALLIS_DIRECTION)),
)
def orbits(data):
    return _beside(data, data.runs.log_policy)


orbits.null("the natural gradient")(lambda data: _beside(data, data.runs.natural))


def _late(data: lab.Data, clock: str | None = None) -> lab.Evidence:
    """Accuracy of sampled runs beyond that foretold by their own clock, or by another where that foretells another."""
    runs, foretold = data.runs, data.courses.accuracy.sel(time=data.runs.time)
    rates = xr.DataArray(PROBLEM["success"], dims="pattern")
    late = (np.exp(runs.log_policy) * rates).sum("pattern", skipna=False)
    own = foretold.sel(algorithm=runs.algorithm)
    if clock is None:
        late = late - own
    else:
        other = foretold.sel(algorithm=clock, drop=True)
        differs = ~(abs(own - other) <= 2 * SLOW).stack(case=("algorithm", "time")).values
        late = (late - other).stack(case=("algorithm", "time")).isel(case=differs)
        names = [f"{algorithm}, t = {time:g}" for algorithm, time in late.case.values]
        late = late.drop_vars(["case", "algorithm", "time"]).assign_coords(case=names)
    return lab.mean("accuracy beyond that by the clock at equal time", late).near(0, within=SLOW)


@study.claim(
    "On one problem the clock of each of nine algorithms says the accuracy at four times.",
    origin=lab.Derived("docs/theory.md, many clocks"),
)
def speeds(data):
    return _late(data)


speeds.null("the clock of REINFORCE where it foretells another accuracy, by .04 or more")(
    lambda data: _late(data, "REINFORCE")
)


def _color(name: str) -> str:
    return "#E8A48C" if name == "GRPO, G → ∞" else plot.color(name.split(",")[0])


@study.figure
def draw(data: lab.Data) -> Figure:
    """Sampled runs on one orbit in the simplex; accuracy against time by ten clocks."""
    figure, (first, second) = plot.new((8.8, 3.8), ncols=2)
    plot.simplex_axes(PATTERNS, ax=first)
    lines = {
        name: np.exp(data.curve.log_policy.sel(geometry=name).values) for name in data.curve.geometry.values
    }
    ref = np.array(PROBLEM["ref"])[None]
    plot.simplex(
        np.vstack([ref, lines["natural"]]), ax=first, color=plot.color("natural gradient"), linestyle=":"
    )
    plot.simplex(np.vstack([ref, lines["softmax"]]), ax=first, color="black", linewidth=1)
    for name, logits in zip(
        data.runs.algorithm.values, data.runs.log_policy.mean("seed").values, strict=True
    ):
        policy = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        dots = {"marker": "o", "markeredgecolor": "white", "markeredgewidth": 0.5, "linewidth": 0}
        plot.simplex(policy, ax=first, color=_color(str(name)), markersize=5.5, **dots)
    panels.note(plot.ternary(ref[0]), first, "π_ref")
    panels.note(plot.ternary(lines["natural"][130]), first, "natural gradient", shift=(-6, 2))
    far = float(abs(_off(data, data.runs.log_policy).mean("seed")).max())
    words = f"dots: means of {data.runs.sizes['seed']} sampled\nruns, off by {far:.2f}\nlog odds at most"
    first.text(-0.2, 0.6, words, fontsize=8)
    first.set_title("Sampled runs of all of them follow one orbit …")

    panels.frame("… each at its own speed", second, x="time t", y="accuracy ρ", log="x", xlim=(0.05, 1e3))
    names = data.courses.algorithm.values.tolist()
    colors = {name: _color(name) for name in names}
    panels.curves(data.courses.accuracy, second, x="time", by="algorithm", colors=colors)
    second.get_lines()[names.index("RLOO")].set_linestyle((0, (3, 3)))
    panels.legend(None, second, loc="upper left", fontsize=7)

    return figure

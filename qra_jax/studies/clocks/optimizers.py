r"""Does the optimiser decide whether training stalls?

In this model the optimiser is the geometry of the flow. With g = c(ρ) π⊙(p − ρ) the mean gradient,

- SGD follows the exact orbit; momentum the same orbit at 1/(1 − μ) of the speed (small rates).
- The natural gradient drops the factor π and follows another orbit, π ∝ π_ref exp(pτ).
- Sign descent moves every logit at one speed, up iff p_r > ρ. What is better than average keeps its proportions while
  the rest dies out exponentially, until ρ passes the worst of them: every entanglement ends in logarithmic time.
  Adam divides by √(mean of g²); on exact means it is sign descent where gradients change slowly against its memory.
- On sampled groups Adam divides by the noise instead, $\dot\theta = \bar g/\sqrt{\bar g^2+{\rm Var}\,g}$ with the exact
  variance; where noise dominates, the flow is ∝ √π (p − ρ), half-way between SGD and the natural gradient.

On exact means, rates are matched so that the first 50 steps gain a tenth of what accuracy can still rise, for each
optimiser and problem. On sampled groups (GRPO, G = 16) every optimiser has the rate out of one grid, three to a
decade, that is best for it on other seeds than it is judged on. A run is solved from the step on from which π(r*)
stays above .9.
"""

from collections.abc import Mapping
from functools import partial

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.studies import lab, papers
from qra_jax.studies.clocks import _optimizers
from qra_jax.studies.clocks._optimizers import NATURAL, RULES
from qra_jax.studies.lab import panels

TITLE = "Optimisers: on exact means SGD waits out an entanglement, Adam and signs walk round it"
study = lab.Study(__name__, title=TITLE)

SHADES = [plot.BEST, plot.CYCLE[5], plot.RIVAL, plot.CYCLE[4], plot.color(NATURAL)]
COLORS = dict(zip([*RULES, NATURAL], SHADES, strict=True))
NAMED = ["Regime 1", "entangled, γ = 6", "entangled, γ = 21", "cold start"]
WORKED = 1
ORBITS = ("SGD", NATURAL)
OWN = {"SGD": ORBITS[:1], "momentum": ORBITS[:1], NATURAL: ORBITS[1:]}
EXCHANGED = {"SGD": ORBITS[1:], "momentum": ORBITS[1:], NATURAL: ORBITS[:1]}
STEPS, SAMPLED_STEPS = lab.scale(4000, 20_000), 2000
RATES = np.logspace(-2, 4 / 3, 11)
PARTED, SOONER, MATCH, SHARE, FEWER = 0.01, 1.2, 2.0, 0.1, 0.8
"""Differences that matter: between paths, in any share; of steps, a fifth, and what a grid of three rates to a decade
leaves open; of the share of problems solved; of logits moved."""
SGD_TAUS, NATURAL_TAUS = np.logspace(-1, 4, 799), np.linspace(0.05, 40, 799)
SLOW = {"rate": 1e-3, "steps": 10_000, "memory": 0.99}
"""Sampled Adam against its flow: small steps, and a memory (β₂) that is short against the path."""


@study.experiment()
def means(run: lab.Run) -> xr.Dataset:
    """Exact means at matched rates: settled steps, the path, and how many logits the first 50 steps moved."""
    steps, problems = run(STEPS), {"problem": range(4 + run(lab.scale(72, 240)))}
    options = {"dims": {"path": ["record", "pattern"]}, "block": 8}
    found = _optimizers.both(
        run, partial(_optimizers.matched, steps=steps, seed=run.seed), problems, **options
    )
    return found.assign(path=found.path.sel(problem=WORKED)).assign_attrs(steps=steps)


@study.experiment()
def samples(run: lab.Run) -> xr.Dataset:
    """Sampled groups, every rate of the grid: settled steps; all optimisers and rates see the same random numbers."""
    axes = {"problem": range(4), "rate": RATES.tolist()}
    options = {"seeds": run(lab.scale(40, 160)), "common": ("kind", "rule", "rate"), "block": 256}
    found = _optimizers.both(run, partial(_optimizers.sampled, steps=SAMPLED_STEPS), axes, **options)
    return found.assign_coords(problem=NAMED)


@study.experiment()
def noisy(run: lab.Run) -> xr.Dataset:
    """Adam on sampled groups at a small rate, the flow that it should follow, and both orbits of the worked example."""
    one = partial(_optimizers.slow_adam, **SLOW)
    path = lab.cells(
        one, key=run.key, seeds=run(lab.scale(16, 64)), axes={}, dims={"path": ["record", "pattern"]}
    )
    lines = {"SGD": SGD_TAUS, NATURAL: NATURAL_TAUS}
    curve = np.array(jax.jit(lambda: _optimizers.lines(*lines.values()))())
    found = {
        "path": (("seed", "record", "pattern"), path.path),
        "curve": (("line", "point", "pattern"), curve),
    }
    return lab.dataset(found, {"line": [*lines, "noisy Adam"]})


def _apart(data: lab.Data, lines: Mapping[str, tuple[str, ...]]) -> lab.Estimate:
    """By rule: distance of its path on exact means from an orbit, or from the nearer of two."""
    curves = {name: data.noisy.curve.sel(line=name).values for name in ORBITS}
    paths = {rule: data.means.path.sel(rule=rule).values for rule in lines}
    away = [min(theory.path_distance(paths[r], curves[one]) for one in names) for r, names in lines.items()]
    away = xr.DataArray(away, {"rule": list(lines)}, ["rule"])
    return lab.exact("distance of the path from its orbit", away)


@study.claim(
    "On exact means of one problem SGD and momentum follow the orbit, the natural gradient its own; Adam and signs "
    "leave both.",
    origin=lab.Derived(),
)
def orbits(data):
    lines = OWN | dict.fromkeys(("Adam", "sign"), ORBITS)
    leave = xr.DataArray([len(names) > 1 for names in lines.values()], {"rule": list(lines)}, ["rule"])
    return _apart(data, lines).between(xr.where(leave, PARTED, 0.0), xr.where(leave, 1.0, PARTED))


orbits.null("the two orbits exchanged")(lambda data: _apart(data, EXCHANGED).below(PARTED))
orbits.null("SGD, momentum and natural gradient in the place of Adam and signs")(
    lambda data: _apart(data, dict.fromkeys(OWN, ORBITS)).above(PARTED)
)


def _sooner(data: lab.Data, rules: list[str], problems: list[int]) -> lab.Evidence:
    """Steps of SGD over those of others; infinite where SGD is not there in steps enough to say so, else unknown."""
    reached = data.means.reached.sel(problem=problems)
    reached = reached.assign_coords(problem=[NAMED[problem] for problem in problems])
    sgd, others = reached.sel(rule="SGD", drop=True), reached.sel(rule=rules)
    late = xr.where(np.isfinite(others) & (data.means.steps / others >= SOONER), np.inf, np.nan)
    factor = xr.where(np.isfinite(sgd), sgd / others, late).where(sgd.notnull() & others.notnull())
    return lab.exact("steps of SGD over its steps at equal early progress", factor).above(SOONER)


@study.claim(
    "With a tenth of the possible gain in the first 50 steps, the natural gradient, Adam and sign descent end two "
    "entanglements (γ = 6, 21) sooner than SGD, by a factor of 1.2 or more.",
    origin=lab.Derived(),
)
def sooner(data):
    return _sooner(data, [NATURAL, "Adam", "sign"], [1, 2])


sooner.null("momentum, γ = 6")(lambda data: _sooner(data, ["momentum"], [1]))


def _solved(data: lab.Data, rule: str) -> lab.Evidence:
    reached = data.means.reached.isel(problem=slice(4, None))
    solved = lab.where_known(np.isfinite(reached), reached)
    ours, theirs = solved.sel(rule=rule, drop=True), solved.sel(rule="SGD", drop=True)
    alone = {rule: ours * (1 - theirs), "SGD": theirs * (1 - ours)}
    more, fewer = (lab.share(f"random problems solved by {name} alone", x) for name, x in alone.items())
    return lab.all_of(more.above(SHARE), fewer.below(SHARE))


@study.claim(
    "On exact means Adam solves a tenth or more of random problems (10 patterns) that SGD does not in as many steps, "
    "and not the other way round.",
    origin=lab.Asked("Theory speaks of one entanglement; random problems have several rivals."),
)
def solves(data):
    return _solved(data, "Adam")


solves.null("momentum in Adam's place")(lambda data: _solved(data, "momentum"))


def _moved(data: lab.Data, rule: str) -> lab.Evidence:
    moved = data.means.moved.isel(problem=slice(4, None))
    words = f"logits that SGD moves over those that {rule} moves"
    return lab.ratio(words, moved.sel(rule="SGD"), moved.sel(rule=rule), "problem").below(FEWER)


@study.claim(
    "For equal early progress on random problems SGD moves fewer logits (participation ratio) than Adam, by a fifth.",
    origin=lab.Asked(
        "The paper counts weights of networks; a table has logits only.", (papers.GEO_3_SPARSE,)
    ),
)
def fewer(data):
    return _moved(data, "Adam")


fewer.null("momentum in Adam's place")(lambda data: _moved(data, "momentum"))


def _follows(data: lab.Data, line: str) -> lab.Evidence:
    curve = data.noisy.curve.sel(line=line).values

    def away(path: xr.DataArray) -> float:
        return theory.path_distance(path.mean("seed").values, curve)

    few = data.noisy.path.isel(record=slice(None, None, 4))  # the path is smooth
    return lab.statistic(f"distance of the mean path from {line}", away, few, draws=200).below(PARTED)


@study.claim(
    "On sampled groups of one problem Adam with small steps follows the flow ḡ/√(ḡ² + Var g) on average.",
    origin=lab.Derived(),
)
def follows(data):
    return _follows(data, "noisy Adam")


follows.null("SGD's orbit")(lambda data: _follows(data, "SGD"))


def _matches(reached: xr.DataArray) -> lab.Evidence:
    steps = _optimizers.tuned(reached, SAMPLED_STEPS).drop_vars("rate")
    sgd, adam = (steps.sel(rule=rule, drop=True) for rule in ("SGD", "Adam"))
    words, flags = "SGD needs at most twice Adam's steps", lab.where_known(sgd <= MATCH * adam, sgd, adam)
    return lab.share(words, flags, "seed").above(0.5).per("problem")


@study.claim(
    "On sampled groups of four problems, at the best rate of each, SGD needs at most twice as many steps as Adam in "
    "most runs.",
    origin=papers.GEO_3,
)
def matches(data):
    return _matches(data.samples.reached)


@matches.null("SGD at rates below a tenth")
def _(data):
    runs = data.samples
    return _matches(runs.reached.where((runs.rule != "SGD") | (runs.rate < 0.1), np.inf))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Paths in the simplex; steps at matched early progress; steps on random problems; tuned steps on samples."""
    figure, ((first, second), (third, fourth)) = plot.new((10.2, 7.2), nrows=2, ncols=2)
    plot.simplex_axes(("best", "rival", "poor"), ax=first)
    for name in COLORS:
        dash = (0, (4, 3)) if name in ("momentum", "sign") else "-"
        path = data.means.path.sel(rule=name).values
        plot.simplex(path, ax=first, color=COLORS[name], linestyle=dash, label=name, linewidth=1.8)
    average = data.noisy.path.mean("seed").values
    plot.simplex(average, ax=first, color=COLORS["Adam"], linestyle=":", label="Adam, sampled")
    first.legend(fontsize=8, loc="upper left", bbox_to_anchor=(-0.12, 1.0))
    first.set_title("Only momentum shares SGD's path")
    limit = int(data.means.steps)
    names = [name.replace(", ", ",\n") for name in NAMED]
    named = data.means.reached.isel(problem=slice(4)).assign_coords(problem=names)
    _optimizers.bars(named, second, limit, "Equal early progress: SGD waits", COLORS)
    panels.legend(None, second, fontsize=7.5, ncols=3, loc="upper left")

    title, x = "Random problems: SGD leaves many unsolved", "steps (equal early progress)"
    panels.frame(title, third, x=x, y="share of them solved", log="x", xlim=(100, limit), ylim=(0, 1.02))
    waiting = data.means.reached.isel(problem=slice(4, None))
    panels.survival(waiting, third, of="problem", by="rule", until=limit, rising=True, colors=COLORS)

    steps = _optimizers.tuned(data.samples.reached, SAMPLED_STEPS)
    median = steps.median("seed").assign_coords(problem=names)
    factor = float((median.sel(rule="SGD") / median.sel(rule="Adam")).max())
    median = median.where(median < SAMPLED_STEPS, np.inf)
    title = f"Sampled, best rate of each: SGD takes up to {factor:.1f} × Adam's steps"
    _optimizers.bars(median, fourth, SAMPLED_STEPS, title, COLORS)
    return figure

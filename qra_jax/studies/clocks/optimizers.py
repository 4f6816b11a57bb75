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

from functools import partial

import jax
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
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
STEPS, SAMPLED_STEPS = lab.scale(4000, 20_000), 2000
RATES = np.logspace(-2, 4 / 3, 11)
PARTED, SOONER, MATCH, SHARE = 0.01, 1.2, 2.0, 0.1
"""Differences that matter: between paths, in any share; factors in steps; of the share of problems solved."""
SGD_TAUS, NATURAL_TAUS = np.logspace(-1, 4, 799), np.linspace(0.05, 40, 799)
SLOW = {"rate": 1e-3, "steps": 10_000, "memory": 0.99}
"""Sampled Adam against its flow: small steps, and a memory (β₂) that is short against the path."""


@study.experiment()
def means(run: lab.Run) -> xr.Dataset:
    """Exact means at matched rates: settled steps, the path, and how many logits the first 50 steps moved."""
    steps, problems = run(STEPS), {"problem": range(4 + run(lab.scale(72, 240)))}
    options = {"dims": {"path": ["record", "pattern"]}, "block": 8}
    found = _optimizers.both(run, partial(_optimizers.matched, steps=steps), problems, **options)
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


def _apart(data: lab.Data, rules: list[str], line: str) -> lab.Estimate:
    """Distances of paths on exact means from an orbit, or from the nearer one of both."""
    lines = [line] if line != "either" else ["SGD", NATURAL]
    curves = [data.noisy.curve.sel(line=name).values for name in lines]
    away = [min(theory.path_distance(data.means.path.sel(rule=r).values, c) for c in curves) for r in rules]
    return lab.exact(f"distance of the path from {line} orbit", xr.DataArray(away, {"rule": rules}, ["rule"]))


def _orbits(data: lab.Data, first: str, second: str) -> lab.Evidence:
    own = _apart(data, ["SGD", "momentum"], first), _apart(data, [NATURAL], second)
    others = _apart(data, ["Adam", "sign"], "either").above(PARTED)
    return lab.all_of(*(distance.below(PARTED) for distance in own), others)


@study.claim(
    "On exact means SGD and momentum follow the orbit, the natural gradient its own; Adam and signs leave both.",
    origin=lab.Derived(),
)
def orbits(data):
    return _orbits(data, "SGD", NATURAL)


orbits.null("the two orbits exchanged")(lambda data: _orbits(data, NATURAL, "SGD"))


def _sooner(data: lab.Data, rules: list[str]) -> lab.Evidence:
    """Steps of SGD over those of others; a lower bound where SGD is not there yet."""
    reached = data.means.reached.sel(problem=[1, 2]).assign_coords(problem=NAMED[1:3])
    factor = np.minimum(reached.sel(rule="SGD", drop=True), data.means.steps) / reached.sel(rule=rules)
    return lab.exact("steps of SGD over its steps at equal early progress", factor).above(SOONER)


@study.claim(
    "At equal early progress the natural gradient, Adam and sign descent end an entanglement sooner than SGD.",
    origin=lab.Derived(),
)
def sooner(data):
    return _sooner(data, [NATURAL, "Adam", "sign"])


sooner.null("momentum")(lambda data: _sooner(data, ["momentum"]))


def _solved(data: lab.Data, rule: str) -> lab.Evidence:
    solved = np.isfinite(data.means.reached.isel(problem=slice(4, None))).astype(float)
    words = f"share of random problems solved by {rule}, less that by SGD"
    return lab.difference(words, solved.sel(rule=rule), solved.sel(rule="SGD"), "problem").above(SHARE)


@study.claim(
    "On exact means Adam solves more random problems than SGD in as many steps.", origin=lab.Derived()
)
def solves(data):
    return _solved(data, "Adam")


solves.null("momentum in Adam's place")(lambda data: _solved(data, "momentum"))


def _moved(data: lab.Data, rule: str) -> lab.Evidence:
    moved = data.means.moved.isel(problem=slice(4, None))
    words = f"logits that SGD moves over those that {rule} moves"
    return lab.ratio(words, moved.sel(rule="SGD"), moved.sel(rule=rule), "problem").below(0.8)


@study.claim(
    "For equal early progress SGD moves fewer logits (participation ratio) than Adam.",
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

    return lab.statistic(f"distance of the mean path from {line}", away, data.noisy.path, draws=60).below(
        PARTED
    )


@study.claim("On sampled groups Adam follows the flow ḡ/√(ḡ² + Var g).", origin=lab.Derived())
def follows(data):
    return _follows(data, "noisy Adam")


follows.null("SGD's orbit")(lambda data: _follows(data, "SGD"))


def _matches(reached: xr.DataArray) -> lab.Evidence:
    steps = _optimizers.tuned(reached, SAMPLED_STEPS)
    factor = lab.statistic(
        "median settled steps of SGD over those of Adam",
        lambda sgd, adam: sgd.median("seed", skipna=False) / adam.median("seed", skipna=False),
        *(steps.sel(rule=rule, drop=True).drop_vars("rate") for rule in ("SGD", "Adam")),
        to=np.log,
        back=np.exp,
    )
    return factor.below(MATCH).per("problem")


@study.claim("At the best rate of each SGD needs at most twice as many steps as Adam.", origin=papers.GEO_3)
def matches(data):
    return _matches(data.samples.reached)


matches.null("SGD at rates below a tenth")(
    lambda d: _matches(d.samples.reached.where((d.samples.rule != "SGD") | (d.samples.rate < 0.1), np.inf))
)


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
    _bars(named, second, limit, "Equal early progress: SGD waits")
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
    _bars(median, fourth, SAMPLED_STEPS, title)
    return figure


def _bars(steps: xr.DataArray, ax: Axes, limit: int, title: str) -> None:
    panels.frame(title, ax, x="", y="steps until π(r*) stays above .9", log="y", ylim=(5, 12 * limit))
    panels.bars(np.minimum(steps, limit), ax, x="problem", by="rule", colors=COLORS)
    for (i, j), value in np.ndenumerate(steps.transpose("problem", "rule").values):
        if not np.isfinite(value):
            ax.text(i + (j - 2) * 0.16, limit, ">", ha="center", va="bottom", fontsize=9)

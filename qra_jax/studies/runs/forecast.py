"""Do the first 30 % of a run tell how it ends, and which dynamics made it?

Extrapolation of weights from a short early window is reported to reach most of the final performance; here the
accuracy curve alone is given. Runs are simulated from regimes that the fit does not know by name: populations of
questions with three patterns each, trained by GRPO (groups of 8) by the exact flow, in the fast regime, in the
entangled one, and held by a KL term; and populations whose logits shift together. Logged points are as noisy as real
ones: 16 fresh questions of 64, with 8 rollouts each. The first 30 % of the points are fitted by every dynamics of
`qra_jax.fit`; the forecast is their mixture by posterior probability.

Theory predicts that (a) what is known of the dynamics beats curves that know nothing of it; (b) intervals are right
where the models are, so that 80 % intervals hold 80 % of the points that follow; (c) dynamics are told apart by whole
curves with many samples, not by early noisy points, as their early courses differ by less than the noise.

Beside the forecasts stand the theory's prior, which has seen no point, and intervals of half the width. For (c), curves
that each dynamics itself has made are fitted by all five, whole and rich in samples, or early and poor.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import fit, plot
from qra_jax.fit import dynamics
from qra_jax.fit.drawing import COLORS, THEORY
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.runs._forecasts import METHODS, PART, POINTS, PRIOR, REGIMES, ROLLOUTS, simulated

study = lab.Study(__name__, title="Forecast: what the first 30 % of a simulated run tell of the rest")

RUNS, DRAWS, EACH = lab.scale(3, 24), lab.scale(32, 64), lab.scale(2, 8)
"""Runs of a regime, draws of a fit, curves that each dynamics makes."""
CURVES = {"whole, 4096 samples": (4096, 1.0), "first 30 %, 64 samples": (64, PART)}
"""Samples of a point, and the part of the curve that is seen."""
HARDER = 0.01
"""Difference of errors at the end that would matter."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Simulated runs of each regime, their forecasts from the first part, and how good these were."""
    made = run.bank.get(simulated, runs=run(RUNS), draws=run(DRAWS), seed=run.seed)
    dims = dict.fromkeys(("error", "end", "crps", "covered", "narrow"), ("regime", "run", "forecast"))
    dims |= dict.fromkeys(("accuracy", "logged"), ("regime", "run", "point"))
    dims |= {"weight": ("regime", "run", "dynamics"), "path": ("regime", "run", "line", "ahead")}
    coords = {"regime": list(REGIMES), "forecast": list(METHODS), "dynamics": list(fit.DYNAMICS)}
    coords |= {"line": ["median", "low", "high"]}
    return lab.dataset({name: (dims[name], value) for name, value in made.items()}, coords)


@study.experiment()
def choices(run: lab.Run) -> xr.Dataset:
    """Posterior probability of each dynamics, for curves made by each of them that rise by more than ½."""
    models = [model for model in fit.MODELS if model.patterns == 1]
    count, number, rng = run(EACH), len(models), np.random.default_rng(run.seed)
    table, u = dynamics.clocks(ROLLOUTS), rng.standard_normal((number, 40 * count, len(dynamics.PARAMETERS)))

    @jax.jit
    def rises(u):
        def one(u, which):
            return dynamics.accuracy(u, jnp.array([which, 1]), jnp.linspace(0, 1, POINTS), table)

        return jax.lax.map(
            lambda row: jax.vmap(lambda own: one(own, row[1]))(row[0]), (u, jnp.arange(number))
        )

    every = np.asarray(rises(u))
    whole = np.array([group[group[:, -1] - group[:, 0] > 0.5][:count] for group in every])
    steps, curves, untils = np.arange(POINTS, dtype=float), [], []
    for samples, part in CURVES.values():
        drawn = rng.binomial(samples, whole.reshape(-1, POINTS)) / samples
        curves += [fit.Curve(steps, y, np.full(POINTS, samples)) for y in drawn]
        untils += [part * (POINTS - 1)] * len(drawn)
    fits = fit.fit_many(curves, untils, models=models, draws=run(DRAWS), seed=run.seed)
    weights = np.array([[one.dynamics[name] for name in fit.DYNAMICS] for one in fits])
    weights = weights.reshape(len(CURVES), number, count, number)
    coords = {"curves": list(CURVES), "made": list(fit.DYNAMICS), "dynamics": list(fit.DYNAMICS)}
    return lab.dataset({"weight": (("curves", "made", "run", "dynamics"), weights)}, coords)


def _ahead(data: lab.Data, forecast: str) -> lab.Evidence:
    """Errors at the end of every baseline less those of a forecast, over the runs of all regimes."""
    end = data.runs.end.stack(member=("regime", "run")).rename(forecast="baseline")
    own, others = end.sel(baseline=forecast, drop=True), end.sel(baseline=list(fit.BASELINES))
    gap = lab.difference("error at the end, baseline less theory", others, own, "member")
    return gap.above(0).per("baseline")


@study.claim(
    "From the first 30 % of a simulated run the theory forecasts the end better than each baseline.",
    origin=lab.Derived(
        "qra_jax.fit: models and priors of what theory knows of curves", (papers.A_3, papers.RELEX)
    ),
)
def better(data):
    return _ahead(data, THEORY)


@better.null("the theory's prior, which has seen no point")
def _(data):
    return _ahead(data, PRIOR)


def _held(data: lab.Data, covered: str) -> lab.Evidence:
    held = data.runs[covered].sel(forecast=THEORY, drop=True)
    return lab.mean("share of later points in the interval", held, "run").near(0.8, within=0.1).per("regime")


@study.claim(
    "80 % intervals of the forecast hold 80 % of the points that follow, in every regime.",
    origin=lab.Derived("qra_jax.fit: posterior predictive intervals, exact where the models are"),
)
def calibrated(data):
    return _held(data, "covered")


@calibrated.null("intervals of half the width")
def _(data):
    return _held(data, "narrow")


def _right(data: lab.Data, shift: int = 0) -> xr.DataArray:
    """Whether the dynamics that made a curve has the highest probability, `[curves, made, run]`."""
    own = xr.DataArray(np.roll(np.arange(len(fit.DYNAMICS)), shift), dims="made")
    weight = data.choices.weight
    return (weight.argmax("dynamics", skipna=False) == own).where(weight.notnull().all("dynamics"))


def _told(data: lab.Data, shift: int = 0) -> lab.Evidence:
    right = lab.share("curves whose own dynamics is the most probable", _right(data, shift), ["made", "run"])
    return right.above(0.5).per("curves")


@study.claim(
    "A measured curve of accuracy tells which of five dynamics made it, more often than not.",
    origin=lab.Derived("qra_jax.fit: the evidence of a dynamics", (papers.A_3,)),
)
def tells(data):
    return _told(data)


@tells.null("the probability of another dynamics in the place of its own")
def _(data):
    return _told(data, shift=1)


def _harder(data: lab.Data, regime: str, other: str) -> lab.Evidence:
    end = data.runs.end.sel(forecast=THEORY, drop=True)
    here, there = end.sel(regime=regime, drop=True), end.sel(regime=other, drop=True)
    gap = lab.difference("difference of errors at the end", here, there, "run")
    return gap.above(HARDER)


@study.claim(
    "An entangled run's end is harder to forecast than a fast one's.",
    origin=lab.Asked(
        "In the entangled regime accuracy rests before its last rise, which early points cannot show.",
        (papers.QRA_3,),
    ),
)
def harder(data):
    return _harder(data, "entangled", "fast")


@harder.null("the fast runs against the entangled ones")
def _(data):
    return _harder(data, "fast", "entangled")


@harder.positive(
    "the runs whose logits shift together, whose speed does not fall, against the entangled ones"
)
def _(data):
    return _harder(data, "common shift", "entangled")


@study.figure
def draw(data: lab.Data) -> Figure:
    """A run of each regime; errors at the end by regime; which dynamics is chosen."""
    figure, axes = plot.new((11.0, 6.4), nrows=2, ncols=4, height_ratios=[1, 1.15])
    for ax in axes[1]:
        ax.remove()
    grid = axes[0, 0].get_gridspec()
    for regime, ax in zip(REGIMES, axes[0], strict=True):
        _run(data.runs.sel(regime=regime), regime, ax)
    axes[0, 0].legend(loc="lower right", fontsize=7)
    ends, ax = data.runs.end.sel(forecast=list(METHODS[:-1])), figure.add_subplot(grid[1, :2])
    every = ends.mean(["regime", "run"])
    order = every.sortby(every).forecast.values[:2]
    first, second = (f"{name} ({every.sel(forecast=name):.3f})" for name in order)
    panels.frame(f"Smallest error at the end: {first}, then {second}", ax, x="", y="error at the end")
    panels.bars(ends, ax, x="regime", by="forecast", over="run", colors=COLORS)
    ax.set_ylim(0, 1.2 * ax.get_ylim()[1])
    ax.legend(ncols=5, fontsize=7, loc="upper center")
    ax, right = figure.add_subplot(grid[1, 2:]), _right(data).mean(["made", "run"])
    best = data.choices.weight.argmax("dynamics").isel(curves=0)
    table = xr.concat([(best == i).mean("run") for i in range(len(fit.DYNAMICS))], "chosen")
    table = table.assign_coords(chosen=[name.replace(" ", "\n") for name in fit.DYNAMICS])
    title = f"Dynamics chosen rightly: {right[0]:.0%} of whole curves, {right[1]:.0%} of early noisy ones"
    panels.frame(title, ax, x="dynamics chosen (whole curve, 4096 samples)", y="dynamics that made it")
    panels.heat(table, ax, x="chosen", y="made", limits=(0, 1), numbers="{:.0%}", cmap="Blues")
    ax.tick_params(labelsize=7)
    return figure


def _run(runs: xr.Dataset, regime: str, ax: Axes) -> None:
    """The run whose error at the end is the median one."""
    order = np.argsort(runs.end.sel(forecast=THEORY).values)
    one, part = runs.isel(run=int(order[len(order) // 2])), np.arange(POINTS) / (POINTS - 1)
    early, color = part <= PART, COLORS[THEORY]
    median, low, high = one.path.values
    panels.frame(regime[0].upper() + regime[1:], ax, x="part of the run", y="accuracy", ylim=(-0.02, 1.02))
    panels.mark(PART, ax)
    ax.fill_between(part[~early], low, high, color=color, alpha=0.2, lw=0)
    ax.plot(part[early], one.logged[early], "o", color="black", ms=2.5, label="logged")
    ax.plot(part, one.accuracy, color=plot.ACCURACY, lw=1, label="true")
    ax.plot(part[~early], median, color=color, lw=2, label="forecast, 80 %")

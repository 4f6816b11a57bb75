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

Beside the forecasts stand the theory's prior, which has seen no point, and intervals of half the width. Errors are
averaged over the four regimes, a run of each, so that no scatter between regimes counts as one between runs. For (c),
curves that each dynamics itself has made are fitted by all five, whole and rich in samples, or early and poor.
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
from qra_jax.studies.runs._forecasts import METHODS, PART, POINTS, PRIOR, REGIMES, ROLLOUTS, ahead, simulated

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
    made = run.bank.get(simulated, runs=run(RUNS), draws=run(DRAWS), seed=run.shared_seed)
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
    table, grid = dynamics.clocks(ROLLOUTS), jnp.linspace(0, 1, POINTS)

    @jax.jit
    def made(u):
        def one(u, which):
            return dynamics.accuracy(u, jnp.array([which, 1]), grid, table)

        rows = u, jnp.arange(number)
        return jax.lax.map(lambda row: jax.vmap(lambda own: one(own, row[1]))(row[0]), rows)

    rising = [np.empty((0, POINTS)) for _ in models]
    while min(map(len, rising)) < count:
        every = np.asarray(made(rng.standard_normal((number, 100, len(dynamics.PARAMETERS)))))
        rising = [
            np.vstack([old, new[new[:, -1] - new[:, 0] > 0.5]])
            for old, new in zip(rising, every, strict=True)
        ]
    whole = np.array([curves[:count] for curves in rising])
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
    return ahead("error at the end", data.runs.end.mean("regime", skipna=False), forecast, "run")


@study.claim(
    "From the first 30 % of a simulated run the theory forecasts the end better than each baseline, over four regimes.",
    origin=lab.Asked("Does it help to know what theory knows of curves?", (papers.A_3, papers.RELEX)),
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
    "80 % intervals of the forecast hold 70 to 90 % of the points that follow, in each of four regimes.",
    origin=lab.Asked("Posterior predictive intervals are exact where the models are; are these near enough?"),
)
def calibrated(data):
    return _held(data, "covered")


@calibrated.null("intervals of half the width")
def _(data):
    return _held(data, "narrow")


def _right(data: lab.Data) -> xr.DataArray:
    """Whether the dynamics that made a curve has the highest probability, `[curves, made, run]`."""
    own = xr.DataArray(np.arange(len(fit.DYNAMICS)), dims="made")
    weight = data.choices.weight
    best = weight.argmax("dynamics", skipna=False)
    return lab.where_known(best == own, weight.sum("dynamics", skipna=False))


@study.claim(
    "A curve that one of five dynamics made, and that rises by more than ½, tells which, more often than not.",
    origin=lab.Asked("Is the dynamics of a run to be read off its curve of accuracy?", (papers.A_3,)),
    needs_no_control="each of the five makes as many curves: a choice that is blind to the curve is right for a fifth",
)
def tells(data):
    right = lab.share("curves whose own dynamics is the most probable", _right(data), ["made", "run"])
    return right.above(0.5).per("curves")


def _harder(data: lab.Data, forecast: str) -> lab.Evidence:
    here = data.runs.end.sel(regime="entangled", forecast=forecast, drop=True)
    there = data.runs.end.sel(regime="fast", forecast=THEORY, drop=True)
    return lab.difference("error at the end, entangled less fast", here, there, "run").above(HARDER)


@study.claim(
    "An entangled run's end is harder to forecast than a fast one's.",
    origin=lab.Asked(
        "In the entangled regime accuracy rests before its last rise, which early points cannot show.",
        (papers.QRA_3,),
    ),
    needs_no_control="the fast runs are the control: drawn, trained, logged and forecast in the same way",
)
def harder(data):
    return _harder(data, THEORY)


@harder.positive("the entangled runs forecast by the prior, which has seen no point")
def _(data):
    return _harder(data, PRIOR)


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

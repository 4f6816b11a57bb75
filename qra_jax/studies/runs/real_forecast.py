"""Do the first 30 % of real training runs tell how they go on, better than simple curves do?

The control that simulations cannot give: accuracy curves of runs that nobody made for this package, with other
algorithms, models and noise than the theory assumes. Each curve is fitted up to 30 % of its steps, by `qra_jax.fit`
with its default priors and by the baselines, and all are scored on the rest: error at the end (mean of the last
tenth), continuous ranked probability score (CRPS), and cover of the 80 % intervals. Theory predicts the smaller errors
and the right cover, as far as real runs move as its models do; and that early points, few and noisy, leave open which
dynamics makes a run.

Runs are one file each, with columns step and accuracy; a reward on another scale counts where its range is known, and
other files are skipped and named. Runs of one experiment are no independent draws: they are averaged, and intervals are
Student's over experiments, which the first word of a file's name tells apart (in the quick version: a run of each).

Beside the real runs stand simulated ones, which move as some model of the theory does, cut and scored in the same way:
what the instrument can say. The theory's prior, which has seen no point, is the null.
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import fit, plot
from qra_jax.fit.drawing import COLORS, THEORY
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.runs._forecasts import METHODS, PRIOR, REGIMES, SCORES, ahead, forecasts, read, simulated
from qra_jax.studies.runs.forecast import DRAWS, RUNS

study = lab.Study(
    __name__, title="Real runs: forecasts of the rest from the first 30 %, beside simulated ones"
)

NEEDED = "a folder of CSV files, one training run each, with columns step and accuracy"
CERTAIN, SHOWN = 0.8, 8
"""Probability with which a dynamics counts as told; runs that are drawn."""
WHY = lab.Asked(
    "Only real curves can say whether the models of the theory are those of practice.",
    (papers.A_3, papers.RELEX),
)


@study.experiment()
def controls(run: lab.Run) -> xr.Dataset:
    """Simulated runs, forecast from their first part: those of the study forecast."""
    made = run.bank.get(simulated, runs=run(RUNS), draws=run(DRAWS), seed=run.shared_seed)
    dims = dict.fromkeys(SCORES, ("regime", "run", "forecast")) | {"weight": ("regime", "run", "dynamics")}
    coords = {"regime": list(REGIMES), "forecast": list(METHODS), "dynamics": list(fit.DYNAMICS)}
    return lab.dataset({name: (dims[name], made[name]) for name in dims}, coords)


@study.experiment(measured=True)
def real(run: lab.Run) -> xr.Dataset:
    """Scores of every real run and forecast, and the theory's forecasts for the figure; short runs begin with NaN."""
    curves, untils, skipped = read(run.measured(NEEDED))
    if not curves:
        raise lab.DataMissing(f"needs {NEEDED}; no run of the folder can be scored")
    experiments = [curve.name.split("_")[0] for curve in curves]
    kept = (
        [experiments.index(name) for name in dict.fromkeys(experiments)] if run.quick else range(len(curves))
    )
    curves, untils = [curves[i] for i in kept], [untils[i] for i in kept]
    scores, ahead = forecasts(curves, untils, draws=run(lab.scale(32, 256)), seed=run.seed)
    longest = max(len(curve.steps) for curve in curves)

    def filled(values: np.ndarray) -> np.ndarray:
        return np.pad(values, (longest - len(values), 0), constant_values=np.nan)

    lines = [[filled(line) for line in (one.median, one.low, one.high)] for one in ahead]
    dims = dict.fromkeys(SCORES, ("run", "forecast")) | {"weight": ("run", "dynamics")}
    values: dict[str, Any] = {name: (dims[name], scores[name]) for name in dims} | {"until": ("run", untils)}
    for name in ("steps", "accuracy"):
        values[name] = (("run", "point"), [filled(getattr(curve, name)) for curve in curves])
    coords = {"forecast": list(METHODS), "dynamics": list(fit.DYNAMICS), "run": [c.name for c in curves]}
    values["path"] = (("run", "line", "point"), lines)
    made = lab.dataset(values, coords, skipped="; ".join(skipped) or "no file")
    return made.assign_coords(experiment=("run", [experiments[i] for i in kept]))


def _each(values: xr.DataArray) -> xr.DataArray:
    """Means over the runs of each experiment."""
    return values.groupby("experiment").mean("run", skipna=False)


def _real(data: lab.Data, score: str, forecast: str, words: str) -> lab.Evidence:
    return ahead(words, _each(data.real[score]), forecast, "experiment")


def _simulated(data: lab.Data, forecast: str) -> lab.Evidence:
    return ahead("CRPS", data.controls.crps.mean("regime", skipna=False), forecast, "run")


@study.claim(
    "From the first 30 % of real runs the theory forecasts the end better than each baseline.", origin=WHY
)
def end(data):
    return _real(data, "end", THEORY, "error at the end")


@end.null("the theory's prior, which has seen no point")
def _(data):
    return _real(data, "end", PRIOR, "error at the end")


@study.claim(
    "As a probability (CRPS) the theory's forecast of real runs is better than each baseline's.", origin=WHY
)
def probability(data):
    return _real(data, "crps", THEORY, "CRPS")


@probability.null("the theory's prior, which has seen no point")
def _(data):
    return _real(data, "crps", PRIOR, "CRPS")


@study.claim(
    "As a probability (CRPS) the theory's forecast of simulated runs of four regimes is better than each baseline's.",
    origin=lab.Asked("Does it help to know what theory knows of curves?", (papers.A_3,)),
)
def simulated_probability(data):
    return _simulated(data, THEORY)


@simulated_probability.null("the theory's prior, which has seen no point")
def _(data):
    return _simulated(data, PRIOR)


def _held(data: lab.Data, covered: str) -> lab.Evidence:
    held = _each(data.real[covered].sel(forecast=THEORY, drop=True))
    return lab.mean("share of later points in the interval", held, "experiment").near(0.8, within=0.1)


@study.claim("80 % intervals of the forecast hold 70 to 90 % of the later points of real runs.", origin=WHY)
def calibrated(data):
    return _held(data, "covered")


@calibrated.null("intervals of half the width")
def _(data):
    return _held(data, "narrow")


def _certain(runs: xr.Dataset, independent: int) -> lab.Evidence:
    sure = runs.weight.max("dynamics", skipna=False)
    flags, words = lab.where_known(sure >= CERTAIN, sure), f"{CERTAIN} or more"
    return lab.share(f"runs of which one dynamics has probability {words}", flags, n=independent).above(0.5)


@study.claim(
    "The first 30 % of most real runs tell which dynamics makes them: one is nearly certain.",
    origin=lab.Asked("A forecast that knew the dynamics would be much narrower.", (papers.A_3,)),
)
def tells(data):
    return _certain(data.real, len(np.unique(data.real.experiment)))


@tells.null("simulated runs, whose early noisy points do not tell (study forecast)")
def _(data):
    return _certain(data.controls, data.controls.sizes["regime"] * data.controls.sizes["run"])


@study.figure
def draw(data: lab.Data) -> Figure:
    """Errors at the end of every run by forecast, beside those of simulated runs; forecasts of some runs."""
    if not data.has("real"):
        figure, ax = plot.new((5.6, 3.6))
        _simulations(data, ax)
        return figure
    runs = data.real
    count = runs.sizes["run"]
    rows, columns = 4, max(-(-min(SHOWN, count) // 4), 1)
    size, widths = (6.2 + 2.6 * columns, max(5.6, 2.6 + 0.24 * count)), [1.2, 1.2] + [1] * columns
    figure, axes = plot.new(size, nrows=rows, ncols=2 + columns, width_ratios=widths)
    grid = axes[0, 0].get_gridspec()
    for ax in axes[:, :2].ravel():
        ax.remove()
    _table(runs, figure.add_subplot(grid[:3, :2]))
    _simulations(data, figure.add_subplot(grid[3, :2]))
    shown = np.unique(np.linspace(0, count - 1, min(SHOWN, count)).astype(int))
    for place, ax in enumerate(axes[:, 2:].ravel()):
        if place < len(shown):
            _path(runs.isel(run=shown[place]), ax)
        else:
            ax.remove()
    return figure


def _simulations(data: lab.Data, ax: Axes) -> None:
    crps = data.controls.crps.sel(forecast=list(METHODS[:-1])).stack(member=("regime", "run"))
    order = crps.mean("member").sortby(crps.mean("member")).forecast.values[:2]
    panels.frame(f"Simulated runs: smallest CRPS by {order[0]}, then {order[1]}", ax, x="CRPS", y="")
    panels.bars(crps, ax, x="forecast", over="member", flat=True, colors=COLORS, numbers="{:.3f}")


def _table(runs: xr.Dataset, ax: Axes) -> None:
    ends = runs.end.sel(forecast=list(METHODS[:-1]))
    ends = ends.sortby(ends.sel(forecast=THEORY))
    rows, every = np.arange(ends.sizes["run"]), ends.mean("run")
    best = every.sortby(every)
    first, second = (
        f"{name} ({value:.3f})" for name, value in zip(best.forecast.values[:2], best.values, strict=False)
    )
    won = int((ends.sel(forecast=THEORY) <= ends.min("forecast")).sum())
    title = f"Smallest error: {first}, then {second}; theory best in {won} of {len(rows)} runs"
    panels.frame(title, ax, x="error at the end (accuracy)", y="", xlim=(-0.02, ends.max() * 1.05))
    for name in reversed(METHODS[:-1]):
        style: Any = {"s": 42, "zorder": 3} if name == THEORY else {"s": 20, "alpha": 0.9}
        ax.scatter(ends.sel(forecast=name), rows, color=COLORS[name], label=name, **style)
    ax.set_yticks(rows, [_short(str(name)) for name in ends.run.values], fontsize=7)
    ax.grid(axis="y", lw=0.4, alpha=0.5)
    ax.legend(loc="lower right", fontsize=8)


def _path(run: xr.Dataset, ax: Axes) -> None:
    early, color = run.steps <= run.until, COLORS[THEORY]
    median, low, high = run.path
    ax.fill_between(run.steps, low, high, color=color, alpha=0.2, lw=0)
    ax.plot(run.steps[early], run.accuracy[early], "o", color="black", ms=2)
    ax.plot(run.steps[~early], run.accuracy[~early], "o", color=plot.MUTED, ms=1.5)
    ax.plot(run.steps, median, color=color, lw=1.5)
    ax.set(ylim=(-0.02, 1.02))
    ax.set_title(_short(str(run.run.item()), 24), fontsize=8)
    ax.tick_params(labelsize=7)


def _short(name: str, length: int = 44) -> str:
    """The end of a name tells runs of one series apart."""
    return name if len(name) <= length else "…" + name[1 - length :]

"""Panels of the study of gradient descent and Adam."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._optimizers import ADAM, AGAIN, SFT, SGD

COLORS = {SGD: plot.BEST, ADAM: plot.RIVAL, AGAIN: "#DDAA33", SFT: plot.MUTED}


def drawn(data: lab.Data) -> Figure:
    """The figure of the study: of the last task."""
    task = data.runs.task.values[-1]
    runs, own = data.runs.sel(task=task), data.moments.sel(task=task)
    figure, (first, second, third, fourth) = plot.new((13.6, 3.9), ncols=4, width_ratios=[1.2, 1.3, 1, 1])
    rewards(runs, task, first)
    changes(runs, second)
    gradients(own, third)
    second_moments(own, fourth)
    return figure


def rewards(runs: xr.Dataset, task: str, ax: Axes) -> None:
    """Accuracy along training."""
    end = runs.accuracy.isel(step=-1).mean("seed")
    title = f"GRPO ends at {float(end.sel(arm=SGD)):.2f} by SGD, at {float(end.sel(arm=ADAM)):.2f} by Adam ({task})"
    panels.frame(title, ax, x="step", y="accuracy", ylim=(0, 1))
    panels.curves(runs.accuracy, ax, x="step", by="arm", over="seed", colors=COLORS)
    panels.legend(None, ax)


def changes(runs: xr.Dataset, ax: Axes) -> None:
    """Shares of weights changed against the norm of the update, scaled, beside Gaussian twins."""
    at_norm = runs.at_norm.sel(when="end", arm=[SGD, ADAM], update=["own", "Gaussian"])
    middle = at_norm.sel(update="own").isel(norm=0).mean("seed")
    less = float(middle.sel(arm=SGD) / middle.sel(arm=ADAM))
    title = f"At ‖ΔW‖ = {float(runs.norm[0]):g} ‖W₀‖ SGD changes {less:.0%} of what Adam does"
    panels.frame(title, ax, x="‖ΔW‖ / ‖W₀‖", y="share of weights changed (bfloat16)", log="x", ylim=(0, 1.05))
    options = {"by": "arm", "dash": "update", "over": "seed", "colors": COLORS}
    panels.dots(at_norm, ax, x="norm", join=True, nudge=0.08, **options)
    panels.legend(None, ax)


def gradients(own: xr.Dataset, ax: Axes) -> None:
    """Cosines of the first moment with the gradient of its step, and of two batches."""
    gradient = own.own.sel(gradient=["own", "signs"]).rename(gradient="of")
    both = [gradient, own.fresh.expand_dims(of=["two batches"])]
    cosines = xr.concat(both, "of").assign_coords(
        of=["first moment", "the same, random signs", "two batches"]
    )
    fresh = own.fresh.mean("seed")
    title = f"Two batches: {float(fresh.sel(arm=ADAM)):.2f} in GRPO, {float(fresh.sel(arm=SFT)):.2f} in SFT"
    panels.frame(title, ax, x="", y="cosine with the gradient", ylim=(-0.2, 1))
    shades = dict(zip(cosines.of.values, (plot.BEST, plot.MUTED, plot.RIVAL), strict=True))
    panels.dots(cosines, ax, x="arm", by="of", over="seed", colors=shades, nudge=0.1)
    panels.legend(None, ax)
    ax.tick_params("x", rotation=30)


def second_moments(own: xr.Dataset, ax: Axes) -> None:
    """How far adaptive rates differ within a matrix."""
    spread = own.spread.sel(entries=["own", "permuted"])
    far = float(spread.sel(arm=ADAM, entries="own").mean("seed"))
    title = f"Adaptive rates differ {far:.0f}-fold in GRPO"
    panels.frame(title, ax, x="", y="ninth over first decile", log="y", ylim=(1, 200))
    shades = {"own": plot.BEST, "permuted": plot.MUTED}
    panels.dots(spread, ax, x="arm", by="entries", over="seed", colors=shades)
    panels.legend(None, ax)
    ax.tick_params("x", rotation=30)

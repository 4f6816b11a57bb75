"""Panels of the study of gradient descent and Adam."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._optimizers import ADAM, SFT, SFT_SGD, SGD

COLORS = {"SGD": plot.BEST, "Adam": plot.RIVAL}
WAYS = (ADAM, "GRPO"), (SFT, "SFT")


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
    """Accuracy along training, of GRPO and of SFT."""
    lost = {
        way: float(
            runs.accuracy.isel(step=-1).sel(arm=adam).mean("seed")
            - runs.accuracy.isel(step=-1).sel(arm=sgd).mean("seed")
        )
        for way, sgd, adam in (("GRPO", SGD, ADAM), ("SFT", SFT_SGD, SFT))
    }
    said = ", ".join(f"{way} {loss:+.2f}" for way, loss in lost.items())
    panels.frame(
        f"Accuracy at the end, Adam less SGD: {said} ({task})", ax, x="step", y="accuracy", ylim=(0, 1.02)
    )
    both = [_by_optimizer(runs.accuracy, sgd, adam) for sgd, adam in ((SGD, ADAM), (SFT_SGD, SFT))]
    accuracy = xr.concat(both, "way").assign_coords(way=["GRPO", "SFT"])
    panels.curves(accuracy, ax, x="step", by="optimizer", dash="way", over="seed", colors=COLORS)
    panels.legend(None, ax)


def changes(runs: xr.Dataset, ax: Axes) -> None:
    """Shares of weights changed against the norm of the update, scaled, beside Gaussian twins."""
    at_norm = _by_optimizer(runs.at_norm.sel(when="end", update=["own", "Gaussian"]), SGD, ADAM)
    norm = float(at_norm.norm[0])
    least = at_norm.sel(norm=norm, update="own").mean("seed")
    said = [f"{float(least.sel(optimizer=name)):.0%} by {name}" for name in COLORS]
    title = f"Scaled to {panels.plain(norm)} of the weights, GRPO's update changes {' and '.join(said)}"
    panels.frame(title, ax, x="‖ΔW‖ / ‖W₀‖", y="share of weights changed (bfloat16)", log="x", ylim=(0, 1.05))
    options = {"by": "optimizer", "dash": "update", "over": "seed", "colors": COLORS}
    panels.dots(at_norm, ax, x="norm", join=True, nudge=0.08, **options)
    panels.legend(None, ax)


def _by_optimizer(values: xr.DataArray, sgd: str, adam: str) -> xr.DataArray:
    return values.sel(arm=[sgd, adam]).rename(arm="optimizer").assign_coords(optimizer=list(COLORS))


def gradients(own: xr.Dataset, ax: Axes) -> None:
    """Cosines of the first moment, with its gradient and with the next one, and of two batches."""
    cosines = {
        "moment, its gradient": own.own.sel(gradient="own"),
        "the same, random signs": own.own.sel(gradient="signs"),
        "moment, next gradient": own["next"].sel(gradient="own"),
        "two batches": own.fresh,
    }
    every = xr.concat([x.drop_vars("gradient", errors="ignore") for x in cosines.values()], "of")
    every = every.assign_coords(of=list(cosines)).sel(arm=[ADAM, SFT])
    said = [
        f"{float(own['next'].sel(gradient='own', arm=arm).mean('seed')):.2f} in {name}" for arm, name in WAYS
    ]
    panels.frame(f"Moment and next gradient: {', '.join(said)}", ax, x="", y="cosine", ylim=(-0.3, 1.3))
    shades = dict(zip(cosines, (plot.BEST, plot.MUTED, "#DDAA33", plot.RIVAL), strict=True))
    panels.dots(every, ax, x="arm", by="of", over="seed", colors=shades, nudge=0.1)
    panels.legend(None, ax)


def second_moments(own: xr.Dataset, ax: Axes) -> None:
    """How far adaptive rates differ within a matrix."""
    spread = own.spread.sel(entries=["own", "permuted"], arm=[ADAM, SFT])
    middle = np.exp(np.log(spread.sel(entries="own")).mean("seed"))
    said = ", ".join(f"{float(middle.sel(arm=arm)):.0f}-fold in {name}" for arm, name in WAYS)
    top = 4 * float(spread.max())
    panels.frame(
        f"Adaptive rates differ {said}", ax, x="", y="ninth over first decile", log="y", ylim=(1, top)
    )
    shades = {"own": plot.BEST, "permuted": plot.MUTED}
    panels.dots(spread, ax, x="arm", by="entries", over="seed", colors=shades)
    panels.legend(None, ax)

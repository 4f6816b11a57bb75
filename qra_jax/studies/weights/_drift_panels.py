"""Panels of the study of evolution strategies."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._drift import AGAIN, BASE, ES, FURTHER, GRPO, WALK

COLORS = {ES: plot.BEST, GRPO: plot.RIVAL, AGAIN: "#DDAA33", WALK: plot.MUTED, BASE: "black"}


def drawn(data: lab.Data) -> Figure:
    """The figure of the study: of the last task."""
    task = data.runs.task.values[-1]
    runs = data.runs.sel(task=task)
    figure, (first, second, third, fourth) = plot.new((13.8, 4.1), ncols=4, width_ratios=[1.2, 1.1, 1.3, 1])
    rewards(runs, task, first)
    coverage(runs, second)
    drift(runs, third)
    spread(data.again, fourth)
    return figure


def rewards(runs: xr.Dataset, task: str, ax: Axes) -> None:
    """Accuracy along training, and that of the random walk."""
    end = runs.path.isel(step=-1).mean("seed")
    own, other = (float(end.sel(course=arm)) for arm in (ES, GRPO))
    title = f"At equal rollouts evolution ends at {own:.2f}, GRPO at {other:.2f} ({task})"
    panels.frame(title, ax, x="step of GRPO", y="accuracy", ylim=(0, 1))
    panels.curves(runs.path, ax, x="step", by="course", over="seed", colors=COLORS)
    walk = float(runs.accuracy.sel(when="end", arm=WALK, set="asked").mean("seed"))
    panels.mark(walk, ax, "random walk as long", axis="y", before=True)
    panels.legend(None, ax)


def coverage(runs: xr.Dataset, ax: Axes) -> None:
    """Pass@k of questions that are asked."""
    passed = runs.passed.sel(when="end", set="asked", arm=[ES, GRPO, WALK, BASE])
    panels.frame("Coverage of the questions asked", ax, x="tries k", y="pass@k", log="x", ylim=(0, 1.02))
    panels.curves(passed, ax, x="k", by="arm", over="seed", colors=COLORS)
    panels.legend(None, ax)


def drift(runs: xr.Dataset, ax: Axes) -> None:
    """KL to the base by the kind of sequences."""
    kl = runs.kl.sel(when="end", arm=[ES, GRPO, WALK])
    off = kl.sel(kind="random tokens").mean("seed")
    title = f"On random tokens {float(off.sel(arm=ES) / off.sel(arm=GRPO)):.1f} times GRPO's drift"
    panels.frame(title, ax, x="", y="KL to the base / nats a token", log="y", ylim=(1e-3, 30))
    panels.dots(kl, ax, x="kind", by="arm", over="seed", colors=COLORS, nudge=0.1)
    panels.legend(None, ax)
    ax.tick_params("x", rotation=30)


def spread(again: xr.Dataset, ax: Axes) -> None:
    """Differences of two runs of a base."""
    apart = abs(again.accuracy.isel(key=0) - again.accuracy.isel(key=1)).rename("apart")
    known = apart.isel(pair=[i for i, name in enumerate(apart.pair.values) if name in (ES, GRPO, FURTHER)])
    known = known.isel(pair=known.notnull().all("seed").values)
    mean = known.mean("seed")
    ratio = float(mean.sel(pair=ES) / mean.sel(pair=GRPO))
    title = f"Two runs of a base: evolution's are {ratio:.1f} times as far apart as GRPO's"
    panels.frame(title, ax, x="", y="difference of accuracies", ylim=(0, 2.5 * float(known.max())))
    panels.dots(known, ax, x="pair", over="seed")
    ax.tick_params("x", rotation=30)

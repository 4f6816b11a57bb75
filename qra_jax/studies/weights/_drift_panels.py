"""Panels of the study of evolution strategies."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._drift import BASE, ES, GRPO, SIZES, WALK
from qra_jax.studies.weights._drift_evidence import TRIES, updates

SHADES = dict(zip(SIZES, ("#88CCEE", "#33A0D0", "#004488"), strict=True))
COLORS = {ES: plot.BEST, GRPO: plot.RIVAL, WALK: plot.MUTED, BASE: "black"}


def drawn(data: lab.Data) -> Figure:
    """The figure of the study: of the last task."""
    task = data.runs.task.values[-1]
    runs = data.runs.sel(task=task)
    figure, (first, second, third, fourth) = plot.new((14.6, 4.1), ncols=4, width_ratios=[1.2, 1.1, 1.3, 1.1])
    rewards(runs, task, first)
    coverage(runs, second)
    drift(runs, third)
    spread(data.again, fourth)
    return figure


def rewards(runs: xr.Dataset, task: str, ax: Axes) -> None:
    """Accuracy along training with every σ; in how many of the steps nothing moved."""
    path, silent = runs.path.sel(run=[*SIZES, GRPO]), runs.silent.mean(["seed", "turn"])
    ends = path.isel(step=-1).mean("seed")
    said = ", ".join(f"{float(ends.sel(run=arm)):.2f}" for arm in SIZES)
    title = f"Evolution, an update for {updates(runs)} of GRPO's, ends at {said}, GRPO at "
    title += f"{float(ends.sel(run=GRPO)):.2f} ({task})"
    panels.frame(title, ax, x="step of GRPO", y="accuracy", ylim=(0, 1.02))
    names = {arm: f"{arm}: {float(silent.sel(size=arm)):.0%} of steps still" for arm in SIZES}
    panels.curves(path, ax, x="step", by="run", over="seed", colors=SHADES | {GRPO: plot.RIVAL}, names=names)
    panels.legend(None, ax)


def coverage(runs: xr.Dataset, ax: Axes) -> None:
    """Pass@k of questions that are held out: of those that are asked GRPO solves nearly all."""
    passed = runs.passed.sel(set="held out", arm=[ES, GRPO, WALK, BASE])
    few = passed.sel(k=TRIES).mean("seed")
    named = {"evolution": ES, "GRPO": GRPO, "the base": BASE}
    said = ", ".join(f"{float(few.sel(arm=arm)):.2f} by {name}" for name, arm in named.items())
    panels.frame(f"Held out, pass@{TRIES}: {said}", ax, x="tries k", y="pass@k", log="x", ylim=(0, 1.02))
    panels.curves(passed, ax, x="k", by="arm", over="seed", colors=COLORS)
    panels.legend(None, ax)


def drift(runs: xr.Dataset, ax: Axes) -> None:
    """KL to the base by the kind of sequences: median and deciles of the bases; unannounced ones are decades apart."""
    kl = runs.kl.sel(arm=[ES, GRPO, WALK], kind=["asked", "held out", "random tokens"])
    off = np.log(kl.sel(kind="random tokens")).mean("seed")
    times = float(np.exp(off.sel(arm=ES) - off.sel(arm=GRPO)))
    low, high = float(kl.min()), float(kl.max())
    limits = {"ylim": (low / 2, 50 * high)} if 0 < low < high else {}
    title = f"On random tokens evolution's KL is {times:.2g} of GRPO's"
    panels.frame(title, ax, x="", y="KL to the base / nats a token", log="y", **limits)
    panels.dots(kl, ax, x="kind", by="arm", over="seed", colors=COLORS, nudge=0.1, spread=(0.1, 0.9))
    panels.legend(None, ax)
    ax.tick_params("x", rotation=30)


def spread(again: xr.Dataset, ax: Axes) -> None:
    """Differences of two runs of a base."""
    apart = abs(again.accuracy.isel(key=0) - again.accuracy.isel(key=1)).rename("apart")
    known = apart.isel(pair=apart.notnull().all("seed").values)
    own, other = (float(known.sel(pair=pair).mean("seed")) for pair in (ES, GRPO))
    title = f"Two runs of a base: {own:.3f} apart with evolution, {other:.3f} with GRPO"
    panels.frame(title, ax, x="", y="difference of accuracies", ylim=(0, 1.2 * float(known.max()) or 1))
    known = known.assign_coords(pair=[x.replace(", ", ",\n") for x in known.pair.values])
    panels.dots(known, ax, x="pair", over="seed")
    ax.tick_params("x", rotation=30)

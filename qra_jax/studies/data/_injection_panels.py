"""The figure of the study of injected behaviours."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.data import _injection_evidence as of
from qra_jax.studies.data._injection_demos import FOUR, INJECTED, SHORT, SHUFFLED, VANILLA
from qra_jax.studies.data._injection_evidence import (
    FORMULA,
    HEADROOM,
    KERNEL,
    OTHER,
    OTHER_BASE,
    PRODUCT,
    ROOT,
)
from qra_jax.studies.lab import panels

COLORS = {VANILLA: plot.CYCLE[0], INJECTED: plot.CYCLE[1], SHUFFLED: "0.55", SHORT: plot.CYCLE[2]}
WHEN = {"one step": plot.CYCLE[2], "a quarter of a run": plot.CYCLE[3], "a whole run": plot.CYCLE[4]}


def every(data: lab.Data) -> Figure:
    """Predicted against measured change, what predicts it for how long, accuracies, and what the gain is made of."""
    figure, ((first, second), (third, fourth)) = plot.new((11.2, 8.0), nrows=2, ncols=2)
    _step(data, first)
    _parts(data, second)
    _paths(data, third)
    _gains(data, fourth)
    return figure


def _step(data: lab.Data, ax: Axes) -> None:
    one = data.steps.sel(arm=FOUR, drop=True)
    said = of.PREDICTIONS[PRODUCT](one)
    found = of.one_step(data, PRODUCT, kind="gradient descent").mean("seed").item()
    title = f"One step: predicted and measured gain of each question, r = {found:.2f}"
    panels.frame(
        title, ax, x="predicted, a(1 − a) × kernel", y="measured change of accuracy / length of step"
    )
    for held, color, name in ((False, plot.CYCLE[0], "in the batch"), (True, plot.CYCLE[1], "held out")):
        there = np.flatnonzero(one.held.values == held)
        x, y = (
            v.isel(question=there).transpose("seed", "question").values for v in (said, one.gain.isel(kind=0))
        )
        ax.plot(x.ravel(), y.ravel(), ".", color=color, markersize=3, alpha=0.5, label=name)
    panels.legend(None, ax, loc="upper left")


def _parts(data: lab.Data, ax: Axes) -> None:
    names = [FORMULA, PRODUCT, KERNEL, ROOT, HEADROOM, OTHER_BASE, OTHER]
    found = {
        "one step": [of.one_step(data, name, kind="gradient descent") for name in names],
        "a quarter of a run": [of.whole_run(data, name, 1) for name in names],
        "a whole run": [of.whole_run(data, name) for name in names],
    }
    rows = xr.concat(
        [xr.concat(one, xr.DataArray(names, dims="part", name="part")) for one in found.values()],
        xr.DataArray(list(found), dims="when", name="when"),
    )
    mean = rows.sel(part=PRODUCT).mean("seed")
    said = ", ".join(f"{float(mean.sel(when=when)):.2f} over {when}" for when in ("one step", "a whole run"))
    title = f"{PRODUCT}: r = {said}"
    panels.frame(title, ax, x="correlation with the gain of accuracy, over questions", y="")
    panels.forest(rows, ax, by="when", over="seed", colors=WHEN)
    panels.legend(None, ax, loc="lower left", fontsize=7)


def _paths(data: lab.Data, ax: Axes) -> None:
    arms = list(COLORS)
    said = ", ".join(f"{100 * float(of.gain(data, arm).mean()):+.0f} {arm}" for arm in (VANILLA, INJECTED))
    title = f"Gain by RL in points of accuracy: {said}"
    panels.frame(title, ax, x="step of RL", y="accuracy", ylim=(0, 1))
    mean = data.runs.accuracy.sel(arm=arms).mean("question")
    panels.curves(mean, ax, x="step", by="arm", over="seed", colors=COLORS)
    last = float(data.runs.step[-1])
    for arm in arms:
        taught, tries = of.accuracy(data, arm, "more SFT"), data.runs["pass"].sel(arm=arm).isel(step=0)
        ax.plot(1.05 * last, float(taught.mean()), "s", color=COLORS[arm], markersize=6)
        ax.plot(0, float(tries.mean()), "^", color=COLORS[arm], markersize=6)
    panels.legend(
        {**COLORS, "as much SFT": "s", "base, pass@8": "^"}, ax, loc="upper right", ncols=2, fontsize=7
    )


def _gains(data: lab.Data, ax: Axes) -> None:
    arms = list(COLORS)
    both = [
        xr.concat(of.parts(data, arm), xr.DataArray(["selection", "success"], dims="part")) for arm in arms
    ]
    rows = xr.concat(both, xr.DataArray(arms, dims="arm", name="arm"))
    own = rows.sel(arm=INJECTED).mean("seed")
    said = " and ".join(f"{100 * float(own.sel(part=part)):+.0f} by {part}" for part in own.part.values)
    title = f"Points of the gain after injection: {said}"
    panels.frame(title, ax, x="", y="gain in accuracy by RL")
    panels.bars(rows, ax, x="arm", by="part", over="seed")
    panels.legend(None, ax, loc="upper left")

"""Panels of the study of interleaved teaching on tokens."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies.data._relift_networks import (
    ALWAYS,
    BEFORE,
    BETWEEN,
    FIRST,
    GUESSED,
    GUESSED_ALWAYS,
    ON_TOP,
    OWN,
    RANDOM,
    RL,
    SFT,
    SFT_ALL,
)
from qra_jax.studies.lab import panels

WAYS = (RL, SFT, BEFORE, BETWEEN, ALWAYS, GUESSED_ALWAYS)
SHADES = (plot.color("rlvr"), plot.color("sft"), *(plot.CYCLE[i] for i in (4, 6, 3, 1)))
COLORS = dict(zip(WAYS, SHADES, strict=True)) | {
    FIRST: plot.CYCLE[4],
    RANDOM: plot.CYCLE[6],
    ON_TOP: plot.CYCLE[6],
    GUESSED: plot.CYCLE[1],
    OWN: "0.5",
    SFT_ALL: plot.color("sft"),
}


def figure(runs: xr.Dataset, accuracies: xr.DataArray, points: float) -> Figure:
    """Accuracy on the way, of interleaving less that of others, by kind of question, and against demonstrations."""
    grid = plot.new((11.0, 7.6), nrows=2, ncols=2)
    drawn, ((way, gain), (kind, cost)) = grid
    _on_the_way(runs, way)
    _gains(accuracies, gain, points)
    _kinds(runs, kind)
    _costs(runs, accuracies, cost)
    return drawn


def _on_the_way(runs: xr.Dataset, ax: Axes) -> None:
    path = runs.chance.mean(["kind", "question"], skipna=False).sel(arm=list(WAYS))
    last = path.isel(record=-1).mean("seed")
    best = str(last.arm.values[int(np.argmax(last.fillna(0).values))])
    panels.frame(f"Highest in the end: {best}", ax, x="step", y="accuracy, mean over kinds", ylim=(0, 1))
    panels.curves(path, ax, x="record", by="arm", over="seed", colors=COLORS, within=(0, 1))
    panels.legend(None, ax, loc="upper left", ncols=2)


def _gains(accuracies: xr.DataArray, ax: Axes, points: float) -> None:
    gains = accuracies.sel(way=BETWEEN, drop=True) - accuracies.drop_sel(way=BETWEEN)
    order = gains.mean("seed").fillna(0).argsort().values
    gains = gains.isel(way=order)
    won = int((gains.mean("seed") > points).sum())
    title = f"Interleaved is ahead of {won} of {gains.sizes['way']} others by three points"
    panels.frame(title, ax, x="accuracy of interleaved less that of the other", y="")
    panels.forest({str(name): gains.sel(way=name, drop=True) for name in gains.way.values}, ax, over="seed")


def _kinds(runs: xr.Dataset, ax: Axes) -> None:
    last = runs.chance.isel(record=-1).mean("question", skipna=False)
    start = (
        runs.chance.sel(arm=[RL]).isel(record=0).mean("question", skipna=False).assign_coords(arm=["base"])
    )
    shown = xr.concat(
        [start, last.sel(arm=list(WAYS))], "arm", coords="minimal", compat="override"
    ).assign_coords(kind=[str(k) for k in runs.kind.values])
    ends = [shown.sel(arm=name).isel(kind=-1).mean("seed").item() for name in (RL, BETWEEN)]
    title = f"The rarest kind in the end: {ends[0]:.2f} by {RL}, {ends[1]:.2f} {BETWEEN}"
    x, y = "chance of working out in the base", "accuracy in the end"
    panels.frame(title, ax, x=x, y=y, ylim=(0, 1))
    panels.bars(shown, ax, x="kind", by="arm", over="seed", colors=COLORS | {"base": "0.7"}, within=(0, 1))
    panels.legend({"base; the others as above": {"color": "0.7", "linewidth": 6}}, ax, loc="upper right")


def _costs(runs: xr.Dataset, accuracies: xr.DataArray, ax: Axes) -> None:
    shown, places = runs.shown.sum("window").mean("seed"), []
    for name in runs.arm.values.tolist():
        number, value = float(shown.sel(arm=name)), float(accuracies.sel(way=name).mean())
        if number > 0 and np.isfinite(value):
            places.append((number, value, name))
            ax.plot(number, value, "o", color=COLORS[name], markersize=6)
    panels.frame("Accuracy against demonstrations", ax, x="demonstrations", y="accuracy in the end", log="x")
    numbers = [number for number, *_ in places] or [1.0, 10.0]
    ax.set(xlim=(min(numbers) / 1.5, max(numbers) * 3), ylim=(0, 1))
    free = -1.0
    named = [place for place in places if place[2] in (*WAYS, OWN, SFT_ALL)]
    for number, value, name in sorted(named, key=lambda place: place[1]):
        free = max(value, free + 0.06)
        panels.note(
            (number, value), ax, name, shift=(8, (free - value) * 190 - 3), color=COLORS[name], line=True
        )
    panels.mark(float(accuracies.sel(way=RL).mean()), ax, RL, axis="y", color=COLORS[RL])

"""Panels of the study of hints."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.data import _hints_theory as theory
from qra_jax.studies.data._hints_networks import ALL, FALLING, FALSE, LAST, NONE, WITHOUT
from qra_jax.studies.lab import panels

COLORS = {
    NONE: plot.color("rlvr"),
    ALL: plot.CYCLE[2],
    FALLING: plot.CYCLE[4],
    WITHOUT: plot.CYCLE[3],
    LAST: plot.CYCLE[1],
    FALSE: "0.6",
}


def draw(data: lab.Data) -> Figure:
    """Gains of graphs; the chain; choices of procedures and accuracies of sums."""
    figure, ((one, many), (chain, choice)) = plot.new((10.4, 7.2), nrows=2, ncols=2)
    _gains(data, 1, one)
    _gains(data, 16, many)
    _chain(data, chain)
    _choice(data, choice)
    return figure


def _gains(data: lab.Data, tries: int, ax: Axes) -> None:
    """Gains in pass@k over the base, without hints."""
    known = theory.accuracy(data.graphs, tries)
    first, last = known.isel(stage=0), known.isel(stage=-1)
    gain = last - first
    taught = theory.accuracy(data.taught, tries).isel(stage=-1) - first.sel(arm=NONE, drop=True)
    rows = {name: gain.sel(arm=name, drop=True) for name in data.graphs.arm.values}
    rows |= {f"SFT, {name}": taught.sel(budget=name, drop=True) for name in data.taught.budget.values}
    best = max(rows, key=lambda name: float(rows[name].mean()))
    title = f"Graphs of six operations: pass@{tries} gains most by {best}"
    panels.frame(title, ax, x=f"pass@{tries} less the base's, without hints (95 %)", y="")
    panels.forest(rows, ax, over="seed", expected=0)


def _chain(data: lab.Data, ax: Axes) -> None:
    """Measured and predicted pass@1."""
    said = data.chain.accuracy.sel(when="then", drop=True)
    found = theory.accuracy(data.graphs).isel(stage=-1).sel(arm=said.arm.values)
    panels.frame(
        "The chain of separate steps, one clock a network", ax, x="pass@1 predicted", y="pass@1 measured"
    )
    for name in said.arm.values:
        where = said.sel(arm=name).values, found.sel(arm=name).values
        ax.plot(*where, "o", color=COLORS[name], label=name, markersize=5)
    panels.diagonal(ax, factor=1)
    panels.legend(None, ax, loc="upper left")


def _choice(data: lab.Data, ax: Axes) -> None:
    """How far choices move, and pass@1 of sums."""
    moved, last = theory.moved(data.sums), theory.accuracy(data.sums)
    gain: xr.DataArray = last.isel(stage=-1) - last.isel(stage=0)
    title = "Sums of three numbers: the choice of a procedure"
    panels.frame(title, ax, x="how far the choice of a procedure moved", y="pass@1 less the base's")
    for name in data.sums.arm.values:
        ax.plot(moved.sel(arm=name), gain.sel(arm=name), "o", color=COLORS[name], label=name, markersize=5)
    panels.mark(0, ax, axis="y")
    panels.legend(None, ax, loc="best")

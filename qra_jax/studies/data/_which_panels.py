"""Panels of the study `which-recipe`."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from qra_jax import plot
from qra_jax.studies.data import _which as networks, _which_map as maps
from qra_jax.studies.data._which import BOTH, FILTERED, HANDS, HINTS, RL, SFT
from qra_jax.studies.lab import panels

COLORS = {
    maps.NOTHING: "#999999",
    FILTERED: plot.CYCLE[5],
    RL: plot.color("GRPO"),
    SFT: plot.color("sft"),
    BOTH: plot.CYCLE[3],
    HINTS: plot.CYCLE[4],
}
SHORT = {
    maps.NOTHING: "none",
    FILTERED: "filtered",
    RL: "RL",
    SFT: "SFT",
    BOTH: "SFT → RL",
    HINTS: "hints",
}
TITLES = {
    "none": "No demonstrations",
    "few": f"{networks.FEW} demonstrations",
    "many": f"{networks.MANY} demonstrations",
}


def draw(runs: xr.Dataset) -> Figure:
    """The map, a panel for each amount of demonstrations; accuracy at the end by coverage."""
    figure, axes = plot.new((12.6, 8.2), nrows=2, ncols=2)
    found, base = maps.table(runs), maps.bases(runs)
    for hand, ax in zip(HANDS, axes.ravel()[:3], strict=True):
        _map(found.sel(hand=hand), base, TITLES[hand], ax)
    _curves(runs, axes.ravel()[3])
    panels.legend(
        {name: {"color": color, "linewidth": 6} for name, color in COLORS.items()}, axes[1, 1], place="below"
    )
    return figure


def _map(found: xr.Dataset, base: xr.DataArray, title: str, ax: Axes) -> None:
    """Cells by colour of the best recipe; pale and hatched where it is not decided, grey where unknown."""
    found = found.transpose("level", "mark")
    decided, known = found.low > 0, found.accuracy.notnull()
    panels.frame(
        f"{title}: {int(decided.sum())} of {int(known.sum())} cells decided",
        ax,
        x="sequences, sampled or read",
        y="the base: pass@1 (pass@16)",
    )
    for (i, j), clear in np.ndenumerate(decided.values):
        one = found.isel(level=i, mark=j)
        name, other = str(one.best.item()), str(one.second.item())
        color, end = COLORS[name], panels.plain(round(float(one.accuracy), 3)) if known[i, j] else ""
        if clear:
            style: dict[str, Any] = {"facecolor": color, "edgecolor": "white"}
            words = f"{SHORT[name]}\n{end}"
        elif known[i, j]:
            pale = tuple(0.2 * np.asarray(to_rgb(color)) + 0.8)
            style = {"facecolor": pale, "edgecolor": "white", "hatch": "///"}
            words = f"{SHORT[name]} or {SHORT[other]}?\n{end}"
        else:
            style = {"facecolor": "#eeeeee", "edgecolor": "white"}
            words = "too few networks\ncame so far"
        ax.add_patch(Rectangle((j + 0.02, i + 0.03), 0.96, 0.94, linewidth=0, **style))
        ink = "white" if clear and np.dot(to_rgb(color), (0.3, 0.59, 0.11)) < 0.6 else "black"
        weight = "bold" if clear else "normal"
        ax.text(
            j + 0.5,
            i + 0.5,
            words,
            ha="center",
            va="center",
            color=ink,
            fontsize=9 if clear else 7.5,
            fontweight=weight,
        )
    names = [
        f"{float(row.sel(k=1)):.2g} ({float(row.sel(k=16)):.2g})"
        if row.notnull().all()
        else f"{float(row.level):g}"
        for row in base
    ]
    ax.set_xlim(0, found.sizes["mark"])
    ax.set_ylim(0, found.sizes["level"])
    ax.set_xticks(
        np.arange(found.sizes["mark"]) + 0.5, [str(int(networks.BATCH * mark)) for mark in found.mark.values]
    )
    ax.set_yticks(np.arange(found.sizes["level"]) + 0.5, names)
    ax.grid(False)
    ax.tick_params(length=0)


def _curves(runs: xr.Dataset, ax: Axes) -> None:
    """What the whole budget gains, by coverage: solid with many demonstrations, or none; dashed with a few."""
    panels.frame(
        f"Gain over the base after the whole budget (dashed: {networks.FEW} demonstrations; bars: standard errors)",
        ax,
        x="pass@1 at which the base was stopped",
        y="gain of pass@1",
        log="x",
    )
    for hand, dash in (("many", "-"), ("few", "--")):
        last = maps.accuracy(runs, hand).isel(mark=-1)
        gain = last - last.sel(choice=maps.NOTHING)
        for name in gain.choice.values:
            if hand == "few" and name not in (SFT, BOTH, HINTS):
                continue
            cells = [maps.reached(runs, gain.sel(choice=name), at) for at in gain.level.values]
            error = [float(one.std(ddof=1)) / one.size**0.5 for one in cells]
            style = {"color": COLORS[name], "linestyle": dash, "marker": "o", "markersize": 3}
            ax.errorbar(gain.level.values, [float(one.mean("seed")) for one in cells], error, **style)

"""Panels of the study `which-recipe`."""

from __future__ import annotations

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
    places = dict(zip(HANDS, axes.ravel()[:3], strict=True))
    values = maps.accuracy(runs)
    found = maps.best(values)
    for hand, ax in places.items():
        _map(found.sel(hand=hand), runs, TITLES[hand], ax)
    _curves(values, axes.ravel()[3])
    panels.legend(
        {name: {"color": color, "linewidth": 6} for name, color in COLORS.items()}, axes[1, 1], place="below"
    )
    return figure


def _map(found: xr.Dataset, runs: xr.Dataset, title: str, ax: Axes) -> None:
    """Cells by colour of the best recipe; pale with both names where it is not decided."""
    found = found.transpose("level", "mark")
    decided = found.low > 0
    panels.frame(
        f"{title}: decided in {int(decided.sum())} of {decided.size} cells",
        ax,
        x="sequences, sampled or read",
        y="the base: pass@1 (pass@16)",
    )
    for (i, j), clear in np.ndenumerate(decided.values):
        one = found.isel(level=i, mark=j)
        name, other = str(one.best.item()), str(one.second.item())
        shade = np.asarray(to_rgb(COLORS[name]))
        shade = shade if clear else 0.18 * shade + 0.82
        ax.add_patch(Rectangle((j, i), 1, 1, facecolor=tuple(shade), edgecolor="white", linewidth=2))
        words = SHORT[name] if clear else f"{SHORT[name]} or\n{SHORT[other]}?"
        ink = "white" if clear and shade @ (0.3, 0.59, 0.11) < 0.6 else "black"
        ax.text(
            j + 0.5,
            i + 0.5,
            f"{words}\n{panels.plain(round(float(one.accuracy), 2))}",
            ha="center",
            va="center",
            color=ink,
            fontsize=8.5 if clear else 7,
            fontweight="bold" if clear else "normal",
        )
    base = runs.base.where(runs.stopped >= 0).mean("seed")
    names = [
        f"{float(base.sel(level=at, k=1)):.2g} ({float(base.sel(level=at, k=16)):.2g})"
        for at in runs.level.values
    ]
    ax.set_xlim(0, found.sizes["mark"])
    ax.set_ylim(0, found.sizes["level"])
    ax.set_xticks(
        np.arange(found.sizes["mark"]) + 0.5, [str(int(networks.BATCH * mark)) for mark in found.mark.values]
    )
    ax.set_yticks(np.arange(found.sizes["level"]) + 0.5, names)
    ax.grid(False)
    ax.tick_params(length=0)


def _curves(values: xr.DataArray, ax: Axes) -> None:
    """Accuracy at the end by coverage: solid with many demonstrations, or none; dashed with a few."""
    panels.frame(
        "After the whole budget (dashed: with 12 demonstrations)",
        ax,
        x="pass@1 at which the base was stopped",
        y="pass@1 after it",
        log="x",
        ylim=(0, 1),
    )
    last = values.isel(mark=-1)
    for hand, dash in (("many", "-"), ("few", "--")):
        for name, color in COLORS.items():
            if hand == "few" and name not in (SFT, BOTH, HINTS):
                continue
            one = last.sel(hand=hand, choice=name)
            error = one.std("seed", ddof=1) / np.sqrt(one.sizes["seed"])
            style = {"color": color, "linestyle": dash, "marker": "o", "markersize": 3}
            ax.errorbar(one.level.values, one.mean("seed").values, error.values, **style)

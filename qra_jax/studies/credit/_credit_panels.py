"""Panels of the study of credit."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.credit._credit import at_best, gain, gain_at_norm
from qra_jax.studies.lab import panels

COLORS = {
    "uniform": plot.RIVAL,
    "MC-1": "#9EC9E2",
    "MC-3": "#6BAED6",
    "MC-9": "#3C93C2",
    "exact": "#08519C",
    "critic": "#009E73",
    "whitened": "#999999",
    "whitened MC-9": "#777777",
}
SHOWN = {
    "uniform": "uniform",
    "MC-1": "MC,\nK = 1",
    "MC-9": "MC,\nK = 9",
    "exact": "exact\nvalues",
    "whitened MC-9": "K = 9,\nwhitened",
}


def means(first: xr.DataArray, ax: Axes) -> None:
    """First updates along the exact mean `[arm, kind, run]`."""
    one = first.isel(kind=-1, drop=True).sel(arm=list(SHOWN)).assign_coords(arm=list(SHOWN.values()))
    panels.frame("One mean: only whitening is faster", ax, x="", y="mean update ÷ exact mean update")
    panels.mark(1.0, ax, "", axis="y")
    panels.dots(one, ax, x="arm", over="run", colors="black")
    ax.set_ylim(0, float(one.mean("run").max()) * 1.25)
    ax.tick_params(axis="x", labelsize=8)


def noises(depth: xr.DataArray, network: xr.DataArray, ax: Axes) -> None:
    """Noise over that of exact values: random trees `[family, depth, seed, credit]`, networks `[credit, seed]`."""
    log: Any = np.log(depth.sel(family="random, 4 wide", drop=True))
    ratio: Any = np.exp((log - log.sel(credit="exact", drop=True)).mean("seed"))
    deepest = float(ratio.sel(credit="uniform").isel(depth=-1))
    title = f"Its noise: exact values save {deepest:.1f} times at depth 6"
    panels.frame(
        title, ax, x="depth of the tree", y="noise ÷ that of exact values", log="y", yticks=[1, 2, 4, 8, 16]
    )
    shown = ["MC-1", "uniform", "MC-3", "MC-9", "exact"]
    names = {"MC-1": "MC, K = 1", "MC-3": "K = 3", "MC-9": "K = 9"}
    panels.curves(ratio.sel(credit=shown), ax, x="depth", by="credit", colors=COLORS, names=names)
    for credit in network.credit.values:
        share = network.sel(credit=credit) / network.sel(credit="exact")
        ax.plot(np.full(share.size, 3), share, "o", mfc="none", color=COLORS[str(credit)])
    panels.note((3, float(share.max())), ax, "○ networks", shift=(8, -16))
    panels.ends(ax)


def left(races: xr.Dataset, larger: xr.Dataset, ax: Axes) -> None:
    """How many times the steps of values from nine rollouts uniform credit needs, by what is matched."""
    steps, kinds = races.steps, races.kind.values
    best, slow = at_best(steps), steps.isel(rate=0, drop=True)
    uniform, nine = (steps.sel(arm=arm, drop=True) for arm in ("uniform", "MC-9"))
    pick = lambda x, arm: x.sel(arm=arm, drop=True)  # noqa: E731
    rows = {
        "whitened, one small rate": gain(pick(slow, "uniform"), pick(slow, "whitened MC-9")),
        "one small rate": gain(pick(slow, "uniform"), pick(slow, "MC-9")),
        "first steps of one length": gain_at_norm(uniform, nine, races.norm.sel(values="MC-9", drop=True)),
        "each at its best rate": gain(pick(best, "uniform"), pick(best, "MC-9")),
        "… a learnt critic instead": gain(pick(best, "critic"), pick(best, "MC-9")),
        f"equal tokens (G = {int(larger.group)})": gain(at_best(larger.steps), pick(best, "MC-9")),
    }
    places = np.arange(len(rows))[::-1]
    values = np.exp([[float(row.sel(kind=kind)) for kind in kinds] for row in rows.values()])
    top = np.nanmax(values[3])
    title = f"Left of nine times: {top:.1f} at best, {np.nanmax(values[5]):.1f} at equal tokens"
    panels.frame(
        title,
        ax,
        x="steps of uniform credit ÷ those of MC values, K = 9",
        y="",
        log="x",
        xticks=[0.5, 1, 2, 4, 9],
    )
    for i, (kind, shade) in enumerate(zip(kinds, ("#3C93C2", "#08519C"), strict=True)):
        ax.barh(places + 0.18 - 0.36 * i, values[:, i] - 1, 0.34, left=1, color=shade, label=str(kind))
        for place, value in zip(places, values[:, i], strict=True):
            ax.text(max(value, 1) * 1.06, place + 0.18 - 0.36 * i, f"{value:.2g}", va="center", fontsize=8)
    panels.mark(9.0, ax, "reported", color=plot.RIVAL, before=True)
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_yticks(places, list(rows))
    ax.set_xlim(0.2, 12)
    panels.legend(None, ax, loc="lower right", bbox_to_anchor=(0.9, 0.0), fontsize=8)

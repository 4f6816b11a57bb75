"""Panels of the study of preferences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.credit._preference_evidence import at_best, moving
from qra_jax.studies.credit._preference_paths import factor
from qra_jax.studies.lab import panels

READ = ("accuracy", "chosen", "rejected", "outside", "length")
"""What is drawn of networks."""
COLORS = {"GRPO": plot.color("GRPO"), "DPO, iterated": plot.color("DPO"), "DPO, offline": "#332288"}
COLORS |= {"DPO, longest": "#CC6677"}
SIDES = {"chosen": plot.BEST, "rejected": plot.RIVAL}


def figure(data: lab.Data) -> Figure:
    """All panels; networks at the best rate of each arm."""
    last = data.trained.accuracy.isel(step=-1)
    best = {name: at_best(data.trained[name], last) for name in READ}
    whole, ((first, second, third), (fourth, fifth, sixth)) = plot.new((13.2, 7.6), nrows=2, ncols=3)
    angles(data.paths, first)
    takeovers(data.takeovers, second)
    displaced(data.singles, third)
    crowds(data.paths, fourth)
    sides(best, fifth)
    ends(best, sixth)
    return whole


def angles(paths: xr.Dataset, ax: Axes) -> None:
    """Largest angle of each path to the policy gradient, over β."""
    worst = moving(paths.sel(single=0.0))
    title = "Small β and fresh pairs: DPO goes the way of the policy gradient"
    panels.frame(title, ax, x="β", y="largest angle to it, degrees", log="xy", xticks=list(worst.beta.values))
    colors = {"iterated": COLORS["DPO, iterated"], "offline": COLORS["DPO, offline"]}
    panels.curves(worst, ax, x="beta", by="pairs", colors=colors)
    panels.ends(ax)


def takeovers(found: xr.Dataset, ax: Axes) -> None:
    """Share of the longer pattern at the end, with the point from which it should gain."""
    share = found.share.sel(short=0.8, length=2.0)
    worse = share.where(share.long < 0.8, drop=True)
    least = float(worse.long.where((worse > 0.5).any("group"), drop=True).min())
    title = f"Longest right answer chosen: {panels.plain(least)} beats .8 if it is longer"
    panels.frame(title, ax, x="success rate of the longer pattern", y="its share at the end")
    colors = panels.palette(share.group.values)
    names = {group: f"G = {group:g}" for group in share.group.values}
    panels.dots(share, ax, x="long", by="group", join=True, colors=colors, names=names)
    for group in share.group.values:
        odds = float(4 / factor(0.8, group))
        ax.axvline(odds / (1 + odds), color=colors[group], linestyle=":", linewidth=1)
    panels.legend(None, ax, loc="center left")


def displaced(singles: xr.Dataset, ax: Axes) -> None:
    """How often a single pair lowers its chosen answer, by how alike its sides are."""
    fell = singles.chosen < 0
    title = "One pair lowers its chosen answer only where features are shared"
    panels.frame(title, ax, x="cosine of the pair's features", y="share of pairs whose chosen side falls")
    panels.dots(fell, ax, x="alike", over="seed", join=True, colors={"": plot.RIVAL})
    none = float((singles.tabular_chosen < 0).mean())
    panels.mark(none, ax, "a parameter for each answer", axis="y")


def crowds(paths: xr.Dataset, ax: Axes) -> None:
    """Mean log-likelihood of both sides along offline DPO of one tabular question, and of one with a single answer."""
    seen = paths.sel(pairs="offline", beta=0.1).isel(question=0)
    title = "All pairs of a question: its right patterns crowd each other out"
    panels.frame(title, ax, x="time, units of 2/β", y="log-likelihood, less its start", log="x", ylim=(-8, 3))
    for side, color in SIDES.items():
        for single, dash, name in ((0.0, "-", "tabular"), (1.0, ":", "a single right pattern")):
            one = seen[side].sel(single=single)
            words = f"{side}, {name}" if side == "chosen" else f"{side}" if single == 0 else None
            time = seen.time.sel(single=single).values[1:]
            ax.plot(time, (one - one[0]).values[1:], dash, color=color, label=words)
    panels.legend(None, ax, loc="lower left")


def sides(best: Mapping[str, xr.DataArray], ax: Axes) -> None:
    """Both sides and the mass outside, along training of networks."""
    steps = best["chosen"].step.values
    title = "Network: both sides, and what is in no pair"
    panels.frame(title, ax, x="step", y="log-likelihood, nats")
    mass = best["outside"].mean("seed")
    outside = mass.copy(data=np.log(np.maximum(mass.values, 1e-6)))
    for arm, dash in (("DPO, iterated", "-"), ("DPO, offline", "--")):
        for side, color in SIDES.items():
            ax.plot(steps, best[side].mean("seed").sel(arm=arm).values, dash, color=color)
        ax.plot(steps, outside.sel(arm=arm).values, dash, color=plot.MUTED)
    panels.legend(SIDES | {"in no pair": plot.MUTED, "iterated": "-", "offline": "--"}, ax, loc="lower left")


def ends(best: Mapping[str, xr.DataArray], ax: Axes) -> None:
    """Accuracy at the end of each arm."""
    last = best["accuracy"].isel(step=-1)
    length = best["length"].isel(window=-1).mean("seed")
    names = {arm: f"{arm}\n{float(length.sel(arm=arm)):.1f} tokens" for arm in last.arm.values}
    gap = float((last.sel(arm="DPO, iterated") - last.sel(arm="GRPO")).mean())
    title = f"Network, equal rollouts: iterated DPO {abs(gap):.3f} {'below' if gap < 0 else 'above'} GRPO"
    panels.frame(title, ax, x="", y="accuracy at the end", ylim=(0, 1))
    shown = last.assign_coords(arm=[names[arm] for arm in last.arm.values])
    colors = {names[arm]: COLORS[arm] for arm in names}
    panels.bars(shown, ax, x="arm", over="seed", colors=colors)
    panels.mark(float(best["accuracy"].isel(step=0).mean()), ax, "base", axis="y", before=True)

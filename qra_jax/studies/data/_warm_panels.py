"""Panels of the study of warm starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.data import _warm_evidence as read
from qra_jax.studies.data._warm_evidence import ALL
from qra_jax.studies.data._warm_networks import FLOOR, NONE, SETS, SHUFFLED, label
from qra_jax.studies.lab import panels

SIZES = [1, 2, 3, 4]
WITH, WITHOUT, ANY = "with the network's best one", "without it", "any set of m (random)"
COLORS = {WITH: plot.BEST, WITHOUT: plot.RIVAL, ANY: "#000000"}
WAYS = {"best one alone": plot.BEST, "all four": plot.CYCLE[2], "one at random": plot.RIVAL, NONE: plot.MUTED}
WAYS |= {"two copies of one": plot.CYCLE[4], "all four, others' answers": plot.CYCLE[3]}


def drawn(data: lab.Data) -> Figure:
    """Ends by number and inclusion; the way of RL; pass@k of starts; ends against the best rate taught."""
    figure, ((top, way), (tries, limit)) = plot.new((10.6, 7.0), nrows=2, ncols=2)
    by_number(data, top)
    on_the_way(data, way)
    starts(data, tries)
    against_rates(data, limit)
    return figure


def by_number(data: lab.Data, ax: Axes) -> Axes:
    """Accuracy after RL over that of the best procedure alone, by m, with the network's best among them or not."""
    ends, names = _log(read.ends(data)), read.of_rank(data, -1)
    top, found = read.single(ends, names), {WITH: {}, WITHOUT: {}, ANY: {}}
    for m in SIZES:
        inside, outside = read.with_it(ends, names, m)
        found[WITH][m], found[ANY][m] = inside - top, ends.sel(arm=_sets(m)).mean("arm") - top
        if m < len(SIZES):
            found[WITHOUT][m] = outside - top
    accuracy = read.ends(data)
    others = read.singles(accuracy), read.single(accuracy, names)
    gain, beyond = (float(read.ratio("", accuracy.sel(arm=ALL, drop=True), x).value) for x in others)
    title = f"Four procedures end {gain:.2f} × as high as one at random, {beyond:.2f} × the best one alone"
    words: dict[str, Any] = {
        "x": "procedures m in the warm start",
        "y": "accuracy after RL, best one alone: 1",
    }
    panels.frame(title, ax, **words, xticks=SIZES)
    for name, color in COLORS.items():
        one = lab.stacked("m", {m: lab.mean(name, x) for m, x in found[name].items()})
        low, high = one.interval(0.05)
        place = list(found[name])
        ax.fill_between(place, np.exp(low.values), np.exp(high.values), color=color, alpha=0.12, linewidth=0)
        ax.plot(place, np.exp(one.value.values), "o-", color=color, label=name)
    rate = _log(read.rates(data))
    below = [
        np.mean(
            [
                (rate.sel(procedure=list(s)).max("procedure") - rate.max("procedure")).mean()
                for s in SETS
                if len(s) == m
            ]
        )
        for m in SIZES
    ]
    ax.plot(SIZES, np.exp(below), ":", color="black", label="theory for any set: its best rate in the base")
    return panels.legend(None, ax, loc="best")


def on_the_way(data: lab.Data, ax: Axes) -> Axes:
    """Mean accuracy of the rollouts that RL learns from."""
    right = data.warm.right
    ways = {
        "best one alone": read.single(right, read.of_rank(data, -1)),
        "all four": right.sel(arm=ALL, drop=True),
        "one at random": read.singles(right),
        NONE: right.sel(arm=NONE, drop=True),
        "two copies of one": read.copies(right),
        "all four, others' answers": right.sel(arm=SHUFFLED, drop=True),
    }
    rows = xr.concat([way.mean("seed") for way in ways.values()], "way").assign_coords(way=list(ways))
    waits = read.waits(data) * float(data.warm.attrs["rl_steps"])
    steps = [
        float(x.mean())
        for x in (waits.sel(arm=ALL), read.singles(waits), read.single(waits, read.of_rank(data, -1)))
    ]
    words = (
        f"{steps[0]:.0f} steps with all four, {steps[1]:.0f} with one at random, {steps[2]:.0f} with the best"
    )
    title = f"Half of the gain: {words}"
    panels.frame(title, ax, x="GRPO steps", y="accuracy of rollouts, mean of networks", ylim=(0, 1))
    panels.curves(rows, ax, x="step", by="way", colors=WAYS)
    return panels.legend(None, ax, loc="upper left", ncols=2)


def starts(data: lab.Data, ax: Axes) -> Axes:
    """Pass@k before RL by the number of procedures, of the base, and after RL."""
    passed = data.warm.passed.mean("seed")
    first = passed.sel(when="start", drop=True)
    rows = {f"start, m = {m}": first.sel(arm=_sets(m)).mean("arm") for m in SIZES}
    rows["base, no warm start"] = data.warm.base_passed.mean(["again", "half", "seed"])
    rows["all four, after RL"] = passed.sel(when="end", arm=ALL, drop=True)
    table = xr.concat(list(rows.values()), "start", coords="minimal").assign_coords(start=list(rows))
    k = int(table.k[-1])
    one, many = (
        float(table.sel(start="start, m = 4", k=i) / table.sel(start="start, m = 1", k=i)) for i in (1, k)
    )
    title = f"Of the start, four over one at random: pass@1 × {one:.2f}, pass@{k} × {many:.2f}"
    panels.frame(title, ax, x="number of tries k", y="pass@k with right steps", log="x", ylim=(0, 1))
    colors = dict(
        zip(rows, ["#9ECAE1", "#6BAED6", "#2171B5", "#08306B", plot.MUTED, plot.color("GRPO")], strict=True)
    )
    colors["all four, after RL"] = plot.CYCLE[2]
    panels.curves(table, ax, x="k", by="start", colors=colors)
    return panels.legend(None, ax, loc="upper left")


def _sets(m: int) -> list[str]:
    return [label(set_) for set_ in SETS if len(set_) == m]


def _log(x: xr.DataArray) -> xr.DataArray:
    return xr.DataArray(np.log(x.clip(min=FLOOR)))


def against_rates(data: lab.Data, ax: Axes) -> Axes:
    """Accuracy after RL against the best rate that the start has of what was taught."""
    factor = float(np.exp(read.kept(data, best=True, when="start").mean()))
    title = f"RL ends at {factor:.2f} × the best rate that the start has of those taught"
    words: dict[str, Any] = {"x": "best rate among those taught, at the start", "y": "accuracy after RL"}
    panels.frame(title, ax, **words, log="xy")
    shades = dict(zip(SIZES, ["#9ECAE1", "#6BAED6", "#2171B5", "#08306B"], strict=True))
    for set_ in SETS:
        rate = data.warm.rate.sel(when="start", arm=label(set_), procedure=list(set_)).max("procedure")
        end, named = read.ends(data).sel(arm=label(set_)), set_ in (SETS[0], SETS[4], SETS[10], SETS[14])
        name = f"m = {len(set_)}" if named else None
        ax.plot(
            rate.clip(min=FLOOR), end.clip(min=FLOOR), ".", color=shades[len(set_)], label=name, markersize=7
        )
    panels.diagonal(ax, factor=1)
    return panels.legend(None, ax, loc="upper left")

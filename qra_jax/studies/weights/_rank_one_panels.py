"""The figure of `rank-one`."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._parts_of_updates import (
    END,
    ENTRIES,
    EQUAL,
    FIRST,
    LAST,
    MATRICES_ONLY,
    RANDOM,
    REST_ONLY,
    SECOND,
    WITH_REST,
    WITHOUT,
)
from qra_jax.studies.weights._shares_of_gains import share

SHADES = {FIRST: plot.BEST, WITH_REST: "#009E73", MATRICES_ONLY: "black", REST_ONLY: "#CC79A7"}
PARTS = (FIRST, SECOND, WITHOUT, LAST, ENTRIES, RANDOM)
GRPO = "GRPO, Adam"
LEFT_OUT = "RLIF"
"""An arm that hardly gains, so that it has nothing to share."""
WIDE = 0.05
"""Half an interval that a title has to say."""
PAIR = {GRPO: plot.BEST, "SFT": plot.RIVAL}


def every(last: xr.Dataset) -> Figure:
    """Shares of the gain by arm and network; other parts, as long; accuracy against λ; share of the norm.

    Args:
      last: results of one task, `[task, ...]`.

    Returns:
      The figure.
    """
    last = last.sel(arm=last.arm != LEFT_OUT)
    runs, task = last.isel(task=0, drop=True), last.task.values[0]
    counts = runs.compared.sel(at=EQUAL).sum("seed")
    arms = tuple(str(arm) for arm in runs.arm.values if counts.sel(arm=arm) > 1)
    lost = [str(arm) for arm in runs.arm.values if arm not in arms]
    figure, (first, second, third, fourth) = plot.new((14.6, 4.8), ncols=4, width_ratios=[1.5, 1.1, 1, 0.9])

    rows = lab.stacked("network", {name: share(last, EQUAL, arms, name, alone=True) for name in SHADES})
    names = {f"{arm} ({task})": f"{arm}, η = {panels.plain(float(runs.rate.sel(arm=arm)))}" for arm in arms}
    pair = {f"{arm} ({task})": (arm, shade) for arm, shade in PAIR.items() if arm in arms}
    low, high = rows.interval(0.05)
    told = [
        f"{_said([float(x.sel(network=FIRST, run=run)) for x in (rows.value, low, high)], '.0%')} of {arm}'s"
        for run, (arm, _) in pair.items()
    ]
    title = f"First direction: {' and '.join(told) or 'what it has of a'} gain ({task})"
    number = sorted({int(counts.sel(arm=arm)) for arm in arms})
    bases = " … ".join(map(str, number[:: max(len(number) - 1, 1)]))
    words = f"share of the gain, where it is half of GRPO's\n{bases} bases"
    words += f"; less of a gain: {', '.join([*lost, LEFT_OUT])}"
    panels.frame(title, first, x=words, y="", xlim=(-0.3, 1.3))
    panels.forest(rows, first, by="network", expected=None, colors=SHADES, names=names)
    panels.legend(None, first, place="below", ncols=4)

    panels.frame("Other parts, made as long", second, x="share of the gain", y="", xlim=(-0.3, 1.3))
    if pair:
        both = tuple(arm for arm, _ in pair.values())
        rows = lab.stacked("network", {name: share(last, EQUAL, both, name) for name in PARTS})
        shades, words = ({run: pair[run][i] for run in pair} for i in (1, 0))
        panels.forest(rows, second, by="run", expected=None, colors=shades, names=words)
        panels.legend(None, second, loc="lower right")
    for panel in (first, second):
        for value in (0, 1):
            panel.axvline(value, color="black", linewidth=0.8, zorder=0)

    scaled = runs.scaled.sel(at=END, arm=GRPO)
    best = scaled.sel(direction=FIRST).mean("seed", skipna=False)
    peak = f"λ = {panels.plain(float(best.scale[int(np.nan_to_num(best.values, nan=-1.0).argmax())]))}"
    panels.frame(
        f"At the end of GRPO, Adam, the first direction is best at {peak}", third, x="λ", y="accuracy"
    )
    shades = {FIRST: plot.BEST, SECOND: plot.RIVAL, RANDOM: plot.MUTED}
    panels.curves(scaled, third, x="scale", by="direction", over="seed", colors=shades)
    panels.mark(float(runs.tuned.sel(at=END, arm=GRPO).mean("seed")), third, "trained", axis="y")
    panels.legend(None, third, loc="upper right", bbox_to_anchor=(1, 0.9))

    norms = runs["share"].sel(at=END, update=["own", "Gaussian"])
    own, noise = (norms.sel(arm=GRPO, update=update, drop=True) for update in ("own", "Gaussian"))
    ratio = lab.ratio("", own, noise)
    number = _said([float(x) for x in (ratio.value, *ratio.interval(0.05))], ".1f")
    title = f"Norm on it, {GRPO}: {number} × that of a Gaussian (grey)"
    panels.frame(title, fourth, x="first direction ÷ whole update", y="", xlim=(0, 1))
    both = {"own": plot.BEST, "Gaussian": plot.MUTED}
    panels.forest(
        norms.transpose("arm", "update", "seed"), fourth, by="update", over="seed", expected=None, colors=both
    )
    return figure


def _said(numbers: list[float], form: str) -> str:
    """A number, with its interval where that is wide."""
    value, low, high = numbers
    wide = np.isfinite([low, high]).all() and high - low > 2 * WIDE * max(1.0, abs(value))
    return f"{value:{form}} ({low:{form}} … {high:{form}})" if wide else f"{value:{form}}"

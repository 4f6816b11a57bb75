"""Panels of the study of SFT before RLVR in networks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.networks._drawing import members
from qra_jax.studies.networks._sft import FAR, GOOD, NEAR, NONE, RIVAL, longest

COLORS = {NONE: plot.color("rlvr"), FAR: "#A1D99B", NEAR: "#41AB5D", GOOD: "#00441B", RIVAL: plot.CYCLE[4]}


def paths(best: xr.DataArray, ax: Axes, *, colors: Mapping[str, str], target: float) -> Axes:
    """Share of the best pattern after the longest SFT on each kind of data: every seed, and the mean.

    Args:
      best: `[case, seed, step]`, with `shown`, the kind of data, along `case`.
      ax: where to draw.
      colors: by kind.
      target: marked.
    """
    for kind, color in colors.items():
        each = longest(best, kind)
        members(each, ax, color=color, alpha=0.35, linewidth=0.6)
        ax.plot(each.step, each.mean("seed"), color=color, label=kind)
    panels.mark(target, ax, axis="y")
    return panels.legend(None, ax, loc="lower right")


def arrivals(runs: xr.Dataset, ax: Axes, *, colors: Mapping[str, str], target: float) -> list[float]:
    """Share of runs in which the best pattern, and in which accuracy, reaches the target, by kind of data.

    Args:
      runs: `policy` and `success`, `[case, seed, step, pattern]`, with `shown` along `case`.
      ax: where to draw.
      colors: kinds of data, in order.
      target: what is reached.

    Returns:
      Both shares over all kinds of data.
    """
    accuracy = (runs.policy * runs.success).sum("pattern")
    reached = {"π(r*)": runs.policy.isel(pattern=0, drop=True), "accuracy": accuracy}
    there = [
        (path.max("step") >= target).astype(float).groupby("shown").mean("case") for path in reached.values()
    ]
    names = [f"{name} ≥ {panels.plain(target)}" for name in reached]
    both = xr.concat(there, "end").assign_coords(end=names).sel(shown=list(colors))
    looks = dict(zip(names, (plot.BEST, panels.DIM), strict=True))
    panels.bars(both, ax, x="shown", by="end", over="seed", colors=looks, within=(0, 1))
    panels.legend(None, ax, loc="upper left", ncols=2)
    return [float(one.mean()) for one in there]


def ranked(time: xr.DataArray, steps: xr.DataArray, ax: Axes) -> Axes:
    """Steps of networks against the tabular time, a dot for each run, with the rank correlation of each arm.

    Args:
      time: log tabular time, `[arm, case, seed]`.
      steps: `[arm, case, seed]`.
      ax: where to draw.
    """
    for arm, color in zip(steps.arm.values, (plot.BEST, plot.RIVAL, plot.CYCLE[2]), strict=False):
        one, taken = time.sel(arm=arm), steps.sel(arm=arm)
        label = f"{arm}: {lab.correlation('', one, taken).value.item():.2f}"
        style = {"color": color, "alpha": 0.6, "markersize": 4, "markeredgewidth": 0}
        ax.plot(np.exp(one.values).ravel(), taken.values.ravel(), "o", label=label, **style)
    panels.mark(float(steps.max()), ax, "does not arrive", axis="y", before=True)
    return panels.legend(None, ax, title="rank correlation", loc="lower right")


def totals(steps: xr.DataArray, ax: Axes, *, colors: Mapping[str, str]) -> Axes:
    """Steps of SFT and RLVR together, a bar for each case, against those of RLVR alone.

    Args:
      steps: of RLVR, `[case, seed]`, with `shown` and `length` along `case`; case 0 is without SFT.
      ax: where to draw.
      colors: by kind of data.
    """
    total = (steps + steps.length).isel(case=slice(1, None))
    names = [
        f"{kind}\n{length}" for kind, length in zip(total.shown.values, total.length.values, strict=True)
    ]
    looks = {name: colors[str(kind)] for name, kind in zip(names, total.shown.values, strict=True)}
    total = total.drop_vars(["shown", "length"]).assign_coords(case=names)
    panels.bars(total, ax, x="case", over="seed", colors=looks)
    alone = steps.isel(case=0)
    ax.tick_params(axis="x", labelsize=7)
    return panels.mark(
        float(alone.mean()), ax, "no SFT", axis="y", at=0.02, color=colors[str(alone.shown.item())]
    )

"""Panels of the study of SFT before RLVR in networks."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.networks._drawing import members
from qra_jax.studies.networks._sft import FAR, GOOD, NEAR, NONE, RIVAL, longest

COLORS = {NONE: plot.color("rlvr"), FAR: "#A1D99B", NEAR: "#41AB5D", GOOD: "#00441B", RIVAL: plot.CYCLE[4]}


def paths(best: xr.DataArray, ax: Axes, *, saved: float, target: float) -> Axes:
    """Share of the best pattern after the longest SFT on each kind of data: every seed, and the mean.

    Args:
      best: `[case, seed, step]`, with `shown`, the kind of data, along `case`.
      ax: where to draw.
      saved: by what factor RLVR is shorter after SFT above the threshold, for the title.
      target: marked.
    """
    title = f"Fixed answers: RLVR alone takes {saved:.1f} × the steps of RLVR after SFT above x₀"
    words = f"steps of RLVR, after {best.length.values.max()} of SFT"
    panels.frame(title, ax, x=words, y="π(r*)", ylim=(0, 1.02))
    for kind, color in COLORS.items():
        each = longest(best, kind)
        members(each, ax, color=color, alpha=0.35, linewidth=0.6)
        ax.plot(each.step, each.mean("seed"), color=color, label=kind)
    panels.mark(target, ax, axis="y")
    return panels.legend(None, ax, loc="lower right")


def arrivals(runs: xr.Dataset, ax: Axes, *, target: float) -> Axes:
    """Share of runs in which the best pattern, and in which accuracy, reaches the target, by kind of data.

    Args:
      runs: `policy` and `success`, `[case, seed, step, pattern]`, with `shown` along `case`.
      ax: where to draw.
      target: what is reached.
    """
    accuracy = (runs.policy * runs.success).sum("pattern")
    reached = {"π(r*)": runs.policy.isel(pattern=0, drop=True), "accuracy": accuracy}
    there = [
        (path.max("step") >= target).astype(float).groupby("shown").mean("case") for path in reached.values()
    ]
    names = [f"{name} ≥ {panels.plain(target)}" for name in reached]
    both = xr.concat(there, "end").assign_coords(end=names).sel(shown=list(COLORS))
    title = (
        f"Learnt answers, SGD: {both[0].mean():.0%} of the runs reach r*, {both[1].mean():.0%} are accurate"
    )
    panels.frame(title, ax, x="data of SFT", y="share of runs", ylim=(0, 1.25))
    looks = dict(zip(names, (plot.BEST, panels.DIM), strict=True))
    panels.bars(both, ax, x="shown", by="end", over="seed", colors=looks, within=(0, 1))
    return panels.legend(None, ax, loc="upper left", ncols=2)


def ranked(time: xr.DataArray, steps: xr.DataArray, ax: Axes, *, power: float) -> Axes:
    """Steps of networks against the tabular time, a dot for each run, with the rank correlation of each arm.

    Args:
      time: log tabular time, `[arm, case, seed]`.
      steps: `[arm, case, seed]`.
      ax: where to draw.
      power: of the time with which steps grow where answers are fixed, for the title.
    """
    title = f"Fixed answers: steps grow like the tabular time to the power {power:.2f}"
    panels.frame(title, ax, x="tabular time to π(r*) = .9 after SFT", y="steps of the network", log="xy")
    for arm, color in zip(steps.arm.values, (plot.BEST, plot.RIVAL, plot.CYCLE[2]), strict=False):
        one, taken = time.sel(arm=arm), steps.sel(arm=arm)
        label = f"{arm}: {lab.correlation('', one, taken).value.item():.2f}"
        style = {"color": color, "alpha": 0.6, "markersize": 4, "markeredgewidth": 0}
        ax.plot(np.exp(one.values).ravel(), taken.values.ravel(), "o", label=label, **style)
    panels.mark(float(steps.max()), ax, "does not arrive", axis="y", before=True)
    return panels.legend(None, ax, title="rank correlation", loc="lower right")


def totals(steps: xr.DataArray, ax: Axes, *, best: float) -> Axes:
    """Steps of SFT and RLVR together, a bar for each case, against those of RLVR alone.

    Args:
      steps: of RLVR, `[case, seed]`, with `shown` and `length` along `case`; case 0 is without SFT.
      ax: where to draw.
      best: largest factor by which SFT and RLVR are shorter than RLVR alone, for the title.
    """
    title = f"Fixed answers: RLVR alone takes {best:.1f} × the steps of SFT and RLVR, at best"
    panels.frame(title, ax, x="data of SFT, and its steps", y="steps of SFT and RLVR")
    total = (steps + steps.length).isel(case=slice(1, None))
    names = [
        f"{kind}\n{length}" for kind, length in zip(total.shown.values, total.length.values, strict=True)
    ]
    looks = {name: COLORS[str(kind)] for name, kind in zip(names, total.shown.values, strict=True)}
    total = total.drop_vars(["shown", "length"]).assign_coords(case=names)
    panels.bars(total, ax, x="case", over="seed", colors=looks)
    alone = steps.isel(case=0)
    ax.tick_params(axis="x", labelsize=7)
    ax.set_xlim(left=-1.1)
    return panels.mark(
        float(alone.mean()), ax, "no SFT", axis="y", at=0.02, color=COLORS[str(alone.shown.item())]
    )

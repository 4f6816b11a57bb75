"""Panels that several studies in networks share."""

from __future__ import annotations

from typing import Any

import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.lab import panels
from qra_jax.studies.networks._paths import gains, questions

DASHED: dict[str, Any] = {"color": "black", "linestyle": "--"}


def members(values: xr.DataArray, ax: Axes, *, x: Any = None, **style: Any) -> Axes:
    """A thin line for each seed.

    Args:
      values: `[step, seed]`, in any order.
      ax: where to draw.
      x: `[step, seed]`, what they are drawn against; default: their steps.
      **style: as for `Axes.plot`.
    """
    across = values.step if x is None else x.transpose("step", "seed")
    ax.plot(across, values.transpose("step", "seed"), **{"alpha": 0.6, "linewidth": 1} | style)
    return ax


def orbits(path: xr.DataArray, curves: xr.Dataset, ax: Axes) -> Axes:
    """Paths of networks and both orbits, best pattern against third.

    Args:
      path: `[start, seed, step, pattern]`.
      curves: `softmax` and `natural`, `[start, seed, time, pattern]`.
      ax: where to draw.
    """
    natural: dict[str, Any] = {"color": plot.RIVAL, "linestyle": ":"}
    for start in path.start.values:
        best, third = (path.sel(start=start).isel(pattern=r) for r in (0, 2))
        members(best, ax, x=third, color=plot.BEST, alpha=0.5)
        for name, look in (("softmax", DASHED), ("natural", natural)):
            middle = curves[name].sel(start=start).mean("seed")
            ax.plot(middle[:, 2], middle[:, 0], **look)
        first = curves.softmax.sel(start=start).mean("seed")[0].values[[2, 0]]
        panels.note(
            first, ax, f"{start} starts", shift=(-5 if first[0] > 0.1 else 6, 7), color="black", dot=True
        )
    looks = {"network, each seed": plot.BEST, "orbit, softmax policy gradient": DASHED}
    return panels.legend(looks | {"orbit, natural gradient": natural}, ax)


def gain_bars(runs: xr.Dataset, ax: Axes) -> xr.DataArray:
    """What gains of accuracy are made of, from each start, on questions that training asks and on others.

    Args:
      runs: `policy` and `success`, `[start, seed, step, question, pattern]`.
      ax: where to draw.

    Returns:
      Share of selection in the gain on questions asked, `[start]`.
    """
    made = {}
    for start in runs.start.values:
        kept = runs.sel(start=start, drop=True)
        for name, asked in (("asked", True), ("never asked", False)):
            policy, success = (questions(kept[of], asked=asked) for of in ("policy", "success"))
            made[f"{start}\n{name}"] = gains(policy, success).mean("question").to_dataarray("part")
    bars = xr.concat(list(made.values()), "group").assign_coords(group=list(made))
    colors = {"selection": plot.BEST, "answers": plot.RIVAL}
    panels.bars(bars, ax, x="group", by="part", over="seed", colors=colors)
    panels.legend(None, ax)
    gain = bars.mean("seed").isel(group=slice(None, None, 2))
    return gain.sel(part="selection", drop=True) / gain.sum("part")

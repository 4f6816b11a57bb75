"""Panels of the study of selection in networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.lab import panels
from qra_jax.studies.networks._drawing import members
from qra_jax.studies.networks._paths import distance, gains, questions

DASHED: dict[str, Any] = {"color": "black", "linestyle": "--"}


def orbits(path: xr.DataArray, curves: xr.Dataset, ax: Axes) -> Axes:
    """Paths of networks and both orbits, best pattern against third.

    Args:
      path: `[start, seed, step, pattern]`.
      curves: `softmax` and `natural`, `[start, seed, time, pattern]`.
      ax: where to draw.
    """
    far = float(distance(path, curves.softmax).max("step").mean("seed").max())
    title = f"Fixed answers: at most {far:.3f} from the softmax orbit, mean over seeds"
    panels.frame(title, ax, x="share of the third pattern", y="share of the best pattern r*")
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


def gain_bars(runs: xr.Dataset, ax: Axes) -> Axes:
    """What gains of accuracy are made of, from each start, on questions that training asks and on others.

    Args:
      runs: `policy` and `success`, `[start, seed, step, question, pattern]`.
      ax: where to draw.

    """
    made = {}
    for start in runs.start.values:
        kept = runs.sel(start=start, drop=True)
        for name, asked in (("asked", True), ("never asked", False)):
            policy, success = (questions(kept[of], asked=asked) for of in ("policy", "success"))
            made[f"{start}\n{name}"] = gains(policy, success).mean("question").to_dataarray("part")
    bars = xr.concat(list(made.values()), "group").assign_coords(group=list(made))
    colors = {"selection": plot.BEST, "answers": plot.RIVAL}
    gain = bars.mean("seed").isel(group=slice(None, None, 2))
    part = (gain.sel(part="selection", drop=True) / gain.sum("part")).values
    title = f"Learnt answers: selection makes {part[0]:.0%} and {part[1]:.0%} of the gain on questions asked"
    panels.frame(title, ax, x="", y="gain of accuracy")
    panels.bars(bars, ax, x="group", by="part", over="seed", colors=colors)
    return panels.legend(None, ax)


def clock(timed: Mapping[str, tuple[xr.DataArray, xr.DataArray]], ax: Axes) -> Axes:
    """Orbit time of the nearest point against network steps.

    Args:
      timed: times `[start, seed, step]` and their slopes `[start, seed]`, by optimiser, two of both.
      ax: where to draw.
    """
    rates, colors = {}, dict(zip(timed, (plot.BEST, plot.RIVAL), strict=True))
    looks: dict[str, Any] = dict(colors)
    for name, (time, rate) in timed.items():
        rates[name] = float(np.exp(np.log((rate[{"start": 1}] / rate[{"start": 0}]).values).mean()))
        for start, dash in zip(time.start.values, ("--", "-"), strict=True):
            members(time.sel(start=start), ax, color=colors[name], linestyle=dash)
            looks[str(start)] = dash
    told = ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items())
    title = f"Rate of the clock, second start over first: {told}"
    panels.frame(title, ax, x="network steps", y="orbit time of the nearest point")
    return panels.legend(looks, ax)


def answers(share: xr.DataArray, fixed: xr.DataArray, rival: xr.DataArray, ax: Axes) -> Axes:
    """Share of the best pattern with learnt and with fixed answers, and how right its rival becomes.

    Args:
      share, fixed: π(r*) with learnt and with fixed answers, `[seed, step]`.
      rival: success rate of the rival where answers are learnt, `[seed, step]`.
      ax: where to draw.
    """
    for values, color, dash in ((share, plot.BEST, "-"), (fixed, plot.BEST, "--"), (rival, plot.RIVAL, "-")):
        members(values, ax, color=color, linestyle=dash)
    won, end = float((share.isel(step=-1) > 0.5).mean()), float(rival.isel(step=-1).mean())
    title = f"Learnt answers, Regime 2: r* wins in {won:.0%} of the seeds, its rival is {end:.0%} right"
    panels.frame(title, ax, x="network steps", y="π(r*), success rate of the rival", ylim=(-0.02, 1.35))
    ax.set_yticks(np.linspace(0, 1, 6))
    names = {"π(r*)": plot.BEST, "π(r*), fixed answers": {"color": plot.BEST, "linestyle": "--"}}
    return panels.legend(names | {"success rate of the rival": plot.RIVAL}, ax, loc="upper left", ncols=2)

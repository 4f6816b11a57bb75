"""Panels of the study of arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.lab import panels
from qra_jax.studies.networks._procedures import MODELS
from qra_jax.transformer.procedures import PATTERNS

COLORS: dict[str, str] = dict(
    zip(PATTERNS, (plot.CYCLE[4], plot.CYCLE[1], plot.CYCLE[0], plot.CYCLE[7]), strict=True)
)
FEW = 6
"""Up to so many networks are drawn one by one."""


def choice(policy: xr.DataArray, near: xr.DataArray, ax: Axes) -> Axes:
    """Shares of the procedures along training, and the nearest points of the orbit.

    Args:
      policy: `[seed, step, procedure]`.
      near: `[step, procedure]`.
      ax: where to draw.
    """
    named: dict[str, Any] = {"by": "procedure", "colors": COLORS}
    winner, counts = np.unique(policy.isel(step=-1).argmax("procedure"), return_counts=True)
    names = ", ".join(f"{PATTERNS[w]} in {c}" for w, c in zip(winner, counts, strict=True))
    title = f"Likeliest at the end: {names} of {counts.sum()} seeds"
    panels.frame(title, ax, x="GRPO steps", y="share π", ylim=(-0.02, 1.02))
    panels.curves(policy, ax, x="step", over="seed", runs=True, **named)
    panels.curves(near, ax, x="step", label=False, style={"linestyle": ":"}, **named)
    return panels.legend({**COLORS, "nearest points of the orbit": ":"}, ax, place="right")


def rates(ends: xr.DataArray, policy: xr.DataArray, ax: Axes) -> Axes:
    """Success rates after training against those before.

    Args:
      ends: `[seed, 2, procedure]`, before and after.
      policy: `[seed, procedure]`, shares at the end.
      ax: where to draw.
    """
    before, after = (ends.isel(step=i, drop=True) for i in (0, 1))
    change = (after - before).values
    title = f"Success rates change by {change.min():+.2f} to {change.max():+.2f}"
    panels.frame(title, ax, x="success rate before RL", y="after", xlim=(0, 1.04), ylim=(0, 1.04))
    ax.plot([0, 1], [0, 1], color=plot.MUTED, linewidth=1, zorder=0)
    for name, color in COLORS.items():
        one = {"procedure": name}
        ax.scatter(
            before.sel(one), after.sel(one), 20 + 150 * policy.sel(one), color=color, edgecolor="white"
        )
    return panels.legend(dict(COLORS), ax, place="right", title="size: share π\nafter RL")


def gain(made: xr.DataArray, ax: Axes) -> Axes:
    """What the gain is made of.

    Args:
      made: `[part, seed, step]`.
      ax: where to draw.
    """
    whole = made.isel(step=-1).mean("seed")
    part = float(whole.sel(part="choice") / whole.sel(part="gain"))
    panels.frame(f"Choice makes {part:.0%} of the gain", ax, x="GRPO steps", y="gain of paid accuracy")
    shades = dict(zip(made.part.values, (plot.BEST, plot.CYCLE[2], plot.CYCLE[3], "black"), strict=True))
    words = {"choice": "procedures", "answers": "right answers", "format": "format", "gain": "all"}
    few = made.sizes["seed"] < FEW
    panels.curves(made, ax, x="step", by="part", over="seed", colors=shades, names=words, runs=few)
    ax.axhline(0, color=plot.MUTED, linewidth=0.8, zorder=0)
    return panels.legend(None, ax, place="right")


def tries(passed: xr.DataArray, ax: Axes) -> Axes:
    """Pass@k of base, trained and cooled networks.

    Args:
      passed: `[model, seed, k]`.
      ax: where to draw.
    """
    passed = passed.sel(model=list(MODELS[:3]))
    lost, k = (passed.sel(model="RL") - passed.sel(model="base")).mean("seed"), passed.k.values[-1]
    title = f"RL − base: {lost[0]:+.2f} at k = 1, {lost[-1]:+.2f} at k = {k}"
    panels.frame(title, ax, x="number of tries k", y="pass@k with right steps", log="x", ylim=(0, 1.02))
    shades = {"base": "black", "RL": plot.color("GRPO"), "base, cooled": plot.MUTED}
    look: dict[str, Any] = {"colors": shades, "within": (0, 1), "runs": passed.sizes["seed"] < FEW}
    panels.curves(passed, ax, x="k", by="model", over="seed", **look)
    return panels.legend(None, ax, place="right")

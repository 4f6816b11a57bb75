"""Panels of the study of pairs."""

from collections.abc import Mapping
from typing import Any

import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.credit._rollouts_kept import mean_steps
from qra_jax.studies.lab import panels

COLORS = {"pairs": plot.color("GRPO, pairs"), "GRPO, 8": plot.color("GRPO")}
COLORS |= {"GRPO, 16": "#7A3300", "random half": "#999999"}


def clocks(clock: xr.DataArray, ax: Axes) -> None:
    """Speed for each rollout trained on `[rule, rho]`."""
    gain: Any = clock.sel(rule="pairs") / clock.sel(rule="GRPO, 8")
    low, mid = (float(gain.sel(rho=rho, method="nearest")) for rho in (0.01, 0.5))
    title = f"A clock {low:.1f} times that of GRPO on 8 at ρ = .01, {mid:.2f} at ½"
    panels.frame(title, ax, x="accuracy ρ", y="speed for each rollout trained on", log="x", ylim=(0, 8))
    panels.curves(clock.sel(rule=["pairs", "GRPO, 16", "GRPO, 8"]), ax, x="rho", by="rule", colors=COLORS)
    panels.legend(None, ax, loc="upper right")


def races(kinds: Mapping[str, xr.DataArray], ax: Axes) -> None:
    """Steps of each rule over those of pairs `[rule, rho, seed]`, by how rates are chosen."""
    rules = ["GRPO, 8", "GRPO, 16"]
    rows: dict[str, xr.DataArray] = {}
    for rho in kinds["best rates"].rho.values:
        for kind, steps in kinds.items():
            needed = mean_steps(steps.sel(rho=rho, drop=True))
            share = needed / needed.sel(rule="pairs", drop=True)
            rows[f"ρ₀ = {panels.plain(rho)},\n{kind}"] = share.sel(rule=rules)
    bars: Any = xr.concat(list(rows.values()), xr.DataArray(list(rows), dims="case", name="case"))
    best = bars.sel(rule="GRPO, 16")[1::2]
    title = f"At the best rates GRPO on all 16 needs {float(best.min()):.2f} … {float(best.max()):.2f} of the steps"
    panels.frame(title, ax, x="", y="steps ÷ those of pairs", ylim=(0, float(bars.max()) * 1.3))
    panels.bars(bars, ax, x="case", by="rule", colors=COLORS, numbers="{:.2f}")
    panels.mark(1.0, ax, "", axis="y")
    panels.legend(None, ax, ncols=2, loc="upper center")
    if len(rows) > 4:
        ax.tick_params(axis="x", labelsize=7)


def worth(found: xr.DataArray, ax: Axes) -> None:
    """Signal to noise of one group `[rule, level]`, over that of all 16 rollouts."""
    share = (found / found.sel(rule="GRPO, 16", drop=True)).sel(rule=["pairs", "random half", "GRPO, 8"])
    title, ticks = "Pairs keep what is rare: worth all 16 where ρ is low", found.level.values
    panels.frame(
        title, ax, x="accuracy ρ", y="signal to noise ÷ that of all 16", log="x", xticks=ticks, ylim=(0, 1.1)
    )
    panels.dots(share, ax, x="level", by="rule", join=True, colors=COLORS)
    panels.legend(None, ax, loc="lower left")


def lengths(length: xr.DataArray, ax: Axes) -> None:
    """Mean length `[rule, accuracy, norm, seed, step]`."""
    some = length.sel(norm="1/|o|", accuracy=[0.1, 0.9], rule=["pairs", "random half"])
    ends: Any = some.sel(rule="pairs").isel(step=-1).mean("seed")
    title = f"Divided by length, answers go from 20 to {float(ends[0]):.2g} (hard), {float(ends[1]):.2g} (easy) tokens"
    panels.frame(title, ax, x="step", y="mean length in tokens", log="y")
    panels.curves(some, ax, x="step", by="rule", dash="accuracy", over="seed", colors=COLORS)
    panels.legend(None, ax, loc="lower left")

"""Panels of the study `group-size`."""

from collections.abc import Mapping

import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels

SIZE = "group size G"


def speed(share: xr.DataArray, limit: xr.DataArray, ax: Axes) -> None:
    """GRPO's speed as a share of the mean field's `[G, load]`, and its limit."""
    title, y = "Below ρ ~ 1/G GRPO's mean path is slower", "GRPO's speed ÷ mean field's"
    panels.frame(title, ax, x="right rollouts expected in a group, Gρ", y=y, log="x", ylim=(0, 1.12))
    colors = panels.palette(share.G.values.tolist(), base=plot.color("GRPO"))
    panels.curves(share, ax, x="load", by="G", colors=colors)
    panels.curves(limit, ax, x="load", colors="black", style={"linestyle": "--", "linewidth": 1})
    panels.mark(1.0, ax, "mean field", axis="y", at=0.02)
    panels.legend(None, ax, loc="lower right", title="dashed: limit")


def cold_start(time: xr.DataArray, ax: Axes, colors: Mapping[str, str]) -> None:
    """Times from ρ₀ = .01 to ½ `[algorithm, size]`, with GRPO's law."""
    title, y = "Cold start: an update gains up to √G", "time from ρ₀ = .01 to ½"
    panels.frame(title, ax, x=SIZE, y=y, log="xy", xticks=time["size"].values)
    panels.curves(time, ax, x="size", by="algorithm", colors=colors)
    early, own = time["size"].sel(size=slice(4, 64)), plot.color("GRPO")
    panels.curves(50 * (early - 1) ** -0.5, ax, x="size", colors=own, style={"linestyle": ":"})
    panels.note((20, 11.5), ax, "1/(2√(G−1)ρ₀)", shift=(-4, -6), color=own)
    panels.legend(None, ax, loc="center right", bbox_to_anchor=(1, 0.68))


def variance(relative: xr.DataArray, ax: Axes, colors: Mapping[str, str]) -> None:
    """Variance of an update `[algorithm, rho, size]` over that at G = 16."""
    title, y = "Below ρ ~ 1/G its noise falls more slowly than 1/G", "variance of an update ÷ that at G = 16"
    panels.frame(title, ax, x=SIZE, y=y, log="xy", xticks=relative["size"].values)
    panels.curves(relative, ax, x="size", by="algorithm", dash="rho", colors=colors)
    panels.legend(None, ax, loc="lower left")


def race(needed: lab.Estimate, power: xr.DataArray, ax: Axes, colors: Mapping[str, str]) -> None:
    """Rollouts needed `[algorithm, rho, G]`; powers of G in them."""
    ends = f"{float(power.min()):.2f} … {float(power.max()):.2f}"
    title, y = (
        f"Tuned, the rollouts needed go as G to the power {ends}",
        "rollouts until 95 % of runs are there",
    )
    panels.frame(title, ax, x=SIZE, y=y, log="xy", xticks=needed.value.G.values, ylim=(50, 8000))
    panels.dots(needed, ax, x="G", by="algorithm", dash="rho", join=True, colors=colors)
    panels.legend(None, ax, loc="lower left", ncols=2)

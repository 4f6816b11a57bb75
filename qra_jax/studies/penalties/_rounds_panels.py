"""Panels of the study `policy-iteration`: a map of attractors, and slices of it."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from qra_jax import plot, theory
from qra_jax.studies.lab import panels

SHADES = dict(
    zip(
        ("no fixed point", "no attractor", "fixed point", "2-cycle", "longer cycle", "chaos"),
        ("#F3C9B0", "#E8843C", "#CFE3F2", "#6FA8D6", "#2E9E77", "#3B0F52"),
        strict=True,
    )
)


def _ticks(axis, rhos: list[float]) -> None:
    """Name places of a logit axis by their ρ."""
    axis.set_ticks([np.log(rho / (1 - rho)) for rho in rhos], [panels.plain(rho) for rho in rhos])


def attractors(cells: xr.Dataset, ax: Axes) -> None:
    """What attracts, over base accuracy and strength of the KL term, with the boundaries of theory."""
    fine, period = np.logspace(-1.2, 1.5, 400), cells.period
    kind = xr.where(
        period == 1, 2, xr.where(period == 2, 3, xr.where(period > 2, 4, xr.where(period == 0, 5, 1)))
    )
    kind = xr.where(cells.slope.isnull(), 0, kind)
    panels.frame(
        "What attracts short of ρ = 1", ax, x="base accuracy ρ_ref", y="strength of the KL term β", log="y"
    )
    panels.heat(
        kind.T, ax, x="logit_ref", y="beta", cmap=ListedColormap(list(SHADES.values())), limits=(-0.5, 5.5)
    )
    root = 2 * np.sqrt(1 + fine**-2)
    ax.plot(2 * np.arcsinh(fine) - root, fine, color="black", linewidth=1.4)
    ax.plot(-2 * np.arcsinh(fine) - root, fine, color="black", linewidth=1.1, linestyle="--")
    x, low = np.linspace(0.3, 8, 400), np.linspace(-14, -1.6, 200)
    ax.plot(-2 * (x + x / np.sinh(x / 2) ** 2), np.sinh(x / 2) ** 2 / x, color="white", linewidth=1.2)
    ax.plot(low, np.cosh(low / 2) / -low, color=plot.RIVAL, linewidth=1.6)
    ax.set(xlim=(-14, 3), ylim=(fine[0], fine[-1]))
    _ticks(ax.xaxis, [1e-6, 1e-4, 0.01, 0.5, 0.9])
    style = {"fontsize": 8, "ha": "center"}
    for place, text in (
        ((0.6, 0.2), "all runs to 1"),
        ((-2.5, 14), "fixed point"),
        ((-11, 1.2), "fixed points,\nno attractor"),
    ):
        ax.text(*place, text, **style)
    ax.text(-7.6, 9, "2-cycle", rotation=-50, **style)
    ax.text(1.9, 1.6, "fold", rotation=45, **style)
    ax.text(-4.0, 1.75, "flip", **style)
    panels.note((-6.3, 0.85), ax, "chaos", shift=(-38, -30), line=True)
    text = "below this line the first round\nfrom π_ref overshoots to 1"
    panels.note((-3.2, 0.82), ax, text, shift=(2, -54), color="#A03C00", line=True)


def slice_at(runs: xr.Dataset, rho: float, ax: Axes, still: float) -> None:
    """Where rounds end against the strength of the KL term, with fixed points and the 2-cycle."""
    title = "ρ_ref = .6: below the fold all runs to 1" if rho > 0.5 else "ρ_ref = .001: rest, cycles, chaos"
    panels.frame(title, ax, x="strength of the KL term β", y="accuracy ρ in the end", log="x")
    beta, fold = runs.beta.values, float(theory.fold_betas(rho)[0])
    tail = runs["tail"].where(np.isfinite(runs["tail"]))
    ax.plot(beta, tail, ".", color=plot.BEST, markersize=1.2, mew=0, rasterized=True)
    for stable, dash in ((True, "-"), (False, "--")):
        ax.plot(beta, runs.fixed.where((abs(runs.slope) < 1) == stable), dash, color="black", linewidth=1.3)
    cycles = (abs(tail - tail.shift(last=2)) < still).any("last")
    ax.plot(beta, runs.pair.where(~cycles), ":", color="#666666", linewidth=1)
    panels.mark((beta[0], fold), ax, color=SHADES["no attractor"])
    panels.mark(np.log(rho / (1 - rho)), ax, "ρ_ref", axis="y", at=0.02)
    if rho > 0.5:
        ax.set(xlim=(0.6, 30), ylim=(0, 9))
        _ticks(ax.yaxis, [0.6, 0.9, 0.99, 0.999])
        words = (
            (1.03, 5, "nothing holds\nthe policy"),
            (3.2, 8.2, "starts above it run to 1"),
            (12, 4.6, "upper, unstable"),
            (6, 1.6, "lower, stable"),
        )
    else:
        ax.set(xlim=(0.06, 20), ylim=(-7.4, 6))
        _ticks(ax.yaxis, [0.001, 0.01, 0.1, 0.5, 0.9, 0.99])
        panels.mark(
            float(theory.overshoot_beta(rho)),
            ax,
            "left of this a\nstart at π_ref\novershoots to 1",
            color=plot.RIVAL,
            dash="-",
        )
        words = ((0.13, 4.6, "ρ → 1"),)
    for x, y, text in words:
        ax.text(x, y, text, fontsize=8, ha="center", va="center")

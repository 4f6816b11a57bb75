"""Panels of the studies of regimes, stalls and transition times."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.problem import Problem
from qra_jax.studies import lab
from qra_jax.studies.lab import panels


def run(lines: xr.DataArray, dots: xr.DataArray, success: np.ndarray, transition: float, ax: Axes) -> None:
    """Shares and accuracy along the orbit of three patterns, the best and its rival first.

    Args:
      lines: the orbit, `[time, pattern]`.
      dots: the same by another way, `[time, pattern]`.
      success: `[pattern]`, p.
      transition: T₀; 0: none.
      ax: where to draw.
    """
    times, paths, points = lines.time.values, lines.values, dots.values
    plot.policies(times, paths, best=0, rival=1, labels=list(lines.pattern.values), ax=ax)
    ax.plot(times, paths @ success, color=plot.ACCURACY, linestyle="--", label="accuracy ρ")
    colors = [*plot.pattern_colors(3, best=0, rival=1), "black"]
    for values, color in zip([*points.T, points @ success], colors, strict=True):
        ax.plot(dots.time, values, "o", color=color, markersize=3.5, mec="white", mew=0.5, zorder=4)
    if transition > 0:
        panels.mark(transition, ax, f"T₀ = {transition:.1f}", before=True, dash="-")
        text = f"falls from .05 to {paths[:, 0].min():.3f}".replace("0.", ".")
        low = (times[paths[:, 0].argmin()], paths[:, 0].min())
        panels.note(low, ax, text, shift=(-25, 45), color=plot.BEST, line=True)


def envelope(problem: Problem, ax: Axes) -> None:
    """The lines of the orbit of three patterns, the best and its rival first; the lowest one leads.

    Args:
      problem: one.
      ax: where to draw.
    """
    start, success = 1 / np.asarray(problem.ref), np.asarray(problem.success)
    switch = (start[0] - start[1]) / (success[0] - success[1])
    tau = np.linspace(0, 1.9 * switch, 400)
    lines = start[:, None] - success[:, None] * tau
    for line, color in zip(lines, plot.pattern_colors(3, best=0, rival=1), strict=True):
        ax.plot(tau, line, color=color, linewidth=1.0)
        ax.plot(tau, np.where(line == lines.min(axis=0), line, np.nan), color=color, linewidth=3.5)
    panels.mark(switch, ax, f"new leader, τ = {switch:.3g}", dash="-")
    ax.set(xlabel="orbit time τ", ylabel="1/π_ref − p τ   (lowest leads)", xlim=(0, tau[-1]))


def survival(
    decades: xr.DataArray, stalls: xr.DataArray, shown: int, ax: Axes, colors: Mapping[int, str]
) -> None:
    """Share of base models that are not there yet, against time.

    Args:
      decades: log₁₀ of the time to the target, `[n, problem]`.
      stalls: share beyond 10⁶, `[n]`.
      shown: n of which the last tenth is pointed out.
      ax: where to draw.
      colors: by n.
    """
    texts = {n: f"{float(stalls.sel(n=n)):.0%}" for n in list(colors)[2:]}
    last, decades = list(colors)[-1], decades.clip(0)
    title = f"{texts[shown]} stall with n = {shown}, {texts[last]} with n = {last}"
    panels.frame(title, ax, x="time t", y="share with π(r*) < .99 at time t", xlim=(0, 62), ylim=(0, 1))
    panels.survival(decades, ax, of="problem", by="n", colors=dict(colors))
    for n, text in texts.items():
        panels.note((6, float(stalls.sel(n=n))), ax, text, color=colors[n], dot=True)
    tenth = float(decades.sel(n=shown).quantile(0.9))
    text = f"n = {shown}: one in ten\nbeyond 10$^{{{tenth:.1f}}}$"
    panels.note((tenth, 0.1), ax, text, shift=(76, 20), color=colors[shown], line=True)
    ax.set_xticks([0, 6, 12, 20, 40, 60], ["1", *(f"10$^{{{tick}}}$" for tick in (6, 12, 20, 40, 60))])
    panels.legend(None, ax, loc="upper right")


def by_mass(
    share: xr.DataArray, stalls: xr.DataArray, bins: np.ndarray, ax: Axes, colors: dict[int, str]
) -> None:
    """Share that stalls by bin of π_ref(r*), where a bin holds at least 20 problems.

    Args:
      share: π_ref(r*), `[n, problem]`.
      stalls: whether a problem stalls, `[n, problem]`.
      bins: their ends.
      ax: where to draw.
      colors: by n.
    """
    x, y = "mass on the best pattern π_ref(r*)", "share that stalls beyond 10$^6$"
    panels.frame(
        "Mass on the best pattern decides", ax, x=x, y=y, log="x", xlim=(1e-3, 1), ylim=(-0.02, 1.02)
    )
    for n in colors:
        place, flags = np.digitize(share.sel(n=n), bins), stalls.sel(n=n)
        held = np.array([i for i in range(1, len(bins)) if (place == i).sum() >= 20])
        rows = [lab.share("", flags[place == i], "problem") for i in held]
        center, ends = np.sqrt(bins[held] * bins[held - 1]), np.array([row.interval(0.05) for row in rows])
        ax.fill_between(center, *ends.T, color=colors[n], alpha=0.15, linewidth=0)
        ax.plot(center, [float(row.value) for row in rows], "o-", color=colors[n])


def growth(one: xr.Dataset, ax: Axes, color: str, text: str, shift: tuple[float, float]) -> None:
    """T₀ of one family against γ.

    Args:
      one: `gamma`, `log_time` and `estimate`, `[point]`.
      ax: where to draw.
      color: of its line.
      text: beside its end.
      shift: of the text, in points.
    """
    ax.plot(one.gamma, np.exp(one.log_time), color=color)
    ax.plot(one.gamma, np.exp(one.estimate), "o", color=color, markersize=3, mec="white", mew=0.5)
    end = (float(one.gamma[-1]), float(np.exp(one.log_time[-1])))
    panels.note(end, ax, text, shift=shift, color=color)

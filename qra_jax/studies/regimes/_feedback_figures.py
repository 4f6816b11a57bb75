"""Panels of the study of internal feedback that show single orbits."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels

FAMILIES = {1.0: "U[0, 1] (plain reading)", 1.05: "Beta(1.05, 1)", 1.2: "Beta(1.2, 1)", 2.0: "Beta(2, 1)"}
SHADES = dict(zip(FAMILIES, [plot.RIVAL, "#7FB3D5", "#2E86C1", "#1B4F72"], strict=True))
COLORS = {"uniform": plot.RIVAL, "uneven": plot.CYCLE[4]}


def every(data: lab.Data, humps: xr.DataArray) -> Figure:
    """All panels.

    Args:
      data: of the study.
      humps: which orbits rise visibly and end below their start, `[base, seed]`.
    """
    figure, axes = plot.new((10.6, 6.2), nrows=2, ncols=3)
    rise_and_fall(data.orbits, axes[0, 0])
    shares = [f"{float(humps.sel(base=base).mean()):.1%} ({base})" for base in humps.base.values]
    peaks(data.orbits, axes[1, 0], "Visible rise, then a fall: " + " and ".join(shares) + " of all")
    probabilities(data, axes[:, 1:])
    return figure


def _falls(orbits: xr.Dataset, base: str) -> tuple[xr.Dataset, xr.DataArray, xr.DataArray]:
    """Orbits of a base that rise at all and end below their start; the decade of their peak; their gain by then."""
    one = orbits.sel(base=base)
    gain = one.certainty.max("decade") - one.start
    falls = (gain > 0) & (one.certainty.isel(decade=-1) < one.start)
    one = one.isel(seed=falls.values)
    return one, one.certainty.idxmax("decade"), gain[falls.values]


def rise_and_fall(orbits: xr.Dataset, ax: Axes) -> None:
    """The orbit with the upper decile of gains, of those that peak before t = 10⁵ and end below their start.

    Args:
      orbits: `certainty` and `rlvr` `[base, seed, decade]`, `start` `[base, seed]`; the last decade is the end.
      ax: where to draw.
    """
    panels.frame(
        "Upper decile of gains: a rise, then a fall",
        ax,
        x="time t",
        y="accuracy ρ",
        log="x",
        ylim=(0, 1.05),
        xlim=(1e-1, 1e8),
    )
    for base, color in COLORS.items():
        one, decade, gain = _falls(orbits, base)
        early = np.flatnonzero(decade < 5)
        run = one.isel(
            seed=early[np.argsort(gain.values[early])[int(0.9 * len(early))]], decade=slice(None, -1)
        )
        ax.plot(10.0**run.decade, run.certainty, color=color, zorder=3)
        ax.plot(10.0**run.decade, run.rlvr, "--", color=color, linewidth=1)
        place = (10.0 ** float(run.certainty.idxmax()), float(run.certainty.max()))
        panels.note(place, ax, "peak", shift=(0, 6), color=color, dot=True)
    shown = {f"{base} base": color for base, color in COLORS.items()}
    panels.legend(shown | {"RLVR": "--"}, ax, loc="lower left", handlelength=1.0)


def peaks(orbits: xr.Dataset, ax: Axes, title: str, *, visible: float = 0.02) -> None:
    """When accuracy peaks and how high, in the orbits that rise at all and end below their start.

    Args:
      orbits: as for `rise_and_fall`.
      ax: where to draw.
      title: of the panel.
      visible: gain from which a rise counts.
    """
    x, y = "log₁₀ of the time of the peak (16: later)", "accuracy gained by then"
    panels.frame(title, ax, x=x, y=y, ylim=(-0.01, 0.62))
    for base, color in COLORS.items():
        _, decade, gain = _falls(orbits, base)
        ax.plot(
            np.minimum(decade, 16),
            gain,
            "o",
            color=color,
            markersize=3,
            alpha=0.6,
            mew=0,
            label=f"{base} base",
        )
    panels.mark(visible, ax, "visible", axis="y", at=0.98)
    panels.legend(None, ax, loc="upper right")


def probabilities(data: lab.Data, axes: np.ndarray) -> None:
    """Both probabilities of the theorem against n, and over (a, b).

    Args:
      data: of the study: `fates` and `phases`.
      axes: `[2, 2]`, where to draw.
    """
    shown = {
        "rise": (
            "{:.0%} rise at first, not all",
            "P(rises at first)",
            (0.4, 1.06),
            "A sure rise needs a > b …",
        ),
        "worst": (
            "{:.0%} end in the worst",
            "P(ends in the worst)",
            (-0.02, 0.6),
            "… where the worst end fades",
        ),
    }
    for (ax, phase), (name, (title, y, limits, where)) in zip(axes, shown.items(), strict=True):
        flags, shares = data.fates[name].astype(bool), data.phases[name].mean("draw")
        title = "U[0, 1]: " + title.format(float(flags[0, -1].mean()))
        panels.frame(title, ax, x="number of patterns n", y=y, log="x", ylim=limits)
        panels.dots(flags, ax, x="n", by="a", over="draw", join=True, colors=SHADES, names=FAMILIES)
        panels.frame(where, phase, x="a   (success rates ~ Beta(a, b))", y="b", aspect="equal")
        panels.heat(shares, phase, x="a", y="b", label=y, limits=(0, 1), smooth=True)
        phase.plot(shares.a, shares.a, "--", color="white", linewidth=1.2)
        panels.note((1.0, 1.0), phase, "U[0, 1]", shift=(6, -6), color=plot.RIVAL, dot=True)
    limit = float(data.fates.limit)
    panels.mark(
        limit, axes[0, 0], f"limit {limit:.3f}", axis="y", at=0.2, before=True, color=plot.RIVAL, dash=":"
    )
    panels.mark(1.0, axes[0, 0], "reported limit: 1", axis="y", at=0.02)
    panels.mark(0.5, axes[1, 0], "reported: ½", axis="y", at=0.02)
    panels.legend(None, axes[0, 0], loc="lower left")

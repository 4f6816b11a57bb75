"""Panels of the study of internal feedback in networks."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.lab import panels
from qra_jax.studies.networks._rlif import MIXED, gains
from qra_jax.studies.networks._sequences import REWARDS

COLORS = {name: plot.color(name) for name in REWARDS} | {"majority vote": "#7F3C8D"}


def seen(share: xr.DataArray, ax: Axes) -> Axes:
    """What rewards see: shares of their variance between patterns, markers and answers.

    Args:
      share: `[seed, reward, part]`.
      ax: where to draw.
    """
    colors = {"pattern": "#0072B2", "marker": "#56B4E9", "answer": "#CC79A7"}
    options = {"stacked": True, "flat": True, "colors": colors, "numbers": "{:.0%}"}
    panels.bars(share.mean("seed"), ax, x="reward", by="part", **options)
    return panels.legend(None, ax, loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=3)


def by_entropy(runs: xr.Dataset, ax: Axes) -> Axes:
    """Gain with format against the entropy of the start, for both ends of SFT.

    Args:
      runs: as for [`slopes`][].
      ax: where to draw.
    """
    looks = {}
    for name in MIXED:
        for end, marker in (("right", "o"), ("even", "s")):
            known = [str(start) == "base" or str(start).startswith(end) for start in runs.start.values]
            used = runs.isel(run=np.flatnonzero((runs.of == name).values & known))
            look = {"marker": marker, "markerfacecolor": COLORS[name] if end == "right" else "white"}
            look["markeredgecolor"] = COLORS[name]
            gain = xr.DataArray(gains(used.formatted).transpose("run", "seed").values, dims=("x", "seed"))
            place = used.entropy.isel(step=0).mean("seed").values
            panels.dots(gain, ax, x=place, over="seed", colors=COLORS[name], join=True, style=look)
            label = f"{name}, SFT on {'the right' if end == 'right' else 'right and wrong'}"
            looks[label] = look | {"color": COLORS[name]}
    ax.axhline(0, color=plot.MUTED, linewidth=1, zorder=0)
    return panels.legend(looks, ax)

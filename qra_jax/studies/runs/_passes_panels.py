"""Panels of `pass-at-k-after`."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.lab import panels
from qra_jax.studies.runs._passes import MAKERS, MIDDLE, OWN, SHIFT

COLORS = {SHIFT: plot.RIVAL, OWN: plot.BEST}


def simulated(rows: xr.Dataset, ax: Axes) -> None:
    """Predicted less measured of sampled runs, by who made them."""
    miss = rows.excess.sel(model=list(MAKERS)).isel(k=MIDDLE).mean("k")
    own = max(abs(float(miss.sel(maker=maker, model=maker).mean())) for maker in MAKERS)
    panels.frame(
        f"Simulated: each model is right of its own runs, within {own:.3f}",
        ax,
        x="predicted less measured",
        y="runs made by",
    )
    panels.bars(
        miss.rename(model="predicted by"),
        ax,
        x="maker",
        by="predicted by",
        over="seed",
        flat=True,
        colors=COLORS,
    )
    panels.legend(None, ax, title="predicted by", loc="upper left")


def curves(title: str, rows: xr.Dataset, ax: Axes) -> None:
    """pass@k before and after, and as the two models predict it."""
    off = rows.predicted - rows.after
    middle = [float(off.sel(model=model).isel(k=MIDDLE).mean()) for model in MAKERS]
    words = f"{title}: own clocks off by {middle[1]:+.3f}, a common shift by {middle[0]:+.3f}"
    panels.frame(words, ax, x="k", y="pass@k", log="x", xticks=[int(k) for k in rows.k.values])
    for model in MAKERS:
        ax.plot(rows.k, rows.predicted.sel(model=model), color=COLORS[model], label=model)
    ax.plot(rows.k, rows.before, "o--", color=plot.MUTED, ms=4, lw=1, label="before")
    ax.plot(rows.k, rows.after, "o", color="black", ms=5, label="after")
    panels.legend(None, ax, loc="lower right")


def tasks(values: xr.DataArray, ax: Axes) -> None:
    """pass@8 of tasks before and after, and as the two models predict it."""
    mean = values.mean("seed")
    below = (mean.sel(number=list(MAKERS)).min("number") - mean.sel(number="pass8 after")).mean()
    panels.frame(f"Collapse: pass@8 ends {float(below):.2f} below both models", ax, x="", y="pass@8")
    place = np.arange(mean.sizes["task"])
    for i, model in enumerate(MAKERS):
        ax.bar(place + 0.3 * i - 0.15, mean.sel(number=model), 0.28, color=COLORS[model], label=model)
    ax.plot(place, mean.sel(number="pass8 before"), "o", color=plot.MUTED, label="before")
    ax.plot(place, mean.sel(number="pass8 after"), "o", color="black", label="after")
    ax.set_xticks(place, [str(name).replace("_", "\n") for name in mean.task.values], fontsize=8)
    ax.set_ylim(0, 1.35)
    panels.legend(None, ax, ncols=2)

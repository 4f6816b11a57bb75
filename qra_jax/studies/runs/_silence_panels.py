"""Panels of `silent-groups`."""

import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.lab import panels
from qra_jax.studies.runs._silence import CORRECTED, MEAN, MODELS, SHIFTED


def bars(words: str, excess: xr.DataArray, ax: Axes, along: str, over: str | None) -> None:
    """Predicted less measured share, by method."""
    average = excess.mean([dim for dim in excess.dims if dim != "by"])
    told, alone = (float(average.sel(by=name)) for name in (CORRECTED, MEAN))
    title = f"{words}: the distribution is off by {told:+.3f}, the mean alone by {alone:+.2f}"
    panels.frame(title, ax, x="predicted less measured share", y="")
    panels.bars(excess, ax, x="by", by=along, over=over, flat=True)
    panels.legend(None, ax, loc="center left", fontsize=8)


def logs(rows: xr.Dataset, ax: Axes) -> None:
    """Predicted against measured share of the second half of logs."""
    measured = rows.tenths.sel(what="silent").isel(tenth=slice(5, None)).mean("tenth")
    right = int((abs(rows.excess.sel(model=SHIFTED)) < 0.05).sum())
    title = f"Logs: a shifted start is within .05 in {right} of {rows.sizes['run']}, the mean says too little"
    panels.frame(
        title, ax, x="predicted silent share, second half", y="measured", xlim=(0, 1.03), ylim=(0, 1.03)
    )
    for model, color in zip(MODELS, (plot.BEST, plot.MUTED, plot.RIVAL), strict=True):
        ax.plot(measured + rows.excess.sel(model=model), measured, "o", color=color, ms=6, label=model)
    ax.plot([0, 1], [0, 1], color="black", lw=0.8)
    panels.legend(None, ax, loc="lower right")


def missed(row: xr.Dataset, ax: Axes) -> None:
    """Silent share of one log against accuracy, and what its first tenth predicts."""
    off = float(row.excess.sel(model=SHIFTED))
    panels.frame(
        f"The log that is missed most: {-off:.2f} more silent groups than by a common shift",
        ax,
        x="accuracy",
        y="share of silent groups",
        ylim=(0, 1.03),
    )
    for model, color in zip(MODELS, (plot.BEST, plot.MUTED, plot.RIVAL), strict=True):
        ax.plot(row.grid, row.curve.sel(model=model), color=color, label=model)
    ax.plot(
        row.tenths.sel(what="accuracy"),
        row.tenths.sel(what="silent"),
        "o-",
        color="black",
        ms=5,
        label="measured, tenths",
    )
    panels.legend(None, ax, loc="upper left", fontsize=8)

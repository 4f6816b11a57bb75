"""Panels of the edge of competence."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab


def sheet(data: lab.Data, base: str, arms: list[str], supervised: list[str]) -> Figure:
    """Gains by band trained and tested, pass@k at the edge, and exposure to the second context."""
    figure, ((one, many), (curves, names)) = plot.new((10.6, 7.4), nrows=2, ncols=2)
    bands = data.bands
    most = int(bands.k[-1])
    _gains(one, bands, base, arms, 0, "Pass@1 by what RL was trained on")
    _gains(many, bands, base, arms, -1, f"Pass@{most} by what RL was trained on")
    edge = bands.passed.sel(test="5–6")
    shown = {base: ("black", "-"), arms[2]: (plot.color("rlvr"), "-"), arms[3]: (plot.CYCLE[3], "-")}
    shown |= {supervised[2]: (plot.color("sft"), "--")}
    for arm, (color, style) in shown.items():
        _band(curves, bands.k.values, edge.sel(arm=arm), arm, color=color, ls=style)
    curves.set(xscale="log", xlabel="k", ylabel="pass@k on 5–6 operations, every node right", ylim=(0, 1))
    curves.set_title("At the edge: RL on 5–6, on 8–9, and SFT at equal sequences")
    curves.legend(frameon=False, fontsize=8)
    place = np.arange(data.contexts.sizes["exposure"])
    for i, stage in enumerate(data.contexts.stage.values[:2]):
        passed = data.contexts.passed.sel(stage=stage).isel(k=-1)
        _bars(names, place + 0.4 * (i - 0.5), passed, 0.38, label=stage, color=plot.CYCLE[i])
    names.set_xticks(place, data.contexts.exposure.values)
    names.set(
        xlabel="share of the second context in what was read last",
        ylabel=f"pass@{most} in the second context",
    )
    names.set(ylim=(0, 1.05))
    names.set_title("RL on both contexts, tested on the second")
    names.legend(frameon=False, fontsize=8)
    return figure


def _gains(ax: Axes, bands: xr.Dataset, base: str, arms: list[str], k: int, title: str) -> None:
    passed = bands.passed.isel(k=k)
    place = np.arange(bands.sizes["test"])
    for i, arm in enumerate([base, *arms]):
        color = "0.6" if arm == base else plot.CYCLE[i - 1]
        _bars(ax, place + 0.17 * (i - 2), passed.sel(arm=arm), 0.16, label=arm, color=color)
    ax.set_xticks(place, bands.test.values)
    ax.set(
        xlabel="operations of the test questions",
        ylabel=f"pass@{int(bands.k[k])}, every node right",
        ylim=(0, 1.05),
    )
    ax.set_title(title)
    if k == 0:
        ax.legend(frameon=False, fontsize=8, ncols=2)


def _bars(ax: Axes, place: np.ndarray, values: xr.DataArray, width: float, **options: Any) -> None:
    mean, error = values.mean("seed"), values.std("seed", ddof=1) / np.sqrt(values.sizes["seed"])
    ax.bar(place, mean, width, yerr=2 * error, error_kw={"lw": 0.8}, **options)


def _band(ax: Axes, x: np.ndarray, values: xr.DataArray, label: str, **options: Any) -> None:
    mean, error = values.mean("seed"), values.std("seed", ddof=1) / np.sqrt(values.sizes["seed"])
    ax.plot(x, mean, label=label, **options)
    ax.fill_between(x, mean - 2 * error, mean + 2 * error, color=options["color"], alpha=0.15, lw=0)

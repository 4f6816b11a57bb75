"""Panels of `one-clock`."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax.studies.lab import panels
from qra_jax.studies.runs import _growth
from qra_jax.studies.runs._growth import Points


def lines(
    ax: Axes, rows: list[tuple[str, np.ndarray, np.ndarray]], colors: dict[Any, Any], rates: list[float]
) -> None:
    """Accuracy of runs against rate × time."""
    for (name, time, accuracy), rate in zip(rows, rates, strict=True):
        ax.plot(time * rate, accuracy, color=colors[name], lw=1.4, label=name)


def measured(rows: xr.Dataset, left: Axes, right: Axes) -> None:
    """Measured runs against steps and against rate × steps, with one curve for all."""
    value, error = (float(rows[name].isel(case=0).sel(number="exponent")) for name in ("found", "error"))
    rates = rows.run.values.tolist()
    colors = panels.palette([f"{rate:.0e}" for rate in rates])
    panels.frame(
        f"Measured runs: {len(rates)} learning rates, the same questions",
        left,
        x="updates before",
        y="accuracy of rollouts",
    )
    words = f"One curve of rate × steps: exponent {value:.2f} ± {error:.2f}, 1 is predicted"
    panels.frame(words, right, x="learning rate × steps", y="accuracy of rollouts", log="x")
    points = []
    for i, (rate, name) in enumerate(zip(rates, colors, strict=True)):
        time, accuracy = (rows[which].isel(run=i).values for which in ("time", "accuracy"))
        kept = np.isfinite(time)
        points.append(Points(time[kept], accuracy[kept], np.ones(kept.sum())))
        left.plot(time, accuracy, "o", ms=3, color=colors[name], label=name)
        right.plot(time * rate, accuracy, "o", ms=3, color=colors[name])
    common = _growth.fit(points, rates, 1.0)[0]
    middle = float(np.exp(np.mean(np.log(rates))))
    grid = np.geomspace(min(rates), np.nanmax(rows.time.values) * max(rates), 200)
    right.plot(grid, common.at(grid / middle), color="black", lw=1.2, label="one curve for all")
    panels.legend(None, left)
    panels.legend(None, right)

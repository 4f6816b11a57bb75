"""How fits and forecasts are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from qra_jax import plot
from qra_jax.fit.inference import CurveFit

THEORY = "theory"
"""What the mixture of all dynamics is called beside the baselines."""
COLORS = {
    THEORY: plot.CYCLE[0],
    "last value": plot.CYCLE[7],
    "straight line": plot.CYCLE[1],
    "exponential": plot.CYCLE[4],
    "power law": plot.CYCLE[2],
    "sigmoid": plot.CYCLE[3],
    "ScaleRL sigmoid": plot.CYCLE[6],
}
"""One colour for each way to forecast."""


def native(fit: CurveFit, values: Any) -> np.ndarray:
    """Rates in the file's own units."""
    low, high = fit.curve.scale
    return np.asarray(low + (high - low) * np.asarray(values))


def path(fit: CurveFit, steps: np.ndarray, ax: Any) -> None:
    """Points, fit and forecast of one run.

    Args:
      fit: the fit.
      steps: `[steps]`, where the forecast goes, after the last one fitted.
      ax: Axes.
    """
    curve, train = fit.curve, fit.train
    last, color = train.steps[-1], COLORS[THEORY]
    known = curve.steps <= last
    inside = fit.forecast(train.steps)
    ahead = fit.forecast(np.append(last + 1e-9 * (steps[0] - last), steps))
    ax.axvline(last, color=plot.MUTED, lw=1, zorder=0)
    for low, high, name, alpha in (
        (ahead.logged_low, ahead.logged_high, "80 % of logged points", 0.14),
        (ahead.low, ahead.high, "80 % of accuracy", 0.32),
    ):
        ends = native(fit, low), native(fit, high)
        ax.fill_between(ahead.steps, *ends, color=color, alpha=alpha, lw=0, label=name)
    for where, shade, name in ((known, "black", "fitted"), (~known, plot.MUTED, "came later")):
        if where.any():
            values = native(fit, curve.accuracy[where])
            ax.plot(curve.steps[where], values, "o", color=shade, ms=3, label=name)
    ax.plot(train.steps, native(fit, inside.median), color=color, lw=1)
    ax.plot(ahead.steps, native(fit, ahead.median), color=color, lw=2, label=THEORY)

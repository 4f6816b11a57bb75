"""Panels of `per-question-clocks` that show the measured run beside populations of twelve patterns."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.questions import _histories as made
from qra_jax.studies.questions._histories import SIX, SPREAD


def panels_of(real: xr.Dataset, left: Axes, right: Axes) -> None:
    """Exponents under two models; changes of logit in bins of the start."""
    found = {}
    for case in ("real run", SIX, SPREAD):
        row = real.sel(case=case)
        found[f"{case}, one rate"] = lab.measured("exponent", row.exponent, row.error)
        found[f"{case}, lognormal rates"] = made.lognormal(row)
    gains = [float(real.gain.sel(case=case)) for case in ("real run", SIX, SPREAD)]
    title = "Lognormal rates gain {:.0f} nats in the real run, {:.0f} and {:.0f} on twelve patterns"
    panels.frame(title.format(*gains), left, x="exponent, 95 % interval", y="")
    panels.forest(found, left, expected=None)
    row = real.sel(case="real run")
    z = ((row.change - row.expected) / row["change error"]).values
    title = f"Real run: one speed misses {np.isfinite(z).sum()} bins by χ² = {np.nansum(z**2):.0f}"
    panels.frame(title, right, x="accuracy on odd early visits", y="change of logit, early to late visits")
    right.errorbar(
        row.start, row.change, 1.96 * row["change error"], fmt="o", color="black", label="measured, 95 %"
    )
    right.plot(
        row.start, row.expected, color=plot.color(made.NATURAL), label="one speed for all, two patterns"
    )
    low, high = right.get_ylim()
    right.set_ylim(low, high + 0.2 * (high - low))
    panels.legend(None, right, loc="upper right")

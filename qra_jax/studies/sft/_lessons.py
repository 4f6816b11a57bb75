"""Panels of `what-to-teach`: a map of one pattern's worth, and the worth of r* in many problems."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.lab import panels


def third(landscape: xr.Dataset, rival: float, ax: Axes) -> None:
    """What a unit of SFT on a third pattern saves, over the share of r* and its rate; and the rate of the rival."""
    saved, bound = -100 * landscape.unit, float(np.percentile(np.abs(100 * landscape.unit), 95))
    labels = {"x": "π_ref(r*)", "y": "success rate p′ of the third pattern"}
    panels.frame("Teaching a third pattern saves time below the solid line", ax, **labels, log="x")
    shown = {"label": "RL time saved by a unit (%)", "limits": (-bound, bound), "smooth": True}
    panels.heat(saved, ax, x="mass", y="rate", center=0, **shown)
    for values, dash in ((saved, "-"), (landscape.rate - landscape.accuracy, "--")):
        ax.contour(saved.mass, saved.rate, values, levels=[0], colors="black", linestyles=dash)
    ax.axhline(rival, color="black", linestyle=":", linewidth=1)
    panels.note((0.2, 0.68), ax, "p′ = accuracy", shift=(-4, 5), color="black")
    panels.note((0.0012, rival), ax, "the rival's rate", shift=(4, -4), color="black")


def worth(best: xr.Dataset, n: int, ax: Axes) -> None:
    """What a point of share and one of success rate of r* save, in problems with n patterns."""
    more = np.array_split((best["rate"] < best.point).values[np.argsort(best["first"].values)], 2)
    rare, other = (f"{half.mean():.0%}" for half in more)
    title = f"Success is worth more than share in {rare} of the half with rarer r*, {other} of the other"
    panels.frame(title, ax, x="π_ref(r*)", y="RL time saved (%)", log="xy", xlim=(3e-4, 1), ylim=(1e-3, 1e5))
    ax.plot(best["first"], -best.point, ".", color=plot.BEST, markersize=3, label="a point of its share")
    ax.plot(best["first"], -best["rate"], ".", color=plot.CYCLE[4], markersize=3, label="of its success rate")
    ax.plot(
        [3e-4, 0.3],
        [(n - 1) / 3e-4, (n - 1) / 0.3],
        "--",
        color="black",
        linewidth=1,
        label="(n − 1)/π_ref(r*)",
    )
    panels.legend(None, ax, title=f"{n} patterns, more of r* by", loc="lower left")

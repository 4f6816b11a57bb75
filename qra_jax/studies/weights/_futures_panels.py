"""The figure of `extrapolation`."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._futures import ALPHA_RL, HOLD, LINE, RELEX


def every(last: xr.Dataset) -> Figure:
    """Accuracy of predicted ends; distance of the weights; measures of linearity beside random walks.

    Args:
      last: results of one task.

    Returns:
      The figure.
    """
    figure, (first, second, third) = plot.new((12.4, 4.4), ncols=3, width_ratios=[1.5, 1.2, 1])
    rules = [HOLD, RELEX, LINE, *ALPHA_RL]
    own = (plot.MUTED, plot.BEST, "#DDAA33", plot.RIVAL, "#CC79A7", "#009E73")
    shades = dict(zip(rules, own, strict=True))
    adam = last.sel(arm="GRPO, Adam")
    gain = adam.reached.sel(rule=rules[1:]) - adam.reached.sel(rule=HOLD)
    best = gain.mean("seed").sel(share=0.4)
    title = f"From .4 of the run the best rule is {float(best.max()):+.2f} from holding ({last.task.item()})"
    panels.frame(
        title,
        first,
        x="share of the run that is given",
        y="accuracy of the predicted end",
        xticks=[0.1, 0.2, 0.4],
    )
    panels.dots(
        adam.reached.sel(rule=rules), first, x="share", by="rule", over="seed", colors=shades, nudge=0.08
    )
    for value, name in ((adam.base, "base"), (adam.end, "end")):
        panels.mark(float(value.mean("seed")), first, name, axis="y")
    missed = adam.missed.sel(rule=[rule for rule in rules if rule != HOLD])
    panels.frame(
        "Weights: 1 is no nearer than the last seen",
        second,
        x="share of the run that is given",
        y="distance from the end ÷ that of the last",
        log="y",
        xticks=[0.1, 0.2, 0.4],
    )
    panels.dots(missed, second, x="share", by="rule", over="seed", colors=shades, nudge=0.08, label=False)
    second.axhline(1, color="black", linewidth=0.8)
    shares = [
        float(last[x].sel(arm="GRPO, Adam", measure="PLS R²").mean("seed")) for x in ("straight", "walk")
    ]
    title = f"In the sample: PLS R² {shares[0]:.2f}, of random walks {shares[1]:.2f}"
    panels.frame(title, third, x="", y="", xlim=(-0.03, 1.03))
    rows = xr.concat(
        [last.straight.sel(arm="GRPO, Adam"), last.straight.sel(arm="SFT"), last.walk.sel(arm="GRPO, Adam")],
        "of",
    )
    rows = (
        rows.drop_vars("arm", errors="ignore")
        .assign_coords(of=["GRPO", "SFT", "random walk"])
        .transpose("measure", "of", "seed")
    )
    panels.forest(
        rows,
        third,
        by="of",
        over="seed",
        expected=None,
        colors={"GRPO": plot.BEST, "SFT": plot.RIVAL, "random walk": plot.MUTED},
    )
    panels.legend(None, third, loc="lower left")
    panels.legend(None, first, place="below", ncols=3)
    return figure

"""The figure of `extrapolation`."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._futures import ALPHA_RL, CHORD, END, HOLD, LINE, MIDDLE, RANK_3, RELEX
from qra_jax.studies.weights._futures_judged import RL

SHADES = {
    HOLD: "black",
    RELEX: plot.BEST,
    RANK_3: "#332288",
    LINE: "#DDAA33",
    CHORD: "#56B4E9",
    ALPHA_RL[0]: plot.RIVAL,
    ALPHA_RL[1]: "#CC79A7",
    ALPHA_RL[2]: "#009E73",
    "PLS": "#999933",
}


def every(last: xr.Dataset) -> Figure:
    """Accuracy of predicted ends; of ExPO beyond a checkpoint; measures of linearity beside random walks.

    Args:
      last: results of one task.

    Returns:
      The figure.
    """
    figure, (first, second, third) = plot.new((13.2, 4.6), ncols=3, width_ratios=[1.6, 1.1, 1])
    adam, rules = last.sel(arm=RL, drop=True), list(SHADES)
    given = [float(x) for x in last.given.values]
    there = adam.reached.sel(rule=rules).isel(share=-1).mean("seed")
    other = there.sel(rule=rules[1:])
    most = other.fillna(-1.0).idxmax("rule").item()
    numbers = (there.sel(rule=HOLD), other.max(), adam.end.mean("seed"))
    hold, best, end = (panels.plain(round(float(x), 2)) for x in numbers)
    words = f"From {panels.plain(round(given[-1], 2))} of a run: hold {hold}, best rule ({most}) {best}, end {end}"
    ticks = [round(x, 2) for x in given]
    panels.frame(
        f"{words} ({last.task.item()})",
        first,
        x="share of the run that is given",
        y="accuracy of the predicted end",
        ylim=(-0.05, 1.1),
    )
    seen = adam.reached.sel(rule=rules).assign_coords(share=[panels.plain(x) for x in ticks])
    panels.dots(seen, first, x="share", by="rule", over="seed", colors=SHADES, nudge=0.08)
    for value, name in ((adam.base, "base"), (adam.end, "end")):
        panels.mark(float(value.mean("seed")), first, name, axis="y", at=0.02)
    panels.legend(None, first, place="below", ncols=4)

    shades = {MIDDLE: plot.BEST, END: "black"}
    starts = xr.concat([adam.reached.sel(rule=HOLD).isel(share=-1, drop=True), adam.end], "start")
    change = (
        adam.beyond - starts.drop_vars("rule", errors="ignore").assign_coords(start=[MIDDLE, END])
    ).mean("seed")
    most = {str(start): float(change.sel(start=start).max()) for start in change.start.values}
    title = f"ExPO: at most {most[MIDDLE]:+.2f} from two fifths, {most[END]:+.2f} from the end"
    panels.frame(title, second, x="α", y="accuracy")
    for name, dash, label in (("beyond", "-", True), ("aside", ":", False)):
        style = {"linestyle": dash}
        panels.curves(
            adam[name], second, x="alpha", by="start", over="seed", colors=shades, style=style, label=label
        )
    looks = {
        "two fifths + α × update": shades[MIDDLE],
        "the end + α × update": shades[END],
        "Gaussian, as long": ":",
    }
    panels.legend(looks, second, loc="lower left")

    paths = {
        "GRPO": (last.straight.sel(arm=RL), plot.BEST),
        "SFT": (last.straight.sel(arm="SFT"), plot.RIVAL),
        "SFT, noisy, same rate": (last.straight.sel(arm="SFT, noisy, same rate"), "#DDAA33"),
        "random walk": (adam.walk, plot.MUTED),
        "GRPO, steps permuted": (adam.permuted, "#CC79A7"),
    }
    rows = xr.concat([path.drop_vars("arm", errors="ignore") for path, _ in paths.values()], "of")
    rows = rows.assign_coords(of=list(paths)).transpose("measure", "of", "seed")
    fit = rows.sel(measure="PLS R²").mean("seed")
    own, walk = (panels.plain(round(float(fit.sel(of=name)), 2)) for name in ("GRPO", "random walk"))
    title = f"In the sample: PLS R² {own}, of random walks {walk}"
    panels.frame(title, third, x="", y="", xlim=(-0.03, 1.03))
    panels.forest(
        rows,
        third,
        by="of",
        over="seed",
        expected=None,
        colors={name: shade for name, (_, shade) in paths.items()},
    )
    panels.legend(None, third, loc="upper left", bbox_to_anchor=(0, -0.1), ncols=2)
    return figure

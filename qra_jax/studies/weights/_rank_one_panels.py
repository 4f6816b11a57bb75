"""The figure of `rank-one`."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._parts_of_updates import (
    FIRST,
    MATRICES_ONLY,
    RANDOM,
    REST_ONLY,
    SECOND,
    WITH_REST,
    WITHOUT,
)


def every(data: lab.Data, share: Callable[..., lab.Estimate]) -> Figure:
    """Shares of the gain by arm and network; accuracy against λ; share of the norm.

    Args:
      data: of the study.
      share: mean share of the gain of some arms and a network, `[run]`.

    Returns:
      The figure.
    """
    last = data.select("runs", task=[-1])
    task, arms = last.runs.task.values[0], tuple(last.runs.arm.values)
    figure, (first, second, third) = plot.new((12.0, 4.2), ncols=3, width_ratios=[1.7, 1, 1.1])
    shades = {
        FIRST: plot.BEST,
        SECOND: plot.RIVAL,
        WITHOUT: "#DDAA33",
        RANDOM: plot.MUTED,
        MATRICES_ONLY: "black",
        REST_ONLY: "#CC79A7",
        WITH_REST: "#009E73",
    }
    made = {network: share(last, arms, network) for network in shades}
    own = dict(zip(arms, made[FIRST].value.values, strict=True))
    title = f"First direction: {own['GRPO, Adam']:.0%} of GRPO's gain, {own['SFT']:.0%} of SFT's ({task})"
    panels.frame(title, first, x="", y="share of the gain", ylim=(-0.5, 1.5))
    names = {f"{arm} ({task})": arm for arm in arms}
    panels.dots(lab.stacked("network", made), first, x="run", by="network", colors=shades, nudge=0.06)
    first.axhline(1, color="black", linewidth=0.8)
    first.axhline(0, color="black", linewidth=0.8)
    panels.legend(None, first, place="below", ncols=7)
    runs = last.runs.isel(task=0, drop=True)
    panels.frame("Longer or shorter than the update", second, x="λ", y="accuracy of the first direction")
    scaled = runs.scaled.sel(arm=["GRPO, SGD", "GRPO, Adam", "SFT"])
    panels.curves(scaled, second, x="scale", by="arm", over="seed")
    panels.legend(None, second)
    panels.frame("Share of the norm", third, x="", y="first direction ÷ whole update", ylim=(0, 1))
    both = {"own": plot.BEST, "Gaussian": plot.MUTED}
    panels.dots(runs.share.sel(update=list(both)), third, x="arm", by="update", over="seed", colors=both)
    panels.legend(None, third, loc="lower right")
    for panel in (first, third):
        labels = [names.get(label.get_text(), label.get_text()) for label in panel.get_xticklabels()]
        panel.set_xticks(panel.get_xticks(), labels, rotation=35, ha="right", rotation_mode="anchor")
    return figure

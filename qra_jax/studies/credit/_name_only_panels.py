"""Panels of the study of RL in name only on tokens."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels

COLORS = {
    "GRPO": plot.color("GRPO"),
    "±, GRPO weights": plot.color("GRPO"),
    "± (unit weights)": plot.color("filtered SFT±"),
    "positives only": plot.color("filtered SFT⁺"),
    "negatives only": plot.color("filtered SFT⁻"),
    "permuted rewards": "0.6",
}


def paths(
    cosine: xr.DataArray, trees: xr.DataArray, networks: xr.DataArray, accuracies: Mapping[str, xr.DataArray]
) -> Figure:
    """Cosines of single groups, distances of paths on trees and in networks, accuracies of networks."""
    figure, (first, second, third) = plot.new((13.2, 4.0), ncols=3, width_ratios=[1, 1.35, 0.9])
    _cosines(cosine, first)
    _paths(trees, networks, second)
    title = "Equal samples: networks under Adam"
    panels.frame(title, third, x="accuracy at the better rate", y="", xlim=(0, 1))
    panels.forest(dict(accuracies), third, over="seed", expected=None)
    return figure


def lengths(drift: xr.DataArray, growth: Mapping[tuple[str, str, str, str], lab.Estimate]) -> Figure:
    """Exact drifts of the length by share of right answers, and growth in training of all and of wrong answers."""
    figure, (first, second, third) = plot.new((13.2, 3.8), ncols=3, width_ratios=[1.1, 1.25, 0.9])
    shown = drift.sel(answers="all", norm="1/|o|").isel(rule=[0, 2, 3, 4], tree=[0, 1])
    panels.frame("To first order, over |o|", first, x="", y="growth of log length per unit of time")
    colors = {rule: COLORS[rule] for rule in shown.rule.values.tolist()}
    panels.bars(shown.rename(tree="share"), first, x="share", by="rule", colors=colors)
    panels.legend(None, first, loc="lower left", fontsize=7)
    for answers, title, ax in (
        ("all", "In training: uncentred weights over |o| move lengths", second),
        ("wrong", "GRPO, two approaches: wrong answers", third),
    ):
        _growth({(a, b, c): one for (a, b, c, of), one in growth.items() if of == answers}, title, ax)
    return figure


def _cosines(cosine: xr.DataArray, ax: Axes) -> None:
    rules = cosine.rule.values.tolist()
    panels.frame(
        "One step: GRPO is supervised, with its own weights", ax, x="cosine with GRPO's gradient", y=""
    )
    for y, rule in enumerate(rules):
        for shift, system, mark in ((-0.12, "tree", "o"), (0.12, "network", "D")):
            low, middle, high = np.nanquantile(cosine.sel(rule=rule, system=system), [0.05, 0.5, 0.95])
            ax.plot([low, high], [y + shift] * 2, color=COLORS[rule], linewidth=2)
            ax.plot(middle, y + shift, mark, color=COLORS[rule], markersize=6)
    ax.set_yticks(range(len(rules)), rules)
    ax.invert_yaxis()
    ax.set_xlim(-1.05, 1.08)
    panels.legend({"tree": "o", "network": "D"}, ax, loc="upper left", fontsize=8)


def _paths(trees: xr.DataArray, networks: xr.DataArray, ax: Axes) -> None:
    other = networks.rule.values[-1]
    shown = trees.isel(rule=slice(2, None)).max("rule")
    mean = networks.isel(rule=slice(1, -1)).mean(["rule", "seed"])
    null = networks.sel(rule=other).mean("seed")
    names = ["on policy", "epochs, clipped", "KL", "shared", "Adam"]
    place = np.arange(len(names))
    panels.frame("Where paths part from GRPO's", ax, x="", y="distance in the share of an answer", log="y")
    floor = 1e-3
    for shift, values, color, label in (
        (-0.25, shown, plot.BEST, "tree, the furthest rule"),
        (0.0, mean, plot.color("filtered SFT±"), "network, mean of ± and +"),
        (0.25, null, "0.7", "network, GRPO with other rollouts"),
    ):
        heights = np.maximum(values.sel(condition=names).values, floor)
        ax.bar(place + shift, heights, 0.23, bottom=0, color=color, label=label)
    ax.set_xticks(place, [name.replace(", ", ",\n") for name in names])
    ax.set_ylim(floor, 2)
    panels.legend(None, ax, loc="upper left", fontsize=7)


def _growth(growth: Mapping[tuple[str, str, str], lab.Estimate], title: str, ax: Axes) -> None:
    panels.frame(title, ax, x="growth of log length", y="")
    rules = list(dict.fromkeys(rule for _, rule, _ in growth))
    marks = {"tree": "o", "network": "D"}
    for (system, rule, norm), estimate in growth.items():
        shift = {"tree": -0.1, "network": 0.1}[system] + (0.24 if norm == "constant" else -0.14)
        y, color = rules.index(rule) + shift, COLORS[rule] if norm == "1/|o|" else "0.65"
        low, high = (float(end) for end in estimate.interval(0.05))
        ax.plot([low, high], [y, y], color=color, linewidth=1.6)
        ax.plot(float(estimate.value), y, marks[system], color=color, markersize=5)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(len(rules)), rules)
    ax.invert_yaxis()
    panels.legend({**marks, "over a constant": "0.65"}, ax, loc="best", fontsize=8)

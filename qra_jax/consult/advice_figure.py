"""The figure of an advice."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.consult.advice import FLAT, TIE, Advice


def draw(advice: Advice, names: list[str]) -> Figure:
    """Accuracy and entropy along the runs, and what single changes would do.

    Args:
      advice: the advice.
      names: `[patterns]`, what to call the patterns.

    Returns:
      A figure.
    """
    paths, now = advice.paths, advice.now
    with plot.style():
        figure, (left, middle, right) = plot.new((11.0, 3.8), ncols=3, width_ratios=[1, 1, 1.25])
        for ax, values, color in (
            (left, paths.accuracy, plot.ACCURACY),
            (middle, paths.entropy, plot.color("rlif")),
        ):
            ax.fill_between(paths.step, values[0], values[2], color=color, alpha=0.15, linewidth=0)
            ax.plot(paths.step, values[1], color=color, label="mean; band: 8 runs in 10")
            ax.set(xlabel="step", xlim=(0, paths.step[-1]))
        left.plot(paths.step, paths.expected, color=plot.BEST, linestyle="--", label="without sampling noise")
        top = advice.top
        left.axhline(top, color=plot.MUTED, linewidth=1, zorder=0)
        left.annotate(
            "best pattern", (paths.step[-1], top), (0, 3), textcoords="offset points", ha="right", fontsize=8
        )
        left.set(ylabel="accuracy ρ", ylim=(0, max(1.0, top + 0.08)))
        left.legend(loc="lower right")
        left.set_title(f"Accuracy {float(advice.problem.accuracy_ref):.2g} → {now.accuracy:.2g}")
        middle.set(ylabel="entropy of the pattern choice (nats)", ylim=(0, None))
        flat = f"under {FLAT:g} nats by step {advice.flat}"
        middle.set_title(
            f"Entropy {flat if advice.flat >= 0 else f'ends at {paths.entropy[1, -1]:.2g} nats'}"
        )
        _draw_changes(advice, right)
    return figure


def _draw_changes(advice: Advice, ax: Axes) -> None:
    """Final accuracy with each change; those far below all others stand at the edge, with their number."""
    now, best, limit = advice.now, advice.best_change, advice.first_limit
    rows = sorted([now, *advice.changes], key=lambda one: one.accuracy)
    places = {one.name: i for i, one in enumerate(rows)}
    least = _least(advice)
    kinds = {
        "as it is": ("black", [now]),
        "helps most": (plot.BEST, [one for one in rows if one is best]),
        "first limit, taken away": (plot.RIVAL, [one for one in rows if one is limit]),
        "others": (plot.MUTED, [one for one in rows if one not in (now, best, limit)]),
    }
    for label, (color, ones) in kinds.items():
        inside = [one for one in ones if one.accuracy >= least]
        ax.errorbar(
            [one.accuracy for one in inside],
            [places[one.name] for one in inside],
            xerr=[2 * one.error for one in inside],
            fmt="o",
            markersize=4.5,
            color=color,
            label=label if ones else None,
        )
        for one in ones:
            if one.accuracy < least:
                ax.annotate(
                    f"◂ {one.accuracy:.2g}",
                    (0, places[one.name]),
                    (3, 0),
                    xycoords=("axes fraction", "data"),
                    textcoords="offset points",
                    va="center",
                    color=color if color != plot.MUTED else "#666666",
                    fontsize=8,
                )
    ax.axvline(now.accuracy, color="black", linewidth=0.8, linestyle=":", zorder=0)
    ax.set_yticks(
        range(len(rows)),
        [f"{one.name} ({one.cost:g}×)" if one.cost not in (1, np.inf) else one.name for one in rows],
    )
    ax.set(xlabel="final accuracy (bars: 2 standard errors)", ylim=(-0.6, len(rows) - 0.4))
    ax.margins(x=0.08)
    ax.legend(loc="upper right", bbox_to_anchor=(1.02, -0.16), ncols=4, columnspacing=1.2)
    ax.set_title("No change helps" if best is None else f"Helps most: {best.name.partition(':')[0]}")


def _least(advice: Advice) -> float:
    """The accuracy under which changes stand at the edge, so that the rest can be told apart."""
    values = np.array([advice.now.accuracy, *(one.accuracy for one in advice.changes)])
    top, middle = values.max(), float(np.median(values))
    least = min(top - max(4 * (top - middle), TIE * advice.room), advice.now.accuracy)
    inside = values[values >= least]
    return float(inside.min()) if top - values.min() > 3 * (top - inside.min()) else float(values.min())

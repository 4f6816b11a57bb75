"""What `qra advise` prints and draws."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Column, Table

from qra_jax import plot
from qra_jax.advice import FLAT, FOUND, LOST, TIE, Advice, Outcome
from qra_jax.cli.words import TERMS, put, say

SFT = "SFT first"
"""How the change that is no hyperparameter begins."""
BASELINED = ("grpo", "dr_grpo", "dapo", "rloo")
"""Algorithms that learn nothing from a group with equal rewards."""


def to_json(found: Advice) -> str:
    """One JSON object; `null` for what is infinite."""
    names = {True: "limit", False: "change"}

    def record(one: Outcome) -> dict[str, Any]:
        row = {name: value for name, value in asdict(one).items() if name != "limit"}
        return {name: None if value == np.inf else value for name, value in row.items()} | {
            "kind": names[one.limit]
        }

    return json.dumps(
        {
            "regime": found.regime,
            "accuracy_ref": float(found.problem.accuracy_ref),
            "settings": asdict(found.settings),
            "runs": found.runs,
            "now": {name: value for name, value in record(found.now).items() if name != "kind"},
            "accuracy_without_noise": found.expected,
            "log10_steps_to_find_best": found.log10_steps if math.isfinite(found.log10_steps) else None,
            "entropy_gone_at_step": found.flat if found.flat >= 0 else None,
            "path": {
                "step": found.paths.step.tolist(),
                "accuracy": found.paths.accuracy[1].tolist(),
                "entropy": found.paths.entropy[1].tolist(),
            },
            "first_limit": None if found.first_limit is None else found.first_limit.name,
            "best_change": None if found.best_change is None else found.best_change.name,
            "changes": [record(one) for one in found.changes],
        },
        allow_nan=False,
    )


def show(found: Advice, names: list[str], console: Console | None = None) -> None:
    """Print it in words.

    Args:
      found: the advice.
      names: `[patterns]`, what to call the patterns.
      console: where to.
    """
    console = console or Console(highlight=False)
    for line in story(found, names):
        say(console, line)
    table = Table(
        Column("one change", no_wrap=True),
        "accuracy",
        "found",
        "lost",
        "rollouts",
        box=None,
        pad_edge=False,
    )
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for one in sorted([found.now, *found.changes], key=lambda one: -one.accuracy):
        exact = one.cost == np.inf
        cost, error = ("∞", "") if exact else (f"× {one.cost:g}", f" ± {one.error:.3f}")
        shares = f"{one.found:.0%}", f"{one.lost:.1%}"
        style = "bold" if one is found.now else None
        table.add_row(one.name, f"{one.accuracy:.3f}{error}", *shares, cost, style=style)
    put(console, table)
    say(
        console,
        f"Found: the best pattern holds {FOUND:g} or more; lost: less than {LOST:g} of its share at first and "
        f"without noise, and another pattern {FOUND:g}.",
    )
    say(console, f"{found.runs} runs as it is, {max(64, found.runs // 4)} for each change.")
    if any(one.name.startswith(SFT) for one in found.changes):
        enough = (
            "as much as ends the entangled regime" if found.regime == "entangled" else "a tenth of the way"
        )
        say(
            console,
            f"{SFT}: on the best pattern alone, {enough}; its demonstrations are not counted as rollouts.",
        )
    say(console, TERMS)


def story(found: Advice, names: list[str]) -> list[str]:
    """What happens, what limits it and what helps, one sentence or two each."""
    problem, now, steps = found.problem, found.now, int(found.paths.step[-1])
    best = names[int(problem.best)]
    start, top = float(problem.accuracy_ref), found.top
    regime = {
        "fast": "fast regime (no other pattern beats base accuracy)",
        "entangled": "entangled regime (another pattern beats base accuracy, and is reinforced too)",
    }[found.regime]
    lines = [
        f"Accuracy goes from {start:.3g} to {now.accuracy:.3g} in {steps} steps; {best} alone would give {top:.3g}.",
        f"Regime: {regime}.",
        f"Collapse: noise loses {best} in {_share(now.lost)} of {found.runs} runs; {_share(now.found)} find it.",
    ]
    if now.diverged:
        lines.append(
            f"{_share(now.diverged)} of the runs left the numbers (overflow); they count as accuracy 0."
        )
    entropy = found.paths.entropy[1]
    turn = f"below {FLAT:g} nats from step {found.flat}" if found.flat >= 0 else "never near zero"
    rises = entropy.max() > entropy[0] + 0.01
    lines.append(
        f"Entropy of the pattern choice: {entropy[0]:.2g} nats at first, "
        + (f"{entropy.max():.2g} at most, " if rises else "")
        + f"{entropy[-1]:.2g} at the end, {turn}."
    )
    silent = found.paths.silent
    if silent.max() > 0.3 and found.settings.algorithm in BASELINED:
        lines.append(
            f"Silent groups (all right or all wrong, nothing learned): {silent[0]:.0%} of them at first, "
            f"{silent[-1]:.0%} at the end."
        )
    clipped = found.paths.clipped.mean()
    if clipped > 0.02:
        lines.append(f"Clipping throws away {clipped:.0%} of the weight.")
    return [*lines, _limit(found, best), _help(found)]


def _limit(found: Advice, best: str) -> str:
    limit, now = found.first_limit, found.now
    if found.near:
        if found.room <= 0:
            return "Nothing bites: there is nothing to win, accuracy is the best pattern's from the start."
        way = (now.accuracy - float(found.problem.accuracy_ref)) / found.room
        return f"Nothing bites: accuracy has come {way:.0%} of the way to the best pattern's."
    if found.settings.learning_rate == 0:
        return "First limit that bites: the learning rate. It is 0, so nothing moves."
    if limit is not None:
        return (
            f"First limit that bites: with {limit.name} accuracy would be {limit.accuracy:.3g} "
            f"in place of {now.accuracy:.3g}."
        )
    if found.settings.tpr <= found.settings.fpr:
        return "First limit that bites: the reward. It does not tell right from wrong (TPR ≤ FPR)."
    power = found.log10_steps
    if math.log10(max(int(found.paths.step[-1]), 1)) < power < math.inf:
        number = f"10^{power:.1f}" if power > 6 else f"{10**power:.3g}"
        return (
            f"First limit that bites: time. Without noise, KL term, clipping and staleness {best} is found only "
            f"after {number} steps."
        )
    return "No single limit bites: taking any one of them away wins too little."


def _help(found: Advice) -> str:
    """The change that is named, and why it, where the table has a better one."""
    change, now, tie = found.best_change, found.now, TIE * found.room
    if change is None:
        return "No single change of those tried wins more than its noise, or enough to matter."
    cost = "" if change.cost == 1 else f", at {change.cost:g} × the rollouts"
    said = (
        f"What helps most: {change.name}: accuracy {change.accuracy:.3g} in place of {now.accuracy:.3g}{cost}"
    )
    better = max((one for one in found.changes if not one.limit), key=lambda one: one.accuracy)
    if better.accuracy > change.accuracy:
        said += (
            f" ({better.name} gives {better.accuracy:.3g}, but differences up to {tie:.2g} count as none, and of "
            "equals the cheapest is named)"
        )
    return f"{said}."


def _share(share: float) -> str:
    return "none" if share == 0 else "all" if share == 1 else f"{share:.1%}"


def draw(found: Advice, names: list[str]) -> Figure:
    """Accuracy and entropy along the runs, and what single changes would do.

    Args:
      found: the advice.
      names: `[patterns]`, what to call the patterns.

    Returns:
      A figure.
    """
    paths, now = found.paths, found.now
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
        top = found.top
        left.axhline(top, color=plot.MUTED, linewidth=1, zorder=0)
        left.annotate(
            "best pattern", (paths.step[-1], top), (0, 3), textcoords="offset points", ha="right", fontsize=8
        )
        left.set(ylabel="accuracy ρ", ylim=(0, max(1.0, top + 0.08)))
        left.legend(loc="lower right")
        left.set_title(f"Accuracy {float(found.problem.accuracy_ref):.2g} → {now.accuracy:.2g}")
        middle.set(ylabel="entropy of the pattern choice (nats)", ylim=(0, None))
        flat = f"under {FLAT:g} nats by step {found.flat}"
        middle.set_title(f"Entropy {flat if found.flat >= 0 else f'ends at {paths.entropy[1, -1]:.2g} nats'}")
        _draw_changes(found, right)
    return figure


def _draw_changes(found: Advice, ax: Axes) -> None:
    """Final accuracy with each change; those far below all others stand at the edge, with their number."""
    now, best, limit = found.now, found.best_change, found.first_limit
    rows = sorted([now, *found.changes], key=lambda one: one.accuracy)
    places = {one.name: i for i, one in enumerate(rows)}
    least = _least(found)
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


def _least(found: Advice) -> float:
    """The accuracy under which changes stand at the edge, so that the rest can be told apart."""
    values = np.array([found.now.accuracy, *(one.accuracy for one in found.changes)])
    top, middle = values.max(), float(np.median(values))
    least = min(top - max(4 * (top - middle), TIE * found.room), found.now.accuracy)
    inside = values[values >= least]
    return float(inside.min()) if top - values.min() > 3 * (top - inside.min()) else float(values.min())

"""Floor 6. What `qra advise` prints and draws."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from qra_jax import plot
from qra_jax.advice import FLAT, FOUND, LOST, NEAR, Advice, Outcome

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
        console.print(escape(line), soft_wrap=True)
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
    console.print(table)
    console.print(
        f"Found: the best pattern holds {FOUND:g} or more; lost: less than {LOST:g} of its share at first and "
        f"without noise, and another pattern {FOUND:g}. {found.runs} runs as it is, "
        f"{max(64, found.runs // 4)} for each change.",
        soft_wrap=True,
    )


def story(found: Advice, names: list[str]) -> list[str]:
    """What happens, what limits it and what helps, one sentence or two each."""
    problem, now, steps = found.problem, found.now, int(found.paths.step[-1])
    best = names[int(problem.best)]
    start, top = float(problem.accuracy_ref), float(np.max(np.asarray(problem.success)))
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
    lines.append(_limit(found, best, top))
    change = found.best_change
    if change is None:
        lines.append("No single change of those tried wins more than its noise, or enough to matter.")
    else:
        cost = "" if change.cost == 1 else f", at {change.cost:g} × the rollouts"
        cost += " (its demonstrations not counted)" if change.name.startswith("SFT") else ""
        lines.append(
            f"What helps most: {change.name}: accuracy {change.accuracy:.3g} in place of {now.accuracy:.3g}{cost}."
        )
    return lines


def _limit(found: Advice, best: str, top: float) -> str:
    limit, now = found.first_limit, found.now
    if limit is not None:
        return (
            f"First limit that bites: with {limit.name} accuracy would be {limit.accuracy:.3g} "
            f"in place of {now.accuracy:.3g}."
        )
    room = top - float(found.problem.accuracy_ref)
    if now.accuracy >= top - NEAR * room - 1e-9:
        return (
            f"Nothing bites: accuracy is {100 * (1 - NEAR):.0f} % of the way to the best there is, or more."
        )
    if found.settings.tpr <= found.settings.fpr:
        return "First limit that bites: the reward. It does not tell right from wrong (TPR ≤ FPR)."
    power = found.log10_steps
    if power > math.log10(max(int(found.paths.step[-1]), 1)):
        number = f"10^{power:.1f}" if power > 6 else f"{10**power:.3g}"
        if not math.isfinite(power):
            return "First limit that bites: time. More steps would go on winning accuracy."
        return (
            f"First limit that bites: time. Without noise, KL term, clipping and staleness {best} is found only "
            f"after {number} steps."
        )
    return "No single limit bites: taking any one of them away wins too little."


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
        top = float(np.max(np.asarray(found.problem.success)))
        left.axhline(top, color=plot.MUTED, linewidth=1, zorder=0)
        left.annotate(
            "best pattern", (paths.step[-1], top), (0, 3), textcoords="offset points", ha="right", fontsize=8
        )
        left.set(ylabel="accuracy ρ", ylim=(0, max(1.0, top + 0.08)))
        left.legend(loc="lower right")
        left.set_title(f"Accuracy {float(found.problem.accuracy_ref):.2g} → {now.accuracy:.2g}")
        middle.set(ylabel="entropy of the pattern choice (nats)", ylim=(0, None))
        gone = f"gone by step {found.flat}" if found.flat >= 0 else f"ends at {paths.entropy[1, -1]:.2g} nats"
        middle.set_title(f"Entropy {gone}")
        rows = sorted([now, *found.changes], key=lambda one: one.accuracy)
        chosen = (found.best_change, found.first_limit)
        colors = ["black" if one is now else plot.BEST if one in chosen else plot.MUTED for one in rows]
        right.errorbar(
            [one.accuracy for one in rows],
            range(len(rows)),
            xerr=[2 * one.error for one in rows],
            fmt="none",
            ecolor=colors,
        )
        right.scatter([one.accuracy for one in rows], range(len(rows)), c=colors, s=22, zorder=3)
        right.axvline(now.accuracy, color="black", linewidth=0.8, linestyle=":", zorder=0)
        right.set_yticks(
            range(len(rows)),
            [f"{one.name} ({one.cost:g}×)" if one.cost not in (1, np.inf) else one.name for one in rows],
        )
        right.set(xlabel="final accuracy")
        right.margins(x=0.08)
        best = found.best_change
        right.set_title("One change" if best is None else f"Helps most: {best.name}")
    return figure

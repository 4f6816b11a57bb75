"""Advice as JSON or in plain words."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from qra_jax._terminal import TERMS, put, say
from qra_jax.algorithm import Algorithm
from qra_jax.consult.advice import FLAT, FOUND, LOST, OPTIMIZER, TIE, Advice, Ending

SFT = "SFT first"
"""How the change that is no hyperparameter begins."""


def to_json(advice: Advice) -> str:
    """One JSON object; `null` for what is infinite."""
    names = {True: "limit", False: "change"}

    def record(one: Ending) -> dict[str, Any]:
        row = {name: value for name, value in asdict(one).items() if name != "limit"}
        return {name: None if value == np.inf else value for name, value in row.items()} | {
            "kind": names[one.limit]
        }

    return json.dumps(
        {
            "regime": advice.regime,
            "accuracy_ref": float(advice.problem.accuracy_ref),
            "settings": advice.settings.plain(),
            "runs": advice.runs,
            "now": {name: value for name, value in record(advice.now).items() if name != "kind"},
            "accuracy_without_noise": advice.expected,
            "log10_steps_to_find_best": advice.log10_steps if math.isfinite(advice.log10_steps) else None,
            "entropy_gone_at_step": advice.flat if advice.flat >= 0 else None,
            "nothing_to_learn": advice.constant is not None,
            "draws_per_kept_group": None if advice.paths.draws is None else _finite(advice.paths.draws),
            "path": {
                "step": advice.paths.step.tolist(),
                "accuracy": advice.paths.accuracy[1].tolist(),
                "entropy": advice.paths.entropy[1].tolist(),
            },
            "first_limit": None if advice.first_limit is None else advice.first_limit.name,
            "best_change": None if advice.best_change is None else advice.best_change.name,
            "changes": [record(one) for one in advice.changes],
        },
        allow_nan=False,
    )


def show(advice: Advice, names: list[str], console: Console | None = None) -> None:
    """Print it in words.

    Args:
      advice: the advice.
      names: `[patterns]`, what to call the patterns.
      console: where to.
    """
    console = console or Console(highlight=False)
    for line in story(advice, names):
        say(console, line)
    if advice.constant is not None:
        return
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
    for one in sorted([advice.now, *advice.changes], key=lambda one: -one.accuracy):
        exact = one.cost == np.inf
        cost, error = ("∞", "") if exact else (f"× {one.cost:g}", f" ± {one.error:.3f}")
        shares = f"{one.found:.0%}", f"{one.lost:.1%}"
        style = "bold" if one is advice.now else None
        table.add_row(one.name, f"{one.accuracy:.3f}{error}", *shares, cost, style=style)
    put(console, table)
    say(
        console,
        f"Found: the best pattern holds {FOUND:g} or more; lost: less than {LOST:g} of its share at first and "
        f"without noise, and another pattern {FOUND:g}.",
    )
    say(console, f"{advice.runs} runs as it is, {max(64, advice.runs // 4)} for each change.")
    if any(one.name.startswith(SFT) for one in advice.changes):
        enough = (
            "as much as ends the entangled regime" if advice.regime == "entangled" else "a tenth of the way"
        )
        say(
            console,
            f"{SFT}: on the best pattern alone, {enough}; its demonstrations are not counted as rollouts.",
        )
    say(console, TERMS)


def story(advice: Advice, names: list[str]) -> list[str]:
    """What happens, what limits it and what helps, one sentence or two each."""
    problem, now, steps = advice.problem, advice.now, int(advice.paths.step[-1])
    best = names[int(problem.best)]
    start, top = float(problem.accuracy_ref), advice.top
    regime = {
        "fast": "fast regime (no other pattern beats base accuracy)",
        "entangled": "entangled regime (another pattern beats base accuracy, and is reinforced too)",
    }[advice.regime]
    if (constant := advice.constant) is not None:
        return [_nothing(constant)]
    lines = []
    if 0 < advice.settings.learning_rate < OPTIMIZER:
        lines.append(
            f"Careful: η = {advice.settings.learning_rate:.3g} is a step of the logits of one question, and no "
            "learning rate of an optimizer of a network: in measured runs 1e-6 acted like η of some .003. Take the η "
            "with which accuracy goes from its start to its end in your number of steps."
        )
    lines += [
        f"Accuracy goes from {start:.3g} to {now.accuracy:.3g} in {steps} steps; {best} alone would give {top:.3g}.",
        f"Regime: {regime}.",
        f"Collapse: noise loses {best} in {_share(now.lost)} of {advice.runs} runs; {_share(now.found)} find it.",
    ]
    if now.diverged:
        lines.append(
            f"{_share(now.diverged)} of the runs left the numbers (overflow); they count as accuracy 0."
        )
    entropy = advice.paths.entropy[1]
    turn = (
        f"below {FLAT:g} nats for good from step {advice.flat}"
        if advice.flat >= 0
        else f"above {FLAT:g} nats then"
    )
    rises = entropy.max() > entropy[0] + 0.01
    lines.append(
        f"Entropy of the pattern choice: {entropy[0]:.2g} nats at first, "
        + (f"{entropy.max():.2g} at most, " if rises else "")
        + f"{entropy[-1]:.2g} at the end, {turn}."
    )
    silent = advice.paths.silent
    if silent.max() > 0.3 and _idles(advice.settings.trained):
        lines.append(
            f"Silent groups (all right or all wrong, nothing learned): {silent[0]:.0%} of them at first, "
            f"{silent[-1]:.0%} at the end."
        )
    if (draws := advice.paths.draws) is not None:
        lines.append(
            f"Silent groups are drawn again: {draws[0]:.3g} groups for each one that is kept at first, "
            f"{draws[-1]:.3g} at the end; in all {draws.mean():.3g} × the rollouts of GRPO in as many steps."
        )
    clipped = advice.paths.clipped.mean()
    if clipped > 0.02:
        lines.append(f"Clipping throws away {clipped:.0%} of the weight.")
    return [*lines, _limit(advice, best), _help(advice)]


def _nothing(constant: float) -> str:
    """What is said where all patterns are right as often."""
    if constant == 0:
        return (
            "Nothing to learn: no rollout is ever right, and reward is 0 throughout. Look at the verifier, the format "
            "of answers and the difficulty of the question; no hyperparameter helps."
        )
    if constant == 1:
        return "Nothing to learn: every rollout is right already. Take harder questions."
    return f"Nothing to learn: all patterns are right as often ({constant:.3g}); reward does not tell them apart."


def _idles(algorithm: Algorithm) -> bool:
    """Whether an algorithm learns nothing from a group with equal rewards."""
    tables = algorithm.tables()
    return float(np.abs(tables.wrong[0]) + np.abs(tables.right[-1])) == 0


def _limit(advice: Advice, best: str) -> str:
    limit, now = advice.first_limit, advice.now
    if advice.near:
        if advice.room <= 0:
            return "Nothing bites: there is nothing to win, accuracy is the best pattern's from the start."
        way = (now.accuracy - float(advice.problem.accuracy_ref)) / advice.room
        return f"Nothing bites: accuracy has come {way:.0%} of the way to the best pattern's."
    if advice.settings.learning_rate == 0:
        return "First limit that bites: the learning rate. It is 0, so nothing moves."
    if limit is not None:
        return (
            f"First limit that bites: with {limit.name} accuracy would be {limit.accuracy:.3g} "
            f"in place of {now.accuracy:.3g}."
        )
    if advice.settings.tpr <= advice.settings.fpr:
        return "First limit that bites: the reward. It does not tell right from wrong (TPR ≤ FPR)."
    power = advice.log10_steps
    if math.log10(max(int(advice.paths.step[-1]), 1)) < power < math.inf:
        number = f"10^{power:.1f}" if power > 6 else f"{10**power:.3g}"
        return (
            f"First limit that bites: time. Without noise, KL term, clipping and staleness {best} is found only "
            f"after {number} steps."
        )
    return "No single limit bites: taking any one of them away wins too little."


def _help(advice: Advice) -> str:
    """The change that is named, and why it, where the table has a better one."""
    change, now, tie = advice.best_change, advice.now, TIE * advice.room
    if change is None:
        return "No single change of those tried wins more than its noise, or enough to matter."
    cost = "" if change.cost == 1 else f", at {change.cost:g} × the rollouts"
    said = (
        f"What helps most: {change.name}: accuracy {change.accuracy:.3g} in place of {now.accuracy:.3g}{cost}"
    )
    better = max((one for one in advice.changes if not one.limit), key=lambda one: one.accuracy)
    if better.accuracy > change.accuracy:
        said += (
            f" ({better.name} gives {better.accuracy:.3g}, but differences up to {tie:.2g} count as none, and of "
            "equals the cheapest is named)"
        )
    return f"{said}."


def _finite(values: np.ndarray) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _share(share: float) -> str:
    return "none" if share == 0 else "all" if share == 1 else f"{share:.1%}"

"""Advice in words and as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from qra_jax._terminal import put, say
from qra_jax.consult.advice import ALIKE, FLAT, FOUND, LOST, SHARE, TIE, Advice, Ending

SFT = "SFT first"
"""How the change that is no hyperparameter begins."""


def plain(advice: Advice) -> dict[str, Any]:
    """The advice as plain data; `None` for what is infinite."""
    names = {True: "limit", False: "change"}

    def record(one: Ending) -> dict[str, Any]:
        row = {name: value for name, value in asdict(one).items() if name != "limit"}
        return {name: None if value == np.inf else value for name, value in row.items()} | {
            "kind": names[one.limit]
        }

    return {
        "regime": advice.regime,
        "accuracy_ref": float(advice.problem.accuracy_ref),
        "settings": advice.settings.plain(),
        "runs": advice.runs,
        "now": {name: value for name, value in record(advice.now).items() if name != "kind"},
        "accuracy_without_noise": advice.expected,
        "rewarded": None if advice.rewarded is None else advice.rewarded.tolist(),
        "failures": [{"name": one.name, "share": one.share, "sign": one.sign} for one in advice.failures],
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
    }


def table(advice: Advice, console: Console) -> None:
    """Print what single changes do.

    Args:
      advice: the advice.
      console: where to.
    """
    rows = Table(
        Column("one change", no_wrap=True), "accuracy", "found", "lost", "rollouts", box=None, pad_edge=False
    )
    for column in rows.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for one in sorted([advice.now, *advice.changes], key=lambda one: -one.accuracy):
        exact = one.cost == np.inf
        cost, error = ("∞", "") if exact else (f"× {one.cost:.3g}", f" ± {one.error:.3f}")
        shares = f"{one.found:.0%}", f"{one.lost:.1%}"
        style = "bold" if one is advice.now else None
        rows.add_row(one.name, f"{one.accuracy:.3f}{error}", *shares, cost, style=style)
    put(console, rows)
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


def story(advice: Advice, names: list[str], questions: int = 1) -> list[str]:
    """What happens, what can go wrong, what limits it and what helps, one sentence or two each.

    Args:
      advice: the advice.
      names: `[patterns]`, what to call the patterns.
      questions: B ≥ 1, such questions in a batch: by them the noise of a logged accuracy is told.
    """
    if (constant := advice.constant) is not None:
        return [nothing(constant, advice.rewarded is not None)]
    best = names[int(np.asarray(advice.problem.success).argmax())]
    return [
        *_gain(advice, best, questions),
        *_silent(advice),
        *_failures(advice, best),
        _limit(advice, best),
        _help(advice),
    ]


def _gain(advice: Advice, best: str, questions: int) -> list[str]:
    """The gain, its noise in a log, and the regime."""
    steps, group = int(advice.paths.step[-1]), advice.settings.group_size
    low, _, high = advice.paths.accuracy[:, -1]
    start, end = float(advice.problem.accuracy_ref), advice.now.accuracy
    tenth = max(1, steps // 10)
    noise = math.sqrt((start * (1 - start) + end * (1 - end)) / (questions * group * tenth))
    shows = "that shows" if abs(end - start) > 2 * noise else "that cannot be seen: a flat log is no stall"
    regime = {
        "fast": "fast regime (no other pattern beats base accuracy)",
        "entangled": "entangled regime (another pattern beats base accuracy, and is reinforced too)",
    }[advice.regime]
    lines = [
        f"Gain: accuracy goes from {start:.3g} to {end:.3g} in {steps} steps (8 runs in 10: {low:.3g} to {high:.3g}); "
        f"{best} alone would give {advice.top:.3g}. First and last tenth of a log of {questions} such prompts differ "
        f"by {end - start:.2g} ± {noise:.2g}: {shows}.",
        f"Regime: {regime}.",
    ]
    if advice.rewarded is not None:
        reward = advice.paths.reward[1]
        lines.append(f"Reward goes from {reward[0]:.3g} to {reward[-1]:.3g}.")
    if advice.now.diverged:
        lines.append(
            f"{_share(advice.now.diverged)} of the runs left the numbers (overflow); they count as accuracy 0."
        )
    return lines


def _silent(advice: Advice) -> list[str]:
    """Groups that teach nothing, and what they cost."""
    silent, lines = advice.paths.silent, []
    if silent.max() > 0.3 and advice.settings.idles:
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
    return lines


def _failures(advice: Advice, best: str) -> list[str]:
    """What goes wrong in how many runs, with its sign; what becomes of entropy."""
    now, entropy = advice.now, advice.paths.entropy[1]
    lines = [
        f"Collapse: noise loses {best} in {_share(now.lost)} of {advice.runs} runs; {_share(now.found)} find it."
    ]
    for one in advice.failures:
        if one.share >= SHARE:
            lines.append(f"Failure: {one.name}, in {_share(one.share)} of the runs. Sign: {one.sign}.")
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
    return lines


def nothing(constant: float, rewarded: bool = False) -> str:
    """What is said where all patterns, or all questions, are right as often.

    Args:
      constant: how often.
      rewarded: whether something else is rewarded than right answers.
    """
    if constant == 0:
        reward = "what reward rises for is something else" if rewarded else "reward is 0 throughout"
        return (
            f"Nothing to learn: no rollout is ever right, and {reward}. Look at the verifier, the format "
            "of answers and the difficulty of the question; no hyperparameter helps."
        )
    if constant == 1:
        return "Nothing to learn: every rollout is right already. Take harder questions."
    return f"Nothing to learn: all patterns are right as often ({constant:.3g}); reward does not tell them apart."


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
    base = float(advice.problem.accuracy_ref)
    if advice.rewarded is not None and now.accuracy < base and (change is None or change.accuracy < base):
        return "No other hyperparameters at as many rollouts keep accuracy from falling: the reward is wrong."
    if change is None:
        return "At as many rollouts no single change of those tried wins more than its noise, or enough to matter."
    said = (
        f"What helps most at as many rollouts: {change.name}: accuracy {change.accuracy:.3g} in place of "
        f"{now.accuracy:.3g}"
    )
    better = max(
        (one for one in advice.changes if not one.limit and one.cost <= ALIKE), key=lambda one: one.accuracy
    )
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

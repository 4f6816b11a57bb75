"""The diagnosis of a tree as JSON or in plain words."""

from __future__ import annotations

import json
import math

import numpy as np
from rich.console import Console
from rich.table import Table

from qra_jax import _show
from qra_jax._terminal import TERMS, put, say
from qra_jax.consult.diagnosis import UNSOLVED
from qra_jax.consult.tree_diagnosis import LAST, Estimator, TreeDiagnosis
from qra_jax.trajectory import Status

MOST_STEPS = 5
"""First steps that are listed."""


def to_json(diagnosis: TreeDiagnosis) -> str:
    """One JSON object; times and tokens as log10, `null` where already met, or not before 10^6.

    Args:
      diagnosis: the diagnosis.
    """
    tree, values = diagnosis.tree, diagnosis.values
    leaf = int(tree.shape.leaves[diagnosis.best])
    return json.dumps(
        {
            "verdict": _judged(diagnosis),
            "accuracy_ref": float(values.value[0]),
            "leaves": len(tree.shape.leaves),
            "depth": int(tree.shape.depth[-1]),
            "first_steps": [
                {"name": tree.name(i), "chance": float(values.visit[i]), "value": float(values.value[i])}
                for i in _first(diagnosis)
            ],
            "best": {
                "name": tree.name(leaf),
                "path": _path(diagnosis),
                "success": float(values.value[leaf]),
                "chance": float(values.visit[leaf]),
            },
            "algorithm": diagnosis.algorithm.name,
            "group_size": diagnosis.algorithm.group_size,
            "target": diagnosis.target,
            "log10_time": _log10(diagnosis.log_time),
            "accuracy_end": float(diagnosis.accuracy[-1]),
            "credit": {
                one.name: {
                    "noise": one.noise,
                    "signal_to_noise": _ratio(diagnosis.signal, one),
                    "tokens_per_update": one.tokens,
                    "log10_tokens_at_unit_rate": _log10(one.log_spent),
                }
                for one in diagnosis.estimators
            },
            "status": "; ".join([*_ending(diagnosis), *diagnosis.notes]) or "ok",
        },
        allow_nan=False,
    )


def show(diagnosis: TreeDiagnosis, console: Console | None = None) -> None:
    """Print a diagnosis in words, the verdict first.

    Args:
      diagnosis: the diagnosis.
      console: where to.
    """
    console = console or Console(highlight=False)
    say(console, verdict(diagnosis))
    for line in _story(diagnosis):
        say(console, line)
    tokens = "tokens" if diagnosis.tree.lengths is not None else "steps"
    table = Table(
        "credit", "noise of an update", "update / noise", f"{tokens} an update", box=None, pad_edge=False
    )
    table.add_column(f"{tokens} to the target × learning rate")
    for one in diagnosis.estimators:
        ratio = _ratio(diagnosis.signal, one)
        table.add_row(
            one.name,
            "-" if one.noise is None else f"{one.noise:.3g}",
            "-" if ratio is None else f"{ratio:.3g}",
            f"{one.tokens:.4g}",
            _show.from_log(one.log_spent),
        )
    put(console, table)
    lines = ["One unit: learning rate × steps = 1 (expected on-policy updates of the logits)."]
    lines += [f"Note: {note}." for note in diagnosis.notes]
    left_out = [one.name for one in diagnosis.estimators if one.noise is None]
    if left_out:
        lines.append(f"Note: this tree is too large for the exact noise of {' and '.join(left_out)} credit.")
    for line in [*lines, *_fewer(diagnosis), TERMS]:
        say(console, line)


def verdict(diagnosis: TreeDiagnosis) -> str:
    """Whether training stalls, in a sentence with its numbers."""
    best, target = diagnosis.tree.name(int(diagnosis.tree.shape.leaves[diagnosis.best])), diagnosis.target
    how, name = _judged(diagnosis), f"{diagnosis.algorithm.name}, G = {diagnosis.algorithm.group_size}"
    share = float(diagnosis.share[-1])
    if how == "nothing to learn":
        return "Verdict: nothing to learn: all leaves are equally good, so nothing moves."
    if how == "already met":
        return f"Verdict: already met: {best} holds {share:.3g} of the base model, the target is {target:g}."
    if how == "unknown":
        return f"Verdict: unknown: the time under {name} is {UNSOLVED.get(diagnosis.status, 'not a number')}."
    if how == "no stall":
        took = _show.from_log(diagnosis.log_time)
        return f"Verdict: no stall: {took} units of {name} until {best} holds {target:g} (a stall is more than 10^6)."
    return (
        f"Verdict: stalls: after 10^6 units of {name} {best} holds {share:.3g}, accuracy is "
        f"{diagnosis.accuracy[-1]:.3g}; the target is {target:g}."
    )


def _judged(diagnosis: TreeDiagnosis) -> str:
    """The verdict in a word or two."""
    success = np.asarray(diagnosis.tree.success)
    if (success == success[0]).all():
        return "nothing to learn"
    if diagnosis.status in UNSOLVED or math.isnan(diagnosis.log_time):
        return "unknown"
    if not math.isfinite(diagnosis.log_time):
        return "already met" if diagnosis.log_time < 0 else "stall"
    return "no stall"


def _ending(diagnosis: TreeDiagnosis) -> list[str]:
    if diagnosis.status in UNSOLVED:
        return [UNSOLVED[diagnosis.status]]
    if diagnosis.status == Status.ALREADY_MET:
        return ["target already met"]
    return [] if math.isfinite(diagnosis.log_time) else [f"target not reached before 10^{math.log10(LAST):g}"]


def _story(diagnosis: TreeDiagnosis) -> list[str]:
    tree, values = diagnosis.tree, diagnosis.values
    leaf, first = int(tree.shape.leaves[diagnosis.best]), _first(diagnosis)
    unit = "steps" if tree.lengths is None else "tokens"
    path = _path(diagnosis)
    steps = [f"{tree.name(i)} ({values.visit[i]:.3g}, then right {values.value[i]:.3g})" for i in first]
    if len(first) < tree.shape.children[0]:
        steps.append(f"and {tree.shape.children[0] - len(first)} more")
    lines = [
        f"Base model: right {values.value[0]:.3g} of the time, {diagnosis.length[0]:.3g} {unit} an answer; "
        f"{len(tree.shape.leaves)} leaves, at most {tree.shape.depth[-1]} steps deep.",
        f"First steps (share, value): {', '.join(steps)}.",
        f"Best way: {' → '.join(path)}, right {values.value[leaf]:.3g} of the time, base share "
        f"{values.visit[leaf]:.3g}.",
    ]
    worst = [step for step in tree.shape.paths[diagnosis.best] if values.advantage[step] < 0]
    if worst:
        state, origin = worst[0] + 1, int(tree.shape.origin[worst[0]])
        low = float(diagnosis.share.min())
        falls = f" (the best way's share falls to {low:.3g})" if low < 0.999 * diagnosis.share[0] else ""
        lines.append(
            f"On that way {tree.name(state)} looks bad, with a value of {values.value[state]:.3g} against "
            f"{values.value[origin]:.3g} before it: training begins by taking it less{falls}."
        )
    return lines


def _first(diagnosis: TreeDiagnosis) -> list[int]:
    """States behind the most usual first steps."""
    visit = diagnosis.values.visit[1 : 1 + diagnosis.tree.shape.children[0]]
    return [int(i) + 1 for i in np.argsort(-visit, kind="stable")[:MOST_STEPS]]


def _path(diagnosis: TreeDiagnosis) -> list[str]:
    """Names of the states along the best way."""
    return [diagnosis.tree.name(step + 1) for step in diagnosis.tree.shape.paths[diagnosis.best]]


def _fewer(diagnosis: TreeDiagnosis) -> list[str]:
    """What the noise of the two estimators means in rollouts."""
    first, second = diagnosis.estimators
    if not first.noise or not second.noise:
        return []
    times = (first.noise / second.noise) ** 2
    few, many = (second, first) if times >= 1 else (first, second)
    factor, cost = max(times, 1 / times), few.tokens / many.tokens
    unit = "tokens" if diagnosis.tree.lengths is not None else "steps"
    price = f"{cost:.3g} times the {unit}" if abs(cost - 1) > 1e-6 else f"as many {unit}"
    oracle = " (exact values are an oracle's)" if few.credit.source == "exact" else ""
    return [
        f"At the start an update by {few.name} credit is as noisy as one by {many.name} credit with {factor:.3g} times "
        f"the rollouts, for {price}{oracle}."
    ]


def _ratio(signal: float, one: Estimator) -> float | None:
    return signal / one.noise if one.noise else None


def _log10(log_value: float) -> float | None:
    return log_value / math.log(10) if math.isfinite(log_value) else None

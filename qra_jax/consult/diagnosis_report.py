"""A diagnosis as JSON or in plain words."""

from __future__ import annotations

import json
import math

import numpy as np
from rich.console import Console
from rich.table import Table

from qra_jax import _show
from qra_jax._terminal import TERMS, put, say
from qra_jax.consult.diagnosis import SETTINGS, UNSOLVED, Diagnosis
from qra_jax.trajectory import Status

STALL = 6.0
"""A training time beyond 10^STALL units is called a stall."""
_LABELS = {
    "reinforce": "REINFORCE, RLOO",
    "grpo_mean_field": "GRPO, large groups",
    "grpo_G8": "GRPO, groups of 8",
    "filtered_sft_per_accepted": "filtered SFT (per accepted)",
    "natural_gradient": "natural gradient",
}
_SOFTMAX = [name for name, (_, geometry) in SETTINGS.items() if geometry == "softmax"]
"""What a stall is judged by: REINFORCE first, then the other gradients on softmax logits."""


def to_json(diagnosis: Diagnosis, names: list[str]) -> str:
    """One JSON object; times as log10, `null` where already met, or never, which `status` then names.

    Args:
      diagnosis: the diagnosis.
      names: `[patterns]`, what to call the patterns.
    """
    sft = diagnosis.sft
    return json.dumps(
        {
            "verdict": _judged(diagnosis),
            "regime": diagnosis.regime,
            "gamma": diagnosis.gamma,
            "accuracy_ref": diagnosis.accuracy_ref,
            "patterns": names,
            "best": diagnosis.best,
            "target": diagnosis.target,
            "dominance": diagnosis.leaders,
            "dominance_log10_time": [_log10(log_time) for log_time in diagnosis.log_switches],
            "log10_time": {
                name: {"transition": _log10(times.log_transition), "target": _log10(times.log_target)}
                for name, times in diagnosis.times.items()
            },
            "sft": sft
            and {
                "log10_time": _log10(sft.log_time),
                "mass": sft.mass,
                "log10_time_after": {name: _log10(log_time) for name, log_time in sft.log_time_after.items()},
            },
            "status": "; ".join(diagnosis.notes) or "ok",
        },
        allow_nan=False,
    )


def show(diagnosis: Diagnosis, names: list[str], console: Console | None = None) -> None:
    """Print a diagnosis in words, the verdict first.

    Args:
      diagnosis: the diagnosis.
      names: `[patterns]`, what to call the patterns.
      console: where to.
    """
    console = console or Console(highlight=False)
    say(console, verdict(diagnosis, names))
    if _judged(diagnosis) == "nothing to learn":
        return
    for line in _story(diagnosis, names):
        say(console, line)
    table = Table("algorithm", f"π(best) = {diagnosis.target:g}", box=None, pad_edge=False)
    if diagnosis.regime == "entangled":
        table.add_column("entangled until")
    for name, times in diagnosis.times.items():
        cells = [_duration(times.log_target, times.statuses[1])]
        if diagnosis.regime == "entangled":
            cells.append(_duration(times.log_transition, times.statuses[0]))
        table.add_row(_LABELS.get(name, name), *cells)
    put(console, table)
    say(console, "One unit: learning rate × steps = 1 (expected on-policy updates of the logits).")
    for line in [*_advice(diagnosis, names), *_notes(diagnosis, names), TERMS]:
        say(console, line)


def verdict(diagnosis: Diagnosis, names: list[str]) -> str:
    """Whether training stalls, in a sentence with its numbers."""
    success, best = np.asarray(diagnosis.problem.success), names[diagnosis.best]
    share = float(np.exp(np.asarray(diagnosis.problem.log_ref)[diagnosis.best]))
    how, first, rest = _judged(diagnosis), diagnosis.times["reinforce"].log_target, _others(diagnosis)
    if how == "nothing to learn":
        if success.size == 1:
            return "Verdict: nothing to learn: there is only one pattern."
        return f"Verdict: nothing to learn: all success rates are equal ({success[0]:.3g}), so nothing moves."
    if how == "already met":
        return f"Verdict: already met: {best} holds {share:.3g} of the base model, the target is {diagnosis.target:g}."
    if how == "unreachable":
        why = "it has no share in the base model, and rewards cannot raise what is never sampled"
        if share > 0:
            tied = [
                names[r] for r in np.flatnonzero(success == success[diagnosis.best]) if r != diagnosis.best
            ]
            plural = "is" if len(tied) == 1 else "are"
            why = (
                f"{' and '.join(tied)} {plural} as good, and not given up for it"
                if tied
                else "no path leads there"
            )
        return f"Verdict: unreachable: {best} never holds {diagnosis.target:g}: {why}."
    if how == "unknown":
        said = UNSOLVED.get(diagnosis.times["reinforce"].statuses[1], "not a number")
        return f"Verdict: unknown: the time under REINFORCE is {said}."
    took = f"{_show.from_log(first)} units of REINFORCE{rest}"
    if how == "no stall":
        return f"Verdict: no stall: {took} (a stall is more than 10^{STALL:g})."
    ends = ""
    if diagnosis.sft is not None:
        after = diagnosis.sft.log_time_after["reinforce"]
        ends = f"; SFT on {best} {'shortens' if _stalls(after) else 'removes'} it (see below)"
    elif diagnosis.regime == "fast":
        ends = f"; SFT that raises {best} shortens it (see below)"
    return f"Verdict: stalls: {took} (a stall is more than 10^{STALL:g}){ends}."


def _judged(diagnosis: Diagnosis) -> str:
    """The verdict in a word or two, by REINFORCE, the slowest of the gradients on softmax logits."""
    success, time = np.asarray(diagnosis.problem.success), diagnosis.times["reinforce"]
    if (success == success[0]).all():
        return "nothing to learn"
    if time.statuses[1] in UNSOLVED or math.isnan(time.log_target):
        return "unknown"
    if not math.isfinite(time.log_target):
        return "already met" if time.log_target < 0 else "unreachable"
    return "stall" if _stalls(time.log_target) else "no stall"


def _others(diagnosis: Diagnosis) -> str:
    """What the other gradients on softmax logits take, as the end of a sentence."""
    logs = [diagnosis.times[name].log_target for name in _SOFTMAX[1:]]
    ends = [_show.from_log(end) for end in (min(logs), max(logs)) if math.isfinite(end)]
    return f", {' to '.join(dict.fromkeys(ends))} of GRPO and filtered SFT" if len(ends) == 2 else ""


def _story(diagnosis: Diagnosis, names: list[str]) -> list[str]:
    log_ref, success = np.asarray(diagnosis.problem.log_ref), np.asarray(diagnosis.problem.success)
    best, accuracy, share = names[diagnosis.best], diagnosis.accuracy_ref, np.exp(log_ref[diagnosis.best])
    lines = [f"Best is {best}: right {success[diagnosis.best]:.3g} of the time, base share {share:.3g}."]
    if diagnosis.regime == "fast":
        lines.append(
            f"Fast regime: base accuracy {accuracy:.3g} is above every other pattern's success rate or equal."
        )
    else:
        rival = f"{names[diagnosis.rival]} (right {success[diagnosis.rival]:.3g} of the time)"
        gamma = "" if diagnosis.gamma is None else f"; γ = {diagnosis.gamma:.4g}"
        lines.append(
            f"Entangled regime: base accuracy {accuracy:.3g} is below {rival}, also reinforced{gamma}."
        )
    turns = [
        names[leader]
        if not math.isfinite(log_time)
        else f"{names[leader]} from t = {_show.from_log(log_time)}"
        for leader, log_time in zip(diagnosis.leaders, diagnosis.log_switches, strict=True)
    ]
    lines.append(f"Who dominates (under REINFORCE): {', then '.join(turns)}.")
    return lines


def _advice(diagnosis: Diagnosis, names: list[str]) -> list[str]:
    best, before = names[diagnosis.best], diagnosis.times["reinforce"].log_target
    if diagnosis.regime == "fast":
        if not math.isfinite(before):
            return []
        if not _stalls(before):
            return ["Advice: nothing stalls; SFT is not needed."]
        share = _show.from_log(float(np.asarray(diagnosis.problem.log_ref)[diagnosis.best]))
        return [
            f"Advice: no other pattern holds {best} back, but it starts cold, at a share of {share}: the time "
            f"grows as 1/share, so SFT that raises the share of {best} shortens it."
        ]
    if diagnosis.sft is None:
        return ["Advice: SFT cannot raise the best pattern from a share of 0."]
    after, dose = diagnosis.sft.log_time_after["reinforce"], _show.from_log(diagnosis.sft.log_time)
    lines = [
        f"Advice: SFT on {best} for {dose} units of time (learning rate × steps) lifts its share to "
        f"{diagnosis.sft.mass:.3g}.",
        "Accuracy then matches the second best pattern's, and the fast regime begins.",
    ]
    if math.isfinite(after):
        without = (
            f"against {_show.from_log(before)} without"
            if math.isfinite(before)
            else "and never gets there without"
        )
        lines[1] = f"{lines[1][:-1]}: REINFORCE takes {_show.from_log(after)} units from there, {without}."
    return lines


def _notes(diagnosis: Diagnosis, names: list[str]) -> list[str]:
    """What is not ordinary and neither the verdict nor the table says."""
    success, lines = np.asarray(diagnosis.problem.success), []
    tied = [names[r] for r in np.flatnonzero(success == success[diagnosis.best])]
    if len(tied) > 1:
        lines.append(f"Note: ties for best: {', '.join(tied[:-1])} and {tied[-1]}; {tied[0]} is taken.")
    return lines


def _log10(log_time: float) -> float | None:
    return log_time / math.log(10) if math.isfinite(log_time) else None


def _stalls(log_time: float) -> bool:
    return log_time / math.log(10) >= STALL


def _duration(log_time: float, status: Status) -> str:
    if status in UNSOLVED:
        return UNSOLVED[status]
    if log_time == -math.inf:
        return "already met"
    if not math.isfinite(log_time):
        return "never"
    return f"{'stalls: ' * _stalls(log_time)}{_show.from_log(log_time)} units"

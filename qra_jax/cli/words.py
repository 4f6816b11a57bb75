"""A diagnosis as JSON or in plain words, and how lines and tables are put on a terminal or into a pipe."""

from __future__ import annotations

import io
import json
import math

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qra_jax import _show
from qra_jax.diagnosis import SETTINGS, UNSOLVED, Diagnosis
from qra_jax.trajectory import Status

STALL = 6.0
"""A training time beyond 10^STALL units is called a stall."""
TERMS = "Terms: docs/concepts.md"
"""Where the words of the output are explained."""

_LABELS = {
    "reinforce": "REINFORCE, RLOO",
    "grpo_mean_field": "GRPO, large groups",
    "grpo_G8": "GRPO, groups of 8",
    "filtered_sft_per_accepted": "filtered SFT (per accepted)",
    "natural_gradient": "natural gradient",
}
_SOFTMAX = [name for name, (_, geometry) in SETTINGS.items() if geometry == "softmax"]
"""What a stall is judged by: REINFORCE first, then the other gradients on softmax logits."""


def say(console: Console, line: str) -> None:
    """A line of prose: wrapped at words where somebody looks at it, whole where a program reads it."""
    console.print(escape(line), soft_wrap=not (console.is_terminal or console.is_jupyter))


def put(console: Console, table: Table) -> None:
    """A table; in a pipe as wide as it is, and without spaces at the ends of its rows."""
    if console.is_terminal or console.is_jupyter:
        console.print(table)
        return
    page = Console(width=500, file=io.StringIO(), highlight=False, force_jupyter=False)
    page.print(table)
    for row in page.file.getvalue().splitlines():  # pyright: ignore[reportAttributeAccessIssue]
        console.print(escape(row.rstrip()), soft_wrap=True)


def to_json(found: Diagnosis, names: list[str]) -> str:
    """One JSON object; times as log10, `null` where already met, or never, which `status` then names.

    Args:
      found: the diagnosis.
      names: `[patterns]`, what to call the patterns.
    """
    sft = found.sft
    return json.dumps(
        {
            "verdict": _judged(found),
            "regime": found.regime,
            "gamma": found.gamma,
            "accuracy_ref": found.accuracy_ref,
            "patterns": names,
            "best": found.best,
            "target": found.target,
            "dominance": found.leaders,
            "dominance_log10_time": [_log10(log_time) for log_time in found.log_switches],
            "log10_time": {
                name: {"transition": _log10(times.transition), "target": _log10(times.target)}
                for name, times in found.times.items()
            },
            "sft": sft
            and {
                "log10_time": _log10(sft.log_time),
                "mass": sft.mass,
                "log10_time_after": {name: _log10(log_time) for name, log_time in sft.after.items()},
            },
            "status": "; ".join(found.notes) or "ok",
        },
        allow_nan=False,
    )


def show(found: Diagnosis, names: list[str], console: Console | None = None) -> None:
    """Print a diagnosis in words, the verdict first.

    Args:
      found: the diagnosis.
      names: `[patterns]`, what to call the patterns.
      console: where to.
    """
    console = console or Console(highlight=False)
    say(console, verdict(found, names))
    if _judged(found) == "nothing to learn":
        return
    for line in _story(found, names):
        say(console, line)
    table = Table("algorithm", f"π(best) = {found.target:g}", box=None, pad_edge=False)
    if found.regime == "entangled":
        table.add_column("entangled until")
    for name, times in found.times.items():
        cells = [_duration(times.target, times.statuses[1])]
        if found.regime == "entangled":
            cells.append(_duration(times.transition, times.statuses[0]))
        table.add_row(_LABELS[name], *cells)
    put(console, table)
    say(console, "One unit: learning rate × steps = 1 (expected on-policy updates of the logits).")
    for line in [*_advice(found, names), *_notes(found, names), TERMS]:
        say(console, line)


def verdict(found: Diagnosis, names: list[str]) -> str:
    """Whether training stalls, in a sentence with its numbers."""
    success, best = np.asarray(found.problem.success), names[found.best]
    share = float(np.exp(np.asarray(found.problem.log_ref)[found.best]))
    how, first, rest = _judged(found), found.times["reinforce"].target, _others(found)
    if how == "nothing to learn":
        if success.size == 1:
            return "Verdict: nothing to learn: there is only one pattern."
        return f"Verdict: nothing to learn: all success rates are equal ({success[0]:.3g}), so nothing moves."
    if how == "already met":
        return f"Verdict: already met: {best} holds {share:.3g} of the base model, the target is {found.target:g}."
    if how == "unreachable":
        why = "it has no share in the base model, and rewards cannot raise what is never sampled"
        if share > 0:
            tied = [names[r] for r in np.flatnonzero(success == success[found.best]) if r != found.best]
            plural = "is" if len(tied) == 1 else "are"
            why = (
                f"{' and '.join(tied)} {plural} as good, and not given up for it"
                if tied
                else "no path leads there"
            )
        return f"Verdict: unreachable: {best} never holds {found.target:g}: {why}."
    if how == "unknown":
        said = UNSOLVED.get(found.times["reinforce"].statuses[1], "not a number")
        return f"Verdict: unknown: the time under REINFORCE is {said}."
    took = f"{_show.from_log(first)} units of REINFORCE{rest}"
    if how == "no stall":
        return f"Verdict: no stall: {took} (a stall is more than 10^{STALL:g})."
    ends = ""
    if found.sft is not None:
        after = found.sft.after["reinforce"]
        ends = f"; SFT on {best} {'shortens' if _stalls(after) else 'removes'} it (see below)"
    elif found.regime == "fast":
        ends = f"; SFT that raises {best} shortens it (see below)"
    return f"Verdict: stalls: {took} (a stall is more than 10^{STALL:g}){ends}."


def _judged(found: Diagnosis) -> str:
    """The verdict in a word or two, by REINFORCE, the slowest of the gradients on softmax logits."""
    success, time = np.asarray(found.problem.success), found.times["reinforce"]
    if (success == success[0]).all():
        return "nothing to learn"
    if time.statuses[1] in UNSOLVED or math.isnan(time.target):
        return "unknown"
    if not math.isfinite(time.target):
        return "already met" if time.target < 0 else "unreachable"
    return "stall" if _stalls(time.target) else "no stall"


def _others(found: Diagnosis) -> str:
    """What the other gradients on softmax logits take, as the end of a sentence."""
    logs = [found.times[name].target for name in _SOFTMAX[1:]]
    ends = [_show.from_log(end) for end in (min(logs), max(logs)) if math.isfinite(end)]
    return f", {' to '.join(dict.fromkeys(ends))} of GRPO and filtered SFT" if len(ends) == 2 else ""


def _story(found: Diagnosis, names: list[str]) -> list[str]:
    log_ref, success = np.asarray(found.problem.log_ref), np.asarray(found.problem.success)
    best, accuracy, share = names[found.best], found.accuracy_ref, np.exp(log_ref[found.best])
    lines = [f"Best is {best}: right {success[found.best]:.3g} of the time, base share {share:.3g}."]
    if found.regime == "fast":
        lines.append(
            f"Fast regime: base accuracy {accuracy:.3g} is above every other pattern's success rate or equal."
        )
    else:
        rival = f"{names[found.rival]} (right {success[found.rival]:.3g} of the time)"
        gamma = "" if found.gamma is None else f"; γ = {found.gamma:.4g}"
        lines.append(
            f"Entangled regime: base accuracy {accuracy:.3g} is below {rival}, also reinforced{gamma}."
        )
    turns = [
        names[leader]
        if not math.isfinite(log_time)
        else f"{names[leader]} from t = {_show.from_log(log_time)}"
        for leader, log_time in zip(found.leaders, found.log_switches, strict=True)
    ]
    lines.append(f"Who dominates (under REINFORCE): {', then '.join(turns)}.")
    return lines


def _advice(found: Diagnosis, names: list[str]) -> list[str]:
    best, before = names[found.best], found.times["reinforce"].target
    if found.regime == "fast":
        if not math.isfinite(before):
            return []
        if not _stalls(before):
            return ["Advice: nothing stalls; SFT is not needed."]
        share = _show.from_log(float(np.asarray(found.problem.log_ref)[found.best]))
        return [
            f"Advice: no other pattern holds {best} back, but it starts cold, at a share of {share}: the time "
            f"grows as 1/share, so SFT that raises the share of {best} shortens it."
        ]
    if found.sft is None:
        return ["Advice: SFT cannot raise the best pattern from a share of 0."]
    after, dose = found.sft.after["reinforce"], _show.from_log(found.sft.log_time)
    lines = [
        f"Advice: SFT on {best} for {dose} units of time (learning rate × steps) lifts its share to "
        f"{found.sft.mass:.3g}.",
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


def _notes(found: Diagnosis, names: list[str]) -> list[str]:
    """What is not ordinary and neither the verdict nor the table says."""
    success, lines = np.asarray(found.problem.success), []
    tied = [names[r] for r in np.flatnonzero(success == success[found.best])]
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

"""Floor 6. A diagnosis as JSON or in plain words."""

from __future__ import annotations

import json
import math

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qra_jax import _show
from qra_jax.diagnosis import Diagnosis

STALL = 6.0
"""A training time beyond 10^STALL units is called a stall."""

_LABELS = {
    "reinforce": "REINFORCE, RLOO",
    "grpo_mean_field": "GRPO, large groups",
    "grpo_G8": "GRPO, groups of 8",
    "filtered_sft_per_accepted": "filtered SFT (per accepted)",
    "natural_gradient": "natural gradient",
}


def to_json(found: Diagnosis) -> str:
    """One JSON object; times as log10, `null` where already met, or never, which `status` then names."""
    return json.dumps(
        {
            "regime": found.regime,
            "gamma": found.gamma,
            "accuracy_ref": found.accuracy_ref,
            "best": found.best,
            "dominance": found.leaders,
            "log10_time": {
                name: {"transition": _log10(times.transition), "target": _log10(times.target)}
                for name, times in found.times.items()
            },
            "status": "; ".join(found.notes) or "ok",
        },
        allow_nan=False,
    )


def show(found: Diagnosis, names: list[str], console: Console | None = None) -> None:
    """Print a diagnosis in words.

    Args:
      found: the diagnosis.
      names: `[patterns]`, what to call the patterns.
      console: where to.
    """
    console = console or Console(highlight=False)
    for line in _story(found, names):
        console.print(escape(line), soft_wrap=True)
    table = Table("algorithm", f"π(best) = {found.target:g}", box=None, pad_edge=False)
    if found.regime == "entangled":
        table.add_column("entangled until")
    for name, times in found.times.items():
        cells = [_duration(times.target)] + [_duration(times.transition)] * (found.regime == "entangled")
        table.add_row(_LABELS[name], *cells)
    console.print(table)
    console.print(
        "One unit: learning rate × steps = 1 (expected on-policy updates of the logits).", soft_wrap=True
    )
    for line in _advice(found, names):
        console.print(escape(line), soft_wrap=True)
    for note in found.notes:
        console.print(escape(f"Note: {note}."), soft_wrap=True)


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
    if found.regime == "fast":
        time = found.times["reinforce"].target
        if not _stalls(time):
            return ["Advice: nothing stalls; SFT is not needed."]
        best = names[found.best]
        share = _show.from_log(float(np.asarray(found.problem.log_ref)[found.best]))
        return [
            f"Advice: no other pattern holds {best} back, but it starts cold, at a share of {share}: the time "
            f"grows as 1/share, so SFT that raises the share of {best} shortens it."
        ] * (time < math.inf)
    if found.sft is None:
        return ["Advice: no finite amount of SFT on the best pattern removes the stall."]
    before, after = found.times["reinforce"].target, found.sft.after["reinforce"]
    dose = f"{_show.from_log(found.sft.log_time)} units of time"
    return [
        f"Advice: SFT on {names[found.best]} for {dose} (learning rate × steps) lifts its share to "
        f"{found.sft.mass:.3g}. Accuracy then matches the second best pattern's and the fast regime begins: "
        f"REINFORCE takes {_show.from_log(after)} units from there, against {_show.from_log(before)} without."
    ]


def _log10(log_time: float) -> float | None:
    return log_time / math.log(10) if math.isfinite(log_time) else None


def _stalls(log_time: float) -> bool:
    return log_time / math.log(10) >= STALL


def _duration(log_time: float) -> str:
    if log_time == -math.inf:
        return "already met"
    if not math.isfinite(log_time):
        return "never"
    return (
        f"stalls: {_show.from_log(log_time)} units"
        if _stalls(log_time)
        else f"{_show.from_log(log_time)} units"
    )

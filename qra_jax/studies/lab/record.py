"""The record of a claim as plain data: what was said, what was tested, with what it was compared, what came out."""

from __future__ import annotations

import json
import math
from importlib import resources
from typing import Any

from qra_jax.studies.lab.evidence import Test
from qra_jax.studies.lab.origin import Paper
from qra_jax.studies.lab.study import Finding


def schema() -> dict[str, Any]:
    """The JSON schema of a record."""
    return json.loads(
        resources.files("qra_jax.studies.lab").joinpath("claim.schema.json").read_text(encoding="utf-8")
    )


def record(finding: Finding, study: str, subject: str) -> dict[str, Any]:
    """A finding as strict JSON data.

    Args:
      finding: a judged claim.
      study, subject: where it belongs.

    Returns:
      The record, without environment and fingerprint, which the runner adds.
    """
    claim, origin = finding.claim, finding.claim.origin
    paper = None
    if isinstance(origin, Paper):
        paper = {
            "claim": origin.id,
            "authors": origin.authors,
            "arxiv": origin.arxiv,
            "version": origin.version,
            "place": origin.place,
            "read": origin.read,
            "says": origin.says,
            "reported": origin.reported,
        }
    controls = [
        {
            "kind": control.wanted,
            "description": control.description,
            "predicted": control.evidence.predicted(),
            "measured": control.evidence.measured(finding.level),
            "verdict": control.verdict.kind,
        }
        for control in finding.controls
    ]
    return {
        "id": claim.id,
        "study": study,
        "subject": subject,
        "statement": claim.statement,
        "origin": {"kind": origin.kind, "source": str(origin), "words": origin.words},
        "paper": paper,
        "quantities": list(dict.fromkeys(test.estimate.quantity for test in finding.evidence.tests())),
        "conditions": dict(finding.conditions),
        "conflicts_with": list(claim.conflicts),
        "controls": controls,
        "needs_no_control": claim.needs_none,
        "tolerance": finding.evidence.predicted(),
        "measured": finding.evidence.measured(finding.level),
        "evidence": [_short(test, finding.level) for test in finding.evidence.tests()],
        "verdict": finding.verdict.kind,
        "reason": finding.verdict.reason,
    }


MOST = 64
"""Elements of an array that a record lists; of more, it keeps the extremes."""


def _short(test: Test, level: float) -> dict[str, Any]:
    """A comparison; of a large one, extremes in place of all elements."""
    whole = test.record(level)
    if test.estimate.value.size <= MOST:
        return whole
    counts = {
        name: _flat(whole["outcome"]).count(code) for name, code in (("holds", 1), ("fails", -1), ("open", 0))
    }
    low, high = (_flat(end) for end in whole["interval"])
    return whole | {
        "estimate": _ends(_flat(whole["estimate"])),
        "interval": [_ends(low), _ends(high)],
        "region": [_ends(_flat(bound)) if isinstance(bound, list) else bound for bound in whole["region"]],
        "axes": {name: len(values) for name, values in whole["axes"].items()},
        "outcome": counts,
    }


def _flat(value: Any) -> list[Any]:
    return [x for part in value for x in _flat(part)] if isinstance(value, list) else [value]


def _ends(values: list[Any]) -> list[Any]:
    """Least and greatest; words stand for infinity and NaN."""
    numbers = [float(value) for value in values]
    known = [x for x in numbers if not math.isnan(x)] or [math.nan]
    return [x if math.isfinite(x) else str(x) for x in (min(known), max(known))]

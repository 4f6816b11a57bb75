"""An examination in words and as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from qra_jax.consult.examination import Examination


def story(found: Examination) -> list[str]:
    """What the log shows, the cause that explains it first.

    Args:
      found: the examination.
    """
    if not found.findings:
        return ["The log shows no sign of any known cause, and no gain: what it is cannot be told from it."]
    lines = [f"The log: {found.findings[0].said}. To do: {found.findings[0].look}."]
    lines += [
        f"Also: {one.said}. To do: {one.look}."
        for one in found.findings[1:]
        if one.cause not in ("success", "slow")
    ]
    return lines + [f"Beyond this model: {hint}." for hint in found.beyond]


def plain(found: Examination) -> dict[str, Any]:
    """The same as plain data."""
    return {"cause": found.cause, "findings": [asdict(one) for one in found.findings], "beyond": found.beyond}

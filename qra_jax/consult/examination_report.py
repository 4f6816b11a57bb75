"""An examination in words and as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from qra_jax.consult.examination import Examination


def story(found: Examination) -> list[str]:
    """What the log shows, the cause that explains it first.

    Args:
      found: the examination.
    """
    hints = [f"Beyond this model: {hint}." for hint in found.beyond]
    if not found.findings:
        start, end = found.level
        how = "falls" if end < start else "goes"
        return [
            *hints,
            f"The log: it {how} from {start:.3g} to {end:.3g}, and shows the sign of no known cause.",
        ]
    lines = [f"The log: {found.findings[0].said}. To do: {found.findings[0].look}."]
    lines += [
        f"Also: {one.said}. To do: {one.look}."
        for one in found.findings[1:]
        if one.cause not in ("success", "slow")
    ]
    return lines + hints


def plain(found: Examination) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "cause": found.cause,
        "findings": [asdict(one) for one in found.findings],
        "beyond": found.beyond,
        "level": [None if math.isnan(x) else x for x in found.level],
    }

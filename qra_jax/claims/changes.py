"""What changed between two sets of records: claims, verdicts, words, and numbers beyond their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from qra_jax.claims.records import Record, flat, said

SAME = 1e-6
"""Relative difference up to which two exact numbers are the same: rounding of another machine."""
WORDS = {"statement": "statement", "tolerance": "threshold", "needs_no_control": "why no control"}


@dataclass(frozen=True)
class Changes:
    """What differs between two sets of records, each entry with the id of its claim.

    Attributes:
      new: ids of claims that only the second one has.
      gone: ids of claims that only the first one has.
      verdicts: id, verdict before and after, in words.
      words: id, what was rewritten (statement, threshold, why no control), before and after.
      moved: id, quantity with its place, estimate and interval before and after; where the two intervals are apart.
      compared: how many claims both have.
    """

    new: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    verdicts: list[tuple[str, str, str]] = field(default_factory=list)
    words: list[tuple[str, str, str, str]] = field(default_factory=list)
    moved: list[tuple[str, str, str, str]] = field(default_factory=list)
    compared: int = 0

    @property
    def none(self) -> bool:
        """Whether nothing changed."""
        return not (self.new or self.gone or self.verdicts or self.words or self.moved)


def diff(before: Iterable[Record], after: Iterable[Record]) -> Changes:
    """Compare two sets of records claim by claim.

    A verdict changed if its kind did; a reason that only rephrases its numbers is no change. An estimate moved if its
    intervals before and after have no point in common; where both are exact, if they differ by more than rounding.

    Args:
      before: records, as of [`load`][qra_jax.claims.load].
      after: likewise.
    """
    old, new = ({one["id"]: one for one in records} for records in (before, after))
    both = [name for name in old if name in new]
    changes = Changes([n for n in new if n not in old], [n for n in old if n not in new], compared=len(both))
    for name in both:
        a, b = old[name], new[name]
        if a["verdict"] != b["verdict"]:
            changes.verdicts.append((name, said(a), said(b)))
        changes.words.extend((name, what, a[key], b[key]) for key, what in WORDS.items() if a[key] != b[key])
        changes.moved.extend((name, *moved) for moved in _moved(a, b))
    return changes


def _moved(a: Record, b: Record) -> Iterator[tuple[str, str, str]]:
    """Estimates of a claim that are apart, place by place."""
    for one, other in zip(a["evidence"], b["evidence"], strict=False):
        if one["quantity"] != other["quantity"] or one["axes"] != other["axes"]:
            continue  # another measurement: nothing to compare
        for place, first, second in zip(places(one), values(one), values(other), strict=False):
            if _apart(first, second):
                where = f"{one['quantity']}, {place}" if place else one["quantity"]
                yield where, shown(*first), shown(*second)


def values(evidence: dict[str, Any]) -> list[tuple[float, float, float]]:
    """Estimate and ends of the interval of each element."""
    low, high = evidence["interval"]
    columns = [[float(x) for x in flat(part)] for part in (evidence["estimate"], low, high)]
    return list(zip(*columns, strict=True))


def places(evidence: dict[str, Any]) -> list[str]:
    """What each element is of, in words: the values of its axes; of a large array only the extremes are there."""
    axes, count = evidence["axes"], len(flat(evidence["estimate"]))
    if isinstance(evidence["outcome"], dict):
        return ["least", "greatest"][:count]
    names = [""]
    for axis, labels in axes.items():
        told = [label if isinstance(label, str) else f"{axis} = {_short(label)}" for label in labels]
        names = [f"{name}, {label}" if name else label for name in names for label in told]
    return names if len(names) == count else [str(i) for i in range(count)]


def _short(label: Any) -> str:
    return f"{label:.4g}" if isinstance(label, float) else str(label)


def _apart(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    if any(map(math.isnan, (*a, *b))):
        return math.isnan(a[0]) != math.isnan(b[0])
    slack = SAME * max((abs(x) for x in (*a, *b) if math.isfinite(x)), default=0.0)
    return a[1] > b[2] + slack or b[1] > a[2] + slack


def shown(value: float, low: float, high: float) -> str:
    """A number with its interval, if it has one."""
    return f"{value:.4g}" if low == high else f"{value:.4g} ({low:.4g} … {high:.4g})"

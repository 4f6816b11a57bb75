"""Claims that contradict each other, and claims of a paper that came out both ways."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qra_jax.claims.records import Record

DECIDED = ("holds", "holds only if", "fails")


@dataclass(frozen=True)
class Conflict:
    """Two claims that cannot be true together, or two tests of one claim.

    Attributes:
      first, second: their records.
      decision: what the two verdicts say of the dispute, in a sentence.
      differences: settings in which the two tests differ, by name; what each has.
    """

    first: Record
    second: Record
    decision: str
    differences: dict[str, tuple[str, str]]


def contradictions(records: Iterable[Record]) -> list[Conflict]:
    """Pairs of claims of which one says that it contradicts the other, each pair once, in the order of the records."""
    known = {one["id"]: one for one in records}
    pairs: dict[frozenset[str], tuple[Record, Record]] = {}
    for one in known.values():
        for other in one["conflicts_with"]:
            if other in known and other != one["id"]:
                pairs.setdefault(frozenset((one["id"], other)), (one, known[other]))
    return [Conflict(a, b, _decision(a, b), _differences(a, b)) for a, b in pairs.values()]


def divided(records: Iterable[Record]) -> list[Conflict]:
    """A paper's claim in two studies, which holds in one, perhaps under a condition, and fails in the other.

    Each pair is a test that holds and one that fails.
    """
    by_claim: dict[str, list[Record]] = {}
    for one in records:
        if one["paper"] is not None and one["verdict"] in DECIDED:
            by_claim.setdefault(one["paper"]["claim"], []).append(one)
    found = []
    for tests in by_claim.values():
        held = [one for one in tests if one["verdict"] != "fails"]
        failed = [one for one in tests if one["verdict"] == "fails"]
        said = "Where the two studies differ, the answer does."
        found += [
            Conflict(a, b, said, _differences(a, b)) for a in held for b in failed if a["study"] != b["study"]
        ]
    return found


def _decision(a: Record, b: Record) -> str:
    """What two verdicts say of two claims that cannot both be true."""
    kinds = a["verdict"], b["verdict"]
    names = a["id"], b["id"]
    if kinds in (("holds", "fails"), ("fails", "holds")):
        holds, fails = names if kinds[0] == "holds" else names[::-1]
        return f"Decided: {holds} holds, and {fails} fails."
    if kinds == ("fails", "fails"):
        return "Both fail: neither is right as it is stated."
    if kinds == ("holds", "holds"):
        return "Both hold, each under its own settings: these are what decides."
    if "holds only if" in kinds:
        rest = [f"{name} {kind}" for name, kind in zip(names, kinds, strict=True) if kind != "holds only if"]
        return "Decided by a condition" + (f"; {rest[0]}." if rest else " on both sides.")
    left = [name for name, kind in zip(names, kinds, strict=True) if kind == "open"]
    if len(left) == 2:
        return "Not decided: both are open."
    settled = next(i for i in (0, 1) if kinds[i] != "open")
    return f"Half decided: {names[settled]} {kinds[settled]}, and {left[0]} is open."


def _differences(a: Record, b: Record) -> dict[str, tuple[str, str]]:
    names = dict.fromkeys([*a["conditions"], *b["conditions"]])
    pairs = {name: (a["conditions"].get(name, "–"), b["conditions"].get(name, "–")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

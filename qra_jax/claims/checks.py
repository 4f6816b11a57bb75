"""What is wrong with records, in plain words: the schema, and what a schema cannot say."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from qra_jax.claims.changes import values
from qra_jax.claims.records import Record, flat, schema

COMBINED = ("any of: ", "not ", "(somewhere)", ": in every one")
"""In words of what was predicted: evidence that is decided otherwise than by the worst of its comparisons."""
OUTCOMES = {1: "holds", -1: "fails", 0: "is open"}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
      claim: the id of the record, or its number where it has none.
      field: where in the record, such as `"controls[0].verdict"`; empty for the record as a whole.
      what: what is wrong, and what would be right.
    """

    claim: str
    field: str
    what: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.claim, self.field, self.what) if part)


def validate(records: Iterable[Record], *, known: Collection[str] = ()) -> list[Fault]:
    """Check records against the schema, each other and themselves.

    Beyond the schema: ids occur once and begin with their study; conflicts name other claims that exist; a claim that
    is decided has a null control, or says why none, and its controls came out as they must; evidence is of one shape,
    an interval contains its estimate, and outcomes are what interval and region say; the verdict is what the outcomes
    say; only a claim of the literature has a paper, which can be found.

    Args:
      records: of claims, as of [`load`][qra_jax.claims.load].
      known: ids of further claims that conflicts may name.

    Returns:
      All that is wrong, in the order of the records; empty where nothing is.
    """
    records = list(records)
    ids = Counter(str(one.get("id")) for one in records)
    known = {*known, *ids}
    found: list[Fault] = []
    for number, one in enumerate(records):
        told, key = form(one, number), str(one.get("id"))
        if not told:  # the rest takes the form for granted
            more = dict.fromkeys([*_identity(one, known), *_controls(one), *_evidence(one), *_verdict(one)])
            told = [Fault(key, *pair) for pair in more]
        found += told
        if ids[key] > 1 and "id" in one:
            what = f"occurs {ids[key]} times; must be another one for each claim"
            found.append(Fault(_name(one, number), "id", what))
            ids[key] = 1  # said once
    return found


def form(one: Record, number: int) -> list[Fault]:
    """What is wrong with the form of a record: the schema, and numbers that are none.

    Args:
      one: of a claim.
      number: by which it is named if it has no id.
    """
    wrong = sorted(_judge().iter_errors(one), key=lambda error: [str(part) for part in error.absolute_path])
    told = dict.fromkeys(pair for error in wrong for pair in _of_schema(error)) if wrong else _numbers(one)
    return [Fault(_name(one, number), *pair) for pair in told]


def _name(one: Record, number: int) -> str:
    return one["id"] if isinstance(one.get("id"), str) and one["id"] else f"record {number}"


@functools.cache
def _judge() -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(schema())


def _of_schema(error: Any) -> Iterator[tuple[str, str]]:
    """What the schema complains of: field, words."""
    place = ""
    for part in error.absolute_path:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    inside = f"{place}." if place else ""
    kind, wanted, value = error.validator, error.validator_value, error.instance
    if kind == "required":
        yield from ((f"{inside}{name}", "is missing") for name in wanted if name not in value)
    elif kind == "additionalProperties":
        allowed = error.schema.get("properties", {})
        for name in value:
            if name not in allowed:
                yield f"{inside}{name}", f"is not known; must be one of {', '.join(allowed)}"
    elif kind in ("minLength", "minItems"):
        yield place, "is empty" if not value else f"has {len(value)}; must have {wanted} or more"
    elif kind == "type":
        names = " or ".join(_TYPES[one] for one in ([wanted] if isinstance(wanted, str) else wanted))
        yield place, f"{_brief(value)}; must be {names}"
    elif kind == "enum":
        yield place, f"{_brief(value)}; must be one of {', '.join(map(repr, wanted))}"
    elif kind == "pattern":
        yield place, f"{_brief(value)}; must have the form {wanted}"
    else:
        yield place, error.message


_TYPES = {
    "object": "an object",
    "null": "null",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _identity(one: Record, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Name, conflicts and origin."""
    if not one["id"].startswith(f"{one['study']}/"):
        yield "id", f"{one['id']!r}; must begin with the study, {one['study'] + '/'!r}"
    for other in one["conflicts_with"]:
        if other == one["id"]:
            yield "conflicts_with", "names the claim itself; must name another one"
        elif other not in known:
            yield "conflicts_with", f"{other!r}; there is no such claim"
    paper, kind = one["paper"], one["origin"]["kind"]
    if kind != "literature" and paper is not None:
        yield "paper", f"given with origin {kind!r}; must be null unless the claim is of the literature"
    if paper is not None and not (paper["authors"].strip() or paper["arxiv"]):
        yield "paper", "has neither authors nor an arXiv number; must have one of them"


def _controls(one: Record) -> Iterator[tuple[str, str]]:
    """Whether the controls allow the verdict."""
    verdict = one["verdict"]
    kinds = [control["kind"] for control in one["controls"]]
    if "null" not in kinds and not one["needs_no_control"].strip() and verdict != "open":
        yield (
            "controls",
            f"no null control, and {verdict!r}; must have one, or needs_no_control must say why not",
        )
    for i, control in enumerate(one["controls"]):
        came = control["verdict"]
        if control["kind"] == "null" and verdict in ("holds", "holds only if") and came != "fails":
            yield (
                f"controls[{i}].verdict",
                f"{came!r} in a null control of a claim that {verdict}; must be 'fails'",
            )
        if control["kind"] == "positive" and verdict in ("fails", "holds only if") and came != "holds":
            yield (
                f"controls[{i}].verdict",
                f"{came!r} in a positive control of a claim that {verdict}; must be 'holds'",
            )


def _numbers(one: Record) -> Iterator[tuple[str, str]]:
    """Whether evidence has numbers where it must, as many as belong together."""
    for i, part in enumerate(one["evidence"]):
        place, outcome = f"evidence[{i}]", part["outcome"]
        try:
            count = len(values(part))
        except (ValueError, TypeError):
            yield place, "estimate and both ends of the interval must be numbers, as many of each"
            continue
        try:
            [float(x) for x in flat(part["region"])]
        except (ValueError, TypeError):
            yield f"{place}.region", f"{_brief(part['region'])}; must be numbers"
        if isinstance(outcome, dict):  # of a large array
            if set(outcome) != {"holds", "fails", "open"} or not all(
                type(n) is int for n in outcome.values()
            ):
                yield f"{place}.outcome", "must count what holds, fails and is open"
            if count > 2:
                yield f"{place}.estimate", f"has {count}; must be two extremes where outcomes are counted"
            continue
        if not all(isinstance(labels, list) for labels in part["axes"].values()):
            yield f"{place}.axes", f"{_brief(part['axes'])}; must have a list for each axis"
        if len(flat(outcome)) != count:
            yield f"{place}.outcome", f"has {len(flat(outcome))} for {count} estimates; must have as many"
        elif not all(flag in (*OUTCOMES, "nan") for flag in flat(outcome)):
            yield f"{place}.outcome", f"{_brief(outcome)}; must be 1 (holds), -1 (fails) or 0 (open)"


def _evidence(one: Record) -> Iterator[tuple[str, str]]:
    """Intervals and outcomes."""
    named = list(dict.fromkeys(part["quantity"] for part in one["evidence"]))
    if one["quantities"] != named:
        yield "quantities", "are not those of the evidence; must be these, each once, in their order"
    for i, part in enumerate(one["evidence"]):
        place, rows = f"evidence[{i}]", values(part)
        for value, low, high in rows:
            if not any(map(math.isnan, (value, low, high))) and not low <= value <= high:
                what = f"{low:.6g} … {high:.6g} does not contain the estimate {value:.6g}"
                yield f"{place}.interval", f"{what}; must contain it"
                break
        yield from _outcome(part, rows, f"{place}.outcome")


def _outcome(part: Record, rows: list[tuple[float, float, float]], place: str) -> Iterator[tuple[str, str]]:
    """Whether outcomes are what interval and region say; not asked of large arrays, nor of bounds that vary."""
    if isinstance(part["outcome"], dict):
        return
    if any(isinstance(bound, list) for bound in part["region"]) or "never" in part["expectation"]:
        return  # one case refutes “never”
    bottom, top = map(float, part["region"])
    for flag, (value, low, high) in zip(flat(part["outcome"]), rows, strict=True):
        if not math.isfinite(value) and part["how"] != "exact":
            continue  # a sampled estimate that is no finite number says nothing
        if math.isnan(value) or low in (bottom, top) or high in (bottom, top):
            continue  # whether a bound belongs to the region is not recorded
        want = 1 if bottom < low and high < top else -1 if high < bottom or low > top else 0
        if flag != want:
            said = f"{flag} ({OUTCOMES.get(flag, 'unknown')}) for {value:.6g} ({low:.6g} … {high:.6g})"
            yield place, f"{said} and region {bottom:.6g} … {top:.6g}; must be {want} ({OUTCOMES[want]})"
            return


def _verdict(one: Record) -> Iterator[tuple[str, str]]:
    """Whether the verdict is what the outcomes say, where the worst of them decides."""
    verdict, said = one["verdict"], one["tolerance"]
    parts = said.split("; ")
    if any(part.startswith(COMBINED[:2]) for part in parts) or any(mark in said for mark in COMBINED[2:]):
        return
    counts = outcomes(one)
    told = f"but the evidence holds in {counts[1]} places, fails in {counts[-1]} and is open in {counts[0]}"
    possible = {
        "holds": not counts[-1] and not counts[0],
        "fails": counts[-1] > 0,
        "holds only if": counts[1] > 0 and counts[-1] > 0,
        "open": bool(one["reason"]) or counts[0] > 0,
    }
    if not possible[verdict]:
        hint = "; where a control leaves it open, reason must say so" if verdict == "open" else ""
        yield "verdict", f"{verdict!r}, {told}{hint}"


def outcomes(one: Record) -> Counter[int]:
    """In how many places the evidence of a record holds (1), fails (−1) and is open (0)."""
    counts: Counter[int] = Counter()
    for part in one["evidence"]:
        outcome = part["outcome"]
        if isinstance(outcome, dict):
            counts.update({1: outcome["holds"], -1: outcome["fails"], 0: outcome["open"]})
        else:
            counts.update(0 if flag == "nan" else int(flag) for flag in flat(outcome))
    return counts

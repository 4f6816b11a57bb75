"""Trees in plain data: nested dictionaries, checked and listed breadth first; needs no JAX.

A complaint is one line: `tree` or a file, the name of the state, the value, what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

KEYS = ("name", "chance", "success", "length", "process", "steps")
"""What a state may have."""
MOST_STATES = 100_000
"""States up to which a tree is enumerated."""
MOST_DEPTH = 200
"""Steps of the longest path up to which a tree is enumerated: every depth is compiled by itself."""
SUM_TOLERANCE = 1e-3
"""Chances of a state may miss a sum of one by this much."""
ELSEWHERE = "must be fewer to be enumerated, for longer chains sample a network (qra_jax.transformer)"


class Listed(NamedTuple):
    """A tree in lists, states breadth first, step j leading into state j + 1."""

    children: tuple[int, ...]
    """Number of steps out of each state."""
    names: tuple[str, ...]
    """Names of the states, all different."""
    chance: list[float]
    """Of each step, given the state that it starts from."""
    success: list[float]
    """Of each leaf."""
    length: list[float] | None
    """Of each step, in tokens."""
    process: list[float] | None
    """Process reward of each step."""


def check(question: Any, source: str = "tree") -> Listed:
    """Check every number of a tree of nested mappings.

    Args:
      question: as for [`Tree.from_nested`][qra_jax.tree.Tree.from_nested].
      source: what complaints begin with.

    Returns:
      The tree.

    Raises:
      ValueError: no tree, or a number out of range; the line names the state.
    """
    complain = _Complaint(source)
    nodes, origin, names = [question], [-1], [_name(question, "question", "", set())]
    counts: list[int] = []
    depth, place_of, taken = [0], {id(question): 0}, set(names)
    for place, node in enumerate(nodes):  # grows while it is walked: breadth first
        steps = _steps(node, place, names[place], complain)
        for i, step in enumerate(steps):
            if id(step) in place_of:
                raise complain(names[place], _again(step, i, place, place_of, origin, names))
            place_of[id(step)] = len(nodes)
            nodes.append(step)
            origin.append(place)
            depth.append(depth[place] + 1)
            names.append(_name(step, f"{names[place] + '.' if place else 'step '}{i}", names[place], taken))
            taken.add(names[-1])
        counts.append(len(steps))
        if depth[-1] > MOST_DEPTH:
            raise complain(names[-1], f"more than {MOST_DEPTH} steps from the question; {ELSEWHERE}")
        if len(nodes) > MOST_STATES:
            raise complain(names[place], f"more than {MOST_STATES} states with its steps; {ELSEWHERE}")
    chance = _chances(counts, [node.get("chance") for node in nodes], names, complain)
    reached = [1.0] * len(nodes)
    for state in range(1, len(nodes)):
        reached[state] = chance[state - 1] if reached[origin[state]] else 0.0
        if not counts[state] and not reached[state]:
            raise complain(names[state], "has no chance of being reached; must have one, or be left out")
    return Listed(
        tuple(counts),
        tuple(names),
        chance,
        [
            complain.number(node["success"], "success", name, 0.0, 1.0)
            for node, name, count in zip(nodes, names, counts, strict=True)
            if not count
        ],
        _optional(nodes, "length", names, complain),
        _optional(nodes, "process", names, complain),
    )


class _Complaint:
    """A `ValueError` that begins with the source and the state."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __call__(self, where: str, what: str) -> ValueError:
        where = where if len(where) <= 60 else f"{where[:28]} … {where[-28:]}"
        return ValueError(f"{self.source}: {where}: {what}")

    def number(self, value: Any, what: str, where: str, low: float, high: float) -> float:
        """A finite number, in a closed range, or above `low` where `high` is infinite."""
        known = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
        bounded = math.isfinite(high)
        if not known or not (low <= value <= high if bounded else low < value):
            allowed = f"a number above {low:g} and finite" if math.isfinite(low) else "a finite number"
            hint = " (divide by 100?)" if known and bounded and 2 <= value <= 100 else ""
            allowed = f"a number in [{low:g}, {high:g}]{hint}" if bounded else allowed
            raise self(where, f"{what} {_short(value)}; must be {allowed}")
        return float(value)


def _steps(node: Any, place: int, where: str, complain: _Complaint) -> Sequence[Any]:
    """The steps out of a state, which is one or a leaf."""
    if not isinstance(node, Mapping):
        raise complain(where, f"{_short(node)}; must be a mapping with the keys {', '.join(KEYS)}")
    known = KEYS if place else ("name", "steps")
    for key in node:
        if key not in known and (place or key != "success"):
            raise complain(where, f"{_short(key)}; must be one of {', '.join(known)}")
    steps = node.get("steps") or []
    if not isinstance(steps, Sequence) or isinstance(steps, (str, bytes)):
        raise complain(where, f"steps {_short(steps)}; must be a list")
    answers = "success" in node
    if answers == bool(steps) or (answers and not place):
        has = ("both steps and" if steps else "no steps but") if answers else "neither steps nor"
        allowed = "must have one of the two" if place else "must have steps and no success"
        raise complain(where, f"has {has} success; {allowed}")
    return steps


def _again(
    step: Any, i: int, place: int, place_of: dict[int, int], origin: list[int], names: list[str]
) -> str:
    """What is wrong with a step that has been listed already."""
    first, above = place_of[id(step)], place
    while above > first:
        above = origin[above]
    if above == first:
        return f"its step {i} leads back to {names[first]}; must be a tree, in which no step leads back"
    if origin[first] == place:
        return f"its step {i} is the same as one before it; must be a tree, so write it twice"
    other = names[origin[first]]
    return f"its step {i} is reached from two states, {other} is the other; must be a tree, so write it twice"


def _name(node: Any, fallback: str, parent: str, taken: set[str]) -> str:
    """The given name, with its parent's before it where the name is taken; numbers of steps where none is given."""
    name = node.get("name") if isinstance(node, Mapping) else None
    if name is None:
        return fallback if fallback not in taken else f"{fallback} ({parent})"
    for one in (str(name), f"{parent} › {name}"):
        if one not in taken:
            return one
    return f"{parent} › {name} ({fallback})"


def _chances(counts: list[int], given: list[Any], names: list[str], complain: _Complaint) -> list[float]:
    """Chances of all steps, normalised in each state; equal ones in a state that has none."""
    chances: list[float] = []
    for state, count in enumerate(counts):
        steps = slice(1 + len(chances), 1 + len(chances) + count)
        if not count or all(value is None for value in given[steps]):
            chances += [1 / count for _ in range(count)]
            continue
        known = [
            complain.number(value, "chance", name, 0.0, 1.0)
            for value, name in zip(given[steps], names[steps], strict=True)
        ]
        total = math.fsum(known)
        if abs(total - 1) > SUM_TOLERANCE:
            raise complain(
                names[state],
                f"chances of its steps sum to {total:.6g}; must sum to 1 within {SUM_TOLERANCE:g}",
            )
        chances += [chance / total for chance in known]
    return chances


def _optional(nodes: list[Any], what: str, names: list[str], complain: _Complaint) -> list[float] | None:
    """A number of each step, where there is any."""
    values = [node.get(what) for node in nodes[1:]]
    if all(value is None for value in values):
        return None
    for value, name in zip(values, names[1:], strict=True):
        if value is None:
            raise complain(name, f"no {what}; must have one, as other steps do")
    low = 0.0 if what == "length" else -math.inf
    return [
        complain.number(value, what, name, low, math.inf)
        for value, name in zip(values, names[1:], strict=True)
    ]


def _short(value: Any) -> str:
    """A value in a few words, also where it holds itself."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"

"""Which recipe to train with, looked up in the map that the study `which-recipe` measured; needs no JAX.

The map has a cell for each coverage of the base (pass@k), number of demonstrations at hand and budget in sequences: the
recipe with the best accuracy, the next one, and the paired difference of both over networks. It was measured on small
decoders; a question outside it is told the nearest cell, and that it is outside.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

FILE = "recipes.json"
APART = 1.0
"""Log odds of pass@k by which a base may differ from the nearest of the map, on average over k."""
TIMES = 4.0
"""Factor by which demonstrations and budget may differ from the nearest of the map."""


@dataclass(frozen=True)
class Recommendation:
    """What the map says.

    Attributes:
      recipe: the best one of the nearest cell.
      accuracy: pass@1 after it.
      second: the next best.
      difference: of their accuracies, mean over networks.
      interval: of that difference, at 95 %.
      decided: whether the interval leaves out zero; if not, either may be better.
      pass_at: pass@k of the bases of this cell, at the k that were asked for.
      demonstrations: of this cell.
      rollouts: budget of this cell, sequences that were sampled or read.
      outside: in words, where the question is outside the map; empty: within.
      source: study, networks and number of seeds.
    """

    recipe: str
    accuracy: float
    second: str
    difference: float
    interval: tuple[float, float]
    decided: bool
    pass_at: dict[int, float]
    demonstrations: int
    rollouts: int
    outside: tuple[str, ...]
    source: str

    def plain(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self) | {"recommended": self.recipe if self.decided else "undecided"}

    def lines(self) -> list[str]:
        """Three sentences at most."""
        low, high = self.interval
        gap = f"{self.difference:.2g} ({low:.2g} … {high:.2g})"
        said = (
            f"Recipe: {self.recipe}, ahead of {self.second} by {gap} in accuracy, which ends at {self.accuracy:.2g}."
            if self.decided
            else f"Recipe: undecided between {self.recipe} and {self.second}, apart by {gap} in accuracy."
        )
        bases = ", ".join(f"pass@{k} {value:.2g}" for k, value in self.pass_at.items())
        cell = f"Measured at {bases}, {self.demonstrations} demonstrations, {self.rollouts} rollouts"
        cell += f". Outside the map: {'; '.join(self.outside)}." if self.outside else ", the nearest cell."
        return [said, cell, f"Source: {self.source}; not your model."]


@cache
def _map() -> dict[str, Any]:
    return json.loads(resources.files("qra_jax.consult").joinpath(FILE).read_text("utf-8"))


def recommend(
    pass_at: Mapping[int, float], *, demonstrations: int = 0, rollouts: float | int | None = None
) -> Recommendation:
    """The recipe of the nearest cell of the map.

    Args:
      pass_at: pass@k of the base by k ≥ 1, in [0, 1]; one or more.
      demonstrations: different questions with a solution at hand, ≥ 0.
      rollouts: the budget in sequences, sampled or read, > 0; default: the largest that was run.

    Returns:
      The `Recommendation`.

    Raises:
      ValueError: an argument out of range.

    >>> found = recommend({1: 0.2, 16: 0.8}, demonstrations=256)
    >>> found.demonstrations, found.outside
    (256, ())
    """
    _check(pass_at, demonstrations, rollouts)
    made = _map()
    far = [_far(pass_at, level["pass_at"]) for level in made["levels"]]
    level = int(np.argmin(far))
    hands, budgets = made["demonstrations"], made["rollouts"]
    hand = _nearest(demonstrations, hands)
    asked = budgets[-1] if rollouts is None else rollouts
    budget = _nearest(asked, budgets)
    outside, at = [], made["levels"][level]["pass_at"]
    if far[level] > APART:
        outside.append("no base had such pass@k")
    if demonstrations and _times(demonstrations, hands[hand]) > TIMES:
        outside.append(f"{demonstrations} demonstrations")
    if _times(asked, budgets[budget]) > TIMES:
        ratio = asked / budgets[budget]
        side = f"{ratio:,.0f} × the largest" if ratio > 1 else f"{ratio:.2g} of the smallest"
        outside.append(f"your budget is {side} that was run")
    cell = made["cells"][hand][level][budget]
    return Recommendation(
        recipe=cell["best"],
        accuracy=cell["accuracy"],
        second=cell["second"],
        difference=cell["difference"],
        interval=(cell["interval"][0], cell["interval"][1]),
        decided=cell["interval"][0] > 0,
        pass_at={k: _at(at, k) for k in sorted(pass_at)},
        demonstrations=hands[hand],
        rollouts=budgets[budget],
        outside=tuple(outside),
        source=made["source"]["said"],
    )


def _check(pass_at: Mapping[int, float], demonstrations: int, rollouts: float | int | None) -> None:
    if not pass_at:
        raise ValueError("pass_at: empty; must have one k or more")
    for k, value in pass_at.items():
        if k < 1:
            raise ValueError(f"pass_at: k = {k}; must be 1 or above")
        if not 0 <= value <= 1:
            raise ValueError(f"pass_at: {value:g} at k = {k}; must be in [0, 1]")
    if demonstrations < 0:
        raise ValueError(f"demonstrations: {demonstrations}; must be 0 or above")
    if rollouts is not None and not (rollouts > 0 and math.isfinite(rollouts)):
        raise ValueError(f"rollouts: {rollouts:g}; must be above 0, and finite")


def _far(asked: Mapping[int, float | int], known: Mapping[str, float]) -> float:
    """Mean distance in log odds over the k that are asked for."""
    return float(np.mean([abs(_logit(value) - _logit(_at(known, k))) for k, value in asked.items()]))


def _at(known: Mapping[str, float], k: int) -> float:
    """Pass@k of a base, between the k that are known by a line in log k and log odds; beyond them, the last one."""
    at = sorted((int(one), value) for one, value in known.items())
    odds = np.interp(math.log(k), [math.log(one) for one, _ in at], [_logit(value) for _, value in at])
    return float(1 / (1 + np.exp(-odds)))


def _logit(share: float | int) -> float:
    share = min(max(share, 1e-6), 1 - 1e-6)
    return math.log(share / (1 - share))


def _nearest(asked: float | int, known: list[int]) -> int:
    """Position of the nearest by ratio; only none is near none."""
    if asked == 0:
        return known.index(0)
    return min((i for i, one in enumerate(known) if one), key=lambda i: _times(asked, known[i]))


def _times(one: float | int, other: float | int) -> float:
    return max(one / other, other / one)

"""Axes of a sweep: what varies, over which values, and whether a new value compiles a new program."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import numpy as np

from qra_jax import _check, parts
from qra_jax._identity import content

SCALES = ("linear", "log")


@dataclass(frozen=True)
class Axis:
    """One thing that varies: over given values, over a range, or over replicas.

    Give exactly one of `values`, `low` with `high`, and `seeds`. Values that are all floating-point numbers are
    traced: they share one compiled program. Others (names, tables, whole numbers, which may set shapes) are
    categorical: one program each.

    Attributes:
      name: of the dimension and coordinate; default: the last name of the path.
      path: dotted path into the specification (`problem.gamma`, `algorithm.q`, `task.learning_rate`,
        `problem.ref[0]`); the name, for a sweep of a function.
      values: list of values.
      low: least value of a range.
      high: greatest value, above `low`.
      points: number of values in the range, ends included; only in a grid.
      scale: `"linear"` or `"log"`, how a range is spaced or drawn.
      seeds: number of replicas, which differ in their random key alone.
      unit: of the values.
      long_name: what figures call it.
      static: overrides whether whole or floating-point `values` are categorical.

    Raises:
      ValueError: nothing or too much given, an empty or non-finite range, a number that is not finite.

    >>> Axis("eta", low=0.1, high=10, points=3, scale="log").numbers.tolist()
    [0.1, 1.0, 10.0]
    """

    name: str = ""
    path: str | None = None
    values: Sequence[Any] | np.ndarray | None = None
    low: float | int | None = None
    high: float | int | None = None
    points: int | None = None
    scale: str = "linear"
    seeds: int | None = None
    unit: str = ""
    long_name: str = ""
    static: bool | None = None

    def __post_init__(self) -> None:
        if not self.name and self.path:
            object.__setattr__(self, "name", ["", *re.findall(r"[A-Za-z_]\w*", self.path)][-1])
        where = f"axis {self.name!r}"
        given = [
            self.values is not None,
            self.low is not None or self.high is not None,
            self.seeds is not None,
        ]
        if sum(given) != 1:
            raise ValueError(f"{where}: give one of values, low and high, seeds")
        if self.seeds is not None:
            _check.integer(f"{where}: seeds", self.seeds, low=1)
        elif self.values is not None:
            values = self.values.tolist() if isinstance(self.values, np.ndarray) else list(self.values)
            if not values:
                raise ValueError(f"{where}: values is empty; must hold at least one")
            object.__setattr__(self, "values", tuple(values))
            seen = set()
            for value in values:
                number = isinstance(value, Real) and not isinstance(value, bool)
                told = value if number else json.dumps(content(value), sort_keys=True, default=str)
                if told in seen:
                    raise ValueError(f"{where}: value {label(value)} is given twice")
                seen.add(told)
            if not self.categorical:
                _check.finite(f"{where}: values", values)
        else:
            self._check_range(where)

    def _check_range(self, where: str) -> None:
        _check.choice(f"{where}: scale", self.scale, SCALES)
        if self.low is None or self.high is None:
            raise ValueError(f"{where}: low = {self.low}, high = {self.high}; a range needs both")
        for name, end in (("low", self.low), ("high", self.high)):
            (_check.positive if self.scale == "log" else _check.finite)(f"{where}: {name}", end)
        if not self.low < self.high:
            raise ValueError(f"{where}: low = {self.low}, high = {self.high}; high must be above low")
        if self.points is not None:
            _check.integer(f"{where}: points", self.points, low=1)

    @property
    def categorical(self) -> bool:
        """Whether every value is compiled on its own."""
        if self.values is None:
            return False
        numbers = all(isinstance(value, Real) and not isinstance(value, bool) for value in self.values)
        if not numbers or self.static is not None:
            return self.static is not False or not numbers
        return all(isinstance(value, (int, np.integer)) for value in self.values)

    @property
    def ranged(self) -> bool:
        """Whether it is a range, which random and Sobol sweeps draw from."""
        return self.low is not None

    @property
    def numbers(self) -> np.ndarray:
        """`[points]`, the values of a traced axis, or the numbers of its replicas."""
        if self.seeds is not None:
            return np.arange(self.seeds)
        if self.values is not None:
            return np.asarray(self.values, float)
        space = np.geomspace if self.scale == "log" else np.linspace
        return space(*self.ends, self.length)

    @property
    def length(self) -> int:
        """How many values it has in a grid."""
        length = len(self.values) if self.values is not None else self.seeds or self.points
        if length is None:
            raise ValueError(f"axis {self.name!r}: points is missing; a range in a grid needs it")
        return length

    @property
    def ends(self) -> tuple[float, float]:
        """Least and greatest value of a range."""
        assert self.low is not None
        assert self.high is not None
        return float(self.low), float(self.high)

    def scaled(self, unit: np.ndarray) -> np.ndarray:
        """Draws from the range, given draws from [0, 1)."""
        low, high = self.ends
        if self.scale == "log":
            return np.clip(np.exp(np.log(low) + unit * np.log(high / low)), low, high)
        return low + unit * (high - low)

    @property
    def coordinate(self) -> np.ndarray:
        """`[values]`, what the dimension's coordinate holds: numbers, or labels of categorical values."""
        if not self.categorical:
            return self.numbers
        assert self.values is not None
        if all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in self.values):
            return np.asarray(self.values, np.int64)
        return np.asarray(labels(self.values), object)

    @property
    def attributes(self) -> dict[str, str]:
        """`units`, `long_name` and the like, where known."""
        scale = self.scale if self.ranged else ""
        found = {"units": self.unit, "long_name": self.long_name, "path": self.path or "", "scale": scale}
        return {name: text for name, text in found.items() if text}

    def table(self) -> dict[str, Any]:
        """Plain data that says the same."""
        table = {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if getattr(self, one.name) != one.default
        }
        if self.values is not None:
            table["values"] = [content(value) for value in self.values]
        return table


def from_table(table: Mapping[str, Any], where: str = "axis") -> Axis:
    """An axis from the plain data of a `[[axis]]` table.

    Raises:
      ValueError: unknown keys, neither name nor path, or as for [`Axis`][].
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"{where}: {table!r}; must be a table")
    parts.check_keys(where, table, [one.name for one in fields(Axis)])
    given = table.get("name") or table.get("path")
    if not isinstance(given, str) or not isinstance(table.get("name", ""), str):
        raise ValueError(f"{where}: name is missing; give a name or a path")
    where = f"axis {given!r}"
    for key, kind in (("path", str), ("unit", str), ("long_name", str), ("values", list), ("static", bool)):
        if key in table and not isinstance(table[key], kind):
            raise ValueError(f"{where}: {key} = {table[key]!r}; must be a {kind.__name__}")
    return Axis(**table)


def label(value: Any) -> str:
    """A short name of a categorical value."""
    if isinstance(value, Mapping):
        rest = [f"{key}={label(one)}" for key, one in value.items() if key != "name"]
        return " ".join(map(str, [*([value["name"]] if "name" in value else []), *rest]))
    named = getattr(value, "name", None) or getattr(value, "__name__", None) or str(value)
    return type(value).__name__ if " at 0x" in str(named) else str(named)


def labels(values: Sequence[Any] | np.ndarray) -> list[str]:
    """A name for each of some values, all different: short where that will do, else with a part's arguments."""
    found = [label(value) for value in values]
    if len({*found}) < len(found):
        told = [content(value) for value in values]
        found = [label(one) if isinstance(one, dict) else name for one, name in zip(told, found, strict=True)]
    count = Counter(found)
    return [f"{name} ({i})" if count[name] > 1 else name for i, name in enumerate(found)]

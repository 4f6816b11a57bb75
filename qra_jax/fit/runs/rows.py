"""Rows of a log as they are read: kept by column, numbers as numbers, and of texts only those that name something."""

from __future__ import annotations

import math
import random
import re
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from qra_jax.fit.runs import cells, keys

NAMES = frozenset([*keys.QUESTIONS, *keys.RUNS, *keys.PARTS, "revision", "checkpoint"]) - {"seed"}
"""Columns whose texts are kept: they name a run, a question, a checkpoint or a part of the data."""
WRAPPERS = frozenset(("data", "metrics", "log", "logs", "scalars"))
"""Objects in a row whose keys stand for themselves."""
LISTS = re.compile(r"(rewards?|scores?|correct|accs?|accuracy|results?)$", re.IGNORECASE)
"""Lists that are read: of one number for each rollout."""
COUNT = " · rollouts"
"""Ending of the column with the lengths of such lists."""
LONGEST, MOST = 80, 1 << 16
"""Characters of a name that are kept; different names of a column, the last of which stands for all others."""
LARGEST_CELLS, LARGEST_ROWS = 1 << 22, 1 << 20
"""Numbers of all columns, and rows, that are kept: of more, columns that may be needed, and a part of the rows."""


@dataclass(frozen=True)
class Names:
    """Texts of a column.

    Attributes:
      code: `[rows]`, which of the texts; -1 where there is none.
      texts: each text once, the beginning of long ones.
    """

    code: np.ndarray
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Log:
    """A file of measurements.

    Attributes:
      path: for complaints and headings.
      kind: what it was recognised as, in words.
      numbers: `[rows]` by column, NaN where missing.
      names: texts by column.
      lines: `[rows]`, line in the file.
      skipped: lines that hold nothing that can be read.
      notes: what a reader should know of the file.
      odd: by column the first text in it that is no number and names nothing, with its line.
      hundredths: columns whose cells have a sign of per cent.
      dropped: columns that were too many to be kept.
    """

    path: str
    kind: str
    numbers: dict[str, np.ndarray]
    names: dict[str, Names]
    lines: np.ndarray
    skipped: int = 0
    notes: tuple[str, ...] = ()
    odd: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    hundredths: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.lines)

    def rows(self, keep: np.ndarray) -> Log:
        """Some of the rows.

        Args:
          keep: `[rows]` of booleans, or indices.
        """
        numbers = {name: values[keep] for name, values in self.numbers.items()}
        names = {name: Names(one.code[keep], one.texts) for name, one in self.names.items()}
        return replace(self, numbers=numbers, names=names, lines=self.lines[keep])


@dataclass
class Rows:
    """A log while it is read; columns may begin late and have gaps.

    Attributes:
      wanted: columns that are kept in any case.
    """

    wanted: Collection[str] = ()
    lines: array[int] = field(default_factory=lambda: array("q"))
    numbers: dict[str, array[float]] = field(default_factory=dict)
    codes: dict[str, array[int]] = field(default_factory=dict)
    texts: dict[str, dict[Any, int]] = field(default_factory=dict)
    begins: dict[str, list[str]] = field(default_factory=dict)
    skipped: int = 0
    odd: dict[str, tuple[int, str]] = field(default_factory=dict)
    hundredths: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    narrow: bool = False
    share: float = 1.0
    random: random.Random = field(default_factory=lambda: random.Random(0))

    def add(self, row: Mapping[str, Any], line: int) -> None:
        """One more row, of numbers, texts, lists and objects by name."""
        size = len(self.lines) * len(self.numbers)
        if size > LARGEST_CELLS and not self.narrow:
            self._narrow()
        elif size > 4 * LARGEST_CELLS or len(self.lines) >= LARGEST_ROWS:
            self._thin()
        number = len(self.lines)
        self.lines.append(line)
        for name, value in flat(row):
            if name in self.dropped:
                continue
            kind = type(value)
            if kind is float or kind is int or kind is bool:
                self._number(name, number, value)
            elif kind is str:
                self._text(name, number, value)
            elif kind is list and value and LISTS.search(name):
                each = [v for v in value if type(v) in (int, float, bool)]
                if len(each) == len(value):
                    self._number(name, number, math.fsum(each) / len(each))
                    self._number(name + COUNT, number, len(each))

    def passes(self) -> bool:
        """Whether the next line is left out, unread: of many rows a random part is kept."""
        return self.share < 1 and self.random.random() >= self.share

    def _thin(self) -> None:
        """Every row is kept with a chance of one half."""
        self._fill()
        keep = np.random.default_rng(len(self.lines)).random(len(self.lines)) < 0.5
        for column in [self.lines, *self.numbers.values(), *self.codes.values()]:
            kept = np.frombuffer(column, column.typecode)[keep].tobytes()
            del column[:]
            column.frombytes(kept)
        self.share /= 2

    def _narrow(self) -> None:
        """Columns that nobody may need are dropped."""
        self.narrow = True
        for name in [name for name in self.numbers if not self._needed(name)]:
            self.dropped.add(name)
            del self.numbers[name]

    def _needed(self, name: str) -> bool:
        return name.lower() in {one.lower() for one in self.wanted} or keys.needed(name.removesuffix(COUNT))

    def _number(self, name: str, row: int, value: float | int) -> None:
        column = self.numbers.get(name)
        if column is None:
            if self.narrow and not self._needed(name):
                self.dropped.add(name)
                return
            column = self.numbers[name] = array("d")
        gap = row - len(column)
        if gap > 0:
            column.extend([math.nan] * gap)
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
        if gap < 0:
            column[row] = value
        else:
            column.append(value)

    def _text(self, name: str, row: int, text: str) -> None:
        names = name.rsplit("/", 1)[-1].lower() in NAMES
        if len(text) <= LONGEST:
            text = text.strip()
            if cells.is_missing(text):
                return
            value = cells.parsed(text)
            if value is not None:
                self._number(name, row, value)
                if text.endswith("%"):
                    self.hundredths.add(name)
            elif name not in self.codes:
                self.odd.setdefault(name, (self.lines[row], text[:40]))
            names = names or cells.names_step(text)
        if not names:
            return
        column = self.codes.setdefault(name, array("i"))
        known, begins = self.texts.setdefault(name, {}), self.begins.setdefault(name, [])
        key = text if len(text) <= LONGEST else hash(text)
        code = known.get(key, -1)
        if code < 0:
            code = min(len(known), MOST)
            if len(known) < MOST:
                known[key] = code
                begins.append(text[:LONGEST])
            elif len(begins) == MOST:
                begins.append("others")
        column.extend([-1] * (row - len(column)))
        if len(column) > row:
            column[row] = code
        else:
            column.append(code)

    def _fill(self) -> None:
        """All columns as long as the rows."""
        number = len(self.lines)
        for column in self.numbers.values():
            column.extend([math.nan] * (number - len(column)))
        for code in self.codes.values():
            code.extend([-1] * (number - len(code)))

    def done(self, path: str, kind: str, notes: tuple[str, ...] = (), *, trainer: bool = False) -> Log:
        """All that was read; with `trainer`, the kind says whose it is, where the names of columns tell."""
        who = keys.trainer([*self.numbers, *self.dropped]) if trainer else None
        self._fill()
        if self.dropped:
            notes += (f"{len(self.dropped)} columns of no use for a curve are not kept of so large a file",)
        if self.share < 1:
            notes += (f"of so many rows a random part of 1/{1 / self.share:.0f} is read",)
        return Log(
            path,
            f"{kind} of {who}" if who else kind,
            {name: _array(column) for name, column in self.numbers.items()},
            {name: Names(_array(code), tuple(self.begins[name])) for name, code in self.codes.items()},
            _array(self.lines),
            self.skipped,
            notes,
            self.odd,
            frozenset(self.hundredths),
            frozenset(self.dropped),
        )


def _array(column: array) -> np.ndarray:
    return np.frombuffer(column, column.typecode) if column else np.zeros(0, column.typecode)


def flat(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of a row, objects in it taken apart: `{"a": {"b": 1}}` is `a/b`."""
    for name, value in row.items():
        if type(value) is dict:
            yield from flat(value, above if name in WRAPPERS else f"{above}{name}/")
        else:
            yield above + name, value

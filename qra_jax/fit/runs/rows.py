"""Rows of a log as they are read: kept by column, numbers as numbers, and of texts only those that name something."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from qra_jax.fit.runs import keys

NAMES = frozenset(
    [
        "prompt_id",
        "question_id",
        "problem_id",
        "sample_id",
        "uid",
        "id",
        "index",
        "prompt",
        "question",
        "problem",
        "input",
        "run",
        "run_name",
        "run_id",
        "experiment",
        "revision",
        "checkpoint",
        "split",
        "phase",
        "stage",
        "mode",
        "set",
        "subset",
    ]
)
"""Columns whose texts are kept: they name a run, a question, a checkpoint or a part of the data."""
WRAPPERS = frozenset(("data", "metrics", "log", "logs", "scalars"))
"""Objects in a row whose keys stand for themselves."""
LISTS = re.compile(r"(rewards?|scores?|correct|accs?|accuracy|results?)$", re.IGNORECASE)
"""Lists that are read: of one number for each rollout."""
COUNT = " · rollouts"
"""Ending of the column with the lengths of such lists."""
MISSING = frozenset(("", "na", "nan", "null", "none", "n/a", "-"))
LONGEST = 80
"""Characters of a name that are kept."""


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
    """

    path: str
    kind: str
    numbers: dict[str, np.ndarray]
    names: dict[str, Names]
    lines: np.ndarray
    skipped: int = 0
    notes: tuple[str, ...] = ()
    odd: Mapping[str, tuple[int, str]] = field(default_factory=dict)

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
    """A log while it is read; columns may begin late and have gaps."""

    lines: array[int] = field(default_factory=lambda: array("q"))
    numbers: dict[str, array[float]] = field(default_factory=dict)
    codes: dict[str, array[int]] = field(default_factory=dict)
    texts: dict[str, dict[Any, int]] = field(default_factory=dict)
    begins: dict[str, list[str]] = field(default_factory=dict)
    skipped: int = 0
    odd: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any], line: int) -> None:
        """One more row, of numbers, texts, lists and objects by name."""
        number = len(self.lines)
        self.lines.append(line)
        for name, value in flat(row):
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

    def _number(self, name: str, row: int, value: float | int) -> None:
        column = self.numbers.get(name)
        if column is None:
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
        text = text.strip()
        if len(text) <= 40:
            if text.lower() in MISSING:
                return
            value = parsed(text)
            if value is not None:
                self._number(name, row, value)
            elif name not in self.codes:
                self.odd.setdefault(name, (self.lines[row], text))
        if name.rsplit("/", 1)[-1].lower() in NAMES or _numbered(name, text):
            column = self.codes.setdefault(name, array("q"))
            known = self.texts.setdefault(name, {})
            key = text if len(text) <= LONGEST else hash(text)
            code = known.setdefault(key, len(known))
            if code == len(self.begins.setdefault(name, [])):
                self.begins[name].append(text[:LONGEST])
            column.extend([-1] * (row - len(column)))
            if len(column) > row:
                column[row] = code
            else:
                column.append(code)

    def done(self, path: str, kind: str, notes: tuple[str, ...] = (), *, trainer: bool = False) -> Log:
        """All that was read; with `trainer`, the kind says whose it is, where the names of columns tell."""
        who = keys.trainer(self.numbers) if trainer else None
        kind = f"{kind} of {who}" if who else kind
        number = len(self.lines)
        numbers = {}
        for name, column in self.numbers.items():
            column.extend([math.nan] * (number - len(column)))
            numbers[name] = np.frombuffer(column, float) if number else np.zeros(0)
        names = {}
        for name, code in self.codes.items():
            code.extend([-1] * (number - len(code)))
            names[name] = Names(np.frombuffer(code, np.int64), tuple(self.begins[name]))
        lines = np.frombuffer(self.lines, np.int64) if number else np.zeros(0, np.int64)
        return Log(path, kind, numbers, names, lines, self.skipped, notes, self.odd)


def flat(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of a row, objects in it taken apart: `{"a": {"b": 1}}` is `a/b`."""
    for name, value in row.items():
        if type(value) is dict:
            yield from flat(value, above if name in WRAPPERS else f"{above}{name}/")
        else:
            yield above + name, value


def parsed(text: str) -> float | None:
    """A text as a number: also `37.5%`, `1,234.5` and what NumPy and PyTorch print; none where it is no number.

    >>> parsed("37.5%"), parsed("tensor(0.5)"), parsed("step_0100")
    (37.5, 0.5, None)
    """
    try:
        return float(text)
    except ValueError:
        pass
    bare = re.fullmatch(r"(?:np\.float\d+|tensor|array)\(([-+.\deEinfa]+)[^()]*\)", text)
    bare = bare[1] if bare else text.removesuffix("%")
    if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?", bare):
        bare = bare.replace(",", "")
    try:
        return None if bare == text else float(bare)
    except ValueError:
        return None


def _numbered(name: str, text: str) -> bool:
    """Whether a text is the number of a step in words, such as `step_0100` or `checkpoint-20`, or of a bin, `1–80`."""
    return len(text) <= 40 and bool(STEP.search(text) or BIN.fullmatch(text)) and not parsed(text)


STEP = re.compile(
    r"(?:^|[-_/ ])(?:global_)?(?:step|ckpt|checkpoint|iter|iteration|epoch|update)s?[-_ ]?(\d+)", re.I
)
"""A checkpoint by its name."""
BIN = re.compile(r"(\d+)\s*(?:-|–|—|to|\.\.)\s*(\d+)")
"""Steps from … to …."""

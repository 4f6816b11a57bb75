"""Histories of many questions: how many of each group of rollouts were right, visit by visit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qra_jax._files import Table, read_csv
from qra_jax.fit.runs.rows import MISSING

LARGEST_GROUP = 256
"""Largest group size that is looked for in the values."""
VISIT = re.compile(r"visit[_ ]?(\d+)$", re.IGNORECASE)
"""Names of the columns that are visits."""


@dataclass(frozen=True)
class Histories:
    """Counts of right answers over the visits of each question.

    Attributes:
      correct: `[questions, visits]`, right rollouts k in 0 … G; 0 where missing.
      seen: `[questions, visits]`, which entries are there.
      group_size: G ≥ 1, rollouts of a visit.
      names: `[questions]`.

    Raises:
      ValueError: shapes that differ, G < 1, counts outside 0 … G, no question or no visit.
    """

    correct: np.ndarray
    seen: np.ndarray
    group_size: int
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.correct.ndim != 2 or not self.correct.size:
            raise ValueError(f"correct: shape {self.correct.shape}; must be [questions, visits], not empty")
        if self.seen.shape != self.correct.shape or len(self.names) != len(self.correct):
            raise ValueError(f"seen, names: must have the shape {self.correct.shape} and length of correct")
        if self.group_size < 1:
            raise ValueError(f"group_size: {self.group_size}; must be 1 or above")
        if not ((self.correct >= 0) & (self.correct <= self.group_size)).all():
            raise ValueError(f"correct: counts must be in 0 … group_size = {self.group_size}")

    @property
    def questions(self) -> int:
        """Number of questions."""
        return self.correct.shape[0]

    @property
    def visits(self) -> int:
        """Number of visits of the question with most."""
        return self.correct.shape[1]

    def accuracy(self, visits: slice = slice(None)) -> np.ndarray:
        """Accuracy of each question over some visits, `[questions]`; NaN where none of them was seen."""
        tries = self.group_size * self.seen[:, visits].sum(axis=1)
        right = (self.correct * self.seen)[:, visits].sum(axis=1)
        return np.divide(right, tries, out=np.full(len(tries), np.nan), where=tries > 0)

    def part(self, questions: np.ndarray | slice = slice(None), visits: slice = slice(None)) -> Histories:
        """Some of the questions, over some of the visits."""
        names = tuple(np.array(self.names, object)[questions])
        correct, seen = (array[questions][:, visits] for array in (self.correct, self.seen))
        return Histories(correct, seen, self.group_size, names)


def read_histories(path: str | Path, *, group_size: int | None = None) -> Histories:
    """Read a table with one row for each question and one column for each visit.

    Args:
      path: CSV file with columns `visit1`, `visit2`, … (accuracies k/G; empty: missing) and, if questions have
        names, `prompt_id`; other columns are ignored. Visits count as equally far apart.
      group_size: G; default: the smallest G ≤ 256 of which all values are multiples, to the digits printed.

    Returns:
      The [`Histories`][].

    Raises:
      ValueError: the file cannot be read, has no such columns or no rows, repeats a name, or holds what is not an
        accuracy, or not k/G.
    """
    table = read_csv(path, "a CSV file with columns visit1, visit2, …")
    visits = visit_columns(table)
    if len(visits) < 2:
        raise ValueError(f"{path}: {len(visits)} columns visit1, visit2, …; must be 2 or more")
    first, last = min(visits), max(visits)
    names = table.columns.get("prompt_id", [str(row) for row in range(len(table))])
    lines: dict[str, int] = {}
    for line, name in zip(table.lines, names, strict=True):
        if name in lines:
            raise ValueError(
                f"{path}, row {line}: prompt_id {name!r} is in row {lines[name]}, too; must differ"
            )
        lines[name] = line
    values = np.full((len(table), last - first + 1), np.nan)
    digits = 0
    for visit, column in visits.items():
        for row, text in enumerate(table.columns[column]):
            if not _missing(text):
                values[row, visit - first] = _rate(table.place(row, column), text)
                digits = max(digits, len(text.partition(".")[2]) if "e" not in text.lower() else 9)
    seen = np.isfinite(values)
    if not seen.any():
        raise ValueError(f"{path}: no value in any visit; must hold accuracies")
    tolerance = 0.5000001 * min(1e-2, max(10.0**-digits, 1e-9))
    size = _granularity(path, values[seen], tolerance) if group_size is None else group_size
    if size < 1:
        raise ValueError(f"group_size: {size}; must be 1 or above")
    correct = np.rint(np.where(seen, values, 0) * size)
    off = seen & (np.abs(values - correct / size) > tolerance)
    if off.any():
        i, j = np.argwhere(off)[0]
        raise ValueError(
            f"{path}, row {table.lines[i]}, visit{first + j}: {values[i, j]:.10g}; must be a multiple of 1/{size}"
        )
    return Histories(correct.astype(int), seen, int(size), tuple(names))


def visit_columns(table: Table) -> dict[int, str]:
    """Columns of a table that are visits, by their number.

    Args:
      table: a CSV file.

    Raises:
      ValueError: a visit that is there twice, such as `visit1` and `Visit 1`.
    """
    columns: dict[int, str] = {}
    for name in table.columns:
        match = VISIT.match(name)
        if match and columns.setdefault(int(match[1]), name) != name:
            raise ValueError(
                f"{table.path}: columns {columns[int(match[1])]} and {name} are one visit; must differ"
            )
    return columns


def _missing(text: str) -> bool:
    """Whether a cell says that nothing was measured."""
    return text.strip().lower() in MISSING


def _rate(place: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{place}: {text!r} is not a number; must be in [0, 1], or empty") from None
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{place}: {text}; must be in [0, 1], or empty")
    return value


def _granularity(path: str | Path, values: np.ndarray, tolerance: float) -> int:
    """The smallest G of which all values are multiples."""
    values = np.unique(values)
    for size in range(1, LARGEST_GROUP + 1):
        if (np.abs(values - np.rint(values * size) / size) <= tolerance).all():
            return size
    raise ValueError(
        f"{path}: the values are not multiples of 1/G for any G ≤ {LARGEST_GROUP}; give group_size, or counts / G"
    )

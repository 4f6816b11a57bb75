"""Histories of many questions: how many of each group of rollouts were right, visit by visit."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qra_jax.fit.curve import missing

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
      group_size: G; left out, the smallest G ≤ 256 of which all values are multiples, to the digits printed.

    Returns:
      The [`Histories`][].

    Raises:
      ValueError: the file cannot be read, has no such columns or no rows, repeats a name, or holds what is not an
        accuracy, or not k/G.
    """
    rows = _rows(Path(path))
    header = [cell.strip() for cell in rows[0][1]]
    found = {int(match[1]): i for i, cell in enumerate(header) if (match := VISIT.match(cell))}
    if len(found) < 2:
        raise ValueError(
            f"{path}, row {rows[0][0]}: {len(found)} columns visit1, visit2, …; must be 2 or more"
        )
    if len(found) != sum(bool(VISIT.match(cell)) for cell in header):
        raise ValueError(f"{path}, row {rows[0][0]}: a visit is there twice; columns must differ")
    if len(rows) == 1:
        raise ValueError(f"{path}: no rows under the header; must have a row for each question")
    first, last = min(found), max(found)
    named = header.index("prompt_id") if "prompt_id" in header else None
    values = np.full((len(rows) - 1, last - first + 1), np.nan)
    names: dict[str, int] = {}
    digits = 0
    for i, (line, row) in enumerate(rows[1:]):
        if len(row) != len(header):
            raise ValueError(f"{path}, row {line}: {len(row)} cells; must be {len(header)}, as in the header")
        name = str(i) if named is None else row[named].strip()
        if name in names:
            raise ValueError(
                f"{path}, row {line}: prompt_id {name!r} is in row {names[name]}, too; must differ"
            )
        names[name] = line
        for visit, column in found.items():
            text = row[column].strip()
            if not missing(text):
                values[i, visit - first] = _rate(f"{path}, row {line}, column {header[column]}", text)
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
            f"{path}, row {rows[1 + i][0]}, visit{first + j}: {values[i, j]:.10g}; must be a multiple of 1/{size}"
        )
    return Histories(correct.astype(int), seen, int(size), tuple(names))


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Numbered rows of a CSV file that are not blank."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [
                (i, row) for i, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ValueError(f"{path}: {reason}; must be a CSV file with columns visit1, visit2, …") from None
    if not rows:
        raise ValueError(f"{path}: empty; must have columns visit1, visit2, …")
    return rows


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

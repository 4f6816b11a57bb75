"""Histories of many questions: how many of each group of rollouts were right, visit by visit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qra_jax._files import Table
from qra_jax.fit.runs import cells, keys, tables

LARGEST_GROUP = 256
"""Largest group size that is looked for in the values."""


@dataclass(frozen=True)
class Histories:
    """Counts of right answers over the visits of each question.

    Attributes:
      correct: `[questions, visits]`, right rollouts k in 0 … G; 0 where missing.
      seen: `[questions, visits]`, which entries are there.
      group_size: G ≥ 1, rollouts of a visit: one for all, `[visits]`, or `[questions, visits]`.
      names: `[questions]`.

    Raises:
      ValueError: shapes that differ, G < 1, counts outside 0 … G, no question or no visit.
    """

    correct: np.ndarray
    seen: np.ndarray
    group_size: int | np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.correct.ndim != 2 or not self.correct.size:
            raise ValueError(f"correct: shape {self.correct.shape}; must be [questions, visits], not empty")
        if self.seen.shape != self.correct.shape or len(self.names) != len(self.correct):
            raise ValueError(f"seen, names: must have the shape {self.correct.shape} and length of correct")
        size = np.asarray(self.group_size)
        if size.size and size.min() < 1:
            raise ValueError(f"group_size: {size.min()}; must be 1 or above")
        try:
            np.broadcast_to(size, self.correct.shape)
        except ValueError:
            raise ValueError(
                f"group_size: shape {size.shape}; must be one number, one for each of {self.visits} visits, or one each"
            ) from None
        if not ((self.correct >= 0) & (self.correct <= size)).all():
            raise ValueError(f"correct: counts must be in 0 … group_size = {self.sizes}")

    @property
    def questions(self) -> int:
        """Number of questions."""
        return self.correct.shape[0]

    @property
    def visits(self) -> int:
        """Number of visits of the question with most."""
        return self.correct.shape[1]

    @property
    def tries(self) -> np.ndarray:
        """Rollouts, `[questions, visits]`; 0 where missing."""
        return np.broadcast_to(self.group_size, self.correct.shape) * self.seen

    @property
    def group(self) -> int:
        """The size that most visits have: that of GRPO's clock."""
        sizes, many = np.unique(self.tries[self.seen], return_counts=True)
        return int(sizes[many.argmax()]) if len(sizes) else int(np.max(self.group_size))

    @property
    def sizes(self) -> str:
        """Group sizes in words: `8`, `8 and 64`."""
        return " and ".join(map(str, np.unique(np.asarray(self.group_size))))

    def accuracy(self, visits: slice = slice(None)) -> np.ndarray:
        """Accuracy of each question over some visits, `[questions]`; NaN where none of them was seen."""
        tries = self.tries[:, visits].sum(axis=1)
        right = (self.correct * self.seen)[:, visits].sum(axis=1)
        return np.divide(right, tries, out=np.full(len(tries), np.nan), where=tries > 0)

    def part(self, questions: np.ndarray | slice = slice(None), visits: slice = slice(None)) -> Histories:
        """Some of the questions, over some of the visits."""
        names = tuple(np.array(self.names, object)[questions])
        correct, seen = (array[questions][:, visits] for array in (self.correct, self.seen))
        size = np.asarray(self.group_size)
        if size.ndim:
            return Histories(
                correct, seen, np.broadcast_to(size, self.correct.shape)[questions][:, visits], names
            )
        return Histories(correct, seen, self.group_size, names)


def read_histories(
    path: str | Path, *, group_size: int | Sequence[int] | np.ndarray | None = None
) -> Histories:
    """Read a table with one row for each question and one column for each visit.

    Args:
      path: CSV file with columns `visit1`, `visit2`, … (accuracies k/G, or counts k where G is given; empty: missing)
        and, if questions have names, `prompt_id`; other columns are ignored. Visits count as equally far apart.
      group_size: G, or one for each visit; default: the smallest G ≤ 256 of which all values are multiples, to the
        digits printed, and for a visit a smaller one where chance does not explain that its values are multiples of it.

    Returns:
      The [`Histories`][].

    Raises:
      ValueError: the file cannot be read, has no such columns or no rows, repeats a name, or holds what is not an
        accuracy, or not k/G.
    """
    table = tables.whole(path, "a table with columns visit1, visit2, …")
    visits = visit_columns(table)
    if len(visits) < 2:
        raise ValueError(f"{path}: {len(visits)} columns visit1, visit2, …; must be 2 or more")
    first, last = min(visits), max(visits)
    if last - first >= 100 * len(visits):
        raise ValueError(
            f"{path}: columns visit{first} … visit{last} with gaps; must be visits, one after the other"
        )
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
            if not cells.is_missing(text):
                values[row, visit - first] = _rate(
                    table.place(row, column), text, counted=group_size is not None
                )
                digits = max(digits, len(text.partition(".")[2]) if "e" not in text.lower() else 9)
    seen = np.isfinite(values)
    if not seen.any():
        raise ValueError(f"{path}: no value in any visit; must hold accuracies")
    tolerance = 0.5000001 * min(1e-2, max(10.0**-digits, 1e-9))
    size = _sizes(path, values, seen, tolerance) if group_size is None else np.asarray(group_size)
    if size.ndim and len(size) == 1:
        size = size[0]
    if np.min(size) < 1:
        raise ValueError(f"group_size: {np.min(size)}; must be 1 or above")
    if np.ndim(size) and len(size) != values.shape[1]:
        raise ValueError(
            f"group_size: {len(size)} of them; must be one, or one for each of {values.shape[1]} visits"
        )
    if np.nanmax(values) > 1:  # counts
        values = values / size
    correct = np.rint(np.where(seen, values, 0) * size)
    off = seen & (np.abs(values - correct / size) > tolerance)
    if off.any():
        i, j = np.argwhere(off)[0]
        raise ValueError(
            f"{path}, row {table.lines[i]}, visit{first + j}: {values[i, j]:.10g}; must be a multiple of "
            f"1/{np.broadcast_to(size, values.shape)[i, j]}"
        )
    return Histories(correct.astype(int), seen, size if np.ndim(size) else int(size), tuple(names))


def visit_columns(table: Table) -> dict[int, str]:
    """Columns of a table that are visits, by their number.

    Args:
      table: a CSV file.

    Raises:
      ValueError: a visit that is there twice, such as `visit1` and `Visit 1`.
    """
    columns: dict[int, str] = {}
    for name in table.columns:
        match = keys.VISIT.match(name)
        if match and columns.setdefault(int(match[1]), name) != name:
            raise ValueError(
                f"{table.path}: columns {columns[int(match[1])]} and {name} are one visit; must differ"
            )
    return columns


def _rate(place: str, text: str, counted: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{place}: {text!r} is not a number; must be in [0, 1], or empty") from None
    if counted and math.isfinite(value) and value >= 0 and value == round(value):
        return value
    if not (math.isfinite(value) and 0 <= value <= 1):
        hint = ": counts need --group-size G" if value > 1 and value == round(value) else ""
        raise ValueError(f"{place}: {text}; must be in [0, 1], or empty{hint}")
    return value


def _sizes(path: str | Path, values: np.ndarray, seen: np.ndarray, tolerance: float) -> np.ndarray:
    """One group size, or one for each visit where some visits have smaller ones."""
    whole = _granularity(path, values[seen], tolerance)
    found = np.full(values.shape[1], whole)
    for visit in range(values.shape[1]):
        own = values[seen[:, visit], visit]
        if not len(own) or len(np.unique(own)) < 2:
            continue
        size = _granularity(path, own, tolerance)
        if len(own) * np.log((size + 1) / (whole + 1)) < np.log(
            1e-3
        ):  # few values of 1/whole would all be coarse
            found[visit] = size
    return found if np.ptp(found) else np.asarray(whole)


def _granularity(path: str | Path, values: np.ndarray, tolerance: float) -> int:
    """The smallest G of which all values are multiples."""
    values = np.unique(values)
    for size in range(1, LARGEST_GROUP + 1):
        if (np.abs(values - np.rint(values * size) / size) <= tolerance).all():
            return size
    raise ValueError(
        f"{path}: the values are not multiples of 1/G for any G ≤ {LARGEST_GROUP}; give group_size, or counts / G"
    )

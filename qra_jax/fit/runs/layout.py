"""How a table lies in a text: what cuts its cells, which row has the names, and what stands around it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from qra_jax.fit.runs import cells, keys
from qra_jax.fit.runs.sample import Sample

SIGNS = (";", "\t", "|", ",")
"""What cuts cells; of two that do it equally well, the first."""
SPACES = {"two": re.compile(r"\s{2,}"), "one": re.compile(r"\s+")}
"""Columns that are aligned by two spaces or more, or by any."""
LOOKED, TITLES = 60, 20
"""Rows by which a table is known; rows above its header, at most."""
RULE = re.compile(r":?-{2,}:?")
"""A cell of the line under the header of a table in Markdown."""
POINT = re.compile(r"[-+]?(0|\d{4,})?\.\d+|[-+]?\d+\.(\d{1,2}|\d{4,})")
"""A number with a decimal point for certain."""
Row = tuple[int, list[str]]
"""Line and cells."""


@dataclass(frozen=True)
class Layout:
    """How a table lies in a text.

    Attributes:
      sign: what cuts its cells.
      header: names of its columns, empty for those without.
      start: line of its first row under the header.
      notes: what a reader should know.
      comma: whether its decimals have commas.
    """

    sign: str
    header: list[str]
    start: int
    notes: tuple[str, ...]
    comma: bool


def layout(sample: Sample, sign: str | None = None) -> Layout | None:
    """The layout of a text; none where it is no table, unless it is said what cuts its cells."""
    lines = sample.beginning[: 4 * LOOKED]
    sign = sign or _sign([line for _, line in lines])
    if sign is None:
        return None
    try:
        rows = list(islice(records(lines, sign), LOOKED))
    except csv.Error:
        return None
    if not rows:
        return None
    at = _header(rows)
    notes: tuple[str, ...] = ()
    width = max((row for _, row in rows[1 if at is None else at + 1 :]), key=len, default=[])
    if at is None:
        start, header = rows[0][0], _above(lines, rows[0], sign)
        if header is None:
            number = len(rows[0][1])
            header = {1: ["value"], 2: ["step", "value"]}.get(
                number, [f"column {i + 1}" for i in range(number)]
            )
            notes = ("the file has no header",)
    else:
        start, header = rows[at][0] + 1, rows[at][1]
        notes = (f"{at} lines above the header left out",) if at else ()
        if sign in SPACES and len(width) == len(header) + 1:
            header = ["", *header]  # as pandas prints, with the index first
    every = [cell for _, row in rows for cell in row]
    if not known(header) and all(cells.parsed(cell) is None for cell in every):
        return None  # lines of words that have as many commas
    comma = sign != "," and any(map(cells.COMMA.fullmatch, every)) and not any(map(POINT.fullmatch, every))
    return Layout(sign, [re.sub(r"\s*/\s*", "/", name) for name in header], start, notes, comma)


def records(lines: Iterable[tuple[int, str]], sign: str) -> Iterator[Row]:
    """Line and cells of all rows; lines that begin with # are left out, in quotes they are not.

    Raises:
      csv.Error: a cell that is longer than any.
    """
    if sign in SPACES:
        for number, line in lines:
            if not line.startswith("#"):
                yield number, SPACES[sign].split(line.strip())
        return
    number, fresh = 0, True

    def given() -> Iterator[str]:
        nonlocal number, fresh
        for at, line in lines:
            number = at
            if not (fresh and line.startswith("#") and not line.upper().startswith("#N/A")):
                fresh = False
                yield line.replace("\0", "")

    for row in csv.reader(given(), delimiter=sign, skipinitialspace=sign != "\t"):
        fresh, row = True, [cell.strip() for cell in row]
        if sign == "|" and len(row) > 2 and not row[0] and not row[-1]:
            row = row[1:-1]
        if any(row) and not all(map(RULE.fullmatch, row)):
            yield number, row


def _sign(lines: list[str]) -> str | None:
    """What cuts most lines into as many cells, two or more; none where nothing does.

    A column of numbers alone is cut by commas.
    """
    best, sign = (0.0, 0), None
    for one in (*SIGNS, *SPACES):
        if one in SPACES and sign is not None:
            break
        try:
            rows = [row for _, row in islice(records(enumerate(lines), one), LOOKED)]
        except csv.Error:
            continue
        counts = [len(row) for row in rows]
        usual = max((n for n in counts if n > 1), key=counts.count, default=0)
        alike = [row for row in rows if len(row) == usual]
        share = len(alike) / max(1, len(rows))
        few = share <= 0.5 and len(alike) < 3 and min(counts[:2]) < 2
        if not usual or few or (one in SPACES and not _numbers(alike, share)):
            continue
        if (share, usual) > best:
            best, sign = (share, usual), one
    alone = [cells.parsed(line.strip()) is not None for line in lines[:LOOKED] if not line.startswith("#")]
    return sign or ("," if len(alone) > 2 and all(alone[1:]) else None)


def _numbers(rows: list[list[str]], share: float) -> bool:
    """Whether cells between spaces are those of a table: nearly all rows have as many, and half of them are numbers."""
    every = [cells.parsed(cell) is not None for row in rows[1:] for cell in row]
    return len(rows) > 1 and share >= 0.8 and sum(every) >= len(every) / 2


def _header(rows: list[Row]) -> int | None:
    """Which of the first rows has the names of columns; none where they are all numbers."""
    wide = [i for i, (_, row) in enumerate(rows[:TITLES]) if sum(map(bool, row)) > 1] or [0]
    many = [[cells.parsed(cell) is not None for cell in row if cell] for _, row in rows]
    for i in wide:
        if known(rows[i][1]) and not all(many[i]):
            return i
    numbered = next((i for i in wide if any(many[i])), wide[0])
    before = [i for i in wide if i < numbered]
    if before:
        return before[-1]
    return None if all(many[numbered]) else numbered


def known(row: list[str]) -> bool:
    """Whether one of some cells is a name that trainers give to a column."""
    usual = (*keys.STEPS, *keys.RUNS, *keys.QUESTIONS, *keys.REVISIONS, *keys.PARTS, "wall_time")
    return bool(keys.find(row, usual) or keys.accuracies(row) or any(map(keys.VISIT.match, row)))


def _above(lines: list[tuple[int, str]], first: Row, sign: str) -> list[str] | None:
    """Names in a remark right above the first row, as NumPy writes them."""
    remarks = [line for number, line in lines if number < first[0] and line.startswith("#")]
    if not remarks:
        return None
    names = next((row for _, row in records([(0, remarks[-1].lstrip("# "))], sign)), [])
    return names if len(names) == len(first[1]) and not any(map(cells.parsed, names)) else None

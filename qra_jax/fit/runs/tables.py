"""Logs that are tables: separated by commas, semicolons, tabs or bars; exports of W&B and TensorBoard."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator

from qra_jax.fit.runs.rows import Log, Rows, parsed
from qra_jax.fit.runs.sample import Sample

SIGNS = (",", "\t", ";", "|")
DECIMAL_COMMA = re.compile(r"^[-+]?\d+,\d+$")
WORDS = 12
"""Words in the name of a column, at most: prose has commas, too."""
BOUNDS = ("__MIN", "__MAX")
"""Endings of columns of W&B in which runs that are drawn as one have their range."""


def is_table(sample: Sample) -> bool:
    """Whether its first row, and one more where there is one, have two cells or more; or it is a column of numbers."""
    lines = _plain(sample.first[:50])
    sign = _sign(lines)
    if sign is None:
        return len(lines) > 2 and all(parsed(line.strip()) is not None for line in lines[1:])
    return all(len(cell.split()) <= WORDS for cell in _cells(lines[0], sign))


def table(sample: Sample) -> Log:
    """A table with a header, or of numbers alone; a header that is there again, from a restart, is skipped.

    Raises:
      ValueError: a column that is there twice, a row of another length than the header, no rows.
    """
    sign = _sign(_plain(sample.first[:50])) or ","
    with sample.path.open(encoding=sample.encoding, errors="replace", newline="") as file:
        lines = (line.replace("\0", "") for line in file)
        reader = csv.reader((line for line in lines if not line.startswith("#")), delimiter=sign)
        rows = (
            (reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))
        )
        try:
            return _read(sample, sign, rows)
        except csv.Error as error:
            raise ValueError(f"{sample.path}, row {reader.line_num}: {error}; must be a table") from None


def header(sample: Sample) -> list[str]:
    """Cells of the first line of a text."""
    lines = _plain(sample.first[:2])
    return [cell.strip() for cell in _cells(lines[0], _sign(lines) or ",")] if lines else []


def _read(sample: Sample, sign: str, lines: Iterator[tuple[int, list[str]]]) -> Log:
    path, (first, header) = sample.path, next(lines)
    notes: tuple[str, ...] = ()
    if all(parsed(cell) is not None for cell in header):
        lines = _before((first, header), lines)
        header = ["step", "value"] if len(header) == 2 else [f"column {i + 1}" for i in range(len(header))]
        notes = ("the file has no header",)
    for name in header:
        if name and header.count(name) > 1:
            raise ValueError(f"{path}, row {first}: column {name} is there twice; must be there once")
    runs = _runs(header)
    kind = "a table"
    if [name.lower() for name in header] == ["wall time", "step", "value"]:
        kind = "a table of TensorBoard"
    elif runs:
        kind = "a chart of W&B"
    elif "_step" in header and "_timestamp" in header:
        kind = "a history of W&B"
    rows, count = Rows(), 0
    for line, cells in lines:
        if cells == header:
            continue
        if len(cells) != len(header):
            if len(cells) < len(header) and _last(lines):
                rows.skipped += 1
                break
            said = f"{len(cells)} cell{'s' * (len(cells) != 1)}; must be {len(header)}, as in the header"
            raise ValueError(f"{path}, row {line}: {said}")
        count += 1
        if sign == ";":
            cells = [cell.replace(",", ".") if DECIMAL_COMMA.match(cell) else cell for cell in cells]
        if not runs:
            rows.add({name: cell for name, cell in zip(header, cells, strict=True) if name}, line)
            continue
        for run, columns in runs.items():
            values = {metric: cells[i] for metric, i in columns.items()}
            if any(values.values()):
                rows.add({header[0]: cells[0], "run": run, **values}, line)
    if not count:
        raise ValueError(f"{path}: no rows under the header; must have one or more")
    return rows.done(str(path), kind, notes, trainer=kind == "a table")


def _before(
    one: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    yield one
    yield from rest


def _last(lines: Iterator[tuple[int, list[str]]]) -> bool:
    """Whether nothing comes after: a last row that is short was cut off."""
    return next(lines, None) is None


def _runs(header: list[str]) -> dict[str, dict[str, int]]:
    """Columns `{run} - {metric}` of a chart of W&B: by run and metric; empty where it is none."""
    found: dict[str, dict[str, int]] = {}
    for i, name in enumerate(header[1:], 1):
        run, gap, metric = name.rpartition(" - ")
        if not gap:
            return {}
        if not metric.endswith(BOUNDS) and metric != "_step":
            found.setdefault(run, {})[metric] = i
    return found


def _plain(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if not line.startswith("#")]


def _sign(lines: list[str]) -> str | None:
    """The sign that cuts the first lines into two cells or more; of several, that with as many in both, and most."""
    counts = {sign: [len(_cells(line, sign)) for line in lines[:2]] for sign in SIGNS}
    good = [sign for sign, each in counts.items() if each and min(each) > 1]
    return max(good, key=lambda sign: (counts[sign][0] == counts[sign][-1], counts[sign][0]), default=None)


def _cells(line: str, sign: str) -> list[str]:
    return next(csv.reader([line], delimiter=sign), [])

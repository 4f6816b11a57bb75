"""Logs that are tables: separated by commas, semicolons, tabs, bars or spaces; exports of W&B and TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from qra_jax._files import Table
from qra_jax.fit.runs import cells
from qra_jax.fit.runs.layout import Layout, Row, layout, records
from qra_jax.fit.runs.rows import Log, Rows
from qra_jax.fit.runs.sample import Sample, look

WORDS = 12
"""Words in the name of a column, at most: prose has commas, too."""
BOUNDS = ("__MIN", "__MAX")
"""Endings of columns of W&B in which runs that are drawn as one have their range."""


def is_table(sample: Sample) -> bool:
    """Whether most of its first rows have as many cells, two or more, or it is a column of numbers."""
    found = layout(sample)
    return found is not None and all(len(cell.split()) <= WORDS for cell in found.header)


def table(sample: Sample) -> Log:
    """A table with a header, or of numbers alone; a header that is there again, from a restart, is skipped.

    Raises:
      ValueError: a column that is there twice, a row of another length than the header, no rows.
    """
    found = layout(sample)
    assert found is not None  # or it would not be read as one
    names, runs, rows = found.header, _runs(found.header), Rows(sample.wanted)
    kind = "a table"
    if [name.lower() for name in names] == ["wall time", "step", "value"]:
        kind = "a table of TensorBoard"
    elif runs:
        kind = "a chart of W&B"
    elif "_step" in names and "_timestamp" in names:
        kind = "a history of W&B"
    for line, row in _rows(sample, found, rows):
        if not runs:
            rows.add({name: cell for name, cell in zip(names, row, strict=True) if name}, line)
            continue
        for run, columns in runs.items():
            values = {metric: row[i] for metric, i in columns.items()}
            if any(values.values()):
                rows.add({names[0]: row[0], "run": run, **values}, line)
    return rows.done(str(sample.path), kind, found.notes, trainer=kind == "a table")


def whole(path: str | Path, wanted: str) -> Table:
    """A table as texts.

    Args:
      path: the file.
      wanted: what it must be, for complaints.

    Raises:
      ValueError: as `table` does; a file that is none.
    """
    sample = look(path)
    if sample.text is None or (found := layout(sample) or layout(sample, ",")) is None:
        raise ValueError(f"{path}: no table; must be {wanted}")
    each = list(_rows(sample, found, Rows()))
    columns = {name: [row[i] for _, row in each] for i, name in enumerate(found.header) if name}
    return Table(Path(path), tuple(found.header), columns, [line for line, _ in each])


def _rows(sample: Sample, found: Layout, rows: Rows) -> Iterator[Row]:
    """Rows under the header, each as long as it; a last one that was cut off is counted."""
    path, width = sample.path, len(found.header)
    for name in found.header:
        if name and found.header.count(name) > 1:
            line = max(found.start - 1, 1)
            raise ValueError(f"{path}, row {line}: column {name} is there twice; must be there once")
    line, there, cut = 0, False, None
    lines = ((n, text) for n, text in sample.lines() if n >= found.start and not (there and rows.passes()))
    try:
        for line, row in records(lines, found.sign):
            if row == found.header or (found.sign == "|" and len(row) == 1):
                continue
            if cut:
                raise ValueError(cut)
            if len(row) > width and not any(row[width:]):
                row = row[:width]
            if len(row) != width:
                said = f"{len(row)} cell{'s' * (len(row) != 1)}; must be {width}, as in the header"
                cut = f"{path}, row {line}: {said}"
                if len(row) > width or not there:
                    raise ValueError(cut)
                continue
            there = True
            yield line, [cells.with_point(cell) for cell in row] if found.comma else row
    except csv.Error as error:
        raise ValueError(f"{path}, row {line + 1}: {error}; must be a table") from None
    rows.skipped += cut is not None
    if not there:
        raise ValueError(f"{path}: no rows under the header; must have one or more")


def _runs(header: list[str]) -> dict[str, dict[str, int]]:
    """Columns `{run} - {metric}` of a chart of W&B: by run and metric; empty where it is none."""
    found: dict[str, dict[str, int]] = {}
    for i, name in enumerate(header[1:], 1):
        run, gap, metric = name.rpartition(" - ")
        if not gap:
            return {}
        if not metric.endswith(BOUNDS):
            found.setdefault(run, {})[metric] = i
    return found

"""JSON documents: rows in a list, columns in an object, runs by name, and what pandas and trackers make of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from qra_jax.fit.runs import keys
from qra_jax.fit.runs.rows import Log, Rows
from qra_jax.fit.runs.sample import Sample

HISTORIES = ("log_history", "history", "logs", "log", "metrics", "records", "rows", "data", "scalars")
"""Keys under which a document has its rows."""
LARGEST = 1 << 28
"""Bytes of a document, which is read whole."""


def is_document(sample: Sample) -> bool:
    """Whether it begins like a JSON document."""
    return bool(re.match(r'\s*(\[\s*([\[{"]|-?\d[\d.eE+-]*\s*,)|\{\s*["}])', sample.text or ""))


def document(sample: Sample) -> Log:
    """A document; of one that was cut off, what can be read.

    Raises:
      ValueError: no JSON, nested too deeply, or too large.
    """
    if sample.path.stat().st_size > LARGEST:
        said = f"a JSON document of more than {LARGEST >> 20} MB"
        raise ValueError(f"{sample.path}: {said}; must be JSON lines, one row a line")
    text = sample.path.read_text(encoding=sample.encoding, errors="replace")
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError(f"{sample.path}: nested too deeply; must be rows of a run") from None
    except json.JSONDecodeError as error:
        found = list(_values(text))
        if not found:
            said = f"{error.msg.lower()}; must be JSON (is the file cut off?)"
            raise ValueError(f"{sample.path}, line {error.lineno}: {said}") from None
    rows = Rows(sample.wanted)
    for number, row in enumerate(_rows(found), 1):
        rows.add(row, number)
    trainer = isinstance(found, dict) and "log_history" in found
    return rows.done(str(sample.path), "trainer_state.json" if trainer else "a JSON document", trainer=True)


def _values(text: str) -> Iterator[Any]:
    """JSON values one after the other, as far as they can be read."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        try:
            value, at = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            return
        yield value


def _rows(found: Any) -> Iterator[dict[str, Any]]:
    """Rows of a document, whatever way it has them."""
    if isinstance(found, list):
        yield from _list(found)
    elif isinstance(found, dict):
        yield from _object(found)


def _list(found: list[Any]) -> Iterator[dict[str, Any]]:
    for index, row in enumerate(found):
        if isinstance(row, dict):
            yield row
        elif isinstance(row, list) and len(row) in (2, 3):  # as TensorBoard gives: wall time, step, value
            yield dict(zip(("wall_time", "step", "value")[-len(row) :], row, strict=True))
        elif isinstance(row, int | float):
            yield {"step": index, "value": row}


def _object(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names, data = found.get("columns"), found.get("data")
    if isinstance(names, list) and isinstance(data, list):  # pandas, split; a table of W&B
        index = found.get("index") or [None] * len(data)
        for key, row in zip(index, data, strict=False):
            yield {_index(names): key} | dict(zip(map(str, names), row, strict=False))
        return
    for name in HISTORIES:
        if isinstance(found.get(name), list) and found[name] and isinstance(found[name][0], dict):
            yield from _list(found[name])
            return
    if found and all(isinstance(value, dict) and value for value in found.values()):
        inner = list(dict.fromkeys(key for value in found.values() for key in value))
        if all(map(str.isdigit, inner)) or (not _numbered(found) and keys.accuracies(found)):
            for key in inner:  # pandas, by columns
                yield {_index(found): key} | {name: value.get(key) for name, value in found.items()}
            return
    lists = {name: value for name, value in found.items() if isinstance(value, list) and value}
    if lists and all(isinstance(row, dict) for value in lists.values() for row in value):
        for run, value in lists.items():
            yield from ({"run": run, **row} for row in value)
        return
    lengths = {len(value) for value in lists.values()}
    if len(lengths) == 1 and lists:
        length = lengths.pop()
        columns = ({} if keys.find(lists, keys.STEPS) else {"step": list(range(length))}) | lists
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))
        return
    if _numbered(found):
        for name, value in found.items():
            yield {"step": int(name), **(value if isinstance(value, dict) else {"value": value})}
        return
    if len(found) > 1 and all(isinstance(value, dict) for value in found.values()):  # pandas, by rows
        yield from ({"name": name, **value} for name, value in found.items())
        return
    yield found


def _index(names: Iterable[str]) -> str:
    """What the index of a table is called: the step, where no column is."""
    return "row" if keys.find(map(str, names), keys.STEPS) else "step"


def _numbered(found: dict[str, Any]) -> bool:
    return bool(found) and all(re.fullmatch(r"\d+", name) for name in found)

"""Logs that are text: JSON lines, JSON documents, and what trainers print on a console."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from qra_jax.fit.runs import keys
from qra_jax.fit.runs.rows import Log, Rows, parsed
from qra_jax.fit.runs.sample import Sample

HISTORIES = ("log_history", "history", "logs", "log", "metrics", "records", "rows", "data", "scalars")
"""Keys under which a JSON document has its rows."""
LARGEST = 1 << 30
"""Bytes of a JSON document that is read whole."""
PLAIN = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""Colours on a terminal."""
BAR = re.compile(r"\b(\d+)/\d+ \[")
"""The step in a progress bar, as `5/200 [00:10`."""
WRAPPED = re.compile(r"(?:np\.(?:float|int)\d+|tensor|array)\(([-+.\deEnaif]+)[^()]*\)")
"""A number as NumPy and PyTorch print it."""
LONGEST = 1 << 14
"""Characters of a line of a console that are looked at."""
PAIR = re.compile(
    r"(?<![\w/@.\-])([A-Za-z_][\w/@.\-]{0,80})\s{0,3}[:=]\s{0,3}"
    r"(?:np\.float\d+\(|tensor\()?([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?%?|nan|inf)\b%?",
    re.IGNORECASE,
)
"""A name and a number, as `step:12`, `reward=0.5` or `loss: 1e-3`."""


def is_json_lines(sample: Sample) -> bool:
    """Whether it begins with an object on a line of its own, and goes on with another."""
    lines = sample.first[:2]
    return len(lines) == 2 and all(_object(line) is not None for line in lines)


def is_json(sample: Sample) -> bool:
    """Whether it begins like a JSON document."""
    text = (sample.text or "").lstrip()
    return bool(re.match(r'(\[\s*[\[{"\d-]|\{\s*["}])', text))


def is_console(sample: Sample) -> bool:
    """Whether some of its lines hold numbers by name, a step among them or a dictionary of them."""
    return sum(bool(_printed(line)) for line in sample.first[:2000]) >= 1


def json_lines(sample: Sample) -> Log:
    """Objects, one a line; lines that are none, such as a last one that was cut, are counted."""
    rows = Rows()
    for number, line in sample.lines():
        found = _object(line)
        if found is None:
            rows.skipped += 1
        else:
            rows.add(found, number)
    return rows.done(str(sample.path), "JSON lines", trainer=True)


def json_document(sample: Sample) -> Log:
    """A document with rows in a list, columns in an object, or runs by name."""
    if sample.path.stat().st_size > LARGEST:
        raise ValueError(
            f"{sample.path}: a JSON document of more than 1 GB; must be JSON lines, one row a line"
        )
    text = sample.path.read_text(encoding=sample.encoding, errors="replace")
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError(f"{sample.path}: nested too deeply; must be rows of a run") from None
    except json.JSONDecodeError as error:
        document = list(_objects(text))
        if not document:
            raise ValueError(
                f"{sample.path}, line {error.lineno}: {error.msg.lower()}; must be JSON (is the file cut off?)"
            ) from None
    rows = Rows()
    for number, row in enumerate(_rows(document), 1):
        rows.add(row, number)
    trainer = isinstance(document, dict) and "log_history" in document
    return rows.done(str(sample.path), "trainer_state.json" if trainer else "a JSON document", trainer=True)


def console(sample: Sample) -> Log:
    """What a trainer printed: dictionaries, or `step:12 - critic/score/mean:0.31`; other lines are left out."""
    rows = Rows()
    for number, line in sample.lines():
        found = _printed(line)
        if found:
            rows.add(found, number)
    return rows.done(str(sample.path), "what was printed on a console", trainer=True)


def _object(line: str) -> dict[str, Any] | None:
    line = line.strip()
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _objects(text: str) -> Iterator[Any]:
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


def _rows(document: Any) -> Iterator[dict[str, Any]]:
    """Rows of a JSON document, whatever way it has them."""
    if isinstance(document, list):
        for index, row in enumerate(document):
            if isinstance(row, dict):
                yield row
            elif isinstance(row, list) and len(row) in (2, 3):  # as TensorBoard gives: wall time, step, value
                yield dict(zip(("wall_time", "step", "value")[-len(row) :], row, strict=True))
            elif isinstance(row, int | float):
                yield {"step": index, "value": row}
        return
    if not isinstance(document, dict):
        return
    for name in HISTORIES:
        if isinstance(document.get(name), list) and document[name] and isinstance(document[name][0], dict):
            yield from _rows(document[name])
            return
    lists = {name: value for name, value in document.items() if isinstance(value, list) and value}
    if lists and all(isinstance(row, dict) for value in lists.values() for row in value):
        for run, value in lists.items():
            yield from ({"run": run, **row} for row in value)
        return
    lengths = {len(value) for value in lists.values()}
    if len(lengths) == 1 and lists:
        length = lengths.pop()
        begun = {} if keys.find(lists, keys.STEPS) else {"step": list(range(length))}
        for values in zip(*(begun | lists).values(), strict=True):
            yield dict(zip(begun | lists, values, strict=True))
        return
    if document and all(re.fullmatch(r"\d+", name) for name in document):
        for name, value in document.items():
            yield {"step": int(name), **(value if isinstance(value, dict) else {"value": value})}
        return
    yield document


def _printed(line: str) -> Mapping[str, Any] | None:
    """Numbers by name in a line of a console, the step among them or in a dictionary."""
    line = PLAIN.sub("", line[:LONGEST])
    first, last = line.find("{"), line.rfind("}")
    for text in [line[first : last + 1]] if 0 <= first < last else []:
        try:
            found = ast.literal_eval(re.sub(r"\b(nan|inf)\b", "None", WRAPPED.sub(r"\1", text)))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, dict) and any(isinstance(value, int | float) for value in found.values()):
            numbers = {
                str(name): parsed(value) if isinstance(value, str) else value for name, value in found.items()
            }
            known = {name: value for name, value in numbers.items() if value is not None}
            if keys.find(known, keys.STEPS[:-2]) is None and (bar := BAR.search(line)):
                known["step"] = float(bar[1])
            return known
    pairs = {name: parsed(value) for name, value in PAIR.findall(line)}
    return pairs if len(pairs) > 1 and keys.find(pairs, keys.STEPS) else None

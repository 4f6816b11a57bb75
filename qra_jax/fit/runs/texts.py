"""Logs that are text, line by line: JSON lines, and what trainers print on a console."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from qra_jax.fit.runs import cells, keys, layout
from qra_jax.fit.runs.rows import Log, Rows
from qra_jax.fit.runs.sample import Sample

PLAIN = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""Colours on a terminal."""
BAR = re.compile(r"\b(\d+)/\d+ \[")
"""The step in a progress bar, as `5/200 [00:10`."""
AT = re.compile(r"\b(?:step|iter|iteration|update)s?\s{0,3}[:=#]?\s{0,3}\[?(\d+)\b", re.IGNORECASE)
"""The step in words, as `Step 5/200` or `iteration [5]`."""
WRAPPED = re.compile(r"(?:np\.(?:float|int)\d+|tensor|array)\(([-+.\deEnaif]+)[^()]*\)")
"""A number as NumPy and PyTorch print it."""
LONGEST, LOOKED = 1 << 14, 50
"""Characters of a line of a console that are looked at; lines by which JSON lines are known."""
PAIR = re.compile(
    r"(?<![\w/@.\-])([A-Za-z_][\w/@.\-]{0,80})\s{0,3}[:=]\s{0,3}"
    r"(?:np\.float\d+\(|tensor\()?([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?%?|nan|inf)(?!\w)",
    re.IGNORECASE,
)
"""A name and a number, as `step:12`, `reward=0.5` or `loss: 1e-3`."""


def is_json_lines(sample: Sample) -> bool:
    """Whether half of its first lines or more, and two at least, are objects."""
    lines = sample.first[:LOOKED]
    objects = sum(_object(line) is not None for line in lines)
    return objects > 1 and objects >= len(lines) / 2


def is_console(sample: Sample) -> bool:
    """Whether some of its lines hold numbers by name, the step among them, and it has no header of a table."""
    if not any(map(_printed, sample.first[:2000])):
        return False
    found = layout.layout(sample)
    return found is None or not layout.known([cell for cell in found.header if not PAIR.search(cell)])


def json_lines(sample: Sample) -> Log:
    """Objects, one a line; lines that are none, such as a last one that was cut, are counted."""
    rows = Rows(sample.wanted)
    for number, line in sample.lines():
        if rows.passes():
            continue
        found = _object(line)
        if found is None:
            rows.skipped += 1
        else:
            rows.add(found, number)
    return rows.done(str(sample.path), "JSON lines", trainer=True)


def console(sample: Sample) -> Log:
    """What a trainer printed: dictionaries, or `step:12 - critic/score/mean:0.31`; other lines are left out."""
    rows = Rows(sample.wanted)
    for number, line in sample.lines():
        if not rows.passes() and (found := _printed(line)):
            rows.add(found, number)
    return rows.done(str(sample.path), "what was printed on a console", trainer=True)


def _object(line: str) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _printed(line: str) -> Mapping[str, Any] | None:
    """Numbers by name in a line of a console, the step among them or in a dictionary."""
    line = PLAIN.sub("", line[:LONGEST])
    first, last = line.find("{"), line.rfind("}")
    found = _dictionary(line[first : last + 1]) if 0 <= first < last else {}
    if found:
        if keys.find(found, keys.STEPS[:-2]) is None and (bar := BAR.search(line)):
            found["step"] = bar[1]
        return found
    found = dict(PAIR.findall(line))
    if keys.find(found, keys.STEPS[:-2]) is None and (at := AT.search(line)):
        found["step"] = at[1]
    return found if len(found) > 1 and keys.find(found, keys.STEPS) else None


def _dictionary(text: str) -> dict[str, Any]:
    """Numbers by name in a dictionary as Python or JSON prints it; empty where there are none."""
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        try:
            found = ast.literal_eval(re.sub(r"\b(nan|inf)\b", "None", WRAPPED.sub(r"\1", text)))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return {}
    if not isinstance(found, dict):
        return {}
    number = {
        str(name): cells.parsed(value) if isinstance(value, str) else value for name, value in found.items()
    }
    whole = {name: value for name, value in number.items() if value is not None}
    return whole if any(isinstance(value, int | float) for value in whole.values()) else {}

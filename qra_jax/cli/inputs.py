"""Numbers and CSV files given by hand; a complaint is one line: place, value, what is allowed."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qra_jax.problem import Problem

RATE = "in [0, 1]"


def read(ref: Sequence[str], success: Sequence[str]) -> tuple[list[str], list[float], list[float]]:
    """Names, base shares and success rates of the patterns, from numbers or CSV files.

    Args:
      ref: numbers separated by spaces or commas, or the path of a CSV file with a column ref, and where it has one
        a column pattern.
      success: the same with a column success; empty where the first file has it.

    Returns:
      Names (`pattern 0`, … where no file has any), shares, success rates. Two files with names are matched by name.

    Raises:
      ValueError: missing or repeated columns or names, text in numbers, numbers outside [0, 1], an empty or
        unreadable file.
    """
    if not success and not _is_file("ref", ref):
        raise ValueError(f"success: missing; must be numbers {RATE}, or ref a CSV file with a column success")
    if _is_file("ref", ref) and (not success or list(success) == list(ref)):
        names, (shares, rates) = table("ref", ref[0], ("ref", "success"))
        return names or _numbered(shares), shares, rates
    names, shares = _column("ref", ref)
    other_names, rates = _column("success", success)
    if names is not None and other_names is not None:
        if set(names) != set(other_names):
            odd = sorted(set(names) ^ set(other_names))[0]
            raise ValueError(
                f"success: pattern {odd!r} is in only one of {ref[0]} and {success[0]}; must be in both"
            )
        rates = [rates[other_names.index(name)] for name in names]
    return names or other_names or _numbered(shares), shares, rates


def _numbered(shares: list[float]) -> list[str]:
    return [f"pattern {r}" for r in range(len(shares))]


def problem(ref_argument: Sequence[str], ref: list[float], success: list[float]) -> Problem:
    """The problem; a complaint about numbers from a file names the file."""
    from qra_jax.problem import Problem

    try:
        return Problem.from_probs(ref=ref, success=success)
    except ValueError as error:
        said, total = str(error), sum(ref)
        if said.startswith("ref: sums to") and round(total) > 1 and abs(total - round(total)) < 1e-3 * total:
            said += f" (divide by {round(total)}?)"
        if said.startswith("success[") and max(success) > 1:
            said += _percent(max(success))
        raise ValueError(f"{ref_argument[0]}: {said}" if _is_file("ref", ref_argument) else said) from None


def _percent(value: float) -> str:
    """A hint where a rate looks like a percentage."""
    return " (divide by 100?)" if 2 <= value <= 100 else ""


def number(place: str, text: str, allowed: str) -> float:
    """One number.

    >>> number("target", " .5 ", "in (0, 1)")
    0.5
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{place}: {text.strip()!r} is not a number; must be {allowed}") from None


def table(argument: str, path: str, columns: Sequence[str]) -> tuple[list[str] | None, list[list[float]]]:
    """Columns of a CSV file, and the names in its column `pattern`, where it has one.

    Args:
      argument: which argument gave the path, for complaints.
      path: the file; UTF-8, comma separated, with a header.
      columns: columns of probabilities wanted.

    Returns:
      Names of the patterns, if the file has any, and the columns.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [
                (i, row) for i, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)
            ]
    except FileNotFoundError:
        raise ValueError(f"{argument}: {path}: no such file; must be numbers {RATE} or a CSV file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ValueError(f"{argument}: {path}: {reason}; must be numbers {RATE} or a CSV file") from None
    wanted = ["pattern", *columns]
    if not rows:
        raise ValueError(f"{path}: empty; must have a header {','.join(wanted)} and a row for each pattern")
    header = [cell.strip() for cell in rows[0][1]]
    if len(header) == 1:
        for sign, called in ((";", "semicolons"), ("\t", "tabs")):
            if sign in rows[0][1][0]:
                raise ValueError(
                    f"{path}, row {rows[0][0]}: separated by {called}; must be separated by commas"
                )
    for column in wanted:
        if header.count(column) > 1 or (column not in header and column != "pattern"):
            how = "missing" if column not in header else "there twice"
            raise ValueError(
                f"{path}, row {rows[0][0]}: column {column} is {how}; must have {','.join(columns)}, "
                "and may have pattern"
            )
    named = "pattern" in header
    if len(rows) == 1:
        raise ValueError(f"{path}: no rows under the header; must have a row for each pattern")
    seen: dict[str, int] = {}
    values: list[list[float]] = [[] for _ in columns]
    for line, row in rows[1:]:
        if len(row) != len(header):
            cells = f"{len(row)} cell{'s' * (len(row) != 1)}"
            raise ValueError(f"{path}, row {line}: {cells}; must be {len(header)}, as in the header")
        cells = dict(zip(header, row, strict=True))
        if named:
            name = cells["pattern"].strip()
            if not name:
                raise ValueError(f"{path}, row {line}, column pattern: empty; must be a name")
            if name in seen:
                raise ValueError(
                    f"{path}, row {line}: pattern {name!r} is in row {seen[name]} already; must differ"
                )
            seen[name] = line
        for column, into in zip(columns, values, strict=True):
            place = f"{path}, row {line}, column {column}"
            value = number(place, cells[column], RATE)
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise ValueError(f"{place}: {value:g}; must be {RATE}{_percent(value)}")
            into.append(value)
    return list(seen) if named else None, values


def _column(argument: str, tokens: Sequence[str]) -> tuple[list[str] | None, list[float]]:
    if _is_file(argument, tokens):
        names, (values,) = table(argument, tokens[0], (argument,))
        return names, values
    return None, [number(argument, piece, RATE) for piece in _pieces(tokens)]


def _is_file(argument: str, tokens: Sequence[str]) -> bool:
    """Whether a single word that is no list of numbers was given."""
    pieces = _pieces(tokens)
    if not pieces:
        raise ValueError(f"{argument}: empty; must be numbers {RATE} or a CSV file")
    if len(tokens) > 1:
        return False
    try:
        return not [float(piece) for piece in pieces]
    except ValueError:
        return tokens[0].lower().endswith(".csv") or Path(tokens[0]).exists()


def _pieces(tokens: Sequence[str]) -> list[str]:
    """Words cut at commas; a comma may also end or begin a word."""
    return [piece for token in tokens if token.strip() for piece in token.strip().strip(",").split(",")]

"""Numbers and CSV files given by hand; a complaint is one line: place, value, what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qra_jax._files import read_csv

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
    names, shares = column("ref", ref)
    other_names, rates = column("success", success)
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
    wanted = f"numbers {RATE} or a CSV file with columns pattern,{','.join(columns)}"
    try:
        content = read_csv(path, wanted)
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from None
    for column in columns:
        if column not in content.header:
            raise ValueError(
                f"{argument}: {path}: column {column} is missing; must have {','.join(columns)}, and may have pattern"
            )
    values: list[list[float]] = []
    for column in columns:
        values.append([])
        for row, text in enumerate(content.columns[column]):
            place = content.place(row, column)
            value = number(place, text, RATE)
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise ValueError(f"{place}: {value:g}; must be {RATE}{_percent(value)}")
            values[-1].append(value)
    names = content.columns.get("pattern")
    for row, name in enumerate(names or []):
        if not name:
            raise ValueError(f"{content.place(row, 'pattern')}: empty; must be a name")
        earlier = names.index(name) if names else row
        if earlier != row:
            raise ValueError(
                f"{path}, row {content.lines[row]}: pattern {name!r} is in row {content.lines[earlier]} already; "
                "must differ"
            )
    return names, values


def column(argument: str, tokens: Sequence[str]) -> tuple[list[str] | None, list[float]]:
    """Names, where there are any, and numbers, given by hand or in a CSV file's column of the argument's name.

    Args:
      argument: which argument gave them.
      tokens: its words.

    Raises:
      ValueError: text in place of numbers, or an unreadable file.
    """
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

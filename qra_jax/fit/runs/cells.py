"""What a text says: a number in any of the ways in which numbers are printed, nothing, or a step by its name."""

from __future__ import annotations

import re

MISSING = frozenset(
    ("", "na", "nan", "<na>", "nat", "null", "none", "n/a", "n.a.", "missing", "undefined")
) | frozenset(("-", "--", "—", "–", "#n/a", "#na", "#value!", "#div/0!", "#num!"))
"""Texts, in small letters, that say that nothing was measured."""
TRUTH = {"true": 1.0, "false": 0.0}
STEP = re.compile(
    r"(?:^|[-_/ ])(?:global_)?(?:step|ckpt|checkpoint|iter|iteration|epoch|update)s?[-_ ]?(\d+)", re.I
)
"""A checkpoint by its name."""
BIN = re.compile(r"(\d+)\s*(?:-|–|—|to|\.\.)\s*(\d+)")
"""Steps from … to …."""
PRINTED = re.compile(r"(?:np\.(?:float|int)\d+|tensor|array)\(([-+.\deEinfa]+)[^()]*\)")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),\d+\s?%?")
"""A number with a decimal comma, as 0,25 or 1.234,5."""
DOTS = re.compile(r"[-+]?[1-9]\d{0,2}(\.\d{3})+\s?%?")
"""A number with dots at its thousands, where decimals have commas."""


def parsed(text: str) -> float | None:
    """A text as a number: also `37.5%`, `1,234.5`, `True` and what NumPy and PyTorch print; none where it is none.

    >>> parsed("37.5 %"), parsed("tensor(0.5)"), parsed("False"), parsed("step_0100")
    (37.5, 0.5, 0.0, None)
    """
    try:
        return float(text)
    except ValueError:
        pass
    if (truth := TRUTH.get(text.lower())) is not None:
        return truth
    bare = found[1] if (found := PRINTED.fullmatch(text)) else text.removesuffix("%").rstrip()
    if THOUSANDS.fullmatch(bare):
        bare = bare.replace(",", "")
    try:
        return None if bare == text else float(bare)
    except ValueError:
        return None


def with_point(text: str) -> str:
    """A number that is written with a decimal comma, or dots at its thousands, written with a point.

    >>> with_point("1.234,5"), with_point("1.000"), with_point("0.125"), with_point("a, b")
    ('1234.5', '1000', '0.125', 'a, b')
    """
    if COMMA.fullmatch(text):
        return text.replace(".", "").replace(",", ".")
    return text.replace(".", "") if DOTS.fullmatch(text) else text


def is_missing(text: str) -> bool:
    """Whether a text says that nothing was measured."""
    return text.strip().lower() in MISSING


def names_step(text: str) -> bool:
    """Whether a text is a step in words, as `step_0100`, or several, as `1–80`."""
    return len(text) <= 40 and bool(STEP.search(text) or BIN.fullmatch(text)) and not parsed(text)


def step_of(text: str) -> float | None:
    """The step in a name: that of `step_0100`, the middle of `1–80`; none where there is none."""
    if (found := BIN.fullmatch(text.strip())) is not None:
        return (float(found[1]) + float(found[2])) / 2
    if (found := STEP.search(text)) is not None:
        return float(found[1])
    return parsed(text)

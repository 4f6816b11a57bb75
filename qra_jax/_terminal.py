"""How lines and tables are put on a terminal or into a pipe."""

from __future__ import annotations

import io

from rich.console import Console
from rich.markup import escape
from rich.table import Table

TERMS = "Terms: docs/concepts.md"
"""Where the words of the output are explained."""


def say(console: Console, line: str) -> None:
    """A line of prose: wrapped at words where somebody looks at it, whole where a program reads it."""
    console.print(escape(line), soft_wrap=not (console.is_terminal or console.is_jupyter))


def put(console: Console, table: Table) -> None:
    """A table; in a pipe as wide as it is, and without spaces at the ends of its rows."""
    if console.is_terminal or console.is_jupyter:
        console.print(table)
        return
    page = Console(width=500, file=io.StringIO(), highlight=False, force_jupyter=False)
    page.print(table)
    for row in page.file.getvalue().splitlines():  # pyright: ignore[reportAttributeAccessIssue]
        console.print(escape(row.rstrip()), soft_wrap=True)

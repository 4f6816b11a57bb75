"""Claims in the terminal: tables that also read well in a pipe."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from rich import markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qra_jax.claims import frame
from qra_jax.claims.changes import Changes
from qra_jax.claims.conflicts import contradictions
from qra_jax.claims.records import VERDICTS, Record, how_to_run, said, whose

_STYLES = {"holds": "green", "holds only if": "yellow", "fails": "red", "open": "blue"}
MARKS = {verdict: (frame.MARKS[verdict], style) for verdict, style in _STYLES.items()}
"""Mark and colour of each verdict."""


def console() -> Console:
    """Stdout; in a pipe lines are not broken."""
    return Console() if sys.stdout.isatty() else Console(width=10_000)


def listing(records: Sequence[Record]) -> None:
    """Print a line for each claim, and how many have each verdict; in a pipe the lines alone, parted by tabs."""
    if not sys.stdout.isatty():
        for one in records:
            print("\t".join((one["verdict"], one["id"], whose(one), one["statement"])))
        return
    table = Table(box=None, padding=(0, 1), show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for one in records:
        mark, style = MARKS[one["verdict"]]
        told = f"{markup.escape(one['statement'])} [{style}]{markup.escape(said(one))}[/]"
        table.add_row(f"[{style}]{mark}[/]", f"{told} [dim]{one['id']} · {markup.escape(whose(one))}[/dim]")
    out = console()
    out.print(table)
    out.print(f"[dim]{markup.escape(tally(records))}; qra claims show ID tells all of one[/dim]")


def tally(records: Sequence[Record]) -> str:
    """How many claims have each verdict, in words."""
    counts = Counter(one["verdict"] for one in records)
    told = ", ".join(f"{verdict} {counts[verdict]}" for verdict in VERDICTS if counts[verdict])
    return f"{len(records)} claim{'s' * (len(records) != 1)}" + (f": {told}" if told else "")


def details(one: Record, records: Sequence[Record]) -> None:
    """Print all that is known of a claim; in a pipe a line for each part, its name before a tab."""
    told = [(name, value) for name, value in parts(one, records) if value]
    if not sys.stdout.isatty():
        for name, value in told:
            print(f"{name}\t{value}")
        return
    styles = {"claim": "bold", "verdict": MARKS[one["verdict"]][1]}
    grid = Table.grid(padding=(0, 2))
    for name, value in told:
        grid.add_row(f"[dim]{name}[/dim]", Text(value, style=styles.get(name, "")))
    console().print(grid)


def parts(one: Record, records: Sequence[Record]) -> list[tuple[str, str]]:
    """All that is known of a claim, by name."""
    pairs = [("claim", one["statement"]), ("verdict", said(one)), ("origin", one["origin"]["source"])]
    pairs += [
        ("it says", one["origin"]["words"]),
        ("predicted", one["tolerance"]),
        ("measured", one["measured"]),
    ]
    for control in one["controls"]:
        must = "has to fail" if control["kind"] == "null" else "has to hold"
        told = f"{control['description']} ({must}): {control['verdict']}; {control['measured']}"
        pairs.append((f"{control['kind']} control", told))
    pairs.append(("no control", one["needs_no_control"]))
    for pair in contradictions(records):
        if one["id"] in (pair.first["id"], pair.second["id"]):
            other = pair.second if one["id"] == pair.first["id"] else pair.first
            pairs.append(("contradicts", f"{other['id']}: {other['statement']} {pair.decision}"))
    pairs.append(("settings", "; ".join(f"{name}: {value}" for name, value in one["conditions"].items())))
    around = [
        f"{k} {v}" for k, v in one["environment"].items() if k in ("device", "python", "jax", "qra_jax")
    ]
    size = "quick version" if one["environment"].get("quick") else "full version"
    pairs.append(("made with", ", ".join([size, *around])))
    by = one.get("contributor") or {}
    pairs.append(("contributor", ", ".join(str(part) for part in by.values() if part)))
    return [*pairs, ("fingerprint", one["fingerprint"]), ("to run", how_to_run(one))]


def changes(found: Changes) -> None:
    """Print what differs between two sets of records."""
    out = console()
    for name, before, after in found.verdicts:
        out.print(
            f"[bold]verdict[/bold]    {name}: {markup.escape(before)} → {markup.escape(after)}",
            highlight=False,
        )
    for name, what, before, after in found.words:
        out.print(f"{what:10} {name}: {markup.escape(before)} → {markup.escape(after)}", highlight=False)
    for name, what, before, after in found.moved:
        told = f"{what}: {before} → {after}"
        out.print(f"moved      {name}: {markup.escape(told)}", highlight=False)
    for name in found.new:
        out.print(f"new        {name}", highlight=False)
    for name in found.gone:
        out.print(f"gone       {name}", highlight=False)
    counts = {
        "verdict changed": len(found.verdicts),
        "text changed": len(found.words),
        "estimate moved": len(found.moved),
        "new": len(found.new),
        "gone": len(found.gone),
    }
    told = ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "nothing changed"
    out.print(f"[dim]{found.compared} claims in both; {told}[/dim]", highlight=False)

"""The report: one self-contained page; the claims as JSON, as Markdown and as a table for the terminal."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from rich import markup
from rich.console import Group
from rich.table import Table

from qra_jax import _files
from qra_jax.claims.frame import kind
from qra_jax.claims.records import ORIGINS, VERDICTS, said
from qra_jax.claims.terminal import MARKS

QUICK = (
    "This is the quick version: fewer members, coarser grids and smaller networks. More claims stay open than in "
    "the full one, and numbers are rougher; qra reproduce without --quick makes that."
)
WORDS = (
    "A claim holds where the interval of what was measured lies inside the region that it says, fails where the two "
    "are apart, and is open otherwise. It holds only if … where some settings are on one side and some on the other: "
    "the condition is found from the data. All intervals of a study share one nominal error rate, .05. Each claim has "
    "a control, the same test where the effect must be absent: unless it holds nowhere there, and fails in most "
    "places, the claim is open."
)


@dataclass(frozen=True)
class Result:
    """What a study left behind.

    Attributes:
      name: the study.
      subject: its folder.
      title: its one-line title.
      text: its docstring.
      claims: records of its claims.
      stamp: run time, quick or full, device and versions.
      figure: PNG.
      error: traceback, where it crashed.
    """

    name: str
    subject: str
    title: str
    text: str
    claims: list[dict[str, Any]] = field(default_factory=list)
    stamp: dict[str, Any] = field(default_factory=dict)
    figure: bytes = b""
    error: str | None = None


def one_line(error: BaseException | str) -> str:
    """An exception, or the last line of a traceback, in one line."""
    if isinstance(error, BaseException):
        error = f"{type(error).__name__}: {error}"
        return " ".join(error.split())
    lines = error.strip().splitlines()
    return lines[-1] if lines else "no message"


def claims(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Records of all claims, in the order of the report."""
    return [row for result in results for row in result.claims]


def tally(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """How many claims of each origin have each verdict."""
    return {
        origin: {
            verdict: sum(row["origin"]["kind"] == origin and row["verdict"] == verdict for row in rows)
            for verdict in VERDICTS
        }
        for origin in ORIGINS
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """The tally in words: the literature's claims apart from this package's own."""
    parts = []
    for origin, counts in tally(rows).items():
        total = sum(counts.values())
        if total:
            words = ", ".join(f"{n} {_plural(verdict, n)}" for verdict, n in counts.items() if n)
            parts.append(f"{total} {ORIGINS[origin]}: {words}")
    return f"{len(rows)} claims. " + "; ".join(parts) + "." if rows else "No claims yet."


def _plural(verdict: str, count: int) -> str:
    return (
        verdict
        if count == 1
        else {"holds": "hold", "holds only if": "hold only if …", "fails": "fail"}.get(verdict, verdict)
    )


def listing(results: Sequence[Result], *, quick: bool = False) -> Group:
    """The claims for the terminal, at any width: a mark, the claim, what was predicted and what was measured."""
    lines = Table.grid(padding=(0, 1))
    for result in results:
        lines.add_row("", f"[bold]{markup.escape(result.title)}[/bold] [dim]({result.name})[/dim]")
        if result.error is not None:
            lines.add_row("[red]![/red]", f"[red]crashed: {markup.escape(one_line(result.error))}[/red]")
        for row in result.claims:
            mark, style = MARKS[row["verdict"]]
            statement, verdict = markup.escape(row["statement"]), markup.escape(said(row))
            lines.add_row(
                f"[{style}]{mark}[/{style}]",
                f"{statement} [{style}]{verdict}[/{style}] [dim]{row['id']}[/dim]",
            )
            predicted, measured = markup.escape(row["tolerance"]), markup.escape(row["measured"])
            lines.add_row("", f"[dim]predicted {predicted}; measured {measured}[/dim]")
        lines.add_row("", "")
    return Group(lines, summary(claims(results)), *([f"[dim]{QUICK}[/dim]"] if quick else []))


def details(rows: Sequence[Mapping[str, Any]]) -> Table:
    """All that is known of some claims, for the terminal."""
    lines = Table.grid(padding=(0, 2))
    for row in rows:
        pairs = [
            ("claim", f"[bold]{markup.escape(row['statement'])}[/bold]"),
            ("verdict", f"[{MARKS[row['verdict']][1]}]{markup.escape(said(row))}[/]"),
            ("origin", markup.escape(row["origin"]["source"])),
            ("it says", markup.escape(row["origin"]["words"] or "–")),
            ("predicted", markup.escape(row["tolerance"])),
            ("measured", markup.escape(row["measured"])),
            *(
                (
                    f"{control['kind']} control",
                    markup.escape(f"{control['description']}: {control['verdict']}; {control['measured']}"),
                )
                for control in row["controls"]
            ),
            *([("no control", markup.escape(row["needs_no_control"]))] if row["needs_no_control"] else []),
            ("settings", markup.escape("; ".join(f"{k}: {v}" for k, v in row["conditions"].items()))),
            ("fingerprint", row["fingerprint"]),
        ]
        for name, value in pairs:
            lines.add_row(f"[dim]{name}[/dim]", value)
        lines.add_row("", "")
    return lines


def write(results: Sequence[Result], out: Path, *, waiting: Sequence[str] = (), quick: bool = False) -> None:
    """Write `claims.json`, the same as `claims.md`, and `report.html`.

    Args:
      results: in the order of the report.
      out: folder.
      waiting: studies that are still to come.
      quick: whether this run makes quick versions.
    """
    rows = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in claims(results)]
    _files.write(out / "claims.json", "[\n" + ",\n".join(rows) + "\n]\n")
    _files.write(out / "claims.md", markdown(results))
    _files.write(out / "report.html", page(results, waiting=waiting, quick=quick))


def markdown(results: Sequence[Result]) -> str:
    """The claims as a page of Markdown: how many hold by origin, then each study's.

    Args:
      results: in the order of the report.
    """
    rows = claims(results)
    head = "| | " + " | ".join(VERDICTS) + " |\n|---|" + "---|" * len(VERDICTS)
    counts = [
        f"| {ORIGINS[o]} | " + " | ".join(str(n) for n in c.values()) + " |" for o, c in tally(rows).items()
    ]
    lines = [
        f"# Claims and verdicts\n\n{len(rows)} claims, by origin:",
        "\n".join([head, *counts]),
        WORDS,
        *_quick(results),
        "Made by `qra reproduce`; `claims.json` beside it holds the records, in the form of `claim.schema.json`.",
    ]
    for result in results:
        lines.append(f"## {_markdown(result.title)}")
        lines.append(_markdown(_foot(result)))
        for row in result.claims:
            lines.append(f"**{_markdown(row['statement'])}** — *{_markdown(said(row))}*")
            controls = [f"{c['description']}: {c['verdict']}, {c['measured']}" for c in row["controls"]]
            pairs = [
                ("origin", row["origin"]["source"]),
                ("there", row["origin"]["words"]),
                ("predicted", row["tolerance"]),
                ("measured", row["measured"]),
                ("control", "; ".join(controls) or f"none: {row['needs_no_control']}"),
            ]
            lines.append("\n".join(f"- {name}: {_markdown(value)}" for name, value in pairs if value))
    return "\n\n".join(lines) + "\n"


def _quick(results: Sequence[Result]) -> list[str]:
    """Which of the results are of quick versions."""
    names = [result.name for result in results if result.stamp.get("quick")]
    if len(names) < len(results):
        return [f"Of these studies the quick versions were run: {', '.join(names)}."] if names else []
    return [QUICK]


def _markdown(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|~$])", r"\\\1", " ".join(text.split()))


def _foot(result: Result) -> str:
    """Which version of a study ran, for how long, and on what."""
    stamp = result.stamp
    around = stamp.get("environment", {})
    versions = ", ".join(
        f"{key} {around[key]}" for key in ("python", "jax", "diffrax", "qra_jax") if key in around
    )
    version = "quick" if stamp.get("quick") else "full"
    took = f"{stamp.get('seconds', 0):.0f} s on {around.get('device', '?')}"
    return f"{result.subject}/{result.name}, {version} version, {took}; {versions}"


def page(results: Sequence[Result], *, waiting: Sequence[str] = (), quick: bool = False) -> str:
    """The report as one HTML page that needs no other file."""
    rows = claims(results)
    banner = f"<p class=banner>{escape(QUICK)}</p>\n" if quick else ""
    if waiting:
        banner += (
            f"<p class=banner>{len(waiting)} studies are still to come: {escape(', '.join(waiting))}.</p>\n"
        )
    head = "".join(f"<th>{escape(verdict)}</th>" for verdict in VERDICTS)
    counts = "".join(
        f"<tr><td>{ORIGINS[origin]}</td>" + "".join(f"<td>{n}</td>" for n in by.values()) + "</tr>"
        for origin, by in tally(rows).items()
    )
    subjects = dict.fromkeys(result.subject for result in results)
    contents = "".join(
        f"<h3>{escape(subject or 'crashed')}</h3><ul>"
        + "".join(
            f'<li><a href="#{escape(r.name)}">{escape(r.title)}</a> {_dots(r)}</li>'
            for r in results
            if r.subject == subject
        )
        + "</ul>"
        for subject in subjects
    )
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>qra reproduce</title><style>{_CSS}</style>\n"
        f"<h1>Claims</h1>{banner}"
        f"<table class=tally><thead><tr><th>{len(rows)} claims</th>{head}</tr></thead><tbody>{counts}</tbody></table>\n"
        f"<p>{escape(WORDS)}</p>{contents}{''.join(map(_section, results))}</html>\n"
    )


def _dots(result: Result) -> str:
    """One mark for each claim."""
    return "".join(
        f'<span class="{kind(row["verdict"])}">{MARKS[row["verdict"]][0]}</span>' for row in result.claims
    )


def _section(result: Result) -> str:
    heading = f'<section id="{escape(result.name)}"><h2>{escape(result.title)}</h2>\n'
    if result.error is not None:
        return f"{heading}<p class=crashed>crashed</p><pre>{escape(result.error)}</pre></section>\n"
    parts = result.text.split("\n\n")
    lines = (
        part if "\n " in part or part.startswith((" ", "-")) else " ".join(part.split()) for part in parts
    )
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    image = base64.b64encode(result.figure).decode()
    figure = f'<img alt="{escape(result.title)}" src="data:image/png;base64,{image}">\n' if image else ""
    untested = result.stamp.get("untested", [])
    left = f"<p>Left out without measured runs: {escape(', '.join(untested))}.</p>" if untested else ""
    claims = "".join(map(_claim, result.claims))
    return f"{heading}{text}{figure}{claims}{left}<p class=foot>{escape(_foot(result))}</p></section>\n"


def _claim(row: Mapping[str, Any]) -> str:
    """A claim: its statement and verdict; below, whose it is, what was predicted, measured, and controlled."""
    pairs = [("origin", row["origin"]["source"]), ("there", row["origin"]["words"])]
    pairs += [("predicted", row["tolerance"]), ("measured", row["measured"])]
    pairs += [
        (f"{c['kind']} control", f"{c['description']}: {c['verdict']}; {c['measured']}")
        for c in row["controls"]
    ]
    pairs += [("no control", row["needs_no_control"])]
    body = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs if value)
    mark = MARKS[row["verdict"]][0]
    verdict = f'<span class="{kind(row["verdict"])}">{mark} {escape(said(row))}</span>'
    statement = f"<p>{escape(row['statement'])} {verdict}</p>"
    return f'<div class=claim id="{escape(row["id"])}">{statement}<dl>{body}</dl></div>\n'


_CSS = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1,h2{line-height:1.2}h3{margin:1rem 0 0;text-transform:capitalize;font-size:1rem}
section{margin-top:3.5rem;border-top:1px solid #ddd}img{max-width:100%}
ul{margin:.2rem 0;padding-left:1.2rem}p{max-width:50rem;white-space:pre-line}
.tally{border-collapse:collapse}
.tally td,.tally th{padding:.2rem 1rem .2rem 0;text-align:left;border-bottom:1px solid #ddd}
.claim{margin:1.2rem 0;border-left:3px solid #ddd;padding-left:.8rem}.claim p{margin:0;font-weight:600}
dl{display:grid;grid-template-columns:8rem 1fr;gap:.1rem .6rem;font-size:.87rem;margin:.3rem 0}
dt{color:#666}dd{margin:0}
.holds{color:#00704d}.fails{color:#b3400a}.if{color:#8a5a00}.open{color:#0b5394}.crashed{color:#8b0000}
pre{background:#f6f6f6;padding:.8rem;overflow-x:auto;font-size:.8rem}
.banner{background:#fff6dd;border:1px solid #e5d49a;padding:.6rem .8rem}
.foot{color:#666;font-size:.8rem}a{color:#0072b2}
"""

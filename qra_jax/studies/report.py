"""The report: one self-contained page; the claims as JSON, as Markdown and as a table for the terminal."""

from __future__ import annotations

import base64
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from rich import markup
from rich.table import Table

from qra_jax import _files
from qra_jax.studies.base import FAILS, HOLDS

CRASHED = "crashed"


@dataclass(frozen=True)
class Result:
    """What a study left behind.

    Attributes:
      name: the study.
      title: its one-line title.
      text: its docstring.
      verdicts: records of its verdicts.
      stamp: run time, quick or full, device and versions.
      figure: PNG.
      error: traceback, where it crashed.
    """

    name: str
    title: str
    text: str
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    stamp: dict[str, Any] = field(default_factory=dict)
    figure: bytes = b""
    error: str | None = None


def one_line(error: BaseException | str) -> str:
    """An exception, or the last line of a traceback, in one line."""
    if isinstance(error, BaseException):
        error = f"{type(error).__name__}: {error}"
        return " ".join(error.split())
    return error.strip().splitlines()[-1]


def claims(results: list[Result]) -> list[dict[str, Any]]:
    """Every claim as one flat record with the environment it was measured in.

    Args:
      results: in the order of the report.

    Returns:
      Dictionaries with `study`, `claim`, `source`, `predicted`, `measured`, `verdict`, `environment`.
    """
    rows = []
    for result in results:
        around = {key: value for key, value in result.stamp.items() if key != "source"}
        if result.error is not None:
            crash = {"claim": result.title, "source": "", "predicted": "", "measured": one_line(result.error)}
            rows.append({"study": result.name, **crash, "verdict": CRASHED, "environment": around})
        rows += [{"study": result.name, **verdict, "environment": around} for verdict in result.verdicts]
    return rows


def listing(results: list[Result]) -> Table:
    """The claims for the terminal, at any width: a mark, the claim, what was predicted and what was measured."""
    lines = Table.grid(padding=(0, 1))
    for result in results:
        lines.add_row("", f"[bold]{markup.escape(result.title)}[/bold] [dim]({result.name})[/dim]")
        for row in claims([result]):
            claim, predicted, measured, verdict = (
                markup.escape(_cell(row[key])) for key in ("claim", "predicted", "measured", "verdict")
            )
            mark, style = _MARKS[_kind(row["verdict"])]
            lines.add_row(f"[{style}]{mark}[/{style}]", f"{claim} [{style}]{verdict}[/{style}]")
            lines.add_row("", f"[dim]predicted {predicted}; measured {measured}[/dim]")
        lines.add_row("", "")
    lines.add_row("", _summary(claims(results)))
    return lines


def write(results: list[Result], out: Path) -> None:
    """Write `claims.json`, the same as `claims.md`, and `report.html`.

    Args:
      results: in the order of the report.
      out: folder.
    """
    rows = claims(results)
    text = json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False)
    _files.write(out / "claims.json", text + "\n")
    _files.write(out / "claims.md", markdown(rows, {result.name: result.title for result in results}))
    _files.write(out / "report.html", page(results))


def markdown(rows: list[dict[str, Any]], titles: Mapping[str, str]) -> str:
    """The claims as a page of Markdown: how many hold, then a table for each study.

    Args:
      rows: as in `claims.json`.
      titles: title of each study, by name.

    Returns:
      The page.
    """
    told = [f"# Claims and verdicts\n\n{_summary(rows)} Made from `claims.json` by `qra reproduce`."]
    for name in dict.fromkeys(row["study"] for row in rows):
        study = [row for row in rows if row["study"] == name]
        told.append(f"## {_markdown(titles[name])}")
        told.append(_markdown(_foot(name, study[0]["environment"])))
        keys = ["claim", "source", "predicted", "measured", "verdict"]
        lines = [f"| {' | '.join(keys)} |", f"|{'---|' * len(keys)}"]
        for row in study:
            cells = [_markdown(_cell(row[key])) for key in keys]
            lines.append(f"| {' | '.join(cells[:-1])} | **{cells[-1]}** |")
        told.append("\n".join(lines))
    return "\n\n".join(told) + "\n"


def _markdown(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|~$])", r"\\\1", " ".join(text.split()))


def _summary(rows: list[dict[str, Any]]) -> str:
    counts = {kind: sum(_kind(row["verdict"]) == kind for row in rows) for kind in _KINDS}
    summary = ", ".join(f"{count} {_KINDS[kind]}" for kind, count in counts.items() if count) or "none"
    return f"{len(rows)} claims: {summary}."


def _foot(name: str, stamp: dict[str, Any]) -> str:
    """Which version of a study ran, for how long, and on what."""
    versions = ", ".join(
        f"{key} {stamp[key]}" for key in ("python", "jax", "diffrax", "qra_jax") if key in stamp
    )
    version = "quick" if stamp.get("quick") else "full"
    took = f"{stamp.get('seconds', 0):.1f} s on {stamp.get('device', '?')}"
    return f"{name}, {version} version, {took}; {versions}"


def page(results: list[Result]) -> str:
    """The report as one HTML page that needs no other file."""
    rows = claims(results)
    body = "".join(_section(result) for result in results)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>qra reproduce</title><style>{_CSS}</style>\n"
        f"<h1>Claims</h1><p>{_summary(rows)}</p>\n"
        f"{_rows(rows, with_study=True)}{body}</html>\n"
    )


def _section(result: Result) -> str:
    heading = f'<section id="{escape(result.name)}"><h2>{escape(result.title)}</h2>\n'
    if result.error is not None:
        return f"{heading}<pre>{escape(result.error)}</pre></section>\n"
    parts = inspect.cleandoc(result.text).split("\n\n")
    lines = (
        part if "\n " in part or part.startswith((" ", "-")) else " ".join(part.split()) for part in parts
    )
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    image = base64.b64encode(result.figure).decode()
    foot = escape(_foot(result.name, result.stamp))
    return (
        f'{heading}{text}<img alt="{escape(result.title)}" src="data:image/png;base64,{image}">\n'
        f"{_rows(claims([result]), with_study=False)}<p class=foot>{foot}</p></section>\n"
    )


def _rows(rows: list[dict[str, Any]], *, with_study: bool) -> str:
    keys = ["study"] * with_study + ["claim", "source", "predicted", "measured", "verdict"]
    head = "".join(f"<th>{key}</th>" for key in keys)
    lines = []
    for row in rows:
        cells = {key: escape(_cell(row[key])) for key in keys}
        if with_study:
            cells["study"] = f'<a href="#{cells["study"]}">{cells["study"]}</a>'
        cells["verdict"] = f'<span class="{_kind(row["verdict"])}">{cells["verdict"]}</span>'
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells.values()) + "</tr>\n")
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{''.join(lines)}</tbody></table>\n"


def _cell(value: str | float | int) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _kind(verdict: str) -> str:
    return verdict if verdict in (HOLDS, FAILS, CRASHED) else "condition"


_KINDS = {"holds": "hold", "condition": "hold under a condition", "fails": "fail", "crashed": "crashed"}

_MARKS = {
    "holds": ("✓", "green"),
    "condition": ("~", "yellow"),
    "fails": ("✗", "red"),
    CRASHED: ("!", "red"),
}

_CSS = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1,h2{line-height:1.2}section{margin-top:3.5rem;border-top:1px solid #ddd}img{max-width:100%}
table{border-collapse:collapse;width:100%;font-size:.87rem;margin:1rem 0}
th{text-align:left;border-bottom:2px solid #222;padding:.3rem .6rem .3rem 0}
td{vertical-align:top;border-bottom:1px solid #e5e5e5;padding:.3rem .6rem .3rem 0}
td span{font-weight:600}
.holds{color:#00704d}.fails{color:#b3400a}.condition{color:#8a5a00}.crashed{color:#8b0000}
pre{background:#f6f6f6;padding:.8rem;overflow-x:auto;font-size:.8rem}p{max-width:50rem;white-space:pre-line}
.foot{color:#666;font-size:.8rem}a{color:#0072b2}
"""

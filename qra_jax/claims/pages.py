"""The claims as static pages: a table to search and sort, a page for each claim, a page of contradictions.

They need no network and no server: links are to files, styles and scripts lie beside or inside.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from qra_jax import _files
from qra_jax.claims import claim_page, tables
from qra_jax.claims.conflicts import Conflict, contradictions, divided
from qra_jax.claims.frame import badge, kind, page
from qra_jax.claims.records import ORIGINS, PUBLISHED, VERDICTS, Record, schema, searched, whose

HERE = Path(__file__).parent
MEANINGS = {
    "holds": "what was measured lies where the claim says",
    "holds only if": "under a condition that the data gave",
    "fails": "it lies elsewhere",
    "open": "the data, or a control, do not decide",
}
CONFLICTS = "contradictions.html"
_ID = re.compile(schema()["properties"]["id"]["pattern"])


def site(
    records: Sequence[Record], *, results: str | Path | None = None, home: str | None = None
) -> Iterator[tuple[str, str | bytes]]:
    """The files of the site, each with its path.

    Args:
      records: of claims.
      results: a folder that `qra reproduce` wrote, for the figures of the studies.
      home: where, seen from the table, the pages are that this site belongs to.

    Raises:
      ValueError: an id that is none.
    """
    for one in records:
        if not _ID.fullmatch(one["id"]) or not one["id"].startswith(f"{one['study']}/"):
            raise ValueError(f"id: {one['id']!r}; must be the study, {one['study']!r}, a slash and a name")
    data = tables.contents(records)
    yield from data.items()
    style = (HERE / "claims.css").read_text(encoding="utf-8")
    yield "claims.css", style
    yield "index.html", _table(records, style, data[tables.CROISSANT], home)
    yield CONFLICTS, _conflicts(records, home)
    figures = {}
    for study in dict.fromkeys(one["study"] for one in records) if results is not None else ():
        file = Path(results or "") / study / "figure.png"
        if file.is_file():
            figures[study] = _version(file.parent)
            yield f"{study}/figure.png", file.read_bytes()
    yield from claim_page.pages(records, figures, home)


def write(
    out: str | Path,
    records: Sequence[Record],
    *,
    results: str | Path | None = None,
    home: str | None = None,
) -> Path:
    """Write the site into a folder.

    Args:
      out: the folder.
      records, results, home: as for [`site`][qra_jax.claims.pages.site].

    Returns:
      The path of its table, `index.html`.

    Raises:
      ValueError: `out` is a file.
    """
    out = _files.folder("out", out)
    for path, content in site(records, results=results, home=home):
        _files.write(out / path, content)
    return out / "index.html"


def _version(folder: Path) -> str:
    """Which version of a study left a folder of results: `"quick"`, `"full"`, or unknown."""
    try:
        stamp = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        return "quick" if stamp["quick"] else "full"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


# ---- the table


def _table(records: Sequence[Record], style: str, croissant: str, home: str | None) -> str:
    counts = Counter(one["verdict"] for one in records)
    buttons = "".join(
        f'<button type=button class="{kind(verdict)}" value="{verdict}" aria-pressed=false>'
        f"<b>{badge(verdict, mark_only=True)}<span class=n>{counts[verdict]}</span></b>"
        f"{verdict}<small>{meaning}</small></button>"
        for verdict, meaning in MEANINGS.items()
    )
    origins = [(name, words) for name, words in ORIGINS.items()]
    if any("contributed" in _origins(one) for one in records):
        origins.append(("contributed", "contributed by others"))
    papers = Counter(_paper(one) for one in records if one["paper"])
    names = {_paper(one): _label(one, records) for one in records if one["paper"]}
    subjects = Counter(one["subject"] for one in records)
    origin_counts = Counter(name for one in records for name in _origins(one))
    filters = (
        '<label class=search>Search <input id=q type=search placeholder="words, e.g. clip entropy (press /)" '
        "autocomplete=off></label>"
        + _select("origin", "Origin", [(n, f"{w} ({origin_counts[n]})") for n, w in origins])
        + _select(
            "paper",
            "Paper",
            sorted(((n, f"{names[n]} ({c})") for n, c in papers.items()), key=lambda x: x[1].lower()),
        )
        + _select("subject", "Subject", [(n, f"{n} ({c})") for n, c in subjects.items()])
        + "<button type=button id=clear hidden>Clear</button>"
    )
    heads = (
        ("v", "verdict", "Verdict"),
        ("c", "claim", "Claim"),
        ("w", "source", "Whose"),
        ("s", "subject", "Subject"),
    )
    head = "".join(
        f"<th class={cls} scope=col data-key={key} aria-sort=none><button type=button>{name}</button></th>"
        for cls, key, name in heads
    )
    rows = "\n".join(map(_row, records))
    of_papers = sum(one["paper"] is not None for one in records)
    lead = (
        f"{len(records)} claims about reinforcement learning of language models after pre-training, {of_papers} of "
        f"them made by {len(papers)} papers: each with what was predicted, what was measured, a control, and a verdict."
    )
    body = (
        f"<h1>Which claims about RL post-training hold?</h1><p>{lead}</p>"
        f"<div class=verdicts role=group aria-label='Show only these verdicts'>{buttons}</div>"
        f"<div class=filters>{filters}</div><p id=shown aria-live=polite>All {len(records)} claims</p>"
        f"<table class=claims><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
        "<h2>As data</h2><p>"
        f'<a href="{tables.CSV}" download>{tables.CSV}</a> (a row a claim), '
        f'<a href="{PUBLISHED}" download>{PUBLISHED}</a> (whole records), '
        f'<a href="{tables.CROISSANT}" download>{tables.CROISSANT}</a> (Croissant 1.0 metadata of both). '
        "<code>qra claims list</code>, <code>show</code>, <code>validate</code>, <code>diff</code> and "
        "<code>export</code> do the same in a terminal. A claim of yours: test it by a study of your own, and put its "
        "record into <code>docs/contributed/</code>; <code>qra claims validate</code> checks it.</p>"
        f"<script>\n{(HERE / 'claims.js').read_text(encoding='utf-8')}</script>"
    )
    safe = croissant.replace("<", "\\u003c")
    extra = f"<style>{style}</style><script type='application/ld+json'>{safe}</script>"
    return page("Claims and verdicts", body, extra=extra, here="table", up="", home=home)


def _select(name: str, label: str, options: Sequence[tuple[str, str]]) -> str:
    told = "".join(f'<option value="{escape(value)}">{escape(words)}</option>' for value, words in options)
    return f"<label>{label} <select id={name}><option value=''>all</option>{told}</select></label>"


def _row(one: Record) -> str:
    data = {
        "v": one["verdict"],
        "r": VERDICTS.index(one["verdict"]),
        "o": " ".join(_origins(one)),
        "p": _paper(one),
        "s": one["subject"],
        "t": searched(one),
    }
    marks = " ".join(f'data-{name}="{escape(str(value))}"' for name, value in data.items())
    told = f"if {one['reason']} · {one['measured']}" if one["verdict"] == "holds only if" else one["measured"]
    return (
        f"<tr {marks}><td class=v>{badge(one['verdict'])}</td>"
        f"<td class=c>{_link(one)}<small>{escape(told)}</small></td><td class=w>{escape(whose(one))}</td>"
        f"<td class=s>{escape(one['subject'])}<br><small>{escape(one['study'])}</small></td></tr>"
    )


def _link(one: Record) -> str:
    return f'<a href="{escape(one["id"])}/index.html">{escape(one["statement"])}</a>'


def _origins(one: Record) -> list[str]:
    return [one["origin"]["kind"], *(["contributed"] if "contributor" in one else [])]


def _paper(one: Record) -> str:
    """What tells papers apart: the arXiv number, or else the authors."""
    told = one["paper"]
    return (told["arxiv"] or told["authors"]) if told else ""


def _label(one: Record, records: Sequence[Record]) -> str:
    """A paper in the list: its authors, where any of its claims names them, and its number."""
    same = [other["paper"] for other in records if other["paper"] and _paper(other) == _paper(one)]
    authors = next((paper["authors"] for paper in same if paper["authors"]), "")
    return ", ".join(part for part in (authors, same[0]["arxiv"]) if part)


# ---- contradictions


def _conflicts(records: Sequence[Record], home: str | None) -> str:
    stated, both = contradictions(records), divided(records)
    parts = [
        "<h1>Which claims contradict each other, and what decided?</h1>",
        "<p>Two claims stand here side by side if one of them says that it cannot be true together with the other.</p>",
        "".join(map(_pair, stated)) or "<p>No claim names another one that it contradicts.</p>",
        "<h2>One claim of a paper, two answers</h2>",
        "<p>A paper's words can be tested in more than one study. Here they hold in one, perhaps under a condition, "
        "and fail in another: what differs between the two tests is what the words leave out.</p>",
        "".join(_pair(pair, of_paper=True) for pair in both) or "<p>There is none.</p>",
    ]
    extra = '<link rel=stylesheet href="claims.css">'
    return page("Contradictions", "".join(parts), extra=extra, here="conflicts", up="", home=home)


def _pair(pair: Conflict, *, of_paper: bool = False) -> str:
    title = f"{whose(pair.first)}: {pair.first['paper']['says']}" if of_paper else pair.decision
    sides = "".join(_side(one, words=not of_paper) for one in (pair.first, pair.second))
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(a)}</td><td>{escape(b)}</td></tr>"
        for name, (a, b) in pair.differences.items()
    )
    head = f"<tr><th>setting</th><th>{escape(pair.first['id'])}</th><th>{escape(pair.second['id'])}</th></tr>"
    differ = f"<details><summary>{len(pair.differences)} settings differ</summary><table>{head}{rows}</table></details>"
    return f"<div class=pair><h3>{escape(title)}</h3><div class=sides>{sides}</div>{differ if rows else ''}</div>"


def _side(one: Record, *, words: bool) -> str:
    told = (
        f"<p class=soft>{escape(': '.join(filter(None, (whose(one), one['origin']['words']))))}</p>"
        if words
        else ""
    )
    reason = f"<p>{escape(one['reason'])}</p>" if one["reason"] else ""
    return (
        f'<div class="side {kind(one["verdict"])}"><p>{_link(one)}</p>'
        f"{told}<p>{badge(one['verdict'])}</p>{reason}<p class=soft>Measured: {escape(one['measured'])}</p></div>"
    )

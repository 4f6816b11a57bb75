"""The page of one claim: whose it is, what was predicted and measured, the controls, and how to run it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from qra_jax.claims import figure
from qra_jax.claims.checks import outcomes
from qra_jax.claims.conflicts import contradictions
from qra_jax.claims.frame import badge, kind, page
from qra_jax.claims.records import Record, how_to_run, whose

UP = "../../"
"""From the page of a claim to the folder of the table."""
_FLAGS = {1: "holds", -1: "fails", 0: "open"}
MUST = {
    "null": ("Null control", "has to fail", "fails"),
    "positive": ("Positive control", "has to hold", "holds"),
}
_KEY = (
    "<p class=key><span><svg width=14 height=14><rect class=band width=14 height=14 /></svg>"
    "where the claim says it lies</span>"
    + "".join(
        f"<span><svg width=14 height=14 class=plot style='background:none'><svg x=7 y=7 overflow=visible class={name}>"
        f"{figure.SHAPES[name]}</svg></svg>{name}</span>"
        for name in ("holds", "fails", "open")
    )
    + "<span>a line is the interval</span></p>"
)


def pages(
    records: Sequence[Record], figures: Mapping[str, str], home: str | None
) -> Iterator[tuple[str, str]]:
    """A page for each claim, with its path.

    Args:
      records: of claims.
      figures: studies whose figure is there, with the version that drew it.
      home: as for [`page`][qra_jax.claims.frame.page].
    """
    against: dict[str, list[tuple[Record, str]]] = {}
    for pair in contradictions(records):
        against.setdefault(pair.first["id"], []).append((pair.second, pair.decision))
        against.setdefault(pair.second["id"], []).append((pair.first, pair.decision))
    studies: dict[str, list[Record]] = {}
    papers: dict[str, list[Record]] = {}
    for one in records:
        studies.setdefault(one["study"], []).append(one)
        if one["paper"]:
            papers.setdefault(one["paper"]["arxiv"] or one["paper"]["authors"], []).append(one)
    for one in records:
        paper = one["paper"]
        beside = papers[paper["arxiv"] or paper["authors"]] if paper else []
        body = "".join(
            (
                _head(one),
                _evidence(one),
                _controls(one),
                _source(one),
                _against(against.get(one["id"], [])),
                _drawn(one, figures),
                _run(one),
                _links("Other claims of this paper", one, beside),
                _links(
                    "Other claims of this study", one, [x for x in studies[one["study"]] if x not in beside]
                ),
            )
        )
        extra = f'<link rel=stylesheet href="{UP}claims.css">'
        yield (
            f"{one['id']}/index.html",
            page(f"{one['verdict']}: {one['statement']}", body, extra=extra, here="claim", up=UP, home=home),
        )


def _head(one: Record) -> str:
    reason = f"<p>{escape(one['reason'])}</p>" if one["reason"] else ""
    counts = outcomes(one)
    total = sum(counts.values())
    if total > 1 and not one["reason"]:
        told = ", ".join(f"{what} in {counts[flag]}" for flag, what in _FLAGS.items() if counts[flag])
        alike = max(counts.values()) == total
        reason = f"<p>{'All' if alike else 'Of'} {total} comparisons{' alike' if alike else f': {told}'}</p>"
    subject = escape(one["subject"])
    crumb = f'<a href="{UP}index.html#subject={subject}">{subject}</a> · {escape(one["id"])}'
    return (
        f"<p class=crumb>{crumb}</p><h1>{escape(one['statement'])}</h1>"
        f'<div class="verdict {kind(one["verdict"])}" id=verdict>{badge(one["verdict"])}{reason}'
        f"<p class=soft>{escape(whose(one))}</p></div>"
    )


def _evidence(one: Record) -> str:
    quick = one["environment"].get("quick")
    small = (
        "<p class=note>By the quick version of the study: fewer members, coarser grids.</p>" if quick else ""
    )
    drawn = "".join(map(figure.draw, one["evidence"]))
    large = any(isinstance(part["outcome"], dict) for part in one["evidence"])
    words = _pairs([("predicted", one["tolerance"]), ("measured", one["measured"])])
    told = f"<details{' open' if large else ''}><summary>In words</summary>{words}</details>"
    return f"<h2>Predicted and measured</h2>{_KEY}{drawn}{small}{told}"


def _controls(one: Record) -> str:
    parts = ["<h2>Controls</h2>"]
    for control in one["controls"]:
        name, must, wanted = MUST[control["kind"]]
        as_it = "as it has to" if control["verdict"] == wanted else f"although it {must}"
        parts.append(
            f"<div class=control><p><b>{name}</b>, the same test which {must}: {escape(control['description'])}</p>"
            f"<p>{badge(control['verdict'])} <span class=soft>({as_it})</span></p>"
            + _pairs([("predicted", control["predicted"]), ("measured", control["measured"])])
            + "</div>"
        )
    if one["needs_no_control"]:
        parts.append(f"<p>No null control is needed: {escape(one['needs_no_control'])}.</p>")
    return "".join(parts)


def _source(one: Record) -> str:
    paper, origin = one["paper"], one["origin"]
    parts = ["<h2>Whose claim it is</h2>"]
    if paper is None:
        parts.append(f"<p>{escape(origin['source'][:1].upper() + origin['source'][1:])}.</p>")
        if origin["words"]:
            parts.append(f"<blockquote>{escape(origin['words'])}</blockquote>")
    else:
        number = escape(paper["arxiv"] + paper["version"])
        link = f'<a href="https://arxiv.org/abs/{number}">arXiv {number}</a>' if paper["arxiv"] else ""
        where = [escape(paper["authors"]), link, escape(paper["place"])]
        parts.append(
            f"<p>{', '.join(part for part in where if part)}. Read {escape(paper['read'])}. In our words:</p>"
        )
        parts.append(f"<blockquote>{escape(paper['says'])}</blockquote>")
        parts.append(_pairs([("reported there", paper["reported"]), ("called here", paper["claim"])]))
    by = one.get("contributor")
    if by:
        name = escape(by["name"])
        if str(by.get("url")).startswith(("http://", "https://")):
            name = f'<a href="{escape(by["url"])}">{name}</a>'
        parts.append(f"<p>Contributed by {name}. Source of the study: {escape(by['source'])}.</p>")
    return "".join(parts)


def _against(others: Sequence[tuple[Record, str]]) -> str:
    if not others:
        return ""
    items = "".join(_item(other, said) for other, said in others)
    return f"<h2>Contradicts</h2><ul class=links>{items}</ul>"


def _drawn(one: Record, figures: Mapping[str, str]) -> str:
    if one["study"] not in figures:
        return ""
    version = figures[one["study"]]
    told = (
        f"Drawn by the {version} version of <code>qra reproduce {escape(one['study'])}</code>."
        if version
        else ""
    )
    alt = f"Figure of the study {one['study']}"
    image = f'<img class=study alt="{escape(alt)}" src="../figure.png">'
    return f"<h2>Figure of the study</h2>{image}<p class=note>{told}</p>"


def _run(one: Record) -> str:
    around = one["environment"]
    versions = "; ".join(f"{name} {value}" for name, value in around.items() if value not in ("", None))
    made = _pairs([("versions", versions), ("fingerprint", one["fingerprint"])])
    before = ""
    if "contributor" in one:
        before = (
            f"<p>Put the study's source into <code>DIR/{escape(one['subject'])}/"
            f"{escape(one['study'].replace('-', '_'))}.py</code>, "
            "or install its package and leave <code>QRA_STUDIES</code> out:</p>"
        )
    quick = " Add <code>--quick</code> for a smaller version." if "contributor" not in one else ""
    record = escape(json.dumps(one, ensure_ascii=False, indent=1))
    return (
        f"<h2>Run it</h2>{before}<pre>{escape(how_to_run(one))}</pre>"
        f"<p class=soft>runs its study and shows this claim with its controls.{quick}</p>"
        f"<h2>Settings</h2>{_pairs(list(one['conditions'].items()))}"
        f"<details><summary>What it was made with</summary>{made}"
        f"</details><details><summary>The whole record</summary><pre>{record}</pre></details>"
    )


def _links(title: str, one: Record, others: Sequence[Record]) -> str:
    items = "".join(_item(other) for other in others if other["id"] != one["id"])
    return f"<h2>{title}</h2><ul class=links>{items}</ul>" if items else ""


def _item(other: Record, said: str = "") -> str:
    told = f"<br><span class=soft>{escape(said)}</span>" if said else ""
    link = f'<a href="{UP}{escape(other["id"])}/index.html">{escape(other["statement"])}</a>'
    return f"<li>{badge(other['verdict'])}<span>{link}{told}</span></li>"


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    body = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs if value)
    return f"<dl>{body}</dl>" if body else ""

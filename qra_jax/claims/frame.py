"""What the pages of claims share: the frame and the badge of a verdict."""

from __future__ import annotations

from html import escape

MARKS = {"holds": "✓", "holds only if": "~", "fails": "✗", "open": "?"}
"""Mark of each verdict: it is told by word and mark, not by colour alone."""


def kind(verdict: str) -> str:
    """The class of a verdict in the style sheet."""
    return verdict.split()[-1]


def badge(verdict: str, *, mark_only: bool = False) -> str:
    """A verdict with its mark."""
    word = "" if mark_only else verdict
    return f'<span class="badge {kind(verdict)}"><i aria-hidden=true>{MARKS[verdict]}</i>{word}</span>'


def page(title: str, body: str, *, extra: str, here: str, up: str, home: str | None) -> str:
    """A page in its frame.

    Args:
      title, body: of the page; the body is HTML.
      extra: what its head has besides.
      here: which of the links above it is: `"table"`, `"conflicts"`, or another word for a page below them.
      up: from the page to the folder of the table, such as `"../../"`.
      home: from that folder to the pages that the site belongs to.
    """
    links = [
        ("table", f"{up}index.html", "All claims"),
        ("conflicts", f"{up}contradictions.html", "Contradictions"),
    ]
    told = "".join(
        f'<a href="{href}"{" class=here aria-current=page" if name == here else ""}>{words}</a>'
        for name, href, words in links
    )
    if home is not None:
        told = f'<a href="{escape(up + home)}">qra_jax</a>{told}'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · qra_jax</title>{extra}</head>\n"
        f"<body><header><nav aria-label=Claims>{told}</nav></header>\n<main>{body}</main></body></html>\n"
    )

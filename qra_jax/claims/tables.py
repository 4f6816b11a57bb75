"""Records as a flat table (CSV), as JSON, and as a data set in the Croissant format (1.0)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qra_jax
from qra_jax import _files
from qra_jax.claims.records import PUBLISHED, Record

CSV, CROISSANT = "claims.csv", "croissant.json"
ADDRESS = "https://pypi.org/project/qra-jax/"
LICENSE = "https://spdx.org/licenses/Apache-2.0.html"
TITLE = "Claims about RL post-training of language models, tested"


def _paper(key: str) -> Callable[[Record], str]:
    return lambda one: one["paper"][key] if one["paper"] else ""


def _controls(kind: str) -> Callable[[Record], str]:
    def told(one: Record) -> str:
        mine = [control for control in one["controls"] if control["kind"] == kind]
        return " | ".join(f"{c['description']}: {c['verdict']}; {c['measured']}" for c in mine)

    return told


def _around(key: str) -> Callable[[Record], Any]:
    return lambda one: one["environment"].get(key, "")


def _by(key: str) -> Callable[[Record], str]:
    return lambda one: (one.get("contributor") or {}).get(key, "")


_CELLS: dict[str, tuple[str, Callable[[Record], Any]]] = {
    "id": ("Study and name of the claim; unique.", lambda one: one["id"]),
    "study": ("The study that tests it.", lambda one: one["study"]),
    "subject": ("What the study is about.", lambda one: one["subject"]),
    "statement": ("What was tested.", lambda one: one["statement"]),
    "verdict": ("holds, holds only if, fails or open.", lambda one: one["verdict"]),
    "reason": ("The condition, found from the data, or what leaves it open.", lambda one: one["reason"]),
    "origin": ("literature, derived (in this package) or asked (in it).", lambda one: one["origin"]["kind"]),
    "source": ("Where the claim comes from.", lambda one: one["origin"]["source"]),
    "words": ("What the source says, in its strength.", lambda one: one["origin"]["words"]),
    "paper_claim": ("Short name of the paper's claim.", _paper("claim")),
    "paper_authors": ("Authors of the paper.", _paper("authors")),
    "paper_arxiv": ("Its arXiv number.", _paper("arxiv")),
    "paper_version": ("Its version there.", _paper("version")),
    "paper_place": ("Theorem, equation, figure or section.", _paper("place")),
    "paper_read": ("How it was read: in full, in part or second-hand.", _paper("read")),
    "paper_reported": ("The paper's numbers.", _paper("reported")),
    "predicted": ("What the claim says will be measured.", lambda one: one["tolerance"]),
    "measured": ("What was measured, with intervals.", lambda one: one["measured"]),
    "null_controls": ("The same test where the effect must be absent; it has to fail.", _controls("null")),
    "positive_controls": ("The test where the effect is known; it has to hold.", _controls("positive")),
    "needs_no_control": ("Why there is no null control.", lambda one: one["needs_no_control"]),
    "comparisons": ("How many quantities were compared.", lambda one: len(one["evidence"])),
    "samples": (
        "The fewest members that one of them rests on.",
        lambda one: min(e["n"] for e in one["evidence"]),
    ),
    "conflicts_with": (
        "Claims that cannot be true together with it.",
        lambda one: " ".join(one["conflicts_with"]),
    ),
    "conditions": (
        "Settings of the test.",
        lambda one: "; ".join(f"{name}: {value}" for name, value in one["conditions"].items()),
    ),
    "quick": (
        "Whether the smaller version of the study was run.",
        lambda one: str(_around("quick")(one)).lower(),
    ),
    "device": ("What it ran on.", _around("device")),
    "jax": ("Version of JAX.", _around("jax")),
    "qra_jax": ("Version of this package.", _around("qra_jax")),
    "contributor": ("Who contributed it; empty for this package's own.", _by("name")),
    "contributor_source": ("Where the source of a contributed study is.", _by("source")),
    "fingerprint": ("Of what the result depends on.", lambda one: one["fingerprint"]),
}
COLUMNS = {name: meaning for name, (meaning, _) in _CELLS.items()}
"""Columns of the table, each with its meaning."""
_INTEGERS = ("comparisons", "samples")


def to_csv(records: Sequence[Record]) -> str:
    """The records as a table with a row for each claim and the columns `COLUMNS`."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_CELLS)
    table.writerows([[cell(one) for _, cell in _CELLS.values()] for one in records])
    return text.getvalue()


def to_json(records: Sequence[Record]) -> str:
    """The records as a JSON list, one in a line."""
    lines = [json.dumps(one, ensure_ascii=False, allow_nan=False) for one in records]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def croissant(files: dict[str, bytes], *, address: str = ADDRESS, date: str | None = None) -> dict[str, Any]:
    """Metadata of the data set in the Croissant format, version 1.0 (http://mlcommons.org/croissant/1.0).

    Args:
      files: contents of `claims.csv` and `claims.json` by these names.
      address: URL of the data set.
      date: day of publication, such as `"2026-11-30"`; default: today, or that of `SOURCE_DATE_EPOCH`.
    """
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    kinds = {CSV: "text/csv", PUBLISHED: "application/json"}
    about = {CSV: "One row a claim.", PUBLISHED: "The whole records, with estimates, intervals and controls."}
    distribution = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "description": about[name],
            "contentUrl": name,
            "contentSize": f"{len(content)} B",
            "encodingFormat": kinds[name],
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        for name, content in files.items()
    ]
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"claims/{name}",
            "name": name,
            "description": meaning,
            "dataType": "sc:Integer" if name in _INTEGERS else "sc:Text",
            "source": {"fileObject": {"@id": CSV}, "extract": {"column": name}},
        }
        for name, meaning in COLUMNS.items()
    ]
    claims = {
        "@type": "cr:RecordSet",
        "@id": "claims",
        "name": "claims",
        "description": "One record for each claim.",
        "key": {"@id": "claims/id"},
        "field": fields,
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "qra-jax-claims",
        "alternateName": TITLE,
        "description": (
            "Claims of the literature on reinforcement learning of language models after pre-training, and claims "
            "derived and asked by qra_jax, each with what was predicted, what was measured, its controls and a "
            "verdict: holds, holds only if a condition that the data gave, fails, or open."
        ),
        "license": LICENSE,
        "url": address,
        "creator": {"@type": "sc:Organization", "name": "The qra_jax authors"},
        "datePublished": date or time.strftime("%Y-%m-%d", time.gmtime(seconds)),
        "version": qra_jax.__version__,
        "keywords": ["reinforcement learning", "post-training", "language models", "reproducibility"],
        "citeAs": f"@misc{{qra_jax, title = {{{TITLE}}}, author = {{{{The qra_jax authors}}}}, "
        f"note = {{qra_jax {qra_jax.__version__}}}, url = {{{address}}}}}",
        "isLiveDataset": False,
        "distribution": distribution,
        "recordSet": [claims],
    }


def contents(records: Sequence[Record], *, address: str = ADDRESS, date: str | None = None) -> dict[str, str]:
    """The data set's files by name: `claims.csv`, `claims.json` and, about both, `croissant.json`."""
    files = {CSV: to_csv(records), PUBLISHED: to_json(records)}
    about = croissant({name: text.encode() for name, text in files.items()}, address=address, date=date)
    return files | {CROISSANT: json.dumps(about, indent=1, ensure_ascii=False) + "\n"}


def export(records: Sequence[Record], out: str | Path) -> list[Path]:
    """Write `claims.csv`, `claims.json` and `croissant.json` into a folder.

    Args:
      records: of claims.
      out: the folder.

    Returns:
      The paths.

    Raises:
      ValueError: it is a file.
    """
    out = _files.folder("out", out)
    return [_files.write(out / name, text) for name, text in contents(records).items()]


_TERMS = (
    "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes "
    "isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "separator source subField transform"
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "samplingRate": "cr:samplingRate",
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
"""The JSON-LD context that the format recommends."""

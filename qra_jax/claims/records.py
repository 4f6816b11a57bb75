"""Records of claims: where they lie, how they are read, and how some are chosen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import qra_jax

Record = dict[str, Any]
VERDICTS = ("holds", "holds only if", "fails", "open")
"""The four verdicts, in the order of every tally."""
ORIGINS = {"literature": "from the literature", "derived": "derived here", "asked": "asked here"}
"""Kinds of origins, with their words."""
PUBLISHED, CONTRIBUTED = "claims.json", "contributed"
"""Name of the file with the published records, and of the folder with contributed ones."""
_PACKAGE = Path(qra_jax.__file__).parent


def schema() -> dict[str, Any]:
    """The JSON schema of a record."""
    return json.loads((_PACKAGE / "studies" / "lab" / "claim.schema.json").read_text(encoding="utf-8"))


def folder() -> Path:
    """Where the published records lie: in the package, or in `docs/` beside one that is not installed as a copy.

    Raises:
      ValueError: they are in neither place.
    """
    places = _PACKAGE / "claims", _PACKAGE.parent / "docs"
    for place in places:
        if (place / PUBLISHED).is_file():
            return place
    raise ValueError(f"path: no published claims in {' or '.join(map(str, places))}; name a {PUBLISHED}")


def load(path: str | Path | None = None) -> list[Record]:
    """Records of claims.

    Args:
      path: a file, or a folder with `claims.json`, such as `qra reproduce` writes; default: those that this version
        publishes, followed by contributed ones.

    Returns:
      One dict a claim, in the order of the file; a contributed one has the key `contributor`.

    Raises:
      ValueError: there is no such file, it holds no records, or one of them has not the form of a record.
    """
    if path is not None:
        return _well_formed(path)
    home = folder()
    more = sorted((home / CONTRIBUTED).glob("*.json"))
    return [record for file in (home / PUBLISHED, *more) for record in _complete(file)]


def _well_formed(path: str | Path) -> list[Record]:
    """The records of one file, if all have the form of a record."""
    from qra_jax.claims.checks import form

    records = read(path)
    for number, one in enumerate(records):
        if faults := form(one, number):
            raise ValueError(f"{path}: {faults[0]}; qra claims validate FILE says all that is wrong")
    return records


def _complete(path: str | Path) -> list[Record]:
    """The records of one file, if they have all parts and a verdict."""
    needed = schema()["required"]
    records = read(path)
    for number, one in enumerate(records):
        missing = [name for name in needed if name not in one]
        if missing or one["verdict"] not in VERDICTS:
            told = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            what = f"has no {told}" if missing else f"has verdict {one['verdict']!r}"
            name = one.get("id", number)
            raise ValueError(f"{path}: record {name} {what}; qra claims validate FILE says all that is wrong")
    return records


def read(path: str | Path) -> list[Record]:
    """The records of one file: a list of them, or `{"contributor": {…}, "claims": […]}`.

    Args:
      path: the file, or a folder with `claims.json`.

    Raises:
      ValueError: there is no such file, or it holds no list of records.
    """
    file = Path(path) / PUBLISHED if Path(path).is_dir() else Path(path)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}; must be a file of claims") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file}: is not UTF-8 text; must be a file of claims") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: line {error.lineno} is not JSON ({error.msg.lower()})") from None
    header = {}
    if isinstance(found, dict) and "claims" in found:
        header = {"contributor": found.get("contributor")}
        found = found["claims"]
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"{file}: must be a list of records, or an object with contributor and claims")
    return [one | header for one in found]


def select(
    records: Iterable[Record],
    *,
    paper: str | None = None,
    verdict: str | None = None,
    origin: str | None = None,
    subject: str | None = None,
    study: str | None = None,
    text: str | None = None,
    conflicts: bool = False,
    contributed: bool = False,
) -> list[Record]:
    """The records that meet every condition given.

    Args:
      records: of claims.
      paper: an arXiv number, the short name of a claim of the literature (`"GEO-1"` finds `"GEO-1"`, and not
        `"GEO-10"`), or part of the authors' names; upper and lower case are the same.
      verdict: one of `VERDICTS`.
      origin: one of `ORIGINS`.
      subject: its name.
      study: its name.
      text: words, all of which are somewhere in the record; upper and lower case are the same.
      conflicts: only claims that contradict another one, or that another one contradicts.
      contributed: only claims that others contributed.

    Raises:
      ValueError: another verdict or origin.
    """
    for name, value, known in (("verdict", verdict, VERDICTS), ("origin", origin, tuple(ORIGINS))):
        if value is not None and value not in known:
            raise ValueError(f"{name}: {value!r}; must be one of {', '.join(map(repr, known))}")
    records = list(records)
    disputed = {end for one in records for other in one["conflicts_with"] for end in (one["id"], other)}
    words = text.lower().split() if text else []
    return [
        one
        for one in records
        if (paper is None or is_of(one, paper))
        and verdict in (None, one["verdict"])
        and origin in (None, one["origin"]["kind"])
        and subject in (None, one["subject"])
        and study in (None, one["study"])
        and (not conflicts or one["id"] in disputed)
        and (not contributed or "contributor" in one)
        and all(word in searched(one) for word in words)
    ]


def is_of(record: Mapping[str, Any], paper: str) -> bool:
    """Whether a claim is made by a paper: by arXiv number, short name or authors."""
    told, asked = record["paper"], paper.lower()
    if told is None or not asked:
        return False
    number = asked.removeprefix("arxiv:").removeprefix("arxiv").strip()
    names = told["claim"].lower()
    return (
        (bool(number) and number in (told["arxiv"], told["arxiv"] + told["version"]))
        or names == asked
        or names.startswith(asked + "-")
        or asked in told["authors"].lower()
    )


def searched(record: Mapping[str, Any]) -> str:
    """The text of a record that a search looks at, in lower case."""
    controls = [control[key] for control in record["controls"] for key in ("description", "measured")]
    by = record.get("contributor") or {}
    parts = [record["id"], record["subject"], record["statement"], *record["origin"].values(), said(record)]
    parts += [record["tolerance"], record["measured"], record["needs_no_control"], *controls]
    return " ".join([*parts, *map(str, by.values())]).lower()


def said(record: Mapping[str, Any]) -> str:
    """The verdict of a record in words, with its condition, or what leaves it open."""
    if record["verdict"] == "holds only if":
        return f"holds only if {record['reason']}"
    return f"{record['verdict']}: {record['reason']}" if record["reason"] else record["verdict"]


def whose(record: Mapping[str, Any]) -> str:
    """Whose claim it is, in a few words: the paper, the contributor, or how it arose here."""
    paper, by = record["paper"], record.get("contributor")
    if paper is None:
        told = record["origin"]["kind"] if by else ORIGINS[record["origin"]["kind"]]
    else:
        number = f"arXiv {paper['arxiv']}{paper['version']}" if paper["arxiv"] else ""
        told = ", ".join(part for part in (paper["claim"], paper["authors"], number) if part)
    return f"{told}, contributed by {by['name']}" if by else told


def how_to_run(record: Mapping[str, Any]) -> str:
    """The command that makes a record again; the source of a contributed study lies in a folder, `DIR`."""
    before = "QRA_STUDIES=DIR " if "contributor" in record else ""
    return f"{before}qra reproduce --claim {record['id']}"


def flat(value: Any) -> list[Any]:
    """The elements of nested lists, in order; a single one as a list."""
    return [x for part in value for x in flat(part)] if isinstance(value, list) else [value]

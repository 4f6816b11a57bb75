"""`qra claims`: the published records, or those of a file, as they were asked for; needs no JAX."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qra_jax.claims.records import ORIGINS, PUBLISHED, VERDICTS, Record, is_of, load, read, select
from qra_jax.cli.arguments import unknown
from qra_jax.cli.commands import ClaimsDiff, ClaimsExport, ClaimsList, ClaimsShow, ClaimsSite, ClaimsValidate
from qra_jax.cli.session import writable, wrote

WHERE = "qra claims list"


def run(command: ClaimsList | ClaimsShow | ClaimsValidate | ClaimsDiff | ClaimsExport | ClaimsSite) -> int:
    """Do what is asked.

    Returns:
      Exit status: 0; 1 where records are not valid or verdicts changed.
    """
    if isinstance(command, ClaimsList):
        return _list(command)
    if isinstance(command, ClaimsShow):
        return _show(command)
    if isinstance(command, ClaimsValidate):
        return _validate(command)
    if isinstance(command, ClaimsDiff):
        return _diff(command)
    out = writable("out", Path(command.out) / PUBLISHED).parent
    if isinstance(command, ClaimsSite):
        from qra_jax.claims.pages import write

        wrote([write(out, load(command.file), results=command.file)])
        return 0
    from qra_jax.claims.tables import export

    wrote(export(load(command.file), out))
    return 0


def _list(command: ClaimsList) -> int:
    records = load(command.file)
    if command.json and command.csv:
        raise ValueError("json: given with csv; must be one of them")
    among = {"subject": {one["subject"] for one in records}, "study": {one["study"] for one in records}}
    among |= {"verdict": set(VERDICTS), "origin": set(ORIGINS)}
    for name, known in among.items():
        _known(name, getattr(command, name), known)
    if command.paper is not None and not any(is_of(one, command.paper) for one in records):
        papers = [one["paper"] for one in records if one["paper"]]
        names = sorted({paper[key] for paper in papers for key in ("claim", "authors", "arxiv")} - {""})
        raise ValueError(_near("paper", command.paper, names))
    asked = {name: getattr(command, name) for name in ("paper", "conflicts", "contributed", *among)}
    chosen = select(records, text=" ".join(command.text), **asked)
    if command.json or command.csv:
        from qra_jax.claims import tables

        print((tables.to_csv if command.csv else tables.to_json)(chosen), end="")
        return 0
    from qra_jax.claims import terminal

    terminal.listing(chosen)
    return 0


def _show(command: ClaimsShow) -> int:
    records = load(command.file)
    ids = [one["id"] for one in records]
    if command.id not in ids:
        raise ValueError(_near("claim", command.id, ids))
    one = records[ids.index(command.id)]
    if command.json:
        import json

        print(json.dumps(one, ensure_ascii=False, indent=1))
        return 0
    from qra_jax.claims import terminal

    terminal.details(one, records)
    return 0


def _validate(command: ClaimsValidate) -> int:
    from qra_jax.claims.checks import validate

    published = load() if command.files else []
    bad = 0
    groups: list[tuple[str, list[Record]]] = [(name, read(name)) for name in command.files] or [("", load())]
    for name, records in groups:
        problems = validate(records, known=[one["id"] for one in published])
        bad += len(problems)
        for problem in problems:
            print(f"{name}: {problem}" if name else problem)
        if not problems:
            print(f"{name or 'published and contributed'}: {len(records)} records, all valid")
    return int(bad > 0)


def _diff(command: ClaimsDiff) -> int:
    from qra_jax.claims import terminal
    from qra_jax.claims.changes import diff

    found = diff(load(command.before), load(command.after))
    if command.json:
        import dataclasses
        import json

        print(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=1))
    else:
        terminal.changes(found)
    return int(bool(found.verdicts))


def _known(name: str, value: Any, known: Iterable[str]) -> None:
    if value is not None and value not in known:
        raise ValueError(unknown(name, value, sorted(known), WHERE))


def _near(what: str, given: str, known: Iterable[str]) -> str:
    """A complaint about a name among very many: what resembles it, but not all of them."""
    told = unknown(what, given, known, WHERE)
    return told if "did you mean" in told else f"{what}: {given!r}; there is none (see {WHERE})"

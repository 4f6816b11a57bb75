"""Every claim can fail: mutations of a study's quick data that turn each of its verdicts, and that leave it open.

Data are those of a finished run with the present source (`QRA_ARTIFACTS`), otherwise recorded ones, otherwise new.
"""

import functools
import importlib
import os
import tempfile
from pathlib import Path

import pytest

from qra_jax.studies.lab import Bank, store
from tests.studies import record

KINDS = {"holds": ("holds", "holds only if"), "fails": ("fails",), "open": ("open",)}


@functools.cache
def quick(study):
    """The quick data of a study: of a finished run where fingerprints agree, recorded ones, or new ones, kept."""
    places = [Path(os.environ[name]) for name in ("QRA_ARTIFACTS",) if name in os.environ]
    places.append(Path(tempfile.gettempdir()) / "qra-jax-studies")
    prints = study.fingerprints(quick=True)
    kept = places[-1] / study.name
    known = {}
    for place in places:
        for name, print_ in prints.items():
            path = store.path(place / study.name, name, print_)
            if name not in known and path.is_file():
                known[name] = store.read(path)
    recorded = {} if known else record.data(study.name)
    known = known or recorded
    return study.compute(
        quick=True,
        known=known,
        bank=Bank(places[-1] / "bank"),
        keep=lambda name, result: recorded or store.write(store.path(kept, name, prints[name]), result),
    )


def table(study):
    """Mutations of a study's data, by claim and the kind of verdict they give."""
    return importlib.import_module(f"tests.studies.tables.{study.name.replace('-', '_')}").TABLE


def tables(subject):
    """`(study, claim id, wanted kind)` of a subject's tables, and of the claims that lack one."""
    package = importlib.import_module(f"qra_jax.studies.{subject}")
    rows = []
    for file in sorted(Path(package.__file__).parent.glob("[!_]*.py")):
        study = importlib.import_module(f"{package.__name__}.{file.stem}").study
        known = table(study)
        for claim in study.claims:
            entry = known.get(claim.split("/")[1], {})
            rows += [
                (study, claim, kind, entry.get(kind)) for kind in ("open", *(k for k in entry if k != "open"))
            ]
            if not set(entry) & {"holds", "fails"}:
                rows.append((study, claim, "turned", None))
        unknown = set(known) - {claim.split("/")[1] for claim in study.claims}
        assert not unknown, f"tables/{file.stem}.py: {unknown} are no claims of {study.name}"
    return rows


@functools.cache
def findings(study):
    """What the quick data say, by claim."""
    try:
        return {finding.claim.id: finding for finding in study.judge(quick(study))}
    except Exception as error:
        error.add_note(
            f"If the data of {study.name} have another form now: python -m tests.studies.record --help"
        )
        raise


def check(study, claim, kind, mutate):
    """A mutation of the quick data gives the claim a verdict of this kind, which is another one than without it."""
    assert mutate is not None, f"{claim}: no mutation to {kind!r} in its table"
    if claim not in findings(study):
        return  # of measured data that are not here
    finding = findings(study)[claim]
    (changed,) = study.judge(mutate(quick(study)), only=claim, level=finding.level)
    before, after = finding.verdict.kind, changed.verdict.kind
    assert after in KINDS[kind], f"{claim}: {after} after a mutation that should give {kind!r}"
    turned = {one for one in ("holds", "fails") if before not in KINDS[one]}
    if not turned & set(table(study)[claim.split("/")[1]]):
        pytest.skip(
            f"{claim} is {before!r} with this machine's random numbers, where its table has no turn for it"
        )

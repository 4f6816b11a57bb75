"""The claims as data: what is published is valid, damage is told in words, and tables and commands are right."""

import copy
import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from qra_jax import claims, cli
from qra_jax.claims import conflicts, figure, records as where
from qra_jax.studies import lab

ROOT = Path(__file__).parent.parent
CONTRIBUTED = sorted((ROOT / "docs" / "contributed").glob("*.json"))


@pytest.fixture(scope="module")
def published():
    return claims.load()


def record(**changes):
    """A small record that is valid."""
    one = {
        "id": "one/up",
        "study": "one",
        "subject": "clocks",
        "statement": "It rises.",
        "origin": {"kind": "literature", "source": "UP-1, Author, arXiv 2501.00001", "words": "It rises."},
        "paper": {
            "claim": "UP-1",
            "authors": "Author",
            "arxiv": "2501.00001",
            "version": "v1",
            "place": "abstract",
            "read": "in full",
            "says": "It rises.",
            "reported": "",
        },
        "quantities": ["rise"],
        "conditions": {"seed": "8"},
        "conflicts_with": [],
        "controls": [
            {
                "kind": "null",
                "description": "nothing",
                "predicted": "rise: at least 1",
                "measured": "0",
                "verdict": "fails",
            }
        ],
        "needs_no_control": "",
        "tolerance": "rise: at least 1",
        "measured": "rise: 2, 3",
        "evidence": [
            {
                "quantity": "rise",
                "estimate": [2.0, 3.0],
                "interval": [[1.5, 2.5], [2.5, 3.5]],
                "error_rate": 0.01,
                "expectation": "at least 1",
                "region": [1.0, "inf"],
                "n": 8,
                "detectable": 0.5,
                "axes": {"arm": ["a", "b"]},
                "outcome": [1, 1],
                "how": "t interval",
            }
        ],
        "verdict": "holds",
        "reason": "",
        "environment": {"jax": "0.10", "quick": False},
        "fingerprint": "0" * 64,
    }
    return one | changes


def derived(name, **changes):
    origin = {"kind": "derived", "source": "derived here", "words": ""}
    return record(id=name, study=name.split("/")[0], origin=origin, paper=None, **changes)


# what is published


def test_what_is_published_is_valid_with_what_was_contributed(published):
    """The check of every contribution: schema, unique ids, conflicts, controls, evidence and verdicts."""
    assert [str(problem) for problem in claims.validate(published)] == []
    assert len(published) > 500


def test_there_is_a_contributed_claim():
    assert CONTRIBUTED


@pytest.mark.parametrize("path", CONTRIBUTED, ids=lambda path: path.name)
def test_a_contributed_file_says_who_made_it_and_where_its_study_is(path, published):
    found = claims.read(path)
    assert found
    for one in found:
        assert one["contributor"]["name"]
        assert one["contributor"]["source"]
        assert sum(other["id"] == one["id"] for other in published) == 1
        assert one in published


# validation


def nested(one, path, value):
    *parents, last = path
    for part in parents:
        one = one[part]
    if value is None:
        del one[last]
    else:
        one[last] = value


EVIDENCE = ("evidence", 0)
DAMAGE = [
    (["statement"], None, "one/up: statement: is missing"),
    (["statement"], "", "one/up: statement: is empty"),
    (
        ["verdict"],
        "true",
        "one/up: verdict: 'true'; must be one of 'holds', 'fails', 'holds only if', 'open'",
    ),
    (["colour"], "red", "one/up: colour: is not known; must be one of id, study"),
    (["controls", 0, "kind"], "zero", "one/up: controls[0].kind: 'zero'; must be one of 'null', 'positive'"),
    (["controls", 0, "measured"], 3, "one/up: controls[0].measured: 3; must be text"),
    (["paper", "arxiv"], "25.1", "one/up: paper.arxiv: '25.1'; must have the form"),
    (["fingerprint"], "abc", "one/up: fingerprint: 'abc'; must have the form"),
    (["id"], "two/up", "two/up: id: 'two/up'; must begin with the study, 'one/'"),
    (["conflicts_with"], ["no/such"], "one/up: conflicts_with: 'no/such'; there is no such claim"),
    (["conflicts_with"], ["one/up"], "one/up: conflicts_with: names the claim itself"),
    (["controls"], [], "one/up: needs_no_control: is empty"),
    (["controls", 0, "kind"], "positive", "controls: no null control, and 'holds'"),
    (
        ["controls", 0, "verdict"],
        "open",
        "controls[0].verdict: 'open' in a null control of a claim that holds",
    ),
    (
        ["verdict"],
        "fails",
        "verdict: 'fails', but the evidence holds in 2 places, fails in 0 and is open in 0",
    ),
    (["verdict"], "open", "is open in 0; where a control leaves it open, reason must say so"),
    (["verdict"], "holds only if", "one/up: reason: is empty"),
    (["quantities"], ["fall"], "quantities: are not those of the evidence"),
    ([*EVIDENCE, "estimate"], [2.0, 4.0], "evidence[0].interval: 2.5 … 3.5 does not contain the estimate 4"),
    ([*EVIDENCE, "estimate"], [2.0], "evidence[0]: estimate and both ends of the interval must be numbers"),
    (
        [*EVIDENCE, "estimate"],
        ["two", 3.0],
        "evidence[0]: estimate and both ends of the interval must be numbers",
    ),
    ([*EVIDENCE, "outcome"], [1], "evidence[0].outcome: has 1 for 2 estimates"),
    ([*EVIDENCE, "outcome"], [1, 0], "must be 1 (holds)"),
    ([*EVIDENCE, "region"], [2.0, "inf"], "must be 0 (is open)"),
    ([*EVIDENCE, "region"], ["-inf", 1.0], "must be -1 (fails)"),
    (["origin", "kind"], "asked", "paper: given with origin 'asked'; must be null"),
    (["paper", "authors"], "", None),
    (["contributor"], {"name": "A"}, "one/up: contributor.source: is missing"),
]


def test_a_valid_record_is_valid():
    assert claims.validate([record()]) == []
    assert claims.validate([record(contributor={"name": "A", "source": "https://example.org/study"})]) == []


@pytest.mark.parametrize(("path", "value", "told"), DAMAGE, ids=lambda value: str(value)[:40])
def test_damage_is_told_in_words(path, value, told):
    one = copy.deepcopy(record())
    nested(one, path, value)
    found = [str(problem) for problem in claims.validate([one])]
    assert all("\n" not in line for line in found)
    if told is None:
        assert found == []
    else:
        assert any(told in line for line in found), found


def test_a_paper_that_cannot_be_found_and_a_claim_twice():
    lost = copy.deepcopy(record())
    lost["paper"] |= {"authors": " ", "arxiv": ""}
    assert "paper: has neither authors nor an arXiv number" in str(claims.validate([lost])[0])
    told = [str(problem) for problem in claims.validate([record(), record()])]
    assert told == ["one/up: id: occurs 2 times; must be another one for each claim"]
    paperless = record(paper=None)
    assert "one/up: paper: None; must be an object" in map(str, claims.validate([paperless]))


@pytest.mark.parametrize("name", ["", 3, None])
def test_an_id_that_is_none_and_occurs_twice_is_told_once(name):
    told = [str(fault) for fault in claims.validate([record(id=name), record(), record(id=name)])]
    assert [line for line in told if "occurs" in line] == [
        "record 0: id: occurs 2 times; must be another one for each claim"
    ]


def test_conflicts_may_name_known_claims():
    one = record(conflicts_with=["no/such"])
    assert claims.validate([one], known=["no/such"]) == []


def test_evidence_that_is_combined_otherwise_is_not_judged_by_its_worst_part():
    one = copy.deepcopy(record(tolerance="any of: rise: at least 1"))
    one["evidence"][0] |= {"estimate": [0.2, 3.0], "interval": [[0.1, 2.5], [0.3, 3.5]], "outcome": [-1, 1]}
    assert claims.validate([one]) == []
    assert claims.validate([one | {"tolerance": "rise: at least 1"}]) != []


def judged(evidence):
    """A record of this evidence, as the laboratory decides it."""
    parts = [test.record(0.01) for test in evidence.tests()]
    verdict = evidence.decide(0.01)
    named = {"quantities": [part["quantity"] for part in parts], "tolerance": evidence.predicted()}
    return record(evidence=parts, verdict=verdict.kind, reason=verdict.reason, **named)


def test_evidence_that_is_combined_within_another_is_not_either():
    yes, no, also = (lab.exact(name, x).above(1) for name, x in (("a", 2.0), ("b", 0.0), ("c", 3.0)))
    arms = lab.exact("d", xr.DataArray([2.0, 3.0], dims="arm", coords={"arm": ["x", "y"]})).above(1)
    for inner in (lab.any_of(yes, no), lab.contrary(no)):
        for whole in (lab.all_of(inner, also), lab.all_of(also, inner), lab.all_of(inner, arms.per("arm"))):
            one = judged(whole)
            assert one["verdict"] == "holds"
            assert claims.validate([one]) == []
            flat = "; ".join(test.predicted() for test in whole.tests())
            assert "but the evidence holds" in str(claims.validate([one | {"tolerance": flat}])[0])
    assert lab.all_of(yes, lab.all_of(yes, also)).predicted() == "a: at least 1; a: at least 1; c: at least 1"


@pytest.mark.parametrize(("value", "ends"), [(np.inf, (10.0, np.inf)), (-np.inf, (-np.inf, 0.5))])
def test_a_sampled_estimate_that_is_infinite_is_open_and_an_exact_one_is_not(value, ends):
    estimate = lab.Estimate("rise", xr.DataArray(value), lambda level: ends, n=8, how="quantile")
    sampled, exact = judged(estimate.between(1, 9)), judged(lab.exact("rise", value).between(1, 9))
    assert (sampled["verdict"], exact["verdict"]) == ("open", "fails")
    assert claims.validate([sampled]) == claims.validate([exact]) == []
    exact["evidence"][0]["outcome"] = 0
    assert "and region 1 … 9; must be -1 (fails)" in str(claims.validate([exact])[0])


# selection


def test_selection():
    a, b = record(conflicts_with=["two/down"]), derived("two/down", verdict="open", subject="noise")
    c = derived("three/flat", contributor={"name": "Somebody", "source": "here"})
    rows = [a, b, c]

    def ids(**conditions):
        return [one["id"] for one in claims.select(rows, **conditions)]

    assert ids() == ["one/up", "two/down", "three/flat"]
    for paper in ("2501.00001", "arXiv:2501.00001v1", "up-1", "UP", "author"):
        assert ids(paper=paper) == ["one/up"], paper
    assert ids(paper="UP-10") == ids(paper="P") == ids(paper="") == ids(paper="arxiv:") == []
    rows[0] = copy.deepcopy(a)
    rows[0]["paper"] |= {"arxiv": "", "version": ""}
    assert ids(paper="arxiv:") == ids(paper="arXiv ") == []
    assert ids(verdict="open") == ids(subject="noise") == ids(study="two") == ["two/down"]
    assert ids(origin="derived") == ["two/down", "three/flat"]
    assert ids(conflicts=True) == ["one/up", "two/down"]
    assert ids(text="RISES somebody") == ids(contributed=True) == ["three/flat"]
    with pytest.raises(ValueError, match="verdict: 'true'; must be one of 'holds', 'holds only if'"):
        claims.select(rows, verdict="true")


def test_what_cannot_be_read_is_refused_in_a_line(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json: No such file"):
        claims.load(tmp_path / "none.json")
    path = tmp_path / "a.json"
    for text, told in (
        ("[", "line 1 is not JSON"),
        ('{"a": 1}', "must be a list of records"),
        ("[1]", "must be a list of records"),
        ('[{"id": "a/b"}]', "a/b: study: is missing"),
        (json.dumps([record(verdict="true")]), "one/up: verdict: 'true'; must be one of"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=told) as caught:
            claims.load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"a\.json: record one/up has verdict 'true'"):
        where._complete(path)  # what is published is looked at less closely
    path.write_text('[{"id": "a/b"}]')
    with pytest.raises(ValueError, match=r"a\.json: record a/b has no study, subject, statement and 14 more"):
        where._complete(path)
    path.write_text(json.dumps({"contributor": {"name": "A", "source": "B"}, "claims": [record()]}))
    assert claims.load(path)[0]["contributor"]["name"] == "A"


# changes


def test_changes(published):
    assert claims.diff(published, published).none
    old, new = (
        record(),
        copy.deepcopy(record(verdict="open", statement="It may rise.", tolerance="rise: at least 2")),
    )
    new["evidence"][0] |= {"estimate": [2.0, 9.0], "interval": [[1.4, 8.0], [2.4, 10.0]]}
    found = claims.diff([old, derived("two/gone")], [new, derived("three/new")])
    assert found.new == ["three/new"]
    assert found.gone == ["two/gone"]
    assert found.verdicts == [("one/up", "holds", "open")]
    assert found.words == [
        ("one/up", "statement", "It rises.", "It may rise."),
        ("one/up", "threshold", "rise: at least 1", "rise: at least 2"),
    ]
    assert found.moved == [("one/up", "rise, b", "3 (2.5 … 3.5)", "9 (8 … 10)")]
    assert found.compared == 1


def test_exact_numbers_move_beyond_rounding():
    def exact(x):
        one = copy.deepcopy(record())
        one["evidence"][0] |= {"estimate": x, "interval": [x, x], "axes": {}, "outcome": 1, "how": "exact"}
        return [one]

    assert claims.diff(exact(2.0), exact(2.0 + 1e-9)).none
    assert claims.diff(exact(2.0), exact(2.001)).moved == [("one/up", "rise", "2", "2.001")]
    assert claims.diff(exact("inf"), exact("inf")).none
    assert claims.diff(exact("nan"), exact("nan")).none
    assert len(claims.diff(exact("nan"), exact(2.0)).moved) == 1


# contradictions


def test_contradictions_are_told_once_with_what_decided(published):
    a = record(conflicts_with=["two/down"])
    b = derived("two/down", conflicts_with=["one/up"], verdict="fails", conditions={"seed": "9", "step": "3"})
    [pair] = claims.contradictions([a, b])
    assert pair.decision == "Decided: one/up holds, and two/down fails."
    assert pair.differences == {"seed": ("8", "9"), "step": ("–", "3")}
    said = {
        ("holds", "holds"): "Both hold, each under its own settings",
        ("fails", "fails"): "Both fail",
        ("open", "open"): "Not decided",
        ("fails", "open"): "Half decided: one/up fails, and two/down is open.",
        ("holds only if", "fails"): "Decided by a condition; two/down fails.",
    }
    for (first, second), words in said.items():
        [pair] = claims.contradictions([a | {"verdict": first}, b | {"verdict": second}])
        assert pair.decision.startswith(words)
    assert claims.contradictions(published)


def test_a_papers_claim_with_two_answers():
    a, b = record(verdict="holds"), record(id="two/up", study="two", verdict="fails")
    assert [(pair.first["id"], pair.second["id"]) for pair in claims.divided([b, a])] == [
        ("one/up", "two/up")
    ]
    assert conflicts.divided([a, b | {"study": "one"}]) == []
    assert conflicts.divided([a, b | {"verdict": "open"}]) == []


# tables


def test_the_table_has_what_the_records_say(published):
    rows = list(csv.DictReader(io.StringIO(claims.to_csv(published))))
    assert list(rows[0]) == list(claims.COLUMNS)
    assert [row["id"] for row in rows] == [one["id"] for one in published]
    for row, one in zip(rows, published, strict=True):
        assert row["measured"] == one["measured"]
        assert row["verdict"] == one["verdict"]
        assert row["paper_arxiv"] == (one["paper"] or {"arxiv": ""})["arxiv"]
        assert int(row["comparisons"]) == len(one["evidence"])


def test_the_data_set_is_described_as_croissant_asks(published, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert [path.name for path in claims.export(published, tmp_path)] == [
        "claims.csv",
        "claims.json",
        "croissant.json",
    ]
    about = json.loads((tmp_path / "croissant.json").read_text())
    needed = (
        "@context @type conformsTo description license name url creator datePublished distribution recordSet"
    )
    assert set(needed.split()) <= set(about)
    assert about["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert about["@type"] == "sc:Dataset"
    assert about["datePublished"] == "1970-01-01"
    context = about["@context"]
    assert context["cr"] == "http://mlcommons.org/croissant/"
    assert context["sc"] == context["@vocab"] == "https://schema.org/"
    assert context["dct"] == "http://purl.org/dc/terms/"
    assert context["dataType"] == {"@id": "cr:dataType", "@type": "@vocab"}
    for term in (
        "recordSet",
        "field",
        "source",
        "fileObject",
        "extract",
        "column",
        "key",
        "citeAs",
        "isLiveDataset",
    ):
        assert context[term] == f"cr:{term}"
    names = set()
    for file in about["distribution"]:
        content = (tmp_path / file["contentUrl"]).read_bytes()
        assert file["@type"] == "cr:FileObject"
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["contentSize"] == f"{len(content)} B"
        assert file["encodingFormat"] in ("text/csv", "application/json")
        names.add(file["@id"])
    [rows] = about["recordSet"]
    head = next(csv.reader(io.StringIO((tmp_path / "claims.csv").read_text())))
    assert [field["source"]["extract"]["column"] for field in rows["field"]] == head
    for field in rows["field"]:
        assert field["@type"] == "cr:Field"
        assert field["@id"].startswith(f"{rows['@id']}/")
        assert field["source"]["fileObject"]["@id"] in names
        assert field["dataType"] in ("sc:Text", "sc:Integer")
        assert field["description"]
    assert rows["key"]["@id"] in [field["@id"] for field in rows["field"]]
    assert claims.load(tmp_path) == published


# figures


def test_scales_hold_what_is_drawn():
    scale = figure.Scale([1e-3, 10.0, float("inf")])
    assert scale.log
    assert scale.at(float("inf")) == 100
    assert scale.at(-float("inf")) == scale.at(0.0) == 0
    assert 0 < scale.at(1e-3) < scale.at(0.1) < scale.at(10.0) < 100
    for numbers in ([0.0], [3.0, 3.0], [-1.0, 1.0], [float("nan")], [2.0, 30.0], [1e-9, 1.0], [-1e-12, 0.0]):
        ticks = figure.Scale(numbers).ticks()
        assert 1 <= len(ticks) <= 12, numbers


def test_a_picture_shows_every_number():
    part = copy.deepcopy(record()["evidence"][0])
    drawn = figure.draw(part)
    assert drawn.count("class=row>") == 2
    assert "2 <span>(1.5 … 2.5)</span>" in drawn
    assert drawn.count("class=band") == 2
    part |= {"estimate": ["inf", "nan"], "interval": [[1.0, "nan"], ["inf", "nan"]], "outcome": [0, 0]}
    drawn = figure.draw(part)
    assert "∞ <span>(1 … ∞)</span>" in drawn
    assert "no number" in drawn
    assert "nan%" not in drawn
    part |= {
        "estimate": [0.5, 0.7],
        "interval": [[0.5, 0.7]] * 2,
        "outcome": {"holds": 90, "fails": 9, "open": 1},
    }
    assert "The extremes of 100 places: holds in 90, fails in 9, open in 1." in figure.draw(part)


# the command


def complaint(capsys, *words):
    assert cli.main(words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lst"], "command: 'claims lst'; did you mean 'claims list'?"),
        (["show"], "missing: ID (see qra claims show --help)"),
        (
            ["show", "regimes/rise"],
            "claim: 'regimes/rise'; did you mean 'regimes/rises'? (see qra claims list)",
        ),
        (["show", "zzz"], "claim: 'zzz'; there is none (see qra claims list)"),
        (["list", "--verdict", "hold"], "verdict: 'hold'; did you mean 'holds'?"),
        (["list", "--paper", "2511.0856"], "paper: '2511.0856'; did you mean '2511.08567'?"),
        (["list", "--subject", "wieghts"], "subject: 'wieghts'; did you mean 'weights'?"),
        (["list", "--json", "--csv"], "json: given with csv; must be one of them"),
        (["list", "--file", "nowhere.json"], "nowhere.json: No such file"),
        (["validate", "nowhere.json"], "nowhere.json: No such file"),
        (["diff", "a.json"], "missing: AFTER (see qra claims diff --help)"),
        (["export", "--out", __file__], "out: "),
        (["export", "--ouy", "a"], "unknown: --ouy; did you mean --out?"),
    ],
    ids=" ".join,
)
def test_bad_input_gets_one_line(capsys, words, told):
    assert told in complaint(capsys, "claims", *words)


MALFORMED = {
    "origin": "origin: 'x'; must be an object",
    "paper": "paper.claim: is missing",
    "controls": "controls[0].kind: is missing",
    "evidence": "evidence: is empty",
}


@pytest.mark.parametrize("words", ["list", "list --csv", "show one/up", "site --out out", "export --out out"])
def test_malformed_files_get_one_line(capsys, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    for (name, told), value in zip(MALFORMED.items(), ("x", {}, [{}], []), strict=True):
        Path("a.json").write_text(json.dumps([record(), record(**{name: value})]))
        said = complaint(capsys, "claims", *words.split(), "--file", "a.json")
        assert said.startswith(f"error: a.json: one/up: {told}"), said
        assert "qra claims validate FILE says all" in said
    for name, value in NO_NUMBERS:
        one = copy.deepcopy(record())
        one["evidence"][0][name] = value
        Path("a.json").write_text(json.dumps([one]))
        assert "a.json: one/up: evidence[0]" in complaint(
            capsys, "claims", *words.split(), "--file", "a.json"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


NO_NUMBERS = [
    ("estimate", [{}, 3.0]),
    ("interval", [2.0, 3.0]),
    ("region", ["low", 2.0]),
    ("axes", {"arm": 2}),
    ("outcome", [1, "yes"]),
    ("outcome", {"holds": "all", "fails": 0, "open": 0}),
]


def test_listing_and_showing(capsys, published):
    assert cli.main(["claims", "list", "--paper", "GEO-1", "--verdict", "open"]) == 0
    lines = capsys.readouterr().out.splitlines()
    chosen = claims.select(published, paper="GEO-1", verdict="open")
    assert [line.split("\t")[1] for line in lines] == [one["id"] for one in chosen]
    assert len(lines) > 1
    assert cli.main(["claims", "list", "entropy", "clip", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == claims.select(published, text="entropy clip")
    assert cli.main(["claims", "list", "--contributed", "--csv"]) == 0
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == len(
        claims.select(published, contributed=True)
    )
    assert cli.main(["claims", "show", "optimal-policy/coded"]) == 0
    out = capsys.readouterr().out
    one = claims.select(published, study="optimal-policy", text="optimal-policy/coded")[-1]
    for part in (one["statement"], one["measured"], one["controls"][0]["description"], "kl-variants/forward"):
        assert part in out
    assert "to run\tqra reproduce --claim optimal-policy/coded" in out
    assert cli.main(["claims", "show", "optimal-policy/coded", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "optimal-policy/coded"


def test_a_terminal_gets_a_table(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    assert cli.main(["claims", "list", "--study", "regimes"]) == 0
    out = capsys.readouterr().out
    assert "qra claims show ID" in out
    assert "✓" in out
    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", out).splitlines())) <= 100
    assert cli.main(["claims", "show", "regimes/rises"]) == 0
    assert "null control" in capsys.readouterr().out


def test_validating_comparing_and_exporting_files(capsys, tmp_path):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps([record()]))
    bad.write_text(json.dumps([record(verdict="fails")]))
    assert cli.main(["claims", "validate", str(good)]) == 0
    assert capsys.readouterr().out == f"{good}: 1 records, all valid\n"
    assert cli.main(["claims", "validate", str(good), str(bad)]) == 1
    assert "bad.json: one/up: verdict: 'fails', but the evidence holds" in capsys.readouterr().out
    assert cli.main(["claims", "diff", str(good), str(good)]) == 0
    assert "1 claims in both; nothing changed" in capsys.readouterr().out
    assert cli.main(["claims", "diff", str(good), str(bad)]) == 1
    assert "one/up: holds → fails" in capsys.readouterr().out
    assert cli.main(["claims", "diff", str(good), str(bad), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdicts"] == [["one/up", "holds", "fails"]]
    rewritten = tmp_path / "rewritten.json"
    rewritten.write_text(json.dumps([record(statement="It rises [much].")]))
    assert cli.main(["claims", "diff", str(good), str(rewritten)]) == 0
    assert "It rises. → It rises [much]." in capsys.readouterr().out
    out = tmp_path / "out"
    assert cli.main(["claims", "export", "--out", str(out), "--file", str(good)]) == 0
    assert "claims.csv" in capsys.readouterr().err
    assert claims.load(out) == [record()]
    assert cli.main(["claims", "site", "--out", str(out), "--file", str(good)]) == 0
    assert (out / "one" / "up" / "index.html").is_file()


def test_claims_are_listed_without_loading_jax():
    code = (
        "import sys; from qra_jax.cli import main\n"
        "main(['claims', 'list']); main(['claims', 'show', 'regimes/rises'])\n"
        "print([name for name in ('jax', 'numpy', 'matplotlib', 'xarray') if name in sys.modules])"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT, env=dict(os.environ))
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(done.stdout.splitlines()) > 500


def test_the_records_are_found_in_the_package_first(tmp_path, monkeypatch):
    package = tmp_path / "qra_jax"
    (package / "claims").mkdir(parents=True)
    monkeypatch.setattr(where, "_PACKAGE", package)
    with pytest.raises(ValueError, match="path: no published claims in"):
        where.folder()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "claims.json").write_text("[]")
    assert where.folder() == tmp_path / "docs"
    (package / "claims" / "claims.json").write_text("[]")
    assert where.folder() == package / "claims"

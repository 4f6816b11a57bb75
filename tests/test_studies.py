"""The runner: finished work is kept, stale work is redone, a crash stops nothing else; the report."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from qra_jax import studies
from qra_jax.studies import Verdict, base, report, runner

STUDY = '''
"""A made-up claim: <b>two</b> is two."""
import numpy as np
from qra_jax import plot
from qra_jax.studies.base import Verdict
TITLE = "Two & two"
CALLS = []
def compute(*, quick, seed=0):
    CALLS.append(quick)
    {first}
    return {{"x": np.array([1.0, 2.0]), "quick": np.array(quick)}}
def draw(data):
    figure, ax = plot.new()
    ax.plot(data["x"])
    return figure
def judge(data):
    return [
        Verdict("two is <two>", "arithmetic", 2, data["x"][1], "holds"),
        Verdict("one is two", "folklore", "2", float("inf"), "fails"),
        Verdict("three is two", "folklore", 2, 3, "holds only if modulo one"),
    ]
'''


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """A registry of made-up studies; returns a function that adds one."""
    package = tmp_path / "fakes"
    package.mkdir()
    monkeypatch.syspath_prepend(str(package))
    registry = {}
    monkeypatch.setattr(studies, "REGISTRY", registry)

    def add(name, first="pass"):
        module = f"fake_{name}_{tmp_path.name}"
        (package / f"{module}.py").write_text(STUDY.format(first=first))
        registry[name] = module
        return package / f"{module}.py"

    return add


def run(out, names=(), **options):
    console = Console(width=200, file=io.StringIO())
    status = runner.reproduce(names, out=out, console=console, **options)
    return status, console.file.getvalue()


def test_outputs_are_complete(fakes, tmp_path):
    fakes("good")
    out = tmp_path / "out"
    status, text = run(out, quick=True)
    assert status == 0
    assert {p.name for p in (out / "good").iterdir()} == {
        "data.npz",
        "figure.pdf",
        "figure.png",
        "verdicts.json",
        "done.json",
    }
    with np.load(out / "good" / "data.npz") as data:
        assert bool(data["quick"])
    rows = json.loads((out / "claims.json").read_text(), parse_constant=pytest.fail)
    assert [row["verdict"] for row in rows] == ["holds", "fails", "holds only if modulo one"]
    assert rows[0]["predicted"] == 2
    assert rows[1]["measured"] == "inf"
    assert rows[0]["study"] == "good"
    assert rows[0]["environment"]["quick"] is True
    assert {"device", "jax", "python", "qra_jax"} <= rows[0]["environment"].keys()
    html = (out / "report.html").read_text()
    assert "two is &lt;two&gt;" in html
    assert "A made-up claim: &lt;b&gt;two" in html
    assert "data:image/png;base64," in html
    assert not re.search(r'(src|href)="(?!data:|#)', html), "the page must need no other file"
    assert "holds only if modulo one" in text


def test_finished_is_skipped_and_stale_is_redone(fakes, tmp_path):
    source = fakes("good")
    out = tmp_path / "out"
    calls = lambda: studies.load("good").CALLS  # noqa: E731
    run(out, quick=True)
    _, text = run(out, quick=True)
    assert calls() == [True]
    assert "already finished" in text
    run(out, quick=True, force=True)
    assert calls() == [True, True]
    run(out, quick=False)
    assert calls() == [True, True, False]
    (out / "good" / "figure.png").unlink()
    run(out, quick=False)
    assert len(calls()) == 4
    (out / "good" / "done.json").write_text("{half")
    run(out, quick=False)
    assert len(calls()) == 5
    source.write_text(source.read_text() + "\n# changed\n")
    run(out, quick=False)
    assert len(calls()) == 6
    assert json.loads((out / "claims.json").read_text())[0]["verdict"] == "holds"


def test_a_crash_is_reported_and_the_others_run(fakes, tmp_path):
    fakes("bad", first="raise RuntimeError('it [broke] here')")
    fakes("good")
    out = tmp_path / "out"
    status, text = run(out)
    assert status == 1
    assert "it [broke] here" in text
    assert "RuntimeError: it [broke] here" in (out / "bad" / "error.txt").read_text()
    rows = json.loads((out / "claims.json").read_text())
    assert [(row["study"], row["verdict"]) for row in rows][:2] == [("bad", "crashed"), ("good", "holds")]
    assert "it [broke] here" in rows[0]["measured"]
    assert "crashed" in (out / "report.html").read_text()
    assert run(out, ["good"])[0] == 0, "only the studies asked for count"


def test_a_study_that_cannot_be_loaded_is_a_crash(fakes, tmp_path):
    path = fakes("bad")
    path.write_text("import nothing_of_this_name\n")
    fakes("good")
    assert run(tmp_path / "out")[0] == 1
    rows = json.loads((tmp_path / "out" / "claims.json").read_text())
    assert rows[0]["verdict"] == "crashed"
    assert "nothing_of_this_name" in rows[0]["measured"]


def test_a_bad_folder_stops_nothing_else(fakes, tmp_path):
    fakes("bad")
    fakes("good")
    out = tmp_path / "out"
    out.mkdir()
    (out / "bad").write_text("a file where a folder should be")
    status, text = run(out)
    assert status == 1
    assert "bad: crashed" in text
    rows = json.loads((out / "claims.json").read_text())
    assert [(row["study"], row["verdict"]) for row in rows][:2] == [("bad", "crashed"), ("good", "holds")]


def test_a_full_result_serves_a_quick_request(fakes, tmp_path):
    fakes("good")
    run(tmp_path / "out")
    _, text = run(tmp_path / "out", quick=True)
    assert "already finished" in text
    run(tmp_path / "out", quick=True, force=True)
    assert studies.load("good").CALLS == [False, True]


def test_a_crash_leaves_the_old_result(fakes, tmp_path, monkeypatch):
    fakes("good")
    out = tmp_path / "out"
    run(out)
    monkeypatch.setattr(studies.load("good"), "compute", lambda *, quick: 1 / 0)
    status, _ = run(out, force=True)
    assert status == 1
    assert json.loads((out / "claims.json").read_text())[0]["verdict"] == "crashed"
    assert (out / "good" / "data.npz").is_file()
    assert run(out)[0] == 0
    assert json.loads((out / "claims.json").read_text())[0]["verdict"] == "holds"


def test_interrupt_keeps_what_is_finished(fakes, tmp_path):
    fakes("good")
    fakes("slow", first="raise KeyboardInterrupt")
    fakes("after")
    out = tmp_path / "out"
    status, _ = run(out)
    assert status == 130
    rows = json.loads((out / "claims.json").read_text())
    assert {row["study"] for row in rows} == {"good"}
    assert "Two &amp; two" in (out / "report.html").read_text()


def test_no_host_name_and_no_paths_in_the_claims(fakes, tmp_path):
    import platform

    fakes("good")
    run(tmp_path / "out")
    text = (tmp_path / "out" / "claims.json").read_text()
    assert str(tmp_path) not in text
    assert f'"{platform.node()}"' not in text


def test_bad_arguments(fakes, tmp_path):
    fakes("good")
    with pytest.raises(ValueError, match="study: 'nope'; must be one of 'good'"):
        run(tmp_path, ["nope"])
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        run(tmp_path / "file")


MEASURED = """
DATA_NEEDED = "runs: CSV files"
from qra_jax.studies.base import DataMissing
def compute(*, quick, seed=0, folder=None):
    CALLS.append(folder)
    if folder is None:
        raise DataMissing("needs --data DIR with runs")
    return {"x": np.array([1.0, 2.0])}
"""


def test_measured_data(fakes, tmp_path):
    source = fakes("real")
    source.write_text(source.read_text() + MEASURED)
    out, folder = tmp_path / "out", tmp_path / "runs"
    status, text = run(out)
    assert status == 0
    assert "real: skipped, needs --data DIR" in text
    assert not (out / "real").exists()
    folder.mkdir()
    (folder / "a.csv").write_text("step,accuracy")
    assert "✓ real" in run(out, data=folder)[1]
    assert "already finished" in run(out, data=folder)[1]
    assert "already finished" in run(out)[1], "a result with data serves where none are given"
    (folder / "a.csv").write_text("step,accuracy,n")
    assert "✓ real" in run(out, data=folder)[1], "other data: stale"
    assert str(folder) not in (out / "claims.json").read_text()
    with pytest.raises(ValueError, match=r"data: .* is no folder"):
        run(out, data=tmp_path / "nowhere")


@pytest.mark.parametrize("bad", ["maybe", "holds only if ", "holds only if", "Holds", ""])
def test_verdicts_are_checked(bad):
    with pytest.raises(ValueError, match="must be 'holds', 'fails' or 'holds only if …'"):
        Verdict("claim", "source", 1, 1, bad)


def test_a_verdict_needs_a_claim_and_a_source():
    with pytest.raises(ValueError, match="source: empty"):
        Verdict("claim", " ", 1, 1, "holds")


def test_records_are_plain():
    record = Verdict("c", "s", np.float64(1.5), np.int64(2), base.verdict(True)).record()
    assert json.dumps(record) == json.dumps(
        {"claim": "c", "source": "s", "predicted": 1.5, "measured": 2, "verdict": "holds"}
    )
    assert Verdict("c", "s", float("nan"), 1, "fails").record()["predicted"] == "nan"


def test_an_empty_report_can_be_written(tmp_path):
    report.write([], tmp_path)
    assert json.loads((tmp_path / "claims.json").read_text()) == []


def test_the_claims_as_markdown(fakes, tmp_path):
    fakes("one")
    fakes("two", first="raise RuntimeError('a | b')")
    run(tmp_path)
    text = (tmp_path / "claims.md").read_text()
    assert text.startswith(
        "# Claims and verdicts\n\n4 claims: 1 hold, 1 hold under a condition, 1 fail, 1 crashed."
    )
    assert "## Two & two" in text
    assert "| two is \\<two\\> | arithmetic | 2 | 2 | **holds** |" in text
    assert r"RuntimeError: a \| b" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()} == {6}


def test_the_claims_in_the_documents_are_those_of_a_full_run():
    docs = Path(__file__).parent.parent / "docs"
    rows = json.loads((docs / "claims.json").read_text(), parse_constant=pytest.fail)
    titles = {name: studies.load(name).TITLE for name in studies.REGISTRY}
    assert {row["study"] for row in rows} == set(titles)
    assert not any(row["environment"]["quick"] for row in rows)
    assert (docs / "claims.md").read_text() == report.markdown(rows, titles)


@pytest.mark.parametrize("name", list(studies.REGISTRY))
def test_every_registered_study_follows_the_protocol(name):
    study = studies.load(name)
    assert study.TITLE.strip() == study.TITLE
    assert "\n" not in study.TITLE
    assert len(study.__doc__ or "") > 80
    assert all(callable(getattr(study, part)) for part in ("compute", "draw", "judge"))

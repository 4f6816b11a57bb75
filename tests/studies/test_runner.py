"""`qra reproduce`: finished work is kept, stale work is redone, a crash or a kill loses one study; the report."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from qra_jax import studies
from qra_jax.studies import report, runner, worker
from qra_jax.studies.lab.record import schema

STUDY = '''
"""A made-up question: is <b>two</b> two?"""
from pathlib import Path
from qra_jax import plot
from qra_jax.studies.lab import Asked, Derived, Study, close, dataset, mean, never, scale, static
from qra_jax.studies.lab.origin import Paper
study = Study(__name__, title="Two & two")
WORDS = "a label"
@study.experiment()
def runs(run):
    with open({log!r}, "a") as log:
        log.write("{name} " + ("quick" if run.quick else "full") + "\\n")
    {first}
    return dataset({{"x": ("group", [1.0, 2.0]), "zero": 0.0}}, {{"group": [4, 8]}})
@study.experiment(measured=True)
def real(run):
    folder = run.measured("x.csv")
    return dataset({{"n": float(len(list(folder.iterdir())))}})
PAPER = Paper("A-1", "Euclid", "Two is two.", "2506.00001", "v1", "Prop. 1", reported="2", read="in full")
@study.claim("Two is <two>.", origin=PAPER)
def two(data):
    return close("two", data.runs.x.sel(group=8), 2, within=1e-9)
@two.null("one")
def _(data):
    return close("one", data.runs.x.sel(group=4), 2, within=1e-9)
@study.claim("All are two.", origin=Derived())
def all_two(data):
    return close("x", data.runs.x, 2, within=1e-9).per("group")
@all_two.null("zero")
def _(data):
    return close("zero", data.runs.zero, 2, within=1e-9)
@study.claim("Zero is two.", origin=Asked("one may ask"), needs_no_control="it is refuted")
def zero(data):
    return close("zero", data.runs.zero, 2, within=1e-9)
@study.claim("There is one file.", origin=Derived(), needs_no_control="a count")
def files(data):
    return close("files", data.real.n, 1, within=0.5)
@study.figure
def draw(data):
    figure, ax = plot.new()
    ax.plot(data.runs.x, label=WORDS)
    return figure
'''


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """A folder of made-up studies in place of the package's; returns a function that adds one."""
    root = tmp_path / "studies" / "made"
    root.mkdir(parents=True)
    monkeypatch.setenv(studies.OWN, str(root.parent))
    real = studies._files
    monkeypatch.setattr(studies, "_files", lambda: {n: f for n, f in real().items() if f.parent == root})

    def add(name, first="pass"):
        for module in [key for key in sys.modules if key.startswith("own.")]:
            del sys.modules[module]
        path = root / f"{name}.py"
        path.write_text(STUDY.format(first=first, name=name, log=str(tmp_path / "log")))
        return path

    yield add
    for module in [key for key in sys.modules if key.startswith("own.")]:
        del sys.modules[module]


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, (time.time() + 5, time.time() + 5))
    for module in [key for key in sys.modules if key.startswith("own.")]:
        del sys.modules[module]


def computed(tmp_path):
    """Which experiments were computed, in order."""
    log = tmp_path / "log"
    return log.read_text().split("\n")[:-1] if log.exists() else []


def run(out, names=(), **options):
    console = Console(width=200, file=io.StringIO())
    status = runner.reproduce(names, out=out, console=console, **{"jobs": 1, **options})
    return status, console.file.getvalue()


def test_outputs_are_complete_and_fit_the_schema(fakes, tmp_path):
    fakes("good")
    out = tmp_path / "out"
    status, text = run(out, quick=True)
    assert status == 0
    names = {path.name for path in (out / "good").iterdir()}
    assert {"figure.pdf", "figure.png", "claims.json", "done.json"} < names
    assert sum(name.endswith(".nc") for name in names) == 1
    rows = json.loads((out / "claims.json").read_text(), parse_constant=pytest.fail)
    for row in rows:
        jsonschema.validate(row, schema())
    assert [row["id"] for row in rows] == ["good/two", "good/all-two", "good/zero"]
    assert [report.said(row) for row in rows] == ["holds", "holds only if group is 8", "fails"]
    assert rows[0]["paper"]["says"] == "Two is two."
    assert rows[0]["controls"][0]["verdict"] == "fails"
    assert rows[0]["conditions"] == {"group": "4, 8"}
    assert rows[0]["environment"]["quick"] is True
    html = (out / "report.html").read_text()
    assert "Two is &lt;two&gt;" in html
    assert "is &lt;b&gt;two" in html
    assert "data:image/png;base64," in html
    assert not re.search(r'(src|href)="(?!data:|#)', html), "the page must need no other file"
    assert report.QUICK[:40] in html
    assert "1 from the literature: 1 holds; 1 derived here: 1 holds only if; 1 asked here: 1 fails." in text
    assert "1 claims left out, on measured runs" in text
    assert "Left out without measured runs: good/files." in html
    markdown = (out / "claims.md").read_text()
    assert "| from the literature | 1 | 0 | 0 | 0 |" in markdown


def test_schema_refuses_what_is_no_record():
    row = {"id": "a/b"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(row, schema())


def test_finished_is_skipped_and_only_what_is_stale_is_redone(fakes, tmp_path):
    source, out = fakes("good"), tmp_path / "out"
    run(out, quick=True)
    _, text = run(out, quick=True)
    assert "already finished" in text
    assert computed(tmp_path) == ["good quick"]
    edit(source, "a label", "another label")
    _, text = run(out, quick=True)
    assert "already finished" not in text
    assert computed(tmp_path) == ["good quick"], "a label draws again and computes nothing"
    edit(source, "[1.0, 2.0]", "[1.0, 3.0]")
    run(out, quick=True)
    assert computed(tmp_path) == ["good quick"] * 2
    assert json.loads((out / "claims.json").read_text())[0]["verdict"] == "fails"
    run(out, quick=True, force=True)
    assert computed(tmp_path) == ["good quick"] * 3
    run(out, quick=False)
    assert computed(tmp_path)[3:] == ["good full"]
    _, text = run(out, quick=True)
    assert "already finished" in text, "a full result serves as a quick one"
    (out / "good" / "figure.png").unlink()
    run(out, quick=False)
    assert (out / "good" / "figure.png").exists()
    (out / "good" / "done.json").write_text("{half")
    run(out, quick=False)
    assert computed(tmp_path)[3:] == ["good full"], "the data are still there under their fingerprint"


def test_measured_runs_are_part_of_the_fingerprint(fakes, tmp_path):
    fakes("good")
    out, folder = tmp_path / "out", tmp_path / "measured"
    folder.mkdir()
    (folder / "x.csv").write_text("1")
    run(out, quick=True, data=folder)
    rows = json.loads((out / "claims.json").read_text())
    assert [row["verdict"] for row in rows if row["id"] == "good/files"] == ["holds"]
    _, text = run(out, quick=True)
    assert "already finished" in text, "a result with measured runs serves where none are given"
    (folder / "y.csv").write_text("2")
    run(out, quick=True, data=folder)
    rows = json.loads((out / "claims.json").read_text())
    assert [row["verdict"] for row in rows if row["id"] == "good/files"] == ["fails"]
    assert computed(tmp_path) == ["good quick"], "what does not depend on them is kept"
    run(out, quick=False)
    assert "good/files" in worker.stamp(out / "good")["untested"]
    run(out, quick=False, data=folder)
    assert not worker.stamp(out / "good")["untested"], (
        "claims left out without measured runs are tested with them"
    )


def test_a_crash_is_reported_and_the_others_run(fakes, tmp_path):
    fakes("bad", first="raise RuntimeError('it [broke] here')")
    fakes("good")
    out = tmp_path / "out"
    status, text = run(out)
    assert status == 1
    assert "it [broke] here" in text
    assert "RuntimeError: it [broke] here" in (out / "bad" / "error.txt").read_text()
    assert {row["study"] for row in json.loads((out / "claims.json").read_text())} == {"good"}
    assert "it [broke] here" in (out / "report.html").read_text()
    assert run(out, ["good"])[0] == 0, "only the studies asked for count"


ENDS = ["pass", "os.write(1, b'no end of the line')", "os.write(1, b'\\xff\\xfe bad')"]


@pytest.mark.parametrize(("jobs", "end"), [(2, ENDS[0]), (1, ENDS[1]), (1, ENDS[2])])
def test_a_killed_study_loses_only_itself(fakes, tmp_path, jobs, end):
    fakes("bad", first=f"import os, signal; {end}; os.kill(os.getpid(), signal.SIGKILL)")
    fakes("good")
    status, text = run(tmp_path / "out", jobs=jobs)
    assert status == 1
    assert "bad: crashed, killed by SIGKILL" in text
    assert "✓ good" in text


def test_a_study_that_cannot_be_loaded_is_a_crash(fakes, tmp_path):
    fakes("bad").write_text("import nothing_of_this_name\n")
    fakes("good")
    assert run(tmp_path / "out")[0] == 1
    assert "nothing_of_this_name" in (tmp_path / "out" / "report.html").read_text()


def test_a_bad_folder_stops_nothing_else(fakes, tmp_path):
    fakes("bad")
    fakes("good")
    out = tmp_path / "out"
    out.mkdir()
    (out / "bad").write_text("a file where a folder should be")
    status, text = run(out)
    assert status == 1
    assert "bad: crashed" in text
    assert "✓ good" in text


def test_the_report_is_there_from_the_start(fakes, tmp_path):
    fakes(
        "slow", first=f"import time\n    while not Path({str(tmp_path / 'go')!r}).exists(): time.sleep(.05)"
    )
    fakes("good")
    out, seen = tmp_path / "out", []

    def look():
        page = out / "report.html"
        for _ in range(1200):
            text = page.read_text() if page.exists() else ""
            if "still to come: slow" in text and "Two is &lt;two&gt;" in text:
                seen.append(text)
                break
            time.sleep(0.05)
        (tmp_path / "go").touch()

    watcher = threading.Thread(target=look)
    watcher.start()
    assert run(out, jobs=2)[0] == 0
    watcher.join()
    assert seen, "the first study's claims stand in the report while the second one runs"
    assert "still to come" not in (out / "report.html").read_text()


def test_an_interrupt_keeps_what_is_there(fakes, tmp_path):
    fakes("slow", first="import time; time.sleep(600)")
    fakes("good")
    out = tmp_path / "out"

    def interrupt():
        page = out / "report.html"
        while not (page.exists() and "Two is &lt;two&gt;" in page.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        status, text = run(out, jobs=2)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert status == 130
    assert "interrupted" in text
    assert "Two is" in text


def test_a_folder_belongs_to_one_run(fakes, tmp_path):
    fakes("good")
    with runner._locked(tmp_path / "out"), pytest.raises(ValueError, match="in use by another run"):
        run(tmp_path / "out")
    assert run(tmp_path / "out")[0] == 0


def test_a_crash_is_forgotten_once_it_is_tried_again(fakes, tmp_path):
    path = fakes("bad", first="raise RuntimeError('no luck')")
    assert run(tmp_path / "out")[0] == 1
    edit(path, "raise RuntimeError('no luck')", "pass")
    assert run(tmp_path / "out")[0] == 0
    assert "no luck" not in (tmp_path / "out" / "report.html").read_text()


def test_a_run_that_is_terminated_leaves_no_study_running(fakes, tmp_path):
    note = tmp_path / "pid"
    fakes("slow", first=f"import os, time; Path({str(note)!r}).write_text(str(os.getpid())); time.sleep(600)")
    call = f"runner.reproduce(['slow'], out={str(tmp_path / 'out')!r})"
    words = f"from qra_jax.studies import runner; raise SystemExit({call})"
    parent = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.DEVNULL)
    for _ in range(1200):
        if note.exists() and note.read_text():
            break
        time.sleep(0.1)
    parent.terminate()
    assert parent.wait(timeout=60) == 130
    gone = Path("/proc") / note.read_text()
    for _ in range(100):  # the system comes to it
        if not gone.exists():
            break
        time.sleep(0.1)
    assert not gone.exists()


def test_one_claim_is_shown_whole(fakes, tmp_path):
    fakes("good")
    status, text = run(tmp_path / "out", quick=True, claim="good/two")
    assert status == 0
    assert "Euclid" in text
    assert "null control" in text
    assert "Zero is two" not in text


def test_bad_arguments_are_named(fakes, tmp_path):
    fakes("good")
    for words, options in [
        ("study: 'none'", {"names": ["none"]}),
        ("claim: 'good/none'", {"claim": "good/none"}),
        ("claim: 'none'", {"claim": "none/one"}),
        ("jobs: 0", {"jobs": 0}),
        ("data:", {"data": tmp_path / "nowhere"}),
    ]:
        with pytest.raises(ValueError, match=re.escape(words)):
            run(tmp_path / "out", **options)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="out:"):
        run(tmp_path / "file")


def test_quick_ones_come_first_and_long_ones_beside(fakes, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        fakes(name)
    monkeypatch.setattr(runner, "_seconds", lambda out, quick: {"a": 50.0, "b": 10.0, "c": 99.0})
    run(tmp_path / "out", quick=True, jobs=1)
    assert computed(tmp_path) == ["b quick", "a quick", "c quick"]


def test_a_stamp_that_is_no_json_is_none(tmp_path):
    (tmp_path / "done.json").write_text("{")
    assert worker.stamp(tmp_path) == {}


# every study


@pytest.mark.parametrize("name", studies.names())
def test_every_study_is_complete(name):
    study = studies.load(name)
    assert study.text
    assert study.draw is not None
    assert study.claims
    for claim in study.claims.values():
        assert claim.nulls or claim.needs_none, f"{claim.id} has no control"
        for other in claim.conflicts:
            assert other in studies.load(other.split("/")[0]).claims, f"{claim.id}: no claim {other}"
    lines = len(Path(sys.modules[study.module].__file__).read_text().splitlines())
    assert lines <= 250, (
        f"{name} has {lines} lines; what recurs belongs to the laboratory, theory to qra_jax/theory"
    )

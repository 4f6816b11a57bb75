"""`qra reproduce`: each study is a process of its own, some run side by side; the report is there from the start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from qra_jax import _check, _files, studies
from qra_jax.studies import report, worker

MEMORY = 3.0
"""GiB that a study may take: no more run side by side than fit."""
ALONE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
"""Studies side by side share the machine: threads of linear algebra would wait for each other, and the first study on
an accelerator would take all of its memory."""
LOCK = ".lock"
"""A folder belongs to one run at a time."""
UNKNOWN = 30.0
"""Seconds of a study that has never been run."""


@dataclass
class _Job:
    """A study that is running."""

    name: str
    start: float = field(default_factory=time.perf_counter)
    log: list[str] = field(default_factory=list)
    said: str = "starting"
    code: int | None = None


class _Place:
    """A process that runs one study after the other, each in a process forked from it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qra_jax.studies.worker", worker.SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=os.environ | ALONE | {"PYTHONIOENCODING": "utf-8:replace"},
        )
        self.job: _Job | None = None
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def start(self, name: str, words: Sequence[str]) -> _Job:
        """Start a study."""
        self.job = _Job(name)
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end says so
            print(json.dumps([name, *words]), file=self.process.stdin, flush=True)
        return self.job

    def _listen(self) -> None:
        """Take its lines: the last one says what the study is doing, or how it ended."""
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                job = self.job
                if job is not None and line.startswith(worker.ENDED):
                    job.code = int(line.removeprefix(worker.ENDED))
                elif job is not None:
                    job.log.append(line)
                    job.said = line.strip() or job.said
        if self.job is not None and self.job.code is None:
            self.job.code = self.process.wait() or 1

    def stop(self) -> None:
        """End it, with the study that it runs, and wait for the last lines."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.listener.join(timeout=10)
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()


def reproduce(
    names: Sequence[str] = (),
    *,
    quick: bool = False,
    out: str | Path = "results",
    force: bool = False,
    data: str | Path | None = None,
    jobs: int | None = None,
    claim: str | None = None,
    console: Console | None = None,
) -> int:
    """Run studies into `out/<name>/`, and keep `out/report.html`, `claims.json` and `claims.md` up to date.

    A study is finished once its stamp is written, last of all. The stamp holds fingerprints: of what each dataset
    depends on, and of what words and draws it. What is stale is done again, and only that. A full result serves where a
    quick one is asked for, and one with measured runs where none are given. Each study is a process: a crash, or a
    kill, loses that one. Half of the places take the quickest study that is left, the others the longest.

    Args:
      names: studies to run; all of them where empty.
      quick: smaller versions: fewer members and coarser grids; more claims stay open.
      out: folder for the results.
      force: run finished studies again, too.
      data: folder of measured runs, for the studies that use some; their claims are left out without.
      jobs: studies side by side, ≥ 1; default: as many as there are cores, and as memory allows.
      claim: id of a claim: its study is run, and only this claim is shown, with its controls.
      console: where progress goes.

    Returns:
      Exit status: 0, 1 if a study crashed or one that was named cannot be loaded, 130 if interrupted. A claim that
        fails is a result, not an error; neither is a study of another package that cannot be loaded.

    Raises:
      ValueError: an unknown study or claim, `out` is a file or in use by another run, `data` is no folder, or jobs
        below 1.
    """
    out, console = _files.folder("out", out), console or Console()
    measured = None if data is None else Path(data)
    if measured is not None and not measured.is_dir():
        raise ValueError(f"data: {str(measured)!r} is no folder; must be one that holds measured runs")
    if jobs is not None:
        _check.integer("jobs", jobs, low=1)
    for name in names:
        _check.choice("study", name, studies.names())
    if claim is not None:
        study = claim.split("/")[0]
        _check.choice("claim", study, studies.names())
        _check.choice("claim", claim, tuple(studies.load(study).claims))
        names = (study,)
    with _locked(out), _terminated():
        return _reproduce(names, quick, out, force, measured, jobs, claim, console)


def _reproduce(
    names: Sequence[str],
    quick: bool,
    out: Path,
    force: bool,
    measured: Path | None,
    jobs: int | None,
    claim: str | None,
    console: Console,
) -> int:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # this process only looks
    known = _seconds(out, quick)
    chosen = [name for name in studies.names() if name in names or not names]
    broken = studies.broken(chosen)
    left_out = [name for name in chosen if name in broken]
    for name in left_out:
        console.print(escape(f"∙ {name}: cannot be loaded: {broken[name]}"), style="red", soft_wrap=True)
    chosen = [name for name in chosen if name not in broken]
    state = {
        name: worker.finished(name, out / name, quick=quick if name in chosen else None, measured=measured)
        for name in studies.names()
        if name in chosen or worker.stamp(out / name)
    }
    todo = [name for name in chosen if force or not state[name]]
    for name in chosen:
        if name not in todo:
            console.print(f"[dim]∙ {name}: already finished[/dim]")
    for name in todo:  # what crashed before is to be tried again
        with contextlib.suppress(OSError):  # the folder itself may be what is wrong
            (out / name / worker.ERROR).unlink(missing_ok=True)
    todo.sort(key=lambda name: known.get(name, UNKNOWN))
    errors: dict[str, str] = {}

    def write(waiting: Sequence[str]) -> list[report.Result]:
        results = collect(out, [name for name in state if state[name] and name not in waiting], errors)
        report.write(results, out, waiting=waiting, quick=quick)
        return results

    write(todo)
    since = time.time() if force else None
    interrupted = False
    places = jobs or _places()
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=len(todo))
        servers: dict[int, _Place] = {}
        running: dict[int, _Job] = {}
        try:
            while todo or running:
                for place in range(places):
                    if place not in running and todo:
                        name = todo.pop(0 if place % 2 == 0 else -1)
                        if place not in servers or servers[place].process.poll() is not None:
                            servers[place] = _Place()
                        running[place] = servers[place].start(name, _words(out, quick, since, measured))
                for place, job in list(running.items()):
                    if job.code is None and not servers[place].listener.is_alive():
                        job.code = servers[place].process.wait() or 1
                    if job.code is None:
                        continue
                    del running[place]
                    said = _ended(job, out / job.name, errors)
                    state[job.name] = job.name not in errors
                    progress.console.print(said)
                    progress.advance(task)
                    write([*todo, *(one.name for one in running.values())])
                progress.update(task, description=_doing(running, todo, known, places))
                time.sleep(0.1)
        except KeyboardInterrupt:
            interrupted = True
            console.print("interrupted; what was computed is kept, run again to go on")
        finally:  # whatever ended the loop, no study is left running
            for server in servers.values():
                server.stop()
            for job in running.values():
                state[job.name] = job.code == 0
                todo.insert(0, job.name)
    results = write([name for name in todo if not state[name]])
    if claim is not None:
        console.print(report.details([row for row in report.claims(results) if row["id"] == claim]))
    else:
        console.print(report.listing([result for result in results if result.name in chosen], quick=quick))
    console.print(f"report: {escape(str(out / 'report.html'))}", soft_wrap=True)
    return 130 if interrupted else int(bool(errors) or not set(left_out).isdisjoint(names))


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep other runs out of a folder."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_files.locked(out / LOCK, wait=False))
        except BlockingIOError:
            said = f"out: {str(out)!r} is in use by another run; choose another folder or wait"
            raise ValueError(said) from None
        yield


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """Take a request to terminate as an interrupt, so that no study is left running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _words(out: Path, quick: bool, force: float | None, measured: Path | None) -> list[str]:
    """What a worker is told besides the study's name."""
    words = [str(out), *["--quick"] * quick]
    words += [] if force is None else ["--force", str(force)]
    return words + ([] if measured is None else ["--data", str(measured)])


def _ended(job: _Job, folder: Path, errors: dict[str, str]) -> str:
    """What a study's process has left, in a line; its error, if it crashed or was killed."""
    seconds, code = time.perf_counter() - job.start, job.code
    if code == 0:
        untested = worker.stamp(folder).get("untested", [])
        more = (
            f"; {len(untested)} claims left out, on measured runs (--data gives their folder) or what is not here"
            if untested
            else ""
        )
        return f"[green]✓[/green] {job.name}: {seconds:.1f} s{more}"
    text = "".join(job.log[-200:])
    if code is not None and code < 0:
        text += f"killed by {signal.Signals(-code).name}, after it said: {job.said}\n"
        with contextlib.suppress(OSError):
            _files.write(folder / worker.ERROR, text)
    with contextlib.suppress(OSError):
        text = (folder / worker.ERROR).read_text(encoding="utf-8")
    errors[job.name] = text or f"ended with exit status {code}"
    where = escape(str(folder / worker.ERROR))
    return f"[red]✗ {job.name}: crashed, {escape(report.one_line(errors[job.name]))}[/red] (see {where})"


def _doing(running: dict[int, _Job], todo: Sequence[str], known: dict[str, float], places: int) -> str:
    """What is under way, and how long the rest may take."""
    now = time.perf_counter()
    left = [max(known.get(job.name, UNKNOWN) - (now - job.start), 1.0) for job in running.values()]
    rest = (sum(left) + sum(known.get(name, UNKNOWN) for name in todo)) / places
    rest = max([rest, *left]) if left else rest
    words = ", ".join(
        f"{job.name} ({job.said})" if job.said != job.name else job.name for job in running.values()
    )
    return escape(
        f"{words}; about {rest / 60:.0f} min left" if rest >= 90 else f"{words}; about {rest:.0f} s left"
    )


def _seconds(out: Path, quick: bool) -> dict[str, float]:
    """How long each study took: in this folder if it was run there, otherwise where the package was made."""
    bundled = json.loads(
        resources.files("qra_jax.studies").joinpath("seconds.json").read_text(encoding="utf-8")
    )
    known = dict(bundled["quick" if quick else "full"])
    for name in studies.names():
        before = worker.stamp(out / name)
        if before.get("quick") == quick:
            known[name] = before.get("seconds", UNKNOWN)
    return known


def _places() -> int:
    """Studies side by side: one for each core this process may use, as far as memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (ValueError, OSError, AttributeError):
        available = MEMORY * cores
    return max(1, min(cores, int(available / MEMORY)))


def collect(out: Path, names: Sequence[str], errors: dict[str, str] | None = None) -> list[report.Result]:
    """Results of finished studies in a folder, and of those that crashed, in the order of the report.

    Args:
      out: folder of the results.
      names: studies that are finished there.
      errors: traceback of each study that crashed.
    """
    results = []
    for name in studies.names():
        folder = out / name
        if errors and name in errors:
            results.append(report.Result(name, "", name, "", error=errors[name]))
        elif name in names:
            done = worker.stamp(folder)
            rows = json.loads((folder / worker.CLAIMS).read_text(encoding="utf-8"))
            picture = folder / f"{worker.FIGURE}.png"
            figure = picture.read_bytes() if picture.is_file() else b""
            title, text = done["title"], done["text"]
            results.append(report.Result(name, done["subject"], title, text, rows, done, figure))
        elif (folder / worker.ERROR).is_file():
            error = (folder / worker.ERROR).read_text(encoding="utf-8")
            results.append(report.Result(name, "", name, "", error=error))
    return results

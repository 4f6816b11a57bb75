"""Run studies, each in a process of its own: `python -m qra_jax.studies.worker`, as `qra reproduce` does.

With a study's name it runs that one. With `--serve` it imports what studies need, once, and forks a process for each
line on stdin, one after the other.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

DONE, CLAIMS, FIGURE, ERROR = "done.json", "claims.json", "figure", "error.txt"
PR_SET_PDEATHSIG = 1
"""Linux's number of that request."""
SERVE, ENDED = "--serve", "\0ended "
"""The word that asks for a server, and what it says, with the exit status, when a study has ended."""


def serve() -> int:
    """Run the studies that stdin names, each in a process of its own that need not import the libraries again."""
    from qra_jax import plot, training, transformer  # noqa: F401
    from qra_jax.cli.session import start_jax
    from qra_jax.studies.lab import fingerprint, panels, record  # noqa: F401

    start_jax()
    fingerprint.freeze()
    child = 0

    def end(*_: object) -> None:
        if child:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGTERM)
                os.waitpid(child, 0)
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    for line in sys.stdin:
        words = json.loads(line)
        if sys.platform != "linux":  # to fork is not safe there
            one = subprocess.Popen([sys.executable, "-m", __spec__.name, *words], stdin=subprocess.DEVNULL)
            child = one.pid
            code = one.wait()
            child = 0
        else:
            child = os.fork()
            if child == 0:
                _forked(words)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            child = 0
        print(f"\n{ENDED}{code}", flush=True)  # a study may have left a line without its end
    return 0


def _forked(words: list[str]) -> None:
    """The life of a process that was forked for a study."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _die_with(os.getppid())
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = main(words)
        sys.stdout.flush()
    finally:
        os._exit(code)


def _die_with(parent: int) -> None:
    """Let the system end this process when the one that forked it ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main(words: list[str] | None = None) -> int:
    """Compute what is missing, judge, draw, and write the stamp last of all; progress goes to stdout, a line each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--force", type=float, metavar="SECONDS")
    parser.add_argument("--data", type=Path)
    command = parser.parse_args(words)
    folder = command.out / command.name
    try:
        from qra_jax.cli.session import start_jax

        start_jax()
        run(command.name, folder, quick=command.quick, force=command.force, measured=command.data)
    except Exception:
        with contextlib.suppress(OSError):  # the folder itself may be what is wrong
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ERROR).write_text(traceback.format_exc(), encoding="utf-8")
        traceback.print_exc()
        return 1
    return 0


def run(
    name: str, folder: Path, *, quick: bool, force: float | None = None, measured: Path | None = None
) -> None:
    """Run a study into a folder.

    Datasets are kept under their fingerprints as soon as they are there, so that a killed run goes on with the next
    one, and a change of words or of the figure computes nothing again.

    Args:
      name: the study.
      folder: for its results.
      quick: the quick version.
      force: compute again what is there, and networks and ensembles that are older, in seconds since 1970.
      measured: folder of measured runs.
    """
    from qra_jax import _files, plot, studies
    from qra_jax.studies.lab import Bank, fingerprint, store
    from qra_jax.studies.lab.record import record

    start = time.perf_counter()
    (folder / ERROR).unlink(missing_ok=True)
    study = studies.load(name)
    fingerprint.freeze()
    page = fingerprint.of_page(study.module)
    before = stamp(folder)
    if force is not None:
        (folder / DONE).unlink(missing_ok=True)
    data = fingerprint.of_folder(measured) if measured else before.get("data", "")
    prints = study.fingerprints(quick=quick, data=data)
    known = {}
    for experiment, digits in prints.items():
        path = store.path(folder, experiment, digits)
        if path.is_file() and force is None:
            known[experiment] = store.read(path)

    def say(text: str) -> None:
        print(text, flush=True)

    result = study.compute(
        quick=quick,
        folder=measured,
        bank=Bank(folder.parent / "bank", since=force or 0.0),
        known=known,
        keep=lambda experiment, part: store.write(store.path(folder, experiment, prints[experiment]), part),
        say=say,
    )
    if any(one.measured and not result.has(experiment) for experiment, one in study.experiments.items()):
        data, prints = "", study.fingerprints(quick=quick)  # whatever measured runs were there before
    say("judging and drawing")
    for file in (DONE, CLAIMS, f"{FIGURE}.pdf", f"{FIGURE}.png"):
        (folder / file).unlink(missing_ok=True)
    findings = study.judge(result)
    around = environment() | {"quick": quick, "qra_jax": metadata.version("qra-jax")}
    digits = fingerprint.joined(prints)
    rows = [
        record(one, name, study.subject) | {"environment": around, "fingerprint": digits} for one in findings
    ]
    if study.draw is not None:
        with plot.style():
            plot.save(study.draw(result.fresh()), folder / FIGURE)
    _files.write(folder / CLAIMS, to_json(rows))
    kept = {store.path(folder, experiment, prints[experiment]).name for experiment in result}
    for path in folder.glob("*.nc"):
        if path.name not in kept:
            path.unlink()
    untested = sorted(set(study.claims) - {one.claim.id for one in findings})
    seconds = time.perf_counter() - start
    if known and set(known) == set(result):  # judged and drawn again: what was computed took its time then
        seconds = max(seconds, before.get("seconds", 0.0))
    said: dict[str, Any] = {
        "study": name,
        "subject": study.subject,
        "title": study.title,
        "text": study.text,
        "quick": quick,
        "experiments": prints,
        "page": page,
        "data": data,
        "untested": untested,
        "seconds": round(seconds, 2),
        "environment": around,
    }
    _files.write(folder / DONE, to_json(said))


def stamp(folder: Path) -> dict[str, Any]:
    """What a finished run has written of itself; empty where there is none."""
    try:
        return json.loads((folder / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def finished(name: str, folder: Path, *, quick: bool | None = None, measured: Path | None = None) -> bool:
    """Whether a folder holds the whole result of a study as its code is now.

    Args:
      name: the study.
      folder: its folder.
      quick: which version is wanted; a full one serves as a quick one; default: either.
      measured: the measured runs it must have used; default: any, or none.

    Returns:
      True or False; False also for a study that cannot be loaded.
    """
    from qra_jax import studies
    from qra_jax.studies.lab import fingerprint

    done = stamp(folder)
    try:
        if quick is False and done["quick"]:
            return False
        study = studies.load(name)
        data = fingerprint.of_folder(measured) if measured else done["data"]
        wanted = study.fingerprints(quick=done["quick"], data=data)
        page = fingerprint.of_page(study.module)
    except Exception:
        return False
    figures = [f"{FIGURE}.pdf", f"{FIGURE}.png"] if study.draw is not None else []
    files = all((folder / file).is_file() for file in (CLAIMS, *figures))
    return files and done["experiments"] == wanted and done["page"] == page


def environment() -> dict[str, str]:
    """Device and versions."""
    import jax

    from qra_jax.studies.lab import fingerprint

    device = jax.devices()[0]
    return {
        "device": f"{device.platform} ({device.device_kind})",
        "machine": f"{platform.system()} {platform.machine()}",
        **fingerprint.versions(),
    }


def to_json(value: Any) -> str:
    """Strict JSON, for people as well."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


if __name__ == "__main__":
    sys.exit(serve() if SERVE in sys.argv else main())

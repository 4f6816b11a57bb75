"""`qra reproduce`: run studies, keep what is finished, go on when one crashes, write the report."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
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

import qra_jax
from qra_jax import _check, _files, plot, studies
from qra_jax.studies import report
from qra_jax.studies.base import DataMissing

STAMP, DATA, FIGURE, VERDICTS, ERROR = "done.json", "data.npz", "figure", "verdicts.json", "error.txt"


def reproduce(
    names: Sequence[str] = (),
    *,
    quick: bool = False,
    out: str | Path = "results",
    force: bool = False,
    data: str | Path | None = None,
    console: Console | None = None,
) -> int:
    """Run studies into `out/<name>/`, then write `out/report.html` and `out/claims.json` from what is there.

    A study is finished once its stamp is written, last of all; the stamp names the package version, quick or
    full, and a hash of the study's source, so whatever is stale or half written is done again. A full result
    also serves where a quick one is asked for, and one with measured data where none are given; an old result stays
    until the new data are computed.

    Args:
      names: studies to run; all of them where empty.
      quick: coarser versions, some minutes for all of them on two cores.
      out: folder for the results.
      force: run finished studies again, too.
      data: folder of measured runs, for the studies that use some; one that needs them is skipped without.
      console: where progress goes.

    Returns:
      Exit status: 0, 1 if a study crashed, 130 if interrupted. A claim that fails is a result, not an error.

    Raises:
      ValueError: an unknown study, `out` is a file, or `data` is no folder.
    """
    out, console = Path(out), console or Console()
    measured = None if data is None else Path(data)
    if measured is not None and not measured.is_dir():
        raise ValueError(f"data: {str(measured)!r} is no folder; must be one that holds measured runs")
    for name in names:
        _check.choice("study", name, tuple(studies.REGISTRY))
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: {str(out)!r} is a file; must be a folder or not exist yet")
    chosen = [name for name in studies.REGISTRY if name in names or not names]
    interrupted, errors = False, {}
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=len(chosen))
        try:
            for name in chosen:
                progress.update(task, description=name)
                said, error = _run(name, out / name, quick=quick, force=force, measured=measured)
                errors |= {} if error is None else {name: error}
                progress.console.print(said)
                progress.advance(task)
        except KeyboardInterrupt:
            interrupted = True
            console.print("interrupted; finished studies are kept, run again to go on")
    results = collect(out, errors)
    report.write(results, out)
    console.print(report.listing(results))
    console.print(f"report: {escape(str(out / 'report.html'))}", soft_wrap=True)
    return 130 if interrupted else int(bool(errors))


def _run(
    name: str, folder: Path, *, quick: bool, force: bool, measured: Path | None
) -> tuple[str, str | None]:
    """Run one study; say how it went, and give the traceback if it crashed."""
    if not force and finished(name, folder, quick=quick, measured=measured):
        return f"[dim]∙ {name}: already finished[/dim]", None
    start = time.perf_counter()
    try:
        study = studies.load(name)
        options: dict[str, Any] = {"folder": measured} if hasattr(study, "DATA_NEEDED") else {}
        data = study.compute(quick=quick, **options)
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **data)
        for file in (STAMP, VERDICTS, f"{FIGURE}.pdf", f"{FIGURE}.png", DATA, ERROR):
            (folder / file).unlink(missing_ok=True)
        _files.write(folder / DATA, content.getvalue())
        with np.load(folder / DATA) as saved:
            data = dict(saved)
        with plot.style():
            plot.save(study.draw(data), folder / FIGURE)
        verdicts = [verdict.record() for verdict in study.judge(data)]
        _files.write(folder / VERDICTS, _json(verdicts))
        seconds = time.perf_counter() - start
        _files.write(
            folder / STAMP,
            _json(stamp(name, quick=quick, measured=measured) | environment() | {"seconds": seconds}),
        )
    except DataMissing as missing:
        return f"[dim]∙ {name}: skipped, {escape(str(missing))}[/dim]", None
    except Exception as error:
        text, where = traceback.format_exc(), ""
        with contextlib.suppress(OSError):  # the folder itself may be what is wrong
            _files.write(folder / ERROR, text)
            where = f" (see {escape(str(folder / ERROR))})"
        return f"[red]✗ {name}: crashed, {escape(report.one_line(error))}[/red]{where}", text
    return f"[green]✓[/green] {name}: {seconds:.1f} s", None


def stamp(name: str, *, quick: bool, measured: Path | None = None) -> dict[str, Any]:
    """What a finished result must agree on with the code and data that would make it now."""
    study = studies.load(name)
    source = Path(study.__file__).read_bytes()
    found = {"quick": quick, "qra_jax": qra_jax.__version__, "source": hashlib.sha256(source).hexdigest()}
    if measured is not None and hasattr(study, "DATA_NEEDED"):
        files = sorted(file for file in measured.iterdir() if file.is_file())
        content = b"".join(file.name.encode() + hashlib.sha256(file.read_bytes()).digest() for file in files)
        found["data"] = hashlib.sha256(content).hexdigest()
    return found


def environment() -> dict[str, str]:
    """Device and versions."""
    device = jax.devices()[0]
    packages = ("jax", "jaxlib", "diffrax", "optax", "numpy", "matplotlib")
    return {
        "device": f"{device.platform} ({device.device_kind})",
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def finished(name: str, folder: Path, *, quick: bool | None = None, measured: Path | None = None) -> bool:
    """Whether a folder holds the whole result of the study as its code is now.

    Args:
      name: the study.
      folder: its folder.
      quick: which version is wanted; a full one serves as a quick one; either where left out.
      measured: the measured data it must have been made with; any, or none, where left out.

    Returns:
      True or False.
    """
    try:
        found = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        wanted = stamp(name, quick=False if quick is False else bool(found["quick"]), measured=measured)
    except Exception:  # no stamp, an unreadable one, or a study that cannot even be loaded
        return False
    files = (DATA, f"{FIGURE}.pdf", f"{FIGURE}.png", VERDICTS)
    return {key: found.get(key) for key in wanted} == wanted and all(
        (folder / file).is_file() for file in files
    )


def collect(out: Path, errors: Mapping[str, str] | None = None) -> list[report.Result]:
    """What a folder holds: finished studies with their verdicts, and crashed ones, in order.

    Args:
      out: folder of the results.
      errors: traceback for each study that crashed just now, whatever its folder holds.

    Returns:
      A result for each study that was run.
    """
    results = []
    for name in studies.REGISTRY:
        folder = out / name
        if errors and name in errors:
            results.append(report.Result(name, name, "", error=errors[name]))
        elif finished(name, folder):
            study = studies.load(name)
            results.append(
                report.Result(
                    name,
                    study.TITLE,
                    study.__doc__ or "",
                    verdicts=json.loads((folder / VERDICTS).read_text(encoding="utf-8")),
                    stamp=json.loads((folder / STAMP).read_text(encoding="utf-8")),
                    figure=(folder / f"{FIGURE}.png").read_bytes(),
                )
            )
        elif (folder / ERROR).is_file():
            error = (folder / ERROR).read_text(encoding="utf-8")
            results.append(report.Result(name, name, "", error=error))
    return results


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

"""The command `qra`: arguments first, JAX only once they are understood."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import io
import operator
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

import qra_jax
from qra_jax.cli.commands import (
    COMMANDS,
    Advise,
    Command,
    Doctor,
    Explore,
    Fit,
    Reproduce,
    Solve,
    SweepPlot,
    SweepRun,
    SweepShow,
)

MIN_SECONDS = 0.1
"""Programs that compile faster are not kept."""
SWEEPS: dict[str, type[Command]] = {"run": SweepRun, "show": SweepShow, "plot": SweepPlot}
"""What comes behind `qra sweep`."""
_OTHER_NAMES = {(Advise, "learning_rate"): "eta", (Fit, "until"): "train_until"}
"""Arguments that are called otherwise where the package complains of them."""
_FLAGS = (tyro.conf.FlagCreatePairsOff,)
_ABOUT = "Simulate the theory of RL post-training. More of a command: qra COMMAND --help; the version: qra --version."


def main(argv: Sequence[str] | None = None) -> int:
    """Run `qra`.

    Args:
      argv: arguments; those of the process where left out.

    Returns:
      Exit status: 0; 1 if a study crashed or a check of the doctor failed; 2 for bad input, with one line on stderr;
        130 if interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    if list(argv) == ["--version"]:
        print(f"qra_jax {qra_jax.__version__}")
        return 0
    try:
        command = parse(argv)
        try:
            return _RUN[type(command)](command)
        except ValueError as error:
            raise ValueError(_as_typed(command, str(error))) from None
    except BrokenPipeError:  # who reads has seen enough, as in qra ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        said = str(error)
        if isinstance(error, OSError) and error.strerror and error.filename is not None:
            said = f"{error.filename}: {error.strerror}"
        print(f"error: {' '.join(said.split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        if str(stop):
            print(f"interrupted: {stop}", file=sys.stderr)
        return 130


def parse(argv: Sequence[str]) -> Command:
    """Understand the arguments; needs no JAX.

    Raises:
      ValueError: an unknown or incomplete argument.
      SystemExit: help was asked for and printed.
    """
    name, rest = (argv[0], list(argv[1:])) if argv else ("--help", [])
    if name == "sweep" and rest and rest[0] not in (*SWEEPS, "-h", "--help"):
        if difflib.get_close_matches(rest[0], SWEEPS, 1) and not Path(rest[0]).exists():
            raise ValueError(
                unknown("command", f"sweep {rest[0]}", [f"sweep {one}" for one in SWEEPS], "qra sweep --help")
            )
        rest = ["run", *rest]
    if name not in COMMANDS and not name.startswith("-"):
        raise ValueError(unknown("command", name, COMMANDS, "qra --help"))
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            if name in COMMANDS:
                form, summary = COMMANDS[name]
                told = summary if name == "sweep" else None  # the others have a docstring
                return tyro.cli(form, prog=f"qra {name}", description=told, args=rest, config=_FLAGS)
            listed = (
                Annotated[form, subcommand(name, description=text)] for name, (form, text) in COMMANDS.items()
            )
            any_of: Any = functools.reduce(operator.or_, listed)
            tyro.cli(any_of, prog="qra", description=_ABOUT, args=[name, *rest], config=_FLAGS)
    except SystemExit as stop:
        if not stop.code:
            raise
    words, form = ["qra", name][: 1 + (name in COMMANDS)], COMMANDS.get(name, (None,))[0]
    if name == "sweep" and rest and rest[0] in SWEEPS:
        words, form = [*words, rest[0]], SWEEPS[rest[0]]
    options = [f"--{one}" for one in _options(form)] if dataclasses.is_dataclass(form) else []
    raise ValueError(f"{_one_line(stderr.getvalue(), options)} (see {' '.join([*words, '--help'])})")


def unknown(what: str, given: str, known: Iterable[str], where: str) -> str:
    """A complaint about a name that is none of those known: what it may have meant, or else all of them.

    >>> unknown("command", "slove", ["solve", "fit"], "qra --help")
    "command: 'slove'; did you mean 'solve'? (see qra --help)"
    """
    known = list(known)
    near = [one for one in known if one.startswith(given)][:1] or difflib.get_close_matches(given, known, 1)
    if near:
        return f"{what}: {given!r}; did you mean {near[0]!r}? (see {where})"
    return f"{what}: {given!r}; must be one of {', '.join(map(repr, known))}"


def _options(form: Any) -> list[str]:
    """Names of a command's arguments, as they are typed."""
    return [one.name.replace("_", "-") for one in dataclasses.fields(form)]


def _as_typed(command: Command, complaint: str) -> str:
    """A complaint about an argument, with the argument's name as it was typed."""
    name = re.match(r"\w*", complaint)[0]  # pyright: ignore[reportOptionalSubscript]
    typed = _OTHER_NAMES.get((type(command), name), name).replace("_", "-")
    return typed + complaint[len(name) :] if typed in _options(command) else complaint


def _one_line(message: str, options: Sequence[str]) -> str:
    """The text of a boxed message up to its hints; of options only their names, of unknown ones the nearest."""
    message = re.split("For full helptext|Argument helptext|Got errors", message)[0]
    bare = [row.strip("│").rstrip() for row in message.splitlines()[1:]]  # behind the title
    rows = [row for row in bare if row.strip(" ─-╰╯")]
    depth = lambda row: len(row) - len(row.lstrip())  # noqa: E731
    text = " ".join(map(str.strip, rows))
    if found := re.search("Unrecognized options:(.*?)(Perhaps|Arguments similar|$)", text):
        given = re.split("[, ]+", found[1].strip())
        names = [one for one in given if one.startswith("--")] or given
        near = [one for name in names for one in difflib.get_close_matches(name, options, 1)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        return f"Unrecognized options: {', '.join(names)}{hint}"
    if found := re.search(r"Error parsing --([\w-]+): .*?('[^']*')\W*$", text):
        whole = "whole " * (" int" in text)
        return f"{found[1]}: {found[2]} is not a {whole}number"
    if text.startswith("Missing from"):
        least = min(map(depth, rows[1:]), default=0)
        missing = [row.strip().split(" [")[0] for row in rows[1:] if depth(row) == least]
        return f"{rows[0].strip()} {', '.join(missing)}"
    return text


def _solve(command: Solve) -> int:
    from qra_jax.cli import inputs

    names, ref, success = inputs.read(command.ref, command.success)
    target = inputs.number("target", command.target, "in (0, 1)")
    _start_jax()
    from qra_jax import _check, diagnosis
    from qra_jax.cli import words

    _check.open_unit_interval("target", target)
    if command.plot is not None:  # matplotlib only where it is needed: starting up is what takes time
        from qra_jax import film, plot
        from qra_jax.cli import figure

        moving = Path(command.plot).suffix.lower() in film.ENDINGS
        _writable("plot", (film if moving else plot).check_path("plot", command.plot))
    problem = inputs.problem(command.ref, ref, success)
    with _busy("solving (the first time compiles, ~10 s)"):
        answer = diagnosis.diagnose(problem, target)
    if command.plot is not None:
        with _busy("drawing"):
            if moving:
                written = [figure.film(answer, names).save(command.plot)]
            else:
                written = plot.save(figure.draw(answer, names), command.plot)
        _wrote(written)
    if command.json:
        print(words.to_json(answer, names))
    else:
        words.show(answer, names)
    return 0


def _advise(command: Advise) -> int:
    from qra_jax.cli import inputs

    names, ref, success = inputs.read(command.ref, command.success)
    _start_jax()
    from qra_jax import _check, advice, plot
    from qra_jax.cli import advise

    path = None if command.plot is None else _writable("plot", plot.check_path("plot", command.plot))
    _check.integer("runs", command.runs, low=64)
    settings = advice.Settings(
        algorithm=command.algorithm,
        learning_rate=command.eta,
        group_size=command.group_size,
        steps=command.steps,
        beta=command.beta,
        clip_low=command.clip_low,
        clip_high=command.clip_high,
        epochs=command.epochs,
        staleness=command.staleness,
        tpr=command.tpr,
        fpr=command.fpr,
    )
    problem = inputs.problem(command.ref, ref, success)
    with _busy(f"training {command.runs} times as it is, then with each change"):
        found = advice.advise(problem, settings, runs=command.runs, seed=command.seed)
    if path is not None:
        _wrote(plot.save(advise.draw(found, names), path))
    if command.json:
        print(advise.to_json(found))
    else:
        advise.show(found, names)
    return 0


def _fit(command: Fit) -> int:
    _start_jax()
    from qra_jax import fit, plot
    from qra_jax.cli import fit as words

    path = None if command.plot is None else _writable("plot", plot.check_path("plot", command.plot))
    if words.is_histories(command.file):
        usual = Fit(command.file)
        for name in ("train_until", "column", "range", "samples", "plot"):
            if getattr(command, name) != getattr(usual, name):
                raise ValueError(f"{name}: given with histories of questions; must be left out there")
        options = {"as_json": command.json, "group_size": command.group_size, "seed": command.seed}
        with _busy("fitting the clocks of all questions"):
            words.show_histories(command.file, **options)
        return 0
    curve = fit.read(command.file, column=command.column, scale=command.range, samples=command.samples)
    size = 8 if command.group_size is None else command.group_size
    with _busy("fitting each of the dynamics (the first time compiles, ~1 min)"):
        found = words.answer(curve, command.train_until, group_size=size, seed=command.seed)
    if path is not None:
        _wrote(plot.save(words.draw(found), path))
    if command.json:
        print(words.to_json(found))
    else:
        words.show(found)
    return 0


def _sweep(command: SweepRun | SweepShow | SweepPlot) -> int:
    _start_jax()
    from qra_jax import plot, sweep
    from qra_jax.cli import sweep as words

    if isinstance(command, SweepRun):
        options = {name: getattr(command, name) for name in ("resume", "executor", "shard", "block")}
        words.show(sweep.run(command.spec, command.store, shard_size=command.shard_size, **options))
    elif isinstance(command, SweepShow):
        words.show(sweep.open(command.store))
    else:
        path = _writable("out", plot.check_path("out", command.out))
        named = {"hue": command.hue, "value": command.value, "at": command.at}
        _wrote(plot.save(words.draw(sweep.open(command.store), command.x, command.y, **named), path))
    return 0


def _reproduce(command: Reproduce) -> int:
    _start_jax()
    from qra_jax import studies
    from qra_jax.studies import report

    if command.list:
        width = max(map(len, studies.REGISTRY))
        for name in studies.REGISTRY:
            try:
                title = studies.load(name).TITLE
            except Exception as error:
                title = f"cannot be loaded: {report.one_line(error)}"
            print(f"{name:{width}}  {title}")
        return 0
    from qra_jax.studies import runner

    for name in command.names:
        if name not in studies.REGISTRY:
            raise ValueError(unknown("study", name, studies.REGISTRY, "qra reproduce --list"))
    return runner.reproduce(
        command.names, quick=command.quick, out=command.out, force=command.force, data=command.data
    )


def _explore(command: Explore) -> int:
    import tempfile

    from qra_jax.cli import explore

    with tempfile.TemporaryDirectory() as folder:
        words = explore.command(command.server, command.port, not command.headless, Path(folder))
        return explore.serve(words, cache_folder(), MIN_SECONDS)


def _doctor(command: Doctor) -> int:
    _start_jax()
    from qra_jax.cli import doctor

    with _busy("trying known numbers, about ten seconds"):
        checks = doctor.check()
    if command.json:
        print(doctor.to_json(checks))
    else:
        doctor.show(checks)
    return 0 if all(one.passed for one in checks) else 1


_RUN: dict[type, Callable[[Any], int]] = {
    Solve: _solve,
    Advise: _advise,
    Fit: _fit,
    **dict.fromkeys((SweepRun, SweepShow, SweepPlot), _sweep),
    Reproduce: _reproduce,
    Explore: _explore,
    Doctor: _doctor,
}


def _busy(doing: str) -> contextlib.AbstractContextManager[Any]:
    """Says in a terminal what takes so long, on stderr, and takes it back when it is done."""
    from rich.console import Console

    return Console(stderr=True).status(doing)


def _writable(argument: str, path: Path) -> Path:
    """A path, if a file can be made there; complains before anything is computed."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f"{argument}: {path}: nothing can be written in {folder}; choose another folder")
    return path


def _wrote(paths: Sequence[Path]) -> None:
    """Say on stderr which files were written."""
    for path in paths:
        print(f"wrote {path}", file=sys.stderr)


def cache_folder() -> Path | None:
    """Where the command keeps compiled programs; `None` where the user has said where, or there is no home."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    with contextlib.suppress(OSError, RuntimeError):  # a home that cannot be told, or not be written to
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "qra_jax" / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    return None


def _start_jax() -> None:
    """Turn on float64 and, where the user has no cache of their own, a cache of compiled programs."""
    import jax

    jax.config.update("jax_enable_x64", True)
    folder = cache_folder()
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)

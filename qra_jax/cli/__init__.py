"""Floor 6. The command `qra`: arguments first, JAX only once they are understood."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

Numbers = Annotated[tuple[str, ...], tyro.conf.arg(metavar="P [P ...]|FILE.csv")]


@dataclass(frozen=True)
class Solve:
    """How long RL post-training takes on one question, and whether it stalls.

    Time is in units of one logit at learning rate one: learning rate x steps of expected updates.
    """

    ref: Numbers
    """Share of each reasoning pattern in the base model, separated by spaces or commas; or a CSV file with
    columns pattern,ref,success."""
    success: Numbers = ()
    """Success rate of each pattern, in [0, 1]; may be left out where the CSV file has them."""
    target: Annotated[str, tyro.conf.arg(metavar="P")] = "0.99"
    """Share of the best pattern to reach, in (0, 1)."""
    json: bool = False
    """Print one JSON object, times as log10."""
    plot: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the run into FILE: .png, .pdf or .svg."""


@dataclass(frozen=True)
class Advise:
    """What sampled training does with given hyperparameters: collapse, entropy, what limits it, what helps.

    Runs thousands of trainings of one question by plain gradient steps on the logits of its patterns.
    """

    ref: Numbers
    """Share of each reasoning pattern in the base model, as for solve."""
    success: Numbers = ()
    """Success rate of each pattern, as for solve."""
    algorithm: Annotated[str, tyro.conf.arg(metavar="NAME")] = "grpo"
    """grpo, dr_grpo, dapo, rloo, reinforce or filtered_sft."""
    eta: Annotated[float, tyro.conf.arg(metavar="RATE")] = 0.1
    """Learning rate of a gradient step on the logits."""
    group_size: Annotated[int, tyro.conf.arg(metavar="G")] = 16
    """Rollouts a step."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 1000
    """Steps."""
    beta: Annotated[float, tyro.conf.arg(metavar="B")] = 0.0
    """Strength of the KL term."""
    clip_low: Annotated[float | None, tyro.conf.arg(metavar="EPS")] = None
    """Clip ratios below 1 - EPS; matters with several epochs or stale rollouts."""
    clip_high: Annotated[float | None, tyro.conf.arg(metavar="EPS")] = None
    """Clip ratios above 1 + EPS."""
    epochs: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Gradient steps on each batch of rollouts."""
    staleness: Annotated[int, tyro.conf.arg(metavar="S")] = 0
    """Age of the rollouts in steps."""
    tpr: Annotated[float, tyro.conf.arg(metavar="P")] = 1.0
    """Chance that the verifier accepts a right answer."""
    fpr: Annotated[float, tyro.conf.arg(metavar="P")] = 0.0
    """Chance that it accepts a wrong one."""
    runs: Annotated[int, tyro.conf.arg(metavar="N")] = 2048
    """Sampled runs, 64 or more."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of the random numbers."""
    json: bool = False
    """Print one JSON object."""
    plot: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the runs into FILE: .png, .pdf or .svg."""


@dataclass(frozen=True)
class Fit:
    """Which dynamics made a measured training curve, and how it goes on.

    Fits the first part of a run by few-pattern models of the theory, says what is and is not identified, and
    forecasts the rest beside simple baselines. Files with columns visit1, visit2, ... (a question a row) are
    asked for the clock that the questions follow.
    """

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE.csv")]]
    """Columns step and accuracy, and where known n (samples behind a point) and lr (learning rate)."""
    train_until: Annotated[float | None, tyro.conf.arg(metavar="STEP")] = None
    """Last step to fit; the points after it are forecast and scored."""
    column: Annotated[str, tyro.conf.arg(metavar="NAME")] = "accuracy"
    """The measured column."""
    range: Annotated[tuple[float, float], tyro.conf.arg(metavar="LOW HIGH")] = (0.0, 1.0)
    """What counts as 0 and as 1 in that column: 0 100 for percentages, lowest and highest reward for rewards."""
    samples: Annotated[float | None, tyro.conf.arg(metavar="N")] = None
    """Samples behind every point, where the file does not say."""
    group_size: Annotated[int | None, tyro.conf.arg(metavar="G")] = None
    """Rollouts a group in GRPO's clock, 8 where left out; with visits the rollouts of one, found from the values."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of the random numbers."""
    json: bool = False
    """Print one JSON object."""
    plot: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw run, forecast and baselines into FILE: .png, .pdf or .svg."""


@dataclass(frozen=True)
class SweepRun:
    """Compute every point of a sweep and keep it in a Zarr store: qra sweep SPEC.toml --store DIR."""

    spec: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SPEC.toml")]]
    """What is computed and what varies."""
    store: Annotated[str, tyro.conf.arg(metavar="DIR")]
    """Folder of the store."""
    resume: bool = False
    """Go on with a store that is not complete; damaged chunks are computed anew."""
    executor: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """processes[:N], dask, dask://HOST:PORT or slurm[:N]; all devices of this machine where left out."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Only every N-th shard from the I-th, counted from 0: for arrays of batch jobs."""
    block: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Points that are vectorised together; chosen for the machine where left out."""
    shard_size: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Points in a shard, about."""


@dataclass(frozen=True)
class SweepShow:
    """What is in the store of a sweep."""

    store: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="STORE")]]
    """Folder of the store."""


@dataclass(frozen=True)
class SweepPlot:
    """Draw a sweep: lines of a variable, or a heat map where y is a dimension, too.

    Other dimensions are summed up: the median, and the band from the 10 % to the 90 % quantile.
    """

    store: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="STORE")]]
    """Folder of the store."""
    x: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """Coordinate of the horizontal axis."""
    y: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """Variable, for lines; coordinate, for a heat map."""
    hue: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Coordinate with a line for each value."""
    value: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Variable of a heat map."""
    at: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """Dimensions to keep at one value."""
    out: Annotated[str, tyro.conf.arg(metavar="FILE")] = "sweep.png"
    """Where to draw: .png, .pdf or .svg."""


Sweep = (
    Annotated[SweepRun, tyro.conf.subcommand("run")]
    | Annotated[SweepShow, tyro.conf.subcommand("show")]
    | Annotated[SweepPlot, tyro.conf.subcommand("plot")]
)
"""`qra sweep`: `run` may be left out."""


@dataclass(frozen=True)
class Reproduce:
    """Run the studies: data, figures, a verdict on each claim, and a report."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Studies to run; all where left out."""
    quick: bool = False
    """Coarser versions of all of them in about nine minutes."""
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "results"
    """Folder for the results."""
    force: bool = False
    """Run finished studies again."""
    data: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of measured training runs (CSV), for the studies that use some."""
    list: bool = False
    """List the studies and stop."""


@dataclass(frozen=True)
class Explore:
    """Open the explorer in a browser: sliders for a question and its training, and what follows.

    Needs pip install 'qra-jax[notebooks]'. Runs until interrupted (Ctrl-C).
    """

    server: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """voila (the explorer alone) or lab (JupyterLab); voila where it is installed."""
    port: Annotated[int, tyro.conf.arg(metavar="N")] = 8866
    """Of the local server."""
    headless: bool = False
    """Serve only, and open no browser."""


@dataclass(frozen=True)
class Doctor:
    """Versions, devices, precision and cache, and a short test whether known numbers come out right."""

    json: bool = False
    """Print one JSON object."""


Command = Solve | Advise | Fit | SweepRun | SweepShow | SweepPlot | Reproduce | Explore | Doctor
"""What can be asked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `qra`.

    Args:
      argv: arguments; those of the process where left out.

    Returns:
      Exit status: 0; 1 if a study crashed or a check of the doctor failed; 2 for bad input, with one line on stderr;
        130 if interrupted.
    """
    try:
        command = parse(sys.argv[1:] if argv is None else argv)
        return _RUN[type(command)](command)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parse(argv: Sequence[str]) -> Command:
    """Understand the arguments; needs no JAX.

    Raises:
      ValueError: an unknown or incomplete argument.
      SystemExit: help was asked for and printed.
    """
    if argv and argv[0] == "sweep" and argv[1:2] and argv[1] not in ("run", "show", "plot", "-h", "--help"):
        argv = ["sweep", "run", *argv[1:]]
    stderr = io.StringIO()
    commands: dict[str, Any] = {"solve": Solve, "advise": Advise, "fit": Fit, "sweep": Sweep}
    commands |= {"reproduce": Reproduce, "explore": Explore, "doctor": Doctor}
    try:
        with contextlib.redirect_stderr(stderr):
            return tyro.extras.subcommand_cli_from_dict(
                commands,
                prog="qra",
                description="Simulate the theory of RL post-training.",
                args=list(argv) or ["--help"],
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
    raise ValueError(_one_line(stderr.getvalue()))


def _one_line(message: str) -> str:
    """The text of a boxed message up to its hints."""
    message = re.split("For full helptext|Argument helptext", message)[0]
    rows = [re.sub("[─│╭╮╰╯]+", " ", row).strip() for row in message.splitlines() if not row.startswith("╭")]
    return f"{' '.join(filter(None, rows))} (see qra --help)"


def _solve(command: Solve) -> int:
    from qra_jax.cli import inputs

    names, ref, success = inputs.read(command.ref, command.success)
    target = inputs.number("target", command.target, "in (0, 1)")
    _start_jax()
    from qra_jax import diagnosis, plot
    from qra_jax.cli import figure, words

    path = None if command.plot is None else plot.check_path("plot", command.plot)
    answer = diagnosis.diagnose(inputs.problem(command.ref, ref, success), target)
    if path is not None:
        plot.save(figure.draw(answer, names), path)
    if command.json:
        print(words.to_json(answer))
    else:
        words.show(answer, names)
    return 0


def _advise(command: Advise) -> int:
    from qra_jax.cli import inputs

    names, ref, success = inputs.read(command.ref, command.success)
    _start_jax()
    from qra_jax import advice, plot
    from qra_jax.cli import advise

    path = None if command.plot is None else plot.check_path("plot", command.plot)
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
    found = advice.advise(problem, settings, runs=command.runs, seed=command.seed)
    if path is not None:
        plot.save(advise.draw(found, names), path)
    if command.json:
        print(advise.to_json(found))
    else:
        advise.show(found, names)
    return 0


def _fit(command: Fit) -> int:
    _start_jax()
    from qra_jax import fit, plot
    from qra_jax.cli import fit as words

    path = None if command.plot is None else plot.check_path("plot", command.plot)
    if words.is_histories(command.file):
        usual = Fit(command.file)
        for name in ("train_until", "column", "range", "samples", "plot"):
            if getattr(command, name) != getattr(usual, name):
                raise ValueError(f"{name}: given with histories of questions; must be left out there")
        words.show_histories(
            command.file, as_json=command.json, group_size=command.group_size, seed=command.seed
        )
        return 0
    curve = fit.read(command.file, column=command.column, scale=command.range, samples=command.samples)
    size = 8 if command.group_size is None else command.group_size
    found = words.answer(curve, command.train_until, group_size=size, seed=command.seed)
    if path is not None:
        plot.save(words.draw(found), path)
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
        path = plot.check_path("out", command.out)
        named = {"hue": command.hue, "value": command.value, "at": command.at}
        plot.save(words.draw(sweep.open(command.store), command.x, command.y, **named), path)
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

    return runner.reproduce(
        command.names, quick=command.quick, out=command.out, force=command.force, data=command.data
    )


def _explore(command: Explore) -> int:
    import subprocess
    import tempfile

    from qra_jax.cli import explore

    with tempfile.TemporaryDirectory() as folder:
        words = explore.command(command.server, command.port, not command.headless, Path(folder))
        return subprocess.call(words)


def _doctor(command: Doctor) -> int:
    _start_jax()
    from qra_jax.cli import doctor

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


def _start_jax() -> None:
    """Turn on float64 and, where the user has no cache of their own, a cache of compiled programs."""
    import jax

    jax.config.update("jax_enable_x64", True)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "qra_jax" / "compiled"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

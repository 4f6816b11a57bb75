"""What each command does; JAX is loaded only here, inside the functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qra_jax.cli.arguments import unknown
from qra_jax.cli.commands import (
    ANY_RANGE,
    CLAIMS,
    SWEEPS,
    Advise,
    Doctor,
    DoctorBench,
    Explore,
    Fit,
    New,
    Reproduce,
    Solve,
    SweepPlot,
    SweepRun,
    SweepShow,
    Weights,
)
from qra_jax.cli.session import MIN_SECONDS, busy, cache_folder, progress, start_jax, writable, wrote


def _solve(command: Solve) -> int:
    from qra_jax.cli import inputs, trees

    if command.tree is not None:
        return trees.solve(command)
    trees.check_without(command)
    names, ref, success = inputs.read(command.ref, command.success)
    target = inputs.number("target", command.target, "in (0, 1)")
    preset = preset_of(command.config)
    from qra_jax import _check
    from qra_jax.consult import diagnose, diagnosis_report

    _check.open_unit_interval("target", target)
    if command.plot is not None:  # matplotlib only where it is needed: starting up is what takes time
        from qra_jax import film, plot
        from qra_jax.consult import diagnosis_figure

        moving = Path(command.plot).suffix.lower() in film.ENDINGS
        writable("plot", (film if moving else plot).check_path("plot", command.plot))
    problem = inputs.problem(command.ref, ref, success)
    with busy("solving (the first time compiles for a few seconds)"):
        diagnosis = diagnose(problem, target)
        asides: list[str] = []
        if preset is not None:
            from qra_jax.consult import Hyperparameters, add_time

            settings, asides = Hyperparameters.of(preset.setup)
            algorithm = settings.trained.with_group_size(settings.group_size)
            diagnosis = add_time(diagnosis, Path(command.config or "").name, algorithm)
    if command.plot is not None:
        with busy("drawing"):
            if moving:
                written = [diagnosis_figure.film(diagnosis, names).save(command.plot)]
            else:
                written = plot.save(diagnosis_figure.draw(diagnosis, names), command.plot)
        wrote(written)
    if command.json:
        print(diagnosis_report.to_json(diagnosis, names))
    else:
        diagnosis_report.show(diagnosis, names)
        report_preset(preset, asides)
    return 0


def _advise(command: Advise) -> int:
    from qra_jax.cli import advising

    return advising.advise(command)


def preset_of(file: str | None) -> Any:
    """A trainer's configuration; a file that is none is refused before JAX is loaded. Starts JAX."""
    preset = None
    if file is not None:
        from qra_jax import presets

        preset = presets.read(Path(file))
    start_jax()
    return preset


def report_preset(preset: Any, asides: Sequence[str] = ()) -> None:
    """What became of the fields of a configuration."""
    if preset is not None:
        print(preset.report())
    for line in asides:
        print(line)


def _fit(command: Fit) -> int:
    from qra_jax.fit import runs, shares  # a file is refused before JAX is loaded

    histories = runs.has_visits(command.file)
    named = ("run", "column", "step", "samples", "keep")
    scale = None if command.range == ANY_RANGE else command.range
    choices: dict[str, Any] = {name: getattr(command, name) for name in named} | {"scale": scale}
    if command.watch:
        return _watch(command, choices)
    if command.shares or (command.column is None and not histories and shares.has_shares(command.file)):
        return _shares(command)
    points = None if histories else runs.read(command.file, **choices)
    start_jax()
    from qra_jax import plot
    from qra_jax.fit import curve as curves, report

    path = None if command.plot is None else writable("plot", plot.check_path("plot", command.plot))
    if points is None:
        usual = Fit(command.file)
        for name in ("train_until", *named, "range", "plot"):
            if getattr(command, name) != getattr(usual, name):
                raise ValueError(
                    f"{name}: given with histories of questions; must not be, there is no curve to fit"
                )
        options = {"as_json": command.json, "group_size": command.group_size, "seed": command.seed}
        with busy("fitting the clocks of all questions"):
            report.show_histories(command.file, **options)
        return 0
    curve = curves.of(points)
    if len(command.group_size) > 1:
        raise ValueError(f"group_size: {len(command.group_size)} of them; must be one for a curve")
    size = command.group_size[0] if command.group_size else 8
    with busy("fitting each of the dynamics (the first time compiles, ~1 min)"):
        answer = report.answer(curve, command.train_until, group_size=size, seed=command.seed)
    if path is not None:
        wrote(plot.save(report.draw(answer), path))
    if command.json:
        print(report.to_json(answer))
    else:
        report.show(answer)
    return 0


def _watch(command: Fit, choices: dict[str, Any]) -> int:
    """Follow a log that grows."""
    if command.json or command.plot is not None:
        raise ValueError(
            f"{'json' if command.json else 'plot'}: given with watch; must not be, it prints lines"
        )
    start_jax()
    from qra_jax.fit import watch

    size = command.group_size[0] if command.group_size else 8
    return watch.watch(
        command.file, choices, train_until=command.train_until, group_size=size, seed=command.seed
    )


def _shares(command: Fit) -> int:
    """Measured shares of patterns: the orbit that they run on."""
    from qra_jax.fit import shares

    usual = Fit(command.file)
    for name in ("train_until", "range", "group_size"):
        if getattr(command, name) != getattr(usual, name):
            raise ValueError(f"{name}: given with shares of patterns; must not be, or name a --column")
    picked = {name: getattr(command, name) for name in ("run", "step", "samples", "keep")}
    measured = shares.read(command.file, columns=command.shares, normalise=command.normalise, **picked)
    from qra_jax import plot
    from qra_jax.fit.shares import report

    path = None if command.plot is None else writable("plot", plot.check_path("plot", command.plot))
    with busy("fitting the orbit of the shares"):
        found = report.answer(measured, seed=command.seed)
    if path is not None:
        wrote(plot.save(report.draw(found), path))
    if command.json:
        print(report.to_json(found, measured))
    else:
        report.show(found, measured)
    return 0


def _weights(command: Weights) -> int:
    from qra_jax import checkpoints, plot  # which need no JAX

    settings: dict[str, Any] = {"top": command.top, "matrices": command.max_matrices, "seed": command.seed}
    checkpoints.comparison.check(**settings, called="max_matrices")
    path = None if command.plot is None else writable("plot", plot.check_path("plot", command.plot))
    pairs, notes = checkpoints.pair(command.base, command.tuned, command.only)
    sizes = {one.name: math.prod(one.shape) for one in pairs}
    with progress("reading", 2 * sum(sizes.values())) as done:
        checkpoints.check_finite(pairs, done)
    works = {one.name: sizes[one.name] * (min(one.shape) if one.is_matrix else 1) for one in pairs}
    with progress("comparing", sum(works.values())) as done:
        found = checkpoints.compare(
            pairs,
            null=command.null,
            **settings,
            done=lambda one: done(works[one.name]),
        )
    if path is not None:
        from qra_jax.checkpoints import figure

        wrote(plot.save(figure.draw(found), path))
    if command.json:
        print(checkpoints.report.to_json(found, command.base, command.tuned, notes))
    else:
        checkpoints.report.show(found, notes)
    return 0


def _sweep(command: SweepRun | SweepShow | SweepPlot) -> int:
    start_jax()
    from qra_jax import plot, sweep
    from qra_jax.sweep import report

    if isinstance(command, SweepRun):
        options = {name: getattr(command, name) for name in ("resume", "executor", "shard", "block")}
        report.show(sweep.run(command.spec, command.store, shard_size=command.shard_size, **options))
    elif isinstance(command, SweepShow):
        report.show(sweep.open(command.store))
    else:
        path = writable("out", plot.check_path("out", command.out))
        named = {"hue": command.hue, "value": command.value, "at": command.at}
        wrote(plot.save(report.draw(sweep.open(command.store), command.x, command.y, **named), path))
    return 0


def _reproduce(command: Reproduce) -> int:
    from qra_jax import studies

    for subject in command.subject:
        if subject not in studies.subjects():
            raise ValueError(unknown("subject", subject, studies.subjects(), "qra reproduce --list"))
    wanted = [name for subject in command.subject for name in studies.names(subject)]
    for name in command.names:
        if name not in studies.names():
            raise ValueError(unknown("study", name, studies.names(), "qra reproduce --list"))
    start_jax()
    if command.list:
        from qra_jax.studies import report

        listed = wanted or studies.names()
        broken = studies.broken(listed)
        for name in listed:
            if name in broken:
                print(f"{name}: cannot be loaded: {broken[name]}")
                continue
            try:
                study = studies.load(name)
                print(f"{study.subject}/{name}: {study.title}")
                for claim in study.claims.values():
                    print(f"    {claim.id}  {claim.statement}")
            except Exception as error:
                print(f"{name}: cannot be loaded: {report.one_line(error)}")
        return 0
    from qra_jax.studies import runner

    return runner.reproduce(
        [*command.names, *wanted],
        quick=command.quick,
        out=command.out,
        force=command.force,
        data=command.data,
        jobs=command.jobs,
        claim=command.claim,
    )


def _claims(command: Any) -> int:
    from qra_jax.cli import claims

    return claims.run(command)


def _doctor_bench(command: DoctorBench) -> int:
    start_jax()
    from qra_jax.studies import runner

    return runner.reproduce(
        ["run-doctors"],
        quick=command.quick,
        out=command.out,
        force=command.force,
        data=None,
        jobs=1,
        claim=None,
    )


def _explore(command: Explore) -> int:
    import tempfile

    from qra_jax.cli import explore

    with tempfile.TemporaryDirectory() as folder:
        words = explore.command(
            command.server, command.port, not command.headless, Path(folder), command.tree
        )
        return explore.serve(words, cache_folder(), MIN_SECONDS)


def _new(command: New) -> int:
    from qra_jax.cli import new

    wrote(new.write(command.kind, command.name, Path(command.out)))
    folder = Path(command.out) / command.name
    print(f"next: pip install -e '{folder}[test]' && pytest {folder}")
    return 0


def _doctor(command: Doctor) -> int:
    start_jax()
    from qra_jax.cli import doctor

    with busy("trying known numbers, about ten seconds"):
        checks = doctor.check()
    if command.json:
        print(doctor.to_json(checks))
    else:
        doctor.show(checks)
    return 0 if all(one.passed for one in checks) else 1


RUN: dict[type, Callable[[Any], int]] = {
    Solve: _solve,
    Advise: _advise,
    Fit: _fit,
    Weights: _weights,
    **dict.fromkeys(SWEEPS.values(), _sweep),
    Reproduce: _reproduce,
    **dict.fromkeys(CLAIMS.values(), _claims),
    Explore: _explore,
    DoctorBench: _doctor_bench,
    New: _new,
    Doctor: _doctor,
}

"""A study: experiments, claims with their evidence and controls, and a figure."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies.lab import fingerprint
from qra_jax.studies.lab.arms import Data, DataMissing, Run, cells
from qra_jax.studies.lab.bank import Bank
from qra_jax.studies.lab.evidence import FAILS, HOLDS, ONLY_IF, OPEN, YES, Evidence, Verdict
from qra_jax.studies.lab.origin import Origin

LEVEL = 0.05
"""Probability that any interval of a study misses, over all of its comparisons together."""
Judge = Callable[..., Evidence]


@dataclass(frozen=True)
class Experiment:
    """What computes one dataset of a study.

    Attributes:
      name: of the function.
      function: takes a [`Run`][qra_jax.studies.lab.Run], returns a dataset.
      after: experiments whose results it reads.
      sources: the function as it was written.
      settings: what else its result depends on.
    """

    name: str
    function: Callable[[Run], xr.Dataset]
    after: tuple[str, ...]
    source: Callable[..., Any]
    measured: bool


@dataclass
class Claim:
    """One claim: a statement, its origin, the evidence that decides it, and its control.

    Attributes:
      id: `"<study>/<name>"`.
      statement: what was tested, in one sentence.
      origin: whose claim it is.
      judge: gives the evidence.
      needs_none: why no null control is needed, where there is none.
      conflicts: ids of claims that cannot be true together with it.
      nulls: the same test on data in which the effect is absent, by description; it must not hold there.
      positives: the same test where the effect is known to be present; it must hold there.
    """

    id: str
    statement: str
    origin: Origin
    judge: Judge
    needs_none: str = ""
    conflicts: tuple[str, ...] = ()
    nulls: dict[str, Judge] = field(default_factory=dict)
    positives: dict[str, Judge] = field(default_factory=dict)

    def null(self, description: str) -> Callable[[Judge], Judge]:
        """Decorate a null control: the same test where the effect is absent. If it holds there, the claim is open."""
        return self._control(self.nulls, description)

    def positive(self, description: str) -> Callable[[Judge], Judge]:
        """Decorate a positive control: the test where the effect is known. Unless it holds there, `fails` is open."""
        return self._control(self.positives, description)

    def _control(self, controls: dict[str, Judge], description: str) -> Callable[[Judge], Judge]:
        def add(judge: Judge) -> Judge:
            controls[description] = judge
            return judge

        return add


@dataclass(frozen=True)
class Control:
    """A control as it came out."""

    description: str
    wanted: str
    evidence: Evidence
    verdict: Verdict


@dataclass(frozen=True)
class Finding:
    """A claim with its evidence and verdict.

    Attributes:
      claim: the claim.
      evidence: what the data say.
      controls: its controls, run beside.
      verdict: holds, fails, holds only if, or open.
      level: error rate of each of its intervals.
      conditions: under which settings it was tested: axes of the experiments that were read, with their extents.
    """

    claim: Claim
    evidence: Evidence
    controls: tuple[Control, ...]
    verdict: Verdict
    level: float
    conditions: Mapping[str, str]


class Study:
    """Experiments, claims and a figure under one title.

    Args:
      module: `__name__` of the module; `qra_jax.studies.<subject>.<name>` says where it belongs.
      title: one line for lists and headings.
      level: family-wise error rate of its claims, in (0, 1).

    Raises:
      ValueError: an empty title.
    """

    def __init__(self, module: str, *, title: str, level: float = LEVEL) -> None:
        if not title.strip():
            raise ValueError("title: empty; must say in one line what the study is about")
        parts = module.split(".")
        self.module, self.title, self.level = module, title, level
        self.name = parts[-1].replace("_", "-")
        self.subject = parts[-2] if len(parts) > 1 else "own"
        self.experiments: dict[str, Experiment] = {}
        self.claims: dict[str, Claim] = {}
        self.draw: Callable[[Data], Figure] | None = None

    @property
    def text(self) -> str:
        """The module's docstring: the question, the theory, the experiment."""
        return inspect.cleandoc(sys.modules[self.module].__doc__ or "") if self.module in sys.modules else ""

    # ---- what a study's module declares

    def experiment(
        self,
        axes: Mapping[str, Any] | None = None,
        *,
        seeds: Any = None,
        dims: Mapping[str, Sequence[str]] | None = None,
        coords: Mapping[str, Any] | None = None,
        common: Sequence[str] = (),
        block: int | None = None,
        after: Sequence[str] = (),
        measured: bool = False,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate what computes a dataset.

        Without axes and seeds the function is `(run)` and returns a dataset. With them it is `(cell)` or `(cell, key)`,
        is run in every combination (see [`cells`][qra_jax.studies.lab.cells]), and returns arrays by name.

        Args:
          axes: as for [`cells`][qra_jax.studies.lab.cells]; it and its values may be a `scale(quick, full)`.
          seeds: members of each cell; may be a `scale(quick, full)`.
          dims: names of further dimensions of what is returned.
          coords: values along these; they may be a `scale(quick, full)`.
          common: axes whose cells share their random numbers.
          block: members vectorised together.
          after: earlier experiments whose results it reads, as `run.done.<name>`.
          measured: whether it depends on the folder of measured runs.
        """

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            def run_cells(run: Run) -> xr.Dataset:
                return cells(
                    function,
                    key=run.key,
                    seeds=run(seeds),
                    axes={name: run(values) for name, values in run(axes or {}).items()},
                    dims=run(dims),
                    coords={name: run(values) for name, values in run(coords or {}).items()},
                    common=common,
                    block=block,
                    say=run.say,
                )

            name = function.__name__
            free = axes is None and seeds is None
            self.experiments[name] = Experiment(
                name, function if free else run_cells, tuple(after), function, measured
            )
            return function

        return add

    def claim(
        self,
        statement: str,
        *,
        origin: Origin,
        needs_no_control: str = "",
        conflicts_with: Sequence[str] = (),
    ) -> Callable[[Judge], Claim]:
        """Decorate what gives the evidence for a claim, from the data.

        Args:
          statement: what is tested, in one sentence.
          origin: whose claim it is: a paper, derived, or asked here.
          needs_no_control: why it has no null control; otherwise add one by `@<claim>.null("…")`.
          conflicts_with: ids of claims that cannot be true together with it.
        """

        def add(judge: Judge) -> Claim:
            name = judge.__name__.strip("_").replace("_", "-")
            claim = Claim(
                f"{self.name}/{name}", statement, origin, judge, needs_no_control, tuple(conflicts_with)
            )
            if claim.id in self.claims:
                raise ValueError(f"claim: {claim.id!r} twice; must be a function of another name")
            self.claims[claim.id] = claim
            return claim

        return add

    def figure(self, draw: Callable[[Data], Figure]) -> Callable[[Data], Figure]:
        """Decorate what draws the figure from the data."""
        self.draw = draw
        return draw

    # ---- what the runner does with it

    def fingerprints(self, *, quick: bool, seed: int = 0, data: str = "") -> dict[str, str]:
        """What the dataset of each experiment depends on.

        Args:
          quick: the quick version.
          seed: of all random numbers.
          data: fingerprint of the folder of measured runs; empty for none.
        """
        out: dict[str, str] = {}
        for name, experiment in self.experiments.items():
            before = [out[other] for other in experiment.after]
            measured = data if experiment.measured else ""
            out[name] = fingerprint.of_data([experiment.source], quick, seed, measured, before)
        return out

    def _reads_measured(self, name: str) -> bool:
        """Whether an experiment depends on measured runs, by itself or through what it reads."""
        experiment = self.experiments.get(name)
        return experiment is not None and (
            experiment.measured or any(map(self._reads_measured, experiment.after))
        )

    def compute(
        self,
        *,
        quick: bool = False,
        seed: int = 0,
        bank: Bank | None = None,
        folder: Path | None = None,
        known: Mapping[str, xr.Dataset] | None = None,
        keep: Callable[[str, xr.Dataset], None] = lambda name, result: None,
        say: Callable[[str], None] = lambda text: None,
    ) -> Data:
        """Run the experiments.

        Args:
          quick: the quick version.
          seed: of all random numbers.
          bank: networks and ensembles that are kept; default: in memory.
          folder: measured runs.
          known: datasets that need not be computed again.
          keep: called with each new dataset as soon as it is there.
          say: called with lines on progress.

        Returns:
          The data; experiments that lack measured data are left out.
        """
        parts, skipped = dict(known or {}), {}
        bank = bank or Bank()
        for name, experiment in self.experiments.items():
            if name in parts:
                continue
            done = Data({other: parts[other] for other in experiment.after if other in parts})
            run = Run(
                quick,
                seed,
                bank,
                folder if experiment.measured else None,
                done,
                lambda text, name=name: say(f"{name}: {text}"),
                f"{self.name}/{name}",
            )
            say(name)
            try:
                parts[name] = experiment.function(run)
            except DataMissing as missing:
                skipped[name] = str(missing)
                continue
            keep(name, parts[name])
        return Data(parts, skipped)

    def judge(self, data: Data, *, only: str | None = None, level: float | None = None) -> list[Finding]:
        """Decide every claim, at one family-wise level, with its controls beside.

        Where some claims rest on measured runs, these and the others share the level evenly, so that no verdict on
        simulated data depends on whether measured runs are at hand. Of claims that exclude each other and both hold,
        both are open.

        Args:
          data: what the experiments gave.
          only: id of a single claim to show.
          level: error rate of each interval; default: the study's, divided by the comparisons of all claims.

        Returns:
          A finding for each claim whose data are there.

        Raises:
          ValueError: a claim without a null control that does not say why it needs none.
        """
        gathered = []
        chosen = [self.claims[only]] if only and level is not None else self.claims.values()
        for claim in chosen:
            if not claim.nulls and not claim.needs_none:
                raise ValueError(
                    f"{claim.id}: has no null control; must have one (@….null), or say why it needs none"
                )
            seen = data.fresh()
            try:
                with xr.set_options(arithmetic_join="exact"):
                    evidence = claim.judge(seen)
                    settings = _settings(seen)
                    controls = [(d, "null", judge(seen)) for d, judge in claim.nulls.items()]
                    controls += [(d, "positive", judge(seen)) for d, judge in claim.positives.items()]
            except DataMissing:
                continue
            measured = any(map(self._reads_measured, seen.read))
            gathered.append((claim, evidence, controls, settings, measured))
        families = 1 + any(map(self._reads_measured, self.experiments))
        findings = []
        for claim, evidence, controls, settings, measured in gathered:
            family = [(e, cs) for _, e, cs, _, kind in gathered if kind == measured]
            count = sum(e.comparisons() + sum(c.comparisons() for *_, c in cs) for e, cs in family)
            each = self.level / families / max(count, 1) if level is None else level
            beside = tuple(_controlled(evidence, control, each) for control in controls)
            verdict = _with_controls(evidence.decide(each), beside)
            findings.append(Finding(claim, evidence, beside, verdict, each, settings))
        findings = _without_contradictions(findings)
        return [one for one in findings if only in (None, one.claim.id)]

    def run(self, *, quick: bool = True, seed: int = 0) -> tuple[Data, list[Finding]]:
        """Compute and judge, here and now: for notebooks and for trying out a new study."""
        data = self.compute(quick=quick, seed=seed)
        return data, self.judge(data)


def _controlled(evidence: Evidence, control: tuple[str, str, Evidence], level: float) -> Control:
    """A control as it came out: a null one counts where the claim holds."""
    description, wanted, beside = control
    if wanted == "positive":
        return Control(description, wanted, beside, beside.decide(level))
    holds = evidence.elements(level) == YES
    return Control(description, wanted, beside, beside.absent(level, holds if bool(holds.any()) else None))


def _with_controls(verdict: Verdict, controls: Iterable[Control]) -> Verdict:
    """A claim that holds is open unless its null controls fail; one that fails, unless its positive controls hold."""
    for control in controls:
        if verdict.kind in (HOLDS, ONLY_IF) and control.wanted == "null" and control.verdict.kind != FAILS:
            said = "shows the same" if control.verdict.kind in (HOLDS, ONLY_IF) else "is undecided"
            return Verdict(OPEN, f"its control ({control.description}) {said}")
        if (
            verdict.kind in (FAILS, ONLY_IF)
            and control.wanted == "positive"
            and control.verdict.kind != HOLDS
        ):
            return Verdict(OPEN, f"its positive control ({control.description}) does not hold")
    return verdict


def _without_contradictions(findings: list[Finding]) -> list[Finding]:
    """Claims that cannot be true together, and both hold, are open."""
    held = {one.claim.id for one in findings if one.verdict.kind == HOLDS}
    pairs = {(one.claim.id, other) for one in findings for other in one.claim.conflicts}
    against = {one: other for a, b in pairs if {a, b} <= held for one, other in ((a, b), (b, a))}
    return [
        replace(one, verdict=Verdict(OPEN, f"contradicts {against[one.claim.id]}, which holds as well"))
        if one.claim.id in against
        else one
        for one in findings
    ]


def _settings(data: Data) -> dict[str, str]:
    """Axes of the experiments that were looked at, with their extents; where these differ, all of them."""
    out: dict[str, dict[str, None]] = {}
    for result in data.read.values():
        for dim, size in result.sizes.items():
            words = str(size)
            if dim in result.coords:
                values = result[dim].values
                if values.dtype.kind in "iuf" and size > 6:
                    words = f"{values.min():.4g} … {values.max():.4g} ({size})"
                elif size <= 16:
                    words = ", ".join(v if isinstance(v, str) else f"{v:.4g}" for v in values.tolist())
                else:
                    words = f"{size} values"
            out.setdefault(str(dim), {})[words] = None
        for name, value in result.attrs.items():
            out.setdefault(str(name), {})[str(value)] = None
    return {name: "; ".join(words) for name, words in out.items()}

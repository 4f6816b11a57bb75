"""A run that is still going on: its log read again as it grows, and one line for each new forecast."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from qra_jax._terminal import say
from qra_jax.fit import runs

if TYPE_CHECKING:
    from qra_jax.fit.curve import Curve
    from qra_jax.fit.shape import Shape

FEWEST = 4
"""Points that a fit needs."""
AHEAD = 3.0
"""Where nobody says how long training goes on, forecasts go so many training windows from its start."""
PLATEAU = 0.95
"""Share of the gain up to the horizon after which the rest hardly matters."""
STOPPED = 130
"""Exit code after Ctrl-C."""


@dataclass(frozen=True)
class Update:
    """What is known of a run so far, in the file's own units.

    Attributes:
      step: the last one.
      points: number of them.
      level: of the accuracy there, without the noise of points.
      horizon: the step that is forecast.
      median: forecast of the accuracy there.
      low: lower end of its 80 % interval.
      high: upper end.
      plateau: median step by which 95 % of the gain from the first step to the horizon is made.
      plateau_low: lower end of its 80 % interval.
      plateau_high: upper end.
      shape: what the curve does: flat, rising, falling, collapse.
    """

    step: float
    points: int
    level: float
    horizon: float
    median: float
    low: float
    high: float
    plateau: float
    plateau_low: float
    plateau_high: float
    shape: Shape

    def __str__(self) -> str:
        """One line."""
        seen = self.shape
        line = f"step {self.step:.10g}: {self.level:.3f}"
        if seen.kind == "flat":
            return f"{line}; flat, as far as its noise tells: no forecast yet"
        if seen.kind != "rising":
            word = "COLLAPSE" if seen.kind == "collapse" else "FALLING"
            since = ""
            if math.isfinite(seen.onset):
                low, high = seen.onset_between
                since = f" from step {seen.onset:.10g} on (95 %: {low:.10g} to {high:.10g})"
            return f"{line}; {word}{since}: the models only rise, no forecast"
        return (
            f"{line}; at step {self.horizon:.10g}: {self.median:.3f} [{self.low:.3f}, {self.high:.3f}] (80 %); "
            f"{PLATEAU:.0%} of that gain by step {self.plateau:.4g} [{self.plateau_low:.4g}, {self.plateau_high:.4g}]"
        )


def update(
    curve: Curve, *, train_until: float | int | None = None, group_size: int = 8, seed: int = 0
) -> Update:
    """Fit all points of a run and look ahead.

    Args:
      curve: the run so far, four points or more.
      train_until: the step at which training is to end; default, and where it is past: three times as far from the
        first step as the last one.
      group_size: G of GRPO's clock.
      seed: of the random numbers.

    Returns:
      An `Update`.

    Raises:
      ValueError: fewer than four points.
    """
    from qra_jax import fit
    from qra_jax.fit.drawing import native
    from qra_jax.fit.shape import shape

    fitted = fit.fit(curve, group_size=group_size, seed=seed)
    begin, last = float(curve.steps[0]), float(curve.steps[-1])
    ahead = train_until is not None and train_until > last
    horizon = float(train_until) if train_until is not None and ahead else begin + AHEAD * (last - begin)
    steps = np.union1d(np.linspace(begin, horizon, 121), [last])
    forecast = fitted.forecast(steps)
    members = forecast.members
    gained = members - members[:, :1] >= PLATEAU * (members[:, -1:] - members[:, :1])
    plateau = np.quantile(steps[gained.argmax(axis=1)], [0.5, 0.1, 0.9])
    behind = np.full(len(curve.steps), fitted.samples) if curve.samples is None else curve.samples
    level = forecast.median[np.searchsorted(steps, last)]
    ends = native(fitted, [level, forecast.median[-1], forecast.low[-1], forecast.high[-1]])
    seen = shape(curve.steps, curve.accuracy, behind)
    now, median, low, high = ends.tolist()
    middle, first, latest = plateau.tolist()
    return Update(last, len(curve.steps), now, horizon, median, low, high, middle, first, latest, seen)


def watch(
    path: str | Path,
    choices: Mapping[str, Any] | None = None,
    *,
    train_until: float | int | None = None,
    every: float | int = 30.0,
    group_size: int = 8,
    seed: int = 0,
    sleep: Callable[[float], Any] = time.sleep,
    updates: int | None = None,
    console: Console | None = None,
) -> int:
    """Follow a growing log: fit it again when points have come, and print a line each time, until Ctrl-C.

    A file that is not there yet is waited for; one that cannot be read is tried again when it has changed; one that
    begins anew after a restart is fitted anew. A last line without its end is left out as long as the file grows.

    Args:
      path: file or folder.
      choices: as keywords of `qra_jax.fit.read`.
      train_until: the step at which training is to end, which is forecast; default: three times as far as the last.
      every: seconds between two looks, positive.
      group_size: G of GRPO's clock.
      seed: of the random numbers.
      sleep: waits so many seconds.
      updates: lines after which to stop; default: never.
      console: where to.

    Returns:
      Exit code: 130 after Ctrl-C, else 0.

    Raises:
      ValueError: an argument out of range.
    """
    if not (every > 0 and math.isfinite(every)):
        raise ValueError(f"every: {every:.10g}; must be a positive number of seconds")
    if updates is not None and updates < 1:
        raise ValueError(f"updates: {updates}; must be 1 or above")
    follower = _Follower(Path(path), dict(choices or {}), console or Console(highlight=False))
    done = 0
    try:
        while True:
            points = follower.fresh()
            if points is not None:
                from qra_jax.fit import curve as curves

                found = update(curves.of(points), train_until=train_until, group_size=group_size, seed=seed)
                follower.say(str(found))
                done += 1
            if done == updates:
                return 0
            sleep(float(every))
    except KeyboardInterrupt:
        return STOPPED


class _Follower:
    """What has been seen of a file."""

    def __init__(self, path: Path, choices: dict[str, Any], console: Console) -> None:
        self.path, self.choices, self.console = path, choices, console
        self.mark: tuple[Any, ...] | None = None
        self.fitted: tuple[np.ndarray, np.ndarray] | None = None
        self.whole = True  # the last line was taken for whole
        self.told = ""

    def fresh(self) -> runs.Points | None:
        """The points, where some are new and they are enough."""
        mark = _mark(self.path)
        if mark is None:
            self.once(f"{self.path} is not there yet: waiting")
            return None
        grown, self.mark = mark != self.mark, mark
        if not grown and self.whole:
            return None
        self.whole = not grown or _ends(self.path)
        try:
            points = runs.read(self.path, **self.choices)
        except (ValueError, OSError) as error:
            self.once(f"waiting, as {error}" if isinstance(error, ValueError) else f"waiting: {error}")
            return None
        count = len(points.steps) - (not self.whole)
        if count < FEWEST:
            self.once(f"{max(count, 0)} points so far, {FEWEST} are needed: waiting")
            return None
        if not self.whole:
            points = _first(points, count)
        before, now = self.fitted, (points.steps, points.accuracy)
        if before is not None and all(
            np.array_equal(old[:count], new) for old, new in zip(before, now, strict=True)
        ):
            if self.whole and count < len(before[0]):
                self.fitted = now
            return None
        self.fitted = now
        if before is None:
            for note in points.notes:
                self.say(f"Note: {note}.")
        elif points.steps[-1] < before[0][-1]:
            self.say(
                f"The log begins anew: it ends at step {points.steps[-1]:.10g}, not {before[0][-1]:.10g}."
            )
        return points

    def once(self, line: str) -> None:
        """Say a line that was not the last of its kind."""
        if line != self.told:
            self.told = line
            self.say(line)

    def say(self, line: str) -> None:
        say(self.console, line)
        self.console.file.flush()


def _mark(path: Path) -> tuple[Any, ...] | None:
    """By what a change shows: size and time of each file; `None` where there is none."""
    try:
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        stats = [(str(one), one.stat()) for one in files]
    except OSError:
        return None
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats) or None


def _ends(path: Path) -> bool:
    """Whether a file ends with the end of a line; a folder does."""
    if path.is_dir():
        return True
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 1))
            return file.read(1) in (b"\n", b"\r", b"\0")
    except OSError:
        return False


def _first(points: runs.Points, count: int) -> runs.Points:
    """The first points."""
    cut = lambda x: None if x is None else x[:count]  # noqa: E731
    return replace(
        points,
        steps=points.steps[:count],
        accuracy=points.accuracy[:count],
        samples=cut(points.samples),
        lr=cut(points.lr),
    )

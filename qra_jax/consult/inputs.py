"""What an asker brings, as a population of questions: pass rates, pass@k, or the beginning of a log; needs no JAX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qra_jax.fit import runs
from qra_jax.fit.runs import columns, keys, scales
from qra_jax.fit.runs.signals import Signal, Signals, signals

if TYPE_CHECKING:
    from qra_jax.population import Population

FEW = 64
"""Rates that are multiples of one over so many at most are of so many tries, whose noise is taken out."""
EDGE = 0.1
"""Part of a log, three points at least, whose mean is its start or its end."""
MOST = 0.75
"""Part of a rise by which the rate of a run is told."""
RATE = "pass_rate, success_rate, accuracy or solve_rate, or correct beside n"


@dataclass(frozen=True)
class Logged:
    """A training log, as the numbers of an asker.

    Attributes:
      signals: of the log.
      points: its accuracy.
      start: mean of the first tenth of it.
      end: mean of the last tenth.
      steps: between the middles of both.
      error: standard error of start and of end.
      most: the level at three quarters of the rise, and the steps from the start to it: later a run may have stood
        still for long.
    """

    signals: Signals
    points: runs.Points
    start: float
    end: float
    steps: float
    error: tuple[float, float]
    most: tuple[float, float]


def questions(path: str) -> Population:
    """Success rates of questions from a table of theirs.

    Args:
      path: a file with a row a question and a column of rates, or of right tries beside their number.

    Returns:
      A `Population`: the rates as they are, or, where they are of 64 tries or fewer, the distribution behind them.

    Raises:
      ValueError: unreadable, no such column, or rates out of range.
    """
    log = runs.log(path)
    have = list(log.numbers)
    right, number = keys.find(have, keys.CORRECT), keys.find(have, keys.SAMPLES)
    if right and number:
        known = np.isfinite(log.numbers[right]) & np.isfinite(log.numbers[number])
        k, n = log.numbers[right][known], log.numbers[number][known]
        if known.any() and (n > 1).any() and (k == np.rint(k)).all():
            if (n < 1).any() or (k > n).any() or (k < 0).any():
                at = int(np.argmax((n < 1) | (k > n) | (k < 0)))
                raise ValueError(f"questions: {path}: {k[at]:g} of {n[at]:g} right; must be 0 … n of n ≥ 1")
            from qra_jax.population import Population  # which needs JAX

            return Population.from_counts(k, n)
    names = [name for name in keys.accuracies(have) if name != number]
    if not names and len(rest := [name for name in have if name not in ("index", "id", number)]) == 1:
        names = rest
    if not names:
        raise ValueError(f"questions: {path} has {', '.join(have[:8]) or 'no numbers'}; must have {RATE}")
    rates = log.numbers[names[0]]
    rates = rates[np.isfinite(rates)]
    scale = scales.guessed_range(names[0], rates, names[0] in log.hundredths) if rates.size else None
    if scale is None:
        low, high = (rates.min(), rates.max()) if rates.size else (np.nan, np.nan)
        raise ValueError(
            f"questions: {path}, column {names[0]}: from {low:.4g} to {high:.4g}; must be rates in [0, 1]"
        )
    if len(rates) >= 5 and set(np.unique(rates)) == {scale[0], scale[1]}:
        raise ValueError(
            f"questions: {path}, column {names[0]}: all {scale[0]:g} or {scale[1]:g}, one try each; must be rates of "
            "several tries, which tell questions apart: their mean alone is no distribution"
        )
    from qra_jax.population import Population

    rates = np.clip((rates - scale[0]) / (scale[1] - scale[0]), 0, 1)
    tries = scales.granularity(rates, scales.resolution(rates))
    if tries is not None and tries <= FEW and len(rates) >= 2 * tries:
        return Population.from_counts(np.rint(rates * tries), tries)
    return Population.of(rates, f"{len(rates)} questions of {path}")


def pass_at(words: Sequence[str]) -> Population:
    """The population behind pass@k.

    Args:
      words: such as `1=.31`, `8=.64`.

    Raises:
      ValueError: words of another form, or as [`from_pass_at`][qra_jax.population.Population.from_pass_at] does.
    """
    values: dict[int, float] = {}
    for word in words:
        k, sign, value = word.removeprefix("pass@").partition("=")
        try:
            values[int(k)] = float(value)
        except ValueError:
            sign = ""
        if not sign:
            raise ValueError(f"pass_at: {word!r}; must be K=SHARE, such as 8=.64")
    from qra_jax.population import Population

    return Population.from_pass_at(values)


def logged(path: str, **choices: Any) -> Logged:
    """A log with its start and its end.

    Args:
      path: a file or folder, as [`read`][qra_jax.fit.runs.read] takes it.
      **choices: its keywords.

    Raises:
      ValueError: as `read` does.
    """
    log = runs.log(path)
    points = runs.curve(log, **choices)
    if choices.get("run") is not None:
        log = columns.run(log, choices["run"] if not columns.one_run(log) else None, lambda _: None)
    found = signals(log)
    if choices.get("column") is not None:
        found = replace(found, accuracy=Signal("accuracy", points.steps, points.accuracy))
    count = min(len(points.steps) // 2, max(3, round(EDGE * len(points.steps))))
    count = max(count, 1)
    first, last = slice(None, count), slice(-count, None)
    y, s = points.accuracy, points.steps
    spread = np.sqrt(np.var(np.diff(y)) / 2) if len(y) > 2 else 0.0
    error = float(spread / np.sqrt(count))
    start, end, begin = float(y[first].mean()), float(y[last].mean()), float(s[first].mean())
    level = np.convolve(y, np.ones(count) / count, "valid")
    middle = np.convolve(s, np.ones(count) / count, "valid")
    there = np.flatnonzero(level >= start + MOST * (end - start))
    at = int(there[0]) if end > start and there.size else len(level) - 1
    most = float(level[at]), float(middle[at] - begin)
    return Logged(found, points, start, end, float(s[last].mean()) - begin, (error, error), most)


def population(log: Logged, group_size: int) -> Population:
    """The questions of a log at its start, by accuracy and silent groups.

    Args:
      log: the log.
      group_size: G ≥ 2.
    """
    from qra_jax.population import Population

    mean = float(np.clip(log.start, 0, 1))
    silent = log.signals.get("silent")
    if silent is None or not 0 < mean < 1:
        return Population.around(mean)
    count = max(1, min(len(silent) // 2, max(3, round(EDGE * len(silent)))))
    return Population.from_silent(mean, float(np.clip(silent.values[:count].mean(), 0, 1)), group_size)

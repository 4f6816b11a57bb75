"""From a log to a curve: which run, which column, which steps, and what is said of each choice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qra_jax.fit.runs import columns, keys, scales
from qra_jax.fit.runs.columns import listed as listed, named as named
from qra_jax.fit.runs.rows import COUNT, Log
from qra_jax.fit.runs.series import Names, Say, Series, one_a_step

KEEP = ("first", "last")


@dataclass(frozen=True)
class Points:
    """A measured curve, as arrays.

    Attributes:
      steps: `[points]`, increasing.
      accuracy: `[points]`, in [0, 1].
      samples: `[points]`, rollouts behind each point; `None` where unknown.
      lr: `[points]`, the optimizer's learning rate, where known.
      scale: what 0 and 1 are in the file's own units.
      name: for headings.
      column: that was taken.
      notes: what was recognised, taken and left out, a sentence each.
    """

    steps: np.ndarray
    accuracy: np.ndarray
    samples: np.ndarray | None
    lr: np.ndarray | None
    scale: tuple[float | int, float | int]
    name: str
    column: str
    notes: tuple[str, ...]


def curve(
    log: Log,
    *,
    run: str | None = None,
    column: str | None = None,
    step: str | None = None,
    scale: tuple[float | int, float | int] | None = None,
    samples: float | int | None = None,
    keep: str | None = None,
) -> Points:
    """The curve of a log.

    Args:
      log: what was read.
      run: which run, by its name, or its number where a file has several one after the other.
      column: the measured column.
      step: the column that counts steps.
      scale: (low, high), what 0 and 1 are in that column.
      samples: rollouts behind every point.
      keep: `"first"` or `"last"` of the rows with one step; default: the last ones after a restart, else their mean.

    Returns:
      The `Points`.

    Raises:
      ValueError: no such run, column or steps; several of them and none named; values outside the range; fewer than
        two points.
    """
    if scale is not None and not (
        math.isfinite(scale[0]) and math.isfinite(scale[1]) and scale[0] < scale[1]
    ):
        raise ValueError(
            f"range: {scale[0]:.10g} {scale[1]:.10g}; must be two finite numbers, the lower first"
        )
    if samples is not None and not (samples > 0 and math.isfinite(samples)):
        raise ValueError(f"samples: {samples:.10g}; must be positive and finite")
    if keep not in (None, *KEEP):
        raise ValueError(f"keep: {keep!r}; must be first or last")
    cut = [f"{log.skipped} lines that could not be read left out"] if log.skipped else []
    notes = [f"read as {log.kind}", *log.notes, *cut]
    said = notes.append
    log = columns.training(columns.run(log, run, said), said)
    log, name, values = columns.measured(log, column, said)
    if name in log.odd:
        line, text = log.odd[name]
        raise ValueError(
            f"{log.path}, row {line}, column {name}: {text!r} is not a number; must be finite, or empty"
        )
    at, steps = columns.steps(log, step, values, said)
    there = np.isfinite(values) & np.isfinite(steps)
    if (wild := np.isinf(values)).any():
        raise ValueError(f"{log.path}, row {log.lines[wild][0]}, column {name}: inf; must be a finite number")
    if not there.all():
        said(f"{(~there).sum()} rows without {name} left out")
    if there.sum() < 2:
        raise ValueError(f"{log.path}: {there.sum()} rows with a step and {name}; must be two or more")
    whole = Series(
        log.lines, steps, values, _counts(log, name, said) if samples is None else None, _rates(log)
    )
    low, high = scale = _scale(log, name, whole := whole.take(there), scale, said)
    if samples is None and whole.counts is None and len(np.unique(whole.steps)) < len(whole.steps):
        size = scales.granularity(
            np.clip((whole.values - low) / (high - low), 0, 1), scales.resolution(whole.values) / (high - low)
        )
        if size is not None:  # of single rows, before any are averaged
            whole = whole._replace(counts=np.full(len(whole.steps), float(size)))
            said(f"{size} samples a row, as all values are multiples of 1/{size}")
    names = Names(log.path, at, name, keys.find([*log.names, *log.numbers], keys.QUESTIONS) is not None)
    found = one_a_step(whole, names, run if columns.one_run(log) else None, keep, said)
    if samples is None and found.counts is None and (block := scales.carried(found.values)) > 1:
        fresh = np.concatenate([[True], np.diff(found.values) != 0])
        first = np.flatnonzero(fresh)[1] if fresh.sum() > 1 else 0
        said(f"values stand {block} rows each, carried forward: one point each")
        found = found.take((np.arange(len(found.values)) - first) % block == 0)
    accuracy = np.clip((found.values - low) / (high - low), 0.0, 1.0)
    counts = _behind(accuracy, found, high - low, samples, said)
    lr = _learning_rate(log, found.lr, said)
    if (number := len(found.steps)) < 2:
        raise ValueError(f"{log.path}: {number} step{'s' * (number != 1)}; must be two or more")
    return Points(found.steps, accuracy, counts, lr, scale, Path(log.path).stem, name, tuple(notes))


def _counts(log: Log, name: str, said: Say) -> np.ndarray | None:
    """Rollouts behind each row, as the file says."""
    if name + COUNT in log.numbers:
        return log.numbers[name + COUNT]
    where = keys.find(log.numbers, keys.SAMPLES)
    if where is None or where == name:
        return None
    counts = log.numbers[where]
    if (steps := keys.find(log.numbers, keys.STEPS)) is not None and len(counts) > 4:
        both = np.diff(counts), np.diff(log.numbers[steps])
        if (both[0] > 0).all() and (both[1] > 0).all() and counts[-1] > 3 * counts[0] > 0:
            said(f"column {where} rises with the step, as a total would: not taken as samples a point")
            return None
    if (counts <= 0).any():
        raise ValueError(f"{log.path}, column {where}: {np.nanmin(counts):.10g}; must be positive")
    if np.isnan(counts).all():
        said(f"column {where} is empty")
        return None
    said(f"samples a point are {where}")
    return counts


def _scale(
    log: Log, name: str, whole: Series, scale: tuple[float | int, float | int] | None, said: Say
) -> tuple[float, float]:
    """What 0 and 1 are."""
    values = whole.values
    low, high = values.min(), values.max()
    if scale is None:
        scale = scales.guessed_range(name, values, name in log.hundredths)
        if scale is None:
            both = scales.two_valued(values)
            hint = f": single rollouts have {both[0]:.4g} or {both[1]:.4g}" if both else ""
            raise ValueError(
                f"{log.path}, column {name}: from {low:.6g} to {high:.6g}{hint}; must be in [0, 1]: a reward that is "
                "no share of right answers needs --range LOW HIGH, what it is before anything is learnt and at best"
            )
        if scale == (0.0, 100.0):
            said(f"{name} taken as per cent")
        return scale
    slack = 1e-6 * (scale[1] - scale[0])
    outside = (values < scale[0] - slack) | (values > scale[1] + slack)
    if outside.any():
        row = whole.lines[outside][0]
        raise ValueError(
            f"{log.path}, row {row}, column {name}: {values[outside][0]:.10g}; must be in [{scale[0]:.10g}, "
            f"{scale[1]:.10g}]: the column goes from {low:.6g} to {high:.6g}; give --range LOW HIGH"
        )
    said(f"{name} taken as a rate, {scale[0]:.10g} as 0 and {scale[1]:.10g} as 1")
    return float(scale[0]), float(scale[1])


def _behind(
    accuracy: np.ndarray, found: Series, width: float, samples: float | int | None, said: Say
) -> np.ndarray | None:
    """Samples behind each point: as given, as the file says, or of which values are multiples."""
    if samples is not None:
        said(f"{samples:.10g} samples a point, as given")
        return np.full(len(accuracy), float(samples))
    counts, values = found.counts, found.values
    gaps = np.ones(len(accuracy), bool) if counts is None else np.isnan(counts)
    if not gaps.any():
        return counts
    digits = scales.resolution(values[gaps]) / width
    size = scales.granularity(accuracy[gaps], digits)
    if size is not None:
        said(f"{size} samples a point where not given, as all values are multiples of 1/{size}")
        return np.where(gaps, float(size), 0.0 if counts is None else counts)
    if counts is not None:
        said("where the number of samples is missing, the smallest one given was taken")
        return np.where(gaps, np.nanmin(counts), counts)
    if scales.smoothed(values):
        said("values look smoothed, as by a moving average: their noise is not that of samples")
    return None


def _rates(log: Log) -> np.ndarray | None:
    where = keys.find(log.numbers, keys.RATES)
    return None if where is None else log.numbers[where]


def _learning_rate(log: Log, lr: np.ndarray | None, said: Say) -> np.ndarray | None:
    """Learning rates, where all points have one and it changes."""
    where = keys.find(log.numbers, keys.RATES)
    if lr is None:
        return None
    if not np.isfinite(lr).all() or (lr < 0).any() or not lr.max() > 0:
        said(
            f"column {where} has gaps, text, infinite or negative numbers, or is zero: time counted in steps"
        )
        return None
    said(f"time is the sum of {where}")
    return lr

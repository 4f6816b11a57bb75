"""From a log to a curve: which run, which column, which steps, and what is said of each choice."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qra_jax.fit.runs import keys, scales
from qra_jax.fit.runs.rows import COUNT, Log
from qra_jax.fit.runs.series import Say, Series, one_a_step

SHOWN = 12
"""Names of columns or runs that a complaint shows."""
TRAINING = ("train", "training", "rollout")
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
    log = _of_run(log, run, said)
    log = _training(log, said)
    name, values = _measured(log, column, said)
    if name in log.odd:
        line, text = log.odd[name]
        raise ValueError(
            f"{log.path}, row {line}, column {name}: {text!r} is not a number; must be finite, or empty"
        )
    at, steps = _steps(log, step, values, said)
    there = np.isfinite(values) & np.isfinite(steps)
    if (wild := np.isinf(values)).any():
        raise ValueError(f"{log.path}, row {log.lines[wild][0]}, column {name}: inf; must be a finite number")
    if not there.all():
        said(f"{(~there).sum()} rows without {name} left out")
    if there.sum() < 2:
        raise ValueError(f"{log.path}: {there.sum()} rows with a step and {name}; must be two or more")
    log, steps, values = log.rows(there), steps[there], values[there]
    scale = _scale(log, name, values, scale, said)
    low, high = scale
    counts = _counts(log, name, said) if samples is None else None
    if samples is None and counts is None and len(np.unique(steps)) < len(steps):
        size = scales.granularity(
            np.clip((values - low) / (high - low), 0, 1), scales.resolution(values) / (high - low)
        )
        if size is not None:  # of single rows, before any are averaged
            counts = np.full(len(steps), float(size))
            said(f"{size} samples a row, as all values are multiples of 1/{size}")
    found = one_a_step(Series(log, steps, values, counts), run, at, name, keep, said)
    log, steps, values, counts = found
    accuracy = np.clip((values - low) / (high - low), 0.0, 1.0)
    if samples is None and counts is None and (block := scales.carried(values)) > 1:
        fresh = np.concatenate([[True], np.diff(values) != 0])
        first = np.flatnonzero(fresh)[1] if fresh.sum() > 1 else 0
        fresh = (np.arange(len(values)) - first) % block == 0
        said(f"values stand {block} rows each, carried forward: one point each")
        steps, values, accuracy, log = steps[fresh], values[fresh], accuracy[fresh], log.rows(fresh)
    counts = _behind(accuracy, values, high - low, counts, samples, said)
    lr = _learning_rate(log, said)
    if len(steps) < 2:
        raise ValueError(f"{log.path}: {len(steps)} step{'s' * (len(steps) != 1)}; must be two or more")
    return Points(steps, accuracy, counts, lr, scale, Path(log.path).stem, name, tuple(notes))


def listed(names: list[str]) -> str:
    """Names for a complaint, not too many."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def named(log: Log, argument: str, wanted: str) -> str:
    """A column by its name, without regard to case.

    Raises:
      ValueError: there is none; the nearest are named.
    """
    if wanted in log.numbers:
        return wanted
    alike = [name for name in log.numbers if name.lower() == wanted.lower()]
    if len(alike) == 1:
        return alike[0]
    near = difflib.get_close_matches(wanted, log.numbers, n=3, cutoff=0.5)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    have = listed([name for name in log.numbers if not name.endswith(COUNT)])
    raise ValueError(f"{argument}: {wanted!r}; {log.path} has {have or 'no numbers'}{hint}")


def _of_run(log: Log, run: str | None, said: Say) -> Log:
    """The rows of one run."""
    where = keys.find([*log.names, *log.numbers], keys.RUNS)
    if where is None:
        if run is not None and not run.isdigit():
            raise ValueError(f"run: {run!r}; {log.path} has one run, without a name")
        return log
    if where in log.names:
        code, texts = log.names[where].code, list(log.names[where].texts)
    else:
        distinct, code = np.unique(log.numbers[where], return_inverse=True)
        texts = [f"{value:.10g}" for value in distinct]
    texts = [text for text in texts if text != "nan"]
    most = max((int(np.sum(code == i)) for i in range(len(texts))), default=0)
    if run is None and (len(texts) < 2 or most < 2):
        return log
    if run is None:
        raise ValueError(f"{log.path}: {len(texts)} runs: {listed(texts)}; must be one, name it by --run")
    if run not in texts:
        near = difflib.get_close_matches(run, texts, n=1)
        raise ValueError(
            f"run: {run!r}; {log.path} has {listed(texts)}" + (f" (did you mean {near[0]}?)" if near else "")
        )
    said(f"run {run} of {len(texts)}")
    return log.rows(code == texts.index(run))


def _training(log: Log, said: Say) -> Log:
    """The rows of training, where a column tells them from those of evaluation."""
    where = keys.find(log.names, keys.PARTS)
    if where is None:
        return log
    texts = log.names[where].texts
    wanted = [i for i, text in enumerate(texts) if text.lower() in TRAINING]
    if len(texts) < 2:
        return log
    if not wanted:
        raise ValueError(
            f"{log.path}: rows of {listed(list(texts))} in {where}, none of training; must be of one alone"
        )
    said(f"rows whose {where} is {texts[wanted[0]]}, of {', '.join(texts)}")
    return log.rows(np.isin(log.names[where].code, wanted))


def _measured(log: Log, column: str | None, said: Say) -> tuple[str, np.ndarray]:
    """The column that is fitted."""
    if column is not None:
        name = named(log, "column", column)
        said(f"{name} as given")
        return name, log.numbers[name]
    many = {name: int(np.sum(~np.isnan(values))) for name, values in log.numbers.items()}
    whole = [name for name in many if many[name] and not name.endswith(COUNT)]
    right, number = keys.find(whole, keys.CORRECT), keys.find(whole, keys.SAMPLES)
    found = sorted(
        (name for name in keys.accuracies(whole) if name != number), key=lambda name: many[name] < 2
    )
    if right and number and (not found or found[0] == right):
        behind, count = log.numbers[number], log.numbers[right]
        known = np.isfinite(behind) & np.isfinite(count)
        whole = (count == np.rint(count))[known].all() and count[known].max(initial=0) > 1
        if whole and (count <= behind)[known].all():
            said(f"{right} / {number} taken as the accuracy")
            return f"{right} / {number}", log.numbers[right] / np.where(behind > 0, behind, np.nan)
    if not found:
        have = listed([name for name in log.numbers if not name.endswith(COUNT)])
        raise ValueError(
            f"{log.path}: read as {log.kind}; no column looks like an accuracy among {have or 'no numbers'}: "
            "name the measured one by --column"
        )
    values = log.numbers[found[0]]
    rest = f"; also there: {listed(found[1:])}" if len(found) > 1 else ""
    low, high = np.nanmin(values), np.nanmax(values)
    said(f"{found[0]} taken as the accuracy, from {low:.6g} to {high:.6g}{rest}")
    return found[0], values


def _steps(log: Log, step: str | None, values: np.ndarray, said: Say) -> tuple[str, np.ndarray]:
    """The column that counts steps."""
    if step is not None:
        name = named(log, "step", step)
        return name, log.numbers[name]
    there = np.isfinite(values)
    good = {
        name: column
        for name, column in log.numbers.items()
        if np.isfinite(column[there]).sum() > max(1, there.sum() / 2) and len(np.unique(column[there])) > 1
    }
    name = keys.find(good, keys.STEPS) or keys.find(log.numbers, ("step",))
    if name is not None:
        if name.lower() not in ("step", "steps"):
            said(f"steps are {name}")
        return name, log.numbers[name]
    where = keys.find(log.names, keys.REVISIONS)
    if where is not None:
        each = [scales.step_of(text) for text in log.names[where].texts]
        found = np.array([math.nan if one is None else one for one in each] + [math.nan])[
            log.names[where].code
        ]
        if np.isfinite(found).sum() > 1:
            lost = sorted(
                {text for text, one in zip(log.names[where].texts, each, strict=True) if one is None}
            )
            said(f"steps are the numbers in {where}" + (f"; without one: {listed(lost)}" if lost else ""))
            return where, found
    raise ValueError(
        f"{log.path}: read as {log.kind}; no column counts steps among "
        f"{listed([name for name in log.numbers if not name.endswith(COUNT)])}: name it by --step{_instead(log)}"
    )


def _instead(log: Log) -> str:
    """What else a file without steps may be for."""
    if keys.find([*log.names, *log.numbers], keys.QUESTIONS):
        return " (pass rates of questions without steps are no curve)"
    if keys.find(log.numbers, ("k", "pass@k")):
        return " (pass@k at one step is no curve)"
    return ""


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
    log: Log, name: str, values: np.ndarray, scale: tuple[float | int, float | int] | None, said: Say
) -> tuple[float, float]:
    """What 0 and 1 are."""
    low, high = values.min(), values.max()
    if scale is None:
        scale = scales.guessed_range(name, values)
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
        row = log.lines[np.flatnonzero(outside)[0]] if len(log) == len(values) else 0
        raise ValueError(
            f"{log.path}, row {row}, column {name}: {values[outside][0]:.10g}; must be in [{scale[0]:.10g}, "
            f"{scale[1]:.10g}]: the column goes from {low:.6g} to {high:.6g}; give --range LOW HIGH"
        )
    said(f"{name} taken as a rate, {scale[0]:.10g} as 0 and {scale[1]:.10g} as 1")
    return float(scale[0]), float(scale[1])


def _behind(
    accuracy: np.ndarray,
    values: np.ndarray,
    width: float,
    counts: np.ndarray | None,
    samples: float | int | None,
    said: Say,
) -> np.ndarray | None:
    """Samples behind each point: as given, as the file says, or of which values are multiples."""
    if samples is not None:
        said(f"{samples:.10g} samples a point, as given")
        return np.full(len(accuracy), float(samples))
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


def _learning_rate(log: Log, said: Say) -> np.ndarray | None:
    """Learning rates, where all points have one and it changes."""
    where = keys.find(log.numbers, keys.RATES)
    if where is None:
        return None
    lr = log.numbers[where]
    if not np.isfinite(lr).all() or (lr < 0).any() or not lr.max() > 0:
        said(f"column {where} has gaps, text or negative numbers, or is zero: time counted in steps")
        return None
    said(f"time is the sum of {where}")
    return lr

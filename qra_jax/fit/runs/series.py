"""One point a step: rollouts are counted, runs told apart, restarts overwrite, repeated rows are averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qra_jax.fit.runs import scales

SHOWN = 12
"""Steps of restarts that are named."""
Say = Callable[[str], None]


class Names(NamedTuple):
    """What is said of values by step.

    Attributes:
      path: of the file.
      at: the column of steps.
      values: the column of values.
      questions: whether a column names questions.
    """

    path: str
    at: str
    values: str
    questions: bool


class Series(NamedTuple):
    """Values by step, in the order of the rows.

    Attributes:
      lines: `[rows]`, of the file.
      steps: `[rows]`.
      values: `[rows]`.
      counts: `[rows]`, samples behind each, where known.
      lr: `[rows]`, learning rates, where known.
    """

    lines: np.ndarray
    steps: np.ndarray
    values: np.ndarray
    counts: np.ndarray | None
    lr: np.ndarray | None

    def take(self, rows: np.ndarray) -> Series:
        """Some of the rows: indices, or `[rows]` of booleans."""
        counts, lr = (None if one is None else one[rows] for one in (self.counts, self.lr))
        return Series(self.lines[rows], self.steps[rows], self.values[rows], counts, lr)


def one_a_step(found: Series, names: Names, run: str | None, keep: str | None, say: Say) -> Series:
    """One point a step.

    Args:
      found: rows with a step and a value.
      names: of its columns.
      run: number of a run, of several one after the other.
      keep: `"first"` or `"last"` of rows with one step; else as the rules are.
      say: takes a sentence on what was done.

    Raises:
      ValueError: several runs one after the other, and none named.
    """
    if keep is None and (counted := _rollouts(found, names, say)) is not None:
        return counted
    found, back = _apart(found, names, run, say)
    if keep is None:
        found = _once(found, say)
        back = _back(found.steps) if len(back) else back
    if len(back) > max(1, len(found.steps) / 4):
        say("steps are not in order: sorted")
    elif len(back) and keep is None:
        found = _restarted(found, back, names, say)
    return _alone(found.take(np.argsort(found.steps, kind="stable")), keep, say)


def _back(steps: np.ndarray) -> np.ndarray:
    """Rows whose step is less than that of the row before."""
    return np.flatnonzero(np.diff(steps) < 0) + 1


def _rollouts(found: Series, names: Names, say: Say) -> Series | None:
    """Means of rollouts or of groups, where most steps have several rows of them."""
    distinct, index, many = np.unique(found.steps, return_inverse=True, return_counts=True)
    both = scales.two_valued(found.values)
    single = both is not None and len(np.unique(found.values)) == 2
    if not (many > 1).mean() > 0.5 or not (single or names.questions):
        return None
    weight = np.ones(len(index)) if found.counts is None else np.nan_to_num(found.counts, nan=1.0)
    behind = np.bincount(index, weight)
    mean = np.bincount(index, weight * found.values) / behind
    say(f"{len(index)} rows of rollouts: {names.values} is their mean at each of {len(distinct)} steps")
    first = np.unique(index, return_index=True)[1]
    known = both is not None or found.counts is not None
    return found.take(first)._replace(steps=distinct, values=mean, counts=behind if known else None)


def _apart(found: Series, names: Names, run: str | None, say: Say) -> tuple[Series, np.ndarray]:
    """One of several runs, one after the other, where its number is given; rows at which steps go back."""
    back = _back(found.steps)
    if run is None:
        return found, back
    parts = np.split(np.arange(len(found.steps)), back)
    if not 1 <= int(run) <= len(parts):
        raise ValueError(f"run: {run}; {names.path} has {len(parts)} runs one after the other")
    if len(parts) > 1:
        say(f"run {run} of {len(parts)}, one after the other in the file")
    return found.take(parts[int(run) - 1]), back[:0]


def _once(found: Series, say: Say) -> Series:
    """Without rows that repeat one of the two before them, as several processes print the same."""
    new = np.ones(len(found.steps), bool)
    for lag in (1, 2):
        same = (found.steps[lag:] == found.steps[:-lag]) & (found.values[lag:] == found.values[:-lag])
        new[lag:] &= ~same
    if new.all() or new.sum() < 2:
        return found
    say(f"{(~new).sum()} rows that repeat one just before left out")
    return found.take(new)


def _restarted(found: Series, back: np.ndarray, names: Names, say: Say) -> Series:
    """Later rows in the place of earlier ones from the step on at which a run was taken up again."""
    steps = found.steps
    again = steps[back] <= steps[0]
    if again.all() and (np.diff(np.concatenate([[0], back, [len(steps)]])) > 2).all():
        raise ValueError(
            f"{names.path}: steps begin again at row {found.lines[back[0]]}: {len(back) + 1} runs one after the other; "
            f"must be one: --run 1 … {len(back) + 1} takes one of them, --keep last the later of equal steps"
        )
    kept = np.ones(len(steps), bool)
    for place in back:
        kept[:place] &= steps[:place] < steps[place]
    named = ", ".join(f"{steps[place]:.10g}" for place in back[:SHOWN])
    say(f"restarted at {names.at} {named}: {(~kept).sum()} earlier rows from there on are overwritten")
    return found.take(kept)


def _alone(found: Series, keep: str | None, say: Say) -> Series:
    """One of the rows with a step, or their mean: by samples where these are known."""
    distinct, first, many = np.unique(found.steps, return_index=True, return_counts=True)
    if (many == 1).all():
        return found
    if keep is not None:
        say(f"of {(many > 1).sum()} steps that are there more than once the {keep} one, as given")
        return found.take(first if keep == "first" else first + many - 1)
    same = np.array([len(np.unique(found.values[i : i + n])) == 1 for i, n in zip(first, many, strict=True)])
    if same.all():
        return found.take(first)
    weight = np.ones(len(found.steps)) if found.counts is None else np.nan_to_num(found.counts, nan=1.0)
    total = np.add.reduceat(weight, first)
    say(f"{(many > 1).sum()} steps are there more than once: the mean of their values")
    mean = np.add.reduceat(weight * found.values, first) / total
    counts = None if found.counts is None else total
    return found.take(first)._replace(steps=distinct, values=mean, counts=counts)

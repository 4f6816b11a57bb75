"""The vital signs of a training log: courses of its signals, and what follows from several of them together."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from qra_jax.consult.course import Course, course
from qra_jax.fit.runs import scales
from qra_jax.fit.runs.signals import Signal, Signals

MIXED = 0.02
"""Share of silent groups below which throughout there are none: parts of the reward differ between any two rollouts."""
SHARP = 0.2
"""Standard error of a slope, of itself, up to which it tells β."""
FEWEST = 8
"""Points of a signal that is looked at."""
TOTAL = re.compile(
    r"^([a-z]+/)*(all/)?(mean_|total_|raw_)?(rewards?|scores?)([/_](mean|total|avg))?$", re.IGNORECASE
)
"""Columns with the whole reward."""
LARGEST = 1024
"""Rollouts of a batch that are looked for in a reward's values."""


@dataclass(frozen=True)
class Vitals:
    """Courses of the signals of a log, by name; of what is absent, nothing.

    Attributes:
      signals: as read.
      courses: by name: `accuracy`, `evaluation`, `format` (that part of the reward) and those of
        `Signals.others`.
      gap: verdicts of training less those of the evaluation, at the steps of the evaluation, in the run's later half:
        mean, at most twice the least of them, and standard error; and the first of them; NaN where one is missing.
      beta: strength of the KL term, as the log tells it; NaN where it does not.
      full: reward of a right answer, where the training accuracy is made of verdicts; 0 where it has other parts.
    """

    signals: Signals
    courses: dict[str, Course]
    gap: tuple[float, float, float]
    beta: float
    full: float

    def __getitem__(self, name: str) -> Course | None:
        return self.courses.get(name)


def vitals_of(found: Signals) -> Vitals:
    """The courses of a log's signals.

    Args:
      found: the signals.
    """
    silent = found.get("silent")
    if silent is not None and silent.values.max() < MIXED:
        found = replace(found, others={name: one for name, one in found.others.items() if name != "silent"})
    courses = {name: course(one) for name, one in found.others.items() if len(one) >= FEWEST}
    full = full_reward(found)
    if full > 1 and found.accuracy is not None:
        found = replace(found, accuracy=replace(found.accuracy, values=found.accuracy.values / full))
    if found.accuracy is not None and len(found.accuracy) >= FEWEST:
        courses["accuracy"] = course(found.accuracy)
    if found.evaluation is not None and len(found.evaluation) >= 2:
        courses["evaluation"] = course(found.evaluation, 1)
    for name, one in found.parts.items():
        if "format" in name.lower() and len(one) >= FEWEST:
            courses["format"] = course(one)
    return Vitals(found, courses, _gap(found), _beta(found), full)


def _smooth(signal: Signal, at: np.ndarray) -> np.ndarray:
    """Means over a tenth of a signal, at other steps."""
    width = max(1, round(len(signal) / 10))
    padded = np.pad(signal.values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.interp(at, signal.steps, np.convolve(padded, np.ones(width) / width, "valid"))


def _gap(found: Signals) -> tuple[float, float, float]:
    if found.accuracy is None or found.evaluation is None or len(found.evaluation) < 2:
        return np.nan, np.nan, np.nan
    tested = found.evaluation
    gaps = _smooth(found.accuracy, tested.steps) - tested.values
    late = gaps[len(gaps) // 2 :]
    return float(min(late.mean(), 2 * late.min())), float(np.std(gaps) / np.sqrt(len(late))), float(gaps[0])


def _beta(found: Signals) -> float:
    """Of the KL term: as logged, or the slope of the loss over KL, where noise of the policy's own loss leaves one."""
    if (stated := found.get("coefficient")) is not None:
        return float(stated.values[-1])
    loss, kl = found.get("loss"), found.get("kl")
    if loss is None or kl is None or len(loss) < FEWEST:
        return np.nan
    x = np.interp(loss.steps, kl.steps, kl.values)
    spread = float(np.sum((x - x.mean()) ** 2))
    if spread == 0:
        return np.nan
    slope = float(np.sum((x - x.mean()) * loss.values)) / spread
    rest = loss.values - loss.values.mean() - slope * (x - x.mean())
    error = float(np.sqrt(np.sum(rest**2) / max(len(x) - 2, 1) / spread))
    return slope if slope > 0 and error < SHARP * slope else np.nan


def names_right_answers(found: Signals) -> bool:
    """Whether the log tells right answers from the other parts of the reward."""
    return found.accuracy is not None and not TOTAL.search(found.accuracy.column)


def full_reward(found: Signals) -> float:
    """The reward of a right answer, where a rollout has that or nothing; 0 where it has more values.

    The mean over a batch of n rollouts then is a multiple of 1/n of it, and n is what the share of truncated answers
    is counted by.
    """
    if found.accuracy is None:
        return 0.0
    if names_right_answers(found):
        return 1.0
    values, cut = found.accuracy.values, found.get("truncated")
    if np.ptp(values) == 0 and values[0] in (0.0, 1.0):
        return 1.0
    behind = None if cut is None else scales.granularity(cut.values, scales.resolution(cut.values))
    for full in (1.0, 2.0):
        if values.min() < -1e-9 or values.max() > full * (1 + 1e-9):
            continue
        n = scales.granularity(np.clip(values / full, 0, 1), scales.resolution(values) / full)
        if n is not None and (behind % n == 0 if behind is not None else n % 5 > 0 and n <= LARGEST):
            return full
    return 0.0


def right_answers(vitals: Vitals) -> Course | None:
    """The accuracy that the log tells best: of verdicts on right answers, else of the evaluation."""
    return vitals["accuracy"] if vitals.full else vitals["evaluation"]


def answers(vitals: Vitals) -> Course | None:
    """The same, or a reward of unknown scale where there is nothing better."""
    return right_answers(vitals) or vitals["accuracy"]

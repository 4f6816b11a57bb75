"""Measured training curves: reading them, and how many samples are behind a point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qra_jax import _check
from qra_jax._files import Table, read_csv

SAMPLES = ("n", "samples", "n_judged")
"""Columns that say how many rollouts are behind a point."""
GUESSES = 4096
"""Largest number of samples that granularity is searched for."""
UNKNOWN = 64.0
"""Samples per point where neither granularity nor noise tells: a usual batch."""


@dataclass(frozen=True)
class Curve:
    """Accuracy of one run against training step.

    Attributes:
      steps: `[points]`, increasing.
      accuracy: `[points]`, rates in [0, 1].
      samples: `[points]`, rollouts behind each point; `None` where unknown: `fit` then takes them from the noise.
      lr: `[points]`, learning rate at each step, where known.
      scale: (low, high), what 0 and 1 are in the file's own units.
      name: for headings.
      notes: what a reader of the file should know: how samples were found, rows and columns left out.

    Raises:
      ValueError: shapes that differ, fewer than two points, steps that do not increase, values that are no rates.
    """

    steps: np.ndarray
    accuracy: np.ndarray
    samples: np.ndarray | None = None
    lr: np.ndarray | None = None
    scale: tuple[float | int, float | int] = (0.0, 1.0)
    name: str = "run"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        steps = _check.finite("steps", self.steps)
        accuracy = _check.unit_interval("accuracy", self.accuracy, ndim=1)
        _check.same_length("accuracy", accuracy, "steps", steps)
        if len(steps) < 2 or not (np.diff(steps) > 0).all():
            raise ValueError(f"steps: {len(steps)} of them; must be two or more, each above the one before")
        for name in ("samples", "lr"):
            value = getattr(self, name)
            if value is not None:
                check = _check.positive if name == "samples" else _check.nonnegative
                value = np.broadcast_to(check(name, value), steps.shape)
                object.__setattr__(self, name, value)
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "accuracy", accuracy)

    def time(self, steps: np.ndarray) -> np.ndarray:
        """Training time ∫ lr ds at any steps, in units of steps: the step itself where no learning rate is known.

        Between the points lr is linear, before and after them it stays; it is divided by its largest value.

        Args:
          steps: `[...]`, steps.

        Returns:
          `[...]`, time since the first point; negative before it.
        """
        steps = np.asarray(steps, float)
        if self.lr is None or not self.lr.max() > 0:
            return steps - self.steps[0]
        rate = self.lr / self.lr.max()
        whole = np.append(0.0, np.cumsum(np.diff(self.steps) * (rate[1:] + rate[:-1]) / 2))
        inside = np.clip(steps, self.steps[0], self.steps[-1])
        left = np.clip(np.searchsorted(self.steps, inside, side="right") - 1, 0, len(rate) - 2)
        here = np.interp(inside, self.steps, rate)
        time = whole[left] + (inside - self.steps[left]) * (rate[left] + here) / 2
        return time + (steps - inside) * here

    def until(self, step: float | int) -> Curve:
        """The points up to a step.

        Args:
          step: last step to keep.

        Returns:
          A curve; its learning rates are those of the whole one, whose schedule is known beforehand.
        """
        keep = self.steps <= step
        if keep.sum() < 2:
            raise ValueError(f"until: {step:.10g} leaves {keep.sum()} points; must leave two or more")
        samples = None if self.samples is None else self.samples[keep]
        lr = None if self.lr is None else self.lr[keep]
        return Curve(self.steps[keep], self.accuracy[keep], samples, lr, self.scale, self.name, self.notes)


def read(
    path: str | Path,
    *,
    column: str = "accuracy",
    scale: tuple[float | int, float | int] = (0.0, 1.0),
    samples: float | int | None = None,
) -> Curve:
    """Read a training curve from a CSV file with a header.

    Columns: `step`, the measured one, and where present `n`, `samples` or `n_judged` (rollouts behind a point)
    and `lr`. Without the number of rollouts it is inferred from granularity, if all values are multiples of
    1/m to the digits printed. Cells that are empty, na, nan, null or none are missing: rows without a value are left
    out. Other columns are not used.

    Args:
      path: the file.
      column: the column to fit.
      scale: (low, high), the range of that column, mapped to [0, 1]; for rewards and percentages. The models start
        from low: give what is earned before anything is learned, as far as no value is below it.
      samples: rollouts behind each point, in place of what the file says.

    Returns:
      A `Curve`.

    Raises:
      ValueError: an unreadable or empty file, missing or repeated columns, text in numbers, values outside
        the range, steps repeated or out of order, fewer than two points.
    """
    low, high = (float(end) for end in scale)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"range: {low:.10g} {high:.10g}; must be two finite numbers, the lower first")
    if samples is not None:
        _check.positive("samples", samples)
    table = read_csv(path, f"a CSV file with columns step and {column}")
    header = table.header
    for wanted in ("step", column):
        if wanted not in table.columns:
            hint = "; name the measured one by --column" if wanted == column else ""
            raise ValueError(f"{path}: no column {wanted!r} among {', '.join(header)}{hint}")
    behind = [name for name in SAMPLES if name in header]
    notes, points, kept, printed = [], [], [], []
    slack = 1e-6 * (high - low)  # rounding
    for row, text in enumerate(table.columns[column]):
        if missing(text):
            continue
        place = f"{path}, row {table.lines[row]}"
        step, value = (_number(table, row, name) for name in ("step", column))
        if not low - slack <= value <= high + slack:
            raise ValueError(
                f"{place}, column {column}: {value:.10g}; must be in [{low:.10g}, {high:.10g}]: "
                "for another scale give --range LOW HIGH (0 100 for percentages)"
            )
        if points and step <= points[-1][0]:
            how = "repeats" if step == points[-1][0] else "comes after"
            raise ValueError(
                f"{place}: step {step:.10g} {how} step {points[-1][0]:.10g}; must be one row a step, in order"
            )
        points.append((step, value))
        kept.append(row)
        printed.append(text)
    if len(kept) < 2:
        raise ValueError(f"{path}: {len(kept)} rows with a step and a value; must be two or more")
    if len(kept) < len(table):
        notes.append(f"{len(table) - len(kept)} rows without {column} left out")
    steps, values = np.array(points, float).T
    accuracy = np.clip((values - low) / (high - low), 0.0, 1.0)
    counts = None
    if samples is not None:
        counts = np.full(len(steps), float(samples))
        notes.append(f"{samples:.10g} samples a point, as given")
    else:
        if behind:
            counts = _optional(table, behind[0], kept)
            if (counts <= 0).any():
                raise ValueError(f"{path}, column {behind[0]}: {np.nanmin(counts):.10g}; must be positive")
            if np.isnan(counts).all():
                notes.append(f"column {behind[0]} is empty")
                counts = None
        if counts is None or np.isnan(counts).any():
            gaps = np.ones(len(steps), bool) if counts is None else np.isnan(counts)
            shares = (low, high) in ((0, 1), (0, 100))  # rewards on another scale count no right answers
            digits = _resolution(printed, gaps) / (high - low)
            guess = granularity(accuracy[gaps], digits) if shares else None
            if guess is not None:
                counts = np.where(gaps, float(guess), 0.0 if counts is None else counts)
                notes.append(
                    f"{guess} samples a point where not given, as all values are multiples of 1/{guess}"
                )
            elif counts is not None:
                counts = np.where(gaps, np.nanmin(counts), counts)
                notes.append("where the number of samples is missing, the smallest one given was taken")
    lr = None
    if "lr" in header:
        try:
            lr = _optional(table, "lr", kept)
        except ValueError:
            lr = np.full(len(steps), np.nan)
        if np.isnan(lr).any() or (lr < 0).any() or not lr.max() > 0:
            notes.append("column lr has gaps, text or negative numbers, or is zero: time counted in steps")
            lr = None
        else:
            notes.append("time is the sum of the learning rate")
    if column != "accuracy":
        notes.append(f"{column} taken as a rate, {low:.10g} as 0 and {high:.10g} as 1")
    used = {"step", column, "lr", *(behind[:1] if samples is None else [])}
    unused = [name or "a column without a name" for name in header if name not in used]
    if unused:
        notes.append(f"not used by the fit: {', '.join(unused)}")
    return Curve(steps, accuracy, counts, lr, (low, high), table.path.stem, tuple(notes))


def granularity(values: np.ndarray, resolution: float = 1e-9) -> int | None:
    """The smallest m for which all values are multiples of 1/m, if chance does not explain it.

    Args:
      values: `[points]`, in [0, 1].
      resolution: what the last digit printed is worth.

    Returns:
      m in 2 … 4096 where values of no structure would pass, at any m, with a chance below 1 in 1000; else `None`.
      `None`, too, where all values are the same.

    >>> granularity(np.array([0.125, 0.5, 0.3125, 0.75]), 1e-4)
    16
    """
    distinct = np.unique(values[(values > 0) & (values < 1)])
    if not len(distinct) or len(np.unique(values)) < 2:
        return None
    m = np.arange(2, GUESSES + 1)
    off = np.abs(distinct[:, None] * m - np.round(distinct[:, None] * m)).max(axis=0)
    chance = len(distinct) * np.log(np.minimum(1.0, m * resolution * 1.01 + 1e-12)) + np.log(m)
    good = (off <= m * resolution * 0.505 + 1e-9) & (chance < np.log(1e-3))
    return int(m[np.argmax(good)]) if good.any() else None


def noise_samples(accuracy: np.ndarray) -> float:
    """Samples a point that explain the scatter of successive values, m = mean ρ(1−ρ) / (mean (Δρ)²/2).

    An estimate: a trend within a step and unequal noise count as scatter.

    Args:
      accuracy: `[points]`, rates in [0, 1].

    Returns:
      m ≥ 1; `UNKNOWN` where the values do not vary.
    """
    spread = np.mean(np.diff(accuracy) ** 2) / 2
    if not spread > 0:
        return UNKNOWN
    return float(np.clip(np.mean(accuracy * (1 - accuracy)) / spread, 1.0, 1e6))


def missing(text: str) -> bool:
    """Whether a cell says that nothing was measured: empty, na, nan, null or none."""
    return text.strip().lower() in ("", "na", "nan", "null", "none")


def _optional(table: Table, name: str, rows: list[int]) -> np.ndarray:
    """A column with NaN for missing cells."""
    cells = table.columns[name]
    return np.array([np.nan if missing(cells[row]) else _number(table, row, name) for row in rows])


def _number(table: Table, row: int, column: str) -> float:
    place, text = table.place(row, column), table.columns[column][row]
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{place}: {text!r} is not a number; must be finite") from None
    if not math.isfinite(value):
        raise ValueError(f"{place}: {text}; must be a finite number, or empty where nothing was measured")
    return value


def _resolution(printed: list[str], where: np.ndarray) -> float:
    """What the last digit is worth in the most precise of the numbers as printed."""
    digits = 0
    for text, use in zip(printed, where, strict=True):
        if use:
            mantissa, _, power = text.lower().partition("e")
            digits = max(digits, len(mantissa.partition(".")[2]) - int(power or 0))
    return 10.0 ** -min(digits, 12)

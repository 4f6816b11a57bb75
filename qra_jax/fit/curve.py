"""Measured training curves: reading them, and how many samples are behind a point."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qra_jax import _check
from qra_jax.fit import runs

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
    run: str | None = None,
    column: str | None = None,
    step: str | None = None,
    scale: tuple[float | int, float | int] | None = None,
    samples: float | int | None = None,
    keep: str | None = None,
) -> Curve:
    """Read the training curve of one run from what a trainer, a tracker or a spreadsheet wrote.

    Formats, traps and what is said of them: [`qra_jax.fit.runs`][].

    Args:
      path: a file, or a folder of event files, of checkpoints or of rollouts by step.
      run: which run, where there are several.
      column: the measured column; default: what looks most like an accuracy.
      step: the column that counts steps; default: the trainer's own.
      scale: (low, high), the range of that column, mapped to [0, 1]; for rewards and percentages. The models start
        from low: give what is earned before anything is learned, as far as no value is below it. Default: fractions,
        or per cent where name and values say so.
      samples: rollouts behind each point, in place of what the file says.
      keep: `"first"` or `"last"` of the rows with one step; default: after a restart the last, else their mean.

    Returns:
      A `Curve`; its notes say what was taken.

    Raises:
      ValueError: an unreadable or empty file, several runs, missing columns, values outside the range, fewer than two
        points.
    """
    own = {"run": run, "column": column, "step": step, "scale": scale, "samples": samples, "keep": keep}
    return of(runs.read(path, **own))


def of(points: runs.Points) -> Curve:
    """The curve of points that were read."""
    return Curve(
        points.steps, points.accuracy, points.samples, points.lr, points.scale, points.name, points.notes
    )


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

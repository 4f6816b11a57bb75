"""Runs of a folder with what is known of their settings: curves beside `index.jsonl`, one entry a run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qra_jax.fit import curve as curves, runs
from qra_jax.studies import lab
from qra_jax.studies.runs._growth import Points

NEEDED = (
    "a folder of training runs with a file index.jsonl, an entry for each run: name, repo, group_size, lr"
)
OWN = ("name", "path", "steps", "points", "accuracy_is")
"""Entries of the index that may differ between runs of which one setting was varied."""


@dataclass(frozen=True)
class Measured:
    """A training run with its settings.

    Attributes:
      curve: steps, accuracy, samples and schedule.
      entry: of the index.
      silent: `[points]`, share of silent groups; `None` where it was not logged.
    """

    curve: curves.Curve
    entry: dict[str, Any]
    silent: np.ndarray | None

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    @property
    def code(self) -> str:
        """Whose code trained it."""
        return str(self.entry.get("repo", self.name)).split("/")[0]

    @property
    def kind(self) -> str:
        """Size of the model, and whether all of it was trained: `1.5B, LoRA`."""
        model = str(self.entry.get("model", ""))
        size = re.search(r"\d+(?:\.\d+)?B", model)
        return (size[0] if size else "size unknown") + ", LoRA" * ("LoRA" in model)

    @property
    def lr(self) -> float:
        """The learning rate at its highest, NaN where it is not known."""
        lr = self.entry.get("lr")
        return float(lr) if isinstance(lr, (int, float)) else np.nan

    @property
    def group(self) -> int | None:
        group = self.entry.get("group_size")
        return group if isinstance(group, int) else None

    def alike(self, but: str) -> tuple[str, ...]:
        """What runs have in common of which one setting alone was varied: all other entries of the index."""
        return tuple(f"{key}: {value}" for key, value in sorted(self.entry.items()) if key not in (*OWN, but))

    @property
    def time(self) -> np.ndarray:
        """Updates at the highest learning rate before the rollouts of each point, `[points]`: the sum of a schedule."""
        steps, lr = self.curve.steps, self.curve.lr
        apart = steps[1] - steps[0]
        # A point is a mean over the steps since the one before; without a step 0, rollouts precede their update.
        before = (apart - 1) / 2 if steps[0] == apart else max(steps[0] - 1, 0.0)
        first = before * (1.0 if lr is None or not lr.max() > 0 else float(lr[0] / lr.max()))
        return first + self.curve.time(steps)

    @property
    def points(self) -> Points:
        """What a curve of growth is fitted to; 64 samples a point where their number is not known."""
        samples = self.curve.samples
        return Points(
            self.time,
            self.curve.accuracy,
            np.full(self.time.shape, curves.UNKNOWN) if samples is None else samples,
        )


def entries(folder: Path) -> list[dict[str, Any]]:
    """The index of a folder, an entry a run.

    Args:
      folder: of runs.

    Raises:
      DataMissing: there is none, or a line of it is no JSON.
    """
    path = folder / "index.jsonl"
    if not path.is_file():
        raise lab.DataMissing(f"needs {NEEDED}; there is no {path.name}")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line) if line.strip() else None
        except json.JSONDecodeError as error:
            raise lab.DataMissing(f"{path}, line {number}: {error.msg}; must be one JSON object") from None
        if isinstance(entry, dict) and "name" in entry:
            found.append(entry)
    return found


def varied(runs: Sequence[Measured], entry: str) -> list[Measured]:
    """The runs of which this entry of the index alone was varied: the set with most values, sorted by it.

    Args:
      runs: of a folder.
      entry: such as `"lr"`; those that are no numbers do not count.
    """
    sets: dict[tuple[str, ...], list[Measured]] = {}
    for run in runs:
        if isinstance(run.entry.get(entry), (int, float)):
            sets.setdefault(run.alike(entry), []).append(run)
    most = max(sets.values(), key=lambda group: len({run.entry[entry] for run in group}), default=[])
    return sorted(most, key=lambda run: run.entry[entry])


def measured(folder: Path) -> tuple[list[Measured], list[str]]:
    """The runs of a folder that have an entry and a curve, and which are left out and why.

    Args:
      folder: of runs.
    """
    found, skipped = [], []
    for entry in entries(folder):
        path = next(iter(sorted(folder.glob(f"{entry['name']}.*"))), folder / str(entry["name"]))
        try:
            points = runs.read(path)
        except ValueError as error:
            reason = str(error).removeprefix(str(path)).lstrip(":, ")
            skipped.append(f"{entry['name']} ({reason.partition(' among ')[0].partition(';')[0]})")
            continue
        found.append(Measured(curves.of(points), entry, _silent(path, points.steps)))
    return found, skipped


def _silent(path: Path, steps: np.ndarray) -> np.ndarray | None:
    """Logged share of silent groups at some steps."""
    numbers = runs.log(path).numbers
    share, at = numbers.get("frac_zero_std"), numbers.get("step")
    if share is None or at is None:
        return None
    known = np.isfinite(share) & np.isfinite(at)
    rows = {float(step): float(value) for step, value in zip(at[known], share[known], strict=True)}
    return np.array([rows.get(float(step), np.nan) for step in steps])

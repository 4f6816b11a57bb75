"""How far a sweep has come: a bar, the rate, the time left, and a line on what comes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from math import prod
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress as Bar,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from qra_jax.sweep.store import Store
from qra_jax.sweep.work import Report

KEPT = 4096
"""Values that the running median is taken of: some of each of the last shards, not all that is stored."""


class Rate(ProgressColumn):
    """Points a second."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        return Text(f"{task.speed:,.0f} points/s" if task.speed else "")


class Progress:
    """A progress bar on stderr.

    Args:
      store: the store.
      mine: shards that this run answers for.
      missing: those that it has to compute.
      enabled: whether to show anything.
    """

    def __init__(self, store: Store, mine: Collection[int], missing: Collection[int], *, enabled: bool):
        size = {number: prod(store.boxes.extent(number)) for number in mine}
        self.name = store.variables[0].name
        self.glimpses: deque[float] = deque(maxlen=KEPT)
        self.points = self.not_ok = 0
        self.bar = Bar(
            BarColumn(bar_width=16),
            TaskProgressColumn(),
            Rate(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            console=Console(stderr=True),
            disable=not enabled,
        )
        done = sum(size.values()) - sum(size[number] for number in missing)
        self.task = self.bar.add_task("", total=sum(size.values()), completed=done)

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.stop()

    def add(self, report: Report) -> None:
        """Count a shard that is done."""
        self.points += report.points
        self.not_ok += report.not_ok
        self.glimpses.extend(float(value) for value in report.glimpse)
        self.bar.update(self.task, advance=report.points, description=escape(self.summary))

    @property
    def summary(self) -> str:
        """The median of a few values of the first variable, and the share of points that did not end well."""
        known = [value for value in self.glimpses if not np.isnan(value)]
        median = f"{self.name} {np.median(known):.3g} (median of a sample)" if known else f"no {self.name}"
        return f"{median}, {self.not_ok / max(1, self.points):.1%} not ok"

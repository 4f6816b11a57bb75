"""Columns that are measured shares of patterns."""

from __future__ import annotations

import re

import numpy as np

from qra_jax.fit.runs import keys, scales
from qra_jax.fit.runs.rows import COUNT, Log

FEW = 1000
"""Rows by which shares of patterns are found."""
GROUPS = re.compile(r"frac_|pct_|solved_|zero_std", re.IGNORECASE)
"""Shares of groups of rollouts, which sum to one, too."""


def shares(log: Log) -> list[str]:
    """Columns that are shares of patterns: neighbours in the file, in [0, 1], that sum to one in every row.

    Args:
      log: of one run.

    Returns:
      Names of the most columns that do; none where fewer than two do.

    >>> import numpy as np
    >>> p = np.linspace(0.1, 0.3, 5)
    >>> numbers = {"step": np.arange(5.0), "guess": p, "sum": 2 * p, "check": 1 - 3 * p, "length": 90 + p}
    >>> shares(Log("run.csv", "a table", numbers, {}, np.arange(5)))
    ['guess', 'sum', 'check']
    """
    names = [
        name
        for name in log.numbers
        if not keys.find([name], keys.STEPS) and not GROUPS.search(name) and not name.endswith(COUNT)
    ]
    few = slice(None, None, max(1, len(log) // FEW))
    table = np.stack([log.numbers[name][few] for name in names]) if names else np.zeros((0, 1))
    table = table[:, np.isfinite(table).sum(axis=0) > 1]
    if not table.size:
        return []
    low, high = (edge(np.nan_to_num(table, nan=0.5), axis=1) for edge in (np.min, np.max))
    inside, moves = (low >= -1e-9) & (high <= 1 + 1e-9), high > low
    digits = np.where([scales.resolution(values) >= 0.01 for values in table], 0.005, 5e-4)  # as printed
    best: list[str] = []
    for first in range(len(names)):
        for last in range(first + 1, len(names)):
            part = slice(first, last + 1)
            if not inside[part].all():
                break
            off = np.abs(table[part].sum(axis=0) - 1)
            off = off[np.isfinite(off)]
            right = len(off) > 1 and off.max() <= digits[part].sum() + 1e-6
            if right and moves[part].any() and last + 1 - first > len(best):
                best = names[part]
    return best

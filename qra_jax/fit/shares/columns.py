"""Files with several shares of one run: a column for each pattern, with sum one at every step."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qra_jax.fit import runs
from qra_jax.fit.runs import keys, scales
from qra_jax.fit.runs.choice import listed, named
from qra_jax.fit.runs.rows import COUNT, Log

SILENT = re.compile(r"(solved_(none|all|some)|pct_(0|1|mixed)|frac_|all_(good|bad)|zero_std)")
"""Shares of groups, not of patterns."""
MANY = 12
"""Columns among which those that sum to one are looked for; of more, among those whose names begin alike."""
UNITS, LOOSE = (1.0, 100.0), 0.02
"""What shares may sum to; by how much that may be missed, relatively, where they are printed with few digits."""
BYTES = 1 << 22
"""Larger files are no tables of shares, unless their columns are named."""


@dataclass(frozen=True)
class Shares:
    """Shares of patterns of one run.

    Attributes:
      steps: `[points]`, increasing.
      shares: `[points, patterns]`, with sum one.
      names: of the patterns: what their columns do not have in common.
      samples: `[points]`, behind each point; `None` where unknown.
      accuracy: `[points]`, where the file has one.
      name: of the run.
      notes: what was recognised and taken, a sentence each.
    """

    steps: np.ndarray
    shares: np.ndarray
    names: tuple[str, ...]
    samples: np.ndarray | None
    accuracy: np.ndarray | None
    name: str
    notes: tuple[str, ...]


def has_shares(path: str | Path) -> bool:
    """Whether a file holds shares of three patterns or more, and nothing of a trainer's.

    Args:
      path: file; folders, files above 4 MB and those that cannot be read hold none.

    Returns:
      Whether [`read`][] finds their columns by itself.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size > BYTES:
        return False
    try:
        log = runs.log(path)
    except ValueError:
        return False
    return keys.trainer(log.numbers) is None and bool(_found(log))


def read(
    path: str | Path,
    *,
    columns: Sequence[str] = (),
    run: str | None = None,
    step: str | None = None,
    samples: float | int | None = None,
    keep: str | None = None,
    normalise: bool = False,
) -> Shares:
    """Shares of patterns of one run, from any of the files that `fit.runs` knows.

    Args:
      path: file or folder.
      columns: the shares; default: those columns in [0, 1], or in per cent, with sum one at every step.
      run: which run, where there are several.
      step: the column that counts steps.
      samples: completions behind each point, in place of what the file says.
      keep: `"first"` or `"last"` of rows with one step.
      normalise: divide counts per completion, as of marks that may stand in one several times, by their sum; n then
        is the number of marks.

    Returns:
      The `Shares`.

    Raises:
      ValueError: no such columns; sums that are not one; fewer than two steps; what `fit.runs` refuses.
    """
    log = runs.log(path)
    taken = [named(log, "columns", name) for name in columns] or _found(log)
    if not taken:
        have = listed([name for name in log.numbers if not name.endswith(COUNT)])
        raise ValueError(
            f"{path}: no columns in [0, 1] that sum to 1 at every step among {have}; must be shares of three patterns "
            "or more: name them, or have counts per completion normalised"
        )
    if len(taken) < 2 or len(set(taken)) < len(taken):
        raise ValueError(f"columns: {', '.join(taken)}; must be two or more, each named once")
    everything = np.stack([log.numbers[name] for name in taken], axis=1)
    whole = np.asarray(np.isfinite(everything).all(axis=1))
    if whole.sum() < 2:
        raise ValueError(f"{path}: {whole.sum()} rows with {', '.join(taken)}; must be two or more")
    log, everything = log.rows(whole), everything[whole]
    counted = keys.find(log.numbers, keys.SAMPLES)
    rate = [name for name in keys.accuracies(log.numbers) if name not in taken]
    wanted = [*taken, *rate[:1], *([counted] if counted else [])]
    unit = max(1.0, float(np.nanmax([np.nanmax(np.abs(log.numbers[name])) for name in wanted])))
    parts = {}
    for name in wanted:  # one after the other: rows of one step are put together as for any curve
        points = runs.curve(log, run=run, column=name, step=step, scale=(-unit, unit), samples=1.0, keep=keep)
        parts[name] = dict(zip(points.steps.tolist(), (2 * points.accuracy - 1) * unit, strict=True))
    steps = np.array(sorted(parts[taken[0]]))
    raw = np.array([[parts[name][at] for name in taken] for at in steps.tolist()])
    raw = np.where(np.abs(raw) < 1e-9 * unit, 0.0, raw)
    column = lambda name: np.array([parts[name].get(at, np.nan) for at in steps.tolist()])  # noqa: E731
    n = np.full(len(steps), float(samples)) if samples is not None else column(counted) if counted else None
    notes = [f"read as {log.kind}", f"shares are {listed(taken)}"]
    raw, n = _scaled(str(path), taken, steps, raw, n, normalise, notes)
    if n is not None and not (np.isfinite(n) & (n >= 1)).all():
        n, _ = (
            None,
            notes.append(f"column {counted} has gaps or no counts: samples a point not taken from it"),
        )
    if n is None and (size := scales.granularity(raw.ravel(), _digits(everything))) is not None:
        n = np.full(len(steps), float(size))
        notes.append(f"{size} samples a point, as all shares are multiples of 1/{size}")
    accuracy = column(rate[0]) if rate else None
    if accuracy is not None and not ((accuracy >= 0) & (accuracy <= 1)).all():
        accuracy = None
    if accuracy is not None:
        notes.append(f"{rate[0]} taken as the accuracy (--column {rate[0]} fits its curve)")
    return Shares(steps, raw, _short(taken), n, accuracy, Path(log.path).stem, tuple(notes))


def _scaled(
    path: str,
    names: list[str],
    steps: np.ndarray,
    raw: np.ndarray,
    n: np.ndarray | None,
    normalise: bool,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray | None]:
    """Shares with sum one, or the complaint that they are none."""
    total = raw.sum(axis=1)
    if (raw < 0).any():
        raise ValueError(f"{path}: {raw.min():.4g} among {listed(names)}; shares must be zero or above")
    for whole in UNITS:
        if np.abs(total / whole - 1).max() <= _slack(raw / whole):
            notes.extend(["shares taken as per cent"] * (whole > 1))
            return raw / total[:, None], n
    low, high = int(total.argmin()), int(total.argmax())
    if not normalise:
        raise ValueError(
            f"{path}: {' + '.join(names)} is {total[low]:.4g} at step {steps[low]:.10g} and {total[high]:.4g} at step "
            f"{steps[high]:.10g}; must be 1 at every step: counts per completion are no shares of patterns, unless "
            "they are normalised"
        )
    if not (total > 0).all():
        raise ValueError(
            f"{path}: {' + '.join(names)} is 0 at step {steps[low]:.10g}; must be above 0 to divide by"
        )
    notes.append("columns divided by their sum: shares of all marks, as asked; n is the number of marks")
    return raw / total[:, None], None if n is None else np.maximum(np.rint(n * total), 1.0)


def _found(log: Log) -> list[str]:
    """Columns, three or more of which two vary, in [0, 1] or per cent, that sum to one in every row that has them."""
    known = {*keys.STEPS, *keys.RATES, *keys.SAMPLES, *keys.CORRECT, *keys.RUNS}
    rates = set(keys.accuracies(log.numbers))
    good: dict[str, list[str]] = {}
    for name, values in log.numbers.items():
        seen = values[np.isfinite(values)]
        other = name.lower() in known or name in rates or SILENT.search(name) or name.endswith(COUNT)
        if not other and len(seen) >= 2 and seen.min() >= 0 and seen.max() <= 100 * (1 + 1e-6):
            good.setdefault(_common([name, name]), []).append(name)
    groups = list(good.values())
    if sum(map(len, groups)) <= MANY:
        groups = [[name for group in groups for name in group]]
    for group in groups:
        for size in range(len(group) if len(group) <= MANY else 0, 2, -1):
            for some in itertools.combinations(group, size):
                if _sums(np.stack([log.numbers[name] for name in some], axis=1)):
                    return list(some)
        if len(group) > MANY and _sums(np.stack([log.numbers[name] for name in group], axis=1)):
            return group
    return []


def _sums(rows: np.ndarray) -> bool:
    """Whether columns are shares with sum one, or per cent."""
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) < 2 or not min(abs(rows[0].sum() - whole) / whole for whole in UNITS) <= LOOSE:
        return False
    if (np.ptp(rows, axis=0) > 0).sum() < 2:
        return False
    return any(np.abs(rows.sum(axis=1) / whole - 1).max() <= _slack(rows / whole) for whole in UNITS)


def _digits(values: np.ndarray) -> float:
    return scales.resolution(np.asarray(values, float).ravel())


def _slack(shares: np.ndarray) -> float:
    """By how much sums may miss one, rounded as they are printed."""
    return float(np.clip(0.6 * shares.shape[1] * _digits(shares), 1e-4, LOOSE))


def _short(names: list[str]) -> tuple[str, ...]:
    """Names without what they have in common at both ends."""
    ends = re.compile(r"^[^A-Za-z0-9]+|[^A-Za-z0-9]+$")
    first = len(_common(names))
    last = len(_common([name[::-1] for name in names]))
    short = [ends.sub("", name[first : len(name) - last]) for name in names]
    return tuple(short) if all(short) and len(set(short)) == len(short) else tuple(names)


def _common(names: Sequence[str]) -> str:
    """The beginning that all have, up to a sign between words."""
    same = "".join(
        each[0] for each in itertools.takewhile(lambda x: len(set(x)) == 1, zip(*names, strict=False))
    )
    return same[: max((same.rfind(sign) + 1 for sign in "/_ .-"), default=0)]

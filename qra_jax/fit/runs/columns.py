"""Which run, which column and which steps of a log, and what is said of each choice."""

from __future__ import annotations

import difflib
import math

import numpy as np

from qra_jax.fit.runs import cells, keys
from qra_jax.fit.runs.rows import COUNT, Log
from qra_jax.fit.runs.series import Say
from qra_jax.fit.runs.shares import shares

SHOWN = 12
"""Names of columns or runs that a complaint shows."""
TRAINING = ("train", "training", "rollout")


def listed(names: list[str]) -> str:
    """Names for a complaint, not too many."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def of(log: Log) -> list[str]:
    """Columns of numbers that the file itself has, kept or not."""
    return [*(name for name in log.numbers if not name.endswith(COUNT)), *sorted(log.dropped)]


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
    near = difflib.get_close_matches(wanted, of(log), n=3, cutoff=0.5)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise ValueError(f"{argument}: {wanted!r}; {log.path} has {listed(of(log)) or 'no numbers'}{hint}")


def run(log: Log, wanted: str | None, said: Say) -> Log:
    """The rows of one run.

    Raises:
      ValueError: several and none named, or none of that name.
    """
    where = keys.find([*log.names, *log.numbers], keys.RUNS)
    if where is None:
        if wanted is not None and not wanted.isdigit():
            raise ValueError(f"run: {wanted!r}; {log.path} has one run, without a name")
        return log
    if where in log.names:
        code, texts = log.names[where].code, list(log.names[where].texts)
    else:
        distinct, code = np.unique(log.numbers[where], return_inverse=True)
        texts = [f"{value:.10g}" for value in distinct if np.isfinite(value)]
    most = max((int(np.sum(code == i)) for i in range(len(texts))), default=0)
    if wanted is None and (len(texts) < 2 or most < 2):
        return log
    if wanted is None:
        raise ValueError(f"{log.path}: {len(texts)} runs: {listed(texts)}; must be one, name it by --run")
    if wanted not in texts:
        near = difflib.get_close_matches(wanted, texts, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"run: {wanted!r}; {log.path} has {listed(texts)}{hint}")
    said(f"run {wanted} of {len(texts)}")
    return log.rows(code == texts.index(wanted))


def one_run(log: Log) -> bool:
    """Whether no column tells runs apart."""
    return keys.find([*log.names, *log.numbers], keys.RUNS) is None


def training(log: Log, said: Say) -> Log:
    """The rows of training, where a column tells them from those of evaluation.

    Raises:
      ValueError: a column tells several parts, none of them training.
    """
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


def measured(log: Log, column: str | None, said: Say) -> tuple[Log, str, np.ndarray]:
    """The rows and the column that are fitted.

    Raises:
      ValueError: no such column, none that looks like an accuracy, or several reward functions of which none does.
    """
    if column is not None:
        name = named(log, "column", column)
        said(f"{name} as given")
        return log, name, log.numbers[name]
    many = {name: int(np.sum(~np.isnan(values))) for name, values in log.numbers.items()}
    whole = [name for name in many if many[name] and not name.endswith(COUNT)]
    if found := shares(log):
        said(f"{listed(found)} sum to one: shares of patterns")
    right, number = keys.find(whole, keys.CORRECT), keys.find(whole, keys.SAMPLES)
    found = sorted(
        (name for name in keys.accuracies(whole) if name != number), key=lambda name: many[name] < 2
    )
    if right and number and (not found or found[0] == right) and _counted(log, right, number):
        said(f"{right} / {number} taken as the accuracy")
        behind = log.numbers[number]
        return log, f"{right} / {number}", log.numbers[right] / np.where(behind > 0, behind, np.nan)
    if not found:
        parts = shares(log)
        hint = f" ({listed(parts)} sum to one: shares of patterns)" if parts else ""
        raise ValueError(
            f"{log.path}: read as {log.kind}; no column looks like an accuracy among "
            f"{listed(of(log)) or 'no numbers'}{hint}: name the measured one by --column"
        )
    _one_function(log, found)
    log = _first_try(log, found[0], said)
    values = log.numbers[found[0]]
    rest = f"; also there: {listed(found[1:])}" if len(found) > 1 else ""
    said(f"{found[0]} taken as the accuracy, from {np.nanmin(values):.6g} to {np.nanmax(values):.6g}{rest}")
    return log, found[0], values


def _counted(log: Log, right: str, number: str) -> bool:
    """Whether two columns are numbers of right ones and of all."""
    known = np.isfinite(log.numbers[number]) & np.isfinite(log.numbers[right])
    count, behind = log.numbers[right][known], log.numbers[number][known]
    whole = (count == np.rint(count)).all() and count.max(initial=0) > 1
    return bool(whole and (count <= behind).all())


def _one_function(log: Log, found: list[str]) -> None:
    """Complains of several reward functions of which none is called an accuracy."""
    ranks = {name: keys.rank(name) for name in found if not keys.EVALUATION.search(name)}
    functions = [name for name, rank in ranks.items() if rank == keys.FUNCTION]
    if len(functions) < 2 or ranks.get(found[0]) != keys.FUNCTION:
        return
    sums = [name for name in found if name not in functions and name in ranks]
    each = [
        f"{n} {np.nanmin(log.numbers[n]):.4g} … {np.nanmax(log.numbers[n]):.4g}" for n in functions + sums
    ]
    raise ValueError(
        f"{log.path}: read as {log.kind}; several reward functions, none of them called an accuracy: {listed(each)}; "
        "name the measured one by --column"
    )


def _first_try(log: Log, name: str, said: Say) -> Log:
    """Of a table of pass@k with a row for each k, the rows of k = 1."""
    k = keys.find(log.numbers, ("k",))
    if k is None or "pass" not in name.lower() or len(np.unique(log.numbers[k])) < 2:
        return log
    if not (once := log.numbers[k] == 1).any():
        raise ValueError(
            f"{log.path}: {name} at k from {np.nanmin(log.numbers[k]):g}; must hold k = 1, the accuracy"
        )
    said(f"rows whose {k} is 1: pass@1 is the accuracy")
    return log.rows(once)


def steps(log: Log, step: str | None, values: np.ndarray, said: Say) -> tuple[str, np.ndarray]:
    """The column that counts steps.

    Raises:
      ValueError: no such column, or none that counts.
    """
    if step is not None:
        name = named(log, "step", step)
        return name, log.numbers[name]
    there = np.isfinite(values)
    good = {
        name: column
        for name, column in log.numbers.items()
        if keys.find([name], keys.STEPS)
        and np.isfinite(column[there]).sum() > max(1, there.sum() / 2)
        and len(np.unique(column[there])) > 1
    }
    name = keys.find(good, keys.STEPS) or keys.find(log.numbers, ("step",))
    if name is not None:
        if "epoch" in name.lower() and rows_for_epochs(log.numbers[name][there]):
            said(f"steps are the rows, as only {name} is logged")
            return name, np.where(there, np.cumsum(there), np.nan)
        if name.lower() not in ("step", "steps"):
            said(f"steps are {name}")
        return name, log.numbers[name]
    where = keys.find(log.names, keys.REVISIONS)
    if where is not None:
        texts = log.names[where].texts
        each = [cells.step_of(text) for text in texts]
        found = np.array([*(math.nan if one is None else one for one in each), math.nan])[
            log.names[where].code
        ]
        if np.isfinite(found).sum() > 1:
            lost = sorted({text for text, one in zip(texts, each, strict=True) if one is None})
            said(f"steps are the numbers in {where}" + (f"; without one: {listed(lost)}" if lost else ""))
            return where, found
    raise ValueError(
        f"{log.path}: read as {log.kind}; no column counts steps among {listed(of(log))}: "
        f"name it by --step{_instead(log)}"
    )


def _instead(log: Log) -> str:
    """What else a file without steps may be for."""
    if keys.find([*log.names, *log.numbers], keys.QUESTIONS):
        return " (pass rates of questions without steps are no curve)"
    if keys.find(log.numbers, ("k", "pass@k")) or sum("pass@" in name for name in log.numbers) > 1:
        return " (pass@k at one step is no curve)"
    return ""


def rows_for_epochs(epochs: np.ndarray) -> bool:
    """Whether several rows belong to an epoch, so that rows count training better.

    Args:
      epochs: `[rows]`, of the rows with a value.
    """
    known = epochs[np.isfinite(epochs)]
    rising = bool((np.diff(known) >= 0).all())
    return len(known) > 2 and rising and float(np.ptp(known)) < len(known) - 1

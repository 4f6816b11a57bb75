"""What `extrapolation` judges: ends that are predicted, on the bases on which GRPO with Adam gains."""

from __future__ import annotations

import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._best_rates import of_others
from qra_jax.studies.weights._futures import HOLD, MIDDLE
from qra_jax.studies.weights._shares_of_gains import members

RL, AGAIN = "GRPO, Adam", "GRPO, Adam, again"
WALKED, ACTUAL = "a Gaussian step as long as the way to the end", "the end of the run"
LATE = "the checkpoint before the last one"


def end(runs: xr.Dataset, rule: str, share: float) -> xr.DataArray:
    """Accuracy of the end, `[task, seed]`: predicted by a rule, the actual one, that of another run, ….

    Args:
      runs: what `_futures.read_all` reads.
      rule: name of a rule, or `ACTUAL`, `AGAIN`, `LATE`, `WALKED`.
      share: of the run that is given.
    """
    if rule in (ACTUAL, AGAIN):
        return runs.end.sel(arm=RL if rule == ACTUAL else rule, drop=True)
    if rule == LATE:
        return runs.late.sel(arm=RL, drop=True)
    seen = runs.sel(arm=RL, share=share, drop=True)
    return seen.walked if rule == WALKED else seen.reached.sel(rule=rule, drop=True)


def shares(runs: xr.Dataset, rules: tuple[str, ...], share: float) -> lab.Estimate:
    """Share of the final gain that rules have, of all bases together, `[run]`.

    As for [`end`][]: `runs`, `share`.

    Args:
      rules: their names.
    """
    seen = runs.sel(arm=RL, drop=True)
    parts = {rule: end(runs, rule, share) - seen.base for rule in rules}
    return _by_run(
        runs,
        f"share of the final gain, from {share:g}",
        parts,
        dict(zip(rules, [seen.end - seen.base] * len(rules), strict=True)),
    )


def less(runs: xr.Dataset, rules: tuple[str, ...], than: str, share: float) -> lab.Estimate:
    """Accuracy of ends that rules predict, less that of another one, `[run]`.

    As for [`end`][]: `runs`, `share`.

    Args:
      rules: their names.
      than: the other one.
    """
    other = end(runs, than, share)
    parts = {rule: end(runs, rule, share) - other for rule in rules}
    return _by_run(runs, f"accuracy of an end less that of {than!r}, from {share:g}", parts)


def at_best(runs: xr.Dataset, name: str) -> xr.DataArray:
    """Accuracy at the factor α that is best for all other bases, `[task, start, seed]`.

    Args:
      runs: what `_futures.read_all` reads.
      name: "beyond" for ExPO, "aside" for a Gaussian step of that length.
    """
    reached = runs[name].sel(arm=RL, drop=True).rename(alpha="rate")
    return of_others(reached, reached)


def errors(runs: xr.Dataset, name: str) -> lab.Estimate:
    """Errors, 1 less accuracy, after a step at the best α over those before, of all bases together, `[run]`.

    As for [`at_best`][]: `runs`.

    Args:
      name: "beyond", "aside", or `ACTUAL` for training that goes on from two fifths of the run to the end.
    """
    last = {str(start): end(runs, ACTUAL, 0.4) for start in runs.start.values} | {
        MIDDLE: end(runs, HOLD, 0.4)
    }
    if name == ACTUAL:
        parts = {MIDDLE: 1 - end(runs, ACTUAL, 0.4)}
    else:
        parts = {start: 1 - at_best(runs, name).sel(start=start, drop=True) for start in last}
    return _by_run(runs, "errors / those before", parts, {start: 1 - last[start] for start in parts})


def _by_run(
    runs: xr.Dataset,
    words: str,
    parts: dict[str, xr.DataArray],
    wholes: dict[str, xr.DataArray] | None = None,
) -> lab.Estimate:
    """Means of values, or shares of wholes, `[task, seed]`, over the bases on which GRPO gains."""
    gained, rows = runs.gained.sel(arm=RL, drop=True), {}
    for task in gained.task.values:
        for name, part in parts.items():
            both = (part,) if wholes is None else (part, wholes[name])
            kept = [x.sel(task=task, drop=True).isel(seed=gained.sel(task=task).values) for x in both]
            rows[f"{name} ({task})"] = lab.mean(words, members(kept[0], kept[1]) if wholes else kept[0])
    return lab.stacked("run", rows)

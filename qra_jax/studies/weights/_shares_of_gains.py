"""Shares of a gain in accuracy, of all base networks together: in a single one there may be little to share."""

from __future__ import annotations

import xarray as xr

from qra_jax.studies import lab

Arms = tuple[str, ...]


def members(part: xr.DataArray, whole: xr.DataArray, over: str = "seed") -> xr.DataArray:
    r"""How each member counts in the share of a part in a whole, $R=\sum_i p_i/\sum_i w_i$.

    $$ R + (p_i - R\,w_i)/\bar w $$

    Args:
      part: p, `[..., over]`.
      whole: w, `[..., over]`, of the same bases.
      over: dimension of the members.

    Returns:
      `[..., over]`: the mean is R, and the standard error of the mean that of R to first order. NaN where the wholes
      add up to nothing.
    """
    if part.sizes[over] == 0:
        return part * whole
    total = whole.mean(over, skipna=False)
    total = total.where(total != 0)
    value = part.mean(over, skipna=False) / total
    return value + (part - value * whole) / total


def compared(runs: xr.Dataset, task: str, at: str, arms: Arms) -> xr.Dataset:
    """Some arms, on the bases on which all of them can be compared.

    Args:
      runs: `compared` `[task, at, arm, seed]` and others.
      task: its name.
      at: which checkpoints.
      arms: their names.
    """
    runs = runs.sel(task=task, at=at, arm=list(arms), drop=True)
    return runs.isel(seed=runs.compared.all("arm").values)


def share(
    runs: xr.Dataset, at: str, arms: Arms, network: str, *, gain: bool = True, alone: bool = False
) -> lab.Estimate:
    """Share of the gain that a network has: of all bases together on which the arms can be compared.

    Args:
      runs: `made` `[task, at, arm, seed, network]`, `base`, `tuned` and `compared` `[task, at, arm, seed]`.
      at: which checkpoints.
      arms: that are compared.
      network: which.
      gain: share of the gain, or else of the accuracy.
      alone: whether every arm has all of its own bases.

    Returns:
      `[run]`, arms and tasks.
    """
    words, rows = f"share of the {'gain' if gain else 'accuracy'} at {at}: {network}", {}
    for task in runs.task.values:
        for arm in arms:
            some = compared(runs, task, at, (arm,) if alone else arms).sel(arm=arm, drop=True)
            made, base = some.made.sel(network=network, drop=True), some.base if gain else 0.0
            rows[f"{arm} ({task})"] = lab.mean(words, members(made - base, some.tuned - base))
    return lab.stacked("run", rows)


def differs(runs: xr.Dataset, at: str, arms: Arms, network: str, *, than: str) -> lab.Estimate:
    """Shares of the gain that a network has in some arms, less that in another one, on the same bases.

    As for [`share`][]: `runs`, `at`, `arms`, `network`.

    Args:
      than: the other arm.

    Returns:
      `[run]`, arms and tasks.
    """
    words, rows = f"share of the gain at {at}: {network}, less that of {than}", {}
    for task in runs.task.values:
        some = compared(runs, task, at, (than, *arms))
        own = members(some.made.sel(network=network, drop=True) - some.base, some.tuned - some.base)
        for arm in arms:
            first, second = (own.sel(arm=one, drop=True) for one in (arm, than))
            rows[f"{arm} ({task})"] = lab.difference(words, first, second)
    return lab.stacked("run", rows)

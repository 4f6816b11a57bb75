"""What makes a comparison of arms fair: learning rates inside of what was tried, and the same bases for every arm."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._reference import Course
from qra_jax.studies.weights._ways import SAME_RATE


def inside(tried: np.ndarray) -> bool:
    """Whether the best of the learning rates lies between others that were tried, or no rate makes any difference.

    Args:
      tried: `[rates, 2]`, rates in rising order and what was reached with each.
    """
    scores = tried[:, 1]
    return 0 < int(scores.argmax()) < len(scores) - 1 or bool(np.all(scores == scores[0]))


def rates_inside(courses: Mapping[str, Course]) -> list[bool]:
    """The same of every arm, in their order; an arm that has the rate of another one is as that."""
    return [inside(courses[SAME_RATE.get(arm, arm)].tried) for arm in courses]


def on_common(
    estimate: Callable[..., lab.Estimate], quantity: str, near: xr.DataArray, *arrays: xr.DataArray
) -> lab.Estimate:
    """An estimate, task by task, from the bases on which every arm that is compared has gained as much.

    Args:
      estimate: of a quantity, from arrays `[..., seed]`.
      quantity: what it is; how many bases are left is added.
      near: `[task, arm, seed]`, of the arms that are compared.
      *arrays: `[task, ..., seed]`.

    Returns:
      The estimate, `[task, ...]`; open where no base is left.
    """
    kept = near.all("arm").transpose("task", "seed")
    counts = ", ".join(f"{int(row.sum())} of {row.size} bases" for row in kept)
    parts = {
        str(task): estimate(
            f"{quantity} ({counts})",
            *(x.sel(task=task, drop=True).isel(seed=kept.sel(task=task).values) for x in arrays),
        )
        for task in kept.task.values
    }
    return lab.stacked("task", parts)

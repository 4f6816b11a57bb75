"""What the study of RL in name only on tokens reads from its runs."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from qra_jax import theory
from qra_jax.studies import lab
from qra_jax.studies.credit._name_only_networks import COMPARED, SETTINGS
from qra_jax.studies.credit._name_only_tokens import MEMBERS


def apart(path: xr.DataArray, rules: Sequence[int]) -> xr.DataArray:
    """Distance of half of each rule's mean path from GRPO's whole one."""
    means = path.mean("seed").transpose("which", "question", "record", "leaf")
    whole, half = means.sel(which=0).values, means.sizes["record"] // 2 + 1
    found = [theory.path_distance(means.sel(which=i).values[:, :half], whole) for i in rules]
    return xr.DataArray(found, {"rule": [list(MEMBERS)[i] for i in rules]}, ["rule"])


def network_apart(data: lab.Data) -> xr.DataArray:
    """Distance of half of each rule's path from GRPO's whole one of the same base, `[condition, rule, seed]`."""
    found = []
    for condition in (*SETTINGS, "epochs, clipped"):
        rows = data.epochs
        if condition in SETTINGS:
            rows = data.networks.isel(row=np.flatnonzero(data.networks.condition.values == condition))
        path = rows.path.transpose("row", "seed", "question", "step", "leaf").values
        half = path.shape[3] // 2 + 1
        found.append(
            [
                [
                    theory.path_distance(one[..., :half, :], whole)
                    for one, whole in zip(of, path[0], strict=True)
                ]
                for of in path
            ]
        )
    coords = {"condition": [*SETTINGS, "epochs, clipped"], "rule": COMPARED}
    return xr.DataArray(found, coords, ["condition", "rule", "seed"])


def last_accuracy(data: lab.Data, rule: str) -> xr.DataArray:
    """Last accuracy of networks under a rule, at the better of the learning rates of Adam, `[seed]`."""
    rows = data.networks.condition.str.startswith("rate") & (data.networks.name == rule)
    last = _rows(data.networks.accuracy, rows).isel(step=-1, drop=True)
    best = last.mean("seed", skipna=False).fillna(np.inf).argmax("row")
    return last.isel(row=best, drop=True)


def first_accuracy(data: lab.Data) -> xr.DataArray:
    """Accuracy of the same networks before training, `[seed]`."""
    rows = data.networks.condition.str.startswith("rate")
    return _rows(data.networks.accuracy, rows).isel(step=0, row=0, drop=True)


def growth(data: lab.Data, system: str, rule: str, norm: str, answers: str = "all") -> lab.Estimate:
    """Growth of the logarithm of a length in sampled training of trees or of networks.

    Wrong answers are those of two approaches of different accuracy, all answers those of one success rate.
    """
    world = "two approaches" if answers == "wrong" else "same success"
    if system == "tree":
        found = data.lengths.growth.sel(rule=rule, norm=norm, world=world, drop=True)
    else:
        rows = (data.networks.condition == f"{world}, {norm}") & (data.networks.name == rule)
        found = _rows(data.networks.growth, rows).isel(row=0, drop=True)
    words = f"{system}, {rule}: growth of the logarithm of the length of {answers} answers"
    return lab.mean(words, found.sel(answers=answers, drop=True))


def _rows(values: xr.DataArray, rows: xr.DataArray) -> xr.DataArray:
    return values.isel(row=np.flatnonzero(rows.values)).drop_vars(["condition", "name"])

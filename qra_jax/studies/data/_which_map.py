"""The map of recipes: what is best in each cell, by how much, and the file that `qra advise` reads.

    python -m qra_jax.studies.data._which_map FOLDER

writes `qra_jax/consult/recipes.json` from the data of a full run of `which-recipe` that lie somewhere in FOLDER, or
from a file `runs-….nc` of one.
"""

from __future__ import annotations

import datetime
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from qra_jax.studies.data import _which as networks
from qra_jax.studies.data._which import BOTH, FILTERED, HANDS, HINTS, RL, SFT

NOTHING = "no training"
CHOICES = (NOTHING, FILTERED, RL, SFT, BOTH, HINTS)
"""What may be recommended."""
OUTPUT = Path(__file__).parents[2] / "consult" / "recipes.json"
LEVEL = 0.05
"""Error rate of the interval of each cell, by itself."""


def accuracy(runs: xr.Dataset) -> xr.DataArray:
    """Pass@1 by what is at hand, `[hand, choice, level, budget, seed]`.

    NaN where a recipe needs demonstrations, and for networks that never reached the level.
    """
    rows, solved = [], runs.pass1.where(runs.stopped >= 0).transpose("arm", "level", "mark", "seed")
    start = solved.isel(arm=0, mark=slice(0, 1), drop=True)
    later = solved.isel(mark=slice(1, None))
    for hand in HANDS:
        found = [xr.zeros_like(later.isel(arm=0, drop=True)) + start.isel(mark=0, drop=True)]
        for recipe in CHOICES[1:]:
            name = recipe if recipe in (RL, FILTERED) else f"{recipe}, {hand}"
            there = name in later.arm.values
            found.append(later.sel(arm=name, drop=True) if there else xr.full_like(found[0], np.nan))
        rows.append(xr.concat(found, xr.DataArray(list(CHOICES), dims="choice", name="choice")))
    return xr.concat(rows, xr.DataArray(list(HANDS), dims="hand", name="hand"))  # pyright: ignore


def best(values: xr.DataArray) -> xr.Dataset:
    """The best recipe of each cell and the next, their paired difference over seeds, and its interval.

    Args:
      values: `[..., choice, seed]`, as from [`accuracy`][].
    """
    values = values.transpose(..., "choice", "seed")
    mean = values.mean("seed").fillna(-1.0)
    order = np.argsort(-mean.values, axis=-1, kind="stable")
    first, second = (xr.DataArray(order[..., i], dims=mean.dims[:-1]) for i in (0, 1))
    gap = values.isel(choice=first, drop=True) - values.isel(choice=second, drop=True)
    number = gap.count("seed")
    quantile = xr.apply_ufunc(lambda n: stats.t.ppf(1 - LEVEL / 2, np.maximum(n - 1, 1)), number)
    half = quantile * gap.std("seed", ddof=1) / np.sqrt(number)
    middle = gap.mean("seed")
    names = np.asarray(CHOICES)
    return xr.Dataset(
        {
            "best": (first.dims, names[first.values]),
            "second": (first.dims, names[second.values]),
            "accuracy": values.isel(choice=first, drop=True).mean("seed"),
            "difference": middle,
            "low": middle - half,
            "high": middle + half,
            "networks": number,
        }
    )


def plain(runs: xr.Dataset, when: str) -> dict[str, Any]:
    """The map as plain data.

    Args:
      runs: of the study.
      when: day of the run.
    """
    found = best(accuracy(runs)).transpose("hand", "level", "mark")
    seeds, width, depth = runs.sizes["seed"], runs.attrs["width"], runs.attrs["depth"]

    def cell(at: dict[str, int]) -> dict[str, Any]:
        one = found.isel(at)
        numbers = {name: round(float(one[name]), 4) for name in ("accuracy", "difference", "low", "high")}
        interval = [numbers.pop("low"), numbers.pop("high")]
        names = {"best": str(one.best.item()), "second": str(one.second.item())}
        return names | numbers | {"interval": interval, "networks": int(one.networks)}

    base = runs.base.where(runs.stopped >= 0).mean("seed").transpose("level", "k")
    fewest = int(found.networks.min())
    said = f"{seeds}" if fewest == seeds else f"{fewest} to {seeds}"
    return {
        "source": {
            "said": f"study which-recipe, small decoders, {said} seeds",
            "study": "which-recipe",
            "version": metadata.version("qra-jax"),
            "seeds": seeds,
            "network": f"decoder of width {width} and depth {depth}, sums of three numbers worked out in steps",
            "date": when,
            "interval": f"{1 - LEVEL:.0%} of the paired difference, each cell by itself",
        },
        "demonstrations": list(HANDS.values()),
        "rollouts": [int(networks.BATCH * mark) for mark in runs.mark.values[1:]],
        "levels": [
            {"pass_at": {str(int(k)): round(float(x), 5) for k, x in zip(runs.k.values, row, strict=True)}}
            for row in base.values
        ],
        "cells": [
            [
                [cell({"hand": i, "level": j, "mark": m}) for m in range(found.sizes["mark"])]
                for j in range(found.sizes["level"])
            ]
            for i in range(found.sizes["hand"])
        ],
    }


def main(folder: str) -> None:
    """Write the file.

    Args:
      folder: of a full run, or a file of its data.
    """
    from qra_jax.studies import load
    from qra_jax.studies.lab import store

    path: Path | None = Path(folder)
    if path.is_dir():
        prints = load("which-recipe").fingerprints(quick=False)
        path = next(path.rglob(store.path(Path(), "runs", prints["runs"]).name), None)
    if path is None or not path.is_file():
        raise SystemExit(
            f"folder: {folder}; must hold the data of a full run of this version of which-recipe"
        )
    when = datetime.date.fromtimestamp(path.stat().st_mtime).isoformat()
    OUTPUT.write_text(json.dumps(plain(store.read(path), when), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

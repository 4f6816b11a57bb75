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
ENOUGH = 0.75
"""Share of the networks that must have reached a level of coverage for anything to be said of it: 6 of 8."""


def reached(runs: xr.Dataset, values: xr.DataArray, level: float) -> xr.DataArray:
    """Values at a level of coverage, `[..., seed]`, of the networks that reached it.

    All unknown where fewer than `ENOUGH` of them did. A network that reached it and has no value keeps its NaN.

    Args:
      runs: of the study.
      values: `[..., level, seed]`.
      level: one of those at which bases were stopped.
    """
    there = runs.stopped.sel(level=level).values >= 0
    values = values.sel(level=level, drop=True)
    return values.isel(seed=there) if there.mean() >= ENOUGH else values * np.nan


def accuracy(runs: xr.Dataset, hand: str) -> xr.DataArray:
    """Pass@1 of all that can be done with what is at hand, `[choice, level, mark, seed]`, after the first mark."""
    solved = runs.pass1.transpose("arm", "level", "mark", "seed")
    later = solved.isel(mark=slice(1, None))
    start = solved.isel(arm=0, mark=0, drop=True).broadcast_like(later.isel(arm=0, drop=True))
    arms = {name: name if name in (RL, FILTERED) else f"{name}, {hand}" for name in CHOICES}
    there = {name: later.sel(arm=arm, drop=True) for name, arm in arms.items() if arm in later.arm.values}
    found = {NOTHING: start.transpose("level", "mark", "seed")} | there
    names = xr.DataArray(list(found), dims="choice", name="choice")
    return xr.concat(list(found.values()), names)  # pyright: ignore[reportReturnType]


def best(values: xr.DataArray) -> xr.Dataset:
    """The best recipe of each cell and the next, their paired difference over seeds, and its interval.

    Args:
      values: `[..., choice, seed]`, as from [`accuracy`][]; where one of a cell is NaN, its numbers are.
    """
    values = values.transpose(..., "choice", "seed")
    mean, number = values.mean("seed", skipna=False), values.sizes["seed"]
    order = np.argsort(-mean.values, axis=-1, kind="stable")
    first, second = (xr.DataArray(order[..., i], dims=mean.dims[:-1]) for i in (0, 1))
    gap = values.isel(choice=first, drop=True) - values.isel(choice=second, drop=True)
    half = stats.t.ppf(1 - LEVEL / 2, max(number - 1, 1)) * gap.std("seed", ddof=1) / np.sqrt(number)
    middle = gap.mean("seed")
    names = values.choice.values
    numbers = {
        "accuracy": values.isel(choice=first, drop=True).mean("seed"),
        "difference": middle,
        "low": middle - half,
        "high": middle + half,
    }
    known = mean.notnull().all("choice")
    return xr.Dataset(
        {name: value.where(known) for name, value in numbers.items()}
        | {"best": (first.dims, names[first.values]), "second": (first.dims, names[second.values])}
        | {"networks": (first.dims, np.full(first.shape, number))}
    )


def table(runs: xr.Dataset) -> xr.Dataset:
    """The map: [`best`][] of each cell, `[hand, level, mark]`."""

    def cells(hand: str) -> xr.Dataset:
        values = accuracy(runs, hand)
        return xr.concat([best(reached(runs, values, at)) for at in runs.level.values], runs.level)

    return xr.concat([cells(hand) for hand in HANDS], xr.DataArray(list(HANDS), dims="hand", name="hand"))


def bases(runs: xr.Dataset) -> xr.DataArray:
    """Pass@k of the bases of each level, mean over networks, `[level, k]`."""
    found = [reached(runs, runs.base, at).mean("seed", skipna=False) for at in runs.level.values]
    return xr.concat(found, runs.level)


def plain(runs: xr.Dataset, about: dict[str, Any]) -> dict[str, Any]:
    """The map as plain data; levels that too few networks reached are left out.

    Args:
      runs: of the study.
      about: the run: its day, fingerprint and versions.
    """
    base = bases(runs).dropna("level", how="all")
    found = table(runs).sel(level=base.level).transpose("hand", "level", "mark")
    seeds, width, depth = runs.sizes["seed"], runs.attrs["width"], runs.attrs["depth"]

    def cell(at: dict[str, int]) -> dict[str, Any]:
        one = found.isel(at)
        numbers = {name: round(float(one[name]), 4) for name in ("accuracy", "difference", "low", "high")}
        interval = [numbers.pop("low"), numbers.pop("high")]
        names = {"best": str(one.best.item()), "second": str(one.second.item())}
        return names | numbers | {"interval": interval, "networks": int(one.networks)}

    fewest, most = int(found.networks.min()), int(found.networks.max())
    said = f"{most}" if fewest == most else f"{fewest} to {most}"
    return {
        "source": {
            "said": f"study which-recipe, small decoders, {said} seeds",
            "study": "which-recipe",
            **about,
            "seeds": seeds,
            "network": f"decoder of width {width} and depth {depth}, sums of three numbers worked out in steps",
            "interval": f"{1 - LEVEL:.0%} of the paired difference, each cell by itself",
        },
        "arms": [str(name) for name in runs.arm.values],
        "demonstrations": list(HANDS.values()),
        "rollouts": [int(networks.BATCH * mark) for mark in runs.mark.values[1:]],
        "levels": [
            {
                "stopped_at": float(row.level),
                "pass_at": {str(int(k)): round(float(row.sel(k=k)), 5) for k in row.k.values},
            }
            for row in base
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
      folder: of a full run, or a file of its data, which may be of an earlier version: then its versions are unknown.
    """
    from qra_jax.studies import load
    from qra_jax.studies.lab import fingerprint, store

    now = store.path(Path(), "runs", load("which-recipe").fingerprints(quick=False)["runs"]).name
    path: Path | None = Path(folder)
    if path.is_dir():
        path = next(path.rglob(now), None)
    if path is None or not path.is_file():
        raise SystemExit(
            f"folder: {folder}; must hold the data of a full run of this version of which-recipe"
        )
    versions = fingerprint.versions() | {"qra-jax": metadata.version("qra-jax")}
    about = {
        "date": datetime.date.fromtimestamp(path.stat().st_mtime).isoformat(),
        "fingerprint": path.stem.removeprefix("runs-"),
        "versions": versions if path.name == now else "unknown: data of an earlier version of the study",
    }
    made = plain(store.read(path), about)
    OUTPUT.write_text(json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

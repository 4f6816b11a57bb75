"""SFT before RLVR in networks: the weak problem, and what it is taught."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from qra_jax import theory
from qra_jax.problem import Problem, examples

NONE, FAR, NEAR, GOOD, RIVAL = "no SFT", ".1 x₀", ".8 x₀", "above x₀", "second-best"
"""Kinds of data: share of demonstrations of the best pattern, or as many as above x₀ of the second-best."""
ANSWERS = 4


def weak() -> Problem:
    """The worked example with half its success rates, and wrong answers spread over three."""
    right = np.asarray(examples.worked().success)[:, None] / 2
    wrong = np.repeat((1 - right) / (ANSWERS - 1), ANSWERS - 1, axis=1)
    return Problem.from_probs(ref=examples.worked().ref, answers=np.concatenate([right, wrong], axis=1))


def lessons(problem: Problem, lengths: Sequence[int]) -> xr.Dataset:
    """Every kind of data for every length of SFT, after none at all.

    Args:
      problem: whose pattern 0 is the best and pattern 1 the second-best.
      lengths: steps of SFT.

    Returns:
      `mixture` `[case, pattern]`, shares of the patterns that are shown; `shown` and `length` along `case`.
    """
    needed = float(theory.sft_mass_needed(problem))
    enough = needed + 0.2 * (1 - needed)
    share = {FAR: (0.1 * needed, 0), NEAR: (0.8 * needed, 0), GOOD: (enough, 0), RIVAL: (enough, 1)}
    cases = [(NONE, 0.0, 0, 0)] + [(kind, *x, length) for kind, x in share.items() for length in lengths]
    kinds, x, taught, length = (np.array(column) for column in zip(*cases, strict=True))
    mixture = (1 - x[:, None]) * np.asarray(problem.ref) + x[:, None] * np.eye(problem.patterns)[taught]
    coords = {"shown": ("case", kinds), "length": ("case", length)}
    return xr.Dataset({"mixture": (("case", "pattern"), mixture)}, coords)


def of_kinds(values: xr.DataArray, *kinds: str) -> xr.DataArray:
    """Of `[case, ...]` those with these kinds of data."""
    return values.isel(case=np.isin(values.shown, kinds))


def longest(values: xr.DataArray, kind: str) -> xr.DataArray:
    """Of `[case, ...]` the longest SFT on this kind of data."""
    return of_kinds(values, kind).isel(case=-1, drop=True)

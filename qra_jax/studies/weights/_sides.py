"""The two by two of policy and loss at equal gain; differences that a higher learning rate could make smaller."""

from __future__ import annotations

import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights import _twins as own
from qra_jax.studies.weights._best_rates import place_of
from qra_jax.studies.weights._masks import RATES

RATES_OF_MASKS = f"each at its best of two rates, that of the run and {max(RATES):g} times that"
"""Where the best is the second, a higher one may be better: there, no difference holds."""
FEWEST = 3
"""Networks at equal gain by which a cell of the two by two can be decided."""
GAIN = (
    "judged at equal gain, where three networks or more have it in all four ways; in arithmetic fewer have, and only "
    "the controlled task can answer."
)
"""How policy and loss are compared."""
RATE = "each way of training at its own best rate, which makes updates longer or shorter (see policy-at-equal-length),"


def near(apart: xr.DataArray, side: str) -> xr.DataArray:
    """Whether all arms of the two by two are near enough to an equal gain, `[task, seed]`; unknown ones stay.

    Args:
      apart: how far from equal a gain is, `[task, seed, arm]`.
      side: a name of `SIDES`.
    """
    every = [arm for pair in own.SIDES[side].values() for arm in pair]
    return ~(abs(apart.sel(arm=every)).max("arm", skipna=False) > own.NEAR)


def at_equal_gain(
    words: str, first: xr.DataArray, second: xr.DataArray, apart: xr.DataArray, side: str
) -> lab.Estimate:
    """One arm less another, as of `_twins.beside`, at equal gain alone: at the end some runs have collapsed.

    Unknown where fewer than `FEWEST` networks have it.

    Args:
      words: what it is.
      first: `[task, at, seed, arm]`, of the first arm of each pair.
      second: of the second one.
      apart: how far from equal a gain is, `[task, seed, arm]`.
      side: a name of `SIDES`.
    """
    enough = near(apart, side).sum("seed") >= FEWEST
    return own.beside(words, first.sel(at=[own.MATCHED]).where(enough), second, apart, side)


def both(values: xr.DataArray, apart: xr.DataArray) -> tuple[xr.DataArray, str]:
    """Values of the four arms at the end and at equal gain, of one task, and how many networks have the latter.

    Args:
      values: `[at, seed, arm]`.
      apart: how far from equal a gain is, `[task, seed, arm]`, of that task.

    Returns:
      `[at, seed, arm]`, of those networks in which all four have it; where none does, of all of them at the end.
    """
    kept = near(apart, "policy").isel(task=0, drop=True)
    arms = [own.GRPO, own.FILTERED, own.STALE, own.SHOWN]
    shown = values.sel(arm=arms)
    shown = shown.isel(seed=kept.values) if kept.any() else shown.where(shown["at"] == own.END)
    return shown, f"{int(kept.sum())} of {kept.size} networks have equal gain"


def unless_at_top(test: lab.Evidence, gain: xr.DataArray, lower: str | xr.DataArray) -> lab.Evidence:
    """A difference that holds only where the arm that is to gain less has its best rate below the highest.

    Args:
      test: of the difference.
      gain: `[task, mask, rate, seed]`.
      lower: name of that arm, or labels `[axis]` of names.
    """
    score = gain.sel(mask=lower).drop_vars("mask")
    known = score.notnull().all(("rate", "seed"))
    below = (place_of(score) < score.sizes["rate"] - 1).all("seed") & known
    words = f"the rate at which it gains most is below {max(RATES):g} times that of the run"
    return lab.all_of(test, lab.exact(words, xr.where(below, 1.0, float("nan"))).above(0.5))

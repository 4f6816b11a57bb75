"""Training on schedules of q in the Tsallis family, expected and sampled."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import xarray as xr

from qra_jax import recipe
from qra_jax.algorithm import tsallis
from qra_jax.batching import many
from qra_jax.problem import Problem, examples

SCHEDULES = {
    "q = 0": (0.0,) * 5,
    "q = ¼": (0.25,) * 5,
    "q = ½": (0.5,) * 5,
    "q = ¾": (0.75,) * 5,
    "q = 1": (1.0,) * 5,
    "q: 1 → 0": (1.0, 0.75, 0.5, 0.25, 0.0),
    "q: 0 → 1": (0.0, 0.25, 0.5, 0.75, 1.0),
}
RATES, STEPS, FINE, GROUP = [0.1, 0.2, 0.4, 0.8, 1.6], 200, 0.1, 8
"""Learning rates and steps of a sampled run; learning rate in expectation; rollouts in a group."""
PROBLEMS = {
    "worked example": examples.worked(),
    "rare and entangled": Problem.from_probs(ref=[0.01, 0.04, 0.95], success=[0.9, 0.6, 0.0]),
}


def scores(seed: int, *, runs: int, drawn: int) -> xr.Dataset:
    """Accuracy at the end of each schedule: expected, `mean` `[problem, schedule]`; `sampled`, at each learning rate.

    Args:
      seed: of all draws.
      runs: sampled runs of each.
      drawn: random schedules, for which the expected accuracy is `drawn` `[problem, draw]`.
    """
    log_ref, success = (np.stack([getattr(p, x) for p in PROBLEMS.values()]) for x in ("log_ref", "success"))
    named, rates = np.array(list(SCHEDULES.values())), np.array(RATES)
    knots = np.concatenate([named, np.random.default_rng(seed).random((drawn, 5))])
    place, which = (x.ravel() for x in np.indices((len(log_ref), len(knots))))
    ends = np.asarray(many(_mean)(knots[which], log_ref[place], success[place])).reshape(len(log_ref), -1)
    shape = (len(log_ref), len(named), len(rates), runs)
    place, which, rate = (x.ravel() for x in np.indices(shape)[:3])
    keys = jax.random.split(jax.random.key(seed), place.size)
    found = np.asarray(many(_sampled)(named[which], log_ref[place], success[place], rates[rate], keys))
    variables: dict[str, Any] = {
        "mean": (("problem", "schedule"), ends[:, : len(named)]),
        "drawn": (("problem", "draw"), ends[:, len(named) :]),
        "sampled": (("problem", "schedule", "rate", "run"), found.reshape(shape)),
    }
    return xr.Dataset(variables, {"problem": list(PROBLEMS), "schedule": list(SCHEDULES), "rate": RATES})


def at_best_rate(sampled: xr.DataArray) -> xr.DataArray:
    """Each schedule at the learning rate that suits it best: chosen on one half of the runs, shown on the other."""
    half = sampled.sizes["run"] // 2
    chosen = sampled.isel(run=slice(half)).mean("run").fillna(-1.0).argmax("rate")
    return sampled.isel(run=slice(half, 2 * half)).isel(rate=chosen).drop_vars("rate")


def _scheduled(knots: Any, rate: Any, **options: Any) -> recipe.Recipe:
    return recipe.Recipe((recipe.rlvr(steps=STEPS, q=recipe.Schedule(knots), learning_rate=rate, **options),))


def _mean(knots: jax.Array, log_ref: jax.Array, success: jax.Array) -> jax.Array:
    return _scheduled(knots, FINE).run(Problem(log_ref, success)).accuracy


def _sampled(knots: jax.Array, log_ref: jax.Array, success: jax.Array, rate: Any, key: Any) -> jax.Array:
    groups = _scheduled(knots, rate, algorithm=tsallis(0.0, GROUP), runner="sampled")
    return groups.run(Problem(log_ref, success), key=key).accuracy

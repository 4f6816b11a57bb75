"""What a chain of separate steps predicts of hints: the exact flow with restarts, from the base's own rates."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from qra_jax.algorithm import grpo
from qra_jax.studies.data._hints_networks import ALL, ARMS, GROUP, LAST, NONE, PIECES, WITHOUT
from qra_jax.tree import instances, restarts

FIXED = (NONE, ALL, WITHOUT, LAST)
"""Arms whose levels keep their chances."""
TIMES = np.concatenate([[0.0], np.geomspace(1e-2, 1e5, 500)])
SMALL = 1e-6


def chain(rates: Array, starts: Array) -> Array:
    """Accuracy from the question along the flow with restarts, `[times]`.

    Args:
      rates: `[5]`, chance of each quarter of the solution, and of the answer.
      starts: `[5]`, chances of the levels.
    """
    rates = jnp.clip(rates, SMALL, 1 - SMALL)
    log_ref = jnp.stack([jnp.log(rates), jnp.log1p(-rates)], axis=-1).ravel()
    asked = replace(instances.chain([0.5] * PIECES), log_ref=log_ref.astype(float))
    states = jnp.asarray([0, *(2 * level - 1 for level in range(1, PIECES))])
    weights = jnp.zeros(asked.shape.states).at[states].set(starts)

    def turn(theta: Array, step: Array) -> tuple[Array, Array]:
        now = asked.shape.log_softmax(theta)
        update = restarts.mean_update(asked, now, starts=weights, algorithm=grpo(GROUP))
        return theta + step * update, jnp.exp(jnp.sum(now[::2]))

    return jax.lax.scan(turn, asked.log_ref, jnp.diff(jnp.asarray(TIMES), append=TIMES[-1]))[1]


def predicted(runs: xr.Dataset) -> xr.DataArray:
    """Pass@1 of the arms of `FIXED` when that with all levels has reached what it was measured to reach.

    Questions are chains of their own, and each network has a clock of its own; nothing else is fitted.

    Args:
      runs: of graphs, from `_hints_networks.trained`.

    Returns:
      `[arm, when, seed]`: at that time, and at ten times it.
    """
    rates = runs.piece.isel(stage=0, pattern=0).sel(arm=NONE).transpose("seed", "question", "part").values
    starts = np.stack([ARMS[name].chances[0] for name in FIXED])
    each = jax.vmap(jax.vmap(chain, in_axes=(0, None)), in_axes=(None, 0))
    flows = np.asarray(jax.jit(lambda q, s: jax.lax.map(lambda x: each(x, s).mean(axis=1), q))(rates, starts))
    reached = accuracy(runs).isel(stage=-1).sel(arm=ALL).values
    found = []
    for path, end in zip(flows, reached, strict=True):
        time = np.interp(end, path[FIXED.index(ALL)], TIMES)
        found.append([[np.interp(time * factor, TIMES, one) for factor in (1, 10)] for one in path])
    coords = {"arm": list(FIXED), "when": ["then", "ten times later"]}
    return xr.DataArray(found, coords, ["seed", "arm", "when"]).transpose("arm", "when", "seed")


def accuracy(runs: xr.Dataset, tries: int = 1) -> xr.DataArray:
    """Exact pass@k without hints of whole solutions, the mean over test questions, `[..., seed]`."""
    right = runs.piece.prod("part").sum("pattern")
    return (1 - (1 - right) ** tries).mean("question")


def moved(runs: xr.Dataset) -> xr.DataArray:
    """How far the choice of a procedure has moved: total variation of the mean choice, `[arm, seed]`."""
    choice = runs["first"].mean("question")
    choice = choice / choice.sum("pattern")
    return abs(choice.isel(stage=-1) - choice.isel(stage=0)).sum("pattern") / 2

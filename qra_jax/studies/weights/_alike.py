"""Networks whose features are more or less alike: trained, and read through one step; for `kernel-confidence`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax.algorithm import filtered_sft, grpo, switch
from qra_jax.studies import lab
from qra_jax.studies.weights import _bandits as world
from qra_jax.studies.weights._one_step import cosines, one_step
from qra_jax.transformer import kernel, parts, rl

EVERY = 10
STEPS = lab.scale(30, 80)
COSINES = lab.scale((0.0, 0.5, 0.99), (0.0, 0.3, 0.6, 0.9, 0.99))
"""c, mean cosine of the marks, which have nine tenths of the squared norm of features."""
RULES = {
    "GRPO": grpo(world.GROUP),
    "rewards alone": filtered_sft(group_size=world.GROUP),
    "punishments alone": filtered_sft("negative", group_size=world.GROUP),
}
ARMS = {
    "unembedding": (True, False, False, 0, 0),
    "everything": (True, True, False, 0, 0),
    "all but the unembedding": (False, True, False, 0, 0),
    "everything, Adam": (True, True, True, 0, 0),
    "even": (True, False, False, 1, 0),
    "one best pattern": (True, False, False, 2, 0),
    "rewards alone": (True, False, False, 0, 1),
    "punishments alone": (True, False, False, 0, 2),
}
"""Whether W trains, the rest trains, Adam is used; which of `world.WORLDS`, which rule of `RULES`."""
SGD, ADAM = 0.1, 1e-3
"""Learning rates."""
SMALL = (0.01, 0.02, 0.04, 0.08)
"""Learning rates of a single step."""
PLACES = {"pattern": slice(0, 1), "answer": slice(2, 3), "all": slice(None)}


def paths(run: lab.Run) -> xr.Dataset:
    """Entropy and reward of asked and held-out questions along training, in every arm; one program.

    Args:
      run: the experiment.

    Returns:
      `entropy` and `reward`, `[arm, cosine, seed, step, asked]`.
    """
    worlds, model, bases = world.bases(run)
    trains, rest, adam, among, rule = (jnp.array(column) for column in zip(*ARMS.values(), strict=True))

    def one(cell: Any) -> dict[str, jax.Array]:
        base, key = jax.tree.map(lambda leaf: leaf[cell.seed], bases), jax.random.fold_in(run.key, cell.seed)
        same, params = kernel.alike(key, model, base, cell.cosine)
        rate = jnp.where(adam[cell.arm], ADAM, SGD)
        masks = world.masks(params, trains[cell.arm], rest[cell.arm])
        _, seen = world.trained(
            key,
            same,
            params,
            jax.tree.map(lambda leaf: leaf[among[cell.arm]], worlds),
            algorithm=switch(rule[cell.arm], list(RULES.values())),
            optimizer=parts.masked(rl.sgd_or_adam(adam[cell.arm])(rate), masks),
            steps=run(STEPS),
            every=EVERY,
        )
        return seen

    axes = {"arm": range(len(ARMS)), "cosine": run(COSINES), "seed": range(run(world.SEEDS))}
    seen = lab.cells(
        one,
        axes=axes,
        dims=dict.fromkeys(("entropy", "reward"), ("step", "asked")),
        coords={"step": np.arange(0, run(STEPS) + 1, EVERY)},
        block=1,
        say=run.say,
    )
    seen = seen.where(seen.status == 0).drop_vars("status")
    return seen.assign_coords(arm=list(ARMS), asked=["asked", "held out"])


def single_steps(run: lab.Run) -> xr.Dataset:
    """One step of GRPO: predicted and actual change in held-out contexts; rewarded tokens; cosines of features.

    Args:
      run: the experiment.

    Returns:
      `r2` `[cosine, seed, rate, by]`, `missed` `[cosine, seed, rate]`, `least` `[cosine, seed, through, token]`,
      `cosine_of_features` `[cosine, seed, place]`.
    """
    worlds, model, bases = world.bases(run)
    task = jax.tree.map(lambda leaf: leaf[0], worlds)
    asked, held = (world.choice(task, part) for part in (slice(world.HALF), slice(world.HALF, None)))
    shown = task.demonstrations()
    every = kernel.Contexts(shown.questions, shown.tokens[:, : world.PATTERNS])
    tokens = task.first_pattern + jnp.arange(world.PATTERNS)

    def one(cell: Any) -> dict[str, jax.Array]:
        base, key = jax.tree.map(lambda leaf: leaf[cell.seed], bases), jax.random.fold_in(run.key, cell.seed)
        same, params = kernel.alike(key, model, base, cell.cosine)
        return one_step(key, same, params, asked, held, tokens, jnp.asarray(SMALL)) | {
            "cosine_of_features": cosines(same, params, every, PLACES)
        }

    axes = {"cosine": run(COSINES), "seed": range(run(world.SEEDS))}
    dims = {
        "r2": ("rate", "by"),
        "missed": ("rate",),
        "least": ("through", "token"),
        "cosine_of_features": ("place",),
    }
    coords = {"rate": SMALL, "by": ["R + G", "R", "G"], "through": ["R", "R + G"], "place": list(PLACES)}
    return lab.cells(one, axes=axes, dims=dims, coords=coords | {"token": ["rewarded", "another"]}, block=1)

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
from qra_jax.studies.weights._one_step import cosines, influences, one_step, unsplit
from qra_jax.transformer import kernel, parts, rl

EVERY = 10
STEPS = lab.scale(30, 80)
COSINES = lab.scale((0.0, 0.5, 0.99), (0.0, 0.3, 0.6, 0.9, 0.99))
"""c, mean cosine of the marks."""
SHARE = 0.9
"""Of the marks in the squared norm of features."""
RULES = {
    "GRPO": grpo(world.GROUP),
    "rewards alone": filtered_sft(group_size=world.GROUP),
    "punishments alone": filtered_sft("negative", group_size=world.GROUP),
}
ALONE, EVERYTHING, ADAPTIVE, REST = "unembedding", "everything", "everything, Adam", "all but the unembedding"
EVEN = {ALONE: "even", EVERYTHING: "even, everything", ADAPTIVE: "even, everything, Adam"}
"""Arms in which every pattern is the best one of as many asked questions, by what trains."""
ONE, REWARDS, PUNISHMENTS = "one best pattern", "rewards alone", "punishments alone"
ARMS = {
    ALONE: (True, False, False, 0, 0),
    EVERYTHING: (True, True, False, 0, 0),
    ADAPTIVE: (True, True, True, 0, 0),
    REST: (False, True, False, 0, 0),
    EVEN[ALONE]: (True, False, False, 1, 0),
    EVEN[EVERYTHING]: (True, True, False, 1, 0),
    EVEN[ADAPTIVE]: (True, True, True, 1, 0),
    ONE: (True, False, False, 2, 0),
    REWARDS: (True, False, False, 0, 1),
    PUNISHMENTS: (True, False, False, 0, 2),
}
"""Whether W trains, the rest trains, Adam is used; which of `world.WORLDS`, which rule of `RULES`."""
SGD, ADAM = 0.1, 1e-3
"""Learning rates."""
SMALL = (0.01, 0.02, 0.04, 0.08)
"""Learning rates of a single step."""
PLACES = {"pattern": slice(0, 1), "answer": slice(2, 3), "all": slice(None)}
BY = ("R + G", "R", "G")


def paths(run: lab.Run) -> xr.Dataset:
    """Entropy and reward of asked and held-out questions along training, in every arm; one program.

    Args:
      run: the experiment.

    Returns:
      `entropy` and `reward`, `[arm, cosine, seed, step, asked]`.
    """
    worlds, model, bases = world.bases(run)
    trains, rest, adam, among, rule = (jnp.array(column) for column in zip(*ARMS.values(), strict=True))
    network = world.marked(run.key, model, bases, run(COSINES), [SHARE] * len(run(COSINES)))

    def one(cell: Any) -> dict[str, jax.Array]:
        key, (same, params) = jax.random.fold_in(run.key, cell.seed), network(cell.seed, cell.cosine)
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

    axes = {"arm": range(len(ARMS)), "cosine": range(len(run(COSINES))), "seed": range(world.SEEDS)}
    seen = lab.cells(
        one,
        axes=axes,
        dims=dict.fromkeys(("entropy", "reward"), ("step", "asked")),
        coords={"step": np.arange(0, run(STEPS) + 1, EVERY)},
        block=1,
        say=run.say,
    )
    seen = seen.where(seen.status == 0).drop_vars("status")
    return seen.assign_coords(arm=list(ARMS), cosine=list(run(COSINES)), asked=["asked", "held out"])


def single_steps(run: lab.Run) -> xr.Dataset:
    """One step of GRPO: predicted and actual change in held-out contexts; rewarded tokens; cosines of features.

    Args:
      run: the experiment.

    Returns:
      `r2` `[cosine, seed, rate, by]`, `missed` `[cosine, seed, rate]`, `least` `[cosine, seed, through, token]`,
      `predicted` `[cosine, seed, by, held, question]`, `measured` `[cosine, seed, held, question]`,
      `unsplit` `[cosine, seed, by]`, `cosine_of_features` `[cosine, seed, place]`.
    """
    worlds, model, bases = world.bases(run)
    task = jax.tree.map(lambda leaf: leaf[0], worlds)
    asked, held = (world.choice(task, part) for part in (slice(world.HALF), slice(world.HALF, None)))
    shown = task.demonstrations()
    every = kernel.Contexts(shown.questions, shown.tokens[:, : world.PATTERNS])
    tokens, success = task.first_pattern + jnp.arange(world.PATTERNS), task.problem.success[world.HALF :]
    network = world.marked(run.key, model, bases, run(COSINES), [SHARE] * len(run(COSINES)))

    def one(cell: Any) -> dict[str, jax.Array]:
        key, (same, params) = jax.random.fold_in(run.key, cell.seed), network(cell.seed, cell.cosine)
        keys, options = jax.random.split(key, 3), (same, params, asked, held, tokens)
        return {
            **one_step(keys[0], *options, jnp.asarray(SMALL)),
            **influences(keys[1], *options, success, jnp.asarray(SMALL[0])),
            "unsplit": unsplit(keys[2], same, params, held, asked),
            "cosine_of_features": cosines(same, params, every, PLACES),
        }

    axes = {"cosine": range(len(run(COSINES))), "seed": range(world.SEEDS)}
    dims = {
        "r2": ("rate", "by"),
        "missed": ("rate",),
        "least": ("through", "token"),
        "predicted": ("by", "held", "question"),
        "measured": ("held", "question"),
        "unsplit": ("by",),
        "cosine_of_features": ("place",),
    }
    coords = {"rate": SMALL, "by": BY, "through": ["R", "R + G"], "place": list(PLACES)}
    seen = lab.cells(one, axes=axes, dims=dims, coords=coords | {"token": ["rewarded", "another"]}, block=1)
    return seen.assign_coords(cosine=list(run(COSINES)))

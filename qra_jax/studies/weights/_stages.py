"""Networks that are trained in two stages, and in one: what `classifier-first` reads."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

from qra_jax.algorithm import grpo
from qra_jax.studies import lab
from qra_jax.studies.weights import _bandits as world
from qra_jax.transformer import kernel, parts, probe

PLAIN, RESTARTED, FIRST, RESCALED = "plain", "plain, restarted", "classifier first", "‖W‖ put back"
FIRST_FIXED, PLAIN_FIXED = "classifier first, W₀ in G", "plain, W₀ in G"
ARMS = {
    PLAIN: (False, False, False, False),
    RESTARTED: (False, True, False, False),
    FIRST: (True, True, False, False),
    RESCALED: (True, True, True, False),
    FIRST_FIXED: (True, True, False, True),
    PLAIN_FIXED: (False, False, False, True),
}
"""Whether W trains alone at first, Adam starts afresh, ‖W‖ is put back, features learn through W₀."""
STEPS, SEVENTH, EVERY = lab.scale(28, 56), 7, 2
RATES = lab.scale((1e-3, 4e-3), (2.5e-4, 2e-3, 8e-3, 1.6e-2, 3.2e-2))
FEATURES = {"as they are": (0.0, 0.0), "apart": (0.9, 0.0), "alike": (0.9, 0.99)}
"""Share of marks in the squared norm of features, and mean cosine of the marks."""
SEEDS = lab.scale(6, 10)


def read_all(run: lab.Run) -> xr.Dataset:
    """Reward and entropy along training in every arm, at every rate; drift of features; one program.

    Args:
      run: the experiment.

    Returns:
      `entropy` and `reward` `[arm, rate, features, seed, step, asked]`, `drift` `[arm, rate, features, seed]`.
    """
    worlds, model, bases = world.bases(run)
    task = jax.tree.map(lambda leaf: leaf[0], worlds)
    alone, restart, rescale, fixed = (jnp.array(column) for column in zip(*ARMS.values(), strict=True))
    share, cosine = (jnp.array(column) for column in zip(*FEATURES.values(), strict=True))
    steps, fields = run(STEPS), ("vocabulary", "width", "depth", "heads", "hidden")

    def one(cell: Any) -> dict[str, jax.Array]:
        base, key = jax.tree.map(lambda leaf: leaf[cell.seed], bases), jax.random.fold_in(run.key, cell.seed)
        same, params = kernel.alike(key, model, base, cosine[cell.features], share[cell.features])
        network = kernel.FixedFeedback(
            **{name: getattr(same, name) for name in (*fields, "marked", "marks")},
            feedback=params["unembedding"]["kernel"],
            fixed=fixed[cell.arm],
        )
        optimizer = parts.staged(
            optax.adam(cell.rate),
            jnp.asarray(steps // SEVENTH),
            restart=restart[cell.arm],
            rescale=rescale[cell.arm],
            alone=alone[cell.arm],
        )
        last, seen = world.trained(
            key,
            network,
            params,
            task,
            algorithm=grpo(world.GROUP),
            optimizer=optimizer,
            steps=steps,
            every=EVERY,
        )
        moved = probe.change(same, params, last, *world.choice(task))
        return seen | {"drift": 1 - jnp.mean(moved.similarity)}

    axes = {
        "arm": range(len(ARMS)),
        "rate": run(RATES),
        "features": range(len(FEATURES)),
        "seed": range(run(SEEDS)),
    }
    dims = {"entropy": ("step", "asked"), "reward": ("step", "asked")}
    coords = {"step": np.arange(0, steps + 1, EVERY)}
    seen = lab.cells(one, axes=axes, dims=dims, coords=coords, block=1, say=run.say)
    seen = seen.where(seen.status == 0).drop_vars("status")
    return seen.assign_coords(arm=list(ARMS), features=list(FEATURES), asked=["asked", "held out"])

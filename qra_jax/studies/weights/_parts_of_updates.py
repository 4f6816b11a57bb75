"""Accuracies of networks that are made of parts of an update: what `rank-one` reads."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._reference import (
    SIZE,
    TASKS,
    accuracies,
    bases,
    joined,
    model_of,
    pairs,
    reference,
)
from qra_jax.transformer import weights
from qra_jax.transformer.weights.parts import MATRICES

LAMBDAS = (0.3, 0.5, 0.7, 1.0, 1.4, 2.0)
FIRST, SECOND, RANDOM, WITHOUT = (
    "first direction",
    "second direction",
    "random direction",
    "without the first",
)
MATRICES_ONLY, REST_ONLY, WITH_REST, OWN = (
    "matrices",
    "the rest",
    "first direction and the rest",
    "first, its own norm",
)
ALMOST = "all but the last direction, and the rest"
NETWORKS = (FIRST, SECOND, RANDOM, WITHOUT, MATRICES_ONLY, REST_ONLY, WITH_REST, OWN, ALMOST)
UPDATES = ("own", "Gaussian", "Gaussian, again")


def networks(key: jax.Array, base: Any, tuned: Any) -> dict[str, Any]:
    """Networks made of parts of an update."""
    build, least = weights.low_rank.rebuilt, min(x.shape[-2] for x in weights.parts.select(base).values())
    matrices = weights.parts.graft(base, tuned, MATRICES)
    return {
        FIRST: build(base, tuned),
        SECOND: build(base, tuned, first=1, last=2),
        RANDOM: weights.low_rank.rebuilt_at_random(key, base, tuned),
        WITHOUT: build(base, tuned, first=1, last=None),
        MATRICES_ONLY: matrices,
        REST_ONLY: weights.parts.graft(tuned, base, MATRICES),
        WITH_REST: build(base, tuned, rest="tuned"),
        OWN: build(base, tuned, scale="own"),
        ALMOST: build(base, tuned, last=least - 1, scale="own", rest="tuned"),
    }


def read_all(run: lab.Run, arms: tuple[str, ...]) -> xr.Dataset:
    """Accuracies of all networks, of every arm and base at the checkpoint with half of the gain of GRPO with Adam.

    Args:
      run: the experiment.
      arms: of the reference runs.

    Returns:
      `made` `[task, arm, seed, network]`, `scaled` `[task, arm, seed, scale]`, `share` of the norm that the first
      direction has `[task, arm, seed, update]`, `base`, `tuned` `[task, arm, seed]`, `goal` `[task, seed]`.
    """
    size, parts = run(SIZE), {}
    for task in run(TASKS):
        courses, accuracy = reference(run, task, arms, size), accuracies(task, model_of(task, size))
        at = {arm: course.matched(courses["GRPO, Adam"].half) for arm, course in courses.items()}

        def read(key: jax.Array, base: Any, tuned: Any, accuracy: Any = accuracy) -> dict[str, jax.Array]:
            made = [*networks(key, base, tuned).values()]
            made += [weights.low_rank.rebuilt(base, tuned, scale=scale) for scale in LAMBDAS]
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *made)
            found = jax.lax.map(lambda params: accuracy(params)[0], stacked)
            twins = [weights.twin.gaussian(jax.random.fold_in(key, i), base, tuned) for i in (1, 2)]
            shares = [
                jnp.stack([weights.spectra.top_share(x) for x in weights.parts.select(change).values()])
                for change in (weights.parts.update(base, other) for other in (tuned, *twins))
            ]
            scaled = found[len(NETWORKS) :]
            return {
                "made": found[: len(NETWORKS)],
                "scaled": scaled,
                "share": jnp.mean(jnp.stack(shares), axis=1),
            }

        tuned = {arm: course.at(at[arm]) for arm, course in courses.items()}
        seen = pairs(read, run.key, bases(run, task, size), tuned)
        rows = np.arange(size.bases)
        seen |= {"base": np.stack([course.accuracy[:, 0] for course in courses.values()])}
        seen |= {"tuned": np.stack([course.accuracy[rows, at[arm]] for arm, course in courses.items()])}
        dims = {"made": ("network",), "scaled": ("scale",), "share": ("update",)}
        found = {name: (("arm", "seed", *dims.get(name, ())), x) for name, x in seen.items()}
        coords = {
            "arm": list(courses),
            "network": list(NETWORKS),
            "scale": list(LAMBDAS),
            "update": list(UPDATES),
        }
        parts[task] = lab.dataset(found | {"goal": (("seed",), courses["GRPO, Adam"].half)}, coords)
    return joined(parts)

"""Accuracies of networks that are made of parts of an update: what `rank-one` reads."""

from __future__ import annotations

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax.studies import lab
from qra_jax.studies.weights._reference import (
    LEAST,
    SIZE,
    TASKS,
    accuracies,
    bases,
    equal_gain,
    joined,
    model_of,
    pairs,
    reference,
)
from qra_jax.transformer import weights
from qra_jax.transformer.model import Params
from qra_jax.transformer.weights import decompositions, masks
from qra_jax.transformer.weights.parts import KINDS, MATRICES

LAMBDAS = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0)
END, EQUAL = "the end", "equal gain"
FIRST, SECOND, RANDOM, WITHOUT = (
    "first direction",
    "second direction",
    "random direction",
    "without the first",
)
LAST, ENTRIES = "last tenth of the directions", "random tenth of the entries"
MATRICES_ONLY, REST_ONLY, WITH_REST = "matrices", "the rest", "first direction and the rest"
HALF_REST, NO_NORMS = "half of the directions, and the rest", "all but the norms"
PARTS = (FIRST, SECOND, RANDOM, WITHOUT, LAST, ENTRIES, MATRICES_ONLY)
NETWORKS = (*PARTS, REST_ONLY, WITH_REST, HALF_REST, NO_NORMS)
"""Parts of the matrices' updates at the norm of the whole update, everything else at base; networks that have more."""
DIRECTIONS = (FIRST, SECOND, RANDOM)
"""Whose length is varied."""
UPDATES = ("own", "Gaussian", "Gaussian, again", "shuffled")


def parts_of(key: Array, delta: Array) -> dict[str, Array]:
    """Parts of the update of one matrix, as `weights.low_rank` makes them, by one decomposition.

    Args:
      key: PRNG key of random directions and entries.
      delta: `[rows, cols]`.

    Returns:
      `PARTS`, each as long as the update, and `HALF_REST`, half of the directions as they are.
    """
    u, sigma, v = decompositions.singular(delta)
    side = len(sigma)

    def some(first: int, last: int) -> Array:
        return (u[:, first:last] * sigma[None, first:last]) @ v[first:last]

    found = {FIRST: some(0, 1), SECOND: some(1, 2), WITHOUT: some(1, side)}
    found[LAST] = some(side - max(1, round(side / 10)), side)
    found[RANDOM] = weights.low_rank.random_part(key, delta)
    found[ENTRIES] = jnp.where(masks.at_random(jax.random.fold_in(key, 1), delta.shape, 0.1), delta, 0.0)
    found = {name: weights.low_rank.lengthened(part, delta) for name, part in found.items()}
    return found | {MATRICES_ONLY: delta, HALF_REST: some(0, side // 2)}


def networks(key: Array, base: Params, tuned: Params) -> tuple[dict[str, Params], list[Params]]:
    """Networks made of parts of an update: `NETWORKS`, and those of `DIRECTIONS` × `LAMBDAS`."""
    before, change = (weights.parts.select(x) for x in (base, weights.parts.update(base, tuned)))
    parts = {
        name: parts_of(jax.random.fold_in(key, i), delta) for i, (name, delta) in enumerate(change.items())
    }

    def built(part: str, rest: Params, scale: float = 1.0) -> Params:
        own = {name: before[name] + scale * parts[name][part] for name in parts}
        return weights.parts.grown(weights.parts.flat(rest) | own)

    made = {name: built(name, base) for name in PARTS}
    made[REST_ONLY] = weights.parts.graft(tuned, base, MATRICES)
    made |= {WITH_REST: built(FIRST, tuned), HALF_REST: built(HALF_REST, tuned)}
    made[NO_NORMS] = weights.parts.graft(base, tuned, [kind for kind in KINDS if kind != "norm"])
    return made, [built(name, base, scale) for name, scale in product(DIRECTIONS, LAMBDAS)]


def _norms(key: Array, change: dict[str, Array]) -> Array:
    """Share of the norm on the first direction, mean over matrices, `[update]`."""
    rows = []
    for i, delta in enumerate(change.values()):
        keys = jax.random.split(jax.random.fold_in(key, i), 3)
        noise = [jax.random.normal(own, delta.shape) for own in keys[:2]]
        shuffled = jax.random.permutation(keys[2], delta.ravel()).reshape(delta.shape)
        rows.append(weights.spectra.top_share(jnp.stack([delta, *noise, shuffled])))
    return jnp.mean(jnp.stack(rows), axis=0)


def read_all(run: lab.Run, arms: tuple[str, ...]) -> xr.Dataset:
    """Accuracies of all networks, of every arm and base, at the end and where it has half of the gain of GRPO.

    Args:
      run: the experiment.
      arms: of the reference runs, GRPO with Adam among them.

    Returns:
      `made` `[task, at, arm, seed, network]`, `scaled` `[task, at, arm, seed, direction, scale]`, `share` of the norm
      that the first direction has `[task, at, arm, seed, update]`, `base` and `tuned` `[task, at, arm, seed]`, and
      whether a run can be `compared`: it has gained, or has the gain asked for; the `rate` `[task, arm]`.
    """
    size, parts = run(SIZE), {}
    for task in run(TASKS):
        courses, accuracy = reference(run, task, arms, size), accuracies(task, model_of(task, size))
        equal, rows = equal_gain(courses), np.arange(size.bases)
        at = {END: dict.fromkeys(courses, np.full(size.bases, -1)), EQUAL: equal.at}

        def read(key: Array, base: Any, tuned: Any, accuracy: Any = accuracy) -> dict[str, Array]:
            made, scaled = networks(key, base, tuned)
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *made.values(), *scaled)
            found = jax.lax.map(lambda params: accuracy(params)[0], stacked)
            change = weights.parts.select(weights.parts.update(base, tuned))
            return {
                "made": jnp.stack([found[list(made).index(name)] for name in NETWORKS]),
                "scaled": found[len(made) :].reshape(len(DIRECTIONS), len(LAMBDAS)),
                "share": _norms(jax.random.fold_in(key, len(change)), change),
            }

        tuned = {f"{when}: {arm}": c.at(at[when][arm]) for when in at for arm, c in courses.items()}
        seen = pairs(read, run.key, bases(run, task, size), tuned)
        seen = {name: x.reshape(len(at), len(courses), *x.shape[1:]) for name, x in seen.items()}
        start = np.stack([course.accuracy[:, 0] for course in courses.values()])
        reached = np.stack([[c.accuracy[rows, at[when][arm]] for arm, c in courses.items()] for when in at])
        gained = np.stack([reached[0] - start > LEAST, equal.near.values])
        seen |= {"base": np.stack([start] * len(at)), "tuned": reached, "compared": gained}
        dims = {"made": ("network",), "scaled": ("direction", "scale"), "share": ("update",)}
        found: dict[str, Any] = {
            name: (("at", "arm", "seed", *dims.get(name, ())), x) for name, x in seen.items()
        }
        coords = {"at": list(at), "arm": list(courses), "network": list(NETWORKS), "scale": list(LAMBDAS)}
        coords |= {"direction": list(DIRECTIONS), "update": list(UPDATES)}
        found["rate"] = (("arm",), [course.rate for course in courses.values()])
        parts[task] = lab.dataset(found, coords)
    return joined(parts)

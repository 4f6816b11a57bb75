"""What measures of linearity say of weights in which nothing is learnt, at the sizes of the papers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import xarray as xr
from jaxtyping import Array

from qra_jax.studies import lab
from qra_jax.transformer.weights import linearity, pls

CHECKPOINTS, WIDTH, SHORT = 27, 5000, 4
"""Checkpoints of a run, and entries of vectors that accuracy is fitted to: those of a large matrix, and few."""
LONG, CONTROL = "long", "control"
"""Vectors of `WIDTH` entries; white noise of `SHORT` entries, and random walks with their checkpoints permuted."""
STEPS, WEIGHTS = 75, 20_000
KINDS = {"white noise": linearity.white_noise, "random walk": linearity.random_walk}
MEASURES = ("energy of one direction", "R² of its line", "straight weights")
SEEDS = lab.scale(8, 16)


def read_all(run: lab.Run) -> xr.Dataset:
    """White noise and random walks, no network trained.

    Args:
      run: the experiment.

    Returns:
      `fit` `[seed, kind, vectors]`, R² of PLS of a rising accuracy, and `line` `[seed, kind, measure]`,
      of `WEIGHTS` weights over `STEPS` steps.
    """
    times, steps = jnp.arange(1.0 + CHECKPOINTS), jnp.arange(1.0 + STEPS)
    accuracy = -jnp.expm1(-times[1:] / CHECKPOINTS)

    def one(key: Array) -> dict[str, Array]:
        fit, line = [], []
        for i, (name, make) in enumerate(KINDS.items()):
            keys = jax.random.split(jax.random.fold_in(key, i), 4)
            long = make(keys[1], times, (WIDTH,))[1:]
            mixed = jax.random.permutation(keys[2], long)
            control = mixed if name == "random walk" else make(keys[3], times, (SHORT,))[1:]
            fit.append(jnp.stack([pls.regression(vectors, accuracy).r2 for vectors in (long, control)]))
            path = make(keys[0], steps, (WEIGHTS,))
            first = linearity.direction(linearity.gram(path[1:]), steps[1:])
            straight = jnp.mean(linearity.r2(path, steps) > 0.7)
            line.append(jnp.stack([first.energy, first.r2, straight]))
        return {"fit": jnp.stack(fit), "line": jnp.stack(line)}

    keys = jax.random.split(run.key, run(SEEDS))
    found = jax.jit(lambda keys: jax.lax.map(one, keys))(keys)
    values = {"fit": (("seed", "kind", "vectors"), found["fit"])}
    values |= {"line": (("seed", "kind", "measure"), found["line"])}
    return lab.dataset(values, {"kind": list(KINDS), "vectors": [LONG, CONTROL], "measure": list(MEASURES)})

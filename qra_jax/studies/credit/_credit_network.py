"""Networks of the study of credit: mean and noise of one update, for networks that have learnt a tree."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array

from qra_jax import transformer
from qra_jax.algorithm import rloo
from qra_jax.batching import many
from qra_jax.studies import lab
from qra_jax.studies.credit import _credit_noise
from qra_jax.studies.credit._credit import GROUP, full
from qra_jax.transformer import learning, model as network
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.tree_task import TreeTask, tree_task
from qra_jax.tree import Tree
from qra_jax.tree.credit import Credit, exact, monte_carlo, uniform

WIDTH, CHANCES, WORTHS = 16, (0.2, 0.3, 0.5), (1.0, 0.5, 0.0)
"""Of the network; chances and worths of the three steps of every state, of which an answer has three."""
WAYS: dict[str, Credit] = {
    "uniform": uniform(),
    "exact": exact(),
    "MC-9": monte_carlo(9),
}


def task_of() -> TreeTask:
    """A tree in which the worths of steps add up, as a task."""
    shape = full(3, 3)
    worth = np.array([[WORTHS[step % 3] for step in path] for path in shape.paths]).mean(axis=1)
    chance = np.tile(np.log(CHANCES), len(shape.inner))
    return tree_task(
        Tree(shape, jnp.asarray(chance, jnp.float32), jnp.asarray(0.02 + 0.93 * worth, jnp.float32))
    )


def model_of(task: TreeTask) -> Model:
    """A small decoder for the task."""
    return transformer.Decoder(task.vocabulary, width=WIDTH, depth=1)


def learnt(*, seed: int, seeds: int, steps: int) -> Params:
    """Networks that have learnt the tree's base policy: AdamW on the exact cross-entropy of all paths, `[seeds]`."""
    task = task_of()
    model, shown = model_of(task), task.demonstrations()
    optimiser = optax.adamw(learning.cosine(6e-3, steps), b2=0.95, weight_decay=1e-4)

    def one(key: Array) -> Params:
        def step(state: Any, _: None) -> tuple[Any, None]:
            params, memory = state
            slope = jax.grad(lambda p: learning.cross_entropy(model, p, shown))(params)
            change, memory = optimiser.update(slope, memory, params)
            return (optax.apply_updates(params, change), memory), None

        fresh = network.init(key, model)
        return jax.lax.scan(step, (fresh, optimiser.init(fresh)), None, steps)[0][0]

    made = transformer.side_by_side(one)(jax.random.split(jax.random.key(seed), seeds))
    return jax.tree.map(np.asarray, made)


def moments(key: Array, params: Params, way: str, groups: int) -> dict[str, Array]:
    """Mean update of each half of some groups `[2, parameters]`, and the summed variance of a single group's `[2]`.

    Args:
      key: PRNG key.
      params: of one network.
      way: one of `WAYS`.
      groups: how many are sampled, each from the same network; even.
    """
    task = task_of()
    model = model_of(task)
    options: dict[str, Any] = {"steps": 1, "questions": 1, "learning_rate": 1.0, "optimizer": optax.sgd}

    def update(own: Array) -> Array:
        run = transformer.train(own, model, params, task, algorithm=rloo(GROUP), credit=WAYS[way], **options)
        change = jax.tree.map(jnp.subtract, run.params, params)
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(change)])

    every = jax.lax.map(update, jax.random.split(key, groups), batch_size=32)
    halves = every.reshape(2, groups // 2, -1)
    return {"mean": halves.mean(axis=1), "variance": jnp.sum(jnp.var(halves, axis=1, ddof=1), axis=-1)}


def predicted(params: Params) -> dict[str, float]:
    """Noise of one group's update of the tabular policy that has the network's step probabilities, by credit."""
    task = task_of()
    log_policy = np.asarray(task.steps(model_of(task), params).log_policy[0], float)
    at = _credit_noise.state(task.tree.shape, np.exp(log_policy), np.asarray(task.tree.success, float))
    return {way: _credit_noise.trace(at, way, GROUP) for way in WAYS}


def compared(key: Array, params: Params, groups: int) -> xr.Dataset:
    """Noise of one update by credit, that of the tabular policies, and squared distances of mean updates.

    Args:
      key: PRNG key.
      params: of networks, leading axis `[seeds]`.
      groups: sampled for each of them and each credit; distances take each half once, and so have no bias.
    """
    seeds = len(jax.tree.leaves(params)[0])
    keys, noise, means = jax.random.split(key, seeds), [], []
    for i, way in enumerate(WAYS):
        own = jax.vmap(partial(jax.random.fold_in, data=i))(keys)
        found = many(partial(moments, way=way, groups=groups), block=1)(own, params)
        noise.append(np.asarray(found["variance"], float))
        means.append(np.asarray(found["mean"], float))
    theory = [predicted(jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), params)) for i in range(seeds)]

    def product(x: np.ndarray) -> np.ndarray:
        return np.sum(x[:, 0] * x[:, 1], axis=-1)

    size = product(means[0])
    variables = {
        "noise": (("credit", "seed", "half"), noise),
        "predicted": (("credit", "seed"), [[one[way] for one in theory] for way in WAYS]),
        "apart": (("values", "seed"), [product(one - means[0]) / size for one in means[1:]]),
        "another": ("seed", product(np.roll(means[0], 1, axis=0) - means[0]) / size),
    }
    return lab.dataset(variables, {"credit": list(WAYS), "values": list(WAYS)[1:]})

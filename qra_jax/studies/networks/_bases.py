"""Base networks of the studies in networks: trained once, through the bank, and used by every arm and study.

    bases = run.bank.get(learnt, (task,), model, seed=run.seed, seeds=8, steps=300)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qra_jax import transformer
from qra_jax.transformer import learning, model as network
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.task import Controlled, Demonstrations


def learnt(
    tasks: Sequence[Controlled], model: Model, *, seed: int, seeds: int, steps: int, rate: float = 6e-3
) -> Params:
    """Networks that have learnt the corpora of some tasks: AdamW on the expected cross-entropy of all questions.

    Tasks differ in numbers alone (shares, success rates), so that one compiled program learns all of them. Networks of
    the same seed start from the same random parameters.

    Args:
      tasks: whose demonstrations are learnt.
      model: the network.
      seed: of all random numbers.
      seeds: networks for each task.
      steps: number of updates.
      rate: peak of the cosine schedule of the learning rate.

    Returns:
      Parameters, leading axes `[tasks, seeds]`.
    """
    optimiser = optax.adamw(learning.cosine(rate, steps), b2=0.95, weight_decay=1e-4)

    def one(key: jax.Array, task: Controlled) -> Params:
        def step(state: Any, index: jax.Array) -> tuple[Any, None]:
            params, memory = state
            shown = task.demonstrations(jax.random.fold_in(key, index), task.number)
            slope = jax.grad(lambda p: learning.cross_entropy(model, p, shown))(params)
            change, memory = optimiser.update(slope, memory, params)
            return (optax.apply_updates(params, change), memory), None

        fresh = network.init(jax.random.fold_in(key, steps), model)
        return jax.lax.scan(step, (fresh, optimiser.init(fresh)), jnp.arange(steps))[0][0]

    keys = jnp.tile(jax.random.split(jax.random.key(seed), seeds), len(tasks))
    params = transformer.side_by_side(one)(keys, repeated(tasks, seeds))
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(len(tasks), seeds, *leaf.shape[1:]), params)


def tuned(model: Model, params: Params, corpus: Demonstrations, *, steps: Any, rate: Any) -> Params:
    """One network after supervised fine-tuning by Adam on the expected cross-entropy of a corpus.

    Args:
      model: the network.
      params: where it starts.
      corpus: what it is shown at every step.
      steps: number of updates; may be traced.
      rate: learning rate, or a schedule of it.

    Returns:
      Its parameters.
    """
    adam = optax.adam(rate)

    def step(_: Any, state: Any) -> Any:
        params, memory = state
        slope = jax.grad(lambda p: learning.cross_entropy(model, p, corpus))(params)
        change, memory = adam.update(slope, memory, params)
        return optax.apply_updates(params, change), memory

    return jax.lax.fori_loop(0, steps, step, (params, adam.init(params)))[0]


def repeated(trees: Sequence[Any], times: int) -> Any:
    """Pytrees with leading axis `[trees × times]`, each as often as is said."""
    return jax.tree.map(lambda *leaves: np.repeat(np.stack(leaves), times, axis=0), *trees)

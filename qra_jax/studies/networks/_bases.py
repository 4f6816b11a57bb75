"""Base networks of the studies in networks: trained once, through the bank, and used by every arm and study.

bases = run.bank.get(learnt, (task,), model, seed=run.shared_seed, seeds=8, steps=300)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qra_jax import transformer
from qra_jax.algorithm import grpo
from qra_jax.transformer import learning, model as network, rl
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


def trained(
    key: jax.Array,
    model: Model,
    params: Params,
    task: Controlled,
    *,
    adam: jax.Array,
    rates: tuple[float, float],
    steps: int,
    every: int,
    group: int = 8,
) -> dict[str, jax.Array]:
    """One network trained by GRPO on all questions of a task that RL asks, read by teacher forcing along the way.

    Args:
      key: PRNG key.
      model: the network.
      params: where it starts.
      task: what it is asked; may be traced.
      adam: whether Adam is used, or plain gradient descent; may be traced.
      rates: learning rates of gradient descent and of Adam.
      steps: number of updates.
      every: steps between records.
      group: rollouts of a question.

    Returns:
      `policy` and `success`, `[times, questions, patterns]`, and the run's `status`.
    """
    shown = task.demonstrations()

    def look(params: Params) -> dict[str, jax.Array]:
        seen = transformer.read_out(model, params, shown)
        return {"policy": seen.policy, "success": seen.success}

    run = transformer.train(
        key,
        model,
        params,
        task,
        algorithm=grpo(group),
        steps=steps,
        questions=task.number - task.held_out,
        learning_rate=jnp.where(adam, rates[1], rates[0]),
        optimizer=rl.sgd_or_adam(adam),
        record_every=every,
        probe=look,
    )
    return run.seen | {"status": run.status}


RECORDED: dict[str, tuple[str, ...]] = dict.fromkeys(("policy", "success"), ("step", "question", "pattern"))
"""Dimensions of what [`trained`][] returns."""


def repeated(trees: Sequence[Any], times: int) -> Any:
    """Pytrees with leading axis `[trees × times]`, each as often as is said."""
    return jax.tree.map(lambda *leaves: jnp.repeat(jnp.stack(leaves), times, axis=0), *trees)

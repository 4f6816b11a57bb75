"""Evolution strategies: the same task and rewards, learned from perturbed parameters and no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _check
from qra_jax.transformer.model import Model, Params, status
from qra_jax.transformer.reward import SequenceReward, verifiable
from qra_jax.transformer.rl import Run, recorded, statistics
from qra_jax.transformer.sampling import sample
from qra_jax.transformer.task import Task


def evolve(
    key: Array,
    model: Model,
    params: Params,
    task: Task,
    *,
    steps: int,
    questions: int,
    learning_rate: float | Array,
    noise: float | Array = 1e-2,
    population: int = 30,
    group_size: int = 1,
    greedy: bool = True,
    reward: SequenceReward | None = None,
    block: int = 8,
    record_every: int = 1,
    probe: Callable[[Params], Any] | None = None,
) -> Run:
    r"""Ascend the reward of perturbed parameters.

    $$ \theta \leftarrow \theta + \frac{\eta}{M}\sum_{m=1}^M z_m\,\varepsilon_m,\qquad
       z_m = \frac{R_m-\bar R}{{\rm std}\,R},\quad R_m = R(\theta+\sigma\varepsilon_m),\ \varepsilon_m\sim N(0, I) $$

    Args:
      key: PRNG key.
      model: the network.
      params: where it starts.
      task: draws questions and verifies answers.
      steps: updates, ≥ 1.
      questions: N of a step, ≥ 1; all members answer the same.
      learning_rate: η ≥ 0.
      noise: σ > 0.
      population: M ≥ 2.
      group_size: answers of a member to each question, ≥ 1; more than one only adds something where they are sampled.
      greedy: take the likeliest tokens, or else sample.
      reward: of a sequence; default: the perfect verifier.
      block: members that are evaluated side by side.

    As for [`train`][qra_jax.transformer.rl.train]: `record_every`, `probe`.

    Returns:
      A `Run`; `silent` is the share of steps in which all members earned the same.

    Raises:
      ValueError: an argument out of range.

    Reference: Qiu et al., arXiv 2509.24372 (N = 30, σ = 1e-3, greedy); Salimans et al., arXiv 1703.03864.
    """
    for name, value in {
        "steps": steps,
        "questions": questions,
        "group_size": group_size,
        "block": block,
    }.items():
        _check.integer(name, value, low=1)
    _check.integer("population", population, low=2)
    _check.positive("noise", noise)
    _check.nonnegative("learning_rate", learning_rate)
    if steps % _check.integer("record_every", record_every, low=1):
        raise ValueError(f"record_every: {record_every}; must divide steps = {steps}")
    reward = reward or verifiable()

    def step(carry: tuple[Params], index: Array) -> tuple[tuple[Params], dict[str, Array]]:
        (params,) = carry
        keys = jax.random.split(jax.random.fold_in(key, index), 5)
        asked = task.draw(keys[0], questions)

        def member(number: Array) -> dict[str, Array]:
            own = jax.tree.map(lambda x, e: x + noise * e, params, _noise(keys[1], number, params))
            rollouts = sample(
                keys[2],
                model,
                own,
                asked,
                group=group_size,
                length=task.length,
                end=task.end,
                greedy=greedy,
            )
            verdict = task.verify(keys[3], asked, rollouts)
            return statistics(rollouts, verdict, reward(keys[4], rollouts, verdict))

        members = jnp.arange(population)
        seen = jax.lax.map(member, members, batch_size=min(block, population))
        earned = seen["reward"]
        spread = jnp.std(earned)
        silent = spread <= 8 * jnp.finfo(earned.dtype).eps * jnp.max(jnp.abs(earned))
        standard = jnp.where(silent, 0.0, (earned - jnp.mean(earned)) / jnp.where(silent, 1.0, spread))

        def add(total: Params, member: tuple[Array, Array]) -> tuple[Params, None]:
            number, weight = member
            noise = _noise(keys[1], number, params)
            return jax.tree.map(
                lambda t, e: t + (weight / population).astype(t.dtype) * e, total, noise
            ), None

        total, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), (members, standard))
        params = jax.tree.map(lambda x, g: x + jnp.asarray(learning_rate, x.dtype) * g, params, total)
        stats = {name: jnp.mean(value) for name, value in seen.items()}
        return (params,), stats | {"silent": silent.astype(earned.dtype)}

    times, (params,), seen, stats = recorded(step, (params,), steps, record_every, probe)
    return Run(times, params, seen, stats, status(params))


def _noise(key: Array, number: Array, params: Params) -> Params:
    """The perturbation of a member, made anew wherever it is needed instead of kept."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.fold_in(key, number), len(leaves))
    drawn = [jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, drawn)

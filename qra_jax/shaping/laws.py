"""Laws: what a rollout of each pattern earns, and how often; and the checks that shaped rewards share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array

from qra_jax import _check
from qra_jax.problem import Problem
from qra_jax.reward import Outcomes, Reward

Params = dict[str, Any]
Law = Callable[[Params, Problem, Array], Outcomes]


def mean(law: Law, params: Params, problem: Problem, log_policy: Array) -> Array:
    """What a rollout of each pattern earns on average under a law, `[patterns]`."""
    values, chances = law(params, problem, log_policy)
    return jnp.sum(values * chances, axis=-1)


def made(name: str, reward: Reward, params: Params, law: Law) -> Reward:
    """A real-valued reward with this law, fixed as far as the reward that it is made of is."""
    return Reward(name, partial(mean, law), False, reward.fixed, params, spread=law)


def single(reward: Any) -> Reward:
    """A reward whose rollouts earn what they do whatever the others of their group answer."""
    _check.part("reward", reward, Reward)
    if reward.by_vote:
        raise ValueError(
            f"reward: {reward.name!r} is the verdict of a group; must be a reward of single rollouts"
        )
    return reward


def verdict(reward: Any) -> Reward:
    """A reward that says right or wrong of a single rollout."""
    if not single(reward).binary:
        raise ValueError(f"reward: {reward.name!r} is real-valued; must be binary, a verdict on the answer")
    return reward


def row(name: str, values: Any, check: Callable[..., Any]) -> Any:
    """One number for each pattern: plain numbers as a list of them, which can be written down; traced as an array."""
    if isinstance(values, (list, tuple)) and any(isinstance(one, Tracer) for one in values):
        return jnp.stack([jnp.asarray(check(f"{name}[{i}]", one)) for i, one in enumerate(values)])
    checked = check(name, values)
    if jnp.ndim(checked) != 1:
        raise ValueError(f"{name}: shape {jnp.shape(checked)}; must have 1 dimension")
    return checked if isinstance(checked, Tracer) else checked.tolist()


def of(name: str, params: Params, problem: Problem) -> Array:
    """A parameter with one number for each pattern of a problem, in its dtype."""
    row = jnp.asarray(params[name], problem.log_ref.dtype)
    if row.shape != problem.log_ref.shape[-1:]:
        raise ValueError(
            f"{name}: shape {row.shape}; must be ({problem.patterns},), one number for each pattern"
        )
    return row

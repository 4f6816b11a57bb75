"""Several rewards at once: their sum, and each normalised by itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _check
from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem
from qra_jax.registry import REWARDS
from qra_jax.reward import Outcomes, Reward
from qra_jax.shaping.laws import Params, mean, row, single


@REWARDS.enter("several")
def several(rewards: Sequence[Reward], weights: Sequence[Any] | Array | None = None) -> Reward:
    r"""The weighted sum of several rewards, $R' = \sum_k w_k R_k$, drawn independently given the pattern.

    An algorithm that divides by a standard deviation then divides by that of the sum; [`separately`][] divides each
    reward by its own.

    Args:
      rewards: at least one; none that votes.
      weights: `[rewards]`, w, finite; default: ones.

    Returns:
      A real-valued `Reward`.

    Raises:
      ValueError: no rewards, one that votes, or weights that do not fit or are not finite.

    Reference: Liu et al., arXiv 2601.05242 (the baseline of GDPO).
    """
    parts = _check.parts("rewards", rewards, Reward)
    if not parts:
        raise ValueError("rewards: none; must be at least one Reward")
    shares = row("weights", [1.0] * len(parts) if weights is None else weights, _check.finite)
    if len(shares) != len(parts):
        raise ValueError(f"weights: length {len(shares)}; must be {len(parts)}, one for each reward")
    params = {"rewards": tuple(map(single, parts)), "weights": shares}
    name = " + ".join(one.name for one in parts)
    fixed = all(one.fixed for one in parts)
    return Reward(name, partial(mean, _sum), False, fixed, params, spread=_sum)


def _sum(params: Params, problem: Problem, log_policy: Array) -> Outcomes:
    parts, chances = _parts(params, problem, log_policy)
    weights = jnp.asarray(params["weights"], parts.dtype)
    return parts @ weights, chances


def _parts(params: Params, problem: Problem, log_policy: Array) -> tuple[Array, Array]:
    """What each of several rewards pays, `[patterns, outcomes, rewards]`, and the chances, `[patterns, outcomes]`."""
    each = [one.outcomes(problem, log_policy) for one in params["rewards"]]
    rows = problem.patterns
    shape = (rows, *(values.shape[1] for values, _ in each))

    def spread(one: Array, place: int) -> Array:
        return one.reshape(rows, *(one.shape[1] if k == place else 1 for k in range(len(each))))

    parts = [
        jnp.broadcast_to(spread(values, k), shape).reshape(rows, -1) for k, (values, _) in enumerate(each)
    ]
    chances = reduce(jnp.multiply, [spread(chances, k) for k, (_, chances) in enumerate(each)])
    return jnp.stack(parts, axis=-1), jnp.broadcast_to(chances, shape).reshape(rows, -1)


def separately(algorithm: Algorithm, reward: Reward, problem: Problem) -> tuple[Algorithm, Reward]:
    r"""Weights of each of several rewards by itself, then summed: each is divided by its own standard deviation.

    $$ A_i = \sum_k w_k\,A^{(k)}_i,\qquad A^{(k)} = \text{the algorithm's weights of } (R_{k,1},\dots,R_{k,G}) $$

    With GRPO this is GDPO without its last division by the batch. In expectation the drifts of the single rewards add
    up, and there is no orbit. Rewards that sum to the same are told apart, so the reward that is returned is the sum up
    to a relative 1e-7 (float32: 1e-3); weights are exact.

    Args:
      algorithm: weighs by rewards alone, with a group size.
      reward: from [`several`][qra_jax.shaping.several], of rewards that do not depend on the policy.
      problem: one question.

    Returns:
      The algorithm and the reward to train with.

    Raises:
      ValueError: another reward, or one that depends on the policy; several questions; an algorithm without a group
        size, or one that weighs pairs, by length, by the batch, against a greedy rollout, or draws silent groups again.

    Reference: Liu et al., arXiv 2601.05242.
    """
    _check.part("algorithm", algorithm, Algorithm)
    _check.part("reward", reward, Reward)
    if "rewards" not in reward.params or not reward.fixed:
        raise ValueError(
            f"reward: {reward.name!r}; must be made by several(), of rewards that do not depend on the policy"
        )
    if problem.log_ref.ndim != 1:
        raise ValueError(
            f"problem: shape {problem.log_ref.shape}; must be one question, jax.vmap takes several"
        )
    if algorithm.group_size is None:
        raise ValueError(
            f"group_size: None; {algorithm.name} with rewards apart needs a finite one, 1 or above"
        )
    odd = algorithm.pairs or algorithm.batch or algorithm.uses_lengths or algorithm.greedy_baseline
    if odd or algorithm.resamples_silent:
        raise ValueError(f"algorithm: {algorithm.name}; must weigh the rewards of one group, each drawn once")
    if algorithm.binary_only and not all(one.binary for one in reward.params["rewards"]):
        raise ValueError(
            f"reward: {reward.name!r} with {algorithm.name}, which weighs right and wrong rollouts; each must be binary"
        )
    parts, chances = _parts(reward.params, problem, problem.log_ref)
    table = parts.reshape(-1, parts.shape[-1])
    weights = jnp.asarray(reward.params["weights"], table.dtype)
    tags = _tags(jax.lax.stop_gradient(table), jax.lax.stop_gradient(weights))
    apart = Algorithm(
        f"{algorithm.name}, rewards apart",
        _apart,
        algorithm.group_size,
        size=algorithm.size,
        params={"member": algorithm, "tags": tags, "table": table, "weights": weights},
    )
    law = {"values": tags.reshape(chances.shape), "chances": chances}
    return apart, Reward(f"{reward.name}, apart", partial(mean, _given), False, True, law, spread=_given)


def _tags(table: Array, weights: Array) -> Array:
    """The sum that each outcome earns, moved up a little where another outcome of other parts has the same."""
    total = table @ weights
    step = jnp.sqrt(jnp.finfo(total.dtype).eps) * jnp.maximum(1.0, jnp.max(jnp.abs(total)))
    order = jnp.argsort(total)
    ladder = jnp.arange(total.shape[0]) * step
    moved = jnp.zeros_like(total).at[order].set(jax.lax.cummax(total[order] - ladder) + ladder)
    alike = jnp.all(table[:, None] == table[None], axis=-1)
    return moved[jnp.argmax(alike, axis=-1)]


def _apart(params: Params, rewards: Array, where: Array | None) -> Array:
    outcome = jnp.argmin(jnp.abs(rewards[:, None] - params["tags"].astype(rewards.dtype)[None]), axis=-1)
    parts = params["table"].astype(rewards.dtype)[outcome]
    each = jax.vmap(lambda one: params["member"].weights(one, where), in_axes=1, out_axes=1)(parts)
    return each @ params["weights"].astype(rewards.dtype)


def _given(params: Params, problem: Problem, log_policy: Array) -> Outcomes:
    return params["values"], params["chances"]

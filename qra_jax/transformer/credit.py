r"""Credit on tokens: what each token of a sequence is paid for the answer at its end.

The sources are those of [`qra_jax.tree.credit`][], whose [`Credit`][qra_jax.tree.credit.Credit] is used here as it is:
a state $s_t$ is a question with the t tokens written so far, and the token written there is paid

$$ A_t = c\sum_{l\ge0}\lambda^l\delta_{t+l},\qquad \delta_t = \hat V(s_{t+1})-\hat V(s_t),\quad \hat V(s_T) = R. $$

The scale c is what the algorithm makes of one answer. With exact values it is the algorithm's clock c(ρ) at the exact
accuracy of the question, as in a tree. Elsewhere nobody knows ρ, and c is the weight that the rollout would have if it
were right less the weight it would have if it were wrong, the others of its group being as they are:
$A^+(j+1)-A^-(j)$ with j right ones among the others, which does not depend on the rollout, and whose mean is c(ρ). Both
ways the mean update is that of uniform credit under the same algorithm wherever $\hat V$ has no bias.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from qra_jax import _check
from qra_jax.algorithm import Algorithm
from qra_jax.off_policy import SEQUENCE_SURROGATES, OffPolicy
from qra_jax.training.parts import tables_by_size
from qra_jax.transformer.critic import critic_start as critic_start
from qra_jax.transformer.reward import SequenceReward, verifiable
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.task import Enumerable, Task
from qra_jax.transformer.values import Seen as Seen, same_prefix, segments, values as values
from qra_jax.tree.credit import Credit

TINY = 1e-8
"""Added to the standard deviation by which advantages are divided."""
_SINGLE = verifiable().function, verifiable(announced=False).function


def check(
    credit: Credit,
    task: Task,
    algorithm: Algorithm,
    reward: SequenceReward,
    off_policy: OffPolicy,
    token_mask: Any = None,
) -> None:
    """Refuse what a network has no meaning for.

    Args:
      credit: how tokens are paid.
      task: what is asked.
      algorithm: how rewards become weights.
      reward: what a sequence earns.
      off_policy: age of the rollouts.
      token_mask: which tokens the reward teaches.

    Raises:
      ValueError: a combination without meaning; the line names the argument.
    """
    _check.part("credit", credit, Credit)
    if not by_token(credit):
        return
    if token_mask is not None:
        raise ValueError("token_mask: given with credit of tokens; must be None, or credit uniform()")
    if off_policy.surrogate in SEQUENCE_SURROGATES:
        raise ValueError(
            f"surrogate: {off_policy.surrogate!r} with credit of tokens; must be one of single tokens, such as 'clip'"
        )
    if off_policy.mask_old_negatives is not None:
        raise ValueError("mask_old_negatives: given with credit of tokens; must be None, or credit uniform()")
    if credit.source == "return":
        return
    if credit.source == "process":
        raise ValueError(
            "credit: process() in a network, whose tasks have no process reward; must be another"
        )
    if credit.by_values and not off_policy.on_policy:
        raise ValueError(
            f"off_policy: {off_policy} with credit by values; must be on-policy, or credit.uniform()"
        )
    if reward.function not in _SINGLE:
        raise ValueError(f"reward: {reward.name!r} with credit of tokens; must be verifiable()")
    if algorithm.by_length or algorithm.batch is not None or algorithm.greedy_baseline:
        raise ValueError(
            f"algorithm: {algorithm.name} with credit of tokens; must be one that weighs a group by itself, free of "
            "lengths"
        )
    if algorithm.resamples_silent and credit.source != "exact":
        raise ValueError(
            f"algorithm: {algorithm.name} with credit from {credit.source}; must not resample, or credit.exact()"
        )
    if credit.source == "exact" and not isinstance(task, Enumerable):
        raise ValueError(
            f"credit: exact() in {type(task).__name__}, whose right sequences cannot be enumerated; must be "
            "monte_carlo() or critic()"
        )
    if credit.start is not None:
        raise ValueError(
            "start: given; must be None in a network, whose critic is a linear head that starts at zero"
        )
    late = [place for place in credit.bounds or () if place >= task.length]
    if late:
        raise ValueError(f"segments: {late[0]}; must be below the length of an answer, {task.length}")


def by_token(credit: Credit) -> bool:
    """Whether the tokens of a sequence may be paid differently."""
    return credit.source != "return" or credit.confident is not None


def weights(
    credit: Credit, algorithm: Algorithm, seen: Seen, estimate: Float[Array, "N G T"] | None
) -> Float[Array, "N G T"]:
    """What each token is paid.

    Args:
      credit: how, by values or among siblings.
      algorithm: with its group size.
      seen: what was sampled.
      estimate: `[N, G, T]`, values before each token; `None` for siblings.

    Returns:
      `[N, G, T]`.
    """
    if estimate is None:
        return among_siblings(algorithm, seen.rollouts, seen.rewards)
    paid = by_values(credit, estimate, seen.rewards, seen.rollouts.where)
    return paid * scale(credit, algorithm, seen.rewards, estimate)


def by_values(
    credit: Credit,
    values: Float[Array, "N G T"],
    rewards: Float[Array, "N G"],
    where: Bool[Array, "N G T"],
) -> Float[Array, "N G T"]:
    """Advantages of tokens by values, before the algorithm's scale.

    Args:
      credit: with its trace or segments, and whether to whiten.
      values: `[N, G, T]`, before each token.
      rewards: `[N, G]`, what stands after the last token.
      where: `[N, G, T]`, which tokens were sampled.

    Returns:
      `[N, G, T]`, 0 after the end.
    """
    length = values.shape[-1]
    places, which = segments(credit, length)
    values = values[..., places[which]]
    last = where & ~jnp.pad(where[..., 1:], ((0, 0), (0, 0), (0, 1)))
    after = jnp.where(last, rewards[..., None], jnp.roll(values, -1, axis=-1))
    delta = jnp.where(where, after - values, 0.0)
    if credit.bounds is None:
        gain = jnp.broadcast_to(jnp.asarray(credit.trace, values.dtype), (length,))
    else:  # the tokens of a segment are paid as one
        gain = jnp.asarray(~np.isin(np.arange(1, length + 1), places), values.dtype)

    def turn(later: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        here = at[0] + at[1] * later
        return here, here

    _, paid = jax.lax.scan(turn, jnp.zeros_like(rewards), (jnp.moveaxis(delta, -1, 0), gain), reverse=True)
    paid = jnp.moveaxis(paid, 0, -1)
    if credit.whiten:
        axes, number = (-2, -1), jnp.sum(where, axis=(-2, -1), keepdims=True)
        mean = jnp.sum(jnp.where(where, paid, 0.0), axis=axes, keepdims=True) / number
        variance = jnp.sum(jnp.where(where, (paid - mean) ** 2, 0.0), axis=axes, keepdims=True) / number
        paid = (paid - mean) / (jnp.sqrt(variance) + TINY)
    return jnp.where(where, paid, 0.0)


def scale(
    credit: Credit, algorithm: Algorithm, rewards: Float[Array, "N G"], values: Float[Array, "N G T"]
) -> Float[Array, "N _ 1"]:
    """What the algorithm makes of one answer: its clock at exact values, or the slope of each rollout's weight.

    Args:
      credit: whose source decides which.
      algorithm: with its group size.
      rewards: `[N, G]`, 0 or 1.
      values: `[N, G, T]`.

    Returns:
      `[N, 1, 1]` or `[N, G, 1]`.
    """
    if credit.source == "exact":
        mean = values[:, :1, :1]
        return algorithm.clock(mean).astype(values.dtype)
    others = jnp.round(jnp.sum(rewards, axis=-1, keepdims=True) - rewards).astype(int)
    return algorithm.speed_table().astype(values.dtype)[others][..., None]


def among_siblings(
    algorithm: Algorithm, rollouts: Rollouts, rewards: Float[Array, "N G"]
) -> Float[Array, "N G T"]:
    """Weights of tokens when each state has a group of its own: the sequences that begin alike.

    Args:
      algorithm: with its group size; its weights for fewer rollouts are used, too.
      rollouts: `[N, G, T]`.
      rewards: `[N, G]`, 0 or 1.

    Returns:
      `[N, G, T]`.

    Reference: Feng et al., arXiv 2505.10978 (GiGPO).
    """
    tables = tables_by_size(algorithm, rewards.shape[-1], rewards.dtype, joint=False)
    alike = same_prefix(rollouts.tokens, rollouts.tokens) & rollouts.where[:, None]
    number = jnp.sum(alike, axis=2)
    right = jnp.round(jnp.sum(jnp.where(alike, rewards[:, None, :, None], 0.0), axis=2)).astype(int)
    weights = jnp.where(rewards[..., None] > 0, tables.right[number, right], tables.wrong[number, right])
    return jnp.where(rollouts.where, weights, 0.0)


def trained(
    credit: Credit, weights: Float[Array, "N G"] | Float[Array, "N G T"], rollouts: Rollouts
) -> Float[Array, "N G"] | Float[Array, "N G T"]:
    """Weights without those of tokens that the policy writes with confidence.

    Args:
      credit: with its threshold.
      weights: `[N, G]` or `[N, G, T]`.
      rollouts: `[N, G, T]`.

    Returns:
      The weights as they are where there is no threshold, else `[N, G, T]`.
    """
    if credit.confident is None:
        return weights
    weights = weights[..., None] if weights.ndim == 2 else weights
    return jnp.where(jnp.exp(rollouts.own) < jnp.asarray(credit.confident, weights.dtype), weights, 0.0)

"""Algorithms that ascend the chance that one of several tries is right."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _check
from qra_jax.algorithm import clocks
from qra_jax.algorithm.base import Algorithm, Params, resolved_group, size_of
from qra_jax.registry import ALGORITHMS


@ALGORITHMS.enter(
    "pass_at_k",
    colors={"pass@k": "#7F3C8D"},
    trainers={"paper": "PKPO"},
    note="Stops learning once k tries are enough.",
)
def pass_at_k(k: int, group_size: int | None = None) -> Algorithm:
    r"""The pass@k objective $1-(1-\rho)^k$ by its unbiased estimator; clock $k(1-\rho)^{k-1}$.

    With s right among the other G − 1 rollouts, a right rollout weighs k and a wrong one
    $k\,[1-\binom{G-1-s}{k-1}/\binom{G-1}{k-1}]$, its share of luck. With padding, a group
    left with fewer than k rollouts has no estimate and weighs nothing.

    Args:
      k: number of tries, k ≥ 1.
      group_size: G ≥ k for the estimator; default: the exact objective.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: k < 1 or G < k.

    Reference: Walder and Karkhanis, arXiv 2505.15201 (PKPO), eq. 17–22.
    """
    k = _check.integer("k", k, low=1)
    group = resolved_group(group_size, low=k)
    return Algorithm(
        f"pass@{k}",
        _pkpo,
        group,
        clocks.pass_at_k,
        closed_log_clock=clocks.log_pass_at_k,
        binary_only=True,
        params={"k": float(k)},
    )


def _pkpo(params: Params, rewards: Array, where: Array | None) -> Array:
    k = jnp.asarray(params["k"], rewards.dtype)
    others = jnp.maximum(size_of(rewards, where), k) - 1
    wrong_others = others - (jnp.sum(rewards, where=where) - rewards)
    # log of C(wrong, k-1) / C(others, k-1); no k-1 wrong ones means luck is certain.
    enough = wrong_others >= k - 1
    wrong = jnp.where(enough, wrong_others, others)
    lgamma = jax.lax.lgamma
    log_miss = lgamma(wrong + 1) - lgamma(wrong - k + 2) - lgamma(others + 1) + lgamma(others - k + 2)
    luck = 1 - jnp.where(enough, jnp.exp(log_miss), 0.0)
    weights = k * (rewards + (1 - rewards) * luck)
    return jnp.where(size_of(rewards, where) < k, 0.0, weights)


@ALGORITHMS.enter(
    "grpo_passk",
    colors={"GRPO-pass@k": "#B39CD0"},
    trainers={"verl": "adv_estimator=grpo_passk"},
    note="Learns only from groups with a single right rollout: a cold start as REINFORCE's, then it stops.",
)
def grpo_passk(group_size: int, *, divide_by_std: bool = False) -> Algorithm:
    r"""GRPO-pass@k, $r_{\max} - r_{\rm second}$ to the best rollout and 0 to the others; clock $(1-\rho)^{G-1}$.

    Args:
      group_size: G ≥ 2.
      divide_by_std: divide by the sample standard deviation of the group, as verl does unless told otherwise; the
        clock is then $\sqrt G(1-\rho)^{G-1}$.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: G < 2.

    Reference: verl, `compute_grpo_passk_outcome_advantage`; clock *derived here*.
    """
    return Algorithm(
        "GRPO-pass@k",
        _best_minus_second,
        _check.group_size(group_size, low=2),
        params={"divide": float(divide_by_std)},
    )


def _best_minus_second(params: Params, rewards: Array, where: Array | None) -> Array:
    size = size_of(rewards, where)
    real = rewards if where is None else jnp.where(where, rewards, -jnp.inf)
    place = jnp.argmax(real)
    top = jnp.max(real)
    at_top = jnp.arange(rewards.shape[-1]) == place
    second = jnp.max(jnp.where(at_top, -jnp.inf, real))
    gap = jnp.where(size >= 2, top - second, 0.0)
    mean = jnp.mean(rewards, where=where)
    variance = jnp.mean((rewards - mean) ** 2, where=where) * size / jnp.maximum(size - 1, 1)
    std = jnp.sqrt(jnp.where(gap > 0, variance, 1.0))
    scale = jnp.where(jnp.asarray(params["divide"], rewards.dtype) > 0, std, 1.0)
    return jnp.where(at_top & (gap > 0), gap / scale, 0.0)


@ALGORITHMS.enter(
    "passk_training",
    colors={"pass@k training": "#7F3C8D"},
    trainers={"paper": "pass@k training, analytic advantage"},
    note="A standardised pass@k objective: fast on hard questions, all but still on easy ones.",
)
def passk_training(k: int, group_size: int) -> Algorithm:
    r"""Pass@k training: the best of k rollouts is the reward of a subgroup, standardised over all subgroups.

    With W wrong rollouts in the group, $\bar R = 1-\binom Wk/\binom Gk$ and $\sigma=\sqrt{\bar R(1-\bar R)}$,

    $$ A^+ = \frac{1-\bar R}{\sigma},\qquad
       A^- = \frac1\sigma\Bigl(1-\bar R-\binom{W-1}{k-1}\Big/\binom{G-1}{k-1}\Bigr), $$

    zero where all subgroups earn the same. The clock is that of the weights.

    Args:
      k: number of tries, k ≥ 1.
      group_size: G > k.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: k < 1, or G ≤ k.

    Reference: Chen et al., arXiv 2508.10751, §3.
    """
    k = _check.integer("k", k, low=1)
    group = _check.group_size(group_size, low=k + 1)
    return Algorithm(f"pass@{k} training", _passk_training, group, binary_only=True, params={"k": float(k)})


def _passk_training(params: Params, rewards: Array, where: Array | None) -> Array:
    k, size = jnp.asarray(params["k"], rewards.dtype), size_of(rewards, where)
    wrong = size - jnp.sum(rewards, where=where)
    none = _share_of_subsets(wrong, size, k)  # of the subgroups without a right rollout
    spread = jnp.sqrt(none * (1 - none))
    silent = (spread <= 0) | (size < k)
    scale = jnp.where(silent, 1.0, spread)
    unlucky = _share_of_subsets(wrong - 1, size - 1, k - 1)
    weights = (none - (1 - rewards) * unlucky) / scale
    return jnp.where(silent, 0.0, weights)


def _share_of_subsets(some: Array, total: Array, k: Array) -> Array:
    """C(some, k)/C(total, k): the share of the subsets of k that lie within `some` of `total`."""
    lgamma = jax.lax.lgamma
    enough = (some >= k) & (total >= k)
    part, whole = jnp.where(enough, some, k), jnp.where(enough, total, k)
    log_share = lgamma(part + 1) - lgamma(part - k + 1) - lgamma(whole + 1) + lgamma(whole - k + 1)
    return jnp.where(enough, jnp.exp(log_share), 0.0)

"""Algorithms that learn from the accepted rollouts: filtered SFT, and the way from it to expected reward."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _check
from qra_jax.algorithm import clocks
from qra_jax.algorithm.base import Algorithm, Params, resolved_group
from qra_jax.registry import ALGORITHMS


@ALGORITHMS.enter(
    "filtered_sft",
    colors={
        "filtered SFT": "#009E73",
        "filtered SFT⁺": "#009E73",
        "filtered SFT (per accepted)": "#00563F",
        "filtered SFT⁻": "#7FCFB8",
        "filtered SFT±": "#4D8C00",
    },
    trainers={"papers": "STaR, RFT, NSR, F-ISFT"},
    note="REINFORCE's orbit; averaged over the accepted rollouts alone it is maximum likelihood.",
)
def filtered_sft(
    keep: str = "positive",
    *,
    per: str = "rollout",
    group_size: int | None = None,
    negative_weight: float | Array = 1.0,
) -> Algorithm:
    r"""Iterated SFT on filtered rollouts: $A = R$ (positive), $-(1-R)$ (negative), $R - w(1-R)$ (both).

    Averaged per rollout the clocks are 1, 1 and 1 + w; averaged over the accepted rollouts only,
    $A_i = R_i/\bar R$ and the clock is $1/\rho$, times $1-(1-\rho)^G$ because a group with none accepted is
    lost.

    Args:
      keep: `"positive"` (STaR, RFT, F-ISFT⁺), `"negative"` (NSR, F-ISFT⁻) or `"both"` (F-ISFT±).
      per: `"rollout"` or `"accepted"` (then `keep` must be `"positive"`).
      group_size: G ≥ 1; default: the limit; matters only `per="accepted"`.
      negative_weight: w ≥ 0, with `keep="both"`.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: an unknown `keep` or `per`, or `per="accepted"` without `keep="positive"`.

    Reference: Samineni et al., arXiv 2505.13697; Zelikman et al., arXiv 2203.14465 (STaR).
    """
    _check.choice("keep", keep, ("positive", "negative", "both"))
    _check.choice("per", per, ("rollout", "accepted"))
    _check.nonnegative("negative_weight", negative_weight)
    group = resolved_group(group_size, low=1)
    if per == "accepted":
        if keep != "positive":
            raise ValueError(f"keep: {keep!r} with per='accepted'; must be 'positive'")
        return Algorithm(
            "filtered SFT (per accepted)", _per_accepted, group, clocks.inverse_mean, binary_only=True
        )
    if keep == "positive":
        return Algorithm("filtered SFT⁺", _positive, group, clocks.one, binary_only=True)
    if keep == "negative":
        return Algorithm("filtered SFT⁻", _negative, group, clocks.one, binary_only=True)
    return Algorithm(
        "filtered SFT±",
        _both,
        group,
        clocks.one_plus_negative,
        binary_only=True,
        params={"negative_weight": negative_weight},
    )


def _positive(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards


def _negative(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards - 1


def _both(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards - jnp.asarray(params["negative_weight"], rewards.dtype) * (1 - rewards)


def _per_accepted(params: Params, rewards: Array, where: Array | None) -> Array:
    mean = jnp.mean(rewards, where=where)
    return jnp.where(mean > 0, rewards / jnp.where(mean > 0, mean, 1.0), 0.0)


@ALGORITHMS.enter(
    "tsallis",
    colors={"Tsallis": "#8C6D31"},
    note="Between expected reward (q = 0) and log-likelihood (q = 1).",
)
def tsallis(q: float | Array, group_size: int | None = None) -> Algorithm:
    r"""From expected reward to log-likelihood, $J=(\rho^{1-q}-1)/(1-q)$; clock $\rho^{-q}$.

    The group estimate is $A_i = R_i\,\bar R^{-q}$ (zero when none is right).

    Args:
      q: in [0, 1]; 0 is RLVR, 1 is log-likelihood (SFT on the model's own right answers).
      group_size: G ≥ 1; default: the limit.

    Returns:
      An `Algorithm`, differentiable in q.

    Raises:
      ValueError: q outside [0, 1].

    Reference: arXiv 2604.25907.
    """
    q = _check.unit_interval("q", q)
    group = resolved_group(group_size, low=1)
    return Algorithm("Tsallis", _tsallis, group, clocks.power, binary_only=True, params={"q": q})


def _tsallis(params: Params, rewards: Array, where: Array | None) -> Array:
    mean = jnp.mean(rewards, where=where)
    scale = jnp.where(mean > 0, mean, 1.0) ** -jnp.asarray(params["q"], rewards.dtype)
    return jnp.where(mean > 0, rewards * scale, 0.0)

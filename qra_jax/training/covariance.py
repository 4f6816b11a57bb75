"""The noise of one step."""

from __future__ import annotations

import chex
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable
from qra_jax.training import groups, moments

_VERIFIABLE = verifiable()


def gradient_covariance(
    problem: Problem,
    log_policy: Float[Array, " patterns"],
    *,
    algorithm: Algorithm,
    reward: Reward = _VERIFIABLE,
    group_size: int | None = None,
) -> Float[Array, "patterns patterns"]:
    r"""Covariance of the gradient of one sampled group, exactly.

    $$ {\rm Cov}\Bigl[\tfrac1G\sum_i A_i(e_{r_i}-\pi)\Bigr] $$

    Args:
      problem: the question.
      log_policy: `[patterns]`, log π.
      algorithm: its weights.
      reward: a binary reward.
      group_size: G ≥ 1; `algorithm.group_size` where left out.

    Returns:
      `[patterns, patterns]`; rows and columns sum to zero.

    Raises:
      ValueError: a real-valued reward, or no group size.

    Reference: derived here, by conditioning on the number of right rollouts.
    """
    chex.assert_rank(log_policy, 1)
    group = algorithm.group_size if group_size is None else group_size
    if group is None or not reward.binary:
        raise ValueError("group_size: None or a real-valued reward; needs a finite one and a binary reward")
    _check.integer("group_size", group, low=1)
    policy = jnp.exp(log_policy)
    tables = groups.weight_tables(algorithm, group, None)
    rates = jnp.where(policy > 0, reward.rates(problem, log_policy), 0.0)
    found = moments.spread(policy, rates, tables, None, resamples=algorithm.resamples_silent)
    return moments.covariance(policy, found)

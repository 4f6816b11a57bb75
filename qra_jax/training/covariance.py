"""The noise of one step."""

from __future__ import annotations

import chex
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import expectation
from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable
from qra_jax.training import moments

_VERIFIABLE = verifiable()


def gradient_covariance(
    problem: Problem,
    log_policy: Float[Array, " patterns"],
    *,
    algorithm: Algorithm,
    reward: Reward = _VERIFIABLE,
) -> Float[Array, "patterns patterns"]:
    r"""Covariance of the gradient of one sampled group, exactly.

    $$ {\rm Cov}\Bigl[\tfrac1G\sum_i A_i(e_{r_i}-\pi)\Bigr] $$

    Args:
      problem: the question.
      log_policy: `[patterns]`, log π.
      algorithm: its weights, with a group size.
      reward: a binary reward.

    Returns:
      `[patterns, patterns]`; rows and columns sum to zero.

    Raises:
      ValueError: a real-valued reward, or no group size.

    Reference: derived here, by conditioning on the number of right rollouts.
    """
    chex.assert_rank(log_policy, 1)
    if algorithm.group_size is None or not expectation.counts_suffice(algorithm, reward, problem):
        raise ValueError(
            "group_size: None, or a reward that is not binary; needs a finite one and a binary reward of single "
            "rollouts"
        )
    if algorithm.batch is not None or algorithm.greedy_baseline:
        raise ValueError(
            f"algorithm: {algorithm.name}; must be one whose weights the group's rewards alone decide"
        )
    policy = jnp.exp(log_policy)
    tables = algorithm.tables()
    rates = jnp.where(policy > 0, reward.rates(problem, log_policy), 0.0)
    found = moments.spread(policy, rates, tables, algorithm.size, resamples=algorithm.resamples_silent)
    return moments.covariance(policy, found)

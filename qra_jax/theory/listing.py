"""The mean of a sampled gradient by listing every group: from the weights alone, without a clock."""

from __future__ import annotations

import itertools

import jax
import numpy as np

from qra_jax import _check
from qra_jax.algorithm import Algorithm

_MOST = 300_000


def listed_gradient(
    algorithm: Algorithm, policy: np.ndarray, outcomes: np.ndarray, chances: np.ndarray
) -> np.ndarray:
    r"""Exact mean of the gradient of one group, from all groups that can be drawn.

    $$ \bar g = \sum_{\rm groups} P({\rm group})\,\frac1G\sum_i A_i\,(e_{r_i}-\pi) $$

    Args:
      algorithm: its weights and group size G; with dynamic sampling, silent groups have no chance.
      policy: `[..., patterns]`, π.
      outcomes: `[..., rewards]`, rewards that a rollout can earn, such as (0, 1).
      chances: `[..., patterns, rewards]`, chance of each reward given the pattern.

    Returns:
      `[..., patterns]`, the gradient of the logits.

    Raises:
      ValueError: no group size, or more groups than can be listed.

    Reference: *derived here*.

    >>> from qra_jax.algorithm import reinforce
    >>> binary = np.array([[0.0, 1.0], [1.0, 0.0]])  # the first pattern is always right, the second never
    >>> listed_gradient(reinforce(group_size=2), np.array([0.5, 0.5]), np.array([0.0, 1.0]), binary).round(6).tolist()
    [0.25, -0.25]
    """
    group = _check.integer("group_size", algorithm.group_size, low=1)
    patterns, rewards = np.shape(chances)[-2:]
    if (patterns * rewards) ** group > _MOST:
        raise ValueError(f"groups: {patterns * rewards}^{group}; must be at most {_MOST} to be listed")
    drawn = np.array(list(itertools.product(range(patterns * rewards), repeat=group)))
    earned = np.asarray(outcomes, float)[..., drawn % rewards]
    rows = jax.jit(jax.vmap(algorithm.weights))(earned.reshape(-1, group))
    weights = np.asarray(rows).reshape(earned.shape)
    each = np.asarray(policy)[..., None] * chances
    chance = each.reshape(*each.shape[:-2], -1)[..., drawn].prod(axis=-1)
    if algorithm.resamples_silent:
        chance = np.where(np.ptp(earned, axis=-1) == 0, 0.0, chance)
        chance = chance / chance.sum(axis=-1, keepdims=True)
    scores = np.eye(patterns)[drawn // rewards] - np.asarray(policy)[..., None, None, :]
    return np.einsum("...g,...gi,...gir->...r", chance, weights / group, scores)

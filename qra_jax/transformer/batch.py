"""Weights that are rescaled by statistics of a whole batch of groups."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from qra_jax import _check

RULES = ("std", "advantage_std", "active", "whiten")
"""Names of the rules."""


def batch_scaled(
    rule: str | None, rewards: Float[Array, "N G"], weights: Float[Array, "N G"]
) -> Float[Array, "N G"]:
    r"""Rescale the weights of N groups by what the whole batch of N·G rollouts earned.

    `"std"`: A/std(R). `"advantage_std"`: A/std(A). `"active"`: A × groups / groups that are not silent.
    `"whiten"`: $(R-\bar R)/{\rm std}(R)$, whatever the weights are. Means and standard deviations (with N·G − 1) are
    over the whole batch; where all are equal, the weights are zero.

    Args:
      rule: its name, or `None` for the weights as they are.
      rewards: `[N, G]`.
      weights: `[N, G]`, of each group by itself.

    Returns:
      `[N, G]`.

    Raises:
      ValueError: an unknown rule.

    Reference: Hu et al., arXiv 2501.03262 (REINFORCE++: "whiten", "advantage_std"); Chu et al., arXiv 2504.02546
      (GPG: "active"); Liu et al., arXiv 2508.08221 ("std").
    """
    if rule is None:
        return weights
    _check.choice("batch", rule, RULES)
    if rule == "std":
        return _over_std(weights, rewards)
    if rule == "advantage_std":
        return _over_std(weights, weights)
    if rule == "whiten":
        return _over_std(rewards - jnp.mean(rewards), rewards)
    return weights * active_scale(silent(rewards), weights.dtype)


def silent(rewards: Float[Array, "N G"]) -> Bool[Array, " N"]:
    """Whether all rollouts of a group earned the same, `[N]`."""
    return jnp.max(rewards, axis=-1) == jnp.min(rewards, axis=-1)


def active_scale(silent: Bool[Array, " N"], dtype: jnp.dtype) -> Float[Array, ""]:
    """Groups / groups that are not silent; all of them where every one is silent."""
    return jnp.asarray(silent.size, dtype) / jnp.maximum(jnp.sum(~silent), 1)


def _over_std(values: Array, of: Array) -> Array:
    variance = jnp.sum((of - jnp.mean(of)) ** 2) / max(of.size - 1, 1)
    # The variance of equal numbers is rounding noise, not exactly zero.
    still = variance <= (8 * jnp.finfo(of.dtype).eps) ** 2 * jnp.mean(of**2)
    return jnp.where(still, 0.0, values / jnp.sqrt(jnp.where(still, 1.0, variance)))

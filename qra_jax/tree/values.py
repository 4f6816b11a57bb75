"""Exact values of states, advantages of steps, and how often states are visited."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _programs
from qra_jax.reward import Reward, verifiable
from qra_jax.tree.model import Tree

_VERIFIABLE = verifiable()


class Values(NamedTuple):
    """What a policy is worth, state by state."""

    value: Float[Array, " states"]
    """V(s), expected reward of a rollout that goes on from s."""
    advantage: Float[Array, " steps"]
    """V(s′) − V(s) of the step from s to s′."""
    visit: Float[Array, " states"]
    """Chance that a rollout comes through s."""
    entropy: Float[Array, " inner"]
    """Entropy of the next step in nats."""


@_programs.brief()
def values(
    tree: Tree, log_policy: Float[Array, " steps"] | None = None, *, reward: Reward = _VERIFIABLE
) -> Values:
    r"""Exact values of all states under a policy.

    $$ V(s) = \sum_c\pi(c\mid s)V(c),\qquad A(s\to c) = V(c) - V(s),\qquad d(c) = d(s)\,\pi(c\mid s) $$

    Args:
      tree: the question.
      log_policy: `[steps]`, log π(step | state); default: the reference policy.
      reward: what an answer earns; its mean at each leaf is the value there.

    Returns:
      [`Values`][].

    Raises:
      ValueError: a policy of another shape, or several questions at once.

    Reference: Sutton et al. 2000 (advantages); Kazemnejad et al., arXiv 2410.01679, §3 (values of reasoning steps).

    >>> from qra_jax.tree import instances
    >>> round(float(values(instances.hidden()).value[0]), 3)
    0.346
    """
    shape = tree.shape
    log_policy = of_one_question(tree, log_policy)
    policy = jnp.exp(log_policy)
    flat = tree.flat()
    rates = reward.rates(flat, tree.leaf_log_policy(log_policy))
    value = shape.back_up(rates, weight=policy)
    plogp = jnp.where(policy > 0, policy * jnp.where(policy > 0, log_policy, 0.0), 0.0)
    return Values(
        value,
        value[1:] - shape.over(shape.of_inner(value)),
        jnp.exp(shape.along(log_policy)),
        -shape.total(plogp),
    )


def of_one_question(tree: Tree, log_policy: Array | None) -> Array:
    """The policy given, or the reference policy.

    Args:
      tree: the question.
      log_policy: `[steps]`, if any.

    Returns:
      `[steps]`.

    Raises:
      ValueError: a policy of another shape, or several questions at once.
    """
    if tree.log_ref.ndim != 1:
        raise ValueError(
            f"tree: log_ref has shape {tree.log_ref.shape}; must be [steps], jax.vmap over questions"
        )
    if log_policy is None:
        return tree.log_ref
    if jnp.shape(log_policy) != tree.log_ref.shape:
        raise ValueError(
            f"log_policy: shape {jnp.shape(log_policy)}; must be {tree.log_ref.shape}, one a step"
        )
    return log_policy

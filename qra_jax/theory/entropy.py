"""How entropy moves with the logits: its rate along a flow and its change in a noisy step."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check, metrics


def entropy_rate(
    log_policy: Float[Array, " patterns"], velocity: Float[Array, " patterns"]
) -> Float[Array, ""]:
    r"""Speed of the entropy H along any motion of the logits.

    $$ \dot H = -\mathrm{Cov}_\pi(\log\pi, v) = -\sum_r \pi_r \log\pi_r\,(v_r - \bar v) $$

    Args:
      log_policy: `[patterns]`, log π; patterns without mass count for nothing.
      velocity: `[patterns]`, v = dθ/dt, finite.

    Returns:
      dH/dt, in nats per unit time.

    Raises:
      ValueError: the two have different shapes.

    Reference: *derived here*; the same covariance in Cui et al., arXiv 2505.22617 (for steps along the gradient).

    >>> print(round(float(entropy_rate(jnp.log(jnp.array([0.5, 0.25, 0.25])), jnp.array([1.0, 0.0, 0.0]))), 4))
    -0.1733
    """
    policy, surprise = _mass(log_policy, velocity)
    return jnp.sum(policy * surprise * (velocity - jnp.sum(policy * velocity)))


def entropy_hessian(log_policy: Float[Array, " patterns"]) -> Float[Array, "patterns patterns"]:
    r"""Second derivatives of the entropy in the logits.

    $$ B = \nabla^2 H = \pi\pi^\top \circ (1 + a_r + a_s) - \mathrm{diag}\bigl(\pi\,(a+1)\bigr), \qquad
       a = \log\pi + H $$

    Args:
      log_policy: `[patterns]`, log π; patterns without mass have rows and columns of zeros.

    Returns:
      `[patterns, patterns]`, B, in nats; rows sum to zero.

    Reference: *derived here*.

    >>> print(entropy_hessian(jnp.log(jnp.array([0.5, 0.5]))))
    [[-0.25  0.25]
     [ 0.25 -0.25]]
    """
    policy, surprise = _mass(log_policy, log_policy)
    excess = metrics.entropy(log_policy) - surprise
    outer = policy[:, None] * policy[None, :] * (1 + excess[:, None] + excess[None, :])
    return outer - jnp.diag(policy * (excess + 1))


def entropy_step(
    log_policy: Float[Array, " patterns"],
    velocity: Float[Array, " patterns"],
    covariance: Float[Array, "patterns patterns"],
    learning_rate: float | Array,
) -> Float[Array, ""]:
    r"""Mean change of the entropy in one sampled step, to second order in its size.

    $$ E[\Delta H] = -\eta\,\mathrm{Cov}_\pi(\log\pi, v)
       + \tfrac{\eta^2}2\bigl[v^\top B v + \mathrm{tr}(BC)\bigr] $$

    The first term is drift, what training wants; −½η² tr(BC) is lost to sampling noise without any difference in
    reward.

    Args:
      log_policy: `[patterns]`, log π.
      velocity: `[patterns]`, v, mean of the step's gradient.
      covariance: `[patterns, patterns]`, C, its covariance.
      learning_rate: η ≥ 0.

    Returns:
      E[ΔH], in nats, up to O(η³).

    Raises:
      ValueError: η negative, or the shapes do not match.

    Reference: *derived here*.

    >>> step = entropy_step(jnp.log(jnp.array([0.5, 0.5])), jnp.zeros(2), jnp.eye(2), 0.1)
    >>> print(round(float(step), 6))
    -0.0025
    """
    _check.nonnegative("learning_rate", learning_rate)
    if covariance.shape != log_policy.shape * 2:
        raise ValueError(f"covariance: shape {covariance.shape}; must be {log_policy.shape * 2}")
    bend = entropy_hessian(log_policy)
    second = velocity @ bend @ velocity + jnp.sum(bend * covariance)
    return learning_rate * entropy_rate(log_policy, velocity) + learning_rate**2 / 2 * second


def _mass(log_policy: Array, velocity: Array) -> tuple[Array, Array]:
    """π and −log π, the latter 0 where there is no mass."""
    if velocity.shape != log_policy.shape:
        raise ValueError(f"velocity: shape {velocity.shape}; must be {log_policy.shape}, that of log_policy")
    return jnp.exp(log_policy), jnp.where(jnp.isneginf(log_policy), 0.0, -log_policy)

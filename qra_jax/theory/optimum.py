"""The policy that KL-regularised training converges to."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable

_VERIFIABLE = verifiable()


def optimal_policy(
    problem: Problem, beta: float | Array, *, reward: Reward = _VERIFIABLE
) -> Float[Array, " patterns"]:
    r"""The maximiser of $E[R] - \beta\,\mathrm{KL}(\pi\|\pi_{\rm ref})$.

    $$ \pi_{\rm opt}(r) \propto \pi_{\rm ref}(r)\,e^{R_r/\beta} $$

    As β → 0 it picks argmax R among the patterns with reference mass; tied ones share as in π_ref. So does an
    infinite reward at any β.

    Args:
      problem: the question.
      beta: β ≥ 0, strength of the KL term; 0 is the limit.
      reward: what is maximised; one that depends on the policy is read at the reference policy.

    Returns:
      `[patterns]`, log π_opt; `-inf` where there is no mass.

    Raises:
      ValueError: β negative or not finite.

    Reference: Chen, Li, Zou, arXiv 2506.04695, Prop. 5.2 (*reported*; it is the Gibbs variational principle).

    >>> from qra_jax.problem import examples
    >>> import jax.numpy as jnp
    >>> print([round(float(x), 3) for x in jnp.exp(optimal_policy(examples.worked(), beta=0.1))])
    [0.589, 0.41, 0.001]
    """
    _check.nonnegative("beta", beta)
    rates, log_ref = reward.rates(problem), problem.log_ref
    held = ~jnp.isneginf(log_ref)
    top = jnp.max(jnp.where(held, rates, -jnp.inf))
    is_top = held & (rates == top)
    deficit = jnp.where(is_top | ~held, 0.0, rates - jnp.where(jnp.isposinf(top), 0.0, top))
    deficit = jnp.where(jnp.isposinf(top) & ~is_top, -jnp.inf, deficit)
    beta = jnp.asarray(beta, rates.dtype)
    tilt = jnp.where(beta > 0, deficit / jnp.where(beta > 0, beta, 1.0), jnp.where(is_top, 0.0, -jnp.inf))
    return jax.nn.log_softmax(jnp.where(held, log_ref + tilt, -jnp.inf))

"""How good supervised data must be to remove the stall before reinforcement learning."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax.problem import Problem


def sft_quality(problem: Problem, mixture: Float[Array, " patterns"]) -> Float[Array, ""]:
    r"""Margin by which data on a mixture of patterns makes the regime fast, were SFT to run for ever.

    SFT, $\dot\theta = \mu - \pi$, ends at π = μ, so what follows is Regime 1 iff the margin is not negative:

    $$ \sum_r \mu_r\,p_r \;-\; \max_{r:\,p_r<p_{r^\star}} p_r $$

    Args:
      problem: the question.
      mixture: `[patterns]`, μ, shares of the patterns in the data; non-negative, sums to one.

    Returns:
      The margin, in [−1, 1].

    Reference: Chen, Li, Zou, arXiv 2506.04695 v1 ("feasibly high-quality data", *reported*); made exact here.
    """
    return jnp.sum(mixture * problem.success) - problem.second_best


def sft_mass_needed(problem: Problem) -> Float[Array, ""]:
    r"""Least share x of demonstrations of r*, mixed with the model's own choices, that makes the regime fast.

    The mixture $\mu = (1-x)\,\pi_{\rm ref} + x\,e_{r^\star}$ reaches the second-best success rate $p_2$ at

    $$ x = \frac{(p_2 - \rho_{\rm ref})_+}{p_{r^\star} - \rho_{\rm ref}} $$

    Args:
      problem: the question.

    Returns:
      x in [0, 1]; 0 in the fast regime. The mass of r* is then $(1-x)\,\pi_{\rm ref}(r^\star) + x$.

    Reference: *derived here*.

    >>> from qra_jax.problem import examples
    >>> print(round(float(sft_mass_needed(examples.worked())), 6))
    0.268293
    """
    top, base = jnp.max(problem.success), problem.accuracy_ref
    short = jnp.maximum(problem.second_best - base, 0.0)
    short = jnp.where(problem.second_best < top, short, 0.0)
    room = top - base
    return jnp.where(short > 0, short / jnp.where(short > 0, room, 1.0), 0.0)

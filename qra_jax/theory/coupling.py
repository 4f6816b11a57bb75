"""Questions that share parameters: what training one does to the others, to first order."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.problem import Problem

_REINFORCE = reinforce()


def influence(
    problem: Problem,
    features: Float[Array, "questions patterns features"],
    *,
    algorithm: Algorithm = _REINFORCE,
) -> Float[Array, "questions questions"]:
    r"""How fast the accuracy of each question moves by training each other one.

    With logits θ_q = Φ_q w and $J_q = \pi_q\odot(p_q - \rho_q)$,

    $$ \dot\rho_q = \sum_{q'} c(\rho_{q'})\,J_q^\top\Phi_q\Phi_{q'}^\top J_{q'}. $$

    Args:
      problem: stacked questions `[questions, patterns]`, at their reference policies.
      features: `[questions, patterns, features]`, Φ.
      algorithm: its clock is c.

    Returns:
      `[questions, questions]`, dρ_q/dt (row q) by training question q' (column).

    Raises:
      ValueError: the shapes do not match, or the algorithm has no clock.

    Reference: *derived here*; the first step of a linearised network (neural tangent kernel).

    >>> two = Problem(jnp.log(jnp.full((2, 2), 0.5)), jnp.array([[1.0, 0.0], [1.0, 0.0]]))
    >>> print(influence(two, jnp.broadcast_to(jnp.eye(2), (2, 2, 2))))
    [[0.125 0.125]
     [0.125 0.125]]
    """
    if features.ndim != 3 or problem.success.shape != features.shape[:2]:
        shape = "[questions, patterns, features]"
        raise ValueError(
            f"features: shape {features.shape}; must be {shape} with {problem.success.shape} in front"
        )
    accuracy = problem.accuracy_ref
    slope = problem.ref * (problem.success - accuracy[:, None])
    pull = jnp.einsum("qrf,qr->qf", features, slope)
    return (pull @ pull.T) * algorithm.clock(accuracy)[None, :]


def shared_logit_speed(
    logit: Float[Array, " questions"], overlap: float | Array
) -> Float[Array, " questions"]:
    r"""Speed of every question's logit where all share a part of their parameters (REINFORCE, two patterns each).

    $$ \dot z_q = 2\Bigl[(1-s)\,\rho_q(1-\rho_q) + s\sum_{q'}\rho_{q'}(1-\rho_{q'})\Bigr] $$

    The second part is common to all questions and grows with their number: a little sharing makes the clocks of the
    questions one.

    Args:
      logit: `[questions]`, z of questions with a right and a wrong pattern.
      overlap: s in [0, 1]; 0 for own parameters, 1 for one common direction.

    Returns:
      `[questions]`, dz/dt.

    Raises:
      ValueError: s out of range.

    Reference: *derived here*.

    >>> print(shared_logit_speed(jnp.zeros(2), 0.5))
    [0.75 0.75]
    """
    _check.unit_interval("overlap", overlap)
    pull = jax.nn.sigmoid(logit) * jax.nn.sigmoid(-logit)
    return 2 * ((1 - overlap) * pull + overlap * jnp.sum(pull))

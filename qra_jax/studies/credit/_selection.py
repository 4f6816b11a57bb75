"""What the study of selection and improvement runs: flows whose answers learn, and rollouts that are right or wrong."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import flow
from qra_jax.problem import Problem
from qra_jax.studies.credit import _draws

STRATEGIES = 8
TIMES = jnp.concatenate([jnp.zeros(1), jnp.logspace(-1, 3, 120)])
"""Times at which gains are told apart, from 0 on."""


ARMS: dict[str, tuple[float, float, float]] = {
    **{f"diversity {a:g}": (a, 1.0, 1.0) for a in (0.1, 0.3, 1.0, 10.0)},
    **{f"alike, diversity {a:g}": (a, 1.0, 0.0) for a in (0.1, 0.3, 1.0, 10.0)},
    **{f"ease {ease:g}": (1.0, ease, 1.0) for ease in (0.5, 0.2, 0.05)},
    **{f"ease {ease:g}, mirrored": (1.0, -ease, 1.0) for ease in (0.5, 0.2, 0.05)},
    "all or nothing": (1.0, 1.0, 2.0),
}
"""Concentration of the base policy; ease and spread of success rates."""


def question(key: Array, arm: Any) -> Problem:
    """A random question: base policy Dirichlet(diversity); success rates ease · U, or 1 + ease · U for a negative ease.

    The spread of U about its mean is 1, or 0 (all alike); at 2 it is .02 or .98.
    """
    diversity, ease, spread = jnp.asarray(list(ARMS.values()))[arm]
    first, second = jax.random.split(key)
    drawn = jax.random.uniform(second, (STRATEGIES,))
    rates = jnp.where(spread > 1, jnp.where(drawn > 0.5, 0.98, 0.02), 0.5 + spread * (drawn - 0.5))
    log_ref = jax.nn.log_softmax(jax.random.loggamma(first, jnp.full(STRATEGIES, diversity)))
    return Problem(log_ref, jnp.where(ease > 0, ease * rates, 1 + ease * rates))


def gains(
    problem: Problem, train_answers: bool = True
) -> tuple[Float[Array, " times"], Float[Array, " times"]]:
    r"""What selection and what improvement have added to the accuracy by each time.

    $$ \rho(t) - \rho(0) = \int \sum_r p_r\,d\pi_r + \int \sum_r \pi_r\,dp_r $$

    Args:
      problem: the question.
      train_answers: whether success rates learn, too.

    Returns:
      Gains by selection and by improvement, `[times]`.
    """
    path = flow.solve(problem, ts=TIMES, train_answers=train_answers, rtol=1e-6, atol=1e-6)
    policy = jnp.exp(path.log_policy)
    rates = jnp.broadcast_to(path.success, policy.shape)
    middle = lambda x: (x[1:] + x[:-1]) / 2  # noqa: E731
    parts = [middle(rates) * jnp.diff(policy, axis=0), middle(policy) * jnp.diff(rates, axis=0)]
    chosen, improved = (jnp.concatenate([jnp.zeros(1), jnp.cumsum(part.sum(axis=1))]) for part in parts)
    return chosen, improved


def half_time(gain: Float[Array, " times"]) -> Float[Array, ""]:
    """Log of the time at which half of a gain is there; NaN without a gain."""
    return jnp.where(gain[-1] > 1e-6, jnp.log(TIMES[jnp.argmax(gain >= gain[-1] / 2)]), jnp.nan)


def rollouts(key: Array, sure: Any) -> Problem:
    """A question of eight rollouts with uniform success rates; if `sure`, half of them are right, the others wrong."""
    first, second = jax.random.split(key)
    log_ref = _draws.flat(first, STRATEGIES)
    rates = jax.random.uniform(second, (STRATEGIES,))
    right = jnp.where(rates >= jnp.sort(rates)[STRATEGIES // 2], 1.0, 0.0)
    return Problem(log_ref, jnp.where(sure, right, rates))


def filtered(problem: Problem) -> Float[Array, " patterns"]:
    """The base policy, filtered by the verifier: π_ref(r) p_r / ρ_ref, `[patterns]`."""
    return problem.ref * problem.success / problem.accuracy_ref


def apart(log_policy: Float[Array, " patterns"], problem: Problem) -> Float[Array, ""]:
    """Total variation between a policy and the filtered base policy."""
    return jnp.abs(jnp.exp(log_policy) - filtered(problem)).sum() / 2

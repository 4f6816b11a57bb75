"""What the study of verifiers computes: moments of an update under correlated errors, questions of two verifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import orbit
from qra_jax.algorithm import Algorithm, grpo
from qra_jax.problem import Problem
from qra_jax.reward import verifiable
from qra_jax.studies.credit import _draws
from qra_jax.training import gradient_covariance, train

GROUP, TPR, FPR = 8, 0.85, 0.15
"""Rollouts in a group; a verifier that errs on 15 % of right answers and on 15 % of wrong ones."""
PATTERNS, RATE = 8, 0.4
"""Patterns of a random question; learning rate of sampled runs on it."""


def moments(
    problem: Problem, algorithm: Algorithm, correlations: Sequence[Any], tpr: float = TPR, fpr: float = FPR
) -> tuple[Float[Array, "correlations patterns"], Float[Array, "correlations patterns patterns"]]:
    r"""Mean and covariance of one group's gradient at the base policy, where one draw may decide for the whole group.

    The group's verdicts are independent with the chance 1 − c. Otherwise one draw makes the verifier accept all answers
    (FPR), tell right from wrong (J = TPR − FPR), or reject all (1 − TPR). With weights $w_s$, means $m_s$ and
    covariances $C_s$ of these cases

    $$ m = \sum_s w_s m_s,\qquad {\rm Cov} = \sum_s w_s\,(C_s + m_s m_s^\top) - m m^\top $$

    Args:
      problem: the question.
      algorithm: its weights, with a group size.
      correlations: values of c in [0, 1].
      tpr: true positive rate in [0, 1], at least `fpr`.
      fpr: false positive rate in [0, 1].

    Returns:
      `[correlations, patterns]` and `[correlations, patterns, patterns]`.

    Reference: *derived here*.
    """
    log_policy, drift = problem.log_ref, problem.ref * (problem.success - problem.accuracy_ref)
    means, seconds = [], []
    for accepts, errs in ((tpr, fpr), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)):
        rate = errs + (accepts - errs) * problem.accuracy_ref
        mean = (accepts - errs) * algorithm.clock(rate) * drift
        reward = verifiable(accepts, errs)
        noise = gradient_covariance(problem, log_policy, algorithm=algorithm, reward=reward)
        means.append(mean)
        seconds.append(noise + jnp.outer(mean, mean))
    c = jnp.asarray(correlations, drift.dtype)
    weights = jnp.stack([1 - c, c * fpr, c * (tpr - fpr), c * (1 - tpr)], axis=-1)
    mean = jnp.einsum("cs,sp->cp", weights, jnp.stack(means))
    second = jnp.einsum("cs,spq->cpq", weights, jnp.stack(seconds))
    return mean, second - mean[:, :, None] * mean[:, None, :]


def counts_for(problem: Problem, algorithm: Algorithm, correlation: float) -> Float[Array, ""]:
    """Size of a group with independent errors whose update has the same squared mean over variance as G = 8 has here.

    That ratio is taken to grow in proportion to the size, as REINFORCE's does.
    """
    mean, noise = moments(problem, algorithm, (correlation, 0.0))
    quality = jnp.sum(mean**2, axis=-1) / jnp.trace(noise, axis1=-2, axis2=-1)
    return GROUP * quality[0] / quality[1]


def question(key: Array, hard: Any = 0.0) -> Problem:
    """A random question: Dirichlet(1) base policy; success rates Beta(1, 1), or Beta(.15, 1.2) of a hard one."""
    first, second = jax.random.split(key)
    share = jax.random.uniform(second, (PATTERNS,))
    rates = jnp.where(hard > 0, _draws.beta(share, 0.15, 1.2), share)
    return Problem(_draws.flat(first, PATTERNS), rates)


def second_opinion(problem: Problem, key: Array, agreement: Any) -> Array:
    """Rates at which another verifier accepts each pattern: the first one's by chance, else its own."""
    first, second = jax.random.split(key)
    same = jax.random.uniform(first, (PATTERNS,)) < agreement
    return jnp.where(same, problem.success, jax.random.uniform(second, (PATTERNS,)))


def trained(key: Array, problem: Problem, time: float, way: str) -> Array:
    """log π after a time of training under GRPO: along the orbit, or of a sampled run."""
    if way == "orbit":
        return orbit.solve(problem, jnp.asarray([time]), algorithm=grpo(GROUP)).log_policy[0]
    steps = round(time / RATE)
    options = {"steps": steps, "record_every": steps, "learning_rate": RATE}
    return train(key, problem, algorithm=grpo(GROUP), **options).log_policy[-1]

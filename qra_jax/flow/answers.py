"""Trainable answers: the two-level softmax in which success rates move too (Assumption 5.1 switched off)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.flow.velocity import combine_function, shifted
from qra_jax.geometry import ascend
from qra_jax.problem import Problem
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward, verifiable

Patterns = Float[Array, " patterns"]
Answers = Float[Array, "patterns answers"]
_REINFORCE, _VERIFIABLE = reinforce(), verifiable()


def answer_drift(
    problem: Problem,
    log_policy: Patterns,
    log_answers: Answers,
    *,
    algorithm: Algorithm = _REINFORCE,
    reward: Reward = _VERIFIABLE,
    regularizers: Sequence[Regularizer] = (),
    geometry: str = "softmax",
) -> tuple[Patterns, Answers]:
    r"""Velocities of pattern and answer logits under the same clock, with reward R(a) for answer a.

    $$ \dot\theta_r = c\,\pi_r(R_r-\bar R),\qquad \dot\varphi_{r,a} = c\,\pi_r\,\pi(a\mid
    r)\,(R(a)-R_r),\qquad
       R_r = \textstyle\sum_a \pi(a\mid r)\,R(a) $$

    Under the natural geometry (the Fisher matrix is block diagonal) the factors π_r and π_r π(a|r) are dropped.

    Args:
      problem: the question; its success rates and answer table are not used.
      log_policy: `[patterns]`, log π(r).
      log_answers: `[patterns, answers]`, log π(a|r); column 0 is the right answer.
      algorithm: its clock c(ρ) sets the speed of both levels.
      reward: a verifiable reward, R(a) = TPR for the right answer and FPR for the others.
      regularizers: terms on the choice of pattern; they do not act on the answers.
      geometry: `"softmax"` or `"natural"`.

    Returns:
      dθ/dt `[patterns]` and dφ/dt `[patterns, answers]`, whose rows sum to zero under `"softmax"`.

    Raises:
      ValueError: another reward than `verifiable`, an unknown geometry, or an algorithm without a clock.
    """
    chex.assert_rank([log_policy, log_answers], [1, 2])
    alive = ~jnp.isneginf(log_policy), ~jnp.isneginf(log_answers)
    velocity = answer_velocity_function(problem, alive, algorithm, reward, regularizers, geometry)
    return velocity(jnp.exp(log_policy), log_policy, jnp.exp(log_answers))


def answer_velocity_function(
    problem: Problem,
    alive: tuple[Array, Array],
    algorithm: Algorithm,
    reward: Reward,
    regularizers: Sequence[Regularizer],
    geometry: str,
) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """The drift of both levels as `(policy, log_policy, answers) -> (dθ/dt, dφ/dt)`."""
    if reward.function is not verifiable().function:
        raise ValueError(f"reward: {reward.name!r} with train_answers=True; must be 'verifiable'")
    combine = combine_function(problem, alive[0], algorithm, reward, regularizers, geometry)
    dtype, count = problem.log_ref.dtype, alive[1].shape[-1]
    tpr, fpr = (jnp.asarray(reward.params[name], dtype) for name in ("tpr", "fpr"))
    verdict = jnp.where(jnp.arange(count) == 0, tpr, fpr)
    gain_of_answer = verdict - jax.lax.stop_gradient(jnp.max(verdict))

    def velocity(policy: Array, log_policy: Array, answers: Array) -> tuple[Array, Array]:
        pattern_velocity, speed = combine(policy, log_policy, *shifted(answers @ verdict, alive[0]))
        rows = jax.vmap(lambda row: ascend(gain_of_answer, row, geometry))(answers)
        share = (
            policy[:, None] if geometry == "softmax" else jnp.where(alive[0], 1.0, 0.0)[:, None].astype(dtype)
        )
        return pattern_velocity, jnp.where(alive[1], speed * share * rows, 0.0)

    return velocity

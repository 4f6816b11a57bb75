"""What is added to a reward, or multiplied with it, pattern by pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _check
from qra_jax.problem import Problem
from qra_jax.registry import REWARDS
from qra_jax.reward import Outcomes, Reward
from qra_jax.shaping.laws import Params, made, of, row, single, verdict

FORMS = ("inverse", "linear")


@REWARDS.enter("shaped")
def shaped(reward: Reward, bonus: Sequence[Any] | Array) -> Reward:
    r"""A reward plus a bonus for each pattern, $R'_r = R_r + b_r$: a process reward beside the verdict.

    Args:
      reward: any that does not vote.
      bonus: `[patterns]`, b, finite; may be traced.

    Returns:
      A real-valued `Reward`.

    Raises:
      ValueError: a reward by vote, or a bonus that is not finite or no row of numbers; used with a problem of another
        number of patterns.

    Reference: *derived here*; a two-stage use is that of arXiv 2503.05592.
    """
    params = {"reward": single(reward), "bonus": row("bonus", bonus, _check.finite)}
    return made(f"{reward.name} + bonus", reward, params, _shaped)


def _shaped(params: Params, problem: Problem, log_policy: Array) -> Outcomes:
    values, chances = params["reward"].outcomes(problem, log_policy)
    return values + of("bonus", params, problem)[:, None], chances


@REWARDS.enter("gated")
def gated(
    reward: Reward,
    score: Sequence[Any] | Array,
    floor: float | Array = 0.2,
    weight: float | Array = 0.8,
) -> Reward:
    r"""A process reward behind the verdict: 0 unless right, else $\text{floor} + \text{weight}\cdot\text{score}_r$.

    Args:
      reward: the verdict, a binary reward that does not vote.
      score: `[patterns]`, process score of each pattern, in [0, 1].
      floor: what a right rollout of score 0 earns, finite.
      weight: of the score, finite.

    Returns:
      A real-valued `Reward`.

    Raises:
      ValueError: a reward that is not binary, or votes; a score outside [0, 1]; numbers that are not finite.

    Reference: arXiv 2512.07783 (floor .2, weight .8).
    """
    params = {"reward": verdict(reward), "score": row("score", score, _check.unit_interval)}
    params |= {"floor": _check.finite("floor", floor), "weight": _check.finite("weight", weight)}
    return made(f"{reward.name} × process", reward, params, _gated)


def _gated(params: Params, problem: Problem, log_policy: Array) -> Outcomes:
    values, chances = params["reward"].outcomes(problem, log_policy)
    score = of("score", params, problem)
    factor = jnp.asarray(params["floor"], score.dtype) + jnp.asarray(params["weight"], score.dtype) * score
    return values * factor[:, None], chances


@REWARDS.enter("length_term")
def length_term(reward: Reward, coefficient: float | Array, form: str = "inverse") -> Reward:
    r"""A reward plus a term in the length of the rollout, $R'_r = R_r + c/L_r$ or $R_r + c\,L_r$.

    With c < 0 the inverse form rewards length (RLSP: −1000/L) and the linear one punishes it.

    Args:
      reward: any that does not vote.
      coefficient: c, in tokens (inverse) or one over tokens (linear), finite.
      form: `"inverse"` or `"linear"`.

    Returns:
      A real-valued `Reward`; the problem must have lengths.

    Raises:
      ValueError: a reward by vote, c not finite, an unknown form; used with a problem without `lengths`.

    Reference: arXiv 2502.06773.
    """
    _check.choice("form", form, FORMS)
    params = {"reward": single(reward), "coefficient": _check.finite("coefficient", coefficient)}
    law = _per_length if form == "inverse" else _by_length
    return made(f"{reward.name} + {'c/L' if form == 'inverse' else 'cL'}", reward, params, law)


def _lengths(problem: Problem) -> Array:
    if problem.lengths is None:
        raise ValueError(
            "lengths: None, with a reward that has a term in the length; must be [patterns], > 0"
        )
    return problem.lengths


def _per_length(params: Params, problem: Problem, log_policy: Array) -> Outcomes:
    values, chances = params["reward"].outcomes(problem, log_policy)
    return values + (jnp.asarray(params["coefficient"], values.dtype) / _lengths(problem))[:, None], chances


def _by_length(params: Params, problem: Problem, log_policy: Array) -> Outcomes:
    values, chances = params["reward"].outcomes(problem, log_policy)
    return values + (jnp.asarray(params["coefficient"], values.dtype) * _lengths(problem))[:, None], chances


@REWARDS.enter("formatted")
def formatted(
    reward: Reward,
    rate: Sequence[Any] | Array,
    format_weight: float | Array = 1.0,
    answer_weight: float | Array = 1.0,
    gate: bool = True,
) -> Reward:
    r"""A part for the format beside the one for the answer, $w_F F + w_A F R$; without the gate, $w_F F + w_A R$.

    A rollout of pattern r is well formatted, F = 1, with chance f_r, whatever its answer.

    Args:
      reward: R, any that does not vote.
      rate: `[patterns]`, f, in [0, 1].
      format_weight: w_F, finite.
      answer_weight: w_A, finite.
      gate: whether an answer counts in a well formatted rollout alone.

    Returns:
      A real-valued `Reward`.

    Raises:
      ValueError: a reward by vote, a rate outside [0, 1], or weights that are not finite.

    Reference: arXiv 2503.16188 (format beside accuracy); *derived here*.
    """
    params = {"reward": single(reward), "rate": row("rate", rate, _check.unit_interval)}
    params |= {
        "format_weight": _check.finite("format_weight", format_weight),
        "answer_weight": _check.finite("answer_weight", answer_weight),
    }
    return made(f"{reward.name} + format", reward, params, _behind_format if gate else _beside_format)


def _format_parts(params: Params, problem: Problem, log_policy: Array) -> tuple[Array, Array, Array, Array]:
    values, chances = params["reward"].outcomes(problem, log_policy)
    rate = of("rate", params, problem)[:, None]
    form, answer = (jnp.asarray(params[name], values.dtype) for name in ("format_weight", "answer_weight"))
    return form, answer, values, jnp.concatenate([rate * chances, (1 - rate) * chances], axis=-1)


def _behind_format(params: Params, problem: Problem, log_policy: Array) -> Outcomes:
    form, answer, values, chances = _format_parts(params, problem, log_policy)
    return jnp.concatenate([form + answer * values, jnp.zeros_like(values)], axis=-1), chances


def _beside_format(params: Params, problem: Problem, log_policy: Array) -> Outcomes:
    form, answer, values, chances = _format_parts(params, problem, log_policy)
    return jnp.concatenate([form + answer * values, answer * values], axis=-1), chances


@REWARDS.enter("abstaining")
def abstaining(reward: Reward, abstains: Sequence[Any] | Array, penalty: float | Array = 1.0) -> Reward:
    r"""Abstention: 0 for a rollout that abstains, +1 for a right one, $-\lambda$ for a wrong one.

    Args:
      reward: the verdict, a binary reward that does not vote.
      abstains: `[patterns]`, chance in [0, 1] that a rollout of a pattern abstains; its other rollouts answer.
      penalty: λ ≥ 0.

    Returns:
      A real-valued `Reward`.

    Raises:
      ValueError: a reward that is not binary, or votes; a chance outside [0, 1]; λ negative.

    Reference: arXiv 2608.00301.
    """
    params = {"reward": verdict(reward), "abstains": row("abstains", abstains, _check.unit_interval)}
    params["penalty"] = _check.nonnegative("penalty", penalty)
    return made(f"{reward.name}, abstention", reward, params, _abstaining)


def _abstaining(params: Params, problem: Problem, log_policy: Array) -> Outcomes:
    values, chances = params["reward"].outcomes(problem, log_policy)
    silent, penalty = of("abstains", params, problem)[:, None], jnp.asarray(params["penalty"], values.dtype)
    earned = values - penalty * (1 - values)
    nothing = jnp.zeros_like(silent)
    return jnp.concatenate([earned, nothing], -1), jnp.concatenate([(1 - silent) * chances, silent], -1)

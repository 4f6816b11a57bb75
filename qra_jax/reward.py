r"""Rewards: what a rollout earns, given its reasoning pattern: on average, and how it is spread.

A `Reward` turns a problem and the current policy into the vector $R_r = E[\text{reward}\mid r]$.
*RLVR* rewards are binary (right or wrong, seen through a verifier); *RLIF* rewards are real numbers read off
the model itself. A real-valued reward may differ between rollouts of one pattern, and then says how: algorithms that
divide by a standard deviation see that spread, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Float

from qra_jax import _check, _pytrees, _show
from qra_jax.problem import Problem
from qra_jax.registry import REWARDS

Outcomes = tuple[Float[Array, "patterns outcomes"], Float[Array, "patterns outcomes"]]
Rates = Float[Array, " patterns"]


@dataclass(frozen=True, repr=False)
class Reward:
    """What rollouts of each pattern earn.

    Attributes:
      name: what figures and reports call it.
      function: `(params, problem, log_policy) -> [patterns]`, the mean reward of each pattern.
      binary: a rollout earns 0 or 1 (rates in [0, 1]); group-normalised algorithms then have exact clocks.
      fixed: the vector does not depend on the policy, so the orbit has its closed form.
      spread: `(params, problem, log_policy) -> (values, chances)`, both `[patterns, outcomes]`, of a real-valued
        reward that differs between rollouts of one pattern; `None` where each pattern earns its mean.
      by_vote: a rollout earns 1 if its answer wins the vote of its group; `function` is then the limit of large
        groups.
      params: differentiable parameters.
      made: name and plain arguments of the factory that made it.
    """

    name: str
    function: Callable[[dict[str, Any], Problem, Array], Array]
    binary: bool
    fixed: bool
    params: dict[str, Any] = field(default_factory=dict)
    spread: Callable[[dict[str, Any], Problem, Array], Outcomes] | None = None
    by_vote: bool = False
    made: Any = None

    def __repr__(self) -> str:
        return f"Reward({', '.join([self.name, *_show.parameters(self.params)])})"

    def rates(self, problem: Problem, log_policy: Array | None = None) -> Rates:
        """Expected reward of each pattern, `[patterns]`.

        Args:
          problem: the question.
          log_policy: `[patterns]`, log π now; default: the reference policy.

        Returns:
          `[patterns]`, R_r.
        """
        return self.function(self.params, problem, problem.log_ref if log_policy is None else log_policy)

    def outcomes(self, problem: Problem, log_policy: Array | None = None) -> Outcomes:
        """What rollouts of each pattern earn, and how often.

        Args:
          problem: the question.
          log_policy: `[patterns]`, log π now; default: the reference policy.

        Returns:
          Values and chances, both `[patterns, outcomes]`; for a vote they are those of the limit of large groups.
        """
        log_policy = problem.log_ref if log_policy is None else log_policy
        if self.spread is not None:
            return self.spread(self.params, problem, log_policy)
        rates = self.rates(problem, log_policy)
        if not self.binary:
            return rates[:, None], jnp.ones_like(rates)[:, None]
        values = jnp.broadcast_to(jnp.asarray([1.0, 0.0], rates.dtype), (*rates.shape, 2))
        return values, jnp.stack([rates, 1 - rates], axis=-1)

    def variance(self, problem: Problem, log_policy: Array | None = None) -> Rates:
        """Variance of the reward of a rollout given its pattern, `[patterns]`; the arguments are those of `rates`."""
        values, chances = self.outcomes(problem, log_policy)
        mean = jnp.sum(chances * values, axis=-1, keepdims=True)
        return jnp.sum(chances * (values - mean) ** 2, axis=-1)


_pytrees.register(Reward, children=("params",), functions=("function", "spread"), labels=("name", "made"))


@REWARDS.enter("verifiable")
def verifiable(tpr: float | Array = 1.0, fpr: float | Array = 0.0) -> Reward:
    r"""Verifier's verdict on the answer, $R_r = \mathrm{FPR} + (\mathrm{TPR} - \mathrm{FPR})\,p_r$.

    Args:
      tpr: true positive rate in [0, 1], the chance that a right answer is accepted.
      fpr: false positive rate in [0, 1], the chance that a wrong answer is accepted.

    Returns:
      A binary, fixed `Reward`. Youden's index J = TPR − FPR < 0 reverses the orbit.

    Raises:
      ValueError: a rate outside [0, 1].

    Reference: Rad et al., arXiv 2601.04411.
    """
    tpr, fpr = _check.unit_interval("tpr", tpr), _check.unit_interval("fpr", fpr)
    return Reward("verifiable", _verifiable, binary=True, fixed=True, params={"tpr": tpr, "fpr": fpr})


def _verifiable(params: dict[str, Any], problem: Problem, log_policy: Array) -> Array:
    p, tpr, fpr = problem.success, params["tpr"], params["fpr"]
    return jnp.asarray(tpr, p.dtype) * p + jnp.asarray(fpr, p.dtype) * (1 - p)


@REWARDS.enter("self_certainty")
def self_certainty(floor: float = 0.0) -> Reward:
    r"""Self-certainty, $R_r = -\frac1m \sum_a \log \pi(a\mid r)$ (KL from uniform plus a constant).

    With two answers $R_r = -\tfrac12[\log p_r + \log(1-p_r)]$: symmetric about ½, it cannot tell
    sure-and-right from sure-and-wrong.

    Args:
      floor: answer probabilities are floored here before the logarithm, in [0, 1). With 0 (the definition) a
        pattern that never gives some answer earns +inf; runners answer that with `Status.INVALID`.

    Returns:
      A real-valued, fixed `Reward`.

    Raises:
      ValueError: `floor` outside [0, 1).

    Reference: Zhao et al., arXiv 2505.19590; Chen, Li, Zou, arXiv 2506.04695, §5.
    """
    return Reward("self-certainty", _self_certainty, False, True, {"floor": _floor(floor)})


def _self_certainty(params: dict[str, Any], problem: Problem, log_policy: Array) -> Array:
    return -jnp.mean(jnp.log(_floored(params, problem)), axis=-1)


@REWARDS.enter("answer_entropy")
def answer_entropy(floor: float = 0.0) -> Reward:
    r"""Negative entropy of the answer, $R_r = \sum_a \pi(a\mid r)\log\pi(a\mid r)$, in nats.

    Args:
      floor: as in [`self_certainty`][]; 0 log 0 counts as 0.

    Returns:
      A real-valued, fixed `Reward`, in [−log m, 0].

    Raises:
      ValueError: `floor` outside [0, 1).
    """
    return Reward("answer-entropy", _answer_entropy, False, True, {"floor": _floor(floor)})


def _answer_entropy(params: dict[str, Any], problem: Problem, log_policy: Array) -> Array:
    return jnp.sum(_plogp(_floored(params, problem)), axis=-1)


@REWARDS.enter("trajectory_log_prob")
def trajectory_log_prob() -> Reward:
    r"""Log-probability of the whole rollout, $\log\pi(r) + \log\pi(a\mid r)$: it differs between rollouts of a pattern.

    $$ R_r = \log\pi(r) + \sum_a \pi(a\mid r)\log\pi(a\mid r) $$

    Its mean is minus the entropy of the rollout; under the policy gradient it gives exactly −∇H.

    Returns:
      A real-valued `Reward` that depends on the policy (no closed orbit: use the flow).
    """
    return Reward("trajectory-log-prob", _trajectory_log_prob, False, False, spread=_trajectory_outcomes)


def _trajectory_log_prob(params: dict[str, Any], problem: Problem, log_policy: Array) -> Array:
    return log_policy + jnp.sum(_plogp(problem.answer_table()), axis=-1)


def _trajectory_outcomes(params: dict[str, Any], problem: Problem, log_policy: Array) -> Outcomes:
    table = problem.answer_table()
    said = table > 0
    log_answers = jnp.where(said, jnp.log(jnp.where(said, table, 1.0)), 0.0)
    return log_policy[:, None] + log_answers, table


@REWARDS.enter("majority_vote")
def majority_vote() -> Reward:
    r"""Agreement with the majority answer of the group (TTRL).

    $$ R_i = 1[a_i = \hat a],\qquad \hat a = \arg\max_a \#\{j: a_j = a\} $$

    Ties are broken evenly among the tied answers, once for the group: where an implementation takes the first of them
    to have been sampled, the law is the same, as rollouts are exchangeable. In the limit of large groups this is
    [`policy_vote`][].

    Returns:
      A binary `Reward` that depends on the group.

    Reference: Zuo et al., arXiv 2504.16084.
    """
    return Reward("majority-vote", _policy_vote, binary=True, fixed=False, by_vote=True)


@REWARDS.enter("policy_vote")
def policy_vote() -> Reward:
    r"""Agreement with the answer to which the policy gives most mass: a vote of infinitely many rollouts.

    $$ R_r = \pi(\hat a\mid r), \qquad \hat a = \arg\max_a \sum_r \pi(r)\,\pi(a\mid r) $$

    Returns:
      A binary `Reward` that depends on the policy through the vote; the first of tied answers wins.

    Reference: the limit of Zuo et al., arXiv 2504.16084; *derived here*.
    """
    return Reward("policy-vote", _policy_vote, binary=True, fixed=False)


def _policy_vote(params: dict[str, Any], problem: Problem, log_policy: Array) -> Array:
    table = problem.answer_table()
    vote = jnp.argmax(jnp.exp(log_policy) @ table, axis=-1)
    return jnp.take(table, vote, axis=-1)


@REWARDS.enter("kl_in_reward")
def kl_in_reward(reward: Reward, beta: float | Array) -> Reward:
    r"""A reward minus the log-ratio to the reference, before any normalisation by the group.

    $$ R' = R - \beta\log\frac{\pi(r)}{\pi_{\rm ref}(r)} $$

    With a baseline alone this is the exact reverse KL; divided by the group's standard deviation, reward and penalty
    share the divisor, and training rests at $\pi_{\rm ref}e^{R/\beta}$.

    Args:
      reward: any that does not vote.
      beta: β ≥ 0.

    Returns:
      A real-valued `Reward` that depends on the policy.

    Raises:
      ValueError: β negative or not finite, or a reward by vote.

    Reference: Ouyang et al., arXiv 2203.02155, eq. 2; verl's `use_kl_in_reward`.
    """
    _check.part("reward", reward, Reward)
    if reward.by_vote:
        raise ValueError(
            f"reward: {reward.name!r} is the verdict of a group; must be a reward of single rollouts"
        )
    params = {"reward": reward, "beta": _check.nonnegative("beta", beta)}
    return Reward(f"{reward.name} − KL", _penalised, False, False, params, spread=_penalised_outcomes)


def _penalty(params: dict[str, Any], problem: Problem, log_policy: Array) -> Array:
    gone = jnp.isneginf(log_policy)
    ratio = jnp.where(gone, 0.0, log_policy) - jnp.where(gone, 0.0, problem.log_ref)
    beta = jnp.asarray(params["beta"], ratio.dtype)
    return jnp.where(beta == 0, 0.0, beta * ratio)


def _penalised(params: dict[str, Any], problem: Problem, log_policy: Array) -> Array:
    return params["reward"].rates(problem, log_policy) - _penalty(params, problem, log_policy)


def _penalised_outcomes(params: dict[str, Any], problem: Problem, log_policy: Array) -> Outcomes:
    values, chances = params["reward"].outcomes(problem, log_policy)
    return values - _penalty(params, problem, log_policy)[:, None], chances


def _floor(floor: float) -> Any:
    _check.unit_interval("floor", floor)
    if not isinstance(floor, Tracer) and floor == 1:
        raise ValueError("floor: 1; must be in [0, 1)")
    return floor


def _floored(params: dict[str, Any], problem: Problem) -> Array:
    table = problem.answer_table()
    return jnp.maximum(table, jnp.asarray(params["floor"], table.dtype))


def _plogp(probability: Array) -> Array:
    return jax.scipy.special.xlogy(probability, probability)

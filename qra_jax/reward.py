r"""Rewards: what a rollout earns on average, given its reasoning pattern.

A `Reward` turns a problem and the current policy into the vector $R_r = E[\text{reward}\mid r]$.
*RLVR* rewards are binary (right or wrong, seen through a verifier); *RLIF* rewards are real numbers read off
the model itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Float

from qra_jax import _check, _show
from qra_jax.problem import Problem

Rates = Float[Array, " patterns"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Reward:
    """The expected reward of each pattern.

    Attributes:
      name: what figures and reports call it.
      function: `(params, problem, log_policy) -> [patterns]`.
      binary: a rollout earns 0 or 1 (rates in [0, 1]); group-normalised algorithms then have exact clocks.
      fixed: the vector does not depend on the policy, so the orbit has its closed form.
      params: differentiable parameters.
    """

    name: str = field(metadata={"static": True})
    function: Callable[[dict[str, Any], Problem, Array], Array] = field(metadata={"static": True})
    binary: bool = field(metadata={"static": True})
    fixed: bool = field(metadata={"static": True})
    params: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Reward({', '.join([self.name, *_show.parameters(self.params)])})"

    def rates(self, problem: Problem, log_policy: Array | None = None) -> Rates:
        """Expected reward of each pattern, `[patterns]`.

        Args:
          problem: the question.
          log_policy: `[patterns]`, log π now; the reference policy where left out.

        Returns:
          `[patterns]`, R_r.
        """
        return self.function(self.params, problem, problem.log_ref if log_policy is None else log_policy)


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


def trajectory_log_prob() -> Reward:
    r"""Log-probability of the whole rollout, held constant (stop-gradient).

    $$ R_r = \log\pi(r) + \sum_a \pi(a\mid r)\log\pi(a\mid r) $$

    Its mean is minus the entropy of the rollout; under the policy gradient it gives exactly −∇H.

    Returns:
      A real-valued `Reward` that depends on the policy (no closed orbit: use the flow).
    """
    return Reward("trajectory-log-prob", _trajectory_log_prob, binary=False, fixed=False)


def _trajectory_log_prob(params: dict[str, Any], problem: Problem, log_policy: Array) -> Array:
    return jax.lax.stop_gradient(log_policy) + jnp.sum(_plogp(problem.answer_table()), axis=-1)


def majority_vote() -> Reward:
    r"""Agreement with the majority answer (TTRL).

    $$ R_r = \pi(\hat a\mid r), \qquad \hat a = \arg\max_a \sum_r \pi(r)\,\pi(a\mid r) $$

    Returns:
      A binary `Reward` that depends on the policy through the vote.

    Reference: Zuo et al., arXiv 2504.16084.
    """
    return Reward("majority-vote", _majority_vote, binary=True, fixed=False)


def _majority_vote(params: dict[str, Any], problem: Problem, log_policy: Array) -> Array:
    table = problem.answer_table()
    vote = jnp.argmax(jnp.exp(log_policy) @ table, axis=-1)
    return jnp.take(table, vote, axis=-1)


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

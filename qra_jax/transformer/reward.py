r"""Rewards of sampled sequences, held constant: the gradient goes through the log-probabilities alone.

The token-level twins of `qra_jax.reward`. Internal rewards read the network's own distributions at the places it
sampled from; at the *last* sampled place self-certainty and token entropy do not depend on what was sampled, so they
give no gradient there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.task import NONE, Verdict

Function = Callable[[dict[str, Any], Array, Rollouts, Verdict], Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SequenceReward:
    """What a sampled sequence earns.

    Attributes:
      name: what figures and reports call it.
      function: `(params, key, rollouts, verdict) -> [N, G]`.
      params: parameters, may be traced.
    """

    name: str = field(metadata={"static": True})
    function: Function = field(metadata={"static": True})
    params: dict[str, Any] = field(default_factory=dict)

    def __call__(self, key: Array, rollouts: Rollouts, verdict: Verdict) -> Float[Array, "N G"]:
        """Rewards of G sequences for each of N questions, without gradient.

        Args:
          key: PRNG key, for rewards that are drawn.
          rollouts: the sequences.
          verdict: of the task's verifier.

        Returns:
          `[N, G]`.
        """
        return jax.lax.stop_gradient(self.function(self.params, key, rollouts, verdict))


def verifiable(
    tpr: float | Array = 1.0, fpr: float | Array = 0.0, *, announced: bool = True
) -> SequenceReward:
    """1 for a right answer, 0 for another, through a verifier that errs.

    Args:
      tpr: true positive rate in [0, 1].
      fpr: false positive rate in [0, 1].
      announced: an answer without its marker counts as wrong.

    Returns:
      A `SequenceReward`.

    Raises:
      ValueError: a rate outside [0, 1].

    Reference: Rad et al., arXiv 2601.04411.
    """
    rates = {"tpr": _check.unit_interval("tpr", tpr), "fpr": _check.unit_interval("fpr", fpr)}

    def function(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verdict) -> Array:
        right = verdict.right & verdict.formatted if announced else verdict.right
        chance = jnp.where(right, params["tpr"], params["fpr"])
        return (jax.random.uniform(key, right.shape) < chance).astype(rollouts.log_prob.dtype)

    return SequenceReward("verifiable", function, rates)


def self_certainty() -> SequenceReward:
    r"""Mean over the tokens of KL(uniform‖π), $\frac1{|o|}\sum_t\bigl[-\log V-\frac1V\sum_v\log\pi_t(v)\bigr]$,
    up to the constant log V.

    Returns:
      A `SequenceReward`, in nats.

    Reference: Zhao et al., arXiv 2505.19590.
    """
    return SequenceReward("self-certainty", lambda params, key, o, verdict: -_mean(o, o.mean_log_prob))


def token_entropy() -> SequenceReward:
    r"""Negative mean entropy of the token distributions, $-\frac1{|o|}\sum_t H(\pi_t)$.

    Returns:
      A `SequenceReward`, in nats.

    Reference: Zhang et al., arXiv 2506.17219; Prabhudesai et al., arXiv 2505.22660.
    """
    return SequenceReward("token entropy", lambda params, key, o, verdict: -_mean(o, o.entropy))


def trajectory_log_prob() -> SequenceReward:
    r"""Log-probability of the sequence, $\sum_t\log\pi(o_t)$; its policy gradient is exactly −∇H of the sequence.

    Returns:
      A `SequenceReward`, in nats.

    Reference: Agarwal et al., arXiv 2505.15134; Zhang et al., arXiv 2506.17219.
    """
    return SequenceReward("trajectory log-prob", lambda params, key, o, verdict: jnp.sum(o.log_prob, axis=-1))


def majority_vote(*, announced: bool = True) -> SequenceReward:
    """1 for the answer that most of the group's sequences give (the lowest-numbered of ties), 0 for another.

    Args:
      announced: answers without their marker neither vote nor earn.

    Returns:
      A `SequenceReward`.

    Reference: Zuo et al., arXiv 2504.16084 (TTRL).
    """

    def function(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verdict) -> Array:
        voting = verdict.answer != NONE
        voting = voting & verdict.formatted if announced else voting
        same = (verdict.answer[..., :, None] == verdict.answer[..., None, :]) & voting[..., None, :]
        votes = jnp.where(voting, jnp.sum(same, axis=-1), 0)
        winners = voting & (votes == jnp.max(votes, axis=-1, keepdims=True))
        chosen = jnp.min(jnp.where(winners, verdict.answer, jnp.iinfo(jnp.int32).max), axis=-1, keepdims=True)
        return (voting & (verdict.answer == chosen)).astype(rollouts.log_prob.dtype)

    return SequenceReward("majority vote", function)


def _mean(rollouts: Rollouts, values: Array) -> Array:
    return jnp.sum(jnp.where(rollouts.where, values, 0.0), axis=-1) / jnp.maximum(rollouts.length, 1)

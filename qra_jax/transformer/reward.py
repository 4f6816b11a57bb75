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
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, ArrayLike, Float

from qra_jax import _check
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.task import NONE, Verification

Function = Callable[[dict[str, Any], Array, Rollouts, Verification], Array]


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

    def __call__(self, key: Array, rollouts: Rollouts, verdict: Verification) -> Float[Array, "N G"]:
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

    return SequenceReward("verifiable", _verify_announced if announced else _verify, rates)


def _verify(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    return _noisy(params, key, verdict.right, rollouts.log_prob.dtype)


def _verify_announced(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    return _noisy(params, key, verdict.right & verdict.formatted, rollouts.log_prob.dtype)


def _noisy(params: dict[str, Any], key: Array, right: Array, dtype: Any) -> Array:
    chance = jnp.where(right, params["tpr"], params["fpr"])
    return (jax.random.uniform(key, right.shape) < chance).astype(dtype)


def self_certainty() -> SequenceReward:
    r"""Mean over the tokens of KL(uniform‖π), $\frac1{|o|}\sum_t\bigl[-\log V-\frac1V\sum_v\log\pi_t(v)\bigr]$,
    up to the constant log V.

    Returns:
      A `SequenceReward`, in nats.

    Reference: Zhao et al., arXiv 2505.19590.
    """
    return SequenceReward("self-certainty", _self_certainty)


def _self_certainty(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    return -_mean(rollouts, rollouts.mean_log_prob)


def token_entropy() -> SequenceReward:
    r"""Negative mean entropy of the token distributions, $-\frac1{|o|}\sum_t H(\pi_t)$.

    Returns:
      A `SequenceReward`, in nats.

    Reference: Zhang et al., arXiv 2506.17219; Prabhudesai et al., arXiv 2505.22660.
    """
    return SequenceReward("token entropy", _token_entropy)


def _token_entropy(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    return -_mean(rollouts, rollouts.entropy)


def trajectory_log_prob() -> SequenceReward:
    r"""Log-probability of the sequence, $\sum_t\log\pi(o_t)$; its policy gradient is exactly −∇H of the sequence.

    Returns:
      A `SequenceReward`, in nats.

    Reference: Agarwal et al., arXiv 2505.15134; Zhang et al., arXiv 2506.17219.
    """
    return SequenceReward("trajectory log-prob", _trajectory_log_prob)


def _trajectory_log_prob(
    params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification
) -> Array:
    return jnp.sum(rollouts.own, axis=-1)


def majority_vote(*, announced: bool = True) -> SequenceReward:
    """1 for the answer that most of the group's sequences give, 0 for another.

    Ties are broken uniformly among the tied answers. In use the winner is the first of them to be sampled, which has
    the same law, because the sequences of a group are exchangeable. The vote of the policy's exact distribution of
    answers (`policy_vote` of `qra_jax.reward`) has no version for networks, whose answers cannot be enumerated.

    Args:
      announced: answers without their marker neither vote nor earn.

    Returns:
      A `SequenceReward`.

    Reference: Zuo et al., arXiv 2504.16084 (TTRL).
    """

    return SequenceReward("majority vote", _vote_announced if announced else _vote)


def _vote(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    return _majority(key, verdict.answer, verdict.answer != NONE, rollouts.log_prob.dtype)


def _vote_announced(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    voting = (verdict.answer != NONE) & verdict.formatted
    return _majority(key, verdict.answer, voting, rollouts.log_prob.dtype)


def _majority(key: Array, answer: Array, voting: Array, dtype: Any) -> Array:
    same = (answer[..., :, None] == answer[..., None, :]) & voting[..., None, :]
    votes = jnp.where(voting, jnp.sum(same, axis=-1), 0)
    winners = voting & (votes == jnp.max(votes, axis=-1, keepdims=True))
    # One lot for each answer: that of the first sequence which gives it.
    lot = jnp.take_along_axis(jax.random.uniform(key, answer.shape), jnp.argmax(same, axis=-1), axis=-1)
    lot = jnp.where(winners, lot, -1.0)
    return (winners & (lot == jnp.max(lot, axis=-1, keepdims=True))).astype(dtype)


def overlong(reward: SequenceReward, length: ArrayLike, buffer: ArrayLike) -> SequenceReward:
    r"""A reward with the soft penalty of overlong sequences.

    $$ R + \begin{cases} 0 & |o|\le L-B\\ (L-B-|o|)/B & L-B<|o|\le L\\ -1 & |o|>L \end{cases} $$

    Args:
      reward: R.
      length: L > 0, tokens.
      buffer: B in (0, L], tokens.

    Returns:
      A `SequenceReward`.

    Raises:
      ValueError: L or B out of range.

    Reference: Yu et al., arXiv 2503.14476, eq. 13 (DAPO).
    """
    _check.positive("length", length)
    _check.positive("buffer", buffer)
    if (
        not isinstance(length, Tracer)
        and not isinstance(buffer, Tracer)
        and np.any(np.greater(buffer, length))
    ):
        raise ValueError(f"buffer: {buffer}; must be at most length = {length}")
    params = {"reward": reward, "length": length, "buffer": buffer}
    return SequenceReward(f"{reward.name}, not overlong", _overlong, params)


def _overlong(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    earned = params["reward"](key, rollouts, verdict)
    length, buffer = (jnp.asarray(params[name], earned.dtype) for name in ("length", "buffer"))
    over = jnp.clip((rollouts.length - (length - buffer)) / buffer, 0, 1)
    return earned - over


def _mean(rollouts: Rollouts, values: Array) -> Array:
    return jnp.sum(jnp.where(rollouts.where, values, 0.0), axis=-1) / jnp.maximum(rollouts.length, 1)

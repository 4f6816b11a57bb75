"""Rewards of single steps, in tasks that check each of them, and of parts that match."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _check
from qra_jax.transformer.reward import SequenceReward
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.task import Verification


def process_gated(floor: Any = 0.2, *, announced: bool = True) -> SequenceReward:
    r"""Steps count, but only of right answers: $R=\mathbb 1[\text{right}]\,\{f+(1-f)\,\text{process}\}$.

    Args:
      floor: f in [0, 1], of a right answer without any right step; at 1 it is the verifier's reward.
      announced: an answer that is not formatted counts as wrong.

    Returns:
      A `SequenceReward` for tasks whose verifier gives the share of right steps, `Verification.progress`.

    Raises:
      ValueError: floor outside [0, 1]; at the call, a task that does not check steps.

    Reference: Zhang et al., arXiv 2512.07783 (f = .2).

    >>> process_gated(0.5).name
    'process-gated'
    """
    params = {"floor": _check.unit_interval("floor", floor)}
    return SequenceReward("process-gated", _announced if announced else _any, params)


def matching() -> SequenceReward:
    """The share of the segment, or of the steps, that matches, in [0, 1]: `progress` of the verifier.

    Returns:
      A `SequenceReward`, for tasks whose verifier tells the progress.
    """
    return SequenceReward("matching share", _matching)


def _matching(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    if verdict.progress is None:
        raise ValueError("verdict.progress: None; must be told, as by the graph task or next_segment")
    return verdict.progress


def _any(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    floor = jnp.asarray(params["floor"], rollouts.log_prob.dtype)
    progress = _matching(params, key, rollouts, verdict).astype(floor.dtype)
    return jnp.where(verdict.right, floor + (1 - floor) * progress, 0.0)


def _announced(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    return jnp.where(verdict.formatted, _any(params, key, rollouts, verdict), 0.0)

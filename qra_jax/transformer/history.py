"""Old rollouts: the parameters that sample, where they are those of some steps ago."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from qra_jax.off_policy import OffPolicy
from qra_jax.transformer.model import Params

LONGEST = 64
"""The largest age for which all parameters in between are kept."""


def check(off_policy: OffPolicy) -> None:
    """Refuse an age for which too many copies of the parameters would be kept.

    Args:
      off_policy: its `staleness` and `schedule`.

    Raises:
      ValueError: a delay of more than `LONGEST` steps.
    """
    age = off_policy.staleness
    if off_policy.schedule == "delayed" and age > LONGEST:
        raise ValueError(
            f"staleness: {age}; must be at most {LONGEST} with schedule 'delayed', which keeps as many copies of "
            "the parameters"
        )


def start(off_policy: OffPolicy, params: Params) -> Any:
    """What is carried from step to step: nothing for new rollouts.

    Args:
      off_policy: its `staleness` S and `schedule`.
      params: those of the start, which sample until S steps are done.

    Returns:
      A pytree for [`sampler`][].
    """
    age = off_policy.staleness
    if not age or off_policy.schedule == "held":
        return params if age else ()
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (age, *x.shape)), params)


def sampler(off_policy: OffPolicy, params: Params, memory: Any, index: Int[Array, ""]) -> tuple[Params, Any]:
    """The parameters that sample the rollouts of a step, those of step max(i − S, 0) or of the last hand-over.

    Args:
      off_policy: its `staleness` and `schedule`.
      params: of the step's beginning.
      memory: from [`start`][], or from the step before.
      index: i = 0, 1, …

    Returns:
      The parameters, and what is kept for the next step.
    """
    age = off_policy.staleness
    if not age:
        return params, memory
    if off_policy.schedule == "held":
        memory = jax.tree.map(lambda new, old: jnp.where(index % age == 0, new, old), params, memory)
        return memory, memory
    place = index % age
    old = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, place, keepdims=False), memory)
    memory = jax.tree.map(
        lambda x, new: jax.lax.dynamic_update_index_in_dim(x, new, place, 0), memory, params
    )
    return old, memory

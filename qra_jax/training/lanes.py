"""Lanes: many runs side by side in the *last* axis, where the processor's vector units want them.

A run is written for arrays `[patterns, *lanes]`. Under `jax.vmap` the mapped axis becomes one more lane axis
instead of the first axis, as many times as it is mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array


def trailing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let `jax.vmap` of a function add a last axis to each of its arrays, where it would add a first one.

    Args:
      function: takes and returns pytrees of arrays; rank-polymorphic in their last axes.

    Returns:
      The function, with that rule.
    """
    call = custom_vmap(function)

    @call.def_vmap
    def rule(size: int, mapped: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        def move(leaf: Array, is_mapped: bool) -> Array:
            if is_mapped:
                return jnp.moveaxis(leaf, 0, -1)
            return jnp.broadcast_to(leaf[..., None], (*leaf.shape, size))

        result = call(*jax.tree.map(move, args, tuple(mapped)))
        result = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), result)
        return result, jax.tree.map(lambda _: True, result)

    return call


def each(function: Callable[..., Any], lanes: int) -> Callable[..., Any]:
    """Map a function of one run over the last `lanes` axes of all its arguments, results likewise.

    Args:
      function: takes and returns pytrees of arrays.
      lanes: how many axes.

    Returns:
      The mapped function.
    """
    for _ in range(lanes):
        function = jax.vmap(function, in_axes=-1, out_axes=-1)
    return function


def expand(value: Array, ndim: int) -> Array:
    """Leading axes of length one, so that a number per lane meets arrays `[patterns, *lanes]`."""
    return jnp.reshape(value, (1,) * (ndim - value.ndim) + value.shape)

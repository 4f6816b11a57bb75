"""Functions that close over traced values, and what custom rules need of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array


def hoisted(function: Callable[..., Any], *examples: Any) -> tuple[Callable[..., Any], list[Array]]:
    """Turn what a function closes over into an argument, where it is traced.

    Custom rules for `vmap` and derivatives see only arguments; a learning rate under `jax.vmap` may hide inside an
    optimiser.

    Args:
      function: of arrays; may close over traced values.
      *examples: arguments of the shapes to come.

    Returns:
      A function `(held, *arguments)` and `held`, the traced values.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*examples)
    tree = jax.tree.structure(shape)
    traced = [isinstance(const, Tracer) for const in closed.consts]

    def pure(held: list[Array], *args: Any) -> Any:
        rest = iter(held)
        consts = [
            next(rest) if is_traced else const for const, is_traced in zip(closed.consts, traced, strict=True)
        ]
        flat = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))(*jax.tree.leaves(args))
        return jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in flat])

    return pure, [const for const, is_traced in zip(closed.consts, traced, strict=True) if is_traced]

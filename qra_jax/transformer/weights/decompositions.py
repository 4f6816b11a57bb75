"""Decompositions of stacks of matrices, one matrix at a time on a CPU.

Several decompositions of stacks in one program can wait for each other for ever on a CPU of few cores (jaxlib 0.10:
each blocks a thread of the pool that is to do its work).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.custom_batching
import jax.numpy as jnp
from jaxtyping import Array, Float


def singular(m: Float[Array, "*b rows cols"]) -> tuple[Array, Array, Array]:
    """Singular value decomposition, $m = U\\,{\\rm diag}(\\sigma)\\,V^\\top$.

    Args:
      m: `[..., rows, cols]`.

    Returns:
      U `[..., rows, k]`, σ `[..., k]` from the largest on, Vᵀ `[..., k, cols]`, k = min(rows, cols).
    """
    return _each(lambda one: tuple(jnp.linalg.svd(one, full_matrices=False)), m)


def singular_values(m: Float[Array, "*b rows cols"]) -> Float[Array, "*b k"]:
    """Singular values alone, from the largest on.

    Args:
      m: `[..., rows, cols]`.

    Returns:
      `[..., min(rows, cols)]`.
    """
    return _each(lambda one: jnp.linalg.svd(one, compute_uv=False), m)


def left_frame(m: Float[Array, "*b rows cols"]) -> Float[Array, "*b rows rows"]:
    """All left singular vectors, those of the singular value zero included.

    Args:
      m: `[..., rows, cols]`.

    Returns:
      `[..., rows, rows]`.
    """
    return _each(lambda one: jnp.linalg.svd(one)[0], m)


def symmetric(m: Float[Array, "*b rows rows"]) -> tuple[Array, Array]:
    """Eigenvalues, from the smallest on, and eigenvectors of symmetric matrices.

    Args:
      m: `[..., rows, rows]`.

    Returns:
      `[..., rows]` and `[..., rows, rows]`.
    """
    return _each(lambda one: tuple(jnp.linalg.eigh(one)), m)


def orthonormal(m: Float[Array, "*b rows cols"]) -> Float[Array, "*b rows k"]:
    """Orthonormal columns that span those of matrices.

    Args:
      m: `[..., rows, cols]`.

    Returns:
      `[..., rows, min(rows, cols)]`.
    """
    return _each(lambda one: jnp.linalg.qr(one)[0], m)


def _each(function: Callable[[Array], Any], m: Array) -> Any:
    """A function of one matrix for all of a stack."""
    if jax.default_backend() != "cpu":
        return function(m)
    alone = jax.custom_batching.sequential_vmap(function)
    if m.ndim == 2:
        return alone(m)
    seen = jax.lax.map(alone, m.reshape(-1, *m.shape[-2:]))
    return jax.tree.map(lambda x: x.reshape(*m.shape[:-2], *x.shape[1:]), seen)

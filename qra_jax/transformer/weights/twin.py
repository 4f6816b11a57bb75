"""The null of every read-out of an update: a Gaussian update as long in every matrix, stored in the same format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _check
from qra_jax.transformer.model import Params, wide
from qra_jax.transformer.weights.parts import difference, grown, kind, paired

FORMATS = {"bfloat16": (8, 7), "float16": (5, 10), "float32": (8, 23), "float64": (11, 52)}
"""Formats that weights are stored in: bits of the exponent, and of the fraction."""
FURTHER, HALVINGS = 8.0, 24
"""Octaves of the step's length that are searched, and how often they are halved, where rounding decides of it."""


def gaussian(key: Array, base: Params, tuned: Params) -> Params:
    r"""The Gaussian twin: weights that moved as far as the tuned ones, in a direction that no training chose.

    $$ W_0 + \|W-W_0\|_F\,G/\|G\|_F,\qquad G_{ij}\sim{\mathcal N}(0, 1) $$

    Args:
      key: PRNG key; every matrix has its own draw.
      base: parameters as `transformer.init` gives them, or one matrix `[..., rows, cols]`.
      tuned: of the same names and shapes.

    Returns:
      As `tuned`, in its storage formats. Its update has, in every matrix (and in the vector of every norm), the
      Frobenius norm of the tuned one: in shorter formats the length of the step before rounding is searched for
      which the rounded one comes nearest, as rounding loses the small entries of a step and makes others longer. A
      leaf that did not move is as in base. With weights in float32 that are to be compared in bfloat16, pass base
      and tuned through [`rounded`][] and store both so.

    Raises:
      ValueError: parameters of other names or shapes.

    Reference: a null for Zhu et al., arXiv 2511.08567, and Mukherjee et al., arXiv 2505.11711.
    """
    if not isinstance(base, Mapping):
        if jnp.shape(base) != jnp.shape(tuned):
            raise ValueError(f"tuned: shape {jnp.shape(tuned)}; must be {jnp.shape(base)}, as base has")
        if jnp.ndim(base) < 2:
            raise ValueError(f"base: shape {jnp.shape(base)}; must be [..., rows, cols], or a dictionary")
        return _gaussian(key, base, tuned, (-2, -1))
    leaves = {}
    for index, (name, pair) in enumerate(paired(base, tuned).items()):
        axes = (-1,) if kind(name) == "norm" else (-2, -1)
        leaves[name] = _gaussian(jax.random.fold_in(key, index), *pair, axes)
    return grown(leaves)


def rounded(params: Params, dtype: str = "bfloat16") -> Params:
    """Parameters as they come back from storage: rounded to a format, to the nearest (ties to even), and back.

    Args:
      params: a pytree of arrays, or one array.
      dtype: format of the storage: "bfloat16", "float16", "float32" or "float64".

    Returns:
      Of the same shapes and formats; infinite above the range of the format (65504 for float16).

    Raises:
      ValueError: another format.
    """
    _check.choice("dtype", dtype, tuple(FORMATS))
    return jax.tree.map(lambda x: _round(x, dtype), params)


def stored(x: Array, dtype: Any) -> Array:
    """An array in another format, rounded once; a cast alone may be left out where a compiled program casts back.

    Args:
      x: array of any shape.
      dtype: name of the format, or a dtype.

    Returns:
      The array in that format.
    """
    return _round(x, jnp.dtype(dtype).name).astype(dtype)


def _round(x: Array, dtype: str) -> Array:
    if jnp.promote_types(x.dtype, dtype) == jnp.dtype(dtype):
        return x
    exponent, mantissa = FORMATS[dtype]
    value = jax.lax.reduce_precision(wide(x), exponent, mantissa)
    if dtype == "float16":  # whose numbers below 2⁻¹⁴, among which are weights, are 2⁻²⁴ apart
        value = jnp.where(jnp.abs(x) < 2.0**-14, jnp.round(wide(x) * 2.0**24) * 2.0**-24, value)
    return value.astype(x.dtype)


def _gaussian(key: Array, before: Array, now: Array, axes: tuple[int, ...]) -> Array:
    delta = difference(before, now)
    draw = jax.random.normal(key, delta.shape, delta.dtype)
    length = lambda x: jnp.sqrt(jnp.sum(x**2, axis=axes, keepdims=True))  # noqa: E731
    wanted, start = length(delta), before.astype(delta.dtype)
    step = draw * (wanted / length(draw))
    if jnp.finfo(now.dtype).bits >= 32:
        return stored(start + step, now.dtype)

    def halve(_: Any, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket  # logarithms of the factor by which the step before rounding is longer
        middle = (low + high) / 2
        moved = length(stored(start + step * 2.0**middle, now.dtype).astype(delta.dtype) - start)
        return jnp.where(moved < wanted, middle, low), jnp.where(moved < wanted, high, middle)

    ends = jnp.full_like(wanted, -FURTHER), jnp.full_like(wanted, FURTHER)
    low, high = jax.lax.fori_loop(0, HALVINGS, halve, ends)
    return stored(start + step * 2.0 ** ((low + high) / 2), now.dtype)

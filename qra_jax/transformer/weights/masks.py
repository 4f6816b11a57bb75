"""Which weights are principal, small, or changed by training, and whether two such masks agree more than by chance."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from qra_jax import _check
from qra_jax.transformer.model import wide
from qra_jax.transformer.weights import twin
from qra_jax.transformer.weights.low_rank import part
from qra_jax.transformer.weights.spectra import directions

How = str | tuple[str, float]
"""When a weight counts as changed: a format, whose bits must differ, or ("relative" | "absolute", tolerance)."""
BITS = {"bfloat16": jnp.uint16, "float16": jnp.uint16, "float32": jnp.uint32}
"""Formats whose bits may be compared, with the integers that hold them."""


class Agreement(NamedTuple):
    """How far two masks agree, beside what independent masks of the same sizes do."""

    value: Float[Array, "*b"]
    """Measured, in [0, 1]."""
    chance: Float[Array, "*b"]
    """Expected where which entries belong to one mask says nothing about the other."""
    spread: Float[Array, "*b"]
    """Standard deviation of the value by such chance (entries exchangeable; real masks have rows and columns)."""


def principal(
    w0: Float[Array, "*b rows cols"], rank: int | float, density: float | Array
) -> Bool[Array, "*b rows cols"]:
    """The principal weights: the largest entries, in magnitude, of the best approximation of low rank.

    Args:
      w0: `[..., rows, cols]`, weights of the base.
      rank: of the approximation: a whole number in 1 … min(rows, cols), or a share of min(rows, cols) in (0, 1],
        of which at least one direction is taken.
      density: share of the entries to mark, in [0, 1]; a number, or `[...]`.

    Returns:
      `[..., rows, cols]`, with round(density · rows · cols) entries marked in each matrix.

    Raises:
      ValueError: rank or density out of range.

    Reference: Zhu et al., arXiv 2511.08567 (principal mask); Liu et al., arXiv 2506.00772 (principal weights).
    """
    side = min(w0.shape[-2:])
    if isinstance(rank, float):
        if not 0 < rank <= 1:
            raise ValueError(f"rank: {rank}; must be a share in (0, 1], or a whole number in 1 … {side}")
        rank = max(1, round(rank * side))
    return largest(part(w0, 0, directions("rank", rank, w0.shape)), density)


def low_magnitude(w0: Float[Array, "*b rows cols"], density: float | Array) -> Bool[Array, "*b rows cols"]:
    """The weights of smallest magnitude.

    Args:
      w0: `[..., rows, cols]`, weights of the base.
      density: share of the entries to mark, in [0, 1]; a number, or `[...]`.

    Returns:
      `[..., rows, cols]`, with round(density · rows · cols) entries marked in each matrix; of equal ones, the first.

    Raises:
      ValueError: density out of range.

    Reference: Zhu et al., arXiv 2511.08567.
    """
    return _first(jnp.abs(w0), density)


def largest(delta: Float[Array, "*b rows cols"], density: float | Array) -> Bool[Array, "*b rows cols"]:
    """The entries of largest magnitude: of an update, a mask that no storage format has a part in.

    Args:
      delta: `[..., rows, cols]`, updates ΔW.
      density: share of the entries to mark, in [0, 1]; a number, or `[...]`, such as the density of another mask.

    Returns:
      `[..., rows, cols]`, with round(density · rows · cols) entries marked in each matrix; of equal ones, the first.

    Raises:
      ValueError: density out of range.
    """
    return _first(-jnp.abs(delta), density)


def at_random(key: Array, shape: tuple[int, ...], density: float | Array) -> Bool[Array, "*b rows cols"]:
    """The null of all masks: entries drawn at random, as many in each matrix.

    Args:
      key: PRNG key.
      shape: `[..., rows, cols]`, of the masks.
      density: share of the entries to mark, in [0, 1]; a number, or `[...]`.

    Returns:
      `[..., rows, cols]`, with round(density · rows · cols) entries marked in each matrix.

    Raises:
      ValueError: density out of range.
    """
    return _first(jax.random.uniform(key, shape), density)


def changed(
    w0: Float[Array, "*b"], w1: Array, how: How = "bfloat16", stored: str | None = None
) -> Bool[Array, "*b"]:
    r"""Which weights training changed.

    $$ {\rm bits}(w_1)\ne{\rm bits}(w_0),\qquad |w_1-w_0|>\eta\max(|w_0|,|w_1|),\qquad |w_1-w_0|>\eta $$

    Args:
      w0: weights of the base, of any shape.
      w1: weights after training, of the same shape.
      how: one of `BITS`, in which the bits differ after rounding to the nearest; or ("relative", η), 1e-3 in
        arXiv 2511.08567; or ("absolute", η), 1e-5 in arXiv 2505.11711; η ≥ 0.
      stored: a format of `twin.rounded` that both are rounded to before they are compared; default: as they are.
        In bfloat16, where neighbours differ by 2⁻⁸ or more of the larger, relative 1e-3 says the same as the bits
        (but for the sign of zero).

    Returns:
      Of that shape. Nothing is said of the update but that it exceeds the grid: the share depends on its norm, so
      compare with `twin.gaussian` (and rerun in full precision with [`largest`][]).

    Raises:
      ValueError: another format or criterion, a negative η, or shapes that differ.

    Reference: Zhu et al., arXiv 2511.08567 (bf16-aware probe); Mukherjee et al., arXiv 2505.11711 (tolerance 1e-5).
    """
    if w0.shape != w1.shape:
        raise ValueError(f"w1: shape {w1.shape}; must be {w0.shape}, as w0 has")
    if stored is not None:
        w0, w1 = twin.rounded((w0, w1), stored)
    if isinstance(how, str):
        bits = BITS[_check.choice("how", how, tuple(BITS))]
        before, now = (jax.lax.bitcast_convert_type(twin.stored(x, how), bits) for x in (w0, w1))
        return before != now
    criterion, tolerance = how
    _check.choice("how", criterion, ("relative", "absolute"))
    _check.nonnegative("how", tolerance)
    before, now = wide(w0), wide(w1)
    step = jnp.abs(now - before)
    if criterion == "absolute":
        return step > tolerance
    return step > tolerance * jnp.maximum(jnp.abs(before), jnp.abs(now))


def density(mask: Bool[Array, "*b rows cols"]) -> Float[Array, "*b"]:
    """Share of the entries that a mask marks; one minus it is the sparsity of an update.

    Args:
      mask: `[..., rows, cols]`.

    Returns:
      `[...]`, in [0, 1].
    """
    return jnp.mean(mask, axis=(-2, -1))


def overlap(a: Bool[Array, "*b rows cols"], b: Array) -> Agreement:
    r"""Share of one mask that lies in another one, $|a\cap b|/|a|$, beside its chance level $|b|/{\rm size}$.

    Args:
      a: `[..., rows, cols]`, such as the changed weights.
      b: `[..., rows, cols]`, such as the principal weights.

    Returns:
      `Agreement`, `[...]`; the value and its spread are NaN where `a` is empty.

    Raises:
      ValueError: shapes that differ.
    """
    both, first, second, size = _counts(a, b)
    deviation = _deviation(first, second, size)
    return Agreement(both / first, second / size, deviation / first)


def jaccard(a: Bool[Array, "*b rows cols"], b: Array) -> Agreement:
    r"""Shared part of two masks in their union, beside the value of independent masks of their densities p and q.

    $$ \frac{|a\cap b|}{|a\cup b|},\qquad \text{by chance}\quad\frac{pq}{p+q-pq} $$

    Args:
      a: `[..., rows, cols]`, such as the weights that one seed changed.
      b: `[..., rows, cols]`, such as the weights that another seed changed.

    Returns:
      `Agreement`, `[...]`, NaN where both are empty. Chance and spread are those of large matrices.

    Raises:
      ValueError: shapes that differ.
    """
    both, first, second, size = _counts(a, b)
    expected = first * second / size
    union = first + second - expected
    spread = _deviation(first, second, size) * (first + second) / union**2
    return Agreement(both / (first + second - both), expected / union, spread)


def _counts(a: Array, b: Array) -> tuple[Array, Array, Array, int]:
    if a.shape != b.shape:
        raise ValueError(f"b: shape {b.shape}; must be {a.shape}, as a has")
    both, first, second = (jnp.sum(x, axis=(-2, -1)).astype(jnp.result_type(float)) for x in (a & b, a, b))
    return both, first, second, math.prod(a.shape[-2:])


def _deviation(first: Array, second: Array, size: int) -> Array:
    """Standard deviation of the number of common entries: hypergeometric."""
    p, q = first / size, second / size
    return jnp.sqrt(size * p * (1 - p) * q * (1 - q) * size / max(size - 1, 1))


def _first(score: Array, density: float | Array) -> Array:
    """The entries of lowest score, as many as the density says, in every matrix."""
    _check.unit_interval("density", density)
    *batch, rows, cols = score.shape
    if jnp.ndim(density) and jnp.shape(density) != tuple(batch):
        raise ValueError(f"density: shape {jnp.shape(density)}; must be a number, or {tuple(batch)}")
    size = rows * cols
    count = round(density * size) if isinstance(density, float) else jnp.round(density * size)
    order = jnp.argsort(score.reshape(*batch, size), axis=-1, stable=True)
    place = jax.lax.broadcasted_iota(int, order.shape, order.ndim - 1)
    chosen = place < jnp.broadcast_to(jnp.asarray(count)[..., None], (*batch, 1))
    marks = jnp.put_along_axis(jnp.zeros(order.shape, bool), order, chosen, axis=-1, inplace=False)
    return marks.reshape(score.shape)

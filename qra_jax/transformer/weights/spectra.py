"""Singular values of weight matrices and of their updates, and what is said with them about rank."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from qra_jax import _check
from qra_jax.transformer.model import wide
from qra_jax.transformer.weights import decompositions

# Every study compares these with the same numbers of an update without structure, `twin.gaussian`.


def singular_values(m: Float[Array, "*b rows cols"]) -> Float[Array, "*b rank"]:
    """Singular values, largest first, in float32 at least.

    Args:
      m: `[..., rows, cols]`.

    Returns:
      `[..., min(rows, cols)]`, zero or above; NaN for a matrix with NaN or infinite entries.
    """
    return decompositions.singular_values(wide(m))


def stable_rank(m: Float[Array, "*b rows cols"]) -> Float[Array, "*b"]:
    r"""The stable rank, a soft count of the directions that carry the norm.

    $$ \|m\|_F^2 / \sigma_1^2 $$

    Args:
      m: `[..., rows, cols]`.

    Returns:
      `[...]`, in [1, min(rows, cols)], at most the rank; 0 for a matrix of zeros, whose rank is 0.
    """
    relative = _relative(singular_values(m))
    return jnp.sum(relative**2, axis=-1)


def numerical_rank(
    m: Float[Array, "*b rows cols"], tolerance: float | Float[Array, ""] | None = None
) -> Int[Array, "*b"]:
    r"""Number of singular values that are no rounding errors.

    $$ \#\{i : \sigma_i > \epsilon\max({\rm rows}, {\rm cols})\,\sigma_1\} $$

    Args:
      m: `[..., rows, cols]`.
      tolerance: in place of ε max(rows, cols), relative to σ₁, ≥ 0; default: numpy's, with the ε of float32 for
        matrices in bfloat16, float16 and float32. An update whose matrices were *stored* in bfloat16 holds their
        rounding errors and so has nearly full rank, whatever made it: compare with `twin.gaussian`.

    Returns:
      `[...]`, in 0 … min(rows, cols); −1 for a matrix with NaN or infinite entries.

    Raises:
      ValueError: a negative tolerance.

    Reference: Mukherjee et al., arXiv 2505.11711 (rank of updates).
    """
    sigma = singular_values(m)
    if tolerance is None:
        tolerance = default_tolerance(m)
    else:
        _check.nonnegative("tolerance", tolerance)
    count = jnp.sum(sigma > tolerance * sigma[..., :1], axis=-1).astype(jnp.int32)
    return jnp.where(jnp.isfinite(sigma[..., 0]), count, -1)


def top_share(m: Float[Array, "*b rows cols"], k: int = 1, of: str = "norm") -> Float[Array, "*b"]:
    r"""Share of the k largest singular values in the whole matrix: in its norm, or in its energy.

    $$ \|m_k\|_F/\|m\|_F\quad\text{or}\quad \|m_k\|_F^2/\|m\|_F^2,\qquad \|m_k\|_F^2=\sum_{i\le k}\sigma_i^2 $$

    Args:
      m: `[..., rows, cols]`.
      k: number of directions, 1 … min(rows, cols).
      of: "norm", the Frobenius norm, or "energy", its square.

    Returns:
      `[...]`, in (0, 1]; 1 for a matrix of rank k or below, and so for zeros. The share of the norm is 1/α of
      `low_rank.alpha`.

    Raises:
      ValueError: k or `of` out of range.

    Reference: Cai et al., arXiv 2510.00553 (rank-1 share of the norm).
    """
    directions("k", k, m.shape)
    _check.choice("of", of, ("norm", "energy"))
    energy = _relative(singular_values(m)) ** 2
    total = jnp.sum(energy, axis=-1)
    share = jnp.where(total == 0, 1.0, jnp.sum(energy[..., :k], axis=-1) / jnp.where(total == 0, 1.0, total))
    return share if of == "energy" else jnp.sqrt(share)


def default_tolerance(m: Float[Array, "*b rows cols"]) -> float:
    """Numpy's default: ε max(rows, cols), the share of σ₁ up to which a singular value counts as zero."""
    return float(jnp.finfo(jnp.promote_types(m.dtype, jnp.float32)).eps) * max(m.shape[-2:])


def directions(name: str, k: int, shape: tuple[int, ...], low: int = 1) -> int:
    """A number of singular directions that matrices of this shape have, checked.

    Args:
      name: of the argument.
      k: its value.
      shape: `[..., rows, cols]` of the matrices.
      low: smallest value allowed.

    Returns:
      k.

    Raises:
      ValueError: k outside low … min(rows, cols).
    """
    if _check.integer(name, k, low=low) > min(shape[-2:]):
        rows, cols = shape[-2:]
        raise ValueError(
            f"{name}: {k}; must be in {low} … {min(rows, cols)}, as matrices are {rows} × {cols}"
        )
    return k


def _relative(sigma: Array) -> Array:
    """Singular values over the largest one, which cannot overflow when squared; zeros stay."""
    first = sigma[..., :1]
    return sigma / jnp.where(first == 0, 1.0, first)

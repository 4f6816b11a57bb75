"""How far training turns the singular subspaces of the weights, and how much it changes their singular values."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax.transformer.model import wide
from qra_jax.transformer.weights import decompositions
from qra_jax.transformer.weights.spectra import default_tolerance, directions, singular_values


class Angles(NamedTuple):
    """Principal angles between the first k singular directions of two matrices, smallest first, in radians."""

    left: Float[Array, "*b k"]
    """Between the spaces of columns: left singular vectors."""
    right: Float[Array, "*b k"]
    """Between the spaces of rows: right singular vectors."""


class Shared(NamedTuple):
    """A share of left, right and both singular subspaces, beside what is expected of unrelated ones."""

    left: Float[Array, "*b"]
    """Of the first k left singular vectors."""
    right: Float[Array, "*b"]
    """Of the first k right singular vectors."""
    both: Float[Array, "*b"]
    """Of both: their mean (`rotation`), or what lies in both at once (`principal_energy`)."""
    chance_left: float
    """k/rows."""
    chance_right: float
    """k/cols."""
    chance_both: float
    """The mean of the two (`rotation`), or their product (`principal_energy`)."""


def principal_angles(a: Float[Array, "*b rows cols"], b: Array, k: int) -> Angles:
    r"""Principal angles between the first k left, and right, singular subspaces of two matrices.

    $$ \cos\theta_i = \sigma_i(U_{a,k}^\top U_{b,k}) $$

    Args:
      a: `[..., rows, cols]`, such as the weights of the base.
      b: `[..., rows, cols]`, such as the weights after training.
      k: number of directions, 1 … min(rows, cols).

    Returns:
      `Angles`, each `[..., k]`, in [0, π/2], smallest first, exact near 0 and near π/2; NaN where a or b has a rank
      below k, so that there are no k directions to speak of. Of k = rows (or cols) directions, all angles are 0.

    Raises:
      ValueError: k out of range, or shapes that differ.

    Reference: Zhu et al., arXiv 2511.08567; Knyazev, Argentati, SIAM J. Sci. Comput. 23 (2002), alg. 3.1.
    """
    if a.shape != b.shape:
        raise ValueError(f"b: shape {b.shape}; must be {a.shape}, as a has")
    directions("k", k, a.shape)
    pairs = zip(_frames(a, k), _frames(b, k), strict=True)
    left, right = (_angles(*pair) for pair in pairs)
    return Angles(left, right)


def rotation(angles: Angles, rows: int, cols: int) -> Shared:
    r"""How much of the first k singular subspaces two matrices share.

    $$ \frac1k\sum_i\cos^2\theta_i $$

    Args:
      angles: from [`principal_angles`][], `[..., k]`.
      rows: number of rows of the matrices.
      cols: number of columns of the matrices.

    Returns:
      `Shared`, `[...]`, in [0, 1]: 1 without any rotation; k/rows and k/cols are expected of random subspaces.
    """
    k = angles.left.shape[-1]
    left, right = (jnp.mean(jnp.cos(theta) ** 2, axis=-1) for theta in angles)
    return Shared(left, right, (left + right) / 2, k / rows, k / cols, (k / rows + k / cols) / 2)


def principal_energy(w0: Float[Array, "*b rows cols"], delta: Array, k: int) -> Shared:
    r"""Share of an update's energy that lies in the first k singular subspaces of the base.

    $$ \|U_k^\top\Delta\|_F^2/\|\Delta\|_F^2,\qquad \|\Delta V_k\|_F^2/\|\Delta\|_F^2,\qquad
       \|U_k^\top\Delta V_k\|_F^2/\|\Delta\|_F^2 $$

    Args:
      w0: `[..., rows, cols]`, weights of the base.
      delta: `[..., rows, cols]`, updates ΔW.
      k: number of directions, 1 … min(rows, cols).

    Returns:
      `Shared`, `[...]`, in [0, 1]; a Gaussian update has the chance levels in the mean. Below them the update is
      off the principals. NaN for a zero update, and where w0 has a rank below k.

    Raises:
      ValueError: k out of range, or shapes that differ.

    Reference: Zhu et al., arXiv 2511.08567 (off-principal alignment of updates).
    """
    if w0.shape != delta.shape:
        raise ValueError(f"delta: shape {delta.shape}; must be {w0.shape}, as w0 has")
    directions("k", k, w0.shape)
    rows, cols = w0.shape[-2:]
    u, v = _frames(w0, k)
    delta = wide(delta)
    unit = delta / jnp.linalg.norm(delta, axis=(-2, -1), keepdims=True)
    seen = jnp.swapaxes(u, -1, -2) @ unit
    left, right, both = (jnp.sum(x**2, axis=(-2, -1)) for x in (seen, unit @ v, seen @ v))
    return Shared(left, right, both, k / rows, k / cols, k**2 / (rows * cols))


def spectral_drift(a: Float[Array, "*b rows cols"], b: Array) -> Float[Array, "*b"]:
    r"""The normalised spectral shift: how much the singular values change, whatever the directions do.

    $$ \|\sigma(b)-\sigma(a)\|_2/\|\sigma(a)\|_2 $$

    Args:
      a: `[..., rows, cols]`, such as the weights of the base.
      b: `[..., rows, cols]`, such as the weights after training.

    Returns:
      `[...]`, zero or above, at most ‖b − a‖_F/‖a‖_F; 0 where both are zero, infinite where only a is.

    Raises:
      ValueError: shapes that differ.

    Reference: Zhu et al., arXiv 2511.08567 (NSS).
    """
    if a.shape != b.shape:
        raise ValueError(f"b: shape {b.shape}; must be {a.shape}, as a has")
    before, now = singular_values(a), singular_values(b)
    moved, length = jnp.linalg.norm(now - before, axis=-1), jnp.linalg.norm(before, axis=-1)
    return jnp.where(moved == 0, 0.0, moved / jnp.where(moved == 0, 1.0, length))


def _frames(m: Array, k: int) -> tuple[Array, Array]:
    """The first k left and right singular vectors, `[..., rows, k]` and `[..., cols, k]`; NaN below rank k."""
    u, sigma, v = decompositions.singular(wide(m))
    there = sigma[..., k - 1] > default_tolerance(m) * sigma[..., 0]
    left, right = u[..., :k], jnp.swapaxes(v, -1, -2)[..., :k]
    return jnp.where(there[..., None, None], left, jnp.nan), jnp.where(there[..., None, None], right, jnp.nan)


def _angles(a: Array, b: Array) -> Array:
    """Angles from sines and cosines, of which one is exact where the other is not."""
    overlap = jnp.swapaxes(a, -1, -2) @ b
    cosines = decompositions.singular_values(overlap)
    sines = decompositions.singular_values(b - a @ overlap)[..., ::-1]
    return jnp.arctan2(sines, cosines)

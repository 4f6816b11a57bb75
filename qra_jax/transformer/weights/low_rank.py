"""Networks rebuilt from a few singular directions of their update, with the directions that serve as nulls."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.transformer.model import Params, wide
from qra_jax.transformer.weights import decompositions
from qra_jax.transformer.weights.parts import MATRICES, difference, grown, kind, matrix_kinds, paired
from qra_jax.transformer.weights.spectra import default_tolerance, directions, top_share
from qra_jax.transformer.weights.twin import stored

Scale = str | float | int | Array
"""How long a part is made: "norm" (as the whole update), "own" (as it is), or λ times the whole update."""


def part(
    delta: Float[Array, "*b rows cols"], first: int = 0, last: int | None = 1
) -> Float[Array, "*b rows cols"]:
    r"""Some singular directions of an update.

    $$ \sum_{{\rm first}\le i<{\rm last}}\sigma_i u_i v_i^\top $$

    Args:
      delta: `[..., rows, cols]`, updates ΔW.
      first: 0 for the largest singular value on, 1 for the second, … below `last`.
      last: the first direction left out, up to min(rows, cols); None: all the rest.

    Returns:
      `[..., rows, cols]`, in float32 at least. Singular values up to numpy's default tolerance count as zero, so
      that the second direction of a matrix of rank one is zero and no rounding error.

    Raises:
      ValueError: first or last out of range.
    """
    last = directions("last", min(delta.shape[-2:]) if last is None else last, delta.shape)
    if _check.integer("first", first, low=0) >= last:
        raise ValueError(f"first: {first}; must be in 0 … {last - 1}, below last")
    u, sigma, v = decompositions.singular(wide(delta))
    sigma = jnp.where(sigma <= default_tolerance(delta) * sigma[..., :1], 0.0, sigma)
    return (u[..., first:last] * sigma[..., None, first:last]) @ v[..., first:last, :]


def alpha(delta: Float[Array, "*b rows cols"], k: int = 1) -> Float[Array, "*b"]:
    r"""How many times longer an update is than its first k directions, $\|\Delta\|_F/\|\Delta_k\|_F$.

    Args:
      delta: `[..., rows, cols]`, updates ΔW.
      k: number of directions, 1 … min(rows, cols).

    Returns:
      `[...]`, 1 or above; 1 for an update of rank k or below, and so for a zero update.

    Raises:
      ValueError: k out of range.

    Reference: Cai et al., arXiv 2510.00553 (AlphaRL).
    """
    return 1 / top_share(delta, k)


def random_part(key: Array, delta: Float[Array, "*b rows cols"], k: int = 1) -> Float[Array, "*b rows cols"]:
    """A null for the first k directions: as many at random, with the same k singular values, as long as the update.

    Args:
      key: PRNG key.
      delta: `[..., rows, cols]`, updates ΔW.
      k: number of directions, 1 … min(rows, cols).

    Returns:
      `[..., rows, cols]`, of rank k (or that of the update, if smaller) and with the Frobenius norm of the update;
      left and right singular vectors are independent and uniformly distributed. Zero for a zero update.

    Raises:
      ValueError: k out of range.
    """
    directions("k", k, delta.shape)
    wider = wide(delta)
    *batch, rows, cols = delta.shape
    first, second, third = jax.random.split(key, 3)
    left, right = (
        decompositions.orthonormal(jax.random.normal(part, (*batch, size, k), wider.dtype))
        for part, size in ((first, rows), (second, cols))
    )
    left = left * jax.random.rademacher(
        third, (*batch, 1, k), wider.dtype
    )  # the factor of QR has signs of its own
    sigma = decompositions.singular_values(wider)[..., :k]
    return lengthened((left * sigma[..., None, :]) @ jnp.swapaxes(right, -1, -2), wider)


def lengthened(
    m: Float[Array, "*b rows cols"], like: Float[Array, "*b rows cols"]
) -> Float[Array, "*b rows cols"]:
    """A matrix at the Frobenius norm of another one; zeros stay zero.

    Args:
      m: `[..., rows, cols]`.
      like: `[..., rows, cols]`, whose norms are wanted.

    Returns:
      `[..., rows, cols]`.
    """
    own, wanted = (jnp.linalg.norm(wide(x), axis=(-2, -1), keepdims=True) for x in (m, like))
    return m * jnp.where(own == 0, 0.0, wanted / jnp.where(own == 0, 1.0, own))


def rebuilt(
    base: Params,
    tuned: Params,
    *,
    first: int = 0,
    last: int | None = 1,
    scale: Scale = "norm",
    kinds: str | Iterable[str] = MATRICES,
    rest: str = "base",
) -> Params:
    r"""A network with some directions of every matrix's update, made as long as the whole update.

    $$ W_0 + \lambda\alpha\sum_{{\rm first}\le i<{\rm last}}\sigma_i u_i v_i^\top,\qquad
       \alpha = \frac{\|\Delta W\|_F}{\|\sum\sigma_i u_i v_i^\top\|_F} $$

    The nulls of `first=0, last=1` are `first=1, last=2` (the second direction), `first=1, last=None` (the update
    without its first) and [`rebuilt_at_random`][].

    Args:
      base: nested dictionary as `transformer.init` gives it, W₀.
      tuned: of the same names and shapes, W.
      first: 0 for the largest singular value on, below `last`.
      last: the first direction left out, up to the smaller side of every matrix; None: all the rest.
      scale: λ, a number or a scalar array; "norm" is λ = 1; "own" leaves out λα and so takes the part as it is.
      kinds: some of `KINDS`, not "norm": whose matrices are rebuilt.
      rest: where all other leaves are taken from, "base" or "tuned".

    Returns:
      Nested dictionary, in the storage formats of `tuned`. A matrix whose update has none of these directions is
      as in base.

    Raises:
      ValueError: an argument out of range, or parameters of other names or shapes.

    Reference: Cai et al., arXiv 2510.00553 (AlphaRL: λ near .7, all other leaves at base).
    """
    return _rebuilt(base, tuned, lambda _, delta: part(delta, first, last), scale, kinds, rest)


def rebuilt_at_random(
    key: Array,
    base: Params,
    tuned: Params,
    *,
    k: int = 1,
    scale: Scale = "norm",
    kinds: str | Iterable[str] = MATRICES,
    rest: str = "base",
) -> Params:
    """The null of [`rebuilt`][]: random directions in the places of the first k, at equal norms.

    Args:
      key: PRNG key; every matrix has its own directions.
      base: nested dictionary as `transformer.init` gives it.
      tuned: of the same names and shapes.
      k: number of directions, 1 … the smaller side of every matrix.
      scale: as in `rebuilt`; "own" is the norm of the first k directions of the update.
      kinds: some of `KINDS`, not "norm": whose matrices are rebuilt.
      rest: where all other leaves are taken from, "base" or "tuned".

    Returns:
      Nested dictionary, in the storage formats of `tuned`.

    Raises:
      ValueError: an argument out of range, or parameters of other names or shapes.
    """

    def direction(index: int, delta: Array) -> Array:
        random = random_part(jax.random.fold_in(key, index), delta, k)
        return random / alpha(delta, k)[..., None, None]

    return _rebuilt(base, tuned, direction, scale, kinds, rest)


def _rebuilt(
    base: Params,
    tuned: Params,
    direction: Callable[[int, Array], Array],
    scale: Scale,
    kinds: str | Iterable[str],
    rest: str,
) -> Params:
    if isinstance(scale, str):
        _check.choice("scale", scale, ("norm", "own"))
    elif jnp.ndim(scale):
        raise ValueError(f"scale: shape {jnp.shape(scale)}; must be a number, 'norm' or 'own'")
    _check.choice("rest", rest, ("base", "tuned"))
    wanted, leaves = matrix_kinds(kinds), {}
    for index, (name, pair) in enumerate(paired(base, tuned).items()):
        before, now = pair
        if kind(name) not in wanted:
            leaves[name] = stored(before if rest == "base" else now, now.dtype)
            continue
        delta = difference(before, now)
        step = direction(index, delta)
        if not isinstance(scale, str):
            step = jnp.asarray(scale, step.dtype) * lengthened(step, delta)
        elif scale == "norm":
            step = lengthened(step, delta)
        leaves[name] = stored(before.astype(step.dtype) + step, now.dtype)
    return grown(leaves)

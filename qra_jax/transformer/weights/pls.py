r"""Partial least squares with one component: the first singular vectors of the updates against the accuracy."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.transformer.model import wide
from qra_jax.transformer.weights import decompositions


def output_vectors(updates: Array) -> Float[Array, "times out"]:
    """σ₁u₁ of each update, u₁ on the side of the outputs, signs aligned from the last checkpoint backwards.

    Kernels are `[in, out]` here and `[out, in]` in the paper, whose left vector is the right one here.

    Args:
      updates: `[times, in, out]`, ΔW of each checkpoint.

    Returns:
      `[times, out]`; divided by their norms they are u₁.

    Reference: Cai et al., arXiv 2510.00553, and its released `extract_rank1_au.py`.
    """
    return first_triplet(updates)[1]


def first_triplet(updates: Array) -> tuple[Array, Array]:
    """v₁ `[times, in]` and σ₁u₁ `[times, out]` of each update, signs aligned from the last checkpoint backwards."""
    left, values, right = decompositions.singular(wide(updates))
    into, out = left[..., 0], right[..., 0, :]
    turn = jnp.where(jnp.sum(out[:-1] * out[1:], axis=-1) < 0, -1.0, 1.0)
    sign = jnp.append(jnp.cumprod(turn[::-1])[::-1], 1.0).astype(out.dtype)[:, None]
    return into * sign, out * sign * values[..., :1]


class Regression(NamedTuple):
    """A partial-least-squares regression with one component."""

    centre: Float[Array, "*b width"]
    """Mean of the vectors."""
    loading: Float[Array, "*b width"]
    """Change of the vector with one unit of accuracy."""
    accuracy: Float[Array, "*b"]
    """Mean accuracy."""
    r2: Float[Array, "*b"]
    """In the sample, of accuracy on the component: near 1 on noise wherever vectors are much longer than the path."""

    def at(self, accuracy: Array | float) -> Float[Array, "*b width"]:
        """The vector that belongs to an accuracy.

        Args:
          accuracy: of any size.

        Returns:
          `[width]`; the mean where the accuracy never moved.
        """
        return self.centre + self.loading * (accuracy - self.accuracy)


def regression(vectors: Array, accuracy: Array, *, standardised: bool = True) -> Regression:
    r"""Partial least squares with one component, of accuracy on vectors, and its inverse.

    With centred vectors X (each coordinate divided by its standard deviation where `standardised`) and centred
    accuracies y, the component is $t = XX^\top y$ and its loadings are $p = X^\top t/t^\top t$; y is regressed on t.

    Args:
      vectors: `[times, width]`.
      accuracy: `[times]`, times ≥ 2.
      standardised: as scikit-learn, and so the released code, does.

    Returns:
      A `Regression`.

    Raises:
      ValueError: a single checkpoint, or another number of accuracies.

    Reference: Cai et al., arXiv 2510.00553, and its released `AlphaPredVector.py`.
    """
    vectors = wide(vectors)
    accuracy = matched(accuracy, vectors, "accuracy").astype(vectors.dtype)
    centre, middle = jnp.mean(vectors, axis=0), jnp.mean(accuracy)
    x, y = vectors - centre[None], accuracy - middle
    spread = jnp.std(x, axis=0, ddof=1) if standardised else jnp.ones_like(centre)
    spread = jnp.where(spread > 0, spread, 1.0)
    x = x / spread[None]
    component = x @ (x.T @ y)
    size, both, total = component @ component, component @ y, y @ y
    some = (size > 0) & (total > 0)
    safe = lambda a: jnp.where(some, a, 1.0)  # noqa: E731
    loading = spread * (x.T @ component) / safe(both)
    fit = jnp.where(some, both**2 / (safe(size) * safe(total)), 0.0)
    return Regression(centre, jnp.where(some, loading, 0.0), middle, fit)


def limit_r2(products: Array, accuracy: Array) -> Float[Array, ""]:
    r"""In-sample R² of one component, not standardised, from inner products alone.

    $$ R^2 = \frac{(y^\top Gy)^2}{y^\top G^2y\;y^\top y} $$

    Args:
      products: `[times, times]`, G.
      accuracy: `[times]`, y, not all equal.

    Returns:
      Scalar in [0, 1]; for white noise of width D its mean is near [`noise_r2`][].
    """
    y = matched(accuracy, products, "accuracy")
    y = y - jnp.mean(y)
    component = centred(products) @ y
    return (component @ y) ** 2 / ((component @ component) * (y @ y))


def noise_r2(times: int, width: int) -> float:
    """In-sample R² of one component on white noise, (D + 2)/(D + T): a ratio of means, within 2 % of the mean.

    Args:
      times: T ≥ 2, checkpoints.
      width: D ≥ 1, length of the vectors.

    Returns:
      A number in (0, 1].
    """
    times, width = _check.integer("times", times, low=2), _check.integer("width", width, low=1)
    return (width + 2) / (width + times)


def centred(products: Array) -> Array:
    """Inner products of what is left of vectors when their mean is taken off."""
    middle = products - jnp.mean(products, axis=0, keepdims=True)
    return middle - jnp.mean(middle, axis=1, keepdims=True)


def matched(numbers: Any, values: Array, name: str = "steps", least: int = 2) -> Array:
    """One number for each checkpoint, as floats, checked."""
    numbers = jnp.asarray(numbers)
    if numbers.shape != values.shape[:1] or len(numbers) < least:
        raise ValueError(
            f"{name}: shape {numbers.shape}; must be {values.shape[:1]}, one for each checkpoint, {least} or more"
        )
    return numbers.astype(jnp.promote_types(numbers.dtype, jnp.float32))

r"""How straight the path of the weights is, in the step and in the accuracy, beside what chance alone gives.

A path is a set of parameters with a leading axis `[times]`, the base first; several seeds go through `jax.vmap`.
Random walks look straight: with infinitely many weights, the covariance of their checkpoints $\min(t_i, t_j)$ decides
everything ([`walk_covariance`][]), so none of these numbers says by itself that a run can be predicted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.transformer.model import Params, wide
from qra_jax.transformer.weights import decompositions
from qra_jax.transformer.weights.parts import MATRICES, select
from qra_jax.transformer.weights.pls import centred as without_mean, matched, output_vectors, regression


def r2(values: Array, steps: Array) -> Array:
    r"""Share of the variance of each weight over the run that a straight line in the step explains.

    $$ R^2 = \frac{\left(\sum_t (s_t-\bar s)(w_t-\bar w)\right)^2}{\sum_t (s_t-\bar s)^2\,\sum_t (w_t-\bar w)^2} $$

    Args:
      values: `[times, ...]`, weights.
      steps: `[times]`, ≥ 2 of them, not all equal.

    Returns:
      `[...]`, in [0, 1]; 0 for a weight that does not move.

    Raises:
      ValueError: a single checkpoint, or another number of steps.

    Reference: Wang et al., arXiv 2601.04537.
    """
    values, steps = wide(jnp.asarray(values)), matched(steps, values)
    moved = values - values[:1]
    centred = moved - jnp.mean(moved, axis=0, keepdims=True)
    time = steps - jnp.mean(steps)
    both = jnp.square(jnp.tensordot(time, centred, axes=1))
    total = jnp.sum(jnp.square(time)) * jnp.sum(jnp.square(centred), axis=0)
    return jnp.where(total > 0, both / jnp.where(total > 0, total, 1.0), 0.0)


class Linearity(NamedTuple):
    """How linear the weights of a network are in the step."""

    share: Float[Array, "*b"]
    """Share of the weights that moved whose R² is above the threshold; 0 where none moved."""
    mean: Float[Array, "*b"]
    """Mean R² of the weights that moved."""
    moved: Float[Array, "*b"]
    """Share of all weights that moved."""


def linearity(
    path: Params, steps: Array, *, above: float | Array = 0.7, change: float | Array = 0.0
) -> Linearity:
    """How many weights of a network move on a straight line.

    Args:
      path: parameters, leading axis `[times]`.
      steps: `[times]`.
      above: threshold of R², in [0, 1].
      change: weights whose range over the run is not larger do not count, ≥ 0; the released analysis has 1e-4 and
        also leaves out weights with fewer than four distinct values, which only happens in bfloat16.

    Returns:
      `Linearity` over all weights.

    Raises:
      ValueError: a threshold out of range, or as [`r2`][] does.

    Reference: Wang et al., arXiv 2601.04537 (more than 70 % of the weights above .7).
    """
    above, change = _check.unit_interval("above", above), _check.nonnegative("change", change)

    def count(leaf: Array) -> tuple[Array, Array, Array]:
        fit, here = r2(leaf, steps), jnp.ptp(wide(leaf), axis=0) > change
        return jnp.sum(here & (fit > above)), jnp.sum(jnp.where(here, fit, 0.0)), jnp.sum(here)

    straight, fit, moved = (sum(x) for x in zip(*map(count, jax.tree.leaves(path)), strict=True))
    some = jnp.maximum(moved, 1)
    size = sum(leaf[0].size for leaf in jax.tree.leaves(path))
    return Linearity(straight / some, fit / some, jnp.asarray(moved / size))


class Direction(NamedTuple):
    """The first direction of the singular value decomposition over steps."""

    energy: Float[Array, "*b"]
    """σ₁² / Σᵢ σᵢ²."""
    coefficient: Float[Array, "*b times"]
    """σ₁ times the first vector over steps: where each checkpoint stands on the direction."""
    r2: Float[Array, "*b"]
    """Of the coefficient against the step."""


def gram(updates: Array) -> Float[Array, "times times"]:
    """Inner products of the updates of all checkpoints.

    Args:
      updates: `[times, ...]`, ΔW of each checkpoint.

    Returns:
      `[times, times]`, in float32 at least.
    """
    flat = wide(updates.reshape(updates.shape[0], -1))
    return flat @ flat.T


def direction(products: Array, steps: Array, *, centred: bool = False) -> Direction:
    """The first direction of the updates over steps, from their inner products.

    Args:
      products: `[times, times]`, from [`gram`][] or [`walk_covariance`][].
      steps: `[times]`.
      centred: take the mean over the checkpoints off first.

    Returns:
      A `Direction`, the coefficient of the last checkpoint positive.

    Reference: Wei et al., arXiv 2605.21468 (uncentred).
    """
    steps = matched(steps, products)
    square, vectors = decompositions.symmetric(without_mean(products) if centred else products)
    square = jnp.maximum(square, 0.0)
    total = jnp.sum(square)
    first = vectors[:, -1] * jnp.where(vectors[-1, -1] < 0, -1.0, 1.0) * jnp.sqrt(square[-1])
    return Direction(
        jnp.where(total > 0, square[-1] / jnp.where(total > 0, total, 1.0), 0.0), first, r2(first, steps)
    )


class Measures(NamedTuple):
    """What is said to show that a run is linear."""

    share: Float[Array, "*b"]
    """Of the weights that moved: R² against the step above .7."""
    energy: Float[Array, "*b"]
    """Of the first direction over steps, uncentred; mean over matrices."""
    centred_energy: Float[Array, "*b"]
    """The same, centred."""
    line: Float[Array, "*b"]
    """R² of the first uncentred coefficient against the step; mean over matrices."""
    pls: Float[Array, "*b"]
    """In-sample R² of accuracy on u₁, one component; mean over matrices."""


def measures(path: Params, steps: Array, accuracy: Array, *, kinds: Any = MATRICES) -> Measures:
    """All measures of linearity of one run.

    Args:
      path: parameters, leading axis `[times]`, the base first; times ≥ 3.
      steps: `[times]`.
      accuracy: `[times]`.
      kinds: the matrices that are read, some of `weights.parts.KINDS` but "norm".

    Returns:
      `Measures`.

    Raises:
      ValueError: too few checkpoints, other numbers of steps or accuracies, or no matrices.
    """
    matrices = select(path, kinds)
    if not matrices:
        raise ValueError(f"kinds: {kinds!r} are no matrices of path; must be some of those it has")
    accuracy = matched(accuracy, next(iter(matrices.values())), "accuracy", least=3)
    steps = matched(steps, next(iter(matrices.values())), least=3)

    def of(leaf: Array) -> tuple[Array, ...]:
        updates = wide(leaf)[1:] - wide(leaf)[:1]
        products = gram(updates)
        free, bound = (direction(products, steps[1:], centred=c) for c in (False, True))
        u = output_vectors(updates)
        norm = jnp.linalg.norm(u, axis=-1, keepdims=True)
        unit = u / jnp.where(norm > 0, norm, 1.0)
        return free.energy, bound.energy, free.r2, regression(unit, accuracy[1:]).r2

    means = (jnp.mean(jnp.stack(x)) for x in zip(*map(of, matrices.values()), strict=True))
    return Measures(linearity(matrices, steps).share, *means)


def nulls(
    key: Array, path: Params, steps: Array, accuracy: Array, *, kinds: Any = MATRICES
) -> dict[str, Measures]:
    """All measures of linearity for paths in which nothing is learnt, of the same shapes, steps and accuracies.

    Args:
      key: PRNG key.
      path: parameters, leading axis `[times]`, the base first; times ≥ 3.

    As for [`measures`][]: `steps`, `accuracy`, `kinds`.

    Returns:
      `Measures` by name: "random walk" (independent Gaussian changes of every weight), "white noise" (every
      checkpoint the base and fresh noise), "permuted steps" (the checkpoints after the base in another order).
    """
    matrices = select(path, kinds)
    walk, noise, order = jax.random.split(key, 3)
    shuffled = jax.random.permutation(order, jnp.arange(1, jnp.shape(steps)[0]))
    shuffled = jnp.concatenate([jnp.zeros(1, shuffled.dtype), shuffled])

    def fresh(key: Array, name: str, leaf: Array, walks: bool) -> Array:
        key = jax.random.fold_in(key, sorted(matrices).index(name))
        return random_walk(key, steps, leaf.shape[1:]) if walks else white_noise(key, steps, leaf.shape[1:])

    paths = {
        "random walk": {name: fresh(walk, name, leaf, True) for name, leaf in matrices.items()},
        "white noise": {name: fresh(noise, name, leaf, False) for name, leaf in matrices.items()},
        "permuted steps": {name: leaf[shuffled] for name, leaf in matrices.items()},
    }
    return {name: measures(x, steps, accuracy, kinds=kinds) for name, x in paths.items()}


def random_walk(key: Array, steps: Array, shape: tuple[int, ...]) -> Array:
    """Weights that take an independent Gaussian step of unit variance at every update.

    Args:
      key: PRNG key.
      steps: `[times]`, increasing.
      shape: of the weights.

    Returns:
      `[times, *shape]`, zero at the first time.
    """
    steps = jnp.asarray(steps)
    gaps = jnp.sqrt(jnp.diff(steps).astype(jnp.promote_types(steps.dtype, jnp.float32)))
    changes = jax.random.normal(key, (len(gaps), *shape), gaps.dtype) * gaps.reshape(-1, *(1,) * len(shape))
    return jnp.concatenate([jnp.zeros((1, *shape), gaps.dtype), jnp.cumsum(changes, axis=0)])


def white_noise(key: Array, steps: Array, shape: tuple[int, ...]) -> Array:
    """Weights that are independent Gaussian numbers at every time but the first, where they are zero.

    As for [`random_walk`][]: `key`, `steps`, `shape`.

    Returns:
      `[times, *shape]`.
    """
    dtype = jnp.promote_types(jnp.asarray(steps).dtype, jnp.float32)
    return jax.random.normal(key, (jnp.shape(steps)[0], *shape), dtype).at[0].set(0.0)


def walk_covariance(steps: Array) -> Float[Array, "times times"]:
    r"""Inner products of the updates of a random walk, $\min(s_i, s_j)$, per weight, of infinitely many weights.

    Args:
      steps: `[times]`, increasing, counted from the base, > 0.

    Returns:
      `[times, times]`: what [`direction`][] takes, and `weights.pls.limit_r2`.
    """
    steps = jnp.asarray(steps)
    steps = steps.astype(jnp.promote_types(steps.dtype, jnp.float32))
    return jnp.minimum(steps[:, None], steps[None])

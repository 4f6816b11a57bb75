r"""Training in parts: optax transformations that let only some weights, ranks or stages of a network move.

Each wraps an optimiser, and is handed to training in its place:

    transformer.train(..., optimizer=lambda rate: parts.only(optax.adam(rate), "unembedding"))

Slopes of what does not train are set to zero before the optimiser sees them, and so is what the optimiser would do to
it (weight decay, momentum): it stays as it is to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from qra_jax import _check
from qra_jax.transformer.model import Params
from qra_jax.transformer.weights import decompositions
from qra_jax.transformer.weights.parts import MATRICES, kind, known_kinds, matrix_kinds

Which = str | Iterable[str] | Callable[[str], bool]
"""Parts of a network: one or some of `weights.parts.KINDS`, or a function of a leaf's path."""


class _Anchored(NamedTuple):
    """State of an optimiser that remembers where it started."""

    start: Params
    inner: Any


class _Staged(NamedTuple):
    """State of an optimiser of two stages."""

    step: Array
    start: Params
    inner: Any


def chosen(params: Params, which: Which) -> Any:
    """Which leaves of a parameter tree belong to some parts.

    Args:
      params: nested dictionary of arrays.
      which: one or some of `weights.parts.KINDS`; or a function of a leaf's path, such as
        `"attention_0/qkv/kernel"`, that says whether it belongs.

    Returns:
      A tree of booleans, one for each leaf.

    Raises:
      ValueError: a kind that there is not, or nothing that belongs.

    >>> chosen({"norm": {"scale": 1.0}, "unembedding": {"kernel": 2.0}}, "unembedding")
    {'norm': {'scale': False}, 'unembedding': {'kernel': True}}
    """
    kinds = () if callable(which) else known_kinds(which)
    belongs = which if callable(which) else lambda path: kind(path) in kinds
    tree = jax.tree_util.tree_map_with_path(lambda path, _: bool(belongs(_path(path))), params)
    if not any(jax.tree.leaves(tree)):
        raise ValueError(f"which: {which!r}; must name parts that the parameters have")
    return tree


def only(optimizer: optax.GradientTransformation, which: Which) -> optax.GradientTransformation:
    """Train chosen parts of a network, and leave the rest as it is.

    Args:
      optimizer: moves the chosen parts.
      which: as for [`chosen`][].

    Returns:
      The transformation.

    Raises:
      ValueError: when it meets parameters that have no such part.
    """

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        return masked(optimizer, chosen(updates, which)).update(updates, state, params)

    return optax.GradientTransformation(optimizer.init, update)


def masked(optimizer: optax.GradientTransformation, masks: Any) -> optax.GradientTransformation:
    """Train chosen weights of a network, and leave the rest as it is.

    Args:
      optimizer: moves the chosen weights.
      masks: a tree of booleans like the parameters, true where a weight trains: one for each weight, or a single one
        for a leaf; may be traced.

    Returns:
      The transformation.
    """

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        change, state = optimizer.update(_kept(updates, masks), state, params)
        return _kept(change, masks), state

    return optax.GradientTransformation(optimizer.init, update)


def rank_constrained(
    optimizer: optax.GradientTransformation, rank: int | Array, kinds: str | Iterable[str] = MATRICES
) -> optax.GradientTransformation:
    r"""Keep the whole change of each matrix at a low rank, by projection after every step.

    $$ W \leftarrow W_0 + {\rm SVD}_r(W + \Delta W - W_0) $$

    Other parts move freely; inside [`only`][] they do not. What the projection takes away the optimiser does not know.
    The change has this rank before the new parameters are rounded to their format: in float32 further singular values
    of about 1e-7 of the weights' norm remain, in shorter formats more.

    Args:
      optimizer: proposes the steps.
      rank: r, most singular values above zero of a matrix's change, ≥ 0; may be traced.
      kinds: one or some of `weights.parts.KINDS` but "norm".

    Returns:
      The transformation. Where it starts is W₀.

    Raises:
      ValueError: a rank below zero, a kind that has no matrices; when it meets parameters: none of these kinds.
    """
    if not isinstance(rank, jax.Array):
        rank = _check.integer("rank", rank, low=0)
    kinds = matrix_kinds(kinds)

    def init(params: Params) -> _Anchored:
        return _Anchored(params, optimizer.init(params))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        change, inner = optimizer.update(updates, state.inner, params)

        def project(step: Array, now: Array, start: Array, here: bool) -> Array:
            return start + truncated(now + step - start, rank) - now if here else step

        change = jax.tree.map(project, change, params, state.start, chosen(params, kinds))
        return change, _Anchored(state.start, inner)

    return optax.GradientTransformation(init, update)


def truncated(matrix: Array, rank: int | Array) -> Array:
    """The nearest matrix of a rank: its largest singular values.

    Args:
      matrix: `[..., rows, cols]`.
      rank: ≥ 0; may be traced.

    Returns:
      `[..., rows, cols]`.

    Reference: Eckart and Young, Psychometrika 1 (1936) 211.
    """
    left, values, right = decompositions.singular(matrix)
    place = jnp.broadcast_to(jnp.arange(values.shape[-1]), values.shape)
    return (left * jnp.where(place < rank, values, 0.0)[..., None, :]) @ right


def staged(
    optimizer: optax.GradientTransformation,
    first: int | Array,
    which: Which = "unembedding",
    *,
    restart: bool | Array = True,
    rescale: bool | Array = False,
    alone: bool | Array = True,
) -> optax.GradientTransformation:
    """Two stages: chosen parts alone at first, then everything.

    All settings may be traced, so that one compiled program runs all arms of an experiment.

    Args:
      optimizer: moves what trains.
      first: steps of the first stage, ≥ 0.
      which: parts that train in the first stage, as for [`chosen`][].
      restart: start the optimiser afresh in the second stage: its averages forget the first one.
      rescale: put the norms of the matrices among these parts back to where they started when the first stage ends.
      alone: whether the others rest in the first stage; if not, only restart and rescaling are left of the two stages:
        the control.

    Returns:
      The transformation.

    Raises:
      ValueError: a negative number of steps; when it meets parameters that have no such part.

    Reference: Tomihari, arXiv 2601.04670 (classifier-first reinforcement learning).
    """
    if not isinstance(first, jax.Array):
        first = _check.integer("first", first, low=0)

    def init(params: Params) -> _Staged:
        return _Staged(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        these = chosen(updates, which)
        moving = jax.tree.map(
            lambda one: jnp.asarray(one) | ~jnp.asarray(alone) | (state.step >= first), these
        )
        anew = jnp.asarray(restart) & (state.step == first)
        fresh = optimizer.init(params)
        inner = jax.tree.map(lambda new, old: jnp.where(anew, new, old), fresh, state.inner)
        change, inner = masked(optimizer, moving).update(updates, inner, params)
        ends = jnp.asarray(rescale) & (state.step == first - 1)

        def back(step: Array, now: Array, start: Array, here: bool) -> Array:
            if not here or now.ndim < 2:
                return step
            return jnp.where(ends, _scaled_to(now + step, start) - now, step)

        change = jax.tree.map(back, change, params, state.start, these)
        return change, _Staged(state.step + 1, state.start, inner)

    return optax.GradientTransformation(init, update)


def rescaled(params: Params, like: Params, kinds: str | Iterable[str] = "unembedding") -> Params:
    r"""Give matrices the Frobenius norms that they have in another tree: $W\,\lVert W'\rVert/\lVert W\rVert$.

    Args:
      params: leading axes of its leaves, as of those of `like`: seeds, checkpoints.
      like: has the norms.
      kinds: one or some of `weights.parts.KINDS` but "norm".

    Returns:
      The parameters; a matrix of zeros stays one.

    Raises:
      ValueError: a kind that has no matrices, or nothing of these kinds.
    """
    kinds = matrix_kinds(kinds)
    return jax.tree.map(
        lambda one, other, here: _scaled_to(one, other) if here else one, params, like, chosen(params, kinds)
    )


def _scaled_to(matrix: Array, like: Array) -> Array:
    own, other = (jnp.sqrt(jnp.sum(jnp.square(x), axis=(-2, -1), keepdims=True)) for x in (matrix, like))
    return matrix * jnp.where(own > 0, other / jnp.where(own > 0, own, 1.0), 1.0)


def _kept(tree: Any, masks: Any) -> Any:
    return jax.tree.map(lambda x, mask: jnp.where(mask, x, jnp.zeros_like(x)), tree, masks)


def _path(path: Sequence[Any]) -> str:
    return "/".join(str(getattr(key, "key", key)) for key in path)

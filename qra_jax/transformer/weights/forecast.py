r"""Predicting the weights of a later step from a piece of the path, judged on the future that was held out.

Every extrapolator is a function `(path, steps, accuracy, at) -> parameters`: the checkpoints seen so far with a
leading axis `[times]`, the base first; their steps `[times]`; their accuracies `[times]`; and the step to predict.
Several seeds go through `jax.vmap`. Predictions are in float32 at least.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.transformer.model import Params, wide
from qra_jax.transformer.weights import decompositions
from qra_jax.transformer.weights.linearity import gram
from qra_jax.transformer.weights.parts import MATRICES, kind, matrix_kinds
from qra_jax.transformer.weights.pls import first_triplet, matched, regression

VARIANTS = ("base", "checkpoint", "scaled")
"""Of [`alpha_rl`][]; the released code is "checkpoint"."""


@runtime_checkable
class Extrapolator(Protocol):
    """Predicts the parameters of a later step."""

    def __call__(self, path: Params, steps: Any, accuracy: Any, at: Any) -> Params: ...


def _leafwise(rule: Callable[..., Array], least: int) -> Extrapolator:
    """An extrapolator that treats each leaf by itself: `rule(leaf, steps, accuracy, at, name)`."""

    def extrapolate(path: Params, steps: Any, accuracy: Any, at: Any) -> Params:
        def one(where: Any, leaf: Array) -> Array:
            leaf = wide(jnp.asarray(leaf))
            times, scores = matched(steps, leaf, least=least), matched(accuracy, leaf, "accuracy", least)
            name = jax.tree_util.keystr(where, simple=True, separator="/")
            times, scores, goal = (jnp.asarray(x, leaf.dtype) for x in (times, scores, at))
            return rule(leaf, times, scores, goal, name)

        return jax.tree_util.tree_map_with_path(one, path)

    return extrapolate


hold_last = _leafwise(lambda leaf, steps, accuracy, at, name: leaf[-1], 1)
"""The last checkpoint, whatever the step: what an extrapolator has to beat."""


def expo(alpha: float | Array = 0.5) -> Extrapolator:
    r"""Weight extrapolation, $\hat W = W_1 + \alpha\,(W_1 - W_0)$ with the base W₀ and the last checkpoint W₁.

    Args:
      alpha: α ≥ 0; .3 to .5 in the paper, which takes the best. The step to predict plays no part.

    Returns:
      An extrapolator of all parameters.

    Raises:
      ValueError: α negative or infinite.

    Reference: Zheng et al., arXiv 2404.16792.
    """
    _check.nonnegative("alpha", alpha)
    return _leafwise(lambda leaf, steps, accuracy, at, name: leaf[-1] + alpha * (leaf[-1] - leaf[0]), 2)


def _chord(leaf: Array, steps: Array, accuracy: Array, at: Any, name: str) -> Array:
    if name and kind(name) == "norm":
        return leaf[-1]
    return leaf[0] + (at - steps[0]) / (steps[-1] - steps[0]) * (leaf[-1] - leaf[0])


chord = _leafwise(_chord, 2)
r"""The straight line through the base and the last checkpoint; norms stay as they are there.

$$ \hat W = W_0 + \frac{s^* - s_0}{s_1 - s_0}\,(W_1 - W_0) $$

Reference: Wang et al., arXiv 2601.04537, and its released `weight_extrapolation.py`.
"""


def _line_shares(steps: Array, at: Any) -> Array:
    """What each time counts in the value at a step of the least-squares line."""
    time = steps - jnp.mean(steps)
    return 1 / len(steps) + (at - jnp.mean(steps)) * time / jnp.sum(jnp.square(time))


def _line(leaf: Array, steps: Array, accuracy: Array, at: Any, name: str) -> Array:
    return leaf[0] + jnp.tensordot(_line_shares(steps, at), leaf - leaf[:1], axes=1)


line = _leafwise(_line, 2)
"""The least-squares straight line of each weight in the step, over all checkpoints: the reading of "linear"
in arXiv 2601.04537 that uses the whole path."""


def relex(rank: int = 1) -> Extrapolator:
    r"""The first directions of the updates over steps, and a straight line of their coefficients in the step.

    For each leaf, the updates ΔW of the checkpoints after the base are the rows of $M = USV^\top$, not centred;
    $c_t = (US)_t$ is fitted by least squares on a line $c(s)$, and $\hat W = W_0 + c(s^*)V^\top$.

    Args:
      rank: directions kept, ≥ 1; more than there are checkpoints are no more.

    Returns:
      An extrapolator of all parameters.

    Raises:
      ValueError: rank below 1.

    Reference: Wei et al., arXiv 2605.21468, and its released `svd_extrapolation.py`.
    """
    kept = _check.integer("rank", rank, low=1)

    def rule(leaf: Array, steps: Array, accuracy: Array, at: Any, name: str) -> Array:
        updates = leaf[1:] - leaf[:1]
        square, over_steps = decompositions.symmetric(gram(updates))
        square, over_steps = square[::-1][:kept], over_steps[:, ::-1][:, :kept]
        # c = line · U S and V = Mᵀ U / S, so that S drops out of c Vᵀ but for directions that are rounding.
        real = square > 1e-12 * jnp.maximum(square[0], 0.0)
        ahead = jnp.where(real, _line_shares(steps[1:], at) @ over_steps, 0.0)
        return leaf[0] + jnp.tensordot(over_steps @ ahead, updates, axes=1)

    return _leafwise(rule, 3)


def _goal(steps: Array, accuracy: Array, at: Any, target: Any, ceiling: Any) -> Array:
    """The accuracy that is aimed at: given, or that of the least-squares line at the step, at most the ceiling."""
    goal = jnp.minimum(_line_shares(steps, at) @ accuracy, ceiling) if target is None else target
    return jnp.asarray(goal, accuracy.dtype)


def alpha_rl(
    variant: Literal["base", "checkpoint", "scaled"] = "checkpoint",
    *,
    target: float | Array | None = None,
    ceiling: float | Array = 1.0,
    scale: float | Array = 1.0,
    rest: Literal["base", "last"] | None = None,
    kinds: Any = MATRICES,
) -> Extrapolator:
    r"""AlphaRL: the first singular direction of each update, moved on to where the accuracy is to be.

    For each matrix, $\Delta W_t = W_t - W_0$ has the first singular triplet $\sigma_1, u_1, v_1$, u₁ on the side of
    the outputs. $x_t = \sigma_1 u_1$, signs aligned from the last checkpoint backwards, goes into a standardised
    partial-least-squares regression of accuracy with one component; its inverse at the target is $x^*$. With v₁ of the
    last checkpoint $W_1$, the variants are

    - "base": $\hat W = W_0 + x^* v_1^\top$, as the rank-one reconstruction reads;
    - "checkpoint": $\hat W = W_1 + x^* v_1^\top$, as the *released code* does: at the accuracy already reached it adds
      the first direction a second time;
    - "scaled": $\hat W = W_0 + \lambda\alpha\,x^* v_1^\top$ with $\alpha = \|\Delta W_1\|_F/\sigma_1$ of the last
      checkpoint: the norm of the whole update, as the reconstruction by rank one does.

    Args:
      variant: one of `VARIANTS`.
      target: accuracy to move on to; default: the least-squares line of the accuracy, at the step to predict.
      ceiling: the most that such a line may reach; a `target` of one's own may exceed it.
      scale: λ ≥ 0, of "scaled" alone.
      rest: where all other parameters are left, at the base or at the last checkpoint; default: "last" for
        "checkpoint", as in the released code, else "base", as the paper does with embeddings, norms and head.
      kinds: the matrices that move, some of `weights.parts.KINDS` but "norm". A bare array `[times, in, out]` is
        one.

    Returns:
      An extrapolator. Where the accuracy never moves, x* is the mean of the x_t.

    Raises:
      ValueError: an unknown variant, kind or rest, or λ negative.

    Reference: Cai et al., arXiv 2510.00553, and its released `AlphaPredVector.py`, `AlphaRLBuildPerdictModel.py`.
    """
    _check.choice("variant", variant, VARIANTS)
    _check.choice("rest", rest, (None, "base", "last"))
    _check.nonnegative("scale", scale)
    wanted = matrix_kinds(kinds)
    place = -1 if (rest or ("last" if variant == "checkpoint" else "base")) == "last" else 0

    def rule(leaf: Array, steps: Array, accuracy: Array, at: Any, name: str) -> Array:
        if (name and kind(name) not in wanted) or leaf.ndim != 3:
            return leaf[place]
        updates = leaf[1:] - leaf[:1]
        into, out = first_triplet(updates)
        goal = _goal(steps, accuracy, at, target, ceiling)
        change = jnp.outer(into[-1], regression(out, accuracy[1:]).at(goal))
        if variant == "scaled":
            first, whole = jnp.linalg.norm(out[-1]), jnp.linalg.norm(updates[-1])
            change = change * scale * whole / jnp.where(first > 0, first, 1.0)
        return leaf[-1 if variant == "checkpoint" else 0] + change

    return _leafwise(rule, 3)


def pls(*, target: float | Array | None = None, ceiling: float | Array = 1.0) -> Extrapolator:
    """The whole update of each leaf by partial least squares with one component, at the target accuracy.

    As AlphaRL's regression, but of all of ΔW and not of its first singular vector, and not standardised: the weights
    move along their covariance with the accuracy.

    As for [`alpha_rl`][]: `target`, `ceiling`.

    Returns:
      An extrapolator of all parameters.
    """

    def rule(leaf: Array, steps: Array, accuracy: Array, at: Any, name: str) -> Array:
        updates = (leaf[1:] - leaf[:1]).reshape(len(leaf) - 1, -1)
        goal = _goal(steps, accuracy, at, target, ceiling)
        return leaf[0] + regression(updates, accuracy[1:], standardised=False).at(goal).reshape(
            leaf.shape[1:]
        )

    return _leafwise(rule, 3)


EXTRAPOLATORS: dict[str, Extrapolator] = {
    "hold_last": hold_last,
    "expo": expo(),
    "chord": chord,
    "line": line,
    "alpha_rl_base": alpha_rl("base"),
    "alpha_rl_checkpoint": alpha_rl("checkpoint"),
    "alpha_rl_scaled": alpha_rl("scaled"),
    "relex": relex(),
    "pls": pls(),
}
"""All of them by name, with the settings of their papers; "expo" wants its best α."""


def held_out(extrapolate: Extrapolator, path: Params, steps: Any, accuracy: Any, seen: int) -> Params:
    """Predict every checkpoint after the first few from those.

    Args:
      extrapolate: from this module.
      path: parameters, leading axis `[times]`, the base first.
      steps: `[times]`.
      accuracy: `[times]`; those after the first `seen` are not looked at.
      seen: checkpoints that are given, the base among them, below the number of times.

    Returns:
      Parameters, leading axis `[times − seen]`.

    Raises:
      ValueError: nothing given, or nothing left to predict.
    """
    steps, seen = jnp.asarray(steps), _check.integer("seen", seen, low=1)
    if seen >= len(steps):
        raise ValueError(f"seen: {seen}; must be below the number of checkpoints, {len(steps)}")
    known = jax.tree.map(lambda leaf: leaf[:seen], path)
    predict = partial(extrapolate, known, steps[:seen], jnp.asarray(accuracy)[:seen])
    return jax.vmap(predict)(steps[seen:])


def error(predicted: Params, path: Params) -> Float[Array, " future"]:
    r"""Distance of the predicted from the actual future, in units of what holding the last checkpoint misses.

    $$ \frac{\|\hat W_t - W_t\|}{\|W_{\rm last} - W_t\|} $$

    Args:
      predicted: from [`held_out`][], leading axis `[future]`.
      path: parameters, leading axis `[times]`, whose last `future` are compared with.

    Returns:
      `[future]`: 0 is exact, 1 is no better than [`hold_last`][]; infinite where the weights did not move at all.
    """

    def squares(guess: Array, leaf: Array) -> tuple[Array, Array]:
        later = wide(leaf)[len(leaf) - len(guess) :]
        last = wide(leaf)[len(leaf) - len(guess) - 1]
        axes = tuple(range(1, leaf.ndim))
        missed, moved = (jnp.sum(jnp.square(x - later), axis=axes) for x in (wide(guess), last[None]))
        return missed, moved

    both = (squares(*x) for x in zip(jax.tree.leaves(predicted), jax.tree.leaves(path), strict=True))
    missed, moved = (jnp.sqrt(sum(x)) for x in zip(*both, strict=True))
    ratio = missed / jnp.where(moved > 0, moved, 1.0)
    return jnp.where(moved > 0, ratio, jnp.where(missed > 0, jnp.inf, 1.0))

r"""Largest likelihood over parameters and a free distribution of kinds (the nonparametric mixture).

$$ \max_\theta\ \max_{w \ge 0,\;\sum w = 1}\ \sum_q c_q \log \sum_i w_i\, e^{\ell_{qi}(\theta)} $$

The inner problem is convex and solved by an interior-point method; the outer one has few parameters, and its
gradient is that at the best w (envelope theorem).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optimistix
from jaxtyping import Array

Kinds = Callable[[Array], Array]
"""θ `[parameters]` → ℓ `[questions, kinds]`."""
TOLERANCE = 1e-4
"""Nats by which w may fall short."""
MOST, MOST_OUTER = 60, 100
SCALE = 5.0
"""Parameters are stretched by this, so that the outer problem has curvature near one for each question."""


class Mixture(NamedTuple):
    """What the climb found.

    Attributes:
      theta: `[parameters]`.
      weights: `[kinds]`, w.
      log_likelihood: `[questions]`, of each history.
      missing: nats by which w may fall short of the best one.
      converged: whether θ came to rest, too.
    """

    theta: Array
    weights: Array
    log_likelihood: Array
    missing: Array
    converged: Array


def fit(kinds: Kinds, theta: Array, free: Array, counts: Array) -> Mixture:
    """Climb to the largest likelihood.

    Args:
      kinds: the model.
      theta: `[parameters]` to start from.
      free: `[parameters]`, 1 for those to fit, 0 for those to keep.
      counts: `[questions]`, c ≥ 0, how often each question counts.

    Returns:
      The [`Mixture`][].
    """
    place = lambda y: theta + free * y / SCALE  # noqa: E731

    def loss(y: Array, _: None) -> Array:
        ell = kinds(place(y))
        return -jnp.vdot(counts, _each(ell, weights(jax.lax.stop_gradient(ell), counts)[0])) / jnp.sum(counts)

    solver = optimistix.BFGS(rtol=1e-5, atol=1e-7)
    found = optimistix.minimise(loss, solver, jnp.zeros_like(theta), max_steps=MOST_OUTER, throw=False)
    theta = place(found.value)
    ell = kinds(theta)
    w, missing = weights(ell, counts)
    return Mixture(theta, w, _each(ell, w), missing, found.result == optimistix.RESULTS.successful)


def slope(kinds: Kinds, theta: Array, counts: Array) -> Array:
    """Slope in θ of the largest likelihood over w, `[parameters]`."""
    w, _ = weights(kinds(theta), counts)
    return jax.grad(lambda theta: jnp.vdot(counts, _each(kinds(theta), w)))(theta)


def weights(ell: Array, counts: Array) -> tuple[Array, Array]:
    """The best w for given ℓ, by a primal-dual interior-point method.

    With scores S = L/f the optimum has g = Sᵀc/Σc ≤ 1, with equality where w > 0; n(max g − 1) bounds the nats
    that are missing.

    Args:
      ell: `[questions, kinds]`.
      counts: `[questions]`, c.

    Returns:
      w `[kinds]`, and the bound.
    """
    likelihood = jnp.exp(ell - jnp.max(ell, axis=1, keepdims=True))
    total, n = jnp.sum(counts), ell.shape[1]

    def slopes(w: Array) -> tuple[Array, Array]:
        scores = likelihood / (likelihood @ w)[:, None]
        return scores, counts @ scores / total

    def turn(state: tuple[Array, ...]) -> tuple[Array, ...]:
        w, slack, _, step = state
        scores, gradient = slopes(w)
        hessian = (scores * (counts / total)[:, None]).T @ scores
        barrier = 0.1 * jnp.mean(w * slack)
        matrix = hessian + jnp.diag(slack / w)
        d_w = jax.scipy.linalg.solve(matrix, gradient - 1 + barrier / w, assume_a="pos")
        d_slack = (barrier - slack * d_w) / w - slack
        w, slack = w + _reach(w, d_w) * d_w, slack + _reach(slack, d_slack) * d_slack
        w = w / jnp.sum(w)
        return w, slack, total * (jnp.max(slopes(w)[1]) - 1), step + 1

    def going(state: tuple[Array, ...]) -> Array:
        return (state[2] > TOLERANCE) & (state[3] < MOST)

    first = (jnp.full(n, 1 / n), jnp.ones(n), jnp.asarray(jnp.inf), jnp.asarray(0))
    w, _, missing, _ = jax.lax.while_loop(going, turn, first)
    return w, missing


def _reach(x: Array, dx: Array) -> Array:
    """Longest step ≤ 1 that keeps x positive."""
    down = dx < 0
    return jnp.minimum(1.0, 0.98 * jnp.min(jnp.where(down, -x / jnp.where(down, dx, -1.0), jnp.inf)))


def _each(ell: Array, w: Array) -> Array:
    """log Σ w e^ℓ of every question."""
    top = jax.lax.stop_gradient(jnp.max(ell, axis=1, keepdims=True))
    return jnp.log(jnp.exp(ell - top) @ w) + top[:, 0]

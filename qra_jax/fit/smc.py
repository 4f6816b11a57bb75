"""Tempered sequential Monte Carlo: draws from a posterior, and its evidence, without derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

_STAGES, _HALVINGS = 200, 40


Leaf = Any
"""An array; untyped, as pytree leaves may also be placeholders."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Draws:
    """A posterior.

    Attributes:
      u: `[draws, parameters]`, equally weighted draws.
      log_likelihood: `[draws]`.
      extra: `[draws, extra]`, what else the likelihood returned.
      log_evidence: log of the likelihood mean over the prior; off by 1 to 4 nats at 128 draws and by about 1 to 2 at
        512 where thousands of samples a point leave little of the prior.
      stages: temperatures that were needed.
      arrived: whether they reached the posterior, b = 1; else the draws are from between it and the prior.
    """

    u: Leaf
    log_likelihood: Leaf
    extra: Leaf
    log_evidence: Leaf
    stages: Leaf
    arrived: Leaf


def sample(
    key: PRNGKeyArray,
    log_likelihood: Callable[[Array], tuple[Array, Array]],
    free: Float[Array, " parameters"],
    *,
    draws: int,
    moves: int = 10,
) -> Draws:
    r"""Carry draws from a standard normal prior to the posterior, $p_b(u) \propto N(u)\,L(u)^b$, b from 0 to 1.

    Each stage raises b as far as half of the draws stay effective, resamples, and moves every draw some Metropolis
    steps, normal with the covariance of the draws. Unlike an expansion around the best fit it holds for posteriors
    that are flat, bent or of several modes.

    Args:
      key: random key.
      log_likelihood: `u[parameters] -> (log likelihood, extra)`; extra is an array to keep with the draw.
      free: `[parameters]`, 1 for parameters the likelihood depends on, 0 for the others.
      draws: number of draws, ≥ 2.
      moves: Metropolis steps a stage.

    Returns:
      `Draws`.

    Reference: Del Moral, Doucet, Jasra (2006), J. R. Stat. Soc. B 68, 411; adaptive temperatures as in Jasra et
    al. (2011), Scand. J. Stat. 38, 1.
    """
    size = free.shape[0]

    def likelihood(
        u: Array,
    ) -> tuple[Array, Array]:  # called at one place only: it is what takes long to compile
        values, extra = jax.vmap(log_likelihood)(u)
        return jnp.maximum(jnp.where(jnp.isnan(values), -jnp.inf, values), -1e30), extra

    def effective(values: Array, step: Array) -> Array:
        weight = jax.nn.softmax(values * step)
        return 1 / jnp.sum(weight**2)

    def next_step(values: Array, left: Array) -> Array:
        """How far b may go: halving in its logarithm, as likelihoods of hopeless draws reach −1e30."""
        most = jnp.log(jnp.maximum(left, 1e-30))

        def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = 0.5 * (ends[0] + ends[1])
            few = effective(values, jnp.exp(middle)) < draws / 2
            return jnp.where(few, ends[0], middle), jnp.where(few, middle, ends[1])

        low, _ = jax.lax.fori_loop(0, _HALVINGS, halve, (most - 80.0, most))
        return jnp.where(effective(values, left) >= draws / 2, left, jnp.exp(low))

    def stage(state: tuple[Array, ...]) -> tuple[Array, ...]:
        key, u, values, extra, b, evidence, scale, count, _ = state
        key, one, two = jax.random.split(key, 3)
        normals = jax.random.normal(one, (moves, draws, size))
        chances = jax.random.uniform(two, (moves + 1, 2, draws))
        first = count == 0  # draws from the prior are still to be made: one move does it
        over = b >= 1  # nothing is left to reweight: one more round of moves
        step = jnp.where(first, 0.0, next_step(values, 1 - b))
        b = jnp.where(step >= 1 - b, 1.0, b + step)
        evidence = evidence + jax.nn.logsumexp(values * step) - jnp.log(draws)
        whole = jnp.cumsum(jax.nn.softmax(values * step))
        places = (jnp.arange(draws) + chances[-1, 0, 0]) / draws
        index = jnp.clip(jnp.searchsorted(whole, places), 0, draws - 1)
        u, values, extra = u[index], values[index], extra[index]
        spread = (u - jnp.mean(u, axis=0)[None, :]) * free[None, :]
        factor = jnp.linalg.cholesky(spread.T @ spread / draws + 1e-8 * jnp.eye(size)) * free[:, None]

        def move(i: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
            u, values, extra, share = state
            accept, width = chances[i]
            # Now and then a step three times shorter: narrow places are reached, too.
            wide = scale * jnp.where(width < 0.5, 1.0, 1 / 3)[:, None]
            new = jnp.where(first, normals[i], u + wide * (normals[i] @ factor.T))
            found, other = likelihood(new)
            gain = b * (found - values) - 0.5 * (jnp.sum(new**2, axis=1) - jnp.sum(u**2, axis=1))
            taken = first | (jnp.log(accept) < gain)
            row = taken[:, None]
            moved = jnp.where(row, new, u), jnp.where(taken, found, values), jnp.where(row, other, extra)
            return *moved, share + jnp.mean(taken) / moves

        start = (u, values, extra, jnp.zeros(()))
        u, values, extra, taken = jax.lax.fori_loop(0, jnp.where(first, 1, moves), move, start)
        scale = jnp.where(first, scale, jnp.clip(scale * jnp.exp(taken - 0.3), 0.05, 5.0))
        return key, u, values, extra, b, evidence, scale, count + 1, over

    zero, none = jnp.zeros(()), jax.eval_shape(log_likelihood, jnp.zeros(size))[1]
    u, values, extra = jnp.zeros((draws, size)), jnp.zeros(draws), jnp.zeros((draws, *none.shape))
    scale = 2.38 / jnp.sqrt(jnp.sum(free))
    state = (key, u, values, extra, zero, zero, scale, jnp.asarray(0), jnp.asarray(False))
    state = jax.lax.while_loop(lambda s: ~s[8] & (s[7] < _STAGES), stage, state)
    return Draws(state[1], state[2], state[3], state[5], state[7], state[4] >= 1)

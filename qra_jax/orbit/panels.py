r"""Walking along an orbit in panels, adding up the time $t = \int Z/c(\rho)\,d\tau$.

The integrand is analytic inside each piece of the lower envelope and has its sharp features at the vertices.
Panels end at vertices, carry 12 Gauss–Lobatto nodes, and adapt their length: the tail of the integrand's Legendre
series on a panel says how well it is resolved. Sums are kept as logarithms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import expectation
from qra_jax.algorithm import Algorithm
from qra_jax.orbit import curve as _curve
from qra_jax.orbit.curve import Leaf, Lines, Place

NODES = 12
MAX_PANELS = 4096
APPROACH = 0.85
"""Share of the way to a vertex that is gone when the whole way in one panel would be too coarse."""


def _lobatto(nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss–Lobatto nodes and weights on [0, 1], and the matrix from node values to Legendre coefficients."""
    legendre = np.polynomial.legendre
    basis = np.eye(nodes)[nodes - 1]
    x = np.concatenate([[-1.0], np.sort(legendre.legroots(legendre.legder(basis)).real), [1.0]])
    for _ in range(3):  # polish: (1 - x²) P'_{m}(x) = 0
        slope, curve = (
            legendre.legval(x[1:-1], legendre.legder(basis)),
            legendre.legval(x[1:-1], legendre.legder(basis, 2)),
        )
        x[1:-1] -= slope / curve
    weight = 2 / (nodes * (nodes - 1) * legendre.legval(x, basis) ** 2)
    degree = np.arange(nodes)
    transform = (legendre.legvander(x, nodes - 1) * weight[:, None]).T * (2 * degree[:, None] + 1) / 2
    transform[-1] *= (nodes - 1) / (2 * nodes - 1)  # discrete norm of the last polynomial on Lobatto nodes
    return (x + 1) / 2, weight / 2, transform


POINTS, WEIGHTS, TO_LEGENDRE = _lobatto(NODES)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Panel:
    """The integrand at the nodes of one panel.

    Attributes:
      ratio: `[nodes, patterns]`, probability over the leader's.
      log_speed: `[nodes]`, log dt/dτ.
      log_time: log of the panel's share of time.
      log_error: log of the estimated error of that share.
      log_min: y at the end of the panel.
    """

    ratio: Leaf
    log_speed: Leaf
    log_time: Leaf
    log_error: Leaf
    log_min: Leaf

    @property
    def policy(self) -> Float[Array, "nodes patterns"]:
        """π at the nodes."""
        return self.ratio / jnp.sum(self.ratio, axis=-1, keepdims=True)


Rate = Callable[[Array, Array], Array]


def rate_function(lines: Lines, algorithm: Algorithm, binary: bool) -> Rate:
    """log dt/dτ = log Z − log c as a function of the probability ratios and log Z at a point of the orbit."""
    log_clock = algorithm.log_clock_function() if binary else None
    real_clock = None if binary else expectation.limit_clock(algorithm, algorithm.group_size)

    def rate(ratio: Array, log_z: Array) -> Array:
        policy = ratio / jnp.sum(ratio)
        mean = jnp.sum(policy * lines.reward)
        if log_clock is not None:
            return log_z - log_clock(mean, jnp.sum(policy * (1 - lines.reward)))
        assert real_clock is not None  # checked where the setting is made
        std = jnp.sqrt(jnp.sum(policy * (lines.reward - mean) ** 2))
        return log_z - jnp.log(real_clock(std))

    return rate


def panel(lines: Lines, rate: Rate, place: Place, length: Array) -> Panel:
    """Evaluate the panel of a given length that begins at `place`."""
    dtype = place.gaps.dtype
    points = jnp.asarray(POINTS, dtype)
    gaps = jax.vmap(lambda point: _curve.gaps_at(lines, place, point * length))(points)
    if lines.geometry == _curve.NATURAL:
        y = jnp.zeros_like(points)
    else:
        y = _curve.log_min_nodes(lines, place, gaps, points, length)
    ratio, log_z = jax.vmap(lambda gaps, y: _curve.ratios(lines, gaps, y))(gaps, y)
    log_speed = jax.vmap(rate)(ratio, log_z)
    scale = jax.lax.stop_gradient(jnp.max(log_speed))
    value = jnp.exp(log_speed - scale)
    coefficients = jnp.asarray(TO_LEGENDRE, dtype) @ value
    log_length = jnp.log(length) + scale
    tail = jnp.maximum(jnp.abs(coefficients[-1]), jnp.abs(coefficients[-2]))
    log_time = log_length + jnp.log(jnp.asarray(WEIGHTS, dtype) @ value)
    return Panel(ratio, log_speed, log_time, log_length + jnp.log(tail), y[-1])


def end(lines: Lines, place: Place, length: Array, done: Panel) -> Place:
    """The place where a panel ends."""
    return Place(place.leader, _curve.gaps_at(lines, place, length), place.tau + length, done.log_min)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Walk:
    """How far a walk along the orbit has come.

    Attributes:
      place: where the next panel begins.
      log_time: log of the time to get there.
      step: length to try next, in τ.
      last: length of the last panel.
      trend: how much longer it was than the one before: away from a vertex lengths grow geometrically.
      wall: error per length of the last panel that failed to reach the next vertex, zero if none did.
      to_switch: distance to the next vertex, `inf` if there is none.
      successor: who takes the lead there.
      tried: panels evaluated so far.
    """

    place: Place
    log_time: Leaf
    step: Leaf
    last: Leaf
    trend: Leaf
    wall: Leaf
    to_switch: Leaf
    successor: Leaf
    tried: Leaf


def begin(lines: Lines) -> tuple[Walk, Float[Array, " patterns"]]:
    """A walk at t = 0, and the probability ratios there.

    The first step is the shortest τ in which some weight could vanish at its first speed.
    """
    place = _curve.start(lines)
    ratio, _ = _curve.ratios(lines, place.gaps)
    policy = ratio / jnp.sum(ratio)
    drift = lines.mass * jnp.abs(lines.reward - jnp.sum(policy * lines.reward))
    weight = lines.offset if lines.geometry == _curve.SOFTMAX else jnp.ones_like(policy)
    scale = jnp.min(jnp.where(drift > 0, weight / jnp.where(drift > 0, drift, 1.0), jnp.inf))
    step = jnp.where(jnp.isfinite(scale), scale, 1.0)
    one = jnp.ones_like(step)
    ahead = _curve.next_switch(lines, place)
    return Walk(place, -jnp.inf * one, step, step, one, 0 * one, *ahead, jnp.zeros((), jnp.int32)), ratio


def exhausted(walk: Walk) -> Array:
    """Whether a walk cannot go on: out of panels, or its step lost to the dtype (zero or NaN)."""
    return (walk.tried >= MAX_PANELS) | ~(walk.step > 0)


def tolerance(dtype: Any) -> float:
    """Largest accepted Legendre tail of a panel, relative to the time so far.

    Where the integrand is smooth the quadrature error is about the square of the tail; near vertices it is not, and
    over 3000 random problems with 10 patterns the error in log time was at most .05 of this tolerance.
    """
    return 3e-8 if dtype == jnp.float64 else 1e-4


def attempt(lines: Lines, rate: Rate, walk: Walk) -> tuple[Panel, Float[Array, ""], Array, Walk]:
    """Try one panel: returns it, its length, whether it is accurate enough, and the walk after it.

    The walk moves on only if the panel is accurate enough; its next step is adapted either way.
    """
    to_switch, goal = walk.to_switch, tolerance(walk.step.dtype)
    at_switch = (walk.step >= 0.7 * to_switch) & (walk.wall * to_switch <= goal)
    length = jnp.where(at_switch, to_switch, jnp.minimum(walk.step, APPROACH * to_switch))
    tried = panel(lines, rate, walk.place, length)
    log_time = jnp.logaddexp(walk.log_time, tried.log_time)
    error = jnp.exp(tried.log_error - log_time)
    good = (error <= goal) | (length <= 0)
    factor = 0.9 * (goal / jnp.maximum(error, 1e-30)) ** (1 / (NODES - 1))
    grown = jnp.clip(factor * jnp.where(at_switch, 0.5, jnp.maximum(walk.trend, 1.0)), 0.3, 20.0)
    shrunk = jnp.where(at_switch, APPROACH, jnp.clip(factor, 0.1, 0.6))
    step = jnp.where(length > 0, length * jnp.where(good, grown, shrunk), walk.step)
    trend = jnp.where(at_switch | ~good, 1.0, jnp.where(length > 0, length / walk.last, 1.0))
    ahead = end(lines, walk.place, length, tried)
    switched = _curve.lead(lines, ahead, walk.successor)
    ahead = jax.tree.map(lambda a, b: jnp.where(at_switch, a, b), switched, ahead)
    wall = jnp.where(at_switch, jnp.where(good, 0.0, error / jnp.where(length > 0, length, 1.0)), walk.wall)
    count = walk.tried + 1
    moved = Walk(ahead, log_time, step, length, trend, wall, *_curve.next_switch(lines, ahead), count)
    stayed = replace(walk, step=step, trend=trend, wall=wall, tried=count)
    return tried, length, good, jax.tree.map(lambda a, b: jnp.where(good, a, b), moved, stayed)


def settled(lines: Lines, walk: Walk, ratio: Array) -> Array:
    """Whether nothing is left to happen: no switch ahead and every other pattern's share gone or frozen."""
    slope = _curve.slopes(lines, walk.place)
    moving = slope > 0
    if lines.geometry == _curve.SOFTMAX:  # the lesser of two equal patterns still fades
        moving |= walk.place.gaps > 0
    apart = (lines.mass > 0) & moving
    share = jnp.max(jnp.where(apart, ratio, 0.0))
    still = jnp.all(slope == 0)
    return ~jnp.isfinite(walk.to_switch) & ((share < jnp.finfo(ratio.dtype).eps / 16) | still)

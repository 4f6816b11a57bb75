r"""The orbit as straight lines: gaps between lines in, policy and speed out.

Softmax policy gradient, in the orbit time τ with $d\tau = c(\rho)\,dt/Z$, keeps $w_r = e^{-\theta_r}$ on

$$ w_r(\tau) = u_r - R_r\tau + S(\tau),\qquad \sum_r \log w_r = \sum_r \log u_r = C,\qquad
   \pi_r \propto 1/w_r,\qquad Z = \sum_r 1/w_r . $$

Measured from the *leader*, the lowest of the lines $u_r - R_r\tau$, the others have gaps $g_r \ge 0$ and one scalar
$y = \log\min_r w_r$ is left, the root of $\sum_r \log(e^y + g_r) = C$. The natural gradient has the same lines with
offsets $-\log\pi_{\rm ref}$, and $\log\pi_r = -g_r$ up to normalisation: one walk along lines serves both geometries.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from qra_jax.geometry import GEOMETRIES

SOFTMAX, NATURAL = GEOMETRIES

Leaf = Any
"""A leaf of the states that walks carry: an array, with batch axes in front or not, or its tangent."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Lines:
    r"""The lines $b_r - R_r\tau$ of one problem.

    Attributes:
      offset: `[patterns]`, b_r: $u_r e^{-s}$ (softmax) or $-\log\pi_{\rm ref}(r)$ (natural).
      reward: `[patterns]`, R_r.
      mass: `[patterns]`, 1 where the pattern has reference mass, else 0; the others stay out of every sum.
      total: C in the same units, the conserved sum of log w (softmax).
      log_unit: s, the log of the unit of τ and w (softmax), chosen to make the largest offset one.
      geometry: `"softmax"` or `"natural"`.
    """

    offset: Leaf
    reward: Leaf
    mass: Leaf
    total: Leaf
    log_unit: Leaf
    geometry: str = field(metadata={"static": True})

    @classmethod
    def through(
        cls, log_ref: Float[Array, " patterns"], reward: Float[Array, " patterns"], geometry: str
    ) -> Lines:
        """The lines through a reference policy, with rewards as slopes."""
        some = ~jnp.isneginf(log_ref)
        level = jnp.where(some, -log_ref, 0.0)
        reward = jnp.where(some, reward, 0.0)
        mass = some.astype(level.dtype)
        zero = jnp.zeros((), level.dtype)
        if geometry == NATURAL:
            return cls(level, reward, mass, zero, zero, geometry)
        unit = jax.lax.stop_gradient(jnp.max(jnp.where(some, level, -jnp.inf)))
        offset = jnp.where(some, jnp.exp(level - unit), 1.0)
        return cls(offset, reward, mass, jnp.sum(mass * (level - unit)), unit, geometry)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Place:
    """A point of the orbit: the leader and the gaps above it, carried along so that nothing cancels.

    Attributes:
      leader: index of the lowest line.
      gaps: `[patterns]`, heights above the leader's line (softmax: 1 for patterns without mass).
      tau: orbit time, in units of exp(log_unit).
      log_min: y, the log of the smallest weight there (softmax; zero for natural).
    """

    leader: Leaf
    gaps: Leaf
    tau: Leaf
    log_min: Leaf


def start(lines: Lines) -> Place:
    """The place at τ = 0; among equally low lines the steepest leads."""
    some = lines.mass > 0
    low = jnp.min(jnp.where(some, lines.offset, jnp.inf))
    leader = jnp.argmax(jnp.where(some & (lines.offset == low), lines.reward, -jnp.inf))
    gaps = jnp.where(some, lines.offset - low, 1.0)
    zero = jnp.zeros_like(low)
    return Place(leader, gaps, zero, jnp.log(low) if lines.geometry == SOFTMAX else zero)


def slopes(lines: Lines, place: Place) -> Float[Array, " patterns"]:
    """Rates at which the gaps grow, R_leader − R_r; zero for patterns without mass."""
    return lines.mass * (lines.reward[place.leader] - lines.reward)


def next_switch(lines: Lines, place: Place) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Distance in τ to the next vertex of the lower envelope (`inf` if none) and the pattern that takes the lead."""
    slope = slopes(lines, place)
    distance = jnp.where(slope < 0, place.gaps / jnp.where(slope < 0, -slope, 1.0), jnp.inf)
    nearest = jnp.min(distance)
    return nearest, jnp.argmin(jnp.where(distance == nearest, slope, jnp.inf))


def gaps_at(lines: Lines, place: Place, distance: Array) -> Float[Array, " patterns"]:
    """The gaps `distance` further on along the same leader; rounding below zero is cut off, its derivative is not."""
    gaps = place.gaps + slopes(lines, place) * distance
    return gaps + jax.lax.stop_gradient(jnp.maximum(-gaps, 0.0))


def lead(lines: Lines, place: Place, leader: Array) -> Place:
    """The same place seen from the pattern that takes the lead there."""
    gaps = jnp.where(lines.mass > 0, jnp.maximum(place.gaps - place.gaps[leader], 0.0), 1.0)
    return replace(place, leader=leader, gaps=gaps.at[leader].set(0.0))


def follow(lines: Lines, place: Place) -> Float[Array, " patterns"]:
    r"""The gaps at a place as a differentiable function of the lines and of τ.

    The value is the carried one; the derivative is that of $b_r - b_l + (R_l - R_r)\tau$.
    """
    gaps = lines.mass * (lines.offset - lines.offset[place.leader]) + slopes(lines, place) * place.tau
    return jax.lax.stop_gradient(place.gaps) + (gaps - jax.lax.stop_gradient(gaps))


def log_policy(
    lines: Lines, gaps: Float[Array, " patterns"], guess: Float[Array, ""] | None = None
) -> Float[Array, " patterns"]:
    """log π from the gaps, precise also where π underflows; `guess` is about y, where that is known."""
    if lines.geometry == NATURAL:
        log_weight = gaps
    else:
        y = _solved(lines, gaps, guess)
        weight = jnp.exp(y) + gaps
        log_weight = jnp.where(weight > 0, jnp.log(jnp.where(weight > 0, weight, 1.0)), y)
    return jax.nn.log_softmax(jnp.where(lines.mass > 0, -log_weight, -jnp.inf))


def ratios(
    lines: Lines, gaps: Float[Array, " patterns"], log_min: Float[Array, ""] | None = None
) -> tuple[Float[Array, " patterns"], Float[Array, ""]]:
    """Each pattern's probability over the leader's, π_r/π_l in [0, 1], and log Z; `log_min` is y where known."""
    if lines.geometry == NATURAL:
        return lines.mass * jnp.exp(-gaps), jnp.zeros((), gaps.dtype)
    y = _solved(lines, gaps) if log_min is None else log_min
    ratio = lines.mass * _ratio(jnp.exp(y), gaps)
    return ratio, jnp.log(jnp.sum(ratio)) - y


def _solved(
    lines: Lines, gaps: Float[Array, " patterns"], guess: Float[Array, ""] | None = None
) -> Float[Array, ""]:
    guess = rough_log_min(gaps, lines.mass, lines.total) if guess is None else guess
    return log_min_weight(gaps, lines.mass, lines.total, jax.lax.stop_gradient(guess))


def log_min_nodes(
    lines: Lines,
    place: Place,
    gaps: Float[Array, "nodes patterns"],
    points: Float[Array, " nodes"],
    length: Array,
) -> Float[Array, " nodes"]:
    """y at the nodes of a panel that begins at `place`, from a cubic Hermite prediction of $e^{-y}$.

    $e^{-y}$ is nearly a polynomial between vertices; it is known at the start and solved for at the end.
    """
    frozen, place, length = jax.lax.stop_gradient((gaps, place, length))
    y0, y1 = place.log_min, _solved(jax.lax.stop_gradient(lines), frozen[-1])
    low = jnp.minimum(y0, y1)
    slope = slopes(lines, place) * length

    def inverse(y: Array, gaps: Array) -> tuple[Array, Array]:
        """e^{low − y} and its derivative along the panel."""
        ratio = lines.mass * _ratio(jnp.exp(y), gaps)
        return jnp.exp(low - y), jnp.exp(low - 2 * y) * jnp.sum(ratio * slope) / jnp.sum(ratio)

    (v0, d0), (v1, d1) = inverse(y0, frozen[0]), inverse(y1, frozen[-1])
    rise = v1 - v0
    t = points
    v = v0 + t * (rise + (1 - t) * ((1 - t) * (d0 - rise) + t * (rise - d1)))
    v = jnp.maximum(v, 0.5 * jnp.minimum(v0, v1))
    guess = low - jnp.log(v)
    guess = jax.lax.stop_gradient(jnp.where(jnp.isfinite(guess), guess, y0 + t * (y1 - y0)))
    return jax.vmap(log_min_weight, in_axes=(0, None, None, 0))(gaps, lines.mass, lines.total, guess)


@jax.custom_jvp
def log_min_weight(
    gaps: Float[Array, " patterns"],
    mass: Float[Array, " patterns"],
    total: Float[Array, ""],
    guess: Float[Array, ""],
) -> Float[Array, ""]:
    r"""The root y of $\sum_r m_r \log(e^y + g_r) = C$, the log of the smallest weight, from a guess.

    The left side is convex and increasing with slope between 1 and n, so Halley steps converge from anywhere.
    """

    def unsettled(state: tuple[Array, Array, Array]) -> Array:
        # Convergence is cubic: after a step this small the error is below rounding.
        return (jnp.abs(state[1]) > float(jnp.finfo(gaps.dtype).eps) ** 0.4) & (state[2] < 60)

    def improve(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        step = _halley(state[0], gaps, mass, total)
        return state[0] - step, step, state[2] + 1

    return jax.lax.while_loop(unsettled, improve, (guess, jnp.full_like(guess, jnp.inf), jnp.asarray(0)))[0]


@log_min_weight.defjvp
def _log_min_weight_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    gaps, mass, _, _ = primals
    y = log_min_weight(*primals)
    x = jnp.exp(y)
    weight = jnp.maximum(x + gaps, jnp.finfo(gaps.dtype).tiny)
    return y, (tangents[2] - jnp.sum(mass * tangents[0] / weight)) / jnp.sum(mass * _ratio(x, gaps))


def rough_log_min(
    gaps: Float[Array, " patterns"], mass: Float[Array, " patterns"], total: Float[Array, ""]
) -> Float[Array, ""]:
    r"""A guess of y from above: the piecewise-linear minorant $\sum_r m_r \max(y, \log g_r) = C$, nearly solved."""
    log_gaps = jnp.log(gaps + jnp.finfo(gaps.dtype).tiny)
    count = jnp.sum(mass)

    def minorant(_: Array, y: Array) -> Array:
        high = jnp.where(log_gaps > y, mass, 0.0)
        return (total - jnp.sum(high * log_gaps)) / jnp.maximum(count - jnp.sum(high), 1.0)

    return jax.lax.fori_loop(0, 3, minorant, total / count)


def _halley(y: Array, gaps: Array, mass: Array, total: Array) -> Array:
    """One Halley step towards Σ m log(e^y + g) = C, at most twice Newton's."""
    x = jnp.exp(y)
    ratio = mass * _ratio(x, gaps)
    # Lines that meet the leader's have log w = y, also where e^y underflows.
    apart = (gaps > 0) & (mass > 0)
    log_weights = _sum_log(jnp.where(apart, x + gaps, 1.0)) + y * jnp.sum(jnp.where(apart, 0.0, mass))
    slope = jnp.sum(ratio)
    newton = (log_weights - total) / slope
    return newton / jnp.maximum(1 - 0.5 * newton * (slope - jnp.sum(ratio * ratio)) / slope, 0.5)


def _sum_log(x: Array) -> Array:
    """Σ log x of positive numbers with a single logarithm: exponents are added, mantissas multiplied."""
    if x.shape[0] > 500:  # a product of more mantissas in [1, 2) could overflow
        return jnp.sum(jnp.log(x))
    info = jnp.finfo(x.dtype)
    integer = jnp.int64 if info.bits == 64 else jnp.int32
    if info.bits == 32 and x.shape[0] > 100:
        return jnp.sum(jnp.log(x))
    bits = jax.lax.bitcast_convert_type(x, integer)
    one = int(np.asarray(1, x.dtype).view(f"int{info.bits}"))
    mantissa = jax.lax.bitcast_convert_type((bits & ((1 << info.nmant) - 1)) | one, x.dtype)
    exponent = jnp.sum((bits >> info.nmant) - (one >> info.nmant))
    return jnp.log(jnp.prod(mantissa)) + exponent.astype(x.dtype) * np.log(2).astype(x.dtype)


def _ratio(x: Array, gaps: Array) -> Array:
    """x / (x + g); one for a line that meets the leader's, also where x underflows."""
    weight = x + gaps
    some = weight > 0
    return jnp.where(some, x / jnp.where(some, weight, 1.0), 1.0)

r"""The orbit as straight lines: gaps between lines in, policy and speed out.

Softmax policy gradient, in the orbit time τ with $d\tau = c(\rho)\,dt/Z$, keeps $w_r = e^{-\theta_r}$ on

$$ w_r(\tau) = u_r - R_r\tau + S(\tau),\qquad \sum_r \log w_r = \sum_r \log u_r = C,\qquad
   \pi_r \propto 1/w_r,\qquad Z = \sum_r 1/w_r . $$

Measured from the *leader*, the lowest of the lines $u_r - R_r\tau$, the others have gaps $g_r \ge 0$ and one scalar
$y = \log\min_r w_r$ is left, the root of $\sum_r \log(e^y + g_r) = C$. The natural gradient has the same lines with
offsets $-\log\pi_{\rm ref}$, and $\log\pi_r = -g_r$ up to normalisation: one walk along lines serves both metrics.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

SOFTMAX, NATURAL = "softmax", "natural"
METRICS = (SOFTMAX, NATURAL)


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
      metric: `"softmax"` or `"natural"`.
    """

    offset: Float[Array, " patterns"]
    reward: Float[Array, " patterns"]
    mass: Float[Array, " patterns"]
    total: Float[Array, ""]
    log_unit: Float[Array, ""]
    metric: str = field(metadata={"static": True})

    @classmethod
    def through(cls, log_ref: Float[Array, " patterns"], reward: Float[Array, " patterns"], metric: str) -> Lines:
        """The lines through a reference policy, with rewards as slopes."""
        some = ~jnp.isneginf(log_ref)
        level = jnp.where(some, -log_ref, 0.0)
        reward = jnp.where(some, reward, 0.0)
        mass = some.astype(level.dtype)
        zero = jnp.zeros((), level.dtype)
        if metric == NATURAL:
            return cls(level, reward, mass, zero, zero, metric)
        unit = jax.lax.stop_gradient(jnp.max(jnp.where(some, level, -jnp.inf)))
        offset = jnp.where(some, jnp.exp(level - unit), 1.0)
        return cls(offset, reward, mass, jnp.sum(mass * (level - unit)), unit, metric)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Place:
    """A point of the orbit: the leader and the gaps above it, carried along so that nothing cancels.

    Attributes:
      leader: index of the lowest line.
      gaps: `[patterns]`, heights above the leader's line (softmax: 1 for patterns without mass).
      tau: orbit time, in units of exp(log_unit).
    """

    leader: Int[Array, ""]
    gaps: Float[Array, " patterns"]
    tau: Float[Array, ""]


def start(lines: Lines) -> Place:
    """The place at τ = 0; among equally low lines the steepest leads."""
    some = lines.mass > 0
    low = jnp.min(jnp.where(some, lines.offset, jnp.inf))
    leader = jnp.argmax(jnp.where(some & (lines.offset == low), lines.reward, -jnp.inf))
    return Place(leader, jnp.where(some, lines.offset - low, 1.0), jnp.zeros((), lines.offset.dtype))


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


def move(lines: Lines, place: Place, distance: Array) -> Place:
    """The place `distance` further on along the same leader."""
    return Place(place.leader, gaps_at(lines, place, distance), place.tau + distance)


def lead(lines: Lines, place: Place, leader: Array) -> Place:
    """The same place seen from the pattern that takes the lead there."""
    gaps = jnp.where(lines.mass > 0, jnp.maximum(place.gaps - place.gaps[leader], 0.0), 1.0)
    return Place(leader, gaps.at[leader].set(0.0), place.tau)


def follow(lines: Lines, place: Place) -> Float[Array, " patterns"]:
    r"""The gaps at a place as a differentiable function of the lines and of τ.

    The value is the carried one; the derivative is that of $b_r - b_l + (R_l - R_r)\tau$.
    """
    gaps = lines.mass * (lines.offset - lines.offset[place.leader]) + slopes(lines, place) * place.tau
    return jax.lax.stop_gradient(place.gaps) + (gaps - jax.lax.stop_gradient(gaps))


def ratios(lines: Lines, gaps: Float[Array, " patterns"]) -> tuple[Float[Array, " patterns"], Float[Array, ""]]:
    """Each pattern's probability over the leader's, π_r/π_l in [0, 1], and log Z."""
    if lines.metric == NATURAL:
        return lines.mass * jnp.exp(-gaps), jnp.zeros((), gaps.dtype)
    y = log_min_weight(gaps, lines.mass, lines.total)
    ratio = lines.mass * _ratio(jnp.exp(y), gaps)
    return ratio, jnp.log(jnp.sum(ratio)) - y


def log_policy(lines: Lines, gaps: Float[Array, " patterns"]) -> Float[Array, " patterns"]:
    """log π from the gaps, precise also where π underflows."""
    if lines.metric == NATURAL:
        log_weight = gaps
    else:
        y = log_min_weight(gaps, lines.mass, lines.total)
        log_weight = jnp.where(gaps > 0, jnp.log(jnp.exp(y) + jnp.where(gaps > 0, gaps, 1.0)), y)
    return jax.nn.log_softmax(jnp.where(lines.mass > 0, -log_weight, -jnp.inf))


@jax.custom_jvp
def log_min_weight(
    gaps: Float[Array, " patterns"], mass: Float[Array, " patterns"], total: Float[Array, ""]
) -> Float[Array, ""]:
    r"""The root y of $\sum_r m_r \log(e^y + g_r) = C$, the log of the smallest weight.

    The left side is convex and increasing, with slope between 1 and n. The search starts at the root of its
    piecewise-linear minorant $\sum_r m_r \max(y, \log g_r)$, at most $n\log 2$ in value away, and takes Halley steps.
    """
    tiny = jnp.finfo(gaps.dtype).tiny
    log_gaps = jnp.log(gaps + tiny)
    count = jnp.sum(mass)

    def minorant(_: int, y: Array) -> Array:
        high = jnp.where(log_gaps > y, mass, 0.0)
        return (total - jnp.sum(high * log_gaps)) / jnp.maximum(count - jnp.sum(high), 1.0)

    def unsettled(state: tuple[Array, Array, Array]) -> Array:
        return (jnp.abs(state[1]) > jnp.finfo(gaps.dtype).eps ** 0.4) & (state[2] < 60)

    def halley(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        y, _, count = state
        x = jnp.exp(y)
        weight = x + gaps
        ratio = mass * _ratio(x, gaps)
        # A line that meets the leader's has log w = y, also where e^y underflows.
        log_weight = jnp.where(gaps > 0, jnp.log(jnp.maximum(weight, tiny)), y)
        slope = jnp.sum(ratio)
        newton = (jnp.sum(mass * log_weight) - total) / slope
        step = newton / jnp.maximum(1 - 0.5 * newton * jnp.sum(ratio * (1 - ratio)) / slope, 0.5)
        return y - step, step, count + 1

    y = jax.lax.fori_loop(0, 3, minorant, total / count)
    return jax.lax.while_loop(unsettled, halley, (y, jnp.full_like(y, jnp.inf), 0))[0]


@log_min_weight.defjvp
def _log_min_weight_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    gaps, mass, total = primals
    y = log_min_weight(gaps, mass, total)
    x = jnp.exp(y)
    weight = jnp.maximum(x + gaps, jnp.finfo(gaps.dtype).tiny)
    pull = jnp.sum(mass * tangents[0] / weight)
    return y, (tangents[2] - pull) / jnp.sum(mass * _ratio(x, gaps))


def _ratio(x: Array, gaps: Array) -> Array:
    """x / (x + g); one for a line that meets the leader's, also where x underflows."""
    return jnp.where(gaps + x > 0, x / jnp.maximum(gaps + x, jnp.finfo(gaps.dtype).tiny), 1.0)

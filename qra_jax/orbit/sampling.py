"""Where an orbit is at given times: the inverse of the time integral, with first derivatives."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax.orbit import curve as _curve, panels as _panels
from qra_jax.orbit.curve import Lines, Place
from qra_jax.orbit.hitting import TimeGradient, inner, zero_tangent
from qra_jax.orbit.panels import Walk
from qra_jax.orbit.setting import Setting
from qra_jax.trajectory import Status


def _until(
    lines: Lines, rate: _panels.Rate, walk: Walk, log_time: Array, total: Any, add: Any
) -> tuple[Walk, Array, Array, Array, Any]:
    """Walk up to the panel that contains `log_time`: the walk before it, its length, log share, success, and a total.

    `add` is `(total, walk before a panel, walk after it) -> total`.
    """
    nothing = jnp.zeros_like(walk.step)

    def going(state: tuple[Walk, Array, Array, Array, Any]) -> Array:
        walk, _, _, over, _ = state
        return ~over & ~_panels.exhausted(walk)

    def step(state: tuple[Walk, Array, Array, Array, Any]) -> tuple[Walk, Array, Array, Array, Any]:
        before, total = state[0], state[-1]
        tried, length, good, after = _panels.attempt(lines, rate, before)
        reached = good & (after.log_time >= log_time)
        # Time may converge (natural gradient with a clock that diverges): the orbit then stays at its end.
        stuck = good & _panels.settled(lines, after, tried.ratio[-1]) & (tried.log_time < after.log_time - 40)
        walk = jax.tree.map(lambda a, b: jnp.where(reached, a, b), before, after)
        return (
            walk,
            jnp.where(reached, length, 0.0),
            jnp.where(reached, tried.log_time, -jnp.inf),
            reached | stuck,
            add(total, before, walk),
        )

    return jax.lax.while_loop(going, step, (walk, nothing, nothing - jnp.inf, jnp.asarray(False), total))


def _within(
    lines: Lines, rate: _panels.Rate, walk: Walk, length: Array, log_share: Array, log_time: Array
) -> Array:
    """The distance into a panel at which the time is reached, by Newton's method on log time."""
    rest = log_time + jnp.log1p(-jnp.exp(jnp.minimum(walk.log_time - log_time, 0.0)))
    empty = ~jnp.isfinite(rest) | ~(length > 0)
    rest = jnp.where(empty, log_share, rest)
    length = jnp.where(length > 0, length, 1.0)

    def newton(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        log_distance, _, count = state
        part = _panels.panel(lines, rate, walk.place, jnp.exp(log_distance))
        step = (part.log_time - rest) * jnp.exp(part.log_time - part.log_speed[-1] - log_distance)
        step = jnp.clip(step, -2.0, 2.0)
        return jnp.minimum(log_distance - step, jnp.log(length)), step, count + 1

    def going(state: tuple[Array, Array, Array]) -> Array:
        return (jnp.abs(state[1]) > jnp.sqrt(jnp.finfo(length.dtype).eps)) & (state[2] < 60)

    begin = jnp.log(length) + jnp.minimum(rest - log_share, 0.0)
    log_distance = jax.lax.while_loop(going, newton, (begin, jnp.full_like(begin, jnp.inf), jnp.asarray(0)))[
        0
    ]
    return jnp.where(empty, 0.0, jnp.exp(log_distance))


def _sample(
    geometry: str, binary: bool, setting: Setting, log_times: Array, along: TimeGradient | None = None
) -> tuple[Place, Array, Any]:
    """Places, status, and what derivatives need: the last walk's panels, distances and the gradient of time at each."""
    lines = Lines.through(setting.log_ref, setting.reward, geometry)
    rate = _panels.rate_function(lines, setting.algorithm, binary)

    add = (lambda total, before, after: total) if along is None else along.add

    def save(carry: tuple[Walk, Any], log_time: Array) -> tuple[tuple[Walk, Any], Any]:
        walk, length, log_share, reached, total = _until(lines, rate, carry[0], log_time, carry[1], add)
        distance = _within(lines, rate, walk, length, log_share, log_time)
        place = replace(
            walk.place, gaps=_curve.gaps_at(lines, walk.place, distance), tau=walk.place.tau + distance
        )
        gradient = None if along is None else along.finish(total, walk, distance)
        return (walk, total), (place, reached, walk.tried, distance, gradient)

    begun = _panels.begin(lines)[0], None if along is None else along.nothing()
    _, (places, reached, tried, distances, gradients) = jax.lax.scan(save, begun, log_times)
    valid = (
        jnp.all(jnp.isfinite(lines.reward))
        & ~jnp.any(jnp.isnan(setting.log_ref))
        & ~jnp.any(jnp.isnan(log_times))
    )
    status = Status.worst(
        jnp.where(jnp.all(reached), Status.OK, Status.NOT_CONVERGED),
        jnp.where(valid, Status.OK, Status.INVALID),
    )
    return places, status.astype(jnp.int32), (tried[-1], distances, gradients)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def sample(
    geometry: str, binary: bool, setting: Setting, log_times: Float[Array, " times"]
) -> tuple[Float[Array, " times"], Place, Array, Array]:
    """τ at increasing log times (with first derivatives), the places, the status and the panel count."""
    places, status, (tried, _, _) = _sample(geometry, binary, setting, log_times)
    return places.tau, places, status, tried


@sample.defjvp
def _sample_jvp(
    geometry: str, binary: bool, primals: tuple[Setting, Array], tangents: tuple[Setting, Array]
) -> Any:
    setting, log_times = primals
    dsetting, dlog_times = tangents
    along = TimeGradient(geometry, binary, setting)
    places, status, (tried, distances, (gradients, log_speeds)) = _sample(
        geometry, binary, setting, log_times, along
    )
    moved = jnp.isfinite(log_times) & (distances > 0)
    scale = jnp.exp(jnp.where(moved, log_times - log_speeds, 0.0))
    change = dlog_times - jax.vmap(inner, in_axes=(0, None))(gradients, dsetting)
    dtau = jnp.where(moved, scale * change, 0.0)
    return (places.tau, places, status, tried), (dtau, zero_tangent(places), *zero_tangent((status, tried)))

"""Who dominates when: the lower envelope of the orbit's lines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from qra_jax.orbit import curve as _curve
from qra_jax.orbit.curve import Lines


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dominance:
    r"""The sequence of leading patterns.

    Attributes:
      leaders: `[patterns]`, who leads, in order; −1 after the last.
      log_switches: `[patterns]`, natural log of the orbit time τ at which each takes the lead (−inf for the first);
        `inf` after the last. Orbit time τ is in the gauge θ_0 = log π_ref.
      count: how many patterns ever lead.
    """

    leaders: Int[Array, "*batch patterns"]
    log_switches: Float[Array, "*batch patterns"]
    count: Int[Array, "*batch"]


def lower_envelope(lines: Lines) -> Dominance:
    """Walk the vertices of the lower envelope; at most one for each pattern."""
    patterns = lines.offset.shape[0]
    place = _curve.start(lines)

    def going(state: tuple) -> Array:
        place, _, _, count = state
        return jnp.isfinite(_curve.next_switch(lines, place)[0]) & (count < patterns)

    def step(state: tuple) -> tuple:
        place, leaders, log_switches, count = state
        distance, successor = _curve.next_switch(lines, place)
        gaps = _curve.gaps_at(lines, place, distance)
        ahead = _curve.lead(lines, replace(place, gaps=gaps, tau=place.tau + distance), successor)
        # Lines through one vertex: the steepest leads, the others never do.
        slot = jnp.where(distance > 0, count, count - 1)
        leaders = leaders.at[slot].set(successor)
        log_switches = log_switches.at[slot].set(
            jnp.where(slot > 0, jnp.log(ahead.tau) + lines.log_unit, -jnp.inf)
        )
        return ahead, leaders, log_switches, slot + 1

    leaders = jnp.full(patterns, -1).at[0].set(place.leader)
    log_switches = jnp.full(patterns, jnp.inf, lines.offset.dtype).at[0].set(-jnp.inf)
    _, leaders, log_switches, count = jax.lax.while_loop(
        going, step, (place, leaders, log_switches, jnp.asarray(1))
    )
    return Dominance(leaders, log_switches, count)

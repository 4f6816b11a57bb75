"""What the studies of SFT and RL share: RL times after SFT, and their slopes, for many problems at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax import flow, orbit, recipe, theory, training
from qra_jax.algorithm import by_clock, grpo, reinforce, switch, tsallis
from qra_jax.batching import many
from qra_jax.problem import Problem

TARGET = 0.99
"""Share of r* that ends RL."""
CLOCKS = {
    "REINFORCE": by_clock(reinforce()),
    "GRPO G = 8": by_clock(grpo(8)),
    "GRPO": by_clock(grpo()),
    "q = 1": by_clock(tsallis(1.0)),
    "q = 1, G = 8": by_clock(tsallis(1.0, 8)),
}
"""Algorithms whose clocks one program has."""
CHUNK = 1024
"""Rows of a compiled call: batches are filled up to a multiple, so that one program does all of them."""


def log_rl_times(
    log_ref: Any, success: Any, mixture: Any, times: np.ndarray, clocks: tuple[str, ...] = ()
) -> np.ndarray:
    """Log of the time that RL takes to π(r*) = .99 after SFT on a mixture of patterns.

    Args:
      log_ref: `[cases, patterns]`, log π_ref; −∞ for patterns that only fill up the row.
      success: `[cases, patterns]`, success rates.
      mixture: `[cases, patterns]`, μ.
      times: `[times]`, lengths of the SFT, increasing, zero or above.
      clocks: names of `CLOCKS`; default: REINFORCE, by its faster batched form.

    Returns:
      `[cases, times]`, or `[clocks, cases, times]`.
    """
    after = policies_after(log_ref, success, mixture, times)
    wide = np.broadcast_to(np.asarray(success, float)[:, None], after.shape)
    if not clocks:
        return log_hitting_times(after, wide)
    return np.stack([log_hitting_times(after, wide, clock) for clock in clocks])


def policies_after(log_ref: Any, success: Any, mixture: Any, times: np.ndarray) -> np.ndarray:
    """Policies after SFT, log π `[cases, times, patterns]`; the arguments are those of `log_rl_times`."""
    rows = [np.asarray(x, float) for x in (log_ref, success, mixture)]
    return np.asarray(_PATHS(*rows, np.tile(times, (len(rows[0]), 1))))


def log_hitting_times(log_policy: Any, success: Any, clock: str = "", target: float = TARGET) -> np.ndarray:
    """Log of RL's time to a share of r*, from any policies.

    Args:
      log_policy: `[..., patterns]`, log π.
      success: `[..., patterns]`.
      clock: a name of `CLOCKS`; default: REINFORCE, by its faster batched form.
      target: the share.

    Returns:
      `[...]`.
    """
    log_policy, success = (np.asarray(x, float) for x in (log_policy, success))
    shape, width = log_policy.shape[:-1], log_policy.shape[-1]
    rows = [x.reshape(-1, width) for x in np.broadcast_arrays(log_policy, success)]
    count = len(rows[0])
    if clock:
        which = np.full(count, list(CLOCKS).index(clock))
        return np.asarray(_TIMED(*rows, which, np.full(count, target))).reshape(shape)
    full = -(-count // (2 * CHUNK)) * 2 * CHUNK
    rows = [np.concatenate([x, np.tile(x[:1], (full - count, 1))]) for x in rows]
    batch = Problem(*(jnp.asarray(x) for x in rows))
    times = many(partial(orbit.log_hitting_time, target=target), chunk=CHUNK)(batch)
    return np.asarray(times)[:count].reshape(shape)


def demonstrations(log_ref: Any, success: Any, share: Any, rank: int = 0) -> np.ndarray:
    """The model's own choices with a share of demonstrations of one pattern, `[cases, patterns]`.

    Args:
      log_ref: `[cases, patterns]`.
      success: `[cases, patterns]`.
      share: x, one or `[cases]`.
      rank: which pattern among those with mass, by success rate: 0 is r*, 1 the second-best, −1 the worst.
    """
    log_ref = np.asarray(log_ref)
    held = np.where(np.isneginf(log_ref), -np.inf, success)
    counts = np.isfinite(held).sum(axis=-1)
    place = np.argsort(-held, axis=-1)[np.arange(len(held)), rank % counts]
    x = np.broadcast_to(share, place.shape)[:, None]
    return (1 - x) * np.exp(log_ref) + x * np.eye(held.shape[-1])[place]


def _path(log_ref: Any, success: Any, mixture: Any, times: Any) -> Any:
    return flow.sft(Problem(log_ref, success), mixture, ts=times).log_policy


def _timed(log_ref: Any, success: Any, which: Any, target: Any) -> Any:
    algorithm = switch(which, list(CLOCKS.values()))
    return orbit.log_hitting_time(Problem(log_ref, success), target, algorithm=algorithm)


_PATHS = many(_path, block=32, chunk=32)
_TIMED = many(_timed, block=128, chunk=128)


def sensitivities(ref: np.ndarray, success: np.ndarray, clock: str = "REINFORCE") -> dict[str, np.ndarray]:
    """Log of RL's time, and what a change of each pattern does to it: `recipe.sensitivity` of many problems.

    Args:
      ref: `[cases, patterns]`, π_ref, at most `WIDTH` patterns.
      success: `[cases, patterns]`.
      clock: a name of `CLOCKS`.

    Returns:
      `log_time` `[cases]`, and `[cases, patterns]` each the derivatives in the logits (`logit`), of a unit of SFT on
      the pattern (`unit`), of a point of its share (`point`) and of its success rate (`rate`).
    """
    room, count = ((0, 0), (0, WIDTH - ref.shape[1])), len(ref)
    with np.errstate(divide="ignore"):
        rows = np.log(np.pad(ref, room)), np.pad(success, room)
    out = _SLOPES(*rows, np.full(count, list(CLOCKS).index(clock)))
    return {
        name: np.asarray(x)[:, : ref.shape[1]] if x.ndim == 2 else np.asarray(x) for name, x in out.items()
    }


WIDTH = 10
"""Patterns that problems are filled up to for their sensitivities."""


def _slopes(log_ref: Any, success: Any, which: Any) -> dict[str, Any]:
    algorithm = switch(which, list(CLOCKS.values()))
    found = recipe.sensitivity(Problem(log_ref, success), TARGET, algorithm=algorithm)
    names = {"log_time": "log_time", "logit": "ref", "unit": "teach", "point": "share", "rate": "success"}
    return {name: getattr(found, field) for name, field in names.items()}


_SLOPES = many(_slopes, block=64, chunk=64)


def patterns_of_random_problems(seed: int, counts: dict[int, int]) -> xr.Dataset:
    """Every pattern of random problems, Dirichlet(1) base policies and uniform success rates, as one long table.

    Args:
      seed: of the draws.
      counts: how many problems, by their number of patterns n.

    Returns:
      Columns `[case]`: of a pattern its `rank` by success rate (0: r*), `ref`, `success` and the slopes of
      `sensitivities`; of its problem n, `accuracy`, the share of r* (`first`), the largest share (`top`), the
      second-best success rate (`second`), and the least slope of all patterns (`least_unit`, `least_point`). Problems
      follow each other, and within them the patterns by rank.
    """
    rng, parts = np.random.default_rng(seed), []
    for n, count in counts.items():
        ref, success = rng.dirichlet(np.ones(n), 2 * count), -np.sort(-rng.random((2 * count, n)), axis=1)
        use = np.flatnonzero(ref[:, 0] < TARGET)[:count]
        ref, success = ref[use], success[use]
        part: dict[str, Any] = {"ref": ref, "success": success, "rank": np.arange(n), "n": n}
        part |= {name: x for name, x in sensitivities(ref, success).items() if x.ndim == 2}
        common = {"accuracy": np.sum(ref * success, axis=1), "first": ref[:, 0], "top": ref.max(axis=1)}
        common |= {"second": success[:, 1]} | {f"least_{k}": part[k].min(axis=1) for k in ("unit", "point")}
        part |= {name: x[:, None] for name, x in common.items()}
        flat = {name: ("case", np.broadcast_to(x, ref.shape).ravel()) for name, x in part.items()}
        parts.append(xr.Dataset(flat))
    return xr.concat(parts, "case")  # pyright: ignore[reportReturnType]


def sampled_log_times(
    key: jax.Array,
    problem: Problem,
    starts: np.ndarray,
    *,
    group: int,
    runs: int,
    rate: float,
    steps: int,
    every: int,
) -> np.ndarray:
    """Log of the time to π(r*) = .99 in sampled training by GRPO.

    Args:
      key: PRNG key.
      problem: the question.
      starts: `[starts, patterns]`, log π to start from.
      group: rollouts in a group.
      runs: runs from each start.
      rate: learning rate.
      steps: after which a run that has not arrived is cut off.
      every: steps between looks.

    Returns:
      `[starts, runs]`.
    """

    def hitting(key: jax.Array, start: jax.Array) -> jax.Array:
        options = {"learning_rate": rate, "record_every": every, "log_policy0": start}
        seen = training.measure(["best"], key, problem, steps=steps, algorithm=grpo(group), **options)
        reached = seen.values["best"] >= TARGET
        first = jnp.where(jnp.any(reached), jnp.argmax(reached), reached.shape[0])
        return jnp.log(rate * every * jnp.maximum(first, 1).astype(start.dtype))

    keys = jax.random.split(key, len(starts) * runs)
    return np.asarray(many(hitting)(keys, np.repeat(starts, runs, axis=0))).reshape(len(starts), runs)


def problems_and_data(
    problems: list[Problem], share: float, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log π_ref, success rates and data with a share of demonstrations of r*, `[problems, width]` each.

    Args:
      problems: of at most `width` patterns.
      share: x.
      width: patterns that rows are filled up to.
    """
    room = [(0, width - problem.patterns) for problem in problems]
    pairs = list(zip(problems, room, strict=True))
    log_ref = np.stack([np.pad(np.asarray(p.log_ref), r, constant_values=-np.inf) for p, r in pairs])
    success = np.stack([np.pad(np.asarray(p.success), r) for p, r in pairs])
    return log_ref, success, demonstrations(log_ref, success, share)


def random_problems(seed: int, count: int, patterns: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Random problems, log π_ref and success rates `[count, width]`: Dirichlet(1) base policies, uniform rates.

    Args:
      seed: of the draws.
      count: how many.
      patterns: n.
      width: patterns that rows are filled up to.
    """
    rng, room = np.random.default_rng(seed), ((0, 0), (0, width - patterns))
    log_ref = np.log(rng.dirichlet(np.ones(patterns), count))
    return np.pad(log_ref, room, constant_values=-np.inf), np.pad(rng.random((count, patterns)), room)


def least_shares(
    log_ref: np.ndarray, success: np.ndarray, step: float = 1e-4
) -> tuple[np.ndarray, np.ndarray]:
    """Log of RL's time under REINFORCE, and x₁ from which a first instant of SFT pays at price 1, `[problems]` each.

    `theory.least_share_that_pays`, the slope by a central difference along the velocity of SFT on r* alone.

    Args:
      log_ref: `[problems, patterns]`.
      success: `[problems, patterns]`.
      step: of the difference, in units of SFT.
    """
    pull = demonstrations(log_ref, success, 1.0) - np.exp(log_ref)
    moved = log_ref + step * np.array([0.0, 1.0, -1.0])[:, None, None] * pull
    moved = moved - np.logaddexp.reduce(moved, axis=-1, keepdims=True)
    log_time, ahead, behind = log_hitting_times(moved, success, "REINFORCE")
    return log_time, np.exp(-log_time) * 2 * step / (behind - ahead)


def masses_needed(log_ref: np.ndarray, success: np.ndarray) -> np.ndarray:
    """x₀, the share of demonstrations that makes the regime fast after endless SFT: `theory.sft_mass_needed`."""
    problems = Problem(jnp.asarray(log_ref), jnp.asarray(success))
    return np.asarray(jax.jit(jax.vmap(theory.sft_mass_needed))(problems))

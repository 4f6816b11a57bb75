"""Hitting times of many problems at once: what [`qra_jax.many`][] runs in place of mapping `orbit.hit`.

A lane that is done with its problem takes up the next, so that easy problems do not wait for hard ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax._batches import chunked
from qra_jax.algorithm import Algorithm
from qra_jax.orbit import hitting, setting as _setting
from qra_jax.orbit.hitting import Event, Hit
from qra_jax.orbit.setting import Setting
from qra_jax.problem import Problem
from qra_jax.reward import Reward

LANES = 128
"""Problems that one thread works on at a time."""


def hits(problems: Problem, target: Any = 0.99, *, event: str = "best", **options: Any) -> Hit:
    """The batched form of [`qra_jax.orbit.hit`][]; no derivatives.

    Args:
      problems: a `Problem` with a leading axis `[problems]`.
      target: one level for all, or `[problems]`.

    As for [`qra_jax.orbit.hit`][], the same for all problems: `event`, `algorithm`, `reward`, `geometry`.

    As for [`qra_jax.batching.many`][]: `block` (default: 128), `chunk`, `workers`, `progress`.

    Returns:
      A `Hit` whose arrays have a leading axis `[problems]`.

    Raises:
      ValueError: as for [`qra_jax.orbit.hit`][], problems without a leading axis, or another number of targets.
    """
    hitting.check(event, target)
    return _hits(problems, target, event, **options)


def log_hitting_times(problems: Problem, target: Any = 0.99, **options: Any) -> Float[Array, " problems"]:
    """The batched form of [`qra_jax.orbit.log_hitting_time`][]; the arguments are those of [`hits`][]."""
    return hits(problems, target, **options).log_time


def log_transition_times(problems: Problem, **options: Any) -> Float[Array, " problems"]:
    """The batched form of [`qra_jax.orbit.log_transition_time`][]; the options are those of [`hits`][]."""
    _check.problem(problems, "problems")
    return _hits(problems, problems.second_best, hitting.ACCURACY, **options).log_time


def _hits(
    problems: Problem,
    target: Any,
    event: str,
    *,
    algorithm: Algorithm | None = None,
    reward: Reward | None = None,
    geometry: str = "softmax",
    block: int | None = None,
    chunk: int = 8192,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Hit:
    _check.problem(problems, "problems")
    if problems.log_ref.ndim != 2:
        raise ValueError(f"problems: shape {problems.log_ref.shape}; must be [problems, patterns]")
    lanes = LANES if block is None else _check.integer("block", block, low=1)
    count = len(problems.log_ref)
    if jnp.shape(target) not in ((), (count,)):
        raise ValueError(
            f"target: shape {jnp.shape(target)}; must be one number, or {count} as there are problems"
        )
    algorithm, reward = _setting.parts(algorithm, reward)
    targets = jnp.broadcast_to(jnp.asarray(target, problems.log_ref.dtype), (count,))
    best, peak = np.asarray(event == hitting.BEST), event == hitting.PEAK
    settings = _settings(problems, algorithm, reward, targets, best, geometry)
    return _chunks(peak, geometry, reward.binary, lanes, chunk, workers)(settings, progress=progress)


def pool(
    problems: Problem,
    targets: Array,
    algorithms: Algorithm,
    rewards: Reward,
    *,
    event: str = "best",
    geometry: str = "softmax",
    lanes: int = LANES,
) -> Hit:
    """What [`hits`][] computes in one call, under `jit`: every array has a leading axis `[problems]`.

    So targets, and the parameters of algorithm and reward, may differ from problem to problem. Where `lanes` divides
    the number of problems, the result for one does not depend on the others.

    Args:
      lanes: problems that are worked on at a time, ≥ 1.

    As for [`qra_jax.orbit.hit`][], stacked: `problems`, `targets`, `algorithms`, `rewards`.

    As for [`qra_jax.orbit.hit`][]: `event`, `geometry`.

    Returns:
      A `Hit` whose arrays have a leading axis `[problems]`.

    Raises:
      ValueError: as for [`qra_jax.orbit.hit`][].
    """
    hitting.check(event, targets)

    def setting(each: tuple[Problem, Array, Algorithm, Reward]) -> Setting:
        problem, target, algorithm, reward = each
        algorithm, reward = _setting.check(problem, algorithm, reward, geometry)
        return _setting.gather(problem, algorithm, reward, target, event == hitting.BEST)

    settings = jax.lax.map(setting, (problems, targets, algorithms, rewards), batch_size=lanes)
    return _pool(event == hitting.PEAK, geometry, rewards.binary, lanes, settings)


@partial(jax.jit, static_argnames="geometry")
def _settings(
    problems: Problem, algorithm: Algorithm, reward: Reward, targets: Array, best: Array, geometry: str
) -> Setting:
    def setting(problem: Problem, target: Array) -> Setting:
        _setting.check(problem, algorithm, reward, geometry)
        return _setting.gather(problem, algorithm, reward, target, best)

    return jax.vmap(setting)(problems, targets)


@lru_cache
def _chunks(
    peak: bool, geometry: str, binary: bool, lanes: int, chunk: int, workers: int | None
) -> Callable[..., Hit]:
    """The search over chunks of settings, compiled once for each shape: all small batches have that of one block."""
    _check.integer("chunk", chunk, low=1)
    lanes = min(lanes, chunk)
    search = partial(_pool, peak, geometry, binary, lanes)
    return chunked(search, block=lanes, chunk=chunk, workers=workers)


def _pool(peak: bool, geometry: str, binary: bool, lanes: int, settings: Setting) -> Hit:
    def result(setting: Setting, first: Event) -> Hit:
        log_policy = hitting.log_policy(setting, geometry, first.place, first.place.tau)
        return Hit(first.log_time, log_policy, first.status, first.panels)

    events = hitting.find_many(peak, geometry, binary, settings, lanes)
    return jax.lax.map(lambda each: result(*each), (settings, events), batch_size=lanes)

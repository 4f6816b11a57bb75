"""What an orbit depends on, gathered from arguments that are checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from qra_jax import _check, expectation
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.geometry import GEOMETRIES
from qra_jax.orbit.curve import Leaf
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Setting:
    """All that an orbit depends on; the leaves are what can be differentiated.

    Attributes:
      log_ref: `[patterns]`, log π_ref.
      reward: `[patterns]`, R_r.
      seen: `[patterns]`, what an event looks at the mean of: p_r, or one for r* and zero for the others.
      target: level that the mean waits for.
      algorithm: its clock sets the speed.
    """

    log_ref: Leaf
    reward: Leaf
    seen: Leaf
    target: Leaf
    algorithm: Algorithm


def parts(algorithm: Algorithm | None, reward: Reward | None) -> tuple[Algorithm, Reward]:
    """An algorithm and a reward that were given; default: REINFORCE and the perfect verifier."""
    algorithm = reinforce() if algorithm is None else algorithm
    reward = verifiable() if reward is None else reward
    return _check.part("algorithm", algorithm, Algorithm), _check.part("reward", reward, Reward)


def check(
    problem: Problem,
    algorithm: Algorithm | None,
    reward: Reward | None,
    geometry: str,
    *,
    clocked: bool = True,
) -> tuple[Algorithm, Reward]:
    """Check what an orbit is asked of.

    Args:
      clocked: whether the algorithm's clock is asked for.

    As for [`qra_jax.orbit.hit`][]: `problem`, `algorithm`, `reward`, `geometry`.

    Returns:
      The algorithm and the reward.

    Raises:
      ValueError: as for [`qra_jax.orbit.hit`][].
    """
    _check.choice("geometry", geometry, GEOMETRIES)
    _check.problem(problem)
    algorithm, reward = parts(algorithm, reward)
    if problem.log_ref.ndim != 1:
        raise ValueError(
            f"problem: shape {problem.log_ref.shape}; must be one problem, qra.many or jax.vmap takes several"
        )
    if not reward.fixed:
        raise ValueError(
            f"reward: {reward.name} depends on the policy and has no closed orbit; use qra_jax.flow"
        )
    if clocked:
        expectation.check_group(algorithm, reward, problem, algorithm.group_size)
        if algorithm.batch is not None:
            algorithm.clock_function()  # refuses: one question has no batch
        if algorithm.pairs is not None or expectation.sees_lengths(algorithm, problem):
            raise ValueError(f"algorithm: {algorithm.name} follows no orbit; use qra_jax.flow")
        if not reward.binary and expectation.limit_clock(algorithm, algorithm.group_size) is None:
            raise ValueError(_no_real_clock(algorithm, reward))
        if reward.spread is not None and algorithm.real_clock is None:
            raise ValueError(
                f"reward: {reward.name!r} differs between rollouts of a pattern, which the clock of {algorithm.name} "
                "sees; use qra_jax.flow"
            )
    return algorithm, reward


def gather(
    problem: Problem, algorithm: Algorithm, reward: Reward, target: Any = 0.5, best: Any = False
) -> Setting:
    """What the orbit of a checked problem depends on.

    Args:
      target: level that an event waits for.
      best: whether it looks at the share of r*, and not at accuracy; may be traced.

    As for [`check`][]: `problem`, `algorithm`, `reward`.
    """
    dtype = problem.log_ref.dtype
    as_float = lambda leaf: jnp.asarray(leaf, dtype)  # noqa: E731
    success = as_float(problem.success)
    alone = (jnp.arange(success.shape[0]) == jnp.argmax(success)).astype(dtype)
    alone = jnp.where(jnp.any(jnp.isnan(success)), jnp.nan, alone)  # nobody knows which one is best
    return Setting(
        problem.log_ref,
        as_float(reward.rates(problem)),
        jnp.where(best, alone, success),
        as_float(target),
        jax.tree.map(as_float, algorithm),
    )


def _no_real_clock(algorithm: Algorithm, reward: Reward) -> str:
    """Why an algorithm has no orbit under a real-valued reward, and what has."""
    if algorithm.group_size is None:
        return (
            f"algorithm: {algorithm.name} has no clock for the real-valued reward {reward.name}; "
            "must be one whose weights are linear in the rewards, such as qra.reinforce()"
        )
    return (
        f"algorithm: {algorithm.name} with G = {algorithm.group_size} has no orbit under the real-valued reward "
        f"{reward.name}, its weights are not linear in the rewards; group_size=None is the limit, sampled training "
        "is right"
    )

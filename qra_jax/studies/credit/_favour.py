"""Which of two patterns an algorithm favours: the exact gap between the expected weights of their rollouts."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax import flow
from qra_jax.algorithm import Algorithm, by_clock, dr_grpo, grpo, reinforce
from qra_jax.problem import Problem
from qra_jax.reward import Reward

ALGORITHMS: Mapping[str, Algorithm] = {
    "REINFORCE": by_clock(reinforce()),
    "Dr.GRPO, G = 8": dr_grpo(8),
    "GRPO, G → ∞": by_clock(grpo()),
    "GRPO, G = 8": grpo(8),
    "GRPO, G = 2": grpo(2),
}
"""The first three have weights that are linear in the rewards, or a clock."""
LINEAR, NORMED = list(ALGORITHMS)[:3], list(ALGORITHMS)[3:]
SHARES = (0.05, 0.5, 0.95)
"""Shares of the second pattern at which the gap is taken."""


def gap(
    asked: Callable[..., tuple[Problem, Reward]], algorithm: Algorithm, share: Any, **numbers: Any
) -> Any:
    r"""Expected weight of a rollout of the second pattern less that of the first.

    $$ a_2 - a_1 = \frac{\dot\theta_2}{\pi_1\pi_2} $$

    Args:
      asked: from numbers to a question of two patterns and a reward.
      algorithm: how the rewards of a group become weights.
      share: π₂ in (0, 1).
      **numbers: what `asked` takes.

    Returns:
      Scalar; its sign says which pattern grows.
    """
    problem, reward = asked(**numbers)
    log_policy = jnp.log(jnp.stack([1 - share, share]))
    return flow.drift(problem, log_policy, algorithm=algorithm, reward=reward)[1] / (share * (1 - share))


def table(
    asked: Callable[..., tuple[Problem, Reward]], axes: Mapping[str, Any], algorithms: Mapping[str, Algorithm]
) -> xr.DataArray:
    """The gap for all combinations of named numbers, `[algorithm, *axes]`."""
    grids = np.meshgrid(*(np.asarray(values, float) for values in axes.values()), indexing="ij")
    rows = {name: grid.ravel() for name, grid in zip(axes, grids, strict=True)}
    found = []
    for algorithm in algorithms.values():

        def one(row: Any, algorithm: Algorithm = algorithm) -> Any:
            return gap(asked, algorithm, **row)

        found.append(np.asarray(jax.jit(jax.vmap(one))(rows)).reshape(grids[0].shape))
    coords = {"algorithm": list(algorithms), **{name: np.asarray(values) for name, values in axes.items()}}
    return xr.DataArray(np.stack(found), coords, ["algorithm", *axes])


def agreement(gaps: xr.DataArray, law: xr.DataArray) -> xr.DataArray:
    """Share of the cells in which the sign of the gap is that of the law; NaN where a gap is."""
    alike = (np.sign(gaps) == np.sign(law)).astype(float).where(gaps.notnull())
    return alike.mean([dim for dim in alike.dims if dim != "algorithm"], skipna=False)


def crossing(gaps: xr.DataArray, along: str) -> xr.DataArray:
    """Where the gap first changes its sign along an axis, by a straight line between grid points; NaN for nowhere."""
    x = gaps[along].values
    values = gaps.transpose(..., along).values
    left, right = values[..., :-1], values[..., 1:]
    turns = (left <= 0) != (right <= 0)
    first = turns.argmax(-1)[..., None]
    a, b = (np.take_along_axis(side, first, -1)[..., 0] for side in (left, right))
    low, high = x[:-1][first[..., 0]], x[1:][first[..., 0]]
    place = low + (high - low) * a / np.where(a == b, np.nan, a - b)
    place = np.where(turns.any(-1) & np.isfinite(values).all(-1), place, np.nan)
    return gaps.isel({along: 0}, drop=True).copy(data=place)

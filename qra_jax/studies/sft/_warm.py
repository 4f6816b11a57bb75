"""Warm starts by random demonstrators who show d of n patterns, and the RL that follows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax import orbit, recipe
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.problem import Problem
from qra_jax.studies import lab
from qra_jax.studies.sft import _curves

PATTERNS, WIDTH, SIZES, TOP, BUDGET, GROUP = 16, 17, [1, 2, 4, 8, 16], 0.9, 100.0, 8
"""n; patterns that rows are filled up to; d; best success rate; RL time of accuracies; rollouts."""
SPREADS, SAMPLES, TASTES = [0.1, 0.4, 0.8], [4.0, 32.0], {"blind": 0.0, "prefers good": 4.0}
"""Spreads of success rates; SFT times, which stand for numbers of samples; log odds of better patterns."""
RATE, SFT_RATE, BATCH = 1.0, 0.5, 4
"""Sampled: learning rates of RL and SFT, and demonstrations in a step."""
ADDS, HAS, LACKS = "adds the best one", "best one in already", "best one still missing"


def log_times(policy: np.ndarray, success: np.ndarray) -> np.ndarray:
    """Log of REINFORCE's time, for policies `[..., patterns]` filled up to WIDTH patterns: one program does it."""
    fill = [(0, 0)] * (policy.ndim - 1) + [(0, WIDTH - policy.shape[-1])]
    with np.errstate(divide="ignore"):
        return _curves.log_hitting_times(np.log(np.pad(policy, fill)), np.pad(success, fill))


def starts(seed: int, problems: int) -> xr.Dataset:
    """Random problems after SFT on d patterns of random demonstrators, and after RL, expected and sampled.

    Args:
      seed: of all draws.
      problems: how many.

    Returns:
      `log_time` of REINFORCE to π(r*) = .99 at the widest spread `[taste, samples, size, problem]`; whether r* was
      shown, `covered` `[taste, size, problem]`; `accuracy` after the budget `[spread, taste, samples, size, problem]`;
      and at the widest spread, blind and with most samples, π(r*) (`best`) and both when sampled, `[size, problem]`.
    """
    rng, count = np.random.default_rng(seed), problems
    ref, draw = rng.dirichlet(np.full(PATTERNS, 0.5), count), rng.random((count, PATTERNS))
    order = np.argsort(draw, axis=-1)  # r* first
    ref, draw = np.take_along_axis(ref, order, axis=-1), np.take_along_axis(draw, order, axis=-1)
    taste, size = np.array(list(TASTES.values()))[:, None, None], np.array(SIZES)[:, None, None]
    shown = np.argsort(np.argsort(taste * draw - rng.gumbel(size=draw.shape), axis=-1), axis=-1)
    mixture = (shown[:, None] < size) / size  # [tastes, sizes, problems, patterns]
    rows = [np.broadcast_to(x, mixture.shape).reshape(-1, PATTERNS) for x in (ref, TOP - 0.8 * draw, mixture)]
    log_after = _curves.policies_after(np.log(rows[0]), rows[1], rows[2], np.array(SAMPLES))
    log_after = np.moveaxis(log_after.reshape(*mixture.shape[:-1], len(SAMPLES), PATTERNS), -2, 1)
    log_time = log_times(np.exp(log_after), np.broadcast_to(TOP - 0.8 * draw, log_after.shape))
    success = TOP - np.array(SPREADS)[:, None, None, None, None, None] * draw
    start, success = np.broadcast_arrays(log_after, success)
    flat = start.reshape(-1, PATTERNS), success.reshape(-1, PATTERNS)
    end = np.asarray(many(_expected)(*flat)).reshape(start.shape)
    few = [
        np.broadcast_to(x, mixture[0].shape).reshape(-1, PATTERNS)
        for x in (ref, success[-1, 0, -1], mixture[0])
    ]
    drawn = np.asarray(many(_sampled)(*few, jax.random.split(jax.random.key(seed), len(few[0])))).reshape(
        mixture[0].shape
    )
    dims = ("taste", "samples", "size", "problem")
    variables = {
        "log_time": (dims, log_time),
        "covered": (("taste", "size", "problem"), mixture[..., 0] > 0),
        "accuracy": (("spread", *dims), (end * success).sum(axis=-1)),
        "best": (dims[2:], end[-1, 0, -1, ..., 0]),
        "sampled_accuracy": (dims[2:], (drawn * success[-1, 0, -1]).sum(axis=-1)),
        "sampled_best": (dims[2:], drawn[..., 0]),
    }
    return lab.dataset(
        variables, {"taste": list(TASTES), "samples": SAMPLES, "size": SIZES, "spread": SPREADS}
    )


def changes(warm: xr.Dataset, cases: list[str]) -> xr.DataArray:
    """Changes of log T by a doubling of d, by what it adds, as many in every cell `[case, taste, samples, member]`."""
    change, in_it = warm.log_time.diff("size"), warm.covered
    before, after = in_it.isel(size=slice(-1)).values, in_it.isel(size=slice(1, None)).values
    which = {ADDS: ~before & after, HAS: before, LACKS: ~after}
    cells = [
        [[c.values[w] for c in change.sel(taste=t)] for t, w in zip(TASTES, which[k], strict=True)]
        for k in cases
    ]
    least = min(cell.size for case in cells for row in case for cell in row)
    values = [[[cell[:least] for cell in row] for row in case] for case in cells]
    coords = {"case": cases, "taste": list(TASTES), "samples": warm.samples.values}
    return xr.DataArray(values, coords, (*coords, "member"))


def _expected(start: Array, success: Array) -> Array:
    """Policy after the budget of RL."""
    path = orbit.solve(Problem(start, success), jnp.array([BUDGET]), algorithm=grpo(GROUP))
    return jnp.exp(path.log_policy[0])


def _sampled(ref: Array, success: Array, mixture: Array, key: Array) -> Array:
    """Policy after the most SFT and the budget of RL, by sampled demonstrations and groups."""
    steps = round(max(SAMPLES) / SFT_RATE), round(BUDGET / RATE)
    teach = recipe.sft(mixture=mixture, steps=steps[0], learning_rate=SFT_RATE, batch=BATCH, runner="sampled")
    train = recipe.rlvr(steps=steps[1], learning_rate=RATE, algorithm=grpo(GROUP), runner="sampled")
    return recipe.Recipe((teach, train)).run(Problem(jnp.log(ref), success), key=key).policy

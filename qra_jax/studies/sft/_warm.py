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
TWICE = SIZES[1:-1]
"""Sizes at which patterns that are there are shown again, drawn at random, as many as a doubling would add."""
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
      both with duplicates in place of a doubling, `log_time_twice` and `accuracy_twice`, by `twice`, the size; and at
      the widest spread, blind and with most samples, π(r*) (`best`) and both when sampled, `[size, problem]`.
    """
    rng, count = np.random.default_rng(seed), problems
    ref, draw = rng.dirichlet(np.full(PATTERNS, 0.5), count), rng.random((count, PATTERNS))
    order = np.argsort(draw, axis=-1)  # r* first
    ref, draw = np.take_along_axis(ref, order, axis=-1), np.take_along_axis(draw, order, axis=-1)
    taste, size = np.array(list(TASTES.values()))[:, None, None], np.array(SIZES)[:, None, None]
    shown = np.argsort(np.argsort(taste * draw - rng.gumbel(size=draw.shape), axis=-1), axis=-1)
    mixture = (shown[:, None] < size) / size  # [tastes, sizes, problems, patterns]
    drawn = rng.multinomial(size[1:-1, :, 0], mixture[:, 1:-1]) / size[1:-1]
    mixture = np.concatenate([mixture, (mixture[:, 1:-1] + drawn) / 2], axis=1)
    rows = [np.broadcast_to(x, mixture.shape).reshape(-1, PATTERNS) for x in (ref, TOP - 0.8 * draw, mixture)]
    log_after = _curves.policies_after(np.log(rows[0]), rows[1], rows[2], np.array(SAMPLES))
    log_after = np.moveaxis(log_after.reshape(*mixture.shape[:-1], len(SAMPLES), PATTERNS), -2, 1)
    log_time = log_times(np.exp(log_after), np.broadcast_to(TOP - 0.8 * draw, log_after.shape))
    success = TOP - np.array(SPREADS)[:, None, None, None, None, None] * draw
    start, success = np.broadcast_arrays(log_after, success)
    flat = start.reshape(-1, PATTERNS), success.reshape(-1, PATTERNS)
    end = np.asarray(many(_expected)(*flat)).reshape(start.shape)
    blind, rates, own = mixture[0, : len(SIZES)], success[-1, 0, -1, 0], slice(len(SIZES))
    few = [np.broadcast_to(x, blind.shape).reshape(-1, PATTERNS) for x in (ref, rates, blind)]
    keys = jax.random.split(jax.random.key(seed), len(few[0]))
    sampled = np.asarray(many(_sampled)(*few, keys)).reshape(blind.shape)
    accuracy, again = (end * success).sum(axis=-1), slice(len(SIZES), None)
    dims, twice = ("taste", "samples", "size", "problem"), ("taste", "samples", "twice", "problem")
    variables = {
        "log_time": (dims, log_time[:, :, own]),
        "log_time_twice": (twice, log_time[:, :, again]),
        "covered": (("taste", "size", "problem"), mixture[:, own, :, 0] > 0),
        "accuracy": (("spread", *dims), accuracy[..., own, :]),
        "accuracy_twice": (("spread", *twice), accuracy[..., again, :]),
        "best": (dims[2:], end[-1, 0, -1, own, :, 0]),
        "sampled_accuracy": (dims[2:], (sampled * rates).sum(axis=-1)),
        "sampled_best": (dims[2:], sampled[..., 0]),
    }
    coords = {"taste": list(TASTES), "samples": SAMPLES, "size": SIZES, "twice": TWICE, "spread": SPREADS}
    return lab.dataset(variables, coords)


def shares(words: str, warm: xr.Dataset, cases: list[str], sign: int) -> lab.Estimate:
    """Share of doublings of d that change log T in a direction, by what they add `[case, taste, samples]`.

    A problem counts once, with the share of its doublings of that kind.

    Args:
      words: what it is a share of.
      warm: from `starts`.
      cases: what doublings add.
      sign: of the change.
    """
    change, in_it = warm.log_time.diff("size"), warm.covered.astype(bool)
    before, after = in_it.isel(size=slice(-1)).values, in_it.isel(size=slice(1, None)).values
    which = {ADDS: ~before & after, HAS: before, LACKS: ~after}
    moved = lab.where_known(sign * change > 0, change)

    def share(chosen: np.ndarray, moved: xr.DataArray) -> lab.Estimate:
        count = chosen.sum(axis=0)
        total = moved.where(xr.DataArray(chosen, dims=("size", "problem")), 0.0).sum("size", skipna=False)
        own = total.isel(problem=count > 0) / xr.DataArray(count[count > 0], dims="problem")
        return lab.share(words, own, "problem")

    def by_taste(chosen: np.ndarray) -> lab.Estimate:
        rows = zip(TASTES, chosen, strict=True)
        return lab.stacked("taste", {t: share(own, moved.sel(taste=t, drop=True)) for t, own in rows})

    return lab.stacked("case", {case: by_taste(which[case]) for case in cases})


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

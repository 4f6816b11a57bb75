"""What is measured along the paths of networks: when, how near an orbit, at what rate, and what a gain is made of."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from scipy import stats

from qra_jax import orbit, theory
from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem

SEEN = 0.01
"""Least share of every pattern with which a point enters the first integral."""


def questions(values: xr.DataArray, *, asked: bool = True) -> xr.DataArray:
    """Of `[..., question]` those that training asks, or the last quarter, which it never does."""
    first = values.sizes["question"] - values.sizes["question"] // 4
    return values.isel(question=slice(first) if asked else slice(first, None))


def means(runs: xr.Dataset, arm: str, of: str = "policy", *, asked: bool = True) -> xr.DataArray:
    """Mean over questions along training of one arm, `[start, seed, step, pattern]`; NaN where a run has diverged.

    Args:
      runs: `policy`, `success` `[arm, start, seed, step, question, pattern]` and `status` `[arm, start, seed]`.
      arm: which one.
      of: what is averaged.
      asked: over the questions that training asks, or over the others.
    """
    kept = runs[of].where(runs.status == 0).sel(arm=arm, drop=True)
    return questions(kept, asked=asked).mean("question", skipna=False)


def crossing(path: xr.DataArray, target: float, along: str = "step") -> xr.DataArray:
    """Where a path first reaches a target, linear between records; infinite if it never does, NaN for NaN.

    Args:
      path: `[..., along]`.
      target: what is reached from below.
      along: dimension with a coordinate.

    Returns:
      `[...]`, values of the coordinate.

    >>> path = xr.DataArray([0.5, 0.8, 1.0], dims="step", coords={"step": [0, 10, 20]})
    >>> round(crossing(path, 0.9).item(), 6)
    15.0
    """
    values, place = path.transpose(..., along).values, path[along].values.astype(float)
    there = values >= target
    at = there.argmax(axis=-1)[..., None]
    before = np.maximum(at - 1, 0)
    now, last = (np.take_along_axis(values, index, axis=-1) for index in (at, before))
    part = np.where(at > 0, (now - target) / np.where(now > last, now - last, 1.0), 0.0)
    reached = (place[at] - part * (place[at] - place[before]))[..., 0]
    reached = np.where(there.any(axis=-1), reached, np.inf)
    reached = np.where(np.isnan(values).any(axis=-1), np.nan, reached)
    return (
        path.isel({along: 0}, drop=True).transpose(*(d for d in path.dims if d != along)).copy(data=reached)
    )


def gains(policy: xr.DataArray, success: xr.DataArray, along: str = "step") -> xr.Dataset:
    r"""Gain of accuracy from selection, $\sum\int p\,d\pi$, and from answers, $\sum\int\pi\,dp$, by trapezoids.

    Args:
      policy, success: `[..., along, pattern]`.
      along: dimension of time.

    Returns:
      `selection` and `answers`, `[...]`; together the change of accuracy.
    """

    def part(weight: xr.DataArray, moved: xr.DataArray) -> xr.DataArray:
        first, last = ({along: slice(None, -1)}, {along: slice(1, None)})
        step = moved.isel(last).drop_vars(along) - moved.isel(first).drop_vars(along)
        mean = (weight.isel(last).drop_vars(along) + weight.isel(first).drop_vars(along)) / 2
        return (mean * step).sum([along, "pattern"], skipna=False)

    return xr.Dataset({"selection": part(success, policy), "answers": part(policy, success)})


def distance(path: xr.DataArray, curve: xr.DataArray, along: str = "time") -> xr.DataArray:
    """Total variation ½Σ|Δπ| of each point of a path from the nearest point of a curve.

    Args:
      path: `[..., pattern]`.
      curve: `[..., along, pattern]`.
      along: dimension of the curve's points.

    Returns:
      `[...]`, NaN for NaN.
    """
    apart = abs(path - curve).sum("pattern", skipna=False) / 2
    return apart.min(along, skipna=False)


def clock(
    path: xr.DataArray, curve: xr.DataArray, *, until: float
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Time of a curve at the nearest point to each point of a path, and the line through zero that steps give it.

    Args:
      path: `[..., step, pattern]`, first pattern the one that wins.
      curve: `[..., time, pattern]`.
      until: share of the first pattern at which the race is over; later points are left out.

    Returns:
      `[..., step]` times, NaN after the race; `[...]` slope of the line; `[...]` root mean square deviation from it,
      over the last time.
    """
    apart = abs(path - curve).sum("pattern", skipna=False)
    known = path.notnull().all(["step", "pattern"]) & curve.notnull().all(["time", "pattern"])
    at = apart.where(known, 0).argmin("time")
    racing = (path.isel(pattern=0, drop=True) >= until).cumsum("step") == 0
    time = curve.time[at].drop_vars("time").where(racing & known)
    step = time.step.where(time.notnull())
    slope = (time * step).sum("step") / (step**2).sum("step").where(known)
    off = np.sqrt(((time - slope * step) ** 2).mean("step")) / time.max("step")
    return time, slope, off.where(known)


def predicted(
    policy: xr.DataArray, success: xr.DataArray, *, target: float, algorithm: Algorithm
) -> xr.Dataset:
    """When the tabular orbits from these read-outs reach a share of the best pattern, by quadrature of t = ∫ Z/c dτ.

    Args:
      policy, success: `[..., pattern]`, π and p when training starts; pattern 0 is the best of the task.
      target: share of it that is to be reached.
      algorithm: its clock c.

    Returns:
      `[...]` each: `softmax` and `natural`, log times on the orbits of both gradients, infinite where the network no
      longer holds pattern 0 for the best; `rarity`, −log π of pattern 0. NaN for read-outs that are no numbers.
    """
    policy, success = (x.transpose(..., "pattern").astype(float) for x in (policy, success))
    known, count = (policy + success).notnull().all("pattern"), policy.sizes["pattern"]
    flat = [jnp.asarray(x.where(known, 1 / count).values.reshape(-1, count)) for x in (policy, success)]
    tau = jnp.append(0.0, jnp.geomspace(1e-4, 1e5, 3000))

    @jax.jit
    @jax.vmap
    def times(policy: jax.Array, success: jax.Array) -> dict[str, jax.Array]:
        problem = Problem(jnp.log(policy / jnp.sum(policy)), success)
        softmax = jax.vmap(lambda one: orbit.policy(problem, one))(tau)
        natural = jax.nn.log_softmax(problem.log_ref[None] + tau[:, None] * success[None])
        pace = jnp.exp(jnp.mean(problem.log_ref[None] - softmax, axis=-1))
        out = {"rarity": -problem.log_ref[0]}
        for name, path, speed in (("softmax", softmax, pace), ("natural", natural, jnp.ones_like(tau))):
            share, rate = jnp.exp(path[:, 0]), speed / algorithm.clock(jnp.exp(path) @ success)
            time = jnp.append(0.0, jnp.cumsum(jnp.diff(tau) * (rate[1:] + rate[:-1]) / 2))
            at = jnp.argmax(share >= target)
            part = (target - share[at - 1]) / (share[at] - share[at - 1])
            reached = jnp.where(at > 0, time[at - 1] + part * (time[at] - time[at - 1]), 0.0)
            wins = jnp.any(share >= target) & (jnp.argmax(success) == 0)
            out[name] = jnp.where(wins, jnp.log(reached), jnp.inf)
        return out

    values = {name: known.copy(data=np.asarray(x).reshape(known.shape)) for name, x in times(*flat).items()}
    return xr.Dataset({name: value.where(known) for name, value in values.items()})


def lead(steps: xr.DataArray, first: xr.DataArray, second: xr.DataArray) -> float:
    """How much better one predictor ranks what is measured than another: difference of Spearman's correlations."""
    taken, own, other = (stats.rankdata(x.values.ravel()) for x in (steps, first, second))
    return float(np.corrcoef(own, taken)[0, 1] - np.corrcoef(other, taken)[0, 1])


def orbits(
    path: xr.DataArray, success: Sequence[jax.Array], *, times: np.ndarray, algorithm: Algorithm
) -> xr.Dataset:
    """Orbits of the tabular problem that each network is at its start, and first integrals.

    Args:
      path: π along training, `[start, seed, step, pattern]`.
      success: success rates `[pattern]` of each start.
      times: at which the softmax policy gradient's orbit is evaluated, and τ of the natural gradient's.
      algorithm: whose clock these times are of.

    Returns:
      `softmax`, `natural` and `line` (straight, between the ends of `softmax`), `[start, seed, time, pattern]`;
      `integral` and `natural_integral`, `[start, seed]`: medians of `theory.first_integral` along path and natural
      orbit.
    """
    values = path.transpose("start", "seed", "step", "pattern").values.astype(float)
    values = jnp.asarray(values / values.sum(axis=-1, keepdims=True))
    rates = jnp.broadcast_to(jnp.stack(list(success))[:, None], values[:, :, 0].shape)

    def median(problem: Problem, curve: jax.Array) -> jax.Array:
        usable = (jnp.min(curve, axis=-1) >= SEEN) & (jnp.arange(len(curve)) > 0)
        ratio = theory.first_integral(problem, jnp.log(jnp.maximum(curve, SEEN)))
        return jnp.nanmedian(jnp.where(usable, ratio, jnp.nan))

    @jax.jit
    @jax.vmap
    @jax.vmap
    def each(problem: Problem, path: jax.Array) -> tuple[jax.Array, ...]:
        softmax = orbit.solve(problem, ts=times, algorithm=algorithm).policy
        natural = jax.nn.softmax(problem.log_ref[None] + jnp.asarray(times)[:, None] * problem.success[None])
        part = jnp.linspace(0, 1, len(times))[:, None]
        line = (1 - part) * softmax[:1] + part * softmax[-1:]
        return softmax, natural, line, median(problem, path), median(problem, natural)

    arrays = each(Problem(jnp.log(values[:, :, 0]), rates), values)
    names = ("softmax", "natural", "line", "integral", "natural_integral")
    dims = ("start", "seed", "time", "pattern")
    variables = {n: (dims[: x.ndim], np.asarray(x)) for n, x in zip(names, arrays, strict=True)}
    return xr.Dataset(variables, {"start": path.start, "time": times, "pattern": path.pattern})

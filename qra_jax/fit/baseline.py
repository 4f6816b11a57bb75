"""What needs no theory: the last value, a saturating exponential, a power law and a sigmoid."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array

from qra_jax.fit import noise
from qra_jax.fit.curve import Curve
from qra_jax.fit.forecast import Forecast, last_points

LAST, EXPONENTIAL, POWER, SIGMOID = "last value", "exponential", "power law", "sigmoid"
BASELINES = (LAST, EXPONENTIAL, POWER, SIGMOID)
_DRAWS, _RIDGE = 200, 0.1


def _curve(kind: Any, v: Any, t: Any, first: Any, xp: Any = jnp) -> Any:
    """Accuracy at times t in training windows; `first` is the time of one step, `kind` the place in BASELINES.

    With NumPy as `xp`, of many parameters `[3, curves, 1]` at once, without a program for each number of times.
    """

    def sigmoid(x: Any) -> Any:
        return 0.5 + 0.5 * xp.tanh(0.5 * x)

    low, high, rate = sigmoid(v[0]), sigmoid(v[1]), xp.exp(v[2])
    left = xp.where(kind == 1, xp.exp(-rate * t), (1 + t / first) ** -rate)
    return xp.where(kind == 3, high * sigmoid(rate * t + v[0]), high + (low - high) * left)


def baselines(curve: Curve, until: float | int | None, steps: Any, *, seed: int = 0) -> dict[str, Forecast]:
    r"""Forecasts of the baselines, each fitted by maximum likelihood to the points up to a step.

    With time t in training windows, levels a and c in (0, 1) and k > 0:
    last value $c$ = mean of the last tenth of the points (three at least); exponential $c - (c-a)e^{-kt}$; power law
    $c - (c-a)(1 + t/t_1)^{-k}$, $t_1$ the distance of two points; sigmoid $c\,σ(kt + s)$.

    The likelihood is the binomial one as a normal, by multi-start Levenberg–Marquardt with a weak ridge (a tenth of
    a residual per unit of logit or log rate). Intervals are parametric bootstraps: refits to points drawn about the
    optimum, with the binomial noise or, if larger, the scatter about it; approximations with few points.

    Args:
      curve: the run.
      until: last step to fit; all points where `None`.
      steps: `[steps]`, where to forecast.
      seed: of the random numbers of the intervals.

    Returns:
      A `Forecast` for each name in `BASELINES`.

    Raises:
      ValueError: as for `fit`.
    """
    train = curve if until is None else curve.until(until)
    steps = np.atleast_1d(np.asarray(steps, float))
    plain = Curve(train.steps, train.accuracy, train.samples)
    data = noise.binned(plain, plain)
    begin, window = train.steps[0], train.steps[-1] - train.steps[0]
    ahead, first = (steps - begin) / window, np.median(np.diff(train.steps)) / window
    inverse = data.inverse[data.used > 0]
    smooth = (data.accuracy + 0.5 * data.inverse) / (1 + data.inverse)  # half a count of either kind
    weight = data.used / np.sqrt(smooth * (1 - smooth) * data.inverse)
    rng = np.random.default_rng(seed)
    count = last_points(len(train.steps))
    points = train.accuracy[-count:]
    every = len(inverse) / (inverse.mean() * len(train.steps))  # samples of one point
    scatter = max(np.var(points, ddof=1) if count > 1 else 0.0, points.mean() * (1 - points.mean()) / every)
    value = points.mean() + np.sqrt(scatter / count) * rng.standard_normal((_DRAWS, 1)) * np.ones(len(steps))
    found = {LAST: (np.full(len(steps), points.mean()), value)}
    starts = rng.standard_normal((_DRAWS, 3)) * [2.0, 2.0, 1.5]
    shape = (_DRAWS, len(data.time))
    for kind, name in enumerate(BASELINES[1:], 1):
        fixed = data, weight, first
        fits, losses = map(np.asarray, _optima(kind, starts, np.broadcast_to(data.accuracy, shape), *fixed))
        best, loss = fits[np.argmin(losses)], losses.min()
        scatter_about = np.sqrt(max(1.0, loss / max(len(inverse) - 3, 1)))
        drawn = rng.standard_normal(shape) * np.where(
            weight > 0, scatter_about / np.maximum(weight, 1e-12), 0
        )
        again = _curve(kind, best, np.asarray(data.time), first, np) + drawn
        fits, _ = _optima(kind, np.broadcast_to(best, (_DRAWS, 3)), again, *fixed)
        every_one = np.concatenate([best[None], np.asarray(fits)]).T[:, :, None]
        paths = _curve(kind, every_one, ahead, first, np)
        found[name] = paths[0], paths[1:]
    result = {}
    for name, (median, members) in found.items():
        spread = np.sqrt(np.maximum(members * (1 - members), 0) / every)
        logged = members + np.maximum(spread, np.sqrt(scatter)) * rng.standard_normal(members.shape)
        result[name] = Forecast(steps, median, members.clip(0, 1), logged.clip(0, 1))
    return result


@jax.jit
def _optima(
    kind: Any, starts: Any, y: Any, data: noise.Binned, weight: Any, first: Any
) -> tuple[Array, Array]:
    """Best parameters `[lanes, 3]` for points y `[lanes, bins]`, and the sums of squares there."""
    solver = optimistix.LevenbergMarquardt(rtol=1e-8, atol=1e-10)

    def residuals(v: Array, y: Array) -> Array:
        return jnp.append(weight * (_curve(kind, v, data.time, first) - y), _RIDGE * v)

    def one(start: Array, y: Array) -> tuple[Array, Array]:
        v = optimistix.least_squares(residuals, solver, start, args=y, max_steps=100, throw=False).value
        loss = jnp.sum(residuals(v, y) ** 2)
        return v, jnp.where(jnp.isfinite(loss), loss, jnp.inf)

    return jax.vmap(one)(starts, y)

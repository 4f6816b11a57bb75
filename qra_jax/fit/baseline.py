"""What needs no theory: the last value, a straight line, and curves that saturate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qra_jax.fit import noise
from qra_jax.fit.curve import Curve
from qra_jax.fit.forecast import Forecast, last_points

LAST, LINE, EXPONENTIAL, POWER, SIGMOID, SCALERL = (
    *("last value", "straight line", "exponential", "power law", "sigmoid", "ScaleRL sigmoid"),
)
BASELINES = (LAST, LINE, EXPONENTIAL, POWER, SIGMOID, SCALERL)
_STARTS, _DRAWS, _RIDGE, _MOST = 40, 200, 0.1, 100

Form = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _rate(x: np.ndarray) -> np.ndarray:
    return np.exp(x.clip(-20, 20))


def _rise(v: np.ndarray, left: np.ndarray) -> np.ndarray:
    low, high = _sigmoid(v[0]), _sigmoid(v[1])
    return high + (low - high) * left


_FORMS: dict[str, tuple[Form, int]] = {
    LINE: (lambda v, t, first: _sigmoid(v[0] + v[1] * t), 2),
    EXPONENTIAL: (lambda v, t, first: _rise(v, np.exp(-_rate(v[2]) * t)), 3),
    POWER: (lambda v, t, first: _rise(v, (1 + t / first) ** -_rate(v[2])), 3),
    SIGMOID: (lambda v, t, first: _sigmoid(v[1]) * _sigmoid(_rate(v[2]) * t + v[0]), 3),
    SCALERL: (
        lambda v, t, first: _rise(v, _sigmoid(_rate(v[2]) * (v[3] - np.log(np.maximum(t, 1e-12))))),
        4,
    ),
}
"""Accuracy `[curves, times]` for parameters `[parameters, curves, 1]` at times in training windows, where `first` is
the distance of two points; and the number of parameters."""


def baselines(
    curve: Curve, until: float | int | None, steps: object, *, seed: int = 0
) -> dict[str, Forecast]:
    r"""Forecasts of the baselines, each fitted by maximum likelihood to the points up to a step.

    With time t in training windows since the first point, levels a and c in (0, 1) and k, B, $t_h$ > 0:

    | name | curve |
    |---|---|
    | last value | $c$ = mean of the last tenth of the points (three at least) |
    | straight line | $σ(s + kt)$ through the last third of the points, a line in logit: it stays in (0, 1) |
    | exponential | $c - (c-a)e^{-kt}$ |
    | power law | $c - (c-a)(1 + t/t_1)^{-k}$, $t_1$ the distance of two points |
    | sigmoid | $c\,σ(kt + s)$ |
    | ScaleRL sigmoid | $a + (c-a)/(1 + (t_h/t)^B)$ |

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

    Reference: for the last one, Khatri et al. (2025), The Art of Scaling Reinforcement Learning Compute for LLMs,
    equation 1, with its compute as training time.
    """
    train = curve if until is None else curve.until(until)
    steps = np.atleast_1d(np.asarray(steps, float))
    plain = Curve(train.steps, train.accuracy, train.samples)
    data = noise.binned(plain, plain)
    there = np.flatnonzero(data.used)
    time, accuracy, inverse = data.time[there], data.accuracy[there], data.inverse[there]
    begin, window = train.steps[0], train.steps[-1] - train.steps[0]
    ahead, first = (steps - begin) / window, float(np.median(np.diff(train.steps)) / window)
    smooth = (accuracy + 0.5 * inverse) / (1 + inverse)  # half a count of either kind
    weight = 1 / np.sqrt(smooth * (1 - smooth) * inverse)
    rng = np.random.default_rng(seed)
    count = last_points(len(train.steps))
    points = train.accuracy[-count:]
    every = len(inverse) / (inverse.mean() * len(train.steps))  # samples of one point
    scatter = max(np.var(points, ddof=1) if count > 1 else 0.0, points.mean() * (1 - points.mean()) / every)
    value = points.mean() + np.sqrt(scatter / count) * rng.standard_normal((_DRAWS, 1)) * np.ones(len(steps))
    found = {LAST: (np.full(len(steps), points.mean()), value)}
    for name, (form, size) in _FORMS.items():
        late = slice(max(0, min(2 * len(time) // 3, len(time) - 3)) if name == LINE else 0, None)
        t, y, w = time[late], accuracy[late], weight[late]
        starts = rng.standard_normal((_STARTS, size)) * [2.0, 2.0, 1.5, 1.0][:size]
        fits, losses = _optima(form, starts, np.broadcast_to(y, (_STARTS, len(y))), t, w, first)
        best, loss = fits[np.argmin(losses)], losses.min()
        about = np.sqrt(max(1.0, loss / max(len(y) - size, 1)))
        again = form(best[:, None, None], t, first) + rng.standard_normal((_DRAWS, len(y))) * about / w
        fits, _ = _optima(form, np.broadcast_to(best, (_DRAWS, size)), again, t, w, first)
        paths = form(np.vstack([best, fits]).T[:, :, None], ahead, first)
        found[name] = paths[0], paths[1:]
    result = {}
    for name, (median, members) in found.items():
        spread = np.sqrt(np.maximum(members * (1 - members), 0) / every)
        logged = members + np.maximum(spread, np.sqrt(scatter)) * rng.standard_normal(members.shape)
        result[name] = Forecast(steps, median, members.clip(0, 1), logged.clip(0, 1))
    return result


def _optima(
    form: Form, starts: np.ndarray, y: np.ndarray, time: np.ndarray, weight: np.ndarray, first: float
) -> tuple[np.ndarray, np.ndarray]:
    """Best parameters `[lanes, parameters]` for points y `[lanes, points]`, and the sums of squares there.

    Levenberg–Marquardt for all lanes at once, with NumPy: a compiled program takes longer to load than this to run.
    """
    size, nudge = starts.shape[1], 1e-6 * np.eye(starts.shape[1])

    def residuals(v: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.hstack([weight * (form(v.T[:, :, None], time, first) - y), _RIDGE * v])

    v, value = starts.copy(), residuals(starts, y)
    loss, damping, left = (value**2).sum(axis=1), np.full(len(v), 1e-2), np.arange(len(v))
    for _ in range(_MOST):
        at, gap = v[left], value[left]
        slope = np.stack([(residuals(at + one, y[left]) - gap) / 1e-6 for one in nudge], axis=2)
        normal, pull = np.swapaxes(slope, 1, 2) @ slope, np.einsum("lnp,ln->lp", slope, gap)
        diagonal = np.einsum("lpp->lp", normal) * damping[left, None]
        move = np.linalg.solve(normal + diagonal[:, :, None] * np.eye(size), -pull[:, :, None])[:, :, 0]
        tried = residuals(at + move, y[left])
        squares = (tried**2).sum(axis=1)
        gain = loss[left] - squares
        won = left[gain > 0]
        v[won], value[won] = (at + move)[gain > 0], tried[gain > 0]
        done = (gain > 0) & (gain <= 1e-8 * (1e-8 + loss[left])) | (damping[left] > 1e9)
        loss[won] = squares[gain > 0]
        damping[left] = np.where(gain > 0, damping[left] / 5, damping[left] * 4).clip(1e-12)
        left = left[~done]
        if not len(left):
            break
    return v, loss

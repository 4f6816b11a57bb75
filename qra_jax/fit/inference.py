"""Which dynamics made a curve, what it says about them, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from qra_jax import _check, _roots
from qra_jax._batches import chunked
from qra_jax.fit import dynamics as _dynamics, noise, smc
from qra_jax.fit.curve import Curve, noise_samples
from qra_jax.fit.dynamics import DYNAMICS, MODELS, PARAMETERS, Model
from qra_jax.fit.forecast import LEVEL, Forecast

FEWEST = 4
"""Points that a fit needs."""
NEAR = 2.0
"""Dynamics within this many nats of the best one explain the curve about as well. The error of the evidence itself is
not allowed for: 1 to 4 nats for curves with thousands of samples a point at 128 draws, about 1 to 2 at 512 (see
[`smc.Draws`][]); gaps of that size are then no evidence, and more draws or another seed tell."""
_MEMBERS, _GRID = 1000, 61
_CHUNK = 7
"""Pairs of curve and model in one compiled call: one program serves any number of them."""


@dataclass(frozen=True)
class Identified:
    """What a curve pins down and what it leaves open.

    Attributes:
      near: dynamics within `NEAR` nats of the best one, best first, and those whose draws did not arrive; one means
        that the curve tells them apart.
      directions: how many combinations of the curve's parameters are known better than beforehand (standard
        deviation at most half of the prior's), in the best model.
      parameters: how many parameters the curve of that model has.
      step: end of the horizon.
      end: 80 % interval of the accuracy there.
      prior_end: the same before any data.
      apart: largest distance between the forecasts of the end by the near dynamics (medians).
    """

    near: tuple[str, ...]
    directions: int
    parameters: int
    step: float
    end: tuple[float, float]
    prior_end: tuple[float, float]
    apart: float

    @property
    def dynamics(self) -> bool:
        """Whether one dynamics explains the curve better than all others by `NEAR` nats."""
        return len(self.near) == 1

    @property
    def final(self) -> bool:
        """Whether the interval of the end is less than half as wide as before any data."""
        return self.end[1] - self.end[0] < 0.5 * (self.prior_end[1] - self.prior_end[0])


@dataclass(frozen=True)
class CurveFit:
    """Posterior over models and their parameters.

    Attributes:
      curve: the whole run as read.
      train: the part that was fitted.
      models: M of them.
      u: `[models, draws, parameters]`, posterior draws of standard normal numbers, see `dynamics.PARAMETERS`.
      log_likelihood: `[models]`, the best draw's.
      log_evidence: `[models]`, likelihood averaged over the prior, by sequential Monte Carlo: an estimate, off by
        1 to 4 nats for curves with thousands of samples a point at 128 draws, by about 1 to 2 at 512.
      arrived: `[models]`, whether the draws got all the way from prior to posterior; where not, a note says so.
      offset: `[models, draws, 2]`, mean and variance of what the run has wandered off its curve (logits).
      samples: rollouts behind a typical point.
      group_size: G of GRPO's clock.
      horizon: how far `identified` looks, in training windows.
      seed: of the random numbers.
    """

    curve: Curve
    train: Curve
    models: tuple[Model, ...]
    u: np.ndarray
    log_likelihood: np.ndarray
    log_evidence: np.ndarray
    arrived: np.ndarray
    offset: np.ndarray
    samples: float
    group_size: int
    horizon: float
    seed: int

    @property
    def weights(self) -> np.ndarray:
        """`[models]`, posterior probabilities, from the evidence and [`dynamics.prior`][]."""
        log = self.log_evidence + np.log(_dynamics.prior(self.models))
        weight = np.exp(log - log.max())
        return weight / weight.sum()

    @property
    def dynamics(self) -> dict[str, float]:
        """Posterior probability of each dynamics, most likely first."""
        names = list(dict.fromkeys(model.dynamics for model in self.models))
        total = {name: float(self.weights[[m.dynamics == name for m in self.models]].sum()) for name in names}
        return dict(sorted(total.items(), key=lambda item: -item[1]))

    @property
    def best(self) -> Model:
        """The most likely model."""
        return self.models[int(np.argmax(self.weights))]

    def parameters(self, model: Model | None = None) -> dict[str, tuple[float, float, float]]:
        """Median and 80 % interval of each parameter of a model, by its draws.

        Args:
          model: one of `models`; default: the most likely one.

        Returns:
          (median, low, high) by name, those of `fit.dynamics.physical`; `rate` and `rest` per training window.
        """
        model = self.best if model is None else model
        values = _physical(jnp.asarray(self.u[self.models.index(model)]), model.patterns)
        ends = [0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2]
        return {
            name: tuple(np.quantile(np.asarray(values[name]), ends).tolist())
            for name, free in zip(PARAMETERS, model.free, strict=True)
            if free
        }

    def forecast(self, steps: Any, *, weights: np.ndarray | None = None, seed: int | None = None) -> Forecast:
        """The posterior predictive mixture over models and draws.

        After the last point trained on the run wanders on from where it is; before it, members are the models' curves.

        Args:
          steps: `[steps]`, increasing, none before the first point.
          weights: `[models]`, in place of the posterior ones.
          seed: of the random numbers; default: that of the fit.

        Returns:
          A `Forecast`; members are draws, so its quantiles carry Monte Carlo error.
        """
        steps = np.atleast_1d(_check.increasing("steps", steps))
        if steps[0] < self.curve.steps[0]:
            raise ValueError(
                f"steps[0]: {steps[0]:.10g}; must be {self.curve.steps[0]:.10g}, the first point, or above"
            )
        rng = np.random.default_rng(self.seed if seed is None else seed)
        return _forecast(self, steps, self.weights if weights is None else weights, rng)

    @cached_property
    def identified(self) -> Identified:
        """What the curve pins down: a summary of the posterior, up to Monte Carlo error."""
        return _identified(self)


def fit(
    curve: Curve,
    until: float | int | None = None,
    *,
    horizon: float | int | None = None,
    group_size: int = 8,
    models: Sequence[Model] = MODELS,
    draws: int = 512,
    seed: int = 0,
) -> CurveFit:
    r"""Fit every model to the first part of a curve.

    $$ p(\text{model}\mid y) \propto \int L(y\mid u)\,N(u)\,du $$

    with the likelihood of `fit.noise`, the models and priors of `fit.dynamics` and the integral by `fit.smc.sample`.

    Args:
      curve: the run.
      until: last step to fit; default: all points.
      horizon: how far `identified` looks, in training windows ≥ 1; default: to the end of the curve, or three where
        nothing comes after the last point fitted.
      group_size: G ≥ 2 of GRPO's clock.
      models: which models to try.
      draws: per model, ≥ 16.
      seed: of the random numbers.

    Returns:
      A `CurveFit`.

    Raises:
      ValueError: fewer than four points up to there, or an argument out of range.
    """
    return fit_many([curve], None if until is None else [until], horizon, group_size, models, draws, seed)[0]


def fit_many(
    curves: Sequence[Curve],
    untils: Sequence[float | int] | None = None,
    horizon: float | int | None = None,
    group_size: int = 8,
    models: Sequence[Model] = MODELS,
    draws: int = 512,
    seed: int = 0,
) -> list[CurveFit]:
    """[`fit`][] for several curves at once, on all cores.

    Args:
      curves: the runs.
      untils: last step to fit of each.

    As for [`fit`][]: `horizon`, `group_size`, `models`, `draws`, `seed`.

    Returns:
      A `CurveFit` for each.

    Raises:
      ValueError: as for [`fit`][].
    """
    _check.integer("draws", draws, low=16)
    if horizon is not None and not 1 <= horizon < np.inf:
        raise ValueError(f"horizon: {horizon:.10g}; must be 1 or above, and finite")
    models = tuple(models)
    if not models:
        raise ValueError("models: empty; must name one or more")
    ends = [curve.steps[-1] for curve in curves] if untils is None else list(untils)
    trains = []
    for curve, end in zip(curves, ends, strict=True):
        count = int(np.sum(curve.steps <= end))
        if count < FEWEST:
            raise ValueError(
                f"until: {end:.10g} leaves {count} points of {curve.name}; must leave {FEWEST} or more"
            )
        trains.append(curve.until(end))
    data = [noise.binned(curve, train) for curve, train in zip(curves, trains, strict=True)]
    kinds = np.array([[DYNAMICS.index(m.dynamics), m.patterns] for m in models])
    free = np.array([m.free for m in models], float)
    pairs = [(c, m) for c in range(len(curves)) for m in range(len(models))]
    which, model = np.array(pairs).T
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves)[which], *data)
    root = jax.random.key(seed)
    keys = jax.vmap(lambda i: jax.random.fold_in(root, i))(jnp.arange(len(pairs)))
    found = _posterior(group_size, draws)(keys, kinds[model], free[model], stacked)
    shape = (len(curves), len(models))
    u = np.asarray(found.u).reshape(*shape, draws, len(PARAMETERS))
    likelihood = np.asarray(found.log_likelihood).max(axis=1).reshape(shape)
    evidence = np.asarray(found.log_evidence).reshape(shape)
    arrived = np.asarray(found.arrived).reshape(shape)
    offset = np.asarray(found.extra).reshape(*shape, draws, 2)
    fits = []
    for i, (curve, train) in enumerate(zip(curves, trains, strict=True)):
        ahead = float(_windows(curve, train, curve.steps[-1:])[0])
        far = horizon if horizon is not None else ahead if ahead > 1 else 3.0
        samples = noise_samples(train.accuracy) if train.samples is None else float(np.median(train.samples))
        if not arrived[i].all():
            lost = ", ".join(
                dict.fromkeys(m.dynamics for m, ok in zip(models, arrived[i], strict=True) if not ok)
            )
            note = f"draws did not reach the posterior of {lost}: no result for these dynamics"
            curve = replace(curve, notes=(*curve.notes, note))
        fits.append(
            CurveFit(
                curve,
                train,
                models,
                u[i],
                likelihood[i],
                evidence[i],
                arrived[i],
                offset[i],
                samples,
                group_size,
                far,
                seed,
            )
        )
    return fits


@lru_cache
def _posterior(group_size: int, draws: int) -> Any:
    """Sequential Monte Carlo over a leading axis of (curve, model) pairs, compiled once."""
    table = _dynamics.clocks(group_size)

    def one(key: Array, kind: Array, free: Array, data: noise.Binned) -> smc.Draws:
        def filtered(u: Array) -> tuple[Array, Array]:
            level = _dynamics.accuracy(u, kind, data.time, table)
            value, mean, var = noise.filtered(level, _dynamics.physical(u, kind[1]), data)
            return value, jnp.stack([mean, var])

        return smc.sample(key, filtered, free, draws=draws)

    return chunked(lambda *args: jax.lax.map(lambda pair: one(*pair), args), chunk=_CHUNK)


@partial(jax.jit, static_argnums=1)
def _physical(u: Any, patterns: int) -> dict[str, Array]:
    return jax.vmap(lambda one: _dynamics.physical(one, patterns))(u)


@partial(jax.jit, static_argnums=3)
def _paths(u: Any, kind: Any, times: Any, group_size: int) -> tuple[Array, Array, Array]:
    """Accuracy `[members, times]`, excess and wander `[members]`."""
    table = _dynamics.clocks(group_size)
    level = jax.lax.map(lambda pair: _dynamics.accuracy(pair[0], pair[1], times, table), (u, kind))
    values = jax.vmap(lambda one: _dynamics.physical(one, 1))(u)
    return level, values["excess"], values["wander"]


def _windows(curve: Curve, train: Curve, steps: np.ndarray) -> np.ndarray:
    """Time in training windows."""
    begin, end = curve.time(train.steps[[0, -1]])
    return (curve.time(steps) - begin) / (end - begin)


def _forecast(fit: CurveFit, steps: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> Forecast:
    # Each model gets its share of the members; the odd ones by lot.
    places = (np.arange(_MEMBERS) + rng.random()) / _MEMBERS
    model = np.searchsorted(np.cumsum(weights) / np.sum(weights), places).clip(0, len(weights) - 1)
    draw = rng.integers(fit.u.shape[1], size=_MEMBERS)
    kinds = np.array([[DYNAMICS.index(m.dynamics), m.patterns] for m in fit.models])
    times = _windows(fit.curve, fit.train, steps)
    far = np.geomspace(1.0, max(times[-1], 1.0 + 1e-9), _GRID - 20)
    grid = np.concatenate([np.linspace(0.0, 1.0, 21)[:-1], far])
    level, excess, wander = map(np.asarray, _paths(fit.u[model, draw], kinds[model], grid, fit.group_size))
    level = np.stack([np.interp(times, grid, row) for row in level]).clip(1e-9, 1 - 1e-9)
    mean, var = fit.offset[model, draw].T
    normal = rng.standard_normal((_MEMBERS, len(times)))
    new = np.diff(np.maximum(times, 1.0), prepend=1.0)
    walk = wander[:, None] * np.cumsum(np.sqrt(new) * normal, axis=1)
    begin = mean + np.sqrt(np.maximum(var, 0)) * rng.standard_normal(_MEMBERS)
    offset = np.where(times > 1, begin[:, None] + walk, 0.0)
    logit = np.log(level) - np.log1p(-level) + offset
    members = 1 / (1 + np.exp(-logit))
    noise_var = members * (1 - members) * (1 + excess[:, None]) / fit.samples
    logged = members + np.sqrt(noise_var) * rng.standard_normal(members.shape)
    return Forecast(steps, np.median(members, axis=0), members, logged.clip(0, 1))


def _identified(fit: CurveFit) -> Identified:
    names = list(fit.dynamics)
    odds = np.log([max(fit.dynamics[name], 1e-300) for name in names])
    lost = {model.dynamics for model, arrived in zip(fit.models, fit.arrived, strict=True) if not arrived}
    near = tuple(n for n, odd in zip(names, odds, strict=True) if odd > odds[0] - NEAR or n in lost)
    best = fit.models.index(fit.best)
    curve = fit.best.free & ~np.isin(PARAMETERS, ("excess", "wander"))
    cov = np.atleast_2d(np.cov(fit.u[best][:, curve].T))
    begin, end = fit.train.steps[[0, -1]]
    far = _step_at(fit, begin + fit.horizon * (end - begin))
    prior = replace(
        fit,
        u=np.random.default_rng(fit.seed).standard_normal(fit.u.shape),
        log_evidence=np.zeros_like(fit.log_evidence),
        offset=np.zeros_like(fit.offset),
    )

    def interval(forecast: Forecast) -> tuple[float, float]:
        return float(forecast.low[-1]), float(forecast.high[-1])

    medians = [
        fit.forecast([far], weights=(fit.weights + 1e-300) * [m.dynamics == name for m in fit.models]).median[
            -1
        ]
        for name in near
    ]
    return Identified(
        near,
        int((np.linalg.eigvalsh(cov) < 0.25).sum()),
        int(curve.sum()),
        far,
        interval(fit.forecast([far])),
        interval(prior.forecast([far])),
        float(np.ptp(medians)),
    )


def _step_at(fit: CurveFit, guess: float) -> float:
    """The step at the horizon, where time is no step count."""
    last = float(fit.train.steps[-1])
    beyond = lambda step: float(_windows(fit.curve, fit.train, np.array([step]))[0]) - fit.horizon  # noqa: E731
    return _roots.halve(beyond, last, max(guess, float(fit.curve.steps[-1])))

"""Forecasts of runs from their first part, scored on the rest: by theory, by baselines, by the prior of the theory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax import fit, flow, regularizer
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.fit.drawing import THEORY
from qra_jax.fit.inference import FEWEST
from qra_jax.problem import Problem
from qra_jax.studies import lab

REGIMES = ("fast", "entangled", "held by KL", "common shift")
"""Dynamics of simulated runs: GRPO in Regime 1, in Regime 2, with a KL term; and logits that shift together."""
SCALES = {"dreternity": (-0.5, 1.0), "unsl_": (-1.0, 3.0)}
"""Range of the column reward by how a file's name begins: −.5 without an answer to 1; −1 for wrong to 3 for exact."""
PRIOR = "prior"
METHODS = (THEORY, *fit.BASELINES, PRIOR)
PART, POINTS, QUESTIONS, FRESH, ROLLOUTS = 0.3, 50, 64, 16, 8
"""Part of a run that is fitted; points of a simulated run, its questions, and those of a logged point with rollouts."""
SCORES: tuple[str, ...] = ("error", "end", "crps", "covered", "narrow")


def forecasts(
    curves: Sequence[fit.Curve], untils: Sequence[float], *, draws: int, seed: int
) -> tuple[dict[str, np.ndarray], list[fit.Forecast]]:
    """Fit the first part of every curve and score the forecasts of the rest.

    Args:
      curves: the runs.
      untils: last step to fit of each.
      draws: of the fits.
      seed: of the random numbers.

    Returns:
      `SCORES` by name, `[curves, methods]` (see [`Score`][qra_jax.fit.forecast.Score]; `narrow` is the share of points
      in an interval of half the width), `weight` `[curves, dynamics]`; and the theory's forecasts.
    """
    fits = fit.fit_many(curves, untils, draws=draws, seed=seed)
    rows, ahead = [], []
    for curve, until, fitted in zip(curves, untils, fits, strict=True):
        rest = fit.rest_of(curve, until)
        assert rest is not None
        made = {THEORY: fitted.forecast(rest.steps), PRIOR: unseen(fitted).forecast(rest.steps)}
        made |= fit.baselines(curve, until, rest.steps, seed=seed)
        rows.append([_scores(made[name], rest) for name in METHODS])
        ahead.append(made[THEORY])
    scores: dict[str, np.ndarray] = dict(zip(SCORES, np.moveaxis(np.array(rows), 2, 0), strict=True))
    scores["weight"] = np.array([[one.dynamics[name] for name in fit.DYNAMICS] for one in fits])
    return scores, ahead


def unseen(fitted: fit.CurveFit) -> fit.CurveFit:
    """The same models with draws from their prior: what the theory says before it has seen a point."""
    return replace(
        fitted,
        u=np.random.default_rng(fitted.seed).standard_normal(fitted.u.shape),
        log_evidence=np.zeros_like(fitted.log_evidence),
        offset=np.zeros_like(fitted.offset),
    )


def simulated(*, runs: int, draws: int, seed: int) -> dict[str, np.ndarray]:
    """Simulated runs of every regime, their logged points, and how well their first part forecasts the rest.

    Args:
      runs: of each regime.
      draws: of the fits.
      seed: of all random numbers.

    Returns:
      `[regimes, runs, ...]`: `accuracy` and `logged` `[points]`, `path` (median and 80 % interval of the theory)
      `[3, points after the first part]`, and the scores of [`forecasts`][].
    """
    rng = np.random.default_rng(seed)
    true = paths(rng, runs)
    logged = np.array([[log(rng, run) for run in group] for group in true])
    samples = np.full(POINTS, FRESH * ROLLOUTS)
    curves = [fit.Curve(np.arange(POINTS, dtype=float), y, samples) for y in logged.reshape(-1, POINTS)]
    scores, ahead = forecasts(curves, [PART * (POINTS - 1)] * len(curves), draws=draws, seed=seed)
    scores["path"] = np.array([[one.median, one.low, one.high] for one in ahead])
    shaped = {name: value.reshape(len(REGIMES), runs, *value.shape[1:]) for name, value in scores.items()}
    return shaped | {"accuracy": true.mean(axis=-1), "logged": logged}


def paths(rng: np.random.Generator, runs: int) -> np.ndarray:
    """Accuracy `[regimes, runs, points, questions]` of each question along each run."""
    log_ref, success = (
        np.concatenate(parts)
        for parts in zip(
            *(problems(rng, runs * QUESTIONS, kind) for kind in (False, True, None)), strict=True
        )
    )
    length = 10 ** rng.uniform(0.7, 2.3, (3, runs))
    beta = np.stack([np.zeros(runs), np.zeros(runs), 10 ** rng.uniform(-1.3, -0.5, runs)])

    def solve(log_ref: jax.Array, success: jax.Array, length: jax.Array, beta: jax.Array) -> jax.Array:
        options = {"algorithm": grpo(ROLLOUTS), "rtol": 1e-5, "atol": 1e-6}
        ts, penalty = length * jnp.linspace(0, 1, POINTS), [regularizer.reverse_kl(beta)]
        return flow.solve(Problem(log_ref, success), ts=ts, regularizers=penalty, **options).accuracy

    each = [np.repeat(x.ravel(), QUESTIONS) for x in (length, beta)]
    flows = np.asarray(many(solve)(log_ref, success, *each)).reshape(3, runs, QUESTIONS, POINTS)
    start = rng.normal(rng.normal(-1, 1, (runs, 1)), rng.uniform(0.5, 2.5, (runs, 1)), (runs, QUESTIONS))
    shift = 10 ** rng.uniform(-0.3, 0.7, (runs, 1, 1)) * np.linspace(0, 1, POINTS)
    shifted = 1 / (1 + np.exp(-start[:, :, None] - shift))
    return np.concatenate([flows, shifted[None]]).swapaxes(2, 3)


def problems(rng: np.random.Generator, count: int, entangled: bool | None) -> tuple[np.ndarray, np.ndarray]:
    """Dirichlet(1) base policies and uniform success rates of three patterns, of one regime or of either."""
    ref, success = rng.dirichlet(np.ones(3), 20 * count), rng.uniform(size=(20 * count, 3))
    second = np.sort(success, axis=1)[:, 1] > (ref * success).sum(axis=1)
    keep = np.flatnonzero(np.ones_like(second) if entangled is None else second == entangled)[:count]
    return np.log(ref[keep]), success[keep]


def log(rng: np.random.Generator, run: np.ndarray) -> np.ndarray:
    """What is logged `[points]`: a mean over fresh questions and their rollouts."""
    drawn = np.stack([rng.choice(row, FRESH, replace=False) for row in run])
    return rng.binomial(ROLLOUTS, drawn).mean(axis=1) / ROLLOUTS


def _scores(forecast: fit.Forecast, rest: fit.Curve) -> list[float]:
    """`SCORES` of one forecast."""
    score, low, high = fit.score(forecast, rest), forecast.logged_low, forecast.logged_high
    narrow = np.abs(rest.accuracy - (low + high) / 2) <= (high - low) / 4
    return [score.error, score.end, score.crps, score.covered, float(narrow.mean())]


def ahead(words: str, values: xr.DataArray, forecast: str, over: str) -> lab.Evidence:
    """Errors of every baseline less those of a forecast, which the theory says are positive.

    Args:
      words: what the errors are.
      values: `[..., forecast, over]`.
      forecast: whose errors are taken off.
      over: dimension of independent runs.
    """
    values = values.rename(forecast="baseline")
    own, others = values.sel(baseline=forecast, drop=True), values.sel(baseline=list(fit.BASELINES))
    return lab.difference(f"{words}, baseline less theory", others, own, over).above(0).per("baseline")


def read(folder: Path) -> tuple[list[fit.Curve], list[float], list[str]]:
    """The runs of a folder that can be scored, where their first part ends, and which files are left out and why."""
    curves, untils, skipped = [], [], []
    for path in sorted(Path(folder).glob("*.csv")):
        known = next((ends for start, ends in SCALES.items() if path.stem.startswith(start)), None)
        try:
            curve = fit.read(path) if known is None else fit.read(path, column="reward", scale=known)
        except ValueError as error:
            reason = str(error).removeprefix(str(path)).lstrip(":, ")
            skipped.append(f"{path.name} ({reason.partition(' among ')[0]})")
            continue
        until = float(curve.steps[0] + PART * (curve.steps[-1] - curve.steps[0]))
        if np.sum(curve.steps <= until) < FEWEST or fit.rest_of(curve, until) is None:
            skipped.append(f"{path.name} (too few points)")
            continue
        curves.append(curve)
        untils.append(until)
    return curves, untils, skipped

"""Simulation-based calibration of fits: intervals hold the truth of runs drawn from the prior as often as they say.

A small version of `benchmarks/calibration.py`: four families, a few dozen runs, exact binomial bounds.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from qra_jax import fit
from qra_jax.fit import dynamics, noise

RUNS, DRAWS, SAMPLES, SURE = 48, 64, 128, 0.999
MODELS = (
    fit.Model("common shift", 1),
    fit.Model("grpo", 2),
    fit.Model("reinforce", 3),
    fit.Model("shared features", 1),
)
STEPS, PART = np.arange(79.0), 39
"""Steps of a run, and how many of its points are fitted: the end is two training windows from the start."""
LEVELS = (0.5, 0.8, 0.95)


def bounds(count, level):
    return stats.binom.interval(SURE, count, level)


def held(below, level):
    return int(np.sum(np.abs(np.asarray(below) - 0.5) <= level / 2))


@pytest.fixture(scope="module")
def ranks():
    """Ranks of the true end in the forecast, and of each true parameter in its posterior, by name."""
    rng, times = np.random.default_rng(5), STEPS / (PART - 1)
    table, prior = dynamics.clocks(8), dynamics.prior(MODELS)

    @jax.jit
    def paths(u, kind):
        return dynamics.accuracy(u, kind, jnp.asarray(times), table), dynamics.physical(u, kind[1])

    models, us, ends, curves = [], [], [], []
    for _ in range(RUNS):
        model, u = MODELS[rng.choice(len(MODELS), p=prior)], rng.standard_normal(len(dynamics.PARAMETERS))
        level, values = paths(u, np.array([dynamics.DYNAMICS.index(model.dynamics), model.patterns]))
        true, rates = noise.logged(rng, np.asarray(level), values, times, SAMPLES)
        models.append(model)
        us.append(u)
        ends.append(true[-1])
        curves.append(fit.Curve(STEPS[:PART], rates[:PART], np.full(PART, float(SAMPLES))))
    fits = fit.fit_many(curves, models=MODELS, draws=DRAWS)
    found = {name: [] for name in ("end", *dynamics.PARAMETERS)}
    for model, u, end, one in zip(models, us, ends, fits, strict=True):
        found["end"].append(np.mean(one.forecast([STEPS[-1]]).members[:, 0] < end))
        below = np.mean(one.u[MODELS.index(model)] < u[None, :], axis=0)
        for name, rank, free in zip(dynamics.PARAMETERS, below, model.free, strict=True):
            if free:
                found[name].append(rank)
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize("level", LEVELS)
def test_intervals_of_the_end_hold_as_often_as_they_say(ranks, level):
    low, high = bounds(RUNS, level)
    assert low <= held(ranks["end"], level) <= high


@pytest.mark.parametrize("name", dynamics.PARAMETERS)
def test_intervals_of_parameters_hold_as_often_as_they_say(ranks, name):
    for level in LEVELS:
        low, high = bounds(len(ranks[name]), level)
        assert low <= held(ranks[name], level) <= high, level


def test_forecasts_lean_to_no_side(ranks):
    mean = np.mean(ranks["end"])
    assert abs(mean - 0.5) < stats.norm.ppf(0.5 + SURE / 2) / np.sqrt(12 * RUNS)


def test_intervals_of_half_the_width_would_be_seen(ranks):
    low, _ = bounds(RUNS, 0.8)
    assert held(ranks["end"], 0.4) < low  # the 80 % interval, were it as narrow as that of 40 %


def test_logged_rates_scatter_as_the_likelihood_says():
    rng, time = np.random.default_rng(0), np.linspace(0, 1, 4000)
    values = {"excess": 1.5, "wander": 0.0}
    true, rates = noise.logged(rng, np.full(4000, 0.3), values, time, 40)
    np.testing.assert_allclose(true, 0.3)
    squares = np.mean((rates - 0.3) ** 2) / (0.3 * 0.7 * 2.5 / 40)
    assert abs(squares - 1) < 4 * np.sqrt(2 / 4000)
    values, time = {"excess": 0.0, "wander": 0.5}, np.linspace(0, 1, 9)
    ends = [noise.logged(rng, np.full(9, 0.3), values, time, 9)[0][-1] for _ in range(400)]
    logits = np.log(ends) - np.log1p(-np.array(ends)) - np.log(0.3 / 0.7)
    assert np.var(logits) == pytest.approx(0.25, rel=0.3)

"""What `classifier-first` compares: rates inside their grid, reasons of what is so, and a scale between stages."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._best_rates import at_equal, best, speed
from qra_jax.studies.weights._provided import Provided
from qra_jax.studies.weights._stages import scaled


def _runs(at, seeds=4):
    """Mean rewards of one arm that are best at one of four rates."""
    score = 0.5 - 0.1 * abs(np.arange(4) - at)[:, None] + 1e-3 * np.arange(seeds)
    reward = np.broadcast_to(score[None, :, :, None, None], (1, 4, seeds, 2, 2))
    coords = {"arm": ["a"], "rate": [1.0, 2.0, 3.0, 4.0], "asked": ["asked", "held out"]}
    return xr.Dataset({"reward": (("arm", "rate", "seed", "step", "asked"), reward)}, coords)


@pytest.mark.parametrize(("at", "known"), [(0, False), (1, True), (2, True), (3, False)])
def test_what_is_best_at_an_end_of_the_grid_is_unknown(at, known):
    runs = _runs(at)
    assert bool(best(runs, speed(runs), "a").notnull().all()) == known
    rate = runs.rate + 0 * speed(runs)
    found = best(runs, rate, "a", inside=False)
    assert found.values.tolist() == [at + 1] * 4


def test_one_unknown_run_leaves_the_best_rate_unknown():
    runs = _runs(1)
    runs["reward"] = runs.reward.where((runs.rate != 3) | (xr.DataArray(range(4), dims="seed") != 0))
    assert bool(best(runs, speed(runs), "a").isnull().all())


def test_entropy_where_a_reward_is_reached_is_read_between_records():
    reward = np.array([[0.0, 0.4, 0.8], [0.0, 0.1, 0.2]])
    both = np.stack([reward, reward], axis=-1)
    runs = xr.Dataset(
        {"reward": (("seed", "step", "asked"), both), "entropy": (("seed", "step", "asked"), 2 - both)},
        {"asked": ["asked", "held out"]},
    )
    found = at_equal(runs, 0.6).values
    assert found[0] == pytest.approx(1.4)
    assert np.isnan(found[1])


def test_reasons_are_open_where_there_is_nothing_to_explain():
    one = lambda x: lab.exact("x", x).above(0.5)  # noqa: E731
    for condition, part, kind in ((1, 1, "holds"), (1, 0, "fails"), (0, 1, "open"), (0, 0, "open")):
        found = Provided(one(condition), one(part))
        assert found.decide(0.05).kind == kind
        assert [test.estimate.value.item() for test in found.tests()] == [condition, part]
    rows = xr.DataArray([1.0, 0.0], {"arm": ["a", "b"]}, ("arm",))
    assert str(Provided(one(1), one(rows).per("arm")).decide(0.05)) == "holds only if arm is a"


def test_the_unembedding_is_multiplied_once():
    params = {"unembedding": {"kernel": jnp.ones((2, 3))}, "norm": {"scale": jnp.ones(2)}}
    slopes = {"unembedding": {"kernel": -jnp.ones((2, 3))}, "norm": {"scale": -jnp.ones(2)}}
    optimizer = scaled(optax.sgd(1.0), 2, 3.0)
    state, seen = optimizer.init(params), []
    for _ in range(3):
        change, state = optimizer.update(slopes, state, params)
        params = optax.apply_updates(params, change)
        seen.append((float(params["unembedding"]["kernel"][0, 0]), float(params["norm"]["scale"][0])))
    assert seen == [(2.0, 2.0), (9.0, 3.0), (10.0, 4.0)]

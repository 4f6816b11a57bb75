"""Gradients, moments and shares that `sgd-or-adam` reads, and what makes its comparisons fair."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

from qra_jax import transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.studies import lab
from qra_jax.studies.weights import (
    _fair as fair,
    _gradients as gradients,
    _optimizers as optimizers,
    _ways as ways,
)
from qra_jax.studies.weights._reference import task_of


@pytest.fixture(scope="module")
def network():
    task = task_of("controlled")
    model = tf.Decoder(task.vocabulary, width=8, depth=1)
    corpus = lambda key: task.demonstrations(key, 16)  # noqa: E731
    return task, model, ways.taught(jax.random.key(0), model, corpus, steps=150, rate=1e-2)


def test_gradient_is_that_of_training(network):
    task, model, params = network
    key = jax.random.key(1)
    options = {"algorithm": grpo(8), "optimizer": optax.sgd, "learning_rate": 1.0}

    @jax.jit
    def both(params):
        own = gradients.slope(jax.random.fold_in(key, 0), model, params, task, questions=6, supervised=False)
        return own, tf.train(key, model, params, task, steps=1, questions=6, **options).params

    own, later = both(params)
    for g, before, after in zip(*map(jax.tree.leaves, (own, params, later)), strict=True):
        assert jnp.allclose(before - after, g, atol=1e-6)
    assert max(float(jnp.max(abs(x))) for x in jax.tree.leaves(own)) > 1e-4


def test_moments_of_noise_and_of_a_drift(network):
    task, model, params = network
    options = {"steps": 25, "questions": 6, "rate": jnp.array(1e-3), "supervised": True}
    seen = gradients.moments(jax.random.key(2), model, params, task, **options)
    assert all(0.2 < float(x) < 0.6 for x in seen["own"][1:3])  # about √.19 for steps of one size
    assert float(seen["own"][3]) > float(seen["own"][1]) + 0.1
    assert float(seen["spread"][0]) > float(seen["spread"][1]) > 1
    assert all(-1 <= float(x) <= 1 for x in (*seen["next"], seen["fresh"]))
    assert abs(float(seen["next"][1])) < 0.3 < float(seen["next"][3])  # signs are drawn anew; a drift stays


def test_shares_of_weights_changed(network):
    base = network[2]
    tuned = jax.tree.map(lambda x: x + 0.1 * (jnp.abs(x) + 1), base)  # every weight, by more than a tenth
    seen = jax.jit(optimizers.shares)(jax.random.key(3), base, tuned)
    own, gaussian, tenth, thousandth = seen["share"][0]
    assert float(own) == pytest.approx(1)
    assert 0.9 < float(gaussian) < 1
    assert float(tenth) == pytest.approx(0.1, abs=0.01)
    assert float(thousandth) < 0.01
    assert bool(jnp.all(jnp.diff(seen["at_norm"][0]) >= 0))


def test_a_rate_is_inside_between_worse_ones_or_where_none_makes_a_difference():
    rates = np.array([0.1, 0.3, 1.0])
    assert fair.inside(np.stack([rates, [0.5, 0.6, 0.4]], axis=1))
    assert not fair.inside(np.stack([rates, [0.5, 0.6, 0.7]], axis=1))
    assert not fair.inside(np.stack([rates, [0.7, 0.6, 0.7]], axis=1))
    assert fair.inside(np.stack([rates, [0.5, 0.5, 0.5]], axis=1))


def test_arms_are_compared_on_the_bases_that_all_of_them_have():
    near = xr.DataArray(
        [[[True, True, False], [True, False, True]], [[False] * 3, [True] * 3]],
        {"task": ["a", "b"], "arm": ["x", "y"]},
        ("task", "arm", "seed"),
    )
    values = xr.DataArray([[1.0, 2.0, 3.0]] * 2, {"task": ["a", "b"]}, ("task", "seed"))
    found = fair.on_common(lab.mean, "value", near, values)
    assert found.value.values[0] == 1
    assert np.isnan(found.value.values[1])
    assert "(1 of 3 bases, 0 of 3 bases)" in found.quantity
    assert found.above(0.0).decide(0.05).kind == "open"

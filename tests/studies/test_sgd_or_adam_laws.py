"""Gradients and moments that `sgd-or-adam` reads."""

import jax
import jax.numpy as jnp
import optax
import pytest

from qra_jax import transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.studies.weights import _gradients as gradients, _ways as ways
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
    assert -1 <= float(seen["fresh"]) <= 1

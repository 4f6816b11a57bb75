"""Identities behind the studies of clocks: weights of filtered SFT that are GRPO's, settled steps, equal programs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qra_jax import theory
from qra_jax.algorithm import grpo
from qra_jax.studies.clocks import _optimizers, _rules, _staleness


def test_custom_weights_are_grpo():
    rewards = jnp.asarray(np.tri(9, 8, -1))
    ours, theirs = _rules.RULES["±, GRPO weights"], grpo(8)
    np.testing.assert_allclose(jax.vmap(ours.weights)(rewards), jax.vmap(theirs.weights)(rewards), atol=1e-14)


def test_settled_is_the_last_crossing():
    every = _optimizers.EVERY
    share = jnp.array([0.1, 0.95, 0.5, 0.92, 0.99])
    assert _optimizers.settled(share) == 3 * every
    assert _optimizers.settled(share[:3]) == np.inf
    assert _optimizers.settled(jnp.ones(3)) == 0
    assert _optimizers.settled(jnp.array([0.95, jnp.nan])) == np.inf


@pytest.mark.parametrize("which", range(4))
def test_one_program_is_each_of_the_rules(which):
    known = [optax.sgd(0.1), optax.sgd(0.1, momentum=0.9), optax.adam(0.1), optax.sign_sgd(0.1)][which]
    ours = _optimizers.rule(jnp.asarray(float(which)), jnp.asarray(0.1))
    params = jnp.zeros(3)
    states = known.init(params), ours.init(params)
    for gradient in (jnp.array([1.0, -2.0, 0.5]), jnp.array([0.3, 0.1, -4.0])):
        one, first = known.update(gradient, states[0], params)
        two, second = ours.update(gradient, states[1], params)
        states = first, second
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_distance_of_paths():
    line = np.array([[[0.0, 1.0], [1.0, 0.0]]])
    assert theory.path_distance(np.array([[[0.25, 0.75]]]), line) == pytest.approx(0)
    assert theory.path_distance(np.array([[[0.25, 0.75], [0.6, 0.6]]]), line) == pytest.approx(0.1)
    assert np.isnan(theory.path_distance(np.full((1, 1, 2), np.nan), line))


def test_period_of_a_swing():
    assert _staleness.period(np.sin(2 * np.pi * np.arange(60) / 10 + 0.3)) == pytest.approx(10, rel=1e-2)
    assert np.isnan(_staleness.period(np.ones(60)))

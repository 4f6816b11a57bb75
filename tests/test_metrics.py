"""Metrics against SciPy and their limits; zero mass has value and gradient zero, never NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import rel_entr

from qra_jax import metrics

SHAPE = (3, 5)


def policies(seed):
    return jax.nn.log_softmax(3 * jax.random.normal(jax.random.key(seed), SHAPE))


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_against_plain_numpy(seed):
    log_policy, log_other = policies(seed), policies(seed + 5000)
    pi, mu = np.exp(log_policy), np.exp(log_other)
    success = jax.random.uniform(jax.random.key(seed), SHAPE)
    pairs = [
        (metrics.accuracy(log_policy, success), (pi * success).sum(1)),
        (metrics.entropy(log_policy), -(pi * np.log(pi)).sum(1)),
        (metrics.kl(log_policy, log_other), rel_entr(pi, mu).sum(1)),
        (metrics.herfindahl(log_policy), (pi**2).sum(1)),
        (metrics.effective_patterns(log_policy), np.exp(-(pi * np.log(pi)).sum(1))),
    ]
    for actual, expected in pairs:
        assert actual.shape == (3,)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-13)
    assert (metrics.kl(log_policy, log_other) >= 0).all()
    order = np.array([3, 1, 4, 0, 2])
    for function in (metrics.entropy, metrics.herfindahl):
        np.testing.assert_allclose(function(log_policy[:, order]), function(log_policy), rtol=1e-12)


def test_bounds_at_uniform_and_at_a_point():
    uniform, point = jnp.full(4, -jnp.log(4.0)), jnp.array([-jnp.inf, 0.0, -jnp.inf, -jnp.inf])
    np.testing.assert_allclose(metrics.entropy(uniform), np.log(4))
    np.testing.assert_allclose(metrics.herfindahl(uniform), 0.25)
    np.testing.assert_allclose(metrics.effective_patterns(uniform), 4)
    assert metrics.entropy(point) == 0
    assert metrics.herfindahl(point) == 1
    assert metrics.effective_patterns(point) == 1
    np.testing.assert_allclose(metrics.kl(point, uniform), np.log(4))
    assert metrics.kl(uniform, point) == jnp.inf
    assert metrics.kl(point, point) == 0
    assert metrics.kl(uniform, uniform) == 0
    assert metrics.accuracy(point, jnp.array([0.1, 0.7, 0.2, 0.3])) == 0.7


def test_gradients_are_finite_where_mass_is_zero():
    point = jnp.array([-jnp.inf, -0.2, -1.7])
    for function in (metrics.entropy, lambda x: metrics.kl(x, point), metrics.herfindahl):
        assert jnp.isfinite(jax.grad(function)(point)).all()


@pytest.mark.parametrize("k", [1, 2, 7, 1000])
def test_pass_at_k(k):
    rho = jnp.array([0.0, 1e-18, 1e-9, 0.3, 1.0])
    value = metrics.pass_at_k(rho, k)
    np.testing.assert_allclose(value[3], 1 - 0.7**k, rtol=1e-12)
    np.testing.assert_allclose(value[jnp.array([0, 4])], [0, 1])
    np.testing.assert_allclose(value[1], k * 1e-18, rtol=1e-12)  # 1 − (1 − ρ)^k would round to zero
    assert (jnp.diff(value) >= 0).all()


def test_pass_at_k_takes_its_inverse_and_refuses_nonsense():
    rho, k = jnp.asarray(0.01), 16.0
    np.testing.assert_allclose(metrics.pass_at_k(metrics.pass_at_k(rho, k), 1 / k), rho, rtol=1e-12)
    with pytest.raises(ValueError, match="k: 0; must be positive and finite"):
        metrics.pass_at_k(rho, 0.0)


def test_logit_inverts_sigmoid_at_both_ends():
    z = jnp.array([-700.0, -30.0, 0.0, 2.0])
    np.testing.assert_allclose(metrics.logit(jax.nn.sigmoid(z)), z, rtol=1e-12, atol=1e-12)
    assert metrics.logit(jnp.array([0.0, 1.0])).tolist() == [-jnp.inf, jnp.inf]


def test_mismatched_patterns_are_refused():
    with pytest.raises(Exception, match=r"(?i)shape|type-check"):
        metrics.accuracy(jnp.zeros(3), jnp.zeros(4))


def test_float32_stays_float32():
    x = policies(0).astype(jnp.float32)
    rho = jnp.asarray([0.25], jnp.float32)
    for value in (
        metrics.accuracy(x, jnp.exp(x)),
        metrics.entropy(x),
        metrics.kl(x, x),
        metrics.herfindahl(x),
        metrics.effective_patterns(x),
        metrics.pass_at_k(rho, 4),
        metrics.logit(rho),
    ):
        assert value.dtype == jnp.float32

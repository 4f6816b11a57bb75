"""Regularizers: every member obeys the same laws, and each is the gradient it says it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import metrics
from qra_jax.geometry import GEOMETRIES, ascend
from qra_jax.regularizer import Reference, entropy_bonus, k1_loss, k2_loss, k3_k2_loss, k3_loss, reverse_kl

LOG_REF = jnp.log(jnp.array([0.05, 0.45, 0.3, 0.2]))
LOG_POLICY = jax.nn.log_softmax(jnp.array([0.3, -1.2, 0.8, 2.1]))


def forward_kl(theta):
    return metrics.kl(LOG_REF, jax.nn.log_softmax(theta))


def backward_kl(theta):
    return metrics.kl(jax.nn.log_softmax(theta), LOG_REF)


MEMBERS = {
    "reverse_kl": (reverse_kl(0.3), lambda theta: -0.3 * backward_kl(theta)),
    "k2_loss": (k2_loss(0.3), lambda theta: -0.3 * backward_kl(theta)),
    "k3_k2_loss": (k3_k2_loss(0.3), lambda theta: -0.3 * backward_kl(theta)),
    "k3_loss": (k3_loss(0.3), lambda theta: -0.3 * forward_kl(theta)),
    "entropy_bonus": (entropy_bonus(0.2), lambda theta: 0.2 * metrics.entropy(jax.nn.log_softmax(theta))),
    "entropy_malus": (entropy_bonus(-0.2), lambda theta: -0.2 * metrics.entropy(jax.nn.log_softmax(theta))),
}
members = pytest.mark.parametrize(("term", "objective"), MEMBERS.values(), ids=MEMBERS)


@members
def test_softmax_velocity_is_the_gradient_of_the_objective(term, objective):
    np.testing.assert_allclose(
        term.velocity(LOG_POLICY, LOG_REF), jax.grad(objective)(LOG_POLICY), rtol=1e-12, atol=1e-15
    )


@members
def test_natural_velocity_is_the_gradient_preconditioned_by_fisher(term, objective):
    policy = jnp.exp(LOG_POLICY)
    fisher = jnp.diag(policy) - jnp.outer(policy, policy)
    natural = term.velocity(LOG_POLICY, LOG_REF, "natural")
    np.testing.assert_allclose(fisher @ natural, jax.grad(objective)(LOG_POLICY), rtol=1e-12, atol=1e-15)


@members
def test_softmax_velocity_sums_to_zero_and_natural_has_no_mean(term, objective):
    assert abs(jnp.sum(term.velocity(LOG_POLICY, LOG_REF))) < 1e-15
    natural = term.velocity(LOG_POLICY, LOG_REF, "natural")
    assert abs(jnp.sum(jnp.exp(LOG_POLICY) * natural)) < 1e-15
    assert float(jnp.max(jnp.abs(natural))) > 0.01


@members
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_permutation_moves_the_velocity_along(term, objective, geometry):
    order = jnp.array([2, 0, 3, 1])
    np.testing.assert_allclose(
        term.velocity(LOG_POLICY[order], LOG_REF[order], geometry),
        term.velocity(LOG_POLICY, LOG_REF, geometry)[order],
        rtol=1e-13,
        atol=1e-15,
    )


@members
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_missing_patterns_give_neither_nan_nor_velocity_of_the_others(term, objective, geometry):
    def padded(x):
        return jnp.append(x, -jnp.inf)

    velocity = term.velocity(padded(LOG_POLICY), padded(LOG_REF), geometry)
    assert jnp.all(jnp.isfinite(velocity))
    np.testing.assert_allclose(
        velocity[:-1], term.velocity(LOG_POLICY, LOG_REF, geometry), rtol=1e-13, atol=1e-15
    )
    jacobian = jax.jacobian(lambda x: term.velocity(padded(x), padded(LOG_REF), geometry))(LOG_POLICY)
    assert jnp.all(jnp.isfinite(jacobian))


def test_k3_velocity_is_reference_minus_policy_even_where_the_ratio_is_huge():
    log_policy = jnp.array([-690.0, 0.0])
    log_ref = jnp.log(jnp.array([0.5, 0.5]))
    velocity = k3_loss(2.0).velocity(log_policy, log_ref)
    np.testing.assert_allclose(velocity, [1.0, -1.0], rtol=1e-8)


def test_k3_beyond_underflow_and_in_float32_is_finite():
    for dtype in (jnp.float32, jnp.float64):
        log_policy = jnp.array([-2000.0, 0.0], dtype)
        for geometry in GEOMETRIES:
            velocity = k3_loss(1.0).velocity(log_policy, jnp.log(jnp.array([0.5, 0.5], dtype)), geometry)
            assert velocity.dtype == dtype
            assert jnp.all(jnp.isfinite(velocity))


def test_a_pattern_the_reference_excludes():
    log_ref = jnp.array([-jnp.inf, jnp.log(0.4), jnp.log(0.6)])
    log_policy = jnp.log(jnp.array([0.2, 0.3, 0.5]))
    np.testing.assert_allclose(
        k3_loss(1.0).velocity(log_policy, log_ref), jnp.exp(log_ref) - jnp.exp(log_policy), rtol=1e-13
    )
    assert reverse_kl(1.0).advantage(log_policy, log_ref)[0] == -jnp.inf
    np.testing.assert_array_equal(reverse_kl(0.0).advantage(log_policy, log_ref), 0.0)


@pytest.mark.parametrize("factory", [reverse_kl, k2_loss, k3_k2_loss, k3_loss, entropy_bonus])
def test_strength_is_differentiable_and_linear(factory):
    def velocity(strength):
        return factory(strength).velocity(LOG_POLICY, LOG_REF)

    derivative = jax.jacobian(velocity)(0.7)
    np.testing.assert_allclose(derivative, velocity(1.0), rtol=1e-12, atol=1e-15)


def test_k1_in_the_loss_has_no_pull():
    for geometry in GEOMETRIES:
        np.testing.assert_allclose(k1_loss(0.3).velocity(LOG_POLICY, LOG_REF, geometry), 0.0, atol=1e-16)
    np.testing.assert_allclose(k1_loss(0.3).advantage(LOG_POLICY, LOG_REF), -0.3)


def test_entropy_bonus_vanishes_at_the_uniform_policy():
    uniform = jnp.full(4, -jnp.log(4.0))
    np.testing.assert_allclose(entropy_bonus(1.0).velocity(uniform, uniform, "natural"), 0.0, atol=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reverse_kl(-0.1), r"beta: -0\.1; must be zero or positive"),
        (lambda: k1_loss(-1.0), "beta: -1; must be zero or positive"),
        (lambda: k2_loss(-1.0), "beta: -1; must be zero or positive"),
        (lambda: k3_k2_loss(-1.0), "beta: -1; must be zero or positive"),
        (
            lambda: reverse_kl(0.1, estimate="k3"),
            "estimate: 'k3'; must be one of 'exact', 'samples', 'corrected'",
        ),
        (lambda: Reference(every=0), r"reference\.every: 0; must be 1 or above"),
        (lambda: Reference(every=2, mixing=1.5), r"reference\.mixing: 1\.5; must be in \[0, 1\]"),
        (lambda: Reference(target_kl=0.0), r"reference\.target_kl: 0; must be positive"),
        (lambda: Reference(target_kl=1.0, horizon=-1.0), r"reference\.horizon: -1; must be positive"),
        (lambda: k3_loss(float("nan")), "beta: nan; must be zero or positive"),
        (lambda: entropy_bonus(float("inf")), "weight: inf; must be finite"),
        (
            lambda: ascend(LOG_REF, LOG_REF, "fisher"),
            "geometry: 'fisher'; must be one of 'softmax', 'natural'",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_regularizer_says_its_name_and_numbers():
    assert repr(reverse_kl(0.01)) == "Regularizer(reverse KL, beta = 0.01)"
    assert repr(reverse_kl(jnp.ones(3))) == "Regularizer(reverse KL, beta)"

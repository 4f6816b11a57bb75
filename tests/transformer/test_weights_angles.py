"""Angles, shared energy and spectral drift against scipy, rotations by known angles and random subspaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from qra_jax.transformer.weights import angles

pytestmark = pytest.mark.usefixtures("compiled_plainly")


@pytest.fixture(scope="module")
def two():
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 8, 5)))


def turned(theta):
    """A diagonal matrix, and the same with its second left direction turned towards one that is not there."""
    a = np.zeros((6, 4))
    np.fill_diagonal(a, [4.0, 3, 2, 1])
    b = a.copy()
    b[:, 1] = 3 * (np.cos(theta) * np.eye(6)[1] + np.sin(theta) * np.eye(6)[5])
    return jnp.asarray(a), jnp.asarray(b)


def test_angles_are_those_of_scipy(two):
    a, b = two
    found = jax.jit(angles.principal_angles, static_argnums=2)(a, b, 2)
    for i in range(3):
        frames = [np.linalg.svd(np.asarray(m[i]), full_matrices=False) for m in (a, b)]
        left = scipy.linalg.subspace_angles(frames[0][0][:, :2], frames[1][0][:, :2])
        right = scipy.linalg.subspace_angles(frames[0][2][:2].T, frames[1][2][:2].T)
        np.testing.assert_allclose(found.left[i], left[::-1], atol=1e-12)
        np.testing.assert_allclose(found.right[i], right[::-1], atol=1e-12)


@pytest.mark.parametrize("theta", [0.0, 1e-9, 0.3, np.pi / 2])
def test_known_rotation(theta):
    a, b = turned(theta)
    found = angles.principal_angles(a, b, 2)
    np.testing.assert_allclose(found.left, [0, theta], rtol=1e-6, atol=1e-14)
    np.testing.assert_allclose(found.right, 0, atol=1e-14)
    shared = angles.rotation(found, 6, 4)
    np.testing.assert_allclose(shared.left, (1 + np.cos(theta) ** 2) / 2, atol=1e-12)
    np.testing.assert_allclose(shared.right, 1)
    np.testing.assert_allclose(angles.spectral_drift(a, b), 0, atol=1e-14)


def test_small_angles_keep_their_digits_in_float32():
    """The arc cosine alone would give 0 or 5e-4 here."""
    a, b = (m.astype(jnp.float32) for m in turned(1e-4))
    np.testing.assert_allclose(angles.principal_angles(a, b, 2).left[1], 1e-4, rtol=1e-2)


def test_nothing_turns_where_all_directions_are_meant(two):
    np.testing.assert_allclose(angles.principal_angles(*two, 5).right, 0, atol=1e-7)


def test_spectral_drift_has_closed_forms_and_its_bound(two):
    a, b = two
    np.testing.assert_allclose(angles.spectral_drift(a, 1.1 * a), 0.1, rtol=1e-12)
    bound = jnp.linalg.norm(b - a, axis=(-2, -1)) / jnp.linalg.norm(a, axis=(-2, -1))
    assert jnp.all(angles.spectral_drift(a, b) <= bound)  # Mirsky's inequality
    zero = jnp.zeros_like(a)
    assert jnp.all(angles.spectral_drift(zero, zero) == 0)
    assert jnp.all(jnp.isinf(angles.spectral_drift(zero, a)))


def test_energy_of_an_update_inside_and_outside_the_principals():
    w, _ = turned(0.0)
    inside, half = jnp.zeros((6, 4)).at[0, 1].set(-2.0), jnp.zeros((6, 4)).at[0, 3].set(1e-30)
    found = angles.principal_energy(jnp.stack([w, w]), jnp.stack([inside, half]), 2)
    np.testing.assert_allclose(found.left, [1, 1], rtol=1e-12)
    np.testing.assert_allclose(found.right, [1, 0], atol=1e-12)
    np.testing.assert_allclose(found.both, [1, 0], atol=1e-12)
    assert jnp.isnan(angles.principal_energy(w, jnp.zeros((6, 4)), 2).both)


def test_chance_levels():
    number = 400
    draws = jnp.asarray(np.random.default_rng(1).normal(size=(2, number, 8, 5)))
    turned = angles.rotation(angles.principal_angles(*draws, 2), 8, 5)
    energy = angles.principal_energy(*draws, 2)
    for found in (turned, energy):
        for value, chance in zip(found[:3], found[3:], strict=True):
            assert abs(jnp.mean(value) - chance) < 5 * jnp.std(value) / number**0.5
    assert energy[3:] == (2 / 8, 2 / 5, 4 / 40)


def test_a_subspace_that_is_not_there_has_no_angle():
    a, b = turned(0.3)
    low = jnp.zeros_like(a).at[0, 0].set(1.0)
    found = angles.principal_angles(jnp.stack([a, low]), jnp.stack([b, b]), 2)
    assert jnp.isnan(found.left).tolist() == [[False, False], [True, True]]


def test_bad_input_is_named(two):
    a, b = two
    with pytest.raises(ValueError, match="k: 6; must be in 1 … 5"):
        angles.principal_angles(a, b, 6)
    with pytest.raises(ValueError, match="k: 6"):
        angles.principal_energy(a, b, 6)
    for call in (
        lambda: angles.principal_angles(a, b[..., :4], 1),
        lambda: angles.spectral_drift(a, b[..., :4]),
    ):
        with pytest.raises(ValueError, match=r"b: shape \(3, 8, 4\)"):
            call()
    with pytest.raises(ValueError, match="delta: shape"):
        angles.principal_energy(a, b[..., :4], 1)

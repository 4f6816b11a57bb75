"""Masks against numpy, and their agreement against chance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax.transformer.weights import masks

pytestmark = pytest.mark.usefixtures("compiled_plainly")


@pytest.fixture(scope="module")
def weights():
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 10, 8)))


def test_principal_small_and_largest_entries(weights):
    found = jax.jit(masks.principal, static_argnums=(1, 2))(weights, 2, 0.3)
    small, large = masks.low_magnitude(weights, 0.3), masks.largest(weights, 0.3)
    for i in np.ndindex(2, 3):
        m = np.asarray(weights[i])
        u, s, v = np.linalg.svd(m, full_matrices=False)
        low = (u[:, :2] * s[:2]) @ v[:2]
        for mask, values, sign in ((found, low, -1), (small, m, 1), (large, m, -1)):
            marked = np.zeros(80, bool)
            marked[np.argsort(sign * np.abs(values).ravel())[:24]] = True
            np.testing.assert_array_equal(np.asarray(mask[i]).ravel(), marked)
    assert jnp.all(found == masks.principal(weights, 0.25, 0.3))


def test_densities_may_be_those_of_other_masks(weights):
    wanted = jnp.linspace(0.0, 1.0, 6).reshape(2, 3)
    found = masks.density(jax.jit(masks.largest)(weights, wanted))
    np.testing.assert_allclose(found, wanted, atol=1 / 160)
    assert jnp.all(masks.density(masks.largest(jnp.zeros((2, 10, 8)), 0.5)) == 0.5)
    random = masks.at_random(jax.random.key(0), (2, 3, 10, 8), wanted)
    np.testing.assert_allclose(masks.density(random), found)
    assert masks.density(masks.low_magnitude(weights, 0.0)).sum() == 0


def test_counted_agreement():
    a = jnp.zeros((4, 5), bool).at[0].set(True)
    b = jnp.zeros((4, 5), bool).at[:, :2].set(True)
    shared, jaccard = masks.overlap(a, b), masks.jaccard(a, b)
    np.testing.assert_allclose(shared[:2], (2 / 5, 8 / 20))
    np.testing.assert_allclose(jaccard[:2], (2 / 11, 0.1 / (0.25 + 0.4 - 0.1)))
    none = jnp.zeros_like(a)
    assert masks.overlap(b, none).value == masks.overlap(b, none).chance == 0
    assert jnp.isnan(masks.overlap(none, b).value)
    assert jnp.isnan(masks.jaccard(none, none).value)
    assert masks.jaccard(a, a).value == masks.overlap(a, a).value == 1


@pytest.mark.parametrize(("p", "q"), [(0.1, 0.5), (0.6, 0.6)])
def test_independent_masks_agree_by_chance(p, q):
    number = 500
    a, b = (masks.at_random(jax.random.key(i), (number, 20, 30), d) for i, d in enumerate((p, q)))
    for measured in (masks.overlap(a, b), masks.jaccard(a, b)):
        standard = (measured.value - measured.chance) / measured.spread
        assert abs(jnp.mean(standard)) < 5 / number**0.5 + 0.01  # Jaccard's chance is that of large matrices
        assert abs(jnp.std(standard) - 1) < 5 / (2 * number) ** 0.5


def test_large_weights_overlap_with_principal_ones():
    """The chance level is not the null of every pair: entries that are large are so in the low-rank part too."""
    w = jnp.asarray(np.random.default_rng(3).normal(size=(40, 30)))
    found = masks.overlap(masks.principal(w, 0.3, 0.5), masks.low_magnitude(w, 0.5))
    assert found.value < found.chance - 5 * found.spread


def test_bad_input_is_named(weights):
    mask = weights > 0
    for call, said in {
        lambda: masks.principal(weights, 9, 0.5): "rank: 9; must be in 1 … 8",
        lambda: masks.principal(weights, 1.5, 0.5): "rank: 1.5; must be a share",
        lambda: masks.largest(weights, 1.5): "density: 1.5",
        lambda: masks.largest(weights, jnp.ones(3)): r"density: shape \(3,\); must be a number, or \(2, 3\)",
        lambda: masks.changed(weights, weights[0]): "w1: shape",
        lambda: masks.changed(weights, weights, "int8"): "how: 'int8'",
        lambda: masks.changed(weights, weights, ("squared", 1.0)): "how: 'squared'",
        lambda: masks.changed(weights, weights, ("absolute", -1.0)): "how: -1",
        lambda: masks.changed(weights, weights, stored="int8"): "dtype: 'int8'",
        lambda: masks.overlap(mask, mask[0]): "b: shape",
    }.items():
        with pytest.raises(ValueError, match=said):
            call()

"""Singular values, ranks and shares against numpy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ortho_group

from qra_jax.transformer.weights import spectra

pytestmark = pytest.mark.usefixtures("compiled_plainly")


def made(sigma, rows=6, cols=4, seed=0):
    """A matrix of these singular values."""
    rng = np.random.default_rng(seed)
    u, v = ortho_group.rvs(rows, random_state=rng), ortho_group.rvs(cols, random_state=rng)
    return jnp.asarray((u[:, : len(sigma)] * np.asarray(sigma)) @ v[: len(sigma)])


@pytest.fixture(scope="module")
def batch():
    return jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 6, 4)))


def test_known_singular_values():
    m = made([4.0, 2.0, 1.0, 0.0])
    np.testing.assert_allclose(spectra.singular_values(m), [4, 2, 1, 0], atol=1e-13)
    np.testing.assert_allclose(spectra.stable_rank(m), 21 / 16, rtol=1e-13)
    np.testing.assert_allclose(spectra.top_share(m), 4 / 21**0.5, rtol=1e-13)
    np.testing.assert_allclose(spectra.top_share(m, 2, "energy"), 20 / 21, rtol=1e-13)
    assert spectra.numerical_rank(m) == 3
    assert spectra.numerical_rank(m, 0.4) == 2
    np.testing.assert_allclose(spectra.stable_rank(jnp.eye(5)), 5)


def test_leading_axes_are_a_loop(batch):
    flat = np.asarray(batch).reshape(-1, 6, 4)
    sigma = np.stack([np.linalg.svd(m, compute_uv=False) for m in flat])
    for function, expected in {
        spectra.stable_rank: (sigma**2).sum(1) / sigma[:, 0] ** 2,
        spectra.numerical_rank: [np.linalg.matrix_rank(m) for m in flat],
        spectra.top_share: sigma[:, 0] / np.linalg.norm(flat, axis=(1, 2)),
    }.items():
        np.testing.assert_allclose(jax.jit(function)(batch).ravel(), expected, rtol=1e-12)


def test_scale_does_not_matter(batch):
    for scale in (1e-30, 1e30):
        small = (batch * scale).astype(jnp.float32)
        np.testing.assert_allclose(spectra.stable_rank(small), spectra.stable_rank(batch), rtol=1e-4)
        np.testing.assert_allclose(spectra.top_share(small), spectra.top_share(batch), rtol=1e-4)
        assert spectra.stable_rank(small).dtype == jnp.float32


def test_zeros_and_numbers_that_are_none():
    zero, broken = jnp.zeros((6, 4)), jnp.full((6, 4), jnp.nan)
    assert spectra.stable_rank(zero) == spectra.numerical_rank(zero) == 0
    assert spectra.top_share(zero) == 1
    assert spectra.numerical_rank(jnp.stack([zero, broken])).tolist() == [0, -1]
    assert jnp.isnan(spectra.stable_rank(broken))
    assert jnp.isnan(spectra.top_share(broken))


def test_rounding_errors_fill_the_rank():
    """Why a nearly full rank says nothing of an update that was stored in bfloat16."""
    base, direction = made(np.ones(4)), made([1.0], seed=1)
    exact = 1e-2 * direction
    stored = (base + exact).astype(jnp.bfloat16).astype(float) - base.astype(jnp.bfloat16).astype(float)
    assert spectra.numerical_rank(exact) == 1
    assert spectra.numerical_rank(stored) == 4


def test_bad_input_is_named():
    m = made([1.0])
    with pytest.raises(ValueError, match="k: 5; must be in 1 … 4, as matrices are 6 × 4"):
        spectra.top_share(m, 5)
    with pytest.raises(ValueError, match="k: 0"):
        spectra.top_share(m, 0)
    with pytest.raises(ValueError, match="of: 'power'"):
        spectra.top_share(m, 1, "power")
    with pytest.raises(ValueError, match="tolerance: -1"):
        spectra.numerical_rank(m, -1.0)

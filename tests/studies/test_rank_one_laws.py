"""What `rank-one` and `extrapolation` read and judge, against the library and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from qra_jax import transformer as tf
from qra_jax.studies.weights import _parts_of_updates as parts, _shares_of_gains as gains
from qra_jax.transformer import weights


@pytest.fixture(scope="module")
def pair():
    model = tf.Decoder(7, width=8, depth=1)
    return [tf.init(jax.random.key(seed), model) for seed in (0, 1)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (parts.FIRST, {}),
        (parts.SECOND, {"first": 1, "last": 2}),
        (parts.WITHOUT, {"first": 1, "last": None}),
        (parts.LAST, {"first": 7, "last": None}),
        (parts.WITH_REST, {"rest": "tuned"}),
        (parts.HALF_REST, {"last": 4, "scale": "own", "rest": "tuned"}),
    ],
)
def test_networks_are_those_of_the_library(pair, name, options):
    made, _ = parts.networks(jax.random.key(2), *pair)
    for own, other in zip(
        jax.tree.leaves(made[name]), jax.tree.leaves(weights.low_rank.rebuilt(*pair, **options)), strict=True
    ):
        np.testing.assert_allclose(own, other, atol=2e-5)


@pytest.mark.parametrize("name", parts.PARTS)
def test_parts_are_as_long_as_the_update(pair, name):
    made, _ = parts.networks(jax.random.key(2), *pair)
    lengths = [
        {n: jnp.linalg.norm(x) for n, x in weights.parts.select(weights.parts.update(pair[0], tuned)).items()}
        for tuned in (made[name], pair[1])
    ]
    for matrix, length in lengths[1].items():
        assert lengths[0][matrix] == pytest.approx(float(length), rel=1e-4)


def test_scaled_directions_follow_their_names(pair):
    made, scaled = parts.networks(jax.random.key(2), *pair)
    whole = parts.LAMBDAS.index(1.0)
    for i, name in enumerate(parts.DIRECTIONS):
        both = jax.tree.leaves(made[name]), jax.tree.leaves(scaled[i * len(parts.LAMBDAS) + whole])
        for own, other in zip(*both, strict=True):
            np.testing.assert_array_equal(own, other)


def test_share_of_all_bases_together_has_the_error_of_a_ratio():
    rng = np.random.default_rng(0)
    whole = xr.DataArray(1 + 0.1 * rng.standard_normal(400), dims="seed")
    part = 0.5 * whole + xr.DataArray(0.05 * rng.standard_normal(400), dims="seed")
    members = gains.members(part, whole)
    assert float(members.mean()) == pytest.approx(float(part.sum() / whole.sum()))
    drawn = [rng.integers(0, 400, 400) for _ in range(400)]
    scatter = np.std([float(part[i].sum() / whole[i].sum()) for i in drawn])
    assert float(members.std(ddof=1)) / 20 == pytest.approx(scatter, rel=0.15)


def test_share_without_bases_is_empty_and_of_nothing_unknown():
    none = xr.DataArray(np.zeros(0), dims="seed")
    assert gains.members(none, none).size == 0
    zero = xr.DataArray(np.zeros(3), dims="seed")
    assert bool(gains.members(zero, zero).isnull().all())

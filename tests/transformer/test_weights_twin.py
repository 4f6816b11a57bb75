"""The Gaussian twin: its norms, its statistics, and what rounding alone makes of it."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from qra_jax.transformer.weights import masks, parts, twin

pytestmark = pytest.mark.usefixtures("compiled_plainly")


@pytest.fixture(scope="module")
def pair():
    shapes = {"in_0": (4, 4), "attention_0/out": (4, 4), "embedding": (4, 4), "norm": (4,)}
    rng = np.random.default_rng(0)
    base = parts.grown({name: jnp.asarray(rng.normal(size=(3, *shape))) for name, shape in shapes.items()})
    moved = jax.tree.map(lambda x: x + 1e-2 * jnp.cos(x), base)
    return base, moved | {"embedding": base["embedding"]}


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-4)])
def test_twins_move_as_far_in_every_matrix_of_every_seed(pair, dtype, rtol):
    base, tuned = jax.tree.map(lambda x: x.astype(dtype), pair)
    found = twin.gaussian(jax.random.key(1), base, tuned)
    for tree in (found, jax.eval_shape(twin.gaussian, jax.random.key(1), base, tuned)):
        chex.assert_trees_all_equal_shapes_and_dtypes(tree, tuned)
    for name, (own, wanted) in parts.paired(parts.update(base, found), parts.update(base, tuned)).items():
        size = [np.linalg.norm(np.asarray(x).reshape(3, -1), axis=1) for x in (own, wanted)]
        np.testing.assert_allclose(*size, rtol=rtol)
        assert (name == "embedding") == bool(np.all(np.asarray(own) == 0))
    one = twin.gaussian(jax.random.key(1), base["in_0"]["kernel"], tuned["in_0"]["kernel"])
    assert one.shape == (3, 4, 4)


def test_twins_are_gaussian_and_know_nothing_of_the_update():
    base = jnp.asarray(np.random.default_rng(0).normal(size=(100, 20, 30)))
    tuned = base + 0.1 * jnp.sign(base)
    update = (twin.gaussian(jax.random.key(1), base, tuned) - base) / 0.1
    size = update.size
    assert abs(jnp.mean(update)) < 5 / size**0.5
    assert abs(jnp.mean(update * jnp.sign(base))) < 5 / size**0.5
    assert abs(jnp.mean(update**4) - 3) < 5 * (96 / size) ** 0.5 + 0.02
    np.testing.assert_allclose(jnp.mean(update**2), 1, rtol=1e-10)


def test_rounded_trees_keep_their_formats(pair):
    base, _ = pair
    chex.assert_trees_all_equal_shapes_and_dtypes(twin.rounded(base), base)
    chex.assert_trees_all_equal(twin.rounded(base, "float64"), base)
    with pytest.raises(ValueError, match="dtype: 'int8'"):
        twin.rounded(base, "int8")


def test_share_changed_in_bfloat16_is_a_matter_of_the_norm():
    """A weight on the grid of step u changes under a Gaussian of spread s with probability 2 Φ(−u/2s)."""
    base = twin.rounded(jnp.asarray(np.random.default_rng(0).uniform(0.017, 0.029, (200, 300)), jnp.float32))
    step = 2.0**-13  # of bfloat16 between 2⁻⁶ and 2⁻⁵
    shares = []
    for spread in (1e-5, 3e-5, 1e-4):
        tuned = base + np.float32(spread)
        found = twin.gaussian(jax.random.key(1), base, tuned)
        share = float(jnp.mean(masks.changed(base, found)))
        expected = 2 * norm.cdf(-step / 2 / spread)
        assert abs(share - expected) < 5 * (expected * (1 - expected) / base.size) ** 0.5 + 1e-6
        low = twin.gaussian(jax.random.key(1), *(twin.stored(x, "bfloat16") for x in (base, found)))
        assert low.dtype == jnp.bfloat16
        shares.append(share)
    assert shares[0] < shares[1] < shares[2]


def test_small_weights_change_first_without_any_training():
    """The null of "updates sit on small weights and avoid the principal ones": arXiv 2511.08567."""
    base = twin.rounded(jnp.asarray(0.02 * np.random.default_rng(2).normal(size=(100, 120)), jnp.float32))
    changed = masks.changed(base, twin.gaussian(jax.random.key(3), base, base + np.float32(3e-5)))
    small = masks.overlap(changed, masks.low_magnitude(base, 0.5))
    large = masks.overlap(changed, masks.principal(base, 0.1, 0.5))
    assert small.value > small.chance + 5 * small.spread
    assert large.value < large.chance - 5 * large.spread


def test_bad_input_is_named(pair):
    base, tuned = pair
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="tuned: in_0 in only one"):
        twin.gaussian(key, base, {name: x for name, x in tuned.items() if name != "in_0"})
    with pytest.raises(ValueError, match=r"tuned: shape \(2, 2\)"):
        twin.gaussian(key, jnp.ones((2, 3)), jnp.ones((2, 2)))
    with pytest.raises(ValueError, match=r"base: shape \(3,\)"):
        twin.gaussian(key, jnp.ones(3), jnp.ones(3))

"""Networks rebuilt from directions of their update, against numpy and closed forms."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax.transformer.weights import low_rank, parts

pytestmark = pytest.mark.usefixtures("compiled_plainly")


def norms(m):
    return np.linalg.norm(np.asarray(m, float), axis=(-2, -1))


@pytest.fixture(scope="module")
def delta():
    return jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 4)))


@pytest.fixture(scope="module")
def pair():
    names = {"in_0": (6, 4), "out_0": (6, 4), "attention_0/out": (6, 4), "unembedding": (6, 4), "norm": (4,)}
    rng = np.random.default_rng(1)
    made = lambda: {name: jnp.asarray(rng.normal(size=(2, *shape))) for name, shape in names.items()}  # noqa: E731
    base, tuned = parts.grown(made()), parts.grown(made())
    return base, tuned


def test_parts_are_those_of_numpy_and_add_up(delta):
    u, sigma, v = np.linalg.svd(np.asarray(delta), full_matrices=False)
    second = np.stack([s[1] * np.outer(a[:, 1], b[1]) for a, s, b in zip(u, sigma, v, strict=True)])
    np.testing.assert_allclose(jax.jit(low_rank.part, static_argnums=(1, 2))(delta, 1, 2), second, atol=1e-12)
    np.testing.assert_allclose(low_rank.part(delta, 0, None), delta, atol=1e-12)
    np.testing.assert_allclose(low_rank.part(delta) + low_rank.part(delta, 1, None), delta, atol=1e-12)
    for k in (1, 2, 4):
        expected = np.sqrt((sigma**2).sum(1) / (sigma[:, :k] ** 2).sum(1))
        np.testing.assert_allclose(low_rank.alpha(delta, k), expected, rtol=1e-12)


def test_what_an_update_lacks_stays_zero():
    m = np.zeros((3, 6, 4))
    m[0], m[1, 0, 0] = np.outer(np.arange(1.0, 7), np.ones(4)), 1e-30
    assert jnp.all(low_rank.part(jnp.asarray(m), 1, None) == 0)
    np.testing.assert_allclose(low_rank.alpha(jnp.asarray(m)), [1, 1, 1], rtol=1e-14)
    random = low_rank.random_part(jax.random.key(0), jnp.asarray(m), 2)
    np.testing.assert_allclose(norms(random), norms(m), rtol=1e-12)


def test_random_parts_have_norm_and_spectrum_of_the_update(delta):
    random = low_rank.random_part(jax.random.key(0), delta, 2)
    sigma = np.linalg.svd(np.asarray(random), compute_uv=False)
    wanted = np.linalg.svd(np.asarray(delta), compute_uv=False)
    np.testing.assert_allclose(norms(random), norms(delta), rtol=1e-12)
    np.testing.assert_allclose(sigma[:, 2:], 0, atol=1e-12)
    np.testing.assert_allclose(sigma[:, 1] / sigma[:, 0], wanted[:, 1] / wanted[:, 0], rtol=1e-12)


def test_random_directions_agree_with_those_of_the_update_by_chance():
    delta = jnp.broadcast_to(jnp.asarray(np.random.default_rng(2).normal(size=(6, 4))), (1000, 6, 4))
    random = low_rank.random_part(jax.random.key(3), delta)
    cosine = np.sum(np.asarray(random * delta), axis=(1, 2)) / norms(delta) ** 2
    for power, chance in ((1, 0.0), (2, low_rank.alpha(delta[0], 4) ** -2 / 24)):
        values = cosine**power
        assert abs(values.mean() - chance) < 5 * values.std() / 1000**0.5


@pytest.mark.parametrize(
    ("options", "first", "last"),
    [({}, 0, 1), ({"first": 1, "last": 2}, 1, 2), ({"first": 1, "last": None}, 1, 4)],
)
def test_rebuilt_matrices_move_as_far_as_the_tuned(pair, options, first, last):
    base, tuned = pair
    new = low_rank.rebuilt(base, tuned, **options)
    step, whole = parts.flat(parts.update(base, new)), parts.flat(parts.update(base, tuned))
    for name in ("in_0", "out_0", "attention_0/out"):
        u, sigma, v = np.linalg.svd(np.asarray(whole[name]), full_matrices=False)
        part = (u[..., first:last] * sigma[:, None, first:last]) @ v[:, first:last]
        expected = part * (norms(whole[name]) / norms(part))[:, None, None]
        np.testing.assert_allclose(step[name], expected, atol=1e-12)
    for name in ("norm", "unembedding"):
        assert jnp.all(step[name] == 0)


def test_scales_and_rest(pair):
    base, tuned = pair
    step = lambda **o: parts.flat(parts.update(base, low_rank.rebuilt(base, tuned, **o)))["in_0"]  # noqa: E731
    own, whole = step(scale="own"), step()
    np.testing.assert_allclose(
        own * low_rank.alpha(parts.flat(parts.update(base, tuned))["in_0"])[:, None, None], whole
    )
    np.testing.assert_allclose(step(scale=0.7), 0.7 * whole, atol=1e-12)
    swept = jax.jit(jax.vmap(lambda s: parts.flat(low_rank.rebuilt(base, tuned, scale=s))["in_0"]))(
        jnp.array([0.0, 1])
    )
    np.testing.assert_allclose(swept[0], parts.flat(base)["in_0"])
    np.testing.assert_allclose(swept[1] - swept[0], whole, atol=1e-12)
    full = low_rank.rebuilt(
        base, tuned, last=None, kinds=("attention", "perceptron", "unembedding"), rest="tuned"
    )
    chex.assert_trees_all_close(full, tuned, atol=1e-12)


def test_random_rebuilding_has_the_norms_and_formats_of_the_first_directions(pair):
    base, tuned = pair
    for scale in ("norm", "own", 0.5):
        old = low_rank.rebuilt(base, tuned, scale=scale)
        new = low_rank.rebuilt_at_random(jax.random.key(0), base, tuned, scale=scale)
        chex.assert_trees_all_equal_shapes_and_dtypes(old, new)
        for name, m in parts.select(parts.update(base, new)).items():
            np.testing.assert_allclose(norms(m), norms(parts.flat(parts.update(base, old))[name]), rtol=1e-10)
    same = low_rank.rebuilt_at_random(jax.random.key(0), base, base)
    chex.assert_trees_all_equal(same, base)
    chex.assert_trees_all_equal(low_rank.rebuilt(base, base, first=1, last=2), base)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rebuilt_networks_are_stored_as_the_tuned(pair, dtype):
    base, tuned = ({"in_0": jax.tree.map(lambda x: x.astype(dtype), params["in_0"])} for params in pair)
    new = low_rank.rebuilt(base, tuned, last=None)
    chex.assert_trees_all_equal_dtypes(new, tuned)
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(
        *(np.asarray(x["in_0"]["kernel"], float) for x in (new, tuned)), rtol=eps, atol=1e-5
    )


def test_bad_input_is_named(pair, delta):
    for call, said in {
        lambda: low_rank.part(delta, 0, 5): "last: 5; must be in 1 … 4",
        lambda: low_rank.part(delta, 2, 2): "first: 2; must be in 0 … 1",
        lambda: low_rank.alpha(delta, 5): "k: 5",
        lambda: low_rank.random_part(jax.random.key(0), delta, 5): "k: 5",
        lambda: low_rank.rebuilt(*pair, scale="half"): "scale: 'half'",
        lambda: low_rank.rebuilt(*pair, scale=jnp.ones(2)): "scale: shape",
        lambda: low_rank.rebuilt(*pair, rest="none"): "rest: 'none'",
        lambda: low_rank.rebuilt(*pair, kinds="norm"): "kinds: 'norm'",
    }.items():
        with pytest.raises(ValueError, match=said):
            call()


def test_random_directions_have_no_sign_of_their_own():
    """Every entry of a random direction has mean zero: LAPACK's QR alone gives the first coordinate one sign."""
    draw = jax.vmap(lambda key: low_rank.random_part(key, jnp.ones((4, 3))))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(1), 400)))
    assert (np.abs(drawn.mean(axis=0)) < 5 * drawn.std(axis=0) / np.sqrt(400)).all()

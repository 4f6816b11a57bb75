"""Linearity of a path, against the definitions and against what random walks and white noise give."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax.transformer.weights import linearity, pls

pytestmark = pytest.mark.usefixtures("compiled_plainly")

KEY = jax.random.key(0)
DRAW = np.random.default_rng(0).normal


def test_r2_is_a_squared_correlation_and_zero_for_what_rests():
    steps = np.array([0, 1, 5, 9])
    values = DRAW(size=(4, 2, 3))
    values[:, 0, 0] = 0.3
    fit = linearity.r2(jnp.asarray(values), jnp.asarray(steps))
    for i, j in np.ndindex(2, 3):
        expected = 0 if i == j == 0 else np.corrcoef(values[:, i, j], steps)[0, 1] ** 2
        np.testing.assert_allclose(fit[i, j], expected, atol=1e-12)
    low = linearity.r2(jnp.asarray(values, jnp.float32), jnp.asarray(steps))
    assert low.dtype == jnp.float32
    assert low[0, 0] == 0
    np.testing.assert_allclose(low, fit, atol=1e-5)


def test_share_of_linear_weights_of_those_that_move():
    steps = jnp.arange(5)
    path = {"a": jnp.stack([0.1 * steps, steps % 2, jnp.ones(5)], axis=1), "b": 1e-6 * steps[:, None] + 7.0}
    every = linearity.linearity(path, steps)
    np.testing.assert_allclose([every.share, every.moved], [2 / 3, 3 / 4])
    np.testing.assert_allclose(every.mean, 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(linearity.linearity(path, steps, change=1e-4).share, 1 / 2)
    still = linearity.linearity({"a": jnp.ones((5, 2))}, steps)
    np.testing.assert_array_equal(still, 0.0)


def test_first_direction_is_that_of_the_singular_values():
    updates, steps = DRAW(size=(6, 20)), jnp.arange(1, 7)
    for centred in (False, True):
        matrix = updates - updates.mean(0) if centred else updates
        left, values, _ = np.linalg.svd(matrix, full_matrices=False)
        found = linearity.direction(linearity.gram(jnp.asarray(updates)), steps, centred=centred)
        np.testing.assert_allclose(found.energy, values[0] ** 2 / np.sum(values**2))
        first = left[:, 0] * values[0] * np.sign(left[-1, 0])
        np.testing.assert_allclose(found.coefficient, first, atol=1e-10)
        np.testing.assert_allclose(found.r2, np.corrcoef(first, steps)[0, 1] ** 2)


def test_a_random_walk_of_75_steps_looks_like_a_straight_line():
    """K: energy .81, R² .956. The limit of infinitely many weights is exact: .811 and .958."""
    steps = jnp.arange(1, 76)
    limit = linearity.direction(linearity.walk_covariance(steps), steps)
    np.testing.assert_allclose([limit.energy, limit.r2], [0.8106, 0.9582], atol=1e-4)
    np.testing.assert_allclose(limit.energy, 8 / np.pi**2, atol=1e-3)
    walks = jax.vmap(lambda k: linearity.gram(linearity.random_walk(k, jnp.arange(76), (20_000,))[1:]))
    found = jax.vmap(lambda g: linearity.direction(g, steps))(walks(jax.random.split(KEY, 2)))
    np.testing.assert_allclose(found.energy, limit.energy, atol=0.012)
    np.testing.assert_allclose(found.r2, limit.r2, atol=0.01)


def test_a_quarter_of_scalar_random_walks_is_linear():
    """K: 26 % above R² = .7, whatever their length."""

    @partial(jax.jit, static_argnums=0)
    def share(times):
        walk = linearity.random_walk(KEY, jnp.arange(times), (60_000,))
        return linearity.linearity({"w": walk}, jnp.arange(times)).share

    assert 0.255 < share(14) < 0.275
    assert 0.25 < share(75) < 0.265


def test_walks_take_steps_as_long_as_the_gaps():
    steps = jnp.array([0, 1, 5, 21])
    walk = linearity.random_walk(KEY, steps, (50_000,))
    assert np.all(walk[0] == 0)
    np.testing.assert_allclose(
        linearity.gram(walk[1:]) / 50_000, linearity.walk_covariance(steps[1:]), rtol=0.04
    )


def _by_hand(x, y, standardised):
    """NIPALS, as scikit-learn's PLSRegression, and the line of y on the component."""
    centre, spread = x.mean(0), x.std(0, ddof=1) if standardised else np.ones(x.shape[1])
    x = (x - centre) / spread
    weights = x.T @ (y - y.mean())
    weights /= np.linalg.norm(weights)
    component = x @ weights
    loading = x.T @ component / (component @ component)
    slope, start = np.polyfit(component, y, 1)
    fit = np.corrcoef(component, y)[0, 1] ** 2
    return fit, lambda goal: centre + spread * loading * (goal - start) / slope


@pytest.mark.parametrize("standardised", [True, False])
def test_regression_is_partial_least_squares(standardised):
    x, y = DRAW(size=(7, 5)), DRAW(size=7)
    fit, inverse = _by_hand(x, y, standardised)
    found = pls.regression(jnp.asarray(x), jnp.asarray(y), standardised=standardised)
    np.testing.assert_allclose(found.r2, fit)
    np.testing.assert_allclose(found.at(1.7), inverse(1.7))
    flat = pls.regression(jnp.asarray(x), jnp.ones(7), standardised=standardised)
    assert flat.r2 == 0
    np.testing.assert_allclose(flat.at(3.0), x.mean(0))


@partial(jax.jit, static_argnums=2)
def _mean_r2(vectors, accuracy, standardised):
    one = lambda x: pls.regression(x, accuracy, standardised=standardised).r2  # noqa: E731
    return jnp.mean(jax.vmap(one)(vectors))


def test_regression_fits_white_noise():
    """K: R² .995 on white noise, at 27 checkpoints; that takes vectors of about 5000: (D + 2)/(D + 27)."""
    noise = jax.random.normal(KEY, (8, 27, 5000))
    line = jnp.arange(27.0)
    for standardised in (True, False):
        np.testing.assert_allclose(_mean_r2(noise, line, standardised), 0.995, atol=0.0015)
    np.testing.assert_allclose(pls.noise_r2(27, 5000), 0.995, atol=1e-4)
    short = jax.random.normal(KEY, (100, 27, 64))
    np.testing.assert_allclose(_mean_r2(short, line, False), pls.noise_r2(27, 64), atol=0.02)


def test_regression_fits_random_walks():
    """K: R² .976 on random walks. It depends on the accuracy: .988 where it rises by equal amounts, less elsewhere."""
    steps = jnp.arange(1, 28)
    limit = linearity.walk_covariance(steps)
    curves = {"line": steps / 27, "bent": 1 - jnp.exp(-steps / 27), "sharp": 1 - jnp.exp(-3 * steps / 27)}
    exact = {name: float(pls.limit_r2(limit, y)) for name, y in curves.items()}
    np.testing.assert_allclose(
        [exact["line"], exact["bent"], exact["sharp"]], [0.988, 0.972, 0.90], atol=0.006
    )
    walks = jax.vmap(lambda k: linearity.random_walk(k, jnp.arange(28), (5000,))[1:])(
        jax.random.split(KEY, 4)
    )
    for name, y in curves.items():
        np.testing.assert_allclose(_mean_r2(walks, y, False), exact[name], atol=0.02)
        assert 0.9 < _mean_r2(walks, y, True) < 0.995


def test_output_vectors_are_aligned_and_rebuild_the_first_part():
    updates = jnp.asarray(DRAW(size=(5, 4, 3)) * 0.3 + np.arange(1, 6)[:, None, None])
    into, out = pls.first_triplet(updates)
    left, values, right = np.linalg.svd(updates)
    for t in range(5):
        first = values[t, 0] * np.outer(left[t, :, 0], right[t, 0])
        np.testing.assert_allclose(np.outer(into[t], out[t]), first, atol=1e-12)
    assert np.all(np.sum(np.asarray(out[1:] * out[:-1]), axis=-1) > 0)
    turned = pls.output_vectors(updates * jnp.array([1.0, -1, 1, 1, -1])[:, None, None])
    np.testing.assert_allclose(np.abs(turned), np.abs(out), atol=1e-12)
    assert np.all(np.sum(np.asarray(turned[1:] * turned[:-1]), axis=-1) > 0)


def test_measures_of_a_straight_run_and_its_nulls():
    shapes = {"attention_0/out": (9, 8), "in_0": (6, 24)}
    steps = jnp.arange(0, 90, 10)
    path = {
        n: jnp.asarray(DRAW(size=s) + DRAW(size=s) * np.arange(9)[:, None, None]) for n, s in shapes.items()
    }
    path["norm"] = jnp.ones((9, 5))
    measured = jax.jit(
        lambda p: (linearity.measures(p, steps, steps / 100), linearity.nulls(KEY, p, steps, steps / 100))
    )
    seeds = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), path)
    found, nulls = jax.vmap(measured)(seeds)
    np.testing.assert_allclose(jnp.stack(found[:4]), 1.0, rtol=1e-6)
    walk, noise, shuffled = (nulls[name] for name in ("random walk", "white noise", "permuted steps"))
    assert np.all((walk.share > 0.1) & (walk.share < 0.5) & (walk.energy > 0.7))
    assert np.all((noise.share < 0.1) & (noise.energy < 0.5) & (noise.line < walk.line))
    assert np.all((shuffled.share == shuffled.share[0]) & (shuffled.line < 0.8))
    np.testing.assert_allclose(shuffled.energy, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linearity.r2(jnp.ones((1, 2)), jnp.ones(1)), "steps: shape"),
        (lambda: linearity.r2(jnp.ones((3, 2)), jnp.ones(4)), "steps: shape .4,.; must be .3,."),
        (lambda: linearity.linearity({"a": jnp.ones((3, 2))}, jnp.arange(3), above=2.0), "above"),
        (lambda: pls.regression(jnp.ones((3, 2)), jnp.ones(2)), "accuracy: shape"),
        (lambda: pls.noise_r2(1, 5), "times: 1"),
        (lambda: linearity.measures({"norm": jnp.ones((3, 2))}, jnp.arange(3), jnp.ones(3)), "kinds"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

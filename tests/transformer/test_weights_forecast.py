"""Extrapolators: exact where their assumption holds, as their papers' code where it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax.transformer.weights import forecast, pls

pytestmark = pytest.mark.usefixtures("compiled_plainly")

DRAW = np.random.default_rng(0).normal
STEPS = np.array([0, 2, 3, 5, 8, 10, 20])
ACCURACY = STEPS / 40 + 0.1
SHAPES = {"attention_0": {"out": {"kernel": (4, 4)}}, "in_0": {"kernel": (4, 6)}, "norm": {"scale": (4,)}}


def _tree(make):
    return jax.tree.map(lambda s: jnp.asarray(make(s)), SHAPES, is_leaf=lambda s: isinstance(s, tuple))


def _straight(shape):
    """A rank-one update, so that all linear extrapolators are to find it."""
    base = DRAW(size=shape)
    way = np.outer(DRAW(size=shape[0]), DRAW(size=shape[1])) if len(shape) == 2 else DRAW(size=shape)
    return base + STEPS.reshape(-1, *(1,) * len(shape)) * way


STRAIGHT = _tree(_straight)
WALK = _tree(lambda s: DRAW(size=s) + np.cumsum(DRAW(size=(7, *s)), axis=0))


def test_a_straight_line_is_gone_on_with():

    @jax.jit
    def every(path):
        exact = ("chord", "line", "relex", "pls", "alpha_rl_base", "alpha_rl_scaled")
        table = forecast.EXTRAPOLATORS
        return {name: forecast.held_out(table[name], path, STEPS, ACCURACY, 4) for name in exact}

    for name, guess in every(STRAIGHT).items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(guess):
            there = dict(jax.tree_util.tree_leaves_with_path(STRAIGHT))[path]
            resting = "norm" in jax.tree_util.keystr(path)
            if name == "chord" and resting:
                there = jnp.repeat(there[3:4], 7, axis=0)
            if name.startswith("alpha") and resting:
                there = jnp.repeat(there[:1], 7, axis=0)
            np.testing.assert_allclose(leaf, there[4:], rtol=1e-6, atol=1e-8, err_msg=name)


def test_error_is_in_units_of_standing_still():
    held = forecast.held_out(forecast.hold_last, WALK, STEPS, ACCURACY, 4)
    np.testing.assert_allclose(forecast.error(held, WALK), 1.0)
    np.testing.assert_allclose(forecast.error(jax.tree.map(lambda x: x[4:], WALK), WALK), 0.0)
    base = jax.tree.map(lambda x: jnp.repeat(x[3:4], 3, axis=0), WALK)
    farther = jax.tree.map(lambda b, w: b - 2 * (w[4:] - b), base, WALK)
    np.testing.assert_allclose(forecast.error(farther, WALK), 3.0)
    still = {"in_0": jnp.ones((3, 2, 2))}
    assert forecast.error({"in_0": jnp.ones((1, 2, 2))}, still)[0] == 1
    assert forecast.error({"in_0": jnp.zeros((1, 2, 2))}, still)[0] == jnp.inf


def _seen(extrapolate, at=30, path=WALK, accuracy=ACCURACY):
    return extrapolate(path, STEPS, accuracy, at)["in_0"]["kernel"]


def test_definitions_by_hand():
    walk = np.asarray(WALK["in_0"]["kernel"])
    np.testing.assert_array_equal(_seen(forecast.hold_last), walk[-1])
    np.testing.assert_allclose(_seen(forecast.expo(0.3)), walk[-1] + 0.3 * (walk[-1] - walk[0]))
    np.testing.assert_allclose(_seen(forecast.chord), walk[0] + 1.5 * (walk[-1] - walk[0]))
    slope, start = np.polyfit(STEPS, walk.reshape(7, -1), 1)
    np.testing.assert_allclose(_seen(forecast.line), (start + 30 * slope).reshape(4, 6))


@pytest.mark.parametrize("rank", [1, 2, 6])
def test_relex_by_hand(rank):
    walk = np.asarray(WALK["in_0"]["kernel"])
    updates = (walk[1:] - walk[0]).reshape(6, -1)
    left, values, right = np.linalg.svd(updates, full_matrices=False)
    slope, start = np.polyfit(STEPS[1:], left[:, :rank] * values[:rank], 1)
    expected = walk[0] + ((start + 30 * slope) @ right[:rank]).reshape(4, 6)
    np.testing.assert_allclose(_seen(forecast.relex(rank)), expected, rtol=1e-7)


def test_variants_of_alpha_rl_by_hand():
    """The paper's kernels are `[out, in]`: everything transposed."""
    walk = np.asarray(WALK["in_0"]["kernel"])
    updates = np.swapaxes(walk[1:] - walk[0], 1, 2)
    left, values, right = np.linalg.svd(updates)
    vectors, last = [], None
    for t in range(5, -1, -1):  # the release compares with the next one, from the last backwards
        u = left[t, :, 0] * values[t, 0]
        u = u if last is None or u @ last >= 0 else -u
        vectors, last = [u, *vectors], u
    ahead = pls.regression(jnp.asarray(np.stack(vectors)), jnp.asarray(ACCURACY[1:])).at(0.7)
    change = np.outer(ahead, right[5, 0]).T
    make = lambda v, **options: _seen(forecast.alpha_rl(v, target=0.7, **options))  # noqa: E731
    np.testing.assert_allclose(make("base"), walk[0] + change)
    np.testing.assert_allclose(make("checkpoint"), walk[-1] + change)
    alpha = np.linalg.norm(updates[-1]) / values[5, 0]
    np.testing.assert_allclose(make("scaled", scale=0.5), walk[0] + 0.5 * alpha * change)
    np.testing.assert_allclose(make("base", kinds="attention", rest="last"), walk[-1])


def test_the_released_variant_adds_the_first_direction_twice():
    """On a straight line, at the accuracy it has reached: W₁ + ΔW₁ and not W₁."""
    guess = _seen(forecast.alpha_rl("checkpoint", target=float(ACCURACY[-1])), path=STRAIGHT)
    leaf = STRAIGHT["in_0"]["kernel"]
    np.testing.assert_allclose(guess, leaf[-1] + (leaf[-1] - leaf[0]), rtol=1e-9)


def test_the_target_is_the_line_of_the_accuracy_below_its_ceiling():
    near = _seen(forecast.alpha_rl("base"), at=24)  # .1 + 24/40 = .7
    np.testing.assert_allclose(near, _seen(forecast.alpha_rl("base", target=0.7)), rtol=1e-9)
    for make in (lambda **o: forecast.alpha_rl("base", **o), forecast.pls):
        np.testing.assert_allclose(_seen(make(), at=900), _seen(make(target=1.0)), rtol=1e-9)


def test_an_accuracy_that_rests_moves_nothing_and_weights_that_rest_stay():
    rest = jax.tree.map(lambda x: jnp.repeat(x[:1], 7, axis=0), WALK)
    for name, extrapolate in forecast.EXTRAPOLATORS.items():
        flat = _seen(extrapolate, accuracy=np.full(7, 0.3))
        assert np.all(np.isfinite(flat)), name
        np.testing.assert_allclose(_seen(extrapolate, path=rest), rest["in_0"]["kernel"][0], err_msg=name)


def test_seeds_side_by_side_compiled_and_in_float32():
    seeds = jax.tree.map(lambda *x: jnp.stack(x).astype(jnp.float32), STRAIGHT, WALK)

    @jax.jit
    def every(path, accuracy, at):
        one = lambda f: jax.vmap(f, in_axes=(0, None, 0, None))(path, jnp.asarray(STEPS), accuracy, at)  # noqa: E731
        return {name: one(f) for name, f in forecast.EXTRAPOLATORS.items()}

    found = every(seeds, jnp.asarray([ACCURACY, ACCURACY**2]), 30)
    for name, extrapolate in forecast.EXTRAPOLATORS.items():
        alone = extrapolate(WALK, STEPS, ACCURACY**2, 30)
        for a, b in zip(jax.tree.leaves(found[name]), jax.tree.leaves(alone), strict=True):
            assert a.dtype == jnp.float32
            np.testing.assert_allclose(a[1], b, rtol=1e-3, atol=1e-3, err_msg=name)


def test_a_bare_matrix_is_one():
    walk = WALK["in_0"]["kernel"]
    for extrapolate in forecast.EXTRAPOLATORS.values():
        np.testing.assert_allclose(extrapolate(walk, STEPS, ACCURACY, 30), _seen(extrapolate))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: forecast.expo(-1.0), "alpha: -1"),
        (lambda: forecast.relex(0), "rank: 0"),
        (lambda: forecast.alpha_rl("base", kinds="norm"), "kinds: 'norm'"),
        (lambda: forecast.alpha_rl("base", scale=-1.0), "scale: -1"),
        (lambda: forecast.line(WALK, STEPS[:3], ACCURACY, 5), "steps: shape"),
        (lambda: forecast.relex()(jnp.ones((2, 3)), STEPS[:2], ACCURACY[:2], 5), "3 or more"),
        (
            lambda: forecast.alpha_rl()({"head": jnp.ones((3, 2, 2))}, STEPS[:3], ACCURACY[:3], 5),
            "path: 'head'",
        ),
        (lambda: forecast.held_out(forecast.line, WALK, STEPS, ACCURACY, 7), "seen: 7; must be below"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

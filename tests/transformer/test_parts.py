"""Training in parts: what rests does not move at all, changes keep their rank, norms go back."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qra_jax as qra
from qra_jax import transformer
from qra_jax.problem import stack
from qra_jax.transformer import model as network, parts
from qra_jax.transformer.weights.parts import KINDS

pytestmark = pytest.mark.usefixtures("compiled_plainly")
MODEL = transformer.Decoder(
    7, width=4, depth=1, heads=1, hidden=2, dtype=jnp.float64, param_dtype=jnp.float64
)


@pytest.fixture(scope="module")
def params():
    return network.init(jax.random.key(0), MODEL)


def _slopes(params, seed=1):
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(random.standard_normal(x.shape)), params)


def _steps(optimizer, params, number=3):
    @jax.jit
    def run(params):
        state = optimizer.init(params)
        for i in range(number):
            change, state = optimizer.update(_slopes(params, i), state, params)
            params = optax.apply_updates(params, change)
        return params

    return run(params)


def _moved(before, after):
    flat = jax.tree_util.tree_leaves_with_path(
        jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before, after)
    )
    return {jax.tree_util.keystr(path, simple=True, separator="/") for path, moved in flat if moved}


def test_only_chosen_parts_move(params):
    adam = optax.adamw(0.1, weight_decay=0.1)
    assert _moved(params, _steps(parts.only(adam, ("unembedding",)), params)) == {"unembedding/kernel"}
    rest = parts.only(adam, lambda path: not path.startswith("unembedding"))
    assert "unembedding/kernel" not in _moved(params, _steps(rest, params))
    assert len(_moved(params, _steps(parts.only(adam, KINDS), params))) == len(jax.tree.leaves(params))


def test_what_moves_does_so_as_without_the_rest(params):
    alone, all_of = (
        _steps(o, params) for o in (parts.only(optax.adam(0.1), ("attention",)), optax.adam(0.1))
    )
    pair = (tree["attention_0"]["qkv"]["kernel"] for tree in (alone, all_of))
    np.testing.assert_allclose(*pair, rtol=1e-12, atol=1e-15)


def test_clipping_by_the_whole_norm_sees_only_what_trains(params):
    clipped = optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(1.0))
    after = _steps(parts.only(clipped, ("unembedding",)), params, 1)
    change = after["unembedding"]["kernel"] - params["unembedding"]["kernel"]
    np.testing.assert_allclose(jnp.linalg.norm(change), 1e-3, rtol=1e-9)


def test_masks_may_be_traced(params):
    @jax.jit
    def run(share):
        masks = jax.tree.map(lambda x: jnp.abs(x) > share, params)
        return _steps(parts.masked(optax.adamw(0.1), masks), params), masks

    after, masks = run(0.5)
    for old, new, mask in zip(*map(jax.tree.leaves, (params, after, masks)), strict=True):
        np.testing.assert_array_equal(new != old, mask)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_changes_keep_their_rank(params, rank):
    kinds = ("attention", "perceptron")
    after = jax.jit(lambda r: _steps(parts.rank_constrained(optax.adam(0.1), r), params))(jnp.asarray(rank))
    for old, new, here in zip(
        *map(jax.tree.leaves, (params, after, parts.chosen(params, kinds))), strict=True
    ):
        if here:
            assert np.linalg.matrix_rank(np.asarray(new - old), tol=1e-10) == rank
        else:
            assert np.abs(new - old).max() > 0.1


def test_full_rank_is_no_constraint(params):
    free, kept = (_steps(o, params) for o in (optax.sgd(0.1), parts.rank_constrained(optax.sgd(0.1), 99)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), free, kept)


def test_rank_of_many_matrices_at_once():
    matrix = jax.random.normal(jax.random.key(0), (3, 5, 4))
    cut = parts.truncated(matrix, 2)
    left, values, right = np.linalg.svd(matrix)
    values[:, 2:] = 0
    np.testing.assert_allclose(cut, (left[..., :4] * values[:, None]) @ right, atol=1e-12)


def test_norms_go_back(params):
    other = jax.tree.map(lambda x: 3.0 * x, params)
    back = parts.rescaled(other, params)
    assert _moved(other, back) == {"unembedding/kernel"}
    np.testing.assert_allclose(back["unembedding"]["kernel"], params["unembedding"]["kernel"], rtol=1e-12)
    many = jax.tree.map(lambda a, b: jnp.stack([a, b]), params, other)
    both = parts.rescaled(many, jax.tree.map(lambda x: jnp.stack([x, x]), params), ("perceptron",))
    np.testing.assert_allclose(both["in_0"]["kernel"][1], params["in_0"]["kernel"], rtol=1e-12)
    zero = jax.tree.map(jnp.zeros_like, params)
    np.testing.assert_array_equal(parts.rescaled(zero, params)["unembedding"]["kernel"], 0.0)


def _two_stages_by_hand(params, optimizer, first, last, rescale):
    """Stage one, rescaling, and a second stage of an optimiser that starts afresh."""
    for begin, end, which in ((0, first, ("unembedding",)), (first, last, KINDS)):
        now = parts.only(optimizer, which)
        state = now.init(params)
        start = params
        for i in range(begin, end):
            change, state = now.update(_slopes(params, i), state, params)
            params = optax.apply_updates(params, change)
        if rescale and begin == 0:
            params = parts.rescaled(params, start)
    return params


@pytest.mark.parametrize("rescale", [False, True])
def test_two_stages(params, rescale):
    run = jax.jit(lambda first, r: _steps(parts.staged(optax.adam(0.1), first, rescale=r), params, 4))
    together = run(jnp.asarray(2), jnp.asarray(rescale))
    by_hand = _two_stages_by_hand(params, optax.adam(0.1), 2, 4, rescale)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), together, by_hand)


def test_two_stages_without_a_first_one_are_plain_training(params):
    plain = _steps(optax.adam(0.1), params)
    for settings in ({"first": 0}, {"first": 2, "alone": False, "restart": False}):
        staged = _steps(parts.staged(optax.adam(0.1), **settings), params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=0), plain, staged)


def test_a_run_of_reinforcement_learning():
    task = transformer.controlled(
        stack([qra.Problem.from_probs(ref=[0.5, 0.5], success=[0.9, 0.1])] * 2), digits=1
    )
    model = transformer.Decoder(task.vocabulary, width=4, depth=1, heads=1, hidden=1)
    base = network.init(jax.random.key(0), model)
    run = transformer.train(
        jax.random.key(1),
        model,
        base,
        task,
        algorithm=qra.grpo(4),
        steps=2,
        questions=2,
        learning_rate=0.1,
        optimizer=lambda rate: parts.only(optax.adam(rate), ("unembedding",)),
    )
    assert _moved(base, run.params) <= {"unembedding/kernel"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: parts.chosen(p, ["head"]), "kinds: 'head'"),
        (lambda p: parts.chosen(p, lambda path: False), "must name parts that the parameters have"),
        (lambda p: parts.rank_constrained(optax.sgd(0.1), -1), "rank: -1"),
        (lambda p: parts.rank_constrained(optax.sgd(0.1), 1, ("norm",)), "kinds: 'norm'"),
        (lambda p: parts.rescaled(p, p, ("norm",)), "kinds: 'norm'"),
        (lambda p: parts.staged(optax.sgd(0.1), -1), "first: -1"),
    ],
)
def test_bad_input(params, call, message):
    with pytest.raises(ValueError, match=message):
        call(params)

"""The logit kernel: R + G is all of it, and it predicts what a small step changes elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import transformer
from qra_jax.transformer import kernel, model as network, rl
from qra_jax.transformer.kernel import Contexts, FixedFeedback, alike
from qra_jax.transformer.sampling import Questions

pytestmark = pytest.mark.usefixtures("compiled_plainly")
VOCABULARY = 6
MODEL = transformer.Decoder(VOCABULARY, width=8, depth=1, heads=2, hidden=2)
WIDE = transformer.Decoder(
    VOCABULARY, width=8, depth=1, heads=2, hidden=2, dtype=jnp.float64, param_dtype=jnp.float64
)
TABLE = transformer.Lookup(VOCABULARY, param_dtype=jnp.float64)


def _contexts(seed, number=2, group=2, length=3):
    random = np.random.default_rng(seed)
    prompt = random.integers(1, VOCABULARY, (number, 2))
    prompt[0, 0] = 0  # padding
    tokens = random.integers(1, VOCABULARY, (number, group, length))
    return Contexts(Questions(jnp.asarray(prompt), jnp.arange(number)), jnp.asarray(tokens))


def _vector(contexts, seed, dtype=jnp.float32):
    shape = (*contexts.tokens.shape, VOCABULARY)
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


HERE, THERE = _contexts(0), _contexts(1, group=3)


def _init(model):
    return jax.jit(lambda key: network.init(key, model))(jax.random.key(0))


def _product(model, params, b):
    return jax.jit(lambda params, b: kernel.product(model, params, HERE, THERE, b))(params, b)


_form = jax.jit(lambda *parts: kernel.form(WIDE, *parts))


def _explicit(model, params, contexts):
    """J_z, written out: `[contexts × V, weights]` for the unembedding and for the rest."""
    jacobian = jax.jit(jax.jacrev(kernel.logits(model, contexts)))(params)
    parts = {True: [], False: []}
    for path, leaf in jax.tree_util.tree_leaves_with_path(jacobian):
        own = "unembedding" in jax.tree_util.keystr(path) or "table" in jax.tree_util.keystr(path)
        parts[own].append(np.asarray(leaf, float).reshape(contexts.tokens.size * VOCABULARY, -1))
    return [np.concatenate(p, axis=1) if p else np.zeros((1, 1)) for p in (parts[True], parts[False])]


def test_r_and_g_are_the_whole_kernel_in_float32():
    params = _init(MODEL)
    b = _vector(THERE, 2)
    split = _product(MODEL, params, b)
    parts = [
        x @ y.T @ np.asarray(b, float).ravel()
        for x, y in zip(_explicit(MODEL, params, HERE), _explicit(MODEL, params, THERE), strict=True)
    ]
    scale = np.abs(sum(parts)).max()
    assert split.whole.dtype == jnp.float32
    for own, expected in zip(split, parts, strict=True):
        np.testing.assert_allclose(own.ravel() / scale, expected / scale, atol=1e-5)
    np.testing.assert_allclose(split.whole.ravel() / scale, sum(parts) / scale, atol=1e-5)


def test_r_is_the_product_of_features():
    params = _init(WIDE)
    b = _vector(THERE, 2, float)
    features = [
        transformer.score(WIDE, params, c.questions.prompt, c.questions.real, c.tokens)[1].reshape(-1, 8)
        for c in (HERE, THERE)
    ]
    expected = features[0] @ features[1].T @ b.reshape(-1, VOCABULARY)
    split = _product(WIDE, params, b)
    np.testing.assert_allclose(split.unembedding.reshape(-1, VOCABULARY), expected, rtol=1e-9, atol=1e-12)


def test_form_is_product_and_is_symmetric():
    params = _init(WIDE)
    a, b = _vector(HERE, 1, float), _vector(THERE, 2, float)
    split, form = _product(WIDE, params, b), _form(params, HERE, a, THERE, b)
    turned = _form(params, THERE, b, HERE, a)
    for one, other, back in zip(split, form, turned, strict=True):
        np.testing.assert_allclose(jnp.sum(a * one), other, rtol=1e-9)
        np.testing.assert_allclose(back, other, rtol=1e-9)


def _changes(model):
    """Change of log-probabilities by a step of gradient ascent on weighted samples, and as it is predicted."""
    weights = jnp.asarray(np.random.default_rng(3).standard_normal(THERE.tokens.shape))

    def objective(params):
        z = kernel.logits(model, THERE)(params)
        emitted = jnp.take_along_axis(jax.nn.log_softmax(z), THERE.tokens[..., None], axis=-1)[..., 0]
        return jnp.sum(weights * emitted)

    @jax.jit
    def change(params, rate):
        after = jax.tree.map(lambda x, g: x + rate * g, params, jax.grad(objective)(params))
        old, new = (rl.log_probs(model, p, HERE.questions, HERE.tokens) for p in (params, after))
        return new - old, kernel.one_step(model, params, HERE, THERE, weights, rate).whole

    return change


@pytest.mark.parametrize("model", [WIDE, TABLE], ids=["decoder", "table"])
def test_it_predicts_a_small_step(model):
    params = _init(model)
    errors, rates, changes = [], (1e-4, 2e-4, 4e-4), _changes(model)
    for rate in rates:
        actual, predicted = changes(params, jnp.asarray(rate))
        assert 1 - np.var(actual - predicted) / np.var(actual) >= 0.99
        errors.append(float(jnp.linalg.norm(actual - predicted)))
    order = np.polyfit(np.log(rates), np.log(errors), 1)[0]
    np.testing.assert_allclose(order, 2, atol=0.1)


def test_a_table_has_no_features_to_learn():
    params = _init(TABLE)
    b = _vector(THERE, 2, float)
    split = _product(TABLE, params, b)
    np.testing.assert_array_equal(split.features, 0.0)
    last = [
        jnp.concatenate(
            [c.questions.prompt[:, None, -1:].repeat(c.tokens.shape[1], 1), c.tokens[..., :-1]], -1
        )
        for c in (HERE, THERE)
    ]
    same = last[0].reshape(-1, 1) == last[1].reshape(1, -1)  # R = 1 where the token before is the same
    expected = same.astype(float) @ b.reshape(-1, VOCABULARY)
    np.testing.assert_allclose(split.unembedding.reshape(-1, VOCABULARY), expected, atol=1e-12)


def test_influence_is_the_form_of_each_pair():
    params = _init(WIDE)
    weights = jnp.asarray(np.random.default_rng(3).standard_normal(THERE.tokens.shape))
    gains = jnp.asarray(np.random.default_rng(4).standard_normal(HERE.tokens.shape))
    split = jax.jit(lambda p: kernel.influence(WIDE, p, THERE, weights, HERE, gains))(params)

    def pull(contexts, weights, which):
        policy = jax.nn.softmax(kernel.logits(WIDE, contexts)(params))
        here = (jnp.arange(2) == which)[:, None, None]
        return jnp.where(here, weights, 0.0)[..., None] * (
            jax.nn.one_hot(contexts.tokens, VOCABULARY) - policy
        )

    for m, n in ((0, 0), (0, 1), (1, 0)):
        expected = _form(params, HERE, pull(HERE, gains, m), THERE, pull(THERE, weights, n))
        for one, other in zip(split, expected, strict=True):
            np.testing.assert_allclose(one[m, n], other, rtol=1e-8)
    own = jax.jit(lambda p: kernel.influence(WIDE, p, THERE, weights))(params)
    np.testing.assert_allclose(own.whole, own.whole.T, rtol=1e-9)
    with pytest.raises(ValueError, match="gains: must be given with here"):
        kernel.influence(WIDE, params, THERE, weights, HERE)


def _features_of(model, params):
    found = transformer.score(model, params, HERE.questions.prompt, HERE.questions.real, HERE.tokens)[1]
    return found.reshape(-1, 8)


def test_features_alike_change_r_alone():
    params, b = _init(WIDE), _vector(THERE, 2, float)
    before = jax.jit(lambda p: (kernel.logits(WIDE, HERE)(p), kernel.product(WIDE, p, HERE, THERE, b)))(
        params
    )

    @jax.jit
    def after(params, cosine):
        model, other = alike(jax.random.key(1), WIDE, params, cosine)
        split = kernel.product(model, other, HERE, THERE, b)
        return kernel.logits(model, HERE)(other), split, _features_of(model, other)

    cosines = []
    for cosine in (0.0, 1.0):
        logits, split, features = after(params, jnp.asarray(cosine))
        np.testing.assert_allclose(before[0], logits, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(before[1].features, split.features, rtol=1e-8, atol=1e-10)
        assert np.abs(before[1].unembedding - split.unembedding).max() > 1
        unit = np.asarray(features) / np.linalg.norm(features, axis=-1, keepdims=True)
        cosines.append(unit @ unit.T)
    assert cosines[0].min() < 0.5 < 0.8 < cosines[1].min()


def test_without_marks_nothing_is_changed():
    params = _init(MODEL)
    text = [jax.jit(kernel.logits(m, HERE)).lower(params).as_text() for m in (MODEL, MODEL.clone(marked=0.5))]
    assert text[0] == text[1]


def test_fixed_feedback_is_another_matrix_in_g_alone():
    params = _init(WIDE)
    other = jax.tree.map(lambda x: x, params)
    other["unembedding"]["kernel"] = 2.0 * params["unembedding"]["kernel"]
    fields = {
        name: getattr(WIDE, name)
        for name in ("vocabulary", "width", "depth", "heads", "hidden", "dtype", "param_dtype")
    }
    fixed = FixedFeedback(**fields, feedback=params["unembedding"]["kernel"])
    for wrong in (None, params["unembedding"]["kernel"].T):
        with pytest.raises(ValueError, match=r"^feedback: shape"):
            kernel.logits(FixedFeedback(**fields, feedback=wrong), HERE)(params)
    b = _vector(HERE, 2, float)
    cases = ((fixed, other), (WIDE, other), (WIDE, params))

    @jax.jit
    def all_of(cases_params):
        pairs = [jax.vjp(kernel.logits(m, HERE), p) for (m, _), p in zip(cases, cases_params, strict=True)]
        return [value for value, _ in pairs], [back(b)[0] for _, back in pairs]

    (value, plain, _), slopes = all_of([p for _, p in cases])
    np.testing.assert_allclose(value, plain, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(*(s["unembedding"]["kernel"] for s in slopes[:2]), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        slopes[0]["in_0"]["kernel"], slopes[2]["in_0"]["kernel"], rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(
    ("share", "cosine", "width", "message"),
    [
        (1.0, 0.5, 8, "share: 1.0"),
        (-0.1, 0.5, 8, "share: -0.1"),
        (0.5, 1.5, 8, "cosine: 1.5"),
        (0.5, 0.5, 4, "width 4"),
    ],
)
def test_bad_input(share, cosine, width, message):
    model = transformer.Decoder(VOCABULARY, width=width, depth=0, heads=1)
    with pytest.raises(ValueError, match=message):
        alike(jax.random.key(1), model, _init(model), cosine, share)

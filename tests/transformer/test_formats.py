"""Mixtures of formats: exact shares, qualities and lengths, and demonstrations that are wrong as they should be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import transformer as tf
from qra_jax.transformer.formats import formats, is_right
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.task import Demonstrations

SHARES, QUALITY = [0.4, 0.3, 0.2, 0.1], [0.5, 1.0, 0.0, 0.25]
TASKS = {
    "sums": {"operands": (2, 3)},
    "both": {"operands": (2, 3), "operations": tf.procedures.OPERATIONS},
    "unannounced": {"operands": (2,), "announced": 0.5},
}


def _judged(task, shown):
    zero = jnp.zeros(shown.tokens.shape)
    rollouts = Rollouts(shown.tokens, shown.where, zero, zero, zero)
    return task.verify(jax.random.key(0), shown.questions, rollouts)


@pytest.fixture(params=TASKS)
def made(request):
    task = tf.arithmetic(4, **TASKS[request.param])
    corpus = formats(task, SHARES, quality=QUALITY)
    return corpus, corpus.demonstrations(jax.random.key(1), 32)


def test_weights_are_shares_and_qualities(made):
    corpus, shown = made
    pattern = np.arange(shown.weight.shape[1]) % 4
    right = np.asarray(is_right(corpus.task, shown))
    np.testing.assert_allclose(np.asarray(shown.weight.sum(axis=1)), 1, rtol=1e-6)
    for r in range(4):
        of = np.asarray(shown.weight) * (pattern == r)
        np.testing.assert_allclose(of.sum(axis=1), SHARES[r], rtol=1e-6)
        np.testing.assert_allclose((of * right).sum(axis=1), SHARES[r] * QUALITY[r], rtol=1e-6)


def test_wrong_demonstrations_have_the_form_and_only_those_are_wrong(made):
    corpus, shown = made
    said = _judged(corpus.task, shown)
    half = shown.tokens.shape[1] // 2
    assert (np.asarray(said.pattern) == np.arange(2 * half) % 4).all()
    assert bool(jnp.all(said.right[:, :half]))
    assert not bool(jnp.any(said.right[:, half:]))
    assert bool(jnp.all(said.steps[:, :half]))
    guess = np.arange(half) % 4 == 3
    assert not np.asarray(said.steps)[:, half:][:, ~guess].any()
    assert bool(jnp.all(shown.where == (shown.tokens != 0)))


def test_last_step_says_what_the_answer_says(made):
    corpus, shown = made
    tokens, at = np.asarray(shown.tokens), np.asarray(shown.answer_at)
    for g in range(tokens.shape[1]):
        marked = tokens[0, g, at[0, g] - 1] == corpus.task.MARKER
        for row, place in zip(tokens[:, g], at[:, g], strict=True):
            stop = place - marked
            answer = row[place : place + 2]
            if g % 4 == 0:  # low digit, carry, high digit
                assert row[stop - 1] == answer[0]
                assert row[stop - 3] == answer[1]
            elif g % 4 < 3:
                assert (row[stop - 2 : stop] == answer).all()


def test_wrong_answers_are_uniform():
    task = tf.arithmetic(2, operands=(2,))
    shown = formats(task, [0.25] * 4, quality=0.0).demonstrations(jax.random.key(2), 4000)
    off = (_judged(task, shown).answer - task.answer(shown.questions)[:, None]) % 4
    counts = np.bincount(np.asarray(off[:, 4:]).ravel(), minlength=4)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:] / counts.sum(), 1 / 3, atol=0.01)


def test_lengths_and_tokens(made):
    corpus, _ = made
    shown = corpus.demonstrations(jax.random.key(3), 4000)
    tokens = np.asarray(shown.where.sum(axis=-1))
    pattern, weight = np.arange(tokens.shape[1]) % 4, np.asarray(shown.weight)
    mean = [float((tokens * weight)[:, pattern == r].sum() / weight[:, pattern == r].sum()) for r in range(4)]
    np.testing.assert_allclose(mean, np.asarray(corpus.lengths), rtol=0.01)
    np.testing.assert_allclose(float((tokens * weight).sum() / 4000), float(corpus.tokens), rtol=0.01)


def test_shares_of_tokens_come_back():
    task = tf.arithmetic(4, operands=(2, 3))
    corpus = formats(task, SHARES, of="tokens")
    np.testing.assert_allclose(np.asarray(corpus.token_shares), SHARES, rtol=1e-5)
    np.testing.assert_allclose(float(corpus.shares.sum()), 1, rtol=1e-6)
    assert float(corpus.shares[2]) < SHARES[2]  # the longest format


def test_a_corpus_can_be_learnt_and_traced():
    task = tf.arithmetic(2, operands=(2,))
    model = tf.Decoder(task.vocabulary, width=8, depth=1)
    corpus = formats(task, SHARES, quality=0.5)
    made = tf.learn(
        jax.random.split(jax.random.key(0), 1), model, corpus.demonstrations, steps=3, questions=2
    )
    assert bool(jnp.all(jnp.isfinite(made.loss)))
    drawn = jax.jit(lambda corpus, key: corpus.demonstrations(key, 2))(corpus, jax.random.key(1))
    assert isinstance(drawn, Demonstrations)


@pytest.mark.parametrize(
    ("shares", "options", "word"),
    [
        ([0.5, 0.5, 0.5, 0.5], {}, "shares"),
        ([0.5, 0.5], {}, "shares"),
        (SHARES, {"quality": 1.5}, "quality"),
        (SHARES, {"quality": [0.5, 0.5]}, "quality"),
        (SHARES, {"of": "bytes"}, "of"),
    ],
)
def test_bad_arguments_are_named(shares, options, word):
    with pytest.raises(ValueError, match=f"^{word}: "):
        formats(tf.arithmetic(4), shares, **options)

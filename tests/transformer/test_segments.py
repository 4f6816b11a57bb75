"""Next-segment prediction: what is asked is the text of the corpus, and what is optimal on it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qra_jax import transformer as tf
from qra_jax.algorithm import rloo
from qra_jax.problem import Problem, stack
from qra_jax.transformer.graphs import graphs
from qra_jax.transformer.procedures import arithmetic
from qra_jax.transformer.process import matching
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.segments import next_segment

KEY = jax.random.key(0)
SUMS = arithmetic(4, operands=(2, 3), mixture=(0.5, 0.2, 0.2, 0.1), announced=0.7)
LINES = graphs((2, 3), most=3)

pytestmark = pytest.mark.usefixtures("compiled_plainly")


def rollouts(tokens):
    tokens = jnp.asarray(tokens)
    zero = jnp.zeros(tokens.shape)
    return Rollouts(tokens, tokens != 0, zero, zero, zero)


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (SUMS, {}),
        (SUMS, {"cut": "random"}),
        (SUMS, {"cut": "random", "size": 2, "first": 1, "stride": 2}),
        (SUMS, {"cut": "answer"}),
        (SUMS, {"cut": 10}),
        (LINES, {"cut": "random", "size": 8, "stride": 8}),
    ],
    ids=lambda x: str(x) if isinstance(x, dict) else type(x).__name__,
)
def test_text_is_the_corpus(task, options):
    text = next_segment(task, **options)
    number = 48

    @jax.jit
    def everything():
        questions = text.draw(KEY, number)
        again = text.demonstrations(KEY, number)
        full = next_segment(task).draw(KEY, number)  # the same documents, uncut
        return questions, again, full, text.verify(KEY, questions, rollouts(again.tokens))

    questions, again, full, verdict = everything()
    truth, size = questions.truth, text.size or text.length
    assert text.length == questions.truth.tokens.shape[1]
    assert bool(verdict.right.all())
    np.testing.assert_allclose(verdict.progress, 1)
    np.testing.assert_array_equal(again.questions.prompt, questions.prompt)
    np.testing.assert_array_equal(again.tokens[:, 0], truth.tokens)
    for n in range(number):
        document = np.asarray(full.truth.tokens[n])
        length, cut, count = int(full.truth.count[n]), int(truth.cut[n]), int(truth.count[n])
        assert 0 < count == min(size, length - cut)
        np.testing.assert_array_equal(truth.tokens[n, :count], document[cut : cut + count])
        assert not truth.tokens[n, count:].any()
        before = np.asarray(full.prompt[n])
        padding = text.most - cut
        np.testing.assert_array_equal(questions.prompt[n, padding:], [*before, *document[:cut]])
        assert not questions.prompt[n, :padding].any()
    if options.get("cut") == "answer":
        assert (np.asarray(truth.answer_at) == 0).all()
    if "stride" in options:
        assert (np.asarray(truth.cut) % options["stride"] == options.get("first", 0)).all()
    if options.get("cut") == "random":
        assert len(set(np.asarray(truth.cut).tolist())) > 2


def test_documents_have_the_shares_of_the_corpus():
    text = next_segment(SUMS, size=1)
    names = jax.jit(lambda key: text.draw(key, 4000).truth.tokens[:, 0])(KEY) - SUMS.first_pattern
    found = np.bincount(np.asarray(names), minlength=4) / 4000
    np.testing.assert_allclose(found, SUMS.mixture, atol=4 * 0.5 / np.sqrt(4000))


def test_verify_tells_what_matches():
    text = next_segment(arithmetic(10, operands=(3,), mixture=(0, 1, 0, 0)), cut=1)
    other = next_segment(text.task, cut=1, partial="tokens")

    @jax.jit
    def judged():
        questions = text.draw(KEY, 1)
        right = questions.truth.tokens[0]
        rows = [right, right.at[0].add(1), right.at[2].add(1), right.at[7].set(0), right.at[0].add(1)]
        said = rollouts(jnp.stack(rows)[None])
        return text.verify(KEY, questions, said), other.verify(KEY, questions, said).progress

    verdict, tokens = judged()
    assert text.length == 10  # two steps of two digits, marker, answer, end; and room for other procedures
    assert verdict.right[0].tolist() == [True, False, False, False, False]
    assert verdict.answer[0].tolist() == [0, 1, 2, 3, 1]
    np.testing.assert_allclose(verdict.progress[0], [1, 0, 2 / 8, 7 / 8, 0], rtol=1e-6)
    np.testing.assert_allclose(tokens[0], [1, 7 / 8, 7 / 8, 7 / 8, 7 / 8], rtol=1e-6)
    paid = matching()(KEY, rollouts(np.zeros((1, 5, 10), int)), verdict)
    np.testing.assert_array_equal(paid, verdict.progress)


def test_shuffled_segments_are_of_other_documents():
    plain, shuffled = (next_segment(SUMS, cut=2, shuffled=on).draw(KEY, 16) for on in (False, True))
    np.testing.assert_array_equal(plain.prompt, shuffled.prompt)
    np.testing.assert_array_equal(np.roll(plain.truth.tokens, 1, axis=0), shuffled.truth.tokens)


def test_a_cut_document_is_read_as_the_whole_one():
    text = next_segment(SUMS, cut="random")
    model = tf.Decoder(SUMS.vocabulary, width=8, depth=1)
    params = tf.init(KEY, model)
    full = next_segment(SUMS)

    @jax.jit
    def both():
        cut, whole = text.demonstrations(KEY, 8), full.demonstrations(KEY, 8)
        read = lambda d: tf.rl.log_probs(model, params, d.questions, d.tokens)[:, 0]  # noqa: E731
        return cut.questions.truth.cut, cut.questions.truth.count, read(cut), read(whole)

    cut, count, read, forced = map(np.asarray, both())
    for n in range(8):
        np.testing.assert_allclose(
            read[n, : count[n]], forced[n, cut[n] : cut[n] + count[n]], atol=2e-5, rtol=1e-5
        )


def two_continuations(shares):
    problem = Problem.from_probs(ref=list(shares), success=[1.0, 1.0])
    return next_segment(tf.controlled(stack([problem] * 2), steps=(1, 1), digits=1))


def test_the_optimum_is_the_mode_and_that_of_sft_the_shares():
    """Exactly: all documents of the corpus with their weights, against both of its continuations."""
    text = two_continuations((0.6, 0.4))
    shown = text.task.demonstrations()
    kinds = shown.tokens[0, :2]
    policy = np.linspace(0.01, 0.99, 99)
    paid = np.zeros((2, 2))  # of continuation i where the document has continuation j
    for j in range(2):
        question = text.draw(KEY, 2)
        truth = question.truth._replace(tokens=jnp.broadcast_to(kinds[j], (2, kinds.shape[1])))
        said = rollouts(jnp.broadcast_to(kinds[None], (2, *kinds.shape)))
        paid[:, j] = text.verify(KEY, tf.Questions(question.prompt, truth), said).right[0]
    reward = paid @ np.asarray(shown.weight[0, :2])
    np.testing.assert_allclose(reward, [0.6, 0.4], rtol=1e-6)
    mixed = np.stack([policy, 1 - policy], axis=1)
    assert policy[np.argmax(mixed @ reward)] == policy[-1]
    assert policy[np.argmin(-np.log(mixed) @ np.asarray(shown.weight[0, :2]))] == pytest.approx(0.6)


def test_training_finds_both_optima():
    text = two_continuations((0.6, 0.4))
    model = tf.Lookup(text.vocabulary)
    look = lambda params: tf.read_out(model, params, text.task.demonstrations()).policy.mean(axis=0)  # noqa: E731
    base = tf.learn(
        jax.random.split(KEY, 1), model, text.demonstrations, steps=300, questions=64, learning_rate=0.05
    )
    params = jax.tree.map(lambda leaf: leaf[0], base.params)
    ended = jax.jit(
        partial(
            tf.train, algorithm=rloo(8), steps=150, questions=16, learning_rate=0.05, optimizer=optax.adam
        ),
        static_argnums=(1,),
    )(KEY, model, params, text)
    np.testing.assert_allclose(look(params), [0.6, 0.4], atol=0.04)
    assert look(ended.params)[0] > 0.97


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cut": -1}, "cut"),
        ({"cut": 11}, "cut: 11; must be at most 10"),
        ({"cut": "middle"}, "cut"),
        ({"size": 0}, "size"),
        ({"first": 11}, "first: 11; must be at most 10"),
        ({"stride": 0}, "stride"),
        ({"partial": "some"}, "partial"),
    ],
)
def test_arguments_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        next_segment(SUMS, **options)


def test_the_task_protocol():
    assert isinstance(next_segment(SUMS), tf.Task)
    verdict = SUMS.verify(KEY, SUMS.draw(KEY, 1), rollouts(np.zeros((1, 1, SUMS.length), int)))
    with pytest.raises(ValueError, match=r"verdict\.progress"):
        matching()(KEY, rollouts(np.zeros((1, 1, SUMS.length), int)), verdict)

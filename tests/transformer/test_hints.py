"""Hints: what is given in a prompt is the same to the network as what it has written, and is not taught."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import transformer as tf
from qra_jax.transformer.graphs import LINE, graphs
from qra_jax.transformer.hints import PAD, QUARTERS, hinted
from qra_jax.transformer.process import process_gated
from qra_jax.transformer.sampling import Rollouts

pytestmark = pytest.mark.usefixtures("compiled_plainly")
KEY = jax.random.key(0)
TASKS = {"graphs": graphs((1, 3), most=3), "arithmetic": tf.arithmetic(4)}


def written(tokens):
    """Rollouts of given tokens `[N, G, T]`."""
    zero = jnp.zeros(tokens.shape)
    return Rollouts(tokens, tokens != PAD, zero, zero, zero)


def rest(tokens, given):
    """What is left of `[N, T]` after so many tokens."""
    place = jnp.arange(tokens.shape[-1])[None] + given[:, None]
    kept = jnp.take_along_axis(tokens, jnp.minimum(place, tokens.shape[-1] - 1), axis=-1)
    return jnp.where(place < tokens.shape[-1], kept, PAD)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("level", range(QUARTERS + 1))
def test_prompts_end_with_the_beginning_of_a_solution_that_is_verified_as_the_whole(name, level):
    task = TASKS[name]
    plain, hints = task.draw(KEY, 5), hinted(task)
    for pattern in range(task.patterns):
        asked, tokens = hints.give(plain, level, pattern), task.show(plain).tokens[:, pattern]
        given = asked.truth.length
        for i in range(5):
            prompt, known = np.asarray(plain.prompt[i]), np.asarray(tokens[i, : int(given[i])])
            real = np.asarray(asked.prompt[i])[np.asarray(asked.real[i])]
            np.testing.assert_array_equal(real, [*prompt[prompt != PAD], *known])
            assert asked.prompt[i, -1] != PAD
        left = rest(tokens, given)[:, None]
        verdict = hints.verify(KEY, asked, written(left))
        assert jnp.all(verdict.right & verdict.steps & verdict.formatted)
        assert verdict.progress is None or jnp.all(verdict.progress == 1)
        assert level > 0 or jnp.all(given == 0)
        assert level < QUARTERS or jnp.all(given == task.show(plain).answer_at[:, pattern])


def test_hints_are_whole_lines_and_the_last_level_leaves_the_answer():
    task = TASKS["graphs"]
    plain = task.draw(KEY, 32)
    count = np.asarray(plain.truth.count)
    for level in range(QUARTERS + 1):
        given = np.asarray(hinted(task).give(plain, level).truth.length)
        lines = np.floor(level * count / QUARTERS + 0.5)
        np.testing.assert_array_equal(given, np.minimum(LINE * lines, LINE * count - 2))


def test_a_network_says_the_same_after_a_hint_as_after_having_written_it():
    task = TASKS["graphs"]
    model = tf.Decoder(task.vocabulary, width=8, depth=2, dtype=jnp.float64, param_dtype=jnp.float64)
    params = jax.jit(tf.init, static_argnums=1)(KEY, model)
    plain = task.draw(KEY, 5)
    asked, tokens = hinted(task).give(plain, jnp.arange(QUARTERS + 1)), task.solution(plain)
    given = asked.truth.length
    score = jax.jit(tf.score, static_argnums=0)
    whole, _ = score(model, params, plain.prompt, plain.real, tokens[:, None])
    after, _ = score(model, params, asked.prompt, asked.real, rest(tokens, given)[:, None])
    for i in range(5):
        start, stop = int(given[i]), int(jnp.sum(tokens[i] != PAD))
        np.testing.assert_allclose(after[i, 0, : stop - start], whole[i, 0, start:stop], atol=1e-10)


def test_whole_sequences_keep_what_was_sampled_apart_from_hints():
    task = hinted(TASKS["graphs"])
    asked = task.give(TASKS["graphs"].draw(KEY, 4), jnp.asarray([0, 1, 2, 4]))
    sampled = written(jnp.ones((4, 2, task.length), int) * 3)
    whole, given = task.whole(asked, sampled), asked.truth.length
    np.testing.assert_array_equal(jnp.argmax(whole.where, axis=-1), jnp.broadcast_to(given[:, None], (4, 2)))
    assert jnp.all(jnp.where(whole.where, whole.tokens == 3, whole.tokens == asked.truth.tokens[:, None]))


def test_wrong_hints_are_those_of_the_question_before_and_never_make_a_whole_solution():
    plain = TASKS["graphs"].draw(KEY, 6)
    right, wrong = (hinted(TASKS["graphs"], wrong=wrong).give(plain, 2) for wrong in (False, True))
    np.testing.assert_array_equal(wrong.truth.tokens, jnp.roll(right.truth.tokens, 1, axis=0))
    task = hinted(TASKS["graphs"], wrong=True)
    left = rest(TASKS["graphs"].solution(plain), wrong.truth.length)[:, None]
    assert not jnp.any(task.verify(KEY, wrong, written(left)).steps)


def test_levels_and_patterns_are_drawn_from_their_chances():
    task = hinted(TASKS["arithmetic"], (0.5, 0, 0.25, 0, 0.25), shares=(0, 0.5, 0.5, 0))
    truth = task.draw(KEY, 4000).truth
    np.testing.assert_allclose(np.bincount(truth.level, minlength=5) / 4000, task.chances, atol=0.03)
    shown = np.asarray(truth.tokens[:, 0])[np.asarray(truth.level) > 0] - TASKS["arithmetic"].first_pattern
    np.testing.assert_allclose(np.bincount(shown, minlength=4) / len(shown), task.shares, atol=0.04)
    np.testing.assert_array_equal(truth.questions.prompt, TASKS["arithmetic"].draw(KEY, 4000).prompt)


def test_one_program_trains_all_arms_and_a_hint_is_not_taught():
    task = TASKS["graphs"].within(2)
    model = tf.Decoder(task.vocabulary, width=8, depth=1)
    params, traces = tf.init(KEY, model), []

    @jax.jit
    def run(chances, wrong):
        traces.append(0)
        hints = hinted(task, chances, wrong=wrong)
        made = tf.train(
            KEY, model, params, hints, algorithm=qra.grpo(4), steps=2, questions=3, learning_rate=1e-3
        )
        return made.stats["tokens"]

    tokens = [run(jnp.eye(5)[level], wrong) for level, wrong in ((0, False), (4, False), (2, True))]
    assert len(traces) == 1
    assert jnp.all(jnp.isfinite(jnp.stack(tokens)))
    asked = hinted(task).give(task.draw(KEY, 3), 4)
    sampled = tf.sample(KEY, model, params, asked, group=2, length=task.length, end=task.end)
    whole = hinted(task).whole(asked, sampled)
    assert not jnp.any(
        whole.where & (jnp.arange(task.length)[None, None] < asked.truth.length[:, None, None])
    )


def test_arguments_that_are_out_of_range_are_named():
    for options, word in (
        ({"chances": (0.5, 0.5)}, "chances"),
        ({"chances": (0.5, 0.1, 0.1, 0.1, 0.1)}, "chances"),
        ({"shares": (0.5, 0.5)}, "shares"),
        ({"line": 0}, "line"),
    ):
        with pytest.raises(ValueError, match=word):
            hinted(TASKS["arithmetic"], **options)
    with pytest.raises(ValueError, match="floor"):
        process_gated(1.5)


def test_only_right_answers_are_paid_for_their_steps():
    task = TASKS["graphs"]
    plain = task.draw(KEY, 8)
    tokens = task.solution(plain)
    spoilt = tokens.at[:, 1].set(
        jnp.where(tokens[:, 1] == task.first_value, task.first_value + 1, task.first_value)
    )
    verdict = task.verify(KEY, plain, written(jnp.stack([tokens, spoilt], axis=1)))
    reward = process_gated(0.2)
    earned = reward(KEY, written(jnp.stack([tokens, spoilt], axis=1)), verdict)
    count = np.asarray(plain.truth.count)
    np.testing.assert_allclose(earned[:, 0], 1)
    np.testing.assert_allclose(earned[:, 1], 0.2 + 0.8 * (count - 1) / count)
    false = verdict._replace(right=jnp.zeros_like(verdict.right))
    assert jnp.all(reward(KEY, written(jnp.stack([tokens, spoilt], axis=1)), false) == 0)
    loose = verdict._replace(formatted=jnp.zeros_like(verdict.formatted))
    sequences = written(jnp.stack([tokens, spoilt], axis=1))
    assert jnp.all(reward(KEY, sequences, loose) == 0)
    np.testing.assert_allclose(process_gated(0.2, announced=False)(KEY, sequences, loose), earned)
    with pytest.raises(ValueError, match="progress"):
        process_gated()(KEY, sequences, replace_progress(verdict))


def replace_progress(verdict):
    """The verdict of a task that does not check steps."""
    return verdict._replace(progress=None)

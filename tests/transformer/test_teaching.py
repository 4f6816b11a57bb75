"""Teaching between RL steps: against RL without it, against supervised learning, and gate by gate."""

from dataclasses import replace
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from qra_jax import algorithm as rules, transformer as tf
from qra_jax.problem import Problem, stack
from qra_jax.transformer import teaching
from qra_jax.transformer.learning import cross_entropy

pytestmark = pytest.mark.usefixtures("compiled_plainly")

KEY = jax.random.key(1)
WORLD = Problem.from_probs(ref=[0.3, 0.5, 0.2], success=[1.0, 0.5, 0.0])
TASK = tf.controlled(stack([WORLD] * 4))
MODEL = tf.Lookup(TASK.vocabulary, param_dtype=jnp.float64)
SHOWN = TASK.demonstrations()


def _start():
    """A table that writes sequences of the corpus, if with few right answers."""
    table = np.full((TASK.vocabulary, TASK.vocabulary), -5.0)
    for row in np.asarray(SHOWN.tokens).reshape(-1, TASK.length):
        table[row[:-1], row[1:]] = 0.0
    table[TASK.MARKER, TASK.first_answer :] = 0.0
    table[3 : TASK.first_pattern, TASK.first_pattern : TASK.first_step] = 0.0
    return {"table": jnp.asarray(table)}


START = _start()


def show(questions):
    """The first pattern, announced, with the right answer: one demonstration for each question."""
    found = TASK.solutions(questions)
    tokens = found.tokens[:, :1]
    weight = jnp.ones(tokens.shape[:2])
    opens = jnp.arange(TASK.vocabulary) >= TASK.first_answer
    return tf.Demonstrations(questions, tokens, tokens != 0, weight, jnp.full(weight.shape, 3), opens, 1)


@jax.jit
def _train(lesson):
    usual = {
        "algorithm": rules.rloo(4),
        "steps": 3,
        "questions": 4,
        "learning_rate": 0.1,
        "optimizer": optax.sgd,
    }
    return tf.train(KEY, MODEL, START, TASK, teaching=lesson, probe=lambda params: params, **usual)


def train(lesson=None):
    """A run; those whose lessons differ in numbers alone are one program."""
    if lesson is not None:
        numbers = {
            name: jnp.asarray(getattr(lesson, name), float) for name in ("weight", "rl", "chance", "solved")
        }
        stop = 1000 if lesson.stop is None else lesson.stop
        lesson = replace(lesson, every=jnp.asarray(lesson.every), stop=jnp.asarray(stop), **numbers)
    return _train(lesson)


@pytest.fixture(scope="module")
def plain():
    return train()


SILENT = {
    "weight zero": teaching.always(show, 0.0),
    "never by chance": teaching.unsolved(show, chance=0.0),
    "no steps": teaching.first(show, 0),
    "nothing of its own": teaching.always(teaching.own(), 0.0),
}


@pytest.mark.parametrize("name", SILENT)
def test_without_weight_it_is_the_plain_run_to_the_bit(plain, name):
    found = train(SILENT[name])
    chex.assert_trees_all_equal(found.params, plain.params)
    assert not found.stats["taught"].any()
    assert not found.stats["shown"].any()
    assert "taught" not in plain.stats


def test_without_rl_it_is_supervised_learning():
    found, params = train(teaching.always(show, 0.7, rl=0.0)), START
    shown = show(TASK.draw(KEY, 4))  # all questions of the task, in order
    for _ in range(3):
        slope = jax.grad(lambda params: cross_entropy(MODEL, params, shown))(params)
        params = jax.tree.map(lambda p, g: p - 0.1 * 0.7 * g, params, slope)
    chex.assert_trees_all_close(found.params, params, atol=1e-12)
    assert found.stats["shown"].tolist() == [4.0] * 3
    assert found.stats["taught"].tolist() == [float(jnp.sum(shown.where))] * 3


def change(run):
    """Of the parameters in the first step, as one vector."""
    return np.asarray(ravel_pytree(jax.tree.map(lambda x: x[1] - x[0], run.seen))[0])


def test_the_step_is_the_sum_of_both(plain):
    one, both = (change(train(teaching.always(show, 0.7, rl=rl))) for rl in (0.0, 1.0))
    np.testing.assert_allclose(change(plain) + one, both, atol=1e-12)
    assert np.linalg.norm(one) > 0.01
    assert np.linalg.norm(change(plain)) > 0.01
    half = change(train(teaching.always(show, 0.0, rl=0.5)))
    np.testing.assert_allclose(change(plain) / 2, half, atol=1e-12)


@partial(jax.jit, static_argnums=0)
def _sampled(group, key):
    questions = TASK.questions(jnp.arange(4))
    return questions, tf.sample(key, MODEL, START, questions, group=group, length=TASK.length, end=TASK.end)


def step(lesson, right, index=0, key=KEY):
    """What is given for groups with these right answers, `[N, G]`."""
    right = jnp.asarray(right, float)
    questions, rollouts = _sampled(right.shape[1], key)
    return lesson.given(key, jnp.asarray(index), questions, rollouts, right)


GROUPS = [[0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_the_gate_takes_the_unsolved_alone():
    found = step(teaching.unsolved(show, 0.3), GROUPS)
    np.testing.assert_allclose(found.demonstrations.weight[:, 0], [0.3, 0, 0, 0])
    assert float(found.stats["shown"]) == 1
    found = step(teaching.unsolved(show, 0.3, solved=0.5), GROUPS)
    np.testing.assert_allclose(found.demonstrations.weight[:, 0], [0.3, 0.3, 0.3, 0])
    found = step(teaching.always(show, 0.3), GROUPS)
    np.testing.assert_allclose(found.demonstrations.weight[:, 0], 0.3)


def test_only_certain_steps_teach():
    weights = jnp.asarray([0.5, 0.25, 0.0, 1.0])
    cases = {
        "every": (teaching.unsolved(show, 1.0, every=2, rl=0.0), [1, 0, 1, 0], [0, 1, 0, 1]),
        "first": (teaching.first(show, 3, 2.0), [2, 2, 2, 0], [0, 0, 0, 1]),
        "schedule": (teaching.always(show, weights, rl=weights), weights, weights),
    }
    for name, (lesson, weight, rl) in cases.items():
        found = jax.vmap(lambda i, lesson=lesson: step(lesson, GROUPS, i))(jnp.arange(4))
        np.testing.assert_allclose(found.demonstrations.weight[:, 0, 0], weight, err_msg=name)
        np.testing.assert_allclose(found.rl, rl, err_msg=name)


def test_questions_are_taught_with_the_chance_asked_for():
    lesson, keys = teaching.always(show, chance=0.3), jax.random.split(KEY, 500)
    found = jax.vmap(lambda key: step(lesson, GROUPS, key=key).stats["shown"])(keys)
    assert abs(float(found.mean()) / 4 - 0.3) < 4.5 * np.sqrt(0.21 / 2000)


def test_numbers_may_be_traced():
    def shown(weight, solved, every, stop):
        lesson = teaching.Teaching(show, weight, 1.0, solved, 1.0, every, stop)
        return jax.vmap(lambda index: step(lesson, GROUPS, index).stats["shown"])(jnp.arange(4))

    numbers = jnp.asarray([1.0, 0.0, 1.0]), jnp.asarray([1.0, 1.0, 0.5]), jnp.asarray([1, 1, 2])
    found = jax.jit(jax.vmap(shown))(*numbers, jnp.asarray([3, 4, 4]))
    np.testing.assert_allclose(found, [[4, 4, 4, 0], [0, 0, 0, 0], [3, 0, 3, 0]])


def test_own_answers_are_the_right_ones():
    found = step(teaching.always(teaching.own()), GROUPS)
    expected = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4])
    np.testing.assert_allclose(found.demonstrations.weight, expected)
    assert float(found.stats["shown"]) == 7


def test_a_corpus_gives_as_many_as_there_are_to_teach():
    found = step(teaching.unsolved(teaching.corpus(lambda key, number: show(TASK.draw(key, number)))), GROUPS)
    np.testing.assert_allclose(found.demonstrations.weight[:, 0], [1, 0, 0, 0])
    with pytest.raises(ValueError, match=r"^teaching: shows 2 questions; must be those of the step, 4"):
        step(teaching.always(teaching.corpus(lambda key, number: show(TASK.draw(key, 2)))), GROUPS)


def _too_short():
    options = {"algorithm": rules.rloo(4), "steps": 3, "questions": 4, "learning_rate": 0.1}
    return tf.train(KEY, MODEL, START, TASK, teaching=teaching.always(show, jnp.ones(2)), **options)


REFUSED = {
    "weight": (lambda: teaching.always(show, -1.0), "weight: -1; must be zero or positive"),
    "rl": (lambda: teaching.always(show, rl=float("nan")), "rl: nan"),
    "chance": (lambda: teaching.always(show, chance=1.5), r"chance: 1.5; must be in \[0, 1\]"),
    "solved": (lambda: teaching.unsolved(show, solved=-0.1), r"solved: -0.1; must be in \[0, 1\]"),
    "every": (lambda: teaching.unsolved(show, every=0), "every: 0; must be 1 or above"),
    "steps": (lambda: teaching.first(show, -1), "steps: -1; must be 0 or above"),
    "show": (lambda: teaching.always(lambda: None), "show: takes"),  # pyright: ignore[reportArgumentType]
    "schedule": (_too_short, r"teaching: weight has shape \(2,\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_out_of_range_is_named(name):
    make, match = REFUSED[name]
    with pytest.raises(ValueError, match=f"^{match}"):
        make()

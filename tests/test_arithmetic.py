"""The arithmetic task against Python's own arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import transformer as tf
from qra_jax.transformer.procedures import PATTERNS, arithmetic
from qra_jax.transformer.sampling import Rollouts

KEY = jax.random.key(0)

pytestmark = pytest.mark.usefixtures("compiled_plainly")


def written(task, operation, numbers, pattern):
    """What a procedure writes before the marker, and the answer, by Python's own arithmetic."""
    b = task.base
    size = b * b

    def result(some):
        total = 0 if operation == "+" else 1
        for x in some:
            total = total + x if operation == "+" else total * x
        return total % size

    two = lambda x: [x // b, x % b]  # noqa: E731
    steps = []
    if pattern == "running":
        for j in range(2, len(numbers) + 1):
            steps += two(result(numbers[:j]))
    elif pattern == "split":
        half = -(-len(numbers) // 2)
        steps = two(result(numbers[:half])) + two(result(numbers[half:])) + two(result(numbers))
    elif pattern == "columns" and operation == "+":
        low = sum(x % b for x in numbers)
        steps = [low % b, low // b % b, (low // b + sum(x // b for x in numbers)) % b]
    elif pattern == "columns":
        total = numbers[0]
        for x in numbers[1:]:
            (ah, al), (ch, cl) = two(total), two(x)
            steps += [al * cl % b, al * cl // b, (ah * cl + al * ch + al * cl // b) % b]
            assert steps[-1] * b + steps[-3] == total * x % size
            total = total * x % size
    return steps, result(numbers)


def rollouts(tokens):
    tokens = jnp.asarray(tokens)
    zero = jnp.zeros(tokens.shape)
    return Rollouts(tokens, tokens != 0, zero, zero, zero)


@pytest.mark.parametrize(
    ("base", "operations", "operands"),
    [(4, ("+", "×"), (2, 3, 4))],
)
def test_procedures_are_arithmetic(base, operations, operands):
    task = arithmetic(base, operations=operations, operands=operands, announced=0.75)

    @jax.jit
    def everything():
        shown = task.demonstrations(KEY, 64)
        verdict = task.verify(KEY, shown.questions, rollouts(shown.tokens))
        return shown, task.answer(shown.questions), task.kinds(shown.tokens), verdict

    shown, right, found, verdict = everything()
    asked = type(shown.questions.truth)(*map(np.asarray, shown.questions.truth))
    prompts, tokens, places = map(np.asarray, (shown.questions.prompt, shown.tokens, shown.answer_at))
    right, found = np.asarray(right), np.asarray(found)
    assert shown.tokens.shape == (64, 8, task.length)
    assert {"+×"[i] for i in asked.operation} == set(operations)
    assert {int(k) for k in asked.count} == set(operands)
    for n in range(64):
        operation = "+×"[asked.operation[n]]
        numbers = [int(x) for x in asked.operands[n, : asked.count[n]]]
        digits = [task.first_digit + d for x in numbers for d in (x // base, x % base)]
        prompt = [task.first_operation + int(asked.operation[n]), *digits]
        pad = [0] * (1 + 2 * max(operands) - len(prompt))
        assert prompts[n].tolist() == pad + prompt
        for g in range(8):
            steps, answer = written(task, operation, numbers, PATTERNS[g % 4])
            assert right[n] == answer
            marker = [task.MARKER] if g < 4 else []
            body = [task.first_digit + d for d in steps]
            last = [task.first_digit + answer // base, task.first_digit + answer % base]
            row = [task.first_pattern + g % 4, *body, *marker, *last, task.end]
            assert tokens[n, g].tolist() == row + [0] * (task.length - len(row))
            assert places[n, g] == len(row) - 3
            kinds = [0, *[1] * len(body), *[2] * len(marker), 3, 3, 4]
            assert found[n, g].tolist() == kinds + [-1] * (task.length - len(row))
    assert bool(verdict.right.all() and verdict.steps.all())
    assert (np.asarray(verdict.formatted) == (np.arange(8) < 4)).all()
    assert (np.asarray(verdict.pattern) == np.arange(8) % 4).all()


def test_every_sum_of_a_small_base():
    task = arithmetic(2, operands=(3,))
    numbers = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    answer = jax.jit(lambda operation: task.answer(task.ask(operation, numbers)))
    for operation, total in ((0, numbers.sum(axis=1)), (1, numbers.prod(axis=1))):
        np.testing.assert_array_equal(answer(np.full(64, operation)), total % 4)


def test_corrupted_sequences():
    task = arithmetic(4, operands=(3,))
    asked = np.array([[7, 6, 9]])  # 13, 31, 12: 7 + 6 = 31, + 9 = 112, of which 12 are left
    d, p = task.first_digit, task.first_pattern
    digits = [d + x for x in (3, 1, 1, 2)]
    mark, answer, end = [task.MARKER], [d + 1, d + 2], [task.end]
    good = [p + 1, *digits, *mark, *answer, *end]
    rows = [
        good,
        [p + 1, *digits, *answer, *end],  # no marker
        [p + 1, *digits, *mark, d + 2, d + 1, *end],  # wrong answer
        [p + 1, d + 2, *digits[1:], *mark, *answer, *end],  # wrong step, right answer
        [p + 2, *digits, *mark, *answer, *end],  # steps of another procedure
        [p + 1, *digits, *mark, *answer],  # no end
        [d + 1, *digits, *mark, *answer, *end],  # no pattern
        [p + 1, *digits, *mark, *mark, *answer, *end],  # two markers
        [p + 1, *mark, *digits, *answer, *end],  # marker too early
        [p + 1, p + 1, *digits[1:], *mark, *answer, *end],  # a pattern among the steps
        [p + 3, *mark, *answer, *end],  # guess
        [p + 3, *digits, *mark, *answer, *end],  # a guess with steps
        [p + 1, *digits[:2], *mark, *answer, *end],  # a step short
        [p + 1, *mark, d + 1, *end],  # one digit
        [p + 1, *end],
        [p + 3, *mark, d + 1, d + 2, *end],
    ]
    rows = [row + [0] * (task.length - len(row)) for row in rows]
    verdict = jax.jit(lambda rows: task.verify(KEY, task.ask([0], asked), rollouts(rows)))(np.array([rows]))
    yes = lambda some: [i in some for i in range(16)]  # noqa: E731
    assert verdict.right[0].tolist() == yes({0, 1, 3, 4, 10, 11, 12, 15})
    assert verdict.formatted[0].tolist() == yes({0, 2, 3, 4, 10, 11, 12, 15})
    assert verdict.steps[0].tolist() == yes({0, 1, 2, 10, 15})
    assert verdict.pattern[0].tolist() == [1, 1, 1, 1, 2, -1, -1, -1, -1, -1, 3, 3, 1, -1, -1, 3]
    assert verdict.answer[0].tolist() == [6, 6, 9, 6, 6, -1, -1, -1, -1, -1, 6, 6, 6, -1, -1, 6]


def test_shares_of_the_corpus():
    task = arithmetic(3, mixture=[0.1, 0.2, 0.3, 0.4], announced=[1.0, 0.5, 1.0, 0.25])
    plain = arithmetic(3)

    @jax.jit
    def shares():
        asked = task.draw(KEY, 5)
        shown = task.show(asked), task.show(asked, mixture=[0.0, 1.0, 0.0, 0.0])
        return *(each.weight for each in shown), plain.show(asked).tokens

    own, other, tokens = shares()
    np.testing.assert_allclose(own[2], [0.1, 0.1, 0.3, 0.1, 0, 0.1, 0, 0.3])
    np.testing.assert_allclose(other[0], [0, 0.5, 0, 0, 0, 0.5, 0, 0])
    assert tokens.shape[1] == 4


def test_held_out_questions_are_never_drawn():
    task = arithmetic(4, operations=("+", "×"), operands=(2, 3), held=0.25)
    pairs = np.stack(np.meshgrid(np.arange(16), np.arange(16)), axis=-1).reshape(-1, 2)
    triples = np.stack(np.meshgrid(*[np.arange(16)] * 3), axis=-1).reshape(-1, 3)

    @jax.jit
    def apart():
        drawn = (task.is_held(task.draw(KEY, 4000, held=held)) for held in (False, True))
        all_of = (task.is_held(task.ask(np.zeros(len(some), int), some)) for some in (pairs, triples))
        return *drawn, *all_of, task.with_operands((4,)).draw(KEY, 3, held=True)

    others, held, two, three, more = apart()
    assert not others.any()
    assert held.all()
    apart = np.asarray(two).reshape(16, 16)
    assert (apart.sum(axis=0) == 4).all()  # four last operands after each first one
    assert len(np.unique(apart, axis=1).T) > 8  # and not always the same
    # Answers tell nothing: all are as frequent among the 1024 held-out sums of three, but for chance (4 sd).
    count = np.bincount(triples[np.asarray(three)].sum(axis=1) % 16, minlength=16)
    assert np.abs(count - 64).max() < 4 * np.sqrt(256 * 0.25 * 0.75)
    assert more.prompt.shape == (3, 9)
    assert (more.truth.count == 4).all()


def test_a_network_that_guesses_is_read_exactly():
    # A table of zeros scores all tokens alike: every probability is a power of 1 / V.
    task = arithmetic(3, announced=0.5)
    model = tf.Lookup(task.vocabulary)

    @jax.jit
    def read():
        shown = task.show(task.draw(KEY, 4, held=True))
        return tf.read_out(model, tf.init(KEY, model), shown), shown.questions.truth.count

    (seen, counts), v = read(), task.vocabulary
    np.testing.assert_allclose(seen.policy, 0.25, rtol=1e-5)
    np.testing.assert_allclose(seen.success, v**-2.0, rtol=1e-5)
    np.testing.assert_allclose(seen.plain, v**-2.0, rtol=1e-5)
    np.testing.assert_allclose(seen.announced, 1 / (1 + task.base), rtol=1e-5)
    for n, k in enumerate(counts):
        steps = np.array([3, 2 * (int(k) - 1), 6, 0])
        np.testing.assert_allclose(seen.steps[n], float(v) ** -steps, rtol=1e-5)
        np.testing.assert_allclose(seen.whole[n], float(v) ** -(steps + 4), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: arithmetic(1), "base: 1; must be 2 or above"),
        (lambda: arithmetic(operations=("-",)), r"operations: '-'; must be one of '\+', '×'"),
        (lambda: arithmetic(operations=()), "operations: empty"),
        (lambda: arithmetic(operands=(3, 1)), "operands: 1; must be 2 or above"),
        (lambda: arithmetic(operands=()), "operands: empty"),
        (lambda: arithmetic(mixture=[0.5, 0.5]), "mixture: length 2; must be 4"),
        (lambda: arithmetic(mixture=[0.5, 0.5, 0.5, 0]), "mixture: sums to 1.5"),
        (lambda: arithmetic(announced=1.5), r"announced: 1.5; must be in \[0, 1\]"),
        (lambda: arithmetic(held=0.99), "held: 0.99; must leave questions"),
        (lambda: arithmetic(held=0.0).draw(KEY, 2, held=True), "held: True; must be False"),
        (lambda: arithmetic().with_operands((1,)), "operands: 1; must be 2 or above"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

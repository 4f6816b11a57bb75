"""The arithmetic task against Python's own arithmetic, and the study of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import plot, transformer as tf
from qra_jax.studies import arithmetic as study
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, decided
from qra_jax.transformer.procedures import PATTERNS, arithmetic
from qra_jax.transformer.sampling import Rollouts

KEY = jax.random.key(0)
OPEN = decided(False, False)


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


# The study


@pytest.fixture(scope="module")
def computed():
    """The study on a tiny scale: what it computes has no meaning, but every part runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf, "Decoder", lambda vocabulary, **options: tf.Lookup(vocabulary))
        patch.setattr(study, "QUICK", study.Size(2, 3, 8, 1, 1, 1, 2, 1, 3, 2, 4))
        patch.setattr(
            study, "taught", lambda keys, model, *rest: jax.vmap(lambda key: tf.init(key, model))(keys[0])
        )
        yield study.compute(quick=True)


def test_study_computes_and_draws(computed):
    assert computed["policy"].shape == computed["right"].shape == (2, 3, 6, 4)
    assert computed["tried/passed"].shape == computed["tried/worked"].shape == (2, 3, 2, 3)
    assert (computed["tried/worked"] <= computed["tried/passed"]).all()
    np.testing.assert_allclose(computed["policy"].sum(axis=-1), 1, atol=1e-5)
    assert (computed["paid"] <= computed["right"]).all()
    assert (computed["worked"] <= computed["right"]).all()
    assert (np.diff(computed["tried/passed"], axis=-1) >= 0).all()
    entropy = computed["tried/entropy"]
    np.testing.assert_allclose(entropy[:, 2], entropy[:, 1], rtol=0.2)  # cooled to that of the RL model
    assert len(study.judge(computed)) == 10
    with plot.style():
        assert len(study.draw(computed).axes) == 4


def made_up(*, rates=(0.2, 0.4, 0.9, 0.1), end=(0.0, 0.0, 1.0, 0.0), learnt=0.0, marker=1.0, passed=0.1):
    """Data of four seeds in which π goes straight to `end`."""
    rng = np.random.default_rng(0)
    start, rates = np.array(study.REF), np.array(rates)
    share = np.linspace(0, 1, 6)[:, None]
    pi = (1 - share) * start + share * np.array(end)
    p = rates + learnt * share * (1 - rates)
    f = np.broadcast_to(0.7 + 0.3 * marker * share, (6, 4))
    seeds = lambda x: x[None, :, None] + rng.normal(0, 1e-4, (4, len(x), 24, 4))  # noqa: E731
    curves = np.broadcast_to(pi[None], (4, 6, 4))
    tries = np.array([[[0.3, 0.9]] * 2, [[0.3 + passed, 0.9 - passed]] * 2, [[0.3, 0.9]] * 2])
    tries = tries + rng.normal(0, 1e-3, (4, 1, 1, 1))
    tries[:, 1] += rng.normal(0, 1e-3, (4, 1, 1))
    passes = tries[:, :, :, :1] * 0 + np.array([0.5, 1.0])  # guesses are right as often everywhere
    return {
        "policy": seeds(pi),
        "right": seeds(p),
        "paid": seeds(p * f),
        "worked": seeds(p * (0.5 + learnt * share / 2)),
        "announced": seeds(f),
        "step": np.arange(6),
        "ks": np.array([1, 64]),
        "status": np.zeros(4, int),
        "base": np.asarray(3),
        "leak": np.full((4, 6, 24), 0.01),
        "tried/passed": passes,
        "tried/worked": tries,
        "tried/entropy": np.ones((4, 3)),
        "tried/temperature": np.ones((4, 3)),
        **{f"near/{name}": curves for name in ("orbit", "orbit, mean rates", "natural", "line")},
    }


def test_parts_add_up_to_the_gain():
    data = made_up(learnt=0.5)
    made = study.parts(data, 1)
    np.testing.assert_allclose(made["choice"] + made["answers"] + made["format"], made["gain"], atol=1e-12)
    paid = (data["policy"] * data["paid"])[:, :, 12:].sum(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(made["gain"], paid - paid[:, :1], atol=1e-12)
    assert (made["choice"][:, -1] > 0.2).all()


def verdicts(**changes):
    return [row.verdict for row in study.judge(made_up(**changes))]


def test_verdicts_on_the_winner_and_on_rates():
    fixed = verdicts(marker=0.0)
    assert fixed[:3] == [HOLDS] * 3
    assert fixed[5] == OPEN  # no marker is learnt, and none is lost
    assert verdicts(marker=-1.0)[5] == FAILS
    moved = verdicts(learnt=0.5)
    assert moved[1] == moved[2] == FAILS
    assert moved[5] == moved[6] == HOLDS
    one = made_up()
    one["right"][2, -1, :, 1] += 0.2  # in one seed of four: the interval reaches from below zero to far above
    assert study.judge(one)[1].verdict == OPEN
    assert verdicts(end=(0.0, 1.0, 0.0, 0.0))[0] == FAILS
    data = made_up()
    data["paid"][:, -1, :, 1] = 1.0
    data["policy"] = data["policy"][..., [0, 2, 1, 3]]
    assert study.judge(data)[0].verdict == ONLY_IF + "success rates are those at the end of training"


def test_a_winner_is_the_best_where_the_others_are_shown_to_be_below():
    even = np.tile(np.array([0.5, 0.5, 0.1])[None, None], (1, 40, 1))
    noise = np.where(np.arange(40) % 2, 0.4, -0.4)[None, :, None] * np.array([1.0, -1.0, 0.0])
    first = np.array([0])
    close = study.placed(even + np.array([0.0, 0.01, 0.0]), first)  # below by less than SAME in each question
    assert (close.strict, close.best, close.below) == (False, True, True)
    loud = study.placed(even + noise + np.array([0.01, 0.0, 0.0]), first)  # ahead, but noise may have done it
    assert (loud.strict, loud.best, loud.below) == (True, False, False)
    lost = study.placed(even + noise / 4 + np.array([0.0, 0.3, 0.0]), first)
    assert (lost.strict, lost.best, lost.below) == (False, False, True)


def test_seeds_that_diverged_are_left_out_and_one_is_not_enough():
    whole = made_up()
    broken = {name: np.array(value, float) for name, value in whole.items()}
    broken["policy"][1] = np.nan
    broken["status"][3] = 1
    kept, lost = study.sound(broken)
    assert lost == 2
    assert len(kept["policy"]) == len(kept["tried/passed"]) == 2
    np.testing.assert_array_equal(kept["step"], whole["step"])
    assert "2 seeds without finite numbers" in study.judge(broken)[0].measured
    broken["status"][2] = 1
    one = study.judge(broken)
    assert [row.verdict for row in one[1:]] == [OPEN] * 9  # one seed has no interval
    broken["status"][:] = 1
    assert [row.verdict for row in study.judge(broken)] == [OPEN]


def test_verdicts_on_format_and_tries():
    assert verdicts(end=study.REF)[4] == HOLDS  # only format can gain
    assert verdicts(marker=0.0)[4] == FAILS
    assert verdicts(passed=0.1)[7:] == [HOLDS] * 3
    assert verdicts(passed=-0.1)[7:] == [FAILS] * 3
    alone = made_up()
    del alone["tried/worked"]  # right answers without their steps decide nothing
    assert [row.verdict for row in study.judge(alone)[7:]] == [OPEN] * 3


def test_verdict_on_the_orbit():
    data = made_up()
    path = data["policy"][:, :, :12].mean(axis=2)
    line = path + 0.1 * np.array([1, -1, 0, 0])
    assert study.judge(data | {"near/orbit": path, "near/line": line})[3].verdict == HOLDS
    assert study.judge(data | {"near/orbit": line, "near/line": line + line - path})[3].verdict == FAILS
    assert study.judge(data | {"near/orbit": path, "near/line": path})[3].verdict == OPEN  # none is nearer


def test_nearest_points_of_an_orbit_are_on_it():
    ref, rates = jnp.array(study.REF), jnp.array([0.2, 0.4, 0.9, 0.1])
    curve = jax.jit(study.along, static_argnums=2)(ref, rates, "softmax")
    np.testing.assert_allclose(curve[0], ref, atol=1e-12)
    assert curve[-1, 2] > 0.99
    np.testing.assert_allclose(study.nearest(curve[::100], curve), curve[::100])
    # A first integral of the orbit: differences of 1/π, less their start, are as differences of p.
    w = 1 / curve[400]
    scale = jnp.exp((jnp.sum(jnp.log(1 / ref)) - jnp.sum(jnp.log(w))) / 4)
    moved = scale * w - 1 / ref
    np.testing.assert_allclose(
        (moved[0] - moved[1]) / (moved[0] - moved[2]), (0.2 - 0.4) / (0.2 - 0.9), rtol=1e-6
    )

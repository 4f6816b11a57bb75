"""Streams keep their shares, ledgers count what was really spent, and stages go on where they were killed."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qra_jax as qra
from qra_jax import transformer
from qra_jax.problem import stack
from qra_jax.transformer import learning, ledger as ledgers, stages
from qra_jax.transformer.graphs import graphs
from qra_jax.transformer.ledger import Ledger
from qra_jax.transformer.stages import Stage, run_stages
from qra_jax.transformer.streams import mix, supervised, tokens_of

pytestmark = pytest.mark.usefixtures("compiled_plainly")
TASK = transformer.controlled(stack([qra.problem.examples.worked()] * 2))
MODEL = transformer.Decoder(
    TASK.vocabulary, width=4, depth=1, heads=1, hidden=2, dtype=jnp.float64, param_dtype=jnp.float64
)
GRAPHS = graphs((1, 4), room=4)
SHORT, LONG = GRAPHS.asking(1, 1).demonstrations, GRAPHS.asking(4, 4).demonstrations
KEYS = jax.random.split(jax.random.key(0), 2)


def _counts(shown):
    return np.bincount(np.asarray(shown.questions.truth.count), minlength=5)


def test_shares_of_sequences_are_kept_within_one_in_each_batch():
    stream = mix({"short": SHORT, "long": LONG}, (1.0, 3.0), of="sequences")
    assert stream.shares == (0.25, 0.75)
    for seed in range(4):
        counts = _counts(stream(jax.random.key(seed), 10))
        assert counts.sum() == 10
        assert counts[1] in (2, 3)


def test_shares_of_tokens_are_shares_of_tokens():
    stream = mix({"short": SHORT, "long": LONG}, (1.0, 1.0))
    assert stream.lengths == (8.0, 32.0)
    np.testing.assert_allclose(stream.shares, (0.8, 0.2))
    np.testing.assert_allclose(list(stream.token_shares.values()), (0.5, 0.5))
    shown = stream(jax.random.key(1), 20)
    counts, tokens = _counts(shown), np.asarray(jnp.sum(shown.where, axis=(1, 2)))
    assert counts[1] == 16
    assert tokens.sum() == supervised(shown) == 16 * 8 + 4 * 32


def test_a_stream_of_one_corpus_is_that_corpus():
    stream = mix({"long": LONG})
    shown, alone = stream(jax.random.key(0), 3), LONG(jax.random.split(jax.random.key(0), 2)[0], 3)
    for one, other in zip(jax.tree.leaves(shown), jax.tree.leaves(alone), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_share_of_zero_is_never_drawn():
    stream = mix({"short": SHORT, "long": LONG}, (0.0, 2.0))
    assert _counts(stream(jax.random.key(2), 16))[1] == 0


def test_known_lengths_are_taken():
    assert mix({"short": SHORT, "long": LONG}, of="tokens", lengths=(1.0, 1.0)).shares == (0.5, 0.5)
    assert tokens_of(LONG) == 32.0


def test_sequences_without_weight_do_not_count():
    shown = LONG(jax.random.key(0), 2)
    half = replace(shown, weight=shown.weight.at[0].set(0.0))
    assert int(supervised(half)) == int(supervised(shown)) // 2 == 32


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"corpora": {}}, "corpora: none"),
        ({"shares": (1.0,)}, "shares"),
        ({"shares": (0.0, 0.0)}, "shares"),
        ({"shares": (-1.0, 2.0)}, "shares"),
        ({"of": "questions"}, "of: "),
        ({"lengths": (1.0, 0.0)}, "lengths"),
        ({"corpora": {"a": SHORT, "b": TASK.demonstrations}}, "'b' draws other shapes"),
    ],
)
def test_mixtures_that_cannot_be(options, says):
    with pytest.raises(ValueError, match=says):
        mix(**({"corpora": {"short": SHORT, "long": LONG}} | options))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tokens": 0.0}, "tokens"),
        ({"questions": 0}, "questions"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"per_step": -1.0}, "per_step"),
        ({"algorithm": qra.grpo(2)}, "must be a task"),
        ({"of": TASK}, "must be a corpus"),
        ({"options": {"steps": 3}}, "steps; must be left"),
        ({"options": {"token_mask": None}}, "token_mask"),
    ],
)
def test_stages_that_cannot_be(options, says):
    good = {"name": "a", "of": SHORT, "tokens": 10.0, "questions": 2, "learning_rate": 0.1}
    with pytest.raises(ValueError, match=says):
        Stage(**(good | options))


def test_no_stages():
    with pytest.raises(ValueError, match="stages: none"):
        run_stages(KEYS, MODEL, [])


def _stages(**options):
    learnt: Any = {"options": {"optimizer": optax.sgd, "every": 2}} | options
    return [
        Stage("mid-training", TASK.demonstrations, tokens=200.0, questions=3, learning_rate=0.1, **learnt),
        Stage(
            "RL",
            TASK,
            tokens=100.0,
            questions=2,
            learning_rate=0.1,
            algorithm=qra.grpo(4),
            options={"optimizer": optax.sgd},
        ),
    ]


@pytest.fixture(scope="module")
def begun():
    return jax.vmap(lambda key: transformer.init(key, MODEL))(KEYS)


@pytest.fixture(scope="module")
def passed(begun):
    return run_stages(KEYS, MODEL, _stages(), params=begun)


def _same(first, second):
    return jax.tree.all(jax.tree.map(lambda a, b: bool(np.allclose(a, b, rtol=1e-10)), first, second))


def test_stages_are_learn_and_train(begun, passed):
    steps = passed.ledger.steps.tolist()
    own = [jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(KEYS) for i in range(2)]
    first = learning.learn(
        own[0],
        MODEL,
        TASK.demonstrations,
        steps=steps[0],
        questions=3,
        learning_rate=0.1,
        optimizer=optax.sgd,
        params=begun,
    )
    assert _same(passed.params[0], first.params)

    def last(key, params):
        options = {"algorithm": qra.grpo(4), "steps": steps[1], "questions": 2, "learning_rate": 0.1}
        run = transformer.train(
            key, MODEL, params, TASK, optimizer=optax.sgd, record_every=steps[1], **options
        )
        return run.params, steps[1] * run.stats["tokens"][0]

    params, tokens = transformer.side_by_side(last)(own[1], first.params)
    assert _same(passed.params[1], params)
    np.testing.assert_allclose(passed.ledger.sampled[1], tokens)
    np.testing.assert_allclose(passed.ledger.trained[1], tokens)


def test_tokens_that_were_read_are_counted(begun):
    drawn = []

    def corpus(key, number):
        shown = TASK.demonstrations(key, number)
        jax.debug.callback(lambda *x: drawn.append(x), jax.random.key_data(key), supervised(shown))
        return shown

    stage = Stage("a", corpus, tokens=100.0, questions=3, learning_rate=0.1, per_step=25.0)
    ledger = run_stages(KEYS, MODEL, [stage], params=begun).ledger
    jax.effects_barrier()
    each = {tuple(np.asarray(key).tolist()): int(count) for key, count in drawn}
    assert len(each) == 2 * 4  # of `learn` and of the count, the same draws
    assert ledger.read.sum() == sum(each.values())


def test_budgets_are_met(passed):
    np.testing.assert_allclose(passed.ledger.spent[0], 200, rtol=0.3)
    np.testing.assert_allclose(passed.ledger.spent[1].mean(), 100, rtol=0.5)
    assert passed.ledger.sampled[0].tolist() == passed.ledger.read[1].tolist() == [0.0, 0.0]


def test_compute_has_the_usual_weights(passed):
    ledger = passed.ledger
    flops = ledger.flops(10, prompts=False)
    np.testing.assert_allclose(flops[0], 60 * ledger.read[0])
    np.testing.assert_allclose(flops[1], 20 * ledger.sampled[1] + 60 * ledger.trained[1])
    more = ledger.flops(10) - flops
    np.testing.assert_allclose(more, 60 * ledger.prompts_read + 80 * ledger.prompts_asked)
    assert (more > 0).all()
    with pytest.raises(ValueError, match="parameters"):
        ledger.flops(0)


def test_each_epoch_trains_anew():
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    ledger = Ledger(("RL",), np.array([1]), zero, one, 3 * one, zero, one, np.array([3]))
    assert ledger.flops(1).item() == 2 + 18 + 2 + 18


def test_killed_stages_go_on(begun, passed, tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    def unless_rewarded(function):
        assert not function.__qualname__.startswith("_rewarded")
        return learning.side_by_side(function)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "_rewarded", killed)
        with pytest.raises(KeyboardInterrupt):
            run_stages(KEYS, MODEL, _stages(), params=begun, folder=tmp_path)
    again = run_stages(KEYS, MODEL, _stages(), params=begun, folder=tmp_path)
    assert _same(again.params, passed.params)
    monkeypatch.setattr(stages, "side_by_side", unless_rewarded)  # everything is kept by now
    last = run_stages(KEYS, MODEL, _stages(), params=begun, folder=tmp_path)
    assert _same(last.params, passed.params)
    np.testing.assert_allclose(last.ledger.spent, passed.ledger.spent)
    other = _stages()
    other[1] = Stage("RL", TASK, tokens=100.0, questions=2, learning_rate=0.2, algorithm=qra.grpo(4))
    with pytest.raises(ValueError, match="of another run"):
        run_stages(KEYS, MODEL, other, params=begun, folder=tmp_path)
    (tmp_path / "1.msgpack").write_bytes(b"broken")
    with pytest.raises(ValueError, match="cannot be read"):
        run_stages(KEYS, MODEL, _stages(), params=begun, folder=tmp_path)


def test_parameters_of_one_network(begun):
    one = jax.tree.map(lambda x: x[0], begun)
    assert ledgers.parameters(begun) == ledgers.parameters(one, networks=False) > 0

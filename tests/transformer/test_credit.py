"""Credit on tokens: against the tree of the same steps, enumeration, and sums written out."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qra_jax import algorithm as rules, transformer as tf, tree
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem, stack
from qra_jax.transformer import (
    credit as credits,
    critic as critics,
    reward as rewards,
    rl,
    surrogate,
    values,
)
from qra_jax.transformer.masks import TokenMask
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.tree_task import TreeTask, tree_task
from qra_jax.tree.credit import critic, exact, monte_carlo, process, siblings, uniform

pytestmark = pytest.mark.usefixtures("compiled_plainly")

LIMIT = 4.5  # of a z-score: one false alarm in 10⁵
KEY = jax.random.key(0)
RUNS = 3000


def leaf(chance, success):
    return {"chance": chance, "success": success}


UNEVEN = tree.Tree.from_nested(
    {
        "steps": [
            {"chance": 0.3, "steps": [leaf(0.4, 0.9), leaf(0.6, 0.2)]},
            {"chance": 0.5, "steps": [leaf(0.5, 0.1), leaf(0.5, 0.6)]},
            leaf(0.2, 0.4),
        ]
    }
)
TASK = tree_task(UNEVEN)
TABLE = tf.Lookup(TASK.vocabulary, param_dtype=jnp.float64)
CONTROLLED = [Problem.from_probs(ref=[0.2, 0.5, 0.3], success=[0.8, 0.5, 0.25])] * 2


def places(task: TreeTask):
    """Row and column of each step in the table of a task with one question."""
    origin = task.tree.shape.origin
    rows = np.where(origin == 0, task.first_question, task.first_step + origin - 1)
    return rows, task.first_step + np.arange(task.tree.shape.steps)


def centred(steps):
    """Logits of steps without what moves no policy."""
    found = np.array(steps)
    for state in UNEVEN.shape.inner:
        own = UNEVEN.shape.origin == state
        found[..., own] -= found[..., own].mean(axis=-1, keepdims=True)
    return found


def updates(credit, algorithm=None, runs=RUNS, **options):
    """What one step adds to the logits of each step of the tree, `[runs, steps]`."""
    start, algorithm = TASK.table(), rules.grpo(4) if algorithm is None else algorithm
    options = {"learning_rate": 1.0, "optimizer": optax.sgd} | options

    def run(key):
        done = tf.train(
            key, TABLE, start, TASK, algorithm=algorithm, steps=1, questions=1, credit=credit, **options
        )
        return (done.params["table"] - start["table"])[places(TASK)]

    return centred(jax.jit(jax.vmap(run))(jax.random.split(KEY, runs)))


PAID = {
    "uniform": uniform(entropy=0.5),
    "exact": exact(),
    "traced": exact(trace=0.5, confident=0.55),
    "one rollout": monte_carlo(1),
    "five rollouts": monte_carlo(5, segments=(1,)),
    "siblings": siblings(),
}


@lru_cache
def paid(name):
    return updates(PAID[name])


@pytest.mark.parametrize("name", PAID)
def test_mean_updates_are_those_of_the_tree(name):
    """In the tabular limit, under GRPO, whose clock changes with the accuracy."""
    mean = jax.jit(lambda z: tree.mean_update(UNEVEN, z, algorithm=rules.grpo(4), credit=PAID[name]))
    expected = np.asarray(mean(UNEVEN.log_ref))
    found = paid(name)
    error = found.std(axis=0) / np.sqrt(RUNS)
    assert np.all(np.abs(found.mean(axis=0) - expected) < LIMIT * error)
    assert np.abs(expected).max() > 8 * error.max()


def test_values_change_the_noise_and_not_the_mean():
    means = {name: paid(name).mean(axis=0) for name in ("exact", "one rollout", "five rollouts")}
    noise = {name: paid(name).var(axis=0).sum() for name in means} | {
        "uniform": updates(uniform()).var(0).sum()
    }
    for name in ("one rollout", "five rollouts"):
        error = np.sqrt((paid(name).var(axis=0) + paid("exact").var(axis=0)) / RUNS)
        assert np.all(np.abs(means[name] - means["exact"]) < LIMIT * error)
    assert noise["exact"] < 0.8 * noise["five rollouts"]
    assert noise["five rollouts"] < 0.8 * noise["one rollout"]
    assert noise["exact"] < 0.8 * noise["uniform"]


def test_noise_of_exact_values_is_that_of_the_tree():
    covariance = jax.jit(lambda z: tree.covariance(UNEVEN, z, algorithm=rules.grpo(4), credit=exact()))
    expected = np.trace(covariance(UNEVEN.log_ref))
    np.testing.assert_allclose(paid("exact").var(axis=0).sum(), expected, rtol=0.15)


def test_uniform_credit_is_the_step_that_was_there():
    """Written out with weights of whole sequences; and a threshold that no token reaches changes no bit."""
    algorithm, start = rules.grpo(4), TASK.table()
    keys = jax.random.split(jax.random.fold_in(KEY, 0), 4)

    @jax.jit
    def step(start):
        asked = TASK.draw(keys[0], 2)
        drawn = tf.sample(keys[1], TABLE, start, asked, group=4, length=TASK.length, end=TASK.end)
        verdict = TASK.verify(keys[2], asked, drawn)
        weights = jax.vmap(algorithm.weights)(rewards.verifiable()(keys[3], drawn, verdict))

        def ascended(params):
            log_probs = rl.log_probs(TABLE, params, asked, drawn.tokens)
            return surrogate.objective(log_probs, drawn.tokens, drawn.where, weights)

        return jax.tree.map(jnp.add, start, jax.grad(ascended)(start))

    options = {
        "algorithm": algorithm,
        "steps": 1,
        "questions": 2,
        "learning_rate": 1.0,
        "optimizer": optax.sgd,
    }
    expected = step(start)["table"]
    for credit in ({}, {"credit": uniform()}, {"credit": uniform(confident=1.0)}):
        found = jax.jit(lambda params, c=credit: tf.train(KEY, TABLE, params, TASK, **options, **c))(start)
        np.testing.assert_array_equal(found.params["table"], expected)
    assert np.abs(expected - start["table"]).max() > 0.01


@pytest.mark.parametrize(
    "options", [{}, {"surrogate": "clip", "clip": 0.2}, {"surrogate": "cispo", "clip": 0.2}]
)
def test_objective_takes_weights_of_tokens(options):
    keys = jax.random.split(KEY, 4)
    log_probs = jax.nn.log_softmax(jax.random.normal(keys[0], (2, 3, 4, 5)))
    tokens = jax.random.randint(keys[1], (2, 3, 4), 0, 5)
    learns = jnp.asarray(np.arange(4) < np.array([[4, 1, 2], [3, 3, 1]])[..., None])
    old = jnp.take_along_axis(log_probs, tokens[..., None], -1)[..., 0] + jax.random.normal(
        keys[2], (2, 3, 4)
    )
    whole = jax.random.normal(keys[3], (2, 3))
    known = {"off_policy": OffPolicy(epochs=2, **options), "old": old if options else None, "entropy": 0.3}

    @jax.jit
    def slope(weights):
        return jax.grad(lambda z: surrogate.objective(z, tokens, learns, weights, **known))(log_probs)

    each = jnp.broadcast_to(whole[..., None], tokens.shape)
    np.testing.assert_array_equal(slope(each), slope(whole))
    # The objective is linear in weights of one sign: those of single tokens add up.
    positive = jnp.abs(each)
    parts = [slope(positive * jnp.eye(4)[t][None, None]) for t in range(4)]
    np.testing.assert_allclose(sum(parts), slope(positive), atol=1e-14)


# Values


def controlled(coin):
    task = tf.controlled(stack(CONTROLLED), steps=(1, 0, 2), announced=0.7, coin=coin)
    model = tf.Decoder(task.vocabulary, width=16, depth=1, dtype=jnp.float64, param_dtype=jnp.float64)
    learnt = tf.learn(KEY[None], model, task.demonstrations, steps=150, questions=2)
    return task, model, jax.tree.map(lambda leaf: leaf[0], learnt.params)


def in_tree():
    return TASK, TABLE, TASK.table()


@pytest.mark.parametrize(
    ("make", "reward"),
    [
        (in_tree, rewards.verifiable(0.9, 0.2)),
        (partial(controlled, coin=True), rewards.verifiable()),
        (partial(controlled, coin=False), rewards.verifiable(announced=False)),
    ],
)
def test_values_of_rollouts_are_unbiased(make, reward):
    """Binomial around those by enumeration, in every state that a group comes through."""
    (task, model, params), tries, runs = make(), 3, 400
    draw = partial(tf.sample, length=task.length, end=task.end)
    asked = task.draw(KEY, 2)
    group = jax.jit(lambda params: draw(jax.random.key(1), model, params, asked, group=3))(params)
    earned = jnp.zeros(group.tokens.shape[:2])

    @jax.jit
    def enumerated(params):
        return values.exact_values(task, reward, asked, group.tokens, partial(rl.log_probs, model, params))

    def estimate(key):
        seen = credits.Seen(key, asked, group, earned)
        return values.sampled_values(
            monte_carlo(tries), seen, task, reward, partial(draw, model=model, params=params)
        )[0]

    found = np.asarray(jax.jit(jax.vmap(estimate))(jax.random.split(KEY, runs)))
    where, known = np.asarray(group.where), np.asarray(enumerated(params))
    spread = np.sqrt(np.maximum(known * (1 - known), 1e-12) / tries)
    z = (found.mean(axis=0) - known) / spread * np.sqrt(runs)
    assert np.abs(z[where]).max() < LIMIT
    ratio = (found.std(axis=0) / spread)[where & (known > 0.1) & (known < 0.9)]
    assert ratio.size > 3
    np.testing.assert_allclose(ratio, 1, atol=0.16)  # an error of 1/√800
    root = found[:, :, :, 0]  # one state, one estimate
    np.testing.assert_array_equal(root, np.broadcast_to(root[..., :1], root.shape))


def test_exact_values_are_those_of_the_tree():
    asked = TASK.draw(KEY, 1)
    tokens = TASK.solutions(asked).tokens
    forced = partial(rl.log_probs, TABLE, TASK.table())
    found = values.exact_values(TASK, rewards.verifiable(), asked, tokens, forced)
    value = np.asarray(tree.values(UNEVEN).value)
    for row, path in zip(np.asarray(found)[0], UNEVEN.shape.paths, strict=True):
        states = [0, *(step + 1 for step in path[:-1])]
        np.testing.assert_allclose(row[: len(path)], value[states], atol=1e-12)


@pytest.mark.parametrize(
    "credit", [exact(), exact(trace=0.3), exact(segments=(1, 3)), exact(segments=()), exact(whiten=True)]
)
def test_advantages_are_those_written_out(credit):
    rng = np.random.default_rng(0)
    values, earned = rng.uniform(size=(2, 3, 5)), rng.integers(0, 2, size=(2, 3)).astype(float)
    lengths = np.array([[5, 2, 3], [4, 1, 5]])
    where = np.arange(5) < lengths[..., None]
    expected = np.zeros_like(values)
    for n, g in np.ndindex(2, 3):
        size = lengths[n, g]
        marks = range(5) if credit.bounds is None else (0, *credit.bounds)
        after = np.append(values[n, g, :size], earned[n, g])
        for t in range(size):
            start = max(mark for mark in marks if mark <= t)
            stop = min([mark for mark in marks if mark > t] + [size])
            if credit.bounds is not None:
                expected[n, g, t] = after[min(stop, size)] - after[start]
            else:
                powers = float(credit.trace) ** np.arange(size - t)
                expected[n, g, t] = np.sum(powers * np.diff(after)[t:])
    if credit.whiten:
        for n in range(2):
            own = expected[n][where[n]]
            expected[n] = np.where(where[n], (expected[n] - own.mean()) / own.std(), 0)
    found = credits.by_values(credit, jnp.asarray(values), jnp.asarray(earned), jnp.asarray(where))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_siblings_are_weighed_in_their_own_group():
    tokens = np.array([[[3, 5, 7], [3, 5, 8], [3, 6, 0], [4, 0, 0], [3, 5, 7]]])
    earned, algorithm = np.array([[1.0, 0.0, 1.0, 1.0, 0.0]]), rules.grpo(5)
    numbers = jnp.zeros(tokens.shape)
    drawn = Rollouts(jnp.asarray(tokens), jnp.asarray(tokens > 0), numbers, numbers, numbers)
    found = np.asarray(credits.among_siblings(algorithm, drawn, jnp.asarray(earned)))
    for g, t in np.ndindex(5, 3):
        if not tokens[0, g, t]:
            assert found[0, g, t] == 0
            continue
        own = [h for h in range(5) if (tokens[0, h, :t] == tokens[0, g, :t]).all() and tokens[0, h, t]]
        weights = rules.grpo(len(own)).weights(jnp.asarray(earned[0, own])) if len(own) > 1 else [0.0]
        np.testing.assert_allclose(found[0, g, t], weights[own.index(g)], atol=1e-12)


def test_a_critic_comes_to_know_the_values():
    """Features of a lookup table tell states apart, so the regression has no bias but its ridge."""
    model, params, asked = TABLE, TASK.table(), TASK.draw(KEY, 1)

    def step(known, key):
        keys = jax.random.split(key, 2)
        drawn = tf.sample(keys[0], model, params, asked, group=256, length=TASK.length, end=TASK.end)
        right = TASK.verify(keys[1], asked, drawn).right.astype(float)
        _, features = tf.score(model, params, asked.prompt, asked.real, drawn.tokens)
        return critics.critic_learns(known, 0.05, features, drawn.where, right), None

    start = critics.critic_start(model, params)
    after, _ = jax.jit(lambda: jax.lax.scan(step, start, jax.random.split(KEY, 200)))()
    every = TASK.solutions(asked)
    _, features = tf.score(model, params, asked.prompt, asked.real, every.tokens)
    exact_ones = values.exact_values(
        TASK, rewards.verifiable(), asked, every.tokens, partial(rl.log_probs, model, params)
    )
    where = np.asarray(every.tokens > 0)
    assert np.abs(critics.critic_values(start, features)).max() == 0
    # 256 · 2/0.05 rollouts in memory, a fifth of them or more in each state: an error of √(.25/2000) at most.
    assert np.abs(critics.critic_values(after, features) - exact_ones)[where].max() < LIMIT * 0.0112


def test_a_critic_lowers_the_noise_of_training():
    """At a learning rate of zero the critic learns alone; the update after it is less noisy, with the same mean."""
    task, start = TASK, TASK.table()

    def last(key, credit):
        def adder(rate):
            def update(slope, count, params=None):
                return jax.tree.map(lambda x: jnp.where(count == 30, -rate * x, 0.0), slope), count + 1

            return optax.GradientTransformation(lambda params: jnp.zeros((), int), update)

        options = {"steps": 31, "questions": 1, "learning_rate": 1.0, "optimizer": adder}
        run = tf.train(
            key, TABLE, start, task, algorithm=rules.reinforce(group_size=4), credit=credit, **options
        )
        return (run.params["table"] - start["table"])[places(task)]

    keys = jax.random.split(KEY, 1500)
    plain, learnt = (
        centred(jax.jit(jax.vmap(partial(last, credit=c)))(keys)) for c in (uniform(), critic(0.2, trace=1.0))
    )
    error = np.sqrt((plain.var(axis=0) + learnt.var(axis=0)) / len(keys))
    assert np.all(np.abs(plain.mean(axis=0) - learnt.mean(axis=0)) < LIMIT * error)
    assert learnt.var(axis=0).sum() < 0.8 * plain.var(axis=0).sum()


def test_tokens_of_value_rollouts_are_counted():
    """In a tree of depth two: K continuations of two tokens of the question, and of one after each first step."""
    task = tree_task(tree.instances.hidden(), questions=3)
    model, options = tf.Lookup(task.vocabulary), {"steps": 2, "questions": 3, "learning_rate": 0.0}

    def tokens(credit, group):
        run = tf.train(
            KEY,
            model,
            task.table(),
            task,
            algorithm=rules.reinforce(group_size=group),
            credit=credit,
            **options,
        )
        return np.asarray(run.stats["tokens"])

    np.testing.assert_array_equal(tokens(uniform(), 4), 3 * 4 * 2)
    np.testing.assert_array_equal(tokens(monte_carlo(5), 1), 3 * (2 + 5 * 2 + 5))
    np.testing.assert_array_equal(tokens(monte_carlo(5, segments=()), 4), 3 * (4 * 2 + 5 * 2))


# Tree and network side by side


def test_a_decoder_reads_and_learns_as_its_tree():
    """The exact mean update of a learnt decoder is that of the tree at its policy, carried to its parameters.

    They differ by what the decoder writes beside the tree: its leak is their relative error, as the tree has none.
    """
    model = tf.Decoder(TASK.vocabulary, width=16, depth=1, dtype=jnp.float64, param_dtype=jnp.float64)
    learnt = tf.learn(KEY[None], model, TASK.demonstrations, steps=200, questions=1)
    params = jax.tree.map(lambda leaf: leaf[0], learnt.params)
    read = jax.jit(lambda params: TASK.steps(model, params))(params)
    inner = UNEVEN.shape.inner
    leak = float(read.leak[0, inner].max())
    assert leak < 0.02
    np.testing.assert_allclose(np.exp(read.log_policy[0]), UNEVEN.ref, atol=0.05)
    known = tree.values(UNEVEN, read.log_policy[0])
    np.testing.assert_allclose(read.accuracy[0], known.value[0], atol=2 * leak)

    asked = TASK.draw(KEY, 1)
    every = TASK.solutions(asked)
    where = every.tokens > 0
    forced = partial(rl.log_probs, model)
    chance = jnp.exp(UNEVEN.leaf_log_policy(read.log_policy))

    @jax.jit
    def enumerated(params):
        worth = values.exact_values(TASK, rewards.verifiable(), asked, every.tokens, partial(forced, params))
        return credits.by_values(exact(), worth, every.right, where)

    weights = enumerated(params) * (chance * chance.shape[1])[..., None]

    def ascended(params):
        return surrogate.objective(forced(params, asked, every.tokens), every.tokens, where, weights)

    mean = jax.jit(lambda z: tree.mean_update(UNEVEN, z, algorithm=rules.reinforce(), credit=exact()))
    slope = mean(read.log_policy[0])

    def carried(params):
        return jnp.sum(slope * TASK.steps(model, params).log_policy[0])

    found, expected = (
        np.concatenate([np.ravel(x) for x in jax.tree.leaves(jax.jit(jax.grad(f))(params))])
        for f in (ascended, carried)
    )
    assert np.linalg.norm(found - expected) < 4 * leak * np.linalg.norm(expected)


def test_tree_task_speaks_of_its_tree():
    task = tree_task(UNEVEN, questions=2)
    model, start = tf.Lookup(task.vocabulary, param_dtype=jnp.float64), task.table()
    read = jax.jit(lambda start: task.steps(model, start))(start)
    np.testing.assert_allclose(np.exp(read.log_policy), np.broadcast_to(UNEVEN.ref, (2, 7)), atol=1e-12)
    np.testing.assert_allclose(read.accuracy, float(UNEVEN.accuracy_ref), atol=1e-12)
    assert read.leak.max() < 1e-12
    shown = task.demonstrations()
    np.testing.assert_allclose(shown.weight.sum(axis=1), 1)
    asked = task.draw(KEY, 2)

    @jax.jit
    def judged_group(start):
        drawn = tf.sample(KEY, model, start, asked, group=4000, length=task.length, end=task.end)
        return drawn, task.verify(jax.random.key(1), asked, drawn)

    drawn, verdict = judged_group(start)
    assert verdict.formatted.all()
    share = (np.asarray(verdict.pattern)[..., None] == np.arange(task.patterns)).mean(axis=(0, 1))
    expected = np.exp(UNEVEN.leaf_log_policy(UNEVEN.log_ref))
    assert np.all(np.abs(share - expected) < LIMIT * np.sqrt(expected / 8000))
    ends = np.asarray(drawn.tokens)[..., 0] == task.first_step + 2  # a leaf after one step
    np.testing.assert_array_equal(np.asarray(drawn.length), np.where(ends, 1, 2))
    kinds = np.asarray(task.kinds(drawn.tokens))
    np.testing.assert_array_equal(kinds[..., 0], 0)
    np.testing.assert_array_equal(kinds[..., 1], np.where(ends, -1, 3))
    wrong = Rollouts(*(jnp.zeros((2, 1, 2), kind) for kind in (int, bool, float, float, float)))
    judged = task.verify(KEY, asked, wrong)
    assert not judged.right.any()
    assert (judged.pattern == -1).all()


def test_several_trees_are_several_questions():
    trees = jax.tree.map(lambda x: jnp.stack([x, x**2, x**3]), UNEVEN)
    trees = trees.with_ref(-jnp.abs(trees.log_ref))
    task = tree_task(trees)
    asked = task.draw(KEY, 3)
    solutions = task.solutions(asked)
    np.testing.assert_array_equal(solutions.right, trees.success[asked.truth])
    shown = task.demonstrations()
    np.testing.assert_allclose(shown.weight, np.exp(trees.leaf_log_policy(trees.log_ref)))


# What is refused


REFUSED = [
    ("credit", {"credit": process()}),
    ("off_policy", {"credit": exact(), "off_policy": OffPolicy(epochs=2)}),
    ("reward", {"credit": siblings(), "reward": rewards.majority_vote()}),
    ("algorithm", {"credit": monte_carlo(2), "algorithm": rules.grpo(4, resample_silent=True)}),
    ("start", {"credit": critic(0.1, start=np.zeros(3))}),
    ("segments", {"credit": exact(segments=(2,))}),
    ("token_mask", {"credit": exact(), "token_mask": TokenMask("top_entropy", 0.2)}),
    (
        "mask_old_negatives",
        {"credit": siblings(), "off_policy": OffPolicy(staleness=1, mask_old_negatives=0.1)},
    ),
    ("credit", {"credit": "exact"}),
]


@pytest.mark.parametrize(("name", "options"), REFUSED)
def test_what_a_network_cannot_have_is_named(name, options):
    known = {"algorithm": rules.grpo(4), "steps": 1, "questions": 1, "learning_rate": 1.0} | options
    with pytest.raises((ValueError, TypeError) if options["credit"] == "exact" else ValueError, match=name):
        tf.train(KEY, TABLE, TASK.table(), TASK, **known)


def test_arithmetic_has_no_exact_values():
    task = tf.arithmetic()
    model = tf.Decoder(task.vocabulary, width=8, depth=1)
    with pytest.raises(ValueError, match=r"^credit: exact\(\) in Arithmetic"):
        tf.train(
            KEY,
            model,
            jax.eval_shape(lambda: tf.init(KEY, model)),
            task,
            algorithm=rules.grpo(4),
            steps=1,
            questions=1,
            learning_rate=1.0,
            credit=exact(),
        )


def test_tree_task_names_what_is_wrong():
    with pytest.raises(ValueError, match=r"^questions: 0"):
        tree_task(UNEVEN, questions=0)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), UNEVEN)
    with pytest.raises(ValueError, match=r"^questions: 3; must be 2"):
        tree_task(stacked, questions=3)

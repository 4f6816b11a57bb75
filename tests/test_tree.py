"""Trees of reasoning steps: structure, values, moments of an update, training and flow."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qra_jax as qra
from qra_jax import tree
from qra_jax.tree import credit, instances
from qra_jax.tree.moments import group_moments
from qra_jax.tree.paths import binomial

SMALL = {
    "hidden": instances.hidden(),
    "comb": instances.comb(2, go_on=0.4),
    "chain": instances.chain([0.3, 0.6]),
    "uneven": tree.Tree.from_nested(
        {
            "steps": [
                {"name": "a", "chance": 0.2, "success": 0.7, "length": 2, "process": 0.1},
                {
                    "name": "b",
                    "chance": 0.5,
                    "length": 1,
                    "process": -0.4,
                    "steps": [
                        {"chance": 0.6, "success": 0.1, "length": 3, "process": 0.0},
                        {"chance": 0.3, "success": 0.95, "length": 1, "process": 0.8},
                        {"chance": 0.1, "success": 0.0, "length": 1, "process": 0.3},
                    ],
                },
                {
                    "name": "c",
                    "chance": 0.3,
                    "length": 4,
                    "process": 0.2,
                    "steps": [{"chance": 1.0, "success": 0.4, "length": 2, "process": 0.5}],
                },
            ]
        }
    ),
}


def brute_values(t):
    """Values of all states by recursion, and the steps of every leaf."""
    policy, origin = np.exp(np.asarray(t.log_ref)), t.shape.origin
    leaf = {int(s): i for i, s in enumerate(t.shape.leaves)}

    def value(state):
        if state in leaf:
            return float(t.success[leaf[state]])
        return sum(policy[j] * value(j + 1) for j in np.flatnonzero(origin == state))

    return np.array([value(s) for s in range(t.shape.states)])


def brute_labels(t):
    policy = np.exp(np.asarray(t.log_ref))
    for i, path in enumerate(t.shape.paths):
        chance = math.prod(policy[j] for j in path)
        for right, rate in ((1, float(t.success[i])), (0, 1 - float(t.success[i]))):
            if chance * rate > 0:
                yield chance * rate, path, right


def score(t, path, step):
    """∇ log π of one step of a path."""
    policy, origin = np.exp(np.asarray(t.log_ref)), t.shape.origin
    slope = np.where(origin == origin[step], -policy, 0.0)
    slope[step] += 1
    return slope


def brute_moments(t, group, advantages, extra=((1.0, None),)):
    """Mean and covariance of the update over all groups (and all tables of values in `extra`), one by one."""
    labels = list(brute_labels(t))
    mean, square = np.zeros(t.shape.steps), np.zeros((t.shape.steps,) * 2)
    for chance_of_table, table in extra:
        for members in itertools.combinations_with_replacement(range(len(labels)), group):
            ways = math.factorial(group) / math.prod(math.factorial(k) for k in Counter(members).values())
            rollouts = [labels[i] for i in members]
            chance = chance_of_table * ways * math.prod(label[0] for label in rollouts)
            update = np.zeros(t.shape.steps)
            for (_, path, _), paid in zip(rollouts, advantages(rollouts, table), strict=True):
                for step, weight in zip(path, paid, strict=True):
                    update += weight * score(t, path, step) / group
            mean += chance * update
            square += chance * np.outer(update, update)
    return mean, square - np.outer(mean, mean)


def grpo_weights(rewards):
    rewards = np.asarray(rewards, float)
    return (rewards - rewards.mean()) / rewards.std() if rewards.std() > 0 else np.zeros(len(rewards))


def uniformly(rollouts, table):
    return [
        [w] * len(path)
        for w, (_, path, _) in zip(grpo_weights([r[2] for r in rollouts]), rollouts, strict=True)
    ]


def by_table(t, clock, trace=0.0, bounds=None):
    def advantages(rollouts, table):
        paid = []
        for _, path, right in rollouts:
            states = [int(t.shape.origin[step]) for step in path]
            known = [float(table[s]) for s in states] + [float(right)]
            if bounds is None:
                deltas = np.diff(known)
                one = [
                    sum(trace ** (m - i) * deltas[m] for m in range(i, len(path))) for i in range(len(path))
                ]
            else:
                starts = [d for d in range(len(path)) if d == 0 or d in bounds]
                one = []
                for i in range(len(path)):
                    begin = max(d for d in starts if d <= i)
                    end = min([d for d in starts if d > i], default=len(path))
                    one.append(known[end] - known[begin])
            paid.append([clock * weight for weight in one])
        return paid

    return advantages


@pytest.mark.parametrize("name", SMALL)
def test_values_visits_and_paths_are_those_of_enumeration(name):
    t = SMALL[name]
    found, by_hand = tree.values(t), brute_values(t)
    np.testing.assert_allclose(found.value, by_hand, atol=1e-15)
    np.testing.assert_allclose(found.advantage, by_hand[1:] - by_hand[t.shape.origin], atol=1e-15)
    policy = np.exp(np.asarray(t.log_ref))
    reached = [math.prod(policy[j] for j in path) for path in t.shape.paths]
    np.testing.assert_allclose(np.asarray(found.visit)[t.shape.leaves], reached, atol=1e-15)
    np.testing.assert_allclose(t.flat().ref, reached, atol=1e-15)
    of_states = [-sum(p * math.log(p) for p in policy[t.shape.origin == s]) for s in t.shape.inner]
    np.testing.assert_allclose(found.entropy, of_states, atol=1e-14)


@pytest.mark.parametrize("name", SMALL)
def test_moments_of_uniform_credit_are_those_of_all_groups(name):
    t, algorithm = SMALL[name], qra.grpo(3)
    mean, covariance = brute_moments(t, 3, uniformly)
    np.testing.assert_allclose(tree.mean_update(t, algorithm=algorithm), mean, atol=1e-12)
    np.testing.assert_allclose(tree.covariance(t, algorithm=algorithm), covariance, atol=1e-12)
    listed = group_moments(t, algorithm=algorithm)
    np.testing.assert_allclose(listed[0], mean, atol=1e-12)
    np.testing.assert_allclose(listed[1], covariance, atol=1e-12)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("how", ["steps", "trace", "segments"])
def test_moments_of_credit_by_exact_values_are_those_of_all_groups(name, how):
    t, algorithm = SMALL[name], qra.grpo(3)
    options = {"steps": {}, "trace": {"trace": 0.7}, "segments": {"segments": (2,)}}[how]
    values, clock = brute_values(t), float(algorithm.clock(t.accuracy_ref))
    paid = by_table(t, clock, trace=options.get("trace", 0.0), bounds=options.get("segments"))
    mean, covariance = brute_moments(t, 3, paid, [(1.0, values)])
    given = credit.exact(**options)
    np.testing.assert_allclose(tree.covariance(t, algorithm=algorithm, credit=given), covariance, atol=1e-12)
    np.testing.assert_allclose(tree.mean_update(t, algorithm=algorithm, credit=given), mean, atol=1e-12)
    np.testing.assert_allclose(mean, tree.mean_update(t, algorithm=algorithm), atol=1e-12)


@pytest.mark.parametrize("segments", [(1,), (2,), (1, 3), ()])
def test_moments_with_segments_of_several_steps_are_those_of_all_groups(segments):
    t, algorithm = instances.comb(4, go_on=0.7), qra.rloo(2)
    mean, covariance = brute_moments(t, 2, by_table(t, 1.0, bounds=segments), [(1.0, brute_values(t))])
    given = credit.exact(segments=segments)
    np.testing.assert_allclose(tree.covariance(t, algorithm=algorithm, credit=given), covariance, atol=1e-12)
    np.testing.assert_allclose(tree.mean_update(t, algorithm=algorithm), mean, atol=1e-12)


@pytest.mark.parametrize("name", ["hidden", "chain"])
@pytest.mark.parametrize("trace", [0.0, 0.5])
def test_moments_of_monte_carlo_credit_are_those_of_all_groups_and_values(name, trace):
    t, tries, algorithm = SMALL[name], 2, qra.rloo(2)
    values, inner = brute_values(t), t.shape.inner
    tables = []
    for numbers in itertools.product(range(tries + 1), repeat=len(inner)):
        chance, table = 1.0, np.array(values)
        for state, k in zip(inner, numbers, strict=True):
            chance *= math.comb(tries, k) * values[state] ** k * (1 - values[state]) ** (tries - k)
            table[state] = k / tries
        tables.append((chance, table))
    mean, covariance = brute_moments(t, 2, by_table(t, 1.0, trace), tables)
    given = credit.monte_carlo(tries, trace=trace)
    np.testing.assert_allclose(tree.mean_update(t, algorithm=algorithm, credit=given), mean, atol=1e-12)
    np.testing.assert_allclose(tree.covariance(t, algorithm=algorithm, credit=given), covariance, atol=1e-12)


def test_moments_with_a_critic_are_those_of_all_groups():
    t, algorithm = SMALL["uneven"], qra.rloo(3)
    table = np.zeros(t.shape.states)
    table[t.shape.inner] = [0.3, 0.8, 0.1]
    mean, covariance = brute_moments(t, 3, by_table(t, 1.0, 0.4), [(1.0, table)])
    given = credit.critic(0.1, start=table[t.shape.inner], trace=0.4)
    np.testing.assert_allclose(tree.covariance(t, algorithm=algorithm, credit=given), covariance, atol=1e-12)
    one = tree.train(
        jax.random.key(0), t, steps=1, learning_rate=1.0, algorithm=algorithm, credit=given, mode="mean"
    )
    np.testing.assert_allclose(_moved(t, one), mean, atol=1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_moments_of_siblings_are_those_of_all_groups(name):
    t, algorithm = SMALL[name], qra.grpo(4)

    def advantages(rollouts, table):
        weights = [[0.0] * len(path) for _, path, _ in rollouts]
        for state in t.shape.inner:
            here = [
                (i, [int(t.shape.origin[step]) for step in path].index(state))
                for i, (_, path, _) in enumerate(rollouts)
                if state in [int(t.shape.origin[step]) for step in path]
            ]
            if here:
                paid = grpo_weights([rollouts[i][2] for i, _ in here])
                for (i, place), weight in zip(here, paid, strict=True):
                    weights[i][place] = weight
        return weights

    mean, covariance = brute_moments(t, 4, advantages)
    given = credit.siblings()
    np.testing.assert_allclose(tree.mean_update(t, algorithm=algorithm, credit=given), mean, atol=1e-12)
    np.testing.assert_allclose(tree.covariance(t, algorithm=algorithm, credit=given), covariance, atol=1e-12)


def test_moments_of_process_and_whitened_credit_are_those_of_all_groups():
    t, algorithm = SMALL["uneven"], qra.grpo(3)
    policy, reward = np.exp(np.asarray(t.log_ref)), np.asarray(t.process)
    middle = np.array([np.sum((policy * reward)[t.shape.origin == s]) for s in range(t.shape.states)])

    def with_process(rollouts, table):
        plain = uniformly(rollouts, table)
        return [
            [w + 0.6 * (reward[j] - middle[t.shape.origin[j]]) for w, j in zip(paid, path, strict=True)]
            for paid, (_, path, _) in zip(plain, rollouts, strict=True)
        ]

    mean, covariance = brute_moments(t, 3, with_process)
    given = credit.process(0.6)
    np.testing.assert_allclose(tree.mean_update(t, algorithm=algorithm, credit=given), mean, atol=1e-12)
    np.testing.assert_allclose(tree.covariance(t, algorithm=algorithm, credit=given), covariance, atol=1e-12)

    values, clock = brute_values(t), float(algorithm.clock(t.accuracy_ref))
    plain = by_table(t, 1.0, trace=0.5)

    def whitened(rollouts, table):
        paid = plain(rollouts, values)
        every = np.concatenate(paid)
        return [[clock * (w - every.mean()) / (every.std() + 1e-8) for w in one] for one in paid]

    mean, covariance = brute_moments(t, 3, whitened)
    given = credit.exact(trace=0.5, whiten=True)
    found = group_moments(t, algorithm=algorithm, credit=given)
    np.testing.assert_allclose(found[0], mean, atol=1e-9)  # squares of sums lose half of the digits
    np.testing.assert_allclose(found[1], covariance, atol=1e-9)


def _moved(t, run):
    """What one step of training at learning rate one adds to the logits, centred in each state as updates are."""
    change = np.array(run.log_policy[..., 1, :] - run.log_policy[..., 0, :])
    for state in t.shape.inner:
        steps = t.shape.origin == state
        change[..., steps] -= change[..., steps].mean(axis=-1, keepdims=True)
    return change


GIVEN = {
    "uniform": credit.uniform(),
    "exact": credit.exact(),
    "trace": credit.exact(trace=0.6),
    "segments": credit.exact(segments=(2,)),
    "monte-carlo": credit.monte_carlo(3),
    "siblings": credit.siblings(),
    "process": credit.process(0.3),
    "confident": credit.uniform(confident=0.55),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_sampled_updates_have_the_exact_mean_and_covariance(kind):
    t, algorithm, given, runs = SMALL["uneven"], qra.grpo(4), GIVEN[kind], 40_000

    def one(key):
        return tree.train(key, t, steps=1, learning_rate=1.0, algorithm=algorithm, credit=given)

    moved = _moved(t, jax.vmap(one)(jax.random.split(jax.random.key(5), runs)))
    mean = np.asarray(tree.mean_update(t, algorithm=algorithm, credit=given))
    covariance = np.asarray(tree.covariance(t, algorithm=algorithm, credit=given))
    spread = np.sqrt(np.diag(covariance) / runs)
    assert np.all(np.abs(moved.mean(axis=0) - mean) <= 5 * spread + 1e-12)
    sampled = np.cov(moved.T)
    centred = moved - moved.mean(axis=0)
    noise = np.std(centred[:, :, None] * centred[:, None, :], axis=0) / math.sqrt(runs)
    assert np.all(np.abs(sampled - covariance) <= 5.5 * noise + 1e-12)
    expected = tree.train(
        jax.random.key(0), t, steps=1, learning_rate=1.0, algorithm=algorithm, credit=given, mode="mean"
    )
    np.testing.assert_allclose(_moved(t, expected), mean, atol=1e-12)


@pytest.mark.parametrize("mode", ["sampled", "mean"])
@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": qra.grpo(8)},
        {"algorithm": qra.rloo(4), "optimizer": optax.adam},
        {"algorithm": qra.filtered_sft(group_size=4), "regularizers": [qra.reverse_kl(0.05)]},
        {"algorithm": qra.dpo(0.1, group_size=8)},
        {"algorithm": qra.grpo(8), "off_policy": qra.OffPolicy(epochs=3, clip=0.2)},
        {"algorithm": qra.grpo(8), "off_policy": qra.OffPolicy(staleness=2)},
    ],
    ids=["grpo", "adam", "penalty", "dpo", "epochs", "stale"],
)
def test_a_tree_of_depth_one_is_the_bandit_to_the_bit(mode, options):
    problem = qra.Problem.from_probs(ref=[0.05, 0.7, 0.25], success=[0.9, 0.6, 0.1])
    flat = tree.Tree(tree.Shape((3, 0, 0, 0)), problem.log_ref, problem.success)
    keys = jax.random.split(jax.random.key(1), 3)
    settings = {"steps": 40, "learning_rate": 0.3, "mode": mode, **options}
    bandit = jax.vmap(lambda key: qra.training.train(key, problem, **settings))(keys)
    grown = jax.vmap(lambda key: tree.train(key, flat, **settings))(keys)
    np.testing.assert_array_equal(bandit.log_policy, grown.log_policy)
    for name in bandit.stats:
        np.testing.assert_array_equal(bandit.stats[name], grown.stats[name])


def test_siblings_in_a_tree_of_depth_one_are_uniform_credit():
    flat = tree.Tree.from_nested(
        {"steps": [{"chance": 0.3, "success": 0.8}, {"chance": 0.7, "success": 0.4}]}
    )
    settings = {"steps": 30, "learning_rate": 0.3, "algorithm": qra.grpo(6)}
    whole = tree.train(jax.random.key(2), flat, **settings)
    apart = tree.train(jax.random.key(2), flat, credit=credit.siblings(), **settings)
    np.testing.assert_allclose(whole.log_policy, apart.log_policy, atol=1e-13)


def test_trees_and_numbers_of_a_credit_are_mapped_over():
    t = SMALL["uneven"]
    trees = jax.tree.map(lambda *x: jnp.stack(x), t, t.with_ref(jnp.linspace(-1.0, 1.0, 7)))
    numbers = jnp.asarray([0.3, 0.9])

    def run(t, number):
        given = credit.critic(number, trace=number, confident=number)
        settings = {"steps": 5, "learning_rate": 0.5, "algorithm": qra.grpo(4), "credit": given}
        return tree.train(jax.random.key(0), t, **settings).log_policy

    mapped = jax.vmap(run)(trees, numbers)
    for row in (0, 1):
        alone = run(jax.tree.map(lambda x, row=row: x[row], trees), numbers[row])
        np.testing.assert_array_equal(mapped[row], alone)


@pytest.mark.parametrize("kind", ["uniform", "siblings", "process"])
def test_flow_is_the_limit_of_small_steps(kind):
    t, algorithm, given = SMALL["uneven"], qra.grpo(4), GIVEN[kind]
    ends = []
    for steps in (400, 800):
        run = tree.train(
            jax.random.key(0),
            t,
            steps=steps,
            learning_rate=4.0 / steps,
            algorithm=algorithm,
            credit=given,
            mode="mean",
            record_every=steps,
        )
        ends.append(np.asarray(run.log_policy[-1]))
    flow = np.asarray(tree.solve(t, ts=[4.0], algorithm=algorithm, credit=given).log_policy[-1])
    first, second = (np.abs(end - flow).max() for end in ends)
    assert second < 2e-3
    assert 1.8 < first / second < 2.2


def test_penalties_act_on_whole_paths():
    t, log_policy = SMALL["uneven"], SMALL["uneven"].shape.log_softmax(jnp.linspace(-1.0, 1.0, 7))
    terms = [qra.reverse_kl(0.3), qra.entropy_bonus(0.2)]

    def gain(logits):
        paths = t.leaf_log_policy(t.shape.log_softmax(logits))
        kl = jnp.sum(jnp.exp(paths) * (paths - t.flat().log_ref))
        return jnp.sum(jnp.exp(paths) * t.success) - 0.3 * kl - 0.2 * jnp.sum(jnp.exp(paths) * paths)

    found = tree.mean_update(t, log_policy, algorithm=qra.reinforce(), regularizers=terms)
    np.testing.assert_allclose(found, jax.grad(gain)(log_policy), atol=1e-14)


def test_shared_parameters_ascend_the_sum_of_questions():
    t = instances.hidden()
    pair = jax.tree.map(lambda *x: jnp.stack(x), t, t.with_ref(jnp.asarray([0.5, 0.1, 0.0, 1.0, -0.3, 0.2])))
    features = jax.random.normal(jax.random.key(4), (2, t.shape.steps, 3))
    run = tree.train(
        jax.random.key(0),
        pair,
        steps=1,
        learning_rate=0.1,
        algorithm=qra.rloo(4),
        mode="mean",
        features=features,
    )
    slope = sum(
        features[q].T @ tree.mean_update(jax.tree.map(lambda x, q=q: x[q], pair), algorithm=qra.rloo(4))
        for q in (0, 1)
    )
    for q in (0, 1):
        expected = t.shape.log_softmax(pair.log_ref[q] + features[q] @ (0.1 * slope))
        np.testing.assert_allclose(run.log_policy[q, -1], expected, atol=1e-12)


@pytest.mark.parametrize(
    "algorithm", [qra.reinforce(0.3, group_size=2), qra.rloo(2)], ids=["reinforce", "rloo"]
)
def test_entropy_term_is_the_gradient_of_weighed_entropies(algorithm):
    t, alpha = SMALL["uneven"], 0.7
    plain = tree.mean_update(t, algorithm=algorithm)
    more = tree.mean_update(t, algorithm=algorithm, credit=credit.uniform(entropy=alpha))
    v = tree.values(t)
    inner, first = t.shape.inner, float(v.value[0])
    # Leave-one-out has the value of the question for a baseline.
    baseline = 0.3 if algorithm.name == "REINFORCE" else first
    weight = np.asarray(v.visit)[inner] * (np.asarray(v.value)[inner] - baseline)

    def entropies(logits):
        log_policy = t.shape.log_softmax(logits)
        return -t.shape.total(jnp.exp(log_policy) * log_policy)

    expected = alpha * jax.jacobian(entropies)(t.log_ref).T @ weight
    np.testing.assert_allclose(more - plain, expected, atol=1e-14)


@pytest.mark.parametrize(
    "given",
    [
        credit.exact(confident=0.55),
        credit.exact(segments=(2,), confident=0.55),
        credit.monte_carlo(2, confident=0.55),
    ],
    ids=["exact", "segments", "monte-carlo"],
)
def test_confident_steps_are_left_out_of_the_mean_of_credit_by_values(given):
    """What a step is paid above its state differs from uniform credit where its siblings are not trained."""
    t, algorithm = SMALL["uneven"], qra.rloo(3)
    settings = {"steps": 1, "learning_rate": 1.0, "algorithm": algorithm, "mode": "mean"}
    moved = _moved(t, tree.train(jax.random.key(0), t, credit=given, **settings))
    found = tree.mean_update(t, algorithm=algorithm, credit=given)
    np.testing.assert_allclose(found, moved, atol=1e-12)
    by_return = tree.mean_update(t, algorithm=algorithm, credit=credit.uniform(confident=0.55))
    assert (jnp.abs(found - by_return).max() > 1e-3) == (given.bounds is None)


def test_an_entropy_term_has_no_mean_with_exact_values():
    t, algorithm = SMALL["uneven"], qra.rloo(3)
    plain, more = (
        tree.mean_update(t, algorithm=algorithm, credit=one)
        for one in (credit.exact(), credit.exact(entropy=0.7))
    )
    np.testing.assert_allclose(more, plain, atol=1e-14)


def test_tokens_count_value_rollouts():
    t, group, tries = SMALL["uneven"], 3, 2
    policy, lengths = np.exp(np.asarray(t.log_ref)), np.asarray(t.lengths)
    total, seen = {}, 0.0
    for i, path in enumerate(t.shape.paths):
        total[i] = math.prod(policy[j] for j in path), sum(lengths[j] for j in path)
    mean_length = sum(chance * length for chance, length in total.values())
    visits = {0: 1.0, 2: 0.5, 3: 0.3}
    after = {0: mean_length, 2: 0.6 * 3 + 0.4, 3: 2.0}
    seen = sum(tries * (1 - (1 - visits[s]) ** group) * after[s] for s in visits)
    np.testing.assert_allclose(tree.tokens(t, group_size=group), group * mean_length)
    np.testing.assert_allclose(
        tree.tokens(t, group_size=group, credit=credit.monte_carlo(tries)), group * mean_length + seen
    )


def test_several_questions_and_other_shapes_are_named():
    t = instances.hidden()
    pair = jax.tree.map(lambda x: jnp.stack([x, x]), t)
    for ask in (
        tree.values,
        tree.mean_update,
        lambda t: tree.covariance(t, algorithm=qra.grpo(3)),
        lambda t: tree.solve(t, ts=[1.0]),
        lambda t: tree.tokens(t, group_size=3),
    ):
        with pytest.raises(ValueError, match=r"^tree: log_ref has shape \(2, 6\)"):
            ask(pair)
    with pytest.raises(ValueError, match=r"^log_policy: shape \(5,\); must be \(6,\)"):
        tree.values(t, jnp.zeros(5))
    with pytest.raises(ValueError, match=r"^log_ref: shape \(5,\); must have 6"):
        t.with_ref(jnp.zeros(5))
    options = {"steps": 1, "learning_rate": 0.1, "algorithm": qra.grpo(4), "credit": credit.critic()}
    with pytest.raises(ValueError, match=r"^log_policy0: shape \(5,\)"):
        tree.train(jax.random.key(0), t, log_policy0=jnp.zeros(5), **options)


def test_credit_says_what_it_is():
    assert repr(credit.uniform()) == "Credit(uniform)"
    assert repr(credit.monte_carlo(3, segments=(2,), whiten=True)) == (
        "Credit(monte_carlo, segments = (2,), rollouts = 3, whiten)"
    )
    assert repr(credit.exact(trace=0.5)) == "Credit(exact, trace = 0.5)"


def test_a_process_reward_is_clipped_by_its_sign():
    """With a clip of nothing, what has moved in the right direction once is done."""
    t = replace(
        instances.hidden(), success=jnp.zeros(4), process=jnp.asarray([0.5, -0.5, 1.0, 0.0, -0.3, 0.3])
    )

    def end(epochs):
        return tree.train(
            jax.random.key(0),
            t,
            steps=1,
            learning_rate=1.0,
            algorithm=qra.grpo(4),
            credit=credit.process(),
            off_policy=qra.OffPolicy(epochs=epochs, clip=1e-6),
            mode="mean",
        ).log_policy[-1]

    once = end(1)
    assert jnp.abs(once - t.log_ref).max() > 0.1
    np.testing.assert_allclose(end(2), once, atol=1e-14)


def test_silent_groups_are_drawn_again_in_the_list_of_groups():
    t, algorithm = instances.hidden(), qra.grpo(3, resample_silent=True)
    mean, covariance = group_moments(t, algorithm=algorithm)
    np.testing.assert_allclose(mean, tree.mean_update(t, algorithm=algorithm), atol=1e-12)
    np.testing.assert_allclose(covariance, tree.covariance(t, algorithm=algorithm), atol=1e-12)


@pytest.mark.parametrize("tries", [9, 64, 65, 300])
def test_many_tries_are_no_problem_in_single_precision(tries):
    numbers = (jnp.arange(2000, dtype=jnp.float32) + 0.5) / 2000
    for chance in (0.0, 0.4, 0.9, 1.0):
        found = binomial(numbers, tries, jnp.full(2000, chance, jnp.float32)) / tries
        np.testing.assert_allclose(found.mean(), chance, atol=1e-3)
        np.testing.assert_allclose(found.std(), math.sqrt(chance * (1 - chance) / tries), rtol=1e-2)


def test_gradients_go_through_the_clocks_of_siblings():
    """The question is visited for sure, and a state may be right for sure: no logarithm of zero in a derivative."""
    t = tree.Tree.from_nested(
        {
            "steps": [
                {"chance": 0.3, "steps": [{"success": 1}, {"success": 1}]},
                {"chance": 0.7, "steps": [{"success": 0}, {"success": 0.6}]},
            ]
        }
    )
    along = jnp.linspace(-1.0, 1.0, 6)

    def speed(shift):
        moved = t.log_ref + shift * jnp.asarray([1.0, 0.0, 0.5, 0.0, 0.0, 0.7])
        return along @ tree.mean_update(t, moved, algorithm=qra.grpo(3), credit=credit.siblings())

    slope, step = jax.grad(speed)(0.2), 1e-5
    np.testing.assert_allclose(slope, (speed(0.2 + step) - speed(0.2 - step)) / (2 * step), rtol=1e-6)


def test_binomial_numbers_have_the_binomial_law():
    numbers = (np.arange(200_000) + 0.5) / 200_000
    for chance in (0.0, 0.03, 0.5, 0.92, 1.0):
        found = np.asarray(binomial(jnp.asarray(numbers), 5, jnp.full(200_000, chance)))
        expected = [math.comb(5, k) * chance**k * (1 - chance) ** (5 - k) for k in range(6)]
        np.testing.assert_allclose(np.bincount(found.astype(int), minlength=6) / 200_000, expected, atol=2e-5)


def test_gradients_go_through_training_and_flow():
    t = instances.hidden()

    def end(shift):
        moved = t.with_ref(t.log_ref + shift * jnp.arange(6.0))
        run = tree.train(
            jax.random.key(0),
            moved,
            steps=20,
            learning_rate=0.5,
            algorithm=qra.grpo(4),
            mode="mean",
            record_every=20,
        )
        return run.accuracy[-1] + tree.solve(moved, ts=[3.0], algorithm=qra.grpo(4)).accuracy[-1]

    slope, step = jax.grad(end)(0.1), 1e-5
    np.testing.assert_allclose(slope, (end(0.1 + step) - end(0.1 - step)) / (2 * step), rtol=1e-6)


def test_events_and_named_trees():
    found = tree.solve(instances.chain([0.5, 0.5]), ts=[1e4], event="accuracy", target=0.9)
    assert found.status == qra.Status.OK
    np.testing.assert_allclose(found.accuracy[-1], 0.9, atol=1e-6)
    t = instances.two_attempts([0.5, 0.3, 0.2], [0.6, 0.2, 0.2])
    prior, first = np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.2, 0.2])
    by_hand = sum(
        first[a] * (prior[a] + sum(first[b] * prior[b] for b in range(3) if b != a)) for a in range(3)
    )
    np.testing.assert_allclose(t.accuracy_ref, by_hand)
    assert instances.random(jax.random.key(0), 3, 4).shape.states == 85


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (
            {"steps": [{"chance": 0.5, "success": 1}, {"chance": 0.4, "success": 0}]},
            "question: chances .* sum to 0.9",
        ),
        ({"steps": [{"name": "x", "success": 1.2}]}, "x: success 1.2; must be a number in"),
        ({"steps": [{"name": "x", "chance": 1}]}, "x: has neither steps nor success"),
        ({"steps": [{"name": "x", "chance": 1, "success": 1, "steps": [{"success": 1}]}]}, "x: has both"),
        (
            {"steps": [{"name": "x", "chance": 0, "success": 1}, {"chance": 1, "success": 0}]},
            "x: has no chance",
        ),
        ({"steps": [{"name": "x", "success": 1, "length": 0}]}, "x: length 0; must be a number above 0"),
        ({"steps": [{"name": "x", "success": 1, "length": 1}, {"name": "y", "success": 1}]}, "y: no length"),
        ({"steps": [{"name": "x", "sucess": 1}]}, "x: 'sucess'; must be one of"),
        ({"success": 1}, "question: has neither steps nor|must have steps"),
    ],
)
def test_what_is_no_tree_is_refused_by_the_name_of_its_state(question, words):
    with pytest.raises(ValueError, match=words):
        tree.Tree.from_nested(question)


def test_a_state_that_two_lead_to_is_refused():
    shared = {"name": "both", "success": 0.5}
    with pytest.raises(ValueError, match="reached from two states"):
        tree.Tree.from_nested({"steps": [{"steps": [shared]}, {"steps": [shared]}]})


def test_combinations_without_meaning_are_refused():
    t, key = instances.hidden(), jax.random.key(0)
    run = lambda **options: tree.train(key, t, steps=1, learning_rate=0.1, **options)  # noqa: E731
    for options, words in [
        ({"credit": credit.process(), "algorithm": qra.grpo(4)}, "rare has no process reward"),
        ({"credit": credit.siblings(), "algorithm": qra.grpo()}, "group_size: None with siblings"),
        ({"credit": credit.exact(whiten=True), "algorithm": qra.grpo(4), "mode": "mean"}, "whiten"),
        (
            {"credit": credit.exact(), "algorithm": qra.grpo(4), "off_policy": qra.OffPolicy(epochs=2)},
            "off_policy",
        ),
        ({"credit": credit.exact(), "algorithm": qra.dpo(0.1, group_size=4)}, "must be binary"),
        ({"mode": "sde", "algorithm": qra.grpo(4)}, "mode: 'sde'"),
        (
            {
                "credit": credit.siblings(),
                "algorithm": qra.grpo(4),
                "off_policy": qra.OffPolicy(epochs=2),
                "mode": "mean",
            },
            "off_policy",
        ),
        (
            {
                "credit": credit.exact(),
                "algorithm": qra.grpo(4),
                "off_policy": qra.OffPolicy(correlation=0.5),
            },
            "correlation",
        ),
        (
            {
                "algorithm": qra.grpo(4),
                "off_policy": qra.OffPolicy(temperature=2.0),
                "regularizers": [qra.reverse_kl(0.1)],
            },
            "temperature",
        ),
    ]:
        with pytest.raises(ValueError, match=words):
            run(**options)
    with pytest.raises(ValueError, match="geometry: 'natural' in a tree"):
        tree.measure("accuracy", key, t, steps=1, learning_rate=0.1, geometry="natural")
    with pytest.raises(ValueError, match="reward: 'verifiable' with DPO"):
        group_moments(t, algorithm=qra.dpo(0.1, group_size=4))
    with pytest.raises(ValueError, match="rollouts: 0"):
        credit.monte_carlo(0)
    with pytest.raises(ValueError, match="no rollout came through rare"):
        tree.fit_critic(t, jnp.asarray([0, 0, 3, 4]), jnp.asarray([0, 0, 1, 1]))
    with pytest.raises(ValueError, match="100000"):
        instances.random(key, 20, 4)
    np.testing.assert_allclose(
        tree.fit_critic(t, jnp.asarray([1, 1, 4, 4]), jnp.asarray([1, 0, 1, 1])), [0.3, 0.5, 0.25]
    )


@pytest.mark.parametrize("algorithm", [qra.reinforce(), qra.grpo()], ids=["reinforce", "grpo"])
def test_credit_by_values_has_the_mean_of_uniform_credit_in_the_limit_of_large_groups(algorithm):
    t = SMALL["uneven"]
    settings = {"steps": 3, "learning_rate": 0.4, "mode": "mean", "algorithm": algorithm}
    whole, by_values = (
        tree.train(jax.random.key(0), t, credit=given, **settings)
        for given in (credit.uniform(), credit.exact(trace=0.3))
    )
    np.testing.assert_allclose(whole.log_policy, by_values.log_policy, atol=1e-13)


@pytest.mark.parametrize(
    "algorithm", [qra.filtered_sft(group_size=3), qra.grpo(3)], ids=["positives", "grpo"]
)
def test_steps_that_are_not_trained_take_away_no_baseline(algorithm):
    t, given = SMALL["hidden"], credit.uniform(confident=0.6)
    listed = group_moments(t, algorithm=algorithm, credit=given)
    np.testing.assert_allclose(tree.mean_update(t, algorithm=algorithm, credit=given), listed[0], atol=1e-13)
    np.testing.assert_allclose(tree.covariance(t, algorithm=algorithm, credit=given), listed[1], atol=1e-13)
    run = tree.train(
        jax.random.key(0), t, steps=1, learning_rate=1.0, algorithm=algorithm, credit=given, mode="mean"
    )
    np.testing.assert_allclose(_moved(t, run), _centred(t, listed[0]), atol=1e-12)


def _centred(t, update):
    update = np.array(update)
    for state in t.shape.inner:
        update[t.shape.origin == state] -= update[t.shape.origin == state].mean()
    return update

"""Restarts from states within a tree: questions that share parameters, the mean update, and the flow."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import tree
from qra_jax.tree import instances, restarts


def some():
    """A tree of three steps, its policy, and weights of its states."""
    t = instances.random(jax.random.key(3), 3, 2, success=(1.0, 1.0))
    policy = t.shape.log_softmax(jax.random.normal(jax.random.key(4), (t.shape.steps,)))
    return t, policy, jax.random.uniform(jax.random.key(5), (t.shape.states,))


def test_questions_start_where_they_should():
    t, _, _ = some()
    asked, features = restarts.questions(t, [0, 2, 6])
    leaves = np.exp(np.asarray(asked.leaf_log_policy(asked.log_ref)))
    np.testing.assert_allclose(leaves.sum(axis=-1), 1)
    value = tree.values(t).value
    np.testing.assert_allclose(asked.accuracy_ref, value[jnp.asarray([0, 2, 6])])
    first, last = (np.asarray(t.shape.paths[i]) for i in (0, -1))
    assert leaves[2, 0] == 0
    assert leaves[2, -1] > 0  # state 6 is on the way to the last leaf alone
    assert np.all(np.asarray(features[0]) == np.eye(t.shape.steps))
    assert not np.any(features[2][last[:2]])
    assert not np.any(features[2][first[0]])


@pytest.mark.parametrize("algorithm", [qra.reinforce(), qra.grpo(4), qra.rloo(4)], ids=lambda a: a.name)
def test_mean_update_is_the_sum_over_questions(algorithm):
    t, policy, weight = some()
    states = [0, 1, 2, 5]
    asked, features = restarts.questions(t, states)
    total = 0.0
    for q, state in enumerate(states):
        one = jax.tree.map(lambda x, q=q: x[q], asked)
        own = t.shape.log_softmax(jnp.where(jnp.isneginf(one.log_ref), -jnp.inf, policy))
        slope = tree.mean_update(one, own, algorithm=algorithm)
        total = total + weight[state] * features[q].T @ slope
    starts = jnp.zeros(t.shape.states).at[jnp.asarray(states)].set(weight[jnp.asarray(states)])
    found = restarts.mean_update(t, policy, starts=starts, algorithm=algorithm)
    np.testing.assert_allclose(found, total, atol=1e-14)
    np.testing.assert_allclose(t.shape.total(found), 0, atol=1e-14)


def test_a_start_at_the_question_is_no_restart():
    t, policy, _ = some()
    starts = jnp.zeros(t.shape.states).at[0].set(1.0)
    for algorithm in (qra.reinforce(), qra.grpo(8)):
        found = restarts.mean_update(t, policy, starts=starts, algorithm=algorithm)
        expected = tree.mean_update(t, policy, algorithm=algorithm)
        np.testing.assert_allclose(found, expected, atol=1e-14)
    times = jnp.asarray([1.0, 20.0])
    flow = restarts.solve(t, starts=starts, ts=times, event="accuracy", target=0.8)
    plain = tree.solve(t, ts=times, event="accuracy", target=0.8)
    np.testing.assert_allclose(flow.log_policy, plain.log_policy, atol=1e-7)
    np.testing.assert_allclose(flow.stats["event_time"], plain.stats["event_time"], rtol=1e-6)


def test_mean_is_that_of_sampled_groups():
    """All groups of two rollouts from one start, by their chances."""
    t = instances.hidden()
    start, algorithm = 1, qra.grpo(2)
    asked, _ = restarts.questions(t, [start])
    chance = np.exp(np.asarray(asked.leaf_log_policy(asked.log_ref)))[0]
    policy, total = np.exp(np.asarray(t.log_ref)), np.zeros(t.shape.steps)
    kinds = [(leaf, right) for leaf in range(4) for right in (0, 1) if chance[leaf] > 0]
    for pair in itertools.product(kinds, kinds):
        weights = np.asarray(algorithm.weights(jnp.asarray([float(right) for _, right in pair]))) / 2
        likely = 1.0
        slope = np.zeros(t.shape.steps)
        for (leaf, right), weight in zip(pair, weights, strict=True):
            rate = float(t.success[leaf])
            likely *= chance[leaf] * (rate if right else 1 - rate)
            last = t.shape.paths[leaf][-1]
            slope[t.shape.origin == start] -= weight * policy[t.shape.origin == start]
            slope[last] += weight
        total += likely * slope
    starts = jnp.zeros(t.shape.states).at[start].set(1.0)
    np.testing.assert_allclose(restarts.mean_update(t, starts=starts, algorithm=algorithm), total, atol=1e-14)


def test_expected_training_follows_the_flow():
    t = instances.chain([0.4, 0.3])
    asked, features = restarts.questions(t, [0, 1])
    run = tree.train(jax.random.key(0), asked, steps=2000, learning_rate=0.01, mode="mean", features=features)
    starts = jnp.zeros(t.shape.states).at[jnp.asarray([0, 1])].set(1.0)
    flow = restarts.solve(t, starts=starts, ts=[20.0])
    np.testing.assert_allclose(jnp.exp(run.log_policy[0, -1]), jnp.exp(flow.log_policy[-1]), atol=2e-3)
    moving = restarts.solve(t, starts=lambda now: starts + 0 * now[0], ts=[20.0])
    np.testing.assert_allclose(moving.log_policy, flow.log_policy, atol=1e-7)


def test_hints_change_the_order_of_a_cold_start():
    """Three steps of chance q: the time is of order q⁻³ from the question, and q⁻¹ from all prefixes."""
    ratio = []
    for hinted in (False, True):
        times = []
        for rate in (0.02, 0.01):
            t = instances.chain([rate] * 3)
            starts = np.zeros(t.shape.states)
            starts[t.shape.inner if hinted else 0] = 1 / 3 if hinted else 1.0
            found = restarts.solve(t, starts=starts, ts=[1e9], event="accuracy", target=0.9)
            times.append(float(found.stats["event_time"]))
        ratio.append(times[1] / times[0])
    np.testing.assert_allclose(np.log2(ratio), [3, 1], atol=0.25)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: restarts.questions(t, []), "states: empty"),
        (lambda t: restarts.questions(t, [3]), r"states\[0\]: rare, good, a leaf; must be an inner state"),
        (lambda t: restarts.questions(t, [0, 99]), r"states\[1\]: 99; must be an inner state"),
        (lambda t: restarts.questions(t, [-1]), r"states\[0\]: -1; must be 0 or above"),
        (lambda t: restarts.mean_update(t, starts=jnp.ones(3)), "starts: length 3; must be 7, one a state"),
        (lambda t: restarts.mean_update(t, starts=-jnp.ones(7)), "starts"),
        (lambda t: restarts.solve(t, starts=jnp.ones(7), ts=[1.0], event="never"), "event"),
        (
            lambda t: restarts.mean_update(t, starts=jnp.ones(7), reward=qra.reward.self_certainty()),
            "reward: .* must be binary",
        ),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(instances.hidden())

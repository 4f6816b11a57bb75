"""Credit: closed forms of its studies against the package, whose moments are checked against enumeration."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import tree
from qra_jax.algorithm import grpo, rloo
from qra_jax.studies.credit import _credit, _credit_clocks as clocks, _credit_masks, _credit_noise
from qra_jax.tree import credit, instances
from qra_jax.tree.shape import Shape

TREES = {"comb": instances.comb(3), "hidden": instances.hidden()}
WAYS = {
    "uniform": credit.uniform(),
    "whole answer": credit.exact(segments=()),
    "two segments": credit.exact(segments=(2,)),
    "exact": credit.exact(),
    "MC-1": credit.monte_carlo(1),
    "MC-3": credit.monte_carlo(3),
    "MC-9": credit.monte_carlo(9),
}


@pytest.mark.parametrize("way", ["uniform", "two segments", "exact", "MC-9"])
def test_noise_in_closed_form_is_the_trace_of_the_covariance(way):
    t = TREES["comb"]
    expected = jnp.trace(tree.covariance(t, algorithm=rloo(5), credit=WAYS[way]))
    assert _credit_noise.trace(_credit_noise.of(t), way, 5) == pytest.approx(float(expected), abs=1e-14)


def test_noise_with_a_table_is_that_of_a_critic():
    t = TREES["hidden"]
    at = _credit_noise.of(t)
    table = at.value.copy()
    table[t.shape.inner] += 0.1 * np.sin(np.arange(len(t.shape.inner)))
    given = credit.critic(0.1, start=table[t.shape.inner])
    expected = jnp.trace(tree.covariance(t, algorithm=rloo(5), credit=given))
    assert _credit_noise.trace(at, "table", 5, table) == pytest.approx(float(expected), abs=1e-14)
    options = {"steps": 1, "learning_rate": 1.0, "algorithm": rloo(5), "mode": "mean"}
    moved = tree.train(jax.random.key(0), t, credit=given, **options).log_policy[-1] - t.log_ref
    update = _credit_noise.mean(at, table)
    start = t.shape.origin
    gauge = [np.mean((np.asarray(moved) - update)[start == state]) for state in start]
    np.testing.assert_allclose(moved - np.array(gauge), update, atol=1e-12)


def test_every_credit_by_values_has_the_mean_of_uniform_credit():
    t = TREES["hidden"]
    expected = tree.mean_update(t, algorithm=grpo(4))
    for way in (WAYS["two segments"], WAYS["exact"], WAYS["MC-9"]):
        np.testing.assert_allclose(
            tree.mean_update(t, algorithm=grpo(4), credit=way), expected, rtol=0, atol=1e-12
        )
    scale = float(grpo(4).clock(t.accuracy_ref))
    np.testing.assert_allclose(scale * _credit_noise.mean(_credit_noise.of(t)), expected, atol=1e-12)


def many(t):
    policy, success = (np.asarray(x)[None] for x in (t.ref, t.success))
    return clocks.states(t.shape, policy, success)


def centred(at, update):
    total = np.bincount(at.shape.origin, update[0], at.shape.states)
    return update[0] - total[at.shape.origin] * at.policy[0]


@pytest.mark.parametrize("rule", ["GRPO", "RLOO", "siblings"])
def test_rules_of_paths_are_the_mean_updates_of_the_tree(rule):
    t = TREES["hidden"]
    at = many(t)
    algorithm = rloo(clocks.GROUP) if rule == "RLOO" else grpo(clocks.GROUP)
    way = credit.siblings() if rule == "siblings" else credit.uniform()
    expected = tree.mean_update(t, algorithm=algorithm, credit=way)
    np.testing.assert_allclose(centred(at, clocks.RULES[rule](at)), expected, atol=1e-12)


@pytest.mark.parametrize("rule", ["branching, verdicts", "branching, values"])
def test_branching_is_the_mean_of_sampled_continuations(rule):
    shape, random, groups = Shape((3, 0, 0, 0)), np.random.default_rng(0), 40_000
    policy, success = np.array([[0.2, 0.5, 0.3]]), np.array([[0.9, 0.4, 0.1]])
    expected = clocks.RULES[rule](clocks.states(shape, policy, success))[0]
    expected = expected - expected.sum() * policy[0]
    taken = random.choice(3, (groups, clocks.BRANCHES), p=policy[0])
    earned = success[0, taken]
    if rule == "branching, verdicts":
        earned = (random.random(taken.shape) < earned).astype(float)
    std = earned.std(axis=1, keepdims=True)
    paid = np.where(std > 1e-9, (earned - earned.mean(axis=1, keepdims=True)) / np.maximum(std, 1e-9), 0.0)
    found = np.stack([(paid * (taken == i)).mean(axis=1) for i in range(3)], axis=1)
    found = found - found.sum(axis=1, keepdims=True) * policy
    error = found.std(axis=0) / np.sqrt(groups)
    assert np.all(np.abs(found.mean(axis=0) - expected) < 4.5 * error)
    assert np.abs(expected).max() > 20 * error.max()


def test_mask_by_values_leaves_the_probability_of_the_confident_step():
    kept = _credit_masks.masked(np.random.default_rng(0), 200, 0.9)
    assert np.all((kept[0] >= 0.9) & (kept[0] <= 1 + 1e-12))
    assert np.any(kept[1] < 0)


def test_a_race_takes_steps_of_the_exact_mean_and_noise():
    """First updates along the mean: their average and variance, for uniform credit and nine value rollouts."""
    t, names = _credit.trees()[1], list(_credit.ARMS)
    at = _credit_noise.of(t)
    mean = _credit_noise.mean(at)
    keys = jax.random.split(jax.random.key(0), 600)
    for way in ("uniform", "MC-9"):
        cell = SimpleNamespace(
            arm=jnp.asarray(float(names.index(way))), kind=jnp.asarray(1.0), rate=jnp.asarray(1.0)
        )
        along = np.asarray(jax.lax.map(lambda k, c=cell: _credit.race(c, k)["along"], keys, batch_size=64))
        covariance = tree.covariance(
            tree.Tree(t.shape, jnp.asarray(t.log_ref, float), jnp.asarray(t.success, float)),
            algorithm=rloo(_credit.GROUP),
            credit=WAYS[way],
        )
        variance = float(mean @ np.asarray(covariance) @ mean) / float(mean @ mean) ** 2
        assert abs(along.mean() - 1) < 4.5 * np.sqrt(variance / len(along))
        assert along.var() == pytest.approx(variance, rel=0.35)

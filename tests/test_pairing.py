"""Pairs of best and worst rollouts: weights and clock against the procedure itself."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

import qra_jax as qra

GROUPS = [(16, 4), (8, 2), (7, 2), (5, 1), (6, 3), (4, 4), (2, 1)]


def kept(rewards, pairs, random):
    """Indices of the rollouts that the procedure keeps, ties broken at random."""
    group = len(rewards)
    shuffled = random.permutation(group)
    order = shuffled[np.argsort(-rewards[shuffled], kind="stable")]
    best_with_worst = [(order[i], order[group - 1 - i]) for i in range(group // 2)]
    spread = rewards.std(ddof=1) if rewards.std() > 0 else 1.0
    advantages = (rewards - rewards.mean()) / spread
    best_with_worst.sort(key=lambda pair: -abs(advantages[pair[0]]) - abs(advantages[pair[1]]))
    return np.array(best_with_worst[:pairs]).ravel(), advantages


@pytest.mark.parametrize(("group", "pairs"), GROUPS)
def test_summed_weights_are_those_of_the_procedure(group, pairs):
    algorithm, random = qra.paired_grpo(group, pairs), np.random.default_rng(0)
    tables = algorithm.tables()
    for right in range(group + 1):
        rewards = (np.arange(group) < right).astype(float)
        rows, advantages = kept(rewards, pairs, random)
        for table, verdict, number in ((tables.right, 1, right), (tables.wrong, 0, group - right)):
            expected = advantages[rows][rewards[rows] == verdict].sum() / len(rows)
            np.testing.assert_allclose(number * table[right] / group, expected, atol=1e-12)


@pytest.mark.parametrize(("group", "pairs"), GROUPS[:4])
def test_the_weight_of_a_rollout_is_its_mean_over_random_ties(group, pairs):
    random, draws = np.random.default_rng(1), 4000
    for rewards in (random.integers(0, 3, group).astype(float), (np.arange(group) < 2).astype(float)):
        found = np.zeros((draws, group))
        for each in found:
            rows, advantages = kept(rewards, pairs, random)
            each[rows] = advantages[rows] * group / len(rows)
        weights = np.asarray(qra.paired_grpo(group, pairs).weights(jnp.asarray(rewards)))
        error = np.maximum(found.std(axis=0) / np.sqrt(draws), 1e-9)
        assert np.abs((weights - found.mean(axis=0)) / error).max() < 4.5


def test_rewards_without_ties_are_kept_or_not():
    random = np.random.default_rng(2)
    rewards = random.standard_normal(16) ** 3
    rows, advantages = kept(rewards, 4, random)
    expected = np.zeros(16)
    expected[rows] = 2 * advantages[rows]
    np.testing.assert_allclose(qra.paired_grpo(16, 4).weights(jnp.asarray(rewards)), expected, atol=1e-12)


@pytest.mark.parametrize(("group", "pairs"), GROUPS)
def test_clock_by_the_formula(group, pairs):
    right = np.arange(1, group)
    pairs_kept = min(pairs, group // 2)
    mixed = np.minimum(np.minimum(right, group - right), pairs_kept)
    plus = mixed + 2 * (pairs_kept - mixed) * (2 * right > group)
    minus = mixed + 2 * (pairs_kept - mixed) * (2 * right < group)
    for rho in (1e-3, 0.2, 0.5, 0.97):
        odds = np.sqrt((group - right) / right)
        push = plus * odds / rho + minus / odds / (1 - rho)
        expected = binom.pmf(right, group, rho) @ push * np.sqrt((group - 1) / group) / (2 * pairs_kept)
        np.testing.assert_allclose(
            qra.paired_grpo(group, pairs).clock(jnp.asarray(rho)), expected, rtol=1e-10
        )


def test_all_pairs_are_grpo_with_the_sample_deviation():
    rho = jnp.array([0.01, 0.3, 0.9])
    for group, pairs in itertools.product((2, 8), (4, 9)):
        if 2 * pairs >= group:
            expected = qra.grpo(group, ddof=1).clock(rho)
            np.testing.assert_allclose(qra.paired_grpo(group, pairs).clock(rho), expected, rtol=1e-12)


def test_padding_changes_nothing():
    rewards = jnp.asarray([1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    padded = jnp.concatenate([rewards, jnp.ones(5)])
    weights = qra.paired_grpo(13, 2).weights(padded, jnp.arange(13) < 8)
    np.testing.assert_allclose(weights[:8], qra.paired_grpo(8, 2).weights(rewards), atol=1e-12)
    assert not np.any(weights[8:])
    clock = jax.jit(lambda size: qra.paired_grpo(13, 2).with_group_size(size).clock(jnp.asarray(0.2)))(8.0)
    np.testing.assert_allclose(clock, qra.paired_grpo(8, 2).clock(jnp.asarray(0.2)), rtol=1e-12)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"^group_size: 1"):
        qra.paired_grpo(1, 1)
    with pytest.raises(ValueError, match=r"^pairs: 0"):
        qra.paired_grpo(8, 0)

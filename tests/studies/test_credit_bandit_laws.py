"""What the studies of pairs and of small groups compute by themselves, against the package and against sampling."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qra_jax as qra
from qra_jax.problem import random
from qra_jax.studies.credit import _rollouts_kept as kept, _signs_and_groups as groups
from qra_jax.training import gradient_covariance


def close(actual, expected, tolerance=1e-10):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rho", [0.01, 0.3, 0.5])
@pytest.mark.parametrize("size", [8, 16])
def test_signal_to_noise_of_grpo_is_that_of_the_package(rho, size):
    problem = qra.Problem(jnp.log(kept.base(rho)), jnp.array(kept.RATES))
    slope = problem.ref * (problem.success - problem.accuracy_ref)
    algorithm = qra.grpo(size, ddof=1)
    mean = algorithm.clock(problem.accuracy_ref) * (slope @ slope)
    variance = slope @ gradient_covariance(problem, problem.log_ref, algorithm=algorithm) @ slope
    close(kept.signal_to_noise(f"GRPO, {size}", rho), mean**2 / variance)


@pytest.mark.parametrize("rule", ["pairs", "random half"])
def test_signal_to_noise_of_a_part_of_the_rollouts_by_sampling(rule):
    rho, draws, source = 0.3, 200_000, np.random.default_rng(0)
    policy, success = np.asarray(kept.base(rho)), np.array(kept.RATES)
    pattern = source.choice(3, size=(draws, kept.DRAWN), p=policy)
    right = source.random(pattern.shape) < success[pattern]
    deviation = right.std(axis=1, ddof=1)
    advantage = (right - right.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)[:, None]
    if rule == "pairs":
        place = np.argsort(np.argsort(-(right + 0.5 * source.random(right.shape)), axis=1), axis=1)
        chosen = (place < 4) | (place >= 12)  # rewards of two kinds: the four best and the four worst
    else:
        chosen = np.arange(kept.DRAWN) < kept.KEPT
    slope = policy * (success - rho)
    push = (advantage * chosen * (slope - policy @ slope)[pattern]).sum(axis=1) / kept.KEPT
    found = push.mean() ** 2 / push.var()
    np.testing.assert_allclose(kept.signal_to_noise(rule, rho), found, rtol=0.03)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_noise_at_equal_speed_is_that_of_the_package(size):
    problem = random(jax.random.key(3), 6)
    plain, centred = groups.noise(problem, size)
    for found, rule in ((plain, qra.signed(size)), (centred, qra.dr_grpo(size))):
        covariance = gradient_covariance(problem, problem.log_ref, algorithm=rule)
        close(found, jnp.trace(covariance) / rule.clock(problem.accuracy_ref) ** 2)


def test_sampled_training_has_the_expected_first_step():
    problem, draws = random(jax.random.key(5), 4), 40_000
    options = {"reward": qra.verifiable(), "size": 5, "most": 8, "rate": 1e-2, "steps": 1}
    weigh = qra.grpo(8).weights

    def moved(key):
        path = groups.sampled(key, problem, weigh, **options)[0]
        return (path - problem.log_ref) - jnp.mean(path - problem.log_ref)

    found = np.asarray(jax.jit(jax.vmap(moved))(jax.random.split(jax.random.key(0), draws)), float) / 1e-2
    rho = problem.accuracy_ref
    drift = qra.grpo(5).clock(rho) * problem.ref * (problem.success - rho)
    z = (found.mean(axis=0) - np.asarray(drift)) / (found.std(axis=0) / np.sqrt(draws))
    assert np.abs(z).max() < 4.5


def weights(right, abstained, wrong, penalty):
    rewards = jnp.asarray([1.0] * right + [0.0] * abstained + [-penalty] * wrong)
    return np.asarray(qra.grpo(len(rewards)).weights(rewards))


def test_in_a_group_of_two_kinds_every_penalty_is_one():
    for counts in ((3, 5, 0), (0, 2, 6), (3, 0, 5)):
        for penalty in (0.25, 4.0):
            close(weights(*counts, penalty), weights(*counts, 1.0))


def test_the_weight_of_abstaining_in_a_group_of_three_kinds():
    for right, abstained, wrong in itertools.product((1, 2, 5), (1, 3), (1, 4)):
        for penalty in (0.25, 1.0, 4.0):
            group = right + abstained + wrong
            mean = (right - penalty * wrong) / group
            variance = (right + penalty**2 * wrong) / group - mean**2
            found = weights(right, abstained, wrong, penalty)[right]
            close(found, -mean / np.sqrt(variance))
            assert np.sign(np.round(found, 12)) == np.sign(penalty - right / wrong)


def test_answering_turns_where_the_mean_reward_does_if_nothing_is_divided():
    found = groups.thresholds(2, [0.3], divide=False)[:, 0]
    penalties = np.array(groups.PENALTIES)
    close(found, penalties / (1 + penalties), 1e-6)


def test_in_groups_of_two_answering_turns_at_one_half():
    close(groups.thresholds(2, [0.1, 0.7], divide=True), 0.5, 1e-6)

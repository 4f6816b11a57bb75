"""Rewards: what each earns, where it is infinite, and what it cannot tell apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qra_jax as qra
from qra_jax.problem import Problem, examples, random

P = jnp.array([0.0, 0.2, 0.5, 0.8, 1.0])
FIVE = Problem(jnp.full(5, -jnp.log(5.0)), P)
TABLE = Problem.from_probs(ref=[0.5, 0.3, 0.2], answers=[[0.5, 0.3, 0.2], [0.1, 0.9, 0.0], [0.2, 0.2, 0.6]])


@pytest.mark.parametrize(("tpr", "fpr"), [(1.0, 0.0), (0.9, 0.2), (0.3, 0.3), (0.2, 0.9), (1.0, 1.0)])
def test_verifiable_is_the_noisy_channel(tpr, fpr):
    reward = qra.verifiable(tpr, fpr)
    rates = reward.rates(FIVE)
    np.testing.assert_allclose(rates, fpr + (tpr - fpr) * np.asarray(P), atol=1e-15)
    assert reward.binary
    assert reward.fixed
    assert ((rates >= 0) & (rates <= 1)).all()
    # Accuracy seen through the channel is the channel of accuracy: Q = FPR + Jρ.
    np.testing.assert_allclose(jnp.mean(rates), fpr + (tpr - fpr) * 0.5)


def test_verifiable_by_simulation():
    draws, tpr, fpr = 200_000, 0.85, 0.15
    problem = examples.worked()
    keys = jax.random.split(jax.random.key(0), 4)
    pattern = jax.random.categorical(keys[0], problem.log_ref, shape=(draws,))
    right = jax.random.bernoulli(keys[1], problem.success[pattern])
    seen = jnp.where(
        right, jax.random.bernoulli(keys[2], tpr, (draws,)), jax.random.bernoulli(keys[3], fpr, (draws,))
    )
    for r, rate in enumerate(np.asarray(qra.verifiable(tpr, fpr).rates(problem))):
        mine = np.asarray(seen[pattern == r], float)
        assert abs(mine.mean() - rate) / (mine.std() / np.sqrt(mine.size)) < 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tpr": 1.1}, r"tpr: 1\.1; must be in \[0, 1\]"),
        ({"fpr": -0.1}, r"fpr: -0\.1; must be in \[0, 1\]"),
        ({"tpr": float("nan")}, "tpr: nan"),
    ],
)
def test_bad_rates_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        qra.verifiable(**arguments)


@pytest.mark.parametrize("make", [qra.self_certainty, qra.answer_entropy])
def test_internal_rewards_cannot_tell_right_from_wrong(make):
    rates = make().rates(FIVE)
    np.testing.assert_allclose(rates, rates[::-1], rtol=1e-12)
    assert int(jnp.argmin(rates)) == 2  # an even chance is the least certain
    assert (jnp.diff(rates[2:]) > 0).all()
    for floor, message in [
        (1.0, r"floor: 1; must be in \[0, 1\)"),
        (-0.5, r"floor: -0\.5"),
        (1.5, r"floor: 1\.5"),
    ]:
        with pytest.raises(ValueError, match=message):
            make(floor)


def test_self_certainty():
    rates = qra.self_certainty().rates(FIVE)
    assert jnp.isposinf(rates[jnp.array([0, 4])]).all()
    np.testing.assert_allclose(rates[1:4], -0.5 * (np.log(P[1:4]) + np.log(1 - P[1:4])))
    floored = qra.self_certainty(1e-3).rates(FIVE)
    np.testing.assert_allclose(floored[0], -0.5 * np.log(1e-3))
    np.testing.assert_allclose(floored[1:4], rates[1:4])
    several = qra.self_certainty().rates(TABLE)
    np.testing.assert_allclose(several[0], -np.log([0.5, 0.3, 0.2]).mean())
    assert several[1] == jnp.inf
    # It is the divergence of the uniform answer from the model's, up to log m.
    uniform, answer = np.full(3, 1 / 3), np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose(several[0] - np.log(3), np.sum(uniform * np.log(uniform / answer)))


def test_answer_entropy():
    rates = qra.answer_entropy().rates(FIVE)
    np.testing.assert_allclose(rates[jnp.array([0, 2, 4])], [0, -np.log(2), 0], atol=1e-15)
    table = np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose(qra.answer_entropy().rates(TABLE)[0], (table * np.log(table)).sum())
    assert jnp.isfinite(qra.answer_entropy().rates(TABLE)).all()
    assert qra.answer_entropy().fixed
    assert not qra.answer_entropy().binary


def test_trajectory_log_prob_averages_to_minus_the_rollout_entropy():
    problem = random(jax.random.key(0), 4)
    reward = qra.trajectory_log_prob()
    log_policy = jax.nn.log_softmax(jax.random.normal(jax.random.key(1), (4,)))
    rollout = jnp.exp(log_policy)[:, None] * problem.answer_table()
    entropy = -jnp.sum(rollout * jnp.log(rollout))
    np.testing.assert_allclose(jnp.exp(log_policy) @ reward.rates(problem, log_policy), -entropy, rtol=1e-12)
    assert not reward.fixed
    np.testing.assert_allclose(reward.rates(problem), reward.rates(problem, problem.log_ref))


def test_trajectory_log_prob_differs_between_rollouts_of_a_pattern():
    reward = qra.trajectory_log_prob()
    values, chances = reward.outcomes(TABLE)
    np.testing.assert_allclose(chances, TABLE.answers)
    said = np.asarray(TABLE.answers) > 0
    rollout = np.asarray(TABLE.ref)[:, None] * np.asarray(TABLE.answers)
    np.testing.assert_allclose(np.asarray(values)[said], np.log(rollout[said]), rtol=1e-12)
    np.testing.assert_allclose(jnp.sum(chances * values, axis=-1), reward.rates(TABLE), rtol=1e-12)
    spread = [
        np.average((v - np.average(v, weights=c)) ** 2, weights=c)
        for v, c in zip(values, chances, strict=True)
    ]
    np.testing.assert_allclose(reward.variance(TABLE), spread, rtol=1e-12)
    np.testing.assert_allclose(qra.self_certainty().variance(examples.worked()), 0, atol=1e-15)
    np.testing.assert_allclose(qra.verifiable(0.9, 0.2).variance(FIVE), [0.16, 0.2244, 0.2475, 0.1824, 0.09])


def test_kl_in_reward_takes_off_the_log_ratio():
    log_policy = jnp.log(jnp.array([0.2, 0.3, 0.5]))
    reward = qra.kl_in_reward(qra.verifiable(0.9, 0.2), 0.3)
    expected = qra.verifiable(0.9, 0.2).rates(TABLE) - 0.3 * (log_policy - TABLE.log_ref)
    np.testing.assert_allclose(reward.rates(TABLE, log_policy), expected, rtol=1e-12)
    values, chances = reward.outcomes(TABLE, log_policy)
    np.testing.assert_allclose(values[:, 0] - values[:, 1], 1.0, rtol=1e-12)
    np.testing.assert_allclose(jnp.sum(values * chances, axis=-1), expected, rtol=1e-12)
    assert (reward.binary, reward.fixed) == (False, False)
    with pytest.raises(ValueError, match="must be a reward of single rollouts"):
        qra.kl_in_reward(qra.majority_vote(), 0.3)
    with pytest.raises(ValueError, match=r"beta: -0\.3; must be zero or positive"):
        qra.kl_in_reward(qra.verifiable(), -0.3)


def test_trajectory_log_prob_climbs_exactly_minus_entropy():
    problem, logits = random(jax.random.key(0), 4), jax.random.normal(jax.random.key(1), (4,))
    reward = qra.trajectory_log_prob()

    def surrogate(logits):
        log_policy = jax.nn.log_softmax(logits)
        """The score-function gradient takes the reward at its value: the derivative is the caller's to stop."""
        return jnp.exp(log_policy) @ jax.lax.stop_gradient(reward.rates(problem, log_policy))

    def minus_entropy(logits):
        log_policy = jax.nn.log_softmax(logits)
        inner = jnp.sum(problem.answer_table() * jnp.log(problem.answer_table()), axis=-1)
        return jnp.exp(log_policy) @ (log_policy + inner)

    np.testing.assert_allclose(jax.grad(surrogate)(logits), jax.grad(minus_entropy)(logits), atol=1e-12)


@pytest.mark.parametrize("make", [qra.policy_vote, qra.majority_vote])
def test_votes_follow_the_majority_in_large_groups(make):
    problem = examples.worked()  # wrong answers lead, 51 : 49
    reward = make()
    assert reward.by_vote == (make is qra.majority_vote)
    np.testing.assert_allclose(reward.rates(problem), 1 - problem.success)
    right = jnp.log(jnp.array([0.9, 0.05, 0.05]))
    np.testing.assert_allclose(reward.rates(problem, right), problem.success)
    votes = np.array([0.5, 0.3, 0.2]) @ np.asarray(TABLE.answers)
    np.testing.assert_allclose(reward.rates(TABLE), TABLE.answers[:, votes.argmax()])
    assert reward.binary
    assert not reward.fixed


MEMBERS = [
    qra.verifiable(0.9, 0.2),
    qra.self_certainty(),
    qra.self_certainty(0.01),
    qra.answer_entropy(),
    qra.answer_entropy(0.01),
    qra.trajectory_log_prob(),
    qra.majority_vote(),
    qra.policy_vote(),
    qra.kl_in_reward(qra.verifiable(0.9, 0.2), 0.3),
]


@pytest.mark.parametrize("reward", MEMBERS, ids=lambda r: r.name)
def test_laws_of_every_reward(reward):
    problem = random(jax.random.key(3), 5)
    rates = reward.rates(problem)
    assert rates.shape == (5,)
    order = np.array([4, 2, 0, 1, 3])
    moved = reward.rates(Problem(problem.log_ref[order], problem.success[order]))
    np.testing.assert_allclose(moved, rates[order], rtol=1e-12)
    np.testing.assert_allclose(jax.jit(reward.rates)(problem), rates, rtol=1e-12)
    batch = jax.vmap(reward.rates)(jax.tree.map(lambda x: jnp.stack([x, x]), problem))
    np.testing.assert_allclose(batch[1], rates, rtol=1e-12)
    narrow = jax.tree.map(lambda x: x.astype(jnp.float32), problem)
    assert reward.rates(narrow).dtype == jnp.float32
    np.testing.assert_allclose(reward.rates(narrow), rates, rtol=1e-5)


def test_rates_are_differentiable_in_the_channel():
    def mean(tpr, fpr):
        return jnp.mean(qra.verifiable(tpr, fpr).rates(FIVE))

    np.testing.assert_allclose(jax.grad(mean, (0, 1))(0.8, 0.1), (0.5, 0.5), rtol=1e-12)


def test_a_reward_says_its_name_and_numbers():
    assert repr(qra.verifiable(0.9)) == "Reward(verifiable, tpr = 0.9, fpr = 0)"
    assert repr(qra.majority_vote()) == "Reward(majority-vote)"
    seen = []
    jax.jit(lambda reward: seen.append(repr(reward)) or 0)(qra.verifiable(0.9))
    assert seen == ["Reward(verifiable, fpr, tpr)"]

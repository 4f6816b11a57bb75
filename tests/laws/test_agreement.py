"""Where two ways of running a combination could part, they agree or refuse it in one line."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qra_jax as qra
from qra_jax import Status, flow, orbit, training
from qra_jax.algorithm import by_clock, switch

KEY = jax.random.key(0)
WORKED = qra.problem.examples.worked()
PAIR = qra.problem.stack([WORKED, qra.problem.examples.fast()])
STEP = {"steps": 1, "learning_rate": 1.0}


def moved(problem, **options):
    path = training.train(KEY, problem, mode="mean", **STEP, **options).log_policy
    change = path[1] - path[0]
    return change - jnp.mean(change)


BATCHED = [qra.grpo(4, scale="batch"), qra.gpg(5), qra.reinforce_pp(5), qra.reinforce_pp(4, baseline="group")]


@pytest.mark.parametrize("algorithm", BATCHED, ids=lambda one: one.name)
@pytest.mark.parametrize("reward", [qra.self_certainty(), qra.majority_vote()], ids=lambda one: one.name)
def test_a_batch_scales_binary_rewards_of_single_rollouts_alone(algorithm, reward):
    message = r"must be a binary reward|which weighs right and wrong rollouts"
    for mode in ("mean", "sampled"):
        with pytest.raises(ValueError, match=message):
            training.train(KEY, PAIR, algorithm=algorithm, reward=reward, mode=mode, **STEP)
    with pytest.raises(ValueError, match="has no clock of one question"):
        flow.drift(WORKED, WORKED.log_ref, algorithm=algorithm, reward=reward)
    with pytest.raises(ValueError, match="has no clock of one question"):
        flow.drift(WORKED, WORKED.log_ref, algorithm=algorithm)
    with pytest.raises(
        ValueError, match=r"has no clock of one question|must be a binary reward|right and wrong"
    ):
        orbit.hit(WORKED, 0.5, algorithm=algorithm, reward=qra.self_certainty())
    with pytest.raises(ValueError, match="has no clock of one question"):
        by_clock(algorithm)


def test_a_redrawn_batch_has_the_clock_of_its_training():
    algorithm = qra.grpo(4, scale="batch", resample_silent=True)
    path = training.train(KEY, PAIR, mode="mean", algorithm=algorithm, **STEP).log_policy
    change = path[:, 1] - path[:, 0]
    change = change - change.mean(axis=-1, keepdims=True)
    rho = PAIR.accuracy_ref
    expected = algorithm.batch_clock(rho)[:, None] * PAIR.ref * (PAIR.success - rho[:, None])
    np.testing.assert_allclose(change, expected, atol=1e-12)


def test_a_policy_may_have_what_the_reference_lacks():
    """Rewards that do not change are those of the policy's patterns, not of the reference's."""
    problem = qra.Problem.from_probs(ref=[0.0, 0.5, 0.5], success=[0.9, 0.6, 0.3])
    start = jnp.log(jnp.array([0.3, 0.3, 0.4]))
    options = {"algorithm": qra.grpo(3), "reward": qra.self_certainty()}
    drift = flow.drift(problem, start, **options)
    np.testing.assert_allclose(drift, moved(problem, log_policy0=start, **options), atol=1e-13)
    assert jnp.abs(drift[0]) > 0.1


def test_a_behavior_must_be_one_that_the_policy_could_have():
    missing = qra.Problem.from_probs(ref=[0.0, 0.8, 0.2], success=[0.9, 0.6, 0.3])
    even = qra.OffPolicy(behavior=jnp.log(jnp.ones(3) / 3))
    for mode in ("mean", "sampled"):
        run = training.train(KEY, missing, algorithm=qra.grpo(3), off_policy=even, mode=mode, **STEP)
        assert run.status == Status.INVALID
    probabilities = qra.OffPolicy(behavior=jnp.array([0.3, 0.3, 0.4]))
    with pytest.raises(ValueError, match="behavior: exponentials sum to"):
        training.train(KEY, WORKED, algorithm=qra.grpo(3), off_policy=probabilities, **STEP)
    reward = qra.kl_in_reward(qra.verifiable(), 0.1)
    with pytest.raises(ValueError, match=r"behavior: given with the reward .* which depends on the policy"):
        training.train(KEY, WORKED, algorithm=qra.grpo(3), off_policy=even, reward=reward, **STEP)


def test_a_penalty_in_the_reward_vanishes_at_the_reference_at_any_temperature():
    coin = qra.kl_in_reward(qra.verifiable(0.5, 0.5), 1.0)
    for heat in (None, 2.0):
        off_policy = qra.OffPolicy(temperature=heat)
        change = moved(WORKED, algorithm=qra.rloo(8), reward=coin, off_policy=off_policy)
        np.testing.assert_allclose(change, 0.0, atol=1e-14)
    elsewhere = moved(
        WORKED,
        algorithm=qra.rloo(8),
        reward=coin,
        log_policy0=jnp.log(jnp.ones(3) / 3),
        off_policy=off_policy,
    )
    assert jnp.abs(elsewhere).max() > 0.01


def test_pairs_have_one_reference():
    offline = qra.dpo(0.5, pairs="reference")
    with pytest.raises(
        ValueError, match="must be a reward of single rollouts that does not depend on the policy"
    ):
        training.train(KEY, WORKED, algorithm=offline, reward=qra.policy_vote(), **STEP)
    moving = qra.reverse_kl(0.1, reference=qra.Reference(every=2))
    with pytest.raises(ValueError, match="reference: moves, with DPO"):
        training.train(KEY, WORKED, algorithm=offline, regularizers=[moving], **STEP)
    lacks = jnp.log(jnp.array([0.0, 0.5, 0.5]))
    run = training.train(KEY, WORKED, algorithm=offline, log_policy0=lacks, **STEP)
    assert run.status == Status.INVALID


def test_a_correction_acts_on_old_rollouts_alone():
    options = {"algorithm": qra.grpo(4), "mode": "mean", "steps": 3, "learning_rate": 0.3}
    ends = [
        training.train(
            KEY, WORKED, off_policy=qra.OffPolicy(correction=one, correction_cap=0.5, epochs=2), **options
        ).policy[-1]
        for one in (None, "truncate", "mask")
    ]
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])


def test_what_a_switch_cannot_tell_apart_is_refused():
    with pytest.raises(ValueError, match=r"members\[0\]: OPO has a traced group size, pairs or lengths"):
        switch(0, [qra.opo(4), qra.grpo(4)])
    with pytest.raises(ValueError, match=r"members\[1\]: DPO has a traced group size, pairs or lengths"):
        switch(0, [qra.grpo(2, resample_silent=True), qra.dpo(0.1)])
    with pytest.raises(ValueError, match="OPO weighs by length"):
        by_clock(qra.opo(4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "sde", "regularizers": [qra.k1_loss(1.0)]}, "estimate: of samples, with mode='sde'"),
        (
            {
                "regularizers": [qra.reverse_kl(0.1, estimate="corrected")],
                "off_policy": qra.OffPolicy("none", staleness=1),
            },
            "estimate: 'corrected' with surrogate 'none'",
        ),
    ],
)
def test_estimates_that_could_not_be_what_they_say(options, message):
    with pytest.raises(ValueError, match=message):
        training.train(KEY, WORKED, algorithm=qra.grpo(4), **STEP, **options)


def test_an_estimate_on_samples_where_the_reference_has_nothing_is_invalid():
    lacks = qra.Problem.from_probs(ref=[0.0, 0.5, 0.5], success=[0.9, 0.6, 0.3])
    start = jnp.log(jnp.array([0.3, 0.3, 0.4]))
    for estimate in ("exact", "samples"):
        term = qra.reverse_kl(0.1, estimate=estimate)
        run = training.train(
            KEY, lacks, algorithm=qra.grpo(4), regularizers=[term], log_policy0=start, **STEP
        )
        assert run.status == Status.INVALID


@pytest.mark.usefixtures("compiled_plainly")
def test_a_greedy_baseline_is_a_rollout_of_its_own_in_a_network_too():
    from qra_jax import transformer as tf

    task = tf.controlled(qra.problem.stack([WORKED] * 2))
    model = tf.Decoder(task.vocabulary, width=8, depth=1, heads=1)
    params = tf.init(KEY, model)
    options = {"steps": 1, "questions": 2, "learning_rate": 0.1, "optimizer": optax.sgd}
    ends = [
        tf.train(KEY, model, params, task, algorithm=algorithm, **options).params
        for algorithm in (qra.reinforce(group_size=4), qra.remax(4), qra.dr_grpo(4), qra.opo(4))
    ]
    flat = [jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(end)]) for end in ends]
    assert all(jnp.all(jnp.isfinite(one)) for one in flat)
    with pytest.raises(ValueError, match="a normalization or pairs of its own"):
        tf.train(KEY, model, params, task, algorithm=qra.normalized(qra.grpo(4), "length"), **options)

"""Flows: laws × members, closed forms, independent solvers, derivatives, events, edges."""

import chex
import diffrax
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

from qra_jax import (
    algorithm as algorithms,
    flow,
    metrics,
    problem as problems,
    regularizer,
    reward as rewards,
)
from qra_jax.geometry import GEOMETRIES
from qra_jax.problem import Problem
from qra_jax.trajectory import Status
from tests.laws.members import accepted

PROBLEM = Problem.from_probs(
    answers=[[0.85, 0.1, 0.05], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2]], ref=[0.1, 0.5, 0.25, 0.15]
)
TWO = Problem.from_probs(ref=[0.2, 0.8], success=[1.0, 0.0])
TS = np.array([0.0, 0.5, 3.0, 12.0, 40.0])
TIGHT = {"rtol": 1e-11, "atol": 1e-11}

ALGORITHMS = {
    "reinforce": algorithms.reinforce(),
    "rloo": algorithms.rloo(4),
    "grpo": algorithms.grpo(),
    "grpo_8": algorithms.grpo(8),
    "dr_grpo_4": algorithms.dr_grpo(4),
    "dynamic_4": algorithms.grpo(4, resample_silent=True),
    "sft_positive": algorithms.filtered_sft(),
    "sft_accepted": algorithms.filtered_sft(per="accepted"),
    "sft_both": algorithms.filtered_sft("both", negative_weight=0.5),
    "pass_at_3": algorithms.pass_at_k(3),
    "tsallis": algorithms.tsallis(0.5),
}
REWARDS = {
    "verifiable": rewards.verifiable(),
    "noisy": rewards.verifiable(tpr=0.9, fpr=0.2),
    "reversed": rewards.verifiable(tpr=0.2, fpr=0.7),
    "self_certainty": rewards.self_certainty(),
    "answer_entropy": rewards.answer_entropy(),
    "trajectory_log_prob": rewards.trajectory_log_prob(),
    "majority_vote": rewards.majority_vote(),
    "policy_vote": rewards.policy_vote(),
    "kl_in_reward": rewards.kl_in_reward(rewards.verifiable(), 0.2),
}
TERMS = (regularizer.reverse_kl(0.1), regularizer.k3_loss(0.05), regularizer.entropy_bonus(0.02))

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
DISTINCT = {
    name: ALGORITHMS[name]
    for name in ("reinforce", "grpo", "grpo_8", "dynamic_4", "sft_accepted", "pass_at_3")
}
every_clock = pytest.mark.parametrize("algorithm", DISTINCT.values(), ids=DISTINCT)
every_reward = pytest.mark.parametrize("reward", REWARDS.values(), ids=REWARDS)
every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES)


def permuted(problem, order):
    return Problem(problem.log_ref[order], problem.success[order], problem.answers[order])


# Laws of the drift.


@every_geometry
@every_reward
@every_algorithm
def test_laws_of_the_drift(algorithm, reward, geometry):
    """Conserved sum or mean, right direction, permutation equivariance, all in one compiled call a member."""
    if not accepted(algorithm, reward):
        with pytest.raises(ValueError, match=r"reward: .* with .*; must be binary"):
            flow.drift(PROBLEM, PROBLEM.log_ref, algorithm=algorithm, reward=reward, geometry=geometry)
        return
    if algorithm.group_size == 8 and reward.name == "trajectory-log-prob":  # twelve outcomes of a rollout
        with pytest.raises(
            ValueError, match=r"G = 8: the exact expectation has 3\.1e\+06 terms; must be at most"
        ):
            flow.drift(PROBLEM, PROBLEM.log_ref, algorithm=algorithm, reward=reward, geometry=geometry)
        algorithm = algorithm.with_group_size(4)
    order = jnp.array([2, 0, 3, 1])
    log_policy = jax.nn.log_softmax(jnp.array([0.2, -0.4, 1.0, 0.3]))
    options = {"algorithm": algorithm, "reward": reward, "geometry": geometry}

    @jax.jit
    def both(log_policy):
        plain = flow.drift(PROBLEM, log_policy, **options)
        return plain, flow.drift(permuted(PROBLEM, order), log_policy[order], **options)

    velocity, moved = both(log_policy)
    policy, rates = jnp.exp(log_policy), reward.rates(PROBLEM, log_policy)
    conserved = jnp.sum(velocity) if geometry == "softmax" else jnp.sum(policy * velocity)
    assert abs(conserved) < 1e-15
    assert jnp.sum(policy * velocity * (rates - jnp.sum(policy * rates))) > 1e-4  # the mean reward rises
    np.testing.assert_allclose(moved, velocity[order], rtol=1e-12, atol=1e-16)


@every_algorithm
def test_binary_drift_is_clock_times_reinforce(algorithm):
    log_policy = jax.nn.log_softmax(jnp.array([0.2, -0.4, 1.0, 0.3]))
    speed = algorithm.clock(metrics.accuracy(log_policy, PROBLEM.success))
    policy = jnp.exp(log_policy)
    expected = speed * policy * (PROBLEM.success - jnp.sum(policy * PROBLEM.success))
    np.testing.assert_allclose(flow.drift(PROBLEM, log_policy, algorithm=algorithm), expected, rtol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_reinforce_drift_is_the_gradient_of_the_objective(beta):
    def objective(theta):
        log_policy = jax.nn.log_softmax(theta)
        return metrics.accuracy(log_policy, PROBLEM.success) - beta * metrics.kl(log_policy, PROBLEM.log_ref)

    theta = jnp.array([0.7, -0.4, 1.0, 0.3])
    velocity = flow.drift(PROBLEM, jax.nn.log_softmax(theta), regularizers=[regularizer.reverse_kl(beta)])
    np.testing.assert_allclose(velocity, jax.grad(objective)(theta), rtol=1e-12, atol=1e-16)


@every_geometry
@every_reward
def test_entropy_identity(reward, geometry):
    """dH/dt = −Cov_π(log π, v), along the trajectory's own tangent."""
    log_policy = jax.nn.log_softmax(jnp.array([0.2, -0.4, 1.0, 0.3]))
    velocity = flow.drift(PROBLEM, log_policy, reward=reward, regularizers=TERMS, geometry=geometry)
    _, rate = jax.jvp(lambda theta: metrics.entropy(jax.nn.log_softmax(theta)), (log_policy,), (velocity,))
    policy = jnp.exp(log_policy)
    covariance = jnp.sum(policy * log_policy * velocity) - jnp.sum(policy * log_policy) * jnp.sum(
        policy * velocity
    )
    np.testing.assert_allclose(rate, -covariance, rtol=1e-11)


def test_trajectory_log_prob_descends_the_entropy_of_the_choice():
    """With answers of one entropy, the policy gradient is exactly −∇H."""
    problem = Problem.from_probs(ref=[0.2, 0.5, 0.3], success=[0.3, 0.7, 0.3])
    velocity = flow.drift(problem, problem.log_ref, reward=rewards.trajectory_log_prob())
    gradient = jax.grad(lambda theta: metrics.entropy(jax.nn.log_softmax(theta)))(problem.log_ref)
    np.testing.assert_allclose(velocity, -gradient, rtol=1e-12, atol=1e-16)


# Laws of the solution.


@every_geometry
@every_clock
def test_accuracy_never_falls_and_shift_of_logits_is_nothing(algorithm, geometry):
    trajectory = flow.solve(PROBLEM, ts=TS, algorithm=algorithm, geometry=geometry)
    assert trajectory.status == Status.OK
    assert jnp.all(jnp.diff(trajectory.accuracy) >= 0)
    assert trajectory.accuracy[-1] > PROBLEM.accuracy_ref + 0.05
    np.testing.assert_allclose(trajectory.log_policy[0], PROBLEM.log_ref, rtol=1e-13)
    np.testing.assert_allclose(jnp.sum(trajectory.policy, axis=-1), 1.0, rtol=1e-12)
    shifted = flow.solve(
        PROBLEM, ts=TS, algorithm=algorithm, geometry=geometry, log_policy0=PROBLEM.log_ref + 7.0
    )
    np.testing.assert_allclose(shifted.log_policy, trajectory.log_policy, rtol=1e-9)


@every_clock
def test_same_orbit_first_integral(algorithm):
    """Whatever the clock, [(w_i−w_j)−(u_i−u_j)]/[(w_i−w_k)−(u_i−u_k)] = (R_i−R_j)/(R_i−R_k)."""
    trajectory = flow.solve(PROBLEM, ts=[1.0, 9.0], algorithm=algorithm, **TIGHT)
    start, rates = np.exp(-np.asarray(PROBLEM.log_ref)), np.asarray(PROBLEM.success)
    for log_policy in np.asarray(trajectory.log_policy):
        log_w = -log_policy + np.mean(log_policy) - np.mean(np.asarray(PROBLEM.log_ref))
        change = np.exp(log_w) - start
        ratios = (change[0] - change[1:]) / (change[0] - change[1])
        np.testing.assert_allclose(ratios, (rates[0] - rates[1:]) / (rates[0] - rates[1]), rtol=1e-8)


@every_geometry
def test_batch_equals_loop_and_order_of_patterns_does_not_matter(geometry):
    batch = problems.stack([PROBLEM, permuted(PROBLEM, jnp.array([2, 0, 3, 1]))])
    options = {
        "ts": TS,
        "algorithm": algorithms.grpo(8),
        "regularizers": TERMS,
        "geometry": geometry,
        "rtol": 1e-10,
    }
    together = jax.vmap(lambda p: flow.solve(p, **options))(batch)
    for i in range(2):
        alone = flow.solve(jax.tree.map(lambda x, i=i: x[i], batch), **options)
        np.testing.assert_allclose(together.log_policy[i], alone.log_policy, rtol=1e-10)
    np.testing.assert_allclose(
        together.log_policy[1], together.log_policy[0][:, jnp.array([2, 0, 3, 1])], rtol=1e-8
    )


def test_a_flow_can_be_continued_from_where_it_stopped():
    whole = flow.solve(PROBLEM, ts=[4.0, 10.0], regularizers=TERMS, **TIGHT)
    rest = flow.solve(PROBLEM, ts=[6.0], regularizers=TERMS, log_policy0=whole.log_policy[0], **TIGHT)
    np.testing.assert_allclose(rest.log_policy[-1], whole.log_policy[-1], rtol=1e-9)


def test_each_call_compiles_once():
    @chex.assert_max_traces(n=1)
    def run(problem, ts):
        return flow.solve(problem, ts=ts, regularizers=TERMS).log_policy

    run = jax.jit(run)
    run(PROBLEM, jnp.asarray(TS))
    run(permuted(PROBLEM, jnp.array([1, 0, 2, 3])), jnp.asarray(TS) * 2)


# Closed forms.


@pytest.mark.parametrize(
    ("algorithm", "geometry", "time"),
    [
        (algorithms.reinforce(), "softmax", lambda z: z + np.sinh(z)),
        (algorithms.grpo(), "softmax", lambda z: 2 * np.sinh(z / 2)),
        (algorithms.reinforce(), "natural", lambda z: z),
        (algorithms.grpo(), "natural", lambda z: 2 * np.arcsin(np.sqrt(1 / (1 + np.exp(-z))))),
    ],
    ids=["reinforce", "grpo", "natural", "natural-std"],
)
def test_two_patterns(algorithm, geometry, time):
    ts = np.array([0.1, 0.7, 1.5, 2.1])
    log_policy = flow.solve(TWO, ts=ts, algorithm=algorithm, geometry=geometry, **TIGHT).log_policy
    z = np.asarray(log_policy[:, 0] - log_policy[:, 1])
    np.testing.assert_allclose(time(z) - time(np.log(0.25)), ts, rtol=1e-8)


def test_natural_gradient_divided_by_std_arrives_in_finite_time_and_stays():
    arrival = np.pi - 2 * np.arcsin(np.sqrt(0.2))
    trajectory = flow.solve(
        TWO, ts=[0.99 * arrival, 1.01 * arrival, 5 * arrival], algorithm=algorithms.grpo(), geometry="natural"
    )
    assert trajectory.status == Status.OK
    assert trajectory.accuracy[0] < 0.9999
    np.testing.assert_allclose(trajectory.accuracy[1:], 1.0, atol=1e-12)


def test_natural_gradient_with_reverse_kl():
    beta, start = 0.3, jax.nn.log_softmax(jnp.array([1.0, 0.0, -0.5, 0.3]))
    trajectory = flow.solve(
        PROBLEM,
        ts=TS,
        regularizers=[regularizer.reverse_kl(beta)],
        geometry="natural",
        log_policy0=start,
        **TIGHT,
    )
    decay = np.exp(-beta * TS)[:, None]
    ref = PROBLEM.log_ref[None]
    expected = ref + PROBLEM.success[None] / beta * (1 - decay) + (start[None] - ref) * decay
    np.testing.assert_allclose(trajectory.log_policy, jax.nn.log_softmax(expected), rtol=1e-8)


@pytest.mark.parametrize("stiff", [False, True])
@every_geometry
def test_reverse_kl_ends_at_the_gibbs_policy(geometry, stiff):
    beta = 0.2
    for start in (PROBLEM.log_ref, jnp.array([-3.0, 0.0, 1.0, -1.0])):
        trajectory = flow.solve(
            PROBLEM,
            ts=[1e5],
            regularizers=[regularizer.reverse_kl(beta)],
            geometry=geometry,
            log_policy0=start,
            stiff=stiff,
            max_steps=100_000,
        )
        assert trajectory.status == Status.OK
        expected = jax.nn.log_softmax(PROBLEM.log_ref + PROBLEM.success / beta)
        np.testing.assert_allclose(trajectory.log_policy[-1], expected, atol=1e-6)


def test_stiff_solver_takes_fewer_steps_at_rest():
    options = {
        "ts": [1e4],
        "regularizers": [regularizer.reverse_kl(0.5)],
        "geometry": "natural",
        "max_steps": 100_000,
    }
    explicit, implicit = (
        flow.solve(PROBLEM, stiff=stiff, **options).stats["steps"] for stiff in (False, True)
    )
    assert implicit < explicit / 10


@every_geometry
def test_k3_ends_elsewhere_at_its_own_fixed_point(geometry):
    beta = 0.2
    success, ref = np.asarray(PROBLEM.success), np.asarray(PROBLEM.ref)

    # π(p − ρ) = β(π − π_ref) gives π = β π_ref / (β + ρ − p), one unknown ρ fixed by Σπ = 1.
    def policy(accuracy):
        return beta * ref / (beta + accuracy - success)

    accuracy = scipy.optimize.brentq(
        lambda x: policy(x).sum() - 1, success.max() - beta + 1e-9, 1.0, xtol=1e-14
    )
    fixed = policy(accuracy)
    np.testing.assert_allclose(fixed @ success, accuracy, rtol=1e-10)
    trajectory = flow.solve(PROBLEM, ts=[2e3], regularizers=[regularizer.k3_loss(beta)], geometry=geometry)
    np.testing.assert_allclose(trajectory.policy[-1], fixed, atol=1e-7)
    gibbs = jax.nn.softmax(PROBLEM.log_ref + PROBLEM.success / beta)
    assert float(jnp.max(jnp.abs(gibbs - fixed))) > 0.05


def test_noise_only_changes_the_rate_of_reinforce():
    noisy = flow.solve(PROBLEM, ts=TS, reward=rewards.verifiable(tpr=0.9, fpr=0.4), **TIGHT)
    clean = flow.solve(PROBLEM, ts=TS * 0.5, **TIGHT)
    np.testing.assert_allclose(noisy.log_policy, clean.log_policy, rtol=1e-8)


# Accuracy of the solver.


@pytest.mark.parametrize(
    ("algorithm", "reward", "terms", "geometry"),
    [
        ("reinforce", "verifiable", TERMS, "softmax"),
        ("grpo_8", "noisy", (), "natural"),
        ("reinforce", "self_certainty", (), "softmax"),
        ("grpo", "answer_entropy", (), "natural"),
        ("reinforce", "trajectory_log_prob", (), "softmax"),
        ("grpo_8", "self_certainty", TERMS, "softmax"),
        ("grpo_8", "majority_vote", (), "softmax"),
    ],
)
def test_scipy_agrees(algorithm, reward, terms, geometry):
    options = {
        "algorithm": ALGORITHMS[algorithm],
        "reward": REWARDS[reward],
        "regularizers": terms,
        "geometry": geometry,
    }
    field = jax.jit(lambda theta: flow.drift(PROBLEM, jax.nn.log_softmax(theta), **options))
    ts = np.array([0.5, 1.0, 2.0])
    reference = scipy.integrate.solve_ivp(
        lambda t, y: np.asarray(field(y)),
        (0, 2.0),
        np.asarray(PROBLEM.log_ref),
        "DOP853",
        ts,
        rtol=1e-10,
        atol=1e-11,
    )
    trajectory = flow.solve(PROBLEM, ts=ts, rtol=1e-10, atol=1e-11, **options)
    np.testing.assert_allclose(trajectory.log_policy, jax.nn.log_softmax(reference.y.T), rtol=1e-8)


@pytest.mark.parametrize("stiff", [False, True])
def test_error_falls_with_the_tolerance(stiff):
    tolerances = np.array([1e-4, 1e-6, 1e-8, 1e-10])
    reference = flow.solve(PROBLEM, ts=[20.0], rtol=1e-13, atol=1e-13).log_policy

    def error(tolerance):
        log_policy = flow.solve(PROBLEM, ts=[20.0], rtol=tolerance, atol=tolerance, stiff=stiff).log_policy
        return float(jnp.max(jnp.abs(log_policy - reference)))

    errors = [error(tolerance) for tolerance in tolerances]
    slope = np.polyfit(np.log(tolerances), np.log(errors), 1)[0]
    assert 0.7 < slope < 1.3
    assert errors[-1] < 1e-8


@pytest.mark.parametrize(
    "solver", [diffrax.Heun(), diffrax.Bosh3(), diffrax.Dopri8()], ids=lambda s: type(s).__name__
)
def test_any_diffrax_solver_can_be_given(solver):
    log_policy = flow.solve(
        PROBLEM, ts=[20.0], rtol=1e-8, atol=1e-8, solver=solver, max_steps=100_000
    ).log_policy
    np.testing.assert_allclose(log_policy, flow.solve(PROBLEM, ts=[20.0], **TIGHT).log_policy, atol=1e-6)


def test_float32_is_right_to_its_precision():
    single = jax.tree.map(lambda x: x.astype(jnp.float32), PROBLEM)
    trajectory = flow.solve(single, ts=TS, algorithm=algorithms.grpo(8), regularizers=TERMS)
    for found in (trajectory.log_policy, trajectory.time, trajectory.accuracy):
        assert found.dtype == jnp.float32
    exact = flow.solve(PROBLEM, ts=TS, algorithm=algorithms.grpo(8), regularizers=TERMS)
    assert trajectory.status == Status.OK
    np.testing.assert_allclose(trajectory.log_policy, exact.log_policy, rtol=2e-4)


def test_the_tail_loses_no_digits():
    """1 − ρ ~ 1/(2t) far out, where R − R̄ computed naively is rounding noise."""
    time = 1e9
    log_policy = flow.solve(TWO, ts=[time], max_steps=10_000).log_policy[0]
    z = float(log_policy[0] - log_policy[1])
    np.testing.assert_allclose(z + np.sinh(z) - np.log(0.25) - np.sinh(np.log(0.25)), time, rtol=1e-5)


# Derivatives.


def final_logit(problem, beta, adjoint=None):
    terms = [regularizer.reverse_kl(beta)]
    log_policy = flow.solve(problem, ts=[2.0, 6.0], regularizers=terms, adjoint=adjoint, **TIGHT).log_policy[
        -1
    ]
    return log_policy[0] - log_policy[1]


def finite_difference(function, x, step=1e-4):
    moves = step * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([(function(x + m) - function(x - m)) / (2 * step) for m in moves]).reshape(x.shape)


def test_reverse_and_forward_derivatives_match_finite_differences():
    def of_success(success, adjoint=None):
        return final_logit(Problem(PROBLEM.log_ref, success), 0.1, adjoint)

    expected = finite_difference(jax.jit(of_success), PROBLEM.success)
    np.testing.assert_allclose(jax.jit(jax.grad(of_success))(PROBLEM.success), expected, rtol=1e-6)
    forward = jax.jit(jax.jacfwd(lambda x: of_success(x, diffrax.ForwardMode())))
    np.testing.assert_allclose(forward(PROBLEM.success), expected, rtol=1e-6)

    def of_ref(log_ref):
        return final_logit(Problem(log_ref, PROBLEM.success), 0.1)

    np.testing.assert_allclose(
        jax.jit(jax.grad(of_ref))(PROBLEM.log_ref),
        finite_difference(jax.jit(of_ref), PROBLEM.log_ref),
        rtol=1e-6,
    )

    def of_beta(beta):
        return final_logit(PROBLEM, beta)

    slope = finite_difference(jax.jit(of_beta), np.array(0.1))
    np.testing.assert_allclose(jax.grad(of_beta)(0.1), slope, rtol=1e-6)


def test_event_time_is_differentiable_under_vmap():
    def time(success):
        problem = Problem(PROBLEM.log_ref, success)
        return flow.solve(problem, ts=[100.0], event="accuracy", target=0.7, **TIGHT).stats["event_time"]

    batch = jnp.stack([PROBLEM.success, PROBLEM.success + 0.01])
    gradients = jax.jit(jax.vmap(jax.grad(time)))(batch)
    for success, gradient in zip(batch, gradients, strict=True):
        np.testing.assert_allclose(gradient, finite_difference(jax.jit(time), success), rtol=1e-5)


def test_a_missing_pattern_does_not_spoil_derivatives():
    problem = Problem.from_probs(ref=[0.2, 0.5, 0.3, 0.0], success=[0.9, 0.5, 0.1, 0.3])
    gradient = jax.grad(lambda s: flow.solve(Problem(problem.log_ref, s), ts=[5.0]).accuracy[-1])(
        problem.success
    )
    assert jnp.all(jnp.isfinite(gradient))
    assert gradient[3] == 0
    assert gradient[0] > 0.1


# Supervised fine-tuning.


def test_sft_keeps_the_sum_of_logits_and_ends_at_the_mixture():
    mixture = np.array([0.4, 0.3, 0.2, 0.1])
    trajectory = flow.sft(PROBLEM, mixture, ts=[0.3, 2.0, 500.0])
    assert trajectory.status == Status.OK
    np.testing.assert_allclose(trajectory.policy[-1], mixture, atol=1e-7)
    cross_entropy = -trajectory.log_policy @ mixture
    assert jnp.all(jnp.diff(cross_entropy) < 0)
    reference = scipy.integrate.solve_ivp(
        lambda t, y: mixture - np.exp(y) / np.exp(y).sum(),
        (0, 2.0),
        np.asarray(PROBLEM.log_ref),
        "DOP853",
        [0.3, 2.0],
        rtol=1e-11,
        atol=1e-11,
    )
    np.testing.assert_allclose(trajectory.log_policy[:2], jax.nn.log_softmax(reference.y.T), rtol=1e-7)
    np.testing.assert_allclose(reference.y.sum(axis=0), np.sum(np.asarray(PROBLEM.log_ref)), rtol=1e-9)


def test_sft_on_two_patterns_has_a_closed_form():
    """On one pattern alone (μ = e_1) z' = 2(1 − ρ): z + e^z = z_0 + e^{z_0} + 2t."""
    ts = np.array([0.5, 3.0])
    log_policy = flow.sft(TWO, [1.0, 0.0], ts=ts, **TIGHT).log_policy
    z = np.asarray(log_policy[:, 0] - log_policy[:, 1])
    np.testing.assert_allclose(z + np.exp(z) - np.log(0.25) - 0.25, 2 * ts, rtol=1e-9)


def test_sft_cannot_reach_a_missing_pattern():
    problem = Problem.from_probs(ref=[1.0, 0.0], success=[0.5, 0.9])
    trajectory = flow.sft(problem, [0.5, 0.5], ts=[1.0])
    assert trajectory.status == Status.INVALID
    assert jnp.all(jnp.isnan(trajectory.log_policy))


# Trainable answers.

JOINT_POLICY = jax.nn.log_softmax(jnp.array([0.2, -0.4, 1.0, 0.3]))
JOINT_ANSWERS = jnp.log(PROBLEM.answers)


@pytest.mark.parametrize("reward", [REWARDS["verifiable"], REWARDS["noisy"]], ids=["clean", "noisy"])
def test_two_level_drift_is_the_gradient_of_the_expected_reward(reward):
    def expected(logits):
        policy, answers = jax.nn.softmax(logits[0]), jax.nn.softmax(logits[1])
        verdict = jnp.array([reward.params["tpr"]] + [reward.params["fpr"]] * 2)
        return jnp.sum(policy * (answers @ verdict))

    logits = (JOINT_POLICY, JOINT_ANSWERS)
    chex.assert_trees_all_close(
        flow.answer_drift(PROBLEM, *logits, reward=reward), jax.grad(expected)(logits), rtol=1e-12, atol=1e-16
    )


@every_geometry
@every_clock
def test_two_level_laws(algorithm, geometry):
    theta, phi = flow.answer_drift(
        PROBLEM, JOINT_POLICY, JOINT_ANSWERS, algorithm=algorithm, geometry=geometry
    )
    np.testing.assert_allclose(
        theta,
        flow.drift(PROBLEM, JOINT_POLICY, algorithm=algorithm, geometry=geometry),
        rtol=1e-12,
        atol=1e-16,
    )
    conserved = jnp.sum(phi, axis=-1) if geometry == "softmax" else jnp.sum(phi * PROBLEM.answers, axis=-1)
    np.testing.assert_allclose(conserved, 0.0, atol=1e-15)
    assert jnp.all(phi[:, 0] > 0)


def test_trainable_answers_start_at_the_problem_and_learn_faster():
    fixed = flow.solve(PROBLEM, ts=TS)
    moving = flow.solve(PROBLEM, ts=TS, train_answers=True)
    chex.assert_shape(moving.success, (TS.size, 4))
    np.testing.assert_allclose(moving.success[0], PROBLEM.success, rtol=1e-12)
    assert jnp.all(jnp.diff(moving.success, axis=0) > 0)
    assert jnp.all(moving.accuracy[1:] > fixed.accuracy[1:])
    np.testing.assert_array_equal(fixed.success, PROBLEM.success)


def test_trainable_answers_against_scipy():
    def field(t, y):
        theta, phi = jnp.asarray(y[:4]), jnp.asarray(y[4:]).reshape(4, 3)
        parts = flow.answer_drift(
            PROBLEM, jax.nn.log_softmax(theta), jax.nn.log_softmax(phi), algorithm=ALGORITHMS["grpo_8"]
        )
        return np.concatenate([np.asarray(x).ravel() for x in parts])

    start = np.concatenate([np.asarray(PROBLEM.log_ref), np.asarray(JOINT_ANSWERS).ravel()])
    y = scipy.integrate.solve_ivp(field, (0, 2.0), start, "DOP853", [2.0], rtol=1e-9, atol=1e-9).y[:, -1]
    trajectory = flow.solve(PROBLEM, ts=[2.0], algorithm=ALGORITHMS["grpo_8"], train_answers=True)
    np.testing.assert_allclose(trajectory.log_policy[-1], jax.nn.log_softmax(y[:4]), rtol=1e-6)
    np.testing.assert_allclose(trajectory.success[-1], jax.nn.softmax(y[4:].reshape(4, 3))[:, 0], rtol=1e-6)


def test_sure_answers_cannot_learn():
    trajectory = flow.solve(TWO, ts=TS, train_answers=True)
    np.testing.assert_array_equal(trajectory.success, jnp.broadcast_to(TWO.success, (TS.size, 2)))
    np.testing.assert_allclose(trajectory.log_policy, flow.solve(TWO, ts=TS).log_policy, rtol=1e-6)


# Events.


@pytest.mark.parametrize("event", ["best", "accuracy"])
@pytest.mark.parametrize("target", [0.5, 0.99, 1 - 1e-6])
def test_event_times_on_two_patterns(event, target):
    trajectory = flow.solve(TWO, ts=[1.0, 1e7], event=event, target=target, **TIGHT)
    z = np.log(target) - np.log1p(-target)
    expected = z + np.sinh(z) - np.log(0.25) - np.sinh(np.log(0.25))
    assert trajectory.status == Status.OK
    np.testing.assert_allclose(trajectory.stats["event_time"], expected, rtol=1e-6)
    np.testing.assert_allclose(trajectory.accuracy[-1], target, rtol=1e-6)


def test_events_of_a_batch_do_not_mix():
    """One reaches the target, one starts beyond it, one does not get there by the end, one is not valid."""
    log_ref = jnp.log(jnp.array([[0.2, 0.8], [0.995, 0.005], [1e-6, 1 - 1e-6], [0.5, 0.5]]))
    success = jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [jnp.nan, 0.0]])
    ts = jnp.array([0.5, 3.0, 60.0, 90.0])
    trajectory = jax.vmap(lambda p: flow.solve(p, ts=ts, event="best", **TIGHT))(Problem(log_ref, success))
    np.testing.assert_array_equal(
        trajectory.status, [Status.OK, Status.ALREADY_MET, Status.OK, Status.INVALID]
    )
    z = np.log(99.0)
    expected = z + np.sinh(z) - np.log(0.25) - np.sinh(np.log(0.25))
    np.testing.assert_allclose(trajectory.stats["event_time"][:3], [expected, 0.0, np.inf], rtol=1e-6)
    assert jnp.isnan(trajectory.stats["event_time"][3])
    np.testing.assert_allclose(trajectory.policy[0, 2:, 0], 0.99, rtol=1e-7)  # held after the event
    assert trajectory.policy[0, 1, 0] < 0.9
    np.testing.assert_allclose(trajectory.policy[1, :, 0], 0.995, rtol=1e-12)
    alone = flow.solve(Problem(log_ref[2], success[2]), ts=ts, **TIGHT)
    np.testing.assert_allclose(trajectory.log_policy[2], alone.log_policy, rtol=1e-9)
    assert jnp.all(jnp.isnan(trajectory.log_policy[3]))


def test_peak_of_accuracy_under_internal_feedback():
    """Self-certainty climbs with the sure-and-right pattern, then falls to the surer-and-wrong one."""
    problem = Problem.from_probs(ref=[0.5, 0.4, 0.1], success=[0.95, 0.5, 0.02])
    options = {"reward": rewards.self_certainty(), **TIGHT}
    fine = flow.solve(problem, ts=np.linspace(0.0, 20.0, 4001), **options)
    top = int(jnp.argmax(fine.accuracy))
    assert 0 < top < 4000
    trajectory = flow.solve(problem, ts=[20.0], event="peak", **options)
    assert abs(trajectory.stats["event_time"] - fine.time[top]) <= 0.005
    assert fine.accuracy[top] <= trajectory.accuracy[-1] < fine.accuracy[top] + 1e-6
    log_policy = trajectory.log_policy[-1]
    velocity = flow.drift(problem, log_policy, reward=rewards.self_certainty())
    slope = jax.jvp(
        lambda x: metrics.accuracy(jax.nn.log_softmax(x), problem.success), (log_policy,), (velocity,)
    )[1]
    assert abs(slope) < 1e-9


def test_steady_state_on_two_patterns():
    """The logits move at ρ(1 − ρ) each, so speed 1e-4 comes with the tail's ρ(1 − ρ) = 1e-4."""
    trajectory = flow.solve(TWO, ts=[1e6], event="steady", target=1e-4, **TIGHT)
    accuracy = trajectory.accuracy[-1]
    np.testing.assert_allclose(accuracy * (1 - accuracy), 1e-4, rtol=1e-6)


def test_events_see_trained_answers():
    trajectory = flow.solve(PROBLEM, ts=[100.0], event="accuracy", target=0.95, train_answers=True)
    assert 0 < trajectory.stats["event_time"] < 100
    np.testing.assert_allclose(trajectory.accuracy[-1], 0.95, rtol=1e-6)


def test_sft_until_accurate():
    trajectory = flow.sft(TWO, [1.0, 0.0], ts=[50.0], event="accuracy", target=0.9, **TIGHT)
    z = np.log(9.0)
    np.testing.assert_allclose(trajectory.stats["event_time"], (z + 9 - np.log(0.25) - 0.25) / 2, rtol=1e-8)


def test_events_without_a_rival_or_without_mass():
    single = flow.solve(Problem.from_probs(ref=[1.0], success=[0.3]), ts=[1.0], event="best")
    assert single.status == Status.ALREADY_MET
    assert single.stats["event_time"] == 0
    missing = flow.solve(Problem.from_probs(ref=[0.0, 1.0], success=[0.9, 0.4]), ts=[1.0], event="best")
    assert missing.status == Status.OK
    assert missing.stats["event_time"] == jnp.inf


# Edges.


@every_geometry
@pytest.mark.parametrize("algorithm", ["reinforce", "grpo", "dynamic_4", "sft_accepted"])
@pytest.mark.parametrize(
    "problem",
    [
        Problem.from_probs(ref=[1.0], success=[0.3]),
        Problem.from_probs(ref=[0.3, 0.7], success=[0.0, 0.0]),
        Problem.from_probs(ref=[0.3, 0.7], success=[1.0, 1.0]),
        Problem.from_probs(ref=[0.3, 0.7], success=[0.4, 0.4]),
        Problem.from_probs(ref=[0.0, 1.0], success=[0.9, 0.4]),
    ],
    ids=["single", "all wrong", "all right", "ties", "best missing"],
)
def test_nothing_to_learn_stays_put(problem, algorithm, geometry):
    trajectory = flow.solve(problem, ts=[1.0, 50.0], algorithm=ALGORITHMS[algorithm], geometry=geometry)
    assert trajectory.status == Status.OK
    np.testing.assert_allclose(
        trajectory.policy, jnp.broadcast_to(problem.ref, trajectory.policy.shape), rtol=1e-12
    )


@every_geometry
@pytest.mark.parametrize("terms", [(), TERMS], ids=["bare", "regularized"])
def test_a_missing_pattern_is_as_good_as_none(terms, geometry):
    whole = Problem.from_probs(ref=[0.2, 0.5, 0.3], success=[0.9, 0.5, 0.1])
    padded = Problem.from_probs(ref=[0.2, 0.0, 0.5, 0.3], success=[0.9, 1.0, 0.5, 0.1])
    options = {"ts": TS, "regularizers": terms, "geometry": geometry, **TIGHT}
    with_hole = flow.solve(padded, **options)
    assert with_hole.status == Status.OK
    np.testing.assert_array_equal(with_hole.log_policy[:, 1], -jnp.inf)
    np.testing.assert_allclose(
        with_hole.log_policy[:, jnp.array([0, 2, 3])], flow.solve(whole, **options).log_policy, rtol=1e-8
    )


def test_tied_best_patterns_keep_the_ratio_of_their_weights():
    problem = Problem.from_probs(ref=[0.1, 0.1, 0.8], success=[0.8, 0.8, 0.2])
    trajectory = flow.solve(problem, ts=[100.0])
    np.testing.assert_allclose(trajectory.log_policy[-1, 0], trajectory.log_policy[-1, 1], rtol=1e-9)
    assert trajectory.accuracy[-1] > 0.75


def test_infinite_reward_is_invalid_unless_floored():
    trajectory = flow.solve(TWO, ts=[1.0], reward=rewards.self_certainty())
    assert trajectory.status == Status.INVALID
    assert jnp.all(jnp.isnan(trajectory.log_policy))
    assert flow.solve(TWO, ts=[1.0], reward=rewards.self_certainty(1e-6)).status == Status.OK


@pytest.mark.parametrize(
    "log_policy0",
    [jnp.array([jnp.nan, 0.0]), jnp.array([jnp.inf, 0.0]), jnp.array([-jnp.inf, -jnp.inf])],
    ids=["nan", "infinite", "no mass"],
)
def test_a_bad_start_is_invalid(log_policy0):
    trajectory = flow.solve(TWO, ts=[1.0], log_policy0=log_policy0)
    assert trajectory.status == Status.INVALID
    assert jnp.all(jnp.isnan(trajectory.log_policy))


def test_infinite_penalty_is_invalid():
    problem = Problem.from_probs(ref=[0.0, 1.0], success=[0.9, 0.4])
    start = jnp.log(jnp.array([0.5, 0.5]))
    options = {"ts": [1.0], "log_policy0": start}
    assert flow.solve(problem, regularizers=[regularizer.reverse_kl(0.1)], **options).status == Status.INVALID
    assert flow.solve(problem, regularizers=[regularizer.reverse_kl(0.0)], **options).status == Status.OK


def test_out_of_steps_is_said_and_holds_the_last_policy():
    trajectory = flow.solve(PROBLEM, ts=[0.01, 1e6, 2e6], max_steps=8, event="best")
    assert trajectory.status == Status.NOT_CONVERGED
    assert jnp.isnan(trajectory.stats["event_time"])
    assert jnp.all(jnp.isfinite(trajectory.log_policy))
    np.testing.assert_array_equal(trajectory.log_policy[1], trajectory.log_policy[2])
    assert trajectory.stats["steps"] == 8


@pytest.mark.parametrize("event", [None, "best"])
def test_no_time_at_all(event):
    trajectory = flow.solve(PROBLEM, ts=[0.0], event=event)
    assert trajectory.status == Status.OK
    np.testing.assert_allclose(trajectory.log_policy, PROBLEM.log_ref[None], rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ts": [1.0, 0.5]}, r"ts\[1\]: 0\.5; must be no smaller"),
        ({"ts": [-1.0, 0.5]}, r"ts\[0\]: -1; must be zero or positive"),
        ({"ts": [1.0, np.inf]}, r"ts\[1\]: inf; must be zero or positive, and finite"),
        ({"ts": []}, "ts: empty"),
        ({"ts": 1.0}, r"ts: shape \(\); must have 1 dimension"),
        ({"geometry": "fisher"}, "geometry: 'fisher'; must be one of"),
        ({"event": "worst"}, "event: 'worst'; must be one of"),
        ({"event": "best", "target": 1.0}, r"target: 1; must be in \(0, 1\)"),
        ({"event": "steady", "target": 0.0}, "target: 0; must be positive"),
        ({"rtol": 0.0}, "rtol: 0; must be positive"),
        ({"atol": np.nan}, "atol: nan; must be positive"),
        ({"max_steps": 0}, "max_steps: 0; must be 1 or above"),
        ({"log_policy0": jnp.zeros(3)}, r"log_policy0: shape \(3,\); must be \(4,\)"),
        (
            {"train_answers": True, "reward": rewards.majority_vote()},
            "reward: 'majority-vote' with train_answers",
        ),
        (
            {"algorithm": algorithms.tsallis(0.5), "reward": rewards.self_certainty()},
            "reward: 'self-certainty' with Tsallis, which weighs right and wrong rollouts; must be binary",
        ),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        flow.solve(PROBLEM, **{"ts": [1.0], **options})


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ([0.5, 0.5], "mixture: length 2; must be 4"),
        ([0.5, 0.5, 0.5, 0.5], "mixture: sums to 2"),
        ([-1, 1, 1, 0], "mixture"),
    ],
)
def test_bad_mixture_is_named(mixture, message):
    with pytest.raises(ValueError, match=message):
        flow.sft(PROBLEM, mixture, ts=[1.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "grpo"}, "algorithm: 'grpo'; must be an Algorithm, such as"),
        ({"reward": rewards.verifiable}, "reward: the function verifiable; must be a Reward, such as"),
        (
            {"regularizers": regularizer.reverse_kl(0.01)},
            r"regularizers: Regularizer\(reverse KL, beta = 0\.01\); must be a list of Regularizers, such as",
        ),
        ({"regularizers": "reverse_kl"}, "regularizers: 'reverse_kl'; must be a list of Regularizers"),
        ({"regularizers": [0.01]}, r"regularizers\[0\]: 0\.01; must be a Regularizer, such as"),
        ({"problem": Problem(jnp.array([0.2, 0.8]), jnp.array([1.0, 0.0]))}, "log_ref: exponentials sum to"),
    ],
)
def test_wrong_objects_are_refused(options, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users call it
    with pytest.raises(ValueError, match="^" + message):
        flow.solve(**{"problem": TWO, "ts": [1.0], **options})
    if "problem" in options:
        with pytest.raises(ValueError, match="^" + message):
            flow.sft(options["problem"], [0.5, 0.5], ts=[1.0])

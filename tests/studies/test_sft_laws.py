"""What the studies of SFT rest on: laws that hold exactly, against independent solvers and closed forms."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from qra_jax import flow, orbit, recipe, theory
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, examples, random
from qra_jax.studies.sft import _curves, _mixed, _schedules


def _after_sft(ref, mixture, time):
    """π after SFT, by SciPy."""

    def velocity(_, theta):
        policy = np.exp(theta - theta.max())
        return mixture - policy / policy.sum()

    theta = solve_ivp(velocity, (0, time), np.log(ref), rtol=1e-10, atol=1e-12).y[:, -1]
    policy = np.exp(theta - theta.max())
    return policy / policy.sum()


def _rl_time(policy, success, target=0.99):
    """Time of REINFORCE to π(r*) = .99, by SciPy."""

    def velocity(_, theta):
        policy = np.exp(theta - theta.max())
        policy = policy / policy.sum()
        return policy * (success - policy @ success)

    def reached(_, theta):
        policy = np.exp(theta - theta.max())
        return policy[np.argmax(success)] / policy.sum() - target

    reached.terminal = True
    options = {"events": reached, "rtol": 1e-9, "atol": 1e-11, "method": "LSODA"}
    return solve_ivp(velocity, (0, 1e5), np.log(policy), **options).t_events[0][0]


def test_rl_times_after_sft_are_those_of_an_independent_solver():
    problem, times = examples.worked(), np.array([0.0, 1.0, 8.0])
    log_ref, success, mixture = _curves.problems_and_data([problem], 0.4, 5)
    log_time = _curves.log_rl_times(log_ref, success, mixture, times, ("REINFORCE",))[0, 0]
    ref, rates = np.asarray(problem.ref), np.asarray(problem.success)
    expected = [_rl_time(_after_sft(ref, mixture[0, :3], time), rates) for time in times[1:]]
    np.testing.assert_allclose(np.exp(log_time[1:]), expected, rtol=1e-4)
    assert np.exp(log_time[0]) == pytest.approx(270.957, abs=1e-3)


def test_batched_times_are_the_mapped_ones():
    log_ref, success = _curves.random_problems(0, 6, 3, 5)
    batched = _curves.log_hitting_times(log_ref, success)
    np.testing.assert_allclose(batched, _curves.log_hitting_times(log_ref, success, "REINFORCE"), rtol=1e-9)


def test_demonstrations_by_rank():
    log_ref, success, mu = _curves.problems_and_data([examples.worked(), examples.entangled(9.0, 5)], 0.5, 5)
    np.testing.assert_allclose(np.exp(log_ref).sum(axis=1), 1)
    np.testing.assert_allclose(mu[0], [0.525, 0.35, 0.125, 0, 0], atol=1e-12)
    last = _curves.demonstrations(log_ref, success, 1.0, rank=-1)
    np.testing.assert_allclose(last[0], [0, 0, 1, 0, 0])
    assert last[1] @ success[1] == success[1].min()


def test_endless_sft_is_fast_iff_its_data_reach_the_second_best():
    keys = jax.random.split(jax.random.key(0), 20)
    for seed, key in enumerate(keys):
        problem, mixture = random(key, 4), np.random.default_rng(seed).dirichlet(np.ones(4))
        margin = float(theory.sft_quality(problem, jnp.asarray(mixture)))
        if abs(margin) > 1e-3:
            assert bool(theory.regime(problem.with_ref(jnp.log(mixture))).entangled) == (margin < 0)


def test_the_best_split_is_a_zero_of_the_derivative():
    problem, mu = examples.worked(), theory.demonstrations(examples.worked(), 0.5)

    def spent(time):
        ts = jnp.stack([jnp.zeros_like(time), time])
        after = flow.sft(problem, mu, ts=ts, adjoint=diffrax.ForwardMode()).log_policy[-1]
        return time + jnp.exp(orbit.log_hitting_time(problem.with_ref(after), 0.99))

    total = jax.jit(lambda time: jax.jvp(spent, (time,), (jnp.ones_like(time),)))
    step, (value, slope) = 1e-3, total(jnp.asarray(3.0))
    assert 100 < float(value) < 271
    difference = (total(jnp.asarray(3.0 + step))[0] - total(jnp.asarray(3.0 - step))[0]) / (2 * step)
    assert float(slope) == pytest.approx(float(difference), rel=1e-4)
    times = np.append(0.0, np.geomspace(0.1, 300, 100))
    log_rl = np.array([np.log(float(total(jnp.asarray(max(time, 1e-9)))[0]) - time) for time in times])
    best, cost = theory.best_split(times, log_rl)
    assert abs(float(total(jnp.asarray(float(best)))[1])) < 2e-2
    assert float(cost) == pytest.approx(float(total(jnp.asarray(float(best)))[0]), rel=1e-4)


@pytest.mark.parametrize("price", [1.0, 30.0])
def test_best_split_of_an_exponential(price):
    times = np.append(0.0, np.geomspace(0.01, 100, 60))
    best, cost = theory.best_split(times, np.log(50.0) - 0.3 * times, price)
    exact = np.log(15 * price) / 0.3
    assert (best, cost) == (pytest.approx(exact, rel=2e-3), pytest.approx(exact + 1 / 0.3, rel=1e-5))


def test_best_split_at_the_ends():
    times = np.linspace(0, 10, 11)
    best, cost = theory.best_split(times, np.stack([0.1 * times, 5 - 0.01 * times]), np.array([1.0, 1e6]))
    np.testing.assert_allclose(best, [0, 10])
    np.testing.assert_allclose(cost, [1, 10 + 1e6 * np.exp(4.9)])
    with pytest.raises(ValueError, match="times"):
        theory.best_split(times[:2], times[:2])


def test_policy_after_sft_is_that_of_an_independent_solver():
    problem = examples.worked()
    after = np.exp(jax.jit(theory.sft_policy_after)(problem, 2.0))
    np.testing.assert_allclose(after, _after_sft(np.asarray(problem.ref), np.eye(3)[0], 2.0), rtol=1e-6)


def test_least_shares_are_those_of_the_sensitivity():
    log_ref, success = _curves.random_problems(1, 4, 3, 5)
    log_time, least = _curves.least_shares(log_ref, success)
    for i in range(4):
        problem = Problem(jnp.asarray(log_ref[i, :3]), jnp.asarray(success[i, :3]))
        slopes = recipe.sensitivity(problem)
        expected = theory.least_share_that_pays(problem, slopes.log_time, slopes.ref)
        assert least[i] == pytest.approx(float(expected), rel=1e-4)
        assert log_time[i] == pytest.approx(float(slopes.log_time), rel=1e-9)


def test_a_percent_of_the_best_pattern_saves_n_minus_one_percent_in_a_deep_stall():
    for n in (3, 4):
        problem = examples.entangled(1e5, n)
        ref, success = np.asarray(problem.ref)[None], np.asarray(problem.success)[None]
        slope = _curves.sensitivities(ref, success)["logit"][0, 0] / (1 - ref[0, 0])
        assert slope == pytest.approx(1 - n, rel=0.05)


def test_numbers_spend_the_time():
    for method in (*_mixed.METHODS, _mixed.OWN):
        weight, rate = np.moveaxis(_mixed.numbers(method, [1.0, 6.0]), -1, 0)
        share = np.array([1, _mixed.PARTS - 1]) / _mixed.PARTS * _mixed.STEPS
        between = np.array([1.0, 6.0]) * _mixed.TIME
        taught = {_mixed.RL: 0, _mixed.BETWEEN: between, _mixed.OWN: between}
        np.testing.assert_allclose((weight * rate) @ share, taught.get(method, np.array([1.0, 6.0])))
        spent = np.where(weight < _mixed.ALONE, rate, rate * weight) @ share
        np.testing.assert_allclose(spent, [1.0, 6.0] if method == _mixed.SFT else _mixed.TIME)


def test_law_of_equal_rivals_holds_under_any_clock():
    times = []
    for k in (1, 4):
        policy = np.array([0.1] + [0.9 / k] * k + [0.0] * (4 - k))
        problem = Problem.from_probs(ref=policy, success=[0.9] + [0.5] * 4)
        times.append(float(orbit.hit(problem, 0.95, algorithm=grpo(4)).log_time))
    assert np.exp(times[1] - times[0]) == pytest.approx(8 / 5, rel=1e-9)
    law = theory.equal_rivals_time(0.1, 0.95, gap=0.4, rivals=jnp.array([1.0, 4.0]))
    np.testing.assert_allclose(law[1] * 5 / 8, law[0], rtol=1e-12)


def test_a_rate_is_chosen_on_other_runs_than_it_is_shown_on():
    scores = _schedules.scores(0, runs=4, drawn=2)
    values = np.zeros(scores.sampled.shape)
    values[:, :, 1, :2] = (
        1.0  # the first half prefers the second rate; the second half says something else of it
    )
    values[:, :, 1, 2:] = 0.3
    shown = _schedules.at_best_rate(scores.sampled.copy(data=values))
    assert shown.sizes["run"] == 2
    np.testing.assert_allclose(shown, 0.3)

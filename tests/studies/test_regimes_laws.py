"""What the studies of regimes rest on: draws of a size or a regime, first moves, transition times, fates of RLIF."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from qra_jax import orbit, theory
from qra_jax.problem import Problem, examples, random
from qra_jax.reward import self_certainty
from qra_jax.studies.regimes import _draws

DRAWN = jax.vmap(lambda key: random(key, 8))(jax.random.split(jax.random.key(0), 200))


def test_first_patterns_are_a_smaller_problem():
    cut = _draws.narrowed(DRAWN, 3)
    np.testing.assert_allclose(np.exp(cut.log_ref).sum(axis=1), 1, rtol=1e-12)
    assert np.isneginf(cut.log_ref[:, 3:]).all()
    small = Problem(cut.log_ref[0, :3], cut.success[0, :3])
    padded = Problem(cut.log_ref[0], cut.success[0])
    for time in (orbit.log_hitting_time, orbit.log_transition_time, theory.transition_time_estimate):
        np.testing.assert_allclose(time(padded), time(small), rtol=1e-8)
    assert theory.regime(padded).rivals == theory.regime(small).rivals


def test_raised_problems_are_in_regime_one_with_a_gap():
    raised = jax.vmap(_draws.raised)(DRAWN)
    np.testing.assert_allclose(raised.ref.sum(axis=1), 1, rtol=1e-12)
    assert not jax.vmap(theory.regime)(raised).entangled.any()
    assert (raised.second_best <= 0.9 * raised.success.max(axis=1)).all()


def test_the_orbit_is_what_the_ode_solver_does():
    times = np.logspace(-1, 3, 9)
    for problem in (examples.fast(), examples.worked()):
        np.testing.assert_allclose(
            _draws.solved(problem, times), orbit.solve(problem, times).policy, atol=1e-7
        )


def test_first_move_is_that_of_the_orbit():
    """In Regime 1 it is never down; elsewhere it has the sign and size of a small step along the flow."""
    step = 1e-5
    moved = jax.nn.log_softmax(
        DRAWN.log_ref + step * DRAWN.ref * (DRAWN.success - DRAWN.accuracy_ref[:, None]), axis=1
    )
    best = jnp.arange(len(DRAWN.best)), DRAWN.best
    slope = (moved[best] - DRAWN.log_ref[best]) / step
    np.testing.assert_allclose(jax.vmap(theory.first_move)(DRAWN), slope, atol=2e-6)
    assert (jax.vmap(theory.first_move)(jax.vmap(_draws.raised)(DRAWN)) > 0).all()
    assert float(theory.first_move(examples.worked())) == pytest.approx(
        0.05 * 0.41 - 0.05**2 * 0.41 - 0.7**2 * 0.11 + 0.25**2 * 0.39
    )


def test_members_of_the_family():
    gamma, patterns = np.array([6.0, 40.0, 12.0]), np.array([3, 13, 6])
    members = _draws.of_family(gamma, patterns, np.full(3, 0.3))
    for row, (one, n) in enumerate(zip(gamma, patterns, strict=True)):
        wanted = _draws.widened(examples.entangled(float(one), int(n)), 13)
        np.testing.assert_allclose(members.log_ref[row], wanted.log_ref, rtol=1e-12)
        np.testing.assert_allclose(members.success[row], wanted.success, rtol=1e-12)
        assert float(orbit.log_transition_time(examples.entangled(float(one), int(n)))) == pytest.approx(
            float(orbit.log_transition_time(Problem(members.log_ref[row], members.success[row]))), rel=1e-9
        )


@pytest.mark.parametrize(
    ("gamma", "patterns", "other", "time"),
    [
        (6.0, 3, 0.25, 42.683163),
        (101.0, 3, 0.2, 18603.93),
        (201.0, 3, 0.2, 74227.08),
        (101.0, 100, 0.2, 3.7069e41),
    ],
)
def test_transition_times_of_the_worked_case_and_its_kin(gamma, patterns, other, time):
    """Against numbers of 30 digits (`tests/test_theory.py`)."""
    found = orbit.log_transition_time(examples.entangled(gamma, patterns, other=other))
    assert float(jnp.exp(found)) == pytest.approx(time, rel=1e-4)


def test_bound_of_one_rival_is_at_most_exponential():
    """The product is below e^(Cγ), C = (p' − min p)/(p* − p'), for any number of patterns."""
    gamma = np.linspace(5, 60, 12)
    for patterns in (3 + 0 * gamma, gamma - 1, 3 * gamma):
        members = _draws.of_family(gamma, patterns.astype(int), np.full(12, 0.3))
        bound = jax.vmap(theory.one_rival_bound)(members)
        assert (bound < 5 / 3 * gamma + np.log(30 * gamma)).all()


def test_bound_of_the_natural_gradient_bounds():
    exact = jax.vmap(lambda problem: orbit.log_hitting_time(problem, 0.99, geometry="natural"))
    few = jax.tree.map(lambda leaf: leaf[:30], DRAWN)
    assert (exact(few) <= _draws.natural_bound(few, 0.99) + 1e-9).all()
    two = Problem.from_probs(ref=[0.2, 0.8], success=[0.9, 0.4])
    bound = _draws.natural_bound(jax.tree.map(lambda leaf: leaf[None], two), 0.99)
    np.testing.assert_allclose(bound, [orbit.log_hitting_time(two, 0.99, geometry="natural")], rtol=1e-9)


def test_auc():
    score, flags = xr.DataArray([1.0, 2.0, 2.0, 3.0], dims="x"), xr.DataArray([0, 0, 1, 1], dims="x")
    assert _draws.auc(score, flags) == 3.5 / 4
    assert _draws.auc(score, 1 - flags) == 0.5 / 4
    assert np.isnan(_draws.auc(score, flags * 0))
    assert np.isnan(_draws.auc(score * np.nan, flags))


def test_fates_are_those_of_first_moves_and_of_exact_orbits():
    draws = np.random.default_rng(1).random((50, 6))
    problems = Problem(jnp.full((50, 6), -jnp.log(6.0)), jnp.asarray(draws))
    rises, worst = theory.rlif_fates(draws)
    slope = jax.vmap(lambda problem: theory.initial_slope(problem, reward=self_certainty()))(problems)
    np.testing.assert_array_equal(rises, slope > 0)
    paths = jax.vmap(
        lambda problem: orbit.solve(problem, log_ts=[-12.0, 500.0], reward=self_certainty()).accuracy
    )
    path = paths(problems)
    np.testing.assert_array_equal(worst, path[:, -1] < 0.5)
    clear = abs(slope) > 1e-4
    np.testing.assert_array_equal(rises[clear], (path[:, 0] > problems.accuracy_ref)[clear])
    assert 0 < worst.mean() < 1


def test_rlvr_never_falls_and_no_orbit_is_above_its_peak():
    few = jax.tree.map(lambda leaf: leaf[:40], DRAWN)
    times = np.linspace(-3, 40, 44)
    rlvr = jax.vmap(lambda problem: orbit.solve(problem, log_ts=times).accuracy)(few)
    assert (np.diff(rlvr, axis=1) > -1e-12).all()
    path = jax.vmap(lambda problem: orbit.solve(problem, log_ts=times, reward=self_certainty()).accuracy)(few)
    peak = jax.vmap(lambda problem: orbit.hit(problem, event="peak", reward=self_certainty()))(few)
    top = np.sum(np.exp(peak.log_policy) * few.success, axis=1)
    assert (path.max(axis=1) <= top + 1e-9).all()


def test_blockwise_draws_have_the_distribution_of_the_examples():
    keys = jax.random.split(jax.random.key(3), 2000)
    problems = jax.jit(jax.vmap(lambda key: examples.internal_feedback(key, 8, 1.2, 1.0)))(keys)
    wanted = np.mean(theory.rlif_fates(np.asarray(problems.success)), axis=1)
    found = _draws.rlif_draws(np.random.default_rng(4), 1.2, 8, 2000)
    np.testing.assert_allclose(np.mean(found, axis=1), wanted, atol=4 * np.sqrt(0.5 / 2000))


def test_bases_are_more_right_than_wrong():
    for uneven in (False, True):
        problems = _draws.more_right_than_wrong(np.random.default_rng(0), 6, 50, uneven=uneven)
        assert problems.log_ref.shape == (50, 6)
        assert (problems.accuracy_ref > 0.5).all()
        np.testing.assert_allclose(problems.ref.sum(axis=1), 1, rtol=1e-12)
        assert bool((problems.ref.std(axis=1) > 1e-9).any()) == uneven


def test_limit_of_the_rise_agrees_with_simulation():
    limit = theory.rlif_rise_probability()
    assert theory.rlif_rise_probability(nodes=400) == pytest.approx(limit, abs=1e-6)
    assert limit == pytest.approx(0.676761, abs=1e-6)
    rises, _ = _draws.rlif_draws(np.random.default_rng(5), 1.0, 1000, 3000)
    assert rises.mean() == pytest.approx(limit, abs=4 * np.sqrt(0.22 / 3000))

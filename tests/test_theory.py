"""Closed forms against independent numerics: quadrature in float64 or 50 digits, ODE solves, Monte Carlo."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq

import qra_jax as qra
from qra_jax import theory
from qra_jax.problem import Problem, examples, random, stack

WORKED = examples.worked()


def close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=tolerance, atol=tolerance)


def numeric_gradient(function, x, step=1e-6):
    return (function(x + step) - function(x - step)) / (2 * step)


# --- The optimum -------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 1000), beta=st.floats(0.02, 5))
@settings(deadline=None, max_examples=20)
def test_optimal_policy_maximises_the_objective(seed, beta):
    problem = random(jax.random.key(seed), 4)

    def objective(logits):
        log_policy = jax.nn.log_softmax(logits)
        return jnp.exp(log_policy) @ problem.success - beta * qra.metrics.kl(log_policy, problem.log_ref)

    optimum = theory.optimal_policy(problem, beta)
    close(jax.nn.logsumexp(optimum), 0)
    close(jax.grad(objective)(optimum), np.zeros(4), 1e-9)
    value = objective(optimum)
    for key in jax.random.split(jax.random.key(seed), 5):
        assert objective(optimum + 0.3 * jax.random.normal(key, (4,))) < value


def test_optimal_policy_limits():
    tied = Problem.from_probs(ref=[0.1, 0.3, 0.4, 0.2, 0.0], success=[0.8, 0.8, 0.1, 0.5, 0.9])
    close(jnp.exp(theory.optimal_policy(tied, 0.0)), [0.25, 0.75, 0, 0, 0])
    close(jnp.exp(theory.optimal_policy(tied, 1e-4)), [0.25, 0.75, 0, 0, 0])
    close(jnp.exp(theory.optimal_policy(tied, 1e9)), tied.ref, 1e-8)
    sure = Problem.from_probs(ref=[0.25, 0.5, 0.25], success=[1.0, 0.5, 0.0])
    certain = theory.optimal_policy(sure, 1.0, reward=qra.self_certainty())
    close(jnp.exp(certain), [0.5, 0, 0.5])
    with pytest.raises(ValueError, match=r"beta: -1; must be zero or positive"):
        theory.optimal_policy(tied, -1.0)


def test_optimal_policy_is_differentiable_at_beta_zero_and_above():
    gradient = jax.grad(lambda p: jnp.exp(theory.optimal_policy(Problem(WORKED.log_ref, p), 0.3))[0])(
        WORKED.success
    )
    policy = np.exp(theory.optimal_policy(WORKED, 0.3))
    close(gradient, policy[0] * (np.array([1, 0, 0]) - policy) / 0.3)
    assert np.isfinite(jax.grad(lambda b: theory.optimal_policy(WORKED, b)[0])(0.0))


# --- Regimes -----------------------------------------------------------------------------------------------


def test_regime_of_the_worked_example_and_its_twin():
    entangled, fast = theory.regime(WORKED), theory.regime(examples.fast())
    assert entangled.name == "entangled"
    assert fast.name == "fast"
    close(entangled.gamma, 6)
    assert (int(entangled.best), int(entangled.rival), int(entangled.rivals)) == (0, 1, 1)
    assert (float(fast.gamma), int(fast.rival), int(fast.rivals)) == (0.0, -1, 0)
    assert repr(fast) == "Regime(fast, best 0)"
    assert repr(entangled) == "Regime(entangled, γ = 6, best 0, rival 1; 1 rival)"
    three = theory.regime(
        Problem.from_probs(ref=[0.1, 0.5, 0.2, 0.1, 0.1], success=[0.9, 0.1, 0.6, 0.7, 0.8])
    )
    assert repr(three).endswith("rival 2; 3 rivals)")
    with pytest.raises(ValueError, match=r"^log_ref: exponentials sum to 4\.35"):
        theory.regime(Problem(WORKED.ref, WORKED.success))


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=50)
def test_regime_against_its_definition(seed):
    problem = random(jax.random.key(seed), 5)
    ref, p = np.asarray(problem.ref), np.asarray(problem.success)
    rivals = [r for r in range(5) if ref @ p < p[r] < p.max()]
    found = theory.regime(problem)
    assert bool(found.entangled) == bool(rivals)
    assert int(found.rivals) == len(rivals)
    if rivals:
        main = max(rivals, key=lambda r: ref[r])
        assert int(found.rival) == main
        close(found.gamma, (1 - ref[main]) / ref[p.argmax()], 1e-9)
        close(theory.gamma(problem), found.gamma)
        assert found.gamma >= 1


@pytest.mark.parametrize(
    ("ref", "success", "name", "gamma"),
    [
        ([0.5, 0.5], [0.7, 0.7], "fast", 0.0),  # tied for best: nobody is a rival
        ([1.0], [0.3], "fast", 0.0),
        ([0.0, 0.5, 0.5], [0.9, 0.6, 0.1], "entangled", np.inf),  # r* lacks reference mass
        ([0.2, 0.0, 0.8], [0.9, 0.6, 0.1], "entangled", 5.0),  # the rival lacks it
    ],
)
def test_regime_of_degenerate_problems(ref, success, name, gamma):
    found = theory.regime(Problem.from_probs(ref=ref, success=success))
    assert found.name == name
    close(found.gamma, gamma)


def test_regime_under_jit_vmap_and_grad():
    both = jax.jit(jax.vmap(theory.regime))(stack([WORKED, examples.fast()]))
    assert both.entangled.tolist() == [True, False]
    close(both.gamma, [6, 0])
    assert repr(both) == "Regime(1 entangled, 1 fast)"
    seen = []
    jax.jit(lambda problem: seen.append(repr(theory.regime(problem))))(WORKED)
    assert seen[0].startswith("Regime(entangled=")
    gradient = jax.grad(lambda log_ref: theory.gamma(Problem(log_ref, WORKED.success)))(WORKED.log_ref)
    close(gradient, [-5, 0, 5])


# --- Times -------------------------------------------------------------------------------------------------


class Orbit:
    """The exact softmax orbit in mpmath, independent of the package: w_r = u_r − p_r τ + S(τ)."""

    def __init__(self, problem):
        pairs = [
            (1 / mpmath.mpf(float(x)), mpmath.mpf(float(p)))
            for x, p in zip(problem.ref, problem.success, strict=True)
        ]
        unique = list(dict.fromkeys(pairs))
        self.count = [pairs.count(pair) for pair in unique]
        self.u, self.p = zip(*unique, strict=True)
        self.total = sum(k * mpmath.log(u) for k, u in zip(self.count, self.u, strict=True))

    def weights(self, tau):
        lines = [u - p * tau for u, p in zip(self.u, self.p, strict=True)]
        low = min(lines)
        gaps = [(k, line - low) for k, line in zip(self.count, lines, strict=True)]
        y = self.total / sum(self.count)
        for _ in range(500):
            e = mpmath.exp(y)
            excess = sum(k * mpmath.log(e + g) for k, g in gaps) - self.total
            step = excess / sum(k * e / (e + g) for k, g in gaps)
            y -= step
            if abs(step) < mpmath.mpf(10) ** (-mpmath.mp.dps + 5) * (1 + abs(y)):
                break
        return [mpmath.exp(y) + g for _, g in gaps]

    def mass(self, tau):
        """1/w of each kind of pattern, times their number."""
        return [k / w for k, w in zip(self.count, self.weights(tau), strict=True)]

    def excess(self, tau, level):
        return sum((p - level) * m for p, m in zip(self.p, self.mass(tau), strict=True))

    def time(self, tau, breaks=()):
        pieces = [mpmath.mpf(0), *[b for b in breaks if 0 < b < tau], tau]
        return mpmath.quad(lambda s: sum(self.mass(s)), pieces)


@functools.cache
def exact_transition_time(gamma, patterns, other):
    with mpmath.workdps(30 + patterns):
        problem = examples.entangled(gamma, patterns, other=other)
        orbit = Orbit(problem)
        level = orbit.p[1]
        switch = (orbit.u[0] - orbit.u[1]) / (orbit.p[0] - orbit.p[1])
        low, high = mpmath.mpf(0), switch
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if orbit.excess(middle, level) < 0 else (low, middle)
        return float(mpmath.log(orbit.time(high, [high / 64, high / 8, high / 2])))


CASES = [(6.0, 3, 0.25), (101.0, 3, 0.2), (201.0, 3, 0.2), (21.0, 6, 0.25)]


@pytest.mark.parametrize(("gamma", "patterns", "other"), CASES)
def test_transition_time_estimate_against_thirty_digits(gamma, patterns, other):
    exact = exact_transition_time(gamma, patterns, other)
    problem = examples.entangled(gamma, patterns, other=other)
    assert abs(float(theory.transition_time_estimate(problem)) - exact) < np.log(1.4)
    middle = float(theory.transition_time_estimate(problem, at="middle"))
    assert abs(middle - exact) < np.log(3.1)


def test_transition_time_numbers_of_the_family():
    close(np.exp(exact_transition_time(6.0, 3, 0.25)), 42.683163189912, 1e-10)
    close(np.exp(exact_transition_time(101.0, 3, 0.2)), 18603.93, 1e-6)
    close(np.exp(exact_transition_time(201.0, 3, 0.2)), 74227.08, 1e-6)


def test_transition_time_grows_as_a_power_of_gamma_at_fixed_n():
    gammas = np.array([1e4, 1e6])
    for patterns in (3, 4, 6):
        logs = [float(theory.transition_time_estimate(examples.entangled(g, patterns))) for g in gammas]
        slope = (logs[1] - logs[0]) / np.log(gammas[1] / gammas[0])
        close(slope, patterns - 1, 2e-3)
    assert theory.transition_time_bound(1e4) > 10 * theory.transition_time_estimate(
        examples.entangled(1e4, 6)
    )


def test_transition_time_with_many_patterns_is_where_mid_piece_fails():
    problem = examples.entangled(101.0, 100, other=0.2)
    exact = exact_transition_time(101.0, 100, 0.2)
    close(np.exp(exact) / 3.70688e41, 1.0, 1e-5)
    assert abs(float(theory.transition_time_estimate(problem)) - exact) < np.log(2)
    assert float(theory.transition_time_estimate(problem, at="middle")) < exact - 25


def test_transition_time_edge_cases():
    estimate = theory.transition_time_estimate
    assert estimate(examples.fast()) == -np.inf
    assert estimate(Problem.from_probs(ref=[1.0], success=[0.4])) == -np.inf
    assert estimate(Problem.from_probs(ref=[0.4, 0.3, 0.3], success=[0.9, 0.6, 0.0])) == -np.inf
    assert estimate(Problem.from_probs(ref=[0.0, 0.7, 0.3], success=[0.9, 0.6, 0.1])) == np.inf
    padded = Problem.from_probs(ref=[0.05, 0.70, 0.0, 0.25], success=[0.9, 0.6, 0.3, 0.1])
    close(estimate(padded), estimate(WORKED))
    huge = Problem(jnp.array([-690.0, -0.3, -1.35]), WORKED.success)
    shifted = Problem(jnp.array([-590.0, -0.3, -1.35]), WORKED.success)
    close(estimate(huge) - estimate(shifted), 200.0, 1e-9)
    with pytest.raises(ValueError, match=r"at: 'end'; must be one of 'peak', 'middle'"):
        estimate(WORKED, at="end")


def test_transition_time_with_twin_rivals():
    # Two identical rivals share the lead: T₀ by quadrature of the same orbit.
    problem = Problem.from_probs(ref=[0.001, 0.35, 0.35, 0.299], success=[0.9, 0.6, 0.6, 0.1])
    with mpmath.workdps(30):
        orbit = Orbit(problem)
        root = mpmath.findroot(lambda tau: orbit.excess(tau, orbit.p[1]), (500, 3000), solver="anderson")
        exact = float(mpmath.log(orbit.time(root, [root / 64, root / 8, root / 2])))
    assert abs(float(theory.transition_time_estimate(problem)) - exact) < np.log(1.7)


@pytest.mark.parametrize("at", ["peak", "middle"])
def test_transition_time_gradient(at):
    problem = examples.entangled(50.0, 6)

    def estimate(log_ref, success):
        return theory.transition_time_estimate(Problem(log_ref, success), at=at)

    for argnum in (0, 1):
        gradient = jax.jit(jax.grad(estimate, argnum))(problem.log_ref, problem.success)
        for r in range(6):
            unit = jnp.zeros(6).at[r].set(1.0)
            args = [problem.log_ref, problem.success]

            def along(x, args=args, unit=unit, argnum=argnum):
                return estimate(*[a + x * unit if i == argnum else a for i, a in enumerate(args)])

            # Poor patterns are tied among themselves only; moving one keeps the slow piece as it is.
            close(gradient[r], numeric_gradient(along, 0.0), 1e-5)


def test_fast_rate_is_the_tail_of_the_exact_orbit():
    for problem in (
        examples.fast(),
        WORKED,
        Problem.from_probs(ref=[0.4, 0.3, 0.2, 0.1], success=[0.5, 0.2, 0.9, 0.7]),
    ):
        best = int(problem.best)
        with mpmath.workdps(30):
            orbit = Orbit(problem)
            errors = []
            for tau in (mpmath.mpf(10) ** 4, mpmath.mpf(10) ** 5):
                mass = orbit.mass(tau)
                miss = 1 - mass[best] / sum(mass)
                breaks = [mpmath.mpf(10) ** k for k in range(-1, 5)]
                errors.append(
                    abs(float(miss * orbit.time(tau, breaks)) / float(theory.fast_rate(problem)) - 1)
                )
        assert errors[1] < 5e-3
        assert errors[1] < errors[0] / 5  # first order in 1/τ


def test_fast_rate_under_other_clocks_and_rewards():
    half = Problem.from_probs(ref=[0.6, 0.4], success=[1.0, 0.0])
    close(theory.fast_rate(half), 0.5)
    close(theory.fast_rate(half, algorithm=qra.grpo(8)), 0.5 / np.sqrt(7))
    assert theory.fast_rate(half, algorithm=qra.grpo()) == 0
    assert theory.fast_rate(half, algorithm=qra.grpo(8, resample_silent=True)) == 0
    assert theory.fast_rate(half, algorithm=qra.pass_at_k(4)) == np.inf
    fast = theory.fast_rate(examples.fast())
    close(fast, (1 / 0.3 + 1 / 0.8) / 3)
    close(theory.fast_rate(examples.fast(), algorithm=qra.grpo()), fast * 0.3)
    close(theory.fast_rate(examples.fast(), algorithm=qra.filtered_sft(per="accepted")), fast * 0.9)
    close(theory.fast_rate(examples.fast(), reward=qra.verifiable(0.9, 0.2)), fast / 0.7)
    worst = theory.fast_rate(examples.fast(), reward=qra.verifiable(0.2, 0.9))
    close(worst, (1 / 0.8 + 1 / 0.5) / 0.7 / 3)
    tied = Problem.from_probs(ref=[0.5, 0.25, 0.25], success=[0.9, 0.9, 0.1])
    assert theory.fast_rate(tied) == np.inf
    assert theory.fast_rate(Problem.from_probs(ref=[1.0], success=[0.2])) == 0
    padded = Problem.from_probs(ref=[0.25, 0.7, 0.0, 0.05], success=[0.9, 0.6, 1.0, 0.1])
    close(theory.fast_rate(padded), fast)
    assert theory.fast_rate(half, reward=qra.answer_entropy(), algorithm=qra.reinforce()) == np.inf
    with pytest.raises(ValueError, match="no known clock"):
        theory.fast_rate(half, reward=qra.self_certainty(), algorithm=qra.pass_at_k(4))


def test_transition_time_bound():
    close(theory.transition_time_bound(6.0, 2.0), 12 * np.log(6))
    assert theory.transition_time_bound(0.0) == -np.inf
    for arguments, message in [((-1.0,), "gamma: -1"), ((2.0, 0.0), "constant: 0")]:
        with pytest.raises(ValueError, match=message):
            theory.transition_time_bound(*arguments)


# --- SFT first ---------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_sft_mass_needed_is_the_threshold(seed):
    problem = random(jax.random.key(seed), 4)
    x = theory.sft_mass_needed(problem)
    assert 0 <= x <= 1
    assert (x > 0) == theory.regime(problem).entangled

    def mixture(share):
        return (1 - share) * problem.ref + share * jax.nn.one_hot(problem.best, 4)

    if x > 0:
        close(theory.sft_quality(problem, mixture(x)), 0, 1e-12)
    for share, expected in [(x + 1e-6, False), (x - 1e-6, True)]:
        if 0 <= share <= 1:
            after = problem.with_ref(jnp.log(mixture(share)))
            assert theory.regime(after).entangled == expected
            assert (theory.sft_quality(problem, mixture(share)) < 0) == expected


def test_sft_of_tied_and_single_patterns():
    for ref, success in [([1.0], [0.2]), ([0.5, 0.5], [0.7, 0.7])]:
        assert theory.sft_mass_needed(Problem.from_probs(ref=ref, success=success)) == 0
    gradient = jax.grad(lambda p: theory.sft_mass_needed(Problem(WORKED.log_ref, p)))(WORKED.success)
    for r in range(3):

        def along(x, r=r):
            return theory.sft_mass_needed(Problem(WORKED.log_ref, WORKED.success.at[r].add(x)))

        close(gradient[r], numeric_gradient(along, 0.0), 1e-7)


# --- Two patterns ------------------------------------------------------------------------------------------

SPEED = {
    "reinforce": lambda z: 1 / (1 + np.cosh(z)),
    "grpo": lambda z: 1 / np.cosh(z / 2),
    "natural": lambda z: 1.0 + 0 * z,
    "natural-std": lambda z: 2 * np.cosh(z / 2),
}
ALGORITHM = {
    "reinforce": (qra.reinforce, "softmax"),
    "grpo": (qra.grpo, "softmax"),
    "natural": (qra.reinforce, "natural"),
    "natural-std": (qra.grpo, "natural"),
}


@pytest.mark.parametrize("clock", SPEED)
def test_two_pattern_speed_is_that_of_the_algorithm(clock):
    make, geometry = ALGORITHM[clock]
    z = jnp.linspace(-5, 5, 11)
    rho = jax.nn.sigmoid(z)
    step = 2 * rho * (1 - rho) if geometry == "softmax" else 1.0
    close(step * make().clock(rho), SPEED[clock](np.asarray(z)))


@pytest.mark.parametrize("clock", SPEED)
@pytest.mark.parametrize("z0", [-12.0, -1.0, 0.0, 3.0])
def test_two_pattern_closed_forms_solve_the_equation(clock, z0):
    for gain in (1e-6, 0.5, 4.0, 15.0):
        z = z0 + gain
        expected = float(
            mpmath.quad(lambda s: 1 / mpmath.mpf(float(SPEED[clock](float(s)))), [z0, (z0 + z) / 2, z])
        )
        t = theory.two_pattern_time(z0, z, clock)
        close(t / expected, 1.0, 1e-9)
        close(theory.two_pattern_logit(z0, t, clock), z, 1e-7)


@pytest.mark.parametrize("clock", SPEED)
def test_two_pattern_derivatives(clock):
    z0, t = -1.5, 0.8
    along_z, along_t = jax.jit(jax.grad(theory.two_pattern_logit, (0, 1)), static_argnums=2)(z0, t, clock)
    z = float(theory.two_pattern_logit(z0, t, clock))
    close(along_t, SPEED[clock](z), 1e-10)
    close(along_z, SPEED[clock](z) / SPEED[clock](z0), 1e-10)
    forward = jax.jvp(lambda t: theory.two_pattern_logit(z0, t, clock), (t,), (1.0,))[1]
    close(forward, along_t)


def test_two_pattern_extremes():
    logit, time = theory.two_pattern_logit, theory.two_pattern_time
    finish = np.pi - 2 * np.arcsin(np.sqrt(0.3))
    z0 = float(qra.metrics.logit(jnp.asarray(0.3)))
    close(time(z0, jnp.inf, "natural-std"), finish)
    assert logit(z0, finish + 1e-9, "natural-std") == np.inf
    assert logit(z0, 50.0, "natural-std") == np.inf
    assert np.isfinite(logit(z0, finish - 1e-6, "natural-std"))
    close(logit(0.0, 1e300), np.log(2e300))
    assert logit(0.0, jnp.inf) == np.inf
    close(logit(5.0, -2 * (5.0 + np.sinh(5.0))), -5.0)
    close(1 / (2 * 1e8 * jax.nn.sigmoid(-logit(0.0, 1e8))), 1.0, 1e-6)
    close(1 / (1e8**2 * jax.nn.sigmoid(-logit(0.0, 1e8, "grpo"))), 1.0, 1e-6)
    batch = jax.vmap(logit, (0, None))(jnp.array([-1.0, 0.0]), 1.0)
    close(batch, [logit(-1.0, 1.0), logit(0.0, 1.0)])
    for function in (logit, time):
        with pytest.raises(ValueError, match=r"clock: 'adam'; must be one of"):
            function(0.0, 1.0, "adam")


# --- Exponents ---------------------------------------------------------------------------------------------


def passage(speed, z0, z1):
    """∫ dz / speed(z) by Gauss–Legendre panels of unit length."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(z0, z1, int(abs(z1 - z0)) + 2)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half + half * nodes).ravel()
    return float(np.sum((half * weights).ravel() / np.asarray(speed(jnp.asarray(z)))))


MEMBERS = [
    (qra.reinforce(), "softmax", 1, 1),
    (qra.dr_grpo(4), "softmax", 1, 1),
    (qra.grpo(), "softmax", 0.5, 2),
    (qra.grpo(8), "softmax", 1, 1),
    (qra.grpo(8, resample_silent=True), "softmax", 0, np.inf),
    (qra.filtered_sft(per="accepted"), "softmax", 0, 1),
    (qra.filtered_sft("both"), "softmax", 1, 1),
    (qra.pass_at_k(3), "softmax", 1, 1 / 3),
    (qra.tsallis(0.25), "softmax", 0.75, 1),
    (qra.reinforce(), "natural", 0, np.inf),
    (qra.grpo(), "natural", 0, np.inf),
]
VERIFIERS = [(1.0, 0.0), (1.0, 0.2), (0.9, 0.0), (0.9, 0.2)]


@pytest.mark.parametrize(
    ("algorithm", "geometry", "cold", "tail"), MEMBERS, ids=lambda x: getattr(x, "name", None)
)
def test_exponents_and_constants_against_quadrature(algorithm, geometry, cold, tail):
    check_exponents(algorithm, geometry, qra.verifiable(), cold, tail)


@pytest.mark.parametrize(("tpr", "fpr"), VERIFIERS)
def test_exponents_of_noisy_mean_field_grpo(tpr, fpr):
    cold, tail = (1 if fpr else 0.5), (2 if tpr == 1 else 1)
    check_exponents(qra.grpo(), "softmax", qra.verifiable(tpr, fpr), cold, tail)


def check_exponents(algorithm, geometry, reward, cold, tail):
    law = theory.exponents(algorithm, reward=reward, geometry=geometry)
    close(law.cold_start, cold, 1e-6)
    close(law.tail, tail, 1e-6)
    tpr, fpr = float(reward.params["tpr"]), float(reward.params["fpr"])

    def speed(z):
        rho, miss = jax.nn.sigmoid(z), jax.nn.sigmoid(-z)
        drift = (tpr - fpr) * algorithm.clock(tpr * rho + fpr * miss, (1 - tpr) * rho + (1 - fpr) * miss)
        return drift * (2 * rho * miss if geometry == "softmax" else 1.0)

    # Two decades of starts (and of ends): the power and the constant both come out.
    starts = [passage(speed, -z, 0.0) for z in (23.0, 25.0)]
    if law.cold_constant == 0:
        assert starts[1] < np.pi
    elif cold == 0:
        close((starts[1] - starts[0]) / 2.0, law.cold_constant, 1e-3)
    else:
        close(starts[1] / (law.cold_constant * np.exp(25.0 * cold)), 1.0, 1e-2)
    ends = [passage(speed, 0.0, z) for z in (23.0, 25.0)]
    if law.tail_constant == np.inf:
        assert ends[1] < np.pi
    elif tail == np.inf:
        close(2.0 / (ends[1] - ends[0]), law.tail_constant, 1e-3)
    else:
        close((law.tail_constant * ends[1]) ** -tail / np.exp(-25.0), 1.0, 1e-2)


def test_exponents_reject_what_they_cannot_answer():
    with pytest.raises(ValueError, match="reward: self-certainty is real-valued"):
        theory.exponents(qra.grpo(), reward=qra.self_certainty())
    with pytest.raises(ValueError, match="geometry: 'adam'"):
        theory.exponents(qra.grpo(), geometry="adam")
    with pytest.raises(ValueError, match="reward: majority-vote depends on the policy; must be fixed"):
        theory.exponents(qra.grpo(), reward=qra.majority_vote())
    for tpr, fpr, level in [(0.2, 0.6, r"-0\.4"), (0.5, 0.5, "0")]:
        with pytest.raises(ValueError, match=rf"reward: TPR − FPR = {level}; must be above 0"):
            theory.exponents(qra.reinforce(), reward=qra.verifiable(tpr, fpr))
    traced = jax.jit(lambda fpr: theory.exponents(qra.reinforce(), reward=qra.verifiable(0.2, fpr)))
    assert all(np.isnan(x) for x in jax.tree.leaves(traced(0.6)))
    close(traced(0.1).cold_constant, theory.exponents(qra.reinforce()).cold_constant / 0.1, 1e-9)


def test_exponents_compiled_and_not_are_the_same():
    for algorithm in (qra.grpo(8, resample_silent=True), qra.filtered_sft(per="accepted"), qra.pass_at_k(4)):
        law = jax.jit(theory.exponents)(algorithm)
        for compiled, eager in zip(
            jax.tree.leaves(law), jax.tree.leaves(theory.exponents(algorithm)), strict=True
        ):
            close(compiled, eager, 1e-9)


@pytest.mark.parametrize(("k", "group"), [(5, None), (32, None), (32, 64), (1000, None)])
def test_exponents_of_pass_at_large_k(k, group):
    law = theory.exponents(qra.pass_at_k(k, group))
    close(law.tail * k, 1.0, 1e-6)
    close(law.tail_constant / (2 * k**2), 1.0, 1e-6)
    close(law.cold_constant * 2 * k, 1.0, 1e-6)
    with jax.enable_x64(False):
        single = theory.exponents(qra.pass_at_k(k, group))
    assert single.tail.dtype == jnp.float32
    close(single.tail * k, 1.0, 1e-4)
    close(single.tail_constant / (2 * k**2), 1.0, 1e-2)


def test_grpo_crossover_is_where_the_asymptotes_meet():
    rho = jnp.asarray(0.01)
    close(jnp.round(jnp.stack([theory.grpo_drift_share(rho, g) for g in (8, 16, 64)]), 2), [0.26, 0.37, 0.67])
    for group in (2, 8, 64):
        crossover = theory.grpo_crossover(group)
        close(np.sqrt((group - 1) * crossover), 1.0)
        tiny = jnp.asarray(1e-9 * crossover)
        close(theory.grpo_drift_share(tiny, group) / np.sqrt((group - 1) * tiny), 1.0, 1e-6)
    close(theory.grpo_drift_share(jnp.asarray(50 * theory.grpo_crossover(1000)), 1000), 1.0, 2e-2)
    with pytest.raises(ValueError, match="group_size: 1; must be 2 or above"):
        theory.grpo_crossover(1)


# --- Noise -------------------------------------------------------------------------------------------------


def std(z, tpr, fpr):
    z = np.clip(z, -700, 700)
    rho, miss = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
    return np.sqrt((tpr * rho + fpr * miss) * ((1 - tpr) * rho + (1 - fpr) * miss))


def test_noisy_equilibrium_known_points():
    accuracy = lambda *a, **k: float(jax.nn.sigmoid(theory.noisy_equilibrium(*a, **k)))  # noqa: E731
    assert round(accuracy(0.6, 2.0), 3) == 0.868
    assert round(accuracy(0.001, 5.0), 4) == 0.0086
    assert theory.noisy_equilibrium(0.6, 1.0) == np.inf  # below the critical β
    assert theory.noisy_equilibrium(0.6, 1.0, tpr=0.0, fpr=1.0) == -np.inf
    close(accuracy(0.3, 1.0, tpr=0.4, fpr=0.4), 0.3)
    assert theory.noisy_equilibrium(0.3, 0.0) == np.inf
    assert theory.noisy_equilibrium(0.3, 0.0, tpr=0.2, fpr=0.7) == -np.inf
    assert (accuracy(0.0, 1.0), accuracy(1.0, 1.0)) == (0.0, 1.0)
    close(theory.noisy_equilibrium(0.2, 1e-3, tpr=0.9, fpr=0.1) * 1e-3, 0.8 / 0.3, 1e-2)


@given(
    rho=st.floats(1e-6, 1 - 1e-6),
    beta=st.floats(0.01, 20),
    tpr=st.sampled_from([1.0, 1 - 1e-9, 0.97, 0.6, 0.1, 0.0]),
    fpr=st.sampled_from([0.0, 1e-7, 0.05, 0.5, 0.97, 1.0]),
)
@settings(deadline=None, max_examples=80)
def test_noisy_equilibrium_is_the_first_root(rho, beta, tpr, fpr):
    sign, start = np.sign(tpr - fpr), np.log(rho) - np.log1p(-rho)
    z = float(theory.noisy_equilibrium(rho, beta, tpr=tpr, fpr=fpr))
    if sign == 0:
        close(z, start, 1e-12)
        return

    def excess(z):
        return np.abs(z - start) * std(z, tpr, fpr) * beta / abs(tpr - fpr) - 1

    if np.isfinite(z):
        assert sign * (z - start) > 0
        assert abs(excess(z)) < 1e-6
    # No root before it: the excess is negative all along the way there.
    end = z if np.isfinite(z) else start + sign * 60
    way = start + (end - start) * np.linspace(0, 0.9999, 4001)
    assert np.all(excess(way) < 1e-9)


def test_noisy_equilibrium_is_where_the_flow_stops():
    ref, right = np.array([0.2, 0.1, 0.4, 0.3]), np.array([1.0, 1.0, 0.0, 0.0])
    for tpr, fpr, beta in [(0.95, 0.1, 1.0), (0.2, 0.6, 0.8), (1.0, 0.0, 2.5)]:

        def velocity(t, theta, tpr=tpr, fpr=fpr, beta=beta):
            pi = np.exp(theta - theta.max())
            pi /= pi.sum()
            q = fpr + (tpr - fpr) * (pi @ right)
            log_ratio = np.log(pi / ref)
            push = (tpr - fpr) * (right - pi @ right) / np.sqrt(q * (1 - q))
            return pi * (push - beta * (log_ratio - pi @ log_ratio))

        end = solve_ivp(velocity, (0, 3000), np.log(ref), rtol=1e-10, atol=1e-12, method="LSODA").y[:, -1]
        pi = np.exp(end) / np.exp(end).sum()
        expected = jax.nn.sigmoid(theory.noisy_equilibrium(0.3, beta, tpr=tpr, fpr=fpr))
        close(pi @ right, expected, 1e-6)
        close(pi[0] / pi[1], 2.0, 1e-5)  # within-class shares stay at their reference values
        close(pi[2] / pi[3], 4 / 3, 1e-5)


def test_noisy_equilibrium_gradients():
    point = {"accuracy_ref": 0.3, "beta": 1.3, "tpr": 0.9, "fpr": 0.15}

    def root(name):
        return lambda x: theory.noisy_equilibrium(**{**point, name: x})

    for name, x in point.items():
        close(jax.jit(jax.grad(root(name)))(x), numeric_gradient(root(name), x), 1e-6)
    for arguments, message in [((1.2, 1.0), "accuracy_ref: 1.2"), ((0.5, -1.0), "beta: -1")]:
        with pytest.raises(ValueError, match=message):
            theory.noisy_equilibrium(*arguments)
    grid = jax.vmap(lambda f: theory.noisy_equilibrium(0.3, 1.0, tpr=0.9, fpr=f))(jnp.array([0.0, 0.9, 1.0]))
    assert grid[0] > grid[1] > grid[2]


def test_noisy_equilibrium_near_the_critical_beta():
    # Largest value of (z − z₀) σ(z) for ρ_ref = ½: the critical β is its inverse, both sides resolved.
    peak = brentq(lambda z: 1 / z - 0.5 * np.tanh(z / 2), 0.1, 20)
    critical = 1 / (peak * std(peak, 1.0, 0.0))
    close(theory.noisy_equilibrium(0.5, critical * (1 + 1e-9)), peak, 1e-3)
    assert theory.noisy_equilibrium(0.5, critical * (1 - 1e-9)) == np.inf


# --- Internal feedback -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reward", [qra.verifiable(), qra.verifiable(0.3, 0.8), qra.self_certainty()])
def test_initial_slope_is_the_derivative_along_the_flow(reward):
    problem = random(jax.random.key(3), 6)
    rates = np.asarray(reward.rates(problem))
    pi, p = np.asarray(problem.ref), np.asarray(problem.success)
    velocity = pi * (rates - pi @ rates)

    def accuracy(t):
        moved = np.log(pi) + t * velocity
        return np.exp(moved) @ p / np.exp(moved).sum()

    close(theory.initial_slope(problem, reward=reward), numeric_gradient(accuracy, 0.0, 1e-5), 1e-9)
    close(
        theory.initial_slope(problem, reward=reward),
        np.sum(pi**2 * (rates - pi @ rates) * (p - pi @ p)),
        1e-13,
    )


def test_initial_slope_with_infinite_rewards():
    sure = Problem.from_probs(ref=[0.2, 0.5, 0.3], success=[1.0, 0.6, 0.3])
    assert theory.initial_slope(sure, reward=qra.self_certainty()) == np.inf
    wrong = Problem.from_probs(ref=[0.2, 0.5, 0.3], success=[0.0, 0.6, 0.3])
    assert theory.initial_slope(wrong, reward=qra.self_certainty()) == -np.inf
    massless = Problem.from_probs(ref=[0.0, 0.5, 0.5], success=[1.0, 0.6, 0.3])
    two = Problem.from_probs(ref=[0.5, 0.5], success=[0.6, 0.3])
    certainty = qra.self_certainty()
    close(theory.initial_slope(massless, reward=certainty), theory.initial_slope(two, reward=certainty))


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (1.2, 1.0), (2.0, 3.0)])
def test_rlif_initial_slope_by_monte_carlo(a, b):
    patterns, draws = 8, 40_000
    success = jax.random.beta(jax.random.key(5), a, b, (draws, patterns))
    log_ref = jnp.full((draws, patterns), -jnp.log(patterns))
    reward = qra.self_certainty()
    slopes = jax.vmap(lambda q: theory.initial_slope(q, reward=reward))(Problem(log_ref, success))
    expected = theory.rlif_initial_slope(a, b, patterns)
    close(expected, 7 / 64 * (a - b) / (2 * (a + b) ** 2))
    z = (slopes.mean() - expected) / (slopes.std() / np.sqrt(draws))
    assert abs(z) < 4


def test_rlif_initial_slope_rejects_bad_parameters():
    for arguments, message in [((0.0, 1.0, 3), "a: 0; must be positive"), ((1.0, 1.0, 0), "patterns: 0")]:
        with pytest.raises(ValueError, match=message):
            theory.rlif_initial_slope(*arguments)


# --- Collapse ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [1, 8])
def test_lundberg_exponent_of_reinforce_at_a_rare_pattern(group):
    # p*(1 − e^{−y}) = ρ y, for every G.
    y = theory.lundberg_exponent(qra.reinforce(), 1e-9, success=(0.9, 0.6), group_size=group)
    close(0.9 * -np.expm1(-y), 0.6 * y, 1e-8)


def test_lundberg_exponent_of_pairs_is_a_gamblers_ruin():
    # Only mixed pairs move, by ±1: up with .9·.4, down with .1·.6.
    y = theory.lundberg_exponent(qra.grpo(2), [1e-9, 1e-6], success=(0.9, 0.6))
    close(y[0], np.log(0.9 * 0.4 / (0.1 * 0.6)), 1e-8)
    assert y.shape == (2,)
    resampled = dataclasses.replace(qra.grpo(2), resamples_silent=True)
    close(theory.lundberg_exponent(resampled, 1e-9, success=(0.9, 0.6)), y[0], 1e-8)


@pytest.mark.parametrize(
    "algorithm", [qra.grpo(3), qra.rloo(4), dataclasses.replace(qra.reinforce(), group_size=3)]
)
def test_lundberg_exponent_solves_its_equation_over_all_groups(algorithm):
    x, rates, group = 0.2, (0.8, 0.5), algorithm.group_size
    y = float(theory.lundberg_exponent(algorithm, x, success=rates))
    chances = {(r, k): (x, 1 - x)[k] * (rates[k] if r else 1 - rates[k]) for r in (0, 1) for k in (0, 1)}
    moment = 0.0
    for rollouts in itertools.product(chances, repeat=group):
        weights = np.asarray(algorithm.weights(jnp.array([float(r) for r, _ in rollouts])))
        best = np.array([k == 0 for _, k in rollouts])
        walk = weights[best].sum() - x * weights.sum()
        moment += np.prod([chances[one] for one in rollouts]) * np.exp(-y * walk)
    close(moment, 1.0, 1e-10)


def test_loss_exponent_integrates_the_lundberg_exponent():
    def integrand(z):
        x = 1 / (1 + np.exp(-z))
        return float(theory.lundberg_exponent(qra.grpo(4), x, success=(0.9, 0.6))) / 2

    exact, _ = quad(integrand, np.log(1e-3 / 0.999), np.log(0.1 / 0.9), epsrel=1e-6)
    found = theory.loss_exponent(qra.grpo(4), 0.1, success=(0.9, 0.6))
    close(found, exact, 1e-4)
    assert theory.loss_exponent(qra.grpo(4), 0.1, success=(0.9, 0.6), level=0.1) == 0


@pytest.mark.parametrize("group", [2, 5])
def test_weight_variance_in_closed_form(group):
    close(theory.weight_variance(qra.grpo(group), 0.7), 1 - 0.7**group - 0.3**group)
    close(theory.weight_variance(qra.reinforce(0.2), 0.7, group_size=group), 0.21 + 0.25)
    close(theory.weight_variance(dataclasses.replace(qra.grpo(group), resamples_silent=True), 0.7), 1.0)


def test_noise_among_equal_patterns_is_that_of_the_exact_covariance():
    policy = jnp.array([0.4, 0.3, 0.15, 0.1, 0.05])
    problem = Problem(jnp.log(policy), jnp.full(5, 0.7))
    covariance = qra.training.gradient_covariance(problem, problem.log_ref, algorithm=qra.grpo(6))
    scale = theory.weight_variance(qra.grpo(6), 0.7) / 6
    close(covariance, scale * (jnp.diag(policy) - jnp.outer(policy, policy)), 1e-10)
    bend = jax.hessian(lambda theta: qra.metrics.herfindahl(jax.nn.log_softmax(theta)))(problem.log_ref)
    close(jnp.sum(bend * covariance) / 2, scale * theory.diversity_drift(policy), 1e-10)
    close(theory.diversity_drift(jnp.full(7, 1 / 7)), 6 / 343)
    close(theory.diversity_drift(jnp.array([1.0, 0.0])), 0.0)


def test_collapse_refuses_what_it_cannot_answer():
    with pytest.raises(ValueError, match=r"group_size: None; REINFORCE needs"):
        theory.lundberg_exponent(qra.reinforce(), 0.1, success=(0.9, 0.6))
    with pytest.raises(ValueError, match=r"success: \(0.6, 0.9\); must have the better pattern first"):
        theory.lundberg_exponent(qra.grpo(4), 0.1, success=(0.6, 0.9))
    with pytest.raises(ValueError, match=r"group_size: 8; must be that of the algorithm, 4"):
        theory.weight_variance(qra.grpo(4), 0.5, group_size=8)
    with pytest.raises(ValueError, match=r"level: 0.2; must be at most start = 0.1"):
        theory.loss_exponent(qra.grpo(4), 0.1, success=(0.9, 0.6), level=0.2)
    with pytest.raises(ValueError, match=r"share: 0; must be in \(0, 1\)"):
        theory.lundberg_exponent(qra.grpo(4), 0.0, success=(0.9, 0.6))


# --- Stability ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [1, 2, 5])
def test_limits_without_momentum(age):
    limit = functools.partial(theory.stability_limit, between=(0.01, 4.0))
    close(limit(functools.partial(theory.delayed_radius, age=age)), theory.delay_limit(age), 1e-6)
    close(limit(functools.partial(theory.held_radius, age=age)), 2 / age, 1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_limits_with_momentum(momentum):
    fresh = functools.partial(theory.delayed_radius, age=0, momentum=momentum)
    close(theory.stability_limit(fresh), 2 + 2 * momentum, 1e-6)
    # Jury's condition for z² − (1+m) z + m + ηK with a delay of one step: ηK < 1 − m.
    late = functools.partial(theory.delayed_radius, age=1, momentum=momentum)
    close(theory.stability_limit(late), 1 - momentum, 1e-6)
    # Held for one step is no delay.
    held = functools.partial(theory.held_radius, age=1, momentum=momentum)
    close(theory.stability_limit(held), 2 + 2 * momentum, 1e-6)


@pytest.mark.parametrize(("age", "momentum", "load"), [(0, 0.9, 0.3), (2, 0.5, 0.2), (3, 0.0, 0.6)])
def test_delayed_radius_is_the_growth_of_a_run(age, momentum, load):
    theta = [1.0] * (age + 2)
    for _ in range(4000):
        theta.append(theta[-1] + momentum * (theta[-1] - theta[-2]) - load * theta[-1 - age])
        if abs(theta[-1]) > 1e100 or abs(theta[-1]) < 1e-100:
            break
    late = np.log(np.abs(theta[len(theta) // 4 :]) + 1e-300)
    envelope = np.maximum.accumulate(late[::-1])[::-1] if late[-1] < late[0] else np.maximum.accumulate(late)
    steps = np.arange(len(envelope))
    growth = np.exp(np.polyfit(steps, envelope, 1)[0])
    close(growth, theory.delayed_radius(load, age=age, momentum=momentum), 0.01)


def test_two_times_contain_both_of_one():
    drift = -np.diag([1.0, 1.0, 1.0])
    for age in (0, 2):
        now = functools.partial(theory.two_time_radius, age=age, now=drift, old=0 * drift)
        close(theory.stability_limit(now), 2.0, 1e-6)
    old = functools.partial(theory.two_time_radius, age=2, now=0 * drift, old=drift)
    close(theory.stability_limit(old), theory.delay_limit(2), 1e-6)


def test_stability_limits_at_the_ends_of_the_range():
    assert (
        theory.stability_limit(functools.partial(theory.delayed_radius, age=0), between=(0.1, 1.9)) == np.inf
    )
    assert theory.stability_limit(functools.partial(theory.delayed_radius, age=0), between=(3.0, 4.0)) == 3.0


def test_impulse_response_of_an_autoregression():
    # Fresh: order one.
    close(np.sum(theory.impulse_response(0.5, age=0, steps=200) ** 2), 1 / (1 - 0.25))
    close(theory.impulse_response(0.3, age=2, steps=5), [1, 1, 1, 0.7, 0.4])


def test_stability_refuses_arguments_out_of_range():
    with pytest.raises(ValueError, match=r"momentum: 1.0; must be in \[0, 1\)"):
        theory.delayed_radius(1.0, age=1, momentum=1.0)
    with pytest.raises(
        ValueError, match=r"age: 0; must be a whole number, 1 or above|age: 0; must be 1 or above"
    ):
        theory.held_radius(1.0, age=0)
    with pytest.raises(ValueError, match=r"between: \(2.0, 1.0\); must be two increasing"):
        theory.stability_limit(lambda load: load, between=(2.0, 1.0))
    with pytest.raises(ValueError, match=r"now, old: shapes \(2, 2\), \(3, 3\)"):
        theory.two_time_radius(1.0, age=1, now=np.eye(2), old=np.eye(3))
    with pytest.raises(ValueError, match=r"load: -1; must be zero or positive"):
        theory.impulse_response(-1.0, age=1, steps=3)


# --- Entropy -----------------------------------------------------------------------------------------------


def test_entropy_derivatives_are_those_of_autodiff():
    theta, velocity = jnp.array([0.3, -1.2, 0.8, 0.0]), jnp.array([1.0, -2.0, 0.5, 0.1])
    log_policy = jax.nn.log_softmax(theta)

    def entropy(z):
        return qra.metrics.entropy(jax.nn.log_softmax(z))

    close(theory.entropy_hessian(log_policy), jax.hessian(entropy)(theta))
    close(theory.entropy_rate(log_policy, velocity), jax.grad(entropy)(theta) @ velocity)
    close(theory.entropy_hessian(log_policy).sum(axis=1), np.zeros(4))


def test_entropy_step_is_the_second_order_of_two_opposite_steps():
    theta, velocity = jnp.array([0.3, -1.2, 0.8]), jnp.array([1.0, -2.0, 0.5])
    kick, rate = jnp.array([0.4, 1.0, -0.7]), 1e-3

    def entropy(z):
        return qra.metrics.entropy(jax.nn.log_softmax(z))

    both = [entropy(theta + rate * (velocity + sign * kick)) - entropy(theta) for sign in (1, -1)]
    found = theory.entropy_step(jax.nn.log_softmax(theta), velocity, jnp.outer(kick, kick), rate)
    assert abs(float(found - sum(both) / 2)) < 1e-9
    assert abs(float(found - rate * theory.entropy_rate(jax.nn.log_softmax(theta), velocity))) > 5e-9


def test_entropy_of_patterns_without_mass():
    log_policy = jnp.log(jnp.array([0.5, 0.5, 0.0]))
    close(theory.entropy_hessian(log_policy)[:2, :2], [[-0.25, 0.25], [0.25, -0.25]])
    close(theory.entropy_hessian(log_policy)[2], np.zeros(3))
    close(theory.entropy_rate(log_policy, jnp.array([1.0, 0.0, 5.0])), 0.0)
    with pytest.raises((ValueError, TypeError), match=r"velocity"):
        theory.entropy_rate(log_policy, jnp.zeros(2))
    with pytest.raises((ValueError, TypeError), match=r"covariance"):
        theory.entropy_step(log_policy, jnp.zeros(3), jnp.eye(2), 0.1)


# --- Penalties ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.01, 0.3, 5.0])
def test_k3_policy_is_at_rest(beta):
    problem = Problem.from_probs(ref=[0.05, 0.7, 0.25, 0.0], success=[0.9, 0.6, 0.1, 1.0])
    log_policy = theory.k3_policy(problem, beta)
    policy = np.exp(log_policy)
    close(policy.sum(), 1.0)
    drift = policy * (np.asarray(problem.success) - policy @ np.asarray(problem.success))
    close(drift, beta * (policy - np.asarray(problem.ref)), 1e-11)
    assert (policy >= np.asarray(theory.k3_floor(problem, beta)) * (1 - 1e-12)).all()


@pytest.mark.parametrize("penalty", theory.PENALTIES)
@pytest.mark.parametrize("algorithm", [qra.reinforce(), qra.grpo(), qra.grpo(8), qra.pass_at_k(2)])
def test_resting_policies_are_at_rest(penalty, algorithm):
    beta, verifier = 0.7, qra.verifiable(0.9, 0.2)
    log_policy = theory.resting_policy(WORKED, beta, penalty=penalty, algorithm=algorithm, reward=verifier)
    make = {"reverse": qra.reverse_kl, "k3": qra.k3_loss}[penalty]
    drift = qra.flow.drift(
        WORKED, log_policy, algorithm=algorithm, reward=verifier, regularizers=[make(beta)]
    )
    close(drift, np.zeros(3), 1e-10)


def test_resting_policies_against_known_ones():
    for beta in (0.1, 1.0):
        close(theory.resting_policy(WORKED, beta), theory.optimal_policy(WORKED, beta), 1e-10)
        close(theory.resting_policy(WORKED, beta, penalty="k3"), theory.k3_policy(WORKED, beta), 1e-10)
    two = Problem.from_probs(ref=[0.1, 0.9], success=[1.0, 0.0])
    rest = theory.resting_policy(two, 2.0, algorithm=qra.grpo(), reward=qra.verifiable(0.9, 0.1))
    close(rest[0] - rest[1], theory.noisy_equilibrium(0.1, 2.0, tpr=0.9, fpr=0.1), 1e-9)
    share = float(jnp.exp(theory.k3_policy(two, 0.4))[0])
    close(share * (1 - share), 0.4 * (share - 0.1))


def test_resting_policies_of_tied_patterns_and_out_of_reach():
    tied = Problem.from_probs(ref=[0.2, 0.3, 0.5], success=[0.5, 0.5, 0.5])
    for penalty in theory.PENALTIES:
        close(theory.resting_policy(tied, 0.5, penalty=penalty), tied.log_ref, 1e-9)
    assert np.isnan(theory.resting_policy(WORKED, 1e6)).all()


@pytest.mark.parametrize("penalty", theory.PENALTIES)
def test_resting_policies_have_derivatives(penalty):
    def share(beta):
        return theory.resting_policy(WORKED, beta, penalty=penalty, algorithm=qra.grpo(8))[0]

    close(jax.grad(share)(0.5), numeric_gradient(share, 0.5), 1e-6)

    def rate(p):
        return theory.k3_policy(Problem(WORKED.log_ref, WORKED.success.at[0].set(p)), 0.4)[0]

    close(jax.grad(rate)(0.9), numeric_gradient(rate, 0.9), 1e-6)


@pytest.mark.parametrize("penalty", theory.PENALTIES)
@pytest.mark.parametrize("share", [1e-4, 0.01, 0.3])
def test_half_beta_rests_at_one_half(penalty, share):
    problem = Problem.from_probs(ref=[share, 1 - share], success=[1.0, 0.0])
    beta = float(theory.half_beta(share, penalty=penalty))
    close(jnp.exp(theory.resting_policy(problem, beta, penalty=penalty))[0], 0.5, 1e-9)


@pytest.mark.parametrize("penalty", theory.PENALTIES)
@pytest.mark.parametrize(("reference", "target"), [(0.5, 0.25), (0.2, 0.15), (0.8, 0.3)])
def test_return_time_is_the_time_of_the_flow(penalty, reference, target):
    beta, middle = 0.7, np.log(reference / (1 - reference))

    def pace(z):
        rho = 1 / (1 + np.exp(-z))
        return 1 / (2 * beta * ((middle - z) * rho * (1 - rho) if penalty == "reverse" else reference - rho))

    shares = np.array([1e-6, 1e-3, 0.1])
    found = theory.return_time(shares, beta=beta, target=target, reference=reference, penalty=penalty)
    top = np.log(target / (1 - target))
    exact = [quad(pace, np.log(x / (1 - x)), top, epsabs=0, epsrel=1e-11, limit=300)[0] for x in shares]
    close(found, exact, 1e-9)


def test_penalties_refuse_arguments_out_of_range():
    with pytest.raises(ValueError, match=r"penalty: 'forward'; must be one of 'reverse', 'k3'"):
        theory.resting_policy(WORKED, 1.0, penalty="forward")
    with pytest.raises(ValueError, match=r"beta: 0; must be positive"):
        theory.k3_policy(WORKED, 0.0)
    with pytest.raises(ValueError, match=r"reward: self-certainty"):
        theory.resting_policy(WORKED, 1.0, reward=qra.self_certainty())
    with pytest.raises(ValueError, match=r"share: 0.6; must be below 1/2"):
        theory.half_beta(0.6)
    with pytest.raises(ValueError, match=r"share: 0.3; must be at most target = 0.25"):
        theory.return_time(0.3, beta=1.0)
    with pytest.raises(ValueError, match=r"target: 0.6; must be above 0 and below reference"):
        theory.return_time(0.3, beta=1.0, target=0.6)


# --- Small steps -------------------------------------------------------------------------------------------


def test_expansion_of_a_noisy_parabola():
    """θ' = θ − ηθ + noise: everything in closed form."""
    scale, end = 2.0, 1.5
    found = theory.small_step_expansion(
        lambda x: -x, lambda x: scale * jnp.eye(1), jnp.ones(1), lambda x: x[0] ** 2, jnp.linspace(0, end, 4)
    )
    decay = np.exp(-end)
    close(found.flow, np.exp(-2 * np.linspace(0, end, 4)), 1e-9)
    spread, late = scale * (1 - decay**2) / 2, -end * decay / 2
    close(found.error, 2 * decay * late, 1e-9)
    close(found.variance, 4 * decay**2 * spread, 1e-9)
    close(found.bias, 2 * decay * late + spread, 1e-9)


def test_expansion_is_the_limit_of_mean_training():
    def drift(theta):
        return qra.flow.drift(WORKED, jax.nn.log_softmax(theta), algorithm=qra.grpo(4))

    expansion = theory.small_step_expansion(
        drift, lambda theta: jnp.zeros((3, 3)), WORKED.log_ref, lambda theta: theta[0] - theta[1], [0.0, 2.0]
    )
    gaps = []
    for steps in (100, 200):
        theta = WORKED.log_ref
        for _ in range(steps):
            theta = theta + 2.0 / steps * drift(theta)
        gaps.append(float(theta[0] - theta[1] - expansion.flow[-1]) * steps / 2.0)
    close(2 * gaps[1] - gaps[0], expansion.error, 1e-3)
    close(expansion.bias, expansion.error)
    close(expansion.variance, 0.0)


def test_expansion_refuses_times_that_end_at_zero():
    with pytest.raises(ValueError, match=r"ts\[-1\]: 0; must be positive"):
        theory.small_step_expansion(lambda x: x, lambda x: jnp.eye(1), jnp.ones(1), lambda x: x[0], [0.0])


# --- Length ------------------------------------------------------------------------------------------------


def test_stop_drift_against_sums_over_lengths():
    stop, n = 0.2, np.arange(1, 400)
    chance = stop * (1 - stop) ** (n - 1)
    close(theory.stop_drift(stop, "length"), chance @ ((1 - stop * n) / n))
    close(theory.stop_drift(stop, "tokens"), theory.stop_drift(stop, "length"), 1e-9)
    pairs = (chance[:, None] * chance) * (2 - stop * (n[:, None] + n)) / (n[:, None] + n)
    close(theory.stop_drift(stop, "tokens", group_size=2), pairs.sum(), 1e-9)
    close(theory.stop_drift([0.1, 0.2], "constant", group_size=8), np.zeros(2))
    both = theory.stop_drift([0.1, 0.2], "tokens", group_size=2)
    close(both[1], pairs.sum(), 1e-9)
    with pytest.raises(ValueError, match=r"normalize: 'median'; must be one of"):
        theory.stop_drift(stop, "median")
    with pytest.raises(ValueError, match=r"stop: 1; must be in \(0, 1\)"):
        theory.stop_drift(1.0, "length")


def test_class_weights_are_the_clock():
    right, wrong = theory.class_weights(qra.grpo(8), 0.3)
    # Centred, and together the clock: E[A; right] = c ρ(1 − ρ).
    close(right, qra.grpo(8).clock(jnp.array(0.3)) * 0.21)
    close(right + wrong, 0)
    right, wrong = theory.class_weights(qra.reinforce(0.25), 0.3, group_size=5)
    close([right, wrong], [0.3 * 0.75, 0.7 * -0.25])
    resampled = dataclasses.replace(qra.grpo(4), resamples_silent=True)
    close(theory.class_weights(resampled, 0.3)[0], resampled.clock(jnp.array(0.3)) * 0.21)


# --- Orbits, times, coupling, mixtures ---------------------------------------------------------------------


def test_first_integral_holds_on_the_orbit_only():
    on = jnp.stack([qra.orbit.policy(WORKED, tau) for tau in (1.0, 20.0, 80.0)])
    close(theory.first_integral(WORKED, on), np.ones(3), 1e-9)
    close(theory.orbit_time(WORKED, on), [1, 20, 80], 1e-9)
    off = jax.nn.log_softmax(WORKED.log_ref + 5 * WORKED.success)
    assert abs(float(theory.first_integral(WORKED, off)) - 1) > 0.05
    with pytest.raises(ValueError, match=r"patterns: \(0, 1, 1\); must be three different ones in \[0, 2\]"):
        theory.first_integral(WORKED, off, patterns=(0, 1, 1))
    with pytest.raises(ValueError, match=r"patterns: \(0, 0\); must be two different ones"):
        theory.orbit_time(WORKED, off, patterns=(0, 0))


def test_one_rival_bound_bounds():
    for gamma, patterns in ((3.0, 3), (50.0, 3), (8.0, 10), (20.0, 20)):
        problem = examples.entangled(gamma, patterns)
        exact, bound = qra.orbit.log_transition_time(problem), theory.one_rival_bound(problem)
        assert exact < bound < exact + 6
    tied = Problem.from_probs(ref=[0.5, 0.5], success=[0.9, 0.9])
    assert theory.one_rival_bound(tied) == np.inf


@pytest.mark.parametrize("rivals", [1, 4])
def test_equal_rivals_time_is_that_of_the_orbit(rivals):
    problem = Problem.from_probs(ref=[0.1] + [0.9 / rivals] * rivals, success=[0.9] + [0.5] * rivals)
    hit = qra.orbit.hit(problem, 0.95)
    close(theory.equal_rivals_time(0.1, 0.95, gap=0.4, rivals=rivals), np.exp(hit.log_time), 1e-9)
    with pytest.raises(ValueError, match=r"gap: 0; must be positive"):
        theory.equal_rivals_time(0.1, 0.95, gap=0.0)


def test_poisson_share_is_the_limit_of_large_groups():
    load = jnp.array([0.01, 1.0, 20.0])
    limit = theory.grpo_poisson_share(load)
    near = theory.grpo_drift_share(load / 4096, 4096)
    close(near, limit, 2e-3)
    close(limit[0], np.sqrt(0.01), 0.01)
    with pytest.raises(ValueError, match=r"load: 0; must be positive"):
        theory.grpo_poisson_share(0.0)


def test_influence_is_the_derivative_of_the_accuracies():
    problem = stack([random(key, 4) for key in jax.random.split(jax.random.key(0), 3)])
    features = jax.random.normal(jax.random.key(1), (3, 4, 2))

    def accuracies(weights):
        logits = problem.log_ref + jnp.einsum("qrf,f->qr", features, weights)
        return qra.metrics.accuracy(jax.nn.log_softmax(logits, axis=-1), problem.success)

    slopes = jax.jacobian(accuracies)(jnp.zeros(2))
    close(theory.influence(problem, features), slopes @ slopes.T)
    speed = qra.grpo(4).clock(problem.accuracy_ref)
    close(theory.influence(problem, features, algorithm=qra.grpo(4)), slopes @ slopes.T * speed[None])
    with pytest.raises(ValueError, match=r"features: shape \(2, 4, 2\)"):
        theory.influence(problem, features[:2])


def test_shared_logit_speed_is_an_influence():
    logit = jnp.array([-2.0, 0.0, 1.0])
    log_ref = jnp.stack([jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit)], axis=-1)
    problem = Problem(log_ref, jnp.broadcast_to(jnp.array([1.0, 0.0]), (3, 2)))
    common = jnp.broadcast_to(jnp.array([1.0, -1.0])[:, None] / np.sqrt(2), (3, 2, 1))
    own = jnp.einsum("qs,rt->qrst", jnp.eye(3), jnp.eye(2)).reshape(3, 2, 6)
    accuracy = problem.accuracy_ref
    for overlap, features in ((1.0, common), (0.0, own)):
        speed = jnp.sum(theory.influence(problem, features), axis=1) / (accuracy * (1 - accuracy))
        close(theory.shared_logit_speed(logit, overlap), speed)


@pytest.mark.parametrize("algorithm", [qra.reinforce(), qra.grpo()])
def test_rest_point_of_two_patterns(algorithm):
    weight, mass = np.array([0.2, 1.0, 3.0])[:, None], np.array([0.3, 0.8])
    if algorithm.name == "GRPO":
        square = weight**2
        closed = (1 + 2 * square * mass + np.sqrt(1 + 4 * square * mass * (1 - mass))) / (2 + 2 * square)
    else:
        closed = (1 - weight + np.sqrt((1 - weight) ** 2 + 4 * weight * mass)) / 2
    close(theory.rest_point(weight, mass, 1.0, algorithm), closed, 1e-9)
    with pytest.raises(ValueError, match=r"mass: 0; must be positive"):
        theory.rest_point(1.0, 0.0, 1.0, algorithm)


def test_demonstrations_pay_from_the_least_share_on():
    log_time = qra.orbit.log_hitting_time(WORKED, 0.9)
    slopes = jax.grad(lambda ref: qra.orbit.log_hitting_time(WORKED.with_ref(jax.nn.log_softmax(ref)), 0.9))
    sensitivity = slopes(WORKED.log_ref)
    share = float(theory.least_share_that_pays(WORKED, log_time, sensitivity, price=2.0))

    def total(time, share):
        tuned = jax.nn.log_softmax(
            WORKED.log_ref + time * (theory.demonstrations(WORKED, share) - WORKED.ref)
        )
        return time + 2.0 * jnp.exp(qra.orbit.log_hitting_time(WORKED.with_ref(tuned), 0.9))

    rate = jax.grad(total)
    assert 0 < share < 1
    close(rate(0.0, share), 0.0, 1e-8)
    assert rate(0.0, 1.1 * share) < 0 < rate(0.0, 0.9 * share)
    close(theory.demonstrations(WORKED, 0.5), [0.525, 0.35, 0.125])
    with pytest.raises(ValueError, match=r"share: 1.5; must be in \[0, 1\]"):
        theory.demonstrations(WORKED, 1.5)


def test_rise_probability_converges():
    close(theory.rlif_rise_probability(nodes=400), theory.rlif_rise_probability(), 1e-6)
    close(theory.rlif_rise_probability(), 0.676761, 1e-6)


# --- Precision ---------------------------------------------------------------------------------------------


def test_float32_in_float32_out():
    problem = Problem(WORKED.log_ref.astype(jnp.float32), WORKED.success.astype(jnp.float32))
    exact = WORKED
    calls = [
        lambda q: theory.optimal_policy(q, 0.3),
        theory.gamma,
        theory.fast_rate,
        lambda q: theory.fast_rate(q, algorithm=qra.grpo(8)),
        theory.transition_time_estimate,
        lambda q: theory.transition_time_estimate(q, at="middle"),
        lambda q: theory.sft_quality(q, q.ref),
        theory.sft_mass_needed,
        theory.initial_slope,
        lambda q: theory.initial_slope(q, reward=qra.self_certainty()),
        lambda q: theory.noisy_equilibrium(q.accuracy_ref, 1.0, tpr=0.9, fpr=0.1),
        lambda q: theory.two_pattern_logit(q.success[0], q.success[1]),
        lambda q: theory.two_pattern_time(q.success[1], q.success[0], "natural-std"),
        lambda q: theory.grpo_drift_share(q.success[0], 8),
        lambda q: theory.transition_time_bound(q.success[0]),
        theory.one_rival_bound,
        lambda q: theory.equal_rivals_time(q.success[1], q.success[0], gap=0.3),
        lambda q: theory.grpo_poisson_share(q.success[0]),
        lambda q: theory.k3_policy(q, 0.3),
        lambda q: theory.resting_policy(q, 0.3, algorithm=qra.grpo()),
        lambda q: theory.k3_floor(q, 0.3),
        lambda q: theory.half_beta(q.success[2]),
        lambda q: theory.entropy_rate(q.log_ref, q.success),
        lambda q: theory.entropy_hessian(q.log_ref),
        lambda q: theory.diversity_drift(q.ref),
        lambda q: theory.demonstrations(q, 0.3),
    ]
    for call in calls:
        assert call(problem).dtype == jnp.float32
        np.testing.assert_allclose(call(problem), call(exact), rtol=2e-4, atol=1e-6)


# --- SFT on the best pattern -------------------------------------------------------------------------------


def test_sft_path_is_the_sft_flow():
    log_s = jnp.log(jnp.array([0.3, 2.0, 9.0]))
    along = functools.partial(jax.vmap, in_axes=(None, 0))
    time = np.exp(along(theory.sft_log_time)(WORKED, log_s))
    expected = qra.flow.sft(WORKED, jnp.array([1.0, 0.0, 0.0]), ts=time).log_policy
    np.testing.assert_allclose(along(theory.sft_policy)(WORKED, log_s), expected, atol=1e-6)


def test_sft_time_is_the_integral_of_its_normaliser():
    """dt/ds = Σ 1/w_r, with w_r = 1/π_ref(r) + s off the best pattern and the product of all w kept."""
    ref = np.array([0.05, 0.70, 0.25])

    def normaliser(s):
        others = 1 / (1 / ref[1:] + s)
        return others.sum() + np.prod(ref) / np.prod(others)

    for s in (0.3, 2.0, 9.0):
        expected = float(mpmath.quad(lambda x: mpmath.mpf(normaliser(float(x))), [0, s]))
        assert np.exp(theory.sft_log_time(WORKED, np.log(s))) == pytest.approx(expected, rel=1e-12)


def test_sft_time_of_many_patterns_does_not_overflow():
    many = Problem.from_probs([0.01, 0.1, *[0.89 / 38] * 38], [0.9, 0.6, *[0.1] * 38])
    log_s = 60.0
    lead = float(many.log_ref[0] + jnp.sum(many.log_ref[1:])) + 40 * log_s - np.log(40)
    assert theory.sft_log_time(many, log_s) == pytest.approx(lead, rel=1e-9)
    assert theory.sft_policy(many, log_s)[0] == pytest.approx(0, abs=1e-12)


def test_sft_path_with_a_pattern_of_no_mass():
    lacking = Problem.from_probs([0.05, 0.7, 0.25, 0.0], [0.9, 0.6, 0.1, 0.7])
    policy = np.exp(theory.sft_policy(lacking, 0.5))
    close(policy[:3], np.exp(theory.sft_policy(WORKED, 0.5)))
    assert policy[3] == 0
    close(theory.sft_log_time(lacking, 0.5), theory.sft_log_time(WORKED, 0.5))
    slope = jax.grad(lambda x: theory.sft_log_time(lacking, x))(0.5)
    close(slope, numeric_gradient(lambda x: theory.sft_log_time(lacking, x), 0.5), 1e-8)


@pytest.mark.parametrize("ref", [[0.05, 0.7, 0.25], [1e-200, 0.7, 0.3]])
def test_sft_dose_ends_the_entanglement_and_no_less_would(ref):
    problem = Problem.from_probs(ref, [0.9, 0.6, 0.1])
    log_s = theory.sft_log_dose(problem)
    accuracy = [
        float(jnp.exp(theory.sft_policy(problem, x)) @ problem.success) for x in (log_s - 1e-4, log_s)
    ]
    assert accuracy[0] < 0.6 <= accuracy[1] + 1e-15
    assert accuracy[1] == pytest.approx(0.6, abs=1e-12)


def test_sft_dose_where_none_helps_or_none_is_needed():
    assert theory.sft_log_dose(Problem.from_probs([0.0, 0.4, 0.6], [0.9, 0.5, 0.1])) == np.inf
    assert theory.sft_log_dose(examples.fast()) == -30
    assert theory.sft_log_dose(Problem.from_probs([0.5, 0.5], [0.6, 0.6])) == -30

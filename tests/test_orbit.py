"""The exact orbit against 30-digit references, closed forms and an independent quadrature."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import Status, orbit
from qra_jax.orbit import curve, panels

REFERENCE = json.loads((Path(__file__).parent / "data" / "hitting_times.json").read_text())["cases"]
CLOCKS = {
    "reinforce": (qra.reinforce(), qra.verifiable()),
    "grpo_mean_field": (qra.grpo(), qra.verifiable()),
    "grpo_G8": (qra.grpo(8), qra.verifiable()),
    "filtered_sft_per_accepted": (qra.filtered_sft(per="accepted"), qra.verifiable()),
    "grpo_mean_field_tpr0.9_fpr0.2": (qra.grpo(), qra.verifiable(tpr=0.9, fpr=0.2)),
}
EVENTS = {
    "pi_best_0.9": ("best", 0.9),
    "pi_best_0.99": ("best", 0.99),
    "accuracy_exceeds_second_best": ("accuracy", None),
}


def reference_problems(dtype) -> qra.Problem:
    """The reference cases, padded to one length with patterns without mass."""
    patterns = max(len(case["ref"]) for case in REFERENCE)

    def padded(values):
        return np.pad(np.asarray(values, dtype), (0, patterns - len(values)))

    def one(case):
        ref = np.asarray(case["ref"], float)
        return qra.Problem.from_probs(ref=padded(ref / ref.sum()), success=padded(case["success"]))

    return qra.problem.stack([one(case) for case in REFERENCE])


def _log_clock(params, mean, miss):
    """Of the clocks above the one with the number `which`."""
    every = [
        algorithm.log_clock_function()(mean, miss).astype(mean.dtype) for algorithm, _ in CLOCKS.values()
    ]
    return jnp.stack(every)[params["which"].astype(int)]


@partial(jax.jit, static_argnames="event")
def reference_hits(problems, targets, which, reward, event):
    """One program for all clocks: which is traced."""
    either = replace(qra.reinforce(), name="either", closed_log_clock=_log_clock, params={"which": which})
    return jax.vmap(lambda p, c: orbit.hit(p, c, event=event, algorithm=either, reward=reward))(
        problems, targets
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("clock", CLOCKS)
def test_reference_times(clock, dtype):
    tolerance = 1e-8 if dtype == np.float64 else 1e-3
    which, (_, reward) = list(CLOCKS).index(clock), CLOCKS[clock]
    problems = reference_problems(dtype)
    for event, (kind, target) in EVENTS.items():
        expected = np.array([float(case["times"][event][clock]) for case in REFERENCE])
        targets = problems.second_best if target is None else jnp.full(len(REFERENCE), target, dtype)
        hit = reference_hits(problems, targets, jnp.asarray(which, dtype), reward, kind)
        assert hit.log_time.dtype == dtype
        met = expected == 0
        np.testing.assert_array_equal(hit.status == Status.ALREADY_MET, met)
        error = np.abs(np.exp(np.asarray(hit.log_time, float)) - expected) / np.where(met, 1, expected)
        honest = (hit.status == Status.OK) & (error <= tolerance) | met
        if dtype == np.float32:
            honest |= (hit.status == Status.OUT_OF_PRECISION) | (hit.status == Status.NOT_CONVERGED)
        assert np.all(honest), (event, error, hit.status)


@pytest.mark.parametrize("clock", CLOCKS)
def test_every_algorithm_brings_its_own_clock(clock):
    # What the test above takes by number is what the orbit takes from the algorithm.
    algorithm, _ = CLOCKS[clock]
    problem = qra.problem.examples.worked()
    rate = panels.rate_function(
        curve.Lines.through(problem.log_ref, problem.success, "softmax"), algorithm, True
    )
    ratio, log_z = jnp.array([0.2, 1.0, 0.3]), jnp.asarray(0.7)
    mean = jnp.sum(ratio * problem.success) / ratio.sum()
    which = {"which": jnp.asarray(float(list(CLOCKS).index(clock)))}
    np.testing.assert_allclose(rate(ratio, log_z), log_z - _log_clock(which, mean, 1 - mean), rtol=1e-12)


def test_reference_dominance():
    lead = jax.jit(jax.vmap(orbit.dominance))(reference_problems(float))
    for leaders, count, case in zip(lead.leaders, lead.count, REFERENCE, strict=True):
        assert leaders[: int(count)].tolist() == case["dominance_sequence"]
        assert set(leaders[int(count) :].tolist()) <= {-1}


def two_pattern_time(z0, z, clock):
    """Theory §2.4 in 60 digits; z = logit ρ for p = (1, 0)."""
    with mpmath.workdps(60):
        z0, z = mpmath.mpf(z0), mpmath.mpf(z)
        forms = {
            "reinforce": lambda z: z + mpmath.sinh(z),
            "grpo": lambda z: 2 * mpmath.sinh(z / 2),
            "natural": lambda z: z,
            "natural-std": lambda z: 2 * mpmath.asin(mpmath.sqrt(1 / (1 + mpmath.exp(-z)))),
        }
        return float(mpmath.log(forms[clock](z) - forms[clock](z0)))


TWO = {
    "reinforce": (0, "softmax"),
    "grpo": (1, "softmax"),
    "natural": (0, "natural"),
    "natural-std": (1, "natural"),
}


@partial(jax.jit, static_argnames="geometry")
def _two_pattern_log_times(log_masses, which, geometry):
    def log_time(log_mass):
        log_ref = jnp.stack([log_mass, jnp.log(-jnp.expm1(log_mass))])
        problem = qra.Problem(log_ref, jnp.array([1.0, 0.0]))
        either = replace(qra.reinforce(), name="either", closed_log_clock=_log_clock, params={"which": which})
        return orbit.log_hitting_time(problem, 0.99, algorithm=either, geometry=geometry)

    return jax.vmap(log_time)(log_masses)


@pytest.mark.parametrize("clock", TWO)
def test_closed_forms_up_to_1e300(clock):
    which, geometry = TWO[clock]
    log_masses = -np.array([0.5, 5.0, 50.0, 300.0, 690.0])  # log π_ref(r*), down to 1e-300
    measured = _two_pattern_log_times(jnp.asarray(log_masses), jnp.asarray(float(which)), geometry)
    target = float(mpmath.log(mpmath.mpf(0.99) / (1 - mpmath.mpf(0.99))))
    z0 = [mpmath.mpf(m) - mpmath.log(-mpmath.expm1(m)) for m in log_masses]
    expected = [two_pattern_time(z, target, clock) for z in z0]
    np.testing.assert_allclose(measured, expected, rtol=0, atol=2e-9)


def test_short_times_are_right_to_their_conditioning():
    # From ρ = ¼ to a hair above: the time is known to the rounding of the target's distance.
    for gap in (1e-4, 1e-7, 1e-10):
        target = 0.25 + gap
        problem = qra.Problem(jnp.log(jnp.array([0.25, 0.75])), jnp.array([1.0, 0.0]))
        measured = float(orbit.log_hitting_time(problem, target))
        with mpmath.workdps(40):
            z0, z = (mpmath.log(mpmath.mpf(r) / (1 - mpmath.mpf(r))) for r in (0.25, target))
        expected = two_pattern_time(z0, z, "reinforce")
        assert abs(measured - expected) < 1e-9 + 4e-16 / gap


def test_orbit_at_1e_minus_10_and_1e300():
    problem = qra.problem.examples.worked()
    log_ts = np.log(np.array([1e-10, 1e300]))
    log_policy = orbit.solve(problem, log_ts=log_ts).log_policy
    p, ref = np.asarray(problem.success), np.asarray(problem.ref)
    velocity = ref * (p - ref @ p)
    drift = ref * (velocity - ref @ velocity)
    np.testing.assert_allclose(np.exp(log_policy[0]) - ref, 1e-10 * drift, rtol=1e-4, atol=2e-16)
    # Tail: w_s = g_s ≈ (p* − p_s) τ, so every loser keeps log π_s = log x − log g_s with x g_1 g_2 = e^C.
    ratio = np.exp(log_policy[1][1] - log_policy[1][2])
    np.testing.assert_allclose(ratio, (0.9 - 0.1) / (0.9 - 0.6), rtol=1e-9)
    # 1 − π(r*) = K/t with K = Σ 1/(p* − p_s) / n.
    loss = np.logaddexp(log_policy[1][1], log_policy[1][2])
    np.testing.assert_allclose(loss, np.log((1 / 0.3 + 1 / 0.8) / 3) - log_ts[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9])
def test_small_success_gaps(gap):
    success = jnp.array([0.5 + gap, 0.5])
    problem = qra.Problem(jnp.log(jnp.array([0.1, 0.9])), success)
    measured = float(orbit.log_hitting_time(problem, 0.9)) + float(np.log(success[0] - success[1]))
    z0, z = np.log(0.1 / 0.9), np.log(0.9 / 0.1)
    np.testing.assert_allclose(measured, two_pattern_time(z0, z, "reinforce"), atol=1e-9)


def quadrature(ref, success, multiplicity, event_level, digits=25):
    """t(ρ = level) by 25-digit root finding and quadrature on the formula itself, patterns with multiplicities."""
    with mpmath.workdps(digits):
        m = [mpmath.mpf(int(k)) for k in multiplicity]
        u = [1 / mpmath.mpf(float(r)) for r in ref]
        p = [mpmath.mpf(float(s)) for s in success]
        total = mpmath.fsum(k * mpmath.log(x) for k, x in zip(m, u, strict=True))
        start = [total / mpmath.fsum(m)]  # the last root is where the search for the next begins

        def weights(tau):
            low = min(a - b * tau for a, b in zip(u, p, strict=True))
            gaps = [a - b * tau - low for a, b in zip(u, p, strict=True)]
            y = start[0]
            for _ in range(200):
                slope = mpmath.fsum(
                    k * mpmath.exp(y) / (mpmath.exp(y) + g) for k, g in zip(m, gaps, strict=True)
                )
                value = (
                    mpmath.fsum(k * mpmath.log(mpmath.exp(y) + g) for k, g in zip(m, gaps, strict=True))
                    - total
                )
                step = value / slope
                y -= step
                if abs(step) < mpmath.mpf(10) ** (-digits + 7):
                    break
            else:
                raise AssertionError("no root")
            start[0] = y
            return [mpmath.exp(y) + g for g in gaps]

        def z(tau):
            return mpmath.fsum(k / w for k, w in zip(m, weights(tau), strict=True))

        def accuracy(tau):
            w = weights(tau)
            return mpmath.fsum(k * s / x for k, s, x in zip(m, p, w, strict=True)) / mpmath.fsum(
                k / x for k, x in zip(m, w, strict=True)
            )

        high = mpmath.mpf(1)
        while accuracy(high) < event_level:
            high *= 2
        low = mpmath.mpf(0)
        for _ in range(70):
            middle = (low + high) / 2
            low, high = (low, middle) if accuracy(middle) >= event_level else (middle, high)
        pieces = [high * mpmath.mpf(k) / 24 for k in range(25)]
        return float(mpmath.log(mpmath.quad(z, pieces, maxdegree=6)))


def test_ten_thousand_patterns():
    multiplicity = np.array([1, 4999, 5000])
    ref = np.array([1e-3, 0.5 / 4999, 0.499 / 5000])
    success = np.array([0.9, 0.3, 0.1])
    expected = quadrature(ref, success, multiplicity, 0.5)
    problem = qra.Problem(
        jnp.log(jnp.repeat(jnp.asarray(ref), multiplicity, total_repeat_length=10_000)),
        jnp.repeat(jnp.asarray(success), multiplicity, total_repeat_length=10_000),
    )
    hit = orbit.hit(problem, 0.5, event="accuracy")
    assert hit.status == Status.OK
    np.testing.assert_allclose(hit.log_time, expected, atol=1e-8)


def test_random_problems_against_quadrature():
    rng = np.random.default_rng(3)
    for _ in range(3):
        ref, success = rng.dirichlet(np.ones(5)), rng.uniform(size=5)
        level = 0.5 * (ref @ success + success.max())
        expected = quadrature(ref, success, np.ones(5), level)
        problem = qra.Problem(jnp.log(jnp.asarray(ref)), jnp.asarray(success))
        np.testing.assert_allclose(
            orbit.log_hitting_time(problem, level, event="accuracy"), expected, atol=2e-9
        )


def test_events_at_vertices_are_not_missed():
    # The two panels that meet at a vertex see it from two leaders, and may round to two sides of the target.
    deep = qra.Problem.from_probs([1e-9, 1 - 1e-9], [0.9, 0.6])

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def hit(target):
        result = orbit.hit(deep, target, event="accuracy")
        return result.log_time, result.status

    ((log_time, status), slope), ((beyond, _), slope_beyond) = hit(0.75), hit(0.7500001)
    assert status == Status.OK
    np.testing.assert_allclose(log_time, beyond, atol=1e-4)
    np.testing.assert_allclose(slope, slope_beyond, rtol=1e-4)

    @jax.jit
    def statuses(seed):
        problem = qra.problem.random(jax.random.key(seed), 5)
        lead = orbit.dominance(problem)
        policies = jax.vmap(lambda log_tau: jnp.exp(orbit.policy(problem, jnp.exp(log_tau))))(
            lead.log_switches[:-1]
        )
        levels = jnp.clip(policies @ problem.success, 0.01, 0.99)
        hits = jax.vmap(lambda level: orbit.hit(problem, level, event="accuracy").status)(levels)
        return jnp.where(jnp.arange(levels.size) < lead.count, hits, Status.OK)

    seen = jnp.stack([statuses(seed) for seed in range(60)])
    assert jnp.all((seen == Status.OK) | (seen == Status.ALREADY_MET))

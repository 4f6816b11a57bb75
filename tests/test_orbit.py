"""The exact orbit against 30-digit references, closed forms, an independent quadrature, the flow, and itself."""

import json
from functools import partial
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import jaxtyping
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import qra_jax as qra
from qra_jax import Status, orbit
from qra_jax.geometry import GEOMETRIES

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


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("clock", CLOCKS)
def test_reference_times(clock, dtype):
    tolerance = 1e-8 if dtype == np.float64 else 1e-3
    algorithm, reward = CLOCKS[clock]
    problems = reference_problems(dtype)

    @partial(jax.jit, static_argnums=0)
    def hits(kind, targets):
        return jax.vmap(lambda p, c: orbit.hit(p, c, event=kind, algorithm=algorithm, reward=reward))(
            problems, targets
        )

    for event, (kind, target) in EVENTS.items():
        expected = np.array([float(case["times"][event][clock]) for case in REFERENCE])
        found = hits(
            kind, problems.second_best if target is None else jnp.full(len(REFERENCE), target, dtype)
        )
        assert found.log_time.dtype == dtype
        met = expected == 0
        np.testing.assert_array_equal(found.status == Status.ALREADY_MET, met)
        error = np.abs(np.exp(np.asarray(found.log_time, float)) - expected) / np.where(met, 1, expected)
        honest = (found.status == Status.OK) & (error <= tolerance) | met
        if dtype == np.float32:
            honest |= (found.status == Status.OUT_OF_PRECISION) | (found.status == Status.NOT_CONVERGED)
        assert np.all(honest), (event, error, found.status)


def test_reference_dominance():
    found = jax.vmap(orbit.dominance)(reference_problems(float))
    for leaders, count, case in zip(found.leaders, found.count, REFERENCE, strict=True):
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
    "reinforce": (qra.reinforce(), "softmax"),
    "grpo": (qra.grpo(), "softmax"),
    "natural": (qra.reinforce(), "natural"),
    "natural-std": (qra.grpo(), "natural"),
}


@pytest.mark.parametrize("clock", TWO)
def test_closed_forms_up_to_1e300(clock):
    algorithm, geometry = TWO[clock]
    log_masses = -np.array([0.5, 5.0, 50.0, 300.0, 690.0])  # log π_ref(r*), down to 1e-300

    def log_time(log_mass):
        log_ref = jnp.stack([log_mass, jnp.log(-jnp.expm1(log_mass))])
        problem = qra.Problem(log_ref, jnp.array([1.0, 0.0]))
        return orbit.log_hitting_time(problem, 0.99, algorithm=algorithm, geometry=geometry)

    measured = jax.vmap(log_time)(jnp.asarray(log_masses))
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

        def weights(tau):
            low = min(a - b * tau for a, b in zip(u, p, strict=True))
            gaps = [a - b * tau - low for a, b in zip(u, p, strict=True)]
            y = total / mpmath.fsum(m)
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
                if abs(step) < mpmath.mpf(10) ** (-digits + 3):
                    break
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
    found = orbit.hit(problem, 0.5, event="accuracy")
    assert found.status == Status.OK
    np.testing.assert_allclose(found.log_time, expected, atol=1e-8)


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


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", ["reinforce", "grpo_G8"])
def test_orbit_is_the_flow(name, geometry):
    algorithm, _ = CLOCKS[name]
    problem = qra.problem.examples.worked()
    ts = jnp.array([0.0, 0.5, 5.0, 40.0, 100.0])
    exact = orbit.solve(problem, ts, algorithm=algorithm, geometry=geometry)
    ode = qra.flow.solve(problem, ts=ts, algorithm=algorithm, geometry=geometry, rtol=1e-10, atol=1e-12)
    assert exact.status == ode.status == Status.OK
    np.testing.assert_allclose(exact.policy, ode.policy, atol=2e-8)


def test_internal_feedback_orbit_is_the_flow():
    problem = qra.problem.examples.internal_feedback(jax.random.key(7), 6)
    ts = jnp.array([0.0, 1.0, 10.0, 60.0])
    for algorithm in (qra.reinforce(), qra.grpo(), qra.dr_grpo(4)):
        exact = orbit.solve(problem, ts, algorithm=algorithm, reward=qra.self_certainty())
        ode = qra.flow.solve(
            problem, ts=ts, algorithm=algorithm, reward=qra.self_certainty(), rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(exact.policy, ode.policy, atol=2e-8)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_hit_and_solve_agree(geometry):
    problem = qra.problem.examples.worked()
    found = orbit.hit(problem, 0.8, algorithm=qra.grpo(8), geometry=geometry)
    path = orbit.solve(problem, log_ts=found.log_time[None], algorithm=qra.grpo(8), geometry=geometry)
    np.testing.assert_allclose(jnp.exp(found.log_policy[0]), 0.8, rtol=1e-12)
    np.testing.assert_allclose(path.log_policy[0], found.log_policy, atol=1e-7)


def central(function, x, h=1e-4):
    steps = h * jnp.eye(x.size)
    return jnp.stack([(function(x + e) - function(x - e)) / (2 * h) for e in steps], axis=-1)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("event", "target"), [("best", 0.99), ("accuracy", 0.8), ("peak", 0.5)])
def test_derivatives_of_hitting_times(event, target, geometry):
    if event == "peak":
        problem = qra.Problem.from_probs([0.6, 0.38, 0.02], [0.6, 0.8, 0.05])
        reward, algorithm = qra.self_certainty(), qra.reinforce()
    else:
        problem, reward, algorithm = qra.problem.examples.worked(), qra.verifiable(0.9, 0.1), qra.tsallis(0.5)

    @jax.jit
    def log_time(x):
        n = problem.patterns
        changed = qra.Problem(x[:n], x[n : 2 * n])
        chosen = qra.tsallis(x[-1]) if event != "peak" else algorithm
        return orbit.log_hitting_time(
            changed, target, event=event, algorithm=chosen, reward=reward, geometry=geometry
        )

    x = jnp.concatenate([problem.log_ref, problem.success, jnp.array([0.5])])
    assert jnp.isfinite(log_time(x))
    # Near a peak the time is very curved: a smaller step, and so more of the quadrature's rounding.
    expected, tolerance = (
        (central(log_time, x, 1e-5), 2e-4) if event == "peak" else (central(log_time, x), 2e-5)
    )
    np.testing.assert_allclose(jax.grad(log_time)(x), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(jax.jacfwd(log_time)(x), expected, rtol=tolerance, atol=tolerance)
    batched = jax.vmap(jax.grad(log_time))(jnp.stack([x, x * 1.01]))
    np.testing.assert_allclose(batched[0], jax.grad(log_time)(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_derivatives_of_the_sampled_orbit(geometry):
    problem = qra.problem.examples.worked()
    log_ts = jnp.log(jnp.array([1e-3, 1.0, 20.0, 50.0, 1e4]))

    @jax.jit
    def log_policy(x):
        path = orbit.solve(qra.Problem(x[:3], x[3:6]), log_ts=x[6:], algorithm=qra.grpo(8), geometry=geometry)
        return path.log_policy

    x = jnp.concatenate([problem.log_ref, problem.success, log_ts])
    expected = central(log_policy, x, 1e-5)
    np.testing.assert_allclose(jax.jacrev(log_policy)(x), expected, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(jax.jacfwd(log_policy)(x), expected, rtol=1e-5, atol=2e-5)


def test_derivatives_are_zero_where_nothing_happens():
    met = lambda s: orbit.log_hitting_time(qra.Problem(jnp.log(jnp.array([0.9, 0.1])), s), 0.5)  # noqa: E731
    np.testing.assert_array_equal(jax.grad(met)(jnp.array([0.9, 0.1])), 0.0)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31 - 1))
def test_laws(geometry, seed):
    """ρ never falls, permutations carry over, the faster clock is the faster, the leaders are the envelope's."""
    problem = _random(seed)
    log_ts = jnp.linspace(-3.0, 40.0, 24)
    path = _laws(problem, log_ts, geometry)
    assert path.status == Status.OK
    assert jnp.all(jnp.isfinite(path.log_policy))
    assert jnp.all(jnp.diff(path.accuracy) >= -1e-12)
    np.testing.assert_allclose(path.policy.sum(-1), 1.0, rtol=1e-12)
    order = jnp.array([3, 0, 4, 2, 1])
    moved = _laws(qra.Problem(problem.log_ref[order], problem.success[order]), log_ts, geometry)
    np.testing.assert_allclose(moved.log_policy, path.log_policy[:, order], atol=1e-6, rtol=1e-6)


@jax.jit
def _random(seed):
    return qra.problem.random(jax.random.key(seed), 5)


def _laws(problem, log_ts, geometry):
    return _LAWS[geometry](problem, log_ts)


_LAWS = {m: jax.jit(lambda p, t, m=m: orbit.solve(p, log_ts=t, geometry=m)) for m in GEOMETRIES}


def test_dominance_is_the_lower_envelope():
    for seed in range(20):
        problem = _random(seed)
        offsets, rewards = map(np.asarray, orbit.lines(problem))
        found = orbit.dominance(problem)
        taus = np.concatenate([[0], np.exp(np.asarray(found.switches[1 : int(found.count)]))])
        middles = np.append((taus[1:] + taus[:-1]) / 2, taus[-1] * 2 + 1)
        brute = [int(np.argmin(offsets - rewards * tau)) for tau in middles]
        assert found.leaders[: int(found.count)].tolist() == brute
        for before, after, tau in zip(brute, brute[1:], taus[1:], strict=False):
            exact = (offsets[after] - offsets[before]) / (rewards[after] - rewards[before])
            np.testing.assert_allclose(tau, exact, rtol=1e-9)


def test_policy_at_an_orbit_time_is_clock_free():
    problem = qra.problem.examples.worked()
    a = orbit.solve(problem, jnp.array([10.0]))
    # The first integral of theory §2.2 gives the same ratio for any point of the orbit.
    for log_policy in (a.log_policy[0], orbit.policy(problem, 30.0), orbit.policy(problem, 100.0)):
        total = -jnp.sum(problem.log_ref)
        w = jnp.exp(-log_policy + (total + jnp.sum(log_policy)) / 3)
        u = jnp.exp(-problem.log_ref)
        shift = w - u
        np.testing.assert_allclose((shift[0] - shift[1]) / (shift[0] - shift[2]), 0.3 / 0.8, rtol=1e-8)


def test_peak_of_accuracy():
    problem = qra.Problem.from_probs([0.6, 0.38, 0.02], [0.6, 0.8, 0.05])
    reward = qra.self_certainty()
    found = orbit.hit(problem, event="peak", reward=reward)
    assert found.status == Status.OK
    log_ts = jnp.log(jnp.linspace(0.0, 3 * jnp.exp(found.log_time), 400))
    path = orbit.solve(problem, log_ts=log_ts, reward=reward)
    top = float(jnp.sum(jnp.exp(found.log_policy) * problem.success))
    assert top >= float(path.accuracy.max()) - 1e-12
    assert abs(float(jnp.exp(found.log_time)) - float(path.time[path.accuracy.argmax()])) < float(
        path.time[2]
    )
    rising = orbit.hit(qra.problem.examples.worked(), event="peak")
    assert rising.status == Status.UNREACHABLE
    assert jnp.isposinf(rising.log_time)
    falling = orbit.hit(qra.Problem.from_probs([0.5, 0.5], [0.6, 0.05]), event="peak", reward=reward)
    assert falling.status == Status.ALREADY_MET


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_degenerate_cases_have_defined_results(geometry):
    def status(ref, success, **options):
        return orbit.hit(qra.Problem.from_probs(ref, success), geometry=geometry, **options)

    assert status([1.0], [0.5]).status == Status.ALREADY_MET
    assert status([0.995, 0.005], [0.9, 0.1]).status == Status.ALREADY_MET
    assert status([0.0, 1.0], [0.9, 0.1]).status == Status.UNREACHABLE  # no reference mass on r*
    assert status([0.3, 0.7], [0.5, 0.5]).status == Status.UNREACHABLE  # nothing moves
    assert status([0.5, 0.5], [1.0, 0.0]).status == Status.OK
    assert status([0.5, 0.5, 0.0], [1.0, 0.0, 0.5]).status == Status.OK
    reversed_orbit = status([0.5, 0.5], [0.9, 0.1], reward=qra.verifiable(0.2, 0.8))
    assert reversed_orbit.status == Status.UNREACHABLE
    assert jnp.isposinf(reversed_orbit.log_time)
    assert status([0.5, 0.5], [0.9, 0.1], reward=qra.verifiable(0.5, 0.5)).status == Status.UNREACHABLE
    high = orbit.hit(qra.problem.examples.worked(), 0.95, event="accuracy", geometry=geometry)
    assert high.status == Status.UNREACHABLE


def test_ties_for_best():
    # Softmax policy gradient: of equally good patterns the one with more mass wins, slowly; the natural gradient
    # keeps their ratio.
    tied = qra.Problem.from_probs([0.5, 0.2, 0.3], [0.9, 0.9, 0.1])
    assert orbit.hit(tied, 0.9).status == Status.OK
    assert orbit.hit(tied, 0.9, geometry="natural").status == Status.UNREACHABLE
    lesser = qra.Problem.from_probs([0.2, 0.5, 0.3], [0.9, 0.9, 0.1])
    assert orbit.hit(lesser, 0.9).status == Status.UNREACHABLE
    equal = qra.Problem.from_probs([0.35, 0.35, 0.3], [0.9, 0.9, 0.1])
    assert orbit.hit(equal, 0.9).status == Status.UNREACHABLE
    np.testing.assert_allclose(orbit.solve(equal, jnp.array([1e6])).policy[0, :2], 0.5, atol=1e-5)


def test_invalid_input_is_a_status_under_jit():
    broken = qra.Problem(jnp.log(jnp.array([0.5, 0.5])), jnp.array([jnp.nan, 0.5]))
    found = jax.jit(orbit.hit)(broken)
    assert found.status == Status.INVALID
    assert jnp.isnan(found.log_time)
    certain = qra.Problem.from_probs([0.5, 0.5], [1.0, 0.4])
    assert orbit.hit(certain, event="peak", reward=qra.self_certainty()).status == Status.INVALID
    assert orbit.hit(certain, event="peak", reward=qra.self_certainty(floor=1e-3)).status != Status.INVALID


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1.0}, "target: 1; must be in (0, 1)"),
        ({"target": float("nan")}, "target: nan"),
        ({"event": "worst"}, "event: 'worst'; must be one of 'best', 'accuracy', 'peak'"),
        ({"geometry": "fisher"}, "geometry: 'fisher'; must be one of 'softmax', 'natural'"),
        ({"reward": qra.majority_vote()}, "reward: majority-vote depends on the policy"),
        (
            {"reward": qra.self_certainty(), "algorithm": qra.dapo(8).__class__("odd", qra.grpo(8).weigh, 8)},
            "algorithm: odd",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        orbit.hit(qra.problem.examples.worked(), **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give exactly one"),
        ({"ts": [1.0, 0.5]}, r"ts\[1\]: 0.5"),
        ({"ts": [-1.0, 0.5]}, r"ts\[0\]: -1"),
        ({"ts": [0.0, float("nan")]}, "nan"),
        ({"ts": []}, "ts: empty"),
    ],
)
def test_bad_times(arguments, message):
    with pytest.raises(ValueError, match=message):
        orbit.solve(qra.problem.examples.worked(), **arguments)


def test_batches_are_hits_one_by_one():
    problems = jax.vmap(lambda k: qra.problem.random(k, 4))(jax.random.split(jax.random.key(0), 70))
    single = jax.vmap(lambda p: orbit.hit(p, 0.9))(problems)
    for lanes, chunk, workers in ((1, 70, 1), (8, 16, 2), (128, 8192, None)):
        batch = orbit.hit_batch(problems, 0.9, lanes=lanes, chunk=chunk, workers=workers)
        np.testing.assert_array_equal(batch.status, single.status)
        # Another block is another vectorisation: logarithms differ in the last bit, panels in their last digits.
        np.testing.assert_allclose(batch.log_time, single.log_time, rtol=0, atol=1e-8)
        np.testing.assert_allclose(batch.log_policy, single.log_policy, atol=1e-7)


def test_batches_report_progress_and_reject_single_problems():
    problems = jax.vmap(lambda k: qra.problem.random(k, 4))(jax.random.split(jax.random.key(0), 20))
    counts = []
    orbit.hit_batch(problems, 0.9, lanes=4, chunk=8, workers=1, progress=counts.append)
    assert sum(counts) == 20
    assert len(counts) > 1
    with pytest.raises(ValueError, match="problems: shape"):
        orbit.hit_batch(qra.problem.examples.worked())
    with pytest.raises(ValueError, match="problem: shape"):
        orbit.hit(problems)


def test_one_compilation_serves_every_parameter():
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def log_time(problem, target, algorithm, reward):
        return orbit.log_hitting_time(problem, target, algorithm=algorithm, reward=reward)

    for q, tpr, target in ((0.0, 1.0, 0.9), (0.5, 0.9, 0.95), (1.0, 0.8, 0.99)):
        problem = qra.problem.random(jax.random.key(int(10 * q)), 3)
        log_time(problem, target, qra.tsallis(q), qra.verifiable(tpr, 0.1))


def test_work_stays_small():
    problems = jax.vmap(lambda k: qra.problem.random(k, 10))(jax.random.split(jax.random.key(1), 256))
    found = orbit.hit_batch(problems)
    assert np.all(found.status == Status.OK)
    assert found.panels.mean() < 20


def test_events_at_vertices_are_not_missed():
    # The two panels that meet at a vertex see it from two leaders, and may round to two sides of the target.
    deep = qra.Problem.from_probs([1e-9, 1 - 1e-9], [0.9, 0.6])
    found = orbit.hit(deep, 0.75, event="accuracy")
    assert found.status == Status.OK
    np.testing.assert_allclose(
        found.log_time, orbit.log_hitting_time(deep, 0.7500001, event="accuracy"), atol=1e-4
    )
    slope = jax.grad(lambda c: orbit.log_hitting_time(deep, c, event="accuracy"))
    np.testing.assert_allclose(slope(0.75), slope(0.7500001), rtol=1e-4)

    @jax.jit
    def statuses(problem):
        lead = orbit.dominance(problem)
        policies = jax.vmap(lambda log_tau: jnp.exp(orbit.policy(problem, jnp.exp(log_tau))))(
            lead.switches[:-1]
        )
        levels = jnp.clip(policies @ problem.success, 0.01, 0.99)
        hits = jax.vmap(lambda level: orbit.hit(problem, level, event="accuracy").status)(levels)
        return jnp.where(jnp.arange(levels.size) < lead.count, hits, Status.OK)

    seen = jnp.stack([statuses(_random(seed)) for seed in range(60)])
    assert jnp.all((seen == Status.OK) | (seen == Status.ALREADY_MET))


def test_no_peak_where_accuracy_never_falls():
    problems = jax.vmap(lambda key: qra.problem.random(key, 6))(jax.random.split(jax.random.key(1), 300))
    assert jnp.all(orbit.hit_batch(problems, event="peak").status == Status.UNREACHABLE)


def test_masses_beyond_the_dtype_are_out_of_precision():
    for dtype, log_mass in ((jnp.float32, -90.0), (jnp.float64, -800.0)):
        problem = qra.Problem(jnp.array([log_mass, 0.0], dtype), jnp.array([0.9, 0.1], dtype))
        found = orbit.hit(problem)
        assert found.status == Status.OUT_OF_PRECISION
        assert found.panels < 3


def test_a_hit_says_when_and_how():
    problem = qra.problem.examples.worked()
    assert repr(orbit.hit(problem)) == "Hit(t = 271, OK)"
    assert repr(orbit.hit(problem, 0.01)) == "Hit(t = 0, ALREADY_MET)"
    assert repr(orbit.hit(problem, reward=qra.verifiable(0.2, 0.9))) == "Hit(t = never, UNREACHABLE)"
    levels = jax.vmap(lambda target: orbit.hit(problem, target))(jnp.array([0.01, 0.9, 0.99]))
    assert repr(levels) == "Hit(3 problems, OK 2, ALREADY_MET 1)"
    seen = []
    jax.jit(lambda found: seen.append(repr(found)) or 0)(levels)
    assert seen == ["Hit(log_time=float64[3], log_policy=float64[3,3])"]
    invalid = orbit.Hit(jnp.array(jnp.nan), jnp.zeros(3), jnp.array(Status.INVALID.value), jnp.array(0))
    assert repr(invalid) == "Hit(t = nan, INVALID)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "grpo"}, r"algorithm: 'grpo'; must be an Algorithm, such as qra\.grpo\(8\)$"),
        ({"algorithm": qra.grpo}, "algorithm: the function grpo; must be an Algorithm"),
        ({"algorithm": qra.Algorithm}, "algorithm: the class Algorithm; must be an Algorithm"),
        ({"reward": "verifiable"}, r"reward: 'verifiable'; must be a Reward, such as qra\.verifiable\(\)$"),
        ({"problem": "worked"}, "problem: 'worked'; must be a Problem"),
        (
            {"problem": qra.Problem(jnp.array([0.05, 0.7, 0.25]), jnp.array([0.9, 0.6, 0.1]))},
            r"log_ref: exponentials sum to 4\.35; must sum to 1",
        ),
    ],
)
def test_wrong_objects_are_refused(options, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users call it
    options = dict(options)
    problem = options.pop("problem", qra.problem.examples.worked())
    asked = [orbit.hit, orbit.log_transition_time, partial(orbit.solve, ts=[1.0])]
    if isinstance(problem, qra.Problem):
        asked.append(lambda problem, **options: orbit.hit_batch(qra.problem.stack([problem]), **options))
        message = message.replace("log_ref:", r"log_ref(\[0\])?:")
    for function in asked:
        with pytest.raises(ValueError, match="^" + message):
            function(problem, **options)

"""Laws of the exact orbit: it is the flow, its derivatives are true, a batch is its members, outcomes have a status.

These programs compile much longer than they run, so they are compiled without most of the compiler's passes.
"""

from functools import partial
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import qra_jax as qra
from qra_jax import Status, orbit
from qra_jax.geometry import GEOMETRIES
from qra_jax.orbit import batch as orbit_batch

pytestmark = pytest.mark.usefixtures("compiled_plainly")

CLOCKS = {"reinforce": qra.reinforce(), "grpo_G8": qra.grpo(8)}

quick_hit = jax.jit(orbit.hit, static_argnames=("event", "geometry"))
quick_solve = jax.jit(orbit.solve, static_argnames="geometry")


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", ["reinforce", "grpo_G8"])
def test_orbit_is_the_flow(name, geometry):
    algorithm = CLOCKS[name]
    problem = qra.problem.examples.worked()
    ts = jnp.array([0.0, 0.5, 5.0, 40.0, 100.0])
    exact = quick_solve(problem, ts, algorithm=algorithm, geometry=geometry)
    ode = qra.flow.solve(problem, ts=ts, algorithm=algorithm, geometry=geometry, rtol=1e-10, atol=1e-12)
    assert exact.status == ode.status == Status.OK
    np.testing.assert_allclose(exact.policy, ode.policy, atol=2e-8)


def test_internal_feedback_orbit_is_the_flow():
    problem = qra.problem.examples.internal_feedback(jax.random.key(7), 6)
    ts = jnp.array([0.0, 1.0, 10.0, 60.0])
    for algorithm in (qra.reinforce(), qra.grpo(), qra.dr_grpo(4)):
        exact = quick_solve(problem, ts, algorithm=algorithm, reward=qra.self_certainty())
        ode = qra.flow.solve(
            problem, ts=ts, algorithm=algorithm, reward=qra.self_certainty(), rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(exact.policy, ode.policy, atol=2e-8)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_hit_and_solve_agree(geometry):
    problem = qra.problem.examples.worked()
    hit = quick_hit(problem, 0.8, algorithm=qra.grpo(8), geometry=geometry)
    path = quick_solve(problem, log_ts=hit.log_time[None], algorithm=qra.grpo(8), geometry=geometry)
    np.testing.assert_allclose(jnp.exp(hit.log_policy[0]), 0.8, rtol=1e-12)
    np.testing.assert_allclose(path.log_policy[0], hit.log_policy, atol=1e-7)


def central(function, x, h=1e-4):
    """Central differences of a function of a vector; the function takes a batch of points."""
    steps = h * jnp.eye(x.size)
    high, low = jnp.split(function(x[None] + jnp.concatenate([steps, -steps])), 2)
    return jnp.moveaxis(high - low, 0, -1) / (2 * h)


def derivatives(function, x):
    """The value, the Jacobian in reverse mode and that in forward mode, from one linearisation in one program."""
    value, forward = jax.linearize(function, x)
    backward = jax.linear_transpose(forward, x)
    units = jnp.eye(value.size, dtype=x.dtype).reshape(-1, *value.shape)
    reverse = jax.vmap(lambda unit: backward(unit)[0])(units).reshape(*value.shape, x.size)
    return value, reverse, jnp.moveaxis(jax.vmap(forward)(jnp.eye(x.size)), 0, -1)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("event", "target"), [("best", 0.99), ("accuracy", 0.8), ("peak", 0.5)])
def test_derivatives_of_hitting_times(event, target, geometry):
    if event == "peak":
        problem = qra.Problem.from_probs([0.6, 0.38, 0.02], [0.6, 0.8, 0.05])
        reward, algorithm = qra.self_certainty(), qra.reinforce()
    else:
        problem, reward, algorithm = qra.problem.examples.worked(), qra.verifiable(0.9, 0.1), qra.tsallis(0.5)

    def log_time(x):
        n = problem.patterns
        changed = qra.Problem(x[:n], x[n : 2 * n])
        chosen = qra.tsallis(x[-1]) if event != "peak" else algorithm
        return orbit.log_hitting_time(
            changed, target, event=event, algorithm=chosen, reward=reward, geometry=geometry
        )

    x = jnp.concatenate([problem.log_ref, problem.success, jnp.array([0.5])])
    value, reverse, forward = jax.jit(partial(derivatives, log_time))(x)
    assert jnp.isfinite(value)
    # Near a peak the time is very curved: a smaller step, and so more of the quadrature's rounding.
    h, tolerance = (1e-5, 2e-4) if event == "peak" else (1e-4, 2e-5)
    batch = jax.jit(jax.vmap(partial(derivatives, log_time)))
    expected = central(lambda points: batch(points)[0], x, h)
    np.testing.assert_allclose(reverse, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(forward, expected, rtol=tolerance, atol=tolerance)
    batched = batch(jnp.broadcast_to(x, (2 * x.size, x.size)).at[1].mul(1.01))
    np.testing.assert_allclose(batched[1][0], reverse, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_derivatives_of_the_sampled_orbit(geometry):
    problem = qra.problem.examples.worked()
    log_ts = jnp.log(jnp.array([1e-3, 1.0, 20.0, 50.0, 1e4]))

    def log_policy(x):
        path = orbit.solve(qra.Problem(x[:3], x[3:6]), log_ts=x[6:], algorithm=qra.grpo(8), geometry=geometry)
        return path.log_policy

    x = jnp.concatenate([problem.log_ref, problem.success, log_ts])
    expected = central(jax.jit(jax.vmap(log_policy)), x, 1e-5)
    _, reverse, forward = jax.jit(partial(derivatives, log_policy))(x)
    np.testing.assert_allclose(reverse, expected, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(forward, expected, rtol=1e-5, atol=2e-5)


def test_grad_and_jacobians_go_through_the_same_rule():
    # What the two tests above take from one linearisation, as users ask for it; and zero where nothing happens.
    log_time = lambda s: orbit.log_hitting_time(qra.Problem(jnp.log(jnp.array([0.4, 0.6])), s), 0.5)  # noqa: E731
    success = jnp.array([0.9, 0.1])
    _, reverse, forward = jax.jit(partial(derivatives, log_time))(success)
    gradient = jax.jit(jax.grad(log_time))
    np.testing.assert_allclose(gradient(success), reverse, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(log_time))(success), forward, rtol=1e-12)
    assert np.all(np.abs(reverse) > 0.1)


def test_derivatives_are_zero_where_nothing_happens():
    met = lambda s: orbit.log_hitting_time(qra.Problem(jnp.log(jnp.array([0.9, 0.1])), s), 0.5)  # noqa: E731
    np.testing.assert_array_equal(jax.jit(jax.grad(met))(jnp.array([0.9, 0.1])), 0.0)


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


_dominance = jax.jit(orbit.dominance)


def _laws(problem, log_ts, geometry):
    return _LAWS[geometry](problem, log_ts)


_LAWS = {m: jax.jit(lambda p, t, m=m: orbit.solve(p, log_ts=t, geometry=m)) for m in GEOMETRIES}


def test_dominance_is_the_lower_envelope():
    for seed in range(20):
        problem = _random(seed)
        offsets, rewards = map(np.asarray, orbit.lines(problem))
        lead = _dominance(problem)
        taus = np.concatenate([[0], np.exp(np.asarray(lead.log_switches[1 : int(lead.count)]))])
        middles = np.append((taus[1:] + taus[:-1]) / 2, taus[-1] * 2 + 1)
        brute = [int(np.argmin(offsets - rewards * tau)) for tau in middles]
        assert lead.leaders[: int(lead.count)].tolist() == brute
        for before, after, tau in zip(brute, brute[1:], taus[1:], strict=False):
            exact = (offsets[after] - offsets[before]) / (rewards[after] - rewards[before])
            np.testing.assert_allclose(tau, exact, rtol=1e-9)


def test_policy_at_an_orbit_time_is_clock_free():
    problem = qra.problem.examples.worked()
    a = quick_solve(problem, jnp.array([10.0]))
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
    hit = quick_hit(problem, event="peak", reward=reward)
    assert hit.status == Status.OK
    log_ts = jnp.log(jnp.linspace(0.0, 3 * jnp.exp(hit.log_time), 400))
    path = quick_solve(problem, log_ts=log_ts, reward=reward)
    top = float(jnp.sum(jnp.exp(hit.log_policy) * problem.success))
    assert top >= float(path.accuracy.max()) - 1e-12
    assert abs(float(jnp.exp(hit.log_time)) - float(path.time[path.accuracy.argmax()])) < float(path.time[2])
    rising = quick_hit(qra.problem.examples.worked(), event="peak")
    assert rising.status == Status.UNREACHABLE
    assert jnp.isposinf(rising.log_time)
    falling = quick_hit(qra.Problem.from_probs([0.5, 0.5], [0.6, 0.05]), event="peak", reward=reward)
    assert falling.status == Status.ALREADY_MET


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_degenerate_cases_have_defined_results(geometry):
    def status(ref, success, **options):
        return quick_hit(qra.Problem.from_probs(ref, success), geometry=geometry, **options)

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
    high = quick_hit(qra.problem.examples.worked(), 0.95, event="accuracy", geometry=geometry)
    assert high.status == Status.UNREACHABLE


def test_ties_for_best():
    # Softmax policy gradient: of equally good patterns the one with more mass wins, slowly; the natural gradient
    # keeps their ratio.
    tied = qra.Problem.from_probs([0.5, 0.2, 0.3], [0.9, 0.9, 0.1])
    assert quick_hit(tied, 0.9).status == Status.OK
    assert quick_hit(tied, 0.9, geometry="natural").status == Status.UNREACHABLE
    lesser = qra.Problem.from_probs([0.2, 0.5, 0.3], [0.9, 0.9, 0.1])
    assert quick_hit(lesser, 0.9).status == Status.UNREACHABLE
    equal = qra.Problem.from_probs([0.35, 0.35, 0.3], [0.9, 0.9, 0.1])
    assert quick_hit(equal, 0.9).status == Status.UNREACHABLE
    np.testing.assert_allclose(quick_solve(equal, jnp.array([1e6])).policy[0, :2], 0.5, atol=1e-5)


def test_invalid_input_is_a_status_under_jit():
    broken = qra.Problem(jnp.log(jnp.array([0.5, 0.5])), jnp.array([jnp.nan, 0.5]))
    hit = jax.jit(orbit.hit)(broken)
    assert hit.status == Status.INVALID
    assert jnp.isnan(hit.log_time)
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
            {"reward": qra.self_certainty(), "algorithm": qra.Algorithm("odd", qra.grpo(8).weigh, 8)},
            "algorithm: odd with G = 8 has no orbit under the real-valued reward self-certainty",
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


@pytest.fixture(scope="module")
def ten_patterns():
    return jax.jit(jax.vmap(lambda key: qra.problem.random(key, 10)))(
        jax.random.split(jax.random.key(1), 256)
    )


def test_batches_are_hits_one_by_one(ten_patterns):
    problems = jax.tree.map(lambda leaf: leaf[:70], ten_patterns)
    function = partial(orbit.hit, target=0.9)
    single = jax.jit(jax.vmap(function))(problems)
    for block, chunk, workers in ((1, 70, 1), (8, 16, 2), (None, 8192, None)):
        batch = qra.many(function, block=block, chunk=chunk, workers=workers)(problems)
        np.testing.assert_array_equal(batch.status, single.status)
        # Another block is another vectorisation: logarithms differ in the last bit, panels in their last digits.
        np.testing.assert_allclose(batch.log_time, single.log_time, rtol=0, atol=1e-8)
        np.testing.assert_allclose(batch.log_policy, single.log_policy, atol=1e-7)


def test_batches_report_progress_and_reject_single_problems(ten_patterns):
    problems = jax.tree.map(lambda leaf: leaf[:40], ten_patterns)
    counts = []
    many = qra.many(partial(orbit.hit, target=0.9), block=8, chunk=16, workers=2)
    many(problems, progress=counts.append)
    assert sum(counts) == 40
    assert len(counts) > 1
    with pytest.raises(ValueError, match="problems: shape"):
        many(qra.problem.examples.worked())
    with pytest.raises(ValueError, match="problem: shape"):
        orbit.hit(problems)


def test_batches_take_a_target_for_each_problem(ten_patterns):
    problems = jax.tree.map(lambda leaf: leaf[:4], ten_patterns)
    targets = np.array([0.3, 0.6, 0.9, 0.99])
    each = qra.many(orbit.log_hitting_time)(problems, targets)
    alike = [qra.many(partial(orbit.log_hitting_time, target=target))(problems) for target in targets]
    np.testing.assert_array_equal(each, np.diag(np.stack(alike)))
    with pytest.raises(ValueError, match=r"target: shape \(3,\); must be one number, or 4"):
        qra.many(orbit.hit)(problems, targets[:3])
    with pytest.raises(ValueError, match=r"target\[1\]: 1.5; must be in \(0, 1\)"):
        qra.many(orbit.hit)(problems, np.array([0.5, 1.5, 0.5, 0.5]))


def test_the_end_of_entanglement_has_a_batched_form(ten_patterns):
    problems = jax.tree.map(lambda leaf: leaf[:8], ten_patterns)
    sure = jnp.where(jnp.arange(10)[None] == problems.best[:4, None], 0.9991, 0.0001)
    problems = problems.with_ref(problems.log_ref.at[:4].set(jnp.log(sure)))
    batch = qra.many(orbit.log_transition_time)(problems)
    single = jax.jit(jax.vmap(orbit.log_transition_time))(problems)
    assert np.isneginf(single[:4]).all()
    assert np.isfinite(single[4:]).all()
    np.testing.assert_allclose(batch, single, rtol=0, atol=1e-8)


def test_work_stays_small(ten_patterns):
    hits = qra.many(orbit.hit)(ten_patterns)
    assert np.all(hits.status == Status.OK)
    assert hits.panels.mean() < 20


def test_one_program_serves_batches_of_many_sizes_and_every_parameter(ten_patterns):
    hits = partial(orbit.hit, target=0.95, algorithm=qra.tsallis(0.5))
    qra.many(hits)(ten_patterns)
    traced = []
    with mock.patch.object(orbit_batch.hitting, "find_many", side_effect=traced.append):
        for count, q in ((3, 0.1), (70, 0.5), (256, 0.9)):
            part = jax.tree.map(lambda leaf: leaf[:count], ten_patterns)  # noqa: B023
            assert qra.many(partial(hits, algorithm=qra.tsallis(q)))(part).ok.all()
    assert not traced


def test_one_compilation_serves_every_parameter():
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def log_time(problem, target, algorithm, reward):
        return orbit.log_hitting_time(problem, target, algorithm=algorithm, reward=reward)

    for q, tpr, target in ((0.0, 1.0, 0.9), (0.5, 0.9, 0.95), (1.0, 0.8, 0.99)):
        problem = qra.problem.random(jax.random.key(int(10 * q)), 3)
        log_time(problem, target, qra.tsallis(q), qra.verifiable(tpr, 0.1))


def test_no_peak_where_accuracy_never_falls():
    problems = jax.vmap(lambda key: qra.problem.random(key, 6))(jax.random.split(jax.random.key(1), 300))
    assert jnp.all(qra.many(partial(orbit.hit, event="peak"))(problems).status == Status.UNREACHABLE)


def test_masses_beyond_the_dtype_are_out_of_precision():
    for dtype, log_mass in ((jnp.float32, -90.0), (jnp.float64, -800.0)):
        problem = qra.Problem(jnp.array([log_mass, 0.0], dtype), jnp.array([0.9, 0.1], dtype))
        hit = quick_hit(problem)
        assert hit.status == Status.OUT_OF_PRECISION
        assert hit.panels < 3


def test_a_hit_says_when_and_how():
    problem = qra.problem.examples.worked()
    assert repr(quick_hit(problem)) == "Hit(t = 271, OK)"
    assert repr(quick_hit(problem, 0.01)) == "Hit(t = 0, ALREADY_MET)"
    assert repr(quick_hit(problem, reward=qra.verifiable(0.2, 0.9))) == "Hit(t = never, UNREACHABLE)"
    levels = jax.vmap(lambda target: quick_hit(problem, target))(jnp.array([0.01, 0.9, 0.99]))
    assert repr(levels) == "Hit(3 problems, OK 2, ALREADY_MET 1)"
    seen = []
    jax.jit(lambda hit: seen.append(repr(hit)) or 0)(levels)
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
        asked.append(
            lambda problem, **options: qra.many(partial(orbit.hit, **options))(qra.problem.stack([problem]))
        )
        message = message.replace("log_ref:", r"log_ref(\[0\])?:")
    for function in asked:
        with pytest.raises(ValueError, match="^" + message):
            function(problem, **options)


def test_derivatives_do_not_depend_on_how_they_are_taken():
    """The gradient goes along with the walk: however the program is compiled, both take the same panels."""
    problem, unit = qra.problem.examples.worked(), jnp.eye(3)[0]
    for algorithm in (qra.tsallis(0.5, 8), qra.grpo(8)):

        def log_time(h, algorithm=algorithm):
            asked = problem.with_ref(jnp.log((1 - h) * problem.ref + h * unit))
            return orbit.log_hitting_time(asked, 0.95, algorithm=algorithm)

        step = 1e-5
        expected = (log_time(step) - log_time(-step)) / (2 * step)
        for slope in (
            jax.grad(log_time)(0.0),
            jax.jit(jax.grad(log_time))(0.0),
            jax.grad(jax.jit(log_time))(0.0),
            jax.jvp(log_time, (0.0,), (1.0,))[1],
        ):
            np.testing.assert_allclose(slope, expected, rtol=1e-6)

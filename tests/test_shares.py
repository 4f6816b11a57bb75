"""Measured shares of patterns: the orbit they run on, the test of its first integral, files, words."""

import io
import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from scipy.integrate import solve_ivp

from qra_jax import flow, orbit, theory
from qra_jax.algorithm import grpo, reinforce
from qra_jax.fit import shares
from qra_jax.fit.shares import estimate, found as limits, lines as shares_orbit, report as shares_report
from qra_jax.problem import Problem
from qra_jax.regularizer import reverse_kl

REF, SUCCESS = (0.05, 0.70, 0.25), (0.9, 0.6, 0.1)
FOUR = (0.05, 0.45, 0.3, 0.2), (0.9, 0.6, 0.1, 0.4)


def path(ts, *, ref=REF, success=SUCCESS, **options):
    return np.asarray(flow.solve(Problem.from_probs(ref=ref, success=success), ts=ts, **options).policy)


def mutation(ts, rate):
    """dπ_r/dt of the policy gradient, and a leak of all patterns into all."""
    p = np.array(SUCCESS)

    def speed(_, theta):
        policy = np.exp(theta - theta.max())
        policy /= policy.sum()
        return policy * (p - policy @ p) + rate * (1 / (3 * policy) - 1)

    theta = solve_ivp(speed, (0, ts[-1]), np.log(REF), t_eval=ts, rtol=1e-10, atol=1e-12).y.T
    policy = np.exp(theta)
    return policy / policy.sum(axis=1, keepdims=True)


def drawn(policy, n, seed):
    return np.random.default_rng(seed).multinomial(n, policy / policy.sum(axis=1, keepdims=True)) / n


def chance(steps, x, n, seed, draws=19):
    """Of the test of the softmax orbit alone."""
    steps, x, size, *_ = limits.checked(steps, x, n, None, None, (), draws)
    found = estimate._tried(np.random.default_rng(seed), x, size, shares_orbit.SOFTMAX, None, 1.0, draws)
    return found.test(steps).chance


@pytest.fixture(scope="module")
def exact():
    ts = np.linspace(0, 200, 15)
    return ts, np.asarray(orbit.solve(Problem.from_probs(ref=REF, success=SUCCESS), ts=ts).policy)


# the orbit


def test_exact_data_give_a_constant_first_integral_and_the_orbit_itself(exact):
    ts, policy = exact
    found = shares.fit(ts, policy, 1e8, draws=19)
    np.testing.assert_allclose(found.policy, policy, atol=1e-8)
    relative = (np.array(SUCCESS) - 0.1) / 0.8
    np.testing.assert_allclose(found.rates, relative, atol=1e-6)
    np.testing.assert_allclose(np.ptp(found.integral[1:], axis=0), 0, atol=1e-8)
    np.testing.assert_allclose(found.integral[1:], np.broadcast_to(1 - relative, (14, 3)), atol=1e-7)
    problem = Problem.from_probs(ref=REF, success=SUCCESS)
    np.testing.assert_allclose(theory.first_integral(problem, jnp.log(found.policy[1:])), 1, atol=1e-6)
    np.testing.assert_allclose(
        found.tau, 0.8 * theory.orbit_time(problem, jnp.log(policy)), rtol=1e-6, atol=1e-9
    )
    assert found.softmax.statistic < 1e-6
    assert found.natural.chance <= limits.LEVEL
    assert found.verdict == "one orbit"


def test_given_success_rates_give_the_orbit_time(exact):
    ts, policy = exact
    found = shares.fit(ts, policy, 1e8, SUCCESS, draws=19)
    problem = Problem.from_probs(ref=REF, success=SUCCESS)
    np.testing.assert_allclose(found.tau, theory.orbit_time(problem, jnp.log(policy)), rtol=1e-6, atol=1e-9)
    assert found.verdict == "one orbit"
    other = shares.fit(ts, policy, 2000, [0.9, 0.2, 0.1], draws=19)  # other rates, another orbit
    assert other.verdict == "no orbit"


def test_softmax_coordinates_are_the_closed_form():
    rng = np.random.default_rng(0)
    policy = rng.dirichlet(np.ones(4), 5)
    for geometry in (shares_orbit.SOFTMAX, shares_orbit.NATURAL):
        v = shares_orbit.coordinates(policy, geometry) + rng.normal(size=(5, 1))
        np.testing.assert_allclose(shares_orbit.policy(v, geometry)[0], policy, rtol=1e-10)


@pytest.mark.parametrize("geometry", [shares_orbit.SOFTMAX, shares_orbit.NATURAL])
def test_slope_and_information_are_those_of_the_likelihood(geometry):
    rng = np.random.default_rng(1)
    line = shares_orbit.Lines(*(rng.normal(size=shape) for shape in ((1, 4), (1, 4), (1, 3))), geometry)
    x, n = rng.dirichlet(np.ones(4), (1, 3)), np.full((1, 3), 50.0)

    def value(a):
        moved = shares_orbit.Lines(a[None], line.b, line.s, geometry)
        return shares_orbit.information(moved, x, n)[0][0]

    _, slope, root = shares_orbit.information(line, x, n)
    info = np.swapaxes(root, 2, 3) @ root
    step = 1e-6 * np.eye(4)
    numeric = [(value(line.a[0] + one) - value(line.a[0] - one)) / 2e-6 for one in step]
    np.testing.assert_allclose(slope[0].sum(axis=0), numeric, rtol=1e-5, atol=1e-5)
    exact = line.policy[0, 0]  # mean squared slope over draws from the line is the information
    many = np.random.default_rng(2).multinomial(50, exact, 40_000) / 50
    wide = shares_orbit.Lines(line.a, line.b, np.broadcast_to(line.s[:, :1], (1, len(many))), geometry)
    each = shares_orbit.information(wide, many[None], np.full((1, len(many)), 50.0))[1][0]
    scale = np.abs(info[0, 0]).max()
    np.testing.assert_allclose(each.T @ each / len(each), info[0, 0], atol=0.04 * scale)


def test_parameters_are_recovered_from_counts():
    ts, (ref, success) = np.linspace(0, 120, 24), FOUR
    policy = path(ts, ref=ref, success=success)
    relative = (np.array(success) - 0.1) / 0.8
    accuracy = np.random.default_rng(0).binomial(2000, policy @ np.array(success)) / 2000
    found = shares.fit(ts, drawn(policy, 2000, 1), 2000, accuracy=accuracy, draws=79)
    np.testing.assert_allclose(found.policy, policy, atol=0.025)
    np.testing.assert_allclose(found.rates, relative, atol=0.06)
    np.testing.assert_allclose(found.success[:, 0], success, atol=0.08)
    wide = found.between[:, 1] - found.between[:, 0]
    assert (wide < 0.15).all()
    assert wide[found.rates.argmax()] == wide[found.rates.argmin()] == 0
    assert found.verdict == "one orbit"
    order = [2, 0, 3, 1]
    again = shares.fit(ts, drawn(policy, 2000, 1)[:, order], 2000, draws=19)
    np.testing.assert_allclose(again.rates, found.rates[order], atol=1e-5)
    np.testing.assert_allclose(again.softmax.statistic, found.softmax.statistic, rtol=1e-4)


def test_a_rare_pattern_does_not_set_the_scale():
    ts, ref, success = np.linspace(0, 100, 24), (0.05, 0.65, 0.28, 0.02), (0.9, 0.6, 0.2, 0.0)
    x = drawn(path(ts, ref=(*ref[:3], 0.02 - 1e-4, 1e-4), success=(*success, 0.95)), 1500, 0)
    found = shares.fit(ts, x, 1500, draws=19)
    kept = found.rates[:3]
    assert (found.ends[0], found.rates[found.ends[0]]) == (0, 1)
    np.testing.assert_allclose((kept[1] - kept[2]) / (1 - kept[2]), 4 / 7, atol=0.12)
    assert np.ptp(found.between[4]) > 2
    assert "unknown" in words(found, shares.Shares(ts, x, found.names, None, None, "run", ()))


# the test


def test_the_level_is_right_on_the_orbit_whatever_the_clock():
    ts, number = np.linspace(0, 80, 14), 120
    rejected = 0
    for algorithm in (reinforce(), grpo(8)):
        policy = path(ts, algorithm=algorithm)
        rejected += sum(chance(ts, drawn(policy, 400, i), 400, i) <= limits.LEVEL for i in range(number))
    # 240 data sets at 5 %: 12 ± 3.4
    assert 3 <= rejected <= 23


DEPARTURES = {
    "reverse KL": lambda ts: path(ts, regularizers=[reverse_kl(0.08)]),
    "natural gradient": lambda ts: path(ts / 20, geometry="natural"),
    "mutation": lambda ts: mutation(ts, 0.02),
}


@pytest.mark.parametrize("name", DEPARTURES)
def test_flows_that_leave_the_orbit_are_rejected(name):
    ts = np.linspace(0, 160, 20)
    policy = DEPARTURES[name](ts)
    rejected = sum(chance(ts, drawn(policy, 1500, i), 1500, i) <= limits.LEVEL for i in range(12))
    assert rejected >= 10


def test_natural_gradient_is_told_from_softmax():
    ts = np.linspace(0, 8, 20)
    found = shares.fit(ts, drawn(path(ts, geometry="natural"), 1500, 0), 1500, draws=59)
    assert found.verdict == "no orbit"
    assert found.natural.chance > limits.LEVEL
    assert found.softmax.off > 0.02


def test_what_few_samples_cannot_tell_is_said():
    ts = np.linspace(0, 40, 10)
    found = shares.fit(ts, drawn(path(ts), 60, 0), 60, draws=39)
    assert found.verdict == "cannot be told"
    assert found.power < limits.POWER
    still = shares.fit(ts, drawn(np.broadcast_to(REF, (10, 3)), 300, 0), 300, draws=39)
    assert still.verdict == "cannot be told"
    assert still.moved > limits.LEVEL


def test_a_departure_as_large_as_visible_is_seen():
    """Four times in five at least: what is promised holds for the smooth departure that is hardest to see."""
    ts, n = np.linspace(0, 160, 20), 300
    promised = shares.fit(ts, drawn(path(ts), n, 0), n, draws=19).visible
    policy = mutation(ts, 0.01)
    off = shares.fit(ts, policy, 1e6, draws=19).softmax.off
    assert 0.7 * promised < off < 1.5 * promised
    rejected = sum(chance(ts, drawn(policy, n, i), n, i) <= limits.LEVEL for i in range(20))
    assert rejected >= 16


def test_shares_that_turn_back_are_on_no_orbit(exact):
    _, policy = exact
    there = np.concatenate([policy[:8], policy[6::-1]])
    found = shares.fit(np.arange(15.0), drawn(there, 3000, 0), 3000, draws=199)
    assert found.back <= limits.BACK
    assert found.verdict == "no orbit"


def test_overdispersed_counts_are_no_departure():
    """Shares of 40 questions of ten completions each vary more than 400 completions would."""
    ts, rng = np.linspace(0, 120, 30), np.random.default_rng(0)
    policy = path(ts)
    each = [np.mean([rng.dirichlet(4 * row) for _ in range(100)], axis=0) for row in policy]
    found = shares.fit(ts, np.array(each), 4000, draws=59)
    assert found.dispersion > 3
    assert found.softmax.chance > limits.LEVEL
    unknown = shares.fit(ts, np.array(each), draws=59)
    assert np.isnan(unknown.dispersion)
    assert 250 < np.median(unknown.samples) < 1200  # 100 draws of concentration 4: as much as 500
    assert unknown.softmax.chance > limits.LEVEL


# bad input

GOOD = np.full((6, 3), 1 / 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shares": np.full((6, 3), 0.5)}, r"shares: .* with sum 1.5; must be zero or above and sum to 1"),
        ({"shares": np.full((6, 2), 0.5)}, "2 patterns that occur; must be three or more: two shares run on"),
        ({"shares": GOOD * [1.5, 1.5, 0]}, "2 patterns that occur"),
        ({"shares": GOOD[:5]}, r"shares: shape \(5, 3\) for \(6,\) steps"),
        ({"steps": [0, 1, 2, 3, 3, 4]}, "steps: 6 of them; must be 5 or more"),
        ({"n": 0}, "n: 0; must be 1 or above"),
        ({"success": [1, 1, 1]}, "success: .* not all the same"),
        ({"success": [1, 2, 0]}, "success: .* rates in"),
        ({"accuracy": [0.5]}, r"accuracy: shape \(1,\); must be 6 rates"),
        ({"names": ("a",)}, "names: 1 of them; must be 3"),
        ({"draws": 3}, "draws: 3; must be 19 or above"),
    ],
)
def test_bad_input_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        shares.fit(**{"steps": np.arange(6), "shares": GOOD, "n": 100} | change)


def test_degenerate_shares_give_no_warning():
    ts = np.arange(8)
    corner = np.tile([1.0, 0, 0], (8, 1))
    corner[0] = [0.5, 0.3, 0.2]
    corner[1] = [0.9, 0.1, 0]
    found = shares.fit(ts, corner, 50, draws=19)
    assert np.isfinite(found.policy).all()
    assert found.verdict in ("one orbit", "no orbit", "cannot be told")


# files


def written(folder, header, rows, name="shares.csv"):
    file = folder / name
    file.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return file


@pytest.fixture
def table(tmp_path):
    ts = np.linspace(0, 160, 20)
    policy = path(ts)
    x = drawn(policy, 800, 0)
    accuracy = np.random.default_rng(0).binomial(800, policy @ np.array(SUCCESS)) / 800
    rows = [(int(t), *np.round(row, 5), a, 800, 0.1) for t, row, a in zip(ts, x, accuracy, strict=True)]
    return written(tmp_path, "step,share/proof,share/guess,share/lookup,accuracy,n,entropy", rows)


def test_columns_with_sum_one_are_found(table):
    assert shares.has_shares(table)
    found = shares.read(table)
    assert found.names == ("proof", "guess", "lookup")
    assert found.shares.shape == (20, 3)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)
    assert (found.samples == 800).all()
    assert found.accuracy is not None
    named = shares.read(table, columns=["share/guess", "share/proof", "share/lookup"])
    np.testing.assert_allclose(named.shares[:, 1], found.shares[:, 0])


def test_per_cent_json_lines_and_granularity(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.multinomial(40, [0.2, 0.5, 0.3], 12) / 40
    file = tmp_path / "log.jsonl"
    lines = [{"step": i, "a": 100 * r[0], "b": 100 * r[1], "c": 100 * r[2]} for i, r in enumerate(x)]
    file.write_text("\n".join(map(json.dumps, lines)))
    found = shares.read(file)
    np.testing.assert_allclose(found.shares, x, atol=1e-9)
    assert (found.samples == 40).all()
    assert "per cent" in " ".join(found.notes)


def test_restarts_and_gaps(tmp_path):
    rows = [
        (0, 0.5, 0.3, 0.2),
        (1, 0.6, 0.2, 0.2),
        (2, 0.1, 0.1, 0.8),
        (1, 0.7, 0.2, 0.1),
        (2, 0.8, 0.1, 0.1),
    ]
    rows += [(3, "", 0.1, 0.1), (4, 0.9, 0.05, 0.05)]
    found = shares.read(written(tmp_path, "step,a,b,c", rows), keep="last")
    assert found.steps.tolist() == [0, 1, 2, 4]
    np.testing.assert_allclose(found.shares[:, 0], [0.5, 0.7, 0.8, 0.9])


COUNTS = "step,accuracy,avg_checks,avg_backtracks,avg_subgoals,n"
MARKS = [(i, 0.1 * i, 0.5 + i, 1.2, 2.0 - 0.1 * i, 200) for i in range(6)]


def test_counts_per_completion_are_refused_unless_normalised(tmp_path):
    file, columns = written(tmp_path, COUNTS, MARKS), ["avg_checks", "avg_backtracks", "avg_subgoals"]
    assert not shares.has_shares(file)
    with pytest.raises(ValueError, match=r"no columns .* that sum to 1 at every step"):
        shares.read(file)
    with pytest.raises(
        ValueError, match=r"is 3.7 at step 0 and 8.2 at step 5; must be 1 .* no shares of patterns"
    ):
        shares.read(file, columns=columns)
    found = shares.read(file, columns=columns, normalise=True)
    np.testing.assert_allclose(found.shares[0], np.array([0.5, 1.2, 2.0]) / 3.7)
    assert found.samples[0] == 740
    assert found.names == ("checks", "backtracks", "subgoals")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (
            "step,train/baseline_reward/pct_0,train/baseline_reward/pct_1,train/baseline_reward/pct_mixed",
            None,
        ),
        ("step,accuracy,error", lambda i: (i, i / 9, 1 - i / 9)),  # two that sum to one are no patterns
        ("step,accuracy,kl,entropy", lambda i: (i, i / 9, 0.2, 0.3)),
    ],
)
def test_other_columns_are_not_taken_for_shares(tmp_path, header, row):
    row = row or (lambda i: (i, 0.5 - i / 20, 0.1 + i / 20, 0.4))
    assert not shares.has_shares(written(tmp_path, header, map(row, range(8))))
    assert not shares.has_shares(tmp_path / "missing.csv")
    assert not shares.has_shares(tmp_path)


def test_shares_among_many_columns_and_of_many_patterns(tmp_path):
    x = np.random.default_rng(0).dirichlet(np.ones(14), 9).round(3)
    x[:, -1] = 1 - x[:, :-1].sum(axis=1)
    names = [f"share/{i}" for i in range(14)]
    noise = [f"other_{i}" for i in range(9)]
    rows = [(i, *row, *np.random.default_rng(i).uniform(size=9).round(3)) for i, row in enumerate(x.round(3))]
    file = written(tmp_path, ",".join(["step", *names, *noise]), rows)
    assert shares.has_shares(file)
    assert shares.read(file).names == tuple(map(str, range(14)))


def test_shares_are_recognised_and_fitted_without_jax(table):
    program = (
        "import sys; from qra_jax.fit import shares; from qra_jax.fit.shares import report as r\n"
        f"assert shares.has_shares({str(table)!r}); m = shares.read({str(table)!r}); f = r.answer(m); r.draw(f)\n"
        "r.show(f, m); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


# words


def words(found, measured):
    page = Console(file=io.StringIO(), width=500, highlight=False)
    shares_report.show(found, measured, page)
    return page.file.getvalue()


def test_words_json_and_figure_agree_with_the_fit(table):
    measured = shares.read(table)
    found = shares_report.answer(measured)
    text = words(found, measured)
    assert found.verdict == "one orbit"
    assert "One orbit: yes. The first integral stays constant" in text
    assert "The orbit of the natural gradient" in text
    assert "is rejected" in text
    assert f"{found.rates[1]:.2f} [" in text
    read = json.loads(shares_report.to_json(found, measured))
    assert read["verdict"] == "one orbit"
    assert read["softmax"]["chance"] == found.softmax.chance
    assert read["integral"][0][0] is None or isinstance(read["integral"][0][0], float)
    figure = shares_report.draw(found)
    assert figure.axes[0].get_title(loc="left") == "The shares run on one orbit"


def test_words_of_a_departure_say_how_far_and_where():
    ts = np.linspace(0, 160, 20)
    x = drawn(mutation(ts, 0.02), 1500, 0)
    measured = shares.Shares(ts, x, ("a", "b", "c"), np.full(20, 1500.0), None, "run", ())
    found = shares_report.answer(measured)
    text = words(found, measured)
    assert "One orbit: no. The first integral of the softmax policy gradient does not stay constant" in text
    assert f"off by up to {found.softmax.off:.2g}" in text
    assert "nearest orbit: they describe it, not the run" in text

"""Histories of many questions: tables are read or refused, clocks recovered on two patterns, and hidden by several."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from qra_jax import algorithm, theory
from qra_jax.fit.questions import (
    Histories,
    MeasuredRun,
    QuestionModel,
    bins,
    clock_exponent,
    clock_tables,
    free,
    hierarchy,
    likelihood,
    populations,
    read_histories,
)

GROUP, SIZE, VISITS = 8, 120, 15
TABLES, Z0 = clock_tables(GROUP), jnp.linspace(-9, 9, 31)
POWERS = {"natural gradient": 0.0, "GRPO, mean field": 0.5, "REINFORCE": 1.0}


def made_by(name: str, seed: int = 0, visits: int = VISITS, size: int = SIZE) -> Histories:
    rng = np.random.default_rng(seed)
    own = populations.orbits(*populations.two_patterns(rng.normal(-1, 2, size)))
    table = own.under(populations.log_power(own.accuracy, POWERS[name]))
    return populations.sample(rng, table, group_size=GROUP, visits=visits)


def path_of(table, z0, course):
    return np.asarray(jax.jit(likelihood.logits)(jnp.asarray(table), jnp.asarray(z0), jnp.asarray(course)))


# reading


def write(folder: Path, text: str) -> Path:
    path = folder / "histories.csv"
    path.write_text(text)
    return path


def test_a_table_is_read_with_its_gaps(tmp_path):
    found = read_histories(write(tmp_path, "prompt_id,visit1,source,visit2\nx,.125,a,\ny,1,b,.5\n"))
    assert found.group_size == 8
    assert found.names == ("x", "y")
    np.testing.assert_array_equal(found.correct, [[1, 0], [8, 4]])
    np.testing.assert_array_equal(found.seen, [[True, False], [True, True]])
    np.testing.assert_allclose(found.accuracy(), [0.125, 0.75])
    assert np.isnan(found.accuracy(slice(1, 2))[0])
    assert found.part(np.array([1])).names == ("y",)
    rounded = read_histories(write(tmp_path, "visit1,visit2\n.12,.38\n.62,.88\n"))
    assert rounded.group_size == 8
    given = read_histories(write(tmp_path, "visit1,visit2\n0,.5\n"), group_size=16)
    np.testing.assert_array_equal(given.correct, [[0, 8]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("step,accuracy\n1,.5\n", "0 columns visit1"),
        ("visit1,visit2\n", "no rows"),
        ("visit1,visit2,visit2\n1,0,0\n", "twice"),
        ("visit1,visit2\n1\n", "1 cell; must be 2"),
        ("visit1,visit2\n1,1.5\n", "column visit2: 1.5; must be in"),
        ("visit1,visit2\n1,abc\n", "not a number"),
        ("visit1,visit2\n,\n,nan\n", "no value"),
        ("prompt_id,visit1,visit2\na,0,1\na,0,1\n", "row 3: prompt_id 'a' is in row 2"),
        ("visit1,visit2\n0.123456,.876543\n0.314159,.271828\n", "not multiples"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_histories(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_other_refusals(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_histories(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="multiple of 1/3"):
        read_histories(write(tmp_path, "visit1,visit2\n0,.5\n"), group_size=3)
    with pytest.raises(ValueError, match="must have 2 or more"):
        clock_exponent(made_by("REINFORCE").part(visits=slice(0, 1)))
    with pytest.raises(ValueError, match="rates"):
        QuestionModel(rates="any")


# clocks and likelihood


def test_paths_follow_the_closed_forms():
    z0, course = np.array([-3.0, -0.5, 1.0]), np.array([0.0, 0.7, 2.0])
    names = {
        "natural gradient": ("natural", 1),
        "GRPO, mean field": ("grpo", 1),
        "REINFORCE": ("reinforce", 2),
    }
    for name, (closed, scale) in names.items():
        path = path_of(TABLES[name], z0, course)
        exact = theory.two_pattern_logit(jnp.asarray(z0)[:, None], scale * jnp.asarray(course)[None], closed)
        np.testing.assert_allclose(path, exact, atol=2e-4)


def test_grpo_has_its_exact_clock():
    rho = 1 / (1 + np.exp(-likelihood.FINE))
    exact = rho * (1 - rho) * np.asarray(algorithm.grpo(GROUP).clock(jnp.asarray(rho)))
    np.testing.assert_allclose(np.exp(TABLES[f"GRPO, G = {GROUP}"]), exact / exact[len(rho) // 2], rtol=1e-4)
    assert "GRPO, G = 1" not in clock_tables(1)


def kinds(run: Histories, model: QuestionModel, *theta: float) -> np.ndarray:
    fitting = MeasuredRun(run, model)
    args = (jnp.zeros(len(likelihood.FINE)), Z0, fitting.right, fitting.wrong)
    return np.asarray(jax.jit(likelihood.log_likelihood, static_argnums=0)(model, jnp.array(theta), *args))


def test_missing_visits_are_left_out():
    run, missing = made_by("REINFORCE").part(slice(0, 20)), 4
    gap = Histories(run.correct, np.arange(VISITS)[None] != np.full((20, 1), missing), GROUP, run.names)
    difference = kinds(run, QuestionModel(), 0.5, -2.5) - kinds(gap, QuestionModel(), 0.5, -2.5)
    path = path_of(TABLES["GRPO, mean field"], Z0, [missing * np.exp(-2.5)])
    right = run.correct[:, missing, None]
    visit = -right * np.logaddexp(0, -path[:, 0]) - (GROUP - right) * np.logaddexp(0, path[:, 0])
    np.testing.assert_allclose(difference, visit, atol=1e-8)


def test_a_drift_of_nothing_is_no_drift():
    run = made_by("GRPO, mean field").part(slice(0, 20))
    still, plain = (
        kinds(run, QuestionModel(drift=True), 0.5, -2.5, -20.0),
        kinds(run, QuestionModel(), 0.5, -2.5),
    )
    likely = plain > plain.max(axis=1, keepdims=True) - 30
    np.testing.assert_allclose(still[likely], plain[likely], rtol=1e-6)
    moving = kinds(run, QuestionModel(drift=True), 0.5, -2.5, -2.0)
    assert np.abs(moving[likely] - plain[likely]).max() > 0.1


# estimate


@pytest.fixture(scope="module")
def estimates():
    return {
        name: clock_exponent(made_by(name), bootstrap=20, controls=False)
        for name in ("natural gradient", "GRPO, mean field", "REINFORCE")
    }


def test_the_clock_is_recovered(estimates):
    for name, found in estimates.items():
        low, high = found.interval
        width = (high - low) / 2
        assert abs(found.exponent - POWERS[name]) < 1.7 * width  # 3.3 standard errors
        assert low < found.exponent < high
        assert found.bootstrap[0] < found.exponent < found.bootstrap[1]
        assert 0.3 < (found.bootstrap[1] - found.bootstrap[0]) / (high - low) < 3
        assert found.clocks[name].difference < 2 * found.clocks[name].deviation + 1e-9
        assert abs(found.dispersion_z) < 3.5
        assert found.identified
    assert estimates["natural gradient"].interval[1] < estimates["REINFORCE"].interval[0]
    assert estimates["REINFORCE"].clocks["natural gradient ÷ std"].z > 3
    assert "exponent a" in estimates["REINFORCE"].summary()


def test_intervals_cover_about_as_often_as_they_say():
    excess = []
    for seed in range(12):
        fitting = MeasuredRun(made_by("GRPO, mean field", seed + 10))
        best, true = fitting.fit(), fitting.fit(exponent=0.5)
        excess.append(2 * float(best.log_likelihood.sum() - true.log_likelihood.sum()))
    assert (np.array(excess) > -1e-2).all()
    assert (np.array(excess) > 3.84).sum() <= 3  # 12 draws of 5 %: more than 3 has a chance of .0002
    assert (
        np.array(excess) > 0.0158
    ).sum() >= 6  # the 10 % quantile: fewer than 6 of 12 has a chance of 1e-5


def test_a_run_without_movement_does_not_identify_the_exponent():
    rng = np.random.default_rng(0)
    rho = 1 / (1 + np.exp(-rng.normal(-1, 2, SIZE)))
    correct = rng.binomial(GROUP, np.repeat(rho[:, None], VISITS, axis=1))
    still = Histories(correct, np.ones(correct.shape, bool), GROUP, tuple(map(str, range(SIZE))))
    found = clock_exponent(still, bootstrap=0, clocks=False, controls=False)
    assert not found.identified
    assert "do not identify" in found.summary()
    assert np.isnan(found.bootstrap).all()


# several patterns


def test_orbits_of_two_patterns_have_their_closed_forms():
    z0 = np.array([-5.0, -1.0, 0.5])
    own = populations.orbits(*populations.two_patterns(z0))
    inside = populations.GRID < 4
    times = populations.GRID[inside]
    for a, (closed, scale) in {0.0: ("natural", 0.5), 0.5: ("grpo", 0.5), 1.0: ("reinforce", 1.0)}.items():
        found = special.logit(own.under(populations.log_power(own.accuracy, a))[:, inside])
        exact = theory.two_pattern_logit(jnp.asarray(z0)[:, None], scale * jnp.asarray(times)[None], closed)
        np.testing.assert_allclose(found, exact, atol=0.02)


def test_accuracy_rises_by_the_square_of_the_policy():
    ref, success = populations.draw(np.random.default_rng(0), 50, patterns=6)
    own = populations.orbits(ref, success)
    rho = (ref * success).sum(axis=1)
    np.testing.assert_allclose(own.accuracy[:, 0], rho, rtol=1e-12)
    speed = (ref**2 * (success - rho[:, None]) ** 2).sum(axis=1)
    np.testing.assert_allclose((own.accuracy[:, 1] - rho) / own.time[1], speed, rtol=0.05, atol=1e-5)
    assert (np.diff(own.accuracy, axis=1) > -1e-9).all()
    assert (own.accuracy[:, -1] <= success.max(axis=1) + 1e-9).all()


def test_grpo_of_populations_has_its_exact_clock():
    rho = np.array([[0.01, 0.3, 0.5, 0.99]])
    exact = np.log(algorithm.grpo(GROUP).clock(jnp.asarray(rho)))
    np.testing.assert_allclose(populations.log_grpo(rho, GROUP), exact, atol=1e-4)


def test_a_run_rises_as_asked_and_no_further():
    rng = np.random.default_rng(1)
    own = populations.orbits(*populations.draw(rng, 400, concentration=1.0))
    found = populations.sample(rng, own.under(populations.log_power(own.accuracy, 1.0)), rise=0.1, visits=30)
    rise = found.accuracy(slice(-3, None)).mean() - found.accuracy(slice(0, 3)).mean()
    assert abs(rise - 0.1 * 27 / 29) < 0.02
    with pytest.raises(ValueError, match="patterns"):
        populations.draw(rng, 3, patterns=1)


def test_several_patterns_hide_the_clock():
    rng = np.random.default_rng(2)
    found = clock_exponent(populations.tabular(rng, 300), bootstrap=0, clocks=False)
    assert found.exponent < 0.3  # GRPO with G = 8 has .75 on two patterns
    assert "only if every question has two patterns" in found.summary()
    assert set(found.controls) == {"κ = 2", "κ = 6"}
    assert abs(found.controls["κ = 6"] - found.exponent) < 0.3


def test_bins_agree_with_the_clock_that_made_the_histories():
    found = bins.changes(made_by("natural gradient", 3, 51, 1000), ("natural gradient", "REINFORCE"))
    chi2 = {name: np.nansum(((found.change - x) / found.error) ** 2) for name, x in found.expected.items()}
    assert chi2["natural gradient"] < chi2["REINFORCE"]
    with pytest.raises(ValueError, match="must have 20"):
        bins.changes(made_by("REINFORCE"), ("REINFORCE",))


def test_a_free_mixture_explains_at_least_as_well_as_its_part():
    library = free.library(np.random.default_rng(0), 1200, 200)
    run = made_by("natural gradient", 4, 34)
    two, every = (free.log_likelihoods(run, 0.0, library, two=two).sum() for two in (True, False))
    assert every > two - 8  # the library is coarser in two patterns than they are alone
    nats, deviation = free.compare(run, [0.0, 1.0], library, two=True)
    assert nats[0] == deviation[0] == 0
    assert nats[1] < 0 < deviation[1]


def test_the_hierarchical_estimator_learns_what_it_is_taught():
    drawn = hierarchy.simulate(np.random.default_rng(0), 48, questions=150)
    assert drawn.summaries.shape[0] == 48
    assert set(drawn.patterns[~drawn.several]) == {2}
    told = hierarchy.Simulated(
        **{**vars(drawn), "summaries": np.stack([drawn.exponent, drawn.exponent**2], axis=1)}
    )
    estimator = hierarchy.learn(told)
    value, half = estimator.interval(told.summaries, 0.1)
    assert abs(value - drawn.exponent).max() < 0.1
    assert (half > 0).all()
    assert estimator.strangeness(told.summaries[0] + 50) == 1.0


def test_a_real_run_is_not_two_patterns_by_reinforce(request):
    folder = request.config.getoption("--data", default=None)
    if folder is None:
        pytest.skip("needs --data DIR, a folder with a CSV file of per-question histories")
    paths = [path for path in sorted(Path(folder).glob("*.csv")) if "visit2" in path.read_text()[:400]]
    if not paths:
        pytest.skip("no per-question histories in the folder of --data")
    found = clock_exponent(read_histories(paths[0]), bootstrap=0, controls=False)
    assert found.interval[1] < 0.5
    assert found.clocks["REINFORCE"].difference > 3 * found.clocks["REINFORCE"].deviation

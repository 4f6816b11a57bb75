"""Histories of many questions: the clock that made them is found; bad tables are refused; the study's verdicts."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import algorithm, theory
from qra_jax.fit.questions import (
    Histories,
    MeasuredRun,
    QuestionModel,
    clock_exponent,
    clock_tables,
    likelihood,
    read_histories,
)
from qra_jax.studies import per_question_clocks as study
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF

GROUP, SIZE, VISITS = 8, 120, 15
TABLES, Z0 = clock_tables(GROUP), jnp.linspace(-9, 9, 31)


def made_by(name: str, seed: int = 0) -> Histories:
    rng = np.random.default_rng(seed)
    return study.simulate(rng, TABLES[name], rng.normal(-1, 2, SIZE), visits=VISITS)


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
    assert study.find(tmp_path / "nothing") is None


# clocks and likelihood


def test_paths_follow_the_closed_forms():
    z0, course = np.array([-3.0, -0.5, 1.0]), np.array([0.0, 0.7, 2.0])
    names = {
        "natural gradient": ("natural", 1),
        "GRPO, mean field": ("grpo", 1),
        "REINFORCE": ("reinforce", 2),
    }
    for name, (closed, scale) in names.items():
        path = study._path(TABLES[name], z0, course)
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
    path = study._path(TABLES["GRPO, mean field"], Z0, [missing * np.exp(-2.5)])
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
        name: clock_exponent(made_by(name), bootstrap=20)
        for name in ("natural gradient", "GRPO, mean field", "REINFORCE")
    }


def test_the_clock_is_recovered(estimates):
    for name, found in estimates.items():
        low, high = found.interval
        width = (high - low) / 2
        assert abs(found.exponent - study.TRUE[name]) < 1.7 * width  # 3.3 standard errors
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
    found = clock_exponent(still, bootstrap=0, clocks=False)
    assert not found.identified
    assert "do not identify" in found.summary()
    assert np.isnan(found.bootstrap).all()


# study


@pytest.fixture(scope="module")
def made_up():
    """A real run's data where a = 0 under every variant, in the shape that `compute` returns."""
    rng = np.random.default_rng(0)
    size = 50

    def nats(total: float) -> np.ndarray:
        own = rng.normal(size=size)
        return (total + own - own.mean()) / size

    names = list(TABLES)
    short = {"natural gradient": 0.0, "GRPO, mean field": 125.0}
    data = {
        "real": np.array(True),
        "shape": np.array([size, 51]),
        "clock_names": np.array(names),
        "clocks": np.array([-nats(short.get(name, 300.0)) for name in names]),
        "family": np.array([-nats(100.0) for _ in study.FAMILY]),
        "dispersion": np.array([1.0, 0.2]),
        "bins": np.array([[x, 1.0, 0.1, 1.0, 0.8, 0.7, 0.6] for x in (0.1, 0.5, 0.9)]),
        "control/makers": np.array([*study.TRUE, study.EXACT]),
        "control/found": np.tile([[0.0], [0.5], [1.0], [-0.5], [0.7]], (1, 4)),
        "control/excess": np.ones((5, 4)),
        "control/chosen": np.tile(np.arange(5)[:, None], (1, 4)),
        "trained/overlaps": study.OVERLAPS,
        "trained/algorithms": np.array(["GRPO"]),
        "trained/SGD": np.array([[[0.8, 0.05], [0.7, 0.05], [0.4, 0.05], [0.1, 0.05], [0.0, 0.05]]]),
        "trained/Adam": np.full((1, 5, 2), 0.05),
        "trained/sign": np.full((1, 5, 2), 0.05),
        "trained/sampled Adam": np.array([[0.2, 0.05]]),
    }
    for name in study.VARIANTS:
        best = nats(-1000.0)
        tried = np.array([best - nats(fall) for fall in (900.0, 60.0, 0.1, 90.0, 300.0)])
        data |= {f"variant/{name}/best": best, f"variant/{name}/tried": tried}
        data |= {
            f"variant/{name}/theta": np.array([0.01, -3.0]),
            f"variant/{name}/dispersion": np.array([1.0, 0.0]),
        }
    return data


def test_verdicts_follow_the_data(made_up):
    assert [row.verdict for row in study.judge(made_up)] == [HOLDS] * 11
    best = made_up["variant/lognormal rates/best"]
    moved = np.array([best - np.full(50, fall / 50) for fall in (900.0, 90.0, 40.0, 0.0, 40.0)])
    other = study.judge(
        made_up | {"variant/lognormal rates/tried": moved, "variant/lognormal rates/theta": np.array([0.5])}
    )
    assert other[2].verdict.startswith(ONLY_IF)
    assert other[3].verdict.startswith(ONLY_IF)
    wrong = {
        "clocks": made_up["clocks"][::-1],
        "family": made_up["family"] + 1e3,
        "dispersion": np.array([1.2, 5.0]),
        "bins": made_up["bins"][:, [0, 6, 2, 3, 4, 5, 1]],
        "control/chosen": 0 * made_up["control/chosen"],
        "control/excess": np.full((5, 4), 9.0),
        "trained/SGD": np.full((1, 5, 2), [0.8, 0.05]),
        "trained/sign": np.full((1, 5, 2), [0.8, 0.05]),
        "trained/Adam": np.full((1, 5, 2), [0.8, 0.05]),
    }
    for key, rows in zip(wrong, (0, 1, 4, 5, 6, 7, 8, 9, 10), strict=True):
        assert study.judge(made_up | {key: wrong[key]})[rows].verdict == FAILS, key
    for key, row in {"trained/SGD": 8, "trained/sign": 9, "trained/Adam": 10}.items():
        for error in (0.3, np.inf, np.nan):  # no verdict without information
            blind = made_up[key] * [1, 0] + [0, error]
            assert study.judge(made_up | {key: blind})[row].verdict == FAILS, key
    linear = made_up | {"trained/algorithms": np.array(["REINFORCE"])}
    assert study.judge(linear)[8].verdict == FAILS  # 0.8 ± 0.05 is not 1
    assert len(study.judge(made_up | {"real": np.array(False)})) == 5


def test_the_figure_says_what_it_shows(made_up):
    titles = [ax.get_title() for ax in study.draw(made_up).axes]
    stand_in = [ax.get_title() for ax in study.draw(made_up | {"real": np.array(False)}).axes]
    assert titles[0].startswith("Real run")
    assert stand_in[0].startswith("No real run")
    apart = made_up | {"trained/SGD": np.full((1, 5, 2), [0.8, 0.05])}
    assert titles[3] != study.draw(apart).axes[3].get_title()


def test_trained_questions_lose_their_own_clock(monkeypatch):
    monkeypatch.setattr(study, "TRAINED", SIZE)
    monkeypatch.setattr(study, "VISITS", VISITS)
    rng = np.random.default_rng(0)
    z0 = rng.normal(0, 2, SIZE)
    for overlap, expected in ((0.0, 1.0), (1.0, 0.0)):
        found, error = study._measured(rng, z0, "SGD", "REINFORCE", overlap)
        assert abs(found - expected) < 4 * error
        assert error < 0.3


def test_a_real_run_is_not_tabular(request):
    folder = request.config.getoption("--data", default=None)
    if folder is None:
        pytest.skip("needs --data DIR, " + study.DATA_NEEDED)
    histories = study.find(Path(folder))
    if histories is None:
        pytest.skip("no per-question histories in the folder of --data")
    found = clock_exponent(histories, bootstrap=0)
    assert found.interval[1] < 0.5
    assert found.clocks["REINFORCE"].difference > 3 * found.clocks["REINFORCE"].deviation

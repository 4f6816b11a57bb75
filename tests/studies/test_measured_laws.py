"""What the studies of measured runs stand on: folders, curves of growth, unbiased counts, clocks, calibration."""

import json
from itertools import product

import numpy as np
import pytest
from scipy import special, stats

from qra_jax.algorithm import grpo
from qra_jax.consult.pace import pace
from qra_jax.fit.curve import Curve
from qra_jax.population import Population
from qra_jax.studies import lab
from qra_jax.studies.runs import (
    _calibration,
    _common_shift,
    _folder,
    _growth,
    _passes,
    _silence,
    learning_rates,
    one_clock,
    pass_at_k_after,
    silent_groups,
)
from qra_jax.studies.runs._growth import Growth, Points

STUDIES = [one_clock, pass_at_k_after, silent_groups, learning_rates]
TRUE = Growth(0.1, 0.8, 20.0, 1.5)


def points(accuracy, samples=1e4, time=None):
    accuracy = np.asarray(accuracy, float)
    time = np.arange(len(accuracy), dtype=float) if time is None else np.asarray(time, float)
    return Points(time, accuracy, np.full(len(accuracy), float(samples)))


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    for study in STUDIES:
        monkeypatch.setattr(study, "DRAWS", 6)


# a folder of runs


def entry(name, **more):
    return {
        "name": name,
        "repo": "a/b",
        "model": "X-1.5B (LoRA)",
        "group_size": 8,
        "lr": 1e-6,
        "task": "sums",
    } | more


def write(folder, name, steps, accuracy, **columns):
    names = ["step", "accuracy", *columns]
    rows = zip(steps, accuracy, *columns.values(), strict=True)
    lines = [",".join(names), *(",".join(f"{x:.10g}" for x in row) for row in rows)]
    (folder / f"{name}.csv").write_text("\n".join(lines))


def index(folder, *entries):
    (folder / "index.jsonl").write_text("\n".join(map(json.dumps, entries)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of three codes that share a shift, one of them at three rates and three group sizes; and histories."""
    place, entries = tmp_path_factory.mktemp("runs"), []
    settings = [("a", lr, 8, 2e4) for lr in (1e-6, 4e-6, 1.6e-5)]
    settings += [("a", 4e-6, group, 2e4) for group in (4, 16)] + [("b", 1e-5, 8, 500.0), ("c", 1e-6, 8, 3e5)]
    for number, (code, lr, group, factor) in enumerate(settings):
        rng = np.random.default_rng(number)
        rates = rng.choice((one := Population.around(0.25)).rates, 3000, p=one.weights)
        _, accuracy, silent = _common_shift.trained(
            rng, rates, eta=factor * lr, steps=60, group=group, batch=128
        )
        more = {"frac_zero_std": silent} if code == "b" else {}
        write(place, f"run{number}", np.arange(1, 61), accuracy, lr=np.full(60, lr), **more)
        entries.append(entry(f"run{number}", repo=f"{code}/x", lr=lr, group_size=group))
    index(place, *entries)
    rng = np.random.default_rng(9)
    rates = np.clip(rng.beta(0.5, 1.0, 400), 1e-6, 1 - 1e-6)
    visits = [rng.binomial(8, special.expit(special.logit(rates) + 0.05 * visit)) / 8 for visit in range(12)]
    head = "prompt_id," + ",".join(f"visit{i + 1}" for i in range(12))
    rows = [f"{i}," + ",".join(f"{x:g}" for x in row) for i, row in enumerate(np.array(visits).T)]
    (place / "histories.csv").write_text("\n".join([head, *rows]))
    ends = product(("x", "y"), (1, 2, 3), ((0, 0.2, 0.6), (9, 0.5, 0.55)))
    table = ["domain,seed,step,mean8,pass8"]
    table += [f"{task},{seed},{step},{mean + seed / 1e3},{more}" for task, seed, (step, mean, more) in ends]
    (place / "table.csv").write_text("\n".join([*table, "z,1,0,0,0", "z,1,9,.2,.2"]))
    return place


def run_of(study, name, folder):
    experiment = study.study.experiments[name]
    return experiment.function(lab.Run(True, 0, folder=folder, name=f"{study.study.name}/{name}"))


def test_runs_are_read_with_their_settings(tmp_path):
    write(
        tmp_path, "one", [1, 2, 3], [0.1, 0.2, 0.3], lr=[1e-6, 2e-6, 2e-6], frac_zero_std=[0.5, 0.25, 0.125]
    )
    (tmp_path / "two.csv").write_text("a,b\n1,2\n3,4\n")
    index(tmp_path, entry("one", lr=2e-6), entry("two"))
    (one,), skipped = _folder.measured(tmp_path)
    assert (one.kind, one.code, one.group, one.lr) == ("1.5B, LoRA", "a", 8, 2e-6)
    np.testing.assert_allclose(one.time, [0, 0.75, 1.75])
    assert one.silent is not None
    np.testing.assert_allclose(one.silent, [0.5, 0.25, 0.125])
    assert len(skipped) == 1
    assert skipped[0].startswith("two (")
    (tmp_path / "index.jsonl").write_text('{"name": "one"}\n[1]\n\n{"name"\n')
    with pytest.raises(lab.DataMissing, match="line 4"):
        _folder.measured(tmp_path)
    (tmp_path / "index.jsonl").unlink()
    with pytest.raises(lab.DataMissing, match=r"index\.jsonl"):
        _folder.measured(tmp_path)


@pytest.mark.parametrize(
    ("steps", "first"), [([1, 2, 3], 0.0), ([0, 10, 20], 0.0), ([5, 10, 15], 2.0), ([1, 9, 17], 0.0)]
)
def test_time_counts_the_updates_before_a_point(steps, first):
    run = _folder.Measured(Curve(np.array(steps, float), np.full(3, 0.5)), entry("x"), None)
    np.testing.assert_allclose(run.time, first + np.array(steps) - steps[0])


def test_only_runs_that_agree_in_all_else_are_varied():
    def made(name, **more):
        return _folder.Measured(Curve(np.arange(2.0), np.zeros(2)), entry(name, **more), None)

    runs = [made("x", lr=3e-6), made("y"), made("z", lr=5e-6, task="other"), made("w", lr="not logged")]
    assert [one.name for one in _folder.varied(runs, "lr")] == ["y", "x"]
    assert np.isnan(runs[3].lr)


@pytest.mark.parametrize(
    ("study", "name"),
    [(study, name) for study in STUDIES for name, one in study.study.experiments.items() if one.measured],
    ids=lambda x: x if isinstance(x, str) else x.study.name,
)
def test_measured_experiments_say_what_they_need(study, name, tmp_path):
    with pytest.raises(lab.DataMissing, match=r"--data"):
        run_of(study, name, None)
    with pytest.raises(lab.DataMissing, match="needs"):
        run_of(study, name, tmp_path)


# curves of growth


def test_a_curve_of_growth_is_found_again():
    t = np.linspace(0, 100, 60)
    found, _ = _growth.fit([points(TRUE.at(t), time=t)])
    np.testing.assert_allclose(found.at(t), TRUE.at(t), atol=2e-3)
    assert TRUE.at(TRUE.time(0.75)) == pytest.approx(0.1 + 0.75 * 0.7)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_the_exponent_of_the_rate_is_found_again(exponent):
    rates, t = [1.0, 3.0, 9.0], np.arange(60.0)
    found, apart = _growth.one_clock([points(TRUE.at(t * rate**exponent)) for rate in rates], rates)
    assert found == pytest.approx(exponent, abs=0.03)
    assert (apart < 0.01) == (exponent == 1.0)


def test_points_of_equal_times_are_resampled_together():
    rng = np.random.default_rng(0)
    same = [points(np.linspace(0, 0.5, 20)), points(np.linspace(0.5, 1, 20))]
    (first, second), *_ = _growth.resampled(rng, same, 2)
    np.testing.assert_array_equal(first.time, second.time)
    (first, second), *_ = _growth.resampled(rng, [same[0], points(np.zeros(20), time=np.arange(20) + 1.0)], 2)
    assert not np.array_equal(first.time + 1, second.time)


def test_measured_runs_of_one_factor_are_one_clock(folder):
    found = run_of(one_clock, "measured", folder)
    assert float(found.found.sel(case="rates varied", number="exponent")) == pytest.approx(1, abs=0.15)
    assert float(found.found.sel(case="rates varied", number="apart")) < 0.03
    assert float(found.found.sel(case="group sizes varied", number="exponent")) < 0.5
    assert float(found.found.sel(case="different code", number="apart")) > 0.05


# counts and clocks


@pytest.mark.parametrize("rho", [0.0, 0.03, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_counts_without_bias(rho, k):
    right, n = np.arange(13), 12
    chance = stats.binom.pmf(right, n, rho)
    assert chance @ _passes.missed(right, np.full(13, n), k) == pytest.approx((1 - rho) ** k)
    assert 1 - _passes.missed(np.array([2]), np.array([4]), 1)[0] == pytest.approx(0.5)


def test_silence_is_told_without_bias_and_a_beta_distribution_by_its_moments():
    rho, right, n = 0.3, np.arange(17), 16
    chance = stats.binom.pmf(right, n, rho)
    other = _passes.missed(n - right, np.full(17, n), 4) + _passes.missed(right, np.full(17, n), 4)
    assert chance @ other == pytest.approx(rho**4 + (1 - rho) ** 4)
    one = Population.beta(0.7, 1.9)
    assert _silence.mean_square(one.mean, one.average(one.rates**2)) == pytest.approx(2.6)
    assert _silence.mean_square(0.5, 0.25) == 1e4


@pytest.mark.parametrize("group", [2, 8])
def test_own_clocks_are_the_mean_course_of_each_question(group):
    population = Population.of([0.02, 0.2, 0.7])
    moved = _common_shift.own_clocks(population, 0.6, group)
    z, step, k = special.logit(population.rates), 0.002, np.arange(group + 1)
    right, wrong = _common_shift.pulls(group)
    while special.expit(z).mean() < 0.6:
        rho = special.expit(z)[:, None]
        pull = 2 / group * (k * right * (1 - rho) - (group - k) * wrong * rho)
        z = z + step * (stats.binom.pmf(k, group, rho) * pull).sum(axis=1)
    np.testing.assert_allclose(moved.rates, special.expit(z), atol=0.01)
    assert (moved.rates >= population.rates).all()


def test_questions_that_share_a_shift_keep_their_distances_and_others_do_not():
    start = np.array([0.05, 0.3, 0.6])
    for common in (True, False):
        end, accuracy, silent = _common_shift.trained(
            np.random.default_rng(0), start, eta=0.2, steps=400, common=common, until=0.8
        )
        moved = special.logit(end) - special.logit(start)
        assert (np.ptp(moved) < 1e-9) == common
        assert end.mean() >= 0.8
        assert len(accuracy) == len(silent) < 400


def test_predictions_have_the_mean_that_was_measured():
    before = np.array([Population.beta(0.6, 1.4).pass_at(k) for k in (1, 2, 4, 8)])
    found = _passes.predicted(before, 0.5, (1, 2, 4, 8))
    np.testing.assert_allclose(found[[0, 1, 3], 0], 0.5, atol=1e-6)
    np.testing.assert_array_equal(found[2], before)
    shift, own = found[:2, 1:]
    assert (shift > own).all()
    assert (found[:2] >= before).all()


def test_measured_questions_that_share_a_shift_are_predicted_by_it(folder):
    found = run_of(pass_at_k_after, "questions", folder)
    assert abs(float(found.miss.sel(model=_passes.SHIFT))) < 3 * float(
        found["miss error"].sel(model=_passes.SHIFT)
    )
    assert float(found.miss.sel(model=_passes.EQUAL)) > 0.05
    table = run_of(pass_at_k_after, "tables", folder)
    assert table.sizes == {"task": 2, "seed": 3, "number": 6}
    assert table.attrs["left_out"].startswith("z (")
    assert (table["values"].sel(number=_passes.OWN) > table["values"].sel(number="pass8 after")).all()


def test_silent_groups_of_measured_visits_and_logs(folder):
    visits = run_of(silent_groups, "visits", folder)
    off = visits.excess / visits.error
    assert (abs(off.sel(by=_silence.CORRECTED)) < 4).all()
    assert (visits.excess.sel(by=_silence.MEAN) < -0.1).all()
    logged = run_of(silent_groups, "logged", folder)
    assert logged.run.values.tolist() == ["run5"]
    assert float(logged.excess.sel(model=_silence.MEAN)[0]) < -0.05
    assert abs(float(logged.excess.sel(model=_silence.SHIFTED)[0])) < 0.1


# calibration


@pytest.mark.parametrize("eta", [0.01, 0.2])
def test_eta_of_the_mean_course_is_found_again(eta):
    questions = Population.around(0.3)
    model, shift = pace(questions, grpo(8)), [0.0]
    for _ in range(99):
        shift.append(shift[-1] + eta * float(model.at("speed", shift[-1])))
    found, drawn = _calibration.eta(
        points(model.at("accuracy", np.array(shift))), questions, 8, 5, np.random.default_rng(0)
    )
    assert found == pytest.approx(eta, rel=0.1)
    np.testing.assert_allclose(drawn, found, rtol=0.1)


def test_a_collapse_is_cut_off_and_a_start_is_measured_before_updates():
    curve = np.concatenate([np.linspace(0.2, 0.9, 30), np.linspace(0.9, 0.1, 30)])
    kept = _calibration.before_collapse(points(curve))
    assert 25 <= len(kept.time) <= 35
    rising = points(np.linspace(0.2, 0.9, 30))
    assert len(_calibration.before_collapse(rising).time) == 30
    assert _calibration.start([rising, points(np.full(30, 0.4))]) == pytest.approx(0.3)
    later = points(TRUE.at(np.arange(2.0, 60)), time=np.arange(2.0, 60))
    assert _calibration.start([later]) == pytest.approx(0.1, abs=0.03)


def test_factors_of_measured_runs_are_found_again(folder):
    found = run_of(learning_rates, "measured", folder)
    factor = np.exp(found.eta - found.rate)
    off = np.log(factor) - np.log([*[2e4] * 5, 500.0, 3e5])
    assert (
        abs(off) < np.log(2)
    ).all()  # each run alone, with the noise of its samples, within a factor of two
    assert abs(np.median(off)) < 0.2
    assert found["lr varied"].values.tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert found["group_size varied"].values.tolist() == [0, 1, 0, 1, 1, 0, 0]
    assert (found.equal < found.eta).all()

"""The studies of recipes: what they compute on small sizes, and verdicts that can go either way."""

import numpy as np
import pytest

from qra_jax import plot
from qra_jax.problem import examples
from qra_jax.studies import sft_then_rl, what_to_teach
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF

# sft-then-rl


@pytest.fixture(scope="module")
def splits():
    return sft_then_rl.compute(quick=True)


def rulings(study, data):
    return [row.verdict for row in study.judge(data)]


def test_best_split_of_an_exponential():
    times, price = np.concatenate([[0.0], np.geomspace(0.01, 100, 60)]), np.array([0.01, 1.0, 30.0])
    rl_time, slope = 50 * np.exp(-0.3 * times), -15 * np.exp(-0.3 * times)
    best, total = sft_then_rl.best_split(times, rl_time, slope, price)
    exact = np.log(15 * price[1:]) / 0.3
    np.testing.assert_allclose(best, [0, *exact], rtol=2e-3)
    np.testing.assert_allclose(total[1:], exact + 1 / 0.3, rtol=3e-4)
    assert total[0] == 0.5


def test_padding_and_mixtures():
    log_ref, success = sft_then_rl.padded([examples.worked(), examples.entangled(9.0, 5)])
    np.testing.assert_allclose(np.exp(log_ref).sum(axis=1), 1)
    mu = sft_then_rl.mixture(log_ref, success, np.array([0.5, 1.0]))
    np.testing.assert_allclose(mu, [[0.525, 0.35, 0.125, 0, 0], [1, 0, 0, 0, 0]], atol=1e-12)


def test_split_verdicts(splits):
    found = rulings(sft_then_rl, splits)
    assert found[:2] == [HOLDS, HOLDS]  # stopping rule, derivative
    assert found[2].startswith(ONLY_IF + "the data are poor")  # the smallest shares
    assert found[3:5] == [HOLDS, FAILS]  # x₁ decides, the regime does not
    assert found[6:8] == [HOLDS, HOLDS]  # law of lengths, the stall goes
    assert found[8].startswith(ONLY_IF)  # a group of 8 is no demonstration
    assert found[9] == HOLDS
    with plot.style():
        assert len(sft_then_rl.draw(splits).axes) == 6


def test_split_verdicts_can_fail(splits):
    def altered(place, **change):
        return rulings(sft_then_rl, {**splits, **change})[place]

    assert altered(0, slope=-splits["slope"]) == FAILS
    assert altered(1, difference=2 * splits["difference"]) == FAILS
    assert altered(2, rl_time=np.sort(splits["rl_time"])[..., ::-1]) == HOLDS
    assert altered(2, rl_time=splits["rl_time"][:, ::-1]) == FAILS  # longer is better for the largest shares
    assert altered(3, quality_gain=np.full_like(splits["quality_gain"], 0.1)).startswith(ONLY_IF)
    assert altered(3, quality_gain=-splits["quality_gain"]) == FAILS
    assert altered(6, lengths=1.2 * splits["lengths"]) == FAILS
    growing = splits["totals"] * splits["gammas"][:, None] ** 0.2
    assert altered(7, totals=growing) == FAILS
    assert altered(8, cold_log_time=splits["cold_log_time"][[0, 1, 1]]) == HOLDS
    assert altered(9, schedule_slopes=-splits["schedule_slopes"]) == FAILS
    runs = splits["schedule_runs"].copy()
    runs[:, list(sft_then_rl.SCHEDULES).index("q: 1 → 0")] = 2
    assert altered(10, schedule_runs=runs) == HOLDS
    assert altered(10, schedule_runs=-runs) == FAILS
    runs[1] *= -1
    assert altered(10, schedule_runs=runs) == ONLY_IF + "the problem is: worked example"


def test_mixtures_and_designs_are_judged(splits):
    pure = sft_then_rl._pure(splits)
    total = 2.0 - pure
    assert rulings(sft_then_rl, {**splits, "mixture_total": total})[5] == HOLDS
    assert rulings(sft_then_rl, {**splits, "mixture_total": -total})[5] == FAILS
    design = {"design": np.ones(4), "design_grid": np.ones(4), "design_q": np.full((2, 5), 0.9)}
    assert rulings(sft_then_rl, {**splits, **design})[3] == HOLDS
    assert rulings(sft_then_rl, {**splits, **design, "design_grid": np.full(4, 3.0)})[3] == FAILS


# what-to-teach


@pytest.fixture(scope="module")
def lessons():
    return what_to_teach.compute(quick=True)


def test_sft_teaches_its_pattern():
    problem = examples.worked()
    after = what_to_teach.taught(problem, 2, 0.5)
    change = after.ref - problem.ref
    assert change[2] > 0 > change[1]


def test_lesson_verdicts(lessons):
    found = rulings(what_to_teach, lessons)
    assert found[:2] == [HOLDS, HOLDS]  # derivatives, sampled training
    assert found[2:6] == [FAILS] * 4  # r* in all but a few; a point of share; the better; the worst
    assert (
        found[6] == FAILS
    )  # with three patterns most problems gain more even where r* is rare, with ten few
    assert found[7:] == [FAILS, HOLDS]
    with plot.style():
        assert len(what_to_teach.draw(lessons).axes) == 5


def test_lesson_verdicts_can_turn(lessons):
    def altered(place, **change):
        return rulings(what_to_teach, {**lessons, **change})[place]

    assert altered(0, difference=2 * lessons["difference"]) == FAILS
    assert altered(0, little=2 * lessons["little"]) == FAILS
    assert altered(1, some=-lessons["some"]) == FAILS
    made = {}  # only r* helps, in proportion to its share; all else harms
    for n in what_to_teach.SIZES:
        best = np.eye(n)[lessons[f"{n}/success"].argmax(axis=1)]
        made |= {f"{n}/slopes": -best * lessons[f"{n}/ref"], f"{n}/better": -2 * best}
    turned = rulings(what_to_teach, {**lessons, **made})
    assert turned[2:4] == [HOLDS, HOLDS]
    assert turned[5:8] == [HOLDS, HOLDS, HOLDS]
    rare = {}  # a point of its success rate is worth less where r* is rare
    for n in what_to_teach.SIZES:
        mass = lessons[f"{n}/ref"][made[f"{n}/better"] < 0]
        rare[f"{n}/better"] = made[f"{n}/better"] * np.where(mass < np.median(mass), 0.1, 1)[:, None]
    assert rulings(what_to_teach, {**lessons, **made, **rare})[6] == ONLY_IF + "r* is not rare"
    opposite = {name: -value for name, value in made.items()}
    assert rulings(what_to_teach, {**lessons, **opposite})[2:5] == [FAILS, FAILS, HOLDS]
    assert altered(8, deep=0.9 * lessons["deep"]) == FAILS

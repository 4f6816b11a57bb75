"""The studies of stalls and clocks: what they compute on small sizes, and verdicts that can go either way."""

from functools import partial

import jax
import numpy as np
import pytest

from qra_jax import orbit, plot, theory
from qra_jax.batching import many
from qra_jax.problem import Problem, examples, random
from qra_jax.studies import base, clocks, stall_atlas, transition_time
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF

# transition-time


def test_stacking_changes_no_time():
    problems = [examples.worked(), examples.entangled(8.0, 6)]
    times = transition_time._times(transition_time._stack(problems))
    alone = [float(orbit.log_transition_time(problem)) for problem in problems]
    np.testing.assert_allclose(times["exact"], alone, rtol=1e-9)
    np.testing.assert_allclose(times["estimate"][0], theory.transition_time_estimate(problems[0]), rtol=1e-12)
    assert (times["bound"] > times["exact"]).all()


def test_one_rival_means_one():
    drawn = transition_time._one_rival(0, 60)
    assert drawn
    assert all(int(theory.regime(problem).rivals) == 1 for problem in drawn)


@pytest.fixture(scope="module")
def transitions():
    """Made-up curves of the predicted kinds, in the shape that `compute` returns."""
    data = {}
    for n in transition_time.FIXED:
        gamma = np.geomspace(3, 1e4, 12)
        data |= {f"fixed{n}/gamma": gamma, f"fixed{n}/exact": (n - 1) * np.log(gamma / 3) + 1}
    for (name, top), rate in zip(transition_time.GROWING.items(), (0.98, 1.3, None), strict=True):
        gamma = np.arange(4.0, top + 1, 4)
        data |= {f"{name}/gamma": gamma}
        data |= {f"{name}/exact": gamma * np.log(gamma) if rate is None else rate * gamma}
    data |= {"worked/exact": np.log(transition_time.EXPECTED), "random/exact": np.ones(5)}
    for key in [key for key in data if key.endswith("/exact")]:
        data[key.replace("exact", "estimate")] = data[key] + 0.1
        data[key.replace("exact", "bound")] = data[key] + 1.0
    return data


def test_growth_is_judged(transitions):
    verdicts = [row.verdict for row in transition_time.judge(transitions)]
    assert verdicts[2].startswith(ONLY_IF)
    assert verdicts[:2] + verdicts[3:] == [HOLDS] * 5
    name = "n = γ − 1"
    gamma = transitions[f"{name}/gamma"]
    steep = transitions | {f"{name}/exact": gamma * np.log(gamma), f"{name}/bound": gamma * np.log(gamma) - 1}
    verdicts = [row.verdict for row in transition_time.judge(steep)]
    assert verdicts[2] == ONLY_IF + "n grows with γ"
    assert verdicts[4] == FAILS


# stall-atlas


@pytest.fixture(scope="module")
def atlas():
    keys = jax.random.split(jax.random.key(1), 300)
    drawn = jax.vmap(lambda key: random(key, 10))(keys)
    batch = stall_atlas._first(drawn, 10, 10)
    found = stall_atlas._traits(batch) | {
        "log_time": many(partial(orbit.log_hitting_time, target=stall_atlas.TARGET))(batch)
    }
    return {f"{n}/{key}": np.asarray(value) for n in stall_atlas.SIZES for key, value in found.items()}


def test_first_patterns_are_a_smaller_problem():
    problem = jax.vmap(lambda key: random(key, 8))(jax.random.split(jax.random.key(0), 2))
    cut = stall_atlas._first(problem, 3, 5)
    assert cut.log_ref.shape == (2, 5)
    np.testing.assert_allclose(np.exp(cut.log_ref).sum(axis=1), 1, rtol=1e-12)
    assert np.isneginf(cut.log_ref[:, 3:]).all()
    small = Problem(cut.log_ref[0, :3], cut.success[0, :3])
    np.testing.assert_allclose(
        many(partial(orbit.log_hitting_time, target=0.99))(cut)[0],
        orbit.log_hitting_time(small, 0.99),
        rtol=1e-8,
    )


def test_intervals_against_known_values():
    low, high = base.wilson(10, 100)
    np.testing.assert_allclose([low, high], [0.0552, 0.1744], atol=5e-4)
    found, low, high = stall_atlas._quantile(np.arange(1001.0), 0.9)
    assert found == pytest.approx(900)
    assert low < found < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(1001 * 0.09), abs=2)


def test_auc_orders_the_predictors(atlas):
    assert stall_atlas._auc(atlas, 10, "π_ref(r*)") > 0.8
    assert abs(stall_atlas._auc(atlas, 10, "regime") - 0.5) < 0.05
    perfect = atlas | {"10/mass": -atlas["10/log_time"]}
    assert stall_atlas._auc(perfect, 10, "π_ref(r*)") == 1


def test_regime_is_judged(atlas):
    rows = stall_atlas.judge(atlas)
    assert rows[4].verdict.startswith(ONLY_IF)
    wrong = atlas | {"10/entangled": np.zeros_like(atlas["10/entangled"])}
    wrong["10/entangled"][np.argmin(atlas["10/log_time"])] = True
    assert stall_atlas.judge(wrong)[4].verdict == FAILS
    late = atlas | {"10/log_time": 2 * atlas["10/log_time"]}
    assert stall_atlas.judge(late)[0].verdict == FAILS
    with plot.style():
        assert len(stall_atlas.draw(atlas).axes) == 3


# clocks


def test_mean_gradients_point_along_the_flow():
    found = clocks._mean_gradients(0)
    np.testing.assert_allclose(found["cosine"], 1, atol=1e-12)
    np.testing.assert_allclose(found["speed"], 1, rtol=1e-10)


def test_fits_recover_their_laws():
    cold, tail = np.log(0.5) - np.log(clocks.COLD), -2 * np.log(3 * clocks.TAIL)
    data = {"x/cold": cold, "x/tail": tail, "x/law": np.array([1, 0.5, 2, 3.0])}
    for fit in (clocks._cold, clocks._tail):
        assert clocks._compare({"x": fit(data, "x")})[0] < 1e-9
    other = data | {"x/law": np.array([0.5, 1, 1, 2.0])}
    assert clocks._compare({"x": clocks._tail(other, "x")})[0] > 0.4
    logarithmic = {"x/cold": np.log(1.5 * np.log(1 / clocks.COLD)), "x/law": np.array([0, 1.5, np.inf, 0.7])}
    logarithmic["x/tail"] = -0.7 * clocks.TAIL
    for fit in (clocks._cold, clocks._tail):
        assert clocks._compare({"x": fit(logarithmic, "x")})[0] < 1e-9


def test_match_is_judged():
    assert clocks._match(1e-8, 0.1).startswith(ONLY_IF)
    assert clocks._match(1e-8, 1e-6) == HOLDS
    assert clocks._match(1e-2, 0.1) == FAILS

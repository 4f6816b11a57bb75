"""The studies of what to teach and when: verdicts as theory has them, and able to go wrong."""

import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import orbit, plot, theory
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem
from qra_jax.studies import interleave, primitives
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF


def verdicts(study, data):
    return [row.verdict for row in study.judge(data)]


# interleave


@pytest.fixture(scope="module")
def taught():
    return interleave.compute(quick=True)


def test_choice_of_questions_helps(taught):
    found = verdicts(interleave, taught)
    # A question that has a half-right rival passes the gate; with all parameters shared nothing is promised.
    free = ONLY_IF + "the questions are: apart, no rival; 30 % shared, no rival"
    assert found[:4] == [free] * 4
    assert found[4] == HOLDS
    assert found[5].startswith(ONLY_IF + "few of the demonstrations")
    assert found[6:] == [HOLDS, HOLDS]
    # Methods are compared at equal demonstrations.
    np.testing.assert_allclose(taught["given"][1:], np.broadcast_to(taught["given"][-1], (5, 48)), rtol=0.02)
    with plot.style():
        assert len(interleave.draw(taught).axes) == 4


def test_interleaving_is_judged(taught):
    accuracy = taught["accuracy"].copy()
    accuracy[-1] = accuracy[0] / 2
    every = np.broadcast_to(taught["quality/rest"].mean(axis=2, keepdims=True), taught["quality/rest"].shape)
    found = verdicts(interleave, taught | {"accuracy": accuracy, "quality/every": every})
    assert found[0] == found[1] == found[3] == found[4] == FAILS
    assert found[6:] == [FAILS, FAILS]
    accuracy = taught["accuracy"].copy()
    accuracy[1:] = np.sqrt(accuracy[2])
    same = verdicts(interleave, taught | {"accuracy": accuracy, "quality/every": np.ones_like(every)})
    assert same[1:6] == [FAILS] * 5


def test_numbers_spend_the_time():
    for method in interleave.METHODS:
        weight, rate = np.moveaxis(interleave.numbers(method, [1.0, 6.0]), -1, 0)
        share = np.array([1, interleave.PARTS - 1]) / interleave.PARTS * interleave.STEPS
        given = (weight * rate) @ share
        taught = {"RL alone": 0, "interleaved": np.array([1.0, 6.0]) * interleave.TIME}
        np.testing.assert_allclose(given, taught.get(method, np.array([1.0, 6.0])))
        np.testing.assert_allclose(
            np.where(weight < interleave.ALONE, rate, rate * weight) @ share,
            [1.0, 6.0] if method == "SFT alone" else interleave.TIME,
        )


# primitives


@pytest.fixture(scope="module")
def started():
    return primitives.compute(quick=True)


def test_diversity_helps_by_coverage(started):
    found = verdicts(primitives, started)
    assert found[0] == ONLY_IF + "they add the best one"
    # One more pattern beside the best one thins its mass; a good demonstrator's last patterns are poor.
    assert found[1].startswith(ONLY_IF + "it is in")
    assert found[2] == FAILS
    # At equal mass the exact law slows; splitting a rival can help in entangled starts alone.
    assert found[3:5] == [FAILS, HOLDS]
    assert found[5].startswith(ONLY_IF + "the rival is better than the base accuracy")
    assert found[6].startswith(ONLY_IF)
    assert found[7] == HOLDS
    with plot.style():
        assert len(primitives.draw(started).axes) == 4


def test_diversity_is_judged(started):
    falling = -np.arange(len(primitives.SIZES), dtype=float)
    wrong = started | {
        "log_time": np.zeros_like(started["log_time"]) + falling[:, None],
        "law/time": started["law/time"][:, ::-1],
        "split/time": np.zeros_like(started["split/time"]),
        "accuracy": started["accuracy"][..., ::-1, :] * falling[:, None],
    }
    found = verdicts(primitives, wrong)
    assert found[:5] == [HOLDS, FAILS, HOLDS, HOLDS, FAILS]
    assert found[5:] == [FAILS] * 3
    found = verdicts(primitives, wrong | {"log_time": -wrong["log_time"]})
    assert found[:3] == [FAILS, HOLDS, FAILS]


def test_law_of_equal_rivals_holds_under_any_clock():
    times = []
    for k in (1, 4):
        policy = np.array([0.1] + [0.9 / k] * k + [0.0] * (4 - k))
        problem = Problem.from_probs(ref=policy, success=[0.9] + [0.5] * 4)
        times.append(float(orbit.hit(problem, 0.95, algorithm=grpo(4)).log_time))
    assert np.exp(times[1] - times[0]) == pytest.approx(8 / 5, rel=1e-9)
    law = theory.equal_rivals_time(0.1, 0.95, gap=0.4, rivals=jnp.array([1.0, 4.0]))
    np.testing.assert_allclose(law[1] * 5 / 8, law[0], rtol=1e-12)

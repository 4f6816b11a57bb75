"""The studies of many questions, algorithms and optimisers: verdicts as theory has them, and able to go wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import metrics, plot
from qra_jax.studies import pass_at_k
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF


def verdicts(study, data):
    return [row.verdict for row in study.judge(data)]


# pass-at-k


@pytest.fixture(scope="module")
def tries():
    return pass_at_k.compute(quick=True)


def test_sharing_makes_the_crossover(tries):
    found = verdicts(pass_at_k, tries)
    # Expected training of a question alone never lowers its accuracy: no crossover without sharing.
    assert found[0] == HOLDS
    assert found[1] == ONLY_IF + "questions share parameters"
    assert found[2] == FAILS
    assert found[3:5] == [HOLDS, HOLDS]
    assert found[5] == ONLY_IF + "questions share parameters"
    assert found[6] == HOLDS
    # The flow of mean pass@k cannot lower it; negatives only have the mean gradient of REINFORCE.
    assert found[8:] == [HOLDS, FAILS]
    assert 2 < pass_at_k.crossing(tries, "shared, exact mean") < 256
    with plot.style():
        assert len(pass_at_k.draw(tries).axes) == 3


def test_crossover_is_judged(tries):
    base, better = tries["base"], np.sqrt(tries["base"])
    everywhere = tries | dict.fromkeys(pass_at_k.SHARED, better)
    found = verdicts(pass_at_k, everywhere)
    assert found[1] == found[3] == found[5] == FAILS
    assert found[9] == (FAILS if pass_at_k._below(tries, "apart, negatives only") else HOLDS)
    lost = np.where(base < 0.05, 1e-9, better)
    noisy = verdicts(pass_at_k, tries | dict.fromkeys(pass_at_k.NOISY, lost) | {"apart, exact mean": lost})
    assert noisy[0] == FAILS
    assert noisy[1:3] == [HOLDS, HOLDS]
    dull = verdicts(pass_at_k, tries | {"shared, pass@8": base / 2})
    assert dull[8] == FAILS


def test_pass_at_k_measures():
    accuracy = np.array([[0.0, 0.25, 1.0], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(pass_at_k.curve(accuracy, 2.0), [(0.4375 + 1) / 3, 0.75])
    right = np.array([[0, 1, 256]])
    np.testing.assert_allclose(pass_at_k.estimated(right, 256), [2 / 3])
    np.testing.assert_allclose(pass_at_k.estimated(right, 2), [(2 / 256 + 1) / 3])


def test_temperature_matches_the_entropy():
    problems = pass_at_k._population(jax.random.key(3), 20)
    colder = jax.nn.log_softmax(2 * problems.log_ref, axis=-1)
    found = pass_at_k._matched(problems.log_ref, problems.success, metrics.entropy(colder))
    np.testing.assert_allclose(found, metrics.accuracy(colder, problems.success), rtol=1e-9)
    np.testing.assert_allclose(jnp.exp(problems.log_ref).sum(axis=-1), 1)

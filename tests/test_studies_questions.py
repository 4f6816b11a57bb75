"""The studies of many questions, algorithms and optimisers: verdicts as theory has them, and able to go wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import metrics, plot, theory
from qra_jax.algorithm import grpo
from qra_jax.studies import interference, optimizers, pass_at_k, rl_in_name_only
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
    problems = pass_at_k._population(np.random.default_rng(3), 20)
    colder = jax.nn.log_softmax(2 * problems.log_ref, axis=-1)
    found = pass_at_k._matched(problems.log_ref, problems.success, metrics.entropy(colder))
    np.testing.assert_allclose(found, metrics.accuracy(colder, problems.success), rtol=1e-9)
    np.testing.assert_allclose(jnp.exp(problems.log_ref).sum(axis=-1), 1)


# interference


@pytest.fixture(scope="module")
def shared():
    return interference.compute(quick=True)


def test_interference_follows_theory(shared):
    found = verdicts(interference, shared)
    # Transfer needs skills that are right in both halves; all else is derived for any features.
    assert found[4] == ONLY_IF + "the questions have right skills in common"
    assert found[:4] + found[5:] == [HOLDS] * 8
    with plot.style():
        assert len(interference.draw(shared).axes) == 4


def test_interference_is_judged(shared):
    falls = shared["end"].copy()
    falls[0, 0, 0, 0] = 0.0
    changed = shared | {
        "soon": 1.1 * shared["soon"],
        "influence/claimed": 2 * shared["influence/claimed"],
        "end": falls,
        "speed": -shared["speed"],
        "transfer/gain": -shared["transfer/gain"],
        "shift/soon": shared["shift/soon"] * np.exp(shared["shift/start"] / 10) ** 2,
        "shift/late": shared["shift/late"] * np.linspace(1, 1.1, interference.LOGITS),
    }
    changed["shift/soon"][:, 0] *= 2
    for name in interference.RULES:
        changed[f"conflict/{name}"] = shared[f"conflict/{name}"][::-1]
    changed["frequent/GRPO"] = shared["frequent/REINFORCE"]
    assert verdicts(interference, changed) == [FAILS] * 9


def test_kernel_is_the_derivative():
    problem = interference._draw(np.random.default_rng(0), (3,), 0.5)
    features = jax.random.normal(jax.random.key(1), (3, interference.PATTERNS, 2))

    def total(weights):
        logits = problem.log_ref + jnp.einsum("qrf,f->qr", features, weights)
        return metrics.accuracy(jax.nn.log_softmax(logits, axis=-1), problem.success)

    slopes = jax.jacobian(total)(jnp.zeros(2))
    kernel = theory.influence(problem, features)
    np.testing.assert_allclose(kernel, slopes @ slopes.T, atol=1e-12)


def test_exponent_and_auc_of_known_data():
    start = np.linspace(-3, 3, 20)
    share = 1 / (1 + np.exp(-start))
    for a in (0.0, 0.5, 1.0):
        speed = 3 * (4 * share * (1 - share)) ** a
        np.testing.assert_allclose(interference.exponent(start, speed), a, atol=1e-12)
    assert interference.auc(np.array([1.0, 2.0, 3.0]), np.array([False, True, True])) == 1
    assert interference.auc(np.array([1.0, 1.0]), np.array([False, True])) == 0.5


# rl-in-name-only


@pytest.fixture(scope="module")
def named():
    return rl_in_name_only.compute(quick=True)


def test_grpo_is_filtered_sft_on_average(named):
    found = verdicts(rl_in_name_only, named)
    # Equal means, unequal noise; Adam divides the clock out; alone, no question lets negatives collapse.
    assert found[0] == found[2] == found[4] == HOLDS
    assert found[1] == ONLY_IF + "the weights are GRPO's; for others in expectation alone"
    assert found[3] == FAILS
    assert found[6] == FAILS
    # Drift of length: closed forms; no parameter of their own, no longer wrong answers.
    assert found[7:10] == [HOLDS] * 3
    assert found[10] == ONLY_IF + "the stop can depend on whether the answer is wrong"
    with plot.style():
        assert len(rl_in_name_only.draw(named).axes) == 4


def test_names_are_judged(named):
    wrong = dict(named)
    wrong["cosine/mean"] = named["cosine/mean"] - 0.1
    wrong[f"cosine/{rl_in_name_only.GROUP}"] = 0.5 * named[f"cosine/{rl_in_name_only.GROUP}"]
    wrong |= {"path/KL": 0 * named["path/KL"], "path/Adam": 1 + named["path/Adam"]}
    for level in rl_in_name_only.LEVELS:
        for epochs in rl_in_name_only.EPOCHS:
            wrong[f"tuned/{level}/{epochs}"] = (
                named[f"tuned/{level}/{epochs}"] * np.array([1, 1, 0.5, 1, 0])[:, None]
            )
    wrong["length/measured"] = named["length/measured"] + 10 * named["length/error"] + 0.01
    found = verdicts(rl_in_name_only, wrong)
    assert found[:3] == [FAILS] * 3
    assert found[3] == HOLDS
    assert found[4:6] == [FAILS] * 2
    assert found[6] == HOLDS
    assert found[7:] == [FAILS] * 4


def test_custom_weights_are_grpo():
    rewards = jnp.asarray(np.tri(9, 8, -1))
    ours, theirs = rl_in_name_only.grpo_weighted_sft(8), grpo(8)
    np.testing.assert_allclose(
        jax.vmap(lambda row: ours.weights(row))(rewards),
        jax.vmap(lambda row: theirs.weights(row))(rewards),
        atol=1e-14,
    )


def test_distance_of_paths():
    line = np.array([[[0.0, 1.0], [1.0, 0.0]]])
    assert rl_in_name_only.path_distance(np.array([[[0.25, 0.75]]]), line) == pytest.approx(0)
    assert rl_in_name_only.path_distance(np.array([[[0.25, 0.75], [0.6, 0.6]]]), line) == pytest.approx(0.1)


# optimizers


@pytest.fixture(scope="module")
def optimised():
    return optimizers.compute(quick=True)


def test_the_optimiser_is_the_metric(optimised):
    found = verdicts(optimizers, optimised)
    assert found[:5] == [HOLDS] * 5
    # With the best rate for each, sampled SGD is near Adam but for the harder entanglement.
    assert found[5] == HOLDS or found[5].startswith(ONLY_IF)
    with plot.style():
        assert len(optimizers.draw(optimised).axes) == 4


def test_optimisers_are_judged(optimised):
    wrong = optimised | {
        "Adam/path": optimised["SGD/path"],
        "SGD/rate": 2 * optimised["SGD/rate"],
        "SGD/reached": np.minimum(optimised["SGD/reached"], 100.0),
        "noisy/paths": optimised["curve/SGD"][::10],
        "SGD/settled": 10 * optimised["SGD/settled"] + 1000,
    }
    assert verdicts(optimizers, wrong) == [FAILS] * 6
    near = verdicts(optimizers, optimised | {"Adam/settled": optimised["SGD/settled"]})
    assert near[5] == HOLDS


def test_settled_is_the_last_crossing():
    every = optimizers.EVERY
    share = jnp.array([0.1, 0.95, 0.5, 0.92, 0.99])
    assert optimizers._settled(share) == 3 * every
    assert optimizers._settled(share[:3]) == np.inf
    assert optimizers._settled(jnp.ones(3)) == 0
    assert optimizers._settled(jnp.array([0.95, jnp.nan])) == np.inf


def test_rates_are_matched_before_the_gain_turns():
    gain = np.array([0.001, 0.01, 0.1, 0.05, 0.012])
    assert optimizers._matched(gain, 0.011) == 1
    assert optimizers._matched(gain, 1.0) == 2

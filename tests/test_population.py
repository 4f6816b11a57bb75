"""Populations of questions, and the pace of their common shift: closed forms, enumeration, and tabular training."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import qra_jax as qra
from qra_jax.consult import alternatives, rates
from qra_jax.consult.hyperparameters import Hyperparameters
from qra_jax.consult.outlook import outlook, pace_of
from qra_jax.consult.pace import pace
from qra_jax.population import Population


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.2), (0.4, 0.6), (2.0, 5.0), (40.0, 80.0)])
def test_a_beta_distribution_has_its_closed_forms(a, b):
    population = Population.beta(a, b)
    assert population.mean == pytest.approx(a / (a + b), abs=1e-9)
    for k in (1, 2, 8, 16):
        none = np.exp(special.betaln(a, b + k) - special.betaln(a, b))
        assert population.pass_at(k) == pytest.approx(1 - none, abs=1e-9)
        every = np.exp(special.betaln(a + k, b) - special.betaln(a, b))
        assert population.ends(k)[0] == pytest.approx(every, abs=1e-9)
    assert population.spread == pytest.approx(a + b, rel=1e-6)


def test_distributions_are_found_again():
    truth = Population.beta(0.8, 1.7)
    again = Population.from_pass_at({k: truth.pass_at(k) for k in (1, 2, 4, 8, 16)})
    assert again.pass_at(64) == pytest.approx(truth.pass_at(64), abs=1e-6)
    other = Population.from_silent(truth.mean, truth.silent(8), 8)
    assert other.spread == pytest.approx(2.5, rel=1e-6)
    equal = Population.from_silent(0.5, 0.0, 8)
    assert equal.rates.tolist() == [0.5]
    random = np.random.default_rng(0)
    counts = random.binomial(8, random.beta(0.8, 1.7, 4000))
    found = Population.from_counts(counts, 8)
    raw = Population.of(counts / 8)
    assert abs(found.silent(8) - truth.silent(8)) < 0.02
    assert raw.silent(8) > truth.silent(8) + 0.05  # the noise of eight tries looks like silence


def test_a_measured_pass_at_k_curve_after_training_lies_below_a_common_shift():
    before = Population.from_pass_at({1: 0.311, 2: 0.478, 4: 0.643, 8: 0.769, 16: 0.845})
    after = before.shifted(before.shift_to(0.571))
    assert after.mean == pytest.approx(0.571, abs=1e-9)
    for k, measured in {2: 0.702, 4: 0.804, 8: 0.875, 16: 0.915}.items():
        assert before.pass_at(k) < measured < after.pass_at(k) < measured + 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Population.of([]), r"rates: empty; must have one or more"),
        (lambda: Population.of([1.2]), r"rates\[0\]: 1.2; must be in \[0, 1\]"),
        (lambda: Population.beta(0.0, 1.0), "a: 0; must be positive"),
        (lambda: Population.from_pass_at({1: 0.3}), "pass_at: 1 of them; must be two or more"),
        (
            lambda: Population.from_pass_at({1: 0.3, 4: 0.2}),
            "pass_at: 0.2 at k = 4 after 0.3 at k = 1; must not fall",
        ),
        (lambda: Population.from_pass_at({1: 0.0, 4: 0.2}), r"pass_at: 0 at k = 1; must be in \(0, 1\)"),
        (
            lambda: Population.from_pass_at({1: 0.1, 2: 0.9}),
            "pass_at: 0.9 at k = 2 beside 0.1 at k = 1; must be at most",
        ),
        (lambda: Population.from_counts([9.0], 8), r"correct\[0\]: 9; must be in \[0, 8\]"),
        (lambda: Population.of([0.0, 0.5]).shift_to(0.9), r"mean: 0.9; must be in \(.*, 0.5\)"),
    ],
)
def test_populations_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize(
    "algorithm", [qra.grpo(8), qra.reinforce(group_size=8), qra.rloo(4)], ids=lambda one: one.name
)
def test_one_question_moves_as_the_tabular_model(algorithm, beta):
    eta, steps = 0.002, 1500
    exact = qra.training.train(
        jax.random.key(0),
        qra.Problem.from_probs([0.3, 0.7], [1.0, 0.0]),
        algorithm=algorithm,
        learning_rate=eta,
        steps=steps,
        record_every=steps,
        mode="mean",
        regularizers=[qra.reverse_kl(beta)],
    )
    end = float(exact.accuracy[-1])
    assert pace(Population.of([0.3]), algorithm, beta=beta).time(end) / steps == pytest.approx(eta, rel=2e-3)


def test_the_pull_of_a_batch_by_enumeration():
    """Groups of three rollouts at a verifier that errs: all their outcomes, one by one."""
    algorithm, tpr, fpr = qra.grpo(3), 0.9, 0.2
    tables = algorithm.tables()
    population = Population.of([0.2, 0.6])
    pulls, chances = [], []
    for rate in population.rates:
        cells = {
            (1, 1): rate * tpr,
            (1, 0): rate * (1 - tpr),
            (0, 1): (1 - rate) * fpr,
            (0, 0): (1 - rate) * (1 - fpr),
        }
        for group in itertools.product(cells, repeat=3):
            k = sum(accepted for _, accepted in group)
            weight = [float((tables.right if accepted else tables.wrong)[k]) for _, accepted in group]
            pulls.append(2 / 3 * sum(w * (right - rate) for w, (right, _) in zip(weight, group, strict=True)))
            chances.append(0.5 * np.prod([cells[one] for one in group]))
    found = pace(population, algorithm, tpr=tpr, fpr=fpr)
    mean = np.dot(chances, pulls)
    assert float(found.at("speed", 0.0)) == pytest.approx(mean, abs=1e-9)
    variance = np.dot(chances, np.square(pulls)) - mean**2  # also of which of the accepted are right
    assert float(found.at("noise", 0.0)) == pytest.approx(np.sqrt(variance), abs=1e-9)
    accepted = fpr + (tpr - fpr) * population.rates
    assert float(found.at("silent", 0.0)) == pytest.approx(
        np.mean(accepted**3 + (1 - accepted) ** 3), abs=1e-9
    )


def test_noise_of_batches_is_that_of_sampled_groups():
    """The standard deviation of a group's pull, against drawn groups."""
    algorithm, rate, random = qra.grpo(8), 0.3, np.random.default_rng(0)
    right, wrong = (np.asarray(one) for one in algorithm.tables())
    k = random.binomial(8, rate, 200_000)
    pulls = 2 / 8 * (k * right[k] * (1 - rate) - (8 - k) * wrong[k] * rate)
    found = pace(Population.of([rate]), algorithm)
    assert float(found.at("speed", 0.0)) == pytest.approx(pulls.mean(), rel=0.01)
    assert float(found.at("noise", 0.0)) == pytest.approx(pulls.std(), rel=0.01)


def test_where_penalties_rest():
    population = Population.of([0.3])
    for algorithm in (qra.reinforce(group_size=16), qra.grpo(8)):
        assert pace(population, algorithm).rest == np.inf
        one = pace(population, algorithm, beta=0.5)
        level = float(one.at("accuracy", one.rest))
        assert one.rest == pytest.approx(float(algorithm.clock(jnp.array(level))) / 0.5, rel=1e-3)  # c = β s
    held = pace(population, qra.grpo(8), entropy_bonus=0.5)
    assert 0.3 < float(held.at("accuracy", held.rest)) < 1


def test_the_tails_of_a_distribution_are_there_after_a_shift():
    """Mean of a decided population after a large shift, against an integral over the logit."""
    for a, b in ((0.3, 0.2), (0.1, 0.1), (0.05, 0.1)):
        z = np.linspace(-2000, 2000, 2_000_001)
        log = a * special.log_expit(z) + b * special.log_expit(-z) - special.betaln(a, b)
        exact = np.sum(np.exp(log) * special.expit(z + 16)) * (z[1] - z[0])
        assert Population.beta(a, b).shifted(16).mean == pytest.approx(exact, abs=1e-4)
    assert Population.from_counts([1.0] * 20, 8).mean == pytest.approx(1 / 8, rel=5e-3)
    assert Population.from_pass_at({1: 0.01, 2: 0.0199, 4: 0.0394}).mean == pytest.approx(0.01, rel=1e-3)


def test_a_population_may_go_down_to_rest():
    held = pace(Population.of([0.8]), qra.grpo(8), entropy_bonus=2.0)
    assert held.rest < 0
    assert 0.5 < held.limit < 0.8
    free = pace(Population.beta(0.05, 0.05), qra.grpo(8))
    assert free.rest == np.inf
    assert free.limit > 0.999  # and not the end of a grid


def test_a_temperature_of_the_rollouts_sharpens_what_a_batch_shows():
    cold = Hyperparameters(group_size=16, off_policy=qra.OffPolicy(sampling_temperature=0.5))
    found = outlook(Population.of([0.125]), cold, 64)
    rate = Population.of([0.125]).at_temperature(0.5).mean
    assert rate == pytest.approx(1 / 50)
    assert found.silent == pytest.approx(found.by_size[16], abs=2e-3)
    assert found.alike == pytest.approx(found.by_size[16])


def test_groups_that_are_drawn_again_cost_their_draws():
    settings = Hyperparameters(algorithm="dapo", group_size=32, steps=100)
    found = outlook(Population.around(0.3), settings, 64, rates.given(0.02))
    names = [one.name for one in alternatives.alternatives(found)]
    small = next(name for name in names if name.startswith("groups of 8"))
    assert int(small.split(", ")[1].split()[0]) < 4 * 64  # not as many as GRPO could have


def test_questions_that_are_all_decided_do_not_move():
    for questions in ([0.0, 0.0], [1.0], [0.0, 1.0]):
        found = outlook(Population.of(questions), Hyperparameters(group_size=8), 64, rates.given(0.1))
        assert found.gain is None
        assert found.silent == pytest.approx(1.0)


def test_eta_from_start_end_and_steps():
    settings = Hyperparameters(group_size=8, steps=200)
    speed = pace_of(Population.around(0.3), settings)
    eta = rates.went(speed, 0.5, 200)
    found = outlook(Population.around(0.3), settings, 512, eta)
    assert found.gain is not None
    assert found.gain.end[1] == pytest.approx(0.5, abs=0.01)
    assert found.gain.seen > 0.9
    with pytest.raises(ValueError, match=r"went: from 0.3 to 0.2; must be a rise that these settings make"):
        rates.went(speed, 0.2, 200)


def test_a_learning_rate_tells_eta_within_the_spread_of_measured_runs():
    found = rates.measured(1e-6)
    logs = np.log([one.eta / one.learning_rate for one in rates.MEASURED])
    low, high = found.interval
    inside = [(low < ratio * 1e-6 < high) for ratio in np.exp(logs)]
    assert np.mean(inside) >= 0.7
    assert high / low > 30  # a learning rate alone says little
    scaled = np.log(found.draws(2000) / found.median) / found.spread
    assert stats.kstest(scaled, "t", (found.freedom,)).pvalue > 1e-3


def test_a_small_gain_cannot_be_seen():
    settings = Hyperparameters(group_size=8, steps=30)
    found = outlook(Population.around(0.3), settings, 8, rates.given(0.003))
    assert found.gain is not None
    assert found.gain.end[1] - 0.3 < 2 * found.gain.noise
    assert found.gain.seen < 0.5
    assert found.gain.visible == -1


def test_silent_groups_of_a_distribution_are_more_than_those_of_its_mean():
    found = outlook(Population.of([0.0, 0.5, 1.0]), Hyperparameters(group_size=8), 64)
    assert found.silent == pytest.approx((2 + 2 * 0.5**8) / 3)
    assert found.alike == pytest.approx(2 * 0.5**8)
    assert found.gain is None
    again = outlook(Population.of([0.02]), Hyperparameters(algorithm="dapo", group_size=8), 64)
    assert again.draws is not None
    assert again.draws[0] == pytest.approx(1 / (1 - 0.02**8 - 0.98**8))

"""The study of internal feedback in a network: exact read-outs, a tiny run, and verdicts that can go either way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import transformer as tf
from qra_jax.studies import transformer_rlif as study
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF

SEEDS, QUESTIONS, TIMES = 4, 6, 31


@pytest.fixture(scope="module")
def small():
    task = tf.controlled(study.questions(QUESTIONS), announced=0.8, steps=(1, 1, 1), digits=1)
    model = tf.Decoder(task.vocabulary, width=8, depth=1)
    params = jax.jit(lambda key: tf.init(key, model))(jax.random.key(0))
    return task, model, params, study.language(task)


def test_scores_are_those_of_the_read_out(small):
    task, model, params, known = small
    seen = jax.jit(lambda params: study.look(model, params, known))(params)
    read = jax.jit(lambda params: tf.read_out(model, params, task.demonstrations()))(params)
    np.testing.assert_allclose(seen["with"], jnp.mean(read.accuracy), rtol=1e-5)
    assert seen["without"] > seen["with"] > 0
    np.testing.assert_allclose(jnp.sum(seen["policy"], axis=-1), 1, rtol=1e-5)


def test_rewards_of_patterns_are_expectations(small):
    _, model, params, known = small
    start = jax.jit(lambda params: study.expected(model, params, known))(params)
    chance, reward = jax.jit(lambda params: study.earned(model, params, known))(params)
    weights = chance / chance.sum(axis=(1, 3), keepdims=True)
    np.testing.assert_allclose(start["rates"], (reward * weights[None]).sum(axis=(2, 4)), rtol=1e-4)
    np.testing.assert_allclose(jnp.sum(start["seen"], axis=-1), 1, rtol=1e-4)
    np.testing.assert_allclose(jnp.diag(start["cosine"]), 1, rtol=1e-4)
    # Of binary rewards, the verifier's is the probability of the right, announced answer.
    right = chance[:, 0, :, 0] / chance.sum(axis=(1, 3))
    np.testing.assert_allclose(start["rates"][0], right, rtol=1e-4)


def test_traced_reward_is_the_named_one(small):
    task, model, params, _ = small
    asked = task.questions(jnp.arange(3))
    rollouts = tf.sample(
        jax.random.key(1), model, params, asked, group=4, length=task.length, end=task.end, temperature=1.0
    )
    judged = task.verify(jax.random.key(2), asked, rollouts)
    for number, make in enumerate(("verifiable", "self_certainty", "token_entropy", "trajectory_log_prob")):
        own = getattr(tf.reward, make)()(jax.random.key(3), rollouts, judged)
        chosen = study.any_reward(jnp.asarray(number))(jax.random.key(3), rollouts, judged)
        np.testing.assert_allclose(chosen, own, rtol=1e-6)


def test_gain_is_read_where_the_others_peak():
    curves = np.array([[0.0, 1.0, 0.0, 3.0], [0.0, 0.5, 0.2, 0.0], [0.0, 0.6, 0.1, 0.0]])
    gain, at = study.gains(curves)
    assert at.tolist() == [1, 3, 3]
    assert gain.tolist() == [1.0, 0.0, 0.0]


def test_runs_tiny(monkeypatch):
    sizes = {"WIDTH": 8, "RECORDS": 2, "QUICK": (2, 6, 2, 4, 1e-3), "MIXED": (0.5, 1.0)}
    for name, value in sizes.items():
        monkeypatch.setattr(study, name, value)
    data = study.compute(quick=True)
    assert data["policy"].shape == (2, 5, 2, 3, 6, 3)
    assert all(np.isfinite(value).all() for value in data.values())
    assert (data["status"] == 0).all()
    assert len(study.judge(data)) == len(CLAIMS)
    assert len(study.draw(data).axes) == 4


CLAIMS = (
    *("rise with", "rise without", "gain is format", "teaches format", "entropy with", "entropy without"),
    *("kinship", "direction", "end", "orbit", "worst", "certainty", "answers unseen", "rates stay", "steady"),
)


def made():
    """A world in which all is as claimed; then nothing rises when format is ignored."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, TIMES)
    noise = lambda *shape: 1e-3 * rng.standard_normal(shape)  # noqa: E731
    rise_and_fall, rise = 0.4 + 0.8 * x - 1.1 * x**2, 0.4 + 0.5 * x
    with_format = np.stack([np.stack([rise] + 4 * [rise_and_fall]), np.stack([rise] + 4 * [0.4 - 0.2 * x])])
    without = np.stack([rise] + 4 * [0.5 - 0.2 * x**2])
    per_run = (2, 5, SEEDS, 1)
    ref, success = np.array([0.3, 0.2, 0.5]), np.array([0.9, 0.05, 0.4])
    odd = np.arange(QUESTIONS)[:, None] % 2 == 1
    certain = np.where(odd, np.array([1.0, 2.0, 0.0]), np.array([2.0, 1.0, 0.0]))
    rates = np.stack([np.broadcast_to(success, (QUESTIONS, 3))] + 4 * [certain])

    def along(time):  # [rewards, questions, times, n]
        weight = ref * np.exp(20 * rates[:, :, None] * time[None, None, :, None])
        return weight / weight.sum(axis=-1, keepdims=True)

    policy = np.moveaxis(along(x), 2, 1)[None, :, None] * np.ones((2, 1, SEEDS, 1, 1, 1))
    orbit = (along(np.append(x, 9)) @ success)[None] * np.ones((SEEDS, 1, 1, 1))
    entropy = np.array([[0.4, 0.2], [0.35, 0.15]])[:, :, None, None] * np.ones((2, 2, 2, SEEDS))
    start = np.array([[0.3, 0.6], [0.5, 0.2]])[:, :, None, None, None]
    gain = (0.145 + 0.3 * (entropy - 0.5))[..., None]
    mixed = start + 4 * gain * x * (1 - x) + noise(2, 2, 2, SEEDS, 1)
    seen = np.broadcast_to(np.array([0.6, 0.3, 0.1]), (SEEDS, 5, 3)) + noise(SEEDS, 5, 3)
    return {
        "with": with_format[:, :, None] + noise(*per_run),
        "without": without[None, :, None] + noise(*per_run),
        "policy": policy,
        "success": np.broadcast_to(success, policy.shape),
        "announced": np.broadcast_to(0.8 + 0.2 * x, (2, 5, SEEDS, TIMES)),
        "entropy": np.broadcast_to(0.5 - 0.3 * x, (2, 5, SEEDS, TIMES)),
        "mixed/with": mixed,
        "mixed/without": mixed,
        "mixed/entropy": np.broadcast_to(entropy[..., None], (2, 2, 2, SEEDS, TIMES)),
        "cosine": 0.6 + noise(SEEDS, 5, 5),
        "rates": np.broadcast_to(rates, (SEEDS, *rates.shape)),
        "seen": seen,
        "orbit": orbit,
        "orbit_peak": orbit.max(axis=-1),
        "step": np.arange(TIMES),
        "m": np.array([0.2, 1.0]),
        "certainty": certain,
    }


def verdicts(data):
    return dict(zip(CLAIMS, (row.verdict for row in study.judge(data)), strict=True))


def test_all_claims_can_hold():
    found = verdicts(made())
    false = {"rise without", "entropy without", "rates stay"}
    assert {name for name, verdict in found.items() if verdict != HOLDS} == false
    assert found["rise without"] == FAILS


def test_every_claim_can_fail():
    data = made()
    rising = np.broadcast_to(data["with"][:, :1], data["with"].shape)
    swap = lambda x, *order: x[..., list(order)]  # noqa: E731
    still = np.broadcast_to(data["policy"][:, :, :, :1], data["policy"].shape)
    away = data["policy"][:, :, :, :1] ** 2 / data["policy"]
    away = away / away.sum(axis=-1, keepdims=True)
    for claim, change in {
        "rise with": {"with": rising},
        "gain is format": {"without": data["with"]},
        "teaches format": {"announced": data["announced"][..., ::-1]},
        "entropy with": {"mixed/entropy": 0.9 - data["mixed/entropy"]},
        "kinship": {"cosine": -data["cosine"]},
        "direction": {"policy": away},
        "end": {"policy": still},
        "orbit": {"orbit": data["orbit"][..., ::-1], "orbit_peak": data["orbit_peak"]},
        "worst": {"policy": still},
        "certainty": {"certainty": -data["certainty"]},
        "answers unseen": {"seen": swap(data["seen"], 2, 1, 0)},
        "rates stay": {"policy": still},
        "steady": {"policy": still},
    }.items():
        assert verdicts(data | change)[claim] == FAILS, claim


def test_condition_names_the_rewards():
    data = made()
    data["with"][:, 1] = data["with"][:, 0]
    verdict = verdicts(data)["rise with"]
    assert verdict == ONLY_IF + "the reward is token entropy or trajectory log-prob or majority vote"


def test_common_choice_is_told_from_a_choice_for_each_question():
    data = made()
    policy = data["policy"].copy()
    for seeds, question in ((slice(0, 2), 0), (slice(2, 4), 1)):
        policy[:, :, seeds] = data["policy"][:, :, seeds, :, question : question + 1]
    assert verdicts(data | {"policy": policy})["worst"].startswith(ONLY_IF + "averaged over runs")

"""The study of internal feedback in a network: exact read-outs, a tiny run, and verdicts that can go either way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import transformer as tf
from qra_jax.studies import transformer_rlif as study
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF

pytestmark = pytest.mark.usefixtures("compiled_plainly")

SEEDS, QUESTIONS, TIMES = 4, 6, 31


@pytest.fixture(scope="module")
def small():
    """One program that reads a small network in every way."""
    task = tf.controlled(study.questions(QUESTIONS), announced=0.8, steps=(1, 1, 1), digits=1)
    model = tf.Decoder(task.vocabulary, width=8, depth=1)
    known = study.language(task)

    def read(key):
        params = tf.init(key, model)
        _, rollouts = study.likelihood(model, params, known)
        judged = task.verify(key, task.questions(jnp.arange(QUESTIONS)), rollouts)
        names = ("verifiable", "self_certainty", "token_entropy", "trajectory_log_prob", "majority_vote")
        named = jnp.stack([getattr(tf.reward, name)()(key, rollouts, judged) for name in names])
        chosen = jax.vmap(lambda which: study.any_reward(which)(key, rollouts, judged))(jnp.arange(5))
        scores = study.look(model, params, known), tf.read_out(model, params, task.demonstrations())
        return (
            scores,
            study.expected(model, params, known),
            study.earned(model, params, known),
            (named, chosen),
        )

    return jax.jit(read)(jax.random.key(0))


def test_scores_are_those_of_the_read_out(small):
    seen, read = small[0]
    np.testing.assert_allclose(seen["with"], np.mean(read.accuracy), rtol=1e-5)
    assert seen["without"] > seen["with"] > 0
    np.testing.assert_allclose(np.sum(seen["policy"], axis=-1), 1, rtol=1e-5)


def test_rewards_of_patterns_are_expectations(small):
    start, (chance, reward) = small[1], [np.asarray(x) for x in small[2]]
    weights = chance / chance.sum(axis=(1, 3), keepdims=True)
    np.testing.assert_allclose(start["rates"], (reward * weights[None]).sum(axis=(2, 4)), rtol=1e-4)
    np.testing.assert_allclose(np.sum(start["seen"], axis=-1), 1, rtol=1e-4)
    np.testing.assert_allclose(np.diag(start["cosine"]), 1, rtol=1e-4)
    # Of binary rewards, the verifier's is the probability of the right, announced answer.
    right = chance[:, 0, :, 0] / chance.sum(axis=(1, 3))
    np.testing.assert_allclose(start["rates"][0], right, rtol=1e-4)


def test_traced_reward_is_the_named_one(small):
    named, chosen = small[3]
    np.testing.assert_allclose(chosen, named, rtol=1e-6)


def test_orbits_are_those_of_the_flows():
    policy, rates = np.array([0.35, 0.15, 0.5]), np.array([0.2, 1.0, 0.6])
    found = study.orbits(policy, rates, rates)
    best = np.array([0.0, 1.0, 0.0])
    share = study.orbits(policy, best, rates)
    for geometry, path in found.items():
        np.testing.assert_allclose([path[0], path[-1]], [policy @ rates, 1.0], atol=1e-3)
        theta, points = np.log(policy), []
        for _ in range(4000):
            now = np.exp(theta) / np.exp(theta).sum()
            points.append([now @ rates, now @ best])
            drift = rates - now @ rates
            theta = theta + 0.005 * (now * drift if geometry == "softmax" else drift)
        mean, top = np.transpose(points)
        np.testing.assert_allclose(np.interp(mean, path, share[geometry]), top, atol=3e-3, err_msg=geometry)


def test_gain_is_read_where_the_others_peak():
    curves = np.array([[0.0, 1.0, 0.0, 3.0], [0.0, 0.5, 0.2, 0.0], [0.0, 0.6, 0.1, 0.0]])
    gain, at = study.gains(curves)
    assert at.tolist() == [1, 3, 3]
    assert gain.tolist() == [1.0, 0.0, 0.0]


def test_runs_tiny(monkeypatch):
    monkeypatch.setattr(study, "WIDTH", 8)
    monkeypatch.setattr(study, "GROUP", 2)
    monkeypatch.setattr(study, "QUICK", study.RunSize(2, 6, 2, 2, 1, 1e-3, (1.0,), 1))
    data = study.compute(quick=True)
    assert data["policy"].shape == (2, 5, 2, 3, 6, 3)
    assert all(np.isfinite(value).all() for value in data.values())
    assert (data["status"] == 0).all()
    assert len(study.judge(data)) == len(CLAIMS)
    assert len(study.draw(data).axes) == 4


CLAIMS = (
    *("rise with", "rise without", "gain is format", "teaches format", "entropy with", "entropy without"),
    *("kinship", "softmax direction", "natural direction", "end", "orbit", "worst", "certainty"),
    *("answers unseen", "rates stay", "steady"),
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
        "cosine": np.where(np.arange(5)[:, None] * np.arange(5) > 0, 0.6, 0.2) + noise(SEEDS, 5, 5),
        "rates": np.broadcast_to(rates, (SEEDS, *rates.shape)),
        "seen": seen,
        "status": np.zeros(2 * 5 * SEEDS + 2 * 2 * 2 * SEEDS, int),
        "step": np.arange(TIMES),
        "m": np.array([0.2, 1.0]),
        "certainty": certain,
    }


def verdicts(data):
    return dict(zip(CLAIMS, (row.verdict for row in study.judge(data)), strict=True))


def test_all_claims_can_hold():
    found = verdicts(made())
    assert {name for name, verdict in found.items() if verdict != HOLDS} == {
        "rise without",
        "entropy without",
        "end",
    }
    assert found["rise without"] == FAILS
    # RLVR prefers the same pattern everywhere: a prediction for each question cannot be told from one for all.
    assert found["end"].endswith("(open: RLVR)")


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
        "softmax direction": {"policy": away},
        "natural direction": {"policy": away},
        "end": {"policy": still},
        "orbit": {"rates": np.where(np.arange(5) == 0, -1, 1)[:, None, None] * data["rates"][:, [0] * 5]},
        "worst": {"policy": still},
        "certainty": {"certainty": -data["certainty"]},
        "answers unseen": {"seen": swap(data["seen"], 2, 1, 0)},
        "rates stay": {"success": data["success"] * np.linspace(1, 0.5, TIMES)[:, None, None]},
        "steady": {"policy": still},
    }.items():
        assert verdicts(data | change)[claim] == FAILS, claim


def test_condition_names_the_rewards():
    data = made()
    data["with"][:, 1] = data["with"][:, 0]
    verdict = verdicts(data)["rise with"]
    assert verdict == ONLY_IF + "the reward is token entropy or trajectory log-prob or majority vote"


def test_nothing_holds_unless_rlvr_rises():
    data = made()
    data["with"] = data["with"].copy()
    data["with"][0, 0] = data["with"][0, 0, :, ::-1]
    assert verdicts(data)["rise with"] == FAILS


def test_a_choice_shared_by_questions_leaves_the_half_open():
    data = made()
    policy = data["policy"].copy()
    for seeds, question in ((slice(0, 2), 0), (slice(2, 4), 1)):
        policy[:, :, seeds] = data["policy"][:, :, seeds, :, question : question + 1]
    found = verdicts(data | {"policy": policy})
    assert "these do not tell" in found["worst"]
    # One leader in all questions of a run: what is predicted of each question has failed.
    assert found["end"] == ONLY_IF + "one leader for all questions may do as well, as for RLVR"


def test_failed_seeds_are_left_out():
    data = made()
    data["status"][1] = 5
    data["cosine"][3, 1, 2] = np.nan
    rows = study.judge(data)
    assert all("(2 of 4 seeds left out" in row.measured for row in rows)
    assert not any("nan" in row.measured for row in rows)
    data["status"][:] = 5
    with pytest.raises(ValueError, match="status"):
        study.judge(data)


def test_one_seed_proves_nothing():
    data = made()
    one = {
        name: np.take(value, [0], axis=study._SEEDS[name]) if name in study._SEEDS else value
        for name, value in data.items()
    }
    one["status"] = np.zeros(18, int)
    assert not {HOLDS, FAILS} & set(verdicts(one).values())
    assert len(study.draw(one).axes) == 4

"""What the benchmark of run doctors stands on: simulated runs, their criteria, their logs, and who is asked."""

import json
import sys
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax.algorithm import switch
from qra_jax.studies import lab
from qra_jax.studies.runs import (
    _answers as answers,
    _doctors as doctors,
    _network_logs as network_logs,
    _patients as patients,
    _simulator as simulator,
    run_doctors,
)
from qra_jax.studies.runs._causes import CAUSES
from qra_jax.studies.runs._settings import built, usual
from qra_jax.studies.runs._trainer_logs import FORMS, NAMES

FIRST = 2000
"""Of patients that are neither the benchmark's nor anybody's."""


@pytest.fixture(scope="module")
def ward():
    """A patient of each cause, drawn together."""
    return {one.cause: one for one in patients.drawn([(cause, FIRST) for cause in CAUSES])}


def rows(path):
    """Rows of a log in either form."""
    if path.suffix == ".json":
        return json.loads(path.read_text())["log_history"]
    return [{"step": line["step"], **line["data"]} for line in map(json.loads, path.read_text().splitlines())]


def plain(**changes):
    """Settings without peculiarities: GRPO without a penalty, rewards that are right answers, no truncation."""
    usual_ones = usual(np.random.default_rng(5))
    calm = {"rule": 2.0, "group": 16.0, "batch": 16.0, "beta": 0.0, "staleness": 0.0, "normalize": 0.0}
    calm |= {"masked": 0.0, "tpr": 1.0, "fpr": 0 * usual_ones["fpr"], "w_format": 0.0, "w_style": 0.0}
    calm |= {"w_correct": 1.0, "truncated": 1e-9, "warmup": 1.0, "decay": 0.0, "temperature": 1.0}
    return built(usual_ones | calm | {"leak": 0.0, "noise": 0.0, "rate": 1.0, "base": 0.4} | changes)


def stepped(setting, words):
    """Change of the logits by the first step, `[questions, patterns + 1]`."""
    own = {name: jnp.asarray(value) for name, value in setting.items() if not isinstance(value, (str, bool))}
    own["topics"] = jax.nn.one_hot(own["topic"], simulator.TOPICS)
    rule = switch(own["rule"], simulator.RULES)
    own["fits"] = jnp.ones_like(own["success"])
    carry = (
        jnp.zeros_like(own["log_ref"]),
        jnp.zeros((simulator.OLDEST, simulator.TRAINED, simulator.PATTERNS + 1)),
    )
    size = (simulator.BATCH * (6 * simulator.GROUP + 1),)
    numbers = jax.random.uniform(jax.random.wrap_key_data(words), size, jnp.float32)
    (moved, _), _ = simulator._step(own, rule, carry, (jnp.asarray(0), numbers))
    return moved


steps = jax.jit(jax.vmap(stepped, in_axes=(None, 0)))
WORDS = np.random.default_rng(0).integers(2**32, size=(400, 2), dtype=np.uint32)


def test_sampled_steps_are_exact_ones_on_average():
    kernel = {"sharing": 1.0, "tau": 0.0, "kappa": 0.0}
    sampled, exact = (np.asarray(steps(plain(exact=flag, **kernel), WORDS)) for flag in (0.0, 1.0))
    usual_ones = (..., 0, slice(-1))  # broken text is too rare to be drawn
    difference = (sampled - exact)[usual_ones]
    error = difference.std(axis=0) / np.sqrt(len(WORDS))
    np.testing.assert_array_less(np.abs(difference.mean(axis=0)), 4.5 * error)
    assert (np.abs(sampled[usual_ones].mean(axis=0)) > 5 * error).any()


@pytest.mark.parametrize("rule", [0.0, 2.0])
def test_exact_steps_are_those_of_endless_groups(rule):
    """π(p − ρ), over the standard deviation of the rewards for GRPO; questions that were drawn twice count twice."""
    setting = plain(exact=1.0, sharing=0.0, tau=0.0, kappa=1.0, rule=rule)
    moved = np.asarray(steps(setting, WORDS)[0])
    asked = np.flatnonzero(np.abs(moved).sum(axis=1))
    policy = np.exp(setting["log_ref"][asked])
    rates = (policy * setting["success"][asked]).sum(axis=1, keepdims=True)
    wanted = policy * (setting["success"][asked] - rates) / 16
    wanted /= np.sqrt(rates * (1 - rates)) + 1e-4 if rule == 0 else 1.0
    times = np.round((moved[asked] / wanted)[:, :1])
    np.testing.assert_allclose(moved[asked], times * wanted, rtol=1e-3, atol=1e-6)
    assert times.sum() == 16


def test_bases_are_as_good_and_as_long_as_said():
    setting = plain(base=0.3, truncated=0.1)
    policy = np.exp(setting["log_ref"])
    right, whole = (policy * simulator.solved(setting | {"success": s}) for s in (setting["success"], 1.0))
    assert right.sum(axis=1).mean() == pytest.approx(0.3, abs=0.03)
    assert whole.sum(axis=1).mean() == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("cause", list(CAUSES))
def test_patients_have_their_cause(cause, ward):
    one = ward[cause]
    assert CAUSES[cause].holds(one.truth)
    assert one.truth["start"] == pytest.approx(float(one.run["true_accuracy"][0]))
    assert (CAUSES[cause].twin is None) == np.isnan(one.truth["twin"])


def test_patients_are_the_same_alone_and_together(ward):
    alone = patients.drawn([("kl_resting", FIRST)])[0]
    assert alone.tries == ward["kl_resting"].tries
    for name, value in alone.run.items():
        np.testing.assert_allclose(value, ward["kl_resting"].run[name], rtol=1e-3, atol=1e-4)


def test_rewards_are_the_sum_of_their_parts(ward):
    for one in ward.values():
        total = sum(one.setting[f"w_{part}"] * one.run[part] for part in NAMES)
        np.testing.assert_allclose(one.run["reward"], total, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", list(FORMS))
def test_logs_have_the_trainers_keys_and_no_truth(form, ward, tmp_path):
    always = {
        "trl": {
            "reward",
            "reward_std",
            "frac_reward_zero_std",
            "completions/clipped_ratio",
            "grad_norm",
            "learning_rate",
        },
        "verl": {
            "critic/score/mean",
            "actor/ppo_kl",
            "actor/pg_clipfrac",
            "response_length/clip_ratio",
            "actor/lr",
        },
    }[form]
    for one in ward.values():
        every = rows(one.write(tmp_path, form))
        trained = [row for row in every if always <= set(row)]
        assert len(trained) == len(one.run["reward"]) // (one.setting["every"] if form == "trl" else 1)
        said = {key for row in every for key in row}
        assert not [key for key in said if "true" in key or one.cause in key]
        assert (("kl" in said) or ("actor/kl_loss" in said)) == (one.setting["beta"] > 0)
        assert any(key.startswith(("eval_rewards/", "val-core/")) for key in said) == one.setting["validated"]
    assert (
        patients.write("too_hard", FIRST, tmp_path, form).read_text()
        == ward["too_hard"].write(tmp_path, form).read_text()
    )


def test_evaluations_are_near_the_truth(ward, tmp_path):
    one = next(one for one in ward.values() if one.setting["validated"])
    for row in rows(one.write(tmp_path, "verl")):
        if "val-core/math/acc/mean@4" in row:
            place = row["step"] // simulator.EVERY
            assert row["val-core/math/acc/mean@4"] == pytest.approx(one.run["true_held_out"][place], abs=0.1)


def test_unknown_causes_and_forms_are_refused(tmp_path, ward):
    with pytest.raises(ValueError, match="cause: 'gremlins'; must be"):
        patients.write("gremlins", 0, tmp_path)
    with pytest.raises(ValueError, match="form: 'wandb'; must be"):
        ward["slow"].write(tmp_path, "wandb")


def test_the_benchmark_has_seeds_of_its_own(monkeypatch, ward):
    seen = []

    def drawn(who):
        seen.extend(who)
        return [ward[cause] for cause, _ in who]

    monkeypatch.setattr(patients, "drawn", drawn)
    kept = patients.logs(3, first=0)
    assert len(set(seen)) == 3 * len(CAUSES) * len(FORMS)
    assert max(seed for _, seed in seen) < 1000
    assert kept["tries"].shape == (len(CAUSES), len(FORMS), 3)


def test_unpacked_logs_are_those_that_were_packed_without_a_name(monkeypatch, ward, tmp_path):
    monkeypatch.setattr(patients, "drawn", lambda who: [ward[cause] for cause, _ in who])
    paths = doctors.unpacked(patients.logs(1, first=0)["packed"], tmp_path / "logs")
    wanted = [ward[cause].write(tmp_path / form, form) for form in FORMS for cause in CAUSES]
    assert [path.read_text() for path in paths] == [path.read_text() for path in wanted]
    assert not [path for path in paths if any(cause in str(path.relative_to(tmp_path)) for cause in CAUSES)]


def test_reward_alone_is_alone(ward, tmp_path):
    for form in FORMS:
        path = ward["kl_resting"].write(tmp_path / form, form)
        kept, every = rows(doctors.stripped(path)), doctors.rows_of(path)
        key = doctors.KEYS["reward"][form == "verl"]
        assert all(set(row) == {"step", key} for row in kept)
        assert [row[key] for row in kept] == [row["reward"] for row in every]


def test_answers_are_names_of_causes(monkeypatch, tmp_path):
    examination = pytest.importorskip("qra_jax.consult.examination")
    for said, wanted in (("stale", "stale"), ("gremlins", "unclear"), ("unclear", "unclear")):
        monkeypatch.setattr(examination, "examine", lambda path, said=said: type("E", (), {"cause": said})())
        assert doctors.ANSWERS[answers.examined(tmp_path)] == wanted
    for _, meanings in doctors.PUBLIC.values():
        assert set().union(*meanings.values()) <= set(CAUSES)


def test_the_gravest_findings_count():
    meanings = {"a": {"stale"}, "b:x": {"too_easy"}, "b": {"too_hard"}}
    assert doctors.gravest([], meanings) is None
    assert doctors.gravest([("a", 1), ("b:x", 2)], meanings) == {"too_easy"}
    assert doctors.gravest([("a", 2), ("b:y", 2), ("c", 2)], meanings) == {"stale", "too_hard"}


def test_public_doctors_are_asked_in_their_own_environment(monkeypatch, ward, tmp_path):
    """A doctor that finds a collapse where the last reward is low."""
    script = "\nversion = lambda name: '7'\ndef ask(path, rows):\n    return [['low', 2]] * (rows[-1]['reward'] < .1)\n"
    monkeypatch.setattr(
        doctors, "_LOOP", doctors._LOOP.replace("from importlib.metadata import version\n", "")
    )
    monkeypatch.setitem(doctors.PUBLIC, "mine", (script, {"low": {"stale"}}))
    (tmp_path / "mine" / "bin").mkdir(parents=True)
    (tmp_path / "mine" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv(doctors.FOLDER, str(tmp_path))
    assert list(doctors.installed()) == ["mine"]
    paths = [ward[cause].write(tmp_path) for cause in ("stale", "too_easy")]
    ends = [doctors.rows_of(path)[-1]["reward"] < 0.1 for path in paths]
    version, answers = doctors.asked("mine", doctors.installed()["mine"], paths)
    assert version == "7"
    assert answers == [{"stale"} if low else None for low in ends]
    monkeypatch.setitem(doctors.PUBLIC, "mine", ("\nraise SystemExit('no')\n", {}))
    with pytest.raises(RuntimeError, match="mine: 0 answers to 2 logs; no"):
        doctors.asked("mine", doctors.installed()["mine"], paths)


def test_doctors_that_are_not_installed_are_named(monkeypatch, tmp_path):
    monkeypatch.delenv(doctors.FOLDER, raising=False)
    with pytest.raises(lab.DataMissing, match="not installed: rldoctor, rlprobe, rlwatch"):
        run_doctors.public(lab.Run(quick=True))
    monkeypatch.setenv(doctors.FOLDER, str(tmp_path))
    assert doctors.installed() == {}


def test_fresh_rollouts_have_no_ratio_and_stale_ones_that_are_not_corrected_show_none():
    def logged(**changes):
        settings = [plain(**{"steps": float(simulator.STEPS), "rate": 2.0, **changes})]
        return simulator.simulate(settings)[0]

    fresh, stale = logged(staleness=0.0), logged(staleness=9.0, corrected=0.0)
    corrected = logged(staleness=9.0, corrected=1.0)
    for run in (fresh, stale):
        np.testing.assert_allclose(run["ppo_kl"], 0, atol=1e-6)
        np.testing.assert_allclose(run["clip_high"] + run["clip_low"], 0)
    np.testing.assert_allclose(fresh["mismatch"], 0, atol=1e-6)
    assert stale["mismatch"][5:30].mean() > 1e-4
    assert (corrected["clip_high"] + corrected["clip_low"])[5:30].mean() > 0


def test_networks_meet_the_criterion_of_their_cause(monkeypatch):
    courses = np.array([[0.6, 0.95], [0.6, 0.62], [0.6, 0.3]])  # from the first step to the last
    rising = courses[:, None, :1] + (courses[:, None, 1:] - courses[:, None, :1]) * np.linspace(0, 1, 200)
    rising = np.concatenate([rising, rising[:1].repeat(3, axis=0)], axis=1)  # and three that succeed
    stats = dict.fromkeys(("right", "reward", "silent", "entropy", "length"), rising)
    monkeypatch.setattr(network_logs, "_trained", lambda rates, count, seed: stats)
    kept = network_logs.logs(2, 0)
    assert kept["met"].tolist() == [[True, True], [True, False], [True, False]]
    content = json.loads(zlib.decompress(kept["packed"]["trl"]["slow"][0].tobytes()))["log_history"]
    assert len(content) == 200
    assert content[-1]["reward"] == pytest.approx(0.62)
    assert 2e-6 <= content[0]["learning_rate"] <= 8e-6


def test_losses_are_zero_where_the_weights_of_a_group_cancel():
    """Advantages of a group sum to zero; so do those of its tokens only where each answer is divided by its length."""

    def loss(normalize):
        settings = [plain(steps=float(simulator.STEPS), rule=0.0, normalize=normalize)]
        return simulator.simulate(settings)[0]["policy_loss"]

    np.testing.assert_allclose(loss(1.0), 0, atol=1e-5)
    assert np.abs(loss(2.0)).mean() > 1e-3

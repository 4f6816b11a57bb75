"""What a log shows: each cause by its sign, made by hand, and none of them on a log in which the sign is missing."""

import json

import numpy as np
import pytest

from qra_jax import cli
from qra_jax.consult import examination_report, vitals
from qra_jax.consult.course import course
from qra_jax.consult.examination import examine
from qra_jax.fit.runs.signals import Signal, Signals

STEPS = np.arange(1, 121)
RISE = 0.3 + 0.5 * (1 - np.exp(-STEPS / 40))
PART = "rewards/accuracy_reward/mean"


def _log(tmp_path, columns, seed=0, evaluation=None):
    """A trainer_state.json of TRL with noise of 64 rollouts on whatever is a share."""
    random, rows = np.random.default_rng(seed), []
    usual = {PART: RISE, "frac_reward_zero_std": 0.1, "grad_norm": 0.4, "completions/mean_length": 300.0}
    usual |= {"completions/clipped_ratio": 0.01, "entropy": 0.5 - 0.2 * STEPS / 120, "learning_rate": 1e-6}
    columns = {
        name: np.broadcast_to(np.asarray(one, float), STEPS.shape) for name, one in (usual | columns).items()
    }
    for i, step in enumerate(STEPS):
        row = {"step": int(step)}
        for name, values in columns.items():
            value = float(values[i])
            if name.startswith("rewards/") or name.startswith(("frac_", "completions/clipped")):
                value = float(random.binomial(64, min(max(value, 0), 1))) / 64
            elif name == "completions/mean_length":
                value *= 1 + 0.02 * random.standard_normal()
            row[name] = value
        row["reward"] = row[PART] + sum(row[name] for name in columns if "format" in name or "judge" in name)
        rows.append(row)
        if evaluation is not None and step % 20 == 0:
            rows.append({"step": int(step), f"eval_{PART}": float(random.binomial(800, evaluation[i])) / 800})
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": rows, "global_step": int(STEPS[-1])}))
    return path


FLAT = np.full(len(STEPS), 0.3)
FALL = np.where(STEPS < 60, 0.3 + 0.006 * STEPS, 0.02)
CASES = {
    "success": {},
    "too_easy": {PART: np.full(len(STEPS), 0.95), "frac_reward_zero_std": 0.7},
    "too_hard": {PART: np.full(len(STEPS), 0.003), "frac_reward_zero_std": 0.98},
    "slow": {PART: FLAT + 0.0001 * STEPS},
    "kl_resting": {PART: FLAT + 0.08 * (1 - np.exp(-STEPS / 10)), "kl": 0.02 * (1 - np.exp(-STEPS / 8))},
    "rate_too_high": {PART: FALL, "learning_rate": 2e-4},
    "stale": {PART: FALL, "sampling/sampling_logp_difference/mean": np.where(STEPS < 50, 0.004, 0.2)},
    "lost_pattern": {
        PART: 0.4 + 0.2 * (1 - np.exp(-STEPS / 15)),
        "frac_reward_zero_std": 0.3 + 0.4 * (1 - np.exp(-STEPS / 15)),
        "grad_norm": 0.1 + 0.5 * np.exp(-STEPS / 15),
    },
    "format_first": {PART: FLAT, "rewards/format_reward/mean": 0.2 + 0.7 * (1 - np.exp(-STEPS / 20))},
    "reward_not_accuracy": {PART: FLAT - 0.0015 * STEPS, "rewards/judge/mean": 0.2 + 0.006 * STEPS},
    "length_drift": {
        PART: FLAT,
        "completions/mean_length": 300 + 3.0 * STEPS,
        "completions/clipped_ratio": 0.02 + 0.003 * STEPS,
    },
}


@pytest.mark.parametrize("cause", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_each_cause_by_its_sign(cause, seed, tmp_path):
    found = examine(_log(tmp_path, CASES[cause], seed))
    assert found.cause == cause
    assert examination_report.story(found)[0].startswith("The log: ")


def test_a_verifier_is_told_by_an_evaluation(tmp_path):
    assert examine(_log(tmp_path, {}, evaluation=RISE - 0.2)).cause == "noisy_verifier"
    assert examine(_log(tmp_path, {}, evaluation=RISE)).cause == "success"
    assert examine(_log(tmp_path, {})).cause == "success"  # without one nothing tells


def test_the_signs_and_not_the_falls_tell_causes_apart(tmp_path):
    """The same fall: with fresh rollouts at a usual rate it is a collapse, with signs of age it is stale."""
    assert examine(_log(tmp_path, {PART: FALL})).cause == "rate_too_high"
    leap = np.where(np.abs(STEPS - 58) < 4, 9.0, 0.4)
    assert examine(_log(tmp_path, {PART: FALL, "grad_norm": leap})).cause == "stale"
    assert (
        examine(_log(tmp_path, {PART: FALL, "grad_norm": leap, "learning_rate": 1e-4})).cause
        == "rate_too_high"
    )
    # A plateau without a KL term is no resting point, and one with a weak term is none either.
    level = {PART: CASES["kl_resting"][PART]}
    assert examine(_log(tmp_path, level)).cause == "slow"
    free = 0.02 * (STEPS / 120) ** 2  # as it goes where nothing holds it
    assert examine(_log(tmp_path, level | {"kl": free})).cause == "slow"
    # The slope of the loss over KL tells β, and the configuration does.
    noise = 1e-4 * np.random.default_rng(0).standard_normal(len(STEPS))
    held = CASES["kl_resting"]["kl"]
    assert examine(_log(tmp_path, level | {"kl": held, "loss": 0.2 * held + noise})).cause == "kl_resting"
    assert examine(_log(tmp_path, level | {"kl": free, "loss": 0.001 * free + 1e-6 * noise})).cause == "slow"
    higher = {PART: FLAT + 0.2 * (1 - np.exp(-STEPS / 15))}
    assert examine(_log(tmp_path, higher), beta=2.0).cause == "kl_resting"  # which rests near, at some .5
    assert examine(_log(tmp_path, level), beta=0.02).cause == "slow"  # which rests far above


def test_groups_that_differ_in_any_part_are_never_silent(tmp_path):
    """A reward with a part of its own for each rollout has no silent groups: lost patterns are seen without them."""
    log = {name: values for name, values in CASES["lost_pattern"].items() if name != "frac_reward_zero_std"}
    assert examine(_log(tmp_path, log | {"frac_reward_zero_std": 0.0})).cause == "lost_pattern"


def test_a_log_whose_numbers_end_is_no_success(tmp_path):
    path = _log(tmp_path, {})
    state = json.loads(path.read_text())
    for row in state["log_history"][70:]:
        row["grad_norm"] = row["reward"] = row[PART] = float("nan")
    path.write_text(json.dumps(state))
    found = examine(path)
    assert found.cause != "success"
    assert "no numbers in " in " ".join(examination_report.story(found))


def test_a_flat_log_is_no_resting_point_of_a_weak_penalty(tmp_path):
    assert examine(_log(tmp_path, {PART: FLAT}), beta=0.02).cause == "slow"
    assert (
        examine(_log(tmp_path, {PART: np.zeros(len(STEPS)), "frac_reward_zero_std": 1.0})).cause == "too_hard"
    )


def test_what_no_model_knows_is_said(tmp_path):
    leap = np.where(STEPS == 70, 500.0, 0.4)
    found = examine(_log(tmp_path, {"grad_norm": leap, "sampling/sampling_logp_difference/mean": 0.05}))
    said = " ".join(examination_report.story(found))
    assert "the gradient norm leaps to 500 at step 70" in said
    assert "sampler and trainer differ by 0.05" in said
    assert examination_report.plain(found)["beyond"] == found.beyond


def test_a_course_has_levels_and_their_noise():
    random = np.random.default_rng(0)
    values = np.where(STEPS < 60, 0.2, 0.8) + 0.05 * random.standard_normal(len(STEPS))
    found = course(Signal("x", STEPS.astype(float), values))
    assert found.start == pytest.approx(0.2, abs=0.05)
    assert found.rise == pytest.approx(0.6, abs=0.07)
    assert found.noise == pytest.approx(0.05, rel=0.35)  # the jump does not enter
    assert found.error == pytest.approx(found.noise / np.sqrt(12))
    assert found.sure(found.rise)
    assert not found.sure(found.late)
    with pytest.raises(ValueError, match="x: 1 points; must be two or more"):
        course(Signal("x", np.array([1.0]), np.array([1.0])))


def test_a_batch_of_verdicts_tells_its_size():
    """Verdicts are multiples of one rollout; a reward with a part for format is not."""
    random, n = np.random.default_rng(0), 128
    right, form, cut = (random.binomial(n, p, 60) / n for p in (0.5, 0.8, 0.05))
    steps = np.arange(60.0)

    def full(values):
        signals = Signals(
            "x",
            "x",
            Signal("critic/score/mean", steps, values),
            None,
            {},
            {"truncated": Signal("cut", steps, cut)},
        )
        return vitals.full_reward(signals)

    assert full(right) == 1.0
    assert full(2 * right) == 2.0
    assert full(right + 0.2 * form) == 0.0


def test_advice_from_a_log(tmp_path, capsys):
    path = _log(tmp_path, CASES["length_drift"])
    assert cli.main(["advise", "--from", str(path), "--group-size", "8"]) == 0
    said = capsys.readouterr().out
    assert "The log: Length: answers grow from" in said
    assert said.index("Silent groups") < said.index("The log:")
    assert cli.main(["advise", "--from", str(path), "--group-size", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examination"]["cause"] == "length_drift"

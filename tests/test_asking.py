"""What an asker brings to `qra advise`: pass rates, pass@k, a start and an end, a learning rate, a log."""

import json
import subprocess
import sys

import numpy as np
import pytest

from qra_jax import cli
from qra_jax.consult import inputs, rates
from qra_jax.fit import runs
from qra_jax.fit.runs.signals import signals

RATES = [0, 0.03, 0.35, 0.6, 0.8, 0.97, 1, 1, 1, 1, 0.75, 0.9]


def _advise(capsys, *words):
    assert cli.main(["advise", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def pass_rates(tmp_path):
    path = tmp_path / "pass_rates.csv"
    path.write_text("question,pass_rate\n" + "".join(f"q{i},{rate}\n" for i, rate in enumerate(RATES)))
    return str(path)


def test_silent_groups_of_a_set_of_questions(capsys, pass_rates):
    found = _advise(capsys, "--questions", pass_rates, "--group-size", "8")["outlook"]
    rate = np.array(RATES)
    assert found["silent"]["first"] == pytest.approx(np.mean(rate**8 + (1 - rate) ** 8))
    assert found["silent"]["of_equal_questions"] == pytest.approx(rate.mean() ** 8 + (1 - rate.mean()) ** 8)
    assert found["gain"] is None  # η is not known
    assert cli.main(["advise", "--questions", pass_rates, "--group-size", "8"]) == 0
    said = capsys.readouterr().out
    assert "η is not known, so only what does not depend on it is said" in said
    assert f"Silent groups: {found['silent']['first']:.0%} of groups of 8" in said
    assert "Assumed: 64 prompts a step (--batch-prompts), 1000 steps (--steps)." in said


def test_rates_of_few_tries_are_freed_of_their_noise(tmp_path):
    random = np.random.default_rng(0)
    right = random.binomial(8, random.beta(0.8, 1.7, 1000))
    path = tmp_path / "counts.csv"
    path.write_text("question,correct,n\n" + "".join(f"q{i},{k},8\n" for i, k in enumerate(right)))
    counted = inputs.questions(str(path))
    path.write_text("question,pass_rate\n" + "".join(f"q{i},{k / 8}\n" for i, k in enumerate(right)))
    rated = inputs.questions(str(path))
    assert rated.silent(8) == pytest.approx(counted.silent(8))
    assert np.mean(np.isin(right, (0, 8))) > counted.silent(64) + 0.1


def test_eta_of_a_start_an_end_and_steps(capsys):
    words = [
        "--pass-at",
        "1=.311",
        "2=.478",
        "4=.643",
        "8=.769",
        "16=.845",
        "--group-size",
        "8",
        "--steps",
        "100",
    ]
    found = _advise(capsys, *words, "--went", ".311", ".571")["outlook"]
    assert found["gain"]["median"][0] == pytest.approx(0.311, abs=1e-6)
    assert found["gain"]["median"][-1] == pytest.approx(0.571, abs=0.005)
    eta = found["eta"]["median"]
    given = _advise(capsys, *words, "--eta", str(eta))["outlook"]
    assert given["eta"]["interval"] == [eta, eta]
    by_rate = _advise(capsys, *words, "--learning-rate", "1e-6")["outlook"]["eta"]
    assert by_rate["median"] == pytest.approx(rates.measured(1e-6).median)
    assert by_rate["interval"][1] > 30 * by_rate["interval"][0]


def test_eta_of_patterns_is_that_of_the_orbit(capsys):
    words = [
        "--ref",
        ".3",
        ".7",
        "--success",
        "1",
        "0",
        "--runs",
        "64",
        "--steps",
        "200",
        "--group-size",
        "8",
    ]
    found = _advise(capsys, *words, "--went", ".3", ".8")["advice"]
    assert found["accuracy_without_noise"] == pytest.approx(0.8, abs=0.01)
    assert cli.main(["advise", *words, "--went", ".5", ".8"]) == 2
    assert "went: starts at 0.5; must be near 0.3" in capsys.readouterr().err


def test_a_verifier_that_errs_is_part_of_the_orbit_of_went(capsys):
    words = [
        "--ref",
        ".3",
        ".7",
        "--success",
        "1",
        "0",
        "--runs",
        "64",
        "--steps",
        "200",
        "--group-size",
        "8",
    ]
    found = _advise(capsys, *words, "--tpr", ".9", "--fpr", ".3", "--went", ".3", ".8")["advice"]
    assert found["accuracy_without_noise"] == pytest.approx(0.8, abs=0.01)


def test_questions_without_a_chance_are_said_to_be(capsys, tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("question,pass_rate\na,0\nb,0\n")
    assert cli.main(["advise", "--questions", str(path), "--eta", ".1"]) == 0
    assert "Nothing to learn: no rollout is ever right" in capsys.readouterr().out
    path.write_text("question,correct,n\na,1,8\nb,0,8\n")
    assert inputs.questions(str(path)).mean == pytest.approx(1 / 16, rel=1e-3)


def test_a_configuration_leaves_no_option_aside_in_silence(capsys, tmp_path):
    config = tmp_path / "grpo.json"
    config.write_text(json.dumps({"num_generations": 8}))
    for option in (["--group-size", "16"], ["--sampling-temperature", ".5"], ["--surrogate", "none"]):
        assert cli.main(["advise", "--pass-at", "1=.3", "8=.7", "--config", str(config), *option]) == 2
        assert f"{option[0][2:]}: given with a configuration" in capsys.readouterr().err


def test_options_by_their_usual_names(capsys, pass_rates):
    usual = [
        "--num-generations",
        "4",
        "--epsilon",
        ".2",
        "--entropy-coeff",
        ".01",
        "--kl-coef",
        ".5",
        "--max-steps",
        "50",
    ]
    own = [
        "--group-size",
        "4",
        "--clip-low",
        ".2",
        "--clip-high",
        ".2",
        "--entropy-bonus",
        ".01",
        "--beta",
        ".5",
    ]
    both = [
        _advise(capsys, "--questions", pass_rates, "--eta", ".1", *words)
        for words in (usual, [*own, "--steps", "50"])
    ]
    assert both[0] == both[1]
    assert both[0]["outlook"]["rest"] < 0.95


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "missing: --ref and --success, or --questions, --pass-at or --from"),
        (["--pass-at", "1:.3"], "pass-at: '1:.3'; must be K=SHARE, such as 8=.64"),
        (["--pass-at", "1=.3"], "pass-at: 1 of them; must be two or more, such as 1=.31 8=.64"),
        (["--pass-at", "1=.3", "8=.7", "--went", ".3"], "went: 1 numbers; must be START END"),
        (["--pass-at", "1=.3", "8=.7", "--went", ".5", ".4"], "went: from 0.5 to 0.4; must be a rise"),
        (["--pass-at", "1=.3", "8=.7", "--reward", ".3"], "reward: given without ref; must be with patterns"),
        (["--pass-at", "1=.3", "8=.7", "--plot", "x.png"], "plot: given without ref; must be with patterns"),
        (["--pass-at", "1=.3", "8=.7", "--went", "1.2", ".5"], "went: 1.2; must be in (0, 1)"),
        (["--pass-at", "1=.3", "8=.7", "--went", ".3", "1"], "went: 1; must be in (0, 1)"),
        (
            ["--ref", ".5", ".5", "--success", "1", "0", "--went", ".5", ".9", "--beta", ".1"],
            "beta: given with went",
        ),
        (["--questions", "nowhere.csv"], "nowhere.csv"),
        (["--from", "nowhere.csv"], "nowhere.csv"),
        (
            ["--ref", ".5", ".5", "--success", "1", "0", "--surrogate", "spo"],
            "surrogate: 'spo'; must be one of",
        ),
    ],
)
def test_bad_input_is_one_line(words, message, capsys):
    assert cli.main(["advise", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("option", ["--questions", "--from"])
def test_files_are_refused_before_jax(option, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("name,size\na,b\n")
    code = (
        "import sys; from qra_jax.cli import main; "
        f"code = main(['advise', {option!r}, {str(path)!r}]); assert 'jax' not in sys.modules; sys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_signals_of_each_trainer(tmp_path):
    def read(rows):
        path = tmp_path / "log.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows))
        return signals(runs.log(path))

    verl = [{"step": 0, "data": {"val-core/math/acc/mean@4": 0.2}}]
    for i in range(1, 12):
        data = {
            "training/global_step": i,
            "critic/score/mean": 0.1 * i,
            "actor/entropy": 1 / i,
            "actor/kl_coef": 0.01,
        }
        verl.append({"step": i, "data": data | {"actor/ppo_kl": 0.0, "response_length/clip_ratio": 0.1}})
    found = read(verl)
    assert found.accuracy.column == "critic/score/mean"
    assert found.evaluation.steps.tolist() == [0.0]  # a first evaluation without the trainer's own count
    assert {"entropy", "coefficient", "drift", "truncated"} <= set(found.others)
    trl = [
        {"step": i, "reward": 1.2, "rewards/format_reward/mean": 0.5, "rewards/check/mean": i / 20}
        for i in range(1, 9)
    ]
    trl.append({"step": 8, "eval_rewards/check/mean": 0.4})
    found = read([row | {"frac_reward_zero_std": 0.5, "num_generations": 8} for row in trl])
    assert (found.accuracy.column, found.group_size) == ("rewards/check/mean", 8)
    assert found.evaluation.values.tolist() == [0.4]
    assert [*found.parts] == ["format_reward", "format"]
    mixed = read([{"step": i, "env/all/correct": 0.5, "env/all/by_group/frac_mixed": 0.3} for i in range(5)])
    assert mixed.get("silent").values.tolist() == pytest.approx([0.7] * 5)


def test_files_that_a_trial_found(tmp_path):
    """Public shapes: numbers as strings, epochs in place of steps, a mean of right ones beside a reward."""
    path = tmp_path / "console.log"
    rows = [
        {
            "loss": "0.02",
            "rewards/accuracy_reward/mean": f"{i % 5 / 8}",
            "reward": "1.2",
            "epoch": f"{i / 40:.2f}",
        }
        for i in range(40)
    ]
    path.write_text("\n".join(map(str, rows)))
    points = runs.read(path)
    assert (points.column, len(points.steps), points.samples[0]) == ("rewards/accuracy_reward/mean", 40, 8)
    assert points.steps.tolist() == list(range(1, 41))  # rounded epochs would merge rows
    assert any("steps are the rows" in note for note in points.notes)
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        "\n".join(json.dumps({"step": i, "mean_reward": i / 99, "mean_correct": i / 64}) for i in range(9))
    )
    assert runs.read(path).column == "mean_correct"
    path = tmp_path / "table.tsv"
    path.write_text(
        "step\treward\trewards / correctness / mean\n" + "".join(f"{i}\t1.5\t{i / 8}\n" for i in range(8))
    )
    assert runs.read(path).column == "rewards/correctness/mean"
    path = tmp_path / "digits.csv"
    values = np.random.default_rng(0).binomial(1024, 0.5, 300) / 1024
    path.write_text("step,accuracy\n" + "".join(f"{i},{value:.3f}\n" for i, value in enumerate(values)))
    assert runs.read(path).samples is None  # three digits tell no number of samples
    path = tmp_path / "tries.csv"
    path.write_text("question,correct\n" + "".join(f"q{i},{i % 2}\n" for i in range(20)))
    with pytest.raises(ValueError, match="all 0 or 1, one try each; must be rates of several tries"):
        inputs.questions(str(path))


def test_a_log_is_overruled_as_for_fit(capsys, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,a,b\n" + "".join(f"{i},{1 + i / 40},{i / 20}\n" for i in range(20)))
    assert cli.main(["advise", "--from", str(path)]) == 2
    assert "name the measured one by --column" in capsys.readouterr().err
    found = _advise(capsys, "--from", str(path), "--column", "a", "--range", "1", "2", "--group-size", "8")
    assert found["examination"]["level"][0] == pytest.approx(0.01, abs=0.02)


def test_what_is_assumed_or_never_acts_is_said(capsys):
    words = ["advise", "--pass-at", "1=.3", "8=.7", "--eta", ".02", "--steps", "200", "--clip-high", ".2"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "Assumed: 64 prompts a step (--batch-prompts), groups of 16 (--group-size)." in said
    assert "the clip never acts" in said
    assert "Pass@1 0.3 → " in said
    assert cli.main(["advise", "--pass-at", "1=.3", "8=.7", "--lr", "5e-5"]) == 0
    said = capsys.readouterr().out
    assert "a learning rate of 5e-05 is one at which runs of language models collapse" in said
    assert "8 cases in 10, the middle one" in said

"""Advice: what bites is found when it is put there; words, JSON and figure say the same."""

import json
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

import qra_jax as qra
from qra_jax import cli, orbit, presets
from qra_jax.consult import (
    Hyperparameters,
    advice,
    advice_figure,
    advice_report as words,
    advise,
    changes,
    diagnose,
    hyperparameters,
    rates,
)

NAMES = ["direct", "steps", "guess"]
FAST = qra.problem.examples.fast()
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def noisy():
    """Great steps of small groups on a rare best pattern: sampling noise is what bites."""
    problem = qra.Problem.from_probs(ref=[0.02, 0.68, 0.3], success=[0.9, 0.6, 0.1])
    return advise(KEY, problem, Hyperparameters(learning_rate=2.0, group_size=4, steps=300), runs=256)


def test_noise_bites(noisy):
    assert noisy.regime == "entangled"
    assert noisy.now.lost > 0.2
    assert noisy.expected > 0.89  # the exact mean path finds the best pattern
    assert noisy.first_limit is not None
    assert noisy.first_limit.name == "no sampling noise"
    assert noisy.best_change is not None
    assert noisy.best_change.accuracy > noisy.now.accuracy + 0.05
    larger = next(one for one in noisy.changes if one.name.startswith("groups of 16"))
    assert larger.lost < noisy.now.lost
    assert larger.cost == pytest.approx(1, abs=0.05)  # in a quarter of the steps
    assert noisy.paths.accuracy.shape == (3, len(noisy.paths.step))
    assert noisy.paths.accuracy[1, 0] == pytest.approx(float(noisy.problem.accuracy_ref))


def test_words_json_and_figure_agree(noisy):
    text = "\n".join(words.story(noisy, NAMES))
    assert "noise loses direct in" in text
    assert "Failure: lost pattern, in" in text
    order = [
        text.index(word) for word in ("Gain:", "Collapse:", "Failure:", "First limit", "What helps most")
    ]
    assert order == sorted(order)
    assert "First limit that bites: with no sampling noise" in text
    assert f"What helps most at as many rollouts: {noisy.best_change.name}" in text
    record = words.plain(noisy)
    assert record["first_limit"] == "no sampling noise"
    assert record["now"]["lost"] == noisy.now.lost
    assert record["path"]["accuracy"][-1] == noisy.paths.accuracy[1, -1]
    assert {one["kind"] for one in record["changes"]} == {"limit", "change"}
    figure = advice_figure.draw(noisy, NAMES)
    assert isinstance(figure, Figure)
    changes = figure.axes[2]
    assert changes.get_title(loc="left") == f"Helps most: {noisy.best_change.name.partition(':')[0]}"
    shown = [text.get_text() for text in changes.get_legend().get_texts()]
    assert shown == ["as it is", "helps most", "first limit, taken away", "others"]


def test_a_stall_that_the_exact_path_shares_is_no_collapse():
    """The best pattern is squeezed without noise, too, and comes back later: time bites, nothing collapses."""
    problem = qra.Problem.from_probs(ref=[0.002, 0.3, 0.698], success=[0.9, 0.6, 0.1])
    found = advise(KEY, problem, Hyperparameters(learning_rate=4.0, group_size=64, steps=100), runs=64)
    assert found.now.lost == 0
    assert found.first_limit is None
    assert found.log10_steps > 2
    assert "First limit that bites: time" in "\n".join(words.story(found, NAMES))


def test_no_change_is_named_where_nothing_can_help():
    """Equal patterns: every change gives the same accuracy, whatever the noise."""
    found = advise(KEY, qra.Problem.from_probs([0.5, 0.5], [0.6, 0.6]), Hyperparameters(steps=20), runs=64)
    assert found.first_limit is found.best_change is None
    assert words.story(found, NAMES) == [
        "Nothing to learn: all patterns are right as often (0.6); reward does not tell them apart."
    ]
    still = advise(KEY, FAST, Hyperparameters(steps=20, learning_rate=0.0), runs=64)
    assert not any("learning rate" in one.name for one in still.changes)
    assert "First limit that bites: the learning rate. It is 0" in "\n".join(words.story(still, NAMES))


def test_a_reward_that_is_always_zero_is_said_to_be():
    never = qra.Problem.from_probs([0.5, 0.3, 0.2], [0.0, 0.0, 0.0])
    found = advise(KEY, never, Hyperparameters(steps=20), runs=64)
    assert words.story(found, NAMES)[0].startswith("Nothing to learn: no rollout is ever right")
    assert words.plain(found)["nothing_to_learn"]


def test_draws_of_groups_that_are_kept():
    """At .02 and G = 8 a group is mixed in 1 − .02⁸ − .98⁸ = 15 % of all draws: 6.7 of them for each that is kept."""
    rare = qra.Problem.from_probs([0.02, 0.98], [1.0, 0.0])
    settings = Hyperparameters(algorithm="dapo", group_size=8, learning_rate=0.1, steps=50)
    found = advise(KEY, rare, settings, runs=64)
    assert found.paths.draws[0] == pytest.approx(1 / (1 - 0.02**8 - 0.98**8), rel=1e-5)
    assert any("6.7 groups for each one that is kept at first" in line for line in words.story(found, NAMES))
    assert words.plain(found)["draws_per_kept_group"][0] == found.paths.draws[0]


def test_entropy_that_rises_again_is_not_gone():
    rare = qra.Problem.from_probs([0.002, 0.998], [1.0, 0.0])
    found = advise(KEY, rare, Hyperparameters(group_size=8, learning_rate=0.2, steps=400), runs=64)
    path = found.paths.entropy[1]
    assert path[0] < advice.FLAT
    ends_above = path[-1] >= advice.FLAT
    assert (found.flat == -1) == ends_above
    if not ends_above:
        assert (path[found.paths.step >= found.flat] < advice.FLAT).all()


def test_a_learning_rate_of_an_optimizer_is_no_eta(capsys):
    question = ["advise", "--ref", ".6", ".4", "--success", "1", "0", "--steps", "20", "--runs", "64"]
    assert cli.main([*question, "--eta", "5e-6"]) == 0
    assert "Careful: η = 5e-06 is a step of the logits" in capsys.readouterr().out
    assert cli.main([*question, "--lr", "1e-6", "--json"]) == 0
    rate = json.loads(capsys.readouterr().out)["advice"]["settings"]["learning_rate"]
    assert rate == pytest.approx(rates.measured(1e-6).median)
    assert cli.main([*question, "--num-generations", "1"]) == 2
    assert "group-size: 1; must be 2" in capsys.readouterr().err


def test_a_reward_that_is_not_accuracy():
    """The pattern of format alone is paid and never right: reward rises, accuracy falls, the reward is the limit."""
    problem = qra.Problem.from_probs([0.3, 0.3, 0.4], [0.8, 0.2, 0.0])
    settings = Hyperparameters(learning_rate=0.1, group_size=8, steps=200)
    found = advise(KEY, problem, settings, reward=[0.8, 0.2, 1.0], runs=64)
    assert found.paths.reward[1, -1] > 0.9
    assert found.now.accuracy < 0.1
    shares = {one.name: one.share for one in found.failures}
    assert shares["reward up, accuracy down"] == 1.0
    assert "too high a rate" not in shares
    assert found.first_limit is not None
    assert found.first_limit.name == changes.RIGHT
    assert "the reward is wrong" in "\n".join(words.story(found, NAMES))
    same = advise(KEY, problem, settings, reward=[0.8, 0.2, 0.0], runs=64)
    plain = advise(KEY, problem, settings, runs=64)
    assert same.now.accuracy == plain.now.accuracy
    with pytest.raises(ValueError, match=r"reward\[0\]: 1.2; must be in \[0, 1\]"):
        advise(KEY, problem, settings, reward=[1.2, 0.2, 0.0], runs=64)


def test_where_a_kl_term_rests_is_a_failure():
    problem = qra.Problem.from_probs([0.3, 0.7], [1.0, 0.0])
    found = advise(
        KEY, problem, Hyperparameters(learning_rate=0.2, group_size=8, steps=400, beta=1.0), runs=64
    )
    shares = {one.name: one.share for one in found.failures}
    assert shares["KL resting point"] > 0.9
    free = advise(KEY, problem, Hyperparameters(learning_rate=0.2, group_size=8, steps=400), runs=64)
    assert "KL resting point" not in {one.name for one in free.failures}


def test_one_rule_says_whether_anything_bites(noisy):
    """A limit is named only where more than `NEAR` of what there is to win is left."""
    top, base = 0.9, float(noisy.problem.accuracy_ref)
    for left, bites in ((0.06, True), (0.04, False)):
        now = replace(noisy.now, accuracy=top - left * (top - base))
        assert replace(noisy, now=now, failures=[]).near != bites
        assert not replace(
            noisy, now=now
        ).near  # a good mean, of runs of which a quarter lose the best pattern
    near = advise(KEY, qra.problem.examples.fast(), Hyperparameters(steps=300, learning_rate=0.5), runs=64)
    assert near.near
    assert near.first_limit is None
    assert "Nothing bites: accuracy has come 9" in "\n".join(words.story(near, NAMES))


def test_a_better_row_than_the_one_named_is_explained(noisy):
    best = noisy.best_change
    dear = replace(best, name="another", accuracy=best.accuracy + 1e-3, limit=False)
    text = words.story(replace(noisy, changes=[dear, *noisy.changes]), NAMES)[-1]
    assert "(another gives 0.9, but differences up to 0.0044 count as none, and of equals the" in text
    assert "count as none" not in words.story(noisy, NAMES)[-1]


def test_as_much_sft_is_tried_as_solve_names(noisy):
    named = diagnose(noisy.problem).sft.mass
    assert any(one.name == f"SFT first: best from 0.02 to {named:.3g}" for one in noisy.changes)
    bare = qra.Problem.from_probs([0.0, 0.2, 0.8], [0.9, 0.9, 0.5])  # of two best patterns one has no share
    assert np.exp(changes.tuned(bare)) == pytest.approx([0, 0.28, 0.72])


def test_outliers_stand_at_the_edge_of_the_figure(noisy):
    rows = [0.9, 0.899, 0.898, 0.897, 0.893, 0.64]
    changes = [replace(noisy.now, name=str(value), accuracy=value, error=1e-3) for value in rows]
    found = replace(noisy, now=replace(noisy.now, accuracy=0.892), changes=changes, first_limit=None)
    assert advice_figure._least(found) == 0.892
    ax = advice_figure.draw(found, NAMES).axes[2]
    assert ax.get_xlim()[0] > 0.8
    assert "◂ 0.64" in [text.get_text() for text in ax.texts]
    assert advice_figure._least(replace(found, now=replace(found.now, accuracy=0.6))) == 0.6


def test_a_bad_verifier_bites():
    found = advise(KEY, FAST, Hyperparameters(steps=100, learning_rate=0.5, tpr=0.6, fpr=0.55), runs=256)
    assert found.first_limit is not None
    assert found.first_limit.name == "a perfect verifier"
    assert found.log10_steps > 2


def test_time_bites():
    found = advise(
        KEY, qra.problem.examples.worked(), Hyperparameters(steps=50, learning_rate=0.02), runs=128
    )
    assert found.first_limit is None
    assert "First limit that bites: time" in "\n".join(words.story(found, NAMES))
    assert found.best_change is not None


def test_stale_clipped_epochs_are_run_as_given():
    settings = Hyperparameters(steps=40, epochs=2, staleness=2, clip_low=0.2, clip_high=0.2, beta=0.1)
    found = advise(KEY, FAST, settings, runs=64)
    names = {one.name for one in found.changes}
    assert {"fresh rollouts", "no clipping", "no KL term", "upper clip at 0.4"} <= names
    assert found.paths.clipped.max() > 0


@pytest.mark.parametrize("algorithm", hyperparameters.ALGORITHMS)
def test_every_algorithm_has_a_largest_group(algorithm):
    assert hyperparameters.ALGORITHMS[algorithm](12).group_size == 12


def test_algorithms_follow_the_registry():
    """Every registered algorithm that a group size says enough of, for one question."""
    assert {"grpo", "maxrl", "signed", "remax", "opo", "grpo_passk", "dynamic_sampling"} <= {
        *hyperparameters.ALGORITHMS
    }
    assert not {"gpg", "reinforce_pp", "dpo", "pass_at_k", "tsallis"} & {*hyperparameters.ALGORITHMS}


CONFIG = {
    "num_generations": 4,
    "scale_rewards": "batch",
    "epsilon": 0.1,
    "epsilon_high": 0.2,
    "beta": 0.05,
    "num_iterations": 2,
    "top_entropy_quantile": 0.2,
}


def test_a_trainers_setup_is_advised_on():
    settings, asides = Hyperparameters.of(presets.read(CONFIG).setup, learning_rate=0.5, steps=20)
    assert (settings.group_size, settings.epochs, settings.beta) == (4, 2, 0.05)
    assert (settings.clip_low, settings.clip_high) == (0.1, 0.2)
    assert settings.trained.batch is None
    assert settings.trained.group_size == 16
    assert any("divides by its whole batch" in line for line in asides)
    found = advise(KEY, FAST, settings, runs=64)
    assert found.paths.clipped.max() > 0
    assert {"no clipping", "no KL term"} <= {one.name for one in found.changes}
    with pytest.raises(ValueError, match="must have a group size of 2 or above"):
        Hyperparameters.of(qra.Setup(qra.reinforce()))


def test_a_configuration_on_the_command_line(capsys, tmp_path):
    file, question = tmp_path / "grpo.json", ["--ref", ".25,.7,.05", "--success", ".9,.6,.1"]
    file.write_text(json.dumps({**CONFIG, "scale_rewards": "group", "epsilom": 1}))
    assert cli.main(["solve", *question, "--config", str(file)]) == 0
    said = capsys.readouterr().out
    assert "grpo.json" in said
    assert "epsilom (nearest: epsilon)" in said
    assert cli.main(["solve", *question, "--config", str(file), "--json"]) == 0
    times = json.loads(capsys.readouterr().out)["log10_time"]["grpo.json"]
    expected = orbit.log_hitting_time(FAST, algorithm=qra.grpo(4, ddof=1, epsilon=1e-4))
    assert times["target"] == pytest.approx(float(expected) / np.log(10), rel=1e-9)
    options = ["--steps", "20", "--runs", "64", "--config", str(file)]
    assert cli.main(["advise", *question, *options]) == 0
    assert "top_entropy_quantile" in capsys.readouterr().out
    assert cli.main(["advise", *question, *options, "--beta", ".1"]) == 2
    assert "beta: given with a configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("[1, 2]", "grpo.json"),
        ('{"num_generations": [8], "epsilon": 0.2}', "num_generations"),
        ('{"num_generations": 8, "epsilon": -1}', "epsilon"),
    ],
)
def test_files_that_are_no_configuration_are_refused_before_jax(text, message, tmp_path):
    file = tmp_path / "grpo.json"
    file.write_text(text)
    code = (
        "import sys; from qra_jax.cli import main; "
        f"code = main(['solve', '--ref', '.5', '.5', '--success', '1', '0', '--config', {str(file)!r}]); "
        "assert 'jax' not in sys.modules; sys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_best_is_out_of_reach():
    with pytest.raises(ValueError, match=r"ref: the best pattern has share 0"):
        advise(KEY, qra.Problem.from_probs(ref=[0.0, 1.0], success=[0.9, 0.5]), runs=64)
    with pytest.raises(ValueError, match=r"runs: 10; must be 64 or above"):
        advise(KEY, FAST, runs=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate: -1; must be zero or positive"),
        ({"group_size": 1}, "group_size: 1; must be 2 or above"),
        ({"algorithm": "ppo"}, "algorithm: 'ppo'; must be one of"),
        ({"clip_low": 2.0}, r"clip_low: 2; must be in \[0, 1\]"),
        ({"staleness": -1}, "staleness: -1; must be 0 or above"),
        ({"tpr": 1.2}, r"tpr: 1.2; must be in \[0, 1\]"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Hyperparameters(**options)


def test_overflow_is_said(noisy):
    broken = replace(noisy, now=replace(noisy.now, diverged=0.5))
    assert "left the numbers" in "\n".join(words.story(broken, NAMES))
    band = advice._band(np.array([[1.0, np.nan, np.nan], [3.0, 2.0, np.nan]]))
    np.testing.assert_allclose(band[1], [2, 2, 0])  # over the runs that are numbers


def test_command(capsys, tmp_path):
    figure = tmp_path / "runs.png"
    arguments = ["advise", "--ref", ".25,.7,.05", "--success", ".9,.6,.1", "--steps", "50", "--runs", "64"]
    assert cli.main([*arguments, "--plot", str(figure)]) == 0
    said, told = capsys.readouterr()
    assert told == f"wrote {figure}\n"
    assert "Gain: accuracy goes from 0.65" in said
    assert said.endswith("Terms: docs/concepts.md\n")
    assert all(line == line.rstrip() for line in said.splitlines())
    assert "as it is" in said
    assert figure.stat().st_size > 10_000
    assert cli.main([*arguments, "--group-size", "1"]) == 2
    assert "group-size: 1; must be 2 or above" in capsys.readouterr().err

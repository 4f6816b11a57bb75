"""`qra solve`: reference times, degenerate problems, the SFT advice against the flow."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from qra_jax import _show, flow
from qra_jax.consult import Times, diagnose, diagnosis_figure as figure, diagnosis_report as words
from qra_jax.problem import Problem, examples
from qra_jax.trajectory import Status

REFERENCE = json.loads((Path(__file__).parent / "data" / "hitting_times.json").read_text())["cases"]
ALGORITHMS = ["reinforce", "grpo_mean_field", "grpo_G8", "filtered_sft_per_accepted"]
BEST_OF_THREE = [case for case in REFERENCE if len(case["ref"]) in (3, 4)]


def solved(ref, success, target=0.99):
    names = [f"p{r}" for r in range(len(ref))]
    text = words.to_json(diagnose(Problem.from_probs(ref, success), target), names)
    return json.loads(text, parse_constant=pytest.fail)


def told(ref, success, target=0.99):
    console = Console(width=100, file=io.StringIO())
    diagnosis = diagnose(Problem.from_probs(ref, success), target)
    words.show(diagnosis, [f"p{r}" for r in range(len(ref))], console)
    return console.file.getvalue()


@pytest.mark.parametrize("case", BEST_OF_THREE, ids=lambda case: f"n={len(case['ref'])}")
@pytest.mark.parametrize("target", [0.9, 0.99])
def test_reference_times(case, target):
    ref = np.array(case["ref"]) / np.sum(case["ref"])
    answer = solved(ref, case["success"], target)
    assert answer["dominance"] == case["dominance_sequence"]
    assert answer["accuracy_ref"] == pytest.approx(float(case["accuracy_at_0"]), rel=1e-9)
    for name in ALGORITHMS:
        expected = float(case["times"][f"pi_best_{target}"][name])
        assert 10 ** answer["log10_time"][name]["target"] == pytest.approx(expected, rel=1e-8)
        expected = float(case["times"]["accuracy_exceeds_second_best"][name])
        transition = answer["log10_time"][name]["transition"]
        if expected == 0:
            assert transition is None
        else:
            assert 10**transition == pytest.approx(expected, rel=1e-8)


def test_worked_example_in_json():
    answer = solved([0.05, 0.7, 0.25], [0.9, 0.6, 0.1])
    fixed = {"regime", "gamma", "accuracy_ref", "best", "dominance", "log10_time", "status"}
    assert set(answer) == fixed | {"verdict", "patterns", "target", "dominance_log10_time", "sft"}
    assert (answer["verdict"], answer["target"], answer["patterns"]) == ("no stall", 0.99, ["p0", "p1", "p2"])
    assert answer["dominance_log10_time"] == [None, pytest.approx(np.log10(91.87), abs=1e-3)]
    assert answer["sft"]["mass"] == pytest.approx(0.38923, abs=1e-5)
    assert 10 ** answer["sft"]["log10_time"] == pytest.approx(1.975, abs=1e-3)
    assert 10 ** answer["sft"]["log10_time_after"]["reinforce"] == pytest.approx(169.9, abs=0.1)
    assert set(answer["sft"]["log10_time_after"]) == set(answer["log10_time"])
    assert answer["regime"] == "entangled"
    assert answer["gamma"] == pytest.approx(6)
    assert (answer["best"], answer["status"]) == (0, "ok")
    assert set(ALGORITHMS) <= set(answer["log10_time"])


@pytest.mark.parametrize(
    ("ref", "success", "status"),
    [
        ([1.0], [0.5], "target already met"),
        ([0.995, 0.004, 0.001], [0.9, 0.1, 0.2], "target already met"),
        ([0.5, 0.3, 0.2], [0.7, 0.7, 0.7], "all success rates are equal: nothing moves"),
        ([0.2, 0.4, 0.4], [0.0, 0.0, 0.0], "all success rates are equal: nothing moves"),
        ([0.0, 0.4, 0.6], [0.9, 0.5, 0.1], "best pattern has no reference mass: unreachable"),
        ([0.3, 0.4, 0.3], [0.9, 0.5, 0.9], "ties for best: patterns 0 and 2; the first is taken"),
    ],
)
def test_degenerate_problems_have_no_times_and_say_why(ref, success, status):
    answer = solved(ref, success)
    assert status in answer["status"]
    assert all(time["target"] is None for time in answer["log10_time"].values())
    assert told(ref, success)


def test_a_fast_problem_has_no_transition():
    answer = solved([0.25, 0.70, 0.05], [0.9, 0.6, 0.1])
    assert (answer["regime"], answer["gamma"], answer["sft"]) == ("fast", None, None)
    assert all(time["transition"] is None for time in answer["log10_time"].values())
    assert all(time["target"] > 0 for time in answer["log10_time"].values())


def test_certain_patterns():
    answer = solved([0.2, 0.4, 0.4], [1.0, 0.0, 0.5])
    assert answer["status"] == "ok"
    assert all(np.isfinite(time["target"]) for time in answer["log10_time"].values())


def test_switch_is_when_the_leaders_meet():
    diagnosis = diagnose(examples.worked())
    at = np.exp(diagnosis.log_switches[1])
    share = flow.solve(diagnosis.problem, ts=[at]).policy[0].tolist()
    assert diagnosis.leaders == [1, 0]
    assert share[0] == pytest.approx(share[1], abs=1e-5)


def test_a_vanishing_share_needs_much_sft_not_infinitely_much():
    diagnosis = diagnose(Problem.from_probs([1e-200, 0.7, 0.3], [0.9, 0.6, 0.1]))
    # θ(r*) rises at a speed of nearly one while the others fall: less than the 460 nats it starts below.
    assert 100 < np.exp(diagnosis.sft.log_time) < 460
    assert 0 < diagnosis.sft.mass < 1
    assert diagnosis.sft.log_time_after["reinforce"] < diagnosis.times["reinforce"].log_target


def test_a_cold_start_is_not_called_free_of_stalls():
    text = told([1e-9, 0.999999998, 1e-9], [0.9, 0.6, 0.6]).replace("\n", " ")
    assert "Fast regime" in text
    assert "stalls: 10^9" in text
    assert "nothing stalls" not in text
    assert "starts cold, at a share of 1e-9" in text


def test_what_is_never_reached_is_named():
    # Of two equal patterns the one with more mass wins by policy gradient; the natural gradient keeps 5 : 1.
    answer = solved([0.5, 0.4, 0.1], [0.9, 0.5, 0.9], 0.9)
    assert "target unreachable: natural_gradient" in answer["status"]
    assert "target unreachable: reinforce" not in answer["status"]
    assert "target unreachable" in solved([0.1, 0.4, 0.5], [0.9, 0.5, 0.9], 0.9)["status"].split("; ")


@pytest.mark.parametrize(
    ("value", "text"),
    [(99800, "1e5"), (0.000999, "1e-3"), (9996, "1e4"), (1234, "1230"), (0.00052, "5.2e-4"), (2e7, "10^7.3")],
)
def test_numbers_are_rounded_before_they_are_split(value, text):
    assert _show.from_log(np.log(value)) == text


def test_advice_ends_the_entanglement_and_no_less_would():
    problem = examples.worked()
    diagnosis = diagnose(problem)
    time = np.exp(diagnosis.sft.log_time)
    accuracy = flow.sft(problem, jnp.array([1.0, 0.0, 0.0]), ts=[0.99 * time, time, 1.01 * time]).accuracy
    assert accuracy[0] < 0.6 < accuracy[2]
    assert accuracy[1] == pytest.approx(0.6, abs=1e-6)
    assert 0.05 < diagnosis.sft.mass < 1
    assert diagnosis.sft.log_time_after["reinforce"] < diagnosis.times["reinforce"].log_target


def test_advice_shortens_a_stall_by_orders_of_magnitude():
    text = told([1e-8, 0.7, 0.29999999], [0.9, 0.8, 0.79])
    assert "stalls: 10^14.5 units" in text
    assert "SFT on p0" in text
    assert "857 units" in text.replace("\n", " ")


def test_words_of_the_worked_example():
    text = told([0.05, 0.7, 0.25], [0.9, 0.6, 0.1])
    for part in (
        "Entangled regime",
        "γ = 6",
        "271 units",
        "p1, then p0 from t = 91.9",
        "learning rate × steps",
    ):
        assert part in text
    assert "stalls" not in text


@pytest.mark.parametrize(
    ("ref", "success", "target", "verdict", "text"),
    [
        ([0.05, 0.7, 0.25], [0.9, 0.6, 0.1], 0.99, "no stall", "271 units of REINFORCE, 102 to 213 of GRPO"),
        ([1e-23, 0.7, 0.3], [0.9, 0.6, 0.1], 0.99, "stall", "SFT on p0 removes it (see below)"),
        ([1e-9, 0.999999998, 1e-9], [0.9, 0.6, 0.6], 0.99, "stall", "SFT that raises p0 shortens it"),
        ([0.5, 0.3, 0.2], [0.7, 0.7, 0.7], 0.99, "nothing to learn", "all success rates are equal (0.7)"),
        ([1.0], [0.5], 0.99, "nothing to learn", "only one pattern"),
        ([0.05, 0.7, 0.25], [0.9, 0.6, 0.1], 0.03, "already met", "p0 holds 0.05 of the base model"),
        ([0.0, 0.4, 0.6], [0.9, 0.5, 0.1], 0.99, "unreachable", "no share in the base model"),
        ([0.2, 0.5, 0.3], [0.9, 0.5, 0.9], 0.9, "unreachable", "p2 is as good, and not given up for it"),
    ],
)
def test_the_verdict_comes_first_and_follows_from_the_numbers(ref, success, target, verdict, text):
    assert solved(ref, success, target)["verdict"] == verdict
    lines = told(ref, success, target).splitlines()
    start = {"stall": "stalls"}.get(verdict, verdict)
    assert lines[0].startswith(f"Verdict: {start}: ")
    assert text in lines[0]
    assert (len(lines) == 1) == (verdict == "nothing to learn")
    assert verdict == "nothing to learn" or lines[-1] == "Terms: docs/concepts.md"
    assert not any("never units" in line or "grpo_G8" in line for line in lines)


def test_a_time_that_is_not_known_is_not_called_never():
    diagnosis = diagnose(examples.worked())
    lost = Times(0.0, np.inf, (Status.OK, Status.OUT_OF_PRECISION))
    broken = replace(diagnosis, times={**diagnosis.times, "reinforce": lost})
    assert words.verdict(broken, ["a", "b", "c"]).endswith("the time under REINFORCE is out of precision.")


@pytest.mark.parametrize("terminal", [True, False])
def test_lines_are_wrapped_for_people_and_whole_in_a_pipe(terminal):
    console = Console(width=60, file=io.StringIO(), force_terminal=terminal, highlight=False)
    words.show(diagnose(examples.worked()), ["a", "b", "c"], console)
    lines = re.sub(r"\x1b\[[\d;]*m", "", console.file.getvalue()).splitlines()
    assert (max(map(len, lines)) <= 60) == terminal
    if not terminal:
        assert all(line == line.rstrip() for line in lines)
    whole = " ".join(" ".join(lines).split())
    assert "REINFORCE takes 170 units from there, against 271 without." in whole


def test_no_advice_without_a_stall():
    assert "SFT is not needed" in told([0.25, 0.70, 0.05], [0.9, 0.6, 0.1])


def test_figure_marks_the_transition():
    diagnosis = diagnose(examples.worked())
    ax = figure.draw(diagnosis, ["a", "b", "c"]).axes[0]
    texts = " ".join(text.get_text() for text in ax.texts)
    assert "t = 42.7" in texts
    assert "t = 271" in texts
    assert "2 patterns lead in turn" in ax.get_title(loc="left")
    figure.draw(diagnose(Problem.from_probs([1.0], [0.5])), ["only"])


def test_figure_of_times_beyond_floats():
    diagnosis = diagnose(Problem.from_probs([1e-200, 0.7, 0.3], [0.9, 0.6, 0.1]))
    drawn = figure.draw(diagnosis, ["a", "b", "c"])
    drawn.canvas.draw()
    assert "cut at t = 10^250" in drawn.axes[0].get_title(loc="left")
    assert np.all(np.isfinite(drawn.axes[0].get_xlim()))


def test_target_outside_the_open_interval():
    with pytest.raises(ValueError, match=r"target: 1; must be in \(0, 1\)"):
        diagnose(examples.worked(), 1.0)


def test_switches_between_vanishing_shares_have_their_times():
    """At the last switch rounding in orbit time would give all to one of two leaders with equal shares."""
    ref = [1e-30, 1e-15, 1e-5, 1 - 1e-5]
    diagnosis = diagnose(Problem.from_probs(ref, [0.9, 0.8, 0.7, 0.6]))
    assert diagnosis.leaders == [3, 2, 1, 0]
    np.testing.assert_allclose(
        np.array(diagnosis.log_switches[1:]) / np.log(10), [5.70, 25.22, 70.22], atol=0.01
    )

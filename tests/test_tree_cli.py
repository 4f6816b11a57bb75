"""`qra solve --tree` from end to end, and its complaints in one line."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import qra_jax as qra
from qra_jax import cli
from qra_jax.cli.trees import as_credit, read_credit
from qra_jax.consult import tree_report
from qra_jax.consult.tree_diagnosis import diagnose_tree
from qra_jax.tree import Tree, credit, solve, tokens
from qra_jax.tree.file import load

ROOT = Path(__file__).parent.parent
EXAMPLE = str(ROOT / "docs" / "tree.yaml")
COIN = "steps: [{name: right, chance: .5, success: 1, length: 3}, {name: wrong, chance: .5, success: 0, length: 3}]"


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    """Compiled programs of these tests stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def coin(tmp_path):
    path = tmp_path / "coin.yaml"
    path.write_text(COIN)
    return str(path)


def complaint(capsys, *arguments):
    """The one line that bad input gives."""
    assert cli.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", output.err), output.err
    return output.err.strip()


BAD = {
    "none": (["solve"], "error: missing: --ref or --tree (see qra solve --help)"),
    "both": (["--tree", EXAMPLE, "--ref", "1"], "error: ref: given with tree; must not be"),
    "no tree": (["--ref", "1", "--success", "1", "--credit", "exact"], "error: credit: given without tree"),
    "no tree, size": (
        ["--ref", "1", "--success", "1", "--group-size", "4"],
        "error: group-size: given without tree",
    ),
    "no file": (["--tree", "no.yaml"], "error: no.yaml: no such file; must be a file with a tree"),
    "K": (["--tree", EXAMPLE, "--credit", "monte_carlo:0"], "'monte_carlo:0'; K must be a whole number"),
    "half a rollout": (
        ["--tree", EXAMPLE, "--credit", "monte_carlo:1.5"],
        "must have a whole number behind the colon",
    ),
    "rate": (["--tree", EXAMPLE, "--credit", "critic:2"], "credit: 'critic:2'; RATE must be in (0, 1]"),
    "no rate": (
        ["--tree", EXAMPLE, "--credit", "critic:"],
        "credit: 'critic:'; must have a number behind the colon",
    ),
    "depths": (["--tree", EXAMPLE, "--credit", "segments:4,2"], "depths must increase from 1 or above"),
    "no depths": (
        ["--tree", EXAMPLE, "--credit", "segments"],
        "must have whole numbers, such as segments:2,4",
    ),
    "name": (["--tree", EXAMPLE, "--credit", "sibling"], "must be one of exact, uniform, monte_carlo:K"),
    "numbers": (
        ["--tree", EXAMPLE, "--credit", "exact:2"],
        "credit: 'exact:2'; must be exact, without numbers",
    ),
    "size": (["--tree", EXAMPLE, "--group-size", "0"], "error: group-size: 0; must be 1 or above"),
    "target": (["--tree", EXAMPLE, "--target", "1"], "error: target: 1; must be in (0, 1)"),
    "target in words": (["--tree", EXAMPLE, "--target", "all"], "target: 'all' is not a number"),
    "plot": (["--tree", EXAMPLE, "--plot", "a.gif"], "plot: 'a.gif'; must end in .pdf, .png, .svg"),
    "config": (
        ["--tree", EXAMPLE, "--config", "a.yaml", "--algorithm", "grpo"],
        "algorithm: given with config",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_arguments_are_refused_in_one_line(capsys, monkeypatch, kind):
    from qra_jax.cli import actions

    monkeypatch.setattr(actions, "start_jax", lambda: pytest.fail("JAX is started"))
    words, expected = BAD[kind]
    assert expected in complaint(capsys, *(words if words[0] == "solve" else ["solve", *words]))


def test_what_needs_the_algorithms_is_refused_in_one_line(capsys):
    words = ["solve", "--tree", EXAMPLE, "--algorithm"]
    assert "error: algorithm: 'gro'; must be one of" in complaint(capsys, *words, "gro")
    said = complaint(capsys, *words, "dapo", "--credit", "siblings")
    assert "error: algorithm: GRPO, dynamic sampling with siblings; must not resample" in said


def test_nothing_slow_is_loaded_for_a_credit_that_is_none():
    code = (
        "import sys; from qra_jax.cli import main\n"
        "print(main(['solve', '--tree', sys.argv[1], '--credit', 'monte_carlo:0']),"
        " [name for name in ('jax', 'matplotlib', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, EXAMPLE], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "2 []\n"


def test_names_of_credit_are_those_of_the_package():
    for text, expected in (
        ("exact", credit.exact()),
        ("uniform", credit.uniform()),
        ("siblings", credit.siblings()),
        ("monte_carlo", credit.monte_carlo(9)),
        ("monte-carlo:4", credit.monte_carlo(4)),
        ("critic:.3", credit.critic(0.3)),
        ("segments:2,4", credit.exact(segments=(2, 4))),
    ):
        assert as_credit(*read_credit(text))[0] == expected


def test_a_coin_is_solved_as_by_hand(coin, capsys, tmp_path):
    """Two patterns, right and wrong: z + sinh z grows by t, and the noise of an update is that of a binomial number."""
    figure = tmp_path / "coin.png"
    words = ["solve", "--tree", coin, "--algorithm", "reinforce", "--json", "--plot", str(figure)]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert err == f"wrote {figure}\n"
    answer = json.loads(out)
    end = math.log(99)
    took = end + math.sinh(end)
    assert 10 ** answer["log10_time"] == pytest.approx(took, rel=1e-6)
    assert (answer["verdict"], answer["status"], answer["accuracy_ref"]) == ("no stall", "ok", 0.5)
    assert answer["best"] == {"name": "right", "path": ["right"], "success": 1.0, "chance": 0.5}
    assert answer["first_steps"][1] == {"name": "wrong", "chance": 0.5, "value": 0.0}
    uniform, exact = answer["credit"]["uniform"], answer["credit"]["exact"]
    # With R for a weight the update is (k/G)(½, -½); with R - V every rollout gives the same one.
    assert uniform["noise"] == pytest.approx(math.sqrt(0.5 * 0.25 / 8))
    assert exact["noise"] == pytest.approx(0, abs=1e-12)
    assert uniform["signal_to_noise"] == pytest.approx(math.hypot(0.25, 0.25) / uniform["noise"])
    assert uniform["tokens_per_update"] == exact["tokens_per_update"] == 24
    assert 10 ** uniform["log10_tokens_at_unit_rate"] == pytest.approx(24 * took, rel=1e-6)
    assert np.asarray(Image.open(figure)).std() > 10


def test_the_example_of_the_documents(capsys):
    """What docs/concepts.md says of docs/tree.yaml."""
    assert cli.main(["solve", "--tree", EXAMPLE]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Verdict: no stall: 639 units of GRPO, G = 8 until close the step holds 0.99")
    assert "On that way set up induction looks bad, with a value of 0.09 against 0.346 before it" in said
    assert (
        "At the start an update by exact credit is as noisy as one by uniform credit with 1.4 times" in said
    )
    text = (ROOT / "docs" / "concepts.md").read_text()
    for number in (".35", ".09", "639", "1.4 times"):
        assert number in text
    assert cli.main(["solve", "--tree", EXAMPLE, "--credit", "siblings", "--json"]) == 0
    stuck = json.loads(capsys.readouterr().out)
    assert (stuck["verdict"], stuck["log10_time"]) == ("stall", None)
    assert stuck["status"] == "target not reached before 10^6"


def test_times_and_tokens_are_those_of_the_flow():
    tree, how, algorithm = load(EXAMPLE), credit.monte_carlo(2), qra.rloo(4)
    found = diagnose_tree(tree, algorithm=algorithm, credit=how, name="two", target=0.9)
    alone = solve(tree, ts=np.linspace(0, 2000, 2001), algorithm=algorithm, event="best", target=0.9)
    end = float(alone.stats["event_time"])
    assert np.exp(found.log_time) == pytest.approx(end, rel=1e-5)
    cost = np.array([float(tokens(tree, one, group_size=4, credit=how)) for one in alone.log_policy[::100]])
    before = alone.time[::100] < end
    spent = np.trapezoid(np.append(cost[before], cost[-1]), np.append(alone.time[::100][before], end))
    assert np.exp(found.estimators[1].log_spent) == pytest.approx(spent, rel=0.05)
    assert [one.name for one in found.estimators] == ["uniform", "two"]
    assert found.share[-1] == pytest.approx(0.9, abs=1e-6)
    assert found.time[-1] == pytest.approx(end, rel=1e-5)


def test_what_is_not_ordinary_is_said():
    def verdict(*steps):
        tree = Tree.from_nested(
            {"steps": [dict(zip(("chance", "success"), one, strict=True)) for one in steps]}
        )
        found = diagnose_tree(tree, algorithm=qra.rloo(4))
        return tree_report.verdict(found), json.loads(tree_report.to_json(found))

    words, fields = verdict((0.5, 0.4), (0.5, 0.4))
    assert words == "Verdict: nothing to learn: all leaves are equally good, so nothing moves."
    assert fields["status"] == "target not reached before 10^6; all leaves are equally good: nothing moves"
    words, fields = verdict((0.995, 0.9), (0.005, 0.4))
    assert words.startswith("Verdict: already met: step 0 holds 0.995")
    assert (fields["log10_time"], fields["status"]) == (None, "target already met")
    words, fields = verdict((0.35, 0.9), (0.35, 0.9), (0.3, 0.1))
    assert words.startswith("Verdict: stalls: after 10^6 units of RLOO, G = 4 step 0 holds 0.5")
    assert "ties for best: step 0, step 1; the first is the target" in fields["status"]

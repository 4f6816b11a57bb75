"""Parts of other packages: installed from folders, found, and left out where they are broken; `qra new` writes them."""

import importlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest
from rich.console import Console

import qra_jax as qra
from qra_jax import _plugins, cli, registry, studies
from qra_jax.cli import new
from qra_jax.fit.runs.plugins import READERS
from qra_jax.studies import runner
from qra_jax.studies.lab import fingerprint

ROOT = Path(__file__).parent.parent
WRITTEN = {"study": "late-bloomers", "algorithm": "my-rule", "reader": "my_log"}
BROKEN = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "broken-parts"
version = "2.1"
[project.entry-points."qra_jax.studies"]
broken-study = "broken_parts.gone"
optimal-policy = "broken_parts.parts"
[project.entry-points."qra_jax.algorithms"]
broken_rule = "broken_parts.parts:no_algorithm"
grpo = "broken_parts.parts:no_algorithm"
[project.entry-points."qra_jax.rewards"]
broken_reward = "broken_parts.parts:of_no_length"
even_reward = "broken_parts.parts:even"
[project.entry-points."qra_jax.readers"]
broken_log = "broken_parts.parts:Leaves"
""",
    "broken_parts/__init__.py": "",
    "broken_parts/gone.py": "import no_module_of_this_name",
    "broken_parts/parts.py": """
import sys
import qra_jax as qra

def no_algorithm(group_size):
    return group_size

def of_no_length():
    return qra.Reward("of no length", lambda params, problem, log_policy: 1.0 * problem.success.sum(), False, True)

def even():
    return qra.Reward("even", lambda params, problem, log_policy: 0 * problem.success, False, True)

class Leaves:
    def __init__(self):
        sys.exit("of two\\nlines")
""",
}
REASONS = {
    "broken-study": "ModuleNotFoundError, No module named 'no_module_of_this_name'",
    "optimal-policy": "the name is taken by another study",
    "broken_rule": "TypeError, broken_rule gives int; must give algorithm",
    "grpo": "the name is taken by qra_jax itself",
    "broken_reward": "ValueError, rates of shape () for 3 patterns; must be [patterns]",
    "even_reward": None,
    "broken_log": "SystemExit, of two lines",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folders of packages: one that `qra new` writes for each kind, and a broken one."""
    folder = tmp_path_factory.mktemp("packages")
    for kind, name in WRITTEN.items():
        new.write(kind, name, folder)
    for name, text in BROKEN.items():
        (folder / "broken" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "broken" / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """Runs Python where these packages are installed."""
    target = tmp_path_factory.mktemp("installed")
    words = ["install", "-q", "--no-deps", "--no-compile", "--no-build-isolation", "--target", str(target)]
    folders = [str(folder / name) for name in (*WRITTEN.values(), "broken")]
    subprocess.run([sys.executable, "-m", "pip", *words, *folders], check=True)
    around = {**os.environ, "PYTHONPATH": str(target), "JAX_PLATFORMS": "cpu", "COLUMNS": "200"}
    around["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    # compiling is what takes time
    around |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

    def run(*words, cwd=ROOT):
        return subprocess.run(
            [sys.executable, "-W", "error", *words], capture_output=True, text=True, cwd=cwd, env=around
        )

    return run


def test_what_qra_new_writes_passes_its_own_tests(folder, run):
    for kind, name in WRITTEN.items():
        assert len((folder / name / "README.md").read_text().strip().splitlines()) <= 8, kind
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", *WRITTEN.values(), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 passed" in done.stdout


PARTS = """
import json, sys
import qra_jax as qra
from qra_jax.fit import runs

PACKAGES = {"late_bloomers", "my_rule", "my_log", "broken_parts"}
loaded = lambda: sorted({name.split(".")[0] for name in sys.modules} & PACKAGES)
said = {}
qra.grpo(8), qra.parts.algorithm("reinforce"), qra.parts.reward("verifiable")
said["by the package's own"] = loaded()
qra.studies.names()
said["by names of studies"] = loaded()
said["clock"] = float(qra.my_rule(8).clock(0.5))
said["by a rule"] = loaded()
rule = qra.parts.algorithm({"name": "my_rule", "group_size": 8})
said["described"] = qra.parts.describe(rule)
said["reward"] = qra.even_reward().name
try:
    qra.parts.algorithm({"name": "broken_rule", "group_size": 8})
except ValueError as error:
    said["asked for"] = str(error)
said["has"] = hasattr(qra, "broken_rule"), hasattr(qra, "even_reward")
from qra_jax import consult, explorer
said["advice"] = "my_rule" in consult.hyperparameters.ALGORITHMS
said["explorer"] = "my-rule" in explorer.ALGORITHMS
listed = list(qra.registry.ALGORITHMS)
said["listed"] = "my_rule" in listed, "broken_rule" in listed, "my_rule" in dir(qra)
said["own"] = qra.grpo.__module__
said["log"] = runs.read(sys.argv[1]).notes
print(json.dumps(said))

from qra_jax.cli import doctor, main
doctor.CHECKS = {}
some = ["--subject", "late_bloomers", "broken_parts", "regimes"]
statuses = [main(words) for words in (["doctor", "--json"], ["doctor"], ["reproduce", "--list", *some])]
assert statuses == [0, 0, 0], statuses
"""


@pytest.fixture(scope="module")
def told(folder, run):
    """What `PARTS` prints: an object of what it saw, that of `qra doctor --json`, and lines for people."""
    done = run("-c", PARTS, str(folder / "my_log" / "tests" / "sample.log"))
    assert done.returncode == 0, done.stderr
    said, plugins, *lines = done.stdout.splitlines()
    return json.loads(said), json.loads(plugins)["plugins"], lines


def test_parts_are_found_by_name_and_loaded_no_sooner(told):
    assert told[0] == {
        "by the package's own": [],
        "by names of studies": [],
        "clock": pytest.approx(1.0, abs=0.1),
        "by a rule": ["my_rule"],
        "described": {"name": "my_rule", "group_size": 8},
        "reward": "even",
        "asked for": f"algorithm: 'broken_rule' of broken-parts 2.1 cannot be used: {REASONS['broken_rule']}",
        "has": [False, True],
        "advice": True,
        "explorer": True,
        "listed": [True, False, True],
        "own": "qra_jax.algorithm.group",
        "log": [
            "read as a log of my_log",
            f"reader broken_log left out: {REASONS['broken_log']}",
            "accuracy taken as the accuracy, from 0.21 to 0.75",
        ],
    }


def test_commands_list_them_and_name_what_is_broken(told):
    _, plugins, lines = told
    found = {one["name"]: one for one in plugins}
    written = {"late-bloomers": "late-bloomers", "my_rule": "my-rule", "my_log": "my_log"}
    assert {name: found[name]["package"] for name in written} == written
    assert {*written, *REASONS} == set(found)
    assert {name: found[name]["reason"] for name in REASONS} == REASONS
    assert all(one["ok"] == (one["reason"] is None) for one in found.values())
    assert {(found[name]["group"], found[name]["version"]) for name in ("my_rule", "broken_rule")} == {
        ("qra_jax.algorithms", "0.1.0"),
        ("qra_jax.algorithms", "2.1"),
    }
    assert f"broken_log of broken-parts: {REASONS['broken_log']}" in lines
    assert any(
        "my_rule" in line and "my-rule 0.1.0" in line and line.rstrip().endswith("ok") for line in lines
    )
    assert "late_bloomers/late-bloomers: The better of two patterns wins from any start" in lines
    assert f"broken-study: cannot be loaded: {REASONS['broken-study']}" in lines
    assert any(line.startswith("regimes/optimal-policy: ") for line in lines)


def test_a_study_of_another_package_runs_in_processes_of_its_own(run, tmp_path):
    words = "-m", "qra_jax.cli", "reproduce", "--quick", "--out", str(tmp_path)
    done = run(*words, "broken-study", "--subject", "late_bloomers")
    assert "✓ late-bloomers" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1  # the broken one was asked for
    assert f"broken-study: cannot be loaded: {REASONS['broken-study']}" in done.stdout
    (row,) = json.loads((tmp_path / "late-bloomers" / "claims.json").read_text())
    assert (row["id"], row["subject"], row["verdict"]) == ("late-bloomers/wins", "late_bloomers", "holds")


# --- In this process: what no installed package shows -------------------------------------------------------


class Made(Distribution):
    """A distribution that is not installed."""

    def __init__(self, name):
        self._name = name

    def read_text(self, filename):
        return f"Name: {self._name}\nVersion: 1.0\n" if self._name and filename == "METADATA" else None

    def locate_file(self, path):
        raise NotImplementedError


@pytest.fixture
def entries(monkeypatch, tmp_path):
    """Makes entry points `(group, name, value, distribution)`, with modules beside them."""
    every = [studies.PLUGINS, registry.ALGORITHMS.plugins, registry.REWARDS.plugins, READERS]
    known = [(kind, dict(kind.entries)) for kind in (registry.ALGORITHMS, registry.REWARDS)]
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def enter(*rows):
        found = [EntryPoint(name, value, f"qra_jax.{group}") for group, name, value, _ in rows]
        for entry, (*_, package) in zip(found, rows, strict=True):
            vars(entry)["dist"] = Made(package)
        monkeypatch.setattr(
            _plugins, "entry_points", lambda group: [one for one in found if one.group == group]
        )
        for one in every:
            one.forget()

    def write(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)

    enter.write, enter.folder = write, tmp_path
    yield enter
    for one in every:
        one.forget()
    for kind, entered in known:
        kind.entries.clear()
        kind.entries.update(entered)
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


RULE = """
import qra_jax as qra
NUMBER = 1
def rule(group_size): return qra.Algorithm("rule", lambda params, rewards, where: rewards, group_size)
def sums(group_size): return qra.Algorithm("sums", lambda params, rewards, where: rewards.sum(), group_size)
def pairs(group_size):
    if group_size != 2:
        raise ValueError(f"group_size: {group_size}; must be 2")
    return rule(group_size)
"""


def test_two_packages_with_one_name_are_both_left_out(entries):
    entries.write({"made_rules.py": RULE})
    rows = [("algorithms", "twice", "made_rules:rule", name) for name in ("one", "other")]
    entries(*rows, ("algorithms", "once", "made_rules:rule", "one"))
    said = "several packages bring it, one 1.0 and other 1.0"
    with pytest.raises(ValueError, match=f"algorithm: 'twice' of one 1.0 cannot be used: {re.escape(said)}"):
        qra.parts.algorithm({"name": "twice", "group_size": 8})
    assert [(one.name, one.package, one.reason) for one in registry.ALGORITHMS.plugins.listed()] == [
        ("twice", "one", said),
        ("twice", "other", said),
        ("once", "one", ""),
    ]
    assert qra.once(4).group_size == 4
    assert "twice" not in registry.ALGORITHMS.entries


def test_names_of_the_package_are_its_own(entries):
    entries.write({"made_rules.py": RULE})
    own = {name: registry.ALGORITHMS[name] for name in ("grpo", "rloo")}
    rows = [("algorithms", name, "made_rules:rule", "one") for name in ("grpo", "verifiable", "flow", "many")]
    entries(*rows)
    assert set(registry.ALGORITHMS.plugins.broken().values()) == {"the name is taken by qra_jax itself"}
    assert {name: registry.ALGORITHMS[name] for name in own} == own
    assert "made_rules" not in sys.modules


def test_a_rule_that_refuses_some_groups_is_there_for_the_others(entries):
    entries.write({"made_rules.py": RULE})
    entries(("algorithms", "pairs", "made_rules:pairs", "one"))
    assert registry.ALGORITHMS.plugins.broken() == {}
    assert qra.parts.algorithm({"name": "pairs", "group_size": 2}).group_size == 2
    with pytest.raises(ValueError, match="group_size: 3; must be 2"):
        qra.pairs(3)


def test_threads_wait_for_a_part_that_is_being_loaded(entries):
    entries.write({"made_rules.py": "import time\ntime.sleep(0.3)\n" + RULE})
    entries(("algorithms", "slow_rule", "made_rules:rule", "one"))
    ask = lambda size: qra.parts.algorithm({"name": "slow_rule", "group_size": size}).group_size  # noqa: E731
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ask, (2, 3, 4))) == [2, 3, 4]


def test_a_package_without_metadata_has_no_name(entries):
    entries(("algorithms", "odd", "made_gone:rule", None))
    with pytest.raises(ValueError, match="algorithm: 'odd' of unknown unknown cannot be used: ModuleNot"):
        qra.parts.algorithm({"name": "odd", "group_size": 8})
    assert [(one.package, one.version) for one in registry.ALGORITHMS.plugins.listed()] == [("unknown",) * 2]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("made-rules:rule", "'made-rules:rule' is not of the form module or module:object"),
        ("made_rules:none", "AttributeError, module 'made_rules' has no attribute 'none'"),
        ("made_rules:NUMBER", "TypeError, 1; must be a function that makes a part"),
        (
            "made_rules:sums",
            "ValueError, weigh: returned shape (); must be (8,), one weight for each rollout",
        ),
        ("made_gone:rule", "ModuleNotFoundError, No module named 'made_gone'"),
    ],
)
def test_what_is_broken_is_told_in_a_line_and_hurts_nobody(entries, value, reason):
    entries.write({"made_rules.py": RULE})
    entries(("algorithms", "odd", value, "one"), ("algorithms", "good", "made_rules:rule", "one"))
    before = set(registry.ALGORITHMS.entries)
    assert set(registry.ALGORITHMS) == before | {"good"}
    told = registry.ALGORITHMS.plugins.broken()["odd"]
    assert told.startswith(reason)
    assert "\n" not in told
    with pytest.raises(AttributeError, match=r"no attribute 'odd': algorithm: 'odd' of one 1\.0 cannot"):
        qra.odd  # noqa: B018
    with pytest.raises(ValueError, match="'oddd' is not known"):
        qra.parts.algorithm("oddd")


def test_a_package_that_lists_parts_while_it_is_loaded(entries):
    entries.write({"made_rules.py": RULE + "\nSEEN = list(qra.registry.ALGORITHMS)\n"})
    entries(("algorithms", "one_rule", "made_rules:rule", "one"))
    assert "one_rule" in registry.ALGORITHMS
    assert "one_rule" not in sys.modules["made_rules"].SEEN
    assert "grpo" in sys.modules["made_rules"].SEEN


@pytest.mark.parametrize("kind", [registry.ALGORITHMS, registry.REWARDS], ids=lambda kind: kind.kind)
def test_the_packages_own_parts_would_pass(kind):
    for name in kind:
        kind.attempt(kind[name])


STUDY = """
from qra_jax.studies import lab
from made_claims import helper
study = lab.Study(__name__, title="One is one")

@study.experiment()
def one(run):
    return lab.dataset({"x": helper.value()})
"""


def test_results_depend_on_the_files_of_the_package(entries):
    helper = "def value(): return 1.0"
    files = {"__init__.py": "", "wins.py": STUDY, "helper.py": helper}
    entries.write({f"made_claims/{name}": text for name, text in files.items()})
    entries(("studies", "wins", "made_claims.wins", "one"), ("studies", "loses", "made_claims.wins", "one"))
    assert studies.names("made_claims") == ("wins", "loses")
    study = studies.load("wins")
    assert studies.broken() == {
        "loses": "ValueError, called 'wins' by its module; must be the name of the entry point, too"
    }
    prints = lambda: (study.fingerprints(quick=True), fingerprint.of_page(study.module))  # noqa: E731
    before = prints()
    for text, same in (
        (helper + "  # the same", True),
        ("def value(): return 2.0", False),
    ):
        file = entries.folder / "made_claims" / "helper.py"
        file.write_text(text)
        os.utime(file, (1e9, 1e9 + same))
        after = prints()
        assert (after[0] == before[0]) is same
        assert (after[1] == before[1]) is same


def test_a_broken_study_does_not_change_how_a_run_of_all_ends(entries, monkeypatch, tmp_path, capsys):
    entries(("studies", "gone", "made_gone.study", "one"))
    monkeypatch.setattr(studies, "_files", dict)  # none of the package's own
    console = Console(width=120)
    assert runner.reproduce(out=tmp_path / "all", console=console) == 0
    assert "gone: cannot be loaded: ModuleNotFoundError" in capsys.readouterr().out
    assert runner.reproduce(["gone"], out=tmp_path / "all", console=console) == 1


def test_a_study_that_is_not_asked_for_is_not_loaded(entries, tmp_path, capsys):
    entries.write({"made_claims/__init__.py": "", "made_claims/wins.py": STUDY})
    entries(("studies", "gone", "made_gone.study", "one"), ("studies", "wins", "made_claims.wins", "one"))
    assert runner.reproduce(["gone"], out=tmp_path / "one", console=Console(width=120)) == 1
    assert cli.main(["reproduce", "--list", "--subject", "made_gone"]) == 0
    assert capsys.readouterr().out.count("gone: cannot be loaded: ModuleNotFoundError") == 2
    assert studies.broken(["regimes"]) == {}
    assert "made_claims.wins" not in sys.modules


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["study", "Mine"], "name: 'Mine'; must be lower-case letters"),
        (["study", "1st"], "name: '1st'; must be lower-case letters"),
        (["study", "a/b"], "name: 'a/b'; must be lower-case letters"),
        (["reader", "class"], "name: 'class'; must be lower-case letters"),
        (["reader", "json"], "name: 'json' is taken by the module json"),
        (["reader", "tests"], "name: 'tests' is taken by the module tests"),
        (["algorithm", "dr-grpo"], "name: 'dr-grpo' is taken by qra_jax.dr_grpo"),
        (["algorithm", "flow"], "name: 'flow' is taken by qra_jax.flow"),
        (["algorithm", "jnp"], "name: 'jnp' is taken by what its own module imports"),
        (["algorithm", "qra"], "name: 'qra' is taken by what its own module imports"),
        (["study", "optimal_policy"], "name: 'optimal_policy' is taken by a study"),
        (["reader", "there"], "is there already; must be another name"),
        (["dance", "mine"], "'dance'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_names_that_cannot_be_used(tmp_path, capsys, words, expected):
    (tmp_path / "there").mkdir()
    assert cli.main(["new", *words, "--out", str(tmp_path)]) == 2
    assert expected in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("name", ["weigh", "np", "changed"])
def test_an_algorithm_may_have_a_name_that_its_files_use(entries, monkeypatch, tmp_path, name):
    new.write("algorithm", name, tmp_path)
    for folder in (tmp_path / name, tmp_path / name / "tests"):
        monkeypatch.syspath_prepend(folder)
    tests = importlib.import_module(f"test_{name}")
    tests.test_qra_finds_it()
    tests.test_clock_is_that_of_all_groups()
    tests.test_mutation_other_weights_are_seen()


def test_the_command_says_what_comes_next(tmp_path, capsys):
    assert cli.main(["new", "reader", "my-log", "--out", str(tmp_path / "new")]) == 0
    said = capsys.readouterr()
    assert said.out == f"next: pip install -e '{tmp_path}/new/my-log[test]' && pytest {tmp_path}/new/my-log\n"
    written = {line.removeprefix("wrote ") for line in said.err.splitlines()}
    assert written == {str(path) for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert not any("$" in Path(path).read_text() for path in written)

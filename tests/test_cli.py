"""The command: instant help, complaints in one line, README that works, names that load."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import qra_jax
from qra_jax import algorithm, cli, registry
from qra_jax._programs import flags
from qra_jax.cli import actions, inputs
from qra_jax.cli.commands import COMMANDS

ROOT = Path(__file__).parent.parent
GOOD = "pattern,ref,success\ndirect,.05,.9\nsteps,.7,.6\nguess,.25,.1\n"


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    """Compiled programs of these tests stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def csv(tmp_path):
    def write(text, name="base.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def qra(*arguments):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "import sys; from qra_jax.cli import main; sys.exit(main())", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", "JAX_PLATFORMS": "cpu"},
    )


def complaint(capsys, *arguments):
    """The one line that bad input gives."""
    assert cli.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", output.err), output.err
    return output.err.strip()


SLOW_TO_LOAD = ("jax", "matplotlib", "numpy", "scipy", "rich", "flax", "optax", "xarray", "zarr")


@pytest.mark.parametrize(
    "words",
    [["--help"], ["solve", "--help"], ["sweep", "plot", "--help"], ["solve", "--reff", "1"]],
    ids=" ".join,
)
def test_arguments_are_understood_before_anything_slow_is_loaded(words):
    code = (
        "import sys; from qra_jax.cli import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as stop: code = stop.code\n"
        f"print(code, [name for name in {SLOW_TO_LOAD} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.splitlines()[-1] == f"{0 if '--help' in words else 2} []"
    assert ("usage: qra" in done.stdout) == ("--help" in words)


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert not stop.value.code
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)


def test_no_arguments_prints_help(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert stop.value.code == 0
    assert "reproduce" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["solve"], "missing: --ref or --tree (see qra solve --help)"),
        (["solve", "--reff", "1"], "unknown: --reff; did you mean --ref? (see qra solve --help)"),
        (
            ["solve", "--ref", "1", "--succes", ".9", ".6"],
            "unknown: --succes; did you mean --success? (",
        ),
        (["dance"], "command: 'dance'; must be one of 'solve', 'advise'"),
        (["slove"], "command: 'slove'; did you mean 'solve'? (see qra --help)"),
        (
            ["reproduce", "--quik"],
            "unknown: --quik; did you mean --quick? (see qra reproduce --help)",
        ),
        (["reproduce", "regime"], "study: 'regime'; did you mean 'regimes'? (see qra reproduce --list)"),
        (
            ["sweep", "plot", "s.zarr"],
            "missing: --x, --y (see qra sweep plot --help)",
        ),
        (["sweep", "shw", "s.zarr"], "'sweep shw'; did you mean 'sweep show'?"),
        (["fit"], "missing: FILE (see qra fit --help)"),
        (["fit", "a.csv", "b.csv"], "unknown: b.csv (see qra fit --help)"),
        (["fit", "a.csv", "--seed"], "seed: no value; must have 1 (see qra fit --help)"),
        (["fit", "a.csv", "--range", "0"], "range: 0; must have 2 (see qra fit --help)"),
        (["--quiet"], "option: '--quiet'; must be one of '--help', '--version'"),
        (["solve", "--ref", "1", "--json", "yes"], "unknown: yes (see qra solve --help)"),
        (["fit", "a.csv", "--train-until", "x"], "train-until: 'x' is not a number"),
        (["advise", "--ref", "1", "--steps", "1.5"], "steps: '1.5' is not a whole number"),
        (
            ["advise", "--ref", "1", "--success", ".5", "--eta", "-1"],
            "error: eta: -1; must be zero or positive",
        ),
        (["advise", "--ref", "1", "--success", ".5", "--group-size", "1"], "error: group-size: 1; must be 2"),
        (["advise", "--ref", "1", "--success", ".5", "--runs", "1"], "error: runs: 1; must be 64 or above"),
        (
            ["solve", "--ref", "5", "70", "25", "--success", ".9", ".6", ".1"],
            "sums to 100; must sum to 1 within 0.001 (divide by 100?)",
        ),
        (
            ["solve", "--ref", ".5", ".5", "--success", "90", "60"],
            "success[0]: 90; must be in [0, 1] (divide by 100?)",
        ),
        (
            ["solve", "--ref", "1", "--success", ".5", "--plot", f"{__file__}/a.png"],
            "nothing can be written in",
        ),
        (["reproduce", "nope"], "study: 'nope'; must be one of 'internal-feedback'"),
        (["solve", "--ref", ".5", ".5"], "success: missing"),
        (["solve", "--ref", "--success", ".5"], "ref: empty"),
        (["solve", "--ref", ".5,x", "--success", ".5,.5"], "ref: 'x' is not a number; must be in [0, 1]"),
        (["solve", "--ref", ".5,,.5", "--success", ".5,.5"], "ref: '' is not a number"),
        (
            ["solve", "--ref", "-.5,1.5", "--success", ".5,.5"],
            "ref[0]: -0.5; must be zero or positive, and finite",
        ),
        (
            ["solve", "--ref", "nan,1", "--success", ".5,.5"],
            "ref[0]: nan; must be zero or positive, and finite",
        ),
        (["solve", "--ref", ".5,.4", "--success", ".5,.5"], "ref: sums to 0.9; must sum to 1 within 0.001"),
        (["solve", "--ref", ".5,.5", "--success", ".5"], "success: length 1; must be 2"),
        (["solve", "--ref", ".5,.5", "--success", ".5", "1.5"], "success[1]: 1.5; must be in [0, 1]"),
        (["solve", "--ref", "1", "--success", ".5", "--target", "1"], "target: 1; must be in (0, 1)"),
        (["solve", "--ref", "1", "--success", ".5", "--target", "nan"], "target: nan; must be in (0, 1)"),
        (["solve", "--ref", "1", "--success", ".5", "--target", "x"], "target: 'x' is not a number"),
        (["solve", "--ref", "1", "--success", ".5", "--plot", "a.txt"], "plot: 'a.txt'; must end in .pdf"),
        (["solve", "--ref", "nowhere.csv"], "ref: nowhere.csv: no such file"),
    ],
)
def test_bad_arguments(capsys, arguments, expected):
    assert expected in complaint(capsys, *arguments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty; must be numbers in [0, 1] or a CSV file with columns pattern,ref,success"),
        ("\n \n", "empty"),
        ("pattern,ref,success\n", "no rows under the header"),
        (
            "pattern,ref\na,1\n",
            "column success is missing; must have ref,success, and may have pattern",
        ),
        ("pattern;ref;success\na;1;1\n", "row 1: separated by semicolons; must be separated by commas"),
        ("pattern\tref\tsuccess\na\t1\t1\n", "row 1: separated by tabs; must be separated by commas"),
        ("pattern,ref,success\na,.5,.5\nb,.5,50\n", "column success: 50; must be in [0, 1] (divide by 100?)"),
        ("pattern,ref,ref,success\na,1,1,1\n", "column ref is there twice"),
        ("pattern,ref,success\na,.5,.5\n\na,.5,.5\n", "row 4: pattern 'a' is in row 2 already; must differ"),
        ("pattern,ref,success\na,half,.5\n", "row 2, column ref: 'half' is not a number; must be in [0, 1]"),
        ("pattern,ref,success\na,1\n", "row 2: 2 cells; must be 3, as in the header"),
        ("pattern,ref,success\na,.5,.5,\n", "row 2: 4 cells; must be 3, as in the header"),
        ("pattern,ref,success\na,.5,.5\n ,.5,.5\n", "row 3, column pattern: empty; must be a name"),
        ("pattern,ref,success\na,.5,\n", "row 2, column success: '' is not a number"),
        ("pattern,ref,success\na,.5,.5\nb,.5,1.5\n", "row 3, column success: 1.5; must be in [0, 1]"),
        ("pattern,ref,success\na,nan,.5\n", "row 2, column ref: nan; must be in [0, 1]"),
        ("pattern,ref,success\na,.5,.5\nb,.4,.5\n", "ref: sums to 0.9; must sum to 1 within 0.001"),
        (b"\xff\xfe\x00", "not a text file"),
    ],
)
def test_bad_files(capsys, csv, text, expected):
    path = csv(text)
    line = complaint(capsys, "solve", "--ref", path)
    assert expected in line
    assert path in line


def test_a_folder_is_not_a_file(capsys, tmp_path):
    assert "directory" in complaint(capsys, "solve", "--ref", str(tmp_path)).lower()


@pytest.mark.parametrize(
    "tokens",
    [[".05,.7,.25"], [".05", ".7", ".25"], [".05,", ".7,", ".25"], [".05, .7, .25"], [".05", ".7,.25"]],
)
def test_numbers_may_be_separated_by_spaces_and_commas(tokens):
    names, ref, success = inputs.read(tokens, ["1", "0,1"])
    assert (names, ref, success) == (["pattern 0", "pattern 1", "pattern 2"], [0.05, 0.7, 0.25], [1, 0, 1])


@pytest.mark.parametrize("tokens", [["1"], [".5", ".5"]])
def test_equal_numbers_are_no_file(tokens):
    _, ref, success = inputs.read(tokens, tokens)
    assert ref == success == [float(token) for token in tokens]


def test_files(csv):
    path = csv("\ufeff" + GOOD)
    expected = ["direct", "steps", "guess"], [0.05, 0.7, 0.25], [0.9, 0.6, 0.1]
    assert inputs.read([path], []) == expected
    assert inputs.read([path], [path]) == expected
    assert inputs.read([path], [".1", ".2", ".3"]) == (*expected[:2], [0.1, 0.2, 0.3])
    other = csv("pattern,success\nguess,.1\ndirect,.9\nsteps,.6\n", "other.csv")
    assert inputs.read([path], [other]) == expected, "two files are matched by name"
    assert inputs.read([".05,.7,.25"], [path])[2] == expected[2]


def test_patterns_without_names_are_numbered(csv):
    path = csv("ref,success\n.05,.9\n.7,.6\n.25,.1\n")
    names = ["pattern 0", "pattern 1", "pattern 2"]
    assert inputs.read([path], []) == (names, [0.05, 0.7, 0.25], [0.9, 0.6, 0.1])
    assert inputs.read([csv(GOOD, "named.csv")], [path])[0] == ["direct", "steps", "guess"], "in order"


def test_files_with_other_patterns(capsys, csv):
    other = csv("pattern,success\nguess,.1\ndirect,.9\nleaps,.6\n", "other.csv")
    assert "pattern 'leaps' is in only one of" in complaint(
        capsys, "solve", "--ref", csv(GOOD), "--success", other
    )


def test_solve_from_end_to_end(csv, tmp_path):
    figure = tmp_path / "new" / "run.png"
    done = qra("solve", "--ref", csv(GOOD), "--json", "--plot", str(figure))
    assert (done.returncode, done.stderr) == (0, f"wrote {figure}\n")
    answer = json.loads(done.stdout)
    assert answer["patterns"] == ["direct", "steps", "guess"]
    assert answer["regime"] == "entangled"
    assert 10 ** answer["log10_time"]["reinforce"]["target"] == pytest.approx(270.95652908176, rel=1e-8)
    assert figure.read_bytes().startswith(b"\x89PNG")
    done = qra("solve", "--ref", ".05,.7,.25", "--success", ".9", ".6", ".1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Entangled regime" in done.stdout


def test_a_second_solve_traces_nothing(monkeypatch, tmp_path):
    words = ["solve", "--ref", ".04", ".71", ".25", "--success", ".9", ".6", ".1"]
    monkeypatch.setenv("JAX_LOG_COMPILES", "1")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    first, second = qra(*words), qra(*words)
    assert first.stdout.startswith("Verdict: no stall")
    assert second.stdout == first.stdout
    traced = [re.findall(r"Finished tracing (\w+)", done.stderr) for done in (first, second)]
    assert "kept_program" in traced[0]
    assert not traced[1]


def test_a_reader_that_has_seen_enough_is_no_error():
    code = "import sys; from qra_jax.cli import main; sys.exit(main(['reproduce', '--list']))"
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "{sys.executable}" -c "{code}" | true'],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_cache_of_compiled_programs_is_where_users_expect_it(tmp_path):
    code = (
        "import jax; from qra_jax.cli.session import start_jax; "
        "start_jax(); print(jax.config.jax_compilation_cache_dir)"
    )
    env = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    run = lambda **more: subprocess.run(  # noqa: E731
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, env=env | more
    ).stdout.strip()
    assert run(XDG_CACHE_HOME=str(tmp_path)) == str(tmp_path / "qra_jax" / "compiled")
    assert run(JAX_COMPILATION_CACHE_DIR=str(tmp_path)) == str(tmp_path)


def test_list_of_studies():
    done = qra("reproduce", "--list")
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert [line.split(":")[0].split("/")[1] for line in lines] == list(qra_jax.studies.names())
    assert "    optimal-policy/ends  " in done.stdout
    some = qra("reproduce", "--list", "--subject", "regimes").stdout
    assert "regimes/optimal-policy" in some
    assert "clocks/" not in some
    wrong = qra("reproduce", "--subject", "regime")
    assert wrong.returncode == 2
    assert "regimes" in wrong.stderr


def test_the_list_survives_a_study_that_cannot_be_loaded(capsys, monkeypatch, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "broken.py").write_text("import no_module_of_this_name")
    monkeypatch.setattr(actions, "start_jax", lambda: None)
    monkeypatch.setenv("QRA_STUDIES", str(tmp_path))
    assert cli.main(["reproduce", "--list", "--subject", "made"]) == 0
    assert "cannot be loaded: ModuleNotFoundError" in capsys.readouterr().out


def test_every_public_name_loads():
    assert all(getattr(qra_jax, name) is not None for name in qra_jax.__all__)
    assert set(qra_jax.__all__) <= set(dir(qra_jax))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        qra_jax.nothing  # noqa: B018


def test_names_for_the_type_checker_are_the_names_that_load():
    tree = ast.parse((ROOT / "qra_jax" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    named = {alias.asname or alias.name for node in block.body for alias in node.names} - {"*"}
    factories = {*registry.ALGORITHMS, *registry.REWARDS, *registry.REGULARIZERS}
    assert {*qra_jax.__all__} <= named | {*algorithm.__all__}
    assert named - {*qra_jax.__all__} <= factories
    # The star stands for the algorithms, which are named where they are registered and re-exported.
    assert {*registry.ALGORITHMS} <= {*algorithm.__all__}
    assert {*registry.REWARDS, *registry.REGULARIZERS} <= named


README, GUIDE, EXTENDING = (
    (ROOT / name).read_text() for name in ("README.md", "docs/guide.md", "docs/extending.md")
)
EXAMPLES = {
    name: code
    for page, names in (
        (README, ("first",)),
        (GUIDE, ("ten lines", "recipes", "network")),
        (EXTENDING, ("algorithm", "reward", "study")),
    )
    for name, code in zip(names, re.findall(r"```python\n(.*?)```", page, re.DOTALL), strict=True)
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_in_the_documents_run(name, tmp_path):
    code = EXAMPLES[name]
    said = re.findall(r"# → (.*)", code)
    around = {**os.environ, "XLA_FLAGS": flags()}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True, env=around
    )
    assert done.stdout.splitlines() == said
    assert said


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", EXTENDING, re.DOTALL))
def test_an_addition_takes_few_lines(code):
    assert len(code.splitlines()) < (40 if "Study(" in code else 30)


def test_the_doctor_is_content():
    done = qra("doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["facts"]["qra_jax"] == qra_jax.__version__
    assert found["facts"]["precision"] == "float64"
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] in found["facts"]["compiled programs"]
    assert [check["passed"] for check in found["checks"]] == [True] * 3


def test_the_doctor_sees_what_is_wrong(monkeypatch, capsys):
    from qra_jax.cli import doctor

    monkeypatch.setattr(doctor, "CHECKS", {"a number": (lambda problem: float("nan"), 1e-6)})
    assert cli.main(["doctor"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120


def test_the_sweep_in_the_guide_is_one(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "stall.toml").write_text(text)
    spec = qra_jax.sweep.from_toml(tmp_path / "stall.toml")
    assert spec.layout.points == 300
    named = re.search(r"--x (\w+) --y (\w+) --hue (\w+)", GUIDE)
    assert named is not None
    assert {named[1], named[3]} == set(spec.layout.dims)

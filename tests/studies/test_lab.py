"""The laboratory: members are run in one program and labelled; what is kept is never stale."""

import os
import subprocess
import sys
import textwrap
import time
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import qra_jax as qra
from qra_jax.studies.lab import (
    Bank,
    Data,
    DataMissing,
    Run,
    Study,
    bank,
    cells,
    dataset,
    fingerprint,
    scale,
    static,
    store,
)

# arms


def test_cells_are_every_combination():
    out = cells(lambda cell: {"sum": cell.a + 10 * cell.b}, axes={"a": [1.0, 2.0], "b": [3.0, 4.0, 5.0]})
    assert out["sum"].dims == ("a", "b")
    np.testing.assert_allclose(out["sum"], [[31, 41, 51], [32, 42, 52]])
    assert out.sel(a=2.0, b=4.0)["sum"] == 42


def test_words_and_shapes_are_programs_of_their_own():
    def one(cell, key):
        drawn = jax.random.normal(key, (cell.group,))
        return {"mean": jnp.mean(drawn) if cell.rule == "mean" else jnp.max(drawn), "used": cell.rate}

    axes = {"rule": ["mean", "max"], "group": static([2, 8]), "rate": [0.1, 0.2]}
    out = cells(one, key=jax.random.key(0), seeds=50, axes=axes, common=["rule"])
    assert dict(out.sizes) == {"rule": 2, "group": 2, "rate": 2, "seed": 50}
    assert out["mean"].dims == ("rule", "group", "rate", "seed")
    assert bool((out["mean"].sel(rule="max") >= out["mean"].sel(rule="mean")).all()), (
        "rules share random numbers"
    )
    assert len(np.unique(out["mean"].sel(rule="mean"))) == 200, "other cells do not"
    np.testing.assert_allclose(out["used"].sel(rate=0.2), 0.2)


def test_algorithms_are_one_program():
    members = [qra.reinforce(group_size=4), qra.grpo(4), qra.rloo(4)]
    problem = qra.Problem.from_probs(ref=[0.2, 0.8], success=[0.9, 0.4])

    def one(cell):
        return {"speed": cell.algorithm.clock(problem.accuracy_ref)}

    with jax.log_compiles(False):
        out = cells(one, axes={"algorithm": members})
    assert list(out.algorithm.values) == [member.name for member in members]
    np.testing.assert_allclose(
        out.speed, [member.clock(problem.accuracy_ref) for member in members], rtol=1e-12
    )


def test_further_dimensions_are_named():
    times = np.linspace(0, 1, 5)
    one = lambda cell: {"path": cell.rate * times}  # noqa: E731
    out = cells(one, axes={"rate": [1.0, 2.0]}, dims={"path": ["time"]}, coords={"time": times})
    assert out.path.dims == ("rate", "time")
    with pytest.raises(ValueError, match="must name each of them"):
        cells(one, axes={"rate": [1.0, 2.0]})


def test_data_are_changed_without_touching_the_old():
    data = Data({"runs": dataset({"x": ("seed", [1.0, 2.0])})}, {"real": "needs a folder"})
    changed = data.change("runs", x=lambda x: x + 1)
    assert changed.runs.x.values.tolist() == [2, 3]
    assert data.runs.x.values.tolist() == [1, 2]
    assert data.select("runs", seed=slice(1)).runs.sizes["seed"] == 1
    assert not data.has("real")
    with pytest.raises(DataMissing, match="needs a folder"):
        _ = data.real
    with pytest.raises(AttributeError, match="no experiment 'walks'"):
        _ = data.walks


def test_run_gives_extents_and_says_what_is_missing(tmp_path):
    assert Run(quick=True)(scale(3, 30)) == 3
    assert Run(quick=False)(scale(3, 30)) == 30
    assert Run(quick=True)(7) == 7
    assert Run(quick=True, folder=tmp_path).measured("x") == tmp_path
    with pytest.raises(DataMissing, match="needs a CSV"):
        Run(quick=True).measured("a CSV")


def test_store_gives_back_what_it_was_given(tmp_path):
    result = dataset(
        {"x": (("arm", "seed"), RANDOM.random((2, 3))), "ok": ("arm", [True, False]), "n": 3, "far": 2**40},
        {"arm": ["GRPO, G → ∞", "RLOO"]},
        policies=10_000,
        note="words",
    )
    path = store.path(tmp_path, "runs", "0123456789abcdef0123")
    store.write(path, result)
    again = store.read(path)
    xr.testing.assert_equal(again, result.assign(far=float(2**40)))
    assert again.attrs == {"policies": 10_000, "note": "words"}


RANDOM = np.random.default_rng(0)

# the bank


def ensemble(number, *, width=1.0):
    """A module's function with a nested result."""
    CALLS.append(number)
    return {
        "params": [np.full(2, float(number)), (np.arange(3), {"w": jnp.asarray(width)})],
        "n": np.asarray(number),
    }


CALLS: list[int] = []


def test_bank_computes_once_and_reads_back(tmp_path):
    CALLS.clear()
    first = Bank(tmp_path).get(ensemble, 3, width=2.0)
    again = Bank(tmp_path).get(ensemble, 3, width=2.0)
    assert CALLS == [3]
    assert jax.tree.structure(first) == jax.tree.structure(again)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert Bank(tmp_path).get(ensemble, 4)["n"] == 4
    assert CALLS == [3, 4]
    memory = Bank()
    assert memory.get(ensemble, 3) is memory.get(ensemble, 3)


def test_bank_makes_anew_what_is_older(tmp_path):
    CALLS.clear()
    Bank(tmp_path).get(ensemble, 5)
    now = Bank(tmp_path, since=time.time() + 60)
    now.get(ensemble, 5)
    now.get(ensemble, 5)
    assert CALLS == [5, 5]


@pytest.mark.parametrize("made", ["(Pair(1, 2))", "None", "{'a': {}}", "[]", "{'a/b': 1.0}", "{1: 2.0}"])
def test_bank_refuses_what_would_come_back_as_something_else(made):
    with pytest.raises(TypeError, match="make: returned"):
        Bank().get(given, made)


class Pair(NamedTuple):
    """A tuple that is more than one."""

    one: int
    two: int


def given(made):
    """A module's function that returns anything."""
    return eval(made)  # the test's own words


def test_bank_keeps_any_tree(tmp_path):
    tree = {"a": [np.zeros(1)], "b": (np.ones(2), np.ones(3))}
    assert jax.tree.structure(bank._grown(bank._flat(tree))) == jax.tree.structure(tree)
    assert bank._grown(bank._flat(np.arange(2))).tolist() == [0, 1]


# fingerprints


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A module that looks like a study's, and what it imports; returns a function that edits one and gives prints."""
    root = tmp_path / "qra_jax"
    (root / "studies" / "noise").mkdir(parents=True)
    (root / "orbit").mkdir()
    files = {
        "orbit/__init__.py": "from qra_jax.orbit.hitting import time\n",
        "orbit/hitting.py": '"""Times."""\nfrom qra_jax import metrics\ndef time(x):\n    return x\n',
        "metrics.py": "def share(x):\n    return x\n",
        "plot.py": "COLOR = 1\n",
        "flow.py": "def solve(x):\n    return x\n",
        "studies/noise/made.py": STUDY,
    }
    for name, text in files.items():
        (root / name).write_text(textwrap.dedent(text))
    monkeypatch.setattr(fingerprint, "ROOT", root)

    def prints(edit=None, old="", new=""):
        if edit:
            text = (root / edit).read_text()
            assert old in text
            (root / edit).write_text(text.replace(old, new))
        for cached in (fingerprint._source, fingerprint._imports, fingerprint._digest):
            cached.cache_clear()
        file = root / "studies" / "noise" / "made.py"
        pieces, imports = fingerprint._slice(file, "runs", "qra_jax.studies.noise.made")
        data = hash(("".join(pieces), fingerprint._closure(imports)))
        page = hash(
            (
                file.read_bytes(),
                fingerprint._closure(fingerprint._imports(file, 0.0), counts=lambda name: True),
            )
        )
        return data, page

    return prints


STUDY = '''
    """A question."""
    from qra_jax import flow, orbit, plot
    from qra_jax.studies.lab import Study
    study = Study(__name__, title="A title")
    SEEDS = 3
    """How many."""
    LABEL = "a label"
    TABLE = {}
    TABLE["a"] = 1.0
    for name in "bc":
        TABLE[name] = 2.0
    def _helper(x: float) -> float:
        return orbit.time(x) * SEEDS + TABLE["a"]
    @study.experiment({"rate": [1.0]})
    def runs(cell):
        """Docstring."""
        return _helper(cell.rate)
    @study.figure
    def draw(data):
        return plot.COLOR, LABEL, flow.solve(1)
'''

COMPUTES = [
    ("studies/noise/made.py", "SEEDS = 3", "SEEDS = 4"),
    ("studies/noise/made.py", '"rate": [1.0]', '"rate": [2.0]'),
    ("studies/noise/made.py", "orbit.time(x) *", "orbit.time(x) +"),
    ("studies/noise/made.py", 'TABLE["a"] = 1.0', 'TABLE["a"] = 3.0'),
    ("studies/noise/made.py", "TABLE[name] = 2.0", "TABLE[name] = 3.0"),
    ("orbit/hitting.py", "return x", "return 2 * x"),
    ("metrics.py", "return x", "return 2 * x"),
]
DRAWS = [
    ("studies/noise/made.py", "a label", "another"),
    ("studies/noise/made.py", "A title", "Another"),
    ("studies/noise/made.py", "Docstring.", "Other words."),
    ("studies/noise/made.py", "x: float", "x: int"),
    ("plot.py", "COLOR = 1", "COLOR = 2"),
    ("flow.py", "return x", "return 2 * x"),
]


@pytest.mark.parametrize("edit", COMPUTES, ids=str)
def test_an_edit_of_what_computes_makes_data_stale(package, edit):
    before = package()
    after = package(*edit)
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("edit", DRAWS, ids=str)
def test_an_edit_of_words_draws_again_and_computes_nothing(package, edit):
    before = package()
    after = package(*edit)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_comments_and_docstrings_of_the_library_change_nothing(package):
    assert package() == package("orbit/hitting.py", '"""Times."""', '"""Hitting times."""\n# a comment')


def test_fingerprints_depend_on_version_seed_and_extent():
    study = qra.studies.load("optimal-policy")
    prints = [study.fingerprints(quick=quick, seed=seed) for quick in (True, False) for seed in (0, 1)]
    assert len({tuple(one.values()) for one in prints}) == 4


def test_fingerprints_are_the_same_in_another_process():
    words = "from qra_jax import studies; print(studies.load('optimal-policy').fingerprints(quick=True))"
    out = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(qra.studies.load("optimal-policy").fingerprints(quick=True))


def test_code_that_runs_is_not_reached_by_an_edit(package, monkeypatch):
    """A result that was computed while its source was edited keeps the fingerprint of the source that ran."""
    monkeypatch.setattr(fingerprint, "_seen", None)
    fingerprint.freeze()
    before = package()
    file = fingerprint.ROOT / "orbit" / "hitting.py"
    seen = fingerprint._modified(file)
    package("orbit/hitting.py", "return x", "return 2 * x")
    os.utime(file, (seen + 9, seen + 9))
    assert fingerprint._modified(file) == seen
    monkeypatch.setattr(fingerprint, "_seen", None)
    assert fingerprint._modified(file) == seen + 9
    assert package()[0] != before[0]


def test_only_functions_of_a_module_have_a_fingerprint():
    for inner in (lambda: 1, lambda: 2):
        with pytest.raises(ValueError, match="must be a function of a module"):
            Bank().get(inner)
    with pytest.raises(ValueError, match="must be defined at the top of its file"):
        fingerprint.of_data([made_elsewhere])


made_elsewhere = types.FunctionType(
    test_only_functions_of_a_module_have_a_fingerprint.__code__, globals(), "gone"
)
made_elsewhere.__qualname__ = "gone"


# a study


def test_every_experiment_has_random_numbers_of_its_own():
    runs = [Run(True, shared_seed=seed, name=name) for seed in (0, 1) for name in ("a/one", "a/two", "b/one")]
    assert len({run.seed for run in runs}) == 6
    assert len({jax.random.key_data(run.key).tobytes() for run in runs}) == 6
    assert Run(True, name="a/one").seed == runs[0].seed
    study, seeds = Study("made.own", title="Two experiments"), []

    @study.experiment()
    def one(run):
        seeds.append((run.seed, run.shared_seed))
        return dataset({"x": 0.0})

    @study.experiment()
    def two(run):
        seeds.append((run.seed, run.shared_seed))
        return dataset({"x": 0.0})

    study.compute(quick=True, seed=3)
    assert seeds[0][0] != seeds[1][0]
    assert seeds[0][1] == seeds[1][1] == 3


def test_only_a_declared_experiment_reads_measured_runs(tmp_path):
    study = Study("made.read", title="One that does not say so")

    @study.experiment()
    def hidden(run):
        run.measured("x.csv")
        raise AssertionError

    assert not study.compute(quick=True, folder=tmp_path).has("hidden")


def test_experiments_read_earlier_ones_and_measured_data():
    study = Study("qra_jax.studies.noise.made_up", title="Two steps")

    @study.experiment()
    def first(run):
        return dataset({"x": run(scale(1.0, 2.0))})

    @study.experiment(after=["first"])
    def second(run):
        return dataset({"y": run.done.first.x + 1})

    @study.experiment(measured=True)
    def real(run):
        run.measured("runs.csv")
        raise AssertionError

    kept = []
    data = study.compute(quick=True, keep=lambda name, result: kept.append(name))
    assert kept == ["first", "second"]
    assert float(data.second.y) == 2
    assert not data.has("real")
    known = {"first": dataset({"x": 5.0})}
    assert float(study.compute(quick=True, known=known).second.y) == 6
    assert (study.name, study.subject) == ("made-up", "noise")


def test_a_study_needs_a_title_and_claims_names_of_their_own():
    with pytest.raises(ValueError, match="title"):
        Study("a.b", title=" ")

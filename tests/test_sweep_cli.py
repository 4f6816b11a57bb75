"""`qra sweep`: run, show, plot, and the parts that a specification can name."""

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray

from qra_jax import cli, flow, parts, sweep
from qra_jax.sweep import report as words, work
from qra_jax.sweep.axes import Axis

TOML = """
kind = "flow"
seed = 1

[problem]
ref = [0.05, 0.7, 0.25]
success = [0.9, 0.6, 0.1]

[task]
ts = [1.0, 10.0]
regularizers = [{ name = "reverse_kl", beta = 0.1 }]
metrics = ["accuracy", "kl"]

[[axis]]
name = "beta"
path = "regularizers[0].beta"
low = 0.001
high = 1.0
points = 4
scale = "log"
long_name = "KL strength"

[[axis]]
name = "start"
path = "problem.ref[0]"
values = [0.05, 0.1]
"""


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("COLUMNS", "100")
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "spec.toml").write_text(TOML)
    assert (
        cli.main(
            [
                "sweep",
                str(folder / "spec.toml"),
                "--store",
                str(folder / "store.zarr"),
                "--block",
                "64",
                "--shard-size",
                "2",
            ]
        )
        == 0
    )
    return folder / "store.zarr"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A cheap sweep with draws, names and replicas."""

    def point(key, at):
        y = at["eta"] * {"grpo": 1, "rloo": 2}[at["algorithm"]] + 0 * at["seed"]
        return {"y": y, "status": (at["seed"] == 2).astype(int)}

    axes = {"eta": Axis(low=0.01, high=10.0, scale="log"), "beta": Axis(low=-1.0, high=1.0)}
    rest = {"algorithm": ["grpo", "rloo"], "seed": Axis(seeds=3)}
    spec = sweep.Spec(point, {**axes, **rest}, "sobol", 300)
    return sweep.run(spec, tmp_path_factory.mktemp("drawn") / "s.zarr", block=64, progress=False).load()


def complaint(capsys, *arguments):
    capsys.readouterr()
    assert cli.main(["sweep", *map(str, arguments)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", output.err), output.err
    return output.err


def test_run_and_show(store, capsys):
    assert cli.main(["sweep", "show", str(store)]) == 0
    shown = capsys.readouterr().out
    assert "8 points (4 beta × 2 start): complete" in shown
    assert re.search(r"axis beta +beta +0\.001 +0\.1 +1\b", shown)
    assert re.search(
        r"variable kl +beta start time .* nat +KL divergence from the reference$", shown, re.MULTILINE
    )
    assert re.search(r"greatest +unit +what\n", shown)
    assert re.search(r"axis beta .* 1 +KL strength\n", shown)
    assert "status: OK 8" in shown
    data = sweep.open(store)
    assert data.attrs["spec"] == TOML
    assert data["time"].values.tolist() == [1, 10]
    problem = parts.problem({"ref": [0.1, 0.9 * 0.7 / 0.95, 0.9 * 0.25 / 0.95], "success": [0.9, 0.6, 0.1]})
    regularizers = parts.regularizers([{"name": "reverse_kl", "beta": 0.1}])
    expected = flow.solve(problem, ts=[1.0, 10.0], regularizers=regularizers).accuracy
    np.testing.assert_allclose(data["accuracy"].sel(beta=0.1, start=0.1), expected, rtol=1e-7)


def test_show_says_what_is_missing(store, tmp_path, capsys):
    path = Path(shutil.copytree(store, tmp_path / "part.zarr"))
    (path / "done/1").unlink()
    assert cli.main(["sweep", "show", str(path)]) == 0
    assert "3 of 4 shards done; go on with --resume" in capsys.readouterr().out
    again = [store.with_name("spec.toml"), "--store", path]
    assert "part.zarr exists, 3 of 4 shards done; go on with --resume" in complaint(capsys, *again)
    (path / "kl/c/2/0/0").write_bytes(b"")
    for command in (["show", path], again):
        assert "part.zarr: shard 2 is damaged; compute it anew with --resume" in complaint(capsys, *command)


def test_a_sweep_that_is_interrupted_says_what_is_kept(store, tmp_path, capsys, monkeypatch):
    plain = work.compute

    def interrupted(engine, opened, number):
        if number == 2:
            raise KeyboardInterrupt
        return plain(engine, opened, number)

    monkeypatch.setattr(work, "compute", interrupted)
    path = tmp_path / "cut.zarr"
    arguments = ["sweep", str(store.with_name("spec.toml")), "--store", str(path), "--shard-size", "2"]
    assert cli.main(arguments) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(rf"interrupted: {path}: [0-3] of 4 shards are kept, go on with --resume", last)
    monkeypatch.undo()
    assert cli.main([*arguments, "--resume"]) == 0


def test_other_readers_open_a_store_without_a_warning(store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xarray.open_zarr(store)
    assert {"accuracy", "kl", "status"} == set(data.data_vars)


def test_help_says_that_run_may_be_left_out(capsys):
    with pytest.raises(SystemExit):
        cli.main(["sweep", "--help"])
    assert "qra sweep SPEC.toml --store DIR is short for" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "options",
    [
        ["--x", "beta", "--y", "accuracy", "--hue", "start"],
        ["--x", "beta", "--y", "start", "--value", "kl", "--at", "time=10"],
    ],
)
def test_plot_draws_a_file(store, tmp_path, options, capsys):
    out = tmp_path / "figure.png"
    assert cli.main(["sweep", "plot", str(store), *options, "--out", str(out)]) == 0
    assert capsys.readouterr().err == f"wrote {out}\n"
    assert out.stat().st_size > 5000


def test_lines_are_medians_with_bands(drawn):
    ax = words.draw(drawn, "algorithm", "y", at=["seed=1"]).axes[0]
    y = drawn["y"].sel(seed=1)
    np.testing.assert_allclose(
        ax.lines[0].get_ydata(), np.quantile(y, 0.5, axis=1, method="nearest"), rtol=0.02
    )
    assert ax.get_title("left") == "y: median and 10% to 90% over sample, at seed = 1"
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(np.quantile(y, 0.1, axis=1).min(), rel=0.05)
    assert band.max() == pytest.approx(np.quantile(y, 0.9, axis=1).max(), rel=0.05)


def test_draws_are_gathered_in_bins(drawn):
    figure = words.draw(drawn, "eta", "y", hue="algorithm")
    ax = figure.axes[0]
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["grpo", "rloo"]
    for slope, line in zip((1, 2), ax.lines, strict=True):
        np.testing.assert_allclose(line.get_ydata(), slope * line.get_xdata(), rtol=0.5)
    mesh = words.draw(drawn, "eta", "beta", value="y").axes[0].collections[0].get_array()
    assert np.isfinite(mesh).mean() > 0.8


def test_a_drawn_coordinate_gives_at_most_16_lines(drawn):
    many = xarray.concat([drawn.assign_coords(eta=drawn["eta"] * factor) for factor in range(1, 7)], "sample")
    ax = words.draw(many, "beta", "y", hue="eta").axes[0]
    assert len(ax.lines) == words.MOST_LINES
    assert len(words.draw(many, "eta", "y").axes[0].lines[0].get_xdata()) > words.MOST_LINES


def test_show_counts_how_points_ended(drawn, capsys):
    words.show(drawn)
    assert "status: OK 1200, ALREADY_MET 600" in capsys.readouterr().out


def test_bad_arguments_are_refused_in_one_line(store, tmp_path, capsys):
    spec = store.with_name("spec.toml")
    (tmp_path / "bad.toml").write_text("kind =\nseed = 1\n")
    plot = ["plot", store, "--x", "beta", "--y"]
    cases = {
        "--store": [spec],
        "line 1": [tmp_path / "bad.toml", "--store", tmp_path / "s"],
        "No such file": [tmp_path / "none.toml", "--store", tmp_path / "s"],
        "executor: 'dsk'": [spec, "--store", tmp_path / "t", "--executor", "dsk"],
        "block: 0": [spec, "--store", tmp_path / "t", "--block", "0"],
        "shard: '2/2'": [spec, "--store", tmp_path / "t", "--shard", "2/2"],
        "no store of a sweep": ["show", tmp_path],
        "y: 'acuracy'; must be one of accuracy, kl, status": [*plot, "acuracy"],
        "must be different": [*plot, "beta"],
        "value: None": [*plot, "start"],
        "hue: given for a heat map": [*plot, "start", "--hue", "time"],
        "at: 'strat'; must be one of": [*plot, "kl", "--at", "strat=1"],
        "must be start=NUMBER": [*plot, "kl", "--at", "start=low"],
        "out: 'a.gif'": [*plot, "kl", "--out", "a.gif"],
    }
    for message, arguments in cases.items():
        assert message in complaint(capsys, *arguments)
    assert [one.name for one in tmp_path.iterdir()] == ["bad.toml"]


PROBLEM = {"ref": [0.2, 0.55, 0.25], "success": [0.9, 0.6, 0.1]}


def test_training(tmp_path):
    table = {
        "kind": "train",
        "problem": PROBLEM,
        "task": {
            "steps": 20,
            "learning_rate": 0.5,
            "algorithm": "grpo",
            "metrics": ["best"],
            "off_policy": {"clip": [0.2, 0.3], "epochs": 2},
        },
        "axis": [
            {"name": "G", "path": "algorithm.group_size", "values": [8]},
            {"name": "eta", "path": "learning_rate", "values": [0.0, 0.5]},
            {"name": "seed", "seeds": 50},
        ],
    }
    data = sweep.run(table, tmp_path / "train.zarr", block=64, progress=False).load()
    assert data["best"].dims == ("G", "eta", "seed")
    np.testing.assert_allclose(data["best"].sel(eta=0.0), 0.2)
    assert float(data["best"].sel(eta=0.5).mean()) > 0.3
    assert len(np.unique(data["best"].sel(eta=0.5))) > 45


def test_recipes(tmp_path):
    recipe = {
        "kind": "recipe",
        "problem": PROBLEM,
        "phase": [
            {"kind": "sft", "demonstrations": 0.5, "steps": 5, "learning_rate": 0.5},
            {"kind": "rlvr", "steps": 5, "learning_rate": 0.5},
        ],
        "axis": [{"name": "data", "path": "phase[0].demonstrations", "low": 0.0, "high": 1.0, "points": 3}],
    }
    data = sweep.run(recipe, tmp_path / "recipe.zarr", block=64, progress=False).load()
    assert (np.diff(data["accuracy"]) > 0).all()
    assert set(data.data_vars) == {"accuracy", "best", "entropy", "log_cost", "status"}


def test_a_random_problem_is_drawn_at_every_point(tmp_path):
    table = {
        "kind": "train",
        "problem": {"name": "random", "patterns": 4},
        "task": {"steps": 1, "learning_rate": 0.0, "mode": "mean", "metrics": ["accuracy"]},
        "axis": [{"name": "seed", "seeds": 64}],
    }
    data = sweep.run(table, tmp_path / "random.zarr", block=64, progress=False)
    assert len(np.unique(data["accuracy"])) == 64
    assert 0.4 < float(data["accuracy"].mean()) < 0.6

"""Sweeps: where points lie, that nothing but the point decides its result, and that a store survives."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import JaxRuntimeError

from qra_jax import algorithm, orbit, parts, sweep
from qra_jax.off_policy import OffPolicy
from qra_jax.reward import kl_in_reward, verifiable
from qra_jax.sweep import engine, layout, store as _store, work
from qra_jax.sweep.axes import Axis
from qra_jax.training import train

ROOT = Path(__file__).parent.parent


def point(key, at):
    """A cheap point: something smooth, something random, something with a dimension of its own."""
    x = at["x"]
    return {
        "y": jnp.exp(jnp.sin(7 * x)) * at["k"],
        "noise": jax.random.normal(key),
        "pair": jax.random.uniform(key, (2,)) + x,
        "odd": at["k"] == 1,
        "status": jnp.where(x > 0.9, 3, 0),
    }


AXES = {"x": Axis(low=0.0, high=1.0, points=23, unit="m"), "k": [1, 2], "seed": Axis(seeds=5)}
SPEC = sweep.Spec(point, AXES, dims={"pair": ("which",)}, coords={"which": ["left", "right"]})

HITS = {
    "kind": "hit",
    "method": "sobol",
    "samples": 1100,
    "problem": {"ref": [0.05, 0.7, 0.25], "success": [0.9, 0.6, 0.1]},
    "task": {"algorithm": {"name": "grpo", "group_size": 8}},
    "axis": [
        {"name": "start", "path": "problem.ref[0]", "low": 0.001, "high": 0.5, "scale": "log"},
        {"name": "target", "path": "task.target", "low": 0.5, "high": 0.999},
    ],
}


def files(folder):
    """All bytes of a store."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(spec, path, **options):
    return sweep.run(spec, path, **{"block": 64, "progress": False, **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The cheap sweep, uninterrupted, and its folder."""
    path = tmp_path_factory.mktemp("sweep") / "whole.zarr"
    return run(SPEC, path, shard_size=40).load(), path


@pytest.fixture(scope="module")
def hits(tmp_path_factory):
    path = tmp_path_factory.mktemp("hits") / "hits.zarr"
    return sweep.run(HITS, path, progress=False).load(), path


# Where points lie


def test_dims_are_named_and_labelled(whole):
    data, _ = whole
    assert dict(data.sizes) == {"k": 2, "x": 23, "seed": 5, "which": 2}
    assert data["y"].dims == ("k", "x", "seed")
    assert data["pair"].dims == ("k", "x", "seed", "which")
    assert data["which"].values.tolist() == ["left", "right"]
    assert data["x"].attrs["units"] == "m"
    assert data.attrs["shards_done"] == data.attrs["shards"]
    assert data.attrs["block"] == 64
    x, k = data["x"].values, data["k"].values
    expected = k[:, None, None] * np.exp(np.sin(7 * x))[None, :, None] * np.ones((2, 23, 5))
    np.testing.assert_allclose(data["y"].values, expected, rtol=1e-13)
    assert (data["odd"].values == (k == 1)[:, None, None]).all()
    assert int((data["status"] == 3).sum()) == 2 * 5 * int((x > 0.9).sum())


def test_key_of_a_point_is_its_index_folded_into_the_root(whole):
    data, _ = whole
    root = jax.random.key(0)
    flat = data["noise"].values.ravel()
    for index in (0, 1, 57, 229):
        assert flat[index] == pytest.approx(
            float(jax.random.normal(jax.random.fold_in(root, index))), rel=1e-12
        )
    assert len(np.unique(flat)) == flat.size


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_draws_lie_along_one_dimension_that_the_others_cross(method):
    axes = (
        Axis("eta", low=0.01, high=10.0, scale="log"),
        Axis("name", values=["a", "b", "c"]),
        Axis("beta", low=-1.0, high=1.0),
        Axis("q", values=[0.0, 1.0]),
        Axis("seed", seeds=4),
    )
    made = layout.Layout(axes, method, 100, 3)
    assert made.dims == ("name", "sample", "q", "seed")
    assert made.shape == (3, 100, 2, 4)
    columns = {axis.name: (dim, values) for axis, dim, values in made.coordinates()}
    assert columns["eta"][0] == columns["beta"][0] == "sample"
    eta, beta = columns["eta"][1], columns["beta"][1]
    assert 0.01 <= eta.min() < 0.02
    assert 5 < eta.max() <= 10
    assert abs(np.median(np.log10(eta)) + 0.5) < 0.3  # log-uniform: the median is the geometric mean, 10^-0.5
    assert abs(np.mean(beta)) < (0.02 if method == "sobol" else 0.2)
    more = layout.Layout(axes, method, 200, 3)
    assert ({a.name: v for a, _, v in more.coordinates()}["eta"][:100] == eta).all()
    other = layout.Layout(axes, method, 100, 4)
    assert ({a.name: v for a, _, v in other.coordinates()}["eta"] != eta).all()


@pytest.mark.parametrize("size", [1, 2, 7, 12, 60, 1000, None])
def test_shards_are_boxes_of_one_category_that_cover_every_point_once(size):
    axes = (Axis("x", low=0, high=1, points=7), Axis("a", values=["p", "q"]), Axis("s", seeds=12))
    made = layout.Layout(axes, "grid", None, 0)
    boxes = made.boxes(size)
    shards = [made.shard(boxes, number) for number in range(boxes.shards)]
    assert sorted(np.concatenate([shard.index for shard in shards])) == list(range(made.points))
    assert all(len(shard.index) <= boxes.capacity for shard in shards)
    assert size is None or boxes.capacity <= size
    for shard in shards:
        assert (np.diff(shard.index) == 1).all()
        assert shard.static == {"a": "pq"[shard.index[0] // 84]}
        assert (shard.values["s"] == shard.index % 12).all()
        np.testing.assert_allclose(shard.values["x"], (shard.index % 84) // 12 / 6)


def test_large_shards_fill_their_blocks():
    boxes = layout.Layout((Axis("s", seeds=100_000),), "grid", None, 0).boxes()
    assert boxes.capacity % layout.BLOCKS == 0
    assert layout.SHARDS / 2 <= boxes.shards <= layout.SHARDS


# Nothing but the point decides its result


@pytest.mark.parametrize("size", [1, 9, 1000])
def test_shard_size_and_order_do_not_change_a_bit(whole, tmp_path, size):
    data, _ = whole
    assert (
        run(SPEC, tmp_path / "other.zarr", shard_size=size)
        .load()
        .identical(_like(data, tmp_path / "other.zarr"))
    )


def _like(data, path):
    """The same data with the attributes of another store."""
    return data.assign_attrs(sweep.open(path).attrs)


def test_shard_size_does_not_change_a_bit_of_the_pooled_search(hits, tmp_path):
    data = sweep.run(HITS, tmp_path / "other.zarr", shard_size=300, progress=False)
    assert data.attrs["shards"] != hits[0].attrs["shards"]
    assert (data["log_time"].values == hits[0]["log_time"].values).all()


def test_parts_of_an_array_job_make_the_same_store(whole, tmp_path):
    _, reference = whole
    path = tmp_path / "parts.zarr"
    half = run(SPEC, path, shard_size=40, shard=(1, 2))
    assert 0 < half.attrs["shards_done"] < half.attrs["shards"]
    assert np.isnan(half["y"].values).any()
    assert (half["odd"].values == -1).any()
    run(SPEC, path, shard_size=40, shard="0/2")
    assert files(path) == files(reference)


def test_eight_devices_make_the_same_store(whole, hits, tmp_path):
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import jax\n"
        "from qra_jax._programs import little_effort; little_effort()\n"  # as in this process
        "jax.config.update('jax_enable_x64', True)\n"
        "from tests import test_sweep as tests; from pathlib import Path\n"
        "assert jax.local_device_count() == 8\n"
        "tests.run(tests.SPEC, Path(sys.argv[2]) / 'whole.zarr', shard_size=40)\n"
        "tests.sweep.run(tests.HITS, Path(sys.argv[2]) / 'hits.zarr', progress=False)\n"
    )
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-c", code, str(ROOT), str(tmp_path)]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
    assert files(tmp_path / "whole.zarr") == files(whole[1])
    assert files(tmp_path / "hits.zarr") == files(hits[1])


def test_hitting_times_are_those_of_the_orbit(hits):
    data, _ = hits
    assert data["log_time"].dims == ("sample",)
    assert (data["status"] == 0).all()
    for i in (0, 17, 1099):
        start = float(data["start"][i])
        problem = parts.problem(
            {"ref": [start, *((1 - start) * np.array([0.7, 0.25]) / 0.95)], "success": [0.9, 0.6, 0.1]}
        )
        found = orbit.hit(
            problem, float(data["target"][i]), algorithm=parts.algorithm(HITS["task"]["algorithm"])
        )
        assert float(data["log_time"][i]) == pytest.approx(float(found.log_time), rel=1e-9)


def test_one_program_for_each_category(tmp_path, monkeypatch):
    compiled = []
    plain = engine.Engine._compile
    monkeypatch.setattr(
        engine.Engine, "_compile", lambda self, *args: (compiled.append(args), plain(self, *args))[1]
    )
    run(replace(SPEC), tmp_path / "a.zarr", shard_size=10)
    assert len(compiled) == 2


def test_the_width_is_fixed_on_a_cpu_and_fits_memory_elsewhere(monkeypatch):
    spec = replace(SPEC)
    assert engine.Engine(spec, spec.layout.boxes()).choose() == 64
    monkeypatch.setattr(engine, "device_memory", lambda device: 8 * 300 * each)
    device = engine.Engine(spec, spec.layout.boxes())
    device.cpu = False
    each = device.program(device.first, 64).memory_analysis().temp_size_in_bytes / 64
    assert each > 0
    assert device.choose() == 256
    monkeypatch.setattr(engine, "device_memory", lambda device: 1e30)
    assert device.choose() == engine.MOST


def test_running_out_of_memory_halves_the_block(whole, tmp_path, monkeypatch):
    data, _ = whole
    plain, widths = engine.Engine._run, []

    def small(self, shard, block):
        widths.append(block)
        if block > 16:
            raise JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        return plain(self, shard, block)

    monkeypatch.setattr(engine.Engine, "_run", small)
    found = run(SPEC, tmp_path / "oom.zarr", shard_size=1000).load()
    assert set(widths) == {64, 32, 16}
    for name in data.data_vars:
        np.testing.assert_allclose(found[name].values, data[name].values, rtol=1e-12)
    assert json.loads((tmp_path / "oom.zarr/done/0").read_text())["block"] == 16

    monkeypatch.setattr(
        engine.Engine, "_run", lambda *a: (_ for _ in ()).throw(JaxRuntimeError("RESOURCE_EXHAUSTED"))
    )
    with pytest.raises(ValueError, match="one point at a time"):
        run(SPEC, tmp_path / "none.zarr")
    monkeypatch.setattr(engine.Engine, "_run", lambda *a: (_ for _ in ()).throw(JaxRuntimeError("INTERNAL")))
    with pytest.raises(JaxRuntimeError, match="INTERNAL"):
        run(SPEC, tmp_path / "bug.zarr")


# What makes two sweeps the same


def scaled(key, at, scale=1.0):
    return {"y": scale * at["x"]}


def closure(scale):
    return lambda key, at: {"y": scale * at["x"]}


def test_functions_differ_by_all_that_they_hold():
    def identity(function):
        return sweep.Spec(function, {"x": [0.0, 1.0]}).identity

    def default(scale):
        def function(key, at, scale=scale):
            return {"y": scale * at["x"]}

        return function

    makers = {
        "closure": closure,
        "array": lambda scale: closure(jnp.full(100, scale)),
        "part": lambda scale: closure(parts.algorithm({"name": "grpo", "group_size": int(scale)})),
        "keyword": lambda scale: partial(scaled, scale=scale),
        "nested": lambda scale: jax.jit(partial(partial(scaled, scale=scale), scale=scale)),
        "default": default,
    }
    found = {name: [identity(make(scale)) for scale in (2.0, 5.0, 2.0)] for name, make in makers.items()}
    for name, (two, five, again) in found.items():
        assert two == again != five, name
    assert len({one for identities in found.values() for one in identities}) == 2 * len(makers)


def test_parts_differ_by_their_arguments():
    def made(*values):
        return sweep.Spec(point, {"x": [0.0], "algorithm": list(values)})

    grpo, rloo = algorithm.grpo, algorithm.rloo
    assert made(grpo(4), rloo(4)).identity == made(grpo(4), rloo(4)).identity
    assert made(grpo(4), rloo(4)).identity != made(grpo(8), rloo(4)).identity
    assert made(grpo(4), rloo(4)).axes[1].coordinate.tolist() == ["GRPO", "RLOO"]
    assert made(grpo(4), grpo(8)).axes[1].coordinate.tolist() == ["grpo group_size=4", "grpo group_size=8"]
    assert made(lambda: 1, lambda: 2).axes[1].coordinate.tolist() == ["<lambda> (0)", "<lambda> (1)"]
    with pytest.raises(ValueError, match="value GRPO is given twice"):
        made(grpo(4), grpo(4))


# A store survives


def test_a_worker_looks_at_the_store_every_time(tmp_path, monkeypatch):
    path, spec = tmp_path / "s.zarr", sweep.Spec(scaled, {"x": [0.0, 1.0, 2.0, 3.0]})
    payload, data = work.pack(spec), []
    for size in (1, 3):
        _store.create(path, spec, spec.layout.boxes(size), work.variables(spec), 64)
        reports = work.remote(payload, str(path), [0, 1])
        assert [report.points for report in reports] == {1: [1, 1], 3: [2, 2]}[size]
        data.append(files(path))
        monkeypatch.setattr(work, "compute", lambda *arguments: pytest.fail("computed again"))
        again = work.remote(payload, str(path), [0, 1])
        monkeypatch.undo()
        for one, other in zip(again, reports, strict=True):
            np.testing.assert_equal(vars(one), vars(other))
        assert files(path) == data[-1]
        shutil.rmtree(path)


def test_leftovers_are_removed_and_a_writer_that_loses_its_own_writes_again(whole, tmp_path, monkeypatch):
    _, reference = whole
    path = Path(shutil.copytree(reference, tmp_path / "left.zarr"))
    (path / "done/4").unlink()
    for left in ("done/.4.abcd", "noise/c/1/1/.0.abcd", "y/c/1/1/.0.ab_d", "y/c/0/0/.0.abcd"):
        (path / left).write_text("half")
    run(SPEC, path, resume=True)
    assert files(path) == files(reference)

    plain, tries = os.replace, []

    def replaced(source, target):
        tries.append(source)
        if len(tries) == 1:
            os.unlink(source)
        plain(source, target)

    monkeypatch.setattr(os, "replace", replaced)
    _store.write(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert len({*tries}) == 2


def test_a_finished_store_is_opened_not_computed(whole, monkeypatch):
    data, path = whole
    monkeypatch.setattr(engine.Engine, "run", lambda *a: pytest.fail("computed again"))
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    assert run(SPEC, path, block=None).load().identical(data)
    assert sweep.open(path).load().identical(data)
    assert before == {file: file.stat().st_mtime_ns for file in path.rglob("*")}


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "mark", "mark gone"])
def test_a_damaged_chunk_is_found_and_computed_anew(whole, tmp_path, monkeypatch, damage):
    _, reference = whole
    path = tmp_path / "damaged.zarr"
    for name, content in files(reference).items():
        _store.write(path / name, content)
    chunk, mark = path / "noise/c/1/1/0", path / "done/4"
    assert chunk.exists()
    content = bytearray(chunk.read_bytes())
    content[11] ^= 1
    {
        "flip": lambda: chunk.write_bytes(bytes(content)),
        "cut": lambda: chunk.write_bytes(bytes(content[:-8])),
        "gone": chunk.unlink,
        "mark": lambda: mark.write_text("{"),
        "mark gone": mark.unlink,
    }[damage]()
    before = files(path)
    if damage == "mark gone":
        assert sweep.open(path).attrs["shards_done"] == sweep.open(path).attrs["shards"] - 1
    else:
        with pytest.raises(ValueError, match="shard 4 is damaged; compute it anew with --resume"):
            sweep.open(path)
    with pytest.raises(ValueError, match="--resume"):
        run(SPEC, path, block=None)
    assert files(path) == before
    computed = []
    plain = work.compute
    monkeypatch.setattr(work, "compute", lambda e, s, n: (computed.append(n), plain(e, s, n))[1])
    run(SPEC, path, resume=True)
    assert computed == [4]
    assert files(path) == files(reference)


def test_a_full_disk_keeps_what_is_done(whole, tmp_path, monkeypatch):
    _, reference = whole
    path = tmp_path / "full.zarr"
    plain, writes = _store.write, []

    def write(target, content):
        writes.append(target)
        if len(writes) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(target, content)

    monkeypatch.setattr(_store, "write", write)
    with pytest.raises(OSError, match=r"disk full; [1-3] of \d+ shards are kept, go on with --resume"):
        run(SPEC, path, shard_size=40)
    kept = files(path)
    monkeypatch.undo()
    run(SPEC, path, resume=True)
    after = files(path)
    assert after == files(reference)
    assert kept.items() <= after.items()


def test_creation_is_all_or_nothing(whole, tmp_path, monkeypatch):
    _, reference = whole
    path = tmp_path / "raced.zarr"
    plain = _store.fill

    def raced(folder, *args):
        """Another process is faster."""
        plain(folder, *args)
        monkeypatch.setattr(_store, "fill", plain)
        assert _store.create(path, *args)

    monkeypatch.setattr(_store, "fill", raced)
    run(SPEC, path, shard_size=40)
    assert files(path) == files(reference)
    monkeypatch.setattr(
        _store, "fill", lambda *args: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))
    )
    with pytest.raises(OSError, match="No space"):
        run(SPEC, tmp_path / "never.zarr")
    assert [one.name for one in tmp_path.iterdir()] == ["raced.zarr"]


# Bad input: one clear line each, nothing overwritten


def table(**changes):
    return {**HITS, **changes}


def axis(**changes):
    return table(axis=[{**HITS["axis"][0], **changes}])


def dropped(*keys):
    return table(axis=[{key: value for key, value in HITS["axis"][0].items() if key not in keys}])


def training(axis=(), **task):
    """A small sweep over training runs."""
    problem = {"ref": [0.2, 0.55, 0.25], "success": [0.9, 0.6, 0.1]}
    task = {"steps": 20, "learning_rate": 0.5, "algorithm": "grpo", "metrics": ["best"], **task}
    axes = list(axis) or [{"path": "learning_rate", "values": [0.1, 0.5]}]
    return {"kind": "train", "problem": problem, "task": task, "axis": axes}


GRID = {"method": "grid", "samples": None}
BAD = {
    "unknown key": (table(kindd="hit"), "sweep: 'kindd' is not known; did you mean 'kind'?"),
    "unknown kind": (table(kind="hitt"), "kind: 'hitt'; must be one of 'hit', 'train', 'flow', 'recipe'"),
    "unknown task key": (table(task={"targt": 0.9}), "task: 'targt' is not known; did you mean 'target'?"),
    "unknown axis key": (axis(hihg=3.0), "axis 0: 'hihg' is not known; did you mean 'high'?"),
    "unknown path": (axis(path="task.targte"), "did you mean 'target'?"),
    "unknown entry": (axis(path="problem.reff[0]"), "there is no 'reff'"),
    "unknown index": (axis(path="problem.success[3]"), "there is no entry [3]"),
    "bad path": (axis(path="problem..ref"), "must be names with dots"),
    "unknown part": (table(task={"algorithm": "grpp"}), "did you mean 'grpo'?"),
    "unknown off-policy key": (training(off_policy={"clp": 0.2}), "'clp' is not known; did you mean 'clip'?"),
    "unknown off-policy path": (
        training(axis=[{"path": "off_policy.stalenes", "values": [1, 2]}]), "did you mean 'staleness'?",
    ),
    "old training key": (training(group_size=8), "task: 'group_size' is not known"),
    "group size in between": (
        training(axis=[{"path": "algorithm.group_size", "values": [4.0, 4.5]}]),
        "axis 'group_size': 4, 4.5; group sizes must be listed as whole numbers",
    ),
    "unknown method": (table(method="sobel"), "method: 'sobel'; must be one of 'grid', 'random', 'sobol'"),
    "no axes": (table(axis=[]), "a sweep needs at least one"),
    "no name": (dropped("name", "path"), "axis 0: name is missing"),
    "no path": (dropped("path"), "axis 'start': path is missing"),
    "empty values": (axis(low=None, high=None, values=[], **{}), "axis 'start': values is empty"),
    "two of one name": (table(axis=[HITS["axis"][0]] * 2), "axis 'start': two axes have this name"),
    "one end": (axis(high=None), "a range needs both"),
    "turned range": (axis(low=0.6), "high must be above low"),
    "log of zero": (axis(low=0.0), "must be positive"),
    "too much given": (axis(seeds=3), "give one of values, low and high, seeds"),
    "points in draws": (axis(points=3), "points = 3 with method 'sobol'"),
    "no samples": (table(samples=None), "samples: missing"),
    "samples in a grid": (table(method="grid"), "samples: 1100 with method 'grid'"),
    "no points": ({**axis(), "method": "grid", "samples": None}, "points is missing"),
    "twice": (axis(low=None, high=None, values=[0.1, 0.1]), "value 0.1 is given twice"),
    "not finite": (axis(low=None, high=None, values=[0.1, float("nan")]), "must be finite"),
    "out of range": (table(axis=[{**HITS["axis"][1], "high": 1.5}]), "target = 1.5: target: 1.5; must be in (0, 1)"),
    "shares below zero": (axis(scale="linear", low=-0.1), "start = -0.1: ref[0]: -0.1; must be zero or positive"),
    "no problem": (table(problem=None), "problem: missing"),
    "problem of another kind": (table(problem=3), "problem: 3; must be a name or a table"),
    "kind of another kind": (table(kind=["hit"]), "kind: ['hit']; must be one of 'hit', 'train'"),
    "phase of another kind": (table(kind="recipe", task={}, phase=3), "phase: 3; must be a list of tables"),
    "name of the marks": (axis(name="done"), "axis 'done': stores keep their marks under this name"),
    "too many points": (table(axis=[HITS["axis"][0], {"name": "seed", "seeds": 10**13}]), "points; must be at most"),
    "one path twice": (
        table(axis=[HITS["axis"][1], {**HITS["axis"][1], "name": "other", "path": "target"}]),
        "axis 'other': path 'task.target' is set by axis 'target', too",
    ),
    "two shares": (
        table(axis=[HITS["axis"][0], {**HITS["axis"][0], "name": "b", "path": "problem.ref[1]"}]),
        "axis 'b': path 'problem.ref[1]' would scale the share that axis 'start' sets",
    ),
    "no other share": (
        {**axis(), "problem": {"ref": [1, 0], "success": [0.9, 0.1]}},
        "path 'problem.ref[0]': ref = [1, 0]; another share must be above 0",
    ),
    "metrics of another kind": (
        {**axis(), "kind": "flow", "task": {"ts": [1.0], "metrics": 3}}, "metrics: 3; must be a list of names",
    ),
    "stray phase": (table(phase=[{}]), "[[phase]] goes with kind 'recipe'"),
    "negative seed": (table(seed=-1), "seed: -1; must be 0 or above"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_specification_is_refused_in_one_line(name, tmp_path):
    spec, message = BAD[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        sweep.run(spec, tmp_path / "bad.zarr", progress=False)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_axis_without_a_name_takes_the_last_of_its_path():
    paths = {"problem.gamma": "gamma", "problem.ref[0]": "ref", "learning_rate": "learning_rate"}
    assert {path: Axis(path=path, seeds=1).name for path in paths} == paths


def test_unreadable_toml_is_refused_with_its_line(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('kind = "hit"\n[problem\n')
    with pytest.raises(ValueError, match=r"bad\.toml: not readable as TOML: .*line 2"):
        sweep.run(path, tmp_path / "bad.zarr")


def test_a_function_is_checked_before_anything_is_made(tmp_path):
    axes = {"x": [0.1, 0.2]}
    bad = {
        "returns float; must return a table": lambda key, at: at["x"] if isinstance(at["x"], float) else 1.0,
        "variable 'x': an axis has this name": lambda key, at: {"x": at["x"]},
        "must be real numbers": lambda key, at: {"z": at["x"] + 1j},
        "returns no variables": lambda key, at: {},
        "axis x: an axis of floating-point numbers sets": lambda key, at: {"z": jnp.zeros(int(at["x"] * 10))},
    }
    for message, function in bad.items():
        with pytest.raises(ValueError, match=message):
            run(sweep.Spec(function, axes), tmp_path / "bad.zarr")
    shapes = sweep.Spec(lambda key, at: {"z": jnp.zeros(at["n"])}, {"n": [2, 3]})
    with pytest.raises(ValueError, match="with n = 3 the variables have other shapes"):
        run(shapes, tmp_path / "bad.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_something_else_is_left_alone(whole, tmp_path, monkeypatch):
    _, reference = whole
    other = sweep.Spec(point, {**AXES, "seed": Axis(seeds=6)})
    before = files(reference)
    for options in ({}, {"resume": True}, {"shard": "0/2"}):
        with pytest.raises(ValueError, match="made by another specification; choose another --store"):
            run(other, reference, **options)
    for name, message in (
        ("block", "block: 128, but the store was made with 64"),
        ("shard_size", "leave it out"),
    ):
        with pytest.raises(ValueError, match=message):
            run(SPEC, reference, resume=True, **{name: 128})
    with monkeypatch.context() as patch:
        patch.setattr(jax, "__version__", "0.0.1")
        with pytest.raises(ValueError, match=r"made with jax .*, this is 0\.0\.1"):
            run(SPEC, reference, resume=True)
    assert files(reference) == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is no store of a sweep"):
        run(SPEC, tmp_path)
    with pytest.raises(ValueError, match="is no store of a sweep"):
        run(SPEC, tmp_path / "notes.txt")
    assert files(tmp_path) == {"notes.txt": b"mine"}
    with pytest.raises(ValueError, match="does not exist"):
        sweep.open(tmp_path / "nothing.zarr")


@pytest.mark.parametrize("shard", ["2/2", "1", "a/b", (3, 2)])
def test_a_bad_part_is_refused(shard, tmp_path):
    with pytest.raises(ValueError, match="shard: "):
        run(SPEC, tmp_path / "x.zarr", shard=shard)


@pytest.mark.parametrize("inner_first", [True, False])
def test_a_path_inside_another_is_set_last(inner_first):
    axes = [
        {"path": "algorithm.group_size", "values": [4, 8]},
        {"path": "algorithm", "values": ["grpo", "rloo"]},
    ]
    spec = sweep.from_table({**HITS, "axis": [*(axes if inner_first else axes[::-1]), HITS["axis"][1]]})
    _, settings, _ = spec.function.build(
        jax.random.key(0), {"group_size": 8, "algorithm": "rloo", "target": 0.9}
    )
    assert (settings["algorithm"].name, settings["algorithm"].group_size) == ("RLOO", 8)


# Training


@pytest.mark.parametrize("kind", ["train", "hit"])
def test_group_sizes_share_one_program_with_room_for_the_largest(tmp_path, monkeypatch, kind):
    compiled = []
    plain = engine.Engine._compile
    monkeypatch.setattr(
        engine.Engine, "_compile", lambda self, *args: (compiled.append(args), plain(self, *args))[1]
    )
    axis = {"name": "G", "path": "algorithm.group_size", "values": [3, 8]}
    spec = training(mode="mean") if kind == "train" else {**HITS, "method": "grid", "samples": None}
    value, found = {"train": "best", "hit": "log_time"}[kind], {}
    for static in (True, False):
        again = {**spec, "axis": [{**axis, "static": static}]}
        found[static] = sweep.run(again, tmp_path / f"{static}.zarr", block=2, progress=False).load()[value]
    assert len(compiled) == 2 + 1
    np.testing.assert_allclose(found[False].values, found[True].values, rtol=1e-9)
    assert len(np.unique(found[True].values)) == 2


def test_a_sweep_trains_as_train_does(tmp_path):
    axes = [
        {"name": "high", "path": "off_policy.clip[1]", "values": [0.1, 0.9]},
        {"path": "off_policy.staleness", "values": [0, 3]},
        {"path": "off_policy.sampling_temperature", "values": [1.0, 1.5]},
    ]
    off_policy, grpo = {"clip": [0.2, 0.28], "epochs": 2}, {"name": "grpo", "group_size": 8}
    spec = training(
        axis=axes, learning_rate=2.0, off_policy=off_policy, algorithm=grpo, mode="mean", record_every=10
    )
    data = sweep.run(spec, tmp_path / "train.zarr", block=4, progress=False).load()
    assert data["best"].dims == ("staleness", "high", "sampling_temperature", "step")
    assert data["step"].values.tolist() == [0, 10, 20]
    problem = parts.problem(spec["problem"])
    for at in (
        {"high": 0.1, "staleness": 0, "temperature": 1.0},
        {"high": 0.9, "staleness": 3, "temperature": 1.5},
    ):
        off = OffPolicy(
            clip=(0.2, at["high"]),
            epochs=2,
            staleness=at["staleness"],
            sampling_temperature=at["temperature"],
        )
        run = train(
            jax.random.key(0), problem, steps=20, learning_rate=2.0, algorithm=algorithm.grpo(8), mode="mean",
            off_policy=off, record_every=10,
        )  # fmt: skip
        seen = data["best"].sel(
            high=at["high"], staleness=at["staleness"], sampling_temperature=at["temperature"]
        )
        np.testing.assert_allclose(seen.values, run.policy[:, 0], rtol=1e-9)
    assert len(np.unique(data["best"].isel(step=-1))) == 8


def test_off_policy_may_be_set_by_an_axis_alone(tmp_path):
    spec = training(
        axis=[{"path": "off_policy.temperature", "values": [0.5, 1.0]}],
        reward={"name": "kl_in_reward", "beta": 0.1, "reward": "verifiable"},
        algorithm={"name": "rloo", "group_size": 4},
        mode="mean",
    )
    data = sweep.run(spec, tmp_path / "train.zarr", block=2, progress=False).load()
    problem = parts.problem(spec["problem"])
    for temperature in (0.5, 1.0):
        run = train(
            jax.random.key(0), problem, steps=20, learning_rate=0.5, algorithm=algorithm.rloo(4), mode="mean",
            reward=kl_in_reward(verifiable(), 0.1), off_policy=OffPolicy(temperature=temperature),
        )  # fmt: skip
        np.testing.assert_allclose(
            float(data["best"].sel(temperature=temperature)), run.policy[-1, 0], rtol=1e-9
        )

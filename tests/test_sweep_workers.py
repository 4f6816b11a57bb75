"""Sweeps on other processes: any executor, workers that die, a driver that is killed."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from qra_jax import sweep
from qra_jax.sweep import engine, executors
from qra_jax.sweep.axes import Axis

ROOT = Path(__file__).parent.parent
DRIVER = os.getpid()
SLOW = 400
"""Shards of the sweep that is killed: they take a second or two."""


def point(key, at):
    """A point that takes a while: about 10 ms a block."""
    start = at["x"] + jax.random.uniform(key)
    return {"y": jax.lax.fori_loop(0, 20_000, lambda i, y: 3.9 * (y % 1) * (1 - y % 1), start)}


def spec(function=point, shards=40):
    return sweep.Spec(function, {"x": Axis(low=0.0, high=1.0, points=10), "seed": Axis(seeds=shards)})


def run(made, path, **options):
    return sweep.run(made, path, **{"block": 64, "shard_size": 10, "progress": False, **options})


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def marks(folder):
    """Marks of the shards that are done."""
    return [one for one in folder.glob("done/*") if one.name.isdigit()]


def data(folder):
    """What was computed, without what says by whom."""
    return {name: content for name, content in files(folder).items() if "y/c/" in name or "done/" in name}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "store.zarr"
    run(spec(), path)
    return path


def by_value(marker):
    """The same point, as a function that travels by value, and whose first worker dies while it compiles."""

    def mortal(key, at):
        if os.getpid() != DRIVER and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        start = at["x"] + jax.random.uniform(key)
        return {"y": jax.lax.fori_loop(0, 20_000, lambda i, y: 3.9 * (y % 1) * (1 - y % 1), start)}

    return mortal


def test_killed_at_random_moments_and_resumed_it_is_the_same(tmp_path):
    path = tmp_path / "store.zarr"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import jax\n"
        "jax.config.update('jax_enable_x64', True)\n"
        "from tests import test_sweep_workers as tests; from pathlib import Path\n"
        "tests.run(tests.spec(shards=tests.SLOW), Path(sys.argv[2]), resume=True)\n"
    )
    run(spec(shards=SLOW), tmp_path / "whole.zarr")
    command = [sys.executable, "-c", code, str(ROOT), str(path)]
    generator = random.Random(0)
    counts = []
    for _ in range(3):
        before = len(marks(path))
        process = subprocess.Popen(command, env={**os.environ, "JAX_PLATFORMS": "cpu"}, cwd=ROOT)
        while process.poll() is None and len(marks(path)) <= before:
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 0.2))
        process.kill()
        process.wait()
        counts.append(len(marks(path)))
    assert counts == sorted(counts)
    assert 0 < counts[0] < SLOW
    run(spec(shards=SLOW), path, resume=True)
    assert files(path) == files(tmp_path / "whole.zarr")


def test_a_lost_process_is_a_shard_tried_again(reference, tmp_path):
    marker = tmp_path / "died"
    run(spec(by_value(marker)), tmp_path / "store.zarr", executor="processes:1")
    assert marker.exists()
    assert data(tmp_path / "store.zarr") == data(reference)


def test_processes_end_with_a_driver_that_is_killed(tmp_path):
    code = (
        "import os, sys, time\n"
        "from qra_jax.sweep import executors\n"
        "if __name__ == '__main__':\n"
        "    with executors.workers('processes:1', None, 1) as workers:\n"
        "        executor = workers.make()\n"
        "        print(executor.submit(os.getpid).result(), flush=True)\n"
        "        executor.submit(time.sleep, 60).result()\n"
    )
    (tmp_path / "driver.py").write_text(code)
    command = [sys.executable, str(tmp_path / "driver.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    driver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    with driver:
        assert driver.stdout is not None
        worker = int(driver.stdout.readline())
        os.kill(worker, 0)
        driver.kill()
    for _ in range(500):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlives its driver")


def test_dask_with_two_workers_of_which_one_is_killed(reference, tmp_path):
    distributed = pytest.importorskip("distributed")
    path = tmp_path / "store.zarr"
    killed = []

    def kill_one(client):
        while not marks(path):
            time.sleep(0.005)
        pid = next(iter(client.run(os.getpid).values()))
        os.kill(pid, signal.SIGKILL)
        killed.append(len(marks(path)))

    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    )
    with cluster, distributed.Client(cluster) as client:
        killer = threading.Thread(target=kill_one, args=(client,))
        killer.start()
        run(spec(by_value(Path(os.devnull))), path, executor=client)
        killer.join()
    assert killed
    assert killed[0] < 40
    assert data(path) == data(reference)


def test_submitit(reference, tmp_path):
    submitit = pytest.importorskip("submitit")
    made = spec(by_value(Path(os.devnull)))
    found = run(
        made, tmp_path / "store.zarr", shard_size=200, executor=submitit.LocalExecutor(tmp_path / "jobs")
    )
    assert found.attrs["shards"] == 2
    assert (found["y"].values == sweep.open(reference)["y"].values).all()


class Flaky(Executor):
    """Runs tasks at once, and loses its worker in some calls."""

    def __init__(self, losses, calls):
        self.losses, self.calls = losses, calls

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        if self.losses(next(self.calls)):
            future.set_exception(BrokenProcessPool("a worker was terminated abruptly"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def workers(losses, **options):
    calls = itertools.count()
    return executors.Workers(lambda: Flaky(losses, calls), 4, **options)


def test_an_executor_is_kept_busy(monkeypatch):
    with ThreadPoolExecutor(40) as pool, executors.workers(pool, ROOT, 1) as known:
        assert known.width == 80
    with executors.workers(Flaky(None, None), ROOT, 1) as unknown:
        assert unknown.width == 2 * executors.WIDE
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert engine.cores() == os.cpu_count()


def test_losses_are_made_good_up_to_a_point():
    task = lambda shards: shards  # noqa: E731
    found = list(executors.gather(workers(lambda call: call in (2, 3)), task, list(range(9)), ()))
    assert sorted(number for part in found for number in part) == list(range(9))
    with pytest.raises(ValueError, match=r"executor: shard \d lost its worker 4 times .*terminated abruptly"):
        list(executors.gather(workers(lambda call: True), task, list(range(9)), ()))
    with pytest.raises(ValueError, match="executor: broken"):
        list(executors.gather(workers(lambda call: True, renewable=False), task, [0, 1], ()))

    def fails(shards):
        raise ZeroDivisionError("its own")

    pool = executors.Workers(lambda: ThreadPoolExecutor(2), 3)
    with pytest.raises(ZeroDivisionError, match="its own"):
        list(executors.gather(pool, fails, [0, 1], ()))


def test_bad_executors_are_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "PATIENCE", 1)
    start = time.perf_counter()
    bad = {
        "procesess": "must be one of processes",
        "processes:0": "the number after ':' must be 1 or above",
        "dask://127.0.0.1:9": "no dask scheduler at 127.0.0.1:9",
        "slurm": "executor: 'slurm': .*srun",
        3: "must be an executor or one of",
    }
    for executor, message in bad.items():
        with pytest.raises(ValueError, match=message) as caught:
            run(
                spec(lambda key, at: {"y": jnp.sin(at["x"])}),
                tmp_path / "store.zarr",
                executor=executor,
                resume=True,
            )
        assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < 20
    lock = threading.Lock()
    stuck = spec(lambda key, at: {"y": at["x"] * (lock is None)})
    with pytest.raises(ValueError, match="cannot be sent"):
        run(stuck, tmp_path / "lock.zarr", executor="processes")

"""Sweeps beside the bare computation, their memory, and what is left after random kills.

    python benchmarks/sweep.py                # about ten minutes on two cores
    python benchmarks/sweep.py --scale 0.05   # the same at a twentieth of the size
    python benchmarks/sweep.py --kills 50     # and fifty kills at random moments

The sweeps are a million RLVR hitting times (grid of 1000 starts by 1000 targets, three patterns, GRPO, float64) and
10⁵ sampled GRPO runs of 1000 steps (grid of 100 learning rates by 1000 replicas, ten patterns, 16 rollouts, float32).
Each is timed with its compilation, as is the bare computation: `qra.many` over `orbit.log_hitting_time`
and over `training.train`. Every run is a process of its own, and so is its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _common import environment, save, show

LIMIT = 1.10
"""A sweep may take this many times the bare computation."""
REF, SUCCESS = [0.05, 0.70, 0.25], [0.9, 0.6, 0.1]
TARGETS = 0.5, 0.999
STARTS = 1e-3, 0.5
RATES = 1e-3, 1.0
PATTERNS, GROUP, STEPS = 10, 16, 1000


def hits(scale):
    """The specification of the sweep of hitting times."""
    side = max(2, round(1000 * scale**0.5))
    start = {"name": "start", "path": "problem.ref[0]", "low": STARTS[0], "high": STARTS[1], "scale": "log"}
    target = {"name": "target", "path": "task.target", "low": TARGETS[0], "high": TARGETS[1]}
    return {
        "kind": "hit",
        "problem": {"ref": REF, "success": SUCCESS},
        "task": {"algorithm": {"name": "grpo", "group_size": GROUP}},
        "axis": [{**start, "points": side}, {**target, "points": side}],
    }


def runs(scale):
    """The specification of the sweep of sampled training."""
    rate = {"name": "eta", "path": "task.learning_rate", "low": RATES[0], "high": RATES[1], "scale": "log"}
    return {
        "kind": "train",
        "problem": {"ref": [1 / PATTERNS] * PATTERNS, "success": list(np.linspace(0.1, 0.9, PATTERNS))},
        "task": {
            "algorithm": {"name": "grpo", "group_size": GROUP},
            "steps": STEPS,
            "metrics": ["accuracy", "best"],
        },
        "axis": [{**rate, "points": 100}, {"name": "seed", "seeds": max(1, round(1000 * scale))}],
    }


def sweep_of(name, scale, store):
    """Run a sweep."""
    from qra_jax import sweep

    data = sweep.run({"hits": hits, "runs": runs}[name](scale), store)
    return {"points": data.attrs["points"], "shards": data.attrs["shards"], "block": data.attrs["block"]}


def bare(name, scale, _):
    """The same numbers without a sweep."""
    import qra_jax as qra
    from qra_jax.problem import Problem

    if name == "hits":
        side = max(2, round(1000 * scale**0.5))
        start = jnp.repeat(jnp.geomspace(*STARTS, side), side)
        target = jnp.tile(jnp.linspace(*TARGETS, side), side)
        ref = jnp.stack([start, *((1 - start) * one / (REF[1] + REF[2]) for one in REF[1:])], axis=-1)
        problems = Problem(jnp.log(ref), jnp.broadcast_to(jnp.asarray(SUCCESS), ref.shape))

        log_times = qra.many(partial(qra.orbit.log_hitting_time, algorithm=qra.grpo(GROUP)))(problems, target)
        return {"points": len(log_times)}
    problem = Problem.from_probs(ref=np.full(PATTERNS, 1 / PATTERNS), success=np.linspace(0.1, 0.9, PATTERNS))
    problem = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), problem)
    count = max(1, round(1000 * scale))
    rates = jnp.repeat(jnp.geomspace(*RATES, 100, dtype=jnp.float32), count)

    def train(key, rate):
        settings = {"steps": STEPS, "record_every": STEPS, "algorithm": qra.grpo(GROUP)}
        run = qra.training.measure(("accuracy", "best"), key, problem, learning_rate=rate, **settings)
        return run.values["accuracy"][-1], run.values["best"][-1], run.status

    found = qra.many(train)(jax.random.split(jax.random.key(0), len(rates)), rates)
    return {"points": len(found[0])}


def measure(what, name, scale, store):
    """One run in this process: seconds, peak memory."""
    jax.config.update("jax_enable_x64", name == "hits")
    import qra_jax.sweep  # noqa: F401 (imports are not timed)

    start = time.perf_counter()
    found = {"sweep": sweep_of, "bare": bare}[what](name, scale, store)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({**found, "seconds": seconds, "peak_memory_GiB": peak}))


def apart(what, name, scale, store):
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--one", what, name, "--scale", str(scale), "--store", str(store)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(name, scale, repeats, folder):
    """Sweep and bare computation in turn."""
    rows = {"sweep": [], "bare": []}
    for turn in range(repeats):
        for what in rows:
            rows[what].append(apart(what, name, scale, folder / f"{name}-{turn}.zarr"))
            shutil.rmtree(folder / f"{name}-{turn}.zarr", ignore_errors=True)
    small = apart("sweep", name, scale / 10, folder / "small.zarr")
    shutil.rmtree(folder / "small.zarr")
    best = {what: min(found, key=lambda one: one["seconds"]) for what, found in rows.items()}
    return {
        "sweep": name,
        "points": best["sweep"]["points"],
        "shards": best["sweep"]["shards"],
        "block": best["sweep"]["block"],
        "seconds": best["sweep"]["seconds"],
        "bare_seconds": best["bare"]["seconds"],
        "ratio": best["sweep"]["seconds"] / best["bare"]["seconds"],
        "points_per_s": best["sweep"]["points"] / best["sweep"]["seconds"],
        "peak_memory_GiB": best["sweep"]["peak_memory_GiB"],
        "peak_memory_a_tenth_GiB": small["peak_memory_GiB"],
        "all_seconds": {what: [one["seconds"] for one in found] for what, found in rows.items()},
    }


def files(folder):
    """All bytes of a store."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def marks(folder):
    """Shards that are done."""
    return sum(1 for path in folder.glob("done/*") if path.name.isdigit())


def killed(kills, scale, folder, seed=0):
    """Kill -9 a sweep at random moments, resume it every time, and compare it with one that ran through."""
    generator = random.Random(seed)
    shards = 20 * kills  # a kill comes after twenty shards, on average
    size = max(64, round(1_000_000 * scale / shards))
    command = ["--one", "killed", "hits", "--scale", str(scale), "--shards-of", str(size)]

    def start(store):
        return subprocess.Popen(
            [sys.executable, __file__, *command, "--store", str(store)], stderr=subprocess.DEVNULL
        )

    whole, broken = folder / "whole.zarr", folder / "killed.zarr"
    begin = time.perf_counter()
    assert start(whole).wait() == 0
    through = time.perf_counter() - begin
    count, before, lost, early = 0, 0, 0, 0
    while count < kills and (not broken.exists() or marks(broken) < marks(whole)):
        process = start(broken)
        wait = (
            generator.uniform(0, 3.0) if generator.random() < 0.2 else None
        )  # one in five at any moment at all
        begin = time.perf_counter()
        while process.poll() is None and (
            marks(broken) <= before if wait is None else time.perf_counter() < begin + wait
        ):
            time.sleep(0.001)
        if wait is None:
            time.sleep(generator.uniform(0, 0.3))
        process.kill()
        process.wait()
        now = marks(broken)
        lost += now < before
        early += now == before
        count, before = count + 1, now
    left = marks(whole) - before
    assert start(broken).wait() == 0
    same = files(whole) == files(broken)
    strays = [str(path.name) for path in folder.iterdir() if path not in (whole, broken)]
    return {
        "kills": count,
        "kills_before_anything_was_done": early,
        "shards": marks(whole),
        "shards_left_at_the_last_kill": left,
        "marks_lost": lost,
        "same_bytes": same,
        "folders_left_beside_the_store": len(strays),
        "uninterrupted_s": through,
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the points")
    parser.add_argument("--kills", type=int, default=0, help="kills at random moments")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["hits", "runs", "kills"], help="one part alone; writes no file")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--shards-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one and options.one[0] == "killed":
        jax.config.update("jax_enable_x64", True)
        from qra_jax import sweep

        sweep.run(
            hits(options.scale), options.store, resume=True, shard_size=options.shards_of, progress=False
        )
        return
    if options.one:
        measure(*options.one, options.scale, options.store)
        return
    note, rows, kills = environment("zarr", "xarray"), [], None
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("hits", "runs"):
            if options.only in (None, name):
                rows.append(compare(name, options.scale, options.repeats, Path(folder)))
        if rows:
            columns = [key for key in rows[0] if key != "all_seconds"]
            show("Sweeps, with compilation", [{key: row[key] for key in columns} for row in rows])
            slow = [row["sweep"] for row in rows if row["ratio"] > LIMIT]
            print(
                f"within {LIMIT:g} times the bare computation: {'all' if not slow else 'not ' + ', '.join(slow)}"
            )
        if options.kills and options.only in (None, "kills"):
            kills = killed(options.kills, min(options.scale, 0.1), Path(folder))
            show("Kills at random moments", [kills])
    if options.only is None:
        path = save("sweep", {"environment": note, "scale": options.scale, "sweeps": rows, "kills": kills})
        print(f"wrote benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()

"""One accelerator in eight minutes: training, hitting times, flows and tiny networks in float32, and the best block.

    python benchmarks/gpu.py                       # writes results/gpu-<device>.json
    python benchmarks/gpu.py --small --minutes 1   # every row once, at small size, on any machine; writes nothing
    python benchmarks/gpu.py --out FILE            # writes there, on a CPU too

The file is written after each row: a row that fails says why, and costs no other. Rows go from small to large; a size
that would not end in its table's share of the time is left out, and said to be. Compiling is apart from running, which
is the best of some repeats, and waits for the device. A run-step is one step of one run.

Operations and bytes of a run-step are XLA's own count for one turn of the compiled loop: loops inside of it count once,
and what stays in a cache counts as moved, so a share of the peak is a guide. For networks they are counted by hand.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _accelerator import Report, called, counted, measured_peak, peak_of, shares, timed
from _common import RESULTS, compiled, environment, interleaved, show

import qra_jax as qra
from qra_jax import flow, orbit, training, transformer as tf

PATTERNS, GROUP, TARGET, TOLERANCE, NETWORK_STEPS, QUESTIONS, SEQUENCES = 10, 16, 0.99, 1e-5, 10, 4, 8
TIMES = np.linspace(0.0, 100.0, 101, dtype=np.float32)


@dataclass
class Sizes:
    """How much of each table is measured."""

    runs: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    steps: int = 100
    problems: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    flows: tuple[int, ...] = (1_000, 10_000, 100_000)
    seeds: tuple[int, ...] = (1, 16, 128, 1024)
    width: int = 64
    blocks: tuple[int, ...] = (64, 512, 4096, 32_768, 262_144)
    lanes: tuple[int, ...] = (128, 1024, 8192, 65_536)
    blocked: int = 262_144
    matrix: int = 4096
    vector: int = 2**26
    repeats: int = 3


SMALL = Sizes(
    runs=(64,),
    steps=5,
    problems=(64,),
    flows=(32,),
    seeds=(2,),
    width=16,
    blocks=(32,),
    lanes=(128,),
    blocked=128,
    matrix=256,
    vector=2**20,
    repeats=2,
)


def questions(count: int) -> qra.Problem:
    """Random problems in float32."""
    keys = jax.random.split(jax.random.key(0), count)
    drawn = jax.jit(jax.vmap(lambda key: qra.problem.random(key, PATTERNS)))(keys)
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), drawn)


def run_of(steps: int) -> Any:
    """One sampled GRPO run: its last policy."""

    def run(key: Any, problem: qra.Problem) -> Any:
        every = max(1, steps)
        options = {"algorithm": qra.grpo(GROUP), "optimizer": optax.sgd, "learning_rate": 0.1}
        return training.train(key, problem, steps=steps, record_every=every, **options).policy[-1]

    return run


def inputs(runs: int) -> tuple[Any, qra.Problem]:
    return jax.random.split(jax.random.key(1), runs), questions(runs)


def train_all(runs: int, sizes: Sizes, peak: dict[str, Any]) -> dict[str, Any]:
    """All runs as one vmap."""
    given = inputs(runs)
    seconds, program, policy = timed(jax.vmap(run_of(sizes.steps)), given, sizes.repeats)
    idle = compiled(jax.vmap(run_of(0)), *given)[0]
    flops, moved = (max(0.0, a - b) / runs for a, b in zip(counted(program), counted(idle), strict=True))
    rate = runs * sizes.steps / seconds["run s"]
    accuracy = float(jnp.mean(jnp.sum(policy * given[1].success, axis=1)))
    return {**seconds, "run-steps/s": rate, **shares(peak, rate, flops, moved), "mean accuracy": accuracy}


def train_many(runs: int, sizes: Sizes, **options: Any) -> dict[str, Any]:
    """The same by `qra.many`, arrays from and to the host included."""
    seconds, _ = called(qra.many(run_of(sizes.steps), **options), inputs(runs), sizes.repeats)
    return {**seconds, "run-steps/s": runs * sizes.steps / seconds["run s"]}


def train_blocks(block: int, sizes: Sizes) -> dict[str, Any]:
    """One program that goes through blocks of runs."""
    blocks = lambda *given: jax.lax.map(  # noqa: E731
        lambda one: run_of(sizes.steps)(*one), given, batch_size=block
    )
    seconds, program, _ = timed(blocks, inputs(sizes.blocked), sizes.repeats)
    temporary = program.memory_analysis().temp_size_in_bytes / sizes.blocked
    rate = sizes.blocked * sizes.steps / seconds["run s"]
    return {**seconds, "run-steps/s": rate, "temporary bytes a run": temporary}


def hit_many(problems: int, sizes: Sizes, lanes: int | None = None) -> dict[str, Any]:
    """Hitting times by `qra.many`, the default chunk or one that all lanes fill."""
    options = {} if lanes is None else {"block": lanes, "chunk": max(lanes, 8192)}
    run = qra.many(partial(orbit.hit, target=TARGET), **options)
    seconds, found = called(run, (questions(problems),), sizes.repeats)
    rate, fine = problems / seconds["run s"], float(jnp.mean(found.status == 0))
    return {**seconds, "problems/s": rate, "panels/s": rate * float(found.panels.mean()), "share OK": fine}


def hit_all(problems: int, sizes: Sizes) -> dict[str, Any]:
    """Hitting times as one vmap, in which all wait for the slowest."""
    run = jax.vmap(lambda one: orbit.hit(one, TARGET))
    seconds, _, found = timed(run, (questions(problems),), sizes.repeats)
    rate, fine = problems / seconds["run s"], float(jnp.mean(found.status == 0))
    return {**seconds, "problems/s": rate, "panels/s": rate * float(found.panels.mean()), "share OK": fine}


def ours(one: qra.Problem) -> Any:
    return flow.solve(one, ts=TIMES, rtol=TOLERANCE, atol=TOLERANCE).log_policy


def bare(one: qra.Problem) -> Any:
    """diffrax as one would write it by hand."""

    def field(t: Any, theta: Any, args: Any) -> Any:
        policy = jax.nn.softmax(theta)
        return policy * (one.success - jnp.sum(policy * one.success))

    ts = jnp.asarray(TIMES)
    controller = diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE)
    options = {"saveat": diffrax.SaveAt(ts=ts), "stepsize_controller": controller, "throw": False}
    term, solver = diffrax.ODETerm(field), diffrax.Tsit5()
    found = diffrax.diffeqsolve(term, solver, ts[0], ts[-1], None, one.log_ref, **options)
    assert found.ys is not None
    return jax.nn.log_softmax(found.ys)


def flows(count: int, sizes: Sizes) -> dict[str, Any]:
    """`flow.solve` beside bare diffrax, as one vmap each, in turn."""
    given = questions(count)
    mine, compile_s = compiled(jax.vmap(ours), given)
    theirs, their_compile_s = compiled(jax.vmap(bare), given)
    seconds = interleaved({"ours": lambda: mine(given), "bare": lambda: theirs(given)}, sizes.repeats)
    a, b = min(seconds["ours"]), min(seconds["bare"])
    apart = float(jnp.max(jnp.abs(jnp.exp(mine(given)) - jnp.exp(theirs(given)))))
    return {
        "compile s": compile_s,
        "run s": a,
        "problems/s": count / a,
        "diffrax compile s": their_compile_s,
        "diffrax s": b,
        "ours/diffrax": a / b,
        "largest gap of a share": apart,
    }


def networks(seeds: int, sizes: Sizes, peak: dict[str, Any]) -> dict[str, Any]:
    """RL steps of tiny decoders side by side, as one vmap."""
    task = tf.controlled(qra.problem.stack([qra.problem.examples.worked()] * QUESTIONS))
    model = tf.Decoder(task.vocabulary, width=sizes.width)
    keys = jax.random.split(jax.random.key(0), seeds)
    params = jax.jit(jax.vmap(lambda key: tf.init(key, model)))(keys)
    options = {"algorithm": qra.grpo(SEQUENCES), "questions": QUESTIONS, "learning_rate": 1e-4}

    def steps(key: Any, params: Any) -> Any:
        run = tf.train(key, model, params, task, steps=NETWORK_STEPS, record_every=NETWORK_STEPS, **options)
        return run.params, run.stats["reward"]

    seconds, _, _ = timed(jax.vmap(steps), (keys, params), sizes.repeats)
    rate = seeds * NETWORK_STEPS / seconds["run s"]
    weights = model.depth * (4 + 2 * model.hidden) * model.width**2 + model.vocabulary * model.width
    tokens = QUESTIONS * task.digits + QUESTIONS * SEQUENCES * (task.length - 1)
    forward = 2 * tokens * weights + 2 * tokens * (task.digits + task.length) * model.width * model.depth
    return {**seconds, "seed-steps/s": rate, **shares(peak, rate, 4 * forward)}


def measure(report: Report, sizes: Sizes) -> None:
    """All tables, from small to large."""
    report.table(0.05)
    report.row("peak", "measured", sizes.matrix, partial(measured_peak, sizes.matrix, sizes.vector))
    peak = peak_of(jax.devices()[0].device_kind, report.content["peak"][0])
    report.content["peak of the shares"] = peak
    report.table(0.27)
    for runs in sizes.runs:
        report.row("training", "one vmap", runs, partial(train_all, runs, sizes, peak))
        report.row("training", "qra.many", runs, partial(train_many, runs, sizes))
    report.table(0.44)
    for count in sizes.problems:
        report.row("hitting times", "qra.many", count, partial(hit_many, count, sizes))
        report.row("hitting times", "one vmap", count, partial(hit_all, count, sizes))
    report.table(0.56)
    for count in sizes.flows:
        report.row("flow", "one vmap", count, partial(flows, count, sizes))
    report.table(0.8)
    for seeds in sizes.seeds:
        report.row("networks", "one vmap", seeds, partial(networks, seeds, sizes, peak))
    report.table(0.92)
    for block in sizes.blocks:
        report.row("blocks of runs", "one program", block, partial(train_blocks, block, sizes), False)
    report.table(1.0)
    for lanes in sizes.lanes:
        report.row(
            "lanes of problems", "qra.many", lanes, partial(hit_many, sizes.blocked, sizes, lanes), False
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="every row at small size")
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="sizes that would take longer are left out"
    )
    parser.add_argument(
        "--out", type=Path, help="file to write; default: results/gpu-<device>.json, none on a CPU"
    )
    options = parser.parse_args()
    about = environment("optax", "diffrax", "equinox", "flax")
    device, path = re.sub(r"[^a-z0-9]+", "-", jax.devices()[0].device_kind.lower()), options.out
    if path is None and jax.default_backend() != "cpu":
        path = RESULTS / f"gpu-{device}{'-small' if options.small else ''}.json"
    sizes = SMALL if options.small else Sizes()
    content = {"environment": about, "devices": jax.device_count(), "minutes": options.minutes}
    content["setting"] = {"patterns": PATTERNS, "group": GROUP, "steps": sizes.steps, "dtype": "float32"}
    report = Report(path, options.minutes, content)
    measure(report, sizes)
    for name, rows in report.content.items():
        if isinstance(rows, list):
            columns = list(dict.fromkeys(key for row in rows for key in row))
            show(name, [{key: row.get(key, "") for key in columns} for row in rows])
    print("all on one device; the peak that shares refer to:", report.content["peak of the shares"])
    if path is not None:
        print(f"wrote {path.name}")
    if report.failed:
        raise SystemExit(f"{report.failed} rows failed")


if __name__ == "__main__":
    main()

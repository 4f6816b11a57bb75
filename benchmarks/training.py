"""Sampled GRPO: thousands of runs at once, beside NumPy, Numba and plain JAX in the same run.

Ours twice: with the compiled loops that llvmlite brings, and by the general loop alone.

    python benchmarks/training.py             # about five minutes on two cores; needs Numba for two of the peers
    python benchmarks/training.py --quick     # fewer repeats, no million runs

One run-step: one run draws a group of 16 rollouts over 10 patterns, weighs it, and takes a step of gradient ascent;
float32. On a CPU every contender is held against the others: same mean accuracy and concentration, four standard
errors. Ours and Numba's run on all cores, NumPy's on one, plain JAX's as XLA likes: CPU time is beside wall time.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import _plain_peers
import _training_peers
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import environment, save, show, summary

import qra_jax as qra
from qra_jax import training
from qra_jax.training import fused
from qra_jax.training.api import _train

RUNS, PATTERNS, GROUP, STEPS, RATE = 4096, 10, 16, 400, 0.1
GENERAL = "qra.many(train), general loop"
BLOCK = 64  # what `qra.many` takes by itself


def problems(runs, seed=0):
    """Random problems in float32."""
    rng = np.random.default_rng(seed)
    ref = rng.dirichlet(np.ones(PATTERNS), runs).astype(np.float32) + np.float32(1e-6)
    return ref / ref.sum(axis=1, keepdims=True), rng.random((runs, PATTERNS), dtype=np.float32)


def without(function):
    """A function that is traced, at its first call, with the general loop alone."""

    def call(*args):
        before = os.environ.get(fused.SWITCH)
        os.environ[fused.SWITCH] = "0"
        try:
            return function(*args)
        finally:
            os.environ.pop(fused.SWITCH)
            if before is not None:
                os.environ[fused.SWITCH] = before

    return call


def ours(steps, group, block=BLOCK, **options):
    """`qra.many` of one run; returns the function of keys, problems and learning rates."""
    options = {"algorithm": qra.grpo(group), "optimizer": optax.sgd, **options}

    def run(key, log_ref, success, rate):
        problem = qra.Problem(log_ref, success)
        path = training.train(key, problem, steps=steps, record_every=steps, learning_rate=rate, **options)
        return path.policy[-1]

    return qra.many(run, block=block)


def peer(ref, success, learning_rate, steps, group, seed, cache={}, general=False):  # noqa: B006
    """The same signature as the peers."""
    if (steps, group, general) not in cache:
        cache[steps, group, general] = without(ours(steps, group)) if general else ours(steps, group)
    run = cache[steps, group, general]
    keys = jax.random.split(jax.random.key(seed), len(ref))
    rates = jnp.full(len(ref), learning_rate, jnp.float32)
    return run(keys, jnp.log(jnp.asarray(ref)), jnp.asarray(success), rates)


def timed(contenders, repeats):
    """Wall and CPU seconds of each in each round, A B C A B C …; the first round, compiling included, apart."""
    first, wall, cpu = {}, {name: [] for name in contenders}, {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, run in contenders.items():
            start, used = time.perf_counter(), time.process_time()
            jax.block_until_ready(run())
            if turn:
                wall[name].append(time.perf_counter() - start)
                cpu[name].append(time.process_time() - used)
            else:
                first[name] = time.perf_counter() - start
    return first, wall, cpu


def compare(repeats):
    """Every contender on the same problems."""
    ref, success = problems(RUNS)
    known = {
        "NumPy, plain": _plain_peers.plain_numpy,
        "NumPy, tuned": _training_peers.numpy_loop,
        "Numba, plain": _plain_peers.plain_numba,
        "Numba, written for vector units": _training_peers.numba_kernel,
        "JAX, vmap of scan, categorical": _training_peers.jax_naive,
        "JAX, vmap of scan, inverse CDF": _training_peers.jax_inverse_cdf,
    }
    if jax.default_backend() != "cpu":
        known = {name: run for name, run in known.items() if name.startswith("JAX")}
    general = partial(peer, general=True)
    check = {
        "qra.many(train)": peer,
        GENERAL: general,
        **{name: run for name, run in known.items() if "plain" in name},
    }
    slow = {"NumPy, plain", "JAX, vmap of scan, categorical"}
    steps = {name: STEPS // 10 if name in slow else STEPS for name in known}
    contenders = {"qra.many(train)": partial(peer, ref, success, RATE, STEPS, GROUP, 0)}
    contenders[GENERAL] = partial(general, ref, success, RATE, STEPS, GROUP, 0)
    contenders |= {
        name: partial(run, ref, success, RATE, steps[name], GROUP, 0) for name, run in known.items()
    }
    first, wall, cpu = timed(contenders, repeats)
    worst = _training_peers.check(check) if jax.default_backend() == "cpu" else {}
    rows = []
    for name in contenders:
        count = RUNS * steps.get(name, STEPS)
        pairs = zip(wall["qra.many(train)"], wall[name], strict=True)
        middle = summary(wall[name])["median_s"]
        rows.append(
            {
                "contender": name,
                "M run-steps/s": count / middle / 1e6,
                "best": count / min(wall[name]) / 1e6,
                "CPU ns a run-step": 1e9 * min(cpu[name]) / count,
                "first call s": first[name],
                "qra.many(train) is, of pairs": statistics.median(
                    other * STEPS * RUNS / count / own for own, other in pairs
                ),
            }
        )
    return rows, worst


def settings(repeats):
    """Our own run-steps per second with other algorithms, optimisers, modes and options."""
    ref, success = problems(RUNS)
    keys, rates = jax.random.split(jax.random.key(0), RUNS), jnp.full(RUNS, RATE, jnp.float32)
    log_ref, success = jnp.log(jnp.asarray(ref)), jnp.asarray(success)
    variants = {
        "GRPO, SGD": {},
        "REINFORCE": {"algorithm": qra.reinforce(group_size=GROUP)},
        "dynamic sampling (silent groups drawn again)": {"algorithm": qra.grpo(GROUP, resample_silent=True)},
        "Adam": {"optimizer": optax.adam},
        "reverse KL": {"regularizers": [qra.reverse_kl(0.01)]},
        "4 epochs, clipped": {"off_policy": qra.OffPolicy(epochs=4, clip=(0.2, 0.28))},
        "rollouts 4 steps old, importance weights": {"off_policy": qra.OffPolicy(staleness=4)},
        "self-certainty reward": {"reward": qra.self_certainty()},
        "G = 64": {"algorithm": qra.grpo(64)},
        "mean (no noise)": {"mode": "mean"},
        "SDE limit": {"mode": "sde"},
    }
    steps = STEPS // 4
    runs = {name: ours(steps, GROUP, **options) for name, options in variants.items()}
    runs |= {(name, GENERAL): without(ours(steps, GROUP, **options)) for name, options in variants.items()}
    runs = {name: runs[name] for key in variants for name in (key, (key, GENERAL))}  # in turn
    first, wall, cpu = timed(
        {name: partial(run, keys, log_ref, success, rates) for name, run in runs.items()}, repeats
    )
    count = RUNS * steps
    return [
        {
            "setting": name,
            "M run-steps/s": count / summary(wall[name])["median_s"] / 1e6,
            "CPU ns a run-step": 1e9 * min(cpu[name]) / count,
            "first call s": first[name],
            "times the general loop, of pairs": statistics.median(
                general / own for own, general in zip(cpu[name], cpu[name, GENERAL], strict=True)
            ),
        }
        for name in variants
    ]


def blocks(repeats):
    """How the speed depends on the block, and on float64."""
    ref, success = problems(RUNS)
    keys = jax.random.split(jax.random.key(0), RUNS)
    contenders = {}
    for dtype in (jnp.float32, jnp.float64):
        arrays = (jnp.log(jnp.asarray(ref, dtype)), jnp.asarray(success, dtype), jnp.full(RUNS, RATE, dtype))
        for block in (16, 64, 256, 1024, 4096):
            name = f"{jnp.dtype(dtype).name}, block {block}"
            contenders[name] = partial(ours(STEPS // 2, GROUP, block), keys, *arrays)
    _, wall, cpu = timed(contenders, repeats)
    count = RUNS * STEPS // 2
    return [
        {
            "block": name,
            "M run-steps/s": count / summary(wall[name])["median_s"] / 1e6,
            "CPU ns a run-step": 1e9 * min(cpu[name]) / count,
        }
        for name in contenders
    ]


def compilations():
    """Programs compiled while hyperparameters change, and while the shape of a run does."""

    def run(rate, beta, epsilon, tpr, group, steps=50):
        training.train(
            jax.random.key(0),
            qra.problem.examples.worked(),
            algorithm=replace(qra.grpo(GROUP), size=jnp.asarray(group, jnp.float32)),
            learning_rate=rate,
            regularizers=[qra.reverse_kl(beta)],
            reward=qra.verifiable(tpr, 0.1),
            off_policy=qra.OffPolicy(epochs=2, clip=epsilon),
            steps=steps,
        )

    start = time.perf_counter()
    run(0.1, 0.1, 0.2, 0.9, 8)
    once, seconds = _train._cache_size(), time.perf_counter() - start
    for rate, beta, epsilon, tpr, group in zip(
        *(np.linspace(low, high, 20) for low, high in ((0.01, 1), (0, 1), (0, 1), (0.5, 1))),
        range(2, 22),
        strict=True,
    ):
        run(rate, beta, epsilon, tpr, min(group, GROUP))
    changed = _train._cache_size() - once
    run(0.1, 0.1, 0.2, 0.9, 8, steps=100)
    assert changed == 0, f"{changed} programs compiled by a change of numbers; must be 0"
    return {
        "first_call_s": seconds,
        "by_20_changes_of_numbers": changed,
        "by_another_number_of_steps": _train._cache_size() - once,
    }


def million(runs):
    """A million runs in a process of its own: seconds and peak memory."""
    ref, success = problems(runs)
    run = ours(100, GROUP)
    keys = jax.random.split(jax.random.key(0), runs)
    log_ref, success = jnp.log(jnp.asarray(ref)), jnp.asarray(success)
    rates = jnp.full(runs, RATE, jnp.float32)
    jax.block_until_ready((keys, log_ref, success))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    policy = jax.block_until_ready(run(keys, log_ref, success, rates))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    accuracy = float(jnp.mean(jnp.sum(policy * success, axis=1)))
    print(f"{runs} {seconds:.3f} {before:.3f} {peak:.3f} {accuracy:.4f}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, no million runs")
    parser.add_argument("--runs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.runs:
        million(options.runs)
        return
    repeats = 2 if options.quick else 7
    note_of_machine = environment("optax")
    if jax.default_backend() == "cpu":
        import llvmlite
        import numba

        note_of_machine |= {"numba": numba.__version__, "llvmlite": llvmlite.__version__}
    rows, worst = compare(repeats)
    show(f"{RUNS} runs × {PATTERNS} patterns × groups of {GROUP}, float32, plain gradient ascent", rows)
    result = {
        "environment": note_of_machine,
        "runs": RUNS,
        "patterns": PATTERNS,
        "group": GROUP,
        "contenders": rows,
        "largest_z_against_tuned_numpy": worst,
    }
    result["compilations"] = compilations()
    print("programs compiled:", result["compilations"])
    result["settings"] = settings(min(repeats, 3))
    show("qra.many(train) with other settings", result["settings"])
    if not options.quick:
        jax.config.update("jax_enable_x64", True)
        result["blocks"] = blocks(3)
        show("Blocks", result["blocks"])
        said = subprocess.run(
            [sys.executable, __file__, "--runs", "1000000"], check=True, capture_output=True, text=True
        ).stdout.split()
        runs, seconds, before, peak, accuracy = map(float, said)
        result["million"] = {
            "runs": int(runs),
            "steps": 100,
            "seconds": seconds,
            "M run-steps/s, compiling included": runs * 100 / seconds / 1e6,
            "GiB before": before,
            "GiB at most": peak,
            "mean accuracy": accuracy,
        }
        show("A million runs", [result["million"]])
    path = save("training", result)
    print(f"wrote benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()

"""Training over trees of steps: ten thousand runs at once, by kind of credit, beside NumPy in the same run.

    python benchmarks/tree.py             # about four minutes on two cores
    python benchmarks/tree.py --quick     # fewer runs

One run-step: one run draws a group of 8 rollouts through a tree of depth 4 and width 4 (340 steps, 256 leaves), pays
their steps, and takes a step of gradient ascent. The NumPy peer does the same for uniform credit, vectorised over runs;
the two are held against each other: same mean accuracy, four standard errors.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from _common import environment, save, show

import qra_jax as qra
from qra_jax import tree
from qra_jax.tree import credit, instances

DEPTH, WIDTH, GROUP, STEPS, RATE = 4, 4, 8, 1000, 0.1
CREDITS = {
    "uniform": credit.uniform(),
    "exact values": credit.exact(),
    "Monte-Carlo values, K = 9": credit.monte_carlo(9),
    "learnt critic": credit.critic(0.1),
    "segments of two steps": credit.exact(segments=(2,)),
    "siblings": credit.siblings(),
}


def ours(question, given):
    """`qra.many` of one run: final accuracies of the runs of given keys."""

    def run(key):
        options = {"steps": STEPS, "record_every": STEPS, "learning_rate": RATE, "algorithm": qra.grpo(GROUP)}
        return tree.measure(["accuracy"], key, question, credit=given, **options).values["accuracy"][-1]

    return qra.many(run)


def numpy_peer(question, runs, steps, seed=0):
    """Uniform credit, vectorised over runs: walk down the tree, add up the weights, take the step."""
    rng = np.random.default_rng(seed)
    dtype, width = np.float32, WIDTH
    theta = np.tile(np.asarray(question.log_ref, dtype), (runs, 1)).reshape(runs, -1, width)
    success = np.asarray(question.success, dtype)
    inner = theta.shape[1]
    first_leaf, row = inner, np.arange(runs)[:, None]
    for _ in range(steps):
        policy = np.exp(theta - theta.max(axis=2, keepdims=True))
        policy /= policy.sum(axis=2, keepdims=True)
        ladder = np.cumsum(policy, axis=2)
        state, taken = np.zeros((runs, GROUP), int), []
        for _ in range(DEPTH):
            number = rng.random((runs, GROUP), dtype=dtype)[..., None]
            pick = np.minimum((ladder[row, state] <= number).sum(axis=2), width - 1)
            taken.append((state, pick))
            state = state * width + pick + 1
        right = (rng.random((runs, GROUP), dtype=dtype) < success[state - first_leaf]).astype(dtype)
        spread = right.std(axis=1, keepdims=True)
        weight = np.where(
            spread > 0, (right - right.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1), 0
        )
        for state, pick in taken:
            slope = -policy[row, state]
            np.put_along_axis(slope, pick[..., None], np.take_along_axis(slope, pick[..., None], 2) + 1, 2)
            np.add.at(theta, (row, state), (RATE / GROUP) * weight[..., None] * slope)
    policy = np.exp(theta - theta.max(axis=2, keepdims=True))
    policy /= policy.sum(axis=2, keepdims=True)
    reach = np.ones((runs, 1), dtype)
    start = 0
    for depth in range(DEPTH):
        count = width**depth
        reach = (reach[..., None] * policy[:, start : start + count]).reshape(runs, -1)
        start += count
    return reach @ success


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    question = jax.tree.map(
        lambda x: x.astype(jnp.float32), instances.random(jax.random.key(0), DEPTH, WIDTH)
    )
    rows, accuracy = [], {}
    for name, given in CREDITS.items():
        runs = 1_000 if quick else 10_000 if name == "uniform" else 2_000
        keys = jax.random.split(jax.random.key(1), runs)
        run = ours(question, given)
        start = time.perf_counter()
        jax.block_until_ready(run(keys))
        first = time.perf_counter() - start
        start, used = time.perf_counter(), time.process_time()
        accuracy[name] = np.asarray(jax.block_until_ready(run(keys)))
        wall, cpu = time.perf_counter() - start, time.process_time() - used
        rows.append(
            {
                "contender": f"`qra.many(tree.train)`, {name}",
                "runs": runs,
                "seconds": round(wall, 2),
                "compile seconds": round(first - wall, 2),
                "M run-steps/s": round(runs * STEPS / wall / 1e6, 3),
                "CPU µs a run-step": round(cpu / runs / STEPS * 1e6, 2),
            }
        )
    few, start, used = (50 if quick else 100), time.perf_counter(), time.process_time()
    peer = numpy_peer(question, few, STEPS)
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    rows.append(
        {
            "contender": "NumPy, vectorised over runs, uniform",
            "runs": few,
            "seconds": round(wall, 2),
            "compile seconds": 0.0,
            "M run-steps/s": round(few * STEPS / wall / 1e6, 4),
            "CPU µs a run-step": round(cpu / few / STEPS * 1e6, 2),
        }
    )
    own = accuracy["uniform"]
    gap = own.mean() - peer.mean()
    error = np.sqrt(own.var() / own.size + peer.var() / peer.size)
    if abs(gap) > 4 * error:
        raise SystemExit(
            f"final accuracies differ: {own.mean():.4f} and {peer.mean():.4f} (error {error:.4f})"
        )
    show(f"Trees of depth {DEPTH} and width {WIDTH}, {STEPS} steps", rows)
    save(
        "tree",
        {
            "environment": environment(),
            "runs": rows,
            "final accuracy": {"ours": float(own.mean()), "NumPy": float(peer.mean())},
        },
    )


if __name__ == "__main__":
    main()

"""Training throughput of the transformer twin beside the same model, batch and algorithm in PyTorch.

    pip install torch==2.13.0             # the CPU build; Python 3.11
    python benchmarks/transformer.py      # about ten minutes on two cores; --no-torch without the peers

An *update* is teacher forcing of a batch of sampled sequences, its gradient and an Adam step; an *RL step* samples the
batch first (keys and values cached), verifies it and weighs it by GRPO. One seed, and 16 seeds side by side.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import environment, interleaved, save, show, summary

import qra_jax as qra
from qra_jax import transformer as tf
from qra_jax.problem import examples, stack
from qra_jax.transformer import rl

QUESTIONS, GROUP, RATE, SEEDS, INNER = 16, 8, 1e-4, 16, 10


def setting(questions):
    """Task and network."""
    task = tf.controlled(stack([examples.worked()] * questions))
    task = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32) if jnp.asarray(x).dtype.kind == "f" else x, task
    )
    return task, tf.Decoder(task.vocabulary)


def flops(model, sequences, prompt, length):
    """Floating-point operations of a forward pass: two for each weight and token, and attention."""
    weights = model.depth * (4 + 2 * model.hidden) * model.width**2 + model.vocabulary * model.width
    tokens = sequences * (prompt + length - 1)
    return 2 * tokens * weights + 4 * tokens * (prompt + length) / 2 * model.width * model.depth


def ours(task, model, questions, group):
    """Functions of one seed: `INNER` RL steps, and `INNER` updates on one batch."""

    def steps(key, params):
        run = tf.train(
            key,
            model,
            params,
            task,
            algorithm=qra.grpo(group),
            steps=INNER,
            questions=questions,
            learning_rate=RATE,
            record_every=INNER,
        )
        return run.params, run.stats["reward"]

    def updates(tokens, weights, params):
        optimizer, asked = optax.adam(RATE), task.questions(jnp.arange(questions))

        def one(carry, _):
            params, memory = carry
            slope = jax.grad(
                lambda p: -rl.objective(rl.log_probs(model, p, asked, tokens), tokens, tokens != 0, weights)
            )(params)
            change, memory = optimizer.update(slope, memory)
            return (optax.apply_updates(params, change), memory), None

        return jax.lax.scan(one, (params, optimizer.init(params)), None, length=INNER)[0][0]

    return steps, updates


def timed_first(function, *args):
    """The function, and the seconds of its first call: compilation, mostly."""
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - start


def measure(questions, group, seeds, torch_too, repeats):
    """Rows of the table for one batch and number of seeds."""
    task, model = setting(questions)
    keys = jax.random.split(jax.random.key(0), seeds)
    params = jax.vmap(lambda key: tf.init(key, model))(keys)
    steps, updates = ours(task, model, questions, group)
    asked = task.questions(jnp.arange(questions))
    drawn = jax.jit(
        jax.vmap(
            lambda key, p: tf.sample(key, model, p, asked, group=group, length=task.length, end=task.end)
        )
    )(keys, params)
    weights = jax.random.normal(jax.random.key(1), drawn.tokens.shape[:3])
    compile_s, contenders = {}, {}

    def add(name, what, function, *args):
        compile_s[name, what] = timed_first(function, *args)
        contenders[name, what] = lambda: function(*args)

    spread = tf.side_by_side
    add("ours", "RL step", spread(steps), keys, params)
    add("ours", "update", spread(updates), drawn.tokens, weights, params)
    if seeds > 1 and jax.default_backend() == "cpu":
        add("ours, one vmap", "RL step", jax.jit(jax.vmap(steps)), keys, params)
        add("ours, one vmap", "update", jax.jit(jax.vmap(updates)), drawn.tokens, weights, params)
    error = None
    if torch_too:
        import torch
        from _torch_twin import Twin

        torch.set_num_threads(len(__import__("os").sched_getaffinity(0)))
        flat = torch.tensor(np.asarray(drawn.tokens).reshape(seeds, questions * group, -1))
        weight = torch.tensor(np.asarray(weights).reshape(seeds, -1))
        expected = jax.jit(jax.vmap(lambda p, t: rl.log_probs(model, p, asked, t)))(params, drawn.tokens)
        expected = np.take_along_axis(np.asarray(expected), np.asarray(drawn.tokens)[..., None], -1)[..., 0]
        expected = (expected * (np.asarray(drawn.tokens) != 0)).reshape(flat.shape)
        for compiled in (False, True):
            kind = "torch.compile" if compiled else "eager"
            groups = {f"PyTorch {kind}": range(1)} if seeds == 1 else {f"PyTorch {kind}, stacked": None}
            if seeds > 1:
                groups[f"PyTorch {kind}, one by one"] = range(seeds)
            for name, each in groups.items():
                try:
                    pick = [slice(None)] if each is None else [slice(i, i + 1) for i in each]
                    twins = [
                        Twin(
                            jax.tree.map(lambda x, s=s: x[s], params),
                            task,
                            model,
                            questions,
                            group,
                            RATE,
                            compiled,
                        )
                        for s in pick[:1]
                    ] * len(pick)
                    found = twins[0].update(flat[pick[0]], weight[pick[0]]).numpy()
                    error = max(error or 0.0, float(np.abs(found - expected[pick[0]]).max()))

                    def run_steps(twins=twins):
                        for twin in twins:
                            for _ in range(INNER):
                                twin.step()

                    def run_updates(twins=twins, pick=pick):
                        for twin, s in zip(twins, pick, strict=True):
                            for _ in range(INNER):
                                twin.update(flat[s], weight[s])

                    add(name, "RL step", run_steps)
                    add(name, "update", run_updates)
                except Exception as failure:  # torch.compile needs a compiler and may refuse
                    print(f"{name}: {type(failure).__name__}: {str(failure).splitlines()[0]}")
    seconds = interleaved(contenders, repeats)
    forward = flops(model, questions * group, task.digits, task.length)
    rows = []
    for (name, what), taken in seconds.items():
        found = summary(taken)
        least = found["min_s"] / INNER / seeds
        rows.append(
            {
                "contender": name,
                "what": what,
                "sequences": questions * group,
                "seeds": seeds,
                "ms a seed-step": 1e3 * least,
                "median ms": 1e3 * found["median_s"] / INNER / seeds,
                "ours is ×": least * seeds * INNER / summary(seconds["ours", what])["min_s"],
                "GFLOP/s": (3 if what == "update" else 4) * forward / least / 1e9,
                "first call s": compile_s[name, what],
            }
        )
    return rows, error


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-torch", action="store_true", help="without the peers")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, SEEDS])
    parser.add_argument("--small", action="store_true", help="also a batch of 4 questions × 8")
    options = parser.parse_args()
    rows, errors = [], []
    batches = [(QUESTIONS, GROUP), (4, GROUP)]
    for questions, group in batches:
        for seeds in options.seeds:
            found, error = measure(questions, group, seeds, not options.no_torch, options.repeats)
            rows += found
            errors.append(error)
            show(f"{questions} questions × {group}, {seeds} seeds", found)
    extra = [] if options.no_torch else ["torch"]
    largest = None if options.no_torch else max(errors)
    if largest is not None:
        print(f"largest difference of log-probabilities between JAX and PyTorch: {largest:.1e}")
    save(
        "transformer",
        {"environment": environment("flax", "optax", *extra), "rows": rows, "difference": largest},
    )


if __name__ == "__main__":
    main()

"""Training throughput of the transformer twin beside the same model, batch and algorithm in PyTorch.

    pip install torch==2.13.0             # the CPU build; Python 3.11
    python benchmarks/transformer.py      # about eight minutes on two cores; --no-torch without the peers

An *update* is teacher forcing of a batch of sampled sequences, its gradient and an Adam step; an *RL step* samples the
batch first (keys and values cached), verifies it and weighs it by GRPO. One seed, and 16 seeds side by side: ours a
core each; PyTorch's one after the other on all cores, as one stack, and in one process a core. Ours reads the prompt
once for all sequences of a question; the peer does so in sampling, and repeats it in teacher forcing, as is usual.
The largest difference of a parameter from ours after the same updates is printed. FLOP are those that ours needs.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import environment, interleaved, save, show, summary

import qra_jax as qra
from qra_jax import transformer as tf
from qra_jax._batches import cores
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


def flops(model, questions, sequences, prompt, length):
    """Floating-point operations of a forward pass: two for each weight and token, and attention."""
    weights = model.depth * (4 + 2 * model.hidden) * model.width**2 + model.vocabulary * model.width
    tokens = questions * prompt + sequences * (length - 1)  # the prompt once for all sequences of a question
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


def peers(kind, params, ended, batch, task, model, questions, group):
    """The same in PyTorch: one after the other, stacked, and (eager) in one process a core; and how far from ours.

    The last is the largest difference of parameters after the same updates on the same batch.
    """
    import torch
    from _torch_twin import Twin

    torch.set_num_threads(cores())
    seeds, compiled = batch[0].shape[0], kind == "torch.compile"
    tokens, weights = torch.tensor(batch[0]), torch.tensor(batch[1][..., 0])
    make = partial(Twin, task=task, model=model, questions=questions, group=group, learning_rate=RATE)
    stacked = make(params, compile=compiled)
    alone = make(jax.tree.map(lambda x: x[:1], params), compile=compiled) if seeds > 1 else stacked

    def runs(twin, slices):
        return {
            "RL step": lambda: [twin.step() for _ in slices for _ in range(INNER)],
            "update": lambda: [twin.update(tokens[s], weights[s]) for s in slices for _ in range(INNER)],
        }

    ways = {kind if seeds == 1 else f"{kind}, stacked": runs(stacked, [slice(None)])}
    if seeds > 1:
        ways[f"{kind}, one by one"] = runs(alone, [slice(i, i + 1) for i in range(seeds)])
        if not compiled:
            ways[f"{kind}, a process a core"] = processes(params, batch, task, questions, group)
    stacked_runs = next(iter(ways.values()))
    stacked_runs["update"]()
    off = max(
        float(np.abs(value.detach().numpy() - np.asarray(mine)).max())
        for (_, value), mine in zip(
            sorted(stacked.p.items()), [x for _, x in sorted(flat(ended).items())], strict=True
        )
    )
    return {(f"PyTorch {way}", what): f for way, entry in ways.items() for what, f in entry.items()}, off


def flat(params):
    """Parameters by dotted name."""
    return {".".join(k.key for k in path): x for path, x in jax.tree_util.tree_leaves_with_path(params)}


def processes(params, batch, task, questions, group):
    """Functions that let one process a core, of one thread each, go through its share of the seeds."""
    import multiprocessing

    spawn, seeds, pipes = multiprocessing.get_context("spawn"), batch[0].shape[0], []
    for part in np.array_split(np.arange(seeds), cores()):
        ours, theirs = spawn.Pipe()
        share = jax.tree.map(lambda x, part=part: np.asarray(x[part[:1]]), params)
        one = [x[part] for x in batch]
        spawn.Process(target=serve, args=(theirs, share, one, questions, group), daemon=True).start()
        pipes.append(ours)

    def ask(what):
        for pipe in pipes:
            pipe.send(what)
        for pipe in pipes:
            pipe.recv()

    return {what: partial(ask, what) for what in ("RL step", "update")}


def serve(pipe, params, batch, questions, group):
    """What such a process does: as it is told, for each of its seeds."""
    import torch
    from _torch_twin import Twin

    torch.set_num_threads(1)
    task, model = setting(questions)
    twin = Twin(params, task, model, questions, group, RATE)
    tokens, weights = torch.tensor(batch[0]), torch.tensor(batch[1][..., 0])
    while True:
        try:
            what = pipe.recv()
        except EOFError:  # the benchmark is over
            return
        for s in range(len(tokens)):
            for _ in range(INNER):
                twin.step() if what == "RL step" else twin.update(tokens[s : s + 1], weights[s : s + 1])
        pipe.send(None)


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
    difference = {}
    if torch_too:
        batch = [np.asarray(x).reshape(seeds, questions * group, -1) for x in (drawn.tokens, weights)]
        ended = spread(updates)(drawn.tokens, weights, params)
        for kind in ("eager", "torch.compile"):
            try:
                found, off = peers(kind, params, ended, batch, task, model, questions, group)
            except Exception as failure:  # compiling needs a C++ compiler, and may refuse
                print(f"PyTorch {kind}: {type(failure).__name__}: {str(failure).splitlines()[0]}")
                continue
            difference[f"PyTorch {kind}"] = off
            for (name, what), function in found.items():
                add(name, what, function)
    seconds = interleaved(contenders, repeats)
    forward = flops(model, questions, questions * group, task.digits, task.length)
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
    return rows, difference


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-torch", action="store_true", help="without the peers")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, SEEDS])
    options = parser.parse_args()
    rows, difference = [], {}
    for questions, group in ((QUESTIONS, GROUP), (4, GROUP)):
        for seeds in options.seeds:
            found, off = measure(questions, group, seeds, not options.no_torch, options.repeats)
            rows += found
            difference |= {f"{name}, {questions} × {group}, {seeds} seeds": x for name, x in off.items()}
            show(f"{questions} questions × {group}, {seeds} seeds", found)
    print("largest difference of a parameter from ours after the same updates:", difference)
    extra = [] if options.no_torch else ["torch"]
    payload = {"environment": environment("flax", "optax", *extra), "rows": rows, "difference": difference}
    payload["repeats"] = options.repeats
    save("transformer", payload)


if __name__ == "__main__":
    main()

"""Evolution strategies beside GRPO, task by task: coverage, drift off the task, and spread over random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax import transformer as tf
from qra_jax.metrics import pass_at_k_estimate
from qra_jax.studies import lab
from qra_jax.studies.weights import _ways as ways
from qra_jax.studies.weights._reference import (
    SIZE,
    TASKS,
    _runner,
    accuracies,
    bases,
    joined,
    model_of,
    pairs,
    reference,
    shown_of,
    task_of,
)
from qra_jax.transformer import probe, weights
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.procedures import PATTERNS, Arithmetic

ES, GRPO, AGAIN = "evolution strategy", "GRPO, Adam", "GRPO, Adam, again"
BASE, WALK, OTHER, HALF = "base", "random walk", "another random walk", "half a random walk"
ARMS = (BASE, ES, GRPO, AGAIN, WALK, OTHER, HALF)
WHEN = ("end", "matched")
SETS = ("asked", "held out")
KINDS = ("asked", "held out", "unannounced", "random tokens")
"""Sequences along which drift is read; only the first ones are what reward is paid for."""
TRIES, FIRST = 64, 10_000
"""Samples of a question; number of the first further run: above those of all reference runs."""
FURTHER, ONE_RUN = "GRPO, further keys", "GRPO, one run"
PAIRS = (ES, GRPO, FURTHER, ONE_RUN)
"""Pairs of runs of a base that differ in their random numbers alone; of the last, the last two checkpoints of a run."""


def reader(name: str, model: Model) -> Callable[[Array, Params, Params], dict[str, Array]]:
    """What is read of a base network and what became of it.

    Args:
      name: of the task.
      model: the network.

    Returns:
      A function `(key, base, tuned)` to `accuracy` `[sets]`, exact; `passed` `[sets, k]`, pass@k of right announced
      answers, in arithmetic with right steps and no guess; `kl` `[kinds]`, KL(tuned‖base) in nats a token; and
      `length`, ‖ΔW‖.
    """
    task, (seen, held) = task_of(name), shown_of(task_of(name))
    accuracy, n = accuracies(name, model), task.patterns
    keys = jax.random.split(jax.random.key(0))
    prompts, rows = seen.questions.prompt, seen.tokens
    odd = jax.random.randint(keys[0], prompts.shape, 1, task.vocabulary)
    strange = jax.random.randint(keys[1], rows.shape, 1, task.vocabulary)
    every = tf.Questions(jnp.concatenate([prompts, held.questions.prompt, odd]), ())
    tokens = jnp.concatenate([rows, held.tokens, strange])
    asked = jax.tree.map(lambda *x: jnp.concatenate(x), seen.questions, held.questions)
    number, first = every.number, seen.questions.number
    place, marked = jnp.arange(rows.shape[-1])[None, None], jnp.arange(rows.shape[1])[None, :, None] < n
    late = seen.where & ~marked & (place > seen.answer_at[..., None])  # the answer has begun without a marker
    masks = np.zeros((len(KINDS), *tokens.shape), bool)
    masks[0, :first], masks[2, :first] = seen.where & marked, late
    masks[1, first : asked.number], masks[3, asked.number : number] = held.where & marked, True

    def read(key: Array, base: Params, tuned: Params) -> dict[str, Array]:
        kl = probe.change(model, base, tuned, every, tokens).kl
        options: dict[str, Any] = {"group": TRIES, "length": task.length, "end": task.end}
        said = task.verify(key, asked, tf.sample(key, model, tuned, asked, **options))
        solved = said.right & said.formatted & said.steps
        if isinstance(task, Arithmetic):
            solved = solved & (said.pattern != PATTERNS.index("guess"))
        passed = jnp.stack([pass_at_k_estimate(solved, int(k)) for k in tries()])
        moved = jax.tree.leaves(weights.parts.update(base, tuned))
        return {
            "accuracy": accuracy(tuned),
            "passed": jnp.stack([jnp.mean(x, axis=-1) for x in (passed[:, :first], passed[:, first:])]),
            "kl": jnp.sum(kl[None] * masks, axis=(1, 2, 3)) / np.sum(masks, axis=(1, 2, 3)),
            "length": jnp.sqrt(sum(jnp.sum(x**2) for x in moved)),
        }

    return read


def tries() -> np.ndarray:
    """Numbers of tries k, 1 … `TRIES`."""
    return 2 ** np.arange(int(np.log2(TRIES)) + 1)


def compared(run: lab.Run) -> xr.Dataset:
    """Both methods at the end and at half of the smaller of their gains, beside random walks as long as evolution's."""
    size, walk = run(SIZE), jax.jit(weights.twin.gaussian)
    parts: dict[str, xr.Dataset] = {}
    for task in run(TASKS):
        courses, base = reference(run, task, (ES, GRPO, AGAIN), size), bases(run, task, size)
        rises = [courses[arm].accuracy[:, -1] - courses[arm].accuracy[:, 0] for arm in (ES, GRPO)]
        goal = courses[ES].accuracy[:, 0] + np.clip(np.minimum(*rises), 0, None) / 2
        tuned: dict[str, Params] = {}
        for when in WHEN:
            at = {arm: -1 if when == "end" else courses[arm].matched(goal) for arm in courses}
            now = {BASE: base} | {arm: courses[arm].at(at[arm]) for arm in courses}
            for arm, key in zip((WALK, OTHER), jax.random.split(run.key), strict=True):
                now[arm] = jax.tree.map(np.asarray, walk(key, base, now[ES]))
            now[HALF] = jax.tree.map(lambda x, y: (x + y) / 2, base, now[WALK])
            tuned |= {f"{arm}, {when}": now[arm] for arm in ARMS}
        seen = pairs(reader(task, model_of(task, size)), run.key, base, tuned)
        dims = {"accuracy": ("set",), "passed": ("set", "k"), "kl": ("kind",)}
        shape = len(WHEN), len(ARMS), size.bases
        found: dict[str, Any] = {
            name: (("when", "arm", "seed", *dims.get(name, ())), x.reshape(*shape, *x.shape[2:]))
            for name, x in seen.items()
        }
        number = sum(x[0].size for x in jax.tree.leaves(base))
        kept = [np.reshape(x, (*x.shape[:2], -1)) for x in jax.tree.leaves(courses[ES].params)]
        moved = [np.any(np.diff(x, axis=1) != 0, axis=-1) for x in kept]
        turns = np.any(moved, axis=0).sum(axis=1)
        found["turns"] = (("seed",), turns / size.windows)
        found["walk"] = (("seed",), courses[ES].rate * np.sqrt(number * turns / ways.MEMBERS))
        found["path"] = (
            ("course", "seed", "step"),
            np.stack([course.accuracy for course in courses.values()]),
        )
        coords = {"when": list(WHEN), "arm": list(ARMS), "set": list(SETS), "kind": list(KINDS), "k": tries()}
        parts[task] = lab.dataset(found, coords | {"course": list(courses), "step": courses[ES].step})
    return joined(parts)


def repeated(run: lab.Run, grpo: bool) -> xr.Dataset:
    """Accuracy at the end of pairs of runs of a base, in the last of the tasks.

    Args:
      run: the experiment that asks.
      grpo: whether GRPO has further runs; otherwise these are unknown.
    """
    size, name = run(SIZE), run(TASKS)[-1]
    courses, base = reference(run, name, (ES, GRPO, AGAIN), size), bases(run, name, size)

    def ends(family: str, arm: str, first: int) -> np.ndarray:
        """Of runs with numbers of their own, from the program of the reference runs."""
        train, which = _runner(name, size, "float32", family, run.shared_seed), list(range(size.bases))
        options = [ways.FAMILIES[family][arm]] * size.bases, [courses[arm].rate] * size.bases, which
        return train(first, *options, base, base)["accuracy"][:, -1, 0]

    last = {arm: course.accuracy[:, -1] for arm, course in courses.items()}
    unknown = np.full(size.bases, np.nan)
    further = [ends("rollouts", GRPO, FIRST * i) for i in (1, 2)] if grpo else [unknown, unknown]
    pair = [
        [last[ES], ends("population", ES, FIRST)],
        [last[GRPO], last[AGAIN]],
        further,
        [last[GRPO], courses[GRPO].accuracy[:, -2]],
    ]
    found = {
        "accuracy": (("pair", "key", "seed"), np.array(pair)),
        "start": (("seed",), courses[ES].accuracy[:, 0]),
    }
    return lab.dataset(found, {"pair": list(PAIRS)}, task=name)

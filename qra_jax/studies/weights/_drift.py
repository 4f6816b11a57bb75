"""Evolution strategies beside GRPO, task by task: coverage, drift off the task, and spread over random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from qra_jax.studies.weights._fair import rates_inside
from qra_jax.studies.weights._reference import (
    LEAST,
    SIZE,
    TASKS,
    WITHIN,
    Course,
    _runner,
    accuracies,
    bases,
    equal_gain,
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

GRPO, AGAIN = "GRPO, Adam", "GRPO, Adam, again"
SIZES = tuple(ways.FAMILIES["population"])
ES, SMALL = "evolution, best σ", SIZES[0]
"""Of the sizes of perturbations the one that is best on the choosing bases; a thousandth of the size of weights."""
BASE, WALK, OTHER, HALF = "base", "random walk", "another random walk", "half a random walk"
ARMS = (BASE, ES, SMALL, GRPO, AGAIN, WALK, OTHER, HALF)
EQUAL = (ES, GRPO, AGAIN)
"""Arms that are read at equal gain, too."""
SETS = ("asked", "held out")
KINDS = ("asked", "held out", "unannounced", "random tokens")
"""Sequences along which drift is read; only the first ones are what reward is paid for."""
TRIES = 32
"""Samples of a question."""
FURTHER, ONE_RUN, WALKS = "GRPO, a third run", "GRPO, one run", "random walks"
PAIRS = (ES, GRPO, FURTHER, ONE_RUN, WALKS)
"""Pairs of runs of a base that differ in their random numbers alone; of one run, the last two checkpoints."""


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


def best(courses: Mapping[str, Course]) -> str:
    """The size of perturbations that ends best on the bases by which rates are chosen, at its best rate there."""
    return max(SIZES, key=lambda arm: courses[arm].tried[:, 1].max())


def share_of(own: Course, other: Course) -> float:
    """The share of GRPO's gain at which both are compared: half, or all that the smaller one has on average.

    A share within which arms count as near is no gain: there is none, and NaN.
    """
    gain = [np.mean(course.accuracy[:, -1] - course.accuracy[:, 0]) for course in (own, other)]
    share = min(0.5, gain[0] / gain[1]) if gain[1] > LEAST else 0.0
    return float(share) if share > WITHIN else np.nan


def compared(run: lab.Run) -> xr.Dataset:
    """Evolution and GRPO at the end and at equal gain, beside random walks as long as evolution's."""
    size = run(SIZE)
    return joined({task: _compared(run, task, size) for task in run(TASKS)})


def _compared(run: lab.Run, task: str, size: ways.Size) -> xr.Dataset:
    every, base = reference(run, task, (*SIZES, GRPO, AGAIN), size), bases(run, task, size)
    courses = {ES: every[best(every)], SMALL: every[SMALL], GRPO: every[GRPO], AGAIN: every[AGAIN]}
    share = share_of(courses[ES], courses[GRPO])
    compared = {arm: courses[arm] for arm in EQUAL}
    equal = equal_gain(compared, share=share if share > 0 else 0.5, of=GRPO)
    tuned = _beside(run.key, base, {arm: course.at(-1) for arm, course in courses.items()})
    tuned |= {f"{arm}, at equal gain": course.at(equal.at[arm]) for arm, course in compared.items()}
    seen = pairs(reader(task, model_of(task, size)), run.key, base, tuned)
    dims = {"accuracy": ("set",), "passed": ("set", "k"), "kl": ("kind",)}
    found: dict[str, Any] = {
        name: (("arm", "seed", *dims.get(name, ())), x[: len(ARMS)]) for name, x in seen.items()
    }
    moved = np.stack([moves(every[arm].params) for arm in SIZES])
    number = sum(x[0].size for x in jax.tree.leaves(base))
    turns = moved[SIZES.index(best(every))].sum(axis=1)
    found |= {
        "kl_at_equal": (("equal", "seed", "kind"), seen["kl"][len(ARMS) :]),
        "near": (("equal", "seed"), equal.near.values & (share > 0)),
        "share": share,
        "inside": (("course",), rates_inside(courses)),
        "silent": (("size", "seed", "turn"), 1.0 - moved),
        "walk": (("seed",), courses[ES].rate * np.sqrt(number * turns / ways.MEMBERS)),
        "path": (("run", "seed", "step"), np.stack([every[arm].accuracy for arm in (*SIZES, GRPO)])),
    }
    coords = {"arm": list(ARMS), "set": list(SETS), "kind": list(KINDS), "k": tries(), "equal": list(EQUAL)}
    coords |= {"course": list(courses), "size": list(SIZES), "run": [*SIZES, GRPO]}
    return lab.dataset(found, coords | {"step": courses[ES].step})


def moves(params: Params) -> np.ndarray:
    """Whether weights moved in each turn, `[bases, turns]`, of checkpoints `[bases, 1 + turns, ...]`."""
    kept = [np.reshape(x, (*x.shape[:2], -1)) for x in jax.tree.leaves(params)]
    return np.any([np.any(np.diff(x, axis=1) != 0, axis=-1) for x in kept], axis=0)


def _beside(key: Array, base: Params, now: dict[str, Params]) -> dict[str, Params]:
    """All arms: with the base, and with random walks as long as evolution's way."""
    walk = jax.jit(weights.twin.gaussian)
    first, other = (jax.tree.map(np.asarray, walk(k, base, now[ES])) for k in jax.random.split(key))
    half = jax.tree.map(lambda x, y: (x + y) / 2, base, first)
    every = now | {BASE: base, WALK: first, OTHER: other, HALF: half}
    return {arm: every[arm] for arm in ARMS}


def repeated(run: lab.Run, grpo: bool) -> xr.Dataset:
    """Accuracy at the end of pairs of runs of a base, in the last of the tasks.

    Args:
      run: the experiment that asks, after `runs`, which has the random walks.
      grpo: whether GRPO has a third run; otherwise it is unknown.
    """
    size, task = run(SIZE), run(TASKS)[-1]
    courses, base = reference(run, task, (*SIZES, GRPO, AGAIN), size), bases(run, task, size)
    chosen = best(courses)

    def ends(family: str, arm: str, name: str) -> list[np.ndarray]:
        """Of one further run of an arm on every base, with the random numbers of a name."""
        train, rows = _runner(task, size, "float32", family, run.shared_seed), [*range(size.bases)]
        options = [ways.FAMILIES[family][arm]] * size.bases, [courses[arm].rate] * size.bases, rows
        return [train([name] * size.bases, *options, base, base)["accuracy"][:, -1, 0]]

    last = {arm: course.accuracy[:, -1] for arm, course in courses.items()}
    unknown = [np.full(size.bases, np.nan)]
    walks = run.done.runs.accuracy.sel(task=task, set="asked", arm=[WALK, OTHER])
    pair = {
        ES: [last[chosen], *ends("population", chosen, f"{chosen}, again")],
        GRPO: [last[GRPO], last[AGAIN]],
        FURTHER: [last[AGAIN], *(ends("rollouts", GRPO, f"{GRPO}, third time") if grpo else unknown)],
        ONE_RUN: [last[GRPO], courses[GRPO].accuracy[:, -2]],
        WALKS: [*walks.transpose("arm", "seed").values],
    }
    found = {
        "accuracy": (("pair", "key", "seed"), np.array([pair[name] for name in PAIRS])),
        "start": (("seed",), courses[GRPO].accuracy[:, 0]),
    }
    return lab.dataset(found, {"pair": list(PAIRS)}, task=task)

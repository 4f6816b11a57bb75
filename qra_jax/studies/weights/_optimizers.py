"""What gradient descent and Adam do to the weights, task by task: accuracy, weights changed, Adam's moments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree

from qra_jax import transformer as tf
from qra_jax.studies import lab
from qra_jax.studies.weights._fair import rates_inside
from qra_jax.studies.weights._gradients import moments
from qra_jax.studies.weights._reference import (
    SIZE,
    TASKS,
    bases,
    equal_gain,
    joined,
    model_of,
    pairs,
    reference,
    task_of,
)
from qra_jax.transformer import weights

SGD, ADAM, AGAIN = "GRPO, SGD", "GRPO, Adam", "GRPO, Adam, again"
SFT, SFT_AGAIN, SFT_SGD = "SFT", "SFT, again", "SFT, SGD"
ARMS = (SGD, ADAM, AGAIN, SFT_SGD, SFT, SFT_AGAIN)
WHEN = ("end", "equal gain")
UPDATES = ("own", "Gaussian", "largest tenth", "largest thousandth")
CRITERIA: dict[str, weights.masks.How] = {"bfloat16": "bfloat16", "1e-5": ("absolute", 1e-5)}
"""When a weight counts as changed: its bits differ in bfloat16, or it is further than 1e-5 away (arXiv 2505.11711)."""
NORMS = (1e-3, 1e-2, 1e-1)
"""‖ΔW‖/‖W₀‖ to which updates are scaled."""
LEARNERS = {ADAM: (ADAM, False), AGAIN: (ADAM, False), SFT: (SFT, True)}
"""Runs whose moments are read: whose learning rate, and whether supervised."""


def every_task(run: lab.Run, measure: Callable[..., xr.Dataset], *settings: Any) -> xr.Dataset:
    """What is measured in each task, along a dimension `task`."""
    return joined({name: measure(run, name, *settings) for name in run(TASKS)})


def shares(key: jax.Array, base: Any, tuned: Any) -> dict[str, jax.Array]:
    """Shares of all weights that have changed, at the norm of the update and at given ones.

    Args:
      key: PRNG key of the Gaussian twin.
      base: parameters.
      tuned: parameters after training.

    Returns:
      `share` `[criteria, updates]`, at the norm of the update; `at_norm` `[updates, norms]`, in bfloat16; and
      `length`, ‖ΔW‖/‖W₀‖.
    """
    start, end, other = (ravel_pytree(x)[0] for x in (base, tuned, weights.twin.gaussian(key, base, tuned)))
    own, length = end - start, jnp.linalg.norm(end - start)
    tops = (jnp.where(weights.masks.largest(own[None], part)[0], own, 0.0) for part in (0.1, 0.001))
    updates = jnp.stack([x / jnp.linalg.norm(x) for x in (own, other - start, *tops)])
    norms = jnp.stack([length, *(r * jnp.linalg.norm(start) for r in NORMS)])
    moved = start[None, None] + updates[:, None] * norms[None, :, None]
    before = jnp.broadcast_to(start[None, None], moved.shape)

    def changed(rows: slice, how: weights.masks.How) -> jax.Array:
        return jnp.mean(weights.masks.changed(before[:, rows], moved[:, rows], how), axis=-1)

    share = jnp.stack([changed(slice(1), how)[:, 0] for how in CRITERIA.values()])
    at_norm = changed(slice(1, None), "bfloat16")
    return {"share": share, "at_norm": at_norm, "length": length / jnp.linalg.norm(start)}


def changed(run: lab.Run, task: str) -> xr.Dataset:
    """Accuracy along training, and shares of weights changed at the end and at half of the gain of GRPO with Adam."""
    size = run(SIZE)
    courses = reference(run, task, ARMS, size)
    courses = {arm: courses[arm] for arm in ARMS}
    equal = equal_gain(courses)
    ends = {f"{arm}, end": courses[arm].at(-1) for arm in ARMS}
    matched = {arm: courses[arm].at(equal.at[arm]) for arm in ARMS}
    seen = pairs(shares, run.key, bases(run, task, size), ends | matched)
    dims = {"share": ("criterion", "update"), "at_norm": ("update", "norm")}
    found = _shaped(seen, ("when", "arm", "seed"), (len(WHEN), len(ARMS), size.bases), dims)
    found["accuracy"] = ("arm", "seed", "step"), np.stack([courses[arm].accuracy for arm in ARMS])
    found |= {
        "near": (("arm", "seed"), equal.near.values),
        "inside": (("arm",), rates_inside(courses)),
        "rate": (("arm",), [courses[arm].rate for arm in ARMS]),
    }
    coords = {"arm": list(ARMS), "when": list(WHEN), "update": list(UPDATES), "norm": list(NORMS)}
    return lab.dataset(found, coords | {"criterion": list(CRITERIA), "step": courses[ADAM].step})


def learners(run: lab.Run, task: str, steps: int) -> xr.Dataset:
    """Cosines of gradients and first moments, and how far second moments differ, in GRPO and in SFT by Adam."""
    size = run(SIZE)
    asked, model, courses = task_of(task), model_of(task, size), reference(run, task, (ADAM, SFT), size)

    def one(key: jax.Array, base: Any, rate: jax.Array, shown: jax.Array) -> dict[str, jax.Array]:
        options: dict[str, Any] = {"steps": steps, "questions": size.questions}
        return moments(key, model, base, asked, rate=rate, supervised=shown, **options)

    rates = np.array([courses[whose].rate for whose, _ in LEARNERS.values()], np.float32)
    shown = np.array([supervised for _, supervised in LEARNERS.values()])
    keys = jax.random.split(run.key, len(LEARNERS) * size.bases)
    columns = (np.repeat(x, size.bases) for x in (rates, shown))
    seen = tf.side_by_side(one)(keys, _again(bases(run, task, size), len(LEARNERS)), *columns)
    dims = {"own": ("gradient",), "next": ("gradient",), "spread": ("entries",)}
    coords = {
        "gradient": ["own", "signs", "other signs", "with a drift"],
        "entries": ["own", "permuted", "permuted again"],
    }
    found = _shaped(seen, ("arm", "seed"), (len(LEARNERS), size.bases), dims)
    return lab.dataset(found, coords | {"arm": list(LEARNERS)})


def _again(params: Any, times: int) -> Any:
    return jax.tree.map(lambda x: np.concatenate([x] * times), params)


def _shaped(
    seen: dict[str, Any], names: Sequence[str], shape: Sequence[int], dims: dict[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Arrays with named leading dimensions of this shape."""
    plain = {name: np.asarray(x) for name, x in seen.items()}
    lead = {name: x.ndim - len(dims.get(name, ())) for name, x in plain.items()}
    return {
        name: ((*names, *dims.get(name, ())), x.reshape(*shape, *x.shape[lead[name] :]))
        for name, x in plain.items()
    }

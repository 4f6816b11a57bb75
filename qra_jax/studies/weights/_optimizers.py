"""What gradient descent and Adam do to the weights, task by task: weights changed, SFT by descent, Adam's moments."""

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
from qra_jax.studies.weights import _ways as ways
from qra_jax.studies.weights._gradients import moments
from qra_jax.studies.weights._reference import (
    SIZE,
    TASKS,
    _runner,
    bases,
    joined,
    model_of,
    pairs,
    reference,
    task_of,
)
from qra_jax.transformer import weights

SGD, ADAM, AGAIN, SFT = "GRPO, SGD", "GRPO, Adam", "GRPO, Adam, again", "SFT"
ARMS = (SGD, ADAM, AGAIN, SFT)
WHEN = ("end", "matched")
UPDATES = ("own", "Gaussian", "largest tenth")
FIRST = 10_000
"""Number of the first further run: above those of all reference runs."""
NORMS = (1e-3, 1e-2, 1e-1)
"""‖ΔW‖/‖W₀‖ to which updates are scaled."""
LEARNERS = {ADAM: (ADAM, False), AGAIN: (ADAM, False), SFT: (SFT, True)}
"""Runs whose moments are read: whose learning rate, and whether supervised."""


def every_task(run: lab.Run, measure: Callable[..., xr.Dataset], *settings: Any) -> xr.Dataset:
    """What is measured in each task, along a dimension `task`."""
    return joined({name: measure(run, name, *settings) for name in run(TASKS)})


def shares(key: jax.Array, base: Any, tuned: Any) -> dict[str, jax.Array]:
    """Shares of all weights that differ in bfloat16, at the norm of the update and at given ones.

    Args:
      key: PRNG key of the Gaussian twin.
      base: parameters.
      tuned: parameters after training.

    Returns:
      `share` `[updates]`, `at_norm` `[updates, norms]`, and `length`, ‖ΔW‖/‖W₀‖.
    """
    start, end, other = (ravel_pytree(x)[0] for x in (base, tuned, weights.twin.gaussian(key, base, tuned)))
    own, length = end - start, jnp.linalg.norm(end - start)
    top = jnp.where(weights.masks.largest(own[None], 0.1)[0], own, 0.0)
    updates = jnp.stack([x / jnp.linalg.norm(x) for x in (own, other - start, top)])
    norms = jnp.stack([length, *(r * jnp.linalg.norm(start) for r in NORMS)])
    moved = start[None, None] + updates[:, None] * norms[None, :, None]
    share = jnp.mean(weights.masks.changed(jnp.broadcast_to(start[None, None], moved.shape), moved), axis=-1)
    return {"share": share[:, 0], "at_norm": share[:, 1:], "length": length / jnp.linalg.norm(start)}


def changed(run: lab.Run, task: str) -> xr.Dataset:
    """Accuracy along training, and shares of weights changed at the end and at half of the gain of GRPO with Adam."""
    size = run(SIZE)
    courses = reference(run, task, ARMS, size)
    at = {arm: courses[arm].matched(courses[ADAM].half) for arm in ARMS}
    ends = {f"{arm}, end": courses[arm].at(-1) for arm in ARMS}
    seen = pairs(
        shares, run.key, bases(run, task, size), ends | {arm: courses[arm].at(at[arm]) for arm in ARMS}
    )
    dims = {"share": ("update",), "at_norm": ("update", "norm")}
    found = _shaped(seen, ("when", "arm", "seed"), (len(WHEN), len(ARMS), size.bases), dims)
    accuracy, rows = np.stack([courses[arm].accuracy for arm in ARMS]), np.arange(size.bases)
    reached = np.stack([accuracy[i, rows, at[arm]] for i, arm in enumerate(ARMS)])
    found |= {"accuracy": (("arm", "seed", "step"), accuracy), "reached": (("arm", "seed"), reached)}
    coords = {"arm": list(ARMS), "when": list(WHEN), "update": list(UPDATES), "norm": list(NORMS)}
    goal = (("seed",), courses[ADAM].half)
    return lab.dataset(found | {"goal": goal}, coords | {"step": courses[ADAM].step})


def by_descent(run: lab.Run, task: str, rates: int) -> xr.Dataset:
    """Accuracy at the end of SFT by gradient descent, at several learning rates."""
    size, tried = run(SIZE), ways.SGD_RATES[:rates]
    cells = [(rate, base) for rate in tried for base in range(size.bases)]
    of, which = (list(column) for column in zip(*cells, strict=True))
    base, train = bases(run, task, size), _runner(task, size, "float32", "demonstrations", run.shared_seed)
    seen = train(FIRST, [ways.Arm(adam=False)] * len(cells), of, which, base, base)
    ends = np.nan_to_num(seen["accuracy"][:, -1, 0]).reshape(
        rates, -1
    )  # what has left the numbers is never right
    return lab.dataset({"accuracy": (("rate", "seed"), ends)}, {"rate": list(tried)})


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
    dims = {"own": ("gradient",), "spread": ("entries",)}
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

"""What the study of the flow limit runs: one problem, its logit after training at a rate, moments over seeds."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax import training
from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem
from qra_jax.studies import lab

EVERY = 4
"""Steps between two records of a path."""


def problem() -> Problem:
    """The problem of this study."""
    return Problem.from_probs(ref=(0.1, 0.2, 0.7), success=(1.0, 0.5, 0.0))


def logit(log_policy: Array, problem: Problem) -> Array:
    """z = logit π(r*)."""
    rest = jnp.where(jnp.arange(log_policy.shape[-1]) == problem.best, -jnp.inf, log_policy)
    return log_policy[problem.best] - jax.nn.logsumexp(rest)


def _trained(cell: Any, key: Array, *, mode: str, time: float, steps: int, path: bool) -> dict[str, Array]:
    """All η share one program: larger ones are read off before its end."""
    dtype = jnp.float32 if mode == "sampled" else float
    question = jax.tree.map(lambda x: x.astype(dtype), problem())
    options = {"steps": steps, "learning_rate": cell.rate, "mode": mode, "record_every": EVERY}
    found = training.measure({"z": logit}, key, question, algorithm=cell.algorithm, **options)
    z = found.values["z"]
    return {"z": z[jnp.round(time / cell.rate / EVERY).astype(int)]} | ({"path": z} if path else {})


def trained(
    key: Array,
    algorithms: Sequence[Algorithm],
    rates: np.ndarray,
    seeds: int,
    path: bool = False,
    **options: Any,
) -> xr.Dataset:
    """z after training for some time, `[algorithm, rate, seed]`, and records of its path."""
    axes = {"algorithm": algorithms, "rate": rates.tolist()}
    one, dims = partial(_trained, path=path, **options), {"path": ["record"]}
    return lab.cells(one, key=key, seeds=seeds, axes=axes, dims=dims, block=256)


def moments(away: np.ndarray) -> dict[str, np.ndarray]:
    """Bias, root mean square and variance over seeds (the last axis), with standard errors."""
    count, square = away.shape[-1], away**2
    centred, variance = away - away.mean(axis=-1, keepdims=True), away.var(axis=-1, ddof=1)
    rms, error = np.sqrt(square.mean(axis=-1)), {"bias_se": np.sqrt(variance / count)}
    error["rms_se"] = square.std(axis=-1) / np.sqrt(count) / (2 * rms)
    error["variance_se"] = (centred**2).std(axis=-1) / np.sqrt(count)
    return {"bias": away.mean(axis=-1), "rms": rms, "variance": variance} | error

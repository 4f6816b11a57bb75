"""Where the updates of training sit, and masks of such places: what `off-principals` reads."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax.studies.weights import _masks as masks, _twins as own
from qra_jax.studies.weights._twins import GAUSSIAN, OWN, RL, TWIN
from qra_jax.transformer import weights
from qra_jax.transformer.weights.parts import MATRICES, kind

ARMS = (*RL, own.STALE, own.FILTERED, own.SHOWN)
ROUNDED, LARGEST = "in bfloat16", "largest in float32"
PRINCIPAL, SMALL, REST = "principal", "smallest", "least principal"
RANK, CHANCE = 0.1, 0.5
"""k over the rank: of the approximation by which weights are principal; share of weights that are, or are small."""
MADE = "made to avoid"
AS_IT_IS, USUAL = "its own", "that of language models"
COORDS = {
    "arm": ARMS,
    "rl": RL,
    "mask": (ROUNDED, LARGEST),
    "where": (PRINCIPAL, SMALL),
    "length": (AS_IT_IS, USUAL),
    "update": (OWN, MADE, GAUSSIAN, TWIN),
}
DIMS = {
    "on": ("arm", "mask", "where", "update"),
    "angle": ("rl", "length", "update"),
    "drift": ("rl", "length", "update"),
}


def read(key: jax.Array, base: Any, ends: Any) -> dict[str, jax.Array]:
    """Overlaps, angles and drift of the updates of every arm.

    Args:
      key: PRNG key.
      base: parameters.
      ends: parameters of every arm.

    Returns:
      Means over matrices, of dimensions `DIMS`.
    """
    found: dict[str, Any] = {name: [] for name in DIMS}
    every = own.updates_of(key, [base] * len(ARMS), [ends[arm] for arm in ARMS])
    for name, w0 in weights.parts.select(base).items():
        principal = weights.masks.principal(w0, RANK, CHANCE)
        small, k = weights.masks.low_magnitude(w0, CHANCE), max(1, round(RANK * min(w0.shape)))
        delta = every[name]  # [arms, updates, rows, cols]
        made = delta[:, 1 : 1 + own.NUMBER]
        made = made * jnp.where(principal, 0.5, 1.0) * jnp.where(small, 1.0, 0.5)
        delta = jnp.concatenate([delta[:, :1], made, delta[:, 1:]], axis=1)
        marks = jnp.stack([own.moved(w0, delta), weights.masks.largest(delta, masks.DENSITY)], axis=1)
        places = jnp.stack([principal, small])[:, None]
        wide = jnp.broadcast_to(marks[:, :, None], (*marks.shape[:2], *places.shape[:1], *marks.shape[2:]))
        on = weights.masks.overlap(wide, jnp.broadcast_to(places, wide.shape)).value
        found["on"].append(own.grouped(on))
        short = delta * (own.SHORT * own.norms(w0) / own.norms(delta))
        both = jnp.stack([delta[: len(RL)], short[: len(RL)]], axis=1)
        angle, drift = own.singly(partial(_turned, k=k), w0 + both, w0)
        found["angle"].append(own.grouped(angle))
        found["drift"].append(own.grouped(drift))
    return {name: own.averaged(values) for name, values in found.items()}


def _turned(far: jax.Array, w0: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Mean angle between the first k singular directions of two matrices, and change of their singular values."""
    angles = weights.angles.principal_angles(w0, far, k)
    return jnp.mean(jnp.concatenate(angles)), weights.angles.spectral_drift(w0, far)


def chosen(
    random: np.random.Generator, name: str, w0: np.ndarray, delta: np.ndarray
) -> dict[str, np.ndarray]:
    """Masks of one leaf: only matrices of attention and perceptron train; `delta` plays no part."""
    made = {rule: masks.at_random(random, w0, share) for rule, share in masks.RATHER.items()}
    made[masks.EVERYTHING] = np.ones(w0.shape, bool)
    if kind(name) not in MATRICES:
        return dict.fromkeys((*made, PRINCIPAL, REST, SMALL), np.zeros(w0.shape, bool))
    left, sigma, right = np.linalg.svd(w0, full_matrices=False)
    k = max(1, round(RANK * len(sigma)))
    near = abs((left[:, :k] * sigma[:k]) @ right[:k])
    scores = {PRINCIPAL: near, REST: -near, SMALL: -abs(w0)}
    return made | {rule: masks.highest(score, masks.DENSITY) for rule, score in scores.items()}

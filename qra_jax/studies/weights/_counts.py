"""How many weights an update changes, and its rank: what `small-subnetwork` reads."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax.studies import lab
from qra_jax.studies.weights import _masks as masks, _twins as own
from qra_jax.studies.weights._reference import SIZE, TASKS, bases, joined, pairs, reference
from qra_jax.studies.weights._twins import AGAIN, GAUSSIAN, GRPO, OTHERS, OWN
from qra_jax.transformer import weights
from qra_jax.transformer.model import Params

ARMS = ("GRPO, SGD", GRPO, own.STALE, own.FILTERED, own.SHOWN)
AS_IT_IS, ALIKE, EQUAL = "as it is", "shortened alike", "of equal length"
SIZES = (AS_IT_IS, ALIKE, EQUAL)
"""Lengths of updates: alike, so that GRPO's is that of language models; or each has that one, in every matrix."""
LENGTHS = np.geomspace(1e-4, 1, 9).tolist()
SPARSE, SPIKED = "on half of the weights", "with a long first direction"
SEEN = (OWN, SPARSE, SPIKED, GAUSSIAN, OTHERS)
WHOLE, HALF, FIRST, ROUNDED = "update", "first half of its directions", "first direction", "first, rounded"
PARTS = (WHOLE, HALF, FIRST, ROUNDED)
BITS = "bits in bfloat16"
CRITERIA: dict[str, Any] = {BITS: "bfloat16", "relative 1e-3": ("relative", 1e-3)}
CRITERIA |= {f"absolute {x:g}": ("absolute", x) for x in (1e-5, 1e-4, 1e-3)}
CHANGED, LARGEST, SMALL = "largest relative change", "largest change", "smallest weights"
MASKS = (CHANGED, LARGEST, SMALL, *masks.RATHER)


STORED = {"float32": (GRPO, "float32"), "again": (AGAIN, "float32")}
STORED |= {kept: (GRPO, kept) for kept in ("copy", "bfloat16")}
"""Arm and storage of a run, by name."""
DIMS = {
    "changed": ("length", "arm", "update"),
    "sweep": ("relative", "arm", "update"),
    "rank": ("arm", "what"),
    "stable": ("arm", "update"),
}
COORDS = {
    "length": SIZES,
    "arm": ARMS,
    "relative": LENGTHS,
    "what": PARTS,
    "update": SEEN,
}


def _changed(key: Array, updates: dict[str, Array]) -> dict[str, Array]:
    """Updates of every matrix, `[..., updates, rows, cols]`: own, and groups of `SEEN` of its norm."""
    found = {}
    for i, (name, delta) in enumerate(updates.items()):
        drawn = delta[..., 1 : 1 + own.NUMBER, :, :]
        half = drawn * jax.random.bernoulli(jax.random.fold_in(key, i), 0.5, drawn.shape)
        half = half * (own.norms(drawn) / own.norms(half))
        spiked = drawn + 6 * weights.low_rank.part(drawn)
        found[name] = jnp.concatenate([delta[..., :1, :, :], half, spiked, delta[..., 1:, :, :]], axis=-3)
    return found


def counted(key: Array, base: Params, ends: dict[str, Any]) -> dict[str, Array]:
    """Changed shares and ranks of the updates of all arms, of one base network.

    Args:
      key: PRNG key.
      base: parameters.
      ends: parameters of every arm.

    Returns:
      `changed` `[SIZES, arms, SEEN]`, `sweep` `[LENGTHS, arms, SEEN]`, `rank` over full rank `[arms, PARTS]` and
      `stable` rank `[arms, SEEN]`: means over matrices.
    """
    every, start = (
        _changed(key, own.updates_of(key, base, [ends[arm] for arm in ARMS])),
        weights.parts.select(base),
    )
    found: dict[str, list[Array]] = {name: [] for name in ("changed", "sweep", "rank", "stable")}
    whole = [sum(jnp.sum(x**2) for x in tree.values()) for tree in (start, _first(every))]
    factor = own.SHORT * jnp.sqrt(whole[0] / whole[1])
    for name, w0 in start.items():
        delta = every[name]  # [arms, updates, rows, cols]
        ratio, short = own.norms(delta) / own.norms(w0), own.moved(w0, delta)
        marks = own.moved(w0, delta, ratio), own.moved(w0, delta, factor * ratio), short
        found["changed"].append(jnp.stack([weights.masks.density(mark) for mark in marks]))
        lengths = jnp.asarray(LENGTHS, delta.dtype)
        found["sweep"].append(
            jax.lax.map(lambda x, w0=w0, delta=delta: weights.masks.density(own.moved(w0, delta, x)), lengths)
        )
        found["rank"].append(own.singly(_ranks, delta[:, 0], w0))
        found["stable"].append(weights.spectra.stable_rank(delta))
    means = {name: own.averaged(values) for name, values in found.items()}
    return {name: x if name == "rank" else own.grouped(x) for name, x in means.items()}


def _ranks(update: Array, w0: Array) -> Array:
    """Ranks of `PARTS` of an update, over full rank."""
    side, first = min(w0.shape), weights.low_rank.part(update, 0, 1)
    rounded = weights.twin.rounded(w0 + first * (own.SHORT * own.norms(w0) / own.norms(first)))
    half = weights.low_rank.part(update, 0, side // 2)
    made = update, half, first, rounded - weights.twin.rounded(w0)
    return jnp.stack([weights.spectra.numerical_rank(x) / side for x in made])


def _first(updates: dict[str, Array]) -> dict[str, Array]:
    return {name: delta[ARMS.index(GRPO), 0] for name, delta in updates.items()}


def shares(key: Array, base: Params, tuned: dict[str, Any]) -> dict[str, Array]:
    """Shares of weights that change, by every criterion, `[CRITERIA, SEEN]`: means over matrices.

    Args:
      key: PRNG key.
      base: parameters.
      tuned: `params`, and whether they are `short`: stored in bfloat16, as base and Gaussian updates then are.
    """

    def kept(x: Array) -> Array:
        return jnp.where(tuned["short"], weights.twin.rounded(x), x)

    base = jax.tree.map(kept, base)
    found, start = [], weights.parts.select(base)
    for name, delta in _changed(key, own.updates(key, base, tuned["params"])).items():
        far = kept(start[name] + delta)
        there = jnp.broadcast_to(start[name], far.shape)
        marks = [weights.masks.changed(there, far, how) for how in CRITERIA.values()]
        found.append(jnp.stack([weights.masks.density(mark) for mark in marks]))
    return {"changed": own.grouped(own.averaged(found))}


def subnetworks(
    random: np.random.Generator, name: str, w0: np.ndarray, delta: np.ndarray
) -> dict[str, np.ndarray]:
    """Masks of one leaf of equal density, random and small ones among weights that move; `name` plays no part."""
    moves, size = delta != 0, abs(delta)
    scores = {LARGEST: size, CHANGED: size / (abs(w0) + 1e-12), SMALL: np.where(moves, -abs(w0), -np.inf)}
    made = {rule: masks.highest(score, masks.DENSITY) for rule, score in scores.items()}
    return made | {rule: masks.at_random(random, w0, share, moves) for rule, share in masks.RATHER.items()}


def all_arms(run: lab.Run) -> xr.Dataset:
    """Shares that change, and ranks, of updates in float32, at the end and at equal accuracy."""
    parts, size = {}, run(SIZE)
    for task in run(TASKS):
        base = bases(run, task, size)
        tuned, apart = own.ends(reference(run, task, ARMS, size))
        seen = pairs(counted, run.key, base, tuned)
        values = {name: (("at", "seed", *DIMS[name]), x) for name, x in seen.items()}
        values |= {"apart": (("arm", "seed"), apart)}
        labels = {name: list(x) for name, x in COORDS.items()}
        parts[task] = lab.dataset(values, labels | {"at": list(tuned)})
    return joined(parts)


def all_storages(run: lab.Run) -> xr.Dataset:
    """Shares that GRPO changes in the end, by storage and criterion, and gains in accuracy."""
    parts, size = {}, run(SIZE)
    for task in run(TASKS):
        tuned, gain = {}, []
        for name, (arm, kept) in STORED.items():
            course = reference(run, task, [arm], size, kept)[arm]
            tuned[name] = {"params": course.at(-1), "short": np.full(size.bases, kept == "bfloat16")}
            gain.append(course.accuracy[:, -1] - course.accuracy[:, 0])
        changed = pairs(shares, run.key, bases(run, task, size), tuned)["changed"]
        values = {
            "changed": (("storage", "seed", "criterion", "update"), changed),
            "gain": (("storage", "seed"), np.stack(gain)),
        }
        labels = {"criterion": list(CRITERIA), "update": list(SEEN), "storage": list(STORED)}
        parts[task] = lab.dataset(values, labels)
    return joined(parts)


def all_masks(run: lab.Run) -> xr.Dataset:
    """Gain of GRPO on masks of all parameters, and how far from the run on all of them it ends."""
    parts, size = {}, run(SIZE)
    for task in run(TASKS):
        course, base = reference(run, task, [GRPO], size)[GRPO], bases(run, task, size)
        every = {masks.EVERYTHING: jax.tree.map(lambda x: np.ones(x.shape, bool), base)}
        found = masks.rerun(run.key, task, size, base, course.rate, every)
        whole = found[masks.EVERYTHING]["params"]
        chosen = masks.masked(subnetworks, run.seed, base, whole)
        found |= masks.rerun(run.key, task, size, base, course.rate, chosen)
        length = masks.apart(whole, base)
        far = np.stack([masks.apart(one["params"], whole) / length for one in found.values()])
        values = {"gain": masks.gains(found, course.accuracy[:, 0]), "apart": far}
        parts[task] = lab.dataset(
            {k: (("mask", "seed"), x) for k, x in values.items()}, {"mask": list(found)}
        )
    return joined(parts)

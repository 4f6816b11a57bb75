"""How many weights an update changes, its rank, and overlaps of what is changed: what `small-subnetwork` reads."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax.studies import lab
from qra_jax.studies.weights import _masks as masks, _twins as own
from qra_jax.studies.weights._reference import KEPT, SIZE, TASKS, bases, joined, pairs, reference
from qra_jax.studies.weights._twins import AGAIN, ELSEWHERE, GAUSSIAN, GRPO, OWN, SHOWN, TWIN
from qra_jax.transformer import weights
from qra_jax.transformer.model import Params
from qra_jax.transformer.weights.parts import MATRICES, kind

ARMS = ("GRPO, SGD", GRPO, AGAIN, own.STALE, own.FILTERED, SHOWN)
COMPARED = {
    "seed": AGAIN,
    "optimiser": "GRPO, SGD",
    "data": own.STALE,
    "algorithm": own.FILTERED,
    "SFT": SHOWN,
}
"""Runs whose masks are compared with those of GRPO with Adam, by what is different."""
COLUMNS = np.array([ARMS.index(arm) for arm in (GRPO, *COMPARED.values())])
AS_IT_IS, ALIKE, EQUAL = "as it is", "shortened alike", "of equal length"
SIZES = (AS_IT_IS, ALIKE, EQUAL)
"""Lengths of updates: alike, so that GRPO's is that of language models; or each has that one, in every matrix."""
LENGTHS = np.geomspace(1e-4, 1, 9).tolist()
SPARSE, SPIKED = "on a fifth of the weights", "with a long first direction"
A_FIFTH = 0.2533
"""A fifth of a normal distribution is nearer to zero, in standard deviations."""
SEEN = (OWN, SPARSE, SPIKED, GAUSSIAN, TWIN)
WHOLE, NOISE, FIRST, ROUNDED = "update", "Gaussian update", "first direction", "first direction, rounded"
PARTS = (WHOLE, NOISE, FIRST, ROUNDED)
REACHED = {WHOLE: 0.99, NOISE: 0.99, FIRST: 0.9, ROUNDED: 0.9}
"""Share of full rank at which a singular value is compared with what counts as zero."""
IN_BFLOAT16, AS_MANY = "in bfloat16", "as many, largest in float32"
BITS, ABSOLUTE = "bits in bfloat16", "absolute 1e-05"
CRITERIA: dict[str, Any] = {BITS: "bfloat16", "relative 1e-3": ("relative", 1e-3)}
CRITERIA |= {f"absolute {x:g}": ("absolute", x) for x in (1e-5, 1e-4, 1e-3)}
CHANGED, LARGEST = "largest relative change", "largest change"
MATRICES_ALONE = "matrices alone"
RANKS = (1, 4)
AS_RANK = {
    rank: (f"rank {rank}", f"as many as rank {rank}", f"as many as rank {rank}, others") for rank in RANKS
}
"""Reruns on matrices alone: changes held to a rank; and random weights, as many as such a change has free numbers."""
STORED = {GRPO: AGAIN, SHOWN: "SFT, again"}
"""Arms that are stored in several ways, and those that repeat them in float32."""
STORAGES = ("float32", "again", "copy", "bfloat16")
DIMS = {
    "changed": ("length", "arm", "update"),
    "sweep": ("relative", "arm", "update"),
    "rank": ("arm", "what"),
    "room": ("arm", "what"),
    "stable": ("arm", "update"),
    "jaccard": ("other", "mask", "update"),
    "chance": ("other", "mask", "update"),
}
COORDS = {
    "length": SIZES,
    "arm": ARMS,
    "relative": LENGTHS,
    "what": PARTS,
    "update": SEEN,
    "other": (*COMPARED, ELSEWHERE),
    "mask": (IN_BFLOAT16, AS_MANY),
}


def _changed(updates: dict[str, Array]) -> dict[str, Array]:
    """Updates of every matrix, `[..., updates, rows, cols]`: own, and groups of `SEEN` of its norm."""
    found = {}
    for name, delta in updates.items():
        drawn, twins = delta[..., 1 : 1 + own.NUMBER, :, :], delta[..., 1 + own.NUMBER :, :, :]
        size = twins * (np.sqrt(delta.shape[-2] * delta.shape[-1]) / own.norms(twins))
        few = drawn * (jnp.abs(size) < A_FIFTH)
        few = few * (own.norms(drawn) / own.norms(few))
        spiked = drawn + 6 * weights.low_rank.part(drawn)
        found[name] = jnp.concatenate([delta[..., :1, :, :], few, spiked, delta[..., 1:, :, :]], axis=-3)
    return found


def counted(key: Array, base: Params, ends: dict[str, Any]) -> dict[str, Array]:
    """Changed shares, ranks and overlaps of the updates of all arms, of one base network.

    Args:
      key: PRNG key.
      base: parameters.
      ends: parameters of every arm; under `ELSEWHERE`, another `base` and what was `tuned` of it.

    Returns:
      Of dimensions `DIMS`, means over matrices: `changed` shares, at `SIZES` and along the `sweep` of `LENGTHS`; `rank`
      over full rank, `room`, the median of matrices, and `stable` rank; `jaccard`, and `chance` of the same
      densities.
    """
    other, networks = ends[ELSEWHERE], [ends[arm] for arm in ARMS]
    every = own.updates_of(key, [base] * len(ARMS) + [other["base"]], [*networks, other["tuned"]])
    every, start, away = _changed(every), weights.parts.select(base), weights.parts.select(other["base"])
    found: dict[str, list[Array]] = {name: [] for name in DIMS}
    whole = [sum(jnp.sum(x**2) for x in tree.values()) for tree in (start, _first(every))]
    factor = own.SHORT * jnp.sqrt(whole[0] / whole[1])
    for name, w0 in start.items():
        delta, elsewhere = every[name][:-1], every[name][-1]  # [arms, updates, rows, cols]
        ratio, short = own.norms(delta) / own.norms(w0), own.moved(w0, delta)
        marks = own.moved(w0, delta, ratio), own.moved(w0, delta, factor * ratio), short
        found["changed"].append(jnp.stack([weights.masks.density(mark) for mark in marks]))
        lengths = jnp.asarray(LENGTHS, delta.dtype)
        found["sweep"].append(
            jax.lax.map(lambda x, w0=w0, delta=delta: weights.masks.density(own.moved(w0, delta, x)), lengths)
        )
        noise = delta[:, -own.NUMBER]
        rank, room = own.singly(_ranks, delta[:, 0], noise, w0)
        found["rank"].append(rank)
        found["room"].append(room)
        found["stable"].append(weights.spectra.stable_rank(delta))
        beside = jnp.concatenate([delta[COLUMNS], elsewhere[None]])
        rounded = jnp.concatenate([short[COLUMNS], own.moved(away[name], elsewhere)[None]])
        both = rounded, weights.masks.largest(beside, weights.masks.density(rounded))
        agree = [weights.masks.jaccard(x[1:], jnp.broadcast_to(x[:1], x[1:].shape)) for x in both]
        found["jaccard"].append(jnp.stack([one.value for one in agree], axis=1))
        found["chance"].append(jnp.stack([one.chance for one in agree], axis=1))
    middle = jnp.median(jnp.stack(found.pop("room")), axis=0)
    means = {name: own.averaged(values) for name, values in found.items()}
    return {name: x if name == "rank" else own.grouped(x) for name, x in means.items()} | {"room": middle}


def _ranks(update: Array, noise: Array, w0: Array) -> tuple[Array, Array]:
    """Ranks of `PARTS` of an update over full rank; how far the singular values at `REACHED` are above numpy's zero."""
    side, first = min(w0.shape), weights.low_rank.part(update, 0, 1)
    rounded = weights.twin.rounded(w0 + first * (own.SHORT * own.norms(w0) / own.norms(first)))
    sigma = weights.spectra.singular_values(
        jnp.stack([update, noise, first, rounded - weights.twin.rounded(w0)])
    )
    above = sigma / (weights.spectra.default_tolerance(w0) * sigma[:, :1])
    at = jnp.array([math.ceil(REACHED[what] * side) - 1 for what in PARTS])
    reached = jnp.take_along_axis(above, at[:, None], axis=1)[:, 0]
    return jnp.mean(above > 1, axis=1), jnp.log10(jnp.maximum(reached, 1e-6))


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
    for name, delta in _changed(own.updates(key, base, tuned["params"])).items():
        far = kept(start[name] + delta)
        there = jnp.broadcast_to(start[name], far.shape)
        marks = [weights.masks.changed(there, far, how) for how in CRITERIA.values()]
        found.append(jnp.stack([weights.masks.density(mark) for mark in marks]))
    return {"changed": own.grouped(own.averaged(found))}


def subnetworks(
    random: np.random.Generator, name: str, w0: np.ndarray, delta: np.ndarray
) -> dict[str, np.ndarray]:
    """Masks of one leaf: of equal density, random ones among weights that move; and random ones in matrices alone."""
    moves, size, matrix = delta != 0, abs(delta), kind(name) in MATRICES
    scores = {LARGEST: size, CHANGED: size / (abs(w0) + 1e-12)}
    made = {rule: masks.highest(score, masks.DENSITY) for rule, score in scores.items()}
    made |= {rule: masks.at_random(random, w0, share, moves) for rule, share in masks.RATHER.items()}
    made[MATRICES_ALONE] = np.full(w0.shape, matrix)
    for rank, (held, *alike) in AS_RANK.items():
        made[held] = made[MATRICES_ALONE]
        share = rank * (sum(w0.shape) - rank) / w0.size if matrix else 0.0
        made |= {rule: masks.at_random(random, w0, min(share, 1.0)) for rule in alike}
    return made


def all_arms(run: lab.Run) -> xr.Dataset:
    """Shares that change, ranks and overlaps, of updates in float32, at the end and at equal gain."""
    parts, size = {}, run(SIZE)
    for task in run(TASKS):
        base = bases(run, task, size)
        tuned, apart = own.ends(reference(run, task, ARMS, size))
        with jax.numpy_rank_promotion("allow"):
            seen = pairs(counted, run.key, base, own.abroad(tuned, base))
        values = {name: (("at", "seed", *DIMS[name]), x) for name, x in seen.items()}
        values |= {"apart": (("arm", "seed"), apart)}
        labels = {name: list(x) for name, x in COORDS.items()}
        parts[task] = lab.dataset(values, labels | {"at": list(tuned)})
    return joined(parts)


def all_storages(run: lab.Run) -> xr.Dataset:
    """Shares that GRPO and SFT change in the end, by storage and criterion, and gains in accuracy."""
    parts, size = {}, run(SIZE)
    for task in run(TASKS):
        courses = {kept: reference(run, task, list(STORED), size, kept) for kept in KEPT}
        again = reference(run, task, list(STORED.values()), size)
        courses["again"] = {arm: again[other] for arm, other in STORED.items()}
        cells = [(arm, kept) for arm in STORED for kept in STORAGES]
        tuned, gain = {}, []
        for arm, kept in cells:
            course = courses[kept][arm]
            short = np.full(size.bases, kept == "bfloat16")
            tuned[f"{arm}, {kept}"] = {"params": course.at(-1), "short": short}
            gain.append(course.accuracy[:, -1] - course.accuracy[:, 0])
        with jax.numpy_rank_promotion("allow"):
            changed = pairs(shares, run.key, bases(run, task, size), tuned)["changed"]
        lead = ("arm", "storage", "seed")
        values = {"changed": ((*lead, "criterion", "update"), changed), "gain": (lead, np.stack(gain))}
        shape = len(STORED), len(STORAGES)
        values = {name: (dims, x.reshape(*shape, *x.shape[1:])) for name, (dims, x) in values.items()}
        labels = {"criterion": list(CRITERIA), "update": list(SEEN), "storage": list(STORAGES)}
        parts[task] = lab.dataset(values, labels | {"arm": list(STORED)})
    return joined(parts)


def all_masks(run: lab.Run) -> xr.Dataset:
    """Gain of GRPO on masks and at low rank, and how far from the run on all weights each ends."""
    parts, size = {}, run(SIZE)
    for task in run(TASKS):
        course, base = reference(run, task, [GRPO], size)[GRPO], bases(run, task, size)
        rerun = masks.Rerun(run, task, size, base, course.rate, ranked=True)
        found = rerun({masks.EVERYTHING: jax.tree.map(lambda x: np.ones(x.shape, bool), base)})
        whole = jax.tree.map(lambda x: x[0], found[masks.EVERYTHING]["params"])
        chosen = masks.masked(subnetworks, run.seed, base, whole)
        found |= rerun(chosen, {held: rank for rank, (held, *_) in AS_RANK.items()})
        length = masks.apart(whole, base)
        far = np.stack([masks.apart(one["params"], whole) / length for one in found.values()])
        values = {"gain": masks.gains(found, course.accuracy[:, 0]), "apart": far}
        values = {name: (("mask", "rate", "seed"), x) for name, x in values.items()}
        parts[task] = lab.dataset(values, {"mask": list(found), "rate": list(masks.RATES)})
    return joined(parts)

"""Training on some of the weights alone: masks of every leaf, and what a network gains with each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array

from qra_jax.batching import many
from qra_jax.studies import lab
from qra_jax.studies.weights import _ways as ways
from qra_jax.studies.weights._reference import PIECE, accuracies, model_of, task_of
from qra_jax.studies.weights._ways import Size
from qra_jax.transformer import parts, weights
from qra_jax.transformer.model import Params

DENSITY = 0.3
"""Share of the weights of a mask that is chosen by a rule."""
EVERYTHING, RANDOM, OTHER, FEW, MOST = (
    "all weights",
    "random",
    "random, others",
    "random 2 %",
    "random 95 %",
)
RATHER = {RANDOM: DENSITY, OTHER: DENSITY, FEW: 0.02, MOST: 0.95}
"""Density of random masks."""


def at_random(random: np.random.Generator, leaf: np.ndarray, share: float, among: Any = True) -> np.ndarray:
    """As many weights as are a share of all, drawn at random among some.

    Args:
      random: draws.
      leaf: of any shape.
      share: in [0, 1].
      among: of that shape, true where a weight may be drawn.

    Returns:
      Of that shape.
    """
    return highest(np.where(among, random.uniform(size=leaf.shape), -1.0), share)


def highest(score: np.ndarray, share: float) -> np.ndarray:
    """The weights of highest score; of equal ones, the first."""
    marks = np.zeros(score.size, bool)
    marks[np.argsort(-score, axis=None, kind="stable")[: round(share * score.size)]] = True
    return marks.reshape(score.shape)


def masked(
    function: Callable[[np.random.Generator, str, np.ndarray, np.ndarray], dict[str, np.ndarray]],
    seed: int,
    base: Params,
    tuned: Params,
) -> dict[str, Params]:
    """Masks of every leaf of every network, by name.

    Args:
      function: `(random, name of the leaf, leaf of the base, its update)` to masks by name.
      seed: of random masks.
      base: `[bases, ...]`.
      tuned: `[bases, ...]`.

    Returns:
      Trees of booleans `[bases, ...]` by name.
    """
    random, made = np.random.default_rng(seed), {}
    for name, (before, now) in weights.parts.paired(base, tuned).items():
        pairs = zip(np.asarray(before), np.asarray(now), strict=True)
        every = [function(random, name, w0, after - w0) for w0, after in pairs]
        made[name] = {kind: np.stack([one[kind] for one in every]) for kind in every[0]}
    kinds = next(iter(made.values()))
    return {kind: weights.parts.grown({name: one[kind] for name, one in made.items()}) for kind in kinds}


def rerun(
    key: Array, task: str, size: Size, base: Params, rate: float, masks: dict[str, Params]
) -> dict[str, dict[str, Any]]:
    """What GRPO with Adam makes of every base when only the weights of a mask train; one program for all masks.

    Args:
      key: PRNG key; runs of one base share their random numbers.
      task: its name.
      size: how much.
      base: `[bases, ...]`.
      rate: learning rate.
      masks: trees of booleans `[bases, ...]`, by name.

    Returns:
      By mask `accuracy` `[bases]` and `params` `[bases, ...]`, at the end.
    """
    model, whole = model_of(task, size), size._replace(windows=1, every=size.steps)
    accuracy, asked = accuracies(task, model), task_of(task)

    def one(key: Array, base: Params, mask: Params, rate: Array) -> dict[str, Any]:
        def look(params: Params) -> dict[str, Any]:
            return {"accuracy": accuracy(params)[0], "params": params}

        own = {"teacher": base, "look": look, "optimizer": lambda rate: parts.masked(optax.adam(rate), mask)}
        seen = ways.train("rollouts", key, model, base, asked, whole, ways.Arm(), rate, **own).seen
        return jax.tree.map(lambda x: x[-1], seen)

    number, count = jax.tree.leaves(base)[0].shape[0], len(masks)
    keys = jnp.tile(jax.random.split(key, number), count)
    every = jax.tree.map(lambda x: np.concatenate([x] * count), base)
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *masks.values())
    seen = many(one, block=1, chunk=PIECE)(keys, every, joined, np.full(number * count, rate))
    return {
        name: jax.tree.map(lambda x, i=i: np.asarray(x)[i * number : (i + 1) * number], seen)
        for i, name in enumerate(masks)
    }


def gains(found: dict[str, dict[str, Any]], start: np.ndarray) -> np.ndarray:
    """What each mask gains in accuracy, `[masks, bases]`."""
    return np.stack([one["accuracy"] - start for one in found.values()])


def of_gain(words: str, gained: xr.DataArray, mask: Any, less: Any = None) -> lab.Estimate:
    """Share of the gain of all weights that a mask has, less that of another one; all bases together.

    Args:
      words: what it is.
      gained: `[..., mask, seed]`.
      mask: a name, or a list of names.
      less: a name.
    """
    part = gained.sel(mask=mask)
    if less is not None:
        part = part - gained.sel(mask=less, drop=True)
    return lab.pooled_share(words, part, gained.sel(mask=EVERYTHING, drop=True))


def apart(params: Params, others: Params) -> np.ndarray:
    """Distances of networks in all weights, `[bases]`."""
    leaves = jax.tree.leaves(jax.tree.map(lambda a, b: (np.asarray(a, float) - b) ** 2, params, others))
    return np.sqrt(sum(x.reshape(len(x), -1).sum(axis=-1) for x in leaves))

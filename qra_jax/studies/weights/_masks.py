"""Training on some of the weights alone: masks of every leaf, and what a network gains with each.

Masks are made in numpy: those of `weights.masks` would have to be compiled for the shape of every leaf, each with a
sort, which takes longer than all the rest. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from qra_jax.studies.weights._best_rates import of_others
from qra_jax.studies.weights._reference import PIECE, accuracies, model_of, task_of
from qra_jax.studies.weights._ways import Size
from qra_jax.transformer import parts, weights
from qra_jax.transformer.model import Params

DENSITY = 0.3
"""Share of the weights of a mask that is chosen by a rule."""
RATES, STEPS = (1.0, 3.0), lab.scale(20, 32)
"""Learning rates, over that of the run on all weights, of which each mask has its best; steps of all reruns."""
WITHOUT_BOUND = 1 << 20
"""A rank that no matrix has."""
EVERYTHING, RANDOM, RANDOM_AGAIN, RANDOM_FEW, RANDOM_MOST = (
    "all weights",
    "random",
    "random, others",
    "random 2 %",
    "random 95 %",
)
RATHER = {RANDOM: DENSITY, RANDOM_AGAIN: DENSITY, RANDOM_FEW: 0.02, RANDOM_MOST: 0.95}
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


class Rerun:
    """GRPO with Adam from every base when only the weights of a mask train; one program, whatever the masks.

    Args:
      run: the experiment that asks; runs of one base share their random numbers.
      task: its name.
      size: how much.
      base: `[bases, ...]`.
      rate: learning rate of the run on all weights.
      ranked: whether changes of matrices may be held to a rank.
    """

    def __init__(
        self, run: lab.Run, task: str, size: Size, base: Params, rate: float, *, ranked: bool = False
    ):
        model, steps = model_of(task, size), run(STEPS)
        whole = size._replace(windows=1, every=steps)
        accuracy, asked = accuracies(task, model), task_of(task)

        def one(key: Array, base: Params, mask: Params, rate: Array, rank: Array) -> dict[str, Any]:
            def look(params: Params) -> dict[str, Any]:
                return {"accuracy": accuracy(params)[0], "params": params}

            def optimizer(rate: Any) -> optax.GradientTransformation:
                adam = optax.adam(rate)
                return parts.masked(parts.rank_constrained(adam, rank) if ranked else adam, mask)

            own = {"teacher": base, "look": look, "optimizer": optimizer}
            seen = ways.train("rollouts", key, model, base, asked, whole, ways.Arm(), rate, **own).seen
            return jax.tree.map(lambda x: x[-1], seen)

        self.rates = [rate * factor for factor in RATES]
        self.base, self.number = base, jax.tree.leaves(base)[0].shape[0]
        self.keys = jax.random.split(run.key, self.number)
        self.run = many(one, block=1, chunk=PIECE)

    def __call__(
        self, masks: dict[str, Params], ranks: Mapping[str, int] | None = None
    ) -> dict[str, dict[str, Any]]:
        """What becomes of every base with each mask, at each of the rates.

        Args:
          masks: trees of booleans `[bases, ...]`, by name.
          ranks: by mask, the rank that changes of matrices are held to; default: none.

        Returns:
          By mask `accuracy` `[rates, bases]` and `params` `[rates, bases, ...]`, at the end.
        """
        cells = [(name, rate) for name in masks for rate in self.rates]
        keys = jnp.tile(self.keys, len(cells))
        every = jax.tree.map(lambda x: np.concatenate([x] * len(cells)), self.base)
        joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(masks[name] for name, _ in cells))
        rates = np.repeat([rate for _, rate in cells], self.number)
        held = np.repeat([(ranks or {}).get(name, WITHOUT_BOUND) for name, _ in cells], self.number)
        seen = self.run(keys, every, joined, rates, held)
        shape = len(masks), len(self.rates), self.number
        seen = jax.tree.map(lambda x: np.asarray(x).reshape(*shape, *x.shape[1:]), seen)
        return {name: jax.tree.map(lambda x, i=i: x[i], seen) for i, name in enumerate(masks)}


def gains(found: dict[str, dict[str, Any]], start: np.ndarray) -> np.ndarray:
    """What each mask gains in accuracy, `[masks, rates, bases]`."""
    return np.stack([one["accuracy"] - start for one in found.values()])


def at_best(reruns: xr.Dataset, name: str = "gain") -> xr.DataArray:
    """Values of every mask and network at the rate at which all other networks gain most with that mask.

    Args:
      reruns: `gain`, `[task, mask, rate, seed]`.
      name: of the values, of these dimensions.

    Returns:
      `[task, mask, seed]`.
    """
    return of_others(reruns.gain, reruns[name])


def of_gain(
    words: str, gained: xr.DataArray, mask: Any, less: Any = None, of: str = EVERYTHING
) -> lab.Estimate:
    """Share that a mask has of the gain of another one, less that of a third; all bases together.

    Args:
      words: what it is.
      gained: `[..., mask, seed]`.
      mask: a name, or labels `[axis]` of names.
      less: likewise.
      of: the name of the mask that has the whole gain.
    """
    part = gained.sel(mask=mask)
    if less is not None:
        part = part.drop_vars("mask") - gained.sel(mask=less).drop_vars("mask")
    return lab.pooled_share(words, part, gained.sel(mask=of, drop=True))


def apart(params: Params, others: Params) -> np.ndarray:
    """Distances of networks in all weights, `[...]`.

    Args:
      params: leaves `[..., bases, …]`.
      others: leaves `[bases, …]`.
    """

    def squares(a: Any, b: Any) -> np.ndarray:
        axes = tuple(range(-(np.ndim(b) - 1), 0))
        return ((np.asarray(a, float) - b) ** 2).sum(axis=axes)

    return np.sqrt(sum(jax.tree.leaves(jax.tree.map(squares, params, others))))

"""Networks that are trained in two stages, and in one: what `classifier-first` reads."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

from qra_jax import transformer
from qra_jax.algorithm import grpo
from qra_jax.studies import lab
from qra_jax.studies.weights import _bandits as world
from qra_jax.studies.weights._best_rates import place_of, speed
from qra_jax.transformer import kernel, parts
from qra_jax.transformer.model import Model, Params


class Arm(NamedTuple):
    """A way of training in two stages; numbers and flags, which may be traced."""

    share: Any = 1 / 7
    """Of the budget that the first stage has."""
    alone: Any = True
    """The unembedding W trains alone in the first stage; otherwise everything does."""
    restart: Any = True
    """Adam starts afresh in the second stage."""
    rescale: Any = False
    """‖W‖ is put back when the first stage ends."""
    factor: Any = 1.0
    """By which W is multiplied when the first stage ends."""
    frozen: Any = 2.0
    """Share of the budget after which the features learn through W as it is then; above 1: never."""
    random: Any = False
    """The features learn through a random matrix as long as W₀."""


PLAIN, RESTARTED, FIRST, HALF = "plain", "plain, restarted", "classifier first", "half of the budget"
RESCALED, DOUBLED, RANDOM = "‖W‖ put back", "W doubled", "random matrix in G"
FIRST_FIXED, PLAIN_FIXED = "W₀ in G", "plain, W₀ in G"
FIRST_KEPT, PLAIN_KEPT = "W₁ in G", "plain, W₁ in G"
ARMS = {
    PLAIN: Arm(alone=False, restart=False),
    RESTARTED: Arm(alone=False),
    FIRST: Arm(),
}
CHANGED = {
    HALF: (FIRST, Arm(1 / 2)),
    RESCALED: (FIRST, Arm(rescale=True)),
    DOUBLED: (FIRST, Arm(factor=2.0)),
    RANDOM: (FIRST, Arm(random=True)),
    FIRST_FIXED: (FIRST, Arm(frozen=0.0)),
    FIRST_KEPT: (FIRST, Arm(frozen=1 / 7)),
    PLAIN_FIXED: (PLAIN, Arm(alone=False, restart=False, frozen=0.0)),
    PLAIN_KEPT: (PLAIN, Arm(alone=False, restart=False, frozen=1 / 7)),
}
"""Arms with one thing changed, at the best rate of the arm. W₁ is W where the first stage ends, or would end."""
STEPS, EVERY = lab.scale(28, 56), 2
RATES = lab.scale((2e-3, 8e-3, 3.2e-2, 1.28e-1), (1e-3, 3e-3, 1e-2, 3e-2, 1e-1))
FEATURES = {"as they are": (0.0, 0.0), "apart": (0.9, 0.0), "alike": (0.9, 0.99)}
"""Share of marks in the squared norm of features, and mean cosine of the marks."""


def at_all_rates(run: lab.Run) -> xr.Dataset:
    """Every arm at every rate, with all kinds of features.

    Args:
      run: the experiment.

    Returns:
      `entropy` and `reward` `[arm, features, rate, seed, step, asked]`; `norm`, ‖W‖/‖W₀‖, and `drift`, 1 less the mean
      cosine of features with those of the start, `[arm, features, rate, seed, step]`.
    """
    every, kinds = list(ARMS.values()), len(FEATURES)
    train = _trainer(run, every * kinds, [kind for kind in range(kinds) for _ in every])

    def one(cell: Any) -> dict[str, jax.Array]:
        return train(cell.features * len(every) + cell.arm, cell.rate, cell.seed)

    axes = {
        "arm": range(len(every)),
        "features": range(kinds),
        "rate": run(RATES),
        "seed": range(world.SEEDS),
    }
    return _labelled(run, one, axes).assign_coords(arm=list(ARMS), features=list(FEATURES))


def with_changes(run: lab.Run) -> xr.Dataset:
    """Arms with one thing changed, features as they are, at the rate that is the arm's best for the other networks.

    Args:
      run: the experiment, after that of all rates, whose random numbers it has.

    Returns:
      The same variables, `[arm, seed, step, ...]`.
    """
    score = speed(run.done.runs).sel(features=next(iter(FEATURES)), drop=True)
    place = np.stack([place_of(score.sel(arm=arm, drop=True)).values for arm, _ in CHANGED.values()])
    train, rates = _trainer(run, [arm for _, arm in CHANGED.values()]), jnp.array(score.rate.values[place])
    axes = {"arm": range(len(CHANGED)), "seed": range(world.SEEDS)}
    seen = _labelled(run, lambda cell: train(cell.arm, rates[cell.arm, cell.seed], cell.seed), axes)
    return seen.assign_coords(arm=list(CHANGED))


def _labelled(run: lab.Run, one: Any, axes: dict[str, Any]) -> xr.Dataset:
    dims = {"entropy": ("step", "asked"), "reward": ("step", "asked"), "norm": ("step",), "drift": ("step",)}
    coords = {"step": np.arange(0, run(STEPS) + 1, EVERY), "asked": ["asked", "held out"]}
    seen = lab.cells(one, axes=axes, dims=dims, coords=coords, block=1, say=run.say)
    return seen.where(seen.status == 0).drop_vars("status")


def _trainer(run: lab.Run, arms: list[Arm], features: list[int] | None = None) -> Any:
    """A function `(arm, rate, seed)` that trains one network in one of some arms, all of which may be traced."""
    worlds, model, bases = world.bases(run)
    task, steps = jax.tree.map(lambda leaf: leaf[0], worlds), run(STEPS)
    columns = [jnp.array(column) for column in zip(*arms, strict=True)]
    kinds, (shares, cosines) = jnp.array(features or [0] * len(arms)), zip(*FEATURES.values(), strict=True)
    names = ("vocabulary", "width", "depth", "heads", "hidden")
    random = jax.random.fold_in(jax.random.key(run.shared_seed), zlib.crc32(b"classifier-first") >> 1)
    network = world.marked(random, model, bases, cosines, shares)

    def train(which: Any, rate: Any, seed: Any) -> dict[str, jax.Array]:
        key, arm = jax.random.fold_in(random, seed), Arm(*(column[which] for column in columns))
        same, params = network(seed, kinds[which])
        start, (questions, tokens) = params["unembedding"]["kernel"], world.choice(task)
        before = transformer.score(same, params, questions.prompt, questions.real, tokens)[1]
        noise = jax.random.normal(jax.random.fold_in(key, 1), start.shape, start.dtype)
        noise = noise * jnp.linalg.norm(start) / jnp.linalg.norm(noise)
        fields = {name: getattr(same, name) for name in (*names, "marked", "marks")}

        def through(remembered: jax.Array) -> Model:
            return kernel.FixedFeedback(**fields, feedback=jnp.where(arm.random, noise, remembered))

        def moved(now: Params, features: jax.Array) -> dict[str, jax.Array]:
            norm = jnp.linalg.norm(now["unembedding"]["kernel"]) / jnp.linalg.norm(start)
            unit = [x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (before, features)]
            return {"norm": norm, "drift": 1 - jnp.mean(jnp.sum(unit[0] * unit[1], axis=-1))}

        first = jnp.round(arm.share * steps).astype(int)
        how: dict[str, Any] = {"restart": arm.restart, "rescale": arm.rescale, "alone": arm.alone}
        _, seen = world.trained(
            key,
            same,
            params,
            task,
            algorithm=grpo(world.GROUP),
            optimizer=scaled(parts.staged(optax.adam(rate), first, **how), first, arm.factor),
            steps=steps,
            every=EVERY,
            through=through,
            until=jnp.round(arm.frozen * steps).astype(int),
            beside=moved,
        )
        return seen

    return train


def scaled(optimizer: optax.GradientTransformation, first: Any, factor: Any) -> optax.GradientTransformation:
    """An optimiser after whose last step of the first stage the unembedding is multiplied by a factor.

    Args:
      optimizer: takes the steps.
      first: steps of the first stage, ≥ 1; may be traced.
      factor: may be traced.
    """

    def init(params: Params) -> Any:
        return jnp.zeros((), jnp.int32), optimizer.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        index, memory = state
        change, memory = optimizer.update(updates, memory, params)
        own, by = parts.chosen(change, "unembedding"), jnp.where(index == first - 1, factor, 1.0)

        def multiplied(step: jax.Array, now: jax.Array, here: bool) -> jax.Array:
            return step + (by - 1) * (now + step) if here else step

        return jax.tree.map(multiplied, change, params, own), (index + 1, memory)

    return optax.GradientTransformation(init, update)

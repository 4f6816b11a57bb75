"""How the tokens of a network change in the course of training, and random changes to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax import transformer
from qra_jax.algorithm import grpo
from qra_jax.studies import lab
from qra_jax.transformer import model as network, probe, reward
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.reward import SequenceReward
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.task import KINDS, Controlled

REWARDS = ("RLVR", "RLVR, rates fixed", "RLIF", "coin", "RLVR, again")
"""Right answers; with the success rate of the pattern, whatever the answer; self-certainty; half of all, by chance;
right answers once more, with other random numbers."""
GROUP = 8
SUMS = ("places", "reranked", "top", "kl", "kl_reranked", "similarity")
HALVINGS = 12


def sampled(key: Array, model: Model, task: Controlled, params: Params, samples: int) -> Rollouts:
    """Sequences of a network, so many for every question of its task."""
    asked = task.questions(jnp.arange(task.number))
    options: dict[str, Any] = {"group": samples, "length": task.length, "end": task.end}
    return transformer.sample(key, model, params, asked, **options)


def compared(
    key: Array, model: Model, task: Controlled, base: Params, now: Params, samples: int
) -> dict[str, Array]:
    """How two networks differ at every kind of token, on samples of the later one.

    Args:
      key: PRNG key of the samples.
      model, task: the network and its task.
      base, now: parameters.
      samples: of each question.

    Returns:
      `[kinds]` each: number of places, of changed ranks and of changed likeliest tokens; sums of KL(now‖base), of it at
      changed ranks, and of the cosine of features.
    """
    drawn = sampled(key, model, task, now, samples)
    change = probe.change(model, base, now, task.questions(jnp.arange(task.number)), drawn.tokens)
    values = {
        "places": jnp.ones_like(change.kl),
        "reranked": change.reranked,
        "top": change.top,
        "kl": change.kl,
        "kl_reranked": change.kl * change.reranked,
        "similarity": change.similarity,
    }
    kinds = jnp.where(drawn.where, task.kinds(drawn.tokens), -1)
    masks = kinds[None] == jnp.arange(len(KINDS))[:, None, None, None]
    return {name: jnp.sum(masks * value[None], axis=(1, 2, 3)) for name, value in values.items()}


def random_change(
    key: Array, model: Model, task: Controlled, base: Params, now: Params, samples: int
) -> Params:
    """Another network as far from its base as a trained one: each matrix changed at random, to the same KL in all.

    The norms of the changes of the matrices are as those of the trained network, up to one factor, which a bisection
    finds: mean KL(now‖base) a token is the same, on samples of the base.

    Args:
      key: PRNG key of the change and of the samples.
      model, task: the network and its task.
      base, now: parameters.
      samples: of each question.

    Returns:
      Parameters.
    """
    asked, drawn = task.questions(jnp.arange(task.number)), sampled(key, model, task, base, samples)
    leaves, tree = jax.tree.flatten(jax.tree.map(lambda a, b: b - a, base, now))
    keys = jax.random.split(jax.random.fold_in(key, 1), len(leaves))
    normals = [jax.random.normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
    scaled = [n * jnp.linalg.norm(x) / jnp.linalg.norm(n) for n, x in zip(normals, leaves, strict=True)]
    direction = jax.tree.unflatten(tree, scaled)

    def moved(log_factor: Array) -> Params:
        return jax.tree.map(lambda a, d: a + jnp.exp(log_factor).astype(a.dtype) * d, base, direction)

    def distance(params: Params) -> Array:
        kl = probe.change(model, base, params, asked, drawn.tokens).kl
        return jnp.sum(jnp.where(drawn.where, kl, 0.0)) / jnp.sum(drawn.where)

    def halve(turn: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        """Take the distance of the trained network at first, then halve the bracket: one copy of the distance."""
        bracket, goal = state
        middle, first = jnp.mean(bracket), turn == 0
        there = distance(jax.tree.map(lambda a, b: jnp.where(first, a, b), now, moved(middle)))
        lower, upper = jnp.stack([bracket[0], middle]), jnp.stack([middle, bracket[1]])
        halved = jnp.where(there > goal, lower, upper)
        return jnp.where(first, bracket, halved), jnp.where(first, there, goal)

    ends = jnp.asarray(np.log([1e-2, 1e2]), leaves[0].dtype)
    start = ends, jnp.zeros((), jnp.promote_types(ends.dtype, jnp.float32))
    return moved(jnp.mean(jax.lax.fori_loop(0, HALVINGS + 1, halve, start)[0]))


def chosen(which: Array) -> SequenceReward:
    """One of `REWARDS` by its number, as one program; success rates are fixed by the task, see `Controlled.coin`."""
    right = reward.verifiable()
    parts = right, right, reward.self_certainty(), reward.verifiable(0.5, 0.5), right

    def function(params: dict[str, Any], key: Array, rollouts: Any, seen: Any) -> Array:
        return jnp.stack([part(key, rollouts, seen) for part in parts])[params["which"]]

    return SequenceReward("one of these", function, {"which": which})


def changes(
    keys: Array,
    model: Model,
    task: Controlled,
    base: Params,
    *,
    times: Sequence[int],
    rate: float,
    samples: int,
) -> xr.Dataset:
    """Train networks on every one of `REWARDS` by GRPO, and compare them with their base along the way.

    Args:
      keys: `[seeds]`, PRNG keys.
      model, task: the network and its task.
      base: parameters `[seeds]`.
      times: steps at which they are compared, even apart.
      rate: learning rate of Adam.
      samples: of each question.

    Returns:
      `SUMS` of [`compared`][], `[reward, seed, step, kind]`; the same after the last step, `[reward, seed, kind]`, of
      a random change as far from the base, `random_…`; and numbers of places and of changed ranks of another such
      change, `again_…`, and of a network that has learnt nothing, `fresh_…`.
    """
    seeds, every = len(keys), int(np.gcd.reduce(times))

    def train(key: Array, params: Params, which: Array) -> Any:
        own = replace(task, coin=which == REWARDS.index("RLVR, rates fixed"))
        options: dict[str, Any] = {"algorithm": grpo(GROUP), "steps": times[-1], "record_every": every}
        options |= {"questions": task.number, "learning_rate": rate, "reward": chosen(which)}
        return transformer.train(key, model, params, own, probe=lambda now: now, **options).seen

    def look(key: Array, params: Params, now: Params) -> dict[str, Array]:
        return compared(key, model, task, params, now, samples)

    def other(key: Array, params: Params, now: Params) -> Params:
        return random_change(key, model, task, params, now, samples)

    which = np.repeat(np.arange(len(REWARDS)), seeds)
    rows = jax.vmap(jax.random.fold_in)(jnp.tile(keys, len(REWARDS)), which)
    begun = jax.tree.map(lambda leaf: np.tile(leaf, (len(REWARDS), *[1] * (leaf.ndim - 1))), base)
    trained = jax.tree.map(np.asarray, transformer.side_by_side(train)(rows, begun, which))
    twice = jax.tree.map(lambda x: np.concatenate([x, x]), (begun, jax.tree.map(lambda x: x[:, -1], trained)))
    keys_of = jnp.concatenate([rows, jax.vmap(lambda key: jax.random.fold_in(key, 1))(rows)])
    both = jax.tree.map(np.asarray, transformer.side_by_side(other)(keys_of, *twice))
    random, again = (
        jax.tree.map(lambda x, i=i: x[i * len(rows) : (i + 1) * len(rows)], both) for i in (0, 1)
    )
    fresh = jax.vmap(lambda key: network.init(key, model))(rows)
    # One program compares all: the checkpoints of every run, random changes, and a network that knows nothing.
    at, count = [time // every for time in times], len(times) + 3
    now = jax.tree.map(
        lambda a, *more: np.concatenate([a[:, at], np.stack(more, axis=1)], axis=1).reshape(-1, *a.shape[2:]),
        *(trained, random, again, fresh),
    )
    repeated = jax.tree.map(lambda leaf: np.repeat(leaf, count, axis=0), begun)
    seen = transformer.side_by_side(look)(jnp.repeat(rows, count), repeated, now)
    seen = {
        name: np.asarray(value, float).reshape(len(REWARDS), seeds, count, -1) for name, value in seen.items()
    }
    values = {name: (("reward", "seed", "step", "kind"), seen[name][:, :, :-3]) for name in SUMS}
    for place, label, names in ((-3, "random", SUMS), (-2, "again", SUMS[:2]), (-1, "fresh", SUMS[:2])):
        values |= {f"{label}_{name}": (("reward", "seed", "kind"), seen[name][:, :, place]) for name in names}
    return lab.dataset(values, {"reward": list(REWARDS), "step": list(times), "kind": list(KINDS)})


def ratio(sums: xr.Dataset) -> xr.DataArray:
    """Share of tokens whose rank has changed, from sums `[..., kind]`."""
    return sums.reranked.sum("kind", skipna=False) / sums.places.sum("kind", skipna=False)

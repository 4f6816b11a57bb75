"""Whitened updates, masks of confident steps, and process rewards on shared prefixes, on random trees."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax.algorithm import rloo
from qra_jax.studies.credit._credit import full
from qra_jax.studies.credit._credit_clocks import GROUP, Array, advantages, drawn, states
from qra_jax.tree import Tree
from qra_jax.tree.credit import exact
from qra_jax.tree.moments import group_moments


def whitened(random: np.random.Generator, trees: int) -> dict[str, Array]:
    """Whitened exact credit against plain: gain and cosine of the mean, and standard deviations, `[trees]` each."""
    shape = full(2, 2)
    start, success = drawn(random, shape, trees)

    def one(row: Any) -> Any:
        tree = Tree(shape, row[0], row[1])
        return group_moments(tree, algorithm=rloo(GROUP), credit=exact(whiten=True))[0]

    mean = np.asarray(jax.jit(lambda rows: jax.lax.map(one, rows))((jnp.log(start), jnp.asarray(success))))
    at = states(shape, start, success)
    plain, origin = advantages(at), at.value[:, shape.origin]
    last, right = np.asarray(shape.children)[1:] == 0, at.value[:, 1:]
    square = np.where(last, right * (1 - origin) ** 2 + (1 - right) * origin**2, (right - origin) ** 2)
    of_steps = np.sqrt(np.sum(at.visit[:, 1:] * square, axis=1) / 2)
    product = np.sum(plain * mean, axis=1)
    rho = at.value[:, 0]
    return {
        "gain": product / np.sum(plain**2, axis=1),
        "cosine": product / np.linalg.norm(plain, axis=1) / np.linalg.norm(mean, axis=1),
        "of_steps": of_steps,
        "of_returns": np.sqrt(rho * (1 - rho)),
    }


def masked(random: np.random.Generator, trees: int, confident: float) -> Array:
    """What a mask of confident steps leaves of the mean push between two steps of a state that has such a step.

    Returns:
      `[credits, trees]`, by values and uniform: masked over whole, in the first such state of each tree; 1 where there
      is none.
    """
    shape = full(2, 3)
    policy, success = drawn(random, shape, trees, 0.4)
    at = states(shape, policy, success)
    found = np.ones((2, trees))
    for i, baseline in enumerate((at.value[:, shape.origin], np.broadcast_to(at.value[:, :1], policy.shape))):
        weight = at.visit[:, 1:] * (at.value[:, 1:] - baseline)
        kept = np.where(policy < confident, weight, 0.0)
        push = [x - x.reshape(trees, -1, 2).sum(-1).repeat(2, axis=1) * policy for x in (kept, weight)]
        rare = np.argmax((policy[:, ::2] >= confident) | (policy[:, 1::2] >= confident), axis=1)
        has = (
            np.take_along_axis(np.maximum(policy[:, ::2], policy[:, 1::2]), rare[:, None], 1)[:, 0]
            >= confident
        )
        first, whole = (np.take_along_axis(x[:, ::2], rare[:, None], 1)[:, 0] for x in push)
        found[i] = np.where(has, first / whole, np.nan)
    return found[:, ~np.isnan(found[0])]


def prefixes(random: np.random.Generator, groups: int) -> Array:
    """Cosines of GRPO's update of a group with that of a process reward on shared prefixes, `[rules, groups]`.

    The process reward of a step is the mean verdict of the rollouts of the group that share it; its advantage is taken
    over the group. Rules: each rollout is paid, each shared step is paid once, and GRPO's own update of another group.
    """
    shape, found, last = full(3, 3), [], None
    steps_of = np.array(shape.paths)
    while len(found) < groups:
        policy, success = drawn(random, shape, 1)
        chance = states(shape, policy, success).visit[0, shape.leaves]
        leaf = random.choice(len(chance), GROUP, p=chance / chance.sum())
        right = (random.random(GROUP) < success[0, leaf]).astype(float)
        if right.std() == 0:
            continue
        weight = (right - right.mean()) / right.std()
        taken = np.zeros((GROUP, shape.steps))
        np.put_along_axis(taken, steps_of[leaf], 1.0, axis=1)
        number = taken.sum(axis=0)
        paid = (taken.T @ right / np.maximum(number, 1) - right.mean()) / right.std()
        sums = weight @ taken, number * paid, np.where(number > 0, paid, 0.0)
        total = [x - x.reshape(-1, 3).sum(1).repeat(3) * policy[0] for x in sums]
        if not all(np.any(np.abs(x) > 1e-12) for x in total):
            continue
        own = total[0] / np.linalg.norm(total[0])
        others = [x / np.linalg.norm(x) for x in total[1:]] + ([] if last is None else [last])
        if last is not None:
            found.append([own @ x for x in others])
        last = own
    return np.array(found).T

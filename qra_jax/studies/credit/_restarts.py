"""Restarts from prefixes: a maze of four steps, a tree in which reflecting corrects, and where rollouts begin."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qra_jax import tree
from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem
from qra_jax.reward import Outcomes, Reward, verifiable
from qra_jax.shaping import laws
from qra_jax.tree import Shape, Tree, restarts

TASKS, DEPTH = ["maze", "hidden leaf"], 4
MAZE, HIDDEN = TASKS
"""Trees of the exact flows; steps of a solution in the maze."""
RIGHT = tuple(2**level - 1 for level in range(DEPTH))
WRONG = (0, *(2**level - 1 + 2 ** (level - 1) for level in range(1, DEPTH)))
"""States on the way to the answer, and on a way that begins with the wrong step."""
STARTS = (
    "the question",
    "right prefixes",
    "wrong prefixes",
    "any prefix",
    "own, of the base",
    "own, of the policy",
)
"""Where rollouts begin in the exact flows: prefixes of every length in equal parts, none at all among them."""
RUNS = {
    "correction, the question": (0, 0, 0, 0),
    "correction, good prefixes alone": (0, 0, 1, 1),
    "correction, restarts": (0, 0, 1, 2),
    "correction, restarts with the bonus": (0, 0, 1, 2),
    "maze, the question": (0,) * DEPTH,
    "maze, right prefixes": RIGHT,
    "maze, wrong prefixes": WRONG,
}
"""States of the four groups of a sampled step."""
COLD, REFLECTS = 0.1, 5
"""Chance of each right step in the sampled maze; the step of reflecting after a bad one."""


def maze(rate: Any) -> Tree:
    """Four steps, each right or not; a wrong one leads on, to wrong answers only. Right ones have this chance."""
    shape = Shape((2,) * (2**DEPTH - 1) + (0,) * 2**DEPTH)
    step = 2 * jnp.asarray(RIGHT)
    rate = jnp.asarray(rate, float)
    log_ref = (
        jnp.full(shape.steps, jnp.log(0.5)).at[step].set(jnp.log(rate)).at[step + 1].set(jnp.log1p(-rate))
    )
    return Tree(shape, log_ref, jnp.zeros(2**DEPTH).at[0].set(1.0))


def _early(first: Any, seconds: Any, success: Any) -> Tree:
    """A tree of the maze's shape in which two steps decide; what follows changes nothing."""
    asked = maze(0.5)
    chances = jnp.concatenate([jnp.stack([first, 1 - first]), jnp.asarray(seconds, float).reshape(-1)])
    rates = jnp.repeat(jnp.asarray(success), 2 ** (DEPTH - 2))
    return Tree(asked.shape, asked.log_ref.at[:6].set(jnp.log(chances)), rates)


def correction() -> Tree:
    """A good or a bad first step; after each one may answer at once, or reflect, which is rare."""
    return _early(jnp.asarray(0.4), [[0.95, 0.05], [0.95, 0.05]], [1.0, 0.6, 0.0, 0.8])


def hidden(first: Any) -> Tree:
    """The tree of `tree.instances.hidden`: the best leaf behind a first step of this chance that looks bad."""
    return _early(jnp.asarray(first), [[0.1, 0.9], [0.5, 0.5]], [0.9, 0.0, 0.5, 0.32])


def starts(asked: Tree, depth: int) -> Array:
    """Weights of starts where `depth` steps decide, `[STARTS, states]`; zero for own prefixes of the policy now."""
    count, states = asked.shape.depth, np.arange(asked.shape.states)
    rows = np.zeros((len(STARTS), len(states)))
    rows[0, 0] = 1.0
    for row, path in ((1, RIGHT), (2, WRONG)):
        rows[row, list(path[:depth])] = 1 / depth
    rows[3] = np.where(count < depth, 1 / (depth * 2.0**count), 0.0)
    return jnp.asarray(rows).at[4].set(own(asked, asked.log_ref, depth))


def own(asked: Tree, log_policy: Array, depth: Any) -> Array:
    """Chances that a rollout of the policy, cut after a random number of steps, ends in each state, `[states]`."""
    shape = asked.shape
    return jnp.where(shape.depth < depth, jnp.exp(shape.along(log_policy)), 0.0) / depth


def time_to(task: Any, chance: Any, start: Any, algorithm: Algorithm) -> dict[str, Array]:
    """Time of the exact flow to an accuracy from the question on, and tokens of a rollout at its start.

    Args:
      task: number of an entry of `TASKS`; may be traced.
      chance: of a right step in the maze, to .9; of the first step to the hidden leaf, to .85.
      start: number of an entry of `STARTS`; may be traced.
      algorithm: how rewards become weights.

    Returns:
      `time`, infinite where it is never reached, and `tokens`.
    """
    first, start = jnp.asarray(task, int) == 0, jnp.asarray(start, int)
    pick = lambda one, other: jax.tree.map(lambda x, y: jnp.where(first, x, y), one, other)  # noqa: E731
    trees = maze(chance), hidden(chance)
    asked, depth, target = pick(*trees), pick(DEPTH, 2), pick(0.9, 0.85)
    fixed = pick(starts(trees[0], DEPTH), starts(trees[1], 2))[start]
    moves = start == STARTS.index("own, of the policy")

    def weights(log_policy: Array) -> Array:
        return fixed + moves * own(asked, log_policy, depth)

    options = {"algorithm": algorithm, "event": "accuracy", "target": target}
    found = restarts.solve(asked, starts=weights, ts=jnp.asarray([1e14]), **options)
    left = jnp.maximum(depth - asked.shape.depth, 0)
    return {"time": found.stats["event_time"], "tokens": weights(asked.log_ref) @ left}


def first_step(asked: Tree, weights: Array) -> Array:
    """Largest mean update of the steps out of the question."""
    return jnp.max(jnp.abs(restarts.mean_update(asked, starts=weights)[: asked.shape.children[0]]))


def with_bonus(size: Any) -> Reward:
    """The verdict, plus `size` for a right answer from a bad start, less `size` for a wrong one from a good start."""
    return laws.made("verdict and bonus", verifiable(), {"size": size}, _with_bonus)


def _with_bonus(params: dict[str, Any], problem: Problem, log_policy: Array) -> Outcomes:
    values, chances = verifiable().outcomes(problem, log_policy)
    closed = jnp.isneginf(problem.log_ref)
    return values + bonus(params["size"], values, bad=closed[0], good=closed[-1]), chances


def groups(key: Array, algorithm: Algorithm, size: float) -> Array:
    """Distance of a random group's weights with the bonus from 1.5 times, and from once, those without: `[2]`.

    All of the group begin in a bad state, or all in a good one.
    """
    one, two, three = jax.random.split(key, 3)
    chance, bad = jax.random.uniform(two), jax.random.bernoulli(three)
    assert algorithm.group_size is not None
    right = (jax.random.uniform(one, (algorithm.group_size,)) < chance).astype(float)
    weights = [algorithm.weights(x) for x in (right + bonus(size, right, bad=bad, good=~bad), right)]
    return jnp.stack([jnp.max(jnp.abs(weights[0] - factor * weights[1])) for factor in (1.5, 1.0)])


def bonus(size: Any, right: Array, *, bad: Any, good: Any) -> Array:
    """What is added to the verdict of a rollout that begins in a bad state, or in a good one."""
    return size * (jnp.where(bad, right, 0.0) - jnp.where(good, 1 - right, 0.0))


def sampled(
    key: Array, kind: Any, size: Any, *, algorithm: Algorithm, rate: float, steps: int, every: int
) -> Array:
    """One run of sampled training on four groups a step, of which the policy from the question on is kept.

    Args:
      key: PRNG key.
      kind: number of an entry of `RUNS`; may be traced.
      size: of the bonus.
      algorithm: with a group size.
      rate: learning rate, of the sum over the groups.
      steps: updates.
      every: updates between records; divides them.

    Returns:
      Chance of reflecting after a bad step, and accuracy: `[2, records]`.
    """
    each = []
    for name, states in RUNS.items():
        asked = maze(COLD) if name.startswith("maze") else correction()
        each.append(restarts.questions(asked, states))
    trees, features = jax.tree.map(lambda *x: jnp.stack(x)[jnp.asarray(kind, int)], *each)
    run = tree.train(
        key,
        trees,
        steps=steps,
        algorithm=algorithm,
        learning_rate=rate,
        features=features,
        reward=with_bonus(size),
        record_every=every,
    )
    asked, now = jax.tree.map(lambda x: x[0], trees), run.log_policy[0]
    return jnp.stack([jnp.exp(now[:, REFLECTS]), jnp.exp(asked.leaf_log_policy(now)) @ asked.success])

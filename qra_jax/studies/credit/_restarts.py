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
from qra_jax.tree import Shape, Tree, instances, restarts

DEPTH = 4
"""Steps of a solution in the maze, a quarter each."""
RIGHT = tuple(2**level - 1 for level in range(DEPTH))
WRONG = (0, *(2**level - 1 + 2 ** (level - 1) for level in range(1, DEPTH)))
"""States on the way to the answer, and on a way that begins with the wrong step."""
STARTS = (
    "the question",
    "hints",
    "hints, never without",
    "hints with three quarters",
    "wrong hints",
    "any prefix",
    "own prefixes, of the base",
    "own prefixes, of the policy",
)
SIDES = ("the question", "every state", "own prefixes, of the base", "the usual side")
"""Where rollouts begin in the maze, and in the tree with a hidden leaf."""
RESTARTED = {"the question": (0, 0, 0, 0), "restarts": (0, 0, 1, 2)}
HINTED = {"the question": (0,) * DEPTH, "hints": RIGHT, "wrong hints": WRONG}
"""States of the four groups of a sampled step."""


def maze(rate: Any) -> Tree:
    """Four steps, each right or not; a wrong one leads on, to wrong answers only. Right ones have this chance."""
    shape = Shape((2,) * (2**DEPTH - 1) + (0,) * 2**DEPTH)
    step = 2 * jnp.asarray(RIGHT)
    rate = jnp.asarray(rate, float)
    log_ref = (
        jnp.full(shape.steps, jnp.log(0.5)).at[step].set(jnp.log(rate)).at[step + 1].set(jnp.log1p(-rate))
    )
    return Tree(shape, log_ref, jnp.zeros(2**DEPTH).at[0].set(1.0))


def correction() -> Tree:
    """A good or a bad first step, after each of which one may answer at once or reflect, which is rare."""
    return Tree.from_nested(
        {
            "steps": [
                {
                    "name": "good",
                    "chance": 0.4,
                    "steps": [{"chance": 0.95, "success": 1.0}, {"chance": 0.05, "success": 0.6}],
                },
                {
                    "name": "bad",
                    "chance": 0.6,
                    "steps": [{"chance": 0.95, "success": 0.0}, {"chance": 0.05, "success": 0.8}],
                },
            ]
        }
    )


def weights(asked: Tree) -> Array:
    """Weights of the starts in the maze, `[starts, states]`; own prefixes of the policy are [`own`][]'s."""
    shape, none = asked.shape, jnp.zeros(asked.shape.states)
    level = lambda states, share: none.at[jnp.asarray(states)].set(share)  # noqa: E731
    size = 2.0 ** shape.depth[: 2**DEPTH - 1]
    rows = [
        level([0], 1.0),
        level(RIGHT, 1 / DEPTH),
        level(RIGHT[1:], 1 / (DEPTH - 1)),
        level(RIGHT[-1:], 1.0),
        level(WRONG, 1 / DEPTH),
        none.at[: 2**DEPTH - 1].set(1 / (DEPTH * size)),
        own(asked, asked.log_ref),
        none,
    ]
    return jnp.stack(rows)


def own(asked: Tree, log_policy: Array) -> Array:
    """Prefixes of the policy's rollouts, cut after a random number of steps: chances of each state, `[states]`."""
    shape = asked.shape
    inner = jnp.asarray(np.asarray(shape.children) > 0)
    return jnp.where(inner, jnp.exp(shape.along(log_policy)), 0.0) / shape.depth[-1]


def time_in_maze(rate: Any, arm: Any, algorithm: Algorithm, target: float) -> Array:
    """Time of the exact flow to an accuracy from the question, infinite where it is never reached."""
    asked = maze(rate)
    fixed = weights(asked)[jnp.asarray(arm, int)]
    now = jnp.asarray(arm, int) == STARTS.index("own prefixes, of the policy")
    found = restarts.solve(
        asked,
        starts=lambda log_policy: fixed + now * own(asked, log_policy),
        ts=jnp.asarray([1e14]),
        algorithm=algorithm,
        event="accuracy",
        target=target,
    )
    return found.stats["event_time"]


def time_behind(first: Any, arm: Any, target: float) -> Array:
    """Time of the exact flow to a share of the best leaf, which is hidden behind a bad first step of this chance."""
    asked = instances.hidden()
    chance = jnp.stack([first, 1 - first]).astype(asked.log_ref.dtype)
    asked = asked.with_ref(asked.log_ref.at[:2].set(jnp.log(chance)))
    root = jnp.zeros(asked.shape.states).at[0].set(1.0)
    rows = [root, root.at[:3].set(1 / 3), own(asked, asked.log_ref), root.at[jnp.asarray([0, 2])].set(0.5)]
    fixed = jnp.stack(rows)[jnp.asarray(arm, int)]
    options = {"ts": jnp.asarray([1e14]), "event": "best", "target": target}
    return restarts.solve(asked, starts=fixed, **options).stats["event_time"]


def first_step(asked: Tree, starts: Array) -> Array:
    """Largest mean update of the steps out of the question."""
    slope = restarts.mean_update(asked, starts=starts)
    return jnp.max(jnp.abs(slope[: asked.shape.children[0]]))


def corrected(size: Any) -> Reward:
    """The verdict, plus `size` for a right answer from a bad start, less `size` for a wrong one from a good start."""
    return laws.made("verdict and bonus", verifiable(), {"size": size}, _corrected)


def _corrected(params: dict[str, Any], problem: Problem, log_policy: Array) -> Outcomes:
    values, chances = verifiable().outcomes(problem, log_policy)
    closed = jnp.isneginf(problem.log_ref)
    return values + bonus(params["size"], values, bad=closed[0], good=closed[-1]), chances


def bonus(size: Any, right: Array, *, bad: Any, good: Any) -> Array:
    """What is added to the verdict of a rollout that begins in a bad state, or in a good one."""
    return size * (jnp.where(bad, right, 0.0) - jnp.where(good, 1 - right, 0.0))


def sampled(
    key: Array,
    asked: Tree,
    lists: dict[str, tuple[int, ...]],
    arm: Any,
    *,
    algorithm: Algorithm,
    rate: float,
    steps: int,
    every: int,
    size: Any = None,
) -> Array:
    """Log-probabilities of the steps from the question along sampled training, `[records, steps]`."""
    each = [restarts.questions(asked, states) for states in lists.values()]
    trees, features = jax.tree.map(lambda *x: jnp.stack(x)[jnp.asarray(arm, int)], *each)
    options: dict[str, Any] = {} if size is None else {"reward": corrected(size)}
    run = tree.train(
        key,
        trees,
        steps=steps,
        algorithm=algorithm,
        learning_rate=rate,
        features=features,
        record_every=every,
        **options,
    )
    return run.log_policy[0]

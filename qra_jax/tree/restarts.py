r"""Restarts: rollouts that begin at a state within the tree in place of the question.

The steps on the way to the start are given; what is trained are the choices from there on. With weights $w_a$ of the
starts, each of which has groups of its own, an update has the mean

$$ \dot\theta_c = m(s)\,\pi(c\mid s)\,[V(c)-V(s)],\qquad m(s) = \sum_a w_a\,c(V(a))\,P(a\to s), $$

with c the clock of the algorithm and $P(a\to s)$ the chance that a rollout from a comes through s. A hint is a start on
the way to a right answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from qra_jax import _check
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.flow import event as events
from qra_jax.flow.solver import default_options
from qra_jax.reward import Reward, verifiable
from qra_jax.tree.credit import uniform
from qra_jax.tree.model import Tree
from qra_jax.tree.result import TreeTrajectory
from qra_jax.tree.solver import follow_logits
from qra_jax.tree.training import check
from qra_jax.tree.values import values

_REINFORCE, _VERIFIABLE = reinforce(), verifiable()
Starts = Float[Any, " states"] | Sequence[float | int]


def questions(tree: Tree, states: Sequence[int]) -> tuple[Tree, Float[Array, "questions steps steps"]]:
    r"""A question for each start, all with one policy: for [`train`][qra_jax.tree.train].

    Question q is the same tree whose steps on the way to state q are certain; features Φ_q = 1 on all other steps let
    the questions share their parameters, $\theta_q = \log\pi_{{\rm ref},q} + \Phi_q w$. Gradients of the questions are
    summed. In a question that starts from state 0 the log-probabilities are those of the policy itself.

    Args:
      tree: the question.
      states: where rollouts begin, inner states by their number; one may be there several times.

    Returns:
      The stacked trees, and the features `[questions, steps, steps]`.

    Raises:
      ValueError: no state, one that the tree does not have, or a leaf, where nothing is left to choose.

    >>> from qra_jax.tree import instances
    >>> asked, features = questions(instances.chain([.5, .5]), [0, 1])
    >>> asked.accuracy_ref.tolist(), features.shape
    ([0.25, 0.5], (2, 4, 4))
    """
    shape = tree.shape
    if tree.log_ref.ndim != 1:
        raise ValueError(f"tree: log_ref has shape {tree.log_ref.shape}; must be a single tree, [steps]")
    if not len(states):
        raise ValueError("states: empty; must be one or more inner states")
    given, taken = np.zeros((2, len(states), shape.steps), bool)
    for row, start in enumerate(states):
        state = _check.integer(f"states[{row}]", start, low=0)
        if state >= shape.states or not shape.children[state]:
            known = f"{tree.name(state)}, a leaf" if state < shape.states else f"{state}"
            raise ValueError(
                f"states[{row}]: {known}; must be an inner state, one of {shape.inner[:8].tolist()}"
                f"{' …' if len(shape.inner) > 8 else ''}"
            )
        while state:
            taken[row, state - 1] = True
            state = int(shape.origin[state - 1])
            given[row] |= shape.origin == state
    log_ref = jnp.where(given, jnp.where(taken, 0.0, -jnp.inf), tree.log_ref[None])
    stack = lambda x: None if x is None else jnp.broadcast_to(x[None], (len(states), *x.shape))  # noqa: E731
    stacked = replace(
        tree,
        log_ref=log_ref.astype(tree.log_ref.dtype),
        success=stack(tree.success),
        lengths=stack(tree.lengths),
        process=stack(tree.process),
    )
    free = jnp.asarray(~given, tree.log_ref.dtype)
    return stacked, free[:, :, None] * jnp.eye(shape.steps, dtype=tree.log_ref.dtype)[None]


def mean_update(
    tree: Tree,
    log_policy: Float[Array, " steps"] | None = None,
    *,
    starts: Starts,
    algorithm: Algorithm = _REINFORCE,
    reward: Reward = _VERIFIABLE,
) -> Float[Array, " steps"]:
    r"""Expected update of the logits at unit learning rate, each start with groups of its own.

    Args:
      tree: the question.
      log_policy: `[steps]`, log π(step | state); default: the reference policy.
      starts: `[states]`, weights w ≥ 0 of the states that rollouts begin at; a weight of a leaf has no effect.
      algorithm: how rewards become weights; its clock is that of the accuracy from each start.
      reward: a binary reward.

    Returns:
      `[steps]`; sums to zero over the steps of each state. With weight one at the question alone it is
      [`mean_update`][qra_jax.tree.mean_update].

    Raises:
      ValueError: weights of another number or out of range, an algorithm without a clock, or a reward that is not
        binary.

    Reference: Shen et al., arXiv 2502.02508 (restarts); the mean is derived here.
    """
    check(tree, algorithm, reward, uniform(), "flow")
    if not reward.binary:
        raise ValueError(f"reward: {reward.name!r} is real-valued; must be binary for starts to have clocks")
    log_policy = tree.log_ref if log_policy is None else tree.shape.log_softmax(log_policy)
    return _update(tree, algorithm, reward, log_policy, _weights(tree, starts))


def _weights(tree: Tree, starts: Any) -> Array:
    found = jnp.asarray(_check.nonnegative("starts", starts, ndim=1), tree.log_ref.dtype)
    if found.shape != (tree.shape.states,):
        raise ValueError(f"starts: length {found.shape[0]}; must be {tree.shape.states}, one a state")
    return found


def _update(tree: Tree, algorithm: Algorithm, reward: Reward, log_policy: Array, starts: Array) -> Array:
    shape, policy = tree.shape, jnp.exp(log_policy)
    known = values(tree, log_policy, reward=reward)
    through = starts * algorithm.clock(known.value, 1 - known.value)
    for depth in range(1, int(shape.depth[-1])):
        steps = np.flatnonzero(shape.depth[1:] == depth)
        through = through.at[steps + 1].add(policy[steps] * through[shape.origin[steps]])
    return through[shape.origin] * policy * known.advantage


def solve(
    tree: Tree,
    *,
    starts: Starts | Callable[[Array], Array],
    ts: Any,
    algorithm: Algorithm = _REINFORCE,
    reward: Reward = _VERIFIABLE,
    event: str | None = None,
    target: ArrayLike = 0.99,
    max_steps: int = 4096,
) -> TreeTrajectory:
    r"""Solve the gradient flow of expected training with restarts, $\dot\theta$ = [`mean_update`][], from t = 0.

    Args:
      tree: the question; accuracies are those from the question on.
      starts: `[states]`, weights of the states that rollouts begin at, or a function that gives them for
        `[steps]` log π, such as restarts from the policy's own rollouts.
      ts: `[times]`, when to save; increasing, zero or above; unit learning rate.
      algorithm: how rewards become weights.
      reward: a binary reward.
      event: as in [`qra_jax.tree.solve`][].
      target: of the event.
      max_steps: of the solver, ≥ 1.

    Returns:
      A [`TreeTrajectory`][qra_jax.tree.TreeTrajectory]; `stats["event_time"]` as in [`qra_jax.flow.solve`][].

    Raises:
      ValueError: as in [`mean_update`][] and [`qra_jax.tree.solve`][].

    >>> from qra_jax.tree import instances
    >>> hinted = solve(instances.chain([.1, .1]), starts=[.5, .5, 0, 0, 0], ts=[50.])
    >>> float(hinted.accuracy[0].round(3)) > .5
    True
    """
    check(tree, algorithm, reward, uniform(), "flow")
    if not reward.binary:
        raise ValueError(f"reward: {reward.name!r} is real-valued; must be binary for starts to have clocks")
    dtype, times = tree.log_ref.dtype, _check.times("ts", ts)
    events.check(event, target)
    moving, fixed = (starts, None) if callable(starts) else (None, _weights(tree, starts))
    given = jnp.asarray(times, dtype), jnp.asarray(target, dtype)
    options = default_options(dtype, max_steps=max_steps)
    return _solve(tree, algorithm, reward, fixed, *given, moving=moving, event=event, **options)


@partial(jax.jit, static_argnames=("moving", "event", "solver", "max_steps", "adjoint"))
def _solve(
    tree: Tree,
    algorithm: Algorithm,
    reward: Reward,
    fixed: Array | None,
    ts: Array,
    target: Array,
    *,
    moving: Callable[[Array], Array] | None,
    event: str | None,
    **options: Any,
) -> TreeTrajectory:
    def velocity(log_policy: Array) -> Array:
        weights = fixed if moving is None else moving(log_policy)
        assert weights is not None
        return _update(tree, algorithm, reward, log_policy, weights)

    return follow_logits(tree, tree.log_ref, velocity, ts, target, event=event, **options)

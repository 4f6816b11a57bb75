"""Gradient flow of a policy over a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from qra_jax import _check
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.flow import event as events
from qra_jax.flow.solver import default_options, follow
from qra_jax.flow.system import guarded_system
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward, verifiable
from qra_jax.trajectory import Status
from qra_jax.tree.credit import Credit, uniform
from qra_jax.tree.model import Tree
from qra_jax.tree.moments import update_function
from qra_jax.tree.result import TreeTrajectory
from qra_jax.tree.training import check
from qra_jax.tree.values import of_one_question

_REINFORCE, _VERIFIABLE, _UNIFORM = reinforce(), verifiable(), uniform()


def solve(
    tree: Tree,
    *,
    ts: Any,
    algorithm: Algorithm = _REINFORCE,
    reward: Reward = _VERIFIABLE,
    regularizers: Sequence[Regularizer] = (),
    credit: Credit = _UNIFORM,
    log_policy0: Float[Array, " steps"] | None = None,
    event: str | None = None,
    target: ArrayLike = 0.99,
    solver: diffrax.AbstractSolver | None = None,
    stiff: bool = False,
    rtol: ArrayLike | None = None,
    atol: ArrayLike | None = None,
    max_steps: int = 4096,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> TreeTrajectory:
    r"""Solve the gradient flow of expected training, $\dot\theta$ = [`mean_update`][], from t = 0.

    Args:
      tree: the question.
      ts: `[times]`, when to save; increasing, zero or above; unit learning rate.
      algorithm: its clock sets the speed; without a group size, that of the limit G → ∞.
      reward: what an answer earns.
      regularizers: terms on the distribution of whole paths.
      credit: how steps are paid. Where its mean is that of uniform credit, so is the flow.
      log_policy0: `[steps]`, logits at t = 0; default: the reference policy.
      event: stop early: `"best"` when π(best leaf) ≥ target, `"accuracy"` when ρ ≥ target, `"peak"` when ρ stops
        rising, `"steady"` when every logit is slower than target.
      target: in (0, 1); above 0 for `"steady"`.

    The others are those of [`qra_jax.flow.solve`][]: `solver`, `stiff`, `rtol`, `atol`, `max_steps`, `adjoint`.

    Returns:
      A [`TreeTrajectory`][]; `stats["event_time"]` as in [`qra_jax.flow.solve`][].

    Raises:
      ValueError: an argument out of range, or a combination without meaning.

    >>> from qra_jax.tree import instances
    >>> solve(instances.chain([.5, .5]), ts=[10.]).accuracy.round(3).tolist()
    [0.836]
    """
    check(tree, algorithm, reward, credit, "flow")
    of_one_question(tree, None)
    terms = _check.parts("regularizers", regularizers, Regularizer)
    dtype, ts = tree.log_ref.dtype, _check.times("ts", ts)
    events.check(event, target)
    start = tree.log_ref if log_policy0 is None else jnp.asarray(log_policy0, dtype)
    if start.shape != tree.log_ref.shape:
        raise ValueError(f"log_policy0: shape {start.shape}; must be {tree.log_ref.shape}")
    adjoint = diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint
    options = default_options(
        dtype, solver=solver, stiff=stiff, rtol=rtol, atol=atol, max_steps=max_steps, adjoint=adjoint
    )
    given = jnp.asarray(ts, dtype), jnp.asarray(target, dtype)
    return _solve(tree, start, algorithm, reward, terms, credit, *given, event=event, **options)


@partial(jax.jit, static_argnames=("event", "solver", "max_steps", "adjoint"))
def _solve(
    tree: Tree,
    start: Array,
    algorithm: Algorithm,
    reward: Reward,
    terms: tuple[Regularizer, ...],
    credit: Credit,
    ts: Array,
    target: Array,
    *,
    event: str | None,
    **options: Any,
) -> TreeTrajectory:
    update = update_function(tree, algorithm, reward, terms, credit)
    return follow_logits(tree, start, update, ts, target, event=event, **options)


def follow_logits(
    tree: Tree,
    start: Array,
    velocity: Callable[[Array], Array],
    ts: Array,
    target: Array,
    *,
    event: str | None,
    **options: Any,
) -> TreeTrajectory:
    """Follow the logits of a tree's steps along a velocity.

    Args:
      tree: the question.
      start: `[steps]`, logits at t = 0; steps at −inf stay there.
      velocity: of the logits, a function of `[steps]` log π.
      ts: `[times]`, when to save.
      target: of the event.
      event: as in [`solve`][].
      **options: those of `qra_jax.flow.solver.follow`.

    Returns:
      A [`TreeTrajectory`][].
    """
    shape, alive = tree.shape, ~jnp.isneginf(start)

    def log_policy_of(theta: Array) -> Array:
        return shape.log_softmax(jnp.where(alive, theta, -jnp.inf))

    def observe(theta: Array) -> tuple[Array, Array]:
        return tree.leaf_log_policy(log_policy_of(theta)), tree.success

    system = guarded_system(
        shape.log_softmax(start), alive, lambda theta: velocity(log_policy_of(theta)), observe, True
    )
    remaining = None if event is None else events.condition(event, target, tree.flat(), system)
    found = follow(system, ts=ts, remaining=remaining, **options)
    valid = found.status != Status.INVALID
    log_policy = jnp.where(valid, jax.vmap(log_policy_of)(found.states), jnp.nan)
    return TreeTrajectory(tree, ts, log_policy, found.status, found.stats)

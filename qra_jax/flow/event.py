"""Conditions that end a flow early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _check, metrics
from qra_jax._bisection import BracketedBisection
from qra_jax.flow.system import State, System
from qra_jax.problem import Problem

EVENTS = ("best", "accuracy", "peak", "steady")
"""π(best) ≥ target; accuracy ≥ target; accuracy stops rising; every logit slower than target."""


def check(event: str | None, target: Any) -> None:
    """Reject unknown events and targets out of range.

    Raises:
      ValueError: an unknown event; a target outside (0, 1), or not positive for `"steady"`.
    """
    if event is None:
        return
    _check.choice("event", event, EVENTS)
    if event == "steady":
        _check.positive("target", target)
    elif event != "peak":
        _check.open_unit_interval("target", target)


def condition(event: str, target: Array, problem: Problem, system: System) -> Callable[[State], Array]:
    """A smooth function of the state: positive before the event, zero or negative once it has happened."""

    def accuracy(state: State) -> Array:
        log_policy, success = system.observe(state)
        return metrics.accuracy(log_policy, success)

    def best(state: State) -> Array:
        log_policy, _ = system.observe(state)
        others = jnp.where(jnp.arange(problem.patterns) == problem.best, -jnp.inf, log_policy)
        some = jnp.any(~jnp.isneginf(others))
        log_rest = jnp.where(some, jax.nn.logsumexp(jnp.where(some, others, 0.0)), -jnp.inf)
        return metrics.logit(target) - (log_policy[problem.best] - log_rest)

    def slope(state: State) -> Array:
        return jax.jvp(accuracy, (state,), (system.velocity(state),))[1]

    def speed(state: State) -> Array:
        return (
            jnp.max(jnp.stack([jnp.max(jnp.abs(v)) for v in jax.tree.leaves(system.velocity(state))]))
            - target
        )

    def short(state: State) -> Array:
        return target - accuracy(state)

    return {"best": best, "accuracy": short, "peak": slope, "steady": speed}[event]


def root_finder(dtype: Any) -> BracketedBisection:
    """Locates an event within the last step to the precision of `dtype`."""
    return BracketedBisection(rtol=4 * float(jnp.finfo(dtype).eps), atol=0.0, flip=True)

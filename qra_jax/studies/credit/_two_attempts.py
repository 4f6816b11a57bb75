"""The two-attempt bandit with a hidden type: best policies by enumeration, and flows on its tree."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qra_jax import tree
from qra_jax.algorithm import Algorithm
from qra_jax.tree import Tree, instances

PRIORS = {"even": (1 / 3, 1 / 3, 1 / 3), "uneven": (0.5, 0.3, 0.2), "one likely": (0.8, 0.15, 0.05)}
"""Of three types, none of them needs more than two attempts in mind."""


def bandit(prior: Sequence[float]) -> Tree:
    """Two attempts at a type with this prior, from even choices."""
    return instances.two_attempts(prior, (1 / 3,) * 3)


def known(asked: Tree, kind: Any) -> Tree:
    """The same attempts at a type that is known: right where one of them is it."""
    first, second = np.meshgrid(np.arange(3), np.arange(3), indexing="ij")
    right = (first.ravel() == kind) | (second.ravel() == kind)
    return replace(asked, success=jnp.asarray(right, asked.success.dtype))


def enumerated(asked: Tree) -> float:
    """Value of the best policy: all first choices, each with all second ones for each failed first."""
    rate = np.asarray(asked.success).reshape(3, 3)
    return max(rate[a, seconds[a]] for a in range(3) for seconds in itertools.product(range(3), repeat=3))


def alike(prior: Sequence[float]) -> float:
    r"""Value of the best policy with one distribution for both attempts, whatever failed.

    It maximises $\sum_z w_z(1-(1-\pi_z)^2)$, so that $w_z(1-\pi_z)$ is the same for all types that are tried.
    """
    weights = np.sort(np.asarray(prior, float))[::-1]
    best = 0.0
    for count in range(1, len(weights) + 1):
        own = weights[:count]
        if (own <= 0).any():
            break
        level = (count - 1) / np.sum(1 / own)
        if (own >= level).all():
            best = max(best, float(np.sum(own * (1 - (level / own) ** 2))))
    return best


def markov(asked: Tree, rest: Any, away: float = 0.02) -> Array:
    """Logits of a policy that mostly tries type 0, and after a failure the same again with chance 1 − rest."""
    choice = jnp.eye(3) * (1 - rest) + (1 - jnp.eye(3)) * rest / 2
    first = jnp.asarray([1 - away, away / 2, away / 2])
    return jnp.log(jnp.concatenate([first, choice.reshape(-1)]).astype(asked.log_ref.dtype))


def drawn(key: Array) -> Array:
    """Logits of a random policy, every choice uniform on the simplex."""
    logits = jax.random.loggamma(key, 1.0, (4, 3)).reshape(-1)
    return bandit(PRIORS["even"]).shape.log_softmax(logits)


def value(asked: Tree, log_policy: Array) -> Array:
    """Chance to solve the question."""
    return jnp.exp(asked.leaf_log_policy(log_policy)) @ asked.success


def followed(asked: Tree, start: Array, time: Any, algorithm: Algorithm) -> Array:
    """The policy that gradient flow has reached, `[steps]`."""
    return tree.solve(asked, log_policy0=start, ts=jnp.stack([time]), algorithm=algorithm).log_policy[-1]


def second(log_policy: Array) -> Array:
    """Probabilities or updates of second attempts after each first one, `[first, second]`."""
    return log_policy[3:].reshape(3, 3)

"""What a policy chooses: one pattern, as here, or the steps of a path one after the other (see `qra_jax.tree`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import regularizer
from qra_jax.training.groups import Shares


class Scene(NamedTuple):
    """What credit may depend on beside the rollouts of a group."""

    log_policy: Array
    """Of the policy that is sampled from, `[choices, *cells]`."""
    rates: Array | None
    """Expected reward of each pattern, `[patterns, *cells]`."""
    critic: Array | None
    """A learnt critic's values, where there is one."""
    numbers: dict[str, Any]
    """The numbers of the credit by name."""
    seed: Array
    """`[2, *cells]`, the key of each cell."""
    index: Array
    """Which step of training this is."""
    clock: Callable[[Array, Array], Array] | None
    """Speed of the algorithm by mean reward and miss."""
    tables: Any
    """Weights by size of a group and number of right rollouts, where credit needs them."""
    group: Array
    """Rollouts in a group."""
    expected: bool
    """Shares are expectations."""


@runtime_checkable
class Choice(Protocol):
    """How logits become probabilities of patterns, and weights of patterns a gradient of the logits."""

    @property
    def critic(self) -> bool:
        """Whether credit keeps a learnt critic from step to step."""
        ...

    @property
    def needs(self) -> str | None:
        """What credit takes in place of the weights of patterns: `"values"` of states, or groups of `"siblings"`."""
        ...

    @property
    def counted(self) -> bool:
        """Whether credit takes the number of rollouts of each pattern."""
        ...

    def log_softmax(self, logits: Array) -> Array: ...
    def softmax(self, logits: Array) -> Array: ...
    def scores(self, logits: Array) -> Array: ...
    def credit(self, shares: Shares, scene: Scene) -> Shares: ...
    def learn(self, shares: Shares, scene: Scene) -> Array | None: ...
    def gradient(self, weights: Array, policy: Array, alive: Array, geometry: str) -> Array: ...
    def entropy_term(self, weights: Array, log_policy: Array, numbers: dict[str, Any]) -> Array | None: ...
    def spread(self, of_patterns: Array) -> Array: ...
    def sums(self, policy: Array) -> Array: ...
    def velocity(
        self,
        terms: Sequence[Callable[[Array, Array], Array]],
        log_policy: Array,
        log_ref: Array,
        geometry: str,
    ) -> Array: ...


@dataclass(frozen=True)
class Flat:
    """One decision, between patterns."""

    critic: bool = False
    needs: str | None = None
    counted: bool = False

    def log_softmax(self, logits: Array) -> Array:
        """Log-probability of each choice, `[choices, *cells]`."""
        return jax.nn.log_softmax(logits, axis=0)

    def softmax(self, logits: Array) -> Array:
        """Probability of each choice."""
        return jax.nn.softmax(logits, axis=0)

    def scores(self, logits: Array) -> Array:
        """Log-probability of each pattern up to a constant, `[patterns, *cells]`."""
        return logits

    def credit(self, shares: Shares, scene: Scene) -> Shares:
        """Weights of choices from those of patterns."""
        return shares

    def learn(self, shares: Shares, scene: Scene) -> Array | None:
        """The critic after a group."""
        return None

    def gradient(self, weights: Array, policy: Array, alive: Array, geometry: str) -> Array:
        """Gradient of the logits from summed weights of choices, before regularizers."""
        total = jnp.sum(weights, axis=0, keepdims=True)
        if geometry == "natural":
            share = jnp.where(policy > 0, weights / jnp.where(policy > 0, policy, 1.0), 0.0)
            return jnp.where(alive, share - total, 0.0)
        return weights - total * policy

    def entropy_term(self, weights: Array, log_policy: Array, numbers: dict[str, Any]) -> Array | None:
        """Gradient of entropies weighed by advantages, where credit has such a term."""
        return None

    def spread(self, of_patterns: Array) -> Array:
        """Sum over the patterns that each choice leads to."""
        return of_patterns

    def sums(self, policy: Array) -> Array:
        """Sums of what must be distributions, `[distributions, *cells]`."""
        return jnp.sum(policy, axis=0, keepdims=True)

    def velocity(
        self,
        terms: Sequence[Callable[[Array, Array], Array]],
        log_policy: Array,
        log_ref: Array,
        geometry: str,
    ) -> Array:
        """Gradient of the logits from advantages of patterns, for one run."""
        return regularizer.velocity(terms, log_policy, log_ref, geometry)

"""A tree's choices for the training loop: paths for patterns, and credit for their steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from qra_jax import _bernstein
from qra_jax.training import bits
from qra_jax.training.choice import Scene
from qra_jax.training.groups import Shares
from qra_jax.training.lanes import expand
from qra_jax.tree.shape import Shape

VALUE_STREAM = 4
"""Stream of the numbers behind Monte-Carlo values."""
MOST_PRODUCTS = 64
"""Tries up to which binomial chances are products one of the next: 2⁻ᴷ is no zero in any precision."""
TINY = 1e-8
"""Added to the standard deviation by which advantages are divided."""


@dataclass(frozen=True)
class Paths:
    """A `Choice` (see `qra_jax.training.choice`) of steps, paid by a `Credit` whose numbers travel apart.

    Attributes:
      shape: of the tree.
      source, rollouts, bounds, whiten: as in [`Credit`][qra_jax.tree.credit.Credit].
    """

    shape: Shape
    source: str = "return"
    rollouts: int | None = None
    bounds: tuple[int, ...] | None = None
    whiten: bool = False

    @property
    def critic(self) -> bool:
        """Whether a learnt critic is kept."""
        return self.source == "critic"

    @property
    def needs(self) -> str | None:
        """`"values"` of states or groups of `"siblings"`, where steps are not paid by the weights of whole rollouts."""
        if self.source == "siblings":
            return "siblings"
        return "values" if self.source in ("exact", "rollouts", "critic") else None

    @property
    def counted(self) -> bool:
        """Whether the number of rollouts of each leaf is needed."""
        return self.source != "return"

    def log_softmax(self, logits: Array) -> Array:
        """Log-probability of each step in its state, `[steps, *cells]`."""
        return self.shape.log_softmax(logits)

    def softmax(self, logits: Array) -> Array:
        """Probability of each step in its state."""
        return self.shape.softmax(logits)

    def scores(self, logits: Array) -> Array:
        """Log-probability of each leaf up to a constant, `[leaves, *cells]`."""
        return self.shape.scores(logits)

    def spread(self, of_patterns: Array) -> Array:
        """Sum over the leaves behind each step, `[steps, *cells]`."""
        return self.shape.back_up(of_patterns)[1:]

    def sums(self, policy: Array) -> Array:
        """Sum over the steps of each state, `[inner, *cells]`."""
        return self.shape.total(policy)

    def gradient(self, weights: Array, policy: Array, alive: Array, geometry: str) -> Array:
        r"""$X_c - \pi(c\mid s)\sum_{c'}X_{c'}$ for summed weights X of steps."""
        return weights - self.shape.over(self.shape.total(weights)) * policy

    def velocity(
        self,
        terms: Sequence[Callable[[Array, Array], Array]],
        log_policy: Array,
        log_ref: Array,
        geometry: str,
    ) -> Array:
        """Gradient of the logits from advantages of whole paths, for one run."""
        paths, anchor = (jax.nn.log_softmax(self.scores(z)) for z in (log_policy, log_ref))
        advantage = jnp.zeros_like(paths)
        for term in terms:
            advantage = advantage + term(paths, anchor)
        advantage = jnp.where(jnp.isneginf(paths), 0.0, advantage)
        policy, chance = jnp.exp(log_policy), jnp.exp(paths)
        weights = self.shape.back_up(chance * (advantage - jnp.sum(chance * advantage)))
        # Weights of whole paths are centred: what comes through the question sums to zero.
        through = self.shape.of_inner(weights).at[0].set(0.0)
        return weights[1:] - policy * self.shape.over(through)

    def credit(self, shares: Shares, scene: Scene) -> Shares:
        """Summed weights of the rollouts that take each step."""
        if self.needs is None:
            up, down = self.spread(shares.up), None if shares.down is None else self.spread(shares.down)
            count = None if shares.count is None else self.spread(shares.count)
            if self.source == "process":
                assert count is not None
                paid = self._process(count, scene)
                if down is None:
                    up = up + paid
                else:  # each part is clipped by its own sign
                    up, down = up + jnp.maximum(paid, 0.0), down + jnp.minimum(paid, 0.0)
        elif self.source == "siblings":
            up, down, count = self._siblings(shares, scene)
        else:
            up, down, count = self._by_values(shares, scene), None, None
        if scene.numbers["confident"] is not None:
            trained = jnp.exp(scene.log_policy) < expand(scene.numbers["confident"], scene.log_policy.ndim)
            up, down = jnp.where(trained, up, 0.0), None if down is None else jnp.where(trained, down, 0.0)
        return Shares(up, down, shares.reward, shares.silent, count)

    def entropy_term(self, weights: Array, log_policy: Array, numbers: dict[str, Any]) -> Array | None:
        r"""$\alpha\sum_s W_s\nabla H(\pi(\cdot\mid s))$, W the summed weights of the steps out of s."""
        if numbers["entropy"] is None:
            return None
        policy, known = jnp.exp(log_policy), jnp.where(jnp.isneginf(log_policy), 0.0, log_policy)
        entropy = -self.shape.total(policy * known)
        through = self.shape.over(self.shape.total(weights))
        return (
            -expand(numbers["entropy"], through.ndim) * through * policy * (known + self.shape.over(entropy))
        )

    def learn(self, shares: Shares, scene: Scene) -> Array | None:
        """The critic after a group: moved towards the mean return of the rollouts through each state."""
        if not self.critic:
            return None
        assert scene.critic is not None
        count, earned = self._through(shares)
        visit, rate = self.shape.of_inner(count), scene.numbers["rate"]
        here = self.shape.of_inner(earned) / jnp.where(visit > 0, visit, 1.0)
        missed = (1 - visit) ** expand(scene.group, visit.ndim) if scene.expected else 1.0 * (visit == 0)
        seen = (1 - missed).astype(visit.dtype)
        return scene.critic + expand(rate, seen.ndim) * seen * (here - scene.critic)

    def _through(self, shares: Shares) -> tuple[Array, Array]:
        """Share of the rollouts that come through each state, and what they earn, `[states, *cells]`."""
        assert shares.count is not None
        return self.shape.back_up(shares.count), self.shape.back_up(shares.up)

    def values(self, scene: Scene) -> Array:
        """Exact values of all states, `[states, *cells]`."""
        assert scene.rates is not None
        return self.shape.back_up(scene.rates, weight=jnp.exp(scene.log_policy))

    def _estimates(self, scene: Scene) -> tuple[Array, Array]:
        """Exact values of all states, and the values that inner states are given, `[inner, *cells]`."""
        exact = self.values(scene)
        if self.critic:
            assert scene.critic is not None
            return exact, scene.critic
        inner = self.shape.of_inner(exact)
        if self.source == "exact" or scene.expected:
            return exact, inner
        assert self.rollouts is not None
        pairs = -(-inner.shape[0] // 2)
        numbers = jnp.concatenate(
            bits.uniforms(scene.seed, scene.index, pairs, inner.dtype, stream=VALUE_STREAM)
        )[: inner.shape[0]]
        return exact, binomial(numbers, self.rollouts, inner) / self.rollouts

    @cached_property
    def _segments(self) -> tuple[np.ndarray, np.ndarray]:
        """Place among the inner states of the start of each inner state's segment, and whether it is one itself."""
        shape, bounds = self.shape, {0, *(self.bounds or ())}
        place = {int(state): i for i, state in enumerate(shape.inner)}
        start = np.arange(len(shape.inner))
        first = np.ones(len(shape.inner), bool)
        if self.bounds is not None:
            for i, state in enumerate(shape.inner):
                first[i] = int(shape.depth[state]) in bounds
                if not first[i]:
                    start[i] = start[place[int(shape.origin[state - 1])]]
        return start, first

    def _by_values(self, shares: Shares, scene: Scene) -> Array:
        """Credit by values, times the clock."""
        shape = self.shape
        exact, estimate = self._estimates(scene)
        start, first = self._segments
        if self.bounds is None:
            gain = jnp.broadcast_to(scene.numbers["trace"], estimate.shape)
        else:
            estimate = estimate[start]
            gain = jnp.broadcast_to(_column(~first, estimate), estimate.shape).astype(estimate.dtype)
        count, earned = self._through(shares)
        value = jnp.zeros_like(exact).at[shape.inner].set(estimate)
        before = jnp.concatenate([jnp.zeros_like(value[:1]), shape.over(estimate)])
        delta = jnp.concatenate([jnp.zeros_like(value[:1]), value[1:] - before[1:]])
        # Paid of inner states, and of leaves, by the step that leads to them.
        inner = shape.of_inner(count * delta)
        leaves = shape.of_leaves(earned - count * before)
        weights = shape.back_up(leaves, local=inner, gain=gain)
        if self.whiten:
            following = shape.of_inner(2 * delta) * gain * shape.total(weights[1:])
            square = shape.back_up(
                shape.of_leaves(earned * (1 - 2 * before) + count * before**2),
                local=shape.of_inner(count * delta**2) + following,
                gain=gain**2,
            )
            steps = jnp.sum(count[1:], axis=0)
            mean = jnp.sum(weights[1:], axis=0) / steps
            spread = jnp.sqrt(jnp.maximum(jnp.sum(square[1:], axis=0) / steps - mean**2, 0.0))
            weights = (weights - mean[None] * count) / (spread + TINY)[None]
        assert scene.clock is not None
        return weights[1:] * scene.clock(exact[0], 1 - exact[0])[None]

    def _process(self, count: Array, scene: Scene) -> Array:
        """Process reward of each step less its mean over the policy."""
        reward, policy = scene.numbers["process"], jnp.exp(scene.log_policy)
        mean = self.shape.over(self.shape.total(policy * reward))
        return expand(scene.numbers["weight"], count.ndim) * count * (reward - mean)

    def _siblings(self, shares: Shares, scene: Scene) -> tuple[Array, Array | None, Array | None]:
        """Weights of right and wrong rollouts within the group of each state."""
        shape, table = self.shape, scene.tables
        if scene.expected:
            exact = self.values(scene)
            visit = jnp.exp(shape.along(scene.log_policy))
            clock = sibling_clock(table, shape.of_inner(visit), shape.of_inner(exact))
            return visit[1:] * shape.over(clock) * (exact[1:] - shape.over(shape.of_inner(exact))), None, None
        count, earned = self._through(shares)
        most = table[0].shape[0] - 1
        number, right = (jnp.round(shape.of_inner(x) * expand(scene.group, x.ndim)) for x in (count, earned))
        place = (number * (most + 1) + right).astype(jnp.int32)
        of_right, of_wrong = (
            shape.over(
                jnp.take_along_axis(
                    jnp.broadcast_to(one.reshape(-1, *one.shape[2:]), ((most + 1) ** 2, *place.shape[1:])),
                    place,
                    axis=0,
                )
            )
            for one in table
        )
        wrong = count[1:] - earned[1:]
        up = jnp.maximum(of_right, 0.0) * earned[1:] + jnp.maximum(of_wrong, 0.0) * wrong
        down = jnp.minimum(of_right, 0.0) * earned[1:] + jnp.minimum(of_wrong, 0.0) * wrong
        return up, down, count[1:]


def binomial(uniform: Array, tries: int, chance: Array) -> Array:
    """Binomial numbers by inversion, one uniform number each.

    Args:
      uniform: `[...]`, in [0, 1).
      tries: K ≥ 1.
      chance: `[...]`.

    Returns:
      `[...]`, whole numbers from 0 to K.
    """
    few = jnp.minimum(chance, 1 - chance)
    if tries > MOST_PRODUCTS:
        below = jnp.cumsum(_bernstein.probabilities(tries, tries, few, 1 - few), axis=0)[:-1]
        number = jnp.sum(uniform[None] >= below, axis=0).astype(chance.dtype)
        return jnp.where(chance > 0.5, tries - number, number)
    odds = few / (1 - few)
    mass = (1 - few) ** tries
    ladder, number = mass, jnp.zeros_like(chance)
    for k in range(1, tries + 1):
        number = number + jnp.where(uniform >= ladder, 1.0, 0.0).astype(chance.dtype)
        mass = mass * odds * ((tries - k + 1) / k)
        ladder = ladder + mass
    return jnp.where(chance > 0.5, tries - number, number)


def sibling_clock(table: Any, visit: Array, value: Array) -> Array:
    r"""Clock of a state whose group are the rollouts that come through it.

    $$ c(s) = E_{m\sim{\rm Bin}(G-1,d(s))}\,E_{j\sim{\rm Bin}(m,V(s))}\bigl[A^+_{m+1}(j+1)-A^-_{m+1}(j)\bigr] $$

    Args:
      table: weights of right and of wrong rollouts, `[G + 1, G + 1, ...]`, by size of the group, then right ones.
      visit: `[...]`, d(s).
      value: `[...]`, V(s).

    Returns:
      `[...]`.
    """
    right, wrong = table
    by_others = []
    for m in range(right.shape[0] - 1):
        speed = right[m + 1, 1 : m + 2] - wrong[m + 1, : m + 1]
        speed = speed.reshape(m + 1, *[1] * (1 + value.ndim - speed.ndim), *speed.shape[1:])
        by_others.append(_bernstein.bernstein(speed, value, 1 - value))
    return _bernstein.bernstein(jnp.stack(by_others), visit, 1 - visit)


def _column(values: np.ndarray, like: Array) -> Array:
    """A number for each row of an array."""
    return jnp.asarray(values).reshape(-1, *[1] * (like.ndim - 1))

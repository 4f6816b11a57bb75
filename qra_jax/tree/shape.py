"""The shape of a tree of reasoning steps, and sums along it.

States are numbered breadth first, the question being state 0; step j leads into state j + 1, so that an array over
steps `[steps, *cells]` lists the choices of a state side by side. Cells are runs, or questions, in the last axes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from qra_jax import _check


@dataclass(frozen=True)
class Shape:
    """Which state has how many next steps.

    Attributes:
      children: number of steps out of each state, breadth first; 0 for a leaf, where an answer is given.

    Raises:
      ValueError: no state, a negative number, or numbers that belong to no tree.
    """

    children: tuple[int, ...]

    def __post_init__(self) -> None:
        for i, count in enumerate(self.children):
            _check.integer(f"children[{i}]", count, low=0)
        reached = 1
        for state, count in enumerate(self.children):
            if state >= reached:
                raise ValueError(
                    f"children[{state}]: belongs to a state that no step leads to; must be left out"
                )
            reached += count
        if not self.children or not self.children[0]:
            raise ValueError("children: the question has no step; must have one or more")
        if reached != len(self.children):
            raise ValueError(f"children: {len(self.children)} entries; must be {reached}, one a state")

    @property
    def states(self) -> int:
        """Number of states, the question and all leaves among them."""
        return len(self.children)

    @property
    def steps(self) -> int:
        """Number of steps: all states but the question are led to by one."""
        return len(self.children) - 1

    @cached_property
    def inner(self) -> np.ndarray:
        """States with next steps, `[inner]`."""
        return np.flatnonzero(np.asarray(self.children))

    @cached_property
    def leaves(self) -> np.ndarray:
        """States where the answer is given, `[leaves]`."""
        return np.flatnonzero(np.asarray(self.children) == 0)

    @cached_property
    def origin(self) -> np.ndarray:
        """State that each step starts from, `[steps]`."""
        return np.repeat(np.arange(self.states), self.children)

    @cached_property
    def depth(self) -> np.ndarray:
        """Number of steps from the question to each state, `[states]`."""
        depth = np.zeros(self.states, int)
        for step, state in enumerate(self.origin):
            depth[step + 1] = depth[state] + 1
        return depth

    @cached_property
    def paths(self) -> tuple[tuple[int, ...], ...]:
        """The steps that lead to each leaf, in order."""
        found = []
        for leaf in self.leaves:
            path, state = [], int(leaf)
            while state:
                path.append(state - 1)
                state = int(self.origin[state - 1])
            found.append(tuple(reversed(path)))
        return tuple(found)

    @cached_property
    def _rank(self) -> np.ndarray:
        """Place among the inner states of the state that each step starts from, `[steps]`."""
        return np.searchsorted(self.inner, self.origin)

    @cached_property
    def _levels(self) -> list[slice]:
        """States of each depth."""
        ends = np.searchsorted(self.depth, np.arange(self.depth[-1] + 2))
        return [slice(int(low), int(high)) for low, high in itertools.pairwise(ends)]

    def rows(self, values: Array, states: np.ndarray | None = None, fill: float = 0.0) -> Array:
        """Values of steps side by side by the state that they start from.

        Args:
          values: `[steps, *cells]`; where `states` is given, of the steps out of these alone.
          states: inner states in order; default: all.
          fill: value where a state has fewer steps than another.

        Returns:
          `[states, width, *cells]`.
        """
        widths = np.asarray(self.children)[self.inner if states is None else states]
        cells = values.shape[1:]
        if np.all(widths == widths[0]):
            return values.reshape(len(widths), int(widths[0]), *cells)
        ends = np.cumsum(widths)
        place = np.arange(widths.max())[None] + (ends - widths)[:, None]
        there = np.arange(widths.max())[None] < widths[:, None]
        mask = there.reshape(*there.shape, *[1] * len(cells))
        return jnp.where(mask, values[np.where(there, place, 0)], fill)

    def over(self, of_inner: Array) -> Array:
        """Values of inner states `[inner, *cells]` at each step that starts from them, `[steps, *cells]`."""
        width = self.children[0]
        if len(self.inner) * width == self.steps and all(self.children[i] == width for i in self.inner):
            wide = jnp.broadcast_to(of_inner[:, None], (of_inner.shape[0], width, *of_inner.shape[1:]))
            return wide.reshape(self.steps, *of_inner.shape[1:])
        return of_inner[self._rank]

    def total(self, values: Array) -> Array:
        """Sum over the steps of each inner state, `[inner, *cells]`."""
        return jnp.sum(self.rows(values), axis=1)

    def log_softmax(self, logits: Array) -> Array:
        """Log-probability of each step among those of its state, `[steps, *cells]`."""
        if len(self.inner) == 1:
            return jax.nn.log_softmax(logits, axis=0)
        rows = self.rows(logits, fill=-jnp.inf)
        top = jax.lax.stop_gradient(jnp.max(rows, axis=1))
        shifted = logits - self.over(jnp.where(jnp.isneginf(top), 0.0, top))
        return shifted - self.over(jnp.log(self.total(jnp.exp(shifted))))

    def softmax(self, logits: Array) -> Array:
        """Probability of each step among those of its state, `[steps, *cells]`."""
        if len(self.inner) == 1:
            return jax.nn.softmax(logits, axis=0)
        return jnp.exp(self.log_softmax(logits))

    def of_leaves(self, of_states: Array) -> Array:
        """The entries of leaves, `[leaves, *cells]`, of an array `[states, *cells]`."""
        return _chosen(of_states, self.leaves)

    def of_inner(self, of_states: Array) -> Array:
        """The entries of inner states, `[inner, *cells]`, of an array `[states, *cells]`."""
        return _chosen(of_states, self.inner)

    def back_up(
        self,
        leaves: Array,
        *,
        weight: Array | None = None,
        local: Array | None = None,
        gain: Array | float | None = None,
    ) -> Array:
        r"""Values of all states from those of the leaves, $v_s = \ell_s + g_s\sum_{s\to c} w_c v_c$.

        Args:
          leaves: `[leaves, *cells]`, v at the leaves.
          weight: `[steps, *cells]`, w; default: one.
          local: `[inner, *cells]`, ℓ; default: zero.
          gain: `[inner, *cells]` or a number, g; default: one.

        Returns:
          `[states, *cells]`.
        """
        is_leaf, done, below = np.asarray(self.children) == 0, [], None
        for level in reversed(self._levels):
            leaf_rows = np.searchsorted(self.leaves, [level.start, level.stop])
            inner_rows = slice(*np.searchsorted(self.inner, [level.start, level.stop]))
            here = leaves[slice(*leaf_rows)]
            if below is not None and inner_rows.stop > inner_rows.start:
                if weight is not None:
                    below = below * weight[level.stop - 1 : level.stop - 1 + below.shape[0]]
                summed = jnp.sum(self.rows(below, self.inner[inner_rows]), axis=1)
                if gain is not None:
                    summed = summed * (
                        gain[inner_rows] if isinstance(gain, jax.Array) and gain.ndim else gain
                    )
                if local is not None:
                    summed = local[inner_rows] + summed
                order = np.argsort(
                    np.concatenate([np.flatnonzero(~is_leaf[level]), np.flatnonzero(is_leaf[level])])
                )
                here = summed if not here.shape[0] else jnp.concatenate([summed, here])[order]
            done.append(here)
            below = here
        return jnp.concatenate(done[::-1])

    def along(self, steps: Array) -> Array:
        """Sum of the values of the steps that lead to each state, `[states, *cells]`, of `[steps, *cells]`."""
        here = jnp.zeros_like(steps[:1])
        done = [here]
        for level, next_level in zip(self._levels[:-1], self._levels[1:], strict=True):
            start = self.origin[next_level.start - 1 : next_level.stop - 1] - level.start
            here = _chosen(here, start) + steps[next_level.start - 1 : next_level.stop - 1]
            done.append(here)
        return jnp.concatenate(done)

    def scores(self, logits: Array) -> Array:
        """Log-probability of each leaf up to a constant: `[leaves, *cells]`.

        The steps out of the question are left as they are, so that a tree of depth one has its logits for scores.
        """
        width = self.children[0]
        if self.steps == width:
            return logits
        known = jnp.concatenate([logits[:width], self.log_softmax(logits)[width:]])
        return self.of_leaves(self.along(known))


def _chosen(values: Array, index: np.ndarray) -> Array:
    """Rows of an array; a slice where they are next to each other, a repetition where each is taken equally often."""
    first, count = int(index[0]), len(index)
    if np.array_equal(index, np.arange(first, first + count)):
        return values[first : first + count]
    every = count // values.shape[0] if values.shape[0] else 0
    if every and np.array_equal(index, np.repeat(np.arange(values.shape[0]), every)):
        return jnp.repeat(values, every, axis=0, total_repeat_length=count)
    return values[index]

r"""Trees of reasoning steps: question → step → … → answer, with exact values.

In a state $s$ a policy picks the next step, $\pi(c\mid s)$; at a leaf an answer is given that is right with a fixed
rate $p$. A leaf is one way of reasoning from beginning to end, a *pattern* of the question → reason → answer model:

$$ \pi(\text{leaf}) = \prod_{s\to c\ \text{on its path}} \pi(c\mid s),\qquad
   V(s) = \sum_c \pi(c\mid s)\,V(c),\quad V(\text{leaf}) = p. $$

A tree of depth one is a `Problem`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _nested, _show
from qra_jax._nested import MOST_STATES as MOST_STATES
from qra_jax.problem import Problem
from qra_jax.tree.shape import Shape


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Tree:
    """A question whose answer takes several steps, each a choice.

    Build it with [`Tree.from_nested`][], which checks every number. It is a pytree: trees of one shape are stacked and
    mapped over like problems.

    Attributes:
      shape: which state has how many next steps; states are numbered breadth first, step j leads into state j + 1.
      log_ref: `[steps]`, log π_ref(step | state), normalised in each state; `-inf` marks a step without mass.
      success: `[leaves]`, success rates in [0, 1], leaves in the order of states; they stay put during training.
      lengths: optional `[steps]`, tokens of each step, > 0.
      process: optional `[steps]`, what a process reward gives for each step.
      names: names of the states, the question first; may be empty.
    """

    shape: Shape = field(metadata={"static": True})
    log_ref: Float[Array, "*batch steps"]
    success: Float[Array, "*batch leaves"]
    lengths: Float[Array, "*batch steps"] | None = None
    process: Float[Array, "*batch steps"] | None = None
    names: tuple[str, ...] = field(default=(), metadata={"static": True})

    @classmethod
    def from_nested(cls, question: Mapping[str, Any]) -> Tree:
        """Build a tree from nested dictionaries, checking every number.

        Args:
          question: `{"steps": [...]}` and optionally `"name"`. Each step has `"chance"`, π_ref given the state that it
            starts from (chances of a state sum to one within 1e-3, and are then renormalised; equal ones where none is
            given), and either `"success"`, the success rate of the answer that follows, or `"steps"`. Optional:
            `"name"`, `"length"` in tokens (> 0) and `"process"`, a process reward, which all steps have or none. A
            state without a name is called by the numbers of its steps.

        Returns:
          A `Tree`.

        Raises:
          ValueError: a number out of range, chances that do not sum to one, a state that is reached twice or from
            itself, a leaf that has no chance of being reached, more than 100 000 states or 200 steps on a path; the
            line names the state.

        >>> tree = Tree.from_nested({"steps": [{"chance": .4, "success": .9}, {"chance": .6, "steps": [
        ...     {"chance": .5, "success": .2}, {"chance": .5, "success": .7}]}]})
        >>> round(float(tree.accuracy_ref), 6)
        0.63
        """
        return cls._of(_nested.check(question))

    @classmethod
    def _of(cls, listed: _nested.Listed) -> Tree:
        """A tree from checked lists."""
        column = lambda values: None if values is None else jnp.asarray(values)  # noqa: E731
        with np.errstate(divide="ignore"):
            log_ref = jnp.log(jnp.asarray(listed.chance))
        return cls(
            Shape(listed.children),
            log_ref,
            jnp.asarray(listed.success),
            column(listed.length),
            column(listed.process),
            listed.names,
        )

    def __repr__(self) -> str:
        shape = self.shape
        said = f"{shape.states} states, {len(shape.leaves)} leaves, depth {shape.depth[-1]}"
        if not _show.concrete(self.log_ref, self.success) or self.log_ref.ndim != 1:
            return f"Tree({said})"
        return f"Tree({said}, accuracy {float(self.accuracy_ref):.3g})"

    @property
    def ref(self) -> Float[Array, "*batch steps"]:
        """π_ref of each step given its state, `[steps]`."""
        return jnp.exp(self.log_ref)

    @property
    def accuracy_ref(self) -> Float[Array, "*batch"]:
        """Accuracy of the reference policy."""
        return self.flat().accuracy_ref

    @property
    def best(self) -> Array:
        """Index of the best leaf among the leaves (the first of ties)."""
        return jnp.argmax(self.success, axis=-1)

    def flat(self) -> Problem:
        """The question with whole paths for patterns: each leaf, its probability, success rate and length.

        Returns:
          A `Problem` with a pattern for each leaf. What holds for a policy over whole answers holds for it; a policy
          over steps moves differently, as paths share steps.
        """
        log_ref = self.leaf_log_policy(self.log_ref)
        lengths = None if self.lengths is None else self._by_leaf(self.lengths)
        return Problem(log_ref, self.success, lengths=lengths)

    def leaf_log_policy(self, log_policy: Float[Array, "*batch steps"]) -> Float[Array, "*batch leaves"]:
        """Log-probability of each leaf, `[leaves]`, of the steps' log-probabilities `[steps]`."""
        return self._by_leaf(log_policy)

    def _by_leaf(self, steps: Array) -> Array:
        sums = self.shape.of_leaves(self.shape.along(jnp.moveaxis(steps, -1, 0)))
        return jnp.moveaxis(sums, 0, -1)

    def with_ref(self, log_ref: Float[Array, "*batch steps"]) -> Tree:
        """The same tree with another reference policy, normalised in each state.

        Args:
          log_ref: `[steps]`, logits; `-inf` for a step without mass.

        Returns:
          A `Tree`.

        Raises:
          ValueError: another number of steps.
        """
        given = jnp.asarray(log_ref)
        if given.shape[-1:] != (self.shape.steps,):
            raise ValueError(
                f"log_ref: shape {given.shape}; must have {self.shape.steps} entries, one a step"
            )
        known = self.shape.log_softmax(jnp.moveaxis(given, -1, 0))
        return replace(self, log_ref=jnp.moveaxis(known, 0, -1))

    def name(self, state: int) -> str:
        """Name of a state, or its number."""
        return self.names[state] if self.names else ("question" if not state else f"state {state}")

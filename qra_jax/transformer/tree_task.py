r"""A tree of reasoning steps as a task for a network: tree and network side by side.

A sequence is `question, step … step`. Every step of the tree has a token of its own: a sequence is a path, what a
network writes next is the policy of the state that it is in, and the token of a step into a leaf ends the sequence. The
answer there is right with the leaf's success rate, whatever is learnt. In a
[`Lookup`][qra_jax.transformer.model.Lookup] that starts from [`TreeTask.table`][] the scores after a token are the
logits of one state: it is the tabular policy of `qra_jax.tree`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from qra_jax import _check
from qra_jax.transformer.model import Model, Params, score
from qra_jax.transformer.sampling import PAD, Questions, Rollouts
from qra_jax.transformer.task import NONE, Demonstrations, Solutions, Verification
from qra_jax.tree.model import Tree

IMPOSSIBLE = -40.0
"""Score of a token that belongs to no step of a state, in the table of the tabular limit: a chance below 1e-17."""


class Steps(NamedTuple):
    """What a network would do in each state of the tree, exact by teacher forcing of all paths."""

    log_policy: Float[Array, "N steps"]
    """log π(step | state), normalised over the steps of the state, in the order of `Tree.log_ref`."""
    leak: Float[Array, "N states"]
    """Probability of anything but a step of the state; 0 in a leaf, after which nothing is written."""
    accuracy: Float[Array, " N"]
    """Probability of a whole sequence that is right, leaks counted: what a verifier measures."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TreeTask:
    """A tree as a decoder's task. Build it with `tree_task`.

    Attributes:
      tree: the question, or several of one shape with a leading axis `[questions]`.
      number: how many questions, each with a prompt token of its own; with a single tree they are all alike.
    """

    tree: Tree
    number: int = field(default=1, metadata={"static": True})

    # Tokens: padding, then questions, steps.
    first_question = 1

    @property
    def first_step(self) -> int:
        """Token of step 0."""
        return self.first_question + self.number

    @property
    def patterns(self) -> int:
        """n: a pattern is a leaf, or the path to it."""
        return len(self.tree.shape.leaves)

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.first_step + self.tree.shape.steps

    @property
    def length(self) -> int:
        """T: the steps of the longest path."""
        return int(self.tree.shape.depth[-1])

    @property
    def end(self) -> tuple[int, ...]:
        """The tokens of steps into leaves."""
        return tuple(int(self.first_step + state - 1) for state in self.tree.shape.leaves)

    @cached_property
    def _rows(self) -> np.ndarray:
        """Sequences of all leaves, `[leaves, T]`."""
        rows = np.full((self.patterns, self.length), PAD)
        for row, path in zip(rows, self.tree.shape.paths, strict=True):
            row[: len(path)] = [self.first_step + step for step in path]
        return rows

    @cached_property
    def _reached(self) -> tuple[np.ndarray, np.ndarray]:
        """A leaf whose path comes through each state, and the number of steps to the state, `[states]`."""
        shape, leaf = self.tree.shape, np.zeros(self.tree.shape.states, int)
        for number, path in enumerate(shape.paths):
            leaf[[0, *(step + 1 for step in path)]] = number
        return leaf, shape.depth

    def _of(self, values: Array, index: Array) -> Array:
        """Rows of an array of the tree for given questions, `[N, ...]`."""
        return values[index] if values.ndim > 1 else jnp.broadcast_to(values[None], (len(index), len(values)))

    def questions(self, index: Int[Array, " N"]) -> Questions:
        """The questions with these numbers, 0 … number − 1; `truth` is the number.

        Args:
          index: `[N]`.

        Returns:
          Their prompts, of one token.
        """
        return Questions(self.first_question + index[:, None], index)

    def draw(self, key: Array, number: int) -> Questions:
        """Questions to train on, none twice as long as there are enough: for `number` = all of them, each once.

        Args:
          key: PRNG key.
          number: N.

        Returns:
          The questions.
        """
        if number == self.number:
            return self.questions(jnp.arange(number))
        rounds = -(-number // self.number)
        order = [jax.random.permutation(k, self.number) for k in jax.random.split(key, rounds)]
        return self.questions(jnp.concatenate(order)[:number])

    def demonstrations(self, key: Array | None = None, number: int | None = None) -> Demonstrations:
        """All paths with their exact shares under the reference policy, for pre-training.

        Args:
          key: PRNG key for the choice of questions; where left out (with `number`), all questions.
          number: N; default: all questions.

        Returns:
          G = n sequences for each question, one for each leaf in order.
        """
        asked = self.questions(jnp.arange(self.number))
        if number is not None:
            assert key is not None
            asked = self.draw(key, number)
        share = jnp.exp(self.tree.leaf_log_policy(self.tree.log_ref))
        tokens = jnp.broadcast_to(jnp.asarray(self._rows)[None], (asked.number, *self._rows.shape))
        depth = self.tree.shape.depth[self.tree.shape.leaves]
        place = jnp.broadcast_to(jnp.asarray(depth - 1)[None], tokens.shape[:2])
        opens = np.zeros(self.vocabulary, bool)
        opens[np.asarray(self.end)] = True
        return Demonstrations(
            asked,
            tokens,
            tokens != PAD,
            self._of(share, asked.truth),
            place,
            jnp.asarray(opens),
            self.patterns,
        )

    def verify(self, key: Array, questions: Questions, rollouts: Rollouts) -> Verification:
        """Judge paths: right with the success rate of their leaf.

        Args:
          key: PRNG key of the coins.
          questions: `[N]`.
          rollouts: `[N, G, T]`.

        Returns:
          `Verification` whose `pattern` and `answer` are the number of the leaf; a sequence that is no path of the
          tree is wrong and has neither.
        """
        fits = jnp.all(rollouts.tokens[:, :, None] == jnp.asarray(self._rows)[None, None], axis=-1)
        known, leaf = jnp.any(fits, axis=-1), jnp.argmax(fits, axis=-1)
        chance = jnp.take_along_axis(self._of(self.tree.success, questions.truth), leaf, axis=1)
        right = known & (jax.random.uniform(key, chance.shape, chance.dtype) < chance)
        which = jnp.where(known, leaf, NONE)
        return Verification(right, known, which, known, which)

    def solutions(self, questions: Questions) -> Solutions:
        """All sequences that may be right: the paths to the leaves, with their success rates.

        Args:
          questions: `[N]`.

        Returns:
          M = n sequences for each question.
        """
        tokens = jnp.broadcast_to(jnp.asarray(self._rows)[None], (questions.number, *self._rows.shape))
        right = self._of(self.tree.success, questions.truth)
        return Solutions(tokens, right, jnp.ones(right.shape, bool))

    def kinds(self, tokens: Array) -> Array:
        """Which of `KINDS` each token is: a first step is the pattern, a step into a leaf after it the answer.

        Args:
          tokens: integers of any shape.

        Returns:
          Integers of that shape; −1 for others.
        """
        shape = self.tree.shape
        kind = np.full(self.vocabulary, NONE)
        kind[self.first_step :] = np.where(np.asarray(shape.children[1:]) == 0, 3, 1)
        kind[self.first_step : self.first_step + shape.children[0]] = 0
        return jnp.asarray(kind)[tokens]

    def steps(self, model: Model, params: Params) -> Steps:
        """Read all step probabilities of a network, for every question, by teacher forcing of all paths.

        Args:
          model: the network.
          params: its parameters.

        Returns:
          a `Steps`; row q is a policy for `qra_jax.tree.values` and all else of `qra_jax.tree`.
        """
        asked, shape = self.questions(jnp.arange(self.number)), self.tree.shape
        rows = jnp.broadcast_to(jnp.asarray(self._rows)[None], (self.number, *self._rows.shape))
        logits, _ = score(model, params, asked.prompt, asked.real, rows)
        known = jax.nn.log_softmax(logits)  # [N, leaves, T, V]
        leaf, depth = self._reached
        before = shape.origin
        raw = known[:, leaf[before], depth[before], self.first_step + np.arange(shape.steps)]
        inside = shape.total(jnp.exp(jnp.moveaxis(raw, -1, 0)))
        goes_on = jnp.ones((shape.states, self.number), raw.dtype).at[shape.inner].set(inside)
        success = self._of(self.tree.success, asked.truth).astype(raw.dtype)
        return Steps(
            jnp.moveaxis(shape.log_softmax(jnp.moveaxis(raw, -1, 0)), 0, -1),
            jnp.maximum(1 - goes_on, 0.0).T,
            jnp.sum(jnp.exp(self.tree.leaf_log_policy(raw)) * success, axis=-1),
        )

    def table(self, log_policy: Float[Array, "*questions steps"] | None = None) -> Params:
        """Parameters with which a `Lookup(task.vocabulary)` has given step probabilities.

        Its logits after the token of a step are those of the state which that step leads to, shared by all questions;
        the first steps are those of each question.

        Args:
          log_policy: `[steps]`, or `[questions, steps]` that differ in the first steps alone; default: the reference
            policy.

        Returns:
          The table `[V, V]`, with a score of −40 for tokens that belong to no step of a state.
        """
        shape = self.tree.shape
        known = self.tree.log_ref if log_policy is None else log_policy
        known = jnp.maximum(known, IMPOSSIBLE)
        every = jnp.broadcast_to(known, (self.number, shape.steps))
        table = jnp.full((self.vocabulary, self.vocabulary), IMPOSSIBLE, known.dtype)
        first = shape.children[0]
        asked = self.first_question + np.arange(self.number)
        tokens = self.first_step + np.arange(shape.steps)
        table = table.at[asked[:, None], tokens[None, :first]].set(every[:, :first])
        after = self.first_step + shape.origin[first:] - 1
        return {"table": table.at[after, tokens[first:]].set(every[0, first:])}


def tree_task(tree: Tree, *, questions: int | None = None) -> TreeTask:
    """A tree as a decoder's task.

    Args:
      tree: the question, or several of one shape with a leading axis. Every step is one token, whatever the tree says
        of lengths.
      questions: how many prompts ask a single tree, ≥ 1; default: one, or all of several trees.

    Returns:
      A `TreeTask`.

    Raises:
      ValueError: no tree, or several trees with another number of questions.

    >>> from qra_jax.tree import instances
    >>> task = tree_task(instances.hidden())
    >>> task.vocabulary, task.length, task.patterns
    (8, 2, 4)
    """
    _check.part("tree", tree, Tree)
    stacked = tree.log_ref.ndim > 1
    if stacked and tree.log_ref.ndim > 2:
        raise ValueError(
            f"tree: log_ref has shape {tree.log_ref.shape}; must be [steps] or [questions, steps]"
        )
    number = (tree.log_ref.shape[0] if stacked else 1) if questions is None else questions
    _check.integer("questions", number, low=1)
    if stacked and number != tree.log_ref.shape[0]:
        raise ValueError(f"questions: {number}; must be {tree.log_ref.shape[0]}, as many as there are trees")
    return TreeTask(tree, number)

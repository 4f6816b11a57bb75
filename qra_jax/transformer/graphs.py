r"""The graph task: arithmetic along a directed acyclic graph, a line for each node, checked node by node.

A question gives the values of two inputs and defines further nodes by sums and products of earlier ones, mod m. Its
solution works the nodes out in order and ends after the last one:

    prompt     name value  name value  | label left right operation name | … | end  label
    solution   left value right value operation name value  label | … | end

Each node has the one before it as an operand, so that all of them are needed and the number of operations is the
difficulty; the other operand is any earlier node, the same one again among them. Names are drawn anew for each
question from one of two sets, the contexts, which no token but the names tells apart. Labels follow each other in a
cycle, from any of them on, and prompts stand anywhere in the room that there is, so that a network learns to look
definitions up: it then finds those of questions longer than it has ever seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Float, Int

from qra_jax import _check
from qra_jax.transformer.sampling import PAD, Questions, Rollouts
from qra_jax.transformer.task import NONE, Demonstrations, Verification

OPERATIONS = ("+", "×")
INPUTS = 2
"""Nodes whose values are given."""
DEFINITION, LINE = 5, 8
"""Tokens of a definition in the prompt, and of a line of the solution."""


class Graph(NamedTuple):
    """What is asked, `[N]` questions: the `truth` of `Questions`. Nodes are numbered from the inputs on."""

    count: Int[Array, "*b N"]
    """Number of operations; what stands after as many nodes does not count."""
    value: Int[Array, "*b N nodes"]
    """Values of all nodes, 0 … m − 1."""
    left: Int[Array, "*b N operations"]
    """The node that is the first operand."""
    right: Int[Array, "*b N operations"]
    """The node that is the second operand."""
    operation: Int[Array, "*b N operations"]
    """Number of the operation in `OPERATIONS`."""
    name: Int[Array, "*b N nodes"]
    """Names of the nodes, as tokens."""
    label: Int[Array, "*b N"]
    """The first label, 0 … labels − 1."""
    before: Int[Array, "*b N"]
    """Blank tokens before the prompt; as many as there is room for are before and after it."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Graphs:
    """A graph task. Build it with [`graphs`][].

    Attributes:
      operations: `[most]`, shares of questions with 1, 2, … operations; may be traced.
      second: share of questions in the second context, in [0, 1]; may be traced.
      modulus: m.
      most: the largest number of operations that the vocabulary has names for.
      room: the largest number of operations that arrays have room for, at most `most`.
    """

    operations: Float[Array, "*b most"]
    second: Float[Array, "*b"]
    modulus: int = field(metadata={"static": True})
    most: int = field(metadata={"static": True})
    room: int = field(metadata={"static": True})

    # Tokens: padding, end, operations, values, names of the first context and of the second.
    end = 1
    first_operation = 2
    first_value = first_operation + len(OPERATIONS)
    patterns = 1

    @property
    def nodes(self) -> int:
        """Names of a context: one for each node of the largest question."""
        return INPUTS + self.most

    @property
    def labels(self) -> int:
        """How many there are: a few more than a question needs."""
        return self.most + 3

    @property
    def first_label(self) -> int:
        """Token of label 0."""
        return self.first_value + self.modulus

    @property
    def first_name(self) -> int:
        """Token of the first name of the first context."""
        return self.first_label + self.labels

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.first_name + 2 * self.nodes

    @property
    def length(self) -> int:
        """T: a line for each operation that there is room for."""
        return LINE * self.room

    def asking(self, lowest: Any, highest: Any, second: Any = None) -> Graphs:
        """The same task with questions of a band, all numbers of operations in it as often.

        Args:
          lowest: least number of operations, 1 … `room`; may be traced.
          highest: largest number of operations, `lowest` … `room`; may be traced.
          second: share of the second context, in [0, 1]; default: as it is.

        Returns:
          The task.

        Raises:
          ValueError: a number out of range.
        """
        share = self.second if second is None else jnp.asarray(_check.unit_interval("second", second))
        return replace(self, operations=_band(lowest, highest, self.most, self.room), second=share)

    def mixed(self, operations: Any) -> Graphs:
        """The same task with other shares of the numbers of operations.

        Args:
          operations: `[most]`, shares of questions with 1, 2, … operations; sum to one; may be traced.

        Returns:
          The task.

        Raises:
          ValueError: no distribution of that length, or questions that there is no room for.
        """
        return replace(self, operations=_shares(operations, self.most, self.room))

    def within(self, room: int) -> Graphs:
        """The same task in smaller or larger arrays; networks read both.

        Args:
          room: the largest number of operations that arrays have room for, 1 … `most`; questions with more are never
            asked.

        Returns:
          The task.

        Raises:
          ValueError: out of range.
        """
        room = _room(room, self.most)
        kept = jnp.where(jnp.arange(self.most) < room, self.operations, 0.0)
        return replace(self, operations=kept / jnp.sum(kept), room=room)

    def draw(self, key: Array, number: int) -> Questions:
        """Fresh questions, uniform over graphs, values and names.

        Args:
          key: PRNG key.
          number: N.

        Returns:
          The questions, with prompts `[N, 2·2 + 5·room + 2]` padded to the left.
        """
        keys, room = jax.random.split(key, 9), self.room
        chance = jnp.log(self.operations[:room])
        count = 1 + jax.random.categorical(keys[0], chance, shape=(number,))
        place = jnp.arange(room)
        before = jnp.where(place == 0, 0, INPUTS - 1 + place)[
            None
        ]  # the inputs themselves for the first operation
        other = jax.random.randint(keys[1], (number, room), 0, INPUTS + place[None])
        other = jnp.where(place[None] == 0, 1, other)
        swapped = jax.random.bernoulli(keys[2], shape=(number, room))
        left, right = jnp.where(swapped, other, before), jnp.where(swapped, before, other)
        operation = jax.random.randint(keys[3], (number, room), 0, len(OPERATIONS))
        given = jax.random.randint(keys[4], (number, INPUTS), 0, self.modulus)
        ranks = jax.random.uniform(keys[5], (number, self.nodes))
        second = jax.random.uniform(keys[6], (number,)) < self.second
        name = self.first_name + self.nodes * second[:, None] + jnp.argsort(ranks, axis=-1)
        before = jax.random.randint(keys[8], (number,), 0, DEFINITION * (room - count) + 1)
        label = jax.random.randint(keys[7], (number,), 0, self.labels)
        return self.ask(count, given, left, right, operation, name, label, before)

    def ask(
        self,
        count: Any,
        given: Any,
        left: Any,
        right: Any,
        operation: Any,
        name: Any,
        label: Any,
        before: Any,
    ) -> Questions:
        """Questions of one's own.

        Args:
          count: `[N]`, number of operations, 1 … `room`.
          given: `[N, 2]`, values of the inputs.
          left: `[N, room]`, first operands, each the number of an earlier node.
          right: `[N, room]`, second operands.
          operation: `[N, room]`, 0 for sums, 1 for products.
          name: `[N, nodes]`, tokens of the names.
          label: `[N]`, the first label, 0 … labels − 1.
          before: `[N]`, blank tokens before the prompt, at most as many as there is room for.

        Returns:
          The questions.
        """
        value = jnp.pad(jnp.asarray(given), ((0, 0), (0, self.room)))
        left, right, operation, name = (jnp.asarray(x) for x in (left, right, operation, name))
        for i in range(self.room):
            a, b = (jnp.take_along_axis(value, side[:, i : i + 1], axis=1)[:, 0] for side in (left, right))
            found = jnp.where(operation[:, i] == 0, a + b, a * b) % self.modulus
            value = value.at[:, INPUTS + i].set(found)
        graph = Graph(
            jnp.asarray(count), value, left, right, operation, name, jnp.asarray(label), jnp.asarray(before)
        )
        number = value.shape[0]
        inputs = jnp.stack([name[:, :INPUTS], self.first_value + value[:, :INPUTS]], axis=-1)
        named = [jnp.take_along_axis(name, side, axis=1) for side in (left, right)]
        nodes = name[:, INPUTS : INPUTS + self.room]
        defined = jnp.stack([self._labels(graph), *named, self.first_operation + operation, nodes], axis=-1)
        defined = jnp.where((jnp.arange(self.room)[None] < graph.count[:, None])[..., None], defined, PAD)
        prompt = jnp.concatenate([inputs.reshape(number, -1), defined.reshape(number, -1)], axis=1)
        prompt = jax.vmap(jnp.roll)(prompt, graph.before)
        ending = jnp.stack([jnp.full(number, self.end), self._labels(graph)[:, 0]], axis=1)
        return Questions(jnp.concatenate([prompt, ending], axis=1), graph)

    def _labels(self, graph: Graph) -> Array:
        """Tokens of the labels, `[N, room]`."""
        return self.first_label + (graph.label[:, None] + jnp.arange(self.room)[None]) % self.labels

    def solution(self, questions: Questions) -> Int[Array, "N T"]:
        """The solution of each question, up to and with the end token; 0 after it.

        Args:
          questions: `[N]`.

        Returns:
          `[N, T]`.
        """
        graph: Graph = questions.truth
        parts = []
        for side in (graph.left, graph.right):
            parts += [jnp.take_along_axis(graph.name, side, axis=1)]
            parts += [self.first_value + jnp.take_along_axis(graph.value, side, axis=1)]
        parts += [self.first_operation + graph.operation, graph.name[:, INPUTS : self.room + INPUTS]]
        following = jnp.roll(self._labels(graph), -1, axis=1)
        last = jnp.arange(self.room)[None] == graph.count[:, None] - 1
        parts += [self.first_value + graph.value[:, INPUTS:], jnp.where(last, self.end, following)]
        lines = jnp.stack(parts, axis=-1)
        lines = jnp.where((jnp.arange(self.room)[None] < graph.count[:, None])[..., None], lines, PAD)
        return lines.reshape(lines.shape[0], -1)

    def demonstrations(self, key: Array, number: int) -> Demonstrations:
        """Fresh questions with their solutions.

        Args:
          key: PRNG key.
          number: N.

        Returns:
          As [`show`][qra_jax.transformer.graphs.Graphs.show] of fresh questions.
        """
        return self.show(self.draw(key, number))

    def show(self, questions: Questions) -> Demonstrations:
        """Solutions of given questions.

        Args:
          questions: `[N]`.

        Returns:
          One sequence for each question.
        """
        tokens = self.solution(questions)[:, None]
        graph: Graph = questions.truth
        opens = jnp.arange(self.vocabulary)
        opens = (opens >= self.first_value) & (opens < self.first_label)
        weight = jnp.ones(tokens.shape[:2])
        return Demonstrations(
            questions, tokens, tokens != PAD, weight, LINE * graph.count[:, None] - 2, opens, self.patterns
        )

    def verify(self, key: Array, questions: Questions, rollouts: Rollouts) -> Verification:
        """Judge answers, and the line of every node.

        Args:
          key: not used.
          questions: `[N]`.
          rollouts: `[N, G, T]`.

        Returns:
          `Verification`: `right`, the last line is of the last node and has its value, whatever stands before;
          `steps`, all lines are those of the solution, in order; `progress`, the share of the nodes whose line is.
        """
        graph: Graph = questions.truth
        tokens, known = rollouts.tokens, self.solution(questions)[:, None]
        stop = jnp.argmax(tokens == self.end, axis=-1)  # 0 where there is none
        whole = (stop + 1) % LINE == 0

        def at(back: int) -> Array:
            return jnp.take_along_axis(tokens, jnp.maximum(stop - back, 0)[..., None], axis=-1)[..., 0]

        last = INPUTS + graph.count[:, None] - 1
        asked, value = (jnp.take_along_axis(x, last, axis=1) for x in (graph.name, graph.value))
        said = jnp.where(whole & (at(2) == asked), at(1) - self.first_value, NONE)
        said = jnp.where((said >= 0) & (said < self.modulus), said, NONE)
        lines = (tokens == known).reshape(*tokens.shape[:2], self.room, LINE)
        good = jnp.all(lines, axis=-1) & (jnp.arange(self.room)[None, None] < graph.count[:, None, None])
        return Verification(
            right=said == value,
            formatted=whole,
            pattern=jnp.where(whole, 0, NONE),
            steps=jnp.all(tokens == known, axis=-1),
            answer=said,
            progress=jnp.sum(good, axis=-1) / graph.count[:, None],
        )

    def kinds(self, tokens: Array) -> Array:
        """Which of `KINDS` each token is, by its number: the value before the end is the answer, the rest are steps.

        Args:
          tokens: `[..., T]`, sequences after the prompt.

        Returns:
          Integers of that shape; −1 for padding.
        """
        after = jnp.concatenate([tokens[..., 1:], jnp.full_like(tokens[..., :1], PAD)], axis=-1)
        kind = jnp.where((after == self.end) & (tokens != PAD), 3, jnp.where(tokens == PAD, NONE, 1))
        return jnp.where(tokens == self.end, 4, kind)


def graphs(
    operations: Any = (2, 4), *, most: int = 9, room: int | None = None, modulus: int = 7, second: Any = 0.0
) -> Graphs:
    """A graph task.

    Args:
      operations: least and largest number of operations, each 1 … `room`; `mixed` takes any shares.
      most: the largest number that the network will ever be asked, ≥ 1: it makes the vocabulary.
      room: the largest number that arrays have room for, 1 … `most`; default: `most`.
      modulus: m ≥ 2.
      second: share of questions in the second context, in [0, 1]; may be traced.

    Returns:
      A `Graphs` task.

    Raises:
      ValueError: an argument out of range.

    >>> task = graphs((2, 4))
    >>> task.vocabulary, task.length, task.within(4).length
    (45, 72, 32)
    """
    most = _check.integer("most", most, low=1)
    room = most if room is None else _room(room, most)
    share = jnp.asarray(_check.unit_interval("second", second))
    modulus = _check.integer("modulus", modulus, low=2)
    return Graphs(_band(operations[0], operations[1], most, room), share, modulus, most, room)


def _band(lowest: Any, highest: Any, most: int, room: int) -> Array:
    traced = isinstance(lowest, Tracer) or isinstance(highest, Tracer)
    if not traced and not 1 <= int(lowest) <= int(highest) <= room:
        raise ValueError(f"operations: {lowest} to {highest}; must be in this order and in 1 … {room}")
    number = 1 + jnp.arange(most)
    return jnp.where((number >= lowest) & (number <= highest), 1 / (highest - lowest + 1), 0.0)


def _room(room: int, most: int) -> int:
    if _check.integer("room", room, low=1) > most:
        raise ValueError(f"room: {room}; must be in 1 … {most}")
    return room


def _shares(operations: Any, most: int, room: int) -> Array:
    if isinstance(operations, Tracer):
        return operations
    shares = _check.distribution("operations", operations, tolerance=1e-6)
    if shares.shape != (most,) or np.any(shares[room:] > 0):
        raise ValueError(f"operations: {shares}; must be {most} shares, none of more than {room} operations")
    return jnp.asarray(shares)

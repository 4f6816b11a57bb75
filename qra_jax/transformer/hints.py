r"""Hints: questions whose prompts end with the beginning of a solution; what is left of it is to be written.

A solution is cut into four quarters up to its answer, and a level h of 0 … 4 gives the first h of them, in whole lines:
level 0 is the question alone, and level 4 leaves the answer and what follows it. The level is drawn for each question
from given chances. A decoder attends causally and to relative positions, so that what is given at the end of a prompt
is the same to it as what it has written itself; but it has not been sampled, and so nothing teaches it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _check
from qra_jax.transformer.graphs import LINE, Graphs
from qra_jax.transformer.sampling import PAD, Questions, Rollouts
from qra_jax.transformer.task import Demonstrations, Task, Verification

QUARTERS = 4
"""Parts of a solution; levels are 0 … 4."""


class Shown(Task, Protocol):
    """A task that shows solutions of given questions, such as `Arithmetic` and `Graphs`."""

    def show(self, questions: Questions) -> Demonstrations:
        """Solutions of given questions."""
        ...


class Given(NamedTuple):
    """The `truth` of questions with hints."""

    questions: Questions
    """The questions without."""
    tokens: Int[Array, "*b N T"]
    """The hints; 0 after them."""
    level: Int[Array, "*b N"]
    """How many quarters they are."""

    @property
    def length(self) -> Int[Array, "*b N"]:
        """Number of tokens that are given, `[N]`."""
        return jnp.sum(self.tokens != PAD, axis=-1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Hinted:
    """A task with hints. Build it with [`hinted`][].

    Attributes:
      task: the task without.
      chances: `[5]`, of the levels 0 … 4; may be traced.
      shares: `[n]`, chances of the patterns whose solutions are shown; may be traced.
      wrong: whether hints are those of another question; may be traced.
      line: number of tokens that are given together.
    """

    task: Shown
    chances: Float[Array, "*b 5"]
    shares: Float[Array, "*b n"]
    wrong: Bool[Array, "*b"]
    line: int = field(metadata={"static": True})

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.task.vocabulary

    @property
    def patterns(self) -> int:
        """n."""
        return self.task.patterns

    @property
    def length(self) -> int:
        """T, most tokens of a solution, with or without a hint."""
        return self.task.length

    @property
    def end(self) -> int | tuple[int, ...]:
        """The token that ends a sequence, or several of them."""
        return self.task.end

    def draw(self, key: Array, number: int) -> Questions:
        """Questions of the task with hints.

        Args:
          key: PRNG key; the questions are those that the task draws with it.
          number: N; two or more where hints are wrong.

        Returns:
          As [`give`][qra_jax.transformer.hints.Hinted.give].
        """
        first, second = jax.random.split(jax.random.fold_in(key, 1))
        level = jax.random.categorical(first, jnp.log(self.chances), shape=(number,))
        pattern = jax.random.categorical(second, jnp.log(self.shares), shape=(number,))
        return self.give(self.task.draw(key, number), level, pattern)

    def give(self, questions: Questions, level: Any, pattern: Any = 0) -> Questions:
        """The same questions with hints.

        Args:
          questions: `[N]`, of the task.
          level: `[N]` or one for all, 0 … 4.
          pattern: `[N]` or one for all, whose solution it is, 0 … n − 1.

        Returns:
          The questions, with prompts `[N, P + T]` padded to the left; `truth` is a [`Given`][]. A wrong hint is that of
          the question before, the first one having that of the last.
        """
        level, pattern = (jnp.broadcast_to(jnp.asarray(x), (questions.number,)) for x in (level, pattern))
        shown = self.task.show(questions)
        tokens = jnp.take_along_axis(shown.tokens, pattern[:, None, None], axis=1)[:, 0]
        whole = jnp.take_along_axis(shown.answer_at, pattern[:, None], axis=1)[:, 0]
        given = self.given(level, whole)
        place = jnp.arange(self.length)[None]
        hint = jnp.where(place < given[:, None], tokens, PAD)
        hint = jnp.where(self.wrong, jnp.roll(hint, 1, axis=0), hint)
        truth = Given(questions, hint, jnp.where(self.wrong, jnp.roll(level, 1), level))
        prompt = jax.vmap(jnp.roll)(
            jnp.concatenate([questions.prompt, hint], axis=1), self.length - truth.length
        )
        return Questions(prompt, truth)

    def given(self, level: Any, answer_at: Any) -> Array:
        """Number of tokens that a level gives: that many quarters of the lines up to the answer, a half rounded up.

        Args:
          level: 0 … 4, of any shape.
          answer_at: place of the answer, of a shape that fits.

        Returns:
          Integers; at most `answer_at`.
        """
        lines = -(-answer_at // self.line)
        return jnp.minimum((2 * level * lines + QUARTERS) // (2 * QUARTERS) * self.line, answer_at)

    def whole(self, questions: Questions, rollouts: Rollouts) -> Rollouts:
        """Sequences with their hints before what was sampled.

        Args:
          questions: `[N]`, with hints.
          rollouts: `[N, G, T]`, what was written after them.

        Returns:
          `[N, G, T]`; `where` is False in the hint. What has no room is left out.
        """
        given: Given = questions.truth
        place = jnp.arange(self.length)[None] - given.length[:, None]

        def moved(x: Array) -> Array:
            at = jnp.broadcast_to(jnp.maximum(place, 0)[:, None], (*x.shape[:2], self.length))
            later = jnp.take_along_axis(x, at, axis=-1)
            return jnp.where((place >= 0)[:, None], later, jnp.zeros_like(x))

        rest = jax.tree.map(moved, rollouts)
        return replace(rest, tokens=jnp.where((place < 0)[:, None], given.tokens[:, None], rest.tokens))

    def verify(self, key: Array, questions: Questions, rollouts: Rollouts) -> Verification:
        """Judge hints and what was written after them, as the task judges whole sequences.

        Args:
          key: PRNG key.
          questions: `[N]`, with hints.
          rollouts: `[N, G, T]`.

        Returns:
          `Verification`; lines that were given count as written.
        """
        return self.task.verify(key, questions.truth.questions, self.whole(questions, rollouts))

    def demonstrations(self, key: Array, number: int) -> Demonstrations:
        """What the base model learns from: those of the task, without hints.

        Args:
          key: PRNG key.
          number: N.

        Returns:
          The demonstrations.
        """
        return self.task.demonstrations(key, number)

    def kinds(self, tokens: Array) -> Array:
        """Which of `KINDS` each token is.

        Args:
          tokens: `[..., T]`.

        Returns:
          Integers of that shape.
        """
        return self.task.kinds(tokens)


def hinted(
    task: Shown, chances: Any = (0.2,) * 5, *, shares: Any = None, wrong: Any = False, line: Any = None
) -> Hinted:
    """A task with hints.

    Args:
      task: a task that shows solutions of its questions, such as `arithmetic()` and `graphs()`.
      chances: `[5]`, of the levels 0 … 4, where level h gives h quarters of a solution; may be traced.
      shares: `[n]`, chances of the patterns whose solutions are shown; default: equal ones; may be traced.
      wrong: whether hints are those of another question, for a control; may be traced.
      line: number of tokens that are given together, ≥ 1; default: those of a line in graphs, and else one.

    Returns:
      A `Hinted` task.

    Raises:
      ValueError: an argument out of range.

    Reference: Wang et al., arXiv 2506.04723 (SPARKLE): prompts with 0 to 4 quarters of the solution.

    >>> from qra_jax.transformer.procedures import arithmetic
    >>> import jax
    >>> task = hinted(arithmetic(10, operands=(3,)), (0, 0, 1, 0, 0), shares=(0, 1, 0, 0))  # half, of `running`
    >>> asked = task.draw(jax.random.key(0), 3)
    >>> asked.truth.length.tolist(), asked.truth.tokens[:, 0].tolist()
    ([3, 3, 3], [6, 6, 6])
    """
    chances = _check.distribution("chances", chances, tolerance=1e-6)
    if chances.shape != (QUARTERS + 1,):
        raise ValueError(f"chances: shape {chances.shape}; must be ({QUARTERS + 1},), one for each level")
    shares = jnp.full(task.patterns, 1 / task.patterns) if shares is None else shares
    shares = _check.distribution("shares", shares, tolerance=1e-6)
    if shares.shape != (task.patterns,):
        raise ValueError(f"shares: shape {shares.shape}; must be ({task.patterns},), one for each pattern")
    line = (LINE if isinstance(task, Graphs) else 1) if line is None else line
    size = _check.integer("line", line, low=1)
    return Hinted(task, jnp.asarray(chances), jnp.asarray(shares), jnp.asarray(wrong), size)

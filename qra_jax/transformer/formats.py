r"""Pre-training mixtures of formats for the arithmetic task: how often each is shown, and how often it is right.

A format is one of the procedures of [`arithmetic`][qra_jax.transformer.procedures.arithmetic]; a corpus shows every
one of them for each question, with the weight of its share. A set of demonstrations of quality q has a wrong answer
with chance 1 − q, drawn uniformly from all wrong ones, and steps that lead to it: the last step says what the answer
says. So a network that has learnt the corpus is right with chance q times the chance that it works without mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _check
from qra_jax.transformer.procedures import PATTERNS, Arithmetic
from qra_jax.transformer.task import Demonstrations

COLUMNS, RUNNING, SPLIT, GUESS = range(len(PATTERNS))
COUNTS = ("sequences", "tokens")
"""What shares may be shares of."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Formats:
    """A corpus in several formats. Build it with [`formats`][qra_jax.transformer.formats.formats].

    Attributes:
      task: asks the questions and knows the procedures.
      shares: `[4]`, share of each procedure in the sequences of the corpus; sums to one.
      quality: `[4]`, share of its demonstrations whose answer and last step are right.
    """

    task: Arithmetic
    shares: Float[Array, "*b patterns"]
    quality: Float[Array, "*b patterns"]

    @property
    def lengths(self) -> Float[Array, " patterns"]:
        """Mean tokens of a sequence of each procedure, from its name to the end token, `[4]`."""
        return jnp.asarray(_lengths(self.task), self.shares.dtype)

    @property
    def token_shares(self) -> Float[Array, "*b patterns"]:
        """Share of each procedure in the tokens of the corpus, `[4]`."""
        tokens = self.shares * jnp.broadcast_to(self.lengths, self.shares.shape)
        return tokens / jnp.sum(tokens, axis=-1, keepdims=True)

    @property
    def tokens(self) -> Float[Array, "*b"]:
        """Mean tokens of a sequence of the corpus, its question not counted."""
        return jnp.sum(self.shares * jnp.broadcast_to(self.lengths, self.shares.shape), axis=-1)

    def demonstrations(self, key: Array, number: int) -> Demonstrations:
        """All procedures for each of some fresh questions, right and wrong, with their exact shares.

        Args:
          key: PRNG key, of the questions and of the wrong answers.
          number: N.

        Returns:
          As [`Arithmetic.show`][qra_jax.transformer.procedures.Arithmetic.show] of questions that are not held out,
          and then the same sequences with a wrong answer: twice as many.
        """
        first, second = jax.random.split(key)
        right = self.task.show(self.task.draw(first, number), mixture=self.shares)
        shift = jax.random.randint(second, right.answer_at.shape, 1, self.task.base**2)
        wrong = self._spoilt(right, shift)
        quality = jnp.tile(self.quality, right.weight.shape[1] // self.task.patterns)[None]
        quality = quality.astype(right.weight.dtype)

        def both(a: Array, b: Array) -> Array:
            return jnp.concatenate([a, b], axis=1)

        return replace(
            right,
            tokens=both(right.tokens, wrong),
            where=both(right.where, right.where),
            weight=both(right.weight * quality, right.weight * (1 - quality)),
            answer_at=both(right.answer_at, right.answer_at),
        )

    def _spoilt(self, shown: Demonstrations, shift: Int[Array, "N G"]) -> Int[Array, "N G T"]:
        """The sequences with other answers, so much above the right ones mod b², and with last steps to match."""
        task, tokens = self.task, shown.tokens
        high, low = (self._at(tokens, shown.answer_at + i) - task.first_digit for i in (0, 1))
        said = (high * task.base + low + shift) % task.base**2
        digits = said // task.base + task.first_digit, said % task.base + task.first_digit
        place = jnp.arange(tokens.shape[-1])[None, None] - shown.answer_at[..., None]
        marked = (self._at(tokens, shown.answer_at - 1) == task.MARKER)[..., None]
        step = place + marked  # −1 for the last digit of the steps
        column = (jnp.arange(tokens.shape[1]) % task.patterns == COLUMNS)[None, :, None]
        silent = (jnp.arange(tokens.shape[1]) % task.patterns == GUESS)[None, :, None]
        is_high = (place == 0) | (~silent & jnp.where(column, step == -1, step == -2))
        is_low = (place == 1) | (~silent & jnp.where(column, step == -3, step == -1))
        tokens = jnp.where(is_high, digits[0][..., None], tokens)
        return jnp.where(is_low, digits[1][..., None], tokens)

    @staticmethod
    def _at(tokens: Array, place: Array) -> Array:
        return jnp.take_along_axis(tokens, place[..., None], axis=-1)[..., 0]


def formats(task: Arithmetic, shares: Any, *, quality: Any = 1.0, of: str = "sequences") -> Formats:
    r"""A corpus in several formats.

    With shares $s_r$ of the tokens and $\ell_r$ tokens a sequence, the shares of sequences are
    $(s_r/\ell_r)/\sum_j s_j/\ell_j$.

    Args:
      task: the arithmetic task.
      shares: `[4]`, shares of columns, running, split and guess; zero or above, they sum to one.
      quality: share of right answers, or one for each procedure, in [0, 1].
      of: what the shares are shares of, `"sequences"` or `"tokens"`.

    Returns:
      A `Formats` corpus; its `demonstrations` go to [`learn`][qra_jax.transformer.learning.learn].

    Raises:
      ValueError: an argument out of range.

    >>> from qra_jax.transformer import arithmetic
    >>> corpus = formats(arithmetic(4, operands=(2,)), [.5, 0, .5, 0], of="tokens")
    >>> corpus.lengths.tolist()  # name, steps, marker, two digits, end
    [8.0, 7.0, 11.0, 5.0]
    >>> [round(share, 3) for share in corpus.shares.tolist()]
    [0.579, 0.0, 0.421, 0.0]

    Reference: Zhao et al., arXiv 2504.07912 (mixtures of formats).
    """
    given = _check.distribution("shares", shares, tolerance=1e-6)
    if given.shape != (task.patterns,):
        raise ValueError(f"shares: length {len(given)}; must be {task.patterns}, one for each procedure")
    _check.choice("of", of, COUNTS)
    right = np.asarray(_check.unit_interval("quality", quality), float)
    if right.shape not in ((), (task.patterns,)):
        raise ValueError(f"quality: shape {right.shape}; must be one number or {task.patterns}")
    given = np.asarray(given, float)
    if of == "tokens":
        given = given / _lengths(task)
    given = given / given.sum()
    dtype = task.mixture.dtype
    return Formats(
        task, jnp.asarray(given, dtype), jnp.broadcast_to(jnp.asarray(right, dtype), (task.patterns,))
    )


def is_right(task: Arithmetic, shown: Demonstrations) -> Bool[Array, "N G"]:
    """Which demonstrated sequences have the right answer.

    Args:
      task: the task.
      shown: sequences.

    Returns:
      `[N, G]`.
    """
    high, low = (Formats._at(shown.tokens, shown.answer_at + i) - task.first_digit for i in (0, 1))
    return high * task.base + low == task.answer(shown.questions)[:, None]


def _lengths(task: Arithmetic) -> np.ndarray:
    """Mean tokens of a sequence, over operations and numbers of operands."""
    further = np.asarray(task.operands, float)[:, None] - 1
    sums = np.asarray([name == "+" for name in task.operations], float)[None]
    zero = 0 * further * sums
    steps = [np.where(sums > 0, 3.0, 3 * further), 2 * further + zero, 6.0 + zero, zero]
    return np.asarray([step.mean() for step in steps]) + 4 + np.asarray(task.announced)

r"""The arithmetic task: sums and products of two-digit numbers, worked out by one of four procedures.

A sequence is `operation, operands, | pattern, step … step, marker, answer, end`. A pattern is a procedure, and its
steps are what that procedure writes down, so that success rates are what a network can do and are given by nobody:

- `columns`: low digit, carry, high digit; a product does that operand by operand;
- `running`: the result so far, after each further operand;
- `split`: the result of the first half, of the second half, and of both;
- `guess`: nothing.

Numbers have two digits, high one first, and are taken mod base². Questions may have different numbers of operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _check
from qra_jax.transformer.sampling import PAD, Questions, Rollouts
from qra_jax.transformer.task import KINDS, NONE, Demonstrations, Verification

PATTERNS = ("columns", "running", "split", "guess")
OPERATIONS = ("+", "×")


class Asked(NamedTuple):
    """What is asked, `[N]` questions: the `truth` of `Questions`."""

    operation: Int[Array, "*b N"]
    """Number of the operation in `OPERATIONS`."""
    operands: Int[Array, "*b N K"]
    """Numbers in 0 … base² − 1; what stands after the first `count` does not count."""
    count: Int[Array, "*b N"]
    """How many operands."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Arithmetic:
    """An arithmetic task. Build it with [`arithmetic`][].

    Attributes:
      mixture: `[4]`, shares of the patterns in the corpus, π_ref.
      base: b; numbers are taken mod b².
      operations: which of `OPERATIONS` are asked, as often.
      operands: which numbers of operands are asked, as often.
      announced: `[4]`, chance that a sequence of the pattern has the marker.
      held: how many of the b² last operands are held out, after any beginning of a question.
    """

    mixture: Float[Array, " patterns"]
    base: int = field(metadata={"static": True})
    operations: tuple[str, ...] = field(metadata={"static": True})
    operands: tuple[int, ...] = field(metadata={"static": True})
    announced: tuple[float, ...] = field(metadata={"static": True})
    held: int = field(metadata={"static": True})

    # Tokens: padding, marker, end, operations, patterns, digits.
    MARKER = 1
    end = 2
    first_operation = 3
    first_pattern = first_operation + len(OPERATIONS)
    first_digit = first_pattern + len(PATTERNS)
    patterns = len(PATTERNS)

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.first_digit + self.base

    @property
    def most_steps(self) -> int:
        """Most tokens between pattern and marker."""
        further = max(self.operands) - 1
        return max(6, 2 * further, 3 * further if "×" in self.operations else 3)

    @property
    def length(self) -> int:
        """T: pattern, steps, marker, two digits, end."""
        return self.most_steps + 5

    def with_operands(self, operands: Sequence[int]) -> Arithmetic:
        """The same task with other numbers of operands, e.g. more than a network was trained on.

        Args:
          operands: numbers, each 2 or above.

        Returns:
          The task.

        Raises:
          ValueError: none, or a number below 2.
        """
        return replace(self, operands=_operands(operands))

    def ask(self, operation: Any, operands: Any, count: Any = None) -> Questions:
        """Questions of one's own.

        Args:
          operation: `[N]`, 0 for sums, 1 for products.
          operands: `[N, K]`, 0 … b² − 1.
          count: `[N]`, how many of them count, 2 … K; default: all.

        Returns:
          Their prompts `[N, 1 + 2K]`, padded to the left.
        """
        operation, operands = jnp.asarray(operation), jnp.asarray(operands)
        number, most = operands.shape
        count = jnp.full(number, most) if count is None else jnp.asarray(count)
        digits = jnp.stack([operands // self.base, operands % self.base], axis=-1) + self.first_digit
        digits = jnp.where((jnp.arange(most)[None] < count[:, None])[..., None], digits, PAD)
        prompt = jnp.concatenate(
            [self.first_operation + operation[:, None], digits.reshape(number, -1)], axis=1
        )
        prompt = jax.vmap(jnp.roll)(prompt, 2 * (most - count))
        return Questions(prompt, Asked(operation, operands, count))

    def draw(self, key: Array, number: int, *, held: bool = False) -> Questions:
        """Fresh questions, uniform over those of their kind.

        Args:
          key: PRNG key.
          number: N.
          held: draw from the questions that are held out, or else from the others.

        Returns:
          The questions.

        Raises:
          ValueError: none are held out.
        """
        if held and not self.held:
            raise ValueError("held: True; must be False, or the task made with held > 0")
        keys, values = jax.random.split(key, 4), self.base**2
        kinds = [OPERATIONS.index(name) for name in self.operations]
        operation = jax.random.choice(keys[0], jnp.asarray(kinds), (number,))
        count = jax.random.choice(keys[1], jnp.asarray(self.operands), (number,))
        operands = jax.random.randint(keys[2], (number, max(self.operands)), 0, values)
        low, high = (0, self.held) if held else (self.held, values)
        fold = jax.random.randint(keys[3], (number,), low, high)
        last = (fold - _scrambled(Asked(operation, operands, count), values)) % values
        place = jnp.arange(operands.shape[1])[None]
        operands = jnp.where(place == count[:, None] - 1, last[:, None], operands)
        return self.ask(operation, jnp.where(place < count[:, None], operands, 0), count)

    def is_held(self, questions: Questions) -> Bool[Array, " N"]:
        """Which questions are held out, so that `draw` never asks them unless told to.

        Args:
          questions: `[N]`.

        Returns:
          `[N]`.
        """
        asked, values = questions.truth, self.base**2
        last = jnp.take_along_axis(asked.operands, asked.count[:, None] - 1, axis=1)[:, 0]
        return (last + _scrambled(asked, values)) % values < self.held

    def answer(self, questions: Questions) -> Int[Array, " N"]:
        """Right answers.

        Args:
          questions: `[N]`.

        Returns:
          `[N]`, 0 … b² − 1.
        """
        return self._worked(questions.truth)[0]

    def demonstrations(self, key: Array, number: int, *, mixture: Any = None) -> Demonstrations:
        """All procedures for each of some fresh questions, without mistakes, with their exact shares.

        Args:
          key: PRNG key.
          number: N.
          mixture: `[4]`, shares of the patterns in place of π_ref: for SFT.

        Returns:
          As [`show`][] of questions that are not held out.
        """
        return self.show(self.draw(key, number), mixture=mixture)

    def show(self, questions: Questions, *, mixture: Any = None) -> Demonstrations:
        """All procedures for given questions.

        Args:
          questions: `[N]`.
          mixture: `[4]`, shares of the patterns in place of π_ref.

        Returns:
          G = 4 sequences for each question, every pattern with the marker; where the marker may be missing G = 8,
          then every pattern without.
        """
        answer, steps, length = self._worked(questions.truth)
        shares = self.mixture if mixture is None else jnp.asarray(mixture)
        chance = jnp.asarray(self.announced, shares.dtype)
        rows, places, weights = [], [], []
        for marked in (True, False) if min(self.announced) < 1 else (True,):
            row, place = self._rows(answer, steps, length, marked)
            rows.append(row)
            places.append(place)
            weights.append(shares * (chance if marked else 1 - chance))
        tokens, place = jnp.concatenate(rows, axis=1), jnp.concatenate(places, axis=1)
        weight = jnp.broadcast_to(jnp.concatenate(weights)[None], place.shape)
        opens = jnp.arange(self.vocabulary) >= self.first_digit
        return Demonstrations(questions, tokens, tokens != PAD, weight, place, opens, self.patterns)

    def verify(self, key: Array, questions: Questions, rollouts: Rollouts) -> Verification:
        """Judge answers, and the steps before them.

        The answer is what the last two digits before the end say; the marker has to stand before them or nowhere.

        Args:
          key: not used.
          questions: `[N]`.
          rollouts: `[N, G, T]`.

        Returns:
          `Verification`; a sequence that is not of the form `pattern, digits, (marker,) two digits, end` has neither
          answer nor pattern.
        """
        tokens, place = rollouts.tokens, jnp.arange(rollouts.tokens.shape[-1])[None, None]
        stop = jnp.argmax(tokens == self.end, axis=-1)  # 0 where there is none
        inside = (place > 0) & (place < stop[..., None])
        marked = inside & (tokens == self.MARKER)
        marks = jnp.sum(marked, axis=-1)
        at_marker = jnp.any(marked & (place == stop[..., None] - 3), axis=-1)
        pattern = tokens[..., 0] - self.first_pattern
        known = (pattern >= 0) & (pattern < self.patterns) & (stop >= 3 + marks)
        known = known & jnp.all(~inside | marked | (tokens >= self.first_digit), axis=-1)
        known = known & ((marks == 0) | ((marks == 1) & at_marker))
        digits = [
            jnp.sum(jnp.where(place == stop[..., None] - back, tokens - self.first_digit, 0), axis=-1)
            for back in (2, 1)
        ]
        said = jnp.where(known, digits[0] * self.base + digits[1], NONE)
        answer, steps, length = self._worked(questions.truth)
        which = jnp.clip(pattern, 0, self.patterns - 1)
        own = jnp.take_along_axis(steps, which[..., None], axis=1)
        count = jnp.take_along_axis(length, which, axis=1)
        written = tokens[..., 1 : 1 + own.shape[-1]]
        same = (written == own + self.first_digit) | (place[..., : own.shape[-1]] >= count[..., None])
        followed = known & (stop - 3 - marks == count) & jnp.all(same, axis=-1)
        return Verification(
            right=said == answer[:, None],
            formatted=known & (marks == 1),
            pattern=jnp.where(known, pattern, NONE),
            steps=followed,
            answer=said,
        )

    def kinds(self, tokens: Array) -> Array:
        """Which of `KINDS` each token is, by its number; −1 for others. The last two digits are the answer.

        Args:
          tokens: `[..., T]`, sequences after the prompt.

        Returns:
          Integers of that shape.
        """
        pattern, step, marker, answer, end = range(len(KINDS))
        after = jnp.concatenate([tokens[..., 1:], jnp.full_like(tokens[..., :1], PAD)], axis=-1)
        further = jnp.concatenate([after[..., 1:], jnp.full_like(tokens[..., :1], PAD)], axis=-1)
        digit = jnp.where((after == self.end) | (further == self.end), answer, step)
        named = (tokens >= self.first_pattern) & (tokens < self.first_digit)
        kind = jnp.where(tokens >= self.first_digit, digit, jnp.where(named, pattern, NONE))
        return jnp.where(tokens == self.MARKER, marker, jnp.where(tokens == self.end, end, kind))

    def _rows(self, answer: Array, steps: Array, length: Array, marked: bool) -> tuple[Array, Array]:
        """Sequences `[N, n, T]` of all patterns, and the place of their answer."""
        place = jnp.arange(self.length)[None, None]
        start = 1 + length + marked
        at = place - start[..., None]
        names = jnp.broadcast_to((self.first_pattern + jnp.arange(self.patterns))[None], length.shape)
        tokens = jnp.pad(steps + self.first_digit, ((0, 0), (0, 0), (1, self.length - 1 - steps.shape[-1])))
        tokens = jnp.where(place == 0, names[..., None], tokens)
        digits = self.first_digit + jnp.stack([answer // self.base, answer % self.base])[..., None, None]
        ending = [(-1, jnp.asarray(self.MARKER)), (0, digits[0]), (1, digits[1]), (2, jnp.asarray(self.end))]
        for offset, token in ending if marked else ending[1:]:
            tokens = jnp.where(at == offset, token, tokens)
        return jnp.where(at > 2, PAD, tokens), start

    def _worked(self, asked: Asked) -> tuple[Array, Array, Array]:
        """Answers `[N]`, digits that each procedure writes `[N, n, S]`, and how many `[N, n]`."""
        b, most = self.base, asked.operands.shape[1]
        sums = asked.operation == 0
        counts = [j < asked.count for j in range(most)]
        x = [jnp.where(counts[j], asked.operands[:, j], asked.operation) for j in range(most)]  # else neutral

        def join(a: Array, c: Array) -> Array:
            return jnp.where(sums, a + c, a * c) % b**2

        totals = [x[0]]
        for each in x[1:]:
            totals.append(join(totals[-1], each))
        half, first, second = (asked.count + 1) // 2, asked.operation, asked.operation
        for j, each in enumerate(x):
            first = jnp.where(j < half, join(first, each), first)
            second = jnp.where(j < half, second, join(second, each))
        low = sum(jnp.where(used, each % b, 0) for used, each in zip(counts, x, strict=True))
        high = sum(jnp.where(used, each // b, 0) for used, each in zip(counts, x, strict=True)) + low // b
        by_column = [low % b, low // b % b, high % b]
        by_operand = []
        for a, c in zip(totals, x[1:], strict=False):
            low = (a % b) * (c % b)
            by_operand += [low % b, low // b, ((a // b) * (c % b) + (a % b) * (c // b) + low // b) % b]
        size = max(self.most_steps, 3 * (most - 1), 6)

        def digits(numbers: list[Array]) -> list[Array]:
            return [digit for each in numbers for digit in (each // b, each % b)]

        def padded(digits: Sequence[Array | int]) -> Array:
            zeros = [jnp.zeros_like(asked.count)] * (size - len(digits))
            return jnp.stack([*digits, *zeros], axis=-1)

        columns = jnp.where(sums[:, None], padded(by_column), padded(by_operand))
        rest = [padded(digits(totals[1:])), padded(digits([first, second, totals[-1]])), padded([])]
        further = asked.count - 1
        length = [jnp.where(sums, 3, 3 * further), 2 * further, jnp.full_like(further, 6), 0 * further]
        steps = jnp.stack([columns, *rest], axis=1)[..., : self.most_steps]
        return totals[-1], steps, jnp.stack(length, axis=1)


def arithmetic(
    base: int = 4,
    *,
    operations: Sequence[str] = ("+",),
    operands: Sequence[int] = (2, 3),
    mixture: Any = None,
    announced: Any = 1.0,
    held: float = 0.125,
) -> Arithmetic:
    """An arithmetic task.

    Args:
      base: b ≥ 2; numbers have two digits and are taken mod b².
      operations: some of `"+"` and `"×"`.
      operands: numbers of operands, each 2 or above.
      mixture: `[4]`, shares of columns, running, split and guess in the corpus; default: equal ones.
      announced: chance, or one for each pattern, that the marker before the answer is there, in [0, 1].
      held: share of the questions that are held out, in [0, 1), to the nearest of 1/b²: after any beginning of a
        question as many last operands, picked by scrambling the beginning.

    Returns:
      An `Arithmetic` task.

    Raises:
      ValueError: an argument out of range.

    >>> task = arithmetic(10, operands=(3,))
    >>> question = task.ask([0], [[17, 28, 96]])
    >>> int(task.answer(question)[0])
    41
    >>> shown = task.show(question)
    >>> (shown.tokens[0, 1] - task.first_digit).tolist()[1:5]  # 17 + 28 = 45, 45 + 96 = 41
    [4, 5, 4, 1]
    """
    base = _check.integer("base", base, low=2)
    operations = tuple(operations)
    if not operations:
        raise ValueError("operations: empty; must be some of '+', '×'")
    for name in operations:
        _check.choice("operations", name, OPERATIONS)
    shares = np.full(len(PATTERNS), 1 / len(PATTERNS)) if mixture is None else mixture
    shares = _check.distribution("mixture", shares, tolerance=1e-6)
    if shares.shape != (len(PATTERNS),):
        raise ValueError(f"mixture: length {len(shares)}; must be {len(PATTERNS)}, one for each pattern")
    chance = np.broadcast_to(_check.unit_interval("announced", announced), (len(PATTERNS),))
    count = round(float(_check.unit_interval("held", held)) * base**2)
    if count == base**2:
        raise ValueError(f"held: {held}; must leave questions to learn from")
    kinds = tuple(float(c) for c in chance)
    return Arithmetic(jnp.asarray(shares), base, operations, _operands(operands), kinds, count)


def _operands(operands: Sequence[int]) -> tuple[int, ...]:
    if not len(operands):
        raise ValueError("operands: empty; must be numbers, 2 or above")
    return tuple(_check.integer("operands", count, low=2) for count in operands)


def _scrambled(asked: Asked, values: int) -> Array:
    """A number in 0 … values − 1 that looks random, from all of a question but its last operand."""
    state = (asked.operation * 64 + asked.count).astype(jnp.uint32)
    for j in range(asked.operands.shape[1]):  # the finaliser of MurmurHash3 after each operand
        mixed = state * jnp.uint32(31) + asked.operands[:, j].astype(jnp.uint32)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            mixed = (mixed ^ (mixed >> shift)) * jnp.uint32(factor)
        state = jnp.where(j < asked.count - 1, mixed, state)
    return (state % jnp.uint32(values)).astype(asked.count.dtype)

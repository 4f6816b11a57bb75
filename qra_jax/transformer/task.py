r"""The controlled task: token sequences whose pattern statistics are a stack of `Problem`s.

A sequence is `question, pattern, step … step, marker, answer, end`. Which pattern follows a question, and which answer
follows a pattern, is drawn from a `Problem`; steps are the pattern's own tokens, so that sequences differ in length.
The marker that announces the answer is left out now and then; a verifier that asks for it calls such an answer wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _check
from qra_jax.problem import Problem
from qra_jax.transformer.sampling import PAD, Questions, Rollouts

NONE = -1
"""Stands for no pattern, and for no answer."""
KINDS = ("pattern", "step", "marker", "answer", "end")
"""Kinds of tokens after the prompt."""


class Verification(NamedTuple):
    """What a verifier says of `[N, G]` sequences."""

    right: Bool[Array, "N G"]
    """The answer is the right one, announced or not."""
    formatted: Bool[Array, "N G"]
    """The answer is announced by the marker, and the sequence is complete."""
    pattern: Int[Array, "N G"]
    """Which pattern was used; −1 if none."""
    steps: Bool[Array, "N G"]
    """The steps written out are those of the pattern, without a mistake."""
    answer: Int[Array, "N G"]
    """A number for the answer, equal for equal answers; −1 if there is none."""
    progress: Float[Array, "N G"] | None = None
    """The share of the steps that are right, where the task checks each of them."""


class Solutions(NamedTuple):
    """All sequences that may be right, M for each of N questions: no other is."""

    tokens: Int[Array, "N M T"]
    """Up to and with the end token; 0 after it."""
    right: Float[Array, "N M"]
    """Chance that the verifier calls the answer right."""
    formatted: Bool[Array, "N M"]
    """The answer is announced by the marker, and the sequence is complete."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Demonstrations:
    """Weighted sequences to learn from, G for each of N questions.

    Attributes:
      questions: their prompts.
      tokens: `[N, G, T]`, up to and with the end token; 0 after it.
      where: `[N, G, T]`, which tokens are to be learnt.
      weight: `[N, G]`, share of each sequence; sums to one over G.
      patterns: n; sequence g shows pattern g mod n.
      opens: `[V]`, tokens that an answer may begin with.
      answer_at: `[N, G]`, place of the (first) answer token.
      answers: `[N, G, V]`, distribution of the token there, where it is not the one in `tokens`.
    """

    questions: Questions
    tokens: Int[Array, "*b N G T"]
    where: Bool[Array, "*b N G T"]
    weight: Float[Array, "*b N G"]
    answer_at: Int[Array, "*b N G"]
    opens: Bool[Array, "*b V"]
    patterns: int = field(metadata={"static": True})
    answers: Float[Array, "*b N G V"] | None = None


@runtime_checkable
class Task(Protocol):
    """What pre-training, RL and probes need to know of a task."""

    @property
    def vocabulary(self) -> int:
        """V."""
        ...

    @property
    def patterns(self) -> int:
        """n."""
        ...

    @property
    def length(self) -> int:
        """T, most tokens after the prompt."""
        ...

    @property
    def end(self) -> int | tuple[int, ...]:
        """The token that ends a sequence, or several of them."""
        ...

    def draw(self, key: Array, number: int) -> Questions:
        """Questions to train on."""
        ...

    def demonstrations(self, key: Array, number: int) -> Demonstrations:
        """What a base model learns from."""
        ...

    def verify(self, key: Array, questions: Questions, rollouts: Rollouts) -> Verification:
        """Judge answers."""
        ...

    def kinds(self, tokens: Array) -> Array:
        """Which of `KINDS` each token is."""
        ...


@runtime_checkable
class Enumerable(Protocol):
    """What exact values of unfinished sequences need of a task."""

    def solutions(self, questions: Questions) -> Solutions:
        """All sequences that may be right."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Controlled:
    """A task whose base policy and success rates are given. Build it with [`controlled`][].

    Attributes:
      problem: stacked, `[questions, patterns]`; its answer table says what each pattern answers.
      key: `[questions]`, the right answer of each question, 0 … m − 1; column j of the table stands for the
        answer key + j (mod m).
      announced: `[patterns]`, chance that a sequence of the pattern has the marker.
      steps: number of steps of each pattern.
      digits: number of tokens that a question is written with.
      coin: answers are right with the probability that the problem gives their pattern, whatever they say; may be
        traced.
      held_out: how many of the questions, the last ones, `draw` never asks.
    """

    problem: Problem
    key: Int[Array, "*b questions"]
    announced: Float[Array, "*b patterns"]
    steps: tuple[int, ...] = field(metadata={"static": True})
    digits: int = field(default=2, metadata={"static": True})
    coin: bool | Bool[Array, "*b"] = False
    held_out: int = field(default=0, metadata={"static": True})

    # Tokens: padding, marker, end, then digits of questions, patterns, steps, answers.
    MARKER = 1
    end = 2

    @property
    def number(self) -> int:
        """Number of questions."""
        return self.problem.log_ref.shape[0]

    @property
    def patterns(self) -> int:
        """n."""
        return self.problem.patterns

    @property
    def choices(self) -> int:
        """m, number of answers."""
        return self.problem.answer_table().shape[-1]

    @property
    def base(self) -> int:
        """Number of digits that questions are written with."""
        return max(2, int(np.ceil(self.number ** (1 / self.digits) - 1e-9)))

    @property
    def first_pattern(self) -> int:
        """Token of pattern 0."""
        return 3 + self.base

    @property
    def first_step(self) -> int:
        """Token of the first step of pattern 0."""
        return self.first_pattern + self.patterns

    @property
    def first_answer(self) -> int:
        """Token of answer 0."""
        return self.first_step + sum(self.steps)

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.first_answer + self.choices

    @property
    def length(self) -> int:
        """T: pattern, steps, marker, answer, end."""
        return 4 + max(self.steps)

    def questions(self, index: Any) -> Questions:
        """The questions with these numbers.

        Args:
          index: `[N]`, 0 … questions − 1.

        Returns:
          Their prompts; `truth` is the index.
        """
        index = jnp.asarray(index)
        powers = self.base ** jnp.arange(self.digits)[::-1]
        return Questions(3 + index[:, None] // powers[None] % self.base, index)

    def draw(self, key: Array, number: int) -> Questions:
        """Questions for RL, none twice as long as there are enough: for `number` = all of them, each once.

        Args:
          key: PRNG key.
          number: N.

        Returns:
          The questions.
        """
        return self._choose(key, number, self.number - self.held_out)

    def _choose(self, key: Array, number: int, pool: int) -> Questions:
        if number == pool:
            return self.questions(jnp.arange(number))
        rounds = -(-number // pool)
        order = [jax.random.permutation(k, pool) for k in jax.random.split(key, rounds)]
        return self.questions(jnp.concatenate(order)[:number])

    def demonstrations(
        self,
        key: Array | None = None,
        number: int | None = None,
        *,
        mixture: Any = None,
        success: Any = None,
    ) -> Demonstrations:
        """All sequences of the corpus with their exact shares, so that there is next to no noise in learning them.

        Args:
          key: PRNG key for the choice of questions and for the answers that stand in `tokens`, drawn as the problem
            says; where left out (with `number`), all questions with their right answers.
          number: N; default: all questions.
          mixture: `[patterns]` or `[questions, patterns]`, shares of the patterns in place of π_ref: for SFT.
          success: `[patterns]` or `[questions, patterns]`, success rates in place of the problem's; the rest is
            spread over wrong answers as the problem spreads it.

        Returns:
          G = 2n sequences for each question: every pattern with the marker, then without.
        """
        questions = self.questions(jnp.arange(self.number))
        if number is not None:
            assert key is not None
            questions = self._choose(key, number, self.number)
        index, n = questions.truth, self.patterns
        shares = self.problem.ref if mixture is None else jnp.asarray(mixture)
        shares = jnp.broadcast_to(shares, (self.number, n))[index]
        weight = jnp.concatenate([shares * self.announced[None], shares * (1 - self.announced[None])], axis=1)
        table = self.problem.answer_table()
        if success is not None:
            right = jnp.broadcast_to(jnp.asarray(success, table.dtype), (self.number, n))[..., None]
            wrong = table[..., 1:]
            total = jnp.sum(wrong, axis=-1, keepdims=True)
            even = jnp.full_like(wrong, 1 / wrong.shape[-1])
            spread = jnp.where(total > 0, wrong / jnp.where(total > 0, total, 1.0), even)
            table = jnp.concatenate([right, (1 - right) * spread], axis=-1)
        column = (jnp.arange(self.choices)[None] - self.key[index][:, None]) % self.choices
        answers = jnp.take_along_axis(table[index], column[:, None], axis=-1)
        answers = jnp.pad(answers, ((0, 0), (0, 0), (self.first_answer, 0)))
        rows, places = self._skeleton()
        tokens = jnp.broadcast_to(rows[None], (len(index), *rows.shape))
        place = jnp.broadcast_to(places[None], (len(index), 2 * n))
        answers = jnp.tile(answers, (1, 2, 1)).astype(weight.dtype)
        said = jnp.broadcast_to((self.first_answer + self.key[index])[:, None], place.shape)
        if key is not None:
            said = jax.random.categorical(jax.random.fold_in(key, 1), jnp.log(answers))
        at_answer = jnp.arange(self.length)[None, None] == place[..., None]
        tokens = jnp.where(at_answer, said[..., None], tokens)
        where = jnp.broadcast_to((rows != PAD)[None], tokens.shape)
        opens = jnp.arange(self.vocabulary) >= self.first_answer
        return Demonstrations(questions, tokens, where, weight, place, opens, n, answers)

    def solutions(self, questions: Questions) -> Solutions:
        """All sequences that may be right: those of the corpus, with the right answer (with any, where `coin`).

        Args:
          questions: `[N]`.

        Returns:
          M = 2n sequences for each question, or 2nm, every pattern with the marker, then without.
        """
        rows, places = self._skeleton()
        index, kinds = questions.truth, rows.shape[0]
        said = self.key[index][:, None]  # [N, answers]
        if self.coin is not False:
            said = jnp.broadcast_to(jnp.arange(self.choices)[None], (questions.number, self.choices))
        slot = jnp.arange(self.length)[None] == places[:, None]
        tokens = jnp.where(slot[None, None], self.first_answer + said[..., None, None], rows[None, None])
        chance = jnp.tile(self.problem.success[index], (1, 2))[:, None]  # [N, 1, 2n]
        own = (said == self.key[index][:, None])[..., None]
        right = jnp.where(self.coin, chance, own.astype(chance.dtype))
        formatted = (jnp.arange(kinds) < self.patterns)[None, None]
        shape = questions.number, said.shape[1] * kinds
        return Solutions(
            tokens.reshape(*shape, self.length),
            jnp.broadcast_to(right, (*said.shape, kinds)).reshape(shape),
            jnp.broadcast_to(formatted, (*said.shape, kinds)).reshape(shape),
        )

    def _skeleton(self) -> tuple[Array, Array]:
        """Sequences of all patterns with marker, then without, and the place of their answer."""
        rows, places = [], []
        for marked in (True, False):
            for r, count in enumerate(self.steps):
                first = self.first_step + sum(self.steps[:r])
                row = [self.first_pattern + r, *range(first, first + count), *[self.MARKER] * marked]
                places.append(len(row))
                row += [self.first_answer, self.end]
                rows.append(row + [PAD] * (self.length - len(row)))
        return jnp.asarray(rows), jnp.asarray(places)

    def kinds(self, tokens: Array) -> Array:
        """Which of `KINDS` each token is, by its number; −1 for others.

        Args:
          tokens: integers of any shape.

        Returns:
          Integers of that shape.
        """
        first = [self.first_pattern, self.first_step, self.first_answer, self.vocabulary]
        kind = jnp.searchsorted(jnp.asarray(first), tokens, side="right") - 1
        kind = jnp.asarray([NONE, 0, 1, 3, NONE])[kind + 1]
        return jnp.where(tokens == self.MARKER, 2, jnp.where(tokens == self.end, 4, kind))

    def verify(self, key: Array, questions: Questions, rollouts: Rollouts) -> Verification:
        """Judge sequences by comparing them with the corpus.

        Args:
          key: PRNG key; used where `coin`.
          questions: `[N]`.
          rollouts: `[N, G, T]`.

        Returns:
          `Verification`; a sequence that is none of the corpus' (but for its answer) has neither answer nor pattern.
        """
        rows, places = self._skeleton()
        tokens = rollouts.tokens[:, :, None]  # [N, G, 1, T] against [2n, T]
        slot = jnp.arange(self.length)[None] == places[:, None]
        fits = jnp.all((tokens == rows[None, None]) | slot[None, None], axis=-1)
        said = jnp.sum(jnp.where(slot[None, None], tokens, 0), axis=-1) - self.first_answer
        fits = fits & (said >= 0) & (said < self.choices)
        which, known = jnp.argmax(fits, axis=-1), jnp.any(fits, axis=-1)
        answer = jnp.where(known, jnp.take_along_axis(said, which[..., None], axis=-1)[..., 0], NONE)
        pattern = jnp.where(known, which % self.patterns, NONE)
        right = answer == self.key[questions.truth][:, None]
        chance = jnp.take_along_axis(self.problem.success[questions.truth], which % self.patterns, axis=1)
        right = jnp.where(self.coin, known & (jax.random.uniform(key, chance.shape) < chance), right)
        return Verification(right, known & (which < self.patterns), pattern, known, answer)


def controlled(
    problem: Problem,
    *,
    answer_key: Any = None,
    announced: Any = 1.0,
    steps: tuple[int, ...] | None = None,
    digits: int = 2,
    coin: bool = False,
    held_out: int = 0,
) -> Controlled:
    """A controlled task from stacked problems.

    Args:
      problem: `[questions, patterns]` (see `qra_jax.problem.stack`); its answer table, if any, says how pattern r
        spreads over m answers.
      answer_key: `[questions]`, right answers in 0 … m − 1; default: i mod m for question i.
      announced: chance, or one for each pattern, that the marker before the answer is there, in [0, 1].
      steps: number of steps of each pattern, zero or above; default: 1, 2, …
      digits: tokens of a question, ≥ 1; questions share them.
      coin: an answer counts as right with its pattern's success rate, whatever it says: success rates that no
        training can change.
      held_out: number of questions, the last ones, that RL never asks; below the number of questions.

    Returns:
      A `Controlled` task.

    Raises:
      ValueError: problems that are not stacked, or an argument out of range.

    >>> from qra_jax.problem import examples, stack
    >>> task = controlled(stack([examples.worked()] * 4))
    >>> task.vocabulary, task.length
    (16, 7)
    """
    if problem.log_ref.ndim != 2:
        raise ValueError(
            f"problem: log_ref has shape {problem.log_ref.shape}; must be stacked, [questions, patterns]"
        )
    questions, patterns = problem.log_ref.shape
    choices = problem.answer_table().shape[-1]
    key = np.arange(questions) % choices if answer_key is None else np.asarray(answer_key)
    if key.shape != (questions,) or key.min() < 0 or key.max() >= choices:
        raise ValueError(f"answer_key: must be {questions} numbers in 0 … {choices - 1}")
    steps = tuple(range(1, patterns + 1)) if steps is None else tuple(steps)
    if len(steps) != patterns or min(steps) < 0:
        raise ValueError(f"steps: {steps}; must be {patterns} numbers, zero or above")
    announced = np.broadcast_to(_check.unit_interval("announced", announced), (patterns,))
    _check.integer("digits", digits, low=1)
    dtype = problem.success.dtype
    if not 0 <= _check.integer("held_out", held_out, low=0) < questions:
        raise ValueError(f"held_out: {held_out}; must be in 0 … {questions - 1}")
    return Controlled(problem, jnp.asarray(key), jnp.asarray(announced, dtype), steps, digits, coin, held_out)

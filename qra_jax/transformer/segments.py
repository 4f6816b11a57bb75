r"""Next-segment prediction: the text that a task's corpus consists of, cut in two, the second part being what is asked.

A document is a prompt with one of its demonstrations, drawn with the shares that the corpus gives them. A question is
its beginning, and the right answer is what comes next in it: so many tokens, or all that is left,

    prompt  o₁ … o_c | o_{c+1} … o_{c+s}.

The corpus itself verifies, so that any text can be trained on by reinforcement. With exact match and shares μ of the
continuations of one beginning, the expected reward of a policy is

$$ J(\pi)=\sum_o\mu(o)\,\pi(o), $$

which is largest where all of π is at the *mode* of μ, and says nothing of the rest; supervised learning of the same
text, −Σ μ log π, is least at π = μ. Nothing is written before the answer here: the papers let a model think first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from qra_jax import _check
from qra_jax.transformer.sampling import PAD, Questions, Rollouts
from qra_jax.transformer.task import Demonstrations, Task, Verification

CUTS = ("random", "answer")
"""Names of cuts that are no numbers."""
PARTIAL = ("prefix", "tokens")
"""How a partial match is counted."""


class Segment(NamedTuple):
    """What comes next, `[N]` documents: the `truth` of `Questions`."""

    tokens: Int[Array, "*b N T"]
    """The right answer, 0 after it."""
    count: Int[Array, "*b N"]
    """How many tokens it has."""
    cut: Int[Array, "*b N"]
    """How many tokens of the demonstration the question shows."""
    answer_at: Int[Array, "*b N"]
    """Place of the first answer token in the segment; 0 or below where it is shown, or first."""
    asked: Any
    """The `truth` of the task's own question."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NextSegment:
    """Next-segment prediction on the text of a task. Build it with [`next_segment`][].

    Attributes:
      task: the task whose corpus is the text.
      shuffled: whether each question is paid for the segment of another document; may be traced.
      cut: how many tokens of the demonstration are shown, or one of `CUTS`.
      size: most tokens of a segment; `None`: all that are left.
      first: the first place of random cuts.
      stride: tokens between the places of random cuts.
      partial: how a partial match is counted, one of `PARTIAL`.
    """

    task: Any
    shuffled: bool | Bool[Array, "*b"] = False
    cut: int | str = field(default=0, metadata={"static": True})
    size: int | None = field(default=None, metadata={"static": True})
    first: int = field(default=0, metadata={"static": True})
    stride: int = field(default=1, metadata={"static": True})
    partial: str = field(default="prefix", metadata={"static": True})

    patterns = 1

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.task.vocabulary

    @property
    def least(self) -> int:
        """Fewest tokens that are shown."""
        return self.cut if isinstance(self.cut, int) else self.first if self.cut == "random" else 0

    @property
    def most(self) -> int:
        """Room for the tokens that are shown."""
        return self.cut if isinstance(self.cut, int) else self.task.length - 1

    @property
    def length(self) -> int:
        """T, most tokens of a segment."""
        left = self.task.length - self.least
        return left if self.size is None else min(self.size, left)

    @property
    def end(self) -> int | tuple[int, ...]:
        """The token that ends a document: a segment ends with it, or after `size` tokens."""
        return self.task.end

    def draw(self, key: Array, number: int) -> Questions:
        """Beginnings of documents drawn from the corpus.

        Args:
          key: PRNG key.
          number: N.

        Returns:
          The questions, with prompts `[N, P + most]` padded to the left; `truth` is the [`Segment`][].
        """
        return self._drawn(key, number)[0]

    def demonstrations(self, key: Array, number: int) -> Demonstrations:
        """The same text to learn from: the documents that `draw` asks with this key, with what comes next.

        Args:
          key: PRNG key.
          number: N.

        Returns:
          One sequence for each question.
        """
        questions, opens = self._drawn(key, number)
        truth: Segment = questions.truth
        tokens = truth.tokens[:, None]
        weight, place = jnp.ones(tokens.shape[:2]), jnp.maximum(truth.answer_at, 0)[:, None]
        return Demonstrations(questions, tokens, tokens != PAD, weight, place, opens, self.patterns)

    def verify(self, key: Array, questions: Questions, rollouts: Rollouts) -> Verification:
        """Compare what was written with what comes next in the document.

        Args:
          key: not used.
          questions: `[N]`.
          rollouts: `[N, G, T]`.

        Returns:
          `Verification`: `right`, every token is the document's; `progress`, the share of its tokens that are, up to
          the first that is not, or anywhere, as `partial` says; `answer`, the first rollout of the group that says
          the same. There is no format to keep to.
        """
        truth: Segment = questions.truth
        same = rollouts.tokens == truth.tokens[:, None]
        right = jnp.all(same, axis=-1)
        told = jnp.arange(same.shape[-1])[None, None] < truth.count[:, None, None]
        matched = (jnp.cumprod(same, axis=-1) > 0 if self.partial == "prefix" else same) & told
        equal = jnp.all(rollouts.tokens[:, :, None] == rollouts.tokens[:, None], axis=-1)
        return Verification(
            right=right,
            formatted=jnp.ones_like(right),
            pattern=jnp.zeros(right.shape, int),
            steps=right,
            answer=jnp.argmax(equal, axis=-1),
            progress=jnp.sum(matched, axis=-1) / truth.count[:, None],
        )

    def kinds(self, tokens: Array) -> Array:
        """Which of `KINDS` each token is, as the task says of a sequence that begins here.

        Args:
          tokens: `[..., T]`.

        Returns:
          Integers of that shape.
        """
        return self.task.kinds(tokens)

    def _drawn(self, key: Array, number: int) -> tuple[Questions, Array]:
        """Questions, and the tokens that an answer of the task may begin with."""
        keys = jax.random.split(key, 3)
        shown: Demonstrations = self.task.demonstrations(keys[0], number)
        which = jax.random.categorical(keys[1], jnp.log(shown.weight), axis=-1)
        document = jnp.take_along_axis(shown.tokens, which[:, None, None], axis=1)[:, 0]
        length = jnp.sum(document != PAD, axis=-1)
        answer_at = jnp.take_along_axis(shown.answer_at, which[:, None], axis=1)[:, 0]
        cut = self._cut(keys[2], length, answer_at)
        place, ahead = jnp.arange(self.most)[None], jnp.arange(self.length)[None]
        begun = jnp.where(place < cut[:, None], document[:, : self.most], PAD)
        prompt = jnp.concatenate([shown.questions.prompt, begun], axis=1)
        prompt = jax.vmap(jnp.roll)(prompt, self.most - cut)
        count = jnp.minimum(length - cut, self.length)
        tokens = jnp.pad(document, ((0, 0), (0, self.length)))
        tokens = jnp.take_along_axis(tokens, cut[:, None] + ahead, axis=1)
        tokens = jnp.where(ahead < count[:, None], tokens, PAD)
        tokens, count, answer_at = (
            jnp.where(self.shuffled, jnp.roll(x, 1, axis=0), x) for x in (tokens, count, answer_at - cut)
        )
        truth = Segment(tokens, count, cut, answer_at, shown.questions.truth)
        return Questions(prompt, truth), shown.opens

    def _cut(self, key: Array, length: Array, answer_at: Array) -> Array:
        """Tokens that are shown; at least the last one is left to be asked for."""
        if self.cut == "answer":
            return answer_at
        if isinstance(self.cut, int):
            return jnp.minimum(self.cut, length - 1)
        places = (length - 1 - self.first) // self.stride + 1
        chosen = jax.random.randint(key, length.shape, 0, jnp.maximum(places, 1))
        return jnp.minimum(self.first + self.stride * chosen, length - 1)


def next_segment(
    task: Task,
    *,
    cut: int | str = 0,
    size: int | None = None,
    first: int = 0,
    stride: int = 1,
    partial: str = "prefix",
    shuffled: Any = False,
) -> NextSegment:
    """Next-segment prediction on the text that a task's corpus consists of.

    Args:
      task: with `demonstrations`, whose weights are the shares of the documents. Another mixture is another task.
      cut: how many tokens of the demonstration are shown, 0 … length − 1 (fewer where a document is shorter: its last
        token is always asked for); or `"random"`, any of the places `first`, `first + stride`, … as often; or
        `"answer"`, all that stand before the answer.
      size: most tokens of a segment, ≥ 1: 1 is next-token prediction, and a step of a procedure or a line of a graph
        are so many; default: all that are left.
      first: the first place of random cuts, 0 … length − 1.
      stride: tokens between the places of random cuts, ≥ 1.
      partial: `progress` counts the tokens before the first mistake (`"prefix"`), or all right ones (`"tokens"`).
      shuffled: pay each question for the segment of the document before it in the batch: text without its meaning, as
        a control. The tokens to learn from are shuffled, too.

    Returns:
      A `NextSegment` task.

    Raises:
      ValueError: an argument out of range.

    Reference: Dong et al., arXiv 2506.08007 (next token, exact match up to a token's end); Li et al., arXiv 2509.19249
      (next segment, a match of meaning or of a prefix).

    >>> from qra_jax.transformer.procedures import arithmetic
    >>> text = next_segment(arithmetic(10, operands=(3,)), cut=1, size=2)  # after the name of the procedure, one step
    >>> text.length, text.draw(jax.random.key(0), 5).prompt.shape
    (2, (5, 8))
    """
    if isinstance(cut, str):
        _check.choice("cut", cut, CUTS)
    for name, value, low, high in (
        ("cut", 0 if isinstance(cut, str) else cut, 0, task.length - 1),
        ("first", first, 0, task.length - 1),
        ("stride", stride, 1, None),
        ("size", 1 if size is None else size, 1, None),
    ):
        _check.integer(name, value, low=low)
        if high is not None and value > high:
            raise ValueError(f"{name}: {value}; must be at most {high}, a token short of a demonstration")
    _check.choice("partial", partial, PARTIAL)
    return NextSegment(task, shuffled, cut, size, first, stride, partial)

r"""Streams: mixtures of corpora by shares of tokens or of sequences, and how many tokens a sequence has.

stream = mix({"bands 2–4": narrow.demonstrations, "bands 5–6": wide.demonstrations}, (1.0, 3.0), of="tokens")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from qra_jax import _check
from qra_jax.transformer.learning import Corpus
from qra_jax.transformer.task import Demonstrations

OF = ("tokens", "sequences")
"""What the shares of a mixture are shares of."""
DRAWN = 512
"""Questions from which the mean number of tokens of a corpus is measured."""


@dataclass(frozen=True)
class Stream:
    """A mixture of corpora, which is a corpus itself. Build it with [`mix`][].

    Attributes:
      names: of the corpora.
      corpora: each draws sequences; shapes are the same for all.
      shares: of the questions that are drawn, sum 1.
      lengths: mean number of supervised tokens of a question, for each corpus.
    """

    names: tuple[str, ...]
    corpora: tuple[Corpus, ...]
    shares: tuple[float, ...]
    lengths: tuple[float, ...]

    @property
    def token_shares(self) -> dict[str, float]:
        """Share of the supervised tokens that comes from each corpus, in expectation."""
        parts = np.multiply(self.shares, self.lengths)
        return dict(zip(self.names, (parts / parts.sum()).tolist(), strict=True))

    def __call__(self, key: Array, number: int) -> Demonstrations:
        """Draw sequences: in each batch the count of a corpus is within one of its share of N (systematic sampling).

        Args:
          key: PRNG key.
          number: N ≥ 1.

        Returns:
          `[N]` questions with their sequences; those of a corpus stand together.
        """
        keys = jax.random.split(key, len(self.corpora) + 1)
        place = (jnp.arange(number) + jax.random.uniform(keys[-1])) / number
        chosen = jnp.searchsorted(jnp.asarray(np.cumsum(self.shares)[:-1]), place, side="right")
        drawn = [corpus(own, number) for corpus, own in zip(self.corpora, keys[:-1], strict=True)]
        opens, patterns = drawn[0].opens, drawn[0].patterns

        def pick(*parts: Array) -> Array:
            return jnp.stack(parts)[chosen, jnp.arange(number)]

        mixed = jax.tree.map(
            pick, *([(d.questions, d.tokens, d.where, d.weight, d.answer_at, d.answers) for d in drawn])
        )
        questions, tokens, where, weight, answer_at, answers = mixed
        return Demonstrations(questions, tokens, where, weight, answer_at, opens, patterns, answers)


def mix(
    corpora: Mapping[str, Corpus],
    shares: Sequence[float] | None = None,
    *,
    of: str = "tokens",
    lengths: Sequence[float] | None = None,
) -> Stream:
    r"""Mix corpora into one, by shares of tokens or of sequences.

    A share s of the tokens is a share $\propto s/L$ of the questions, L being the mean number of supervised tokens of a
    question of that corpus.

    Args:
      corpora: by name; all of one task's shapes.
      shares: ≥ 0, in proportion, one for each corpus; default: equal.
      of: `"tokens"` or `"sequences"`, what they are shares of (each question counts once, however many sequences).
      lengths: L > 0 of each, where it is known; default: the mean of 512 questions.

    Returns:
      The `Stream`.

    Raises:
      ValueError: no corpus, shares that cannot be, or corpora of different shapes.

    >>> import qra_jax.transformer as tf
    >>> short, long = tf.arithmetic(4), tf.arithmetic(4)
    >>> stream = mix({"a": short.demonstrations, "b": long.demonstrations}, (1.0, 3.0), of="sequences")
    >>> stream.shares
    (0.25, 0.75)
    """
    if not corpora:
        raise ValueError("corpora: none; must be one or more")
    _check.choice("of", of, OF)
    names, parts = tuple(corpora), tuple(corpora.values())
    wanted = np.asarray([1.0] * len(parts) if shares is None else shares, float)
    if wanted.shape != (len(parts),) or not (
        np.isfinite(wanted).all() and (wanted >= 0).all() and wanted.sum() > 0
    ):
        raise ValueError(f"shares: {shares}; must be {len(parts)} numbers ≥ 0, not all 0")
    shapes = [_shapes(part) for part in parts]
    for name, shape in zip(names, shapes, strict=True):
        if shape != shapes[0]:
            raise ValueError(f"corpora: {name!r} draws other shapes than {names[0]!r}; must be the same")
    found = [tokens_of(part) for part in parts] if lengths is None else [float(one) for one in lengths]
    if len(found) != len(parts) or not all(np.isfinite(one) and one > 0 for one in found):
        raise ValueError(f"lengths: {lengths}; must be {len(parts)} numbers above 0")
    questions = wanted / (np.asarray(found) if of == "tokens" else 1.0)
    return Stream(names, parts, tuple((questions / questions.sum()).tolist()), tuple(found))


def _shapes(corpus: Corpus) -> tuple[Any, list[Any]]:
    """Structure of what a corpus draws, and shapes and dtypes in it; two questions are traced, nothing is computed."""
    structure: list[Any] = []

    def leaves(key: Array) -> list[Array]:
        drawn = corpus(key, 2)
        structure.append(jax.tree.structure(drawn))
        return jax.tree.leaves(drawn)

    found = jax.eval_shape(leaves, jax.random.key(0))
    return structure[0], [(leaf.shape, leaf.dtype) for leaf in found]


def supervised(demonstrations: Demonstrations) -> Int[Array, ""]:
    """Number of tokens that are learnt from sequences: those of sequences without weight do not count.

    Args:
      demonstrations: `[N]` questions.
    """
    return jnp.sum(demonstrations.where & (demonstrations.weight > 0)[..., None])


def tokens_of(corpus: Corpus, questions: int = DRAWN, key: Array | None = None) -> float:
    """Mean number of supervised tokens of a question of a corpus, measured.

    Args:
      corpus: draws sequences.
      questions: how many are drawn, ≥ 1.
      key: PRNG key; default: that of seed 0.

    Raises:
      ValueError: no question.
    """
    _check.integer("questions", questions, low=1)
    drawn = jax.jit(lambda key: supervised(corpus(key, questions)))
    return float(drawn(jax.random.key(0) if key is None else key)) / questions

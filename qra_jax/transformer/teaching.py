r"""Teaching between RL steps: a supervised step for some of the questions that RL has just tried.

To what RL ascends in step t, weighted, it adds the score of demonstrations $o^\star_n$,

$$ w_t\,\nabla J_{\rm RL} + \frac1N\sum_n \lambda_{tn}\,\nabla\log\pi_\theta(o^\star_n\mid q_n), $$

where λ is above zero in certain steps and for questions with few enough right answers in their group:

    teaching.always(task.show, 0.3)              # beside RL in every step
    teaching.unsolved(task.show, 1.0, every=4)   # questions that nothing in their group solves, each fourth step
    teaching.first(task.show, 100)               # a hundred steps of SFT, then RL

Demonstrations are of the drawn questions, of a corpus of its own ([`corpus`][]), or the network's own right answers
([`own`][]).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from qra_jax import _check
from qra_jax.transformer.learning import Corpus, cross_entropy
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.sampling import Questions, Rollouts
from qra_jax.transformer.task import Demonstrations

Schedule = float | np.ndarray | Array


class Lesson(NamedTuple):
    """What demonstrations of a step can be made from."""

    key: Array
    """PRNG key."""
    questions: Questions
    """The N questions of the step."""
    rollouts: Rollouts
    """What RL sampled for them, `[N, G, T]`."""
    right: Bool[Array, "N G"]
    """Which of that earned a reward above zero."""


class Given(NamedTuple):
    """The supervised part of one step."""

    demonstrations: Demonstrations
    """N of them, with weights that λ is multiplied into."""
    rl: Float[Array, ""]
    """w, weight of RL in this step."""
    stats: dict[str, Float[Array, ""]]
    """`taught`, tokens of the demonstrations that are learnt from, and `shown`, how many demonstrations these are."""

    def added(self, slope: Params, model: Model, params: Params) -> Params:
        """The gradient of the whole objective.

        Args:
          slope: gradient of the objective of RL.
          model: the network.
          params: where it is.

        Returns:
          A pytree like `params`.
        """
        down = jax.grad(lambda params: cross_entropy(model, params, self.demonstrations))(params)
        return jax.tree.map(lambda up, down: self.rl.astype(up.dtype) * up - down, slope, down)


@dataclass(frozen=True)
class Source:
    """Where demonstrations come from, if not from the drawn questions alone: [`corpus`][], [`own`][], or one's own.

    Attributes:
      show: from a [`Lesson`][] to N demonstrations.
    """

    show: Callable[[Lesson], Demonstrations]


Show = Callable[[Questions], Demonstrations] | Source


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Teaching:
    """When demonstrations are learnt from, and of which questions. Made by [`always`][], [`unsolved`][], [`first`][].

    Numbers may be traced; those marked `[steps]` may also be one for each step.

    Attributes:
      show: from questions to their demonstrations, or a [`Source`][].
      weight: λ ≥ 0 of a question that is taught, `[steps]`.
      rl: w ≥ 0, weight of RL in the steps that teach, `[steps]`; it is one in the others.
      solved: only questions with at most this share of right answers in their group, in [0, 1], are taught.
      chance: each of them with this chance, in [0, 1], `[steps]`.
      every: only each such step teaches, ≥ 1.
      stop: the first step that no longer does, ≥ 0; `None` for never.
    """

    show: Show = field(metadata={"static": True})
    weight: Schedule
    rl: Schedule
    solved: float | Array
    chance: Schedule
    every: int | Array
    stop: int | Array | None

    def given(
        self, key: Array, index: Array, questions: Questions, rollouts: Rollouts, rewards: Float[Array, "N G"]
    ) -> Given:
        """The supervised part of a step.

        Args:
          key: PRNG key.
          index: number of the step.
          questions: `[N]`.
          rollouts: `[N, G, T]`.
          rewards: `[N, G]`; an answer that earns more than zero is right.

        Returns:
          What is [`Given`][].

        Raises:
          ValueError: `show` does not return N demonstrations.
        """
        keys, dtype, right = jax.random.split(key), rewards.dtype, rewards > 0
        if isinstance(self.show, Source):
            shown = self.show.show(Lesson(keys[0], questions, rollouts, right))
        else:
            shown = self.show(questions)
        if shown.questions.number != questions.number:
            raise ValueError(
                f"teaching: shows {shown.questions.number} questions; must be those of the step, {questions.number}"
            )
        now = index % self.every == 0
        if self.stop is not None:
            now = now & (index < self.stop)
        drawn = jax.random.uniform(keys[1], (questions.number,)) < _at(self.chance, index)
        picked = now & drawn & (jnp.mean(right.astype(dtype), axis=1) <= self.solved)
        weight = jnp.where(picked, jnp.asarray(_at(self.weight, index), dtype), 0.0)
        shown = replace(shown, weight=shown.weight.astype(dtype) * weight[:, None])
        learnt = shown.weight > 0
        stats = {
            "taught": jnp.sum(shown.where & learnt[..., None]).astype(dtype),
            "shown": jnp.sum(learnt).astype(dtype),
        }
        rl = jnp.where(now, jnp.asarray(_at(self.rl, index), dtype), 1.0)
        return Given(shown, rl, stats)


def always(
    show: Show, weight: Schedule = 1.0, *, rl: Schedule = 1.0, chance: Schedule = 1.0, every: int | Array = 1
) -> Teaching:
    """Teach whatever has been drawn.

    Args:
      show: demonstrations of given questions, such as `task.show`; or a `Source`, such as `corpus(draw)` or `own()`.
      weight: λ ≥ 0; one for each step where it is an array. May be traced.
      rl: w ≥ 0 in the steps that teach, likewise; 0 for SFT alone.
      chance: that a question is taught, in [0, 1], likewise.
      every: the first of so many steps teaches, ≥ 1; may be traced.

    Returns:
      A `Teaching`.

    Raises:
      ValueError: a number out of range.
    """
    return _teaching(show, weight, rl, 1.0, chance, every, None)


def unsolved(
    show: Show,
    weight: Schedule = 1.0,
    *,
    rl: Schedule = 1.0,
    chance: Schedule = 1.0,
    every: int | Array = 1,
    solved: float | Array = 0.0,
) -> Teaching:
    """Teach the questions that no rollout of their group solves.

    Args:
      show: as in [`always`][].
      weight: as in [`always`][].
      rl: as in [`always`][].
      chance: as in [`always`][].
      every: as in [`always`][].
      solved: or those with at most this share of right answers, in [0, 1]; may be traced.

    Returns:
      A `Teaching`.

    Raises:
      ValueError: a number out of range.

    Reference: Ma et al., arXiv 2506.07527 (ReLIFT, which takes its SFT steps on their own: `rl=0`).
    """
    return _teaching(show, weight, rl, solved, chance, every, None)


def first(
    show: Show, steps: int | Array, weight: Schedule = 1.0, *, rl: Schedule = 0.0, chance: Schedule = 1.0
) -> Teaching:
    """Teach in the first steps and leave the others to RL.

    Args:
      show: as in [`always`][].
      steps: how many, ≥ 0; may be traced.
      weight: as in [`always`][].
      rl: w ≥ 0 in these steps, as in [`always`][].
      chance: as in [`always`][].

    Returns:
      A `Teaching`.

    Raises:
      ValueError: a number out of range.
    """
    return _teaching(show, weight, rl, 1.0, chance, 1, steps)


def corpus(draw: Corpus) -> Source:
    """Demonstrations of other questions: as many as there are questions to teach.

    Args:
      draw: `(key, number of questions) -> Demonstrations`, such as `task.demonstrations`.

    Returns:
      A `Source`.
    """
    return Source(lambda lesson: draw(lesson.key, lesson.questions.number))


def own() -> Source:
    """The right answers among the network's own, with equal shares; a question without any is not taught.

    Returns:
      A `Source` of G sequences for each question.
    """
    return Source(_own)


def _own(lesson: Lesson) -> Demonstrations:
    right, rollouts = lesson.right, lesson.rollouts
    weight = right / jnp.maximum(jnp.sum(right, axis=1, keepdims=True), 1)
    at = jnp.maximum(rollouts.length - 2, 0)
    opens = jnp.ones(1, bool)
    return Demonstrations(lesson.questions, rollouts.tokens, rollouts.where, weight, at, opens, 1)


def check(teaching: Teaching | None, steps: int) -> None:
    """Refuse schedules that are not as long as the run."""
    for name in ("weight", "rl", "chance") if teaching is not None else ():
        shape = np.shape(getattr(teaching, name))
        if shape not in ((), (steps,)):
            raise ValueError(
                f"teaching: {name} has shape {shape}; must be a number, or one for each of {steps} steps"
            )


def _teaching(show: Any, weight: Any, rl: Any, solved: Any, chance: Any, every: Any, stop: Any) -> Teaching:
    if not isinstance(show, Source):
        _check.takes("show", show, "questions")
    _check.nonnegative("weight", weight)
    _check.nonnegative("rl", rl)
    _check.unit_interval("solved", solved, ndim=0)
    _check.unit_interval("chance", chance)
    for name, value, low in (("every", every, 1), ("steps", stop, 0)):
        if value is not None and not isinstance(value, jax.Array):
            _check.integer(name, value, low=low)
    return Teaching(show, weight, rl, solved, chance, every, stop)


def _at(value: Any, index: Array) -> Any:
    return jnp.asarray(value)[index] if jnp.ndim(value) else value

"""The rollouts of one step: drawn from a policy, and weighed by an algorithm.

Arrays are `[patterns, *cells]`; cells are runs, or questions, side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax.algorithm import Tables, batch_scale
from qra_jax.algorithm.preference import law_weights
from qra_jax.training import bits, fused, groups
from qra_jax.training.groups import Shares
from qra_jax.training.lanes import expand

SHARED = 2
"""Stream of the numbers that a whole group shares: the verifier's mood, the number of right rollouts, a lot."""
_normalised = partial(jax.nn.log_softmax, axis=0)


def _as_it_is(logits: Array) -> Array:
    return logits


@dataclass(frozen=True)
class GroupSampler:
    """How the group of a step is drawn and weighed.

    Attributes:
      weighing: what its weights are found by: `"counts"` of right rollouts, `"rollouts"` one by one, or `"pairs"`.
      group: most rollouts in a group.
      size: `[*cells]` or scalar, their number.
      padded: whether that may be fewer than `group`.
      seed: `[2, *cells]`, the key of each cell.
      alive: `[patterns, *cells]`, patterns with mass.
      part: functions of arrays: `rates`, and `moody`, `cells`, `weigh` where they are needed.
      learned: logits of the policy that learns.
      tempered: logits of the policy that is sampled from.
      constant_rates: `[patterns, *cells]`, where the reward depends on nothing that changes.
      constant_cells: values and chances `[patterns · outcomes, *cells]`, likewise.
      tables: the algorithm's, `[group + 1, *cells]`, for counts.
      lengths: `[patterns · outcomes, *cells]`, where they matter.
      beta: that of DPO, for pairs.
      mood: chance that one draw decides for the whole group, and the verifier's true and false positive rates.
      resamples: silent groups are drawn again.
      by_vote: the reward is the group's vote.
      greedy_baseline: the reward of the likeliest pattern is subtracted.
      batch: how the whole batch scales the weights; questions are then the last axis.
      split: tell positive from negative weights.
      counted: tell the shares of the patterns, too.
      fused: draw by [`verdicts`][qra_jax.training.fused.verdicts] on a CPU.
    """

    weighing: str
    group: int
    size: Array
    seed: Array
    alive: Array
    part: Mapping[str, Callable[..., Any]]
    padded: bool = False
    learned: Callable[[Array], Array] = _as_it_is
    tempered: Callable[[Array], Array] = _as_it_is
    constant_rates: Array | None = None
    constant_cells: tuple[Array, Array] | None = None
    tables: Tables | None = None
    lengths: Array | None = None
    beta: Array | None = None
    mood: Any = None
    resamples: bool = False
    by_vote: bool = False
    greedy_baseline: bool = False
    batch: str | None = None
    split: bool = False
    counted: bool = False
    fused: bool = False

    def numbers(self, step: Array) -> Any:
        """The uniform numbers of a step: of its rollouts, and of the group as a whole where it needs some."""
        own = step if self.fused else self._halves(step)
        if self.resamples or self.by_vote or self.greedy_baseline or self.mood is not None:
            return own, bits.uniforms(self.seed, step, 1, self.dtype, stream=SHARED)
        return own, None

    def _halves(self, step: Array) -> tuple[Array, Array]:
        halves = bits.uniforms(self.seed, step, (self.group + 1) // 2, self.dtype)
        return groups.padded(halves, self.size) if self.group % 2 or self.padded else halves

    @property
    def dtype(self) -> Any:
        """That of all numbers."""
        return self.size.dtype

    def draw(self, behavior: Array, numbers: Any) -> Any:
        """Draw a group.

        Args:
          behavior: `[patterns, *cells]`, logits of the policy before its temperatures.
          numbers: from [`GroupSampler.numbers`][].

        Returns:
          What [`GroupSampler.weigh`][] takes: counts, and what else the group has drawn.
        """
        halves, shared = numbers
        scores = self.tempered(behavior)
        scores = jnp.exp(scores - jnp.max(scores, axis=0, keepdims=True))
        if self.weighing == "rollouts" or self.constant_cells is not None:
            values, chances = self.constant_cells or self.part["cells"](_normalised(self.learned(behavior)))
            outcomes = chances.shape[0] // scores.shape[0]
            drawn = groups.draw_cells(jnp.repeat(scores, outcomes, axis=0) * chances, halves)
            if self.constant_cells is not None:
                return drawn, None
            return drawn, groups.vote(drawn, shared[0][0], outcomes) if self.by_vote else values
        chances = self._rates(behavior, shared)
        if self.resamples:
            return groups.draw_mixed_verdicts(scores, chances, halves, shared[0][0], self.group, self.size)
        verdicts = self._verdicts(self.tempered(behavior), scores, chances, halves)
        if not self.greedy_baseline:
            return verdicts
        place = jnp.arange(scores.shape[0]).reshape((-1,) + (1,) * (scores.ndim - 1))
        likeliest = place == jnp.argmax(scores, axis=0, keepdims=True)
        chance = jnp.sum(jnp.where(likeliest, chances, 0.0), axis=0)
        return verdicts, jnp.where(shared[0][0] < chance, 1.0, 0.0).astype(self.dtype)

    def _verdicts(self, logits: Array, scores: Array, chances: Array, own: Any) -> tuple[Array, Array]:
        if not self.fused:
            return groups.draw_verdicts(scores, chances, own)

        def compiled(step: Array) -> tuple[Array, Array]:
            counts = fused.verdicts(
                self.seed, logits, chances, self.size, step, self.group, padded=self.padded
            )
            return counts[: len(logits)], counts[len(logits) :]

        def general(step: Array) -> tuple[Array, Array]:
            return groups.draw_verdicts(scores, chances, self._halves(step))

        return jax.lax.platform_dependent(own, cpu=compiled, default=general)

    def _rates(self, behavior: Array, shared: Any) -> Array:
        if self.constant_rates is not None:
            return self.constant_rates
        usual = jnp.where(self.alive, self.part["rates"](_normalised(self.learned(behavior))), 0.0)
        if self.mood is None:
            return usual
        correlation, *errors = self.mood
        (in_mood,), (mood,) = shared
        accepts = (jnp.where(mood < rate, 1.0, 0.0).astype(self.dtype) for rate in errors)
        return jnp.where((in_mood < correlation)[None], self.part["moody"](*accepts), usual)

    def weigh(self, behavior: Array, drawn: Any, reference: Array) -> Shares:
        """Weigh a group.

        Args:
          behavior: `[patterns, *cells]`, logits of the policy that learns (used by pairs).
          drawn: from [`GroupSampler.draw`][].
          reference: `[patterns, *cells]`, logits of the reference (used by pairs).

        Returns:
          `Shares`.
        """
        if self.weighing == "rollouts":
            counts, values = drawn
            values = values if self.constant_cells is None else self.constant_cells[0]
            patterns, weigh = self.alive.shape[0], self.part["weigh"]
            shares = groups.weigh_rollouts(
                counts, values, self.lengths, weigh, self.group, self.size, patterns
            )
            return shares if self.counted else shares._replace(count=None)
        if self.weighing == "pairs":
            return self._weigh_pairs(behavior, drawn, reference)
        assert self.tables is not None
        adjust = self._rescale if self.batch is not None else None
        if self.greedy_baseline:
            drawn, baseline = drawn
            adjust = lambda right, wrong, accepted: (right - baseline, wrong - baseline)  # noqa: E731
        return groups.weigh_verdicts(
            drawn, self.tables, self.size, split=self.split, adjust=adjust, counted=self.counted
        )

    def _weigh_pairs(self, behavior: Array, drawn: Any, reference: Array) -> Shares:
        assert self.beta is not None
        known = lambda z: jnp.where(self.alive, _normalised(self.learned(z)), 0.0)  # noqa: E731
        log_ratio, beta = known(behavior) - known(reference), expand(self.beta, behavior.ndim + 1)
        if self.constant_cells is not None:
            return self._weigh_extremes(drawn[0], beta, log_ratio)
        right, wrong = groups.numbers_of(drawn)
        chosen = right
        if self.lengths is not None:
            longest = jnp.max(jnp.where(right > 0, self.lengths, -jnp.inf), axis=0)
            chosen = jnp.where(self.lengths == longest[None], right, 0.0)
        of_right, of_wrong = (x / jnp.maximum(jnp.sum(x, axis=0, keepdims=True), 1) for x in (chosen, wrong))
        weights = law_weights(beta, of_right[:, None] * of_wrong[None], log_ratio)
        accepted = drawn[0][-1]
        silent = (accepted == 0) | (accepted == self.size)
        count = (right + wrong) / self.size if self.counted else None
        return Shares(weights, None, accepted / self.size, silent, count)

    def _weigh_extremes(self, counts: Array, beta: Array, log_ratio: Array) -> Shares:
        """Pairs of the rollouts that earn most with those that earn least, by running counts of their cells."""
        assert self.constant_cells is not None
        values, patterns = self.constant_cells[0], log_ratio.shape[0]
        number = counts - jnp.concatenate([jnp.zeros_like(counts[:1]), counts[:-1]])
        top = jnp.max(jnp.where(number > 0, values, -jnp.inf), axis=0)
        bottom = jnp.min(jnp.where(number > 0, values, jnp.inf), axis=0)

        def of_patterns(number: Array) -> Array:
            return jnp.sum(number.reshape(patterns, -1, *number.shape[1:]), axis=1)

        ends = (of_patterns(jnp.where(values == end[None], number, 0.0)) for end in (top, bottom))
        best, worst = (x / jnp.maximum(jnp.sum(x, axis=0, keepdims=True), 1) for x in ends)
        silent = top == bottom
        weights = jnp.where(silent[None], 0.0, law_weights(beta, best[:, None] * worst[None], log_ratio))
        mean = jnp.sum(number * values, axis=0) / self.size
        count = of_patterns(number) / self.size if self.counted else None
        return Shares(weights, None, mean, silent, count)

    def _rescale(self, right: Array, wrong: Array, accepted: Array) -> tuple[Array, Array]:
        """What the batch makes of the weights of its groups."""
        square = (accepted * right**2 + (self.size - accepted) * wrong**2) / self.size
        silent = (accepted == 0) | (accepted == self.size)
        scale = batch_scale(self.batch, accepted / self.size, square, silent)
        if self.batch == "whiten":
            mean = jnp.mean(accepted / self.size)
            right, wrong = jnp.ones_like(right) * (1 - mean), -jnp.ones_like(wrong) * mean
        return right * scale, wrong * scale

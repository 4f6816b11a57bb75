r"""What a group's rollouts weigh in expectation, exactly, where no clock says it.

A rollout has a *label*: everything that the weights can see of it, its reward, its length, its answer. Given the
label l of one rollout, the labels of the other G − 1 are multinomial, so with $A(l; \text{others})$ the weight of that
rollout

$$ E[A\mid l] = \sum_{\text{multisets of } G-1} P(\text{others})\,A(l;\text{others}),\qquad
   a_r = \sum_l P(l\mid r)\,E[A\mid l],\qquad \dot\theta = \pi\odot(a-\bar a). $$

With two labels, right and wrong, this is the clock. Real-valued rewards under a standard deviation, votes of the
group and weights by length need the sum itself. It is taken over all multisets where they are few enough, and refused
otherwise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem
from qra_jax.reward import Reward

MOST_TERMS = 2_000_000
"""Weights that are computed at most for one expectation."""


class Labels(NamedTuple):
    """What the weights see of a rollout."""

    value: Float[Array, " labels"]
    """Its reward (for votes: not used)."""
    chance: Float[Array, "patterns labels"]
    """How often a rollout of a pattern has it; rows sum to one."""
    length: Float[Array, " labels"] | None
    """In tokens; `None` where they do not matter."""
    answer: np.ndarray | None
    """Which answer it is, `[labels]`, for votes."""


class Expected(NamedTuple):
    """What a group does in expectation, given the pattern of a rollout."""

    up: Float[Array, " patterns"]
    """Positive part of its weight."""
    down: Float[Array, " patterns"]
    """Negative part."""
    reward: Float[Array, ""]
    """Mean reward."""
    silent: Float[Array, ""]
    """Chance that all rewards are equal."""


def sees_lengths(algorithm: Algorithm, problem: Problem) -> bool:
    """Whether the lengths of this problem's patterns matter to the weights."""
    return algorithm.uses_lengths and problem.lengths is not None


def counts_suffice(algorithm: Algorithm, reward: Reward, problem: Problem) -> bool:
    """Whether the weights see nothing of a group but the number of its right rollouts."""
    single = reward.binary and not reward.by_vote and not sees_lengths(algorithm, problem)
    return single and algorithm.pairs is None


def check_group(algorithm: Algorithm, reward: Reward, problem: Problem, group: int | None) -> None:
    """Refuse what has no meaning, in expectation or in samples.

    Args:
      algorithm: the algorithm.
      reward: the reward.
      problem: the question, or questions.
      group: rollouts in a group; `None` for the limit of large groups.

    Raises:
      ValueError: weights of right and wrong rollouts, or silent groups drawn again, for another reward.
    """
    if not reward.binary and algorithm.binary_only:
        raise ValueError(
            f"reward: {reward.name!r} with {algorithm.name}, which weighs right and wrong rollouts; must be binary"
        )
    if counts_suffice(algorithm, reward, problem):
        return
    if algorithm.batch is not None:
        raise ValueError(
            f"reward: {reward.name!r} with {algorithm.name}, which is scaled by its batch; must be a binary reward of "
            "single rollouts, with weights free of lengths"
        )
    if algorithm.pairs is not None and not reward.fixed:
        raise ValueError(
            f"reward: {reward.name!r} with {algorithm.name}; must be a reward of single rollouts that does not depend "
            "on the policy"
        )
    if algorithm.pairs is None and algorithm.resamples_silent and group is not None:
        raise ValueError(
            f"reward: {reward.name!r} with {algorithm.name}; must be binary, and weights free of lengths, to draw "
            "silent groups again"
        )


def kind(algorithm: Algorithm, reward: Reward, problem: Problem, group: int | None) -> str:
    """How the expected weights are found.

    Args:
      algorithm: the algorithm.
      reward: the reward.
      problem: the question, or questions.
      group: rollouts in a group; `None` for the limit of large groups.

    Returns:
      `"clock"`: the clock of a binary reward; `"real_clock"`: that of a real-valued one; `"pairs"`: pairs of rollouts;
      `"sum"`: the sum over all multisets.

    Raises:
      ValueError: as for [`check_group`][]; no group size where one is needed; too many multisets.
    """
    check_group(algorithm, reward, problem, group)
    if algorithm.pairs is not None:
        return "pairs"
    if sees_lengths(algorithm, problem):
        if group is None:
            raise ValueError(f"group_size: None; {algorithm.name} with lengths needs a finite group size")
    elif reward.binary and (not reward.by_vote or group is None):
        return "clock"
    elif not reward.by_vote and _real_clock(algorithm, group) is not None:
        return "real_clock"
    if group is None:
        raise ValueError(
            f"algorithm: {algorithm.name} has no clock for the real-valued reward {reward.name!r} in the limit of "
            "large groups; give it a group size"
        )
    if algorithm.size is not None:
        raise ValueError(
            f"group_size: traced, with the reward {reward.name!r}; must be a static whole number"
        )
    terms = number_of_terms(_count_labels(algorithm, reward, problem), group)
    terms *= problem.answer_table().shape[-1] if reward.by_vote else 1
    if terms > MOST_TERMS:
        raise ValueError(
            f"reward: {reward.name!r} with {algorithm.name} at G = {group}: the exact expectation has {terms:.2g} "
            f"terms; must be at most {MOST_TERMS:.0e}. Sampled training needs none, and group_size=None is the "
            "limit of large groups"
        )
    return "sum"


def number_of_terms(labels: int, group: int) -> int:
    """Weights in one expectation: multisets of the others, labels of the one, rollouts."""
    return math.comb(group - 1 + labels - 1, labels - 1) * labels * group


def limit_clock(algorithm: Algorithm, group: int | None) -> Callable[[Array], Array] | None:
    """The clock for real-valued rewards as `std -> speed`, where it is exact at this G; `None` where it is not."""
    clock = _real_clock(algorithm, group)
    if clock is None:
        return None
    size = jnp.inf if group is None else (group if algorithm.size is None else algorithm.size)
    return lambda std: clock(algorithm.params, std, size)


def _real_clock(algorithm: Algorithm, group: int | None) -> Callable[..., Array] | None:
    if algorithm.real_clock is not None:
        return algorithm.real_clock
    return algorithm.limit_real_clock if group is None else None


def real_variance(reward: Reward, problem: Problem, policy: Array, log_policy: Array, rates: Array) -> Array:
    """Variance of a rollout's reward over patterns and within them.

    Args:
      reward: the reward.
      problem: the question.
      policy: `[patterns]`, π, zero where a pattern has no mass.
      log_policy: `[patterns]`, log π.
      rates: `[patterns]`, mean rewards of living patterns; any common constant may be taken off.

    Returns:
      Scalar.
    """
    centred = rates - jnp.sum(policy * rates)
    between = jnp.sum(policy * centred**2)
    if reward.spread is None:
        return between
    within = jnp.where(policy > 0, reward.variance(problem, log_policy), 0.0)
    return between + jnp.sum(policy * within)


def _count_labels(algorithm: Algorithm, reward: Reward, problem: Problem) -> int:
    patterns, answers = problem.patterns, problem.answer_table().shape[-1]
    if reward.by_vote:
        return answers * (patterns if sees_lengths(algorithm, problem) else 1)
    one = problem if problem.log_ref.ndim == 1 else jax.tree.map(lambda leaf: leaf[0], problem)
    return patterns * jax.eval_shape(lambda: reward.outcomes(one))[0].shape[-1]


def labels_of(algorithm: Algorithm, reward: Reward, problem: Problem, log_policy: Array) -> Labels:
    """The labels of a question's rollouts.

    Args:
      algorithm: says whether lengths matter.
      reward: says what rollouts earn.
      problem: the question.
      log_policy: `[patterns]`, log π at which the reward is taken.

    Returns:
      `Labels`; values of patterns without mass are 0.
    """
    long = sees_lengths(algorithm, problem)
    alive = ~jnp.isneginf(log_policy)
    if reward.by_vote and not long:
        table = problem.answer_table()
        answers = np.arange(table.shape[-1])
        return Labels(jnp.zeros(answers.size, table.dtype), table, None, answers)
    if reward.by_vote:
        chances = problem.answer_table()
        values = jnp.zeros_like(chances)
    else:
        values, chances = reward.outcomes(problem, log_policy)
    patterns, outcomes = chances.shape
    values = jnp.where(alive[:, None], values, 0.0).reshape(-1)
    apart = jnp.asarray(np.repeat(np.eye(patterns), outcomes, axis=1), chances.dtype)
    length = None
    if long:
        assert problem.lengths is not None
        length = jnp.repeat(problem.lengths, outcomes)
    answer = np.tile(np.arange(outcomes), patterns) if reward.by_vote else None
    return Labels(values, apart * chances.reshape(1, -1), length, answer)


@lru_cache(maxsize=32)
def _multisets(labels: int, others: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All multisets of labels: members `[sets, others]`, counts `[sets, labels]`, log of orderings `[sets]`."""
    members = np.array(list(itertools.combinations_with_replacement(range(labels), others)), int)
    members = members.reshape(math.comb(labels + others - 1, others), others)
    counts = (members[:, :, None] == np.arange(labels)).sum(axis=1).astype(float)
    factorial = np.array([math.lgamma(n + 1) for n in range(others + 1)])
    return members, counts, factorial[others] - factorial[counts.astype(int)].sum(axis=1)


class WeightTable(NamedTuple):
    """For each multiset of the others and each label of the one, `[sets, labels]`."""

    up: Array
    down: Array
    earned: Array
    silent: Array


def weight_table(algorithm: Algorithm, labels: Labels, group: int) -> WeightTable:
    """The weights of a rollout by its label and by the labels of the others.

    Args:
      algorithm: its weights.
      labels: of the rollouts.
      group: G.

    Returns:
      A `WeightTable`.
    """
    count = labels.value.shape[0]
    members, _, _ = _multisets(count, group - 1)
    own = np.broadcast_to(np.arange(count)[None, :, None], (len(members), count, 1))
    rollouts = np.concatenate(
        [own, np.repeat(members[:, None], count, axis=1)], axis=2
    )  # [sets, labels, group]
    lengths = None if labels.length is None else labels.length[rollouts]

    def weigh(rewards: Array) -> Array:
        if lengths is None:
            return jax.vmap(jax.vmap(lambda r: algorithm.weights(r)[0]))(rewards)
        return jax.vmap(jax.vmap(lambda r, size: algorithm.weights(r, None, size)[0]))(rewards, lengths)

    def table(rewards: Array, weights: Array, chance: np.ndarray | float = 1.0) -> WeightTable:
        silent = jnp.max(rewards, axis=-1) == jnp.min(rewards, axis=-1)
        share = jnp.asarray(chance, weights.dtype)
        up, down = jnp.maximum(weights, 0.0), jnp.minimum(weights, 0.0)
        return WeightTable(
            *(share * each for each in (up, down, rewards[..., 0], silent.astype(weights.dtype)))
        )

    if labels.answer is None:
        rewards = labels.value[rollouts]
        return table(rewards, weigh(rewards))
    choices = int(labels.answer.max()) + 1
    said = labels.answer[rollouts]  # [sets, labels, group]
    votes = (said[..., None] == np.arange(choices)).sum(axis=2)
    tied = votes == votes.max(axis=-1, keepdims=True)
    chances = tied / tied.sum(axis=-1, keepdims=True)
    terms = []
    for winner in range(choices):
        rewards = jnp.asarray(said == winner, labels.chance.dtype)
        terms.append(table(rewards, weigh(rewards), chances[..., winner]))
    return jax.tree.map(lambda *each: sum(each[1:], each[0]), *terms)


def expected(labels: Labels, table: WeightTable, policy: Float[Array, " patterns"], group: int) -> Expected:
    """The expectation over groups drawn from a policy.

    Args:
      labels: of the rollouts.
      table: from [`weight_table`][].
      policy: `[patterns]`, from which the rollouts are drawn.
      group: G.

    Returns:
      What a rollout weighs given its pattern: multiply by π for the summed weights over G.
    """
    share = policy @ labels.chance
    _, counts, log_orderings = _multisets(share.shape[0], group - 1)
    some = share > 0
    dtype = share.dtype
    log_share = jnp.where(some, jnp.log(jnp.where(some, share, 1.0)), -1e3 * np.log(np.finfo(dtype).max))
    log_chance = jnp.asarray(counts, dtype) @ log_share + jnp.asarray(log_orderings, dtype)
    of_label = jax.tree.map(lambda each: jnp.exp(log_chance) @ each, table)
    up, down = labels.chance @ of_label.up, labels.chance @ of_label.down
    return Expected(up, down, share @ of_label.earned, share @ of_label.silent)

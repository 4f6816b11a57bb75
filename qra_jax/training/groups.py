r"""Groups of rollouts, drawn as counts.

What a step needs from its G rollouts are only the summed weights of each pattern, positive and negative apart
(clipping treats them differently). A rollout is one uniform number: the cell of (pattern, verdict) it falls in.
Arrays are `[patterns, *cells]`, where cells are runs, or questions, side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _bernstein
from qra_jax.algorithm import Tables
from qra_jax.training.lanes import expand

UNROLLED = 64
"""Rollouts up to which loops over a group are written out; the compiler fuses them, but slowly for long ones."""


class Shares(NamedTuple):
    """Summed weights over G of the rollouts of each pattern, `[patterns, *cells]`; and of the group, `[*cells]`."""

    up: Array
    """Sum of positive weights; the sum of all where they need not be told apart."""
    down: Array | None
    """Sum of negative weights."""
    reward: Array
    """Mean reward."""
    silent: Array
    """Whether all rewards are equal (a chance, for expectations)."""
    count: Array | None = None
    """Share of the rollouts that each pattern has, `[patterns, *cells]`, where it is asked for."""


def cumulative(values: Array) -> Array:
    """Running sums along the first axis."""
    if values.shape[0] <= 16:  # the compiler's window sum: quadratic, but one loop
        return jnp.cumsum(values, axis=0)
    return jax.lax.associative_scan(jnp.add, values)


def shares_of(total: Array, ladder: Array) -> Array:
    """A ladder over its total, exactly one where it has reached it: cells of zero width above stay empty."""
    return jnp.where(ladder >= total, 1.0, ladder / jnp.where(total > 0, total, 1.0))


def below(levels: Array, halves: tuple[Array, Array]) -> Array:
    """How many of a cell's uniform numbers lie below each level, `[levels, *cells]`."""
    zero = jnp.zeros(levels.shape, levels.dtype)

    def add(total: Array, pair: tuple[Array, Array]) -> Array:
        for number in pair:
            total = total + jnp.where(number[None] < levels, 1.0, 0.0).astype(levels.dtype)
        return total

    first, second = halves
    if 2 * first.shape[0] > UNROLLED:
        return jax.lax.scan(lambda total, pair: (add(total, pair), None), zero, halves, unroll=8)[0]
    for i in range(first.shape[0]):
        zero = add(zero, (first[i], second[i]))
    return zero


def padded(halves: tuple[Array, Array], size: Array | int) -> tuple[Array, Array]:
    """The first `size` numbers of a group; the others are moved above every level."""
    first, second = halves
    place = jnp.arange(first.shape[0]).reshape((-1,) + (1,) * (first.ndim - 1))
    size = expand(jnp.asarray(size), first.ndim)
    return jnp.where(2 * place < size, first, 2.0), jnp.where(2 * place + 1 < size, second, 2.0)


def draw_verdicts(scores: Array, rates: Array, halves: tuple[Array, Array]) -> tuple[Array, Array]:
    """Draw a group with binary rewards: how many numbers lie below the end of each cell.

    Cells are ordered (pattern 0 … n−1, right), then (pattern 0 … n−1, wrong).

    Args:
      scores: `[patterns, *cells]`, probabilities up to a factor.
      rates: `[patterns, *cells]`, chance that a rollout is accepted.
      halves: its uniform numbers, see [`padded`][].

    Returns:
      Two arrays `[patterns, *cells]`.
    """
    right = cumulative(scores * rates)
    wrong = right[-1:] + cumulative(scores * (1 - rates))
    return below(shares_of(wrong[-1:], right), halves), below(shares_of(wrong[-1:], wrong), halves)


def numbers_of(counts: tuple[Array, Array]) -> tuple[Array, Array]:
    """Right and wrong rollouts of each pattern, from running counts, each `[patterns, *cells]`."""
    right, wrong = counts
    number_right = right - jnp.concatenate([jnp.zeros_like(right[:1]), right[:-1]])
    return number_right, wrong - jnp.concatenate([right[-1][None], wrong[:-1]])


Adjustment = Callable[[Array, Array, Array], tuple[Array, Array]]


def weigh_verdicts(
    counts: tuple[Array, Array],
    tables: Tables,
    size: Array,
    *,
    split: bool,
    adjust: Adjustment | None = None,
    counted: bool = False,
) -> Shares:
    """Weights of a group with binary rewards.

    Args:
      counts: from [`draw_verdicts`][].
      tables: the algorithm's, `[group + 1, *cells]`.
      size: `[*cells]` or scalar, rollouts in the group.
      split: tell positive from negative weights.
      adjust: what becomes of the weights of right and wrong rollouts, given them and the number of right ones.
      counted: tell the shares of the patterns, too.

    Returns:
      `Shares`.
    """
    accepted = counts[0][-1]
    number_right, number_wrong = numbers_of(counts)
    weights = lookup(tables.right, accepted), lookup(tables.wrong, accepted)
    if adjust is not None:
        weights = adjust(*weights, accepted)
    reward, penalty = ((weight / size)[None] for weight in weights)
    silent = (accepted == 0) | (accepted == size)
    mean = accepted / size
    count = (number_right + number_wrong) / size if counted else None
    if not split:
        return Shares(reward * number_right + penalty * number_wrong, None, mean, silent, count)
    up = jnp.maximum(reward, 0.0) * number_right + jnp.maximum(penalty, 0.0) * number_wrong
    down = jnp.minimum(reward, 0.0) * number_right + jnp.minimum(penalty, 0.0) * number_wrong
    return Shares(up, down, mean, silent, count)


def lookup(table: Array, count: Array) -> Array:
    """`table[count]` for a table `[entries, *cells]` and whole numbers `[*cells]`, without a gather."""
    entries = jnp.arange(table.shape[0], dtype=count.dtype).reshape((-1,) + (1,) * count.ndim)
    return jnp.sum(jnp.where(count[None] == entries, table, 0.0), axis=0)


def draw_mixed_verdicts(
    scores: Array, rates: Array, halves: tuple[Array, Array], lot: Array, group: int, size: Array
) -> tuple[Array, Array]:
    r"""Draw a group that is not silent: its number of right rollouts first, then their patterns.

    The law of k is the binomial one without k = 0 and k = G, by inversion; given k, right rollouts have patterns
    $\propto \pi R$ and wrong ones $\propto \pi(1-R)$. Where every group is silent (all right, or none), so is
    this one.

    Args:
      lot: `[*cells]`, one uniform number for k.
      group: most rollouts in a group.
      size: `[*cells]` or scalar, rollouts in the group.

    As for [`draw_verdicts`][]: `scores`, `rates`, `halves`.

    Returns:
      Counts as from [`draw_verdicts`][].
    """
    total = jnp.sum(scores, axis=0)
    mean = jnp.sum(scores * rates, axis=0) / total
    miss = jnp.sum(scores * (1 - rates), axis=0) / total
    chance = _bernstein.probabilities(group, size, mean, miss)  # [group + 1, *cells]
    entries = jnp.arange(group + 1).reshape((-1,) + (1,) * mean.ndim)
    some_wrong = entries < expand(size, entries.ndim)
    chance = jnp.where((entries > 0) & some_wrong, chance, 0.0)
    ladder = cumulative(chance)
    certain = ladder[-1] == 0
    share = ladder / jnp.where(certain, 1.0, ladder[-1])[None]
    right_ones = jnp.sum(jnp.where(share <= lot[None], 1.0, 0.0), axis=0).astype(scores.dtype)
    right_ones = jnp.where(certain, jnp.where(mean > 0.5, 1.0, 0.0) * size, right_ones)
    right, wrong = cumulative(scores * rates), cumulative(scores * (1 - rates))
    levels_right, levels_wrong = shares_of(right[-1:], right), shares_of(wrong[-1:], wrong)
    place = jnp.arange(halves[0].shape[0]).reshape((-1,) + (1,) * mean.ndim)
    is_right = 2 * place < right_ones[None], 2 * place + 1 < right_ones[None]
    accepted = tuple(jnp.where(ok, u, 2.0) for ok, u in zip(is_right, halves, strict=True))
    rejected = tuple(jnp.where(ok, 2.0, u) for ok, u in zip(is_right, halves, strict=True))
    return below(levels_right, accepted), right_ones[None] + below(levels_wrong, rejected)  # pyright: ignore


def draw_cells(scores: Array, halves: tuple[Array, Array]) -> Array:
    """Draw a group's cells: how many numbers lie below the end of each, `[cells of a rollout, *cells]`."""
    ladder = cumulative(scores)
    return below(shares_of(ladder[-1:], ladder), halves)


def weigh_rollouts(
    counts: Array,
    values: Array,
    lengths: Array | None,
    weigh: Callable[..., Array],
    group: int,
    size: Array,
    patterns: int,
) -> Shares:
    """Weights of a group rollout by rollout, for rewards of any kind and weights that see lengths.

    Args:
      counts: from [`draw_cells`][]; cells are ordered (pattern 0, outcome 0), (pattern 0, outcome 1), …
      values: `[patterns · outcomes, *cells]`, what a rollout of each cell earns.
      lengths: the same, how long it is; `None` where that does not matter.
      weigh: rewards (and lengths) `[group, *cells]` to weights `[group, *cells]`.
      group: most rollouts in a group.
      size: `[*cells]` or scalar, rollouts in the group.
      patterns: n.

    Returns:
      `Shares`, counts included.
    """
    place = jnp.arange(group).reshape((-1, 1) + (1,) * (counts.ndim - 1))
    upper = place < counts[None]
    lower = place < jnp.concatenate([jnp.zeros_like(counts[:1]), counts[:-1]])[None]
    chosen = upper & ~lower  # [group, cells of a rollout, *cells]: rollouts in the order of their cells
    of_rollouts = lambda each: jnp.sum(jnp.where(chosen, each[None], 0.0), axis=1)  # noqa: E731
    rewards = of_rollouts(values)
    seen = (rewards,) if lengths is None else (rewards, of_rollouts(lengths))
    weights = weigh(*seen)[:, None] / expand(size, place.ndim)
    real = place[:, 0] < expand(size, rewards.ndim)
    top = jnp.max(jnp.where(real, rewards, -jnp.inf), axis=0)
    bottom = jnp.min(jnp.where(real, rewards, jnp.inf), axis=0)

    def of_patterns(each: Array) -> Array:
        summed = jnp.sum(jnp.where(chosen, each, 0.0), axis=0)
        return jnp.sum(summed.reshape(patterns, -1, *summed.shape[1:]), axis=1)

    up, down = of_patterns(jnp.maximum(weights, 0.0)), of_patterns(jnp.minimum(weights, 0.0))
    mean = jnp.sum(jnp.where(real, rewards, 0.0), axis=0) / size
    return Shares(up, down, mean, top == bottom, of_patterns(1 / expand(size, place.ndim)))


def vote(counts: Array, lot: Array, answers: int) -> Array:
    """Which answers win the group's vote, ties broken by a lot: 1 for the cells of the winner, 0 for the others.

    Args:
      counts: from [`draw_cells`][], cells ordered by pattern, then answer.
      lot: `[*cells]`, one uniform number.
      answers: m.

    Returns:
      `[patterns · answers, *cells]`.
    """
    number = counts - jnp.concatenate([jnp.zeros_like(counts[:1]), counts[:-1]])
    votes = jnp.sum(number.reshape(-1, answers, *number.shape[1:]), axis=0)
    tied = votes == jnp.max(votes, axis=0, keepdims=True)
    place = jnp.cumsum(tied.astype(counts.dtype), axis=0)
    which = jnp.floor(lot * place[-1]) + 1
    winner = (tied & (place == which[None])).astype(counts.dtype)
    return jnp.tile(winner, (counts.shape[0] // answers, *[1] * lot.ndim))

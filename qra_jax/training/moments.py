r"""Mean and covariance of the gradient of a group with binary rewards, exactly, for every group size.

Given the number k of right rollouts, right ones have patterns $a\propto\pi R$ and wrong ones
$b\propto\pi(1-R)$, both multinomial. With the algorithm's weights $A^\pm(k)$ the summed weights w of the
patterns have

$$ E[w] = E[X]\,a + E[Y]\,b,\qquad X = \tfrac kG A^+(k),\quad Y = \tfrac{G-k}G A^-(k), $$
$$ {\rm Cov}[w] = [a\;b]\,{\rm Cov}[X,Y]\,[a\;b]^\top + s_a({\rm diag}\,a - aa^\top)
   + s_b({\rm diag}\,b - bb^\top), $$

$s_a = E[k\,A^+(k)^2]/G^2$, $s_b = E[(G-k)\,A^-(k)^2]/G^2$; and the gradient is $w - \pi\sum_r w_r$.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _bernstein
from qra_jax.algorithm import Tables
from qra_jax.training.groups import Shares

Patterns = Float[Array, " patterns"]


def expected_shares(
    policy: Patterns, rates: Patterns, tables: Tables, size: Array | None, *, resamples: bool
) -> Shares:
    """Expected summed weights of each pattern, positive and negative apart.

    Args:
      policy: `[patterns]`, what the rollouts are drawn from.
      rates: `[patterns]`, chance that a rollout is accepted.
      tables: the algorithm's, `[group + 1]`.
      size: rollouts in the group where fewer than `group`.
      resamples: silent groups are drawn again.

    Returns:
      `Shares`.
    """
    mean, miss = jnp.sum(policy * rates), jnp.sum(policy * (1 - rates))

    def given_one(values: Array) -> Array:
        """Mean over the other G − 1 rollouts."""
        values = values if size is None else _bernstein.elevate(values, size - 1)
        return _bernstein.bernstein(values.astype(mean.dtype), mean, miss)

    count = jnp.arange(tables.right.shape[0], dtype=mean.dtype)
    most = count[-1] if size is None else jnp.asarray(size, mean.dtype)
    mixed = jnp.where((count > 0) & (count < most), 1.0, 0.0).astype(mean.dtype)

    def over_group(values: Array) -> Array:
        """Mean over the number of right rollouts among all G."""
        values = values if size is None else _bernstein.elevate(values, most)
        return _bernstein.bernstein(values, mean, miss)

    not_silent = over_group(mixed)
    kept = jnp.where(not_silent > 0, not_silent, 1.0) if resamples else 1.0
    right, wrong = tables.right[1:], tables.wrong[:-1]
    up, down = (
        policy * (rates * given_one(part(right, 0.0)) + (1 - rates) * given_one(part(wrong, 0.0))) / kept
        for part in (jnp.maximum, jnp.minimum)
    )
    if resamples:
        drawn = jnp.where(not_silent > 0, over_group(mixed * count / most) / kept, mean)
        return Shares(up, down, drawn, jnp.where(not_silent > 0, 0.0, 1.0))
    return Shares(up, down, mean, 1 - not_silent)


class Spread(NamedTuple):
    """What the covariance of the summed weights is made of."""

    right: Array
    """a, `[patterns]`."""
    wrong: Array
    """b, `[patterns]`."""
    mean: Array
    """E[X], E[Y]."""
    between: Array
    """Cov[X, Y], `[2, 2]`."""
    within: Array
    """s_a, s_b."""


def spread(
    policy: Patterns, rates: Patterns, tables: Tables, size: Array | None, *, resamples: bool
) -> Spread:
    """Moments of the number of right rollouts, from which mean and covariance follow.

    As for [`expected_shares`][]: `policy`, `rates`, `tables`, `size`, `resamples`.

    Returns:
      `Spread`.
    """
    group = tables.right.shape[0] - 1
    size = jnp.asarray(group if size is None else size, policy.dtype)
    mean, miss = jnp.sum(policy * rates), jnp.sum(policy * (1 - rates))
    chance = _bernstein.probabilities(group, size, mean, miss)
    count = jnp.arange(group + 1, dtype=policy.dtype)
    if resamples:
        chance = jnp.where((count > 0) & (count < size), chance, 0.0)
        chance = chance / jnp.where(jnp.sum(chance) > 0, jnp.sum(chance), 1.0)
    others = jnp.maximum(size - count, 0.0)
    both = jnp.stack([tables.right * count, tables.wrong * others]) / size
    average = both @ chance
    centred = both - average[:, None]
    within = jnp.stack([tables.right**2 * count, tables.wrong**2 * others]) @ chance / size**2
    return Spread(
        policy * rates / jnp.where(mean > 0, mean, 1.0),
        policy * (1 - rates) / jnp.where(miss > 0, miss, 1.0),
        average,
        (centred * chance[None]) @ centred.T,
        within,
    )


def covariance(policy: Patterns, moments: Spread) -> Float[Array, "patterns patterns"]:
    """Covariance of the gradient $w - \\pi\\sum_r w_r$.

    Args:
      policy: `[patterns]`, π.
      moments: from [`spread`][].

    Returns:
      `[patterns, patterns]`.
    """
    ends = jnp.stack([moments.right, moments.wrong])
    of_weights = ends.T @ moments.between @ ends
    for share, variance in zip(ends, moments.within, strict=True):
        of_weights = of_weights + variance * (jnp.diag(share) - jnp.outer(share, share))
    project = jnp.eye(policy.shape[0]) - policy[:, None]
    return project @ of_weights @ project.T


def gaussian_weights(moments: Spread, normal: Float[Array, " numbers"]) -> Patterns:
    """Normal summed weights with exactly the mean and covariance of a sampled group's.

    Args:
      moments: from [`spread`][].
      normal: `[2 · patterns + 2]`, standard normal numbers.

    Returns:
      `[patterns]`.
    """
    (xx, xy), (_, yy) = moments.between
    scale = jnp.sqrt(xx)
    slope = xy / jnp.where(scale > 0, scale, 1.0)
    rest = jnp.sqrt(jnp.maximum(yy - slope**2, 0.0))
    along = moments.mean + jnp.stack([scale * normal[0], slope * normal[0] + rest * normal[1]])
    weights = along[0] * moments.right + along[1] * moments.wrong
    patterns = moments.right.shape[0]
    for i, share in enumerate((moments.right, moments.wrong)):
        root = jnp.sqrt(share) * normal[2 + i * patterns : 2 + (i + 1) * patterns]
        weights = weights + jnp.sqrt(moments.within[i]) * (root - share * jnp.sum(root))
    return weights

r"""The noise of a curve: that of its samples, larger by a factor φ ≥ 1, of which a share a wanders slowly.

Differences from the true level are Gaussian with covariance
$φ \sqrt{v_i v_j} [(1-a) δ_{ij} + a r^{|i-j|}]$, v the variance of the samples. a and r are of a few each, and they and
φ are those of greatest likelihood: a curve that drifts up and down has a large a and r, and its drift is no shape.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

SHARES, MEMORIES = (0.3, 0.6, 0.9), (0.5, 0.75, 0.9)
"""Of the noise that wanders; correlations of neighbours in it."""
WIDEST = 0.07
"""Standard deviation of what wanders, at most: a curve that drifts farther has a shape."""
LEAST_POINTS = 8
"""Points that are needed to tell wandering noise from other."""


class Kinds(NamedTuple):
    """Noises that are compared: the first does not wander.

    Attributes:
      shares: `[kinds]`, a.
      roots: `[kinds, points, points]`, of the correlations $r^{|i-j|}$.
      white: `[kinds, points, points]`, what makes the noise white.
      volumes: `[kinds]`, logarithms of determinants.
    """

    shares: np.ndarray
    roots: np.ndarray
    white: np.ndarray
    volumes: np.ndarray


class Noise(NamedTuple):
    """One of them.

    Attributes:
      kind: which.
      excess: φ.
    """

    kind: int
    excess: float


@lru_cache(4)
def kinds(points: int) -> Kinds:
    """All kinds of noise for so many points."""
    each = [(0.0, 0.0)]
    if points >= LEAST_POINTS:
        each += [(a, r) for a in SHARES for r in MEMORIES]
    apart = np.abs(np.subtract.outer(np.arange(points), np.arange(points)))
    wandering = np.stack([r**apart if r else np.eye(points) for _, r in each])
    shares = np.array([a for a, _ in each])
    whole = np.linalg.cholesky(
        shares[:, None, None] * wandering + (1 - shares)[:, None, None] * np.eye(points)
    )
    volumes = 2 * np.log(np.diagonal(whole, axis1=1, axis2=2)).sum(axis=1)
    return Kinds(shares, np.linalg.cholesky(wandering), np.linalg.inv(whole), volumes)


def variance(level: np.ndarray, m: np.ndarray) -> np.ndarray:
    """That of m samples of a level, `[points]`; of levels 0 and 1 that of a quarter of a sample."""
    return np.clip(level * (1 - level), 0.25 / m, None) / m


def likelihood(rest: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The greatest log-likelihood of differences, up to a constant, over all kinds of noise.

    Args:
      rest: `[curves, points]`, differences.
      v: `[points]`, variances of samples.

    Returns:
      `[curves]` each: log-likelihoods, the kind, and φ.
    """
    known, points = kinds(len(v)), len(v)
    squares = np.sum((known.white @ (rest / np.sqrt(v)).T) ** 2, axis=1)
    most = np.maximum(WIDEST**2 / (np.maximum(known.shares, 1e-9) * v.mean()), 1.0)[:, None]
    excess = np.clip(squares / points, 1.0, np.where(known.shares[:, None] > 0, most, np.inf))
    each = -0.5 * (points * np.log(excess) + known.volumes[:, None] + squares / excess)
    kind = each.argmax(axis=0)
    curves = np.arange(len(rest))
    return each[kind, curves], kind, excess[kind, curves]


def noise(rest: np.ndarray, v: np.ndarray) -> Noise:
    """The noise of greatest likelihood of the differences of one curve, both `[points]`."""
    _, kind, excess = likelihood(rest[None], v)
    return Noise(int(kind[0]), float(excess[0]))


def draw(
    random: np.random.Generator, level: np.ndarray, m: np.ndarray, found: Noise, number: int
) -> np.ndarray:
    """Curves of a level with m samples a point and a noise: `[number, points]`, in [0, 1]."""
    known, points = kinds(len(m)), len(m)
    share = float(known.shares[found.kind])
    drift = random.standard_normal((number, points)) @ known.roots[found.kind].T
    drift *= np.sqrt(found.excess * share * variance(level, m))
    whole = np.maximum(np.rint(m / (found.excess * (1 - share))), 1).astype(int)
    return random.binomial(whole, np.clip(level + drift, 0, 1)) / whole

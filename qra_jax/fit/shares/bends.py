"""What is off straight lines and smooth in time, and lines that are run forward only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qra_jax.fit.shares import lines
from qra_jax.fit.shares.lines import Lines

BENDS = 5
"""Cosines in time in which a departure from the line is looked for, at most."""
_POOLED = 6


@dataclass(frozen=True)
class Bent:
    """How far data are off their lines.

    Attributes:
      statistic: `[sets]`, score statistic of smooth departures in time, over the dispersion.
      dispersion: `[sets]`, what else is off the line, over multinomial noise.
      degrees: of freedom of the statistic.
      worth: `[sets]`, largest total variation of shares from the line, smooth in time.
      where: `[sets]`, at which point.
      unit: `[sets]`, the same of the smooth departure that is hardest to see, where its information is one.
    """

    statistic: np.ndarray
    dispersion: np.ndarray
    degrees: int
    worth: np.ndarray
    where: np.ndarray
    unit: np.ndarray


def bent(
    line: Lines,
    deviance: np.ndarray,
    turned: np.ndarray,
    places: np.ndarray,
    shares: np.ndarray,
    samples: np.ndarray,
    *,
    least: float,
) -> Bent:
    r"""Score test of $w = a + b s + \sum_k γ_k h \cos πk(i-½)/T$ against a straight line, all γ free.

    h scales each cosine to even information over time; what is left of the deviance tells the dispersion.

    Args:
      line: the likeliest ones.
      deviance: `[sets]`, theirs.
      turned: `[sets]`, by how much that is more than of free places.
      places: `[sets]`, how many they have.
      shares: `[sets, points, patterns]`.
      samples: `[sets, points]`.
      least: smallest dispersion allowed.
    """
    sets, points, count = shares.shape
    _, slope, root = lines.information(line, shares, samples)
    g, G = lines.off_line(line, slope, root)
    size = np.einsum("btkk->bt", G) / (count - 2)
    even = 1 / np.sqrt(np.maximum(size, 1e-24 * size.max(axis=1, keepdims=True) + lines.TINY))
    fitted = 1 if line.known else 2
    bends = min(BENDS, points - fitted)
    cosines = np.cos(np.pi * np.arange(bends)[:, None] * (np.arange(points) + 0.5) / points)
    ramps = np.stack([np.ones_like(line.s), line.s])[:fitted]
    ramp = np.concatenate([ramps, even * cosines[:, None]])
    flat = len(ramp) * (count - 2)
    matrix = np.einsum("pbt,qbt,btkl->bpkql", ramp, ramp, G).reshape(sets, flat, flat)
    unit = 1 / np.sqrt(lines.sizes(matrix))
    cut = fitted * (count - 2)
    scaled = np.clip(matrix * unit[:, :, None] * unit[:, None, :], -1, 1)
    inner, cross, outer = scaled[:, :cut, :cut], scaled[:, :cut, cut:], scaled[:, cut:, cut:]
    absorbed = np.linalg.pinv(inner, rcond=1e-12, hermitian=True) @ cross
    values, vectors = np.linalg.eigh(outer - np.swapaxes(cross, 1, 2) @ absorbed)
    score = unit * np.einsum("pbt,btk->bpk", ramp, g).reshape(sets, flat)
    score = score[:, cut:] - np.einsum("bij,bi->bj", absorbed, score[:, :cut])
    kept = values > 1e-8
    along = np.einsum("bij,bi->bj", vectors, score) / np.sqrt(np.where(kept, values, np.inf))
    units = vectors / np.sqrt(np.where(kept, values, np.inf))[:, None, :]  # [sets, bends, modes]
    whole = np.concatenate([-absorbed @ units, units], axis=1) * unit[:, :, None]
    whole = np.einsum(
        "bpkm,pbt,bik->bmti", whole.reshape(sets, len(ramp), -1, flat - cut), ramp, lines.across(line)
    )
    ahead, along_line = lines.along(line, root)
    back = np.einsum("bmti,bti->bmt", whole, (ahead[..., None, :] @ root)[..., 0, :]) / along_line[:, None]
    whole -= back[..., None] * line.b[:, None, None]
    moved = _moved(line, whole)
    smooth = cosines.T @ np.linalg.pinv(cosines.T)
    apart = np.abs(smooth @ (shares - line.policy)).sum(axis=-1) / 2
    statistic = np.sum(along**2, axis=1)
    degrees = int(kept[0].sum())
    # Where places are free, or run forward only; the first where they turn back in truth, the second as it knows more.
    left = points * (count - 1) - cut - degrees
    both = [(deviance - off, left - many) for off, many in ((turned, points), (0.0, places))]
    known = [np.where(rest > 0, (x - statistic) / np.maximum(rest, 1), np.inf) for x, rest in both]
    dispersion = np.minimum(*known)
    dispersion = np.maximum(np.where(np.isfinite(dispersion), dispersion, 1.0), least)
    hardest = (np.abs(moved).sum(axis=-1) / 2).max(axis=(1, 2))
    return Bent(statistic / dispersion, dispersion, degrees, apart.max(axis=1), apart.argmax(axis=1), hardest)


def _moved(line: Lines, shift: np.ndarray) -> np.ndarray:
    """By how much policies move with their coordinates: `[sets, modes, points, patterns]` of both."""
    pi, slope = lines.slopes(line)
    return pi[:, None] * (slope[:, None] @ shift[..., None])[..., 0]


def spread(line: Lines, shares: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """`[sets, patterns, patterns]`, covariance of the direction b, from the information on the whole line."""
    _, slope, root = lines.information(line, shares, samples)
    side, (_, G) = lines.across(line), lines.off_line(line, slope, root)
    ramp = np.stack([np.ones_like(line.s), line.s])
    size = 2 * side.shape[-1]
    matrix = np.einsum("pbt,qbt,btkl->bpkql", ramp, ramp, G, optimize=True).reshape(-1, size, size)
    unit = 1 / np.sqrt(lines.sizes(matrix))
    inverse = np.linalg.pinv(matrix * unit[:, :, None] * unit[:, None, :], rcond=1e-12, hermitian=True)
    cov = (inverse * unit[:, :, None] * unit[:, None, :])[:, size // 2 :, size // 2 :]
    return side @ cov @ np.swapaxes(side, 1, 2)


def forward(
    line: Lines, shares: np.ndarray, samples: np.ndarray, *, gain: float = 1e-14
) -> tuple[Lines, np.ndarray, np.ndarray, np.ndarray]:
    """The likeliest lines that are run forward only: steps that would turn back share one place.

    Args:
      line: the likeliest ones whose places are free.
      shares: `[sets, points, patterns]`.
      samples: `[sets, points]`.
      gain: as for [`fit`][].

    Returns:
      Lines, `[sets]` twice the log likelihood ratio against free points, `[sets]` the same against free places, and
      `[sets]` the number of places.
    """
    free = -2 * lines.information(line, shares, samples)[0]
    for _ in range(_POOLED):
        weight = lines.along(line, lines.information(line, shares, samples)[2])[1]
        weight = np.maximum(weight, 1e-12 * weight.max(axis=1, keepdims=True) + lines.TINY)
        pooled = np.stack([_rising(s, w) for s, w in zip(line.s, weight, strict=True)])
        if np.array_equal(pooled, line.s):
            break
        place = np.cumsum(np.diff(pooled, axis=1, prepend=pooled[:, :1]) > 0, axis=1)
        even = lambda x: _pooled(x, samples, place)  # noqa: B023, E731
        line = lines.fit(replace(line, s=pooled), even(shares), samples, gain=gain)[0]
        line = replace(line, s=even(line.s[..., None])[..., 0])  # places of one block differ by rounding
    else:
        line = replace(line, s=np.maximum.accumulate(line.s, axis=1))
    deviance = -2 * lines.information(line, shares, samples)[0]
    places = 1 + (np.diff(line.s, axis=1) > 0).sum(axis=1)
    return line, deviance, np.maximum(deviance - free, 0.0), places


def _pooled(x: np.ndarray, weight: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Means of `[sets, points, …]` over the points that share a place."""
    sets, points, count = x.shape
    where = (np.arange(sets)[:, None] * points + place).ravel()
    total = lambda y: np.bincount(where, y.ravel(), sets * points)[where].reshape(sets, points)  # noqa: E731
    return np.stack([total(weight * x[..., i]) for i in range(count)], axis=-1) / total(weight)[..., None]


def _rising(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    blocks: list[tuple[float, float, int]] = []
    for one in zip(y.tolist(), weight.tolist(), [1] * len(y), strict=True):
        mean, whole, count = one
        while blocks and blocks[-1][0] > mean:
            before, more, there = blocks.pop()
            mean = (mean * whole + before * more) / (whole + more)
            whole, count = whole + more, count + there
        blocks.append((mean, whole, count))
    return np.repeat([b[0] for b in blocks], [b[2] for b in blocks])


def noncentral(degrees: int, critical: float) -> float:
    """The noncentrality of a χ² that exceeds a critical value with chance .8, by its normal approximation."""
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        sure = degrees + middle - 0.8416 * np.sqrt(2 * (degrees + 2 * middle)) > critical
        low, high = (low, middle) if sure else (middle, high)
    return high

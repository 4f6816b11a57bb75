"""The linear algebra of one matrix, in float64 where it decides and without a float64 copy of the matrix.

Of a checkpoint in float64, matrices come here narrowed to float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import scipy.linalg

BLOCK = 1 << 20
"""Entries that are looked at together."""
TOLERANCE = float(np.finfo(np.float32).eps)
"""Singular values up to max(rows, columns) σ₁ times this count as zero."""


def bits(x: np.ndarray) -> np.ndarray:
    """The bits after rounding to bfloat16."""
    with np.errstate(over="ignore"):
        return x.astype(ml_dtypes.bfloat16, copy=False).view(np.uint16)


def differ(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mask of the entries that differ after rounding to bfloat16; 0 and −0 do not."""
    a, b = bits(x), bits(y)
    return (a != b) & (((a | b) & 0x7FFF) != 0)


def wide(x: np.ndarray) -> np.ndarray:
    """In float32 at least."""
    return x if x.dtype == np.float64 else narrow(x)


def narrow(x: np.ndarray) -> np.ndarray:
    """In float32."""
    return x.astype(np.float32, copy=False)


def square(x: np.ndarray) -> float:
    """Sum of the squares, in float64."""
    total, x = 0.0, x.reshape(-1)
    for first in range(0, x.size, BLOCK):
        block = x[first : first + BLOCK].astype(np.float64, copy=False)
        total += float(block @ block)
    return total


def _short(x: np.ndarray) -> np.ndarray:
    """With the shorter side first."""
    return x if x.shape[0] <= x.shape[1] else x.T


def _blocks(x: np.ndarray) -> list[slice]:
    step = max(1, 4 * BLOCK // max(x.shape[0], 1))
    return [slice(first, first + step) for first in range(0, x.shape[1], step)]


def gram(x: np.ndarray) -> np.ndarray:
    """X Xᵀ of the shorter side in float64, without a float64 copy of X."""
    x = _short(x)
    total = np.zeros((x.shape[0], x.shape[0]))
    for block in _blocks(x):
        part = x[:, block].astype(np.float64)
        total += part @ part.T
    return total


def singular_values(gram: np.ndarray) -> np.ndarray:
    """Largest first."""
    found = scipy.linalg.eigh(gram, eigvals_only=True, driver="evd", check_finite=False)
    return np.sqrt(np.maximum(found[::-1], 0.0))


@dataclass(frozen=True)
class Frames:
    """The first singular directions of a matrix.

    Attributes:
      short: `[side, k]`, singular vectors of the shorter side.
      long: `[longer side, k]`, those of the longer one; `None` where the rank is below k.
      rank: how many of the k directions there are.
    """

    short: np.ndarray
    long: np.ndarray | None
    rank: int


def frames(x: np.ndarray, gram: np.ndarray, k: int) -> Frames:
    """The first k singular directions of a matrix whose Gram matrix is given, and overwritten."""
    side = gram.shape[0]
    found, short = scipy.linalg.eigh(
        gram, subset_by_index=(side - k, side - 1), driver="evr", overwrite_a=True, check_finite=False
    )
    sigma, short = np.sqrt(np.maximum(found[::-1], 0.0)), np.ascontiguousarray(short[:, ::-1])
    rank = int(np.count_nonzero(sigma > TOLERANCE * max(x.shape) * sigma[0]))
    if rank < k:
        return Frames(short, None, rank)
    x = _short(x)
    long = np.concatenate([x[:, block].T.astype(np.float64) @ short for block in _blocks(x)])
    return Frames(short, np.linalg.qr(long).Q, rank)


def rank_k(x: np.ndarray, frames: Frames) -> np.ndarray:
    """The part of a matrix in its first directions, in float32."""
    short = frames.short[:, : frames.rank].astype(np.float32)
    return short @ (short.T @ x) if x.shape[0] <= x.shape[1] else (x @ short) @ short.T


def smallest(score: np.ndarray, count: int) -> np.ndarray:
    """Mask of the entries of lowest score; of equal ones, the first."""
    if not 0 < count < score.size:
        return np.full(score.shape, count > 0)
    limit = np.partition(score.reshape(-1), count - 1)[count - 1]
    mask = score < limit
    ties = np.flatnonzero(score == limit)
    mask.reshape(-1)[ties[: count - np.count_nonzero(mask)]] = True
    return mask


def angles(a: Frames, b: Frames) -> tuple[tuple[float, float], tuple[float, float]]:
    """Mean and largest principal angle in degrees, of the shorter and of the longer side; NaN below rank k."""
    if a.long is None or b.long is None:
        return (math.nan, math.nan), (math.nan, math.nan)
    return _turned(a.short, b.short), _turned(a.long, b.long)


def _turned(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """From cosines, singular values of aᵀb, and sines, those of the residual b − a aᵀb.

    Both come with an absolute error of about 1e-16: of a small angle the sine is precise where the cosine is not, of
    one near 90° the cosine, and the arc tangent of both is precise to about 1e-16 everywhere. (Eigenvalues of the
    residual's Gram matrix would be the sines' squares, and small ones lost below 1e-8.)
    """
    overlap = a.T @ b
    cosines = scipy.linalg.svdvals(overlap, check_finite=False)
    sines = scipy.linalg.svdvals(b - a @ overlap, check_finite=False)[::-1]
    found = np.degrees(np.arctan2(sines, cosines))
    return float(found.mean()), float(found.max())

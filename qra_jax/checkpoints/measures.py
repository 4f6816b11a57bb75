"""What is read from one pair of tensors, with a small multiple of its memory; the definitions of `transformer.weights`.

Singular values come from the Gram matrix of the shorter side in float64: 2 to 10 times faster than a decomposition in
float32, and as exact where σ > 1e-7 σ₁, far below what float32 counts as zero. Nothing is drawn or approximated. Of
pairs in float64 the entries, norms and ΔW are taken in float64; W₀, W₁ and then ΔW are narrowed to float32 for
singular values, directions and masks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from qra_jax.checkpoints import algebra

RELATIVE, ABSOLUTE = 1e-3, 1e-5
"""From which change on a weight counts as changed, relative to the larger one (2511.08567) and as such (2505.11711)."""


@dataclass(frozen=True)
class Entries:
    """Sums over the entries of a tensor, or of many.

    Attributes:
      count: entries.
      bits: of which the bits differ after rounding to bfloat16, but for the sign of zero.
      relative: of which |w₁ − w₀| > 1e-3 max(|w₀|, |w₁|).
      absolute: of which |w₁ − w₀| > 1e-5.
      base: ‖W₀‖², squared Frobenius norm.
      delta: ‖ΔW‖².
    """

    count: int = 0
    bits: int = 0
    relative: int = 0
    absolute: int = 0
    base: float = 0.0
    delta: float = 0.0

    def __add__(self, other: Entries) -> Entries:
        return Entries(*_sums(self, other))

    @property
    def ratio(self) -> float:
        """‖ΔW‖/‖W₀‖; NaN where both are zero."""
        return math.sqrt(self.delta / self.base) if self.base else (math.inf if self.delta else math.nan)


@dataclass(frozen=True)
class Masks:
    """Where the changed entries of matrices are.

    Attributes:
      count: entries.
      changed: of which the bits differ in bfloat16.
      principal: of which are in the principal mask.
      low: of which are in the mask of low magnitude.
      changed_principal: of which are changed and principal.
      changed_low: of which are changed and of low magnitude.
    """

    count: int = 0
    changed: int = 0
    principal: int = 0
    low: int = 0
    changed_principal: int = 0
    changed_low: int = 0

    def __add__(self, other: Masks) -> Masks:
        return Masks(*_sums(self, other))


@dataclass(frozen=True)
class Spectrum:
    """Singular values and directions of one pair of matrices.

    Attributes:
      stable_rank: ‖ΔW‖²/σ₁²; 0 for no change.
      rank: singular values of ΔW above numpy's default tolerance for float32.
      full_rank: the shorter side.
      alpha: ‖ΔW‖/σ₁, how many times longer the update is than its first direction; 1 for no change.
      top: k, the directions behind angles and principal mask.
      left: principal angles between the first k left singular directions of W₀ and W₁ in degrees, mean and largest;
        NaN where one has a rank below k.
      right: those of the right ones.
      drift: ‖σ(W₁) − σ(W₀)‖/‖σ(W₀)‖.
    """

    stable_rank: float
    rank: int
    full_rank: int
    alpha: float
    top: int
    left: tuple[float, float]
    right: tuple[float, float]
    drift: float


@dataclass(frozen=True)
class Measures:
    """What is read from one update.

    Attributes:
      entries: of all entries.
      masks: of matrices only.
      spectrum: of matrices only.
    """

    entries: Entries
    masks: Masks | None = None
    spectrum: Spectrum | None = None


def entries(w0: np.ndarray, w1: np.ndarray) -> Entries:
    """Count what changed.

    Args:
      w0: the base's entries, in their stored type, finite.
      w1: as many after training.

    Returns:
      The sums.
    """
    total, w0, w1 = Entries(), w0.reshape(-1), w1.reshape(-1)
    for first in range(0, w0.size, algebra.BLOCK):
        a, b = w0[first : first + algebra.BLOCK], w1[first : first + algebra.BLOCK]
        bits = _count(algebra.differ(a, b))
        before, now = algebra.wide(a), algebra.wide(b)
        step = np.abs(now - before)
        relative = _count(step > RELATIVE * np.maximum(np.abs(before), np.abs(now)))
        absolute = _count(step > ABSOLUTE)
        total += Entries(a.size, bits, relative, absolute, algebra.square(before), algebra.square(step))
    return total


class Base:
    """What is needed of W₀, found once for the tuned weights and for their twin.

    Args:
      w0: `[rows, columns]`, finite.
      top: k as a share of the shorter side, in (0, 1].
      density: share of the entries in each mask, in [0, 1].
    """

    def __init__(self, w0: np.ndarray, top: float, density: float):
        self.w0, self.side = w0, min(w0.shape)
        self.top = max(1, round(top * self.side))
        wide = algebra.narrow(w0)
        gram = algebra.gram(wide)
        self.sigma = algebra.singular_values(gram)
        self.frames = algebra.frames(wide, gram, self.top)
        count, flat = round(density * w0.size), np.abs(wide)
        self.low = algebra.smallest(flat, count)
        flat = np.abs(algebra.rank_k(wide, self.frames))
        self.principal = algebra.smallest(np.negative(flat, out=flat), count)

    def measure(self, w1: np.ndarray) -> Measures:
        """Read one update.

        Args:
          w1: `[rows, columns]`, finite.

        Returns:
          Everything.
        """
        w0, sums = self.w0, entries(self.w0, w1)
        changed = algebra.differ(w0, w1)
        masks = Masks(
            w0.size,
            sums.bits,
            _count(self.principal),
            _count(self.low),
            _count(changed & self.principal),
            _count(changed & self.low),
        )
        del changed
        full, norm = self.side, math.sqrt(sums.delta)
        if not norm:
            still = (math.nan, math.nan) if self.frames.long is None else (0.0, 0.0)
            return Measures(sums, masks, Spectrum(0.0, 0, full, 1.0, self.top, still, still, 0.0))
        delta = algebra.wide(w1) - algebra.wide(w0)
        unit = 2.0 ** math.floor(math.log2(norm)) if delta.dtype == np.float64 else 1.0
        delta /= unit  # a power of two: below float32's range after it is narrowed, not before
        sigma = algebra.singular_values(algebra.gram(algebra.narrow(delta))) * unit
        del delta
        rank = _count(sigma > algebra.TOLERANCE * max(w0.shape) * sigma[0])
        now = algebra.narrow(w1)
        gram = algebra.gram(now)
        length = np.linalg.norm(self.sigma)
        moved = float(np.linalg.norm(algebra.singular_values(gram) - self.sigma))
        drift = moved / float(length) if length else math.inf
        left, right = algebra.angles(self.frames, algebra.frames(now, gram, self.top))
        if w0.shape[0] > w0.shape[1]:
            left, right = right, left
        alpha = norm / float(sigma[0])
        return Measures(sums, masks, Spectrum(alpha**2, rank, full, alpha, self.top, left, right, drift))


def measure(w0: np.ndarray, w1: np.ndarray, top: float = 0.1, density: float = 0.5) -> Measures:
    """Everything about one pair of matrices.

    Args:
      w0: `[rows, columns]`, finite.
      w1: `[rows, columns]`, finite.
      top: k as a share of the shorter side, in (0, 1].
      density: share of the entries in each mask, in [0, 1].

    Returns:
      Its measures.
    """
    return Base(w0, top, density).measure(w1)


def _sums(one: Any, other: Any) -> list[Any]:
    return [getattr(one, field.name) + getattr(other, field.name) for field in fields(one)]


def _count(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))

"""Two checkpoints side by side: the tensors of one name, matched and checked before anything is computed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from qra_jax.checkpoints import folder, names, stored

FIRST = 3
"""How many names a complaint lists."""
_LARGEST = float(np.finfo(np.float32).max)


@runtime_checkable
class Source(Protocol):
    """A tensor that is read when it is asked for, as `stored.Tensor` is."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def flat(self, first: int = 0, last: int | None = None) -> np.ndarray: ...
    def read(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Pair:
    """A tensor before and after training.

    Attributes:
      name: its name.
      kind: one of `names.KINDS`.
      part: which part of a block, such as `"q"`; may be empty.
      base: before.
      tuned: after.
    """

    name: str
    kind: str
    part: str
    base: Source
    tuned: Source

    @property
    def shape(self) -> tuple[int, ...]:
        """`[rows, columns]` for a matrix."""
        return self.base.shape

    @property
    def is_matrix(self) -> bool:
        """Whether its spectra are looked at."""
        return self.kind in names.MATRICES and len(self.shape) == 2 and min(self.shape) > 0


def pair(base: str | Path, tuned: str | Path, only: str | None = None) -> tuple[list[Pair], list[str]]:
    """Match the tensors of two checkpoints.

    Args:
      base: before training: a safetensors file, an index of shards, or a folder with either.
      tuned: after training.
      only: regular expression; tensors whose names it is not found in are left out.

    Returns:
      The pairs, a stack of experts as one pair for each, and in words what is left out.

    Raises:
      ValueError: paths that are no checkpoints, one and the same, different names or shapes, whole numbers in one and
        weights in the other, a pattern that is none or fits nothing.
    """
    try:
        wanted = re.compile(only or "")
    except re.error as error:
        raise ValueError(f"only: {only!r}; must be a regular expression ({error})") from None
    if Path(base).exists() and Path(tuned).exists() and Path(base).samefile(tuned):
        raise ValueError(f"tuned: {tuned}: the same as base; must be another checkpoint")
    before, after = stored.read("base", base), stored.read("tuned", tuned)
    for file in before.files:
        if any(file.samefile(other) for other in after.files):
            raise ValueError(f"tuned: {tuned}: has the file {file.name} of base; must be another checkpoint")
    left, right = (
        {name: tensor for name, tensor in one.tensors.items() if wanted.search(name)}
        for one in (before, after)
    )
    notes = _tied(before, after, left, right)
    _check_names(left, right)
    if not left:
        raise ValueError(
            f"only: {only!r}: found in none of {len(before.tensors)} names (such as {next(iter(before.tensors))})"
        )
    differ = [name for name, tensor in left.items() if tensor.shape != right[name].shape]
    if differ:
        name = differ[0]
        raise ValueError(
            f"tuned: {name} has shape {_shape(right[name])}; must be {_shape(left[name])}, as in base "
            f"({len(differ)} of {len(left)} shapes differ; --only leaves tensors out)"
        )
    buffers = [
        name
        for name, tensor in left.items()
        if names.is_buffer(name, tensor.shape) or {tensor.stored, right[name].stored} <= set(stored.WHOLE)
    ]
    _check_types(left, right, buffers)
    if buffers:
        notes.append(f"left out: {_several(buffers)}, constants that are stored with the weights")
    pairs = [
        one
        for name, tensor in left.items()
        if name not in buffers
        for one in _experts(name, tensor, right[name])
    ]
    if not pairs:
        raise ValueError(f"base: {base}: holds constants only; must hold weights")
    unknown = [one.name for one in pairs if one.kind == "other" and not one.part]
    if unknown:
        notes.append(f"of unknown use, so that only their entries are counted: {_several(unknown)}")
    types = {(one.base.dtype.name, one.tuned.dtype.name) for one in pairs}
    if any(first != second for first, second in types):
        said = " and ".join(sorted({f"{first} in base, {second} in tuned" for first, second in types}))
        notes.append(f"stored as {said}: differences may be rounding alone")
    return pairs, notes


def check_finite(pairs: Sequence[Pair], done: Callable[[int], object] = lambda entries: None) -> None:
    """Refuse weights that are NaN or infinite, or so large that sums of float32 numbers are, before the long work.

    Args:
      pairs: from [`pair`][].
      done: is told how many entries were read.

    Raises:
      ValueError: which tensor.
    """
    for one in pairs:
        # in a matrix, entries of its part in the first directions are sums over rows and columns
        limit = _LARGEST / (math.sqrt(math.prod(one.shape)) if one.is_matrix else 1.0)
        for first, before in blocks(one.base):
            now = one.tuned.flat(first, first + before.size)
            sizes = []
            for argument, block in (("base", before), ("tuned", now)):
                bad = _not_finite(block)
                if bad:
                    raise ValueError(
                        f"{argument}: {one.name} has {bad} or more weights that are NaN or infinite; must be finite"
                    )
                sizes.append(_largest(block))
                if sizes[-1] > limit:
                    raise ValueError(
                        f"{argument}: {one.name} has a weight of size {sizes[-1]:.2g}; must be at most {limit:.2g}, "
                        "or sums overflow float32"
                    )
            if sum(sizes) > limit:
                step = float(np.abs(now.astype(np.float64) - before.astype(np.float64)).max())
                if step > limit:
                    raise ValueError(
                        f"tuned: {one.name} has a weight that differs from base by {step:.2g}; must differ by at most "
                        f"{limit:.2g}, or sums overflow float32"
                    )
            done(2 * before.size)


def blocks(tensor: Source, size: int = 1 << 20) -> Iterator[tuple[int, np.ndarray]]:
    """A tensor's entries, some at a time.

    Args:
      tensor: any tensor.
      size: entries at a time.

    Yields:
      Where a block begins, and the block.
    """
    total = int(np.prod(tensor.shape, dtype=np.int64))
    for first in range(0, total, size):
        yield first, tensor.flat(first, min(first + size, total))


def _not_finite(block: np.ndarray) -> int:
    """How many entries are NaN or infinite, by the bits of their exponents: for bfloat16 that is faster."""
    if block.dtype.itemsize != 2:
        return int(block.size - np.count_nonzero(np.isfinite(block)))
    exponent = np.uint16(0x7C00 if block.dtype == np.float16 else 0x7F80)
    return int(np.count_nonzero((block.view(np.uint16) & exponent) == exponent))


def _largest(block: np.ndarray) -> float:
    """Size of the largest entry, of finite ones."""
    if block.dtype.itemsize == 2:
        return float((block.view(np.uint16) & np.uint16(0x7FFF)).max().view(block.dtype))
    return max(float(block.max()), -float(block.min()))


def _experts(name: str, base: stored.Tensor, tuned: stored.Tensor) -> Iterator[Pair]:
    kind, part = names.kind(name, base.shape)
    if not names.stacked(name, base.shape):
        yield Pair(name, kind, part, base, tuned)
        return
    for index in range(base.shape[0]):
        first, second = base.part(index), tuned.part(index)
        yield Pair(first.name, kind, part, first, second)


def _tied(
    before: stored.Checkpoint,
    after: stored.Checkpoint,
    left: dict[str, stored.Tensor],
    right: dict[str, stored.Tensor],
) -> list[str]:
    """Drop an output matrix that only one of them stores because the other one's is its embedding."""
    notes = []
    for one, mine, others, said in ((before, left, right, "base"), (after, right, left, "tuned")):
        extra = [name for name in set(others) - set(mine) if names.kind(name, (1, 1))[0] == "unembedding"]
        if extra and folder.settings(one.path).get("tie_word_embeddings") is True:
            del others[extra[0]]
            notes.append(f"left out: {extra[0]}, which in {said} is tied to the embedding")
    return notes


def _check_names(left: dict[str, stored.Tensor], right: dict[str, stored.Tensor]) -> None:
    lost, new = [name for name in left if name not in right], [name for name in right if name not in left]
    if not lost and not new:
        return
    said = [
        f"{len(found)} only in {where} ({', '.join(found[:FIRST])}{', …' if len(found) > FIRST else ''})"
        for found, where in ((lost, "base"), (new, "tuned"))
        if found
    ]
    raise ValueError(
        f"tuned: other names than base: {len(set(left) & set(right))} in both, {', '.join(said)}; must be the same "
        "(--only leaves tensors out)"
    )


def _check_types(
    left: dict[str, stored.Tensor], right: dict[str, stored.Tensor], buffers: Sequence[str]
) -> None:
    odd = [
        name
        for name, tensor in left.items()
        if name not in buffers and not {tensor.stored, right[name].stored} <= set(stored.TYPES)
    ]
    if odd:
        name = odd[0]
        raise ValueError(
            f"tuned: {name} is stored as {right[name].stored}, in base as {left[name].stored}; must be weights in both "
            f"({', '.join(stored.TYPES)}) or constants in both ({len(odd)} such tensors; --only leaves tensors out)"
        )


def _several(found: Sequence[str]) -> str:
    return found[0] if len(found) == 1 else f"{found[0]} and {len(found) - 1} more"


def _shape(tensor: stored.Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "()"

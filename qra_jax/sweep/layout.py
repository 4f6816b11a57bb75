"""The points of a sweep: named dimensions, the coordinates of each point, and the shards they are computed in.

Categorical axes come first, then `sample` (of a random or Sobol sweep), then the others in the order given. The
*index* of a point is its place in this product in C order; it alone decides the point's random key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import ceil, gcd, prod
from typing import Any

import numpy as np

from qra_jax import _check
from qra_jax.sweep.axes import Axis

METHODS = ("grid", "random", "sobol")
SAMPLE, MARKS = "sample", "done"
MOST_POINTS = 2**32 - 1
"""A key is folded with the 32 bits of an index."""
SHARD, SHARDS = 16384, 64
"""Points in a shard, at most, and shards to aim for, where nothing is said."""
BLOCKS = 256
"""A large shard is a multiple of this, so that its blocks are full."""


@dataclass(frozen=True)
class Shard:
    """A box of points, one chunk of every variable.

    Attributes:
      number: which shard.
      chunk: its place in the grid of chunks.
      shape: its extent along each dimension.
      static: values of the categorical axes, by name.
      index: `[points]`, index of each point in the whole sweep.
      values: `[points]` each, the values of the traced axes.
    """

    number: int
    chunk: tuple[int, ...]
    shape: tuple[int, ...]
    static: dict[str, Any]
    index: np.ndarray
    values: dict[str, np.ndarray]


@dataclass(frozen=True)
class Boxes:
    """How the product of all dimensions is cut into shards, one chunk of each variable.

    Attributes:
      shape: extent of each dimension.
      chunk: extent of a shard along each dimension; less at the end of a dimension.
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of shards along each dimension."""
        return tuple(ceil(n / c) for n, c in zip(self.shape, self.chunk, strict=True))

    @property
    def shards(self) -> int:
        """Number of shards."""
        return prod(self.counts)

    @property
    def capacity(self) -> int:
        """Points in the largest shard."""
        return prod(self.chunk)

    def place(self, number: int) -> tuple[int, ...]:
        """A shard's place in the grid of chunks."""
        return tuple(int(i) for i in np.unravel_index(number, self.counts))

    def extent(self, number: int) -> tuple[int, ...]:
        """A shard's own extent along each dimension."""
        sides = zip(self.chunk, self.shape, self.place(number), strict=True)
        return tuple(min(c, n - i * c) for c, n, i in sides)


@dataclass(frozen=True)
class Layout:
    """Where every point of a sweep is, and what its coordinates are.

    Attributes:
      axes: what varies.
      method: `"grid"`, `"random"` or `"sobol"`.
      samples: draws, unless the method is `"grid"`.
      seed: of the draws.
    """

    axes: tuple[Axis, ...]
    method: str
    samples: int | None
    seed: int

    def __post_init__(self) -> None:
        _check.choice("method", self.method, METHODS)
        if not self.axes:
            raise ValueError("axes: none; a sweep needs at least one")
        names = [axis.name for axis in self.axes]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"axis {twice[0]!r}: two axes have this name")
        if MARKS in names:
            raise ValueError(f"axis {MARKS!r}: stores keep their marks under this name; choose another")
        ranged = [axis for axis in self.axes if axis.ranged]
        if self.method == "grid":
            if self.samples is not None:
                raise ValueError(f"samples: {self.samples} with method 'grid'; must be None")
        else:
            if not ranged:
                raise ValueError(f"method: {self.method!r}, but no axis has low and high to draw from")
            if self.samples is None:
                raise ValueError(f"samples: missing; method {self.method!r} needs a number, 1 or above")
            _check.integer("samples", self.samples, low=1)
            if SAMPLE in names:
                raise ValueError(f"axis {SAMPLE!r}: a dimension of method {self.method!r} has this name")
            for axis in ranged:
                if axis.points is not None:
                    raise ValueError(
                        f"axis {axis.name!r}: points = {axis.points} with method {self.method!r}; leave it out"
                    )
        grid = self.method == "grid"
        points = prod(axis.length for axis in self.axes if grid or not axis.ranged) * (self.samples or 1)
        if points > MOST_POINTS:
            raise ValueError(f"axes: {points} points; must be at most {MOST_POINTS}")

    def boxes(self, size: int | None = None) -> Boxes:
        """Shards of about `size` points: one value of each categorical axis, then points next to each other."""
        fixed = len(self.categorical)
        free = self.shape[fixed:]
        points = prod(free)
        if size is None:
            size = min(SHARD, max(1024, ceil(prod(self.shape) / SHARDS)))
        room = min(_check.integer("shard_size", size, low=1), points)
        chunk: list[int] = []
        for extent in reversed(free):
            if extent <= room:
                chunk.append(extent)
                room //= extent
                continue
            whole = BLOCKS // gcd(BLOCKS, prod(chunk))  # of these fill up the blocks
            part = ceil(extent / ceil(extent / room))
            chunk.append(part if part < 2 * whole else min(extent, ceil(part / whole) * whole))
            room = 1
        return Boxes(self.shape, (1,) * fixed + tuple(reversed(chunk)))

    @cached_property
    def categorical(self) -> tuple[Axis, ...]:
        """The axes whose values are compiled one by one; the first dimensions."""
        return tuple(axis for axis in self.axes if axis.categorical)

    @cached_property
    def _dimensions(self) -> dict[str, dict[str, np.ndarray]]:
        """The dimensions behind the categorical ones, with the coordinates along each."""
        dims: dict[str, dict[str, np.ndarray]] = {}
        if self.method != "grid":
            drawn = [axis for axis in self.axes if axis.ranged]
            unit = draw(self.method, self.samples or 1, len(drawn), self.seed)
            dims[SAMPLE] = {axis.name: axis.scaled(unit[:, i]) for i, axis in enumerate(drawn)}
        for axis in self.axes:
            if not axis.categorical and not (axis.ranged and self.method != "grid"):
                dims[axis.name] = {axis.name: axis.numbers}
        return dims

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return (*(axis.name for axis in self.categorical), *self._dimensions)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Extent of each dimension."""
        lengths = [len(next(iter(columns.values()))) for columns in self._dimensions.values()]
        return (*(len(axis.coordinate) for axis in self.categorical), *lengths)

    @property
    def points(self) -> int:
        """Points in all."""
        return prod(self.shape)

    def coordinates(self) -> Iterator[tuple[Axis, str, np.ndarray]]:
        """Each axis with its dimension and its coordinate."""
        for axis in self.categorical:
            yield axis, axis.name, axis.coordinate
        named = {axis.name: axis for axis in self.axes}
        for dim, columns in self._dimensions.items():
            for name, values in columns.items():
                yield named[name], dim, values

    def combinations(self) -> list[dict[str, Any]]:
        """The values of the categorical axes, one table for each program to compile."""
        choices = [axis.values or () for axis in self.categorical]
        names = [axis.name for axis in self.categorical]
        return [dict(zip(names, chosen, strict=True)) for chosen in product(*choices)]

    def shard(self, boxes: Boxes, number: int) -> Shard:
        """A shard with its points."""
        at, shape = boxes.place(number), boxes.extent(number)
        low = [i * c for i, c in zip(at, boxes.chunk, strict=True)]
        places = [a + one.ravel() for a, one in zip(low, np.indices(shape), strict=True)]
        index = np.asarray(np.ravel_multi_index(places, self.shape), np.uint32)
        static = {axis.name: (axis.values or ())[at[i]] for i, axis in enumerate(self.categorical)}
        values = {}
        behind = zip(places[len(static) :], self._dimensions.values(), strict=True)
        for place, columns in behind:
            values |= {name: column[place] for name, column in columns.items()}
        return Shard(number, at, shape, static, index, values)


def draw(method: str, count: int, axes: int, seed: int) -> np.ndarray:
    """`[count, axes]` draws from [0, 1): independent, or a scrambled Sobol sequence of any length.

    Reference: Owen, J. Complexity 14, 1998 (scrambling).
    """
    generator = np.random.default_rng(seed)
    if method == "random":
        return generator.random((count, axes))
    from scipy.stats import qmc  # slow to load

    return qmc.Sobol(axes, rng=generator).random_base2((count - 1).bit_length())[:count]

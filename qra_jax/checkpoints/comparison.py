"""Two checkpoints compared, tensor by tensor, with a Gaussian update of equal norm beside, and summed up."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from statistics import median

import numpy as np

from qra_jax.checkpoints import gaussian, names
from qra_jax.checkpoints.measures import Base, Entries, Masks, Measures, entries
from qra_jax.checkpoints.pairs import Pair, blocks

DENSITY = 0.5
"""Share of the entries in the principal mask and in the mask of low magnitude, as in 2511.08567."""


@dataclass(frozen=True)
class Row:
    """One tensor.

    Attributes:
      name: its name.
      kind: one of `names.KINDS`.
      part: which part of a block; may be empty.
      shape: its shape.
      stored: the type it is stored in after training.
      tuned: what training did.
      gaussian: what a Gaussian update of equal norm does; `None` where it was not asked for.
      realised: norm of that update, rounded, relative to the tuned one: 1 within `gaussian.NEAR`, or as near as the
        grid allows; NaN where nothing changed or it was not asked for.
    """

    name: str
    kind: str
    part: str
    shape: tuple[int, ...]
    stored: str
    tuned: Measures
    gaussian: Measures | None

    @property
    def realised(self) -> float:
        if self.gaussian is None or not self.tuned.entries.delta:
            return math.nan
        return math.sqrt(self.gaussian.entries.delta / self.tuned.entries.delta)


@dataclass(frozen=True)
class Summary:
    """Many tensors.

    Attributes:
      tensors: how many.
      matrices: how many of them have spectra.
      entries: summed over all of them.
      masks: summed over the matrices.
      medians: over the matrices that training changed: stable_rank, rank (as a share of the full one), alpha,
        top_norm, top_energy, angle (mean of left and right, degrees) and drift; NaN where there is none.
      unmoved: in how many of these matrices nothing changed, as happens to Gaussian updates that rounding hides:
        their rank is 0, and alpha, top_norm and top_energy are medians over the others.
    """

    tensors: int
    matrices: int
    entries: Entries
    masks: Masks
    medians: dict[str, float]
    unmoved: int


@dataclass(frozen=True)
class Comparison:
    """All of it.

    Attributes:
      rows: a tensor each.
      top: share of the directions that angles and principal mask look at.
      seed: of the Gaussian updates.
      null: whether they were asked for.
      skipped: matrices whose spectra were not asked for.
    """

    rows: tuple[Row, ...]
    top: float
    seed: int
    null: bool
    skipped: int

    @property
    def kinds(self) -> list[str]:
        """The kinds of tensors that there are, in the order of `names.KINDS`."""
        there = {row.kind for row in self.rows}
        return [one for one in names.KINDS if one in there]

    def summary(self, kind: str | None = None, *, gaussian: bool = False) -> Summary:
        """Sum up.

        Args:
          kind: one of `names.KINDS`; by default all.
          gaussian: the Gaussian updates in place of the trained ones.

        Returns:
          The sums.
        """
        rows = [row for row in self.rows if kind in (None, row.kind)]
        read = [one for row in rows if (one := row.gaussian if gaussian else row.tuned) is not None]
        spectra = [one.spectrum for one in read if one.spectrum is not None]
        same = [one for row, one in zip(rows, read, strict=False) if row.tuned.entries.delta and one.spectrum]
        numbers = [_medial(one) for one in same]
        medians = {
            key: median([one[key] for one in numbers if not math.isnan(one[key])] or [math.nan])
            for key in ("stable_rank", "rank", "alpha", "top_norm", "top_energy", "angle", "drift")
        }
        return Summary(
            len(rows),
            len(spectra),
            reduce(Entries.__add__, (one.entries for one in read), Entries()),
            reduce(Masks.__add__, (one.masks for one in read if one.masks is not None), Masks()),
            medians,
            sum(not one.entries.delta for one in same),
        )


def derived(one: Measures) -> dict[str, float]:
    """Numbers of one matrix as they are printed.

    Args:
      one: with a spectrum.

    Returns:
      stable_rank, rank, alpha, top_norm, top_energy, angle (mean of left and right, degrees) and drift.
    """
    found = one.spectrum
    assert found is not None
    return {
        "stable_rank": found.stable_rank,
        "rank": found.rank,
        "alpha": found.alpha,
        "top_norm": 1 / found.alpha,
        "top_energy": found.alpha**-2,
        "angle": (found.left[0] + found.right[0]) / 2,
        "drift": found.drift,
    }


def _medial(one: Measures) -> dict[str, float]:
    """Numbers that medians are taken of."""
    assert one.spectrum is not None
    numbers = {**derived(one), "rank": one.spectrum.rank / one.spectrum.full_rank}
    return (
        numbers
        if one.entries.delta
        else numbers | dict.fromkeys(("alpha", "top_norm", "top_energy"), math.nan)
    )


def overlap(masks: Masks, which: str) -> tuple[float, float]:
    """Share of the changed entries that lie in a mask, and what chance gives.

    Args:
      masks: the counts.
      which: `"principal"` or `"low"`.

    Returns:
      |changed ∩ mask|/|changed| and |mask|/entries; NaN where nothing changed, or where there is no matrix.
    """
    both, size = getattr(masks, f"changed_{which}"), getattr(masks, which)
    share = both / masks.changed if masks.changed else math.nan
    return share, size / masks.count if masks.count else math.nan


def compare(
    pairs: Iterable[Pair],
    *,
    null: bool = False,
    top: float = 0.1,
    matrices: int | None = None,
    seed: int = 0,
    done: Callable[[Pair], object] = lambda one: None,
) -> Comparison:
    """Compare tensor by tensor, in a small multiple of the memory of one pair of matrices.

    One pair is in memory at a time, with what is computed of it; of embeddings and vectors a part of it.

    Args:
      pairs: from [`pairs.pair`][qra_jax.checkpoints.pairs.pair], or made one by one.
      null: also read a Gaussian update of the same norm in each tensor, rounded to the type that the tuned one is
        stored in; its scale is found so that the norm is the same after rounding.
      top: share of the directions that angles and principal mask look at, in (0, 1].
      matrices: look at the spectra of so many matrices only, evenly spread; the entries of all are counted.
      seed: of the Gaussian updates; each tensor has its own, whatever else is compared.
      done: is told after each pair.

    Returns:
      The comparison.

    Raises:
      ValueError: top, matrices or seed out of range.
    """
    check(top=top, matrices=matrices, seed=seed)
    chosen, skipped = None, 0
    if matrices is not None:
        pairs = list(pairs)
        chosen = spread([one.name for one in pairs if one.is_matrix], matrices)
        skipped = sum(one.is_matrix for one in pairs) - len(chosen)
    rows = []
    for one in pairs:
        spectra = one.is_matrix and (chosen is None or one.name in chosen)
        tuned, gaussian = read_pair(one, spectra=spectra, null=null, top=top, seed=seed)
        rows.append(Row(one.name, one.kind, one.part, one.shape, one.tuned.dtype.name, tuned, gaussian))
        done(one)
    return Comparison(tuple(rows), top, seed, null, skipped)


def check(*, top: float, matrices: int | None, seed: int, called: str = "matrices") -> None:
    """Refuse settings out of range.

    Args:
      top: share of the directions.
      matrices: how many spectra; `None` for all.
      seed: of the Gaussian updates.
      called: what the caller calls `matrices`.

    Raises:
      ValueError: which, and what it must be.
    """
    if not 0 < top <= 1:
        raise ValueError(f"top: {top:g}; must be in (0, 1]")
    for name, value in ((called, matrices), ("seed", seed)):
        if value is not None and value < 0:
            raise ValueError(f"{name}: {value}; must be zero or positive")


def spread(found: Sequence[str], count: int) -> set[str]:
    """Some names, evenly spread over all of them.

    Args:
      found: all names.
      count: how many, zero or more.

    Returns:
      At most so many.

    >>> sorted(spread(list("abcdefg"), 3))
    ['a', 'd', 'g']
    """
    count = min(count, len(found))
    places = np.rint(np.linspace(0, len(found) - 1, count)).astype(int)
    return {found[int(place)] for place in places}


def read_pair(
    one: Pair, *, spectra: bool, null: bool, top: float, seed: int
) -> tuple[Measures, Measures | None]:
    """Read one pair, and its Gaussian twin.

    Args:
      one: the pair.
      spectra: also look at singular values and masks, which needs all of it in memory.
      null: also read the twin.
      top: share of the directions.
      seed: of the twin.

    Returns:
      What training did, and what the twin does.
    """
    rng = lambda: np.random.default_rng([seed, zlib.crc32(one.name.encode())])  # noqa: E731
    if not spectra:
        tuned = reduce(
            Entries.__add__,
            (entries(block, one.tuned.flat(first, first + block.size)) for first, block in blocks(one.base)),
            Entries(),
        )
        if not null:
            return Measures(tuned), None

        def drawn() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            again = rng()  # drawn anew in each pass, in place of being kept
            for _, block in blocks(one.base):
                yield block, again.standard_normal(block.size, dtype=np.float32)

        types = one.base.dtype, one.tuned.dtype
        scale = gaussian.scale(drawn, math.prod(one.shape), *types, math.sqrt(tuned.delta))
        total = (entries(block, gaussian.step(block, draw, scale, types[1])) for block, draw in drawn())
        return Measures(tuned), Measures(reduce(Entries.__add__, total, Entries()))
    w1 = one.tuned.read()
    base = Base(one.base.read(), top, DENSITY)
    tuned = base.measure(w1)
    del w1
    if not null:
        return tuned, None
    made = gaussian.twin(rng(), base.w0, one.tuned.dtype, math.sqrt(tuned.entries.delta))
    return tuned, base.measure(made)

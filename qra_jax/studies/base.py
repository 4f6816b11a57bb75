"""What a study is, and what it says about a claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

HOLDS, FAILS, ONLY_IF = "holds", "fails", "holds only if "


@dataclass(frozen=True)
class Verdict:
    """One claim, what it predicts, what was measured, and whether it holds.

    Attributes:
      claim: the claim in one sentence.
      source: where it comes from: paper, theorem, equation, and how it is known there.
      predicted: what the claim says will be measured; a scalar or words.
      measured: what was measured; a scalar or words.
      verdict: `"holds"`, `"fails"`, or `"holds only if …"` with the condition.

    Raises:
      ValueError: an empty claim or source, or another verdict.
    """

    claim: str
    source: str
    predicted: Any
    measured: Any
    verdict: str

    def __post_init__(self) -> None:
        for name in ("claim", "source"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name}: empty; must say what the claim is and where it comes from")
        condition = self.verdict.removeprefix(ONLY_IF)
        if self.verdict not in (HOLDS, FAILS) and (condition == self.verdict or not condition.strip()):
            raise ValueError(
                f"verdict: {self.verdict!r}; must be 'holds', 'fails' or 'holds only if …' and a condition"
            )

    def record(self) -> dict[str, str | float | int]:
        """The verdict as strict JSON data: plain numbers, and words for infinity and NaN."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


class DataMissing(ValueError):
    """A study of measured data was not given any; the message says what it needs."""


def verdict(holds: Any) -> str:
    """`"holds"` or `"fails"`.

    >>> verdict(np.bool_(True))
    'holds'
    """
    return HOLDS if bool(holds) else FAILS


def decided(holds: Any, fails: Any) -> str:
    """A verdict of three: where neither is shown, there are too few runs to tell.

    >>> decided(False, False)
    'holds only if more runs say so: these do not tell'
    """
    return HOLDS if holds else FAILS if fails else ONLY_IF + "more runs say so: these do not tell"


def interval(values: Any) -> tuple[float, float]:
    """Mean over seeds and half of its 95 % t-interval; infinite for a single one.

    >>> [round(x, 3) for x in interval([1.0, 2.0, 3.0])]
    [2.0, 2.484]
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), math.inf
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(half)


def bounded(pairs: Sequence[tuple[float, float]], bound: float) -> str:
    """Whether quantities are zero up to a bound: all intervals inside ±bound, or any outside, or undecided.

    >>> bounded([(0.001, 0.002)], 0.01), bounded([(0.001, 0.002), (0.5, 0.1)], 0.01)
    ('holds', 'fails')
    """
    inside = all(abs(mean) + half <= bound for mean, half in pairs)
    return decided(inside, any(abs(mean) - half > bound for mean, half in pairs))


def wilson(count: Any, total: Any) -> tuple[Any, Any]:
    """95 % interval of a share (Wilson 1927), in [0, 1].

    >>> [round(float(end), 3) for end in wilson(5, 10)]
    [0.237, 0.763]
    """
    z = 1.959964
    share, weight = np.asarray(count) / total, z**2 / total
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * np.sqrt(share * (1 - share) / total + weight / (4 * total))
    return np.maximum(centre - half, 0), np.minimum(centre + half, 1)


def _plain(value: Any) -> str | float | int:
    if isinstance(value, str):
        return value
    number = np.asarray(value).item()
    return number if math.isfinite(number) else str(number)


@runtime_checkable
class Study(Protocol):
    """A study is a module: a docstring (what the claim is and where it comes from) and these names.

    `draw` and `judge` see only the data that `compute` returned, after it was saved and read back. A study of
    measured runs also has `DATA_NEEDED`, a sentence that says what the folder given by `--data` must hold, and its
    `compute` a keyword `folder: Path | None`; without a folder it leaves those parts out or raises
    [`DataMissing`][].
    """

    __doc__: str | None
    __file__: str
    TITLE: str
    """One line, for lists and headings."""

    @staticmethod
    def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
        """Compute the data; `quick` asks for a coarser version within some 20 seconds on two cores."""
        ...

    @staticmethod
    def draw(data: Mapping[str, np.ndarray]) -> Figure:
        """Draw one figure; its titles say the finding."""
        ...

    @staticmethod
    def judge(data: Mapping[str, np.ndarray]) -> Sequence[Verdict]:
        """Say of each claim whether it holds."""
        ...

"""Evidence: an estimate, its interval, and the region in which a claim says it lies.

Every test of this module is one rule. A claim says that a quantity lies in a region; the data say, at a level, in
which interval it lies. The claim *holds* where the interval lies in the region, it *fails* where the two are apart,
and it is *open* otherwise. Numbers without sampling error have an interval of one point. A value that is no number
leaves a claim open, and so do sampled members that are all the same: these say nothing of their scatter.

A claim about many elements holds if it does in every one, and fails if it fails in any. A null control is judged more
strictly: it has to hold in no element, and to fail in most.

Estimates are labelled arrays: one comparison for each element. A study divides one family-wise error rate between all
comparisons of all its claims (Bonferroni), so that an interval widens with the number of questions asked.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy import stats

Kind = Literal["holds", "fails", "holds only if", "open"]
HOLDS, FAILS, ONLY_IF, OPEN = "holds", "fails", "holds only if", "open"
YES, UNKNOWN, NO = 1, 0, -1
POWER = 0.8
"""Probability with which the detectable distance is detected."""
SURE = 0.99
"""Share of right answers that a rule needs to be a condition without more words."""
LISTED = 6
"""Elements of an estimate that are named one by one; of more, extremes are told."""


@dataclass(frozen=True)
class Verdict:
    """One of four verdicts.

    Attributes:
      kind: `"holds"`, `"fails"`, `"holds only if"` or `"open"`.
      reason: the condition of `"holds only if"`, found from the data; for `"open"`, what leaves it open.
    """

    kind: Kind
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.reason}" if self.kind == ONLY_IF else self.kind


class Evidence(ABC):
    """What the data say of a claim."""

    @property
    def free(self) -> tuple[str, ...]:
        """Axes along which it may hold for some values and fail for others."""
        return ()

    @abstractmethod
    def outcome(self, level: float) -> xr.DataArray:
        """1 where the claim holds, −1 where it fails, 0 where it is open; intervals err with probability `level`."""

    def elements(self, level: float) -> xr.DataArray:
        """The outcome of each element by itself, for a null control: no single case decides."""
        return self.outcome(level)

    def kept(self, level: float) -> xr.DataArray:
        """The worst outcome for each value of the free axes."""
        outcome = self.outcome(level)
        return outcome.min([dim for dim in outcome.dims if dim not in self.free])

    def rules(self, level: float) -> list[str]:
        """Conditions that are no values of an axis."""
        return []

    @abstractmethod
    def tests(self) -> list[Test]:
        """The elementary comparisons that it is made of."""

    def comparisons(self) -> int:
        """How many elements with a sampling error are compared."""
        return sum(test.comparisons() for test in self.tests())

    def decide(self, level: float) -> Verdict:
        """The verdict: a claim holds where it does in every element, and fails where it fails in any."""
        outcome = self.kept(level)
        holds, fails = bool((outcome == YES).any()), bool((outcome == NO).any())
        if fails and not holds:
            return Verdict(FAILS)
        if not fails and not bool((outcome == YES).all()):
            return Verdict(OPEN)
        conditions = [_condition(outcome)] * fails + self.rules(level)
        return Verdict(ONLY_IF, " and ".join(conditions)) if conditions else Verdict(HOLDS)

    def absent(self, level: float, among: xr.DataArray | None = None) -> Verdict:
        """The verdict of a null control: it fails if it holds in no element, and fails in most of them.

        Args:
          level: error rate of each interval.
          among: elements in which the claim itself holds; others do not count if the control has the same axes.
        """
        outcome = self.elements(level)
        if among is not None and set(among.dims) == set(outcome.dims):
            with contextlib.suppress(ValueError):  # other values along the axes
                outcome = outcome.where(xr.align(among, outcome, join="exact")[0])
        known = outcome.values[~np.isnan(outcome.values)]
        if (known == YES).any():
            return Verdict(HOLDS)
        return Verdict(FAILS if (known == NO).mean() > 0.5 else OPEN)

    def per(self, *axes: str) -> Evidence:
        """Decide for each value of these axes by itself; where some hold and some fail, that is the condition.

        Args:
          axes: names of dimensions of the estimates.
        """
        return Per((self,), axes)

    def predicted(self) -> str:
        """What the claim says will be measured."""
        return "; ".join(dict.fromkeys(test.predicted() for test in self.tests()))

    def measured(self, level: float) -> str:
        """What was measured, with intervals at this level."""
        return "; ".join(test.measured(level) for test in self.tests())


@dataclass(frozen=True)
class Estimate:
    """A quantity as it was measured.

    Attributes:
      quantity: what it is, in words.
      value: one number for each element.
      interval: gives the ends of the interval that errs with the probability it is called with.
      n: members that it rests on.
      exact: whether it has no sampling error.
      how: what kind of interval.
      error: its standard error, where it has a normal or a Student's interval.
      freedom: degrees of freedom of the error.
      show: a number of this kind in words.
    """

    quantity: str
    value: xr.DataArray
    interval: Callable[[float], tuple[Any, Any]]
    n: int
    exact: bool = False
    how: str = ""
    error: xr.DataArray | None = None
    freedom: float = math.inf
    show: Callable[[float], str] = field(default=lambda x: f"{x:.3g}")

    def above(self, bound: Any) -> Test:
        """The claim that it is at least so large."""
        return Test(self, bound, math.inf, f"at least {_said(bound, self.show)}")

    def below(self, bound: Any) -> Test:
        """The claim that it is at most so large."""
        return Test(self, -math.inf, bound, f"at most {_said(bound, self.show)}")

    def between(self, low: Any, high: Any) -> Test:
        """The claim that it lies between two values."""
        return Test(self, low, high, f"{_said(low, self.show)} … {_said(high, self.show)}")

    def near(self, expected: Any, *, within: Any, relative: bool = False) -> Test:
        """The claim that it has a value, up to a tolerance that says what difference would matter.

        Args:
          expected: the value.
          within: the tolerance, > 0.
          relative: whether the tolerance is a share of the value.
        """
        width = abs(expected) * within if relative else within
        told = f"{within:.3g} of it" if relative else f"{within:.3g}"
        return Test(
            self, expected - width, expected + width, f"{_said(expected, self.show)}, within {told}", expected
        )

    def as_percent(self) -> Estimate:
        """The same, told in per cent."""
        return replace(self, show=lambda x: f"{x:.3g}" if not math.isfinite(x) else f"{100 * x:.3g} %")


@dataclass(frozen=True)
class Test(Evidence):
    """An estimate and the region in which a claim says it lies."""

    __test__ = False  # no test of pytest's

    estimate: Estimate
    low: Any
    high: Any
    words: str
    expected: Any = None
    strict: bool = False

    def outcome(self, level: float) -> xr.DataArray:
        value = self.estimate.value
        low, high = self.estimate.interval(level)
        inside = (low >= self.low) & (high <= self.high)
        outside = (high < self.low) | (low > self.high)
        if self.strict:
            edge = ((low == self.low) & np.isfinite(low)) | ((high == self.high) & np.isfinite(high))
            inside, outside = inside & ~edge, outside | (edge & (low == high))
        known = np.isfinite(value) | (self.estimate.exact & ~np.isnan(value))
        return xr.where(known, xr.where(inside, YES, xr.where(outside, NO, UNKNOWN)), UNKNOWN)

    def tests(self) -> list[Test]:
        return [self]

    def comparisons(self) -> int:
        return 0 if self.estimate.exact else int(self.estimate.value.size)

    def predicted(self) -> str:
        return f"{self.estimate.quantity}: {self.words}"

    def measured(self, level: float) -> str:
        estimate, outcome = self.estimate, self.outcome(level)
        low, high = (xr.broadcast(xr.DataArray(end), estimate.value)[0] for end in estimate.interval(level))

        def told(place: Mapping[Hashable, Any]) -> str:
            value, ends = estimate.value[place].item(), (low[place].item(), high[place].item())
            if estimate.exact:
                return estimate.show(value)
            return f"{estimate.show(value)} ({estimate.show(ends[0])} … {estimate.show(ends[1])})"

        places = [dict(zip(estimate.value.dims, index, strict=True)) for index in np.ndindex(outcome.shape)]
        if len(places) <= LISTED:
            names = [_named(estimate.value, place) for place in places]
            text = ", ".join(
                f"{name}: {told(place)}" if name else told(place)
                for name, place in zip(names, places, strict=True)
            )
        else:
            flat = estimate.value.values.ravel()
            known = [i for i in range(len(flat)) if not np.isnan(flat[i])]
            ends = (min(known, key=flat.__getitem__), max(known, key=flat.__getitem__)) if known else (0, 0)
            text = " … ".join(f"{told(places[i])} [{_named(estimate.value, places[i])}]" for i in ends)
            counts = [
                (int((outcome == kind).sum()), name) for kind, name in ((YES, HOLDS), (NO, FAILS), (0, OPEN))
            ]
            text += f" in {len(places)} cells: " + ", ".join(f"{name} in {n}" for n, name in counts if n)
        told_n = f"; n = {estimate.n}" if estimate.n and not estimate.exact else ""
        return f"{estimate.quantity}: {text}{told_n}"

    def detectable(self, level: float) -> float:
        """Distance from the bound that would be decided with probability .8; the largest of all elements."""
        if self.estimate.exact:
            return 0.0
        low, high = self.estimate.interval(level)
        half = float(np.max((np.asarray(high) - np.asarray(low)) / 2))
        return float(half * (1 + stats.norm.ppf(POWER) / stats.norm.ppf(1 - level / 2)))

    def record(self, level: float) -> dict[str, Any]:
        """The comparison as plain data."""
        low, high = self.estimate.interval(level)
        value = self.estimate.value
        ends = [np.broadcast_to(np.asarray(end, float), value.shape) for end in (low, high)]
        region = [np.asarray(bound, float) for bound in (self.low, self.high)]
        return {
            "quantity": self.estimate.quantity,
            "estimate": _plain(np.asarray(value, float)),
            "interval": [_plain(end) for end in ends],
            "error_rate": 0.0 if self.estimate.exact else level,
            "expectation": self.words,
            "region": [_plain(bound if bound.ndim == 0 else np.unique(bound)) for bound in region],
            "n": int(self.estimate.n),
            "detectable": _plain(np.asarray(self.detectable(level))),
            "axes": {str(dim): _labels(value, dim) for dim in value.dims},
            "outcome": _plain(np.asarray(self.outcome(level))),
            "how": "exact" if self.estimate.exact else self.estimate.how,
        }


@dataclass(frozen=True)
class Never(Test):
    """The claim that something never happens: one case refutes it, and none has to exclude a share."""

    def outcome(self, level: float) -> xr.DataArray:
        return super().outcome(level).where(~(self.estimate.value > 0), NO)

    def elements(self, level: float) -> xr.DataArray:
        return super().outcome(level)


@dataclass(frozen=True)
class _Combined(Evidence):
    """Evidence made of other evidence."""

    parts: tuple[Evidence, ...]

    def tests(self) -> list[Test]:
        return [test for part in self.parts for test in part.tests()]

    def comparisons(self) -> int:
        return sum(part.comparisons() for part in self.parts)

    def predicted(self) -> str:
        return "; ".join(dict.fromkeys(part.predicted() for part in self.parts))


class All(_Combined):
    """Several pieces of evidence, all of which a claim needs."""

    @property
    def free(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(axis for part in self.parts for axis in part.free))

    def outcome(self, level: float) -> xr.DataArray:
        return _worst([part.outcome(level) for part in self.parts])

    def elements(self, level: float) -> xr.DataArray:
        return _worst([part.elements(level) for part in self.parts])

    def kept(self, level: float) -> xr.DataArray:
        return _worst([part.kept(level) for part in self.parts])

    def rules(self, level: float) -> list[str]:
        return list(dict.fromkeys(rule for part in self.parts for rule in part.rules(level)))


class AnyOf(_Combined):
    """Several pieces of evidence, one of which is enough."""

    def outcome(self, level: float) -> xr.DataArray:
        return _worst([-part.kept(level) for part in self.parts]) * -1

    def predicted(self) -> str:
        return "any of: " + super().predicted()


class Somewhere(_Combined):
    """Evidence that is enough in one element: a claim that something *can* happen."""

    def outcome(self, level: float) -> xr.DataArray:
        return self.parts[0].outcome(level).max()

    def predicted(self) -> str:
        return self.parts[0].predicted() + " (somewhere)"


class Not(_Combined):
    """The contrary of a piece of evidence."""

    def outcome(self, level: float) -> xr.DataArray:
        return -self.parts[0].outcome(level).min()

    def elements(self, level: float) -> xr.DataArray:
        return -self.parts[0].elements(level).min()

    def predicted(self) -> str:
        return "not " + self.parts[0].predicted()


@dataclass(frozen=True)
class Per(_Combined):
    """Evidence that is decided for each value of some axes by itself."""

    axes: tuple[str, ...]

    @property
    def free(self) -> tuple[str, ...]:
        return (*self.axes, *self.parts[0].free)

    def outcome(self, level: float) -> xr.DataArray:
        whole = self.parts[0].outcome(level)
        missing = [axis for axis in self.axes if axis not in whole.dims]
        if missing:
            raise ValueError(
                f"per: no axis {', '.join(missing)}; must be among {', '.join(map(str, whole.dims))}"
            )
        return whole

    def elements(self, level: float) -> xr.DataArray:
        return self.parts[0].elements(level)

    def rules(self, level: float) -> list[str]:
        return self.parts[0].rules(level)


@dataclass(frozen=True)
class Explained(Evidence):
    """A claim about every member; where some are exceptions, a rule that says which.

    The rule is the candidate with the best agreement; it is the condition if the intervals of both its shares of
    right answers (among the members for which the claim is true, and among the others) lie above `sure`.
    """

    quantity: str
    true: xr.DataArray
    candidates: Mapping[str, xr.DataArray]
    sure: float
    rare: float
    n: int

    def outcome(self, level: float) -> xr.DataArray:
        if bool(self.true.isnull().any()):
            return xr.DataArray(UNKNOWN)
        if bool((self.true == 1).all()):
            return self._every().outcome(level)
        if self.rules(level):
            return xr.DataArray(YES)
        unknown = any(bool(rule.isnull().any()) for rule in self.candidates.values())
        return xr.DataArray(UNKNOWN if unknown else NO)

    def elements(self, level: float) -> xr.DataArray:
        return self._every().outcome(level)

    def rules(self, level: float) -> list[str]:
        rule = self._best()
        if rule is None or any(check.decide(level).kind != HOLDS for check in self._checks(rule)):
            return []
        return [f"{rule}{'' if self.sure >= SURE else f' (right for {self.sure:.0%} of both kinds or more)'}"]

    def tests(self) -> list[Test]:
        rule = self._best()
        return [self._every(), *(self._checks(rule) if rule is not None else ())]

    def comparisons(self) -> int:
        return 1 + 2 * len(self.candidates)

    def predicted(self) -> str:
        return f"{self.quantity}: in every one"

    def _every(self) -> Test:
        return _share(self.quantity, self.true, self.n).above(1 - self.rare)

    def _checks(self, rule: str) -> list[Test]:
        right = (self.candidates[rule] == self.true).astype(float).where(self.candidates[rule].notnull())
        return [
            _share(f"“{rule}” is right {name}", right[among], round(self.n * float(among.mean()))).above(
                self.sure
            )
            for name, among in (("where it is true", self.true == 1), ("where it is not", self.true == 0))
        ]

    def _best(self) -> str | None:
        true = self.true == 1
        if not self.candidates or self.true.isnull().any() or true.all() or not true.any():
            return None

        def balanced(name: str) -> float:
            right = self.candidates[name] == self.true
            return min(float(right[true].mean()), float(right[~true].mean()))

        return max(self.candidates, key=balanced)


def _share(quantity: str, flags: xr.DataArray, n: int) -> Estimate:
    from qra_jax.studies.lab.estimates import share

    return share(quantity, flags, n=max(n, 1))


def all_of(*parts: Evidence) -> Evidence:
    """Evidence of which a claim needs every part."""
    return All(parts)


def any_of(*parts: Evidence) -> Evidence:
    """Evidence of which one part is enough; each must be decided as a whole, without `per`."""
    return AnyOf(_whole("any_of", parts))


def somewhere(part: Evidence) -> Evidence:
    """Evidence that is enough in one element: that something can happen."""
    return Somewhere(_whole("somewhere", (part,)))


def contrary(part: Evidence) -> Evidence:
    """Evidence for the contrary."""
    return Not(_whole("contrary", (part,)))


def _whole(name: str, parts: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    for part in parts:
        if part.free:
            raise ValueError(f"{name}: decided per {', '.join(part.free)}; must be evidence without `per`")
        if isinstance(part, Explained):
            raise ValueError(
                f"{name}: its exceptions are explained by a rule; must be evidence without rules"
            )
    return parts


def _worst(outcomes: Sequence[xr.DataArray]) -> xr.DataArray:
    """The smallest outcome in each cell; values along common axes must agree."""
    return xr.concat(xr.broadcast(*xr.align(*outcomes, join="exact")), dim="_part").min("_part")


# ---- words


def _condition(outcome: xr.DataArray) -> str:
    """For which values of the axes a claim holds, in words."""
    for axis in outcome.dims:
        others = [dim for dim in outcome.dims if dim != axis]
        low, high = outcome.min(others), outcome.max(others)
        if bool(((low == YES) | (high < YES)).all()):  # this axis alone decides
            return _one_axis(low) + _undecided(outcome)
    places = [dict(zip(outcome.dims, i.tolist(), strict=True)) for i in np.argwhere(outcome.values == YES)]
    cells = [_named(outcome, place) for place in places]
    return f"in {len(cells)} of {outcome.size} cells: " + "; ".join(cells) + _undecided(outcome)


def _one_axis(outcome: xr.DataArray) -> str:
    axis = outcome.dims[0]
    labels, holds = np.asarray(_labels(outcome, axis), object), outcome.values == YES
    if all(isinstance(label, (int, float)) for label in labels) and np.all(np.diff(labels.astype(float)) > 0):
        first, last = int(np.argmax(holds)), int(len(holds) - np.argmax(holds[::-1]) - 1)
        if first < last and holds[first : last + 1].all():
            if last == len(holds) - 1:
                return f"{axis} ≥ {labels[first]:.3g} (tested up to {labels[-1]:.3g})"
            if first == 0:
                return f"{axis} ≤ {labels[last]:.3g} (tested down to {labels[0]:.3g})"
            return f"{labels[first]:.3g} ≤ {axis} ≤ {labels[last]:.3g}"
    names = [f"{label:.3g}" if isinstance(label, float) else str(label) for label in labels[holds]]
    return f"{axis} is {' or '.join(names)}"


def _undecided(outcome: xr.DataArray) -> str:
    count = int((outcome == UNKNOWN).sum())
    return f" ({count} of {outcome.size} undecided)" if count else ""


def _named(array: xr.DataArray, place: Mapping[Hashable, int]) -> str:
    element = array[dict(place)]
    values = {name: element.coords[name].item() for name in place if name in element.coords}
    words = [f"{k} {i}" for k, i in place.items() if k not in element.coords]
    return ", ".join([v if isinstance(v, str) else f"{k} = {v:.4g}" for k, v in values.items()] + words)


def _labels(array: xr.DataArray, dim: Hashable) -> list[Any]:
    return array[dim].values.tolist()


def _said(value: Any, show: Callable[[float], str]) -> str:
    array = np.unique(np.asarray(value, float))
    if array.size == 1:
        return show(float(array[0]))
    return f"{show(float(array[0]))} to {show(float(array[-1]))}, each its own"


def _plain(value: Any) -> Any:
    """Numbers as strict JSON: words for infinity and NaN."""
    if np.ndim(value):
        return [_plain(part) for part in value]
    number = value.item()
    return number if math.isfinite(number) else str(number)

"""Evidence: an estimate, its interval, and the region in which a claim says it lies.

Every test of this module is one rule. A claim says that a quantity lies in a region; the data say, at a level, in
which interval it lies. The claim *holds* where the interval lies in the region, it *fails* where the two are apart,
and it is *open* otherwise. Numbers without sampling error have an interval of one point. A value that is no number
leaves a claim open.

Estimates are labelled arrays: one comparison for each element. A study divides one family-wise error rate between all
comparisons of all its claims (Bonferroni), so that an interval widens with the number of questions asked.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy import optimize, special, stats

Kind = Literal["holds", "fails", "holds only if", "open"]
HOLDS, FAILS, ONLY_IF, OPEN = "holds", "fails", "holds only if", "open"
YES, UNKNOWN, NO = 1, 0, -1
POWER = 0.8
"""Probability with which the detectable distance is detected."""
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

    @abstractmethod
    def outcome(self, level: float) -> xr.DataArray:
        """1 where the claim holds, −1 where it fails, 0 where it is open; intervals err with probability `level`."""

    @abstractmethod
    def tests(self) -> list[Test]:
        """The elementary comparisons that it is made of."""

    def comparisons(self) -> int:
        """How many elements with a sampling error are compared."""
        return sum(test.comparisons() for test in self.tests())

    def decide(self, level: float) -> Verdict:
        """The verdict: a claim holds where it does in every element, and fails where it fails in any."""
        worst = int(self.outcome(level).min())
        return Verdict({YES: HOLDS, NO: FAILS}.get(worst, OPEN))  # pyright: ignore[reportArgumentType]

    def per(self, *axes: str) -> Per:
        """Decide for each value of these axes by itself; where some hold and some fail, that is the condition.

        Args:
          axes: names of dimensions of the estimates.
        """
        return Per(self, axes)

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
    """

    quantity: str
    value: xr.DataArray
    interval: Callable[[float], tuple[Any, Any]]
    n: int
    exact: bool = False
    how: str = ""
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

    def outcome(self, level: float) -> xr.DataArray:
        value = self.estimate.value
        low, high = self.estimate.interval(level)
        inside = (low >= self.low) & (high <= self.high)
        outside = (high < self.low) | (low > self.high)
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
class All(Evidence):
    """Several pieces of evidence, all of which a claim needs."""

    parts: tuple[Evidence, ...]

    def outcome(self, level: float) -> xr.DataArray:
        outcomes = xr.broadcast(*(part.outcome(level) for part in self.parts))
        return xr.concat(outcomes, dim="_part").min("_part")

    def tests(self) -> list[Test]:
        return [test for part in self.parts for test in part.tests()]

    def decide(self, level: float) -> Verdict:
        verdicts = [part.decide(level) for part in self.parts]
        for kind in (FAILS, OPEN):
            if any(verdict.kind == kind for verdict in verdicts):
                return next(verdict for verdict in verdicts if verdict.kind == kind)
        conditions = dict.fromkeys(verdict.reason for verdict in verdicts if verdict.kind == ONLY_IF)
        return Verdict(ONLY_IF, " and ".join(conditions)) if conditions else Verdict(HOLDS)


@dataclass(frozen=True)
class AnyOf(Evidence):
    """Several pieces of evidence, one of which is enough."""

    parts: tuple[Evidence, ...]

    def outcome(self, level: float) -> xr.DataArray:
        worst = [part.outcome(level).min() for part in self.parts]
        return xr.concat(worst, dim="_part").max("_part")

    def tests(self) -> list[Test]:
        return [test for part in self.parts for test in part.tests()]

    def predicted(self) -> str:
        return "any of: " + super().predicted()


@dataclass(frozen=True)
class Somewhere(Evidence):
    """Evidence that is enough in one element: a claim that something *can* happen."""

    part: Evidence

    def outcome(self, level: float) -> xr.DataArray:
        return self.part.outcome(level).max()

    def tests(self) -> list[Test]:
        return self.part.tests()

    def predicted(self) -> str:
        return self.part.predicted() + " (somewhere)"


@dataclass(frozen=True)
class Not(Evidence):
    """The contrary of a piece of evidence."""

    part: Evidence

    def outcome(self, level: float) -> xr.DataArray:
        return -self.part.outcome(level).min()

    def tests(self) -> list[Test]:
        return self.part.tests()

    def predicted(self) -> str:
        return "not " + self.part.predicted()


@dataclass(frozen=True)
class Per(Evidence):
    """Evidence that is decided for each value of some axes by itself."""

    part: Evidence
    axes: tuple[str, ...]

    def outcome(self, level: float) -> xr.DataArray:
        whole = self.part.outcome(level)
        missing = [axis for axis in self.axes if axis not in whole.dims]
        if missing:
            raise ValueError(
                f"per: no axis {', '.join(missing)}; must be among {', '.join(map(str, whole.dims))}"
            )
        return whole.min([dim for dim in whole.dims if dim not in self.axes])

    def tests(self) -> list[Test]:
        return self.part.tests()

    def decide(self, level: float) -> Verdict:
        outcome = self.outcome(level)
        holds, fails = bool((outcome == YES).any()), bool((outcome == NO).any())
        if holds and fails:
            return Verdict(ONLY_IF, _condition(outcome))
        return Verdict(FAILS if fails else HOLDS if bool((outcome == YES).all()) else OPEN)


@dataclass(frozen=True)
class Explained(Evidence):
    """A claim about every member; where some are exceptions, a rule that says which.

    The rule is the candidate with the best agreement; it is the condition if the intervals of both its shares of
    right answers (among the members for which the claim is true, and among the others) lie above `sure`.
    """

    quantity: str
    true: xr.DataArray
    rules: Mapping[str, xr.DataArray]
    sure: float
    rare: float

    def outcome(self, level: float) -> xr.DataArray:
        kind = self.decide(level).kind
        return xr.DataArray({HOLDS: YES, FAILS: NO}.get(kind, UNKNOWN))

    def tests(self) -> list[Test]:
        rule = self._best()
        tests = [share(self.quantity, self.true).above(1 - self.rare)]
        if rule is not None and bool(self.true.any()) and not bool(self.true.all()):
            said = self.rules[rule].values.astype(bool)
            true = self.true.values.astype(bool)
            for name, among in (("where it is true", true), ("where it is not", ~true)):
                right = xr.DataArray((said == true)[among], dims="member")
                tests.append(share(f"“{rule}” is right {name}", right).above(self.sure))
        return tests

    def comparisons(self) -> int:
        return 1 + 2 * len(self.rules)

    def decide(self, level: float) -> Verdict:
        first, *checks = self.tests()
        if bool(self.true.all()):
            return first.decide(level)
        if not checks:
            return Verdict(FAILS)
        if all(check.decide(level).kind == HOLDS for check in checks):
            return Verdict(ONLY_IF, str(self._best()))
        return Verdict(FAILS)

    def predicted(self) -> str:
        return f"{self.quantity}: in every one"

    def _best(self) -> str | None:
        true = self.true.values.astype(bool)
        if not self.rules or true.all() or not true.any():
            return None

        def balanced(name: str) -> float:
            right = self.rules[name].values.astype(bool) == true
            return min(right[true].mean(), right[~true].mean())

        return max(self.rules, key=balanced)


# ---- estimates


def exact(quantity: str, value: Any) -> Estimate:
    """A number, or an array of them, without sampling error: computed, not sampled.

    Args:
      quantity: what it is.
      value: a number or a labelled array `[...]`; NaN leaves open what depends on it.

    Returns:
      The estimate; its interval is the value itself.
    """
    value = xr.DataArray(value).astype(float)
    return Estimate(quantity, value, lambda level: (value, value), int(value.size), True)


def close(quantity: str, value: Any, expected: Any = 0.0, *, within: float, relative: bool = False) -> Test:
    """The claim that a computed number equals another up to a tolerance.

    >>> close("2 + 2", 4.0, 4, within=1e-9).decide(.05).kind
    'holds'
    """
    return exact(quantity, value).near(expected, within=within, relative=relative)


def share(quantity: str, flags: Any, over: str | Sequence[str] | None = None) -> Estimate:
    """Share of members for which something is true, with Clopper and Pearson's interval.

    Args:
      quantity: what it is a share of.
      flags: True or False `[..., *over]`.
      over: dimensions of the members; default: all.

    >>> few = share("heads", xr.DataArray([True, False, True], dims="toss"))
    >>> few.above(.5).decide(.05).kind
    'open'
    """
    flags = xr.DataArray(flags)
    over = list(flags.dims) if over is None else over
    bad = flags.isnull()
    value = flags.astype(float).where(~bad).mean(over, skipna=False)
    n = int(np.prod([flags.sizes[dim] for dim in ([over] if isinstance(over, str) else over)]))
    count = value * n

    def interval(level: float) -> tuple[Any, Any]:
        low = xr.where(count > 0, special.betaincinv(np.maximum(count, 1), n - count + 1, level / 2), 0.0)
        inner = special.betaincinv(count + 1, np.maximum(n - count, 1), 1 - level / 2)
        return low, xr.where(count < n, inner, 1.0)

    return Estimate(quantity, value, interval, n, how="Clopper–Pearson interval").as_percent()


def never(quantity: str, flags: Any, *, rarer_than: float = 0.01) -> Test:
    """The claim that something never happens: one case refutes it, and none has to exclude a share.

    Args:
      quantity: what does not happen.
      flags: whether it happens, one for each member.
      rarer_than: the share that has to be excluded, in (0, 1).
    """
    estimate = share(quantity, flags)
    happens = bool((estimate.value > 0).any())
    bound = 0.0 if happens else rarer_than
    if happens:  # one case is enough: the region is a single point that the share has left
        estimate = replace(estimate, interval=lambda level: (estimate.value, estimate.value))
    return Test(estimate, 0.0, bound, "never (a share above " + f"{rarer_than:.3g} excluded)")


def explained(
    quantity: str, true: Any, rules: Mapping[str, Any], *, sure: float = 0.99, rarer_than: float = 0.01
) -> Explained:
    """A claim about every member, and candidate rules for its exceptions, from which the data choose.

    Args:
      quantity: what is claimed of each member.
      true: whether it is true, `[members]`.
      rules: conditions by name, in words; whether each is met, `[members]`.
      sure: both shares of right answers that a rule must reach, in (0, 1).
      rarer_than: share of exceptions that has to be excluded if there are none.
    """
    flat = xr.DataArray(np.asarray(true).ravel().astype(bool), dims="member")
    named = {
        name: xr.DataArray(np.asarray(rule).ravel().astype(bool), dims="member")
        for name, rule in rules.items()
    }
    return Explained(quantity, flat, named, sure, rarer_than)


def measured(quantity: str, value: Any, error: Any, *, n: int = 0, freedom: float = math.inf) -> Estimate:
    """A value with a standard error: normal, or Student's with so many degrees of freedom.

    Args:
      quantity: what it is.
      value: `[...]`.
      error: its standard error, `[...]`, ≥ 0.
      n: members it rests on.
      freedom: degrees of freedom of the error.
    """
    value, error = xr.DataArray(value).astype(float), xr.DataArray(error).astype(float)

    def interval(level: float) -> tuple[Any, Any]:
        half = stats.t.ppf(1 - level / 2, freedom) * error
        return value - half, value + half

    return Estimate(
        quantity, value, interval, n, how="normal interval" if math.isinf(freedom) else "t interval"
    )


def mean(quantity: str, values: Any, over: str = "seed") -> Estimate:
    """Mean over members, with Student's interval; infinitely wide for a single one.

    >>> mean("x", xr.DataArray([1.0, 2.0, 3.0], dims="seed")).above(0).decide(.05).kind
    'open'
    """
    values = xr.DataArray(values).astype(float)
    n = values.sizes[over]
    error = (
        values.std(over, ddof=1, skipna=False) / math.sqrt(n) if n > 1 else values.mean(over) * 0 + math.inf
    )
    return measured(quantity, values.mean(over, skipna=False), error, n=n, freedom=float(max(n - 1, 1)))


def difference(quantity: str, first: Any, second: Any, over: str = "seed") -> Estimate:
    """Mean of paired differences, first − second, with Student's interval."""
    return mean(quantity, xr.DataArray(first).astype(float) - xr.DataArray(second).astype(float), over)


def ratio(quantity: str, first: Any, second: Any, over: str = "seed") -> Estimate:
    """Geometric mean of paired ratios, first/second, with Student's interval of their logarithms."""
    log = mean(quantity, np.log(xr.DataArray(first).astype(float)) - np.log(xr.DataArray(second)), over)
    return replace(
        log, value=np.exp(log.value), interval=lambda level: tuple(map(np.exp, log.interval(level)))
    )


def slope(quantity: str, y: Any, x: Any, *, along: str, over: str | None = None) -> Estimate:
    """Least-squares slope of y against x along a dimension; exact for computed curves, over members for sampled ones.

    Args:
      quantity: what it is.
      y: `[..., along]`.
      x: `[along]` or `[..., along]`.
      along: the dimension.
      over: dimension of members, each with a slope of its own; default: none, the slope is a number.
    """
    y, x = xr.DataArray(y).astype(float), xr.DataArray(x).astype(float)
    dx = x - x.mean(along)
    found = (dx * (y - y.mean(along, skipna=False))).sum(along, skipna=False) / (dx**2).sum(along)
    return exact(quantity, found) if over is None else mean(quantity, found, over)


def ordered(quantity: str, values: Any, *, along: str, rising: bool = True, over: str | None = None) -> Test:
    """The claim that values rise (or fall) from each step of a dimension to the next.

    Args:
      quantity: what it is.
      values: `[..., along]`.
      along: the dimension.
      rising: or falling.
      over: dimension of members for paired differences; default: none, values are numbers.
    """
    steps = xr.DataArray(values).astype(float).diff(along) * (1 if rising else -1)
    words = f"{quantity}, {'rise' if rising else 'fall'} from one {along} to the next"
    return (exact(words, steps) if over is None else mean(words, steps, over)).above(0.0)


def statistic(
    quantity: str,
    function: Callable[..., Any],
    *arrays: xr.DataArray,
    over: str = "seed",
    draws: int = 400,
    to: Callable[[Any], Any] | None = None,
    back: Callable[[Any], Any] | None = None,
) -> Estimate:
    """Any statistic of members, with an interval from resampling them (bootstrap error, Student's quantile).

    Args:
      quantity: what it is.
      function: takes the arrays, resampled together along `over`, and returns a number or a labelled array.
      arrays: `[..., over]`.
      over: dimension of the members.
      draws: resamplings.
      to: a transformation in which the statistic is nearly normal.
      back: its inverse.

    Returns:
      The estimate; infinitely wide for a single member.
    """
    to, back = to or (lambda x: x), back or (lambda x: x)
    n = arrays[0].sizes[over]
    value = xr.DataArray(function(*arrays)).astype(float)
    random = np.random.default_rng(0)
    drawn = [random.integers(0, n, n) for _ in range(draws if n > 1 else 0)]
    again = [to(xr.DataArray(function(*(array.isel({over: i}) for array in arrays)))) for i in drawn]
    error = xr.concat(again, "_draw").std("_draw", ddof=1) if again else value * 0 + math.inf
    plain = measured(quantity, to(value), error, n=n, freedom=float(max(n - 1, 1)))

    def interval(level: float) -> tuple[Any, Any]:
        low, high = plain.interval(level)
        return back(low), back(high)

    return replace(plain, value=value, interval=interval, how=f"bootstrap over {over}")


def pooled_share(quantity: str, part: xr.DataArray, whole: xr.DataArray, over: str = "seed") -> Estimate:
    """Share of a part in a whole, of all members together: in a single one there may be next to nothing to share.

    Args:
      quantity: what it is a share of.
      part: `[..., over]`.
      whole: `[..., over]`; it need not be positive in every member.
      over: dimension of the members.

    Returns:
      The estimate; its interval is from resampling the members. A whole of zero leaves it open.

    >>> part, whole = (xr.DataArray(x, dims="seed") for x in ([1.0, 0.0, 5.0], [2.0, 0.0, 10.0]))
    >>> pooled_share("half", part, whole).value.item()
    0.5
    """

    def pooled(part: xr.DataArray, whole: xr.DataArray) -> xr.DataArray:
        total = whole.sum(over, skipna=False)
        return part.sum(over, skipna=False) / total.where(total != 0)

    return statistic(quantity, pooled, part, whole, over=over).as_percent()


def correlation(quantity: str, first: xr.DataArray, second: xr.DataArray, over: str = "seed") -> Estimate:
    """Spearman's rank correlation over all elements of two arrays; members along `over` are resampled together."""

    def spearman(first: xr.DataArray, second: xr.DataArray) -> float:
        a, b = (stats.rankdata(x.values.ravel()) for x in xr.broadcast(first, second))
        if np.isnan(first.values).any() or np.isnan(second.values).any():
            return math.nan
        return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0

    def to(x: Any) -> Any:
        return np.arctanh(np.clip(x, -1 + 1e-9, 1 - 1e-9))

    return statistic(quantity, spearman, first, second, over=over, to=to, back=np.tanh)


def misfit(quantity: str, z: Any, *, parameters: int = 0) -> Estimate:
    r"""How far a prediction misses beyond sampling error: the root mean square of true deviations, in standard errors.

    From $\chi^2=\sum z^2$, whose noncentrality is $\lambda=\sum\delta^2$: the estimate is $\sqrt{\lambda/n}$, with the
    interval of the noncentral distribution. Many comparisons are needed to show that it is small.

    Args:
      quantity: what is compared.
      z: (measured − predicted)/standard error, of any shape.
      parameters: parameters that were fitted.
    """
    z = np.asarray(z, float).ravel()
    freedom, total = z.size - parameters, float(np.sum(z**2))

    def end(tail: float) -> float:
        beyond = lambda noncentral: stats.ncx2.cdf(total, freedom, noncentral) - tail  # noqa: E731
        if stats.chi2.cdf(total, freedom) <= tail:
            return 0.0
        high = 1.0
        while beyond(high) > 0:
            high *= 2
        return optimize.brentq(beyond, 1e-12, high)  # pyright: ignore[reportReturnType]

    def interval(level: float) -> tuple[Any, Any]:
        return math.sqrt(end(1 - level / 2) / z.size), math.sqrt(end(level / 2) / z.size)

    value = xr.DataArray(math.sqrt(max(total - freedom, 0) / z.size))
    return Estimate(quantity, value, interval, z.size, how="noncentral χ² interval")


def same_curve(quantity: str, values: Any, *, over: str, error: Any = None) -> Estimate:
    """How far curves are apart: root mean square distance from their mean, beyond sampling error.

    Args:
      quantity: what the curves show.
      values: `[over, ...]` on one grid.
      over: dimension along which the curves should be the same.
      error: standard errors of the values, of the same shape; default: none, values are exact.

    Returns:
      The estimate, in units of the values; its sampling error is that of normal errors, drawn anew 400 times.
    """
    values = xr.DataArray(values).astype(float)
    k = values.sizes[over]
    square = float(((values - values.mean(over)) ** 2).mean())
    if error is None:
        return exact(quantity, math.sqrt(square))
    sd = xr.broadcast(xr.DataArray(error).astype(float), values)[0].transpose(*values.dims)
    excess = square - float((sd**2).mean()) * (1 - 1 / k)
    random = np.random.default_rng(0)
    noise = random.standard_normal((400, *values.shape)) * sd.values
    drawn = values.values + noise
    axis = 1 + values.dims.index(over)
    spread = ((drawn - drawn.mean(axis, keepdims=True)) ** 2).reshape(400, -1).mean(axis=1).std()

    def interval(level: float) -> tuple[Any, Any]:
        half = stats.norm.ppf(1 - level / 2) * spread
        return math.sqrt(max(excess - half, 0.0)), math.sqrt(max(excess + half, 0.0))

    value = xr.DataArray(math.sqrt(max(excess, 0.0)))
    return Estimate(quantity, value, interval, int(values.size), how="parametric bootstrap")


def line(quantity: str, y: Any, x: Any, error: Any, *, use: Any = True) -> Estimate:
    """Slope of a straight line through values with standard errors: weighted least squares, with an intercept.

    Args:
      quantity: what it is.
      y: values, of any shape.
      x: where they were measured, broadcast against `y`.
      error: standard errors of `y`, > 0.
      use: which of them to use; default: all. A NaN among them leaves the slope open, and so do fewer than three.

    >>> x = xr.DataArray([0.0, 1.0, 2.0], dims="point")
    >>> line("y against x", 2 * x + 1, x, x * 0 + 0.1).value.item()
    2.0
    """
    parts = xr.broadcast(*(xr.DataArray(part) for part in (y, x, error, use)))
    used = parts[3].values.ravel().astype(bool)
    value, place, sd = (part.values.ravel()[used].astype(float) for part in parts[:3])
    if used.sum() < 3:
        return measured(quantity, math.nan, math.inf)
    weight = sd**-2 / np.sum(sd**-2)
    dx = place - np.sum(weight * place)
    square = np.sum(weight * dx**2)
    found = np.sum(weight * dx * (value - np.sum(weight * value))) / square
    return measured(quantity, found, 1 / np.sqrt(square * np.sum(sd**-2)), n=int(used.sum()))


def tail(quantity: str, times: Any, *, since: float, until: Any = math.inf, over: str = "seed") -> Estimate:
    """Power of a tail of waiting times, P(T > t) ∝ t^(−κ), by maximum likelihood from those later than a time.

    Args:
      quantity: what it is.
      times: `[..., over]`, ≥ 0; inf: not yet at the end. NaN leaves open what depends on it.
      since: from where on the tail is a power.
      until: `[...]`, when it was last looked; what is later counts as not yet over.
      over: dimension of the members.

    >>> times = xr.DataArray(1 / np.linspace(0.001, 1, 1000), dims="seed")  # P(T > t) = 1/t
    >>> round(float(tail("power", times, since=2.0, until=100.0).value), 1)
    1.0
    """
    times = xr.DataArray(times).astype(float)
    late = (times > since) | times.isnull()
    over_by_then = (late & (times < until)).sum(over)
    waited = np.log(np.minimum(times, until) / since).where(late, 0.0).sum(over, skipna=False)
    found = over_by_then / waited
    return measured(quantity, found, found / np.sqrt(over_by_then), n=times.sizes[over])


def stacked(axis: str, estimates: Mapping[Any, Estimate]) -> Estimate:
    """Estimates of one quantity as a single one, along a new axis, so that a claim can be decided per value of it.

    Args:
      axis: name of the new dimension.
      estimates: by label, a word or a number.

    >>> two = stacked("arm", {"a": exact("x", 1.0), "b": exact("x", 2.0)})
    >>> str(two.above(1.5).per("arm").decide(.05))
    'holds only if arm is b'
    """
    first = next(iter(estimates.values()))

    def joined(parts: Sequence[Any]) -> xr.DataArray:
        arrays = [
            xr.broadcast(xr.DataArray(part), one.value)[0]
            for part, one in zip(parts, estimates.values(), strict=True)
        ]
        return xr.concat(arrays, dim=axis).assign_coords({axis: list(estimates)})

    def interval(level: float) -> tuple[Any, Any]:
        ends = [one.interval(level) for one in estimates.values()]
        return joined([low for low, _ in ends]), joined([high for _, high in ends])

    return replace(first, value=joined([one.value for one in estimates.values()]), interval=interval)


def extrapolated(quantity: str, y: Any, error: Any, *columns: Any, along: str) -> Estimate:
    """First coefficient of a fit by least squares weighted with standard errors: a limit, an order.

    Args:
      quantity: what it is.
      y: values `[..., along]`.
      error: their standard errors, `[..., along]`.
      columns: what is fitted, `[along]` each; the coefficient of the first is the estimate.
      along: the dimension.

    >>> x, one = xr.DataArray([1.0, 2.0, 3.0], dims="x"), xr.DataArray([1.0, 1.0, 1.0], dims="x")
    >>> round(float(extrapolated("limit", 5 + 2 * x, one, one, x, along="x").value), 6)
    5.0
    """
    y = xr.DataArray(y).astype(float).transpose(..., along)
    error = xr.broadcast(xr.DataArray(error).astype(float), y)[0].transpose(*y.dims)
    matrix = np.stack([np.asarray(column, float) for column in columns], axis=-1) / error.values[..., None]
    covariance = np.linalg.inv(matrix.swapaxes(-1, -2) @ matrix)
    first = np.einsum("...j,...ij,...i->...", covariance[..., 0, :], matrix, y.values / error.values)
    like = y.isel({along: 0}, drop=True)
    return measured(quantity, like.copy(data=first), like.copy(data=np.sqrt(covariance[..., 0, 0])))


def pooled(estimate: Estimate) -> Estimate:
    """All elements of an estimate with normal errors as one, weighted by these: where all should be the same.

    >>> both = measured("x", xr.DataArray([1.0, 3.0], dims="arm"), xr.DataArray([1.0, 1.0], dims="arm"))
    >>> float(pooled(both).value)
    2.0
    """
    low, high = estimate.interval(0.05)
    precision = (2 * stats.norm.ppf(0.975) / (high - low)) ** 2
    value = (precision * estimate.value).sum(skipna=False) / precision.sum(skipna=False)
    return measured(f"{estimate.quantity}, all together", value, 1 / np.sqrt(precision.sum()), n=estimate.n)


def distance(quantity: str, first: Any, second: Any, over: tuple[str, str]) -> Estimate:
    """Largest difference between two distribution functions, with the bound of Dvoretzky, Kiefer and Wolfowitz.

    Args:
      quantity: of what.
      first: members of one kind, `[..., over[0]]`.
      second: members of another kind, `[..., over[1]]`.
      over: their dimensions.
    """
    first = xr.DataArray(first).astype(float).transpose(..., over[0])
    second = xr.DataArray(second).astype(float).transpose(..., over[1])
    value = first.isel({over[0]: 0}, drop=True) * math.nan
    for index in np.ndindex(value.shape):
        x, y = first.values[index], second.values[index]
        if not (np.isnan(x).any() or np.isnan(y).any()):
            value[index] = stats.ks_2samp(x, y, method="asymp")[0]

    def interval(level: float) -> tuple[Any, Any]:
        half = sum(
            math.sqrt(math.log(4 / level) / 2 / n) for n in (first.sizes[over[0]], second.sizes[over[1]])
        )
        return (value - half).clip(min=0), (value + half).clip(max=1)

    n = min(first.sizes[over[0]], second.sizes[over[1]])
    return Estimate(quantity, value, interval, n, how="Dvoretzky–Kiefer–Wolfowitz bound")


def all_of(*parts: Evidence) -> Evidence:
    """Evidence of which a claim needs every part."""
    return All(parts)


def any_of(*parts: Evidence) -> Evidence:
    """Evidence of which one part is enough."""
    return AnyOf(parts)


def somewhere(part: Evidence) -> Evidence:
    """Evidence that is enough in one element: that something can happen."""
    return Somewhere(part)


def contrary(part: Evidence) -> Evidence:
    """Evidence for the contrary."""
    return Not(part)


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
        if holds[first : last + 1].all():
            if last == len(holds) - 1:
                return f"{axis} ≥ {labels[first]:.3g}"
            if first == 0:
                return f"{axis} ≤ {labels[last]:.3g}"
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

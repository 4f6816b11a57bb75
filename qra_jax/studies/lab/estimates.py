"""Estimates from data: shares, means, ratios, slopes, statistics of members, with intervals that fit each kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from scipy import optimize, special, stats

from qra_jax import _check
from qra_jax.studies.lab.evidence import Estimate, Explained, Never, Test

ROUNDING = 1e-12
"""Scatter of this part of the numbers' size is rounding."""
LARGEST = 10_000_000
"""Numbers of an array that are resampled together."""
LARGE = 1e6
"""χ² above which its root is normal."""


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


def where_known(flags: Any, *values: Any) -> xr.DataArray:
    """Flags as numbers, NaN where a value that they were read from is NaN: a comparison alone would say False.

    >>> x = xr.DataArray([0.5, np.nan], dims="seed")
    >>> where_known(x > 1, x).values.tolist()
    [0.0, nan]
    """
    out = xr.DataArray(flags).astype(float)
    for value in values:
        out = out.where(~xr.DataArray(value).isnull())
    return out


def share(
    quantity: str, flags: Any, over: str | Sequence[str] | None = None, *, n: int | None = None
) -> Estimate:
    """Share of members for which something is true, with Clopper and Pearson's interval.

    Args:
      quantity: what it is a share of.
      flags: True or False, or 1, 0 and NaN for unknown, `[..., *over]`.
      over: dimensions of the members; default: all.
      n: how many of these are independent, ≥ 1: runs of one problem count as one; default: all.

    >>> few = share("heads", xr.DataArray([True, False, True], dims="toss"))
    >>> few.above(.5).decide(.05).kind
    'open'
    """
    flags = xr.DataArray(flags)
    over = list(flags.dims) if over is None else [over] if isinstance(over, str) else over
    value = flags.astype(float).where(~flags.isnull()).mean(over, skipna=False)
    members = int(np.prod([flags.sizes[dim] for dim in over])) if n is None else n
    count = value * members

    def interval(level: float) -> tuple[Any, Any]:
        low = xr.where(
            count > 0, special.betaincinv(np.maximum(count, 1e-9), members - count + 1, level / 2), 0.0
        )
        inner = special.betaincinv(count + 1, np.maximum(members - count, 1e-9), 1 - level / 2)
        return low, xr.where(count < members, inner, 1.0)

    return Estimate(quantity, value, interval, members, how="Clopper–Pearson interval").as_percent()


def never(quantity: str, flags: Any, *, rarer_than: float = 0.01, n: int | None = None) -> Test:
    """The claim that something never happens: one case refutes it, and none has to exclude a share.

    Args:
      quantity: what does not happen.
      flags: whether it happens, one for each member; NaN: unknown.
      rarer_than: the share that has to be excluded, in (0, 1).
      n: how many of the members are independent; default: all.
    """
    words = f"never (a share above {rarer_than:.3g} excluded)"
    return Never(share(quantity, flags, n=n), 0.0, rarer_than, words)


def explained(
    quantity: str,
    true: Any,
    rules: Mapping[str, Any],
    *,
    sure: float = 0.99,
    rarer_than: float = 0.01,
    n: int | None = None,
) -> Explained:
    """A claim about every member, and candidate rules for its exceptions, from which the data choose.

    Args:
      quantity: what is claimed of each member.
      true: whether it is true, `[members]`; NaN: unknown, which leaves the claim open.
      rules: conditions by name, in words; whether each is met, `[members]`.
      sure: both shares of right answers that a rule must reach, in (0, 1).
      rarer_than: share of exceptions that has to be excluded if there are none.
      n: how many of the members are independent; default: all.
    """
    flat = xr.DataArray(np.asarray(true, float).ravel(), dims="member")
    named = {
        name: xr.DataArray(np.asarray(rule, float).ravel(), dims="member") for name, rule in rules.items()
    }
    return Explained(quantity, flat, named, sure, rarer_than, flat.size if n is None else n)


def measured(quantity: str, value: Any, error: Any, *, n: int = 0, freedom: float = math.inf) -> Estimate:
    """A value with a standard error: normal, or Student's with so many degrees of freedom.

    Args:
      quantity: what it is.
      value: `[...]`.
      error: its standard error, `[...]`; zero says that nothing is known of the scatter, and leaves open.
      n: members it rests on.
      freedom: degrees of freedom of the error.
    """
    value, error = xr.DataArray(value).astype(float), xr.DataArray(error).astype(float)
    error = error.where(error > 0, math.inf).where(~error.isnull())

    def interval(level: float) -> tuple[Any, Any]:
        half = stats.t.ppf(1 - level / 2, freedom) * error
        return value - half, value + half

    how = "normal interval" if math.isinf(freedom) else "t interval"
    return Estimate(quantity, value, interval, n, how=how, error=error, freedom=freedom)


def mean(quantity: str, values: Any, over: str = "seed") -> Estimate:
    """Mean over members, with Student's interval; infinitely wide for one or none, or where all are the same.

    Of flags, take a [`share`][qra_jax.studies.lab.share]: their mean has no Student's interval.

    >>> mean("x", xr.DataArray([1.0, 2.0, 3.0], dims="seed")).above(0).decide(.05).kind
    'open'
    """
    values = xr.DataArray(values)
    if values.dtype == bool:
        raise ValueError("values: flags; must be numbers (of flags, take `share`)")
    values = values.astype(float)
    n = values.sizes[over]
    if n == 0:
        unknown = values.sum(over) * math.nan
        return measured(quantity, unknown, unknown)
    error = (
        values.std(over, ddof=1, skipna=False) / math.sqrt(n) if n > 1 else values.mean(over) * 0 + math.inf
    )
    error = _scatter(error, abs(values).max(over))
    return measured(quantity, values.mean(over, skipna=False), error, n=n, freedom=float(max(n - 1, 1)))


def _scatter(error: xr.DataArray, size: xr.DataArray) -> xr.DataArray:
    """An error, zero where it is no more than rounding of numbers of this size."""
    return error.where(~(error <= ROUNDING * size), 0.0)


def difference(quantity: str, first: Any, second: Any, over: str = "seed") -> Estimate:
    """Mean of paired differences, first − second, with Student's interval."""
    return mean(quantity, xr.DataArray(first).astype(float) - xr.DataArray(second).astype(float), over)


def ratio(quantity: str, first: Any, second: Any, over: str = "seed") -> Estimate:
    """Geometric mean of paired ratios, first/second, with Student's interval of their logarithms.

    A pair of which one is not positive has no ratio: the mean is unknown.
    """
    both = (xr.DataArray(x).astype(float) for x in (first, second))
    logs = [np.log(x.where(x > 0)) for x in both]
    log = mean(quantity, logs[0] - logs[1], over)
    return replace(
        log,
        value=np.exp(log.value),
        interval=lambda level: tuple(map(np.exp, log.interval(level))),
        error=None,
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
    return replace(
        (exact(words, steps) if over is None else mean(words, steps, over)).above(0.0), strict=True
    )


def statistic(
    quantity: str,
    function: Callable[..., Any],
    *arrays: xr.DataArray,
    over: str = "seed",
    draws: int = 400,
    to: Callable[[Any], Any] | None = None,
    back: Callable[[Any], Any] | None = None,
    together: bool = False,
) -> Estimate:
    """Any statistic of members, with an interval from resampling them (bootstrap error, Student's quantile).

    Args:
      quantity: what it is.
      function: takes the arrays, resampled together along `over`, and returns a number or a labelled array.
      arrays: `[..., over]`.
      over: dimension of the members.
      draws: resamplings, ≥ 200: the error of the error is 1/√(2·draws) of it.
      to: a transformation in which the statistic is nearly normal.
      back: its inverse.
      together: the function knows dimensions by name and leaves an additional one as it is: it is called for many
        resamplings at once.

    Returns:
      The estimate; infinitely wide for a single member.
    """
    to, back = to or (lambda x: x), back or (lambda x: x)
    _check.integer("draws", draws, low=200)
    n = arrays[0].sizes[over]
    value = xr.DataArray(function(*arrays)).astype(float)
    random = np.random.default_rng(0)
    drawn = xr.DataArray([random.integers(0, n, n) for _ in range(draws)], dims=("_draw", over))
    error = value * 0 + math.inf
    if n > 1:  # resampling n of n understates the variance by (n − 1)/n
        if together:
            arrays = tuple(array.drop_vars(over, errors="ignore") for array in arrays)
            block = max(1, LARGEST // max(array.size for array in arrays))
            lots = [drawn.isel(_draw=slice(first, first + block)) for first in range(0, draws, block)]
        else:
            lots = [one.values for one in drawn]
        values = [to(xr.DataArray(function(*(array.isel({over: lot}) for array in arrays)))) for lot in lots]
        scatter = xr.concat(values, "_draw", join="exact").std("_draw", ddof=1, skipna=False)
        error = _scatter(xr.DataArray(scatter) * math.sqrt(n / (n - 1)), abs(to(value)))
    plain = measured(quantity, to(value), error, n=n, freedom=float(max(n - 1, 1)))

    def interval(level: float) -> tuple[Any, Any]:
        low, high = plain.interval(level)
        return back(low), back(high)

    return replace(plain, value=value, interval=interval, how=f"bootstrap over {over}", error=None)


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

    return statistic(quantity, pooled, part, whole, over=over, together=True).as_percent()


def correlation(quantity: str, first: xr.DataArray, second: xr.DataArray, over: str = "seed") -> Estimate:
    """Spearman's rank correlation over all elements of two arrays; members along `over` are resampled together."""

    elements = list(dict.fromkeys((*first.dims, *second.dims)))

    def spearman(first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
        both = [x.transpose(..., *elements) for x in xr.broadcast(first, second)]
        others = both[0].dims[: -len(elements)]
        rows = np.stack([x.values.reshape(*x.shape[: len(others)], -1) for x in both])
        ranks = stats.rankdata(rows, axis=-1)
        ranks -= ranks.mean(axis=-1, keepdims=True)
        together, apart = ranks.prod(axis=0).sum(axis=-1), np.sqrt((ranks**2).sum(axis=-1).prod(axis=0))
        found = np.divide(
            together, apart, out=np.zeros_like(together), where=apart > 0
        )  # 0 if one is constant
        return xr.DataArray(np.where(np.isnan(rows).any(axis=(0, -1)), math.nan, found), dims=others)

    def to(x: Any) -> Any:
        return np.arctanh(np.clip(x, -1 + 1e-9, 1 - 1e-9))

    return statistic(quantity, spearman, first, second, over=over, to=to, back=np.tanh, together=True)


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
    if not math.isfinite(total) or freedom < 1:
        return measured(quantity, math.nan, math.nan, n=z.size)

    def end(tail: float) -> float:
        beyond = lambda noncentral: stats.ncx2.cdf(total, freedom, noncentral) - tail  # noqa: E731
        if stats.chi2.cdf(total, freedom) <= tail:
            return 0.0
        high = 1.0
        while beyond(high) > 0:
            high *= 2
        return optimize.brentq(beyond, 1e-12, high)  # pyright: ignore[reportReturnType]

    def interval(level: float) -> tuple[Any, Any]:
        if stats.chi2.cdf(total, freedom) <= level / 2:  # less scatter than the errors allow: these are wrong
            return math.nan, math.nan
        if total > LARGE:  # χ is normal
            half = stats.norm.ppf(1 - level / 2)
            ends = math.sqrt(total) - half, math.sqrt(total) + half
        else:
            ends = math.sqrt(end(1 - level / 2)), math.sqrt(end(level / 2))
        return ends[0] / math.sqrt(z.size), ends[1] / math.sqrt(z.size)

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
    square = float(((values - values.mean(over, skipna=False)) ** 2).mean(skipna=False))
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
        if not excess >= -half:  # the scatter is smaller than the errors allow: these are wrong
            return math.nan, math.nan
        return math.sqrt(max(excess - half, 0.0)), math.sqrt(max(excess, 0.0) + half)

    value = xr.DataArray(math.sqrt(max(excess, 0.0)) if math.isfinite(excess) else math.nan)
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
    waited = waited.where(waited > 0)

    def interval(level: float) -> tuple[Any, Any]:
        ends = (
            stats.chi2.ppf(level / 2, 2 * over_by_then),
            stats.chi2.ppf(1 - level / 2, 2 * over_by_then + 2),
        )
        return xr.where(over_by_then > 0, ends[0], 0.0) / (2 * waited), ends[1] / (2 * waited)

    n = int(over_by_then.min())
    return Estimate(quantity, over_by_then / waited, interval, n, how="χ² interval of a censored exponential")


def stacked(axis: str, estimates: Mapping[Any, Estimate]) -> Estimate:
    """Estimates of one quantity as a single one, along a new axis, so that a claim can be decided per value of it.

    Args:
      axis: name of the new dimension.
      estimates: by label, a word or a number.

    >>> two = stacked("arm", {"a": exact("x", 1.0), "b": exact("x", 2.0)})
    >>> str(two.above(1.5).per("arm").decide(.05))
    'holds only if arm is b'
    """
    every = list(estimates.values())
    kinds = dict.fromkeys(one.how for one in every if not one.exact)

    def joined(parts: Sequence[Any]) -> xr.DataArray:
        arrays = [
            xr.broadcast(xr.DataArray(part), one.value)[0]
            for part, one in zip(parts, estimates.values(), strict=True)
        ]
        return xr.concat(arrays, dim=axis, join="exact").assign_coords({axis: list(estimates)})

    def interval(level: float) -> tuple[Any, Any]:
        ends = [one.interval(level) for one in estimates.values()]
        return joined([low for low, _ in ends]), joined([high for _, high in ends])

    return replace(
        every[0],
        value=joined([one.value for one in every]),
        interval=interval,
        n=min(one.n for one in every),
        exact=all(one.exact for one in every),
        how=", ".join(kinds),
        error=None,
    )


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
    """All elements of an estimate with standard errors as one, weighted by these: where all should be the same.

    >>> both = measured("x", xr.DataArray([1.0, 3.0], dims="arm"), xr.DataArray([1.0, 1.0], dims="arm"))
    >>> float(pooled(both).value)
    2.0
    """
    if estimate.error is None:
        raise ValueError(f"estimate: {estimate.quantity!r} has no standard error; must be a mean or measured")
    precision = xr.broadcast(estimate.error, estimate.value)[0] ** -2
    total = precision.sum(skipna=False)
    value = ((precision * estimate.value).sum(skipna=False) / total).where(np.isfinite(estimate.error).all())
    freedom = float(estimate.freedom * total**2 / (precision**2).sum())  # Welch and Satterthwaite
    quantity = f"{estimate.quantity}, all together"
    return measured(quantity, value, 1 / np.sqrt(total), n=estimate.n, freedom=freedom)


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

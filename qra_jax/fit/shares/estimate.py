"""The likeliest orbit of measured shares, and its reference distributions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qra_jax.fit.shares import bends, lines
from qra_jax.fit.shares.found import LEVEL, MOST, SURE, UNKNOWN, SharesFit, Test, checked, held
from qra_jax.fit.shares.lines import NATURAL, SOFTMAX, Lines

QUANTILE = 1.2816
"""Half of an 80 % interval, in standard errors."""
ENOUGH = 1e-2
"""Gain of log likelihood at which fits of drawn data stop."""
BINS = 100
"""Neighbouring steps are summed to at most so many: the path is straight between them."""


def fit(
    steps: Any,
    shares: Any,
    n: Any = None,
    success: Any = None,
    *,
    accuracy: Any = None,
    names: tuple[str, ...] = (),
    draws: int = 199,
    seed: int = 0,
) -> SharesFit:
    r"""Fit the orbit to measured shares of patterns and test its first integral.

    $$ w_r(s) = a_r - R_r s + S(s),\qquad \prod_r w_r = 1,\qquad π_r ∝ 1/w_r,\qquad
       N_i x_i ∼ \mathrm{Multinomial}(N_i, π(s_i)) $$

    Args:
      steps: `[points]`, increasing.
      shares: `[points, patterns]`, x in [0, 1], summing to 1.
      n: samples behind each point, one number or `[points]`; default: from the scatter about smooth departures.
      success: `[patterns]`, success rates p in [0, 1] where they are known; default: fitted as far as shares tell.
      accuracy: `[points]`, in [0, 1], of the same samples; it tells the level of success rates.
      names: of the patterns.
      draws: for each reference distribution, ≥ 19.
      seed: of the random numbers.

    Returns:
      A `SharesFit`.

    Raises:
      ValueError: an argument of another shape or out of range; fewer than three patterns that occur; fewer than five
        steps.
    """
    steps, x, size, success, accuracy, names = checked(steps, shares, n, success, accuracy, names, draws)
    steps, x, size, accuracy = _binned(steps, x, size, accuracy)
    rng = np.random.default_rng(seed)
    least = UNKNOWN / MOST if n is None else 1.0
    direction = None if success is None else -success
    soft, natural = (
        _tried(rng, x, size, geometry, direction, least, draws) for geometry in (SOFTMAX, NATURAL)
    )
    line, even, off = soft.line, soft.even, soft.off
    rival = natural.line.policy[0]
    near = _likeliest(rival, even, SOFTMAX, direction)[0]
    other = _again(near, _draw(rng, rival, even, draws), even, least)[1]
    policy = line.policy[0]
    seen = held(policy)
    rates = _rates(line, success, seen)[0]
    between = _between(line, x, even, rates, success)
    scale = lines.policy(line.a[0] + line.b[0] * line.s[0, 0], SOFTMAX)[1][0]
    unit = np.ptp(line.b[0][seen]) / (1.0 if success is None else np.ptp(success[seen]))
    critical = float(np.quantile(soft.noise, 1 - LEVEL))
    need = off.dispersion[0] * bends.noncentral(off.degrees, critical)
    return SharesFit(
        names=names,
        steps=steps,
        shares=x,
        samples=even,
        dispersion=float("nan") if n is None else float(off.dispersion[0]),
        policy=policy,
        rival=rival,
        rates=rates,
        between=between,
        tau=float(scale * unit) * (line.s[0] - line.s[0, 0]),
        integral=_integral(x, policy[0], rates, seen),
        given=success is not None,
        softmax=soft.test(steps),
        natural=natural.test(steps),
        power=float(np.mean(other.statistic > critical)),
        visible=float(off.unit[0] * np.sqrt(need)),
        moved=_moves(rng, x, size, draws),
        back=float((1 + np.sum(soft.turns >= soft.turned)) / (1 + draws)),
        success=None if accuracy is None else _levels(rng, accuracy, even, soft, seen, success),
    )


@dataclass(frozen=True)
class _Tried:
    """One geometry's orbit, and the same of data drawn from it."""

    line: Lines
    even: np.ndarray
    off: bends.Bent
    turned: float
    again: Lines
    noise: np.ndarray
    turns: np.ndarray
    deviance: float

    def test(self, steps: np.ndarray) -> Test:
        own, off = self.off.statistic[0], self.off
        return Test(
            chance=float((1 + np.sum(self.noise >= own)) / (1 + len(self.noise))),
            statistic=float(own),
            critical=float(np.quantile(self.noise, 1 - LEVEL)),
            degrees=off.degrees,
            deviance=self.deviance,
            off=float(off.worth[0]),
            at=float(steps[off.where[0]]),
        )


def _tried(
    rng: np.random.Generator,
    x: np.ndarray,
    size: np.ndarray,
    geometry: str,
    direction: np.ndarray | None,
    least: float,
    draws: int,
) -> _Tried:
    line, deviance, turned, places = _likeliest(x, size, geometry, direction)
    off = bends.bent(line, deviance, turned, places, x[None], size[None], least=least)
    even = np.clip(np.rint(size / off.dispersion[0]), 1, MOST)
    again, noise, turns = _again(line, _draw(rng, line.policy[0], even, draws), even, least)
    turned, whole = (float(value[0] / off.dispersion[0]) for value in (turned, deviance))
    return _Tried(line, even, off, turned, again, noise.statistic, turns, whole)


def _binned(
    steps: np.ndarray, x: np.ndarray, size: np.ndarray, accuracy: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Neighbouring steps summed to at most `BINS`."""
    if len(steps) <= BINS:
        return steps, x, size, accuracy
    parts = np.array_split(np.arange(len(steps)), BINS)
    mean = lambda y: np.stack([np.average(y[part], axis=0, weights=size[part]) for part in parts])  # noqa: E731
    whole = np.array([size[part].sum() for part in parts])
    return mean(steps), mean(x), whole, None if accuracy is None else mean(accuracy)


def _likeliest(
    x: np.ndarray, size: np.ndarray, geometry: str, direction: np.ndarray | None
) -> tuple[Lines, np.ndarray, np.ndarray, np.ndarray]:
    """The better of the lines that several first ones lead to, run forward, with what `forward` says of it."""
    first = lines.start(x, size, geometry, direction)
    many, several = np.repeat(x[None], len(first.s), axis=0), np.broadcast_to(size, first.s.shape)
    several, deviance = lines.fit(first, many, several)
    best = [int(deviance.argmin())]
    line = replace(several, a=several.a[best], b=several.b[best], s=several.s[best])
    if direction is None and np.polyfit(np.arange(len(size)), line.s[0], 1, w=np.sqrt(size))[0] < 0:
        line = replace(line, b=-line.b, s=-line.s)
    return bends.forward(line, x[None], size[None])


def _draw(rng: np.random.Generator, policy: np.ndarray, size: np.ndarray, draws: int) -> np.ndarray:
    """`[draws, points, patterns]`, shares of so many samples."""
    policy = policy / policy.sum(axis=1, keepdims=True)
    return rng.multinomial(size.astype(np.int64), policy, (draws, len(size))) / size[:, None]


def _again(
    line: Lines, x: np.ndarray, size: np.ndarray, least: float
) -> tuple[Lines, bends.Bent, np.ndarray]:
    """The same fit to other data, from that line on: the lines, what is off them, and how far they turn back."""
    sets, sizes = len(x), np.broadcast_to(size, x.shape[:2])
    a, b, s = (np.repeat(part, sets, axis=0) for part in (line.a, line.b, line.s))
    again = lines.fit(Lines(a, b, s, line.geometry, line.known), x, sizes, gain=ENOUGH)[0]
    again, deviance, turned, places = bends.forward(again, x, sizes, gain=ENOUGH)
    off = bends.bent(again, deviance, turned, places, x, sizes, least=least)
    return again, off, turned / off.dispersion


def _moves(rng: np.random.Generator, x: np.ndarray, size: np.ndarray, draws: int) -> float:
    """Chance of shares that stay being as far from their mean, smoothly in time: by permutation of the steps."""
    weight = size[:, None] / size.mean()
    rest = weight * (x - np.average(x, axis=0, weights=size)) / np.sqrt(x.mean(axis=0) + 0.5 / size.sum())
    waves = np.cos(np.pi * np.arange(1, bends.BENDS)[:, None] * (np.arange(len(x)) + 0.5) / len(x))
    far = lambda order: float(np.sum((waves @ rest[order]) ** 2))  # noqa: E731
    own = far(np.arange(len(x)))
    return (1 + sum(far(rng.permutation(len(x))) >= own for _ in range(draws))) / (1 + draws)


def _rates(line: Lines, success: np.ndarray | None, seen: np.ndarray) -> np.ndarray:
    """`[sets, patterns]`, success rates as given, or 0 for the worst and 1 for the best of those that are seen."""
    if success is not None:
        return np.broadcast_to(success, line.a.shape)
    high, low = (f(line.b[:, seen], axis=1, keepdims=True) for f in (np.max, np.min))
    return (high - line.b) / (high - low)


def _between(
    line: Lines, x: np.ndarray, size: np.ndarray, rates: np.ndarray, success: np.ndarray | None
) -> np.ndarray:
    """Their 80 % intervals, from the covariance of the direction."""
    if success is not None:
        return np.stack([rates, rates], axis=1)
    best, worst = int(np.abs(rates - 1).argmin()), int(np.abs(rates).argmin())
    cov = bends.spread(line, x[None], size[None])[0]
    one = np.eye(len(rates))
    slope = (1 - rates)[:, None] * one[best] + rates[:, None] * one[worst] - one  # times b's range
    error = np.sqrt(np.einsum("ri,ij,rj->r", slope, cov, slope)) / np.abs(line.b[0, best] - line.b[0, worst])
    wide = np.where((one[best] + one[worst]) > 0, 0.0, QUANTILE * error)
    return np.stack([rates - wide, rates + wide], axis=1)


def _integral(x: np.ndarray, ref: np.ndarray, rates: np.ndarray, seen: np.ndarray) -> np.ndarray:
    best, worst = (int(f(np.where(seen, rates, np.nan))) for f in (np.nanargmax, np.nanargmin))
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = lines.coordinates(x, SOFTMAX) - lines.coordinates(ref, SOFTMAX)
        ratio = (rise[:, [best]] - rise) / (rise[:, [best]] - rise[:, [worst]])
    return np.where(np.isfinite(ratio), ratio, np.nan)


def _levels(
    rng: np.random.Generator,
    accuracy: np.ndarray,
    size: np.ndarray,
    soft: _Tried,
    seen: np.ndarray,
    success: np.ndarray | None,
) -> np.ndarray:
    """Success rates by the regression of accuracy on mean relative rates, with the scatter of drawn data."""

    def regressed(y: np.ndarray, line: Lines) -> tuple[np.ndarray, np.ndarray]:
        own = _rates(line, success, seen)
        level = np.einsum("bti,bi->bt", line.policy, own)
        middle = np.average(level, axis=1, weights=size)[:, None]
        slope = np.sum(size * (level - middle) * y, axis=1) / np.sum(size * (level - middle) ** 2, axis=1)
        begin = np.average(y, axis=1, weights=size) - slope * middle[:, 0]
        return begin[:, None] + slope[:, None] * own, begin[:, None] + slope[:, None] * level

    found, level = regressed(accuracy[None], soft.line)
    noisy = rng.binomial(size.astype(np.int64), np.clip(level[0], 0, 1), (len(soft.noise), len(size))) / size
    ends = np.quantile(regressed(noisy, soft.again)[0], [(1 - SURE) / 2, (1 + SURE) / 2], axis=0)
    return np.clip(np.stack([found[0], *ends], axis=1), 0, 1)

r"""An estimate of the clock that leaves the patterns of the questions open: regression on simulated populations.

Populations of both kinds, two patterns (1, 0) and several with rates of any spread, are drawn from a prior over
everything that may vary: clock, number of patterns, spread of their rates, base policies, rates of questions, starts,
rise. What is summed up of their histories is regressed on the exponent; how far the regression misses, on populations
that it has not seen, is its error. It is identified as far as that error is smaller than the prior's own spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.spatial import distance

from qra_jax.fit.questions import populations
from qra_jax.fit.questions.histories import Histories

EXPONENTS = (0.0, 1.25)
"""Range of the prior, which is uniform."""
EDGES = np.array([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0001])
"""Bins of the accuracy on odd early visits."""
SHARED = 4
"""Populations that are made of one set of orbits."""


@dataclass(frozen=True)
class Simulated:
    """Populations drawn from the prior.

    Attributes:
      exponent: `[populations]`, a of the clock.
      several: `[populations]`, whether questions have several patterns.
      patterns, concentration, spread: `[populations]`, number of patterns, κ, deviation of log rates.
      summaries: `[populations, summaries]`.
    """

    exponent: np.ndarray
    several: np.ndarray
    patterns: np.ndarray
    concentration: np.ndarray
    spread: np.ndarray
    summaries: np.ndarray


def simulate(
    rng: np.random.Generator,
    count: int,
    *,
    questions: int = 1209,
    group_size: int = 8,
    visits: int = 51,
    dirichlet: Sequence[float] = (1.0,),
    several: bool | None = None,
) -> Simulated:
    """Draw populations from the prior and sum up their histories.

    Args:
      rng: random numbers.
      count: populations, a multiple of `SHARED` or rounded up to one.
      questions, group_size, visits: of each.
      dirichlet: parameters of π_ref to choose from.
      several: whether questions have several patterns; default: half of the populations.
    """
    rows, found = [], []
    for number in range(-(-count // SHARED)):
        many = number % 2 == 0 if several is None else several
        first, second = np.exp(rng.uniform(np.log(0.3), np.log(2.0), 2)).tolist()
        patterns, concentration = (
            int(rng.integers(3, 17)),
            float(np.exp(rng.uniform(np.log(0.3), np.log(20)))),
        )
        if many:
            drawn = populations.draw(
                rng,
                questions,
                patterns=patterns,
                concentration=concentration,
                means=(first, second),
                dirichlet=float(rng.choice(dirichlet)),
            )
        else:
            patterns, concentration = 2, 0.0
            rho = np.clip(rng.beta(first, second, questions), 1e-6, 1 - 1e-6)
            drawn = populations.two_patterns(special.logit(rho))
        own = populations.orbits(*drawn)
        for _ in range(SHARED):
            exponent = rng.uniform(*EXPONENTS)
            spread = float(rng.choice([0.0, rng.uniform(0.0, 1.2)]))
            table = own.under(populations.log_power(own.accuracy, exponent))
            histories = populations.sample(
                rng,
                table,
                rise=rng.uniform(0.05, 0.25),
                group_size=group_size,
                visits=visits,
                rates=np.exp(spread * rng.standard_normal(questions)),
            )
            rows.append((exponent, many, patterns, concentration, spread))
            found.append(summaries(histories))
    exponent, many, patterns, concentration, spread = map(np.array, zip(*rows, strict=True))
    return Simulated(exponent, many, patterns, concentration, spread, np.array(found))


def summaries(histories: Histories) -> np.ndarray:
    """What is summed up of histories: changes of logit, spread and persistence in bins of the start, and the starts.

    Bins go by odd early visits, everything else by other visits, so that regression to the mean is in none of it.

    Returns:
      `[summaries]`; NaN for a bin with fewer than five questions.
    """
    fifth = max(histories.visits // 5, 2)
    middle = (histories.visits - fifth) // 2
    parts = (slice(0, fifth, 2), slice(1, fifth, 2), slice(middle, middle + fifth), slice(-fifth, None))
    odd, even, mid, late = (histories.accuracy(part) for part in parts)
    known = np.isfinite(odd + even + mid + late)
    odd, even, mid, late = (x[known] for x in (odd, even, mid, late))
    tries = [int(np.median(histories.tries[:, part].sum(axis=1))) for part in parts[1:]]
    bins = np.digitize(odd, EDGES) - 1
    rows = []
    for b in range(len(EDGES) - 1):
        own = [x[bins == b] for x in (even, mid, late)]
        if len(own[0]) < 5:
            rows.append(np.full(9, np.nan))
            continue
        mean = np.array([x.mean() for x in own])
        z = special.logit(np.clip(mean, 0.003, 0.997))
        scale = np.maximum(mean * (1 - mean), 1e-3)
        cover = np.cov(np.array(own))
        noise = [np.mean(x * (1 - x)) / max(n - 1, 1) for x, n in zip(own, tries, strict=True)]
        spread = (np.diag(cover) - noise) / scale
        both = [cover[i, j] / np.sqrt(scale[i] * scale[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
        rows.append(np.array([z[1] - z[0], z[2] - z[1], z[0], *spread, *both]))
    ends = [np.mean(x) for x in (odd < 1e-9, odd > 1 - 1e-9, late < 1e-9, late > 1 - 1e-9, even, mid, late)]
    return np.concatenate([*rows, ends, [np.var(even), np.var(mid), np.var(late)]])


@dataclass(frozen=True)
class Estimator:
    """Regression of the exponent on summaries: kernel ridge regression, with errors from leaving each one out.

    Attributes:
      center, scale, fill: of the summaries, `[summaries]`.
      rows: `[populations, summaries]`, standardised.
      weights: `[populations]`.
      mean: of the exponent.
      residuals: `[populations]`, of those left out.
    """

    center: np.ndarray
    scale: np.ndarray
    fill: np.ndarray
    rows: np.ndarray
    weights: np.ndarray
    mean: float
    residuals: np.ndarray

    def _standard(self, summaries: np.ndarray) -> np.ndarray:
        whole = np.where(np.isnan(summaries), self.fill, summaries)
        return np.clip((whole - self.center) / self.scale, -6, 6)

    def estimate(self, summaries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exponents, within the prior's range, and their standard errors: those of the most similar populations.

        Args:
          summaries: `[..., summaries]`.
        """
        rows = self._standard(np.atleast_2d(summaries))
        near = np.argsort(distance.cdist(rows, self.rows), axis=1)[:, : max(len(self.rows) // 20, 10)]
        error = np.sqrt(np.mean(self.residuals[near] ** 2, axis=1))
        value = np.clip(_kernel(rows, self.rows) @ self.weights + self.mean, *EXPONENTS)
        return value.reshape(summaries.shape[:-1]), error.reshape(summaries.shape[:-1])

    def interval(self, summaries: np.ndarray, level: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
        """Exponents and the half widths of intervals that miss with this probability among populations left out.

        Args:
          summaries: `[..., summaries]`.
          level: probability of a miss, averaged over the prior.
        """
        value, error = self.estimate(summaries)
        _, own = self.estimate(self.rows * self.scale + self.center)
        return value, error * np.quantile(abs(self.residuals) / own, 1 - level)

    def strangeness(self, summaries: np.ndarray) -> np.ndarray:
        """Share of the simulated populations that lie closer to their nearest neighbour than these do, `[...]`.

        Near 1 for a run unlike every population of the prior, whose exponent cannot be read off.
        """
        rows = self._standard(np.atleast_2d(summaries))
        own = np.sort(distance.cdist(self.rows, self.rows), axis=1)[:, 1]
        nearest = distance.cdist(rows, self.rows).min(axis=1)
        return (nearest[:, None] > own[None]).mean(axis=1).reshape(summaries.shape[:-1])


RIDGES = (0.005, 0.02, 0.1, 0.5, 2.0)
"""Variances of the noise over that of the kernel, of which the best is taken."""


def learn(simulated: Simulated, chosen: np.ndarray | slice = slice(None)) -> Estimator:
    """Learn to read the exponent from populations of the prior, or from some of them.

    Args:
      simulated: the populations.
      chosen: which to use.
    """
    summaries, exponent = simulated.summaries[chosen], simulated.exponent[chosen]
    fill = np.nan_to_num(np.nanmedian(summaries, axis=0))
    whole = np.where(np.isnan(summaries), fill, summaries)
    center, scale = whole.mean(axis=0), whole.std(axis=0) + 1e-9
    rows = np.clip((whole - center) / scale, -6, 6)
    kernel, best = _kernel(rows, rows), np.full(len(rows), np.inf)
    weights = best
    for ridge in RIDGES:
        inverse = np.linalg.inv(kernel + ridge * np.eye(len(rows)))
        tried = inverse @ (exponent - exponent.mean())
        residuals = tried / np.diag(inverse)  # each population by the others
        if np.sum(residuals**2) < np.sum(best**2):
            weights, best = tried, residuals
    return Estimator(center, scale, fill, rows, weights, float(exponent.mean()), best)


def _kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A smooth function of all summaries, and a line in each."""
    count = first.shape[1]
    return (
        np.exp(-distance.cdist(first, second, "sqeuclidean") / (3 * count))
        + 0.1 * first @ second.T / count
        + 1
    )

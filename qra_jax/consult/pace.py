r"""How fast a common shift of the logits of many questions goes: its exact mean and noise a step.

Questions of two patterns, right and wrong, whose logits share one shift s, z_q(s) = logit ρ_q + s. A group with k right
rollouts of G pulls at it by the gradient of the algorithm's weights A⁺(k), A⁻(k),

$$ g(k) = \frac2G\bigl[k\,A^+(k)\,(1-\rho_q) - (G-k)\,A^-(k)\,\rho_q\bigr], \qquad
   \dot s = \eta\Bigl\langle \mathbb E\,g - 2\rho_q(1-\rho_q)(\beta s + \alpha z_q)\Bigr\rangle_q, $$

with k binomial at the rate at which the verifier accepts, β the reverse KL term and α the entropy bonus; a batch of B
questions adds noise of variance η² Var g / B a step. Of one question this is the tabular model, so that η has the same
meaning. As ṡ depends on s alone, the time to any accuracy is one integral, and η follows from a start, an end and a
number of steps.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # whose parts are loaded where they are used
from scipy import special

from qra_jax import _check
from qra_jax.algorithm import Algorithm
from qra_jax.population import Population

_SHIFTS = np.concatenate([np.linspace(-12.0, -4.0, 33)[:-1], np.linspace(-4.0, 16.0, 401)])
_FAR = 700.0
_CELLS = 20_000_000
"""Shifts × questions × outcomes of a group that are summed at once; more questions are gathered in quantiles."""


@dataclass(frozen=True)
class Pace:
    """The shift's speed, on a grid.

    Attributes:
      population: the questions at s = 0.
      shift: `[grid]`, s.
      speed: `[grid]`, mean change of s in a step at η = 1.
      noise: `[grid]`, standard deviation of a group's pull at η = 1.
      accuracy: `[grid]`, mean success rate.
      silent: `[grid]`, share of silent groups among those drawn.
      draws: `[grid]`, groups drawn for each one kept.
    """

    population: Population
    shift: np.ndarray
    speed: np.ndarray
    noise: np.ndarray
    accuracy: np.ndarray
    silent: np.ndarray
    draws: np.ndarray

    @property
    def rest(self) -> float:
        """The shift at which the mean speed vanishes, in the direction in which it goes; ±∞ where it never does."""
        begin = float(self.at("speed", 0.0))
        if begin == 0:
            return 0.0
        side = np.sign(begin)
        ahead = self.shift * side > 0
        s = np.append(0.0, np.sort(self.shift[ahead] * side))
        v = self.at("speed", s * side) * side
        stopped = np.flatnonzero(v <= 0)
        if not stopped.size:
            return float(side * np.inf)
        at = stopped[0]
        return float(side * (s[at - 1] + (s[at] - s[at - 1]) * v[at - 1] / (v[at - 1] - v[at])))

    @property
    def limit(self) -> float:
        """Mean success rate where the shift comes to rest, or in the limit of the direction in which it goes."""
        rest = self.rest
        if np.isfinite(rest):
            return float(self.at("accuracy", rest))
        return self.population.shifted(float(np.sign(rest)) * _FAR).mean

    def at(self, name: str, shift: Any) -> np.ndarray:
        """A quantity at any shift: `"accuracy"`, `"silent"`, `"draws"`, `"speed"` or `"noise"`.

        Args:
          name: which.
          shift: `[...]`.
        """
        return np.asarray(np.interp(shift, self.shift, getattr(self, name)))

    def time(self, accuracy: float | int) -> float:
        """Steps times η until the mean success rate is as high; ∞ where the speed vanishes before.

        Args:
          accuracy: to be reached, by going up or down from the population's own.

        Raises:
          ValueError: an accuracy that no shift reaches.
        """
        end = self.population.shift_to(accuracy)
        if end == 0:
            return 0.0
        s = np.linspace(0.0, end, 2001)
        speed = self.at("speed", s) * np.sign(end)
        if (speed <= 0).any():
            return np.inf
        return float(scipy.integrate.simpson(1 / speed, x=np.abs(s)))

    def paths(
        self,
        eta: np.ndarray,
        steps: int,
        questions: int,
        *,
        records: int = 50,
        seed: int = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shifts of runs, each with the noise of its batches.

        Args:
          eta: `[runs]`, η of each.
          steps: ≥ 1.
          questions: B ≥ 1 of a batch.
          records: steps at which they are kept, evenly spread.
          seed: of the noise.

        Returns:
          Steps `[times]` and shifts `[times, runs]`, from 0 on.
        """
        random = np.random.default_rng(seed)
        s, keep = np.zeros(len(eta)), np.unique(np.linspace(0, steps, min(records, steps) + 1).astype(int))
        kept = [s]
        # Noise of several steps is drawn at once where these together move the shift by little.
        for first, last in itertools.pairwise(keep):
            most = float(np.max(eta)) * np.abs(self.speed).max() * (last - first)
            parts = int(min(last - first, np.ceil(20 * most) + 1))
            n = (last - first) / parts
            for _ in range(parts):
                shock = random.standard_normal(len(eta)) * np.sqrt(n / questions)
                s = s + eta * (n * self.at("speed", s) + self.at("noise", s) * shock)
            kept.append(s)
        return keep, np.array(kept)


def pace(
    population: Population,
    algorithm: Algorithm,
    *,
    beta: float | int = 0.0,
    entropy_bonus: float | int = 0.0,
    temperature: float | int = 1.0,
    tpr: float | int = 1.0,
    fpr: float | int = 0.0,
) -> Pace:
    """The speed of the common shift of a population.

    Args:
      population: the questions.
      algorithm: weighs by right and wrong in groups of a known size.
      beta: β ≥ 0 of the reverse KL term.
      entropy_bonus: α ≥ 0 of the entropy of the choice between right and wrong.
      temperature: T > 0, rollouts are drawn from π^(1/T).
      tpr: chance that the verifier accepts a right rollout, in [0, 1].
      fpr: chance that it accepts a wrong one, in [0, 1].

    Returns:
      A `Pace`.

    Raises:
      ValueError: an argument out of range, or an algorithm without a table of weights.
    """
    for name, value in (("beta", beta), ("entropy_bonus", entropy_bonus)):
        _check.nonnegative(name, value)
    _check.positive("temperature", temperature)
    for name, value in (("tpr", tpr), ("fpr", fpr)):
        _check.unit_interval(name, value)
    tables = algorithm.tables()
    size = algorithm.group_size
    assert size is not None  # `tables` has refused those without
    rates, weights = _gathered(population, max(64, _CELLS // ((size + 1) * len(_SHIFTS))))
    k = np.arange(size + 1)
    right, wrong = (np.asarray(one, float) for one in tables)
    with np.errstate(divide="ignore"):
        z = special.logit(rates) + _SHIFTS[:, None]
    now = special.expit(z)
    accepted = fpr + (tpr - fpr) * special.expit(z / temperature)
    ways = special.gammaln(size + 1) - special.gammaln(k + 1) - special.gammaln(size - k + 1)
    shares = accepted[..., None]
    chance = np.exp(
        ways + special.xlogy(k, shares) + special.xlog1py(size - k, -shares)
    )  # [grid, questions, k]
    # Of k accepted rollouts a share is right, of the others a share is wrong.
    drawn = special.expit(z / temperature)
    with np.errstate(invalid="ignore", divide="ignore"):
        truly = np.nan_to_num(tpr * drawn / accepted)[..., None]
        falsely = np.nan_to_num((1 - tpr) * drawn / (1 - accepted))[..., None]
    up = k * right * (truly - now[..., None])
    down = (size - k) * wrong * (falsely - now[..., None])
    pull = 2 / size * (up + down)
    silent = chance[..., 0] + chance[..., -1]
    if algorithm.resamples_silent:
        chance = chance.copy()
        chance[..., 0] = chance[..., -1] = 0.0
    kept = np.einsum("gqk,q->g", chance, weights)
    mean = np.einsum("gqk,gqk,q->g", chance, pull, weights)
    # Which of the accepted, and of the rejected, are right adds noise of its own.
    truth = k * right**2 * truly * (1 - truly) + (size - k) * wrong**2 * falsely * (1 - falsely)
    square = np.einsum("gqk,gqk,q->g", chance, pull**2 + (2 / size) ** 2 * truth, weights)
    safe = np.maximum(kept, 1e-300)
    mean, square = mean / safe, square / safe
    with np.errstate(invalid="ignore"):
        held = np.where((now > 0) & (now < 1), beta * _SHIFTS[:, None] + entropy_bonus * z, 0.0)
    speed = mean - (2 * now * (1 - now) * held) @ weights
    return Pace(
        population,
        _SHIFTS,
        speed,
        np.sqrt(np.maximum(square - mean**2, 0.0)),
        now @ weights,
        silent @ weights,
        1 / safe if algorithm.resamples_silent else np.ones(len(_SHIFTS)),
    )


def _gathered(population: Population, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates and weights, in quantiles where there are many."""
    rates, where = np.unique(population.rates, return_inverse=True)
    weights = np.bincount(where, population.weights)
    if len(rates) <= most:
        return rates, weights
    part = np.minimum((np.cumsum(weights) - weights / 2) * most, most - 1).astype(int)
    total = np.bincount(part, weights, most)
    used = total > 0
    return (np.bincount(part, weights * rates, most)[used] / total[used]), total[used]

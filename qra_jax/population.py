r"""Success rates of many questions: what a batch shows of them, and where a common shift of their logits takes them.

A batch has many questions, and what it shows is a mean over them: pass@k, the share of groups that are all right or
all wrong. None of these follows from the mean success rate alone (Jensen's inequality), so that the distribution is
kept, as weighted rates. Everything here is NumPy, and exact up to the quadrature of a beta distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # whose parts are loaded where they are used
from scipy import special

from qra_jax import _check

SPREAD = 2.0
"""a + b of the beta distribution that is taken where only a mean is known: those fitted to measured pass rates and
pass@k curves of base models have some 1 to 3."""
_TAIL, _STEP, _WIDE, _MOST = 40.0, 0.06, 1.5, 4000
"""Of the quadrature: nats of the density at its ends, steps in u and of the logit in the middle, number of steps."""
_FAR = 700.0


@dataclass(frozen=True)
class Population:
    """Success rates of questions, with weights.

    Attributes:
      rates: `[questions]`, ρ in [0, 1].
      weights: `[questions]`, ≥ 0; they sum to one.
      said: where they come from, in words.

    Raises:
      ValueError: rates or weights out of range, or of different lengths.

    >>> population = Population.of([0.0, 0.5, 1.0])
    >>> print(population.mean, round(population.pass_at(2), 4), round(population.silent(8), 4))
    0.5 0.5833 0.6693
    """

    rates: np.ndarray
    weights: np.ndarray
    said: str = "given"

    def __post_init__(self) -> None:
        if not np.size(self.rates):
            raise ValueError("rates: empty; must have one or more")
        rates = np.asarray(_check.unit_interval("rates", self.rates, ndim=1), float)
        weights = np.asarray(_check.nonnegative("weights", self.weights, ndim=1), float)
        _check.same_length("weights", weights, "rates", rates)
        if not weights.sum() > 0:
            raise ValueError(f"weights: sum {weights.sum():g}; must be above 0")
        object.__setattr__(self, "rates", rates)
        object.__setattr__(self, "weights", weights / weights.sum())

    @classmethod
    def of(cls, rates: Sequence[float] | np.ndarray, said: str = "given") -> Population:
        """A population of questions that weigh the same.

        Args:
          rates: `[questions]`, in [0, 1].
          said: where they come from.
        """
        rates = np.asarray(rates, float)
        return cls(rates, np.ones(rates.shape), said)

    @classmethod
    def beta(cls, a: float | int, b: float | int, said: str = "") -> Population:
        r"""A beta distribution, $p(\rho)\propto\rho^{a-1}(1-\rho)^{b-1}$.

        By the trapezoidal rule in u, where $\operatorname{logit}\rho = \mu+\sigma\sinh u$ with the mean μ and the
        standard deviation σ of the logit: the tails that a shift of the logits brings to light are there, too.

        Args:
          a: > 0.
          b: > 0.
          said: where it comes from; by default its name.
        """
        for name, value in (("a", a), ("b", b)):
            _check.positive(name, value)
        middle = special.digamma(a) - special.digamma(b)
        width = float(np.sqrt(special.polygamma(1, a) + special.polygamma(1, b)))
        far = np.arcsinh(_TAIL / (min(a, b, 1.0) * width) + 8.0)
        u = np.linspace(-far, far, int(min(max(2 * far / _STEP, 2 * far * width / _WIDE), _MOST)) + 1)
        z = middle + width * np.sinh(u)
        log = a * special.log_expit(z) + b * special.log_expit(-z) + np.log(np.cosh(u))
        weights = np.exp(log - log.max())
        return cls(special.expit(z), weights, said or f"a beta distribution, a = {a:.3g}, b = {b:.3g}")

    @classmethod
    def around(cls, mean: float | int, spread: float | int = SPREAD) -> Population:
        """The beta distribution with a mean and a + b; a point where the mean is 0 or 1.

        Args:
          mean: in [0, 1].
          spread: a + b > 0; small where most questions are nearly always right or wrong.
        """
        _check.unit_interval("mean", mean)
        said = f"a beta distribution with mean {mean:.3g} and a + b = {spread:.3g}, assumed"
        if mean in (0, 1):
            return cls.of([mean], said)
        return cls.beta(mean * spread, (1 - mean) * spread, said)

    @classmethod
    def from_pass_at(cls, values: Mapping[int, float]) -> Population:
        r"""The beta distribution whose pass@k is nearest to measured ones.

        $$ \text{pass@}k = 1 - \frac{B(a, b+k)}{B(a, b)} $$

        fitted by least squares of the logits.

        Args:
          values: pass@k by k ≥ 1; two or more, in (0, 1), which do not fall with k.

        Returns:
          A `Population`, whose `said` tells the largest difference.

        Raises:
          ValueError: fewer than two, out of range, or a falling curve.
        """
        ks, found = np.array(sorted(values)), np.array([values[k] for k in sorted(values)], float)
        if len(ks) < 2:
            raise ValueError(f"pass_at: {len(ks)} of them; must be two or more, such as 1=.31 8=.64")
        for k, value in zip(ks, found, strict=True):
            _check.integer("pass_at: k", int(k), low=1)
            if not 0 < value < 1:
                raise ValueError(f"pass_at: {value:g} at k = {k}; must be in (0, 1)")
        if (np.diff(found) < 0).any():
            at = int(np.argmin(np.diff(found)))
            raise ValueError(
                f"pass_at: {found[at + 1]:g} at k = {ks[at + 1]} after {found[at]:g} at k = {ks[at]}; must not fall"
            )

        if ks[0] == 1 and (found > 1.02 * ks * found[0]).any():
            at = int(np.argmax(found > 1.02 * ks * found[0]))
            raise ValueError(
                f"pass_at: {found[at]:g} at k = {ks[at]} beside {found[0]:g} at k = 1; must be at most k times that"
            )

        def curve(logs: np.ndarray) -> np.ndarray:
            a, b = np.exp(logs)
            return -np.expm1(special.betaln(a, b + ks) - special.betaln(a, b))

        def gap(logs: np.ndarray) -> np.ndarray:
            return special.logit(np.clip(curve(logs), 1e-12, 1 - 1e-12)) - special.logit(found)

        best = scipy.optimize.least_squares(gap, np.zeros(2), bounds=(-9.0, 9.0))
        (a, b), off = np.exp(best.x), float(np.abs(curve(best.x) - found).max())
        return cls.beta(
            a, b, f"a beta distribution, a = {a:.3g}, b = {b:.3g}, by pass@k (within {off:.2g} of it)"
        )

    @classmethod
    def from_counts(cls, correct: Sequence[float] | np.ndarray, tries: Any) -> Population:
        r"""The beta distribution of rates behind numbers of right tries, by maximum likelihood.

        $$ p(k) = \binom nk \frac{B(a+k,\,b+n-k)}{B(a,b)} $$

        A rate measured with few tries is spread by their noise; as it stands it would tell too many questions that
        are always wrong or always right.

        Args:
          correct: `[questions]`, right tries k.
          tries: `[questions]` or one number, tries n ≥ k, ≥ 1.

        Returns:
          A `Population`; of equal questions where all have the same count.

        Raises:
          ValueError: counts out of range.
        """
        k = np.asarray(_check.nonnegative("correct", correct, ndim=1), float)
        n = np.broadcast_to(np.asarray(_check.positive("tries", tries), float), k.shape)
        if (k > n).any():
            at = int(np.argmax(k > n))
            raise ValueError(f"correct[{at}]: {k[at]:g}; must be in [0, {n[at]:g}], the number of tries")
        mean = k.sum() / n.sum()
        if mean in (0, 1):
            return cls.of([mean], f"all {mean:g}")

        def loss(logs: np.ndarray) -> tuple[float, np.ndarray]:
            a, b = np.exp(logs)
            value = (special.betaln(a + k, b + n - k) - special.betaln(a, b)).sum()
            both = special.digamma(a + b) - special.digamma(a + b + n)
            slope = [a * (special.digamma(a + k) - special.digamma(a) + both).sum()]
            slope += [b * (special.digamma(b + n - k) - special.digamma(b) + both).sum()]
            return -float(value), -np.array(slope)

        options = {"bounds": [(-9.0, 9.0)] * 2, "jac": True, "options": {"ftol": 1e-14, "gtol": 1e-10}}
        best = scipy.optimize.minimize(loss, np.log([mean, 1 - mean]), **options)
        a, b = np.exp(best.x)
        few = f"{n.min():g}" if np.ptp(n) == 0 else f"{n.min():g} to {n.max():g}"
        said = f"a beta distribution, a = {a:.3g}, b = {b:.3g}, by {k.size} questions of {few} tries"
        return cls.beta(a, b, said)

    @classmethod
    def from_silent(cls, mean: float | int, silent: float | int, group_size: int) -> Population:
        """The beta distribution with a mean and a share of silent groups.

        Args:
          mean: mean success rate, in [0, 1].
          silent: share of groups that are all right or all wrong, in [0, 1].
          group_size: G ≥ 2.

        Returns:
          A `Population`; of equal questions where even these have as many silent groups.
        """
        _check.unit_interval("mean", mean)
        _check.unit_interval("silent", silent)
        _check.integer("group_size", group_size, low=2)
        if mean in (0, 1):
            return cls.of([mean], f"all {mean:g}")

        def more(log: float) -> float:
            return cls.around(mean, np.exp(log)).silent(group_size) - silent

        low, high = -4.0, 6.0
        if more(high) >= 0:
            return cls.of([mean], f"equal questions of {mean:.3g}")
        spread = float(
            np.exp(scipy.optimize.root_scalar(more, bracket=(low, high)).root if more(low) > 0 else low)
        )
        a, b = mean * spread, (1 - mean) * spread
        return cls.beta(a, b, f"a beta distribution, a = {a:.3g}, b = {b:.3g}, by accuracy and silent groups")

    @property
    def mean(self) -> float:
        """Mean success rate."""
        return float(self.weights @ self.rates)

    @property
    def constant(self) -> float | None:
        """The success rate of all questions, where it is 0 or 1 for all or for some of either: no shift moves them."""
        decided = np.isin(self.rates, (0.0, 1.0))
        return self.mean if decided[self.weights > 0].all() else None

    @property
    def spread(self) -> float:
        r"""a + b of the beta distribution of the same mean and variance, $\bar\rho(1-\bar\rho)/\mathrm{Var}\rho-1$."""
        variance = self.average((self.rates - self.mean) ** 2)
        return self.mean * (1 - self.mean) / variance - 1 if variance > 0 else np.inf

    def average(self, values: Any) -> float:
        """Mean over questions.

        Args:
          values: `[questions]`.
        """
        return float(self.weights @ np.asarray(values, float))

    def pass_at(self, k: int) -> float:
        r"""Share of questions with a right one among k rollouts, $\langle 1-(1-\rho)^k\rangle$.

        Args:
          k: ≥ 1.
        """
        return self.average(1 - (1 - self.rates) ** k)

    def ends(self, group_size: int, tpr: float | int = 1.0, fpr: float | int = 0.0) -> tuple[float, float]:
        """Shares of groups that are accepted as a whole, and rejected as a whole.

        Args:
          group_size: G ≥ 1.
          tpr: chance that the verifier accepts a right rollout.
          fpr: chance that it accepts a wrong one.
        """
        accepted = fpr + (tpr - fpr) * self.rates
        return self.average(accepted**group_size), self.average((1 - accepted) ** group_size)

    def silent(self, group_size: int, tpr: float | int = 1.0, fpr: float | int = 0.0) -> float:
        r"""Share of silent groups, $\langle\rho^G + (1-\rho)^G\rangle$ at a perfect verifier.

        Args:
          group_size: G ≥ 1.
          tpr: chance that the verifier accepts a right rollout.
          fpr: chance that it accepts a wrong one.
        """
        return min(sum(self.ends(group_size, tpr, fpr)), 1.0)

    def error(self, questions: int, group_size: int) -> float:
        r"""Standard deviation of the mean reward of a batch,

        $$ \sqrt{\frac{\operatorname{Var}\rho + \langle\rho(1-\rho)\rangle/G}{B}} $$

        Args:
          questions: B ≥ 1 in a batch.
          group_size: G ≥ 1.
        """
        between = self.average((self.rates - self.mean) ** 2)
        return float(
            np.sqrt((between + self.average(self.rates * (1 - self.rates)) / group_size) / questions)
        )

    def at_temperature(self, temperature: float | int) -> Population:
        r"""The same questions with rollouts drawn from $\pi^{1/T}$: logits over T.

        Args:
          temperature: T > 0.
        """
        _check.positive("temperature", temperature)
        with np.errstate(divide="ignore"):
            rates = special.expit(special.logit(self.rates) / temperature)
        return Population(rates, self.weights, self.said)

    def shifted(self, shift: float | int) -> Population:
        """The same questions after a common shift of the logit of right against wrong.

        Args:
          shift: s in nats; rates of 0 and 1 stay.
        """
        with np.errstate(divide="ignore"):
            return Population(special.expit(special.logit(self.rates) + shift), self.weights, self.said)

    def shift_to(self, mean: float | int) -> float:
        """The common shift of all logits that brings the mean to a value.

        Args:
          mean: between the share of questions with rate 1 and one minus that with rate 0.

        Returns:
          s in nats.

        Raises:
          ValueError: a mean that no shift reaches.
        """
        least, most = (float(self.shifted(s).mean) for s in (-_FAR, _FAR))
        if not least < mean < most:
            raise ValueError(
                f"mean: {mean:.10g}; must be in ({least:.3g}, {most:.3g}), where a common shift takes it"
            )
        found = scipy.optimize.root_scalar(
            lambda s: self.shifted(s).mean - mean, bracket=(-_FAR, _FAR), xtol=1e-12
        )
        return float(found.root)

r"""Populations of questions with several patterns each, trained by a table: what histories each clock would give.

Gradient flow of a table of logits moves a question with policy π and success rates p as

$$ \dot\theta = c(\rho)\,\pi\odot(p-\rho), \qquad \dot\rho = c(\rho) \sum_r \pi_r^2 (p_r-\rho)^2, $$

with ρ = π·p, so that its orbit is the same for every clock c and is solved once. With p = (1, 0) the speed of the
logit is 2ρ(1 − ρ)c(ρ), a function of ρ; with several patterns of middling rates it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from scipy import special

from qra_jax import _check, algorithm
from qra_jax.fit.questions.histories import Histories

FIRST, LAST, NODES = 0.05, 1e6, 160
"""Times of the orbit, in units of REINFORCE: first node, last one, and how many."""
GRID = np.concatenate([[0.0], np.geomspace(1e-3, 1e4, 150)])
"""Times at which accuracies under a clock are tabulated; 0 first."""


@dataclass(frozen=True)
class Orbits:
    """Accuracies of questions along their orbits.

    Attributes:
      time: `[nodes]`, REINFORCE's time; 0 first.
      accuracy: `[questions, nodes]`, ρ.
    """

    time: np.ndarray
    accuracy: np.ndarray

    def under(self, log_clock: np.ndarray) -> np.ndarray:
        """Accuracies `[questions, GRID]` at the times `GRID` of another clock.

        Args:
          log_clock: `[questions, nodes]`, log c at the accuracies of the orbits.
        """
        slow = np.exp(-log_clock)
        own = np.cumsum((slow[:, 1:] + slow[:, :-1]) / 2 * np.diff(self.time), axis=1)
        own = np.concatenate([np.zeros((len(own), 1)), own], axis=1)
        return np.stack([np.interp(GRID, *pair) for pair in zip(own, self.accuracy, strict=True)])


def draw(
    rng: np.random.Generator,
    questions: int,
    *,
    patterns: int = 12,
    concentration: float = 6.0,
    means: tuple[float, float] = (0.5, 0.7),
    dirichlet: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Base policies and success rates of questions, `[questions, patterns]` each.

    π_ref is Dirichlet, success rates of a question are Beta(κm, κ(1 − m)) about its mean m, which is Beta.

    Args:
      rng: random numbers.
      questions: how many, ≥ 1.
      patterns: of a question, ≥ 2.
      concentration: κ > 0: success rates are 0 or 1 as κ → 0, and all the same as κ → ∞.
      means: parameters of the distribution of m.
      dirichlet: parameter of π_ref, > 0.
    """
    _check.integer("questions", questions, low=1)
    _check.integer("patterns", patterns, low=2)
    m = np.clip(rng.beta(*means, questions), 1e-6, 1 - 1e-6)[:, None]
    ref = rng.dirichlet(np.full(patterns, dirichlet), questions)
    return ref, rng.beta(concentration * m, concentration * (1 - m), (questions, patterns))


def two_patterns(z0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Base policies and success rates of questions with one right and one wrong pattern, from logits `[questions]`."""
    ref = np.stack([special.expit(z0), special.expit(-z0)], axis=1)
    return ref, np.tile([1.0, 0.0], (len(z0), 1))


def orbits(ref: np.ndarray, success: np.ndarray) -> Orbits:
    """Solve the gradient flow of every question, by Runge and Kutta's steps in the logarithm of time.

    Args:
      ref: `[questions, patterns]`, base policies.
      success: `[questions, patterns]`, success rates.
    """
    time = np.concatenate([[0.0], np.geomspace(FIRST, LAST, NODES - 1)])
    theta = np.log(np.maximum(ref, 1e-300))
    accuracy = np.empty((len(ref), NODES))

    def speed(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        policy = np.exp(theta - theta.max(axis=1, keepdims=True))
        policy /= policy.sum(axis=1, keepdims=True)
        rho = np.einsum("qr,qr->q", policy, success)
        return policy * (success - rho[:, None]), rho

    for j, step in enumerate(np.diff(time, append=time[-1])):
        one, accuracy[:, j] = speed(theta)
        two, _ = speed(theta + step / 2 * one)
        three, _ = speed(theta + step / 2 * two)
        four, _ = speed(theta + step * three)
        theta = theta + step / 6 * (one + 2 * two + 2 * three + four)
    return Orbits(time, np.clip(accuracy, 0.0, 1.0))


def log_power(accuracy: np.ndarray, exponent: float) -> np.ndarray:
    """log c of the clock (4ρ(1 − ρ))^(a − 1): REINFORCE for a = 1, mean-field GRPO for ½.

    Args:
      accuracy: ρ, any shape.
      exponent: a; the speed of the logit of two patterns (1, 0) is ∝ (4ρ(1 − ρ))^a.
    """
    return (exponent - 1) * np.log(np.maximum(4 * accuracy * (1 - accuracy), 1e-12))


def log_grpo(accuracy: np.ndarray, group_size: int) -> np.ndarray:
    """log c of GRPO with this group size at accuracies of any shape, interpolated in the logit.

    Args:
      accuracy: ρ.
      group_size: G ≥ 2.
    """
    z = np.linspace(-28, 28, 1121)
    rates = (jnp.asarray(special.expit(sign * z)) for sign in (1, -1))
    table = np.log(np.asarray(algorithm.grpo(group_size).clock(*rates)))
    return np.interp(special.logit(np.clip(accuracy, 1e-12, 1 - 1e-12)), z, table)


def sample(
    rng: np.random.Generator,
    table: np.ndarray,
    *,
    rise: float = 0.15,
    group_size: int = 8,
    visits: int = 51,
    rates: np.ndarray | None = None,
) -> Histories:
    """Histories of rollouts while mean accuracy rises by so much; as much as it can where that is less.

    Args:
      rng: random numbers.
      table: `[questions, GRID]`, accuracies under a clock.
      rise: of mean accuracy, in (0, 1).
      group_size: rollouts of a visit.
      visits: evenly spaced in time, ≥ 2.
      rates: `[questions]`, own rates > 0; default: one for all.
    """
    rates = np.ones(len(table)) if rates is None else rates

    def at(length: float, times: np.ndarray) -> np.ndarray:
        place = np.interp(length * rates[:, None] * times, GRID, np.arange(len(GRID)))
        low = np.minimum(place.astype(int), len(GRID) - 2)
        share, row = place - low, np.arange(len(table))[:, None]
        return (1 - share) * table[row, low] + share * table[row, low + 1]

    low, high = 1e-3, 1e3
    for _ in range(40):
        middle = np.sqrt(low * high)
        enough = at(middle, np.ones(1)).mean() - table[:, 0].mean() >= rise
        low, high = (low, middle) if enough else (middle, high)
    correct = rng.binomial(group_size, np.clip(at(high, np.linspace(0, 1, visits)), 0, 1))
    return Histories(correct, np.ones(correct.shape, bool), group_size, tuple(map(str, range(len(table)))))


def tabular(
    rng: np.random.Generator,
    questions: int = 1209,
    *,
    group_size: int = 8,
    visits: int = 51,
    rise: float = 0.15,
    **population: float,
) -> Histories:
    """Histories of independent tabular GRPO on questions of several patterns: a control for clocks.

    Args:
      rng: random numbers.
      questions, group_size, visits, rise: as those of the run in question.
      population: as for [`draw`][].
    """
    own = orbits(*draw(rng, questions, **population))  # pyright: ignore[reportArgumentType]
    table = own.under(log_grpo(own.accuracy, group_size))
    return sample(rng, table, rise=rise, group_size=group_size, visits=visits)

r"""η of the model from what people know: a start, an end and a number of steps; or an optimizer's learning rate.

η is the step of the logits of one question. A network's logits move by its optimizer, its parametrisation and what
questions share, so that a learning rate alone says η only within the spread of what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from qra_jax import _check
from qra_jax.consult.pace import Pace


@dataclass(frozen=True)
class Measured:
    """A training run whose η was found from its start, its end and its number of steps.

    Attributes:
      task: what was trained.
      learning_rate: of the optimizer.
      eta: η.
    """

    task: str
    learning_rate: float
    eta: float


MEASURED = (
    Measured("GSM8K, 1.5B, LoRA after SFT, DAPO's loss, G = 16", 5e-6, 1.06e-3),
    Measured("GSM8K, 9B, LoRA, GRPO, G = 4", 9.8e-5, 6.1e-2),
    Measured("competition mathematics, 1.5B, GRPO, G = 8", 1e-6, 3.1e-3),
    Measured("GSM8K, 1.7B, LoRA, GRPO, G = 8, much of the rise is format", 1e-6, 5.3e-2),
    Measured("GSM8K, 1.7B, LoRA, GRPO, G = 16, much of the rise is format", 5e-6, 4.0e-1),
    Measured("GSM8K, 1.7B, LoRA, GRPO, G = 8, much of the rise is format", 5e-6, 6.2e-1),
    Measured("GSM8K, 1.7B, LoRA, GRPO, G = 4, much of the rise is format", 5e-6, 4.3e-1),
    Measured("GSM8K, 1.7B, LoRA, GRPO, G = 8, much of the rise is format", 2e-5, 3.9e-1),
)
"""Runs of public repositories, read from their logs: the time that [`pace`][qra_jax.consult.pace.pace] needs, with a
beta distribution of a + b = 2 about the first accuracy, over the steps that they took."""


@dataclass(frozen=True)
class Eta:
    """What is known of η: a log-normal distribution.

    Attributes:
      median: its middle, ≥ 0.
      spread: standard deviation of its logarithm; 0 where it is known.
      said: where it comes from, in words.
    """

    median: float
    spread: float
    said: str

    def draws(self, runs: int, seed: int = 0) -> np.ndarray:
        """`[runs]`, values.

        Args:
          runs: ≥ 1.
          seed: of the random numbers.
        """
        normal = np.random.default_rng(seed).standard_normal(runs)
        return self.median * np.exp(self.spread * normal)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval that holds four values in five."""
        width = NormalDist().inv_cdf(0.9) * self.spread
        return self.median * np.exp(-width), self.median * np.exp(width)


def given(eta: float | int) -> Eta:
    """η as it is.

    Args:
      eta: ≥ 0.
    """
    _check.nonnegative("eta", eta)
    return Eta(float(eta), 0.0, f"η = {eta:.3g}, as given")


def went(pace: Pace, end: float | int, steps: int | float, spread: float | int = 0.0) -> Eta:
    """η with which accuracy went from that of the population to an end in a number of steps.

    Args:
      pace: of the settings, at the accuracy of the start.
      end: accuracy after them.
      steps: > 0.
      spread: standard deviation of its logarithm, as far as noise of start and end makes one.

    Returns:
      The `Eta`.

    Raises:
      ValueError: an end that these settings never reach: below the start, or above where they rest.
    """
    _check.positive("steps", steps)
    _check.unit_interval("went", end)
    start = pace.population.mean
    time = pace.time(end) if end != start else 0.0
    if not 0 < time < np.inf:
        why = "it does not rise" if end <= start else "these settings rest below it"
        raise ValueError(
            f"went: from {start:.4g} to {end:.4g}; must be a rise that these settings make: {why}"
        )
    eta = time / steps
    return Eta(eta, float(spread), f"η = {eta:.3g}, from {start:.3g} to {end:.3g} in {steps:.6g} steps")


def measured(learning_rate: float | int) -> Eta:
    """η of an optimizer's learning rate, as in the runs of `MEASURED`, with their spread.

    Args:
      learning_rate: > 0.

    Returns:
      The `Eta`: its ratio to the learning rate is log-normal with the mean and the scatter of those runs.
    """
    _check.positive("lr", learning_rate)
    logs = np.log([one.eta / one.learning_rate for one in MEASURED])
    middle, spread = float(logs.mean()), float(logs.std(ddof=1) * np.sqrt(1 + 1 / len(logs)))
    eta = float(learning_rate * np.exp(middle))
    found = Eta(eta, spread, "")
    low, high = found.interval
    return Eta(
        eta,
        spread,
        f"η some {eta:.2g} ({low:.2g} to {high:.2g} in four cases of five), by the learning rate {learning_rate:.3g} "
        f"as {len(logs)} measured runs had it: give --went START END, or --from LOG, to know it better",
    )

r"""η of the model from what people know: a start, an end and a number of steps; or an optimizer's learning rate.

η is the step of the logits of one question. A network's logits move by its optimizer, its parametrisation and what
questions share, so that a learning rate alone says η only within the spread of what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from qra_jax import _check
from qra_jax.consult.pace import Pace


@dataclass(frozen=True)
class Measured:
    """A training run whose η was found from its curve.

    Attributes:
      code: which of several code bases, by its model and task.
      learning_rate: of the optimizer.
      group_size: G of GRPO.
      eta: η.
    """

    code: str
    learning_rate: float
    group_size: int
    eta: float


SFT_FIRST = "1.5B, LoRA after SFT, GSM8K"
MATH = "1.5B, all weights, mathematics"
LARGE = "9B, LoRA, GSM8K"
FORMAT = "1.7B, LoRA, GSM8K, much of the rise is format"
MEASURED = (
    Measured(SFT_FIRST, 5e-6, 16, 1.75e-3),
    Measured(MATH, 1e-6, 8, 6.3e-3),
    Measured(LARGE, 9.8e-5, 4, 1.79),
    Measured(LARGE, 9.8e-5, 4, 2.07),
    Measured(FORMAT, 1e-6, 8, 6.3e-2),
    Measured(FORMAT, 5e-6, 8, 3.56e-1),
    Measured(FORMAT, 5e-6, 8, 3.52e-1),
    Measured(FORMAT, 5e-6, 4, 3.47e-1),
    Measured(FORMAT, 5e-6, 16, 3.45e-1),
    Measured(FORMAT, 2e-5, 8, 1.46),
)
"""Runs of public repositories: η of the curve of a population with a + b = 2 (study `learning-rates`). Within one code
base η is proportional to the learning rate and does not depend on G; between them its ratio differs 200-fold."""


@dataclass(frozen=True)
class Eta:
    """What is known of η: a distribution of its logarithm.

    Attributes:
      median: its middle, ≥ 0.
      spread: scale of its logarithm; 0 where it is known.
      said: where it comes from, in words.
      freedom: of Student's distribution of the logarithm; infinite for a normal one.
    """

    median: float
    spread: float
    said: str
    freedom: float = np.inf

    def draws(self, runs: int, seed: int = 0) -> np.ndarray:
        """`[runs]`, values.

        Args:
          runs: ≥ 1.
          seed: of the random numbers.
        """
        chance = np.random.default_rng(seed).random(runs)
        return self.median * np.exp(self.spread * special.stdtrit(self.freedom, chance))

    @property
    def interval(self) -> tuple[float, float]:
        """The interval that holds four values in five."""
        width = float(special.stdtrit(self.freedom, 0.9)) * self.spread
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
    start = pace.population.mean
    if not 0 < end < 1:
        raise ValueError(f"went: {end:.10g}; must be in (0, 1)")
    time = pace.time(end) if end > start * (1 + 1e-6) else 0.0
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
      The `Eta`: the logarithm of its ratio to the learning rate is distributed as Student's t, with the mean and the
      scatter of their code bases.
    """
    _check.positive("lr", learning_rate)
    codes = dict.fromkeys(one.code for one in MEASURED)
    logs = np.array(
        [
            np.mean([np.log(one.eta / one.learning_rate) for one in MEASURED if one.code == code])
            for code in codes
        ]
    )
    middle, spread = float(logs.mean()), float(logs.std(ddof=1) * np.sqrt(1 + 1 / len(logs)))
    eta = float(learning_rate * np.exp(middle))
    found = Eta(eta, spread, "", len(logs) - 1.0)
    low, high = found.interval
    return Eta(
        eta,
        spread,
        f"η some {eta:.2g} ({low:.2g} to {high:.2g} in four cases of five), by the learning rate {learning_rate:.3g} "
        f"as {len(logs)} code bases had it: give --went START END to know it better",
        len(logs) - 1.0,
    )

"""What a run with many questions can be expected to do: its gain, whether that shows, and silent groups."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np

from qra_jax import _check
from qra_jax.consult.hyperparameters import Hyperparameters
from qra_jax.consult.pace import Pace, pace
from qra_jax.consult.rates import Eta
from qra_jax.population import Population

RUNS = 512
SEEN = 2.0
"""Standard errors of the difference of the first and the last tenth of a log from which on a gain shows."""
WINDOW = 0.1
TRIES = (1, 2, 4, 8, 16)
"""k of pass@k."""
SIZES = (2, 4, 8, 16, 32, 64)
"""Group sizes of which the silent share is told."""


@dataclass(frozen=True)
class Gain:
    """Accuracy over the steps asked for.

    Attributes:
      steps: `[times]`.
      accuracy: `[3, times]`, 10th percentile, median, 90th percentile of the runs.
      end: the same at the end, `[3]`.
      noise: standard error of the difference of the means of the first and the last tenth of the logged steps.
      seen: share of runs in which that difference is above `SEEN` standard errors.
      visible: step at which the median gain first is above them, −1 where it never is.
      plateau: steps to 95 % of the way from base accuracy to where the settings rest, median; ∞ for never.
    """

    steps: np.ndarray
    accuracy: np.ndarray
    end: np.ndarray
    noise: float
    seen: float
    visible: int
    plateau: float


@dataclass(frozen=True)
class Outlook:
    """What is expected of a batch of questions.

    Attributes:
      population: their success rates.
      settings: the hyperparameters; of `learning_rate` nothing is taken.
      questions: B in a batch.
      eta: what is known of η; `None` where nothing is.
      silent: share of silent groups at first.
      alike: the same if all questions had the mean success rate.
      right: share of groups that are all right.
      by_size: silent share by group size.
      draws: groups drawn for each one kept, first and last (`None` where silent groups are not drawn again).
      silent_end: silent share after the steps, median.
      rest: accuracy at which the mean pull vanishes; `None` where it does nowhere.
      gain: what happens over the steps; `None` without η.
      pass_at: by k, pass@k at first and, with η, after a common shift to the end.
    """

    population: Population
    settings: Hyperparameters
    questions: int
    eta: Eta | None
    silent: float
    alike: float
    right: float
    by_size: dict[int, float]
    draws: tuple[float, float | None] | None
    silent_end: float | None
    rest: float | None
    gain: Gain | None
    pass_at: dict[int, tuple[float, float | None]]


def pace_of(population: Population, settings: Hyperparameters) -> Pace:
    """The pace of a population with some settings.

    Args:
      population: the questions.
      settings: the hyperparameters.
    """
    temperature = settings.off_policy.sampling_temperature
    return pace(
        population,
        settings.trained.with_group_size(settings.group_size),
        beta=settings.beta,
        entropy_bonus=settings.entropy_bonus,
        temperature=1.0 if temperature is None else float(temperature),
        tpr=settings.tpr,
        fpr=settings.fpr,
    )


def outlook(
    population: Population, settings: Hyperparameters, questions: int, eta: Eta | None = None, seed: int = 0
) -> Outlook:
    """What a batch of questions can be expected to do.

    Args:
      population: success rates of the questions.
      settings: the hyperparameters; η is not taken from them.
      questions: B ≥ 1 in a batch.
      eta: what is known of η.
      seed: of the noise of batches and of η.

    Returns:
      An `Outlook`.

    Raises:
      ValueError: an argument out of range.
    """
    _check.integer("batch_prompts", questions, low=1)
    speed, group = pace_of(population, settings), settings.group_size
    noisy = {"tpr": settings.tpr, "fpr": settings.fpr}
    gain = last = None
    if eta is not None and population.constant is None:
        gain, last = _gain(speed, settings, questions, eta, seed)
    temperature = settings.off_policy.sampling_temperature
    drawn = population if temperature is None else population.at_temperature(float(temperature))
    again = settings.trained.resamples_silent
    draws = float(speed.at("draws", 0.0)), None if last is None else float(speed.at("draws", last))
    return Outlook(
        population,
        settings,
        questions,
        eta,
        float(speed.at("silent", 0.0)),
        Population.of([drawn.mean]).silent(group, **noisy),
        drawn.ends(group, **noisy)[0],
        {size: drawn.silent(size, **noisy) for size in sorted({*SIZES, group})},
        draws if again else None,
        None if last is None else float(speed.at("silent", last)),
        speed.limit if np.isfinite(speed.rest) else None,
        gain,
        {
            k: (population.pass_at(k), None if last is None else population.shifted(last).pass_at(k))
            for k in TRIES
        },
    )


def _gain(speed: Pace, settings: Hyperparameters, questions: int, eta: Eta, seed: int) -> tuple[Gain, float]:
    """The gain, and the median shift at the end."""
    etas = eta.draws(RUNS, seed)
    steps, shifts = speed.paths(etas * settings.epochs, settings.steps, questions, seed=seed)
    accuracy = speed.at("accuracy", shifts)
    each = speed.population.error(questions, settings.group_size)
    noise = each * np.sqrt(2 / max(1.0, WINDOW * settings.steps))
    random = np.random.default_rng(seed + 1)
    logged = _difference(steps, accuracy, float(steps[-1])) + noise * random.standard_normal(RUNS)
    low, middle, high = np.quantile(accuracy, [0.1, 0.5, 0.9], axis=1)
    shows = [
        step
        for step in steps[1:]
        if abs(_difference(steps, middle[:, None], float(step))[0])
        > SEEN * each * np.sqrt(2 / max(1.0, WINDOW * step))
    ]
    start, top = speed.population.mean, speed.limit
    aim = start + 0.95 * (top - start)
    time = np.inf
    if abs(top - start) > 1e-6:
        with contextlib.suppress(ValueError):  # of questions that are all but decided
            time = speed.time(aim)
    gain = Gain(
        steps,
        np.array([low, middle, high]),
        np.array([low[-1], middle[-1], high[-1]]),
        float(noise),
        float((np.abs(logged) > SEEN * noise).mean()),
        int(shows[0]) if shows else -1,
        float(time / (eta.median * settings.epochs)) if eta.median > 0 else np.inf,
    )
    return gain, float(np.median(shifts[-1]))


def _difference(steps: np.ndarray, accuracy: np.ndarray, until: float) -> np.ndarray:
    """Mean over the last tenth of the steps so far less that over the first, `[runs]`."""
    area = np.concatenate(
        [
            np.zeros((1, accuracy.shape[1])),
            np.cumsum((accuracy[1:] + accuracy[:-1]) / 2 * np.diff(steps)[:, None], axis=0),
        ]
    )
    width = max(WINDOW * until, 1e-9)
    at = np.array([0.0, width, until - width, until])
    found = np.array([np.interp(at, steps, column) for column in area.T])
    return ((found[:, 3] - found[:, 2]) - (found[:, 1] - found[:, 0])) / width

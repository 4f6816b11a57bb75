"""Sampled GRPO on many questions of two patterns, right and wrong, whose logits move in common or each by itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize, special

from qra_jax.algorithm import grpo
from qra_jax.consult.pace import Pace, pace
from qra_jax.population import Population


@functools.cache
def pulls(group: int) -> np.ndarray:
    """Weights A⁺(k) and A⁻(k) of right and wrong rollouts in groups of GRPO, `[2, group + 1]`."""
    return np.stack([np.asarray(table, float) for table in grpo(group).tables()])


def trained(
    rng: np.random.Generator,
    rates: np.ndarray,
    *,
    eta: float,
    steps: int,
    group: int = 8,
    batch: int | None = None,
    common: bool = True,
    until: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train by sampled groups.

    Args:
      rng: of the rollouts and batches.
      rates: `[questions]`, success rates at the start, in (0, 1).
      eta: η > 0.
      steps: the most.
      group: G.
      batch: questions of a step, drawn afresh; default: all.
      common: whether one shift moves all logits; else every question moves by itself.
      until: mean success rate at which training ends.

    Returns:
      Rates at the end `[questions]`; of each step the share of right rollouts and that of silent groups, `[steps]`.
    """
    z, size = special.logit(np.clip(rates, 1e-12, 1 - 1e-12)), len(rates)
    right, wrong = pulls(group)
    accuracy, silent = [], []
    for _ in range(steps):
        chosen = np.arange(size) if batch is None else rng.integers(0, size, batch)
        rho = special.expit(z[chosen])
        k = rng.binomial(group, rho)
        accuracy.append(k.mean() / group)
        silent.append(((k == 0) | (k == group)).mean())
        pull = 2 / group * (k * right[k] * (1 - rho) - (group - k) * wrong[k] * rho)
        if common:
            z = z + eta * pull.mean()
        else:
            np.add.at(z, chosen, eta * pull)
        if special.expit(z).mean() >= until:
            break
    return special.expit(z), np.array(accuracy), np.array(silent)


@functools.cache
def alone(group: int) -> Pace:
    """The pace of a single question, by its logit."""
    return pace(Population.of([0.5]), grpo(group))


def by_own_clocks(population: Population, group: int) -> Callable[[float], Population]:
    """Where questions are when each has moved by itself, by the logarithm of the time.

    Args:
      population: at time 0.
      group: G of GRPO.
    """
    single = alone(group)
    slowness = 1 / np.maximum(single.speed, 1e-12)
    time = np.append(0.0, np.cumsum(np.diff(single.shift) * (slowness[1:] + slowness[:-1]) / 2))
    with np.errstate(divide="ignore"):
        z = special.logit(population.rates)
    start = np.interp(z, single.shift, time)

    def after(log: float) -> Population:
        moved = np.interp(start + np.exp(log), time, single.shift)
        return Population(
            special.expit(np.where(np.abs(z) < 12, moved, z)), population.weights, population.said
        )

    return after


def own_clocks(population: Population, mean: float, group: int) -> Population:
    """The questions when each has moved by itself until their mean is as high.

    Args:
      population: before.
      mean: after; above the mean before.
      group: G of GRPO.
    """
    after = by_own_clocks(population, group)
    log: Any = optimize.brentq(lambda log: after(log).mean - mean, -12.0, 20.0)
    return after(float(log))

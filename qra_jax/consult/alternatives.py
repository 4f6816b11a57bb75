"""Other settings for as many rollouts: what they make of the same steps, by the pace of a population."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qra_jax.consult.outlook import Outlook, outlook
from qra_jax.population import Population

LEAST = 0.2
"""Share of the questions that a filter leaves at least."""
FEWEST = 4
"""Prompts of a batch at least."""
EDGE = 0.03
"""Questions whose success rates are nearer to 0 or 1 teach little; the filter that is tried leaves them out."""


@dataclass(frozen=True)
class Alternative:
    """Another setting at as many rollouts.

    Attributes:
      name: what is changed.
      accuracy: median after the steps, of the same questions.
      seen: share of runs in which the gain shows.
    """

    name: str
    accuracy: float
    seen: float


def alternatives(found: Outlook, seed: int = 0) -> list[Alternative]:
    """What single changes at as many rollouts would do, best first.

    Args:
      found: the outlook with the settings as they are; nothing is tried without its η.
      seed: of the noise.
    """
    if found.gain is None or found.eta is None:
        return []
    settings, questions, group = found.settings, found.questions, found.settings.group_size
    again = settings.trained.resamples_silent
    tries: list[tuple[str, dict[str, Any], int]] = []
    if questions >= 4 * FEWEST:
        tries.append(
            (f"groups of {4 * group}, {questions // 4} prompts", {"group_size": 4 * group}, questions // 4)
        )
    if group >= 8:
        tries.append(
            (f"groups of {group // 4}, {4 * questions} prompts", {"group_size": group // 4}, 4 * questions)
        )
    if settings.beta > 0:
        tries.append((f"KL term β = {settings.beta / 4:.3g}", {"beta": settings.beta / 4}, questions))
    if settings.entropy_bonus > 0:
        tries.append(("no entropy bonus", {"entropy_bonus": 0.0}, questions))
    if settings.tpr < 1 or settings.fpr > 0:
        tries.append(("a perfect verifier", {"tpr": 1.0, "fpr": 0.0}, questions))
    made = []
    for name, change, number in tries:
        if again:  # a group that is kept costs as many as are drawn for it
            number = max(1, round(number * _share(found, change, seed)))
            name = f"{name.partition(',')[0]}, {number} prompts"
        end = outlook(found.population, replace(settings, **change), number, found.eta, seed)
        made.append(Alternative(name, *_end(end)))
    if (filtered := _filtered(found, seed)) is not None:
        made.append(filtered)
    return sorted(made, key=lambda one: -one.accuracy)


def _share(found: Outlook, change: dict[str, Any], seed: int) -> float:
    """Groups that can be kept with a change for each one now, at as many draws, over the run."""
    other = replace(found.settings, **change)
    then = outlook(found.population, other, found.questions, found.eta, seed).draws
    assert found.draws is not None
    assert then is not None
    now, later = (np.mean([x for x in draws if x is not None]) for draws in (found.draws, then))
    return float(now / later)


def _end(found: Outlook) -> tuple[float, float]:
    assert found.gain is not None
    return float(found.gain.end[1]), found.gain.seen


def _filtered(found: Outlook, seed: int) -> Alternative | None:
    """Training on questions of middling rates alone; the others move with them."""
    rates = found.population.rates
    inside = (rates > EDGE) & (rates < 1 - EDGE)
    if not inside.any() or inside.all() or found.gain is None or found.eta is None:
        return None
    kept = Population(rates[inside], found.population.weights[inside])
    part = outlook(kept, found.settings, found.questions, found.eta, seed)
    assert part.gain is not None
    shift = kept.shift_to(min(max(float(part.gain.end[1]), 1e-9), 1 - 1e-9))
    share = float(found.population.weights[inside].sum())
    if share < LEAST:
        return None
    name = f"only the {share:.0%} of the questions with rates in ({EDGE:g}, {1 - EDGE:g}), if the others move along"
    return Alternative(name, found.population.shifted(shift).mean, part.gain.seen)

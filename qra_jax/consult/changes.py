"""Single changes of hyperparameters that are worth a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qra_jax import theory
from qra_jax.consult.hyperparameters import Hyperparameters
from qra_jax.problem import Problem

SFT = 0.1
"""Share of demonstrations of the best pattern mixed into the base model, where the regime is fast without any."""

RIGHT = "reward for right answers alone"
"""Name of the change that takes all other rewards away."""


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
      name: for tables.
      settings: the hyperparameters that it changes.
      limit: it takes an imperfection away (rather than being something to try).
      cost: rollouts, relative to the settings as they are.
      start: `[patterns]`, log policy that training starts from, where another.
      length: number of steps, relative to the settings as they are: a quarter, one, or four.
      right: right answers alone are rewarded.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    limit: bool = False
    cost: float = 1.0
    start: np.ndarray | None = None
    length: float = 1.0
    right: bool = False


def changes(problem: Problem, settings: Hyperparameters, records: int, rewarded: bool) -> list[Change]:
    """The changes worth trying with some settings, nearly all of them at as many rollouts.

    Args:
      problem: one question.
      settings: as they are.
      records: recorded times of a run; a quarter of fewer than eight is none.
      rewarded: whether rewards are other than success rates.
    """
    eta, group = settings.learning_rate, settings.group_size
    ref, start = np.asarray(problem.ref, float), tuned(problem)
    success = np.asarray(problem.success)
    before, after = (float(shares[success == success.max()].sum()) for shares in (ref, np.exp(start)))
    found = [Change("4 × the steps", cost=4.0, length=4.0)]
    if records >= 8:
        part = round(records / 4) / records
        found.append(
            Change(
                f"groups of {4 * group}, ¼ of the steps",
                {"group_size": 4 * group},
                cost=4 * part,
                length=part,
            )
        )
    if group >= 8:
        found.append(Change(f"groups of {group // 4}, 4 × the steps", {"group_size": group // 4}, length=4.0))
    found.append(Change(f"SFT first: best from {before:.3g} to {after:.3g}", start=start))
    if 0 < eta < 1e300:
        found.append(Change(f"learning rate {eta / 4:.3g}", {"learning_rate": eta / 4}))
        found.append(Change(f"learning rate {eta * 4:.3g}", {"learning_rate": eta * 4}))
    if settings.beta > 0:
        found.append(Change("no KL term", {"beta": 0.0}, limit=True))
        found.append(Change(f"KL term β = {settings.beta / 4:.3g}", {"beta": settings.beta / 4}))
    else:
        found.append(Change("KL term β = 0.02", {"beta": 0.02}))
    if settings.entropy_bonus > 0:
        found.append(Change("no entropy bonus", {"entropy_bonus": 0.0}, limit=True))
    else:
        found.append(Change("entropy bonus of 0.01", {"entropy_bonus": 0.01}))
    if settings.tpr < 1 or settings.fpr > 0:
        found.append(Change("a perfect verifier", {"tpr": 1.0, "fpr": 0.0}, limit=True))
    if settings.clips:
        found.append(Change("no clipping", {"clip_low": 1.0, "clip_high": np.inf}, limit=True))
        wide = min(2 * (settings.clip_high or 0.0), 1.0)
        if settings.clip_high is not None and wide > settings.clip_high:
            found.append(Change(f"upper clip at {wide:.3g}", {"clip_high": wide}))
    if rewarded:
        found.append(Change(RIGHT, limit=True, right=True))
    if settings.staleness:
        found.append(Change("fresh rollouts", {"staleness": 0}, limit=True))
    return found


def tuned(problem: Problem) -> np.ndarray:
    """`[patterns]`, log policy after SFT on the best pattern: where a rival gains, as much as `qra solve` names.

    Args:
      problem: one question.
    """
    log_s = theory.sft_log_dose(problem) if bool(theory.regime(problem).entangled) else np.inf
    if np.isfinite(log_s):
        return np.asarray(theory.sft_policy(problem, log_s), float)
    ref, success = np.asarray(problem.ref, float), np.asarray(problem.success)
    mix = min(max(1.05 * float(theory.sft_mass_needed(problem)), SFT), 1.0)
    shares = np.where(success == success.max(), ref, 0.0)
    with np.errstate(divide="ignore"):
        return np.log((1 - mix) * ref + mix * shares / shares.sum())

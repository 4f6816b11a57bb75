"""What goes wrong in simulated runs, how often, and the sign by which each failure is told from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qra_jax import orbit
from qra_jax.consult.hyperparameters import Hyperparameters
from qra_jax.problem import Problem
from qra_jax.reward import verifiable

if TYPE_CHECKING:
    from qra_jax.consult.advice import Ending

FOUND, LOST = 0.9, 0.1
"""The best pattern is found at this share; lost below this part of both its base share and its share without
noise, while another is found."""
MATTERS, RESTS = 0.05, 0.01
"""Parts of the room between base accuracy and the best pattern's: what a failure costs at least, and what a run that
rests still gains in its last fifth."""
EXCESS = 0.2
"""Nats of entropy below those of the exact orbit at the same reward."""
SIGNS = {
    "lost pattern": (
        "entropy near zero and almost all groups silent, a part of them all wrong, at an accuracy below the best"
    ),
    "KL resting point": (
        "accuracy and KL level off together while entropy is left and many groups are still mixed"
    ),
    "stale divergence": "accuracy falls after a rise, with ratios clipped or a KL to the sampler that grows",
    "too high a rate": "accuracy falls or jumps after a quick rise, with fresh rollouts and a large gradient norm",
    "reward up, accuracy down": "reward rises, while the share of right answers in an evaluation falls",
    "format first": "the first half of the rise of reward is format; the part for right answers has not moved",
    "verifier's ceiling": (
        "reward levels off below one or lies above an evaluation, and groups stay mixed though entropy is gone"
    ),
    "entropy beyond accuracy": "entropy is gone earlier than accuracy explains; pass@k falls towards pass@1",
}
"""How each failure shows in a log."""


@dataclass(frozen=True)
class Failure:
    """One way in which runs fail.

    Attributes:
      name: one of `SIGNS`.
      share: of the simulated runs, in [0, 1].
    """

    name: str
    share: float

    @property
    def sign(self) -> str:
        """How it shows in a log."""
        return SIGNS[self.name]


def of(
    problem: Problem,
    settings: Hyperparameters,
    path: Mapping[str, np.ndarray],
    lost: float,
    changes: Sequence[Ending],
    room: float,
    other_reward: bool,
) -> list[Failure]:
    """The failures that are possible with some settings.

    Args:
      problem: the question, with rewards as success rates.
      settings: the hyperparameters.
      path: by name `[runs, times]`: `accuracy`, `earned` (mean reward), `entropy`.
      lost: share of runs in which noise lost the best pattern.
      changes: outcomes of changes, among them limits.
      room: between base accuracy and the best pattern's.
      other_reward: whether rewards are not success rates.

    Returns:
      Those with a share above zero, most frequent first.
    """
    if room <= 0:
        return []
    accuracy, reward, entropy = (np.nan_to_num(path[name]) for name in ("accuracy", "earned", "entropy"))
    end, matters = accuracy[:, -1], MATTERS * room
    shares = {"lost pattern": lost}
    limits = {one.name: one for one in changes if one.limit}
    runs = len(end)

    def short(name: str) -> float:
        """Share of runs that end below the mean without an imperfection, where that mean is surely higher."""
        limit = limits.get(name)
        if limit is None or limit.accuracy - end.mean() < max(
            matters, 3 * np.hypot(limit.error, end.std() / runs**0.5)
        ):
            return 0.0
        return float((end < limit.accuracy - matters).mean())

    late = accuracy[:, -1] - accuracy[:, -1 - max(1, accuracy.shape[1] // 5)]
    rests = abs(late.mean()) < RESTS * room + 2 * late.std() / runs**0.5
    shares["KL resting point"] = short("no KL term") if rests else 0.0
    shares["verifier's ceiling"] = short("a perfect verifier") if settings.tpr > settings.fpr else 0.0
    peak = reward.max(axis=1)
    falls = (peak - reward[:, -1] >= max(2 * matters, 0.02)) & (peak - reward[:, 0] >= matters)
    stale = settings.staleness > 0 or settings.epochs > 1
    shares["stale divergence" if stale else "too high a rate"] = float(falls.mean())
    if other_reward:
        shares["reward up, accuracy down"] = float(
            ((reward[:, -1] > reward[:, 0] + matters) & (end < accuracy[:, 0] - matters)).mean()
        )
        gain = reward - reward[:, :1]
        half = np.argmax(gain >= gain.max(axis=1, keepdims=True) / 2, axis=1)
        rises = (gain.max(axis=1) >= matters) & (half > 0)
        moved = np.take_along_axis(accuracy, half[:, None], axis=1)[:, 0] - accuracy[:, 0]
        shares["format first"] = float((rises & (abs(moved) < 0.1 * room)).mean())
    won = reward[:, -1] >= reward[:, 0] - 0.01
    flat = entropy[:, -1] < _explained(problem, settings, reward[:, -1]) - EXCESS
    shares["entropy beyond accuracy"] = float((won & flat).mean())
    found = [Failure(name, share) for name, share in shares.items() if share > 0]
    return sorted(found, key=lambda one: -one.share)


def _explained(problem: Problem, settings: Hyperparameters, reward: np.ndarray) -> np.ndarray:
    """Entropy of the pattern choice on the exact orbit where it has a reward, the same for all algorithms."""
    algorithm = settings.trained.with_group_size(settings.group_size)
    log_time = float(orbit.log_hitting_time(problem, 0.999, algorithm=algorithm, reward=verifiable(1.0, 0.0)))
    if not np.isfinite(log_time):
        return np.zeros_like(reward)
    log_times = np.linspace(log_time - 16.0, log_time, 400)
    path = orbit.solve(problem, log_ts=log_times, algorithm=algorithm, reward=verifiable(1.0, 0.0))
    share = np.exp(np.asarray(path.log_policy, float))
    entropy = -(share * np.log(np.maximum(share, 1e-300))).sum(axis=1)
    return np.interp(reward, np.asarray(path.accuracy, float), entropy)

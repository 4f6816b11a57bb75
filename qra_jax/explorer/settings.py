"""What the explorer can be set to: one question of three patterns, and how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qra_jax import _check
from qra_jax.algorithm import Algorithm
from qra_jax.consult.hyperparameters import ALGORITHMS as _BY_GROUP, LARGEST
from qra_jax.problem import Problem

NAMES = ("r1", "r2", "r3")
"""What the patterns are called."""
_MADE = [make(LARGEST) for make in _BY_GROUP.values()]
ALGORITHMS: dict[str, Algorithm] = {
    made.name: made for made in _MADE if not (made.greedy_baseline or made.by_length)
}
"""What can be chosen: every registered algorithm whose weights the number of right rollouts decides."""


@dataclass(frozen=True)
class Settings:
    """One question of three patterns, and how it is trained.

    Attributes:
      ref: share of each pattern in the base model, up to a common factor; above zero.
      success: success rate of each pattern, in [0, 1].
      algorithm: a name out of `ALGORITHMS`.
      learning_rate: η of a gradient step on the logits, ≥ 0.
      group_size: G, from 2 to `LARGEST`.
      beta: strength of the KL term, ≥ 0.
      tpr: chance that the verifier accepts a right answer, in [0, 1].
      fpr: chance that it accepts a wrong one, in [0, 1].

    Raises:
      ValueError: a number out of range.
    """

    ref: Sequence[float] = (0.05, 0.70, 0.25)
    success: Sequence[float] = (0.9, 0.6, 0.1)
    algorithm: str = "GRPO"
    learning_rate: float = 0.2
    group_size: int = 8
    beta: float = 0.0
    tpr: float = 1.0
    fpr: float = 0.0

    def __post_init__(self) -> None:
        for name in ("ref", "success"):
            if len(getattr(self, name)) != len(NAMES):
                raise ValueError(f"{name}: {getattr(self, name)}; must be {len(NAMES)} numbers")
        for name, value in zip(NAMES, self.ref, strict=True):
            _check.positive(f"ref of {name}", value)
        for name, value in zip(NAMES, self.success, strict=True):
            _check.unit_interval(f"success of {name}", value)
        _check.choice("algorithm", self.algorithm, tuple(ALGORITHMS))
        _check.integer("group_size", self.group_size, low=2)
        if self.group_size > LARGEST:
            raise ValueError(f"group_size: {self.group_size}; must be at most {LARGEST}")
        for name in ("learning_rate", "beta"):
            _check.nonnegative(name, getattr(self, name))
        for name in ("tpr", "fpr"):
            _check.unit_interval(name, getattr(self, name))

    @property
    def problem(self) -> Problem:
        """The question."""
        total = sum(self.ref)
        return Problem.from_probs(ref=[share / total for share in self.ref], success=self.success)

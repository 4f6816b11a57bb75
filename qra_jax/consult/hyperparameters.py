"""Hyperparameters of a training run of one question, by numbers or from a trainer's configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from qra_jax import _check
from qra_jax.algorithm import Algorithm, grpo
from qra_jax.off_policy import OffPolicy
from qra_jax.registry import ALGORITHMS as REGISTERED, REGULARIZERS
from qra_jax.setup import Setup

LARGEST = 64
"""A group size that an algorithm must take to be offered here and in the explorer."""


def _by_group(factory: Callable[..., Algorithm]) -> bool:
    """Whether an algorithm is given by its group size alone, for one question and any rewards of 0 and 1."""
    known = inspect.signature(factory).parameters
    needed = {name for name, one in known.items() if one.default is one.empty}
    if "group_size" not in known or not needed <= {"group_size"}:
        return False
    try:
        made = factory(group_size=LARGEST)
    except ValueError:  # of another package, and not for groups so large
        return False
    return made.batch is None and made.pairs is None


ALGORITHMS: dict[str, Callable[[int], Algorithm]] = {
    name: lambda group, make=factory: make(group_size=group)
    for name, factory in REGISTERED.items()
    if _by_group(factory)
} | dict.fromkeys(("dynamic_sampling", "dapo"), lambda group: grpo(group, resample_silent=True))
"""Algorithms by name, as functions of the largest group: every registered one that its group size says enough of."""

PENALTIES = [
    name for name, factory in REGULARIZERS.items() if "beta" in inspect.signature(factory).parameters
]
"""Regularizers that a β says enough of."""


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of the runs.

    Attributes:
      algorithm: a name in `ALGORITHMS`, or an algorithm with a group size (then that of these settings counts).
      learning_rate: η ≥ 0 of plain gradient steps on the logits.
      group_size: G ≥ 2.
      steps: optimiser steps over epochs, ≥ 1.
      beta: β ≥ 0 of the reverse KL term.
      clip_low: ratios below 1 − ε are clipped; ε in [0, 1], or `None` for no clipping.
      clip_high: the same above 1 + ε; ε ≥ 0.
      epochs: gradient steps on each batch of rollouts, ≥ 1.
      staleness: age of the rollouts in steps, ≥ 0.
      tpr: the verifier's true positive rate.
      fpr: its false positive rate.
      penalty: name of the KL term, one of the registered regularizers with a β.
      entropy_bonus: α ≥ 0 of the entropy of the pattern choice.
      off_policy: whatever else is off-policy; its clip, epochs and staleness are those above.

    Raises:
      ValueError: a number out of range.
    """

    algorithm: str | Algorithm = "grpo"
    learning_rate: float = 0.1
    group_size: int = 16
    steps: int = 1000
    beta: float = 0.0
    clip_low: float | None = None
    clip_high: float | None = None
    epochs: int = 1
    staleness: int = 0
    tpr: float = 1.0
    fpr: float = 0.0
    penalty: str = "reverse_kl"
    entropy_bonus: float = 0.0
    off_policy: OffPolicy = field(default_factory=OffPolicy)

    def __post_init__(self) -> None:
        if not isinstance(self.algorithm, Algorithm):
            _check.choice("algorithm", self.algorithm, tuple(ALGORITHMS))
        _check.choice("penalty", self.penalty, tuple(PENALTIES))
        _check.nonnegative("learning_rate", self.learning_rate)
        _check.integer("group_size", self.group_size, low=2)
        _check.integer("steps", self.steps, low=1)
        _check.nonnegative("beta", self.beta)
        if self.clip_low is not None:
            _check.unit_interval("clip_low", self.clip_low)
        if self.clip_high is not None:
            _check.nonnegative("clip_high", self.clip_high)
        _check.integer("epochs", self.epochs, low=1)
        _check.integer("staleness", self.staleness, low=0)
        _check.unit_interval("tpr", self.tpr)
        _check.unit_interval("fpr", self.fpr)
        _check.nonnegative("entropy_bonus", self.entropy_bonus)

    @classmethod
    def of(cls, setup: Setup, **others: Any) -> tuple[Hyperparameters, list[str]]:
        """The settings of a trainer's configuration, for one question in the tabular model.

        Args:
          setup: such as `qra.presets.read(...).setup`.
          **others: settings that it does not say: `learning_rate` (that of a network is none of a table of logits),
            `steps`, `tpr`, `fpr`, `entropy_bonus`.

        Returns:
          The settings, and a sentence for each part that one question cannot have.

        Raises:
          ValueError: an algorithm without a group size, or on pairs.
        """
        said, algorithm, off_policy = [], setup.algorithm, setup.tabular()["off_policy"]
        group = algorithm.group_size
        if group is None or group < 2 or algorithm.pairs is not None:
            raise ValueError(
                f"algorithm: {algorithm}; must have a group size of 2 or above, and weigh by rewards"
            )
        if algorithm.batch is not None:
            said.append(
                f"{algorithm.name} divides by its whole batch; here by nothing, there is one question."
            )
            algorithm = replace(algorithm, batch=None)
        if setup.off_policy.surrogate != off_policy.surrogate:
            said.append("The ratio of whole sequences is that of their one decision.")
        beta, penalty = 0.0, "reverse_kl"
        for term in setup.regularizers:
            if term.made is not None and term.made[0] in PENALTIES:
                beta, penalty = float(term.params["beta"]), term.made[0]
            else:
                said.append(f"{term.name} acts on tokens; it is not taken.")
        if not setup.reward.binary and "beta" in setup.reward.params:
            beta = float(setup.reward.params["beta"])
            said.append(
                "The KL term in the reward is taken in the loss, where no standard deviation divides it."
            )
        low, high = off_policy.clip_range
        settings = cls(
            algorithm=algorithm,
            group_size=group,
            beta=beta,
            penalty=penalty,
            clip_low=low,
            clip_high=high,
            epochs=off_policy.epochs,
            staleness=off_policy.staleness,
            off_policy=off_policy,
            **others,
        )
        return settings, said

    @property
    def trained(self) -> Algorithm:
        """The algorithm, with room for groups four times as large."""
        largest = 4 * self.group_size
        if isinstance(self.algorithm, Algorithm):
            return self.algorithm.with_group_size(largest)
        return ALGORITHMS[self.algorithm](largest)

    @property
    def idles(self) -> bool:
        """Whether nothing is learnt from a group whose rewards are all equal."""
        tables = self.trained.with_group_size(self.group_size).tables()
        return float(np.abs(tables.wrong[0]) + np.abs(tables.right[-1])) == 0

    @property
    def clips(self) -> bool:
        """Whether there are ratios to clip, and a clip."""
        off = self.epochs > 1 or self.staleness > 0
        return off and (self.clip_low is not None or self.clip_high is not None)

    def plain(self) -> dict[str, Any]:
        """The settings as plain data."""
        table = {one.name: getattr(self, one.name) for one in fields(self)}
        name = self.algorithm if isinstance(self.algorithm, str) else self.algorithm.name
        return table | {"algorithm": name, "off_policy": repr(self.off_policy)}

"""Floor 6. The explorer: sliders for one question and how it is trained, and what follows, redrawn at every move.

    from qra_jax.explorer.widget import Explorer
    Explorer()

Everything a slider moves is an argument of programs that are compiled once, so a move costs a simulation and a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax import _check, diagnosis, orbit
from qra_jax.algorithm import Algorithm, dapo, dr_grpo, filtered_sft, grpo, reinforce, rloo
from qra_jax.problem import Problem
from qra_jax.regularizer import reverse_kl
from qra_jax.reward import verifiable
from qra_jax.training import train

STEPS, EVERY, RUNS, LARGEST = 1000, 10, 48, 64
"""Steps of a run, steps between records, sampled runs, and the largest group."""
NAMES = ("r1", "r2", "r3")
"""What the patterns are called."""
ALGORITHMS = {
    "GRPO": grpo(LARGEST),
    "Dr. GRPO": dr_grpo(LARGEST),
    "DAPO": dapo(LARGEST),
    "RLOO": rloo(LARGEST),
    "REINFORCE": reinforce(),
    "filtered SFT": filtered_sft(),
}
"""What can be chosen."""


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


@dataclass(frozen=True)
class Answer:
    """What follows from the settings.

    Attributes:
      step: `[times]`, gradient steps.
      mean: `[times, 3]`, π under the exact expected gradient.
      runs: `[runs, times, 3]`, π of sampled runs.
      path: `[points, 3]`, π along the orbit: noise-free, without KL term, under any algorithm.
      diagnosis: regime, leaders, and times of noise-free training.
    """

    step: np.ndarray
    mean: np.ndarray
    runs: np.ndarray
    path: np.ndarray
    diagnosis: diagnosis.Diagnosis

    @property
    def found(self) -> float:
        """Share of the sampled runs that end with π(r*) > ½."""
        return float(np.mean(self.runs[:, -1, self.diagnosis.best] > 0.5))


_PLAIN = [member for member in ALGORITHMS.values() if not member.resamples_silent]


def _weigh_as(params: dict[str, Any], rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    weights = jnp.stack([member.weigh(member.params, rewards, where) for member in _PLAIN])
    return weights[params["which"].astype(int)]


@partial(jax.jit, static_argnames="resamples")
def _train(
    problem: Problem, numbers: dict[str, Any], *, resamples: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Steps, expected training and sampled runs; the algorithm is chosen by number."""
    chosen = Algorithm("chosen", _weigh_as, LARGEST, params={"which": numbers["which"]})
    options: dict[str, Any] = {
        "algorithm": ALGORITHMS["DAPO"] if resamples else chosen,
        "learning_rate": numbers["learning_rate"],
        "group_size": numbers["group_size"],
        "reward": verifiable(numbers["tpr"], numbers["fpr"]),
        "regularizers": [reverse_kl(numbers["beta"])],
        "steps": STEPS,
        "record_every": EVERY,
    }
    keys = jax.random.split(jax.random.key(0), RUNS)
    mean = train(keys[0], problem, mode="mean", **options)
    runs = jax.vmap(lambda key: train(key, problem, **options))(keys)
    return mean.stats["step"], mean.policy, runs.policy


@jax.jit
def _path(problem: Problem) -> jax.Array:
    lead = orbit.dominance(problem)
    last = jnp.max(jnp.where(jnp.isfinite(lead.switches), lead.switches, -jnp.inf))
    end = jnp.where(jnp.isfinite(last), jnp.exp(last), 1.0) * 10
    span = jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-4, 1.0, 199)]) * end
    return jnp.exp(jax.vmap(lambda tau: orbit.policy(problem, tau))(span))


def simulate(settings: Settings) -> Answer:
    """What follows from the settings.

    Args:
      settings: question and training.

    Returns:
      An `Answer`.

    >>> answer = simulate(Settings())
    >>> answer.diagnosis.regime, answer.found > 0.9
    ('entangled', True)
    """
    problem, member = settings.problem, ALGORITHMS[settings.algorithm]
    numbers = {
        name: jnp.asarray(getattr(settings, name), problem.log_ref.dtype)
        for name in ("learning_rate", "group_size", "tpr", "fpr", "beta")
    }
    which = 0 if member.resamples_silent else _PLAIN.index(member)
    numbers["which"] = jnp.asarray(which, problem.log_ref.dtype)
    step, mean, runs = _train(problem, numbers, resamples=member.resamples_silent)
    return Answer(
        *(np.asarray(x) for x in (step, mean, runs, _path(problem))), diagnosis=diagnosis.diagnose(problem)
    )

"""What follows from the settings of the explorer.

Everything a slider moves is an argument of programs that are compiled once, so a move costs a simulation and a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax import orbit
from qra_jax.algorithm import Algorithm, by_clock, grpo, reinforce, switch
from qra_jax.consult import FOUND, Diagnosis, diagnose
from qra_jax.explorer.settings import ALGORITHMS, Settings
from qra_jax.problem import Problem
from qra_jax.regularizer import reverse_kl
from qra_jax.reward import verifiable
from qra_jax.training import train
from qra_jax.trajectory import Status

STEPS, EVERY, RUNS = 1000, 10, 48
"""Steps of a run, steps between records, and sampled runs."""


@dataclass(frozen=True)
class Answer:
    """What follows from the settings.

    Attributes:
      step: `[times]`, gradient steps.
      mean: `[times, 3]`, π under the exact expected gradient.
      runs: `[runs, times, 3]`, π of sampled runs.
      diverged: sampled runs that left the numbers.
      path: `[points, 3]`, π along the orbit: expected updates without KL term, under any algorithm.
      offset: `[3]`, where the line of each pattern starts, 1/π_ref.
      slope: `[3]`, how fast it falls: the chance that the verifier accepts the pattern's answer.
      leaders: who leads along the orbit, in order.
      switches: τ at which each but the first takes the lead.
      log_times: natural logs of η × steps from start to π(r*) = .99 without KL term, by what trains.
      diagnosis: regime and γ, of a verifier that does not err.
    """

    step: np.ndarray
    mean: np.ndarray
    runs: np.ndarray
    diverged: int
    path: np.ndarray
    offset: np.ndarray
    slope: np.ndarray
    leaders: list[int]
    switches: list[float]
    log_times: dict[str, float]
    diagnosis: Diagnosis

    @property
    def found(self) -> float:
        """Share of the sampled runs in which the best patterns, tied ones together, end with `FOUND` or more."""
        success = np.asarray(self.diagnosis.problem.success)
        return float(np.mean(self.runs[:, -1, success == success.max()].sum(-1) >= FOUND))


_PLAIN = [member for member in ALGORITHMS.values() if not member.resamples_silent]
_RESAMPLING = [member for member in ALGORITHMS.values() if member.resamples_silent]


def _chosen(numbers: dict[str, Any], resamples: bool) -> Algorithm:
    """The algorithm with this number, at the chosen group size."""
    members = _RESAMPLING if resamples else _PLAIN
    return switch(numbers["which"], members).with_group_size(numbers["group_size"])


@partial(jax.jit, static_argnames="resamples")
def _train(problem: Problem, numbers: dict[str, Any], *, resamples: bool) -> tuple[jax.Array, ...]:
    """Steps, expected training, sampled runs and how they ended; the algorithm is chosen by number."""
    options: dict[str, Any] = {
        "algorithm": _chosen(numbers, resamples),
        "learning_rate": numbers["learning_rate"],
        "reward": verifiable(numbers["tpr"], numbers["fpr"]),
        "regularizers": [reverse_kl(numbers["beta"])],
        "steps": STEPS,
        "record_every": EVERY,
    }
    keys = jax.random.split(jax.random.key(0), RUNS)
    mean = train(keys[0], problem, mode="mean", **options)
    runs = jax.vmap(lambda key: train(key, problem, **options))(keys)
    return mean.stats["step"], mean.policy, runs.policy, runs.status


@partial(jax.jit, static_argnames="resamples")
def _theory(problem: Problem, numbers: dict[str, Any], *, resamples: bool) -> dict[str, Any]:
    """Path, lines, leaders and times of expected updates without KL term."""
    reward = verifiable(numbers["tpr"], numbers["fpr"])
    clocks = by_clock(_chosen(numbers, resamples)), reinforce(), grpo()

    def log_time(row: Any, geometry: str = "softmax") -> jax.Array:
        clock = switch(row, clocks)
        return orbit.hit(problem, 0.99, algorithm=clock, reward=reward, geometry=geometry).log_time

    rows = jax.vmap(log_time)(jnp.arange(3.0))
    lead = orbit.dominance(problem, reward=reward)
    offset, slope = orbit.lines(problem, reward=reward)
    # The path turns within a small part of τ around each switch, and ends far beyond the last.
    near = jnp.geomspace(1e-6, 1.0, 40)
    steepness = jnp.maximum(jnp.max(slope) - jnp.min(slope), 1e-6)
    switches = jnp.where(jnp.isfinite(lead.log_switches), jnp.exp(lead.log_switches), 0.0)
    tau = [jnp.zeros(1), jnp.geomspace(1e-5, 1e5, 200) * jnp.max(offset) / steepness]
    tau += [jnp.outer(switches, 1 + side * near).ravel() for side in (-1, 1)]
    path = jax.vmap(lambda at: orbit.policy(problem, at, reward=reward))(jnp.sort(jnp.concatenate(tau)))
    return {
        "path": jnp.exp(path),
        "offset": offset,
        "slope": slope,
        "lead": lead,
        "log_times": jnp.append(rows, log_time(1.0, "natural")),
    }


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
    resamples = member.resamples_silent
    which = (_RESAMPLING if resamples else _PLAIN).index(member)
    given = {name: getattr(settings, name) for name in ("learning_rate", "group_size", "tpr", "fpr", "beta")}
    given |= {"which": which}
    numbers = {name: jnp.asarray(value, problem.log_ref.dtype) for name, value in given.items()}
    step, mean, runs, status = jax.device_get(_train(problem, numbers, resamples=resamples))
    theory = _theory(problem, numbers, resamples=resamples)
    count, lead = int(theory["lead"].count), theory["lead"]
    chosen = f"{settings.algorithm}, G = {settings.group_size}"
    names = (chosen, "REINFORCE", "GRPO, large G", "natural gradient")
    log_times = dict(zip(names[::-1], np.asarray(theory["log_times"])[::-1].tolist(), strict=True))
    return Answer(
        step,
        mean,
        runs,
        diverged=int(np.sum(status == Status.DIVERGED)),
        **{name: np.asarray(theory[name]) for name in ("path", "offset", "slope")},
        leaders=np.asarray(lead.leaders)[:count].tolist(),
        switches=np.exp(np.asarray(lead.log_switches)[1:count]).tolist(),
        log_times={name: log_times[name] for name in names},
        diagnosis=diagnose(problem),
    )

"""What the theory says of one base model: its regime, how long training takes, what would help."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax import _check, _programs, orbit, theory
from qra_jax.algorithm import Algorithm, by_clock, filtered_sft, grpo, reinforce, switch
from qra_jax.orbit.api import find_hit
from qra_jax.problem import Problem
from qra_jax.reward import verifiable
from qra_jax.trajectory import Status

SETTINGS: dict[str, tuple[Algorithm, str]] = {
    "reinforce": (reinforce(), "softmax"),
    "grpo_mean_field": (grpo(), "softmax"),
    "grpo_G8": (grpo(8), "softmax"),
    "filtered_sft_per_accepted": (filtered_sft(per="accepted"), "softmax"),
    "natural_gradient": (reinforce(), "natural"),
}
"""What is compared: algorithm and geometry."""
UNSOLVED = {
    Status.NOT_CONVERGED: "not converged",
    Status.OUT_OF_PRECISION: "out of precision",
    Status.INVALID: "invalid",
}
"""Outcomes without a number."""


@dataclass(frozen=True)
class Times:
    """Natural logarithms of training times; −inf where already met, +inf where never.

    Attributes:
      log_transition: when accuracy exceeds the second-best success rate.
      log_target: when π(r*) reaches the target.
      statuses: `Status` of both.
    """

    log_transition: float
    log_target: float
    statuses: tuple[Status, Status]


@dataclass(frozen=True)
class SftDose:
    """Supervised fine-tuning on r* alone, just long enough for the fast regime.

    Attributes:
      log_time: natural logarithm of the SFT time, dθ/dt = e_{r*} − π at unit learning rate.
      mass: π(r*) after it.
      log_time_after: natural logarithm of the RL time from there to the target, for each setting.
    """

    log_time: float
    mass: float
    log_time_after: dict[str, float]


@dataclass(frozen=True)
class Diagnosis:
    """Everything `qra solve` reports about one problem.

    Attributes:
      problem: the question.
      target: share of the best pattern to reach.
      regime: `"fast"` or `"entangled"`.
      accuracy_ref: accuracy of the base model.
      gamma: γ; `None` in the fast regime or where r* has no reference mass.
      rival: r', −1 in the fast regime.
      leaders: who dominates, in order.
      log_switches: natural logarithm of the time under REINFORCE at which each takes the lead (−inf for the first).
      times: for each setting.
      sft: the least SFT that ends the entanglement; `None` in the fast regime or where r* has no reference mass.
      notes: what is not ordinary about this problem.
    """

    problem: Problem
    target: float
    regime: str
    accuracy_ref: float
    gamma: float | None
    best: int
    rival: int
    leaders: list[int]
    log_switches: list[float]
    times: dict[str, Times]
    sft: SftDose | None
    notes: list[str] = field(default_factory=list)


def diagnose(problem: Problem, target: float = 0.99) -> Diagnosis:
    """Regime, dominance, times under several algorithms, and the SFT that would remove the stall.

    Args:
      problem: one question; float64 for times beyond 1e10.
      target: share of the best pattern to reach, in (0, 1).

    Returns:
      A `Diagnosis` in plain Python numbers.

    Raises:
      ValueError: target outside (0, 1).

    Reference: Chen, Li, Zou, arXiv 2506.04695; times on the exact orbit of `qra_jax.orbit`.

    >>> from qra_jax.problem import examples
    >>> diagnosis = diagnose(examples.worked())
    >>> diagnosis.regime, diagnosis.leaders, round(float(np.exp(diagnosis.times["grpo_G8"].log_target)), 2)
    ('entangled', [1, 0], 127.13)
    """
    _check.open_unit_interval("target", target)
    solution = _solution(problem, target)
    entangled, gamma, count = bool(solution["entangled"]), float(solution["gamma"]), int(solution["count"])
    times = {name: _or_never(problem, one) for name, one in _times(solution).items()}
    return Diagnosis(
        problem=problem,
        target=target,
        regime="entangled" if entangled else "fast",
        accuracy_ref=float(solution["accuracy_ref"]),
        gamma=gamma if entangled and np.isfinite(gamma) else None,
        best=_best(problem),
        rival=int(solution["rival"]),
        leaders=solution["leaders"][:count].tolist(),
        log_switches=[-np.inf, *solution["switches"][1:count].tolist()],
        times=times,
        sft=_dose(problem, target) if entangled else None,
        notes=_notes(problem, times),
    )


def add_time(diagnosis: Diagnosis, name: str, algorithm: Algorithm) -> Diagnosis:
    """The same diagnosis with the times of one more algorithm.

    Args:
      diagnosis: the diagnosis.
      name: what to call the algorithm.
      algorithm: one with a clock.

    Returns:
      A `Diagnosis` with an entry more in `times`.

    Raises:
      ValueError: the algorithm has no clock.
    """
    problem = diagnosis.problem
    target = orbit.hit(problem, diagnosis.target, algorithm=algorithm)
    transition, before = -np.inf, Status.ALREADY_MET
    if diagnosis.regime == "entangled":
        hit = orbit.hit(problem, problem.second_best, event="accuracy", algorithm=algorithm)
        transition, before = float(hit.log_time), Status(int(hit.status))
    times = Times(transition, float(target.log_time), (before, Status(int(target.status))))
    return replace(diagnosis, times={**diagnosis.times, name: _or_never(problem, times)})


def _or_never(problem: Problem, times: Times) -> Times:
    """The times, or never where the best pattern has no share: whatever a search in finite precision came to."""
    if not np.isneginf(np.asarray(problem.log_ref)[_best(problem)]):
        return times
    return Times(times.log_transition, np.inf, (times.statuses[0], Status.UNREACHABLE))


def _best(problem: Problem) -> int:
    """r* of a concrete problem, without a program compiled for it."""
    return int(np.argmax(np.asarray(problem.success)))


def _dose(problem: Problem, target: float) -> SftDose | None:
    """The least SFT on r* that ends the entanglement, and what RL takes after it."""
    log_s = theory.sft_log_dose(problem)
    if not np.isfinite(log_s):
        return None
    log_policy, log_time = jax.device_get(_fine_tune(problem, np.asarray(log_s, problem.log_ref.dtype)))
    tuned = replace(problem, log_ref=_programs.array(log_policy))
    after = dict(zip(SETTINGS, _solution(tuned, target)["target_log_time"].tolist(), strict=True))
    mass = float(np.exp(log_policy[_best(problem)]))
    return SftDose(float(log_time), mass, after)


@_programs.kept
def _fine_tune(problem: Problem, log_s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log π after SFT on r* alone, and the log of its time."""
    return theory.sft_policy(problem, log_s), theory.sft_log_time(problem, log_s)


def _times(solution: dict[str, np.ndarray]) -> dict[str, Times]:
    """Times of both events for each setting."""
    times, fast = {}, not solution["entangled"]
    names = ("transition_log_time", "transition_status", "target_log_time", "target_status")
    rows = zip(*(solution[name].tolist() for name in names), strict=True)
    for name, (transition, before, target, reached) in zip(SETTINGS, rows, strict=True):
        before = Status.ALREADY_MET if fast else Status(before)
        times[name] = Times(-np.inf if fast else transition, target, (before, Status(reached)))
    return times


def _solution(problem: Problem, target: float) -> dict[str, np.ndarray]:
    return jax.device_get(_solve(problem, np.asarray(target, problem.log_ref.dtype)))


@_programs.kept
def _solve(problem: Problem, target: jax.Array) -> dict[str, jax.Array]:
    """Regime, leaders, the log time of each switch under REINFORCE, and both events for each setting.

    One compiled search for each geometry: event and clock are chosen by number.
    """

    clocks = [by_clock(algorithm) for algorithm, _ in SETTINGS.values()]

    def hits(geometry: str, *searches: tuple[jax.Array, bool, list[int]]) -> list[orbit.Hit]:
        """For each list of settings, the hits of its targets: of π(r*) or of accuracy."""

        def one(target: jax.Array, best: jax.Array, setting: jax.Array) -> orbit.Hit:
            return find_hit(problem, target, best, switch(setting, clocks), verifiable(), geometry=geometry)

        best = np.concatenate([np.full(len(settings), share) for _, share, settings in searches])
        numbers = np.concatenate([settings for _, _, settings in searches])
        targets = jnp.concatenate([levels for levels, _, _ in searches])
        found = jax.vmap(one)(targets, jnp.asarray(best), jnp.asarray(numbers, target.dtype))
        ends = np.cumsum([len(settings) for _, _, settings in searches])
        return [
            jax.tree.map(lambda x, i=i, j=j: x[i:j], found)
            for i, j in zip([0, *ends[:-1]], ends, strict=True)
        ]

    geometries = np.array([geometry for _, geometry in SETTINGS.values()])
    softmax, natural = ([int(i) for i in np.flatnonzero(geometries == g)] for g in ("softmax", "natural"))
    order = np.argsort(softmax + natural)
    lead = orbit.dominance(problem)

    def accuracy_at(k: jax.Array) -> jax.Array:
        """Accuracy at the k-th switch, where both leaders have the same share: rounding in τ must not choose."""
        dtype = jnp.finfo(problem.log_ref.dtype)
        tau = jnp.exp(jnp.minimum(lead.log_switches[k], np.log(float(dtype.max)) - 1))
        log_policy = orbit.policy(problem, tau)
        pair = lead.leaders[jnp.stack([k - 1, k])]
        tied = log_policy.at[pair].set(jax.nn.logsumexp(log_policy[pair]) - np.log(2))
        there = jnp.exp(jnp.where(k > 0, tied, log_policy))
        return jnp.clip(jnp.sum(there * problem.success), float(dtype.tiny), 1 - float(dtype.epsneg))

    levels = jax.vmap(accuracy_at)(jnp.arange(problem.patterns))
    ways = []
    for geometry, settings in (("softmax", softmax), ("natural", natural)):
        second, whole = (jnp.full(len(settings), level) for level in (problem.second_best, target))
        searches = [(second, False, settings), (whole, True, settings)]
        if geometry == "softmax":
            searches.append((levels, False, [0] * problem.patterns))
        ways.append(hits(geometry, *searches))
    transition, reached = (
        jax.tree.map(lambda a, b: jnp.concatenate([a, b])[order], ways[0][i], ways[1][i]) for i in (0, 1)
    )
    regime = theory.regime(problem)
    return {
        "entangled": regime.entangled,
        "gamma": regime.gamma,
        "rival": regime.rival,
        "accuracy_ref": problem.accuracy_ref,
        "leaders": lead.leaders,
        "count": lead.count,
        "switches": ways[0][2].log_time,
        "transition_log_time": transition.log_time,
        "transition_status": transition.status,
        "target_log_time": reached.log_time,
        "target_status": reached.status,
    }


def _notes(problem: Problem, times: dict[str, Times]) -> list[str]:
    success, log_ref = np.asarray(problem.success), np.asarray(problem.log_ref)
    best = _best(problem)
    tied = np.flatnonzero(success == success[best])
    notes = []
    if tied.size > 1:
        names = f"{', '.join(map(str, tied[:-1]))} and {tied[-1]}"
        notes.append(f"ties for best: patterns {names}; the first is taken")
    if np.isneginf(log_ref[best]):
        notes.append("best pattern has no reference mass: unreachable")
    else:
        if all(time.statuses[1] == Status.ALREADY_MET for time in times.values()):
            notes.append("target already met")
        for event, what in ((1, "target unreachable"), (0, "transition unreachable")):
            never = [name for name, time in times.items() if time.statuses[event] == Status.UNREACHABLE]
            notes += [what] if len(never) == len(times) else [f"{what}: {name}" for name in never]
    if tied.size == success.size > 1:
        return [*notes, "all success rates are equal: nothing moves"]
    for name, time in times.items():
        for status in dict.fromkeys(time.statuses):
            if status in UNSOLVED:
                notes.append(f"{UNSOLVED[status]}: {name}")
    return notes

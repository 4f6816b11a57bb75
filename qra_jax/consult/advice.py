"""What sampled training does to one base model with given hyperparameters, and which change would help.

Thousands of runs of [`train`][qra_jax.training.train] with the settings as they are, and hundreds with each of
a list of single changes. A limit is a change that takes an imperfection away (noise, KL, a stale sampler, …); it
bites by as much accuracy as is won without it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from qra_jax import _check, orbit, theory
from qra_jax.algorithm import Algorithm, grpo
from qra_jax.batching import many
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem
from qra_jax.registry import ALGORITHMS as REGISTERED, REGULARIZERS
from qra_jax.reward import verifiable
from qra_jax.setup import Setup
from qra_jax.training import measure
from qra_jax.trajectory import Status


def _by_group(factory: Callable[..., Algorithm]) -> bool:
    """Whether an algorithm is given by its group size alone, for one question and any rewards of 0 and 1."""
    known = inspect.signature(factory).parameters
    needed = {name for name, one in known.items() if one.default is one.empty}
    if "group_size" not in known or not needed <= {"group_size"}:
        return False
    made = factory(group_size=2)
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

RECORDS = 50
"""Times at which the paths are recorded; steps are rounded up to a multiple."""
FOUND, LOST = 0.9, 0.1
"""The best pattern is found at this share; lost below this part of both its base share and its share without
noise, while another is found."""
TIE, NEAR = 0.01, 0.05
"""Parts of the room between base accuracy and the best pattern's success rate: changes that differ by less than
`TIE` are as good as each other, and with less than `NEAR` left nothing bites."""
SFT = 0.1
"""Share of demonstrations of the best pattern mixed into the base model, where the regime is fast without any."""
CONFIDENCE = 0.95
"""That no change is named where none helps: Bonferroni over the changes tried."""
OPTIMIZER = 1e-4
"""Learning rates below this are of an optimizer of a network, and none of a table of logits."""
FLAT = 0.1
"""Nats of pattern entropy under which nothing is left to explore."""


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
      clip_high: the same above 1 + ε.
      epochs: gradient steps on each batch of rollouts, ≥ 1.
      staleness: age of the rollouts in steps, ≥ 0.
      tpr: the verifier's true positive rate.
      fpr: its false positive rate.
      penalty: name of the KL term, one of the registered regularizers with a β.
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
    off_policy: OffPolicy = field(default_factory=OffPolicy)

    def __post_init__(self) -> None:
        if not isinstance(self.algorithm, Algorithm):
            _check.choice("algorithm", self.algorithm, tuple(ALGORITHMS))
        _check.choice("penalty", self.penalty, tuple(PENALTIES))
        _check.nonnegative("learning_rate", self.learning_rate)
        _check.integer("group_size", self.group_size, low=2)
        _check.integer("steps", self.steps, low=1)
        _check.nonnegative("beta", self.beta)
        for name in ("clip_low", "clip_high"):
            if getattr(self, name) is not None:
                _check.unit_interval(name, getattr(self, name))
        _check.integer("epochs", self.epochs, low=1)
        _check.integer("staleness", self.staleness, low=0)
        _check.unit_interval("tpr", self.tpr)
        _check.unit_interval("fpr", self.fpr)

    @classmethod
    def of(cls, setup: Setup, **others: Any) -> tuple[Hyperparameters, list[str]]:
        """The settings of a trainer's configuration, for one question in the tabular model.

        Args:
          setup: such as `qra.presets.read(...).setup`.
          **others: settings that it does not say: `learning_rate` (that of a network is none of a table of logits),
            `steps`, `tpr`, `fpr`.

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

    def plain(self) -> dict[str, Any]:
        """The settings as plain data."""
        table = {one.name: getattr(self, one.name) for one in fields(self)}
        name = self.algorithm if isinstance(self.algorithm, str) else self.algorithm.name
        return table | {"algorithm": name, "off_policy": repr(self.off_policy)}


@dataclass(frozen=True)
class Ending:
    """How many runs ended.

    Attributes:
      name: what was changed.
      limit: the change takes an imperfection away (rather than being something to try).
      accuracy: mean final accuracy.
      error: its standard error.
      found: share of runs in which the best patterns hold at least `FOUND`.
      lost: share in which noise has lost them, see `LOST`.
      cost: rollouts, relative to the settings as they are.
      diverged: share of runs that left the numbers; they count as accuracy 0.
    """

    name: str
    limit: bool
    accuracy: float
    error: float
    found: float
    lost: float
    cost: float
    diverged: float = 0.0


@dataclass(frozen=True)
class Paths:
    """Paths of the runs with the settings as they are.

    Attributes:
      step: `[times]`.
      accuracy: `[3, times]`, 10th percentile, mean and 90th percentile over runs.
      entropy: the same of the entropy of the pattern choice, nats.
      expected: `[times]`, accuracy of the run without sampling noise.
      silent: mean share of silent groups, `[times - 1]`.
      clipped: mean share of weight that was clipped, `[times - 1]`.
      draws: groups that are drawn for each one that is kept, where silent ones are drawn again, `[times]`; else `None`.
    """

    step: np.ndarray
    accuracy: np.ndarray
    entropy: np.ndarray
    expected: np.ndarray
    silent: np.ndarray
    clipped: np.ndarray
    draws: np.ndarray | None = None


@dataclass(frozen=True)
class Advice:
    """Everything `qra advise` says.

    Attributes:
      problem: the question.
      settings: the hyperparameters.
      runs: sampled runs of the settings as they are (a quarter as many for each change).
      regime: `"fast"` or `"entangled"`.
      now: how the runs end.
      paths: how they get there.
      expected: final accuracy without sampling noise.
      flat: recorded step from which on mean entropy stays below `FLAT`, or −1 where it ends above.
      log10_steps: steps until the best pattern holds `FOUND` without noise, KL term, clipping or staleness, as
        log10, from the exact orbit; ∞ where it never does (a verifier with TPR ≤ FPR).
      changes: outcomes of single changes, best first.
      first_limit: the limit that costs most accuracy, beyond noise and `TIE`, if any and unless `near`.
      best_change: the change to try that wins most, beyond noise and `TIE`, if any; of those that win as much
        (within `TIE`), the one that costs least.
    """

    problem: Problem
    settings: Hyperparameters
    runs: int
    regime: str
    now: Ending
    paths: Paths
    expected: float
    flat: int
    log10_steps: float
    changes: list[Ending]
    first_limit: Ending | None
    best_change: Ending | None

    @property
    def top(self) -> float:
        """Accuracy of the best pattern alone."""
        return float(np.max(np.asarray(self.problem.success)))

    @property
    def room(self) -> float:
        """What training can win: from base accuracy to the best pattern's."""
        return self.top - float(self.problem.accuracy_ref)

    @property
    def constant(self) -> float | None:
        """The success rate of all patterns, where they have one: then nothing can be learnt."""
        success = np.asarray(self.problem.success)
        return float(success[0]) if np.ptp(success) == 0 else None

    @property
    def near(self) -> bool:
        """Whether less than `NEAR` of the room is left: then nothing bites."""
        return self.now.accuracy >= self.top - NEAR * self.room - 1e-9


def advise(
    key: PRNGKeyArray, problem: Problem, settings: Hyperparameters | None = None, *, runs: int = 2048
) -> Advice:
    """Run the settings and a list of single changes, and say what limits training.

    Args:
      key: PRNG key.
      problem: one question.
      settings: the hyperparameters; by default those of [`Hyperparameters`][].
      runs: sampled runs of the settings as they are, ≥ 64.

    Returns:
      An `Advice`.

    Raises:
      ValueError: no PRNG key, an argument out of range, or a base model that never picks the best pattern.
    """
    _check.key(key)
    _check.problem(problem)
    settings = Hyperparameters() if settings is None else settings
    _check.integer("runs", runs, low=64)
    best = problem.success == jnp.max(problem.success)
    base = float(jnp.sum(jnp.where(best, problem.ref, 0.0)))
    if base == 0:
        raise ValueError("ref: the best pattern has share 0; must be above 0, no reward can raise it")
    each = max(64, runs // 4)
    changes = _changes(problem, settings)
    simulate = _simulator(settings, chunk=each // 2)
    stale = [change for change in changes if "staleness" in change.settings]
    rest = [change for change in changes if change not in stale]
    own_rows = -(-runs // each)
    rows = [_rows(problem, settings)] * own_rows + [_rows(problem, settings, change) for change in rest]
    keys = jax.random.split(key, len(rows) * each)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    repeated = jax.tree.map(lambda leaf: jnp.repeat(leaf, each, axis=0), stacked)
    sampled = simulate(keys, repeated)
    noiseless = jax.jit(jax.vmap(_one(settings, "mean")))
    exact = noiseless(keys[: len(rows)], stacked)
    own, own_exact = _part(sampled, 0, own_rows * each), _part(exact, 0, 1)

    def outcome(name: str, limit: bool, cost: float, part: Any, exact: Any) -> Ending:
        floor = LOST * min(base, float(np.exp(np.asarray(exact["log_policy"]))[0, np.asarray(best)].sum()))
        return _outcome(problem, best, floor, name, limit, cost, part)

    outcomes = [outcome("no sampling noise", True, np.inf, own_exact, own_exact)]
    for i, change in enumerate(rest, own_rows):
        part, end = _part(sampled, i * each, (i + 1) * each), _part(exact, i, i + 1)
        outcomes.append(outcome(change.name, change.limit, change.cost, part, end))
    first = _part(repeated, 0, each)
    for change in stale:
        fresh = replace(settings, **change.settings)
        part = _simulator(fresh, chunk=each // 2)(keys[:each], first)
        end = jax.jit(jax.vmap(_one(fresh, "mean")))(keys[:1], _part(stacked, 0, 1))
        outcomes.append(outcome(change.name, change.limit, change.cost, part, end))
    part, end = _part(own, 0, each), exact
    for again in range(3):
        more = jax.random.split(jax.random.fold_in(key, again), each)
        part = simulate(more, {**first, "start": part["log_policy"]})
        end = noiseless(keys[: len(rows)], {**stacked, "start": end["log_policy"]})
    outcomes.append(outcome("4 × the steps", False, 4.0, part, end))
    now = outcome("as it is", False, 1.0, own, own_exact)
    outcomes.sort(key=lambda one: -one.accuracy)
    room = float(jnp.max(problem.success) - problem.accuracy_ref)
    z = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / len(outcomes))

    def top(limit: bool) -> Ending | None:
        better = [
            one
            for one in outcomes
            if one.limit == limit
            and one.accuracy - now.accuracy > max(z * float(np.hypot(one.error, now.error)), TIE * room)
        ]
        good = [one for one in better if one.accuracy > better[0].accuracy - TIE * room]
        return min(good, key=lambda one: (0.0 if limit else one.cost, -one.accuracy), default=None)

    entropy = _band(own["entropy"])
    above = np.flatnonzero(entropy[1] >= FLAT)
    flat = np.arange(len(entropy[1]))[above[-1] + 1 if above.size else 0 :]
    step = np.asarray(own["step"][0])
    advice = Advice(
        problem=problem,
        settings=settings,
        runs=own_rows * each,
        regime=theory.regime(problem).name,
        now=now,
        paths=Paths(
            step=step,
            accuracy=_band(own["accuracy"]),
            entropy=entropy,
            expected=np.asarray(own_exact["accuracy"][0]),
            silent=_band(own["silent"])[1],
            clipped=_band(own["clipped"])[1],
            draws=_draws(settings, own["accuracy"]),
        ),
        expected=float(own_exact["accuracy"][0, -1]),
        flat=int(step[flat[0]]) if flat.size else -1,
        log10_steps=_log10_steps(problem, settings),
        changes=outcomes,
        first_limit=top(True),
        best_change=top(False),
    )
    if advice.constant is not None:
        return replace(advice, first_limit=None, best_change=None)
    return replace(advice, first_limit=None) if advice.near else advice


def _part(tree: Any, first: int, last: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[first:last], tree)


def _draws(settings: Hyperparameters, accuracy: Any) -> np.ndarray | None:
    """Groups drawn for each one with both right and wrong rollouts, the mean over runs `[times]`."""
    if not settings.trained.resamples_silent:
        return None
    right = settings.fpr + (settings.tpr - settings.fpr) * np.asarray(accuracy, float)
    mixed = 1 - right**settings.group_size - (1 - right) ** settings.group_size
    with np.errstate(divide="ignore"):
        return np.nanmedian(1 / mixed, axis=0)


def _log10_steps(problem: Problem, settings: Hyperparameters) -> float:
    """Steps of expected updates until the best pattern is found."""
    if settings.learning_rate == 0 or settings.tpr <= settings.fpr:
        return np.inf
    log_time = orbit.log_hitting_time(
        problem,
        target=FOUND,
        algorithm=settings.trained.with_group_size(settings.group_size),
        reward=verifiable(settings.tpr, settings.fpr),
    )
    return float(log_time) / np.log(10) - np.log10(settings.learning_rate * settings.epochs)


@dataclass(frozen=True)
class _Change:
    name: str
    settings: dict[str, Any]
    limit: bool = False
    cost: float = 1.0
    start: np.ndarray | None = None


def _changes(problem: Problem, settings: Hyperparameters) -> list[_Change]:
    """Single changes worth a run."""
    eta, group = settings.learning_rate, settings.group_size
    ref, tuned = np.asarray(problem.ref, float), _tuned(problem)
    success = np.asarray(problem.success)
    before, after = (float(shares[success == success.max()].sum()) for shares in (ref, np.exp(tuned)))
    changes = [
        _Change(f"groups of {4 * group}", {"group_size": 4 * group}, cost=4.0),
        _Change(f"SFT first: best from {before:.3g} to {after:.3g}", {}, start=tuned),
    ]
    if 0 < eta < 1e300:
        changes.append(_Change(f"learning rate {eta / 4:.3g}", {"learning_rate": eta / 4}))
        changes.append(_Change(f"learning rate {eta * 4:.3g}", {"learning_rate": eta * 4}))
    if settings.beta > 0:
        changes.append(_Change("no KL term", {"beta": 0.0}, limit=True))
        changes.append(_Change(f"KL term β = {settings.beta / 4:.3g}", {"beta": settings.beta / 4}))
    else:
        changes.append(_Change("KL term β = 0.02", {"beta": 0.02}))
    if settings.tpr < 1 or settings.fpr > 0:
        changes.append(_Change("a perfect verifier", {"tpr": 1.0, "fpr": 0.0}, limit=True))
    if _clips(settings):
        changes.append(_Change("no clipping", {"clip_low": 1.0, "clip_high": np.inf}, limit=True))
        wide = min(2 * (settings.clip_high or 0.0), 1.0)
        if settings.clip_high is not None and wide > settings.clip_high:
            changes.append(_Change(f"upper clip at {wide:.3g}", {"clip_high": wide}))
    if settings.staleness:
        changes.append(_Change("fresh rollouts", {"staleness": 0}, limit=True))
    return changes


def _tuned(problem: Problem) -> np.ndarray:
    """`[patterns]`, log policy after SFT on the best pattern: where a rival gains, as much as `qra solve` names."""
    log_s = theory.sft_log_dose(problem) if bool(theory.regime(problem).entangled) else np.inf
    if np.isfinite(log_s):
        return np.asarray(theory.sft_policy(problem, log_s), float)
    ref, success = np.asarray(problem.ref, float), np.asarray(problem.success)
    mix = min(max(1.05 * float(theory.sft_mass_needed(problem)), SFT), 1.0)
    shares = np.where(success == success.max(), ref, 0.0)
    with np.errstate(divide="ignore"):
        return np.log((1 - mix) * ref + mix * shares / shares.sum())


def _clips(settings: Hyperparameters) -> bool:
    off = settings.epochs > 1 or settings.staleness > 0
    return off and (settings.clip_low is not None or settings.clip_high is not None)


def _rows(problem: Problem, settings: Hyperparameters, change: _Change | None = None) -> dict[str, Any]:
    """What may differ between runs that are compiled together."""
    numbers = settings.plain() | ({} if change is None else change.settings)
    tuned = None if change is None else change.start
    row = {name: numbers[name] for name in ("learning_rate", "group_size", "beta", "tpr", "fpr")}
    row["clip_low"] = 1.0 if numbers["clip_low"] is None else numbers["clip_low"]
    row["clip_high"] = np.inf if numbers["clip_high"] is None else numbers["clip_high"]
    dtype = problem.log_ref.dtype
    row = {name: jnp.asarray(value, dtype) for name, value in row.items()}
    if tuned is None:
        return {**row, "start": jnp.log(problem.ref).astype(dtype), "problem": problem}
    # After SFT the KL term is anchored at the new base model.
    start = jnp.asarray(tuned, dtype)
    return {**row, "start": start, "problem": problem.with_ref(start)}


def _one(settings: Hyperparameters, mode: str) -> Callable[..., dict[str, Any]]:
    """One run as a function of key and row."""
    every = -(-settings.steps // RECORDS)
    clips, algorithm, penalty = _clips(settings), settings.trained, REGULARIZERS[settings.penalty]
    # Other surrogates have no ratio to clip.
    clipped = settings.off_policy.surrogate not in ("none", "sapo")

    def run(key: jax.Array, row: dict[str, Any]) -> dict[str, Any]:
        path = measure(
            ("accuracy", "entropy"),
            key,
            row["problem"],
            algorithm=algorithm.with_group_size(row["group_size"]),
            learning_rate=row["learning_rate"],
            reward=verifiable(row["tpr"], row["fpr"]),
            regularizers=[penalty(row["beta"])],
            off_policy=replace(
                settings.off_policy,
                clip=(row["clip_low"], row["clip_high"]) if clips and clipped else None,
                dual_clip=settings.off_policy.dual_clip if clips else None,
                epochs=settings.epochs,
                staleness=settings.staleness,
            ),
            log_policy0=row["start"],
            steps=every * (-(-settings.steps // every)),
            record_every=every,
            mode=mode,
        )
        stats = {name: path.stats[name] for name in ("step", "silent", "clipped")}
        return {"log_policy": path.log_policy, "status": path.status, **path.values, **stats}

    return jax.jit(run)


def _simulator(settings: Hyperparameters, chunk: int) -> Callable[..., Any]:
    return many(_one(settings, "sampled"), block=min(256, chunk), chunk=chunk)


def _band(values: Any) -> np.ndarray:
    """10th percentile, mean and 90th percentile over the runs that are numbers, `[3, times]`; 0 where none is."""
    values = np.asarray(values, float)
    values = np.where(np.isnan(values).all(axis=0), 0.0, values)
    low, high = np.nanpercentile(values, [10, 90], axis=0)
    return np.stack([low, np.nanmean(values, axis=0), high])


def _outcome(
    problem: Problem, best: Any, floor: float, name: str, limit: bool, cost: float, part: Any
) -> Ending:
    ended = np.asarray(part["status"]) == Status.OK
    policy = np.where(ended[:, None], np.exp(np.asarray(part["log_policy"])), 0.0)
    share = policy[:, np.asarray(best)].sum(axis=1)
    other = policy[:, ~np.asarray(best)].max(axis=1, initial=0.0)
    accuracy = policy @ np.asarray(problem.success)
    return Ending(
        name=name,
        limit=limit,
        accuracy=float(accuracy.mean()),
        error=float(accuracy.std() / np.sqrt(max(accuracy.size - 1, 1))),
        found=float((share >= FOUND).mean()),
        lost=float(((share < floor) & (other >= FOUND)).mean()),
        cost=cost,
        diverged=float((~ended).mean()),
    )

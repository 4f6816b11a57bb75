"""What sampled training does to one base model with given hyperparameters, and which change would help.

Thousands of runs of [`train`][qra_jax.training.train] with the settings as they are, and hundreds with each of
a list of single changes. A limit is a change that takes an imperfection away (noise, KL, a stale sampler, …); it
bites by as much accuracy as is won without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from qra_jax import _check, metrics, orbit, theory
from qra_jax.batching import many
from qra_jax.consult import failures as _failures
from qra_jax.consult.changes import Change, changes as _changes
from qra_jax.consult.failures import FOUND, LOST, Failure
from qra_jax.consult.hyperparameters import Hyperparameters
from qra_jax.problem import Problem
from qra_jax.registry import REGULARIZERS
from qra_jax.regularizer import entropy_bonus
from qra_jax.reward import verifiable
from qra_jax.training import measure
from qra_jax.trajectory import Status

RECORDS = 50
"""Times at which the paths are recorded; steps are rounded up to a multiple."""
TIE, NEAR = 0.01, 0.05
"""Parts of the room between base accuracy and the best pattern's success rate: changes that differ by less than
`TIE` are as good as each other, and with less than `NEAR` left nothing bites."""
ALIKE, MOST = 1.05, 1e6
"""Costs up to which rollouts count as equal; draws of a group that are counted at most."""
SHARE = 0.01
"""Share of failing runs from which on a setting does bite, however good the mean."""
CONFIDENCE = 0.95
"""That no change is named where none helps: Bonferroni over the changes tried."""
FLAT = 0.1
"""Nats of pattern entropy under which nothing is left to explore."""
METRICS = ("accuracy", "earned", "entropy", "best", "other")


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
      reward: the same of the reward, as the verifier gives it.
      entropy: the same of the entropy of the pattern choice, nats.
      expected: `[times]`, accuracy of the run without sampling noise.
      silent: mean share of silent groups, `[times - 1]`.
      clipped: mean share of weight that was clipped, `[times - 1]`.
      draws: groups that are drawn for each one that is kept, where silent ones are drawn again, `[times]`; else `None`.
    """

    step: np.ndarray
    accuracy: np.ndarray
    reward: np.ndarray
    entropy: np.ndarray
    expected: np.ndarray
    silent: np.ndarray
    clipped: np.ndarray
    draws: np.ndarray | None = None


@dataclass(frozen=True)
class Advice:
    """What `qra advise` says of one question.

    Attributes:
      problem: the question.
      rewarded: `[patterns]`, mean reward of each pattern, where it is not its success rate.
      settings: the hyperparameters.
      runs: sampled runs of the settings as they are (a quarter as many for each change).
      regime: `"fast"` or `"entangled"`.
      now: how the runs end.
      paths: how they get there.
      expected: final accuracy without sampling noise.
      flat: recorded step from which on mean entropy stays below `FLAT`, or −1 where it ends above.
      log10_steps: steps until the best pattern holds `FOUND` without noise, KL term, clipping or staleness, as
        log10, from the exact orbit; ∞ where it never does (a verifier with TPR ≤ FPR).
      failures: what can go wrong with these settings, with the share of runs in which it does, most frequent first.
      changes: outcomes of single changes, best first.
      first_limit: the limit that costs most accuracy, beyond noise and `TIE`, if any and unless `near`.
      best_change: the change to try that wins most at as many rollouts, beyond noise and `TIE`, if any.
    """

    problem: Problem
    rewarded: np.ndarray | None
    settings: Hyperparameters
    runs: int
    regime: str
    now: Ending
    paths: Paths
    expected: float
    flat: int
    log10_steps: float
    failures: list[Failure]
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
        """The reward of all patterns, where they have one: then nothing can be learnt."""
        if self.top == 0:
            return 0.0
        rates = np.asarray(self.problem.success if self.rewarded is None else self.rewarded)
        return float(rates[0]) if np.ptp(rates) == 0 else None

    @property
    def near(self) -> bool:
        """Whether less than `NEAR` of the room is left, and few runs fail: then nothing bites."""
        safe = all(one.share <= SHARE for one in self.failures)
        return safe and self.now.accuracy >= self.top - NEAR * self.room - 1e-9


def advise(
    key: PRNGKeyArray,
    problem: Problem,
    settings: Hyperparameters | None = None,
    *,
    reward: Sequence[float] | np.ndarray | None = None,
    runs: int = 2048,
) -> Advice:
    """Run the settings and a list of single changes, and say what limits training.

    Args:
      key: PRNG key.
      problem: one question.
      settings: the hyperparameters; by default those of [`Hyperparameters`][].
      reward: `[patterns]`, in [0, 1], mean reward of each pattern where it is not its success rate: of parts for
        format or length, over the largest reward. A rollout gets all of it or nothing, with that mean.
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
    trained, rewarded = problem, None
    if reward is not None:
        rewarded = np.asarray(_check.unit_interval("reward", reward, ndim=1), float)
        _check.same_length("reward", rewarded, "success", problem.success)
        trained = Problem(problem.log_ref, jnp.asarray(rewarded, problem.log_ref.dtype))
    success = np.asarray(problem.success, float)
    best = success == success.max()
    base = float(np.asarray(problem.ref)[best].sum())
    if base == 0:
        raise ValueError("ref: the best pattern has share 0; must be above 0, no reward can raise it")
    each = max(64, runs // 4)
    chunk = each // 2
    records = -(-settings.steps // -(-settings.steps // RECORDS))
    tried = _changes(problem, settings, records, rewarded is not None)
    stale = [change for change in tried if "staleness" in change.settings]
    longer = [change for change in tried if change.length > 1]
    rest = [change for change in tried if change not in stale and change not in longer]
    own_rows = -(-runs // each)
    rows = [_rows(trained, settings)] * own_rows
    rows += [_rows(problem if change.right else trained, settings, change) for change in [*rest, *longer]]
    keys = jax.random.split(key, len(rows) * each)
    stacked = _on_host(lambda *leaves: np.stack(leaves), *rows)
    repeated = _on_host(lambda leaf: np.repeat(leaf, each, axis=0), stacked)
    simulate = _to_host(many(_one(settings, success, "sampled"), block=min(256, chunk), chunk=chunk))
    noiseless = _to_host(jax.jit(jax.vmap(_one(settings, success, "mean"))))
    sampled, exact = simulate(keys, repeated), noiseless(keys[: len(rows)], stacked)
    own, own_exact = _part(sampled, 0, own_rows * each), _part(exact, 0, 1)

    def outcome(name: str, limit: bool, cost: float, part: Any, exact: Any, at: int = -1) -> Ending:
        floor = LOST * min(base, float(exact["best"][0, at]))
        return _outcome(floor, name, limit, cost, part, at)

    outcomes = [outcome("no sampling noise", True, np.inf, own_exact, own_exact)]
    for i, change in enumerate(rest, own_rows):
        part, end = _part(sampled, i * each, (i + 1) * each), _part(exact, i, i + 1)
        at = -1 if change.length == 1 else round(records * change.length)
        outcomes.append(outcome(change.name, change.limit, change.cost, part, end, at))
    for change in stale:
        fresh = replace(settings, **change.settings)
        stale_runs = _to_host(many(_one(fresh, success, "sampled"), block=min(256, chunk), chunk=chunk))
        part = stale_runs(keys[:each], _on_host(lambda leaf: leaf[:each], repeated))
        end = _to_host(jax.jit(jax.vmap(_one(fresh, success, "mean"))))(
            keys[:1], _on_host(lambda leaf: leaf[:1], stacked)
        )
        outcomes.append(outcome(change.name, change.limit, change.cost, part, end))
    end = exact
    for _ in range(3):  # four times the steps are the same steps four times
        end = noiseless(keys[: len(rows)], {**stacked, "start": end["log_policy"]})
    for i, change in enumerate(longer, own_rows + len(rest)):
        part = _part(sampled, i * each, (i + 1) * each)
        for again in range(3):
            more = jax.random.split(jax.random.fold_in(key, 3 * i + again), each)
            first = _on_host(lambda leaf, i=i: leaf[i * each : (i + 1) * each], repeated)
            part = simulate(more, {**first, "start": part["log_policy"]})
        outcomes.append(outcome(change.name, change.limit, change.cost, part, _part(end, i, i + 1)))
    now = outcome("as it is", False, 1.0, own, own_exact)
    outcomes = [_with_draws(one, tried, settings, np.asarray(own["earned"], float)) for one in outcomes]
    outcomes.sort(key=lambda one: -one.accuracy)
    room = float(success.max() - problem.accuracy_ref)
    z = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / len(outcomes))

    def top(limit: bool) -> Ending | None:
        better = [
            one
            for one in outcomes
            if one.limit == limit
            and (limit or one.cost <= ALIKE)
            and one.accuracy - now.accuracy > max(z * float(np.hypot(one.error, now.error)), TIE * room)
        ]
        good = [one for one in better if one.accuracy > better[0].accuracy - TIE * room]
        return min(good, key=lambda one: (0.0 if limit else one.cost, -one.accuracy), default=None)

    path = {name: np.asarray(own[name], float) for name in METRICS}
    entropy = _band(path["entropy"])
    above = np.flatnonzero(entropy[1] >= FLAT)
    flat = np.arange(len(entropy[1]))[above[-1] + 1 if above.size else 0 :]
    step = np.asarray(own["step"][0])
    advice = Advice(
        problem=problem,
        rewarded=rewarded,
        settings=settings,
        runs=own_rows * each,
        regime=theory.regime(problem).name,
        now=now,
        paths=Paths(
            step=step,
            accuracy=_band(path["accuracy"]),
            reward=_band(_seen(settings, path["earned"])),
            entropy=entropy,
            expected=np.asarray(own_exact["accuracy"][0]),
            silent=_band(own["silent"])[1],
            clipped=_band(own["clipped"])[1],
            draws=_draws(settings, path["earned"]),
        ),
        expected=float(own_exact["accuracy"][0, -1]),
        flat=int(step[flat[0]]) if flat.size else -1,
        log10_steps=_log10_steps(problem, settings),
        failures=_failures.of(trained, settings, path, now.lost, outcomes, room, rewarded is not None),
        changes=outcomes,
        first_limit=top(True),
        best_change=top(False),
    )
    if advice.constant is not None:
        return replace(advice, first_limit=None, best_change=None, failures=[])
    return replace(advice, first_limit=None) if advice.near else advice


def _to_host(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose results are NumPy arrays: to cut those up takes no programs."""
    return lambda *args: jax.device_get(function(*args))


def _on_host(change: Callable[..., np.ndarray], *trees: Any) -> Any:
    """Trees of JAX arrays whose leaves are changed by NumPy, which takes no programs."""
    leaves, forms = zip(*map(jax.tree.flatten, trees), strict=True)
    changed = [change(*map(np.asarray, together)) for together in zip(*leaves, strict=True)]
    return jax.tree.unflatten(forms[0], jax.device_put(changed))


def _part(tree: Any, first: int, last: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[first:last], tree)


def _seen(settings: Hyperparameters, reward: Any) -> Any:
    """What the verifier says of a reward."""
    return settings.fpr + (settings.tpr - settings.fpr) * reward


def _draws(settings: Hyperparameters, reward: np.ndarray) -> np.ndarray | None:
    """Groups drawn for each one with both right and wrong rollouts, the median over runs `[times]`."""
    if not settings.trained.resamples_silent:
        return None
    right = _seen(settings, reward)
    mixed = 1 - right**settings.group_size - (1 - right) ** settings.group_size
    with np.errstate(divide="ignore"):
        return np.nanmedian(1 / mixed, axis=0)


def _with_draws(ending: Ending, tried: list[Change], settings: Hyperparameters, earned: np.ndarray) -> Ending:
    """The cost of a change of the group size with the groups that are drawn again, at the rewards of the runs."""
    change = next((one for one in tried if one.name == ending.name and "group_size" in one.settings), None)
    own = _draws(settings, earned)
    if change is None or own is None:
        return ending
    other = _draws(replace(settings, **change.settings), earned)
    assert other is not None
    return replace(
        ending, cost=ending.cost * float(np.mean(np.minimum(other, MOST)) / np.mean(np.minimum(own, MOST)))
    )


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


def _rows(problem: Problem, settings: Hyperparameters, change: Change | None = None) -> dict[str, Any]:
    """What may differ between runs that are compiled together."""
    numbers = settings.plain() | ({} if change is None else change.settings)
    tuned = None if change is None else change.start
    named = ("learning_rate", "group_size", "beta", "entropy_bonus", "tpr", "fpr")
    row = {name: numbers[name] for name in named}
    row["clip_low"] = 1.0 if numbers["clip_low"] is None else numbers["clip_low"]
    row["clip_high"] = np.inf if numbers["clip_high"] is None else numbers["clip_high"]
    dtype = problem.log_ref.dtype
    row = {name: np.asarray(value, dtype) for name, value in row.items()}
    if tuned is None:
        return {**row, "start": np.asarray(problem.log_ref), "problem": problem}
    # After SFT the KL term is anchored at the new base model.
    start = jnp.asarray(tuned, dtype)
    return {**row, "start": start, "problem": problem.with_ref(start)}


def _one(settings: Hyperparameters, success: np.ndarray, mode: str) -> Callable[..., dict[str, Any]]:
    """One run as a function of key and row; the row's problem holds the rewards, `success` the accuracy."""
    every = -(-settings.steps // RECORDS)
    algorithm, penalty = settings.trained, REGULARIZERS[settings.penalty]
    best = success == success.max()
    # Other surrogates have no ratio to clip.
    clipped = settings.off_policy.surrogate not in ("none", "sapo")

    def share(log_policy: jax.Array, where: np.ndarray) -> jax.Array:
        return jnp.sum(jnp.where(jnp.asarray(where), jnp.exp(log_policy), 0.0))

    measured: dict[str, Callable[[jax.Array, Problem], Any]] = {
        "accuracy": lambda log_policy, _: jnp.sum(
            jnp.exp(log_policy) * jnp.asarray(success, log_policy.dtype)
        ),
        "earned": lambda log_policy, problem: metrics.accuracy(log_policy, problem.success),
        "entropy": lambda log_policy, _: metrics.entropy(log_policy),
        "best": lambda log_policy, _: share(log_policy, best),
        "other": lambda log_policy, _: jnp.max(jnp.where(jnp.asarray(best), 0.0, jnp.exp(log_policy))),
    }

    def run(key: jax.Array, row: dict[str, Any]) -> dict[str, Any]:
        path = measure(
            measured,
            key,
            row["problem"],
            algorithm=algorithm.with_group_size(row["group_size"]),
            learning_rate=row["learning_rate"],
            reward=verifiable(row["tpr"], row["fpr"]),
            regularizers=[penalty(row["beta"]), entropy_bonus(row["entropy_bonus"])],
            off_policy=replace(
                settings.off_policy,
                clip=(row["clip_low"], row["clip_high"]) if settings.clips and clipped else None,
                dual_clip=settings.off_policy.dual_clip if settings.clips else None,
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


def _band(values: Any) -> np.ndarray:
    """10th percentile, mean and 90th percentile over the runs that are numbers, `[3, times]`; 0 where none is."""
    values = np.asarray(values, float)
    values = np.where(np.isnan(values).all(axis=0), 0.0, values)
    low, high = np.nanpercentile(values, [10, 90], axis=0)
    return np.stack([low, np.nanmean(values, axis=0), high])


def _outcome(floor: float, name: str, limit: bool, cost: float, part: Any, at: int) -> Ending:
    """How runs stand at one of their recorded times."""
    ended = np.asarray(part["status"]) == Status.OK
    accuracy, share, other = (
        np.where(ended, np.asarray(part[one], float)[:, at], 0.0) for one in ("accuracy", "best", "other")
    )
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

"""Training step by step: the public functions, their checks, and what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, UInt32

from qra_jax import _check, _show, expectation, metrics as _metrics
from qra_jax._pytrees import Function
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.geometry import GEOMETRIES
from qra_jax.off_policy import SEQUENCE_SURROGATES, OffPolicy
from qra_jax.problem import Problem
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward, verifiable
from qra_jax.training import fused
from qra_jax.training.choice import Choice, Flat
from qra_jax.training.loop import Plan
from qra_jax.training.parts import numbers_of, reference_of, simulate, weighing_of
from qra_jax.trajectory import Outcome, Trajectory, outcomes

Optimizer = optax.GradientTransformation | Callable[[Any], optax.GradientTransformation]
Metric = Callable[[Array, Problem], Any]
MODES = ("sampled", "mean", "sde")
RECORDED = ("step", "diverged", "reward", "silent", "clipped")
_REINFORCE, _VERIFIABLE, _ON_POLICY, _FLAT = reinforce(), verifiable(), OffPolicy(), Flat()

METRICS: dict[str, Metric] = {
    "accuracy": lambda log_policy, problem: _metrics.accuracy(log_policy, problem.success),
    "best": lambda log_policy, problem: jnp.exp(log_policy[problem.best]),
    "entropy": lambda log_policy, problem: _metrics.entropy(log_policy),
    "herfindahl": lambda log_policy, problem: _metrics.herfindahl(log_policy),
    "kl": lambda log_policy, problem: _metrics.kl(log_policy, problem.log_ref),
}
"""Metrics known to [`measure`][] by name: accuracy ρ, π(r*), entropy, Σπ², KL(π‖π_ref)."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Measurements(Outcome):
    """A training run, as its metrics saw it: what is kept where policies would be too many.

    Attributes:
      time: `[times]`, as in a `Trajectory`.
      values: the metrics by name, leading axis `[times]`.
      log_policy: `[patterns]`, log π at the end.
      status: a `Status`.
      stats: as in [`train`][].
    """

    time: Float[Array, "*batch times"]
    values: dict[str, Any]
    log_policy: Float[Array, "*batch patterns"]
    status: Int[Array, "*batch"]
    stats: dict[str, Array]

    def __repr__(self) -> str:
        said = f"Measurements({', '.join(self.values)} at {self.time.shape[-1]} times"
        return f"{said}, {outcomes(self.status)})" if _show.concrete(self.status) else f"{said})"


def train(
    key: PRNGKeyArray | UInt32[Array, " words"],
    problem: Problem,
    *,
    steps: int,
    algorithm: Algorithm = _REINFORCE,
    optimizer: Optimizer = optax.sgd,
    learning_rate: ArrayLike | None = None,
    reward: Reward = _VERIFIABLE,
    regularizers: Sequence[Regularizer] = (),
    geometry: str = "softmax",
    mode: str = "sampled",
    off_policy: OffPolicy = _ON_POLICY,
    features: Float[Array, "*questions patterns features"] | None = None,
    log_policy0: Float[Array, "*questions patterns"] | None = None,
    record_every: int = 1,
) -> Trajectory:
    r"""Train a policy by discrete updates.

    Each of `steps` steps draws a group of rollouts from the behaviour policy μ, lets the algorithm weigh it, and
    `epochs` times hands the optimiser the gradient

    $$ g = \frac1G\sum_i A_i\,f(\pi(r_i)/\mu(r_i))\,(e_{r_i}-\pi) + \text{regularizers}, $$

    with f the factor of the off-policy surrogate. One call is one run; `jax.vmap` it over keys and over anything else
    that is an array, and use [`many`][] for large batches. Learning rate, group size (see
    [`Algorithm.with_group_size`][]), the numbers of `off_policy`, noise rates and the parameters of algorithm, reward
    and regularizers may be traced, and changing them compiles nothing.

    Args:
      key: PRNG key; equal keys give equal runs, however runs are batched. Not used by `mode="mean"`.
      problem: the question, or several: arrays with a leading axis `[questions]`. Without `features`, and under an
        algorithm that is not scaled by its batch, they are independent runs that share the settings.
      steps: number of optimiser steps divided by the epochs, ≥ 0.
      algorithm: how rewards become weights, with the number G of rollouts a step for each question. Without a group
        size, `mode="mean"` is the limit G → ∞.
      optimizer: an optax transformation; or a function that makes one from `learning_rate`, such as
        `optax.adam`, which then need not be compiled again for another rate.
      learning_rate: η ≥ 0, for such a function.
      reward: what a rollout earns.
      regularizers: terms added to the gradient: exactly, or as the rollouts estimate them.
      geometry: `"softmax"`, or `"natural"` for the natural gradient of every step.
      mode: `"sampled"`; `"mean"`: the exact expected gradient given the current policy, without noise (for an algorithm
        scaled by its batch: of a large batch of such questions); `"sde"`: that plus normal noise with the exact
        covariance of the sampled gradient. Only `"mean"` is differentiable.
      off_policy: where rollouts come from, how often they are used and how their age is corrected.
      features: `[questions, patterns, features]`, Φ of a policy with shared parameters,
        θ_q = log π_ref,q + Φ_q w, trained from w = 0; gradients are summed over questions.
      log_policy0: `[patterns]`, log π to start from; default: the reference policy.
      record_every: steps between records; must divide `steps`. The start is recorded, too.

    Returns:
      A [`Trajectory`][] with time = η · steps (steps, where `optimizer` came ready-made). `stats` has `step`, and since
      the record before, `[times - 1]`: `reward`, mean reward of a rollout; `silent`, share of groups with equal rewards
      (after redrawing); `clipped`, share of absolute weight that the surrogate took away. `status` is `Status.DIVERGED`
      once a number has overflown (`stats["diverged"]`: the first record after it, in steps), `Status.INVALID` for a
      start, reward or penalty that is not finite and for traced numbers out of range. Several questions give every
      array a leading axis `[questions]`.

    Raises:
      ValueError: an argument out of range, a combination that has no meaning, or a derivative of a run with noise.

    Reference: Shao et al., arXiv 2402.03300 (GRPO); Schulman et al., arXiv 1707.06347 (clipping).

    >>> import jax, optax
    >>> problem = Problem.from_probs(ref=[.5, .5], success=[1., 0.])
    >>> run = train(jax.random.key(0), problem, steps=200, learning_rate=.5, algorithm=reinforce(group_size=4))
    >>> bool(run.accuracy[-1] > .95)
    True
    """
    arguments = {name: value for name, value in locals().items() if name not in ("key", "problem")}
    time, run, problem = _run((), key, problem, **arguments)
    return Trajectory(
        time=time,
        log_policy=run["log_policy"],
        success=problem.success,
        status=run["status"],
        stats=run["stats"],
    )


def measure(
    metrics: str | Sequence[str] | Mapping[str, Metric],
    key: PRNGKeyArray | UInt32[Array, " words"],
    problem: Problem,
    **options: Any,
) -> Measurements:
    """Train as [`train`][] does, and keep metrics of the policy in place of the policy itself.

    Args:
      metrics: names out of `METRICS`, or functions `(log_policy[patterns], problem) -> array` by name.
      key: PRNG key.
      problem: the question, or several.
      **options: those of [`train`][].

    Returns:
      [`Measurements`][]; several questions give every array a leading axis `[questions]`.

    Raises:
      ValueError: an unknown metric, or as for [`train`][].

    >>> import jax
    >>> problem = Problem.from_probs(ref=[.5, .5], success=[1., 0.])
    >>> options = {"steps": 9, "learning_rate": .5, "algorithm": reinforce(group_size=4)}
    >>> measure(["accuracy"], jax.random.key(0), problem, **options).values["accuracy"].shape
    (10,)
    """
    time, run, _ = _run(tuple(_named(metrics).items()), key, problem, **options)
    return Measurements(time, run["metrics"], run["log_policy"][..., -1, :], run["status"], run["stats"])


def _run(
    metrics: tuple[tuple[str, Metric], ...],
    key: Any,
    problem: Problem,
    *,
    steps: int,
    algorithm: Algorithm = _REINFORCE,
    optimizer: Optimizer = optax.sgd,
    learning_rate: Any = None,
    reward: Reward = _VERIFIABLE,
    regularizers: Sequence[Regularizer] = (),
    geometry: str = "softmax",
    mode: str = "sampled",
    off_policy: OffPolicy = _ON_POLICY,
    features: Any = None,
    log_policy0: Any = None,
    record_every: int = 1,
    choice: Choice = _FLAT,
    log_ref: Any = None,
    credit: dict[str, Any] | None = None,
) -> tuple[Array, dict[str, Any], Problem]:
    """Check the arguments of [`train`][] and run them: times, what was seen, and the problem."""
    _check.key(key)
    _check.problem(problem)
    _check.part("algorithm", algorithm, Algorithm)
    _check.part("reward", reward, Reward)
    _check.part("off_policy", off_policy, OffPolicy)
    terms = _check.parts("regularizers", regularizers, Regularizer)
    _check.integer("steps", steps, low=0)
    _check.integer("record_every", record_every, low=1)
    if steps % record_every:
        raise ValueError(f"record_every: {record_every}; must divide steps = {steps}")
    _check.choice("geometry", geometry, GEOMETRIES)
    _check.choice("mode", mode, MODES)
    made = hasattr(optimizer, "init") and hasattr(optimizer, "update")
    if not made and not callable(optimizer):
        raise ValueError(
            f"optimizer: {optimizer!r}; must be an optax transformation or a function that makes one"
        )
    if made and learning_rate is not None:
        raise ValueError("learning_rate: given with a ready-made optimizer; must be None")
    if not made:
        if learning_rate is None:
            raise ValueError("learning_rate: missing; must be zero or positive, and finite")
        _check.nonnegative("learning_rate", learning_rate)
    log_ref = problem.log_ref if log_ref is None else log_ref
    dtype, shape = log_ref.dtype, log_ref.shape
    if len(shape) > 2:
        raise ValueError(
            f"problem: shape {shape}; must be [patterns] or [questions, patterns]; vmap the rest"
        )
    number = lambda value: None if value is None else jnp.asarray(value, dtype)  # noqa: E731
    log_policy0, features = number(log_policy0), number(features)
    behavior = number(off_policy.behavior)
    numbers = numbers_of(off_policy, reference_of(terms))
    for name, value in {
        "learning_rate": learning_rate,
        "group_size": algorithm.size,
        "correlation": off_policy.correlation,
        **numbers,
    }.items():
        if value is not None and jnp.ndim(value):
            raise ValueError(
                f"{name}: shape {jnp.shape(value)}; must be one number, jax.vmap train over several"
            )
    if features is not None:
        if len(shape) != 2 or features.shape[:-1] != shape:
            raise ValueError(
                f"features: shape {features.shape}; must be [questions, patterns, features] for a problem of "
                f"shape {shape}"
            )
        if geometry == "natural":
            raise ValueError("geometry: 'natural' with features; must be 'softmax'")
    for name, value in (("log_policy0", log_policy0), ("behavior", behavior)):
        if value is not None and value.shape != shape:
            raise ValueError(f"{name}: shape {value.shape}; must be {shape}")
    if behavior is not None and isinstance(
        choice, Flat
    ):  # steps are a distribution in each state, see the status
        _check.log_distribution("behavior", behavior)
    _check_mode(mode, reward, algorithm, off_policy, problem, terms)
    reference = reference_of(terms)
    plan = Plan(
        steps=steps,
        record_every=record_every,
        mode=mode,
        geometry=geometry,
        group=algorithm.group_size,
        weighing=weighing_of(algorithm, reward, problem),
        epochs=off_policy.epochs,
        surrogate=off_policy.surrogate,
        correction=off_policy.correction,
        staleness=off_policy.staleness,
        held=off_policy.schedule == "held",
        stale_gradient=off_policy.of == "gradient" and off_policy.staleness > 0,
        on_policy=off_policy.on_policy,
        reference_every=None if reference is None else reference.every,
        optimizer=optimizer if not made else _Ready(optimizer),
        ready_made=made,
        metrics=tuple((name, Function(function)) for name, function in metrics),
        choice=choice,
        fused=mode == "sampled" and fused.available(),
    )
    if not made:
        plan = replace(plan, optimizer=Function(optimizer))  # pyright: ignore[reportArgumentType]
    settings = {
        "correlation": number(off_policy.correlation),
        "learning_rate": number(learning_rate),
        "off_policy": {name: number(value) for name, value in numbers.items()},
        "features": features,
        "credit": credit or {},
    }
    objects = jax.tree.map(jnp.asarray, (algorithm, reward, terms))
    start = log_ref if log_policy0 is None else log_policy0
    run = partial(_train, plan, settings, objects)
    if len(shape) == 1 or features is not None or algorithm.batch is not None:
        time, found = run(key, problem, log_ref, start, behavior)
        return time, found, problem
    time, found = jax.vmap(run, in_axes=(0, 0, 0, 0, None if behavior is None else 0))(
        jax.random.split(key, len(log_ref)), problem, log_ref, start, behavior
    )
    return time, found, problem


class _Ready:
    """A ready-made optimiser as part of a compile key: equal where both of its functions are."""

    def __init__(self, transform: Any) -> None:
        self.init, self.update = transform.init, transform.update
        self.key = Function(transform.init), Function(transform.update)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ready) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _constant(mode: str, arguments: Any) -> Any:
    """What a run with noise depends on, as it is: the drawn rollouts jump where it changes."""
    return arguments


@_constant.defjvp
def _refuse(mode: str, arguments: Any, tangents: Any) -> Any:
    raise ValueError(
        f"mode: {mode!r} has no derivative; must be 'mean' to be differentiated, or its arguments constant "
        "(jax.lax.stop_gradient)"
    )


@partial(jax.jit, static_argnums=0)
def _train(
    plan: Plan,
    settings: dict[str, Any],
    objects: Any,
    key: Array,
    problem: Problem,
    log_ref: Array,
    start: Array,
    behavior: Array | None,
) -> tuple[Array, dict[str, Any]]:
    if plan.mode != "mean":
        settings, objects, problem, log_ref, start, behavior = _constant(
            plan.mode, (settings, objects, problem, log_ref, start, behavior)
        )
    algorithm, reward, regularizers = objects
    questions = problem.log_ref.shape[:-1]
    seed = jax.random.bits(key, (2, *questions), jnp.uint32)
    settings = {**settings, "seed": seed, "log_ref": log_ref, "start": start, "behavior": behavior}
    found = simulate(plan, algorithm, reward, regularizers, problem, settings)
    step = jnp.arange(0, plan.steps + 1, plan.record_every)
    rate = settings["learning_rate"]
    time = step.astype(start.dtype) * (1.0 if rate is None else rate)
    log_policy, seen, stats = jnp.moveaxis(found["log_policy"], 1, -1), found["metrics"], found["stats"]
    whole = {"step": step, "diverged": found["diverged"]}
    if questions:  # [times, questions, patterns] and the like: questions to the front
        log_policy = jnp.moveaxis(log_policy, 1, 0)
        stats, seen = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), (stats, seen))
        time, whole = jax.tree.map(lambda x: jnp.broadcast_to(x, (*questions, *x.shape)), (time, whole))
    status = jnp.broadcast_to(found["status"], questions)
    return time, {"log_policy": log_policy, "metrics": seen, "status": status, "stats": {**whole, **stats}}


def _named(metrics: str | Sequence[str] | Mapping[str, Metric]) -> dict[str, Metric]:
    """Metrics by name."""
    if not isinstance(metrics, Mapping):
        names = (metrics,) if isinstance(metrics, str) else metrics
        return {_check.choice("metrics", name, tuple(METRICS)): METRICS[name] for name in names}
    for name in metrics:
        if name in RECORDED:
            raise ValueError(f"metrics: {name!r} is recorded anyway; must be another name than {RECORDED}")
    return dict(metrics)


def _check_mode(
    mode: str,
    reward: Reward,
    algorithm: Algorithm,
    off_policy: OffPolicy,
    problem: Problem,
    terms: Sequence[Regularizer],
) -> None:
    """What each mode, and each combination of parts, cannot do."""
    group, several = algorithm.group_size, problem.log_ref.ndim == 2
    if mode == "sampled":
        expectation.check_group(algorithm, reward, problem, group)
        if group is None:
            raise ValueError(
                f"group_size: None; sampled training needs a number of rollouts, give one to {algorithm.name}"
            )
    elif mode == "mean":
        way = expectation.kind(algorithm, reward, problem, group)
        limit = group is None or way == "real_clock"
        if limit and not off_policy.on_policy:
            raise ValueError(
                "mode: 'mean' off-policy or with several epochs; needs a finite group_size and a reward whose groups "
                "can be enumerated"
            )
    elif group is None or not expectation.counts_suffice(algorithm, reward, problem):
        raise ValueError("mode: 'sde'; needs a finite group_size and a binary reward of single rollouts")
    elif off_policy.epochs > 1 or off_policy.clip is not None or off_policy.surrogate not in ("clip", "none"):
        raise ValueError("mode: 'sde'; needs epochs=1 and no clip")
    elif off_policy.dual_clip is not None or off_policy.mask_old_negatives is not None:
        raise ValueError(
            "mode: 'sde'; needs weights without a sign, so no dual_clip and no mask_old_negatives"
        )
    elif algorithm.batch is not None or algorithm.greedy_baseline:
        raise ValueError(f"mode: 'sde' with {algorithm.name}; must be 'sampled' or 'mean'")
    if algorithm.batch is not None and not several:
        raise ValueError(
            f"algorithm: {algorithm.name} is scaled by a batch of questions; the problem must be stacked, "
            "[questions, patterns]"
        )
    if algorithm.batch is not None and algorithm.size is not None:
        raise ValueError(f"group_size: traced with {algorithm.name}; must be a static whole number")
    if algorithm.pairs is not None and not (off_policy.on_policy and off_policy.temperature is None):
        raise ValueError(
            f"off_policy: {off_policy} with {algorithm.name}; must be on-policy, pairs have no ratio"
        )
    reference = reference_of(terms)
    if algorithm.pairs is not None and reference is not None:
        raise ValueError(
            f"reference: moves, with {algorithm.name}; must be None, its pairs are weighed against π_ref"
        )
    if off_policy.behavior is not None and not reward.fixed and not reward.by_vote:
        raise ValueError(
            f"behavior: given with the reward {reward.name!r}, which depends on the policy; must be None, or the "
            "reward one that does not"
        )
    if mode == "sde" and any(term.estimate != "exact" for term in terms):
        raise ValueError("estimate: of samples, with mode='sde'; must be 'exact'")
    if off_policy.surrogate == "none" and any(term.estimate == "corrected" for term in terms):
        raise ValueError("estimate: 'corrected' with surrogate 'none'; must be 'samples', there is no ratio")
    if off_policy.surrogate in SEQUENCE_SURROGATES:
        raise ValueError(
            f"surrogate: {off_policy.surrogate!r}; must be 'clip' in the tabular model, whose answers have one decision"
        )
    if off_policy.correction_level == "sequence":
        raise ValueError(
            "correction_level: 'sequence'; must be 'token' in the tabular model, whose answers have one decision"
        )
    if off_policy.correlation is None:
        return
    if "tpr" not in reward.params:
        raise ValueError(f"correlation: given with the reward {reward.name!r}; must be 'verifiable'")
    if mode == "sde" or (mode == "mean" and group is None):
        raise ValueError(
            f"correlation: given with mode={mode!r} and group_size {group}; must be None, or mode 'sampled' or 'mean' "
            "with a finite group"
        )
    if algorithm.resamples_silent:
        raise ValueError(f"correlation: given with {algorithm.name}, which draws silent groups again")
    if (
        not expectation.counts_suffice(algorithm, reward, problem)
        or algorithm.batch
        or algorithm.greedy_baseline
    ):
        raise ValueError(f"correlation: given with {algorithm.name}; must be None")

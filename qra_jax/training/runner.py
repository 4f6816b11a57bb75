"""Training step by step: the public function, its checks, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, UInt32

from qra_jax import _check, metrics as _metrics
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.geometry import GEOMETRIES
from qra_jax.problem import Problem
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward, verifiable
from qra_jax.training.loop import Plan
from qra_jax.training.parts import simulate
from qra_jax.trajectory import Trajectory

Optimizer = optax.GradientTransformation | Callable[[Any], optax.GradientTransformation]
Metric = Callable[[Array, Problem], Any]
MODES = ("sampled", "mean", "sde")
RECORDED = ("step", "diverged", "reward", "silent", "clipped")
_REINFORCE, _VERIFIABLE = reinforce(), verifiable()

METRICS: dict[str, Metric] = {
    "accuracy": lambda log_policy, problem: _metrics.accuracy(log_policy, problem.success),
    "best": lambda log_policy, problem: jnp.exp(log_policy[problem.best]),
    "entropy": lambda log_policy, problem: _metrics.entropy(log_policy),
    "herfindahl": lambda log_policy, problem: _metrics.herfindahl(log_policy),
    "kl": lambda log_policy, problem: _metrics.kl(log_policy, problem.log_ref),
}
"""Metrics known to [`train`][] by name: accuracy ρ, π(r*), entropy, Σπ², KL(π‖π_ref)."""


@dataclass(frozen=True)
class Staleness:
    """How far the rollouts lag behind the policy that learns from them.

    Attributes:
      steps: S ≥ 0.
      schedule: `"delayed"`: at every step the policy of S steps ago; `"held"`: the policy is handed to the
        sampler every S steps and kept in between.
      of: `"rollouts"`: only they are old; `"gradient"`: the whole gradient, penalties too, is taken at the old
        policy.

    Raises:
      ValueError: S < 0, or an unknown name.
    """

    steps: int = 0
    schedule: str = "delayed"
    of: str = "rollouts"

    def __post_init__(self) -> None:
        _check.integer("staleness", self.steps, low=0)
        _check.choice("staleness.schedule", self.schedule, ("delayed", "held"))
        _check.choice("staleness.of", self.of, ("rollouts", "gradient"))


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
    group_size: ArrayLike | None = None,
    epochs: int = 1,
    clip: ArrayLike | tuple[ArrayLike | None, ArrayLike | None] | None = None,
    importance: bool = True,
    temperature: ArrayLike | None = None,
    staleness: int | Staleness = 0,
    behavior: Float[Array, "*questions patterns"] | None = None,
    correlation: ArrayLike | None = None,
    features: Float[Array, "*questions patterns features"] | None = None,
    log_policy0: Float[Array, "*questions patterns"] | None = None,
    record_every: int = 1,
    metrics: Sequence[str] | Mapping[str, Metric] | None = None,
) -> Trajectory:
    r"""Train one policy for some steps with any optax optimiser.

    Each step draws G rollouts from a behaviour policy μ (the policy itself, unless it is tempered, stale or
    given), weighs them, and for each inner epoch hands the optimiser the gradient

    $$ g = \frac1G\sum_i A_i\,\mathrm{ratio}_i\,(e_{r_i}-\pi) + \text{regularizers},\qquad
       \mathrm{ratio}_i = \pi(r_i)/\mu(r_i), $$

    without the rollouts that are clipped: A > 0 and ratio > 1 + ε_high, or A < 0 and ratio < 1 − ε_low.
    One call is one run; `jax.vmap` it over keys and over anything else that is an array, and use [`many`][] for
    large batches. Learning rate, group size, clip range, temperature, noise rates and the parameters of
    algorithm, reward and regularizers may be traced, and changing them compiles nothing; a new ready-made
    optimiser does.

    Args:
      key: PRNG key; equal keys give equal runs, however runs are batched. Not used by `mode="mean"`.
      problem: the question, or several: arrays with a leading axis `[questions]`. Without `features` they are
        independent runs that share the settings.
      steps: number of optimiser steps divided by `epochs`, ≥ 0.
      algorithm: how rewards become weights.
      optimizer: an optax transformation; or a function that makes one from `learning_rate`, such as
        `optax.adam`, which then need not be compiled again for another rate.
      learning_rate: η ≥ 0, for such a function.
      reward: what a rollout earns.
      regularizers: terms added to the gradient, exactly (not estimated from the rollouts).
      geometry: `"softmax"`, or `"natural"` for the natural gradient of every step.
      mode: `"sampled"`; `"mean"`: the exact expected gradient given the current policy, without noise; `"sde"`:
        that plus normal noise with the exact covariance of the sampled gradient. Only `"mean"` is
        differentiable; for real-valued rewards it takes the standard deviation of an infinite group.
      group_size: G ≥ 1, rollouts a step for each question; left out, `algorithm.group_size`, which is the upper
        limit where both are given (padding then takes the place of the others; a group too small for its
        baseline, one rollout or fewer than k for pass@k, weighs nothing). With neither, `mode="mean"` is the
        limit G → ∞.
      epochs: gradient steps on the same rollouts, ≥ 1.
      clip: ε in [0, 1], or `(ε_low, ε_high)`, either of which may be `None`; no clipping where left out.
      importance: multiply by the ratio; without, old rollouts count as if they were new.
      temperature: of the rollouts, T > 0: μ ∝ π^{1/T}; of those from `behavior`, too.
      staleness: age S of the rollouts in steps, or a [`Staleness`][].
      behavior: `[patterns]`, log μ where rollouts always come from a policy of their own (off-policy).
      correlation: in [0, 1], chance that one draw of the verifier's error decides for the whole group (a
        verifier with moods); the error rates are those of `reward`, which must be `verifiable`.
      features: `[questions, patterns, features]`, Φ of a policy with shared parameters,
        θ_q = log π_ref,q + Φ_q w, trained from w = 0; gradients are summed over questions.
      log_policy0: `[patterns]`, log π to start from; the reference policy where left out.
      record_every: steps between records; must divide `steps`. The start is recorded, too.
      metrics: what to record in place of the policy: names out of `METRICS`, or functions
        `(log_policy[patterns], problem) -> array` by name.

    Returns:
      A [`Trajectory`][] with time = η · steps (steps, where `optimizer` came ready-made). With `metrics`, it
      holds the last policy only, and `stats` the metrics, `[times]` each. `stats` also has `step`, and since the
      record before, `[times - 1]`: `reward`, mean reward of a rollout; `silent`, share of groups with equal
      rewards (after redrawing); `clipped`, share of absolute weight that was clipped. `status` is
      `Status.DIVERGED` once a number has overflown (`stats["diverged"]`: the first record after it, in steps),
      `Status.INVALID` for a start, reward or penalty that is not finite and for traced numbers out of range.
      Several questions give every array a leading axis `[questions]`.

    Raises:
      ValueError: an argument out of range, a combination that has no meaning, or a derivative of a run with noise.

    Reference: Shao et al., arXiv 2402.03300 (GRPO); Schulman et al., arXiv 1707.06347 (clipping).

    >>> import jax, optax
    >>> problem = Problem.from_probs(ref=[.5, .5], success=[1., 0.])
    >>> run = train(jax.random.key(0), problem, steps=200, learning_rate=.5, group_size=4)
    >>> bool(run.accuracy[-1] > .95)
    True
    """
    _check.key(key)
    _check.problem(problem)
    _check.part("algorithm", algorithm, Algorithm)
    _check.part("reward", reward, Reward)
    terms = _check.parts("regularizers", regularizers, Regularizer)
    _check.integer("steps", steps, low=0)
    _check.integer("epochs", epochs, low=1)
    _check.integer("record_every", record_every, low=1)
    if steps % record_every:
        raise ValueError(f"record_every: {record_every}; must divide steps = {steps}")
    _check.choice("geometry", geometry, GEOMETRIES)
    _check.choice("mode", mode, MODES)
    stale = staleness if isinstance(staleness, Staleness) else Staleness(staleness)
    made = hasattr(optimizer, "init") and hasattr(optimizer, "update")
    if not made and not callable(optimizer):
        raise ValueError(
            f"optimizer: {optimizer!r}; must be an optax transformation or a function that makes one"
        )
    low, high = _clip(clip, importance)
    numbers = {
        "learning_rate": learning_rate,
        "group_size": group_size,
        "clip (low)": low,
        "clip (high)": high,
    }
    for name, value in {**numbers, "temperature": temperature, "correlation": correlation}.items():
        if value is not None and jnp.ndim(value):
            raise ValueError(
                f"{name}: shape {jnp.shape(value)}; must be one number, jax.vmap train over several"
            )
    if made and learning_rate is not None:
        raise ValueError("learning_rate: given with a ready-made optimizer; must be left out")
    if not made:
        if learning_rate is None:
            raise ValueError("learning_rate: missing; must be zero or positive, and finite")
        _check.nonnegative("learning_rate", learning_rate)
    dtype = problem.log_ref.dtype
    shape = problem.log_ref.shape
    group, size = _group(algorithm, group_size)
    log_policy0, behavior, features = (
        None if value is None else jnp.asarray(value, dtype) for value in (log_policy0, behavior, features)
    )
    if temperature is not None:
        _check.positive("temperature", temperature)
    if correlation is not None:
        _check.unit_interval("correlation", correlation)
        if "tpr" not in reward.params:
            raise ValueError(f"correlation: given with the reward {reward.name!r}; must be 'verifiable'")
        if mode == "sde":
            raise ValueError("correlation: given with mode='sde'; must be left out")
        if algorithm.resamples_silent:
            raise ValueError(f"correlation: given with {algorithm.name}, which draws silent groups again")
    on_policy = stale.steps == 0 and temperature is None and behavior is None
    _check_mode(mode, reward, group, on_policy, epochs, (low, high), algorithm)
    if behavior is not None and stale.steps:
        raise ValueError(f"staleness: {stale.steps} with a behavior policy of its own; must be 0")
    if stale.steps and stale.of == "gradient" and epochs > 1:
        raise ValueError(f"epochs: {epochs} with a stale gradient; must be 1")
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
    named = _named(metrics)
    plan = Plan(
        steps=steps,
        record_every=record_every,
        epochs=epochs,
        mode=mode,
        geometry=geometry,
        group=group,
        importance=importance and not (on_policy and epochs == 1),
        staleness=stale.steps,
        held=stale.schedule == "held",
        stale_gradient=stale.of == "gradient" and stale.steps > 0,
        optimizer=optimizer,
        ready_made=made,
        metrics=tuple(named.items()),
    )
    number = lambda value: None if value is None else jnp.asarray(value, dtype)  # noqa: E731
    settings = {
        "size": number(size),
        "low": number(low),
        "high": number(high),
        "temperature": number(temperature),
        "correlation": number(correlation),
        "learning_rate": number(learning_rate),
        "features": features,
    }
    objects = jax.tree.map(jnp.asarray, (algorithm, reward, terms))
    start = problem.log_ref if log_policy0 is None else log_policy0
    run = partial(_train, plan, settings, objects)
    if len(shape) == 1 or features is not None:
        return run(key, problem, start, behavior)
    if len(shape) != 2:
        raise ValueError(
            f"problem: shape {shape}; must be [patterns] or [questions, patterns]; vmap the rest"
        )
    return jax.vmap(run, in_axes=(0, 0, 0, None if behavior is None else 0))(
        jax.random.split(key, shape[0]), problem, start, behavior
    )


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
    start: Array,
    behavior: Array | None,
) -> Trajectory:
    if plan.mode != "mean":
        settings, objects, problem, start, behavior = _constant(
            plan.mode, (settings, objects, problem, start, behavior)
        )
    algorithm, reward, regularizers = objects
    questions = problem.log_ref.shape[:-1]
    seed = jax.random.bits(key, (2, *questions), jnp.uint32)
    settings = {**settings, "seed": seed, "start": start, "behavior": behavior}
    found = simulate(plan, algorithm, reward, regularizers, problem, settings)
    step = jnp.arange(0, plan.steps + 1, plan.record_every)
    rate = settings["learning_rate"]
    time = step.astype(start.dtype) * (1.0 if rate is None else rate)
    if plan.metrics:
        time = time[-1:]
    log_policy, stats = jnp.moveaxis(found["log_policy"], 1, -1), found["stats"]
    whole = {"step": step, "diverged": found["diverged"]}
    if questions:  # [times, questions, patterns] and the like: questions to the front
        log_policy = jnp.moveaxis(log_policy, 1, 0)
        stats = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), stats)
        time, whole = jax.tree.map(lambda x: jnp.broadcast_to(x, (*questions, *x.shape)), (time, whole))
    return Trajectory(
        time=time,
        log_policy=log_policy,
        success=problem.success,
        status=jnp.broadcast_to(found["status"], questions),
        stats={**whole, **stats},
    )


def _named(metrics: Sequence[str] | Mapping[str, Metric] | None) -> dict[str, Metric]:
    """Metrics by name."""
    if not isinstance(metrics, Mapping):
        names = (metrics,) if isinstance(metrics, str) else metrics or ()
        return {_check.choice("metrics", name, tuple(METRICS)): METRICS[name] for name in names}
    for name in metrics:
        if name in RECORDED:
            raise ValueError(f"metrics: {name!r} is recorded anyway; must be another name than {RECORDED}")
    return dict(metrics)


def _group(algorithm: Algorithm, group_size: Any) -> tuple[int | None, Any]:
    """Most rollouts in a group, and their number where it may be smaller."""
    most = algorithm.group_size
    if group_size is None:
        return most, None
    if isinstance(group_size, Tracer):
        if most is None:
            raise ValueError(
                "group_size: traced; give the algorithm the largest one, as in grpo(64) or "
                "replace(reinforce(), group_size=64)"
            )
        return most, group_size
    number = float(group_size)
    size = _check.integer("group_size", int(number) if number.is_integer() else number, low=1)
    if most is None:
        return size, None
    if size > most:
        raise ValueError(f"group_size: {size}; must be at most {most}, the group size of {algorithm.name}")
    return most, size


def _clip(clip: Any, importance: bool) -> tuple[Any, Any]:
    if clip is None:
        return None, None
    low, high = clip if isinstance(clip, tuple) else (clip, clip)
    for name, value in (("clip (low)", low), ("clip (high)", high)):
        if value is not None:
            _check.unit_interval(name, value)
    if not importance:
        raise ValueError(f"clip: {clip} with importance=False; must be left out, there is no ratio to clip")
    return low, high


def _check_mode(
    mode: str,
    reward: Reward,
    group: int | None,
    on_policy: bool,
    epochs: int,
    clip: tuple[Any, Any],
    algorithm: Algorithm,
) -> None:
    """What each mode cannot do."""
    if not reward.binary and algorithm.resamples_silent and mode == "sampled":
        raise ValueError(
            f"reward: {reward.name!r} with {algorithm.name}; must be binary to draw silent groups again"
        )
    if mode == "sampled" and group is None:
        raise ValueError("group_size: None; sampled training needs a number of rollouts, 1 or above")
    if mode == "sde" and (group is None or not reward.binary):
        raise ValueError("mode: 'sde'; needs a finite group_size and a binary reward")
    if mode == "sde" and (epochs > 1 or clip != (None, None)):
        raise ValueError("mode: 'sde'; needs epochs=1 and no clip")
    if mode == "mean" and (group is None or not reward.binary):
        if not on_policy or epochs > 1:
            raise ValueError(
                "mode: 'mean' off-policy or with several epochs; needs a finite group_size and a binary reward"
            )
        if not reward.binary and algorithm.real_clock is None:
            raise ValueError(
                f"algorithm: {algorithm.name} has no clock for the real-valued reward {reward.name!r}; "
                "must be one with a real_clock, such as REINFORCE, RLOO, Dr.GRPO, GRPO or DAPO"
            )

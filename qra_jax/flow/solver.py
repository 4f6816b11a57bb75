"""Flows solved as ordinary differential equations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, ArrayLike, Float

from qra_jax import _check, _programs
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.flow import event as events, reverse
from qra_jax.flow.system import State, System, answer_system, pattern_system, sft_system
from qra_jax.flow.unchecked import diffeqsolve
from qra_jax.problem import Problem
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward, verifiable
from qra_jax.trajectory import Status, Trajectory

Patterns = Float[Array, " patterns"]
_REINFORCE, _VERIFIABLE = reinforce(), verifiable()
_STATIC = ("geometry", "train_answers", "event", "solver", "max_steps", "adjoint")


def solve(
    problem: Problem,
    *,
    ts: Any,
    algorithm: Algorithm = _REINFORCE,
    reward: Reward = _VERIFIABLE,
    regularizers: Sequence[Regularizer] = (),
    geometry: str = "softmax",
    log_policy0: Patterns | None = None,
    train_answers: bool = False,
    event: str | None = None,
    target: ArrayLike = 0.99,
    solver: diffrax.AbstractSolver | None = None,
    stiff: bool = False,
    rtol: ArrayLike | None = None,
    atol: ArrayLike | None = None,
    max_steps: int = 4096,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> Trajectory:
    r"""Solve the gradient flow of expected on-policy training, $\dot\theta$ = [`drift`][], from t = 0.

    Args:
      problem: the question.
      ts: `[times]`, when to save; increasing, zero or above; unit learning rate.
      algorithm: its clock sets the speed.
      reward: what is ascended.
      regularizers: terms added to it.
      geometry: `"softmax"` or `"natural"`.
      log_policy0: `[patterns]`, log π at t = 0, normalised or not; default: the reference policy.
      train_answers: let the answers learn too, see [`answer_drift`][]; `success` is then
        `[times, patterns]`.
      event: stop early: `"best"` when π(best) ≥ target, `"accuracy"` when ρ ≥ target, `"peak"` when ρ stops
        rising, `"steady"` when every logit is slower than target.
      target: in (0, 1); above 0 for `"steady"`; not used by `"peak"`.
      solver: a diffrax solver; default: Tsit5, or Kvaerno5 with `stiff=True`.
      stiff: use the implicit default; for strong regularizers over long times.
      rtol: relative tolerance; default: 1e-8 in float64 and 1e-5 in float32.
      atol: absolute tolerance on logits; default: as `rtol`.
      max_steps: most solver steps.
      adjoint: how diffrax differentiates (default: reverse mode, `RecursiveCheckpointAdjoint`); give
        `diffrax.ForwardMode()` for `jax.jvp` and `jax.jacfwd`, `diffrax.DirectAdjoint()` for both at
        more memory.

    Returns:
      A [`Trajectory`][]. After an event the policy is held; `stats["event_time"]` is the event's time, 0 if
      it held already at t = 0 (`Status.ALREADY_MET`), inf if it did not happen by `ts[-1]`. A solver that
      runs out of steps gives `Status.NOT_CONVERGED` and the last policy it reached; a start, reward or
      penalty that is not finite gives `Status.INVALID` and NaN, and so do traced times that do not increase from zero.
      `stats` also counts solver steps.

    Raises:
      ValueError: an argument out of range, an algorithm without a clock for this reward, or `train_answers`
        with another reward than `verifiable`.

    Reference: Chen, Li, Zou, arXiv 2506.04695, §5; diffrax: Kidger, arXiv 2202.02435.

    >>> import jax.numpy as jnp
    >>> problem = Problem.from_probs(ref=[.5, .5], success=[1., 0.])
    >>> solve(problem, ts=[1., 10.]).accuracy.round(3).tolist()
    [0.62, 0.936]
    """
    _check.problem(problem)
    _check.part("algorithm", algorithm, Algorithm)
    _check.part("reward", reward, Reward)
    terms = _check.parts("regularizers", regularizers, Regularizer)
    start, options = _prepare(
        problem, ts, log_policy0, event, target, solver, stiff, rtol, atol, max_steps, adjoint
    )
    return _solve(
        problem,
        start,
        algorithm,
        reward,
        terms,
        geometry=geometry,
        train_answers=train_answers,
        **options,
    )


def sft(
    problem: Problem,
    mixture: Any,
    *,
    ts: Any,
    log_policy0: Patterns | None = None,
    event: str | None = None,
    target: ArrayLike = 0.99,
    solver: diffrax.AbstractSolver | None = None,
    stiff: bool = False,
    rtol: ArrayLike | None = None,
    atol: ArrayLike | None = None,
    max_steps: int = 4096,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> Trajectory:
    r"""Solve the flow of supervised fine-tuning on a mixture of patterns, $\dot\theta = \mu - \pi$.

    Args:
      problem: the question; its success rates are only read off.
      mixture: `[patterns]`, μ; non-negative, sums to one within 1e-3 (then renormalised).
      ts: `[times]`, when to save; increasing, zero or above; unit learning rate.
      log_policy0: `[patterns]`, log π at t = 0; default: the reference policy.

    As in [`solve`][]: `event`, `target`, `solver`, `stiff`, `rtol`, `atol`, `max_steps`, `adjoint`.

    Returns:
      A [`Trajectory`][]; `Status.INVALID` where μ asks for a pattern without mass (infinite cross-entropy).

    Raises:
      ValueError: an argument out of range.
    """
    _check.problem(problem)
    mixture = _check.distribution("mixture", mixture, tolerance=_check.SUM_TOLERANCE)
    _check.same_length("mixture", mixture, "ref", problem.log_ref)
    start, options = _prepare(
        problem, ts, log_policy0, event, target, solver, stiff, rtol, atol, max_steps, adjoint
    )
    return _sft(problem, start, jnp.asarray(mixture, problem.log_ref.dtype), **options)


def _prepare(
    problem: Problem,
    ts: Any,
    log_policy0: Any,
    event: str | None,
    target: Any,
    solver: diffrax.AbstractSolver | None,
    stiff: bool,
    rtol: Any,
    atol: Any,
    max_steps: int,
    adjoint: diffrax.AbstractAdjoint | None,
) -> tuple[Array, dict[str, Any]]:
    """Check concrete arguments and fill in defaults."""
    dtype = problem.log_ref.dtype
    ts = _check.times("ts", ts)
    events.check(event, target)
    start = problem.log_ref if log_policy0 is None else jnp.asarray(log_policy0, dtype)
    if start.shape != problem.log_ref.shape:
        raise ValueError(f"log_policy0: shape {start.shape}; must be {problem.log_ref.shape}")
    adjoint = diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint
    options = default_options(
        dtype, solver=solver, stiff=stiff, rtol=rtol, atol=atol, max_steps=max_steps, adjoint=adjoint
    )
    ts, target = jnp.asarray(ts, dtype), jnp.asarray(target, dtype)
    return _normalised(start), {"ts": ts, "event": event, "target": target, **options}


def default_options(
    dtype: Any,
    *,
    solver: diffrax.AbstractSolver | None = None,
    stiff: bool = False,
    rtol: Any = None,
    atol: Any = None,
    max_steps: int = 4096,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> dict[str, Any]:
    """Options for [`follow`][], with defaults filled in; the arguments are those of [`solve`][]."""
    rtol = (1e-8 if dtype == jnp.float64 else 1e-5) if rtol is None else _check.positive("rtol", rtol)
    atol = rtol if atol is None else _check.positive("atol", atol)
    default = _stiff_solver(dtype) if stiff else diffrax.Tsit5()
    return {
        "solver": default if solver is None else solver,
        "rtol": jnp.asarray(rtol, dtype),
        "atol": jnp.asarray(atol, dtype),
        "max_steps": _check.integer("max_steps", max_steps, low=1),
        "adjoint": adjoint,
    }


def _stiff_solver(dtype: Any) -> diffrax.AbstractSolver:
    """Kvaerno5 with full Newton: the default chord stalls at rest, and Jacobians are cheap here."""
    tolerance = 1e-12 if dtype == jnp.float64 else 1e-6
    return diffrax.Kvaerno5(root_finder=optx.Newton(rtol=tolerance, atol=tolerance))


def _normalised(log_policy: Array) -> Array:
    """log_softmax that leaves an empty policy (all −inf) as it is, without NaN."""
    empty = jnp.all(jnp.isneginf(log_policy))
    return jnp.where(empty, -jnp.inf, jax.nn.log_softmax(jnp.where(empty, 0.0, log_policy)))


@_programs.brief(*_STATIC)
def _solve(
    problem: Problem,
    start: Array,
    algorithm: Algorithm,
    reward: Reward,
    regularizers: tuple[Regularizer, ...],
    *,
    geometry: str,
    train_answers: bool,
    **options: Any,
) -> Trajectory:
    build = answer_system if train_answers else pattern_system
    system = build(problem, start, algorithm, reward, regularizers, geometry)
    return integrate(problem, system, train_answers, **_with_event(problem, system, **options))


@_programs.brief(*_STATIC)
def _sft(problem: Problem, start: Array, mixture: Array, **options: Any) -> Trajectory:
    system = sft_system(problem, start, mixture)
    return integrate(problem, system, False, **_with_event(problem, system, **options))


def _with_event(
    problem: Problem, system: System, *, event: str | None, target: Array, **options: Any
) -> dict[str, Any]:
    remaining = None if event is None else events.condition(event, target, problem, system)
    return {**options, "remaining": remaining}


def integrate(problem: Problem, system: System, success_moves: bool, **options: Any) -> Trajectory:
    """Solve a system and report its policies."""
    found = follow(system, **options)
    log_policy, success = jax.vmap(system.observe)(found.states)
    return Trajectory(
        time=options["ts"],
        log_policy=jnp.where(found.status != Status.INVALID, log_policy, jnp.nan),
        success=success if success_moves else problem.success,
        status=found.status,
        stats=found.stats,
    )


class Found(NamedTuple):
    """A solved system.

    Attributes:
      states: `[times, …]`, the state at its save times; held after an event.
      status: a `Status`.
      stats: solver steps, and the time of the event where there is one, as in [`solve`][].
    """

    states: State
    status: Array
    stats: dict[str, Array]


def follow(
    system: System,
    *,
    ts: Array,
    remaining: Callable[[State], Array] | None,
    solver: diffrax.AbstractSolver,
    rtol: Array,
    atol: Array,
    max_steps: int,
    adjoint: diffrax.AbstractAdjoint | None,
) -> Found:
    """Follow a system with diffrax.

    Args:
      system: what to solve.
      ts: `[times]`, when to save; `Status.INVALID` where they do not increase from zero.
      remaining: `state -> number`, zero or negative once the event that stops the flow has happened.

    As for [`solve`][], none but the last optional: `solver`, `rtol`, `atol`, `max_steps`, `adjoint`.

    Returns:
      A [`Found`][].
    """
    valid = system.valid & (ts[0] >= 0) & jnp.all(ts[1:] >= ts[:-1])
    if adjoint is None and remaining is None and ts.shape == (1,):
        found = reverse.end(system, time=ts[0], solver=solver, rtol=rtol, atol=atol, max_steps=max_steps)
        status = jnp.where(found.converged, Status.OK, Status.NOT_CONVERGED)
        status = jnp.where(valid, status, Status.INVALID).astype(jnp.int32)
        states = jax.tree.map(lambda leaf: leaf[None], found.state)
        return Found(states, status, {"steps": found.steps, "rejected": found.rejected})
    stop, met = None, jnp.asarray(False)
    if remaining is not None:
        met = remaining(system.start) <= 0
        stop = diffrax.Event(
            lambda t, y, args, **_: remaining(y).astype(float),  # diffrax wants the default precision
            events.root_finder(ts.dtype),
            direction=False,
        )
    solution = diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: system.velocity(y)),
        solver,
        t0=jnp.zeros_like(ts[0]),
        t1=ts[-1],
        dt0=None,
        y0=system.start,
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=ts), diffrax.SubSaveAt(t1=True)]),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=max_steps,
        adjoint=diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint,
        event=stop,
        throw=False,
    )
    assert solution.ts is not None
    assert solution.ys is not None
    (saved_times, _), (saved, last) = solution.ts, solution.ys
    reached = solution.ts[1][0]
    held = ~jnp.isfinite(saved_times) | met
    final = jax.tree.map(lambda start, end: jnp.where(met, start, end[0]), system.start, last)
    states = jax.tree.map(
        lambda x, end: jnp.where(jnp.expand_dims(held, range(1, x.ndim)), end[None], x), saved, final
    )
    happened = solution.result == diffrax.RESULTS.event_occurred
    converged = happened | (solution.result == diffrax.RESULTS.successful)
    status = jnp.where(converged, Status.OK, Status.NOT_CONVERGED)
    status = jnp.where(met, Status.ALREADY_MET, status)
    status = jnp.where(valid, status, Status.INVALID)
    stats = {"steps": solution.stats["num_steps"], "rejected": solution.stats["num_rejected_steps"]}
    if remaining is not None:
        event_time = jnp.where(converged, jnp.where(happened, reached, jnp.inf), jnp.nan)
        stats["event_time"] = jnp.where(valid, jnp.where(met, 0.0, event_time), jnp.nan)
    return Found(states, status.astype(jnp.int32), stats)

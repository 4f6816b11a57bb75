"""Running a recipe: each phase by its runner, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from qra_jax import metrics, orbit
from qra_jax.flow import event as events
from qra_jax.flow.solver import default_options, follow
from qra_jax.flow.system import System, guarded_system
from qra_jax.problem import Problem
from qra_jax.recipe import schedule, velocity
from qra_jax.recipe.phases import Phase
from qra_jax.recipe.schedule import Schedule
from qra_jax.training import train
from qra_jax.trajectory import Outcome, Status


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RecipeRun(Outcome):
    """What a recipe did.

    Attributes:
      log_policy: `[*questions, patterns]`, log π at the end.
      success: `[*questions, patterns]`, success rates.
      log_cost: natural log of the total cost, Σ price · time (or steps) + Σ demonstration price · demonstrations;
        +inf where a target is never met, NaN where a phase could not say when.
      log_costs: `[phases]`, the same for each phase.
      demonstrations: `[phases]`, SFT given, summed over questions: ∫ η·w·g dt in orbit and flow (units of time at unit
        learning rate), Σ w·g over the steps of mean and sampled training.
      boundaries: `[phases + 1, *questions, patterns]`, log π at the start and after each phase.
      status: `[phases]`, a `Status` for each: UNREACHABLE where `until` was not reached in time, NOT_CONVERGED,
        DIVERGED, INVALID, …
      path: policies on the way, `[phases, saves, *questions, patterns]`, at evenly spaced parts of each phase's time;
        `None` without saves.
    """

    log_policy: Float[Array, "*batch patterns"]
    success: Float[Array, "*batch patterns"]
    log_cost: Float[Array, ""]
    log_costs: Float[Array, " phases"]
    demonstrations: Float[Array, " phases"]
    boundaries: Float[Array, "bounds *batch patterns"]
    status: Int[Array, " phases"]
    path: Float[Array, "phases saves *batch patterns"] | None = None

    @property
    def policy(self) -> Float[Array, "*batch patterns"]:
        """π at the end, `[*questions, patterns]`."""
        return jnp.exp(self.log_policy)

    @property
    def accuracy(self) -> Float[Array, "*batch"]:
        """ρ at the end, `[*questions]`."""
        return metrics.accuracy(self.log_policy, self.success)

    def pass_at_k(self, k: Any) -> Float[Array, ""]:
        """Mean over questions of 1 − (1 − ρ)^k at the end.

        Args:
          k: tries, ≥ 1.

        Returns:
          Scalar.
        """
        return jnp.mean(metrics.pass_at_k(self.accuracy, k))


class PhaseOutcome(NamedTuple):
    """How one phase ended: its time is `time`, or exp(`log_time`) where that is given."""

    log_policy: Array
    time: Array
    log_time: Array | None
    demonstrations: Array
    status: Array
    path: Array | None


@partial(jax.jit, static_argnames=("saves", "max_steps", "stiff", "adjoint"))
def run(
    phases: tuple[Phase, ...],
    problem: Problem,
    start: Array,
    seed: Array,
    features: Array | None,
    *,
    saves: int,
    max_steps: int,
    stiff: bool,
    adjoint: diffrax.AbstractAdjoint | None,
) -> RecipeRun:
    """RecipeRun checked phases.

    Args:
      phases: what to do.
      problem: the question, or questions.
      start: log π to start from.
      seed: `[phases, 2, *questions]`, random words.
      features: `[questions, patterns, features]` or `None`.
      saves: policies to save on the way of each phase.
      max_steps: of the ODE solver, for flows.
      stiff: which solver, for flows.
      adjoint: how it is differentiated, for flows.

    Returns:
      A [`RecipeRun`][].
    """
    options = default_options(start.dtype, stiff=stiff, max_steps=max_steps, adjoint=adjoint)
    bounds, outcomes = [start], []
    for i, phase in enumerate(phases):
        if phase.runner == "orbit":
            outcome = _orbit(phase, problem, bounds[-1], saves)
        elif phase.runner == "flow":
            outcome = _flow(phase, problem, bounds[-1], features, saves, options)
        elif _is_plain(phase, saves):
            outcome = _trained(phase, problem, bounds[-1], features, saves, seed[i])
        else:
            outcome = _steps(phase, problem, bounds[-1], features, saves, seed[i])
        outcomes.append(outcome)
        bounds.append(outcome.log_policy)
    log_cost, log_costs = _cost(phases, outcomes)
    return RecipeRun(
        log_policy=bounds[-1],
        success=problem.success,
        log_cost=log_cost,
        log_costs=log_costs,
        demonstrations=jnp.stack([outcome.demonstrations for outcome in outcomes]),
        boundaries=jnp.stack(bounds),
        status=jnp.stack([outcome.status for outcome in outcomes]),
        path=jnp.stack([outcome.path for outcome in outcomes]) if saves else None,
    )


def _cost(phases: tuple[Phase, ...], outcomes: list[PhaseOutcome]) -> tuple[Array, Array]:
    """Log of the total cost and of each phase's, with derivatives also where a phase costs nothing."""
    dtype = outcomes[0].time.dtype
    plain, logs, times = [], [], []
    for phase, outcome in zip(phases, outcomes, strict=True):
        price = jnp.asarray(phase.price, dtype)
        taught = jnp.asarray(phase.demonstration_price, dtype) * outcome.demonstrations
        known = outcome.log_time is None
        plain.append(taught + price * outcome.time if known else taught)
        logs.append(-jnp.inf if outcome.log_time is None else outcome.log_time + jnp.log(price))
        times.append(0.0 if outcome.log_time is None else outcome.log_time)
    plain, logs, times = (
        jnp.stack([jnp.asarray(leaf, dtype) for leaf in leaves]) for leaves in (plain, logs, times)
    )
    finite = jnp.isfinite(logs)
    logs = jnp.where(finite, logs, 0.0)
    scale = jnp.maximum(jax.lax.stop_gradient(jnp.max(logs)), 0.0)
    parts = plain * jnp.exp(-scale) + jnp.where(finite, jnp.exp(logs - scale), 0.0)

    def log(part: Array, time: Array) -> Array:
        some = part > 0
        cost = jnp.where(some, jnp.log(jnp.where(some, part, 1.0)) + scale, -jnp.inf)
        return jnp.where(jnp.isposinf(time), jnp.inf, jnp.where(jnp.isnan(time), jnp.nan, cost))

    return log(jnp.sum(parts), jnp.max(times)), log(parts, times)


def _orbit(phase: Phase, problem: Problem, start: Array, saves: int) -> PhaseOutcome:
    dtype = start.dtype
    algorithm, reward, _ = phase.parts(0.0, dtype)
    parts = {"algorithm": algorithm, "reward": reward, "geometry": phase.geometry}
    speed = schedule.integral(phase.learning_rate, 1.0, dtype)
    fractions = jnp.arange(1, max(saves, 1) + 1, dtype=dtype) / max(saves, 1)
    time = None if phase.time is None else jnp.asarray(phase.time, dtype)

    def at_times(problem: Problem, start: Array, ts: Array) -> Any:
        return orbit.solve(problem.with_ref(start), ts, **parts)

    def path_of(log_policies: Array) -> Array | None:
        return log_policies if saves else None

    none = jnp.zeros((), dtype)
    if phase.until is None:
        assert time is not None
        ts = time * jax.vmap(lambda part: schedule.integral(phase.learning_rate, part, dtype))(fractions)
        if start.ndim == 1:
            found = at_times(problem, start, ts)
        else:
            found = jax.vmap(at_times, in_axes=(0, 0, None))(problem, start, ts)
        policies = found.log_policy if start.ndim == 1 else jnp.moveaxis(found.log_policy, 0, 1)
        return PhaseOutcome(
            policies[-1], time, None, none, Status.worst(found.status, axis=None), path_of(policies)
        )
    asked = problem.with_ref(start)
    hit = orbit.hit(asked, phase.until, event=phase.event, **parts)
    moves = (speed > 0) | jnp.isneginf(hit.log_time)
    log_time = jnp.where(moves, hit.log_time - jnp.log(jnp.where(speed > 0, speed, 1.0)), jnp.inf)
    log_policy = jnp.where(moves, hit.log_policy, start)
    status = jnp.where(moves | (hit.status != Status.OK), hit.status, Status.UNREACHABLE)
    if time is not None:
        late = log_time > jnp.log(time)
        ended = orbit.solve(asked, (time * speed)[None], **parts)
        log_policy = jnp.where(late, ended.log_policy[-1], log_policy)
        status = jnp.where(late & (status == Status.OK), Status.UNREACHABLE, status)
        log_time = jnp.where(late, jnp.inf, log_time)
    path = None
    if saves:
        last = hit.log_time if time is None else jnp.minimum(hit.log_time, jnp.log(time * speed))
        path = orbit.solve(asked, log_ts=last + jnp.log(fractions), **parts).log_policy
    return PhaseOutcome(log_policy, none, log_time, none, status, path)


def _flow(
    phase: Phase, problem: Problem, start: Array, features: Array | None, saves: int, options: dict[str, Any]
) -> PhaseOutcome:
    """Progress and demonstrations are part of the state, so that the flow has no clock of its own."""
    dtype, time = start.dtype, jnp.asarray(phase.time, start.dtype)
    move = velocity.of_questions(velocity.expected, phase, problem)
    params, alive, to_log = _parameters(start, features)

    def rate(state: Any) -> Any:
        params, progress, _ = state
        step = move(to_log(params), progress)
        speed = time * schedule.at(phase.learning_rate, progress, dtype)
        pulled = step.velocity if features is None else jnp.einsum("qnf,qn->f", features, step.velocity)
        return speed * pulled, jnp.ones((), dtype), speed * jnp.sum(step.taught)

    def observe(state: Any) -> tuple[Array, Array]:
        return to_log(state[0]), problem.success

    zero, some = jnp.zeros((), dtype), jnp.asarray(True)
    valid = _valid(phase, problem, start)
    system = guarded_system((params, zero, zero), (alive, some, some), rate, observe, valid)
    remaining = _remaining(phase, problem, system)
    ts = jnp.arange(1, max(saves, 1) + 1, dtype=dtype) / max(saves, 1)
    found = follow(system, ts=ts, remaining=remaining, **options)
    policies = jnp.where(system.valid, jax.vmap(lambda state: to_log(state[0]))(found.states), jnp.nan)
    taught, log_time, status = found.states[2][-1], None, found.status
    if remaining is not None:
        progress = found.stats["event_time"]
        met = jnp.isfinite(progress) & (progress > 0) & (time > 0)
        log_time = jnp.log(jnp.where(met, progress, 1.0)) + jnp.log(jnp.where(met, time, 1.0))
        log_time = jnp.where(met, log_time, jnp.where(progress == 0, -jnp.inf, progress))
        unmet = jnp.isposinf(progress)
        status = jnp.where((status == Status.OK) & unmet, Status.UNREACHABLE, status)
    return PhaseOutcome(policies[-1], time, log_time, taught, status, policies if saves else None)


def _valid(phase: Phase, problem: Problem, start: Array) -> Array:
    """Whether a start makes sense, and no demonstrations ask for a pattern without mass."""
    gone = jnp.isneginf(start)
    valid = jnp.all(jnp.isfinite(jnp.where(gone, 0.0, start)))
    return valid & ~jnp.any((phase.data(problem) > 0) & gone) if phase.demonstrates else valid


def _parameters(start: Array, features: Array | None) -> tuple[Array, Array, Any]:
    """What is trained, which of it moves, and the log-policies that follow."""
    gone = jnp.isneginf(start)
    base = jnp.where(gone, 0.0, start)

    def to_log(logits: Array) -> Array:
        return jax.nn.log_softmax(jnp.where(gone, -jnp.inf, logits), axis=-1)

    if features is None:
        return base, ~gone, to_log
    shared = jnp.zeros(features.shape[-1:], start.dtype)
    coupled = lambda w: to_log(base + jnp.einsum("qnf,f->qn", features, w))  # noqa: E731
    return shared, jnp.ones(shared.shape, bool), coupled


def _measure(phase: Phase, problem: Problem, log_policy: Array) -> Array:
    """π(r*) or accuracy, averaged over questions."""
    if phase.event == "accuracy":
        return jnp.mean(metrics.accuracy(log_policy, problem.success))
    best = jnp.take_along_axis(jnp.exp(log_policy), problem.best[..., None], axis=-1)
    return jnp.mean(best)


def _remaining(phase: Phase, problem: Problem, system: System) -> Any:
    if phase.until is None:
        return None
    target = jnp.asarray(phase.until, problem.log_ref.dtype)
    if problem.log_ref.ndim == 1:
        return events.condition(phase.event, target, problem, system)
    return lambda state: target - _measure(phase, problem, system.observe(state)[0])


def _is_plain(phase: Phase, saves: int) -> bool:
    """Whether a phase is a run of `training.train`, whose sampler is several times as fast as single steps."""
    numbers = (phase.learning_rate, phase.beta, phase.q)
    changing = any(isinstance(number, Schedule) for number in numbers) or phase.until is not None
    assert phase.steps is not None
    return (
        phase.runner == "sampled"
        and not (phase.demonstrates or changing)
        and (saves == 0 or phase.steps % saves == 0)
    )


def _trained(
    phase: Phase, problem: Problem, start: Array, features: Array | None, saves: int, seed: Array
) -> PhaseOutcome:
    assert phase.steps is not None
    algorithm, reward, regularizers = phase.parts(0.0, start.dtype)
    run = train(
        jax.random.wrap_key_data(seed if seed.ndim == 1 else seed[:, 0]),
        problem,
        steps=phase.steps,
        algorithm=algorithm,
        optimizer=phase.optimizer,
        learning_rate=phase.learning_rate,
        reward=reward,
        regularizers=regularizers,
        features=features,
        log_policy0=start,
        record_every=phase.steps // max(saves, 1),
    )
    path = run.log_policy[1:] if start.ndim == 1 else jnp.moveaxis(run.log_policy, 1, 0)[1:]
    steps, none = jnp.asarray(phase.steps, start.dtype), jnp.zeros((), start.dtype)
    return PhaseOutcome(
        path[-1], steps, None, none, Status.worst(run.status, axis=None), path if saves else None
    )


def _steps(
    phase: Phase, problem: Problem, start: Array, features: Array | None, saves: int, seed: Array
) -> PhaseOutcome:
    dtype, steps = start.dtype, phase.steps
    assert steps is not None
    sampling = phase.runner == "sampled"
    function = velocity.sampled if sampling else velocity.expected
    move = velocity.of_questions(function, phase, problem)
    params, alive, to_log = _parameters(start, features)
    transform = phase.optimizer(1.0)

    def met(log_policy: Array) -> Array:
        if phase.until is None:
            return jnp.asarray(False)
        return _measure(phase, problem, log_policy) >= jnp.asarray(phase.until, dtype)

    def step(carry: Any, index: Array) -> tuple[Any, None]:
        params, memory, done, count, taught, path = carry
        progress = (index + 0.5).astype(dtype) / steps
        moved = move(to_log(params), progress, *((seed, index) if sampling else ()))
        gradient = moved.velocity
        if features is not None:
            gradient = jnp.einsum("qnf,qn->f", features, gradient)
        change, after = transform.update(-gradient, memory, params)
        rate = schedule.at(phase.learning_rate, progress, dtype)
        new = params + jnp.where(alive, rate * change, 0.0).astype(dtype)
        hold = lambda old, now: jnp.where(done, old, now)  # noqa: E731
        params, memory = hold(params, new), jax.tree.map(hold, memory, after)
        count = count + jnp.where(done, 0.0, 1.0).astype(dtype)
        taught = taught + jnp.where(done, 0.0, jnp.sum(moved.taught))
        log_policy = to_log(params)
        if saves:
            path = path.at[((index + 1) * saves + steps - 1) // steps - 1].set(log_policy)
        return (params, memory, done | met(log_policy), count, taught, path), None

    zero = jnp.zeros((), dtype)
    path = jnp.zeros((saves, *start.shape), dtype) if saves else None
    already = met(to_log(params))
    first = (params, transform.init(params), already, zero, zero, path)
    (params, _, done, count, taught, path), _ = jax.lax.scan(step, first, jnp.arange(steps))
    status = jnp.asarray(Status.OK)
    if phase.until is not None:
        status = jnp.where(done, jnp.where(already, Status.ALREADY_MET, Status.OK), Status.UNREACHABLE)
    status = jnp.where(jnp.all(jnp.isfinite(params)), status, Status.DIVERGED)
    valid = _valid(phase, problem, start)
    status = jnp.where(valid, status, Status.INVALID)
    log_time = None
    if phase.until is not None:
        log_time = jnp.where(count > 0, jnp.log(jnp.maximum(count, 1.0)), -jnp.inf)
        log_time = jnp.where(done, log_time, jnp.inf)
    ended = jnp.where(valid, to_log(params), jnp.nan)
    return PhaseOutcome(ended, count, log_time, taught, status.astype(jnp.int32), path)

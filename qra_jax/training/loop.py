"""The training loop, written for arrays `[patterns, *cells]`.

Cells are runs side by side (see [`lanes`][qra_jax.training.lanes]) or the questions that share parameters. A step
carries the group that it learns from: drawn at the end of the step before, the compiler makes one loop over
cells for the numbers, one for the counts and one for the update.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import off_policy
from qra_jax._check import SUM_TOLERANCE
from qra_jax.algorithm import Tables, batch_scale
from qra_jax.training import bits, fused
from qra_jax.training.choice import Choice, Flat, Scene
from qra_jax.training.groups import Shares
from qra_jax.training.lanes import each, expand
from qra_jax.training.rollouts import GroupSampler
from qra_jax.trajectory import Status

_FLAT = Flat()


@dataclass(frozen=True)
class Plan:
    """What is fixed when a run is compiled; most fields are arguments of `train`."""

    steps: int
    record_every: int
    mode: str
    geometry: str
    group: int | None
    weighing: str
    """What the weights of a group are found by: `"counts"` of right rollouts, `"rollouts"` one by one, `"pairs"`."""
    epochs: int
    surrogate: str
    correction: str | None
    staleness: int
    held: bool
    stale_gradient: bool
    on_policy: bool
    reference_every: int | None
    optimizer: Any
    ready_made: bool
    metrics: tuple[tuple[str, Any], ...]
    choice: Choice = _FLAT
    fused: bool = False
    """Compiled loops may take the place of XLA's, see [`fused`][qra_jax.training.fused]."""


class State(NamedTuple):
    """What one step hands to the next."""

    params: Array
    """Logits `[patterns, *cells]`, or the shared parameters `[features]`."""
    memory: Any
    """The optimiser's."""
    behavior: Array | None
    """Logits behind the group, where they are not the policy's own."""
    history: Array | None
    """Logits of the last S steps, `[S, patterns, *cells]`."""
    group: Any
    """The group, as counts."""
    numbers: Any
    """Uniform numbers for the next group."""
    reference: Any
    """Logits `[patterns, *cells]` and coefficient `[*cells]` of the reference, where they change."""
    critic: Any = None
    """Values that credit has learnt, where it learns some."""


def run(
    plan: Plan,
    pure: dict[str, Callable[..., Any]],
    fixed: dict[str, Any],
    held: dict[str, list[Array]],
    *,
    fixed_rates: bool,
    resamples: bool,
    by_vote: bool,
    greedy_baseline: bool,
    pairs: str | None,
    batch: str | None,
    regularized: bool,
    estimated: tuple[str, ...],
    features: Array | None,
    joint: bool,
    expected: Callable[..., Any] | None,
) -> dict[str, Any]:
    """Run the steps.

    Args:
      plan: what is fixed.
      pure: functions `(held, *arrays)` of one run: `init` and `update` of the optimiser, `rates` of the reward,
        `penalty` and `pull` of the exact and the sampled regularizers, `divergence` from the reference, `observe` of
        the metrics; `moody`, `cells` and `weigh` where they are needed.
      fixed: arrays that do not change in a run; every one ends in lanes.
      held: first arguments of `pure`.
      fixed_rates: the reward does not depend on the policy.
      resamples: silent groups are drawn again.
      by_vote: the reward is the group's vote.
      greedy_baseline, pairs, batch: as an `Algorithm` has them.
      regularized: there is an exact penalty.
      estimated: which estimates the other penalties take, of `"samples"` and `"corrected"`.
      features: Φ, where questions share parameters.
      joint: the questions of a run are in the last axis, together.
      expected: `(logits, numbers, reference) -> Shares, mean squared weight`, in place of drawing groups.

    Returns:
      `log_policy` `[times, patterns, *cells]`, `metrics`, `status`, `diverged` and `stats`.
    """
    seed, start, alive = fixed["seed"], fixed["start"], fixed["alive"]
    lanes = seed.ndim - 1 - joint
    group, dtype, ndim = plan.group, start.dtype, start.ndim
    part = {name: partial(each(function, lanes), held[name]) for name, function in pure.items()}
    number = {
        name: None if value is None else expand(value, ndim) for name, value in fixed["off_policy"].items()
    }
    size = jnp.asarray(group or 1, dtype) if fixed["size"] is None else fixed["size"]
    fresh = plan.staleness == 0 and fixed["behavior"] is None and number["sampling_temperature"] is None
    split = plan.surrogate != "none" and not plan.on_policy
    counted = bool(estimated)
    tables = fixed["tables"]
    if tables is not None and joint:
        tables = Tables(*(table[:, None] for table in tables))
    choice = plan.choice
    normalised = choice.log_softmax

    def of_patterns(z: Array) -> Array:
        """Log-probabilities of the patterns."""
        return jax.nn.log_softmax(choice.scores(z), axis=0)

    def learned(z: Array) -> Array:
        """Logits of the policy that learns."""
        return z if number["temperature"] is None else z / number["temperature"]

    def tempered(z: Array) -> Array:
        """Logits of the policy that is sampled from."""
        z = learned(z)
        return z if number["sampling_temperature"] is None else z / number["sampling_temperature"]

    constant_rates = None
    if fixed_rates and fixed["correlation"] is None and plan.weighing == "counts":
        constant_rates = part["rates"](of_patterns(start))
    constant_cells = None
    if fixed_rates and not by_vote and "cells" in part:
        constant_cells = part["cells"](of_patterns(start))
    draws = fused.draws(plan, resamples=resamples, joint=joint, dtype=dtype)
    plain = not (regularized or estimated or greedy_baseline or batch is not None)
    leaps = draws and fused.steps(plan, fixed, fixed_rates=fixed_rates, plain=plain)
    rollouts = GroupSampler(
        weighing=plan.weighing,
        group=group or 1,
        size=size,
        padded=fixed["size"] is not None,
        seed=seed,
        alive=~jnp.isneginf(choice.scores(jnp.where(alive, 0.0, -jnp.inf))),
        learned=lambda z: choice.scores(learned(z)),
        tempered=lambda z: choice.scores(tempered(z)),
        part=part,
        constant_rates=constant_rates,
        constant_cells=constant_cells,
        tables=tables,
        lengths=fixed["lengths"],
        beta=fixed["beta"],
        mood=None
        if fixed["correlation"] is None
        else [fixed[name] for name in ("correlation", "tpr", "fpr")],
        resamples=resamples,
        by_vote=by_vote,
        greedy_baseline=greedy_baseline,
        batch=batch,
        split=split,
        counted=counted or choice.counted,
        fused=draws and not leaps,
    )

    def numbers(step: Array) -> Any:
        if plan.mode == "sde":
            return bits.normals(seed, step, 2 * start.shape[0] + 2, dtype)
        return rollouts.numbers(step) if plan.mode == "sampled" else None

    def draw(behavior: Array, numbers: Any) -> Any:
        return rollouts.draw(behavior, numbers) if plan.mode == "sampled" else numbers

    def weigh(behavior: Array, drawn: Any, reference: Array) -> Shares:
        if expected is None:
            return rollouts.weigh(behavior, drawn, reference)
        shares, square = expected(choice.scores(behavior), drawn, choice.scores(reference))
        if batch is None:
            return shares
        scale, up, down = batch_scale(batch, shares.reward, square, shares.silent), shares.up, shares.down
        if batch == "whiten":
            mean = jnp.mean(shares.reward)
            up, down = up * (1 - mean), down * mean
        return shares._replace(up=up * scale, down=down * scale)

    def view(behavior: Array, critic: Any, index: Array) -> Scene:
        log_policy, rates = normalised(tempered(behavior)), constant_rates
        if rates is None and choice.needs is not None:
            rates = part["rates"](of_patterns(tempered(behavior)))
        return Scene(
            log_policy,
            rates,
            critic,
            fixed["credit"],
            seed,
            index,
            part.get("clock"),
            fixed["by_size"],
            size,
            expected is not None,
        )

    def logits(params: Array) -> Array:
        return params if features is None else start + jnp.einsum("qnf,f->nq", features, params)

    def safe(params: Array) -> Array:
        """The optimiser sees a zero where the logit of a pattern without mass is −inf."""
        return params if features is not None else jnp.where(alive, params, 0.0)

    def improve(
        params: Array, memory: Any, behavior: Array, shares: Shares, scene: Scene, reference: Any
    ) -> tuple[Array, Any, Array]:
        log_behavior = normalised(tempered(behavior))
        corrects = plan.correction is not None and not fresh
        log_old = normalised(learned(logits(params))) if corrects else log_behavior
        clipped = jnp.zeros(start.shape[1:], dtype)
        counts = shares.count
        shares = choice.credit(shares, scene)
        log_ref, coefficient = reference
        if moves or number["temperature"] is not None:
            log_ref = normalised(learned(log_ref))
        for epoch in range(plan.epochs):
            point = behavior if plan.stale_gradient else logits(params)
            log_policy, policy = normalised(learned(point)), choice.softmax(learned(point))
            up, down, ratio = shares.up, shares.down, jnp.ones_like(policy)
            if split and (not fresh or epoch > 0):
                drawn = alive & ((up != 0) | (down != 0))
                if shares.count is not None:
                    drawn = drawn | (alive & (shares.count > 0))
                ratio = jnp.exp(jnp.where(drawn, log_policy - log_behavior, 0.0))
                between = jnp.exp(jnp.where(drawn, log_policy - log_old, 0.0))
                trust = jnp.ones_like(ratio)
                if corrects:
                    trust = jnp.exp(jnp.where(drawn, log_old - log_behavior, 0.0))
                    trust = off_policy.corrected(plan.correction, trust, number["cap"])
                assert down is not None
                factor = partial(
                    off_policy.factor,
                    plan.surrogate,
                    between,
                    low=number["low"],
                    high=number["high"],
                    dual_clip=number["dual_clip"],
                    gate=(number["gate_up"], number["gate_down"]),
                )
                whole = (up - down) * between * trust
                up, down = up * factor(True) * trust, down * factor(False) * trust
                if number["mask_old"] is not None:
                    old = log_behavior - log_policy > number["mask_old"]
                    down = jnp.where(drawn & old, 0.0, down)
                lost = jnp.sum(jnp.maximum(whole - (up - down), 0.0), axis=0)
                whole = jnp.sum(whole, axis=0)
                clipped = clipped + lost / jnp.where(whole > 0, whole, 1.0) / plan.epochs
            weights = paid = up if down is None else up + down
            for estimate in estimated:
                now, then = of_patterns(learned(point)), jax.nn.log_softmax(choice.scores(log_ref), axis=0)
                pull = choice.spread(part["pull_" + estimate](now, then, coefficient) * counts)
                weights = weights + (pull * ratio if estimate == "corrected" else pull)
            gradient = choice.gradient(weights, policy, alive, plan.geometry)
            along_entropy = choice.entropy_term(paid, log_policy, scene.numbers)
            if along_entropy is not None:
                gradient = gradient + along_entropy
            if regularized:
                gradient = gradient + part["penalty"](log_policy, log_ref, coefficient)
            if number["temperature"] is not None:
                gradient = gradient / number["temperature"]
            if features is not None:
                gradient = jnp.einsum("qnf,nq->f", features, gradient)
            change, memory = part["update"](-gradient, memory, safe(params))
            params = params + safe(change.astype(dtype))
        return params, memory, clipped

    moves = plan.reference_every is not None or number["target_kl"] is not None
    unmoved = fixed["log_ref"], jnp.ones(start.shape[1:], dtype)

    def follow(reference: Any, before: Array, params: Array, index: Array) -> Any:
        """The reference and its coefficient after a step; the divergence is that of the step's beginning."""
        log_ref, coefficient = reference
        now = logits(params)
        target, horizon, mixing = (number[name] for name in ("target_kl", "horizon", "mixing"))
        if target is not None and horizon is not None:
            excess = (
                part["divergence"](of_patterns(learned(before)), of_patterns(learned(log_ref))) / target[0]
                - 1
            )
            coefficient = coefficient * (1 + jnp.clip(excess, -0.2, 0.2) / horizon[0])
        if plan.reference_every is not None and mixing is not None:
            moved = jnp.where(alive, mixing * safe_of(now) + (1 - mixing) * safe_of(log_ref), log_ref)
            log_ref = jnp.where((index + 1) % plan.reference_every == 0, moved, log_ref)
        return log_ref, coefficient

    def safe_of(z: Array) -> Array:
        return jnp.where(jnp.isneginf(z), 0.0, z)

    def step(carry: tuple[State, Any], index: Array) -> tuple[tuple[State, Any], None]:
        state, sums = carry
        now = logits(state.params) if state.behavior is None else state.behavior
        reference = state.reference if moves else unmoved
        shares = weigh(logits(state.params) if plan.weighing == "pairs" else now, state.group, reference[0])
        scene = view(now, state.critic, index)
        params, memory, clipped = improve(state.params, state.memory, now, shares, scene, reference)
        critic = choice.learn(shares, scene) if choice.critic else None
        upcoming, behavior, history = logits(params), state.behavior, state.history
        if plan.staleness and plan.held:
            behavior = upcoming = jnp.where((index + 1) % plan.staleness == 0, upcoming, now)
        elif plan.staleness:
            assert history is not None
            slot = (index + 1) % plan.staleness
            behavior = jax.lax.dynamic_index_in_dim(history, slot, keepdims=False)
            history = jax.lax.dynamic_update_index_in_dim(history, upcoming, slot, 0)
            upcoming = behavior
        elif behavior is not None:
            upcoming = behavior
        drawn = draw(upcoming, state.numbers)
        reference = follow(reference, logits(state.params), params, index) if moves else None
        state = State(params, memory, behavior, history, drawn, numbers(index + 2), reference, critic)
        sums = sums[0] + shares.reward, sums[1] + shares.silent.astype(dtype), sums[2] + clipped
        return (state, sums), None

    def record(params: Array) -> dict[str, Any]:
        log_policy = normalised(logits(params))
        seen = part["observe"](of_patterns(logits(params))) if plan.metrics else {}
        wrong = ~jnp.isfinite(params) & (alive if features is None else True)
        return {
            "log_policy": None if plan.metrics else log_policy,
            "metrics": seen,
            "wrong": jnp.any(wrong, axis=0),
        }

    def window(state: State, first: Array) -> tuple[State, Any]:
        zero = jnp.zeros(start.shape[1:], dtype)
        index = first + jnp.arange(plan.record_every)
        (state, sums), _ = jax.lax.scan(step, (state, (zero, zero, zero)), index)
        return state, (record(state.params), [total / plan.record_every for total in sums])

    params = start if features is None else jnp.zeros(features.shape[-1:], dtype)
    windows = jnp.arange(0, plan.steps, plan.record_every)

    def general() -> tuple[Array, Any]:
        behavior = fixed["log_ref"] if pairs == "reference" else fixed["behavior"]
        if behavior is None and plan.staleness:
            behavior = start
        history = None
        if plan.staleness and not plan.held:
            history = jnp.broadcast_to(start, (plan.staleness, *start.shape))
        source = start if behavior is None else behavior
        state = State(
            params,
            part["init"](safe(params)),
            behavior,
            history,
            draw(source, numbers(jnp.asarray(0))),
            numbers(jnp.asarray(1)),
            unmoved if moves else None,
            fixed["credit"]["critic"] if choice.critic else None,
        )
        state, found = jax.lax.scan(window, state, windows)
        return state.params, found

    def compiled() -> tuple[Array, Any]:
        """The same by [`fused.Steps`][qra_jax.training.fused.Steps]."""
        rate, padded = fixed["learning_rate"], fixed["size"] is not None
        assert constant_rates is not None and group is not None  # noqa: PT018
        loops = fused.Steps(seed, constant_rates, size, tables, rate, group, padded=padded)

        def leap(params: Array, first: Array) -> tuple[Array, Any]:
            params, reward, silent = loops.take(params, first, plan.record_every)
            return params, (record(params), [reward, silent, jnp.zeros_like(reward)])

        return jax.lax.scan(leap, params, windows)

    last, (seen, means) = jax.lax.platform_dependent(cpu=compiled, default=general) if leaps else general()
    before = record(params)
    seen = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), before, seen)
    sound = _sound(fixed, part, choice, normalised(start), group, lanes)
    if pairs == "reference":  # a pattern that the reference has and the policy lacks cannot be learned from
        has_all = jnp.all(alive | jnp.isneginf(fixed["log_ref"]), axis=0)
        sound = sound & (jnp.all(has_all, axis=-1) if has_all.ndim > lanes else has_all)
    diverged = jnp.any(seen["wrong"], axis=0)
    status = jnp.where(sound, jnp.where(diverged, Status.DIVERGED, Status.OK), Status.INVALID)
    policies = normalised(logits(last))[None] if plan.metrics else seen["log_policy"]
    return {
        "log_policy": policies,
        "status": status.astype(jnp.int32),
        "diverged": jnp.where(diverged, jnp.argmax(seen["wrong"], axis=0) * plan.record_every, -1),
        "metrics": seen["metrics"],
        "stats": dict(zip(("reward", "silent", "clipped"), means, strict=True)),
    }


def _sound(
    fixed: dict[str, Any],
    part: dict[str, Callable[..., Any]],
    choice: Choice,
    start: Array,
    group: int | None,
    lanes: int,
) -> Array:
    """Whether start, reward, penalty and numbers are in range: what a traced value cannot raise, `[*lanes]`."""
    alive, patterns = fixed["alive"], jax.nn.log_softmax(choice.scores(start), axis=0)
    rates, log_ref = part["rates"](patterns), fixed["log_ref"]
    good = jnp.isfinite(rates)
    if fixed["tables"] is not None:
        good = good & (rates >= 0) & (rates <= 1)
    sound = jnp.all(jnp.where(alive, jnp.isfinite(start), True), axis=0) & jnp.any(alive, axis=0)
    sound = sound & jnp.all(jnp.where(jnp.isneginf(patterns), True, good), axis=0)
    penalty = part["penalty"](start, log_ref, jnp.ones(start.shape[1:], start.dtype))
    sound = sound & jnp.all(jnp.isfinite(penalty), axis=0)
    for name in part:
        if name.startswith("pull_"):
            then = jax.nn.log_softmax(choice.scores(log_ref), axis=0)
            pull = part[name](patterns, then, jnp.ones(start.shape[1:], start.dtype))
            sound = sound & jnp.all(jnp.isfinite(pull), axis=0)
    behavior = fixed["behavior"]
    if behavior is not None:  # a distribution, over patterns that the policy can pick
        off = jnp.any(jnp.abs(choice.sums(jnp.exp(behavior)) - 1) > SUM_TOLERANCE, axis=0)
        sound = sound & ~off & ~jnp.any(~jnp.isneginf(behavior) & ~alive, axis=0)
    if sound.ndim > lanes:  # questions that are trained together
        sound = jnp.all(sound, axis=-1)
    tiny, huge = float(jnp.finfo(start.dtype).tiny), float(jnp.finfo(start.dtype).max)
    positive, nonnegative, share = (tiny, huge), (0.0, huge), (0.0, 1.0)
    ranges = {
        "learning_rate": nonnegative,
        "correlation": share,
        "size": (1.0, group),
        "low": share,
        "high": (0.0, jnp.inf),
        "dual_clip": (1.0, jnp.inf),
        "cap": positive,
        "mask_old": nonnegative,
        "gate_up": positive,
        "gate_down": positive,
        "temperature": positive,
        "sampling_temperature": positive,
        "mixing": share,
        "target_kl": positive,
        "horizon": positive,
        "trace": share,
        "rate": share,
        "confident": share,
    }
    for name, (least, most) in ranges.items():
        value = {**fixed, **fixed["off_policy"], **fixed["credit"]}.get(name)
        if value is not None:
            sound = sound & (value >= least) & (value <= most)
    if fixed["size"] is not None:
        sound = sound & (fixed["size"] == jnp.round(fixed["size"]))
    return sound

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

from qra_jax.training import bits, groups
from qra_jax.training.groups import Shares, Tables
from qra_jax.training.lanes import each, expand
from qra_jax.trajectory import Status

SHARED = 2
"""Stream of the numbers that a whole group shares: the verifier's mood, the number of right rollouts."""


@dataclass(frozen=True)
class Plan:
    """What is fixed when a run is compiled; most fields are arguments of `train`."""

    steps: int
    record_every: int
    epochs: int
    mode: str
    geometry: str
    group: int | None
    importance: bool
    staleness: int
    held: bool
    stale_gradient: bool
    optimizer: Any
    ready_made: bool
    metrics: tuple[tuple[str, Callable[..., Any]], ...]


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


def run(
    plan: Plan,
    pure: dict[str, Callable[..., Any]],
    fixed: dict[str, Any],
    held: dict[str, list[Array]],
    *,
    binary: bool,
    fixed_rates: bool,
    resamples: bool,
    regularized: bool,
    features: Array | None,
    expected: Callable[..., Any] | None,
) -> dict[str, Any]:
    """Run the steps.

    Args:
      plan: what is fixed.
      pure: functions `(held, *arrays)` of one run: `init` and `update` of the optimiser, `rates` of the reward,
        `penalty` of the regularizers, `observe` of the metrics; `moody` and `weigh` where they are needed.
      fixed: arrays that do not change in a run; every one ends in lanes.
      held: first arguments of `pure`.
      binary: the reward is 0 or 1.
      fixed_rates: it does not depend on the policy.
      resamples: silent groups are drawn again.
      regularized: there is a penalty.
      features: Φ, where questions share parameters.
      expected: `(logits, numbers) -> up, down, reward, silent`, in place of drawing groups.

    Returns:
      `log_policy` `[times, patterns, *cells]`, `status`, `diverged` and `stats`.
    """
    seed, start, alive = fixed["seed"], fixed["start"], fixed["alive"]
    lanes = seed.ndim - 1 - (features is not None)
    group, dtype, ndim = plan.group, start.dtype, start.ndim
    part = {name: partial(each(function, lanes), held[name]) for name, function in pure.items()}
    number = {
        name: None if fixed[name] is None else expand(fixed[name], ndim)
        for name in ("low", "high", "temperature")
    }
    size = jnp.asarray(group or 1, dtype) if fixed["size"] is None else fixed["size"]
    off_policy = plan.staleness > 0 or fixed["behavior"] is not None or number["temperature"] is not None
    split = plan.importance and (off_policy or plan.epochs > 1)
    mixed = resamples and binary
    tables = fixed["tables"]
    if tables is not None and features is not None:
        tables = Tables(*(table[:, None] for table in tables))
    normalised = partial(jax.nn.log_softmax, axis=0)
    tempered = (lambda z: z) if number["temperature"] is None else (lambda z: z / number["temperature"])
    constant_rates = (
        part["rates"](normalised(start)) if fixed_rates and fixed["correlation"] is None else None
    )

    def logits(params: Array) -> Array:
        return params if features is None else start + jnp.einsum("qnf,f->nq", features, params)

    def safe(params: Array) -> Array:
        """The optimiser sees a zero where the logit of a pattern without mass is −inf."""
        return params if features is not None else jnp.where(alive, params, 0.0)

    def numbers(step: Array) -> Any:
        if plan.mode == "sde":
            return bits.normals(seed, step, 2 * start.shape[0] + 2, dtype)
        if plan.mode == "mean":
            return None
        assert group is not None
        halves = bits.uniforms(seed, step, (group + 1) // 2, dtype)
        if group % 2 or fixed["size"] is not None:
            halves = groups.padded(halves, size)
        if mixed or fixed["correlation"] is not None:
            return halves, bits.uniforms(seed, step, 1, dtype, stream=SHARED)
        return halves, None

    def rates(behavior: Array, shared: Any) -> Array:
        if constant_rates is not None:
            return constant_rates
        usual = jnp.where(alive, part["rates"](normalised(behavior)), 0.0)
        if fixed["correlation"] is None:
            return usual
        (in_mood,), (mood,) = shared
        tpr, fpr = (jnp.where(mood < fixed[name], 1.0, 0.0).astype(dtype) for name in ("tpr", "fpr"))
        return jnp.where((in_mood < fixed["correlation"])[None], part["moody"](tpr, fpr), usual)

    def draw(behavior: Array, numbers: Any) -> Any:
        if plan.mode != "sampled":
            return numbers
        halves, shared = numbers
        scores = tempered(behavior)
        scores = jnp.exp(scores - jnp.max(scores, axis=0, keepdims=True))
        if not binary:
            return groups.draw_patterns(scores, halves)
        chances = rates(behavior, shared)
        if mixed:
            assert group is not None
            return groups.draw_mixed_verdicts(scores, chances, halves, shared[0][0], group, size)
        return groups.draw_verdicts(scores, chances, halves)

    def weigh(behavior: Array, drawn: Any) -> Shares:
        if expected is not None:
            return Shares(*expected(behavior, drawn))
        assert group is not None
        if not binary:
            return groups.weigh_rewards(drawn, rates(behavior, None), part["weigh"], group, size)
        assert tables is not None
        return groups.weigh_verdicts(drawn, tables, size, split=split)

    def improve(params: Array, memory: Any, behavior: Array, shares: Shares) -> tuple[Array, Any, Array]:
        log_behavior = normalised(tempered(behavior))
        clipped = jnp.zeros(start.shape[1:], dtype)
        for epoch in range(plan.epochs):
            point = behavior if plan.stale_gradient else logits(params)
            log_policy, policy = normalised(point), jax.nn.softmax(point, axis=0)
            up, down = shares.up, shares.down
            if split and (off_policy or epoch > 0):
                drawn = alive & ((up != 0) | (down != 0))
                ratio = jnp.exp(jnp.where(drawn, log_policy - log_behavior, 0.0))
                assert down is not None
                up, down = up * ratio, down * ratio
                whole = jnp.sum(up - down, axis=0)
                if number["high"] is not None:
                    up = jnp.where(ratio <= 1 + number["high"], up, 0.0)
                if number["low"] is not None:
                    down = jnp.where(ratio >= 1 - number["low"], down, 0.0)
                lost = whole - jnp.sum(up - down, axis=0)
                clipped = clipped + lost / jnp.where(whole > 0, whole, 1.0) / plan.epochs
            weights = up if down is None else up + down
            total = jnp.sum(weights, axis=0, keepdims=True)
            if plan.geometry == "natural":
                share = jnp.where(policy > 0, weights / jnp.where(policy > 0, policy, 1.0), 0.0)
                gradient = jnp.where(alive, share - total, 0.0)
            else:
                gradient = weights - total * policy
            if regularized:
                gradient = gradient + part["penalty"](log_policy)
            if features is not None:
                gradient = jnp.einsum("qnf,nq->f", features, gradient)
            change, memory = part["update"](-gradient, memory, safe(params))
            params = params + safe(change.astype(dtype))
        return params, memory, clipped

    def step(carry: tuple[State, Any], index: Array) -> tuple[tuple[State, Any], None]:
        state, sums = carry
        now = logits(state.params) if state.behavior is None else state.behavior
        shares = weigh(now, state.group)
        params, memory, clipped = improve(state.params, state.memory, now, shares)
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
        state = State(params, memory, behavior, history, drawn, numbers(index + 2))
        sums = sums[0] + shares.reward, sums[1] + shares.silent.astype(dtype), sums[2] + clipped
        return (state, sums), None

    def record(params: Array) -> dict[str, Any]:
        log_policy = normalised(logits(params))
        seen = part["observe"](log_policy) if plan.metrics else {}
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
    behavior = fixed["behavior"]
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
    )
    before = record(params)
    state, (seen, means) = jax.lax.scan(window, state, jnp.arange(0, plan.steps, plan.record_every))
    seen = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), before, seen)
    sound = _sound(fixed, part, normalised(start), group, lanes)
    diverged = jnp.any(seen["wrong"], axis=0)
    status = jnp.where(sound, jnp.where(diverged, Status.DIVERGED, Status.OK), Status.INVALID)
    policies = normalised(logits(state.params))[None] if plan.metrics else seen["log_policy"]
    return {
        "log_policy": policies,
        "status": status.astype(jnp.int32),
        "diverged": jnp.where(diverged, jnp.argmax(seen["wrong"], axis=0) * plan.record_every, -1),
        "stats": {**seen["metrics"], **dict(zip(("reward", "silent", "clipped"), means, strict=True))},
    }


def _sound(
    fixed: dict[str, Any], part: dict[str, Callable[..., Any]], start: Array, group: int | None, lanes: int
) -> Array:
    """Whether start, reward, penalty and numbers are in range: what a traced value cannot raise, `[*lanes]`."""
    alive, rates = fixed["alive"], part["rates"](start)
    good = jnp.isfinite(start) & jnp.isfinite(rates)
    if fixed["tables"] is not None:
        good = good & (rates >= 0) & (rates <= 1)
    sound = jnp.all(jnp.where(alive, good, True), axis=0) & jnp.any(alive, axis=0)
    sound = sound & jnp.all(jnp.isfinite(part["penalty"](start)), axis=0)
    if sound.ndim > lanes:  # questions that share parameters
        sound = jnp.all(sound, axis=-1)
    ranges = {
        "learning_rate": (0.0, jnp.finfo(start.dtype).max),
        "temperature": (jnp.finfo(start.dtype).tiny, jnp.finfo(start.dtype).max),
        "correlation": (0.0, 1.0),
        "low": (0.0, 1.0),
        "high": (0.0, jnp.inf),
        "size": (1.0, group),
    }
    for name, (least, most) in ranges.items():
        value = fixed[name]
        if value is not None:
            sound = sound & (value >= least) & (value <= most)
    if fixed["size"] is not None:
        sound = sound & (fixed["size"] == jnp.round(fixed["size"]))
    return sound

r"""A training run as a simulation: a policy over reasoning patterns, its rollouts, and what a trainer logs of them.

A question offers `PATTERNS` ways of answering it, and one more: text that is broken. The policy is softmax in logits
log π_ref,q + Δ_q, and questions teach each other: with g_b the gradient of the b-th question of a batch of B in its
own logits,

$$ \Delta_q \mathrel{+}= \eta\,\frac1B\sum_b \bigl(\sigma + \tau\,[t_b = t_q] + \kappa\,[b = q]\bigr)\,g_b, $$

as a rule with σ = 1: the kernel of a linear policy whose features are the kind of a pattern, the topic of the question
and the question itself. Questions that are held out learn from the first two alone. Gradients are clipped to a norm of
`MOST`. Tokens that no pattern accounts for add ν Σ A²(1 + |log π/μ|)²/(BG)² to the square of that norm: text that the
policy no longer writes has the larger score. A step also disturbs what it does not aim at, in second order: broken text
gains `leak` · |step|² in its logit, so that small steps are harmless and large ones are not.

Rollouts have a pattern, a length (a truncated one is wrong), a verdict with errors, a format and a style. Weights are
those of `qra_jax.algorithm`, ratios those of `qra_jax.off_policy`, penalties those of `qra_jax.regularizer`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from qra_jax.algorithm import dr_grpo, grpo, rloo, switch
from qra_jax.batching import many
from qra_jax.off_policy import factor
from qra_jax.regularizer import k3_loss, reverse_kl

TRAINED, HELD_OUT, TOPICS, PATTERNS = 256, 128, 16, 12
"""Questions that are trained on and that are held out, their topics, and patterns besides broken text."""
STEPS, EVERY, OLDEST = 200, 5, 16
"""Steps of a run, steps between looks at the true policy, and what the age of rollouts is below."""
BATCH, GROUP = 16, 16
"""Most questions of a step, most rollouts of a question."""
MOST = 1.0
"""Norm that gradients are clipped to."""
SAMPLES = 4
"""Answers to a held-out question in an evaluation."""
SCATTER = 0.35
"""Standard deviation of the logarithm of a length, given question and pattern."""
BLOCK, CHUNK = 8, 32
RULES = (grpo(GROUP, ddof=1, epsilon=1e-4), dr_grpo(GROUP), rloo(GROUP))


def simulate(settings: Sequence[Mapping[str, Any]]) -> list[dict[str, np.ndarray]]:
    """Run them all, side by side in one program.

    Args:
      settings: of each run, arrays and numbers by name, as `_causes.built` makes them; equal `words` give equal
        random numbers.

    Returns:
      Of each run what is logged, `[STEPS]` each; and the truth at steps 0, `EVERY`, 2 `EVERY`, …: `true_accuracy`
      (expected, of trained questions), `true_held_out`, `true_held_out_best` (one
      of `SAMPLES` answers is right), `held_out_spread` (standard deviation of one answer's
      rightness, given the questions), `true_truncated` (share), `true_best` (share of the pattern that is best for the
      question).
    """
    places = -(-len(settings) // (2 * CHUNK)) * 2 * CHUNK
    rows = [settings[min(i, len(settings) - 1)] for i in range(places)]
    stacked = {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}
    out = {name: np.asarray(value) for name, value in _program()(stacked).items()}
    return [{name: value[i] for name, value in out.items()} for i in range(len(settings))]


@functools.cache
def _program() -> Any:
    return many(_run, block=BLOCK, chunk=CHUNK)


def solved(setting: Mapping[str, Any], xp: Any = np, cdf: Callable[[Any], Any] = ndtr) -> Any:
    """Chance `[questions, patterns + 1]` that an answer by a pattern is right and within the limit of tokens."""
    room = xp.log(setting["limit"]) - xp.log(setting["length"][None] * setting["stretch"][:, None])
    return setting["success"] * cdf(room / SCATTER)


def _run(own: dict[str, Any]) -> dict[str, Any]:
    own = {
        name: value if value.dtype in (jnp.uint32, jnp.int32) else value.astype(jnp.float32)
        for name, value in own.items()
    }
    key = jax.random.wrap_key_data(own["words"])
    own["topics"] = jax.nn.one_hot(own["topic"], TOPICS, dtype=jnp.float32)
    right = solved(own, jnp, jax.scipy.special.ndtr)
    fits = jnp.where(own["success"] > 0, right / jnp.where(own["success"] > 0, own["success"], 1), 0)
    own["fits"] = fits
    best = jax.nn.one_hot(jnp.argmax(right, axis=1), PATTERNS + 1, dtype=right.dtype)
    rule = switch(own["rule"], RULES)

    def look(delta: Any) -> dict[str, Any]:
        policy = jax.nn.softmax((own["log_ref"] + delta) / own["temperature"])
        rates = jnp.sum(policy * right, axis=1)
        held = rates[TRAINED:]
        return {
            "true_accuracy": jnp.mean(rates[:TRAINED]),
            "true_held_out": jnp.mean(held),
            "true_held_out_best": jnp.mean(1 - (1 - held) ** SAMPLES),
            "held_out_spread": jnp.sqrt(jnp.mean(held * (1 - held))),
            "true_truncated": jnp.mean(jnp.sum(policy * (1 - fits), axis=1)[:TRAINED]),
            "true_best": jnp.mean(jnp.sum(policy * best, axis=1)[:TRAINED]),
        }

    def steps(carry: Any, row: Any) -> Any:
        first, key = row
        numbers = jax.random.uniform(key, (EVERY, BATCH * (6 * GROUP + 1)), jnp.float32)
        step = functools.partial(_step, own, rule)
        carry, logged = jax.lax.scan(step, carry, (first + jnp.arange(EVERY), numbers))
        return carry, (logged, look(carry[0]))

    start = jnp.zeros_like(own["log_ref"])
    ring = jnp.zeros((OLDEST, TRAINED, PATTERNS + 1), start.dtype)
    firsts = jnp.arange(0, STEPS, EVERY)
    _, (logged, seen) = jax.lax.scan(steps, (start, ring), (firsts, jax.random.split(key, len(firsts))))
    logged = {name: value.reshape(STEPS) for name, value in logged.items()}
    return logged | {name: jnp.concatenate([value[None], seen[name]]) for name, value in look(start).items()}


def _step(own: dict[str, Any], rule: Any, carry: Any, row: Any) -> Any:
    (delta, ring), (step, numbers) = carry, row
    asked, rest = (TRAINED * numbers[:BATCH]).astype(int), numbers[BATCH:].reshape(6, BATCH, GROUP)
    lots, noise = rest[:4], jnp.sqrt(2.0) * jax.lax.erf_inv(2 * jnp.maximum(rest[4:], 1e-7) - 1)
    log_ref = jax.nn.log_softmax(own["log_ref"][asked] / own["temperature"])
    topics, success = own["topics"][asked], own["success"][asked]
    in_batch = (jnp.arange(BATCH) < own["batch"]).astype(delta.dtype)
    where = jnp.broadcast_to(jnp.arange(GROUP) < own["group"], (BATCH, GROUP))
    counted = where * in_batch[:, None]

    def mean(values: Any) -> Any:
        return jnp.sum(values * counted) / jnp.sum(counted)

    def policy_at(change: Any) -> Any:
        return jax.nn.log_softmax((own["log_ref"][asked] + change) / own["temperature"])

    # Rollouts, of the policy as it was some steps ago.
    age = jnp.minimum(own["staleness"].astype(int), step)
    ring = ring.at[step % OLDEST].set(delta[:TRAINED])
    behavior = policy_at(ring[(step - age) % OLDEST, asked])
    start = policy_at(delta[asked])
    levels = jnp.cumsum(jnp.exp(behavior), axis=1)[:, None, :-1]
    pattern = jnp.sum(lots[0][..., None] > levels, axis=-1)
    chosen = jax.nn.one_hot(pattern, PATTERNS + 1, dtype=delta.dtype)

    def of(table: Any) -> Any:
        return jnp.sum(chosen * (table[:, None] if table.ndim == 2 else table[None, None]), axis=-1)

    length = of(own["length"]) * own["stretch"][asked][:, None] * jnp.exp(SCATTER * noise[0])
    truncated = (length > own["limit"]).astype(delta.dtype)
    length, whole = jnp.minimum(length, own["limit"]), 1 - truncated
    right = (lots[1] < of(success)) * whole
    verdict = (lots[2] < jnp.where(right > 0, own["tpr"], of(own["fpr"]))) * whole
    formatted = (lots[3] < of(own["formatted"])) * whole
    style = of(own["style"]) + 0.1 * noise[1]
    reward = own["w_correct"] * verdict + own["w_format"] * formatted + own["w_style"] * style

    def spread(values: Any) -> Any:
        centre = jnp.mean(values, axis=1, where=where, keepdims=True)
        total = jnp.sum((values - centre) ** 2, axis=1, where=where)
        return jnp.sqrt(total / (own["group"] - 1))

    deviation = spread(reward)
    silent = (deviation < 1e-5).astype(delta.dtype)

    # Weights, and the step.
    weights = jax.vmap(rule.weights)(reward, where) * counted
    shares = jnp.stack([0 * length + 1, own["usual"] / length, own["usual"] / mean(length) + 0 * length])
    weights = weights * shares[own["normalize"].astype(int)] * (1 - own["masked"] * truncated)
    sampler = jnp.where(own["corrected"] > 0, of(behavior), of(start))
    ratio, low, high = jnp.exp(of(start) - sampler), own["clip_low"], own["clip_high"]
    cut = {"low": (ratio < 1 - low) & (weights < 0), "high": (ratio > 1 + high) & (weights > 0)}
    clip = functools.partial(factor, "clip", ratio, low=low, high=high, dual_clip=None, gate=(1.0, 1.0))
    weights = weights * jnp.where(weights > 0, clip(True), clip(False))
    beta = own["beta"] * own["spread"]
    pulls = [jax.vmap(make(beta).advantage)(start, log_ref) for make in (k3_loss, reverse_kl)]
    pull = jnp.where(own["k3"] > 0, *pulls)
    push = (weights + of(pull) * counted) / own["group"]
    each = jnp.einsum("bg,bgk->bk", push, chosen) - jnp.sum(push, axis=1)[:, None] * jnp.exp(start)
    exact = _expected(own, rule, start, success, own["fits"][asked]) + pull
    exact = jnp.exp(start) * (exact - _mean(start, exact)) * in_batch[:, None]
    each = jnp.where(own["exact"] > 0, exact, each) / own["batch"]
    shared, by_topic = jnp.sum(each, axis=0), topics.T @ each
    squares = own["sharing"] * jnp.sum(shared**2) + own["tau"] * jnp.sum(by_topic**2)
    squares = squares + own["kappa"] * jnp.sum(each**2)
    surprise = 1 + jnp.abs(of(start) - of(behavior))
    tokens = own["noise"] * jnp.sum((push * surprise / own["batch"]) ** 2) * (1 - own["exact"])
    norm_of = jnp.sqrt(squares + tokens)
    size = own["rate"] * _schedule(own, step) * jnp.minimum(1, MOST / jnp.maximum(norm_of, MOST))
    moved = delta + size * (own["sharing"] * shared[None] + own["tau"] * (own["topics"] @ by_topic))
    moved = moved.at[asked].add(size * own["kappa"] * each)
    moved = moved.at[:, -1].add(own["leak"] * (size * norm_of) ** 2)
    away = jnp.where(jnp.isfinite(of(log_ref)), of(log_ref) - of(start), 0.0)
    decided = own["spread"] / length
    token_entropy = own["token_entropy"][None] - own["entropy_share"] * start
    logged = {
        "reward": mean(reward),
        "reward_std": jnp.sum(deviation * in_batch) / own["batch"],
        "silent": jnp.sum(silent * in_batch) / own["batch"],
        "kl": mean(jnp.maximum(jnp.expm1(away) - away, 0) * decided),
        "entropy": jnp.sum(_mean(start, token_entropy)[:, 0] * in_batch) / own["batch"],
        "length": mean(length),
        "shortest": jnp.min(jnp.where(counted > 0, length, jnp.inf)),
        "longest": jnp.max(length * counted),
        "truncated": mean(truncated),
        "policy_loss": -mean(weights * length / own["usual"]),
        "grad_norm": norm_of,
        "schedule": _schedule(own, step),
        "ppo_kl": mean((sampler - of(start)) * decided),
        "mismatch": mean((surprise - 1) * decided),
        "right": mean(right),
    }
    logged |= {f"clip_{side}": mean(flag * decided) for side, flag in cut.items()}
    for name, value in (("correct", verdict), ("format", formatted), ("style", style)):
        variance = jnp.maximum(mean(value**2) - mean(value) ** 2, 0)
        logged |= {name: mean(value), f"{name}_std": jnp.sqrt(variance)}
    return (moved, ring), logged


def _expected(own: dict[str, Any], rule: Any, log_policy: Any, success: Any, fits: Any) -> Any:
    """Mean advantage of each pattern `[questions, patterns + 1]`, up to a constant, in groups without end."""
    parts = {
        "correct": fits * (success * own["tpr"] + (1 - success) * own["fpr"][None]),
        "format": fits * own["formatted"][None],
        "style": own["style"][None] + 0 * fits,
    }
    mean = sum(own[f"w_{name}"] * value for name, value in parts.items())
    scatter = sum(own[f"w_{name}"] ** 2 * parts[name] * (1 - parts[name]) for name in ("correct", "format"))
    square = _mean(log_policy, mean**2 + scatter) + (0.1 * own["w_style"]) ** 2
    spread = jnp.sqrt(jnp.maximum(square - _mean(log_policy, mean) ** 2, 1e-12))
    return rule.limit_real_clock(rule.params, spread, jnp.inf) * mean


def _mean(log_policy: Any, values: Any) -> Any:
    return jnp.sum(jnp.exp(log_policy) * values, axis=-1, keepdims=True)


def _schedule(own: dict[str, Any], step: Any) -> Any:
    """Learning rate over its largest: warm-up, then constant, linear or cosine down to zero."""
    part = jnp.clip(step / own["steps"], 0, 1)
    down = jnp.stack([jnp.ones_like(part), 1 - part, (1 + jnp.cos(jnp.pi * part)) / 2])
    return jnp.minimum((step + 1) / own["warmup"], 1) * down[own["decay"].astype(int)]

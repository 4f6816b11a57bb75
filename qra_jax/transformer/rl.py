r"""Reinforcement learning of a network on its own samples, with the weights of `qra_jax.algorithm`.

A step draws questions, samples a group of G sequences for each, verifies them, turns each group's rewards into weights
A_i with the same `Algorithm` as tabular training, and ascends

$$ \frac1{NG}\sum_{n,i} A_i \sum_t \nu_i \nabla\log\pi_\theta(o_t\mid o_{<t}), $$

where ν_i is 1, 1/|o_i| or G/Σ|o|. All of it is one `lax.scan`; map it over keys and numbers with `jax.vmap`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from qra_jax import _check
from qra_jax.algorithm import Algorithm
from qra_jax.regularizer import Regularizer, velocity
from qra_jax.transformer.model import Model, Params, score, status, wide
from qra_jax.transformer.reward import SequenceReward, verifiable
from qra_jax.transformer.sampling import Questions, Rollouts, sample
from qra_jax.transformer.task import Task, Verdict

NORMALIZATIONS = ("constant", "length", "tokens")
PENALTIES = ("position", "sequence")
DECISIONS = ("all", "pattern")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Run:
    """A training run of a network.

    Attributes:
      step: `[times]`, number of updates at each record.
      params: the last parameters.
      seen: what `probe` returned, leading axis `[times]`.
      stats: `[times − 1]` each, means over the steps between records: `reward`, `right` (answers, announced or
        not), `formatted`, `silent` (groups whose rewards are all equal), `length`, `entropy` (nats a token).
      status: a `Status`: OK, or DIVERGED where parameters have left the numbers.
    """

    step: Int[Array, "*b times"]
    params: Params
    seen: Any
    stats: dict[str, Float[Array, "*b windows"]]
    status: Int[Array, "*b"]


def train(
    key: Array,
    model: Model,
    params: Params,
    task: Task,
    *,
    algorithm: Algorithm,
    steps: int,
    questions: int,
    learning_rate: float | Array,
    group_size: int | None = None,
    reward: SequenceReward | None = None,
    regularizers: Sequence[Regularizer] = (),
    penalty: str = "position",
    reference: Params | None = None,
    optimizer: Callable[[Any], optax.GradientTransformation] = optax.adam,
    normalize: str = "constant",
    clip: tuple[float | Array, float | Array] | None = None,
    epochs: int = 1,
    temperature: float | Array = 1.0,
    decisions: str = "all",
    record_every: int = 1,
    probe: Callable[[Params], Any] | None = None,
) -> Run:
    r"""Train a network by reinforcement learning.

    Args:
      key: PRNG key.
      model: the network.
      params: where it starts.
      task: draws questions and verifies answers.
      algorithm: turns the rewards of a group into weights. DAPO's silent groups are left out of the mean, as if the
        batch were filled up with other questions (tabular DAPO draws the same question again: the two agree on
        average for many questions that are alike, and with a single question nothing is left out).
      steps: batches of rollouts, ≥ 1.
      questions: N of a step, ≥ 1.
      learning_rate: η ≥ 0; may be traced.
      group_size: G; the algorithm's own where left out.
      reward: of a sequence; the perfect verifier where left out.
      regularizers: penalties against the reference, as in tabular training.
      penalty: what they act on: `"position"`, each token distribution along the samples, whole (k3 as in practice);
        `"sequence"`, the probability of whole sequences, by their score (the KL of the theory, unbiased, not
        divided by lengths; one epoch only).
      reference: π_ref; the starting parameters where left out.
      optimizer: from a learning rate to an optax transformation.
      normalize: ν: `"constant"` 1, `"length"` 1/|o_i|, `"tokens"` G/Σ_j |o_j| of the group.
      clip: (low, high) of the ratio to the policy that sampled, per token as in PPO: gains end at 1 + high for
        positive weights, at 1 − low for negative ones.
      epochs: gradient steps on a batch, ≥ 1; beyond the first with importance ratios.
      temperature: of sampling *and* of the policy that learns: π ∝ exp(z/temperature).
      decisions: `"all"` tokens learn, or `"pattern"`, the first one alone.
      record_every: steps between records; divides `steps`.
      probe: `params -> pytree`, what to record, also before the first step.

    Returns:
      A `Run`.

    Raises:
      ValueError: an argument out of range.

    Reference: Shao et al., arXiv 2402.03300; Liu et al., arXiv 2503.20783 (1/|o|); Yu et al., arXiv 2503.14476.
    """
    for name, value in (("steps", steps), ("questions", questions), ("epochs", epochs)):
        _check.integer(name, value, low=1)
    if steps % _check.integer("record_every", record_every, low=1):
        raise ValueError(f"record_every: {record_every}; must divide steps = {steps}")
    _check.choice("normalize", normalize, NORMALIZATIONS)
    _check.choice("penalty", penalty, PENALTIES)
    _check.choice("decisions", decisions, DECISIONS)
    _check.positive("temperature", temperature)
    _check.nonnegative("learning_rate", learning_rate)
    group = algorithm.group_size if group_size is None else group_size
    if group is None:
        raise ValueError(
            f"group_size: None; {algorithm.name} leaves it open, so it must be given, 1 or above"
        )
    if algorithm.group_size not in (None, group):
        raise ValueError(f"group_size: {group}; must be that of the algorithm, {algorithm.group_size}")
    _check.integer("group_size", group, low=1)
    if regularizers and penalty == "sequence" and epochs > 1:
        raise ValueError(
            f"epochs: {epochs}; must be 1 with penalty='sequence', which is of on-policy samples"
        )
    if clip is not None and len(clip) != 2:
        raise ValueError(f"clip: {clip}; must be a pair (low, high)")
    for name, bound in zip(("clip[0]", "clip[1]"), clip or (), strict=False):
        _check.nonnegative(name, bound)
    reward, reference = reward or verifiable(), params if reference is None else reference
    optimiser = optimizer(learning_rate)
    draw = partial(sample, group=group, length=task.length, end=task.end, temperature=temperature)

    def step(carry: tuple[Params, Any], index: Array) -> tuple[tuple[Params, Any], dict[str, Array]]:
        params, memory = carry
        keys = jax.random.split(jax.random.fold_in(key, index), 4)
        asked = task.draw(keys[0], questions)
        rollouts = draw(keys[1], model, params, asked)
        verdict = task.verify(keys[2], asked, rollouts)
        rewards = reward(keys[3], rollouts, verdict)
        weights = jax.vmap(algorithm.weights)(rewards)
        silent = jnp.max(rewards, axis=-1) == jnp.min(rewards, axis=-1)
        if algorithm.resamples_silent:
            weights = weights * questions / jnp.maximum(jnp.sum(~silent), 1)
        learns = rollouts.where
        if decisions == "pattern":
            learns = learns & (jnp.arange(task.length) == 0)[None, None]
        anchor = None
        if regularizers:
            anchor = log_probs(model, reference, asked, rollouts.tokens, temperature)
        for epoch in range(epochs):
            slope = jax.grad(
                lambda params, fresh=epoch == 0: objective(
                    log_probs(model, params, asked, rollouts.tokens, temperature),
                    rollouts.tokens,
                    learns,
                    weights,
                    old=None if fresh else rollouts.log_prob,
                    clip=clip,
                    normalize=normalize,
                    anchor=anchor,
                    regularizers=regularizers,
                    penalty=penalty,
                )
            )(params)
            descent = wide(jax.tree.map(jnp.negative, slope))
            change, memory = optimiser.update(descent, memory, wide(params))
            params = optax.apply_updates(params, change)
        stats = statistics(rollouts, verdict, rewards)
        return (params, memory), stats | {"silent": jnp.mean(silent.astype(rewards.dtype))}

    carry = params, optimiser.init(wide(params))
    times, (params, _), seen, stats = recorded(step, carry, steps, record_every, probe)
    return Run(times, params, seen, stats, status(params))


def statistics(
    rollouts: Rollouts, verdict: Verdict, rewards: Float[Array, "N G"]
) -> dict[str, Float[Array, ""]]:
    """Means over a batch: reward, right answers, formatted ones, length, and entropy of a token in nats."""
    tokens = jnp.sum(rollouts.where)
    return {
        "reward": jnp.mean(rewards),
        "right": jnp.mean(verdict.right.astype(rewards.dtype)),
        "formatted": jnp.mean(verdict.formatted.astype(rewards.dtype)),
        "length": tokens / rewards.size,
        "entropy": jnp.sum(rollouts.entropy) / tokens,
    }


def recorded(
    step: Callable[[Any, Array], tuple[Any, Any]],
    carry: Any,
    steps: int,
    record_every: int,
    probe: Callable[[Params], Any] | None,
) -> tuple[Array, Any, Any, Any]:
    """Take steps, and look at the parameters before the first and after every so many.

    Args:
      step: `(carry, index) -> (carry, statistics)`; the carry begins with the parameters.
      carry: where to start.

    As for [`train`][]: `steps`, `record_every`, `probe`.

    Returns:
      Times of the records, the last carry, what the probe saw, and means of the statistics between records.
    """
    look = probe or (lambda params: ())

    def window(carry: Any, first: Array) -> tuple[Any, Any]:
        """Look, then take the steps up to the next record (none after the last): one copy of the probe."""
        seen = look(carry[0])

        def turn(i: Array, state: Any) -> Any:
            carry, stats = step(state[0], first + i)
            return carry, jax.tree.map(jnp.add, state[1], stats)

        count = jnp.where(first < steps, record_every, 0)
        carry, stats = jax.lax.fori_loop(0, count, turn, (carry, zero))
        return carry, (seen, jax.tree.map(lambda x: x / record_every, stats))

    shapes = jax.eval_shape(step, carry, jnp.asarray(0))[1]
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    times = jnp.arange(0, steps + 1, record_every)
    carry, (seen, stats) = jax.lax.scan(window, carry, times)
    return times, carry, seen, jax.tree.map(lambda x: x[:-1], stats)


def sgd_or_adam(adam: bool | Array) -> Callable[[Any], optax.GradientTransformation]:
    """Plain gradient descent, or Adam where `adam`, as one compiled program: for sweeps over both.

    Args:
      adam: may be traced.

    Returns:
      From a learning rate to an optax transformation, as `optimizer` of [`train`][].
    """

    def make(rate: Any) -> optax.GradientTransformation:
        scaled = optax.scale_by_adam()

        def update(updates: Any, state: Any, params: Any = None) -> Any:
            change, state = scaled.update(updates, state, params)
            pick = lambda c, g: -jnp.where(adam, c, g) * jnp.asarray(rate, g.dtype)  # noqa: E731
            return jax.tree.map(pick, change, updates), state

        return optax.GradientTransformation(scaled.init, update)

    return make


def log_probs(
    model: Model,
    params: Params,
    questions: Questions,
    tokens: Int[Array, "N G T"],
    temperature: float | Array = 1.0,
) -> Float[Array, "N G T V"]:
    """Log-probabilities of all tokens at each place of given sequences, by teacher forcing.

    Args:
      model: the network.
      params: its parameters.
      questions: `[N]`.
      tokens: `[N, G, T]`.
      temperature: scores are divided by it.

    Returns:
      `[N, G, T, V]`.
    """
    logits, _ = score(model, params, questions.prompt, questions.real, tokens)
    return jax.nn.log_softmax(logits / jnp.asarray(temperature, logits.dtype))


def objective(
    log_probs: Float[Array, "N G T V"],
    tokens: Int[Array, "N G T"],
    learns: Array,
    weights: Float[Array, "N G"],
    *,
    old: Float[Array, "N G T"] | None = None,
    clip: tuple[float | Array, float | Array] | None = None,
    normalize: str = "constant",
    anchor: Float[Array, "N G T V"] | None = None,
    regularizers: Sequence[Regularizer] = (),
    penalty: str = "position",
) -> Float[Array, ""]:
    r"""What a step ascends: only its gradient in `log_probs` has a meaning.

    Args:
      log_probs: `[N, G, T, V]`, of the policy that learns.
      tokens: `[N, G, T]`, what was sampled.
      learns: `[N, G, T]`, which places count.
      weights: `[N, G]`, A_i.
      old: `[N, G, T]`, log-probabilities when the tokens were sampled, where that was another policy.
      anchor: `[N, G, T, V]`, log π_ref, with `regularizers`.

    As for [`train`][]: `clip`, `normalize`, `regularizers`, `penalty`.

    Returns:
      Scalar.
    """
    emitted = jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
    emitted = jnp.where(learns, emitted, 0.0)
    weights = jax.lax.stop_gradient(weights)
    if regularizers and penalty == "sequence":
        assert anchor is not None
        base = jnp.where(learns, jnp.take_along_axis(anchor, tokens[..., None], axis=-1)[..., 0], 0.0)
        own = jax.lax.stop_gradient(jnp.sum(emitted, axis=-1))
        extra = sum(jax.vmap(term.advantage)(own, jnp.sum(base, axis=-1)) for term in regularizers)
        size = tokens.shape[1]
        if size > 1:  # the others' mean as the baseline: no bias
            extra = (extra - jnp.mean(extra, axis=-1, keepdims=True)) * size / (size - 1)
        gain = jnp.mean(extra * jnp.sum(emitted, axis=-1))
    else:
        gain = jnp.zeros((), log_probs.dtype)
    if old is None:
        per_token = weights[..., None] * emitted
    else:
        ratio = jnp.exp(jnp.where(learns, emitted - old, 0.0))
        per_token = weights[..., None] * ratio
        if clip is not None:
            low, high = (jnp.asarray(bound, ratio.dtype) for bound in clip)
            per_token = jnp.minimum(per_token, weights[..., None] * jnp.clip(ratio, 1 - low, 1 + high))
    if regularizers and penalty == "position":
        assert anchor is not None
        now = jax.lax.stop_gradient(log_probs)
        ascend = lambda now, anchor: velocity(regularizers, now, anchor)  # noqa: E731
        for _ in range(now.ndim - 1):
            ascend = jax.vmap(ascend)
        # Velocities sum to zero over the vocabulary, so scores and log-probabilities have the same derivative.
        per_token = per_token + jnp.sum(ascend(now, anchor) * log_probs, axis=-1)
    per_token = jnp.where(learns, per_token, 0.0)
    length = jnp.sum(learns, axis=-1, keepdims=True)
    if normalize == "length":
        per_token = per_token / jnp.maximum(length, 1)
    elif normalize == "tokens":
        per_token = per_token / jnp.maximum(jnp.mean(length, axis=-2, keepdims=True), 1)
    return gain + jnp.sum(per_token) / (tokens.shape[0] * tokens.shape[1])

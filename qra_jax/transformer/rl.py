r"""Reinforcement learning of a network on its own samples, with the weights of `qra_jax.algorithm`.

A step draws questions, samples a group of G sequences for each, verifies them, turns each group's rewards into weights
A_i with the same `Algorithm` as tabular training, and ascends

$$ \frac1{NG}\sum_{n,i} A_i \sum_t \nu_i \nabla\log\pi_\theta(o_t\mid o_{<t}), $$

where ν_i is a length normalisation; what old rollouts change of it is in `surrogate`, penalties are in `penalty`. All
of it is one `lax.scan`; map it over keys and numbers with `jax.vmap`. What single tokens are paid instead of A_i is in
`credit`.
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
from qra_jax.off_policy import OffPolicy
from qra_jax.regularizer import Regularizer
from qra_jax.trajectory import Outcome
from qra_jax.transformer import (
    batch,
    credit as credits,
    history,
    penalty as penalties,
    surrogate,
    teaching as lessons,
)
from qra_jax.transformer.masks import TokenMask
from qra_jax.transformer.model import Model, Params, score, status, wide
from qra_jax.transformer.reward import SequenceReward, verifiable
from qra_jax.transformer.sampling import Questions, Rollouts, sample
from qra_jax.transformer.surrogate import NORMALIZATIONS, ON_POLICY, objective
from qra_jax.transformer.task import Task, Verification
from qra_jax.transformer.teaching import Teaching
from qra_jax.tree.credit import Credit, uniform

PENALTIES = ("position", "sequence")
DECISIONS = ("all", "pattern")
_UNIFORM = uniform()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Run(Outcome):
    """A training run of a network.

    Attributes:
      step: `[times]`, number of updates at each record.
      params: the last parameters.
      seen: what `probe` returned, leading axis `[times]`.
      stats: `[times − 1]` each, means over the steps between records: `reward`, `right` (answers, announced or
        not), `formatted`, `silent` (groups whose rewards are all equal), `length`, `entropy` (nats a token), `tokens`
        (sampled in a step, those of value rollouts and greedy answers among them); with `teaching` also `taught`,
        tokens of the demonstrations learnt from in a step, and `shown`, how many demonstrations these are.
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
    off_policy: OffPolicy = ON_POLICY,
    token_mask: TokenMask | None = None,
    decisions: str = "all",
    credit: Credit = _UNIFORM,
    teaching: Teaching | None = None,
    record_every: int = 1,
    probe: Callable[[Params], Any] | None = None,
) -> Run:
    r"""Train a network by reinforcement learning.

    Args:
      key: PRNG key.
      model: the network.
      params: where it starts.
      task: draws questions and verifies answers.
      algorithm: turns the rewards of a group into weights. Where it draws silent groups again, they are left out of
        the mean, as if the batch were filled up with other questions (tabular training draws the same question again:
        the two agree on average for many questions that are alike, and with a single question nothing is left out).
        Where it rescales by the whole batch, see `qra_jax.transformer.batch.batch_scaled`.
      steps: batches of rollouts, ≥ 1.
      questions: N of a step, ≥ 1.
      learning_rate: η ≥ 0; may be traced.
      group_size: G; default: the algorithm's own.
      reward: of a sequence; default: the perfect verifier.
      regularizers: penalties against the reference, as in tabular training; with `estimate="samples"` they act on the
        sampled tokens alone, as in trainers.
      penalty: what exact ones act on: `"position"`, each token distribution along the samples, whole; `"sequence"`,
        the probability of whole sequences, by their score (the KL of the theory, unbiased, not divided by lengths;
        on-policy only).
      reference: π_ref; default: the starting parameters.
      optimizer: from a learning rate to an optax transformation.
      normalize: ν: `"constant"` 1, `"length"` 1/|o_i|, `"tokens"` G/Σ_j |o_j| of the group, `"batch_tokens"` N·G over
        all tokens of the batch. GSPO as published has `"length"`; with `"constant"` each sequence's loss is multiplied
        by its length, which is LUSPO.
      off_policy: age and temperature of the rollouts, how often they are used, and how that is corrected. A token's
        ratio is π/μ, or π/π_old with a correction, whose own ratio is π_old/μ; the sampler's scores are divided by
        `temperature` × `sampling_temperature`. On-policy, GSPO, its token-level variant GSPO-token and all other
        surrogates have the same gradient; off-policy GSPO-token's is GSPO's, too, as the weights of all tokens of a
        sequence are equal. `clip` is a range of ratios for GMPO, too: the paper's $e^{\pm.4}$ is `(.33, .49)`.
      token_mask: which tokens the reward teaches; default: all of them.
      decisions: `"all"` tokens learn, or `"pattern"`, the first one alone.
      credit: how tokens are paid, from `qra_jax.tree.credit`; a state is a question with the tokens written so far,
        and `segments` are places of tokens, 0 being the first of the answer. `exact()` needs a task whose right
        sequences can be enumerated (controlled ones and trees; not arithmetic, in which anything may be written before
        the answer). `monte_carlo(K)` continues K times from the state before each token, or before each segment.
        `critic(rate)` is a linear head on the hidden states, which the network's own gradient does not see: the
        least-squares fit to the returns of about the last 1/rate steps, used before the step's own are added. Under
        an algorithm with normalisation values are multiplied by the algorithm's scale, as in a tree: its clock with
        exact values, and else the slope of each rollout's weight in its own reward (see `qra_jax.transformer.credit`).
        Values are of the policy that samples, so they need on-policy rollouts; `process()` is not for networks.
      teaching: a supervised step beside that of RL, for some of the questions, from `qra_jax.transformer.teaching`.
      record_every: steps between records; divides `steps`.
      probe: `params -> pytree`, what to record, also before the first step.

    Returns:
      A `Run`.

    Raises:
      ValueError: an argument out of range, or a combination that has no meaning.

    Reference: Shao et al., arXiv 2402.03300; Liu et al., arXiv 2503.20783 (1/|o|); Yu et al., arXiv 2503.14476;
      Zheng et al., arXiv 2507.18071, eq. 13–17 (GSPO-token); Liu et al., arXiv 2602.05261 (LUSPO).
    """
    for name, value in (("steps", steps), ("questions", questions)):
        _check.integer(name, value, low=1)
    if steps % _check.integer("record_every", record_every, low=1):
        raise ValueError(f"record_every: {record_every}; must divide steps = {steps}")
    _check.choice("normalize", normalize, NORMALIZATIONS)
    _check.choice("penalty", penalty, PENALTIES)
    _check.choice("decisions", decisions, DECISIONS)
    _check.nonnegative("learning_rate", learning_rate)
    group = algorithm.group_size if group_size is None else group_size
    if group is None:
        raise ValueError(
            f"group_size: None; {algorithm.name} leaves it open, so it must be given, 1 or above"
        )
    if algorithm.group_size not in (None, group):
        raise ValueError(f"group_size: {group}; must be that of the algorithm, {algorithm.group_size}")
    _check.integer("group_size", group, low=1)
    if algorithm.size is not None or algorithm.normalize != "constant" or algorithm.pairs is not None:
        raise ValueError(
            f"algorithm: {algorithm.name} with a traced group size, a normalization or pairs of its own; must have "
            "none in a network (normalize= divides by lengths)"
        )
    surrogate.check(off_policy, decisions, task.length)
    history.check(off_policy)
    penalties.check(regularizers, penalty)
    credits.check(credit, task, algorithm, reward or verifiable(), off_policy, token_mask)
    lessons.check(teaching, steps)
    if regularizers and penalty == "sequence" and not off_policy.on_policy:
        raise ValueError(
            f"off_policy: {off_policy}; must be on-policy with penalty='sequence', which is of on-policy samples"
        )
    reward, reference = reward or verifiable(), params if reference is None else reference
    optimiser = optimizer(learning_rate)
    temperature, cooling = (
        1.0 if one is None else one for one in (off_policy.temperature, off_policy.sampling_temperature)
    )
    draw = partial(sample, group=group, length=task.length, end=task.end, temperature=temperature)
    if off_policy.sampling_temperature is not None:
        draw = partial(draw, temperature=temperature * cooling, own_temperature=temperature)
    forced = partial(log_probs, model, temperature=temperature)
    alone = partial(sample, group=1, length=task.length, end=task.end, greedy=True)
    sized = algorithm.with_group_size(group)

    def step(
        carry: tuple[Params, Any, Any], index: Array
    ) -> tuple[tuple[Params, Any, Any], dict[str, Array]]:
        params, memory, state = carry
        own = jax.random.fold_in(key, index)
        keys = jax.random.split(own, 4)
        asked = task.draw(keys[0], questions)
        sampler, past = history.sampler(off_policy, params, state["sampler"], index)
        rollouts = draw(keys[1], model, sampler, asked)
        verdict = task.verify(keys[2], asked, rollouts)
        rewards = reward(keys[3], rollouts, verdict)
        tokens = jnp.sum(rollouts.where).astype(rewards.dtype)
        silent, critic = batch.silent(rewards), state["critic"]
        if credit.source != "return":
            seen = credits.Seen(jax.random.fold_in(keys[1], 1), asked, rollouts, rewards)
            estimate, spent, critic = credits.values(
                credit,
                seen,
                task,
                reward,
                critic,
                forced=partial(forced, params),
                hidden=lambda: score(model, params, asked.prompt, asked.real, rollouts.tokens)[1],
                draw=partial(draw, model=model, params=params),
            )
            weights = credits.weights(credit, sized, seen, estimate)
            tokens = tokens + spent
        elif algorithm.greedy_baseline:
            best = alone(keys[1], model, sampler, asked)
            tokens = tokens + jnp.sum(best.where)
            judged = task.verify(jax.random.fold_in(keys[2], 1), asked, best)
            rewards_of_best = reward(jax.random.fold_in(keys[3], 1), best, judged)
            weights = jax.vmap(algorithm.weights)(rewards - rewards_of_best)
        elif algorithm.by_length:
            lengths = rollouts.length.astype(rewards.dtype)
            weights = jax.vmap(lambda earned, tokens: algorithm.weights(earned, None, tokens))(
                rewards, lengths
            )
        else:
            weights = jax.vmap(algorithm.weights)(rewards)
        if credit.source == "return":
            weights = batch.batch_scaled(algorithm.batch, rewards, weights)
            if algorithm.resamples_silent:
                weights = weights * batch.active_scale(silent, weights.dtype)
        weights = credits.trained(credit, weights, rollouts)
        learns = rollouts.where
        if decisions == "pattern":
            learns = learns & (jnp.arange(task.length) == 0)[None, None]
        anchor, scale = _references(forced, reference, state["references"], asked, rollouts.tokens)
        below, weight = rollouts.log_prob, None
        if off_policy.correction is not None and not off_policy.fresh:
            below = rollouts.own
            if off_policy.staleness:  # the policy of now, which is another than the one that sampled
                below = penalties.at(forced(params, asked, rollouts.tokens), rollouts.tokens)
            weight = surrogate.correction(off_policy, below, rollouts.log_prob, learns)
        given = None
        if teaching is not None:
            given = teaching.given(jax.random.fold_in(own, 4), index, asked, rollouts, rewards)
        # Whether ratios are one before the first update.
        equal = off_policy.fresh or off_policy.correction is not None
        for epoch in range(off_policy.epochs):
            slope = jax.grad(
                lambda params, epoch=epoch: objective(
                    forced(params, asked, rollouts.tokens),
                    rollouts.tokens,
                    learns,
                    weights,
                    off_policy=off_policy,
                    old=None if equal and epoch == 0 else below,
                    sampled=None if off_policy.fresh and epoch == 0 else rollouts.log_prob,
                    correction=weight,
                    normalize=normalize,
                    token_mask=token_mask,
                    key=None if token_mask is None else jax.random.fold_in(keys[3], epoch + 1),
                    anchor=anchor,
                    scale=scale,
                    regularizers=regularizers,
                    penalty=penalty,
                    entropy=credit.entropy,
                )
            )(params)
            slope = slope if given is None else given.added(slope, model, params)
            descent = wide(jax.tree.map(jnp.negative, slope))
            change, memory = optimiser.update(descent, memory, wide(params))
            params = optax.apply_updates(params, change)
        later = []
        for i, (term, last) in enumerate(zip(regularizers, state["references"], strict=True)):
            update, kl = term.reference, None
            if penalties.adapts(update):
                apart = jnp.where(learns, rollouts.own - penalties.at(anchor[i], rollouts.tokens), 0.0)
                number = rewards.size if penalty == "sequence" else jnp.sum(learns)
                kl = jnp.sum(apart) / number
            later.append(penalties.next_reference(update, last, params, index, kl))
        stats = statistics(rollouts, verdict, rewards)
        stats |= {"silent": jnp.mean(silent.astype(rewards.dtype)), "tokens": tokens} | (
            given.stats if given else {}
        )
        return (params, memory, {"sampler": past, "references": later, "critic": critic}), stats

    state = {
        "sampler": history.start(off_policy, params),
        "references": penalties.start(regularizers, reference),
        "critic": credits.critic_start(model, params) if credit.source == "critic" else None,
    }
    carry = params, optimiser.init(wide(params)), state
    times, (params, *_), seen, stats = recorded(step, carry, steps, record_every, probe)
    return Run(times, params, seen, stats, status(params))


def _references(
    forced: Callable[..., Array],
    reference: Params,
    states: Sequence[dict[str, Any]],
    asked: Questions,
    tokens: Array,
) -> tuple[Any, list[Array | None] | None]:
    """log π_ref and factor of the coefficient for each term; one array for all where nothing moves or adapts."""
    if not states:
        return None, None
    if not any(states):
        return forced(reference, asked, tokens), None
    fixed = None if all("params" in one for one in states) else forced(reference, asked, tokens)
    anchor = [forced(one["params"], asked, tokens) if "params" in one else fixed for one in states]
    return anchor, [one.get("scale") for one in states]


def statistics(
    rollouts: Rollouts, verdict: Verification, rewards: Float[Array, "N G"]
) -> dict[str, Float[Array, ""]]:
    """Means over a batch: reward, right answers, formatted ones, length, and entropy of a token in nats."""
    tokens = jnp.sum(rollouts.where)
    return {
        "reward": jnp.mean(rewards),
        "right": jnp.mean(verdict.right.astype(rewards.dtype)),
        "formatted": jnp.mean(verdict.formatted.astype(rewards.dtype)),
        "length": tokens.astype(rewards.dtype) / rewards.size,
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

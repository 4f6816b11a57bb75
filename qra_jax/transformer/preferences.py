r"""Preferences: DPO of a network on pairs of a chosen and a rejected sequence, and read-outs of such pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _check
from qra_jax.algorithm.preference import PAIRINGS, ches
from qra_jax.transformer.model import Model, Params, score, status, wide
from qra_jax.transformer.reward import SequenceReward, verifiable
from qra_jax.transformer.rl import Run, log_probs, recorded, statistics
from qra_jax.transformer.sampling import Questions, sample
from qra_jax.transformer.task import Task


def prefer(
    key: Array,
    model: Model,
    params: Params,
    task: Task,
    *,
    beta: float | Array,
    steps: int,
    questions: int,
    learning_rate: float | Array,
    group_size: int = 8,
    iterated: bool | Array = True,
    pairing: str = "random",
    reward: SequenceReward | None = None,
    optimizer: Callable[[Any], optax.GradientTransformation] = optax.adam,
    record_every: int = 1,
    probe: Callable[[Params], Any] | None = None,
) -> Run:
    r"""Train a network by DPO on a chosen and a rejected sequence of each question, from a group of samples.

    $$ L = -\frac1N\sum_n\log\sigma\Bigl(\beta\Bigl[\log\frac{\pi(w_n)}{\pi_{\rm ref}(w_n)}
       - \log\frac{\pi(l_n)}{\pi_{\rm ref}(l_n)}\Bigr]\Bigr) $$

    Questions without a pair are left out of the sum: those of which no sequence, or every one, is right; under
    `"extremes"` those of which all earn the same. Ties of a rule are broken at random. Pairs are fresh at every step,
    offline too, where they come from π_ref: there is no set of pairs that could be learnt by heart. π_ref are the first
    parameters throughout.

    Args:
      key: PRNG key.
      model: the network.
      params: where it starts; also π_ref.
      task: draws questions and verifies answers.
      beta: β > 0; may be traced.
      steps: updates, ≥ 1.
      questions: N of a step, ≥ 1.
      learning_rate: η ≥ 0; may be traced.
      group_size: G ≥ 2, sequences from which the pair of a question is drawn.
      iterated: sample from the policy of the step, or else from π_ref throughout (offline); may be traced.
      pairing: `"random"`, a right sequence and a wrong one; `"longest"`, the right one of most tokens and a wrong one;
        `"extremes"`, the one that earns most and the one that earns least.
      reward: of a sequence, above zero for right ones; default: the perfect verifier.
      optimizer: from a learning rate to an optax transformation.
      record_every: steps between records; divides `steps`.
      probe: `params -> pytree`, what to record, also before the first step.

    Returns:
      A `Run`; `silent` is the share of questions without a pair.

    Raises:
      ValueError: an argument out of range.

    Reference: Rafailov et al., arXiv 2305.18290, eq. 7; Tu et al., arXiv 2503.12854 (iterated, on verified answers).
    """
    for name, value in (("steps", steps), ("questions", questions)):
        _check.integer(name, value, low=1)
    if steps % _check.integer("record_every", record_every, low=1):
        raise ValueError(f"record_every: {record_every}; must divide steps = {steps}")
    _check.integer("group_size", group_size, low=2)
    _check.choice("pairing", pairing, PAIRINGS)
    _check.positive("beta", beta)
    _check.nonnegative("learning_rate", learning_rate)
    reward, start, optimiser = reward or verifiable(), params, optimizer(learning_rate)
    draw = partial(sample, group=group_size, length=task.length, end=task.end)

    def step(carry: tuple[Params, Any], index: Array) -> tuple[tuple[Params, Any], dict[str, Array]]:
        params, memory = carry
        keys = jax.random.split(jax.random.fold_in(key, index), 5)
        asked = task.draw(keys[0], questions)
        sampler = jax.tree.map(lambda now, then: jnp.where(iterated, now, then), params, start)
        rollouts = draw(keys[1], model, sampler, asked)
        verdict = task.verify(keys[2], asked, rollouts)
        rewards = reward(keys[3], rollouts, verdict)
        pair, known = paired(keys[4], rewards, rollouts.length, pairing)
        tokens, learns = (
            jnp.take_along_axis(x, pair[..., None], 1) for x in (rollouts.tokens, rollouts.where)
        )
        anchor = log_likelihoods(model, start, asked, tokens, learns)

        def loss(params: Params) -> Array:
            ratio = log_likelihoods(model, params, asked, tokens, learns) - anchor
            margin = jnp.asarray(beta, ratio.dtype) * (ratio[:, 0] - ratio[:, 1])
            return -jnp.sum(jnp.where(known, jax.nn.log_sigmoid(margin), 0.0)) / questions

        change, memory = optimiser.update(wide(jax.grad(loss)(params)), memory, wide(params))
        stats = statistics(rollouts, verdict, rewards)
        stats |= {"silent": 1 - jnp.mean(known.astype(rewards.dtype))}
        return (optax.apply_updates(params, change), memory), stats

    carry = params, optimiser.init(wide(params))
    times, (params, _), seen, stats = recorded(step, carry, steps, record_every, probe)
    return Run(times, params, seen, stats, status(params))


def paired(
    key: Array, rewards: Float[Array, "N G"], length: Int[Array, "N G"], pairing: str
) -> tuple[Int[Array, "N 2"], Bool[Array, " N"]]:
    """The chosen and the rejected sequence of each question.

    Args:
      key: PRNG key, for ties.
      rewards: `[N, G]`, above zero for right sequences.
      length: `[N, G]`, in tokens.
      pairing: as for [`prefer`][].

    Returns:
      `[N, 2]`, which two of the G; `[N]`, whether there is such a pair.
    """
    lots = jax.random.uniform(key, rewards.shape)
    if pairing == "extremes":
        best, worst = (f(rewards, axis=-1, keepdims=True) for f in (jnp.max, jnp.min))
        kinds, known = (rewards == best, rewards == worst), (best > worst)[:, 0]
    else:
        right = rewards > 0
        kinds, known = (right, ~right), jnp.any(right, axis=-1) & jnp.any(~right, axis=-1)
        if pairing == "longest":
            most = jnp.max(jnp.where(right, length, -1), axis=-1, keepdims=True)
            kinds = right & (length == most), ~right
    return jnp.stack([jnp.argmax(jnp.where(kind, lots, -1.0), axis=-1) for kind in kinds], axis=-1), known


def log_likelihoods(
    model: Model,
    params: Params,
    questions: Questions,
    tokens: Int[Array, "N G T"],
    where: Bool[Array, "N G T"],
) -> Float[Array, "N G"]:
    """Log-probabilities of whole sequences, by teacher forcing: of both sides of pairs, and of bystanders.

    Args:
      model: the network.
      params: its parameters.
      questions: `[N]`.
      tokens: `[N, G, T]`.
      where: `[N, G, T]`, which of them count.

    Returns:
      `[N, G]`, in nats.
    """
    every = log_probs(model, params, questions, tokens)
    own = jnp.take_along_axis(every, tokens[..., None], axis=-1)[..., 0]
    return jnp.sum(jnp.where(where, own, 0.0), axis=-1)


def similarity(
    model: Model,
    params: Params,
    questions: Questions,
    tokens: Int[Array, "N 2 T"],
    where: Bool[Array, "N 2 T"],
) -> Float[Array, " N"]:
    r"""Centred hidden-embedding similarity of pairs of sequences, $\langle\sum h^+,\sum h^-\rangle-\|\sum h^+\|^2$.

    h are the features from which each token is read: those of the prompt and of the tokens before it.

    Args:
      model: the network.
      params: its parameters.
      questions: `[N]`.
      tokens: `[N, 2, T]`, the chosen sequence and the rejected one.
      where: `[N, 2, T]`, which of them count.

    Returns:
      `[N]`.

    Reference: Razin et al., arXiv 2410.08847, definition 2.
    """
    _, features = score(model, params, questions.prompt, questions.real, tokens)
    total = jnp.sum(jnp.where(where[..., None], features, 0.0), axis=2)
    return ches(total[:, 0], total[:, 1])

"""All sequences of a small language: exact scores, rewards and expected gradients of a network that writes them.

A sequence is announced by the marker or plain, of one of n patterns, with one of m answers, so that each question has
2nm of them, which are enumerated by teacher forcing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qra_jax.problem import Problem, stack
from qra_jax.transformer import model as network, reward as rewards
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.sampling import Rollouts
from qra_jax.transformer.task import Controlled, Demonstrations, Verification

REWARDS = ("RLVR", "self-certainty", "token entropy", "trajectory log-prob", "majority vote")
PAID = (*REWARDS, "coin", "RLVR, again")
"""What networks are trained on: these, half of all sequences by lot, and RLVR with other random numbers."""
SURE, LESS = 0.93, 0.75
"""Mass on the main answer of the surer and of the other sure pattern."""


class Language(NamedTuple):
    """All sequences of the corpus: two forms (announced, plain) × n patterns × m answers for each question."""

    shown: Demonstrations
    tokens: jax.Array
    where: jax.Array
    shape: tuple[int, int, int, int]


def questions(count: int) -> Problem:
    """Questions whose patterns are sure and right, sure and wrong, unsure.

    Args:
      count: how many; six are all kinds.

    Returns:
      A stacked `Problem` with four answers; the wrong pattern is surer in odd questions, commoner in every third.
    """
    made = []
    for number in range(count):
        right, wrong = (LESS, SURE) if number % 2 else (SURE, LESS)
        rows = [[right] + 3 * [(1 - right) / 3], [(1 - wrong) / 3, wrong] + 2 * [(1 - wrong) / 3]]
        ref = [0.15, 0.40, 0.45] if number % 3 == 2 else [0.35, 0.15, 0.50]
        made.append(Problem.from_probs(ref=ref, answers=[*rows, [0.4, 0.2, 0.2, 0.2]]))
    return stack(made)


def language(task: Controlled) -> Language:
    """Every sequence that the corpus knows, answers in the order of the answer table."""
    shown = task.demonstrations()
    answer = task.first_answer + (task.key[:, None] + jnp.arange(task.choices)[None]) % task.choices
    slot = jnp.arange(task.length)[None, None] == shown.answer_at[..., None]
    tokens = jnp.where(slot[:, :, None], answer[:, None, :, None], shown.tokens[:, :, None])
    shape = task.number, 2, task.patterns, task.choices
    return Language(
        shown,
        tokens.reshape(task.number, -1, task.length),
        jnp.repeat(shown.where, task.choices, axis=1),
        shape,
    )


def likelihood(model: Model, params: Params, known: Language) -> tuple[jax.Array, Rollouts]:
    """Log-probabilities `[questions, 2nm]` of all known sequences, and what internal rewards read of them."""
    asked = known.shown.questions
    logits, _ = network.score(model, params, asked.prompt, asked.real, known.tokens)
    log_probs = jax.nn.log_softmax(logits)
    emitted = jnp.take_along_axis(log_probs, known.tokens[..., None], axis=-1)[..., 0]
    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
    numbers = [jnp.where(known.where, x, 0.0) for x in (emitted, entropy, jnp.mean(log_probs, axis=-1))]
    return jnp.sum(numbers[0], axis=-1), Rollouts(known.tokens, known.where, *numbers)


def earned(model: Model, params: Params, known: Language) -> tuple[jax.Array, jax.Array]:
    """Probability and rewards of every known sequence.

    Returns:
      `[questions, 2, n, m]` and `[rewards, questions, 2, n, m]`; the vote is that of infinitely many rollouts.
    """
    log_prob, rollouts = likelihood(model, params, known)
    chance = jnp.exp(log_prob).reshape(known.shape)
    announced = (jnp.arange(2) == 0)[None, :, None, None]
    answer = jnp.arange(known.shape[-1])[None, None, None]
    vote = jnp.argmax(jnp.sum(chance[:, 0], axis=1), axis=-1)[:, None, None, None]
    nobody = jnp.zeros(rollouts.tokens.shape[:2], int)
    unjudged = Verification(nobody == 1, nobody == 1, nobody, nobody == 1, nobody)
    internal = (rewards.self_certainty(), rewards.token_entropy(), rewards.trajectory_log_prob())
    read = [each(jax.random.key(0), rollouts, unjudged).reshape(known.shape) for each in internal]
    binary = [
        jnp.broadcast_to((announced & (answer == a)).astype(chance.dtype), known.shape) for a in (0, vote)
    ]
    return chance, jnp.stack([binary[0], *read, binary[1]])


def look(model: Model, params: Params, known: Language) -> dict[str, jax.Array]:
    """Exact scores: with format, without; π, p (ignoring format), share of markers, all else, entropy a token."""
    log_prob, rollouts = likelihood(model, params, known)
    chance = jnp.exp(log_prob).reshape(known.shape)
    inside = jnp.sum(chance, axis=(1, 2, 3))
    pattern = jnp.sum(chance, axis=(1, 3))
    mean_entropy = jnp.sum(rollouts.entropy, axis=-1) / rollouts.length
    return {
        "formatted": jnp.mean(jnp.sum(chance[:, 0, :, 0], axis=-1)),
        "plain": jnp.mean(jnp.sum(chance[..., 0], axis=(1, 2))),
        "policy": pattern / jnp.sum(pattern, axis=-1, keepdims=True),
        "success": jnp.sum(chance[..., 0], axis=1) / pattern,
        "announced": jnp.mean(jnp.sum(chance[:, 0], axis=(1, 2)) / inside),
        "outside": jnp.mean(1 - inside),
        "entropy": jnp.mean(jnp.sum(jnp.exp(log_prob) * mean_entropy, axis=-1) / inside),
    }


def expected(model: Model, params: Params, known: Language) -> dict[str, jax.Array]:
    r"""What the rewards see at the start, and the exact policy gradients $\sum_o P(o) A(o) \nabla\log P(o)$.

    A is the reward standardised over each question's sequences, as in GRPO with a large group.

    Returns:
      `rates` `[rewards, questions, n]`, expected reward of a pattern; `seen` `[rewards, 3]`, share of the rewards'
      variance between patterns, between announced and plain sequences of a pattern, and between answers; `cosine`
      `[rewards + 1, rewards + 1]` of the gradients, the last that of a reward drawn at random for each sequence.
    """
    chance, reward = earned(model, params, known)
    chance = chance / jnp.sum(chance, axis=(1, 2, 3), keepdims=True)
    over = lambda x, axes: jnp.sum(chance * x, axis=axes, keepdims=True)  # noqa: E731
    share = lambda axes: jnp.sum(chance, axis=axes, keepdims=True)  # noqa: E731
    mean = jax.vmap(lambda x: over(x, (1, 2, 3)))(reward)
    of_pattern = jax.vmap(lambda x: over(x, (1, 3)))(reward) / share((1, 3))[None]
    of_form = jax.vmap(lambda x: over(x, 3))(reward) / share(3)[None]
    variance = lambda x: jnp.sum(chance[None] * x**2, axis=(2, 3, 4))  # noqa: E731
    parts = [variance(of_pattern - mean), variance(of_form - of_pattern), variance(reward - of_form)]
    total = variance(reward - mean)
    advantage = (reward - mean) / jnp.sqrt(total)[..., None, None, None]
    advantage = jnp.concatenate([advantage, jax.random.normal(jax.random.key(0), (1, *known.shape))])
    weight = (chance[None] * advantage).reshape(len(REWARDS) + 1, known.shape[0], -1)
    _, pull = jax.vjp(lambda params: likelihood(model, params, known)[0], params)
    slopes = jax.vmap(lambda w: jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(pull(w)[0])]))(
        weight.astype(jnp.float32)
    )
    norm = jnp.linalg.norm(slopes, axis=-1)
    return {
        "rates": of_pattern[:, :, 0, :, 0],
        "seen": jnp.stack([jnp.mean(part / total, axis=-1) for part in parts], axis=-1),
        "cosine": slopes @ slopes.T / (norm[:, None] * norm[None]),
    }


def chosen(which: jax.Array) -> rewards.SequenceReward:
    """The reward of this number in `PAID`, which may be traced: one program for all."""
    every = (
        rewards.verifiable(),
        rewards.self_certainty(),
        rewards.token_entropy(),
        rewards.trajectory_log_prob(),
        rewards.majority_vote(),
        rewards.verifiable(0.5, 0.5),
        rewards.verifiable(),
    )

    def function(
        params: dict[str, Any], key: jax.Array, rollouts: Rollouts, judged: Verification
    ) -> jax.Array:
        return jnp.stack([each(key, rollouts, judged) for each in every])[params["which"]]

    return rewards.SequenceReward("chosen", function, {"which": which})


def lessons(task: Controlled) -> dict[str, Demonstrations]:
    """The corpora of the SFT ends; both are announced, with answers surer than the base's."""
    right, wrong = jnp.array([0.94, 0.03, 0.03]), jnp.array([0.03, 0.94, 0.03])
    half = (jnp.arange(task.number) // 3 % 2 == 1)[:, None]
    success = jnp.array([0.97, 0.01, 0.4])
    return {
        "right": task.demonstrations(mixture=right, success=success),
        "even": task.demonstrations(mixture=jnp.where(half, wrong[None], right[None]), success=success),
    }

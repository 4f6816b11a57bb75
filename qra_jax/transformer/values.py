"""Values of beginnings of sequences: by enumeration where a task allows, by fresh continuations, or by a critic."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from qra_jax.transformer import penalty as penalties
from qra_jax.transformer.critic import Critic, critic_learns, critic_values
from qra_jax.transformer.reward import SequenceReward, verifiable
from qra_jax.transformer.sampling import Questions, Rollouts
from qra_jax.transformer.task import Enumerable, Task
from qra_jax.tree.credit import Credit

_ANNOUNCED = verifiable().function


class Seen(NamedTuple):
    """What a step has sampled."""

    key: Array
    """PRNG key, for value rollouts."""
    asked: Questions
    """`[N]`."""
    rollouts: Rollouts
    """`[N, G, T]`."""
    rewards: Float[Array, "N G"]
    """0 or 1."""


def values(
    credit: Credit,
    seen: Seen,
    task: Task,
    reward: SequenceReward,
    critic: Critic | None,
    *,
    forced: Callable[[Questions, Array], Array],
    hidden: Callable[[], Array],
    draw: Callable[..., Rollouts],
) -> tuple[Float[Array, "N G T"] | None, Array | float, Critic | None]:
    """Values of the state before each token, from the credit's source.

    Args:
      credit: whose source it is.
      seen: what was sampled.
      task: what is asked.
      reward: the verifier.
      critic: the learnt critic, if any.
      forced: `(questions, tokens) -> log-probabilities [N, M, T, V]`, by teacher forcing.
      hidden: hidden states `[N, G, T, D]` before each token.
      draw: samples sequences, as [`sample`][qra_jax.transformer.sampling.sample].

    Returns:
      `[N, G, T]`, or `None` for siblings, who need none; the number of tokens sampled for them; the critic after it
      has seen the step.
    """
    if credit.source == "exact":
        assert isinstance(task, Enumerable)
        return exact_values(task, reward, seen.asked, seen.rollouts.tokens, forced), 0.0, critic
    if credit.source == "rollouts":
        return *sampled_values(credit, seen, task, reward, draw), critic
    if critic is None:
        return None, 0.0, None
    features = hidden()
    after = critic_learns(critic, credit.rate, features, seen.rollouts.where, seen.rewards)
    return critic_values(critic, features), 0.0, after


def exact_values(
    task: Enumerable,
    reward: SequenceReward,
    asked: Questions,
    tokens: Int[Array, "N G T"],
    forced: Callable[[Questions, Array], Array],
) -> Float[Array, "N G T"]:
    r"""Exact values of all beginnings of sequences, by teacher forcing of all sequences that may be right.

    $$ V(o_{<t}) = \sum_{m:\,m_{<t}=o_{<t}} p_m\prod_{u\ge t}\pi(m_u\mid m_{<u}) $$

    Args:
      task: what is asked, with its solutions m and their success rates p.
      reward: the verifier, with its error rates.
      asked: `[N]`.
      tokens: `[N, G, T]`.
      forced: `(questions, tokens) -> log-probabilities [N, M, T, V]`.

    Returns:
      `[N, G, T]`, the value before each token; of no meaning after the end.
    """
    every = task.solutions(asked)
    right = every.right * every.formatted if reward.function is _ANNOUNCED else every.right
    own = penalties.at(forced(asked, every.tokens), every.tokens)
    own = jnp.where(every.tokens != 0, own, 0.0)
    to_come = jnp.exp(jnp.flip(jnp.cumsum(jnp.flip(own, -1), axis=-1), -1))  # from each place on
    fits = same_prefix(tokens, every.tokens).astype(own.dtype)
    chance = jnp.einsum("ngmt,nmt->ngt", fits, to_come * right[..., None].astype(own.dtype))
    tpr, fpr = (jnp.asarray(reward.params[name], own.dtype) for name in ("tpr", "fpr"))
    return jax.lax.stop_gradient(fpr + (tpr - fpr) * chance)


def sampled_values(
    credit: Credit, seen: Seen, task: Task, reward: SequenceReward, draw: Callable[..., Rollouts]
) -> tuple[Float[Array, "N G T"], Float[Array, ""]]:
    r"""Values of the beginnings of sequences by K fresh continuations of each, $\hat V(s)\sim{\rm Bin}(K,V(s))/K$.

    Sequences of a group that begin alike share the estimate, as they are in one state.

    Args:
      credit: with K, and the places where segments begin, which alone need values.
      seen: what was sampled.
      task: what is asked.
      reward: the verifier.
      draw: samples sequences.

    Returns:
      `[N, G, T]`, the value before each token, or at the beginning of its segment; and the number of tokens that were
      sampled for it, each state counted once.
    """
    assert credit.rollouts is not None
    _, asked, rollouts, _ = seen
    places, which = segments(credit, rollouts.tokens.shape[-1])
    (number, group, length), each = rollouts.tokens.shape, credit.rollouts
    shape = number, group, len(places), each
    opening = jnp.broadcast_to(rollouts.tokens[:, :, None, None], (*shape, length))
    given = jnp.broadcast_to(jnp.asarray(places)[None, None, :, None], shape)
    keys = jax.random.split(seen.key, 3)
    flat = number, group * len(places) * each
    known = {"opening": opening.reshape(*flat, length), "given": given.reshape(flat)}
    fresh = draw(keys[0], questions=asked, group=flat[1], **known)
    earned = reward(keys[2], fresh, task.verify(keys[1], asked, fresh)).reshape(shape)
    first = jnp.argmax(same_prefix(rollouts.tokens, rollouts.tokens)[..., places], axis=2)  # [N, G, places]
    value = jnp.take_along_axis(jnp.mean(earned, axis=-1), first, axis=1)
    new = (first == jnp.arange(group)[None, :, None]) & rollouts.where[..., places]
    spent = jnp.sum(fresh.length.reshape(shape) - jnp.asarray(places)[None, None, :, None], axis=-1)
    tokens = jnp.sum(jnp.where(new, spent, 0)).astype(value.dtype)
    return value[..., which], tokens


def same_prefix(tokens: Int[Array, "N G T"], others: Int[Array, "N M T"]) -> Bool[Array, "N G M T"]:
    """Whether two sequences agree in all tokens before each place.

    Args:
      tokens: `[N, G, T]`.
      others: `[N, M, T]`.

    Returns:
      `[N, G, M, T]`.
    """
    same = tokens[:, :, None] == others[:, None]
    before = jnp.concatenate([jnp.ones_like(same[..., :1]), same[..., :-1]], axis=-1)
    return jnp.cumprod(before, axis=-1) > 0


def segments(credit: Credit, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Places where values are needed, and for each token which of them its segment begins at.

    Args:
      credit: with the places where segments begin; each token is a segment where it has none.
      length: T.

    Returns:
      `[places]`, and `[T]`, an index into these for each token.
    """
    places = np.arange(length) if credit.bounds is None else np.asarray((0, *credit.bounds))
    return places, np.searchsorted(places, np.arange(length), side="right") - 1

r"""Credit on tokens: what each token of a sequence is paid for the answer at its end.

The sources are those of [`qra_jax.tree.credit`][], whose [`Credit`][qra_jax.tree.credit.Credit] is used here as it is:
a state $s_t$ is a question with the t tokens written so far, and the token written there is paid

$$ A_t = c\sum_{l\ge0}\lambda^l\delta_{t+l},\qquad \delta_t = \hat V(s_{t+1})-\hat V(s_t),\quad \hat V(s_T) = R. $$

The scale c is what the algorithm makes of one answer. With exact values it is the algorithm's clock c(ρ) at the exact
accuracy of the question, as in a tree. Elsewhere nobody knows ρ, and c is the weight that the rollout would have if it
were right less the weight it would have if it were wrong, the others of its group being as they are:
$A^+(j+1)-A^-(j)$ with j right ones among the others, which does not depend on the rollout, and whose mean is c(ρ). Both
ways the mean update is that of uniform credit under the same algorithm wherever $\hat V$ has no bias.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from qra_jax import _check
from qra_jax.algorithm import Algorithm
from qra_jax.off_policy import SEQUENCE_SURROGATES, OffPolicy
from qra_jax.training.parts import tables_by_size
from qra_jax.transformer import penalty as penalties
from qra_jax.transformer.model import Model, Params, score
from qra_jax.transformer.reward import SequenceReward, verifiable
from qra_jax.transformer.sampling import Questions, Rollouts
from qra_jax.transformer.task import Enumerable, Task
from qra_jax.tree.credit import Credit, uniform as uniform

TINY = 1e-8
"""Added to the standard deviation by which advantages are divided."""
RIDGE = 1e-4
"""Of a learnt critic's regression, in units of the mean square of its features."""
_SINGLE = verifiable().function, verifiable(announced=False).function


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


class Critic(NamedTuple):
    """Moments of hidden states φ (with a one appended) and returns, averaged over the last steps."""

    square: Float[Array, "D D"]
    """Mean of φφᵀ."""
    product: Float[Array, " D"]
    """Mean of φR."""


def check(
    credit: Credit,
    task: Task,
    algorithm: Algorithm,
    reward: SequenceReward,
    off_policy: OffPolicy,
    token_mask: Any = None,
) -> None:
    """Refuse what a network has no meaning for.

    Args:
      credit: how tokens are paid.
      task: what is asked.
      algorithm: how rewards become weights.
      reward: what a sequence earns.
      off_policy: age of the rollouts.
      token_mask: which tokens the reward teaches.

    Raises:
      ValueError: a combination without meaning; the line names the argument.
    """
    _check.part("credit", credit, Credit)
    if not by_token(credit):
        return
    if token_mask is not None:
        raise ValueError("token_mask: given with credit of tokens; must be None, or credit uniform()")
    if off_policy.surrogate in SEQUENCE_SURROGATES:
        raise ValueError(
            f"surrogate: {off_policy.surrogate!r} with credit of tokens; must be one of single tokens, such as 'clip'"
        )
    if off_policy.mask_old_negatives is not None:
        raise ValueError("mask_old_negatives: given with credit of tokens; must be None, or credit uniform()")
    if credit.source == "return":
        return
    if credit.source == "process":
        raise ValueError(
            "credit: process() in a network, whose tasks have no process reward; must be another"
        )
    if credit.by_values and not off_policy.on_policy:
        raise ValueError(
            f"off_policy: {off_policy} with credit by values; must be on-policy, or credit.uniform()"
        )
    if reward.function not in _SINGLE:
        raise ValueError(f"reward: {reward.name!r} with credit of tokens; must be verifiable()")
    if algorithm.by_length or algorithm.batch is not None or algorithm.greedy_baseline:
        raise ValueError(
            f"algorithm: {algorithm.name} with credit of tokens; must be one that weighs a group by itself, free of "
            "lengths"
        )
    if algorithm.resamples_silent and credit.source != "exact":
        raise ValueError(
            f"algorithm: {algorithm.name} with credit from {credit.source}; must not resample, or credit.exact()"
        )
    if credit.source == "exact" and not isinstance(task, Enumerable):
        raise ValueError(
            f"credit: exact() in {type(task).__name__}, whose right sequences cannot be enumerated; must be "
            "monte_carlo() or critic()"
        )
    if credit.start is not None:
        raise ValueError(
            "start: given; must be None in a network, whose critic is a linear head that starts at zero"
        )
    late = [place for place in credit.bounds or () if place >= task.length]
    if late:
        raise ValueError(f"segments: {late[0]}; must be below the length of an answer, {task.length}")


def by_token(credit: Credit) -> bool:
    """Whether the tokens of a sequence may be paid differently."""
    return credit.source != "return" or credit.confident is not None


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
    right = every.right * every.formatted if reward.function is _SINGLE[0] else every.right
    own = penalties.at(forced(asked, every.tokens), every.tokens)
    own = jnp.where(every.tokens != 0, own, 0.0)
    to_come = jnp.exp(jnp.flip(jnp.cumsum(jnp.flip(own, -1), axis=-1), -1))  # from each place on
    fits = same_prefix(tokens, every.tokens).astype(own.dtype)
    chance = jnp.einsum("ngmt,nmt->ngt", fits, to_come * right[..., None].astype(own.dtype))
    tpr, fpr = (jnp.asarray(reward.params[name], own.dtype) for name in ("tpr", "fpr"))
    return jax.lax.stop_gradient(fpr + (tpr - fpr) * chance)


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


def weights(
    credit: Credit, algorithm: Algorithm, seen: Seen, estimate: Float[Array, "N G T"] | None
) -> Float[Array, "N G T"]:
    """What each token is paid.

    Args:
      credit: how, by values or among siblings.
      algorithm: with its group size.
      seen: what was sampled.
      estimate: `[N, G, T]`, values before each token; `None` for siblings.

    Returns:
      `[N, G, T]`.
    """
    if estimate is None:
        return among_siblings(algorithm, seen.rollouts, seen.rewards)
    paid = by_values(credit, estimate, seen.rewards, seen.rollouts.where)
    return paid * scale(credit, algorithm, seen.rewards, estimate)


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
    places, which = _segments(credit, rollouts.tokens.shape[-1])
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


def critic_start(model: Model, params: Params) -> Critic:
    """A critic that has seen nothing and says zero.

    Args:
      model: the network.
      params: its parameters.

    Returns:
      A `Critic` of its hidden states.
    """
    token = jnp.zeros((1, 1), int)
    _, features = jax.eval_shape(lambda: score(model, params, token, None, token[None]))
    size, dtype = features.shape[-1] + 1, jnp.promote_types(features.dtype, jnp.float32)
    return Critic(jnp.zeros((size, size), dtype), jnp.zeros(size, dtype))


def critic_values(critic: Critic, features: Float[Array, "N G T D"]) -> Float[Array, "N G T"]:
    r"""A learnt critic's values $w\cdot\phi$, with w the least-squares fit to the returns that it has seen.

    Args:
      critic: its moments.
      features: `[N, G, T, D]`, hidden states before each token.

    Returns:
      `[N, G, T]`.
    """
    size = critic.square.shape[0]
    scale = jnp.trace(critic.square) / size
    ridge = jnp.where(scale > 0, RIDGE * scale, 1.0) * jnp.eye(size, dtype=critic.square.dtype)
    return _known(features, critic) @ jnp.linalg.solve(critic.square + ridge, critic.product)


def critic_learns(
    critic: Critic,
    rate: ArrayLike,
    features: Float[Array, "N G T D"],
    where: Bool[Array, "N G T"],
    rewards: Float[Array, "N G"],
) -> Critic:
    r"""A critic after a batch: its moments move towards those of the batch, $m \mathrel{+}= \alpha(\bar m - m)$.

    Args:
      critic: as it was.
      rate: α in (0, 1].
      features: `[N, G, T, D]`.
      where: `[N, G, T]`, which tokens were sampled.
      rewards: `[N, G]`, returns.

    Returns:
      The critic of the next step.
    """
    seen = _known(features, critic) * where[..., None]
    returns, number = rewards[..., None] * where, jnp.sum(where)
    batch = Critic(jnp.einsum("ngtd,ngte->de", seen, seen), jnp.einsum("ngtd,ngt->d", seen, returns))
    return jax.tree.map(
        lambda old, new: old + jnp.asarray(rate, old.dtype) * (new / number - old), critic, batch
    )


def _known(features: Array, critic: Critic) -> Array:
    one = jnp.ones_like(features[..., :1])
    return jax.lax.stop_gradient(jnp.concatenate([features, one], axis=-1)).astype(critic.product.dtype)


def by_values(
    credit: Credit,
    values: Float[Array, "N G T"],
    rewards: Float[Array, "N G"],
    where: Bool[Array, "N G T"],
) -> Float[Array, "N G T"]:
    """Advantages of tokens by values, before the algorithm's scale.

    Args:
      credit: with its trace or segments, and whether to whiten.
      values: `[N, G, T]`, before each token.
      rewards: `[N, G]`, what stands after the last token.
      where: `[N, G, T]`, which tokens were sampled.

    Returns:
      `[N, G, T]`, 0 after the end.
    """
    length = values.shape[-1]
    places, which = _segments(credit, length)
    values = values[..., places[which]]
    last = where & ~jnp.pad(where[..., 1:], ((0, 0), (0, 0), (0, 1)))
    after = jnp.where(last, rewards[..., None], jnp.roll(values, -1, axis=-1))
    delta = jnp.where(where, after - values, 0.0)
    if credit.bounds is None:
        gain = jnp.broadcast_to(jnp.asarray(credit.trace, values.dtype), (length,))
    else:  # the tokens of a segment are paid as one
        gain = jnp.asarray(~np.isin(np.arange(1, length + 1), places), values.dtype)

    def turn(later: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        here = at[0] + at[1] * later
        return here, here

    _, paid = jax.lax.scan(turn, jnp.zeros_like(rewards), (jnp.moveaxis(delta, -1, 0), gain), reverse=True)
    paid = jnp.moveaxis(paid, 0, -1)
    if credit.whiten:
        axes, number = (-2, -1), jnp.sum(where, axis=(-2, -1), keepdims=True)
        mean = jnp.sum(jnp.where(where, paid, 0.0), axis=axes, keepdims=True) / number
        variance = jnp.sum(jnp.where(where, (paid - mean) ** 2, 0.0), axis=axes, keepdims=True) / number
        paid = (paid - mean) / (jnp.sqrt(variance) + TINY)
    return jnp.where(where, paid, 0.0)


def scale(
    credit: Credit, algorithm: Algorithm, rewards: Float[Array, "N G"], values: Float[Array, "N G T"]
) -> Float[Array, "N _ 1"]:
    """What the algorithm makes of one answer: its clock at exact values, or the slope of each rollout's weight.

    Args:
      credit: whose source decides which.
      algorithm: with its group size.
      rewards: `[N, G]`, 0 or 1.
      values: `[N, G, T]`.

    Returns:
      `[N, 1, 1]` or `[N, G, 1]`.
    """
    if credit.source == "exact":
        mean = values[:, :1, :1]
        return algorithm.clock(mean).astype(values.dtype)
    others = jnp.round(jnp.sum(rewards, axis=-1, keepdims=True) - rewards).astype(int)
    return algorithm.speed_table().astype(values.dtype)[others][..., None]


def among_siblings(
    algorithm: Algorithm, rollouts: Rollouts, rewards: Float[Array, "N G"]
) -> Float[Array, "N G T"]:
    """Weights of tokens when each state has a group of its own: the sequences that begin alike.

    Args:
      algorithm: with its group size; its weights for fewer rollouts are used, too.
      rollouts: `[N, G, T]`.
      rewards: `[N, G]`, 0 or 1.

    Returns:
      `[N, G, T]`.

    Reference: Feng et al., arXiv 2505.10978 (GiGPO).
    """
    tables = tables_by_size(algorithm, rewards.shape[-1], rewards.dtype, joint=False)
    alike = same_prefix(rollouts.tokens, rollouts.tokens) & rollouts.where[:, None]
    number = jnp.sum(alike, axis=2)
    right = jnp.round(jnp.sum(jnp.where(alike, rewards[:, None, :, None], 0.0), axis=2)).astype(int)
    weights = jnp.where(rewards[..., None] > 0, tables.right[number, right], tables.wrong[number, right])
    return jnp.where(rollouts.where, weights, 0.0)


def trained(
    credit: Credit, weights: Float[Array, "N G"] | Float[Array, "N G T"], rollouts: Rollouts
) -> Float[Array, "N G"] | Float[Array, "N G T"]:
    """Weights without those of tokens that the policy writes with confidence.

    Args:
      credit: with its threshold.
      weights: `[N, G]` or `[N, G, T]`.
      rollouts: `[N, G, T]`.

    Returns:
      The weights as they are where there is no threshold, else `[N, G, T]`.
    """
    if credit.confident is None:
        return weights
    weights = weights[..., None] if weights.ndim == 2 else weights
    return jnp.where(jnp.exp(rollouts.own) < jnp.asarray(credit.confident, weights.dtype), weights, 0.0)


def _segments(credit: Credit, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Places where values are needed, and for each token which of them its segment begins at."""
    places = np.arange(length) if credit.bounds is None else np.asarray((0, *credit.bounds))
    return places, np.searchsorted(places, np.arange(length), side="right") - 1

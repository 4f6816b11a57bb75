"""Sampling with cached keys and values, and teacher forcing of what was sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from qra_jax import metrics
from qra_jax.transformer.model import Model, Params, follow, read, room

PAD = 0
"""The token that fills up what is shorter than its array."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Questions:
    """Prompts, and what is needed to verify their answers.

    Attributes:
      prompt: `[N, P]`, tokens, padded to the left with 0.
      truth: whatever the task needs; leading axes `[N]`.
    """

    prompt: Int[Array, "*b N P"]
    truth: Any

    @property
    def real(self) -> Bool[Array, "*b N P"]:
        """Which tokens are no padding, `[N, P]`."""
        return self.prompt != PAD

    @property
    def number(self) -> int:
        """N."""
        return self.prompt.shape[-2]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rollouts:
    """G sampled sequences for each of N questions.

    Attributes:
      tokens: `[N, G, T]`, up to and with the end token; 0 after it.
      where: `[N, G, T]`, which of them were sampled.
      log_prob: `[N, G, T]`, log-probability of each token when it was sampled (at the temperature of sampling).
      entropy: `[N, G, T]`, entropy of the policy's token distribution there, in nats.
      mean_log_prob: `[N, G, T]`, mean over the vocabulary of the policy's log-probability there.
      own_log_prob: `[N, G, T]`, log-probability of each token under the policy itself, where it was sampled at another
        temperature; `None` where that is `log_prob`.
    """

    tokens: Int[Array, "*b N G T"]
    where: Bool[Array, "*b N G T"]
    log_prob: Float[Array, "*b N G T"]
    entropy: Float[Array, "*b N G T"]
    mean_log_prob: Float[Array, "*b N G T"]
    own_log_prob: Float[Array, "*b N G T"] | None = None

    @property
    def own(self) -> Float[Array, "*b N G T"]:
        """Log-probability of each token under the policy itself, `[N, G, T]`."""
        return self.log_prob if self.own_log_prob is None else self.own_log_prob

    @property
    def length(self) -> Int[Array, "*b N G"]:
        """Number of sampled tokens |o|, the end token counted, `[N, G]`."""
        return jnp.sum(self.where, axis=-1)


def sample(
    key: Array,
    model: Model,
    params: Params,
    questions: Questions,
    *,
    group: int,
    length: int,
    end: int | tuple[int, ...],
    temperature: float | Array = 1.0,
    own_temperature: float | Array | None = None,
    greedy: bool = False,
    opening: Int[Array, "N G S"] | None = None,
    given: Int[Array, "N G"] | None = None,
) -> Rollouts:
    r"""Sample answers token by token, $o_t \sim {\rm softmax}(z_t/\text{temperature})$.

    Args:
      key: PRNG key.
      model: the network.
      params: its parameters.
      questions: N prompts.
      group: G ≥ 1, sequences for each.
      length: T ≥ 1, most tokens of a sequence.
      end: the token after which a sequence is over, or several of them.
      temperature: above zero.
      own_temperature: above zero, of the policy itself where the sampler has another; `None` for the same.
      greedy: take the likeliest token instead.
      opening: `[N, G, S]`, tokens that are given and not sampled; they count as part of the sequence.
      given: `[N, G]`, how many tokens of each opening are given, the others being sampled; default: all S.

    Returns:
      The `Rollouts`.
    """
    start, prompt = read(model, params, questions.prompt, questions.real)
    number, most = questions.number, 0 if opening is None else opening.shape[-1]
    logits = jnp.broadcast_to(start.logits[:, :, -1], (number, group, start.logits.shape[-1]))
    uniform = jax.random.uniform(key, (length, number, group), logits.dtype)

    def pick(logits: Array, over: Array, at: Array) -> tuple[Array, Any]:
        log_probs = own = jax.nn.log_softmax(logits / jnp.asarray(temperature, logits.dtype))
        if own_temperature is not None:
            own = jax.nn.log_softmax(logits / jnp.asarray(own_temperature, logits.dtype))
        token = jnp.argmax(logits, axis=-1) if greedy else _drawn(log_probs, uniform[at])
        if opening is not None:
            forced = at < (most if given is None else given)
            token = jnp.where(forced, opening[:, :, jnp.minimum(at, most - 1)], token)
        token = jnp.where(over, PAD, token)
        return token, (
            token,
            ~over,
            _at(log_probs, token),
            metrics.entropy(own),
            jnp.mean(own, axis=-1),
            *(() if own_temperature is None else (_at(own, token),)),
        )

    def turn(carry: Any, at: Array) -> tuple[Any, Any]:
        logits, memory, over = carry
        token, seen = pick(logits, over, at)
        output = follow(model, params, prompt, token[..., None], memory=memory, first=at)
        return (output.logits[:, :, 0], output.memory, over | _ends(token, end)), seen

    carry = logits, room(prompt, group, length - 1), jnp.zeros((number, group), bool)
    (logits, _, over), seen = jax.lax.scan(turn, carry, jnp.arange(length - 1))
    last = pick(logits, over, jnp.asarray(length - 1))[1]  # nothing follows it
    seen = (
        jnp.concatenate([jnp.moveaxis(x, 0, -1), y[..., None]], axis=-1)
        for x, y in zip(seen, last, strict=True)
    )
    tokens, where, *numbers = seen
    return Rollouts(tokens, where, *(jnp.where(where, x, 0.0) for x in numbers))


def _drawn(log_probs: Array, uniform: Array) -> Array:
    """The token whose cell of the distribution function a uniform number falls in."""
    ladder = jnp.cumsum(jnp.exp(log_probs), axis=-1)
    below = ladder <= uniform[..., None] * ladder[..., -1:]
    return jnp.sum(below[..., :-1], axis=-1)


def _ends(token: Array, end: int | tuple[int, ...]) -> Array:
    return token == end if isinstance(end, int) else jnp.isin(token, jnp.asarray(end))


def _at(values: Array, token: Array) -> Array:
    return jnp.take_along_axis(values, token[..., None], axis=-1)[..., 0]

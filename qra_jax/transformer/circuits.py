r"""Which part of a network speaks to which: edges of the residual stream, by their effect on the likelihood of text.

The residual stream at any place is the sum of the outputs O of the nodes so far: the embedding, then attention and
perceptron of each block. Every later node reads it as its input H (attention and perceptron before their norm, and
the unembedding before the last norm), and the edge from O to H is the first-order effect of taking O away there alone,

$$ I(O, H) = -\langle\nabla_H L,\; O\rangle, \qquad L = -\frac1T\sum_t\log\pi(o_t) $$

with ∇_H through the reading node only, summed over the places of a sequence. Edges shrink with ∇L where a network is
sure of its text: comparisons need the nulls of [`compared`][].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _check, metrics
from qra_jax.transformer.model import Decoder, Model, Output, Params, score, wide
from qra_jax.transformer.sampling import Questions, Rollouts
from qra_jax.transformer.weights import twin

BINS = tuple(10 ** (-7 + i / 2) for i in range(17))
"""Bounds of the histogram of |edge|: two bins to a factor of ten, from 1e-7 to 10; the outermost are open."""


class Nodes(NamedTuple):
    """The nodes of a network by name, in the order in which they write and read."""

    senders: tuple[str, ...]
    """Embedding, then attention and perceptron of each block."""
    receivers: tuple[str, ...]
    """Attention and perceptron of each block, then the unembedding."""

    @property
    def edges(self) -> Bool[Array, "senders receivers"]:
        """Which senders come before which receivers."""
        return jnp.arange(len(self.senders))[:, None] <= jnp.arange(len(self.receivers))[None]


def nodes(model: Model) -> Nodes:
    """The nodes of a network.

    Args:
      model: a decoder; 2 × depth + 1 senders and as many receivers.

    Returns:
      `Nodes`.

    Raises:
      ValueError: a network that is no decoder.
    """
    if not isinstance(model, Decoder):
        raise ValueError(f"model: a {type(model).__name__}; must be a Decoder, whose blocks are the nodes")
    blocks = [f"{part}_{i}" for i in range(model.depth) for part in ("attention", "perceptron")]
    return Nodes(("embedding", *blocks), (*blocks, "unembedding"))


class Edges(NamedTuple):
    """Edges of the residual stream on given sequences."""

    places: Float[Array, "N G S O I"]
    """−⟨∇_H L, O⟩ of every sender and receiver at every place, prompt included; 0 where there is no edge."""
    loss: Float[Array, "N G"]
    """L of each sequence, in nats per token."""
    entropy: Float[Array, "N G"]
    """Entropy of the token distributions of each sequence, at the given temperature, in nats per token."""

    @property
    def whole(self) -> Float[Array, "N G O I"]:
        """Edges of each sequence: summed over its places."""
        return jnp.sum(self.places, axis=2)


def edges(
    model: Decoder,
    params: Params,
    questions: Questions,
    tokens: Int[Array, "N G T"],
    where: Bool[Array, "N G T"] | None = None,
    *,
    temperature: float | Array = 1.0,
) -> Edges:
    """Attribute the likelihood of sequences to the edges of the residual stream, in one pass there and back.

    Args:
      model: the network, a decoder.
      params: its parameters.
      questions: N prompts.
      tokens: `[N, G, T]`, what was written after each, usually by the network itself.
      where: `[N, G, T]`, which of these are no padding; at least one in each sequence; default: all.
      temperature: above zero; logits are divided by it, in L alone.

    Returns:
      `Edges`; S = P + T − 1 places are read.

    Raises:
      ValueError: a network that is no decoder, or a temperature out of range.

    Reference: Zhang et al., arXiv 2509.21044, and its released code (`get_scores_test1`, there apart for queries, keys
    and values); Syed et al., arXiv 2310.10348.
    """
    graph = nodes(model)
    _check.positive("temperature", temperature)
    number, group, length = tokens.shape
    prompt, size = questions.prompt, questions.prompt.shape[1]
    shown = jnp.ones(tokens.shape, bool) if where is None else where
    text = jnp.broadcast_to(prompt[:, None], (number, group, size))
    text = jnp.concatenate([text, tokens[:, :, :-1]], axis=2)

    def total(shifts: dict[str, Array]) -> tuple[Array, Any]:
        kept: dict[str, Array] = {}
        with nn.intercept_methods(_tapped(shifts, kept)):
            output = model.apply({"params": params}, text, questions.real)
        assert isinstance(output, Output)
        log_probs = jax.nn.log_softmax(output.logits[:, :, size - 1 :] / temperature)
        emitted = jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
        loss, entropy = _mean(-emitted, shown), _mean(metrics.entropy(log_probs), shown)
        return jnp.sum(loss), (loss, entropy, kept)  # sequences do not see each other: each has its own slope

    shape = model.width, size + length - 1, number * group
    still = {name: jnp.zeros(shape, model.dtype) for name in graph.receivers}
    slopes, (loss, entropy, kept) = jax.grad(total, has_aux=True)(still)
    into = wide(jnp.stack([slopes[name] for name in graph.receivers]))
    out = wide(jnp.stack([kept[name] for name in graph.senders]))
    found = -jnp.einsum("odsb,idsb->bsoi", out, into)
    found = jnp.where(graph.edges[None, None], found, 0.0)
    return Edges(found.reshape(number, group, *found.shape[1:]), loss, entropy)


def _mean(values: Array, where: Array) -> Array:
    return jnp.sum(jnp.where(where, values, 0.0), axis=-1) / jnp.sum(where, axis=-1)


def _tapped(shifts: dict[str, Array], kept: dict[str, Array]) -> Callable[..., Any]:
    """Shift what each receiver reads, and keep what each sender writes, without touching the network."""

    def tap(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        name = "/".join(context.module.path)
        if context.method_name != "__call__" or not name:
            return call(*args, **kwargs)
        if name.startswith("norm"):
            return call(args[0] + shifts[_reader(name)], *args[1:], **kwargs)
        written = call(*args, **kwargs)
        if name == "embedding":
            kept[name] = jnp.moveaxis(written, -1, 0)
        elif name.startswith("attention_") and "/" not in name:
            kept[name] = written[0]
        elif name.startswith("out_"):
            kept[name.replace("out", "perceptron")] = written
        return written

    return tap


def _reader(norm: str) -> str:
    """The node that reads through a norm."""
    part = "attention" if norm.endswith("a") else "perceptron"
    return "unembedding" if norm == "norm" else f"{part}_{norm[5:-1]}"


class Summary(NamedTuple):
    """What is read off the edges of a network."""

    intensity: Float[Array, ""]
    """Mean |edge|, over sequences and edges."""
    diversity: Float[Array, ""]
    """Entropy of the histogram of |edge| in fixed bins, in nats; mean over sequences."""
    kurtosis: Float[Array, ""]
    """Fourth central moment of |edge| over the square of the second (3 for a normal one); mean over sequences."""
    loss: Float[Array, ""]
    """Mean NLL, in nats per token."""
    entropy: Float[Array, ""]
    """Mean entropy of the token distributions, in nats per token."""


def summary(found: Edges, *, bins: Any = BINS) -> Summary:
    """Intensity, diversity and kurtosis of edges.

    Args:
      found: from [`edges`][].
      bins: bounds of the histogram, increasing; the outermost bins are open. They must be the same for all that is
        compared. With bounds at equal distances the entropy rises with the mere scale of the edges.

    Returns:
      `Summary`.

    Raises:
      ValueError: bounds that do not increase.
    """
    bounds = jnp.asarray(_check.increasing("bins", bins), found.loss.dtype)
    sizes = jnp.abs(found.whole)
    count = sizes.shape[-1]
    row, column = jnp.tril_indices(count)
    sizes = sizes[..., column, row]  # a sender comes no later than its receiver
    unit = sizes / jnp.maximum(jnp.max(sizes, axis=-1, keepdims=True), jnp.finfo(sizes.dtype).tiny)
    middle = unit - jnp.mean(unit, axis=-1, keepdims=True)  # fourth powers of what is tiny would be zero
    second, fourth = (jnp.mean(middle**k, axis=-1) for k in (2, 4))
    kurtosis = jnp.where(second > 0, fourth / jnp.where(second > 0, second, 1.0) ** 2, 0.0)
    place = jax.nn.one_hot(jnp.searchsorted(bounds, sizes), len(bounds) + 1, dtype=sizes.dtype)
    share = jnp.mean(place, axis=-2)
    spread = -jnp.sum(jax.scipy.special.xlogy(share, share), axis=-1)
    return Summary(*(jnp.mean(x) for x in (sizes, spread, kurtosis, found.loss, found.entropy)))


def matched_temperature(
    model: Decoder,
    params: Params,
    questions: Questions,
    tokens: Int[Array, "N G T"],
    where: Bool[Array, "N G T"] | None = None,
    *,
    entropy: float | Array,
) -> Float[Array, ""]:
    """The temperature at which the entropy of token distributions, as [`summary`][] gives it, has a given value.

    Args:
      entropy: in nats, above zero and below log V.

    As for [`edges`][]: `model`, `params`, `questions`, `tokens`, `where`.

    Returns:
      Scalar in [e⁻⁷, e⁷], by bisection; the end that is nearest where no temperature in between will do.
    """
    logits, _ = score(model, params, questions.prompt, questions.real, tokens)
    return _matched(logits, jnp.ones(tokens.shape, bool) if where is None else where, entropy)


def _mean_entropy(logits: Array, where: Array) -> Array:
    return jnp.mean(_mean(metrics.entropy(jax.nn.log_softmax(logits)), where))


def _matched(logits: Array, where: Array, entropy: Any) -> Array:
    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (ends[0] + ends[1]) / 2
        below = _mean_entropy(logits / jnp.exp(middle), where) < entropy
        return jnp.where(below, middle, ends[0]), jnp.where(below, ends[1], middle)

    ends = jnp.asarray(-7.0, logits.dtype), jnp.asarray(7.0, logits.dtype)
    low, high = jax.lax.fori_loop(0, 50, halve, ends)
    return jnp.exp((low + high) / 2)


def louder(params: Params, factor: float | Array) -> Params:
    """Parameters with the unembedding times a factor: the same circuit, as sure as at a temperature of 1/factor."""
    kernel = params["unembedding"]["kernel"]
    return params | {"unembedding": {"kernel": kernel * jnp.asarray(factor, kernel.dtype)}}


def compared(
    key: Array,
    model: Decoder,
    base: Params,
    tuned: Params,
    questions: Questions,
    own: tuple[Rollouts, Rollouts],
) -> dict[str, Summary]:
    """The edges of a network before and after training, as reported, and the four nulls of the comparison.

    Args:
      key: PRNG key, of the Gaussian twin.
      model: the network, a decoder.
      base: its parameters before.
      tuned: its parameters after.
      questions: N prompts.
      own: what base and tuned wrote to them, `[N, G, T]`.

    Returns:
      `Summary` by name: "base" and "tuned", each on its own text, as reported; "tuned, base's text" and "base, tuned's
      text"; "tuned, base's entropy", at the temperature that gives tuned on its text the token entropy of base on its;
      "base, louder", whose unembedding is multiplied so that on its text it has the entropy of tuned on its; "twin",
      on the base's text: base with a Gaussian update of the norms of the real one.

    Reference: Zhang et al., arXiv 2509.21044, for the comparison without nulls.
    """
    sides = ((params, text.tokens, text.where) for params, text in zip((base, tuned), own, strict=True))
    both = jax.tree.map(lambda *x: jnp.stack(x), *sides)
    logits = jax.vmap(lambda p, t: score(model, p, questions.prompt, questions.real, t)[0])(*both[:2])
    heat = jax.vmap(_matched)(logits, both[2], jax.vmap(_mean_entropy)(logits, both[2])[::-1])
    settings = {
        "base": (base, 0, 1.0),
        "tuned": (tuned, 1, 1.0),
        "tuned, base's text": (tuned, 0, 1.0),
        "base, tuned's text": (base, 1, 1.0),
        "tuned, base's entropy": (tuned, 1, heat[1]),
        "base, louder": (louder(base, 1 / heat[0]), 0, 1.0),
        "twin": (twin.gaussian(key, base, tuned), 0, 1.0),
    }

    def read(setting: Any) -> Summary:
        params, text, temperature = setting
        shown = questions, both[1][text], both[2][text]
        return summary(edges(model, params, *shown, temperature=temperature))

    found = jax.lax.map(read, jax.tree.map(lambda *x: jnp.stack([*map(jnp.asarray, x)]), *settings.values()))
    return {name: jax.tree.map(lambda x: x[i], found) for i, name in enumerate(settings)}  # noqa: B023

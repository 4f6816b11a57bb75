r"""Floor 4. The network: a small causal decoder, and the lookup table that is its tabular limit.

Names end in the axes of their array: N questions, G sequences of a question, P tokens of its prompt, T tokens after
it, D width, H heads, K width of a head, V vocabulary. The G sequences share their prompt, so its keys and values are
computed once and attended to by all of them, in sampling and in teacher forcing alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _check
from qra_jax.trajectory import Status

Params = Any
"""Parameters of a network, a pytree."""
Memory = tuple[tuple[Array, Array], ...]
"""Keys and values of every layer."""


class Output(NamedTuple):
    """What a network says of the tokens it was given."""

    logits: Float[Array, "N G T V"]
    """Scores of the token that comes next."""
    features: Float[Array, "N G T D"]
    """What the unembedding reads."""
    memory: Any
    """Keys and values of these tokens, and of the ones before if a `memory` was given: for the tokens to come."""


class Prompt(NamedTuple):
    """What is kept of the prompts of N questions."""

    memory: Any
    """Keys and values `[N, P, H, K]` of every layer."""
    real_NxP: Bool[Array, "N P"]
    """Which tokens are no padding."""


class Attention(nn.Module):
    """Causal attention with rotary positions: to the tokens before, and to all real tokens of the prompt."""

    heads: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(
        self, x_NxGxTxD: Array, first: Array | int, prompt: Any, real_NxP: Array | None, memory: Any
    ) -> tuple[Array, tuple[Array, Array]]:
        width, kind = x_NxGxTxD.shape[-1], {"dtype": self.dtype, "param_dtype": self.param_dtype}
        qkv = nn.Dense(3 * width, use_bias=False, name="qkv", **kind)(x_NxGxTxD)
        q, k, v = jnp.split(qkv.reshape(*qkv.shape[:-1], 3 * self.heads, width // self.heads), 3, axis=-2)
        past = 0 if prompt is None else prompt[0].shape[1]
        at_T = first + jnp.arange(x_NxGxTxD.shape[2])
        q, k = rotated(q, past + at_T), rotated(k, past + at_T)
        if memory is not None:
            k, v = (
                jax.lax.dynamic_update_slice_in_dim(old, new, first, axis=2)
                for old, new in zip(memory, (k, v), strict=True)
            )
        q = q * q.shape[-1] ** -0.5
        seen_TxS = at_T[:, None] >= jnp.arange(k.shape[2])[None]
        if prompt is None:  # this is a prompt, or a sequence without one: padding is to the left
            seen = seen_TxS[None] if real_NxP is None else seen_TxS[None] & real_NxP[:, None]
            seen = seen[:, None, None]
        else:
            seen = seen_TxS[None, None, None]
        score = _masked(jnp.einsum("ngthk,ngshk->nghts", q, k), seen)
        if prompt is not None:
            before = jnp.einsum("ngthk,nphk->nghtp", q, prompt[0])
            if real_NxP is not None:
                before = _masked(before, real_NxP[:, None, None, None])
            score = jnp.concatenate([before, score], axis=-1)
        share = jax.nn.softmax(score.astype(jnp.promote_types(self.dtype, jnp.float32))).astype(self.dtype)
        mixed = jnp.einsum("nghts,ngshk->ngthk", share[..., past:], v)
        if prompt is not None:
            mixed = mixed + jnp.einsum("nghtp,nphk->ngthk", share[..., :past], prompt[1])
        out = nn.Dense(width, use_bias=False, name="out", **kind)(mixed.reshape(x_NxGxTxD.shape))
        return out, (k, v)


def rotated(x_NxGxTxHxK: Array, at_T: Array) -> Array:
    """Rotary position: pairs of coordinates turned by angles proportional to the position.

    Reference: Su et al., arXiv 2104.09864, eq. 34.
    """
    half = x_NxGxTxHxK.shape[-1] // 2
    angle = at_T[:, None] * (1e4 ** (-jnp.arange(half) / half))[None]
    cos, sin = (f(angle)[None, None, :, None].astype(x_NxGxTxHxK.dtype) for f in (jnp.cos, jnp.sin))
    a, b = x_NxGxTxHxK[..., :half], x_NxGxTxHxK[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def _masked(score: Array, seen: Array) -> Array:
    return jnp.where(seen, score, jnp.asarray(jnp.finfo(score.dtype).min / 2, score.dtype))


class Decoder(nn.Module):
    r"""A decoder: pre-norm blocks of causal attention and a perceptron, and an unembedding of its own.

    $$ x \leftarrow x + {\rm attention}({\rm norm}\,x),\qquad x \leftarrow x + W_2\,{\rm relu}(W_1\,{\rm norm}\,x)^2 $$

    Attributes:
      vocabulary: V, number of tokens.
      width: D, a multiple of 2 × heads.
      depth: number of blocks; 0 leaves embedding, norm and unembedding.
      heads: H.
      hidden: width of the perceptron over D.
      dtype: of the computation (softmax and logits are float32 at least).
      param_dtype: of the parameters in memory: float32, bfloat16, float64. Updates are computed in float32 at
        least and then rounded, so that with bfloat16 those below half a unit in the last place are lost.

    Reference: Vaswani et al., arXiv 1706.03762; So et al., arXiv 2109.08668 (squared relu).
    """

    vocabulary: int
    width: int = 64
    depth: int = 2
    heads: int = 2
    hidden: int = 4
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens_NxGxT: Array,
        real_NxP: Array | None = None,
        *,
        prompt: Any = None,
        memory: Any = None,
        first: Array | int = 0,
    ) -> Output:
        kind = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = lambda name: nn.RMSNorm(name=name, **kind)  # noqa: E731
        x = nn.Embed(self.vocabulary, self.width, name="embedding", **kind)(tokens_NxGxT)
        kept = []
        for layer in range(self.depth):
            before = None if prompt is None else prompt[layer]
            own = None if memory is None else memory[layer]
            attention = Attention(self.heads, name=f"attention_{layer}", **kind)
            change, pair = attention(norm(f"norm_{layer}a")(x), first, before, real_NxP, own)
            x = x + change
            hidden = nn.Dense(self.hidden * self.width, use_bias=False, name=f"in_{layer}", **kind)
            out = nn.Dense(self.width, use_bias=False, name=f"out_{layer}", **kind)
            x = x + out(jnp.square(jax.nn.relu(hidden(norm(f"norm_{layer}b")(x)))))
            kept.append(pair)
        x = norm("norm")(x)
        logits = nn.Dense(self.vocabulary, use_bias=False, name="unembedding", **kind)(x)
        return Output(logits.astype(jnp.promote_types(self.dtype, jnp.float32)), x, tuple(kept))


class Lookup(nn.Module):
    """The tabular limit: no attention and one-hot features, so that a row of a table scores what follows a token.

    Attributes:
      vocabulary: V.
      param_dtype: of the table.
    """

    vocabulary: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens_NxGxT: Array,
        real_NxP: Array | None = None,
        *,
        prompt: Any = None,
        memory: Any = None,
        first: Array | int = 0,
    ) -> Output:
        shape = self.vocabulary, self.vocabulary
        table = self.param("table", nn.initializers.zeros, shape, self.param_dtype)
        features = jax.nn.one_hot(tokens_NxGxT, self.vocabulary, dtype=self.param_dtype)
        logits = jnp.take(table, tokens_NxGxT, axis=0).astype(
            jnp.promote_types(self.param_dtype, jnp.float32)
        )
        return Output(logits, features, ())


Model = Decoder | Lookup
"""A network: what `init`, `read`, `follow` and all of `qra_jax.transformer` work with."""


def init(key: Array, model: Model) -> Params:
    """Random parameters.

    Args:
      key: PRNG key.
      model: the network.

    Returns:
      A pytree of arrays.

    Raises:
      ValueError: a width that the heads cannot share in pairs, or a size below 1.
    """
    if isinstance(model, Decoder):
        for name in ("vocabulary", "width", "heads", "hidden"):
            _check.integer(name, getattr(model, name), low=1)
        _check.integer("depth", model.depth, low=0)
        if model.width % (2 * model.heads):
            raise ValueError(f"width: {model.width}; must be a multiple of 2 × heads = {2 * model.heads}")
    return model.init(key, jnp.zeros((1, 1, 1), int))["params"]


def wide(params: Params) -> Params:
    """Parameters in float32 at least: what optimisers see."""
    return jax.tree.map(lambda x: x.astype(jnp.promote_types(x.dtype, jnp.float32)), params)


def status(params: Params) -> Int[Array, ""]:
    """OK, or DIVERGED where a parameter is infinite or NaN."""
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(params)]))
    return jnp.where(finite, Status.OK, Status.DIVERGED).astype(jnp.int32)


def read(
    model: Model,
    params: Params,
    prompt_NxP: Int[Array, "N P"],
    real_NxP: Bool[Array, "N P"] | None = None,
) -> tuple[Output, Prompt]:
    """Read prompts.

    Args:
      model, params: the network.
      prompt_NxP: `[N, P]`, tokens, padded to the left.
      real_NxP: `[N, P]`, which of them are no padding; all where left out.

    Returns:
      Output for every token of the prompts (G = 1), and what [`follow`][] needs of them.
    """
    real = jnp.ones(prompt_NxP.shape, bool) if real_NxP is None else real_NxP
    output = model.apply({"params": params}, prompt_NxP[:, None], real)
    assert isinstance(output, Output)
    memory = tuple((k[:, 0], v[:, 0]) for k, v in output.memory)
    return output, Prompt(memory, real)


def follow(
    model: Model,
    params: Params,
    prompt: Prompt,
    tokens_NxGxT: Int[Array, "N G T"],
    *,
    memory: Any = None,
    first: Array | int = 0,
) -> Output:
    """Read tokens that follow prompts; G sequences for each of N prompts.

    Args:
      model, params: the network.
      prompt: from [`read`][].
      tokens_NxGxT: `[N, G, T]`, tokens.
      memory: keys and values `[N, G, T_max, H, K]` of the tokens before these, for reading one by one.
      first: place of the first of these tokens after the prompt, when `memory` is given.

    Returns:
      Output for every token; `logits[..., t, :]` are the scores of what follows token t.
    """
    output = model.apply(
        {"params": params}, tokens_NxGxT, prompt.real_NxP, prompt=prompt.memory, memory=memory, first=first
    )
    assert isinstance(output, Output)
    return output


def score(
    model: Model,
    params: Params,
    prompt_NxP: Int[Array, "N P"],
    real_NxP: Bool[Array, "N P"] | None,
    tokens_NxGxT: Int[Array, "N G T"],
) -> tuple[Float[Array, "N G T V"], Float[Array, "N G T D"]]:
    r"""Teacher forcing: scores of *every* token that may stand at each place after the prompt.

    Args:
      model, params: the network.
      prompt_NxP, real_NxP: as for [`read`][].
      tokens_NxGxT: `[N, G, T]`, tokens after the prompt.

    Returns:
      Logits `[N, G, T, V]`, where `logits[..., t, :]` are those of token t given all before it, and the features
      `[N, G, T, D]` that they are read from.
    """
    start, prompt = read(model, params, prompt_NxP, real_NxP)
    groups = tokens_NxGxT.shape[1]
    heads = [start.logits[:, :, -1:], start.features[:, :, -1:]]
    heads = [jnp.broadcast_to(x, (x.shape[0], groups, *x.shape[2:])) for x in heads]
    if tokens_NxGxT.shape[2] == 1:
        return heads[0], heads[1]
    rest = follow(model, params, prompt, tokens_NxGxT[:, :, :-1])
    logits, features = (
        jnp.concatenate([head, tail], axis=2)
        for head, tail in zip(heads, (rest.logits, rest.features), strict=True)
    )
    return logits, features

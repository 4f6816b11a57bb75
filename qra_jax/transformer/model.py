r"""The network: a small causal decoder, and the lookup table that is its tabular limit.

Names end in the axes of their array: N questions, G sequences of a question, P tokens of its prompt, T tokens after
it, S tokens attended to, B = NG sequences, D width, H heads, K width of a head, V vocabulary. The G sequences share
their prompt, which is read once, in sampling and in teacher forcing alike. Inside the network the sequences are the
*last* axis and features the first: then every operation beside the matrix products (norms, rotations, softmax over a
handful of tokens) runs along contiguous memory, and products with a matrix and their transposes are equally quick.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _check
from qra_jax.trajectory import Status

Params = Any
"""Parameters of a network, a pytree."""


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
    """Keys and values `[H, K, P, N]` of every layer."""
    real_NxP: Bool[Array, "N P"]
    """Which tokens are no padding."""


# Autodiff orders these so that their derivatives come out transposed, which costs as much as half of the products.


@jax.custom_vjp
def _product(kernel_IxO: Array, x_IxR: Array) -> Array:
    return jnp.einsum("io,ir->or", kernel_IxO, x_IxR)


def _product_back(kept: tuple[Array, Array], slope_OxR: Array) -> tuple[Array, Array]:
    kernel_IxO, x_IxR = kept
    return jnp.einsum("ir,or->io", x_IxR, slope_OxR), jnp.einsum("io,or->ir", kernel_IxO, slope_OxR)


_product.defvjp(lambda kernel, x: (_product(kernel, x), (kernel, x)), _product_back)


@jax.custom_vjp
def _parted(x: Array) -> tuple[Array, ...]:
    return tuple(x)


_parted.defvjp(lambda x: (tuple(x), None), lambda _, slopes: (jnp.stack(slopes),))


class Linear(nn.Module):
    """A product with a matrix, over the first axis."""

    width: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = x.shape[0], self.width
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, self.param_dtype)
        out = _product(kernel.astype(self.dtype), x.reshape(x.shape[0], math.prod(x.shape[1:])))
        return out.reshape(self.width, *x.shape[1:])


class Smear(nn.Module):
    """How much of a key is its own token's, by head: a logit, 0 at the start."""

    heads: int
    param_dtype: Any

    @nn.compact
    def __call__(self) -> Array:
        return self.param("scale", nn.initializers.zeros, (self.heads,), self.param_dtype)


class Attention(nn.Module):
    """Causal attention with rotary positions: to the tokens before, and to all real tokens of the prompt."""

    heads: int
    dtype: Any
    param_dtype: Any
    smeared: bool = False

    @nn.compact
    def __call__(
        self, x_DxTxB: Array, at_T: Array, seen_TxSxB: Array, prompt: Any, memory: Any
    ) -> tuple[Array, tuple[Array, Array]]:
        width, kind = x_DxTxB.shape[0], {"dtype": self.dtype, "param_dtype": self.param_dtype}
        qkv = Linear(3 * width, name="qkv", **kind)(x_DxTxB)
        q, k, v = _parted(qkv.reshape(3, self.heads, width // self.heads, *x_DxTxB.shape[1:]))
        q, k = rotated(q * q.shape[1] ** -0.5, at_T), rotated(k, at_T)
        kept = k, v
        smear = Smear(self.heads, self.param_dtype, name="smear")() if self.smeared else None
        if memory is not None:
            k, v = kept = _written(memory, kept, at_T[0])
            mixed = recalled(q, k, v, seen_TxSxB, smear)
        else:
            if prompt is not None:
                k, v = (
                    jnp.concatenate([_shared(old, new.shape[-1]), new], axis=2)
                    for old, new in zip(prompt, kept, strict=True)
                )
            few = q.shape[2] * k.shape[2] <= FEW and smear is None
            mixed = attended_few(q, k, v, seen_TxSxB) if few else attended(q, k, v, seen_TxSxB, smear)
        return Linear(width, name="out", **kind)(mixed.reshape(x_DxTxB.shape)), kept


def attended(
    q_HxKxTxB: Array, k_HxKxSxB: Array, v_HxKxSxB: Array, seen_TxSxB: Array, smear_H: Array | None = None
) -> Float[Array, "H K T B"]:
    """Mean of the values of what is seen, weighted by the softmax over scores, which may be smeared."""
    share = _share(_smeared(_scores(q_HxKxTxB, k_HxKxSxB), seen_TxSxB, smear_H), seen_TxSxB)
    return jnp.einsum("htsb,hksb->hktb", share, v_HxKxSxB)


def recalled(
    q_HxKxTxB: Array, k_HxBxSxK: Array, v_HxBxSxK: Array, seen_TxSxB: Array, smear_H: Array | None = None
) -> Float[Array, "H K T B"]:
    """[`attended`][] with keys and values as they are kept for reading one by one: ready for the products."""
    score = _smeared(jnp.einsum("hktb,hbsk->htsb", q_HxKxTxB, k_HxBxSxK), seen_TxSxB, smear_H)
    return jnp.einsum("htsb,hbsk->hktb", _share(score, seen_TxSxB), v_HxBxSxK)


def _smeared(score_HxTxSxB: Array, seen_TxSxB: Array, smear_H: Array | None) -> Array:
    """Scores of keys to which a share of the key before is mixed: the same mixture of scores, as they are linear."""
    if smear_H is None:
        return score_HxTxSxB
    own = nn.sigmoid(smear_H).astype(score_HxTxSxB.dtype)[:, None, None, None]
    real = jnp.where(seen_TxSxB, score_HxTxSxB, 0.0)
    before = jnp.pad(real[:, :, :-1], ((0, 0), (0, 0), (1, 0), (0, 0)))
    return own * score_HxTxSxB + (1 - own) * before


def _written(memory: tuple[Array, Array], new: tuple[Array, Array], at: Array) -> tuple[Array, Array]:
    k, v = (
        jax.lax.dynamic_update_slice_in_dim(old_HxBxSxK, jnp.transpose(new_HxKxTxB, (0, 3, 2, 1)), at, axis=2)
        for old_HxBxSxK, new_HxKxTxB in zip(memory, new, strict=True)
    )
    return k, v


def _scores(q_HxKxTxB: Array, k_HxKxSxB: Array) -> Array:
    return jnp.einsum("hktb,hksb->htsb", q_HxKxTxB, k_HxKxSxB)


def _share(score_HxTxSxB: Array, seen_TxSxB: Array) -> Array:
    score = wide(score_HxTxSxB)
    share = jax.nn.softmax(jnp.where(seen_TxSxB, score, jnp.finfo(score.dtype).min / 2), axis=2)
    return share.astype(score_HxTxSxB.dtype)


FEW = 64
"""Up to this many pairs of tokens, means over them are written out: the products are too small to pay."""


@jax.custom_vjp
def attended_few(q: Array, k: Array, v: Array, seen: Array) -> Float[Array, "H K T B"]:
    """[`attended`][] for few tokens."""
    return _attend_few(q, k, v, seen)[0]


def _attend_few(q: Array, k: Array, v: Array, seen: Array) -> Any:
    share = _share(_scores(q, k), seen)
    mixed = _blend(share, v)
    return mixed, (q, k, v, seen, share, mixed)


def _attend_few_back(kept: Any, slope: Array) -> Any:
    q, k, v, seen, share, mixed = kept
    turned = lambda x: jnp.swapaxes(x, 1, 2)  # noqa: E731
    total = jnp.sum(wide(slope) * wide(mixed), axis=1)[:, :, None]
    change = jnp.where(seen, wide(share) * (wide(_scores(slope, v)) - total), 0.0).astype(share.dtype)
    return _blend(change, k), _blend(turned(change), q), _blend(turned(share), slope), None


def _blend(share_HxTxSxB: Array, v_HxKxSxB: Array) -> Array:
    return reduce(
        jnp.add, (share_HxTxSxB[:, None, :, s] * v_HxKxSxB[:, :, s, None] for s in range(v_HxKxSxB.shape[2]))
    )


attended_few.defvjp(_attend_few, _attend_few_back)


def _shared(x_N: Array, sequences: int) -> Array:
    """What the sequences of each question have in common (last axis: N), for each of the B = NG sequences."""
    return jnp.repeat(x_N, sequences // x_N.shape[-1], axis=-1)


def rotated(x_HxKxTxB: Array, at_T: Array) -> Array:
    """Rotary position: pairs of coordinates turned by angles proportional to the position.

    Reference: Su et al., arXiv 2104.09864, eq. 34.
    """
    half = x_HxKxTxB.shape[1] // 2
    angle = (1e4 ** (-jnp.arange(half) / half))[:, None] * at_T[None]
    cos, sin = (f(angle)[None, :, :, None].astype(x_HxKxTxB.dtype) for f in (jnp.cos, jnp.sin))
    a, b = x_HxKxTxB[:, :half], x_HxKxTxB[:, half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=1)


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
      marked: a in [0, 1), share of the squared norm of the features that marks have; may be traced.
      marks: `[V, D]`, vectors b of about unit norm, by the token read last,
        $\phi\leftarrow\sqrt{1-a}\,\phi+\sqrt{aD}\,b$: features more or less alike, see `kernel.alike`. Without them
        nothing is changed.
      smeared: to each rotated key a share of the one before is mixed, $k_t\leftarrow\sigma(a)k_t+(1-\sigma(a))k_{t-1}$
        with a for each head that is learnt, so that one layer can find what followed a token.

    Its derivatives are in reverse mode only (`jax.grad`, `jax.vjp`; not `jax.jvp`).

    Reference: Vaswani et al., arXiv 1706.03762; So et al., arXiv 2109.08668 (squared relu); Olsson et al., arXiv
    2209.11895 (smeared keys).
    """

    vocabulary: int
    width: int = 64
    depth: int = 2
    heads: int = 2
    hidden: int = 4
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    marked: Any = 0.0
    marks: Any = None
    smeared: bool = False

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
        norm = lambda name: nn.RMSNorm(reduction_axes=0, feature_axes=0, name=name, **kind)  # noqa: E731
        number, group, length = tokens_NxGxT.shape
        past = 0 if prompt is None or real_NxP is None else real_NxP.shape[1]
        at_T = past + first + jnp.arange(length)
        held = memory[0][0].shape[2] if memory else past + length
        seen_TxSxB = (at_T[:, None] >= jnp.arange(held)[None])[..., None]
        if real_NxP is not None:  # padding is to the left, and nothing follows a prompt in its own array
            real_SxB = jnp.pad(real_NxP.T, ((0, held - real_NxP.shape[1]), (0, 0)), constant_values=True)
            seen_TxSxB = seen_TxSxB & _shared(real_SxB, number * group)[None]
        tokens_TxB = tokens_NxGxT.reshape(number * group, length).T
        embedded = nn.Embed(self.vocabulary, self.width, name="embedding", **kind)(tokens_TxB)
        x_DxTxB, kept = jnp.moveaxis(embedded, -1, 0), []
        for layer in range(self.depth):
            before = None if prompt is None else prompt[layer]
            own = None if memory is None else memory[layer]
            attention = Attention(self.heads, smeared=self.smeared, name=f"attention_{layer}", **kind)
            change, pair = attention(norm(f"norm_{layer}a")(x_DxTxB), at_T, seen_TxSxB, before, own)
            x_DxTxB = x_DxTxB + change
            hidden = Linear(self.hidden * self.width, name=f"in_{layer}", **kind)
            out = Linear(self.width, name=f"out_{layer}", **kind)
            x_DxTxB = x_DxTxB + out(jnp.square(jax.nn.relu(hidden(norm(f"norm_{layer}b")(x_DxTxB)))))
            kept.append(pair)
        x_DxTxB = norm("norm")(x_DxTxB)
        if self.marks is not None:
            mark_DxTxB = jnp.moveaxis(jnp.asarray(self.marks)[tokens_TxB], -1, 0)
            x_DxTxB = x_DxTxB * jnp.sqrt(1 - self.marked) + mark_DxTxB * jnp.sqrt(self.marked * self.width)
            x_DxTxB = x_DxTxB.astype(embedded.dtype)
        logits_VxTxB = Linear(self.vocabulary, name="unembedding", **kind)(x_DxTxB)
        logits, features = (
            jnp.transpose(y.reshape(y.shape[0], length, number, group), (2, 3, 1, 0))
            for y in (logits_VxTxB, x_DxTxB)
        )
        return Output(logits.astype(jnp.promote_types(self.dtype, jnp.float32)), features, tuple(kept))


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
      model: the network.
      params: its parameters.
      prompt_NxP: `[N, P]`, tokens, padded to the left.
      real_NxP: `[N, P]`, which of them are no padding; default: all.

    Returns:
      Output for every token of the prompts (G = 1), and what [`follow`][] needs of them.
    """
    real = jnp.ones(prompt_NxP.shape, bool) if real_NxP is None else real_NxP
    output = model.apply({"params": params}, prompt_NxP[:, None], real)
    assert isinstance(output, Output)
    return output, Prompt(output.memory, real)


def room(prompt: Prompt, group: int, length: int) -> Any:
    """Keys and values of prompts, for each of their sequences, and room for those of the tokens to come.

    Args:
      prompt: from [`read`][].
      group: G ≥ 1.
      length: T ≥ 0, number of tokens that are to be read one by one.

    Returns:
      Keys and values `[H, NG, P + T, K]` of every layer: the first `memory` of [`follow`][].
    """

    def one(x_HxKxPxN: Array) -> Array:
        shared_HxBxPxK = jnp.transpose(_shared(x_HxKxPxN, group * x_HxKxPxN.shape[-1]), (0, 3, 2, 1))
        return jnp.pad(shared_HxBxPxK, ((0, 0), (0, 0), (0, length), (0, 0)))

    return jax.tree.map(one, prompt.memory)


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
      model: the network.
      params: its parameters.
      prompt: from [`read`][].
      tokens_NxGxT: `[N, G, T]`, tokens.
      memory: keys and values of the tokens before these, for reading one by one: from [`room`][], then from the
        output of the last call.
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
      model: the network.
      params: its parameters.
      tokens_NxGxT: `[N, G, T]`, tokens after the prompt.

    As for `read`: `prompt_NxP`, `real_NxP`.

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

r"""The objective that a step ascends, of tokens: only its gradient has a meaning.

For sequence i with weight A_i (or A_it of token t) its part of the reward is

$$ \frac1{NG}\sum_{n,i} A_i \sum_t \nu_i\, f_{it}\,\nabla\log\pi_\theta(o_t\mid o_{<t}), $$

with ν_i the length normalisation and f_it what [`OffPolicy`][qra_jax.off_policy.OffPolicy] makes of importance ratios.
The coefficients are held constant, which gives the gradients of the published losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from qra_jax import metrics
from qra_jax.off_policy import SEQUENCE_SURROGATES, OffPolicy
from qra_jax.regularizer import Regularizer
from qra_jax.transformer import penalty as penalties
from qra_jax.transformer.masks import TokenMask

NORMALIZATIONS = ("constant", "length", "tokens", "batch_tokens")
"""Names of the length normalisations ν."""

ON_POLICY = OffPolicy()


def check(off_policy: OffPolicy, decisions: str, length: int) -> None:
    """Refuse what a network has no meaning for.

    Args:
      off_policy: the options.
      decisions: `"all"` or `"pattern"`.
      length: T, most tokens of an answer.

    Raises:
      ValueError: an option of tabular training alone, or a sequence surrogate for answers of one decision.
    """
    for name in ("behavior", "correlation"):
        if getattr(off_policy, name) is not None:
            raise ValueError(f"{name}: given; must be None for a network, tabular training alone has it")
    if off_policy.of == "gradient":
        raise ValueError("of: 'gradient'; must be 'rollouts' for a network, tabular training alone has it")
    if off_policy.surrogate in SEQUENCE_SURROGATES and (decisions == "pattern" or length == 1):
        raise ValueError(
            f"surrogate: {off_policy.surrogate!r} with answers of one decision; must be 'clip', which is the same"
        )


def coefficients(
    off_policy: OffPolicy,
    log_ratio: Float[Array, "N G T"],
    learns: Bool[Array, "N G T"],
    weights: Float[Array, "N G"] | Float[Array, "N G T"],
) -> Float[Array, "N G T"]:
    r"""f of each token.

    Of token ratios r_t: [`OffPolicy.factor`][qra_jax.off_policy.OffPolicy.factor]. GSPO:
    that of $s = \bigl(\prod_t r_t\bigr)^{1/|o|}$ for all tokens. GMPO: $\bigl(\prod_t \tilde r_t\bigr)^{1/|o|}$ with
    $\tilde r_t = \min(r_t, 1+\varepsilon_{\rm high})$ where A > 0 and $\max(r_t, 1-\varepsilon_{\rm low})$ where A < 0,
    and 0 for the clipped tokens.

    Args:
      off_policy: the surrogate and its range.
      log_ratio: `[N, G, T]`, log of π/μ.
      learns: `[N, G, T]`, which places count.
      weights: `[N, G]`, A_i, or those of tokens `[N, G, T]`.

    Returns:
      `[N, G, T]`, 0 where A = 0.
    """
    weights = _of_tokens(weights)
    positive = weights > 0
    log_ratio = jnp.where(learns, log_ratio, 0.0)
    length = jnp.maximum(jnp.sum(learns, axis=-1, keepdims=True), 1)
    if off_policy.surrogate == "gspo":
        log_ratio = jnp.sum(log_ratio, axis=-1, keepdims=True) / length
    ratio = jnp.exp(log_ratio)
    factor = jnp.where(positive, off_policy.factor(ratio, True), off_policy.factor(ratio, False))
    if off_policy.surrogate == "gmpo":
        low, high = off_policy.clip_range
        above = jnp.minimum(log_ratio, jnp.log1p(jnp.asarray(high, ratio.dtype)))
        below = (
            log_ratio if low is None else jnp.maximum(log_ratio, jnp.log1p(-jnp.asarray(low, ratio.dtype)))
        )
        mean = jnp.sum(jnp.where(positive, above, below), axis=-1, keepdims=True) / length
        factor = jnp.where(factor != 0, jnp.exp(mean), 0.0)
    factor = jnp.broadcast_to(factor, learns.shape)
    return jnp.where(weights != 0, factor, 0.0)


def correction(
    off_policy: OffPolicy,
    own: Float[Array, "N G T"],
    sampled: Float[Array, "N G T"],
    learns: Bool[Array, "N G T"],
) -> Float[Array, "N G T"]:
    r"""The weight between trainer and sampler, of π_old/μ of each token, or of the product over the sequence.

    Args:
      off_policy: the correction, its level and its cap.
      own: `[N, G, T]`, log π_old of the sampled tokens, of the trainer at the step's beginning.
      sampled: `[N, G, T]`, log μ of them when they were sampled.
      learns: `[N, G, T]`, which places count.

    Returns:
      `[N, G, T]`.
    """
    log_ratio = jnp.where(learns, own - sampled, 0.0)
    if off_policy.correction_level == "sequence":
        log_ratio = jnp.sum(log_ratio, axis=-1, keepdims=True)
    return jnp.broadcast_to(off_policy.corrected(jnp.exp(log_ratio)), learns.shape)


def objective(
    log_probs: Float[Array, "N G T V"],
    tokens: Int[Array, "N G T"],
    learns: Bool[Array, "N G T"],
    weights: Float[Array, "N G"] | Float[Array, "N G T"],
    *,
    off_policy: OffPolicy = ON_POLICY,
    old: Float[Array, "N G T"] | None = None,
    sampled: Float[Array, "N G T"] | None = None,
    correction: Float[Array, "N G T"] | None = None,
    normalize: str = "constant",
    token_mask: TokenMask | None = None,
    key: Array | None = None,
    anchor: Any = None,
    scale: Sequence[Array | None] | None = None,
    regularizers: Sequence[Regularizer] = (),
    penalty: str = "position",
    entropy: ArrayLike | None = None,
) -> Float[Array, ""]:
    r"""What a step ascends: only its gradient in `log_probs` has a meaning.

    Args:
      log_probs: `[N, G, T, V]`, of the policy that learns.
      tokens: `[N, G, T]`, what was sampled.
      learns: `[N, G, T]`, which places count.
      weights: `[N, G]`, A_i, or those of tokens `[N, G, T]`, with neither a token mask nor a mask of old negatives.
      off_policy: the surrogate, and the mask of old negatives.
      old: `[N, G, T]`, log-probabilities below the importance ratio; `None` where it is one.
      sampled: `[N, G, T]`, log μ when the tokens were sampled, for `mask_old_negatives`; `None` where it is log π.
      correction: `[N, G, T]`, weight between trainer and sampler, from [`correction`][]; `None` for one.
      key: PRNG key, for a mask that draws.
      anchor: `[N, G, T, V]`, log π_ref, with `regularizers`; or a list with one for each of them.
      scale: factor of each regularizer's coefficient; `None` for one.
      entropy: α of a term $\alpha A_t\nabla H_t$ with the entropy H of each token distribution; `None` for none.

    As for [`train`][qra_jax.transformer.rl.train]: `normalize`, `token_mask`, `regularizers`, `penalty`.

    Returns:
      Scalar.
    """
    emitted = jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
    emitted = jnp.where(learns, emitted, 0.0)
    weights = jax.lax.stop_gradient(weights)
    gain = jnp.zeros((), log_probs.dtype)
    groups = _grouped(regularizers, anchor, scale)
    if penalty == "sequence":
        for terms, base, factor in groups:
            extra = penalties.on_sequences(terms, emitted, tokens, learns, base)
            gain = gain + _scaled(extra, factor)
    coefficient = _reward_part(
        log_probs, emitted, learns, weights, off_policy, old, sampled, correction, token_mask, key
    )
    per_token = coefficient * emitted
    if entropy is not None:
        along = jnp.asarray(entropy, log_probs.dtype) * _of_tokens(weights) * metrics.entropy(log_probs)
        per_token = per_token + along
    if penalty == "position":
        for terms, base, factor in groups:
            extra = penalties.on_tokens(terms, log_probs, emitted, tokens, base)
            per_token = per_token + _scaled(extra, factor)
    per_token = jnp.where(learns, per_token, 0.0)
    length = jnp.sum(learns, axis=-1, keepdims=True)
    if normalize == "length":
        per_token = per_token / jnp.maximum(length, 1)
    elif normalize == "tokens":
        per_token = per_token / jnp.maximum(jnp.mean(length, axis=-2, keepdims=True), 1)
    elif normalize == "batch_tokens":
        per_token = per_token / jnp.maximum(jnp.mean(length), 1)
    return gain + jnp.sum(per_token) / (tokens.shape[0] * tokens.shape[1])


def _reward_part(
    log_probs: Array,
    emitted: Array,
    learns: Array,
    weights: Array,
    off_policy: OffPolicy,
    old: Array | None,
    sampled: Array | None,
    correction: Array | None,
    token_mask: TokenMask | None,
    key: Array | None,
) -> Array:
    """A f of each token, `[N, G, T]` or `[N, G, 1]`, without gradient."""
    coefficient, factor = _of_tokens(weights), None
    if old is None and sampled is None and correction is None and token_mask is None:
        return coefficient
    now = jax.lax.stop_gradient(emitted)
    if old is not None:
        factor = coefficients(off_policy, now - old, learns, weights)
        coefficient = coefficient * factor
    if correction is not None:
        coefficient = coefficient * correction
    if sampled is not None and off_policy.mask_old_negatives is not None:
        apart = jnp.sum(jnp.where(learns, sampled - now, 0.0), axis=-1)
        apart = apart / jnp.maximum(jnp.sum(learns, axis=-1), 1)
        too_old = (weights < 0) & (apart > jnp.asarray(off_policy.mask_old_negatives, apart.dtype))
        coefficient = jnp.where(too_old[..., None], 0.0, coefficient)
    if token_mask is not None:
        assert key is not None
        known = jax.lax.stop_gradient(log_probs)
        keeps = token_mask.keeps(key, known, now, learns, weights, factor)
        coefficient = coefficient if keeps is None else jnp.where(keeps, coefficient, 0.0)
        pull = token_mask.pull(now, old, learns, weights)
        coefficient = coefficient if pull is None else coefficient + pull
    return coefficient


def _of_tokens(weights: Array) -> Array:
    """Weights of tokens, `[N, G, T]`, or of whole sequences, `[N, G, 1]`."""
    return weights[..., None] if weights.ndim == 2 else weights


def _scaled(gain: Array, factor: Array | None) -> Array:
    return gain if factor is None else jnp.asarray(factor, gain.dtype) * gain


def _grouped(
    terms: Sequence[Regularizer], anchor: Any, scale: Sequence[Array | None] | None
) -> list[tuple[Sequence[Regularizer], Array, Array | None]]:
    """Terms with their reference and factor: all together where they share them."""
    if not terms:
        return []
    assert anchor is not None
    scales = [None] * len(terms) if scale is None else scale
    if not isinstance(anchor, (list, tuple)):
        anchor = [anchor] * len(terms)
    if all(base is anchor[0] for base in anchor) and all(factor is None for factor in scales):
        return [(terms, anchor[0], None)]
    return [([term], base, factor) for term, base, factor in zip(terms, anchor, scales, strict=True)]

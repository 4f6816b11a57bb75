r"""Token masks: which of the sampled tokens the reward teaches.

A mask acts on the reward's part of the gradient alone. Penalties keep all tokens, and so do the lengths that the
gradient is divided by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Bool, Float

from qra_jax import _check, metrics

KINDS = ("top_entropy", "clip_cov", "kl_cov")
"""Names of the masks."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TokenMask:
    r"""A choice of tokens by their entropy, or by the covariance of their log-probability and their weight.

    With n tokens in the batch, $C = (\log\pi-\overline{\log\pi})(A-\bar A)$ for each of them, means over all of them:

    - `"top_entropy"`: learn from the tokens whose entropy is at or above its quantile 1 − share.
    - `"clip_cov"`: drop max(⌊share · n⌋, 1) tokens, drawn from those with low < C < high that the surrogate has not
      clipped.
    - `"kl_cov"`: a penalty $-\text{weight}\,|\log(\pi/\pi_{\rm old})|$ on the max(⌊share · n⌋, 1) tokens of largest C;
      none where the ratio is one.

    Attributes:
      kind: one of the names above.
      share: in [0, 1].
      low: lower end of the covariances that are dropped, in nats times a weight.
      high: their upper end.
      weight: of the penalty, ≥ 0.

    Raises:
      ValueError: an argument out of range.

    Reference: Wang et al., arXiv 2506.01939 (top entropy; share = .2); Cui et al., arXiv 2505.22617 (Clip-Cov and
      KL-Cov; share = 2e-4, range 1 … 5, weight 1).
    """

    kind: str = field(metadata={"static": True})
    share: Any
    low: Any = 1.0
    high: Any = 5.0
    weight: Any = 1.0

    def __post_init__(self) -> None:
        kinds = (int, float, np.ndarray, np.generic, jax.Array, Tracer)
        if not isinstance(self.share, kinds) and type(self.share) is object:
            return  # the placeholder of a tree transformation
        _check.choice("token_mask.kind", self.kind, KINDS)
        _check.unit_interval("token_mask.share", self.share)
        _check.finite("token_mask.low", self.low)
        _check.finite("token_mask.high", self.high)
        _check.nonnegative("token_mask.weight", self.weight)

    def keeps(
        self,
        key: Array,
        log_probs: Float[Array, "N G T V"],
        emitted: Float[Array, "N G T"],
        learns: Bool[Array, "N G T"],
        weights: Float[Array, "N G"],
        factor: Float[Array, "N G T"] | None = None,
    ) -> Bool[Array, "N G T"] | None:
        """Which tokens the reward teaches.

        Args:
          key: PRNG key; used by `"clip_cov"`.
          log_probs: `[N, G, T, V]`, of the policy that learns.
          emitted: `[N, G, T]`, those of the sampled tokens.
          learns: `[N, G, T]`, which places count.
          weights: `[N, G]`, A_i.
          factor: `[N, G, T]`, of the surrogate; tokens where it is zero are clipped already.

        Returns:
          `[N, G, T]`, or `None` for all of them.
        """
        if self.kind == "top_entropy":
            entropy = jnp.where(learns, metrics.entropy(log_probs), -jnp.inf)
            last = jnp.sum(learns) - 1
            above = jnp.floor(jnp.asarray(self.share, entropy.dtype) * last + 1e-6).astype(int)
            return entropy >= jnp.sort(entropy, axis=None, descending=True)[jnp.clip(above, 0, last)]
        if self.kind == "clip_cov":
            covariance = _covariance(emitted, learns, weights)
            within = learns & (covariance > self.low) & (covariance < self.high)
            if factor is not None:
                within = within & (factor != 0)
            lot = jnp.where(within, jax.random.uniform(key, within.shape), 2.0)
            return ~(within & (_rank(lot) < self._number(learns)))
        return None

    def pull(
        self,
        emitted: Float[Array, "N G T"],
        old: Float[Array, "N G T"] | None,
        learns: Bool[Array, "N G T"],
        weights: Float[Array, "N G"],
    ) -> Float[Array, "N G T"] | None:
        """What the penalty adds to the coefficient of each token's gradient.

        Args:
          emitted: `[N, G, T]`, log π of the sampled tokens.
          old: `[N, G, T]`, log π_old; `None` where it is log π.

        As for [`TokenMask.keeps`][]: `learns`, `weights`.

        Returns:
          `[N, G, T]`, or `None` for no penalty.
        """
        if self.kind != "kl_cov" or old is None:
            return None
        covariance = _covariance(emitted, learns, weights)
        chosen = learns & (_rank(-covariance) < self._number(learns))
        weight = jnp.asarray(self.weight, emitted.dtype)
        return jnp.where(chosen, -weight * jnp.sign(emitted - old), 0.0)

    def _number(self, learns: Array) -> Array:
        return jnp.maximum(jnp.floor(jnp.asarray(self.share) * jnp.sum(learns) + 1e-6).astype(int), 1)


def _covariance(emitted: Array, learns: Array, weights: Array) -> Array:
    """C of each token; −inf where nothing is learned."""
    weights = jnp.broadcast_to(weights[..., None], emitted.shape)
    count = jnp.maximum(jnp.sum(learns), 1)
    centred = [x - jnp.sum(jnp.where(learns, x, 0.0)) / count for x in (emitted, weights)]
    return jnp.where(learns, centred[0] * centred[1], -jnp.inf)


def _rank(values: Array) -> Array:
    """Place of each value among all of them, 0 for the smallest."""
    order = jnp.argsort(values, axis=None)
    rank = jnp.zeros(values.size, order.dtype).at[order].set(jnp.arange(values.size, dtype=order.dtype))
    return rank.reshape(values.shape)

"""What is read off a policy: pure functions of log-probabilities."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from qra_jax import _check

LogProbs = Float[Array, "*batch patterns"]


@jax.jit
def accuracy(log_policy: LogProbs, success: Float[Array, "*batch patterns"]) -> Float[Array, "*batch"]:
    """Accuracy, ρ = Σ_r π(r) p_r.

    Args:
      log_policy: `[..., patterns]`, log π.
      success: `[..., patterns]`, success rates in [0, 1].

    Returns:
      `[...]`, in [0, 1].

    >>> import jax.numpy as jnp
    >>> round(float(accuracy(jnp.log(jnp.array([.5, .5])), jnp.array([1., 0.]))), 6)
    0.5
    """
    chex.assert_equal_shape_suffix([log_policy, success], 1)
    return jnp.sum(jnp.exp(log_policy) * success, axis=-1)


def pass_at_k(accuracy: Float[Array, "*batch"], k: int | float | Array) -> Float[Array, "*batch"]:
    """Chance that one of k independent tries is right, 1 − (1 − ρ)^k.

    Args:
      accuracy: `[...]`, ρ in [0, 1].
      k: number of tries, > 0.

    Returns:
      `[...]`, in [0, 1]; exact for small ρ (no cancellation).

    Raises:
      ValueError: k is not positive.

    Reference: Chen et al., arXiv 2107.03374, §2.1.
    """
    _check.positive("k", k)
    return -jnp.expm1(k * jnp.log1p(-accuracy))


def pass_at_k_estimate(right: Bool[Array, "*batch tries"], k: int) -> Float[Array, "*batch"]:
    r"""Unbiased estimate of pass@k from G tries of which c were right, $1 - \binom{G-c}{k}/\binom Gk$.

    Args:
      right: `[..., tries]`, which tries were right.
      k: number of tries, 1 … G.

    Returns:
      `[...]`, in [0, 1].

    Raises:
      ValueError: k outside 1 … G.

    Reference: Chen et al., arXiv 2107.03374, eq. 1.

    >>> import jax.numpy as jnp
    >>> round(float(pass_at_k_estimate(jnp.array([True, False, False, False]), 2)), 6)
    0.5
    """
    tries = right.shape[-1]
    if _check.integer("k", k, low=1) > tries:
        raise ValueError(f"k: {k}; must be in 1 … {tries}, the number of tries")
    wrong = jnp.sum(~right, axis=-1, keepdims=True)
    i = jnp.arange(k).reshape((1,) * (right.ndim - 1) + (k,))  # the product of (wrong − i)/(tries − i)
    return 1 - jnp.prod(jnp.maximum(wrong - i, 0) / (tries - i), axis=-1)


@jax.jit
def entropy(log_policy: LogProbs) -> Float[Array, "*batch"]:
    """Shannon entropy of the pattern choice in nats, H = −Σ π log π (0 log 0 = 0).

    Args:
      log_policy: `[..., patterns]`, log π; `-inf` allowed.

    Returns:
      `[...]`, in [0, log n].
    """
    return -jnp.sum(
        jnp.where(jnp.isneginf(log_policy), 0.0, jnp.exp(log_policy) * _finite(log_policy)), axis=-1
    )


@jax.jit
def kl(log_policy: LogProbs, log_other: LogProbs) -> Float[Array, "*batch"]:
    """Kullback–Leibler divergence in nats, KL(π‖μ) = Σ π log(π/μ).

    Args:
      log_policy: `[..., patterns]`, log π; `-inf` allowed.
      log_other: `[..., patterns]`, log μ.

    Returns:
      `[...]`, zero or above; `inf` where π has mass and μ has none.
    """
    chex.assert_equal_shape_suffix([log_policy, log_other], 1)
    gone = jnp.isneginf(log_policy)
    return jnp.sum(
        jnp.where(gone, 0.0, jnp.exp(log_policy) * (_finite(log_policy) - jnp.where(gone, 0.0, log_other))),
        axis=-1,
    )


@jax.jit
def herfindahl(log_policy: LogProbs) -> Float[Array, "*batch"]:
    """Herfindahl index of concentration, Σ π²: 1/n when uniform, 1 when a single pattern is left.

    Args:
      log_policy: `[..., patterns]`, log π.

    Returns:
      `[...]`, in [1/n, 1].
    """
    return jnp.sum(jnp.exp(2 * log_policy), axis=-1)


def effective_patterns(log_policy: LogProbs) -> Float[Array, "*batch"]:
    """Number of patterns in use, exp(H).

    Args:
      log_policy: `[..., patterns]`, log π.

    Returns:
      `[...]`, in [1, n].
    """
    return jnp.exp(entropy(log_policy))


def logit(probability: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Log odds, log(ρ / (1 − ρ)).

    Args:
      probability: `[...]`, in [0, 1].

    Returns:
      `[...]`, `-inf` at 0 and `inf` at 1.
    """
    return jnp.log(probability) - jnp.log1p(-probability)


def _finite(x: Array) -> Array:
    """Replace -inf by zero, so that 0 · log 0 has value and gradient zero."""
    return jnp.where(jnp.isneginf(x), 0.0, x)

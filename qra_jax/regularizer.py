r"""Regularizers: penalties and bonuses on the policy, each as the advantage that it adds.

Every term of the flow, reward or penalty, is an *advantage* $a_r$: a vector over patterns whose gradient in
the logits is $\pi\odot(a - \sum_s\pi_s a_s)$. Rewards have $a = c(\rho)\,R$; a `Regularizer` adds its own.
The geometry then says how an advantage moves the logits, see [`ascend`][qra_jax.geometry.ascend].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check, _show
from qra_jax.geometry import ascend

Patterns = Float[Array, " patterns"]
Params = dict[str, Any]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Regularizer:
    """A penalty or bonus on the policy, as the advantage it adds.

    Attributes:
      name: what figures and reports call it.
      function: `(params, log_policy, log_ref) -> advantage [patterns]`, to be ascended.
      params: differentiable parameters.
    """

    name: str = field(metadata={"static": True})
    function: Callable[[Params, Array, Array], Array] = field(metadata={"static": True})
    params: Params = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Regularizer({', '.join([self.name, *_show.parameters(self.params)])})"

    def advantage(self, log_policy: Patterns, log_ref: Patterns) -> Patterns:
        """The advantage that this term adds to the reward's.

        Args:
          log_policy: `[patterns]`, log π; patterns at `-inf` get 0.
          log_ref: `[patterns]`, log π_ref; may be `-inf`.

        Returns:
          `[patterns]`, a_r.
        """
        return self.function(self.params, log_policy, log_ref)

    def velocity(self, log_policy: Patterns, log_ref: Patterns, geometry: str = "softmax") -> Patterns:
        """The logit velocity that this term adds, minus the gradient of the penalty in the given geometry.

        Args:
          log_policy: `[patterns]`, log π.
          log_ref: `[patterns]`, log π_ref.
          geometry: as in [`ascend`][qra_jax.geometry.ascend].

        Returns:
          `[patterns]`.

        Raises:
          ValueError: an unknown geometry.
        """
        return ascend(self.advantage(log_policy, log_ref), jnp.exp(log_policy), geometry)


def velocity(
    terms: Sequence[Regularizer], log_policy: Patterns, log_ref: Patterns, geometry: str = "softmax"
) -> Patterns:
    """The logit velocity that several terms add together; patterns without mass stand still.

    Args:
      terms: the terms; none gives zero.

    As for [`Regularizer.velocity`][]: `log_policy`, `log_ref`, `geometry`.

    Returns:
      `[patterns]`.

    Raises:
      ValueError: an unknown geometry.
    """
    advantage = jnp.zeros_like(log_policy)
    for term in terms:
        advantage = advantage + term.advantage(log_policy, log_ref)
    gone = jnp.isneginf(log_policy)
    return jnp.where(gone, 0.0, ascend(jnp.where(gone, 0.0, advantage), jnp.exp(log_policy), geometry))


def reverse_kl(beta: float | Array) -> Regularizer:
    r"""The exact penalty $-\beta\,\mathrm{KL}(\pi\|\pi_{\rm ref})$: $a = -\beta\log(\pi/\pi_{\rm ref})$.

    Args:
      beta: β ≥ 0.

    Returns:
      A `Regularizer`. Where π has mass and π_ref none the penalty is infinite and the advantage is −inf;
      runners answer that with `Status.INVALID`.

    Raises:
      ValueError: β negative or not finite.

    Reference: Chen, Li, Zou, arXiv 2506.04695, Prop. 5.2.
    """
    return Regularizer("reverse KL", _reverse_kl, {"beta": _check.nonnegative("beta", beta)})


def _reverse_kl(params: Params, log_policy: Array, log_ref: Array) -> Array:
    beta = jnp.asarray(params["beta"], log_policy.dtype)
    skip = jnp.isneginf(log_policy) | (jnp.isneginf(log_ref) & (beta == 0))
    return -beta * jnp.where(skip, 0.0, _masked(skip, log_policy) - _masked(skip, log_ref))


def k3_loss(beta: float | Array) -> Regularizer:
    r"""The k3 estimator as a term of the loss, as used in practice: $a = \beta\,\pi_{\rm ref}/\pi$.

    Its mean gradient in the logits, $-\beta(\pi-\pi_{\rm ref})$, is that of the *forward* KL(π_ref‖π), not of
    KL(π‖π_ref): another flow with another end point than [`reverse_kl`][].

    Args:
      beta: β ≥ 0.

    Returns:
      A `Regularizer`.

    Raises:
      ValueError: β negative or not finite.

    Reference: Shao et al., arXiv 2402.03300, eq. 4; Schulman, "Approximating KL divergence", 2020.
    """
    return Regularizer("k3 in the loss", _k3_loss, {"beta": _check.nonnegative("beta", beta)})


def _k3_loss(params: Params, log_policy: Array, log_ref: Array) -> Array:
    beta = jnp.asarray(params["beta"], log_policy.dtype)
    gone = jnp.isneginf(log_policy)
    # The ratio overflows only where π has underflowed; capped, π · ratio is still π_ref down to π ~ 1/cap.
    cap = float(np.log(np.finfo(log_policy.dtype).max)) - 12
    ratio = jnp.exp(jnp.minimum(log_ref - _masked(gone, log_policy), cap))
    return beta * jnp.where(gone, 0.0, ratio)


def entropy_bonus(weight: float | Array) -> Regularizer:
    r"""An entropy bonus $+w\,H(\pi)$ on the pattern choice: $a = -w\log\pi$.

    Args:
      weight: w in nats of reward per nat, finite; negative sharpens.

    Returns:
      A `Regularizer`.

    Raises:
      ValueError: w not finite.

    Reference: Mei et al., arXiv 2005.06392, §4.
    """
    return Regularizer("entropy bonus", _entropy_bonus, {"weight": _check.finite("weight", weight)})


def _entropy_bonus(params: Params, log_policy: Array, log_ref: Array) -> Array:
    gone = jnp.isneginf(log_policy)
    return -jnp.asarray(params["weight"], log_policy.dtype) * _masked(gone, log_policy)


def _masked(gone: Array, log_probs: Array) -> Array:
    """Zero where `gone`, so that neither values nor derivatives meet −inf."""
    return jnp.where(gone, 0.0, log_probs)

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

from qra_jax import _check, _pytrees, _show
from qra_jax.geometry import ascend
from qra_jax.registry import REGULARIZERS

Patterns = Float[Array, " patterns"]
Params = dict[str, Any]


ESTIMATES = ("exact", "samples", "corrected")
"""How a penalty's gradient is taken in sampled training."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Reference:
    r"""How the reference policy and the coefficient of a penalty change in the course of discrete training.

    Every `every` steps the reference's logits become $\alpha\theta + (1-\alpha)\theta_{\rm ref}$: α = 1 resets it (a
    policy iteration, not a fixed point), a smaller α averages (TRL's `sync_ref_model`). With a target, the coefficient
    is multiplied at each step by $1 + {\rm clip}({\rm KL}/\text{target} - 1, -0.2, 0.2)/\text{horizon}$.

    Attributes:
      every: N ≥ 1, steps between updates; `None` for a reference that stays.
      mixing: α in [0, 1].
      target_kl: in nats, > 0; `None` for a coefficient that stays.
      horizon: > 0, in steps.

    Raises:
      ValueError: a number out of range.

    Reference: Mroueh, arXiv 2503.06639 (policy iteration); Ziegler et al., arXiv 1909.08593, §2.2 (controller).
    """

    every: int | None = field(default=None, metadata={"static": True})
    mixing: Any = 1.0
    target_kl: Any = None
    horizon: Any = 100.0

    def __post_init__(self) -> None:
        if self.every is not None:
            _check.integer("reference.every", self.every, low=1)
        for name, check in (("mixing", _check.unit_interval), ("target_kl", _check.positive)):
            value = getattr(self, name)
            if isinstance(value, (int, float)):
                check(f"reference.{name}", value)
        if isinstance(self.horizon, (int, float)):
            _check.positive("reference.horizon", self.horizon)


@dataclass(frozen=True, repr=False)
class Regularizer:
    """A penalty or bonus on the policy, as the advantage it adds.

    Attributes:
      name: what figures and reports call it.
      function: `(params, log_policy, log_ref) -> advantage [patterns]`, to be ascended.
      params: differentiable parameters.
      estimate: in sampled training, `"exact"` takes the gradient over all patterns; `"samples"` takes it on the
        rollouts of the step, $\\frac1G\\sum_i a_{r_i}(e_{r_i}-\\pi)$, as trainers do; `"corrected"` multiplies these
        by the importance ratio where the rollouts are old.
      reference: how reference and coefficient change in discrete training; `None` for not at all.
      made: name and plain arguments of the factory that made it.
    """

    name: str
    function: Callable[[Params, Array, Array], Array]
    params: Params = field(default_factory=dict)
    estimate: str = "exact"
    reference: Reference | None = None
    made: Any = None

    def __post_init__(self) -> None:
        _check.choice("estimate", self.estimate, ESTIMATES)

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


_pytrees.register(
    Regularizer, children=("params", "reference"), functions=("function",), labels=("name", "made")
)


def velocity(
    terms: Sequence[Regularizer | Callable[[Array, Array], Array]],
    log_policy: Patterns,
    log_ref: Patterns,
    geometry: str = "softmax",
) -> Patterns:
    """The logit velocity that several terms add together; patterns without mass stand still.

    Args:
      terms: the terms, or their advantages as functions of both policies; none gives zero.

    As for [`Regularizer.velocity`][]: `log_policy`, `log_ref`, `geometry`.

    Returns:
      `[patterns]`.

    Raises:
      ValueError: an unknown geometry.
    """
    advantage = jnp.zeros_like(log_policy)
    for term in terms:
        one = term.advantage if isinstance(term, Regularizer) else term
        advantage = advantage + one(log_policy, log_ref)
    gone = jnp.isneginf(log_policy)
    return jnp.where(gone, 0.0, ascend(jnp.where(gone, 0.0, advantage), jnp.exp(log_policy), geometry))


@REGULARIZERS.enter("reverse_kl")
def reverse_kl(
    beta: float | Array, *, estimate: str = "exact", reference: Reference | None = None
) -> Regularizer:
    r"""The exact penalty $-\beta\,\mathrm{KL}(\pi\|\pi_{\rm ref})$: $a = -\beta\log(\pi/\pi_{\rm ref})$.

    Args:
      beta: β ≥ 0.
      estimate: `"exact"`, `"samples"` or `"corrected"`, see [`Regularizer`][].
      reference: how reference and coefficient change in discrete training.

    Returns:
      A `Regularizer`. Where π has mass and π_ref none the penalty is infinite and the advantage is −inf;
      runners answer that with `Status.INVALID`.

    Raises:
      ValueError: β negative or not finite, or an unknown estimate.

    Reference: Chen, Li, Zou, arXiv 2506.04695, Prop. 5.2.
    """
    return Regularizer("reverse KL", _reverse_kl, _beta(beta), estimate, reference)


def _beta(beta: Any) -> Params:
    return {"beta": _check.nonnegative("beta", beta)}


def _reverse_kl(params: Params, log_policy: Array, log_ref: Array) -> Array:
    beta = jnp.asarray(params["beta"], log_policy.dtype)
    skip = jnp.isneginf(log_policy) | (jnp.isneginf(log_ref) & (beta == 0))
    return -beta * jnp.where(skip, 0.0, _masked(skip, log_policy) - _masked(skip, log_ref))


@REGULARIZERS.enter("k1_loss")
def k1_loss(
    beta: float | Array, *, estimate: str = "samples", reference: Reference | None = None
) -> Regularizer:
    r"""The log-ratio itself as a term of the loss (k1): its gradient is zero in expectation, $a = -\beta$.

    It adds noise and no pull: the log-ratio estimates the KL without bias, its derivative does not.

    The arguments, returns and raises are those of [`reverse_kl`][].

    Reference: Schulman, "Approximating KL divergence", 2020; Tang and Munos, arXiv 2506.09477.
    """
    return Regularizer("k1 in the loss", _k1_loss, _beta(beta), estimate, reference)


def _k1_loss(params: Params, log_policy: Array, log_ref: Array) -> Array:
    beta = jnp.asarray(params["beta"], log_policy.dtype)
    return jnp.where(jnp.isneginf(log_policy), 0.0, -beta)


@REGULARIZERS.enter("k2_loss")
def k2_loss(
    beta: float | Array, *, estimate: str = "samples", reference: Reference | None = None
) -> Regularizer:
    r"""Half the squared log-ratio as a term of the loss (k2), $a = -\beta\log(\pi/\pi_{\rm ref})$: the reverse KL.

    The arguments, returns and raises are those of [`reverse_kl`][].

    Reference: Schulman, "Approximating KL divergence", 2020; Tang and Munos, arXiv 2506.09477.
    """
    return Regularizer("k2 in the loss", _reverse_kl, _beta(beta), estimate, reference)


@REGULARIZERS.enter("k3_k2_loss")
def k3_k2_loss(
    beta: float | Array, *, estimate: str = "samples", reference: Reference | None = None
) -> Regularizer:
    r"""The value of k3 with the gradient of k2 (verl's straight-through variant): exactly the reverse KL.

    The arguments, returns and raises are those of [`reverse_kl`][].

    Reference: verl, `kl_penalty` of type "k3+"; Tang and Munos, arXiv 2506.09477.
    """
    return Regularizer("k3 with the gradient of k2", _reverse_kl, _beta(beta), estimate, reference)


@REGULARIZERS.enter("k3_loss")
def k3_loss(
    beta: float | Array, *, estimate: str = "exact", reference: Reference | None = None
) -> Regularizer:
    r"""The k3 estimator as a term of the loss, as used in practice: $a = \beta\,(\pi_{\rm ref}/\pi - 1)$.

    Its mean gradient in the logits, $-\beta(\pi-\pi_{\rm ref})$, is that of the *forward* KL(π_ref‖π), not of
    KL(π‖π_ref): another flow with another end point than [`reverse_kl`][].

    The arguments, returns and raises are those of [`reverse_kl`][].

    Reference: Shao et al., arXiv 2402.03300, eq. 4; Schulman, "Approximating KL divergence", 2020.
    """
    return Regularizer("k3 in the loss", _k3_loss, _beta(beta), estimate, reference)


def _k3_loss(params: Params, log_policy: Array, log_ref: Array) -> Array:
    beta = jnp.asarray(params["beta"], log_policy.dtype)
    gone = jnp.isneginf(log_policy)
    # The ratio overflows only where π has underflowed; capped, π · ratio is still π_ref down to π ~ 1/cap.
    cap = float(np.log(np.finfo(log_policy.dtype).max)) - 12
    excess = jnp.expm1(jnp.minimum(log_ref - _masked(gone, log_policy), cap))
    return beta * jnp.where(gone, 0.0, excess)


@REGULARIZERS.enter("entropy_bonus")
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

"""What discrete, sampled training is beyond its flow: the expansion in the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check

STEPS = 256
"""Steps of the solver, all of one size: the equations are smooth."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Expansion:
    """A quantity z along the flow, and how discrete training differs from it at the last time, per unit η.

    Attributes:
      flow: `[times]`, z along the flow.
      error: e: training by exact means is at z + ηe.
      bias: b: the average of sampled runs is at z + ηb.
      variance: s²: sampled runs spread with the variance ηs².
    """

    flow: Float[Array, " times"]
    error: Float[Array, ""]
    bias: Float[Array, ""]
    variance: Float[Array, ""]


def small_step_expansion(
    drift: Callable[[Array], Array],
    covariance: Callable[[Array], Array],
    start: Float[Array, " parameters"],
    quantity: Callable[[Array], Array],
    ts: Any,
) -> Expansion:
    r"""First order in the learning rate of training at fixed time t = η · steps.

    With f the drift, J its Jacobian and C the covariance of one step's gradient, along the flow $\dot\theta = f$

    $$ \dot\Sigma = J\Sigma + \Sigma J^\top + C,\qquad \dot e = J e - \tfrac12 J f,\qquad
       \dot b = J b - \tfrac12 J f + \tfrac12 f''\!:\!\Sigma, $$

    all zero at the start: a sampled run has mean θ + ηb and covariance ηΣ, mean training is at θ + ηe. A quantity
    z(θ) adds ½ z″:Σ to its bias.

    Args:
      drift: θ `[parameters]` to f(θ) `[parameters]`, twice differentiable, per unit time.
      covariance: θ to C(θ) `[parameters, parameters]`, of the gradient of one step (one group of rollouts).
      start: `[parameters]`, θ at time 0.
      quantity: θ to the scalar z.
      ts: `[times]`, increasing, 0 or above; the expansion is at the last one, which is above 0.

    Returns:
      An `Expansion`, exact to leading order.

    Raises:
      ValueError: times that are negative, do not increase or end at 0.

    Reference: *derived here*; the weak expansion of stochastic gradient descent, Li, Tai, E, arXiv 1511.06251.

    >>> decay = small_step_expansion(lambda x: -x, lambda x: jnp.eye(1), jnp.ones(1), lambda x: x[0], [0.0, 1.0])
    >>> print(round(float(decay.error), 4), round(float(decay.variance), 4))
    -0.1839 0.4323
    """
    ts = jnp.asarray(_check.times("ts", ts), start.dtype)
    end = _check.positive("ts[-1]", ts[-1])

    def both(theta: Array) -> tuple[Array, Array]:
        value = drift(theta)
        return value, value

    def linear(theta: Array) -> tuple[Array, tuple[Array, Array]]:
        jacobian, value = jax.jacfwd(both, has_aux=True)(theta)
        return jacobian, (jacobian, value)

    def velocity(t: Any, state: tuple[Array, ...], args: Any) -> tuple[Array, ...]:
        theta, spread, error, bias = state
        second, (jacobian, value) = jax.jacfwd(linear, has_aux=True)(theta)
        late = jacobian @ value / 2
        return (
            value,
            jacobian @ spread + spread @ jacobian.T + covariance(theta),
            jacobian @ error - late,
            jacobian @ bias - late + jnp.einsum("ijk,jk->i", second, spread) / 2,
        )

    zero = jnp.zeros_like(start)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(velocity),
        diffrax.Tsit5(),
        t0=0.0,
        t1=end,
        dt0=end / STEPS,
        y0=(start, jnp.outer(zero, zero), zero, zero),
        saveat=diffrax.SaveAt(ts=ts),
        adjoint=diffrax.ForwardMode(),
    )
    assert solution.ys is not None
    thetas = solution.ys[0]
    theta, spread, error, bias = (part[-1] for part in solution.ys)
    slope = jax.grad(quantity)(theta)
    return Expansion(
        flow=jax.vmap(quantity)(thetas),
        error=slope @ error,
        bias=slope @ bias + jnp.sum(jax.hessian(quantity)(theta) * spread) / 2,
        variance=slope @ spread @ slope,
    )

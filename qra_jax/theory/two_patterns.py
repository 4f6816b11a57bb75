r"""Two patterns, one surely right and one surely wrong: accuracy's logit z = logit ρ moves in closed form.

$$ \dot z = 2\rho(1-\rho)\,c(\rho)\ \text{(softmax policy gradient)}, \qquad
   \dot z = c(\rho)\ \text{(natural gradient)} $$
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check

REINFORCE, GRPO, NATURAL, NATURAL_STD = "reinforce", "grpo", "natural", "natural-std"
CLOCKS = (REINFORCE, GRPO, NATURAL, NATURAL_STD)


def two_pattern_time(z0: float | Array, z: float | Array, clock: str = REINFORCE) -> Float[Array, "*b"]:
    r"""Time to go from logit z₀ to logit z with success rates (1, 0).

    | clock | t |
    |---|---|
    | `"reinforce"` | $z + \sinh z - z_0 - \sinh z_0$ |
    | `"grpo"` (mean field) | $2\sinh(z/2) - 2\sinh(z_0/2)$ |
    | `"natural"` | $z - z_0$ |
    | `"natural-std"` (natural gradient ÷ std) | $2\arcsin\sqrt\rho - 2\arcsin\sqrt{\rho_0}$, at most π |

    Args:
      z0: logit ρ₀.
      z: logit ρ; above z₀ for a positive time.
      clock: one of the names above.

    Returns:
      t, unit learning rate; differences are taken without cancellation.

    Raises:
      ValueError: an unknown clock.

    Reference: *derived here*.

    >>> print(round(float(two_pattern_time(-2.0, 2.0)), 6))
    11.253721
    """
    _check.choice("clock", clock, CLOCKS)
    z0, z = jnp.asarray(z0), jnp.asarray(z)
    if clock == NATURAL:
        return z - z0
    if clock == NATURAL_STD:
        return 2 * jnp.arctan(-jnp.expm1((z0 - z) / 2) / (jnp.exp(-z / 2) + jnp.exp(z0 / 2)))
    if clock == GRPO:
        return 4 * jnp.cosh((z + z0) / 4) * jnp.sinh((z - z0) / 4)
    return z - z0 + 2 * jnp.cosh((z + z0) / 2) * jnp.sinh((z - z0) / 2)


def two_pattern_logit(z0: float | Array, t: float | Array, clock: str = REINFORCE) -> Float[Array, "*b"]:
    r"""Logit of accuracy at time t with success rates (1, 0): [`two_pattern_time`][] solved for z.

    Args:
      z0: logit ρ₀, finite.
      t: time t ≥ 0, unit learning rate.
      clock: `"reinforce"`, `"grpo"`, `"natural"` or `"natural-std"`.

    Returns:
      z(t); `inf` from $t = \pi - 2\arcsin\sqrt{\rho_0}$ on under `"natural-std"`. Differentiable (for
      REINFORCE by the implicit function theorem).

    Raises:
      ValueError: an unknown clock.

    Reference: *derived here*.

    >>> print(round(float(two_pattern_logit(0.0, 2.0, "grpo")), 6))
    1.762747
    """
    _check.choice("clock", clock, CLOCKS)
    z0, t = jnp.asarray(z0), jnp.asarray(t)
    if clock == NATURAL:
        return z0 + t
    if clock == NATURAL_STD:
        advance, odds = jnp.tan(jnp.where(t < jnp.pi, t, 0.0) / 2), jnp.exp(z0 / 2)
        left = 1 - advance * odds
        done = (t >= jnp.pi) | (left <= 0)
        return jnp.where(
            done, jnp.inf, z0 + 2 * (jnp.log1p(advance / odds) - jnp.log(jnp.where(done, 1.0, left)))
        )
    if clock == GRPO:
        return 2 * jnp.arcsinh(jnp.sinh(z0 / 2) + t / 2)
    total = z0 + jnp.sinh(z0) + t
    over = jnp.isinf(total)
    total = jnp.where(over, 0.0, total)
    z = jax.lax.stop_gradient(_invert(total))
    return jnp.where(over, z0 + t, z - (z + jnp.sinh(z) - total) / (1 + jnp.cosh(z)))


@jax.jit
def _invert(total: Array) -> Array:
    """z with z + sinh z = total: Newton from arcsinh |total|, right of the root of a convex function."""
    size = jnp.abs(total)

    def newton(_: Array, z: Array) -> Array:
        return z - (z + jnp.sinh(z) - size) / (1 + jnp.cosh(z))

    return jnp.sign(total) * jax.lax.fori_loop(0, 8, newton, jnp.arcsinh(size))

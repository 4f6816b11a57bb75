"""Roots of one equation in one unknown in a bracket: by bisection where traced, by Brent's method where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_MOST = 100
"""Halvings at most: the width of the bracket times 2⁻¹⁰⁰ is below any rounding that matters."""

Scalar = Float[Array, ""]


def bisect(increasing: Callable[[Scalar], Scalar], low: Any, high: Any) -> Scalar:
    """Root of an increasing function in a bracket, to rounding; traceable, and constant for derivatives.

    Args:
      increasing: a function of a scalar, negative at `low` and zero or positive at `high`; it need not be continuous.
      low: lower end.
      high: upper end.

    Returns:
      The root; the nearer end where the function has the same sign at both.

    >>> print(round(float(bisect(lambda x: x**2 - 2, 0.0, 2.0)), 6))
    1.414214
    """
    import optimistix as optx  # slow to load, and not wanted by every command

    from qra_jax._bisection import BracketedBisection

    low, high = jax.lax.stop_gradient(jnp.broadcast_arrays(*map(jnp.asarray, (low, high))))
    dtype = jnp.result_type(low, high, float)
    low, high = low.astype(dtype), high.astype(dtype)
    function, constants = jax.closure_convert(increasing, low)
    solver = BracketedBisection(rtol=float(jnp.finfo(dtype).eps), atol=0.0, flip=False)
    solution = optx.root_find(
        lambda x, constants: function(x, *constants),
        solver,
        (low + high) / 2,
        args=jax.lax.stop_gradient(constants),
        options={"lower": low, "upper": high},
        max_steps=_MOST,
        throw=False,
    )
    return jax.lax.stop_gradient(solution.value)


def root(increasing: Callable[[Scalar], Scalar], low: Any, high: Any) -> Scalar:
    """Root of an increasing function in a bracket, to rounding; differentiable by the implicit function theorem.

    Args:
      increasing: a differentiable function of a scalar, negative at `low` and zero or positive at `high`.
      low: lower end.
      high: upper end.

    Returns:
      The root; the nearer end where the function has the same sign at both.

    >>> print(round(float(jax.grad(lambda c: root(lambda x: x**2 - c, 0.0, 2.0))(2.0)), 6))
    0.353553
    """
    at = bisect(increasing, low, high)
    slope = jax.lax.stop_gradient(jax.grad(increasing)(at))
    step = increasing(at) / jnp.where(slope == 0, 1.0, slope)
    near = 1e-3 * (1 + jnp.abs(at))  # where two roots meet the slope is rounding, and the step too
    return at - jnp.clip(jnp.where(jnp.isfinite(step), step, 0.0), -near, near)


def halve(increasing: Callable[[float], float], low: float, high: float) -> float:
    """What [`brent`][] finds, by halving alone: for cheap functions where SciPy would take longer to load.

    Args:
      increasing: the function of Python numbers; it need not be continuous.
      low: lower end.
      high: upper end.

    Returns:
      A number at which the function is zero or positive; `low` where it is so there, `high` where it is so nowhere.

    >>> round(halve(lambda x: x**2 - 2, 0.0, 2.0), 6)
    1.414214
    """
    if increasing(low) >= 0:
        return low
    while low < (middle := 0.5 * (low + high)) < high:
        low, high = (middle, high) if increasing(middle) < 0 else (low, middle)
    return high


def brent(increasing: Callable[[float], float], low: float, high: float) -> float:
    """The first number, to rounding, at which an increasing function of Python numbers is not negative.

    Args:
      increasing: the function; it need not be continuous.
      low: lower end.
      high: upper end.

    Returns:
      A number at which the function is zero or positive; `low` where it is so there, `high` where it is so nowhere.

    >>> round(brent(lambda x: x**2 - 2, 0.0, 2.0), 6)
    1.414214
    """
    from scipy.optimize import brentq  # slow to load

    if increasing(low) >= 0:
        return low
    if increasing(high) <= 0:
        return high
    eps = float(np.finfo(float).eps)
    at = float(brentq(increasing, low, high, xtol=eps, rtol=4 * eps))  # pyright: ignore[reportArgumentType]
    gap = eps * max(abs(at), 1.0)
    while increasing(at) < 0 and at < high:
        at, gap = min(at + gap, high), 2 * gap
    return at

"""The bisection of bracketed roots, for solvers that take one of optimistix's."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array


class BracketedBisection(optx.Bisection):
    """Bisection that stops when the bracket is narrow, however steep the function is.

    With `flip=True` it also ends at the upper end where the function is zero there, which is what diffrax
    asks of the trajectories of a batch that had no event.
    """

    def terminate(
        self, fn: Any, y: Array, args: Any, options: Any, state: Any, tags: Any
    ) -> tuple[Array, Any]:
        """The bracket is as narrow as asked."""
        width = jnp.abs(state.upper - state.lower)
        return width <= self.atol + self.rtol * jnp.abs(y), optx.RESULTS.successful

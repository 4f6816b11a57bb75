r"""Measured shares of patterns: do they run on one orbit, and on which.

Without a KL or entropy term every algorithm of the family moves the shares of patterns along one orbit, only at its own
clock. Its first integral: with $w_r ∝ 1/π_r$, $\prod_r w_r = 1$, the points $w(t)$ are on one straight line up to a
common number, $w_r = a_r - R_r s + S(s)$. The likeliest such line is fitted to the counts, each step with its own place
s on it, and what is off the line is tested against noise drawn from it. No clock and no learning rate enters.

Nothing here loads JAX.
"""

from qra_jax.fit.shares.columns import Shares, has_shares, read
from qra_jax.fit.shares.estimate import fit
from qra_jax.fit.shares.found import SharesFit, Test

__all__ = ["Shares", "SharesFit", "Test", "fit", "has_shares", "read"]

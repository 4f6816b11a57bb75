"""Where training with a noisy verifier and a KL term comes to rest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check, _roots, metrics

_GRID = 512


def noisy_equilibrium(
    accuracy_ref: float | Array, beta: float | Array, *, tpr: float | Array = 1.0, fpr: float | Array = 0.0
) -> Float[Array, ""]:
    r"""Logit of the accuracy at which mean-field GRPO with exact reverse KL comes to rest.

    $$ \operatorname{logit}\rho_* = \operatorname{logit}\rho_{\rm ref} + \frac{J}{\beta\sigma(\rho_*)},\quad
       \sigma = \sqrt{Q(1-Q)},\quad Q = {\rm FPR} + J\rho_*,\quad J = {\rm TPR} - {\rm FPR} $$

    for patterns that are right or wrong for sure (p ∈ {0, 1}); within each class the shares stay at their
    reference values. There may be one or three roots, or with TPR = 1 none or two. Accuracy moves one way
    from ρ_ref, so the flow rests at the first root in the direction of J, returned here; with none it runs to
    ρ = 1 (J < 0: to 0). For TPR = 1 none is left below a critical β.

    Args:
      accuracy_ref: ρ_ref in [0, 1]; 0 and 1 stay where they are.
      beta: β ≥ 0, strength of the KL term.
      tpr: true positive rate in [0, 1].
      fpr: false positive rate in [0, 1].

    Returns:
      logit ρ* (`jax.nn.sigmoid` gives ρ*); ±inf where nothing holds the flow. Differentiable in all arguments
      by the implicit function theorem.

    Raises:
      ValueError: an argument out of range.

    Reference: *derived here*; the fixed point without noise is that of Mroueh, arXiv 2503.06639, the channel
    that of Rad et al., arXiv 2601.04411.

    >>> print(round(float(jax.nn.sigmoid(noisy_equilibrium(0.6, 2.0))), 3))
    0.868
    """
    accuracy = jnp.asarray(_check.unit_interval("accuracy_ref", accuracy_ref))
    _check.nonnegative("beta", beta)
    tpr, fpr = _check.unit_interval("tpr", tpr), _check.unit_interval("fpr", fpr)
    beta, tpr, fpr = (jnp.asarray(x, accuracy.dtype) for x in (beta, tpr, fpr))
    start = metrics.logit(accuracy)
    # Misleading verifiers (J < 0) favour wrong answers as a good one favours right answers: swap the classes.
    flip = tpr < fpr
    sign = jnp.where(flip, -1.0, 1.0).astype(accuracy.dtype)
    high, low = jnp.where(flip, fpr, tpr), jnp.where(flip, tpr, fpr)
    moves = (tpr != fpr) & jnp.isfinite(start)
    free = moves & (beta == 0)
    solvable = moves & ~free
    safe = (
        jnp.where(solvable, sign * jnp.where(solvable, start, 0.0), 0.0),
        jnp.where(solvable, beta, 1.0),
        jnp.where(solvable, high, 1.0),
        jnp.where(solvable, low, 0.0),
    )
    root = sign * _first_root(*safe)
    return jnp.where(solvable, root, jnp.where(free, sign * jnp.inf, start))


def _variance(z: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """Q and 1 − Q at logit z, neither by subtraction."""
    right, wrong = jax.nn.sigmoid(z), jax.nn.sigmoid(-z)
    return high * right + low * wrong, (1 - high) * right + (1 - low) * wrong


@jax.jit
def _first_root(start: Array, beta: Array, high: Array, low: Array) -> Array:
    """First z > start with (z − start) σ(z) = J/β, J = high − low > 0; inf if there is none."""

    def excess(z: Array) -> Array:
        accepted, refused = _variance(z, high, low)
        log_std = 0.5 * (jnp.log(accepted) + jnp.log(refused))
        return jnp.log(z - start) + log_std - jnp.log(high - low) + jnp.log(beta)

    def slope(z: Array) -> Array:
        accepted, refused = _variance(z, high, low)
        spread = (high - low) * jax.nn.sigmoid(z) * jax.nn.sigmoid(-z)
        return 1 / (z - start) + 0.5 * (spread / accepted - spread / refused)

    # Left of -40 the channel is flat or exponential, and the excess rises; its first hump, if any, is inside.
    left = jnp.maximum(start, -40.0)
    right = jnp.maximum(start, 0.0) + 10.0
    fractions = jnp.arange(1, _GRID + 1, dtype=start.dtype) / _GRID
    edges = left + fractions * (right - left)
    falling = jax.vmap(slope)(edges) < 0
    hump = jnp.any(falling)
    index = jnp.argmax(falling)
    before = jnp.where(index > 0, edges[index - 1], left)
    top = _roots.bisect(lambda z: -slope(z), before, edges[index])
    turn = jnp.where(hump, top, right)
    # Beyond the first hump σ only matters where it has settled at its smallest.
    first = excess(turn) >= 0
    floor = jnp.minimum(
        jnp.sqrt(high * (1 - high)), jnp.exp(0.5 * jnp.sum(jnp.log(jnp.stack(_variance(turn, high, low)))))
    )
    far = start + (high - low) / (beta * floor)
    held = first | jnp.isfinite(far)
    upper = jnp.where(first, turn, jnp.where(held, far, turn + 1))
    root = _roots.bisect(excess, jnp.where(first, start, turn), upper)
    root = root - excess(root) / jax.lax.stop_gradient(slope(root))
    return jnp.where(held, root, jnp.inf)

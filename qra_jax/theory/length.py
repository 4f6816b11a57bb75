r"""How dividing by the length moves the length of answers: the drift of the decision to stop.

A response that stops after each token with probability s = σ(a) has length L ~ Geom(s), and
∂ log P/∂a = 1 − sL. If the reward does not depend on L, weights $A_i\,\nu(L_i)$ have the mean gradient
$E[A]\,E[\nu(L)(1 - sL)]$.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qra_jax import _check
from qra_jax.algorithm import Algorithm
from qra_jax.theory.collapse import _binomial, _tables

CONSTANT, RESPONSE, GROUP = "constant", "length", "tokens"
NORMALIZATIONS = (CONSTANT, RESPONSE, GROUP)


def stop_drift(stop: Any, normalize: str, *, group_size: int = 1) -> np.ndarray:
    r"""Mean gradient of the stop logit for weight one, by how the loss of a response is normalised.

    | `normalize` | ν | $E[\nu(L)(1 - sL)]$ |
    |---|---|---|
    | `"constant"` | 1 | 0 |
    | `"length"` | $1/L$ | $s\bigl(\frac{-\ln s}{1-s} - 1\bigr) > 0$ |
    | `"tokens"` | $G/\sum_j L_j$ | $G\,E[G/\Sigma L] - sG$ over G, with ΣL negative binomial |

    Times the mean weight E[A] it is the drift: above 0 responses become shorter. So a division by the own length
    makes punished responses longer and rewarded ones shorter.

    Args:
      stop: `[...]`, s in (0, 1), probability to stop after a token; the mean length is 1/s.
      normalize: `"constant"`, `"length"` (each response by its own length) or `"tokens"` (by all tokens of the group).
      group_size: G ≥ 1, which matters for `"tokens"` only.

    Returns:
      `[...]`, drift per unit weight and time.

    Raises:
      ValueError: an argument out of range, or an unknown normalisation.

    Reference: *derived here*; the division by |o| as the cause of long wrong answers is that of Samineni et al.,
    arXiv 2505.13697, and of Liu et al., arXiv 2503.20783.

    >>> print(round(float(stop_drift(0.05, "length")), 4), float(stop_drift(0.05, "constant")))
    0.1077 0.0
    """
    _check.choice("normalize", normalize, NORMALIZATIONS)
    stop = np.asarray(_check.open_unit_interval("stop", stop), float)
    group = _check.integer("group_size", group_size, low=1)
    if normalize == CONSTANT:
        return np.zeros_like(stop)
    if normalize == RESPONSE:
        return np.asarray(stop * (-np.log(stop) / (1 - stop) - 1))
    # P(ΣL = n) by the recursion n → n + 1, from n = G on, until the tail is gone.
    total, log_chance = np.zeros_like(stop), group * np.log(stop)
    for n in range(group, group + int(60 * group / stop.min())):
        total = total + np.exp(log_chance) / n
        log_chance = log_chance + np.log1p(-stop) + np.log(n) - np.log(n + 1 - group)
    return np.asarray(group * total - stop)


def class_weights(
    algorithm: Algorithm, accuracy: float, *, group_size: int | None = None
) -> tuple[float, float]:
    r"""Mean weight of a rollout times its being right, and times its being wrong, over all groups.

    $$ E[A;\,R=1] = \sum_k \binom Gk \rho^k (1-\rho)^{G-k}\,\tfrac kG\,A^{+}(k), \qquad
       E[A;\,R=0]\ \text{likewise with}\ (1-\tfrac kG)\,A^{-}(k) $$

    Their sum is the mean weight E[A], 0 for centred ones.

    Args:
      algorithm: its weights for a finite group.
      accuracy: ρ in [0, 1].
      group_size: G ≥ 1; default is the algorithm's.

    Returns:
      E[A; right], E[A; wrong].

    Raises:
      ValueError: ρ out of range, or no group size.

    Reference: *derived here*.

    >>> from qra_jax.algorithm import rloo
    >>> right, wrong = class_weights(rloo(4), 0.5)
    >>> print(round(right, 6), round(wrong, 6))
    0.25 -0.25
    """
    rho = float(_check.unit_interval("accuracy", accuracy, ndim=0))
    up, down, resampled = _tables(algorithm, group_size)
    group = len(up) - 1
    k, chance = np.arange(group + 1), _binomial(group, np.array([[rho]]))[0]
    if resampled:
        chance[[0, -1]] = 0.0
        chance = chance / chance.sum() if chance.any() else chance
    return float(chance @ (k * up) / group), float(chance @ ((group - k) * down) / group)

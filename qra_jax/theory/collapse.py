r"""How sampling noise loses a rare best pattern, or diversity among equally good ones.

A group's gradient moves the log odds z of a rare pattern in jumps of size η/G, so that z is a random walk whose
scale is η/G and whose large deviations do not know the learning rate otherwise.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.algorithm import Algorithm

_DOUBLINGS, _HALVINGS, _POINTS = 40, 60, 33


def lundberg_exponent(
    algorithm: Algorithm, share: Any, *, success: tuple[float, float], group_size: int | None = None
) -> np.ndarray:
    r"""Lundberg exponent of the walk of z = logit π(r*), for two patterns and small steps (η π(r*) ≪ 1).

    At x = π(r*) one group moves z by $\Delta z = \frac{2\eta}G [\sum_{i:\,r_i=r^\star} A_i - x \sum_i A_i]$.
    y(x) is the positive solution of

    $$ E\bigl[e^{-y\,G\,\Delta z/(2\eta)}\bigr] = 1, $$

    by enumeration of the number of right rollouts in the group; η does not occur in it. For REINFORCE and x → 0 it
    solves $p^\star(1 - e^{-y}) = \rho\,y$, with ρ the success rate of the rival.

    Args:
      algorithm: its weights for a finite group, with at least one right and one wrong rollout distinguished.
      share: `[...]`, x in (0, 1), mass of the best pattern.
      success: success rates of the best pattern and of its rival, in [0, 1], the first one larger.
      group_size: G ≥ 1; default is the algorithm's.

    Returns:
      `[...]`, y > 0; `inf` where no group moves z down.

    Raises:
      ValueError: an argument out of range, or no group size.

    Reference: *derived here*; Lundberg's inequality of ruin theory (Asmussen and Albrecher, Ruin Probabilities, 2010).

    >>> from qra_jax.algorithm import grpo
    >>> y = lundberg_exponent(grpo(2), 1e-9, success=(0.9, 0.6))
    >>> print(round(float(y), 4), round(math.log(0.9 * 0.4 / (0.1 * 0.6)), 4))
    1.7918 1.7918
    """
    share = np.asarray(_check.open_unit_interval("share", share), float)
    best, rival = _success(success)
    up, down, resampled = _tables(algorithm, group_size)
    group = len(up) - 1
    x = share.reshape(-1, 1)
    right, wrong = best * x, (1 - best) * x
    mean = right + rival * (1 - x)
    k = np.arange(group + 1)
    chance = _binomial(group, mean)
    if resampled:
        chance[:, [0, -1]] = 0.0
        chance /= chance.sum(axis=1, keepdims=True)
    total = k * up + (group - k) * down
    # Chance that a right (wrong) rollout is of the best pattern.
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = np.nan_to_num(right / mean), np.nan_to_num(wrong / (1 - mean))

    def excess(y: np.ndarray) -> np.ndarray:
        """The moment minus one, as a sum of terms of order x: precise for the rarest patterns."""
        y = y[:, None]
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            first = k * np.log1p(a * np.expm1(-y * up))
            second = (group - k) * np.log1p(b * np.expm1(-y * down))
            terms = np.where(chance > 0, chance * np.expm1(y * x * total + first + second), 0.0)
        return np.sum(terms, axis=1)

    # Convex in y, zero and falling at 0: doubled until it is positive, then halved back to its zero.
    high = np.full(len(x), 1.0)
    for _ in range(_DOUBLINGS):
        high = np.where(excess(high) > 0, high, 2 * high)
    endless = ~(excess(high) > 0)
    low = high
    for _ in range(_DOUBLINGS):
        low = np.where(excess(low) > 0, low / 2, low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = excess(middle) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where(endless, np.inf, low).reshape(share.shape)


def loss_exponent(
    algorithm: Algorithm,
    start: float,
    *,
    success: tuple[float, float],
    level: float = 1e-3,
    group_size: int | None = None,
) -> float:
    r"""Exponent κ' of the chance to lose a rare best pattern, which is a function of η/G alone.

    $$ P\bigl(\pi(r^\star)\ \text{ever below}\ \varepsilon\bigr) \approx \exp\Bigl[-\frac G\eta\,\kappa'\Bigr],
       \qquad \kappa' = \tfrac12\int_\varepsilon^{x_0} \frac{y(x)\,dx}{x(1-x)} $$

    with y the Lundberg exponent. Exact in its exponent for small steps; without prefactor for REINFORCE, whose
    jumps go up only, else an upper bound (Cramér and Lundberg).

    Args:
      algorithm: its weights for a finite group.
      start: x₀ in (0, 1), mass of the best pattern at the start.
      success: success rates of the best pattern and of its rival, the first one larger.
      level: ε in (0, x₀], mass below which the pattern counts as lost.
      group_size: G ≥ 1; default is the algorithm's.

    Returns:
      κ' ≥ 0: −(η/G) log P.

    Raises:
      ValueError: an argument out of range, or no group size.

    Reference: *derived here*.

    >>> from qra_jax.algorithm import reinforce
    >>> kappa = loss_exponent(reinforce(), 0.01, success=(0.9, 0.6), group_size=8)
    >>> print(round(math.exp(-kappa / 0.5), 3))
    0.133
    """
    start = float(_check.open_unit_interval("start", start))
    level = float(_check.open_unit_interval("level", level))
    if level > start:
        raise ValueError(f"level: {level}; must be at most start = {start}")
    z = np.linspace(math.log(level / (1 - level)), math.log(start / (1 - start)), _POINTS)
    share = 1 / (1 + np.exp(-z))
    y = lundberg_exponent(algorithm, share, success=success, group_size=group_size)
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(z)) / 2)


def weight_variance(algorithm: Algorithm, accuracy: float, *, group_size: int | None = None) -> float:
    r"""Mean square of a rollout's weight, the strength of the noise among equally good patterns.

    With equal success rates the weights do not depend on the patterns drawn, so that one group's gradient has mean
    zero and the covariance

    $$ C = \frac{\sigma^2}{G}\,\bigl(\mathrm{diag}\,\pi - \pi\pi^\top\bigr), \qquad \sigma^2 = E[A_i^2], $$

    $p(1-p) + (p-b)^2$ for REINFORCE with baseline b, $1 - p^G - (1-p)^G$ for GRPO.

    Args:
      algorithm: its weights for a finite group.
      accuracy: p in [0, 1], the common success rate.
      group_size: G ≥ 1; default is the algorithm's.

    Returns:
      σ² ≥ 0.

    Raises:
      ValueError: p out of range, or no group size.

    Reference: *derived here*.

    >>> from qra_jax.algorithm import grpo
    >>> print(round(weight_variance(grpo(4), 0.5), 6))
    0.875
    """
    p = float(_check.unit_interval("accuracy", accuracy, ndim=0))
    up, down, resampled = _tables(algorithm, group_size)
    group = len(up) - 1
    k, chance = np.arange(group + 1), _binomial(group, np.array([[p]]))[0]
    if resampled:
        chance[[0, -1]] = 0.0
        chance = chance / chance.sum() if chance.any() else chance
    return float(chance @ (k * up**2 + (group - k) * down**2) / group)


def diversity_drift(policy: Float[Array, " patterns"]) -> Float[Array, ""]:
    r"""How fast noise concentrates a policy over equally good patterns, per unit of its strength.

    With $S_j = \sum_r \pi_r^j$ and t = η · steps,

    $$ \frac{d\,E[S_2]}{dt} = \frac{\eta\sigma^2}{G}\,D(\pi), \qquad
       D = 2S_3 + 8S_2S_3 - 6S_4 - 3S_2^3 - S_2^2, $$

    half the trace of the Hessian of S₂ in the logits with diag π − ππᵀ; (n−1)/n³ at the uniform policy.
    [`weight_variance`][] gives σ².

    Args:
      policy: `[patterns]`, π; sums to one.

    Returns:
      D(π); 0 for a single pattern.

    Reference: *derived here*.

    >>> print(round(float(diversity_drift(jnp.full(5, 0.2))), 6), 4 / 125)
    0.032 0.032
    """
    two, three, four = (jnp.sum(policy**power) for power in (2, 3, 4))
    return 2 * three + 8 * two * three - 6 * four - 3 * two**3 - two**2


def _success(success: tuple[float, float]) -> tuple[float, float]:
    best, rival = (float(_check.unit_interval("success", rate, ndim=0)) for rate in success)
    if not best > rival:
        raise ValueError(f"success: {success}; must have the better pattern first")
    return best, rival


def _tables(algorithm: Algorithm, group_size: int | None) -> tuple[np.ndarray, np.ndarray, bool]:
    """Weights of right and of wrong rollouts by the number of right ones, 0 where there is no such rollout."""
    group = algorithm.group_size if group_size is None else group_size
    if group is None:
        raise ValueError(f"group_size: None; {algorithm.name} needs a finite group size, 1 or above")
    group = _check.integer("group_size", group, low=1)
    if algorithm.group_size not in (None, group):
        raise ValueError(f"group_size: {group}; must be that of the algorithm, {algorithm.group_size}")
    rewards = jnp.asarray(np.tri(group + 1, group, -1))  # row k: k right rollouts first, then wrong ones
    weights = np.asarray(jax.vmap(lambda row: algorithm.weights(row))(rewards), float)
    k = np.arange(group + 1)
    up = np.where(k > 0, weights[:, 0], 0.0)
    down = np.where(k < group, weights[:, -1], 0.0)
    return up, down, algorithm.resamples_silent


def _binomial(group: int, mean: np.ndarray) -> np.ndarray:
    """Chances of 0 … G right rollouts, `[..., G + 1]`, for means `[..., 1]`."""
    k = np.arange(group + 1)
    choose = np.array([float(math.comb(group, i)) for i in k])
    return choose * mean**k * (1 - mean) ** (group - k)

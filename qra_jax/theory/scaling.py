"""Power laws of the two ends of training: cold start (ρ → 0) and tail (ρ → 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.algorithm import Algorithm, grpo
from qra_jax.geometry import GEOMETRIES
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable

_VERIFIABLE = verifiable()
_LOADED = 100.0
_NEAR = 1e-12
"""Distance from an end at which power laws are read off, far inside the asymptotic range."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Exponents:
    """How accuracy leaves zero and how it approaches one, for two patterns with success rates (1, 0).

    Attributes:
      cold_start: a in (time from ρ₀ → 0 to ρ = ½) ≃ A ρ₀^(−a); 0 when the time is logarithmic, A log(1/ρ₀),
        or bounded.
      cold_constant: A; 0 when the time is bounded.
      tail: b in 1 − ρ ≃ (B t)^(−b); inf when exponential, e^(−Bt), or over in finite time.
      tail_constant: B; inf when over in finite time.
    """

    cold_start: Float[Array, ""]
    cold_constant: Float[Array, ""]
    tail: Float[Array, ""]
    tail_constant: Float[Array, ""]


def exponents(algorithm: Algorithm, *, reward: Reward = _VERIFIABLE, geometry: str = "softmax") -> Exponents:
    r"""Exponents and constants of cold start and tail, from the power laws of the clock at its two ends.

    With success rates (1, 0), $\dot\rho = m\,J\,c(Q)$ where m = 2ρ²(1−ρ)² (softmax policy gradient) or ρ(1−ρ)
    (natural gradient). A clock $c \simeq c_0\,\rho^{-\alpha}$ at ρ → 0 and $c_1 (1-\rho)^{-\alpha'}$ at ρ → 1
    gives, for softmax,

    $$ T_{1/2} \simeq \frac{\rho_0^{-(1-\alpha)}}{2 J c_0 (1-\alpha)}, \qquad
       1-\rho \simeq \bigl[2 J c_1 (1-\alpha')\,t\bigr]^{-1/(1-\alpha')}. $$

    | algorithm | cold start | tail |
    |---|---|---|
    | REINFORCE, RLOO | $1/(2\rho_0)$ | $1/(2t)$ |
    | GRPO, mean field | $1/\sqrt{\rho_0}$ | $1/t^2$ |
    | GRPO, finite G | $1/(2\sqrt{G-1}\,\rho_0)$ | $1/(2\sqrt{G-1}\,t)$ |
    | GRPO, finite G, dynamic sampling | $G\log(1/\rho_0)/(2\sqrt{G-1})$ | $e^{-2\sqrt{G-1}\,t/G}$ |
    | filtered SFT per accepted rollout | $\tfrac12\log(1/\rho_0)$ | $1/(2t)$ |
    | pass@k | $1/(2k\rho_0)$ | $(2k^2t)^{-1/k}$ |
    | natural gradient, unit clock | $\log(1/\rho_0)$ | $e^{-t}$ |
    | natural gradient ÷ std | bounded | finite time |

    A verifier's false negatives turn the tail of mean-field GRPO from 2 to 1, its false positives leave it at
    2.

    Args:
      algorithm: its clock.
      reward: binary and fixed, with J = TPR − FPR > 0.
      geometry: `"softmax"` or `"natural"`.

    Returns:
      `Exponents`; all NaN where a traced J is not positive.

    Raises:
      ValueError: an unknown geometry, a reward that is not binary or not fixed, or J ≤ 0.

    Reference: *derived here*.

    >>> print(exponents(grpo()).tail, exponents(grpo(8)).tail)
    2.0 1.0
    """
    _check.choice("geometry", geometry, GEOMETRIES)
    if not reward.binary:
        raise ValueError(f"reward: {reward.name} is real-valued; must be binary")
    if not reward.fixed:
        raise ValueError(f"reward: {reward.name} depends on the policy; must be fixed")
    wrong, right = reward.rates(Problem(jnp.log(jnp.array([0.5, 0.5])), jnp.array([0.0, 1.0])))
    youden = right - wrong
    if not isinstance(youden, Tracer) and not youden > 0:
        raise ValueError(f"reward: TPR − FPR = {float(youden):.6g}; must be above 0")
    log_clock = algorithm.log_clock_function()

    def law(at_zero: bool) -> tuple[Array, Array]:
        """Constant and exponent of J c(Q) ≃ constant · x^(−exponent), x the distance from the end."""
        near = jnp.asarray(_NEAR)

        def log_speed(x: Array) -> Array:
            rho, miss = (x, 1 - x) if at_zero else (1 - x, x)
            return log_clock(wrong * miss + right * rho, (1 - wrong) * miss + (1 - right) * rho)

        height, slope = jax.value_and_grad(log_speed)(near)
        alpha = jnp.round(-near * slope, 5)
        return youden * jnp.exp(height + alpha * jnp.log(near)), alpha

    start, alpha = law(at_zero=True)
    end, alpha_end = law(at_zero=False)
    degree, pace = (1.0, 2.0) if geometry == "softmax" else (0.0, 1.0)
    # Rounded once more: compiled rounding may miss a whole number by an ulp, and zero decides the law.
    cold, cool = jnp.round(degree - alpha, 5), jnp.round(degree - alpha_end, 5)
    found = Exponents(
        cold_start=jnp.maximum(cold, 0.0),
        cold_constant=jnp.where(cold < 0, 0.0, 1 / (pace * start * jnp.where(cold > 0, cold, 1.0))),
        tail=jnp.where(cool > 0, 1 / jnp.where(cool > 0, cool, 1.0), jnp.inf),
        tail_constant=jnp.where(cool < 0, jnp.inf, pace * end * jnp.where(cool > 0, cool, 1.0)),
    )
    return jax.tree.map(lambda x: jnp.where(youden > 0, x, jnp.nan), found)


def grpo_drift_share(accuracy: Float[Array, "*b"], group_size: int) -> Float[Array, "*b"]:
    r"""Drift of GRPO with a finite group as a share of its mean field.

    $$ \frac{c_G(\rho)}{c_\infty(\rho)} = \frac{E\sqrt{\tfrac kG(1-\tfrac kG)}}{\sqrt{\rho(1-\rho)}}, \qquad
       k \sim {\rm Bin}(G, \rho) $$

    Args:
      accuracy: `[...]`, ρ in (0, 1).
      group_size: G ≥ 2.

    Returns:
      `[...]`, in (0, 1); √((G−1)ρ) as ρ → 0.

    Raises:
      ValueError: G < 2.

    >>> print(jnp.round(grpo_drift_share(jnp.asarray(0.01), 8), 2))
    0.26
    """
    return grpo(group_size).clock(accuracy) * jnp.sqrt(accuracy * (1 - accuracy))


def grpo_crossover(group_size: int) -> float:
    r"""Accuracy below which (or above one minus which) silent groups rule: ρ = 1/(G − 1).

    There the two asymptotes of the drift share meet, $\sqrt{(G-1)\rho}$ and 1; beyond it GRPO runs as its
    mean field, before it as REINFORCE sped up by √(G−1).

    Args:
      group_size: G ≥ 2.

    Returns:
      ρ in (0, 1].

    Raises:
      ValueError: G < 2.

    Reference: *derived here*.
    """
    return 1 / (_check.integer("group_size", group_size, low=2) - 1)


def grpo_poisson_share(load: float | Array, *, terms: int = 400) -> Float[Array, "*b"]:
    r"""Drift share of GRPO for rare success, where it is a function of λ = Gρ alone.

    $$ \frac{c_G(\rho)}{c_\infty(\rho)} \to \frac{E\sqrt k}{\sqrt\lambda}, \qquad
       k \sim \mathrm{Poisson}(\lambda), \qquad G \to \infty\ \text{at}\ \lambda = G\rho $$

    √λ for λ ≪ 1, 1 for λ ≫ 1; the error is of order 1/G.

    Args:
      load: `[...]`, λ > 0, mean number of right rollouts in a group.
      terms: number of terms of the series, at least λ + 10√λ for full precision.

    Returns:
      `[...]`, in (0, 1).

    Raises:
      ValueError: λ not positive, or fewer than 1 term.

    Reference: *derived here*.

    >>> print(round(float(grpo_poisson_share(1.0)), 4))
    0.7732
    """
    _check.positive("load", load)
    load = jnp.asarray(load)
    k = jnp.arange(_check.integer("terms", terms, low=1), dtype=jnp.result_type(load, float))
    k = k.reshape((-1,) + (1,) * load.ndim)
    log_chance = k * jnp.log(load)[None] - load[None] - jax.lax.lgamma(k + 1)
    return jnp.sum(jnp.exp(log_chance) * jnp.sqrt(k), axis=0) / jnp.sqrt(load)


def grpo_cold_exponent(load: Any) -> np.ndarray:
    r"""Local exponent of GRPO's cold start against the mean number of right rollouts in a group, λ = ρ₀G.

    With success rates (1, 0) and drift share s(λ) of [`grpo_poisson_share`][] the time from ρ₀ ≪ 1 on is

    $$ T \propto \int_{\lambda}^{\infty}\frac{x^{-3/2}}{s(x)}\,dx, \qquad
       -\frac{d\log T}{d\log\rho_0} = \frac{\lambda^{-1/2}/s(\lambda)}{\int_\lambda^\infty x^{-3/2}/s(x)\,dx}, $$

    1 for λ ≪ 1 and ½ for λ ≫ 1, in the limit G → ∞.

    Args:
      load: `[...]`, λ in (0, 100].

    Returns:
      `[...]`, in (½, 1).

    Raises:
      ValueError: λ out of range.

    Reference: *derived here*.

    >>> [round(float(grpo_cold_exponent(x)), 2) for x in (1e-4, 0.3, 100.0)]
    [1.0, 0.75, 0.5]
    """
    load = np.asarray(load, float)
    if not np.all((load > 0) & (load <= _LOADED)):
        raise ValueError(f"load: {load}; must be in (0, {_LOADED:g}]")
    x = np.geomspace(min(load.min(), 0.1), 200.0, 4001)
    slow = 1 / np.asarray(grpo_poisson_share(jnp.asarray(x)))
    # Per step of log x; beyond the grid the share is 1 − 1/(8x).
    parts = np.diff(np.log(x)) * np.convolve(slow / np.sqrt(x), [0.5, 0.5], "valid")
    rest = np.append(np.cumsum(parts[::-1])[::-1], 0.0) + 2 / np.sqrt(x[-1]) + x[-1] ** -1.5 / 12
    return np.asarray(np.interp(np.log(load), np.log(x), slow / np.sqrt(x) / rest))


def end_log_times(
    algorithm: Algorithm, depth: np.ndarray, *, geometry: str = "softmax"
) -> tuple[np.ndarray, np.ndarray]:
    r"""Times of training at both ends, for two patterns with success rates (1, 0), by quadrature of the clock.

    $$ t = \int_0^{z}\frac{dz'}{m\,c(\rho)}, \qquad \rho = \sigma(\mp z'), \quad
       m = 2\rho(1-\rho)\ \text{(softmax)}\ \text{or}\ 1\ \text{(natural)} $$

    Args:
      algorithm: its clock.
      depth: `[depths]`, evenly spaced logits z > 0, a spacing of which is also the first one; the error is about
        (spacing/100)².
      geometry: `"softmax"` or `"natural"`.

    Returns:
      log times from ρ = σ(−z) to ½, and from ½ to σ(z), `[depths]` each.

    Raises:
      ValueError: an unknown geometry.

    Reference: *derived here*.

    >>> cold, tail = end_log_times(grpo(), np.array([1.0, 2.0]), geometry="natural")
    >>> print(bool(np.allclose(np.exp(tail), 2 * np.arcsin(np.sqrt(1 / (1 + np.exp([-1.0, -2.0])))) - np.pi / 2)))
    True
    """
    _check.choice("geometry", geometry, GEOMETRIES)
    fine = np.linspace(0.0, depth[-1], 20 * len(depth) + 1)
    near, far = 1 / (1 + np.exp(fine)), 1 / (1 + np.exp(-fine))
    clock = jax.vmap(algorithm.log_clock_function())
    log_clock = np.asarray(jax.jit(lambda a, b: jnp.stack([clock(a, b), clock(b, a)]))(near, far))
    log_pace = log_clock + (np.log(2) + np.log(near) + np.log(far) if geometry == "softmax" else 0.0)
    weights = np.log(np.array([1.0, 4.0, 1.0]) * fine[1] / 3)  # Simpson's rule over pairs of steps
    slow = np.stack([weights[i] - log_pace[:, i : i + 20 * len(depth) - 1 : 2] for i in range(3)])
    cold, tail = np.logaddexp.accumulate(np.logaddexp.reduce(slow), axis=1)[:, 9::10]
    return cold, tail

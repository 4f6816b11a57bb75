r"""The accuracy curves that the theory allows, with few parameters, and their priors.

A model is a *dynamics* and a number of *patterns*.

**Many questions, one or two patterns.** Question q is right with logit $z_q$, which starts from
$z_q(0) \sim N(z_0, s^2)$ and moves as theory says for a right and a wrong pattern:

| dynamics | speed | what it is |
|---|---|---|
| `reinforce` | $\dot z_q = \kappa\,4ρ_q(1-ρ_q)$ | tabular policy gradient, clock 1 |
| `grpo` | $\dot z_q \propto \kappa\,2ρ_q(1-ρ_q)\,c_G(ρ_q)$ | tabular, the exact clock of groups of G |
| `grpo mean field` | $\dot z_q = \kappa\,2\sqrt{ρ_q(1-ρ_q)}$ | tabular, G → ∞ |
| `common shift` | $\dot z_q = \kappa$ | natural gradient; shared features under Adam |
| `shared features` | $\dot z_q \propto \kappa\,E_{q'}[2ρ_{q'}(1-ρ_{q'})\,c_G]$ | all questions learn as one |

so that speed is κ logits per training window at ρ = ½. Each is a closed form, $F(z_q(t)) = F(z_q(0)) + \kappa\tau$.
Mean accuracy is $a\,E_q\,σ(z_q)$: with one pattern a = 1; with two, a share 1 − a of the questions is out of reach
(for REINFORCE and the natural gradient that is also one question whose patterns have success rates a and 0).

**Three patterns.** One question with success rates $a > b > 0$, $\dot θ = \kappa c(ρ)\, π ⊙ (p - ρ)$ (natural
gradient: without π): curves that rise, rest and rise again, or dip first.

**Rest.** Training time saturates, $\tau = (1 - e^{-\lambda t})/\lambda$: the exact effect of a reverse KL term under
the natural gradient; for the other dynamics, of a learning rate that decays, standing for KL as an approximation.

Time t is 0 at the first point and 1 at the last one trained on. Parameters are functions of standard normal
numbers u, which states the prior. As in the random families of the theory success rates are uniform and ordered, the
last one aside, which is 0; so a is the larger of two. π_ref is Dirichlet(1). The rest is weak: z₀ ~ N(0, 2²); s ~ e^N,
from one question to very unequal ones; κ ~ e^{1.5 N}; λ ~ .02 e^{1.5 N}, as λ = βκ under a KL term, β ≤ .04 in use.
The models themselves are weighed by [`prior`][qra_jax.fit.dynamics.prior].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.algorithm import grpo, reinforce

PARAMETERS = ("start", "spread", "rate", "rest", "top", "middle", "share", "excess", "wander")
"""What the entries of u stand for; the last two belong to the noise."""
REINFORCE, GRPO, MEAN_FIELD, SHIFT, SHARED = (
    *("reinforce", "grpo", "grpo mean field", "common shift", "shared features"),
)
DYNAMICS = (REINFORCE, GRPO, MEAN_FIELD, SHIFT, SHARED)

_EDGE, _CELLS = 20.0, 2000
"""Logits beyond ±_EDGE are all the same accuracy; lookups have _CELLS cells."""
_NODES, _REACH = 24, 2.8
"""Questions stand at _NODES evenly spaced points of the normal distribution, within _REACH standard deviations."""
_SHIFTS, _SHIFT = 65, 0.375
"""Shared features: points of the common shift, and how far apart they are in logits."""
_ARCS, _LEAPS, _LATER, _ARC = 64, 24, 16, 0.15
"""Three patterns: steps; how many share the training window evenly, and the time after it in equal ratios; the others
are no longer than _ARC (Fisher–Rao)."""

_xi = np.linspace(-_REACH, _REACH, _NODES)
_weight = np.exp(-(_xi**2) / 2)
_weight /= _weight.sum()
_xi /= np.sqrt(_weight @ _xi**2)


@dataclass(frozen=True)
class Model:
    """A dynamics and a number of patterns.

    Attributes:
      dynamics: one of `DYNAMICS`.
      patterns: 1, 2 or 3; three patterns only for single questions, not for `shared features`.
    """

    dynamics: str
    patterns: int

    def __post_init__(self) -> None:
        _check.choice("dynamics", self.dynamics, DYNAMICS)
        _check.integer("patterns", self.patterns, low=1)
        if self.patterns > 3 - (self.dynamics == SHARED):
            raise ValueError(f"patterns: {self.patterns}; must be 1, 2 or 3 (shared features: 1 or 2)")

    @property
    def free(self) -> np.ndarray:
        """`[parameters]`, which of `PARAMETERS` the model has."""
        names = {
            1: ("start", "spread", "rate", "rest"),
            2: ("start", "spread", "rate", "rest", "top"),
            3: ("start", "rate", "rest", "top", "middle", "share"),
        }[self.patterns]
        return np.array([name in (*names, "excess", "wander") for name in PARAMETERS])


MODELS = tuple(
    Model(dynamics, patterns)
    for dynamics in DYNAMICS
    for patterns in (1, 2, 3)
    if not (dynamics == SHARED and patterns == 3)
)
"""All models, those of one dynamics side by side."""


def prior(models: Sequence[Model]) -> np.ndarray:
    """`[models]`, how likely each of some models is before any data.

    Questions that learn each by itself are as likely as questions that learn together, the dynamics of either kind are
    equally likely, and every further pattern halves the probability of a model.

    Args:
      models: one or more.
    """
    kind = [model.dynamics in (SHIFT, SHARED) for model in models]
    weight = np.array([0.5**model.patterns for model in models])
    for group in ([model.dynamics for model in models], kind):
        names = np.array(group)
        for name in dict.fromkeys(group):
            weight[names == name] /= weight[names == name].sum()
    return weight / weight.sum()


def physical(u: Float[Array, " parameters"], patterns: Array | int) -> dict[str, Array]:
    """Parameters in their own units from standard normal numbers.

    Args:
      u: `[parameters]`, in the order of `PARAMETERS`.
      patterns: 1, 2 or 3.

    Returns:
      By name: `start` (mean logit; three patterns: share of the best), `spread`, `rate`, `rest`, `top` and
      `middle` (success rates), `share` (of the middle one among the other two), `excess` and `wander` (see
      [`noise`][]).
    """
    n = jnp.asarray(patterns)
    chance = jax.scipy.stats.norm.cdf(u)
    top = jnp.where(n == 1, 1.0, jnp.sqrt(chance[4]))
    best = -jnp.expm1(0.5 * jax.scipy.stats.norm.logcdf(-u[0]))
    return {
        "start": jnp.where(n == 3, best, 2 * u[0]),
        "spread": jnp.exp(u[1]),
        "rate": jnp.exp(1.5 * u[2]),
        "rest": 0.02 * jnp.exp(1.5 * u[3]),
        "top": top,
        "middle": top * chance[5],
        "share": chance[6],
        "excess": jnp.exp(1.5 * u[7]),
        "wander": 0.2 * jnp.exp(u[8]),
    }


Leaf = Any
"""An array; untyped, as pytree leaves may also be placeholders."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EvenGrid:
    """A function on an even grid, linear in between and constant outside.

    Attributes:
      low: where the grid begins.
      high: where it ends.
      values: `[points]`.
    """

    low: Leaf
    high: Leaf
    values: Leaf

    def __call__(self, x: Array) -> Array:
        """Values at x, of any shape."""
        cells = self.values.shape[-1] - 1
        place = jnp.clip((x - self.low) / (self.high - self.low), 0.0, 1.0) * cells
        left = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, cells - 1)
        below, above = self.values[left], self.values[left + 1]
        return below + (place - left) * (above - below)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Clocks:
    """How right a question is after some time under each own clock, as lookups stacked over dynamics.

    Attributes:
      forth: arcsinh F(z), on a grid of z.
      right: ρ, on a grid of [squeezed][qra_jax.fit.dynamics.squeezed] F.
      signal: speed of one logit at κ = 1, on a grid of z: what questions give to a shared direction.
      clock: c(ρ) scaled to speed 1 logit at ρ = ½, on a grid of z, and 1 for the natural gradient.
    """

    forth: EvenGrid
    right: EvenGrid
    signal: EvenGrid
    clock: EvenGrid


def squeezed(x: Any, xp: Any = jnp) -> Any:
    """A cheap coordinate that resolves numbers of any size well enough for a lookup, sign(x)(1 − (1 + |x|)^(−1/4))."""
    below = x < 0
    part = 1 - 1 / xp.sqrt(xp.sqrt(1 + xp.where(below, -x, x)))
    return xp.where(below, -part, part)


@lru_cache
def clocks(group_size: int) -> Clocks:
    """The clocks of all dynamics for GRPO's group size G ≥ 2, float64."""
    with jax.ensure_compile_time_eval():
        z = np.linspace(-_EDGE, _EDGE, _CELLS + 1)
        p, q = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))

        exact = grpo(_check.integer("group_size", group_size, low=2))
        tabular = jax.jit(lambda p, q: [own.clock(p, q) for own in (reinforce(), exact, grpo())])
        own, finite, mean = (np.asarray(c, float) * 2 / float(c[_CELLS // 2]) for c in tabular(p, q))
        scaled = [own, finite, mean, np.ones_like(z), finite]
        speeds = [scaled[0] * 2 * p * q, scaled[1] * 2 * p * q, scaled[2] * 2 * p * q, np.ones_like(z)]
        speeds.append(speeds[1])
        forth = []
        for speed in speeds:
            slow = 1 / speed
            whole = np.append(
                0.0,
                np.cumsum(
                    (slow[1:] - slow[:-1]) / np.log(slow[1:] / slow[:-1]) if np.ptp(slow) > 1e-9 else slow[1:]
                )
                * (z[1] - z[0]),
            )
            forth.append(np.arcsinh(whole - whole[_CELLS // 2]))
        places = [squeezed(np.sinh(f), np) for f in forth]
        lows, highs = np.array([f[0] for f in places]), np.array([f[-1] for f in places])
        right = [1 / (1 + np.exp(-np.interp(np.linspace(f[0], f[-1], _CELLS + 1), f, z))) for f in places]
        edge = np.full(len(speeds), _EDGE)
        return Clocks(
            EvenGrid(-edge, edge, np.array(forth)),
            EvenGrid(lows, highs, np.array(right)),
            EvenGrid(-edge, edge, np.array(speeds)),
            EvenGrid(-edge, edge, np.array(scaled)),
        )


def accuracy(
    u: Float[Array, " parameters"],
    kind: Array,
    times: Float[Array, " times"],
    table: Clocks,
) -> Float[Array, " times"]:
    r"""Mean accuracy of a model at some times.

    Args:
      u: `[parameters]`, standard normal numbers, see `PARAMETERS`.
      kind: `[2]`, index of the dynamics in `DYNAMICS` and number of patterns.
      times: `[times]` in training windows, zero or above, none before the one before it.
      table: from [`clocks`][].

    Returns:
      `[times]`, in (0, 1). Differentiable in u; derivatives are those of linear interpolation.
    """
    dynamics, patterns = kind[0], kind[1]
    own = jax.tree.map(lambda leaf: jnp.asarray(leaf)[dynamics], table)
    values = physical(u, patterns)
    rest = values["rest"]
    tau = -jnp.expm1(-rest * times) / rest * values["rate"]
    window = jnp.minimum(-jnp.expm1(-rest) / rest * values["rate"], tau[-1])
    branch = jnp.where(patterns == 3, 2, jnp.where(dynamics == DYNAMICS.index(SHARED), 1, 0))
    natural = dynamics == DYNAMICS.index(SHIFT)
    return jax.lax.switch(
        branch,
        (
            lambda: _population(values, _own(values, tau, own)),
            lambda: _population(values, _shared(values, tau, own)),
            lambda: _three(values, tau, window, own, natural),
        ),
    )


def _population(values: dict[str, Array], right: Array) -> Array:
    return values["top"] * (right @ jnp.asarray(_weight))


def _start(values: dict[str, Array]) -> Array:
    return values["start"] + values["spread"] * jnp.asarray(_xi)


def _own(values: dict[str, Array], tau: Array, own: Clocks) -> Array:
    """How right questions are `[times, questions]`, each on its own clock."""
    begin = jnp.sinh(own.forth(_start(values)))
    return own.right(squeezed(begin[None, :] + tau[:, None]))


def _shared(values: dict[str, Array], tau: Array, own: Clocks) -> Array:
    """How right questions are `[times, questions]`, shifting together at the mean of what all of them give."""
    start = _start(values)
    shift = _SHIFT * jnp.arange(_SHIFTS)
    log_slow = -jnp.log(own.signal(start[None, :] + shift[:, None]) @ jnp.asarray(_weight))
    # Exact where speed changes exponentially between two points: the mean of e^x over [x, x + d] is e^x (e^d − 1)/d.
    step = jnp.diff(log_slow)
    step = jnp.where(jnp.abs(step) < 1e-6, 1e-6, step)
    slow = _SHIFT * jnp.exp(log_slow[:-1]) / step
    whole = jnp.append(0.0, jnp.cumsum(slow * jnp.expm1(step)))
    left = jnp.clip(jnp.sum(tau[:, None] >= whole[None, :], axis=1) - 1, 0, _SHIFTS - 2)
    part = jnp.log1p((tau - whole[left]) / slow[left]) / step[left]
    moved = shift[left] + _SHIFT * jnp.clip(part, 0.0, 1.0)
    return jax.nn.sigmoid(start[None, :] + moved[:, None])


def _three(values: dict[str, Array], tau: Array, window: Array, own: Clocks, natural: Array) -> Array:
    """One question of three patterns: midpoint steps that are short where the policy moves fast."""
    success = jnp.stack([values["top"], values["middle"], jnp.zeros(())])
    others = 1 - values["start"]
    policy = jnp.stack([values["start"], others * values["share"], others * (1 - values["share"])])
    log_policy = jnp.log(jnp.clip(policy, 1e-12))
    growth = jnp.expm1(jnp.log(jnp.maximum(tau[-1], 1e-30) / jnp.maximum(window, 1e-30)) / _LATER)

    def speed(log_policy: Array) -> tuple[Array, Array]:
        policy = jax.nn.softmax(log_policy)
        rho = policy @ success
        pull = jnp.where(natural, 1.0, policy) * (success - rho)
        rho = jnp.clip(rho, 1e-9, 1 - 1e-9)
        return own.clock(jnp.log(rho) - jnp.log1p(-rho)) * pull, policy

    def step(state: tuple[Array, Array], _: Any) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        theta, time = state
        velocity, policy = speed(theta)
        centred = velocity - policy @ velocity
        motion = jnp.sqrt(jnp.sum((policy + 0.02) * centred**2) + 1e-30)
        leap = jnp.maximum(window / _LEAPS, jnp.where(time < window, 0.0, growth * time))
        dt = jnp.minimum(leap, _ARC / motion)
        velocity, _ = speed(theta + 0.5 * dt * velocity)
        theta, time = theta + dt * velocity, time + dt
        return (theta, time), (time, jax.nn.softmax(theta) @ success)

    _, (when, level) = jax.lax.scan(step, (log_policy, jnp.zeros(())), length=_ARCS)
    when, level = jnp.append(0.0, when), jnp.append(policy @ success, level)
    return jnp.interp(tau, when, level)

"""Policy iteration with standardised advantages: the recursion of the success probability and where it ends.

Everything is in logits, z = logit ρ. With spread s = ρ(1−ρ) and g(z) = 1/√(s + ε) the recursion is
z' = (1−α) z + α z_ref + g(z)/β; for ε = 0, g(z) = 2 cosh(z/2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from qra_jax import _check, _roots, metrics
from qra_jax.problem import Problem

_GRID, _CYCLES, _GONE, _LONGEST = 512, 3, 200.0, 16

Number = float | Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FixedPoints:
    """Where the recursion can rest, in increasing order.

    Attributes:
      logit: `[3]`, logit ρ*; NaN beyond `count`.
      multiplier: `[3]`, F'(z*) = dρ_n/dρ_{n−1} at ρ*; stable where its size is below 1. NaN beyond `count`.
      count: how many there are: 0, 1, 2 or 3.
    """

    logit: Float[Array, "*batch 3"]
    multiplier: Float[Array, "*batch 3"]
    count: Int[Array, "*batch"]

    @property
    def stable(self) -> Array:
        """`[3]`, whether nearby states are attracted; false beyond `count`."""
        return jnp.abs(self.multiplier) < 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TwoCycles:
    """Pairs of states that the recursion swaps.

    Attributes:
      logit: `[3, 2]`, the lower and the upper logit ρ of each pair; NaN beyond `count`.
      multiplier: `[3]`, F'(a) F'(b); stable where its size is below 1. NaN beyond `count`.
      count: how many pairs there are.
    """

    logit: Float[Array, "*batch 3 2"]
    multiplier: Float[Array, "*batch 3"]
    count: Int[Array, "*batch"]


def success_map(
    logit: Number, accuracy_ref: Number, beta: Number, *, epsilon: Number = 0.0, anchor: Number = 1.0
) -> Float[Array, ""]:
    r"""One round of policy iteration: the success probability after it from the one before.

    $$ \operatorname{logit}\rho_n = \alpha \operatorname{logit}\rho_{\rm ref}
       + (1-\alpha) \operatorname{logit}\rho_{n-1} + \frac{1}{\beta\sqrt{\rho_{n-1}(1-\rho_{n-1})+\varepsilon}} $$

    Each round maximises $E[A] - \beta[\alpha\,\mathrm{KL}(\pi\|\pi_{\rm ref}) +
    (1-\alpha)\,\mathrm{KL}(\pi\|\pi_{n-1})]$ with binary rewards standardised under $\pi_{n-1}$, so that
    $\pi_n \propto \pi_{\rm ref}^{\alpha}\,\pi_{n-1}^{1-\alpha}\,e^{A/\beta}$. Within the right answers, and
    within the wrong ones, A is constant: if shares there are those of π_ref, they stay, and the logit is the
    mixture above. α = 1 is the fixed reference, α = 0 the previous policy (mirror). Outside the argument's
    reach: patterns that are right only sometimes, and for 0 < α < 1 starts whose shares within a class are not
    those of π_ref.

    Args:
      logit: logit of ρ_{n−1}; ±inf are the limits ρ → 0, 1, but for α < 1 a policy never right stays so.
      accuracy_ref: ρ_ref in [0, 1]; 0 and 1 stay where they are (unless α = 0).
      beta: β ≥ 0, strength of the KL term; 0 sends every state to 1.
      epsilon: ε ≥ 0 under the root; with 0 the step grows without bound as ρ → 0 or 1.
      anchor: α in [0, 1].

    Returns:
      logit ρ_n, precise at both ends. Differentiable in all arguments where finite.

    Raises:
      ValueError: an argument out of range.

    Reference: Mroueh, arXiv 2503.06639 (*reported*, three kinds of regularisation); the mixture *derived
    here*.

    >>> print(round(float(jax.nn.sigmoid(success_map(0.0, 0.6, 2.0))), 3))
    0.803
    """
    logit, ref, beta, epsilon, anchor = _arguments(logit, accuracy_ref, beta, epsilon, anchor)
    return _step(logit, ref, beta, epsilon, anchor)


def success_path(
    accuracy_ref: Number,
    beta: Number,
    steps: int,
    *,
    logit0: Number | None = None,
    epsilon: Number = 0.0,
    anchor: Number = 1.0,
) -> Float[Array, " rounds"]:
    """Rounds of policy iteration one after the other, [`success_map`][] repeated.

    Args:
      accuracy_ref: ρ_ref in [0, 1].
      beta: β ≥ 0, strength of the KL term.
      steps: number of rounds, 0 or more.
      logit0: logit of ρ_0; default: that of ρ_ref.
      epsilon: ε ≥ 0.
      anchor: α in [0, 1], weight of the fixed reference.

    Returns:
      `[steps + 1]`, logit ρ_0, …, logit ρ_steps; inf once ρ is 1 beyond floats.

    Raises:
      ValueError: an argument out of range.

    >>> path = success_path(0.001, 5.0, 400)
    >>> print(jax.nn.sigmoid(path[-2:]).round(4))
    [0.0608 0.0023]
    """
    _check.integer("steps", steps, low=0)
    given = 0.0 if logit0 is None else logit0
    start, ref, beta, epsilon, anchor = _arguments(given, accuracy_ref, beta, epsilon, anchor)
    return _path(ref if logit0 is None else start, ref, beta, epsilon, anchor, steps)


def success_multiplier(
    logit: Number, beta: Number, *, epsilon: Number = 0.0, anchor: Number = 1.0
) -> Float[Array, ""]:
    r"""Slope of the recursion in logits; at a fixed point also that in success probabilities.

    $$ F'(z) = 1-\alpha + \frac{(2\rho-1)\,\rho(1-\rho)}{2\beta\,(\rho(1-\rho)+\varepsilon)^{3/2}} $$

    Along a cycle the product of its slopes is the cycle's multiplier, in either coordinate.

    Args:
      logit: logit ρ.
      beta: β > 0, strength of the KL term.
      epsilon: ε ≥ 0.
      anchor: α in [0, 1], weight of the fixed reference.

    Returns:
      F'(z).

    Raises:
      ValueError: an argument out of range.

    Reference: *derived here*; for α = 1 the derivative of Mroueh's map, arXiv 2503.06639.

    >>> print(round(float(success_multiplier(0.0, 1.0, anchor=0.25)), 3))
    0.75
    """
    _check.positive("beta", beta)
    logit, _, beta, epsilon, anchor = _arguments(logit, 0.5, beta, epsilon, anchor)
    return 1 - anchor + _pull_slope(logit, epsilon) / beta


def success_fixed_points(
    accuracy_ref: Number, beta: Number, *, epsilon: Number = 0.0, anchor: Number = 1.0
) -> FixedPoints:
    r"""All success probabilities strictly between 0 and 1 at which policy iteration can rest.

    $$ \alpha\beta\,(z_* - z_{\rm ref}) = g(z_*), \qquad g(z) = \frac{1}{\sqrt{\rho(1-\rho)+\varepsilon}} $$

    Only the product αβ matters. On z > 0 the right side is convex up to ρ(1−ρ) = 2ε/(1+12ε) and concave
    beyond; on z < 0 it falls. So the two sides differ by a function with at most two turning points, found
    first, and each piece between them holds at most one root, found by bisection: none can be missed. For
    ε = 0 there are 0 or 2; with ε > 0 there is always one more or only one, the saturated
    $z \simeq z_{\rm ref} + 1/(\alpha\beta\sqrt\varepsilon)$.

    Args:
      accuracy_ref: ρ_ref in [0, 1]; none are found for 0 and 1, which stay put.
      beta: β ≥ 0, strength of the KL term.
      epsilon: ε ≥ 0.
      anchor: α in [0, 1], weight of the fixed reference; for 0 there are none.

    Returns:
      `FixedPoints`. Differentiable by the implicit function theorem.

    Raises:
      ValueError: an argument out of range.

    Reference: Mroueh, arXiv 2503.06639 (existence *reported*); the number of them *derived here*.

    >>> found = success_fixed_points(0.6, 2.0)
    >>> print(int(found.count), jax.nn.sigmoid(found.logit[:2]).round(3))
    2 [0.868 0.977]
    """
    return _fixed_points(*_arguments(0.0, accuracy_ref, beta, epsilon, anchor)[1:])


def success_two_cycles(
    accuracy_ref: Number, beta: Number, *, epsilon: Number = 0.0, anchor: Number = 1.0
) -> TwoCycles:
    r"""Pairs of success probabilities between which policy iteration jumps to and fro.

    Zeros of $1 + \frac{F(F(a)) - F(a)}{F(a) - a}$, which at a fixed point is $1 + F'$, so that fixed points are
    not among them. A cycle straddles the lowest fixed point z₁ and has its lower end in (z_ref, z₁); there is
    one whenever F'(z₁) < −1. For α = 1, ε = 0 the Schwarzian derivative of F is negative, and there is none
    otherwise.

    Args:
      accuracy_ref: ρ_ref in [0, 1].
      beta: β ≥ 0, strength of the KL term.
      epsilon: ε ≥ 0.
      anchor: α in [0, 1], weight of the fixed reference.

    Returns:
      `TwoCycles`, found on a grid of 512 points between z_ref and z₁, then by bisection.

    Raises:
      ValueError: an argument out of range.

    Reference: *derived here*.

    >>> print(jax.nn.sigmoid(success_two_cycles(0.001, 5.0).logit[0]).round(4))
    [0.0023 0.0608]
    """
    return _two_cycles(*_arguments(0.0, accuracy_ref, beta, epsilon, anchor)[1:])


def fold_betas(accuracy_ref: Number, *, epsilon: Number = 0.0, anchor: Number = 1.0) -> Float[Array, " 2"]:
    r"""Strengths of the KL term at which two fixed points of policy iteration meet and vanish.

    $$ z_{\rm ref} = z - g(z)/g'(z), \qquad \alpha\beta = g'(z), \qquad z > 0; \qquad \varepsilon = 0:\quad
       z_{\rm ref} = 2\operatorname{asinh}(\alpha\beta) - 2\sqrt{1 + (\alpha\beta)^{-2}} $$

    Below the first one, the critical β, nothing holds the policy short of ρ = 1 (with ε > 0: short of the
    saturated fixed point). Between the two, a lower and an upper end coexist. For ε = 0 the upper end is ρ = 1
    itself and it does for every β above the first.

    Args:
      accuracy_ref: ρ_ref in [0, 1].
      epsilon: ε ≥ 0.
      anchor: α in [0, 1], weight of the fixed reference; 0 gives inf.

    Returns:
      `[2]`, the two β in increasing order, the second inf for ε = 0; NaN where ε is so large that the fixed
      point is single for every β, and for ρ_ref = 0 or 1.

    Raises:
      ValueError: an argument out of range.

    Reference: *derived here*; a critical β was *reported* for the recursion of Mroueh, arXiv 2503.06639.

    >>> print(fold_betas(0.6).round(4))
    [1.7941    inf]
    """
    _, ref, _, epsilon, anchor = _arguments(0.0, accuracy_ref, 1.0, epsilon, anchor)
    return _fold_betas(ref, epsilon, anchor)


def flip_betas(accuracy_ref: Number, *, epsilon: Number = 0.0, anchor: Number = 1.0) -> Float[Array, " 2"]:
    r"""Strengths of the KL term between which the lower fixed point is unstable and rounds overshoot.

    F'(z₁) = −1 (period doubling). With $w = (2-\alpha)/\alpha$,

    $$ z_{\rm ref} = z + w\,\frac{g(z)}{g'(z)}, \qquad \beta = -\frac{g'(z)}{2-\alpha}, \qquad z < 0;
       \qquad \varepsilon = 0,\ \alpha = 1:\quad
       z_{\rm ref} = -2\operatorname{asinh}\beta - 2\sqrt{1+\beta^{-2}} . $$

    Two β for z_ref below $-2[\operatorname{asinh}\sqrt w + \sqrt{w(1+w)}]$ (ε = 0; for α = 1 that is
    ρ_ref < .01003, and the two meet at β = 1), none above.

    Args:
      accuracy_ref: ρ_ref in [0, 1].
      epsilon: ε ≥ 0.
      anchor: α in [0, 1], weight of the fixed reference.

    Returns:
      `[2]`, the two β in increasing order; NaN where there are none.

    Raises:
      ValueError: an argument out of range.

    Reference: *derived here*.

    >>> print(flip_betas(0.001).round(3))
    [0.338 5.681]
    """
    _, ref, _, epsilon, anchor = _arguments(0.0, accuracy_ref, 1.0, epsilon, anchor)
    return _flip_betas(ref, epsilon, anchor)


def overshoot_beta(accuracy_ref: Number) -> Float[Array, ""]:
    r"""Strength of the KL term below which the first round from the reference jumps past the upper fixed point.

    $$ \beta = \frac{\cosh(z_{\rm ref}/2)}{-z_{\rm ref}} $$

    The map is even in z (ε = 0, α = 1), so that the reference goes where $-z_{\rm ref}$ goes; below this β that state
    lies above the upper fixed point, and rounds run to 1 although a fixed point may hold others.

    Args:
      accuracy_ref: ρ_ref in [0, 1].

    Returns:
      β; inf for ρ_ref = 0, NaN from ρ_ref = ½ on.

    Raises:
      ValueError: ρ_ref out of range.

    Reference: *derived here*.

    >>> print(round(float(overshoot_beta(0.001)), 2))
    2.29
    """
    _, ref, *_ = _arguments(0.0, accuracy_ref, 1.0, 0.0, 1.0)
    below = ref < 0
    safe = jnp.where(below & jnp.isfinite(ref), ref, -1.0)
    beta = jnp.cosh(safe / 2) / -safe
    return jnp.where(jnp.isneginf(ref), jnp.inf, jnp.where(below, beta, jnp.nan))


def success_tail(
    accuracy_ref: Number,
    beta: Number,
    rounds: int | Array,
    *,
    logit0: Number,
    anchor: Number = 1.0,
    last: int = 64,
) -> Float[Array, " last"]:
    """The last of many rounds of policy iteration (ε = 0): what a run settles to.

    Args:
      accuracy_ref: ρ_ref in (0, 1).
      beta: β > 0, strength of the KL term.
      rounds: rounds before those that are returned, ≥ 0; may be traced.
      logit0: logit of ρ_0.
      anchor: α in [0, 1], weight of the fixed reference.
      last: how many rounds to return, ≥ 1.

    Returns:
      `[last]`, logit ρ; inf once it has passed 200, whence with ε = 0 no run returns.

    Raises:
      ValueError: an argument out of range.

    >>> print(jax.nn.sigmoid(success_tail(0.001, 5.0, 400, logit0=0.0, last=2)).round(4))
    [0.0608 0.0023]
    """
    _check.integer("last", last, low=1)
    start, ref, beta, epsilon, anchor = _arguments(logit0, accuracy_ref, beta, 0.0, anchor)

    def step(z: Array, _: None = None) -> tuple[Array, Array]:
        after = _step(z, ref, beta, epsilon, anchor)
        after = jnp.where(after > _GONE, jnp.inf, after)
        return after, z

    state = jax.lax.fori_loop(0, rounds, lambda _, z: step(z)[0], start)
    return jax.lax.scan(step, state, None, length=last)[1]


def cycle_length(tail: Float[Array, " rounds"], *, tolerance: Number = 1e-3) -> Int[Array, ""]:
    """After how many rounds a run repeats itself.

    Args:
      tail: `[rounds]`, logits of its last rounds, 17 or more; inf once it has gone.
      tolerance: largest difference that counts as the same state, > 0.

    Returns:
      The least period from 1 to 16; 0 for none of them (chaos, or a longer cycle), −1 for a run that has gone.

    Raises:
      ValueError: fewer than 17 rounds, or a tolerance that is not positive.

    >>> [int(cycle_length(jnp.array(run * 20))) for run in ([0.0], [0.0, 1.0], [jnp.inf])]
    [1, 2, -1]
    """
    _check.integer("rounds of tail", tail.shape[-1], low=_LONGEST + 1)
    _check.positive("tolerance", tolerance)
    still = jnp.where(jnp.isfinite(tail), tail, 0.0)
    gaps = [jnp.max(jnp.abs(still[period:] - still[:-period])) for period in range(1, _LONGEST + 1)]
    repeats = jnp.stack(gaps) < tolerance
    length = jnp.where(jnp.any(repeats), 1 + jnp.argmax(repeats), 0)
    return jnp.where(jnp.isfinite(tail[-1]), length, -1)


def success_exponents(
    accuracy_ref: Number, beta: Number, *, blocks: int = 20, rounds: int = 1000, anchor: Number = 1.0
) -> Float[Array, " blocks"]:
    r"""Lyapunov exponent of the recursion (ε = 0): mean of log |F'| per round, in blocks of rounds.

    Args:
      accuracy_ref: ρ_ref in (0, 1).
      beta: β > 0, strength of the KL term.
      blocks: number of blocks, ≥ 1.
      rounds: rounds of a block, ≥ 1; as many are discarded before the first, from ρ = ½ on.
      anchor: α in [0, 1], weight of the fixed reference.

    Returns:
      `[blocks]`; above 0 on average where rounds are chaotic. A round of a run that has gone to ρ = 1 counts as −50.

    Raises:
      ValueError: an argument out of range.

    >>> print(success_exponents(0.001, 0.95).mean() > 0.5, success_exponents(0.6, 3.0).mean() < -0.5)
    True True
    """
    _check.integer("blocks", blocks, low=1)
    _check.integer("rounds", rounds, low=1)
    _check.positive("beta", beta)
    _, ref, beta, epsilon, anchor = _arguments(0.0, accuracy_ref, beta, 0.0, anchor)
    start = success_tail(accuracy_ref, beta, rounds, logit0=0.0, anchor=anchor, last=1)[0]

    def step(z: Array, _: None) -> tuple[Array, Array]:
        slope = jnp.abs(1 - anchor + _pull_slope(z, epsilon) / beta)
        log_slope = jnp.where(z < _GONE, jnp.log(jnp.maximum(slope, 1e-21)), -50.0)
        return jnp.minimum(_step(z, ref, beta, epsilon, anchor), _GONE), log_slope

    logs = jax.lax.scan(step, jnp.minimum(start, _GONE), None, length=blocks * rounds)[1]
    return jnp.mean(logs.reshape(blocks, rounds), axis=1)


def _arguments(
    logit: Number, accuracy_ref: Number, beta: Number, epsilon: Number, anchor: Number
) -> tuple[Array, Array, Array, Array, Array]:
    """Checked, in one floating dtype, with the reference as a logit."""
    _check.unit_interval("accuracy_ref", accuracy_ref)
    _check.nonnegative("beta", beta)
    _check.nonnegative("epsilon", epsilon)
    _check.unit_interval("anchor", anchor)
    dtype = jnp.result_type(1.0, logit, accuracy_ref, beta, epsilon, anchor)
    cast = [jnp.asarray(x, dtype) for x in (logit, beta, epsilon, anchor)]
    ref = metrics.logit(jnp.asarray(accuracy_ref, dtype))
    return cast[0], ref, cast[1], cast[2], cast[3]


@partial(jax.jit, static_argnames="steps")
def _path(z: Array, ref: Array, beta: Array, epsilon: Array, anchor: Array, steps: int) -> Array:
    """z and its images under `steps` rounds."""

    def step(now: Array, _: None) -> tuple[Array, Array]:
        after = _step(now, ref, beta, epsilon, anchor)
        return after, after

    _, path = jax.lax.scan(step, z, None, length=steps)
    return jnp.concatenate([z[None], path])


@jax.jit
def _fixed_points(ref: Array, beta: Array, epsilon: Array, anchor: Array) -> FixedPoints:
    held = jnp.isfinite(ref) & (anchor * beta > 0)
    ref, kappa = jnp.where(held, ref, 0.0), jnp.where(held, anchor * beta, 1.0)
    logit = jnp.where(held, _resting_logits(ref, kappa, epsilon), jnp.nan)
    found = ~jnp.isnan(logit)
    slope = _pull_slope(jnp.where(found, logit, 0.0), epsilon) / jnp.where(held, beta, 1.0)
    return FixedPoints(logit, jnp.where(found, 1 - anchor + slope, jnp.nan), jnp.sum(found))


@jax.jit
def _two_cycles(ref: Array, beta: Array, epsilon: Array, anchor: Array) -> TwoCycles:
    lowest = _fixed_points(ref, beta, epsilon, anchor).logit[0]
    held = ~jnp.isnan(lowest)
    ref, lowest = jnp.where(held, ref, -1.0), jnp.where(held, lowest, 0.0)
    beta, anchor = jnp.where(held, beta, 1.0), jnp.where(held, anchor, 1.0)

    def swaps(low: Array) -> Array:
        high = _step(low, ref, beta, epsilon, anchor)
        return 2 - anchor + _pull_quotient(low, high, epsilon) / beta

    edges = ref + jnp.arange(_GRID + 1, dtype=ref.dtype) / _GRID * (lowest - ref)
    edges = edges.at[-1].set(lowest)
    sign = jax.vmap(swaps)(edges) < 0
    changes = held & (sign[1:] != sign[:-1])
    (places,) = jnp.nonzero(changes, size=_CYCLES, fill_value=-1)

    def refine(place: Array) -> tuple[Array, Array]:
        turn = jnp.where(sign[place], -1.0, 1.0).astype(ref.dtype)
        low = _roots.root(lambda z: -turn * swaps(z), edges[place], edges[place + 1])
        high = _step(low, ref, beta, epsilon, anchor)
        pair = jnp.stack([low, high])
        slopes = 1 - anchor + jax.vmap(lambda z: _pull_slope(z, epsilon))(pair) / beta
        return jnp.where(place >= 0, pair, jnp.nan), jnp.where(place >= 0, jnp.prod(slopes), jnp.nan)

    logit, multiplier = jax.vmap(refine)(places)
    return TwoCycles(logit, multiplier, jnp.minimum(jnp.sum(changes), _CYCLES))


@jax.jit
def _fold_betas(ref: Array, epsilon: Array, anchor: Array) -> Array:
    finite, smooth = jnp.isfinite(ref), epsilon > 0
    ref = jnp.where(finite, ref, 0.0)
    crest = _crest(jnp.where(smooth, epsilon, 1.0))

    def tangent(z: Array) -> Array:
        """z_ref of the line that touches g at z."""
        return z - _pull(z, epsilon) / _pull_slope(z, epsilon) - ref

    # For ε = 0, z − 2 coth(z/2) = z_ref < z; and coth(z/2) ≤ 1 + 2/z puts z below max(z_ref, 0) + 4.
    top = jnp.where(smooth, crest, jnp.maximum(ref, 0.0) + 4.0)
    # z > 0 near 0: g/g' ≥ 4/z − …, so that the touching line has z_ref below any bound at small z.
    bottom = jnp.minimum(1.0, 1 / (1 + jnp.abs(ref))).astype(ref.dtype)
    lower = _pull_slope(_roots.root(tangent, jnp.minimum(bottom, top / 2), top), epsilon)
    exists = ~smooth | (tangent(crest) >= 0)
    # Right of the crest g/g' ≥ ε/s ≥ ε e^z.
    far = crest + jnp.log1p((1 + jnp.abs(ref) + crest) / jnp.where(smooth, epsilon, 1.0)) + 1.0
    upper = _pull_slope(_roots.root(lambda z: -tangent(z), crest, far), epsilon)
    pair = jnp.stack([lower, jnp.where(smooth, upper, jnp.inf)])
    return jnp.where(finite & exists, pair / anchor, jnp.nan)


@jax.jit
def _flip_betas(ref: Array, epsilon: Array, anchor: Array) -> Array:
    held = jnp.isfinite(ref) & (ref < 0) & (anchor > 0)
    ref, anchor = jnp.where(held, ref, -1.0), jnp.where(held, anchor, 1.0)
    weight = (2 - anchor) / anchor

    def depth(u: Array) -> Array:
        """−z_ref at which z = −u has multiplier −1; one minimum."""
        return u + weight * _pull(u, epsilon) / _pull_slope(u, epsilon)

    def slope(u: Array) -> Array:
        spread, tanh = jax.nn.sigmoid(u) * jax.nn.sigmoid(-u), jnp.tanh(u / 2)
        return 1 + 2 * weight * (epsilon / spread - 2 * (spread + epsilon) / tanh**2)

    # −z_ref ≥ u, and ≥ 4w(1+4ε)/u; the minimum for ε = 0 is at 2 asinh √w, and ε > 0 moves it down.
    turn = _roots.bisect(slope, jnp.zeros_like(ref), 2 * jnp.arcsinh(jnp.sqrt(weight)) + 1.0)
    first = jnp.minimum(-4 * weight * (1 + 4 * epsilon) / ref, turn)
    low = _roots.root(lambda u: -ref - depth(u), first, turn)
    high = _roots.root(lambda u: depth(u) + ref, turn, jnp.maximum(-ref, turn))
    betas = jnp.stack([_pull_slope(low, epsilon), _pull_slope(high, epsilon)]) / (2 - anchor)
    return jnp.where(held & (depth(turn) <= -ref), jnp.sort(betas), jnp.nan)


def _step(z: Array, ref: Array, beta: Array, epsilon: Array, anchor: Array) -> Array:
    """F(z), with its limits where z or z_ref is infinite."""
    pinned = jnp.isinf(ref) & (anchor > 0)
    never = jnp.isneginf(z) & (anchor < 1)
    own = jnp.where(anchor < 1, (1 - anchor) * jnp.where(never, 0.0, z), 0.0)
    base = jnp.where(anchor > 0, anchor * jnp.where(pinned, 0.0, ref), 0.0)
    after = jnp.where(anchor > 0, base, 0.0) + own + _pull(z, epsilon) / beta
    return jnp.where(pinned, ref, jnp.where(never, -jnp.inf, after))


def _inside(z: Array, epsilon: Array) -> Array:
    """z, cut off where ε > 0 and ρ(1−ρ) is zero beside it to any precision."""
    bound = math.log(jnp.finfo(z.dtype).max) - 4
    return jnp.where(epsilon > 0, jnp.clip(z, -bound, bound), z)


def _pull(z: Array, epsilon: Array) -> Array:
    """g(z) = 1/√(ρ(1−ρ) + ε) = C/√(1 + εC²), C = 2 cosh(z/2)."""
    twice_cosh = 2 * jnp.cosh(_inside(z, epsilon) / 2)
    return twice_cosh / jnp.sqrt(1 + jnp.where(epsilon > 0, epsilon * twice_cosh**2, 0.0))


def _pull_slope(z: Array, epsilon: Array) -> Array:
    """g'(z) = sinh(z/2) / (1 + εC²)^{3/2}."""
    half = _inside(z, epsilon) / 2
    damping = jnp.where(epsilon > 0, epsilon * (2 * jnp.cosh(half)) ** 2, 0.0)
    return jnp.sinh(half) / (1 + damping) / jnp.sqrt(1 + damping)


def _pull_quotient(x: Array, y: Array, epsilon: Array) -> Array:
    """(g(y) − g(x)) / (y − x), without cancellation where x and y are close."""
    p, q = _inside(x, epsilon) / 2, _inside(y, epsilon) / 2
    gap = jnp.where(p == q, 1.0, q - p)
    near = jnp.where(p == q, 1.0, jnp.sinh(gap / 2) / (gap / 2))
    # 2 cosh q − 2 cosh p = 4 sinh((p+q)/2) sinh((q−p)/2)
    rise = jnp.sinh((p + q) / 2) * near
    c, d = 2 * jnp.cosh(p), 2 * jnp.cosh(q)
    left = jnp.sqrt(1 + jnp.where(epsilon > 0, epsilon * c**2, 0.0))
    right = jnp.sqrt(1 + jnp.where(epsilon > 0, epsilon * d**2, 0.0))
    return rise * (c + d) / (left * right * (c * right + d * left))


def _crest(epsilon: Array) -> Array:
    """Where g is steepest: ρ(1−ρ) = 2ε/(1+12ε), z > 0."""
    return 2 * jnp.arccosh(jnp.sqrt((1 + 12 * epsilon) / (8 * epsilon)))


def _resting_logits(ref: Array, kappa: Array, epsilon: Array) -> Array:
    """All z with κ(z − z_ref) = g(z), increasing, padded with NaN."""
    smooth = epsilon > 0
    safe = jnp.where(smooth, epsilon, 1.0)
    crest = _crest(safe)

    def excess(z: Array) -> Array:
        return kappa * (z - ref) - _pull(z, epsilon)

    def steepness(z: Array) -> Array:
        return _pull_slope(z, epsilon) - kappa

    # Where the line is nowhere less steep than g, one root between z_ref and the cap.
    turns = ~smooth | (steepness(crest) > 0)
    cap = ref + 1 / (kappa * jnp.sqrt(safe)) + 1
    # g'(z) < e^{−z} ε^{−3/2}
    far = jnp.maximum(crest, -jnp.log(kappa) - 1.5 * jnp.log(safe)) + 1
    first = jnp.where(smooth, _roots.bisect(steepness, jnp.zeros_like(ref), crest), 2 * jnp.arcsinh(kappa))
    second = _roots.bisect(lambda z: -steepness(z), crest, far)
    # For ε = 0 the excess is concave: a parabola bounds the way from its top to the second root.
    drop = jnp.maximum(excess(first), 0.0)
    beyond = first + 2 * jnp.sqrt(2 * drop / jnp.cosh(first / 2)) + 1e-3
    second = jnp.where(smooth, second, beyond)
    touches, dips = excess(first) >= 0, excess(second) <= 0
    low = _roots.root(excess, ref, jnp.where(turns, first, cap))
    middle = _roots.root(lambda z: -excess(z), first, second)
    high = _roots.root(excess, second, jnp.maximum(cap, second))
    return jnp.sort(
        jnp.stack(
            [
                jnp.where(~turns | touches, low, jnp.nan),
                jnp.where(turns & touches & dips, middle, jnp.nan),
                jnp.where(smooth & turns & dips, high, jnp.nan),
            ]
        )
    )


def policy_iteration_round(
    problem: Problem, log_policy: Float[Array, " patterns"], beta: Number, *, anchor: Number = 1.0
) -> Float[Array, " patterns"]:
    r"""Exact solution of one round of policy iteration with standardised advantages, for any success rates.

    $$ \pi' \propto \pi_{\rm ref}^{\alpha}\,\pi^{1-\alpha}\,e^{A/\beta}, \qquad
       A = \frac{p - \rho}{\sqrt{\rho(1-\rho)}} $$

    For success rates 0 and 1 accuracy follows [`success_map`][] with ε = 0.

    Args:
      problem: the question.
      log_policy: `[patterns]`, log π.
      beta: β > 0, strength of the KL term.
      anchor: α in [0, 1], weight of the fixed reference beside the last policy.

    Returns:
      `[patterns]`, log π'; NaN from a policy that is right for sure, or never.

    Raises:
      ValueError: an argument out of range.

    Reference: Mroueh, arXiv 2503.06639; the mixture of references *derived here*.

    >>> problem = Problem.from_probs(ref=[0.6, 0.4], success=[1.0, 0.0])
    >>> after = policy_iteration_round(problem, jnp.log(jnp.array([0.5, 0.5])), 2.0)
    >>> print(round(float(jnp.exp(after[0])), 3))
    0.803
    """
    _check.positive("beta", beta)
    _check.unit_interval("anchor", anchor)
    log_right = jax.nn.logsumexp(log_policy, b=problem.success)
    log_wrong = jax.nn.logsumexp(log_policy, b=1 - problem.success)
    advantage = (problem.success - jnp.exp(log_right)) * jnp.exp(-0.5 * (log_right + log_wrong))
    return jax.nn.log_softmax(anchor * problem.log_ref + (1 - anchor) * log_policy + advantage / beta)


def policy_iteration_path(
    problem: Problem, beta: Number, steps: int, *, anchor: Number = 1.0
) -> Float[Array, " rounds"]:
    """Accuracy along exact policy iteration from the reference policy, [`policy_iteration_round`][] repeated.

    Args:
      problem: the question; success rates may be chancy.
      beta: β > 0, strength of the KL term.
      steps: number of rounds, 0 or more.
      anchor: α in [0, 1], weight of the fixed reference beside the last policy.

    Returns:
      `[steps + 1]`, logit ρ, precise at both ends.

    Raises:
      ValueError: an argument out of range.

    >>> problem = Problem.from_probs(ref=[0.6, 0.4], success=[1.0, 0.0])
    >>> print(jax.nn.sigmoid(policy_iteration_path(problem, 2.0, 2)).round(3))
    [0.6   0.806 0.842]
    """
    _check.integer("steps", steps, low=0)

    def logit(log_policy: Array) -> Array:
        right, wrong = (jax.nn.logsumexp(log_policy, b=x) for x in (problem.success, 1 - problem.success))
        return right - wrong

    def step(log_policy: Array, _: None) -> tuple[Array, Array]:
        return policy_iteration_round(problem, log_policy, beta, anchor=anchor), logit(log_policy)

    last, path = jax.lax.scan(step, problem.log_ref, None, length=steps)
    return jnp.append(path, logit(last))

"""How long the two regimes take: exact tail, leading order of the stall, and the reported bound's shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check, _roots, expectation
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable

_REINFORCE, _VERIFIABLE = reinforce(), verifiable()
PEAK, MIDDLE = "peak", "middle"


def fast_rate(
    problem: Problem, *, algorithm: Algorithm = _REINFORCE, reward: Reward = _VERIFIABLE
) -> Float[Array, ""]:
    r"""Constant K of the tail $1-\pi(r^\star) \simeq K/t$, so that $T(\varepsilon) \simeq K/\varepsilon$.

    $$ K = \frac{1}{n\,c(R_\star)} \sum_{s\ne\star} \frac{1}{R_\star - R_s} $$

    over the n patterns with reference mass. As τ → ∞ the lines of the orbit part, $w_s \simeq \Delta_s\tau$,
    while $\prod w$ is conserved, so $t \propto \tau^n/n$ and $1-\pi(r^\star) \simeq w_\star\sum 1/w_s$. It
    depends on π_ref through n only, and holds in both regimes, after the stall if there is one. The deficit
    in reward follows, $R_\star - \bar R \simeq (n-1)/(n\,c\,t)$, whatever the gaps.

    Args:
      problem: the question.
      algorithm: its clock at the final reward divides K.
      reward: fixed over training; r* is the pattern that it prefers (for J < 0 not the best one).

    Returns:
      K ≥ 0, in units of time; 0 where the tail is faster than 1/t (mean-field GRPO with R* = 1), inf where it
      is slower (tied best patterns; pass@k with R* = 1).

    Raises:
      ValueError: real-valued reward, and the algorithm's clock for it is not known.

    Reference: *derived here*; the order 1/ε is Theorem 5.3 of arXiv 2506.04695 (*reported*).

    >>> from qra_jax.problem import examples
    >>> print(round(float(fast_rate(examples.fast())), 6))
    1.527778
    """
    rates = reward.rates(problem)
    held = ~jnp.isneginf(problem.log_ref)
    ranked = jnp.where(held, rates, -jnp.inf)
    others = held & (jnp.arange(problem.patterns) != jnp.argmax(ranked))
    top = jnp.max(ranked)
    spread = jnp.sum(jnp.where(others, 1 / jnp.where(others, top - rates, 1.0), 0.0))
    if reward.binary:
        speed = algorithm.clock(top)
    elif (clock := expectation.limit_clock(algorithm, algorithm.group_size)) is not None:
        speed = clock(jnp.zeros_like(top))
    else:
        raise ValueError(
            f"algorithm: {algorithm.name} has no known clock for the real-valued reward {reward.name}"
        )
    return spread / (jnp.sum(held) * speed)


def transition_time_estimate(problem: Problem, *, at: str = PEAK) -> Float[Array, ""]:
    r"""Leading order of log T₀, when accuracy exceeds the second-best success rate (β = 0, unit clock).

    While pattern ℓ leads, $w_\ell \ll g_s$, so that $w_\ell \simeq e^C/\prod_{s\ne\ell} g_s$ with
    $C = \sum \log u_r$, $u = 1/\pi_{\rm ref}$, and time passes at the rate $dt/d\tau \simeq 1/w_\ell$. The
    slow piece is that of the last leader before r* on the lower envelope of the lines $u_r - p_r\tau$. With
    `at="middle"`

    $$ \log T_0 \approx \log({\rm width}) + \sum_{s\ne\ell} \log g_s(\tau_{\rm mid}) - C. $$

    Along the piece $dw_\ell/d\tau = \rho - p_\ell$: if ℓ is second best, T₀ is where $\prod g_s$ peaks. With
    `at="peak"` Laplace's method there replaces mid-piece and width (twice as wide where ℓ is not second
    best):

    $$ \log T_0 \approx \tfrac12\log\frac{\pi}{2\Lambda} + \sum_{s\ne\ell} \log g_s(\tau_0) - C, \quad
       \sum_{s\ne\ell} \frac{p_\ell-p_s}{g_s(\tau_0)} = 0, \quad
       \Lambda = \sum_{s\ne\ell} \Bigl(\frac{p_\ell-p_s}{g_s(\tau_0)}\Bigr)^2 $$

    k patterns identical to the leader share its mass: $w^k \simeq e^C/\prod g_s$.

    Accuracy: `"peak"` is within a factor of 2 for stalls beyond 1e4 (γ = 6, 101, 201 of Theorem 5.4's family
    with n = 3: +3 %, +33 %, +33 %; n = 100: −36 %) and too small for times of order 10 to 100, where nothing
    is slow; `"middle"` is a factor 2 to 3 too large for n = 3 and far too small for many patterns (1e-13 of
    T₀ at n = 100), because the peak moves to the end of the piece. Both fall short where an earlier leader's
    piece is the slowest (a few per cent of random problems): the exact T₀ is `orbit.log_transition_time`.

    Args:
      problem: the question.
      at: `"peak"` or `"middle"`.

    Returns:
      log T₀; `-inf` in the fast regime (met at once) and where r* leads from the start (no slow piece);
      `+inf` where no best pattern has reference mass.

    Raises:
      ValueError: an unknown `at`.

    Reference: *derived here*; compare Theorem 5.4 of arXiv 2506.04695.

    >>> from qra_jax.problem import examples
    >>> print(round(float(jnp.exp(transition_time_estimate(examples.worked()))), 2))
    43.82
    """
    _check.choice("at", at, (PEAK, MIDDLE))
    p, log_u = problem.success, -problem.log_ref
    held = ~jnp.isposinf(log_u)
    scale = jax.lax.stop_gradient(jnp.max(jnp.where(held, log_u, -jnp.inf)))
    u = jnp.where(held, jnp.exp(jnp.where(held, log_u - scale, 0.0)), jnp.inf)

    best = jnp.argmin(jnp.where(p == jnp.max(p), u, jnp.inf))
    leader, end = _last_crossing(u, p, best, held)
    start = jnp.maximum(_last_crossing(u, p, leader, held)[1], 0.0)
    slower = p[leader] - p
    twin = held & (slower == 0) & (u == u[leader])
    shared = jnp.sum(twin).astype(p.dtype)
    fast = problem.second_best <= problem.accuracy_ref
    stalls = (end > start) & ~fast
    others = held & ~twin & stalls
    offset = jnp.where(others, jnp.where(others, u, 0.0) - u[leader], 1.0)
    slope = jnp.where(others, slower, 0.0)
    width = jnp.where(stalls, end - start, 1.0)

    if at == MIDDLE:
        tau, log_width = start + width / 2, jnp.log(width)
    else:
        tau, curvature = _peak(offset, slope, start, width)
        sides = jnp.where(p[leader] == problem.second_best, 1.0, 2.0)
        log_width = 0.5 * jnp.log(shared * jnp.pi / (2 * jnp.where(stalls, curvature, 1.0))) + jnp.log(sides)
    log_gaps = jnp.sum(jnp.where(others, jnp.log(jnp.where(others, offset + slope * tau, 1.0)), 0.0))
    volume = jnp.sum(jnp.where(held, log_u, 0.0)) - (jnp.sum(held) - shared) * scale
    log_time = log_width + scale + (log_gaps - volume) / shared + jnp.log(shared)
    reachable = jnp.any(held & (p == jnp.max(p)))
    return jnp.where(fast, -jnp.inf, jnp.where(reachable, jnp.where(stalls, log_time, -jnp.inf), jnp.inf))


@jax.jit
def _peak(offset: Array, slope: Array, start: Array, width: Array) -> tuple[Array, Array]:
    """Where Σ log g peaks on a piece, and minus its second derivative there."""

    def rise(tau: Array) -> Array:
        return jnp.sum(slope / (offset + slope * tau))

    def curvature(tau: Array) -> Array:
        return jnp.sum((slope / (offset + slope * tau)) ** 2)

    tau = _roots.bisect(lambda tau: -rise(tau), start, start + width)
    # One Newton step gives the root its derivative (implicit function theorem); none at the end of the piece.
    bend = jax.lax.stop_gradient(curvature(tau))
    step = rise(tau) / jnp.where(bend > 0, bend, 1.0)
    tau = tau + jnp.where(jnp.abs(step) < 1e-3 * width, step, 0.0)
    return tau, curvature(tau)


def _last_crossing(u: Array, p: Array, index: Array, held: Array) -> tuple[Array, Array]:
    """Which flatter line is the last to lie below line `index`, and until which τ (-inf: none is flatter)."""
    flatter = held & (p < p[index])
    crossing = (u[index] - jnp.where(flatter, u, 0.0)) / jnp.where(flatter, p[index] - p, 1.0)
    crossing = jnp.where(flatter, crossing, -jnp.inf)
    return jnp.argmax(crossing), jnp.max(crossing)


def transition_time_bound(gamma: float | Array, constant: float | Array = 1.0) -> Float[Array, ""]:
    r"""Shape of the *reported* super-exponential bound, $\log\gamma^{C\gamma} = C\,\gamma\log\gamma$.

    An upper bound up to the constant: T₀ itself grows like γ^{n−1} at fixed n.

    Args:
      gamma: γ ≥ 0; 0 (the fast regime) gives `-inf`.
      constant: C > 0, which the literature leaves open.

    Returns:
      Log of the bound, in log units of time.

    Raises:
      ValueError: γ negative or C not positive.

    Reference: Chen, Li, Zou, arXiv 2506.04695, Theorem 5.4 (*reported*).

    >>> print(round(float(transition_time_bound(6.0)), 3))
    10.751
    """
    _check.nonnegative("gamma", gamma)
    _check.positive("constant", constant)
    gamma = jnp.asarray(gamma)
    safe = jnp.where(gamma > 0, gamma, 1.0)
    return jnp.where(gamma > 0, constant * safe * jnp.log(safe), -jnp.inf)


def one_rival_bound(problem: Problem) -> Float[Array, ""]:
    r"""Log of an upper bound on the transition time T₀, for any problem with one rival (β = 0, unit clock).

    Write w = 1/π up to the common factor that conserves Σ log w, so that dw_r/dτ = ρ − p_r. Until T₀ the rival's w
    falls, that of r* falls, and that of a poor pattern s rises by less than (p' − p_s)τ. Therefore T₀ comes before
    τ = 1/(π* (p* − p')), and

    $$ T_0 \le \frac1{\pi^\star(p^\star-p')}\Bigl[\pi'\prod_s\Bigl(1 + \frac{p'-p_s}{p^\star-p'}
       \frac{\pi_s}{\pi^\star}\Bigr) + \frac{\sum_s\pi_s(p'-p_s)}{p^\star-p'} + 1\Bigr], $$

    all π of the reference policy. The product is at most γ^{n−2} up to a constant, and for any n at most e^{Cγ} with
    C = (p' − min p)/(p* − p').

    Args:
      problem: the question; its second-best pattern is the rival, r' (of several rivals the bound does not hold).

    Returns:
      Log of the bound, in log units of time; `inf` where the best pattern has no reference mass or is tied.

    Reference: *derived here*; compare Theorem 5.4 of arXiv 2506.04695.

    >>> from qra_jax.problem import examples
    >>> print(round(float(jnp.exp(one_rival_bound(examples.worked())))))
    530
    """
    p, ref, best = problem.success, problem.ref, problem.best
    second = jnp.argmax(jnp.where(jnp.arange(problem.patterns) == best, -1.0, p))
    gap, slower = p[best] - p[second], jnp.maximum(p[second] - p, 0.0)
    closed = (gap <= 0) | jnp.isneginf(problem.log_ref[best])
    gap, base = jnp.where(closed, 1.0, gap), jnp.where(closed, 1.0, ref[best])
    log_stall = problem.log_ref[second] + jnp.sum(jnp.log1p(slower / gap * ref / base))
    rest = jnp.log(jnp.sum(ref * slower) / gap + 1)
    return jnp.where(closed, jnp.inf, jnp.logaddexp(log_stall, rest) - jnp.log(base) - jnp.log(gap))


def equal_rivals_time(
    mass: float | Array, target: float | Array, *, gap: float | Array, rivals: int | float | Array = 1
) -> Float[Array, "*b"]:
    r"""Time from mass q on the best pattern to a target, beside k equal rivals (β = 0, unit clock).

    $$ T = \frac{F(q_1) - F(q)}{\Delta\,(1 + 1/k)},\qquad
       F(q) = 2\,\mathrm{logit}\,q + \frac{2q-1}{q(1-q)} $$

    Args:
      mass: `[...]`, q in (0, 1); the rest is shared evenly among the rivals.
      target: `[...]`, q₁ in (0, 1).
      gap: `[...]`, Δ = p* − p' > 0.
      rivals: `[...]`, k ≥ 1.

    Returns:
      `[...]`, T, in units of time; negative for a target below the mass.

    Raises:
      ValueError: an argument out of range.

    Reference: *derived here*.

    >>> print(round(float(equal_rivals_time(0.1, 0.95, gap=0.4)), 4))
    47.6495
    """
    for name, value in (("mass", mass), ("target", target)):
        _check.open_unit_interval(name, value)
    _check.positive("gap", gap)
    _check.positive("rivals", rivals)

    def primitive(q: Array) -> Array:
        return 2 * (jnp.log(q) - jnp.log1p(-q)) + (2 * q - 1) / (q * (1 - q))

    mass, target, gap, rivals = (jnp.asarray(x) for x in (mass, target, gap, rivals))
    return (primitive(target) - primitive(mass)) / (gap * (1 + 1 / rivals))

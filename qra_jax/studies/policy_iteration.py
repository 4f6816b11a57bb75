"""Where does GRPO end if every round is trained to convergence: at a fixed point, in a cycle, or at 1?

Claims (Mroueh, arXiv 2503.06639, abstract): with rewards standardised under the previous policy and a KL term
to a fixed reference, to the previous policy (mirror) or to both (mixed), each round has a closed-form optimum;
the success probability obeys a recursion, which converges to a fixed point; and that exceeds the reference.

In half logits x = ½ logit ρ the recursion is x → ½ logit ρ_ref + cosh(x)/β (fixed reference, ε = 0): one hump,
negative Schwarzian derivative, so at most one attractor short of ρ = 1, and the point ρ = ½ is drawn to it if
it exists. Its boundaries are closed forms: folds and flips (theory.fold_betas, theory.flip_betas), the crisis
where the attractor meets the upper fixed point, and the overshoot, below which the first round from π_ref jumps
past that point although an attractor exists.

Control: exact policy iteration of tabular policies, π_n ∝ π_ref^α π_{n−1}^{1−α} exp(A/β), with patterns that are
right or wrong for sure, and with patterns that are right sometimes; and the gradient flow by an ODE solver,
which shares the fixed points and does not overshoot.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from qra_jax import flow, metrics, plot, theory
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, examples
from qra_jax.regularizer import reverse_kl
from qra_jax.studies.base import ONLY_IF, Verdict, verdict

TITLE = "Policy iteration: rounds of GRPO settle, cycle, turn chaotic or run to 1, on known boundaries"
SOURCE = "Mroueh, arXiv 2503.06639, abstract"
OWN = "derived here"
NONE, LEAVES, RESTS, PAIR, LONGER, CHAOS = range(6)
"""Attractor short of ρ = 1: no fixed point; fixed points but no attractor; a fixed point; cycles; chaos."""
SLICES = (0.6, 0.001)
RARE, KAPPA = 0.001, 1.5
"""ρ_ref and αβ of the runs that compare ways of regularising; the cycle is that of β = CYCLE."""
CYCLE = 5.0
ANCHORS = (1.0, 0.5, 0.0)
SATURATING = 1e-5
"""ε > 0 where one is used."""
TAIL = 64
GONE = 200.0
"""A logit from which no run returns: with ε = 0 any state above the upper fixed point runs to 1."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Attractors over (ρ_ref, β), two slices, the ways of regularising, thresholds, and exact iteration."""
    rounds = 1000 if quick else 4000
    logit_refs = np.linspace(-14, 3, 52 if quick else 171)
    betas = np.logspace(-1.2, 1.5, 46 if quick else 181)
    data: dict[str, Any] = {"logit_ref": logit_refs, "beta": betas, "rounds": rounds}
    refs = jax.nn.sigmoid(jnp.asarray(logit_refs))
    data |= {f"map/{k}": v for k, v in _grid(_survey, refs, jnp.asarray(betas), rounds).items()}
    fine = jnp.logspace(-1.2, 1.5, 240 if quick else 900)
    data["slice_beta"] = fine
    for rho in SLICES:
        found = _grid(_survey, jnp.array([rho]), fine, rounds)
        data |= {f"slice{rho}/{k}": v[0] for k, v in found.items()}
        pair = _pairs(jnp.asarray(rho), fine)
        data |= {f"slice{rho}/pair": pair.logit[:, 0], f"slice{rho}/pair_multiplier": pair.multiplier[:, 0]}
    anchors = jnp.linspace(0.02, 1, 200 if quick else 700)
    data |= {"anchor": anchors, "anchor/tail": _mixtures(anchors, rounds)}
    data |= _ways() | _thresholds(jnp.asarray(4 * rounds)) | _exact(seed, 60 if quick else 400)
    long = jnp.linspace(0.35, 2.3, 60 if quick else 400)
    data |= {"chaos/beta": long, "chaos/exponents": _exponents(long)}
    data["saturated"] = jax.jit(jax.vmap(lambda b: _existing(b)))(jnp.asarray(betas))
    return {name: np.asarray(value) for name, value in data.items()}


@jax.jit
def _pairs(rho: jax.Array, betas: jax.Array) -> theory.TwoCycles:
    return jax.vmap(lambda beta: theory.success_two_cycles(rho, beta))(betas)


def _grid(function: Any, refs: jax.Array, betas: jax.Array, rounds: int) -> dict[str, jax.Array]:
    over_betas = jax.vmap(partial(function, rounds), (None, 0))
    return jax.jit(jax.vmap(over_betas, (0, None)))(refs, betas)


def _run(rho: jax.Array, beta: jax.Array, start: jax.Array, rounds: Any, anchor: Any = 1.0) -> jax.Array:
    """The state after many rounds, inf once it is gone for good."""

    def step(_: Any, z: jax.Array) -> jax.Array:
        after = theory.success_map(z, rho, beta, anchor=anchor)
        return jnp.where(after > GONE, jnp.inf, after)

    return jax.lax.fori_loop(0, rounds, step, start)


def _tail(rho: jax.Array, beta: jax.Array, state: jax.Array, anchor: Any = 1.0) -> jax.Array:
    path = theory.success_path(rho, beta, TAIL - 1, logit0=state, anchor=anchor)
    return jnp.where(path > GONE, jnp.inf, path)


def _survey(rounds: int, rho: jax.Array, beta: jax.Array) -> dict[str, jax.Array]:
    """Fixed points, and the last rounds of the runs from ρ = ½ and from ρ_ref."""
    fixed = theory.success_fixed_points(rho, beta)
    start, half = metrics.logit(rho), jnp.zeros_like(rho)
    first = theory.success_path(rho, beta, 8)[1:]
    return {
        "fixed": fixed.logit[:2],
        "multiplier": fixed.multiplier[:2],
        "tail": _tail(rho, beta, _run(rho, beta, half, rounds)),
        "from_ref": _tail(rho, beta, _run(rho, beta, start, rounds)),
        "least_gain": beta * jnp.min(first - start),
    }


def _mixtures(anchors: jax.Array, rounds: int) -> jax.Array:
    """Last rounds of mixed regularisation from ρ = ½, at one αβ and so at the same fixed points."""
    rho, zero = jnp.asarray(RARE), jnp.asarray(0.0)

    def one(anchor: jax.Array) -> jax.Array:
        beta = KAPPA / anchor
        start = theory.success_fixed_points(rho, beta, anchor=anchor).logit[0] + 0.1
        return _tail(rho, beta, _run(rho, beta, start + zero, rounds, anchor), anchor)

    return jax.jit(jax.vmap(one))(anchors)


@jax.jit
def _ways() -> dict[str, jax.Array]:
    """The first rounds from ρ_ref with each way of regularising, the flow, and mirror runs for many β."""
    data = {
        f"way{alpha}": theory.success_path(RARE, CYCLE / alpha if alpha else CYCLE, 40, anchor=alpha)
        for alpha in ANCHORS
    }
    problem = Problem.from_probs(ref=[RARE, 1 - RARE], success=[1.0, 0.0])
    ts = jnp.linspace(0.0, 40 / CYCLE, 81)
    path = flow.solve(
        problem,
        ts=ts,
        algorithm=grpo(),
        regularizers=[reverse_kl(CYCLE)],
        geometry="natural",
        rtol=1e-10,
        atol=1e-10,
    )
    mirrors = jnp.logspace(-1, 1.7, 28)
    until = jax.jit(jax.vmap(lambda beta: theory.success_path(RARE, beta, 400, anchor=0.0)))(mirrors)
    return data | {
        "flow_time": ts * CYCLE,
        "flow": path.log_policy[:, 0] - path.log_policy[:, 1],
        "flow_status": path.status,
        "mirror_beta": mirrors,
        "mirror_rounds": jnp.sum(until < GONE, axis=1),
        "cycle": theory.success_two_cycles(RARE, CYCLE).logit[0],
        "rest": theory.success_fixed_points(RARE, CYCLE).logit[0],
    }


@jax.jit
def _thresholds(rounds: jax.Array) -> dict[str, Any]:
    """Runs one per cent on either side of the folds, the flips, and the mixture at which a cycle dies."""
    sides = jnp.array([[0.99, 1.01]])
    refs = jnp.array([0.05, 0.3, 0.6, 0.9])
    folds = jax.vmap(lambda rho: theory.fold_betas(rho)[0])(refs)

    def gone(rho: jax.Array, beta: jax.Array) -> jax.Array:
        return jnp.isinf(_run(rho, beta, jnp.zeros_like(rho), rounds))

    rare = jnp.array([0.001, 0.003, 0.008])
    flips = jax.vmap(theory.flip_betas)(rare)

    def swing(rho: jax.Array, beta: jax.Array, anchor: jax.Array) -> jax.Array:
        start = theory.success_fixed_points(rho, beta, anchor=anchor).logit[0] + 0.01
        return jnp.ptp(_tail(rho, beta, _run(rho, beta, start, rounds, anchor), anchor))

    kappas = jnp.array([1.0, 1.5, 5.0])
    slope = jax.vmap(lambda k: theory.success_fixed_points(RARE, k).multiplier[0])(kappas)
    limits = 2 / (1 - slope)
    product = lambda f: jax.vmap(jax.vmap(f, (None, 0)))  # noqa: E731
    return {
        "fold_refs": refs,
        "folds": folds,
        "fold_gone": product(gone)(refs, folds[:, None] * sides),
        "flip_refs": rare,
        "flips": flips,
        "flip_swing": product(lambda rho, pair: jax.vmap(lambda b: swing(rho, b, jnp.asarray(1.0)))(pair))(
            rare, flips[:, :, None] * sides[None]
        ),
        "limits": limits,
        "limit_swing": product(lambda k, a: swing(jnp.asarray(RARE), k / a, a))(
            kappas, limits[:, None] * sides
        ),
    }


def _exponents(betas: jax.Array) -> jax.Array:
    """Lyapunov exponent per round at ρ_ref = RARE in 20 blocks of 1000 rounds, −inf once gone."""
    rho = jnp.asarray(RARE)

    def one(beta: jax.Array) -> jax.Array:
        def step(z: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            slope = jnp.abs(theory.success_multiplier(z, beta))
            after = theory.success_map(z, rho, beta)
            gone = after > GONE
            log_slope = jnp.where(gone, -jnp.inf, jnp.log(jnp.maximum(slope, 1e-30)))
            return jnp.where(gone, jnp.inf, after), log_slope

        state = _run(rho, beta, jnp.asarray(0.1), 1000)
        _, logs = jax.lax.scan(step, state, None, length=20_000)
        return jnp.mean(logs.reshape(20, 1000), axis=1)

    return jax.jit(jax.vmap(one))(betas)


def _existing(beta: jax.Array) -> jax.Array:
    """Number of fixed points at ρ_ref = .6 without and with ε, and the logit of the highest with it."""
    without = theory.success_fixed_points(SLICES[0], beta)
    within = theory.success_fixed_points(SLICES[0], beta, epsilon=SATURATING)
    return jnp.stack([without.count, within.count, jnp.nanmax(within.logit)])


def _rounds(problem: Problem, beta: jax.Array, anchor: Any, steps: int) -> jax.Array:
    """`[steps + 1]`, logit ρ along exact policy iteration from π_ref."""

    def logit(log_policy: jax.Array) -> jax.Array:
        return jax.nn.logsumexp(log_policy, b=problem.success) - jax.nn.logsumexp(
            log_policy, b=1 - problem.success
        )

    def step(log_policy: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        after = theory.policy_iteration_round(problem, log_policy, beta, anchor=anchor)
        return after, logit(after)

    _, path = jax.lax.scan(step, problem.log_ref, None, length=steps)
    return jnp.concatenate([logit(problem.log_ref)[None], path])


def _exact(seed: int, draws: int) -> dict[str, jax.Array]:
    """The recursion against exact rounds, for sure and for chancy patterns; one question for all β."""

    def sure(problem: Problem, beta: jax.Array) -> jax.Array:
        problem = Problem(problem.log_ref, jnp.array([1.0] * 3 + [0.0] * 5))
        errors = []
        for anchor in ANCHORS:
            path = _rounds(problem, beta, anchor, 12)
            told = jax.vmap(lambda z, a=anchor: theory.success_map(z, problem.accuracy_ref, beta, anchor=a))
            off = jnp.abs(told(path[:-1]) - path[1:]) / (1 + jnp.abs(path[1:]))
            errors.append(jnp.max(jnp.where(path[1:] < 30, off, 0.0)))
        return jnp.stack(errors)

    def chancy(problem: Problem, beta: jax.Array) -> jax.Array:
        told = theory.success_path(problem.accuracy_ref, beta, 400)
        path = _rounds(problem, beta, 1.0, 400)
        share = jnp.sum(problem.ref * (problem.success - problem.accuracy_ref) ** 2)
        spread = problem.accuracy_ref * (1 - problem.accuracy_ref)
        return jnp.stack(
            [beta, path[0], path[1], told[1], path[-1], told[-1], share / spread, jnp.min(path[1:])]
        )

    def question(beta: jax.Array) -> jax.Array:
        problem = examples.worked()
        return jnp.stack(
            [_rounds(problem, beta, 1.0, 2000)[-1], theory.success_path(problem.accuracy_ref, beta, 2000)[-1]]
        )

    keys = jax.random.split(jax.random.key(seed), 3)
    shares = jax.random.exponential(keys[0], (draws, 8))  # normalised: Dirichlet(1)
    problems = Problem(jax.nn.log_softmax(jnp.log(shares)), jax.random.uniform(keys[1], (draws, 8)))
    strengths = jnp.exp(jax.random.uniform(keys[2], (draws,), minval=0.0, maxval=2.5))
    betas = jnp.logspace(-1, 1.5, 51)
    return {
        "sure": jax.jit(jax.vmap(sure))(problems, strengths),
        "chancy": jax.jit(jax.vmap(chancy))(problems, strengths),
        "question_beta": betas,
        "question": jax.jit(jax.vmap(question))(betas),
    }


def kinds(tail: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """What the last rounds of a run are: one of `NONE` … `CHAOS`.

    Args:
      tail: `[..., rounds]`, logits of the last 64 rounds, inf once gone.
      fixed: `[..., 2]`, logits of the fixed points, NaN where there are none.

    Returns:
      `[...]`; a run that repeats itself within 1e-3 after at most 16 rounds counts as a cycle.
    """
    gone = ~np.isfinite(tail[..., -1])
    still = np.where(np.isfinite(tail), tail, 0.0)
    kind = np.full(gone.shape, CHAOS)
    for period, name in ((16, LONGER), (12, LONGER), (10, LONGER), (2, PAIR), (1, RESTS)):
        repeats = np.abs(still[..., period:] - still[..., :-period]).max(axis=-1) < 1e-3
        kind[repeats] = name
    for period in (3, 5, 6, 7, 9):
        repeats = np.abs(still[..., period:] - still[..., :-period]).max(axis=-1) < 1e-3
        kind[repeats & (kind == CHAOS)] = LONGER
    kind[gone] = LEAVES
    kind[np.isnan(fixed[..., 0])] = NONE
    return kind


def reaches_rest(data: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Where theory says that rounds from π_ref settle, and where it is too close to a boundary to be run.

    Settles: the lower fixed point z₁ exists, |F'(z₁)| < 1, and logit ρ_ref > −z₂, so that the first round stays
    below the upper one.

    Args:
      data: what `compute` returned.

    Returns:
      Two `[refs, betas]` masks: settles, and clear: the rate of approach |F'| leaves e⁻⁷ or less of a distance
      after all rounds (and the passage where the fixed points have just vanished is as short).
    """
    lower, upper = np.moveaxis(data["map/fixed"], -1, 0)
    slope = data["map/multiplier"][..., 0]
    exists = ~np.isnan(lower)
    inside = exists & (data["logit_ref"][:, None] > -upper)
    settles = inside & (np.abs(np.where(exists, slope, 2)) < 1)
    rounds = int(data["rounds"])
    ghost = 2 * np.arcsinh(data["beta"]) - 2 * np.sqrt(1 + data["beta"] ** -2.0)
    gap = np.abs(data["logit_ref"][:, None] - ghost)  # distance from the fold
    slow_pass = ~exists & (gap < (10 * np.pi / rounds) ** 2)
    slow_decay = exists & (np.abs(np.log(np.abs(np.where(exists, slope, 2)))) * rounds < 7)
    return settles, ~(slow_pass | slow_decay)


_KINDS = ("no fixed point", "no attractor", "fixed point", "2-cycle", "longer cycle", "chaos")
_KIND_COLORS = ("#F3C9B0", "#E8843C", "#CFE3F2", "#6FA8D6", "#2E9E77", "#3B0F52")


def _ticks(ax: Axes, axis: str, rhos: tuple[float, ...]) -> None:
    labels = [
        f"{rho:g}".replace("0.", ".") if rho > 1e-3 else f"10$^{{{np.log10(rho):.0f}}}$" for rho in rhos
    ]
    places = np.log(rhos) - np.log1p(-np.array(rhos))
    ax.set(**{f"{axis}ticks": places, f"{axis}ticklabels": labels})


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Attractors over (ρ_ref, β), two slices, ways of regularising, mixtures, and chancy patterns."""
    figure, axes = plot.new((10.6, 6.6), nrows=2, ncols=3)
    _map(data, axes[0, 0])
    for ax, rho in zip(axes[0, 1:], SLICES, strict=True):
        _slice(data, rho, ax)
    axes[0, 1].set_title("ρ_ref = .6: below a critical β all runs to 1")
    axes[0, 2].set_title("ρ_ref = .001: rest, cycles, chaos")
    _runs(data, axes[1, 0])
    _anchors(data, axes[1, 1])
    _chancy(data, axes[1, 2])
    return figure


def _map(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    refs, betas = data["logit_ref"], data["beta"]
    kind = kinds(data["map/tail"], data["map/fixed"])
    colors = ListedColormap(_KIND_COLORS)
    ax.pcolormesh(refs, betas, kind.T, cmap=colors, vmin=-0.5, vmax=5.5, shading="nearest", rasterized=True)
    fine = np.logspace(-1.2, 1.5, 400)
    root = np.sqrt(1 + fine**-2)
    ax.plot(2 * np.arcsinh(fine) - 2 * root, fine, color="black", linewidth=1.4)
    ax.plot(-2 * np.arcsinh(fine) - 2 * root, fine, color="black", linewidth=1.1, linestyle="--")
    x = np.linspace(0.3, 8, 400)
    ax.plot(-2 * (x + x / np.sinh(x / 2) ** 2), np.sinh(x / 2) ** 2 / x, color="white", linewidth=1.2)
    low = np.linspace(refs[0], -1.6, 200)
    ax.plot(low, np.cosh(low / 2) / -low, color=plot.RIVAL, linewidth=1.6)
    ax.set(yscale="log", ylim=(betas[0], betas[-1]), xlim=(refs[0], refs[-1]))
    ax.set(xlabel="base accuracy ρ_ref", ylabel="strength of the KL term β")
    _ticks(ax, "x", (1e-6, 1e-4, 1e-2, 0.5, 0.9))
    ax.text(0.6, 0.2, "all runs to 1", ha="center", fontsize=8)
    ax.text(-2.5, 14, "fixed point", ha="center", fontsize=8)
    ax.text(-7.6, 9, "2-cycle", ha="center", fontsize=8, rotation=-50)
    ax.text(-11, 1.2, "fixed points,\nno attractor", ha="center", fontsize=8)
    ax.text(1.9, 1.6, "fold", fontsize=8, rotation=45)
    ax.text(-4.5, 1.75, "flip", fontsize=8)
    line = {"arrowstyle": "-", "linewidth": 0.8}
    ax.annotate("chaos", (-6.3, 0.85), (-11.8, 0.42), fontsize=8, arrowprops=line)
    ax.annotate(
        "below this line the first round\nfrom π_ref overshoots to 1",
        (-3.2, 0.82),
        (2.8, 0.078),
        fontsize=8,
        ha="right",
        color="#A03C00",
        arrowprops=line | {"color": "#A03C00"},
    )
    ax.set_title("What attracts short of ρ = 1")


def _slice(data: Mapping[str, np.ndarray], rho: float, ax: Axes) -> None:
    betas, tail = data["slice_beta"], data[f"slice{rho}/tail"]
    fixed, slope = data[f"slice{rho}/fixed"], data[f"slice{rho}/multiplier"]
    states = np.where(np.isfinite(tail), tail, np.nan)
    ax.plot(
        np.repeat(betas, TAIL),
        states.ravel(),
        ".",
        color=plot.BEST,
        markersize=1.2,
        markeredgewidth=0,
        rasterized=True,
    )
    for branch in range(2):
        for mask, line in ((np.abs(slope[:, branch]) < 1, "-"), (np.abs(slope[:, branch]) >= 1, "--")):
            kept = np.where(mask, fixed[:, branch], np.nan)
            ax.plot(betas, kept, line, color="black", linewidth=1.5 if line == "-" else 1.1)
    pair = data[f"slice{rho}/pair"]
    loose = np.abs(data[f"slice{rho}/pair_multiplier"]) >= 1
    ax.plot(betas, np.where(loose[:, None], pair, np.nan), ":", color="#666666", linewidth=1)
    ax.axhline(np.log(rho / (1 - rho)), color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.set(xscale="log", xlabel="strength of the KL term β", ylabel="accuracy ρ in the end")
    fold = 0.06
    exists = np.flatnonzero(~np.isnan(fixed[:, 0]))
    if exists.size:
        fold = float(betas[exists[0]])
        ax.axvspan(float(betas[0]), fold, color=_KIND_COLORS[NONE], zorder=-1)
    if rho > 0.5:
        ax.set(xlim=(0.6, 30), ylim=(0, 9))
        _ticks(ax, "y", (0.6, 0.9, 0.99, 0.999))
        ax.text(0.63, 0.52, "ρ_ref", ha="left", fontsize=8, color="#666666")
        ax.text(1.03, 5, "nothing holds\nthe policy:\nρ → 1", ha="center", fontsize=8)
        ax.text(2.1, 8.4, "starts above it\nrun to 1", va="center", fontsize=8)
        ax.text(7.5, 4.6, "upper fixed point,\nunstable", fontsize=8)
        ax.text(3.2, 1.6, "lower, stable", fontsize=8)
    else:
        ax.set(xlim=(0.06, 20), ylim=(-7.4, 6))
        _ticks(ax, "y", (1e-3, 1e-2, 0.1, 0.5, 0.9, 0.99))
        ax.text(0.065, -6.8, "ρ_ref", fontsize=8, color="#666666")
        over = float(np.cosh(np.log(rho / (1 - rho)) / 2) / -np.log(rho / (1 - rho)))
        ax.axvline(over, color=plot.RIVAL, linewidth=1.2)
        ax.text(
            over * 1.08,
            3.2,
            "left of this a\nstart at π_ref\novershoots to 1",
            fontsize=7.5,
            color=plot.RIVAL,
        )
        ax.text(0.13, 4.6, "ρ → 1", ha="center", fontsize=8)


_WAYS = {
    1.0: ("fixed reference", "#0072B2"),
    0.5: ("both, α = ½, same αβ", "#009E73"),
    0.0: ("mirror", "#CC79A7"),
}


def _runs(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for alpha, (label, color) in _WAYS.items():
        path = data[f"way{alpha}"]
        ax.plot(
            np.arange(len(path)),
            np.minimum(path, 50),
            "o-",
            color=color,
            label=label,
            markersize=2.5,
            linewidth=1,
        )
    ax.plot(data["flow_time"], data["flow"], color="black", linewidth=1.3, label="gradient flow")
    ax.text(
        39.5, 1.0, f"ρ_ref = .001, αβ = {CYCLE:g}\n(mirror: β = {CYCLE:g})", fontsize=8, ha="right", va="top"
    )
    ax.set(xlabel="round n   (flow: time × β)", ylabel="accuracy ρ", ylim=(-7.4, 6), xlim=(0, 40))
    _ticks(ax, "y", (1e-3, 1e-2, 0.1, 0.5, 0.9, 0.99))
    ax.legend(loc="upper right", bbox_to_anchor=(1.02, 0.93))
    ax.set_title("Same rest point; fixed reference cycles")


def _anchors(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    tail = np.where(np.isfinite(data["anchor/tail"]), data["anchor/tail"], np.nan)
    ax.plot(
        np.repeat(data["anchor"], TAIL),
        tail.ravel(),
        ".",
        color="#009E73",
        markersize=1.2,
        markeredgewidth=0,
        rasterized=True,
    )
    limit = float(data["limits"][1])
    ax.axvline(limit, color="black", linewidth=1, linestyle="--")
    ax.text(limit - 0.015, 1.4, f"theory:\nα = {limit:.2f}", ha="right", va="top", fontsize=8)
    ax.set(
        xlabel="weight α of the fixed reference   (1 − α: previous policy)", ylabel="accuracy ρ in the end"
    )
    ax.set(xlim=(0, 1))
    _ticks(ax, "y", (1e-2, 0.1, 0.5, 0.9))
    ax.text(0.03, -1.2, f"ρ_ref = .001, αβ = {KAPPA:g}", fontsize=8)
    ax.set_title("A share of the previous policy ends cycles")


def _chancy(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    betas = data["question_beta"]
    exact, told = 1 / (1 + np.exp(-data["question"].T))
    ax.plot(betas, told, color=plot.RIVAL, label="recursion in ρ alone")
    ax.plot(betas, exact, "o", color=plot.BEST, label="exact policy iteration", markersize=3.5)
    ax.axhline(0.9, color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.text(30, 0.91, "best pattern", ha="right", va="bottom", fontsize=8, color="#666666")
    ax.set(xscale="log", xlabel="strength of the KL term β", ylabel="accuracy ρ in the end", ylim=(0.4, 1.03))
    ax.legend(loc="upper right", bbox_to_anchor=(1.02, 0.79))
    ax.text(0.1, 0.43, "success rates .9, .6, .1", fontsize=8)
    ax.set_title("Chancy patterns break the recursion")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Closed form, convergence, boundaries, amplification, the ways of regularising, and ε."""
    return _closed_form(data) + _convergence(data) + _boundaries(data) + _regularised(data)


def _closed_form(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    sure, runs = data["sure"].max(), data["chancy"]
    beta, start, exact, told, end, told_end, share, _ = runs.T
    ratio = (exact - start) / (told - start)
    low, high = np.quantile(ratio, [0.05, 0.95])
    miss = np.median(np.abs(1 / (1 + np.exp(-end)) - 1 / (1 + np.exp(-told_end))))
    off = np.abs(ratio - 1)
    explained = np.median(np.abs(ratio / share - 1)[beta > 6])
    right = sure < 1e-10
    return [
        Verdict(
            "One round of exact KL-regularised optimisation moves the success probability by the recursion, with "
            "a fixed, a mixed and a mirror reference (8 patterns, right or wrong for sure).",
            SOURCE + "; mixture derived here",
            "largest difference in logit ÷ (1 + |logit|): rounding, below 1e-10",
            f"{sure:.0e} over {len(data['sure'])} problems × 3 × 12 rounds",
            verdict(right),
        ),
        Verdict(
            "The recursion also holds for reasoning patterns that are right sometimes (answers stay as they are).",
            "the recursion read at the level of patterns",
            "first gain in logit ÷ that of the recursion: 1",
            f"median {np.median(ratio):.2f}, 5–95 %: {low:.2f} to {high:.2f}; for β > 6 it is the share "
            f"Var(p)/(ρ(1−ρ)) of the reward's variance that patterns explain (median miss {explained:.0%}); in the "
            f"end ρ is off by {miss:.2f} (median)",
            verdict(off.max() < 1e-10)
            if off.max() < 1e-10 or not right
            else ONLY_IF + "every pattern is right or wrong for sure, or training moves the answers too",
        ),
    ]


def _convergence(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    settles, clear = reaches_rest(data)
    tail, lower = data["map/from_ref"], data["map/fixed"][..., 0]
    settled = np.abs(np.where(np.isfinite(tail), tail, np.inf) - lower[..., None]).max(axis=-1) < 1e-2
    settled &= ~np.isnan(lower)
    agree = (settled == settles)[clear]
    gain = min(data["map/least_gain"].min(), *(_gain(data, alpha) for alpha in ANCHORS))
    chance = data["chancy"]
    lift = (chance[:, 7] - chance[:, 1]).min()
    none = np.isnan(lower)
    escaped = ~np.isfinite(tail[..., -1])
    return [
        Verdict(
            "From π_ref, rounds with a fixed reference converge to a fixed point short of ρ = 1.",
            SOURCE,
            "in all of the grid of ρ_ref and β",
            f"in {settled.mean():.0%} of {settled.size} cells (log grid); ρ → 1 in {escaped.mean():.0%}, cycles or "
            f"chaos in the rest; condition right in {agree.sum()} of {agree.size} cells off the boundaries",
            verdict(settled.all())
            if settled.all() or not agree.all()
            else ONLY_IF
            + "β is above the fold, outside the flips, and logit ρ_ref > −logit of the upper fixed point",
        ),
        Verdict(
            "The success probability exceeds that of the reference after every round: in rest, cycle or chaos, and "
            "whatever the reference of the KL term.",
            SOURCE + " (fixed point exceeds the reference)",
            "least β × gain in logit: 2 or more (1/√(ρ(1−ρ)) ≥ 2); with chancy patterns least gain ≥ 0",
            f"{gain:.4f}; {lift:.4f}",
            verdict(gain >= 2 * (1 - 1e-9) and lift >= 0),
        ),
        Verdict(
            "There is always a fixed point.",
            "Mroueh, arXiv 2503.06639, whose map has ε > 0 under the root (second-hand)",
            f"ρ_ref = {SLICES[0]:g}: at least one for every β, with ε = 0 too",
            _existence_words(data),
            _existence(data),
        ),
        Verdict(
            "Without a fixed point every run goes to ρ = 1.",
            OWN,
            f"all of {(none & clear).sum()} cells below the fold",
            f"{(none & clear & escaped).sum()}",
            verdict((escaped | ~none | ~clear).all()),
        ),
    ]


def _gain(data: Mapping[str, np.ndarray], alpha: float) -> float:
    path = data[f"way{alpha}"]
    beta = CYCLE / alpha if alpha else CYCLE
    return float(beta * np.min(path[1:] - path[0]))


def _existence_words(data: Mapping[str, np.ndarray]) -> str:
    without, within, top = data["saturated"].T
    bare = without == 0
    rest = -top[bare].min() / np.log(10) if bare.any() else np.nan
    return (
        f"ε = 0: none for {bare.sum()} of {bare.size} β; ε = {SATURATING:g}: {int(within.min())} or more, but where "
        f"ε = 0 has none the only one has 1 − ρ = 10^{rest:.0f} or less"
    )


def _existence(data: Mapping[str, np.ndarray]) -> str:
    without, within, _ = data["saturated"].T
    if (without > 0).all() or (within == 0).any():
        return verdict((without > 0).all())
    return ONLY_IF + "ε > 0, and then it is ρ = 1 for all purposes below the fold"


def _boundaries(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    gone, swing = data["fold_gone"], data["flip_swing"]
    folds = ", ".join(f"{b:.4f}" for b in data["folds"])
    flips = "; ".join(f"{low:.3f} and {high:.3f}" for low, high in data["flips"])
    # Inside the flips a cycle, outside rest: sides are (.99, 1.01) of (lower, upper).
    cycles = swing > 1e-3
    as_told = (cycles == np.array([[False, True], [True, False]])).all()
    blocks = data["chaos/exponents"]
    kept = np.where(np.isfinite(blocks).all(axis=1, keepdims=True), blocks, -1e30)
    mean, error = kept.mean(axis=1), kept.std(axis=1, ddof=1) / np.sqrt(kept.shape[1])
    z = mean / np.maximum(error, 1e-12)
    best = int(np.argmax(np.where(z > 5, mean, -np.inf)))
    low, high = np.sort(1 / (1 + np.exp(-data["cycle"])))
    return [
        Verdict(
            "Below a critical β nothing holds the policy: logit ρ_ref = 2 asinh β − 2√(1 + β⁻²).",
            OWN + "; a critical β was reported",
            f"β = {folds} for ρ_ref = {', '.join(f'{r:g}' for r in data['fold_refs'])}",
            f"runs to 1 at 0.99 β: {gone[:, 0].sum()} of {len(gone)}, at 1.01 β: {gone[:, 1].sum()}",
            verdict(gone[:, 0].all() and not gone[:, 1].any()),
        ),
        Verdict(
            "Below ρ_ref = .01004 the fixed point is unstable between two β: rounds overshoot for ever "
            "(logit ρ_ref = −2 asinh β − 2√(1 + β⁻²)).",
            OWN + "; one 2-cycle was reported",
            f"cycles just inside, rest just outside β = {flips} (ρ_ref = .001, .003, .008)",
            f"swings 1 % inside {swing[:, 0, 1].min():.2f} or more in logit, 1 % outside "
            f"{max(swing[:, 0, 0].max(), swing[:, 1, 1].max()):.0e}; ρ_ref = .001, β = 5: {low:.4f} ⇄ {high:.4f}",
            verdict(as_told),
        ),
        Verdict(
            "Between the flips rounds can be chaotic (ρ_ref = .001).",
            OWN + ": one hump with negative Schwarzian derivative, as the logistic map",
            "a Lyapunov exponent above 0 by more than 5 standard errors",
            f"{mean[best]:.3f} ± {error[best]:.3f} per round at β = {data['chaos/beta'][best]:.3f}; chaotic at "
            f"{np.mean(z > 5):.0%} of β from {data['chaos/beta'][0]:.2f} to {data['chaos/beta'][-1]:.2f}",
            verdict((z > 5).any()),
        ),
    ]


def _regularised(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    rest, end = float(data["rest"]), float(data["flow"][-1])
    swing = data["limit_swing"]
    rounds, beta = data["mirror_rounds"], data["mirror_beta"]
    told = beta[-1] * (np.pi - 2 * np.arcsin(np.sqrt(RARE)))
    rho = 1 / (1 + np.exp(-np.array([rest, end])))
    return [
        Verdict(
            "Where rounds cycle, the gradient flow with the same KL term comes to rest at the fixed point between.",
            OWN + "; reported for ρ_ref = .001, β = 5",
            f"ρ = {rho[0]:.5f}",
            f"ρ = {rho[1]:.5f}",
            verdict(abs(end - rest) < 1e-6 and data["flow_status"] == 0),
        ),
        Verdict(
            "Mixed regularisation has the fixed points of a fixed reference at αβ, and is stable there for "
            "α < 2/(1 − F'): a share of the previous policy ends the cycles.",
            SOURCE + "; threshold derived here",
            f"α = {', '.join(f'{a:.3f}' for a in data['limits'])} for αβ = 1, 1.5, 5 (ρ_ref = .001)",
            f"swing 1 % below {swing[:, 0].max():.0e}, 1 % above {swing[:, 1].min():.2f} or more",
            verdict((swing[:, 0] < 1e-3).all() and (swing[:, 1] > 1e-3).all()),
        ),
        Verdict(
            "With the previous policy as reference (mirror) every β leads to ρ = 1; β only sets the number of rounds.",
            SOURCE + "; number of rounds derived here",
            f"for large β, β(π − 2 asin√ρ_ref) rounds: {told:.1f} at β = {beta[-1]:.3g}",
            f"all {rounds.size} β reach 1: {bool((rounds < 401).all())}; {int(rounds[-1])} rounds",
            verdict((rounds < 401).all() and abs(rounds[-1] / told - 1) < 0.05),
        ),
    ]

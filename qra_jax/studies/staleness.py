r"""How old may a gradient be before training becomes unstable?

Claims (theory of this package, §3), for plain gradient steps near an optimum of curvature K: a gradient held for
S steps diverges at ηKS = 2; one delayed by S steps at ηK = 2 sin(π/(2(2S+1))), so ηKS = 1.00 (S = 1), 1.24
(S = 2), … π/2. With heavy-ball momentum m, derived here: delayed, the first η at which a root of

$$ z^{S+1} - (1+m) z^S + m z^{S-1} + \eta K = 0 $$

leaves the unit circle; held, the same of the map of one period. Where only the rollouts are old and the KL
term is new, the mean gradient is a function F(θ_now, θ_old) and the linear step is
θ_{k+1} − θ_k = η (A θ_k + B θ_{k−S}), A = ∂F/∂θ_now, B = ∂F/∂θ_old.

Problem: π_ref = (.05, .70, .25), success rates (.9, .6, .1), exact reverse KL with β = .2. The objective has one
interior optimum, π_opt ∝ π_ref exp(p/β); K is the largest eigenvalue of minus the Jacobian of the drift there.

Measured by bisection over η of mean-mode runs that start 10⁻⁶ beside the optimum: unstable if the largest
distance in the last quarter exceeds that
in the second, or if it ever exceeds 10⁻². Controls: fresh gradients (ηK = 2); importance ratios,
which make the mean gradient of REINFORCE that of now; runs from π_ref, to see what instability becomes at
finite distance; and sampled runs below the threshold, whose variance linear theory foretells as
η² uᵀCu Σ ψ_j², ψ the impulse response and C the exact covariance of one group's gradient.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import flow, plot, theory, training
from qra_jax.algorithm import Algorithm, reinforce, rloo
from qra_jax.batching import many
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import examples
from qra_jax.regularizer import reverse_kl
from qra_jax.studies.base import ONLY_IF, Verdict, verdict
from qra_jax.theory import delayed_radius, held_radius, stability_limit as limit, two_time_radius

TITLE = "Staleness: a gradient S steps old bounds ηKS by 1 to 2, momentum by less, importance ratios lift it"
SOURCE, OWN = "theory of this package, §3", "derived here"
BETA, OFF, FAR = 0.2, 1e-6, 1e-2
"""Strength of the KL term; distance from the optimum at the start, and where a run has left it."""
AGES = {True: (1, 2, 4), False: (1, 2, 4, 8, 16)}
MOMENTA = (0.0, 0.5, 0.9)
STEPS, HALVINGS = 2000, 12
CLOSE = 0.01
"""Relative error allowed to a measured threshold: the growth of one per cent beyond it shows within STEPS."""
BRACKET = (0.005, 8.0)
"""ηK between which thresholds are sought."""
AGE, GROUP, NOISE_BETA = 2, 64, 2.0
"""Of the runs beyond the threshold and of the sampled ones; a strong KL term keeps the latter linear."""
PUSHES = {True: 18, False: 60}
NEAR = (1.02, 1.12)
"""η/η_c between which the swing is fitted to a power law."""
LAST = 60
"""Steps looked at in the end of a run that starts from the base policy."""
LOADS = (0.25, 0.5, 0.75, 0.9)
"""η/η_c of sampled runs."""
SEEDS = {True: 512, False: 4096}
LEADING, SURE = 0.1, 2.575829
ONE = reinforce(group_size=1)
"""Its mean is that of any group size; with one it is enumerated at once."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Thresholds measured and predicted, what happens beyond them, and variance below."""
    k, _, optimum = curvature()
    ages = AGES[quick]
    data: dict[str, Any] = {
        "ages": np.array(ages),
        "momenta": np.array(MOMENTA),
        "curvature": k,
        "optimum": np.exp(optimum),
    }
    data["fresh"] = measured(OffPolicy())
    data["fresh_predicted"] = [
        limit(partial(delayed_radius, age=0, momentum=m), between=BRACKET) for m in MOMENTA
    ]
    for schedule, radius in (("delayed", delayed_radius), ("held", held_radius)):
        data[f"{schedule}/predicted"] = [
            [limit(partial(radius, age=s, momentum=m), between=BRACKET) for m in MOMENTA] for s in ages
        ]
        data[f"{schedule}/measured"] = [
            data["fresh"]
            if schedule == "held" and s == 1
            else measured(OffPolicy(staleness=s, schedule=schedule, of="gradient"))
            for s in ages
        ]
    for kind, (algorithm, off_policy) in _kinds().items():
        data[f"{kind}/measured"] = measured(off_policy, momenta=(0.0,), algorithm=algorithm)[0]
        now, old = (jacobian / k for jacobian in _jacobians(kind))  # so that the rate is the load ηK
        data[f"{kind}/predicted"] = limit(
            partial(two_time_radius, age=AGE, now=now, old=old), between=BRACKET
        )
    pushes = np.concatenate(
        [[0.05, 0.1, 0.2, 0.4], np.linspace(*NEAR, 6), np.linspace(0.6, 4.0, PUSHES[quick])]
    )
    pushes = np.unique(pushes)
    unit = theory.delay_limit(AGE) / k
    data |= {"pushes": pushes} | _beyond(pushes * unit)
    return {
        name: np.asarray(value) for name, value in (data | _noise(jax.random.key(seed), SEEDS[quick])).items()
    }


@cache
def curvature(beta: float = BETA) -> tuple[float, np.ndarray, np.ndarray]:
    """K, its direction in the logits, and log π_opt."""
    problem = examples.worked()
    optimum = theory.optimal_policy(problem, beta)

    def drift(theta: jax.Array) -> jax.Array:
        return flow.drift(problem, jax.nn.log_softmax(theta), regularizers=[reverse_kl(beta)])

    values, vectors = np.linalg.eigh(-np.asarray(jax.jit(jax.jacfwd(drift))(optimum)))
    return float(values[-1]), vectors[:, -1], np.asarray(optimum)


def _kinds() -> dict[str, tuple[Algorithm, OffPolicy]]:
    """Ways in which only the rollouts are old."""
    plain, ratios = (OffPolicy(surrogate, staleness=AGE) for surrogate in ("none", "clip"))
    return {
        "REINFORCE, rollouts": (ONE, plain),
        "RLOO, rollouts": (rloo(2), plain),
        "REINFORCE, rollouts, ratios": (ONE, ratios),
        "REINFORCE, rollouts, ratios, clip": (ONE, OffPolicy(clip=0.2, staleness=AGE)),
    }


def _jacobians(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """A and B of the mean gradient F(θ_now, θ_old)."""
    problem = examples.worked()

    def mean_gradient(now: jax.Array, old: jax.Array) -> jax.Array:
        log_policy, policy, behind = jax.nn.log_softmax(now), jax.nn.softmax(now), jax.nn.softmax(old)
        gain = problem.success
        if kind.startswith("RLOO"):
            gain = gain - jnp.sum(behind * problem.success)
        weights = (policy if "ratios" in kind else behind) * gain
        return weights - jnp.sum(weights) * policy + reverse_kl(BETA).velocity(log_policy, problem.log_ref)

    here = jnp.asarray(curvature()[2])
    pair = jax.jit(jax.jacfwd(mean_gradient, argnums=(0, 1)))(here, here)
    return np.asarray(pair[0]), np.asarray(pair[1])


def _heavy_ball(momentum: jax.Array) -> Callable[[Any], optax.GradientTransformation]:
    return lambda rate: optax.chain(optax.trace(momentum), optax.scale(-rate))


def measured(
    off_policy: OffPolicy, *, momenta: tuple[float, ...] = MOMENTA, algorithm: Algorithm = ONE
) -> np.ndarray:
    """Threshold ηK of mean training for each momentum, by bisection; inf where BRACKET's end is stable."""
    k, direction, optimum = curvature()
    start = jax.nn.log_softmax(jnp.asarray(optimum + OFF * direction))
    problem = examples.worked()

    def distance(log_policy: jax.Array, _: Any) -> jax.Array:
        return jnp.max(jnp.abs(log_policy - optimum))

    def unstable(momentum: jax.Array, load: jax.Array) -> jax.Array:
        gap = training.measure(
            {"gap": distance},
            jax.random.key(0),
            problem,
            steps=STEPS,
            algorithm=algorithm,
            optimizer=_heavy_ball(momentum),
            learning_rate=load / k,
            regularizers=[reverse_kl(BETA)],
            mode="mean",
            off_policy=off_policy,
            log_policy0=start,
        ).values["gap"]
        quarter = STEPS // 4
        early, late = jnp.max(gap[quarter : 2 * quarter]), jnp.max(gap[3 * quarter :])
        rises = ~(late <= early) & ~(late < OFF / 1000)  # below, it is rounding
        return rises | (jnp.max(gap) > FAR)

    test = jax.jit(jax.vmap(unstable))
    momentum = jnp.asarray(momenta)
    low, high = (np.full(len(momenta), end) for end in BRACKET)
    endless = ~np.asarray(test(momentum, jnp.asarray(high)))
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        beyond = np.asarray(test(momentum, jnp.asarray(middle)))
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return np.where(endless, np.inf, np.sqrt(low * high))


def _beyond(rates: np.ndarray) -> dict[str, np.ndarray]:
    """The last policies of mean runs from π_ref, `[η, step, pattern]`, by what is AGE steps old."""
    problem = examples.worked()

    def run(off_policy: OffPolicy, rate: jax.Array) -> jax.Array:
        path = training.train(
            jax.random.key(0),
            problem,
            steps=STEPS,
            algorithm=ONE,
            learning_rate=rate,
            regularizers=[reverse_kl(BETA)],
            mode="mean",
            off_policy=off_policy,
        )
        return jnp.exp(path.log_policy[-LAST:])

    ways = {
        "gradient": OffPolicy(staleness=AGE, of="gradient"),
        "ratios": OffPolicy(staleness=AGE),
        "clip": OffPolicy(clip=0.2, staleness=AGE),
    }
    return {
        f"beyond/{name}": np.asarray(jax.jit(jax.vmap(partial(run, off_policy)))(jnp.asarray(rates)))
        for name, off_policy in ways.items()
    }


def _noise(key: jax.Array, seeds: int) -> dict[str, Any]:
    """Variance of sampled runs along the direction of K, and linear theory's, fresh and AGE steps old."""
    k, direction, optimum = curvature(NOISE_BETA)
    problem, data = examples.worked(), {}
    algorithm = reinforce(group_size=GROUP)
    covariance = training.gradient_covariance(problem, jnp.asarray(optimum), algorithm=algorithm)
    strength = float(direction @ np.asarray(covariance) @ direction)

    small = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), problem)

    def run(age: int, key: jax.Array, rate: jax.Array) -> jax.Array:
        last = training.train(
            key,
            small,
            steps=120,
            algorithm=algorithm,
            learning_rate=rate,
            regularizers=[reverse_kl(NOISE_BETA)],
            off_policy=OffPolicy(staleness=age, of="gradient"),
            log_policy0=jnp.asarray(optimum, jnp.float32),
            record_every=120,
        ).log_policy[-1]
        return jnp.sum(direction * (last - optimum))

    for age in (0, AGE):
        loads = np.array(LOADS) * theory.delay_limit(age)
        rates = jnp.asarray(np.repeat(loads / k, seeds), jnp.float32)
        found = np.asarray(
            many(partial(run, age), block=256)(jax.random.split(key, rates.size), rates), float
        )
        found = found.reshape(len(LOADS), seeds)
        series = np.array([np.sum(theory.impulse_response(load, age=age, steps=120) ** 2) for load in loads])
        data[f"noise{age}/measured"] = found.var(axis=1)
        data[f"noise{age}/predicted"] = (loads / k) ** 2 * strength * series
        data[f"noise{age}/loads"] = loads
    return data | {"noise/seeds": seeds}


def swings(data: Mapping[str, np.ndarray], way: str) -> np.ndarray:
    """Range of π(r*) in the last steps of each run."""
    return np.ptp(data[f"beyond/{way}"][:, :, 0], axis=1)


def cornered(data: Mapping[str, np.ndarray], way: str) -> np.ndarray:
    """Runs in whose last steps one pattern is always above .99."""
    policy = data[f"beyond/{way}"]
    return np.asarray(np.any(np.all(policy > 0.99, axis=1), axis=-1))


def period(path: np.ndarray) -> float:
    """Steps in one swing, from the times at which the path rises through its mean."""
    level = path - path.mean()
    rises = np.flatnonzero((level[:-1] < 0) & (level[1:] >= 0))
    exact = rises + level[rises] / (level[rises] - level[rises + 1])
    return float(np.mean(np.diff(exact))) if len(exact) > 1 else math.nan


def _near(data: Mapping[str, np.ndarray]) -> np.ndarray:
    pushes = data["pushes"]
    return (pushes >= NEAR[0] - 1e-9) & (pushes <= NEAR[1] + 1e-9)


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Thresholds against S; what only old rollouts change; what happens beyond; variance below."""
    figure, axes = plot.new((8.6, 6.6), nrows=2, ncols=2)
    _draw_thresholds(data, axes[0, 0])
    _draw_kinds(data, axes[0, 1])
    _draw_beyond(data, axes[1, 0])
    _draw_noise(data, axes[1, 1])
    return figure


def _draw_thresholds(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    ages = data["ages"]
    for schedule, line, mark in (("held", "-", "s"), ("delayed", "--", "o")):
        for j, (momentum, color) in enumerate(
            zip(data["momenta"], (plot.CYCLE[0], plot.CYCLE[4], plot.CYCLE[1]), strict=True)
        ):
            ax.plot(ages, data[f"{schedule}/predicted"][:, j] * ages, line, color=color, linewidth=1.2)
            ax.plot(
                ages, data[f"{schedule}/measured"][:, j] * ages, mark, color=color, markeredgecolor="white"
            )
            ax.plot([], [], line, marker=mark, color=color, label=f"{schedule}, m = {momentum:g}")
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="age of the gradient S (steps)",
        ylabel="largest stable ηKS",
        ylim=(0.04, 12),
    )
    ax.set_xticks(ages, [str(age) for age in ages])
    ax.minorticks_off()
    ax.set_yticks([0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"])
    ax.legend(fontsize=7, ncols=2, loc="upper right")
    ax.set_title("Thresholds lie on theory (lines)")


def _draw_kinds(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    row = list(data["ages"]).index(AGE)
    bars = {
        "whole gradient old": (data["delayed/measured"][row, 0], data["delayed/predicted"][row, 0]),
        "rollouts old, REINFORCE": _pair(data, "REINFORCE, rollouts"),
        "rollouts old, RLOO": _pair(data, "RLOO, rollouts"),
        "… with ratios": _pair(data, "REINFORCE, rollouts, ratios"),
        "… with ratios, clipped": _pair(data, "REINFORCE, rollouts, ratios, clip"),
        "nothing old": (data["fresh"][0], data["fresh_predicted"][0]),
    }
    for place, (found, expected) in enumerate(bars.values()):
        ax.barh(place, found, color=plot.MUTED if place == len(bars) - 1 else plot.CYCLE[0], height=0.7)
        ax.plot([expected, expected], [place - 0.42, place + 0.42], color="black", linewidth=2)
        ax.text(max(found, expected) + 0.04, place, f"{found:.2f}", va="center", fontsize=8)
    ax.set_yticks(range(len(bars)), list(bars), fontsize=8)
    ax.invert_yaxis()
    ax.set(xlim=(0, 2.4), xlabel=f"largest stable ηK, S = {AGE} (black: theory)")
    ax.tick_params(axis="y", length=0)
    ax.set_title("Old rollouts need a baseline or ratios")


def _pair(data: Mapping[str, np.ndarray], kind: str) -> tuple[float, float]:
    return float(data[f"{kind}/measured"]), float(data[f"{kind}/predicted"])


def _draw_beyond(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    pushes, path = data["pushes"], data["beyond/gradient"][:, :, 0]
    for push, values in zip(pushes, path, strict=True):
        ax.plot(np.full(values.size, push), values, ".", color=plot.BEST, markersize=1.5)
    ax.axvline(1, color=plot.MUTED, linewidth=1, zorder=0)
    lost = cornered(data, "gradient")
    if lost.any():
        ax.axvspan(pushes[lost].min(), pushes[-1], color=plot.RIVAL, alpha=0.12, linewidth=0)
        ax.text(
            (pushes[lost].min() + pushes[-1]) / 2,
            0.5,
            "stuck in\na corner",
            ha="center",
            va="center",
            fontsize=8,
            color=plot.RIVAL,
        )
    swing = _near(data) & ~lost
    ax.text(
        1.06,
        0.8,
        f"swings, period {period(path[np.flatnonzero(swing)[0]]):.1f} steps",
        fontsize=8,
        color=plot.BEST,
        ha="left",
        va="bottom",
    )
    ax.set(xlim=(0.55, 4.05), xlabel=f"η / η_c, gradient {AGE} steps old")
    ax.set(ylabel="π(r*) in the last steps", ylim=(-0.03, 1.03))
    ax.set_title("Beyond: swings first, then a corner")


def _draw_noise(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    loads = np.array(LOADS)
    for age, color in ((0, plot.MUTED), (AGE, plot.CYCLE[1])):
        found, expected = data[f"noise{age}/measured"], data[f"noise{age}/predicted"]
        ax.plot(loads, expected, color=color)
        bars = SURE * found * math.sqrt(2 / int(data["noise/seeds"]))
        name = "fresh" if age == 0 else f"{age} steps old"
        ax.errorbar(loads, found, yerr=bars, fmt="o", color=color, label=f"{name} (line: theory)")
    ax.set(yscale="log", xlabel="η / η_c", ylabel="variance of the logit along K")
    ax.legend(fontsize=8, loc="upper left")
    ax.set_title("Noise grows before the threshold")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Thresholds with and without momentum; old rollouts; beyond the threshold; variance below it."""
    ages, momenta = data["ages"], data["momenta"]

    def errors(schedule: str) -> np.ndarray:
        return data[f"{schedule}/measured"] / data[f"{schedule}/predicted"] - 1

    held, delayed = errors("held"), errors("delayed")
    closed = np.array([theory.delay_limit(int(age)) for age in ages])
    closed_error = data["delayed/measured"][:, 0] / closed - 1

    def loads(schedule: str) -> str:
        return ", ".join(
            f"S = {age}: {load * age:.3f}"
            for age, load in zip(ages, data[f"{schedule}/measured"][:, 0], strict=True)
        )

    with_momentum = np.concatenate([held[:, 1:].ravel(), delayed[:, 1:].ravel()])
    weaker = data["delayed/measured"][:, 1:] < data["delayed/measured"][:, :1]
    return [
        Verdict(
            "A gradient held for S steps is unstable from ηKS = 2 on.",
            SOURCE,
            f"ηKS = 2 within {CLOSE:.0%}",
            loads("held"),
            verdict((abs(data["held/measured"][:, 0] * ages / 2 - 1) < CLOSE).all()),
        ),
        Verdict(
            "A gradient S steps late is unstable from ηK = 2 sin(π/(2(2S+1))) on.",
            SOURCE,
            "ηKS = "
            + ", ".join(f"{load * age:.3f}" for age, load in zip(ages, closed, strict=True))
            + f" within {CLOSE:.0%}",
            loads("delayed"),
            verdict((abs(closed_error) < CLOSE).all()),
        ),
        Verdict(
            "With momentum the roots of the characteristic polynomials give the thresholds.",
            OWN,
            f"relative errors below {CLOSE:.0%}",
            f"largest {abs(with_momentum).max():.2%} over m = {', '.join(f'{m:g}' for m in momenta[1:])} and both "
            "schedules; "
            f"late gradient, S = {ages[-1]}: ηKS = "
            + ", ".join(
                f"{x * ages[-1]:.3f} (m = {m:g})"
                for m, x in zip(momenta, data["delayed/measured"][-1], strict=True)
            ),
            verdict((abs(with_momentum) < CLOSE).all()),
        ),
        Verdict(
            "Momentum makes a late gradient less stable, although it makes a fresh one more stable.",
            OWN,
            "fresh: 2(1 + m); late: below the threshold without momentum",
            f"fresh: {', '.join(f'{x:.2f}' for x in data['fresh'])}; S = {ages[0]}: "
            + ", ".join(f"{x:.3f}" for x in data["delayed/measured"][0]),
            verdict(weaker.all() and (abs(data["fresh"] / (2 * (1 + momenta)) - 1) < CLOSE).all()),
        ),
        *_kind_rows(data),
        *_beyond_rows(data),
        _clip_row(data),
        _noise_row(data),
    ]


def _kind_rows(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    row = list(data["ages"]).index(AGE)
    whole = float(data["delayed/measured"][row, 0])
    pairs = {kind: _pair(data, kind) for kind in _kinds()}
    close = all(abs(found / expected - 1) < CLOSE for found, expected in pairs.values())
    better = [kind for kind in ("REINFORCE, rollouts", "RLOO, rollouts") if pairs[kind][0] > whole]
    milder = verdict(len(better) == 2)
    if len(better) == 1:
        milder = (
            ONLY_IF + "the rewards have a baseline"
            if better[0].startswith("RLOO")
            else ONLY_IF + "they have none"
        )
    ratios = [pairs[kind][0] for kind in pairs if "ratios" in kind]
    words = "; ".join(
        f"{kind}: ηK = {found:.3f} ({expected:.3f})" for kind, (found, expected) in pairs.items()
    )
    return [
        Verdict(
            "With only the rollouts old, the roots of θ' = θ + η(Aθ + Bθ_old) give the threshold.",
            OWN,
            f"S = {AGE}, in brackets, within {CLOSE:.0%}",
            words,
            verdict(close),
        ),
        Verdict(
            "Old rollouts with a new KL term are milder than a wholly old gradient.",
            "asked here",
            f"threshold above that of the old gradient, ηK = {whole:.3f}",
            "; ".join(f"{kind}: {pairs[kind][0]:.3f}" for kind in ("REINFORCE, rollouts", "RLOO, rollouts")),
            milder,
        ),
        Verdict(
            "Importance ratios lift the limit that staleness puts on REINFORCE's mean step; clipping leaves it so.",
            OWN,
            f"threshold of a fresh gradient, {float(data['fresh'][0]):.3f}",
            ", ".join(f"{value:.3f}" for value in ratios),
            verdict(all(abs(value / float(data["fresh"][0]) - 1) < CLOSE for value in ratios)),
        ),
    ]


def _beyond_rows(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    pushes, path = data["pushes"], data["beyond/gradient"][:, :, 0]
    swing, lost, near = swings(data, "gradient"), cornered(data, "gradient"), _near(data)
    bounded = (pushes > 1) & ~lost & (swing > 1e-3)
    all_gone = bool(np.all(np.isnan(path.sum(axis=1))[pushes > 1]))
    power = float(np.polyfit(np.log(pushes[near] - 1), np.log(np.maximum(swing[near], 1e-12)), 1)[0])
    cycle = period(path[np.flatnonzero(near)[0]])
    expected = 2 * (2 * AGE + 1)
    says = verdict(all_gone)
    if lost.any() and not all_gone:
        first = pushes[lost].min()
        says = ONLY_IF + f"divergence means a corner, and then not below η/η_c = {first:.1f}: there it swings"
    return [
        Verdict(
            "Beyond the threshold training diverges.",
            SOURCE,
            "logits without bound at every η > η_c",
            f"{bounded.sum()} of {(pushes > 1).sum()} runs beyond it swing within bounds, π(r*) by "
            f"{np.min(swing, where=bounded, initial=1):.2f} … {np.max(swing, where=bounded, initial=0):.2f}; "
            f"{lost.sum()} stay in a corner",
            says,
        ),
        Verdict(
            "Just beyond it the swing grows like (η/η_c − 1)^½, with a period of 2(2S + 1) steps.",
            OWN,
            f"power .5, period {expected}",
            f"power {power:.3f}, period {cycle:.2f} at η/η_c = {pushes[near][0]:.2f}",
            verdict(abs(power - 0.5) < LEADING and abs(cycle / expected - 1) < LEADING),
        ),
    ]


def _clip_row(data: Mapping[str, np.ndarray]) -> Verdict:
    """Local stability is not all: the same runs from the base policy."""
    limit = data["fresh_predicted"][0] / data["delayed/predicted"][list(data["ages"]).index(AGE)][0]
    stable = data["pushes"] < limit
    moves = {way: swings(data, way)[stable] for way in ("ratios", "clip")}
    rest = {way: float((swing < 1e-3).mean()) for way, swing in moves.items()}
    caught = data["beyond/clip"][stable][moves["clip"] >= 1e-3, :, 0]
    cycles = (
        f", around π(r*) = {caught.mean():.3f}, by up to {moves['clip'].max():.3f}" if caught.size else ""
    )
    says = verdict(min(rest.values()) == 1)
    if rest["clip"] < rest["ratios"] == 1:
        says = ONLY_IF + "the ratios are not clipped"
    return Verdict(
        "With ratios, a run from the base policy settles wherever the optimum is stable, clipped or not.",
        "asked here",
        f"at rest at every η up to the limit of fresh gradients, {limit:.2f} η_c",
        f"at rest: {rest['ratios']:.0%} of the unclipped runs, {rest['clip']:.0%} of those clipped at .2 (η/η_c from "
        f"{data['pushes'][0]:.2f}); the others swing{cycles}; the optimum has {data['optimum'][0]:.3f}",
        says,
    )


def _noise_row(data: Mapping[str, np.ndarray]) -> Verdict:
    error = SURE * math.sqrt(2 / int(data["noise/seeds"]))
    ratios = {age: data[f"noise{age}/measured"] / data[f"noise{age}/predicted"] for age in (0, AGE)}
    held = all((abs(ratio - 1)[:-1] < LEADING + error).all() for ratio in ratios.values())
    growth = data[f"noise{AGE}/measured"][-1] / data[f"noise{AGE}/measured"][0]
    plain = (LOADS[-1] / LOADS[0]) ** 2
    return Verdict(
        f"Below η_c sampling noise is amplified as linear theory says, η²uᵀCu Σψ² (up to η/η_c = {LOADS[-2]}).",
        OWN,
        f"measured/predicted variance 1 ± {LEADING + error:.2f}",
        "; ".join(
            ("fresh: " if age == 0 else f"{age} steps old: ") + ", ".join(f"{x:.2f}" for x in ratio)
            for age, ratio in ratios.items()
        )
        + f" at η/η_c = {', '.join(f'{x:g}' for x in LOADS)}; from first to last variance "
        f"× {growth:.0f}, η² alone × {plain:.0f}",
        verdict(held),
    )

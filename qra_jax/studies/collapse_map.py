r"""When does sampling noise make training lose the best pattern, or its diversity?

Claims (theory of this package, §3): with a rare best pattern, few rollouts and a large step, sampled training
can lose the best pattern although expected training wins; and among equally good patterns the Herfindahl index
Σπ² drifts up at a rate ∝ η/G with no reward difference at all.

*Loss.* Two patterns, success rates .9 and .6, no regulariser: expected training raises π(r*) at every step from
every start. In the log odds z of r* one rollout moves z by ±2ηA/G when it is r*, and all rollouts together by
O(ηx), x = π(r*). So with ηx ≪ 1, z is a random walk with jumps of size η/G, run on the clock ∫ x dt: the
slower, the rarer r* is. Its Lundberg exponent y(x) solves

$$ E\bigl[e^{-y\,G\,\Delta z/(2\eta)}\bigr] = 1,\qquad
   P(\text{share ever below }\varepsilon) \approx \exp\Bigl[-\frac{G}{2\eta}\int_\varepsilon^{x_0}
   \frac{y(x)\,dx}{x(1-x)}\Bigr] \approx (\varepsilon/x_0)^{y\,G/2\eta} $$

where y does not depend on η. For REINFORCE z sinks continuously and jumps only up, and the formula has no
prefactor; where jumps go down, too (GRPO), it is an upper bound with the right exponent (Cramér–Lundberg).

A run is *lost* when π(r*) has been below ε = 10⁻³ at any record; the rival then holds more than .999. Nothing is
absorbing in the tabular model: from ε expected training takes 1/(2ηε(p* − p')) steps back, x_0/ε times what it
took from x_0. Since P(share < ε) ∝ ε^κ, κ = yG/2η, and the way back takes a time ∝ 1/ε, the time until the best
pattern leads has a power-law tail P(T > t) ∝ t^{−κ}, with infinite mean where κ < 1. Shares of runs that are
below ε at the end, and below other ε, are reported beside it.

*Diversity.* n equally good patterns, so that the mean gradient is zero. From the exact covariance C of one
group's gradient, with H the Hessian of h = Σπ² in the logits,

$$ \frac{d\,E[h]}{dt} = \frac\eta2\,{\rm tr}(HC) = \frac{\eta\sigma^2}{G}\,\frac{n-1}{n^3}\ \text{at uniform }\pi,
   \qquad \sigma^2 = \begin{cases} p(1-p)+(p-b)^2 & \text{REINFORCE, baseline } b\\
   1-p^G-(1-p)^G & \text{GRPO}\end{cases} $$

(t = η · steps), and in the diffusion limit all runs share one curve E[h] in s = σ² η t/G.

Controls: the mean-mode run of every cell; Wilson intervals; the exponent of the boundary is fitted with a
parametric bootstrap, and √G is the rival scaling (that of a signal-to-noise argument for one step).
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import metrics, plot, theory, training
from qra_jax.algorithm import Algorithm, grpo, reinforce, switch
from qra_jax.batching import many
from qra_jax.problem import Problem
from qra_jax.studies.base import ONLY_IF, Verdict, verdict, wilson

TITLE = "Collapse map: noise loses a rare best pattern, and diversity, as a function of η/G"
SOURCE = "theory of this package, §3"
OWN = "derived here"
SUCCESS = (0.9, 0.6)
STARTS = (0.01, 0.03, 0.1)
GROUPS = {True: (4, 16), False: (2, 4, 8, 16, 32, 64)}
RATIOS = {True: (0.25, 4.0, 9), False: (0.2, 4.0, 12)}
"""η/G: from, to, how many."""
SEEDS = {True: 300, False: 700}
NAMES = ("REINFORCE", "GRPO")
LOST, LEVELS = 1e-3, (1e-2, 3e-3, 1e-3, 3e-4)
HORIZON = 4000.0
"""Time t = η · steps that every run has at least: expected training from LOST has won by then."""
SMALL, LEADING = 0.3, 0.1
"""ηx₀ up to which theory's small step is small; and what a leading-order law may be off by (relative)."""
RISK = 0.05
SURE = 2.575829
LONG = {"start": 0.03, "group": 8, "ratios": (0.4, 0.8, 1.6), "late": 10.0}
"""Cells whose runs are followed for long; late is beyond so many times what expected training needs."""
LONG_RUNS = {True: (700, 3000), False: (4000, 9000)}
"""Seeds and steps of these."""
PATTERNS, RATE = 5, 0.7
SKEWED = (0.4, 0.3, 0.15, 0.1, 0.05)
STEP = 0.01
"""η of single steps: the change of Σπ² is η² × a coefficient, up to a relative O(η²)."""
SPAN, DIVERSITY_STEPS, EVERY = 64.0, 1200, 8
DIVERSITY = {True: ((4, 16), 1024), False: ((4, 8, 16, 32), 6144)}
"""Group sizes and seeds of the runs among equally good patterns."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Shares of lost runs over (algorithm, π_ref(r*), G, η/G); one cell for long; runs of equal patterns."""
    key = jax.random.key(seed)
    data: dict[str, Any] = {"ratios": np.geomspace(*RATIOS[quick]), "groups": np.array(GROUPS[quick])}
    data |= {"starts": np.array(STARTS), "levels": np.array(LEVELS), "seeds": SEEDS[quick]}
    cells = [
        _losses(jax.random.fold_in(key, group), group, data["ratios"], SEEDS[quick])
        for group in GROUPS[quick]
    ]
    data |= {name: np.stack([cell[name] for cell in cells], axis=2) for name in cells[0]}
    law = partial(theory.loss_exponent, success=SUCCESS, level=LOST)
    members = zip(*(_members(group) for group in GROUPS[quick]), strict=True)
    data["exponent"] = np.stack([[[law(each, x) for each in row] for x in STARTS] for row in members])
    data |= _followed(jax.random.fold_in(key, 1000), *LONG_RUNS[quick])
    return {name: np.asarray(value) for name, value in (data | _diversity(key, *DIVERSITY[quick])).items()}


def _members(group: int, baseline: float = 0.0) -> tuple[Algorithm, Algorithm]:
    """The algorithms of `NAMES`."""
    return reinforce(baseline, group_size=group), grpo(group)


def _best(log_policy: jax.Array, problem: Problem) -> jax.Array:
    return log_policy[0]


def _runner(group: int, mode: str, steps: int, every: int) -> Any:
    """`(key, which, π_ref(r*), η) -> log π(r*) [records]`."""

    def run(key: jax.Array, which: jax.Array, start: jax.Array, rate: jax.Array) -> jax.Array:
        problem = Problem(jnp.log(jnp.stack([start, 1 - start])), jnp.asarray(SUCCESS, start.dtype))
        options: dict[str, Any] = {"mode": mode, "record_every": every}
        return training.measure(
            {"best": _best},
            key,
            problem,
            steps=steps,
            algorithm=switch(which, _members(group)),
            learning_rate=rate,
            **options,
        ).values["best"]

    return run


def _losses(key: jax.Array, group: int, ratios: np.ndarray, seeds: int) -> dict[str, np.ndarray]:
    """Arrays `[algorithm, start, η/G]` and, by level, `[..., level]`."""
    every = max(1, round(HORIZON / (ratios[0] * group) / 400))
    steps = every * math.ceil(HORIZON / (ratios[0] * group) / every)

    def low(*args: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        best = _runner(group, "sampled", steps, every)(*args)
        return jnp.min(best), best[-1], jnp.max(best)

    shape = (len(NAMES), len(STARTS), len(ratios))
    grid = np.meshgrid(range(len(NAMES)), STARTS, group * ratios, indexing="ij")
    runs = [jnp.asarray(np.repeat(x, seeds), jnp.float32) for x in grid]
    lowest, last, _ = (
        np.asarray(x).reshape(*shape, seeds)
        for x in many(low, block=256)(jax.random.split(key, runs[0].size), *runs)
    )
    mean = many(_runner(group, "mean", steps, every), block=64)
    one = [jnp.asarray(x.ravel()) for x in grid]
    expected = np.asarray(mean(jax.random.split(key, one[0].size), *one))
    levels = np.log(LEVELS)
    return {
        "lost": (lowest[..., None] < levels).sum(axis=3),
        "low_at_end": (last[..., None] < levels).sum(axis=3),
        "won": (last > np.log(0.99)).sum(axis=3),
        "mean_last": np.exp(expected[:, -1]).reshape(shape),
        "mean_low": np.exp(expected.min(axis=1)).reshape(shape),
    }


def _followed(key: jax.Array, seeds: int, steps: int) -> dict[str, np.ndarray]:
    """Time until π(r*) > ½ (inf: not yet) `[η/G, seed]`, how low it went, and where it ended; REINFORCE."""
    group, every = LONG["group"], 10

    def look(key: jax.Array, rate: jax.Array) -> tuple[jax.Array, ...]:
        zero, start = jnp.zeros_like(rate), jnp.full_like(rate, LONG["start"])
        best = _runner(group, "sampled", steps, every)(key, zero, start, rate)
        won = best > jnp.log(0.5)
        first = jnp.where(jnp.any(won), jnp.argmax(won) * every * rate, jnp.inf)
        return first, jnp.min(best), best[-1]

    rates = np.repeat(group * np.array(LONG["ratios"]), seeds)
    found = many(look, block=256)(jax.random.split(key, rates.size), jnp.asarray(rates, jnp.float32))
    names = ("long/time", "long/lowest", "long/last")
    data = {name: np.asarray(x).reshape(-1, seeds) for name, x in zip(names, found, strict=True)}
    return data | {"long/end": steps * group * np.array(LONG["ratios"])}


def _tilt(log_policy: jax.Array) -> jax.Array:
    """Gradient of Σπ² in the logits."""
    policy = jnp.exp(log_policy)
    return 2 * policy * (policy - jnp.sum(policy**2))


def _noise(groups: Sequence[int] | np.ndarray) -> np.ndarray:
    """σ² of the diffusion among equally good patterns `[algorithm, group]`; REINFORCE with baseline b = p."""
    every = [[theory.weight_variance(each, RATE) for each in _members(int(group), RATE)] for group in groups]
    return np.array(every).T


def _diversity(key: jax.Array, groups: tuple[int, ...], seeds: int) -> dict[str, np.ndarray]:
    """E[Σπ²] and its standard error `[algorithm, group, step size, record]`, and its slope at the start."""
    uniform, skewed = np.full(PATTERNS, 1 / PATTERNS), np.array(SKEWED)
    rates = np.sqrt(SPAN * np.array(groups) / (_noise(groups) * DIVERSITY_STEPS))[..., None] * np.array(
        [1, 2]
    )
    curves, errors = (np.empty((*rates.shape, DIVERSITY_STEPS // EVERY + 1)) for _ in range(2))
    slope, predicted, slope_error = (np.empty((*rates.shape[:2], 2)) for _ in range(3))

    most = max(groups)

    def run(steps: int, every: int, *args: jax.Array) -> jax.Array:
        """Σπ²; with `line`, minus its linear part at the start, whose mean does not change."""
        key, which, rate, size, line, ref = args
        problem = Problem(jnp.log(ref), jnp.full(PATTERNS, RATE, ref.dtype))
        tilt = line * _tilt(problem.log_ref)
        path = training.measure(
            {"h": lambda log_policy, _: metrics.herfindahl(log_policy) - jnp.sum(tilt * log_policy)},
            key,
            problem,
            steps=steps,
            algorithm=switch(which, _members(most, RATE)).with_group_size(size),
            learning_rate=rate,
            record_every=every,
        )
        return path.values["h"]

    def law(which: jax.Array, ref: jax.Array, group: int) -> jax.Array:
        problem = Problem(jnp.log(ref), jnp.full(PATTERNS, RATE, ref.dtype))
        algorithm = switch(which, _members(group, RATE))
        covariance = training.gradient_covariance(problem, problem.log_ref, algorithm=algorithm)
        bend = jax.hessian(lambda theta: metrics.herfindahl(jax.nn.log_softmax(theta)))(problem.log_ref)
        return jnp.sum(bend * covariance) / 2

    both, mixtures = jnp.arange(2.0), jnp.stack([jnp.asarray(uniform), jnp.asarray(skewed)])
    # One step of a small η: the change is second order in η, the next term of relative size η²/G.
    whole, short = (many(partial(run, *pair), block=256) for pair in ((DIVERSITY_STEPS, EVERY), (1, 1)))
    for g, group in enumerate(groups):
        cells = (np.array([0, 0, 1, 1]), rates[:, g].ravel(), np.full(4, group), np.zeros(4))
        runs = [jnp.asarray(np.repeat(x, seeds), jnp.float32) for x in cells]
        refs = jnp.broadcast_to(jnp.asarray(uniform, jnp.float32), (runs[0].size, PATTERNS))
        keys = jax.random.split(jax.random.fold_in(key, 2000 + group), runs[0].size)
        found = np.asarray(whole(keys, *runs, refs), float).reshape(2, 2, seeds, -1)
        curves[:, g], errors[:, g] = found.mean(axis=2), found.std(axis=2, ddof=1) / math.sqrt(seeds)
        per_start = jax.vmap(partial(law, group=group), (None, 0))
        predicted[:, g] = jax.jit(jax.vmap(per_start, (0, None)))(both, mixtures)
        tries = 16 * seeds
        cells = (np.array([0.0, 0, 1, 1]), np.full(4, STEP), np.full(4, float(group)), np.ones(4))
        runs = [jnp.asarray(np.repeat(x, tries)) for x in cells]
        keys = jax.random.split(jax.random.fold_in(key, 3000 + group), runs[0].size)
        found = short(keys, *runs, jnp.tile(jnp.repeat(mixtures, tries, axis=0), (2, 1)))
        gain = np.diff(np.asarray(found, float), axis=1).reshape(2, 2, tries) / STEP**2
        slope[:, g], slope_error[:, g] = gain.mean(axis=2), gain.std(axis=2, ddof=1) / math.sqrt(tries)
    return {
        "diversity/groups": np.array(groups),
        "diversity/rates": rates,
        "diversity/curves": curves,
        "diversity/errors": errors,
        "diversity/slope": slope,
        "diversity/slope_error": slope_error,
        "diversity/predicted": predicted,
    }


def _crossing(ratios: np.ndarray, share: np.ndarray) -> float:
    """η/G at which the share of lost runs reaches RISK, interpolated on a log scale; NaN if it does not."""
    above = np.flatnonzero(share >= RISK)
    if not above.size or above[0] == 0:
        return math.nan
    i = above[0]
    low, high = (math.log(max(value, 1e-4)) for value in share[i - 1 : i + 1])
    part = (math.log(RISK) - low) / (high - low)
    return float(ratios[i - 1] * (ratios[i] / ratios[i - 1]) ** part)


def boundary(data: Mapping[str, np.ndarray], name: str, start: int) -> tuple[np.ndarray, float, float]:
    """Critical η/G for each G, and the exponent α of η_c ∝ G^α with its standard error (bootstrap)."""
    lost = data["lost"][NAMES.index(name), start, :, :, LEVELS.index(LOST)]
    seeds, groups = int(data["seeds"]), data["groups"]

    def critical(share: np.ndarray) -> np.ndarray:
        return np.array([_crossing(data["ratios"], row) for row in share])

    def slope(found: np.ndarray) -> float:
        known = np.isfinite(found)
        if known.sum() < 2:
            return math.nan
        return float(np.polyfit(np.log(groups[known]), np.log(found[known]), 1)[0]) + 1

    rng = np.random.default_rng(0)
    again = [slope(critical(rng.binomial(seeds, lost / seeds) / seeds)) for _ in range(300)]
    found = critical(lost / seeds)
    sure = np.isfinite(again).sum() > 2
    return found, slope(found), float(np.nanstd(again)) if sure else math.inf


def fit(data: Mapping[str, np.ndarray], name: str) -> dict[str, float]:
    """Weighted fit log P = log C − κ E to theory's exponents E where ηx₀ is small and at least 10 are lost."""
    m, seeds = NAMES.index(name), int(data["seeds"])
    lost = data["lost"][m, ..., LEVELS.index(LOST)]
    expected = data["exponent"][m][..., None] / data["ratios"]
    size = data["starts"][:, None, None] * data["groups"][:, None] * data["ratios"]
    use = (size <= SMALL) & (lost >= 10) & (lost <= 0.9 * seeds)
    if name == "GRPO":  # the prefactor is a constant only where loss takes many jumps
        use &= expected > 1
    share = lost[use] / seeds
    weight = np.sqrt(lost[use] / (1 - share))
    design = np.stack([np.ones(use.sum()), -expected[use]], axis=1) * weight[:, None]
    inverse = np.linalg.inv(design.T @ design)
    log_prefactor, kappa = inverse @ design.T @ (weight * np.log(share))
    bound = np.exp(-expected[(size <= SMALL)])
    excess = (lost[size <= SMALL] / seeds - bound) / np.sqrt(bound * (1 - bound) / seeds)
    return {
        "kappa": float(kappa),
        "kappa_error": float(np.sqrt(inverse[1, 1])),
        "prefactor": float(np.exp(log_prefactor)),
        "prefactor_error": float(np.exp(log_prefactor) * np.sqrt(inverse[0, 0])),
        "cells": int(use.sum()),
        "excess": float(excess.max()),
        "ratio": float(np.exp(np.average(np.log(share) + expected[use], weights=weight**2))),
    }


def halves(data: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """s at which E[Σπ²] reaches ½, and its standard error, `[algorithm, group, step size]`."""
    curves, errors = data["diversity/curves"], data["diversity/errors"]
    s = times(data)
    found, error = np.empty(curves.shape[:-1]), np.empty(curves.shape[:-1])
    for i in np.ndindex(found.shape):
        found[i] = np.interp(0.5, curves[i], s[i])
        near = np.abs(curves[i] - 0.5) < 0.1
        slope = np.polyfit(s[i][near], curves[i][near], 1)[0]
        error[i] = np.interp(0.5, curves[i], errors[i]) / slope
    return found, error


def times(data: Mapping[str, np.ndarray]) -> np.ndarray:
    """s = σ² η t / G at every record."""
    rates, groups = data["diversity/rates"], data["diversity/groups"]
    sigma = _noise(groups)
    steps = EVERY * np.arange(data["diversity/curves"].shape[-1])
    return (sigma / groups)[..., None, None] * rates[..., None] ** 2 * steps


def tails(data: Mapping[str, np.ndarray]) -> list[dict[str, float]]:
    """Exponent of P(T > t) by maximum likelihood with censoring at the end of the runs, for each η/G."""
    share = np.array([LONG["start"]])
    y = float(theory.lundberg_exponent(_members(LONG["group"])[0], 1e-6, success=SUCCESS))
    late = LONG["late"] / (2 * float(share[0]) * (SUCCESS[0] - SUCCESS[1]))
    rows = []
    for ratio, time, end in zip(LONG["ratios"], data["long/time"], data["long/end"], strict=True):
        beyond = np.minimum(time[time > late], end)
        known = int((beyond < end).sum())
        found = known / np.log(beyond / late).sum()
        rows.append(
            {"ratio": ratio, "predicted": y / 2 / ratio, "measured": found, "error": found / math.sqrt(known)}
        )
    return rows


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """The map with its boundaries; loss against η/G; waiting times; diversity against σ²ηt/G."""
    figure, axes = plot.new((8.6, 6.6), nrows=2, ncols=2)
    _map(data, axes[0, 0])
    _curve(data, axes[0, 1])
    _waiting(data, axes[1, 0])
    _concentration(data, axes[1, 1])
    return figure


def _map(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    groups, level = data["groups"], LEVELS.index(LOST)
    fine = np.geomspace(groups[0] / 1.3, groups[-1] * 1.3, 30)
    shown = {0.01: plot.CYCLE[0], 0.03: plot.CYCLE[2], 0.1: plot.CYCLE[6]}
    middle = STARTS.index(0.03)
    share = data["lost"][0, middle, :, :, level] / data["seeds"]
    x = np.repeat(groups, len(data["ratios"]))
    y = (groups[:, None] * data["ratios"]).ravel()
    dots = ax.scatter(
        x, y, c=100 * share.ravel(), cmap="Greys", s=26, vmin=0, vmax=60, edgecolor="#999999", lw=0.4
    )
    ax.figure.colorbar(dots, ax=ax, label="% of runs lost, from π_ref(r*) = .03", pad=0.02)
    for i, start in enumerate(STARTS):
        theory = data["exponent"][0, i, 0] / -math.log(RISK)
        ax.plot(fine, theory * fine, color=shown[start], linewidth=1.4)
        found = boundary(data, "REINFORCE", i)[0]
        label = f"{RISK:.0%} lost from π_ref(r*) = {start:g}".replace("0.", ".")
        ax.plot(
            groups, found * groups, "o", color=shown[start], markeredgecolor="white", label=label, zorder=4
        )
    ax.set(xscale="log", yscale="log", xlabel="rollouts in a group G", ylabel="learning rate η")
    ax.set_xticks(groups, [str(group) for group in groups])
    ax.minorticks_off()
    ax.legend(loc="upper left", fontsize=7, title="REINFORCE (lines: theory)", title_fontsize=7)
    ax.set_ylim(top=ax.get_ylim()[1] * 6)
    ax.set_title("The safe step grows like G, not √G")


def _curve(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    ratios, level, middle = data["ratios"], LEVELS.index(LOST), STARTS.index(0.03)
    for m, name in enumerate(NAMES):
        color = plot.color(name)
        bound = np.exp(-data["exponent"][m, middle, -1] / ratios)
        ax.plot(ratios, bound, color=color, linestyle="-" if m == 0 else "--")
        for g, group in enumerate(data["groups"]):
            if group * ratios[0] * STARTS[middle] > SMALL:
                continue
            use = group * ratios * STARTS[middle] <= SMALL
            count = data["lost"][m, middle, g, use, level]
            low, high = wilson(count, int(data["seeds"]))
            share = count / data["seeds"]
            bars = [np.maximum(share - low, 0), np.maximum(high - share, 0)]
            ax.errorbar(
                ratios[use], share, yerr=bars, fmt="o", markersize=3, color=color, elinewidth=0.6, alpha=0.8
            )
        ax.plot(
            [],
            [],
            "-" if m == 0 else "--",
            color=color,
            marker="o",
            markersize=3,
            label=f"{name} (line: {'theory' if m == 0 else 'upper bound'})",
        )
    ax.set(xscale="log", yscale="log", ylim=(1e-3, 1.1), xlabel="η/G", ylabel="share of runs lost")
    ax.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    ax.minorticks_off()
    ax.legend(loc="lower right", fontsize=8)
    ax.set_title("All G on one curve, from π_ref(r*) = .03")


def _waiting(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    colors = (plot.CYCLE[0], plot.CYCLE[4], plot.CYCLE[1])
    for row, time, color in zip(tails(data), data["long/time"], colors, strict=True):
        known = np.sort(time)
        alive = 1 - np.arange(known.size) / known.size
        finite = np.isfinite(known) & (alive > 2 / known.size)
        ax.plot(known[finite], alive[finite], color=color, label=f"η/G = {row['ratio']:g}")
        end = known[finite][-1]
        line = np.geomspace(end / 40, end, 2)
        anchor = np.interp(np.sqrt(line[0] * line[1]), known[finite], alive[finite])
        ax.plot(line, 2 * anchor * (line / np.sqrt(line[0] * line[1])) ** -row["predicted"], ":", color=color)
        ax.text(
            line[1],
            2 * anchor * (line[1] / line[0]) ** (-row["predicted"] / 2),
            f"$t^{{-{row['predicted']:.2f}}}$",
            color=color,
            fontsize=8,
            va="bottom",
            ha="right",
        )
    ax.set(xscale="log", yscale="log", xlabel="time t = η · steps", ylabel="share with π(r*) < ½ still")
    ax.legend(loc="lower left", fontsize=8)
    ax.set_title("Lost is late: the wait has a heavy tail")


def _concentration(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    s, curves = times(data), data["diversity/curves"]
    for m, name in enumerate(NAMES):
        for g in range(curves.shape[1]):
            for k in range(2):
                ax.plot(s[m, g, k], curves[m, g, k], color=plot.color(name), linewidth=0.9, alpha=0.8)
        ax.plot([], [], color=plot.color(name), label=f"{name}, {2 * curves.shape[1]} pairs (η, G)")
    early = np.linspace(0, 12, 2)
    ax.plot(
        early,
        1 / PATTERNS + early * (PATTERNS - 1) / PATTERNS**3,
        color="black",
        linestyle=":",
        label="exact initial slope",
    )
    ax.set(xlim=(0, SPAN), ylim=(0, 1), xlabel="σ² η t / G", ylabel="concentration E[Σπ²]")
    ax.legend(loc="lower right", fontsize=8)
    ax.set_title("Noise alone ends diversity")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Loss by noise, its exponent, its boundary, what lost means; the drift of diversity and its one curve."""
    level, seeds = LEVELS.index(LOST), int(data["seeds"])
    lost = data["lost"][..., level]
    low, high = wilson(lost.max(), seeds)
    reinforce_fit, grpo_fit = (fit(data, name) for name in NAMES)
    return [
        Verdict(
            "Sampled training can lose a rare best pattern that expected training of the same cell always finds.",
            SOURCE,
            "expected: never below the start, ends above .99; sampled: some runs below 10⁻³",
            f"expected: least π(r*) at the end {data['mean_last'].min():.4f}; sampled: up to {lost.max() / seeds:.0%} "
            f"lost ({low:.0%} … {high:.0%}), {(wilson(lost, seeds)[0] > 0.01).sum()} of {lost.size} cells above 1 %",
            verdict(
                data["mean_last"].min() > 0.99
                and (data["mean_low"] >= 0.999 * data["starts"][:, None, None]).all()
                and low > 0.01
            ),
        ),
        Verdict(
            "REINFORCE loses it with probability exp(−(G/2η) ∫ y dx/(x(1−x))) where ηπ_ref(r*) is small.",
            OWN,
            "measured −log P = 1 × predicted",
            f"slope {reinforce_fit['kappa']:.3f} ± {reinforce_fit['kappa_error']:.3f}, prefactor "
            f"{reinforce_fit['prefactor']:.2f} ± {reinforce_fit['prefactor_error']:.2f}, "
            f"{reinforce_fit['cells']} cells",
            verdict(_near(reinforce_fit["kappa"], 1.0, reinforce_fit["kappa_error"])),
        ),
        Verdict(
            "For GRPO the same is an upper bound (Lundberg) with the right exponent.",
            OWN,
            "slope 1, prefactor at most 1",
            f"slope {grpo_fit['kappa']:.3f} ± {grpo_fit['kappa_error']:.3f}, prefactor {grpo_fit['prefactor']:.2f} ± "
            f"{grpo_fit['prefactor_error']:.2f}, {grpo_fit['cells']} cells; largest excess over the bound "
            f"{grpo_fit['excess']:.1f} standard errors",
            verdict(_near(grpo_fit["kappa"], 1.0, grpo_fit["kappa_error"]) and grpo_fit["excess"] < 3.5),
        ),
        *(_boundary_row(data, name) for name in NAMES),
        _definition_row(data),
        _tail_row(data),
        *_diversity_rows(data),
    ]


def _near(found: float, expected: float, error: float) -> bool:
    """Within a leading-order law's tolerance, up to the statistical error."""
    return bool(abs(found - expected) <= LEADING + SURE * error)


def _boundary_row(data: Mapping[str, np.ndarray], name: str) -> Verdict:
    rows = [boundary(data, name, i) for i in range(len(STARTS))]
    words = "; ".join(
        f"from {start:g}: α = {alpha:.2f} ± {error:.2f}, η_c/G {np.nanmin(found):.2f} … {np.nanmax(found):.2f} "
        f"(formula {data['exponent'][NAMES.index(name), i].min() / -math.log(RISK):.2f})"
        for i, (start, (found, alpha, error)) in enumerate(zip(STARTS, rows, strict=True))
        if np.isfinite(alpha)
    )
    rare = rows[0]
    known = [(alpha, error) for _, alpha, error in rows if np.isfinite(alpha)]
    all_near = bool(known) and all(
        _near(alpha, 1.0, error) and alpha - SURE * error > 0.5 for alpha, error in known
    )
    says = verdict(all_near)
    if not all_near and _near(rare[1], 1.0, rare[2]):
        says = (
            ONLY_IF + "ηπ_ref(r*) is small; beyond, a large group sees the pattern at every step and is safer"
        )
    return Verdict(
        f"{name}: the {RISK:.0%} boundary of the safe region is a function of η/G: η_c ∝ G^α with α = 1.",
        OWN,
        "α = 1 (a function of η/√G would give .5)",
        words,
        says,
    )


def _definition_row(data: Mapping[str, np.ndarray]) -> Verdict:
    seeds = data["long/lowest"].shape[1]
    cell = LONG["ratios"].index(0.8)
    lowest, last = data["long/lowest"][cell], data["long/last"][cell]
    ever = [int((lowest < math.log(level)).sum()) for level in LEVELS]
    still = [int((last < math.log(level)).sum()) for level in LEVELS]
    pair = ever[0], ever[LEVELS.index(LOST)]
    # The intervals of two thresholds' shares overlap if the threshold does not matter.
    apart = wilson(pair[1], seeds)[1] < wilson(pair[0], seeds)[0]
    back = wilson(still[LEVELS.index(LOST)], seeds)[1] < wilson(pair[1], seeds)[0]
    words = ", ".join(
        f"{level:g}: {e / seeds:.1%} ever, {s / seeds:.1%} at the end"
        for level, e, s in zip(LEVELS, ever, still, strict=True)
    )
    return Verdict(
        "How often the best pattern is lost does not depend on what counts as lost, and what is lost stays lost.",
        "the usual reading of collapse",
        "theory here: P ∝ ε^κ, and every run comes back in the end",
        f"REINFORCE, G = {LONG['group']}, η/G = .8, t up to {data['long/end'][cell]:.0f}, π(r*) below {words}",
        verdict(not apart and not back),
    )


def _tail_row(data: Mapping[str, np.ndarray]) -> Verdict:
    rows = tails(data)
    words = "; ".join(
        f"η/G = {r['ratio']:g}: {r['measured']:.2f} ± {r['error']:.2f} ({r['predicted']:.2f})" for r in rows
    )
    return Verdict(
        "The time until the best pattern leads has a tail t^{−yG/2η}, with infinite mean above η/G = y/2.",
        OWN,
        "exponents in brackets",
        words,
        verdict(
            all(
                abs(r["measured"] - r["predicted"]) <= LEADING * r["predicted"] + SURE * r["error"]
                for r in rows
            )
        ),
    )


def _diversity_rows(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    z = (data["diversity/slope"] - data["diversity/predicted"]) / data["diversity/slope_error"]
    found, error = halves(data)
    limit = (4 * found[..., 0] - found[..., 1]) / 3  # steps of size σ²η²/G and four times that, to zero
    limit_error = np.sqrt(16 * error[..., 0] ** 2 + error[..., 1] ** 2) / 3
    average = np.average(limit, weights=limit_error**-2)
    misfit = float(np.sum(((limit - average) / limit_error) ** 2))
    groups, rates = data["diversity/groups"], data["diversity/rates"]
    sigma = _noise(groups)
    ones = np.ones_like(found)
    wait = found * (groups / sigma)[..., None] / rates
    design = np.stack(
        [ones, np.log(rates), np.log(groups)[:, None] * ones, np.log(sigma)[..., None] * ones], axis=-1
    )
    design, weight = design.reshape(-1, 4), (found / error).ravel()
    inverse = np.linalg.inv((design * weight[:, None] ** 2).T @ design)
    powers = inverse @ (design * weight[:, None] ** 2).T @ np.log(wait).ravel()
    spread = np.sqrt(np.diag(inverse))
    expected = (-1.0, 1.0, -1.0)
    return [
        Verdict(
            "Among equally good patterns E[Σπ²] rises at first at the rate ½ η tr(HC), ∝ η/G.",
            SOURCE,
            "z-scores of the measured slope: standard normal",
            f"{z.size} z-scores, χ² = {np.sum(z**2):.1f}; uniform and skewed π, REINFORCE with baseline p and "
            f"GRPO; relative error {np.max(data['diversity/slope_error'] / data['diversity/predicted']):.1%}",
            verdict(np.sum(z**2) < _chi2_limit(z.size)),
        ),
        Verdict(
            "Diversity is lost on one curve in σ²ηt/G, whatever η, G and algorithm.",
            OWN,
            "one value of σ²ηt/G at which E[Σπ²] = ½, in the limit of small steps",
            f"{average:.2f}, from {limit.min():.2f} to {limit.max():.2f}; χ² = {misfit:.1f} of "
            f"{limit.size - 1} degrees of freedom",
            verdict(misfit < _chi2_limit(limit.size - 1)),
        ),
        Verdict(
            "The time that diversity lasts is ∝ G/(ησ²).",
            OWN,
            "powers of η, G, σ²: −1, 1, −1",
            ", ".join(f"{p:+.3f} ± {e:.3f}" for p, e in zip(powers[1:], spread[1:], strict=True))
            + f"; σ² of GRPO over REINFORCE with baseline p: {sigma[1, -1] / sigma[0, -1]:.1f}",
            verdict(all(_near(p, e, s) for p, e, s in zip(powers[1:], expected, spread[1:], strict=True))),
        ),
    ]


def _chi2_limit(degrees: int) -> float:
    """99 % quantile of χ² (Wilson and Hilferty's approximation)."""
    return degrees * (1 - 2 / (9 * degrees) + 2.326348 * math.sqrt(2 / (9 * degrees))) ** 3

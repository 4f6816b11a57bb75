"""How often does training stall, and what decides it?

Claims: Theorem 5.4 of Chen, Li, Zou (QRA-3, arXiv 2506.04695) ties the stall to Regime 2, some suboptimal
pattern being better than base accuracy; QRA-5 says that SFT removes it. The theory of this package gives,
for 10 patterns, a 90th percentile of about 1e12 and a 99th of about 4e25.

Random base models: π_ref uniform on the simplex (Dirichlet(1)), success rates iid U[0, 1], no selection. The
time is that of the expected policy-gradient flow to π(r*) = .99 at unit learning rate, exact on the orbit.
Given π_ref(r*), the proportions of the rest of a Dirichlet draw do not depend on it, so sorting problems by
π_ref(r*) is the same as mixing r* into the base model, which is what SFT on it does.

Controls: binomial 95 % intervals (Wilson) for shares, order-statistic intervals for quantiles. Predictors of
the stall are compared by AUC, the chance that one orders a stalled and an unstalled problem rightly (½ is
useless).
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from qra_jax import orbit, plot, theory
from qra_jax.batching import many
from qra_jax.problem import Problem, random
from qra_jax.studies.base import ONLY_IF, Verdict, verdict, wilson

TITLE = "Stall atlas: with 10 patterns one random base model in four stalls, and mass on the best one decides"
SOURCES = {
    "quantiles": "theory of this package, §2.3",
    "regime": "QRA-3; Chen, Li, Zou, arXiv 2506.04695, Thm 5.4",
    "sft": "QRA-5; Chen, Li, Zou, arXiv 2506.04695 v1",
}
SIZES, WIDTHS = (2, 3, 5, 10, 20, 50), (10, 10, 10, 10, 50, 50)
"""Numbers of patterns, and the size of the arrays they are padded to (one compilation for each size)."""
TARGET, LONG, ENDLESS = 0.99, 1e6, 1e12
MIDDLE = 10
BINS = np.geomspace(1e-3, 1, 13)


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Hitting times of random problems, and what might explain them."""
    data: dict[str, Any] = {}
    keys = jax.random.split(jax.random.key(seed), 1000 if quick else 20_000)
    drawn = jax.jit(jax.vmap(lambda key: random(key, max(SIZES))))(keys)
    for width in sorted(set(WIDTHS)):
        sizes = [n for n, padded in zip(SIZES, WIDTHS, strict=True) if padded == width]
        batch = [_first(drawn, n, width) for n in sizes]
        problems = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *batch)
        log_time = many(partial(orbit.log_hitting_time, target=TARGET))(problems)
        found = _traits(problems) | {"log_time": log_time}
        for key, values in found.items():
            data |= {f"{n}/{key}": part for n, part in zip(sizes, np.split(values, len(sizes)), strict=True)}
    return {name: np.asarray(value) for name, value in data.items()}


def _first(problems: Problem, n: int, width: int) -> Problem:
    """The same draws with their first n patterns only: again Dirichlet(1); the rest has no mass."""
    kept = jnp.arange(width) < n
    log_ref = jax.nn.log_softmax(jnp.where(kept, problems.log_ref[:, :width], -jnp.inf), axis=-1)
    return Problem(log_ref, jnp.where(kept, problems.success[:, :width], 0.0))


def _traits(problems: Problem) -> dict[str, np.ndarray]:
    """What could tell a stall beforehand."""

    def one(problem: Problem) -> dict[str, jax.Array]:
        regime = theory.regime(problem)
        mass, gap = problem.ref[problem.best], problem.success[problem.best] - problem.second_best
        return {
            "entangled": regime.entangled,
            "rivals": regime.rivals,
            "gamma": regime.gamma,
            "mass": mass,
            "mass_gap": mass * gap,
            "gap": gap,
            "accuracy": problem.accuracy_ref,
            "switches": orbit.dominance(problem).count,
        }

    return {name: np.asarray(values) for name, values in many(one)(problems).items()}


PREDICTORS = {
    "π_ref(r*) × (p* − p₂)": ("mass_gap", -1),
    "π_ref(r*)": ("mass", -1),
    "γ": ("gamma", 1),
    "leaders on the way": ("switches", 1),
    "p* − p₂": ("gap", -1),
    "number of rivals": ("rivals", 1),
    "regime": ("entangled", 1),
    "base accuracy": ("accuracy", -1),
}
"""What each predictor is called, its data, and the sign with which it should go with a stall."""


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Survival curves; stalled share against mass on the best pattern; what predicts a stall."""
    figure, (left, middle, right) = plot.new((9.6, 3.5), ncols=3, width_ratios=[1.25, 1, 0.8])
    colors = dict(zip(SIZES, plot.CYCLE, strict=False))
    share = {n: (data[f"{n}/log_time"] > np.log(LONG)).mean() for n in SIZES}
    for n in SIZES:
        log_time = np.sort(data[f"{n}/log_time"])
        alive = 1 - np.arange(len(log_time)) / len(log_time)
        left.plot(log_time / np.log(10), alive, color=colors[n], label=f"n = {n}")
        if share[n] > 0.02:
            left.plot(np.log10(LONG), share[n], "o", color=colors[n], markeredgecolor="white", zorder=3)
            left.text(np.log10(LONG) + 1, share[n], f"{share[n]:.0%}", color=colors[n], va="bottom")
    left.axvline(np.log10(LONG), color=plot.MUTED, linewidth=0.8, zorder=0)
    ticks = [0, 6, 12, 20, 30, 40, 50, 60]
    left.set_xticks(ticks, ["1", *(f"$10^{{{tick}}}$" for tick in ticks[1:])])
    left.set(xlim=(0, 62), ylim=(0, 1), xlabel="time t", ylabel="share with π(r*) < .99 at time t")
    left.legend(loc="upper right")
    left.set_title(
        f"{share[MIDDLE]:.0%} stall with n = {MIDDLE}, {share[SIZES[-1]]:.0%} with n = {SIZES[-1]}"
    )

    centre = np.sqrt(BINS[1:] * BINS[:-1])
    for n in SIZES[1:]:
        share, low, high, enough = _binned(data, n)
        middle.plot(centre[enough], share[enough], color=colors[n], marker="o")
        middle.fill_between(
            centre[enough], low[enough], high[enough], color=colors[n], alpha=0.15, linewidth=0
        )
    middle.set(xscale="log", xlim=(1e-3, 1), ylim=(-0.02, 1.02), xlabel="mass on the best pattern π_ref(r*)")
    middle.set_ylabel(f"share that stalls beyond {_power(LONG)}")
    middle.set_title("Mass on the best pattern decides")

    ranked = sorted((_auc(data, MIDDLE, name), name) for name in PREDICTORS)
    values, names = zip(*ranked, strict=True)
    shades = [plot.BEST if "r*" in name or name == "γ" else plot.MUTED for name in names]
    right.barh(names, np.subtract(values, 0.5), left=0.5, color=shades)
    for row, value in enumerate(values):
        right.text(value, row, f" {value:.2f}".replace("0.", "."), va="center", fontsize=8)
    right.set(xlim=(0.45, 1.05), xlabel=f"AUC for a stall, n = {MIDDLE}")
    right.set_xticks([0.5, 0.75, 1])
    right.tick_params(axis="y", length=0)
    right.set_title("The regime says little")
    return figure


def _power(value: float) -> str:
    return f"$10^{{{round(math.log10(value))}}}$"


def _binned(data: Mapping[str, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Share stalled by bin of π_ref(r*), its interval, and whether the bin holds at least 20 problems."""
    stalled = data[f"{n}/log_time"] > np.log(LONG)
    place = np.digitize(data[f"{n}/mass"], BINS) - 1
    total = np.array([(place == i).sum() for i in range(len(BINS) - 1)])
    count = np.array([stalled[place == i].sum() for i in range(len(BINS) - 1)])
    return count / np.maximum(total, 1), *wilson(count, np.maximum(total, 1)), total >= 20


def _quantile(values: np.ndarray, level: float) -> tuple[float, float, float]:
    """A quantile and its 95 % interval from order statistics (binomial ranks, normal approximation)."""
    values, total = np.sort(values), len(values)
    half = 1.959964 * math.sqrt(total * level * (1 - level))
    ranks = np.clip([math.floor(total * level - half), math.ceil(total * level + half)], 0, total - 1)
    return float(np.quantile(values, level)), float(values[ranks[0]]), float(values[ranks[1]])


def _auc(data: Mapping[str, np.ndarray], n: int, predictor: str) -> float:
    """Chance that a stalled problem ranks above one that does not stall, ties counting one half."""
    key, sign = PREDICTORS[predictor]
    stalled = data[f"{n}/log_time"] > np.log(LONG)
    values = sign * data[f"{n}/{key}"].astype(float)
    others = np.sort(values[~stalled])
    below = np.searchsorted(others, values[stalled], "left") + np.searchsorted(
        others, values[stalled], "right"
    )
    return float(below.mean() / 2 / len(others))


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Percentiles, shares by n, what the regime says, and what mass on the best pattern does."""
    log_time = data[f"{MIDDLE}/log_time"]
    rows = []
    for level, expected in ((0.9, 1e12), (0.99, 4e25)):
        found, low, high = (value / np.log(10) for value in _quantile(log_time, level))
        rows.append(
            Verdict(
                f"For {MIDDLE} patterns the {level * 100:.0f}th percentile of the time to π(r*) = .99 is "
                f"about {expected:.0e} (within a factor of 3).",
                SOURCES["quantiles"],
                f"10^{math.log10(expected):.1f}",
                f"10^{found:.2f}, 95 % interval 10^{low:.2f} … 10^{high:.2f}, {len(log_time)} problems",
                verdict(low - math.log10(3) <= math.log10(expected) <= high + math.log10(3)),
            )
        )
    for limit in (LONG, ENDLESS):
        times = [data[f"{n}/log_time"] for n in SIZES]
        shares = [(values > np.log(limit)).mean() for values in times]
        bounds = [wilson((values > np.log(limit)).sum(), values.size) for values in times]
        rows.append(
            Verdict(
                f"The more patterns, the more random base models stall beyond {limit:.0e}.",
                SOURCES["quantiles"],
                "share grows with n",
                "; ".join(
                    f"n = {n}: {share:.2%} ({low:.2%} … {high:.2%})"
                    for n, share, (low, high) in zip(SIZES, shares, bounds, strict=True)
                ),
                verdict((np.diff(shares) >= 0).all() and shares[-1] > shares[0]),
            )
        )
    stalled = {n: data[f"{n}/log_time"] > np.log(LONG) for n in SIZES}
    entangled = {n: data[f"{n}/entangled"].astype(bool) for n in SIZES}
    fast = sum((stalled[n] & ~entangled[n]).sum() for n in SIZES)
    free = sum((~entangled[n]).sum() for n in SIZES)
    slow, middle = stalled[MIDDLE][entangled[MIDDLE]].mean(), entangled[MIDDLE].mean()
    rows.append(
        Verdict(
            "Regime 2 is what stalls.",
            SOURCES["regime"],
            "Regime 2 stalls, Regime 1 does not",
            f"{fast} of {free} Regime 1 problems stall beyond 1e6; at "
            f"n = {MIDDLE} {middle:.1%} are in Regime 2 and {slow:.0%} of these stall; AUC of the regime "
            f"{_auc(data, MIDDLE, 'regime'):.2f}, of π_ref(r*) {_auc(data, MIDDLE, 'π_ref(r*)'):.2f}, of "
            f"π_ref(r*)(p* − p₂) {_auc(data, MIDDLE, 'π_ref(r*) × (p* − p₂)'):.2f}",
            _regime(int(fast), int(free), float(slow)),
        )
    )
    share, _, _, enough = _binned(data, MIDDLE)
    rare, common = share[enough][0], share[enough][-1]
    ends = BINS[:-1][enough][0], BINS[1:][enough][0], BINS[:-1][enough][-1], BINS[1:][enough][-1]
    rows.append(
        Verdict(
            f"More mass on the best pattern removes the stall ({MIDDLE} patterns).",
            SOURCES["sft"],
            "share that stalls falls to 0",
            f"{rare:.0%} at π_ref(r*) = {ends[0]:.2g} … {ends[1]:.2g}, {common:.1%} at {ends[2]:.2g} … "
            f"{ends[3]:.2g}; below 5 % from {_safe(data, MIDDLE):.2g} on",
            verdict(common < 0.01 < rare),
        )
    )
    return rows


def _safe(data: Mapping[str, np.ndarray], n: int) -> float:
    """Least π_ref(r*) from which on fewer than 5 % stall."""
    order = np.argsort(data[f"{n}/mass"])[::-1]
    stalled = (data[f"{n}/log_time"] > np.log(LONG))[order]
    share = np.convolve(stalled, np.full(50, 1 / 50), "valid")
    first = int(np.argmax(share >= 0.05))
    return float(data[f"{n}/mass"][order][first + 25])


def _regime(fast: int, free: int, slow: float) -> str:
    """From the stalls among the problems of Regime 1, and the share of Regime 2 that stalls."""
    if fast >= slow * free > 0 or slow == 0:
        return verdict(False)
    if slow > 0.95:
        return verdict(fast == 0)
    needed = "necessary" if fast == 0 else "not strictly necessary (near ties stall in Regime 1 too)"
    return ONLY_IF + f"r* has little mass as well: Regime 2 is {needed}, and far from sufficient"

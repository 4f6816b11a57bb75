"""How much supervised fine-tuning (SFT) should come before reinforcement learning, and on what data?

Claim QRA-5 (Chen, Li, Zou, arXiv 2506.04695 v1): SFT on "feasibly high-quality data" removes the slow,
entangled regime of RLVR. Made exact here: SFT on demonstrations whose patterns have shares μ ends at π = μ,
so RLVR after endless SFT is in the fast regime iff the data's accuracy Σ μ_r p_r reaches the second-best
success rate.

What matters in practice is the total T_sft + T_rlvr to π(r*) = .99, both at unit learning rate. It is
differentiable through the SFT flow and the exact orbit, so the best split solves d(total)/dT_sft = 0. Data
are a mixture of the model's own choices and demonstrations of r*, μ = (1 − x) π_ref + x e_{r*}; the threshold
is a share x₀ (theory.sft_mass_needed). It decides the regime, but not the stall: that comes from a best
pattern of tiny mass, and data far below the threshold lift it, too.

Control: random problems and mixtures of all qualities for the threshold; no SFT; finite differences.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import flow, orbit, plot, theory
from qra_jax.batching import many
from qra_jax.problem import Problem, examples, random
from qra_jax.studies.base import Verdict, verdict

TITLE = "SFT first: a little good data removes the stall, and the best amount is where a derivative vanishes"
SOURCE = "QRA-5; Chen, Li, Zou, arXiv 2506.04695 v1"
TARGET, BLOCK = 0.99, 64
PATTERNS, STALLED, STALL = 10, 90, 1e4
"""Random problems: patterns; percentile of the time without SFT from which they count as stalled; a stall."""
DATA = ("too poor: x = a tenth of x₀", "too poor: x = .8 x₀", "good enough: x = x₀ + .2 (1 − x₀)")
"""Data for the stalled problems; x₀ is the share of demonstrations that the threshold asks for."""
FOREVER, NEVER = 3e3, 1e-12
"""SFT times that stand for endless (the slowest mode decays at rate min μ ≥ .01) and for none."""


def total_time(problem: Problem, mu: jax.Array, sft_time: jax.Array, **options: Any) -> jax.Array:
    """Time of SFT plus the time that RLVR then needs to π(r*) = .99.

    Args:
      problem: the question.
      mu: `[patterns]`, shares of the patterns in the data.
      sft_time: T_sft > 0.
      **options: for `flow.sft`.

    Returns:
      T_sft + T_rlvr, differentiable in all arguments.
    """
    ts = jnp.stack([jnp.zeros_like(sft_time), sft_time])
    tuned = flow.sft(problem, mu, ts=ts, **options).log_policy[-1]
    return sft_time + jnp.exp(orbit.log_hitting_time(problem.with_ref(tuned), TARGET))


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Total time and derivative on a grid; best splits; threshold on random mixtures; stalled problems."""
    worked = examples.worked()
    times = np.logspace(-1, 2.5, 29 if quick else 57)
    shares = np.linspace(0.0, 0.9, 10 if quick else 37)

    def forward(time: jax.Array, share: jax.Array) -> tuple[jax.Array, jax.Array]:
        mu, mode = theory.demonstrations(worked, share), diffrax.ForwardMode()
        one = lambda time: total_time(worked, mu, time, adjoint=mode)  # noqa: E731
        return jax.jvp(one, (time,), (jnp.ones_like(time),))

    # Forward mode is the same derivative and compiles in half the time.
    backward = jax.value_and_grad(
        lambda time, share: total_time(worked, theory.demonstrations(worked, share), time)
    )
    total = many(forward if quick else backward, block=BLOCK, chunk=BLOCK)
    grid = np.meshgrid(times, shares)
    value, slope = (x.reshape(grid[0].shape) for x in total(grid[0].ravel(), grid[1].ravel()))
    best_time, best_total, best_slope = best_split(total, times, value, shares)
    without = total(np.array([NEVER]), np.zeros(1))[0][0]
    step, curve = 1e-3, int(np.argmin(np.abs(shares - 0.5)))
    ahead, behind = (total(times * (1 + s), np.full_like(times, shares[curve]))[0] for s in (step, -step))
    after, draws = many(_after, block=BLOCK, chunk=BLOCK), 256 if quick else 4096
    keys = jax.random.split(jax.random.key(seed), draws)
    problems = jax.jit(jax.vmap(partial(random, patterns=PATTERNS)))(keys)
    return {
        "times": times,
        "shares": shares,
        "quality": np.asarray((1 - shares) * worked.accuracy_ref + shares * worked.success.max()),
        "needed": np.asarray(worked.second_best),
        "total": value,
        "slope": slope,
        "without": np.asarray(without),
        "best_time": best_time,
        "best_total": best_total,
        "best_slope": best_slope,
        "curve": np.array(curve),
        "difference": (ahead - behind) / (2 * step * times),
        **_threshold(after, jax.tree.map(lambda leaf: leaf[: draws // 2], problems), seed),
        **_stalls(after, problems, 9 if quick else 25),
    }


def best_split(
    total: Callable[..., Any], times: np.ndarray, value: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The SFT times at which the derivative of the total vanishes, by bisection on that derivative.

    Args:
      total: `(times, shares) -> (totals, derivatives)`.
      times: `[times]`, a grid around the minima.
      value: `[shares, times]`, totals on the grid.
      shares: `[shares]`, x of the data.

    Returns:
      `[shares]` each: best SFT time, total, derivative; the first time of the grid where SFT only costs time.
    """
    lowest = value.argmin(axis=1)
    low, high = times[np.maximum(lowest - 1, 0)], times[np.minimum(lowest + 1, len(times) - 1)]
    for _ in range(30):
        middle = np.sqrt(low * high)
        rising = total(middle, shares)[1] > 0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    return high, *total(high, shares)


def _after(problem: Problem, mu: jax.Array, sft_time: jax.Array) -> tuple[jax.Array, jax.Array]:
    """After SFT for a time: log of the time that RLVR needs, and whether it starts entangled."""
    ts = jnp.stack([jnp.zeros_like(sft_time), sft_time])
    tuned = problem.with_ref(flow.sft(problem, mu, ts=ts).log_policy[-1])
    return orbit.log_hitting_time(tuned, TARGET), theory.regime(tuned).entangled


def _threshold(after: Callable[..., Any], problems: Problem, seed: int) -> dict[str, np.ndarray]:
    """Random problems, data of random patterns with more or less of r*: the margin, and the regime after."""
    rng, draws = np.random.default_rng(seed), len(problems.success)
    others, share = rng.dirichlet(np.ones(PATTERNS), draws), rng.random((draws, 1)) ** 0.25
    best = np.eye(PATTERNS)[np.asarray(problems.best)]
    mu = 0.9 * ((1 - share) * others + share * best) + 0.1 / PATTERNS
    margin = np.asarray(jax.jit(jax.vmap(theory.sft_quality))(problems, jnp.asarray(mu)))
    _, entangled = after(problems, mu, np.full(draws, FOREVER))
    return {"margin": margin, "entangled_after": entangled}


def _stalls(after: Callable[..., Any], problems: Problem, points: int) -> dict[str, np.ndarray]:
    """Times of the random problems without SFT, and of the stalled ones with SFT on each kind of `DATA`."""
    without, _ = after(problems, problems.ref, np.full(len(problems.success), NEVER))
    stalled = np.flatnonzero(without >= np.percentile(without, STALLED))
    problems = jax.tree.map(lambda leaf: leaf[stalled], problems)
    times = np.logspace(-0.5, 2.5, points)
    needed = jax.jit(jax.vmap(theory.sft_mass_needed))(problems)
    totals = []
    for share in (0.1 * needed, 0.8 * needed, needed + 0.2 * (1 - needed)):
        mu = np.asarray(jax.jit(jax.vmap(theory.demonstrations))(problems, share))
        repeated = jax.tree.map(lambda leaf: np.repeat(leaf, points, axis=0), (problems, mu))
        log_rlvr, _ = after(*repeated, np.tile(times, len(stalled)))
        totals.append(np.logaddexp(log_rlvr.reshape(-1, points), np.log(times)))
    return {
        "log_without": without,
        "stalled": stalled,
        "stalled_times": times,
        "stalled_log_total": np.array(totals),
    }


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Total time of the worked example, its map, its derivative, and the stalled random problems."""
    figure, axes = plot.new((8.6, 6.2), nrows=2, ncols=2)
    _curves(data, axes[0, 0])
    _map(data, axes[0, 1])
    _derivative(data, axes[1, 0])
    _stalled(data, axes[1, 1])
    return figure


def _shown(data: Mapping[str, np.ndarray]) -> list[int]:
    return [int(np.argmin(np.abs(data["shares"] - x))) for x in (0.1, 0.3, 0.5, 0.9)]


def _curves(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    shades = ["#A1D99B", "#41AB5D", "#006D2C", "#00441B"]
    for i, color in zip(_shown(data), shades, strict=True):
        ax.plot(
            data["times"],
            data["total"][i],
            color=color,
            label=f"data accuracy Σμp = {data['quality'][i]:.2f}",
        )
        if data["best_slope"][i] < 1e-3:
            best = data["best_time"][i], data["best_total"][i]
            ax.plot(*best, "o", color=color, markeredgecolor="black", markersize=6)
    without = float(data["without"])
    blue = plot.color("rlvr")
    ax.axhline(without, color=blue, linestyle="--", linewidth=1.2, label=f"RLVR alone: {without:.0f}")
    ticks = [150, 200, 300, 400, 500]
    ax.set(xscale="log", yscale="log", xlabel="SFT time", ylabel="total time to π(r*) = .99", ylim=(140, 560))
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.legend(loc="upper left", bbox_to_anchor=(0, 1.02))
    ax.set_title(f"Worked example: SFT first is up to {without / data['best_total'].min():.1f} × faster")


def _map(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    ratio = np.log10(data["without"] / data["total"])
    bound = np.abs(ratio).max()
    mesh = ax.pcolormesh(
        data["times"],
        data["quality"],
        ratio,
        cmap="PuOr",
        vmin=-bound,
        vmax=bound,
        shading="gouraud",
        rasterized=True,
    )
    ax.axhline(float(data["needed"]), color="black", linestyle="--", linewidth=1.2)
    ax.text(
        data["times"][0] * 1.1,
        float(data["needed"]) + 0.008,
        "threshold",
        fontsize=8,
    )
    inside = data["best_slope"] < 1e-3
    ax.plot(
        data["best_time"][inside], data["quality"][inside], "o-", color="black", markersize=3, linewidth=1
    )
    last = np.flatnonzero(inside)[-1] if inside.any() else 0
    ax.annotate(
        "best split",
        (data["best_time"][last], data["quality"][last]),
        (-8, -8),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    ax.set(xscale="log", xlabel="SFT time", ylabel="data accuracy Σμp")
    ax.figure.colorbar(mesh, ax=ax, label="log₁₀ of the speed-up")
    ax.set_title("It also pays below the threshold")


def _derivative(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    i, time = int(data["curve"]), data["times"]
    shown = time > 1
    ax.plot(
        time[shown],
        data["slope"][i][shown],
        color=plot.color("sft"),
        label="automatic, through SFT and orbit",
    )
    ax.plot(
        time[shown], data["difference"][shown], "o", color="black", markersize=3, label="finite differences"
    )
    ax.axhline(0, color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.axvline(data["best_time"][i], color=plot.MUTED, linewidth=1, zorder=0)
    ax.text(
        data["best_time"][i] * 1.05,
        0.97,
        f"best: {data['best_time'][i]:.1f}",
        transform=ax.get_xaxis_transform(),
        va="top",
        fontsize=8,
    )
    ax.set(
        xscale="log",
        xlabel=f"SFT time   (data accuracy {data['quality'][i]:.2f})",
        ylabel="d(total)/d(SFT time)",
    )
    ax.set_yscale("symlog", linthresh=1)
    ax.legend(loc="lower right")
    ax.set_title("The best split is where the derivative vanishes")


def _stalled(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    time, totals = data["stalled_times"], data["stalled_log_total"] / np.log(10)
    for total, label, color in zip(totals, DATA, (plot.RIVAL, "#41AB5D", "#00441B"), strict=True):
        low, middle, high = np.percentile(total, [10, 50, 90], axis=0)
        ax.fill_between(time, low, high, color=color, alpha=0.15, linewidth=0)
        ax.plot(time, middle, color=color, label=label)
    without = np.median(data["log_without"][data["stalled"]]) / np.log(10)
    ax.axhline(without, color=plot.color("rlvr"), linestyle="--", linewidth=1.2, label="RLVR alone (median)")
    ax.set(
        xscale="log", xlabel="SFT time", ylabel="log₁₀ of the total time", ylim=(0, 36), xlim=time[[0, -1]]
    )
    ax.legend(loc="upper right", title="median, 10–90 %", title_fontsize=8)
    ax.set_title("Stalled problems: even poor data help")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Threshold, stalls, best split of the worked example, derivative."""
    margin, entangled = data["margin"], data["entangled_after"].astype(bool)
    agree = (margin < 0) == entangled
    log_without = data["log_without"][data["stalled"]]
    lowest = data["stalled_log_total"].min(axis=2)
    tenth, near, enough = np.median(lowest, axis=1) / np.log(10)
    gain = np.median(log_without - lowest, axis=1) / np.log(10)
    removed = (lowest < np.log(STALL)).mean(axis=1)
    without, best = float(data["without"]), int(np.argmin(data["best_total"]))
    inside, below = data["best_slope"] < 1e-3, data["quality"] < data["needed"]
    just = int(np.argmax(~below))
    error = np.abs(data["slope"][data["curve"]] - data["difference"]) / (1 + np.abs(data["difference"]))
    flat = np.abs(data["best_slope"][inside]).max()
    found = (data["best_total"] <= data["total"].min(axis=1) * (1 + 1e-6)).all()
    split = data["best_time"][best], data["best_total"][best] - data["best_time"][best]
    return [
        Verdict(
            "RLVR after endless SFT starts in the fast regime iff Σ μ_r p_r reaches the second-best "
            "success rate.",
            SOURCE + ", made exact in this package",
            "regime = sign of the margin in every draw",
            f"{agree.sum()} of {agree.size} random problems and mixtures ({(margin < 0).sum()} below the "
            f"threshold; least distance from it {np.abs(margin).min():.0e})",
            verdict(agree.all() and (margin < 0).any() and (margin > 0).any()),
        ),
        Verdict(
            "SFT on data above the threshold removes the stall.",
            SOURCE,
            f"total at the best split below {STALL:.0e}",
            f"{log_without.size} random problems with {PATTERNS} patterns that stall (slowest "
            f"{100 - STALLED} %, median 10^{np.median(log_without) / np.log(10):.1f}): median total "
            f"10^{enough:.1f}, below {STALL:.0e} in {removed[2]:.0%}; median speed-up 10^{gain[2]:.1f}",
            verdict(removed[2] > 0.95),
        ),
        Verdict(
            "Data have to reach the threshold to remove the stall.",
            "the converse, as one may read " + SOURCE,
            f"total at the best split stays above {STALL:.0e} below the threshold",
            f"below {STALL:.0e} in {removed[1]:.0%} with .8 of the share x₀ that the threshold asks for "
            f"(median 10^{near:.1f}) and in {removed[0]:.0%} with a tenth of it (median 10^{tenth:.1f}); "
            f"worked example {without / data['best_total'][below].min():.2f} × faster with data below the "
            "threshold",
            verdict(removed[:2].max() < 0.05),
        ),
        Verdict(
            "Worked example: SFT first is faster than RLVR alone.",
            SOURCE,
            f"total below {without:.1f}",
            f"best split {split[0]:.1f} + {split[1]:.1f} = {sum(split):.1f} ({without / sum(split):.2f} ×) "
            f"with data accuracy {data['quality'][best]:.2f}; {data['best_total'][just]:.1f} at "
            f"{data['quality'][just]:.2f}",
            verdict(sum(split) < without),
        ),
        Verdict(
            "The automatic derivative of the total, through the SFT flow and the exact orbit, is right, and "
            "zero at the best split.",
            "theory of this package",
            "0 at the minima; equal to finite differences",
            f"largest {flat:.0e} at {inside.sum()} minima; finite differences off by at "
            f"most {error.max():.0e}",
            verdict(flat < 1e-4 and error.max() < 1e-2 and found),
        ),
    ]

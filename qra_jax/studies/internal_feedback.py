"""What happens when a model is trained on its own certainty?

Claim QRA-4 (Chen, Li, Zou, arXiv 2506.04695 v2, Theorem 5.6; two answers, β = 0, uniform base policy, success
rates U[0, 1], base model more right than wrong): as the number of patterns n grows, accuracy rises at first
with probability → 1, yet training ends in the *worst* pattern with probability ½; reported simulations at
n = 10³ and 10⁴ ended 48.7 % : 51.3 %. The shape was seen in language models (claim NFL-1, arXiv 2506.17219).

Read plainly (iid success rates, conditioned on ρ_ref > ½) the second half reproduces, the first does not. The
first move has the sign of a sample covariance of p and self-certainty R, and R is even about p = ½: its mean
is zero, and only its correlation with ρ_ref − ½ is left, P(rise) → ½ + arcsin(r)/π = .677. For success rates
~ Beta(a, b) the mean is (a − b)/(2(a + b)²): the rise is sure as n → ∞ iff a > b. But then the surest pattern
is a right one in the limit (min p ~ n^(−1/a) against 1 − max p ~ n^(−1/b)), so no fixed Beta(a, b) has both
halves. And under a uniform base policy the rise is small; a visible rise and fall needs an uneven one.

Control: RLVR on the same problems; the closed forms of the first move and of the end, against exact orbits.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import orbit, plot, theory
from qra_jax.batching import many
from qra_jax.problem import Problem, examples, stack
from qra_jax.reward import self_certainty, verifiable
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, Verdict, verdict
from qra_jax.trajectory import Status

TITLE = "Internal feedback: training on certainty ends in the worst pattern half the time"
SOURCE = "QRA-4; Chen, Li, Zou, arXiv 2506.04695 v2, Thm 5.6"
FAMILIES = (1.0, 1.05, 1.2, 2.0)
"""Success rates ~ Beta(a, 1); a = 1 is the plain reading."""
PATTERNS = 20
"""Patterns of the orbits that are followed to the end."""
BASES = ("uniform", "uneven")
"""Base policies of these orbits: the theorem's, and Dirichlet(1)."""
LAST = 200
"""The end of an orbit is read off at t = 10^LAST."""
AXIS = np.array([0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0])
"""Beta parameters of the phase diagram."""
Z95, Z999 = 1.959964, 3.290527
"""Half widths of 95 % intervals (drawn, quoted) and of 99.9 % ones (which verdicts use)."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Fates of many draws against n and against (a, b), from closed forms; some hundred orbits to the end."""
    rng = np.random.default_rng(seed)
    sizes = np.array([10, 32, 100, 316, 1000, 3162, 10_000])
    draws = 1000 if quick else 4000
    fates = np.array([[family_fates(rng, n, a, draws) for n in sizes] for a in FAMILIES])
    phase_patterns, phase_draws = (1000, 100) if quick else (3000, 400)
    phase = np.array([[fates_of(rng.beta(a, b, (phase_draws, phase_patterns))) for a in AXIS] for b in AXIS])

    count = 200 if quick else 2000
    log_ts = np.append(np.linspace(-3, 13, 81 if quick else 161), LAST) * np.log(10)

    def follow(problem: Problem) -> dict[str, Any]:
        peak = orbit.hit(problem, event="peak", reward=self_certainty())
        path = orbit.solve(problem, log_ts=log_ts, reward=self_certainty())
        return {
            "start": problem.accuracy_ref,
            "slope": theory.initial_slope(problem, reward=self_certainty()),
            "log_peak": peak.log_time,
            "peak": jnp.exp(peak.log_policy) @ problem.success,
            "peak_status": peak.status,
            "accuracy": path.accuracy,
            "status": path.status,
            "surest": problem.success[jnp.argmax(self_certainty().rates(problem))],
        }

    keys = jax.random.split(jax.random.key(seed), count)
    uniform = jax.jit(jax.vmap(partial(examples.internal_feedback, patterns=PATTERNS)))(keys)
    followed, bases = many(follow, block=32), (uniform, uneven(rng, count))
    data: dict[str, np.ndarray] = {}
    shown = []
    for name, problems in zip(BASES, bases, strict=True):
        found = followed(problems)
        data |= {f"{name}/{key}": value for key, value in found.items()}
        shown += [jax.tree.map(lambda leaf, i=i: leaf[i], problems) for i in typical(found)]
    rlvr = jax.jit(jax.vmap(lambda p: orbit.solve(p, log_ts=log_ts, reward=verifiable()).accuracy))
    return data | {
        "sizes": sizes,
        "draws": np.array(draws),
        "rise": fates[..., 0],
        "worst": fates[..., 1],
        "phase_patterns": np.array(phase_patterns),
        "phase_rise": phase[..., 0],
        "phase_worst": phase[..., 1],
        "log_time": log_ts,
        "rlvr": np.asarray(rlvr(stack(shown))),
        "limit": np.array(theory.rlif_rise_probability()),
    }


def uneven(rng: np.random.Generator, draws: int) -> Problem:
    """Stacked problems: Dirichlet(1) base policy, success rates U[0, 1], conditioned on ρ_ref > ½."""
    ref = rng.standard_exponential((4 * draws + 40, PATTERNS))
    ref /= ref.sum(axis=1, keepdims=True)
    success = rng.random(ref.shape)
    kept = np.flatnonzero((ref * success).sum(axis=1) > 0.5)[:draws]
    return Problem(jnp.log(ref[kept]), jnp.asarray(success[kept]))


def typical(orbits: Mapping[str, np.ndarray]) -> list[int]:
    """The rise and fall to show: that with the median gain of those that peak before t = 10⁵; its index."""
    humps = np.flatnonzero(_humps(orbits) & (orbits["log_peak"] < 5 * np.log(10)))
    gain = orbits["peak"][humps] - orbits["start"][humps]
    return [int(humps[np.argsort(gain)[len(gain) // 2]])] if len(humps) else [0]


def _humps(orbits: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which orbits rise to a peak inside and end in a pattern that is more wrong than right."""
    return (orbits["peak_status"] == Status.OK) & (orbits["surest"] < 0.5)


def fates_of(success: np.ndarray) -> np.ndarray:
    """Shares of draws whose accuracy rises at first, and whose surest pattern is wrong; uniform base policy.

    The first move is Σ π² (R − R̄)(p − ρ), the end argmax R = argmax |p − ½|.

    Args:
      success: `[draws, patterns]`, success rates in (0, 1).

    Returns:
      `[2]`, shares.
    """
    rates, centred = _certainty(success), success - success.mean(axis=1, keepdims=True)
    end = np.take_along_axis(success, rates.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.array([(np.einsum("ij,ij->i", rates, centred) > 0).mean(), (end < 0.5).mean()])


def family_fates(rng: np.random.Generator, patterns: int, a: float, draws: int) -> np.ndarray:
    """[`fates_of`][] for Beta(a, 1) success rates conditioned on ρ_ref > ½, in blocks of bounded memory."""
    block = max(1, 500_000 // patterns)
    kept, total = 0, np.zeros(2)
    while kept < draws:
        success = np.exp(-rng.standard_exponential((block, patterns)) / a)
        success = success[success.mean(axis=1) > 0.5][: draws - kept]
        if len(success):
            total += len(success) * fates_of(success)
            kept += len(success)
    return total / draws


def _certainty(success: np.ndarray) -> np.ndarray:
    return -0.5 * (np.log(success) + np.log1p(-success))


def wilson(share: Any, draws: int, z: float = Z95) -> tuple[Any, Any]:
    """Wilson interval of a binomial share.

    Args:
      share: `[...]`, in [0, 1].
      draws: number of draws.
      z: half width in standard deviations.

    Returns:
      Lower and upper ends.
    """
    z2 = z**2 / draws
    centre = (share + z2 / 2) / (1 + z2)
    half = np.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    return centre - half, centre + half


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Rise and fall, its size and time, the two probabilities against n, and the phase diagram."""
    figure, axes = plot.new((10.4, 6.2), nrows=2, ncols=3)
    _rise_and_fall(data, axes[0, 0])
    _stopping(data, axes[1, 0])
    shades = [plot.RIVAL, "#7FB3D5", "#2E86C1", "#1B4F72"]
    for key, ax in (("rise", axes[0, 1]), ("worst", axes[1, 1])):
        for a, share, color in zip(FAMILIES, data[key], shades, strict=True):
            low, high = wilson(share, int(data["draws"]))
            label = "U[0, 1] (plain reading)" if a == 1 else f"Beta({a:g}, 1)"
            ax.fill_between(data["sizes"], low, high, color=color, alpha=0.2, linewidth=0)
            ax.plot(data["sizes"], share, "o-", color=color, label=label)
        ax.set(xscale="log", xlabel="number of patterns n")
    rise, worst = axes[0, 1], axes[1, 1]
    rise.axhline(1, color="black", linestyle="--", linewidth=1)
    rise.text(10, 1.01, "reported limit: 1", va="bottom", fontsize=8)
    limit = float(data["limit"])
    rise.axhline(limit, color=plot.RIVAL, linestyle=":", linewidth=1)
    rise.text(1e4, limit - 0.03, f"limit {limit:.3f}", va="top", ha="right", fontsize=8, color=plot.RIVAL)
    rise.set(ylabel="P(accuracy rises at first)", ylim=(0.4, 1.06))
    rise.legend(loc="lower left")
    rise.set_title(f"U[0, 1]: {data['rise'][0, -1]:.0%} rise at first, not all")
    worst.axhline(0.5, color="black", linestyle="--", linewidth=1)
    worst.text(10, 0.51, "reported: ½", va="bottom", fontsize=8)
    worst.set(ylabel="P(ends in the worst pattern)", ylim=(-0.02, 0.6))
    worst.set_title("Half of them end in the worst")
    n = int(data["phase_patterns"])
    _phase(data["phase_rise"], axes[0, 2], f"P(rises at first), n = {n}")
    _phase(data["phase_worst"], axes[1, 2], f"P(ends in the worst), n = {n}")
    axes[0, 2].set_title("A sure rise needs a > b …")
    axes[1, 2].set_title("… where the worst end fades")
    return figure


def _rise_and_fall(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    time = np.exp(data["log_time"][:-1])
    for i, (name, color) in enumerate(zip(BASES, (plot.RIVAL, "#E69F00"), strict=True)):
        orbits = _of(data, name)
        (index,) = typical(orbits)
        ax.plot(time, orbits["accuracy"][index, :-1], color=color, label=f"RLIF, {name} base policy")
        ax.plot(time, data["rlvr"][i, :-1], "--", color=color, linewidth=1, label="the same by RLVR")
        peak = np.exp(orbits["log_peak"][index]), orbits["peak"][index]
        ax.plot(*peak, "o", color=color, markeredgecolor="black", markersize=6, zorder=5)
        ax.annotate("peak", peak, (0, 6), textcoords="offset points", fontsize=8, ha="center")
    ax.set(xscale="log", xlabel="time t", ylabel="accuracy ρ", ylim=(0, 1.05), xlim=(1e-1, 1e8))
    ax.legend(loc="lower left", fontsize=7.5)
    ax.set_title("A rise, then a fall, or just a fall")


def _stopping(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    medians = []
    for name, color in zip(BASES, (plot.RIVAL, "#E69F00"), strict=True):
        orbits = _of(data, name)
        hump = _humps(orbits)
        gain = (orbits["peak"] - orbits["start"])[hump]
        medians.append(np.median(gain))
        time = np.minimum(orbits["log_peak"][hump] / np.log(10), 16)
        ax.plot(
            time,
            gain,
            "o",
            color=color,
            markersize=3,
            alpha=0.7,
            markeredgewidth=0,
            label=f"{name} base",
            zorder=2 + (name == "uniform"),
        )
        ax.plot(np.median(time), medians[-1], "o", color=color, markeredgecolor="black", markersize=8)
    ax.set(xlabel="log₁₀ of the time of the peak (16: later)", ylabel="accuracy gained by then")
    ax.legend(loc="center right")
    gains = " or ".join(f"{gain:+.3f}" if abs(gain) < 0.01 else f"{gain:+.2f}" for gain in medians)
    ax.set_title(f"Peak above start: {gains}")


def _phase(share: np.ndarray, ax: Axes, label: str) -> None:
    mesh = ax.pcolormesh(
        AXIS, AXIS, share, vmin=0, vmax=1, cmap="cividis", shading="gouraud", rasterized=True
    )
    ax.plot(AXIS[[0, -1]], AXIS[[0, -1]], color="white", linestyle="--", linewidth=1.2)
    ax.text(1.62, 1.66, "a = b", color="white", rotation=45, ha="center", va="bottom", fontsize=8)
    ax.plot(1, 1, "o", color=plot.RIVAL, markeredgecolor="white", markersize=6)
    ax.annotate("U[0, 1]", (1, 1), (6, -10), textcoords="offset points", fontsize=8, color=plot.RIVAL)
    ax.set(xlabel="a   (success rates ~ Beta(a, b))", ylabel="b", aspect="equal")
    ax.figure.colorbar(mesh, ax=ax, label=label, shrink=0.85)


def _of(data: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The orbits of one base policy."""
    return {key.removeprefix(f"{name}/"): value for key, value in data.items() if key.startswith(f"{name}/")}


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Rise, end, both at once, where it rises for sure; orbits, and the size of rise and fall."""
    draws, sizes = int(data["draws"]), data["sizes"]
    rise, worst, limit = data["rise"], data["worst"], float(data["limit"])
    shown = [int(np.argmin(np.abs(sizes - n))) for n in (100, 1000, 10_000)]
    names = ", ".join(f"{sizes[i]}" for i in shown)
    numbers = lambda share: ", ".join(f"{share[i]:.3f}" for i in shown)  # noqa: E731
    interval = lambda share: "last 95 % interval {:.3f} … {:.3f}".format(*wilson(share[-1], draws))  # noqa: E731
    low, high = wilson(rise[:, -1], draws, Z999)
    worst_low, worst_high = wilson(worst[:, -1], draws, Z999)
    families = [f"Beta({a:g}, 1)" for a in FAMILIES]

    off = np.abs(AXIS[:, None] - AXIS[None, :]) > 0.15
    above = AXIS[None, :] > AXIS[:, None]
    sure = np.where(above, data["phase_rise"], 1 - data["phase_rise"])[off]
    sided = (sure > 0.5).all() and sure.mean() > 0.97
    both = (rise[:, -1] > 0.95) & (worst_low <= 0.5) & (worst_high >= 0.5)
    return [
        Verdict(
            "Plain reading (success rates iid U[0, 1], ρ_ref > ½): accuracy rises at first with "
            "probability → 1.",
            SOURCE + "; first half",
            "→ 1",
            f"{numbers(rise[0])} at n = {names} ({draws} draws each, {interval(rise[0])})",
            _plain_reading(low, high, sided),
        ),
        Verdict(
            "Plain reading: training ends in the worst pattern with probability ½.",
            SOURCE + "; second half, reported 48.7 % : 51.3 %",
            "½",
            f"{numbers(worst[0])} at n = {names} ({interval(worst[0])})",
            verdict(worst_low[0] <= 0.5 <= worst_high[0]),
        ),
        Verdict(
            "Plain reading: P(initial rise) → ½ + arcsin(r)/π.",
            "derived here, by the central limit theorem",
            f"{limit:.4f}",
            f"{rise[0, -1]:.4f} at n = {sizes[-1]} ({interval(rise[0])})",
            verdict(low[0] <= limit <= high[0]),
        ),
        Verdict(
            "For success rates ~ Beta(a, b) the initial rise is sure as n → ∞ iff a > b.",
            "theory of this package: Cov(p, R) = (a − b)/(2(a + b)²)",
            "the first move has the sign of a − b in every draw",
            f"in {sure.mean():.4f} of the draws ({sure.min():.2f} at the worst (a, b)) where |a − b| > .15, "
            f"at n = {data['phase_patterns']}",
            verdict(sided),
        ),
        Verdict(
            "A sure rise and an even chance of the worst end go together.",
            SOURCE + "; both halves",
            "P(rise) → 1 and P(worst) = ½ for the same success rates",
            "; ".join(
                f"{name}: {r:.4f}, {w:.3f}"
                for name, r, w in zip(families, rise[:, -1], worst[:, -1], strict=True)
            )
            + f" at n = {sizes[-1]}",
            verdict(both.any()),
        ),
        _orbit_verdict(data),
        _size_verdict(data),
    ]


def _plain_reading(low: np.ndarray, high: np.ndarray, sided: Any) -> str:
    """Verdict on P(rise) → 1: refuted for U[0, 1] (first family), perhaps true of success rates that lean."""
    if low[0] > 0.99:
        return HOLDS
    if high[0] < 0.99 and sided and high[-1] > 0.99:
        return f"{ONLY_IF}the success rates lean to the right: ~ Beta(a, b) with a > b, not U[0, 1]"
    return FAILS


def _orbit_verdict(data: Mapping[str, np.ndarray]) -> Verdict:
    agree, ends, peaks, solved, count = [], [], [], [], 0
    for name in BASES:
        orbits = _of(data, name)
        start, accuracy = orbits["start"], orbits["accuracy"]
        agree.append((np.sign(accuracy[:, 0] - start) == np.sign(orbits["slope"])).mean())
        ends.append(np.abs(accuracy[:, -1] - orbits["surest"]).max())
        peaks.append((np.maximum(accuracy.max(axis=1), start) - orbits["peak"]).max())
        solved.append((orbits["status"] == Status.OK).all())
        count += len(start)
    fall = -np.diff(data["rlvr"], axis=1).min()
    return Verdict(
        "First move, end and peak of the exact orbits are those of the closed forms; RLVR never falls.",
        "theory of this package",
        "first move: the sign of Σ π²(R − R̄)(p − ρ); end: p of the surest pattern; no point above the peak",
        f"sign right in {min(agree):.1%} of {count} orbits (n = {PATTERNS}); end off by at most "
        f"{max(ends):.0e}; highest point above the peak {max(peaks):.0e}; deepest step down of "
        f"RLVR {max(fall, 0):.0e}",
        verdict(
            min(agree) > 0.99 and max(ends) < 1e-6 and max(peaks) < 1e-6 and fall < 1e-12 and all(solved)
        ),
    )


def _size_verdict(data: Mapping[str, np.ndarray]) -> Verdict:
    words, medians = [], []
    for name in BASES:
        orbits = _of(data, name)
        worst, hump = orbits["surest"] < 0.5, _humps(orbits)
        gain, loss = (orbits["peak"] - orbits["start"])[hump], (orbits["surest"] - orbits["start"])[hump]
        times = np.percentile(orbits["log_peak"][hump] / np.log(10), [10, 50, 90])
        all_peak = (orbits["peak"] - orbits["start"]).mean()
        all_end = (orbits["surest"] - orbits["start"]).mean()
        medians.append(float(np.median(gain)))
        words.append(
            f"{name} base: {hump.sum()} of {worst.sum()} orbits to a wrong pattern have a peak, at "
            f"t = 10^{times[1]:.1f} (80 % in 10^{times[0]:.1f} … 10^{times[2]:.1f}), gain {medians[-1]:+.3f} "
            f"(at most {gain.max():+.3f}), at the end {np.median(loss):+.2f}; all orbits {all_peak:+.2f} at "
            f"the peak, {all_end:+.2f} at the end"
        )
    visible = [median > 0.02 for median in medians]
    return Verdict(
        "Accuracy rises visibly to a peak, then falls below its start; stopping at the peak keeps the gain.",
        "NFL-1, Zhang et al., arXiv 2506.17219 (.524/.583/.454 on MATH500), for its shape",
        "median gain at the peak above .02",
        "; ".join(words),
        f"{ONLY_IF}the base policy is uneven (Dirichlet(1), not uniform)"
        if visible == [False, True]
        else verdict(all(visible)),
    )

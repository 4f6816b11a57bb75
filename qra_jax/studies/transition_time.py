r"""How long is the stall when one wrong favourite stands in the way?

Claim QRA-3 (Chen, Li, Zou, arXiv 2506.04695, Thm 5.4): in Regime 2 the time T_0 until accuracy exceeds p(r')
is super-exponential in γ = Σ_{r≠r'} π_ref(r)/π_ref(r*); the bound has the form γ^(Cγ), C being left
open. The family is that of the paper's worked case (γ = 6): success rates (.9, .6, .1, .1, …), and the
poor patterns share a quarter of the mass.

Controls: the number n of patterns fixed, n growing with γ, and both n growing and the gap p* − p' closing.
Exact T_0 stands beside the leading-order estimate, the reported shape, and a bound that holds for any problem
with one rival. Write w = 1/π up to the common factor that conserves Σ log w, so that dw_r/dτ = ρ − p_r. Until
T_0 the rival's w falls, r*'s falls, and that of a poor pattern rises by less than (p' − p_s)τ. Therefore
T_0 comes before τ = 1/(π* (p* − p')), and

    T_0 ≤ [π' Π_s (1 + (p' − p_s)/(p* − p') π_s/π*) + a/(p* − p') + 1] / (π* (p* − p')),

a = Σ π_s (p' − p_s), s over the poor patterns. The product is at most γ^(n−2) up to a constant, and for any n
at most e^(Cγ), C = (p' − min p)/(p* − p').
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import orbit, plot, theory
from qra_jax.batching import many
from qra_jax.problem import Problem, examples, random
from qra_jax.studies.base import ONLY_IF, Verdict, verdict

TITLE = "Transition time: a power of γ for n patterns, exponential in γ for any number of them"
SOURCE = "QRA-3; Chen, Li, Zou, arXiv 2506.04695, Thm 5.4"
FIXED = (3, 5, 10)
GROWING = {"n = γ − 1": 100, "n = 3γ": 68, "n = γ − 1, closing gap": 40}
"""Families with n growing: label, and the largest γ."""
WORKED = ((6.0, 3, 0.25), (101.0, 3, 0.2), (201.0, 3, 0.2), (101.0, 100, 0.2))
"""γ, n and the mass of the poor patterns: the worked case, and three of its kind."""
EXPECTED = (42.683, 1.86e4, 7.42e4, 5e41)
"""Their T_0 by high-accuracy solves made for this project."""
TOP = 1e40
RATE = (0.6 - 0.1) / (0.9 - 0.6)
"""C = (p' − min p)/(p* − p') of the families with fixed success rates."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Exact and estimated T_0 on the families, the worked cases and random problems with one rival."""
    points = 12 if quick else 40
    fixed = {n: np.geomspace(3, TOP ** (1 / (n - 1)), points) for n in FIXED}
    growing = {name: np.arange(4.0, top + 1, 4 if quick else 2) for name, top in GROWING.items()}
    small = [examples.entangled(gamma, n) for n in FIXED for gamma in fixed[n]]
    large = [_growing(name, gamma) for name, gammas in growing.items() for gamma in gammas]
    large += [examples.entangled(gamma, n, other=other) for gamma, n, other in WORKED]
    drawn = _one_rival(seed, 400 if quick else 4000)
    small_times = _times(_stack([*small, *drawn]))
    large_times = _times(_stack(large))
    data: dict[str, Any] = {}
    for key in small_times:
        split = np.split(small_times[key], np.cumsum([points] * len(FIXED)))
        data |= {f"fixed{n}/{key}": part for n, part in zip(FIXED, split[:-1], strict=True)}
        data[f"random/{key}"] = split[-1]
        split = np.split(large_times[key], np.cumsum([len(gammas) for gammas in growing.values()]))
        data |= {f"{name}/{key}": part for name, part in zip(growing, split[:-1], strict=True)}
        data[f"worked/{key}"] = split[-1]
    data |= {f"fixed{n}/gamma": gammas for n, gammas in fixed.items()}
    data |= {f"{name}/gamma": gammas for name, gammas in growing.items()}
    return {name: np.asarray(value) for name, value in data.items()}


def _growing(name: str, gamma: float) -> Problem:
    """A member of a family in which n grows with γ; a closing gap is p* − p' = 1.8/γ (.3 at γ = 6)."""
    patterns = round(3 * gamma) if "3γ" in name else round(gamma - 1)
    problem = examples.entangled(gamma, patterns)
    if "gap" not in name:
        return problem
    return Problem(problem.log_ref, problem.success.at[1].set(0.9 - 1.8 / max(gamma, 6.0)))


def _one_rival(seed: int, draws: int) -> list[Problem]:
    """Random problems of 3 to 10 patterns with exactly one suboptimal pattern above base accuracy."""
    keys = jax.random.split(jax.random.key(seed), draws)
    batch = jax.vmap(lambda key: random(key, max(FIXED)))(keys)
    sizes = np.random.default_rng(seed).integers(3, max(FIXED) + 1, draws)
    problems = []
    for log_ref, success, n in zip(np.asarray(batch.log_ref), np.asarray(batch.success), sizes, strict=True):
        log_ref, success = log_ref[:n] - np.logaddexp.reduce(log_ref[:n]), success[:n]
        if (success > (np.exp(log_ref) * success).sum()).sum() == 2:
            problems.append(Problem(jnp.asarray(log_ref), jnp.asarray(success)))
    return problems


def _stack(problems: Sequence[Problem]) -> Problem:
    """Problems of different sizes as one batch: what is missing are hopeless patterns without mass."""
    size = max(problem.patterns for problem in problems)
    pad = lambda values, fill: np.pad(values, (0, size - len(values)), constant_values=fill)  # noqa: E731
    return Problem(
        jnp.stack([pad(np.asarray(problem.log_ref), -np.inf) for problem in problems]),
        jnp.stack([pad(np.asarray(problem.success), 0.0) for problem in problems]),
    )


def _times(problems: Problem) -> dict[str, np.ndarray]:
    """log T_0: exact, estimated, and from above."""

    def one(problem: Problem) -> dict[str, jax.Array]:
        return {
            "exact": orbit.log_transition_time(problem),
            "estimate": theory.transition_time_estimate(problem),
            "bound": theory.one_rival_bound(problem),
        }

    return {name: np.asarray(values) for name, values in many(one, block=16)(problems).items()}


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Fixed n on log-log axes, where powers are straight; growing n on a log axis, where exponentials are."""
    figure, (left, right) = plot.new((7.6, 3.7), ncols=2)
    colors = dict(zip([*FIXED, *GROWING], [*plot.CYCLE[:3], *plot.CYCLE[3:6]], strict=True))
    for n in FIXED:
        gamma, slope = data[f"fixed{n}/gamma"], _slope(data, n)
        _curve(left, gamma, data, f"fixed{n}", colors[n])
        end = gamma[-1], np.exp(data[f"fixed{n}/exact"][-1])
        text = f"n = {n}\nslope {slope:.2f}"
        left.annotate(
            text,
            end,
            (0, 4),
            textcoords="offset points",
            color=colors[n],
            fontsize=8,
            ha="center",
            va="bottom",
        )
    constant, wide = _constant(data), np.linspace(2, 110, 200)
    left.set(xscale="log", xlim=(2, 1e22), ylabel="transition time T₀   (lines: exact, dots: estimate)")
    left.set_title("n patterns: a power law, γⁿ⁻¹")

    places = [(101, 1e41, "right"), (68, 1e38, "left"), (41, 1e44, "left")]
    for (name, top), (x, y, side) in zip(GROWING.items(), places, strict=True):
        _curve(right, data[f"{name}/gamma"], data, name, colors[name])
        text = "n = γ − 1,\np* − p′ = 1.8/γ" if "gap" in name else name
        right.text(x, y, text, color=colors[name], fontsize=8, ha=side, va="top" if top == 40 else "bottom")
    n = FIXED[-1]
    log_time = np.interp(np.log(wide), np.log(data[f"fixed{n}/gamma"]), data[f"fixed{n}/exact"], left=np.nan)
    right.plot(wide, np.exp(log_time), color=colors[n])
    right.text(105, 3e12, f"n = {n}", color=colors[n], fontsize=8, ha="right", va="bottom")
    right.plot([2, 48], np.exp([2 * RATE, 48 * RATE]), color=plot.MUTED, linewidth=1.2, linestyle=":")
    right.text(48, 1e35, " e$^{5γ/3}$", fontsize=8, color="#777777")
    right.text(25, 1e44, f"reported\nshape γ$^{{Cγ}}$\nC = {constant:.2f}", fontsize=8, va="top", ha="right")
    right.set(xlim=(0, 115))
    right.set_title("Many patterns: at most exponential\nunless the gap p* − p′ closes")
    left.text(30, 1e43, "reported shape", fontsize=8, va="top", ha="left")
    for ax in (left, right):
        ax.plot(wide, _power(wide, constant), color="black", linestyle="--", linewidth=1.2)
        ax.set(xlabel="γ", yscale="log", ylim=(1, 1e47))
        ax.set_yticks(10.0 ** np.arange(0, 41, 10))
        ax.minorticks_off()
    return figure


def _curve(ax: Axes, gamma: np.ndarray, data: Mapping[str, np.ndarray], name: str, color: str) -> None:
    ax.plot(gamma, np.exp(data[f"{name}/exact"]), color=color)
    ax.plot(gamma, np.exp(data[f"{name}/estimate"]), "o", color=color, markersize=3, markeredgecolor="white")


def _power(gamma: np.ndarray, constant: float) -> np.ndarray:
    return np.exp(np.minimum(_log_power(gamma, constant), 120))


def _log_power(gamma: np.ndarray, constant: float = 1.0) -> np.ndarray:
    """Log of γ^(Cγ)."""
    return np.asarray(jax.vmap(lambda one: theory.transition_time_bound(one, constant))(jnp.asarray(gamma)))


def _slope(data: Mapping[str, np.ndarray], n: int) -> float:
    """Exponent of T₀ in γ on the upper half of the curve."""
    half = slice(len(data[f"fixed{n}/gamma"]) // 2, None)
    return float(np.polyfit(np.log(data[f"fixed{n}/gamma"][half]), data[f"fixed{n}/exact"][half], 1)[0])


def _constant(data: Mapping[str, np.ndarray]) -> float:
    """Smallest C for which γ^(Cγ) is above every exact T₀ with fixed success rates."""
    names = [*(f"fixed{n}" for n in FIXED), *(name for name in GROWING if "gap" not in name)]
    ratio = [data[f"{name}/exact"] / _log_power(data[f"{name}/gamma"]) for name in names]
    return float(np.concatenate(ratio).max())


def _rates(data: Mapping[str, np.ndarray], name: str) -> tuple[float, float]:
    """Growth rate d log T₀/dγ at half the largest γ and at the largest."""
    gamma, log_time = data[f"{name}/gamma"], data[f"{name}/exact"]
    rate, middle = np.diff(log_time) / np.diff(gamma), (gamma[1:] + gamma[:-1]) / 2
    return float(np.interp(gamma[-1] / 2, middle, rate)), float(rate[-1])


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Worked cases, growth at fixed and at growing n, the reported shape, and the bound for one rival."""
    worked = np.exp(data["worked/exact"])
    slopes = {n: _slope(data, n) for n in FIXED}
    rates = {name: _rates(data, name) for name in (f"fixed{FIXED[-1]}", *GROWING)}
    growth = [late / early for early, late in rates.values()]
    constant, ceiling = _constant(data), max(rates["n = 3γ"])
    late = [data[f"{name}/exact"][-1] / _log_power(data[f"{name}/gamma"])[-1] for name in GROWING]
    slack = np.concatenate(
        [value - data[key[:-5] + "exact"] for key, value in data.items() if "/bound" in key]
    )
    errors = np.concatenate(
        [
            data[key[:-5] + "estimate"] - value
            for key, value in data.items()
            if "/exact" in key and "random" not in key
        ]
    )
    long = np.concatenate([value for key, value in data.items() if "/exact" in key and "random" not in key])
    off = np.exp(np.abs(errors[long > np.log(1e4)]).max())
    return [
        Verdict(
            "T₀ in the worked case γ = 6; with mass .2 on the poor patterns at γ = 101, 201 (n = 3) and, in "
            "order of magnitude, at γ = 101 (n = 100).",
            f"{SOURCE}; theory of this package",
            "T₀ = " + ", ".join(f"{value:.5g}" for value in EXPECTED),
            ", ".join(f"{value:.5g}" for value in worked),
            verdict((np.abs(np.log(worked / EXPECTED)) < [2e-5, 3e-3, 1e-3, np.log(2)]).all()),
        ),
        Verdict(
            "With n patterns T₀ grows like the power γⁿ⁻¹.",
            "theory of this package",
            ", ".join(f"n = {n}: {n - 1}" for n in FIXED),
            ", ".join(f"n = {n}: {slope:.3f}" for n, slope in slopes.items())
            + " (slope, upper half of 1e0 … 1e40)",
            verdict(all(abs(slope / (n - 1) - 1) < 0.01 for n, slope in slopes.items())),
        ),
        Verdict(
            "T₀ grows super-exponentially in γ.",
            SOURCE,
            "d log T₀/dγ keeps growing",
            "d log T₀/dγ at γ_max/2 and γ_max: "
            + "; ".join(
                f"{name.replace('fixed', 'n = ')}: {a:.2g}, {b:.2g}" for name, (a, b) in rates.items()
            ),
            _super_exponential(growth),
        ),
        Verdict(
            "T₀ is at most γ^(Cγ).",
            SOURCE,
            "some C, not given",
            f"C = {constant:.2f} is enough at fixed success rates, from γ = 3; at the largest γ it takes "
            + ", ".join(f"{value:.2f} ({name})" for name, value in zip(GROWING, late, strict=True)),
            verdict(constant < 2 and late[0] < constant and late[1] < constant),
        ),
        Verdict(
            "With one rival, T₀ is at most exponential in γ at fixed success rates, for any number of "
            "patterns: below a product that is itself below e^(Cγ), C = (p' − min p)/(p* − p').",
            "derived in this study",
            f"bound above exact T₀ in every problem; d log T₀/dγ below C = {RATE:.2f}",
            f"smallest log(bound/T₀) = {slack.min():.2f} in {slack.size} problems (families, random); "
            f"largest rate {ceiling:.2f} (n = 3γ)",
            verdict((slack > 0).all() and ceiling < RATE),
        ),
        Verdict(
            "The leading-order estimate gives T₀ within a factor of 2 where T₀ > 1e4.",
            "theory of this package",
            "factor below 2",
            f"{off:.2f}",
            verdict(off < 2),
        ),
    ]


def _super_exponential(growth: Sequence[float]) -> str:
    """The growth of the rate over the last doubling of γ: fixed n, two kinds of growing n, closing gap."""
    fixed, *growing, closing = (rate > 1.1 for rate in growth)
    if fixed or not (any(growing) or closing):
        return verdict(fixed)
    if any(growing):
        return ONLY_IF + "n grows with γ"
    return (
        ONLY_IF
        + "n grows with γ and the gap p* − p' closes as well: at fixed success rates T₀ is a power of γ "
        "for fixed n, an exponential for growing n"
    )

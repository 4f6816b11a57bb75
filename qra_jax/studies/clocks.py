r"""Do ten algorithms learn different things, or the same thing at different speeds?

Claims: "GRPO is filtered SFT in disguise" (RINO-1, RINO-2; Samineni et al., arXiv 2505.13697), here an
identity: on-policy, tabular and in expectation every algorithm of the table in this package's theory moves
along one orbit, dθ/dt = c(ρ) π ⊙ (p − ρ), and only its clock c(ρ) is its own. The clocks then decide how
training leaves ρ = 0 (cold start) and how it approaches ρ = 1 (tail); a finite group changes both where ρ or
1 − ρ is below 1/G.

Controls: the direction of every algorithm's mean gradient from its weights alone, by listing all groups of
four rollouts; an ODE solver for the flows; the first-integral test

    [(w_i − w_j) − (u_i − u_j)] / [(w_i − w_k) − (u_i − u_k)] = (R_i − R_j)/(R_i − R_k),  w = g/π, Π w = Π u,

which knows no clock, and which the natural gradient, on another orbit, has to fail. Exponents are those of
two patterns with success rates (1, 0).
"""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import flow, orbit, plot, theory
from qra_jax.algorithm import (
    Algorithm,
    by_clock,
    dr_grpo,
    filtered_sft,
    grpo,
    pass_at_k,
    reinforce,
    rloo,
    switch,
    tsallis,
)
from qra_jax.problem import Problem
from qra_jax.studies.base import ONLY_IF, Verdict, verdict

TITLE = "Clocks: ten algorithms share one orbit and differ in speed only"
SOURCES = {
    "same": "RINO-1, RINO-2; Samineni et al., arXiv 2505.13697 (GSM8K 1.5B: GRPO 78.2, filtered ± 76.4)",
    "theory": "theory of this package, §2.2",
    "ends": "theory of this package, §2.4",
}
REF, SUCCESS = np.array([0.12, 0.33, 0.55]), np.array([0.9, 0.6, 0.1])
TEN: dict[str, Algorithm] = {
    "REINFORCE": reinforce(),
    "RLOO": rloo(8),
    "Dr.GRPO": dr_grpo(8),
    "GRPO, G = 8": grpo(8),
    "GRPO, G → ∞": grpo(),
    "dynamic sampling, G = 8": grpo(8, resample_silent=True),
    "filtered SFT±": filtered_sft("both"),
    "filtered SFT (per accepted)": filtered_sft(per="accepted"),
    "pass@4": pass_at_k(4),
    "Tsallis, q = ½": tsallis(0.5),
}
GROUPS = (8, 64, 512)
ENDS = TEN | {f"GRPO, G = {size}": grpo(size) for size in GROUPS}
NATURAL = {"natural gradient": reinforce(), "natural gradient ÷ std": grpo()}
FOUR = [
    *(
        reinforce(0.3),
        rloo(4),
        dr_grpo(4),
        grpo(4),
        grpo(4, resample_silent=True),
        filtered_sft("positive"),
        filtered_sft("negative"),
    ),
    *(filtered_sft("both"), filtered_sft(per="accepted", group_size=4), pass_at_k(2, 4), tsallis(0.5, 4)),
]
"""Algorithms at G = 4 for the exact mean over all groups."""
RATIOS = {8: 0.26, 16: 0.37, 64: 0.67}
"""Drift of GRPO at ρ = .01 as a share of its mean field."""
COLD = np.geomspace(1e-8, 1e-1, 43)
END = np.pi / 2
"""When the natural gradient ÷ std, started at ρ = ½, reaches ρ = 1."""
TAIL = np.geomspace(1e-1, 1e24, 151)
SHOWN = ("pass@4", "REINFORCE", "GRPO, G = 8", "GRPO, G → ∞", "dynamic sampling, G = 8", "natural gradient")
"""Algorithms whose tail is drawn."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Orbit and flows of the ten; the ends of training; exact mean gradients."""
    problem = Problem.from_probs(ref=REF, success=SUCCESS)
    ts, ten, which = (
        np.geomspace(0.05, 1e4, 201 if quick else 801),
        partial(switch, members=[by_clock(algorithm) for algorithm in TEN.values()]),
        np.arange(len(TEN)),
    )
    paths = jax.jit(jax.vmap(lambda i: orbit.solve(problem, ts, algorithm=ten(i))))(which)
    flow_ts = _spread(ts, np.asarray(paths.policy), 4)
    flows = jax.jit(jax.vmap(lambda i, t: flow.solve(problem, ts=t, algorithm=ten(i))))(which, flow_ts)
    log_policy = np.asarray(flows.log_policy)
    rise = np.linspace(0, 20, 201)[:, None] * SUCCESS
    natural = np.log(REF) + rise - np.log(np.sum(REF * np.exp(rise), axis=1, keepdims=True))
    reached = np.concatenate([log_policy.reshape(-1, 3), natural[1:]])
    shown = np.concatenate([np.linspace(0, 30, 300), np.geomspace(31, 1e4, 100)])
    taus = np.concatenate([shown, np.maximum(theory.orbit_time(problem, jnp.asarray(reached)), 0)])
    on_orbit = np.exp(jax.jit(jax.vmap(lambda tau: orbit.policy(problem, tau)))(taus))
    distance = np.abs(on_orbit[len(shown) :] - np.exp(reached)).max(axis=1)
    integral, others = np.asarray(theory.first_integral(problem, jnp.asarray(reached))), len(natural) - 1
    data: dict[str, Any] = {
        "time": ts,
        "accuracy": paths.accuracy,
        "status": np.concatenate([paths.status, flows.status]),
        "curve": on_orbit[: len(shown)],
        "flow": np.exp(log_policy),
        "distance": distance[:-others],
        "integral": integral[:-others],
        "natural": np.exp(natural),
        "natural_distance": distance[-others:],
        "natural_integral": integral[-others:],
    }
    return {name: np.asarray(value) for name, value in (data | _ends() | _mean_gradients(seed)).items()}


def _spread(time: np.ndarray, policy: np.ndarray, rounds: int) -> np.ndarray:
    """Times that take turns along the orbit, the algorithms one after the other and `rounds` times each."""
    length = np.linalg.norm(np.diff(plot.ternary(policy), axis=1), axis=-1).cumsum(axis=1)
    parts = (np.arange(rounds) + (np.arange(len(policy))[:, None] + 0.5) / len(policy)) / rounds
    return np.stack([np.interp(part * s[-1], s, time[1:]) for part, s in zip(parts, length, strict=True)])


def _two_patterns(rho: Any) -> Problem:
    return Problem(jnp.log(jnp.array([rho, 1 - rho])), jnp.array([1.0, 0.0]))


def _ends() -> dict[str, Any]:
    """Time from ρ₀ to ½, and 1 − ρ against time from ½, with success rates (1, 0)."""
    data = {}
    for geometry, algorithms in {"softmax": ENDS, "natural": NATURAL}.items():
        family = partial(switch, members=[by_clock(algorithm) for algorithm in algorithms.values()])

        def cold(index: Any, family: Any = family, geometry: str = geometry) -> Any:
            options = {"event": "accuracy", "algorithm": family(index), "geometry": geometry}
            one = lambda rho: orbit.log_hitting_time(_two_patterns(rho), 0.5, **options)  # noqa: E731
            return jax.vmap(one)(jnp.asarray(COLD))

        def tail(index: Any, family: Any = family, geometry: str = geometry) -> Any:
            options = {"algorithm": family(index), "geometry": geometry}
            return orbit.solve(_two_patterns(0.5), log_ts=np.log(TAIL), **options).log_policy[:, 1]

        def law(index: Any, family: Any = family, geometry: str = geometry) -> Any:
            found = theory.exponents(family(index), geometry=geometry)
            return jnp.stack([found.cold_start, found.cold_constant, found.tail, found.tail_constant])

        every = jax.jit(lambda i: (cold(i), tail(i), law(i)))
        for index, name in enumerate(algorithms):
            data |= dict(
                zip((f"{name}/cold", f"{name}/tail", f"{name}/law"), every(float(index)), strict=True)
            )
    return data


def _mean_gradients(seed: int) -> dict[str, np.ndarray]:
    """Exact mean of the sampled gradient over all groups of four, against π ⊙ (p − ρ) and the clock."""
    size, patterns = 4, 3
    draws = np.random.default_rng(seed)
    refs, rates = draws.dirichlet(np.ones(patterns), 20), draws.uniform(size=(20, patterns))
    rewards = np.array(list(itertools.product([0.0, 1.0], repeat=size)))
    weights = jax.jit(lambda r: jnp.stack([jax.vmap(a.weights)(r) for a in FOUR]))(rewards)
    rho = (refs * rates).sum(axis=1)
    clocks = np.asarray(jax.jit(lambda r: jnp.stack([a.clock(r) for a in FOUR]))(rho))
    outcomes = np.array(list(itertools.product(range(2 * patterns), repeat=size)))
    row = (outcomes % 2) @ (2 ** np.arange(size)[::-1])
    silent = (outcomes % 2).std(axis=1) == 0
    cosine, speed = np.empty((len(FOUR), len(rho))), np.empty((len(FOUR), len(rho)))
    for a, algorithm in enumerate(FOUR):
        each = np.asarray(weights[a])[row] / size
        for q in range(len(rho)):
            ref, success = refs[q], rates[q]
            chance = np.stack([ref * (1 - success), ref * success], axis=1).ravel()[outcomes].prod(axis=1)
            if algorithm.resamples_silent:
                chance = np.where(silent, 0, chance) / chance[~silent].sum()
            scores = np.eye(patterns)[outcomes // 2] - ref
            mean = np.einsum("g,gi,gir->r", chance, each, scores)
            flow_direction = ref * (success - rho[q])
            scale = np.linalg.norm(flow_direction)
            cosine[a, q] = mean @ flow_direction / (np.linalg.norm(mean) * scale)
            speed[a, q] = np.linalg.norm(mean) / scale
    return {"cosine": cosine, "speed": speed / clocks}


def _color(name: str) -> str:
    return "#E8A48C" if name == "GRPO, G → ∞" else plot.color(name.split(",")[0])


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """One orbit, ten clocks, the crossover of the cold start at ρ₀ ~ 1/G, and the tails."""
    figure, ((first, second), (third, fourth)) = plot.new((8.6, 7.0), nrows=2, ncols=2)
    _simplex(data, first)
    for index, name in enumerate(TEN):
        dashed = (0, (3, 3)) if name == "RLOO" else "-"
        second.plot(data["time"], data["accuracy"][index], color=_color(name), label=name, linestyle=dashed)
    second.set(xscale="log", xlim=(0.05, 1e3), xlabel="time t", ylabel="accuracy ρ")
    second.legend(loc="upper left", fontsize=7, handlelength=1.4)
    second.set_title("… each at its own speed")

    for size, color in zip(GROUPS, ["#F3B79B", "#E07A45", "#9C3F00"], strict=True):
        middle, exponent = _local(data, f"GRPO, G = {size}")
        shown = middle < 0.02
        third.plot(middle[shown] * size, exponent[shown], color=color, label=f"GRPO, G = {size}")
    for name, value, text in [("REINFORCE", 1, "T ∝ 1/ρ₀"), ("GRPO, G → ∞", 0.5, "T ∝ 1/√ρ₀")]:
        third.axhline(value, color=_color(name), linewidth=1.2, linestyle="--", zorder=0)
        third.text(1.3e-4, value + 0.01, f"{name}: {text}", color=_color(name), fontsize=8)
    third.axvline(1, color=plot.MUTED, linewidth=0.8, zorder=0)
    third.set(xscale="log", xlim=(1e-4, 10), ylim=(0.4, 1.1), xlabel="expected right answers in a group ρ₀ G")
    third.set_ylabel("cold-start exponent, −d log T / d log ρ₀")
    third.legend(loc="center left")
    third.set_title("Cold start: GRPO's better law ends at ρ₀ ~ 1/G")

    for name in SHOWN:
        fourth.plot(TAIL, np.exp(data[f"{name}/tail"]), color=_color(name), label=_tail_label(data, name))
    fourth.set(xscale="log", yscale="log", xlim=(0.3, 1e11), ylim=(1e-9, 1), xlabel="time t from ρ = ½")
    fourth.set_ylabel("what is left, 1 − ρ")
    fourth.legend(loc="upper right", bbox_to_anchor=(1.04, 0.72), fontsize=7, handlelength=1.2)
    fourth.set_title("Tails range from t$^{−1/4}$ to exponential")
    return figure


def _simplex(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    plot.simplex_axes(("best, p = .9", "rival, p = .6", "poor, p = .1"), ax=ax)
    plot.simplex(data["natural"], ax=ax, color=plot.color("natural gradient"), linestyle=":", linewidth=1.2)
    plot.simplex(data["curve"], ax=ax, color="black", linewidth=1)
    for index, name in enumerate(TEN):
        place = plot.ternary(data["flow"][index])
        ax.plot(
            *place.T, "o", color=_color(name), markeredgecolor="white", markeredgewidth=0.5, markersize=5.5
        )
    ax.annotate(
        "π_ref", tuple(plot.ternary(data["natural"][0])), (6, 3), textcoords="offset points", fontsize=8
    )
    place = tuple(plot.ternary(data["natural"][len(data["natural"]) // 12]))
    ax.annotate("natural gradient", place, (-84, -4), textcoords="offset points", fontsize=8, color="#666666")
    ax.text(-0.1, 0.8, f"dots: ODE flows, off the\norbit by {data['distance'].max():.0e} at most", fontsize=8)
    ax.set_title("Ten algorithms run along one orbit …")


def _tail_label(data: Mapping[str, np.ndarray], name: str) -> str:
    kind, _, constant, exponent, _ = _tail(data, name)
    return f"{name}: " + (
        f"e$^{{−{constant:.2f} t}}$" if kind == "exponential" else f"t$^{{−{exponent:.2f}}}$"
    )


def _local(data: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Local exponent −d log T/d log ρ₀ between neighbouring ρ₀, and their geometric mean."""
    return np.sqrt(COLD[1:] * COLD[:-1]), -np.diff(data[f"{name}/cold"]) / np.diff(np.log(COLD))


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Directions, orbit, first integral, exponents, finite groups."""
    cosine, speed = 1 - data["cosine"].min(), np.abs(data["speed"] - 1).max()
    off, integral = data["distance"].max(), np.abs(data["integral"] - 1).max()
    other, failed = data["natural_distance"].max(), np.abs(data["natural_integral"] - 1).max()
    names = list(TEN)
    lag = np.abs(
        data["accuracy"][names.index("GRPO, G = 8")] - data["accuracy"][names.index("filtered SFT±")]
    )
    worst = int(lag.argmax())
    cold, cold_text = _compare({name: _cold(data, name) for name in ENDS})
    tail, tail_text = _compare({name: _tail(data, name) for name in ENDS})
    natural, natural_text = _compare({"cold start": _cold(data, "natural gradient")})
    natural_tail, natural_tail_text = _compare({"tail": _tail(data, "natural gradient")})
    bounded = float(np.exp(data["natural gradient ÷ std/cold"][0]))
    over = data["natural gradient ÷ std/tail"][TAIL > END][0]
    ratios = {
        size: float(grpo(size).clock(jnp.asarray(0.01)) / grpo().clock(jnp.asarray(0.01))) for size in RATIOS
    }
    crossings = {size: _crossing(data, size) for size in GROUPS[1:]}
    return [
        Verdict(
            f"On-policy, the mean gradients of all algorithms ({len(FOUR)}, G = 4) have one direction.",
            SOURCES["same"],
            "cosine 1, length c(ρ)",
            f"1 − cosine at most {cosine:.0e}, length off by {speed:.0e} at most; every group "
            f"of 4 rollouts listed, {data['cosine'].shape[1]} random policies",
            verdict(cosine < 1e-9 and speed < 1e-9),
        ),
        Verdict(
            "Filtered SFT with positives and negatives (±) matches GRPO.",
            SOURCES["same"],
            "same accuracy",
            f"same path; at equal time accuracy differs by up to {lag[worst]:.3f} "
            f"(t = {data['time'][worst]:.0f}, G = 8, equal learning rates)",
            _match(off, float(lag[worst])),
        ),
        Verdict(
            f"The flows of the {len(TEN)} algorithms lie on one orbit.",
            SOURCES["theory"],
            "distance 0",
            f"distance at most {off:.0e} (natural gradient: {other:.2f})",
            verdict(off < 1e-6 and other > 0.1 and (data["status"] == 0).all()),
        ),
        Verdict(
            "The first-integral test passes along every flow, and the natural gradient fails it.",
            SOURCES["theory"],
            "measured/predicted ratio 1",
            f"off by {integral:.0e} at most (natural gradient: by up to {failed:.2f})",
            verdict(integral < 1e-5 and failed > 0.1),
        ),
        Verdict(
            "Cold start: time to ρ = ½ is A ρ₀^(−a), or A log(1/ρ₀).",
            SOURCES["ends"],
            "REINFORCE a = 1, GRPO G → ∞ ½, finite G 1 with A = 1/(2√(G−1)); others from their clocks",
            cold_text,
            verdict(cold < 0.01),
        ),
        Verdict(
            "Tail: 1 − ρ is (B t)^(−b), or e^(−Bt).",
            SOURCES["ends"],
            "REINFORCE b = 1, GRPO G → ∞ 2, finite G 1 with B = 2√(G−1); others from their clocks",
            tail_text,
            verdict(tail < 0.01),
        ),
        Verdict(
            "Natural gradient: cold start log(1/ρ₀), tail e^(−t); ÷ std: bounded start, finite end.",
            SOURCES["ends"],
            f"A = 1, B = 1; T → π/2 = {END:.4f}; ρ = 1 at t = π/2 from ρ₀ = ½",
            f"{natural_text}; {natural_tail_text}; T = {bounded:.4f} from ρ₀ = {COLD[0]:.0e}; "
            f"log(1 − ρ) = {over:.0f} at t = {TAIL[TAIL > END][0]:.2f}",
            verdict(max(natural, natural_tail) < 0.01 and abs(bounded - END) < 1e-3 and over < -300),
        ),
        Verdict(
            "Drift of GRPO with finite groups at ρ = .01 as a share of its mean field.",
            SOURCES["ends"],
            ", ".join(f"{value:.0%} (G = {size})" for size, value in RATIOS.items()),
            ", ".join(f"{value:.1%} (G = {size})" for size, value in ratios.items()),
            verdict(all(abs(ratios[size] - value) < 0.005 for size, value in RATIOS.items())),
        ),
        Verdict(
            "GRPO's cold start crosses over from exponent ½ to 1 at ρ₀ ~ 1/G.",
            SOURCES["ends"],
            "exponent ¾ at one value of ρ₀G of order 1",
            ", ".join(f"ρ₀G = {value:.2f} (G = {size})" for size, value in crossings.items()),
            verdict(
                max(crossings.values()) < 1.2 * min(crossings.values()) and 0.1 < crossings[GROUPS[-1]] < 10
            ),
        ),
    ]


def _cold(data: Mapping[str, np.ndarray], name: str) -> tuple[str, float, float, float, float]:
    """Kind of cold start; exponent (0: logarithmic) and constant, predicted and fitted on small ρ₀."""
    exponent, constant = data[f"{name}/law"][:2]
    log_rho, log_time = np.log(COLD[:5]), data[f"{name}/cold"][:5]
    if exponent == 0:
        return "log", 0.0, float(constant), 0.0, float(-np.polyfit(log_rho, np.exp(log_time), 1)[0])
    slope, intercept = np.polyfit(log_rho, log_time, 1)
    return "power", float(exponent), float(constant), float(-slope), float(np.exp(intercept))


def _tail(data: Mapping[str, np.ndarray], name: str) -> tuple[str, float, float, float, float]:
    """Kind of tail; exponent (0: exponential) and constant, predicted and fitted on late times."""
    exponent, constant = data[f"{name}/law"][2:]
    log_rest = data[f"{name}/tail"]
    if np.isinf(exponent):
        use = (log_rest < -20) & (log_rest > -600)
        return "exponential", 0.0, float(constant), 0.0, float(-np.polyfit(TAIL[use], log_rest[use], 1)[0])
    slope, intercept = np.polyfit(np.log(TAIL[-8:]), log_rest[-8:], 1)
    return "power", float(exponent), float(constant), float(-slope), float(np.exp(intercept / slope))


def _compare(laws: Mapping[str, tuple[str, float, float, float, float]]) -> tuple[float, str]:
    """Largest error of exponents (absolute) and of constants (relative), and the fits in words."""
    worst, words = 0.0, []
    for name, (kind, exponent, constant, fitted, fitted_constant) in laws.items():
        worst = max(worst, abs(fitted - exponent), abs(fitted_constant / constant - 1))
        power = f"{fitted:.3f}" if kind == "power" else kind
        words.append(f"{name}: {power} ({fitted_constant:.3g})")
    return worst, f"exponents (constants) {', '.join(words)}; largest error {worst:.1e}"


def _crossing(data: Mapping[str, np.ndarray], size: int) -> float:
    """ρ₀G at which the local exponent first falls to ¾."""
    middle, exponent = _local(data, f"GRPO, G = {size}")
    first = int(np.argmax(exponent < 0.75))
    pair = slice(first - 1, first + 1)
    return float(np.exp(np.interp(-0.75, -exponent[pair], np.log(middle[pair])))) * size


def _match(off: float, lag: float) -> str:
    if off > 1e-6 or lag < 1e-3:
        return verdict(off < 1e-6)
    return ONLY_IF + "compared at equal accuracy, not at equal steps: same policies, other speed"

r"""How many rollouts should a group have?

Claim (arXiv 2606.30789, second-hand): the mean path of GRPO does not depend on the group size G.

The theory of this package says: the *curve* that the mean path follows does not, its speed does. Groups of G
rollouts are often silent (all rewards equal) once ρ or 1 − ρ is below 1/G, and GRPO then learns nothing. The
speed as a share of the mean field is E√(k/G(1−k/G)) / √(ρ(1−ρ)), k ~ Bin(G, ρ); for small ρ it depends on
λ = Gρ alone, E√k/√λ with k ~ Poisson(λ), and for λ ≪ 1 it is √((G−1)ρ): training from a small ρ₀ takes
about 1/(2√(G−1) ρ₀). In the same place its noise does not fall like 1/G either: a rare right rollout gets the
weight √(G−1), so both drift and noise are those of REINFORCE at a learning rate √(G−1) times higher, and a
rollout is worth about the same in any group.

Controls: RLOO (speed 1), Dr.GRPO ((G−1)/G), DAPO's dynamic sampling (silent groups drawn again, and counted);
sampled runs; and at equal numbers of rollouts the best learning rate for every G, chosen on one half of the
seeds and measured on the other. That problem has success rates (.8, .4, 0) and base shares (x, 2x, 1 − 3x),
ρ₀ = 1.6 x; training is over when ρ ≥ .72, nine tenths of what can be reached, and a run locked into the second
pattern never is.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot, theory, training
from qra_jax.algorithm import Algorithm, dr_grpo, grpo, rloo, switch
from qra_jax.batching import many
from qra_jax.problem import Problem
from qra_jax.studies.base import ONLY_IF, Verdict, verdict
from qra_jax.training import moments

TITLE = "Group size: GRPO's mean path slows down below ρ ~ 1/G, and a rollout is worth about the same in any group"
SOURCES = {
    "free": "arXiv 2606.30789, second-hand",
    "theory": "theory of this package, §2.2 and §2.4",
    "noise": "common practice: the noise of a mean over G rollouts",
    "budget": "common practice: larger groups, better gradients",
}
SHARES = {8: 0.26, 16: 0.37, 64: 0.67}
"""Reported drift of GRPO at ρ = .01 as a share of its mean field."""
SIZES = (4, 8, 16, 32, 64, 128, 256, 512)
MAKERS = {
    "GRPO": grpo,
    "RLOO": rloo,
    "Dr.GRPO": dr_grpo,
    "dynamic sampling": partial(grpo, resample_silent=True),
}
LEVELS = (0.01, 0.1, 0.5)
"""Accuracies at which noise is looked at."""
LOGITS = np.linspace(np.log(1e-6), 0, 1501)
"""z = logit ρ, on which exact speeds are computed and cold starts integrated."""
TOP = (0.8, 0.4, 0.0)
TARGET = 0.9 * TOP[0]
BUDGET, WINDOW = 4096, 64
"""Rollouts in a run, and between two looks at it."""
GROUPS = {True: (4, 16, 64), False: (2, 4, 8, 16, 32, 64, 128)}
RATES = 2.0 ** np.arange(-1, 7)
STILL = 1e-3
"""Learning rate at which noise is measured."""
SLOW = (0.5, 1.0)
"""Learning rates of sampled cold starts, in units of the exact time over a quarter of the steps."""
SEVEN = 3.19
"""The largest of seven |z| is below this with chance 99 %; likewise of 21:"""
MANY = 3.49


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Exact speeds and noise for many G; sampled runs at equal numbers of rollouts."""
    rho = np.concatenate([1 / (1 + np.exp(-LOGITS)), LEVELS])
    data: dict[str, Any] = {"rho": rho, "groups": np.array(GROUPS[quick])}
    for name, make in MAKERS.items():
        sizes = jnp.asarray([*SIZES, *GROUPS[quick]], float)
        exact = jax.jit(lambda sizes, rho, make=make: _exact(make(max(SIZES)), sizes, rho))(sizes, rho)
        data |= {f"{name}/{kind}": np.asarray(value) for kind, value in exact.items()}
    lam = np.geomspace(1e-2, 1e2, 81)
    data |= {"lambda": lam, "poisson": np.asarray(theory.grpo_poisson_share(jnp.asarray(lam), terms=2000))}
    for index, size in enumerate(GROUPS[quick]):
        key, cold = jax.random.fold_in(jax.random.key(seed), index), _cold(data, "GRPO")[len(SIZES) + index]
        start = float(np.interp(np.log(LEVELS[0]), LOGITS, cold))
        found = _runs(key, size, start, 384 if quick else 1024)
        data |= {f"{size}/{kind}": value for kind, value in found.items()}
    return {name: np.asarray(value) for name, value in data.items()}


def _shares(rho: Any) -> Any:
    """Base policy `[..., 3]` of accuracy ρ."""
    x = rho / (TOP[0] + 2 * TOP[1])
    return jnp.stack([x, 2 * x, 1 - 3 * x], axis=-1)


def _exact(algorithm: Algorithm, sizes: jax.Array, rho: jax.Array) -> dict[str, jax.Array]:
    """The clock, and the variance of one group's push on ρ, `[sizes, accuracies]`."""
    group, resamples = algorithm.group_size or 1, algorithm.resamples_silent
    rates = jnp.array(TOP)

    def push(size: jax.Array) -> tuple[jax.Array, jax.Array]:
        tables = algorithm.tables(group, size)

        def at(policy: jax.Array, rho: jax.Array) -> tuple[jax.Array, jax.Array]:
            found = moments.spread(policy, rates, tables, size, resamples=resamples)
            slope = policy * (rates - rho)
            weights = found.mean[0] * found.right + found.mean[1] * found.wrong
            drift = slope @ (weights - policy * jnp.sum(weights))
            return drift / (slope @ slope), slope @ moments.covariance(policy, found) @ slope

        return jax.vmap(at)(_shares(rho), rho)

    speed, variance = jax.vmap(push)(sizes)
    return {"speed": speed, "variance": variance}


def _cold(data: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Time from ρ₀ to ½, `[sizes, LOGITS]`: ∫ dz / (2 c ρ(1 − ρ)) by the trapezium rule."""
    rho = data["rho"][: len(LOGITS)]
    pace = 1 / (2 * rho * (1 - rho) * data[f"{name}/speed"][:, : len(LOGITS)])
    pieces = (pace[:, 1:] + pace[:, :-1]) / 2 * np.diff(LOGITS)
    return np.concatenate([np.cumsum(pieces[:, ::-1], axis=1)[:, ::-1], np.zeros((len(pace), 1))], axis=1)


def _runs(key: jax.Array, size: int, cold: float, seeds: int) -> dict[str, np.ndarray]:
    """Sampled runs with one G: rollouts to the target, cold starts, and the noise of one window."""
    every = max(1, WINDOW // size)
    steps = BUDGET // size // every * every

    def run(key: jax.Array, ref: jax.Array, success: jax.Array, rate: jax.Array, which: jax.Array) -> Any:
        algorithm = switch(which, (grpo(size), rloo(size)))
        problem = Problem(jnp.log(ref), success)
        run = training.measure(
            ("accuracy",),
            key,
            problem,
            steps=steps,
            algorithm=algorithm,
            learning_rate=rate,
            record_every=every,
        )
        return run.values["accuracy"]

    rho = np.array(LEVELS)
    refs = np.asarray(_shares(rho))
    races = _grid(refs, TOP, RATES, (0.0, 1.0), seeds)
    slow = np.array(SLOW) * 4 * cold / steps
    colds = _grid(np.array([[rho[0], 1 - rho[0], 0.0]]), (1.0, 0.0, 0.0), slow, (0.0,), 4 * seeds)
    noises = _grid(refs, TOP, [STILL], (0.0,), 4 * seeds)
    settings = [np.concatenate(parts) for parts in zip(races, colds, noises, strict=True)]
    keys = jax.random.split(key, len(settings[0]))
    accuracy = np.asarray(many(run, block=256)(keys, *settings))
    first, second = len(races[0]), len(races[0]) + len(colds[0])
    rollouts = _first(accuracy[:first], TARGET) * every * size
    moved = (accuracy[second:, 1].reshape(len(rho), -1) - rho[:, None]) / STILL / np.sqrt(every)
    moved = moved - moved.mean(axis=1, keepdims=True)
    return {
        "rollouts": rollouts.reshape(len(rho), len(RATES), 2, seeds),
        "cold_rates": slow,
        "cold": _first(accuracy[first:second], 0.5).reshape(len(slow), -1) * every * slow[:, None],
        "noise": moved.var(axis=1, ddof=1),
        "noise_se": (moved**2).std(axis=1) / np.sqrt(moved.shape[1]),
    }


def _grid(refs: np.ndarray, success: Any, rates: Any, kinds: Any, seeds: int) -> list[np.ndarray]:
    """Settings of runs, flat: base policies × learning rates × algorithms × seeds."""
    shape = (len(refs), len(rates), len(kinds), seeds)
    index = np.unravel_index(np.arange(np.prod(shape)), shape)
    success = np.broadcast_to(np.asarray(success), (len(index[0]), len(refs[0])))
    return [refs[index[0]], success, np.asarray(rates)[index[1]], np.asarray(kinds)[index[2]]]


def _first(accuracy: np.ndarray, target: float) -> np.ndarray:
    """Record at which accuracy first reaches a target, interpolated in logit ρ; inf if it never does."""
    above = accuracy >= target
    index = np.maximum(above.argmax(axis=1), 1)
    rows = np.arange(len(accuracy))
    with np.errstate(divide="ignore"):
        low, high = (np.log(a / (1 - a)) for a in (accuracy[rows, index - 1], accuracy[rows, index]))
    goal = np.log(target / (1 - target))
    part = (goal - low) / np.where(np.isfinite(high), np.maximum(high - low, 1e-12), np.inf)
    return np.where(above.any(axis=1), index - 1 + np.clip(part, 0, 1), np.inf)


def _median(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of each row, which may hold inf, and its standard error (ranks half a √n either side)."""
    ordered, count = np.sort(times, axis=1), times.shape[1]
    low, middle, high = (ordered[:, round(count / 2 + shift * np.sqrt(count) / 2)] for shift in (-1, 0, 1))
    return middle, (high - low) / 2


def _sure(rollouts: np.ndarray) -> tuple[float, float, float, float]:
    """Rollouts until 95 % of runs are there, at the best learning rate; its 95 % interval; that rate.

    The rate is chosen on the first half of the seeds and judged on the second (order statistics).
    """
    half = rollouts.shape[-1] // 2
    index = int(np.argmin(np.sort(rollouts[:, :half])[:, _rank(half)[1]]))
    values = np.sort(rollouts[index, half:])
    low, middle, high = _rank(len(values))
    return float(values[middle]), float(values[low]), float(values[high]), float(RATES[index])


def _rank(count: int) -> tuple[int, int, int]:
    """Ranks of the 95th percentile and of its 95 % interval."""
    spread = 1.959964 * np.sqrt(count * 0.95 * 0.05)
    ranks = np.clip(
        [np.floor(0.95 * count - spread), 0.95 * count, np.ceil(0.95 * count + spread)], 0, count - 1
    )
    return int(ranks[0]), int(ranks[1]), int(ranks[2])


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Speed against Gρ, cold starts, noise, and rollouts needed, each against G."""
    figure, ((first, second), (third, fourth)) = plot.new((8.6, 6.4), nrows=2, ncols=2)
    _collapse(data, first)
    _starts(data, second)
    _noises(data, third)
    _races(data, fourth)
    return figure


def _collapse(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    sizes, colors = (4, 16, 64, 512), ("#F8C9AE", "#EF9A6A", "#D55E00", "#7A3300")
    for size, color in zip(sizes, colors, strict=True):
        rho, share = _share(data, size)
        ax.plot(size * rho, share, color=color, label=f"G = {size}")
    ax.plot(data["lambda"], data["poisson"], color="black", linestyle="--", linewidth=1, label="limit")
    ax.axhline(1, color=plot.MUTED, linewidth=0.8, zorder=0)
    ax.text(0.011, 1.02, "mean field: what a path free of G would have", fontsize=8, color="#666666")
    ax.set(xscale="log", xlim=(1e-2, 1e2), ylim=(0, 1.12), xlabel="right rollouts expected in a group, Gρ")
    ax.set_ylabel("GRPO's speed ÷ mean field")
    ax.legend(loc="lower right")
    ax.set_title("Below ρ ~ 1/G GRPO's mean path is slower")


def _starts(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for name in MAKERS:
        times = [np.interp(np.log(LEVELS[0]), LOGITS, row) for row in _cold(data, name)[: len(SIZES)]]
        ax.plot(SIZES, times, color=plot.color(name), label=name)
    early = np.array([4.0, 64.0])
    ax.plot(early, 1 / (2 * np.sqrt(early - 1) * LEVELS[0]), ":", color=plot.color("GRPO"), linewidth=1.2)
    ax.text(4, 11.5, "1/(2√(G−1) ρ₀)", fontsize=8, color=plot.color("GRPO"))
    for size in set(SIZES).intersection(data["groups"]):
        ax.plot(
            size, _median(data[f"{size}/cold"])[0][0], "o", color=plot.color("GRPO"), markeredgecolor="white"
        )
    ax.set(xscale="log", yscale="log", xlabel="group size G", ylabel="time from ρ₀ = .01 to ½ (updates × η)")
    ax.set_ylim(4, 100)
    ax.set_yticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    ax.set_yticks([], minor=True)
    _name(ax, SIZES)
    ax.legend(loc="upper right", bbox_to_anchor=(1, 0.8), ncols=2)
    ax.set_title("Cold start: an update gains up to √G")


def _noises(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for level, style, shade in ((0, "-", 1.0), (2, "--", 0.7)):
        for name in ("GRPO", "RLOO"):
            variance = data[f"{name}/variance"][:, len(LOGITS) + level]
            scale = variance[list(SIZES).index(16)]
            ax.plot(
                SIZES,
                variance[: len(SIZES)] / scale,
                style,
                color=plot.color(name),
                alpha=shade,
                label=f"{name}, ρ = {LEVELS[level]:g}",
            )
            if name == "GRPO":
                for size in set(SIZES).intersection(data["groups"]):
                    ax.plot(
                        size,
                        data[f"{size}/noise"][level] / scale,
                        "o",
                        color=plot.color(name),
                        markersize=4,
                        markeredgecolor="white",
                    )
    ax.set(xscale="log", yscale="log", xlabel="group size G", ylabel="variance of an update ÷ that at G = 16")
    _name(ax, SIZES)
    ax.legend(loc="lower left", title="lines exact, dots sampled", title_fontsize=8)
    ax.set_title("Below ρ ~ 1/G its noise does not fall with G")


def _races(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    sizes = data["groups"]
    for kind, name in enumerate(("GRPO", "RLOO")):
        for level, marker in ((0, "o"), (1, "s")):
            found = np.array([_sure(data[f"{size}/rollouts"][level, :, kind]) for size in sizes])
            ax.errorbar(
                sizes * 1.06**kind,
                found[:, 0],
                [found[:, 0] - found[:, 1], np.minimum(found[:, 2], BUDGET) - found[:, 0]],
                fmt=marker + "-",
                color=plot.color(name),
                markeredgecolor="white",
                markersize=5,
                linewidth=1,
                label=f"{name}, ρ₀ = {LEVELS[level]:g}",
            )
    ax.set(xscale="log", yscale="log", xlabel="group size G", ylabel="rollouts until 95 % of runs are there")
    ax.set_ylim(50, 8000)
    _name(ax, sizes)
    ax.legend(loc="lower left", ncols=2)
    ax.set_title("Per rollout, with η tuned, G hardly matters")


def _name(ax: Axes, sizes: Any) -> None:
    """Name the group sizes on a log axis."""
    ax.set_xticks(sizes, [f"{size}" for size in sizes])
    ax.set_xticks([], minor=True)


def _share(data: Mapping[str, np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies, and GRPO's speed there as a share of its mean field."""
    rho = data["rho"][: len(LOGITS)]
    return rho, data["GRPO/speed"][SIZES.index(size), : len(LOGITS)] * np.sqrt(rho * (1 - rho))


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Dependence of the mean path on G, its form, cold starts, noise, and the worth of a rollout."""
    log_rho = np.log(data["rho"][: len(LOGITS)])
    at = {size: float(np.interp(np.log(0.01), log_rho, _share(data, size)[1])) for size in SIZES}
    needed = {
        size: size * float(np.exp(np.interp(0.9, _share(data, size)[1], log_rho)))
        for size in SIZES
        if size > 8
    }
    others = {
        name: np.ptp(data[f"{name}/speed"][: len(SIZES)] * _scale(name)[:, None])
        for name in ("RLOO", "Dr.GRPO")
    }
    gap = [np.interp(np.log(1 / s), log_rho, _share(data, s)[1]) for s in SIZES]
    gap = np.abs(np.array(gap) - np.interp(0, np.log(data["lambda"]), data["poisson"]))
    local = np.diff(np.log(gap)) / np.diff(np.log(SIZES))
    law = _cold(data, "GRPO")[: len(SIZES), 0] * 2 * np.sqrt(np.array(SIZES) - 1) * np.exp(log_rho[0])
    sampled, allowed = {}, {}
    for index, size in enumerate(data["groups"]):
        exact = float(np.interp(np.log(LEVELS[0]), LOGITS, _cold(data, "GRPO")[len(SIZES) + index]))
        means, errors = _median(data[f"{size}/cold"])
        sampled[size] = (2 * means[0] - means[1]) / exact
        allowed[size] = (
            SEVEN * np.hypot(2 * errors[0], errors[1]) + (means[1] - means[0]) ** 2 / exact
        ) / exact
    slopes = {
        f"{name}, ρ = {level:g}": np.diff(np.log(data[f"{name}/variance"][: len(SIZES), len(LOGITS) + i]))[2:]
        / np.diff(np.log(SIZES))[2:]
        for name in ("GRPO", "RLOO")
        for i, level in enumerate(LEVELS)
    }
    z = [
        (data[f"{size}/noise"][level] - data["GRPO/variance"][len(SIZES) + index, len(LOGITS) + level])
        / data[f"{size}/noise_se"][level]
        for index, size in enumerate(data["groups"])
        for level in range(len(LEVELS))
    ]
    races = {
        (name, level): np.array([_sure(data[f"{s}/rollouts"][level, :, kind]) for s in data["groups"]])
        for kind, name in enumerate(("GRPO", "RLOO"))
        for level in (0, 1)
    }
    trend = {key: _trend(data["groups"], found) for key, found in races.items()}

    def words(values: Mapping[tuple[str, int], Any]) -> str:
        return "; ".join(f"{name}, ρ₀ = {LEVELS[level]:g}: {v}" for (name, level), v in values.items())

    return [
        Verdict(
            "The mean path of GRPO does not depend on the group size.",
            SOURCES["free"],
            "speed ÷ mean field = 1 at every ρ",
            "at ρ = .01: "
            + ", ".join(f"{at[s]:.2f} (G = {s})" for s in SIZES)
            + f"; .9 is reached at Gρ = {min(needed.values()):.1f} … {max(needed.values()):.1f} for G ≥ 16; RLOO and "
            f"Dr.GRPO depend on G by a constant factor only, to {max(others.values()):.0e}",
            _free(np.array(list(at.values())), np.array(list(needed.values()))),
        ),
        Verdict(
            "GRPO's drift at ρ = .01 is 26 % (G = 8), 37 % (16) and 67 % (64) of the mean field.",
            SOURCES["theory"],
            ", ".join(f"{share:.2f}" for share in SHARES.values()),
            ", ".join(f"{at[size]:.3f}" for size in SHARES),
            verdict(all(abs(at[size] - share) < 0.005 for size, share in SHARES.items())),
        ),
        Verdict(
            "For ρ ≪ 1 the share is a function of Gρ alone, E√k/√λ with k ~ Poisson(λ = Gρ), up to O(1/G).",
            SOURCES["theory"],
            "exponent −1 of the difference in G, at λ = 1",
            f"{local[-1]:.3f} at G = {SIZES[-1]}; difference {gap[1]:.4f} at G = {SIZES[1]}",
            verdict(abs(local[-1] + 1) < 0.02),
        ),
        Verdict(
            "A cold start takes 1/(2√(G−1) ρ₀); sampled runs take the time of the mean path as η → 0.",
            SOURCES["theory"],
            "ratios of 1",
            f"exact ÷ law at ρ₀ = 10⁻⁶: {law.min():.3f} … {law.max():.3f}; sampled ÷ exact at ρ₀ = .01: "
            + ", ".join(f"{v:.3f} ± {allowed[s]:.3f} (G = {s})" for s, v in sampled.items()),
            verdict(
                np.abs(law - 1).max() < 0.01 and all(abs(v - 1) < allowed[s] for s, v in sampled.items())
            ),
        ),
        Verdict(
            "The variance of an update falls like 1/G.",
            SOURCES["noise"],
            "exponent −1 for G ≥ 16 (tolerance .1 for terms 1/G²)",
            "; ".join(f"{k}: {v[0]:.2f} (G = 16 … 32), {v[-1]:.2f} (256 … 512)" for k, v in slopes.items())
            + f"; sampled against exact variance: largest |z| {np.abs(z).max():.1f} of {len(z)}",
            _noise(slopes, float(np.abs(z).max())),
        ),
        Verdict(
            "At equal numbers of rollouts, with the learning rate tuned, larger groups learn faster.",
            SOURCES["budget"],
            "rollouts until 95 % of runs are there fall with G; theory for Gρ ≪ 1: exponent 0",
            words({key: " / ".join(f"{x:.0f}" for x in found[:, 0]) for key, found in races.items()})
            + f" (G = {' / '.join(str(size) for size in data['groups'])}) at the best rates "
            + words({key: " / ".join(f"{x:g}" for x in found[:, 3]) for key, found in races.items()})
            + "; exponents in G: "
            + words({key: f"{value:.2f} ± {error:.2f}" for key, (value, error) in trend.items()}),
            verdict(all(value + error < 0 for value, error in trend.values())),
        ),
    ]


def _scale(name: str) -> np.ndarray:
    """What removes the constant factor from a clock, for each G."""
    sizes = np.array(SIZES)
    return sizes / (sizes - 1) if name == "Dr.GRPO" else np.ones(len(sizes))


def _trend(sizes: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Exponent of the rollouts needed in G, and the half-width of its interval (intervals of the points)."""
    design = np.stack([np.log(sizes), np.ones(len(sizes))], axis=1)
    row = np.linalg.pinv(design)[0]
    with np.errstate(invalid="ignore"):
        widths = np.log(found[:, 2] / found[:, 1]) / 2
    return float(row @ np.log(found[:, 0])), float(np.sqrt(np.sum((row * widths) ** 2)))


def _free(shares: np.ndarray, needed: np.ndarray) -> str:
    """From the shares of the mean field at ρ = .01, and the Gρ at which they come to .9."""
    if np.abs(shares - 1).max() < 0.01:
        return verdict(True)
    if needed.max() > 2 * needed.min():
        return verdict(False)
    return ONLY_IF + f"groups are not often silent: Gρ and G(1 − ρ) above {needed.max():.1f} for nine tenths"


def _noise(slopes: Mapping[str, np.ndarray], worst: float) -> str:
    """From the exponents of the variance in G, and the largest |z| of the sampled variances."""
    if worst > MANY:
        return verdict(False)
    good = {name: bool(np.abs(slope + 1).max() < 0.1) for name, slope in slopes.items()}
    if all(good.values()):
        return verdict(True)
    free = all(value for name, value in good.items() if name.startswith("RLOO"))
    return (
        ONLY_IF + "the advantage is not divided by the group's spread, or Gρ ≫ 1" if free else verdict(False)
    )

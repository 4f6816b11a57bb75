r"""Which pattern, if supervised fine-tuning (SFT) raised it a little, saves most RL time?

The time T to π(r*) = .99 is differentiable, with $g_r=\partial\log T/\partial\theta_r$, θ the logits of π_ref. Teaching
pattern r a little means one of two things: moving a *point of probability* to it, $g_r/\pi_r$; or a *unit of SFT* on
demonstrations of it, which moves the logits by e_r − π, $g_r-g\cdot\pi$. A point of success rate is worth
$\partial\log T/\partial p_r$.

Three readings of "SFT on good data first" (QRA-5; Chen, Li, Zou, arXiv 2506.04695 v1) are tested on random problems:
that r* is always the best to teach, that any pattern better than the model's own accuracy is worth teaching, that a
worse one is not. And whether a better r* is worth more than a more frequent one.

Prediction, *derived here*: where a stall is deep, T grows like γ^{n−1} (`transition-time`), so that a percent more of
r* saves n − 1 percent of time; it is then worth (n − 1)/π_ref(r*) a point, which no success rate can match once r* is
rare. Whatever is not r* but above the base accuracy grows at first at the cost of r*, which is the stall; so teaching a
rival should cost time, teaching a poor pattern save some.

Controls: finite differences, a small SFT phase run as such, and sampled training by GRPO with groups of 8.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import orbit, plot, recipe, training
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.problem import Problem, examples
from qra_jax.studies.base import ONLY_IF, Verdict, verdict, wilson

TITLE = "What to teach: nearly always r*, and rather the worst pattern than the second-best"
SOURCE = "QRA-5; Chen, Li, Zou, arXiv 2506.04695 v1"
DERIVED = "theory of this package"
TARGET, SIZES, GROUP = 0.99, (3, 10), 8
WIDTH = max(SIZES)
"""Problems are padded to this many patterns."""
LITTLE, SOME = 1e-3, 2.0
"""SFT times: for the derivative; for sampled training to see."""
RATE, STEPS, EVERY = 0.1, 4000, 10
"""Sampled training: learning rate, steps (three times the time needed), steps between looks."""
RIVAL, DEEP = 0.6, 1e5
"""Success rate of the second pattern on the map; γ of the deep stalls."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Sensitivities of the worked example, of random problems, on a map and in deep stalls; what training says."""
    measure = many(_measure, block=64, chunk=64)
    return {
        **_worked(512 if quick else 8192, seed),
        **_random(measure, 256 if quick else 2048, seed),
        **_map(measure, 13 if quick else 41),
        **_deep(measure),
    }


def _measure(log_ref: jax.Array, success: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """log T and its derivatives in the logits and in the success rates."""
    found = recipe.sensitivity(Problem(log_ref, success), TARGET)
    return found.log_time, found.ref, found.success


def taught(problem: Problem, pattern: int, time: float) -> Problem:
    """The problem after SFT on demonstrations of one pattern for some time.

    Args:
      problem: one question.
      pattern: which one.
      time: T > 0.

    Returns:
      The problem with another reference policy.
    """
    mu = np.eye(problem.patterns)[pattern]
    phase = recipe.sft(mixture=mu, steps=200, learning_rate=time / 200)
    return problem.with_ref(recipe.Recipe((phase,)).run(problem).log_policy)


def _worked(runs: int, seed: int) -> dict[str, np.ndarray]:
    """The worked example: derivatives, finite differences, SFT as such, and sampled training after it."""
    problem, clock = examples.worked(), grpo(GROUP)
    found = jax.jit(lambda problem: recipe.sensitivity(problem, TARGET, algorithm=clock))(problem)
    log_time = jax.jit(lambda problem: orbit.log_hitting_time(problem, TARGET, algorithm=clock))
    patterns, step = range(problem.patterns), 1e-5

    def difference(change: Any) -> np.ndarray:
        ahead, behind = ([float(log_time(change(r, sign * step))) for r in patterns] for sign in (1, -1))
        return (np.array(ahead) - np.array(behind)) / (2 * step)

    def share(r: int, by: float) -> Problem:
        return problem.with_ref(jax.nn.log_softmax(problem.log_ref.at[r].add(by)))

    def success(r: int, by: float) -> Problem:
        return replace(problem, success=problem.success.at[r].add(by))

    base = float(log_time(problem))
    after = {time: [taught(problem, r, time) for r in patterns] for time in (LITTLE, SOME)}
    exact = {time: np.array([float(log_time(each)) for each in trained]) for time, trained in after.items()}
    starts = jnp.stack([problem.log_ref, *(each.log_ref for each in after[SOME])])

    def hitting(key: jax.Array, start: jax.Array) -> jax.Array:
        options = {"learning_rate": RATE, "record_every": EVERY, "log_policy0": start}
        seen = training.measure(["best"], key, problem, steps=STEPS, algorithm=clock, **options)
        reached = seen.values["best"] >= TARGET
        first = jnp.where(jnp.any(reached), jnp.argmax(reached), reached.shape[0])
        return jnp.log(RATE * EVERY * jnp.maximum(first, 1).astype(start.dtype))

    keys = jax.random.split(jax.random.key(seed), len(starts) * runs)
    sampled = many(hitting)(keys, jnp.repeat(starts, runs, axis=0))
    data = {
        "ref": problem.ref,
        "sensitivity": found.ref,
        "point": found.share,
        "better": found.success,
        "difference": difference(share),
        "better_difference": difference(success),
        "log_time": base,
        "little": (exact[LITTLE] - base) / LITTLE,
        "some": exact[SOME] - base,
        "sampled": np.asarray(sampled, np.float32).reshape(len(starts), runs),
    }
    return {name: np.asarray(value) for name, value in data.items()}


def _padded(log_ref: np.ndarray, success: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    room = ((0, 0), (0, WIDTH - success.shape[1]))
    return np.pad(log_ref, room, constant_values=-np.inf), np.pad(success, room)


def _random(measure: Any, count: int, seed: int) -> dict[str, np.ndarray]:
    """Random problems of each size: Dirichlet(1) base policies, uniform success rates."""
    rng, data = np.random.default_rng(seed), {}
    for n in SIZES:
        ref, success = rng.dirichlet(np.ones(n), count), rng.random((count, n))
        log_time, slopes, better = measure(*_padded(np.log(ref), success))
        use = np.isfinite(log_time)
        values = (log_time, ref, success, slopes[:, :n], better[:, :n])
        names = ("log_time", "ref", "success", "slopes", "better")
        data |= {f"{n}/{name}": np.asarray(x)[use] for name, x in zip(names, values, strict=True)}
    return data


def _map(measure: Any, points: int) -> dict[str, np.ndarray]:
    """Rates (.9, .6, p′), shares (m, ¾ (1 − m), ¼ (1 − m)): what SFT on the third pattern is worth over m and p′."""
    masses, rates = np.geomspace(1e-3, 0.9, points), np.linspace(0.01, 0.89, points)
    mass, rate = (x.ravel() for x in np.meshgrid(masses, rates))
    ref = np.stack([mass, 0.75 * (1 - mass), 0.25 * (1 - mass)], axis=1)
    success = np.stack([np.full_like(mass, 0.9), np.full_like(mass, RIVAL), rate], axis=1)
    _, slopes, _ = measure(*_padded(np.log(ref), success))
    slopes = np.asarray(slopes)[:, :3]
    worth = slopes - np.sum(slopes * ref, axis=1, keepdims=True)
    shape = (points, points)
    return {
        "masses": masses,
        "rates": rates,
        "map": worth[:, 2].reshape(shape),
        "map_accuracy": np.sum(ref * success, axis=1).reshape(shape),
    }


def _deep(measure: Any) -> dict[str, np.ndarray]:
    """d log T / d log π_ref(r*) in deep stalls of 3 … 6 patterns."""
    counts = np.arange(3, 7)
    problems = [examples.entangled(DEEP, int(n)) for n in counts]
    rows = [
        _padded(np.asarray(problem.log_ref)[None], np.asarray(problem.success)[None]) for problem in problems
    ]
    _, slopes, _ = measure(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))
    ref = np.array([float(problem.ref[0]) for problem in problems])
    return {"deep_patterns": counts, "deep": np.asarray(slopes)[:, 0] / (1 - ref)}


def _worth(data: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """d log T in a unit of SFT on each pattern, [problems, n]."""
    slopes = data[f"{n}/slopes"]
    return slopes - np.sum(slopes * data[f"{n}/ref"], axis=1, keepdims=True)


def _of(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, index[:, None], axis=1)[:, 0]


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """The worked example, who helps by rank, the map of the rival, share against success rate."""
    figure, axes = plot.new((8.8, 6.6), nrows=2, ncols=2)
    _bars(data, axes[0, 0])
    _ranks(data, axes[0, 1])
    _third(data, axes[1, 0])
    _points(data, axes[1, 1])
    return figure


def _bars(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    places, colors = np.arange(3), plot.pattern_colors(3, best=0, rival=1)
    ax.bar(places, 100 * np.expm1(data["some"]), color=colors, alpha=0.6, label="exact")
    change, error = _sampled(data)
    low, high = (100 * np.expm1(change + sign * 2 * error) for sign in (-1, 1))
    middle = 100 * np.expm1(change)
    ax.errorbar(
        places, middle, [middle - low, high - middle], fmt="o", color="black", capsize=3, label="sampled"
    )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(places, ["best, p = .9", "rival, p = .6", "poor, p = .1"])
    ax.minorticks_off()
    ax.set(ylabel="change of RL time (%)", xlabel=f"taught for SFT time {SOME:g}")
    ax.legend(loc="lower right")
    ax.set_title("Teaching the good rival costs time")


def _ranks(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for n, mark, color in zip(SIZES, "os", (plot.CYCLE[2], plot.CYCLE[6]), strict=True):
        order = np.argsort(-data[f"{n}/success"], axis=1)
        helps = np.take_along_axis(_worth(data, n) < 0, order, axis=1)
        low, high = wilson(helps.sum(axis=0), len(helps))
        ranks, share = np.arange(1, n + 1), helps.mean(axis=0)
        bars = np.maximum([share - low, high - share], 0)
        ax.errorbar(ranks, share, bars, fmt=f"{mark}-", color=color, capsize=2, label=f"{n} patterns")
    ax.set(
        xlabel="rank of the pattern taught, by success rate", ylabel="share of problems where it saves time"
    )
    ax.set(ylim=(-0.04, 1.04))
    ax.set_xticks(range(1, WIDTH + 1), [str(rank) for rank in range(1, WIDTH + 1)])
    ax.minorticks_off()
    ax.legend(loc="center right")
    ax.set_title("The second-best is the worst to teach")


def _third(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    worth, place = 100 * data["map"], (data["masses"], data["rates"])
    bound = np.percentile(np.abs(worth), 95)
    shown = {"cmap": "PuOr", "vmin": -bound, "vmax": bound, "shading": "gouraud", "rasterized": True}
    mesh = ax.pcolormesh(*place, -worth, **shown)
    ax.contour(*place, worth, levels=[0], colors="black", linewidths=1.2)
    above = data["rates"][:, None] - data["map_accuracy"]
    ax.contour(*place, above, levels=[0], colors="black", linestyles="--", linewidths=1)
    ax.axhline(RIVAL, color="black", linestyle=":", linewidth=1)
    ax.text(0.24, 0.7, "p′ = accuracy", ha="right", fontsize=8)
    ax.text(0.85, RIVAL - 0.01, "rival", ha="right", va="top", fontsize=8)
    ax.set(xscale="log", xlabel="π_ref(r*)", ylabel="success rate p′ of the pattern taught")
    ax.figure.colorbar(mesh, ax=ax, label="RL time saved by a unit of SFT (%)")
    ax.set_title("Teaching saves time below the solid line")


def _points(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    n = SIZES[-1]
    share, success = _point_and_better(data, n)
    mass = _of(data[f"{n}/ref"], data[f"{n}/success"].argmax(axis=1))
    ax.plot(mass, share, ".", color=plot.BEST, markersize=3, label="a point of its share")
    ax.plot(mass, success, ".", color=plot.CYCLE[4], markersize=3, label="a point of its success rate")
    line = np.geomspace(3e-4, 0.3, 10)
    ax.plot(line, (n - 1) / line, "--", color="black", linewidth=1, label="(n − 1)/π_ref(r*)")
    ax.set(xscale="log", yscale="log", xlim=(3e-4, 1), ylim=(1e-3, 1e5))
    ax.set(xlabel="π_ref(r*)", ylabel="RL time saved (%, first order)")
    ax.legend(loc="lower left", title=f"{n} patterns, more of r* by", title_fontsize=8)
    ax.set_title("Rare: teach it. Common: improve it")


def _sampled(data: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Change of the mean log time of sampled training after SFT on each pattern, and standard error."""
    mean = data["sampled"].astype(float).mean(axis=1)
    error = data["sampled"].astype(float).std(axis=1) / np.sqrt(data["sampled"].shape[1])
    return mean[1:] - mean[0], np.hypot(error[1:], error[0])


def _point_and_better(data: Mapping[str, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Percent of time saved by a point more of r*'s share, and of its success rate."""
    best = data[f"{n}/success"].argmax(axis=1)
    return -_of(data[f"{n}/slopes"] / data[f"{n}/ref"], best), -_of(data[f"{n}/better"], best)


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Derivatives, sampled training, what to teach, what harms, share against success rate, the law of deep stalls."""
    return [*_derivatives(data), *_teaching(data), *_improving(data)]


def _derivatives(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    slopes = data["sensitivity"]
    error = max(
        np.abs(data[name] - data[other]).max() / np.abs(data[name]).max()
        for name, other in (("sensitivity", "difference"), ("better", "better_difference"))
    )
    worth = slopes - np.sum(slopes * data["ref"])
    as_such = np.abs(data["little"] - worth).max() / np.abs(worth).max()
    change, spread = _sampled(data)
    z = change / spread
    same = (np.sign(change) == np.sign(data["some"])) & (np.abs(z) > 3)
    return [
        Verdict(
            "The sensitivities to shares and success rates are true derivatives, and predict a small SFT phase.",
            DERIVED,
            "finite differences and SFT as such: 0 apart",
            f"worked example, GRPO with G = {GROUP}: {error:.0e} from finite differences, {as_such:.0e} from SFT of "
            f"time {LITTLE:g} (relative to the largest)",
            verdict(error < 1e-4 and as_such < 1e-2),
        ),
        Verdict(
            "Sampled training saves and loses time as the exact orbit says.",
            DERIVED,
            "same sign for each pattern taught, more than 3 standard errors from zero",
            f"worked example, SFT time {SOME:g}, then GRPO with G = {GROUP}, rate {RATE:g} "
            f"({data['sampled'].shape[1]} runs each): "
            + "; ".join(
                f"{name} {np.expm1(got):+.1%} (exact {np.expm1(want):+.1%}, z = {score:.0f})"
                for name, got, want, score in zip(
                    ("best", "rival", "poor"), change, data["some"], z, strict=True
                )
            ),
            verdict(same.all()),
        ),
    ]


def _teaching(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    unit, leads, loss, point, rarer, better, worst = [], [], [], [], [], [], []
    for n in SIZES:
        ref, success, worth = data[f"{n}/ref"], data[f"{n}/success"], _worth(data, n)
        best, rows = success.argmax(axis=1), np.arange(len(ref))
        other = worth.argmin(axis=1) != best
        unit.append((n, (~other).sum(), len(best)))
        leads.append((ref.argmax(axis=1) == best)[other].sum())
        loss.append((_of(worth, best) - worth.min(axis=1)).max())
        by_point = (data[f"{n}/slopes"] / ref).argmin(axis=1)
        point.append((n, (by_point == best).sum(), len(best)))
        rarer.append((ref[rows, by_point] < ref[rows, best])[by_point != best])
        above = success > np.sum(ref * success, axis=1, keepdims=True)
        above[rows, best] = False
        better.append((n, (worth > 0)[above].sum(), above.sum()))
        poorest = _of(worth, success.argmin(axis=1))
        worst.append((n, (poorest < 0).sum(), len(poorest)))
    rare = np.concatenate(rarer)
    return [
        Verdict(
            "A unit of SFT is best spent on r*.",
            "a plausible reading of " + SOURCE,
            "in all random problems",
            f"{_shares(unit)}; in {sum(leads)} of the {sum(total - count for _, count, total in unit)} others r* "
            f"leads already; r* saves at most {max(loss):.2f} in log T a unit less than the best",
            verdict(all(count == total for _, count, total in unit)),
        ),
        Verdict(
            "A point of probability is best moved to r*.",
            "a plausible reading of " + SOURCE,
            "in all random problems",
            f"{_shares(point)}; in {rare.sum()} of the {rare.size} others the best one is rarer than r*",
            verdict(all(count == total for _, count, total in point)),
        ),
        Verdict(
            "Demonstrations that are better than the model's own accuracy save RL time.",
            "a plausible reading of " + SOURCE,
            "a unit of SFT on any pattern above ρ_ref saves time",
            f"it costs time, patterns other than r*: {_shares(better)}",
            verdict(all(count == 0 for _, count, _ in better)),
        ),
        Verdict(
            "Demonstrations of the worst pattern cost RL time.",
            "a plausible reading of " + SOURCE,
            "a unit of SFT on it costs time",
            f"it saves time: {_shares(worst)}",
            verdict(all(count == 0 for _, count, _ in worst)),
        ),
    ]


def _shares(counts: list[Any]) -> str:
    return ", ".join(f"{count / total:.1%} of {total} (n = {n})" for n, count, total in counts)


def _mostly(rare: list[Any], common: list[Any]) -> str:
    """Holds if the 95 % intervals of all shares lie above ½, only if r* is not rare if those of `rare` lie below."""
    below = [wilson(*counts)[1] < 0.5 for counts in rare]
    above = [[wilson(*counts)[0] > 0.5 for counts in half] for half in (rare, common)]
    return f"{ONLY_IF}r* is not rare" if all(below) and all(above[1]) else verdict(np.all(above))


def _improving(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    texts, rare, common, harm = [], [], [], []
    for n in SIZES:
        share, success = _point_and_better(data, n)
        mass = _of(data[f"{n}/ref"], data[f"{n}/success"].argmax(axis=1))
        more = success > share
        halves = more[mass < np.median(mass)], more[mass >= np.median(mass)]
        for counts, half in zip((rare, common), halves, strict=True):
            counts.append((half.sum(), half.size))
        texts.append(
            f"n = {n}: {more.mean():.0%} of {len(more)}, {halves[0].mean():.0%} of the half with rarer r*, "
            f"{halves[1].mean():.0%} of the other"
        )
        ordered = np.argsort(data[f"{n}/success"], axis=1)
        second = ordered[:, -2]
        entangled = _of(data[f"{n}/success"], second) > np.sum(
            data[f"{n}/ref"] * data[f"{n}/success"], axis=1
        )
        slower = _of(data[f"{n}/better"], second)[entangled] > 0
        harm.append((n, slower.sum(), slower.size))
    law = 1 - data["deep_patterns"]
    off = np.abs(data["deep"] / law - 1).max()
    return [
        Verdict(
            "A point of success rate of r* is worth more than a point of its share.",
            "open question; predicted by the law of deep stalls to turn round where r* is rare",
            "in most problems, of the half with rarer r* and of the other (95 % intervals above ½)",
            "; ".join(texts),
            _mostly(rare, common),
        ),
        Verdict(
            "A higher success rate of any pattern saves RL time.",
            "a plausible reading of " + SOURCE,
            "also that of the second-best in entangled problems",
            f"it costs time: {_shares(harm)}",
            verdict(all(count == 0 for _, count, _ in harm)),
        ),
        Verdict(
            "In a deep stall a percent more of r* saves n − 1 percent of RL time.",
            DERIVED + "; Chen, Li, Zou, arXiv 2506.04695, Theorem 5.4",
            f"d log T / d log π_ref(r*) = 1 − n at γ = {DEEP:.0e}, others in proportion",
            ", ".join(
                f"{value:.3f} (n = {n})" for n, value in zip(data["deep_patterns"], data["deep"], strict=True)
            ),
            verdict(off < 0.05),
        ),
    ]

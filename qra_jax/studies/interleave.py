r"""Does SFT on the questions that RL never solves, in between RL steps, beat RL and SFT?

Claim RELIFT (arXiv 2506.07527): it does (reported 52.6 against RL 46.9 and SFT 49.0), and SFT at every step is far
worse (23.8). Control: equal demonstrations and equal steps; a unit of demonstrations is one, at weight one, for one
question and unit time. Beside the claimed method stand SFT before RL, and, to tell the *choice* of questions from
the *timing*, SFT first on whatever is unsolved and RL only then.

*Dose.* A question starts at ρ₀ = π_ref(r*) ≪ 1. RL needs a time ∝ 1/ρ₀ to find r*; demonstrations, a share x of
them of r*, move its log odds by 2x a unit for two patterns, so about log(1/ρ₀)/2x units do, wherever in the run they
come: a gain by choice of questions, since those that RL solves anyway need none, and none by timing. But the dose
need not go all the way: RL alone finishes from ρ ≈ 1/(2√(G − 1) T) on, whereas the gate (1 − ρ)^G shuts at 1/G only.
Between RL steps it shuts in time, since RL lifts ρ itself; before RL it wastes demonstrations, unless its G is larger.
The gate looks at accuracy alone: where a rival is right half of the time, the question counts as solved, stalled or
not. With shared parameters demonstrations for one question move others, and nothing is promised.

*Rest.* SFT at every step with weight w holds the policy near the data μ. If only r* is ever right (with rate p*),
the wrong patterns rest at π_i = w μ_i/(w + c(ρ)ρ), so that

$$ \pi(r^*) = 1 - \frac{w\,(1-m)}{w + c(\rho)\,\rho},\qquad \rho = p^*\pi(r^*),\qquad m = \mu(r^*), $$

for p* = 1 and REINFORCE ρ = ½[1 − w + √((1 − w)² + 4wm)] (√m at w = 1), for GRPO with G → ∞
ρ = [1 + 2w²m + √(1 + 4w²m(1 − m))]/(2 + 2w²): below one unless the data are perfect. With the gate there is no rest
but ρ = 1 for REINFORCE if w(1 − m)^{G−1} < 1.

Questions have 4 patterns, log π_ref(r*) uniform from 10⁻⁶ to 10^−.5 and p* from .8 to 1; the others are never right,
or one of them is half of the time. Features as in the study of interference: √(1 − s) of its own for each question
beside √s shared. Intervals are Student's over populations, at 99.8 %.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot, recipe, theory
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.problem import Problem
from qra_jax.studies.base import ONLY_IF, Verdict, verdict

TITLE = "Interleaving: SFT helps on unsolved questions, until RL can take over, in between or before"
SOURCE = "RELIFT; arXiv 2506.07527"
OWN = "derived here"
POPULATIONS, T998 = 8, 4.785
"""Populations, and half a 99.8 % interval in standard errors, by Student's t with one degree of freedom less."""
PATTERNS, FEATURES, GROUP, SHARE = 4, 16, 8, 0.8
"""SHARE: x, of demonstrations of r* among the model's own choices."""
QUESTIONS = {True: 16, False: 48}
TIME, STEPS, PARTS = 50.0, 300, 5
"""Time of a run; steps; SFT that comes before RL takes the first of so many equal parts of the steps."""
WEIGHT, ALONE = 0.3, 1e3
"""Weight of interleaved SFT; weight (at a rate as much smaller) at which RL does not count beside SFT."""
RIVALS = {"no rival": 0.0, "half-right rival": 0.5}
OVERLAPS = {"apart": 0.0, "30 % shared": 0.3, "all shared": 1.0}
SETTINGS = {f"{how}, {who}": (rival, s) for who, rival in RIVALS.items() for how, s in OVERLAPS.items()}
BASE = next(iter(SETTINGS))
COLORS = {
    "RL alone": plot.color("rlvr"),
    "SFT alone": plot.color("sft"),
    "SFT, then RL": plot.CYCLE[4],
    "SFT at every step": plot.CYCLE[3],
    "SFT on unsolved, then RL": plot.CYCLE[6],
    "interleaved": plot.CYCLE[1],
}
METHODS = tuple(COLORS)
GATED = METHODS[4:]
WEIGHTS = {True: (0.03, 0.1, 0.2, 1.0), False: (0.03, 0.06, 0.1, 0.2, 0.6, 1.0, 3.0)}
AMOUNTS = {True: (0.5, 2.0, 5.0, 12.0), False: (0.5, 1.0, 2.0, 3.5, 5.0, 8.0, 12.0, 25.0)}
SHARES = {True: (0.01, 0.1, 0.3, 0.8, 1.0), False: (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9, 1.0)}
SHARPER = (64.0, 256.0)
"""Other gates (1 − ρ)^G of SFT that comes first."""
HEAVY = (1.0, 10.0)
"""Weights of SFT at every step in the sweep over the quality of the data."""
LONGEST = 0.8
"""Largest part of the time that SFT before RL may take, where it does not get through its demonstrations."""
SAVES, CHUNK = 60, 8
Gain = tuple[float, float]


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Final accuracies of all methods in all settings at equal demonstrations, expected and sampled; sweeps."""
    rng = np.random.default_rng(seed)
    drawn = [_population(rng, QUESTIONS[quick], rival, overlap) for rival, overlap in SETTINGS.values()]
    every = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *drawn)
    data = _compare(every, seed)
    given = data["given"][-1, :POPULATIONS]
    return data | _sweeps(drawn[0], quick) | _data_quality(drawn[0], quick) | _gates(drawn[0], given)


def _population(
    rng: np.random.Generator, questions: int, rival: float, overlap: float
) -> tuple[Problem, Array, Array]:
    """Questions `[populations, questions, patterns]`, shared rows of unit length on average, overlaps."""
    size = (POPULATIONS, questions)
    best = 10 ** rng.uniform(-6, -0.5, (*size, 1))
    others = (1 - best) * rng.dirichlet(np.ones(PATTERNS - 1), size)
    success = np.zeros((*size, PATTERNS))
    success[..., 0], success[..., 1] = rng.uniform(0.8, 1, size), rival
    rows = rng.normal(size=(*size, PATTERNS, FEATURES)) / np.sqrt(FEATURES)
    log_ref = jnp.log(np.concatenate([best, others], axis=-1))
    return Problem(log_ref, jnp.asarray(success)), jnp.asarray(rows), jnp.full(POPULATIONS, overlap)


def numbers(method: str, amount: Any) -> np.ndarray:
    """Weight of SFT and learning rate, in the first part of the steps and in the others.

    Args:
      method: one of METHODS.
      amount: `[...]`, the weight w of interleaved SFT; of the other methods the time of SFT, in units of
        demonstrations for each question that it looks at.

    Returns:
      `[..., 2, 2]`, (weight, rate) early and late.
    """
    amount = np.asarray(amount, float)
    zero, rate = np.zeros_like(amount), np.full_like(amount, TIME / STEPS)
    first, rest = amount * PARTS / STEPS, (TIME - amount) * PARTS / (STEPS * (PARTS - 1))
    both = {
        "RL alone": (zero, rate, zero, rate),
        "SFT alone": (zero + ALONE, first / ALONE, zero, zero),
        "SFT, then RL": (zero + ALONE, first / ALONE, zero, rest),
        "SFT at every step": (amount / TIME, rate, amount / TIME, rate),
        "SFT on unsolved, then RL": (zero + ALONE, first / ALONE, zero, rest),
        "interleaved": (amount, rate, amount, rate),
    }
    return np.stack(both[method], axis=-1).reshape(*amount.shape, 2, 2)


def _one(
    gated: bool,
    runner: str,
    problem: Problem,
    rows: Array,
    overlap: Array,
    share: Array,
    gate: Array,
    halves: Array,
    key: Array,
) -> tuple[Array, Array, Array]:
    """Accuracy of each question; demonstrations for each; mean accuracy on the way."""
    questions = rows.shape[0]
    own = jnp.eye(questions * PATTERNS).reshape(questions, PATTERNS, -1)
    features = jnp.concatenate([jnp.sqrt(1 - overlap) * own, jnp.sqrt(overlap) * rows], axis=-1)
    weight, rate = (jnp.concatenate([x[:1], jnp.repeat(x[1:], PARTS - 1)]) for x in halves.T)
    phase = recipe.interleaved(
        demonstrations=share,
        unsolved=gate if gated else None,
        weight=recipe.Schedule(weight, "step"),
        learning_rate=recipe.Schedule(rate, "step"),
        steps=STEPS,
        algorithm=grpo(GROUP),
        runner=runner,
    )
    found = recipe.Recipe((phase,)).run(problem, key=key, features=features, saves=SAVES)
    assert found.path is not None
    path = jnp.einsum("sqr,qr->s", jnp.exp(found.path[0]), problem.success) / questions
    # Where there is SFT late, the rate is the same as early.
    return found.accuracy, found.demonstrations[0] * rate[0] / questions, path


_RUNS = {
    (gated, runner): many(partial(_one, gated, runner), block=CHUNK, chunk=CHUNK)
    for gated in (False, True)
    for runner in ("mean", "sampled")
}


def _run(
    population: Any,
    method: str,
    amount: Any,
    *,
    runner: str = "mean",
    share: Any = SHARE,
    gate: float = float(GROUP),
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A method on all populations, `amount` and `share` being `[..., populations or 1]`.

    Returns accuracy `[..., populations, questions]`, demonstrations `[..., populations]`, mean accuracies
    `[..., populations, saves]`.
    """
    size = population[2].shape[0]
    amount, share, _ = np.broadcast_arrays(np.asarray(amount, float), share, np.empty(size))
    lanes = amount.size
    found = _RUNS[method in GATED, runner](
        *jax.tree.map(lambda x: jnp.concatenate([x] * (lanes // size)), population),
        share.ravel(),
        np.full(lanes, float(gate)),
        numbers(method, amount).reshape(-1, 2, 2),
        jax.random.split(jax.random.key(seed), lanes),
    )
    accuracy, given, path = (np.asarray(x) for x in found)
    shape = amount.shape
    return accuracy.reshape(*shape, -1), given.reshape(shape), path.reshape(*shape, -1)


def _first(population: Any, given: np.ndarray, gate: float) -> np.ndarray:
    """For how long SFT on unsolved questions comes first, to take as many demonstrations as are given."""
    time = given
    for _ in range(4):
        took = _run(population, "SFT on unsolved, then RL", time, gate=gate)[1]
        time = np.minimum(time * given / took, LONGEST * TIME)
    return time


def _compare(every: Any, seed: int) -> dict[str, np.ndarray]:
    """All methods at the demonstrations that interleaving took, `[methods, settings · populations, …]`."""
    weight = np.full(every[2].shape, WEIGHT)
    given = _run(every, "interleaved", weight)[1]
    amounts = dict.fromkeys(METHODS, given) | {"interleaved": weight}
    amounts["SFT on unsolved, then RL"] = _first(every, given, float(GROUP))
    found = [_run(every, method, amounts[method]) for method in METHODS]
    sampled = [_run(every, method, amounts[method], runner="sampled", seed=seed) for method in METHODS]
    return {
        "accuracy": np.stack([accuracy for accuracy, _, _ in found]),
        "given": np.stack([given for _, given, _ in found]),
        "path": np.stack([path[:POPULATIONS].mean(axis=0) for _, _, path in found]),
        "sampled": np.stack([accuracy for accuracy, _, _ in sampled]),
        "sampled given": np.stack([given for _, given, _ in sampled]),
    }


def _sweeps(population: Any, quick: bool) -> dict[str, np.ndarray]:
    """Demonstrations and mean accuracy for several budgets, `[2, budgets]` for every method but RL alone."""
    data = {}
    for method in METHODS[1:]:
        amounts = np.asarray(WEIGHTS[quick] if method == "interleaved" else AMOUNTS[quick])
        accuracy, given, _ = _run(population, method, amounts[:, None])
        data[f"budget/{method}"] = np.stack([given.mean(axis=-1), accuracy.mean(axis=(-2, -1))])
    return data


def _gates(population: Any, given: np.ndarray) -> dict[str, np.ndarray]:
    """SFT first on questions below other accuracies, by the same budget, `[gates, populations, questions]`."""
    times = [_first(population, given, gate) for gate in SHARPER]
    method = "SFT on unsolved, then RL"
    found = [_run(population, method, time, gate=gate) for time, gate in zip(times, SHARPER, strict=True)]
    return {"sharper": np.stack([x[0] for x in found]), "sharper given": np.stack([x[1] for x in found])}


def _data_quality(population: Any, quick: bool) -> dict[str, np.ndarray]:
    """SFT at every step, for two weights, and interleaved with weight one, against the share of r*."""
    shares, problems = np.asarray(SHARES[quick]), population[0]
    time = TIME * np.array(HEAVY)[:, None, None]
    every, _, _ = _run(population, "SFT at every step", time, share=shares[:, None])
    gated, _, _ = _run(population, "interleaved", 1.0, share=shares[:, None])
    ref, best = (np.asarray(x[..., 0]) for x in (problems.ref, problems.success))
    mass = (1 - shares[:, None, None]) * ref + shares[:, None, None]
    rest = np.stack([theory.rest_point(weight, mass, best, grpo(GROUP)) for weight in HEAVY])
    dose = np.log(1 / ref) / (2 * shares[:, None, None])
    names = ("share", "every", "gated", "rest", "dose")
    return {f"quality/{k}": v for k, v in zip(names, (shares, every, gated, rest, dose), strict=True)}


def part(data: Mapping[str, np.ndarray], name: str, kind: str = "accuracy") -> np.ndarray:
    """What was measured in one setting, `[methods, populations, …]`."""
    first = list(SETTINGS).index(name) * POPULATIONS
    return data[kind][:, first : first + POPULATIONS]


def gain(
    data: Mapping[str, np.ndarray], name: str, method: str, against: str, kind: str = "accuracy"
) -> Gain:
    """Mean over populations of a difference in final accuracy, and its standard error.

    Args:
      data: from [`compute`][].
      name: which setting.
      method, against: which methods.
      kind: `"accuracy"`, expected training, or `"sampled"`.

    Returns:
      Two numbers.
    """
    mean = part(data, name, kind).mean(axis=-1)
    return _paired(mean[METHODS.index(method)] - mean[METHODS.index(against)])


def _paired(difference: np.ndarray) -> Gain:
    """Mean over the last axis, populations, and standard error."""
    error = difference.std(axis=-1, ddof=1) / np.sqrt(POPULATIONS)
    return float(difference.mean(axis=-1)), float(error)


def _sign(pair: Gain) -> int:
    """Whether a gain is above zero, below, or neither."""
    mean, error = pair
    return int(mean > T998 * error) - int(mean < -T998 * error)


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Accuracy on the way; against demonstrations; gains in all settings; SFT at every step."""
    figure, axes = plot.new((10.4, 7.0), nrows=2, ncols=2)
    _paths(data, axes[0, 0])
    _budgets(data, axes[0, 1])
    _gains(data, axes[1, 0])
    _rest(data, axes[1, 1])
    return figure


def _paths(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    steps = np.arange(1, SAVES + 1) * STEPS / SAVES
    for method, path in zip(METHODS, data["path"], strict=True):
        shown = slice(None, SAVES // PARTS) if method == "SFT alone" else slice(None)
        ax.plot(steps[shown], path[shown], color=COLORS[method], label=method)
    given = part(data, BASE, "given")[-1].mean()
    ax.set(xlabel="step", ylabel="mean accuracy", ylim=(0, 1.3))
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.legend(fontsize=7.5, loc="upper left", ncols=2)
    ax.set_title(f"Equal demonstrations ({given:.1f} a question), unequal ends")


def _budgets(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for method in METHODS[1:]:
        given, accuracy = data[f"budget/{method}"]
        order = np.argsort(given)
        ax.plot(given[order], accuracy[order], "o-", color=COLORS[method], markersize=3)
    alone = part(data, BASE)[0].mean()
    ax.axhline(alone, color=COLORS["RL alone"], linestyle="--", linewidth=1.2)
    ax.set(xscale="log", xlabel="demonstrations a question", ylabel="final accuracy", ylim=(0, 1))
    at = data["sharper given"][0].mean(), data["sharper"][0].mean()
    ax.plot(
        *at, "*", color=COLORS["SFT on unsolved, then RL"], markersize=11, markeredgecolor="white", zorder=5
    )
    text = f"first, where ρ < 1/{SHARPER[0]:.0f}"
    ax.annotate(text, at, (-6, 5), textcoords="offset points", ha="right", fontsize=8)
    ax.set_title("SFT first does as well if it stops early (star)")


def _gains(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for i, name in enumerate(SETTINGS):
        for j, method in enumerate(METHODS[:-1]):
            mean, error = gain(data, name, "interleaved", method)
            ax.errorbar(
                mean,
                len(SETTINGS) - i + 0.3 - 0.15 * j,
                xerr=T998 * error,
                fmt="o",
                color=COLORS[method],
                markersize=4,
                linewidth=1,
            )
    ax.axvline(0, color="black", linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(SETTINGS), 0, -1), list(SETTINGS), fontsize=8)
    ax.set(xlabel="accuracy of interleaved − that of another, by colour (99.8 % intervals)")
    ax.set_title("Sharing everything, or a rival, takes the gain away")


def _rest(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    share, pink = data["quality/share"], COLORS["SFT at every step"]
    for i, (weight, style) in enumerate(zip(HEAVY, ("-", ":"), strict=True)):
        label = f"SFT at every step, w = {weight:g}: rest"
        ax.plot(share, data["quality/rest"][i].mean(axis=(1, 2)), style, color=pink, label=label)
        runs = data["quality/every"][i].mean(axis=(1, 2))
        ax.plot(share, runs, "o", color=pink, markersize=4, label="runs" if i == 0 else None)
    gated = data["quality/gated"].mean(axis=(1, 2))
    ax.plot(share, gated, "o-", markersize=3, color=COLORS["interleaved"], label="interleaved, w = 1")
    alone = part(data, BASE)[0].mean()
    ax.axhline(alone, color=COLORS["RL alone"], linestyle="--", linewidth=1.2, label="RL alone")
    ax.set(xlabel="share x of r* in the demonstrations", ylabel="final accuracy", ylim=(0, 1))
    ax.legend(fontsize=7.5, loc="lower right")
    ax.set_title("SFT at every step holds the policy at the data")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """A difference counts where it is T998 standard errors away from zero."""
    first, before = "SFT on unsolved, then RL", "SFT, then RL"
    off = np.abs(data["given"][1:] / data["given"][-1] - 1).max()
    mean = part(data, BASE).mean(axis=-1)
    sharper = [_paired(mean[-1] - accuracy.mean(axis=-1)) for accuracy in data["sharper"]]
    reached = data["quality/dose"] < TIME / 2
    error = np.abs(data["quality/every"] - data["quality/rest"])[:, reached]
    agree, total, opposed = _agreement(data)
    shift = np.abs(
        (data["sampled"] - data["accuracy"]).reshape(len(METHODS), len(SETTINGS), -1).mean(axis=-1)
    )
    return [
        Verdict(
            "SFT on unsolved questions between RL steps beats RL alone and SFT alone, at equal demonstrations.",
            SOURCE,
            "both differences in final accuracy above 0",
            _said(data, "interleaved", ("RL alone", "SFT alone")),
            _where(data, "interleaved", ("RL alone", "SFT alone")),
        ),
        Verdict(
            "It beats SFT before RL, at equal demonstrations and steps.",
            "control of " + SOURCE,
            "difference above 0",
            f"{_said(data, 'interleaved', (before,))} (demonstrations equal to {off:.1%} in expectation)",
            _where(data, "interleaved", (before,)),
        ),
        Verdict(
            "The choice of questions gains: SFT on unsolved ones, then RL, beats SFT on all, then RL.",
            OWN + ": demonstrations for a question that RL solves are wasted",
            "difference above 0",
            _said(data, first, (before,)),
            _where(data, first, (before,)),
        ),
        Verdict(
            "The timing gains, too: interleaved beats SFT on unsolved questions, then RL.",
            OWN + ": not if a dose log(1/ρ₀)/2x were needed whenever it comes",
            "difference above 0",
            _said(data, "interleaved", (first,)),
            _where(data, "interleaved", (first,)),
        ),
        Verdict(
            "Timing gains because RL takes over early: SFT that comes first with a gate that shuts early loses less.",
            OWN + ": RL alone finishes from ρ = 1/(2√(G − 1) T) on, far below 1/G",
            f"interleaved − first less than half with a gate of {SHARPER[0]:.0f} or {SHARPER[1]:.0f} ({BASE})",
            f"gate of {GROUP}: {mean[-1].mean() - mean[4].mean():+.3f}; "
            + "; ".join(f"{g:.0f}: {m:+.3f} ± {e:.3f}" for g, (m, e) in zip(SHARPER, sharper, strict=True)),
            verdict(_shrinks(_paired(mean[-1] - mean[4]), sharper)),
        ),
        Verdict(
            "SFT at every step ends below RL alone.",
            SOURCE,
            f"difference below 0 ({BASE})",
            _said_quality(data),
            _every_step(data),
        ),
        Verdict(
            "SFT at every step ends at the rest point 1 − π(r*) = w(1 − m)/(w + c(ρ)ρ) of every question.",
            OWN,
            "largest difference where the dose log(1/ρ₀)/2x is at most half of the run: below .01",
            f"{error.max():.1e} ({error.size} questions, shares and weights)",
            verdict(error.max() < 0.01),
        ),
        Verdict(
            "Sampled groups and demonstrations rank the methods as expected training does.",
            OWN,
            "no difference of interleaved from another method has opposite signs",
            f"{agree} of {total} alike, {opposed} opposed; largest difference of mean accuracy {shift.max():.3f}",
            verdict(opposed == 0 and agree > total / 2),
        ),
    ]


def _said(data: Mapping[str, np.ndarray], method: str, others: tuple[str, ...]) -> str:
    parts = []
    for name in SETTINGS:
        pairs = [gain(data, name, method, other) for other in others]
        parts.append(f"{name}: " + ", ".join(f"{mean:+.3f} ± {error:.3f}" for mean, error in pairs))
    return "; ".join(parts)


def _where(data: Mapping[str, np.ndarray], method: str, others: tuple[str, ...]) -> str:
    """In which settings a method beats others."""
    won = [name for name in SETTINGS if all(_sign(gain(data, name, method, other)) > 0 for other in others)]
    if len(won) in (0, len(SETTINGS)):
        return verdict(won)
    return ONLY_IF + "the questions are: " + "; ".join(won)


def _shrinks(timing: Gain, sharper: list[Gain]) -> bool:
    """Whether there is a gain by timing, and less than half of it with some other gate, intervals included."""
    return _sign(timing) > 0 and any(mean + T998 * error < timing[0] / 2 for mean, error in sharper)


def _quality(data: Mapping[str, np.ndarray]) -> list[list[Gain]]:
    """SFT at every step − RL alone, for each weight and share."""
    alone = part(data, BASE)[0].mean(axis=-1)
    return [[_paired(x.mean(axis=-1) - alone) for x in row] for row in data["quality/every"]]


def _said_quality(data: Mapping[str, np.ndarray]) -> str:
    rows = []
    for weight, row in zip(HEAVY, _quality(data), strict=True):
        pairs = zip(data["quality/share"], row, strict=True)
        rows.append(f"w = {weight:g}: " + ", ".join(f"{mean:+.3f} (x = {x:g})" for x, (mean, _) in pairs))
    return "; ".join(rows)


def _every_step(data: Mapping[str, np.ndarray]) -> str:
    """For which shares x, at each weight, SFT at every step ends below RL alone."""
    below = np.array([[_sign(pair) < 0 for pair in row] for row in _quality(data)])
    if below.all() or not below.any():
        return verdict(below.all())
    worst = [
        f"x ≤ {data['quality/share'][row].max():g} for w = {w:g}"
        for w, row in zip(HEAVY, below, strict=True)
        if row.any()
    ]
    return ONLY_IF + "few of the demonstrations are of r*: " + ", ".join(worst)


def _agreement(data: Mapping[str, np.ndarray]) -> tuple[int, int, int]:
    """Differences of interleaved from others with equal signs, all of them, and those with opposite signs."""
    pairs = [
        tuple(_sign(gain(data, name, "interleaved", other, kind)) for kind in ("accuracy", "sampled"))
        for name in SETTINGS
        for other in METHODS[:-1]
    ]
    return sum(a == b for a, b in pairs), len(pairs), sum(a * b < 0 for a, b in pairs)

r"""Does a network that shares parameters, features and tokens select patterns as the tabular theory says?

A small decoder is pre-trained on sequences `question, pattern, steps, marker, answer, end` with known π_ref(r) and p_r,
then trained by GRPO on its own samples; π_θ(r|q) and p_θ(a*|q, r) are read by teacher forcing. Two starts, Regime 1
(all rivals below the base accuracy) and Regime 2 (one above), and two kinds of answers. *Fixed*: an answer is right
with its pattern's probability, whatever it says, so that Assumption 5.1 (success rates stay) holds by construction.
*Learnable*: each question has a right answer of its own, which the network may learn.

Compared with the orbit of the tabular problem that the base model is (its own π_θ, p):

- *path*, free of any clock: distance of each point of the network's path (mean over questions) from the nearest point
  of the orbit, as total variation ½Σ|Δπ|. The scale is how far that orbit is from the natural gradient's and from the
  straight line to the end: half of the smaller of these is near. The network must also arrive, π(r*) ≥ .9;
- *first integral*: with w = g/π (g fixed by Σ log w), [(w_i − w_j) − (u_i − u_j)] / [(w_i − w_k) − (u_i − u_k)] is
  (p_i − p_j)/(p_i − p_k) anywhere on the softmax orbit; with −log π in place of w, on the natural one;
- *clock*: orbit time of the nearest point against network steps. One rescaling is a straight line through zero (root
  mean square deviation at most a twentieth of the last time), with the same slope from both starts within a tenth. The
  control is REINFORCE's clock on the same orbit.

Where answers are learnable, the gain of accuracy is split for each question into selection, Σ∫p dπ, and answers,
Σ∫π dp, on questions that training asks and on others. All questions have the same π_ref and p, so that selection need
not tell them apart. Intervals are 95 % t-intervals over seeds; a claim holds if all of them lie within its bounds,
fails if one lies outside, and is open otherwise.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import orbit, plot, transformer
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, examples, stack
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, Verdict, bounded, decided, interval
from qra_jax.trajectory import Status
from qra_jax.transformer import probe, rl

TITLE = (
    "A network on the orbit: does selection follow the theory, with answers fixed and with answers learnt?"
)
SOURCE, DERIVED = "QRA-6; Chen, Li, Zou, arXiv 2506.04695", "derived here, from the model of arXiv 2506.04695"
STARTS = {"Regime 1": examples.fast, "Regime 2": examples.worked}
CONDITIONS = [(start, fixed) for fixed in (True, False) for start in STARTS]
QUESTIONS, HELD_OUT, GROUP = 16, 4, 8
RATES = {"SGD": 0.003, "Adam": 1e-4}
SEEDS = {True: 2, False: 8}
STEPS, EVERY, PRETRAINING = {True: 256, False: 320}, 8, 300
MODEL: dict[bool, dict[str, Any]] = {True: {"width": 32}, False: {}}
"""Settings of the decoder that differ from its defaults, quick and full."""
NEAR, ALIKE, STILL, STRAIGHT = 0.05, np.log(1.1), 0.02, 0.05
"""Total variation between groups of questions, log ratio of times, change of a success rate, deviation from a line."""
HIT = 0.9
"""Share of the best pattern that ends a race."""
SEEN = 0.01
"""Shares above which a pattern enters the first integral: below, the error of calibration is no longer small."""

TIMES = np.concatenate([[0.0], np.logspace(-2, 4, 1200)])
"""GRPO times at which orbits are evaluated."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Pre-train, train by GRPO from both starts with both kinds of answers, and find the orbits."""
    seeds, key = SEEDS[quick], np.random.default_rng(seed).permutation(np.arange(QUESTIONS) % 2)
    tasks = [
        transformer.controlled(
            stack([STARTS[start]()] * QUESTIONS), answer_key=key, coin=fixed, held_out=HELD_OUT
        )
        for start, fixed in CONDITIONS
    ]
    model = transformer.Decoder(tasks[0].vocabulary, **MODEL[quick])
    keys = jax.random.split(jax.random.key(seed), seeds)
    bases = {
        start: transformer.learn(
            keys, model, task.demonstrations, steps=PRETRAINING, questions=QUESTIONS, keep=True
        ).params
        for (start, _), task in list(zip(CONDITIONS, tasks, strict=True))[: len(STARTS)]
    }
    shown = tasks[0].demonstrations()  # the same tokens for all tasks: only their shares differ
    runs = [(name, c) for name in RATES for c in CONDITIONS if name == "SGD" or c[1]]

    def one(key: Any, params: Any, task: Any, adam: Any, rate: Any) -> Any:
        return transformer.train(
            key,
            model,
            params,
            task,
            algorithm=grpo(GROUP),
            steps=STEPS[quick],
            questions=QUESTIONS - HELD_OUT,
            learning_rate=rate,
            optimizer=rl.sgd_or_adam(adam),
            record_every=EVERY,
            probe=lambda params: _look(transformer.read_out(model, params, shown)),
        )

    found = transformer.side_by_side(one)(
        jnp.tile(jax.random.split(jax.random.key(seed + 1), seeds), len(runs)),
        jax.tree.map(lambda *x: jnp.concatenate(x), *(bases[start] for _, (start, _) in runs)),
        jax.tree.map(
            lambda *x: jnp.stack([jnp.asarray(y) for y in x for _ in range(seeds)]),
            *(tasks[CONDITIONS.index(c)] for _, c in runs),
        ),
        np.repeat([name == "Adam" for name, _ in runs], seeds),
        np.repeat([RATES[name] for name, _ in runs], seeds),
    )
    data: dict[str, Any] = {"step": np.arange(0, STEPS[quick] + 1, EVERY)}
    for name in RATES:
        rows = [i for i, (other, _) in enumerate(runs) if other == name]
        for field, value in {**found.seen, "status": found.status}.items():
            every = np.asarray(value).reshape(len(runs), seeds, *value.shape[1:])
            data[f"{name}/{field}"] = every[rows]
        start = _asked(data[f"{name}/policy"])[:, :, 0].mean(axis=-2).reshape(-1, 3)
        success = np.repeat([STARTS[runs[i][1][0]]().success for i in rows], seeds, axis=0)
        for geometry in ("softmax", "natural"):
            path = _orbits(start, success, geometry)
            data[f"{name}/{geometry}"] = path.reshape(len(rows), seeds, *path.shape[1:])
    return data


def _look(seen: probe.ReadOut) -> dict[str, Any]:
    return {
        "policy": seen.policy,
        "success": seen.success,
        "leak": jnp.max(seen.leak),
        "steps": jnp.mean(seen.steps),
    }


def _orbits(start: np.ndarray, success: np.ndarray, geometry: str) -> np.ndarray:
    """Path `[runs, points, patterns]` of the orbit from each start at the GRPO times `TIMES`."""
    start = start.astype(float) / start.astype(float).sum(axis=1, keepdims=True)
    return np.stack([_orbit(geometry)(*pair) for pair in zip(start, success.astype(float), strict=True)])


@lru_cache
def _orbit(geometry: str) -> Callable[[Any, Any], Any]:
    def path(start: Any, success: Any) -> Any:
        problem = Problem(jnp.log(start), success)
        return orbit.solve(problem, ts=TIMES, algorithm=grpo(GROUP), geometry=geometry).policy

    return jax.jit(path)


def _asked(values: np.ndarray, *, asked: bool = True) -> np.ndarray:
    """Of `[..., questions, patterns]`, the questions that training asks, or those held out."""
    first = values.shape[-2] - HELD_OUT
    return values[..., :first, :] if asked else values[..., first:, :]


def _path(data: Mapping[str, np.ndarray], name: str = "SGD", *, asked: bool = True) -> np.ndarray:
    """π as a mean over questions, `[conditions, seeds, times, patterns]`."""
    return _asked(data[f"{name}/policy"], asked=asked).mean(axis=-2)


def nearest(path: np.ndarray, orbit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Total variation from each point of a path to a curve, and the index of the nearest point there.

    Args:
      path: `[..., times, patterns]`.
      orbit: `[..., points, patterns]`.

    Returns:
      Distance and index, `[..., times]`.
    """
    distance = 0.5 * np.abs(path[..., :, None, :] - orbit[..., None, :, :]).sum(axis=-1)
    return distance.min(axis=-1), distance.argmin(axis=-1)


def integral(path: np.ndarray, geometry: str) -> np.ndarray:
    """First integral [Δw_i − Δw_j] / [Δw_i − Δw_k] of patterns (best, rival, other) along a path, `[..., times]`.

    NaN at the start, and wherever a share is below `SEEN`.
    """
    log = np.log(np.maximum(path, 1e-12))
    w = -log if geometry == "natural" else np.exp(log.mean(axis=-1, keepdims=True) - log)
    if geometry == "softmax":  # the gauge: w = g / π with Σ log w = Σ log u
        gauge = -log[..., :1, :].mean(axis=-1, keepdims=True)
        w = w * np.exp(gauge)
    change = w - w[..., :1, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (change[..., 0] - change[..., 1]) / (change[..., 0] - change[..., 2])
    usable = (path.min(axis=-1) >= SEEN) & (np.arange(path.shape[-2]) > 0)
    return np.where(usable, ratio, np.nan)


def gains(policy: np.ndarray, success: np.ndarray) -> tuple[Any, Any]:
    """Gain of accuracy from selection, Σ∫p dπ, and from answers, Σ∫π dp, by the trapezoidal rule.

    Args:
      policy, success: `[..., times, questions, patterns]`.

    Returns:
      Both parts, `[...]`, means over questions.
    """
    middle = lambda x: (x[..., 1:, :, :] + x[..., :-1, :, :]) / 2  # noqa: E731
    selection = (middle(success) * np.diff(policy, axis=-3)).sum(axis=(-3, -1)).mean(axis=-1)
    answers = (middle(policy) * np.diff(success, axis=-3)).sum(axis=(-3, -1)).mean(axis=-1)
    return selection, answers


def _median(values: np.ndarray) -> np.ndarray:
    """Median of the finite ones on the last axis, NaN where there are none."""
    found = [x[np.isfinite(x)] for x in values]
    return np.array([np.median(x) if len(x) else np.nan for x in found])


def clock(
    step: np.ndarray, path: np.ndarray, orbit: np.ndarray, time: np.ndarray = TIMES
) -> tuple[float, float]:
    """Orbit time of a network step, from the line t = a s through zero while the best pattern's share is below .9.

    Returns:
      The slope a, and the root mean square deviation from the line over the last time.
    """
    reached = time[nearest(path, orbit)[1]]
    used = np.cumsum(path[:, 0] >= HIT) == 0
    s, t = step[used].astype(float), reached[used]
    if not (s @ s > 0 and t[-1] > 0):
        return 0.0, np.nan
    slope = (s @ t) / (s @ s)
    return float(slope), float(np.sqrt(np.mean((t - slope * s) ** 2)) / t[-1])


def reinforce_time(orbit: np.ndarray, success: np.ndarray) -> np.ndarray:
    """REINFORCE's time at the points of an orbit that are given at GRPO times: dt = c(ρ) dt_GRPO."""
    speed = np.asarray(grpo(GROUP).clock(jnp.asarray(orbit @ success)))
    return np.concatenate([[0.0], np.cumsum(np.diff(TIMES) * (speed[1:] + speed[:-1]) / 2)])


def hit(step: np.ndarray, share: np.ndarray) -> float:
    """First step at which a share reaches `HIT`, interpolated; infinite if never."""
    above = np.flatnonzero(share >= HIT)
    if not len(above):
        return np.inf
    i = above[0]
    if i == 0:
        return float(step[0])
    part = (HIT - share[i - 1]) / (share[i] - share[i - 1])
    return float(step[i - 1] + part * (step[i] - step[i - 1]))


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Paths in the simplex, the clock, what answers do, and what the gain is made of."""
    figure, axes = plot.new((9.6, 7.4), nrows=2, ncols=2)
    _draw_paths(data, axes[0, 0])
    _draw_clock(data, axes[0, 1])
    _draw_answers(data, axes[1, 0])
    _draw_gains(data, axes[1, 1])
    return figure


def _draw_paths(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    far, paths = 0.0, _path(data)
    for c, start in enumerate(STARTS):
        for run, path in enumerate(paths[c]):
            label = "network, each seed" if c == run == 0 else None
            ax.plot(path[:, 2], path[:, 0], color=plot.BEST, alpha=0.5, linewidth=1.1, label=label)
        for geometry, color, style in (("softmax", "black", "--"), ("natural", plot.RIVAL, ":")):
            curve = data[f"SGD/{geometry}"][c].mean(axis=0)
            label = f"orbit, {'softmax policy' if geometry == 'softmax' else geometry} gradient"
            ax.plot(curve[:, 2], curve[:, 0], style, color=color, label=label if c == 0 else None)
        distance = nearest(paths[c], data["SGD/softmax"][c])[0]
        far = max(far, float(distance.max(axis=-1).mean()))
        first = paths[c, :, 0].mean(axis=0)
        ax.plot(first[2], first[0], "o", color="black", markersize=4)
        side = "right" if first[2] > 0.1 else "left"
        ax.annotate(
            f"{start} starts", (first[2], first[0]), xytext=(4, 7), textcoords="offset points", ha=side
        )
    ax.set(xlabel="share of the third pattern", ylabel="share of the best pattern r*", ylim=(-0.02, 1.02))
    ax.legend()
    ax.set_title(f"Answers fixed: within {far:.3f} of the softmax orbit")


def _slopes(data: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    """Slope of the clock of each seed, for both starts with fixed answers."""
    return [
        np.array(
            [
                clock(data["step"], path, orbit)[0]
                for path, orbit in zip(_path(data, name)[c], data[f"{name}/softmax"][c], strict=True)
            ]
        )
        for c in range(len(STARTS))
    ]


def _draw_clock(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    ratio = {}
    for name, color in (("SGD", plot.BEST), ("Adam", plot.RIVAL)):
        ratio[name] = np.exp(_ratio(_slopes(data, name))[0])
        for c, (start, style) in enumerate(zip(STARTS, ("--", "-"), strict=True)):
            for run, path in enumerate(_path(data, name)[c]):
                time = TIMES[nearest(path, data[f"{name}/softmax"][c, run])[1]]
                used = np.cumsum(path[:, 0] >= HIT) <= 1
                label = f"{name}, {start}" if run == 0 else None
                ax.plot(
                    data["step"][used], time[used], style, color=color, alpha=0.6, linewidth=1, label=label
                )
    ax.set(xlabel="network steps", ylabel="orbit time of the nearest point")
    ax.legend()
    ax.set_title(f"Clock, Regime 2 over 1: SGD {ratio['SGD']:.2f}, Adam {ratio['Adam']:.2f}")


def _draw_answers(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    learnt, fixed = (CONDITIONS.index(("Regime 2", kind)) for kind in (False, True))
    paths, rates = _path(data), _asked(data["SGD/success"]).mean(axis=-2)
    curves = {
        "share of r*": (paths[learnt, :, :, 0], plot.BEST, "-"),
        "share of r*, answers fixed": (paths[fixed, :, :, 0], plot.BEST, "--"),
        "success rate of the rival": (rates[learnt, :, :, 1], plot.RIVAL, "-"),
    }
    for name, (values, color, style) in curves.items():
        ax.plot(data["step"], values.T, style, color=color, linewidth=1, alpha=0.6)
        ax.plot([], [], style, color=color, label=name)
    ax.set(xlabel="network steps", ylabel="share π(r*), success rate of the rival", ylim=(-0.02, 1.35))
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.legend(loc="upper left", ncols=2)
    end = rates[learnt, :, -1, 1].mean()
    won = (paths[learnt, :, -1, 0] > 0.5).mean()
    ax.set_title(f"Learnt, Regime 2: r* wins {won:.0%}, its rival is {end:.0%} right")


def _draw_gains(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    rows, labels = [], []
    for start in STARTS:
        for where, asked in (("trained on", True), ("held out", False)):
            c = CONDITIONS.index((start, False))
            pair = gains(*(_asked(data[f"SGD/{x}"][c], asked=asked) for x in ("policy", "success")))
            rows.append([interval(x) for x in pair])
            labels.append(f"{start}\n{where}")
    values = np.array(rows)  # [bars, selection or answers, mean and half width]
    place, width = np.arange(len(rows)), 0.38
    for i, (name, color) in enumerate((("selection", plot.BEST), ("answers", plot.RIVAL))):
        half = np.where(np.isfinite(values[:, i, 1]), values[:, i, 1], 0)
        ax.bar(
            place + (i - 0.5) * width, values[:, i, 0], width, yerr=half, color=color, label=name, capsize=2
        )
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(xticks=place, xticklabels=labels, ylabel="gain of accuracy")
    ax.legend()
    total = values[:, :, 0].sum(axis=1)
    share = np.where(total > 0, values[:, 0, 0] / np.where(total > 0, total, 1), np.nan)
    ax.set_title(f"Learnt: selection makes {share[0]:.0%} and {share[2]:.0%} of the gain")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Path, first integral and clock for fixed answers; what learnable answers change; Adam."""
    data = _sound(data)
    success = [np.asarray(make().success) for make in STARTS.values()]
    path, orbits = _path(data), data["SGD/softmax"]
    seeds = range(path.shape[1])
    natural = [_mean_distance(data, c, "natural") - _mean_distance(data, c, "softmax") for c in (0, 1)]
    closer = [interval(x) for x in natural]
    ratio, true = [interval(_median(integral(path[c], "softmax"))) for c in (0, 1)], _predicted_integral()
    other = [float(_median(integral(data["SGD/natural"][c], "softmax")).mean()) for c in (0, 1)]
    fits = [np.array([clock(data["step"], path[c, i], orbits[c, i])[1] for i in seeds]) for c in (0, 1)]
    others = [
        np.array(
            [
                clock(data["step"], path[c, i], orbits[c, i], reinforce_time(orbits[c, i], success[c]))[1]
                for i in seeds
            ]
        )
        for c in (0, 1)
    ]
    straight, slopes = [interval(x) for x in fits], _ratio(_slopes(data, "SGD"))
    measured = [np.array([hit(data["step"], path[c, i, :, 0]) for i in seeds]) for c in (0, 1)]
    foretold = [np.array([hit(TIMES, orbits[c, i, :, 0]) for i in seeds]) for c in (0, 1)]
    reached = [np.isfinite(x).mean() for x in measured]
    excess = _ratio([measured[0] * foretold[1], measured[1] * foretold[0]])
    adam_slopes = _ratio(_slopes(data, "Adam"))
    return [
        _on_orbit(data, "SGD"),
        Verdict(
            "It is nearer to the softmax orbit than to the natural gradient's.",
            DERIVED,
            "mean distance smaller, both starts",
            "; ".join(
                f"{start}: {_mean_distance(data, c, 'softmax').mean():.4f} against "
                f"{_mean_distance(data, c, 'natural').mean():.4f}, difference {_value(closer[c])}"
                for c, start in enumerate(STARTS)
            ),
            decided(all(m - h > 0 for m, h in closer), any(m + h <= 0 for m, h in closer)),
        ),
        Verdict(
            "The first integral of the softmax orbit holds along the network's path.",
            DERIVED,
            f"{true:.3f} within a tenth, both starts",
            f"{_pair(ratio)} (medians over points whose shares exceed {SEEN}); on the natural gradient's orbit "
            f"{other[0]:.2f} and {other[1]:.2f}",
            bounded([(mean - true, half) for mean, half in ratio], 0.1 * true),
        ),
        Verdict(
            "With SGD one rescaling of time maps network steps to orbit time.",
            DERIVED,
            f"deviation from a line at most {STRAIGHT} of the last time, same slope from both starts within a tenth",
            f"deviations {_pair(straight)} (REINFORCE's clock: {others[0].mean():.3f} and {others[1].mean():.3f}); "
            f"ratio of slopes {_factor(slopes)}",
            decided(
                all(m + h <= STRAIGHT for m, h in straight) and abs(slopes[0]) + slopes[1] <= ALIKE,
                any(m - h > STRAIGHT for m, h in straight) or abs(slopes[0]) - slopes[1] > ALIKE,
            ),
        ),
        Verdict(
            "The entangled start takes longer by the factor that the orbit says.",
            DERIVED,
            f"steps to a share of {HIT}: {np.mean(foretold[1] / foretold[0]):.2f} times as many, within a tenth",
            f"{_factor(_ratio(measured))}, {_factor(excess)} of the prediction; "
            f"reached by {reached[0]:.0%} and {reached[1]:.0%} of the seeds",
            bounded([excess], ALIKE) if np.isfinite(excess[0]) else FAILS,
        ),
        _on_orbit(data, "Adam"),
        Verdict(
            "Adam has no one rescaling of time for both starts.",
            DERIVED,
            "slopes differ by more than a tenth",
            f"ratio of slopes {_factor(adam_slopes)}",
            decided(
                abs(adam_slopes[0]) - adam_slopes[1] > ALIKE, abs(adam_slopes[0]) + adam_slopes[1] <= ALIKE
            ),
        ),
        *_judge_answers(data),
    ]


def _sound(data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The data without the seeds of which a run diverged, in any condition."""
    kept = np.all([(data[f"{name}/status"] == Status.OK).all(axis=0) for name in RATES], axis=0)
    if not kept.any():
        raise ValueError("status: every seed diverged; a smaller learning rate is needed")
    return {key: value[:, kept] if "/" in key else value for key, value in data.items()}


def _on_orbit(data: Mapping[str, np.ndarray], name: str) -> Verdict:
    path, far, scale, arrived = _path(data, name), [], [], []
    for c in range(len(STARTS)):
        softmax, natural = (data[f"{name}/{geometry}"][c] for geometry in ("softmax", "natural"))
        far.append(interval(nearest(path[c], softmax)[0].max(axis=-1)))
        ends = softmax[:, [0, -1]]
        line = ends[:, :1] + np.linspace(0, 1, 400)[:, None] * (ends[:, 1:] - ends[:, :1])
        apart = [nearest(softmax[:, ::4], other)[0].max(axis=-1).mean() for other in (natural, line)]
        scale.append(float(min(apart)))
        arrived.append((path[c, :, :, 0].max(axis=-1) >= HIT).all())
    near = [mean + half <= part / 2 for (mean, half), part in zip(far, scale, strict=True)]
    off = [mean - half > part / 2 for (mean, half), part in zip(far, scale, strict=True)]
    spread = _asked(data[f"{name}/policy"])[: len(STARTS)].std(axis=-2).max()
    return Verdict(
        f"Where success rates cannot change, {name} takes the network along the tabular softmax orbit.",
        DERIVED,
        "total variation below half the distance to the natural orbit and to a straight line "
        f"({scale[0] / 2:.3f} and {scale[1] / 2:.3f}), and the end reached",
        f"largest {_pair(far)} ({path.shape[1]} seeds; between questions sd at most {spread:.2f}, "
        f"leak at most {data[f'{name}/leak'].max():.3f})",
        decided(all(near) and all(arrived), any(off)),
    )


def _mean_distance(data: Mapping[str, np.ndarray], c: int, geometry: str) -> np.ndarray:
    return nearest(_path(data)[c], data[f"SGD/{geometry}"][c])[0].mean(axis=-1)


def _judge_answers(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    moved: dict[bool, list[Any]] = {True: [], False: []}
    told: dict[bool, list[str]] = {True: [], False: []}
    transfer, ends, lost = [], {}, {}
    for start in STARTS:
        c = CONDITIONS.index((start, False))
        for asked in (True, False):
            policy, success = (_asked(data[f"SGD/{x}"][c], asked=asked) for x in ("policy", "success"))
            rates = success.mean(axis=-2)
            changes = [interval(rates[:, -1, r] - rates[:, 0, r]) for r in range(rates.shape[-1])]
            moved[asked] += changes
            selection, answers = gains(policy, success)
            total = selection + answers
            share = interval(np.where(total > 0, selection / np.where(total > 0, total, 1), np.nan))
            told[asked].append(
                f"{start}: best {_value(changes[0])}, rival {_value(changes[1])}, third {_value(changes[2])}; "
                + (
                    f"selection makes {_value(share)} of the gain"
                    if np.isfinite(share[0])
                    else "no gain in some seeds"
                )
            )
        path, elsewhere = (_path(data, asked=asked)[c] for asked in (True, False))
        transfer.append(interval(0.5 * np.abs(path - elsewhere).sum(axis=-1).max(axis=-1)))
        ends[start] = path[:, -1, 0] > 0.5
        final = _asked(data["SGD/success"][c])[:, -1].mean(axis=-2)
        lost[start] = ~ends[start] & (final[:, 1] >= final[:, 0] - STILL)
    won = [start for start in STARTS if ends[start].all()]
    condition = f"{ONLY_IF}it starts in {won[0]}" if len(won) == 1 else None
    return [
        Verdict(
            "Success rates stay while selection moves (Assumption 5.1), where answers can be learnt.",
            SOURCE,
            f"changes of at most {STILL}, every pattern, both starts",
            "; ".join(told[True]),
            bounded(moved[True], STILL),
        ),
        Verdict(
            "The best pattern of the base model wins, where answers can be learnt.",
            f"{SOURCE}, Theorems 5.3 and 5.4 (their limit, seen at the last step)",
            "a share above one half at the end; lost where it is below and the rival has become as good",
            "; ".join(
                f"{start}: won by {ends[start].mean():.0%} of the seeds, lost by {lost[start].mean():.0%}"
                for start in STARTS
            ),
            HOLDS
            if len(won) == len(STARTS)
            else condition
            if condition and all(lost[start].all() for start in STARTS if start not in won)
            else decided(False, any(x.any() for x in lost.values())),
        ),
        Verdict(
            "Selection carries over to questions that training never asked, alike in π_ref and p.",
            DERIVED,
            f"total variation between asked and other questions at most {NEAR}",
            _pair(transfer, 4),
            bounded(transfer, NEAR),
        ),
        Verdict(
            "Answers do not: success rates stay on questions that training never asked.",
            DERIVED,
            f"changes of at most {STILL}, every pattern, both starts",
            "; ".join(told[False]),
            bounded(moved[False], STILL),
        ),
    ]


def _ratio(pair: list[np.ndarray]) -> tuple[float, float]:
    """Log of the second over the first, mean and half interval; NaN where one of them is zero or infinite."""
    first, second = pair
    if not (np.all(first > 0) and np.all(second > 0) and np.all(np.isfinite([first, second]))):
        return np.nan, np.inf
    return interval(np.log(second / first))


def _predicted_integral() -> float:
    success = np.asarray(examples.worked().success)
    return float((success[0] - success[1]) / (success[0] - success[2]))


def _value(pair: tuple[float, float], digits: int = 3) -> str:
    mean, half = pair
    return f"{mean:.{digits}f} ± {half:.{digits}f}" if np.isfinite(half) else f"{mean:.{digits}f}"


def _pair(values: Any, digits: int = 3) -> str:
    pairs = [x if isinstance(x, tuple) else interval(x) for x in values]
    return "; ".join(f"{start}: {_value(x, digits)}" for start, x in zip(STARTS, pairs, strict=True))


def _factor(pair: tuple[float, float]) -> str:
    mean, half = pair
    if not np.isfinite(mean):
        return "not measured"
    return f"{np.exp(mean):.2f} ({np.exp(mean - half):.2f} to {np.exp(mean + half):.2f})"

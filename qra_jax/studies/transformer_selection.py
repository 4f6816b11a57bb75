r"""Does a network that shares parameters, features and tokens select patterns as the tabular theory says?

A small decoder is pre-trained on sequences `question, pattern, steps, marker, answer, end` with known π_ref(r) and p_r,
then trained by GRPO on its own samples; π_θ(r|q) and p_θ(a*|q, r) are read by teacher forcing. Two starts, Regime 1
(all rivals below the base accuracy) and Regime 2 (one above), and two kinds of answers. *Fixed*: an answer is right
with its pattern's probability, whatever it says, so that Assumption 5.1 (success rates stay) holds by construction.
*Learnable*: each question has a right answer of its own, which the network may learn.

Compared with the orbit of the tabular problem that the base model is (its own π_θ, p):

- *path*, free of any clock: distance of each point of the network's path from the nearest point of the orbit, as total
  variation ½Σ|Δπ|, for the orbits of the softmax policy gradient and of the natural gradient; the distance between
  these two is the scale;
- *first integral*: with w = g/π (g fixed by Σ log w), [(w_i − w_j) − (u_i − u_j)] / [(w_i − w_k) − (u_i − u_k)] is
  (p_i − p_j)/(p_i − p_k) anywhere on the softmax orbit; with −log π in place of w, on the natural one;
- *clock*: orbit time of the nearest point against network steps. One rescaling is a straight line through zero, with
  the same slope from both starts.

Where answers are learnable, the gain of accuracy is split into selection, Σ∫p dπ, and answers, Σ∫π dp, on questions
that training asks and on others. Theory: arXiv 2506.04695 and §2.2 of its re-derivation in this package.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from qra_jax import orbit, plot, transformer
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, examples, stack
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, Verdict, verdict
from qra_jax.transformer import probe

TITLE = "A network on the orbit: selection follows the theory as long as answers cannot be learnt"
SOURCE = "QRA-6; Chen, Li, Zou, arXiv 2506.04695"
STARTS = {"Regime 1": examples.fast, "Regime 2": examples.worked}
CONDITIONS = [(start, fixed) for fixed in (True, False) for start in STARTS]
QUESTIONS, HELD_OUT, GROUP = 16, 4, 8
RATES = {"SGD": 0.003, "Adam": 1e-4}
OPTIMIZERS = {"SGD": optax.sgd, "Adam": optax.adam}
SEEDS = {True: 4, False: 8}
STEPS, RECORDS, PRETRAINING = 320, 40, 300
MODEL: dict[bool, dict[str, Any]] = {True: {"width": 32}, False: {}}
"""Settings of the decoder that differ from its defaults, quick and full."""
NEAR = 0.05
"""Total variation up to which a path is said to follow an orbit."""
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
    data: dict[str, Any] = {"step": np.arange(0, STEPS + 1, STEPS // RECORDS)}
    for name, optimizer in OPTIMIZERS.items():
        conditions = [c for c in CONDITIONS if name == "SGD" or c[1]]
        chosen = [CONDITIONS.index(c) for c in conditions]

        def one(key: Any, params: Any, task: Any, name: str = name, optimizer: Any = optimizer) -> Any:
            return transformer.train(
                key,
                model,
                params,
                task,
                algorithm=grpo(GROUP),
                steps=STEPS,
                questions=QUESTIONS - HELD_OUT,
                learning_rate=RATES[name],
                optimizer=optimizer,
                record_every=STEPS // RECORDS,
                probe=lambda params: _look(transformer.read_out(model, params, shown)),
            )

        runs = transformer.side_by_side(one)(
            jnp.tile(jax.random.split(jax.random.key(seed + 1), seeds), len(chosen)),
            jax.tree.map(lambda *x: jnp.concatenate(x), *(bases[start] for start, _ in conditions)),
            jax.tree.map(
                lambda *x: jnp.stack([jnp.asarray(y) for y in x for _ in range(seeds)]),
                *(tasks[i] for i in chosen),
            ),
        )
        shape = len(chosen), seeds
        for field, value in runs.seen.items():
            data[f"{name}/{field}"] = np.asarray(value).reshape(*shape, *value.shape[1:])
        start = data[f"{name}/policy"][:, :, 0].reshape(-1, 3)
        success = np.repeat([STARTS[s]().success for s, _ in conditions], seeds, axis=0)
        for metric in ("softmax", "natural"):
            path = _orbits(start, success, metric)
            data[f"{name}/{metric}"] = path.reshape(*shape, *path.shape[1:])
    return data


def _look(seen: probe.ReadOut) -> dict[str, Any]:
    """Means over the questions that are asked, and over those held out."""
    asked, other = slice(0, QUESTIONS - HELD_OUT), slice(QUESTIONS - HELD_OUT, None)
    return {
        "policy": jnp.mean(seen.policy[asked], axis=0),
        "success": jnp.mean(seen.success[asked], axis=0),
        "spread": jnp.max(jnp.std(seen.policy, axis=0)),
        "policy elsewhere": jnp.mean(seen.policy[other], axis=0),
        "success elsewhere": jnp.mean(seen.success[other], axis=0),
        "steps": jnp.mean(seen.steps),
    }


def _orbits(start: np.ndarray, success: np.ndarray, metric: str) -> np.ndarray:
    """Path `[runs, points, patterns]` of the orbit from each start at the GRPO times `TIMES`."""
    start = start.astype(float) / start.astype(float).sum(axis=1, keepdims=True)
    return np.stack([_orbit(metric)(*pair) for pair in zip(start, success.astype(float), strict=True)])


@lru_cache
def _orbit(metric: str) -> Callable[[Any, Any], Any]:
    def path(start: Any, success: Any) -> Any:
        problem = Problem(jnp.log(start), success)
        return orbit.solve(problem, ts=TIMES, algorithm=grpo(GROUP), metric=metric).policy

    return jax.jit(path)


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


def integral(path: np.ndarray, metric: str) -> np.ndarray:
    """First integral [Δw_i − Δw_j] / [Δw_i − Δw_k] of patterns (best, rival, other) along a path, `[..., times]`.

    NaN at the start, and wherever a share is below `SEEN`.
    """
    log = np.log(np.maximum(path, 1e-12))
    w = -log if metric == "natural" else np.exp(log.mean(axis=-1, keepdims=True) - log)
    if metric == "softmax":  # the gauge: w = g / π with Σ log w = Σ log u
        gauge = -log[..., :1, :].mean(axis=-1, keepdims=True)
        w = w * np.exp(gauge)
    change = w - w[..., :1, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (change[..., 0] - change[..., 1]) / (change[..., 0] - change[..., 2])
    usable = (path.min(axis=-1) >= SEEN) & (np.arange(path.shape[-2]) > 0)
    return np.where(usable, ratio, np.nan)


def gains(policy: np.ndarray, success: np.ndarray) -> tuple[Any, Any]:
    """Gain of accuracy from selection, Σ∫p dπ, and from answers, Σ∫π dp, by the trapezoidal rule, `[...]`."""
    middle = lambda x: (x[..., 1:, :] + x[..., :-1, :]) / 2  # noqa: E731
    selection = (middle(success) * np.diff(policy, axis=-2)).sum(axis=(-2, -1))
    answers = (middle(policy) * np.diff(success, axis=-2)).sum(axis=(-2, -1))
    return selection, answers


def _median(values: np.ndarray) -> float:
    kept = values[np.isfinite(values)]
    return float(np.median(kept)) if len(kept) else np.nan


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean over seeds and half of its 95 % t-interval; infinite for a single one."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), np.inf
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def clock(step: np.ndarray, path: np.ndarray, orbit: np.ndarray) -> tuple[float, float]:
    """Orbit time of a network step, from the line t = a s through zero while the best pattern's share is below .9.

    Returns:
      The slope a, and the share 1 − Σ(t − a s)²/Σt² of the (uncentred) variation that the line explains.
    """
    time = TIMES[nearest(path, orbit)[1]]
    used = np.cumsum(path[:, 0] >= HIT) == 0
    s, t = step[used].astype(float), time[used]
    slope = (s * t).sum() / (s * s).sum()
    return float(slope), float(1 - ((t - slope * s) ** 2).sum() / np.maximum((t * t).sum(), 1e-300))


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
    far = 0.0
    for c, start in enumerate(STARTS):
        for run, path in enumerate(data["SGD/policy"][c]):
            label = "network, each seed" if c == run == 0 else None
            ax.plot(path[:, 2], path[:, 0], color=plot.BEST, alpha=0.5, linewidth=1.1, label=label)
        for metric, color, style in (("softmax", "black", "--"), ("natural", plot.RIVAL, ":")):
            curve = data[f"SGD/{metric}"][c].mean(axis=0)
            label = f"orbit, {'softmax policy' if metric == 'softmax' else metric} gradient"
            ax.plot(curve[:, 2], curve[:, 0], style, color=color, label=label if c == 0 else None)
        distance = nearest(data["SGD/policy"][c], data["SGD/softmax"][c])[0]
        far = max(far, float(distance.max(axis=-1).mean()))
        first = data["SGD/policy"][c, :, 0].mean(axis=0)
        ax.plot(first[2], first[0], "o", color="black", markersize=4)
        ax.annotate(f"{start} starts", (first[2], first[0]), xytext=(6, 5), textcoords="offset points")
    ax.set(xlabel="share of the third pattern", ylabel="share of the best pattern r*", ylim=(-0.02, 1.02))
    ax.legend()
    ax.set_title(f"Answers fixed: within {far:.3f} of the softmax orbit")


def _slopes(data: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    """Slope of the clock of each seed, for both starts with fixed answers."""
    return [
        np.array(
            [
                clock(data["step"], path, orbit)[0]
                for path, orbit in zip(data[f"{name}/policy"][c], data[f"{name}/softmax"][c], strict=True)
            ]
        )
        for c in range(len(STARTS))
    ]


def _draw_clock(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    ratio = {}
    for name, color in (("SGD", plot.BEST), ("Adam", plot.RIVAL)):
        ratio[name] = np.exp(_ratio(_slopes(data, name))[0])
        for c, (start, style) in enumerate(zip(STARTS, ("--", "-"), strict=True)):
            for run, path in enumerate(data[f"{name}/policy"][c]):
                time = TIMES[nearest(path, data[f"{name}/softmax"][c, run])[1]]
                used = np.cumsum(path[:, 0] >= HIT) <= 1
                label = f"{name}, {start}" if run == 0 else None
                ax.plot(
                    data["step"][used], time[used], style, color=color, alpha=0.6, linewidth=1, label=label
                )
    ax.set(xlabel="network steps", ylabel="orbit time of the nearest point")
    ax.legend()
    ax.set_title(f"Clock of Regime 2 over Regime 1: SGD × {ratio['SGD']:.2f}, Adam × {ratio['Adam']:.2f}")


def _draw_answers(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    learnt, fixed = (CONDITIONS.index(("Regime 2", kind)) for kind in (False, True))
    curves = {
        "share of r*": (data["SGD/policy"][learnt, :, :, 0], plot.BEST, "-"),
        "share of r*, answers fixed": (data["SGD/policy"][fixed, :, :, 0], plot.BEST, "--"),
        "success rate of the rival": (data["SGD/success"][learnt, :, :, 1], plot.RIVAL, "-"),
    }
    for name, (values, color, style) in curves.items():
        ax.plot(data["step"], values.T, style, color=color, linewidth=1, alpha=0.6)
        ax.plot([], [], style, color=color, label=name)
    ax.set(xlabel="network steps", ylim=(-0.02, 1.02))
    ax.legend(loc="center right")
    end = data["SGD/success"][learnt, :, -1, 1].mean()
    won = (data["SGD/policy"][learnt, :, -1, 0] > 0.5).mean()
    ax.set_title(f"Regime 2, answers learnable: rival right in {end:.0%}, r* wins in {won:.0%} of seeds")


def _draw_gains(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    rows, labels = [], []
    for start in STARTS:
        for where, suffix in (("asked", ""), ("held out", " elsewhere")):
            c = CONDITIONS.index((start, False))
            pair = gains(data[f"SGD/policy{suffix}"][c], data[f"SGD/success{suffix}"][c])
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
    ax.set_title(f"Answers learnable: selection is {share[0]:.0%} and {share[2]:.0%} of the gain")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Path, first integral and clock for fixed answers; what learnable answers change; Adam."""
    step, seeds = data["step"], data["SGD/policy"].shape[1]
    about = f"{seeds} seeds, 95 % t-intervals"

    def each(function: Any, name: str = "SGD") -> list[np.ndarray]:
        """A number for each seed, for both starts with fixed answers."""
        return [
            np.array([function(data[f"{name}/policy"][c, s], name, c, s) for s in range(seeds)])
            for c in range(len(STARTS))
        ]

    def distance(metric: str, reduce: Any) -> Any:
        return lambda path, name, c, s: reduce(nearest(path, data[f"{name}/{metric}"][c, s])[0])

    far, mean = each(distance("softmax", np.max)), each(distance("softmax", np.mean))
    natural = each(distance("natural", np.mean))
    closer = [interval(n - m) for n, m in zip(natural, mean, strict=True)]
    ratio = each(lambda path, name, c, s: _median(integral(path, "softmax")))
    true = _predicted_integral()
    lines, adam = _slopes(data, "SGD"), _slopes(data, "Adam")
    fits = each(lambda path, name, c, s: clock(step, path, data[f"{name}/softmax"][c, s])[1])
    slopes = _ratio(lines)
    measured = each(lambda path, name, c, s: hit(step, path[:, 0]))
    orbits = each(lambda path, name, c, s: hit(TIMES, data[f"{name}/softmax"][c, s][:, 0]))
    adam_far = each(distance("softmax", np.max), "Adam")
    adam_slopes = _ratio(adam)
    reached = [np.isfinite(x).mean() for x in measured]
    slower = _ratio(measured)
    expected = float(np.mean(np.log(orbits[1] / orbits[0])))
    verdicts = [
        Verdict(
            "Where success rates cannot change, the network's path in the simplex is the tabular softmax orbit.",
            SOURCE,
            f"largest total variation from the orbit at most {NEAR}, mean over seeds",
            f"{_pair(far)} ({about})",
            verdict(max(interval(x)[0] for x in far) <= NEAR),
        ),
        Verdict(
            "It is nearer to the softmax orbit than to the natural gradient's.",
            SOURCE,
            "mean distance smaller, both starts",
            "; ".join(
                f"{start}: {m.mean():.4f} against {n.mean():.4f}, difference {_value(d)}"
                for start, m, n, d in zip(STARTS, mean, natural, closer, strict=True)
            ),
            verdict(all(d[0] - d[1] > 0 for d in closer)),
        ),
        Verdict(
            "The first integral of the softmax orbit holds along the network's path.",
            f"{SOURCE}; derived here",
            f"{true:.3f} within a tenth, the whole interval, both starts",
            f"{_pair(ratio)} (medians over points whose shares exceed {SEEN})",
            verdict(all(abs(interval(x)[0] - true) + interval(x)[1] <= 0.1 * true for x in ratio)),
        ),
        Verdict(
            "With SGD one rescaling of time maps network steps to orbit time.",
            f"{SOURCE}; derived here",
            "a line through zero explains 95 % and has the same slope from both starts within a tenth",
            f"explained: {_pair(fits, 4)}; slopes {_pair(lines)}, ratio {_factor(slopes)}",
            verdict(min(interval(x)[0] for x in fits) >= 0.95 and abs(slopes[0]) + slopes[1] <= np.log(1.1)),
        ),
        Verdict(
            "The entangled start takes longer by the factor that the theory says.",
            f"{SOURCE}, Theorem 5.4",
            f"time to a share of {HIT}: {np.exp(expected):.2f} times that of Regime 1, within a tenth",
            f"{_factor(slower)}; reached by {reached[0]:.0%} and {reached[1]:.0%} of the seeds",
            verdict(min(reached) == 1 and abs(slower[0] - expected) + slower[1] <= np.log(1.1)),
        ),
        Verdict(
            "Adam keeps the path and changes the clock: no one rescaling for both starts.",
            f"{SOURCE}; derived here",
            f"total variation at most {NEAR}; slopes differ by more than a tenth",
            f"{_pair(adam_far)}; ratio of slopes {_factor(adam_slopes)}",
            verdict(
                max(interval(x)[0] for x in adam_far) <= NEAR
                and abs(adam_slopes[0]) - adam_slopes[1] > np.log(1.1)
            ),
        ),
    ]
    return [*verdicts, *_judge_answers(data)]


def _judge_answers(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    rows = {start: CONDITIONS.index((start, False)) for start in STARTS}
    rises, shares, transfer, elsewhere, ends = {}, {}, {}, {}, {}
    for start, c in rows.items():
        policy, success = data["SGD/policy"][c], data["SGD/success"][c]
        selection, answers = gains(policy, success)
        total = selection + answers
        shares[start] = interval(np.where(total > 0, selection / np.where(total > 0, total, 1), np.nan))
        rises[start] = [interval(success[:, -1, r] - success[:, 0, r]) for r in (0, 1)]
        other = data["SGD/policy elsewhere"][c]
        transfer[start] = interval(0.5 * np.abs(policy - other).sum(axis=-1).max(axis=-1))
        there = data["SGD/success elsewhere"][c]
        elsewhere[start] = [interval(there[:, -1, r] - there[:, 0, r]) for r in (0, 1)]
        ends[start] = (policy[:, -1, 0] > 0.5).mean()
    moved = "; ".join(
        f"{start}: best {_value(best)}, rival {_value(rival)}; selection makes {_value(shares[start])} of the gain"
        for start, (best, rival) in rises.items()
    )
    there = "; ".join(
        f"{start}: best {_value(best)}, rival {_value(rival)}" for start, (best, rival) in elsewhere.items()
    )
    good = [start for start in STARTS if shares[start][0] - shares[start][1] >= 0.9]
    won = [start for start in STARTS if ends[start] == 1]
    return [
        Verdict(
            "Success rates stay while selection moves (Assumption 5.1), where answers can be learnt.",
            SOURCE,
            "selection makes at least nine tenths of the gain of accuracy, the whole interval",
            moved,
            _partly(good),
        ),
        Verdict(
            "The best pattern of the base model wins, where answers can be learnt.",
            f"{SOURCE}, Theorems 5.3 and 5.4",
            "a share above one half at the end, every seed",
            "; ".join(f"{start}: {share:.0%} of the seeds" for start, share in ends.items()),
            _partly(won),
        ),
        Verdict(
            "Selection carries over to questions that training never asked.",
            f"{SOURCE}; derived here",
            f"total variation between asked and other questions at most {NEAR}",
            _pair(list(transfer.values()), 4),
            verdict(all(mean + half <= NEAR for mean, half in transfer.values())),
        ),
        Verdict(
            "Answers do not: success rates stay on questions that training never asked.",
            f"{SOURCE}; derived here",
            "changes of at most .02",
            there,
            verdict(all(abs(x[0]) + x[1] <= 0.02 for pair in elsewhere.values() for x in pair)),
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


def _partly(where: list[str]) -> str:
    if len(where) in (0, len(STARTS)):
        return HOLDS if where else FAILS
    return f"{ONLY_IF}it starts in {where[0]}"


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

"""Can the first 30 % of a run tell how it ends, and which dynamics made it?

Claim A-3 (Cai et al., arXiv 2510.00553) has it that 40 % of the steps give 96 % of the final performance. Here
the accuracy curve alone is given. Runs are simulated from regimes that the fit does not know by name: populations of
questions with three patterns each, trained by GRPO (groups of 8) by the exact flow, in the fast regime, in the
entangled one, and held by a KL term; and populations whose logits shift together. Logged points are noisy as real
ones are: 16 fresh questions of 64 and 8 rollouts each. The first 30 % of the points are fitted.

Predictions, before the runs: (a) what the theory knows of curves beats every baseline at the end on average over the
regimes; (b) 80 % intervals of the end hold 80 % of the ends, also for runs that no model of the fit made exactly; (c)
dynamics are told apart by whole curves with many samples, not by early noisy points.

Rules: (a) paired differences of the error at the end, |z| > 2 over runs; (b) the binomial interval (95 %) of the
number covered holds .8; (c) the interval (95 %) of the share of runs whose own dynamics got the highest weight lies
above ½, where chance is ⅕.

Control: the baselines; the same curves with 64 samples a point and cut at 30 % for (c).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import fit, flow, plot, regularizer
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.fit import dynamics
from qra_jax.fit.drawing import COLORS, THEORY
from qra_jax.problem import Problem
from qra_jax.studies.base import FAILS, HOLDS, ONLY_IF, Verdict, verdict, wilson

TITLE = "Forecast: what the first 30 % of a run tell of its end"
SOURCE = "derived here; cf. A-3, Cai et al., arXiv 2510.00553"
FAST, ENTANGLED, HELD, SHIFT = REGIMES = ("fast", "entangled", "held by KL", "common shift")
METHODS = (THEORY, *fit.BASELINES)
PART, POINTS, QUESTIONS, FRESH, ROLLOUTS = 0.3, 50, 64, 16, 8
RICH, POOR = 4096, 64
DRAWS = 64


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Simulated runs of each regime, their forecasts and scores; and which dynamics is found for each one's curves."""
    rng = np.random.default_rng(seed)
    runs = 3 if quick else 20
    true = _runs(rng, runs)
    logged = [[_log(rng, run) for run in group] for group in true]
    steps = np.arange(POINTS, dtype=float)
    until = PART * (POINTS - 1)
    curves = [fit.Curve(steps, y, np.full(POINTS, FRESH * ROLLOUTS)) for group in logged for y in group]
    fits = fit.fit_many(curves, [until] * len(curves), draws=DRAWS, seed=seed)
    scores, paths = [], []
    for curve, fitted in zip(curves, fits, strict=True):
        rest = fit.rest_of(curve, until)
        assert rest is not None
        found = {THEORY: fitted.forecast(rest.steps), **fit.baselines(curve, until, rest.steps, seed=seed)}
        scores.append([_numbers(fit.score(found[name], rest)) for name in METHODS])
        one = found[THEORY]
        paths.append([one.median, one.low, one.high])
    shape = (len(REGIMES), runs)
    numbers = np.array(scores).reshape(*shape, len(METHODS), 4)
    data = {
        "accuracy": np.array(true).mean(axis=-1),
        "logged": np.array(logged),
        "paths": np.array(paths).reshape(*shape, 3, -1),
        "error": numbers[..., 0],
        "end": numbers[..., 1],
        "crps": numbers[..., 2],
        "covered": numbers[..., 3],
        "weights": np.array([[one.dynamics[name] for name in fit.DYNAMICS] for one in fits]).reshape(
            *shape, -1
        ),
    }
    return data | _choices(rng, 2 if quick else 6, DRAWS if quick else 2 * DRAWS, seed)


def _runs(rng: np.random.Generator, runs: int) -> np.ndarray:
    """Accuracy `[regimes, runs, points, questions]` of each question along each run."""
    fast, entangled = (_problems(rng, runs * QUESTIONS, entangled=which) for which in (False, True))
    mixed = _problems(rng, runs * QUESTIONS, entangled=None)
    log_ref, success = (np.concatenate(parts) for parts in zip(fast, entangled, mixed, strict=True))
    length = 10 ** rng.uniform(0.7, 2.3, (3, runs))
    beta = np.stack([np.zeros(runs), np.zeros(runs), 10 ** rng.uniform(-1.3, -0.5, runs)])

    def solve(log_ref: jax.Array, success: jax.Array, length: jax.Array, beta: jax.Array) -> jax.Array:
        ts = length * jnp.linspace(0, 1, POINTS)
        penalty = [regularizer.reverse_kl(beta)]
        options = {"algorithm": grpo(ROLLOUTS), "rtol": 1e-5, "atol": 1e-6}
        return flow.solve(Problem(log_ref, success), ts=ts, regularizers=penalty, **options).accuracy

    each = [np.repeat(x.ravel(), QUESTIONS) for x in (length, beta)]
    found = np.asarray(many(solve)(log_ref, success, *each)).reshape(3, runs, QUESTIONS, POINTS)
    start = rng.normal(rng.normal(-1, 1, (runs, 1)), rng.uniform(0.5, 2.5, (runs, 1)), (runs, QUESTIONS))
    shift = 10 ** rng.uniform(-0.3, 0.7, (runs, 1, 1)) * np.linspace(0, 1, POINTS)
    shifted = 1 / (1 + np.exp(-start[:, :, None] - shift))
    return np.concatenate([found, shifted[None]]).swapaxes(2, 3)


def _problems(rng: np.random.Generator, count: int, entangled: bool | None) -> tuple[np.ndarray, np.ndarray]:
    """Dirichlet(1) base policies and uniform success rates of three patterns, of one regime or of either."""
    ref, success = rng.dirichlet(np.ones(3), 20 * count), rng.uniform(size=(20 * count, 3))
    second = np.sort(success, axis=1)[:, 1] > (ref * success).sum(axis=1)
    keep = np.flatnonzero(np.ones_like(second) if entangled is None else second == entangled)[:count]
    return np.log(ref[keep]), success[keep]


def _log(rng: np.random.Generator, run: np.ndarray) -> np.ndarray:
    """What is logged: a mean over fresh questions and their rollouts, `[points]`."""
    drawn = np.stack([rng.choice(row, FRESH, replace=False) for row in run])
    return rng.binomial(ROLLOUTS, drawn).mean(axis=1) / ROLLOUTS


def _numbers(score: fit.Score) -> list[float]:
    return [score.error, score.end, score.crps, float(score.end_covered)]


def _choices(rng: np.random.Generator, runs: int, draws: int, seed: int) -> dict[str, np.ndarray]:
    """Weights `[true dynamics, runs, dynamics]` for curves made by each dynamics, rich and poor in data."""
    models = [model for model in fit.MODELS if model.patterns == 1]
    table, ts = dynamics.clocks(ROLLOUTS), jnp.linspace(0, 1, POINTS)
    curve = jax.jit(lambda u, kind: dynamics.accuracy(u, kind, ts, table))
    steps, paths = np.arange(POINTS, dtype=float), []
    for which in range(len(models)):
        while len(paths) < (which + 1) * runs:
            u = rng.standard_normal(len(dynamics.PARAMETERS))
            path = np.asarray(curve(jnp.asarray(u), jnp.array([which, 1])))
            if path[-1] - path[0] > 0.5:  # a whole rise is seen
                paths.append(path)
    data, curves, untils = {"rises": np.array(paths)}, [], []
    for samples, part in ((RICH, 1.0), (POOR, PART)):
        curves += [
            fit.Curve(steps, rng.binomial(samples, p) / samples, np.full(POINTS, samples)) for p in paths
        ]
        untils += [part * (POINTS - 1)] * len(paths)
    fits = fit.fit_many(curves, untils, models=models, draws=draws, seed=seed)
    weights = np.array([[one.dynamics[name] for name in fit.DYNAMICS] for one in fits])
    rich, poor = np.split(weights.reshape(2 * len(models), runs, len(models)), 2)
    return data | {"rich": rich, "poor": poor}


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """A run of each regime; errors at the end by regime; which dynamics is found."""
    figure, axes = plot.new((11.0, 6.4), nrows=2, ncols=4, height_ratios=[1, 1.15])
    for ax in axes[1]:
        ax.remove()
    grid = axes[0, 0].get_gridspec()
    for index, (regime, ax) in enumerate(zip(REGIMES, axes[0], strict=True)):
        _run(data, index, ax)
        ax.set_title(regime[0].upper() + regime[1:])
    axes[0, 0].set_ylabel("accuracy")
    axes[0, 0].legend(loc="lower right", fontsize=7)
    _errors(data, figure.add_subplot(grid[1, :2]))
    _found(data, figure.add_subplot(grid[1, 2:]))
    return figure


def _run(data: Mapping[str, np.ndarray], regime: int, ax: Axes) -> None:
    """The run whose error is the median one."""
    errors = data["end"][regime, :, 0]
    run = int(np.argsort(errors)[len(errors) // 2])
    part = np.arange(POINTS) / (POINTS - 1)
    early = part <= PART
    ax.axvline(PART, color=plot.MUTED, lw=1, zorder=0)
    median, low, high = data["paths"][regime, run]
    ax.fill_between(part[~early], low, high, color=COLORS[THEORY], alpha=0.2, lw=0)
    ax.plot(part[early], data["logged"][regime, run][early], "o", color="black", ms=2.5, label="logged")
    ax.plot(part, data["accuracy"][regime, run], color=plot.ACCURACY, lw=1, label="true")
    ax.plot(part[~early], median, color=COLORS[THEORY], lw=2, label="forecast, 80 %")
    ax.set(ylim=(-0.02, 1.02), xlabel="part of the run")


def _errors(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    mean = data["end"].mean(axis=1)
    error = data["end"].std(axis=1) / np.sqrt(data["end"].shape[1])
    for k, name in enumerate(METHODS):
        places = np.arange(len(REGIMES)) + 0.16 * (k - 2)
        ax.bar(
            places, mean[:, k], 0.15, yerr=error[:, k], color=COLORS[name], label=name, error_kw={"lw": 0.8}
        )
    ax.set_xticks(range(len(REGIMES)), REGIMES)
    ax.set_ylabel("error at the end")
    ax.set_ylim(0, 1.3 * (mean + error).max())
    ax.legend(ncols=5, fontsize=7, loc="upper center")
    every = data["end"].mean(axis=(0, 1))
    order = np.argsort(every)
    first, second = METHODS[order[0]], METHODS[order[1]]
    ax.set_title(f"Smallest error: {first} ({every[order[0]]:.3f}), then {second} ({every[order[1]]:.3f})")


def _found(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    rich, poor = (data[name].argmax(axis=-1) for name in ("rich", "poor"))
    count = len(fit.DYNAMICS)
    table = np.array([np.bincount(row, minlength=count) for row in rich]) / rich.shape[1]
    ax.imshow(table, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(count, count):
        if table[i, j] > 0:
            ax.text(
                j, i, f"{table[i, j]:.0%}", ha="center", va="center", color="w" if table[i, j] > 0.6 else "k"
            )
    short = [name.replace(" ", "\n") for name in fit.DYNAMICS]
    ax.set_xticks(range(count), short, fontsize=7)
    ax.set_yticks(range(count), fit.DYNAMICS, fontsize=8)
    ax.set(xlabel=f"dynamics found (whole curve, {RICH} samples)", ylabel="dynamics that made it")
    own = np.arange(count)[:, None]
    ax.set_title(
        f"Dynamics found: {(rich == own).mean():.0%} of whole\ncurves, {(poor == own).mean():.0%} of early noisy ones"
    )


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Errors against baselines, calibration, and the choice of dynamics."""
    end, covered = data["end"].reshape(-1, len(METHODS)), data["covered"][..., 0].ravel()
    low, high = wilson(covered.sum(), len(covered))
    said, won = compare(end)
    own = np.arange(len(fit.DYNAMICS))[:, None]
    right = {name: data[name].argmax(axis=-1) == own for name in ("rich", "poor")}
    ends = {name: wilson(hit.sum(), hit.size) for name, hit in right.items()}
    rich, poor = (ends[name][0] > 0.5 for name in ("rich", "poor"))
    by_regime = data["end"].mean(axis=1)[:, 0]
    return [
        Verdict(
            f"From the first 30 % the theory forecasts the end better than each baseline ({len(end)} runs of "
            f"{len(REGIMES)} regimes).",
            SOURCE,
            "mean paired difference of errors: below 0 by 2 standard errors, for each baseline",
            f"theory {end[:, 0].mean():.3f}; {said}",
            beats(won),
        ),
        Verdict(
            "80 % intervals of the end hold it in 80 % of the runs.",
            SOURCE,
            "0.8",
            f"{covered.mean():.2f} (95 %: {low:.2f} to {high:.2f}); by regime "
            + ", ".join(
                f"{name} {share:.2f}"
                for name, share in zip(REGIMES, data["covered"][..., 0].mean(axis=1), strict=True)
            ),
            verdict(low <= 0.8 <= high),
        ),
        Verdict(
            "A measured curve tells which dynamics made it.",
            SOURCE,
            "share of runs whose own dynamics has the highest weight: above 1/2 (chance 1/5)",
            "; ".join(
                f"{words}: {right[name].mean():.2f} ({ends[name][0]:.2f} to {ends[name][1]:.2f})"
                for name, words in (
                    ("rich", f"whole rise, {RICH} samples"),
                    ("poor", f"30 %, {POOR} samples"),
                )
            ),
            HOLDS
            if poor and rich
            else ONLY_IF + f"the whole rise is seen with {RICH} samples a point"
            if rich
            else FAILS,
        ),
        Verdict(
            "An entangled run's end is harder to forecast than a fast one's.",
            SOURCE + "; QRA-3",
            "error at the end: larger by 2 standard errors",
            ", ".join(f"{name} {value:.3f}" for name, value in zip(REGIMES, by_regime, strict=True)),
            verdict(_z(data["end"][1, :, 0], data["end"][0, :, 0]) > 2),
        ),
    ]


def compare(errors: np.ndarray) -> tuple[str, list[float]]:
    """Paired comparison of the first method with each of the others.

    Args:
      errors: `[runs, methods]`.

    Returns:
      Words, and for each baseline the z-score of its error minus the first method's.
    """
    said, scores = [], []
    for k, name in enumerate(METHODS[1:], 1):
        gap = errors[:, k] - errors[:, 0]
        error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else np.inf
        z = float(gap.mean() / max(error, 1e-12))
        scores.append(z)
        wins = int((gap > 0).sum())
        said.append(f"{name} {errors[:, k].mean():.3f} (z = {z:.1f}, better in {wins} of {len(gap)} runs)")
    return "; ".join(said), scores


def beats(scores: list[float]) -> str:
    """The verdict: all baselines beaten by 2 standard errors, only some, or none."""
    beaten = [name for name, z in zip(METHODS[1:], scores, strict=True) if z > 2]
    if len(beaten) == len(scores):
        return HOLDS
    return ONLY_IF + "the baseline is the " + " or the ".join(beaten) if beaten else FAILS


def _z(a: np.ndarray, b: np.ndarray) -> float:
    """How many standard errors the mean of a is above that of b."""
    return float((a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b) + 1e-12))

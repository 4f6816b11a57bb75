r"""When is a training run the flow, and what does the rest of it look like?

Claims (theory of this package, §3): with t = η · steps fixed and η → 0, training by the exact mean gradient
follows the flow with an error O(η); a sampled run differs from it by O(√η) and its average over seeds by
O(η); and the "SDE" (normal noise with the sampled gradient's exact covariance) has the same distribution.

Not only the orders but the constants are predicted. Write f for the drift, J for its Jacobian, C for the
covariance of one group's gradient. Along the flow θ(t),

$$ \dot\Sigma = J\Sigma + \Sigma J^\top + C,\qquad \dot e = J e - \tfrac12 J f,\qquad
   \dot b = J b - \tfrac12 J f + \tfrac12 f''\!:\!\Sigma, $$

and after time t a sampled run has mean θ + ηb and covariance ηΣ, mean training is at θ + ηe, all to leading
order. The scalar looked at is z = logit π(r*), whose own curvature adds ½ z″:Σ to its bias.

Control: every run is made by `training.train` and knows nothing of these equations; orders are fitted over a
ladder of η with intervals, and constants are compared by their z-scores. Problem: π_ref = (.1, .2, .7),
success rates (1, .5, 0), G = 8, t = 4.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import flow, plot, theory, training
from qra_jax.algorithm import Algorithm, grpo, reinforce, switch
from qra_jax.batching import many
from qra_jax.problem import Problem
from qra_jax.studies.base import Verdict, verdict

TITLE = "Flow limit: the spread of runs shrinks like √η and their bias like η, with the predicted constants"
SOURCE = "theory of this package, §3"
REF, SUCCESS, GROUP, TIME = (0.1, 0.2, 0.7), (1.0, 0.5, 0.0), 8, 4.0
NAMES = ("REINFORCE", "GRPO", "dynamic sampling")
STEPS = {True: (8, 16, 32, 64, 128), False: (8, 16, 32, 64, 128, 256)}
"""Steps to time t, for quick and for full runs."""
SEEDS = {True: (16384, 2048), False: (65_536, 8192)}
"""Seeds at each η: sampled, and SDE."""
PATHS, EVERY = 24, 4
SURE = 2.575829
"""Half-width of a 99 % interval in standard errors."""
SIX = 3.14
"""The largest of six |z| is below this with chance 99 %."""
MODES = ("sampled", "sde")


def _problem() -> Problem:
    return Problem.from_probs(ref=REF, success=SUCCESS)


def _logit(log_policy: jax.Array, problem: Problem) -> jax.Array:
    """z = logit π(r*)."""
    rest = jnp.where(jnp.arange(log_policy.shape[-1]) == problem.best, -jnp.inf, log_policy)
    return log_policy[problem.best] - jax.nn.logsumexp(rest)


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """z at time t for many seeds, three ways of training and a ladder of η; the expansion around the flow."""
    rates, seeds = TIME / np.array(STEPS[quick]), SEEDS[quick]
    key = jax.random.key(seed)
    pair = (reinforce(group_size=GROUP), grpo(GROUP))
    families: list[tuple[tuple[str, ...], Any]] = [
        (NAMES[:2], lambda which: switch(which, pair)),
        (NAMES[2:], lambda _: grpo(GROUP, resample_silent=True)),  # another program
    ]
    data: dict[str, Any] = {"rates": rates, "seeds": np.array(seeds), "time": np.linspace(0, TIME, 65)}
    with ThreadPoolExecutor(len(families)) as pool:  # compiling takes longer than running
        keys = [jax.random.fold_in(key, part) for part in range(len(families))]
        jobs = [
            pool.submit(_family, stream, names, family, data, STEPS[quick])
            for stream, (names, family) in zip(keys, families, strict=True)
        ]
    for job in jobs:
        data |= job.result()
    return {name: np.asarray(value) for name, value in data.items()}


def _family(
    key: jax.Array, names: tuple[str, ...], family: Any, data: Mapping[str, Any], ladder: tuple[int, ...]
) -> dict[str, Any]:
    """What `compute` returns, for algorithms that are compiled together."""
    problem, steps, rates = _problem(), np.array(ladder), data["rates"]
    which = jnp.arange(float(len(names)))
    expected = jax.jit(jax.vmap(lambda i: _expansion(problem, family(i), data["time"])))(which)
    flows = np.asarray(expected.pop("flow"))
    found: list[dict[str, Any]] = [
        {"flow": path} | {f"expected/{kind}": value[i] for kind, value in expected.items()}
        for i, path in enumerate(flows)
    ]
    samples: list[dict[str, np.ndarray]] = [{} for _ in names]
    for stream, (mode, seeds) in enumerate(zip(("mean", "sampled", "sde"), (1, *data["seeds"]), strict=True)):
        run = many(_runner(problem, family, mode, ladder[-1]), block=256)
        shape = (len(names), len(steps), seeds)
        keys = jax.random.split(jax.random.fold_in(key, stream), int(np.prod(shape)))
        rate, index, _ = np.broadcast_arrays(
            rates[:, None], np.asarray(which)[:, None, None], np.empty(shape)
        )
        paths = np.asarray(run(keys, rate.ravel(), index.ravel())).reshape(*shape, -1)
        ends = np.take_along_axis(paths, (steps // EVERY)[None, :, None, None], axis=3)[..., 0]
        for i, end in enumerate(ends):
            away = end - flows[i, -1]
            if mode == "mean":
                found[i] |= {"mean_error": away[:, 0]}
                continue
            if mode == "sampled":
                coarse = paths[i, 0, :PATHS, : steps[0] // EVERY + 1]
                found[i] |= {"coarse": coarse, "fine": paths[i, -1, :PATHS]}
            samples[i][mode] = away
            found[i] |= {f"{mode}/{kind}": value for kind, value in _moments(away).items()}
    for results, sample in zip(found, samples, strict=True):
        results["ks"] = _distances(sample)
    return {
        f"{name}/{kind}": value
        for name, results in zip(names, found, strict=True)
        for kind, value in results.items()
    }


def _runner(problem: Problem, family: Any, mode: str, steps: int) -> Any:
    """`(key, η, which) -> z [records]`. All η share one compiled run; larger ones are read off before its end."""

    def run(key: jax.Array, rate: jax.Array, which: jax.Array) -> jax.Array:
        question = jax.tree.map(lambda x: x.astype(jnp.float32 if mode == "sampled" else float), problem)
        options: dict[str, Any] = {"mode": mode, "record_every": EVERY}
        return training.measure(
            {"z": _logit},
            key,
            question,
            steps=steps,
            algorithm=family(which),
            learning_rate=rate,
            **options,
        ).values["z"]

    return run


def _expansion(problem: Problem, algorithm: Algorithm, ts: Any) -> dict[str, jax.Array]:
    """z along the flow; coefficients of η at its end: error of mean training, bias and variance of sampled."""
    found = theory.small_step_expansion(
        lambda theta: flow.drift(problem, jax.nn.log_softmax(theta), algorithm=algorithm),
        lambda theta: training.gradient_covariance(problem, jax.nn.log_softmax(theta), algorithm=algorithm),
        problem.log_ref,
        lambda theta: _logit(jax.nn.log_softmax(theta), problem),
        ts,
    )
    return {part.name: getattr(found, part.name) for part in fields(found)}


def _moments(away: np.ndarray) -> dict[str, np.ndarray]:
    """Bias, root mean square and variance over seeds of the distance to the flow, with standard errors."""
    count = away.shape[1]
    centred, square = away - away.mean(axis=1, keepdims=True), away**2
    variance, rms = away.var(axis=1, ddof=1), np.sqrt(square.mean(axis=1))
    return {
        "bias": away.mean(axis=1),
        "bias_se": np.sqrt(variance / count),
        "rms": rms,
        "rms_se": square.std(axis=1) / np.sqrt(count) / (2 * rms),
        "variance": variance,
        "variance_se": (centred**2).std(axis=1) / np.sqrt(count),
    }


def _distances(samples: Mapping[str, np.ndarray]) -> np.ndarray:
    """Kolmogorov distance of sampled runs and SDE, for each η."""
    found = []
    for x, y in zip(samples["sampled"], samples["sde"], strict=True):
        both = np.concatenate([x, y])
        ranks = [np.searchsorted(np.sort(part), both, "right") / len(part) for part in (x, y)]
        found.append(np.abs(ranks[0] - ranks[1]).max())
    return np.array(found)


def _fit(design: list[np.ndarray], values: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares weighted by standard errors: coefficients, and their standard errors."""
    matrix = np.stack(design, axis=1) / errors[:, None]
    covariance = np.linalg.inv(matrix.T @ matrix)
    return covariance @ matrix.T @ (values / errors), np.sqrt(np.diag(covariance))


def _order(rates: np.ndarray, values: np.ndarray, errors: np.ndarray, terms: int) -> tuple[float, float]:
    """p of |v| = a η^p exp(c η + d η² + …) and its standard error, with so many terms in the exponent."""
    found, error = _fit(
        [np.log(rates), *(rates**term for term in range(terms + 1))],
        np.log(np.abs(values)),
        errors / np.abs(values),
    )
    return float(found[0]), float(error[0])


def _limit(rates: np.ndarray, ratio: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Value of a ratio in the limit η → 0 and its standard error, its deviations being c η + d η²."""
    found, error = _fit([np.ones_like(rates), rates, rates**2], ratio, errors)
    return float(found[0]), float(error[0])


def _mean_order(rates: np.ndarray, values: np.ndarray) -> float:
    """Order of numbers without noise on a ladder of halved η: the last two local orders, extrapolated."""
    local = np.diff(np.log(np.abs(values))) / np.diff(np.log(rates))
    return float(2 * local[-1] - local[-2])


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Runs around the flow at two η; errors against η on their predicted lines; variance ratios."""
    figure, (left, middle, right) = plot.new((10.0, 3.7), ncols=3, width_ratios=[1, 1.15, 1])
    rates, time = data["rates"], data["time"]
    for kind, color, width in (("coarse", "#F3B79B", 0.8), ("fine", plot.color("GRPO"), 0.8)):
        paths = data[f"GRPO/{kind}"]
        left.plot(np.linspace(0, TIME, paths.shape[1]), paths.T, color=color, linewidth=width)
    left.plot(time, data["GRPO/flow"], color="black", linewidth=2)
    for text, color, y in [
        ("flow", "black", 0.95),
        (f"GRPO runs, η = {rates[-1]:.2g}", plot.color("GRPO"), 0.88),
        (f"GRPO runs, η = {rates[0]:.2g}", "#E09A75", 0.81),
    ]:
        left.text(0.03, y, text, color=color, transform=left.transAxes, fontsize=8)
    top = float(data["GRPO/coarse"].max())
    left.set(xlabel="time t = η · steps", ylabel="z = logit π(r*)", ylim=(None, top + 1.2))
    left.set_title("Smaller steps: runs close in on the flow")
    _orders(data, middle)
    _variances(data, right)
    return figure


def _orders(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    rates = data["rates"]
    fine = np.geomspace(rates[-1] * 0.8, rates[0] * 1.25, 50)
    for name in NAMES:
        color = plot.color(name)
        variance, bias = data[f"{name}/expected/variance"], data[f"{name}/expected/bias"]
        ax.plot(fine, np.sqrt(variance * fine), color=color, linewidth=1)
        ax.plot(fine, np.abs(bias) * fine, color=color, linewidth=1)
        ax.plot(rates, data[f"{name}/sampled/rms"], "o", color=color, label=name, markersize=4.5)
        ax.errorbar(
            rates,
            np.abs(data[f"{name}/sampled/bias"]),
            2 * data[f"{name}/sampled/bias_se"],
            fmt="s",
            color=color,
            markersize=3.5,
            linewidth=1,
        )
    ax.set(xscale="log", yscale="log", xlabel="learning rate η", ylabel="distance from the flow, in z")
    ax.set(ylim=(2e-4, 4))
    _ladder(ax, rates)
    ax.text(0.03, 0.82, "circles: root mean square ∝ √η", transform=ax.transAxes, fontsize=8)
    ax.text(0.99, 0.13, "squares: bias of the average ∝ η", transform=ax.transAxes, fontsize=8, ha="right")
    ax.text(
        0.99,
        0.04,
        "lines: predicted, nothing fitted",
        transform=ax.transAxes,
        fontsize=8,
        color="#666666",
        ha="right",
    )
    ax.legend(loc="upper left", ncols=3, columnspacing=1, handletextpad=0)
    ax.set_title("Spread falls as √η, bias as η")


def _ladder(ax: Axes, rates: np.ndarray) -> None:
    """Name the learning rates on a log axis."""
    ax.set_xticks(rates, [f"1/{1 / rate:.0f}" for rate in rates])
    ax.set_xticks([], minor=True)


def _variances(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    rates = data["rates"]
    for shift, name in enumerate(NAMES):
        color, scale = plot.color(name), rates * data[f"{name}/expected/variance"]
        for mode, face, offset in (("sampled", color, 0.0), ("sde", "white", 0.09)):
            ax.errorbar(
                rates * 2 ** (0.22 * (shift - 1) + offset),
                data[f"{name}/{mode}/variance"] / scale,
                2 * data[f"{name}/{mode}/variance_se"] / scale,
                fmt="o",
                color=color,
                markerfacecolor=face,
                markersize=4,
                linewidth=1,
            )
    ax.axhline(1, color="black", linewidth=1, zorder=0)
    ax.set(
        xscale="log", xlabel="learning rate η", ylabel="variance of z ÷ Lyapunov equation", ylim=(0.75, 1.15)
    )
    _ladder(ax, rates)
    ax.text(0.02, 0.95, "full: sampled groups; hollow: SDE", transform=ax.transAxes, fontsize=8)
    ax.set_title("Variance: the Lyapunov equation")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Orders with 99 % intervals, constants by z-scores, and the SDE beside sampled runs."""
    rates, seeds = data["rates"], data["seeds"]
    get = lambda kind: {name: data[f"{name}/{kind}"] for name in NAMES}  # noqa: E731
    error, mean_order, mean_ratio = get("mean_error"), {}, {}
    for name in NAMES:
        mean_order[name] = _mean_order(rates, error[name])
        ratio = error[name] / rates / data[f"{name}/expected/error"]
        mean_ratio[name] = float(2 * ratio[-1] - ratio[-2])
    spread = {n: _order(rates, data[f"{n}/sampled/rms"], data[f"{n}/sampled/rms_se"], 2) for n in NAMES}
    bias = {n: _order(rates, data[f"{n}/sampled/bias"], data[f"{n}/sampled/bias_se"], 1) for n in NAMES}
    weight = np.array([1 / bias[n][1] ** 2 for n in NAMES])
    together = float(np.dot(weight, [bias[n][0] for n in NAMES]) / weight.sum()), float(weight.sum() ** -0.5)
    constants: dict[str, tuple[float, float]] = {}
    for kind in ("bias", "variance"):
        for name in NAMES:
            scale = rates * data[f"{name}/expected/{kind}"]
            values, errors = data[f"{name}/sampled/{kind}"], data[f"{name}/sampled/{kind}_se"]
            constants[f"{kind}, {name}"] = _limit(rates, values / scale, np.abs(errors / scale))
    z = {kind: (value - 1) / error for kind, (value, error) in constants.items()}
    worst = max(abs(value) for value in z.values())
    gaps = [
        _gap(data, name, kind) / np.hypot(*(data[f"{name}/{mode}/{kind}_se"][-1] for mode in MODES))
        for name in NAMES
        for kind in ("bias", "variance")
    ]
    critical = np.sqrt(-np.log(0.01 / len(NAMES) / 2) / 2 * (1 / seeds[0] + 1 / seeds[1]))
    ks = max(data[f"{name}/ks"][-1] for name in NAMES)
    ratios = [
        float(data[f"{name}/sde/variance"][-1] / data[f"{name}/sampled/variance"][-1]) for name in NAMES
    ]
    ladder = f"η = {rates[-1]:.2g} … {rates[0]:.2g}"
    return [
        Verdict(
            "Training by the exact mean gradient is the flow up to O(η), with the constant of the expansion.",
            SOURCE,
            "order 1, error ÷ expansion 1 (tolerance .01 for the next order in η)",
            "; ".join(f"{n}: order {mean_order[n]:.4f}, ratio {mean_ratio[n]:.4f}" for n in NAMES)
            + f"; {ladder}",
            verdict(max(abs(x - 1) for found in (mean_order, mean_ratio) for x in found.values()) < 0.01),
        ),
        Verdict(
            "A sampled run differs from the flow by O(√η).",
            SOURCE,
            "order ½ of the root mean square",
            "; ".join(f"{n}: {p:.3f} ± {SURE * se:.3f}" for n, (p, se) in spread.items())
            + f" (99 %); {seeds[0]} seeds at each of {len(rates)} η",
            verdict(all(_resolved(p, se, 0.5) for p, se in spread.values())),
        ),
        Verdict(
            "The average of sampled runs differs from the flow by O(η).",
            SOURCE,
            "order 1 of the bias",
            f"together {together[0]:.2f} ± {SURE * together[1]:.2f} (99 %); "
            + "; ".join(f"{n}: {p:.2f} ± {SURE * se:.2f}" for n, (p, se) in bias.items()),
            verdict(_resolved(*together, 1.0) and all(abs(p - 1) < SURE * se for p, se in bias.values())),
        ),
        Verdict(
            "Bias and variance have the constants of the expansion: the variance is that of the Lyapunov "
            "equation dΣ/dt = JΣ + ΣJᵀ + C.",
            SOURCE,
            f"each ratio is 1 as η → 0: all |z| < {SIX}",
            "; ".join(f"{kind}: {value:.3f} ± {SURE * se:.3f}" for kind, (value, se) in constants.items())
            + f"; largest |z| {worst:.1f}",
            verdict(worst < SIX),
        ),
        Verdict(
            "Normal noise with the exact covariance (the SDE) gives the distribution of sampled runs as η → 0.",
            SOURCE,
            f"at the smallest η: means and variances agree, |z| < {SIX}; Kolmogorov distance below "
            f"{critical:.3f}, its 1 % point for equal laws",
            f"largest |z| {np.abs(gaps).max():.1f}; variance ratios "
            f"{', '.join(f'{x:.3f}' for x in ratios)}; distance {ks:.4f}; {seeds[0]} sampled and {seeds[1]} "
            f"SDE runs at η = {rates[-1]:.2g}",
            verdict(np.abs(gaps).max() < SIX and ks < critical),
        ),
    ]


def _gap(data: Mapping[str, np.ndarray], name: str, kind: str) -> float:
    """Difference of sampled runs and SDE at the smallest η."""
    return float(data[f"{name}/sampled/{kind}"][-1] - data[f"{name}/sde/{kind}"][-1])


def _resolved(order: float, error: float, expected: float) -> bool:
    """The 99 % interval contains the order, and no other half order."""
    return abs(order - expected) < SURE * error < 0.25

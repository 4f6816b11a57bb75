r"""When is a training run the flow, and what does the rest of it look like?

Take t = η · steps fixed and η → 0. Training by the exact mean gradient should follow the flow with an error O(η), a
sampled run should differ from it by O(√η), its average over seeds by O(η), and normal noise with the sampled
gradient's exact covariance (the "SDE") should give the same distribution. Constants are predicted with the orders.
Write f for the drift, J for its Jacobian, C for the covariance of one group's gradient; along the flow θ(t)

$$ \dot\Sigma = J\Sigma + \Sigma J^\top + C,\qquad \dot e = J e - \tfrac12 J f,\qquad
   \dot b = J b - \tfrac12 J f + \tfrac12 f''\!:\!\Sigma, $$

and after time t a sampled run has mean θ + ηb and covariance ηΣ, mean training is at θ + ηe
(`theory.small_step_expansion`). The quantity looked at is z = logit π(r*), whose own curvature adds ½ z″:Σ to its
bias.

Every run is made by `training`, which knows nothing of these equations, from π_ref = (.1, .2, .7) with success rates
(1, .5, 0), G = 8, to t = 4. Orders and constants are extrapolated to η → 0 over a ladder of halved η: the next
powers of η are fitted along.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import flow, plot, theory, training
from qra_jax.algorithm import filtered_sft, grpo, reinforce
from qra_jax.problem import Problem
from qra_jax.studies.lab import (
    Data,
    Derived,
    Estimate,
    Evidence,
    Run,
    Study,
    all_of,
    cells,
    dataset,
    exact,
    measured,
    panels,
    scale,
)

study = Study(
    __name__,
    title="Flow limit: runs spread like √η around the flow and their mean is off like η, as predicted",
)

GROUP, TIME, EVERY = 8, 4.0, 4
ALGORITHMS = [reinforce(group_size=GROUP), grpo(GROUP), filtered_sft(per="accepted", group_size=GROUP)]
STEPS = scale([8, 16, 32, 64, 128], [8, 16, 32, 64, 128, 256])
"""Steps to time t."""
SEEDS, SDE, DRAWN = scale(16_384, 65_536), scale(4096, 16_384), 24
ORDER, MATTERS, SHIFT = 0.4, 0.1, 0.1
"""Tolerances: no other half order; of a constant, relatively; of the SDE's mean, in standard deviations, and of shares."""


def _problem() -> Problem:
    return Problem.from_probs(ref=(0.1, 0.2, 0.7), success=(1.0, 0.5, 0.0))


def _logit(log_policy: jax.Array, problem: Problem) -> jax.Array:
    """z = logit π(r*)."""
    rest = jnp.where(jnp.arange(log_policy.shape[-1]) == problem.best, -jnp.inf, log_policy)
    return log_policy[problem.best] - jax.nn.logsumexp(rest)


@study.experiment(
    {"algorithm": ALGORITHMS}, dims={"flow": ["time"]}, coords={"time": np.linspace(0, TIME, 65)}
)
def expected(cell):
    """z along the flow; coefficients of η at its end: error of mean training, bias and variance of sampled."""
    problem, algorithm = _problem(), cell.algorithm
    found = theory.small_step_expansion(
        lambda theta: flow.drift(problem, jax.nn.log_softmax(theta), algorithm=algorithm),
        lambda theta: training.gradient_covariance(problem, jax.nn.log_softmax(theta), algorithm=algorithm),
        problem.log_ref,
        lambda theta: _logit(jax.nn.log_softmax(theta), problem),
        np.linspace(0, TIME, 65),
    )
    return {"flow": found.flow, "error": found.error, "bias": found.bias, "variance": found.variance}


@study.experiment(after=["expected"])
def runs(run: Run) -> xr.Dataset:
    """z at time t beyond that of the flow, by three ways of training and a ladder of η: moments, and ends at the least."""
    steps, rates = run(STEPS), TIME / np.array(run(STEPS))
    data, moments, end = {}, {}, run.done.expected.flow[:, -1].values[:, None, None]
    for number, (mode, seeds) in enumerate({"mean": 1, "sampled": run(SEEDS), "sde": run(SDE)}.items()):

        def one(cell, key, mode=mode):  # all η share one program: larger ones are read off before its end
            problem = jax.tree.map(
                lambda x: x.astype(jnp.float32 if mode == "sampled" else float), _problem()
            )
            options = {"steps": steps[-1], "learning_rate": cell.rate, "mode": mode, "record_every": EVERY}
            found = training.measure({"z": _logit}, key, problem, algorithm=cell.algorithm, **options).values[
                "z"
            ]
            kept = {"path": found} if mode == "sampled" else {}
            return kept | {"z": found[jnp.round(TIME / cell.rate / EVERY).astype(int)]}

        key = jax.random.fold_in(run.key, number)
        axes = {"algorithm": ALGORITHMS, "rate": rates.tolist()}
        found = cells(one, key=key, seeds=seeds, axes=axes, dims={"path": ["record"]}, block=256)
        away = found.z.values.astype(float) - end
        if mode == "mean":
            moments["error"] = (("algorithm", "rate"), away[..., 0])
            continue
        if mode == "sampled":
            ladder = found.path[1, [0, -1], :DRAWN].values
            data["path"] = (("which", "run", "record"), ladder)
        data[mode] = (("algorithm", f"seed_{mode}"), away[:, -1])
        moments |= {
            f"{mode}_{kind}": (("algorithm", "rate"), value) for kind, value in _moments(away).items()
        }
    return dataset(data | moments, {"rate": rates, "algorithm": run.done.expected.algorithm.values})


def _moments(away: np.ndarray) -> dict[str, np.ndarray]:
    """Bias, root mean square and variance over seeds (the last axis), with standard errors."""
    count, square = away.shape[-1], away**2
    centred, variance = away - away.mean(axis=-1, keepdims=True), away.var(axis=-1, ddof=1)
    rms, error = np.sqrt(square.mean(axis=-1)), {"bias_se": np.sqrt(variance / count)}
    error["rms_se"] = square.std(axis=-1) / np.sqrt(count) / (2 * rms)
    error["variance_se"] = (centred**2).std(axis=-1) / np.sqrt(count)
    return {"bias": away.mean(axis=-1), "rms": rms, "variance": variance} | error


def _extrapolated(
    y: xr.DataArray, error: xr.DataArray, columns: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """First coefficient of weighted least squares for each algorithm, and its standard error."""
    found = []
    for values, sigma in zip(y.values, error.values, strict=True):
        matrix = np.stack(columns, axis=1) / sigma[:, None]
        covariance = np.linalg.inv(matrix.T @ matrix)
        found.append(((covariance @ matrix.T @ (values / sigma))[0], np.sqrt(covariance[0, 0])))
    return tuple(np.array(found).T)  # pyright: ignore[reportReturnType]


def _order(runs: xr.Dataset, kind: str, terms: int) -> Estimate:
    """p of |v| = a η^p exp(c η + d η² + …)."""
    rates, value, error = runs.rate.values, abs(runs[f"sampled_{kind}"]), runs[f"sampled_{kind}_se"]
    columns = [np.log(rates), *(rates**term for term in range(terms + 1))]
    order, sigma = _extrapolated(np.log(value), error / value, columns)
    names = {"algorithm": runs.algorithm.values}
    return measured(
        "order in η", xr.DataArray(order, names, ["algorithm"]), xr.DataArray(sigma, names, ["algorithm"])
    )


def _constant(data: Data, kind: str, shift: int = 0) -> Estimate:
    """Value over predicted one in the limit η → 0."""
    runs, rates = data.runs, data.runs.rate.values
    scale = abs(runs.rate * data.expected[kind].roll(algorithm=shift)).transpose("algorithm", "rate").values
    sign = np.sign(data.expected[kind].roll(algorithm=shift).values)[:, None]
    value, error = sign * runs[f"sampled_{kind}"] / scale, runs[f"sampled_{kind}_se"] / scale
    ratio, sigma = _extrapolated(value, error, [np.ones_like(rates), rates, rates**2])
    names = {"algorithm": runs.algorithm.values}
    words = f"{kind} over predicted {kind}, η → 0"
    return measured(
        words, xr.DataArray(ratio, names, ["algorithm"]), xr.DataArray(sigma, names, ["algorithm"])
    )


def _pooled(estimate: Estimate) -> Estimate:
    """All algorithms together, weighted by their errors."""
    low, high = estimate.interval(0.05)
    weight = 1 / (high - low) ** 2
    error = ((high - low) / (2 * 1.959964)) ** 2
    value = (weight * estimate.value).sum(skipna=False) / weight.sum()
    return measured(f"{estimate.quantity}, all algorithms together", value, np.sqrt(1 / (1 / error).sum()))


def _mean_training(data: Data, shift: int = 0) -> Evidence:
    """Order and constant of numbers without noise: the last two of the ladder, extrapolated."""
    error, rates = data.runs.error, data.runs.rate
    ratio = error / rates / data.expected.error.roll(algorithm=shift).values[:, None]
    local = np.log(abs(error)).diff("rate") / np.log(rates).diff("rate")
    return all_of(
        *(
            exact(words, 2 * x.isel(rate=-1) - x.isel(rate=-2)).near(1, within=0.01)
            for words, x in (("order in η", local), ("error over that of the expansion", ratio))
        )
    )


THEORY = Derived("theory.small_step_expansion")
OTHER = "the constants of the algorithm before it in the list"


@study.claim(
    "Training by the exact mean gradient is off the flow by O(η), with the expansion's constant.",
    origin=THEORY,
)
def mean_training(data):
    return _mean_training(data)


mean_training.null(OTHER)(lambda data: _mean_training(data, 1))


@study.claim("A sampled run differs from the flow by O(√η).", origin=THEORY)
def spread(data):
    return _order(data.runs, "rms", 2).near(0.5, within=ORDER)


spread.null("the average over seeds in a run's place")(
    lambda data: _pooled(_order(data.runs, "bias", 1)).near(0.5, within=ORDER)
)


@study.claim("The average of sampled runs differs from the flow by O(η).", origin=THEORY)
def bias(data):
    return _pooled(_order(data.runs, "bias", 1)).near(1, within=ORDER)


bias.null("a single run in the average's place")(
    lambda data: _pooled(_order(data.runs, "rms", 2)).near(1, within=ORDER)
)


@study.claim(
    "As η → 0 the variance of runs is that of the Lyapunov equation dΣ/dt = JΣ + ΣJᵀ + C.", origin=THEORY
)
def variance(data):
    return _constant(data, "variance").near(1, within=MATTERS)


variance.null(OTHER)(lambda data: _constant(data, "variance", 1).near(1, within=MATTERS))


@study.claim("As η → 0 the bias of runs is that of the expansion.", origin=THEORY)
def bias_constant(data):
    return _pooled(_constant(data, "bias")).near(1, within=3 * MATTERS)


bias_constant.null("the error of mean training in its place")(
    lambda data: _pooled(_constant(data.change("expected", bias=data.expected.error), "bias")).near(
        1, within=3 * MATTERS
    )
)


def _same_law(data: Data, shift: int = 0) -> Evidence:
    """Kolmogorov distance of sampled runs and SDE at the least η, with the bound of Dvoretzky, Kiefer and Wolfowitz."""
    first, second = data.runs.sampled, data.runs.sde.roll(algorithm=shift)
    away = []
    for x, y in zip(first.values, second.values, strict=True):
        both = np.concatenate([x, y])
        ranks = [np.searchsorted(np.sort(part), both, "right") / len(part) for part in (x, y)]
        away.append(np.nan if np.isnan(both).any() else np.abs(ranks[0] - ranks[1]).max())
    value = xr.DataArray(away, {"algorithm": data.runs.algorithm.values}, ["algorithm"])

    def interval(level: float) -> tuple[xr.DataArray, xr.DataArray]:
        half = sum(np.sqrt(np.log(4 / level) / 2 / part.shape[1]) for part in (first, second))
        return (value - half).clip(min=0), value + half

    words = "largest difference of distribution functions at the least η"
    distance = Estimate(words, value, interval, first.shape[1], how="Dvoretzky–Kiefer–Wolfowitz bound")
    ratio = second.var("seed_sde", ddof=1) / first.var("seed_sampled", ddof=1)
    error = ratio * np.sqrt(2 / first.shape[1] + 2 / second.shape[1])
    return all_of(
        distance.below(SHIFT),
        measured("variance of the SDE over that of runs", ratio, error).near(1, within=0.15),
    )


@study.claim(
    "Normal noise with the exact covariance (the SDE) gives the distribution of sampled runs as η → 0.",
    origin=THEORY,
)
def sde(data):
    return _same_law(data)


sde.null("the SDE of the algorithm before it in the list")(lambda data: _same_law(data, 1))


def _color(name: str) -> str:
    return plot.color(name)


@study.figure
def draw(data: Data) -> Figure:
    """Runs around the flow at two η; errors against η on their predicted lines; variance ratios."""
    figure, (left, middle, right) = plot.new((10.0, 3.7), ncols=3, width_ratios=[1, 1.15, 1])
    rates, names = data.runs.rate.values, data.runs.algorithm.values.tolist()
    panels.frame(
        "Smaller steps: runs close in on the flow", left, x="time t = η · steps", y="z = logit π(r*)"
    )
    for which, color in ((0, "#F3B79B"), (1, plot.color("GRPO"))):
        path = data.runs.path.values[which, :, : round(TIME / rates[-which] / EVERY) + 1]
        left.plot(np.linspace(0, TIME, path.shape[1]), path.T, color=color, linewidth=0.8)
    left.plot(data.expected.time, data.expected.flow[1], color="black", linewidth=2)
    left.set_ylim(top=float(data.runs.path.values[0, :, : round(TIME / rates[0] / EVERY) + 1].max()) + 1.2)
    shown = {"flow": "black", f"GRPO runs, η = {rates[-1]:.2g}": plot.color("GRPO")}
    panels.legend(shown | {f"GRPO runs, η = {rates[0]:.2g}": "#F3B79B"}, left, loc="upper left")
    _orders(data, middle, names)
    ticks = {"log": "x", "xticks": rates}
    panels.frame(
        "Variance: the Lyapunov equation", right, x="learning rate η", y="variance over predicted", **ticks
    )
    for shift, name in enumerate(names):
        runs, scale = data.runs.sel(algorithm=name), rates * float(data.expected.variance.sel(algorithm=name))
        for mode, face, offset in (("sampled", _color(name), 0.0), ("sde", "white", 0.09)):
            place = rates * 2 ** (0.22 * (shift - 1) + offset)
            value, bars = runs[f"{mode}_variance"] / scale, 2 * runs[f"{mode}_variance_se"] / scale
            style = {
                "fmt": "o",
                "color": _color(name),
                "markerfacecolor": face,
                "markersize": 4,
                "linewidth": 1,
            }
            right.errorbar(place, value, bars, **style)
    right.axhline(1, color="black", linewidth=1, zorder=0)
    right.text(0.02, 0.95, "full: sampled groups; hollow: SDE", transform=right.transAxes, fontsize=8)
    return figure


def _orders(data: Data, ax: Axes, names: list[str]) -> None:
    rates = data.runs.rate.values
    fine = np.geomspace(rates[-1] * 0.8, rates[0] * 1.25, 50)
    title, y = "Spread falls as √η, bias as η", "distance from the flow, in z"
    panels.frame(title, ax, x="learning rate η", y=y, log="xy", xticks=rates, ylim=(2e-4, 6))
    for name in names:
        color, runs, law = _color(name), data.runs.sel(algorithm=name), data.expected.sel(algorithm=name)
        ax.plot(fine, np.sqrt(float(law.variance) * fine), color=color, linewidth=1)
        ax.plot(fine, abs(float(law.bias)) * fine, color=color, linewidth=1)
        ax.plot(rates, runs.sampled_rms, "o", color=color, label=name, markersize=4.5)
        style = {"fmt": "s", "color": color, "markersize": 3.5, "linewidth": 1}
        ax.errorbar(rates, abs(runs.sampled_bias), 2 * runs.sampled_bias_se, **style)
    for place, text in (
        (0.13, "squares: bias of the average ∝ η"),
        (0.04, "lines: predicted, nothing fitted"),
    ):
        ax.text(0.99, place, text, transform=ax.transAxes, fontsize=8, ha="right")
    ax.text(0.03, 0.74, "circles: root mean square ∝ √η", transform=ax.transAxes, fontsize=8)
    ax.legend(loc="upper left", fontsize=7, handletextpad=0)

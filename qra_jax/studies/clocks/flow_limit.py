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

Every run is made by `training` from π_ref = (.1, .2, .7) with success rates (1, .5, 0), G = 8, to t = 4. Orders and
constants are extrapolated to η → 0 over a ladder of halved η.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import flow, plot, theory, training
from qra_jax.algorithm import filtered_sft, grpo, reinforce
from qra_jax.problem import Problem
from qra_jax.studies import lab
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__,
    title="Flow limit: runs spread like √η around the flow, their mean is off like η, as predicted",
)

GROUP, TIME, EVERY = 8, 4.0, 4
TIMES = np.linspace(0, TIME, 65)
ALGORITHMS = [reinforce(group_size=GROUP), grpo(GROUP), filtered_sft(per="accepted", group_size=GROUP)]
STEPS = lab.scale([8, 16, 32, 64, 128], [8, 16, 32, 64, 128, 256])
SEEDS, SDE, DRAWN = lab.scale(16_384, 65_536), lab.scale(4096, 16_384), 24
ORDER = 0.2
"""Tolerance of an order ½; of order 1 twice as much, which excludes other half orders, too."""


def _problem() -> Problem:
    return Problem.from_probs(ref=(0.1, 0.2, 0.7), success=(1.0, 0.5, 0.0))


def _logit(log_policy: jax.Array, problem: Problem) -> jax.Array:
    """z = logit π(r*)."""
    rest = jnp.where(jnp.arange(log_policy.shape[-1]) == problem.best, -jnp.inf, log_policy)
    return log_policy[problem.best] - jax.nn.logsumexp(rest)


@study.experiment({"algorithm": ALGORITHMS}, dims={"flow": ["time"]}, coords={"time": TIMES})
def expected(cell):
    """z along the flow; coefficients of η at its end: error of mean training, bias and variance of sampled."""
    problem, algorithm = _problem(), cell.algorithm
    found = theory.small_step_expansion(
        lambda theta: flow.drift(problem, jax.nn.log_softmax(theta), algorithm=algorithm),
        lambda theta: training.gradient_covariance(problem, jax.nn.log_softmax(theta), algorithm=algorithm),
        problem.log_ref,
        lambda theta: _logit(jax.nn.log_softmax(theta), problem),
        TIMES,
    )
    return {"flow": found.flow, "error": found.error, "bias": found.bias, "variance": found.variance}


@study.experiment(after=["expected"])
def runs(run: lab.Run) -> xr.Dataset:
    """z at time t beyond that of the flow, by three ways of training: moments on a ladder of η, runs at the least η."""
    steps, rates = run(STEPS), TIME / np.array(run(STEPS))
    data, moments, end = {}, {}, run.done.expected.flow[:, -1].values[:, None, None]
    for number, (mode, seeds) in enumerate({"mean": 1, "sampled": run(SEEDS), "sde": run(SDE)}.items()):

        def one(cell, key, mode=mode):  # all η share one program: larger ones are read off before its end
            dtype = jnp.float32 if mode == "sampled" else float
            problem = jax.tree.map(lambda x: x.astype(dtype), _problem())
            options = {"steps": steps[-1], "learning_rate": cell.rate, "mode": mode, "record_every": EVERY}
            found = training.measure({"z": _logit}, key, problem, algorithm=cell.algorithm, **options)
            z = found.values["z"]
            return {"path": z, "z": z[jnp.round(TIME / cell.rate / EVERY).astype(int)]}

        key, axes = jax.random.fold_in(run.key, number), {"algorithm": ALGORITHMS, "rate": rates.tolist()}
        found = lab.cells(one, key=key, seeds=seeds, axes=axes, dims={"path": ["record"]}, block=256)
        away = found.z.values.astype(float) - end
        if mode == "mean":
            moments["error"] = (("algorithm", "rate"), away[..., 0])
            continue
        if mode == "sampled":
            data["path"] = (("which", "run", "record"), found.path[1, [0, -1], :DRAWN].values)
        data[mode] = (("algorithm", f"seed_{mode}"), away[:, -1])
        for kind, value in _moments(away).items():
            moments[f"{mode}_{kind}"] = (("algorithm", "rate"), value)
    return lab.dataset(data | moments, {"rate": rates, "algorithm": run.done.expected.algorithm.values})


def _moments(away: np.ndarray) -> dict[str, np.ndarray]:
    """Bias, root mean square and variance over seeds (the last axis), with standard errors."""
    count, square = away.shape[-1], away**2
    centred, variance = away - away.mean(axis=-1, keepdims=True), away.var(axis=-1, ddof=1)
    rms, error = np.sqrt(square.mean(axis=-1)), {"bias_se": np.sqrt(variance / count)}
    error["rms_se"] = square.std(axis=-1) / np.sqrt(count) / (2 * rms)
    error["variance_se"] = (centred**2).std(axis=-1) / np.sqrt(count)
    return {"bias": away.mean(axis=-1), "rms": rms, "variance": variance} | error


def _order(data: lab.Data, kind: str) -> lab.Estimate:
    """p of |v| = a η^p exp(c η + d η² + …)."""
    runs, rate = data.runs, data.runs.rate
    value, error = abs(runs[f"sampled_{kind}"]), runs[f"sampled_{kind}_se"]
    columns = [np.log(rate), *(rate**term for term in range(3 if kind == "rms" else 2))]
    return lab.extrapolated(f"order of the {kind} in η", np.log(value), error / value, *columns, along="rate")


def _constant(data: lab.Data, kind: str, shift: int = 0) -> lab.Estimate:
    """Value over predicted one in the limit η → 0."""
    runs, rate, law = data.runs, data.runs.rate, data.expected[kind].roll(algorithm=shift)
    value, error = runs[f"sampled_{kind}"] / (law * rate), abs(runs[f"sampled_{kind}_se"] / (law * rate))
    words = f"{kind} over predicted {kind}, η → 0"
    return lab.extrapolated(words, value, error, rate**0, rate, rate**2, along="rate")


def _mean_training(data: lab.Data, shift: int = 0) -> lab.Evidence:
    """Order and constant of numbers without noise: the last two of the ladder, extrapolated."""
    error, rates = data.runs.error, data.runs.rate
    ratio = error / rates / data.expected.error.roll(algorithm=shift).values[:, None]
    local = np.log(abs(error)).diff("rate") / np.log(rates).diff("rate")
    limits = {"order in η": local, "error over that of the expansion": ratio}
    return lab.all_of(*(lab.close(k, 2 * x[..., -1] - x[..., -2], 1, within=0.01) for k, x in limits.items()))


THEORY = lab.Derived("theory.small_step_expansion")
OTHER = "the constants of the algorithm before it in the list"


@study.claim("Training by exact means is off the flow by O(η), with the expansion's constant.", origin=THEORY)
def mean_training(data):
    return _mean_training(data)


mean_training.null(OTHER)(lambda data: _mean_training(data, 1))


@study.claim("A sampled run differs from the flow by O(√η).", origin=THEORY)
def spread(data):
    return _order(data, "rms").near(0.5, within=ORDER)


spread.null("the average in a run's place")(lambda d: lab.pooled(_order(d, "bias")).near(0.5, within=ORDER))


@study.claim("The average of sampled runs differs from the flow by O(η).", origin=THEORY)
def bias(data):
    return lab.pooled(_order(data, "bias")).near(1, within=2 * ORDER)


bias.null("a run in the average's place")(lambda d: lab.pooled(_order(d, "rms")).near(1, within=2 * ORDER))


def _constants(data: lab.Data, shift: int = 0) -> lab.Evidence:
    variance, bias = _constant(data, "variance", shift), lab.pooled(_constant(data, "bias", shift))
    return lab.all_of(variance.near(1, within=0.1), bias.near(1, within=0.3))


@study.claim("As η → 0 bias and variance (dΣ/dt = JΣ + ΣJᵀ + C) are those of the expansion.", origin=THEORY)
def constants(data):
    return _constants(data)


constants.null(OTHER)(lambda data: _constants(data, 1))


def _same_law(data: lab.Data, shift: int = 0) -> lab.Evidence:
    first, second = data.runs.sampled, data.runs.sde.roll(algorithm=shift)
    ratio = second.var("seed_sde", ddof=1) / first.var("seed_sampled", ddof=1)
    error = ratio * np.sqrt(2 / first.shape[1] + 2 / second.shape[1])
    return lab.all_of(
        lab.distance(
            "difference of distribution functions, least η", first, second, ("seed_sampled", "seed_sde")
        ).below(0.1),
        lab.measured("variance of the SDE over that of runs", ratio, error).near(1, within=0.15),
    )


@study.claim("Noise of the exact covariance (SDE) has the law of sampled runs as η → 0.", origin=THEORY)
def sde(data):
    return _same_law(data)


sde.null("the SDE of the algorithm before it in the list")(lambda data: _same_law(data, 1))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Runs around the flow at two η; errors against η on their predicted lines; variance ratios."""
    figure, (left, middle, right) = plot.new((10.0, 3.7), ncols=3, width_ratios=[1, 1.15, 1])
    runs, laws, rates = data.runs, data.expected, data.runs.rate.values
    title, x = "Smaller steps: runs close in on the flow", "time t = η · steps"
    panels.frame(title, left, x=x, y="z = logit π(r*)")
    shown = {"flow": "black"}
    for which, color in ((0, "#F3B79B"), (-1, plot.color("GRPO"))):
        path = runs.path.values[which, :, : round(TIME / rates[which] / EVERY) + 1]
        left.plot(np.linspace(0, TIME, path.shape[1]), path.T, color=color, linewidth=0.8)
        shown[f"GRPO runs, η = {rates[which]:.2g}"] = color
    left.plot(laws.time, laws.flow[1], color="black", linewidth=2)
    panels.legend(shown, left, loc="upper left")

    title, y = "Spread falls as √η, bias as η", "distance from the flow, in z"
    panels.frame(title, middle, x="learning rate η", y=y, log="xy", xticks=rates, ylim=(2e-4, 8))
    fine = np.geomspace(rates[-1] * 0.8, rates[0] * 1.25, 50)
    fine = xr.DataArray(fine, {"rate": fine}, ["rate"])
    colors = {name: plot.color(name) for name in runs.algorithm.values.tolist()}
    for kind, style in (("rms", {"marker": "o"}), ("bias", {"marker": "s", "markersize": 3.5})):
        line = np.sqrt(laws.variance * fine) if kind == "rms" else abs(laws.bias) * fine
        value = lab.measured("", abs(runs[f"sampled_{kind}"]), runs[f"sampled_{kind}_se"])
        named = {"by": "algorithm", "colors": colors, "label": kind == "rms"}
        panels.dots(value, middle, x="rate", theory=line, style=style, **named)
    panels.legend(None, middle, loc="upper left")
    words = "circles: root mean square ∝ √η\nsquares: bias of the average ∝ η\nlines: predicted"
    middle.text(0.99, 0.02, words, transform=middle.transAxes, fontsize=7.5, ha="right")

    title, y = "Variance: Lyapunov's equation", "variance of z over predicted"
    panels.frame(title, right, x="learning rate η", y=y, log="x", xticks=rates)
    law, hollow = laws.variance * runs.rate, {"markerfacecolor": "white", "markeredgecolor": "#444444"}
    for mode, face, shift in (("sampled", {}, 1.0), ("sde", hollow, 1.06)):
        value = lab.measured("", runs[f"{mode}_variance"] / law, runs[f"{mode}_variance_se"] / law)
        place, style = rates * shift, {"markersize": 4} | face
        panels.dots(value, right, x=place, nudge=0.15, by="algorithm", colors=colors, style=style)
    right.axhline(1, color="black", linewidth=1, zorder=0)
    right.text(0.02, 0.02, "full: sampled groups; hollow: SDE", transform=right.transAxes, fontsize=8)
    return figure

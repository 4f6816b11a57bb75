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
constants are extrapolated to η → 0 over a ladder of halved η, by fits with one correction in η and with two; a claim
about them has to hold for both.
"""

from typing import Any

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import flow, plot, theory, training
from qra_jax.algorithm import filtered_sft, grpo, reinforce
from qra_jax.studies import lab
from qra_jax.studies.clocks import _flow_limit
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__,
    title="Flow limit: runs spread like √η around the flow, their mean is off like η, as predicted",
)

GROUP, TIME = 8, 4.0
ALGORITHMS = [reinforce(group_size=GROUP), grpo(GROUP), filtered_sft(per="accepted", group_size=GROUP)]
TIMES = np.linspace(0, TIME, 65)
STEPS = lab.scale([8, 16, 32, 64, 128], [8, 16, 32, 64, 128, 256])
ORDER, CONSTANT, DISTANCE, EXACT = 0.25, 0.2, 0.1, 0.01
"""What matters: half of the way to the next half order; a tenth of the spread, a fifth of its square; a run in ten; of
numbers without noise, one per cent."""
SEEDS, SDE, DRAWN = lab.scale(16_384, 131_072), lab.scale(4096, 16_384), 24


@study.experiment({"algorithm": ALGORITHMS}, dims={"flow": ["time"]}, coords={"time": TIMES})
def expected(cell):
    """z along the flow; coefficients of η at its end; as `start` the variance if noise only added up, t z′ᵀCz′."""
    problem, start = _flow_limit.problem(), _flow_limit.problem().log_ref

    def drift(theta):
        return flow.drift(problem, jax.nn.log_softmax(theta), algorithm=cell.algorithm)

    def covariance(theta):
        return training.gradient_covariance(problem, jax.nn.log_softmax(theta), algorithm=cell.algorithm)

    def quantity(theta):
        return _flow_limit.logit(jax.nn.log_softmax(theta), problem)

    found = theory.small_step_expansion(drift, covariance, start, quantity, TIMES)
    slope = jax.grad(quantity)(start)
    laws = {"error": found.error, "bias": found.bias, "variance": found.variance}
    return {"flow": found.flow, "start": TIME * slope @ covariance(start) @ slope} | laws


@study.experiment(after=["expected"])
def runs(run: lab.Run) -> xr.Dataset:
    """z at time t beyond that of the flow, by three ways of training: moments on a ladder of η, runs at the least η."""
    rates, end = TIME / np.array(run(STEPS)), run.done.expected.flow[:, -1].values[:, None, None]
    arrays, moments, shape = {}, {}, ("algorithm", "rate")
    keys, options = jax.random.split(run.key, 4), {"time": TIME, "steps": run(STEPS)[-1]}
    ways = zip(keys, {"mean": 1, "sampled": run(SEEDS), "sde": run(SDE)}.items(), strict=False)
    for key, (mode, seeds) in ways:
        found = _flow_limit.trained(key, ALGORITHMS, rates, seeds, mode=mode, **options)
        away = found.z.values.astype(float) - end
        if mode == "mean":
            moments["error"] = (shape, away[..., 0])
            continue
        arrays[mode] = (("algorithm", f"seed_{mode}"), away[:, -1])
        moments |= {f"{mode}_{kind}": (shape, x) for kind, x in _flow_limit.moments(away).items()}
        if mode == "sampled":
            arrays["twice"] = (("algorithm", "seed_twice"), away[:, -2])
    options |= {"path": True, "mode": "sampled"}
    path = _flow_limit.trained(keys[3], [grpo(GROUP)], rates[[0, -1]], DRAWN, **options).path
    arrays["path"] = (("which", "run", "record"), path.values[0])
    return lab.dataset(arrays | moments, {"rate": rates, "algorithm": run.done.expected.algorithm.values})


def _fits(words: str, kind: str, y: Any, error: Any, *columns: Any) -> lab.Estimate:
    """A leading coefficient by fits with one and with two corrections; of the bias, of all algorithms together."""
    found = {}
    for terms in (1, 2):
        powers = (y.rate**term for term in range(terms + 1))
        fit = lab.extrapolated(words, y, error, *columns, *powers, along="rate")
        found[terms] = lab.pooled(fit) if kind == "bias" else fit
    return lab.stacked("corrections", found)


def _order(data: lab.Data, kind: str) -> lab.Estimate:
    """p of |v| = a η^p exp(c η + d η²), with and without d."""
    value, error = abs(data.runs[f"sampled_{kind}"]), data.runs[f"sampled_{kind}_se"]
    words = f"order of the {kind} in η"
    return _fits(words, kind, np.log(value), error / value, np.log(value.rate))


def _constant(data: lab.Data, kind: str, law: str) -> lab.Estimate:
    """Value over predicted one in the limit η → 0: a + c η + d η², with and without d."""
    law_of = data.expected[law] * data.runs.rate
    value, error = (data.runs[f"sampled_{kind}{part}"] / law_of for part in ("", "_se"))
    return _fits(f"{kind} over predicted {kind}, η → 0", kind, value, abs(error))


def _limit(words: str, found: xr.DataArray) -> lab.Estimate:
    """Numbers without noise: the last two of the ladder, extrapolated."""
    return lab.exact(words, 2 * found[..., -1] - found[..., -2])


def _mean_order(data: lab.Data) -> lab.Estimate:
    error, rates = data.runs.error, data.runs.rate
    local = np.log(abs(error)).diff("rate") / np.log(rates).diff("rate")
    return _limit("order in η of the error of mean training", local)


def _mean_training(data: lab.Data, law: str) -> lab.Evidence:
    ratio = _limit(
        "its error over that of the expansion", data.runs.error / data.runs.rate / data.expected[law]
    )
    return lab.all_of(_mean_order(data).near(1, within=EXACT), ratio.near(1, within=EXACT))


THEORY = lab.Derived("theory.small_step_expansion")


@study.claim("Training by exact means is off the flow by O(η), with the expansion's constant.", origin=THEORY)
def mean_training(data):
    return _mean_training(data, "error")


mean_training.null("the expansion of sampled runs, with noise")(lambda data: _mean_training(data, "bias"))


@study.claim("A sampled run differs from the flow by O(√η).", origin=THEORY)
def spread(data):
    return _order(data, "rms").near(0.5, within=ORDER)


spread.null("training by exact means in a run's place")(
    lambda data: _mean_order(data).near(0.5, within=ORDER)
)


@study.claim("The average of sampled runs differs from the flow by O(η).", origin=THEORY)
def bias(data):
    return _order(data, "bias").near(1, within=ORDER)


bias.null("a run in the average's place")(lambda data: _order(data, "rms").near(1, within=ORDER))


@study.claim(
    "As η → 0 the variance of sampled runs is that of Lyapunov's equation, dΣ/dt = JΣ + ΣJᵀ + C.",
    origin=THEORY,
)
def variance(data):
    return _constant(data, "variance", "variance").near(1, within=CONSTANT)


variance.null("noise that only adds up, as at the start")(
    lambda data: _constant(data, "variance", "start").near(1, within=CONSTANT)
)


@study.claim("As η → 0 the bias of sampled runs is that of the expansion.", origin=THEORY)
def constants(data):
    return _constant(data, "bias", "bias").near(1, within=CONSTANT)


constants.null("the bias of mean training, without noise")(
    lambda data: _constant(data, "bias", "error").near(1, within=CONSTANT)
)


def _variance(values: xr.DataArray, over: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Variance, and its standard error as a share of it, from the fourth moment."""
    square = (values - values.mean(over, skipna=False)) ** 2
    found = square.mean(over, skipna=False)
    return found, square.std(over, skipna=False) / np.sqrt(values.sizes[over]) / found


def _same_law(data: lab.Data, name: str) -> lab.Evidence:
    first, second, seeds = data.runs[name], data.runs.sde, (f"seed_{name}", "seed_sde")
    apart = lab.distance("difference of distribution functions, least η", first, second, seeds)
    (own, own_error), (other, other_error) = _variance(first, seeds[0]), _variance(second, seeds[1])
    error = other / own * np.sqrt(own_error**2 + other_error**2)
    ratio = lab.measured("variance of the SDE over that of runs", other / own, error, n=apart.n)
    return lab.all_of(apart.below(DISTANCE), ratio.near(1, within=CONSTANT))


@study.claim(
    "At the least η noise of the exact covariance (SDE) has the law of sampled runs at time t.", origin=THEORY
)
def sde(data):
    return _same_law(data, "sampled")


sde.null("runs at twice the η")(lambda data: _same_law(data, "twice"))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Runs around the flow at two η; errors against η on their predicted lines; variance ratios."""
    figure, (left, middle, right) = plot.new((10.0, 3.7), ncols=3, width_ratios=[1, 1.15, 1])
    runs, laws, rates = data.runs, data.expected, data.runs.rate.values
    title, x = "Smaller steps: runs close in on the flow", "time t = η · steps"
    panels.frame(title, left, x=x, y="z = logit π(r*)")
    shown = {"flow": "black"}
    for which, color in ((0, "#F3B79B"), (-1, plot.color("GRPO"))):
        path = runs.path.values[which, :, : round(TIME / rates[which] / _flow_limit.EVERY) + 1]
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

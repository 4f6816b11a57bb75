r"""How long does diversity last where there is nothing to learn?

n equally good patterns with the success rate p, no regulariser: the mean gradient is zero, and sampling noise alone
moves the policy. One group's gradient has the covariance (σ²/G)(diag π − ππᵀ), σ² = E[A²], so that to second order

$$ \frac{d\,E[\textstyle\sum\pi^2]}{dt} = \frac{\eta\sigma^2}{G}\,D(\pi), \quad D = \frac{n-1}{n^3}\ \text{if uniform},
   \qquad \sigma^2 = \begin{cases} p(1-p) & \text{REINFORCE, baseline } p\\ 1-p^G-(1-p)^G & \text{GRPO}\end{cases} $$

(t = η · steps; `theory.diversity_drift`, `theory.weight_variance`). η, G and the algorithm enter by η²σ²/G a step only:
in the limit of small steps all runs share one curve E[Σπ²] in s = σ²ηt/G, which starts with the slope (n − 1)/n³. Time
without s would be told wrongly by the ratio of σ², 3.6 to 4.8 for GRPO and REINFORCE at p = .7.

The experiment: sampled runs of five patterns from the uniform policy, for both algorithms and several G, at two
learning rates, one twice the other. Their curves, at equal s, are extrapolated linearly in η² to small steps.
"""

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import metrics, plot, theory
from qra_jax.algorithm import Algorithm, grpo, reinforce, switch
from qra_jax.problem import Problem
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.training import measure

study = lab.Study(
    __name__, title="Diversity: how fast noise alone concentrates a policy over equally good patterns"
)

PATTERNS, RATE, SPAN, STEPS, RECORDS = 5, 0.7, 64.0, 1200, 150
"""Equally good patterns, their success rate; s at the end; steps and records of a run."""
NAMES, GROUPS, BATCHES = ("REINFORCE", "GRPO"), lab.scale((4, 16), (4, 8, 16, 32)), 32
"""Algorithms; group sizes; batches of seeds."""


def _members(group: int) -> list[Algorithm]:
    return [reinforce(RATE, group_size=group), grpo(group)]


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Σπ² against s, averaged over batches of seeds, in the limit of small steps; and σ²."""
    groups = run(GROUPS)

    def one(cell, key):
        noise = jnp.where(
            cell.algorithm > 0, 1 - RATE**cell.group - (1 - RATE) ** cell.group, RATE * (1 - RATE)
        )
        rate = jnp.float32(cell.step * jnp.sqrt(SPAN * cell.group / (noise * STEPS)))
        even, rates = (
            jnp.full(PATTERNS, -np.log(PATTERNS), jnp.float32),
            jnp.full(PATTERNS, RATE, jnp.float32),
        )
        algorithm = switch(cell.algorithm, _members(max(groups))).with_group_size(cell.group)
        options = {"steps": STEPS, "record_every": STEPS // RECORDS, "learning_rate": rate}
        h = {"h": lambda log_policy, _: metrics.herfindahl(log_policy)}
        return measure(h, key, Problem(even, rates), algorithm=algorithm, **options).values

    axes, seeds = {"algorithm": [0, 1], "group": groups, "step": [1.0, 2.0]}, run(lab.scale(1024, 4096))
    h = lab.cells(one, key=run.key, seeds=seeds, axes=axes, dims={"h": ["record"]}, block=256).h
    h = h.values.astype(float).reshape(2, len(groups), 2, BATCHES, -1, RECORDS + 1).mean(axis=4)
    # A step twice as long comes four times as far in s.
    count = RECORDS // 4 + 1
    limit = (4 * h[:, :, 0, :, : 4 * count : 4] - h[:, :, 1, :, :count]) / 3
    noise = [[theory.weight_variance(each, RATE) for each in _members(group)] for group in groups]
    coords = {"algorithm": list(NAMES), "group": list(groups), "s": 4 * SPAN / RECORDS * np.arange(count)}
    variables = {"h": (("algorithm", "group", "batch", "s"), limit), "noise": (("group", "algorithm"), noise)}
    first = h[:, :, 0, :, 1], SPAN / RECORDS
    variables["slope"] = (("algorithm", "group", "batch"), (first[0] - 1 / PATTERNS) / first[1])
    return lab.dataset(variables, coords, seeds=seeds, patterns=PATTERNS, success_rate=RATE)


def _starts(data: lab.Data, other: bool = False) -> lab.Evidence:
    """Slope up to the first record over that of the theory; or over that with the σ² of the other algorithm."""
    noise = data.runs.noise
    factor = noise.isel(algorithm=[1, 0]).assign_coords(algorithm=list(NAMES)) / noise if other else 1.0
    drift = float(theory.diversity_drift(jnp.full(PATTERNS, 1 / PATTERNS)))
    slope = lab.mean("dE[Σπ²]/ds at the start ÷ (n − 1)/n³", data.runs.slope / drift / factor, over="batch")
    return slope.near(1.0, within=0.2)


@study.claim(
    "Noise alone concentrates a uniform policy at the rate ησ²/G · (n − 1)/n³.",
    origin=lab.Derived("theory.diversity_drift"),
)
def rate(data):
    return _starts(data)


rate.null("each algorithm with the σ² of the other")(lambda data: _starts(data, other=True))


def _curves(h: xr.DataArray, pace: xr.DataArray) -> xr.DataArray:
    """Mean curves as functions of x = s/pace, on one grid of x."""
    mean, pace = h.mean("batch").transpose("algorithm", "group", "s"), pace.transpose("algorithm", "group")
    x = h.s.values / pace.values.max()
    rows = [np.interp(pace.values[i] * x, h.s.values, mean.values[i]) for i in np.ndindex(pace.shape)]
    return xr.DataArray(np.reshape(rows, (*pace.shape, -1)), pace.coords | {"x": x}, (*pace.dims, "x"))


def _apart(data: lab.Data, pace: xr.DataArray) -> lab.Evidence:
    def distance(h: xr.DataArray) -> xr.DataArray:
        curves = _curves(h, pace)
        return ((curves - curves.mean(["algorithm", "group"])) ** 2).mean(skipna=False) ** 0.5

    return lab.statistic(
        "distance of the curves from their mean, in Σπ²", distance, data.runs.h, over="batch"
    ).below(0.05)


@study.claim(
    "Diversity is lost on one curve in σ²ηt/G, whatever G and algorithm.",
    origin=lab.Derived("docs/theory.md §3"),
)
def curve(data):
    return _apart(data, xr.ones_like(data.runs.noise))


curve.null("curves against ηt/G, without σ²")(lambda data: _apart(data, data.runs.noise))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Concentration against ηt/G, and against σ²ηt/G."""
    figure, (left, right) = plot.new((8.0, 3.5), ncols=2)
    h, noise = data.runs.h, data.runs.noise
    ratio = noise.sel(algorithm="GRPO") / noise.sel(algorithm="REINFORCE")
    title = f"GRPO loses diversity {float(ratio.min()):.1f} to {float(ratio.max()):.1f} times as fast"
    panels.frame(title, left, x="ηt/G", y="concentration E[Σπ²]", ylim=(0, 1))
    colors = panels.palette(NAMES)
    apart = _apart(data, xr.ones_like(noise)).tests()[0].estimate.value
    title = f"… and all on one curve, within {float(apart):.3f}"
    panels.frame(title, right, x="σ²ηt/G", y="concentration E[Σπ²]", ylim=(0, 1), xlim=(0, SPAN))
    for ax, pace in ((left, noise), (right, xr.ones_like(noise))):
        curves = _curves(h, pace)
        panels.curves(curves, ax, x="x", by="algorithm", dash="group", colors=colors)
    early = np.array([0.0, 14.0])
    right.plot(
        early,
        1 / PATTERNS + early * (PATTERNS - 1) / PATTERNS**3,
        ":",
        color="black",
        label="slope at the start",
    )
    panels.legend(None, left, loc="lower right")
    panels.legend(None, right, loc="lower right")
    return figure

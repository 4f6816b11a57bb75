r"""How many rollouts should a group have?

To leading order the mean path of GRPO is said not to depend on the group size G. On this package's theory the *curve*
that it follows does not, its speed does. A group is often silent (all rewards equal) once ρ or 1 − ρ is below 1/G, and
GRPO then learns nothing. Its speed as a share of the mean field's is

$$ \frac{E\sqrt{\frac kG(1-\frac kG)}}{\sqrt{\rho(1-\rho)}},\ k\sim{\rm Bin}(G,\rho) \qquad\to\qquad
   \frac{E\sqrt k}{\sqrt\lambda},\ k\sim{\rm Poisson}(\lambda=G\rho) \quad (\rho \ll 1) $$

which is √((G−1)ρ) for λ ≪ 1: training from a small ρ₀ takes about 1/(2√(G−1)ρ₀). There its noise does not fall like
1/G either: a rare right rollout gets the weight √(G−1), so that drift and noise are those of REINFORCE at a learning
rate √(G−1) times as large, and a rollout is worth about the same in any group.

The experiments: exact clocks and variances for many G; and sampled races at equal numbers of rollouts, with the best of
seven learning rates for each G, chosen on one half of the seeds and measured on the other. Their problem has success
rates (.8, .4, 0) and base shares (x, 2x, 1 − 3x); a race is over at ρ = .72, and a run that is locked into the second
pattern never is.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.algorithm import Algorithm, dr_grpo, grpo, rloo
from qra_jax.problem import Problem
from qra_jax.studies import lab, papers
from qra_jax.studies.noise import _group_panels
from qra_jax.training import gradient_covariance, measure

study = lab.Study(__name__, title="Group size: how fast GRPO is below ρ ~ 1/G, and what a rollout is worth")

SIZES, LOADS = (4, 8, 16, 32, 64, 128, 256, 512), np.geomspace(0.01, 8, 60)
"""Group sizes; right rollouts expected in a group, λ = Gρ."""
LEVELS, LOGITS = (0.01, 0.1, 0.5), np.linspace(np.log(1e-6), 0, 301)
"""Accuracies at which noise is looked at; logit ρ₀ from which cold starts are integrated."""
TOP, TARGET, BUDGET, WINDOW, SURE = (0.8, 0.4, 0.0), 0.72, 4096, 64, 0.95
"""Success rates; accuracy that ends a race; rollouts in a run, and between two looks; share that has to be there."""
MAKERS = {"GRPO": grpo, "RLOO": rloo, "Dr.GRPO": dr_grpo}
MAKERS["dynamic sampling"] = partial(grpo, resample_silent=True)
LAW = lab.Derived("theory.grpo_drift_share")
MEAN = lab.Asked(
    "The paper has stationary fluctuations ∝ 1/G; is that so of a single update?", (papers.OSCILLATOR_NOISE,)
)
BETTER = lab.Asked(
    "The papers look for the best group size; is a larger one, with less noise, better at equal cost?",
    (papers.GROUP_UNIVERSAL, papers.GROUP_BUDGET),
)


def _members(group: int) -> list[Algorithm]:
    return [grpo(group), rloo(group)]


def _problem(rho: Any) -> Problem:
    """The problem with base accuracy ρ."""
    x = rho / (TOP[0] + 2 * TOP[1])
    return Problem(jnp.log(jnp.stack([x, 2 * x, 1 - 3 * x])), jnp.array(TOP, jnp.asarray(x).dtype))


@study.experiment()
def speeds(run: lab.Run) -> xr.Dataset:
    """Clock of GRPO as a share of the mean field's, by load and G; times of cold starts, by algorithm and G."""
    rho, sizes = 1 / (1 + np.exp(-LOGITS)), jnp.array(SIZES, float)

    def clocks(name: str, sizes: jax.Array, rho: Any) -> jax.Array:
        largest = MAKERS[name](SIZES[-1])
        return jax.vmap(lambda size, rho: largest.with_group_size(size).clock(rho))(sizes, rho)

    every = jax.jit(lambda rho: [clocks(name, sizes, rho) for name in MAKERS])
    pace = 1 / (2 * rho * (1 - rho) * np.asarray(every(np.tile(rho, (len(SIZES), 1)))))
    steps = (pace[..., 1:] + pace[..., :-1]) / 2 * np.diff(LOGITS)
    cold = np.cumsum(steps[..., ::-1], axis=-1)[..., ::-1]
    at = LOADS / np.array(SIZES)[2:, None]
    share = np.asarray(jax.jit(partial(clocks, "GRPO"))(sizes[2:], at)) * np.sqrt(at * (1 - at))
    limit = theory.grpo_poisson_share(jnp.asarray(LOADS), terms=2000)
    loads = {"share": (("G", "load"), share), "limit": ("load", limit)}
    coords = {
        "G": list(SIZES[2:]),
        "load": LOADS,
        "algorithm": list(MAKERS),
        "size": list(SIZES),
        "rho0": rho[:-1],
    }
    return xr.Dataset(loads | {"cold": (("algorithm", "size", "rho0"), cold)}, coords)


@study.experiment(
    {
        "algorithm": lab.scale(_members(128), _members(512)),
        "rho": LEVELS,
        "size": lab.scale(SIZES[2:6], SIZES[2:]),
    }
)
def noise(cell):
    """Variance of one group's push on ρ, and its mean."""
    problem, algorithm = _problem(cell.rho), cell.algorithm.with_group_size(cell.size)
    slope = problem.ref * (problem.success - cell.rho)
    covariance = gradient_covariance(problem, problem.log_ref, algorithm=algorithm)
    return {"variance": slope @ covariance @ slope, "mean": algorithm.clock(cell.rho) * (slope @ slope)}


@study.experiment()
def races(run: lab.Run) -> xr.Dataset:
    """Rollouts until the target is reached, for each G a program; inf for a run that does not get there."""
    parts, groups, rates = [], run(lab.scale((2, 64), (2, 4, 8, 16, 32, 64, 128))), 2.0 ** np.arange(-1, 6)
    for group in groups:
        every = max(1, WINDOW // group)
        options = {"steps": BUDGET // group // every * every, "record_every": every}

        def one(cell, key, options=options):
            rate, problem = jnp.float32(cell.rate), _problem(jnp.float32(cell.rho))
            rule = {"algorithm": cell.algorithm, "learning_rate": rate}
            return measure(("accuracy",), key, problem, **rule, **options).values

        axes = {"algorithm": _members(group), "rho": LEVELS[:2], "rate": rates}
        settings = {
            "key": jax.random.fold_in(run.key, group),
            "seeds": run(lab.scale(400, 1024)),
            "block": 256,
        }
        accuracy = lab.cells(one, axes=axes, dims={"accuracy": ["record"]}, **settings).accuracy
        there, known = accuracy >= TARGET, accuracy.notnull().all("record")
        first = xr.where(there.any("record"), there.argmax("record") * every * group, np.inf)
        parts.append(first.where(known))
    found: Any = xr.concat(parts, xr.DataArray(list(groups), dims="G", name="G"))
    return found.assign_coords(algorithm=list(MAKERS)[:2]).to_dataset(name="rollouts")


def _free(data: lab.Data, loads: slice) -> lab.Evidence:
    share = lab.exact("GRPO's speed ÷ mean field's", data.speeds.share.sel(load=loads))
    return share.near(1.0, within=0.1).per("load")


@study.claim(
    "GRPO's mean path does not depend on G: its speed is the mean field's, within a tenth.",
    origin=papers.OSCILLATOR_GROUP,
)
def free(data):
    return _free(data, slice(None))


free.null("groups that are mostly silent, Gρ < 1")(lambda data: _free(data, slice(0, 1)))


def _falls(data: lab.Data, limit: xr.DataArray) -> lab.Evidence:
    gap: Any = abs(data.speeds.share - limit).sel(load=[0.1, 1.0, 4.0], method="nearest")[2:]
    power = lab.slope("power of G in the distance from the limit", np.log(gap), np.log(gap.G), along="G")
    return power.near(-1.0, within=0.1)


@study.claim(
    "For ρ ≪ 1 the share is a function of Gρ, E√k/√λ, k ~ Poisson(λ = Gρ), up to O(1/G) (λ = .1, 1, 4).",
    origin=LAW,
)
def poisson(data):
    return _falls(data, data.speeds.limit)


poisson.null("the mean field as the limit")(lambda data: _falls(data, xr.ones_like(data.speeds.limit)))


def _cold(data: lab.Data, law: xr.DataArray) -> lab.Evidence:
    time = data.speeds.cold.sel(algorithm="GRPO").isel(rho0=0)
    return lab.exact("time of GRPO from ρ₀ = 10⁻⁶ ÷ law", time / law).near(1.0, within=0.02)


@study.claim("With rates (1, 0) GRPO needs 1/(2√(G−1) ρ₀) from ρ₀ = 10⁻⁶ to ½, for G = 4 … 512.", origin=LAW)
def cold(data):
    return _cold(data, 0.5 * (data.speeds["size"] - 1) ** -0.5 / data.speeds.rho0[0])


cold.null("the law of the mean field, 1/√ρ₀")(lambda data: _cold(data, data.speeds.rho0[0] ** -0.5))


def _steep(values: xr.DataArray) -> lab.Evidence:
    log: Any = np.log(values.sel(size=slice(16, None)))
    power = lab.exact("power of G, from one G to the next", log.diff("size") / np.log(2))
    return power.near(-1.0, within=0.1).per("algorithm", "rho")


@study.claim("The variance of an update falls like 1/G from G = 16 on.", origin=MEAN)
def variance(data):
    return _steep(data.noise.variance)


variance.null("the square of its mean")(lambda data: _steep(data.noise["mean"] ** 2))


def _needed(rollouts: xr.DataArray) -> xr.DataArray:
    """Rollouts until 95 % of runs are there; at most the budget."""
    ordered = xr.apply_ufunc(np.sort, rollouts, input_core_dims=[["seed"]], output_core_dims=[["seed"]])
    needed = np.minimum(ordered.isel(seed=int(SURE * rollouts.sizes["seed"])), BUDGET)
    return needed.where(rollouts.notnull().all("seed"))


def _tuned(data: lab.Data) -> xr.DataArray:
    """Rollouts of each half of the seeds at the rate that is best for the other half."""
    rollouts, half = data.races.rollouts, data.races.sizes["seed"] // 2
    halves = [rollouts.isel(seed=slice(half)), rollouts.isel(seed=slice(half, None))]
    best: Any = [_needed(runs).fillna(BUDGET).argmin("rate") for runs in halves]
    tuned: Any = [halves[i].drop_vars("rate").isel(rate=best[1 - i]) for i in (0, 1)]
    return xr.concat(tuned, "seed")


def _trend(rollouts: xr.DataArray) -> lab.Evidence:
    log: Any = np.log(rollouts.G) - np.log(rollouts.G).mean()
    weight = log / (log**2).sum()

    def power(rollouts: xr.DataArray) -> xr.DataArray:
        return (np.log(_needed(rollouts)) * weight).sum("G", skipna=False).mean("rho", skipna=False)

    return lab.statistic("power of G in the rollouts needed, mean over ρ₀", power, rollouts).below(-0.1)


@study.claim(
    "At equal numbers of rollouts, with the learning rate tuned, larger groups learn faster.", origin=BETTER
)
def race(data):
    return _trend(_tuned(data))


@race.null("other runs of the smallest group in the place of each G")
def _(data):
    smallest, k = _tuned(data).isel(G=0, drop=True), data.races.sizes["G"]
    count = smallest.sizes["seed"] // k * k
    return _trend(xr.concat([smallest.isel(seed=slice(i, count, k)) for i in range(k)], data.races.G))


race.positive("the same runs, counted in updates")(lambda data: _trend(_tuned(data) / data.races.G))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Speed against Gρ; cold starts, noise, and rollouts needed against G."""
    figure, ((first, second), (third, fourth)) = plot.new((8.6, 6.4), nrows=2, ncols=2)
    colors, exact = {name: plot.color(name) for name in MAKERS}, data.speeds
    _group_panels.speed(exact.share, exact.limit, first)
    _group_panels.cold_start(exact.cold.interp(rho0=0.01), second, colors)
    some = data.noise.variance.sel(rho=[0.01, 0.5]).assign_coords(algorithm=list(MAKERS)[:2])
    _group_panels.variance(some / some.sel(size=16, drop=True), third, colors)
    tuned = _tuned(data)
    needed, power = lab.statistic("", _needed, tuned), _trend(tuned).tests()[0].estimate.value
    _group_panels.race(needed, power, fourth, colors)
    return figure

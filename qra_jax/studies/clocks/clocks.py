r"""Do ten algorithms learn different things, or the same thing at different speeds?

"GRPO is filtered SFT in disguise", it is said. On policy, for a tabular softmax and in expectation, the update of every
algorithm of the table in this package's theory is c(ρ) π ⊙ (p − ρ): one direction, so one orbit, and only the clock c(ρ) is
the algorithm's own. From the clock follow how training leaves ρ = 0 and how it approaches ρ = 1. With success rates (1, 0),

$$ \dot\rho = 2\rho^2(1-\rho)^2 c(\rho): \qquad
   T_{1/2} \simeq A\,\rho_0^{-a}\ \text{or}\ A\log(1/\rho_0), \qquad 1-\rho \simeq (Bt)^{-b}\ \text{or}\ e^{-Bt}. $$

A finite group is silent where ρ or 1 − ρ is below 1/G, which turns both laws of GRPO into those of REINFORCE, √(G−1) times as
fast; in between, the local exponent of its cold start is a function of ρ₀G alone (`theory.grpo_cold_exponent`).

Three experiments know no clock: all groups of four rollouts, listed with their chances, give the exact mean gradient from an
algorithm's weights; sampled training from π_ref = (.12, .33, .55) with rates (.9, .6, .1) is put beside the orbit at the same
odds of best to poor pattern, and beside the accuracy that the clock foretells; the natural gradient, on another orbit, and a
real-valued reward, under which GRPO has none, are the controls. The ends come from exact hitting times.
"""

import itertools
from dataclasses import fields, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import orbit, plot, theory
from qra_jax.algorithm import (
    Algorithm, by_clock, dr_grpo, filtered_sft, grpo, pass_at_k, reinforce, rloo, tsallis,
)  # fmt: skip
from qra_jax.problem import Problem
from qra_jax.studies import papers
from qra_jax.studies.lab import (
    Data, Derived, Estimate, Evidence, Run, Study, all_of, cells, close, dataset, exact, mean, panels, scale, slope,
)  # fmt: skip
from qra_jax.training import train

study = Study(__name__, title="Clocks: ten algorithms share one orbit and differ in speed only")

PROBLEM = {"ref": [0.12, 0.33, 0.55], "success": [0.9, 0.6, 0.1]}
PATTERNS = ("best, p = .9", "rival, p = .6", "poor, p = .1")


def _ten(group: int) -> list[Algorithm]:
    """Algorithms by name, and the limit of GRPO last; with dynamic sampling before it."""
    named = {
        "REINFORCE": reinforce(group_size=group),
        "RLOO": rloo(group),
        "Dr.GRPO": dr_grpo(group),
        "GRPO": grpo(group),
        "filtered SFT±": filtered_sft("both", group_size=group),
        "filtered SFT (per accepted)": filtered_sft(per="accepted", group_size=group),
        "pass@4": pass_at_k(4, group),
        "Tsallis, q = ½": tsallis(0.5, group),
        "dynamic sampling": grpo(group, resample_silent=True),
        "GRPO, G → ∞": grpo(),
    }
    return [replace(algorithm, name=name) for name, algorithm in named.items()]


GROUP, RATE, STEPS = 16, 0.02, 1000
RECORDS = RATE * STEPS / 4 * np.arange(1, 5)
TIMES = np.unique(np.concatenate([np.geomspace(0.05, 1e3, 49), RECORDS]))
SAMPLED, CLOCKS = _ten(GROUP)[:-1], [by_clock(algorithm) for algorithm in _ten(GROUP)]
LIMITS = {"natural gradient": reinforce(), "natural gradient ÷ std": grpo()}
GROUPS = (GROUP, 64, 512)
FINITE = [by_clock(replace(grpo(size), name=f"GRPO, G = {size}")) for size in GROUPS]
DEPTH = np.linspace(0.0, 300.0, 30_001)
"""Logits |z| of accuracy from one half to either end."""
APART, SLOW = 0.2, 0.02
"""Differences that would matter: in log odds beside the orbit, and in accuracy at equal time."""


@study.experiment()
def listed(run: Run) -> xr.Dataset:
    """Exact mean of the sampled gradient over all groups of four: its direction, and its length over the clock's."""
    algorithms, draws = _ten(4)[:-1], np.random.default_rng(run.seed)
    refs, rates = draws.dirichlet(np.ones(3), 20), draws.uniform(size=(20, 3))
    rho = (refs * rates).sum(axis=1)
    rewards = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    outcomes = np.array(list(itertools.product(range(6), repeat=4)))  # twice the pattern, and whether it is right
    row, silent = (outcomes % 2) @ (2 ** np.arange(4)[::-1]), (outcomes % 2).std(axis=1) == 0
    weights = jax.jit(lambda r: [jax.vmap(a.weights)(r) for a in algorithms])(rewards)
    clocks = jax.jit(lambda r: [a.clock(r) for a in algorithms])(rho)
    cosine, speed = np.empty((2, len(algorithms), len(rho)))
    for a, q in np.ndindex(cosine.shape):
        chance = np.stack([refs[q] * (1 - rates[q]), refs[q] * rates[q]], axis=1).ravel()[outcomes].prod(axis=1)
        if algorithms[a].resamples_silent:
            chance = np.where(silent, 0, chance) / chance[~silent].sum()
        found = _mean_gradient(chance, np.asarray(weights[a])[row], outcomes // 2, refs[q])
        cosine[a, q], length = _compare(found, refs[q] * (rates[q] - rho[q]))
        speed[a, q] = length / clocks[a][q]
    certain = np.array(list(itertools.product(range(3), repeat=4)))  # certainty is a function of the pattern
    real = -np.log(rates * (1 - rates)) / 2
    weigh = jax.jit(jax.vmap(jax.vmap(grpo(4).weights)))(real[:, certain])
    other = [
        _compare(_mean_gradient(ref[certain].prod(axis=1), np.asarray(w), certain, ref), ref * (r - ref @ r))[0]
        for ref, r, w in zip(refs, real, weigh, strict=True)
    ]
    both = {"cosine": (("algorithm", "policy"), cosine), "speed": (("algorithm", "policy"), speed)}
    return dataset(both | {"certainty": ("policy", other)}, {"algorithm": [a.name for a in algorithms]}, group=4)


def _mean_gradient(chance: np.ndarray, weights: np.ndarray, patterns: np.ndarray, ref: np.ndarray) -> np.ndarray:
    return np.einsum("g,gi,gir->r", chance, weights / patterns.shape[1], np.eye(len(ref))[patterns] - ref)


def _compare(found: np.ndarray, direction: np.ndarray) -> tuple[float, float]:
    """Cosine with a direction, and length as a multiple of it."""
    scale, norm = np.linalg.norm(direction), np.linalg.norm(found)
    return float(found @ direction / (norm * scale)), float(norm / scale)


@study.experiment()
def runs(run: Run) -> xr.Dataset:
    """Sampled training with the weights of every algorithm, and under the natural gradient: log π at four times."""

    def one(cell, key, geometry="softmax"):
        options = {"steps": STEPS, "record_every": STEPS // 4, "learning_rate": RATE, "geometry": geometry}
        return {"log_policy": train(key, Problem.from_probs(**PROBLEM), algorithm=cell.algorithm, **options).log_policy[1:]}

    options = {"seeds": run(scale(256, 2048)), "dims": {"log_policy": ["time", "pattern"]}, "coords": {"time": RECORDS}}
    parts = [cells(one, key=run.key, axes={"algorithm": group}, **options) for group in (SAMPLED[:-1], SAMPLED[-1:])]
    natural = cells(partial(one, geometry="natural"), key=run.key, axes={"algorithm": SAMPLED[:1]}, **options)
    found = xr.concat(parts, "algorithm").assign(natural=natural.log_policy[0])
    return found.assign_attrs(group=GROUP, rate=RATE)


@study.experiment({"algorithm": CLOCKS}, dims={"accuracy": ["time"]}, coords={"time": TIMES})
def courses(cell):
    """Accuracy along the orbit by every clock."""
    return {"accuracy": orbit.solve(Problem.from_probs(**PROBLEM), TIMES, algorithm=cell.algorithm).accuracy}


@study.experiment({"geometry": ["softmax", "natural"], "tau": np.geomspace(1e-3, 1e3, 400)}, dims={"log_policy": ["pattern"]})
def curve(cell):
    """Both orbits, whatever the clock."""
    return {"log_policy": orbit.policy(Problem.from_probs(**PROBLEM), cell.tau, geometry=cell.geometry)}


@study.experiment()
def ends(run: Run) -> xr.Dataset:
    """With success rates (1, 0): log time between ρ = ½ and σ(∓z), by quadrature of the clock, and the laws of both ends."""
    arms = [(a.name, a, "softmax") for a in CLOCKS + FINITE] + [(n, a, "natural") for n, a in LIMITS.items()]
    near, far = 1 / (1 + np.exp(DEPTH)), 1 / (1 + np.exp(-DEPTH))

    @jax.jit
    def measured():
        clocks = [a.log_clock_function() for _, a, _ in arms]
        laws = [theory.exponents(a, geometry=geometry) for _, a, geometry in arms]
        return [(jax.vmap(c)(near, far), jax.vmap(c)(far, near)) for c in clocks], laws

    speeds, laws = measured()
    pace = np.array([[np.log(2 * near * far) if geometry == "softmax" else 0 * near] for *_, geometry in arms])
    slow = np.exp(-np.asarray(speeds) - pace)  # dt/dz
    time = np.log(np.cumsum((slow[..., 1:] + slow[..., :-1]) / 2 * np.diff(DEPTH), axis=-1))[..., 9::10]
    law = {f"{f.name}_law": ("algorithm", [getattr(one, f.name) for one in laws]) for f in fields(theory.Exponents)}
    times = {"cold": (("algorithm", "depth"), time[:, 0]), "tail": (("algorithm", "depth"), time[:, 1])}
    return dataset(times | law, {"algorithm": [name for name, *_ in arms], "depth": DEPTH[10::10]})


def _limits(data: Data, end: str, arms: slice, shift: int = 0) -> Evidence:
    """Exponent and constant of T ~ A ρ₀^(−a), or A log 1/ρ₀; of the tail, of t ~ (1 − ρ)^(−1/b)/B; on the last decades."""
    ends = data.ends.isel(algorithm=arms)
    log_time, last = ends[end], ends[end].sel(depth=[250.0, 300.0], method="nearest")
    exponent = (last.diff("depth") / last.depth.diff("depth"))[..., 0]
    if end == "cold":
        law, constant = ends.cold_start_law, ends.cold_constant_law
    else:
        law, constant = 1 / ends.tail_law, 1 / ends.tail_constant_law
    law, constant = law.roll(algorithm=shift), constant.roll(algorithm=shift)
    rise = np.exp(last).diff("depth")[..., 0] / 50
    found = xr.where(law > 0, np.exp(log_time[..., -1] - law * 300), rise)
    a, b = ("a", "A") if end == "cold" else ("1/b", "1/B")
    return all_of(
        exact(f"exponent {a} (0: logarithm)", exponent).near(law, within=0.01),
        exact(f"constant {b} as a multiple of the predicted one", found / constant).near(1, within=0.01),
    )

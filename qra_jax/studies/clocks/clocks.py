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
from dataclasses import replace
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


GROUP, RATE, STEPS = 8, 0.02, 2000
SAMPLED, LIMITS = _ten(GROUP)[:-1], [reinforce(), replace(grpo(), name="GRPO, G → ∞")]
CLOCKS = [by_clock(algorithm) for algorithm in _ten(GROUP)]
GROUPS = (64, 512)
FINITE = [by_clock(replace(grpo(size), name=f"GRPO, G = {size}")) for size in GROUPS]
COLD, TAIL = np.geomspace(1e-8, 1e-1, 43), np.geomspace(1e-1, 1e24, 151)
END = np.pi / 2
"""When the natural gradient ÷ std, started at ρ = ½, reaches ρ = 1."""
APART, SLOW = 0.1, 0.02
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
    """Sampled training with the weights of every algorithm, and under the natural gradient: log π at eight times."""

    def one(cell, key, geometry="softmax"):
        options = {"steps": STEPS, "record_every": STEPS // 8, "learning_rate": RATE, "geometry": geometry}
        return {"log_policy": train(key, Problem.from_probs(**PROBLEM), algorithm=cell.algorithm, **options).log_policy[1:]}

    options = {"seeds": run(scale(256, 2048)), "dims": {"log_policy": ["time", "pattern"]}}
    options["coords"] = {"time": RATE * STEPS / 8 * np.arange(1, 9)}
    parts = [cells(one, key=run.key, axes={"algorithm": group}, **options) for group in (SAMPLED[:-1], SAMPLED[-1:])]
    natural = cells(partial(one, geometry="natural"), key=run.key, axes={"algorithm": SAMPLED[:2]}, **options)
    found = xr.concat(parts, "algorithm").assign(natural=natural.log_policy[0])
    return found.assign_attrs(group=GROUP, rate=RATE)


@study.experiment(
    {"algorithm": CLOCKS},
    dims={"accuracy": ["time"], "foretold": ["record"]},
    coords={"time": np.geomspace(0.05, 1e3, 201), "record": RATE * STEPS / 8 * np.arange(1, 9)},
)
def courses(cell):
    """Accuracy along the orbit by every clock: for the figure, and at the times of the sampled runs."""
    problem, ts = Problem.from_probs(**PROBLEM), jnp.geomspace(0.05, 1e3, 201)
    accuracy = orbit.solve(problem, ts, algorithm=cell.algorithm).accuracy
    record = RATE * STEPS / 8 * jnp.arange(1, 9)
    return {"accuracy": accuracy, "foretold": jnp.interp(jnp.log(record), jnp.log(ts), accuracy)}


@study.experiment({"geometry": ["softmax", "natural"], "tau": np.geomspace(1e-3, 1e3, 400)}, dims={"log_policy": ["pattern"]})
def curve(cell):
    """Both orbits, whatever the clock."""
    return {"log_policy": orbit.policy(Problem.from_probs(**PROBLEM), cell.tau, geometry=cell.geometry)}


def _ends(algorithm: Algorithm, geometry: str) -> dict[str, jax.Array]:
    """log T from ρ₀ to ½, log(1 − ρ) against time from ½, and the laws of both; with success rates (1, 0)."""

    def two(rho):
        return Problem(jnp.log(jnp.array([rho, 1 - rho])), jnp.array([1.0, 0.0]))

    options = {"algorithm": algorithm, "geometry": geometry}
    cold = jax.vmap(lambda rho: orbit.log_hitting_time(two(rho), 0.5, event="accuracy", **options))(jnp.asarray(COLD))
    rest = orbit.solve(two(0.5), log_ts=np.log(TAIL), **options).log_policy[:, 1]
    law = theory.exponents(algorithm, geometry=geometry)
    laws = {"cold_law": law.cold_start, "cold_constant_law": law.cold_constant, "tail_constant_law": law.tail_constant}
    return {"cold": cold, "rest": rest, "tail_law": law.tail} | laws


@study.experiment({"algorithm": CLOCKS + FINITE}, dims={"cold": ["rho"], "rest": ["time"]}, coords={"rho": COLD, "time": TAIL})
def ends(cell):
    """The ends of training by every clock."""
    return _ends(cell.algorithm, "softmax")


@study.experiment({"algorithm": LIMITS}, dims={"cold": ["rho"], "rest": ["time"]}, coords={"rho": COLD, "time": TAIL})
def natural(cell):
    """The ends of training under the natural gradient, plain and divided by the standard deviation."""
    return _ends(cell.algorithm, "natural")

"""Where does GRPO end if every round is trained to convergence: at a fixed point, in a cycle, or at 1?

With rewards standardised under the previous policy and a KL term to a fixed reference, to the previous policy (mirror)
or to both (mixed, weight α of the fixed one), each round has a closed-form optimum. For answers that are right or wrong
for sure the logit z of the success probability then follows z → α z_ref + (1 − α) z + 2 cosh(z/2)/β.

For a fixed reference this map has one hump and a negative Schwarzian derivative, so that there is at most one attractor
short of ρ = 1, and the point ρ = ½ is drawn to it if it exists. Its boundaries are closed forms: the fold, below which
there is no fixed point and every run goes to 1, and the flips, between which rounds overshoot for ever. The first round
from π_ref goes where −z_ref goes, which may lie beyond the upper fixed point though another one attracts. A mixture has
the fixed points of the fixed reference at αβ and is stable there for α < 2/(1 − F').

The experiments repeat rounds over a map of ρ_ref and β, and one per cent on either side of every boundary; exact policy
iteration, π_n ∝ π_ref^α π_{n−1}^{1−α} exp(A/β), of patterns that are right for sure and of patterns that are right
sometimes; and the gradient flow, which shares the fixed points and does not overshoot.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from qra_jax import flow, metrics, plot, theory
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, examples
from qra_jax.regularizer import reverse_kl
from qra_jax.studies import papers
from qra_jax.studies.lab import Asked, Data, Derived, Run, Study, dataset, exact, explained, mean, panels, scale, somewhere

study = Study(__name__, title="Policy iteration: rounds of GRPO settle, cycle, turn chaotic or run to 1")

RARE, CYCLE, KAPPA, ROUNDS = 0.001, 5.0, 1.5, 3000
"""ρ_ref, β and αβ of the runs that compare ways of regularising; rounds before the 64 that are looked at."""
ANCHORS, EPSILON = [1.0, 0.5, 0.0], 1e-5
"""Weights α of the fixed reference: it alone, both, the previous policy alone (mirror); ε > 0 where one is used."""
STILL = 1e-3
"""Swing of the last rounds, in logits, below which a run is at rest."""
BETAS = [np.logspace(-1.2, 1.5, n).tolist() for n in (46, 121, 240, 481)]


@study.experiment(
    {"logit_ref": scale(np.linspace(-14, 3, 52), np.linspace(-14, 3, 171)), "beta": scale(BETAS[0], BETAS[1])},
    dims={"fixed": ["branch"]},
    block=1024,
)
def atlas(cell):
    """Fixed points, the attractor of ρ = ½, and where the run from π_ref ends."""
    rho = jax.nn.sigmoid(cell.logit_ref)
    fixed = theory.success_fixed_points(rho, cell.beta)
    half, own = (theory.success_tail(rho, cell.beta, ROUNDS, logit0=z) for z in (0.0, cell.logit_ref))
    path = theory.success_path(rho, cell.beta, 8)
    rests = jnp.max(jnp.abs(own - fixed.logit[0])) < 1e-2
    gains = {"gain": jnp.min(path[1:] - path[0]), "step": jnp.min(path[1:] - path[:-1])}
    period = theory.cycle_length(half, tolerance=STILL)
    return {"fixed": fixed.logit[:2], "slope": fixed.multiplier[0], "period": period, "rests": rests} | gains


@study.experiment(
    {"rho": [0.6, RARE], "beta": scale(BETAS[2], BETAS[3])},
    dims={"tail": ["last"], "fixed": ["branch"], "slope": ["branch"], "pair": ["branch"]},
    block=1024,
)
def slices(cell):
    """Two slices of it, with the 2-cycle, stable or not."""
    fixed, pair = theory.success_fixed_points(cell.rho, cell.beta), theory.success_two_cycles(cell.rho, cell.beta)
    tail = theory.success_tail(cell.rho, cell.beta, ROUNDS, logit0=0.0)
    return {"tail": tail, "fixed": fixed.logit[:2], "slope": fixed.multiplier[:2], "pair": pair.logit[0]}


@study.experiment({"epsilon": [0.0, EPSILON], "beta": BETAS[0]})
def saturated(cell):
    """Number of fixed points at ρ_ref = .6 with and without ε, and the lowest logit among them."""
    fixed = theory.success_fixed_points(0.6, cell.beta, epsilon=cell.epsilon)
    return {"count": fixed.count, "lowest": fixed.logit[0]}


@study.experiment({"anchor": scale(np.linspace(0.02, 1, 200), np.linspace(0.02, 1, 700))}, dims={"tail": ["last"]})
def mixtures(cell):
    """Last rounds of mixed regularisation at one αβ, and so at the same fixed points."""
    start = theory.success_fixed_points(RARE, KAPPA).logit[0] + 0.1
    return {"tail": theory.success_tail(RARE, KAPPA / cell.anchor, ROUNDS, logit0=start, anchor=cell.anchor)}


@study.experiment()
def sides(run: Run) -> xr.Dataset:
    """Swings of the last rounds one per cent below and above each boundary; and of .8 of it, for a control."""
    rows = []  # name, restless below and above, ρ_ref, value of the boundary, α at β = 1 or αβ
    rows += [(f"fold at {rho:g}", (1, 0), rho, float(theory.fold_betas(rho)[0]), 0.0) for rho in (0.05, 0.3, 0.6, 0.9)]
    for rho in (0.001, 0.003, 0.008):
        lower, upper = (float(beta) for beta in theory.flip_betas(rho))
        rows += [(f"lower flip at {rho:g}", (0, 1), rho, lower, 0.0), (f"upper flip at {rho:g}", (1, 0), rho, upper, 0.0)]
    for kappa in (1.0, 1.5, 5.0):
        slope = float(theory.success_fixed_points(RARE, kappa).multiplier[0])
        rows.append((f"mixture at αβ = {kappa:g}", (0, 1), RARE, 2 / (1 - slope), kappa))
    names, restless, rhos, values, kappas = zip(*rows, strict=True)

    @partial(jnp.vectorize, signature="(),(),()->()")
    def swing(rho, value, kappa):
        mixed = kappa > 0
        anchor, beta = jnp.where(mixed, value, 1.0), jnp.where(mixed, kappa / value, value)
        start = jnp.where(mixed, theory.success_fixed_points(rho, kappa + ~mixed).logit[0] + 0.01, 0.0)
        tail = theory.success_tail(rho, beta, 4 * ROUNDS, logit0=start, anchor=anchor)
        return jnp.where(jnp.isfinite(tail[-1]), jnp.ptp(tail), jnp.inf)

    near = np.array([0.99, 1.01]) * np.array([1.0, 0.8])[:, None]
    columns = (np.array(x)[:, None, None] for x in (rhos, values, kappas))
    rhos, values, kappas = columns
    swings = jax.jit(swing)(rhos, values * near, kappas)
    coords = {"boundary": list(names), "centre": [1.0, 0.8], "side": ["below", "above"]}
    variables = {"swing": (("boundary", "centre", "side"), swings), "restless": (("boundary", "side"), restless)}
    return dataset(variables | {"value": ("boundary", values.ravel())}, coords)


@study.experiment(
    {"anchor": [1.0, 0.5], "beta": scale(np.linspace(0.35, 2.3, 60), np.linspace(0.35, 2.3, 400))},
    dims={"exponent": ["block"]},
    block=256,
)
def chaos(cell):
    """Lyapunov exponent per round at one αβ in 20 blocks of 1000 rounds; −50 in place of −∞ for a run that has gone."""
    beta = cell.beta / cell.anchor

    def step(z, _):
        slope = jnp.abs(theory.success_multiplier(z, beta, anchor=cell.anchor))
        after = theory.success_map(z, RARE, beta, anchor=cell.anchor)
        return jnp.minimum(after, 100.0), jnp.where(z < 100, jnp.log(jnp.maximum(slope, 1e-22)), -50.0)

    start = theory.success_tail(RARE, beta, 1000, logit0=0.1, anchor=cell.anchor, last=1)[0]
    logs = jax.lax.scan(step, jnp.minimum(start, 100.0), None, length=20_000)[1]
    return {"exponent": jnp.mean(logs.reshape(20, 1000), axis=1)}


@study.experiment({"anchor": ANCHORS}, dims={"path": ["round"]})
def ways(cell):
    """The first rounds from π_ref with each way of regularising, at one αβ (mirror: at β)."""
    mirror = cell.anchor == 0
    beta = CYCLE / jnp.where(mirror, 1.0, cell.anchor)
    return {"path": theory.success_path(RARE, beta, 40, anchor=cell.anchor)}


@study.experiment({"beta": np.logspace(-1, 1.7, 28), "anchor": [0.0, 1.0]})
def mirrors(cell):
    """Rounds until ρ = 1 to all floats, of at most 400, with the previous policy as reference or a fixed one."""
    path = theory.success_path(RARE, cell.beta, 400, anchor=cell.anchor)
    return {"rounds": jnp.sum(path < 200)}


@study.experiment()
def flows(run: Run) -> xr.Dataset:
    """The gradient flow with the KL term under which rounds cycle, and their fixed point."""
    problem, ts = Problem.from_probs(ref=[RARE, 1 - RARE], success=[1.0, 0.0]), jnp.linspace(0.0, 40 / CYCLE, 81)
    options = {"algorithm": grpo(), "geometry": "natural", "rtol": 1e-10, "atol": 1e-10}
    path = flow.solve(problem, ts=ts, regularizers=[reverse_kl(CYCLE)], **options).log_policy
    rest = theory.success_fixed_points(RARE, CYCLE).logit[0]
    return dataset({"logit": ("time", path[:, 0] - path[:, 1]), "rest": rest}, {"time": ts * CYCLE})


@study.experiment({"chancy": [0.0, 1.0], "anchor": ANCHORS}, seeds=scale(60, 400), common=["chancy", "anchor"])
def policies(cell, key):
    """Exact rounds of eight patterns that are right for sure or, where `chancy`, sometimes, beside the recursion."""
    keys = jax.random.split(key, 3)
    ref = jax.random.dirichlet(keys[0], jnp.ones(8))
    sure = jnp.where(jnp.arange(8) < 3, 1.0, 0.0)
    problem = Problem(jnp.log(ref), jnp.where(cell.chancy > 0, jax.random.uniform(keys[1], (8,)), sure))
    beta = jnp.exp(jax.random.uniform(keys[2], maxval=2.5))
    path = theory.policy_iteration_path(problem, beta, 12, anchor=cell.anchor)
    told = jax.vmap(lambda z: theory.success_map(z, problem.accuracy_ref, beta, anchor=cell.anchor))(path[:-1])
    off = jnp.where(path[1:] < 30, jnp.abs(told - path[1:]) / (1 + jnp.abs(path[1:])), 0.0)
    spread = problem.ref @ (problem.success - problem.accuracy_ref) ** 2 / (problem.accuracy_ref * (1 - problem.accuracy_ref))
    return {"off": jnp.max(off), "share": (path[1] - path[0]) / (told[0] - path[0]), "spread": spread, "beta": beta}


@study.experiment({"beta": np.logspace(-1, 1.5, 51)})
def question(cell):
    """Where the worked example ends, whose patterns are right sometimes, and where the recursion would."""
    problem = examples.worked()
    path = theory.policy_iteration_path(problem, cell.beta, 1000)
    recursion = theory.success_path(problem.accuracy_ref, cell.beta, 1000)
    return {"exact": jax.nn.sigmoid(path[-1]), "recursion": jax.nn.sigmoid(recursion[-1])}

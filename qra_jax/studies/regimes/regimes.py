"""Why does one base model learn at once while another, with the same patterns, first gets worse?

Regime 1: if base accuracy exceeds the success rate of every suboptimal pattern, the best pattern's share should rise
monotonically and reach 1 − ε in a time O(1/ε). Regime 2: a rival r' is better than base accuracy; it grows first, and a
transition time T₀ passes before accuracy exceeds p(r'). Theorem 5.4 has one rival; here there may be several.

The reason shows in the envelope: up to a common factor the inverse shares 1/π move as straight lines u_r − R_r τ under
a common shift, so the lowest line leads. Two problems with success rates (.9, .6, .1) differ in who has the mass. The
tail follows too, 1 − π(r*) ≃ K/t with K = Σ 1/(p* − p_s) ÷ n c(p*), as does the first move, which is down where
Σ π²(p − ρ) > π*(p* − ρ): a rival has to be big for that, not only good.

Experiment: exact orbits of both problems beside an independent ODE solver; orbits of random problems with 3, 5 and 10
patterns (Dirichlet(1), U[0, 1]); tails of random problems in Regime 1, under REINFORCE's clock and pass@2's.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import orbit, plot, theory
from qra_jax.algorithm import pass_at_k, reinforce
from qra_jax.problem import Problem, examples, random
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.regimes._draws import narrowed, raised, solved

TITLE = "Two regimes: from the same success rates, one start rises at once and the other falls first"
study = lab.Study(__name__, title=TITLE)

SUCCESS = np.array([0.9, 0.6, 0.1])
PATTERNS = ["best, p = .9", "rival, p = .6", "poor, p = .1"]
TIMES, FLOW_TIMES, LATE = np.logspace(-1, 3, 161), np.logspace(-1, 3, 17), np.array([1e9, 1e12])
FAST, WORKED, WIDTH, FELL = 0, 1, 10, 1e-9


@study.experiment(
    {
        "problem": lab.scale(range(26), range(102)),
        "algorithm": [reinforce(), pass_at_k(2)],
        "perfect": [0, 1],
    },
    dims={"policy": ["time", "pattern"], "log_rest": ["late"]},
    coords={"time": TIMES, "late": LATE, "pattern": PATTERNS},
)
def paths(cell):
    """Orbits of both examples and of random problems in Regime 1, and what is not on r* late."""
    drawn = raised(random(jax.random.fold_in(jax.random.key(0), cell.problem), 3))
    chosen = [cell.problem == FAST, cell.problem == WORKED]
    problem = jax.tree.map(
        lambda *leaves: jnp.select(chosen, leaves[:2], leaves[2]), examples.fast(), examples.worked(), drawn
    )
    best = jnp.arange(3) == problem.best
    problem = Problem(problem.log_ref, jnp.where(best & (cell.perfect == 1), 1.0, problem.success))
    path = orbit.solve(problem, np.append(TIMES, LATE), algorithm=cell.algorithm)
    rest = jnp.where(best, -jnp.inf, path.log_policy[len(TIMES) :])
    return {
        "policy": path.policy[: len(TIMES)],
        "log_rest": jax.nn.logsumexp(rest, axis=1),
        "constant": theory.fast_rate(problem, algorithm=cell.algorithm),
        "plain": theory.fast_rate(problem),
    }


@study.experiment()
def solver(run: lab.Run) -> xr.Dataset:
    """The gradient flow from both examples by an ODE solver that knows no orbit."""
    both = [solved(examples.fast(), FLOW_TIMES), solved(examples.worked(), FLOW_TIMES)]
    return lab.dataset({"policy": (("problem", "time", "pattern"), both)}, {"problem": [FAST, WORKED]})


@study.experiment({"patterns": [3, 5, WIDTH]}, seeds=lab.scale(2000, 6000))
def survey(cell, key):
    """How π(r*) moves along the orbit of a random problem, and what may decide its first move."""
    problem = narrowed(random(key, WIDTH), cell.patterns)
    log_best = problem.log_ref[problem.best]
    taus = jnp.exp(jnp.linspace(-12, 6, 91) - log_best)
    shares = jax.vmap(lambda tau: orbit.policy(problem, tau)[problem.best])(taus)
    steps, regime = jnp.diff(shares, prepend=log_best), theory.regime(problem)
    log_rival = problem.log_ref[regime.rival]
    return {
        "entangled": regime.entangled,
        "one_rival": regime.rivals == 1,
        "falls_first": steps[0] < 0,
        "falls": jnp.min(steps) < -FELL,
        "crowded": theory.first_move(problem) < 0,
        "bigger": log_rival > log_best,
    }


def _one(data: lab.Data, problem: int) -> xr.Dataset:
    return data.paths.sel(problem=problem, algorithm="REINFORCE", perfect=0)


def _among(data: lab.Data, name: str, *, regime: int) -> np.ndarray:
    return data.survey[name].values[data.survey.entangled.values == (regime == 2)]


def _falls(data: lab.Data, regime: int) -> lab.Evidence:
    return lab.never("random problems in which π(r*) falls somewhere", _among(data, "falls", regime=regime))


@study.claim("Regime 1: π(r*) rises monotonically.", origin=papers.QRA_2_MONOTONE)
def rises(data):
    example = _one(data, FAST).policy[:, 0].diff("time").min(skipna=False)
    return lab.all_of(_falls(data, 1), lab.exact("least step of π(r*) in the example", example).above(0))


@rises.null("problems of Regime 2")
def _(data):
    return _falls(data, 2)


def _exponent(data: lab.Data, algorithm: str, perfect: int) -> lab.Evidence:
    cell = data.paths.sel(algorithm=algorithm, perfect=perfect).drop_sel(problem=WORKED)
    steep = cell.log_rest.diff("late").isel(late=0) / np.log(LATE[1] / LATE[0])
    return lab.exact("exponent of 1 − π(r*) in t, from 1e9 to 1e12", steep).below(-0.99)


@study.claim("Regime 1: the time until π(r*) is 1 − ε is O(1/ε).", origin=papers.QRA_2_RATE)
def rate(data):
    return _exponent(data, "REINFORCE", 0)


@rate.null("the objective pass@2 beside a perfect best pattern, where learning fades as accuracy nears 1")
def _(data):
    return _exponent(data, "pass@2", 1)


def _constant(data: lab.Data, name: str) -> lab.Evidence:
    cell = data.paths.sel(perfect=0)
    product = np.exp(cell.log_rest.isel(late=-1)) * LATE[-1]
    return lab.close("t (1 − π(r*))/K at t = 1e12", product / cell[name], 1.0, within=0.01)


@study.claim(
    "The bound is sharp: 1 − π(r*) ≃ K/t with the constant K of the gaps between success rates.",
    origin=lab.Derived("theory.fast_rate", (papers.QRA_2_RATE,)),
)
def constant(data):
    return _constant(data, "constant")


@constant.null("K without the algorithm's clock")
def _(data):
    return _constant(data, "plain")


def _transition(one: xr.Dataset) -> float:
    """When accuracy exceeds the rival's success rate, on the grid of times; 0: at the start."""
    accuracy, (_, rival, _) = one.policy.values @ SUCCESS, SUCCESS
    return 0.0 if accuracy[0] > rival else float(np.exp(np.interp(rival, accuracy, np.log(TIMES))))


def _stall(data: lab.Data, problem: int) -> lab.Evidence:
    one = _one(data, problem)
    best = one.policy[:, 0]
    return lab.all_of(
        lab.exact("by how much π(r*) falls", best[0] - best.min(skipna=False)).above(1e-3),
        lab.exact("T₀, when accuracy exceeds p(r')", _transition(one)).above(1),
    )


@study.claim(
    "Regime 2, worked example: π(r*) falls at first, and a transition time passes before accuracy exceeds p(r').",
    origin=papers.QRA_3,
)
def transition(data):
    return _stall(data, WORKED)


@transition.null("the same success rates in Regime 1")
def _(data):
    return _stall(data, FAST)


def _whenever(data: lab.Data, *, regime: int = 2, rivals: str = "any") -> lab.Evidence:
    among = {name: _among(data, name, regime=regime) for name in map(str, data.survey)}
    kept = among["one_rival"] | (rivals == "any")
    rules = {
        "Σ π²(p − ρ) > π*(p* − ρ) at the start": among["crowded"][kept],
        "the largest rival has more mass than r*": among["bigger"][kept],
    }
    return lab.explained("π(r*) falls at first", among["falls_first"][kept], rules, sure=0.9)


ENTANGLED = lab.Asked("The theorem calls r* and r' entangled: does r* have to fall?", (papers.QRA_3,))


@study.claim("Regime 2 with one rival, as Theorem 5.4 assumes: π(r*) falls at first.", origin=ENTANGLED)
def one_rival(data):
    return _whenever(data, rivals="one")


@study.claim("Regime 2 with any number of rivals: π(r*) falls at first.", origin=ENTANGLED)
def any_rivals(data):
    return _whenever(data)


@any_rivals.null("problems of Regime 1")
@one_rival.null("problems of Regime 1")
def _(data):
    return _whenever(data, regime=1)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Regime 1 on the left, Regime 2 on the right: runs above, envelopes below."""
    figure, axes = plot.new((7.4, 5.4), nrows=2, ncols=2, height_ratios=[1.25, 1])
    _run(data, FAST, axes[0, 0])
    _run(data, WORKED, axes[0, 1])
    _envelope(examples.fast(), axes[1, 0])
    _envelope(examples.worked(), axes[1, 1])
    axes[0, 0].set_title("Regime 1: the best pattern rises at once")
    axes[0, 1].set_title("Regime 2: it falls first, and T₀ has to pass")
    axes[1, 0].set_title("because its line is nearly the lowest")
    axes[1, 1].set_title("because its line starts far above")
    axes[0, 0].set_xlabel("time t   (lines: exact orbit, dots: ODE solver)")
    axes[0, 0].legend(loc="center left", bbox_to_anchor=(0.0, 0.47))
    for ax in axes[:, 1]:
        ax.set_ylabel("")
    return figure


def _run(data: lab.Data, problem: int, ax: Axes) -> None:
    lines, dots = _one(data, problem).policy.values, data.solver.policy.sel(problem=problem).values
    plot.policies(TIMES, lines, best=0, rival=1, labels=PATTERNS, ax=ax)
    ax.plot(TIMES, lines @ SUCCESS, color=plot.ACCURACY, linestyle="--", label="accuracy ρ")
    colors = [*plot.pattern_colors(3, best=0, rival=1), "black"]
    for values, color in zip([*dots.T, dots @ SUCCESS], colors, strict=True):
        ax.plot(FLOW_TIMES, values, "o", color=color, markersize=3.5, mec="white", mew=0.5, zorder=4)
    if (transition := _transition(_one(data, problem))) > 0:
        panels.mark(transition, ax, f"T₀ = {transition:.1f}", before=True, dash="-")
        text = f"falls from .05 to {lines[:, 0].min():.3f}".replace("0.", ".")
        low = (TIMES[lines[:, 0].argmin()], lines[:, 0].min())
        panels.note(low, ax, text, shift=(-25, 45), color=plot.BEST, line=True)


def _envelope(problem: Problem, ax: Axes) -> None:
    start = 1 / np.asarray(problem.ref)
    switch = (start[0] - start[1]) / (SUCCESS[0] - SUCCESS[1])
    tau = np.linspace(0, 1.9 * switch, 400)
    lines = start[:, None] - SUCCESS[:, None] * tau
    for line, color in zip(lines, plot.pattern_colors(3, best=0, rival=1), strict=True):
        ax.plot(tau, line, color=color, linewidth=1.0)
        ax.plot(tau, np.where(line == lines.min(axis=0), line, np.nan), color=color, linewidth=3.5)
    panels.mark(switch, ax, f"new leader, τ = {switch:.3g}", dash="-")
    ax.set(xlabel="orbit time τ", ylabel="1/π_ref − p τ   (lowest leads)", xlim=(0, tau[-1]))

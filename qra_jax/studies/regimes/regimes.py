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
from matplotlib.figure import Figure

from qra_jax import orbit, plot, theory
from qra_jax.algorithm import pass_at_k, reinforce
from qra_jax.problem import Problem, examples, random
from qra_jax.studies import lab, papers
from qra_jax.studies.regimes import _figures as figures
from qra_jax.studies.regimes._draws import narrowed, raised, solved

TITLE = "Two regimes: from the same success rates, one start rises at once and the other falls first"
study = lab.Study(__name__, title=TITLE)

SUCCESS = np.array([0.9, 0.6, 0.1])
PATTERNS = ["best, p = .9", "rival, p = .6", "poor, p = .1"]
TIMES, FLOW_TIMES, LATE = np.logspace(-1, 3, 161), np.logspace(-1, 3, 17), np.array([1e9, 1e12])
FAST, WORKED, WIDTH, FELL = 0, 1, 10, 1e-9


@study.experiment()
def paths(run: lab.Run) -> xr.Dataset:
    """Orbits of both examples and of random problems in Regime 1, and what is not on r* late."""
    random_key = run.key

    def one(cell):
        drawn = raised(random(jax.random.fold_in(random_key, cell.problem), 3))
        chosen = [cell.problem == FAST, cell.problem == WORKED]
        known = examples.fast(), examples.worked()
        problem = jax.tree.map(lambda *leaves: jnp.select(chosen, leaves[:2], leaves[2]), *known, drawn)
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

    problems, algorithms = range(run(lab.scale(26, 102))), [reinforce(), pass_at_k(2)]
    return lab.cells(
        one,
        axes={"problem": problems, "algorithm": algorithms, "perfect": [0, 1]},
        dims={"policy": ["time", "pattern"], "log_rest": ["late"]},
        coords={"time": TIMES, "late": LATE, "pattern": PATTERNS},
        say=run.say,
    )


@study.experiment()
def solver(run: lab.Run) -> xr.Dataset:
    """The gradient flow from both examples by an ODE solver that knows no orbit."""
    both = [solved(examples.fast(), FLOW_TIMES), solved(examples.worked(), FLOW_TIMES)]
    return lab.dataset({"policy": (("problem", "time", "pattern"), both)}, {"problem": [FAST, WORKED]})


@study.experiment({"patterns": [3, 5, WIDTH]}, seeds=lab.scale(10_000, 20_000))
def survey(cell, key):
    """How log π(r*) moves along the orbit of a random problem, and what may decide its first move."""
    problem = narrowed(random(key, WIDTH), cell.patterns)
    log_best, regime = problem.log_ref[problem.best], theory.regime(problem)
    taus = jnp.exp(jnp.linspace(-12, 6, 91) - log_best)
    shares = jax.vmap(lambda tau: orbit.policy(problem, tau)[problem.best])(taus)
    steps = jnp.diff(shares, prepend=log_best)
    return {
        "entangled": regime.entangled,
        "rivals": regime.rivals,
        "first": steps[0],
        "least": jnp.min(steps),
        "slope": theory.first_move(problem),
        "ahead": problem.log_ref[regime.rival] - log_best,
    }


def _one(data: lab.Data, problem: int) -> xr.Dataset:
    return data.paths.sel(problem=problem, algorithm="REINFORCE", perfect=0)


def _among(data: lab.Data, *, regime: int) -> xr.Dataset:
    """The random problems of a regime."""
    every = data.survey.stack(member=("patterns", "seed"))
    return every.isel(member=every.entangled.values == (regime == 2))


def _falls(data: lab.Data, regime: int) -> lab.Evidence:
    least = _among(data, regime=regime).least
    falls = lab.where_known(least < -FELL, least)
    return lab.never("random problems in which π(r*) falls somewhere", falls)


@study.claim(
    "Regime 1: π(r*) rises monotonically, in random problems with 3 to 10 patterns and in the example.",
    origin=papers.QRA_2_MONOTONE,
)
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


@study.claim(
    "Regime 1: the time until π(r*) is 1 − ε is O(1/ε), in the example and in random problems with 3 patterns.",
    origin=papers.QRA_2_RATE,
)
def rate(data):
    return _exponent(data, "REINFORCE", 0)


@rate.null("the objective pass@2 beside a perfect best pattern, where learning fades as accuracy nears 1")
def _(data):
    return _exponent(data, "pass@2", 1)


def _constant(cell: xr.Dataset, constant: xr.DataArray) -> lab.Evidence:
    product = np.exp(cell.log_rest.isel(late=-1)) * LATE[-1]
    return lab.close("t (1 − π(r*))/K at t = 1e12", product / constant, 1.0, within=0.01)


@study.claim(
    "The bound is sharp: 1 − π(r*) ≃ K/t with the constant K of the gaps between success rates (3 patterns).",
    origin=lab.Derived("theory.fast_rate", (papers.QRA_2_RATE,)),
)
def constant(data):
    cell = data.paths.sel(perfect=0)
    return _constant(cell, cell.constant)


@constant.null("K without the clock of pass@2, where this is not 1")
def _(data):
    cell = data.paths.sel(perfect=0, algorithm="pass@2")
    return _constant(cell, cell.plain.where(abs(cell.plain / cell.constant - 1) > 0.02))


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
    "Regime 2, worked example (γ = 6): π(r*) falls at first, and a time T₀ > 1 passes before accuracy exceeds p(r').",
    origin=lab.Asked("What does the entanglement of the worked case look like?", (papers.QRA_3,)),
)
def transition(data):
    return _stall(data, WORKED)


@transition.null("the same success rates in Regime 1")
def _(data):
    return _stall(data, FAST)


def _whenever(data: lab.Data, *, regime: int = 2, most: int = WIDTH) -> lab.Evidence:
    among = _among(data, regime=regime)
    among = among.isel(member=among.rivals.values <= most)
    first, slope, ahead = (among[name] for name in ("first", "slope", "ahead"))
    rules = {
        "Σ π²(p − ρ) > π*(p* − ρ) at the start": slope < 0,
        "the largest rival has more mass than r*": ahead > 0,
    }
    return lab.explained("π(r*) falls at first", lab.where_known(first < 0, first, slope, ahead), rules)


ENTANGLED = lab.Asked("The theorem calls r* and r' entangled: does r* have to fall?", (papers.QRA_3,))


@study.claim(
    "Regime 2 with one rival, as Theorem 5.4 assumes: π(r*) falls at first (random problems, 3 to 10 patterns).",
    origin=ENTANGLED,
)
def one_rival(data):
    return _whenever(data, most=1)


@study.claim(
    "Regime 2 with any number of rivals: π(r*) falls at first (random problems, 3 to 10 patterns).",
    origin=ENTANGLED,
)
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
    for problem, example, column in (
        (FAST, examples.fast(), axes[:, 0]),
        (WORKED, examples.worked(), axes[:, 1]),
    ):
        one, dots = _one(data, problem), data.solver.policy.sel(problem=problem)
        figures.run(one.policy, dots.assign_coords(time=FLOW_TIMES), SUCCESS, _transition(one), column[0])
        figures.envelope(example, column[1])
    axes[0, 0].set_title("Regime 1: the best pattern rises at once")
    axes[0, 1].set_title("Regime 2: it falls first, and T₀ has to pass")
    axes[1, 0].set_title("because its line is nearly the lowest")
    axes[1, 1].set_title("because its line starts far above")
    axes[0, 0].set_xlabel("time t   (lines: exact orbit, dots: ODE solver)")
    axes[0, 0].legend(loc="center left", bbox_to_anchor=(0.0, 0.47))
    for ax in axes[:, 1]:
        ax.set_ylabel("")
    return figure

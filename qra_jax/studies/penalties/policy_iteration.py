"""Where does GRPO end if every round is trained to convergence: at a fixed point, in a cycle, or at 1?

With rewards standardised under the previous policy and a KL term to a fixed reference, each round has a closed-form
optimum. For answers that are right or wrong for sure the logit z of the success probability ρ then follows
z → z_ref + 2 cosh(z/2)/β; with ε under the root of the variance, z → z_ref + 1/(β√(ρ(1 − ρ) + ε)).

The map for ε = 0 has one hump and a negative Schwarzian derivative, so that there is at most one attractor short of
ρ = 1, and the point ρ = ½ is drawn to it if it exists. Its boundaries are closed forms: the fold, below which there is
no fixed point and every run goes to 1, and the flips, between which rounds overshoot for ever. The map is even, so
that the first round from π_ref goes where −z_ref goes, which may lie beyond the upper fixed point. With ε > 0 there is
one more fixed point, z ≃ z_ref + 1/(β√ε), which is ρ = 1 to all purposes.

The experiment repeats rounds over a map of ρ_ref and β, from ρ = ½ and from π_ref, and along two slices of it. The
study `kl-references` asks whether exact policy iteration follows the recursion, and what other references do.
"""

from functools import partial

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.studies import lab, papers
from qra_jax.studies.penalties import _rounds_panels

study = lab.Study(__name__, title="Policy iteration: rounds of GRPO settle, cycle, turn chaotic or run to 1")

ROUNDS, STILL = 3000, 1e-3
"""Rounds before the 64 that are looked at; swing of these, in logits, below which a run is at rest."""
REFS, BETAS = (
    {n: np.linspace(-14, 3, n) for n in (52, 121)},
    {n: np.logspace(-1.2, 1.5, n) for n in (46, 121, 200, 481)},
)
RARE, EPSILON, SPAN = 0.001, [0.0, 1e-5], lab.scale(np.linspace(0.35, 2.3, 60), np.linspace(0.35, 2.3, 240))


@study.experiment(
    {"logit_ref": lab.scale(REFS[52], REFS[121]), "beta": lab.scale(BETAS[46], BETAS[121])},
    dims={"fixed": ["branch"]},
    block=1024,
)
def atlas(cell):
    """Fixed points, the attractor of ρ = ½, and runs from π_ref; with the previous policy as the reference, too."""
    rho, own = jax.nn.sigmoid(cell.logit_ref), cell.logit_ref
    fixed, path = theory.success_fixed_points(rho, cell.beta), theory.success_path(rho, cell.beta, 8)
    run = partial(theory.success_tail, rho, cell.beta, ROUNDS)
    rests = (abs(run(logit0=own) - fixed.logit[0]) < 0.01).all()
    periods = {"period": run(logit0=0.0), "mirror": run(logit0=own, anchor=0.0)}
    periods = {name: theory.cycle_length(tail, tolerance=STILL) for name, tail in periods.items()}
    gains = {"gain": (path[1:] - path[0]).min(), "step": (path[1:] - path[:-1]).min()}
    return {"fixed": fixed.logit[:2], "slope": fixed.multiplier[0], "rests": rests} | gains | periods


@study.experiment(
    {"rho": [0.6, RARE], "epsilon": EPSILON, "beta": lab.scale(BETAS[200], BETAS[481])},
    dims={"tail": ["last"], "fixed": ["branch"], "slope": ["branch"], "pair": ["end"]},
    block=1024,
)
def slices(cell):
    """Two slices of it: fixed points and the 2-cycle with and without ε, and the attractor without."""
    fixed = theory.success_fixed_points(cell.rho, cell.beta, epsilon=cell.epsilon)
    pair = theory.success_two_cycles(cell.rho, cell.beta, epsilon=cell.epsilon)
    tail = theory.success_tail(cell.rho, cell.beta, ROUNDS, logit0=0.0)
    return {"tail": tail, "fixed": fixed.logit, "slope": fixed.multiplier, "pair": pair.logit[0]}


@study.experiment({"anchor": [1.0, 0.5], "beta": SPAN}, dims={"exponent": ["part"]}, block=256)
def chaos(cell):
    """Lyapunov exponents with a fixed reference, and with half of its weight on the previous policy."""
    return {"exponent": theory.success_exponents(RARE, cell.beta / cell.anchor, anchor=cell.anchor)}


def _branches(cells: xr.Dataset) -> xr.DataArray:
    """Whether there are fixed points: 1 or 0; NaN where points and slope disagree, so that one of them is unknown."""
    points, slope = cells.fixed.notnull(), cells.slope.notnull()
    return slope.astype(float).where((points == slope).all("branch"))


KINDS = (
    "no fixed point",
    "an unstable lower fixed point",
    "a stable one that the first round overshoots (logit ρ_ref ≤ −logit of the upper one)",
    "a stable one, logit ρ_ref > −logit of the upper one",
)
"""Cells of the grid."""


@study.claim(
    "From π_ref, rounds with a fixed reference converge to a fixed point short of 1 in 99 of 100 cells of the grid.",
    origin=papers.POS_RECURSION,
)
def converges(data, rests=lambda cells: cells.rests.astype(float)):
    cells, exist, settle = data.atlas, _branches(data.atlas), rests(data.atlas)
    stable, below = abs(cells.slope) < 1, cells.logit_ref > -cells.fixed.isel(branch=1)
    kind = xr.where(exist == 0, 0, xr.where(~stable, 1, xr.where(~below, 2, 3)))
    share = xr.concat([settle.where(kind == i).mean() for i in range(len(KINDS))], "kind")
    share = share.where(exist.notnull().all() & settle.notnull().all()).assign_coords(kind=list(KINDS))
    return lab.exact("share of cells that settle", share).above(0.99).per("kind")


@converges.null("the previous policy as the reference (mirror)")
def _(data):
    return converges.judge(data, lambda cells: lab.where_known(cells.mirror == 1, cells.mirror))


@study.claim(
    "On the grid the fixed point, and each of the first eight states after π_ref, exceeds the reference's success "
    "probability.",
    origin=papers.POS_EXCEEDS,
)
def exceeds(data, over="gain"):
    cells, known = data.atlas, _branches(data.atlas).notnull().all()
    lowest = (cells.fixed.isel(branch=0) - cells.logit_ref).min().where(known)
    gain = (cells[over] * cells.beta).min(skipna=False)
    return lab.all_of(
        lab.exact("least logit of a fixed point − logit of π_ref", lowest).above(0),
        lab.exact("β × least gain in logit in eight rounds", gain).above(0),
    )


exceeds.null("the gain over the round before in place of π_ref")(partial(exceeds.judge, over="step"))


@study.claim(
    "With ε = 10⁻⁵ under the root there is a fixed point for every β from .06 to 32, at ρ_ref = .6 and .001.",
    origin=papers.POS_EXISTS,
)
def exists(data, epsilon=EPSILON[1]):
    cells = data.slices.sel(epsilon=epsilon)
    points, known = cells.fixed.notnull(), (cells.fixed.isnull() == cells.slope.isnull()).all("branch")
    count = points.sum("branch").where(known).min("beta", skipna=False)
    return lab.exact("least number of fixed points over β", count).above(1)


exists.null("ε = 0")(partial(exists.judge, epsilon=0.0))


@study.claim(
    "From ρ = ½, in 99 of 100 cells of the grid: without a fixed point rounds go to ρ = 1; with one they rest if and "
    "only if its slope is within ±1.",
    origin=lab.Derived("theory.fold_betas, theory.flip_betas"),
)
def boundaries(data, shift=0):
    cells = data.atlas
    slope, exist, period = cells.slope.shift(beta=shift), _branches(cells).shift(beta=shift), cells.period
    right = xr.where(exist == 0, period == -1, (abs(slope) < 1) == (period == 1))
    right = lab.where_known(right, exist, period).isel(beta=slice(shift, None))
    return lab.exact("share of cells that end otherwise", 1 - right.mean(skipna=False)).below(0.01)


boundaries.null("the fixed points of two cells below in β")(partial(boundaries.judge, shift=2))


@study.claim(
    "Between the flips rounds can be chaotic (ρ_ref = .001): for some β the Lyapunov exponent is positive in each "
    "stretch of a long run.",
    origin=lab.Derived("theory.success_exponents: one hump, as of the logistic map"),
)
def chaotic(data, anchor=1.0):
    least = data.chaos.exponent.sel(anchor=anchor).min("part", skipna=False)
    return lab.somewhere(
        lab.exact("least Lyapunov exponent per round over a run's stretches", least).above(0)
    )


chaotic.null("half of the weight on the previous policy, at the same fixed points")(
    partial(chaotic.judge, anchor=0.5)
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Attractors over (ρ_ref, β), and two slices."""
    figure, axes = plot.new((10.6, 3.5), ncols=3)
    _rounds_panels.attractors(data.atlas, axes[0])
    for ax, rho in zip(axes[1:], (0.6, RARE), strict=True):
        _rounds_panels.slice_at(data.slices.sel(rho=rho, epsilon=0), rho, ax, STILL)
    return figure

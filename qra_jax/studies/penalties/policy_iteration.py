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
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels

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


@study.claim(
    "From π_ref, rounds with a fixed reference converge to a fixed point short of ρ = 1.",
    origin=papers.POS_RECURSION,
)
def converges(data):
    cells, stable = data.atlas, abs(data.atlas.slope) < 1
    below = cells.logit_ref > -cells.fixed[..., 1]
    rules = {
        "there is a fixed point": cells.slope.notnull(),
        "the lower fixed point is stable": stable,
        "the lower fixed point is stable and logit ρ_ref > −logit of the upper one": stable & below,
    }
    return lab.explained("runs from π_ref that settle", cells.rests, rules, sure=0.98)


@converges.null("the previous policy as the reference (mirror)")
def _(data):
    return lab.explained("runs from π_ref that settle", data.atlas.mirror == 1, {})


@study.claim(
    "The fixed point, and every state after a round, exceeds the reference's success probability.",
    origin=papers.POS_EXCEEDS,
)
def exceeds(data, over="gain"):
    lowest = (data.atlas.fixed[..., 0] - data.atlas.logit_ref).min()
    gain = (data.atlas[over] * data.atlas.beta).min(skipna=False)
    return lab.all_of(
        lab.exact("least logit of a fixed point − logit of π_ref", lowest).above(0),
        lab.exact("β × least gain in logit in eight rounds", gain).above(0),
    )


exceeds.null("the gain over the round before in place of π_ref")(partial(exceeds.judge, over="step"))


@study.claim("With ε > 0 under the root there is a fixed point for every β.", origin=papers.POS_EXISTS)
def exists(data, epsilon=EPSILON[1]):
    count = data.slices.fixed.sel(epsilon=epsilon).notnull().sum("branch")
    return lab.exact("least number of fixed points over β", count.min("beta")).above(1)


exists.null("ε = 0")(partial(exists.judge, epsilon=0.0))


@study.claim(
    "Without a fixed point every run goes to ρ = 1; with one, rounds rest there if and only if its slope is within ±1.",
    origin=lab.Derived("theory.fold_betas, theory.flip_betas"),
)
def boundaries(data, shift=0):
    slope, period = data.atlas.slope.shift(beta=shift), data.atlas.period
    told = xr.where(slope.isnull(), period == -1, xr.where(abs(slope) < 1, period == 1, period != 1))
    return lab.exact(
        "share of cells that end otherwise", 1 - told.where(period.notnull()).mean(skipna=False)
    ).below(0.01)


boundaries.null("the fixed points of two cells below in β")(partial(boundaries.judge, shift=2))


@study.claim(
    "Between the flips rounds can be chaotic (ρ_ref = .001).",
    origin=lab.Derived("theory.success_exponents: one hump, as of the logistic map"),
)
def chaotic(data, anchor=1.0):
    exponent = data.chaos.exponent.sel(anchor=anchor)
    return lab.somewhere(lab.mean("Lyapunov exponent per round", exponent, over="part").above(0))


chaotic.null("half of the weight on the previous policy, at the same fixed points")(
    partial(chaotic.judge, anchor=0.5)
)

SHADES = dict(
    zip(
        ("no fixed point", "no attractor", "fixed point", "2-cycle", "longer cycle", "chaos"),
        ("#F3C9B0", "#E8843C", "#CFE3F2", "#6FA8D6", "#2E9E77", "#3B0F52"),
        strict=True,
    )
)


def _ticks(axis, rhos: list[float]) -> None:
    """Name places of a logit axis by their ρ."""
    axis.set_ticks([np.log(rho / (1 - rho)) for rho in rhos], [panels.plain(rho) for rho in rhos])


@study.figure
def draw(data: lab.Data) -> Figure:
    """Attractors over (ρ_ref, β), and two slices."""
    figure, axes = plot.new((10.6, 3.5), ncols=3)
    _map(data, axes[0])
    for ax, rho in zip(axes[1:], (0.6, RARE), strict=True):
        _slice(data.slices.sel(rho=rho, epsilon=0), rho, ax)
    return figure


def _map(data: lab.Data, ax: Axes) -> None:
    cells, fine = data.atlas, np.logspace(-1.2, 1.5, 400)
    period = cells.period
    kind = xr.where(
        period == 1, 2, xr.where(period == 2, 3, xr.where(period > 2, 4, xr.where(period == 0, 5, 1)))
    )
    kind = xr.where(cells.slope.isnull(), 0, kind)
    panels.frame(
        "What attracts short of ρ = 1", ax, x="base accuracy ρ_ref", y="strength of the KL term β", log="y"
    )
    panels.heat(
        kind.T, ax, x="logit_ref", y="beta", cmap=ListedColormap(list(SHADES.values())), limits=(-0.5, 5.5)
    )
    root = 2 * np.sqrt(1 + fine**-2)
    ax.plot(2 * np.arcsinh(fine) - root, fine, color="black", linewidth=1.4)
    ax.plot(-2 * np.arcsinh(fine) - root, fine, color="black", linewidth=1.1, linestyle="--")
    x, low = np.linspace(0.3, 8, 400), np.linspace(-14, -1.6, 200)
    ax.plot(-2 * (x + x / np.sinh(x / 2) ** 2), np.sinh(x / 2) ** 2 / x, color="white", linewidth=1.2)
    ax.plot(low, np.cosh(low / 2) / -low, color=plot.RIVAL, linewidth=1.6)
    ax.set(xlim=(-14, 3), ylim=(fine[0], fine[-1]))
    _ticks(ax.xaxis, [1e-6, 1e-4, 0.01, 0.5, 0.9])
    style = {"fontsize": 8, "ha": "center"}
    for place, text in (
        ((0.6, 0.2), "all runs to 1"),
        ((-2.5, 14), "fixed point"),
        ((-11, 1.2), "fixed points,\nno attractor"),
    ):
        ax.text(*place, text, **style)
    ax.text(-7.6, 9, "2-cycle", rotation=-50, **style)
    ax.text(1.9, 1.6, "fold", rotation=45, **style)
    ax.text(-4.0, 1.75, "flip", **style)
    panels.note((-6.3, 0.85), ax, "chaos", shift=(-38, -30), line=True)
    text = "below this line the first round\nfrom π_ref overshoots to 1"
    panels.note((-3.2, 0.82), ax, text, shift=(2, -54), color="#A03C00", line=True)


def _slice(runs: xr.Dataset, rho: float, ax: Axes) -> None:
    title = "ρ_ref = .6: below the fold all runs to 1" if rho > 0.5 else "ρ_ref = .001: rest, cycles, chaos"
    panels.frame(title, ax, x="strength of the KL term β", y="accuracy ρ in the end", log="x")
    beta, fold = runs.beta.values, float(theory.fold_betas(rho)[0])
    tail = runs["tail"].where(np.isfinite(runs["tail"]))
    ax.plot(beta, tail, ".", color=plot.BEST, markersize=1.2, mew=0, rasterized=True)
    for stable, dash in ((True, "-"), (False, "--")):
        ax.plot(beta, runs.fixed.where((abs(runs.slope) < 1) == stable), dash, color="black", linewidth=1.3)
    cycles = (abs(tail - tail.shift(last=2)) < STILL).any("last")
    ax.plot(beta, runs.pair.where(~cycles), ":", color="#666666", linewidth=1)
    panels.mark((beta[0], fold), ax, color=SHADES["no attractor"])
    panels.mark(np.log(rho / (1 - rho)), ax, "ρ_ref", axis="y", at=0.02)
    if rho > 0.5:
        ax.set(xlim=(0.6, 30), ylim=(0, 9))
        _ticks(ax.yaxis, [0.6, 0.9, 0.99, 0.999])
        words = (
            (1.03, 5, "nothing holds\nthe policy"),
            (3.2, 8.2, "starts above it run to 1"),
            (12, 4.6, "upper, unstable"),
            (6, 1.6, "lower, stable"),
        )
    else:
        ax.set(xlim=(0.06, 20), ylim=(-7.4, 6))
        _ticks(ax.yaxis, [0.001, 0.01, 0.1, 0.5, 0.9, 0.99])
        panels.mark(
            float(theory.overshoot_beta(rho)),
            ax,
            "left of this a\nstart at π_ref\novershoots to 1",
            color=plot.RIVAL,
            dash="-",
        )
        words = ((0.13, 4.6, "ρ → 1"),)
    for x, y, text in words:
        ax.text(x, y, text, fontsize=8, ha="center", va="center")

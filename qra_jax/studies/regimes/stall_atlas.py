"""How often does training stall, and what decides it?

Regime 2, some suboptimal pattern being better than base accuracy, is where Theorem 5.4 bounds the stall, and SFT on
good data is said to mitigate it; neither says how often a base model stalls. Theory of this package predicts when:
while a rival leads, time passes at the rate Π g_s of the gaps between the lines of the orbit, so that percentiles of
the time over base models should be those of its leading order (`theory.transition_time_estimate`). Under the natural
gradient the shares are π_ref exp(pτ), and nothing should stall.

Experiment: random base models, π_ref uniform on the simplex (Dirichlet(1)), success rates iid U[0, 1], no selection.
The time is that of the expected policy-gradient flow to π(r*) = .99 at unit learning rate, exact on the orbit; a base
model stalls if it is above 10⁶. The first n patterns of a draw of 50 are a draw of n, so that sizes are paired. Given
π_ref(r*), the proportions of the rest do not depend on it, so sorting problems by π_ref(r*) is the same as mixing r*
into the base model, which is what SFT on it does. Predictors of a stall are compared by AUC, the chance that one orders
a stalled and an unstalled problem rightly (½ is useless).
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import orbit, plot, theory
from qra_jax.batching import many
from qra_jax.problem import Problem, random
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.regimes import _figures as figures
from qra_jax.studies.regimes._draws import auc, narrowed, natural_bound

TITLE = "Stall atlas: the more patterns, the more random base models stall; mass on the best one tells which"
study = lab.Study(__name__, title=TITLE)

SIZES, MIDDLE, TARGET = (2, 3, 5, 10, 20, 50), 10, 0.99
STALL, ENDLESS, BINS = np.log(1e6), np.log(1e12), np.geomspace(1e-3, 1, 13)
TWICE, EXCELLENT = np.log10(2) / 2, 0.8
"""Decades within which twice a time is not that time; the AUC from which discrimination is called excellent."""
PREDICTORS = {
    "π_ref(r*) × (p* − p₂)": ("mass_gap", -1),
    "π_ref(r*)": ("mass", -1),
    "γ": ("gamma", 1),
    "leaders on the way": ("leaders", 1),
    "p* − p₂": ("gap", -1),
    "number of rivals": ("rivals", 1),
    "regime": ("regime", 1),
    "base accuracy": ("accuracy", -1),
}
"""What each predictor of a stall is called, its data, and the sign with which it should go with one."""


def _traits(problem: Problem) -> dict[str, jax.Array]:
    """What could tell a stall beforehand."""
    regime, mass = theory.regime(problem), problem.ref[problem.best]
    gap = problem.success[problem.best] - problem.second_best
    some = {"mass": mass, "gap": gap, "mass_gap": mass * gap, "accuracy": problem.accuracy_ref}
    more = {"regime": regime.entangled, "rivals": regime.rivals, "gamma": regime.gamma}
    return some | more | {"leaders": orbit.dominance(problem).count}


@study.experiment()
def atlas(run: lab.Run) -> xr.Dataset:
    """Log times to the target, and what might explain them; the leading order of T₀ with few patterns."""
    keys = jax.random.split(run.key, run(lab.scale(1500, 12_000)))
    drawn = jax.jit(jax.vmap(lambda key: random(key, SIZES[-1])))(keys)
    few = jax.tree.map(lambda leaf: leaf[:, :MIDDLE], drawn)
    every = jax.tree.map(lambda *leaf: jnp.concatenate(leaf), *(narrowed(drawn, n) for n in SIZES))
    log_time = many(partial(orbit.log_hitting_time, target=TARGET))(every)
    best = np.arange(len(log_time)), np.asarray(every.best)
    entangled = jax.jit(jax.vmap(theory.regime))(every).entangled
    each = {"log_time": log_time, "entangled": entangled, "share": np.asarray(every.ref)[best]}
    each["natural"] = natural_bound(every, TARGET)
    values = {name: (("n", "problem"), np.reshape(row, (len(SIZES), -1))) for name, row in each.items()}
    values |= {name: ("problem", row) for name, row in many(_traits)(narrowed(few, MIDDLE)).items()}
    estimate = many(theory.transition_time_estimate)
    laws = {"estimate": (("few", "problem"), [estimate(narrowed(few, n)) for n in (5, MIDDLE)])}
    return lab.dataset(values | laws, {"n": list(SIZES), "few": [5, MIDDLE]})


def _long(data: lab.Data, name: str = "log_time", limit: float = STALL) -> xr.DataArray:
    return (data.atlas[name] > limit).where(data.atlas[name].notnull())


def _quantiles(data: lab.Data, patterns: int) -> lab.Evidence:
    """Distance between percentiles of the time and of twice T₀'s leading order, over the same base models."""

    def distance(*rows: xr.DataArray) -> xr.DataArray:
        low, high = (row.quantile([0.9, 0.99], "problem", skipna=False) for row in rows)
        return (high + np.log(2) - low) / np.log(10)

    times, laws = data.atlas.log_time.sel(n=MIDDLE), data.atlas.estimate.sel(few=patterns)
    words = "decades between the percentile of the estimate and that of the time"
    found = lab.statistic(words, distance, times, laws, over="problem", draws=200, together=True)
    return found.near(0, within=TWICE)


LEADING = lab.Derived("theory.transition_time_estimate", (papers.QRA_3,))


@study.claim(
    "With 10 patterns the 90th and 99th percentiles of the time to .99 are twice those of the leading order of T₀, up "
    "to a factor √2.",
    origin=LEADING,
)
def percentiles(data):
    return _quantiles(data, MIDDLE)


@percentiles.null("the leading order for the first 5 of the same patterns")
def _(data):
    return _quantiles(data, 5)


def _more(data: lab.Data, name: str) -> lab.Evidence:
    """Rise of the share that stalls from one number of patterns to the next, over the same draws."""
    parts: list[lab.Evidence] = []
    for limit, first, words in ((STALL, 3, "1e6"), (ENDLESS, 5, "1e12")):
        change = _long(data, name, limit).sel(n=slice(first, None)).diff("n").rename(n=f"n_{words}")
        starts = lab.where_known(change > 0, change)
        parts.append(lab.share(f"share newly beyond {words}", starts, "problem").above(0.01))
        parts.append(lab.mean(f"rise of the share beyond {words}", change, "problem").above(0.01))
    return lab.all_of(*parts)


@study.claim(
    "The more patterns, the more base models stall: a percent more with 5, 10, 20 and 50 than with the number before "
    "beyond 1e6, from 10 on beyond 1e12.",
    origin=LEADING,
)
def patterns(data):
    return _more(data, "log_time")


@patterns.null("a bound on the times of the natural gradient on the same problems")
def _(data):
    return _more(data, "natural")


def _stalled(data: lab.Data, *, regime: int, sizes: Sequence[int] = SIZES, mass: float = 2.0) -> lab.Estimate:
    """Share of a regime that stalls; the draws of several sizes that are one draw's first patterns count once."""
    atlas, flags = data.atlas.sel(n=list(sizes)), _long(data).sel(n=list(sizes))
    flags, chosen = (
        flags.where(atlas.share.notnull()),
        (atlas.entangled == (regime == 2)) & ~(atlas.share >= mass),
    )
    draws = int(chosen.any("n").sum())
    return lab.share(f"share of Regime {regime} that stalls", flags.values[chosen.values], n=max(draws, 1))


CONSTANT = lab.Asked("O(1/ε) leaves its constant open, which is large near a tie.", (papers.QRA_2_RATE,))


@study.claim(
    "Of random base models with 5 patterns in Regime 1 fewer than one in a hundred stalls.", origin=CONSTANT
)
def fast(data):
    return _stalled(data, regime=1, sizes=[5]).below(0.01)


@fast.null("Regime 2, with as many patterns")
def _(data):
    return _stalled(data, regime=2, sizes=[5]).below(0.01)


BOUNDED = lab.Asked("The paper bounds the time in Regime 2; is that regime what stalls?", (papers.QRA_3,))


@study.claim("In Regime 2 most random base models with 10 patterns stall.", origin=BOUNDED)
def entangled(data):
    return _stalled(data, regime=2, sizes=[MIDDLE]).above(0.5)


@entangled.null("Regime 1")
def _(data):
    return _stalled(data, regime=1).above(0.5)


@entangled.positive("Regime 2 with less than .01 on the best pattern")
def _(data):
    return _stalled(data, regime=2, sizes=[MIDDLE], mass=0.01).above(0.5)


def _auc(data: lab.Data, name: str) -> lab.Estimate:
    """Chance that a predictor ranks a stalled problem above one that does not stall, with 10 patterns."""
    key, sign = PREDICTORS[name]
    score, flags = sign * data.atlas[key].astype(float), _long(data).sel(n=MIDDLE)
    return lab.statistic(f"AUC of {name} for a stall", auc, score, flags, over="problem", draws=200)


@study.claim(
    "Mass on r* tells which base models with 10 patterns stall: its AUC is above .8.", origin=LEADING
)
def mass(data):
    return _auc(data, "π_ref(r*)").above(EXCELLENT)


@mass.null("base accuracy in its place")
def _(data):
    return _auc(data, "base accuracy").above(EXCELLENT)


def _removes(data: lab.Data, name: str) -> lab.Evidence:
    value = data.atlas[name]
    flags = _long(data).sel(n=MIDDLE).where(value.notnull())
    low, high = value.quantile([0.1, 0.9], skipna=False).values
    least = lab.share(f"share that stalls in the lowest tenth by {name}", flags[~(value > low).values])
    most = lab.share("in the highest tenth", flags[~(value < high).values])
    return lab.all_of(least.above(0.5), most.below(0.05))


SFT = lab.Asked("SFT on the best pattern is such mass.", (papers.QRA_5,))


@study.claim(
    "More mass on the best of 10 patterns removes the stall: of the tenth of base models with the least of it most "
    "stall, of the tenth with the most fewer than 1 in 20.",
    origin=SFT,
)
def removes(data):
    return _removes(data, "mass")


@removes.null("base accuracy in its place")
def _(data):
    return _removes(data, "accuracy")


@study.figure
def draw(data: lab.Data) -> Figure:
    """Survival curves; stalled share against mass on the best pattern; what predicts a stall."""
    figure, (left, middle, right) = plot.new((9.8, 3.7), ncols=3, width_ratios=[1.25, 1, 0.8])
    colors = dict(zip(SIZES, plot.CYCLE, strict=False))
    figures.survival(data.atlas.log_time / np.log(10), _long(data).mean("problem"), MIDDLE, left, colors)
    figures.by_mass(data.atlas.share, _long(data), BINS, middle, {n: colors[n] for n in SIZES[1:]})
    scores, entangled = {name: _auc(data, name) for name in PREDICTORS}, float(data.atlas.regime.mean())
    ranked = dict(sorted(scores.items(), key=lambda row: -float(row[1].value)))
    title = f"Mass tells, not the regime: {entangled:.1%} are in Regime 2"
    x, ticks, limits = f"AUC for a stall, n = {MIDDLE}", [0.5, 0.75, 1], (0.45, 1.02)
    panels.frame(title, right, x=x, y="", xticks=ticks, xlim=limits)
    panels.forest(ranked, right, expected=0.5)
    return figure
